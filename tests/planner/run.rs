//! A run of some hundred turns without IO: a cluster made of data carries out what the engine clears.

use crate::common::{self, NOW};
use crate::worlds::ready;
use foreshadow::engine::{State, View, absorb, clock, cycle};
use foreshadow::model::*;
use foreshadow::planner::shares;
use proptest::prelude::*;
use std::collections::BTreeMap;

pub const TURN: Span = Span::millis(500);
/// Turns from a placement to a running allocation, and from a registration to a passing check.
const START: i64 = 4;
const CHECK: i64 = 2;
/// What one instance carries.
const KNEE: f64 = 30.0;

/// Two primaries of one service, and whatever foreshadow adds.
pub struct Cluster {
    pub turn: i64,
    pub state: State,
    pub world: World,
    /// Turn since which each instance could answer its check.
    up_since: BTreeMap<AllocId, i64>,
    open: Vec<Step>,
    next_alloc: u8,
    /// Changes of shares, with the turn and the cause.
    moves: Vec<(i64, Cause, Share)>,
    most_standbys: usize,
}

/// A view without its shares over time, whose last point tells when they were last painted.
fn shown(mut view: View) -> View {
    view.portions.iter_mut().for_each(|p| p.stairs.clear());
    view
}

impl Cluster {
    pub fn new() -> Cluster {
        let mut state = common::state();
        state.beliefs.profiles = common::profiles(KNEE);
        state.workloads[0].policy.budget.max_shadows = 0;
        state.workloads[0].policy.season = Span::secs(100_000);
        Cluster {
            turn: 0,
            state,
            world: common::world(),
            up_since: [1, 2].map(|n| (common::alloc_id(n), -100)).into(),
            open: Vec::new(),
            next_alloc: 10,
            moves: Vec::new(),
            most_standbys: 0,
        }
    }

    fn front(&mut self) -> &mut Front {
        let service = ServiceName::from("shop-web");
        self.world.fronts.get_mut(&service).expect("the front")
    }

    fn target(&self) -> &Target {
        let front = &self.world.fronts[&ServiceName::from("shop-web")];
        let seen = front.target.as_ref().and_then(|t| t.value()?.as_ref());
        seen.expect("a target")
    }

    pub fn node(&mut self, name: &str, status: NodeStatus) {
        if let Seen::Known { value, .. } = &mut self.world.nodes {
            value.edit(|n| {
                if *n.name == *name {
                    n.status = status;
                }
            });
        }
        let on: Vec<AllocId> = self
            .allocs()
            .filter(|a| *a.node_name == *name)
            .map(|a| a.id.clone())
            .collect();
        for id in on {
            let since = if status == NodeStatus::Ready {
                self.turn
            } else {
                i64::MAX
            };
            self.up_since.insert(id, since);
        }
    }

    pub fn fell(&mut self, n: u8, down: bool) {
        let since = if down { i64::MAX } else { self.turn };
        self.up_since.insert(common::alloc_id(n), since);
    }

    fn allocs(&self) -> impl Iterator<Item = &Alloc> {
        self.world.allocs.value().into_iter().flatten()
    }

    fn standbys(&self) -> usize {
        let jobs = self.world.jobs.value().expect("jobs");
        jobs.values()
            .filter(|j| j.meta("foreshadow_standby").is_some())
            .count()
    }

    /// One turn at this demand: what was begun comes true, the engine looks, and its cleared steps are taken.
    pub fn turn(&mut self, rate: f64) {
        self.turn += 1;
        let now = NOW + TURN.times(self.turn);
        self.come_true(rate);
        self.world = common::at(self.world.clone(), now);
        for step in std::mem::take(&mut self.open) {
            let verdict = match &step.action {
                Action::SetTarget { .. } => Verdict::Verified,
                _ => Verdict::Applied,
            };
            absorb(
                &mut self.state,
                Outcome {
                    step,
                    started: now,
                    at: now,
                    verdict,
                    measured: None,
                },
            );
        }
        let state = std::mem::take(&mut self.state);
        let unpainted = State {
            gallery: Default::default(),
            census: Default::default(),
            ..state.clone()
        };
        let turn = |state| cycle(state, &self.world, now, &mut clock::dice(self.turn as u64));
        let (_, _, afresh) = turn(unpainted);
        let (state, cleared, view) = turn(state);
        assert_eq!(
            shown(view),
            shown(afresh),
            "what was counted and painted before looks as if it were done afresh"
        );
        self.state = state;
        for step in cleared {
            let step = step.into_inner();
            self.take(&step);
            self.open.push(step);
        }
        self.most_standbys = self.most_standbys.max(self.standbys());
    }

