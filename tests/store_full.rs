//! A disk that is really full (a small file system in memory, in a namespace of its own): nothing that was kept is lost, what
//! cannot be kept is refused with words, and as soon as there is room all goes on.
#![allow(clippy::disallowed_methods)] // the environment tells the other process where to write

#[path = "common/intended.rs"]
mod intended;

use foreshadow::model::*;
use foreshadow::store::{Error, Store};
use intended::intended;
use std::path::{Path, PathBuf};
use std::process::Command;

const WHERE: &str = "FORESHADOW_FULL_DISK_UNDER_TEST";
const MINUTE: i64 = 60_000;

fn entry(k: i64) -> JournalEntry {
    intended(k, "x".repeat(2_000))
}

fn cycle(k: i64) -> Vec<Memo> {
    let of = |p: &str| Memo::Sample {
        portion: p.into(),
        at: Moment(k * MINUTE),
        rate: Rps(k as f64),
    };
    (0..40).map(|n| of(&format!("portion-{n}"))).collect()
}

/// Runs in its own namespace, where `folder` is a file system of 512 kB.
#[test]
#[ignore = "it is the other process of the test below"]
fn in_a_small_world() {
    let Some(folder) = std::env::var_os(WHERE).map(PathBuf::from) else {
        return;
    };
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![1; 150_000]).expect("there is room for that");
    let path = folder.join("a.db");
    let store = Store::open(&path).expect("there is room for a store");
    let mut kept = 0;
    let full = loop {
        let done = store
            .remember(&cycle(kept))
            .and_then(|()| store.journal(&entry(kept)));
        match done {
            Ok(()) => kept += 1,
            Err(e) => break e,
        }
        assert!(kept < 10_000, "the disk never was full");
    };
    assert!(matches!(full, Error::Write { .. }), "{full:?}");
    println!("\nfull after {kept}: {full}");
    // Refused again and again, and reading goes on.
    for _ in 0..20 {
        store
            .remember(&cycle(kept))
            .and_then(|()| store.journal(&entry(kept)))
            .expect_err("it still is full");
    }
    assert_kept(&store, kept);
    // A gateway that starts again on a full disk finds all of it too, and does not take that for damage.
    drop(store);
    if let Ok(store) = Store::open_or_mend(&path, Moment(0)) {
        assert_eq!(store.mended(), None);
        assert_kept(&store, kept);
    }
    std::fs::remove_file(&ballast).expect("somebody makes room");
    let store = Store::open_or_mend(&path, Moment(0)).expect("it opens");
    assert_eq!(store.mended(), None);
    store.remember(&cycle(kept)).expect("there is room again");
    store.journal(&entry(kept)).expect("there is room again");
    assert_kept(&store, kept + 1);
    println!("done");
}

fn assert_kept(store: &Store, cycles: i64) {
    for portion in ["portion-0", "portion-39"] {
        let series = store.demand(&portion.into(), Span(MINUTE), Moment(0));
        let values = series.expect("readable").expect("there").values;
        let expected: Vec<f64> = (0..cycles).map(|k| k as f64).collect();
        // The cycle that met the full disk may have been kept before its journal entry was refused.
        assert!(
            values == expected || values[..values.len() - 1] == expected[..],
            "{cycles}: {values:?}"
        );
    }
    let open = store.open_steps().expect("readable").len() as i64;
    assert_eq!(open, cycles);
}

#[test]
fn a_full_disk_loses_nothing_that_was_kept_and_all_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(said) = within_a_small_file_system(folder.path()) else {
        eprintln!("skipped: this machine lets nobody mount a file system (`unshare -rm`)");
        return;
    };
    assert!(
        said.contains("full after") && said.contains("done"),
        "{said}"
    );
}

/// What the other process said; `None` where the machine forbids namespaces.
fn within_a_small_file_system(folder: &Path) -> Option<String> {
    let mount = format!(
        "mount -t tmpfs -o size=512k foreshadow '{}'",
        folder.display()
    );
    let may = Command::new("unshare")
        .args(["-rm", "sh", "-c", &mount])
        .output()
        .ok()?;
    if !may.status.success() {
        return None;
    }
    let this = std::env::current_exe().expect("this program");
    let script = format!(
        "{mount} && exec '{}' --ignored --exact in_a_small_world --nocapture",
        this.display()
    );
    let ran = Command::new("unshare")
        .args(["-rm", "sh", "-c", &script])
        .env(WHERE, folder)
        .output()
        .expect("it starts");
    let said =
        String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    Some(said)
}
