//! The ways in which traffic moves besides a ramp's plain step: emergencies, drains, nodes that flap, and failures that come together.

use crate::common::{self, NOW, alloc_id};
use crate::outlook::{Stage, released};
use crate::worlds::{Load, One, Spec};
use foreshadow::engine::{Rules, State, absorb, adopt, clock, cycle};
use foreshadow::model::*;
use foreshadow::planner::Book;
use std::collections::BTreeMap;

/// A world that takes what is written at once.
struct Run {
    state: State,
    world: World,
}

impl Run {
    fn new(world: World, rate: f64) -> Run {
        let mut state = common::state();
        state.workloads[0].policy.portions[0].standby = false;
        state.workloads[0].policy.budget.max_shadows = 0;
        let mut run = Run { state, world };
        if let Some(Seen::Known { value, .. }) = run.world.traffic.get_mut(&PortionId::from("web"))
        {
            value.rate = Rps(rate);
        }
        run
    }

    /// One turn so much later; what is written is verified at once.
    fn turn(&mut self, later: Span) -> Option<Step> {
        let now = self.world.at + later;
        self.world = common::at(self.world.clone(), now);
        let state = std::mem::take(&mut self.state);
        let (state, steps, _) = cycle(state, &self.world, now, &mut clock::dice(1));
        self.state = state;
        let mut steps = steps.into_iter().map(|s| s.into_inner());
        let step = steps.find(|s| s.action.touches_traffic())?;
        if let Action::SetTarget { target, .. } = &step.action {
            self.front().target = Some(Seen::known(Some(target.clone()), now));
        }
        let outcome = Outcome {
            step: step.clone(),
            started: now,
            at: now,
            verdict: Verdict::Verified,
            measured: None,
        };
        absorb(&mut self.state, outcome);
        Some(step)
    }

    fn front(&mut self) -> &mut Front {
        let service = ServiceName::from("shop-web");
        self.world.fronts.get_mut(&service).expect("the front")
    }

    fn share(&self, n: u8) -> Share {
        let front = &self.world.fronts[&ServiceName::from("shop-web")];
        let target = front.target.as_ref().and_then(|t| t.value()?.as_ref());
        target.map_or(Share::NONE, |t| t.share_of(&alloc_id(n)))
    }

    fn checks(&mut self, n: u8, passing: bool) {
        for seen in self.front().entries.values_mut() {
            if let Seen::Known { value, .. } = seen {
                value.retain(|e| e.instance != alloc_id(n));
                value.push(common::entry(n, passing));
            }
        }
    }

    fn node(&mut self, name: &str, edit: impl Fn(&mut Node)) {
        if let Seen::Known { value, .. } = &mut self.world.nodes {
            value.edit(|n| {
                if *n.name == *name {
                    edit(n);
                }
            });
        }
    }

    /// The node goes, and its instance with it; Nomad places nothing elsewhere.
    fn dies(&mut self, node: &str, n: u8) {
        self.node(node, |n| n.status = NodeStatus::Down);
        self.checks(n, false);
        if let Seen::Known { value, .. } = &mut self.world.allocs {
            *value = value
                .iter()
                .filter(|a| a.id != alloc_id(n))
                .cloned()
                .collect();
        }
    }

    /// The node is back, with a new instance on it that passes its check.
    fn returns(&mut self, site: &str, n: u8) {
        self.node(&format!("{site}-1"), |n| n.status = NodeStatus::Ready);
        if let Seen::Known { value, .. } = &mut self.world.allocs {
            value.put(common::alloc(n, "shop", site, 1));
        }
        self.checks(n, true);
    }

    /// Seconds until the instance has a share.
    fn trusted_after(&mut self, n: u8) -> i64 {
        let since = self.world.at;
        for _ in 0..200 {
            self.turn(Span::secs(1));
            if self.share(n) > Share::NONE {
                return self.world.at.since(since).0 / 1_000;
            }
        }
        panic!("{n} never gets a share: {:?}", self.state.workloads[0].plan);
    }
}

#[test]
fn an_emergency_does_all_at_once_what_was_cleared_for_it() {
    // One primary alone could just carry it; the contingency prefers not to rely on that.
    let mut run = Run::new(common::with_standby(common::world()), 26.0);
    run.state.workloads[0].policy.risk_tolerance = 1.0;
    run.turn(Span::secs(1)).expect("contingencies are written");
    run.checks(1, false);
    let step = run.turn(Span::secs(2)).expect("the emergency");
    assert!(step.why.contains("what is cleared for"), "{}", step.why);
    assert_eq!(step.cause, Cause::Reactive);
    assert_eq!([1, 2, 3].map(|n| run.share(n).0), [0, 5_000, 5_000]);
    assert_eq!(run.state.tally.switchovers, 1);
    // The standby stays until all has been well for the settling time.
    for _ in 0..4 {
        run.turn(Span::secs(1));
        assert_eq!(run.share(3), Share(5_000));
    }
}

