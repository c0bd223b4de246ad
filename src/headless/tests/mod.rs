mod doors;
mod limits;

use super::*;
use crate::engine::view::{Command, LogKind, LogLine, ReadingView, View};
use crate::model::{Cause, Moment, Shared, Span, Waiting};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

fn line(seq: u64) -> LogLine {
    LogLine {
        at: Moment(1_700_000_000_250),
        seq,
        kind: LogKind::Held,
        cause: Some(Cause::Predicted),
        portion: Some("web".into()),
        text: format!("line {seq}"),
    }
}

fn view(seqs: std::ops::RangeInclusive<u64>) -> View {
    View {
        at: Moment(1_000_000),
        cycle: 7,
        waiting: vec![Shared::new(Waiting {
            what: "a".into(),
            why: "b".into(),
        })],
        log: seqs.map(line).collect(),
        ..View::default()
    }
}

fn texts(events: &[serde_json::Value]) -> Vec<&str> {
    events.iter().filter_map(|e| e["text"].as_str()).collect()
}

#[test]
fn a_line_carries_when_what_and_why() {
    let events = Follower::default().fresh(&view(3..=3));
    let wanted = serde_json::json!({
        "at": "2023-11-14T22:13:20.25Z", "kind": "held", "text": "line 3", "seq": 3,
        "cause": "predicted", "portion": "web",
    });
    assert_eq!(events, [wanted]);
}

#[test]
fn every_line_is_told_once() {
    let mut follower = Follower::default();
    assert_eq!(texts(&follower.fresh(&view(1..=2))), ["line 1", "line 2"]);
    assert_eq!(texts(&follower.fresh(&view(1..=3))), ["line 3"]);
    assert!(follower.fresh(&view(1..=3)).is_empty());
}

#[test]
fn lines_that_were_missed_are_admitted() {
    let mut follower = Follower::default();
    follower.fresh(&view(1..=2));
    let events = follower.fresh(&view(6..=6));
    assert_eq!(
        texts(&events)[0],
        "3 lines missed: more came than were read"
    );
    assert_eq!(texts(&events)[1], "line 6");
}

#[test]
fn a_log_that_begins_anew_is_told_from_its_beginning() {
    let mut follower = Follower::default();
    follower.fresh(&view(1..=9));
    assert_eq!(texts(&follower.fresh(&view(1..=2))), ["line 1", "line 2"]);
}

#[tokio::test]
async fn the_stream_ends_with_the_engine_and_the_summary_is_the_last_line() {
    let (send, receive) = watch::channel(Arc::new(view(1..=2)));
    drop(send);
    let mut out = Vec::new();
    let say = |event: &serde_json::Value| write_event(&mut out, event);
    tell(receive, say, CancellationToken::new()).await.unwrap();
    write_summary(&mut out, serde_json::json!({"requests": 9})).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2], r#"{"summary":{"requests":9}}"#);
}

/// A foreshadow's API of these views.
fn api(
    views: watch::Receiver<Arc<View>>,
    token: Option<&str>,
    now: i64,
) -> (Api, mpsc::Receiver<Command>) {
    let (commands, asked) = mpsc::channel(1);
    let api = Api {
        views,
        commands,
        act_token: token.map(|t| t.to_string().into()),
        cycle: Span::secs(1),
        now: Arc::new(move || Moment(now)),
        counted: None,
        journal: None,
    };
    (api, asked)
}

struct Served {
    at: std::net::SocketAddr,
    asked: mpsc::Receiver<Command>,
    views: watch::Sender<Arc<View>>,
    cancel: tokio_util::sync::DropGuard,
    serving: tokio::task::JoinHandle<()>,
}

async fn door(at: &str) -> (Door, std::net::SocketAddr) {
    let door = Door::open(&at.parse().unwrap(), &Keys::default())
        .await
        .unwrap();
    let Place::Http(at) = door.place() else {
        panic!("{}", door.place())
    };
    (door, at)
}

async fn served(token: Option<&str>, now: i64) -> Served {
    let (views, receive) = watch::channel(Arc::new(view(1..=2)));
    let (api, asked) = api(receive, token, now);
    let (door, at) = door("127.0.0.1:0").await;
    let cancel = CancellationToken::new();
    Served {
        serving: tokio::spawn(serve(door, api, cancel.clone())),
        at,
        asked,
        views,
        cancel: cancel.drop_guard(),
    }
}

fn acting(token: &str) -> Trust {
    Trust {
        act_token: Some(token.to_string().into()),
        ..Trust::default()
    }
}

