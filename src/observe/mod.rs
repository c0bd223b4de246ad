//! Turns replies into a `World` in which every value has its age and unknowns stay unknown; it may not guess.

mod consul;
mod nomad;
mod traffic;

pub use consul::META_ALLOC;

use crate::clients::gateway::Gateway;
use crate::clients::http::HttpError;
use crate::clients::nomad::{Node as NodeDetail, Nomad};
use crate::model::*;
use futures::future::{join, join_all};
use std::collections::{BTreeMap, BTreeSet};

use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Jobs of ours begin so; so do the IDs of front entries.
const OURS: &str = "foreshadow-";

/// What is looked at.
pub struct Sources {
    pub nomad: Arc<Nomad>,
    pub gateways: Vec<Gateway>,
    /// The agent through which keys are read, and the datacenter that holds them.
    pub keeper: Arc<crate::clients::consul::Consul>,
    pub kv_datacenter: Option<String>,
    pub policies: Vec<Policy>,
    /// Local address to scrape metrics from.
    pub source: Option<IpAddr>,
    /// This gateway's site: links are measured from here.
    pub site: Option<Site>,
    /// The house's clock, to time what is read.
    pub clock: fn() -> Moment,
}

/// The eyes on a real cluster (or on what speaks like one).
pub struct Cluster {
    sources: Sources,
    memory: Mutex<Memory>,
}

/// What is kept between looks so that rates can be told and rarely changing details need not be read again.
#[derive(Default)]
struct Memory {
    details: BTreeMap<String, (u64, NodeDetail)>,
    traffic: traffic::Memory,
    agents: BTreeMap<GatewayId, String>,
}

/// A reply as a reading: what cannot be read is unknown, with the reason.
fn seen<T>(reply: Result<T, HttpError>, at: Moment) -> Seen<T> {
    match reply {
        Ok(value) => Seen::known(value, at),
        Err(e) => Seen::unknown(e.to_string()),
    }
}

impl Cluster {
    pub fn new(sources: Sources) -> Cluster {
        Cluster {
            sources,
            memory: Mutex::default(),
        }
    }

    async fn see(&self, now: Moment) -> World {
        let mut memory = self.memory.lock().await;
        let Memory {
            details,
            traffic,
            agents,
        } = &mut *memory;
        let ((nodes, allocs, jobs, blocked), fronts, keys) = futures::join!(
            self.nomad(details, now),
            consul::fronts(&self.sources, agents, now),
            consul::keys(&self.sources, now),
        );
        let mut world = World {
            nodes,
            allocs,
            jobs,
            blocked,
            fronts,
            hold: keys.hold,
            leadership: keys.leadership,
            ..World::unknown(now, "not read yet")
        };
        consul::place(&mut world, keys.targets, keys.applied);
        let (usage, ()) = join(
            self.usage(&world),
            traffic::read(&self.sources, traffic, &world, now),
        )
        .await;
        world.usage = usage;
        world.traffic = traffic.traffic(&self.sources.policies);
        world.links = Seen::known(traffic.links(self.sources.site.as_ref()), now);
        world
    }

    async fn nomad(
        &self,
        details: &mut BTreeMap<String, (u64, NodeDetail)>,
        now: Moment,
    ) -> (
        Seen<Vec<Node>>,
        Seen<Vec<Alloc>>,
        Seen<BTreeMap<JobId, JobSpec>>,
        Seen<Vec<Blocked>>,
    ) {
        let nomad = &self.sources.nomad;
        let (nodes, allocs, jobs, blocked) = futures::join!(
            self.nodes(details),
            nomad.allocations(None),
            self.jobs(),
            nomad.evaluations("blocked", None),
        );
        (
            seen(nodes, now),
            seen(allocs, now).map(|a| a.value.iter().map(nomad::alloc).collect()),
            seen(jobs, now),
            seen(blocked, now).map(|b| b.value.iter().map(nomad::blocked).collect()),
        )
    }

    /// Nodes with their details, which are read again only when the node was modified.
    async fn nodes(
        &self,
        details: &mut BTreeMap<String, (u64, NodeDetail)>,
    ) -> Result<Vec<Node>, HttpError> {
        let stubs = self.sources.nomad.nodes(None).await?.value;
        let stale: Vec<&str> = stubs
            .iter()
            .filter(|s| {
                details
                    .get(&s.id)
                    .is_none_or(|(index, _)| *index != s.modify_index)
            })
            .map(|s| s.id.as_str())
            .collect();
        let read = join_all(stale.iter().map(|id| self.sources.nomad.node(id))).await;
        for node in read.into_iter().flatten() {
            details.insert(node.id.clone(), (node.modify_index, node));
        }
        Ok(stubs
            .iter()
            .map(|s| nomad::node(s, details.get(&s.id).map(|(_, d)| d)))
            .collect())
    }

    /// The policies' jobs, and all of ours that are not stopped.
    async fn jobs(&self) -> Result<BTreeMap<JobId, JobSpec>, HttpError> {
        let nomad = &self.sources.nomad;
        let ours = nomad.jobs(OURS, None).await?.value;
        let policies = self.sources.policies.iter().flat_map(|p| &p.portions);
        let ids: BTreeSet<String> = policies
            .map(|p| p.job.to_string())
            .chain(ours.into_iter().filter(|j| !j.stop).map(|j| j.id))
            .collect();
        let found = join_all(ids.iter().map(|id| nomad.job(id, None))).await;
        let mut jobs = BTreeMap::new();
        for reply in found {
            if let Some(job) = reply?.value {
                jobs.insert(job.spec.id(), job.spec);
            }
        }
        Ok(jobs)
    }

    /// What the allocations of the policies' portions and of our own jobs use.
    async fn usage(&self, world: &World) -> BTreeMap<AllocId, Seen<Usage>> {
        let Some(allocs) = world.allocs.value() else {
            return BTreeMap::new();
        };
        let watched = |a: &&Alloc| {
            a.status == AllocStatus::Running
                && a.desired_run
                && (a.job.as_str().starts_with(OURS)
                    || self
                        .sources
                        .policies
                        .iter()
                        .flat_map(|p| &p.portions)
                        .any(|p| p.job == a.job))
        };
        let at = world.at;
        let reads = allocs.iter().filter(watched).map(|a| async move {
            let stats = self.sources.nomad.alloc_stats(a.id.as_str()).await;
            (a.id.clone(), seen(stats, at).map(|s| nomad::usage(&s)))
        });
        join_all(reads).await.into_iter().collect()
    }
}

impl Eyes for Cluster {
    fn look(&self, now: Moment) -> Later<'_, World> {
        Box::pin(self.see(now))
    }
}
