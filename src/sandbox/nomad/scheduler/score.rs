//! How good is a feasible node? The mean of Nomad's scores that apply, and its table of them.

use super::super::json::*;
use super::super::state::alloc::Alloc;
use super::super::state::node::Node;
use super::feasible;
use super::proposed::{Proposed, Wish, used};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A node that costs others their place; the higher their priorities, the worse.
fn preemption(allocs: &[&Alloc]) -> f64 {
    let priorities = || allocs.iter().map(|a| int(&a.job, "Priority") as f64);
    let highest = priorities().fold(0.0, f64::max);
    let net = highest + priorities().sum::<f64>() / highest.max(1.0);
    // A net priority of 2048 scores one half.
    1.0 / (1.0 + (0.0048 * (net - 2048.0)).exp())
}

/// The score of a node where these would have to go, and its parts.
pub fn score(proposed: &Proposed, wish: &Wish, node: &Node, preempted: &[&Alloc]) -> (f64, Value) {
    let (used, c) = (used(proposed, wish, node), &node.config);
    let free = |used: i64, all: i64| 1.0 - used as f64 / (all as f64).max(1.0);
    let total = 10f64.powf(free(used.cpu, c.cpu_mhz - c.reserved_cpu_mhz))
        + 10f64.powf(free(used.memory, c.memory_mb - c.reserved_memory_mb));
    let fit = if proposed.state.scheduler.spread {
        total - 2.0
    } else {
        20.0 - total
    };
    let binpack = fit.clamp(0.0, 18.0) / 18.0;
    let (id, group) = (key_of(wish.job), text(wish.group, "Name"));
    let collisions = proposed
        .on(&node.id)
        .filter(|a| a.job_id == id && a.group == group)
        .count() as f64;
    let anti = if collisions > 0.0 {
        -(collisions + 1.0) / int(wish.group, "Count").max(1) as f64
    } else {
        0.0
    };
    let penalty = if wish.penalty.contains(&node.id) {
        -1.0
    } else {
        0.0
    };
    let mut parts = json!({"binpack": binpack});
    if wish.only.is_some() {
        // A system job's node is not chosen, so nothing else is scored.
        return with_preemption(vec![binpack], parts, preempted);
    }
    parts["job-anti-affinity"] = anti.into();
    parts["node-reschedule-penalty"] = penalty.into();
    let mut scores = vec![binpack];
    scores.extend([anti, penalty].into_iter().filter(|s| *s != 0.0));
    match affinity(wish, node) {
        None => parts["node-affinity"] = 0.0.into(),
        Some(0.0) => {}
        Some(affinity) => {
            parts["node-affinity"] = affinity.into();
            scores.push(affinity);
        }
    }
    let spread = spread(proposed, wish, node);
    if spread != 0.0 {
        parts["allocation-spread"] = spread.into();
        scores.push(spread);
    }
    with_preemption(scores, parts, preempted)
}

fn with_preemption(mut scores: Vec<f64>, mut parts: Value, preempted: &[&Alloc]) -> (f64, Value) {
    if !preempted.is_empty() {
        let preemption = preemption(preempted);
        parts["preemption"] = preemption.into();
        scores.push(preemption);
    }
    (scores.iter().sum::<f64>() / scores.len() as f64, parts)
}

/// The weighted share of the affinities that hold; `None` without any.
fn affinity(wish: &Wish, node: &Node) -> Option<f64> {
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
    (weights > 0.0).then(|| sum / weights)
}

fn spread(proposed: &Proposed, wish: &Wish, node: &Node) -> f64 {
    let spreads = || {
        list(wish.group, "Spreads")
            .iter()
            .chain(list(wish.job, "Spreads"))
    };
    let weights: f64 = spreads().map(|s| int(s, "Weight") as f64).sum();
    spreads()
        .map(|s| boost(proposed, wish, node, s, weights))
        .sum()
}

fn boost(proposed: &Proposed, wish: &Wish, node: &Node, spread: &Value, weights: f64) -> f64 {
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
        return even(&counts, here);
    }
    let named: i64 = wanted.iter().map(|t| int(t, "Percent")).sum();
    let percent = wanted
        .iter()
        .find(|t| text(t, "Value") == value)
        .map_or(100 - named, |t| int(t, "Percent"));
    let desired = percent as f64 / 100.0 * int(wish.group, "Count") as f64;
    if desired <= 0.0 {
        return -1.0;
    }
    (desired - here - 1.0) / desired * int(spread, "Weight") as f64 / weights.max(1.0)
}

/// Without targets every value shall have as many; values that have none yet are not among `counts`.
fn even(counts: &BTreeMap<String, f64>, here: f64) -> f64 {
    let least = counts.values().copied().fold(f64::INFINITY, f64::min);
    let most = counts.values().copied().fold(0.0, f64::max);
    match () {
        () if counts.is_empty() => 0.0,
        () if here != least => (least - here) / least,
        () if least == most => -1.0,
        () => (most - least) / least,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_spread_prefers_the_value_that_has_least() {
        let counts = |all: &[(&str, f64)]| {
            all.iter()
                .map(|(k, v)| ((*k).to_string(), *v))
                .collect::<BTreeMap<_, _>>()
        };
        let cases = [
            (counts(&[]), 0.0, 0.0),
            (counts(&[("a", 2.0)]), 0.0, 1.0),
            (counts(&[("a", 2.0), ("b", 3.0)]), 3.0, -0.5),
            (counts(&[("a", 2.0), ("b", 3.0)]), 2.0, 0.5),
            (counts(&[("a", 2.0), ("b", 2.0)]), 2.0, -1.0),
        ];
        for (counts, here, wanted) in cases {
            assert_eq!(even(&counts, here), wanted, "{counts:?} {here}");
        }
    }
}
