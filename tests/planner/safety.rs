//! Safety sentences, over random worlds and some turns of each.

use crate::common::{self, NOW};
use crate::worlds::{Spec, front, ready, spec};
use foreshadow::engine::{State, Workload, absorb, clock, cycle};
use foreshadow::guard::{Facts, Law, clear};
use foreshadow::model::*;
use foreshadow::planner::book::{ShadowRun, TwinRun};
use foreshadow::planner::{Book, risk, shares};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What one turn of the wheel drafted and what the guard let pass.
struct Turn {
    world: World,
    /// The book's steps under way when the turn began.
    inflight: BTreeMap<StepId, Step>,
    drafted: Vec<Step>,
    waiting: Vec<Shared<Waiting>>,
    cleared: Vec<Step>,
}

/// Some turns in a row. Writes of shares take effect and are verified, two turns later if `slow`; checks flip in between.
fn turns(spec: &Spec, slow: bool) -> Vec<Turn> {
    let mut state = spec.state();
    // Where standbys go is not asked here: the solver would take most of the time.
    let portions = &mut state.workloads[0].policy.portions;
    portions.iter_mut().for_each(|p| p.standby = false);
    let mut world = spec.world();
    let mut open: Vec<Step> = Vec::new();
    let mut all = Vec::new();
    for (i, flips) in spec.flips.iter().enumerate() {
        world = common::at(world, NOW + Span::millis(1200 * i as i64));
        let inflight = inflight(&state);
        let (next, cleared, _) = cycle(state, &world, world.at, &mut clock::dice(i as u64));
        state = next;
        let plan = state.workloads[0].plan.clone().expect("a plan");
        let cleared: Vec<Step> = cleared.into_iter().map(|s| s.into_inner()).collect();
        all.push(Turn {
            world: world.clone(),
            inflight,
            drafted: plan.steps,
            waiting: plan.waiting,
            cleared: cleared.clone(),
        });
        let due = if slow {
            std::mem::replace(&mut open, cleared)
        } else {
            cleared
        };
        for step in due {
            take_effect(&mut world, &step);
            let at = world.at;
            absorb(
                &mut state,
                Outcome {
                    step,
                    started: at,
                    at,
                    verdict: Verdict::Verified,
                    measured: None,
                },
            );
        }
        flips.iter().for_each(|n| flip(&mut world, *n));
    }
    all
}

fn inflight(state: &State) -> BTreeMap<StepId, Step> {
    state.workloads[0].book.inflight.clone()
}

fn take_effect(world: &mut World, step: &Step) {
    if let Action::SetTarget { target, .. } = &step.action
        && let Some(front) = world.fronts.get_mut(&target.service)
    {
        front.target = Some(Seen::known(Some(target.clone()), world.at));
    }
}

fn flip(world: &mut World, n: u8) {
    let fronts = world
        .fronts
        .values_mut()
        .flat_map(|f| f.entries.values_mut());
    for seen in fronts {
        if let Seen::Known { value, .. } = seen {
            let same = value
                .iter_mut()
                .filter(|e| e.instance == common::alloc_id(n));
            same.for_each(|e| e.passing = !e.passing);
        }
    }
}

fn target(step: &Step) -> Option<(&Target, Option<&Target>, bool)> {
    match &step.action {
        Action::SetTarget {
            target,
            before,
            planned,
        } => Some((target, before.as_ref(), *planned)),
        _ => None,
    }
}

fn sum(shares: impl Iterator<Item = Share>) -> u32 {
    shares.map(|s| s.0).sum()
}

