//! One HTTP request with a deadline over kept-alive connections from a chosen source address, and what can come of it.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Method, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Why a request got no good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No connection: refused, unreachable, or not made within the connect timeout.
    Connect,
    /// No whole answer within the request timeout.
    Timeout,
    /// The connection ended before the answer did.
    Broken,
    /// An answer with a status that is not 2xx.
    Status(u16),
    /// DNS names no instance.
    NoInstance,
    /// Never sent: too many requests were in flight.
    Overload,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Connect => f.write_str("connect"),
            Fault::Timeout => f.write_str("timeout"),
            Fault::Broken => f.write_str("broken"),
            Fault::Status(code) => write!(f, "status_{code}"),
            Fault::NoInstance => f.write_str("no_instance"),
            Fault::Overload => f.write_str("overload"),
        }
    }
}

/// What came of one request, and which instance it was sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub instance: Option<SocketAddr>,
    /// The 2xx status, or the fault.
    pub result: Result<u16, Fault>,
    /// Bytes of the answer, its header fields and its body, as far as it came.
    pub bytes: u64,
    /// What an answer that says no gives as its reason: the first line of its body.
    pub said: Option<Box<str>>,
}

impl Reply {
    /// One that came from no instance: never sent, or made up.
    pub fn of(result: Result<u16, Fault>) -> Reply {
        Reply {
            instance: None,
            result,
            bytes: 0,
            said: None,
        }
    }
}

/// A request as it is sent to any instance.
#[derive(Clone, Debug)]
pub struct Asked {
    method: Method,
    path: PathAndQuery,
    /// What is sent with it, and its media type.
    body: Option<(Bytes, HeaderValue)>,
}

impl Asked {
    /// `None` when the method or the path (with `/` at its beginning) is none.
    pub fn new(method: &str, path: &str, body: Option<(Bytes, String)>) -> Option<Asked> {
        let body = match body {
            Some((bytes, kind)) => Some((bytes, HeaderValue::from_str(&kind).ok()?)),
            None => None,
        };
        Some(Asked {
            method: method.parse().ok()?,
            path: path.parse().ok().filter(|_| path.starts_with('/'))?,
            body,
        })
    }

    pub fn path(&self) -> &str {
        self.path.as_str()
    }

    fn at(&self, instance: SocketAddr, request_id: &str) -> Option<hyper::Request<Full<Bytes>>> {
        let mut request = hyper::Request::new(Full::default());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(instance.to_string())
            .path_and_query(self.path.clone())
            .build()
            .ok()?;
        let fields = request.headers_mut();
        fields.insert(REQUEST_ID, HeaderValue::from_str(request_id).ok()?);
        if let Some((body, kind)) = &self.body {
            fields.insert(CONTENT_TYPE, kind.clone());
            *request.body_mut() = Full::new(body.clone());
        }
        Some(request)
    }
}

/// Sends requests. Cheap to clone; clones share the connection pool.
///
/// A request is written to at most one connection. (A pooled connection found closed *before* anything of the request
/// was written is replaced by a fresh one: that is not a retry, the server has seen nothing.)
#[derive(Clone)]
pub struct HttpClient {
    client: Client<HttpConnector, Full<Bytes>>,
    timeout: Duration,
}

/// Colon, space and line end of each header field on the wire.
const FIELD_EXTRA: usize = 4;

/// Header by which a request is followed through the services.
pub const REQUEST_ID: &str = "x-request-id";

impl HttpClient {
    /// `source`: the local address of all connections. `connect` and `timeout` bound the connection and the whole request.
    pub fn new(source: Option<IpAddr>, connect: Duration, timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_local_address(source);
        connector.set_connect_timeout(Some(connect));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(15))
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { client, timeout }
    }

    /// GET `http://instance/path`; the body is read to its end and dropped. `path` begins with `/`.
    pub async fn get(&self, instance: SocketAddr, path: &str, request_id: &str) -> Reply {
        match Asked::new("GET", path, None) {
            Some(asked) => self.ask(instance, &asked, request_id).await,
            // Only a path with control characters comes here: nothing can be sent.
            None => Reply {
                instance: Some(instance),
                ..Reply::of(Err(Fault::Broken))
            },
        }
    }

    /// As [`HttpClient::get`], of any request.
    pub async fn ask(&self, instance: SocketAddr, asked: &Asked, request_id: &str) -> Reply {
        let mut reply = Reply {
            instance: Some(instance),
            ..Reply::of(Err(Fault::Broken))
        };
        // Without one the id has control characters: nothing can be sent.
        if let Some(request) = asked.at(instance, request_id) {
            let answered = tokio::time::timeout(self.timeout, self.exchange(request, &mut reply));
            reply.result = answered.await.unwrap_or(Err(Fault::Timeout));
        }
        reply
    }

    async fn exchange(
        &self,
        request: hyper::Request<Full<Bytes>>,
        reply: &mut Reply,
    ) -> Result<u16, Fault> {
        let answer = self.client.request(request).await.map_err(|e| fault(&e))?;
        let status = answer.status();
        let fields = answer.headers().iter();
        reply.bytes += fields
            .map(|(name, value)| (name.as_str().len() + value.len() + FIELD_EXTRA) as u64)
            .sum::<u64>();
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Fault::Broken)?;
            let Some(data) = frame.data_ref() else {
                continue;
            };
            reply.bytes += data.len() as u64;
            if !status.is_success() && reply.said.is_none() {
                reply.said = first_line(data);
            }
        }
        if status.is_success() {
            Ok(status.as_u16())
        } else {
            Err(Fault::Status(status.as_u16()))
        }
    }
}

/// As much of a reason as one wants to read in a report.
const REASON: usize = 160;

fn first_line(body: &[u8]) -> Option<Box<str>> {
    let line = body.split(|b| *b == b'\n').next()?;
    let line = String::from_utf8_lossy(&line[..line.len().min(REASON)]);
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    (!line.is_empty()).then(|| line.into())
}

fn fault(error: &Error) -> Fault {
    if error.is_connect() {
        Fault::Connect
    } else {
        Fault::Broken
    }
}
