//! The binary as a user runs it: a whole day on the embedded and on the real Consul, and nothing left behind.
#![allow(clippy::disallowed_methods)] // other processes are waited for; the environment says which program is tested

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Two estates at once would disturb each other's measurements on a small machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The binary that users run, where tests/run has built it; else this test's own.
fn binary() -> PathBuf {
    std::env::var_os("FORESHADOW_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_foreshadow").into(), PathBuf::from)
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(["sandbox", "--headless", "--format", "json"])
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(Stdio::piped());
    command
}

fn sandbox(args: &[&str]) -> Child {
    command(args).spawn().expect("the binary starts")
}

/// Everything it says, to its end.
fn all_of(child: &mut Child) -> Vec<Value> {
    let out = BufReader::new(child.stdout.take().expect("its output is read"));
    out.lines()
        .map(|line| {
            let line = line.expect("whole lines");
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("not JSON: {e}: {line}"))
        })
        .collect()
}

fn first(events: &[Value], what: impl Fn(&Value) -> bool) -> Option<usize> {
    events.iter().position(what)
}

fn says(event: &Value, kind: &str, text: &str) -> bool {
    event["kind"] == kind && event["text"].as_str().is_some_and(|t| t.contains(text))
}

/// What a whole day must show, whichever Consul is underneath. Of a real one the agents are processes, and none may stay.
fn a_day(args: &[&str]) {
    let mut child = sandbox(args);
    let events = all_of(&mut child);
    assert!(child.wait().expect("it ends").success());
    let guarded = args.contains(&"--acl");
    for token in ["nomad_token", "consul_token"] {
        assert_eq!(events[0][token].is_string(), guarded, "{token}");
    }
    let denied = |e: &&Value| e.to_string().contains("ermission denied");
    assert_eq!(events.iter().find(denied), None, "the rights are enough");
    assert_eq!(left_of(child.id()), Vec::<String>::new(), "processes left");
    assert_eq!(events[0]["kind"], "listening");
    for address in ["nomad", "consul", "dns", "api"] {
        assert!(
            events[0][address].is_string(),
            "{address} is told: {}",
            events[0]
        );
    }
    let kinds = [
        "portion",
        "plan",
        "held",
        "effect",
        "verdict",
        "verification",
        "fault",
        "lesson",
    ];
    for kind in kinds {
        assert!(
            first(&events, |e| e["kind"] == kind).is_some(),
            "no event of kind {kind}"
        );
    }
    let death = first(&events, |e| e["scenario"] == true).expect("the scenario's first fault");
    let prepared = first(&events, |e| {
        says(e, "plan", "place standby") && e["cause"] == "predicted" && e["portion"] == "web"
    });
    assert!(
        prepared.is_some_and(|at| at < death),
        "a standby of web is placed before anything breaks"
    );
    let surge = first(&events, |e| {
        says(e, "plan", "set shares: forecast") && e["cause"] == "predicted"
    });
    assert!(
        surge.is_some_and(|at| at < death),
        "the morning surge is foreseen"
    );
    let switched = events
        .iter()
        .skip(death)
        .any(|e| says(e, "effect", "it was prepared"));
    assert!(
        switched,
        "what was prepared for the failure is done when it comes"
    );
    let summary = &events.last().expect("a last line")["summary"];
    println!("{summary}");
    let number = |key: &str| {
        summary[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{key} in {summary}"))
    };
    assert_eq!(
        number("lost_planned"),
        0.0,
        "lost in planned moves: {summary}"
    );
    assert!(number("requests") > 3_000.0);
    // Half of the clients are at the site that is cut off for a seventh of the day, at its busiest: how many of them find what they
    // call on their side depends on where the standbys stand.
    assert!(number("lost") < number("requests") * 0.15);
    for (key, least) in [
        ("shadows", 4.0),
        ("profiles", 4.0),
        ("preallocations", 1.0),
        ("switchovers", 1.0),
        ("failbacks", 1.0),
    ] {
        assert!(number(key) >= least, "{key} in {summary}");
    }
    let coverage = number("coverage_80");
    assert!((0.3..=1.0).contains(&coverage), "coverage {coverage}");
    assert!(number("reaction_ms_p50") >= 0.0);
}

#[test]
fn a_day_on_the_embedded_consul_loses_nothing_in_planned_moves_with_no_more_rights_than_the_shipped_policies_give()
 {
    let _alone = alone();
    a_day(&["--acl"]);
}

#[test]
fn a_day_on_a_real_consul_loses_nothing_in_planned_moves() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real-consul/root/usr/bin/consul");
    if !root.exists() && std::env::var_os("FORESHADOW_CACHE").is_none() {
        println!("skipped: no real Consul; tests/setup unpacks one");
        return;
    }
    let _alone = alone();
    a_day(&["--consul", "real"]);
}

