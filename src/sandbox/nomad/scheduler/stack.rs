//! Which of the feasible nodes is best? Nomad's generic stack: bin packing, anti-affinity, penalties, affinities, spreads.

use super::super::json::*;
use super::super::state::State;
use super::super::state::alloc::{Alloc, Ask, Port};
use super::super::state::node::{Node, fnv};
use super::feasible;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Ports that Nomad hands out.
const DYNAMIC_PORTS: std::ops::RangeInclusive<u16> = 20_000..=32_000;

/// What the scheduler looked at, as `Metrics` and `FailedTGAllocs` give it.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub evaluated: i64,
    pub filtered: i64,
    pub exhausted: i64,
    pub available: BTreeMap<String, i64>,
    pub class_filtered: BTreeMap<String, i64>,
    pub constraint_filtered: BTreeMap<String, i64>,
    pub class_exhausted: BTreeMap<String, i64>,
    pub dimension_exhausted: BTreeMap<String, i64>,
    pub scores: Vec<Value>,
    pub coalesced: i64,
    pub classes: BTreeMap<String, bool>,
    pub nanos: i64,
}

impl Metrics {
    pub fn json(&self) -> Value {
        let counts =
            |m: &BTreeMap<String, i64>| or_null(m.iter().map(|(k, v)| (k.clone(), (*v).into())));
        let mut scores = self.scores.clone();
        scores.sort_by(|a, b| {
            b["NormScore"]
                .as_f64()
                .partial_cmp(&a["NormScore"].as_f64())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        scores.truncate(5);
        json!({"AllocationTime": self.nanos, "ClassExhausted": counts(&self.class_exhausted), "ClassFiltered": counts(&self.class_filtered),
            "CoalescedFailures": self.coalesced, "ConstraintFiltered": counts(&self.constraint_filtered),
            "DimensionExhausted": counts(&self.dimension_exhausted), "NodesAvailable": self.available, "NodesEvaluated": self.evaluated,
            "NodesExhausted": self.exhausted, "NodesFiltered": self.filtered, "QuotaExhausted": null,
            "ScoreMetaData": if scores.is_empty() { Value::Null } else { scores.into() }, "Scores": null})
    }

    fn filter(&mut self, node: &Node, why: &str) {
        self.filtered += 1;
        if !node.config.class.is_empty() {
            *self
                .class_filtered
                .entry(node.config.class.clone())
                .or_default() += 1;
        }
        *self.constraint_filtered.entry(why.into()).or_default() += 1;
    }

    fn exhaust(&mut self, node: &Node, dimension: &str) {
        self.exhausted += 1;
        if !node.config.class.is_empty() {
            *self
                .class_exhausted
                .entry(node.config.class.clone())
                .or_default() += 1;
        }
        *self
            .dimension_exhausted
            .entry(dimension.into())
            .or_default() += 1;
    }
}

/// Where allocations will be when the plan so far is done.
pub struct Proposed<'a> {
    pub state: &'a State,
    /// Stopped by the plan.
    pub stopped: BTreeSet<String>,
    pub placed: Vec<Alloc>,
}

impl Proposed<'_> {
    pub fn on<'b>(&'b self, node: &'b str) -> impl Iterator<Item = &'b Alloc> {
        let old =
            self.state.allocs.values().filter(move |a| {
                a.node_id == node && !a.terminal() && !self.stopped.contains(&a.id)
            });
        old.chain(self.placed.iter().filter(move |a| a.node_id == node))
    }

    fn of_group<'b>(&'b self, job: &'b str, group: &'b str) -> impl Iterator<Item = &'b Alloc> {
        let old = self.state.allocs.values().filter(move |a| {
            a.job_id == job && a.group == group && !a.terminal() && !self.stopped.contains(&a.id)
        });
        old.chain(
            self.placed
                .iter()
                .filter(move |a| a.job_id == job && a.group == group),
        )
    }
}

/// One allocation to be placed.
pub struct Wish<'a> {
    pub job: &'a Value,
    pub group: &'a Value,
    pub ask: &'a Ask,
    pub penalty: &'a BTreeSet<String>,
    /// Only this node (system jobs).
    pub only: Option<&'a str>,
    pub slot: u32,
}

