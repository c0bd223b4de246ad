//! Blocking queries: where one stands, and where the next goes on.

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

/// A blocking query: wake when something newer than `index` is there, or after `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// From the previous answer; 0 answers at once.
    pub index: u64,
    pub longest: Duration,
}

impl Wait {
    /// Servers add up to a sixteenth of the wait, so that watchers do not wake together.
    pub fn longest_answer(&self) -> Duration {
        self.longest + self.longest / 16
    }
}

/// What tells whether an answer is the same as another: its length and a hash of its bytes. An index does not, once a server was
/// restored from a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(usize, u64);

impl Digest {
    pub fn of(body: &[u8]) -> Digest {
        let mut hash = DefaultHasher::new();
        hash.write(body);
        Digest(body.len(), hash.finish())
    }
}

/// A value and the index to wait from next.
#[derive(Clone, Debug, PartialEq)]
pub struct Indexed<T> {
    pub value: T,
    /// 0 when the server gave none, or when it went backwards.
    pub index: u64,
    /// The server's index is lower than the one that was asked from (it was restored, or is another one):
    /// what was remembered by index is void.
    pub went_back: bool,
}

impl<T> Indexed<T> {
    /// Wraps a value with the index of its reply, seen from the index that was asked with.
    pub fn new(value: T, got: Option<u64>, wait: Option<Wait>) -> Self {
        let asked = wait.map_or(0, |w| w.index);
        // An index of 0 would turn the next blocking query into a busy loop, so one that was sent counts as 1.
        let index = got.map_or(0, |i| i.max(1));
        let went_back = got.is_some() && index < asked;
        Indexed {
            value,
            index: if went_back { 0 } else { index },
            went_back,
        }
    }
    /// The query that wakes on the next change.
    pub fn next(&self, longest: Duration) -> Wait {
        Wait {
            index: self.index,
            longest,
        }
    }
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Indexed<U> {
        Indexed {
            value: f(self.value),
            index: self.index,
            went_back: self.went_back,
        }
    }
}
