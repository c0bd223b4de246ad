//! Metrics as operators use them: what dashboard and alerts name is there, Prometheus' own tools find no fault, and a real
//! Prometheus (unpacked by `tests/setup`, or on PATH) scrapes a running foreshadow.
#![allow(clippy::disallowed_methods)] // other processes are waited for; the environment says which programs there are

#[path = "../scheduler/program.rs"]
mod program;

use foreshadow::headless::metric_names;
use program::{Program, kind};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("assets")
        .join(name)
}

/// A tool of Prometheus, or `None` with a word on stderr.
fn tool(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("FORESHADOW_CACHE").map(PathBuf::from);
    let cache =
        cache.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real-consul"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(name));
    let found = on_path
        .chain([cache.join("root/usr/bin").join(name)])
        .find(|p| p.is_file());
    if found.is_none() {
        // Past the test harness, which keeps what is printed to itself while a test passes.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no {name} on PATH nor unpacked by tests/setup"
        );
    }
    found
}

/// The metrics that a text names; a histogram by any of its series.
fn named(text: &str) -> BTreeSet<String> {
    let known: BTreeSet<&str> = metric_names().collect();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|w| w.starts_with("foreshadow_"));
    names
        .map(|name| {
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|s| name.strip_suffix(s));
            base.filter(|b| known.contains(b))
                .unwrap_or(name)
                .to_string()
        })
        .collect()
}

#[test]
fn dashboard_and_alerts_name_metrics_that_there_are() {
    let known: BTreeSet<String> = metric_names().map(str::to_string).collect();
    for file in [
        "grafana/foreshadow.json",
        "prometheus/alerts.yml",
        "prometheus/alerts_test.yml",
    ] {
        let text = std::fs::read_to_string(asset(file)).unwrap();
        let names = named(&text);
        assert!(names.len() > 5, "{file} names {names:?}");
        let unknown: Vec<&String> = names.difference(&known).collect();
        assert!(
            unknown.is_empty(),
            "{file} names what is no metric: {unknown:?}"
        );
    }
    let documented = named(&std::fs::read_to_string(asset("../docs/metrics.md")).unwrap());
    assert_eq!(documented, known, "docs/metrics.md");
    let dashboard = std::fs::read_to_string(asset("grafana/foreshadow.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(
        panels
            .iter()
            .all(|p| p["targets"].as_array().is_some_and(|t| !t.is_empty()))
    );
}

#[test]
fn promtool_finds_the_alerts_sound_and_they_fire_as_written() {
    let Some(promtool) = tool("promtool") else {
        return;
    };
    for (check, file) in [("check", "alerts.yml"), ("test", "alerts_test.yml")] {
        let said = Command::new(&promtool)
            .args([check, "rules"])
            .arg(asset("prometheus").join(file))
            .output()
            .unwrap();
        assert!(
            said.status.success(),
            "promtool {check} rules {file}: {said:?}"
        );
    }
}

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_prometheus_scrapes_a_running_foreshadow() {
    let (Some(prometheus), Some(promtool)) = (tool("prometheus"), tool("promtool")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut sandbox = Program::start(
        folder.path(),
        &["sandbox", "--headless", "--format", "json", "--for", "90s"],
        &[],
    );
    sandbox.until("its addresses", PATIENCE, |line| kind(line) == "listening");
    let listening = sandbox.said.iter().find(|line| kind(line) == "listening");
    let api = listening
        .and_then(|line| line["api"].as_str())
        .expect("an API");
    let api = api.trim_start_matches("http://").to_string();
    sandbox.until("verified shares", PATIENCE, |line| {
        kind(line) == "verification"
    });

    // Who is first installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let get = |url: String| {
        http.block_on(async { reqwest::get(url).await?.error_for_status()?.text().await })
    };
    let exposition = get(format!("http://{api}/metrics")).unwrap();
    the_names_are_the_documented_ones(&exposition);
    promtool_finds_it_well_named(&promtool, &exposition);

    let listen = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .unwrap();
    let config = folder.path().join("prometheus.yml");
    let scrape = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\nscrape_configs:\n  - job_name: foreshadow\n    static_configs: [{{targets: [\"{api}\"]}}]\n",
        asset("prometheus/alerts.yml").display()
    );
    std::fs::write(&config, scrape).unwrap();
    let log = std::fs::File::create(folder.path().join("prometheus.log")).unwrap();
    let _prometheus = Running(
        Command::new(prometheus)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("tsdb").display()
            ))
            .arg(format!("--web.listen-address={listen}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap(),
    );
    for (query, least) in [
        ("up{job=\"foreshadow\"}", 1.0),
        ("foreshadow_leader", 1.0),
        ("foreshadow_cycles_total", 2.0),
        ("sum(foreshadow_decisions_total)", 1.0),
        ("sum(foreshadow_api_request_duration_seconds_count)", 10.0),
        ("count(foreshadow_weight_observed_ratio)", 2.0),
        ("count(ALERTS) or vector(0)", 0.0),
    ] {
        let until = Instant::now() + PATIENCE;
        let found = || {
            let encoded: String = query.bytes().map(|b| format!("%{b:02x}")).collect();
            let told = get(format!("http://{listen}/api/v1/query?query={encoded}")).ok()?;
            let told: Value = serde_json::from_str(&told).ok()?;
            told["data"]["result"][0]["value"][1]
                .as_str()?
                .parse::<f64>()
                .ok()
        };
        while found().is_none_or(|value| value < least) {
            assert!(
                Instant::now() < until,
                "{query} is {:?}, not {least}",
                found()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// What is exposed is listed, and has help and type.
fn the_names_are_the_documented_ones(exposition: &str) {
    let known: BTreeSet<&str> = metric_names().collect();
    let told = |word: &str| -> BTreeSet<&str> {
        let lines = exposition.lines().filter_map(|l| l.strip_prefix(word));
        lines.filter_map(|l| l.split(' ').next()).collect()
    };
    let (helped, typed) = (told("# HELP "), told("# TYPE "));
    assert_eq!(helped, typed);
    assert!(
        typed.is_subset(&known),
        "not documented: {:?}",
        typed.difference(&known)
    );
    assert!(typed.len() > 25, "only {typed:?}");
}

fn promtool_finds_it_well_named(promtool: &Path, exposition: &str) {
    let mut lint = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    lint.stdin
        .take()
        .unwrap()
        .write_all(exposition.as_bytes())
        .unwrap();
    let said = lint.wait_with_output().unwrap();
    assert!(
        said.status.success(),
        "promtool check metrics: {}",
        String::from_utf8_lossy(&said.stderr)
    );
}
