//! Starting and stopping an estate of agents.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::{RngCore, SeedableRng, rngs::StdRng};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::time::sleep;

use super::acl::AclConfig;
use super::coordinates;
use super::datacenter::Datacenter;
use super::dns;
use super::http;
use super::world::{Agent, AgentRef, Link, Timing, World};

/// One agent to be started.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Node name, unique in the estate.
    pub node: String,
    pub datacenter: String,
    /// A server, else a client of its datacenter's server.
    pub server: bool,
    /// Address of its API and DNS, of its node in the catalog, and source of its checks.
    pub address: IpAddr,
    /// 0 takes a free one.
    pub http_port: u16,
    /// 0 takes a free one; UDP and TCP.
    pub dns_port: u16,
    /// Where the API is served instead of its own address and port.
    pub http_bind: Option<SocketAddr>,
    /// Where DNS is served instead of its own address and port.
    pub dns_bind: Option<SocketAddr>,
}

impl AgentConfig {
    fn http_at(&self) -> SocketAddr {
        let own = SocketAddr::new(self.address, self.http_port);
        self.http_bind.unwrap_or(own)
    }

    fn dns_at(&self) -> SocketAddr {
        let own = SocketAddr::new(self.address, self.dns_port);
        self.dns_bind.unwrap_or(own)
    }
}

/// An estate to be started.
#[derive(Clone, Debug, Default)]
pub struct EstateConfig {
    /// Each datacenter's first server leads it.
    pub agents: Vec<AgentConfig>,
    /// Round trips between nodes, from which their network coordinates are made; a missing pair counts as 200 µs.
    pub round_trips: Vec<(String, String, Duration)>,
    pub timing: Timing,
    /// Set TC in cut DNS answers, which Consul does only with `dns_config.enable_truncate`.
    pub dns_truncation: bool,
    /// Access control with a default of deny; none lets everyone do everything.
    pub acl: Option<AclConfig>,
    /// For IDs, jitter and the order of DNS answers.
    pub seed: u64,
}

/// Why an estate did not start.
#[derive(Debug, thiserror::Error)]
pub enum ConsulError {
    #[error(
        "cannot bind {what} of Consul agent {node} to {address}: is another program there? Choose another address or port 0"
    )]
    Bind {
        what: &'static str,
        node: String,
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("Consul datacenter {datacenter} has no server: make one of its agents a server")]
    NoServer { datacenter: String },
    #[error("two Consul agents are named {node}: node names must differ")]
    DuplicateNode { node: String },
    #[error("there is no Consul agent {node} in this estate")]
    UnknownAgent { node: String },
}

/// Where an agent can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentAddresses {
    pub node: String,
    pub datacenter: String,
    pub http: SocketAddr,
    pub dns: SocketAddr,
}

/// The embedded Consul: agents and servers in this process.
pub struct ConsulEstate;

/// A running estate; dropping it ends all of its tasks.
#[derive(Debug)]
pub struct Handle {
    world: Arc<World>,
    /// Ends the tasks when the handle goes.
    _stop: tokio_util::sync::DropGuard,
}

struct Sockets {
    http: TcpListener,
    dns_udp: UdpSocket,
    dns_tcp: TcpListener,
}

