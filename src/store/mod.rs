//! History, profiles, events and the journal on SQLite; it remembers, and never interprets.

mod journal;
mod memory;
mod mend;
#[cfg(test)]
mod mend_tests;
mod pages;
mod rollup;
mod schema;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod upgrade_tests;

pub use mend::Mended;
pub use pages::StoredPage;
use rollup::Retention;
pub use rollup::{Compacted, READINGS};

use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "cannot open the store {path}: {source}; is the folder writable, and is no other foreshadow using it?"
    )]
    Open {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error(
        "the store {path} has schema version {found}, this foreshadow knows up to {known}; use the newer binary or another file"
    )]
    TooNew {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error(
        "the store {path} is damaged: {why}; move it away, or let `foreshadow run` set it aside and take over what can be read"
    )]
    Broken { path: PathBuf, why: String },
    #[error(
        "cannot set the damaged store {path} aside: {source}; is its folder writable? Nothing of it was changed"
    )]
    Aside {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot write {what} to the store: {source}")]
    Write {
        what: &'static str,
        source: rusqlite::Error,
    },
    #[error("cannot read {what} from the store: {source}")]
    Read {
        what: &'static str,
        source: rusqlite::Error,
    },
    #[error("{what} in the store is not what was written: {source}")]
    Damaged {
        what: &'static str,
        source: serde_json::Error,
    },
}

/// The store. One connection: SQLite in WAL mode, every call one transaction.
pub struct Store {
    connection: Mutex<Connection>,
    mended: Option<Mended>,
    retention: Retention,
}

impl Store {
    /// Opens or creates the file and brings its schema up to date.
    pub fn open(path: &Path) -> Result<Store, Error> {
        let connection = Connection::open(path).map_err(|e| schema::opening(path, e))?;
        schema::prepare(&connection, path)?;
        Ok(Store {
            connection: Mutex::new(connection),
            mended: None,
            retention: Retention::of(READINGS),
        })
    }

    /// What was done about a damaged file when this store was opened.
    pub fn mended(&self) -> Option<&Mended> {
        self.mended.as_ref()
    }

    /// A store that is gone with the process.
    pub fn in_memory() -> Result<Store, Error> {
        let path = Path::new(":memory:");
        let connection = Connection::open_in_memory().map_err(|source| Error::Open {
            path: path.to_path_buf(),
            source,
        })?;
        schema::prepare(&connection, path)?;
        Ok(Store {
            connection: Mutex::new(connection),
            mended: None,
            retention: Retention::of(READINGS),
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut Connection) -> T) -> T {
        // A panic while the lock was held cannot leave half a transaction: SQLite rolls it back.
        let mut guard = self
            .connection
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        f(&mut guard)
    }
}
