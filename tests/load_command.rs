//! `foreshadow load` as it is typed, against a server on loopback.

use serde_json::Value;
use std::process::{Command, Output};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn server() -> MockServer {
    let server = MockServer::start().await;
    let fine = ResponseTemplate::new(200).set_body_string("fine");
    Mock::given(any()).respond_with(fine).mount(&server).await;
    server
}

async fn load(args: Vec<String>) -> Output {
    let run = move || {
        Command::new(env!("CARGO_BIN_EXE_foreshadow"))
            .arg("load")
            .args(args)
            .output()
            .expect("the command runs")
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

fn args(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_string).collect()
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text} {said}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_replayed_without_what_writes_and_its_bad_lines_are_told() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let log = [
        r#"10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.1" 200 23"#,
        r#"10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "POST /orders HTTP/1.1" 200 23"#,
        "rubbish",
        r#"10.0.0.1 - - [10/Oct/2000:13:55:37 -0700] "GET /d HTTP/1.1" 200 23 "-" "agent""#,
    ];
    std::fs::write(&file, log.join("\n")).unwrap();
    let mut given = args(&format!(
        "--url {} --rate 40 --arrivals constant --for 500ms --format json --from",
        server.uri()
    ));
    given.push(file.display().to_string());
    let output = load(given).await;
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(said.contains("3 requests, 1 left out (line 3:"), "{said}");
    assert!(said.contains("1 left out for their method"), "{said}");
    let report = json(&output);
    assert_eq!(
        (report["requests"].as_u64(), report["ok"].as_u64()),
        (Some(20), Some(20))
    );
    let counted: u64 = report["histogram_ms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| b[1].as_u64().unwrap())
        .sum();
    assert_eq!(counted, 20);
    let seen = server.received_requests().await.unwrap();
    let paths: Vec<String> = seen.iter().map(|r| r.url.path().to_string()).collect();
    assert_eq!(paths.iter().filter(|p| *p == "/a").count(), 10);
    assert!(seen.iter().all(|r| r.method.as_str() == "GET"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mix_that_writes_needs_leave_and_is_sent_with_it() {
    let server = server().await;
    let mut given = args(&format!(
        "--url {} --rate 50 --for 1s --format json --mix /a=3 --mix",
        server.uri()
    ));
    given.push("POST /b".into());
    let refused = load(given.clone()).await;
    assert_eq!(refused.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("add it to --methods"));
    given.extend(args("--methods GET,POST"));
    let output = load(given).await;
    assert!(output.status.success());
    let seen = server.received_requests().await.unwrap();
    assert!(
        seen.iter()
            .any(|r| r.method.as_str() == "POST" && r.url.path() == "/b")
    );
    assert_eq!(
        seen.len() as u64,
        json(&output)["requests"].as_u64().unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_says_the_knee_and_how_sure_it_is() {
    let server = server().await;
    let slow =
        "--latency 5s --quantile 0.9 --confidence 0.8 --rate 100 --knee 200 --for 2s --format json";
    let output = load(args(&format!("--url {} {slow}", server.uri()))).await;
    assert!(output.status.success());
    let found = json(&output);
    assert_eq!(
        (found["knee"].as_f64(), found["open"].as_bool()),
        (Some(200.0), Some(true))
    );
    assert_eq!(found["at_least"].as_f64(), Some(200.0));
    assert!(found["confidence"].as_f64().unwrap() >= 0.8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_away_fails_and_a_bad_file_is_bad_usage() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let away = load(args(&format!(
        "--url http://{nobody}/ --for 200ms --rate 20 --format json"
    )))
    .await;
    assert_eq!(away.status.code(), Some(1));
    assert_eq!(
        json(&away)["errors"]["connect"].as_u64(),
        json(&away)["requests"].as_u64()
    );
    for (given, said) in [
        (
            "--url http://127.0.0.1:1/ --from /nowhere/a.log",
            "cannot read the access log",
        ),
        ("--url https://127.0.0.1:1/", "it is not http"),
        ("--url http://127.0.0.1:1/ --scale 2", "--scale needs a log"),
        ("--url http://127.0.0.1:1/ --rate 0", "must be above 0"),
    ] {
        let output = load(args(given)).await;
        let text = String::from_utf8_lossy(&output.stderr).to_string();
        assert_eq!(output.status.code(), Some(64), "{given}");
        assert!(text.contains(said), "{given}: {text}");
    }
}
