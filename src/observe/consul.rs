//! What Consul says of fronts: entries at each gateway, SRV records as clients get them, targets and what was applied.

use super::srv::Sample;
use super::watch::{Asking, Watch};
use super::{Sources, seen};
use crate::clients::consul::{HealthQuery, KvPair, KvQuery, ServiceEntry};
use crate::clients::gateway::Gateway;
use crate::model::*;
use futures::future::{join, join_all};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Mutex, OnceCell};

/// Meta key on entries of ours: the allocation behind it.
pub const META_ALLOC: &str = "foreshadow_alloc";

/// Everything of Consul that is kept known beside the looks: each gateway's entries of each front with the SRV answers to them,
/// and the keys under `foreshadow/`. The operator's stop is no part of it: that is read at each look.
pub struct Watches {
    fronts: Vec<WatchedFront>,
    keys: Watch<Keys>,
}

/// Of more fronts each is asked for seldom, lest agents are asked all the time for what has not changed.
const FEW: usize = 64;

struct WatchedFront {
    gateway: GatewayId,
    /// Where there are many: a key that is asked for often. While its answers come and the query for the entries waits, these
    /// are as they were.
    pulse: Option<Arc<Watch<()>>>,
    service: ServiceName,
    entries: Arc<Watch<Vec<FrontEntry>>>,
    dns: Option<Sample>,
}

impl Watches {
    /// Begins at once, on the current tokio runtime.
    pub fn start(sources: &Sources) -> Watches {
        let portions = sources.policies.iter().flat_map(|p| &p.portions);
        let services: Vec<(&ServiceName, bool)> = portions
            .filter_map(|p| Some((p.front.as_ref()?, p.owner.is_front())))
            .collect();
        let mut fronts = Vec::new();
        let many = services.len() > FEW;
        for gateway in &sources.gateways {
            let agent = Arc::new(OnceCell::new());
            let pulse = many.then(|| Arc::new(pulse(sources, gateway)));
            for (service, fronted) in &services {
                let of = (gateway, agent.clone());
                let asking = if many { Asking::SELDOM } else { Asking::OFTEN };
                let entries = entries(sources, of, service, *fronted, asking);
                let entries = Arc::new(entries);
                let dns = gateway.dns.clone().map(|dns| {
                    Sample::start(dns, (*service).clone(), entries.clone(), sources.clock)
                });
                fronts.push(WatchedFront {
                    gateway: gateway.id.clone(),
                    pulse: pulse.clone(),
                    service: (*service).clone(),
                    entries,
                    dns,
                });
            }
        }
        let (consul, dc) = (sources.keeper.clone(), sources.kv_datacenter.clone());
        let known = Arc::new(Mutex::new(Read::default()));
        let read = move |wait| {
            let (consul, dc, known) = (consul.clone(), dc.clone(), known.clone());
            async move {
                let query = KvQuery {
                    dc: dc.as_deref(),
                    wait,
                    ..KvQuery::default()
                };
                let found = consul.kv_list(keys::ROOT, query).await?;
                let mut known = known.lock().await;
                Ok(found.map(|pairs| Keys::of(&pairs, &mut known)))
            }
        };
        let asking = if many { Asking::AT_EASE } else { Asking::OFTEN };
        Watches {
            fronts,
            keys: Watch::start(read, |_| (), sources.clock, asking),
        }
    }

    /// All fronts of the policies, as each gateway has them and clients there see them, with target and reports.
    pub async fn fronts(&self) -> BTreeMap<ServiceName, Front> {
        let reads = self.fronts.iter().map(|w| async move {
            let dns = async {
                match &w.dns {
                    Some(sample) => Some(sample.seen().await),
                    None => None,
                }
            };
            let (entries, dns) = futures::join!(w.entries.seen(), dns);
            let entries = match &w.pulse {
                Some(pulse) => as_of(entries, &pulse.seen().await),
                None => entries,
            };
            (w, entries.map(SharedList::from), dns)
        });
        let (read, keys) = join(join_all(reads), self.keys.seen()).await;
        let mut fronts: BTreeMap<ServiceName, Front> = BTreeMap::new();
        for (watched, entries, dns) in read {
            let front = fronts.entry(watched.service.clone()).or_default();
            front.entries.insert(watched.gateway.clone(), entries);
            if let Some(dns) = dns {
                front.dns.insert(watched.gateway.clone(), dns);
            }
        }
        place(&mut fronts, &keys);
        fronts
    }

