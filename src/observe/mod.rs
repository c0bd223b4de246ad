//! Turns replies into a `World` in which every value has its age and unknowns stay unknown; it may not guess.

pub mod consul;
mod crowd;
pub mod keys;
mod names;
pub mod nomad;
mod origin;
mod picture;
mod srv;
mod traffic;
mod usage;
mod watch;

pub use consul::META_ALLOC;
pub use names::Names;

use crate::clients::gateway::Gateway;
use crate::clients::http::HttpError;
use crate::clients::nomad::Nomad;
use crate::clients::nomad::picture::Follower;
use crate::model::*;
use futures::future::{join_all, join3};
use std::collections::{BTreeMap, BTreeSet};

use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};

/// Jobs of ours begin so; so do the IDs of front entries.
const OURS: &str = "foreshadow-";

/// What is looked at.
#[derive(Clone)]
pub struct Sources {
    /// Asked at each look: an answer that does not come soon is unknown.
    pub nomad: Arc<Nomad>,
    /// Reads long lists and follows events beside the looks.
    pub lists: Arc<Nomad>,
    /// Rung when an event tells of something that stopped serving.
    pub wake: Option<mpsc::Sender<()>>,
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
    /// Both are started by the first look.
    follower: Option<Follower>,
    watches: Option<consul::Watches>,
    mirror: picture::Mirror,
    names: Names,
    jobs: Jobs,
    origins: origin::Memory,
    traffic: traffic::Memory,
    usage: usage::Memory,
}

/// The jobs as last read, and the index of Nomad's jobs then.
#[derive(Default)]
struct Jobs {
    index: u64,
    known: BTreeMap<JobId, JobSpec>,
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
            follower,
            watches,
            mirror,
            names,
            jobs,
            origins,
            traffic,
            usage,
        } = &mut *memory;
        let follower = follower.get_or_insert_with(|| self.follow());
        let watches = watches.get_or_insert_with(|| consul::Watches::start(&self.sources, names));
        let (glance, jobs, fronts, leadership, hold, keeps_weights) = futures::join!(
            follower.glance(),
            self.jobs(jobs),
            watches.fronts(),
            watches.leadership(),
            consul::hold(&self.sources, now),
            self.keeps_weights(now),
        );
        let picture::Sight {
            nodes,
            allocs,
            blocked,
        } = mirror.take(glance, names, now);
        let jobs = seen(jobs, now);
        let mut world = World {
            nodes,
            allocs,
            jobs,
            blocked,
            fronts,
            hold,
            leadership,
            keeps_weights,
            gateways: self
                .sources
                .gateways
                .iter()
                .map(|g| (g.id.clone(), g.site.clone()))
                .collect(),
            ..World::unknown(now, "not read yet")
        };
        let (usage, (), ()) = join3(
            usage::read(&self.sources, usage, &world),
            traffic::read(&self.sources, traffic, &world, now),
            origin::read(&self.sources, names, origins, &world, now),
        )
        .await;
        origins.place(&mut world.fronts);
        world.usage = usage;
        world.traffic = traffic.traffic();
        world.readings = traffic.readings();
        world.links = Seen::known(traffic.links(self.sources.site.as_ref()), now);
        world
    }

    fn follow(&self) -> Follower {
        let portions = self.sources.policies.iter().flat_map(|p| &p.portions);
        let jobs = portions.map(|p| p.job.to_string()).collect();
        Follower::start(
            self.sources.lists.clone(),
            self.sources.nomad.clone(),
            picture::waker(jobs, OURS, self.sources.wake.clone()),
        )
    }

    /// Asked only where a policy leaves the weights to another than `front`.
    async fn keeps_weights(&self, now: Moment) -> Seen<bool> {
        let mut portions = self.sources.policies.iter().flat_map(|p| &p.portions);
        if portions.all(|p| p.owner.is_front()) {
            return Seen::unknown("no policy asks");
        }
        let agent = match self.sources.nomad.agent_self().await {
            Ok(agent) => agent,
            Err(e) => return Seen::unknown(e.to_string()),
        };
        match agent.version() {
            Some(_) => Seen::known(agent.features().service_weights, now),
            None => Seen::unknown("Nomad tells no version that can be read"),
        }
    }

    /// The policies' jobs, and all of ours that are not stopped; read again only after a write to Nomad's jobs.
    async fn jobs(&self, memory: &mut Jobs) -> Result<BTreeMap<JobId, JobSpec>, HttpError> {
        let nomad = &self.sources.nomad;
        let ours = nomad.jobs(OURS, None).await?;
        if ours.index > 0 && ours.index == memory.index {
            return Ok(memory.known.clone());
        }
        let policies = self.sources.policies.iter().flat_map(|p| &p.portions);
        let ids: BTreeSet<String> = policies
            .map(|p| p.job.to_string())
            .chain(ours.value.into_iter().filter(|j| !j.stop).map(|j| j.id))
            .collect();
        let found = join_all(ids.iter().map(|id| nomad.job(id, None))).await;
        let mut jobs = BTreeMap::new();
        for reply in found {
            if let Some(job) = reply?.value {
                jobs.insert(job.spec.id(), job.spec);
            }
        }
        *memory = Jobs {
            index: ours.index,
            known: jobs.clone(),
        };
        Ok(jobs)
    }
}

impl Eyes for Cluster {
    fn look(&self, now: Moment) -> Later<'_, World> {
        Box::pin(self.see(now))
    }
}
