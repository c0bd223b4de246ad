//! A real Consul agent or two, each gateway's keeper on its own, two instances of a service that can be killed, and clients that honour SRV.

#[path = "../../tests/real_consul/agent.rs"]
#[allow(dead_code)] // the tests use more of it
mod agent;

use agent::Agent;
use bytes::Bytes;
use foreshadow::act::owners::Desk;
use foreshadow::act::{Keeper, Probing};
use foreshadow::clients::consul::{Consul, HealthQuery, KvQuery};
use foreshadow::clients::gateway::Gateway;
use foreshadow::guard::Writes;
use foreshadow::load::open_loop::{Tally, drive_by};
use foreshadow::load::{LoadReport, Pacing, Schedule, SrvClient, SrvConfig, Timer};
use foreshadow::model::*;
use futures::StreamExt;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Services that are settled at the same time.
const AT_ONCE: usize = 16;
/// An agent's own default. In dev mode it would log every entry that is in sync at each write: with 1,000 entries that is twenty times
/// the cost of the write.
const AS_USUAL: &str = r#", "log_level": "info""#;
/// What a client of the bench waits for at most, beyond which an answer is late.
pub const LIMIT: Duration = Duration::from_millis(50);

pub fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Moment(since.expect("a clock after 1970").as_millis() as i64)
}

/// What a service of this name carries: the higher its number the less, and a fifth of them has about four fifths of it all.
pub fn stake(service: &str) -> Rps {
    let number = service.rsplit('-').next().and_then(|n| n.parse().ok());
    Rps(1_000.0 / (1.0 + number.unwrap_or(0.0f64)))
}

/// An instance that answers at once until it is killed: then its port refuses, and what was open breaks.
pub struct Server {
    pub at: SocketAddr,
    stop: Option<DropGuard>,
}

impl Server {
    pub fn start(ip: &str) -> Server {
        let mut server = Server {
            at: SocketAddr::new(ip.parse().expect("an address"), 0),
            stop: None,
        };
        server.revive();
        server
    }

    pub fn kill(&mut self) {
        self.stop = None;
    }

    /// Serves at the same address again.
    pub fn revive(&mut self) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("a socket's option");
        socket.bind(self.at).expect("its port");
        let listener = socket.listen(1_024).expect("to listen");
        self.at = listener.local_addr().expect("its address");
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, stop.clone()));
        self.stop = Some(stop.drop_guard());
    }
}

async fn serve(listener: TcpListener, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        // A client that is gone already needs no answer.
        let _ = stream.set_nodelay(true);
        let service = service_fn(|_: Request<hyper::body::Incoming>| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(&[b'x'; 64]))))
        });
        let connection = hyper::server::conn::http1::Builder::new();
        connections.spawn(connection.serve_connection(TokioIo::new(stream), service));
        while connections.try_join_next().is_some() {}
    }
}

/// Consul, and gateways that keep their entries as the targets in KV say.
pub struct Rig {
    agents: Vec<Agent>,
    folder: tempfile::TempDir,
    dns: SocketAddr,
    pub consul: Arc<Consul>,
    cancel: CancellationToken,
}

impl Rig {
    /// One gateway, which goes by Consul's checks. `None` where there is no real Consul, which has been said then.
    pub fn start() -> Option<Rig> {
        let rig = Rig::of(Agent::start("bench", "127.0.0.41", AS_USUAL)?);
        rig.gateway(0, Probing::default());
        Some(rig)
    }

    /// Two gateways, each with an agent and an address of its own, that probe the instances of these services themselves.
    pub fn pair(services: &[&str]) -> Option<Rig> {
        let ips = ["127.0.0.52", "127.0.0.53"];
        let mut rig = Rig::of(Agent::start("bench-a", ips[0], AS_USUAL)?);
        let folder = rig.folder.path().display();
        let more = format!(
            r#"{AS_USUAL}, "server": false, "data_dir": "{folder}", "retry_join": ["{}"]"#,
            ips[0]
        );
        rig.agents.push(Agent::start("bench-b", ips[1], &more)?);
        for (n, ip) in ips.iter().enumerate() {
            let probing = Probing {
                services: services.iter().map(|s| ServiceName::from(*s)).collect(),
                vantage: (*ip).into(),
                source: Some(ip.parse().expect("an address")),
            };
            rig.gateway(n, probing);
        }
        Some(rig)
    }

