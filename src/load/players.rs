//! The clients of the sandbox: at each site an open-loop player of a trace, and the books of what they saw.

use super::exposition::{self, LatencyBuckets};
use super::http::Fault;
use super::open_loop::{Record, drive};
use super::schedule::{Pacing, Schedule};
use super::srv_client::{SrvClient, SrvConfig, SrvError};
use super::trace::Rate;
use crate::model::{Moment, Site, Span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Error)]
pub enum PlayersError {
    #[error("cannot set up the clients of site {site} for the service `{service}`")]
    Client {
        site: Site,
        service: String,
        #[source]
        source: SrvError,
    },
    #[error(
        "cannot serve the clients' metrics on {addr}; end what listens there, or choose another address"
    )]
    Metrics {
        addr: SocketAddr,
        #[source]
        source: std::io::Error,
    },
}

/// Clients at one site.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteClients {
    pub site: Site,
    /// The DNS of the Consul agent they ask.
    pub dns: SocketAddr,
    /// The local address of their connections.
    pub source: Option<IpAddr>,
    /// Their part of the rate, 0…1.
    pub share: f64,
}

/// What the clients do.
#[derive(Clone, Debug)]
pub struct PlayersConfig {
    /// Front name of the service.
    pub service: String,
    pub path: String,
    pub sites: Vec<SiteClients>,
    /// Requests a second of all sites together.
    pub rate: Rate,
    pub lasts: Duration,
    /// A good answer that took longer is late.
    pub limit: Duration,
    /// A request without an answer for so long is lost.
    pub timeout: Duration,
    /// Poisson arrivals instead of even ones. Poisson is what independent people do; even makes short runs repeatable.
    pub poisson: bool,
    pub seed: u64,
}

/// Between two requests that find out whether there is anything to play against.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// Sent by each site at most at once; beyond, a request counts as lost (`overload`).
const MAX_IN_FLIGHT: usize = 1024;

/// Requests of one second, site, instance and kind that were lost or late.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// The second in which they were to be sent.
    pub at: Moment,
    /// When the last of them had surely ended: a request is touched by all that happened between `at` and `until`.
    pub until: Moment,
    pub site: Site,
    /// None when DNS named no instance or the request never left.
    pub instance: Option<SocketAddr>,
    /// None: answered well, but late.
    pub fault: Option<Fault>,
    /// The reason that the first of them was given.
    pub said: Option<Box<str>>,
    pub requests: u64,
}

/// What the clients saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub requests: u64,
    pub lost: u64,
    pub late: u64,
    /// In order of time.
    pub losses: Vec<Loss>,
}

#[derive(Default)]
struct SiteBook {
    ok: u64,
    late: u64,
    lost: u64,
    /// Answers and timeouts.
    latency: LatencyBuckets,
}

type LossKey = (Moment, Site, Option<SocketAddr>, Option<Fault>);

struct Lost {
    until: Moment,
    said: Option<Box<str>>,
    requests: u64,
}

#[derive(Default)]
struct Books {
    sites: BTreeMap<Site, SiteBook>,
    losses: BTreeMap<LossKey, Lost>,
}

/// The shared books of all players: written by them, read by the metrics endpoint and the caller at any time.
pub struct Board {
    service: String,
    limit: Duration,
    books: Mutex<Books>,
}

