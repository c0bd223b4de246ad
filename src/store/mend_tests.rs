//! Damage of every kind to a store's file: it is set aside, and what can be read is taken over.

use super::*;
use crate::model::*;
use std::path::PathBuf;

const NOON: Moment = Moment(1_772_625_600_000);

fn web() -> PortionId {
    "web".into()
}

/// A store with a day of readings, lessons, an open step and one that has ended; closed, so that all is in the one file.
fn filled(folder: &Path) -> PathBuf {
    let path = folder.join("a.db");
    let store = Store::open(&path).unwrap();
    let sample = |k: i64| Memo::Sample {
        portion: web(),
        at: Moment(k * 60_000),
        rate: Rps(k as f64),
    };
    store
        .remember(&(0..1440).map(sample).collect::<Vec<_>>())
        .unwrap();
    let caution = Memo::Caution {
        portion: web(),
        factor: 2.0,
    };
    store.remember(&[caution]).unwrap();
    for (step, state) in [
        ("open", JournalState::Intended),
        ("done", JournalState::Verified),
    ] {
        store.journal(&journal::entry(step, state, 1)).unwrap();
    }
    path
}

fn readings(store: &Store) -> usize {
    let series = store.demand(&web(), Span::secs(60), Moment(0)).unwrap();
    series.map_or(0, |s| s.values.iter().filter(|v| v.is_finite()).count())
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|n| !n.ends_with("-wal") && !n.ends_with("-shm"))
        .collect();
    names.sort();
    names
}

const ASIDE: &str = "a.db.damaged-20260304T120000Z";

#[test]
fn a_sound_store_is_opened_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let store = Store::open_or_mend(&path, NOON).unwrap();
    assert_eq!((store.mended(), readings(&store)), (None, 1440));
    assert_eq!(files(folder.path()), ["a.db"]);
    let fresh = Store::open_or_mend(&folder.path().join("b.db"), NOON).unwrap();
    assert_eq!(fresh.mended(), None, "one that is not there is made");
}

#[test]
fn a_file_that_is_no_store_is_set_aside_whole_and_a_new_one_begins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let text = "this was a disk once ".repeat(500);
    std::fs::write(&path, &text).unwrap();
    let store = Store::open_or_mend(&path, NOON).unwrap();
    let mended = store.mended().unwrap();
    assert_eq!(mended.saved, 0);
    assert_eq!(mended.aside, folder.path().join(ASIDE));
    assert_eq!(std::fs::read_to_string(&mended.aside).unwrap(), text);
    assert!(store.is_new().unwrap());
    let said = mended.to_string();
    for part in ["a.db", ASIDE, "not a database", "Consul's journal"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn of_a_file_with_bad_pages_all_that_can_be_read_is_taken_over() {
    let mut best = 0;
    // Every page in turn becomes noise; the first holds the list of tables.
    for page in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path());
        let mut bytes = std::fs::read(&path).unwrap();
        let at = page * 4096;
        if at >= bytes.len() {
            assert!(page > 10, "the file has pages");
            break;
        }
        bytes[at..at + 4096].fill(0xA7);
        std::fs::write(&path, &bytes).unwrap();
        let store = Store::open_or_mend(&path, NOON).unwrap();
        let kept = readings(&store);
        best = best.max(kept);
        // A free page, or one that only says where others are, harms nothing that is read.
        if let Some(mended) = store.mended() {
            assert_eq!(
                std::fs::read(&mended.aside).unwrap(),
                bytes,
                "page {page}: it was changed"
            );
            let all = kept == 1440 && store.open_steps().unwrap().len() == 1;
            assert!(all || !mended.lossy.is_empty(), "page {page}: {mended}");
        }
        let sample = Memo::Sample {
            portion: web(),
            at: Moment(1440 * 60_000),
            rate: Rps(1.0),
        };
        store.remember(&[sample]).unwrap();
    }
    assert_eq!(best, 1440, "damage elsewhere costs no reading");
}

#[test]
fn a_file_that_is_cut_off_keeps_what_lies_before_the_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 2 * 4096]).unwrap();
    let store = Store::open_or_mend(&path, NOON).unwrap();
    let mended = store.mended().unwrap();
    assert!(mended.saved > 100, "{mended}");
    assert_eq!(files(folder.path()), ["a.db", ASIDE]);
}

#[test]
fn a_row_that_nobody_understands_does_not_keep_the_others_from_being_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(
        "INSERT INTO journal (step, state, at, json) VALUES ('x', 'Intended', 5, '{\"step\": 7}');
         INSERT INTO skill VALUES ('web', 'once upon a time');",
    )
    .unwrap();
    drop(raw);
    let store = Store::open_or_mend(&path, NOON).unwrap();
    let mended = store.mended().unwrap();
    assert_eq!(mended.lossy, ["skill", "journal"]);
    let open = store.open_steps().unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].step.id, StepId::new("open"));
    assert_eq!(store.beliefs().unwrap().caution[&web()], 2.0);
    assert_eq!(readings(&store), 1440);
}

#[test]
fn a_store_that_lacks_a_table_of_its_version_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("DROP TABLE verdict").unwrap();
    drop(raw);
    let store = Store::open_or_mend(&path, NOON).unwrap();
    assert_eq!(store.mended().unwrap().lossy, ["verdict"]);
    assert_eq!(readings(&store), 1440);
}

#[test]
fn a_store_of_a_newer_schema_stays_as_it_is_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(raw);
    let before = std::fs::read(&path).unwrap();
    let refused = Store::open_or_mend(&path, NOON).err().unwrap();
    assert!(
        matches!(refused, Error::TooNew { found: 99, .. }),
        "{refused}"
    );
    let said = refused.to_string();
    assert!(
        said.contains("schema version 99") && said.contains("newer binary"),
        "{said}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(files(folder.path()), ["a.db"]);
}

#[test]
fn two_stores_damaged_one_after_the_other_are_both_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    for (k, now) in [NOON, NOON + Span::secs(1)].into_iter().enumerate() {
        std::fs::write(&path, format!("damage {k} {}", "x".repeat(4096))).unwrap();
        let _ = Store::open_or_mend(&path, now).unwrap();
    }
    assert_eq!(files(folder.path()).len(), 3);
}
