//! Planned moves: what counts as a step, and when one turns back.

use crate::common::{self, NOW};
use foreshadow::engine::{State, absorb, clock, cycle};
use foreshadow::model::*;
use std::sync::Arc;

/// One primary has everything, so that sharing it out again is a move that nothing forces.
fn lopsided() -> (State, World) {
    let mut world = common::world();
    if let Some(front) = world.fronts.get_mut(&ServiceName::from("shop-web"))
        && let Some(Seen::Known { value: Some(t), .. }) = &mut front.target
    {
        t.instances[0].share = Share::ALL;
        t.instances[1].share = Share::NONE;
    }
    let mut state = common::state();
    state.beliefs.profiles = common::profiles(60.0);
    (state, world)
}

fn turn(state: State, world: &World) -> (State, Option<Step>) {
    let (state, steps, _) = cycle(state, world, world.at, &mut clock::dice(1));
    let mut steps = steps.into_iter().map(|s| s.into_inner());
    (state, steps.find(|s| s.action.touches_traffic()))
}

fn verified(state: &mut State, world: &mut World, step: Step) {
    if let Action::SetTarget { target, .. } = &step.action
        && let Some(front) = world.fronts.get_mut(&target.service)
    {
        front.target = Some(Seen::known(Some(target.clone()), world.at));
    }
    let at = world.at;
    absorb(
        state,
        Outcome {
            step,
            started: at,
            at,
            verdict: Verdict::Verified,
            measured: None,
        },
    );
}

fn second_has(step: &Step) -> Share {
    match &step.action {
        Action::SetTarget { target, .. } => target.share_of(&common::alloc_id(2)),
        _ => Share::NONE,
    }
}

#[test]
fn what_nomad_placed_for_all_that_was_lost_is_entered_so_that_it_can_be_found_ready() {
    let mut world = common::world();
    world.allocs = Seen::known(
        Table::from(vec![common::alloc(3, "shop", "edge-b", 2)]),
        world.at,
    );
    let (_, step) = turn(common::state(), &world);
    let step = step.expect("a write that the guard lets pass");
    let Action::SetTarget { target, .. } = &step.action else {
        panic!("{step:?}");
    };
    let share = |n: u8| target.share_of(&common::alloc_id(n));
    assert_eq!(
        [share(1), share(2)],
        [Share(5_000); 2],
        "weights stay as they are"
    );
    assert_eq!(target.instances.len(), 3);
    assert_eq!(share(3), Share::NONE, "it has not been seen ready");
}

#[test]
fn renewing_contingencies_in_the_midst_of_a_move_is_no_step_of_it() {
    let (state, mut world) = lopsided();
    let (mut state, step) = turn(state, &world);
    let step = step.expect("the first step");
    let book = &mut state.workloads[0].book;
    let mv = book
        .moves
        .get_mut(&ServiceName::from("shop-web"))
        .expect("a move");
    mv.cause = Cause::Reactive;
    let renewal = match step.action.clone() {
        Action::SetTarget { target, before, .. } => Action::SetTarget {
            target,
            before,
            planned: false,
        },
        other => other,
    };
    book.inflight.insert("r".into(), step.clone());
    let renewal = Step {
        id: "r".into(),
        cause: Cause::Upkeep,
        action: renewal,
        ..step
    };
    verified(&mut state, &mut world, renewal);
    let mv = &state.workloads[0].book.moves[&ServiceName::from("shop-web")];
    assert_eq!(mv.done, 0);
}

#[test]
fn a_planned_move_that_hurts_turns_back_and_is_tried_again_only_after_it_has_settled() {
    let (state, mut world) = lopsided();
    let (mut state, step) = turn(state, &world);
    let step = step.expect("the first step");
    assert!(second_has(&step) > Share::NONE);
    verified(&mut state, &mut world, step);
    let hurt = |world: &mut World, ms: f64| {
        if let Some(Seen::Known { value, .. }) = world.traffic.get_mut(&PortionId::from("web")) {
            value.at_slo = Millis(ms);
        }
    };
    let back = world.at + Span::secs(2);
    world = common::at(world, back);
    hurt(&mut world, 900.0);
    let (next, step) = turn(state, &world);
    state = next;
    let step = step.expect("the retreat");
    assert!(
        step.why.contains("retreat") && second_has(&step) == Share::NONE,
        "{}",
        step.why
    );
    verified(&mut state, &mut world, step);
    hurt(&mut world, 60.0);
    let settle = common::policy().ramp.settle;
    while world.at.since(back) < Span(settle.0 - 1000) {
        let later = world.at + Span::secs(1);
        world = common::at(world, later);
        let (next, step) = turn(state, &world);
        state = next;
        if let Some(step) = step {
            assert_eq!(
                second_has(&step),
                Share::NONE,
                "{} at {}",
                step.why,
                world.at.since(NOW).0
            );
            verified(&mut state, &mut world, step);
        }
    }
    world = common::at(world, back + settle + Span::secs(12));
    let (_, step) = turn(state, &world);
    assert!(
        step.is_some_and(|s| second_has(&s) > Share::NONE),
        "and then it is tried again"
    );
}

