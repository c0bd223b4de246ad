//! Law 9 and what goes with it: how much may be in motion at once, what is never touched, and when nothing is begun.

use super::*;

#[test]
fn law_09_what_is_on_the_deny_list_is_never_written_in_an_emergency_neither() {
    let mut denied = state();
    denied.workloads[0].policy.deny = vec!["shop-web".into()];
    let world = fail(with_standby(common::world()), 1);
    let (_, steps, view) = turn(denied, &world);
    assert!(writes(&steps).is_empty());
    assert!(held(&view, 9), "{:?}", view.steps);
    // Consul, Nomad and foreshadow itself need not be listed.
    let (_, steps, _) = turn(state(), &world);
    let step = steps.into_iter().map(|s| s.into_inner());
    let step = step.into_iter().find(|s| s.action.touches_traffic());
    let step = step.expect("without the list it is written");
    for name in ["consul", "nomad", "foreshadow"] {
        let mut step = step.clone();
        if let Action::SetTarget { target, .. } = &mut step.action {
            target.service = name.into();
        }
        let held = guarded(&step, &world, &policy(), (60.0, 5)).unwrap_err();
        assert!(held.why.contains("deny-list"), "{name}: {}", held.why);
    }
}

#[test]
fn law_09_a_move_of_another_workload_counts_too() {
    let (mut state, world) = lopsided();
    let (mut other, _, _) = turn(state.clone(), &world);
    let book = &mut other.workloads[0].book;
    let mut mv = book.moves.values().next().cloned().expect("a move");
    mv.done = 1;
    let mut elsewhere = foreshadow::engine::Workload {
        policy: Policy {
            workload: "billing".into(),
            portions: SharedList::default(),
            ..policy()
        },
        ..Default::default()
    };
    elsewhere.book.moves.insert("billing-api".into(), mv);
    state.workloads.push(elsewhere);
    let (_, steps, view) = turn(state, &world);
    assert!(writes(&steps).is_empty());
    assert!(held(&view, 9), "{:?}", view.steps);
}

#[test]
fn law_09_the_write_budget_binds_emergencies_too_and_what_waits_is_not_lost() {
    let world = fail(with_standby(common::world()), 1);
    let mut state = state();
    state.writes = foreshadow::engine::Writes::of(0);
    let (mut state, steps, view) = turn(state, &world);
    assert!(writes(&steps).is_empty());
    assert!(held(&view, 9), "{:?}", view.steps);
    assert_eq!((state.writes.waiting, state.tally.writes_waited), (1, 1));
    state.writes.per_second = 1;
    let (_, steps, _) = turn(state, &at(world, NOW + Span::secs(1)));
    assert_eq!(writes(&steps).len(), 1, "the next second has room for it");
}

#[test]
fn nothing_that_is_not_forced_begins_in_a_freeze_or_in_quiet_hours() {
    let freeze = Freeze {
        name: "black friday".into(),
        window: Window {
            from: NOW - Span::secs(1),
            to: NOW + Span::secs(60),
        },
    };
    let mut frozen = policy();
    frozen.freezes = vec![freeze];
    let mut quiet = policy();
    quiet.quiet = vec![Quiet {
        from_minute: 10,
        to_minute: 20,
    }];
    for (rests, why) in [(frozen, "frozen: black friday"), (quiet, "quiet hours")] {
        let (mut state, world) = lopsided();
        state.workloads[0].policy = rests.clone();
        let (_, steps, view) = turn(state, &world);
        for target in writes(&steps) {
            assert_eq!(target.share_of(&alloc_id(2)), Share::NONE, "{why}");
        }
        assert!(
            view.waiting.iter().any(|w| w.why == why),
            "{why}: {:?}",
            view.waiting
        );
        // Whoever drafted it, the guard holds it, and lets it pass once the time is over.
        let (step, world) = planned();
        let at = |now: Moment| {
            let world = at(world.clone(), now);
            guarded(&step, &world, &rests, (60.0, 5)).map_err(|held| held.why)
        };
        assert_eq!(at(NOW), Err(why.to_string()));
        assert_eq!(at(NOW + Span::secs(600)), Ok(()));
        // What is wrong now is answered all the same.
        let mut state = common::state();
        state.workloads[0].policy = rests;
        let (_, steps, _) = turn(state, &fail(with_standby(common::world()), 1));
        assert_eq!(writes(&steps)[0].share_of(&alloc_id(1)), Share::NONE);
    }
}

#[test]
fn law_09_a_planned_step_moves_no_more_than_its_cap() {
    let (mut state, world) = lopsided();
    state.workloads[0].policy.risk_tolerance = 0.0;
    state.workloads[0].policy.ramp.steps = vec![Share::ALL];
    let (_, steps, view) = turn(state, &world);
    let written = writes(&steps);
    assert_eq!(written.len(), 1, "{:?}", view.steps);
    let moved = written[0].share_of(&alloc_id(2));
    assert!(
        moved > Share::NONE && moved <= Share(2_500),
        "{moved} at once, though the cap is a quarter"
    );
}

#[test]
fn law_09_only_one_service_is_in_a_planned_move_at_once() {
    let (state, world) = lopsided();
    let (mut state, steps, _) = turn(state, &world);
    assert_eq!(writes(&steps).len(), 1);
    let book = &mut state.workloads[0].book;
    book.inflight.clear();
    let mut other = book
        .moves
        .values()
        .next()
        .cloned()
        .expect("a move was begun");
    other.done = 1;
    book.moves.clear();
    book.moves.insert("another".into(), other);
    let (_, steps, view) = turn(state, &at(world, NOW + Span::secs(5)));
    for target in writes(&steps) {
        assert_eq!(
            target.share_of(&alloc_id(2)),
            Share::NONE,
            "contingencies may be renewed, shares may not move"
        );
    }
    assert!(
        view.waiting
            .iter()
            .any(|w| w.why.contains("one service at once"))
    );
}

#[test]
fn law_09_when_more_than_half_looks_bad_our_eyes_are_suspected() {
    let mut world = fail(with_standby(world()), 1);
    if let Seen::Known { value, .. } = &mut world.nodes {
        let mut down = 0;
        value.edit(|n| {
            if down < 7 {
                n.status = NodeStatus::Down;
                down += 1;
            }
        });
    }
    let (_, steps, view) = turn(state(), &world);
    assert!(steps.is_empty(), "{steps:?}");
    assert!(
        view.steps
            .iter()
            .any(|s| s.state.contains("suspecting our eyes")),
        "{:?}",
        view.steps
    );
}
