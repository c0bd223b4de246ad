//! From the outlook to the plan: what scenarios, events of the cluster and measured needs make of placements.

use crate::common::{self, NOW};
use foreshadow::engine::{clock, cycle};
use foreshadow::model::*;
use foreshadow::planner::{self, Book, Scene, risk};
use serde_json::json;
use std::sync::Arc;

/// Everything a pass looks at, to be changed by each test.
pub struct Stage {
    pub world: World,
    pub policy: Policy,
    pub beliefs: Beliefs,
    pub outlook: Outlook,
    pub book: Book,
}

impl Stage {
    /// Two primaries of 30 requests a second each, forty now, ninety foreseen.
    pub fn new() -> Stage {
        let mut stage = Stage {
            world: common::world(),
            policy: common::policy(),
            beliefs: Beliefs {
                profiles: common::profiles(30.0),
                ..Beliefs::default()
            },
            outlook: Outlook {
                at: NOW,
                horizon: Span::secs(30),
                ..Outlook::default()
            },
            book: Book::default(),
        };
        stage.book.spent.season = NOW.0 / stage.policy.season.0;
        stage.policy.budget.max_shadows = 0;
        stage
    }

    /// Demand of `rps` at every level from now on.
    pub fn demand(mut self, rps: f64) -> Stage {
        let point = |s: i64| DemandPoint {
            at: NOW + Span::secs(s),
            mean: Rps(rps),
            quantiles: [Rps(rps); LEVELS.len()],
        };
        let path = DemandPath {
            step: Span::secs(1),
            points: (0..=30).map(point).collect(),
            ..DemandPath::default()
        };
        self.outlook.demand.insert("web".into(), path);
        self
    }

    /// Futures with their weights, in which these fail.
    pub fn futures(mut self, all: &[(f64, &[Domain])]) -> Stage {
        let scenario = |(weight, failed): &(f64, &[Domain])| Scenario {
            weight: *weight,
            level: 0.5,
            failed: failed.to_vec(),
        };
        self.outlook.scenarios.list = all.iter().map(scenario).collect();
        self
    }

    pub fn node(&mut self, name: &str, change: impl Fn(&mut Node)) {
        let Seen::Known { value, .. } = &mut self.world.nodes else {
            panic!("nodes are known");
        };
        assert!(
            value.iter().any(|n| *n.name == *name),
            "a node of that name"
        );
        value.edit(|n| {
            if *n.name == *name {
                change(n);
            }
        });
    }

    pub fn plan(&mut self) -> Plan {
        let portions = planner::portions(&common::job(), Some(&self.policy));
        let appetite = risk::appetite(self.policy.risk_tolerance, self.policy.season);
        let known = common::known(&self.beliefs, &self.world, &portions, &appetite);
        let scene = Scene {
            now: self.world.at,
            world: &self.world,
            census: &planner::Census::of(&self.world, [&self.policy]),
            outlook: &self.outlook,
            policy: &self.policy,
            portions: &portions,
            beliefs: &self.beliefs,
            known: &known,
            appetite,
            history: &Default::default(),
            forecasting: true,
            plan: "p".into(),
            parent: None,
            epoch: Epoch(5),
            seed: 7,
            inflight: self.book.inflight.values().cloned().collect(),
        };
        planner::plan(&scene, &mut self.book).0
    }
}

/// Placements as site, node, job and reason.
pub fn placed(plan: &Plan) -> Vec<(String, String, &JobSpec, &str)> {
    plan.steps
        .iter()
        .filter_map(|s| match &s.action {
            Action::PlaceStandby {
                site, node, job, ..
            } => Some((site.to_string(), node.to_string(), job, s.why.as_str())),
            _ => None,
        })
        .collect()
}

/// The jobs of standbys that are released.
pub fn released(plan: &Plan) -> Vec<String> {
    let release = |s: &Step| match &s.action {
        Action::ReleaseStandby { job, .. } => Some(job.to_string()),
        _ => None,
    };
    plan.steps.iter().filter_map(release).collect()
}

fn site(name: &str) -> Domain {
    Domain::Site(name.into())
}