impl ConsulEstate {
    /// Binds all agents' ports, registers the nodes and starts to serve.
    ///
    /// # Errors
    /// A port that is taken, a datacenter without a server, two nodes of one name.
    pub async fn start(config: EstateConfig) -> Result<Handle, ConsulError> {
        // HTTPS checks need a provider; who was first, wins.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut dice = StdRng::seed_from_u64(config.seed);
        let datacenters = datacenters(&config, &mut dice)?;
        let (mut agents, mut sockets) = (Vec::new(), Vec::new());
        for agent in &config.agents {
            if agents.iter().any(|known: &Agent| known.node == agent.node) {
                return Err(ConsulError::DuplicateNode {
                    node: agent.node.clone(),
                });
            }
            let bound = bind(agent).await?;
            agents.push(Agent {
                node: agent.node.clone(),
                id: node_id(&mut dice),
                server: agent.server,
                address: agent.address,
                http: local(&bound.http, agent)?,
                dns: local(&bound.dns_tcp, agent)?,
                datacenter: Arc::clone(&datacenters[&agent.datacenter]),
                local: std::sync::Mutex::default(),
            });
            sockets.push(bound);
        }
        let world = World::new(
            datacenters,
            agents,
            config.timing,
            config.dns_truncation,
            config.acl,
        );
        if let (Some(acl), Some(primary)) = (&world.acl, world.primary()) {
            primary.bootstrap_acl(acl);
        }
        place(&world, &config.round_trips);
        world.mark_members();
        for (agent, bound) in world.agent_refs().zip(sockets) {
            agent.sync_full();
            spawn(&agent, bound);
        }
        for datacenter in world.datacenters.values() {
            let (datacenter, stop) = (Arc::clone(datacenter), world.stop.clone());
            world
                .tasks
                .spawn(async move { stop.run_until_cancelled(datacenter.expire_sessions()).await });
        }
        let stop = world.stop.clone().drop_guard();
        Ok(Handle { world, _stop: stop })
    }
}

fn datacenters(
    config: &EstateConfig,
    dice: &mut StdRng,
) -> Result<BTreeMap<String, Arc<Datacenter>>, ConsulError> {
    let mut datacenters = BTreeMap::new();
    for agent in &config.agents {
        let name = &agent.datacenter;
        if !config
            .agents
            .iter()
            .any(|other| other.server && other.datacenter == *name)
        {
            return Err(ConsulError::NoServer {
                datacenter: name.clone(),
            });
        }
        let seed = dice.next_u64();
        datacenters
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Datacenter::new(name, seed)));
    }
    Ok(datacenters)
}

fn node_id(dice: &mut StdRng) -> String {
    let mut bytes = [0; 16];
    dice.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

fn bind_error(
    what: &'static str,
    agent: &AgentConfig,
    address: SocketAddr,
) -> impl FnOnce(std::io::Error) -> ConsulError {
    let node = agent.node.clone();
    move |source| ConsulError::Bind {
        what,
        node,
        address,
        source,
    }
}

fn local(listener: &TcpListener, agent: &AgentConfig) -> Result<SocketAddr, ConsulError> {
    listener
        .local_addr()
        .map_err(bind_error("a port", agent, agent.http_at()))
}

/// `SO_REUSEADDR`, so that an estate can start anew where one has just ended.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn bind(agent: &AgentConfig) -> Result<Sockets, ConsulError> {
    let (at, wanted) = (agent.http_at(), agent.dns_at());
    let http = listen(at).map_err(bind_error("HTTP", agent, at))?;
    // A free TCP port may be taken on UDP: then another one is looked for.
    let mut refused = None;
    for _ in 0..16 {
        let dns_tcp = listen(wanted).map_err(bind_error("DNS", agent, wanted))?;
        let address = local(&dns_tcp, agent)?;
        match UdpSocket::bind(address).await {
            Ok(dns_udp) => {
                return Ok(Sockets {
                    http,
                    dns_udp,
                    dns_tcp,
                });
            }
            Err(error) => refused = Some((address, error)),
        }
        if wanted.port() != 0 {
            break;
        }
    }
    let (address, error) = refused.unwrap_or((wanted, std::io::ErrorKind::AddrInUse.into()));
    Err(bind_error("DNS (UDP)", agent, address)(error))
}

fn place(world: &Arc<World>, round_trips: &[(String, String, Duration)]) {
    let nodes: Vec<String> = world
        .agents
        .iter()
        .map(|agent| agent.node.clone())
        .collect();
    let places = coordinates::from_round_trips(&nodes, round_trips);
    for (name, datacenter) in &world.datacenters {
        let of_agents = world
            .agents
            .iter()
            .zip(&places)
            .filter(|(agent, _)| agent.datacenter.name() == name);
        let placed = of_agents
            .map(|(agent, place)| (agent.node.clone(), place.clone()))
            .collect();
        datacenter.write(|store, _| store.set_coordinates(placed));
    }
}

