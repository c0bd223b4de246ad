//! Five hundred services that fail together on one site, in virtual time: all of them are written within the budget, and those that
//! matter most first.

use crate::common::{self, NOW};
use foreshadow::engine::{State, Workload, absorb, clock, cycle};
use foreshadow::model::*;
use std::collections::BTreeMap;

const SERVICES: usize = 500;
const TURN: Span = Span::millis(500);
/// The default of the configuration.
const BUDGET: usize = 100;

fn portion(k: usize) -> PortionId {
    PortionId::new(format!("p{k:03}"))
}

fn service(k: usize) -> ServiceName {
    ServiceName::new(format!("s{k:03}"))
}

/// Alloc of a service at a site: `a` or `b`.
fn alloc(k: usize, at: char) -> AllocId {
    AllocId::new(format!("{k:06}{at}{at}-0000"))
}

/// Demand of a service; no two are alike, and the order is mixed.
fn rate(k: usize) -> f64 {
    (k * 37 % SERVICES + 1) as f64
}

/// Nomad's priority of a service's job: of every third, twice the default.
fn priority(k: usize) -> u32 {
    if k.is_multiple_of(3) { 100 } else { 50 }
}

/// What a service matters, in requests a second of an ordinary job.
fn importance(k: usize) -> f64 {
    rate(k) * f64::from(priority(k)) / 50.0
}

fn policy() -> Policy {
    let mut policy = common::policy();
    let model = PortionPolicy {
        shadow: false,
        standby: false,
        ..policy.portions.remove(0)
    };
    let one = |k: usize| PortionPolicy {
        id: portion(k),
        job: JobId::new(format!("j{k:03}")),
        front: Some(service(k)),
        ..model.clone()
    };
    policy.portions = (0..SERVICES).map(one).collect();
    policy.budget.max_shadows = 0;
    policy
}

/// Each service has one instance at each edge site, with half of its traffic.
fn world() -> World {
    let mut world = common::world();
    (world.fronts, world.traffic) = Default::default();
    let (mut jobs, mut allocs) = (BTreeMap::new(), Vec::new());
    for k in 0..SERVICES {
        let mut job = common::job();
        job.edit()["ID"] = serde_json::json!(format!("j{k:03}"));
        job.edit()["Priority"] = serde_json::json!(priority(k));
        let mut instances = Vec::new();
        let mut entries = Vec::new();
        for at in ['a', 'b'] {
            let (site, node) = (format!("edge-{at}"), k as u8 % 3 + 1);
            let mut one = common::alloc(1, &format!("j{k:03}"), &site, node);
            one.id = alloc(k, at);
            allocs.push(one);
            let mut instance = common::instance(1, &site, node, 5_000);
            instance.alloc = alloc(k, at);
            let mut entry = common::entry(1, true);
            entry.instance = alloc(k, at);
            instances.push(instance);
            entries.push(entry);
        }
        let target = Target {
            service: service(k),
            ..common::target(instances)
        };
        let mut front = Front {
            target: Some(Seen::known(Some(target), NOW)),
            ..Front::default()
        };
        let seen = Seen::known(entries.into(), NOW);
        front.entries.insert("edge-a".into(), seen);
        world.fronts.insert(service(k), front);
        let traffic = Traffic {
            rate: Rps(rate(k)),
            success: 1.0,
            samples: 100,
            p50: Millis(20.0),
            p99: Millis(80.0),
            at_slo: Millis(60.0),
        };
        world.traffic.insert(portion(k), Seen::known(traffic, NOW));
        jobs.insert(job.id(), job);
    }
    world.jobs = Seen::known(jobs, NOW);
    world.allocs = Seen::known(allocs.into(), NOW);
    world
}

fn site_goes(world: &mut World) {
    if let Seen::Known { value, .. } = &mut world.nodes {
        value.edit(|n| {
            if n.site.as_str() == "edge-a" {
                n.status = NodeStatus::Down;
            }
        });
    }
    let fronts = world.fronts.values_mut();
    for seen in fronts.flat_map(|f| f.entries.values_mut()) {
        if let Seen::Known { value, .. } = seen {
            let there = value
                .iter_mut()
                .filter(|e| e.instance.as_str().contains("aa-"));
            there.for_each(|e| e.passing = false);
        }
    }
}