#[test]
fn traffic_leaves_a_node_that_is_drained_step_by_step_before_its_instances_are_ended() {
    let mut run = Run::new(common::with_standby(common::world()), 40.0);
    run.node("edge-a-1", |n| (n.draining, n.eligible) = (true, false));
    let mut shares = vec![run.share(1).0];
    for _ in 0..12 {
        if let Some(step) = run
            .turn(Span::millis(1_200))
            .filter(|_| run.share(1).0 != *shares.last().expect("one"))
        {
            assert!(
                step.why.contains("edge-a-1 is being drained"),
                "{}",
                step.why
            );
            assert_eq!(step.cause, Cause::Reactive);
        }
        shares.push(run.share(1).0);
    }
    shares.dedup();
    assert_eq!(shares, [5_000, 3_750, 2_500, 0], "by the policy's ramp");
    let stays = [2, 3].map(|n| run.share(n).0);
    assert_eq!(
        stays,
        [5_000, 5_000],
        "the standby helps: what stays would not do alone"
    );
}

#[test]
fn traffic_leaves_before_a_maintenance_by_the_rules_of_planned_moves() {
    let mut run = Run::new(common::with_standby(common::world()), 10.0);
    run.state.forecasting = true;
    run.state.history.watched_since = NOW;
    let policy = &mut run.state.workloads[0].policy;
    policy.maintenance = vec![Maintenance {
        name: "rack 3".into(),
        window: Window {
            from: NOW + Span::secs(25),
            to: NOW + Span::secs(600),
        },
        nodes: vec!["edge-a-1".into()],
        sites: vec![],
    }];
    while run.share(1) > Share::NONE {
        assert!(
            run.world.at < NOW + Span::secs(25),
            "it has begun: {:?}",
            run.state.workloads[0].plan
        );
        let before = run.share(1);
        let step = run.turn(Span::millis(1_200));
        if let Some(step) = step.filter(|_| run.share(1) != before) {
            assert!(
                step.why.contains("edge-a-1 goes within the horizon"),
                "{}",
                step.why
            );
            assert!(matches!(
                step.action,
                Action::SetTarget { planned: true, .. }
            ));
        }
    }
    assert_eq!(run.share(2), Share::ALL, "it carries that alone");
}

#[test]
fn nothing_is_drained_where_nothing_else_is_ready() {
    let mut run = Run::new(common::world(), 20.0);
    for node in ["edge-a-1", "edge-b-1"] {
        run.node(node, |n| (n.draining, n.eligible) = (true, false));
    }
    for _ in 0..5 {
        run.turn(Span::millis(1_200));
    }
    assert_eq!([1, 2].map(|n| run.share(n).0), [5_000, 5_000]);
}

#[test]
fn what_is_told_of_a_surge_is_what_asks_for_it_now() {
    let mut run = Run::new(common::with_standby(common::world()), 10.0);
    run.state.beliefs.profiles = common::profiles(60.0);
    let told = |run: &Run| {
        let surging = &run.state.workloads[0].book.surging;
        surging.get(&PortionId::from("web")).map(|s| s.1.clone())
    };
    run.turn(Span::secs(1));
    run.dies("edge-a-1", 1);
    run.dies("edge-b-1", 2);
    run.turn(Span::secs(1));
    run.turn(Span::secs(1));
    assert_eq!(told(&run).as_deref(), Some("no primary is ready"));
    run.returns("edge-a", 4);
    run.returns("edge-b", 5);
    let mut said = Vec::new();
    while let Some(why) = told(&run).filter(|_| said.len() < 200) {
        said.push(why);
        run.turn(Span::secs(1));
    }
    assert!(said.len() < 200, "it ends");
    let last = said.last().expect("it was told while it lasted");
    assert!(last.starts_with("the primaries suffice again"), "{said:?}");
}

#[test]
fn a_node_that_flaps_is_trusted_later_each_time_whatever_runs_on_it() {
    let mut run = Run::new(common::world(), 20.0);
    run.state.beliefs.profiles = common::profiles(60.0);
    let settle = run.state.workloads[0].policy.ramp.settle.0 / 1_000;
    run.turn(Span::secs(1));
    let mut waits = Vec::new();
    for (dead, new) in [(1, 4), (4, 5), (5, 6)] {
        run.dies("edge-a-1", dead);
        run.turn(Span::secs(1)).expect("the other takes over");
        assert_eq!(run.share(2), Share::ALL);
        run.returns("edge-a", new);
        waits.push(run.trusted_after(new));
    }
    let doubled = [settle, settle * 2, settle * 4];
    let close = waits
        .iter()
        .zip(doubled)
        .all(|(wait, due)| (due..=due + 2).contains(wait));
    assert!(close, "{waits:?} s, with {settle} s to settle");
}

