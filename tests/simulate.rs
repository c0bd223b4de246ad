//! `foreshadow simulate`: the same seed plays the same day, the strategies meet the same world, and random worlds keep their laws.
#![allow(clippy::disallowed_methods)] // the binary to test is named by the environment

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The binary to test, and whether it is the optimised one: that plays more worlds in the same time.
fn binary() -> (PathBuf, bool) {
    match std::env::var_os("FORESHADOW_BIN") {
        Some(path) => (path.into(), true),
        None => (env!("CARGO_BIN_EXE_foreshadow").into(), false),
    }
}

fn simulate(args: &[&str]) -> Output {
    let run = Command::new(binary().0).arg("simulate").args(args).output();
    run.expect("the binary runs")
}

fn report(args: &[&str]) -> Value {
    let mut all = vec!["--policy", "policies/shop.hcl", "--format", "json"];
    all.extend(args);
    let run = simulate(&all);
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}");
    let mut report: Value = serde_json::from_slice(&run.stdout).expect("one JSON document");
    report
        .as_object_mut()
        .expect("an object")
        .remove("wall_ms")
        .expect("the wall time");
    report
}

fn number(report: &Value, key: &str) -> f64 {
    report[key]
        .as_f64()
        .unwrap_or_else(|| panic!("{key} in {report}"))
}

/// Half a day would do, but days are what can be asked for: the built-in trace is played by whoever costs little.
#[test]
fn the_same_seed_plays_the_same_day_and_another_one_does_not() {
    let day = |seed| {
        report(&[
            "--strategy",
            "reactive",
            "--faults",
            "heavy",
            "--seed",
            seed,
        ])
    };
    let first = day("7");
    assert_eq!(first, day("7"));
    assert_ne!(first, day("8"));
}

#[test]
fn every_key_of_the_contract_is_told_and_the_strategies_meet_the_same_clients() {
    let of = |strategy| report(&["--strategy", strategy]);
    let (reactive, peak, oracle) = (of("reactive"), of("static"), of("oracle"));
    for key in [
        "requests",
        "requests_lost",
        "requests_late",
        "violation_seconds",
        "core_hours",
        "reserved_core_hours",
        "switchovers",
        "false_switchovers",
    ] {
        assert!(number(&reactive, key) >= 0.0);
    }
    assert!(
        reactive["reaction_ms"].get("p50").is_some()
            && reactive["reaction_ms"].get("p99").is_some()
    );
    for other in [&peak, &oracle] {
        assert_eq!(reactive["requests"], other["requests"]);
    }
    let held = |r: &Value| number(r, "core_hours");
    assert!(held(&oracle) < held(&reactive) && held(&reactive) < held(&peak));
    let sore = |r: &Value| number(r, "violation_seconds");
    assert!(
        sore(&oracle) < sore(&reactive),
        "{oracle} against {reactive}"
    );
}

#[test]
fn whoever_steers_meets_the_same_faults() {
    let of = |strategy| report(&["--strategy", strategy, "--faults", "light"]);
    let (one, other) = (of("reactive"), of("static"));
    assert_eq!(one["requests"], other["requests"]);
    assert_eq!(one["faults"], other["faults"]);
    assert!(number(&one, "faults") > 0.0 && number(&one, "requests_lost") > 0.0);
}

#[test]
fn random_worlds_keep_their_laws_or_say_how_to_play_them_again() {
    let count = if binary().1 { "1000" } else { "4" };
    let run = simulate(&["--seeds", count, "--format", "json"]);
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}");
    let verdict: Value = serde_json::from_slice(&run.stdout).expect("one JSON document");
    assert_eq!(verdict["failed"], Value::Array(Vec::new()));
    assert!(number(&verdict, "steps") > 1_000.0);
    println!("random worlds that keep their laws: {count}");
}

#[test]
fn a_simulated_sandbox_tells_the_same_events_for_the_same_seed_and_sums_up() {
    let run = |seed| {
        let args = [
            "sandbox",
            "--headless",
            "--runtime",
            "simulated",
            "--format",
            "json",
        ];
        let run = Command::new(binary().0)
            .args(args)
            .args(["--for", "30s", "--seed", seed])
            .output();
        let run = run.expect("the binary runs");
        assert!(
            run.status.success(),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
        String::from_utf8(run.stdout).expect("text")
    };
    let told = run("1");
    assert_eq!(told, run("1"));
    assert_ne!(told, run("2"));
    let lines: Vec<Value> = told
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    assert_eq!(lines[0]["kind"], "listening");
    let summary = &lines[lines.len() - 1]["summary"];
    assert!(number(summary, "requests") > 100.0);
    assert_eq!(number(summary, "lost_planned"), 0.0);
    for kind in ["portion", "shadow", "plan", "verification"] {
        assert!(
            lines.iter().any(|l| l["kind"] == kind),
            "no {kind} in {told}"
        );
    }
}

#[test]
fn speed_is_for_the_simulated_runtime_and_addresses_are_for_the_other() {
    let refused = |args: &[&str]| {
        let run = Command::new(binary().0).arg("sandbox").args(args).output();
        let run = run.expect("the binary runs");
        assert_eq!(run.status.code(), Some(64));
        String::from_utf8_lossy(&run.stderr).into_owned()
    };
    assert!(refused(&["--headless", "--speed", "10"]).contains("--runtime simulated"));
    let simulated = ["--headless", "--runtime", "simulated"];
    assert!(refused(&[&simulated[..], &["--acl"]].concat()).contains("--acl"));
    assert!(refused(&[&simulated[..], &["--speed", "0"]].concat()).contains("--speed 0"));
}

#[test]
fn a_policy_without_a_peak_is_refused_and_so_is_a_level_of_faults_that_is_none() {
    let run = simulate(&["--policy", "policies/shop.hcl", "--faults", "some"]);
    assert_eq!(run.status.code(), Some(64));
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(told.contains("none, light, heavy"), "{told}");
}
