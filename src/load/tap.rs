//! A small forward proxy before a portion: production's requests pass through, and a share of them goes to a shadow as well, whose
//! answers are compared and thrown away. Production never waits for a copy: a bounded queue drops copies first.

use super::tap_tally::{Counted, Outcome, Tally};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::convert::Infallible;
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
/// After a connection that could not be accepted.
const BREATH: Duration = Duration::from_millis(20);
/// A connection that says nothing for so long is closed.
const HEAD: Duration = Duration::from_secs(30);

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
    pub scrub: Vec<HeaderName>,
    /// Copies that may wait.
    pub queue: usize,
    /// Until production has begun to answer.
    pub timeout: Duration,
    /// Until a copy is answered whole.
    pub copy_timeout: Duration,
    pub seed: u64,
}

/// Fields with secrets of a user or a service.
pub fn secrets() -> Vec<HeaderName> {
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
        client: client(),
        queue,
        dice: Mutex::new(Xoshiro256PlusPlus::seed_from_u64(config.seed)),
        config,
        tally,
    });
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // A client that was gone before it was accepted, or no file handle left: the next one may fare better.
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (tap, stop) = (tap.clone(), cancel.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let tap = tap.clone();
                async move { Ok::<_, Infallible>(tap.pass(request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service);
            // A client's end is no error of ours.
            stop.run_until_cancelled(connection).await
        });
    }
}

fn client<B>() -> Client<HttpConnector, B>
where
    B: Body + Send,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(Duration::from_secs(2)));
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build(connector)
}

impl Tap {
    async fn pass(&self, request: Request<Incoming>) -> Response<BoxBody<Bytes, hyper::Error>> {
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
        for field in &self.config.scrub {
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
    let client = client();
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

/// Gives a request the scheme and authority of `to`; its path and its `Host` stay.
pub(super) fn readdress<B>(request: &mut Request<B>, to: &Uri) -> Result<(), String> {
    let mut parts = to.clone().into_parts();
    let path = request.uri().path_and_query().cloned();
    parts.path_and_query = path.or_else(|| "/".parse().ok());
    let uri = Uri::from_parts(parts).map_err(|e| format!("no request to {to}: {e}"))?;
    *request.uri_mut() = uri;
    Ok(())
}

/// Fields that speak of one connection alone (RFC 9110, 7.6.1) go no further.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(hyper::header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let always = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    for name in always.map(HeaderName::from_static).into_iter().chain(named) {
        headers.remove(name);
    }
}

pub(super) fn said(status: StatusCode, text: &str) -> Response<BoxBody<Bytes, hyper::Error>> {
    let body = Full::new(Bytes::from(format!("foreshadow: {text}\n")));
    let mut answer = Response::new(body.map_err(|never| match never {}).boxed());
    *answer.status_mut() = status;
    answer
}
