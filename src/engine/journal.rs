//! The hands' journal is kept by the store.

use crate::act::Journal;
use crate::model::{JournalEntry, Later};
use crate::store::Store;

impl Journal for Store {
    fn write<'a>(&'a self, entry: &'a JournalEntry) -> Later<'a, Result<(), String>> {
        Box::pin(async { self.journal(entry).map_err(|e| e.to_string()) })
    }
}
