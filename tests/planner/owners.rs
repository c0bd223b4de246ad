//! Owners of weights in a plan: which one a target names, and what waits.

use crate::common;
use foreshadow::engine::view::View;
use foreshadow::engine::{State, clock, cycle};
use foreshadow::model::*;
use foreshadow::planner::derive;
use serde_json::json;

/// The estate with its service's weights left to this owner; the job registers the service itself.
fn owned(choice: OwnerChoice, keeps_weights: bool) -> (State, World) {
    let mut world = common::world();
    world.keeps_weights = Seen::known(keeps_weights, world.at);
    if let Seen::Known { value, .. } = &mut world.jobs {
        let job = value.get_mut(&JobId::from("shop")).expect("the job");
        job.edit()["TaskGroups"][0]["Services"][0]["Name"] = json!("shop-web");
    }
    let mut state = common::state();
    state.beliefs.profiles = common::profiles(60.0);
    state.workloads[0].policy.portions[0].owner = choice;
    (state, world)
}

fn front(world: &mut World) -> &mut Front {
    world
        .fronts
        .get_mut(&ServiceName::from("shop-web"))
        .expect("the front")
}

fn turn(state: State, world: &World) -> (Option<Target>, View) {
    let (_, steps, view) = cycle(state, world, world.at, &mut clock::dice(1));
    let mut steps = steps.into_iter().map(|s| s.into_inner());
    let target = steps.find_map(|s| match s.action {
        Action::SetTarget { target, .. } => Some(target),
        _ => None,
    });
    (target, view)
}

fn waits(view: &View) -> String {
    let of = view.waiting.iter().find(|w| w.what == "shares of shop-web");
    of.map_or(String::new(), |w| w.why.clone())
}

#[test]
fn entries_that_serve_before_any_target_are_never_all_taken_out() {
    for owner in [Owner::Agent, Owner::Mesh] {
        let (state, mut world) = owned(OwnerChoice::This(owner), false);
        front(&mut world).target = Some(Seen::known(None, world.at));
        let (first, _) = turn(state, &world);
        let first = first.expect("first shares");
        assert_eq!(first.owner, owner);
        assert_eq!(
            first.instances.iter().map(|i| i.share.0).sum::<u32>(),
            10_000
        );

        let (state, mut world) = owned(OwnerChoice::This(owner), false);
        front(&mut world).target = Some(Seen::known(None, world.at));
        let at = world.at;
        front(&mut world)
            .entries
            .values_mut()
            .for_each(|e| *e = Seen::known(vec![].into(), at));
        let (none, view) = turn(state, &world);
        assert_eq!(none, None);
        assert!(
            waits(&view).contains("no instance is ready"),
            "{}",
            waits(&view)
        );
    }
}

#[test]
fn an_owner_that_this_nomad_would_undo_waits_and_the_plan_says_what_to_do() {
    let (state, world) = owned(OwnerChoice::This(Owner::Agent), true);
    let (none, view) = turn(state, &world);
    assert_eq!(none, None);
    assert!(waits(&view).contains("every 30 s"), "{}", waits(&view));
    assert!(
        waits(&view).contains("owner = \"nomad\""),
        "{}",
        waits(&view)
    );
    let (state, world) = owned(OwnerChoice::This(Owner::Nomad), false);
    let (none, view) = turn(state, &world);
    assert_eq!(none, None);
    assert!(waits(&view).contains("1.9.2"), "{}", waits(&view));
}

#[test]
fn auto_takes_the_owner_that_fits_and_a_change_of_owner_is_written_though_shares_stay() {
    for (keeps, owner) in [(true, Owner::Nomad), (false, Owner::Agent)] {
        let (state, world) = owned(OwnerChoice::Auto, keeps);
        let (target, _) = turn(state, &world);
        let target = target.expect("the target in force is of another owner");
        assert_eq!(target.owner, owner);
        assert_eq!(target.share_of(&common::alloc_id(1)), Share::percent(50));
    }
    let (state, mut world) = owned(OwnerChoice::Auto, true);
    world.keeps_weights = Seen::unknown("not read");
    let (none, view) = turn(state, &world);
    assert_eq!(none, None);
    assert!(waits(&view).contains("version"), "{}", waits(&view));
}

#[test]
fn under_nomad_the_instances_of_a_job_share_alike() {
    let uneven = |choice| {
        let (mut state, mut world) = owned(choice, true);
        state.beliefs.profiles = common::profiles(60.0);
        let edge_b = state
            .beliefs
            .profiles
            .iter_mut()
            .find(|p| p.key.site == Site::from("edge-b"));
        edge_b.expect("a profile").knee = Rps(20.0);
        front(&mut world).target = Some(Seen::known(None, world.at));
        turn(state, &world).0.expect("first shares")
    };
    let front = uneven(OwnerChoice::default());
    assert!(
        front.share_of(&common::alloc_id(1)) > Share::percent(60),
        "{front:?}"
    );
    let nomad = uneven(OwnerChoice::This(Owner::Nomad));
    assert_eq!(nomad.share_of(&common::alloc_id(1)), Share::percent(50));
    assert_eq!(nomad.share_of(&common::alloc_id(2)), Share::percent(50));
}

#[test]
fn a_standby_is_one_of_the_entries_that_clients_resolve_only_where_nomad_makes_them() {
    let (state, world) = owned(OwnerChoice::This(Owner::Nomad), true);
    let portion = &state.workloads[0].policy.portions[0];
    let live = world.job(&"shop".into()).expect("the job");
    let node = common::node("provider-a", 2);
    let name = |portion: &PortionPolicy| {
        let standby = derive::standby(live, portion, &node, 1).expect("a standby");
        standby.value()["TaskGroups"][0]["Services"][0]["Name"].clone()
    };
    assert_eq!(name(portion), "shop-web");
    let fronted = PortionPolicy {
        owner: OwnerChoice::default(),
        ..portion.clone()
    };
    assert_eq!(name(&fronted), "shop-web-standby");
    let shadow =
        derive::shadow(live, portion, &node, &"web-1".into(), common::NOW).expect("a shadow");
    assert_ne!(
        shadow.value()["TaskGroups"][0]["Services"][0]["Name"],
        "shop-web"
    );
}
