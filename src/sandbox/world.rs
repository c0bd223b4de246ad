//! The whole estate in one hand: block, links, processes, Consul, Nomad, clients and faults.

use super::block::{Block, BlockError};
use super::consul::{self, ConsulError, GrantError};
use super::either_consul::Consul;
use super::estate::Estate;
use super::fault::{Fault, Physical};
use super::layout::{clients, gateways, metrics, nodes};
use super::links::Links;
use super::nomad::{self, HttpRegistrar, NomadError, NomadEstate, ParseError, RegisterError};
use super::real_consul::{RealConsulError, STALE_AFTER_HEAL};
use super::runtime::{Launcher, ProcessRuntime, RuntimeConfig, RuntimeError};
use super::scenario::{Incident, Player, Scenario, ScenarioError};
use crate::load::players::{
    Board, Loss, Players, PlayersConfig, PlayersError, Summary, serve_metrics,
};
use crate::load::trace::{Compression, Rate, TraceError, parse_events, parse_series};
use crate::model::{Availability, Moment, NodeId, Site, Span};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// An hour of trace in so many seconds.
pub const SECONDS_PER_HOUR: f64 = 6.0;
/// Clients wait this long for a first answer before they begin all the same.
const FIRST_ANSWER: Duration = Duration::from_secs(30);
/// From the start of an estate to the first moment of its played day: all is up by then.
const LEAD: Span = Span::secs(3);
/// Seconds over which a scheduler counts requests to tell a rate.
const COUNTED_OVER: f64 = 3.0;
/// The shop's builtin trace and the failures of its past.
const TRACE: &str = include_str!("../../assets/traces/shop.csv");
const EVENTS: &str = include_str!("../../assets/traces/shop-events.csv");

