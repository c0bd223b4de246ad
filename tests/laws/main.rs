//! The twelve laws for what touches production traffic, one test or more each.

#[path = "../common/mod.rs"]
mod common;
mod limits;

use common::*;
use foreshadow::engine::{State, View, absorb, clock, cycle};
use foreshadow::guard::{Cleared, Facts, Held, Law, clear};
use foreshadow::model::*;
use std::collections::BTreeMap;

fn turn(state: State, world: &World) -> (State, Vec<Cleared<Step>>, View) {
    cycle(state, world, world.at, &mut clock::dice(1))
}

fn writes(steps: &[Cleared<Step>]) -> Vec<&Target> {
    steps
        .iter()
        .filter_map(|s| match &s.action {
            Action::SetTarget { target, .. } => Some(target),
            _ => None,
        })
        .collect()
}

fn held(view: &View, law: u8) -> bool {
    view.steps
        .iter()
        .any(|s| s.state.contains(&format!("(law {law})")))
}

/// Demand that two primaries of 30 requests a second cannot carry.
fn rush(mut world: World, rate: f64) -> World {
    if let Some(Seen::Known { value, .. }) = world.traffic.get_mut(&PortionId::from("web")) {
        value.rate = Rps(rate);
    }
    world
}

fn fail(mut world: World, n: u8) -> World {
    for front in world.fronts.values_mut() {
        for seen in front.entries.values_mut() {
            if let Seen::Known { value, .. } = seen {
                value
                    .iter_mut()
                    .filter(|e| e.instance == alloc_id(n))
                    .for_each(|e| e.passing = false);
            }
        }
    }
    world
}

/// One primary has everything, so that sharing it out again is a move that nothing forces.
fn lopsided() -> (State, World) {
    let mut world = with_standby(common::world());
    let front = world
        .fronts
        .get_mut(&ServiceName::from("shop-web"))
        .expect("front");
    if let Some(Seen::Known { value: Some(t), .. }) = &mut front.target {
        t.instances[0].share = Share::ALL;
        t.instances[1].share = Share::NONE;
    }
    let mut state = state();
    state.beliefs.profiles = profiles(60.0);
    (state, world)
}

/// The first step of that move, as it was drafted.
fn planned() -> (Step, World) {
    let (state, world) = lopsided();
    let (_, steps, _) = turn(state, &world);
    let step = steps.into_iter().map(|s| s.into_inner());
    let step = step.into_iter().find(|s| s.action.touches_traffic());
    (step.expect("a planned step"), world)
}

/// The guard alone, asked under this epoch about a step that was drafted under other circumstances, where each instance was
/// measured to carry `knee`.
fn guarded(
    step: &Step,
    world: &World,
    policy: &Policy,
    (knee, epoch): (f64, u64),
) -> Result<(), Held> {
    let facts = Facts {
        now: world.at,
        acting: true,
        epoch: Some(Epoch(epoch)),
        world,
        policy,
        capacity: &(1..=3).map(|n| (alloc_id(n), Rps(knee))).collect(),
        inflight: &BTreeMap::new(),
        moving: None,
        max_step: Share::ALL,
        writes_left: 1,
    };
    clear(step.clone(), &facts)
        .map(|_| ())
        .map_err(|held| held.1)
}

fn done(step: &Step, at: Moment) -> Outcome {
    Outcome {
        step: step.clone(),
        started: at,
        at,
        verdict: Verdict::Verified,
        measured: None,
    }
}

#[test]
fn law_01_a_side_that_is_not_ready_gets_no_share() {
    let world = fail(rush(with_standby(world()), 70.0), 3);
    let (_, steps, _) = turn(state(), &world);
    for target in writes(&steps) {
        assert_eq!(target.share_of(&alloc_id(3)), Share::NONE);
    }
    let world = rush(with_standby(common::world()), 70.0);
    let (_, steps, _) = turn(state(), &world);
    let given = writes(&steps)
        .iter()
        .any(|t| t.share_of(&alloc_id(3)) > Share::NONE);
    assert!(given, "the same standby, once it is ready, takes its part");
}

