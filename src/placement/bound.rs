//! A lower bound: the multipliers of the dual, ascended by the volume algorithm, run by argmin.
//!
//! Source of the ascent: Barahona and Anbil, "The volume algorithm: producing primal solutions with a subgradient method"
//! (2000).

use std::cell::RefCell;

use argmin::core::{
    Error, Executor, KV, Operator as _, Problem as Counted, Solver, State as _, TerminationReason,
    TerminationStatus,
};

use super::asked::{Ascending, Asked};
use super::dual::{self, Dual, Slope};
use super::lift::Lift;
use super::problem::Problem;
use super::shares::Shares;

/// Steps of Rprop before the volume algorithm, where a problem is large.
const LIFT_ROUNDS: u64 = 150;
/// Steps without a better bound before steps become shorter.
const PATIENCE: u32 = 12;
/// First length of a step, in parts of Polyak's; it grows and shrinks by these factors.
const FIRST_STRIDE: f64 = 0.1;
const LONGER: f64 = 1.1;
const SHORTER: f64 = 0.7;
/// How far above the best bound Polyak's target may lie: a first placement with much unplaced says nothing.
const TARGET: f64 = 1.1;
/// Below this length the ascent has converged.
const LAST_STRIDE: f64 = 1e-7;
/// Largest part of a new slope in the direction, at first and at last; halved when an epoch gains less than `GAIN`.
const FIRST_FRESH: f64 = 0.1;
const LAST_FRESH: f64 = 1e-3;
const EPOCH: u32 = 100;
const GAIN: f64 = 1e-3;
/// After so many epochs that each raise the bound by less than this part, it is left as it is.
const LAST_EPOCHS: u32 = 4;
const WORTH_WHILE: f64 = 2e-6;

/// Multipliers of the dual, and the largest integer that they prove no placement to undercut.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Prices {
    pub(crate) bound: i64,
    pub(super) at: Vec<f64>,
    /// How much of a standby the relaxed problem puts on each candidate, about: the primal side of the ascent.
    pub(crate) shares: Vec<f32>,
}

impl Prices {
    /// Raises the bound from `from` within `rounds` steps and until `stop`; `known` is the objective of any feasible placement
    /// and guides the steps only.
    pub(crate) fn raise(
        problem: &Problem,
        from: Self,
        known: i64,
        rounds: u64,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Self {
        if from.bound >= known {
            return from;
        }
        let dual = Dual::new(problem);
        let fresh = !dual.takes(&from.at);
        let start = if fresh { dual.start() } else { from.at.clone() };
        let shortlist = RefCell::default();
        let slope = |at: &[f64]| dual.slope(at, &mut shortlist.borrow_mut());
        let start = if fresh && dual::is_large(problem) {
            lift(&dual, &slope, start, stop)
        } else {
            start
        };
        let ascent = Ascent::new(known as f64, &dual, problem.candidate_cost.len(), stop);
        match ascent.climb(&slope, start, rounds) {
            Some((at, value, shares)) if dual.takes(&at) => Self {
                bound: rounded_up(value).max(from.bound),
                at,
                shares,
            },
            _ => from,
        }
    }

    /// What the room of a standby on each candidate is worth; empty if nothing is known.
    pub(super) fn rents(&self, problem: &Problem) -> Vec<f64> {
        if self.at.is_empty() {
            return Vec::new();
        }
        let dual = Dual::new(problem);
        if dual.takes(&self.at) {
            dual.rents(&self.at)
        } else {
            Vec::new()
        }
    }
}

/// Multipliers that begin far too low, lifted to about where they belong.
pub(super) fn lift(
    dual: &Dual,
    slope: &dyn Fn(&[f64]) -> Slope,
    start: Vec<f64>,
    stop: &(dyn Fn() -> bool + Sync),
) -> Vec<f64> {
    let lift = Lift::new(dual.first_steps(), dual.ceilings(), stop);
    let outcome = Executor::new(Asked { slope }, lift)
        .configure(|state: Ascending| state.param(start.clone()).max_iters(LIFT_ROUNDS))
        .ctrlc(false)
        .timer(false)
        .run();
    let lifted = outcome.ok().and_then(|mut o| o.state.take_best_param());
    lifted.unwrap_or(start)
}

/// The largest integer that no placement is known to undercut, found within `rounds` steps and until `stop`; `known` is the
/// objective of any feasible placement and guides the steps only.
pub fn lower_bound(
    problem: &Problem,
    known: i64,
    rounds: u64,
    stop: &(dyn Fn() -> bool + Sync),
) -> i64 {
    Prices::raise(problem, Prices::default(), known, rounds, stop).bound
}

/// Every cost is an integer, so a bound may be rounded up, after giving away what floating point may have added.
pub(super) fn rounded_up(value: f64) -> i64 {
    (value - value.abs() * 1e-9 - 1e-6).ceil().max(0.0) as i64
}

/// The volume algorithm as a solver for argmin's executor: steps go from the best point so far along an average of the
/// slopes. Its cost is minus the dual value, since argmin minimises.
pub(super) struct Ascent<'a> {
    /// Objective of a feasible placement: the target of Polyak's step.
    known: f64,
    ceilings: Vec<f64>,
    stop: &'a (dyn Fn() -> bool + Sync),
    /// How fast each multiplier moves.
    paces: Vec<f64>,
    shares: Shares,
    direction: Vec<f64>,
    best: f64,
    stride: f64,
    fresh: f64,
    since_better: u32,
    round: u32,
    /// Best value when the epoch began, and epochs since it last rose worth the while.
    milestone: f64,
    idle: u32,
}

