//! A lower bound by Lagrangian relaxation, its multipliers ascended by the volume algorithm, run by argmin.
//!
//! With y_j = 1 for a used node, the standbys wanted (multiplier v_i), the capacities with their right-hand side times y_j
//! (multipliers l_jrf >= 0) and "at most one standby in a domain" (w_id >= 0, only where more than one is wanted) are relaxed.
//! What is left falls apart by node and has integral solutions, so the best multipliers reach the linear bound with x <= y:
//! L = sum k_i v_i - sum w_id + sum_j min(0, open_j - sum l_jrf free_jr + sum_i min(0, cost_ij + load_ij(l) + w_id - v_i)),
//! with v_i <= unplaced_penalty_i. Any multipliers give a valid bound, so an ascent that stops early is only less tight.
//! Source of the ascent: Barahona and Anbil, "The volume algorithm: producing primal solutions with a subgradient method"
//! (2000).

use argmin::core::{
    Error, Executor, IterState, KV, Operator, Problem as Counted, Solver, State as _,
    TerminationReason, TerminationStatus,
};

use super::problem::{MAX_RESOURCES, Problem};

/// Steps without a better bound before steps become shorter.
const PATIENCE: u32 = 12;
/// First length of a step, in parts of Polyak's; it grows and shrinks by these factors.
const FIRST_STRIDE: f64 = 0.1;
const LONGER: f64 = 1.1;
const SHORTER: f64 = 0.7;
/// Below this length the ascent has converged.
const LAST_STRIDE: f64 = 1e-7;
/// Largest part of a new slope in the direction, at first and at last; halved when an epoch gains less than `GAIN`.
const FIRST_FRESH: f64 = 0.1;
const LAST_FRESH: f64 = 1e-3;
const EPOCH: u32 = 100;
const GAIN: f64 = 1e-3;

type Ascending = IterState<Vec<f64>, (), (), (), (), f64>;

/// The largest integer that no placement is known to undercut, found within `rounds` steps and until `stop`; `known` is the
/// objective of any feasible placement and guides the steps only.
pub fn lower_bound(
    problem: &Problem,
    known: i64,
    rounds: u64,
    stop: &(dyn Fn() -> bool + Sync),
) -> i64 {
    let dual = Dual::new(problem);
    let start = dual.start();
    let ascent = Ascent::new(known as f64, dual.ceilings(), stop);
    let outcome = Executor::new(dual, ascent)
        .configure(|state: Ascending| state.param(start).max_iters(rounds))
        .ctrlc(false)
        .timer(false)
        .run();
    // Every cost is an integer, so the bound may be rounded up, after giving away what floating point may have added.
    outcome.map_or(0, |outcome| {
        let best = -outcome.state.get_best_cost();
        (best - best.abs() * 1e-9 - 1e-6).ceil().max(0.0) as i64
    })
}

/// The dual function. Its parameter holds v, then l by (node, failed domain, resource) in parts of the node's free amount,
/// then w by (portion that wants several, domain).
struct Dual<'p> {
    problem: &'p Problem,
    /// Offsets of l and w, and the length.
    capacity_at: usize,
    spread_at: usize,
    length: usize,
    /// Number of the portion among those that want several.
    spread: Vec<Option<usize>>,
    /// One over each node's free amounts (at least one).
    scale: Vec<[f64; MAX_RESOURCES]>,
}

/// Value and supergradient.
struct Slope {
    value: f64,
    slope: Vec<f64>,
}

impl<'p> Dual<'p> {
    fn new(problem: &'p Problem) -> Self {
        let capacity_at = problem.portions();
        let spread_at = capacity_at + problem.nodes() * problem.domains * MAX_RESOURCES;
        let mut several = 0;
        let spread = (0..problem.portions()).map(|i| {
            (problem.slots(i).len() > 1).then(|| {
                several += 1;
                several - 1
            })
        });
        let spread: Vec<Option<usize>> = spread.collect();
        let inverse = |free: &i32| 1.0 / f64::from((*free).max(1));
        let scale = problem
            .free
            .iter()
            .map(|free| std::array::from_fn(|r| inverse(&free[r])));
        Self {
            problem,
            capacity_at,
            spread_at,
            length: spread_at + several * problem.domains,
            spread,
            scale: scale.collect(),
        }
    }

