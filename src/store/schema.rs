//! The tables, version by version.

use super::Error;
use rusqlite::{Connection, ErrorCode};
use std::path::Path;

/// Each entry brings the schema from its index to the next version.
pub(super) const MIGRATIONS: [&str; 5] = [
    "
    CREATE TABLE sample (portion TEXT NOT NULL, at INTEGER NOT NULL, rate REAL, PRIMARY KEY (portion, at)) WITHOUT ROWID;
    CREATE TABLE availability (at INTEGER NOT NULL, subject TEXT NOT NULL, site INTEGER NOT NULL, up INTEGER NOT NULL,
                               PRIMARY KEY (at, subject)) WITHOUT ROWID;
    CREATE TABLE measurement (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, json TEXT NOT NULL);
    CREATE TABLE profile (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE skill (portion TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE lesson (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, portion TEXT, text TEXT NOT NULL);
    CREATE TABLE journal (id INTEGER PRIMARY KEY, step TEXT NOT NULL, state TEXT NOT NULL, at INTEGER NOT NULL, json TEXT NOT NULL);
    CREATE INDEX journal_step ON journal (step, id);
",
    // A portion's name once instead of in each row, and a place for what is rolled up: averages over `width` milliseconds of
    // `n` readings each.
    "
    CREATE TABLE series (id INTEGER PRIMARY KEY, portion TEXT NOT NULL UNIQUE);
    INSERT INTO series (portion) SELECT DISTINCT portion FROM sample;
    CREATE TABLE reading (series INTEGER NOT NULL, at INTEGER NOT NULL, rate REAL, PRIMARY KEY (series, at)) WITHOUT ROWID;
    INSERT INTO reading SELECT series.id, sample.at, sample.rate FROM sample JOIN series USING (portion);
    DROP TABLE sample;
    CREATE TABLE rolled (width INTEGER NOT NULL, series INTEGER NOT NULL, at INTEGER NOT NULL, rate REAL NOT NULL, n INTEGER NOT NULL,
                         PRIMARY KEY (width, series, at)) WITHOUT ROWID;
    CREATE INDEX journal_at ON journal (at);
",
    // The verdict in force for each place, and how careful shadows of a portion must be.
    "
    CREATE TABLE verdict (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE caution (portion TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
",
    // What people asked for, and who.
    "
    CREATE TABLE asked (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL);
",
    // What faces look back at: a page for each cycle in which something changed, and what was then known of portions.
    "
    CREATE TABLE page (at INTEGER PRIMARY KEY, json TEXT NOT NULL);
    CREATE TABLE page_row (portion TEXT NOT NULL, at INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY (portion, at)) WITHOUT ROWID;
    CREATE INDEX page_row_at ON page_row (at);
",
];

pub(super) fn prepare(connection: &Connection, path: &Path) -> Result<(), Error> {
    let open = |source| opening(path, source);
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
    reclaiming(connection).map_err(open)?;
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

/// What kept the file from being opened: damage, or something that may pass.
pub(super) fn opening(path: &Path, source: rusqlite::Error) -> Error {
    let path = path.to_path_buf();
    match source.sqlite_error_code() {
        // An unknown code is SQL that does not fit the tables: they are not those of the version that the file names.
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) => {
            Error::Broken {
                path,
                why: source.to_string(),
            }
        }
        _ => Error::Open { path, source },
    }
}

/// Pages that retention frees go back to the disk bit by bit; a store from before that is rebuilt once.
fn reclaiming(connection: &Connection) -> rusqlite::Result<()> {
    const INCREMENTAL: i64 = 2;
    let mode: i64 = connection.query_row("PRAGMA auto_vacuum", [], |row| row.get(0))?;
    if mode != INCREMENTAL {
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM;")?;
    }
    Ok(())
}
