//! A measurement, not a check: how far the search and the bound get on shared instances in the time each size is given.
//! `cargo test --release --test placement_bars -- --ignored --nocapture` prints one line an instance, worst of its seeds.
//! Time is processor time over the number of cores, so that what else runs on the machine takes nothing away.
#![allow(clippy::disallowed_methods)] // it measures time; nothing is decided by it

use std::path::PathBuf;
use std::time::Duration;

use processor::Watch;

use foreshadow::placement::{Options, Problem, prove, search, sharpen};

#[path = "common/processor.rs"]
mod processor;

const SEEDS: u64 = 5;
/// The part of the time again that the linear bound may take; the rest sharpens it.
const PROOF_PART: f64 = 0.6;
/// Portions and the search times of that size, in milliseconds.
const TIMES: &[(usize, &[u64])] = &[
    (20, &[100]),
    (200, &[1_000, 10_000]),
    (2_000, &[10_000, 60_000]),
    (10_000, &[60_000]),
];

/// Instances of every shared folder above the crate, and of the folder `FORESHADOW_INSTANCES`, the smallest first.
fn instances() -> Vec<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let shared = root.ancestors().map(|a| a.join("shared/placement"));
    let own = std::env::var_os("FORESHADOW_INSTANCES").map(PathBuf::from);
    let files = shared
        .chain(own)
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "json"));
    let mut files: Vec<PathBuf> = files.collect();
    files.sort_by_key(|path| (std::fs::metadata(path).map_or(0, |m| m.len()), path.clone()));
    files
}

#[test]
#[ignore = "a measurement of many minutes"]
fn how_far_the_search_and_the_bound_get_in_their_time() {
    println!(
        "| instance | search | worst objective | mean | worst linear bound | worst bound | worst gap % | bound took | peak MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for path in instances() {
        let text = std::fs::read_to_string(&path).expect("a file that is there can be read");
        let Ok(problem) = Problem::from_json(&text) else {
            continue;
        };
        let size = TIMES.iter().find(|(most, _)| problem.portions() <= *most);
        for &limit in size.map_or(&[60_000][..], |(_, times)| times) {
            println!("{}", measured(&problem, Duration::from_millis(limit)));
        }
    }
}

fn measured(problem: &Problem, limit: Duration) -> String {
    let (mut objectives, mut linear, mut bounds) = (vec![], vec![], vec![]);
    let (mut gaps, mut took) = (vec![], vec![]);
    for seed in 1..=SEEDS {
        let began = Watch::start();
        let spent = || began.elapsed().as_secs_f64() / limit.as_secs_f64();
        let options = Options {
            spent: Some(&spent),
            seed,
            ..Options::default()
        };
        let mut answer = search(problem, &options, &|| began.elapsed() >= limit);
        let searched = began.elapsed();
        prove(problem, &mut answer, u64::MAX, &|| {
            began.elapsed() >= searched + limit.mul_f64(PROOF_PART)
        });
        linear.push(answer.bound);
        let proven = began.elapsed();
        let rest = (searched + limit).saturating_sub(proven).as_secs_f64();
        let spent = || (began.elapsed() - proven).as_secs_f64() / rest;
        sharpen(problem, &mut answer, &spent);
        took.push((began.elapsed() - searched).as_secs_f64());
        objectives.push(answer.objective);
        bounds.push(answer.bound);
        gaps.push(answer.gap_pct);
    }
    let worst = |of: &[f64]| of.iter().copied().fold(0.0, f64::max);
    format!(
        "| {} | {:.1} s | {} | {} | {} | {} | {:.2} | {:.1} s | {} |",
        problem.instance().name,
        limit.as_secs_f64(),
        objectives.iter().max().unwrap_or(&0),
        objectives.iter().sum::<i64>() / SEEDS as i64,
        linear.iter().min().unwrap_or(&0),
        bounds.iter().min().unwrap_or(&0),
        worst(&gaps),
        worst(&took),
        processor::peak_mb()
    )
}
