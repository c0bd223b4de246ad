//! Upgrades: a store that an older foreshadow left, as a file in `tests/store`, opened by this one. Nothing of it is lost.

use super::schema::MIGRATIONS;
use super::*;
use crate::model::*;
use std::path::PathBuf;

fn left_by(version: usize) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/store/v{version}.db"))
}

/// What is in a store, by table: the number of rows, and the sum of what is counted there.
fn contents(connection: &Connection, version: usize) -> Vec<(&'static str, i64, f64)> {
    let demand = if version == 1 { "sample" } else { "reading" };
    let mut all = vec![
        ("demand", demand, "rate"),
        ("availability", "availability", "at + up"),
        ("measurement", "measurement", "length(json)"),
        ("profile", "profile", "length(json)"),
        ("skill", "skill", "length(json)"),
        ("lesson", "lesson", "at"),
        ("journal", "journal", "length(json)"),
    ];
    if version >= 2 {
        all.push(("rolled", "rolled", "rate * n"));
    }
    if version >= 3 {
        all.push(("caution", "caution", "length(json)"));
        all.push(("verdict", "verdict", "length(json)"));
    }
    if version >= 4 {
        all.push(("asked", "asked", "at"));
    }
    if version >= 5 {
        all.push(("page", "page", "at + length(json)"));
        all.push(("page_row", "page_row", "at + length(json)"));
    }
    let of = |(name, table, sum): (&'static str, &str, &str)| {
        let sql = format!("SELECT count(*), total({sum}) FROM {table}");
        let (rows, sum) = connection
            .query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        (name, rows, sum)
    };
    all.into_iter().map(of).collect()
}

#[test]
fn a_store_of_every_earlier_schema_is_brought_up_to_date_and_nothing_of_it_is_lost() {
    for version in 1..=MIGRATIONS.len() {
        let from = left_by(version);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        std::fs::copy(&from, &path).unwrap_or_else(|e| {
            panic!(
                "{}: {e}; each schema leaves a store of its own there",
                from.display()
            )
        });
        let old = Connection::open(&path).unwrap();
        let says: usize = old
            .query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))
            .unwrap() as usize;
        assert_eq!(says, version);
        let before = contents(&old, version);
        assert!(before.iter().map(|t| t.1).sum::<i64>() > 50, "{before:?}");
        drop(old);

        let store = Store::open_or_mend(&path, Moment(0)).unwrap();
        assert_eq!(store.mended(), None, "schema {version} is no damage");
        let after = store.with(|c| contents(c, MIGRATIONS.len()));
        for was in &before {
            let is = after.iter().find(|t| t.0 == was.0).unwrap();
            assert_eq!(was, is, "schema {version}");
        }
        // What is kept as documents is understood by this version's types.
        let beliefs = store.beliefs().unwrap();
        assert!(!beliefs.profiles.is_empty() && !beliefs.skill.is_empty());
        assert!(!store.recent(99).unwrap().is_empty());
        store.open_steps().unwrap();
        let history = store.history(Span::secs(60), Moment(0)).unwrap();
        assert!(!history.demand.is_empty() && !history.availability.is_empty());
        drop(store);
        let again = Store::open_or_mend(&path, Moment(0)).unwrap();
        assert_eq!(again.mended(), None, "and it is opened again");
    }
}
