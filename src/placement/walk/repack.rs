//! The move for a crowded estate: a node is packed anew out of its own standbys and all missing ones that might stand there.

use rand::Rng;

use super::super::problem::NOWHERE;
use super::{EJECTION_TRIES, Walk};

/// How far the worth of a standby is blurred, so that no two packings are alike.
const BLUR: f32 = 0.3;
/// Rents below this are as good as nothing.
const RENTLESS: f32 = 1e-3;

/// A standby that might stand on the node: what it gains for the room it takes, its candidate there, and its slot.
pub(super) type Wish = (f32, u32, u32);

impl Walk<'_> {
    /// Empties a node where a missing standby might stand, and fills it with those that gain most for their room; who was there before and
    /// is left over goes elsewhere, if anywhere takes it.
    pub(crate) fn repack(&mut self, temperature: f64) {
        let missing = self.state.missing();
        if missing.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..missing.len() as u32) as usize;
        let slot = self.state.missing()[at] as usize;
        let Some(candidate) = self.any_candidate(slot) else {
            return;
        };
        let node = self.problem().candidate_node[candidate] as usize;
        let patience = self.patience(temperature);
        let before = self.state.total();
        let mut crowd = std::mem::take(&mut self.crowd);
        crowd.clear();
        crowd.extend_from_slice(self.state.members(node));
        crowd.iter().for_each(|&slot| self.take(slot as usize));
        self.fill(node);
        for &slot in &crowd {
            let slot = slot as usize;
            if self.state.slots()[slot] == NOWHERE
                && let Some(place) = self.any_refuge(slot)
            {
                self.put(slot, place);
            }
        }
        self.crowd = crowd;
        self.settle(before, patience);
    }

    /// Puts on a node what gains most for its room, as far as it fits.
    fn fill(&mut self, node: usize) {
        let problem = self.problem();
        let mut wishes = std::mem::take(&mut self.wishes);
        wishes.clear();
        for &candidate in problem.visitors(node) {
            let portion = problem.candidate_portion[candidate as usize] as usize;
            let mut slots = problem.slots(portion);
            let Some(slot) = slots.find(|&slot| self.state.slots()[slot] == NOWHERE) else {
                continue;
            };
            let gain = problem.penalty[portion] - self.state.cost(candidate as usize);
            if gain > 0 {
                let rent = self.guide.rents.get(candidate as usize);
                let room = rent.map_or(1.0, |rent| rent.max(RENTLESS));
                let blur = 1.0 + BLUR * self.rng.random::<f32>();
                wishes.push((gain as f32 / room * blur, candidate, slot as u32));
            }
        }
        wishes.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        for &(_, candidate, slot) in &wishes {
            if self.state.may_put(slot as usize, candidate as usize) {
                self.take(slot as usize);
                self.put(slot as usize, candidate as usize);
            }
        }
        self.wishes = wishes;
    }

    /// A promising place that takes a standby that stands nowhere, and costs less than going without.
    fn any_refuge(&self, slot: usize) -> Option<usize> {
        let problem = self.problem();
        let row = problem.candidates(problem.slot_portion[slot] as usize);
        let tries = &self.guide.order[row.start..row.end.min(row.start + EJECTION_TRIES)];
        let mut tries = tries.iter().map(|&place| place as usize);
        tries.find(|&place| {
            self.state.cost_of_putting(place) < self.state.standing_cost(slot)
                && self.state.may_put(slot, place)
        })
    }
}
