//! Why a standby stands where it does, where else it could, and why one is missing.

use super::problem::{NOWHERE, Problem};
use super::state::State;
use super::{Answer, check};
use crate::model::counted;

/// One place where a portion's standby might stand, seen from an answer.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Candidate {
    /// Node index.
    pub node: usize,
    /// The instance's cost of a standby there.
    pub cost: i64,
    /// Whether the answer has one there.
    pub chosen: bool,
    /// Change of the objective if the standby that gains most by it moved (or was placed) there; none if it may not.
    pub delta: Option<i64>,
    /// Why it may not stand there, and what would free it.
    pub why_not: Option<String>,
}

/// Every candidate the instance names for a portion, cheapest first, with its cost and why it was not chosen.
pub fn explain(problem: &Problem, answer: &Answer, portion: usize) -> Vec<Candidate> {
    let Some(written) = problem.instance().portions.get(portion) else {
        return Vec::new();
    };
    let cost = &problem.candidate_cost;
    let mut state = restore(problem, cost, &answer.standbys);
    let mut rows: Vec<Candidate> = written
        .candidates
        .iter()
        .map(|&(node, cost)| {
            let chosen = answer
                .standbys
                .get(portion)
                .is_some_and(|nodes| nodes.contains(&node));
            let (delta, why_not) = match delta_to(&mut state, portion, node) {
                _ if chosen => (Some(0), None),
                Ok(delta) => (Some(delta), None),
                Err(why) => (None, Some(why)),
            };
            Candidate {
                node,
                cost,
                chosen,
                delta,
                why_not,
            }
        })
        .collect();
    rows.sort_by_key(|row| (row.cost, row.node));
    rows
}

/// For each portion, the nodes where one of its standbys may stand and by how much the objective would change, 0 where one stands.
pub fn near(problem: &Problem, answer: &Answer) -> Vec<Vec<(usize, i64)>> {
    let mut state = restore(problem, &problem.candidate_cost, &answer.standbys);
    let portions = problem.instance().portions.iter().enumerate();
    let of = portions.map(|(portion, written)| {
        let stands = |node: &usize| {
            let nodes = answer.standbys.get(portion);
            nodes.is_some_and(|nodes| nodes.contains(node))
        };
        let nodes = written.candidates.iter().map(|c| c.0);
        let near = nodes.filter_map(|node| match stands(&node) {
            true => Some((node, 0)),
            false => {
                let candidate = problem.candidate_on(portion, node)?;
                Some((node, gain(&mut state, portion, candidate).1?))
            }
        });
        near.collect()
    });
    of.collect()
}

/// Other nodes on which one of the portion's standbys could stand, everything else as it is, with an objective within
/// `within_pct` percent of the answer's; the best first.
pub fn alternatives(
    problem: &Problem,
    answer: &Answer,
    portion: usize,
    within_pct: f64,
) -> Vec<usize> {
    let limit = answer.objective as f64 * within_pct / 100.0;
    let mut near: Vec<(i64, usize)> = explain(problem, answer, portion)
        .into_iter()
        .filter(|row| !row.chosen)
        .filter_map(|row| row.delta.map(|delta| (delta, row.node)))
        .filter(|&(delta, _)| delta as f64 <= limit)
        .collect();
    near.sort_unstable();
    near.into_iter().map(|(_, node)| node).collect()
}

/// For each portion with a missing standby, the reason in words.
pub(crate) fn unplaced(problem: &Problem, cost: &[i64], slots: &[u32]) -> Vec<(usize, String)> {
    let mut state = State::empty(problem, cost);
    for (slot, &candidate) in slots.iter().enumerate().filter(|(_, c)| **c != NOWHERE) {
        state.put(slot, candidate as usize);
    }
    (0..problem.portions())
        .filter_map(|portion| {
            let slot = problem
                .slots(portion)
                .find(|&slot| slots[slot] == NOWHERE)?;
            Some((portion, why_unplaced(&state, portion, slot)))
        })
        .collect()
}

fn why_unplaced(state: &State, portion: usize, slot: usize) -> String {
    let problem = state.problem;
    let written = &problem.instance().portions[portion];
    let row = problem.candidates(portion);
    if written.candidates.is_empty() {
        return format!(
            "portion {:?} has no candidate nodes; loosen its latency limit or add nodes in reach",
            written.id
        );
    }
    if row.is_empty() {
        let node = written.candidates[0].0;
        return format!(
            "none of the {} candidates of portion {:?} could ever hold it: {}",
            written.candidates.len(),
            written.id,
            never(problem, portion, node)
        );
    }
    let open: Vec<usize> = row
        .clone()
        .filter(|&c| state.domain_is_free(slot, c))
        .collect();
    if open.is_empty() {
        let domains: std::collections::BTreeSet<u32> = row
            .map(|c| problem.node_domain[problem.candidate_node[c] as usize])
            .collect();
        return format!(
            "portion {:?} wants {}, but its candidates lie in {} beside its primary's; \
             want fewer, or add nodes in another domain",
            written.id,
            counted(written.k, "standby"),
            counted(domains.len(), "failure domain")
        );
    }
    if let Some(&candidate) = open.iter().find(|&&c| state.fits(slot, c)) {
        return format!(
            "portion {:?} fits on node {:?}, but that costs {} and a missing standby only {}; raise its unplaced_penalty",
            written.id,
            problem.instance().nodes[problem.candidate_node[candidate] as usize].id,
            state.cost_of_putting(candidate),
            written.unplaced_penalty
        );
    }
    nearest_miss(state, portion, slot, &open)
}

