//! `foreshadow place` as scripts run it: good instances, bad ones, explanations, and an interrupt.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

#[path = "common/instances.rs"]
mod instances;

fn place(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foreshadow"));
    command.arg("place").args(args).output().unwrap()
}

fn json(args: &[&str]) -> Value {
    let out = place(args);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{args:?}: {errors}");
    serde_json::from_slice(&out.stdout).unwrap()
}

/// An instance of three sites with a node each, and two portions at home in the first.
fn small() -> Value {
    let portion = |id: &str| {
        json!({
            "id": id, "k": 1, "primary_node": 0, "primary_domain": 0, "reserve": [5, 5, 1], "active": [10, 10, 2],
            "candidates": [[1, 7], [2, 9]], "unplaced_penalty": 1_000,
        })
    };
    let node = |id: &str, domain: usize| json!({ "id": id, "domain": domain, "free": [30, 30, 30], "open_cost": 5 });
    json!({
        "format": "foreshadow-placement/1", "name": "small", "resources": ["cpu_mhz", "mem_mb", "net_mbps"],
        "domains": [{ "id": "home" }, { "id": "near" }, { "id": "far" }],
        "nodes": [node("a", 0), node("b", 1), node("c", 2)],
        "portions": [portion("web"), portion("db")],
    })
}

fn write(folder: &Path, instance: &Value) -> String {
    let file = folder.join("instance.json");
    std::fs::write(&file, instance.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

fn made_up(folder: &Path, portions: usize, nodes: usize) -> PathBuf {
    let instance = instances::made_up(portions, nodes, 2.4, 1);
    let file = folder.join("made_up.json");
    std::fs::write(&file, serde_json::to_string(&instance).unwrap()).unwrap();
    file
}

#[test]
fn an_answer_has_the_keys_that_scripts_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), &small());
    let answer = json(&["--input", &file, "--time-limit", "1s", "--format", "json"]);
    assert_eq!(answer["feasible"], true);
    assert_eq!(answer["standbys"], json!([[1], [1]]));
    assert_eq!(
        (&answer["objective"], &answer["bound"]),
        (&json!(19), &json!(19))
    );
    assert_eq!(
        (&answer["gap_pct"], &answer["unplaced"]),
        (&json!(0.0), &json!(0))
    );
    assert!(answer["solve_ms"].is_number());
}

#[test]
fn the_same_seed_and_iterations_give_the_same_answer_with_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let file = made_up(folder.path(), 80, 20);
    let with = |threads: &str| {
        let mut answer = json(&[
            "--input",
            file.to_str().unwrap(),
            "--iterations",
            "5000",
            "--seed",
            "7",
            "--threads",
            threads,
            "--format",
            "json",
        ]);
        let answer = answer.as_object_mut().unwrap();
        answer.retain(|key, _| !key.ends_with("_ms"));
        answer.clone()
    };
    let one = with("1");
    assert_eq!(one["feasible"], true);
    assert_eq!(one, with("2"));
    assert_eq!(one, with("5"));
}

#[test]
fn bad_instances_end_with_64_and_say_what_is_wrong() {
    type Spoil = fn(&mut Value);
    let cases: &[(Spoil, &str)] = &[
        (
            |i| i["nodes"][1]["id"] = json!("a"),
            "node \"a\" occurs twice",
        ),
        (
            |i| i["portions"][1]["id"] = json!("web"),
            "portion \"web\" occurs twice",
        ),
        (|i| i["nodes"][1]["free"][0] = json!(-3), "`free` is -3"),
        (
            |i| i["portions"][0]["candidates"][0][1] = json!(-7),
            "`candidates` is -7",
        ),
        (
            |i| i["nodes"][1]["free"][0] = json!(i64::MAX),
            "use a larger unit",
        ),
        (|i| i["nodes"][1]["free"][0] = json!(1e300), "column"),
        (|i| i["portions"][0]["k"] = json!(1.5), "column"),
        (
            |i| i["portions"][0]["primary_domain"] = json!(9),
            "refers to number 9",
        ),
        (|i| i["format"] = json!("other/3"), "has format \"other/3\""),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (spoil, expected) in cases {
        let mut bad = small();
        spoil(&mut bad);
        let file = write(folder.path(), &bad);
        let out = place(&["--input", &file]);
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(64), "{expected}: {said}");
        assert!(said.contains(expected), "{said:?} should say {expected:?}");
        assert!(out.stdout.is_empty());
    }
}

