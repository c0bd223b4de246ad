//! A small forward proxy before a portion: production's requests pass through, and a share of them goes to a shadow as well, whose
//! answers are compared and thrown away. Production never waits for a copy: a bounded queue drops copies first.

use super::proxy::{Answer, accept, client, readdress, said, strip};
use super::tap_tally::{Counted, Outcome, Tally};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Marks a copy, so that a shadow can tell and no tap copies it again.
pub const COPY: &str = "x-foreshadow-copy";
/// Bodies of requests up to this are copied; larger ones pass through alone.
const LARGEST_BODY: u64 = 64 * 1024;
/// Copies under way at once.
const WORKERS: usize = 16;

/// What is copied where.
#[derive(Clone, Debug)]
pub struct TapConfig {
    /// Where production is: scheme, host and port.
    pub production: Uri,
    pub shadow: Uri,
    /// Part of the requests that is copied, 0 to 1.
    pub share: f64,
    /// Methods that are copied; the others would be done twice.
    pub methods: Vec<Method>,
    /// Header fields that a shadow must not see.
    pub scrub: Vec<Scrub>,
    /// Copies that may wait.
    pub queue: usize,
    /// Until production has begun to answer.
    pub timeout: Duration,
    /// Until a copy is answered whole.
    pub copy_timeout: Duration,
    pub seed: u64,
}

/// Which header fields are taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scrub {
    Field(HeaderName),
    /// Every field whose name begins so, in lower case.
    Prefix(String),
}

impl Scrub {
    fn hits(&self, name: &HeaderName) -> bool {
        match self {
            Scrub::Field(field) => field == name,
            Scrub::Prefix(start) => name.as_str().starts_with(start),
        }
    }
}

impl std::str::FromStr for Scrub {
    type Err = String;

    /// `x-session`, or `x-session-*` for all that begin so.
    fn from_str(rule: &str) -> Result<Scrub, String> {
        let wrong = |e: &dyn std::fmt::Display| format!("{rule:?} is no header field: {e}");
        let start = rule.strip_suffix('*').unwrap_or(rule);
        let field: HeaderName = start.parse().map_err(|e| wrong(&e))?;
        Ok(match rule.ends_with('*') {
            true => Scrub::Prefix(field.as_str().to_string()),
            false => Scrub::Field(field),
        })
    }
}

/// Fields with secrets of a user or a service.
pub fn secrets() -> Vec<Scrub> {
    use hyper::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
    let named = [
        "x-api-key",
        "x-auth-token",
        "x-nomad-token",
        "x-consul-token",
    ];
    [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION]
        .into_iter()
        .chain(named.map(HeaderName::from_static))
        .map(Scrub::Field)
        .collect()
}

/// Methods that change nothing (RFC 9110, 9.2.1).
pub fn safe() -> Vec<Method> {
    vec![Method::GET, Method::HEAD, Method::OPTIONS]
}

type Sent = BoxBody<Bytes, hyper::Error>;

struct Copy {
    request: Request<Full<Bytes>>,
    production: oneshot::Receiver<Outcome>,
}

struct Tap {
    config: TapConfig,
    client: Client<HttpConnector, Sent>,
    queue: mpsc::Sender<Copy>,
    dice: Mutex<Xoshiro256PlusPlus>,
    tally: Arc<Tally>,
}

/// Serves until cancelled. What is counted is in `tally`, which may be read meanwhile.
pub async fn serve(
    listener: TcpListener,
    config: TapConfig,
    tally: Arc<Tally>,
    cancel: CancellationToken,
) {
    let (queue, copies) = mpsc::channel(config.queue.max(1));
    let copies = Arc::new(tokio::sync::Mutex::new(copies));
    for _ in 0..WORKERS {
        let (copies, config) = (copies.clone(), config.clone());
        let (tally, stop) = (tally.clone(), cancel.clone());
        tokio::spawn(async move {
            let worker = work(&copies, &config, &tally);
            stop.run_until_cancelled(worker).await
        });
    }
    let tap = Arc::new(Tap {
        client: client(None),
        queue,
        dice: Mutex::new(Xoshiro256PlusPlus::seed_from_u64(config.seed)),
        config,
        tally,
    });
    let answer = move |request| {
        let tap = tap.clone();
        async move { tap.pass(request).await }
    };
    accept(listener, cancel, answer).await;
}

