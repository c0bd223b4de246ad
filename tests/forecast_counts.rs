//! A sandbox day as the forecaster sees it: a past played smoothly from a trace, then rates counted over a few seconds.

mod common;

use common::policy;
use foreshadow::forecast::{Calls, Fits, outlook};
use foreshadow::learn::score;
use foreshadow::model::*;
use rand::Rng;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::f64::consts::TAU;

/// Steps of a day, of one second each, as the policy has it.
const DAY: usize = 144;
/// Seconds that a rate is counted over.
const WINDOW: usize = 4;
/// Steps ahead at which promises are scored.
const AHEAD: usize = 10;

/// Demand in requests a second: a day's wave, never the same twice.
fn demand(second: usize, mean: f64) -> f64 {
    let x = TAU * second as f64 / DAY as f64;
    let day = (second / DAY) as f64;
    mean * (1.0 + 0.5 * x.sin() + 0.2 * (2.0 * x + 1.0).sin() + 0.05 * (1.7 * day).sin())
}

/// Knuth's way: how many arrive while so many are expected.
fn poisson(dice: &mut impl Rng, expected: f64) -> u32 {
    let (limit, mut product, mut count) = ((-expected).exp(), 1.0, 0);
    loop {
        product *= dice.random::<f64>();
        if product <= limit {
            return count;
        }
        count += 1;
    }
}

/// The share of promises kept over `live` seconds, and over the first hundred of them.
fn kept(seed: u64, mean: f64, live: usize) -> (f64, f64) {
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
    let (web, policy) = (PortionId::from("web"), policy());
    let past = 5 * DAY;
    let counts: Vec<f64> = (0..past + live)
        .map(|t| f64::from(poisson(&mut dice, demand(t, mean))))
        .collect();
    let mut history = History::default();
    history.demand.insert(
        web.clone(),
        Series {
            start: Moment(0),
            step: Span::secs(1),
            values: (0..past).map(|t| demand(t, mean)).collect(),
        },
    );
    let (mut beliefs, mut fits) = (Beliefs::default(), Fits::default());
    let mut promises: Vec<Option<(Rps, Rps, Rps)>> = vec![None; past + live + AHEAD + 1];
    let (mut hits, mut scored, mut early) = (0usize, 0usize, 0.0);
    for t in past..past + live {
        let samples: f64 = counts[t + 1 - WINDOW..=t].iter().sum();
        let rate = Rps(samples / WINDOW as f64);
        let now = Moment(t as i64 * 1000);
        if let Some((low, mid, high)) = promises[t] {
            hits += usize::from(low <= rate && rate <= high);
            scored += 1;
            let skill = beliefs.skill.entry(web.clone()).or_default();
            score(skill, low, mid, high, rate);
            if scored == 100 {
                early = hits as f64 / 100.0;
            }
        }
        history.demand.get_mut(&web).unwrap().values.push(rate.0);
        let mut world = World::unknown(now, "only traffic is looked at");
        let traffic = Traffic {
            rate,
            success: 1.0,
            samples: samples as u64,
            p50: Millis(5.0),
            p99: Millis(20.0),
            at_slo: Millis(20.0),
        };
        world.traffic.insert(web.clone(), Seen::known(traffic, now));
        let made = outlook(
            &history,
            &world,
            &policy,
            &beliefs,
            &Calls::new(),
            &fits,
            now,
        );
        fits = made.1;
        let at = now + Span::secs(AHEAD as i64);
        let point = made.0.demand[&web].points.iter().find(|p| p.at == at);
        promises[t + AHEAD] = point.map(|p| (p.at_level(0.1), p.at_level(0.5), p.at_level(0.9)));
    }
    (hits as f64 / scored as f64, early)
}

#[test]
fn eight_in_ten_counted_rates_lie_in_the_80_percent_band_from_the_first_day_on() {
    let runs: Vec<(f64, f64)> = [(1, 8.0), (2, 20.0), (3, 60.0), (4, 20.0)]
        .into_iter()
        .map(|(seed, mean)| kept(seed, mean, 2 * DAY))
        .collect();
    let n = runs.len() as f64;
    let (all, early) = runs
        .iter()
        .fold((0.0, 0.0), |s, r| (s.0 + r.0 / n, s.1 + r.1 / n));
    println!("kept {runs:?}, on average {all:.3}, of the first hundred {early:.3}");
    assert!((0.75..=0.88).contains(&all), "{runs:?}");
    assert!((0.72..=0.92).contains(&early), "{runs:?}");
    assert!(
        runs.iter().all(|r| (0.70..=0.92).contains(&r.0)),
        "{runs:?}"
    );
}
