//! What goes wrong, and when: drawn from a seed before the first moment, so that whoever steers meets the same.

use super::spec::Spec;
use super::world::World;
use crate::model::*;
use crate::sandbox::fault::Fault as Physical;
use crate::sandbox::scenario::Scenario;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A machine stops, and starts again.
    NodeDies(usize),
    /// A site has lost its links to the others, both ways.
    SiteCut(Site),
    /// A machine gives so much of what the books say.
    Slow(usize, f64),
    /// An operator drains a node.
    Drain(usize),
    /// A new release of every job.
    Release,
    /// The people change their mind: the risk tolerance that is written in the policy meanwhile.
    PolicyEdit(f64),
    NomadAway,
    ConsulAway,
    DnsAway,
    MetricsAway,
    MetricsNan,
    MetricsLate,
    /// A lagging server answers lists of allocations and jobs as they were.
    StaleRead,
    /// 429 and 500 to whatever is written.
    TooMany,
    ServerError,
    AnswerLost,
    AnswerTwice,
    AnswerLate,
    /// A person writes a target by hand.
    Person,
    /// The KV store is restored from a snapshot: its indices begin lower.
    IndexReset,
    DiskFull,
    /// The scheduler is killed, and started again.
    Crash,
    /// It stands still for longer than its session lives.
    Pause,
    /// Its clock is off by so many milliseconds.
    Skew(i64),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub at: Moment,
    pub lasts: Span,
    pub kind: Kind,
}

/// How much goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    None,
    Light,
    Heavy,
}

/// Names of all kinds, in the order in which they are drawn.
pub const KINDS: [&str; 24] = [
    "node dies",
    "site cut",
    "slow node",
    "drain",
    "release",
    "policy edit",
    "Nomad away",
    "Consul away",
    "DNS away",
    "metrics away",
    "metrics NaN",
    "metrics late",
    "stale read",
    "429",
    "500",
    "answer lost",
    "answer twice",
    "answer late",
    "a person's write",
    "index reset",
    "disk full",
    "crash",
    "pause",
    "clock skew",
];

/// How often in a day, light and heavy, and how long in seconds.
const OFTEN: [(f64, f64, i64, i64); 24] = [
    (2.0, 16.0, 300, 1_800),
    (0.7, 6.0, 60, 400),
    (0.5, 8.0, 300, 1_200),
    (1.0, 6.0, 300, 1_200),
    (0.0, 4.0, 1, 1),
    (0.0, 2.0, 300, 900),
    (0.5, 8.0, 20, 120),
    (0.5, 8.0, 20, 120),
    (0.5, 8.0, 20, 120),
    (2.0, 16.0, 30, 180),
    (0.0, 8.0, 20, 90),
    (1.0, 8.0, 30, 120),
    (0.0, 8.0, 20, 120),
    (2.0, 16.0, 20, 90),
    (0.5, 8.0, 20, 60),
    (0.5, 8.0, 20, 60),
    (0.0, 8.0, 20, 60),
    (0.5, 8.0, 20, 90),
    (0.0, 6.0, 1, 1),
    (0.0, 2.0, 1, 1),
    (0.0, 4.0, 30, 120),
    (0.0, 6.0, 5, 60),
    (0.0, 6.0, 20, 60),
    (0.0, 6.0, 60, 300),
];

fn kind(n: usize, spec: &Spec, dice: &mut Xoshiro256PlusPlus) -> Kind {
    let node = dice.random_range(0..spec.nodes.len());
    let part: f64 = dice.random();
    match n {
        0 => Kind::NodeDies(node),
        1 => {
            // Where the servers stand, nobody would be left to see it.
            let away = spec
                .nodes
                .iter()
                .map(|n| &n.site)
                .filter(|s| **s != spec.edges[0]);
            let away: std::collections::BTreeSet<&Site> = away.collect();
            let at = (part * away.len() as f64) as usize;
            Kind::SiteCut(
                away.into_iter()
                    .nth(at)
                    .cloned()
                    .unwrap_or_else(|| Site::new("")),
            )
        }
        2 => Kind::Slow(node, 0.3 + 0.4 * part),
        3 => Kind::Drain(node),
        4 => Kind::Release,
        5 => Kind::PolicyEdit(part),
        6 => Kind::NomadAway,
        7 => Kind::ConsulAway,
        8 => Kind::DnsAway,
        9 => Kind::MetricsAway,
        10 => Kind::MetricsNan,
        11 => Kind::MetricsLate,
        12 => Kind::StaleRead,
        13 => Kind::TooMany,
        14 => Kind::ServerError,
        15 => Kind::AnswerLost,
        16 => Kind::AnswerTwice,
        17 => Kind::AnswerLate,
        18 => Kind::Person,
        19 => Kind::IndexReset,
        20 => Kind::DiskFull,
        21 => Kind::Crash,
        22 => Kind::Pause,
        _ => Kind::Skew((part * 20_000.0) as i64 - 10_000),
    }
}

