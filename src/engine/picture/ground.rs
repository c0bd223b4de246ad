//! What is looked at for every node, site and portion of a view, gone through once.

use crate::engine::state::State;
use crate::engine::view::{NodeView, SiteView};
use crate::model::*;
use crate::planner::{Census, Copies, Role};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is reserved in Nomad's books, and what is really used, of each node and each site.
pub(super) struct Books<'a> {
    nodes: Vec<&'a Node>,
    by_node: FxHashMap<&'a NodeId, (Resources, Resources)>,
    by_site: BTreeMap<&'a Site, (Resources, Resources)>,
}

impl<'a> Books<'a> {
    pub(super) fn of(world: &'a World, census: &Census) -> Books<'a> {
        let mut books = Books {
            nodes: world.nodes.value().into_iter().flatten().collect(),
            by_node: FxHashMap::default(),
            by_site: BTreeMap::new(),
        };
        for node in &books.nodes {
            let reserved = census.held(&node.id);
            books
                .by_node
                .insert(&node.id, (reserved, Resources::default()));
            let sum = books.by_site.entry(&node.site).or_default();
            sum.0 = sum.0.plus(reserved);
        }
        // Both are in the order of the allocations' IDs.
        let mut used = world.usage.iter().peekable();
        for alloc in world.allocs.value().into_iter().flatten() {
            while used.next_if(|(id, _)| **id < alloc.id).is_some() {}
            let Some((_, usage)) = used.next_if(|(id, _)| **id == alloc.id) else {
                continue;
            };
            if let Some(usage) = usage.value().filter(|_| alloc.holds()) {
                books.uses(&alloc.node, usage, census);
            }
        }
        books
    }

    fn uses(&mut self, on: &NodeId, usage: &Usage, census: &Census) {
        let add = |sum: &mut (Resources, Resources)| {
            sum.1.cpu = sum.1.cpu + usage.cpu;
            sum.1.memory = sum.1.memory + usage.memory;
        };
        let site = census.node(on).map(|n| &n.site);
        self.by_node.get_mut(on).map(add);
        site.and_then(|s| self.by_site.get_mut(s)).map(add);
    }
}

/// Every domain's hazard, as the workload that looks furthest sees it, in the order in which they were first told.
pub(super) struct Dangers<'a> {
    told: Vec<&'a Arc<Hazard>>,
    at: FxHashMap<&'a Domain, usize>,
}

impl<'a> Dangers<'a> {
    pub(super) fn of(state: &'a State) -> Dangers<'a> {
        let mut dangers = Dangers {
            told: Vec::new(),
            at: FxHashMap::default(),
        };
        for hazard in state.workloads.iter().flat_map(|w| &w.outlook.hazards) {
            match dangers.at.get(&hazard.domain) {
                Some(k) if dangers.told[*k].within.0 < hazard.within.0 => dangers.told[*k] = hazard,
                Some(_) => {}
                None => {
                    dangers.at.insert(&hazard.domain, dangers.told.len());
                    dangers.told.push(hazard);
                }
            }
        }
        dangers
    }

    pub(super) fn all(&self) -> Vec<Arc<Hazard>> {
        self.told.iter().map(|h| Arc::clone(h)).collect()
    }

    fn of_domain(&self, domain: &Domain) -> Probability {
        let told = self.at.get(domain).map(|k| self.told[*k].within);
        told.unwrap_or(Probability(0.0))
    }
}

pub(super) fn sites(books: &Books, dangers: &Dangers) -> Vec<SiteView> {
    let mut by_site: BTreeMap<&Site, Vec<&Node>> = BTreeMap::new();
    for node in &books.nodes {
        by_site.entry(&node.site).or_default().push(node);
    }
    by_site
        .into_iter()
        .map(|(site, nodes)| {
            let (reserved, used) = books.by_site.get(site).copied().unwrap_or_default();
            let up = nodes
                .iter()
                .filter(|n| n.status == NodeStatus::Ready)
                .count();
            SiteView {
                site: site.clone(),
                kind: nodes[0].meta.get("kind").cloned().unwrap_or_default(),
                nodes_up: up,
                nodes: nodes.len(),
                capacity: nodes
                    .iter()
                    .map(|n| n.capacity)
                    .fold(Resources::default(), Resources::plus),
                reserved,
                used,
                hazard: dangers.of_domain(&Domain::Site(site.clone())),
                reachable: up > 0,
            }
        })
        .collect()
}

pub(super) fn nodes(
    books: &Books,
    dangers: &Dangers,
    copies: &BTreeMap<PortionId, Copies>,
) -> Vec<NodeView> {
    let mut on: FxHashMap<&NodeId, Vec<Arc<str>>> = FxHashMap::default();
    for (id, set) in copies {
        // One text for all of them.
        let mut standby: Option<Arc<str>> = None;
        for c in &*set.all {
            on.entry(c.node()).or_default().push(match c.role {
                Role::Primary => id.0.clone(),
                Role::Standby => {
                    let text = || format!("{id} (standby)").into();
                    standby.get_or_insert_with(text).clone()
                }
            });
        }
    }
    let view = |n: &&Node| {
        let (reserved, used) = books.by_node.get(&n.id).copied().unwrap_or_default();
        NodeView {
            id: n.id.clone(),
            name: n.name.clone(),
            site: n.site.clone(),
            class: n.class.clone(),
            status: n.status,
            eligible: n.eligible,
            capacity: n.capacity,
            reserved,
            used,
            hazard: dangers.of_domain(&Domain::Node(n.id.clone())),
            portions: on.remove(&n.id).unwrap_or_default(),
        }
    };
    books.nodes.iter().map(view).collect()
}

/// What shadows taught, by portion.
pub(super) struct Learnt<'a> {
    pub(super) profiles: BTreeMap<&'a PortionId, Vec<&'a Profile>>,
    pub(super) verdicts: BTreeMap<&'a PortionId, Vec<&'a Judged>>,
}

impl<'a> Learnt<'a> {
    pub(super) fn of(beliefs: &'a Beliefs) -> Learnt<'a> {
        let mut learnt = Learnt {
            profiles: BTreeMap::new(),
            verdicts: BTreeMap::new(),
        };
        for p in &beliefs.profiles {
            learnt.profiles.entry(&p.key.portion).or_default().push(p);
        }
        for v in &beliefs.verdicts {
            learnt.verdicts.entry(&v.key.portion).or_default().push(v);
        }
        learnt
    }
}