    pub async fn leadership(&self) -> Seen<Leadership> {
        self.keys.seen().await.map(|keys| keys.leadership.clone())
    }
}

/// A reading that would have changed by itself, as of the last answer of its server.
fn as_of<T>(reading: Seen<T>, pulse: &Seen<Arc<()>>) -> Seen<T> {
    match (reading, pulse) {
        (Seen::Known { value, at }, Seen::Known { at: heard, .. }) => {
            Seen::known(value, at.max(*heard))
        }
        (reading, _) => reading,
    }
}

/// Whether the gateway's agent, and the servers behind it, answer.
fn pulse(sources: &Sources, gateway: &Gateway) -> Watch<()> {
    let consul = gateway.consul.clone();
    let read = move |wait| {
        let consul = consul.clone();
        async move {
            let found = consul.kv_get(keys::HOLD, None, false, wait).await?;
            Ok(found.map(drop))
        }
    };
    Watch::start(read, |_| (), sources.clock, Asking::OFTEN)
}

/// Watches the gateway's own entries of a front, in the eyes of its datacenter; has the wheel look when one stops serving.
/// Where others may own the weights: the entries of the whole datacenter that Nomad made, and external ones of ours.
fn entries(
    sources: &Sources,
    (gateway, agent): (&Gateway, Arc<OnceCell<String>>),
    service: &ServiceName,
    fronted: bool,
    asking: Asking,
) -> Watch<Vec<FrontEntry>> {
    let (consul, service) = (gateway.consul.clone(), service.clone());
    let read = move |wait| {
        let (consul, service, agent) = (consul.clone(), service.clone(), agent.clone());
        async move {
            let name = async || Ok(consul.agent_self().await?.node_name().to_string());
            let agent = agent.get_or_try_init(name).await?;
            let query = HealthQuery {
                wait,
                ..HealthQuery::default()
            };
            let found = consul.health_service(service.as_str(), query).await?;
            Ok(found.map(|list| {
                let own = list.iter().filter(|e| &e.node.node == agent);
                let ours = own.filter_map(entry);
                match fronted {
                    true => ours.collect::<Vec<_>>(),
                    false => ours.chain(list.iter().filter_map(of_others)).collect(),
                }
            }))
        }
    };
    let wake = sources.wake.clone();
    let serving = AtomicUsize::new(0);
    let news = move |entries: &Vec<FrontEntry>| {
        let now = entries.iter().filter(|e| e.serves()).count();
        if now < serving.swap(now, Ordering::Relaxed)
            && let Some(wake) = &wake
        {
            // A full channel has the wheel turning already.
            let _ = wake.try_send(());
        }
    };
    Watch::start(read, news, sources.clock, asking)
}

/// An entry of ours; others behind the same name are none of our business.
pub fn entry(e: &ServiceEntry) -> Option<FrontEntry> {
    let instance = AllocId::new(e.service.meta.get(META_ALLOC)?.as_str());
    Some(FrontEntry {
        agent_alive: e.agent_alive().unwrap_or(false),
        ..read(e, instance)
    })
}

/// An entry that Nomad made at any agent, or an external one of ours, which no agent stands for.
pub fn of_others(e: &ServiceEntry) -> Option<FrontEntry> {
    if let Some(alloc) = alloc_of_entry(&e.service.id) {
        let alive = e.agent_alive().unwrap_or(false);
        return Some(FrontEntry {
            agent_alive: alive,
            ..read(e, AllocId::new(alloc))
        });
    }
    let external = e.agent_alive().is_none() && e.node.node == e.service.id;
    let alloc = e.service.meta.get(META_ALLOC).filter(|_| external)?;
    Some(read(e, AllocId::new(alloc.as_str())))
}

/// Without what the entry's agent is like.
fn read(e: &ServiceEntry, instance: AllocId) -> FrontEntry {
    let own = || {
        e.checks
            .iter()
            .filter(|c| !c.is_maintenance() && !c.service_id.is_empty())
    };
    FrontEntry {
        instance,
        address: e.address().to_string(),
        port: e.service.port,
        weight: u32::from(e.service.weights.passing),
        passing: own().all(|c| c.status == "passing"),
        checked: own().all(|c| c.status == "passing" || !c.output.is_empty()),
        maintenance: e.in_maintenance(),
        agent_alive: true,
    }
}

