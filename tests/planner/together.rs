//! A whole subgraph that is shadowed together: who is in it, in which order it starts, whom it calls, and how it ends.

use crate::common::{self, NOW};
use crate::estate::shop;
use foreshadow::engine::{State, absorb, clock, cycle};
use foreshadow::model::*;
use foreshadow::planner::{ShadowState, derive, portions};

const SHOP: [&str; 5] = ["web", "cart", "pricing", "search", "ledger"];

/// The shop's five portions; web's upstreams are shadowed with it.
fn policy(upstreams: Upstreams) -> Policy {
    let mut policy = common::policy();
    let model = policy.portions.remove(0);
    for id in SHOP {
        policy.portions.push(PortionPolicy {
            id: id.into(),
            groups: vec![id.into()],
            front: Some(ServiceName::new(format!("shop-{id}"))),
            upstreams: match id {
                "web" => upstreams,
                _ => Upstreams::Stub,
            },
            ..model.clone()
        });
    }
    policy
}

/// A shadow of web at provider-a was asked for; nothing else is due.
fn asked(policy: Policy) -> State {
    let mut state = common::state();
    state.workloads[0].policy = policy;
    // Everything is measured: no other shadow is due.
    state.beliefs.profiles = SHOP.iter().flat_map(|id| profiles(id)).collect();
    let wish = (PortionId::from("web"), Site::from("provider-a"));
    state.workloads[0].book.asked_shadows.insert(wish);
    state
}

fn profiles(portion: &str) -> Vec<Profile> {
    let mut all = common::profiles(30.0);
    for p in &mut all {
        p.key.portion = portion.into();
        p.key.release = derive::release(&shop(), &[portion.into()]);
    }
    all
}

fn world() -> World {
    let mut world = common::world();
    if let Seen::Known { value, .. } = &mut world.jobs {
        value.insert("shop".into(), shop());
    }
    world
}

/// One turn; what was cleared is applied, but for what is to be `refused`.
fn turn(state: State, world: &World, refused: &str) -> (State, Vec<Action>) {
    let (mut state, steps, _) = cycle(state, world, world.at, &mut clock::dice(1));
    let mut actions = Vec::new();
    for step in steps {
        let step = step.into_inner();
        actions.push(step.action.clone());
        let verdict = match step.action.verb() == refused {
            true => Verdict::Refused {
                why: "no room".into(),
            },
            false => Verdict::Applied,
        };
        if !matches!(step.action, Action::MeasureShadow { .. }) {
            let (started, at) = (world.at, world.at);
            let measured = None;
            absorb(
                &mut state,
                Outcome {
                    step,
                    started,
                    at,
                    verdict,
                    measured,
                },
            );
        }
    }
    (state, actions)
}

fn started(actions: &[Action]) -> Vec<(&str, &JobSpec)> {
    let mut found = Vec::new();
    for action in actions {
        match action {
            Action::StartUpstream { portion, job, .. } => found.push((portion.as_str(), job)),
            Action::StartShadow { job, .. } => found.push(("web", job)),
            _ => {}
        }
    }
    found
}

/// Nomad has the jobs and runs them.
fn runs(world: &mut World, jobs: &[(&str, &JobSpec)]) {
    for (group, job) in jobs {
        if let Seen::Known { value, .. } = &mut world.jobs {
            value.insert(job.id(), (*job).clone());
        }
        if let Seen::Known { value, .. } = &mut world.allocs {
            let number = 40 + value.iter().count() as u8;
            let mut alloc = common::alloc(number, job.id().as_str(), "provider-a", 2);
            alloc.group = (*group).into();
            value.put(alloc);
        }
    }
}

fn names(started: &[(&str, &JobSpec)]) -> Vec<String> {
    started.iter().map(|s| s.0.to_string()).collect()
}

fn text(job: &JobSpec) -> String {
    job.0["TaskGroups"].to_string()
}

