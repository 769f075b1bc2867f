//! Work on all processors, with an outcome that does not depend on how many there are.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    /// Whether this thread does what it does without others.
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Does a work on this thread and no other, so that it leaves the other processors to whoever needs them. The same comes of it.
pub fn on_one_thread<T>(work: impl FnOnce() -> T) -> T {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            ALONE.set(self.0);
        }
    }
    let _before = Before(ALONE.replace(true));
    work()
}

/// How many threads a work may have.
pub(crate) fn threads() -> usize {
    if ALONE.get() { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

/// Into how many pieces a work is divided, however many threads there are: sums of fractions depend on how they are put together.
const PIECES: usize = 64;

/// Does a work of `total` parts in pieces, on as many threads as it may have, and gives what came of each piece in order.
pub(crate) fn in_pieces<T: Send>(total: usize, work: impl Fn(usize, usize) -> T + Sync) -> Vec<T> {
    let size = total.div_ceil(PIECES).max(1);
    let next = AtomicUsize::new(0);
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
    let mut done: Vec<(usize, T)> = match threads() {
        1 => worker(),
        threads => std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().flat_map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        }),
    };
    done.sort_unstable_by_key(|(from, _)| *from);
    done.into_iter().map(|(_, one)| one).collect()
}
