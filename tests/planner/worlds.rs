//! Random worlds: some portions with some instances, some of them well, some parts unseen.

use crate::common::{self, NOW};
use crate::estate::shop;
use foreshadow::engine::{State, Workload};
use foreshadow::forecast::scenarios::{MOST, Shock, scenarios};
use foreshadow::model::*;
use foreshadow::planner::{self, Book, Portion, Scene, derive, risk, shares};
use proptest::prelude::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub const PORTIONS: [&str; 3] = ["web", "cart", "pricing"];
const SITES: [&str; 4] = ["edge-a", "edge-b", "provider-a", "provider-b"];
const GATEWAYS: [&str; 2] = ["edge-a", "edge-b"];

#[derive(Clone, Debug)]
pub struct One {
    pub standby: bool,
    /// Of twelve nodes.
    pub node: usize,
    /// What each gateway says of it: no entry, failing, passing.
    pub heard: [Option<bool>; 2],
    /// Its part of the shares in the target in force.
    pub part: u32,
}

#[derive(Clone, Debug)]
pub struct Load {
    pub instances: Vec<One>,
    pub target: bool,
    pub rate: f64,
    pub success: f64,
    pub latency: f64,
    pub samples: u64,
    /// What one instance was measured to carry.
    pub knee: Option<f64>,
}

#[derive(Clone, Debug)]
pub struct Spec {
    pub portions: Vec<Load>,
    pub down: BTreeSet<usize>,
    pub tolerance: f64,
    pub spent: bool,
    /// Demand at the 0.99 level in the outlook, as a multiple of now.
    pub growth: f64,
    /// A node (of twelve) or site (of four), and the probability that it fails.
    pub hazards: Vec<(usize, bool, f64)>,
    /// Instances (by number) whose check changes before each later turn.
    pub flips: Vec<Vec<u8>>,
}

fn one() -> impl Strategy<Value = One> {
    let says = prop_oneof![1 => Just(None), 1 => Just(Some(false)), 6 => Just(Some(true))];
    (any::<bool>(), 0usize..12, [says.clone(), says], 0u32..4).prop_map(
        |(standby, node, heard, part)| One {
            standby,
            node,
            heard,
            part,
        },
    )
}

fn some() -> impl Strategy<Value = Load> {
    let load = (
        0.0..120.0f64,
        prop_oneof![Just(1.0), 0.9..1.0f64],
        10.0..400.0f64,
        0u64..200,
    );
    let knee = prop::option::weighted(0.8, 5.0..60.0f64);
    (
        prop::collection::vec(one(), 1..6),
        prop::bool::weighted(0.9),
        load,
        knee,
    )
        .prop_map(
            |(instances, target, (rate, success, latency, samples), knee)| Load {
                instances,
                target,
                rate,
                success,
                latency,
                samples,
                knee,
            },
        )
}

pub fn spec() -> impl Strategy<Value = Spec> {
    let down = prop::collection::btree_set(0usize..12, 0..4);
    let hazards = prop::collection::vec((0usize..12, any::<bool>(), 0.0..1.0f64), 0..4);
    let flips = prop::collection::vec(prop::collection::vec(0u8..18, 0..3), 6);
    (
        prop::collection::vec(some(), 1..=3),
        down,
        0.0..=1.0f64,
        any::<bool>(),
        1.0..4.0f64,
        hazards,
        flips,
    )
        .prop_map(
            |(portions, down, tolerance, spent, growth, hazards, flips)| Spec {
                portions,
                down,
                tolerance,
                spent,
                growth,
                hazards,
                flips,
            },
        )
}

pub fn front(id: &str) -> ServiceName {
    ServiceName::new(format!("shop-{id}"))
}

/// Instances are numbered over all portions, from 1.
fn number(portion: usize, i: usize) -> u8 {
    (portion * 6 + i + 1) as u8
}

impl Spec {
    fn named(&self) -> impl Iterator<Item = (usize, &'static str, &Load)> {
        self.portions
            .iter()
            .enumerate()
            .map(|(k, p)| (k, PORTIONS[k], p))
    }

