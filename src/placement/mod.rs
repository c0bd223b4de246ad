//! Which standby copies go where, at what cost, and how far from the bound? Pure; it knows no cluster, only an instance of the problem.

mod anneal;
mod asked;
mod bound;
mod cheapest;
mod conditions;
mod cover;
mod dual;
mod exact;
mod explain;
mod few;
mod greedy;
mod guide;
mod instance;
mod lift;
mod packs;
mod polyak;
mod problem;
mod recount;
mod referee;
mod risk;
mod shared;
mod shares;
mod sharpen;
mod squeeze;
mod state;
#[cfg(test)]
mod tests;
mod violation;
mod walk;

use serde::Serialize;

pub use bound::lower_bound;
pub use conditions::{Conditions, Draw, Risk, Scenario, Shared};
pub use explain::{Candidate, alternatives, explain, near};
pub use instance::{
    Domain, FORMAT, Instance, MAX_RESOURCES, MAX_SCENARIOS, Node, Portion, ProblemError,
};
pub use problem::Problem;
pub use referee::{Score, check};
pub use risk::Unserved;
pub use violation::Violation;

use anneal::{Budget, Found, Search};
use bound::Prices;

/// Rounds of the bound when nobody says otherwise: within about 1 % of where it converges.
pub const BOUND_ROUNDS: u64 = 2_000;

/// How to search.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Moves of each of the chains; the same seed then gives the same answer with any number of threads. Without it the
    /// search follows `spent`, and without that goes on until `stop`.
    pub iterations: Option<u64>,
    /// The part of the time budget that is spent, 0 to 1: lets one cooling fill the time exactly. The caller has the clock.
    pub spent: Option<&'a (dyn Fn() -> f64 + Sync)>,
    pub seed: u64,
    /// Threads to use; 0 for one a core.
    pub threads: usize,
    /// The running placement: nodes of each portion.
    pub warm: Option<&'a [Vec<usize>]>,
    /// What it costs the search to put a standby where `warm` has none of its portion, in the instance's cost units. It is
    /// not part of the reported objective.
    pub move_cost: i64,
    /// Ascent steps of the lower bound.
    pub bound_rounds: u64,
    /// Told the best total of each chain at each of its temperatures, move and risk costs included.
    pub progress: Option<&'a (dyn Fn(i64) + Sync)>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            iterations: None,
            spent: None,
            seed: 0,
            threads: 0,
            warm: None,
            move_cost: 0,
            bound_rounds: BOUND_ROUNDS,
            progress: None,
        }
    }
}

/// A placement, and how good it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// It keeps every rule by the referee's count (standbys may still be missing, see `unplaced`).
    pub feasible: bool,
    /// By the instance's objective, without move costs.
    pub objective: i64,
    /// No placement costs less than this.
    pub bound: i64,
    /// How far the objective may be above the best one, in percent of the bound; never understated.
    pub gap_pct: f64,
    /// Node indices of each portion's standbys, ascending.
    pub standbys: Vec<Vec<usize>>,
    /// Standbys missing over all portions.
    pub unplaced: usize,
    /// For each portion with a missing standby (by index), what binds and what would free it.
    pub why_unplaced: Vec<(usize, String)>,
    /// Demand that goes unserved in the scenarios, if the problem weighs any; its cost is part of the objective.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unserved: Option<Unserved>,
    /// Where the next ascent of the bound begins.
    #[serde(skip)]
    prices: Prices,
}

/// Searches within `stop`, then proves a lower bound with `options.bound_rounds` steps that `stop` does not cut short.
/// Callers with a deadline for the bound too call [`search`] and [`prove`].
///
/// `stop` is asked every few hundred moves and must stay cheap.
pub fn solve(problem: &Problem, options: &Options, stop: &(dyn Fn() -> bool + Sync)) -> Answer {
    let mut answer = search(problem, options, stop);
    prove(problem, &mut answer, options.bound_rounds, &|| false);
    answer
}

/// Searches only; the answer's bound is that of the prices which guided the search.
pub fn search(problem: &Problem, options: &Options, stop: &(dyn Fn() -> bool + Sync)) -> Answer {
    let budget = match (options.iterations, options.spent) {
        (Some(moves), _) => Budget::Moves(moves),
        (None, Some(spent)) => Budget::Spent(spent),
        (None, None) => Budget::UntilStopped,
    };
    let cost = costs(problem, options);
    let search = Search {
        problem,
        cost: &cost,
        warm: options.warm,
        seed: options.seed,
        threads: options.threads,
        budget,
        stop,
        progress: options.progress,
    };
    let found = search.run();
    answer(problem, &cost, found)
}

/// Raises the answer's bound by at most `rounds` steps, until `stop`.
pub fn prove(
    problem: &Problem,
    answer: &mut Answer,
    rounds: u64,
    stop: &(dyn Fn() -> bool + Sync),
) {
    let from = std::mem::take(&mut answer.prices);
    answer.prices = Prices::raise(problem, from, answer.objective, rounds, stop);
    answer.bound = answer.prices.bound;
    answer.gap_pct = gap_pct(answer.objective, answer.bound);
}

/// Raises the answer's bound beyond the linear relaxation, by letting each node choose what it can hold, until `spent` (the part of the
/// budget that is gone, 0 to 1) is one. Called after [`prove`], from whose prices it goes on; it takes hundreds of times as long.
pub fn sharpen(problem: &Problem, answer: &mut Answer, spent: &(dyn Fn() -> f64 + Sync)) {
    let from = std::mem::take(&mut answer.prices);
    answer.prices = sharpen::sharpened(problem, from, answer.objective, spent);
    answer.bound = answer.prices.bound;
    answer.gap_pct = gap_pct(answer.objective, answer.bound);
}

/// What each candidate costs the search: moves away from the warm start cost extra.
fn costs(problem: &Problem, options: &Options) -> Vec<i64> {
    let mut cost = problem.candidate_cost.clone();
    let Some(warm) = options.warm else {
        return cost;
    };
    for (portion, stands) in warm.iter().enumerate().take(problem.portions()) {
        for candidate in problem.candidates(portion) {
            if !stands.contains(&(problem.candidate_node[candidate] as usize)) {
                cost[candidate] += options.move_cost.clamp(0, instance::MAX_COST);
            }
        }
    }
    cost
}

fn answer(problem: &Problem, cost: &[i64], found: Found) -> Answer {
    let standbys = state::standbys(problem, &found.slots);
    let why_unplaced = explain::unplaced(problem, cost, &found.slots);
    let score = check(problem, &standbys);
    let feasible = score.is_ok();
    let (objective, unplaced, unserved) = score.map_or((0, 0, None), |score| {
        (score.objective, score.unplaced, score.unserved)
    });
    let bound = found.prices.bound;
    Answer {
        feasible,
        objective,
        bound,
        gap_pct: gap_pct(objective, bound),
        standbys,
        unplaced,
        why_unplaced,
        unserved,
        prices: found.prices,
    }
}

/// In percent of the bound, rounded up in the fourth decimal; infinity cannot be written as JSON, so a zero bound counts as 1.
fn gap_pct(objective: i64, bound: i64) -> f64 {
    let excess = (objective - bound).max(0) as f64;
    (excess / bound.max(1) as f64 * 1e6).ceil() / 1e4
}
