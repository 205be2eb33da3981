//! A bounded queue between one thread that finds work and several that do it; the largest piece goes first.
//!
//! Taking the largest first keeps a thread from being left alone with a large piece at the end; the bound keeps
//! memory flat however many pieces there are.

use std::collections::BinaryHeap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Most pieces that wait at the same time, a few hundred bytes each. More than the files of all but the largest bundles: a queue
/// that is full of small pieces lets no large one in, which then comes last.
const WAITING: usize = 4096;

/// The queue; pieces are ordered by their weight.
pub struct WorkQueue<T> {
    room: usize,
    state: Mutex<State<T>>,
    /// There is a piece, or nothing more comes.
    filled: Condvar,
    /// There is room.
    taken: Condvar,
}

struct State<T> {
    waiting: BinaryHeap<Piece<T>>,
    closed: bool,
}

struct Piece<T> {
    weight: u64,
    work: T,
}

impl<T> Default for WorkQueue<T> {
    fn default() -> Self {
        Self::with_room(WAITING)
    }
}

impl<T> WorkQueue<T> {
    /// A queue for pieces that take much room while they wait: so many at most.
    pub fn with_room(room: usize) -> Self {
        Self {
            room: room.clamp(1, WAITING),
            state: Mutex::new(State { waiting: BinaryHeap::new(), closed: false }),
            filled: Condvar::new(),
            taken: Condvar::new(),
        }
    }

    /// Adds a piece; waits while the queue is full.
    pub fn add(&self, weight: u64, work: T) {
        let mut state = self.lock();
        while state.waiting.len() >= self.room {
            state = self.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting.push(Piece { weight, work });
        drop(state);
        self.filled.notify_one();
    }

    /// Says that nothing more comes.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Takes the heaviest piece; `None` once the queue is closed and empty.
    pub fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(piece) = state.waiting.pop() {
                drop(state);
                self.taken.notify_one();
                return Some(piece.work);
            }
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Ord for Piece<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.weight.cmp(&other.weight)
    }
}

impl<T> PartialOrd for Piece<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Piece<T> {
    fn eq(&self, other: &Self) -> bool {
        self.weight == other.weight
    }
}

impl<T> Eq for Piece<T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn gives_the_heaviest_first_and_ends_when_closed() {
        let queue = WorkQueue::default();
        [3, 9, 1].into_iter().for_each(|weight| queue.add(weight, weight));
        queue.close();
        assert_eq!(std::iter::from_fn(|| queue.take()).collect::<Vec<_>>(), [9, 3, 1]);
    }

    #[test]
    fn every_piece_is_done_once_though_the_queue_is_small() {
        let queue = WorkQueue::default();
        let done = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while let Some(piece) = queue.take() {
                        done.lock().unwrap().push(piece);
                    }
                });
            }
            (0..3 * WAITING as u64).for_each(|piece| queue.add(piece % 7, piece));
            queue.close();
        });
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, (0..3 * WAITING as u64).collect::<Vec<_>>());
    }
}