impl Wish<'_> {
    /// Dice of its own, so that who wins a tie does not depend on what else has been rolled.
    fn dice(&self, seed: u64) -> StdRng {
        let what = format!(
            "{seed}|{}|{}|{}|{}",
            key_of(self.job),
            text(self.group, "Name"),
            int(self.job, "Version"),
            self.slot
        );
        StdRng::seed_from_u64(fnv(what.as_bytes()))
    }
}

/// The best node and the ports there, or `None`; either way what was looked at.
pub fn select(
    proposed: &Proposed,
    wish: &Wish,
    rng: &mut StdRng,
) -> (Option<(String, Vec<Port>)>, Metrics) {
    let mut metrics = Metrics::default();
    let mut nodes: Vec<&Node> = Vec::new();
    for datacenter in list(wish.job, "Datacenters") {
        let name = datacenter.as_str().unwrap_or("").to_string();
        metrics.available.insert(name, 0);
    }
    for node in proposed.state.nodes.values() {
        let named = list(wish.job, "Datacenters")
            .iter()
            .any(|d| d.as_str() == Some(&node.config.datacenter));
        if named && node.ready() {
            *metrics
                .available
                .entry(node.config.datacenter.clone())
                .or_default() += 1;
            nodes.push(node);
        }
    }
    nodes.retain(|n| wish.only.is_none_or(|only| n.id == only));
    nodes.shuffle(&mut wish.dice(proposed.state.config.seed));
    let limit = limit(wish, nodes.len());
    let mut best: Option<(f64, String, Vec<Port>)> = None;
    let mut scored = 0;
    for node in nodes {
        if scored == limit {
            break;
        }
        metrics.evaluated += 1;
        let Some(ports) = fits(proposed, wish, node, &mut metrics, rng) else {
            continue;
        };
        scored += 1;
        let (score, parts) = score(proposed, wish, node);
        metrics
            .scores
            .push(json!({"NodeID": node.id, "NormScore": score, "Scores": parts}));
        if best.as_ref().is_none_or(|(top, ..)| score > *top) {
            best = Some((score, node.id.clone(), ports));
        }
    }
    (best.map(|(_, node, ports)| (node, ports)), metrics)
}

/// Nomad scores log2(n) nodes, at least two; all of them when affinities or spreads need comparing.
fn limit(wish: &Wish, nodes: usize) -> usize {
    let compares = |key| {
        !list(wish.job, key).is_empty()
            || !list(wish.group, key).is_empty()
            || list(wish.group, "Tasks")
                .iter()
                .any(|t| !list(t, key).is_empty())
    };
    if compares("Affinities") || compares("Spreads") {
        return nodes;
    }
    (nodes.max(1) as f64).log2().ceil().max(2.0) as usize
}

fn fits(
    proposed: &Proposed,
    wish: &Wish,
    node: &Node,
    metrics: &mut Metrics,
    rng: &mut StdRng,
) -> Option<Vec<Port>> {
    let escapes = feasible::escapes_classes(wish.job, wish.group);
    if !escapes && metrics.classes.get(&node.class_hash) == Some(&false) {
        metrics.filter(node, "computed class ineligible");
        return None;
    }
    let refusal = feasible::refusal(node, wish.job, wish.group);
    if !escapes {
        metrics
            .classes
            .insert(node.class_hash.clone(), refusal.is_none());
    }
    if let Some(why) = refusal.or_else(|| distinct_refusal(proposed, wish, node)) {
        metrics.filter(node, &why);
        return None;
    }
    if let Some(dimension) = shortage(proposed, wish, node) {
        metrics.exhaust(node, dimension);
        return None;
    }
    match ports(proposed, wish, node, rng) {
        Ok(ports) => Some(ports),
        Err(dimension) => {
            metrics.exhaust(node, &dimension);
            None
        }
    }
}

