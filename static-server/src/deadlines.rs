//! A connection does not wait for ever: not for a request head, not for the next request, not for a client that takes
//! nothing of its answer.
//!
//! hyper has one timer for heads, which runs while a connection idles too, and none for writing. Here a busy connection
//! sets no timer at all: the one for reading is moved only when it goes off too early.

use crate::limits::{HEAD_TIMEOUT, IDLE_TIMEOUT, STALL_TIMEOUT};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

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

/// What a connection is doing. One task uses it; it is shared between the parts of that task.
#[derive(Debug, Clone, Default)]
pub(crate) struct Activity {
    /// Four for each beginning, plus the state; so the same state at another time is told from this one.
    value: Arc<AtomicU64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
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

    /// Whether no byte of a request has ever come.
    pub(crate) fn is_fresh(&self) -> bool {
        self.state() == State::Fresh
    }

    fn bytes_came(&self) {
        // What comes while an answer is sent is the next request of a client that does not wait; its time begins later.
        // More bytes of the same head do not give it more time.
        if matches!(self.state(), State::Fresh | State::Idle) {
            self.begin(State::Head);
        }
    }

    fn bytes_went(&self) {
        // The end of an answer that was handed over before is still on its way.
        if self.state() == State::Idle {
            self.begin(State::Idle);
        }
    }

    fn state(&self) -> State {
        match self.value.load(Ordering::Relaxed) % 4 {
            0 => State::Fresh,
            1 => State::Head,
            2 => State::Answering,
            _ => State::Idle,
        }
    }

    fn begin(&self, state: State) {
        let beginnings = self.value.load(Ordering::Relaxed) / 4;
        self.value.store((beginnings + 1) * 4 + state as u64, Ordering::Relaxed);
    }
}

/// Waits for a client that lets us wait. It must be polled whenever its connection was.
pub(crate) struct Waiting {
    activity: Activity,
    timeouts: Timeouts,
    /// What is waited in, and since when.
    seen: Option<(u64, Instant)>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Waiting {
    pub(crate) fn new(activity: Activity, timeouts: Timeouts) -> Self {
        Self { activity, timeouts, seen: None, timer: None }
    }

    /// Returns when the client has taken too long for a head, or for the next request.
    pub(crate) async fn too_long(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = match self.activity.state() {
            // How long an answer takes is for the client's line to say; see below for one that stands still.
            State::Answering => return Poll::Pending,
            State::Fresh | State::Head => self.timeouts.head,
            State::Idle => self.timeouts.idle,
        };
        let value = self.activity.value.load(Ordering::Relaxed);
        let since = match self.seen {
            Some((seen, since)) if seen == value => since,
            _ => self.seen.insert((value, Instant::now())).1,
        };
        let until = since + limit;
        loop {
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
            // One that goes off earlier is let be: most of the time the connection is busy again before.
            if timer.deadline() > until {
                timer.as_mut().reset(until);
            }
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }
}

/// A stream that tells what passes, and that fails when the client takes nothing of its answer for too long.
pub(crate) struct Watched<S> {
    stream: S,
    activity: Activity,
    stall: Duration,
    /// Made when it is first needed, and then used again.
    timer: Option<Pin<Box<Sleep>>>,
    stalled: bool,
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S, activity: Activity, timeouts: Timeouts) -> Self {
        Self { stream, activity, stall: timeouts.stall, timer: None, stalled: false }
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = false;
            return poll;
        }
        let until = Instant::now() + self.stall;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if !self.stalled {
            self.stalled = true;
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn judge_write(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(1..)) = poll {
            self.activity.bytes_went();
        }
        self.judge(cx, poll)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.bytes_came();
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge_write(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge_write(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, poll)
    }
}
