//! The hands' journal is kept by the store.

use crate::act::Journal;
use crate::model::JournalEntry;
use crate::store::Store;

impl Journal for Store {
    fn write(&self, entry: &JournalEntry) -> Result<(), String> {
        self.journal(entry).map_err(|e| e.to_string())
    }
}
