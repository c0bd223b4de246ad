//! Makes room for a missing standby: tries every place of its portion, and every single standby that could give way there.

use super::state::State;

/// A place for the slot, and who gives way for it to where.
struct Squeeze {
    total: i64,
    candidate: usize,
    gives_way: Option<(usize, usize)>,
}

/// Places as many missing slots as gain by it, until `stop`, each in the cheapest way that moves at most one other standby.
/// Returns how many it placed.
pub(crate) fn squeeze_all(state: &mut State, stop: &dyn Fn() -> bool) -> usize {
    let mut missing = state.missing().to_vec();
    missing.sort_unstable();
    missing
        .into_iter()
        .take_while(|_| !stop())
        .filter(|&slot| squeeze_in(state, slot as usize))
        .count()
}

fn squeeze_in(state: &mut State, slot: usize) -> bool {
    let problem = state.problem;
    let mut best: Option<Squeeze> = None;
    for candidate in problem.candidates(problem.slot_portion[slot] as usize) {
        if !state.domain_is_free(slot, candidate) {
            continue;
        }
        if state.fits(slot, candidate) {
            consider(state, slot, candidate, None, &mut best);
            continue;
        }
        let node = problem.candidate_node[candidate] as usize;
        for other in state.members(node).to_vec() {
            let other = other as usize;
            let stood = state.take(other) as usize;
            if state.fits(slot, candidate) {
                state.put(slot, candidate);
                refuge(state, other, &mut best, candidate);
                state.take(slot);
            }
            state.put(other, stood);
        }
    }
    let Some(best) = best.filter(|best| best.total < state.total()) else {
        return false;
    };
    if let Some((other, to)) = best.gives_way {
        state.take(other);
        state.put(slot, best.candidate);
        state.put(other, to);
    } else {
        state.put(slot, best.candidate);
    }
    true
}

/// The cheapest place of an unplaced standby that gave way for `candidate`.
fn refuge(state: &mut State, other: usize, best: &mut Option<Squeeze>, candidate: usize) {
    let problem = state.problem;
    for to in problem.candidates(problem.slot_portion[other] as usize) {
        let most = best.as_ref().map_or(i64::MAX, |best| best.total);
        let total = state.total() + state.delta(other, to);
        if total < most && state.may_put(other, to) {
            *best = Some(Squeeze {
                total,
                candidate,
                gives_way: Some((other, to)),
            });
        }
    }
}

fn consider(
    state: &State,
    slot: usize,
    candidate: usize,
    gives_way: Option<(usize, usize)>,
    best: &mut Option<Squeeze>,
) {
    let total = state.total() + state.delta(slot, candidate);
    if best.as_ref().is_none_or(|best| total < best.total) {
        *best = Some(Squeeze {
            total,
            candidate,
            gives_way,
        });
    }
}