/// Names the place that lacks least, in parts of its free amount, and how much of what it lacks.
fn nearest_miss(state: &State, portion: usize, slot: usize, open: &[usize]) -> String {
    let problem = state.problem;
    let instance = problem.instance();
    if let Some(words) = shared_miss(state, slot, open) {
        return words;
    }
    let lack = |candidate: usize| {
        let free = &problem.free[problem.candidate_node[candidate] as usize];
        let short = state.shortfall(candidate);
        let part = |r: usize| f64::from(short[r]) / f64::from(free[r].max(1));
        (0..short.len()).map(part).fold(0.0, f64::max)
    };
    let Some(&nearest) = open
        .iter()
        .min_by(|&&a, &&b| lack(a).total_cmp(&lack(b)).then(a.cmp(&b)))
    else {
        return String::new();
    };
    let short = state.shortfall(nearest);
    let missing: Vec<String> = instance
        .resources
        .iter()
        .zip(short)
        .filter(|(_, short)| *short > 0)
        .map(|(resource, short)| format!("{short} {resource}"))
        .collect();
    let home = &instance.domains[instance.portions[portion].primary_domain].id;
    format!(
        "all {} places of portion {:?} are full; the nearest, node {:?}, lacks {} once {home:?} or the worst other domain fails: \
         free that much there, or add a node",
        open.len(),
        instance.portions[portion].id,
        instance.nodes[problem.candidate_node[nearest] as usize].id,
        missing.join(" and ")
    )
}

/// Names the shared capacity that binds where a node has room, and how much of it is lacking.
fn shared_miss(state: &State, slot: usize, open: &[usize]) -> Option<String> {
    let problem = state.problem;
    let roomy = open
        .iter()
        .filter(|&&candidate| state.shortfall(candidate).iter().all(|short| *short == 0));
    let lacks = roomy.filter_map(|&candidate| {
        let (row, lack) = state.lacking(slot, candidate)?;
        Some((lack, row, candidate))
    });
    let (lack, row, candidate) = lacks.min()?;
    let node = &problem.instance().nodes[problem.candidate_node[candidate] as usize].id;
    let shared = &problem.conditions().shared[row];
    Some(format!(
        "node {node:?} has room, but {:?} ({} {}) lacks {lack} for it: raise it by that much, or move away a standby that uses it",
        shared.id, shared.free, shared.unit
    ))
}

/// Why a node that the instance names can never hold the portion.
fn never(problem: &Problem, portion: usize, node: usize) -> String {
    let instance = problem.instance();
    let (written, there) = (&instance.portions[portion], &instance.nodes[node]);
    if there.domain == written.primary_domain {
        let domain = &instance.domains[there.domain].id;
        return format!(
            "node {:?} shares the failure domain {domain:?} with the primary",
            there.id
        );
    }
    let lacking = (0..instance.resources.len()).find(|&r| written.active[r] > there.free[r]);
    let r = lacking.unwrap_or(0);
    format!(
        "node {:?} has {} {} free, and one active standby needs {}",
        there.id, there.free[r], instance.resources[r], written.active[r]
    )
}

/// Change of the objective if the portion's standby that gains most by it moved to the node.
fn delta_to(state: &mut State, portion: usize, node: usize) -> Result<i64, String> {
    let problem = state.problem;
    let Some(candidate) = problem.candidate_on(portion, node) else {
        return Err(never(problem, portion, node));
    };
    match gain(state, portion, candidate) {
        (_, Some(best)) => Ok(best),
        (Some(slot), None) => Err(nearest_miss(state, portion, slot, &[candidate])),
        (None, None) => {
            Err("another standby of the portion stands in that failure domain".to_owned())
        }
    }
}

/// A slot whose failure domain is free at the candidate, and the best change of the objective of those that fit there.
fn gain(state: &mut State, portion: usize, candidate: usize) -> (Option<usize>, Option<i64>) {
    let (mut free, mut best) = (None, None::<i64>);
    for slot in state.problem.slots(portion) {
        if !state.domain_is_free(slot, candidate) {
            continue;
        }
        free.get_or_insert(slot);
        if state.fits(slot, candidate) {
            let delta = state.delta(slot, candidate);
            best = Some(best.map_or(delta, |b| b.min(delta)));
        }
    }
    (free, best)
}

/// The state of an answer; one that breaks a rule counts as nothing placed.
fn restore<'p>(problem: &'p Problem, cost: &'p [i64], standbys: &[Vec<usize>]) -> State<'p> {
    let mut state = State::empty(problem, cost);
    if check(problem, standbys).is_err() {
        return state;
    }
    for (portion, nodes) in standbys.iter().enumerate() {
        for (slot, &node) in problem.slots(portion).zip(nodes) {
            if let Some(candidate) = problem.candidate_on(portion, node) {
                state.put(slot, candidate);
            }
        }
    }
    state
}
