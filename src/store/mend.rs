//! A damaged store: opened read-only and set aside under a name of its own; what can still be read of it is taken over into a new one.

use super::schema::{MIGRATIONS, opening};
use super::{Error, Store};
use crate::model::counted;
use crate::model::*;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

const LOOK: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// What became of a damaged store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    pub path: PathBuf,
    pub why: String,
    /// Where the damaged file is now, with its write-ahead log beside it.
    pub aside: PathBuf,
    /// Rows taken over.
    pub saved: usize,
    /// Tables of which not every row could be read, or none.
    pub lossy: Vec<&'static str>,
}

impl fmt::Display for Mended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the store {} was damaged ({}): it is set aside as {}, and a new one begun with {} of it",
            self.path.display(),
            self.why,
            self.aside.display(),
            counted(self.saved, "row")
        )?;
        match self.lossy.as_slice() {
            [] => write!(f, "; nothing is missing that could be told")?,
            lossy => write!(f, "; not all could be read of {}", lossy.join(", "))?,
        }
        write!(
            f,
            ". Steps that were under way are settled from Consul's journal by whoever leads"
        )
    }
}

/// Whether a document is one that this version understands.
type Good = fn(&str) -> bool;

/// A table as the newest schema has it: its columns, and the order in which rows lie in the file.
struct Kept {
    name: &'static str,
    columns: &'static str,
    key: &'static [&'static str],
    /// The column that holds a document, and whether it is one of this version.
    document: Option<(usize, Good)>,
}

fn is<T: serde::de::DeserializeOwned>(text: &str) -> bool {
    serde_json::from_str::<T>(text).is_ok()
}

const TABLES: [Kept; 14] = [
    plain("series", "id, portion", &["id"]),
    plain("reading", "series, at, rate", &["series", "at"]),
    plain(
        "rolled",
        "width, series, at, rate, n",
        &["width", "series", "at"],
    ),
    plain("availability", "at, subject, site, up", &["at", "subject"]),
    plain("lesson", "id, at, portion, text", &["id"]),
    plain("asked", "id, at, who, what", &["id"]),
    plain("page", "at, json", &["at"]),
    plain("page_row", "portion, at, json", &["portion", "at"]),
    document("measurement", "id, at, json", &["id"], 2, is::<Measurement>),
    document("profile", "key, json", &["key"], 1, is::<Profile>),
    document("verdict", "key, json", &["key"], 1, is::<Judged>),
    document("caution", "portion, json", &["portion"], 1, is::<f64>),
    document("skill", "portion, json", &["portion"], 1, is::<Skill>),
    document(
        "journal",
        "id, step, state, at, json",
        &["id"],
        4,
        is::<JournalEntry>,
    ),
];

const fn plain(name: &'static str, columns: &'static str, key: &'static [&'static str]) -> Kept {
    Kept {
        name,
        columns,
        key,
        document: None,
    }
}

const fn document(
    name: &'static str,
    columns: &'static str,
    key: &'static [&'static str],
    at: usize,
    good: Good,
) -> Kept {
    Kept {
        name,
        columns,
        key,
        document: Some((at, good)),
    }
}

impl Store {
    /// As [`Store::open`]. A damaged file is set aside, named by the moment (`a.db.damaged-20260304T071000Z`), and the store is
    /// rebuilt from what can be read of it; `mended` tells. A file that is only in use, not writable or too new stays where it is.
    pub fn open_or_mend(path: &Path, now: Moment) -> Result<Store, Error> {
        let sound = examine(path)
            .and_then(|()| Store::open(path))
            .and_then(|store| store.check(path).map(|()| store));
        let why = match sound {
            Err(Error::Broken { why, .. }) => why,
            other => return other,
        };
        let aside = aside(path, now)?;
        let mut store = Store::open(path)?;
        let mut mended = Mended {
            path: path.to_path_buf(),
            // SQLite's own report has line breaks.
            why: why.split_whitespace().collect::<Vec<_>>().join(" "),
            aside,
            saved: 0,
            lossy: Vec::new(),
        };
        store.take_over(&mut mended)?;
        store.mended = Some(mended);
        Ok(store)
    }

    /// Whether whatever is read at a start can be read.
    fn check(&self, path: &Path) -> Result<(), Error> {
        let broken = |why: String| Error::Broken {
            path: path.to_path_buf(),
            why,
        };
        let journal = self.open_steps().map(drop);
        let history = self.with(|c| {
            let readable = |t: &Kept| c.prepare(&t.select("ASC")).map(drop);
            TABLES.iter().try_for_each(readable)
        });
        history.map_err(|e| broken(e.to_string()))?;
        match self.beliefs().map(drop).and(journal) {
            Err(e @ Error::Damaged { .. }) => Err(broken(e.to_string())),
            Err(Error::Read { source, .. }) => Err(broken(source.to_string())),
            other => other,
        }
    }