#[test]
fn law_02_no_second_write_before_the_first_is_verified() {
    let world = rush(with_standby(world()), 70.0);
    let (state, steps, _) = turn(state(), &world);
    assert_eq!(writes(&steps).len(), 1);
    let later = at(world, NOW + Span::secs(3));
    let (_, steps, view) = turn(state, &later);
    assert!(writes(&steps).is_empty());
    assert!(
        view.waiting
            .iter()
            .any(|w| w.why.contains("not verified yet"))
    );
}

#[test]
fn law_03_no_data_never_advances_and_never_shrinks() {
    for blind in ["allocs", "nodes", "entries", "target"] {
        let mut world = rush(with_standby(world()), 70.0);
        let front = world
            .fronts
            .get_mut(&ServiceName::from("shop-web"))
            .expect("front");
        match blind {
            "allocs" => world.allocs = Seen::unknown("cut"),
            "nodes" => world.nodes = Seen::unknown("cut"),
            "entries" => front
                .entries
                .values_mut()
                .for_each(|e| *e = Seen::unknown("cut")),
            _ => front.target = Some(Seen::unknown("cut")),
        }
        let (_, steps, _) = turn(state(), &world);
        assert!(
            writes(&steps).is_empty(),
            "{blind} unknown, and yet shares were written"
        );
    }
    let stale = world();
    let (_, steps, _) = cycle(
        state(),
        &fail(rush(stale, 70.0), 1),
        NOW + Span::secs(60),
        &mut clock::dice(1),
    );
    assert!(steps.is_empty(), "readings a minute old are no data");
}

#[test]
fn law_04_a_standby_that_carries_traffic_is_not_released() {
    let mut world = with_standby(world());
    let front = world
        .fronts
        .get_mut(&ServiceName::from("shop-web"))
        .expect("front");
    if let Some(Seen::Known { value: Some(t), .. }) = &mut front.target {
        t.instances[0].share = Share(4_000);
        t.instances[2].share = Share(1_000);
    }
    let mut state = state();
    let job = JobId::from("foreshadow-standby-web-1");
    state.workloads[0].book.needed.insert(job, Moment(0));
    let mut world = rush(world, 5.0);
    for s in 0..40 {
        world = at(world, NOW + Span::secs(s));
        let (next, steps, _) = turn(state, &world);
        state = next;
        assert!(
            !steps
                .iter()
                .any(|s| matches!(s.action, Action::ReleaseStandby { .. })),
            "released after {s} s while it still has a share"
        );
        state.workloads[0].book.inflight.clear();
    }
}

/// A target has left the standby out, but one gateway has not come to it yet.
#[test]
fn law_04_a_standby_that_clients_are_still_given_is_not_released() {
    let mut world = with_standby(world());
    let step = Step {
        action: Action::ReleaseStandby {
            portion: "web".into(),
            job: "foreshadow-standby-web-1".into(),
        },
        ..planned().0
    };
    let asked = |world: &World| guarded(&step, world, &policy(), (60.0, 5));
    assert_eq!(asked(&world).map_err(|held| held.why), Ok(()));
    let front = world.fronts.get_mut(&ServiceName::from("shop-web"));
    let entries = &mut front.expect("front").entries;
    let lags = Seen::known(vec![entry(3, true)].into(), NOW);
    entries.insert("edge-b".into(), lags);
    let held = asked(&world).unwrap_err();
    assert_eq!(held.law, Law::RetreatIsAPlan);
    assert!(held.why.starts_with("edge-b still gives"), "{}", held.why);
    // What its gateways' clients are given decides the mesh, not the entry.
    let front = world.fronts.get_mut(&ServiceName::from("shop-web"));
    if let Some(Seen::Known { value: Some(t), .. }) = &mut front.expect("front").target {
        t.owner = Owner::Mesh;
    }
    assert_eq!(asked(&world).map_err(|held| held.why), Ok(()));
}

#[test]
fn law_05_whatever_cannot_be_seen_the_plan_writes_nothing() {
    let (_, steps, view) = turn(state(), &World::unknown(NOW, "Consul and Nomad are gone"));
    assert!(steps.is_empty());
    assert!(!view.blind.is_empty(), "and the view says what is not seen");
}

