//! A process that is killed in the midst of writing loses nothing that it was told is kept.
#![allow(clippy::disallowed_methods)] // another process is waited for and killed; the environment tells it where to write

#[path = "common/intended.rs"]
mod intended;

use foreshadow::model::*;
use foreshadow::store::Store;
use intended::intended;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const WHERE: &str = "FORESHADOW_STORE_UNDER_TEST";
const DAY: i64 = 86_400_000;
const MINUTE: i64 = 60_000;

fn web() -> PortionId {
    "web".into()
}

/// The writer that is killed: a cycle's memory, a journal entry and now and then a roll-up, each told once it is kept.
#[test]
#[ignore = "it is the other process of the test below"]
fn writer() {
    let Some(path) = std::env::var_os(WHERE).map(PathBuf::from) else {
        return;
    };
    let store = Store::open(&path).expect("the store opens");
    for k in 0.. {
        let at = Moment(k * MINUTE);
        let rate = Rps(k as f64);
        let memos: Vec<Memo> = ["web", "cart"]
            .map(|p| Memo::Sample {
                portion: p.into(),
                at,
                rate,
            })
            .to_vec();
        store.remember(&memos).expect("kept");
        store.journal(&entry(k)).expect("kept");
        println!("\nkept {k}");
        if k % 50 == 49 {
            // As if weeks had passed, so that there is much to move.
            store.compact(Moment(at.0 + 9 * DAY)).expect("rolled up");
        }
    }
}

fn entry(k: i64) -> JournalEntry {
    intended(k, String::new())
}

/// Starts the writer, kills it after so many acknowledgements, and says how far it was.
fn killed_after(path: &Path, acknowledged: usize) -> i64 {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "writer", "--nocapture"])
        .env(WHERE, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let kept = lines
        .by_ref()
        .map_while(Result::ok)
        .filter_map(|l| l.strip_prefix("kept ")?.parse::<i64>().ok());
    let mut last = kept.take(acknowledged).last().expect("it keeps something");
    child.kill().expect("it is there");
    child.wait().expect("it ends");
    // What it told before it died counts too.
    let rest = lines.map_while(Result::ok);
    last = rest
        .filter_map(|l| l.strip_prefix("kept ")?.parse::<i64>().ok())
        .last()
        .unwrap_or(last);
    last
}

#[test]
fn what_was_told_to_be_kept_is_there_after_a_kill_at_any_point() {
    for acknowledged in [1, 2, 49, 50, 51, 99, 100, 137] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let last = killed_after(&path, acknowledged);
        let store = Store::open(&path).expect("it opens again");
        for portion in [web(), "cart".into()] {
            let series = store.demand(&portion, Span(MINUTE), Moment(0));
            let series = series.expect("readable").expect("there");
            let (n, told) = (series.values.len() as i64, last + 1);
            assert!(
                (told..=told + 5).contains(&n),
                "killed after {last}: {n} readings"
            );
            // Averages of five keep the sum of five; a half-done roll-up would count some twice or not at all.
            let whole = told / 5 * 5;
            let sum: f64 = series.values[..whole as usize].iter().sum();
            let expected = (0..whole).sum::<i64>() as f64;
            assert!(
                (sum - expected).abs() < 1e-6,
                "killed after {last}: {sum}, not {expected}"
            );
        }
        let open = store.open_steps().expect("readable").len() as i64;
        assert!(
            (last + 1..=last + 3).contains(&open),
            "killed after {last}: {open} steps"
        );
        store
            .remember(&[Memo::Sample {
                portion: web(),
                at: Moment(DAY),
                rate: Rps(1.0),
            }])
            .expect("it goes on");
    }
}
