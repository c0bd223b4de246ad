//! What a shadow's calls reach instead of its upstreams: a stub that answers from a recording, or a door to production that
//! lets reads through and nothing else. And the recorder that a stub's recording comes from.

use super::http::REQUEST_ID;
use super::proxy::{Answer, accept, client, readdress, said, strip, whole};
use super::srv::pick;
use super::srv_client::{SrvClient, SrvConfig, SrvError};
use super::tap::COPY;
use crate::model::{Exchange, Instead, Millis, UPSTREAMS_PLAN, UpstreamPolicy};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Until production has begun to answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum UpstreamsError {
    #[error("{UPSTREAMS_PLAN} holds no list of upstreams; it is written into a shadow's job")]
    Plan(#[source] serde_json::Error),
    #[error("{name} is `{value}`; it must be IP:PORT, such as 127.0.0.1:20001")]
    Address { name: String, value: String },
    #[error(
        "the upstream {0} is to be found by Consul's DNS, but no DNS address is known; give CONSUL_DNS or HOST_IP"
    )]
    NoDns(String),
    #[error("cannot prepare the calls to upstream {name}")]
    Service {
        name: String,
        #[source]
        source: SrvError,
    },
    #[error("cannot listen on {at} for upstream {name}")]
    Listen {
        name: String,
        at: SocketAddr,
        #[source]
        source: std::io::Error,
    },
}

/// Stands in for one upstream.
pub enum StandIn {
    Stub {
        recording: Vec<Exchange>,
        latency: Duration,
    },
    Door {
        methods: Vec<Method>,
        to: Box<Production>,
    },
}

/// Where production is.
pub struct Production {
    way: Way,
    client: Client<HttpConnector, Full<Bytes>>,
}

enum Way {
    Fixed(SocketAddr),
    Service(Box<SrvClient>, Mutex<Xoshiro256PlusPlus>),
}

impl Production {
    /// `ip:port` as it is, any other name by Consul's DNS. `source`: local address of the calls.
    ///
    /// # Errors
    /// `NoDns` or `Service` for a name that cannot be asked for.
    pub fn new(
        name: &str,
        dns: Option<SocketAddr>,
        source: Option<IpAddr>,
    ) -> Result<Production, UpstreamsError> {
        let way = match name.parse() {
            Ok(at) => Way::Fixed(at),
            Err(_) => {
                let dns = dns.ok_or_else(|| UpstreamsError::NoDns(name.into()))?;
                let config = SrvConfig {
                    source,
                    ..SrvConfig::new(name, dns)
                };
                let service = SrvClient::start(config);
                let service = service.map_err(|source| UpstreamsError::Service {
                    name: name.into(),
                    source,
                })?;
                Way::Service(
                    Box::new(service),
                    Mutex::new(Xoshiro256PlusPlus::seed_from_u64(1)),
                )
            }
        };
        Ok(Production {
            way,
            client: client(source),
        })
    }

    fn instance(&self) -> Option<SocketAddr> {
        match &self.way {
            Way::Fixed(at) => Some(*at),
            Way::Service(service, dice) => {
                let mut dice = dice.lock().unwrap_or_else(PoisonError::into_inner);
                pick(&service.instances(), |_| true, &mut *dice).map(|i| i.addr)
            }
        }
    }

    /// Passes a request on; its answer comes whole.
    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Answer> {
        let refuse = |status, why: &str| said(status, why);
        let at = self
            .instance()
            .ok_or_else(|| refuse(StatusCode::BAD_GATEWAY, "production has no instance"))?;
        let mut request = request;
        let to: Uri = format!("http://{at}")
            .parse()
            .map_err(|_| refuse(StatusCode::BAD_GATEWAY, "no address"))?;
        readdress(&mut request, &to).map_err(|why| refuse(StatusCode::BAD_REQUEST, &why))?;
        strip(request.headers_mut());
        let whole = async {
            let answer = self.client.request(request).await.ok()?;
            let (mut head, body) = answer.into_parts();
            strip(&mut head.headers);
            let body = body.collect().await.ok()?.to_bytes();
            Some(Response::from_parts(head, body))
        };
        match tokio::time::timeout(PATIENCE, whole).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(refuse(StatusCode::BAD_GATEWAY, "production broke off")),
            Err(_) => Err(refuse(StatusCode::GATEWAY_TIMEOUT, "no answer in time")),
        }
    }
}

impl StandIn {
    /// # Errors
    /// See [`Production::new`].
    pub fn new(
        upstream: &UpstreamPolicy,
        dns: Option<SocketAddr>,
        source: Option<IpAddr>,
    ) -> Result<StandIn, UpstreamsError> {
        Ok(match &upstream.instead {
            Instead::Stub { recording, latency } => StandIn::Stub {
                recording: recording.clone(),
                latency: span(*latency),
            },
            Instead::ProductionReadonly { methods } => StandIn::Door {
                methods: methods.iter().filter_map(|m| m.parse().ok()).collect(),
                to: Box::new(Production::new(&upstream.name, dns, source)?),
            },
        })
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        match self {
            StandIn::Stub { recording, latency } => {
                let uri = request.uri();
                let path = uri.path_and_query().map_or("/", |p| p.as_str());
                if recording.is_empty() {
                    tokio::time::sleep(*latency).await;
                    return whole(Response::new(Bytes::new()));
                }
                match recorded(recording, request.method().as_str(), path) {
                    Some(exchange) => {
                        tokio::time::sleep(span(exchange.latency)).await;
                        replay(exchange)
                    }
                    None => {
                        let text = format!("{} {path} was not recorded", request.method());
                        said(StatusCode::NOT_IMPLEMENTED, &text)
                    }
                }
            }
            StandIn::Door { methods, .. } if !methods.contains(request.method()) => {
                let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
                let text = format!("a shadow may not {} production", request.method());
                let mut refusal = said(StatusCode::METHOD_NOT_ALLOWED, &text);
                if let Ok(allowed) = HeaderValue::from_str(&names.join(", ")) {
                    refusal.headers_mut().insert(ALLOW, allowed);
                }
                refusal
            }
            StandIn::Door { to, .. } => match read(request).await {
                Some(mut request) => {
                    let mark = HeaderName::from_static(COPY);
                    let headers = request.headers_mut();
                    headers.insert(mark, HeaderValue::from_static("1"));
                    to.ask(request).await.map_or_else(|refusal| refusal, whole)
                }
                None => said(StatusCode::BAD_REQUEST, "the request's body broke off"),
            },
        }
    }
}