#[test]
fn law_05_consul_or_nomad_alone_unreadable_leaves_weights_as_they_are() {
    let pressing = || fail(rush(with_standby(common::world()), 70.0), 1);
    let (_, steps, _) = turn(state(), &pressing());
    assert!(!writes(&steps).is_empty(), "there is something to do");
    let mut no_nomad = pressing();
    no_nomad.nodes = Seen::unknown("no answer");
    no_nomad.allocs = Seen::unknown("no answer");
    no_nomad.jobs = Seen::unknown("no answer");
    no_nomad.blocked = Seen::unknown("no answer");
    let mut no_consul = pressing();
    no_consul.hold = Seen::unknown("no answer");
    for front in no_consul.fronts.values_mut() {
        front.target = Some(Seen::unknown("no answer"));
        let entries = front.entries.values_mut();
        entries.for_each(|e| *e = Seen::unknown("no answer"));
    }
    for world in [no_nomad, no_consul] {
        let (_, steps, _) = turn(state(), &world);
        assert!(steps.is_empty(), "{steps:?}");
    }
}

#[test]
fn law_06_a_planned_move_does_not_build_on_another_releases_evidence() {
    let mut state = state();
    for p in &mut state.beliefs.profiles {
        p.key.release = Release::from("0-older");
    }
    let mut world = with_standby(world());
    let front = world
        .fronts
        .get_mut(&ServiceName::from("shop-web"))
        .expect("front");
    if let Some(Seen::Known { value: Some(t), .. }) = &mut front.target {
        // One primary has everything; sharing it out again would be a planned move.
        t.instances[0].share = Share::ALL;
        t.instances[1].share = Share::NONE;
    }
    let (state, steps, view) = turn(state, &world);
    assert!(writes(&steps).is_empty());
    assert!(held(&view, 6), "{:?}", view.steps);
    let mut state = state;
    state.beliefs.profiles = profiles(60.0);
    let (_, steps, _) = turn(state, &at(world, NOW + Span::secs(2)));
    assert_eq!(
        writes(&steps).len(),
        1,
        "with evidence of this release it goes on"
    );
}

#[test]
fn law_07_a_step_under_way_is_not_handed_on_a_second_time() {
    let world = rush(with_standby(world()), 70.0);
    let (state, steps, _) = turn(state(), &world);
    assert!(!steps.is_empty());
    let (state, again, _) = turn(state, &at(world, NOW + Span::millis(200)));
    let ids: Vec<&StepId> = steps.iter().map(|s| &s.id).collect();
    assert!(again.iter().all(|s| !ids.contains(&&s.id)));
    assert!(
        again
            .iter()
            .all(|s| !matches!(s.action, Action::SetTarget { .. }))
    );
    assert!(state.workloads[0].book.inflight.len() >= steps.len());
}

#[test]
fn law_08_without_the_lock_or_under_another_epoch_nothing_passes() {
    let world = rush(with_standby(world()), 70.0);
    let mut without = state();
    without.epoch = None;
    let (_, steps, view) = turn(without, &world);
    assert!(steps.is_empty());
    assert!(held(&view, 8));
}

#[test]
fn law_08_a_step_of_an_epoch_that_has_passed_is_held() {
    let (step, world) = planned();
    assert_eq!(guarded(&step, &world, &policy(), (60.0, 5)), Ok(()));
    let held = guarded(&step, &world, &policy(), (60.0, 6)).unwrap_err();
    assert_eq!(held.law, Law::EpochFences);
}

#[test]
fn law_01_a_planned_step_gives_nobody_more_than_its_measured_knee_less_headroom() {
    // Forty requests a second; the receiving one gets a quarter of them in the first step.
    let (step, world) = planned();
    let gets = match &step.action {
        Action::SetTarget { target, .. } => 40.0 * target.share_of(&alloc_id(2)).fraction(),
        _ => 0.0,
    };
    let ask = |knee: f64| guarded(&step, &world, &policy(), (knee, 5)).map_err(|held| held.law);
    assert_eq!(ask(gets / 0.94), Ok(()));
    assert_eq!(ask(gets / 0.96), Err(Law::CapacityBeforeWeight));
}