#[test]
fn a_placement_says_what_goes_unserved_on_average_and_in_the_worst_futures() {
    let both = [
        site("edge-a"),
        site("provider-a"),
        site("provider-b"),
        site("edge-b"),
    ];
    let mut stage = Stage::new()
        .demand(60.0)
        .futures(&[(0.9, &[]), (0.1, &both)]);
    let plan = stage.plan();
    let placed = placed(&plan);
    assert!(!placed.is_empty(), "{plan:?}");
    // In one future of ten everything is gone: a tenth of what standbys are wanted for, and more of the worst sixth.
    let why = placed[0].3;
    assert!(why.contains("unserved: "), "{why}");
    assert!(
        why.contains("expected") && why.contains("over the worst 16 %"),
        "{why}"
    );
    assert!(!why.contains("unserved: 0.0 %"), "{why}");
}

#[test]
fn a_standby_does_not_stand_where_it_would_fail_together_with_its_home() {
    // The provider that is nearer and cheaper tends to fail along with the edge.
    let place = |futures: &[(f64, &[Domain])]| {
        let mut stage = Stage::new().demand(45.0).futures(futures);
        stage.policy.sites = ["provider-a", "provider-b"].map(Site::from).to_vec();
        for name in ["provider-b-1", "provider-b-2", "provider-b-3"] {
            stage.node(name, |n| n.price = Price(0.4));
        }
        let plan = stage.plan();
        let placed = placed(&plan);
        assert_eq!(placed.len(), 1, "{plan:?}");
        placed[0].0.clone()
    };
    assert_eq!(place(&[(1.0, &[])]), "provider-a", "the cheaper one");
    let together = [site("edge-a"), site("provider-a")];
    assert_eq!(place(&[(0.8, &[]), (0.2, &together)]), "provider-b");
}

/// `web` and, on the same job's terms, `cart`, which mounts a volume that only provider-a-1 offers.
fn with_cart(stage: &mut Stage) {
    let mut job = common::job();
    let mut cart = job.value()["TaskGroups"][0].clone();
    cart["Name"] = json!("cart");
    cart["Volumes"] = json!({"data": {"Type": "host", "Source": "data", "ReadOnly": true}});
    let mut edit = job.edit();
    edit["TaskGroups"]
        .as_array_mut()
        .expect("groups")
        .push(cart);
    drop(edit);
    if let Seen::Known { value, .. } = &mut stage.world.jobs {
        value.insert("shop".into(), job);
    }
    let mut cart = stage.policy.portions[0].clone();
    cart.id = "cart".into();
    cart.groups = vec!["cart".into()];
    cart.front = None;
    stage.policy.portions.push(cart);
    stage.node("provider-a-1", |n| {
        n.host_volumes.insert("data".into());
        n.capacity.cpu = Mhz(700.0);
    });
    if let Seen::Known { value, .. } = &mut stage.world.blocked {
        value.push(Blocked {
            job: "shop".into(),
            groups: vec!["cart".into()],
            why: "memory exhausted".into(),
        });
    }
}

#[test]
fn one_that_stands_makes_room_for_one_that_can_stand_nowhere_else() {
    let mut stage = Stage::new().demand(45.0);
    stage.world = common::with_standby(stage.world);
    with_cart(&mut stage);
    let portions = |stage: &Stage| {
        let job = stage.world.job(&"shop".into()).expect("the job").clone();
        planner::portions(&job, Some(&stage.policy)).len()
    };
    assert_eq!(portions(&stage), 2);
    let plan = stage.plan();
    let placed = placed(&plan);
    assert_eq!(
        placed.len(),
        1,
        "the one in the way, and nothing yet beside it: {plan:?}"
    );
    assert!(
        placed[0].3.contains("foreshadow-standby-web-1 moves"),
        "{}",
        placed[0].3
    );
    assert_ne!(placed[0].1, "id-provider-a-1");
    let waits = plan
        .waiting
        .iter()
        .any(|w| w.why.contains("room on provider-a-1 is being made"));
    assert!(waits, "{:?}", plan.waiting);
    assert!(
        stage
            .book
            .leaving
            .contains(&"foreshadow-standby-web-1".into())
    );
    let released = released(&plan);
    assert!(
        released.is_empty(),
        "the new one stands before the old one goes"
    );
}

#[test]
fn small_news_moves_nothing_that_stands() {
    let mut stage = Stage::new().demand(80.0);
    stage.world = common::with_standby(stage.world);
    // Another node has become a good deal cheaper: no reason to move.
    stage.node("provider-b-2", |n| n.price = Price(0.0));
    let plan = stage.plan();
    assert!(!placed(&plan).is_empty(), "more is needed: {plan:?}");
    assert!(
        placed(&plan).iter().all(|p| !p.3.contains("moves")),
        "{plan:?}"
    );
    assert!(stage.book.leaving.is_empty());
}