    fn of(agent: Agent) -> Rig {
        // Whoever was first has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Rig {
            folder: tempfile::tempdir().expect("a folder"),
            dns: agent.dns(),
            consul: Arc::new(agent.client()),
            agents: vec![agent],
            cancel: CancellationToken::new(),
        }
    }

    /// A gateway at the nth agent.
    fn gateway(&self, n: usize, probing: Probing) {
        let id = ["edge-a", "edge-b"][n];
        let (wake, mut woken) = mpsc::channel(8);
        tokio::spawn(async move { while woken.recv().await.is_some() {} });
        let keeper = Keeper {
            desk: Desk {
                gateway: Gateway {
                    id: GatewayId::from(id),
                    site: Site::from(id),
                    consul: Arc::new(self.agents[n].client()),
                    dns: None,
                    local: true,
                },
                nomad: None,
                kv_datacenter: None,
                meta_alloc: "foreshadow_alloc",
            },
            clock: now,
            wake,
            probing,
            writes: Writes::default(),
        };
        tokio::spawn(keeper.keep(self.cancel.clone()));
    }

    /// The same for many services at once.
    pub async fn settle_all(&self, services: &[String], sides: (&Server, &Server)) {
        let all = services.iter().map(|service| self.settle(service, sides));
        let settled = futures::stream::iter(all).buffer_unordered(AT_ONCE);
        settled.collect::<()>().await;
    }

    /// Gives all to the old side once both sides are checked and well.
    pub async fn settle(&self, service: &str, sides: (&Server, &Server)) {
        self.write(service, sides, (Share::NONE, Share::NONE)).await;
        for side in [sides.0, sides.1] {
            self.is_well(service, side.at.port()).await;
        }
        self.aim(service, sides, Share::NONE).await;
        self.passes(service, sides.0.at.port()).await;
    }

    /// Gives the new side a share, and the old one the rest.
    pub async fn aim(&self, service: &str, sides: (&Server, &Server), share: Share) {
        self.write(service, sides, (Share(Share::ALL.0 - share.0), share))
            .await;
    }

    /// Writes the shares of the old and the new side, with what to do when the old one fails.
    async fn write(&self, service: &str, (old, new): (&Server, &Server), given: (Share, Share)) {
        let instance = |name: &str, server: &Server, share: Share| Instance {
            alloc: AllocId::new(format!("{name}-0000")),
            address: server.at.ip().to_string().into(),
            port: server.at.port(),
            node: NodeId::new(name),
            site: Site::from(name),
            health: "/".into(),
            share,
        };
        let old = instance("old-side", old, given.0);
        let new = instance("new-side", new, given.1);
        let shares = [
            (old.alloc.clone(), Share::NONE),
            (new.alloc.clone(), Share::ALL),
        ];
        let target = Target {
            service: ServiceName::from(service),
            plan: PlanId::new("bench"),
            parent: None,
            epoch: Epoch(1),
            owner: Owner::Front,
            contingencies: vec![Contingency {
                domain: Domain::Node(old.node.clone()),
                lost: [old.alloc.clone()].into(),
                shares: BTreeMap::from(shares).into(),
                stake: Some(stake(service)),
            }]
            .into(),
            instances: vec![old, new].into(),
            index: 0,
        };
        let value = serde_json::to_vec(&target).expect("plain data");
        let key = keys::target(&target.service);
        let put = self.consul.kv_put(&key, &value, None).await;
        assert!(put.expect("Consul takes a target"));
    }

    /// Waits until the check of the service's entry at this port passes, maintenance or not.
    async fn is_well(&self, service: &str, port: u16) {
        let end = format!("-{port}-alive");
        loop {
            let found = self.consul.health_service(service, HealthQuery::default());
            let found = found.await.map(|found| found.value).unwrap_or_default();
            let checks = found.iter().flat_map(|e| &e.checks);
            let well = checks.filter(|c| c.check_id.ends_with(&end) && c.status == "passing");
            if well.count() == self.agents.len() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the service's instance at this port passes at every gateway, and clients are given it.
    pub async fn passes(&self, service: &str, port: u16) {
        let query = HealthQuery {
            passing: true,
            ..Default::default()
        };
        loop {
            let found = self.consul.health_service(service, query).await;
            let found = found.map(|found| found.value).unwrap_or_default();
            let there = found.iter().filter(|e| e.service.port == port);
            if there.count() == self.agents.len() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What gateways reported of their contingencies.
    pub async fn reactions(&self) -> Vec<Applied> {
        let found = self.consul.kv_list(keys::APPLIED, KvQuery::default()).await;
        let pairs = found.expect("Consul answers").value.into_iter();
        let applied = pairs.filter_map(|p| serde_json::from_slice::<Applied>(&p.value).ok());
        applied.filter(|a| a.reaction.is_some()).collect()
    }

    pub async fn client(&self, service: &str) -> Arc<SrvClient> {
        let config = SrvConfig {
            refresh: Duration::from_millis(100),
            // A client without wits of its own: what it loses is what weights let it lose.
            eject_for: Duration::ZERO,
            ..SrvConfig::new(service, self.dns)
        };
        let client = SrvClient::start(config).expect("a DNS name");
        assert!(
            client.ready(Duration::from_secs(30)).await,
            "DNS names nobody"
        );
        Arc::new(client)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Open-loop requests for a while.
pub async fn requests(
    client: &Arc<SrvClient>,
    rate: f64,
    lasts: Duration,
    seed: u64,
) -> LoadReport {
    let timer = Timer::fine().expect("a kernel's timer");
    let schedule = Schedule::constant(Rps(rate), lasts, Pacing::Poisson { seed });
    let mut tally = Tally::new(LIMIT);
    let send = |n: u64| {
        let client = client.clone();
        async move { client.get("/", &format!("bench-{n}")).await }
    };
    let driven = drive_by(
        &timer,
        schedule,
        4_096,
        &CancellationToken::new(),
        send,
        |record| {
            tally.add(record);
            ControlFlow::Continue(())
        },
    )
    .await;
    tally.report(driven.aborted)
}