    fn come_true(&mut self, rate: f64) {
        let (turn, up) = (self.turn, self.up_since.clone());
        let passing = |id: &AllocId| {
            up.get(id)
                .is_some_and(|since| turn.saturating_sub(*since) >= CHECK)
        };
        if let Seen::Known { value, .. } = &mut self.world.allocs {
            value.edit(|alloc| {
                let due = up.get(&alloc.id).is_some_and(|since| *since <= turn);
                if due && alloc.status == AllocStatus::Pending {
                    alloc.status = AllocStatus::Running;
                }
            });
        }
        let instances = self.target().instances.clone();
        for seen in self.front().entries.values_mut() {
            if let Seen::Known { value, .. } = seen {
                *value = instances
                    .iter()
                    .map(|i| FrontEntry {
                        instance: i.alloc.clone(),
                        address: i.address.clone(),
                        port: i.port,
                        weight: 1,
                        passing: passing(&i.alloc),
                        checked: up
                            .get(&i.alloc)
                            .is_some_and(|since| *since <= turn || *since == i64::MAX),
                        maintenance: i.share == Share::NONE,
                        agent_alive: true,
                    })
                    .collect();
            }
        }
        // Consul leaves out what fails; what is left shares the load.
        let left: f64 = instances
            .iter()
            .filter(|i| passing(&i.alloc))
            .map(|i| i.share.fraction())
            .sum();
        let busiest = instances
            .iter()
            .filter(|i| passing(&i.alloc) && left > 0.0)
            .map(|i| rate * i.share.fraction() / left)
            .fold(0.0, f64::max);
        let traffic = Traffic {
            rate: Rps(rate),
            success: if left > 0.0 { 1.0 } else { 0.0 },
            samples: (rate * 3.0) as u64,
            p50: Millis(10.0),
            p99: Millis(100.0),
            at_slo: Millis(if busiest > KNEE { 600.0 } else { 60.0 }),
        };
        self.world
            .traffic
            .insert("web".into(), Seen::known(traffic, NOW));
    }

    fn take(&mut self, step: &Step) {
        match &step.action {
            Action::SetTarget { target, before, .. } => self.write(step, target, before.as_ref()),
            Action::PlaceStandby {
                job, node, needs, ..
            } => {
                let node = self.world.node(node).expect("a node").clone();
                self.alloc(&job.id(), &node, *needs);
                if let Seen::Known { value, .. } = &mut self.world.jobs {
                    value.insert(job.id(), job.clone());
                }
            }
            Action::ReleaseStandby { job, .. } => {
                if let Seen::Known { value, .. } = &mut self.world.jobs {
                    value.remove(job);
                }
                if let Seen::Known { value, .. } = &mut self.world.allocs {
                    *value = value.iter().filter(|a| &a.job != job).cloned().collect();
                }
            }
            Action::Scale { job, to, .. } => self.scale(job, *to),
            other => panic!("a step that this run has no use for: {other:?}"),
        }
    }

    fn alloc(&mut self, job: &JobId, node: &Node, needs: Resources) {
        let id = self.next_alloc;
        self.next_alloc += 1;
        let mut alloc = common::alloc(id, job.as_str(), node.site.as_str(), 1);
        alloc.node = node.id.clone();
        alloc.node_name = node.name.clone();
        alloc.resources = needs;
        alloc.status = AllocStatus::Pending;
        self.up_since.insert(alloc.id.clone(), self.turn + START);
        if let Seen::Known { value, .. } = &mut self.world.allocs {
            value.put(alloc);
        }
    }