impl Tap {
    async fn pass(&self, request: Request<Incoming>) -> Answer {
        self.tally.passed();
        let began = Instant::now();
        let (request, copy) = match self.is_copied(&request) {
            true => self.copied(request).await,
            false => (Some(request.map(BodyExt::boxed)), None),
        };
        let Some(mut request) = request else {
            return said(StatusCode::BAD_REQUEST, "the request's body broke off");
        };
        if let Err(why) = readdress(&mut request, &self.config.production) {
            return said(StatusCode::BAD_REQUEST, &why);
        }
        strip(request.headers_mut());
        // The copy is on its way before production is asked, so that both see the same moment; production's outcome follows.
        let tell = copy.and_then(|request| {
            let (tell, production) = oneshot::channel();
            let queued = self.queue.try_send(Copy {
                request,
                production,
            });
            queued
                .inspect_err(|_| self.tally.dropped())
                .ok()
                .map(|()| tell)
        });
        let answer = tokio::time::timeout(self.config.timeout, self.client.request(request)).await;
        match answer {
            Ok(Ok(answer)) => {
                let status = answer.status();
                let mut answer = answer.map(|body| Counted::new(body, status, began, tell).boxed());
                strip(answer.headers_mut());
                answer
            }
            Ok(Err(e)) => {
                self.tally.unreachable();
                let to = &self.config.production;
                said(StatusCode::BAD_GATEWAY, &format!("cannot reach {to}: {e}"))
            }
            Err(_) => {
                self.tally.unreachable();
                let text = format!("no answer within {:?}", self.config.timeout);
                said(StatusCode::GATEWAY_TIMEOUT, &text)
            }
        }
    }

    fn is_copied(&self, request: &Request<Incoming>) -> bool {
        self.config.methods.contains(request.method())
            && !request.headers().contains_key(COPY)
            && request
                .body()
                .size_hint()
                .upper()
                .is_some_and(|n| n <= LARGEST_BODY)
            && {
                let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
                dice.random::<f64>() < self.config.share
            }
    }

    /// The request with its body read, and its copy; no request when the body broke off.
    async fn copied(
        &self,
        request: Request<Incoming>,
    ) -> (Option<Request<Sent>>, Option<Request<Full<Bytes>>>) {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return (None, None);
        };
        let body = body.to_bytes();
        let mut copy = Request::new(Full::new(body.clone()));
        *copy.method_mut() = head.method.clone();
        *copy.uri_mut() = head.uri.clone();
        *copy.headers_mut() = head.headers.clone();
        strip(copy.headers_mut());
        let secret = |name: &&HeaderName| self.config.scrub.iter().any(|s| s.hits(name));
        let secrets: Vec<HeaderName> = copy.headers().keys().filter(secret).cloned().collect();
        for field in secrets {
            copy.headers_mut().remove(field);
        }
        copy.headers_mut()
            .insert(COPY, HeaderValue::from_static("1"));
        // Without an address it is no copy, and production's own answer says why.
        let copy = readdress(&mut copy, &self.config.shadow)
            .ok()
            .map(|()| copy);
        let body = Full::new(body).map_err(|never| match never {}).boxed();
        (Some(Request::from_parts(head, body)), copy)
    }
}

/// Sends copies, one after the other, and compares what comes of them.
async fn work(
    copies: &tokio::sync::Mutex<mpsc::Receiver<Copy>>,
    config: &TapConfig,
    tally: &Tally,
) {
    let client = client(None);
    loop {
        let next = copies.lock().await.recv().await;
        let Some(copy) = next else { return };
        let began = Instant::now();
        let answered = async {
            let answer = client.request(copy.request).await.ok()?;
            let status = answer.status();
            let body = answer.into_body().collect().await.ok()?;
            Some(Outcome {
                status,
                bytes: body.to_bytes().len() as u64,
                took: began.elapsed(),
            })
        };
        let shadow = tokio::time::timeout(config.copy_timeout, answered).await;
        // Production that gave no answer, or whose client left, is nothing to compare with.
        if let Ok(production) = copy.production.await {
            tally.compare(&production, shadow.ok().flatten().as_ref());
        }
    }
}
