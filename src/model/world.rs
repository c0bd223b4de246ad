//! What was seen, at one moment: every part with its age, unknowns as unknowns.

use super::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What fails together: a node, a whole site, or the way between two sites.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    Node(NodeId),
    Site(Site),
    /// The two ends in their order: see [`Domain::link`].
    Link(Site, Site),
}

impl Domain {
    /// Both directions are one link.
    pub fn link(a: &Site, b: &Site) -> Domain {
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        Domain::Link(a.clone(), b.clone())
    }
    /// Whether an instance there is lost with it. A link takes nothing by itself: its ends go on.
    pub fn holds(&self, node: &NodeId, site: &Site) -> bool {
        match self {
            Domain::Node(n) => n == node,
            Domain::Site(s) => s == site,
            Domain::Link(..) => false,
        }
    }
}

impl std::fmt::Display for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Domain::Node(n) => write!(f, "node {n}"),
            Domain::Site(s) => write!(f, "site {s}"),
            Domain::Link(a, b) => write!(f, "link {a} – {b}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    Ready,
    Initializing,
    Down,
    Disconnected,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    pub name: Arc<str>,
    pub site: Site,
    pub class: NodeClass,
    pub status: NodeStatus,
    pub eligible: bool,
    pub draining: bool,
    /// What Nomad may place on it: total less reserved.
    pub capacity: Resources,
    /// Clock of one core in MHz (0 when not fingerprinted).
    pub clock: Mhz,
    pub price: Price,
    pub host_volumes: BTreeSet<String>,
    /// Most nodes have the same as others.
    pub meta: Shared<BTreeMap<String, String>>,
}

impl Node {
    /// One that is ready and has nothing, for tests.
    #[cfg(test)]
    pub fn bare(name: &str, site: &str) -> Node {
        Node {
            id: name.into(),
            name: name.into(),
            site: site.into(),
            class: "".into(),
            status: NodeStatus::Ready,
            eligible: true,
            draining: false,
            capacity: Resources::default(),
            clock: Mhz(0.0),
            price: Price(0.0),
            host_volumes: BTreeSet::new(),
            meta: Shared::default(),
        }
    }
    pub fn usable(&self) -> bool {
        self.status == NodeStatus::Ready && self.eligible && !self.draining
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllocStatus {
    Pending,
    Running,
    Complete,
    Failed,
    Lost,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alloc {
    pub id: AllocId,
    pub job: JobId,
    pub group: Group,
    pub node: NodeId,
    pub node_name: Arc<str>,
    pub status: AllocStatus,
    pub desired_run: bool,
    pub resources: Resources,
    /// Address and port by label.
    pub ports: Ports,
    pub created: Moment,
}

impl Alloc {
    /// Whether it holds resources in Nomad's books.
    pub fn holds(&self) -> bool {
        self.desired_run && matches!(self.status, AllocStatus::Pending | AllocStatus::Running)
    }
}

/// An evaluation that could not place everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blocked {
    pub job: JobId,
    pub groups: Vec<Group>,
    pub why: String,
}

/// What one allocation uses now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    pub cpu: Mhz,
    pub memory: MiB,
}

/// What clients see of a portion over the last few seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    pub rate: Rps,
    pub success: f64,
    /// Requests in the window.
    pub samples: u64,
    pub p50: Millis,
    pub p99: Millis,
    /// At the SLO's quantile.
    pub at_slo: Millis,
}

/// Round-trip time between two sites.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    pub from: Site,
    pub to: Site,
    pub rtt: Millis,
}

/// One entry of a front, as a gateway's agent has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrontEntry {
    pub instance: AllocId,
    pub address: Arc<str>,
    pub port: u16,
    pub weight: u32,
    /// The entry's own check passes (whether or not it is in maintenance).
    pub passing: bool,
    /// Its check has run at least once: one that has not says nothing.
    pub checked: bool,
    pub maintenance: bool,
    /// The agent itself is alive in its datacenter's eyes.
    pub agent_alive: bool,
}

impl FrontEntry {
    /// Whether clients are given this entry.
    pub fn serves(&self) -> bool {
        self.passing && !self.maintenance && self.agent_alive
    }
}

/// One SRV record as clients get it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SrvSeen {
    pub address: String,
    pub port: u16,
    pub weight: u32,
}

