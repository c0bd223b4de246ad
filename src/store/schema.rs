//! The tables, version by version.

use super::Error;
use rusqlite::Connection;
use std::path::Path;

/// Each entry brings the schema from its index to the next version.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE sample (portion TEXT NOT NULL, at INTEGER NOT NULL, rate REAL, PRIMARY KEY (portion, at)) WITHOUT ROWID;
    CREATE TABLE availability (at INTEGER NOT NULL, subject TEXT NOT NULL, site INTEGER NOT NULL, up INTEGER NOT NULL,
                               PRIMARY KEY (at, subject)) WITHOUT ROWID;
    CREATE TABLE measurement (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, json TEXT NOT NULL);
    CREATE TABLE profile (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE skill (portion TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE lesson (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, portion TEXT, text TEXT NOT NULL);
    CREATE TABLE journal (id INTEGER PRIMARY KEY, step TEXT NOT NULL, state TEXT NOT NULL, at INTEGER NOT NULL, json TEXT NOT NULL);
    CREATE INDEX journal_step ON journal (step, id);
"];

pub(super) fn prepare(connection: &Connection, path: &Path) -> Result<(), Error> {
    let open = |source| Error::Open {
        path: path.to_path_buf(),
        source,
    };
    // NORMAL in WAL: a killed process loses nothing that was committed; after a power cut the journal is settled by looking anew.
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 2000;",
        )
        .map_err(open)?;
    let found: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(open)?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(Error::TooNew {
            path: path.to_path_buf(),
            found,
            known,
        });
    }
    for (version, sql) in MIGRATIONS.iter().enumerate().skip(found.max(0) as usize) {
        let next = version + 1;
        connection
            .execute_batch(&format!(
                "BEGIN; {sql} PRAGMA user_version = {next}; COMMIT;"
            ))
            .map_err(open)?;
    }
    Ok(())
}
