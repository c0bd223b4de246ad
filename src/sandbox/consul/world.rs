//! All agents and datacenters of an estate, and which of them can reach which.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::acl::AclConfig;
use super::datacenter::{Datacenter, locked};
use super::local::Local;

/// How an agent's links to all others are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Link {
    Up,
    /// Cut, but nobody has noticed: whoever calls, waits.
    Silent,
    /// Cut, and gossip has noticed.
    Down,
}

/// Times that real agents take; the sandbox shortens some.
#[derive(Clone, Debug)]
pub struct Timing {
    /// From a cut to `serfHealth` critical and to errors instead of waiting.
    pub failure_detection: Duration,
    /// From the end of a cut to `serfHealth` passing and the agent's full sync.
    pub rejoin: Duration,
    /// How often agents compare all they have with the catalog.
    pub anti_entropy: Duration,
    /// How often agents look for services to deregister for being critical.
    pub check_reap: Duration,
    /// The least that `DeregisterCriticalServiceAfter` can be.
    pub deregister_min: Duration,
    /// How long a check's output alone may change before it is synced.
    pub check_update: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            failure_detection: Duration::from_secs(2),
            rejoin: Duration::from_millis(500),
            anti_entropy: Duration::from_secs(60),
            check_reap: Duration::from_secs(30),
            deregister_min: Duration::from_secs(60),
            check_update: Duration::from_secs(300),
        }
    }
}

/// One agent: a server or a client of its datacenter.
#[derive(Debug)]
pub struct Agent {
    pub node: String,
    pub id: String,
    pub server: bool,
    pub address: IpAddr,
    pub http: SocketAddr,
    pub dns: SocketAddr,
    pub datacenter: Arc<Datacenter>,
    pub(super) local: Mutex<Local>,
}

/// Everything there is.
#[derive(Debug)]
pub struct World {
    pub(super) datacenters: BTreeMap<String, Arc<Datacenter>>,
    pub(super) agents: Vec<Agent>,
    links: watch::Sender<BTreeMap<String, Link>>,
    generations: Mutex<HashMap<String, u64>>,
    pub(super) timing: Timing,
    pub(super) dns_truncation: bool,
    pub(super) acl: Option<AclConfig>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// Why a call to the servers failed, in Consul's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{text}", "rpc error making call: ".repeat(*hops))]
pub struct RpcError {
    /// Network hops to where it failed; each adds a prefix.
    pub hops: usize,
    pub text: String,
}

impl RpcError {
    pub(super) const NO_PATH: &'static str = "No path to datacenter";

    pub(super) fn no_servers() -> Self {
        Self {
            hops: 0,
            text: "No known Consul servers".into(),
        }
    }
}

/// A way to a datacenter's servers.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub datacenter: Arc<Datacenter>,
    hops: Vec<(String, String)>,
}

impl Route {
    /// An error that the servers at the end of the route gave.
    pub fn error(&self, text: impl ToString) -> RpcError {
        RpcError {
            hops: self.hops.len(),
            text: text.to_string(),
        }
    }
}

/// An agent in its world.
#[derive(Clone, Debug)]
pub struct AgentRef {
    pub(super) world: Arc<World>,
    at: usize,
}

impl Deref for AgentRef {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.world.agents[self.at]
    }
}

