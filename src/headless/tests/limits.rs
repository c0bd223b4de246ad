//! What one client can take from the others: on virtual time, or on a clock that is set by hand.

use super::*;
use crate::headless::api::{LARGEST, router};
use crate::headless::door::{HEAD, connection};
use crate::headless::gate::{AT_ONCE, REQUEST, Rate, STREAMS};
use crate::headless::patience::{ANSWER, EVENT};
use axum::body::{Body, to_bytes};
use axum::http::Request;
use governor::clock::FakeRelativeClock;
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::time::Instant;
use tower::ServiceExt;

/// A connection of which the client has the other end; it holds so many bytes on the way.
struct Client {
    wire: DuplexStream,
    serving: tokio::task::JoinHandle<()>,
    views: watch::Sender<Arc<View>>,
    began: Instant,
}

fn client(on_the_way: usize) -> Client {
    let (views, receive) = watch::channel(Arc::new(view(1..=50)));
    let (api, _) = api(receive, Some("sesame"), 0);
    let router = router(api, None, CancellationToken::new());
    let (wire, other) = tokio::io::duplex(on_the_way);
    let serving = tokio::spawn(connection(other, router, CancellationToken::new()));
    Client {
        wire,
        serving,
        views,
        began: at(),
    }
}

#[expect(clippy::disallowed_methods, reason = "virtual time")]
fn at() -> Instant {
    Instant::now()
}

impl Client {
    async fn sends(&mut self, text: &str) {
        self.wire.write_all(text.as_bytes()).await.unwrap();
    }

    /// How long it lasted until it was let go.
    async fn lasted(self) -> Duration {
        self.serving.await.unwrap();
        at() - self.began
    }
}

#[tokio::test(start_paused = true)]
async fn who_never_asks_is_let_go() {
    assert_eq!(client(4096).lasted().await, HEAD);
    let mut half = client(4096);
    half.sends("GET /v1/view HTTP/1.1\r\nHost: he").await;
    assert_eq!(half.lasted().await, HEAD);
}

#[tokio::test(start_paused = true)]
async fn who_was_answered_and_asks_no_more_is_let_go() {
    let mut kept = client(65_536);
    kept.sends("GET /live HTTP/1.1\r\nHost: here\r\n\r\n").await;
    assert_eq!(kept.lasted().await, HEAD);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let mut slow = client(4096);
    slow.sends("POST /v1/command HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer sesame\r\nContent-Length: 900\r\n\r\n{")
        .await;
    let mut said = String::new();
    slow.wire.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    assert_eq!(slow.lasted().await, REQUEST);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_an_answer_is_let_go() {
    let mut deaf = client(64);
    deaf.sends("GET /v1/view HTTP/1.1\r\nHost: here\r\n\r\n")
        .await;
    assert_eq!(deaf.lasted().await, ANSWER);
}

#[tokio::test(start_paused = true)]
async fn who_takes_an_answer_byte_by_byte_gains_no_time() {
    let Client {
        mut wire,
        serving,
        began,
        views: _views,
    } = client(64);
    wire.write_all(b"GET /v1/view HTTP/1.1\r\nHost: here\r\n\r\n")
        .await
        .unwrap();
    let drips = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        let mut byte = [0; 1];
        while wire.read(&mut byte).await.is_ok_and(|n| n > 0) {
            ticks.tick().await;
        }
    });
    serving.await.unwrap();
    assert!(at() - began <= ANSWER + Duration::from_secs(1));
    drips.abort();
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_a_stream_is_let_go_and_nothing_piles_up() {
    for path in ["/v1/stream", "/v1/events"] {
        let mut deaf = client(1024);
        deaf.sends(&format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n"))
            .await;
        let (views, serving) = (deaf.views, deaf.serving);
        let engine = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            for n in 51u64.. {
                ticks.tick().await;
                let last = views.borrow().cycle;
                let next = View {
                    cycle: last + 1,
                    ..view(n..=n + 50)
                };
                if views.send(Arc::new(next)).is_err() {
                    return n - 51;
                }
            }
            unreachable!()
        });
        serving.await.unwrap();
        let took = at() - deaf.began;
        assert!(
            took >= EVENT && took < EVENT + Duration::from_secs(2),
            "{path}: {took:?}"
        );
        // The engine is not held up meanwhile: it sees nobody after that, and has told a view a second until then.
        let told = engine.await.unwrap();
        assert!(
            (14..=18).contains(&told),
            "{path}: {told} views in {took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_a_stream_who_goes_on_reading_stays() {
    let mut slow = client(1024);
    slow.sends("GET /v1/stream HTTP/1.1\r\nHost: here\r\n\r\n")
        .await;
    let Client {
        mut wire,
        serving,
        views,
        ..
    } = slow;
    let reader = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        let mut piece = [0; 1024];
        for _ in 0..600 {
            ticks.tick().await;
            assert!(
                wire.read(&mut piece).await.unwrap() > 0,
                "2 KiB a second are enough"
            );
        }
    });
    let engine = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(300));
        for n in 51u64.. {
            ticks.tick().await;
            views.send_replace(Arc::new(View {
                cycle: n,
                ..view(n..=n + 50)
            }));
        }
    });
    reader.await.unwrap();
    engine.abort();
    serving.abort();
}