/// Copies that the plan adds: new standbys, and those that one grows by where it stands.
fn placed(plan: &Plan) -> usize {
    let added = |s: &Step| match &s.action {
        Action::PlaceStandby { .. } => 1,
        Action::Scale { from, to, .. } => to.saturating_sub(*from) as usize,
        _ => 0,
    };
    plan.steps.iter().map(added).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shares_of_every_drafted_target_sum_to_all_or_nothing(spec in spec(), slow in any::<bool>()) {
        for turn in turns(&spec, slow) {
            for (target, ..) in turn.drafted.iter().filter_map(target) {
                let total = sum(target.instances.iter().map(|i| i.share));
                prop_assert!(total == 10_000 || total == 0, "{} in {:?}", total, target);
                for c in &target.contingencies {
                    prop_assert_eq!(sum(c.shares.iter().map(|(_, s)| s)), 10_000);
                    prop_assert!(c.lost.iter().all(|id| c.shares.get(id).is_none()));
                    for (id, _) in c.shares.iter() {
                        prop_assert!(ready(&turn.world, &target.service, id), "a contingency to {}", id);
                    }
                }
            }
        }
    }

    #[test]
    fn never_a_share_to_an_instance_that_is_not_ready(spec in spec(), slow in any::<bool>()) {
        for turn in turns(&spec, slow) {
            for (target, ..) in turn.drafted.iter().filter_map(target) {
                for i in target.instances.iter().filter(|i| i.share > Share::NONE) {
                    prop_assert!(ready(&turn.world, &target.service, &i.alloc), "{} gets {}", i.alloc, i.share);
                }
            }
        }
    }

    #[test]
    fn no_write_while_the_last_one_is_in_flight_and_never_two_at_once(spec in spec(), slow in any::<bool>()) {
        for turn in turns(&spec, slow) {
            let open: BTreeSet<&ServiceName> = turn.inflight.values().filter_map(target).map(|(t, ..)| &t.service).collect();
            let mut now = BTreeSet::new();
            for (target, ..) in turn.drafted.iter().filter_map(target) {
                prop_assert!(!open.contains(&target.service));
                prop_assert!(now.insert(&target.service), "two writes of {}", target.service);
            }
        }
    }

    #[test]
    fn what_the_guard_lets_pass_never_moves_more_than_the_cap_nor_two_services_at_once(spec in spec(), slow in any::<bool>()) {
        let cap = risk::appetite(spec.tolerance, common::policy().season).max_step;
        for turn in turns(&spec, slow) {
            let under_way = turn.inflight.values().chain(&turn.cleared).filter_map(target).filter(|(_, _, planned)| *planned);
            let services: BTreeSet<&ServiceName> = under_way.map(|(t, ..)| &t.service).collect();
            prop_assert!(services.len() < 2, "{:?}", services);
            for (target, before, planned) in turn.cleared.iter().filter_map(target) {
                let before = before.map(Target::shares).unwrap_or_default();
                let moved = shares::distance(&before, &target.shares());
                prop_assert!(!planned || moved <= cap, "{} of {} at once", moved, cap);
            }
        }
    }

    #[test]
    fn a_planned_step_is_never_drafted_larger_than_the_cap(spec in spec()) {
        // Else the guard would hold it for ever, and the move would never come to its end.
        let cap = risk::appetite(spec.tolerance, common::policy().season).max_step;
        for turn in turns(&spec, false) {
            for (target, before, planned) in turn.drafted.iter().filter_map(target) {
                let before = before.map(Target::shares).unwrap_or_default();
                let moved = shares::distance(&before, &target.shares());
                prop_assert!(!planned || moved <= cap, "{} of {} at once", moved, cap);
            }
        }
    }

    #[test]
    fn every_step_and_everything_that_waits_has_a_reason_and_a_name_of_its_own(spec in spec(), slow in any::<bool>()) {
        let mut ids = BTreeSet::new();
        for turn in turns(&spec, slow) {
            for step in &turn.drafted {
                prop_assert!(!step.why.trim().is_empty(), "{:?}", step);
                prop_assert!(ids.insert(step.id.clone()), "{} twice", step.id);
            }
            prop_assert!(turn.waiting.iter().all(|w| !w.why.trim().is_empty() && !w.what.trim().is_empty()));
        }
    }
}

