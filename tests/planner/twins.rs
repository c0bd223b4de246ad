//! What a shadow is compared with, when its twin goes, and what a verdict changes.

use crate::common::{self, NOW};
use foreshadow::engine::{State, absorb, clock, cycle};
use foreshadow::model::*;
use foreshadow::planner::ShadowState;
use std::sync::Arc;

/// A shadow of web at provider-a was asked for; nothing else is due.
fn asked() -> State {
    let mut state = common::state();
    let wish = (PortionId::from("web"), Site::from("provider-a"));
    state.workloads[0].book.asked_shadows.insert(wish);
    state
}

/// Production has been seen for a second: 42 requests, two of which failed.
fn seen() -> World {
    let mut world = common::world();
    world.readings = vec![Arc::new(Reading {
        portion: "web".into(),
        instance: None,
        from: NOW - Span::secs(1),
        at: NOW,
        requests: 42,
        latencies: Latencies {
            buckets: vec![(Millis(10.0), 40)],
            failed: 2,
        },
    })];
    world
}

fn key() -> ProfileKey {
    common::profile("provider-a", "std", 30.0).key
}

fn verdict(site: &str, ruling: Ruling) -> Judged {
    Judged {
        key: common::profile(site, "std", 30.0).key,
        at: NOW,
        ruling,
        because: "by hand".into(),
        against: Against::Production,
        rate: Rps(10.0),
        baseline: 100,
        shadow: 100,
        times: 1,
        undecided: u32::from(ruling == Ruling::Inconclusive),
    }
}

/// One turn; what was cleared is applied.
fn turn(state: State, world: &World) -> (State, Vec<Action>) {
    let (mut state, steps, _) = cycle(state, world, world.at, &mut clock::dice(1));
    let mut actions = Vec::new();
    for step in steps {
        let step = step.into_inner();
        actions.push(step.action.clone());
        if !matches!(step.action, Action::MeasureShadow { .. }) {
            done(&mut state, step, world.at, Verdict::Applied, None);
        }
    }
    (state, actions)
}

fn done(
    state: &mut State,
    step: Step,
    at: Moment,
    verdict: Verdict,
    measured: Option<Measurement>,
) {
    let outcome = Outcome {
        step,
        started: at,
        at,
        verdict,
        measured,
    };
    absorb(state, outcome);
}

/// The jobs of a shadow and of its twin, as they are to be registered.
fn jobs(actions: &[Action]) -> (Option<JobSpec>, Option<JobSpec>) {
    let shadow = actions.iter().find_map(|a| match a {
        Action::StartShadow { job, .. } => Some(job.clone()),
        _ => None,
    });
    let twin = actions.iter().find_map(|a| match a {
        Action::StartTwin { job, .. } => Some(job.clone()),
        _ => None,
    });
    (shadow, twin)
}

/// Nomad has the job, and runs it there.
fn runs(world: &mut World, job: &JobSpec, n: u8, site: &str) {
    if let Seen::Known { value, .. } = &mut world.jobs {
        value.insert(job.id(), job.clone());
    }
    if let Seen::Known { value, .. } = &mut world.allocs {
        value.put(common::alloc(n, job.id().as_str(), site, 2));
    }
}

fn compare(actions: &[Action]) -> Option<Compare> {
    actions.iter().find_map(|a| match a {
        Action::MeasureShadow { compare, .. } => compare.as_deref().cloned(),
        _ => None,
    })
}

#[test]
fn a_shadow_elsewhere_gets_a_twin_of_the_same_release_at_the_production_site() {
    let (state, actions) = turn(asked(), &common::world());
    let (shadow, twin) = jobs(&actions);
    let (shadow, twin) = (shadow.expect("a shadow"), twin.expect("a twin"));
    assert_eq!(shadow.0["Datacenters"][0].as_str(), Some("provider-a"));
    assert!(
        twin.0["Datacenters"][0]
            .as_str()
            .is_some_and(|s| s.starts_with("edge-"))
    );
    for mark in [
        "foreshadow_shadow",
        "foreshadow_release",
        "foreshadow_deadline",
    ] {
        assert_eq!(shadow.meta(mark), twin.meta(mark), "{mark}");
    }
    assert_eq!(twin.0["Priority"], shadow.0["Priority"]);
    let run = state.workloads[0]
        .book
        .shadows
        .values()
        .next()
        .expect("a run");
    assert_eq!(run.twin.as_ref().map(|t| &t.job), Some(&twin.id()));
}