#[test]
fn callees_start_before_their_callers_and_the_shadow_itself_last_and_all_call_each_other() {
    let mut world = world();
    let (state, first) = turn(asked(policy(Upstreams::Shadow)), &world, "");
    let leaves = started(&first);
    assert_eq!(names(&leaves), ["pricing", "search"], "{first:#?}");
    let (state, nothing) = turn(state, &world, "");
    assert!(started(&nothing).is_empty(), "they do not run yet");
    runs(&mut world, &leaves);
    world = common::at(world, NOW + Span::secs(1));
    let (state, second) = turn(state, &world, "");
    let middle = started(&second);
    assert_eq!(names(&middle), ["cart"]);
    runs(&mut world, &middle);
    world = common::at(world, NOW + Span::secs(2));
    let (state, third) = turn(state, &world, "");
    let last = started(&third);
    assert_eq!(names(&last), ["web"]);

    let id = last[0].1.id();
    let suffix = id.as_str().strip_prefix("foreshadow-").expect("a shadow");
    assert!(text(middle[0].1).contains(&format!("service \\\"shop-pricing-{suffix}\\\"")));
    let web = text(last[0].1);
    assert!(
        web.contains(&format!("http://shop-cart-{suffix}:8080/items")),
        "{web}"
    );
    assert!(
        web.contains(&format!("\"DestinationName\":\"shop-search-{suffix}\"")),
        "{web}"
    );
    for (_, job) in leaves.iter().chain(&middle).chain(&last) {
        assert!(
            !text(job).contains("-origin"),
            "nothing of production is named: {job:?}"
        );
        assert!(job.id().as_str().starts_with(id.as_str()));
        assert!(job.0["Priority"].as_u64().is_some_and(|p| p <= 40));
        assert_eq!(job.meta("foreshadow_shadow"), Some("true"));
        assert_eq!(
            job.meta("foreshadow_deadline"),
            last[0].1.meta("foreshadow_deadline")
        );
        let env = job.0["TaskGroups"][0]["Tasks"][0]["Env"].get("FORESHADOW_UPSTREAMS");
        assert_eq!(env, None, "it calls what runs along with it");
    }
    runs(&mut world, &last);
    world = common::at(world, NOW + Span::secs(20));
    let (_, fourth) = turn(state, &world, "");
    let waited = fourth.iter().find_map(|a| match a {
        Action::MeasureShadow {
            wait_for,
            upstreams,
            ..
        } => Some((wait_for.len(), upstreams.clone())),
        _ => None,
    });
    let (checks, upstreams) = waited.expect("a measurement");
    assert_eq!(checks, 3, "all that run along pass first");
    assert!(
        upstreams.iter().all(|u| u.rtt == Some(Millis(0.0))),
        "{upstreams:?}"
    );
}

/// Web and all that it calls run; its shadow may be measured.
fn running() -> (State, World) {
    let mut world = world();
    let mut state = asked(policy(Upstreams::Shadow));
    for s in 0..3 {
        world = common::at(world, NOW + Span::secs(s));
        let (next, actions) = turn(state, &world, "");
        runs(&mut world, &started(&actions));
        state = next;
    }
    (state, world)
}

#[test]
fn they_end_together_whatever_ends_the_shadow() {
    let (mut state, mut world) = running();
    let run = state.workloads[0]
        .book
        .shadows
        .values_mut()
        .next()
        .expect("a run");
    assert_eq!(run.state, ShadowState::Starting);
    run.state = ShadowState::Stopping;
    world = common::at(world, NOW + Span::secs(4));
    let (_, actions) = turn(state, &world, "");
    let ended = |a: &&Action| matches!(a, Action::StopShadow { .. } | Action::Reap { .. });
    assert_eq!(actions.iter().filter(ended).count(), 4, "{actions:#?}");

    let (state, mut world) = running();
    world = common::at(world, NOW + Span::secs(500));
    let (_, actions) = turn(state, &world, "");
    assert_eq!(
        actions.iter().filter(ended).count(),
        4,
        "after their deadline: {actions:#?}"
    );
}

