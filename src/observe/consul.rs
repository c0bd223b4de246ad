//! What Consul says of fronts: entries at each gateway, SRV records as clients get them, targets and what was applied.

use super::{Sources, seen};
use crate::clients::consul::{HealthQuery, KvPair, KvQuery, ServiceEntry};
use crate::clients::gateway::Gateway;
use crate::model::*;
use futures::future::join_all;
use std::collections::BTreeMap;

/// Meta key on entries of ours: the allocation behind it.
pub const META_ALLOC: &str = "foreshadow_alloc";

/// All fronts of the policies, as each gateway has them. `agents` keeps the gateways' node names.
pub async fn fronts(
    sources: &Sources,
    agents: &mut BTreeMap<GatewayId, String>,
    now: Moment,
) -> BTreeMap<ServiceName, Front> {
    let services: Vec<&ServiceName> = sources
        .policies
        .iter()
        .flat_map(|p| &p.portions)
        .filter_map(|p| p.front.as_ref())
        .collect();
    let mut fronts: BTreeMap<ServiceName, Front> = services
        .iter()
        .map(|s| ((*s).clone(), Front::default()))
        .collect();
    names(sources, agents).await;
    let agents = &*agents;
    let reads = sources
        .gateways
        .iter()
        .flat_map(|g| services.iter().map(move |s| (g, *s)));
    let read = join_all(reads.map(|(g, s)| async move {
        let (entries, dns) = futures::join!(entries(g, agents.get(&g.id), s, now), dns(g, s, now));
        (g.id.clone(), s.clone(), entries, dns)
    }))
    .await;
    for (gateway, service, entries, dns) in read {
        let front = fronts.entry(service).or_default();
        front.entries.insert(gateway.clone(), entries);
        if let Some(dns) = dns {
            front.dns.insert(gateway, dns);
        }
    }
    fronts
}

/// Names of the gateways' agents; one that does not answer is asked again at the next look.
async fn names(sources: &Sources, agents: &mut BTreeMap<GatewayId, String>) {
    let unknown = sources
        .gateways
        .iter()
        .filter(|g| !agents.contains_key(&g.id));
    let found =
        join_all(unknown.map(|g| async { (g.id.clone(), g.consul.agent_self().await) })).await;
    for (id, agent) in found {
        if let Ok(agent) = agent {
            agents.insert(id, agent.node_name().to_string());
        }
    }
}

/// The gateway's own entries of a front, in the eyes of its datacenter.
async fn entries(
    gateway: &Gateway,
    agent: Option<&String>,
    service: &ServiceName,
    now: Moment,
) -> Seen<Vec<FrontEntry>> {
    let Some(agent) = agent else {
        return Seen::unknown(format!(
            "the Consul agent of gateway {} has not said its name yet",
            gateway.id
        ));
    };
    let reply = gateway
        .consul
        .health_service(service.as_str(), HealthQuery::default())
        .await;
    seen(reply, now).map(|list| {
        list.value
            .iter()
            .filter(|e| &e.node.node == agent)
            .filter_map(entry)
            .collect()
    })
}

/// An entry of ours; others behind the same name are none of our business.
fn entry(e: &ServiceEntry) -> Option<FrontEntry> {
    let own = || {
        e.checks
            .iter()
            .filter(|c| !c.is_maintenance() && !c.service_id.is_empty())
    };
    Some(FrontEntry {
        instance: AllocId::new(e.service.meta.get(META_ALLOC)?.as_str()),
        address: e.address().to_string(),
        port: e.service.port,
        weight: u32::from(e.service.weights.passing),
        passing: own().all(|c| c.status == "passing"),
        checked: own().all(|c| c.status == "passing" || !c.output.is_empty()),
        maintenance: e.in_maintenance(),
        agent_alive: e.agent_alive().unwrap_or(false),
    })
}

async fn dns(gateway: &Gateway, service: &ServiceName, now: Moment) -> Option<Seen<Vec<SrvSeen>>> {
    let dns = gateway.dns.as_ref()?;
    Some(match dns.srv(&format!("{service}.service.consul.")).await {
        Err(e) => Seen::unknown(e.to_string()),
        Ok(records) => Seen::known(
            records
                .into_iter()
                .map(|r| SrvSeen {
                    address: r.ip.map(|ip| ip.to_string()).unwrap_or(r.target),
                    port: r.port,
                    weight: u32::from(r.weight),
                })
                .collect(),
            now,
        ),
    })
}

/// What stands under `foreshadow/`.
pub struct Keys {
    pub hold: Seen<bool>,
    pub leadership: Seen<Leadership>,
    pub targets: Seen<BTreeMap<ServiceName, Target>>,
    pub applied: Seen<BTreeMap<(GatewayId, ServiceName), Applied>>,
}

pub async fn keys(sources: &Sources, now: Moment) -> Keys {
    let query = KvQuery {
        dc: sources.kv_datacenter.as_deref(),
        ..KvQuery::default()
    };
    let pairs = match sources.keeper.kv_list(keys::ROOT, query).await {
        Ok(found) => found.value,
        Err(e) => {
            let why = e.to_string();
            return Keys {
                hold: Seen::unknown(why.clone()),
                leadership: Seen::unknown(why.clone()),
                targets: Seen::unknown(why.clone()),
                applied: Seen::unknown(why),
            };
        }
    };
    Keys {
        hold: Seen::known(
            pairs
                .iter()
                .any(|p| p.key == keys::HOLD && p.value != b"off"),
            now,
        ),
        leadership: Seen::known(leadership(&pairs), now),
        targets: targets(&pairs, now),
        applied: Seen::known(applied(&pairs), now),
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
fn targets(pairs: &[KvPair], now: Moment) -> Seen<BTreeMap<ServiceName, Target>> {
    let mut found = BTreeMap::new();
    for pair in pairs.iter().filter(|p| p.key.starts_with(keys::TARGETS)) {
        match target(pair) {
            Ok(target) => found.insert(target.service.clone(), target),
            Err(e) => {
                return Seen::unknown(format!(
                    "{} in Consul's KV is not a target of this version: {e}",
                    pair.key
                ));
            }
        };
    }
    Seen::known(found, now)
}

fn target(pair: &KvPair) -> serde_json::Result<Target> {
    let mut target: Target = serde_json::from_slice(&pair.value)?;
    target.index = pair.modify_index;
    Ok(target)
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
pub fn place(
    world: &mut World,
    targets: Seen<BTreeMap<ServiceName, Target>>,
    applied: Seen<BTreeMap<(GatewayId, ServiceName), Applied>>,
) {
    for (service, front) in &mut world.fronts {
        front.target = Some(match &targets {
            Seen::Known { value, at } => Seen::known(value.get(service).cloned(), *at),
            Seen::Unknown { why } => Seen::unknown(why.clone()),
        });
        if let Seen::Known { value, at } = &applied {
            for ((gateway, of), report) in value {
                if of == service {
                    front
                        .applied
                        .insert(gateway.clone(), Seen::known(report.clone(), *at));
                }
            }
        }
    }
}
