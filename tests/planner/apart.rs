//! Sites that serve their own clients while they are cut off.

use crate::common;
use crate::outlook::Stage;
use foreshadow::model::*;

/// Both primaries at edge-a, and clients at both edge sites, each of which is to serve its own.
fn one_sided() -> Stage {
    let mut stage = Stage::new();
    stage.policy.autonomous = true;
    for site in ["edge-a", "edge-b"] {
        stage.world.gateways.insert(site.into(), site.into());
    }
    let Seen::Known { value, .. } = &mut stage.world.allocs else {
        panic!("allocations are known");
    };
    value.put(common::alloc(2, "shop", "edge-a", 2));
    let front = stage.world.fronts.get_mut(&ServiceName::from("shop-web"));
    let target = front.and_then(|f| f.target.as_mut());
    let Some(Seen::Known { value, .. }) = target else {
        panic!("the target is known");
    };
    *value = Some(common::target(vec![
        common::instance(1, "edge-a", 1, 5_000),
        common::instance(2, "edge-a", 2, 5_000),
    ]));
    stage
}

/// A standby at edge-b, well, without a share.
fn with_own(mut stage: Stage) -> Stage {
    stage.world = common::with_standby(stage.world);
    let Seen::Known { value, .. } = &mut stage.world.allocs else {
        panic!("allocations are known");
    };
    value.put(common::alloc(3, "foreshadow-standby-web-1", "edge-b", 1));
    let front = stage.world.fronts.get_mut(&ServiceName::from("shop-web"));
    let target = front.and_then(|f| f.target.as_mut());
    if let Some(Seen::Known { value: Some(t), .. }) = target {
        t.instances[2] = common::instance(3, "edge-b", 1, 0);
    }
    stage
}

fn placed(plan: &Plan) -> Vec<String> {
    let site = |s: &Step| match &s.action {
        Action::PlaceStandby { site, .. } => Some(site.to_string()),
        _ => None,
    };
    plan.steps.iter().filter_map(site).collect()
}

#[test]
fn a_site_of_clients_without_an_instance_gets_one_of_its_own() {
    let mut stage = one_sided();
    let plan = stage.plan();
    assert_eq!(placed(&plan), ["edge-b"]);
    let why = &plan.steps.iter().find(|s| placed_by(s)).expect("it").why;
    assert!(
        why.contains("clients of edge-b have too few instances"),
        "{why}"
    );
}

fn placed_by(step: &Step) -> bool {
    matches!(step.action, Action::PlaceStandby { .. })
}

#[test]
fn none_is_placed_where_nobody_asked_or_one_stands_or_comes() {
    let mut unasked = one_sided();
    unasked.policy.autonomous = false;
    assert!(placed(&unasked.plan()).is_empty());
    let mut both = Stage::new();
    both.policy.autonomous = true;
    both.world.gateways = one_sided().world.gateways;
    assert!(placed(&both.plan()).is_empty(), "a primary at each");
    assert!(placed(&with_own(one_sided()).plan()).is_empty());
    let mut coming = one_sided();
    let step = coming.plan().steps.into_iter().find(placed_by);
    let step = step.expect("a placement");
    coming.book.inflight.insert(step.id.clone(), step);
    assert!(placed(&coming.plan()).is_empty(), "it is under way");
    let mut elsewhere = one_sided();
    elsewhere.policy.portions[0].data = Data::Stays(vec!["edge-a".into()]);
    assert!(placed(&elsewhere.plan()).is_empty(), "its data may not go");
}

#[test]
fn without_budget_it_is_said_that_the_site_would_not_be_served() {
    let mut stage = one_sided();
    stage.policy.budget.max_standbys = 0;
    let plan = stage.plan();
    assert!(placed(&plan).is_empty());
    let waits = plan.waiting.iter().map(|w| format!("{w:?}"));
    assert!(
        waits.into_iter().any(|w| w.contains("would not be served")),
        "{:?}",
        plan.waiting
    );
}

#[test]
fn what_is_kept_for_its_site_gets_a_small_share_and_is_not_released() {
    let mut stage = with_own(one_sided());
    let plan = stage.plan();
    let target = plan.steps.iter().find_map(|s| match &s.action {
        Action::SetTarget { target, .. } => Some(target),
        _ => None,
    });
    let shares = target.expect("a write").shares();
    assert_eq!(shares[&common::alloc_id(3)], Share(300));
    let rest = shares[&common::alloc_id(1)].0 + shares[&common::alloc_id(2)].0;
    assert_eq!(rest, 9_700);
    // Long not needed for anything else.
    let job = JobId::from("foreshadow-standby-web-1");
    stage.book.needed.insert(job.clone(), Moment(0));
    let goes = |plan: &Plan| {
        let of =
            |s: &Step| matches!(&s.action, Action::ReleaseStandby { job: of, .. } if of == &job);
        plan.steps.iter().any(of)
    };
    assert!(!goes(&stage.plan()));
    stage.policy.autonomous = false;
    stage.book.needed.insert(job.clone(), Moment(0));
    assert!(goes(&stage.plan()), "nobody wants it any more");
}
