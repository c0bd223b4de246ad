//! A measurement, not a check: what time and memory a placement takes as it grows, drawn into `docs/placement-size.svg`.
//! `cargo test --release --test placement_size -- --ignored --nocapture` prints the same as a table. Time is processor time over the
//! number of cores.
#![allow(clippy::disallowed_methods)] // it measures time; nothing is decided by it

use foreshadow::placement::{Options, Problem, prove, search};
use std::fmt::Write;
use std::time::Duration;

use processor::Watch;

#[path = "common/instances.rs"]
mod instances;
#[path = "common/processor.rs"]
mod processor;

/// Portions and nodes, the smallest first: peak memory is that of the largest so far.
const SIZES: [(usize, usize); 7] = [
    (20, 10),
    (60, 20),
    (200, 50),
    (600, 100),
    (2_000, 200),
    (4_000, 400),
    (10_000, 2_000),
];
const TIGHTNESS: f64 = 2.4;
/// The gap to the own bound that has to be reached, in percent, and the longest search for it, in seconds.
const GAP_PCT: f64 = 3.0;
const LONGEST: f64 = 60.0;

/// What one size took.
struct Measured {
    portions: usize,
    nodes: usize,
    gap_pct: f64,
    search: f64,
    bound: f64,
    peak_mb: u64,
}

#[test]
#[ignore = "a measurement of many minutes"]
fn how_time_and_memory_grow_with_size() {
    println!("| portions x nodes | search | bound | gap % | peak MB |");
    println!("|---|---|---|---|---|");
    let mut all = Vec::new();
    for (portions, nodes) in SIZES {
        let instance = instances::made_up(portions, nodes, TIGHTNESS, 1);
        let problem = Problem::new(instance).expect("a made-up instance is valid");
        // Searches begin short and get longer until one is good enough.
        let mut limit = portions as f64 / 1_000.0;
        let measured = loop {
            let measured = measure(&problem, limit);
            if measured.gap_pct <= GAP_PCT || limit >= LONGEST {
                break measured;
            }
            limit = (limit * 2.5).min(LONGEST);
        };
        println!(
            "| {portions} x {nodes} | {:.2} s | {:.2} s | {:.2} | {} |",
            measured.search, measured.bound, measured.gap_pct, measured.peak_mb
        );
        all.push(measured);
        // After each size, so that the largest may be given up.
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/placement-size.svg");
        std::fs::write(file, drawn(&all)).expect("docs can be written to");
    }
}

fn measure(problem: &Problem, limit: f64) -> Measured {
    let began = Watch::start();
    let spent = || began.elapsed().as_secs_f64() / limit;
    let options = Options {
        spent: Some(&spent),
        seed: 1,
        ..Options::default()
    };
    let mut answer = search(problem, &options, &|| spent() >= 1.0);
    let searched = began.elapsed();
    let bounding = Duration::from_secs_f64(LONGEST);
    prove(problem, &mut answer, u64::MAX, &|| {
        began.elapsed() >= searched + bounding
    });
    Measured {
        portions: problem.portions(),
        nodes: problem.nodes(),
        gap_pct: answer.gap_pct,
        search: searched.as_secs_f64(),
        bound: (began.elapsed() - searched).as_secs_f64(),
        peak_mb: processor::peak_mb(),
    }
}

/// Both over the number of portions, all axes logarithmic.
fn drawn(all: &[Measured]) -> String {
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 320\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"760\" height=\"320\" fill=\"white\"/>\n",
    );
    let seconds = |m: &Measured| m.search + m.bound;
    let megabytes = |m: &Measured| m.peak_mb as f64;
    let title = format!("seconds to a proven gap of {GAP_PCT} %");
    panel(&mut svg, 60.0, &title, (0.01, 100.0), all, &seconds);
    panel(
        &mut svg,
        430.0,
        "peak memory, MB",
        (1.0, 10_000.0),
        all,
        &megabytes,
    );
    svg.push_str("</svg>\n");
    svg
}

fn panel(
    svg: &mut String,
    left: f64,
    title: &str,
    (low, high): (f64, f64),
    all: &[Measured],
    value: &dyn Fn(&Measured) -> f64,
) {
    let (width, top, height) = (290.0, 40.0, 230.0);
    let x = |portions: f64| left + width * (portions / 10.0).log10() / 1_000.0_f64.log10();
    let y = |value: f64| top + height * (1.0 - (value / low).log10() / (high / low).log10());
    let mut line = |text: std::fmt::Arguments| {
        let _never_fails = svg.write_fmt(format_args!("{text}\n"));
    };
    line(format_args!(
        "<text x=\"{left}\" y=\"24\" font-size=\"14\">{title}, by portions</text>"
    ));
    let mut tick = low;
    while tick <= high * 1.01 {
        let at = y(tick);
        line(format_args!(
            "<path d=\"M{left} {at:.1}h{width}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
            left - 6.0,
            at + 4.0
        ));
        tick *= 10.0;
    }
    for portions in [10.0, 100.0, 1_000.0, 10_000.0] {
        let at = x(portions);
        line(format_args!(
            "<path d=\"M{at:.1} {top}v{height}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{portions}</text>",
            top + height + 18.0
        ));
    }
    let points = all
        .iter()
        .map(|m| (m, x(m.portions as f64), y(value(m).clamp(low, high))));
    let path: Vec<String> = points
        .clone()
        .map(|(_, x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    line(format_args!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f77b4\" stroke-width=\"2\"/>",
        path.join(" ")
    ));
    for (m, x, y) in points {
        line(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"#1f77b4\"><title>{}x{}: {:.2}, gap {:.2} %</title></circle>",
            m.portions,
            m.nodes,
            value(m),
            m.gap_pct
        ));
    }
}
