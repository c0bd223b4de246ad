//! How forecasts scale, in processor time: with the length of a series, drawn
//! to the file that is named, and with the number of series, refitted warm on two threads with the memory that takes.
//!
//! `cargo bench --bench forecast_scale -- docs/forecast-cost.svg 10000`
#![allow(clippy::disallowed_methods)] // measures

use foreshadow::forecast::backtest::LEVELS;
use foreshadow::forecast::{Fit, forecast};
use load::{DAY, load, median, spent};
use nix::time::ClockId;
use rayon::prelude::*;
use std::fmt::Write;
use std::time::Instant;

mod load;

const WEEK: usize = 7 * DAY;
const HORIZON: usize = 24;
/// Times that each length is measured; the median counts.
const TIMES: usize = 15;

/// Points, and milliseconds cold and warm.
type Cost = (usize, f64, f64);
/// A name, a colour, and which of the milliseconds.
type Kind = (&'static str, &'static str, fn(&Cost) -> f64);

fn by_length(weeks: &[usize], times: usize) -> Vec<Cost> {
    println!(
        "{:>8} {:>9} {:>9} {:>14}",
        "points", "cold ms", "warm ms", "µs a point"
    );
    weeks
        .iter()
        .map(|weeks| {
            let seen = load(weeks * WEEK, 2);
            let known = Fit::new(&seen, HORIZON, None, None);
            let run = |warm| drop(forecast(&seen, HORIZON, None, &LEVELS, warm, 1.0));
            let (cold, warm) = (
                median(times, || run(None)),
                median(times, || run(Some(&known))),
            );
            let n = weeks * WEEK;
            let each = 1e3 * cold / n as f64;
            println!("{n:8} {cold:9.2} {warm:9.2} {each:14.2}");
            (n, cold, warm)
        })
        .collect()
}

/// Measured costs as dots, and for each the straight line from zero that fits them best.
fn picture(costs: &[Cost]) -> String {
    let (left, top, width, height) = (60.0, 40.0, 580.0, 300.0);
    let last = costs.last().map_or(1, |c| c.0) as f64;
    let most = costs.iter().map(|c| c.1).fold(0.0, f64::max) * 1.05;
    let at = |n: f64, ms: f64| (left + width * n / last, top + height * (1.0 - ms / most));
    let mut out = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 700 400\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"700\" height=\"400\" fill=\"#fff\"/>\n",
    );
    let _ = writeln!(
        out,
        "<text x=\"{left}\" y=\"22\" font-size=\"14\">Processor time of one fit and forecast, ms, by points; lines through zero</text>"
    );
    for k in 0..=4 {
        let (n, ms) = (last * f64::from(k) / 4.0, most * f64::from(k) / 4.0);
        let ((x, _), (_, y)) = (at(n, 0.0), at(0.0, ms));
        let right = left + width;
        let _ = writeln!(
            out,
            "<path d=\"M{left} {y:.1} H{right}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{ms:.0}</text><text x=\"{x:.1}\" y=\"358\" text-anchor=\"middle\">{n:.0}</text>",
            left - 6.0,
            y + 4.0
        );
    }
    let kinds: [Kind; 2] = [("cold", "#08519c", |c| c.1), ("warm", "#d94801", |c| c.2)];
    for (name, colour, ms) in kinds {
        let (xy, xx) = costs.iter().fold((0.0, 0.0), |(xy, xx), c| {
            (xy + c.0 as f64 * ms(c), xx + (c.0 as f64).powi(2))
        });
        let slope = xy / xx;
        let ((x0, y0), (x1, y1)) = (at(0.0, 0.0), at(last, slope * last));
        let _ = writeln!(
            out,
            "<path d=\"M{x0:.1} {y0:.1} L{x1:.1} {y1:.1}\" stroke=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\" text-anchor=\"end\">{name}: {:.1} µs a point</text>",
            x1 - 20.0,
            y1 - 14.0,
            1e3 * slope
        );
        for c in costs {
            let (x, y) = at(c.0 as f64, ms(c));
            let _ = writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>"
            );
        }
    }
    out + "</svg>\n"
}

/// Megabytes of this process that are in memory.
fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|p| p.parse::<f64>().ok());
    pages.unwrap_or(0.0) * 4096.0 / 1e6
}

fn many(series: usize) {
    let all: Vec<_> = (0..series).map(|k| load(WEEK, k as u64)).collect();
    println!(
        "{series} series of {WEEK} points: {:.0} MB with their history alone",
        resident()
    );
    let mut fits: Vec<Option<Fit>> = vec![None; series];
    for round in ["cold", "warm", "warm again", "warm once more"] {
        let (begun, before) = (Instant::now(), spent(ClockId::CLOCK_PROCESS_CPUTIME_ID));
        fits.par_iter_mut().zip(&all).for_each(|(fit, seen)| {
            let made = forecast(seen, HORIZON, None, &LEVELS, fit.as_ref(), 1.0);
            *fit = Some(made.fit);
        });
        println!(
            "{round:>14}: {:6.1} s on two threads, {:6.1} s of processor time, {:5.0} MB after it",
            begun.elapsed().as_secs_f64(),
            (spent(ClockId::CLOCK_PROCESS_CPUTIME_ID) - before) / 1e3,
            resident()
        );
    }
}

fn main() {
    let (bench, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|a| a == "--bench");
    // `cargo test` runs benches once, unoptimised, to see that they work.
    let measured = !bench.is_empty();
    let costs = match measured {
        true => by_length(&[1, 2, 3, 4, 6, 8, 12, 16], TIMES),
        false => by_length(&[1], 1),
    };
    if let Some(file) = words.iter().find(|w| w.ends_with(".svg")) {
        std::fs::write(file, picture(&costs)).expect("the picture's folder can be written to");
    }
    let usual = if measured { 1_000 } else { 4 };
    let series = words.iter().find_map(|w| w.parse().ok()).unwrap_or(usual);
    rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .build()
        .expect("two threads can be started")
        .install(|| many(series));
}
