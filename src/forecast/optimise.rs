//! The one door to argmin, without a clock and without dice: Nelder–Mead (Nelder & Mead 1965) where a loss has corners, and
//! L-BFGS (Liu & Nocedal 1989) with the line search of Moré & Thuente (1994) where its gradient is known.

use argmin::core::{CostFunction, Error, Executor, Gradient, State};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::neldermead::NelderMead;
use argmin::solver::quasinewton::LBFGS;
use std::cell::RefCell;

/// What a cost that is not a number counts as: NaN would stop the simplex.
const HOPELESS: f64 = 1e30;

struct Cost<F>(F);

impl<F: Fn(&[f64]) -> f64> CostFunction for Cost<F> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, param: &Self::Param) -> Result<f64, Error> {
        let cost = (self.0)(param);
        Ok(if cost.is_finite() { cost } else { HOPELESS })
    }
}

/// Minimises `cost` from `start` with a first simplex of edge `reach`, at most `iterations` steps.
/// Returns the best parameters seen and their cost; the start itself if nothing better is found.
pub fn minimise(
    start: &[f64],
    reach: f64,
    iterations: u64,
    cost: impl Fn(&[f64]) -> f64,
) -> (Vec<f64>, f64) {
    let at_start = cost(start);
    let fallback = (
        start.to_vec(),
        if at_start.is_finite() {
            at_start
        } else {
            HOPELESS
        },
    );
    if start.is_empty() {
        return fallback;
    }
    let mut simplex = vec![start.to_vec()];
    for axis in 0..start.len() {
        let mut vertex = start.to_vec();
        vertex[axis] += reach;
        simplex.push(vertex);
    }
    let Ok(solver) = NelderMead::new(simplex).with_sd_tolerance(1e-5 * fallback.1.abs().min(1.0))
    else {
        return fallback;
    };
    let run = Executor::new(Cost(cost), solver)
        .configure(|state| state.max_iters(iterations))
        .timer(false)
        .run();
    match run {
        Ok(done) => {
            let state = done.state();
            match state.get_best_param() {
                Some(best) if state.get_best_cost() <= fallback.1 => {
                    (best.clone(), state.get_best_cost())
                }
                _ => fallback,
            }
        }
        Err(_) => fallback,
    }
}

/// Steps that L-BFGS remembers.
const MEMORY: usize = 6;

/// A cost and its gradient, of which the last is kept: a line search asks for both at one place, one after the other.
struct Slope<F> {
    of: F,
    last: RefCell<Seen>,
    best: RefCell<Seen>,
}

#[derive(Clone, Default)]
struct Seen {
    at: Vec<f64>,
    cost: f64,
    slope: Vec<f64>,
}

impl<F: Fn(&[f64], &mut [f64]) -> f64> Slope<F> {
    fn look(&self, at: &[f64]) -> (f64, Vec<f64>) {
        let mut last = self.last.borrow_mut();
        if last.at != at {
            last.at = at.to_vec();
            last.slope = vec![0.0; at.len()];
            let Seen { slope, cost, .. } = &mut *last;
            *cost = (self.of)(at, slope);
            if !cost.is_finite() || slope.iter().any(|g| !g.is_finite()) {
                *cost = HOPELESS;
                slope.fill(0.0);
            }
            let mut best = self.best.borrow_mut();
            if best.at.is_empty() || last.cost < best.cost {
                *best = last.clone();
            }
        }
        (last.cost, last.slope.clone())
    }
}

impl<F: Fn(&[f64], &mut [f64]) -> f64> CostFunction for &Slope<F> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, param: &Self::Param) -> Result<f64, Error> {
        Ok(self.look(param).0)
    }
}

impl<F: Fn(&[f64], &mut [f64]) -> f64> Gradient for &Slope<F> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, param: &Self::Param) -> Result<Vec<f64>, Error> {
        Ok(self.look(param).1)
    }
}

/// Minimises a smooth cost from `start` by at most so many steps of L-BFGS; `of` writes its gradient and returns its value.
/// The first step is as long as the gradient: scale the cost so that its curvature is about one. It ends when a step gains
/// less than `gain`. Returns the best place seen and its cost.
pub fn descend(
    start: &[f64],
    iterations: u64,
    gain: f64,
    of: impl Fn(&[f64], &mut [f64]) -> f64,
) -> (Vec<f64>, f64) {
    let slope = Slope {
        of,
        last: RefCell::default(),
        best: RefCell::default(),
    };
    let solver = LBFGS::new(MoreThuenteLineSearch::new(), MEMORY).with_tolerance_cost(gain);
    if let (Ok(solver), false) = (solver, start.is_empty()) {
        // A line search that gives up has seen the best place all the same.
        let _ = Executor::new(&slope, solver)
            .configure(|state| state.param(start.to_vec()).max_iters(iterations))
            .timer(false)
            .run();
    }
    let best = slope.best.into_inner();
    if best.at.is_empty() {
        return (start.to_vec(), HOPELESS);
    }
    (best.at, best.cost)
}

/// Maps the real line onto (0, 1).
pub fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The inverse of [`logistic`], kept away from the ends.
pub fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-4, 1.0 - 1e-4);
    (p / (1.0 - p)).ln()
}

/// Maps any vector onto the simplex: non-negative weights that sum to one.
pub fn softmax(x: &[f64]) -> Vec<f64> {
    let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = x.iter().map(|v| (v - top).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.into_iter().map(|v| v / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_bottom_of_a_bowl() {
        let (at, cost) = minimise(&[3.0, -2.0], 0.5, 200, |p| {
            (p[0] - 1.0).powi(2) + 3.0 * (p[1] - 0.5).powi(2)
        });
        assert!(
            (at[0] - 1.0).abs() < 0.05 && (at[1] - 0.5).abs() < 0.05,
            "{at:?}"
        );
        assert!(cost < 1e-2);
    }

    #[test]
    fn descends_a_curved_valley_by_its_gradient() {
        let (at, cost) = descend(&[-1.2, 1.0], 100, 1e-14, |p, g| {
            let (a, b) = (1.0 - p[0], p[1] - p[0] * p[0]);
            g[0] = -2.0 * a - 40.0 * p[0] * b;
            g[1] = 20.0 * b;
            a * a + 10.0 * b * b
        });
        assert!(
            (at[0] - 1.0).abs() < 1e-3 && (at[1] - 1.0).abs() < 1e-3 && cost < 1e-6,
            "{at:?} {cost}"
        );
        let (at, _) = descend(&[2.0], 10, 1e-9, |_, _| f64::NAN);
        assert_eq!(at, vec![2.0]);
    }

    #[test]
    fn a_cost_that_is_not_a_number_does_not_stop_the_search() {
        let (at, _) = minimise(&[-1.0], 2.5, 100, |p| {
            if p[0] < 0.0 {
                f64::NAN
            } else {
                (p[0] - 2.0).abs()
            }
        });
        assert!((at[0] - 2.0).abs() < 0.1, "{at:?}");
    }

    #[test]
    fn softmax_lies_on_the_simplex() {
        let w = softmax(&[800.0, 0.0, -800.0]);
        assert!((w.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(w.iter().all(|v| (0.0..=1.0).contains(v)));
    }
}