/// Status and body.
async fn ask(
    served: &Served,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> (u16, String) {
    let auth = token.map_or(String::new(), |t| format!("Authorization: Bearer {t}\r\n"));
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{auth}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(served.at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_string();
    (status, body)
}

#[tokio::test]
async fn readers_get_the_view_and_the_plan() {
    let served = served(None, 1_000_500).await;
    let (status, body) = ask(&served, "GET", "/v1/view", None, "").await;
    let read: View = serde_json::from_str(&body).unwrap();
    assert_eq!((status, read), (200, view(1..=2)));
    let (status, body) = ask(&served, "GET", "/v1/plan", None, "").await;
    let plan: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &plan["waiting"][0]["why"]), (200, &"b".into()));
}

#[tokio::test]
async fn what_is_not_there_is_answered_with_what_is() {
    let served = served(None, 1_000_500).await;
    let (status, body) = ask(&served, "GET", "/v1/portions/wbe", None, "").await;
    assert_eq!(
        (status, body.as_str()),
        (404, "no portion is called `wbe`; known are none yet\n")
    );
    let (status, body) = ask(&served, "GET", "/v2", None, "").await;
    assert_eq!(status, 404);
    assert!(body.contains("GET /v1/view"), "{body}");
    assert_eq!(ask(&served, "GET", "/v1/command", None, "").await.0, 405);
}

#[tokio::test]
async fn a_view_older_than_three_cycles_is_not_ready_yet_alive() {
    assert_eq!(
        ask(&served(None, 1_003_000).await, "GET", "/ready", None, "")
            .await
            .0,
        200
    );
    let old = served(None, 1_003_001).await;
    let (status, body) = ask(&old, "GET", "/ready", None, "").await;
    assert_eq!(status, 503);
    assert!(
        body.starts_with("not ready: the view is 3.0 s old"),
        "{body}"
    );
    assert_eq!(
        ask(&old, "GET", "/live", None, "").await,
        (200, "live\n".into())
    );
}

