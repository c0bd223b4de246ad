//! The sample workload's program: one part of a shop, with a real CPU cost, a true capacity, and calls to other parts.

mod config;
mod upstream;
mod work;

pub use config::{NODE_SPEED_FILE, REFERENCE_MHZ, Route, ShopArgs, ShopConfig, UpstreamConfig};

use super::exposition::{self, LatencyBuckets};
use super::http::REQUEST_ID;
use super::srv_client::SrvError;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use http::{HeaderMap, StatusCode, header};
use std::collections::BTreeMap;
use std::fs::File;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use upstream::Upstream;
use work::{Door, Speed, Worker};

#[derive(Debug, Error)]
pub enum ShopError {
    #[error("{name} is `{value}`; it must be {wanted}")]
    Setting {
        name: &'static str,
        value: String,
        wanted: &'static str,
    },
    #[error(
        "the upstream {upstream} is to be found by Consul's DNS, but no DNS address is known; give --dns, CONSUL_DNS or HOST_IP"
    )]
    NoDns { upstream: String },
    #[error("cannot find the host of upstream {upstream} at {at}")]
    UpstreamHost {
        upstream: String,
        at: String,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot prepare the calls to upstream {upstream}")]
    Upstream {
        upstream: String,
        #[source]
        source: SrvError,
    },
    #[error("cannot keep orders in {}; give a directory that can be written", path.display())]
    State {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot listen on {addr}")]
    Listen {
        addr: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot start the instance: {what}")]
    Start {
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("serving on {addr} ended")]
    Serve {
        addr: SocketAddr,
        #[source]
        source: std::io::Error,
    },
}

/// Longest time to finish what is in flight after the signal to stop.
const DRAIN: Duration = Duration::from_millis(900);

/// Runs an instance from the process's environment until SIGTERM or SIGINT, on a runtime of one thread.
pub fn run(args: ShopArgs) -> Result<(), ShopError> {
    let config = ShopConfig::new(args, |name| std::env::var(name).ok())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| ShopError::Start {
            what: "its runtime",
            source,
        })?;
    let done = runtime.block_on(serve(config));
    // A lookup of a host name may still hold a thread of the runtime: the process ends without it.
    runtime.shutdown_background();
    done
}

/// Serves until SIGTERM or SIGINT, then stops accepting, finishes what is in flight, and returns within a second.
pub async fn serve(config: ShopConfig) -> Result<(), ShopError> {
    let on = |kind| {
        signal(kind).map_err(|source| ShopError::Start {
            what: "its signal handlers",
            source,
        })
    };
    let (mut term, mut int) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    };
    Shop::bind(config).await?.run(stop).await
}

/// An instance that listens, but does not serve yet.
pub struct Shop {
    listener: TcpListener,
    addr: SocketAddr,
    part: Arc<Part>,
}