    pub fn policy(&self) -> Policy {
        let mut policy = common::policy();
        let model = policy.portions.remove(0);
        policy.portions = self
            .named()
            .map(|(_, id, _)| PortionPolicy {
                id: id.into(),
                groups: vec![id.into()],
                front: Some(front(id)),
                ..model.clone()
            })
            .collect();
        policy.risk_tolerance = self.tolerance;
        policy.budget.max_standbys = 12;
        policy.ramp.steps = [1, 5, 25, 50, 100].map(Share::percent).to_vec();
        policy
    }

    pub fn portions(&self) -> Vec<Portion> {
        planner::portions(&shop(), Some(&self.policy()))
    }

    pub fn book(&self) -> Book {
        let mut book = Book::default();
        book.spent.season = NOW.0 / common::policy().season.0;
        book.spent.at = NOW;
        book.spent.standby = CoreHours(if self.spent { 100.0 } else { 0.0 });
        book
    }

    pub fn beliefs(&self) -> Beliefs {
        let profiles = self.named().filter_map(|(_, id, p)| Some((id, p.knee?)));
        let keyed = |(id, knee): (&str, f64)| {
            let mut profile = common::profile("edge-a", "small", knee);
            profile.key.portion = id.into();
            profile.key.release = derive::release(&shop(), &[id.into()]);
            profile
        };
        Beliefs {
            profiles: profiles.map(keyed).collect(),
            ..Beliefs::default()
        }
    }

    pub fn state(&self) -> State {
        State {
            workloads: vec![Workload {
                policy: self.policy(),
                book: self.book(),
                ..Workload::default()
            }],
            beliefs: self.beliefs(),
            ..common::state()
        }
    }

    pub fn outlook(&self) -> Outlook {
        let path = |p: &Load| DemandPath {
            model: "by hand".into(),
            step: Span::secs(1),
            points: (0..30)
                .map(|s| DemandPoint {
                    at: NOW + Span::secs(s),
                    mean: Rps(p.rate),
                    quantiles: LEVELS.map(|l| Rps(p.rate * (1.0 + (self.growth - 1.0) * l / 0.99))),
                })
                .collect(),
            ..DemandPath::default()
        };
        let hazard = |(n, whole, p): &(usize, bool, f64)| Hazard {
            domain: if *whole {
                Domain::Site(SITES[n % 4].into())
            } else {
                Domain::Node(nodes()[*n].id.clone())
            },
            name: format!("domain {n}"),
            per_hour: 1.0,
            within: Probability(*p),
            repair: Span::secs(60),
            why: String::new(),
        };
        let hazards: Vec<Hazard> = self.hazards.iter().map(hazard).collect();
        let shocks: Vec<Shock> = hazards
            .iter()
            .map(|h| Shock {
                domain: h.domain.clone(),
                probability: h.within.0,
                part: 0.1,
            })
            .collect();
        Outlook {
            at: NOW,
            horizon: Span::secs(30),
            demand: self
                .named()
                .map(|(_, id, p)| (id.into(), path(p)))
                .collect(),
            scenarios: Shared::new(scenarios(&shocks, [1.0, 1.1, 1.2, 1.3], MOST)),
            hazards: hazards.into_iter().map(Arc::new).collect(),
            ..Outlook::default()
        }
    }

