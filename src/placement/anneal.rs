//! The search: argmin's simulated annealing sets the temperature, and each of its iterations is a batch of in-place moves.

use std::cell::{Cell, RefCell};

use argmin::core::{CostFunction, Error, Executor, IterState};
use argmin::solver::simulatedannealing::{Anneal, SATempFunc, SimulatedAnnealing};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use super::bound::Prices;
use super::dual;
use super::exact::{self, Exact};
use super::few;
use super::greedy;
use super::guide::Guide;
use super::problem::Problem;
use super::shares;
use super::squeeze::squeeze_all;
use super::state::State;
use super::walk::Walk;

/// Chains with `iterations`, whatever the number of threads; the best is kept, so more chains are a wider search.
const CHAINS: usize = 4;
/// Temperatures of one cooling.
const STAIRS: u64 = 500;
/// With at most so many standbys, several short coolings find the optimum more surely than a long one.
const FEW_STANDBYS: usize = 64;
const COOLINGS_OF_FEW: u64 = 4;
/// The parts of the budget after which, with few standbys, a proof of the optimum is tried, and after which it is given up.
const BEFORE_PROOF: f64 = 0.1;
const PROOF: f64 = 0.9;
/// Steps of the proof for each move of the budget, or without one; and how many of its first decisions go both ways at once.
const PROOF_STEPS: u64 = 40;
const UNTIL_STOPPED_STEPS: u64 = 1 << 28;
const ABREAST: u32 = 6;
/// A problem is small if it is looked through from end to end with one placement for so many moves of the budget.
const MOVES_A_PLACEMENT: u64 = 4;
/// Moves between two looks at `stop` and at the time.
const STRIDE: u64 = 256;
/// Moves of the first cooling when nobody says how long the search may take; each later one has twice as many.
const FIRST_COOLING: u64 = 200_000;
/// The first temperature as a part of the typical change, and the last one as a part of the first.
const HOT: f64 = 2.0;
const COLD: f64 = 0.01;
/// The first temperature with a warm start, as a part of the typical change: what runs well is not melted down.
const WARM: f64 = 0.01;
/// Ascent steps of the dual whose prices tell the chains what to try first, and the part of the budget they may take.
const GUIDE_ROUNDS: u64 = 600;
const GUIDE_PART: f64 = 0.15;
/// The same for a large problem, whose prices take longer and tell more than a search finds out.
const GUIDE_ROUNDS_OF_MANY: u64 = 5_000;
const GUIDE_PART_OF_MANY: f64 = 0.3;

/// How long one chain goes on.
#[derive(Clone, Copy)]
pub(crate) enum Budget<'a> {
    /// So many moves in one cooling: the same answer every time.
    Moves(u64),
    /// One cooling that follows the part of the budget that is spent (0 to 1).
    Spent(&'a (dyn Fn() -> f64 + Sync)),
    /// Cooling after cooling, each twice as long, until `stop` says so.
    UntilStopped,
}

/// What a search is given besides the problem.
pub(crate) struct Search<'a> {
    pub(crate) problem: &'a Problem,
    /// What each candidate costs the search.
    pub(crate) cost: &'a [i64],
    pub(crate) warm: Option<&'a [Vec<usize>]>,
    pub(crate) seed: u64,
    /// Threads; 0 for as many as there are cores.
    pub(crate) threads: usize,
    pub(crate) budget: Budget<'a>,
    pub(crate) stop: &'a (dyn Fn() -> bool + Sync),
    /// Told the best total of a chain now and then.
    pub(crate) progress: Option<&'a (dyn Fn(i64) + Sync)>,
}

/// What a search found.
pub(crate) struct Found {
    /// The candidate of each slot.
    pub(crate) slots: Vec<u32>,
    pub(crate) prices: Prices,
}