impl Shop {
    /// Opens state, upstreams and the port; port 0 takes a free one.
    pub async fn bind(config: ShopConfig) -> Result<Self, ShopError> {
        let addr = config.listen;
        let listen = |source| ShopError::Listen { addr, source };
        let part = Arc::new(Part::open(config).await?);
        let listener = TcpListener::bind(addr).await.map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;
        Ok(Self {
            listener,
            addr,
            part,
        })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop` resolves, then drains for at most 900 ms.
    pub async fn run(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ShopError> {
        let app = Router::new()
            .route("/", get(order))
            .route("/health", get(|| async { "ok\n" }))
            .route("/metrics", get(metrics))
            .with_state(self.part);
        let listener = self.listener.tap_io(|stream| {
            // Without it small answers may wait for the peer's acknowledgement.
            let _ = stream.set_nodelay(true);
        });
        let stopped = CancellationToken::new();
        let until = stopped.clone();
        let server = axum::serve(listener, app).with_graceful_shutdown(async move {
            stop.await;
            until.cancel();
        });
        let too_long = async {
            stopped.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            done = server => done.map_err(|source| ShopError::Serve { addr: self.addr, source }),
            () = too_long => Ok(()),
        }
    }
}

#[derive(Default)]
struct Counts {
    by_code: BTreeMap<u16, u64>,
    latency: LatencyBuckets,
}

/// One part of the shop: what its handlers share.
struct Part {
    name: String,
    alloc: String,
    door: Door,
    worker: Worker,
    upstreams: Vec<Upstream>,
    orders: Option<File>,
    counts: Mutex<Counts>,
}

impl Part {
    async fn open(config: ShopConfig) -> Result<Self, ShopError> {
        let mut upstreams = Vec::new();
        for upstream in &config.upstreams {
            upstreams.push(Upstream::open(upstream, &config).await?);
        }
        let patience = Duration::from_millis(500);
        futures::future::join_all(upstreams.iter().map(|u| u.ready(patience))).await;
        let start = |source| ShopError::Start {
            what: "its working thread",
            source,
        };
        let speed = Speed::new(config.speed_file);
        Ok(Self {
            door: Door::new(config.concurrency, config.queue),
            worker: Worker::start(config.cpu_time, config.cpu_share, speed).map_err(start)?,
            upstreams,
            orders: config.state_dir.as_deref().map(open_orders).transpose()?,
            counts: Mutex::default(),
            name: config.name,
            alloc: config.alloc,
        })
    }

    /// The work of one request: CPU, then the order line, then the upstreams in order. Gives the soft ones that failed.
    async fn work(&self, id: &str) -> Result<Vec<&str>, (StatusCode, String)> {
        let Some(_place) = self.door.enter().await else {
            let full = format!("{} has no room for more requests\n", self.name);
            return Err((StatusCode::SERVICE_UNAVAILABLE, full));
        };
        self.worker.request().await;
        if let Some(orders) = &self.orders {
            write_order(orders, id, &self.alloc).map_err(|e| {
                let text = format!("{} cannot write the order: {e}\n", self.name);
                (StatusCode::INTERNAL_SERVER_ERROR, text)
            })?;
        }
        let mut without = Vec::new();
        for upstream in &self.upstreams {
            match upstream.call(id).await {
                Ok(()) => {}
                Err(_) if !upstream.hard => without.push(upstream.name.as_str()),
                Err(fault) => {
                    let text = format!(
                        "{}: upstream {} failed: {fault}\n",
                        self.name, upstream.name
                    );
                    return Err((StatusCode::BAD_GATEWAY, text));
                }
            }
        }
        Ok(without)
    }

    fn count(&self, code: StatusCode, took: Duration) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.by_code.entry(code.as_u16()).or_default() += 1;
        counts.latency.observe(took);
    }
}

fn open_orders(dir: &Path) -> Result<File, ShopError> {
    let path = dir.join("orders.log");
    std::fs::create_dir_all(dir)
        .and_then(|()| File::options().create(true).append(true).open(&path))
        .map_err(|source| ShopError::State { path, source })
}

/// One short append to the page cache, never synced: microseconds, so it may stand in an async handler.
fn write_order(mut orders: &File, id: &str, alloc: &str) -> std::io::Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let line = format!("{} {id} {alloc}\n", since.unwrap_or_default().as_millis());
    orders.write_all(line.as_bytes())
}

async fn order(State(part): State<Arc<Part>>, headers: HeaderMap) -> Response {
    let began = Instant::now();
    let id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let id = id.unwrap_or("-");
    let done = part.work(id).await;
    let response = match done {
        Ok(without) => axum::Json(serde_json::json!({
            "part": part.name, "alloc": part.alloc, "order": id, "without": without,
        }))
        .into_response(),
        Err(refusal) => refusal.into_response(),
    };
    part.count(response.status(), began.elapsed());
    response
}

async fn metrics(State(part): State<Arc<Part>>) -> impl IntoResponse {
    let mut out = String::new();
    {
        let counts = part.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let name = "http_requests_total";
        exposition::head(&mut out, name, "counter", "Requests by status.");
        for (code, n) in &counts.by_code {
            exposition::sample(&mut out, name, &format!("code=\"{code}\""), *n);
        }
        let name = "http_request_duration_seconds";
        exposition::head(&mut out, name, "histogram", "From accepted to answered.");
        counts.latency.write(&mut out, name, "");
    }
    let name = "upstream_requests_total";
    exposition::head(&mut out, name, "counter", "Calls to upstreams by outcome.");
    for upstream in &part.upstreams {
        for (outcome, n) in upstream.calls() {
            let labels = format!("upstream=\"{}\",outcome=\"{outcome}\"", upstream.name);
            exposition::sample(&mut out, name, &labels, n);
        }
    }
    ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], out)
}

#[cfg(test)]
#[path = "shop_tests.rs"]
mod tests;
