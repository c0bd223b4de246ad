//! A tap in front of a mocked production and shadow.

use super::tap::{COPY, Scrub, TapConfig, safe, secrets, serve};
use super::{Counts, Tally};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn answering(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(template)
        .mount(&server)
        .await;
    server
}

fn config(production: &str, shadow: &str) -> TapConfig {
    TapConfig {
        production: production.parse().unwrap(),
        shadow: shadow.parse().unwrap(),
        share: 1.0,
        methods: safe(),
        scrub: secrets(),
        queue: 64,
        timeout: Duration::from_secs(5),
        copy_timeout: Duration::from_secs(5),
        seed: 1,
    }
}

struct Running {
    at: SocketAddr,
    tally: Arc<Tally>,
    client: reqwest::Client,
    _stop: DropGuard,
}

async fn tap(config: TapConfig) -> Running {
    // Clients need a provider even where they speak no TLS; who was first, wins.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, tally, stop) = (
        listener.local_addr().unwrap(),
        Arc::new(Tally::default()),
        CancellationToken::new(),
    );
    tokio::spawn(serve(listener, config, tally.clone(), stop.clone()));
    Running {
        at,
        tally,
        client: reqwest::Client::new(),
        _stop: stop.drop_guard(),
    }
}

impl Running {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }
    /// Once so many copies were compared.
    async fn compared(&self, n: u64) -> Counts {
        loop {
            let counts = self.tally.counts();
            if counts.compared >= n {
                return counts;
            }
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn production_gets_every_request_as_it_was_and_the_shadow_a_copy_of_what_is_safe_without_secrets()
 {
    let production = answering(ResponseTemplate::new(201).set_body_string("made")).await;
    let shadow = answering(ResponseTemplate::new(201).set_body_string("made")).await;
    let mut config = config(&production.uri(), &shadow.uri());
    config.scrub.push("X-Session-*".parse().unwrap());
    let tap = tap(config).await;
    let get = tap
        .client
        .get(tap.url("/a?b=c"))
        .header("X-Session-Id", "7")
        .header("Authorization", "Bearer s3cret")
        .header("X-Kept", "yes");
    let answer = get.send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.text().await.unwrap()),
        (201, "made".into())
    );
    let post = tap
        .client
        .post(tap.url("/orders"))
        .body("one")
        .send()
        .await
        .unwrap();
    assert_eq!(post.status(), 201);
    let counts = tap.compared(1).await;
    assert_eq!((counts.requests, counts.compared, counts.same), (2, 1, 1));

    let seen = production.received_requests().await.unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].headers["authorization"], "Bearer s3cret");
    assert!(
        !seen[0].headers.contains_key(COPY),
        "production sees no mark"
    );
    assert_eq!(seen[0].headers["x-session-id"], "7");
    assert_eq!(seen[1].body, b"one");
    let copies = shadow.received_requests().await.unwrap();
    assert_eq!(copies.len(), 1, "what writes is not done twice");
    assert_eq!(
        (copies[0].url.path(), copies[0].url.query()),
        ("/a", Some("b=c"))
    );
    assert_eq!(copies[0].headers["x-kept"], "yes");
    assert_eq!(copies[0].headers[COPY], "1");
    assert!(!copies[0].headers.contains_key("authorization"));
    assert!(!copies[0].headers.contains_key("x-session-id"));
}

#[test]
fn what_is_scrubbed_is_a_field_or_all_that_begin_alike() {
    assert_eq!(
        "X-Session-*".parse(),
        Ok(Scrub::Prefix("x-session-".into()))
    );
    assert_eq!("Cookie".parse(), Ok(Scrub::Field(hyper::header::COOKIE)));
    for wrong in ["", "*", "a b", "x-*-y"] {
        let parsed: Result<Scrub, String> = wrong.parse();
        assert_eq!(parsed.is_err(), wrong != "x-*-y", "{wrong}");
    }
}

