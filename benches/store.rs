//! A year of readings at one a minute: what a plot of it costs, and how large the file is.
//!
//! `cargo bench --bench store` fills a year for a few portions day by day, rolling up as the scheduler does, prints the size for a
//! thousand, and measures the query for a plot against the same query over readings that were never rolled up.

use criterion::Criterion;
use foreshadow::model::*;
use foreshadow::store::Store;
use std::hint::black_box;

const DAY: i64 = 86_400_000;
const MINUTE: i64 = 60_000;
const PORTIONS: i64 = 4;

fn name(k: i64) -> PortionId {
    PortionId::new(format!("portion-{k}"))
}

/// Rates that look like load: a day's wave and noise, so that floats do not compress by being alike.
fn rate(portion: i64, minute: i64) -> f64 {
    let day = (minute % 1440) as f64 / 1440.0 * std::f64::consts::TAU;
    let noise = ((minute * 7919 + portion * 104_729) % 1000) as f64 / 100.0;
    100.0 + 50.0 * day.sin() + noise
}

fn fill(store: &Store, portions: i64, days: i64, rolled: bool) {
    for day in 0..days {
        let minutes = day * 1440..(day + 1) * 1440;
        let memos: Vec<Memo> = minutes
            .flat_map(|m| {
                (0..portions).map(move |p| Memo::Sample {
                    portion: name(p),
                    at: Moment(m * MINUTE),
                    rate: Rps(rate(p, m)),
                })
            })
            .collect();
        store.remember(&memos).expect("kept");
        if rolled {
            store.compact(Moment((day + 1) * DAY)).expect("rolled up");
        }
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    // `cargo test` runs benches once, unoptimised, to see that they work.
    let days = match std::env::args().any(|a| a == "--bench") {
        true => 365,
        false => 12,
    };
    let folder = tempfile::tempdir().expect("a folder");
    let year = Store::open(&folder.path().join("year.db")).expect("a store");
    fill(&year, PORTIONS, days, true);
    let size = year.size().expect("its size") as f64;
    println!(
        "{days} days of {PORTIONS} portions, a reading a minute: {:.1} MB; of 1,000: {:.2} GB",
        size / 1e6,
        size * 1000.0 / PORTIONS as f64 / 1e9
    );
    let raw = Store::open(&folder.path().join("raw.db")).expect("a store");
    fill(&raw, 1, days, false);
    let mut group = criterion.benchmark_group("plot of a year by the hour");
    group.sample_size(10);
    for (what, store) in [("rolled up", &year), ("baseline: every reading kept", &raw)] {
        group.bench_function(what, |b| {
            b.iter(|| {
                let series = store.demand(&name(0), Span::secs(3_600), Moment(0));
                black_box(series.expect("readable"))
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