fn distinct_refusal(proposed: &Proposed, wish: &Wish, node: &Node) -> Option<String> {
    let id = key_of(wish.job);
    let group = text(wish.group, "Name");
    for (owner, whole_job) in [(wish.job, true), (wish.group, false)] {
        for constraint in list(owner, "Constraints") {
            let others = |alloc: &Alloc| alloc.job_id == id && (whole_job || alloc.group == group);
            match text(constraint, "Operand") {
                "distinct_hosts" if proposed.on(&node.id).any(others) => {
                    return Some("distinct_hosts".into());
                }
                "distinct_property" => {
                    let target = text(constraint, "LTarget");
                    let value = node.resolve(target)?;
                    let allowed = text(constraint, "RTarget").parse().unwrap_or(1);
                    let used = proposed
                        .state
                        .nodes
                        .values()
                        .filter(|n| n.resolve(target).as_ref() == Some(&value));
                    if used
                        .map(|n| proposed.on(&n.id).filter(|a| others(a)).count())
                        .sum::<usize>()
                        >= allowed
                    {
                        return Some(format!(
                            "distinct_property: {target}={value} used by {allowed} allocs"
                        ));
                    }
                }
                _ => {}
            }
        }
    }
    None
}

struct Use {
    cpu: i64,
    memory: i64,
    disk: i64,
}

fn used(proposed: &Proposed, wish: &Wish, node: &Node) -> Use {
    let mut sum = Use {
        cpu: wish.ask.cpu(),
        memory: wish.ask.memory(),
        disk: wish.ask.disk_mb,
    };
    for alloc in proposed.on(&node.id) {
        sum.cpu += alloc.ask.cpu();
        sum.memory += alloc.ask.memory();
        sum.disk += alloc.ask.disk_mb;
    }
    sum
}

fn shortage(proposed: &Proposed, wish: &Wish, node: &Node) -> Option<&'static str> {
    let (used, c) = (used(proposed, wish, node), &node.config);
    if used.cpu > c.cpu_mhz - c.reserved_cpu_mhz {
        Some("cpu")
    } else if used.memory > c.memory_mb - c.reserved_memory_mb {
        Some("memory")
    } else if used.disk > c.disk_mb - c.reserved_disk_mb {
        Some("disk")
    } else {
        None
    }
}

fn ports(
    proposed: &Proposed,
    wish: &Wish,
    node: &Node,
    rng: &mut StdRng,
) -> Result<Vec<Port>, String> {
    // A port stays taken until the client has really ended what listens there.
    let old = proposed
        .state
        .allocs
        .values()
        .filter(|a| a.node_id == node.id && a.holds_resources() && !a.view.finished);
    let mut dying: BTreeSet<u16> = old
        .flat_map(|a| a.ports.iter())
        .filter(|p| !p.fixed)
        .map(|p| p.value)
        .collect();
    let mut taken: BTreeSet<u16> = node.config.reserved_port_list().into_iter().collect();
    taken.extend(
        proposed
            .on(&node.id)
            .flat_map(|a| a.ports.iter().map(|p| p.value)),
    );
    let mut out = Vec::new();
    for (label, fixed, to) in wish.ask.ports.iter().filter(|p| p.1 != 0) {
        if !taken.insert(*fixed) {
            return Err(format!("network: reserved port collision {label}={fixed}"));
        }
        out.push(Port {
            label: label.clone(),
            value: *fixed,
            to: *to,
            fixed: true,
        });
    }
    dying.extend(&taken);
    for (label, _, to) in wish.ask.ports.iter().filter(|p| p.1 == 0) {
        let free = (0..2000)
            .map(|_| rng.random_range(DYNAMIC_PORTS))
            .find(|p| !dying.contains(p));
        let value = free.ok_or("network: dynamic port selection failed")?;
        dying.insert(value);
        // `to = -1` means the same port inside.
        out.push(Port {
            label: label.clone(),
            value,
            to: if *to == -1 { i64::from(value) } else { *to },
            fixed: false,
        });
    }
    Ok(out)
}

