//! Gateways and their clients: entries, checks, contingencies, DNS and its caches.

use super::world::{Event, Kind, World};
use crate::model::*;
use std::collections::BTreeMap;

/// Clients keep what they resolved for so long at most.
const TTL: i64 = 2_000;
/// Checks run so often, and wait so long for an answer that does not come.
const EVERY: i64 = 1_000;
const TIMEOUT: i64 = 1_000;
/// A write at an agent until DNS has it.
pub(super) const AGENT: i64 = 4;

/// How a gateway follows targets: the product's own pure functions.
#[derive(Clone, Copy)]
pub struct Keeping {
    /// Whether a target is newer than what was applied last.
    pub newer: fn(&Target, Option<(Epoch, u64)>) -> bool,
    /// What is prepared for when these fail.
    pub contingency: for<'a> fn(&'a Target, &[AllocId]) -> Option<&'a Contingency>,
    /// Whether what a contingency was applied for is over, and for how long it must have been.
    pub is_over: fn(&Target, &[AllocId]) -> bool,
    pub calm: Span,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// `None`: in maintenance.
    pub weight: Option<u32>,
    pub passing: bool,
    pub checked: bool,
    /// When it last passed.
    pub passed: Option<Moment>,
}

/// One portion's front at one gateway.
#[derive(Clone, Debug, Default)]
pub(super) struct Front {
    pub entries: BTreeMap<u64, Entry>,
    pub target: Option<Target>,
    pub contingency: Option<Domain>,
    /// Since when nobody fails any more whom the contingency was applied for.
    pub calm: Option<Moment>,
    pub report: Option<Applied>,
    /// The store's index went back since: what was applied before says nothing.
    pub began_anew: bool,
    /// What clients there have resolved: units and weights.
    pub cached: Vec<(u64, f64)>,
}

impl Front {
    /// What DNS answers.
    pub fn answer(&self) -> Vec<(u64, f64)> {
        let serving = self.entries.iter().filter(|(_, e)| e.passing);
        serving
            .filter_map(|(n, e)| Some((*n, f64::from(e.weight?))))
            .collect()
    }
}

pub(super) struct Gateway {
    pub id: GatewayId,
    pub site: Site,
    pub fronts: Vec<Front>,
}

impl World {
    pub(super) fn unit_of(&self, alloc: &AllocId) -> Option<u64> {
        // The serial stands at the beginning of the ID.
        let serial = u64::from_str_radix(alloc.as_str().get(..8)?, 16).ok()?;
        self.units
            .get(&serial)
            .filter(|u| &u.id == alloc)
            .map(|_| serial)
    }

    /// A check of the unit is due at every gateway that has it.
    pub(super) fn recheck(&mut self, serial: u64, late: i64) {
        let Some(part) = self.units.get(&serial).map(|u| u.part) else {
            return;
        };
        for gateway in 0..self.gateways.len() {
            if self.gateways[gateway].fronts[part]
                .entries
                .contains_key(&serial)
            {
                let wait = self.draw(1, EVERY) + late;
                self.after(wait, Event::Check(gateway, part, serial));
            }
        }
    }

    /// The same for a unit that no longer answers: its check has to run out of time.
    pub(super) fn falls(&mut self, serial: u64) {
        let seen = self
            .gateways
            .iter()
            .flat_map(|g| &g.fronts)
            .any(|f| f.cached.iter().any(|(n, _)| *n == serial));
        if seen {
            self.books.fell.insert(serial, self.now);
        }
        self.recheck(serial, TIMEOUT);
    }

    pub(super) fn check(&mut self, gateway: usize, part: usize, serial: u64) {
        let site = self.gateways[gateway].site.clone();
        let well = self
            .units
            .get(&serial)
            .is_some_and(|u| self.answers(u) && self.reaches(&site, u));
        let now = self.now;
        let Some(entry) = self.gateways[gateway].fronts[part].entries.get_mut(&serial) else {
            return;
        };
        let changed = entry.passing != well || !entry.checked;
        let fell = entry.passing && !well;
        (entry.passing, entry.checked) = (well, true);
        if well || fell {
            entry.passed = Some(now);
        }
        if !changed {
            return;
        }
        if fell {
            self.woken = true;
            self.gateways[gateway].fronts[part].calm = None;
            self.switch(gateway, part);
        } else if well && self.gateways[gateway].fronts[part].contingency.is_some() {
            self.gateways[gateway].fronts[part].calm = Some(now);
            self.after(self.keeping.calm.0, Event::Calm(gateway, part));
        }
        self.follow(gateway, part);
    }

    /// A check turned critical: what was prepared for that is done at once.
    fn switch(&mut self, gateway: usize, part: usize) {
        if self.plain || self.consul_away() {
            return;
        }
        let front = &self.gateways[gateway].fronts[part];
        let Some(target) = &front.target else {
            return;
        };
        let bad = self.failing(front, target);
        if self.blind(gateway) {
            return;
        }
        let Some(found) = (self.keeping.contingency)(target, &bad) else {
            return;
        };
        if front.contingency.as_ref() == Some(&found.domain) {
            return;
        }
        let (target, found) = (target.clone(), found.clone());
        self.apply(
            gateway,
            part,
            &target,
            &found.shares.to_map(),
            Some(found.domain.clone()),
        );
    }

    fn failing(&self, front: &Front, target: &Target) -> Vec<AllocId> {
        let fails = |i: &&Instance| {
            let entry = self.unit_of(&i.alloc).and_then(|n| front.entries.get(&n));
            entry.is_some_and(|e| e.checked && !e.passing)
        };
        let instances = target.instances.iter().filter(fails);
        instances.map(|i| i.alloc.clone()).collect()
    }