#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error(transparent)]
    Consul(#[from] ConsulError),
    #[error(transparent)]
    Grant(#[from] GrantError),
    #[error(transparent)]
    RealConsul(#[from] Box<RealConsulError>),
    #[error(transparent)]
    Nomad(#[from] NomadError),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Scenario(#[from] Box<ScenarioError>),
    #[error(transparent)]
    Clients(#[from] PlayersError),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error("the job: {0}")]
    Job(ParseError),
    #[error("cannot prepare the sandbox's own HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Which Consul serves the estate.
pub enum ConsulKind {
    Embedded,
    Real(PathBuf),
}

pub struct Options {
    /// Job file, in HCL.
    pub job: String,
    /// Front name of the service that clients call.
    pub entry: String,
    /// A good answer that takes longer is late.
    pub limit: Duration,
    /// Scenario file and its name in errors; the builtin day if missing.
    pub scenario: Option<(String, String)>,
    pub consul: ConsulKind,
    /// Where the first gateway's Consul API is served; an address of the estate's own if missing. Of the embedded Consul only.
    pub consul_bind: Option<SocketAddr>,
    /// The same for its DNS.
    pub dns_bind: Option<SocketAddr>,
    /// Where the Nomad API is served; an address of the estate's own if missing.
    pub nomad_bind: Option<SocketAddr>,
    /// Whether Nomad and the embedded Consul want tokens.
    pub acl: bool,
    /// The foreshadow binary, which is also the sample workload's program.
    pub binary: PathBuf,
    /// Tasks' folders, Consul's data; removed by whoever made it.
    pub folder: PathBuf,
    pub path: String,
    pub seed: u64,
}

/// A gateway of the estate, as whoever schedules over it must address it.
pub struct Gateway {
    pub name: String,
    pub site: Site,
    pub http: SocketAddr,
    pub dns: SocketAddr,
}

/// A running estate.
pub struct World {
    pub nomad: SocketAddr,
    /// Where Nomad wants tokens.
    pub secrets: Option<nomad::Secrets>,
    /// Where Consul wants tokens.
    pub consul_secrets: Option<consul::Secrets>,
    /// Where each site's clients show what they see.
    pub metrics: Vec<(Site, SocketAddr)>,
    pub api: SocketAddr,
    /// Where a gateway's own connections come from.
    pub source: std::net::IpAddr,
    pub gateways: Vec<Gateway>,
    pub scenario: Scenario,
    /// When the played day begins.
    pub begins: Moment,
    /// Readings and failures before that, in real time.
    pub history: Vec<(Moment, f64)>,
    pub failures: Vec<Availability>,
    estate: Arc<Estate>,
    physical: Physical,
    consul: Arc<Consul>,
    server: Arc<nomad::Handle>,
    board: Arc<Board>,
    players: PlayersConfig,
    stop: CancellationToken,
    /// Keeps the block, where the Nomad API does not.
    _held: Option<std::net::TcpListener>,
}

fn now() -> Moment {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Moment(since.as_millis() as i64)
}

/// Serves Nomad on the listener that holds the block, so that the block is ours without a gap; and gives it back where Nomad has another address.
async fn nomad_server(
    held: std::net::TcpListener,
    config: nomad::EstateConfig,
    runtime: Arc<ProcessRuntime>,
    registrar: Arc<HttpRegistrar>,
) -> Result<(nomad::Handle, Option<std::net::TcpListener>), WorldError> {
    if held.local_addr().is_ok_and(|held| held == config.bind) {
        let server = NomadEstate::start_on(held, config, runtime, registrar)?;
        return Ok((server, None));
    }
    let server = NomadEstate::start(config, runtime, registrar).await?;
    Ok((server, Some(held)))
}

impl World {
    /// Starts everything and registers the job; clients and faults begin with [`World::play`].
    ///
    /// # Errors
    /// When an address is taken, a program is missing, or a file is wrong.
    pub async fn start(options: Options) -> Result<World, WorldError> {
        let (block, held) = match options.nomad_bind {
            None => Block::first_free()?,
            Some(_) => Block::first_free_without_api()?,
        };
        let estate = Arc::new(Estate::builtin(block));
        let scenario = scenario(&options, &estate)?;
        let job = nomad::parse_job(&options.job).map_err(WorldError::Job)?;
        let links = Arc::new(Links::new(&estate));
        let launcher = Launcher::new(options.binary.clone());
        let config = RuntimeConfig {
            launcher: launcher.clone(),
            folder: options.folder.join("alloc"),
            path: options.path.clone(),
        };
        let runtime = Arc::new(ProcessRuntime::new(config, estate.clone(), links.clone())?);
        let consul = Arc::new(Consul::start(&options, &estate, &links, launcher).await?);
        let gateways = gateways(&estate, &consul);
        let nodes = nodes(&options, &estate, &gateways);
        let bind = options.nomad_bind.unwrap_or(block.nomad_api());
        // Clients need a provider even where they speak no TLS; who was first, wins.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(2))
            .build()
            .map_err(WorldError::Client)?;
        let consul_secrets = consul.grant(&client, &gateways).await?;
        let token = consul_secrets.as_ref().map(|s| s.nomad.as_str());
        let registrar = Arc::new(HttpRegistrar::for_nodes(client.clone(), &nodes, token));
        let server = nomad::EstateConfig {
            seed: options.seed,
            acl: options.acl,
            ..nomad::EstateConfig::new(bind, nodes)
        };
        let (server, held) = nomad_server(held, server, runtime.clone(), registrar).await?;
        let server = Arc::new(server);
        let secrets = server.secrets();
        nomad::register(&client, &server, &job).await?;
        let series = parse_series(TRACE, "assets/traces/shop.csv")?;
        let events = parse_events(EVENTS, "assets/traces/shop-events.csv")?;
        let (from, begins) = (played_day(end(&series)), now() + LEAD);
        let time = Compression {
            trace: from,
            real: begins,
            seconds_per_hour: SECONDS_PER_HOUR,
        };
        Ok(World {
            nomad: server.address(),
            secrets,
            consul_secrets,
            metrics: metrics(&estate),
            api: block.api(),
            source: block.gateway(1).into(),
            begins,
            history: as_measured(time.history(&series), options.seed),
            failures: time.past_events(&events),
            players: PlayersConfig {
                service: options.entry.clone(),
                path: "/".into(),
                sites: clients(&estate, &gateways),
                rate: asked(&scenario, &series, from),
                lasts: Duration::from_secs(86_400),
                limit: options.limit,
                timeout: Duration::from_secs(2),
                poisson: true,
                seed: options.seed,
            },
            board: Arc::new(Board::new(options.entry, options.limit)),
            gateways,
            scenario,
            estate,
            physical: Physical { links, runtime },
            consul,
            server,
            stop: CancellationToken::new(),
            _held: held,
        })
    }

    /// Lets clients play the trace and the scenario break things, until the scenario's end. Each fault is told when it happens.
    ///
    /// # Errors
    /// When the clients cannot be set up.
    pub async fn play(&self, tell: mpsc::UnboundedSender<Fault>) -> Result<(), WorldError> {
        for (site, at) in &self.metrics {
            self.show_metrics(site.clone(), *at);
        }
        let begins = tokio::time::Instant::now() + millis(self.begins.since(now()));
        let players = Players::new(self.players.clone())?;
        if !players.ready(FIRST_ANSWER).await {
            tracing::warn!(
                "clients begin although {} has not answered all of them yet",
                self.players.service
            );
        }
        tokio::time::sleep_until(begins).await;
        // Who begins late joins the trace where it is by then.
        let late = tokio::time::Instant::now() - begins;
        let mut config = self.players.clone();
        let series = parse_series(TRACE, "assets/traces/shop.csv")?;
        let from = played_day(end(&series))
            + Span((late.as_secs_f64() * 3_600_000.0 / SECONDS_PER_HOUR) as i64);
        config.rate = asked(&self.scenario, &series, from);
        let players = Players::new(config)?;
        players.ready(FIRST_ANSWER).await;
        let mut incidents = Player::new(&self.scenario, begins);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = players.play(&self.board, &self.stop) => {}
            () = async {
                while let Some(incident) = incidents.next().await {
                    self.happen(&incident, &tell).await;
                }
            } => {}
        }
        Ok(())
    }

    /// What clients see is shown at their own site, and can be read from there and from where a link leads.
    fn show_metrics(&self, site: Site, at: SocketAddr) {
        let (links, estate) = (self.physical.links.clone(), self.estate.clone());
        let here = site.clone();
        let reaches = move |peer: std::net::IpAddr| {
            let from = estate.block.site_of(peer);
            let from = estate.sites.iter().find(|s| Some(s.number) == from);
            from.is_none_or(|s| s.name == here || !(links.is_cut(&s.name) || links.is_cut(&here)))
        };
        let served = serve_metrics(
            at,
            self.board.clone(),
            site,
            Arc::new(reaches),
            self.stop.clone(),
        );
        tokio::spawn(async move {
            if let Err(e) = served.await {
                tracing::error!("{e}");
            }
        });
    }

    async fn happen(&self, incident: &Incident, tell: &mpsc::UnboundedSender<Fault>) {
        if let Err(e) = self.break_or_mend(&incident.fault).await {
            tracing::error!("{}: {e}", incident.fault);
        }
        // Nobody may listen.
        let _ = tell.send(incident.fault.clone());
    }

    /// The physical thing happens; Nomad's heartbeats and the embedded Consul's gossip stop or return with it.
    ///
    /// # Errors
    /// When the estate has no such site or node.
    pub async fn break_or_mend(&self, fault: &Fault) -> Result<(), WorldError> {
        self.physical.apply(fault)?;
        match fault {
            Fault::KillNode(node) => self.server.set_node_power(node, false),
            Fault::ReviveNode(node) => self.server.set_node_power(node, true),
            Fault::CutSite(site) | Fault::HealSite(site) => {
                let cut = matches!(fault, Fault::CutSite(_));
                for node in self.estate.nodes().filter(|n| &n.site == site) {
                    self.server.set_node_heartbeat(&node.name, !cut);
                }
                self.consul.gossip(&self.estate, site, cut).await?;
            }
            // Nobody is told: only what tasks do shows it.
            Fault::ClassSpeed { .. } => {}
        }
        Ok(())
    }

    /// What the clients saw so far, and the losses that no fault of the scenario explains, each with its place in the scenario.
    pub fn summary(&self) -> (Summary, Vec<(Span, Loss)>) {
        let summary = self.board.summary();
        let unexplained = summary
            .losses
            .iter()
            .filter(|l| l.fault.is_some() && !self.explained(l))
            .map(|l| (l.at.since(self.begins), l.clone()))
            .collect();
        (summary, unexplained)
    }

    fn explained(&self, loss: &Loss) -> bool {
        if self.was_cut(&loss.site, loss.at, loss.until) {
            return true;
        }
        // An answer that says no may speak for any instance behind the one that gave it.
        let anywhere = matches!(loss.fault, Some(crate::load::Fault::Status(_)));
        let (sites, nodes) = if anywhere {
            let sites = self.estate.sites.iter().map(|s| s.name.clone()).collect();
            let nodes = self
                .estate
                .nodes()
                .map(|n| NodeId::new(n.name.as_str()))
                .collect();
            (sites, nodes)
        } else {
            self.touched(&loss.site, loss.instance)
        };
        // A request is touched by all that happened while it was under way.
        [loss.at, loss.until].into_iter().any(|at| {
            let offset = millis(at.since(self.begins));
            self.scenario.explains(offset, &sites, &nodes).is_some()
        })
    }

    /// Clients at a cut-off site can reach no other one as long as it lasts, and neither can what serves them there.
    fn was_cut(&self, from: &Site, at: Moment, until: Moment) -> bool {
        let mut since = None;
        for incident in &self.scenario.incidents {
            match &incident.fault {
                Fault::CutSite(site) if site == from => {
                    since = Some(self.begins + span(incident.at))
                }
                Fault::HealSite(site) if site == from => {
                    let ended = self.begins + span(incident.at + incident.explains.grace);
                    if since
                        .take()
                        .is_some_and(|began| until >= began && at <= ended)
                    {
                        return true;
                    }
                }
                _ => {}
            }
        }
        since.is_some_and(|began| until >= began)
    }

    /// Between which sites a request went, and through which node.
    fn touched(&self, from: &Site, instance: Option<SocketAddr>) -> (Vec<Site>, Vec<NodeId>) {
        let node = self.estate.nodes().find(|n| {
            instance.is_some_and(|i| i.ip() == std::net::IpAddr::from(self.estate.outer(n)))
        });
        let mut sites = vec![from.clone()];
        sites.extend(node.map(|n| n.site.clone()));
        (
            sites,
            node.map(|n| NodeId::new(n.name.as_str()))
                .into_iter()
                .collect(),
        )
    }

    /// Ends clients, tasks, Nomad and Consul, in that order. Nothing is left behind.
    pub async fn stop(self) {
        self.stop.cancel();
        self.server.stop().await;
        self.physical.runtime.shutdown().await;
        // While someone still holds it, dropping the last hold ends it.
        if let Some(consul) = Arc::into_inner(self.consul) {
            consul.stop().await;
        }
    }
}

/// What clients ask for from the trace's moment `from` on.
fn asked(scenario: &Scenario, series: &[(Moment, f64)], from: Moment) -> Rate {
    match scenario.rps {
        Some(rps) => Rate::new(&[(from, rps)], from, SECONDS_PER_HOUR),
        None => Rate::new(series, from, SECONDS_PER_HOUR),
    }
}

/// The past as a scheduler would have measured it: requests counted over a few seconds, and so with a count's noise.
fn as_measured(history: Vec<(Moment, f64)>, seed: u64) -> Vec<(Moment, f64)> {
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut counted = |rate: f64| {
        // A Poisson process: exponential gaps until the window is full.
        let (mut at, mut requests) = (0.0, 0u32);
        loop {
            at -= (1.0 - dice.random::<f64>()).ln() / rate.max(1e-9);
            if at > COUNTED_OVER {
                return f64::from(requests) / COUNTED_OVER;
            }
            requests += 1;
        }
    };
    history
        .into_iter()
        .map(|(at, rate)| (at, counted(rate)))
        .collect()
}

fn span(duration: Duration) -> Span {
    Span(duration.as_millis() as i64)
}

pub(super) fn millis(span: Span) -> Duration {
    Duration::from_millis(span.0.max(0) as u64)
}

fn scenario(options: &Options, estate: &Estate) -> Result<Scenario, WorldError> {
    let builtin = (
        super::scenario::DAY.to_string(),
        "assets/scenarios/day.hcl".to_string(),
    );
    let (text, name) = options.scenario.clone().unwrap_or(builtin);
    let mut scenario = Scenario::parse(&text, &name, estate).map_err(Box::new)?;
    if matches!(options.consul, ConsulKind::Real(_)) {
        let agents = estate.consul_agents().into_iter();
        for agent in agents.filter(|a| !a.server) {
            scenario.heals_slowly(&agent.site, STALE_AFTER_HEAL);
        }
    }
    Ok(scenario)
}

fn end(series: &[(Moment, f64)]) -> Moment {
    series.last().map_or(Moment(0), |(at, _)| *at)
}

/// The last two days of the trace that ends then are played; what is earlier is history.
pub fn played_day(last: Moment) -> Moment {
    let day = 86_400_000;
    Moment((last.0 / day - 1) * day)
}
