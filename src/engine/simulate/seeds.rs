//! Worlds with random portions, demand and faults, each for half a virtual hour, and what must hold in them.

use super::steer::{Steersman, lock};
use super::{keeping, threads};
use crate::engine::clock;
use crate::model::*;
use crate::sandbox::simulated::faults::some;
use crate::sandbox::simulated::{Broken, Keeping, Setup, Simulated, Spec, share};
use rand::Rng;
use serde::Serialize;
use std::f64::consts::TAU;

/// When a world begins; faults come in its middle, and before its end all must be well again.
const BEGIN: Moment = Moment(1_700_006_400_000);
const QUIET: Span = Span::secs(240);
const FAULTS: Span = Span::secs(900);
const SETTLED: Span = Span::secs(1_620);
const END: Span = Span::secs(1_800);
const STEP: Span = Span::secs(300);
/// Half a day of readings is remembered.
const PAST: i64 = 144;
/// Portions and demand of a seed have dice of their own.
const WORLD: u64 = 0x0005_eed5;
/// An SLO allows at least this much …
const LATENCY: f64 = 600.0;
/// … and so much for each instance that a request comes through. Idle, one takes 40 ms of it and the way there a few more: with
/// less, a long chain of calls breaks its SLO however many instances there are, and whoever steers.
const A_VISIT: f64 = 100.0;

/// A world in which something did not hold, and the command that plays it again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    pub seed: u64,
    pub broken: Vec<Broken>,
    /// What went wrong in it, in order.
    pub faults: Vec<String>,
    pub replay: String,
}

/// What many worlds came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verdict {
    pub seeds: u64,
    pub failed: Vec<Failure>,
    /// Events that happened in them, cycles included.
    pub steps: u64,
    pub wall_ms: u64,
}

/// `count` worlds, from the seed `first` on.
pub fn run(first: u64, count: u64) -> Verdict {
    let watch = clock::Stopwatch::start();
    let mut verdict = Verdict {
        seeds: count,
        ..Verdict::default()
    };
    let worlds = threads::each(count as usize, |n| {
        world(first.saturating_add(n as u64), keeping())
    });
    for (steps, failure) in worlds {
        verdict.steps += steps;
        verdict.failed.extend(failure);
    }
    verdict.wall_ms = watch.elapsed().as_millis() as u64;
    verdict
}

/// One world: its events, and what did not hold.
pub fn world(seed: u64, keeping: Keeping) -> (u64, Option<Failure>) {
    let mut dice = clock::dice(seed ^ WORLD);
    let policy = policy(&mut dice);
    let trace = trace(&policy, &mut dice);
    let spec = Spec::new(policy, Vec::new());
    let faults = some(&spec, BEGIN + QUIET, BEGIN + FAULTS, seed);
    let told = faults.iter().map(|f| {
        let at = f.at.since(BEGIN).0 / 1000;
        format!("{at} s, for {} s: {:?}", f.lasts.0 / 1000, f.kind)
    });
    let told: Vec<String> = told.collect();
    let setup = Setup {
        spec,
        trace: trace.clone(),
        from: BEGIN,
        faults,
        seed,
        plain: false,
        keeping,
    };
    let world = share(Simulated::new(setup));
    let mut steersman = Steersman::new(world.clone(), &trace, BEGIN, seed);
    // In every other world it plans as where there are many workloads: what is still stays as it was planned.
    steersman.state.few = seed.is_multiple_of(2).then_some(0);
    steersman.until(BEGIN + SETTLED);
    lock(&world).open_books();
    steersman.until(BEGIN + END);
    let mut world = lock(&world);
    world.check_converged();
    world.check_explained();
    let broken = world.broken().to_vec();
    let steps = world.events() + steersman.cycles;
    let failure = (!broken.is_empty()).then(|| Failure {
        seed,
        broken,
        faults: told,
        replay: format!("foreshadow simulate --seeds 1 --seed {seed} --format json"),
    });
    (steps, failure)
}