    pub fn world(&self) -> World {
        let mut world = common::world();
        let mut all = nodes();
        self.down
            .iter()
            .for_each(|n| all[*n].status = NodeStatus::Down);
        let mut job = shop();
        let mut jobs = BTreeMap::new();
        let mut allocs = Vec::new();
        world.fronts.clear();
        world.traffic.clear();
        for (k, id, p) in self.named() {
            let primaries = p.instances.iter().filter(|i| !i.standby).count();
            job.edit()["TaskGroups"][k]["Count"] = json!(primaries);
            let mut entries: [Vec<FrontEntry>; 2] = Default::default();
            let mut instances = Vec::new();
            let parts: Vec<(AllocId, f64)> = p
                .instances
                .iter()
                .enumerate()
                .map(|(i, one)| (common::alloc_id(number(k, i)), f64::from(one.part)))
                .collect();
            let shares = shares::exact(&parts);
            for (i, one) in p.instances.iter().enumerate() {
                let n = number(k, i);
                let node = &all[one.node];
                let owner = if one.standby {
                    format!("foreshadow-standby-{id}-{n}")
                } else {
                    "shop".to_string()
                };
                if one.standby {
                    jobs.insert(JobId::new(owner.as_str()), standby_job(&owner, id));
                }
                let mut alloc = common::alloc(n, &owner, "edge-a", 1);
                alloc.group = id.into();
                alloc.node = node.id.clone();
                allocs.push(alloc);
                for (g, heard) in one.heard.iter().enumerate() {
                    entries[g].extend(heard.map(|passing| common::entry(n, passing)));
                }
                let mut instance = common::instance(n, "edge-a", 1, 0);
                instance.node = node.id.clone();
                instance.site = node.site.clone();
                instance.share = shares.get(&instance.alloc).copied().unwrap_or_default();
                instances.push(instance);
            }
            let target = Target {
                service: front(id),
                ..common::target(instances)
            };
            let target = (p.target && !shares.is_empty()).then_some(target);
            let seen = GATEWAYS
                .iter()
                .zip(entries)
                .map(|(g, e)| (GatewayId::from(*g), Seen::known(e.into(), NOW)));
            let front_seen = Front {
                target: Some(Seen::known(target, NOW)),
                entries: seen.collect(),
                ..Front::default()
            };
            world.fronts.insert(front(id), front_seen);
            let traffic = Traffic {
                rate: Rps(p.rate),
                success: p.success,
                samples: p.samples,
                p50: Millis(5.0),
                p99: Millis(p.latency),
                at_slo: Millis(p.latency),
            };
            world.traffic.insert(id.into(), Seen::known(traffic, NOW));
        }
        jobs.insert("shop".into(), job);
        world.nodes = Seen::known(all.into(), NOW);
        world.allocs = Seen::known(allocs.into(), NOW);
        world.jobs = Seen::known(jobs, NOW);
        world
    }

    /// One pass of the planner alone, with forecasting on.
    pub fn plan(&self, world: &World, book: &mut Book, tolerance: f64) -> Plan {
        let (policy, portions, beliefs, outlook) = (
            self.policy(),
            self.portions(),
            self.beliefs(),
            self.outlook(),
        );
        let appetite = risk::appetite(tolerance, policy.season);
        let known = common::known(&beliefs, world, &portions, &appetite);
        let scene = Scene {
            now: world.at,
            world,
            census: &planner::Census::of(world, [&policy]),
            outlook: &outlook,
            policy: &policy,
            portions: &portions,
            beliefs: &beliefs,
            known: &known,
            appetite,
            history: &Default::default(),
            forecasting: true,
            plan: "p".into(),
            parent: None,
            epoch: Epoch(5),
            seed: 7,
            inflight: book.inflight.values().cloned().collect(),
        };
        planner::plan(&scene, book).0
    }
}

pub fn nodes() -> Vec<Node> {
    SITES
        .iter()
        .flat_map(|s| (1..=3).map(move |n| common::node(s, n)))
        .collect()
}

fn standby_job(id: &str, portion: &str) -> JobSpec {
    let mut job = shop();
    let release = derive::release(&job, &[portion.into()]);
    job.edit()["ID"] = json!(id);
    job.edit()["Meta"] =
        json!({"foreshadow_standby": portion, "foreshadow_release": release.as_str()});
    job
}

/// Whether the instance may be given traffic: it runs on a ready node, some gateway has it, and all that have it see it passing.
pub fn ready(world: &World, service: &ServiceName, alloc: &AllocId) -> bool {
    let lives = world.alloc(alloc).is_some_and(|a| {
        a.holds()
            && world
                .node(&a.node)
                .is_some_and(|n| n.status == NodeStatus::Ready)
    });
    let heard: Vec<bool> = world.fronts[service]
        .entries
        .values()
        .filter_map(Seen::value)
        .flatten()
        .filter(|e| &e.instance == alloc && e.agent_alive)
        .map(|e| e.passing)
        .collect();
    lives && !heard.is_empty() && heard.iter().all(|p| *p)
}
