//! Bands as they are lived with: a fit that takes each point in, is renewed every other day, and widens or narrows by what it
//! has missed. Each series is forecast from more than a thousand origins whose horizons do not overlap.
#![allow(clippy::disallowed_methods)] // looks for the traces beside the repository

use foreshadow::forecast::{Fit, Samples, regular};
use foreshadow::learn::score;
use foreshadow::model::{Moment, Rps, Skill, Span};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use std::f64::consts::TAU;
use std::path::Path;
use traces::traces;

#[path = "common/traces.rs"]
mod traces;

const HORIZON: usize = 4;
const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];

/// Origins, and the share of what came that lay within the 80 % band.
fn held(all: &Samples, window: usize, renew: usize) -> (usize, f64) {
    let seen = |to: usize| Samples {
        start: all.start + all.step.times((to - window) as i64),
        step: all.step,
        values: all.values[to - window..to].to_vec(),
    };
    let mut fit = Fit::new(&seen(window), HORIZON, None, None);
    let mut skill = Skill::default();
    let (mut origins, mut hits, mut scored, mut age) = (0, 0usize, 0usize, 0);
    for o in (window..=all.values.len() - HORIZON).step_by(HORIZON) {
        if age >= renew {
            fit = Fit::new(&seen(o), HORIZON, None, Some(&fit));
            age = 0;
        } else if origins > 0 {
            all.values[o - HORIZON..o]
                .iter()
                .for_each(|v| fit.observe(*v));
        }
        let made = fit.forecast(HORIZON, &LEVELS, skill.width);
        for (p, actual) in made.points.iter().zip(&all.values[o..]) {
            let [low, mid, high] = [0, 1, 2].map(|k| Rps(p.quantiles[k]));
            if actual.is_finite() {
                hits += usize::from(low.0 <= *actual && *actual <= high.0);
                scored += 1;
            }
            score(&mut skill, low, mid, high, Rps(*actual));
        }
        origins += 1;
        age += HORIZON;
    }
    (origins, hits as f64 / scored as f64)
}

fn assert_held(name: &str, all: &Samples, window: usize, renew: usize) {
    let (origins, share) = held(all, window, renew);
    println!("{name}: {share:.3} held over {origins} origins");
    assert!(origins >= 1_000, "{name}: only {origins} origins");
    assert!((0.77..=0.83).contains(&share), "{name}: {share}");
}

/// Ten-minute load of five weeks with a day, noise of one kind, and a level that is half as high again for a while.
fn simulated(seed: u64, noise: impl Fn(&mut Xoshiro256PlusPlus, f64, f64) -> f64) -> Samples {
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut before = 0.0;
    let values = (0..144 * 36)
        .map(|i| {
            let x = TAU * f64::from(i) / 144.0;
            let level = if (2500..3600).contains(&i) {
                150.0
            } else {
                100.0
            };
            let load = level * (1.0 + 0.4 * x.sin() + 0.15 * (2.0 * x + 1.0).sin());
            before = noise(&mut dice, before, load);
            (load + before).max(0.0)
        })
        .collect();
    Samples {
        start: Moment(0),
        step: Span::secs(600),
        values,
    }
}

fn normal(dice: &mut impl Rng) -> f64 {
    (0..12).map(|_| dice.random::<f64>()).sum::<f64>() - 6.0
}

#[test]
fn the_80_percent_band_holds_77_to_83_in_100_on_simulated_series() {
    let kinds = [
        ("even noise", simulated(1, |d, _, _| 5.0 * normal(d))),
        (
            "noise that lingers",
            simulated(2, |d, before, _| 0.9 * before + 2.0 * normal(d)),
        ),
        (
            "noise that grows with the load",
            simulated(3, |d, _, load| 0.1 * load * normal(d)),
        ),
        (
            "bursts",
            simulated(4, |d, _, _| -8.0 * (1.0 - d.random::<f64>()).ln()),
        ),
    ];
    kinds
        .par_iter()
        .for_each(|(name, all)| assert_held(name, all, 7 * 144, 2 * 144));
}

fn load(file: &Path) -> Samples {
    let text = std::fs::read_to_string(file).unwrap();
    let reading = |line: &str| {
        let (at, value) = line.split_once(',').unwrap();
        let at: jiff::Timestamp = at.parse().unwrap();
        let value = value.parse().unwrap_or(f64::NAN);
        (Moment(at.as_millisecond()), value)
    };
    let readings: Vec<(Moment, f64)> = text.lines().skip(1).map(reading).collect();
    regular(&readings, None).unwrap()
}

#[test]
fn the_80_percent_band_holds_77_to_83_in_100_on_each_long_series_of_real_load() {
    let Some(dir) = traces() else {
        println!(
            "skipped: no shared/traces above {}",
            env!("CARGO_MANIFEST_DIR")
        );
        return;
    };
    let long = [
        "aws_asg_cpu_5min",
        "azure2017_cpu_5min",
        "cloud_cluster28_cpu_5min",
        "wc98_requests_10min",
    ];
    long.par_iter().for_each(|name| {
        let all = load(&dir.join(format!("{name}.csv")));
        let day = (86_400_000 / all.step.0) as usize;
        assert_held(name, &all, 7 * day, 2 * day);
    });
}
