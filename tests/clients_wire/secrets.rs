//! A token is in the requests and nowhere else: everything runs at TRACE, and all that was said is searched.

use foreshadow::clients::consul::{Consul, KvQuery, SessionSpec, TxnOp};
use foreshadow::clients::http::{HttpError, Peer, System, Token};
use foreshadow::clients::nomad::picture::Follower;
use foreshadow::clients::nomad::{Nomad, Topic};
use foreshadow::clients::prometheus::{Metrics, Selector, Wanted};
use foreshadow::model::{JobSpec, Moment};
use secrecy::SecretString;
use serde_json::json;
use std::error::Error;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

const CANARY: &str = "canary-52d1-must-not-be-seen";

/// A log that is kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;
    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

/// Everything an operator may be shown of an outcome.
fn shown<T: std::fmt::Debug>(outcome: Result<T, HttpError>) -> String {
    match outcome {
        Ok(value) => format!("{value:?}\n"),
        Err(e) => {
            let mut text = format!("{e}\n{e:?}\n");
            let mut cause = e.source();
            while let Some(c) = cause {
                text += &format!("{c}\n{c:?}\n");
                cause = c.source();
            }
            text
        }
    }
}

fn peer(system: System, at: &str, token: &Token) -> Peer {
    let mut peer = Peer::plain(system, at).unwrap();
    peer.token = token.clone();
    peer.timeout = Duration::from_millis(300);
    peer
}

/// Every kind of call there is.
async fn call_everything(at: &str, token: &Token) -> String {
    let (to_nomad, to_consul) = (
        peer(System::Nomad, at, token),
        peer(System::Consul, at, token),
    );
    let nomad = Arc::new(Nomad::new(&to_nomad).unwrap());
    let consul = Consul::new(&to_consul).unwrap();
    let mut said = format!("{to_nomad:?}{to_consul:?}{nomad:?}{consul:?}");
    said += &shown(nomad.agent_self().await);
    said += &shown(nomad.nodes(None).await);
    said += &shown(nomad.job("shop", None).await);
    let job = JobSpec::new(json!({"ID": "shop"}));
    said += &shown(nomad.register(&job, Some(3)).await);
    said += &shown(nomad.event_stream(&[Topic::Node], 0).await.map(|_| ()));
    let follower = Follower::start(nomad.clone(), nomad.clone(), Box::new(|_| ()));
    said += &format!("{:?}", follower.glance().await);
    said += &shown(consul.agent_self().await);
    said += &shown(consul.kv_list("foreshadow/", KvQuery::default()).await);
    said += &shown(consul.kv_put("k", b"v", None).await);
    said += &shown(consul.kv_get("k", None, true, None).await);
    said += &shown(consul.datacenters().await);
    said += &shown(consul.maintenance("web-1", true, "why").await);
    let session = SessionSpec {
        name: "leader".into(),
        ttl: Duration::from_secs(10),
        lock_delay: Duration::ZERO,
        delete_keys: false,
        node: None,
        check: None,
    };
    said += &shown(consul.session_create(&session, None).await);
    let ops = [TxnOp::Get { key: "k".into() }];
    said += &shown(consul.txn(&ops, None).await);
    let wanted = Wanted {
        requests: Selector::named("r"),
        errors: Selector::named("r"),
        latency: Selector::named("d"),
    };
    let metrics = Metrics::new(&peer(System::Metrics, at, token), wanted).unwrap();
    said + &format!("{:?}", metrics.scrape(Moment(0)).await.err())
}

#[tokio::test]
async fn at_trace_no_log_line_error_or_debug_text_holds_the_token() {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .init();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{CANARY}\n")).unwrap();
    let tokens = [
        Token::Given(SecretString::from(CANARY)),
        Token::File(file.clone()),
    ];
    let mut said = String::new();
    let mut carried = 0;
    for status in [200, 400, 403, 404, 429, 500] {
        for token in &tokens {
            let server = MockServer::start().await;
            // The worst of servers: it repeats the token in what it answers.
            let echo = format!("\"{CANARY}\" may not");
            let body = if status == 200 { "[]".into() } else { echo };
            Mock::given(any())
                .respond_with(ResponseTemplate::new(status).set_body_string(body))
                .mount(&server)
                .await;
            said += &call_everything(&server.uri(), token).await;
            for request in server.received_requests().await.unwrap() {
                let headers = ["x-nomad-token", "x-consul-token", "authorization"];
                let held = |h: &&str| request.headers.get(*h).is_some_and(|v| v == CANARY);
                carried += usize::from(headers.iter().any(held));
                assert!(!request.url.as_str().contains(CANARY), "{}", request.url);
            }
        }
    }
    // Nobody there, and one that hangs up.
    said += &call_everything("http://127.0.0.1:1", &tokens[0]).await;
    assert!(
        carried > 100,
        "the token was sent ({carried} requests held it)"
    );
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    for target in ["reqwest", "hyper", "rustify"] {
        assert!(
            logged.contains(target),
            "{target} logs at TRACE: the search is not in vain"
        );
    }
    let around = |text: &str| {
        let at = text.find(CANARY);
        at.map(|at| text[at.saturating_sub(300)..at].to_string())
    };
    assert_eq!(around(&said), None, "errors and Debug");
    assert_eq!(around(&logged), None, "the log");
    assert!(said.contains("[token]"), "a server's echo is redacted");
}

#[tokio::test]
async fn the_program_at_trace_keeps_its_tokens_to_itself() {
    let server = MockServer::start().await;
    let echo = format!("{CANARY} may not");
    Mock::given(any())
        .respond_with(ResponseTemplate::new(403).set_body_string(echo))
        .mount(&server)
        .await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("foreshadow.hcl");
    let policy = include_str!("../../policies/shop.hcl");
    std::fs::write(folder.path().join("shop.hcl"), policy).unwrap();
    let text =
        "policies = [\"shop.hcl\"]\ncycle = \"1s\"\ngateway \"edge-a\" {\n  site = \"edge-a\"\n}\n";
    std::fs::write(&config, text).unwrap();
    for verb in ["doctor", "plan"] {
        let mut run = Command::new(env!("CARGO_BIN_EXE_foreshadow"));
        run.args(["--log", "trace", verb, "--config"])
            .arg(&config)
            .current_dir(folder.path())
            .env("NOMAD_ADDR", server.uri())
            .env("CONSUL_HTTP_ADDR", server.uri())
            .env("NOMAD_TOKEN", CANARY)
            .env("CONSUL_HTTP_TOKEN", CANARY)
            .env("FORESHADOW_ACT_TOKEN", CANARY)
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || run.output())
            .await
            .unwrap();
        let output = output.unwrap();
        let all = [output.stdout, output.stderr].concat();
        let all = String::from_utf8_lossy(&all);
        assert!(all.contains("denied"), "{verb} was denied: {all}");
        assert!(!all.contains(CANARY), "{verb} shows a token");
    }
}
