//! What the prices of the bound tell a search: which places to try first, and what the room on them is worth.

use super::bound::Prices;
use super::problem::Problem;

/// For each candidate, at the problem's offsets.
pub(crate) struct Guide {
    /// Each portion's candidates, the one that costs least at the prices first.
    pub(crate) order: Vec<u32>,
    /// What the room that a standby takes there is worth; nothing without prices.
    pub(crate) rents: Vec<f32>,
}

impl Guide {
    pub(crate) fn of(problem: &Problem, prices: &Prices) -> Self {
        let mut order: Vec<u32> = (0..problem.candidate_cost.len() as u32).collect();
        let rents = prices.rents(problem);
        let priced = |c: u32| problem.candidate_cost[c as usize] as f64 + rents[c as usize];
        if !rents.is_empty() {
            for portion in 0..problem.portions() {
                order[problem.candidates(portion)]
                    .sort_by(|&a, &b| priced(a).total_cmp(&priced(b)));
            }
        }
        let rents = rents.into_iter().map(|rent| rent as f32).collect();
        Self { order, rents }
    }
}