proptest! {
    // Each case is several runs of the placement solver.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_same_input_gives_the_same_plan(spec in spec()) {
        let world = spec.world();
        let (mut one, mut two) = (spec.book(), spec.book());
        let plans = (spec.plan(&world, &mut one, spec.tolerance), spec.plan(&world, &mut two, spec.tolerance));
        prop_assert_eq!(plans.0, plans.1);
        prop_assert_eq!(one, two);
    }

    #[test]
    fn lower_risk_tolerance_never_pre_deploys_less(spec in spec(), a in 0.0..=1.0f64, b in 0.0..=1.0f64) {
        let world = Spec { down: BTreeSet::new(), ..spec.clone() }.world();
        let count = |tolerance: f64| placed(&spec.plan(&world, &mut spec.book(), tolerance));
        let (careful, bold) = (count(a.min(b)), count(a.max(b)));
        prop_assert!(careful >= bold, "{} at {}, {} at {}", careful, a.min(b), bold, a.max(b));
    }

    #[test]
    fn a_part_of_the_world_that_is_not_seen_is_not_touched(spec in spec(), part in 0usize..6, stale in any::<bool>()) {
        fn blind<T>(seen: &mut Seen<T>, stale: bool) {
            match seen {
                Seen::Known { at, .. } if stale => *at = NOW - Span::secs(60),
                _ => *seen = Seen::unknown("cut"),
            }
        }
        let mut world = spec.world();
        let web = world.fronts.get_mut(&front("web")).expect("the front");
        match part {
            0 => blind(&mut world.allocs, stale),
            1 => blind(&mut world.nodes, stale),
            2 => blind(&mut world.jobs, stale),
            3 => web.target.iter_mut().for_each(|t| blind(t, stale)),
            4 => web.entries.values_mut().for_each(|e| blind(e, stale)),
            _ => world.traffic.values_mut().for_each(|t| blind(t, stale)),
        }
        let mut book = spec.book();
        let mut steps = Vec::new();
        for turn in [0, 7, 14] {
            world.at = NOW + Span::secs(turn);
            steps.extend(spec.plan(&world, &mut book, spec.tolerance).steps);
        }
        for step in steps {
            prop_assert!(part > 2, "{} without allocations, nodes or jobs", step.why);
            if let Some((target, before, _)) = target(&step) {
                let before = before.map(Target::shares).unwrap_or_default();
                let moved = shares::distance(&before, &target.shares());
                prop_assert!(!(part == 3 && target.service == front("web")));
                prop_assert!(!(part == 4 && target.service == front("web") && moved > Share::NONE), "{}", step.why);
            }
            prop_assert!(!(part == 5 && matches!(step.action, Action::ReleaseStandby { .. })), "no data never shrinks");
        }
    }
}

#[test]
fn placements_under_way_are_not_asked_for_again() {
    let mut world = common::world();
    if let Some(Seen::Known { value, .. }) = world.traffic.get_mut(&PortionId::from("web")) {
        value.rate = Rps(70.0);
    }
    let (state, first, _) = cycle(common::state(), &world, NOW, &mut clock::dice(1));
    let places = |steps: &[foreshadow::guard::Cleared<Step>]| {
        steps
            .iter()
            .filter(|s| matches!(s.action, Action::PlaceStandby { .. }))
            .count()
    };
    assert!(places(&first) > 0);
    let later = common::at(world, NOW + Span::secs(1));
    let (_, again, _) = cycle(state, &later, later.at, &mut clock::dice(2));
    assert_eq!(places(&again), 0);
}

#[test]
fn a_standby_that_died_with_its_node_is_replaced_elsewhere() {
    let mut world = common::with_standby(common::world());
    if let Some(Seen::Known { value, .. }) = world.traffic.get_mut(&PortionId::from("web")) {
        value.rate = Rps(45.0);
    }
    let place = |world: &World| {
        let (_, steps, _) = cycle(common::state(), world, NOW, &mut clock::dice(1));
        let node = |s: &foreshadow::guard::Cleared<Step>| match &s.action {
            Action::PlaceStandby { node, .. } => Some(node.clone()),
            _ => None,
        };
        steps.iter().filter_map(node).collect::<Vec<_>>()
    };
    assert!(place(&world).is_empty(), "one standby is enough");
    let dead = NodeId::from("id-provider-a-1");
    if let Seen::Known { value, .. } = &mut world.nodes {
        value.edit(|n| {
            if n.id == dead {
                n.status = NodeStatus::Down;
            }
        });
    }
    let placed = place(&world);
    assert_eq!(placed.len(), 1);
    assert_ne!(placed[0], dead);
}

#[test]
fn a_job_that_is_not_foreshadows_own_is_never_stopped() {
    let mut world = common::world();
    if let Seen::Known { value, .. } = &mut world.jobs {
        let mut foreign = common::job();
        foreign.edit()["ID"] = "billing".into();
        foreign.edit()["Meta"] = serde_json::json!({"foreshadow_shadow": "true"});
        value.insert(foreign.id(), foreign);
    }
    let (_, steps, _) = cycle(common::state(), &world, NOW, &mut clock::dice(1));
    assert!(
        steps
            .iter()
            .all(|s| !matches!(s.action, Action::Reap { .. }))
    );
}

/// Adds the job of a shadow of this portion to what Nomad runs.
fn shadowed(world: &mut World, job: &str, portion: &str) {
    let mut copy = common::job();
    copy.edit()["ID"] = job.into();
    copy.edit()["Meta"] =
        serde_json::json!({"foreshadow_shadow": "true", "foreshadow_portion": portion});
    if let Seen::Known { value, .. } = &mut world.jobs {
        value.insert(copy.id(), copy);
    }
}