/// The mean of the scores that apply, and Nomad's table of them.
fn score(proposed: &Proposed, wish: &Wish, node: &Node) -> (f64, Value) {
    let (used, c) = (used(proposed, wish, node), &node.config);
    let free = |used: i64, all: i64| 1.0 - used as f64 / (all as f64).max(1.0);
    let total = 10f64.powf(free(used.cpu, c.cpu_mhz - c.reserved_cpu_mhz))
        + 10f64.powf(free(used.memory, c.memory_mb - c.reserved_memory_mb));
    let binpack = (20.0 - total).clamp(0.0, 18.0) / 18.0;
    let (id, group) = (key_of(wish.job), text(wish.group, "Name"));
    let collisions = proposed
        .on(&node.id)
        .filter(|a| a.job_id == id && a.group == group)
        .count() as f64;
    let anti = if collisions > 0.0 && wish.only.is_none() {
        -(collisions + 1.0) / int(wish.group, "Count").max(1) as f64
    } else {
        0.0
    };
    let penalty = if wish.penalty.contains(&node.id) {
        -1.0
    } else {
        0.0
    };
    let affinity = affinity(wish, node);
    let mut parts = json!({"binpack": binpack, "job-anti-affinity": anti, "node-affinity": affinity, "node-reschedule-penalty": penalty});
    let mut scores = vec![binpack];
    scores.extend([anti, penalty, affinity].into_iter().filter(|s| *s != 0.0));
    if let Some(spread) = spread(proposed, wish, node) {
        parts["allocation-spread"] = spread.into();
        if spread != 0.0 {
            scores.push(spread);
        }
    }
    (scores.iter().sum::<f64>() / scores.len() as f64, parts)
}

fn affinity(wish: &Wish, node: &Node) -> f64 {
    let tasks = list(wish.group, "Tasks")
        .iter()
        .flat_map(|t| list(t, "Affinities"));
    let (mut sum, mut weights) = (0.0, 0.0);
    for term in list(wish.job, "Affinities")
        .iter()
        .chain(list(wish.group, "Affinities"))
        .chain(tasks)
    {
        let weight = int(term, "Weight") as f64;
        weights += weight.abs();
        if feasible::holds(node, term) {
            sum += weight;
        }
    }
    if weights == 0.0 { 0.0 } else { sum / weights }
}

fn spread(proposed: &Proposed, wish: &Wish, node: &Node) -> Option<f64> {
    let spreads: Vec<&Value> = list(wish.group, "Spreads")
        .iter()
        .chain(list(wish.job, "Spreads"))
        .collect();
    let weights: f64 = spreads.iter().map(|s| int(s, "Weight") as f64).sum();
    if weights == 0.0 {
        return None;
    }
    let mut total = 0.0;
    for spread in spreads {
        total +=
            spread_boost(proposed, wish, node, spread) * int(spread, "Weight") as f64 / weights;
    }
    Some(total)
}

fn spread_boost(proposed: &Proposed, wish: &Wish, node: &Node, spread: &Value) -> f64 {
    let target = text(spread, "Attribute");
    let Some(value) = node.resolve(target) else {
        return -1.0;
    };
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for alloc in proposed.of_group(&key_of(wish.job), text(wish.group, "Name")) {
        if let Some(v) = proposed
            .state
            .nodes
            .get(&alloc.node_id)
            .and_then(|n| n.resolve(target))
        {
            *counts.entry(v).or_default() += 1.0;
        }
    }
    let here = counts.get(&value).copied().unwrap_or(0.0);
    let wanted = list(spread, "SpreadTarget");
    if wanted.is_empty() {
        let (min, max) = (
            counts.values().copied().fold(f64::INFINITY, f64::min),
            counts.values().copied().fold(0.0, f64::max),
        );
        return match (counts.is_empty(), here < min || here == 0.0, max == min) {
            (true, ..) => 0.0,
            (_, true, _) => 1.0,
            (_, _, true) => -1.0,
            _ => (min - here) / min.max(1.0),
        };
    }
    let named: i64 = wanted.iter().map(|t| int(t, "Percent")).sum();
    let percent = wanted
        .iter()
        .find(|t| text(t, "Value") == value)
        .map_or(100 - named, |t| int(t, "Percent"));
    let desired = percent as f64 / 100.0 * int(wish.group, "Count") as f64;
    if desired <= 0.0 {
        -1.0
    } else {
        (desired - here - 1.0) / desired
    }
}