#[tokio::test]
async fn a_copy_is_never_copied_again() {
    let (production, shadow) = (
        answering(ResponseTemplate::new(200)).await,
        answering(ResponseTemplate::new(200)).await,
    );
    let tap = tap(config(&production.uri(), &shadow.uri())).await;
    tap.client
        .get(tap.url("/"))
        .header(COPY, "1")
        .send()
        .await
        .unwrap();
    tap.client.get(tap.url("/")).send().await.unwrap();
    tap.compared(1).await;
    assert_eq!(shadow.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn answers_that_differ_are_told_by_status_and_by_size() {
    let production = answering(ResponseTemplate::new(200).set_body_string("x".repeat(1_000))).await;
    for (shadow, expected) in [
        (
            ResponseTemplate::new(200).set_body_string("y".repeat(1_050)),
            (1, 0, 0),
        ),
        (
            ResponseTemplate::new(200).set_body_string("y".repeat(2_000)),
            (0, 0, 1),
        ),
        (
            ResponseTemplate::new(500).set_body_string("x".repeat(1_000)),
            (0, 1, 0),
        ),
    ] {
        let shadow = answering(shadow).await;
        let tap = tap(config(&production.uri(), &shadow.uri())).await;
        let answer = tap.client.get(tap.url("/")).send().await.unwrap();
        assert_eq!(
            answer.text().await.unwrap().len(),
            1_000,
            "the client sees production alone"
        );
        let c = tap.compared(1).await;
        assert_eq!(
            (c.same, c.status_differs, c.size_differs),
            expected,
            "{c:?}"
        );
    }
}

#[tokio::test]
async fn a_shadow_that_hangs_costs_production_nothing_and_its_copies_are_dropped() {
    let production = answering(ResponseTemplate::new(200).set_body_string("fine")).await;
    let shadow = answering(ResponseTemplate::new(200).set_delay(Duration::from_secs(600))).await;
    let tap = tap(TapConfig {
        queue: 4,
        copy_timeout: Duration::from_secs(600),
        ..config(&production.uri(), &shadow.uri())
    })
    .await;
    for _ in 0..100 {
        let answer = tap.client.get(tap.url("/")).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "fine");
    }
    let counts = tap.tally.counts();
    assert_eq!((counts.requests, counts.compared), (100, 0));
    // Sixteen are under way, four wait.
    assert!((80..100).contains(&counts.dropped), "{counts:?}");
}

#[tokio::test]
async fn a_share_of_the_requests_is_copied() {
    let (production, shadow) = (
        answering(ResponseTemplate::new(200)).await,
        answering(ResponseTemplate::new(200)).await,
    );
    let tap = tap(TapConfig {
        share: 0.25,
        ..config(&production.uri(), &shadow.uri())
    })
    .await;
    for _ in 0..200 {
        tap.client.get(tap.url("/")).send().await.unwrap();
    }
    tap.compared(20).await;
    let copies = shadow.received_requests().await.unwrap().len();
    assert!((25..=80).contains(&copies), "{copies} of 200 at a quarter");
}

#[tokio::test]
async fn a_production_that_is_away_or_silent_is_said_as_a_gateway_says_it() {
    let shadow = answering(ResponseTemplate::new(200)).await;
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let away = tap(config(&format!("http://{nobody}"), &shadow.uri())).await;
    let answer = away.client.get(away.url("/")).send().await.unwrap();
    assert_eq!(answer.status(), 502);
    assert!(answer.text().await.unwrap().contains("cannot reach"));
    let silent = answering(ResponseTemplate::new(200).set_delay(Duration::from_secs(600))).await;
    let silent = tap(TapConfig {
        timeout: Duration::from_millis(50),
        ..config(&silent.uri(), &shadow.uri())
    })
    .await;
    let answer = silent.client.get(silent.url("/")).send().await.unwrap();
    assert_eq!(answer.status(), 504);
    assert_eq!(silent.tally.counts().unreachable, 1);
}