#[test]
fn three_portions_that_fail_at_once_are_not_sent_to_the_same_node() {
    let one = || Load {
        instances: vec![One {
            standby: false,
            node: 0,
            heard: [Some(false); 2],
            part: 1,
        }],
        target: true,
        rate: 10.0,
        success: 1.0,
        latency: 20.0,
        samples: 100,
        knee: Some(30.0),
    };
    let spec = Spec {
        portions: vec![one(), one(), one()],
        down: [0].into(),
        tolerance: 0.3,
        spent: false,
        growth: 1.0,
        hazards: vec![],
        flips: vec![],
    };
    let placed = |spec: &Spec, open: &[&str]| {
        let mut world = spec.world();
        if let Seen::Known { value, .. } = &mut world.nodes {
            // A copy asks for 200 MHz: one fits, two do not.
            value
                .edit(|n| n.capacity.cpu = Mhz(if open.contains(&&*n.name) { 390.0 } else { 0.0 }));
        }
        let plan = spec.plan(&world, &mut Book::default(), spec.tolerance);
        let mut on: BTreeMap<NodeId, Mhz> = BTreeMap::new();
        for step in &plan.steps {
            if let Action::PlaceStandby { node, needs, .. } = &step.action {
                on.entry(node.clone()).or_default().0 += needs.cpu.0;
            }
        }
        let within = on.values().all(|cpu| cpu.0 <= 390.0);
        assert!(within, "more than one node holds: {on:?}");
        (on.len(), plan.waiting)
    };
    let three = ["provider-a-1", "provider-b-1", "provider-b-2"];
    assert_eq!(placed(&spec, &three).0, 3, "each has its own");
    let (two, waiting) = placed(&spec, &three[..2]);
    assert_eq!(two, 2, "and where there is room for two, two are placed");
    let standby = |w: &&Shared<Waiting>| w.what.starts_with("standby of");
    assert_eq!(waiting.iter().filter(standby).count(), 1, "{waiting:?}");
}

/// Failback takes the last share at the moment `ends`; whoever looked DNS up just before still goes there.
#[test]
fn a_standby_of_a_surge_that_others_could_long_have_done_without_stays_warm_after_its_last_share() {
    let mut stage = Stage::new().demand(20.0);
    stage.world = common::with_standby(stage.world);
    if let Some(Seen::Known { value, .. }) = stage.world.traffic.get_mut(&PortionId::from("web")) {
        value.rate = Rps(20.0);
    }
    let give = |world: &mut World, shares: [u32; 3]| {
        let front = world.fronts.get_mut(&ServiceName::from("shop-web"));
        if let Some(Seen::Known { value: Some(t), .. }) = &mut front.expect("the front").target {
            let all = t.instances.iter_mut().zip(shares);
            all.for_each(|(instance, share)| instance.share = Share(share));
        }
    };
    give(&mut stage.world, [4_000, 4_000, 2_000]);
    let (ends, warm) = (60, 10);
    let first_release = (0..90).find(|s| {
        stage.world = common::at(stage.world.clone(), NOW + Span::secs(*s));
        if *s == ends {
            give(&mut stage.world, [5_000, 5_000, 0]);
        }
        let plan = stage.plan();
        stage.book.inflight.clear();
        !released(&plan).is_empty()
    });
    assert_eq!(
        first_release,
        Some(ends + warm - 1),
        "twice the time to settle after the last moment in which it served"
    );
}

/// What is prepared is worked out anew only where it may differ: what it was worked out from is kept, but not for good.
#[test]
fn what_was_prepared_for_a_front_goes_when_no_policy_has_that_front_any_more() {
    let mut run = Run::new(common::world(), 40.0);
    run.turn(Span::secs(1));
    let kept = |run: &Run| -> Vec<String> {
        let drills = run.state.workloads[0].book.drills.keys();
        drills.map(ServiceName::to_string).collect()
    };
    assert_eq!(kept(&run), ["shop-web"]);
    let mut policy = run.state.workloads[0].policy.clone();
    policy.risk_tolerance = 0.1;
    adopt(&mut run.state, &Rules::new(vec![policy.clone()]), NOW);
    assert_eq!(kept(&run), ["shop-web"], "the front is the same");
    policy.portions[0].front = Some("shop-www".into());
    adopt(&mut run.state, &Rules::new(vec![policy]), NOW);
    assert_eq!(kept(&run), [""; 0]);
}
