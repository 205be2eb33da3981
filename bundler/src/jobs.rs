//! Work on several threads, each with a state of its own that is kept from item to item.

use std::sync::Mutex;
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
