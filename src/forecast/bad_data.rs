//! Series as they come when something is wrong with them: each case by name.

use super::simulated::{Dice, daily};
use super::*;
use crate::model::{Moment, Span};

const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];

fn samples(values: Vec<f64>) -> Samples {
    Samples {
        start: Moment(0),
        step: Span::secs(1),
        values,
    }
}

fn medians(values: Vec<f64>, horizon: usize) -> Vec<f64> {
    let f = forecast(&samples(values), horizon, None, &LEVELS, None, 1.0);
    f.points.iter().map(|p| p.quantiles[1]).collect()
}

/// A clean past of twelve days and the day after it.
fn days() -> (Vec<f64>, Vec<f64>) {
    let truth = daily(24, 24 * 13, 0.0, 8);
    (daily(24, 24 * 12, 0.05, 8), truth[24 * 12..].to_vec())
}

fn near(found: &[f64], truth: &[f64], within: f64, case: &str) {
    for (f, t) in found.iter().zip(truth) {
        assert!((f - t).abs() < within, "{case}: {f} against {t}");
    }
}

#[test]
fn outliers_of_a_hundred_times_hardly_move_the_median() {
    let (mut y, truth) = days();
    let n = y.len();
    for at in [40, 100, 180, n - 30, n - 9] {
        y[at] *= 100.0;
    }
    near(&medians(y, 6), &truth, 1.0, "outliers");
}

#[test]
fn a_reading_of_infinity_or_nan_counts_as_none() {
    let (mut y, truth) = days();
    for (k, at) in [60, 61, 120, 200, 285].into_iter().enumerate() {
        y[at] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][k % 3];
    }
    near(&medians(y, 6), &truth, 0.6, "not numbers");
}

#[test]
fn a_gap_of_two_days_and_one_at_the_end_are_forecast_through() {
    let (mut y, truth) = days();
    let n = y.len();
    y[100..148].fill(f64::NAN);
    y[n - 7..].fill(f64::NAN);
    let f = forecast(&samples(y.clone()), 6, None, &LEVELS, None, 1.0);
    assert_eq!(f.seasons, vec![24]);
    assert!(
        f.warnings.iter().any(|w| w.contains("55 of 288")),
        "{:?}",
        f.warnings
    );
    near(&medians(y, 6), &truth, 0.6, "gaps");
}

#[test]
fn duplicates_are_averaged_and_disorder_is_sorted() {
    let (y, truth) = days();
    let mut readings: Vec<(Moment, f64)> = Vec::new();
    for (i, v) in y.iter().enumerate() {
        let at = Moment(i as i64 * 1000);
        readings.push((at, v - 0.5));
        readings.push((at, v + 0.5));
    }
    readings.reverse();
    let s = regular(&readings, None).unwrap();
    assert_eq!(s.values.len(), y.len());
    near(&medians(s.values, 6), &truth, 0.6, "duplicates");
}

#[test]
fn a_counter_that_resets_gives_rates_without_a_hole_below_zero() {
    let (y, truth) = days();
    let mut count = 0.0;
    let readings: Vec<(Moment, f64)> = (0..=y.len())
        .map(|i| {
            // The process restarts twice, and counts from zero.
            if i == 100 || i == 250 {
                count = 0.0;
            }
            if i > 0 {
                count += y[i - 1];
            }
            (Moment(i as i64 * 1000), count)
        })
        .collect();
    let rates = series::rates(&readings);
    assert!(rates.iter().all(|r| r.1 >= 0.0));
    assert!((rates[99].1 - y[99]).abs() < 1e-9 && (rates[98].1 - y[98]).abs() < 1e-9);
    let s = regular(&rates, None).unwrap();
    near(&medians(s.values, 6), &truth, 0.6, "counter");
}

#[test]
fn a_long_constant_before_a_season_does_not_hide_it_and_one_after_it_is_followed() {
    let (y, truth) = days();
    let mut late = vec![4.0; 24 * 6];
    late.extend(&y);
    near(&medians(late, 6), &truth, 0.8, "constant, then a season");
    let mut stuck = y;
    stuck.extend([2.0; 24 * 6]);
    near(
        &medians(stuck, 6),
        &[2.0; 6],
        0.6,
        "a season, then constant",
    );
}

#[test]
fn a_shift_of_the_level_up_or_down_is_followed() {
    for moved in [30.0, -3.0] {
        let (mut y, truth) = days();
        let n = y.len();
        y.iter_mut()
            .skip(n - 16)
            .for_each(|v| *v = (*v + moved).max(0.0));
        let expected: Vec<f64> = truth.iter().map(|t| (t + moved).max(0.0)).collect();
        let within = 1.5f64.max(0.1 * moved.abs());
        near(&medians(y, 4), &expected, within, "level shift");
    }
}

#[test]
fn mostly_zeros_give_a_band_from_zero_that_reaches_what_came() {
    let mut dice = Dice::new(5);
    let y: Vec<f64> = (0..600)
        .map(|_| {
            if dice.uniform() < 0.25 {
                10.0 + dice.uniform()
            } else {
                0.0
            }
        })
        .collect();
    let f = forecast(&samples(y), 4, None, &LEVELS, None, 1.0);
    for p in &f.points {
        assert!(p.quantiles[0] < 0.5, "{p:?}");
        assert!(p.quantiles[2] > 5.0 && p.quantiles[2] < 15.0, "{p:?}");
    }
}

#[test]
fn many_forecasts_at_once_are_the_same_as_one_after_the_other() {
    use rayon::prelude::*;
    let all: Vec<Samples> = (0..12)
        .map(|k| samples(daily(24, 24 * 8 + k, 0.3, k as u64)))
        .collect();
    let text = |s: &Samples| format!("{:?}", forecast(s, 6, None, &LEVELS, None, 1.0));
    let alone: Vec<String> = all.iter().map(text).collect();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(4)
        .build()
        .unwrap();
    let together: Vec<String> = pool.install(|| all.par_iter().map(text).collect());
    assert_eq!(alone, together);
}

/// Over a thousand origins whose horizons do not overlap.
#[test]
fn the_80_percent_band_holds_77_to_83_in_100_over_a_thousand_origins() {
    use super::backtest::{Protocol, backtest, window};
    use rayon::prelude::*;
    let (horizon, seen) = (4, 24 * 6);
    let mut dice = Dice::new(77);
    let mut x = 0.0;
    let y: Vec<f64> = daily(24, seen + 1_001 * horizon, 0.0, 1)
        .into_iter()
        .map(|f| {
            x = 0.6 * x + 0.08 * dice.normal();
            f * (1.0 + x)
        })
        .collect();
    let all = samples(y);
    let origins: Vec<usize> = (0..1_000).map(|k| seen + k * horizon).collect();
    let held: f64 = origins
        .par_iter()
        .map(|o| {
            let near = window(&all, o + horizon, seen + horizon);
            let p = Protocol {
                origins: &[seen],
                horizon,
                window: seen,
                naive: 24,
                seasons: Some(&[24]),
            };
            backtest(&near, &p).coverage_80
        })
        .sum::<f64>()
        / 1_000.0;
    println!("held {held:.3}");
    assert!((0.77..=0.83).contains(&held), "{held}");
}
