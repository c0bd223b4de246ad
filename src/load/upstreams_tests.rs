//! Stand-ins before a mocked production.

use super::*;
use crate::load::http::HttpClient;
use http_body_util::Empty;
use std::collections::BTreeMap;
use tokio_util::sync::DropGuard;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn production(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    let mock = Mock::given(any()).respond_with(template);
    mock.mount(&server).await;
    server
}

fn exchange_of(path: &str, status: u16, body: &str) -> Exchange {
    Exchange {
        method: "GET".into(),
        path: path.into(),
        status,
        headers: BTreeMap::from([("content-type".to_string(), "text/plain".to_string())]),
        body: body.into(),
        latency: Millis(0.0),
    }
}

fn upstream(name: &str, instead: Instead) -> UpstreamPolicy {
    UpstreamPolicy {
        name: name.into(),
        env: "X".into(),
        instead,
    }
}

async fn standing(upstream: &UpstreamPolicy) -> (SocketAddr, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let cancel = CancellationToken::new();
    let one = StandIn::new(upstream, None, None).unwrap();
    tokio::spawn(stand_in(listener, one, cancel.clone()));
    (at, cancel.drop_guard())
}

/// Status, body and the `Allow` field.
async fn ask(at: SocketAddr, method: &str, path: &str) -> (u16, String, Option<String>) {
    let client: Client<HttpConnector, Empty<Bytes>> = client(None);
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{at}{path}"))
        .body(Empty::new())
        .unwrap();
    let answer = client.request(request).await.unwrap();
    let allow = answer.headers().get(ALLOW);
    let allow = allow.map(|v| v.to_str().unwrap().to_string());
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned(), allow)
}

fn readonly(server: &MockServer, methods: &[&str]) -> UpstreamPolicy {
    let methods = methods.iter().map(|m| m.to_string()).collect();
    let name = server.address().to_string();
    upstream(&name, Instead::ProductionReadonly { methods })
}

#[tokio::test]
async fn a_stub_answers_as_recorded_and_says_what_was_not() {
    let recording = vec![
        exchange_of("/price?of=1", 200, "12"),
        exchange_of("/price?of=2", 404, "none"),
    ];
    let latency = Millis(0.0);
    let stub = upstream("shop-pricing", Instead::Stub { recording, latency });
    let (at, _guard) = standing(&stub).await;
    assert_eq!(ask(at, "GET", "/price?of=2").await.0, 404);
    let (status, body, _) = ask(at, "GET", "/price?of=77").await;
    assert_eq!(
        (status, body.as_str()),
        (200, "12"),
        "another query of the same path"
    );
    let (status, body, _) = ask(at, "GET", "/tax").await;
    assert_eq!(status, 501);
    assert!(body.contains("GET /tax was not recorded"), "{body}");
    assert_eq!(ask(at, "POST", "/price?of=1").await.0, 501);
}

#[tokio::test]
async fn a_stub_without_a_recording_answers_everything_well() {
    let instead = Instead::Stub {
        recording: vec![],
        latency: Millis(1.0),
    };
    let (at, _guard) = standing(&upstream("shop-pricing", instead)).await;
    let client = HttpClient::new(None, Duration::from_secs(1), Duration::from_secs(1));
    assert_eq!(client.get(at, "/any", "1").await.result, Ok(200));
}

#[tokio::test]
async fn reads_reach_production_marked_as_a_shadows_and_writes_never_do() {
    let server = production(ResponseTemplate::new(200).set_body_string("12")).await;
    let (at, _guard) = standing(&readonly(&server, &["GET"])).await;
    let (status, body, _) = ask(at, "GET", "/price?of=1").await;
    assert_eq!((status, body.as_str()), (200, "12"));
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let (status, body, allow) = ask(at, method, "/price").await;
        assert_eq!((status, allow.as_deref()), (405, Some("GET")), "{body}");
    }
    let seen = server.received_requests().await.unwrap();
    assert_eq!(seen.len(), 1, "the read alone");
    assert_eq!(seen[0].url.query(), Some("of=1"));
    assert_eq!(seen[0].headers.get(COPY).unwrap(), "1");
}

#[tokio::test]
async fn production_that_cannot_be_reached_is_told_as_such() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = free.local_addr().unwrap();
    drop(free);
    let methods = vec!["GET".to_string()];
    let gone = upstream(&at.to_string(), Instead::ProductionReadonly { methods });
    let (at, _guard) = standing(&gone).await;
    assert_eq!(ask(at, "GET", "/").await.0, 502);
    let by_name = upstream("shop-pricing", gone.instead);
    let refused = StandIn::new(&by_name, None, None)
        .err()
        .map(|e| e.to_string());
    assert!(refused.is_some_and(|e| e.contains("no DNS address is known")));
}

#[tokio::test]
async fn what_was_recorded_is_what_a_stub_answers() {
    let template = ResponseTemplate::new(201)
        .insert_header("set-cookie", "session=secret")
        .insert_header("x-kind", "price")
        .set_body_string("12");
    let server = production(template).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let keep = move |e: &Exchange| tell.send(e.clone()).unwrap();
    let to = Production::new(&server.address().to_string(), None, None).unwrap();
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    tokio::spawn(record(listener, to, keep, cancel));
    let passed = ask(at, "POST", "/orders").await;
    assert_eq!((passed.0, passed.1.as_str()), (201, "12"));
    let kept = told.recv().await.unwrap();
    assert_eq!(
        (kept.method.as_str(), kept.path.as_str()),
        ("POST", "/orders")
    );
    assert!(
        !kept.headers.contains_key("set-cookie"),
        "cookies are secrets"
    );
    assert_eq!(kept.headers["x-kind"], "price");
    let stub = Instead::Stub {
        recording: vec![kept],
        latency: Millis(0.0),
    };
    let (at, _guard) = standing(&upstream("shop-orders", stub)).await;
    let replayed = ask(at, "POST", "/orders").await;
    assert_eq!((replayed.0, replayed.1.as_str()), (201, "12"));
}

#[tokio::test]
async fn a_plan_that_cannot_be_served_is_refused_by_name() {
    let refused = |env: &'static [(&'static str, &'static str)]| async move {
        let get = |name: &str| {
            let found = env.iter().find(|(n, _)| *n == name);
            found.map(|(_, v)| v.to_string())
        };
        let served = serve(get, CancellationToken::new()).await;
        served.expect_err("it must be refused").to_string()
    };
    assert!(refused(&[]).await.contains(UPSTREAMS_PLAN));
    let plan = "[{\"name\":\"a\",\"env\":\"A\",\"instead\":{\"mode\":\"stub\",\"recording\":[],\"latency\":1.0}}]";
    let env: &'static [(&str, &str)] = Box::leak(Box::new([(UPSTREAMS_PLAN, plan)]));
    assert!(
        refused(env)
            .await
            .starts_with("NOMAD_ADDR_foreshadow_up_0 is")
    );
}