#[test]
fn there_is_no_twin_where_production_is_alike_or_the_policy_or_the_budget_wants_none() {
    let world = common::world();
    let mut home = common::state();
    let wish = (PortionId::from("web"), Site::from("edge-a"));
    home.workloads[0].book.asked_shadows.insert(wish);
    let (shadow, twin) = jobs(&turn(home, &world).1);
    assert!(
        shadow.is_some() && twin.is_none(),
        "production is of that kind"
    );
    let mut without = asked();
    without.workloads[0].policy.judging.twin = false;
    let (shadow, twin) = jobs(&turn(without, &world).1);
    assert!(shadow.is_some() && twin.is_none(), "the policy wants none");
    let mut poor = asked();
    poor.workloads[0].policy.budget.shadow = CoreHours(0.003);
    let (state, actions) = turn(poor, &world);
    let (shadow, twin) = jobs(&actions);
    assert!(shadow.is_some() && twin.is_none(), "the budget is for one");
    let plan = state.workloads[0].plan.as_ref().expect("a plan");
    let told = |w: &Shared<Waiting>| w.what.starts_with("twin of") && w.why.starts_with("budget: ");
    assert!(plan.waiting.iter().any(told), "{:?}", plan.waiting);
}

#[test]
fn a_shadow_waits_for_its_twin_and_not_for_ever() {
    let mut world = seen();
    let (state, actions) = turn(asked(), &world);
    let (shadow, twin) = jobs(&actions);
    let (shadow, twin) = (shadow.expect("a shadow"), twin.expect("a twin"));
    runs(&mut world, &shadow, 11, "provider-a");
    world = common::at(world, NOW + Span::secs(2));
    let (state, actions) = turn(state, &world);
    assert_eq!(compare(&actions), None, "the twin may still come up");
    let mut late = common::at(world.clone(), NOW + Span::secs(13));
    let (_, actions) = turn(state.clone(), &late);
    let alone = compare(&actions).expect("measured without it");
    assert_eq!(alone.twin, None);
    assert_eq!(
        alone.production.requests(),
        42,
        "production of late is the baseline"
    );
    runs(&mut world, &twin, 12, "edge-b");
    late = common::at(world, NOW + Span::secs(3));
    let both = compare(&turn(state, &late).1).expect("measured beside it");
    let seen = both.twin.expect("its twin");
    assert_eq!(seen.url, "http://10.0.0.12:20012/");
    assert_eq!((both.margin, both.requests), (Millis(2.5), 1_000));
}

/// The shadow and its twin run, and the measurement is under way.
fn measuring() -> (State, World, Step) {
    let mut world = seen();
    let (state, actions) = turn(asked(), &world);
    let (shadow, twin) = jobs(&actions);
    runs(&mut world, &shadow.expect("a shadow"), 11, "provider-a");
    runs(&mut world, &twin.expect("a twin"), 12, "edge-b");
    world = common::at(world, NOW + Span::secs(2));
    let (state, _) = turn(state, &world);
    let inflight = state.workloads[0].book.inflight.values();
    let mut of = inflight.filter(|s| matches!(s.action, Action::MeasureShadow { .. }));
    let step = of.next().cloned().expect("a measurement");
    (state, world, step)
}

fn measurement(ruling: Ruling) -> Measurement {
    Measurement {
        key: key(),
        at: NOW,
        points: vec![],
        knee: Rps(30.0),
        knee_open: false,
        cpu_a_request: 5.0,
        bytes_a_request: 900.0,
        memory: MiB(30.0),
        startup: Span::millis(800),
        cut_short: None,
        details: Details::default(),
        judged: Some(verdict("provider-a", ruling)),
    }
}

#[test]
fn the_verdict_is_believed_kept_told_and_shown_and_the_twin_goes_with_its_shadow() {
    let (mut state, mut world, step) = measuring();
    done(
        &mut state,
        step,
        world.at,
        Verdict::Verified,
        Some(measurement(Ruling::Fail)),
    );
    let believed = state.beliefs.verdict(&key()).expect("it is believed");
    assert_eq!(believed.ruling, Ruling::Fail);
    assert!(state.memos.iter().any(|m| matches!(m, Memo::Judged(_))));
    let line = state
        .log
        .iter()
        .find(|l| l.text.starts_with("shadow at provider-a"));
    let said = "shadow at provider-a (std): fail (against production just before): by hand";
    assert_eq!(line.map(|l| l.text.as_str()), Some(said));
    world = common::at(world.clone(), world.at + Span::secs(1));
    let (state, steps, view) = cycle(state, &world, world.at, &mut clock::dice(1));
    assert_eq!(
        view.shadows[0].judged.as_ref().map(|j| j.ruling),
        Some(Ruling::Fail)
    );
    assert_eq!(view.portions[0].verdicts.len(), 1);
    let reaps = |a: &Action| matches!(a, Action::Reap { job } if job.as_str().ends_with("-twin"));
    assert!(steps.iter().any(|s| reaps(&s.action)));
    assert!(
        state.workloads[0]
            .book
            .shadows
            .values()
            .all(|r| r.state == ShadowState::Stopping)
    );
}

#[test]
fn what_a_shadow_measured_after_it_was_ended_is_not_believed() {
    let (mut state, world, step) = measuring();
    let before = state.beliefs.profile(&key()).cloned();
    for run in state.workloads[0].book.shadows.values_mut() {
        run.state = ShadowState::Done;
        run.verdict = Some("production suffers".into());
    }
    done(
        &mut state,
        step,
        world.at,
        Verdict::Verified,
        Some(measurement(Ruling::Fail)),
    );
    assert_eq!(state.beliefs.profile(&key()).cloned(), before);
    assert_eq!(state.beliefs.verdict(&key()), None);
}