    /// Each portion begins at its cheapest place, everything else at zero.
    fn start(&self) -> Vec<f64> {
        let mut start = vec![0.0; self.length];
        for (i, v) in start.iter_mut().enumerate().take(self.problem.portions()) {
            let cheapest = self
                .problem
                .candidates(i)
                .next()
                .map(|c| self.problem.candidate_cost[c]);
            let penalty = self.problem.penalty[i];
            *v = cheapest.map_or(penalty, |cost| cost.min(penalty)) as f64;
        }
        start
    }

    /// The largest value of each multiplier; the smallest is zero.
    fn ceilings(&self) -> Vec<f64> {
        let mut ceilings = vec![f64::INFINITY; self.length];
        for (ceiling, &penalty) in ceilings.iter_mut().zip(&self.problem.penalty) {
            *ceiling = penalty as f64;
        }
        ceilings
    }

    fn slope(&self, at: &[f64]) -> Slope {
        let problem = self.problem;
        let mut slope = vec![0.0; self.length];
        let mut value = 0.0;
        for i in 0..problem.portions() {
            let wanted = problem.slots(i).len() as f64;
            slope[i] = wanted;
            value += wanted * at[i];
        }
        for w in self.spread_at..self.length {
            slope[w] = -1.0;
            value -= at[w];
        }
        let mut taken = Vec::new();
        for node in 0..problem.nodes() {
            value += self.node(node, at, &mut slope, &mut taken);
        }
        Slope { value, slope }
    }

    /// The node's part of the value; its part of the slope is added.
    fn node(&self, node: usize, at: &[f64], slope: &mut [f64], taken: &mut Vec<u32>) -> f64 {
        let problem = self.problem;
        let width = problem.domains * MAX_RESOURCES;
        let begin = self.capacity_at + node * width;
        let prices = &at[begin..begin + width];
        let mut held = [0.0; MAX_RESOURCES];
        for price in prices.chunks_exact(MAX_RESOURCES) {
            (0..MAX_RESOURCES).for_each(|r| held[r] += price[r]);
        }
        let scale = &self.scale[node];
        let room: [f64; MAX_RESOURCES] =
            std::array::from_fn(|r| f64::from(problem.free[node][r]) * scale[r]);
        let mut value = problem.open_cost[node] as f64;
        (0..MAX_RESOURCES).for_each(|r| value -= held[r] * room[r]);
        taken.clear();
        for &c in problem.visitors(node) {
            let i = problem.candidate_portion[c as usize] as usize;
            let surge = &prices[problem.home[i] as usize * MAX_RESOURCES..][..MAX_RESOURCES];
            let mut cost = problem.candidate_cost[c as usize] as f64 - at[i];
            for r in 0..MAX_RESOURCES {
                let reserve = f64::from(problem.reserve[i][r]) * held[r];
                cost += scale[r] * (reserve + f64::from(problem.surge[i][r]) * surge[r]);
            }
            if let Some(w) = self.spread_of(i, node) {
                cost += at[w];
            }
            if cost < 0.0 {
                value += cost;
                taken.push(c);
            }
        }
        if value >= 0.0 {
            return 0.0;
        }
        self.use_node(node, &room, slope, taken);
        value
    }

    /// Adds to the slope what a used node with these candidates does to the relaxed rows.
    fn use_node(&self, node: usize, room: &[f64; 4], slope: &mut [f64], taken: &[u32]) {
        let problem = self.problem;
        let scale = &self.scale[node];
        let begin = self.capacity_at + node * problem.domains * MAX_RESOURCES;
        let mut all: [f64; MAX_RESOURCES] = std::array::from_fn(|r| -room[r]);
        for &c in taken {
            let i = problem.candidate_portion[c as usize] as usize;
            slope[i] -= 1.0;
            if let Some(w) = self.spread_of(i, node) {
                slope[w] += 1.0;
            }
            let surge =
                &mut slope[begin + problem.home[i] as usize * MAX_RESOURCES..][..MAX_RESOURCES];
            for r in 0..MAX_RESOURCES {
                all[r] += scale[r] * f64::from(problem.reserve[i][r]);
                surge[r] += scale[r] * f64::from(problem.surge[i][r]);
            }
        }
        let own = problem.node_domain[node] as usize;
        for failed in 0..problem.domains {
            let row = &mut slope[begin + failed * MAX_RESOURCES..][..MAX_RESOURCES];
            for r in 0..MAX_RESOURCES {
                // A node's own domain takes it along when it fails, so there is no row for it.
                row[r] = if failed == own { 0.0 } else { row[r] + all[r] };
            }
        }
    }