    /// Nobody has failed for a while: the target is in force again.
    pub(super) fn calm(&mut self, gateway: usize, part: usize) {
        let front = &self.gateways[gateway].fronts[part];
        let long = front
            .calm
            .is_some_and(|at| self.now.since(at) >= self.keeping.calm);
        let Some(target) = front.target.clone().filter(|_| long) else {
            return;
        };
        let over = (self.keeping.is_over)(&target, &self.failing(front, &target));
        if front.contingency.is_some() && over && !self.consul_away() {
            self.apply(gateway, part, &target, &target.shares(), None);
        }
    }

    /// More than half of the sites failing at once, seen from there: it is more likely the gateway that is cut off.
    fn blind(&self, gateway: usize) -> bool {
        let mut sites: BTreeMap<&Site, bool> = BTreeMap::new();
        for front in &self.gateways[gateway].fronts {
            for (n, entry) in &front.entries {
                if let Some(unit) = self.units.get(n) {
                    let bad = entry.checked && !entry.passing;
                    *sites.entry(&self.spec.nodes[unit.node].site).or_default() |= bad;
                }
            }
        }
        sites.values().filter(|bad| **bad).count() * 2 > sites.len()
    }

    /// The gateway's watch of the KV store has woken.
    pub(super) fn hear(&mut self, gateway: usize, part: usize) {
        if self.parted(gateway) {
            return;
        }
        let Some(target) = self.targets[part].clone() else {
            return;
        };
        let front = &self.gateways[gateway].fronts[part];
        let last = front
            .report
            .as_ref()
            .filter(|_| !front.began_anew)
            .map(|r| (r.epoch, r.index));
        if (self.keeping.newer)(&target, last) {
            let shares = target.shares();
            self.gateways[gateway].fronts[part].target = Some(target.clone());
            self.apply(gateway, part, &target, &shares, None);
        }
    }

    /// The store is at the first edge site: a gateway that is cut off from it hears nothing.
    pub(super) fn parted(&self, gateway: usize) -> bool {
        let site = &self.gateways[gateway].site;
        let home = &self.spec.edges[0];
        site != home && (self.cut.contains(site) || self.cut.contains(home))
    }

    fn apply(
        &mut self,
        gateway: usize,
        part: usize,
        target: &Target,
        shares: &BTreeMap<AllocId, Share>,
        contingency: Option<Domain>,
    ) {
        let weights = weights(shares);
        let mut added = Vec::new();
        let mut kept = Vec::new();
        for i in &target.instances {
            let Some(serial) = self.unit_of(&i.alloc) else {
                continue;
            };
            kept.push(serial);
            let entries = &mut self.gateways[gateway].fronts[part].entries;
            if !entries.contains_key(&serial) {
                added.push(serial);
            }
            entries.entry(serial).or_default().weight = weights.get(&i.alloc).copied();
        }
        let id = self.gateways[gateway].id.clone();
        let took = AGENT * (1 + target.instances.len() as i64);
        let front = &mut self.gateways[gateway].fronts[part];
        front.began_anew = false;
        front.entries.retain(|n, _| kept.contains(n));
        front.contingency = contingency.clone();
        front.calm = None;
        front.report = Some(Applied {
            gateway: id,
            service: target.service.clone(),
            plan: target.plan.clone(),
            epoch: target.epoch,
            owner: target.owner,
            index: target.index,
            weights,
            reaction: contingency.is_some().then_some(Span(took)),
            contingency,
            at: self.now,
            suspected: vec![],
        });
        for serial in added {
            let wait = self.draw(1, EVERY);
            self.after(wait, Event::Check(gateway, part, serial));
        }
        self.follow(gateway, part);
    }

    /// DNS answers otherwise from now on; clients notice when their caches run out.
    pub(super) fn follow(&mut self, gateway: usize, part: usize) {
        let wait = AGENT + self.draw(0, TTL);
        self.after(wait, Event::Resolve(gateway, part));
    }

    pub(super) fn resolve(&mut self, gateway: usize, part: usize) {
        let front = &mut self.gateways[gateway].fronts[part];
        front.cached = front.answer();
        let all = self.gateways.iter().map(|g| &g.fronts[part]);
        let seen: Vec<u64> = all.flat_map(|f| f.cached.iter().map(|c| c.0)).collect();
        let now = self.now;
        let units = &self.units;
        let books = &mut self.books;
        let gone: Vec<(u64, Moment)> = books
            .fell
            .iter()
            .filter(|(n, _)| !seen.contains(n))
            .filter(|(n, _)| units.get(n).is_none_or(|u| u.part == part))
            .map(|(n, at)| (*n, *at))
            .collect();
        for (n, at) in gone {
            books.fell.remove(&n);
            books.reactions.push(now.since(at).0 as f64);
        }
    }

    /// Where nobody keeps fronts, Nomad registers primaries as they start.
    pub(super) fn register(&mut self, serial: u64) {
        let Some(unit) = self.units.get(&serial) else {
            return;
        };
        if !self.plain || unit.kind != Kind::Primary {
            return;
        }
        let part = unit.part;
        for gateway in 0..self.gateways.len() {
            let entry = Entry {
                weight: Some(1),
                ..Entry::default()
            };
            self.gateways[gateway].fronts[part]
                .entries
                .insert(serial, entry);
        }
        self.recheck(serial, 0);
    }

    /// … and takes them out before they are told to stop.
    pub(super) fn deregister(&mut self, serial: u64, part: usize) {
        if !self.plain {
            return;
        }
        for gateway in 0..self.gateways.len() {
            let entries = &mut self.gateways[gateway].fronts[part].entries;
            if entries.remove(&serial).is_some() {
                self.follow(gateway, part);
            }
        }
    }
}
