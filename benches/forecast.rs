//! What a forecast costs: a week of five-minute steps (2,016 points), its cost with length, and many series at once.
//! Baselines: `seasonal naive` for a cold fit, `cold` for a warm one and for one more point.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use foreshadow::forecast::backtest::LEVELS;
use foreshadow::forecast::{Fit, Samples, forecast};
use foreshadow::model::{Moment, Span};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::f64::consts::TAU;
use std::hint::black_box;

const DAY: usize = 288;
const WEEK: usize = 7 * DAY;
const HORIZON: usize = 24;

/// Load with a day, a slow drift, and noise that grows with the level.
fn load(points: usize, seed: u64) -> Samples {
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut drift = 0.0;
    let values = (0..points)
        .map(|i| {
            let x = TAU * i as f64 / DAY as f64;
            drift = 0.99 * drift + 0.02 * (dice.random::<f64>() - 0.5);
            let level = 100.0 * (1.0 + 0.5 * x.sin() + 0.2 * (2.0 * x + 1.0).sin() + drift);
            level * (1.0 + 0.2 * (dice.random::<f64>() - 0.5))
        })
        .collect();
    Samples {
        start: Moment(0),
        step: Span::secs(300),
        values,
    }
}

/// The baseline: each point as it was a day ago, with the quantiles of the last day's differences about it.
fn seasonal_naive(s: &Samples) -> Vec<Vec<f64>> {
    let n = s.values.len();
    let mut off: Vec<f64> = (DAY..n).map(|i| s.values[i] - s.values[i - DAY]).collect();
    off.sort_unstable_by(f64::total_cmp);
    (0..HORIZON)
        .map(|h| {
            let base = s.values[n - DAY + h];
            let at = |l: f64| off[(l * (off.len() - 1) as f64) as usize];
            LEVELS.iter().map(|l| (base + at(*l)).max(0.0)).collect()
        })
        .collect()
}

fn week(c: &mut Criterion) {
    let all = load(WEEK + 1, 1);
    let seen = Samples {
        values: all.values[..WEEK].to_vec(),
        ..all
    };
    let cold = Fit::new(&seen, HORIZON, None, None);
    let mut g = c.benchmark_group("2016 points");
    g.bench_function("seasonal naive", |b| b.iter(|| seasonal_naive(black_box(&seen))));
    g.bench_function("cold", |b| {
        b.iter(|| forecast(black_box(&seen), HORIZON, None, &LEVELS, None, 1.0));
    });
    g.bench_function("warm", |b| {
        b.iter(|| forecast(black_box(&seen), HORIZON, None, &LEVELS, Some(&cold), 1.0));
    });
    g.bench_function("one more point", |b| {
        b.iter_batched(
            || cold.clone(),
            |mut fit| {
                fit.observe(black_box(all.values[WEEK]));
                fit.forecast(HORIZON, &LEVELS, 1.0)
            },
            BatchSize::SmallInput,
        );
    });
    g.finish();
}

fn length(c: &mut Criterion) {
    let mut g = c.benchmark_group("cold by length");
    g.sample_size(10);
    for days in [7, 14, 28, 56] {
        let seen = load(days * DAY, 2);
        g.throughput(Throughput::Elements(seen.values.len() as u64));
        g.bench_with_input(BenchmarkId::from_parameter(seen.values.len()), &seen, |b, s| {
            b.iter(|| forecast(s, HORIZON, None, &LEVELS, None, 1.0));
        });
    }
    g.finish();
}

criterion_group!(benches, week, length);
criterion_main!(benches);