#[test]
fn a_workload_removes_its_own_leftovers_and_nobodys_but_no_shadow_that_another_workload_runs() {
    let mut state = common::state();
    let mut desk = common::policy();
    desk.workload = "desk".into();
    (desk.portions[0].id, desk.portions[0].front) = ("help".into(), Some("desk-help".into()));
    state.workloads.push(Workload {
        policy: desk,
        ..Workload::default()
    });
    let (id, key) = (
        ShadowId::from("1"),
        common::profile("provider-a", "std", 1.0).key,
    );
    let job = JobId::from("foreshadow-shadow-web");
    let mut run = ShadowRun::starting(&id, &key, job, NOW, NOW + Span::secs(45));
    run.twin = Some(TwinRun {
        job: "foreshadow-shadow-web-twin".into(),
        site: "edge-a".into(),
    });
    state.workloads[0].book.shadows.insert(id, run);
    let mut world = common::world();
    for (job, portion) in [
        ("foreshadow-shadow-web", "web"),
        ("foreshadow-shadow-web-twin", "web"),
        ("foreshadow-shadow-web-left", "web"),
        ("foreshadow-shadow-help-left", "help"),
        ("foreshadow-shadow-left", "of no policy"),
    ] {
        shadowed(&mut world, job, portion);
    }
    let (state, _, _) = cycle(state, &world, NOW, &mut clock::dice(1));
    let reaped = |k: usize| -> BTreeSet<&str> {
        let plan = state.workloads[k].plan.as_ref().expect("a plan");
        let jobs = plan.steps.iter().filter_map(|s| match &s.action {
            Action::Reap { job } => job.as_str().strip_prefix("foreshadow-shadow-"),
            _ => None,
        });
        jobs.collect()
    };
    assert_eq!(reaped(0), BTreeSet::from(["web-left", "left"]));
    assert_eq!(reaped(1), BTreeSet::from(["help-left", "left"]));
}

/// What the guard says of a planned step from half and half to these shares of alloc 1, 2 and the standby 3.
fn guarded(shares: [u32; 3], rate: f64, max_step: Share) -> Result<(), Law> {
    let mut world = common::with_standby(common::world());
    if let Some(Seen::Known { value, .. }) = world.traffic.get_mut(&PortionId::from("web")) {
        value.rate = Rps(rate);
    }
    let places = [("edge-a", 1), ("edge-b", 1), ("provider-a", 1)];
    let target = |shares: [u32; 3]| {
        let one = |(i, s): (usize, u32)| common::instance(i as u8 + 1, places[i].0, places[i].1, s);
        common::target(shares.into_iter().enumerate().map(one).collect())
    };
    let step = Step {
        id: "p.1".into(),
        plan: "p".into(),
        portion: Some("web".into()),
        cause: Cause::Predicted,
        action: Action::SetTarget {
            target: target(shares),
            before: Some(target([5_000, 5_000, 0])),
            planned: true,
        },
        why: "foreseen".into(),
        waits_on: vec![],
    };
    let facts = Facts {
        now: NOW,
        acting: true,
        epoch: Some(Epoch(5)),
        world: &world,
        policy: &common::policy(),
        capacity: &(1..=3).map(|n| (common::alloc_id(n), Rps(30.0))).collect(),
        inflight: &BTreeMap::new(),
        moving: None,
        max_step,
        writes_left: 1,
    };
    clear(step, &facts).map(|_| ()).map_err(|held| held.1.law)
}

#[test]
fn an_overloaded_side_may_be_relieved_by_a_planned_move() {
    // The primaries are over what they carry, before and after; what counts is that the standby carries its new share.
    assert_eq!(guarded([4_500, 4_500, 1_000], 70.0, Share::ALL), Ok(()));
    let to_much = guarded([2_500, 2_500, 5_000], 70.0, Share::ALL);
    assert_eq!(to_much, Err(Law::CapacityBeforeWeight));
}

#[test]
fn the_guard_holds_a_planned_step_over_the_cap_whoever_drafted_it() {
    let cap = Share(2_500);
    assert_eq!(guarded([3_750, 3_750, 2_500], 20.0, cap), Ok(()));
    assert_eq!(
        guarded([3_700, 3_700, 2_600], 20.0, cap),
        Err(Law::BlastRadius)
    );
}

#[test]
fn a_book_that_was_saved_and_read_back_plans_alike() {
    let mut book = Book::default();
    book.falls.insert(common::alloc_id(1), Default::default());
    book.retreats.insert("shop-web".into(), (NOW, 2));
    let text = serde_json::to_string(&book).expect("a book is data");
    assert_eq!(
        serde_json::from_str::<Book>(&text).expect("and comes back"),
        book
    );
}