fn spawn(agent: &AgentRef, bound: Sockets) {
    let world = &agent.world;
    let stop = world.stop.clone();
    let api = axum::serve(bound.http, http::router(agent.clone()))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    world.tasks.spawn(async move {
        // Long polls end at once when the estate stops; a keep-alive connection is not waited for.
        if let Some(Err(error)) = stop.run_until_cancelled_owned(async { api.await }).await {
            tracing::error!(%error, "an agent's HTTP API ended");
        }
    });
    let stop = world.stop.clone();
    let udp = dns::serve_udp(agent.clone(), bound.dns_udp);
    world
        .tasks
        .spawn(async move { stop.run_until_cancelled_owned(udp).await });
    let stop = world.stop.clone();
    let tcp = dns::serve_tcp(agent.clone(), bound.dns_tcp);
    world
        .tasks
        .spawn(async move { stop.run_until_cancelled_owned(tcp).await });
    let stop = world.stop.clone();
    let upkeep = upkeep(agent.clone());
    world
        .tasks
        .spawn(async move { stop.run_until_cancelled_owned(upkeep).await });
}

async fn upkeep(agent: AgentRef) {
    let timing = agent.world.timing.clone();
    let mut anti_entropy = tokio::time::interval(timing.anti_entropy);
    let mut reap = tokio::time::interval(timing.check_reap);
    loop {
        tokio::select! {
            _ = anti_entropy.tick() => agent.sync_full(),
            _ = reap.tick() => {
                agent.reap();
                agent.sync_stale_outputs();
            }
        }
    }
}

impl Handle {
    /// Secret of the token that may do everything, where there is access control.
    pub fn management(&self) -> Option<String> {
        self.world.acl.as_ref().map(|acl| acl.master.clone())
    }

    /// All agents, in the order of the configuration.
    pub fn agents(&self) -> Vec<AgentAddresses> {
        let of = |agent: &Agent| AgentAddresses {
            node: agent.node.clone(),
            datacenter: agent.datacenter.name().into(),
            http: agent.http,
            dns: agent.dns,
        };
        self.world.agents.iter().map(of).collect()
    }

    /// Cuts an agent off from all others, or lets it back. A client agent then has no servers; a cut server
    /// still answers at its own address. Both are noticed after [`Timing`]'s delays, on the runtime that this is called in.
    ///
    /// # Errors
    /// An agent that is not there.
    pub fn set_cut(&self, node: &str, cut: bool) -> Result<(), ConsulError> {
        if !self.world.agents.iter().any(|agent| agent.node == node) {
            return Err(ConsulError::UnknownAgent { node: node.into() });
        }
        let (world, node) = (Arc::clone(&self.world), node.to_owned());
        let generation = world.new_generation(&node);
        let stop = world.stop.clone();
        let tasks = world.tasks.clone();
        if cut {
            if world.link_of(&node) == Link::Up {
                world.set_link(&node, Link::Silent);
            }
            tasks.spawn(async move {
                stop.run_until_cancelled_owned(notice_loss(world, node, generation))
                    .await
            });
        } else if world.link_of(&node) == Link::Silent {
            world.set_link(&node, Link::Up);
            rejoin(&world);
        } else {
            tasks.spawn(async move {
                stop.run_until_cancelled_owned(notice_return(world, node, generation))
                    .await
            });
        }
        Ok(())
    }

    /// True when an agent reaches its servers.
    pub fn is_connected(&self, node: &str) -> bool {
        self.world
            .agent_refs()
            .any(|agent| agent.node == node && agent.is_connected())
    }

    /// Ends everything and waits for it.
    pub async fn stop(self) {
        self.world.stop.cancel();
        self.world.tasks.close();
        self.world.tasks.wait().await;
    }
}

async fn notice_loss(world: Arc<World>, node: String, generation: u64) {
    sleep(world.timing.failure_detection).await;
    if world.generation(&node) == generation {
        world.set_link(&node, Link::Down);
        world.mark_members();
    }
}

async fn notice_return(world: Arc<World>, node: String, generation: u64) {
    sleep(world.timing.rejoin).await;
    if world.generation(&node) == generation {
        world.set_link(&node, Link::Up);
        rejoin(&world);
    }
}

fn rejoin(world: &Arc<World>) {
    world.mark_members();
    world.agent_refs().for_each(|agent| agent.sync_full());
}
