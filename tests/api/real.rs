//! A sandbox's real answers, over the wire, as its document describes them.

use super::*;
use program::{Program, alone, kind};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);

/// Status, content type and body.
fn fetch(at: &str, path: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(at).expect("it listens");
    let ask = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    stream
        .write_all(ask.as_bytes())
        .expect("it takes a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let end = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    let kind = head.lines().find_map(|l| l.strip_prefix("content-type: "));
    let kind = kind.and_then(|k| k.split(';').next()).unwrap_or_default();
    (
        status.expect("a status"),
        kind.to_string(),
        answer[end + 4..].to_vec(),
    )
}

#[test]
fn a_sandbox_at_work_answers_as_its_document_says() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let args = ["sandbox", "--headless", "--format", "json", "--for", "100s"];
    let mut sandbox = Program::start(folder.path(), &args, &[]);
    sandbox.until("its addresses", PATIENCE, |line| kind(line) == "listening");
    let listening = sandbox.said.iter().find(|l| kind(l) == "listening");
    let at = listening
        .and_then(|l| l["api"].as_str())
        .expect("an address");
    let at = at.trim_start_matches("http://").to_string();
    // By then portions, forecasts, steps and a journal are there.
    sandbox.until("an effect", PATIENCE, |line| kind(line) == "verification");
    let (_, _, served) = fetch(&at, "/v1/openapi.json");
    let document: Value = serde_json::from_slice(&served).expect("JSON");
    let mut whole = Vec::new();
    for (path, verb, operation) in operations(&document) {
        // A stream has no end to wait for.
        let endless = operation["responses"]["200"]["content"]
            .get("text/event-stream")
            .is_some();
        if verb != "get" || endless {
            continue;
        }
        let (status, kind, body) = fetch(&at, &path.replace("{id}", "web"));
        let why = differs(&document, operation, (status, &kind, &body));
        assert_eq!(why, None, "{path}");
        assert_eq!(status, 200, "{path}");
        if path == "/v1/journal" {
            whole = body;
        }
    }
    let journal: Value = serde_json::from_slice(&whole).expect("JSON");
    let entries = journal["entries"].as_array().expect("entries");
    assert!(
        entries.iter().any(|e| e["state"] == "verified"),
        "{journal}"
    );
}
