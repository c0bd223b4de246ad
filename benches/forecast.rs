//! What a forecast costs: a week of five-minute steps (2,016 points), and its cost with length.
//! Baselines: `seasonal naive` for a cold fit, `cold` for a warm one and for one more point; the ratios are printed last.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group};
use foreshadow::forecast::backtest::LEVELS;
use foreshadow::forecast::{Fit, Samples, forecast};
use load::{DAY, load, median};
use std::hint::black_box;

mod load;

const WEEK: usize = 7 * DAY;
const HORIZON: usize = 24;

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
    g.bench_function("seasonal naive", |b| {
        b.iter(|| seasonal_naive(black_box(&seen)))
    });
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
        g.bench_with_input(
            BenchmarkId::from_parameter(seen.values.len()),
            &seen,
            |b, s| {
                b.iter(|| forecast(s, HORIZON, None, &LEVELS, None, 1.0));
            },
        );
    }
    g.finish();
}

/// In processor time, which a busy machine does not stretch.
fn ratios() {
    let all = load(WEEK + 1, 1);
    let seen = Samples {
        values: all.values[..WEEK].to_vec(),
        ..all
    };
    let known = Fit::new(&seen, HORIZON, None, None);
    let run = |warm| {
        drop(black_box(forecast(
            &seen, HORIZON, None, &LEVELS, warm, 1.0,
        )))
    };
    let naive = median(201, || drop(black_box(seasonal_naive(&seen))));
    let (cold, warm) = (median(41, || run(None)), median(41, || run(Some(&known))));
    let mut fit = known.clone();
    let more = median(201, || {
        fit.observe(black_box(all.values[WEEK]));
        drop(black_box(fit.forecast(HORIZON, &LEVELS, 1.0)));
    });
    println!(
        "processor time: seasonal naive {naive:.3} ms; cold {cold:.2} ms, {:.0} times that; warm {warm:.2} ms, {:.2} of cold; one more point {more:.3} ms, {:.4} of cold",
        cold / naive,
        warm / cold,
        more / cold
    );
}

criterion_group!(benches, week, length);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    ratios();
}