/// A front service: what was asked for, what gateways applied, what clients see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Front {
    pub target: Option<Seen<Option<Target>>>,
    pub entries: BTreeMap<GatewayId, Seen<SharedList<FrontEntry>>>,
    pub dns: BTreeMap<GatewayId, Seen<SharedList<SrvSeen>>>,
    pub applied: BTreeMap<GatewayId, Seen<Arc<Applied>>>,
    /// Instances whose own service, as Nomad registered it, passes its checks; read while some have no entry of ours. It is told
    /// to people and decides nothing: only an entry proves that clients can reach an instance.
    #[serde(default)]
    pub origin: Option<Seen<SharedList<AllocId>>>,
}

impl Front {
    /// The instances that some gateway has an entry for; `None` while that of any gateway is unknown, or there is none.
    pub fn entered(&self) -> Option<BTreeSet<&AllocId>> {
        let known = self.entries.values().map(Seen::value);
        let known: Option<Vec<_>> = known.collect();
        let known = known.filter(|all| !all.is_empty())?;
        let all = known.into_iter().flatten().map(|e| &e.instance);
        Some(all.collect())
    }
}

/// Who holds the leader's lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leadership {
    /// We hold it, under this epoch, until the lease's own deadline.
    Ours {
        epoch: Epoch,
    },
    Other {
        who: String,
    },
    Nobody,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct World {
    pub at: Moment,
    pub nodes: Seen<Table<Node>>,
    pub allocs: Seen<Table<Alloc>>,
    /// The policies' jobs and all of foreshadow's own.
    pub jobs: Seen<BTreeMap<JobId, JobSpec>>,
    pub blocked: Seen<Vec<Blocked>>,
    pub fronts: BTreeMap<ServiceName, Front>,
    pub traffic: BTreeMap<PortionId, Seen<Traffic>>,
    /// The last readings of each endpoint of production's metrics, oldest first.
    #[serde(default)]
    pub readings: Vec<Arc<Reading>>,
    pub usage: BTreeMap<AllocId, Seen<Usage>>,
    pub links: Seen<Vec<Link>>,
    /// Where each gateway stands: the clients of a site reach the others from there.
    #[serde(default)]
    pub gateways: BTreeMap<GatewayId, Site>,
    /// Whether this Nomad's clients keep the weights of their entries themselves (since 1.9.2).
    #[serde(default = "not_read")]
    pub keeps_weights: Seen<bool>,
    /// The operator's stop: `foreshadow/hold`; unreadable counts as set.
    pub hold: Seen<bool>,
    pub leadership: Seen<Leadership>,
}

fn not_read() -> Seen<bool> {
    Seen::unknown("not read")
}

impl World {
    /// A world of which nothing is known, for the given reason.
    pub fn unknown(at: Moment, why: &str) -> World {
        World {
            at,
            nodes: Seen::unknown(why),
            allocs: Seen::unknown(why),
            jobs: Seen::unknown(why),
            blocked: Seen::unknown(why),
            fronts: BTreeMap::new(),
            traffic: BTreeMap::new(),
            readings: Vec::new(),
            usage: BTreeMap::new(),
            links: Seen::unknown(why),
            gateways: BTreeMap::new(),
            keeps_weights: Seen::unknown(why),
            hold: Seen::unknown(why),
            leadership: Seen::unknown(why),
        }
    }
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.value()?.get(id)
    }
    pub fn alloc(&self, id: &AllocId) -> Option<&Alloc> {
        self.allocs.value()?.get(id)
    }
    pub fn job(&self, id: &JobId) -> Option<&JobSpec> {
        self.jobs.value()?.get(id)
    }
    /// How much a request of the job counts beside one of another: its priority, by Nomad's default of 50; 1 where it is not known.
    pub fn importance(&self, job: &JobId) -> f64 {
        self.job(job).map_or(1.0, |j| j.priority() as f64 / 50.0)
    }
    pub fn site_of(&self, node: &NodeId) -> Option<&Site> {
        self.node(node).map(|n| &n.site)
    }
    pub fn rtt(&self, from: &Site, to: &Site) -> Option<Millis> {
        if from == to {
            return Some(Millis(0.0));
        }
        self.links
            .value()?
            .iter()
            .find(|l| (&l.from == from && &l.to == to) || (&l.from == to && &l.to == from))
            .map(|l| l.rtt)
    }
}
