//! Capacity beyond Nomad's books: growth of a standby where it stands, bandwidth of nodes, and links between sites.

use crate::common;
use foreshadow::engine::{State, clock, cycle};
use foreshadow::model::*;
use serde_json::json;

/// Forty requests a second; each instance carries `knee`. A standby stands at provider-a.
fn needy(knee: f64) -> (State, World) {
    let mut state = common::state();
    state.beliefs.profiles = common::profiles(knee);
    (state, common::with_standby(common::world()))
}

fn rate(world: &mut World, rps: f64) {
    if let Some(Seen::Known { value, .. }) = world.traffic.get_mut(&PortionId::from("web")) {
        value.rate = Rps(rps);
    }
}

/// What one turn drafts besides shares, and what it says must wait.
fn turn(state: State, world: &World) -> (State, Vec<Action>, Vec<Shared<Waiting>>) {
    let (state, _, _) = cycle(state, world, world.at, &mut clock::dice(1));
    let plan = state.workloads[0].plan.clone().expect("a plan");
    let actions = plan.steps.into_iter().map(|s| s.action);
    let actions = actions.filter(|a| !a.touches_traffic()).collect();
    (state, actions, plan.waiting)
}

fn scales(actions: &[Action]) -> Vec<(String, u64, u64)> {
    let scale = |a: &Action| match a {
        Action::Scale { job, from, to, .. } => Some((job.to_string(), *from, *to)),
        _ => None,
    };
    actions.iter().filter_map(scale).collect()
}

fn placed(actions: &[Action]) -> Vec<Site> {
    let place = |a: &Action| match a {
        Action::PlaceStandby { site, .. } => Some(site.clone()),
        _ => None,
    };
    actions.iter().filter_map(place).collect()
}

const STANDBY: &str = "foreshadow-standby-web-1";

#[test]
fn a_standby_grows_where_it_stands_as_far_as_its_node_may_die_and_the_rest_is_placed_elsewhere() {
    let (state, mut world) = needy(30.0);
    rate(&mut world, 100.0);
    let (_, actions, _) = turn(state, &world);
    let scales = scales(&actions);
    assert_eq!(scales, vec![(STANDBY.to_string(), 1, 2)], "{actions:?}");
    assert!(!placed(&actions).is_empty(), "{actions:?}");
}

#[test]
fn growth_is_spread_over_the_nodes_and_bound_by_room_alone_where_nothing_else_takes_a_copy() {
    let (state, mut world) = needy(30.0);
    rate(&mut world, 300.0);
    let (mut state, most) = (state, 8);
    state.workloads[0].policy.budget.max_standbys = most;
    if let Seen::Known { value, .. } = &mut world.nodes {
        value.edit(|n| {
            if *n.name != *"provider-a-1" {
                n.eligible = false;
            }
        });
    }
    let (_, actions, _) = turn(state, &world);
    let scales = scales(&actions);
    assert_eq!(scales.len(), 1, "{actions:?}");
    // All that the budget leaves: one stands already.
    assert_eq!((scales[0].1, scales[0].2), (1, most as u64), "{scales:?}");
}

#[test]
fn a_standby_without_room_beside_it_does_not_grow_and_another_is_placed() {
    let (state, mut world) = needy(30.0);
    rate(&mut world, 100.0);
    if let Seen::Known { value, .. } = &mut world.nodes {
        value.edit(|n| {
            if *n.name == *"provider-a-1" {
                n.capacity.cpu = Mhz(600.0);
            }
        });
    }
    let (_, actions, _) = turn(state, &world);
    assert_eq!(scales(&actions), vec![]);
    assert!(!placed(&actions).is_empty(), "{actions:?}");
}

#[test]
fn growth_is_given_back_once_it_was_not_needed_for_a_while() {
    let (state, mut world) = needy(30.0);
    if let Seen::Known { value, .. } = &mut world.jobs
        && let Some(job) = value.get_mut(&JobId::from(STANDBY))
    {
        job.edit()["TaskGroups"][0]["Count"] = json!(3);
    }
    // One copy stays wanted: Nomad cannot place a primary.
    let blocked = Blocked {
        job: "shop".into(),
        groups: vec!["web".into()],
        why: "memory exhausted".into(),
    };
    world.blocked = Seen::known(vec![blocked], world.at);
    let (state, actions, _) = turn(state, &world);
    assert_eq!(scales(&actions), vec![], "not at once");
    let later = world.at + Span::secs(30);
    let world = common::at(world, later);
    let (_, actions, _) = turn(state, &world);
    let scales = scales(&actions);
    assert_eq!(scales.len(), 1, "{actions:?}");
    assert_eq!((scales[0].1, scales[0].2), (3, 1));
}