/// Faults over a stretch of time, each kind at its own rate.
pub fn drawn(level: Level, spec: &Spec, from: Moment, until: Moment, seed: u64) -> Vec<Fault> {
    let mut out = Vec::new();
    for (n, (light, heavy, least, most)) in OFTEN.into_iter().enumerate() {
        // Each kind has dice of its own: another rate of one moves no other.
        let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed ^ (0x00fa_0175 + n as u64) << 20);
        let often = match level {
            Level::None => 0.0,
            Level::Light => light,
            Level::Heavy => heavy,
        };
        if often <= 0.0 {
            continue;
        }
        let mut at = from;
        loop {
            let gap = -dice.random::<f64>().max(1e-12).ln() * 86_400_000.0 / often;
            at = Moment(at.0 + gap as i64);
            if at >= until {
                break;
            }
            let lasts = Span::secs(dice.random_range(least..=most));
            out.push(Fault {
                at,
                lasts,
                kind: kind(n, spec, &mut dice),
            });
        }
    }
    out.sort_by_key(|f| f.at);
    out
}

/// Some faults of any kind, all over before `until`.
pub fn some(spec: &Spec, from: Moment, until: Moment, seed: u64) -> Vec<Fault> {
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x5eed_fa01);
    let count = dice.random_range(3..=9);
    let mut out: Vec<Fault> = (0..count)
        .map(|_| {
            let n = dice.random_range(0..KINDS.len());
            let (_, _, least, most) = OFTEN[n];
            let at = Moment(dice.random_range(from.0..until.0));
            let lasts = Span::secs(dice.random_range(least..=most));
            let lasts = lasts.min(Span((until.0 - at.0).max(1_000)));
            Fault {
                at,
                lasts,
                kind: kind(n, spec, &mut dice),
            }
        })
        .collect();
    out.sort_by_key(|f| f.at);
    out
}

/// The incidents of a scenario, counted from `from`.
pub fn of_scenario(scenario: &Scenario, spec: &Spec, from: Moment) -> Vec<Fault> {
    let end = from + Span(scenario.length.as_millis() as i64);
    let mut out: Vec<Fault> = Vec::new();
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    let number = |name: &str| spec.nodes.iter().position(|n| *n.name == *name);
    for incident in &scenario.incidents {
        let at = from + Span(incident.at.as_millis() as i64);
        let mut begin = |key: String, kind: Kind, out: &mut Vec<Fault>| {
            open.insert(key, out.len());
            out.push(Fault {
                at,
                lasts: end.since(at),
                kind,
            });
        };
        match &incident.fault {
            Physical::KillNode(name) => {
                if let Some(n) = number(name) {
                    begin(format!("node {name}"), Kind::NodeDies(n), &mut out);
                }
            }
            Physical::CutSite(site) => {
                begin(
                    format!("site {site}"),
                    Kind::SiteCut(site.clone()),
                    &mut out,
                );
            }
            Physical::ClassSpeed { class, percent } => {
                for (n, _) in spec
                    .nodes
                    .iter()
                    .enumerate()
                    .filter(|(_, n)| &n.class == class)
                {
                    let kind = Kind::Slow(n, f64::from(*percent) / 100.0);
                    begin(format!("class {class} {n}"), kind, &mut out);
                }
            }
            Physical::ReviveNode(_) | Physical::HealSite(_) => {
                let key = match &incident.fault {
                    Physical::ReviveNode(name) => format!("node {name}"),
                    Physical::HealSite(site) => format!("site {site}"),
                    _ => continue,
                };
                if let Some(n) = open.remove(&key) {
                    out[n].lasts = at.since(out[n].at);
                }
            }
        }
    }
    out
}

