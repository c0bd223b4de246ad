//! One table: rows by ID, the index up to which it is known, and which rows changed since they were last asked for.

use crate::clients::nomad::{Alloc, Evaluation, Node};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What is kept in a table.
pub trait Kept {
    fn id(&self) -> &str;
    fn modify_index(&self) -> u64;
    /// Nothing is missing that a list does not carry.
    fn whole(&self) -> bool;
}

macro_rules! kept {
    ($($row:ty, $whole:expr;)*) => {$(
        impl Kept for $row {
            fn id(&self) -> &str {
                &self.id
            }
            fn modify_index(&self) -> u64 {
                self.modify_index
            }
            fn whole(&self) -> bool {
                let whole: fn(&$row) -> bool = $whole;
                whole(self)
            }
        }
    )*};
}
kept!(Node, |n| !n.attributes.is_empty(); Alloc, |_| true; Evaluation, |_| true;);

/// What a list brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Rows that were new or newer.
    pub put: usize,
    /// Rows that are gone.
    pub removed: usize,
    /// The index was below the one known: another or a restored state store. Everything was replaced.
    pub went_back: bool,
}

/// A row as far as it is kept.
#[derive(Debug)]
struct Held<T> {
    index: u64,
    whole: bool,
    /// Until it is handed over.
    row: Option<Arc<T>>,
}

#[derive(Debug)]
pub struct Table<T> {
    rows: HashMap<Arc<str>, Held<T>>,
    at: u64,
    changed: HashSet<Arc<str>>,
    /// While a list is on its way: where the table stood then, and what was removed since.
    reading: Option<(u64, HashMap<Arc<str>, u64>)>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table {
            rows: HashMap::new(),
            at: 0,
            changed: HashSet::new(),
            reading: None,
        }
    }
}

impl<T: Kept> Table<T> {
    pub fn at(&self) -> u64 {
        self.at
    }
    pub fn len(&self) -> usize {
        self.rows.len()
    }
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
    /// A row that was not handed over yet.
    pub fn get(&self, id: &str) -> Option<&Arc<T>> {
        self.rows.get(id)?.row.as_ref()
    }
    /// All that were not handed over yet.
    pub fn rows(&self) -> impl Iterator<Item = &Arc<T>> {
        self.rows.values().filter_map(|h| h.row.as_ref())
    }
    /// The index of a row that is known with what a list does not carry.
    pub(super) fn known_whole(&self, id: &str) -> Option<u64> {
        let held = self.rows.get(id).filter(|h| h.whole)?;
        Some(held.index)
    }
    /// Whether of some row that is missing.
    pub(super) fn is_bare(&self) -> bool {
        self.rows.values().any(|h| !h.whole)
    }

    fn hold(&mut self, id: Arc<str>, row: Arc<T>) {
        self.changed.insert(id.clone());
        let held = Held {
            index: row.modify_index(),
            whole: row.whole(),
            row: Some(row),
        };
        self.rows.insert(id, held);
    }

    pub(super) fn put(&mut self, row: Arc<T>, index: u64) {
        self.at = self.at.max(index);
        self.hold(row.id().into(), row);
    }

    pub(super) fn remove(&mut self, id: &str, index: u64) {
        self.at = self.at.max(index);
        if let Some((_, gone)) = &mut self.reading {
            gone.insert(id.into(), index);
        }
        if self.rows.remove(id).is_some() {
            self.changed.insert(id.into());
        }
    }

    pub(super) fn begin(&mut self) {
        self.reading = Some((self.at, HashMap::new()));
    }

    /// Rows that events made newer than the list stay as they are.
    pub(super) fn replace(&mut self, all: Vec<Arc<T>>, index: u64) -> Change {
        let (began, gone) = self.reading.take().unwrap_or((self.at, HashMap::new()));
        let mut change = Change {
            went_back: index < began,
            ..Change::default()
        };
        // Without an index nothing tells old from new either.
        let anew = change.went_back || index == 0;
        // What was there before, less what the list names, is gone.
        let mut rest: HashSet<Arc<str>> = match self.rows.is_empty() {
            true => HashSet::new(),
            false => self.rows.keys().cloned().collect(),
        };
        self.rows.reserve(all.len().saturating_sub(rest.len()));
        for row in all {
            let id = row.id();
            rest.remove(id);
            let held = self.rows.get(id);
            let newer = held.is_none_or(|h| row.modify_index() > h.index);
            let fuller =
                held.is_some_and(|h| row.modify_index() == h.index && row.whole() && !h.whole);
            let dead = gone.get(id).is_some_and(|d| *d > index);
            if anew || ((newer || fuller) && !dead) {
                change.put += usize::from(!fuller);
                self.hold(id.into(), row);
            }
        }
        let keep_from = if anew { u64::MAX } else { index };
        for id in rest {
            let newer = self.rows.get(&id).is_some_and(|r| r.index > keep_from);
            if !newer {
                change.removed += 1;
                self.rows.remove(&id);
                self.changed.insert(id);
            }
        }
        self.at = if anew { index } else { self.at.max(index) };
        change
    }

    /// Hands over what changed; of that, only what tells old from new stays.
    pub(super) fn drain(&mut self) -> Vec<(Arc<str>, Option<Arc<T>>)> {
        let changed = std::mem::take(&mut self.changed);
        changed
            .into_iter()
            .map(|id| {
                let row = self.rows.get_mut(&id).and_then(|h| h.row.take());
                (id, row)
            })
            .collect()
    }
}
