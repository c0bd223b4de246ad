//! On simulated servers whose knee is known exactly; no time passes.

use super::*;
use crate::load::simulated::{Server, search, slo};
use proptest::prelude::*;

fn aim(start: f64, highest: f64) -> Aim {
    Aim {
        slo: slo(),
        confidence: 0.95,
        resolution: 0.10,
        start: Rps(start),
        highest: Rps(highest),
        min_requests: 30,
    }
}

const MOST: usize = 2_000;
const SEEDS: u64 = 100;

/// How often the knee found was off by more than 15 %, and how often the proven rates did not enclose the true one.
fn wrong(server: Server) -> (u32, u32) {
    let (mut off, mut outside) = (0, 0);
    for seed in 0..SEEDS {
        let found = search(server, aim(10.0 + (seed % 7) as f64, 2_000.0), MOST, seed).knee;
        let at = found.at.map_or(0.0, |r| r.0);
        off += u32::from((at / server.knee() - 1.0).abs() > 0.15);
        let (low, high) = found.proven;
        let inside =
            low.is_none_or(|l| l.0 <= server.knee()) && high.is_none_or(|h| server.knee() < h.0);
        outside += u32::from(!inside);
        assert!(found.confidence >= 0.95, "{found:?}");
    }
    (off, outside)
}

fn holds_for(server: Server) {
    let (off, outside) = wrong(server);
    assert!(
        off <= 5,
        "{server:?}: {off} of {SEEDS} off by more than 15 %"
    );
    assert!(
        outside <= 5,
        "{server:?}: {outside} of {SEEDS} not within what was proven"
    );
}

#[test]
fn the_knee_of_a_server_with_independent_answers_is_found_with_the_stated_confidence() {
    holds_for(Server::Coin { knee: 85.0 });
}

#[test]
fn the_knee_of_a_queue_with_exponential_service_is_found_with_the_stated_confidence() {
    holds_for(Server::Exponential { capacity: 40.0 });
    holds_for(Server::Exponential { capacity: 100.0 });
}

#[test]
fn the_knee_of_a_queue_with_constant_service_is_found_with_the_stated_confidence() {
    holds_for(Server::Constant { capacity: 20.0 });
    holds_for(Server::Constant { capacity: 60.0 });
}

#[test]
fn the_simulated_servers_have_the_knee_that_theory_says() {
    for server in [
        Server::Exponential { capacity: 40.0 },
        Server::Constant { capacity: 20.0 },
        Server::Coin { knee: 85.0 },
    ] {
        let all = server.requests(server.knee(), 200_000, 7);
        let late = all
            .iter()
            .filter(|(_, l)| *l > Duration::from_millis(200))
            .count();
        let part = late as f64 / all.len() as f64;
        assert!(
            (part - 0.05).abs() < 0.006,
            "{server:?}: {part} late at its knee"
        );
    }
}

#[test]
fn a_search_costs_less_than_half_of_one_with_fixed_lengths() {
    let server = Server::Coin { knee: 85.0 };
    for seed in 0..20 {
        let found = search(server, aim(10.0, 2_000.0), MOST, seed);
        let fixed = found.tries * MOST;
        assert!(found.requests * 2 < fixed, "{} of {fixed}", found.requests);
    }
}

fn told(trial: &mut Trial, n: u64, ms: u64, failed: bool) -> Option<(u64, Ruling)> {
    (0..n).find_map(|i| {
        let at = Duration::from_millis(i * 10);
        let ruled = trial.ended(i, at, Duration::from_millis(ms), failed);
        ruled.map(|r| (i + 1, r))
    })
}

#[test]
fn a_rate_that_is_clearly_bad_or_failing_is_decided_within_forty_requests() {
    for (ms, failed) in [(900, false), (3, true)] {
        let (n, ruling) = told(&mut Trial::new(&aim(10.0, 100.0)), 1_000, ms, failed).unwrap();
        assert!(n <= 40 && !ruling.held && ruling.proven, "{n} {ruling:?}");
    }
}

#[test]
fn a_rate_without_a_late_request_needs_what_the_binomial_asks_for_and_hardly_more() {
    let aim = aim(10.0, 100.0);
    let (n, ruling) = told(&mut Trial::new(&aim), 1_000, 5, false).unwrap();
    // (1 − 0.05)^n ≤ the chance of error of one rate.
    let least = aim.error().ln() / 0.95f64.ln();
    assert!(ruling.held && ruling.proven);
    assert!(
        (least..1.4 * least).contains(&(n as f64)),
        "{n} against {least}"
    );
}

