//! Many runs at once.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What each of `0..count` comes to, in order. Threads of their own: a worker of the pool that waits for a part of one world's work would
/// begin another world meanwhile, on top of its stack.
pub fn each<T: Send>(count: usize, run: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let several = || {
        let mut done = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count {
                return done;
            }
            done.push((n, run(n)));
        }
    };
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(several)).collect();
        let ended = running.into_iter().map(|thread| thread.join());
        ended
            .flat_map(|done| done.unwrap_or_else(|e| std::panic::resume_unwind(e)))
            .collect()
    });
    all.sort_by_key(|(n, _)| *n);
    all.into_iter().map(|(_, ran)| ran).collect()
}
