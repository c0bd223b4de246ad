//! The smallest problems, looked through from end to end: depth first over the standbys, each on its cheapest place first, cut off where
//! what is chosen and the least that the rest can cost come to no less than the best that is known (branch and bound: Land and Doig, "An
//! automatic method of solving discrete programming problems", 1960).

use super::problem::{NOWHERE, Problem};
use super::state::State;

/// The best slots there are, if it takes no more than `limit` placements to be sure of them; `start` is the first to be beaten.
pub(crate) fn best(start: &State, cost: &[i64], limit: u64) -> Option<(i64, Vec<u32>)> {
    let mut few = Few::new(start, cost, limit);
    few.descend(0, 0).then_some((few.total, few.slots))
}

struct Few<'p> {
    state: State<'p>,
    cost: &'p [i64],
    /// Slots in the order in which they are placed, those of one portion together, the portions with the fewest places first.
    order: Vec<usize>,
    /// Candidates of each portion, the cheapest first.
    places: Vec<Vec<u32>>,
    /// What the slots from there on save at most by being placed.
    saves: Vec<i64>,
    /// What they want in each scenario.
    wants: Vec<Vec<i64>>,
    total: i64,
    slots: Vec<u32>,
    /// Placements that may still be tried.
    left: u64,
}

impl<'p> Few<'p> {
    fn new(start: &State<'p>, cost: &'p [i64], limit: u64) -> Self {
        let problem = start.problem;
        let sorted = |portion: usize| {
            let mut row: Vec<u32> = problem.candidates(portion).map(|c| c as u32).collect();
            row.sort_by_key(|&c| cost[c as usize]);
            row
        };
        let places: Vec<Vec<u32>> = (0..problem.portions()).map(sorted).collect();
        let mut portions: Vec<usize> = (0..problem.portions()).collect();
        portions.sort_by_key(|&i| places[i].len());
        let order: Vec<usize> = portions
            .into_iter()
            .flat_map(|i| problem.slots(i))
            .collect();
        let state = State::empty(problem, cost);
        let mut saves = vec![0; order.len() + 1];
        let mut wants = vec![state.wanted_by(&[]); order.len() + 1];
        for depth in (0..order.len()).rev() {
            let portion = portion_of(problem, order[depth]);
            let least = places[portion].first().map(|&c| cost[c as usize]);
            let saved = least.map_or(0, |least| (problem.penalty[portion] - least).max(0));
            saves[depth] = saves[depth + 1] + saved;
            wants[depth] = state.wanted_by(&order[depth..]);
        }
        Few {
            state,
            cost,
            order,
            places,
            saves,
            wants,
            total: start.total(),
            slots: start.slots().to_vec(),
            left: limit,
        }
    }

    /// The least that any completion costs once the slots before `depth` are decided.
    fn least(&self, depth: usize) -> i64 {
        self.state.total_without(&self.wants[depth]) - self.saves[depth]
    }

    /// Decides the slots from `depth` on, the first of them on the `from`th of its places or a later one: copies of one portion are
    /// alike. False where the limit came first.
    fn descend(&mut self, depth: usize, from: usize) -> bool {
        let Some(&slot) = self.order.get(depth) else {
            if self.state.total() < self.total {
                self.total = self.state.total();
                self.slots.copy_from_slice(self.state.slots());
            }
            return true;
        };
        let portion = portion_of(self.state.problem, slot);
        let next = self.order.get(depth + 1);
        let alike = next.is_some_and(|&next| portion_of(self.state.problem, next) == portion);
        let (least, count) = (self.least(depth), self.places[portion].len());
        for at in from..count {
            let place = self.places[portion][at] as usize;
            let more = self.cost[place] - self.cost[self.places[portion][0] as usize];
            if least + more >= self.total {
                break;
            }
            if !self.state.may_put(slot, place) {
                continue;
            }
            if self.left == 0 {
                return false;
            }
            self.left -= 1;
            self.state.put(slot, place);
            let from = if alike { at + 1 } else { 0 };
            let sure = self.least(depth + 1) >= self.total || self.descend(depth + 1, from);
            self.state.take(slot);
            if !sure {
                return false;
            }
        }
        debug_assert_eq!(self.state.slots()[slot], NOWHERE);
        let from = if alike { count } else { 0 };
        self.least(depth + 1) >= self.total || self.descend(depth + 1, from)
    }
}

fn portion_of(problem: &Problem, slot: usize) -> usize {
    problem.slot_portion[slot] as usize
}
