//! What may fail in all of the estate, told once for all workloads that look as far ahead, and found by site.

use super::events;
use super::hazard::{Subject, Watch, hazards};
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Hazards of everything that is seen.
#[derive(Clone, Debug, Default)]
pub struct Dangers {
    all: Vec<Arc<Hazard>>,
    /// Which of them are a site's own or its nodes', by number.
    at: BTreeMap<Site, Vec<usize>>,
    links: Vec<usize>,
    /// Nodes of each site that has any.
    nodes: BTreeMap<Site, usize>,
}

impl Dangers {
    /// Of the nodes that are seen, of their sites and of the links between those; none while the nodes are unknown.
    pub fn of(history: &History, world: &World, policy: &Policy, now: Moment) -> Dangers {
        let mut dangers = Dangers {
            all: told(history, world, policy, now),
            ..Dangers::default()
        };
        for node in world.nodes.value().into_iter().flatten() {
            match dangers.nodes.get_mut(&node.site) {
                Some(count) => *count += 1,
                None => drop(dangers.nodes.insert(node.site.clone(), 1)),
            }
        }
        for (k, hazard) in dangers.all.iter().enumerate() {
            let site = match &hazard.domain {
                Domain::Node(n) => world.site_of(n),
                Domain::Site(s) => Some(s),
                Domain::Link(..) => {
                    dangers.links.push(k);
                    None
                }
            };
            if let Some(site) = site {
                dangers.at.entry(site.clone()).or_default().push(k);
            }
        }
        dangers
    }

    /// Those that may concern the policy, in their order: of what carries it, of the sites where it may run, and of the links there.
    pub(super) fn concerning(
        &self,
        world: &World,
        policy: &Policy,
        carrying: &BTreeSet<&NodeId>,
    ) -> Vec<Arc<Hazard>> {
        // A policy without sites is about all of them.
        if policy.sites.is_empty() {
            return self.all.clone();
        }
        let allowed = policy.sites.iter();
        let carry = carrying.iter().filter_map(|n| world.site_of(n));
        let gates = world.gateways.values();
        let sites: BTreeSet<&Site> = allowed.chain(carry).chain(gates).collect();
        let inside = |k: &&usize| match &self.all[**k].domain {
            Domain::Link(a, b) => sites.contains(a) && sites.contains(b),
            _ => true,
        };
        let there = sites.iter().filter_map(|s| self.at.get(*s)).flatten();
        let found: BTreeSet<usize> = there
            .chain(self.links.iter().filter(inside))
            .copied()
            .collect();
        found.into_iter().map(|k| self.all[k].clone()).collect()
    }

    /// The part of the estate that goes with it, 0 to 1.
    pub(super) fn part(&self, domain: &Domain) -> f64 {
        let all = self.nodes.values().sum::<usize>().max(1) as f64;
        let ends = self.nodes.len();
        match domain {
            Domain::Node(_) => 1.0 / all,
            Domain::Site(site) => self.nodes.get(site).copied().unwrap_or(0) as f64 / all,
            Domain::Link(..) => 1.0 / (ends * ends.saturating_sub(1) / 2).max(1) as f64,
        }
    }
}

fn told(history: &History, world: &World, policy: &Policy, now: Moment) -> Vec<Arc<Hazard>> {
    let Some(nodes) = world.nodes.value() else {
        return Vec::new();
    };
    let nodes: Vec<&Node> = nodes.iter().collect();
    let watch = Watch {
        since: history.watched_since,
        now,
        season: policy.season,
        horizon: policy.horizon,
    };
    let happened = events::unplanned(&history.availability, policy, &nodes);
    let mut out = hazards(&subjects(&nodes, world), &happened, &watch);
    // A drain is no chance: what is drained goes.
    let drained: BTreeSet<&NodeId> = nodes.iter().filter(|n| n.draining).map(|n| &n.id).collect();
    for hazard in &mut out {
        if matches!(&hazard.domain, Domain::Node(n) if drained.contains(n)) {
            hazard.within = Probability(1.0);
            hazard.why = format!("being drained; {}", hazard.why);
        }
    }
    events::maintain(&mut out, policy, now);
    let mut told: Vec<Arc<Hazard>> = out.into_iter().map(Arc::new).collect();
    // Collected in place, it has the room of what was pointed to.
    told.shrink_to_fit();
    told
}

/// Every node, every site, and every link from a gateway's site, where clients are, to another site.
fn subjects(nodes: &[&Node], world: &World) -> Vec<Subject> {
    let sites: BTreeSet<&Site> = nodes.iter().map(|n| &n.site).collect();
    let mut subjects: Vec<Subject> = nodes
        .iter()
        .map(|n| Subject {
            domain: Domain::Node(n.id.clone()),
            name: n.name.to_string(),
            class: n.class.to_string(),
            site: n.site.to_string(),
        })
        .collect();
    subjects.extend(sites.iter().map(|s| Subject {
        name: s.to_string(),
        class: String::new(),
        site: s.to_string(),
        domain: Domain::Site((*s).clone()),
    }));
    let gates: BTreeSet<&Site> = world.gateways.values().collect();
    let ways: BTreeSet<(&Site, &Site)> = gates
        .iter()
        .flat_map(|a| sites.iter().map(|b| (*(a.min(b)), *(a.max(b)))))
        .filter(|(a, b)| a != b)
        .collect();
    subjects.extend(ways.into_iter().map(|(a, b)| Subject::link(a, b)));
    subjects
}
