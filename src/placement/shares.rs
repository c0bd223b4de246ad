//! The primal side of the bound's ascent: how much of a standby the relaxed problem puts on each candidate, on average over its steps,
//! and a placement rounded from that.
//!
//! Source: Barahona and Anbil (2000), whose averages approach a solution of the linear relaxation.

use super::problem::{NOWHERE, Problem};
use super::state::State;

/// A smaller share is noise of the average.
const NOISE: f32 = 0.02;
/// The common factor is folded in before it gets too small for a float.
const FOLD: f64 = 1e-20;

/// An exponentially forgetting average of which candidates are used; only the used ones are touched by a step.
pub(super) struct Shares {
    parts: Vec<f32>,
    factor: f64,
}

impl Shares {
    /// Nothing used yet.
    pub(super) fn of(candidates: usize) -> Self {
        Self {
            parts: vec![0.0; candidates],
            factor: 1.0,
        }
    }

    /// Mixes these candidates in, `part` (0 to 1) of the new average.
    pub(super) fn mix(&mut self, used: &[u32], part: f64) {
        self.factor *= 1.0 - part;
        if self.factor < FOLD {
            let factor = self.factor as f32;
            self.parts.iter_mut().for_each(|share| *share *= factor);
            self.factor = 1.0;
        }
        let part = (part / self.factor) as f32;
        used.iter().for_each(|&at| self.parts[at as usize] += part);
    }

    /// The share of each candidate.
    pub(super) fn all(self) -> Vec<f32> {
        let factor = self.factor as f32;
        self.parts.into_iter().map(|part| part * factor).collect()
    }
}

/// Places standbys by their shares, the largest first, as far as they fit; the rest of the slots is left unplaced.
pub(super) fn rounded<'p>(problem: &'p Problem, cost: &'p [i64], shares: &[f32]) -> State<'p> {
    let mut state = State::empty(problem, cost);
    let mut order: Vec<u32> = (0..shares.len() as u32)
        .filter(|&candidate| shares[candidate as usize] > NOISE)
        .collect();
    order.sort_by(|&a, &b| shares[b as usize].total_cmp(&shares[a as usize]));
    for candidate in order {
        let candidate = candidate as usize;
        let mut slots = problem.slots(problem.candidate_portion[candidate] as usize);
        let free = slots.find(|&slot| state.slots()[slot] == NOWHERE);
        if let Some(slot) = free.filter(|&slot| state.may_put(slot, candidate)) {
            state.put(slot, candidate);
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_the_average_of_what_was_used() {
        let mut shares = Shares::of(3);
        shares.mix(&[0], 1.0);
        shares.mix(&[1], 0.25);
        assert_eq!(shares.all(), [0.75, 0.25, 0.0]);
    }

    #[test]
    fn shares_outlive_many_steps() {
        let mut shares = Shares::of(2);
        shares.mix(&[0], 1.0);
        (0..2_000).for_each(|_| shares.mix(&[1], 0.1));
        let all = shares.all();
        assert!(all[0] < 1e-6 && (all[1] - 1.0).abs() < 1e-3, "{all:?}");
    }
}