#[test]
fn a_standby_leaves_a_node_that_goes_into_maintenance_and_none_is_placed_there() {
    let mut stage = Stage::new().demand(45.0);
    stage.world = common::with_standby(stage.world);
    stage.outlook.hazards = vec![Arc::new(Hazard {
        domain: site("provider-a"),
        name: "provider-a".into(),
        per_hour: 0.1,
        within: Probability(1.0),
        repair: Span::secs(60),
        why: "maintenance".into(),
    })];
    let plan = stage.plan();
    let placed = placed(&plan);
    assert_eq!(placed.len(), 1, "{plan:?}");
    assert!(placed[0].3.contains("about to go"), "{}", placed[0].3);
    assert_ne!(placed[0].0, "provider-a");
}

/// A second standby (alloc 4) at provider-b, seen passing.
fn with_another(stage: &mut Stage) {
    let (first, second) = ("foreshadow-standby-web-1", "foreshadow-standby-web-2");
    if let Seen::Known { value, .. } = &mut stage.world.jobs {
        let mut job = value[&JobId::from(first)].clone();
        job.edit()["ID"] = json!(second);
        value.insert(second.into(), job);
    }
    if let Seen::Known { value, .. } = &mut stage.world.allocs {
        value.put(common::alloc(4, second, "provider-b", 1));
    }
}

#[test]
fn the_one_that_gave_way_is_released_once_the_new_one_was_there_for_a_while() {
    let mut stage = Stage::new().demand(30.0);
    stage.world = common::with_standby(stage.world);
    with_another(&mut stage);
    // One standby is wanted, and traffic needs none of them now.
    let blocked = Blocked {
        job: "shop".into(),
        groups: vec!["web".into()],
        why: "memory exhausted".into(),
    };
    stage.world.blocked = Seen::known(vec![blocked], NOW);
    stage.book.leaving = ["foreshadow-standby-web-1".into()].into();
    let first = stage.plan();
    assert!(
        placed(&first).is_empty() && released(&first).is_empty(),
        "{first:?}"
    );
    stage.world = common::at(stage.world, NOW + Span::secs(12));
    assert_eq!(released(&stage.plan()), ["foreshadow-standby-web-1"]);
}

#[test]
fn one_that_is_not_needed_any_more_is_not_moved_from_a_node_that_is_drained() {
    let mut stage = Stage::new().demand(20.0);
    stage.world = common::with_standby(stage.world);
    stage.node("provider-a-1", |n| n.draining = true);
    if let Some(Seen::Known { value, .. }) = stage.world.traffic.get_mut(&PortionId::from("web")) {
        value.rate = Rps(20.0);
    }
    let plan = stage.plan();
    assert!(placed(&plan).is_empty(), "{plan:?}");
    let mut needed = Stage {
        outlook: Stage::new().demand(45.0).outlook,
        book: Book::default(),
        ..stage
    };
    let plan = needed.plan();
    assert_eq!(placed(&plan).len(), 1, "it is needed: {plan:?}");
}

#[test]
fn a_standby_asks_for_what_was_measured_but_never_for_less_than_its_job() {
    let cpu = |cpu_a_request: f64| {
        let mut stage = Stage::new().demand(80.0);
        for p in &mut stage.beliefs.profiles {
            p.cpu_a_request = cpu_a_request;
        }
        let plan = stage.plan();
        let placed = placed(&plan);
        let (.., job, why) = placed.first().expect("a placement").clone();
        (job.needs(&"web".into()).cpu.0, why.to_string())
    };
    // One primary's part of 80 requests a second is 40; the job asks for 500 MHz.
    assert_eq!(cpu(2.0).0, 500.0, "a thin measurement does not shrink it");
    // A copy is not counted on for more than about 30, so it reserves no more than that takes: not 40 × 20.
    let (more, why) = cpu(20.0);
    assert!(more > 500.0 && more < 800.0, "{more}");
    assert!(why.contains("rather than the job's 500 MHz"), "{why}");
    assert_eq!(cpu(1000.0).0, 1000.0, "nor does a wild one take everything");
}

