//! The one door to argmin: Nelder–Mead (Nelder & Mead 1965) on a few free parameters, without a clock and without dice.

use argmin::core::{CostFunction, Error, Executor, State};
use argmin::solver::neldermead::NelderMead;

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