/// One turn: writes take effect and are verified before the next. Gives the services that were written, and whether as an emergency.
fn turn(state: &mut State, world: &mut World, now: Moment) -> Vec<(ServiceName, bool)> {
    *world = common::at(std::mem::replace(world, World::unknown(now, "")), now);
    let (next, steps, _) = cycle(std::mem::take(state), world, now, &mut clock::dice(1));
    *state = next;
    let mut written = Vec::new();
    for step in steps {
        let step = step.into_inner();
        let Action::SetTarget { target, .. } = &step.action else {
            continue;
        };
        written.push((target.service.clone(), step.cause == Cause::Reactive));
        let front = world.fronts.get_mut(&target.service).expect("a front");
        front.target = Some(Seen::known(Some(target.clone()), now));
        let outcome = Outcome {
            step,
            started: now,
            at: now,
            verdict: Verdict::Verified,
            measured: None,
        };
        absorb(state, outcome);
    }
    written
}

fn target(world: &World, k: usize) -> &Target {
    let front = &world.fronts[&service(k)];
    let target = front.target.as_ref().and_then(|t| t.value()?.as_ref());
    target.expect("a target")
}

#[test]
fn five_hundred_services_that_fail_together_are_all_written_within_ten_seconds_what_matters_most_first()
 {
    let mut state = State {
        workloads: vec![Workload {
            policy: policy(),
            ..Workload::default()
        }],
        ..common::state()
    };
    let mut world = world();
    let mut now = NOW;
    // What is prepared for failures is written first, within the same budget.
    let mut prepared = 0;
    for _ in 0..10 {
        now = now + TURN;
        let written = turn(&mut state, &mut world, now);
        assert!(written.iter().all(|(_, urgent)| !urgent));
        prepared += written.len();
    }
    assert_eq!(prepared, SERVICES, "each has its contingencies");
    for k in 0..SERVICES {
        let stakes = target(&world, k).contingencies.iter().map(|c| c.stake);
        let half = Some(Rps(importance(k) / 2.0));
        assert!(
            stakes.clone().count() > 0 && stakes.clone().all(|s| s == half),
            "{k}"
        );
    }
    now = now + Span::secs(5);
    site_goes(&mut world);
    let failed = now;
    let mut order = Vec::new();
    while order.len() < SERVICES {
        let at = now.since(failed);
        assert!(
            at <= Span::secs(10),
            "{} of {SERVICES} after {} ms",
            order.len(),
            at.0
        );
        let written = turn(&mut state, &mut world, now);
        order.extend(
            written
                .into_iter()
                .filter(|(_, urgent)| *urgent)
                .map(|(s, _)| s),
        );
        let most = BUDGET as f64 * (1.0 + at.as_secs_f64());
        assert!(
            order.len() as f64 <= most,
            "{} writes after {} ms",
            order.len(),
            at.0
        );
        now = now + TURN;
    }
    let took = Span(now.since(failed).0 - TURN.0);
    let waited = state.tally.writes_waited;
    println!(
        "{SERVICES} services written {} ms after they failed, at {BUDGET} a second; {waited} times one was put off",
        took.0
    );
    let number = |s: &ServiceName| s.as_str()[1..].parse::<usize>().expect("a number");
    let matters: Vec<f64> = order.iter().map(|s| importance(number(s))).collect();
    assert!(matters.windows(2).all(|w| w[0] >= w[1]), "{matters:?}");
    let each: std::collections::BTreeSet<&ServiceName> = order.iter().collect();
    assert_eq!(each.len(), SERVICES, "none twice");
    for k in 0..SERVICES {
        let target = target(&world, k);
        let shares = ['a', 'b'].map(|at| target.share_of(&alloc(k, at)));
        assert_eq!(shares, [Share::NONE, Share::ALL], "{} is lost", service(k));
    }
    assert!(waited > 0);
    let said = |word: &str| state.log.iter().any(|l| l.text.contains(word));
    assert!(said("wait for the write budget of 100 a second") && said("no write waits"));
}