impl World {
    pub(super) fn is(&self, of: impl Fn(&Kind) -> bool) -> bool {
        self.active.iter().any(|n| of(&self.faults[*n].kind))
    }
    pub(super) fn consul_away(&self) -> bool {
        self.is(|k| *k == Kind::ConsulAway)
    }
    pub(super) fn nomad_away(&self) -> bool {
        self.is(|k| *k == Kind::NomadAway)
    }
    /// The scheduler's process is dead.
    pub fn crashed(&self) -> bool {
        self.is(|k| *k == Kind::Crash)
    }
    pub fn paused(&self) -> bool {
        self.is(|k| *k == Kind::Pause)
    }
    /// How far the scheduler's clock is off.
    pub fn skew(&self) -> Span {
        let off = self
            .active
            .iter()
            .filter_map(|n| match self.faults[*n].kind {
                Kind::Skew(ms) => Some(ms),
                _ => None,
            });
        Span(off.sum())
    }
    /// What the policy's people wrote meanwhile.
    pub fn edited(&self) -> Option<f64> {
        self.active.iter().find_map(|n| match self.faults[*n].kind {
            Kind::PolicyEdit(tolerance) => Some(tolerance),
            _ => None,
        })
    }
    /// Faults that are still to come or not yet over.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    pub(super) fn begin(&mut self, n: usize) {
        self.active.insert(n);
        let (at, lasts) = (self.now.0, self.faults[n].lasts.0);
        tracing::debug!(at, lasts, kind = ?self.faults[n].kind, "a simulated fault begins");
        match self.faults[n].kind.clone() {
            Kind::NodeDies(node) => self.crash(node),
            Kind::SiteCut(site) => {
                self.cut.insert(site.clone());
                self.rewire(&site);
            }
            Kind::Slow(node, part) => self.speed[node] = part,
            Kind::Drain(node) => self.drain(node, true),
            Kind::Release => self.release(),
            Kind::Person => self.person(),
            Kind::IndexReset => self.restore(),
            _ => {}
        }
    }

    pub(super) fn end(&mut self, n: usize) {
        self.active.remove(&n);
        let kind = self.faults[n].kind.clone();
        // Another fault of the same kind may still hold it.
        if self.is(|k| *k == kind) {
            return;
        }
        match kind {
            Kind::NodeDies(node) => {
                self.stands[node] = true;
                self.await_heartbeat(node);
            }
            Kind::SiteCut(site) => {
                self.cut.remove(&site);
                self.rewire(&site);
            }
            Kind::Slow(node, _) => self.speed[node] = 1.0,
            Kind::Drain(node) => self.drain(node, false),
            _ => {}
        }
    }

    /// Checks over the site's links and heartbeats from it will notice; its gateway hears what it missed.
    fn rewire(&mut self, site: &Site) {
        let units: Vec<u64> = self.units.keys().copied().collect();
        let late = if self.cut.contains(site) { 1_000 } else { 0 };
        units
            .into_iter()
            .for_each(|serial| self.recheck(serial, late));
        for node in 0..self.spec.nodes.len() {
            if &self.spec.nodes[node].site == site {
                self.await_heartbeat(node);
            }
        }
        self.tell();
    }

    /// Somebody edits a target by hand: all alike, in a plan of that person's own.
    pub(super) fn person(&mut self) {
        let known: Vec<usize> = (0..self.targets.len())
            .filter(|p| self.targets[*p].is_some())
            .collect();
        if known.is_empty() {
            return;
        }
        let part = known[self.draw(0, known.len() as i64 - 1) as usize];
        let Some(mut target) = self.targets[part].clone() else {
            return;
        };
        let serving = target
            .instances
            .iter()
            .filter(|i| i.share > Share::NONE)
            .count() as u32;
        let mut left = Share::ALL.0;
        let mut open = serving;
        for i in target
            .instances
            .iter_mut()
            .filter(|i| i.share > Share::NONE)
        {
            i.share = Share(left / open.max(1));
            left -= i.share.0;
            open -= 1;
        }
        target.plan = PlanId::new(format!("by-hand-{}", self.index));
        target.contingencies.clear();
        self.by_hand.insert(target.plan.clone());
        self.put(part, target);
    }

    /// The store is restored: the same keys under lower indices, and nobody's session lives.
    pub(super) fn restore(&mut self) {
        self.index = 40;
        for target in self.targets.iter_mut().flatten() {
            self.index += 1;
            target.index = self.index;
            // What a snapshot holds was written under epochs up to its own.
            target.epoch = Epoch(1);
        }
        self.session = None;
        self.epoch = Epoch(2);
        for gateway in &mut self.gateways {
            // The watch's index went back: whoever follows it begins anew.
            gateway.fronts.iter_mut().for_each(|f| f.began_anew = true);
        }
        self.tell();
    }
}
