//! Hostile input, the short run: every seed and every past finding of the fuzzers goes through the same functions that they fuzz.

#[path = "../fuzz/src/lib.rs"]
mod strangers;

use std::path::{Path, PathBuf};
use strangers::{TARGETS, replay};

fn home(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

fn below(folder: &str, target: &str) -> PathBuf {
    home("fuzz").join(folder).join(target)
}

#[test]
fn every_seed_and_every_past_finding_is_read_or_refused_without_a_broken_promise() {
    for (name, target) in TARGETS {
        // The examples of the repository are seeds, too.
        let examples = match name {
            "policy" => replay(target, &home("policies")),
            "job" => replay(target, &home("jobs")),
            _ => 0,
        };
        let seeds = replay(target, &below("corpus", name));
        assert!(seeds + examples > 0, "no seeds for {name}");
        replay(target, &below("cases", name));
    }
}

#[test]
fn every_target_is_one_that_cargo_fuzz_knows() {
    let manifest = include_str!("../fuzz/Cargo.toml");
    for (name, _) in TARGETS {
        let listed = manifest.contains(&format!("fuzz_targets/{name}.rs"));
        assert!(listed, "{name} is not in fuzz/Cargo.toml");
    }
}
