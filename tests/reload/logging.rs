//! The log of a real process: JSON lines, a filter that is changed and taken back while it runs, and no secret in any of them.

use crate::program::binary;
use crate::{Observer, PATIENCE, program::comes_true};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::process::{Command, Output};

impl Observer {
    /// Runs `foreshadow log-level ARGS…` as ann.
    fn log_level(&self, args: &[&str], token: &str) -> Output {
        let mut asks = Command::new(binary());
        asks.arg("log-level").args(args);
        asks.args(["--attach", &self.api]);
        asks.env("FORESHADOW_ACT_TOKEN", token).env("USER", "ann");
        asks.env_remove("SUDO_USER").output().unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr.log")).unwrap()
    }

    /// Who asked for what, as the store has it.
    fn asked(&self) -> Vec<(String, String)> {
        let store = self.folder.path().join("foreshadow.db");
        let store = rusqlite::Connection::open(store).unwrap();
        let mut rows = store
            .prepare("SELECT who, what FROM asked ORDER BY id")
            .unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// Whether the log comes to hold a line of this level.
    fn logs(&self, level: &str) -> bool {
        let level = format!("\"level\":\"{level}\"");
        comes_true(PATIENCE, || self.log().contains(&level))
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_log_is_json_whose_filter_is_changed_and_taken_back_and_it_holds_no_secret() {
    let args = ["--log", "foreshadow=info", "--log-format", "json"];
    let tokens = ["FORESHADOW_READ_TOKEN", "CONSUL_HTTP_TOKEN", "NOMAD_TOKEN"];
    let env = tokens.map(|name| (name, "canary".to_string()));
    let mut observer = Observer::with(&args, &env);
    let refused = observer.log_level(&["trace"], "abracadabra");
    assert!(errors(&refused).contains("act token"), "{refused:?}");
    let wrong = observer.log_level(&["foreshadow::act=loud"], "sesame");
    assert!(!wrong.status.success(), "{wrong:?}");
    let why = "\"foreshadow::act=loud\" is no filter of a log";
    assert!(errors(&wrong).contains(why), "{wrong:?}");
    assert!(!observer.log().contains("\"level\":\"TRACE\""));

    let done = observer.log_level(&["trace"], "sesame");
    assert!(done.status.success(), "{done:?}");
    observer.hears("the log is filtered by trace", "(ann)");
    assert!(observer.logs("TRACE"), "{}", observer.log());
    let back = observer.log_level(&["--reset"], "sesame");
    assert!(back.status.success(), "{back:?}");
    observer.hears("the log is filtered as at the start", "(ann)");
    observer.program.signal(Signal::SIGTERM);
    assert!(observer.program.until_its_end(PATIENCE).success());

    let log = observer.log();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        for key in ["timestamp", "level", "target"] {
            assert!(line[key].is_string(), "{line}");
        }
    }
    for secret in ["sesame", "abracadabra", "canary"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    let asked = observer.asked();
    let who: Vec<(&str, &str)> = asked
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    let kept = [
        ("ann", "the log is filtered by trace"),
        ("ann", "the log is filtered as at the start"),
    ];
    assert_eq!(who, kept, "what the store keeps of who asked for what");
}

#[test]
fn at_info_the_log_tells_by_what_it_runs_whom_it_asks_and_why_it_ended() {
    let env = [("NOMAD_TOKEN", "canary".to_string())];
    let mut observer = Observer::with(&["--log", "info"], &env);
    let told = |what: &str| comes_true(PATIENCE, || observer.log().contains(what));
    let version = env!("CARGO_PKG_VERSION");
    for what in [
        format!("foreshadow {version} runs by "),
        "it observes only, and looks every 0.5 s".into(),
        "it asks Nomad at http://127.0.0.1:".into(),
        "it asks Consul at http://127.0.0.1:".into(),
        "(gateway edge-a at edge-a)".into(),
        "it has 1 policy with 5 portions: shop".into(),
        format!("its API is served at {}", observer.api),
        "it leads nobody, as it observes only".into(),
    ] {
        assert!(told(&what), "{what}: {}", observer.log());
    }
    observer.program.signal(Signal::SIGTERM);
    assert!(observer.program.until_its_end(PATIENCE).success());
    let log = observer.log();
    assert!(log.contains("SIGTERM asks for the end"), "{log}");
    assert!(log.contains("it has ended: a signal asked for it"), "{log}");
    assert!(!log.contains("canary") && !log.contains("sesame"), "{log}");
}

#[test]
fn a_token_file_that_cannot_be_read_is_named_at_the_start() {
    let env = [("CONSUL_HTTP_TOKEN_FILE", "/nowhere/token".to_string())];
    let observer = Observer::with(&[], &env);
    let why = "cannot read the Consul token file \"/nowhere/token\"; check that it exists and may be read: No such file";
    assert!(observer.log().contains(why), "{}", observer.log());
}

#[tokio::test]
async fn a_bad_filter_is_refused_by_the_api_with_what_is_wrong_and_changes_nothing() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut observer = Observer::start();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = |filter: Value| {
        let url = format!("{}/v1/command", observer.api);
        let asked = json!({"command": "log_level", "filter": filter});
        let by = json!({"command": "by", "who": "ann", "asked": asked});
        http.post(url).bearer_auth("sesame").json(&by).send()
    };
    let refused = send("debgu".into()).await.unwrap();
    assert_eq!(refused.status(), 400);
    let why = refused.text().await.unwrap();
    assert!(
        why.contains("\"debgu\" is no filter of a log; write a level"),
        "{why}"
    );
    assert_eq!(send("debug".into()).await.unwrap().status(), 202);
    assert_eq!(send(Value::Null).await.unwrap().status(), 202);
    observer.hears("the log is filtered as at the start", "(ann)");
    let said = observer.program.said.iter().map(crate::text);
    let filters: Vec<&str> = said.filter(|t| t.starts_with("the log is")).collect();
    let both = [
        "the log is filtered by debug (ann)",
        "the log is filtered as at the start (ann)",
    ];
    assert_eq!(filters, both);
}