impl World {
    pub(super) fn new(
        datacenters: BTreeMap<String, Arc<Datacenter>>,
        agents: Vec<Agent>,
        timing: Timing,
        dns_truncation: bool,
        acl: Option<AclConfig>,
    ) -> Arc<Self> {
        Arc::new(Self {
            datacenters,
            links: watch::Sender::new(
                agents
                    .iter()
                    .map(|agent| (agent.node.clone(), Link::Up))
                    .collect(),
            ),
            agents,
            generations: Mutex::default(),
            timing,
            dns_truncation,
            acl,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    pub(super) fn agent_refs(self: &Arc<Self>) -> impl Iterator<Item = AgentRef> + use<'_> {
        (0..self.agents.len()).map(|at| AgentRef {
            world: Arc::clone(self),
            at,
        })
    }

    /// The datacenter that keeps tokens and policies: that of the first agent.
    pub(super) fn primary(&self) -> Option<&Arc<Datacenter>> {
        self.agents.first().map(|agent| &agent.datacenter)
    }

    /// The server that leads a datacenter.
    pub(super) fn leader(&self, datacenter: &str) -> Option<&Agent> {
        self.agents
            .iter()
            .find(|agent| agent.server && agent.datacenter.name() == datacenter)
    }

    /// The worse of two agents' links; an agent always reaches itself.
    pub(super) fn link(&self, from: &str, to: &str) -> Link {
        if from == to {
            return Link::Up;
        }
        let links = self.links.borrow();
        let of = |node| links.get(node).copied().unwrap_or(Link::Down);
        of(from).max(of(to))
    }

    pub(super) fn set_link(&self, node: &str, link: Link) {
        self.links.send_modify(|links| {
            links.insert(node.into(), link);
        });
    }

    pub(super) fn link_of(&self, node: &str) -> Link {
        self.links.borrow().get(node).copied().unwrap_or(Link::Down)
    }

    /// Counts a change of an agent's cut; a notice that was under way for an older one is void.
    pub(super) fn new_generation(&self, node: &str) -> u64 {
        let mut generations = locked(&self.generations);
        let generation = generations.entry(node.into()).or_default();
        *generation += 1;
        *generation
    }

    pub(super) fn generation(&self, node: &str) -> u64 {
        locked(&self.generations).get(node).copied().unwrap_or(0)
    }

    /// Gossip's view of every agent, written into its datacenter's catalog.
    pub(super) fn mark_members(&self) {
        for agent in &self.agents {
            let Some(leader) = self.leader(agent.datacenter.name()) else {
                continue;
            };
            let alive = self.link(&leader.node, &agent.node) != Link::Down;
            agent.mark_member(alive);
        }
    }
}

impl AgentRef {
    /// The way from this agent to a datacenter's servers. Waits while a cut is not yet noticed, as a call into a black hole does.
    pub(super) async fn route(&self, datacenter: &str) -> Result<Route, RpcError> {
        let own = self
            .world
            .leader(self.datacenter.name())
            .ok_or_else(RpcError::no_servers)?;
        let mut route = Route {
            datacenter: Arc::clone(&self.datacenter),
            hops: Vec::new(),
        };
        if own.node != self.node {
            route.hops.push((self.node.clone(), own.node.clone()));
            self.settled(&route)
                .await
                .map_err(|_| RpcError::no_servers())?;
        }
        if datacenter == self.datacenter.name() {
            return Ok(route);
        }
        let Some(remote) = self.world.leader(datacenter) else {
            return Err(route.error(RpcError::NO_PATH));
        };
        let near = route.clone();
        route.hops.push((own.node.clone(), remote.node.clone()));
        route.datacenter = Arc::clone(&remote.datacenter);
        self.settled(&route)
            .await
            .map_err(|_| near.error("Remote DC has no server currently reachable"))?;
        Ok(route)
    }

    /// Waits until every hop is up, or one is known to be down.
    pub(super) async fn settled(&self, route: &Route) -> Result<(), RpcError> {
        let mut links = self.world.links.subscribe();
        loop {
            links.borrow_and_update();
            match self.state_of(route) {
                Link::Up => return Ok(()),
                Link::Down => return Err(RpcError::no_servers()),
                Link::Silent => {}
            }
            if links.changed().await.is_err() {
                return Err(RpcError::no_servers());
            }
        }
    }

    fn state_of(&self, route: &Route) -> Link {
        route
            .hops
            .iter()
            .map(|(from, to)| self.world.link(from, to))
            .max()
            .unwrap_or(Link::Up)
    }

    /// Resolves when the route is lost for good.
    pub(super) async fn lost(&self, route: &Route) {
        let mut links = self.world.links.subscribe();
        loop {
            links.borrow_and_update();
            if self.state_of(route) == Link::Down || links.changed().await.is_err() {
                return;
            }
        }
    }

    /// True when the servers of the agent's own datacenter can be reached now.
    pub(super) fn is_connected(&self) -> bool {
        let leader = self.world.leader(self.datacenter.name());
        leader.is_some_and(|leader| self.world.link(&self.node, &leader.node) == Link::Up)
    }

    pub(super) fn local(&self) -> std::sync::MutexGuard<'_, Local> {
        locked(&self.local)
    }
}
