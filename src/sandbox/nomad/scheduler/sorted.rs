//! A group's allocations by what has to happen to them, what it needs placed, and the numbers that are free.

use super::super::state::alloc::Alloc;
use std::collections::{BTreeSet, VecDeque};

/// A group's allocations that are meant to run, sorted by what has to happen to them.
#[derive(Default)]
pub(super) struct Sorted<'a> {
    /// Canaries among them.
    pub(super) keep: Vec<&'a Alloc>,
    pub(super) canaries: Vec<&'a Alloc>,
    pub(super) migrate: Vec<&'a Alloc>,
    pub(super) lost: Vec<&'a Alloc>,
    /// Failed, to be replaced now; with the delay that was waited.
    pub(super) replace: Vec<(&'a Alloc, i64)>,
    pub(super) later: Vec<(i64, String)>,
    /// Batch allocations that are done.
    pub(super) done: i64,
}

impl Sorted<'_> {
    /// What counts towards the group's count: without canaries that are still on trial.
    pub(super) fn standing(&self, canarying: bool) -> usize {
        let trial = if canarying { self.canaries.len() } else { 0 };
        self.keep.len() - trial
    }
}

/// What a group needs placed.
pub(super) struct Wanted<'a> {
    pub(super) destructive: Vec<&'a Alloc>,
    /// Numbers for new canaries.
    pub(super) canaries: Vec<u32>,
    /// How many of those that failed get a successor.
    pub(super) replace: usize,
    /// How many new ones beside them.
    pub(super) fresh: usize,
    /// Canaries are out: everything else stays at the version before.
    pub(super) canarying: bool,
}

/// The lowest numbers that no allocation of the group has; when they run out, from 0 again.
pub(super) struct FreeSlots(VecDeque<u32>, u32);

impl FreeSlots {
    pub(super) fn new(sorted: &Sorted, count: usize) -> FreeSlots {
        let replaced = sorted.replace.iter().map(|(a, _)| a.slot);
        let kept = sorted.keep.iter().chain(&sorted.migrate).map(|a| a.slot);
        let taken: BTreeSet<u32> = kept.chain(replaced).collect();
        let free = (0..count as u32).filter(|s| !taken.contains(s));
        FreeSlots(free.collect(), 0)
    }
    pub(super) fn left(&self) -> Vec<u32> {
        self.0.iter().copied().collect()
    }
    pub(super) fn drop(&mut self, slot: u32) {
        self.0.retain(|s| *s != slot);
    }
    pub(super) fn take(&mut self) -> u32 {
        self.0.pop_front().unwrap_or_else(|| {
            self.1 += 1;
            self.1 - 1
        })
    }
}
