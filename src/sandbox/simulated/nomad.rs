//! The cluster's own scheduler: placements, heartbeats, lost allocations, drains and new releases.

use super::world::{Event, Kind, Unit, World};
use crate::model::*;
use rand::Rng;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A node is down for Nomad once it was not heard for so long, by its own heartbeat's phase.
const SILENT: (i64, i64) = (10_000, 20_000);
/// From an evaluation to an allocation on its node.
const EVALUATION: (i64, i64) = (80, 400);
/// What is told to stop ends its requests first.
const KILL_TIMEOUT: i64 = 5_000;

/// Where a job of foreshadow's own is bound to.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub part: usize,
    pub kind: Kind,
    pub node: usize,
    pub needs: Resources,
    pub count: usize,
}

impl World {
    /// What is free on a node by Nomad's books.
    pub(super) fn free(&self, node: usize) -> Resources {
        let held = self.units.values().filter(|u| u.node == node && u.holds());
        held.fold(self.spec.nodes[node].capacity, |free, u| {
            free.minus(u.needs)
        })
    }

    pub(super) fn usable(&self, node: usize) -> bool {
        self.nodes
            .get(&self.spec.nodes[node].id)
            .is_some_and(Node::usable)
    }

    /// Primaries of a portion as Nomad counts them; what is about to be replaced is counted by its successor.
    pub(super) fn primaries(&self, part: usize) -> Vec<u64> {
        let counts = |n: &u64, u: &Unit| {
            u.part == part
                && u.kind == Kind::Primary
                && u.holds()
                && !self.successors.values().any(|old| old == n)
        };
        let all = self.units.iter().filter(|(n, u)| counts(n, u));
        all.map(|(n, _)| *n).collect()
    }

    /// Places what is missing, stops what is too much: the youngest first, where most stand.
    pub(super) fn evaluate(&mut self, part: usize) {
        let have = self.primaries(part);
        let wanted = self.wanted[part] as usize;
        self.blocked.remove(&part);
        for _ in have.len()..wanted {
            match self.choose(part) {
                Some(node) => {
                    let (job, needs) = self.own(part);
                    self.start(part, Kind::Primary, job, node, needs);
                }
                None => {
                    self.blocked.insert(part);
                    return;
                }
            }
        }
        for serial in have.iter().rev().take(have.len().saturating_sub(wanted)) {
            self.stop(*serial);
        }
    }

    fn own(&self, part: usize) -> (JobId, Resources) {
        let spec = &self.spec.parts[part];
        (spec.policy.job.clone(), spec.needs)
    }

    /// The node with the fewest of the portion, at the site with the fewest of it, with the most room.
    pub(super) fn choose(&self, part: usize) -> Option<usize> {
        let spec = &self.spec.parts[part];
        let fits = |n: &usize| {
            let node = &self.spec.nodes[*n];
            self.usable(*n)
                && !self.shunned.contains(n)
                && spec.sites.contains(&node.site)
                && spec.volumes.is_subset(&node.host_volumes)
                && self.free(*n).times_fits(&spec.needs, false) > 0
        };
        let of = |holds: &dyn Fn(&Unit) -> bool| {
            let all = self.units.values().filter(|u| u.part == part && u.holds());
            all.filter(|u| holds(u)).count()
        };
        let rank = |n: &usize| {
            let site = &self.spec.nodes[*n].site;
            let here = of(&|u| u.node == *n);
            let there = of(&|u| &self.spec.nodes[u.node].site == site);
            let room = -(self.free(*n).cpu.0 as i64);
            (there, here, room, *n)
        };
        (0..self.spec.nodes.len()).filter(fits).min_by_key(rank)
    }

    pub(super) fn start(
        &mut self,
        part: usize,
        kind: Kind,
        job: JobId,
        node: usize,
        needs: Resources,
    ) -> u64 {
        self.serial += 1;
        let serial = self.serial;
        let id = AllocId::new(format!("{serial:08x}-5eed-4000-8000-{node:012x}"));
        let mean = self.spec.parts[part].startup;
        let wait = self.draw(EVALUATION.0, EVALUATION.1)
            + (mean * 1000.0 * self.dice.random_range(0.8..1.25)) as i64;
        let unit = Unit {
            id,
            part,
            job,
            kind,
            node,
            created: self.now,
            up: false,
            answered_at: None,
            dead: false,
            leaving: false,
            given_up: false,
            needs,
            port: 20_000 + (serial % 12_000) as u16,
            backlog: 0.0,
            carries: 0.0,
        };
        self.units.insert(serial, unit);
        self.row(serial);
        self.after(wait, Event::Up(serial));
        serial
    }

    /// A unit that has been there since long before the first moment.
    pub(super) fn was_there(&mut self, serial: u64) {
        let now = self.now;
        if let Some(unit) = self.units.get_mut(&serial) {
            unit.created = now - Span::secs(3_600);
        }
        self.up(serial);
    }

