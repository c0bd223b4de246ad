//! What Consul says of fronts: entries at each gateway, SRV records as clients get them, targets and what was applied.

use super::crowd::{self, Crowd, One, agent_name};
use super::keys::{Keys, Read};
use super::names::Names;
use super::srv::Sample;
use super::watch::{Asking, Feed, Watch};
use super::{Sources, seen};
use crate::clients::consul::{HealthQuery, KvQuery, ServiceEntry};
use crate::clients::gateway::Gateway;
use crate::clients::http::{HttpError, Indexed, Wait};
use crate::model::*;
use futures::future::{join, join_all};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Mutex, OnceCell};

/// Meta key on entries of ours: the allocation behind it.
pub const META_ALLOC: &str = "foreshadow_alloc";

/// Everything of Consul that is kept known beside the looks: each gateway's entries of each front with the SRV answers to them,
/// and the keys under `foreshadow/`. The operator's stop is no part of it: that is read at each look.
pub struct Watches {
    fronts: Vec<WatchedFront>,
    /// Of each gateway, where there are many fronts.
    crowds: BTreeMap<GatewayId, Crowd>,
    keys: Watch<Keys>,
}

/// More fronts than this share a few connections: see [`Crowd`].
const FEW: usize = 64;

struct WatchedFront {
    gateway: GatewayId,
    service: ServiceName,
    /// Only the gateway's own entries count.
    own: bool,
    entries: Arc<Watch<Vec<FrontEntry>>>,
    dns: Option<Sample>,
}

impl Watches {
    /// Begins at once, on the current tokio runtime.
    pub fn start(sources: &Sources, names: &Names) -> Watches {
        let portions = sources.policies.iter().flat_map(|p| &p.portions);
        let services: Vec<(&ServiceName, bool)> = portions
            .filter_map(|p| Some((p.front.as_ref()?, p.owner.is_front())))
            .collect();
        let many = services.len() > FEW;
        let (consul, dc) = (sources.keeper.clone(), sources.kv_datacenter.clone());
        let known = Arc::new(Mutex::new(Read::new(names)));
        let read = move |wait| {
            let (consul, dc, known) = (consul.clone(), dc.clone(), known.clone());
            async move {
                let query = KvQuery {
                    dc: dc.as_deref(),
                    wait,
                    ..KvQuery::default()
                };
                let last = known.lock().await.last();
                let found = consul.kv_news(keys::ROOT, query, last).await?;
                let mut known = known.lock().await;
                Ok(found.map(|news| known.all(news)))
            }
        };
        let asking = if many { Asking::AT_EASE } else { Asking::OFTEN };
        let keys = Watch::start(read, |_| (), sources.clock, asking);
        let mut watches = Watches {
            fronts: Vec::new(),
            crowds: BTreeMap::new(),
            keys,
        };
        for gateway in &sources.gateways {
            watches.meet((sources, names), gateway, &services, many);
        }
        watches
    }

    /// Begins with one gateway's entries of all services.
    fn meet(
        &mut self,
        (sources, names): (&Sources, &Names),
        gateway: &Gateway,
        services: &[(&ServiceName, bool)],
        many: bool,
    ) {
        let agent = Arc::new(OnceCell::new());
        let mut all = Vec::new();
        self.fronts.reserve_exact(services.len());
        for (service, own) in services {
            let entries = if many {
                let (feed, entries) = Watch::fed();
                all.push(one(sources, service, *own, feed));
                entries
            } else {
                let read = entries(gateway, names, agent.clone(), (*service).clone(), *own);
                let news = serving(sources);
                Watch::start(read, news, sources.clock, Asking::OFTEN)
            };
            let entries = Arc::new(entries);
            let (name, count) = ((*service).clone(), services.len());
            let sample = |dns| Sample::start(dns, name, entries.clone(), count, sources.clock);
            let dns = gateway.dns.clone().map(sample);
            self.fronts.push(WatchedFront {
                gateway: gateway.id.clone(),
                service: (*service).clone(),
                own: *own,
                entries,
                dns,
            });
        }
        if many {
            let ailing = crowd::ailing(&gateway.consul, &agent, sources.clock);
            let (of, names) = (gateway.clone(), names.clone());
            let read = move |one: &One| {
                let read = entries(&of, &names, agent.clone(), one.service.clone(), one.own);
                async move { Ok(read(None).await?.value) }
            };
            let about = (gateway.id.clone(), ailing);
            let crowd = Crowd::start(about, all, &self.keys, read, sources.clock);
            self.crowds.insert(gateway.id.clone(), crowd);
        }
    }