/// Processes whose environment (tasks) or command line (Consul's agents) names that sandbox's folder.
fn left_of(sandbox: u32) -> Vec<String> {
    let folder = format!("foreshadow-{sandbox}/");
    std::fs::read_dir("/proc")
        .expect("Linux")
        .flatten()
        .filter(|p| {
            p.file_name()
                .to_string_lossy()
                .chars()
                .all(|c| c.is_ascii_digit())
        })
        .filter(|p| {
            let environment = std::fs::read(p.path().join("environ")).unwrap_or_default();
            let words = std::fs::read(p.path().join("cmdline")).unwrap_or_default();
            let status = std::fs::read_to_string(p.path().join("stat")).unwrap_or_default();
            let names = |text: &[u8]| String::from_utf8_lossy(text).contains(&folder);
            (names(&environment) || names(&words)) && !status.contains(") Z ")
        })
        .map(|p| p.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Consul's agents among them: they run with a configuration file in that folder.
fn agents_of(sandbox: u32) -> Vec<String> {
    let mut all = left_of(sandbox);
    all.retain(|pid| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains("-config-file=")
    });
    all
}

/// Starts one and reads on until its tasks serve.
fn serving(errors: Stdio) -> (Child, BufReader<std::process::ChildStdout>) {
    let child = command(&["--for", "60s"]).stderr(errors).spawn();
    let mut child = child.expect("the binary starts");
    let mut out = BufReader::new(child.stdout.take().expect("its output is read"));
    let mut line = String::new();
    while !line.contains("first shares") {
        line.clear();
        assert!(
            out.read_line(&mut line).expect("whole lines") > 0,
            "it ended early"
        );
    }
    assert!(
        !left_of(child.id()).is_empty(),
        "its tasks are real processes"
    );
    (child, out)
}

fn gone(sandbox: u32) -> bool {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        if left_of(sandbox).is_empty() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
}

/// Reads on until the addresses are told; the rest is thrown away elsewhere.
fn listening(child: &mut Child) -> (Value, BufReader<std::process::ChildStdout>) {
    let mut out = BufReader::new(child.stdout.take().expect("its output is read"));
    let mut line = String::new();
    assert!(
        out.read_line(&mut line).expect("a line") > 0,
        "it ended early"
    );
    (serde_json::from_str(&line).expect("JSON"), out)
}

fn ask(address: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).expect("it listens there");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .expect("it reads");
    std::io::read_to_string(stream).expect("it answers")
}

