//! What a tap, a stand-in and a recorder have in common: they accept connections, call on, and say so when that fails.

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::HeaderName;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Until a connection is made.
const CONNECT: Duration = Duration::from_secs(2);
/// A connection that says nothing for so long is closed.
const HEAD: Duration = Duration::from_secs(30);
/// After a connection that could not be accepted.
const BREATH: Duration = Duration::from_millis(20);

pub(super) type Answer = Response<BoxBody<Bytes, hyper::Error>>;

/// Serves connections (HTTP/1) until cancelled.
pub(super) async fn accept<F, R>(listener: TcpListener, cancel: CancellationToken, answer: F)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
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
        let (answer, stop) = (answer.clone(), cancel.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
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

/// Keeps connections open for the next request; `source` is the local address of its calls.
pub(super) fn client<B>(source: Option<IpAddr>) -> Client<HttpConnector, B>
where
    B: Body + Send,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_local_address(source);
    connector.set_connect_timeout(Some(CONNECT));
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build(connector)
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

/// An answer of foreshadow's own.
pub(super) fn said(status: StatusCode, text: &str) -> Answer {
    let mut answer = whole(Response::new(Bytes::from(format!("foreshadow: {text}\n"))));
    *answer.status_mut() = status;
    answer
}

/// An answer whose body is there already.
pub(super) fn whole(answer: Response<Bytes>) -> Answer {
    answer.map(|body| Full::new(body).map_err(|never| match never {}).boxed())
}