/// One to eight portions that call each other downwards, with times that fit into half an hour.
fn policy(dice: &mut clock::Dice) -> Policy {
    let count = dice.random_range(1..=8usize);
    let name = |n: usize| format!("p{n}");
    let mut draw = |n: usize| (n + 1..count).filter(|_| dice.random_bool(0.25)).collect();
    let calls: Vec<Vec<usize>> = (0..count).map(&mut draw).collect();
    let visits = visits(&calls);
    let portions = (0..count).map(|n| {
        let calls = calls[n].iter();
        PortionPolicy {
            id: PortionId::new(name(n)),
            job: JobId::new("seeded"),
            groups: vec![Group::new(name(n))],
            front: Some(ServiceName::new(format!("seeded-{}", name(n)))),
            owner: OwnerChoice::default(),
            port: "http".into(),
            path: "/".into(),
            health: "/health".into(),
            depends_on: calls.map(|c| PortionId::new(name(*c))).collect(),
            slo: Slo {
                quantile: 0.95,
                latency: Millis(LATENCY.max(A_VISIT * visits[n] as f64)),
                success: 0.98,
            },
            data: Data::Free,
            upstreams: Upstreams::Stub,
            stand_ins: Vec::new(),
            metrics: Metrics {
                clients: Vec::new(),
                path: "/metrics".into(),
                requests: "requests_total".into(),
                duration: "duration_seconds".into(),
                failed: String::new(),
                only: Vec::new(),
            },
            shadow: true,
            standby: true,
            probe: true,
        }
    });
    Policy {
        workload: "seeded".into(),
        portions: portions.collect(),
        risk_tolerance: 0.3,
        budget: Budget {
            shadow: CoreHours(24.0),
            standby: CoreHours(200.0),
            max_shadows: 2,
            max_standbys: 16,
        },
        sites: ["edge-a", "edge-b", "provider-a", "provider-b"]
            .map(Site::from)
            .to_vec(),
        ramp: Ramp {
            steps: [10, 50, 100].map(Share::percent).to_vec(),
            soak: Span::secs(10),
            settle: Span::secs(60),
            warm: Span::secs(60),
            min_samples: 5,
        },
        step: STEP,
        season: Span::secs(86_400),
        horizon: Span::secs(900),
        peak_rps: Rps(dice.random_range(6.0..20.0)),
        ..Policy::default()
    }
}

/// Instances that a request to each portion comes through: its own, and those of all that it calls.
fn visits(calls: &[Vec<usize>]) -> Vec<usize> {
    let mut visits = vec![1; calls.len()];
    for n in (0..calls.len()).rev() {
        visits[n] += calls[n].iter().map(|c| visits[*c]).sum::<usize>();
    }
    visits
}

/// A slow wave, and within the half hour a surge that primaries may not carry; it is over before the end.
fn trace(policy: &Policy, dice: &mut clock::Dice) -> Series {
    let peak = policy.peak_rps.0;
    let surge = dice.random_range(0.0..2.5);
    // What many call gets many times as much: the whole is kept within what its primaries carry.
    let calls: usize = policy.portions.iter().map(|p| p.depends_on.len()).sum();
    let peak = peak / (1.0 + calls as f64 / 4.0);
    let value = |k: i64| {
        let wave = 0.7 + 0.2 * (TAU * k as f64 / 288.0).sin();
        let within = (PAST + 1..PAST + 3).contains(&k);
        peak * wave * if within { 1.0 + surge } else { 1.0 }
    };
    Series {
        start: BEGIN - STEP.times(PAST),
        step: STEP,
        values: (0..PAST + 12).map(value).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slo_of_a_random_world_can_be_kept_by_idle_instances() {
        for seed in 0..1_000 {
            let spec = Spec::new(policy(&mut clock::dice(seed ^ WORLD)), Vec::new());
            let mut idle = vec![0.0; spec.parts.len()];
            for at in spec.order.iter().rev() {
                let part = &spec.parts[*at];
                let calls: f64 = part.calls.iter().map(|(to, _)| idle[*to]).sum();
                // At its slowest node, over the longest way between two sites of its job.
                let own = part.station(part.needs.cpu.0, part.needs.cpu.0).service;
                idle[*at] = calls + own + 0.008;
                let limit = part.policy.slo.latency.0 / 1000.0;
                assert!(idle[*at] * 2.0 <= limit, "{} of seed {seed}", part.id);
            }
        }
    }

    /// The same world with gateways that follow nothing: whoever checks it has to see that.
    #[test]
    fn a_world_whose_gateways_follow_nobody_is_found_out() {
        let deaf = Keeping {
            newer: |_, _| false,
            ..keeping()
        };
        let (_, failure) = world(3, deaf);
        let laws: Vec<&str> = failure
            .expect("it is broken")
            .broken
            .iter()
            .map(|b| b.law)
            .collect();
        assert!(laws.contains(&"eventually_gateways_follow"), "{laws:?}");
    }
}