    /// Where w of the portion and the node's domain is.
    fn spread_of(&self, portion: usize, node: usize) -> Option<usize> {
        let domain = self.problem.node_domain[node] as usize;
        self.spread[portion].map(|number| self.spread_at + number * self.problem.domains + domain)
    }
}

impl Operator for Dual<'_> {
    type Param = Vec<f64>;
    type Output = Slope;

    fn apply(&self, at: &Vec<f64>) -> Result<Slope, Error> {
        Ok(self.slope(at))
    }
}

/// The volume algorithm as a solver for argmin's executor: steps go from the best point so far along an average of the
/// slopes. Its cost is minus the dual value, since argmin minimises.
struct Ascent<'a> {
    /// Objective of a feasible placement: the target of Polyak's step.
    known: f64,
    ceilings: Vec<f64>,
    stop: &'a (dyn Fn() -> bool + Sync),
    direction: Vec<f64>,
    best: f64,
    stride: f64,
    fresh: f64,
    since_better: u32,
    round: u32,
    /// Best value when the epoch began.
    milestone: f64,
}

impl<'a> Ascent<'a> {
    fn new(known: f64, ceilings: Vec<f64>, stop: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self {
            known,
            ceilings,
            stop,
            direction: Vec::new(),
            best: f64::NEG_INFINITY,
            stride: FIRST_STRIDE,
            fresh: FIRST_FRESH,
            since_better: 0,
            round: 0,
            milestone: f64::NEG_INFINITY,
        }
    }

    /// The point one step along the direction, kept between zero and the ceilings.
    fn step_from(&self, base: &[f64]) -> Vec<f64> {
        let bounded = || base.iter().zip(&self.direction).zip(&self.ceilings);
        let free = bounded()
            .filter(|&((&x, &d), &ceiling)| !((x <= 0.0 && d < 0.0) || (x >= ceiling && d > 0.0)));
        let length: f64 = free.map(|((_, d), _)| d * d).sum();
        let step = self.stride * (self.known - self.best).max(1.0) / length.max(1e-12);
        bounded()
            .map(|((&x, &d), &ceiling)| (x + step * d).clamp(0.0, ceiling))
            .collect()
    }

    /// Mixes a new slope into the direction, so that the mix is as short as it may be.
    fn turn(&mut self, slope: &[f64], better: bool) {
        let (mut slopes, mut mixed, mut directions) = (0.0, 0.0, 0.0);
        for (g, d) in slope.iter().zip(&self.direction) {
            slopes += g * g;
            mixed += g * d;
            directions += d * d;
        }
        let shortest = (directions - mixed) / (slopes - 2.0 * mixed + directions).max(1e-12);
        let part = if shortest < 0.0 {
            self.fresh / 10.0
        } else {
            shortest.min(self.fresh)
        };
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
            self.milestone = self.best;
        }
    }
}

impl Solver<Dual<'_>, Ascending> for Ascent<'_> {
    fn name(&self) -> &str {
        "volume algorithm"
    }

    fn init(
        &mut self,
        problem: &mut Counted<Dual<'_>>,
        mut state: Ascending,
    ) -> Result<(Ascending, Option<KV>), Error> {
        let start = state.take_param().unwrap_or_default();
        let Slope { value, slope } = problem.problem("slope_count", |dual| dual.apply(&start))?;
        self.best = value;
        self.direction = slope;
        Ok((state.param(start).cost(-value), None))
    }

    fn next_iter(
        &mut self,
        problem: &mut Counted<Dual<'_>>,
        state: Ascending,
    ) -> Result<(Ascending, Option<KV>), Error> {
        let base = state.get_best_param().map_or(&[][..], Vec::as_slice);
        let at = self.step_from(base);
        let Slope { value, slope } = problem.problem("slope_count", |dual| dual.apply(&at))?;
        self.turn(&slope, value > self.best);
        self.learn(value);
        Ok((state.param(at).cost(-value), None))
    }

    fn terminate(&mut self, _state: &Ascending) -> TerminationStatus {
        let reason = match () {
            () if (self.stop)() => "stopped",
            () if self.stride < LAST_STRIDE => "converged",
            () => return TerminationStatus::NotTerminated,
        };
        TerminationStatus::Terminated(TerminationReason::SolverExit(reason.to_owned()))
    }
}