#[test]
fn what_was_measured_to_need_more_takes_its_jobs_size_where_no_node_has_more() {
    let mut stage = Stage::new().demand(80.0);
    for p in &mut stage.beliefs.profiles {
        p.cpu_a_request = 20.0;
    }
    if let Seen::Known { value, .. } = &mut stage.world.nodes {
        value.edit(|n| {
            let least = n.name.ends_with("-1");
            n.capacity.cpu = Mhz(if least { 100.0 } else { 550.0 });
        });
    }
    let plan = stage.plan();
    let placed = placed(&plan);
    assert!(!placed.is_empty(), "{plan:?}");
    assert!(
        placed
            .iter()
            .all(|p| p.2.needs(&"web".into()).cpu.0 == 500.0)
    );
}

#[test]
fn a_link_from_the_clients_site_takes_what_is_behind_it() {
    let mut stage = Stage::new().demand(20.0);
    stage.world.gateways = [("edge-a".into(), "edge-a".into())].into();
    let link = Domain::link(&"edge-b".into(), &"edge-a".into());
    stage.outlook.hazards = vec![Arc::new(Hazard {
        domain: link,
        name: "edge-a – edge-b".into(),
        per_hour: 1.0,
        within: Probability(0.5),
        repair: Span::secs(60),
        why: String::new(),
    })];
    stage.policy.risk_tolerance = 0.0;
    let plan = stage.plan();
    let placed = placed(&plan);
    assert!(
        !placed.is_empty(),
        "one primary may be out of reach: {plan:?}"
    );
    assert!(placed[0].3.contains("edge-a – edge-b"), "{}", placed[0].3);
    assert!(placed.iter().all(|p| p.0 != "edge-b"), "{placed:?}");
}

#[test]
fn a_jobs_constraints_rule_nodes_out_and_its_affinities_choose_among_the_rest() {
    let mut stage = Stage::new().demand(45.0);
    let mut job = common::job();
    job.edit()["Constraints"] =
        json!([{"LTarget": "${node.class}", "Operand": "=", "RTarget": "std"}]);
    let racked =
        json!([{"LTarget": "${meta.rack}", "Operand": "=", "RTarget": "r7", "Weight": 80}]);
    job.edit()["TaskGroups"][0]["Affinities"] = racked;
    if let Seen::Known { value, .. } = &mut stage.world.jobs {
        value.insert("shop".into(), job);
    }
    let meta = [("rack".to_string(), "r7".to_string())];
    for name in ["edge-b-2", "provider-b-3"] {
        stage.node(name, |n| *n.meta = meta.clone().into());
    }
    let plan = stage.plan();
    assert_eq!(placed(&plan)[0].1, "id-provider-b-3", "{plan:?}");
    stage.policy.sites = vec!["edge-b".into()];
    let plan = stage.plan();
    assert!(placed(&plan).is_empty());
    let said = plan
        .waiting
        .iter()
        .any(|w| w.why.contains("2 against its constraints"));
    assert!(said, "{:?}", plan.waiting);
}

#[test]
fn every_workload_looks_ahead_over_its_own_portions_with_its_own_events() {
    let mut state = common::state();
    state.forecasting = true;
    let mut other = common::policy();
    other.workload = "desk".into();
    other.portions[0].id = "help".into();
    other.events = vec![DemandEvent {
        name: "launch".into(),
        window: Window {
            from: NOW + Span::secs(1),
            to: NOW + Span::secs(60),
        },
        factor: 2.0,
        portions: vec![],
    }];
    state.workloads.push(foreshadow::engine::Workload {
        policy: other,
        ..Default::default()
    });
    for id in ["web", "help"] {
        let series = Series {
            start: NOW - Span::secs(200),
            step: Span::secs(1),
            values: vec![10.0; 201],
        };
        state.history.demand.insert(id.into(), series);
    }
    let (state, _, view) = cycle(state, &common::world(), NOW, &mut clock::dice(1));
    let told: Vec<&str> = view.outlook.iter().map(|o| o.workload.as_str()).collect();
    assert_eq!(told, ["shop", "desk"]);
    let first = |k: usize, id: &str| {
        let path = state.workloads[k].outlook.demand.get(&id.into());
        path.map(|p: &DemandPath| p.points[0].mean.0)
    };
    assert!((first(0, "web").expect("a path") - 10.0).abs() < 1.0);
    assert!((first(1, "help").expect("a path") - 20.0).abs() < 2.0);
    assert_eq!((first(0, "help"), first(1, "web")), (None, None));
}
