//! What checks say of the services that Nomad itself registered for instances, while a front has no entry of ours for them: who only
//! observes is to be told who is well. Nothing is decided by it: what acts goes by the entries alone.

use super::{Names, Sources};
use crate::clients::consul::{Consul, HealthQuery, ServiceEntry};
use crate::clients::http::HttpError;
use crate::model::*;
use futures::StreamExt;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

/// Fronts of which these are read at the same time.
const AT_ONCE: usize = 16;
/// None is read sooner than this after the last time, however often is looked.
const RESPITE: Span = Span::secs(5);
/// A look sees to as many fronts as this, of more to as many as the time since the last one is of a round.
const FEW: usize = 64;
const ROUND: Span = Span::secs(60);
/// A datacenter that does not answer in this time tells nothing.
const PATIENCE: Duration = Duration::from_millis(800);

#[derive(Default)]
pub struct Memory {
    known: BTreeMap<ServiceName, Origin>,
    /// The last look, and with which portion the next one begins.
    at: Option<Moment>,
    next: usize,
}

struct Origin {
    asked: Moment,
    passing: Seen<SharedList<AllocId>>,
}

/// Reads those whose turn it is.
pub async fn read(
    sources: &Sources,
    names: &Names,
    memory: &mut Memory,
    world: &World,
    now: Moment,
) {
    let portions = sources.policies.iter().flat_map(|p| &p.portions);
    let fronted: Vec<&PortionPolicy> = portions.filter(|p| p.front.is_some()).collect();
    let mut due = Vec::new();
    for portion in memory.turn(fronted.len(), now).map(|k| fronted[k]) {
        match wanted(portion, world) {
            Some(wish) if memory.rested(wish.0, now) => due.push(wish),
            Some(_) => {}
            None => memory.forget(portion),
        }
    }
    if due.is_empty() {
        return;
    }
    let consul = &sources.keeper;
    let datacenters = in_time(consul.datacenters()).await;
    let reads = due.into_iter().map(|(front, services)| {
        let datacenters = &datacenters;
        async move {
            let found = match datacenters {
                Ok(all) => entries(consul, &services, all).await,
                Err(why) => Err(why.clone()),
            };
            (front, found)
        }
    });
    let reads: Vec<_> = reads.collect();
    let mut done = futures::stream::iter(reads).buffer_unordered(AT_ONCE);
    while let Some((front, found)) = done.next().await {
        memory.note(front, found.map(|all| passing(&all, names)), now);
    }
}

impl Memory {
    /// The places, among so many portions, of those that this look sees to, round and round.
    fn turn(&mut self, all: usize, now: Moment) -> impl Iterator<Item = usize> + use<> {
        let since = self.at.replace(now).map_or(Span(0), |at| now.since(at));
        let part = (since.0 as f64 / ROUND.0 as f64).clamp(0.0, 1.0);
        let many = ((all as f64 * part).ceil() as usize).max(FEW).min(all);
        let first = self.next;
        self.next = (first + many) % all.max(1);
        (first..first + many).map(move |k| k % all)
    }

    fn rested(&self, front: &ServiceName, now: Moment) -> bool {
        let known = self.known.get(front);
        known.is_none_or(|o| now.since(o.asked) >= RESPITE)
    }

    fn forget(&mut self, portion: &PortionPolicy) {
        if let Some(front) = &portion.front {
            self.known.remove(front);
        }
    }

    /// What is as it was stays the same in memory.
    fn note(&mut self, front: &ServiceName, found: Result<Vec<AllocId>, String>, now: Moment) {
        let before = self.known.get(front).and_then(|o| o.passing.value());
        let passing = match found {
            Ok(found) => {
                let same = before.filter(|b| ***b == found).cloned();
                Seen::known(same.unwrap_or_else(|| found.into()), now)
            }
            Err(why) => Seen::unknown(why),
        };
        let asked = now;
        self.known.insert(front.clone(), Origin { asked, passing });
    }

    /// Puts what is known to the fronts.
    pub fn place(&self, fronts: &mut BTreeMap<ServiceName, Front>) {
        for (service, origin) in &self.known {
            if let Some(front) = fronts.get_mut(service) {
                front.origin = Some(origin.passing.clone());
            }
        }
    }
}

/// A front that has no entry of ours for some running instance, with the services that stand for its port.
fn wanted<'a>(
    portion: &'a PortionPolicy,
    world: &'a World,
) -> Option<(&'a ServiceName, Vec<&'a str>)> {
    let front = portion.front.as_ref()?;
    let entered = world.fronts.get(front)?.entered()?;
    let group = portion.groups.first()?;
    let mut runs = world.allocs.value()?.of(&portion.job);
    if !runs.any(|a| a.holds() && &a.group == group && !entered.contains(&a.id)) {
        return None;
    }
    let group = world.job(&portion.job)?.group(group)?;
    let services: Vec<&str> = behind(group, &portion.port).collect();
    (!services.is_empty()).then_some((front, services))
}

/// The services that Nomad registers with Consul for a port of a group.
fn behind<'a>(group: &'a Json, port: &str) -> impl Iterator<Item = &'a str> {
    let text = |s: &'a Json, key| s.get(key).and_then(Json::as_str);
    services_of(group)
        .filter(move |s| text(s, "PortLabel") == Some(port))
        .filter(move |s| text(s, "Provider") != Some("nomad"))
        .filter_map(move |s| text(s, "Name"))
}

/// The services' entries of all datacenters that answer; why none does.
async fn entries(
    consul: &Consul,
    services: &[&str],
    datacenters: &[String],
) -> Result<Vec<ServiceEntry>, String> {
    let places = services
        .iter()
        .flat_map(|s| datacenters.iter().map(move |dc| (*s, dc.as_str())));
    let reads = places.map(|(service, dc)| {
        let query = HealthQuery {
            dc: Some(dc),
            ..HealthQuery::default()
        };
        in_time(consul.health_service(service, query))
    });
    let mut all = Vec::new();
    let mut silent = None;
    let mut answered = false;
    for answer in join_all(reads).await {
        match answer {
            Ok(found) => {
                answered = true;
                all.extend(found.value);
            }
            Err(why) => silent = Some(why),
        }
    }
    match silent {
        Some(why) if !answered => Err(why),
        _ => Ok(all),
    }
}

/// Instances all of whose entries are given to clients, in the order of their IDs.
fn passing(entries: &[ServiceEntry], names: &Names) -> Vec<AllocId> {
    let mut well: BTreeMap<&str, bool> = BTreeMap::new();
    for entry in entries {
        if let Some(alloc) = alloc_of_entry(&entry.service.id) {
            let serves = !entry.checks.is_empty() && entry.is_passing() && !entry.in_maintenance();
            *well.entry(alloc).or_insert(true) &= serves;
        }
    }
    let well = well.into_iter().filter(|(_, well)| *well);
    let mut all: Vec<AllocId> = well.map(|(id, _)| AllocId(names.of(id))).collect();
    all.shrink_to_fit();
    all
}

async fn in_time<T>(read: impl Future<Output = Result<T, HttpError>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(answer) => answer.map_err(|e| e.to_string()),
        Err(_) => Err(format!("Consul does not answer within {PATIENCE:?}")),
    }
}

#[cfg(test)]
#[path = "origin_tests.rs"]
mod tests;
