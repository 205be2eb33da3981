//! The connections of one thread: what each is doing, and an end for those that let us wait too long.
//!
//! No connection has a timer. Each notes when it begins something else, and one task of the thread looks at all of them
//! now and then: who is found in the same state for longer than that state may take is dropped. A busy connection pays a
//! store for it, an idle one a few words of memory.

use crate::limits::{HEAD_TIMEOUT, IDLE_TIMEOUT, STALL_TIMEOUT, SWEEP_EVERY};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How long each thing may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// A whole request head, from its first byte or from the connection's start.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Without a byte taken by the client.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { head: HEAD_TIMEOUT, idle: IDLE_TIMEOUT, stall: STALL_TIMEOUT }
    }
}

impl Timeouts {
    fn of(&self, state: State) -> Duration {
        match state {
            State::Fresh | State::Head => self.head,
            State::Answering => self.stall,
            State::Idle => self.idle,
        }
    }

    /// How often to look: one that has waited too long is found after an eighth more.
    fn sweep_every(&self) -> Duration {
        let shortest = self.head.min(self.idle).min(self.stall);
        (shortest / 8).clamp(*SWEEP_EVERY.start(), *SWEEP_EVERY.end())
    }
}

/// What a connection is doing. Its task alone writes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Activity {
    /// Four for each beginning, plus the state; so the same state at another time is told from this one.
    value: Arc<AtomicU64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing has come yet.
    Fresh,
    /// A head has begun to come, and is not complete.
    Head,
    /// An answer is made or sent.
    Answering,
    /// The last answer is done.
    Idle,
}

impl Activity {
    /// A request is complete, and answered from here on.
    pub(crate) fn answering(&self) {
        self.begin(State::Answering);
    }

    /// The answer has been handed over.
    pub(crate) fn answered(&self) {
        self.begin(State::Idle);
    }

    /// Bytes of a client have come.
    pub(crate) fn bytes_came(&self) {
        // What comes while an answer is sent is the next request of a client that does not wait; its time begins later.
        // More bytes of the same head do not give it more time.
        if matches!(self.state(), State::Fresh | State::Idle) {
            self.begin(State::Head);
        }
    }

    /// A client has taken bytes of its answer.
    pub(crate) fn bytes_went(&self) {
        // With hyper the end of an answer that was handed over before may still be on its way.
        if matches!(self.state(), State::Answering | State::Idle) {
            self.begin(self.state());
        }
    }

    pub(crate) fn state(&self) -> State {
        match self.value() % 4 {
            0 => State::Fresh,
            1 => State::Head,
            2 => State::Answering,
            _ => State::Idle,
        }
    }

    fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    fn begin(&self, state: State) {
        self.value.store((self.value() / 4 + 1) * 4 + state as u64, Ordering::Relaxed);
    }
}

/// All connections of a thread.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    places: Mutex<Places>,
    gone: Notify,
}

#[derive(Debug, Default)]
struct Places {
    taken: Vec<Option<Place>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Place {
    activity: Activity,
    /// Ends it; none until its task has been started.
    task: Option<AbortHandle>,
    /// What it was doing when it was looked at first, and when that was.
    seen: (u64, Instant),
}

/// One connection's place, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Here {
    connections: Arc<Connections>,
    at: usize,
}

impl Connections {
    /// A place for a connection.
    pub(crate) fn enter(self: &Arc<Self>, activity: Activity) -> Here {
        let place = Some(Place { seen: (activity.value(), Instant::now()), activity, task: None });
        let mut places = self.places();
        let at = match places.free.pop() {
            Some(at) => {
                places.taken[at] = place;
                at
            }
            None => {
                places.taken.push(place);
                places.taken.len() - 1
            }
        };
        Here { connections: Arc::clone(self), at }
    }

    /// Tells what ends the connection in a place.
    pub(crate) fn started(&self, at: usize, task: AbortHandle) {
        if let Some(Some(place)) = self.places().taken.get_mut(at) {
            place.task = Some(task);
        }
    }

    /// Ends who takes too long, for ever.
    pub(crate) async fn sweep(&self, timeouts: Timeouts) {
        let mut tick = tokio::time::interval(timeouts.sweep_every());
        loop {
            tick.tick().await;
            let now = Instant::now();
            for place in self.places().taken.iter_mut().flatten() {
                let value = place.activity.value();
                if place.seen.0 != value {
                    place.seen = (value, now);
                } else if now.duration_since(place.seen.1) >= timeouts.of(place.activity.state()) {
                    place.end();
                }
            }
        }
    }

    /// Ends those whose client has not asked for anything.
    pub(crate) fn end_waiting(&self) {
        for place in self.places().taken.iter().flatten() {
            if matches!(place.activity.state(), State::Fresh | State::Idle) {
                place.end();
            }
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        let places = self.places();
        places.taken.len() - places.free.len()
    }

    /// Returns when there are none.
    pub(crate) async fn all_gone(&self) {
        while self.count() > 0 {
            // Whoever went between the two lines has left word.
            self.gone.notified().await;
        }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn end(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Here {
    /// Which place.
    pub(crate) fn at(&self) -> usize {
        self.at
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let mut places = self.connections.places();
        // Dropped behind the lock: it holds a task, and that may be ours.
        let place = places.taken[self.at].take();
        places.free.push(self.at);
        drop(places);
        drop(place);
        self.connections.gone.notify_one();
    }
}