#[test]
fn a_link_with_nothing_left_bars_the_nodes_behind_it_and_the_reason_is_said() {
    let mut state = common::state();
    let link = |site: &str, mbit: f64| LinkLimit {
        between: ("edge-a".into(), site.into()),
        capacity: Mbps(mbit),
    };
    state.workloads[0].policy.links = vec![
        link("edge-b", 0.001),
        link("provider-a", 0.001),
        link("provider-b", 100.0),
    ];
    let mut world = common::world();
    rate(&mut world, 100.0);
    let (state, actions, _) = turn(state, &world);
    let sites = placed(&actions);
    assert!(
        !sites.is_empty() && sites.iter().all(|s| s.as_str() == "provider-b"),
        "{sites:?}"
    );

    let mut state = State {
        workloads: state.workloads.clone(),
        ..common::state()
    };
    state.workloads[0].book = Default::default();
    state.workloads[0].policy.links[2].capacity = Mbps(0.001);
    let (_, actions, waiting) = turn(state, &world);
    assert_eq!(placed(&actions), Vec::<Site>::new());
    let said = waiting
        .iter()
        .any(|w| w.why.contains("behind a link without capacity left"));
    assert!(said, "{waiting:?}");
}

#[test]
fn bandwidth_is_asked_of_nodes_that_keep_a_book_of_it_and_of_no_others() {
    let mut world = common::world();
    rate(&mut world, 100.0);
    if let Seen::Known { value, .. } = &mut world.jobs
        && let Some(job) = value.get_mut(&JobId::from("shop"))
    {
        job.edit()["TaskGroups"][0]["Networks"][0]["MBits"] = json!(50);
    }
    if let Seen::Known { value, .. } = &mut world.nodes {
        // Providers fingerprint a narrow network; the edge does not fingerprint any.
        value.edit(|n| {
            if n.site.as_str().starts_with("provider") {
                n.capacity.network = Mbps(40.0);
            }
        });
    }
    let (_, actions, _) = turn(common::state(), &world);
    let sites = placed(&actions);
    assert!(
        !sites.is_empty() && sites.iter().all(|s| s.as_str() == "edge-b"),
        "{sites:?}"
    );
}

#[test]
fn the_count_of_a_job_that_is_not_ours_is_never_changed() {
    use foreshadow::guard::{Facts, Law, clear};
    let state = common::state();
    let world = common::world();
    let step = Step {
        id: "p.1".into(),
        plan: "p".into(),
        portion: None,
        cause: Cause::Reactive,
        action: Action::Scale {
            job: "shop".into(),
            group: "web".into(),
            from: 2,
            to: 0,
        },
        why: String::new(),
        waits_on: vec![],
    };
    let facts = Facts {
        now: world.at,
        acting: true,
        epoch: state.epoch,
        world: &world,
        policy: &state.workloads[0].policy,
        capacity: &Default::default(),
        inflight: &Default::default(),
        moving: None,
        max_step: Share::ALL,
        writes_left: 1,
    };
    let held = clear(step, &facts).expect_err("it must be held");
    assert_eq!(held.1.law, Law::BlastRadius);
}

#[test]
fn two_standbys_over_one_link_get_no_more_than_it_has_left() {
    let mut state = common::state();
    let mut world = common::world();
    rate(&mut world, 140.0);
    // 70 requests a second of 900 bytes for each of two primaries: about half a megabit for each standby.
    let narrow = |site: &str| LinkLimit {
        between: ("edge-a".into(), site.into()),
        capacity: Mbps(0.6),
    };
    state.workloads[0].policy.links = vec![narrow("provider-a"), narrow("provider-b")];
    state.workloads[0].policy.sites = ["provider-a", "provider-b"].map(Site::from).to_vec();
    let (_, actions, _) = turn(state, &world);
    let mut sites = placed(&actions);
    sites.sort();
    sites.dedup();
    assert_eq!(sites.len(), placed(&actions).len(), "one over each link");
    assert_eq!(sites.len(), 2, "{actions:?}");
}

#[test]
fn what_mounts_a_host_volume_stands_only_where_a_node_offers_it() {
    let mut world = common::world();
    rate(&mut world, 100.0);
    if let Seen::Known { value, .. } = &mut world.jobs
        && let Some(job) = value.get_mut(&JobId::from("shop"))
    {
        job.edit()["TaskGroups"][0]["Volumes"] =
            json!({"assets": {"Type": "host", "Source": "assets", "ReadOnly": true}});
    }
    let (_, actions, waiting) = turn(common::state(), &world);
    assert_eq!(placed(&actions), Vec::<Site>::new());
    let said = waiting
        .iter()
        .any(|w| w.why.contains("without its host volumes"));
    assert!(said, "{waiting:?}");
    if let Seen::Known { value, .. } = &mut world.nodes {
        value.edit(|n| {
            if *n.name == *"provider-b-2" {
                n.host_volumes.insert("assets".into());
            }
        });
    }
    let (_, actions, _) = turn(common::state(), &world);
    assert_eq!(placed(&actions), vec![Site::from("provider-b")]);
}
