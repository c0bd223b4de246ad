//! The search: argmin's simulated annealing sets the temperature, and each of its iterations is a batch of in-place moves.

use std::cell::RefCell;

use argmin::core::{CostFunction, Error, Executor, IterState};
use argmin::solver::simulatedannealing::{Anneal, SATempFunc, SimulatedAnnealing};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use super::greedy;
use super::problem::Problem;
use super::state::State;
use super::walk::Walk;

/// Chains with `iterations`, whatever the number of threads; the best is kept, so more chains are a wider search.
const CHAINS: usize = 4;
/// Temperatures of one cooling.
const STAIRS: u64 = 500;
/// Moves between two looks at `stop` and at the time.
const STRIDE: u64 = 256;
/// Moves of the first cooling when nobody says how long the search may take; each later one has twice as many.
const FIRST_COOLING: u64 = 200_000;
/// The first temperature as a part of the typical worsening, and the last one as a part of the first.
const HOT: f64 = 0.5;
const COLD: f64 = 0.01;
/// The first temperature with a warm start, as a part of the typical worsening: what runs well is not melted down.
const WARM: f64 = 0.01;

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
}

impl Search<'_> {
    /// The candidate of each slot in the best assignment of all chains; ties go to the first chain.
    pub(crate) fn run(&self) -> Vec<u32> {
        let start = greedy::start(self.problem, self.cost, self.warm);
        let Ok(pool) = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .build()
        else {
            return self.chain(0, start).1;
        };
        let chains = match self.budget {
            Budget::Moves(_) => CHAINS,
            _ => pool.current_num_threads(),
        };
        let found: Vec<(i64, Vec<u32>)> = pool.install(|| {
            (0..chains)
                .into_par_iter()
                .map(|c| self.chain(c, start.clone()))
                .collect()
        });
        found
            .into_iter()
            .min_by_key(|(total, _)| *total)
            .map(|(_, slots)| slots)
            .unwrap_or_default()
    }

    fn chain(&self, number: usize, start: State) -> (i64, Vec<u32>) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        (0..number).for_each(|_| rng.jump());
        let walk = RefCell::new(Walk::new(start, rng));
        let typical = walk.borrow_mut().typical_change();
        match self.budget {
            _ if self.problem.wanted() == 0 => {}
            Budget::UntilStopped => {
                let mut moves = FIRST_COOLING;
                while !(self.stop)() {
                    self.cool(&walk, typical, Pace::Moves(moves.div_ceil(STAIRS)));
                    walk.borrow_mut().return_to_best();
                    moves *= 2;
                }
            }
            Budget::Moves(moves) => self.cool(&walk, typical, Pace::Moves(moves.div_ceil(STAIRS))),
            Budget::Spent(spent) => self.cool(&walk, typical, Pace::Spent(spent)),
        }
        let mut walk = walk.into_inner();
        (walk.best_total(), walk.best().to_vec())
    }

    /// One cooling from hot to cold. What argmin returns is not needed: the walk keeps its best itself, also when it was
    /// stopped, which argmin only knows as an error.
    fn cool(&self, walk: &RefCell<Walk>, typical: f64, pace: Pace) {
        let hot = if self.warm.is_some() { WARM } else { HOT } * typical;
        let factor = COLD.powf(1.0 / STAIRS as f64);
        let stair = RefCell::new(0);
        let first = walk.borrow().best_total();
        let batches = Batches {
            walk,
            pace,
            stair,
            stop: self.stop,
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
    Spent(&'a (dyn Fn() -> f64 + Sync)),
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
    stair: RefCell<u64>,
    stop: &'a (dyn Fn() -> bool + Sync),
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
        let mut stair = self.stair.borrow_mut();
        *stair += 1;
        let mut made = 0;
        loop {
            let stride = match self.pace {
                Pace::Moves(moves) => STRIDE.min(moves - made),
                Pace::Spent(spent) if spent() * STAIRS as f64 >= *stair as f64 => 0,
                Pace::Spent(_) => STRIDE,
            };
            if stride == 0 {
                break;
            }
            if (self.stop)() {
                return Err(Stopped.into());
            }
            (0..stride).for_each(|_| walk.step(temperature));
            made += stride;
        }
        Ok(walk.best_total())
    }
}