#[test]
fn one_that_nomad_refuses_ends_all_of_it() {
    let world = world();
    let (state, _) = turn(asked(policy(Upstreams::Shadow)), &world, "start upstream");
    let run = state.workloads[0]
        .book
        .shadows
        .values()
        .next()
        .expect("a run");
    assert_eq!(run.state, ShadowState::Stopping);
    let (_, actions) = turn(state, &world, "");
    assert!(
        actions
            .iter()
            .any(|a| matches!(a, Action::StopShadow { .. }))
    );
    assert!(started(&actions).is_empty());
}

#[test]
fn there_must_be_room_for_all_of_them_before_the_first_is_started() {
    let mut world = world();
    if let Seen::Known { value, .. } = &mut world.nodes {
        // Three of the four would fit.
        value.edit(|n| {
            n.capacity.cpu = match n.site.as_str() == "provider-a" && n.name.ends_with('1') {
                true => Mhz(700.0),
                false => Mhz(0.0),
            }
        });
    }
    let (_, actions) = turn(asked(policy(Upstreams::Shadow)), &world, "");
    assert!(started(&actions).is_empty(), "{actions:#?}");
}

#[test]
fn what_stands_in_for_an_upstream_keeps_it_and_all_that_it_calls_out() {
    let mut policy = policy(Upstreams::Shadow);
    policy.portions[0].stand_ins = vec![UpstreamPolicy {
        name: "shop-cart".into(),
        env: "CART".into(),
        instead: Instead::Stub {
            recording: vec![],
            latency: Millis(1.0),
        },
    }];
    let (_, actions) = turn(asked(policy), &world(), "");
    assert_eq!(names(&started(&actions)), ["search"]);
}

#[test]
fn what_cannot_be_shadowed_stands_in_the_way_of_all_that_call_it() {
    let mut policy = policy(Upstreams::Shadow);
    policy.portions[2].shadow = false;
    let found = portions(&shop(), Some(&policy));
    let why = found[0].not_shadowable.as_deref().expect("an obstacle");
    assert!(
        why.starts_with(
            "pricing, which is to be shadowed along with it, cannot be: the policy forbids"
        ),
        "{why}"
    );
    assert_eq!(
        found[1].not_shadowable, None,
        "cart's upstreams are stubbed"
    );
    policy.portions.remove(2);
    let found = portions(&shop(), Some(&policy));
    let web = found
        .iter()
        .find(|p| p.id == PortionId::from("web"))
        .expect("web");
    let why = web.not_shadowable.as_deref().expect("an obstacle");
    assert!(why.contains("the policy does not name it"), "{why}");
}

#[test]
fn what_calls_production_does_so_through_a_door_for_reads() {
    let (_, actions) = turn(asked(policy(Upstreams::ProductionReadonly)), &world(), "");
    let all = started(&actions);
    assert_eq!(names(&all), ["web"]);
    let tasks = &all[0].1.value()["TaskGroups"][0]["Tasks"];
    let beside = &tasks[1];
    assert_eq!(beside["Name"], UPSTREAMS_TASK);
    let plan = beside["Env"][UPSTREAMS_PLAN].as_str().expect("a plan");
    let plan: Vec<UpstreamPolicy> = serde_json::from_str(plan).expect("upstreams");
    let named: Vec<&str> = plan.iter().map(|u| u.name.as_str()).collect();
    assert_eq!(named, ["shop-cart-origin", "shop-search-origin"]);
    let reads = |u: &UpstreamPolicy| match &u.instead {
        Instead::ProductionReadonly { methods } => methods == &SAFE_METHODS,
        Instead::Stub { .. } => false,
    };
    assert!(plan.iter().all(reads), "{plan:?}");
    let env = &tasks[0]["Env"];
    assert_eq!(env["CART"], "http://${NOMAD_ADDR_foreshadow_up_0}/items");
    assert_eq!(
        env["UPSTREAM_SHOP_SEARCH_ORIGIN"],
        "${NOMAD_ADDR_foreshadow_up_1}"
    );
}
