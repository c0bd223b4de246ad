//! Where a search begins: what runs already, as far as it still fits, and the rest on the cheapest place that takes it.

use super::problem::Problem;
use super::state::State;

/// A feasible start. Standbys of `warm` (nodes of each portion) that may still stand do; the largest missing ones go first.
pub(crate) fn start<'p>(
    problem: &'p Problem,
    cost: &'p [i64],
    warm: Option<&[Vec<usize>]>,
) -> State<'p> {
    let mut state = State::empty(problem, cost);
    for (portion, nodes) in warm
        .unwrap_or_default()
        .iter()
        .enumerate()
        .take(problem.portions())
    {
        for (slot, &node) in problem.slots(portion).zip(nodes) {
            let candidate = problem.candidate_on(portion, node);
            if let Some(candidate) = candidate.filter(|&c| state.may_put(slot, c)) {
                state.put(slot, candidate);
            }
        }
    }
    fill(&mut state);
    state
}

/// Puts each missing standby on the cheapest place that takes it, the largest first.
pub(crate) fn fill(state: &mut State) {
    let problem = state.problem;
    let sizes: Vec<f64> = (0..problem.portions()).map(|i| size(problem, i)).collect();
    let size = |slot: usize| sizes[problem.slot_portion[slot] as usize];
    let mut missing = state.missing().to_vec();
    missing.sort_by(|&a, &b| {
        let (a, b) = (a as usize, b as usize);
        size(b).total_cmp(&size(a)).then(a.cmp(&b))
    });
    for slot in missing {
        place_cheapest(state, slot as usize);
    }
}

/// Puts an unplaced slot on the place that costs least, if any takes it.
fn place_cheapest(state: &mut State, slot: usize) {
    let row = state
        .problem
        .candidates(state.problem.slot_portion[slot] as usize);
    let best = row
        .filter(|&c| state.may_put(slot, c))
        .min_by_key(|&c| (state.cost_of_putting(c), c));
    if let Some(candidate) = best {
        state.put(slot, candidate);
    }
}

/// The largest part of a candidate node that the portion takes when active, over resources, on average.
fn size(problem: &Problem, portion: usize) -> f64 {
    let row = problem.candidates(portion);
    let count = row.len().max(1) as f64;
    let share = |c: usize| {
        let free = &problem.free[problem.candidate_node[c] as usize];
        let need = problem.reserve[portion]
            .iter()
            .zip(&problem.surge[portion])
            .zip(free);
        need.map(|((r, s), f)| f64::from(r + s) / f64::from((*f).max(1)))
            .fold(0.0, f64::max)
    };
    row.map(share).sum::<f64>() / count
}
