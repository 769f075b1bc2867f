//! Work on all processors, with an outcome that does not depend on how many there are.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Does a work of `total` parts in pieces, on as many threads as the machine runs at once, and gives what came of each piece in order.
pub(crate) fn in_pieces<T: Send>(total: usize, work: impl Fn(usize, usize) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let size = total.div_ceil(threads * 16).max(1);
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            loop {
                let from = next.fetch_add(size, Ordering::Relaxed);
                if from >= total {
                    return done;
                }
                done.push((from, work(from, (from + size).min(total))));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    done.sort_unstable_by_key(|(from, _)| *from);
    done.into_iter().map(|(_, one)| one).collect()
}