    pub(super) fn up(&mut self, serial: u64) {
        let Some(unit) = self.units.get_mut(&serial) else {
            return;
        };
        if unit.dead || unit.leaving || unit.up || !self.stands[unit.node] {
            return;
        }
        unit.up = true;
        unit.answered_at = Some(self.now);
        let part = unit.part;
        self.row(serial);
        self.register(serial);
        self.recheck(serial, 0);
        if let Some(old) = self.successors.remove(&serial) {
            self.stop(old);
            self.renew(part);
        }
    }

    pub(super) fn stop(&mut self, serial: u64) {
        let Some(unit) = self.units.get_mut(&serial) else {
            return;
        };
        unit.leaving = true;
        let part = unit.part;
        self.row(serial);
        self.deregister(serial, part);
        self.after(KILL_TIMEOUT, Event::Gone(serial));
    }

    pub(super) fn gone(&mut self, serial: u64) {
        if let Some(unit) = self.units.get_mut(&serial) {
            unit.dead = true;
            let part = unit.part;
            self.recheck(serial, 0);
            self.deregister(serial, part);
        }
        // Gateways still ask after it: the row stays until nobody does.
        let known = |n: u64| {
            self.gateways
                .iter()
                .flat_map(|g| &g.fronts)
                .any(|f| f.entries.contains_key(&n))
        };
        let past: Vec<u64> = self
            .units
            .iter()
            .filter(|(n, u)| u.dead && !known(**n))
            .map(|(n, _)| *n)
            .collect();
        past.iter().for_each(|n| {
            self.units.remove(n);
        });
    }

    /// What Nomad says of the unit.
    pub(super) fn row(&mut self, serial: u64) {
        let Some(unit) = self.units.get(&serial) else {
            return;
        };
        if !unit.holds() {
            let id = unit.id.clone();
            return self.allocs.remove(&id);
        }
        let part = &self.spec.parts[unit.part];
        let node = &self.spec.nodes[unit.node];
        let status = if unit.up {
            AllocStatus::Running
        } else {
            AllocStatus::Pending
        };
        self.allocs.put(Alloc {
            id: unit.id.clone(),
            job: unit.job.clone(),
            group: part.group.clone(),
            node: node.id.clone(),
            node_name: node.name.clone(),
            status,
            desired_run: true,
            resources: unit.needs,
            ports: [(part.policy.port.as_str().into(), address(unit))]
                .into_iter()
                .collect(),
            created: unit.created,
        });
    }

    /// The number of primaries wanted of a portion.
    pub fn scale(&mut self, part: usize, count: u64) {
        if self.wanted[part] != count {
            self.wanted[part] = count;
            let wait = self.draw(EVALUATION.0, EVALUATION.1);
            self.after(wait, Event::Evaluate(part));
        }
    }

    /// Primaries wanted of a portion.
    pub fn count(&self, part: usize) -> u64 {
        self.wanted[part]
    }

    /// Those of them that stand on these nodes.
    pub fn count_on(&self, part: usize, nodes: &BTreeSet<usize>) -> u64 {
        let all = self.primaries(part).into_iter();
        all.filter(|n| self.units.get(n).is_some_and(|u| nodes.contains(&u.node)))
            .count() as u64
    }

    /// Nothing new is placed on these nodes.
    pub fn shun(&mut self, nodes: &BTreeSet<usize>) {
        self.shunned.clone_from(nodes);
    }

    /// Primaries on the node are told to stop.
    pub fn leave(&mut self, node: usize) {
        let of = |u: &Unit| u.node == node && u.kind == Kind::Primary && u.holds();
        let on: Vec<(u64, usize)> = self
            .units
            .iter()
            .filter(|(_, u)| of(u))
            .map(|(n, u)| (*n, u.part))
            .collect();
        for (serial, part) in on {
            self.wanted[part] = self.wanted[part].saturating_sub(1).max(1);
            self.stop(serial);
        }
    }

    pub(super) fn set_node(&mut self, node: usize, change: impl FnOnce(&mut Node)) {
        if let Some(row) = self.nodes.get(&self.spec.nodes[node].id) {
            let mut row = row.clone();
            change(&mut row);
            self.nodes.put(row);
        }
    }

    /// Nomad's servers, at the first edge site, hear the node.
    fn heard(&self, node: usize) -> bool {
        let (site, home) = (&self.spec.nodes[node].site, &self.spec.edges[0]);
        let apart = site != home && (self.cut.contains(site) || self.cut.contains(home));
        self.stands[node] && !apart
    }

    /// After a change: when Nomad will know.
    pub(super) fn await_heartbeat(&mut self, node: usize) {
        let wait = match self.heard(node) {
            true => self.draw(500, 3_000),
            false => self.draw(SILENT.0, SILENT.1),
        };
        self.after(wait, Event::Heartbeat(node));
    }