#[test]
fn consul_is_served_where_the_flags_say() {
    let _alone = alone();
    let args = [
        "--for",
        "5s",
        "--consul-bind",
        "127.0.0.1:0",
        "--dns-bind",
        "127.0.0.1:0",
    ];
    let mut child = sandbox(&args);
    let (said, mut out) = listening(&mut child);
    let consul = said["consul"].as_str().expect("its address");
    let consul = consul
        .strip_prefix("http://127.0.0.1:")
        .expect("at the address of the flag");
    assert!(
        ask(&format!("127.0.0.1:{consul}"), "/v1/catalog/nodes")
            .contains("\"Datacenter\":\"edge\"")
    );
    let dns = said["dns"].as_str().expect("its address");
    assert!(dns.starts_with("127.0.0.1:"), "DNS at {dns}");
    std::net::TcpStream::connect(dns).expect("DNS listens on TCP");
    signal(&child, "-INT");
    std::io::copy(&mut out, &mut std::io::sink()).expect("it says the rest");
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn nomad_is_served_where_the_flag_says_even_if_that_is_where_it_would_be_anyway() {
    let _alone = alone();
    let usual = "127.0.0.1:4646";
    if let Err(e) = std::net::TcpListener::bind(usual) {
        println!("skipped: {usual} is another's ({e})");
        return;
    }
    let mut child = sandbox(&["--for", "5s", "--nomad-bind", usual]);
    let (said, mut out) = listening(&mut child);
    assert_eq!(said["nomad"], format!("http://{usual}"));
    assert!(ask(usual, "/v1/nodes").contains("\"Datacenter\""));
    signal(&child, "-INT");
    std::io::copy(&mut out, &mut std::io::sink()).expect("it says the rest");
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn sandboxes_that_start_at_once_stand_side_by_side() {
    let _alone = alone();
    // Rights are set up between Consul and Nomad: a block must stay its holder's meanwhile.
    let mut all: Vec<Child> = (0..6)
        .map(|_| sandbox(&["--acl", "--for", "60s"]))
        .collect();
    let told: Vec<_> = all.iter_mut().map(listening).collect();
    let addresses = told.iter().map(|(said, _)| said["nomad"].to_string());
    let addresses: std::collections::BTreeSet<String> = addresses.collect();
    assert_eq!(addresses.len(), all.len(), "{addresses:?}");
    for child in &all {
        signal(child, "-INT");
    }
    for (child, (_, mut out)) in all.iter_mut().zip(told) {
        std::io::copy(&mut out, &mut std::io::sink()).expect("it says the rest");
        assert!(child.wait().expect("it ends").success());
    }
}

#[test]
fn a_real_consul_stays_where_its_agents_are() {
    let refused = Command::new(binary())
        .args([
            "sandbox",
            "--headless",
            "--consul",
            "real",
            "--dns-bind",
            "127.0.0.1:0",
        ])
        .output()
        .expect("the binary runs");
    assert_eq!(refused.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--consul real"));
}

#[test]
fn agents_of_a_real_consul_are_seen_while_they_run_and_gone_after_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real-consul/root/usr/bin/consul");
    if !root.exists() && std::env::var_os("FORESHADOW_CACHE").is_none() {
        println!("skipped: no real Consul; tests/setup unpacks one");
        return;
    }
    let _alone = alone();
    let mut child = sandbox(&["--consul", "real", "--for", "60s"]);
    let (_, mut out) = listening(&mut child);
    let agents = agents_of(child.id());
    assert!(agents.len() >= 3, "real agents of that sandbox: {agents:?}");
    signal(&child, "-INT");
    std::io::copy(&mut out, &mut std::io::sink()).expect("it says the rest");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(left_of(child.id()), Vec::<String>::new());
}

#[test]
fn ctrl_c_leaves_no_process_and_no_folder_behind_and_what_is_under_way_comes_to_its_last_entry() {
    let _alone = alone();
    let errors = tempfile::NamedTempFile::new().expect("a file");
    let (mut child, mut out) = serving(errors.reopen().expect("the file").into());
    signal(&child, "-INT");
    std::io::copy(&mut out, &mut std::io::sink()).expect("it says the rest");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(left_of(child.id()), Vec::<String>::new());
    let folder = std::env::temp_dir().join(format!("foreshadow-{}", child.id()));
    assert!(!folder.exists(), "{} is left", folder.display());
    let told = std::fs::read_to_string(errors.path()).expect("what it warned of");
    assert!(!told.contains("the journal cannot be written"), "{told}");
}

#[test]
fn who_stops_reading_ends_it_and_nothing_is_left_behind() {
    let _alone = alone();
    let errors = tempfile::NamedTempFile::new().expect("a file");
    let mut child = command(&["--for", "60s"])
        .stderr(errors.reopen().expect("the file"))
        .spawn()
        .expect("the binary starts");
    let (_, out) = listening(&mut child);
    drop(out);
    assert!(!child.wait().expect("it ends").success());
    let told = std::fs::read_to_string(errors.path()).expect("what it said");
    assert!(told.contains("Broken pipe"), "{told}");
    assert_eq!(left_of(child.id()), Vec::<String>::new());
    let folder = std::env::temp_dir().join(format!("foreshadow-{}", child.id()));
    assert!(!folder.exists(), "{} is left", folder.display());
}

#[test]
fn where_it_cannot_have_a_folder_it_says_which() {
    // Not even root makes a folder there.
    let refused = command(&[]).env("TMPDIR", "/proc").output();
    let refused = refused.expect("the binary runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("folder /proc/foreshadow-"), "{said}");
}

#[test]
fn even_a_killed_sandbox_leaves_no_process_behind() {
    let _alone = alone();
    let (mut child, _out) = serving(Stdio::inherit());
    signal(&child, "-KILL");
    child.wait().expect("it ends");
    assert!(gone(child.id()), "still there: {:?}", left_of(child.id()));
    let folder = std::env::temp_dir().join(format!("foreshadow-{}", child.id()));
    std::fs::remove_dir_all(folder).expect("its folder");
}
