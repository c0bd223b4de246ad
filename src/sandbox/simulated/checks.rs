//! What must hold of a world at any time, in the end, and of its journal: each breach is a sentence.

use super::world::World;
use crate::model::*;
use serde::Serialize;

/// Who was seen well so long ago may be taken for ready: a look and a write lie between.
const SEEN: Span = Span::secs(40);

/// A law that did not hold, when, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Broken {
    pub law: &'static str,
    pub at: Moment,
    pub text: String,
}

impl World {
    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }

    fn breaks(&mut self, law: &'static str, text: String) {
        let at = self.now;
        self.broken.push(Broken { law, at, text });
    }

    /// `anytime_`: every target that is written.
    pub(super) fn watch(
        &mut self,
        part: usize,
        target: &Target,
        before: Option<&Target>,
        planned: bool,
    ) {
        let service = &target.service;
        let sum: u32 = target.instances.iter().map(|i| i.share.0).sum();
        let had = before.map_or(0, |b| b.instances.iter().map(|i| i.share.0).sum());
        if sum != Share::ALL.0 && !(sum == 0 && had == 0) {
            self.breaks(
                "anytime_shares_sum",
                format!("{service} was given {sum} of 10000"),
            );
        }
        if target.epoch != self.epoch {
            let text = format!(
                "{service} of epoch {} under {}",
                target.epoch.0, self.epoch.0
            );
            self.breaks("anytime_one_epoch_writes", text);
        }
        let gains = target
            .instances
            .iter()
            .filter(|i| i.share > before.map_or(Share::NONE, |b| b.share_of(&i.alloc)));
        let gains: Vec<Instance> = gains.cloned().collect();
        for i in gains {
            if !self.was_seen_well(part, &i.alloc) {
                let text = format!(
                    "{} of {service} gets {} and was not seen passing",
                    i.alloc, i.share
                );
                self.breaks("anytime_nothing_to_what_is_not_ready", text);
            }
            let Some(unit) = self.unit_of(&i.alloc).and_then(|n| self.units.get(&n)) else {
                continue;
            };
            let slow = self.speed[unit.node] < 1.0 || !self.stands[unit.node];
            let spec = &self.spec.parts[part];
            let station = spec.station(unit.needs.cpu.0, self.spec.nodes[unit.node].clock.0);
            let gets = self.demand(self.now) * spec.times * i.share.fraction();
            if planned && !slow && gets > station.capacity() {
                let text = format!(
                    "{} of {service} would get {gets:.1} of {:.1}",
                    i.alloc,
                    station.capacity()
                );
                self.breaks("anytime_capacity_is_held", text);
            }
        }
    }

    fn was_seen_well(&self, part: usize, alloc: &AllocId) -> bool {
        let Some(serial) = self.unit_of(alloc) else {
            return false;
        };
        let entries = self
            .gateways
            .iter()
            .filter_map(|g| g.fronts[part].entries.get(&serial));
        let recent = |at: Moment| self.now.since(at) <= SEEN;
        entries
            .into_iter()
            .any(|e| e.passing || e.passed.is_some_and(recent))
    }

    /// `anytime_`: everything that is ended. What a gateway's clients have resolved they still call; of one behind a cut nobody can know.
    pub(super) fn watch_end(&mut self, serial: u64) {
        let Some(unit) = self.units.get(&serial).filter(|u| self.answers(u)) else {
            return;
        };
        let part = unit.part;
        let calls = |g: &usize| {
            let known = &self.gateways[*g].fronts[part].cached;
            !self.parted(*g)
                && known
                    .iter()
                    .any(|(n, weight)| *n == serial && *weight > 0.0)
        };
        if let Some(gateway) = (0..self.gateways.len()).find(calls) {
            let (who, id) = (&self.gateways[gateway].id, &unit.id);
            let text = format!("{id} is ended while clients of {who} call it");
            self.breaks("anytime_nothing_ends_that_clients_call", text);
        }
    }

    /// `eventually_`: some time after the last fault everything is as it should be.
    pub fn check_converged(&mut self) {
        for part in 0..self.spec.parts.len() {
            if self.spec.parts[part].policy.front.is_none() {
                continue;
            }
            let service = self.spec.parts[part].service.clone();
            let Some(target) = self.targets[part].clone() else {
                self.breaks(
                    "eventually_shares_are_written",
                    format!("{service} has no target"),
                );
                continue;
            };
            for i in target.instances.iter().filter(|i| i.share > Share::NONE) {
                let unit = self.unit_of(&i.alloc).and_then(|n| self.units.get(&n));
                if !unit.is_some_and(|u| u.holds() && self.answers(u)) {
                    let text = format!(
                        "{service} keeps {} for {}, which does not answer",
                        i.share, i.alloc
                    );
                    self.breaks("eventually_shares_are_on_what_answers", text);
                }
            }
            for g in 0..self.gateways.len() {
                let report = self.gateways[g].fronts[part].report.as_ref();
                if report.map(|r| r.index) != Some(target.index) {
                    let id = &self.gateways[g].id;
                    let text = format!(
                        "{id} applied {:?} of {service}, the target is {}",
                        report.map(|r| r.index),
                        target.index
                    );
                    self.breaks("eventually_gateways_follow", text);
                }
            }
        }
        let sore: Vec<(usize, f64)> = self
            .books
            .violations
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, s)| *s > 0.0)
            .collect();
        for (part, seconds) in sore {
            let text = format!(
                "{} broke its SLO for {seconds:.0} s",
                self.spec.parts[part].id
            );
            self.breaks("eventually_the_slo_is_kept", text);
        }
    }

    /// `finally_`: the journal explains every weight.
    pub fn check_explained(&mut self) {
        for part in 0..self.spec.parts.len() {
            let Some(target) = self.targets[part].clone() else {
                continue;
            };
            let of_plan = |e: &&JournalEntry| match &e.step.action {
                Action::SetTarget { target: t, .. } => {
                    t.service == target.service && t.plan == target.plan
                }
                _ => false,
            };
            let entry = self.journal.values().find(of_plan);
            let told = entry.is_some_and(|e| e.state != JournalState::Refused);
            let service = target.service.clone();
            if !told && !self.by_hand.contains(&target.plan) {
                let text = format!(
                    "{service} is as {} has it, and the journal says {:?}",
                    target.plan,
                    entry.map(|e| e.state)
                );
                self.breaks("finally_the_journal_explains_every_target", text);
            }
            for g in 0..self.gateways.len() {
                let Some(report) = self.gateways[g].fronts[part].report.clone() else {
                    continue;
                };
                let prepared = target
                    .contingencies
                    .iter()
                    .find(|c| Some(&c.domain) == report.contingency.as_ref());
                let shares = prepared.map_or_else(|| target.shares(), |c| c.shares.to_map());
                if report.index == target.index && report.weights != weights(&shares) {
                    let text = format!("{service} at {}", report.gateway);
                    self.breaks("finally_the_target_explains_every_weight", text);
                }
            }
        }
    }
}
