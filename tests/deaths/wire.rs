//! The ways out of a process that may die: a proxy before Nomad and Consul, and a gate at which each write is counted. At one
//! of them the process dies: before it has left, after it was done but before its answer, or with its request still on the way.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;
use foreshadow::act::{Journal, Measurer};
use foreshadow::model::*;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    After,
    /// It arrives when others have gone on already.
    Late,
}

/// Where a process dies, or nowhere.
#[derive(Default)]
pub struct Gate {
    pub at: Option<(usize, When)>,
    /// Every write that came here, in order.
    pub seen: Mutex<Vec<String>>,
    pub died: Notify,
    pub released: Notify,
    /// What came of the request that was late.
    pub late: Mutex<Option<u16>>,
    pub arrived: Notify,
}

impl Gate {
    /// Counts a write; gives when the process dies at it, if it does. Dead before it, this never returns.
    async fn enter(&self, what: String) -> Option<When> {
        let n = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(what);
            seen.len() - 1
        };
        let when = self.at.filter(|(at, _)| *at == n).map(|(_, when)| when);
        if when == Some(When::Before) {
            self.die().await;
        }
        when
    }

    async fn leave(&self, when: Option<When>) {
        if when == Some(When::After) {
            self.die().await;
        }
    }

    async fn die(&self) {
        self.died.notify_one();
        std::future::pending::<()>().await;
    }
}

/// A journal behind the gate.
pub struct Gated {
    pub inner: Arc<dyn Journal>,
    pub gate: Arc<Gate>,
}

impl Journal for Gated {
    fn write<'a>(&'a self, entry: &'a JournalEntry) -> Later<'a, Result<(), String>> {
        Box::pin(async move {
            let when = self.gate.enter(format!("store {:?}", entry.state)).await;
            let done = self.inner.write(entry).await;
            self.gate.leave(when).await;
            done
        })
    }
}

impl Measurer for Gate {
    fn measure<'a>(&'a self, action: &'a Action) -> Later<'a, Result<Measurement, String>> {
        Box::pin(async move {
            let when = self.enter("measurement".into()).await;
            let Action::MeasureShadow { key, .. } = action else {
                return Err("no measurement".into());
            };
            self.leave(when).await;
            Ok(Measurement {
                key: key.clone(),
                at: Moment(0),
                points: vec![],
                knee: Rps(1.0),
                knee_open: true,
                cpu_a_request: 1.0,
                bytes_a_request: 1.0,
                memory: MiB(1.0),
                startup: Span::secs(1),
                details: Details::default(),
                cut_short: None,
                judged: None,
            })
        })
    }
}

/// One for all: making a client takes longer than most deaths.
static CLIENT: LazyLock<reqwest::Client> =
    LazyLock::new(|| reqwest::Client::builder().no_proxy().build().unwrap());

struct Way {
    name: &'static str,
    server: String,
    gate: Arc<Gate>,
}

/// A proxy before `server`, as far as the process lives.
pub async fn proxy(name: &'static str, server: SocketAddr, gate: Arc<Gate>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let way = Arc::new(Way {
        name,
        server: format!("http://{server}"),
        gate,
    });
    let app = axum::Router::new().fallback(pass).with_state(way);
    tokio::spawn(async move { axum::serve(listener, app).await });
    at
}

async fn pass(State(way): State<Arc<Way>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    if head.method == Method::GET {
        return forward(&way, head, body).await;
    }
    let when = way.gate.enter(named(way.name, &head, &body)).await;
    if when == Some(When::Late) {
        let way = way.clone();
        let gate = way.gate.clone();
        tokio::spawn(async move {
            way.gate.released.notified().await;
            let status = forward(&way, head, body).await.status().as_u16();
            *way.gate.late.lock().unwrap() = Some(status);
            way.gate.arrived.notify_one();
        });
        gate.die().await;
        unreachable!("the dead wait forever");
    }
    let answer = forward(&way, head, body).await;
    way.gate.leave(when).await;
    answer
}

/// Transactions by the key that they write.
fn named(name: &str, head: &Parts, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let key = [keys::JOURNAL, keys::TARGETS]
        .into_iter()
        .find(|key| text.contains(key));
    let (method, path) = (&head.method, head.uri.path());
    format!("{name} {method} {path} {}", key.unwrap_or(""))
}

async fn forward(way: &Way, head: Parts, body: Bytes) -> Response {
    let path = head.uri.path_and_query().unwrap();
    let sent = CLIENT
        .request(head.method, format!("{}{path}", way.server))
        .headers(without_length(head.headers))
        .body(body)
        .send()
        .await
        .unwrap();
    let (status, headers) = (sent.status(), without_length(sent.headers().clone()));
    let mut answer = Response::new(Body::from(sent.bytes().await.unwrap()));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// Without what each connection says for itself.
fn without_length(mut headers: HeaderMap) -> HeaderMap {
    for name in [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
    ] {
        headers.remove(name);
    }
    headers
}