fn span(of: Millis) -> Duration {
    Duration::from_secs_f64(of.0.max(0.0) / 1000.0)
}

/// The request with its body read.
async fn read(request: Request<Incoming>) -> Option<Request<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some(Request::from_parts(head, Full::new(body)))
}

/// The recorded answer to the same method and path: with the same query where there is one, else with any.
fn recorded<'a>(recording: &'a [Exchange], method: &str, path: &str) -> Option<&'a Exchange> {
    let bare = |path: &'a str| path.split('?').next().unwrap_or(path);
    let wanted = path.split('?').next().unwrap_or(path);
    let mut same = recording.iter().filter(|e| e.method == method);
    same.clone()
        .find(|e| e.path == path)
        .or_else(|| same.find(|e| bare(&e.path) == wanted))
}

fn replay(exchange: &Exchange) -> Answer {
    let mut answer = Response::new(Bytes::from(exchange.body.clone()));
    *answer.status_mut() = StatusCode::from_u16(exchange.status).unwrap_or(StatusCode::OK);
    for (name, value) in &exchange.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            answer.headers_mut().insert(name, value);
        }
    }
    whole(answer)
}

/// Stands in for one upstream until cancelled.
pub async fn stand_in(listener: TcpListener, one: StandIn, cancel: CancellationToken) {
    let one = Arc::new(one);
    let answer = move |request| {
        let one = one.clone();
        async move { one.answer(request).await }
    };
    accept(listener, cancel, answer).await;
}

/// Passes everything on to `to` until cancelled, and gives each exchange to `keep`.
pub async fn record(
    listener: TcpListener,
    to: Production,
    keep: impl Fn(&Exchange) + Clone + Send + Sync + 'static,
    cancel: CancellationToken,
) {
    let to = Arc::new(to);
    let answer = move |request: Request<Incoming>| {
        let (to, keep) = (to.clone(), keep.clone());
        async move {
            let method = request.method().to_string();
            let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
            let path = path.to_string();
            let Some(request) = read(request).await else {
                return said(StatusCode::BAD_REQUEST, "the request's body broke off");
            };
            let began = Instant::now();
            match to.ask(request).await {
                Ok(answer) => {
                    keep(&exchange(method, path, &answer, began.elapsed()));
                    whole(answer)
                }
                Err(refusal) => refusal,
            }
        }
    };
    accept(listener, cancel, answer).await;
}

/// What is kept of an answer: no cookies, and nothing that speaks of one transfer alone.
fn exchange(method: String, path: String, answer: &Response<Bytes>, took: Duration) -> Exchange {
    const LEFT_OUT: [&str; 4] = ["set-cookie", "content-length", "date", REQUEST_ID];
    let headers = answer.headers().iter();
    Exchange {
        method,
        path,
        status: answer.status().as_u16(),
        headers: headers
            .filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()))
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_string())))
            .collect(),
        body: String::from_utf8_lossy(answer.body()).into_owned(),
        latency: Millis(took.as_secs_f64() * 1000.0),
    }
}

/// The task beside a shadow: stands in for every upstream of its plan, each on the port that Nomad gave it, until cancelled.
///
/// # Errors
/// When the plan, an address or a name in the environment is unusable, or a port is taken.
pub async fn serve(
    env: impl Fn(&str) -> Option<String>,
    cancel: CancellationToken,
) -> Result<(), UpstreamsError> {
    let plan = env(UPSTREAMS_PLAN).unwrap_or_default();
    let plan: Vec<UpstreamPolicy> = serde_json::from_str(&plan).map_err(UpstreamsError::Plan)?;
    let address = |name: &str| -> Result<Option<SocketAddr>, UpstreamsError> {
        let Some(value) = env(name).filter(|v| !v.is_empty() && !v.contains("${")) else {
            return Ok(None);
        };
        let wrong = |_| UpstreamsError::Address {
            name: name.into(),
            value: value.clone(),
        };
        value.parse().map(Some).map_err(wrong)
    };
    let host = env("HOST_IP").and_then(|ip| ip.parse().ok());
    let usual = host.map(|ip| SocketAddr::new(ip, 8600));
    let dns = address("CONSUL_DNS")?.or(usual);
    let mut serving = tokio::task::JoinSet::new();
    for (n, upstream) in plan.iter().enumerate() {
        let name = format!("NOMAD_ADDR_{}", UpstreamPolicy::label(n));
        let at = address(&name)?.ok_or_else(|| UpstreamsError::Address {
            name,
            value: String::new(),
        })?;
        let listener = TcpListener::bind(at).await;
        let listener = listener.map_err(|source| UpstreamsError::Listen {
            name: upstream.name.clone(),
            at,
            source,
        })?;
        let one = StandIn::new(upstream, dns, Some(at.ip()))?;
        serving.spawn(stand_in(listener, one, cancel.clone()));
    }
    while serving.join_next().await.is_some() {}
    Ok(())
}

#[cfg(test)]
#[path = "upstreams_tests.rs"]
mod tests;