#[test]
fn law_01_what_its_own_service_says_is_shown_and_gives_an_instance_no_weight() {
    let ready = |view: &View| -> Vec<bool> {
        let all = &view.portions[0].instances;
        all.iter().map(|i| i.ready).collect()
    };
    let seen = |entries: Vec<FrontEntry>, origin: Option<Seen<SharedList<AllocId>>>| {
        let mut world = world();
        let target = Some(Seen::known(None, NOW));
        let entries = BTreeMap::from([("edge-a".into(), Seen::known(entries.into(), NOW))]);
        let front = Front {
            target,
            entries,
            origin,
            ..Front::default()
        };
        world.fronts.insert("shop-web".into(), front);
        let (_, steps, view) = turn(state(), &world);
        let actions: Vec<Action> = steps.iter().map(|s| s.action.clone()).collect();
        (actions, ready(&view))
    };
    let passing = |at| Some(Seen::known(vec![alloc_id(1), alloc_id(2)].into(), at));
    let (unseen, none) = seen(vec![], None);
    let (acts, both) = seen(vec![], passing(NOW));
    assert_eq!((none, both), (vec![false; 2], vec![true; 2]));
    assert!(!acts.is_empty());
    assert_eq!(acts, unseen, "nothing is decided by it");
    let (_, old) = seen(vec![], passing(NOW - Span::secs(600)));
    assert_eq!(old, [false; 2], "a reading of long ago tells nothing");
    let (_, entered) = seen(vec![entry(1, false)], passing(NOW));
    assert_eq!(entered, [false, true], "an entry knows better");
}

#[test]
fn law_10_hold_stops_every_write_and_unreadable_counts_as_set() {
    for hold in [Seen::known(true, NOW), Seen::unknown("no answer")] {
        let mut world = fail(rush(with_standby(world()), 70.0), 1);
        world.hold = hold;
        let (_, steps, view) = turn(state(), &world);
        assert!(steps.is_empty());
        assert!(view.hold.is_some());
    }
}

#[test]
fn law_11_observing_is_the_default_and_does_nothing() {
    let mut observer = state();
    observer.mode = Default::default();
    let (_, steps, view) = turn(observer, &fail(rush(with_standby(world()), 70.0), 1));
    assert!(steps.is_empty());
    assert!(held(&view, 11), "and it shows what it would do");
}

#[test]
fn law_12_when_nothing_is_ready_shares_stay_as_they_are() {
    let world = fail(fail(world(), 1), 2);
    let (_, steps, view) = turn(state(), &world);
    assert!(writes(&steps).is_empty());
    assert!(
        view.waiting
            .iter()
            .any(|w| w.why.contains("no instance is ready"))
    );
}

#[test]
fn a_dead_instance_is_replaced_at_once_and_the_reason_is_reactive() {
    let world = fail(with_standby(world()), 1);
    let (mut state, steps, _) = turn(state(), &world);
    let write = steps
        .iter()
        .find(|s| matches!(s.action, Action::SetTarget { .. }))
        .expect("a write");
    assert_eq!(write.cause, Cause::Reactive);
    let Action::SetTarget {
        target, planned, ..
    } = &write.action
    else {
        unreachable!()
    };
    assert!(!planned);
    assert_eq!(target.share_of(&alloc_id(1)), Share::NONE);
    assert_eq!(
        target.instances.iter().map(|i| i.share.0).sum::<u32>(),
        10_000
    );
    let outcome = done(write, NOW);
    absorb(&mut state, outcome);
    assert_eq!(state.tally.switchovers, 1);
}

#[test]
fn every_failure_domain_that_carries_traffic_has_its_contingency() {
    let (_, steps, _) = turn(state(), &with_standby(world()));
    let target = writes(&steps)[0];
    for i in &target.instances {
        if i.share == Share::NONE {
            continue;
        }
        for domain in [Domain::Node(i.node.clone()), Domain::Site(i.site.clone())] {
            let c = target
                .contingencies
                .iter()
                .find(|c| c.domain == domain)
                .expect("a contingency");
            assert!(c.lost.contains(&i.alloc));
            assert!(c.shares.get(&i.alloc).is_none());
            assert_eq!(c.shares.iter().map(|(_, s)| s.0).sum::<u32>(), 10_000);
        }
    }
}
