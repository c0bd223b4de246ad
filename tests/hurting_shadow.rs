//! A shadow that hurts production, on the sandbox with real processes: it shares production's pricing, which has room for
//! production alone. It is ended, its place fails, and production's p99 recovers.
#![allow(clippy::disallowed_methods)] // another process is waited for; the environment says which program is tested

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than a slow machine takes to any of the events.
const PATIENCE: Duration = Duration::from_secs(150);

fn binary() -> PathBuf {
    std::env::var_os("FORESHADOW_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_foreshadow").into(), PathBuf::from)
}

fn replaced(text: &str, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(text.to_string(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not there any more");
        text.replace(from, to)
    })
}

/// The shop with one pricing of 25 requests a second; clients at night ask for ten.
fn job(root: &Path) -> String {
    let text = std::fs::read_to_string(root.join("jobs/shop.nomad.hcl")).expect("the shop's job");
    let at = text.find("group \"pricing\"").expect("pricing");
    let (before, pricing) = text.split_at(at);
    let end = pricing.find("group \"ledger\"").expect("ledger");
    let (pricing, after) = pricing.split_at(end);
    let scarce = [("count = 2", "count = 1"), ("cpu    = 100", "cpu    = 40")];
    format!("{before}{}{after}", replaced(pricing, &scarce))
}

/// Shadows of cart alone, which call production's pricing through a door for reads; an SLO so loose that it is never what ends them.
fn policy(root: &Path) -> String {
    let text = std::fs::read_to_string(root.join("policies/shop.hcl")).expect("the shop's policy");
    let only = "shadow = false\n    standby = false\n    front";
    replaced(
        &text,
        &[
            ("latency  = \"400ms\"", "latency  = \"5s\""),
            ("success  = 0.99", "success  = 0.01"),
            ("max_shadows        = 2", "max_shadows = 1"),
            ("max_standbys       = 8", "max_standbys = 0"),
            (
                "front      = \"shop-web\"",
                &format!("{only} = \"shop-web\""),
            ),
            (
                "front = \"shop-pricing\"",
                &format!("{only} = \"shop-pricing\""),
            ),
            (
                "front = \"shop-search\"",
                &format!("{only} = \"shop-search\""),
            ),
            (
                "front      = \"shop-cart\"",
                "upstream \"shop-pricing\" {\n      mode = \"production-readonly\"\n    }\n    front = \"shop-cart\"",
            ),
        ],
    )
}

struct Sandbox {
    child: Child,
    out: BufReader<ChildStdout>,
    api: String,
}

impl Sandbox {
    fn start(folder: &Path) -> Sandbox {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let put = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        let (job, policy) = (put("job.hcl", job(root)), put("policy.hcl", policy(root)));
        let mut child = Command::new(binary())
            .args(["sandbox", "--headless", "--format", "json", "--no-forecast"])
            .args(["--for", "200s", "--job"])
            .arg(job)
            .arg("--policy")
            .arg(policy)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let out = BufReader::new(child.stdout.take().expect("its output is read"));
        let mut one = Sandbox {
            child,
            out,
            api: String::new(),
        };
        let first = one.until("its addresses", |e| e["kind"] == "listening");
        let api = first["api"]
            .as_str()
            .and_then(|a| a.strip_prefix("http://"));
        one.api = api.expect("the address of its API").to_string();
        one
    }

    /// The next event of which this is true.
    fn until(&mut self, what: &str, of: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        let mut line = String::new();
        while Instant::now() < end {
            line.clear();
            let read = self.out.read_line(&mut line).expect("whole lines");
            assert!(read > 0, "it ended before {what}");
            let event: Value = serde_json::from_str(&line).expect("JSON");
            println!("{} {} {}", event["at"], event["kind"], event["text"]);
            if of(&event) {
                return event;
            }
        }
        panic!("no word of {what}");
    }

    fn portion(&self, id: &str) -> Value {
        let mut stream = std::net::TcpStream::connect(&self.api).expect("it listens there");
        let ask = format!("GET /v1/portions/{id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).expect("it reads");
        let answer = std::io::read_to_string(stream).expect("it answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let json = body
            .find('{')
            .zip(body.rfind('}'))
            .map(|(a, b)| &body[a..=b]);
        serde_json::from_str(json.expect("an object")).expect("JSON")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        // It removes its processes by itself when it is asked to end.
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        let _ = self.child.wait();
    }
}

fn says(event: &Value, kind: &str, text: &str) -> bool {
    event["kind"] == kind && event["text"].as_str().is_some_and(|t| t.contains(text))
}

/// Each second's p99 of web as its clients saw it, with its time in ms.
fn p99(sandbox: &Sandbox) -> Vec<(i64, f64)> {
    let view = sandbox.portion("web");
    let past = view["past"].as_array().expect("a past").iter();
    past.map(|p| {
        let at = p["at"].as_i64().expect("a moment");
        (at, p["p99"].as_f64().expect("a latency"))
    })
    .collect()
}

fn median(mut of: Vec<f64>) -> f64 {
    assert!(!of.is_empty(), "there are readings");
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

#[test]
fn a_shadow_that_hurts_production_is_ended_its_place_fails_and_production_recovers() {
    let folder = std::env::temp_dir().join(format!("foreshadow-hurts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut sandbox = Sandbox::start(&folder);
    sandbox.until("a measurement", |e| says(e, "plan", "measure shadow"));
    let began = p99(&sandbox).last().expect("web has been seen").0;
    let verdict = sandbox.until("a verdict", |e| e["kind"] == "verdict");
    let text = verdict["text"].as_str().expect("a text");
    assert!(
        text.contains("fail (it hurt production): pricing suffers"),
        "{text}"
    );
    sandbox.until("its end", |e| says(e, "effect", "stop shadow applied"));
    let ended = p99(&sandbox).last().expect("web is seen").0;
    // Readings span four seconds: what is told eight seconds later is all of the time without the shadow.
    let until = Instant::now() + PATIENCE;
    let mut seen = p99(&sandbox);
    while seen.last().is_none_or(|p| p.0 < ended + 15_000) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(500));
        seen = p99(&sandbox);
    }
    let between = |from: i64, to: i64| -> Vec<f64> {
        let within = seen.iter().filter(|p| (from..to).contains(&p.0));
        within.map(|p| p.1).collect()
    };
    let before = median(between(began - 6_000, began + 1));
    let worst = between(began, ended + 4_000)
        .into_iter()
        .fold(0.0, f64::max);
    let after = median(between(ended + 9_000, i64::MAX));
    println!("p99 of web: {before:.0} ms before, {worst:.0} ms at worst, {after:.0} ms after");
    assert!(worst > 3.0 * before, "{worst} ms against {before} ms");
    assert!(after < worst / 3.0, "{after} ms after {worst} ms");
    let cart = sandbox.portion("cart");
    assert_eq!(cart["verdicts"][0]["ruling"], "fail");
    assert_eq!(cart["verdicts"][0]["against"], "interference");
    drop(sandbox);
    std::fs::remove_dir_all(folder).expect("the folder goes");
}