#[test]
fn a_queue_that_grows_decides_nothing_before_it_is_late() {
    // 5 % beyond its capacity: latency grows by 50 ms a second and passes the limit after four seconds.
    let mut trial = Trial::new(&aim(10.0, 100.0));
    for i in 0..400u64 {
        let latency = Duration::from_micros(10_000 + i * 475);
        let ruled = trial.ended(i, Duration::from_millis(i * 10), latency, false);
        assert_eq!(ruled, None, "at request {i}");
    }
}

#[test]
fn what_hangs_counts_as_late_before_it_ends() {
    let mut trial = Trial::new(&aim(10.0, 100.0));
    let mut decided = None;
    // Each other request never ends.
    for i in (1..400u64).step_by(2) {
        let at = Duration::from_millis(i * 10);
        decided = decided.or(trial.ended(i, at, Duration::from_millis(5), false));
    }
    assert!(decided.is_some_and(|r| r.proven && !r.held), "{decided:?}");
}

#[test]
fn order_of_ending_does_not_matter() {
    let aim = aim(10.0, 100.0);
    let server = Server::Exponential { capacity: 100.0 };
    let all = server.requests(80.0, 500, 1);
    let mut in_order = Trial::new(&aim);
    let mut mixed = Trial::new(&aim);
    let mut by_end: Vec<usize> = (0..all.len()).collect();
    by_end.sort_by_key(|i| all[*i].0 + all[*i].1);
    by_end.chunks_mut(5).for_each(<[usize]>::reverse);
    for (i, (at, took)) in all.iter().enumerate() {
        in_order.ended(i as u64, *at, *took, false);
    }
    for i in by_end {
        mixed.ended(i as u64, all[i].0, all[i].1, false);
    }
    let (a, b) = (in_order.close(), mixed.close());
    assert_eq!(
        (a.held, in_order.late, in_order.next),
        (b.held, mixed.late, mixed.next)
    );
}

#[test]
fn nothing_and_too_little_prove_nothing() {
    let aim = aim(10.0, 100.0);
    assert!(!Trial::new(&aim).close().held);
    let mut few = Trial::new(&aim);
    told(&mut few, 20, 1, false);
    let ruling = few.close();
    assert!(!ruling.held && !ruling.proven);
}

proptest! {
    #[test]
    fn a_search_ends_within_its_tries_and_stays_within_its_rates(
        start in 1.0f64..500.0, factor in 0.5f64..200.0, resolution in 0.02f64..0.5, knee in 0.1f64..100_000.0
    ) {
        let mut asked = aim(start, start * factor);
        asked.resolution = resolution;
        let mut search = Search::new(asked);
        let mut tries = 0;
        while let Some(rate) = search.rate() {
            tries += 1;
            prop_assert!(rate.0 <= asked.highest.0.max(start) && rate.0 >= start / 32.0);
            let held = rate.0 <= knee;
            search.ruled(rate, Ruling { held, proven: true, error: 0.001 });
        }
        prop_assert!(tries <= asked.tries());
        let found = search.knee();
        if let (Some(low), Some(high)) = found.proven {
            prop_assert!(low.0 <= knee && knee < high.0);
            prop_assert!(high.0 / low.0 <= 1.0 + resolution + 1e-6, "{low:?} {high:?}");
        }
        prop_assert_eq!(found.open, knee >= asked.highest.0.max(start));
    }

    #[test]
    fn a_trial_takes_anything_without_a_panic(
        what in prop::collection::vec((0u64..50, 0u64..10_000, 0u64..5_000, any::<bool>()), 0..200),
        quantile in 0.0f64..=1.0, latency in 0.0f64..1_000.0
    ) {
        let mut asked = aim(1.0, 2.0);
        asked.slo.quantile = quantile;
        asked.slo.latency = crate::model::Millis(latency);
        let mut trial = Trial::new(&asked);
        for (index, at, took, failed) in what {
            trial.ended(index, Duration::from_millis(at), Duration::from_millis(took), failed);
        }
        let ruling = trial.close();
        prop_assert!((0.0..=1.0).contains(&ruling.error));
    }
}
