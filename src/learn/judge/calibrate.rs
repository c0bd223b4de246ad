//! How often the judge is wrong, by seeded simulation.

use super::{Limits, Outcome, judge};
use crate::model::{Answer, Millis};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use serde::Serialize;
use std::f64::consts::TAU;

/// Latency is lognormal with this sigma, around a median of 20 ms.
const SIGMA: f64 = 0.35;
const MEDIAN_MS: f64 = 20.0;
/// Part of the requests that fail.
const ERRORS: f64 = 0.002;

/// Shares of the runs, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// Alike sides that were failed.
    pub aa_fail_pct: f64,
    /// Alike sides on which nothing was concluded.
    pub aa_inconclusive_pct: f64,
    /// Regressions that were failed.
    pub found_pct: f64,
    /// Regressions that passed.
    pub missed_pct: f64,
}

/// Judges `runs` pairs of alike sides and `runs` pairs with a latency `regression` (a factor), `requests` on each side. The
/// same seed gives the same answer with any number of threads.
pub fn calibrate(runs: u32, requests: usize, regression: f64, seed: u64) -> Rates {
    let judged = |factor: f64, side: u64| -> Vec<Outcome> {
        (0..runs)
            .into_par_iter()
            .map(|run| {
                let own = Xoshiro256PlusPlus::seed_from_u64(seed).random::<u64>();
                let own = own.wrapping_add(u64::from(run) << 1 | side);
                let mut dice = Xoshiro256PlusPlus::seed_from_u64(own);
                let baseline = sample(&mut dice, requests, 1.0);
                let shadow = sample(&mut dice, requests, factor);
                judge(&baseline, &shadow, &Limits::default()).verdict
            })
            .collect()
    };
    let share = |of: &[Outcome], what: Outcome| {
        of.iter().filter(|o| **o == what).count() as f64 * 100.0 / of.len().max(1) as f64
    };
    let (alike, worse) = (judged(1.0, 0), judged(regression, 1));
    Rates {
        aa_fail_pct: share(&alike, Outcome::Fail),
        aa_inconclusive_pct: share(&alike, Outcome::Inconclusive),
        found_pct: share(&worse, Outcome::Fail),
        missed_pct: share(&worse, Outcome::Pass),
    }
}

fn sample(dice: &mut Xoshiro256PlusPlus, n: usize, factor: f64) -> Vec<Answer> {
    (0..n)
        .map(|_| {
            // Box-Muller; 1 − u keeps the logarithm away from zero.
            let (u, v): (f64, f64) = (1.0 - dice.random::<f64>(), dice.random());
            let z = (-2.0 * u.ln()).sqrt() * (TAU * v).cos();
            Answer {
                latency: Millis(MEDIAN_MS * factor * (SIGMA * z).exp()),
                ok: dice.random::<f64>() >= ERRORS,
            }
        })
        .collect()
}
