//! The whole scenario, once on each Consul.

use crate::program::{Program, alone, kind, processes_of, text};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The contract promises its end within 240 s; starting and stopping come on top.
const DAY: Duration = Duration::from_secs(270);

#[test]
fn the_day_on_the_embedded_consul_loses_nothing_in_planned_moves() {
    let _alone = alone();
    the_day("embedded");
}

#[test]
fn the_day_on_a_real_consul_loses_nothing_in_planned_moves() {
    if real_consul().is_none() {
        println!("skipped: no consul on PATH, in target/real-consul or in $FORESHADOW_CACHE");
        return;
    }
    let _alone = alone();
    the_day("real");
}

/// Where the program itself looks for one.
pub fn real_consul() -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let cache = std::env::var_os("FORESHADOW_CACHE").map(PathBuf::from);
    foreshadow::sandbox::real_consul::find(&path, cache.as_deref())
}

fn the_day(consul: &str) {
    let folder = tempfile::tempdir().unwrap();
    let args = ["sandbox", "--headless", "--format", "json", "--consul", consul];
    let mut run = Program::start(folder.path(), &args, &[]);
    let status = run.to_its_end(DAY);
    if !status.success() {
        run.fail(&format!("it ended with {status}"));
    }
    it_says_first_where_it_listens(&run);
    it_shows_each_step_of_the_loop(&run);
    it_prepares_before_anything_breaks(&run);
    it_answers_the_death_of_a_node(&run);
    its_summary_proves_it(&run);
    let own = folder.path().join(format!("foreshadow-{}", run.pid()));
    nothing_is_left(&own, run.pid());
}

fn it_says_first_where_it_listens(run: &Program) {
    let first = run.said.first().expect("a line");
    assert_eq!(kind(first), "listening", "{first}");
    for system in ["nomad", "consul", "dns", "api"] {
        let address = first[system].as_str().unwrap_or("");
        assert!(address.contains("127."), "no address of {system}: {first}");
    }
}

fn it_shows_each_step_of_the_loop(run: &Program) {
    let steps = [
        "portion",
        "shadow",
        "verdict",
        "plan",
        "effect",
        "verification",
        "fault",
        "lesson",
    ];
    for step in steps {
        // A shadow is told by the step that starts it.
        let found = run.position(0, |line| {
            kind(line) == step || step == "shadow" && text(line).starts_with("start shadow")
        });
        if found.is_none() {
            run.fail(&format!("nothing of kind {step} in {} lines", run.said.len()));
        }
    }
}

fn is_scenario_fault(line: &Value) -> bool {
    kind(line) == "fault" && line["scenario"] == true
}

/// The morning surge comes before the first fault, and is foreseen from history alone.
fn it_prepares_before_anything_breaks(run: &Program) {
    let placed = run.position(0, |line| {
        let of_web = line["portion"] == "web" && line["cause"] == "predicted";
        of_web && kind(line) == "plan" && text(line).starts_with("place standby")
    });
    let broke = run.position(0, is_scenario_fault);
    let broke = broke.unwrap_or_else(|| run.fail("no fault of the scenario"));
    match placed {
        Some(placed) => assert!(
            placed < broke,
            "placed only after {}: {}",
            run.said[broke],
            run.said[placed]
        ),
        None => run.fail("no standby of web was placed because it was predicted"),
    }
}

fn it_answers_the_death_of_a_node(run: &Program) {
    let dies = |line: &Value| is_scenario_fault(line) && text(line).contains("dies");
    let died = run.position(0, dies).unwrap_or_else(|| run.fail("no node died"));
    let answered = run.position(died, |line| {
        let prepared = text(line).contains("it was prepared");
        let written = text(line).starts_with("set shares") && line["cause"] == "reactive";
        prepared || kind(line) == "plan" && written
    });
    if answered.is_none() {
        run.fail("neither what was prepared for the node's death nor a reactive write followed it");
    }
}

fn its_summary_proves_it(run: &Program) {
    let last = run.said.last().expect("a line");
    let summary = &last["summary"];
    println!("{last}");
    let number = |key: &str| {
        let value = summary[key].as_u64();
        value.unwrap_or_else(|| panic!("{key} is no number in {last}"))
    };
    assert!(number("requests") > 3000, "{last}");
    if number("lost_planned") > 0 {
        run.fail(&format!("planned moves lost requests: {last}"));
    }
    for (key, least) in [
        ("shadows", 4),
        ("profiles", 4),
        ("preallocations", 1),
        ("switchovers", 1),
        ("failbacks", 1),
    ] {
        assert!(number(key) >= least, "{key} is below {least}: {last}");
    }
    let coverage = summary["coverage_80"].as_f64();
    assert!(coverage.is_some_and(|c| (0.0..=1.0).contains(&c)), "{last}");
}

/// After an orderly end.
pub fn nothing_is_left(folder: &Path, pid: u32) {
    let left = processes_of(folder, pid);
    assert!(left.is_empty(), "processes are left behind: {left:#?}");
    assert!(!folder.exists(), "{} is left behind", folder.display());
}