#[test]
fn what_cannot_be_placed_is_left_out_and_named() {
    type Spoil = fn(&mut Value);
    let cases: &[(Spoil, u64, &str)] = &[
        (
            |i| i["portions"][0]["candidates"] = json!([]),
            1,
            "has no candidate nodes",
        ),
        (
            |i| i["portions"][0]["k"] = json!(5),
            3,
            "in 2 failure domains",
        ),
        (
            |i| (1..3).for_each(|node| i["nodes"][node]["free"] = json!([0, 0, 0])),
            2,
            "has 0 cpu_mhz free",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (spoil, missing, expected) in cases {
        let mut hopeless = small();
        spoil(&mut hopeless);
        let file = write(folder.path(), &hopeless);
        let answer = json(&["--input", &file, "--iterations", "1000", "--format", "json"]);
        assert_eq!(
            (&answer["feasible"], &answer["unplaced"]),
            (&json!(true), &json!(missing))
        );
        let why = answer["why_unplaced"].to_string();
        assert!(why.contains(expected), "{why} should say {expected:?}");
    }
}

#[test]
fn explain_shows_the_candidates_of_one_portion_with_cost_and_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut tight = small();
    tight["nodes"][2]["free"][0] = json!(9);
    let file = write(folder.path(), &tight);
    let out = place(&["--input", &file, "--iterations", "1000", "--explain", "db"]);
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("db wants 1 standby;"), "{text}");
    assert!(text.contains("chosen"), "{text}");
    assert!(
        text.contains("has 9 cpu_mhz free, and one active standby needs 10"),
        "{text}"
    );
    let out = place(&["--input", &file, "--iterations", "1", "--explain", "dbb"]);
    assert_eq!(out.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&out.stderr).contains("did you mean \"db\"?"));
}

#[test]
fn a_running_placement_is_repaired_with_few_moves() {
    let folder = tempfile::tempdir().unwrap();
    let file = made_up(folder.path(), 80, 20);
    let file = file.to_str().unwrap();
    let first = json(&["--input", file, "--iterations", "20000", "--format", "json"]);
    let running = folder.path().join("running.json");
    std::fs::write(&running, first.to_string()).unwrap();
    let running = running.to_str().unwrap();
    let args = [
        "--input",
        file,
        "--iterations",
        "2000",
        "--running",
        running,
        "--move-cost",
        "100000",
        "--format",
        "json",
    ];
    let again = json(&args);
    assert_eq!(again["moved"], 0);
    assert_eq!(again["standbys"], first["standbys"]);
}

#[test]
fn an_interrupt_ends_a_long_search_with_the_best_answer_so_far() {
    let folder = tempfile::tempdir().unwrap();
    let file = made_up(folder.path(), 300, 60);
    let mut child = Command::new(env!("CARGO_BIN_EXE_foreshadow"))
        .args([
            "place",
            "--input",
            file.to_str().unwrap(),
            "--time-limit",
            "600s",
            "--format",
            "json",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut progress = String::new();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    errors.read_line(&mut progress).unwrap();
    assert!(progress.contains("best so far"), "{progress:?}");
    let id = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
    let mut answer = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut answer)
        .unwrap();
    assert!(child.wait().unwrap().success());
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["feasible"], true);
    assert!(answer["bound"].as_i64() <= answer["objective"].as_i64());
}