    pub(super) fn heartbeat(&mut self, node: usize) {
        let heard = self.heard(node);
        let status = if heard {
            NodeStatus::Ready
        } else {
            NodeStatus::Down
        };
        let was = self.nodes.get(&self.spec.nodes[node].id).map(|n| n.status);
        if was == Some(status) {
            return;
        }
        self.set_node(node, |n| n.status = status);
        self.woken = true;
        let on: Vec<u64> = self
            .units
            .iter()
            .filter(|(_, u)| u.node == node)
            .map(|(n, _)| *n)
            .collect();
        for serial in on {
            let Some(unit) = self.units.get_mut(&serial) else {
                continue;
            };
            if heard && unit.given_up && !unit.dead {
                // It ran on while nobody heard of it; its place has been filled.
                self.stop(serial);
            } else if !heard && !unit.dead {
                unit.given_up = true;
                self.row(serial);
            }
            if self.units.get(&serial).is_some_and(|u| u.dead) {
                self.row(serial);
                self.gone(serial);
            }
        }
        (0..self.spec.parts.len()).for_each(|part| self.evaluate(part));
        self.rebind(node);
    }

    /// Jobs that are bound to a node come back with it.
    pub(super) fn rebind(&mut self, node: usize) {
        if !self.usable(node) {
            return;
        }
        let due: Vec<(JobId, Bound)> = self
            .bound
            .iter()
            .filter(|(_, b)| b.node == node && b.kind == Kind::Standby)
            .map(|(j, b)| (j.clone(), b.clone()))
            .collect();
        for (job, bound) in due {
            let have = self
                .units
                .values()
                .filter(|u| u.job == job && u.holds())
                .count();
            for _ in have..bound.count {
                if self.free(node).times_fits(&bound.needs, false) > 0 {
                    self.start(bound.part, bound.kind, job.clone(), node, bound.needs);
                }
            }
        }
    }

    /// Everything on the node dies with it.
    pub(super) fn crash(&mut self, node: usize) {
        self.stands[node] = false;
        let on: Vec<u64> = self
            .units
            .iter()
            .filter(|(_, u)| u.node == node && !u.dead)
            .map(|(n, _)| *n)
            .collect();
        for serial in on {
            self.falls(serial);
            if let Some(unit) = self.units.get_mut(&serial) {
                (unit.up, unit.dead, unit.backlog) = (false, true, 0.0);
            }
        }
        self.await_heartbeat(node);
    }

    pub(super) fn drain(&mut self, node: usize, on: bool) {
        self.set_node(node, |n| (n.eligible, n.draining) = (!on, on));
        if !on {
            (0..self.spec.parts.len()).for_each(|part| self.evaluate(part));
            return self.rebind(node);
        }
        let there = self
            .units
            .iter()
            .filter(|(_, u)| u.node == node && u.holds());
        let there: Vec<(u64, usize, Kind)> = there.map(|(n, u)| (*n, u.part, u.kind)).collect();
        for (serial, part, kind) in there {
            match kind {
                Kind::Primary => self.replace(serial, part),
                Kind::Standby | Kind::Shadow => self.stop(serial),
            }
        }
    }

    /// A successor is started; the old one goes once that is up. Without room it goes at once, and Nomad waits.
    fn replace(&mut self, serial: u64, part: usize) {
        let (job, needs) = self.own(part);
        match self.choose(part) {
            Some(node) => {
                let new = self.start(part, Kind::Primary, job, node, needs);
                self.successors.insert(new, serial);
            }
            None => {
                self.stop(serial);
                let wait = self.draw(EVALUATION.0, EVALUATION.1);
                self.after(wait, Event::Evaluate(part));
            }
        }
    }

    /// A new release of every job; its primaries are replaced one after the other.
    pub(super) fn release(&mut self) {
        self.releases += 1;
        let release = format!("{}", self.releases);
        for id in self.spec.jobs.keys() {
            if let Some(job) = self.jobs.get_mut(id) {
                job.edit()["Meta"]["release"] = serde_json::json!(release);
            }
        }
        for part in 0..self.spec.parts.len() {
            self.old.extend(self.primaries(part));
            self.renew(part);
        }
    }

    /// The next primary of the old release.
    fn renew(&mut self, part: usize) {
        let busy = self
            .successors
            .values()
            .any(|n| self.units.get(n).is_some_and(|u| u.part == part));
        let units = &self.units;
        let next = self.old.iter().copied().find(|n| {
            units
                .get(n)
                .is_some_and(|u| u.part == part && u.holds() && u.kind == Kind::Primary)
        });
        if let Some(serial) = next.filter(|_| !busy) {
            self.old.remove(&serial);
            self.replace(serial, part);
        }
    }
}

/// Where the unit would be reached.
pub(super) fn address(unit: &Unit) -> (Arc<str>, u16) {
    (
        format!("127.9.{}.{}", unit.node / 250, unit.node % 250 + 1).into(),
        unit.port,
    )
}
