//! Which of the feasible nodes is best? Nomad's generic stack: as many as are worth scoring, and the best of them.

use super::super::json::*;
use super::super::state::alloc::{Alloc, Port};
use super::super::state::node::Node;
use super::proposed::{Proposed, Wish, used};
use super::score::score;
use super::{feasible, preempt};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
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

/// Where something is placed.
pub struct Place {
    pub node: String,
    pub ports: Vec<Port>,
    /// Who has to go for it.
    pub preempted: Vec<String>,
}

/// Nodes with no better score than this are passed over, up to so many of them, while there are others.
const SKIP_BELOW: f64 = 0.0;
const SKIP_AT_MOST: usize = 3;

struct Scored {
    score: f64,
    place: Place,
}

/// The best node and the ports there, or `None`; either way what was looked at.
///
/// `known` says, and is told, which classes of nodes may run the group.
/// With `preempt`, allocations of less important jobs may have to go; `already` are those that do so far.
pub fn select(
    proposed: &Proposed,
    wish: &Wish,
    preempt: Option<&[String]>,
    known: &mut BTreeMap<String, bool>,
    rng: &mut StdRng,
) -> (Option<Place>, Metrics) {
    let mut metrics = Metrics::default();
    let mut nodes: Vec<&Node> = Vec::new();
    for datacenter in list(wish.job, "Datacenters") {
        let name = datacenter.as_str().unwrap_or("").to_string();
        metrics.available.insert(name, 0);
    }
    for node in proposed.state.nodes.values() {
        if let Some(count) = metrics.available.get_mut(&node.config.datacenter)
            && node.ready()
        {
            *count += 1;
            nodes.push(node);
        }
    }
    nodes.retain(|n| wish.only.is_none_or(|only| n.id == only));
    nodes.shuffle(&mut wish.dice(proposed.state.config.seed));
    let limit = limit(wish, nodes.len());
    let (mut seen, mut passed_over): (Vec<Scored>, Vec<Scored>) = (Vec::new(), Vec::new());
    for node in nodes {
        if seen.len() == limit {
            break;
        }
        metrics.evaluated += 1;
        let Some((ports, victims)) =
            fits(proposed, wish, node, preempt, (&mut metrics, known), rng)
        else {
            continue;
        };
        let (score, parts) = score(proposed, wish, node, &victims);
        metrics
            .scores
            .push(json!({"NodeID": node.id, "NormScore": score, "Scores": parts}));
        let place = Place {
            node: node.id.clone(),
            ports,
            preempted: victims.iter().map(|a| a.id.clone()).collect(),
        };
        if score <= SKIP_BELOW && passed_over.len() < SKIP_AT_MOST {
            passed_over.push(Scored { score, place });
        } else {
            seen.push(Scored { score, place });
        }
    }
    let room = limit.saturating_sub(seen.len());
    seen.extend(passed_over.into_iter().take(room));
    let mut best: Option<Scored> = None;
    for option in seen {
        if best.as_ref().is_none_or(|b| option.score > b.score) {
            best = Some(option);
        }
    }
    (best.map(|b| b.place), metrics)
}

/// Nomad scores log2(n) nodes, at least two; of batch jobs two; and up to 100 when affinities or spreads need comparing.
fn limit(wish: &Wish, nodes: usize) -> usize {
    let compares = |key| {
        !list(wish.job, key).is_empty()
            || !list(wish.group, key).is_empty()
            || list(wish.group, "Tasks")
                .iter()
                .any(|t| !list(t, key).is_empty())
    };
    if compares("Affinities") || compares("Spreads") {
        return int(wish.group, "Count").max(100) as usize;
    }
    if text(wish.job, "Type") == "batch" {
        return 2;
    }
    (nodes.max(1) as f64).log2().ceil().max(2.0) as usize
}

/// The ports on a node that takes the wish, and who has to go for it.
fn fits<'a>(
    proposed: &'a Proposed,
    wish: &Wish,
    node: &'a Node,
    preempt: Option<&[String]>,
    (metrics, known): (&mut Metrics, &mut BTreeMap<String, bool>),
    rng: &mut StdRng,
) -> Option<(Vec<Port>, Vec<&'a Alloc>)> {
    let escapes = feasible::escapes_classes(wish.job, wish.group);
    if !escapes && known.get(&node.class_hash) == Some(&false) {
        metrics.filter(node, "computed class ineligible");
        return None;
    }
    let refusal = feasible::refusal(node, wish.job, wish.group);
    if !escapes {
        known.insert(node.class_hash.clone(), refusal.is_none());
    }
    if let Some(why) = refusal.or_else(|| distinct_refusal(proposed, wish, node)) {
        metrics.filter(node, &why);
        return None;
    }
    let short = shortage(proposed, wish, node).map(String::from);
    let ports_of = |without: &[&Alloc], rng: &mut StdRng| ports(proposed, wish, node, without, rng);
    let dimension = match short {
        Some(dimension) => dimension,
        None => match ports_of(&[], rng) {
            Ok(ports) => return Some((ports, Vec::new())),
            Err(dimension) => dimension,
        },
    };
    let victims = preempt.and_then(|already| preempt::victims(proposed, wish, node, already));
    let found = victims.and_then(|v| Some((ports_of(&v, rng).ok()?, v)));
    if found.is_none() {
        metrics.exhaust(node, &dimension);
    }
    found
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
    without: &[&Alloc],
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
            .filter(|a| !without.iter().any(|w| w.id == a.id))
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