    /// Copies what the file that was set aside still gives, in one transaction.
    fn take_over(&self, mended: &mut Mended) -> Result<(), Error> {
        let write = |source| Error::Write {
            what: "what was saved of a damaged store",
            source,
        };
        let patched = patched(&mended.aside);
        let file = patched.as_ref().unwrap_or(&mended.aside);
        let Ok(old) = Connection::open_with_flags(file, LOOK) else {
            mended.lossy = TABLES.iter().map(|t| t.name).collect();
            return Ok(());
        };
        self.with(|connection| {
            let transaction = connection.transaction().map_err(write)?;
            for table in &TABLES {
                let (saved, whole) = copy(&old, &transaction, table).map_err(write)?;
                mended.saved += saved;
                if !whole {
                    mended.lossy.push(table.name);
                }
            }
            transaction.commit().map_err(write)
        })?;
        drop(old);
        if let Some(copy) = patched {
            // It was ours alone; one that stays behind is in nobody's way.
            let _ = std::fs::remove_file(copy);
        }
        Ok(())
    }
}

/// Whether the pages of a file are sound, asked before anything writes to it. One that is not there yet is.
fn examine(path: &Path) -> Result<(), Error> {
    if !path.exists() {
        return Ok(());
    }
    let damaged = |source| match opening(path, source) {
        broken @ Error::Broken { .. } => Err(broken),
        // What else there may be in the way, opening it for writing will tell.
        _ => Ok(()),
    };
    let old = match Connection::open_with_flags(path, LOOK) {
        Ok(old) => old,
        Err(e) => return damaged(e),
    };
    let version = old.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    match version {
        Ok(version) if version > MIGRATIONS.len() as i64 => return Ok(()),
        Ok(_) => {}
        Err(e) => return damaged(e),
    }
    match old.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)) {
        Ok(said) if said == "ok" => Ok(()),
        Ok(said) => Err(Error::Broken {
            path: path.to_path_buf(),
            why: said,
        }),
        Err(e) => damaged(e),
    }
}

impl Kept {
    fn select(&self, direction: &str) -> String {
        let order: Vec<String> = self
            .key
            .iter()
            .map(|k| format!("{k} {direction}"))
            .collect();
        let (columns, name) = (self.columns, self.name);
        format!("SELECT {columns} FROM {name} ORDER BY {}", order.join(", "))
    }

    fn good(&self, row: &[Value]) -> bool {
        self.document.is_none_or(|(at, good)| match row.get(at) {
            Some(Value::Text(text)) => good(text),
            _ => false,
        })
    }
}

/// SQLite reads nothing of a file that is shorter than its header says: a copy of such a one with empty pages at its end, to be
/// read in its place. `None` for any other file.
fn patched(aside: &Path) -> Option<PathBuf> {
    let mut header = [0; 32];
    std::fs::File::open(aside)
        .ok()?
        .read_exact(&mut header)
        .ok()?;
    // The page's size stands at offset 16 (1 means 65,536), the number of pages at 28: https://www.sqlite.org/fileformat.html
    let size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    let says = size * u64::from(pages);
    let is = std::fs::metadata(aside).ok()?.len();
    // A header that is noise itself may ask for anything.
    if is >= says || says > is.saturating_mul(64) {
        return None;
    }
    let copy = PathBuf::from(format!("{}.patched", aside.display()));
    std::fs::copy(aside, &copy).ok()?;
    let file = std::fs::OpenOptions::new().write(true).open(&copy).ok()?;
    file.set_len(says).ok()?;
    Some(copy)
}

/// Rows copied, and whether that is all of them. A bad page ends the reading: what lies behind it is read from the other end.
fn copy(old: &Connection, new: &Connection, table: &Kept) -> rusqlite::Result<(usize, bool)> {
    let width = table.columns.split(',').count();
    let places = vec!["?"; width].join(", ");
    let into = format!(
        "INSERT OR IGNORE INTO {} ({}) VALUES ({places})",
        table.name, table.columns
    );
    let mut into = new.prepare(&into)?;
    let (mut saved, mut whole) = (0, true);
    for direction in ["ASC", "DESC"] {
        let mut came_to_the_end = false;
        if let Ok(mut from) = old.prepare(&table.select(direction))
            && let Ok(mut rows) = from.query([])
        {
            came_to_the_end = loop {
                match rows.next() {
                    Ok(Some(row)) => {
                        let values: rusqlite::Result<Vec<Value>> =
                            (0..width).map(|k| row.get(k)).collect();
                        match values {
                            Ok(values) if table.good(&values) => saved += put(&mut into, values)?,
                            _ => whole = false,
                        }
                    }
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
        }
        if came_to_the_end {
            break;
        }
        whole = false;
    }
    Ok((saved, whole))
}

/// One row; what breaks a rule of the table is no row of ours.
fn put(into: &mut rusqlite::Statement, row: Vec<Value>) -> rusqlite::Result<usize> {
    match into.execute(params_from_iter(row)) {
        Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => Ok(0),
        done => done,
    }
}

/// Gives the file and what lies beside it another name.
fn aside(path: &Path, now: Moment) -> Result<PathBuf, Error> {
    let at = jiff::Timestamp::from_millisecond(now.0).unwrap_or_default();
    let at = at.strftime("%Y%m%dT%H%M%SZ");
    let with = |end: &str| PathBuf::from(format!("{}{end}", path.display()));
    let away = format!(".damaged-{at}");
    for end in ["-wal", "-shm", ""] {
        let (from, to) = (with(end), with(&format!("{away}{end}")));
        match std::fs::rename(&from, &to) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !end.is_empty() => {}
            done => done.map_err(|source| Error::Aside {
                path: from.clone(),
                source,
            })?,
        }
    }
    Ok(with(&away))
}