    /// Copies come and go where the first one stands, the youngest goes first.
    fn scale(&mut self, job: &JobId, to: u64) {
        let mut of_job: Vec<Alloc> = self.allocs().filter(|a| &a.job == job).cloned().collect();
        let node = self.world.node(&of_job[0].node).expect("a node").clone();
        while (of_job.len() as u64) < to {
            self.alloc(job, &node, of_job[0].resources);
            of_job.push(of_job[0].clone());
        }
        let gone: Vec<AllocId> = of_job.drain(to as usize..).map(|a| a.id).collect();
        if let Seen::Known { value, .. } = &mut self.world.allocs {
            *value = value
                .iter()
                .filter(|a| !gone.contains(&a.id))
                .cloned()
                .collect();
        }
        if let Seen::Known { value, .. } = &mut self.world.jobs {
            let job = value.get_mut(job).expect("a job");
            job.edit()["TaskGroups"][0]["Count"] = serde_json::json!(to);
        }
    }

    /// `anytime_`: whatever is written sums to all and gives nothing to what is not ready.
    fn write(&mut self, step: &Step, target: &Target, before: Option<&Target>) {
        let was = self.target().clone();
        assert_eq!(
            before.map(Target::shares),
            Some(was.shares()),
            "the step knows what it replaces"
        );
        let sum: u32 = target.instances.iter().map(|i| i.share.0).sum();
        assert_eq!(sum, 10_000, "anytime_shares_sum, at turn {}", self.turn);
        for i in target.instances.iter().filter(|i| i.share > Share::NONE) {
            let well = ready(&self.world, &target.service, &i.alloc);
            assert!(
                well,
                "anytime_nothing_to_what_is_not_ready: {} at turn {}",
                i.alloc, self.turn
            );
        }
        let moved = shares::distance(&was.shares(), &target.shares());
        if moved > Share::NONE {
            self.moves.push((self.turn, step.cause, moved));
        }
        let written = Target {
            index: was.index + 1,
            ..target.clone()
        };
        self.front().target = Some(Seen::known(Some(written), NOW));
    }

    fn turns(&mut self, n: i64, rate: impl Fn(i64) -> f64) {
        for i in 0..n {
            self.turn(rate(i));
        }
    }

    /// `eventually_` and `finally_`: all traffic is back on the primaries, nothing is kept and nothing is under way.
    fn at_rest(&mut self) {
        let target = self.target();
        let primaries =
            target.share_of(&common::alloc_id(1)).0 + target.share_of(&common::alloc_id(2)).0;
        assert_eq!(
            primaries,
            10_000,
            "eventually_traffic_is_back: {:?}",
            target.shares()
        );
        assert_eq!(self.standbys(), 0, "eventually_standbys_are_released");
        assert!(
            self.open.is_empty(),
            "finally_no_step_is_in_flight: {:?}",
            self.open
        );
        let book = &self.state.workloads[0].book;
        assert!(
            book.inflight.is_empty() && book.moves.is_empty() && book.surging.is_empty(),
            "{book:?}"
        );
    }
}

#[test]
fn a_day_with_a_surge_a_node_death_and_its_return_ends_as_it_began() {
    let mut c = Cluster::new();
    c.turns(20, |_| 30.0);
    assert!(
        c.moves.is_empty(),
        "nothing is moved while all is well: {:?}",
        c.moves
    );
    // A surge that two primaries cannot carry; it comes within some seconds and stays for a while.
    c.turns(100, |i| 30.0 + (i as f64 * 2.0).min(45.0));
    assert!(c.most_standbys > 0);
    let beyond: u32 = c.target().instances.iter().skip(2).map(|i| i.share.0).sum();
    assert!(
        beyond > 2_000,
        "standbys carry their part: {:?}",
        c.target().shares()
    );
    c.turns(100, |_| 25.0);
    c.at_rest();
    let before = c.moves.len();
    c.node("edge-a-1", NodeStatus::Down);
    c.turns(1, |_| 25.0);
    let (turn, cause, _) = *c.moves.last().expect("a switch");
    assert_eq!(
        (turn, cause),
        (c.turn, Cause::Reactive),
        "at once, and with forecasting off"
    );
    assert_eq!(c.moves.len(), before + 1);
    c.turns(60, |_| 25.0);
    assert!(c.most_standbys > 0);
    c.node("edge-a-1", NodeStatus::Ready);
    c.turns(140, |_| 25.0);
    c.at_rest();
    let quiet = c.moves.len();
    c.turns(60, |_| 25.0);
    assert_eq!(c.moves.len(), quiet, "and then nothing more is moved");
}

