//! Work on several threads, each with a state of its own that is kept from item to item.

use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

/// Applies `work` to every item on up to `threads` threads and gives each item with its result, in order.
pub fn map<S, T, R>(threads: usize, items: Vec<T>, work: impl Fn(&mut S, &T) -> R + Sync) -> Vec<(T, R)>
where
    S: Default,
    T: Send + Sync,
    R: Send,
{
    let results: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
    let next = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                let mut state = S::default();
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let result = work(&mut state, item);
                    results.lock().expect("no thread panics while it holds this lock")[index] = Some(result);
                }
            });
        }
    });
    let results = results.into_inner().expect("no thread panics while it holds this lock");
    items.into_iter().zip(results).map(|(item, result)| (item, result.expect("each index was worked on"))).collect()
}

/// Pieces handed to a thread at once: handing over must not cost more than the work.
const BATCH: usize = 32;

/// Does `work` on everything that `produce` hands over, on up to `threads` threads; the first error ends both. With one
/// thread everything happens in the caller's, in order.
pub fn feed<T, E>(
    threads: usize,
    produce: impl FnOnce(&mut dyn FnMut(T) -> Result<(), E>) -> Result<(), E>,
    work: impl Fn(T) -> Result<(), E> + Sync,
) -> Result<(), E>
where
    T: Send,
    E: Send + Clone,
{
    if threads <= 1 {
        return produce(&mut |piece| work(piece));
    }
    let (sender, receiver) = mpsc::sync_channel::<Vec<T>>(2 * threads);
    let (receiver, failed) = (Mutex::new(receiver), Mutex::new(None::<E>));
    let lock = |failed: &Mutex<Option<E>>| failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let work_off = || {
        loop {
            let batch = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(batch) = batch else { return };
            for piece in batch {
                if lock(&failed).is_some() {
                    break;
                }
                if let Err(error) = work(piece) {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    };
    thread::scope(|scope| {
        // Where the system gives fewer threads, those do it; without any it is done here.
        let spawned = (0..threads).filter(|_| thread::Builder::new().spawn_scoped(scope, work_off).is_ok()).count();
        if spawned == 0 {
            return produce(&mut |piece| work(piece));
        }
        // Dropped at the end of this closure, or the threads would wait for ever.
        let sender = sender;
        let mut batch = Vec::with_capacity(BATCH);
        produce(&mut |piece| {
            if let Some(error) = lock(&failed) {
                return Err(error);
            }
            batch.push(piece);
            if batch.len() == BATCH {
                // The threads take until the sender is gone.
                let _ = sender.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)));
            }
            Ok(())
        })?;
        let _ = sender.send(batch);
        Ok(())
    })?;
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn every_piece_is_worked_on_once_and_an_error_ends_it() {
        for threads in [1, 4] {
            let sum = AtomicU64::new(0);
            let work = |piece: u64| {
                sum.fetch_add(piece, Ordering::Relaxed);
                if piece == 1_000_000 { Err("too large") } else { Ok(()) }
            };
            feed(threads, |hand| (0..1000).try_for_each(hand), work).unwrap();
            assert_eq!(sum.load(Ordering::Relaxed), 499_500);
            assert_eq!(feed(threads, |hand| (0..).map(|n| n * 1000).try_for_each(hand), work), Err("too large"));
            assert_eq!(feed(threads, |_| Err("nothing to do"), work), Err("nothing to do"));
        }
    }
}