/// The operator's stop, read anew at each look: it must not be missed for as long as a watch may be broken.
pub async fn hold(sources: &Sources, now: Moment) -> Seen<bool> {
    let dc = sources.kv_datacenter.as_deref();
    let read = sources.keeper.kv_get(keys::HOLD, dc, false, None).await;
    seen(read, now).map(|found| found.value.is_some_and(|p| p.value != b"off"))
}

/// What else stands under `foreshadow/`.
pub struct Keys {
    pub leadership: Leadership,
    pub targets: Result<BTreeMap<ServiceName, Target>, String>,
    pub applied: BTreeMap<(GatewayId, ServiceName), Applied>,
}

impl Keys {
    /// What the keys say; a target that was read before is not read again while its key has not been written.
    pub fn of(pairs: &[KvPair], before: &mut Read) -> Keys {
        Keys {
            leadership: leadership(pairs),
            targets: targets(pairs, before),
            applied: applied(pairs),
        }
    }
}

/// Targets as they were last read, by their keys, with a digest of each value: of thousands few are written at a time.
#[derive(Default)]
pub struct Read(HashMap<String, (u64, Target)>);

impl Read {
    fn target(&mut self, pair: &KvPair) -> serde_json::Result<Target> {
        let mut digest = DefaultHasher::new();
        (pair.modify_index, &pair.value).hash(&mut digest);
        let digest = digest.finish();
        if let Some((of, target)) = self.0.get(&pair.key)
            && *of == digest
        {
            return Ok(target.clone());
        }
        let mut target: Target = serde_json::from_slice(&pair.value)?;
        target.index = pair.modify_index;
        self.0.insert(pair.key.clone(), (digest, target.clone()));
        Ok(target)
    }
}

fn leadership(pairs: &[KvPair]) -> Leadership {
    match pairs
        .iter()
        .find(|p| p.key == keys::LEADER && p.session.is_some())
    {
        Some(lock) => Leadership::Other {
            who: String::from_utf8_lossy(&lock.value).into_owned(),
        },
        None => Leadership::Nobody,
    }
}

/// A target that does not parse makes all of them unknown: it is not for us to overwrite what we do not understand.
fn targets(pairs: &[KvPair], before: &mut Read) -> Result<BTreeMap<ServiceName, Target>, String> {
    let pairs = pairs.iter().filter(|p| p.key.starts_with(keys::TARGETS));
    let pairs: Vec<&KvPair> = pairs.collect();
    if before.0.len() > pairs.len() {
        let there: HashSet<&str> = pairs.iter().map(|p| p.key.as_str()).collect();
        before.0.retain(|key, _| there.contains(key.as_str()));
    }
    let read = pairs.into_iter().map(|pair| match before.target(pair) {
        Ok(target) => Ok((target.service.clone(), target)),
        Err(e) => Err(format!(
            "{} in Consul's KV is not a target of this version: {e}",
            pair.key
        )),
    });
    read.collect()
}

fn applied(pairs: &[KvPair]) -> BTreeMap<(GatewayId, ServiceName), Applied> {
    pairs
        .iter()
        .filter(|p| p.key.starts_with(keys::APPLIED))
        .filter_map(|p| serde_json::from_slice::<Applied>(&p.value).ok())
        .map(|a| ((a.gateway.clone(), a.service.clone()), a))
        .collect()
}

/// Puts targets and reports to the fronts they speak of.
fn place(fronts: &mut BTreeMap<ServiceName, Front>, keys: &Seen<Arc<Keys>>) {
    for (service, front) in fronts.iter_mut() {
        front.target = Some(match keys {
            Seen::Known { value, at } => match &value.targets {
                Ok(targets) => Seen::known(targets.get(service).cloned(), *at),
                Err(why) => Seen::unknown(why.clone()),
            },
            Seen::Unknown { why } => Seen::unknown(why.clone()),
        });
    }
    let Seen::Known { value, at } = keys else {
        return;
    };
    for ((gateway, of), report) in &value.applied {
        if let Some(front) = fronts.get_mut(of) {
            let seen = Seen::known(report.clone(), *at);
            front.applied.insert(gateway.clone(), seen);
        }
    }
}