#[test]
fn a_check_that_flaps_moves_traffic_less_and_less_often() {
    for half in [6, 20, 40] {
        let mut c = Cluster::new();
        c.turns(20, |_| 20.0);
        for flap in 0..40 {
            c.fell(1, flap % 2 == 0);
            c.turns(half, |_| 20.0);
        }
        let middle = 20 + half * 20;
        let (early, late): (Vec<_>, Vec<_>) = c
            .moves
            .iter()
            .copied()
            .partition(|(turn, ..): &(i64, Cause, Share)| *turn < middle);
        assert!(!early.is_empty());
        assert!(
            c.moves.len() <= 24,
            "half a period of {half} turns: {} moves",
            c.moves.len()
        );
        assert!(
            late.len() * 2 <= early.len() || late.is_empty(),
            "{half}: {early:?} then {late:?}"
        );
    }
}

#[test]
fn a_surge_that_comes_and_goes_does_not_place_and_release_each_time() {
    let mut c = Cluster::new();
    c.turns(600, |i| if (i / 8) % 2 == 0 { 60.0 } else { 25.0 });
    assert!(c.most_standbys > 0);
    let placed = c.state.tally.preallocations;
    assert!(
        placed <= 4,
        "{placed} placements for one wave that comes every eight seconds"
    );
    assert!(c.moves.len() <= 12, "{:?}", c.moves);
}

#[test]
fn a_pool_lets_those_go_that_it_does_not_need_while_the_others_serve() {
    let mut c = Cluster::new();
    c.turns(20, |_| 30.0);
    c.turns(120, |i| 30.0 + (i as f64 * 2.0).min(80.0));
    let (copies, jobs) = (c.target().instances.len(), c.standbys());
    assert!(jobs > 1, "{jobs} standbys");
    // The primaries alone would not do, one standby beside them does.
    let moved = c.moves.len();
    c.turns(160, |_| 58.0);
    assert!(c.standbys() < jobs, "{} of {jobs} standbys", c.standbys());
    let left = c.target().instances.len();
    assert!((3..copies).contains(&left), "{left} of {copies} instances");
    assert!(c.moves.len() - moved <= 4, "{:?}", c.moves);
    let shares = c.target().shares();
    assert!(shares.values().all(|s| *s > Share::NONE), "{shares:?}");
    let quiet = c.moves.len();
    c.turns(100, |_| 58.0);
    assert_eq!(c.moves.len(), quiet, "and then nothing more is moved");
}

proptest! {
    // Each case is a run of some hundred turns.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn whatever_fails_and_comes_back_it_ends_as_it_began(
        peak in 20.0..110.0f64,
        faults in prop::collection::vec((0i64..120, 0usize..12, 4i64..80), 0..4),
    ) {
        let mut c = Cluster::new();
        let names: Vec<String> = crate::worlds::nodes().into_iter().map(|n| n.name.to_string()).collect();
        for i in 0..220i64 {
            for (at, node, length) in &faults {
                if i == *at {
                    c.node(&names[*node], NodeStatus::Down);
                } else if i == at + length {
                    c.node(&names[*node], NodeStatus::Ready);
                }
            }
            c.turn(if (40..140).contains(&i) { peak } else { 20.0 });
        }
        c.turns(260, |_| 20.0);
        c.at_rest();
    }
}