impl Search<'_> {
    /// The best assignment of all chains; ties go to the first chain.
    pub(crate) fn run(&self) -> Found {
        let mut start = greedy::start(self.problem, self.cost, self.warm);
        if self.warm.is_some() {
            squeeze_all(&mut start, &self.stop);
        }
        if let Budget::Moves(moves) = self.budget
            && let Some((total, slots)) = few::best(&start, self.cost, moves / MOVES_A_PLACEMENT)
        {
            let mut prices = Prices::default();
            // With move costs the search pays more than the objective has.
            if *self.cost == self.problem.candidate_cost {
                prices.bound = total;
            }
            return Found { slots, prices };
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .build();
        match pool {
            Ok(pool) => pool.install(|| self.run_from(start)),
            // Where no thread can be had, the same chains run in the global pool.
            Err(_) => self.run_from(start),
        }
    }

    fn run_from(&self, start: State) -> Found {
        let prices = self.prices(&start);
        let guide = Guide::of(self.problem, &prices);
        let start = self.rounded(start, &prices);
        if exact::suits(self.problem) {
            return self.run_few(start, &guide, prices);
        }
        let (_, slots) = self.chains(&start, &guide, self.budget);
        Found { slots, prices }
    }

    /// The better of a start and what the relaxed problem rounds to.
    fn rounded<'s>(&'s self, start: State<'s>, prices: &Prices) -> State<'s> {
        if prices.shares.is_empty() {
            return start;
        }
        let mut rounded = shares::rounded(self.problem, self.cost, &prices.shares);
        greedy::fill(&mut rounded);
        if rounded.total() < start.total() {
            return rounded;
        }
        start
    }

    /// Few standbys: a short search, a proof as far as the budget goes, and where that is not far enough the search goes on.
    fn run_few(&self, start: State, guide: &Guide, mut prices: Prices) -> Found {
        let spent = |until: f64| {
            move || match self.budget {
                Budget::Spent(spent) => spent() / until,
                Budget::Moves(_) | Budget::UntilStopped => 0.0,
            }
        };
        let (before, proving) = (spent(BEFORE_PROOF), spent(PROOF));
        let (budget, limit, abreast) = match self.budget {
            Budget::Moves(moves) => (self.budget, moves.saturating_mul(PROOF_STEPS), 0),
            Budget::Spent(_) => (Budget::Spent(&before), u64::MAX, ABREAST),
            Budget::UntilStopped => (Budget::Moves(FIRST_COOLING), UNTIL_STOPPED_STEPS, ABREAST),
        };
        let (total, mut slots) = self.chains(&start, guide, budget);
        let stop = || (self.stop)() || proving() >= 1.0;
        let exact = Exact {
            problem: self.problem,
            cost: self.cost,
            limit,
            stop: &stop,
            abreast,
        };
        let proof = exact.run(total);
        slots = proof.slots.unwrap_or(slots);
        // With move costs the search pays more than the objective has.
        if *self.cost == self.problem.candidate_cost {
            prices.bound = prices.bound.max(proof.bound);
        }
        if proof.bound < proof.best && !matches!(self.budget, Budget::Moves(_)) {
            let best = State::of(self.problem, self.cost, &slots);
            (_, slots) = self.chains(&best, guide, self.budget);
        }
        Found { slots, prices }
    }

    /// The best total of several chains from the same start, and its slots; ties go to the first chain.
    fn chains(&self, start: &State, guide: &Guide, budget: Budget) -> (i64, Vec<u32>) {
        let chains = match budget {
            Budget::Moves(_) => CHAINS,
            Budget::Spent(_) | Budget::UntilStopped => rayon::current_num_threads(),
        };
        let chain = |number| self.chain(number, start.clone(), guide, budget);
        let found: Vec<(i64, Vec<u32>)> = (0..chains).into_par_iter().map(chain).collect();
        let best = found.into_iter().min_by_key(|(total, _)| *total);
        best.unwrap_or_else(|| (start.total(), start.slots().to_vec()))
    }

    /// What the chains are guided by; nothing where a placement runs already, whose neighbourhood is all that is searched.
    fn prices(&self, start: &State) -> Prices {
        if self.warm.is_some() {
            return Prices::default();
        }
        let (stop, budget) = (self.stop, self.budget);
        let (rounds, part) = if dual::is_large(self.problem) {
            (GUIDE_ROUNDS_OF_MANY, GUIDE_PART_OF_MANY)
        } else {
            (GUIDE_ROUNDS, GUIDE_PART)
        };
        let enough = move || match budget {
            Budget::Spent(spent) => stop() || spent() > part,
            Budget::Moves(_) | Budget::UntilStopped => stop(),
        };
        let known = start.total();
        Prices::raise(self.problem, Prices::default(), known, rounds, &enough)
    }

    fn chain(&self, number: usize, start: State, guide: &Guide, budget: Budget) -> (i64, Vec<u32>) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        (0..number).for_each(|_| rng.jump());
        let walk = RefCell::new(Walk::new(start, guide, rng));
        let typical = walk.borrow_mut().typical_change();
        let few = self.problem.wanted() <= FEW_STANDBYS;
        let coolings = if few { COOLINGS_OF_FEW } else { 1 };
        match budget {
            _ if self.problem.wanted() == 0 => {}
            Budget::UntilStopped => {
                let mut moves = FIRST_COOLING;
                while !(self.stop)() {
                    self.cool(&walk, typical, Pace::Moves(moves.div_ceil(STAIRS)));
                    walk.borrow_mut().return_to_best();
                    moves *= 2;
                }
            }
            Budget::Moves(moves) => (0..coolings).for_each(|_| {
                let each = moves.div_ceil(STAIRS * coolings);
                self.cool(&walk, typical, Pace::Moves(each));
            }),
            Budget::Spent(spent) => {
                let began = spent();
                let rest = (1.0 - began).max(f64::MIN_POSITIVE);
                let spent = move || (spent() - began) / rest;
                (0..coolings).for_each(|cooling| {
                    let pace = Pace::Spent {
                        spent: &spent,
                        stairs: coolings * STAIRS,
                        climbed: Cell::new(cooling * STAIRS),
                    };
                    self.cool(&walk, typical, pace);
                });
            }
        }
        let mut walk = walk.into_inner();
        walk.squeeze_best(&self.stop);
        (walk.best_total(), walk.best().to_vec())
    }

    /// One cooling from hot to cold. What argmin returns is not needed: the walk keeps its best itself, also when it was
    /// stopped, which argmin only knows as an error.
    fn cool(&self, walk: &RefCell<Walk>, typical: f64, pace: Pace) {
        let hot = if self.warm.is_some() { WARM } else { HOT } * typical;
        let factor = COLD.powf(1.0 / STAIRS as f64);
        let first = walk.borrow().best_total();
        let batches = Batches {
            walk,
            pace,
            stop: self.stop,
            progress: self.progress,
        };
        let Ok(solver) =
            SimulatedAnnealing::new_with_rng(hot, Xoshiro256PlusPlus::seed_from_u64(0))
        else {
            return;
        };
        let solver = solver.with_temp_func(SATempFunc::Exponential(factor));
        let _stopped_or_done = Executor::new(batches, solver)
            .configure(|state: IterState<i64, (), (), (), (), f64>| {
                state.param(first).max_iters(STAIRS)
            })
            .ctrlc(false)
            .timer(false)
            .run();
    }
}