#[tokio::test]
async fn only_the_act_token_commands() {
    let abort = r#"{"command":"abort"}"#;
    let closed = served(None, 0).await;
    assert_eq!(
        ask(&closed, "POST", "/v1/command", Some(""), abort).await.0,
        403
    );
    let mut open = served(Some("sesame"), 0).await;
    for none in [None, Some("")] {
        let without = ask(&open, "POST", "/v1/command", none, abort).await;
        assert_eq!(without.0, 401, "{without:?}");
    }
    for wrong in [Some("sesam"), Some("sesame2"), Some("Sesame")] {
        assert_eq!(
            ask(&open, "POST", "/v1/command", wrong, abort).await.0,
            403,
            "{wrong:?}"
        );
    }
    assert!(open.asked.try_recv().is_err());
    let (status, body) = ask(&open, "POST", "/v1/command", Some("sesame"), "{}").await;
    assert_eq!(status, 400);
    assert!(body.contains(r#"{"command":"abort"}"#), "{body}");
    assert_eq!(
        ask(&open, "POST", "/v1/command", Some("sesame"), abort)
            .await
            .0,
        202
    );
    assert_eq!(
        ask(&open, "POST", "/v1/command", Some("sesame"), abort)
            .await
            .0,
        503
    );
    assert_eq!(open.asked.try_recv(), Ok(Command::Abort));
    drop(open.cancel);
}

#[tokio::test]
async fn another_process_sees_the_view_and_its_commands_arrive_with_the_token_alone() {
    let mut served = served(Some("sesame"), 0).await;
    let remote = |trust| Remote::new(&format!("http://{}", served.at), trust).unwrap();
    let (without, with) = (remote(Trust::default()), remote(acting("sesame")));
    assert_eq!(with.view().await.unwrap(), view(1..=2));
    let refused = without.command(&Command::Abort).await.unwrap_err();
    assert!(refused.to_string().contains("act token"), "{refused}");
    assert!(served.asked.try_recv().is_err());
    let said = with.command(&Command::Abort).await.unwrap();
    assert!(said.starts_with("accepted"), "{said}");
    assert_eq!(served.asked.try_recv(), Ok(Command::Abort));
}

#[tokio::test]
async fn a_face_that_follows_gets_each_new_view_and_its_commands_go_out() {
    let mut served = served(Some("sesame"), 0).await;
    let remote = Remote::new(&format!("http://{}", served.at), acting("sesame"));
    let cancel = CancellationToken::new();
    let guard = cancel.clone().drop_guard();
    let (mut views, commands) = remote.unwrap().follow(Arc::default(), None, cancel);
    let seen = views.wait_for(|v| v.cycle == 7).await.unwrap().clone();
    assert_eq!(*seen, view(1..=2));
    commands.send(Command::Hold { on: true }).await.unwrap();
    assert_eq!(served.asked.recv().await, Some(Command::Hold { on: true }));
    drop(guard);
}

/// Reads the stream until an event that `wanted` picks; the document as it is then, and the bytes that came.
async fn read_stream(
    served: &Served,
    packed: bool,
    wanted: impl Fn(&View) -> bool,
) -> (View, usize) {
    use crate::headless::delta::apply;
    use crate::headless::stream::{Decoder, Told, Unpacker};
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut ask = client.get(format!("http://{}/v1/stream", served.at));
    if packed {
        ask = ask.header("accept-encoding", "gzip");
    }
    let mut answer = ask.send().await.unwrap();
    assert_eq!(answer.headers().contains_key("content-encoding"), packed);
    let (mut unpacker, mut decoder) = (Unpacker::new(packed), Decoder::default());
    let (mut document, mut bytes) = (serde_json::Value::Null, 0);
    loop {
        let chunk = answer.chunk().await.unwrap().expect("the stream goes on");
        bytes += chunk.len();
        for told in decoder.take(&unpacker.unpack(&chunk).unwrap()).unwrap() {
            match told {
                Told::Snapshot(new) => document = new,
                Told::Delta(patch) => apply(&mut document, &patch).unwrap(),
                Told::Beat => continue,
            }
            let view: View = serde_json::from_value(document.clone()).unwrap();
            if wanted(&view) {
                return (view, bytes);
            }
            let mut next = view.clone();
            next.cycle += 1;
            next.log.push(line(next.cycle + 100));
            served.views.send_replace(Arc::new(next));
        }
    }
}

#[tokio::test]
async fn the_stream_tells_a_snapshot_and_then_what_changed_packed_or_not() {
    let served = served(None, 0).await;
    for packed in [false, true] {
        served.views.send_replace(Arc::new(view(1..=2)));
        let (seen, bytes) = read_stream(&served, packed, |v| v.cycle == 9).await;
        assert_eq!(seen, **served.views.borrow(), "packed: {packed}");
        let whole = serde_json::to_vec(&seen).unwrap().len();
        assert!(
            bytes < 3 * whole,
            "{bytes} bytes for three events of {whole}"
        );
    }
}

#[tokio::test]
async fn a_face_connects_again_when_the_other_side_was_away() {
    let first = served(None, 0).await;
    let at = first.at;
    let remote = Remote::new(&format!("http://{at}"), Trust::default()).unwrap();
    let cancel = CancellationToken::new();
    let guard = cancel.clone().drop_guard();
    let (mut views, _commands) = remote.follow(Arc::default(), None, cancel);
    views.wait_for(|v| v.cycle == 7).await.unwrap();
    // Its engine is gone, so its streams end, and it lets go of its address.
    drop((first.views, first.cancel));
    first.serving.await.unwrap();
    let (send, receive) = watch::channel(Arc::new(View {
        cycle: 8,
        ..view(1..=3)
    }));
    let (api, _asked) = api(receive, None, 0);
    let (door, _) = door(&at.to_string()).await;
    tokio::spawn(serve(door, api, CancellationToken::new()));
    let seen = views.wait_for(|v| v.cycle == 8).await.unwrap().clone();
    assert_eq!(seen.log.len(), 3);
    drop((guard, send));
}

#[test]
fn an_address_that_is_none_is_told_with_an_example() {
    for wrong in ["", "gateway", "ftp://gateway", "127.0.0.1:4680"] {
        let e = Remote::new(wrong, Trust::default())
            .err()
            .unwrap()
            .to_string();
        assert!(e.contains("http://127.0.0.1:4680"), "{e}");
    }
}

#[tokio::test]
async fn metrics_tell_the_view_as_it_is_now() {
    let mut told = view(1..=2);
    told.tally.holds.insert("hold_key".into(), 3);
    told.readings = vec![
        ReadingView {
            what: "nodes".into(),
            age: Some(Span::millis(1_500)),
        },
        ReadingView {
            what: "traffic".into(),
            age: None,
        },
    ];
    let now = Moment(told.at.0 + 2_500);
    let text = exposition(&told, now, None).unwrap();
    for line in [
        "foreshadow_view_age_seconds 2.5",
        "foreshadow_cycles_total 7",
        "foreshadow_holds_total{law=\"hold_key\"} 3",
        "foreshadow_steps_waiting 1",
        "foreshadow_reading_age_seconds{reading=\"nodes\"} 1.5",
        "foreshadow_reading_known{reading=\"traffic\"} 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    let unseen = "foreshadow_reading_age_seconds{reading=\"traffic\"}";
    assert!(!text.contains(unseen), "no age of what was never read");
    told.readings.clear();
    let text = exposition(&told, now, None).unwrap();
    assert!(!text.contains("reading="), "what has gone is gone:\n{text}");
    let served = served(None, 1_000_500).await;
    let (status, body) = ask(&served, "GET", "/metrics", None, "").await;
    assert_eq!(status, 200);
    assert!(
        body.contains("# TYPE foreshadow_cycles_total counter"),
        "{body}"
    );
}