#[test]
fn after_one_that_hurt_production_a_portion_is_shadowed_nowhere_for_a_while_unless_a_person_asks() {
    let mut state = common::state();
    state.beliefs.profiles.clear();
    let mut hurt = verdict("provider-a", Ruling::Fail);
    hurt.against = Against::Interference;
    state.beliefs.verdicts.push(hurt);
    state.beliefs.caution.insert("web".into(), 2.0);
    let (state, actions) = turn(state, &common::world());
    assert!(jobs(&actions).0.is_none());
    let plan = state.workloads[0].plan.as_ref().expect("a plan");
    let told =
        |w: &Shared<Waiting>| w.what == "shadows of web" && w.why.contains("hurt production");
    assert!(plan.waiting.iter().any(told), "{:?}", plan.waiting);
    let later = NOW + Span::secs(1_000);
    let (_, actions) = turn(state, &common::at(common::world(), later));
    assert!(jobs(&actions).0.is_some(), "and then it is tried again");
    let mut asked = asked();
    let mut hurt = verdict("provider-a", Ruling::Fail);
    hurt.against = Against::Interference;
    asked.beliefs.verdicts.push(hurt);
    assert!(jobs(&turn(asked, &common::world()).1).0.is_some());
}

#[test]
fn a_shadow_that_was_ended_is_not_begun_anew_while_its_measurement_is_not_back() {
    let (mut state, world, _) = measuring();
    for profile in &mut state.beliefs.profiles {
        profile.at = NOW - Span::secs(100_000);
    }
    state.workloads[0].policy.sites = vec!["provider-a".into()];
    let at = |s: i64, latency: f64| {
        let mut world = common::at(world.clone(), NOW + Span::secs(s));
        if let Some(Seen::Known { value, .. }) = world.traffic.get_mut(&PortionId::from("web")) {
            value.at_slo = Millis(latency);
        }
        world
    };
    let (state, ended) = turn(state, &at(3, 900.0));
    let stops = |a: &Action| matches!(a, Action::StopShadow { .. });
    assert!(ended.iter().any(stops), "{ended:#?}");
    let (_, after) = turn(state, &at(5, 60.0));
    assert!(jobs(&after).0.is_none(), "{after:#?}");
}

#[test]
fn an_inconclusive_verdict_asks_for_more_samples_and_more_time() {
    let requests = |open: u32| {
        let mut state = asked();
        if open > 0 {
            let mut judged = verdict("provider-a", Ruling::Inconclusive);
            judged.undecided = open;
            state.beliefs.verdicts.push(judged);
        }
        let mut world = seen();
        let (state, actions) = turn(state, &world);
        let (shadow, twin) = jobs(&actions);
        runs(&mut world, &shadow.expect("a shadow"), 11, "provider-a");
        runs(&mut world, &twin.expect("a twin"), 12, "edge-b");
        world = common::at(world, NOW + Span::secs(2));
        let found = compare(&turn(state, &world).1).expect("a comparison");
        (found.requests, found.longest)
    };
    assert_eq!(requests(0), (1_000, Span::secs(8)));
    assert_eq!(requests(1), (2_000, Span::secs(16)));
    assert_eq!(
        requests(9),
        (4_000, Span::secs(32)),
        "but not for ever more"
    );
}

#[test]
fn a_standby_goes_to_a_place_whose_shadow_passed_rather_than_to_one_whose_failed_not_long_ago() {
    let place = |failed: &str, ago: Span| {
        let mut state = common::state();
        state.workloads[0].policy.sites = ["provider-a", "provider-b"].map(Site::from).to_vec();
        state.workloads[0].policy.budget.max_shadows = 0;
        state.workloads[0].policy.budget.max_standbys = 1;
        let mut judged = verdict(failed, Ruling::Fail);
        judged.at = NOW - ago;
        state.beliefs.verdicts.push(judged);
        let mut world = common::world();
        if let Some(Seen::Known { value, .. }) = world.traffic.get_mut(&PortionId::from("web")) {
            value.rate = Rps(75.0);
        }
        let (_, actions) = turn(state, &world);
        let sites: Vec<Site> = actions
            .iter()
            .filter_map(|a| match a {
                Action::PlaceStandby { site, .. } => Some(site.clone()),
                _ => None,
            })
            .collect();
        sites
    };
    for (failed, other) in [("provider-a", "provider-b"), ("provider-b", "provider-a")] {
        let sites = place(failed, Span(0));
        assert!(
            !sites.is_empty() && sites.iter().all(|s| s == &Site::from(other)),
            "{sites:?}"
        );
    }
    // Evidence fades, and what was concluded from it with it.
    let long = Span::secs(10 * 86_400);
    assert_eq!(place("provider-a", long), place("provider-b", long));
}