#[test]
fn a_move_is_not_put_off_by_its_retreats_while_the_shares_it_would_leave_hurt_too() {
    let (mut state, mut world) = lopsided();
    let breach = |world: &mut World| {
        if let Some(Seen::Known { value, .. }) = world.traffic.get_mut(&PortionId::from("web")) {
            value.at_slo = Millis(900.0);
        }
    };
    let (next, step) = turn(state, &world);
    state = next;
    verified(&mut state, &mut world, step.expect("the first step"));
    // Five retreats behind it: the next planned step is far off.
    let settle = common::policy().ramp.settle;
    let book = &mut state.workloads[0].book;
    book.retreats.insert("shop-web".into(), (world.at, 5));
    book.moves
        .get_mut(&ServiceName::from("shop-web"))
        .expect("a move")
        .done = 0;
    let later = world.at + settle + Span::secs(1);
    let mut well = common::at(world.clone(), later);
    let (_, step) = turn(state.clone(), &well);
    assert!(step.is_none(), "as long as nothing hurts it waits");
    breach(&mut well);
    let (_, step) = turn(state, &well);
    let step = step.expect("a step away from what hurts");
    assert!(second_has(&step) > Share::NONE, "{}", step.why);
    assert_eq!(step.cause, Cause::Reactive, "{}", step.why);
}

#[test]
fn a_retreat_that_was_held_up_is_asked_for_again_until_it_is_done() {
    let (state, mut world) = lopsided();
    let (mut state, step) = turn(state, &world);
    verified(&mut state, &mut world, step.expect("the first step"));
    let later = world.at + Span::secs(2);
    world = common::at(world, later);
    if let Some(Seen::Known { value, .. }) = world.traffic.get_mut(&PortionId::from("web")) {
        value.at_slo = Millis(900.0);
    }
    world.hold = Seen::known(true, world.at);
    let (state, step) = turn(state, &world);
    assert!(step.is_none(), "held");
    world.hold = Seen::known(false, world.at);
    let (mut state, step) = turn(state, &world);
    let step = step.expect("the retreat");
    assert!(step.why.contains("retreat"), "{}", step.why);
    // Its write is not verified either: nobody knows whether it came through.
    let outcome = Outcome {
        step,
        started: world.at,
        at: world.at,
        verdict: Verdict::Unsure {
            why: "the answer was lost".into(),
        },
        measured: None,
    };
    absorb(&mut state, outcome);
    let later = world.at + Span::secs(2);
    world = common::at(world, later);
    let (_, step) = turn(state, &world);
    let again = step.is_some_and(|s| s.why.contains("retreat") && second_has(&s) == Share::NONE);
    assert!(again, "and once more");
}

/// What the two instances say that they have counted in the second before now.
fn counted(world: &mut World, counts: [u64; 2]) {
    let one = |(n, requests): (u8, u64)| Reading {
        portion: "web".into(),
        instance: Some(common::alloc_id(n)),
        from: world.at - Span::secs(1),
        at: world.at,
        requests,
        latencies: Latencies::default(),
    };
    world.readings = [(1, counts[0]), (2, counts[1])]
        .map(|n| Arc::new(one(n)))
        .into();
}