impl<'a> Ascent<'a> {
    /// `known` is the objective of any feasible placement of the dual's problem, which has so many candidates.
    fn new(
        known: f64,
        dual: &Dual,
        candidates: usize,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Self {
        Self {
            known,
            ceilings: dual.ceilings(),
            stop,
            paces: dual.paces(),
            shares: Shares::of(candidates),
            direction: Vec::new(),
            best: f64::NEG_INFINITY,
            stride: FIRST_STRIDE,
            fresh: FIRST_FRESH,
            since_better: 0,
            round: 0,
            milestone: f64::NEG_INFINITY,
            idle: 0,
        }
    }

    /// The best multipliers found from `start` within `rounds` steps, the value of the dual there, and the share of each candidate.
    pub(super) fn climb(
        self,
        slope: &dyn Fn(&[f64]) -> Slope,
        start: Vec<f64>,
        rounds: u64,
    ) -> Option<(Vec<f64>, f64, Vec<f32>)> {
        let outcome = Executor::new(Asked { slope }, self)
            .configure(|state: Ascending| state.param(start).max_iters(rounds))
            .ctrlc(false)
            .timer(false)
            .run();
        let outcome = outcome.ok()?;
        let mut state = outcome.state;
        let value = -state.get_best_cost();
        Some((state.take_best_param()?, value, outcome.solver.shares.all()))
    }

    /// The point one step along the direction, kept between zero and the ceilings.
    fn step_from(&self, base: &[f64]) -> Vec<f64> {
        let moves = self.direction.iter().zip(&self.paces);
        let bounded = || base.iter().zip(moves.clone()).zip(&self.ceilings);
        let free = bounded().filter(|&((&x, (&d, _)), &ceiling)| {
            !((x <= 0.0 && d < 0.0) || (x >= ceiling && d > 0.0))
        });
        let length: f64 = free.map(|((_, (d, pace)), _)| d * d * pace).sum();
        let target = self.known.min(self.best.max(1.0) * TARGET);
        let step = self.stride * (target - self.best).max(1.0) / length.max(1e-12);
        bounded()
            .map(|((&x, (&d, pace)), &ceiling)| (x + step * d * pace).clamp(0.0, ceiling))
            .collect()
    }

    /// Mixes a new slope into the direction, so that the mix is as short as it may be, and what it uses into the shares.
    fn turn(&mut self, slope: &[f64], used: &[u32], better: bool) {
        let (mut slopes, mut mixed, mut directions) = (0.0, 0.0, 0.0);
        for ((g, d), pace) in slope.iter().zip(&self.direction).zip(&self.paces) {
            slopes += g * g * pace;
            mixed += g * d * pace;
            directions += d * d * pace;
        }
        let shortest = (directions - mixed) / (slopes - 2.0 * mixed + directions).max(1e-12);
        let part = if shortest < 0.0 {
            self.fresh / 10.0
        } else {
            shortest.min(self.fresh)
        };
        self.shares.mix(used, part);
        for (d, g) in self.direction.iter_mut().zip(slope) {
            *d += part * (g - *d);
        }
        if better && mixed > 0.0 {
            self.stride = (self.stride * LONGER).min(2.0);
        }
    }

    /// Adapts the step and the mix to how well it goes.
    fn learn(&mut self, value: f64) {
        if value > self.best {
            self.best = value;
            self.since_better = 0;
        } else {
            self.since_better += 1;
        }
        if self.since_better == PATIENCE {
            self.since_better = 0;
            self.stride *= SHORTER;
        }
        self.round += 1;
        if self.round.is_multiple_of(EPOCH) {
            if self.best - self.milestone < GAIN * self.milestone.abs() {
                self.fresh = (self.fresh / 2.0).max(LAST_FRESH);
            }
            let rises = self.best - self.milestone >= WORTH_WHILE * self.milestone.abs();
            self.idle = if rises { 0 } else { self.idle + 1 };
            self.milestone = self.best;
        }
    }
}

impl Solver<Asked<'_>, Ascending> for Ascent<'_> {
    fn name(&self) -> &str {
        "volume algorithm"
    }

    fn init(
        &mut self,
        problem: &mut Counted<Asked<'_>>,
        mut state: Ascending,
    ) -> Result<(Ascending, Option<KV>), Error> {
        let start = state.take_param().unwrap_or_default();
        let Slope { value, slope, used } =
            problem.problem("slope_count", |asked| asked.apply(&start))?;
        self.shares.mix(&used, 1.0);
        self.best = value;
        self.direction = slope;
        Ok((state.param(start).cost(-value), None))
    }

    fn next_iter(
        &mut self,
        problem: &mut Counted<Asked<'_>>,
        state: Ascending,
    ) -> Result<(Ascending, Option<KV>), Error> {
        let base = state.get_best_param().map_or(&[][..], Vec::as_slice);
        let at = self.step_from(base);
        let Slope { value, slope, used } =
            problem.problem("slope_count", |asked| asked.apply(&at))?;
        self.turn(&slope, &used, value > self.best);
        self.learn(value);
        Ok((state.param(at).cost(-value), None))
    }

    fn terminate(&mut self, _state: &Ascending) -> TerminationStatus {
        let reason = match () {
            () if (self.stop)() => "stopped",
            () if self.stride < LAST_STRIDE || self.idle >= LAST_EPOCHS => "converged",
            () => return TerminationStatus::NotTerminated,
        };
        TerminationStatus::Terminated(TerminationReason::SolverExit(reason.to_owned()))
    }
}