impl Board {
    /// Empty books for the clients of `service`; good answers beyond `limit` are late.
    pub fn new(service: impl Into<String>, limit: Duration) -> Self {
        Self {
            service: service.into(),
            limit,
            books: Mutex::default(),
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Counters are sound after any panic.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Books one ended request of a player that began at `started`.
    pub fn record(&self, site: &Site, started: Moment, record: &Record) {
        let mut books = self.books();
        let book = books.sites.entry(site.clone()).or_default();
        if matches!(record.reply.result, Ok(_) | Err(Fault::Timeout)) {
            book.latency.observe(record.latency);
        }
        let fault = match record.reply.result {
            Ok(_) if record.latency <= self.limit => {
                book.ok += 1;
                return;
            }
            Ok(_) => {
                book.late += 1;
                None
            }
            Err(fault) => {
                book.lost += 1;
                Some(fault)
            }
        };
        let sent = started + span(record.intended);
        let ended = surely_ended(started, record.intended + record.latency);
        let second = Moment(sent.0 - sent.0.rem_euclid(1000));
        let key = (second, site.clone(), record.reply.instance, fault);
        let lost = books.losses.entry(key).or_insert_with(|| Lost {
            until: ended,
            said: record.reply.said.clone(),
            requests: 0,
        });
        lost.until = lost.until.max(ended);
        lost.requests += 1;
    }

    /// All that was booked so far.
    pub fn summary(&self) -> Summary {
        let books = self.books();
        let sum = |of: fn(&SiteBook) -> u64| books.sites.values().map(of).sum::<u64>();
        let losses = books.losses.iter();
        Summary {
            requests: sum(|b| b.ok + b.late + b.lost),
            lost: sum(|b| b.lost),
            late: sum(|b| b.late),
            losses: losses
                .map(|((at, site, instance, fault), lost)| Loss {
                    at: *at,
                    until: lost.until,
                    site: site.clone(),
                    instance: *instance,
                    fault: *fault,
                    said: lost.said.clone(),
                    requests: lost.requests,
                })
                .collect(),
        }
    }

    /// The books in the Prometheus text format.
    pub fn metrics(&self, only: &Site) -> String {
        let books = self.books();
        let sites = || books.sites.iter().filter(|(site, _)| *site == only);
        let labels = |site: &Site| format!("service=\"{}\",site=\"{site}\"", self.service);
        let mut out = String::new();
        let name = "client_requests_total";
        let help = "Requests by outcome: ok, late (answered beyond the limit), lost.";
        exposition::head(&mut out, name, "counter", help);
        for (site, book) in sites() {
            for (outcome, n) in [("ok", book.ok), ("lost", book.lost), ("late", book.late)] {
                let labels = format!("{},outcome=\"{outcome}\"", labels(site));
                exposition::sample(&mut out, name, &labels, n);
            }
        }
        let name = "client_request_duration_seconds";
        let help = "From the intended send time to the end of the answer or the timeout.";
        exposition::head(&mut out, name, "histogram", help);
        for (site, book) in sites() {
            book.latency.write(&mut out, name, &labels(site));
        }
        out
    }
}

fn span(duration: Duration) -> Span {
    Span(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

/// The first moment by which what took `took` from `started` on is over. Moments are cut to whole milliseconds: what breaks at the
/// very instant of a fault must not seem to have broken before it.
fn surely_ended(started: Moment, took: Duration) -> Moment {
    const CUT: Duration = Duration::from_millis(1);
    started + span(took + CUT + CUT)
}

fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Moment::default() + span(since.unwrap_or_default())
}

/// The clients of all sites, which know where their service is, but have not sent yet.
pub struct Players {
    config: PlayersConfig,
    clients: Vec<Arc<SrvClient>>,
}

impl Players {
    /// Begins to ask DNS; must be called within a tokio runtime.
    pub fn new(config: PlayersConfig) -> Result<Self, PlayersError> {
        let clients = config
            .sites
            .iter()
            .zip(0..)
            .map(|(at, n)| {
                let srv = SrvConfig {
                    source: at.source,
                    timeout: config.timeout,
                    seed: config.seed.wrapping_add(n),
                    ..SrvConfig::new(&config.service, at.dns)
                };
                SrvClient::start(srv)
                    .map(Arc::new)
                    .map_err(|source| PlayersError::Client {
                        site: at.site.clone(),
                        service: config.service.clone(),
                        source,
                    })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { config, clients })
    }

    /// Waits until the clients of every site have had a good answer, at most for `patience`; says whether they all have. An entry that DNS
    /// names serves nobody before all that it calls is there too.
    pub async fn ready(&self, patience: Duration) -> bool {
        let answered = async |client: &Arc<SrvClient>| {
            while client.get(&self.config.path, "ready").await.result.is_err() {
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        let all = futures::future::join_all(self.clients.iter().map(answered));
        tokio::time::timeout(patience, all).await.is_ok()
    }

    /// Plays the rate from now at all sites at once, to its end or until `cancel`; the books are in `board`.
    pub async fn play(&self, board: &Board, cancel: &CancellationToken) {
        let sites = self.config.sites.iter().zip(&self.clients).zip(1..);
        let all = sites.map(|((at, client), n)| self.play_site(at, client, n, board, cancel));
        futures::future::join_all(all).await;
    }

    async fn play_site(
        &self,
        at: &SiteClients,
        client: &Arc<SrvClient>,
        number: u64,
        board: &Board,
        cancel: &CancellationToken,
    ) {
        let rate = self.config.rate.scaled(at.share);
        let pacing = if self.config.poisson {
            Pacing::Poisson {
                seed: self.config.seed ^ number.rotate_left(32),
            }
        } else {
            Pacing::Even
        };
        let schedule = Schedule::varying(move |after| rate.at(after), self.config.lasts, pacing);
        let path: Arc<str> = self.config.path.as_str().into();
        let send = |index: u64| {
            let (client, path) = (client.clone(), path.clone());
            let id = format!("{}-{index}", at.site);
            async move { client.get(&path, &id).await }
        };
        let started = now();
        drive(schedule, MAX_IN_FLIGHT, cancel, send, |record| {
            board.record(&at.site, started, record);
            ControlFlow::Continue(())
        })
        .await;
    }
}

/// Serves `/metrics` of one site's clients on `addr` until `cancel`. `reaches` says whether whoever asks from an address can
/// reach the site now; if not, there is no answer, as across a cut link.
pub async fn serve_metrics(
    addr: SocketAddr,
    board: Arc<Board>,
    site: Site,
    reaches: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    cancel: CancellationToken,
) -> Result<(), PlayersError> {
    let failed = |source| PlayersError::Metrics { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let metrics = move |axum::extract::ConnectInfo(peer): axum::extract::ConnectInfo<
        SocketAddr,
    >| async move {
        if !reaches(peer.ip()) {
            std::future::pending::<()>().await;
        }
        let kind = [(http::header::CONTENT_TYPE, exposition::CONTENT_TYPE)];
        (kind, board.metrics(&site))
    };
    let app = axum::Router::new().route("/metrics", axum::routing::get(metrics));
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let mut served = std::pin::pin!(axum::serve(listener, app).into_future());
    // A request that waits across a cut is not waited for.
    tokio::select! {
        () = cancel.cancelled() => Ok(()),
        done = &mut served => done.map_err(failed),
    }
}

#[cfg(test)]
#[path = "players_tests.rs"]
mod tests;
