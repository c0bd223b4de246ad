//! Equal values are kept once, for as long as anybody has them.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Not looked through for what nobody has any more while it holds fewer.
const FEW: usize = 1_024;

pub struct Pool<T: ?Sized> {
    kept: LazyLock<Mutex<Kept<T>>>,
}

struct Kept<T: ?Sized> {
    all: HashSet<Arc<T>>,
    /// Looked through when it holds as many: twice what was left the last time, so each addition costs the same.
    full: usize,
}

impl<T: Eq + Hash + ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Pool::new()
    }
}

impl<T: Eq + Hash + ?Sized> Pool<T> {
    pub const fn new() -> Pool<T> {
        let kept = || {
            Mutex::new(Kept {
                all: HashSet::new(),
                full: FEW,
            })
        };
        Pool {
            kept: LazyLock::new(kept),
        }
    }

    /// The one that is kept, which this one becomes where there is none.
    pub fn share(&self, value: impl Borrow<T> + Into<Arc<T>>) -> Arc<T> {
        // A half-done change leaves a set that is whole.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.all.get(value.borrow()) {
            return known.clone();
        }
        if kept.all.len() >= kept.full {
            kept.all.retain(|v| Arc::strong_count(v) > 1);
            kept.all.shrink_to_fit();
            kept.full = FEW.max(2 * kept.all.len());
        }
        let new: Arc<T> = value.into();
        kept.all.insert(new.clone());
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_any_more_is_let_go() {
        let pool = Pool::new();
        let held = pool.share(0);
        for n in 1..100 * FEW {
            pool.share(n);
        }
        assert!(Arc::ptr_eq(&held, &pool.share(0)));
        let kept = pool.kept.lock().unwrap();
        assert!(kept.all.len() <= FEW, "{} are kept", kept.all.len());
    }

    #[test]
    fn what_somebody_has_is_kept_once() {
        let pool = Pool::new();
        let held: Vec<Arc<usize>> = (0..3 * FEW).map(|n| pool.share(n)).collect();
        for (n, known) in held.iter().enumerate() {
            assert!(Arc::ptr_eq(known, &pool.share(n)));
        }
    }
}