/// One request to the API without a wire.
async fn asked(router: &axum::Router, request: Request<Body>) -> axum::response::Response {
    router.clone().oneshot(request).await.unwrap()
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn behind(token: Option<secrecy::SecretString>) -> (axum::Router, watch::Sender<Arc<View>>) {
    let (views, receive) = watch::channel(Arc::new(view(1..=2)));
    let (api, _) = api(receive, Some("sesame"), 0);
    (router(api, token, CancellationToken::new()), views)
}

#[tokio::test]
async fn a_body_of_more_than_a_command_is_refused() {
    let (router, _views) = behind(None);
    for (bytes, status) in [(LARGEST, 400), (LARGEST + 1, 413)] {
        let request = Request::post("/v1/command").header("authorization", "Bearer sesame");
        let request = request.body(Body::from(vec![b' '; bytes])).unwrap();
        assert_eq!(asked(&router, request).await.status(), status, "{bytes}");
    }
}

#[test]
fn so_many_at_once_and_then_so_many_a_second() {
    let clock = FakeRelativeClock::default();
    let rate = Rate::new(clock.clone());
    for n in 0..AT_ONCE.get() {
        assert_eq!(rate.too_fast(), None, "{n}");
    }
    assert_eq!(rate.too_fast(), Some(1));
    clock.advance(Duration::from_millis(20));
    assert_eq!(rate.too_fast(), None);
    assert_eq!(rate.too_fast(), Some(1));
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_ask_again_and_watchers_still_get_their_answer() {
    let (router, _views) = behind(None);
    let mut last = asked(&router, get("/v1/plan")).await;
    // Some more may pass while time goes on, yet not without end.
    for _ in 0..100 * AT_ONCE.get() {
        if last.status() == 429 {
            break;
        }
        last = asked(&router, get("/v1/plan")).await;
    }
    assert_eq!(last.status(), 429);
    assert_eq!(last.headers()["retry-after"], "1");
    assert_eq!(asked(&router, get("/live")).await.status(), 200);
}

#[tokio::test]
async fn streams_leave_room_for_others_and_one_that_ends_makes_room() {
    let (router, _views) = behind(None);
    let mut held = Vec::new();
    for n in 0..STREAMS {
        let path = if n % 2 == 0 {
            "/v1/stream"
        } else {
            "/v1/events"
        };
        let stream = asked(&router, get(path)).await;
        assert_eq!(stream.status(), 200, "{n}");
        held.push(stream);
    }
    let full = asked(&router, get("/v1/stream")).await;
    assert_eq!(
        (
            full.status().as_u16(),
            full.headers()["retry-after"].to_str().unwrap()
        ),
        (503, "5")
    );
    assert_eq!(asked(&router, get("/v1/view")).await.status(), 200);
    held.pop();
    assert_eq!(asked(&router, get("/v1/events")).await.status(), 200);
}

#[tokio::test]
async fn through_a_door_with_a_token_only_watchers_come_without() {
    let (router, _views) = behind(Some("look".to_string().into()));
    for path in [
        "/v1/view",
        "/v1/openapi.json",
        "/metrics",
        "/v1/stream",
        "/nothing",
    ] {
        let refused = asked(&router, get(path)).await;
        assert_eq!(refused.status(), 401, "{path}");
        assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    }
    assert_eq!(asked(&router, get("/live")).await.status(), 200);
    assert_eq!(asked(&router, get("/ready")).await.status(), 200);
    let shown = Request::get("/v1/plan").header("authorization", "Bearer look");
    let plan = asked(&router, shown.body(Body::empty()).unwrap()).await;
    assert_eq!(plan.status(), 200);
    let body = to_bytes(plan.into_body(), 1 << 20).await.unwrap();
    assert!(body.starts_with(b"{"));
}