    /// All fronts of the policies, as each gateway has them and clients there see them, with target and reports.
    pub async fn fronts(&self) -> BTreeMap<ServiceName, Front> {
        let heard = self.crowds.iter();
        let heard = heard.map(|(gateway, crowd)| async move { (gateway, crowd.heard().await) });
        let heard: BTreeMap<&GatewayId, Seen<()>> = join_all(heard).await.into_iter().collect();
        let reads = self.fronts.iter().map(|w| {
            let heard = heard.get(&w.gateway);
            async move {
                let dns = async {
                    match &w.dns {
                        Some(sample) => Some(sample.seen().await),
                        None => None,
                    }
                };
                let (entries, dns) = futures::join!(w.entries.seen(), dns);
                let entries = match heard {
                    Some(heard) => as_of(entries, heard, w.own && w.entries.settled()),
                    None => entries,
                };
                (w, entries.map(SharedList::from), dns)
            }
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

/// A reading that would have changed if anything had been told of it, as of when its agent was last heard; unknown while it is not.
fn as_of<T>(reading: Seen<T>, heard: &Seen<()>, settled: bool) -> Seen<T> {
    match (reading, heard) {
        (_, Seen::Unknown { why }) => Seen::unknown(why.clone()),
        (Seen::Known { value, at }, Seen::Known { at: heard, .. }) if settled => {
            Seen::known(value, at.max(*heard))
        }
        (reading, _) => reading,
    }
}

/// Reads the gateway's own entries of a front, in the eyes of its datacenter. Where others may own the weights: the entries of the
/// whole datacenter that Nomad made, and external ones of ours.
fn entries(
    gateway: &Gateway,
    names: &Names,
    agent: Arc<OnceCell<String>>,
    service: ServiceName,
    own: bool,
) -> impl Fn(Option<Wait>) -> Later<'static, Result<Indexed<Vec<FrontEntry>>, HttpError>> + Send + use<>
{
    let (consul, names) = (gateway.consul.clone(), names.clone());
    move |wait| {
        let (consul, service, agent) = (consul.clone(), service.clone(), agent.clone());
        let names = names.clone();
        Box::pin(async move {
            let agent = agent_name(&consul, &agent).await?;
            let query = HealthQuery {
                wait,
                ..HealthQuery::default()
            };
            let found = consul.health_service(service.as_str(), query).await?;
            Ok(found.map(|list| {
                let of_agent = list.iter().filter(|e| e.node.node == agent);
                let ours = of_agent.filter_map(|e| entry(e, &names));
                let others = list.iter().filter(|_| !own);
                let others = others.filter_map(|e| of_others(e, &names));
                let mut all: Vec<FrontEntry> = ours.chain(others).collect();
                all.shrink_to_fit();
                all
            }))
        })
    }
}

/// Has the wheel look when one of them stops serving.
fn serving(sources: &Sources) -> impl Fn(&Vec<FrontEntry>) + Send + use<> {
    let wake = sources.wake.clone();
    let serving = AtomicUsize::new(0);
    move |entries| {
        let now = entries.iter().filter(|e| e.serves()).count();
        if now < serving.swap(now, Ordering::Relaxed)
            && let Some(wake) = &wake
        {
            // A full channel has the wheel turning already.
            let _ = wake.try_send(());
        }
    }
}

fn one(sources: &Sources, service: &ServiceName, own: bool, feed: Feed<Vec<FrontEntry>>) -> One {
    One {
        service: service.clone(),
        own,
        feed,
        news: Box::new(serving(sources)),
    }
}

/// An entry of ours; others behind the same name are none of our business.
pub fn entry(e: &ServiceEntry, names: &Names) -> Option<FrontEntry> {
    let alloc = e.service.meta.get(META_ALLOC)?;
    Some(FrontEntry {
        agent_alive: e.agent_alive().unwrap_or(false),
        ..read(e, alloc, names)
    })
}

/// An entry that Nomad made at any agent, or an external one of ours, which no agent stands for.
pub fn of_others(e: &ServiceEntry, names: &Names) -> Option<FrontEntry> {
    if let Some(alloc) = alloc_of_entry(&e.service.id) {
        let alive = e.agent_alive().unwrap_or(false);
        return Some(FrontEntry {
            agent_alive: alive,
            ..read(e, alloc, names)
        });
    }
    let external = e.agent_alive().is_none() && e.node.node == e.service.id;
    let alloc = e.service.meta.get(META_ALLOC).filter(|_| external)?;
    Some(read(e, alloc, names))
}

/// Without what the entry's agent is like.
fn read(e: &ServiceEntry, alloc: &str, names: &Names) -> FrontEntry {
    let own = || {
        e.checks
            .iter()
            .filter(|c| !c.is_maintenance() && !c.service_id.is_empty())
    };
    FrontEntry {
        instance: AllocId(names.of(alloc)),
        address: names.of(e.address()),
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

/// Puts targets and reports to the fronts they speak of.
fn place(fronts: &mut BTreeMap<ServiceName, Front>, keys: &Seen<Arc<Keys>>) {
    for (service, front) in fronts.iter_mut() {
        front.target = Some(match keys {
            Seen::Known { value, at } => match &value.targets {
                Ok(targets) => Seen::known(targets.get(service).map(|t| (**t).clone()), *at),
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