#[test]
fn the_next_step_waits_until_instances_count_that_requests_went_where_the_last_one_sent_them() {
    let (state, mut world) = lopsided();
    let (mut state, step) = turn(state, &world);
    let step = step.expect("the first step");
    let had = second_has(&step).fraction();
    verified(&mut state, &mut world, step);
    let later = world.at + Span::secs(3);
    world = common::at(world, later);
    let waits = |state: &State| {
        let plan = state.workloads[0].plan.as_ref().expect("a plan");
        let why = plan.waiting.iter().map(|w| w.why.clone());
        why.collect::<Vec<_>>().join("; ")
    };

    counted(&mut world, [3, 1]);
    let (next, step) = turn(state, &world);
    state = next;
    assert_eq!(step, None, "of four requests nobody can tell");
    let why = waits(&state);
    assert!(
        why.contains("4 of 5 requests") && why.contains("not known yet"),
        "{why}"
    );

    counted(&mut world, [1_000, 0]);
    let (next, step) = turn(state, &world);
    state = next;
    assert_eq!(step, None, "clients stayed where they were");
    let why = waits(&state);
    assert!(
        why.contains("clients do not go where the shares say"),
        "{why}"
    );

    let second = (1_000.0 * had).round() as u64;
    counted(&mut world, [1_000 - second, second]);
    let (_, step) = turn(state, &world);
    let step = step.expect("the second step");
    assert!(
        step.why.contains("1000 requests are split so"),
        "{}",
        step.why
    );
}

#[test]
fn a_step_that_clients_never_follow_is_taken_back_so_that_no_other_move_waits_for_it() {
    let (state, mut world) = lopsided();
    let (mut state, step) = turn(state, &world);
    verified(&mut state, &mut world, step.expect("the first step"));
    let ramp = common::policy().ramp;
    let in_time = world.at + Span(ramp.soak.0 + ramp.settle.0);
    world = common::at(world, in_time - Span(1));
    counted(&mut world, [1_000, 0]);
    let (state, step) = turn(state, &world);
    assert_eq!(step, None, "they are given the settling time");
    world = common::at(world, in_time);
    counted(&mut world, [1_000, 0]);
    let (_, step) = turn(state, &world);
    let step = step.expect("the retreat");
    assert!(
        step.why.contains("retreat: clients do not go"),
        "{}",
        step.why
    );
    assert_eq!(second_has(&step), Share::NONE);
}

#[test]
fn requests_from_before_the_step_or_counted_by_one_alone_say_nothing_of_it() {
    let (state, mut world) = lopsided();
    let (mut state, step) = turn(state, &world);
    counted(&mut world, [1_000, 0]);
    verified(&mut state, &mut world, step.expect("the first step"));
    let later = world.at + Span::secs(3);
    world = common::at(world, later);
    let (next, step) = turn(state, &world);
    assert_eq!(step, None, "what was counted before is none of it");
    world.readings.truncate(1);
    let (_, step) = turn(next, &world);
    let step = step.expect("the second step: resolvers were asked at the first");
    assert!(!step.why.contains("requests are split"), "{}", step.why);
}

/// A standby that has this share while half of all requests fail, and nobody knows what an instance carries.
fn suffering(share: u32) -> Vec<Step> {
    let mut world = common::with_standby(common::world());
    if let Some(Seen::Known { value, .. }) = world.traffic.get_mut(&PortionId::from("web")) {
        value.success = 0.5;
    }
    if let Some(front) = world.fronts.get_mut(&ServiceName::from("shop-web")) {
        if let Some(Seen::Known { value: Some(t), .. }) = &mut front.target {
            let each = (Share::ALL.0 - share) / 2;
            let shares = [each, each, share];
            let of = t.instances.iter_mut().zip(shares);
            of.for_each(|(instance, share)| instance.share = Share(share));
        }
        for entries in front.entries.values_mut() {
            if let Seen::Known { value, .. } = entries {
                value.iter_mut().for_each(|e| e.maintenance = false);
            }
        }
    }
    let mut state = common::state();
    state.beliefs = Beliefs::default();
    // Contingencies are written first; then shares stand for the settling time.
    let (mut state, step) = turn(state, &world);
    if let Some(step) = step {
        verified(&mut state, &mut world, step);
    }
    let world = common::at(world, NOW + Span::secs(6));
    let (_, steps, _) = cycle(state, &world, world.at, &mut clock::dice(1));
    steps.into_iter().map(|s| s.into_inner()).collect()
}

#[test]
fn a_breach_that_stays_asks_for_one_more_where_nobody_knows_what_one_carries() {
    let more = |steps: &[Step]| {
        let grows = |s: &&Step| {
            matches!(s.action, Action::PlaceStandby { .. } | Action::Scale { .. })
                && s.why.contains("with 1 standby serving")
        };
        steps.iter().filter(grows).count()
    };
    let serving = suffering(3_334);
    assert_eq!(more(&serving), 1, "{serving:#?}");
    let waiting = suffering(0);
    assert_eq!(
        more(&waiting),
        0,
        "the one there is helps first: {waiting:#?}"
    );
}