/// When a batch ends.
enum Pace<'a> {
    Moves(u64),
    /// When its part of `stairs` equal parts of the budget is spent.
    Spent {
        spent: &'a dyn Fn() -> f64,
        stairs: u64,
        climbed: Cell<u64>,
    },
}

impl Pace<'_> {
    /// Moves until the next look; 0 ends the batch, of which `made` are made.
    fn stride(&self, made: u64) -> u64 {
        match self {
            Pace::Moves(moves) => STRIDE.min(moves - made),
            Pace::Spent {
                spent,
                stairs,
                climbed,
            } => {
                let next = climbed.get() + 1;
                if spent() * (*stairs as f64) < next as f64 {
                    return STRIDE;
                }
                climbed.set(next);
                0
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the search was stopped; its best assignment stands")]
struct Stopped;

/// argmin's view of a walk, whose parameter is the best total so far: copying assignments through argmin would dominate.
/// `anneal` makes a batch of moves in place, each accepted at argmin's temperature, so argmin's own acceptance of the batch
/// has nothing to throw away.
struct Batches<'a, 'p> {
    walk: &'a RefCell<Walk<'p>>,
    pace: Pace<'a>,
    stop: &'a (dyn Fn() -> bool + Sync),
    progress: Option<&'a (dyn Fn(i64) + Sync)>,
}

impl CostFunction for Batches<'_, '_> {
    type Param = i64;
    type Output = f64;

    fn cost(&self, param: &i64) -> Result<f64, Error> {
        Ok(*param as f64)
    }
}

impl Anneal for Batches<'_, '_> {
    type Param = i64;
    type Output = i64;
    type Float = f64;

    fn anneal(&self, _param: &i64, temperature: f64) -> Result<i64, Error> {
        let mut walk = self.walk.borrow_mut();
        let mut made = 0;
        loop {
            let stride = self.pace.stride(made);
            if stride == 0 {
                break;
            }
            if (self.stop)() {
                return Err(Stopped.into());
            }
            (0..stride).for_each(|_| walk.step(temperature));
            made += stride;
        }
        if let Some(progress) = self.progress {
            progress(walk.best_total());
        }
        Ok(walk.best_total())
    }
}
