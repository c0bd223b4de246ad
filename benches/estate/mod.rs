//! A made-up estate: sites of fifty nodes, workloads of ten portions with ten instances each, and what changes in it.

pub mod child;
pub mod drawn;
pub mod rows;
pub mod served;

use foreshadow::model::*;
use rows::Place;
use serde_json::Value;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Notify, broadcast};

/// Nodes of a site, portions of a workload, instances of a portion.
pub const AT_SITE: usize = 50;
pub const PORTIONS: usize = 10;
pub const INSTANCES: usize = 10;
pub const GATEWAY: &str = "gateway";
/// Sites over which a workload may spread.
const SPREAD: usize = 4;
/// When everything was made, in nanoseconds.
const MADE: i64 = 1_795_506_630_891_808_433;
/// Indices that Nomad and Consul gave away before.
const BEFORE: usize = 1_000_000;

/// How large it is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub nodes: usize,
    pub portions: usize,
}

impl Size {
    pub fn allocs(self) -> usize {
        self.portions * INSTANCES
    }
    pub fn sites(self) -> usize {
        self.nodes.div_ceil(AT_SITE)
    }
    pub fn workloads(self) -> usize {
        self.portions.div_ceil(PORTIONS)
    }
    pub fn site(self, node: usize) -> String {
        format!("site-{}", node / AT_SITE)
    }
    /// Where a workload is at home, and where else it may run.
    pub fn sites_of(self, workload: usize) -> Vec<String> {
        let home = workload * self.sites() / self.workloads();
        let count = SPREAD.min(self.sites());
        let all = (0..count).map(|k| format!("site-{}", (home + k) % self.sites()));
        all.collect()
    }
    pub fn portions_of(self, workload: usize) -> std::ops::Range<usize> {
        workload * PORTIONS..((workload + 1) * PORTIONS).min(self.portions)
    }
    /// Six of ten at home, the others at the next site.
    fn node_of(self, alloc: usize) -> usize {
        let home = alloc / INSTANCES / PORTIONS * self.sites() / self.workloads();
        let site = match alloc % INSTANCES < 6 {
            true => home,
            false => (home + 1) % self.sites(),
        };
        // Primes, so that instances of one portion do not share nodes.
        (site * AT_SITE + alloc * 7 % AT_SITE.min(self.nodes)) % self.nodes
    }
}

pub fn portion(p: usize) -> String {
    format!("web-{p}")
}
pub fn front(p: usize) -> String {
    format!("front-{p}")
}
pub fn job(workload: usize) -> String {
    format!("job-{workload}")
}

struct State {
    /// The last index given away.
    index: usize,
    /// Of the last write to each table.
    nodes_at: usize,
    allocs_at: usize,
    keys_at: usize,
    checks_at: usize,
    /// How often each allocation was replaced, and its own index.
    allocs: Vec<(u32, usize)>,
    node_index: Vec<usize>,
    /// Each front's index, and the instance whose check is critical.
    fronts: Vec<(usize, Option<usize>)>,
}

/// What is served, and what waits for it to change.
pub struct Estate {
    pub size: Size,
    state: Mutex<State>,
    pub events: broadcast::Sender<String>,
    pub front_moved: Vec<Notify>,
    pub keys_moved: Notify,
    pub checks_moved: Notify,
    pub changing: AtomicBool,
}

fn id(alloc: usize, times: u32) -> String {
    format!("{alloc:08x}-{times:04x}-37e0-d058-2490c99bb03b")
}

fn listens(alloc: usize) -> u16 {
    20_000 + (alloc % 10_000) as u16
}

impl Estate {
    pub fn new(size: Size) -> Estate {
        Estate {
            size,
            state: Mutex::new(State {
                index: BEFORE,
                nodes_at: BEFORE,
                allocs_at: BEFORE,
                keys_at: BEFORE,
                checks_at: BEFORE,
                allocs: vec![(0, BEFORE); size.allocs()],
                node_index: vec![BEFORE; size.nodes],
                fronts: vec![(BEFORE, None); size.portions],
            }),
            events: broadcast::channel(10_000).0,
            front_moved: (0..size.portions).map(|_| Notify::new()).collect(),
            keys_moved: Notify::new(),
            checks_moved: Notify::new(),
            changing: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics in it")
    }

    fn row(&self, alloc: usize, of: (u32, usize), desired: &str, status: &str) -> String {
        let p = alloc / INSTANCES;
        let place = Place {
            id: &id(alloc, of.0),
            job: &job(p / PORTIONS),
            group: &portion(p),
            node: self.size.node_of(alloc),
            port: listens(alloc),
            created: MADE,
        };
        rows::alloc(&place, desired, status, of.1)
    }

    pub fn nodes(&self) -> (String, usize) {
        let state = self.lock();
        let all = state.node_index.iter().enumerate();
        let all = all.map(|(n, index)| rows::node(n, &self.size.site(n), "ready", *index));
        (rows::list(all), state.nodes_at)
    }

    pub fn nodes_at(&self) -> usize {
        self.lock().nodes_at
    }

    pub fn node(&self, n: usize) -> String {
        rows::whole_node(n, &self.size.site(n), "ready", self.lock().node_index[n])
    }

    pub fn allocs(&self) -> (String, usize) {
        let (all, at) = {
            let state = self.lock();
            (state.allocs.clone(), state.allocs_at)
        };
        let all = all.into_iter().enumerate();
        let rows = all.map(|(n, of)| self.row(n, of, "run", "running"));
        (rows::list(rows), at)
    }

    pub fn allocs_at(&self) -> usize {
        self.lock().allocs_at
    }

    pub fn job(&self, workload: usize) -> Value {
        let groups = self.size.portions_of(workload).map(portion);
        let groups: Vec<String> = groups.collect();
        rows::job(
            &job(workload),
            &self.size.sites_of(workload),
            &groups,
            INSTANCES,
        )
    }

    /// A front's entries at the gateway's agent, and their index.
    pub fn entries(&self, p: usize) -> (Value, usize) {
        let state = self.lock();
        let (at, critical) = state.fronts[p];
        let entries = (p * INSTANCES..(p + 1) * INSTANCES).map(|n| {
            let status = match critical == Some(n) {
                true => "critical",
                false => "passing",
            };
            rows::entry(
                GATEWAY,
                &front(p),
                &id(n, state.allocs[n].0),
                listens(n),
                status,
            )
        });
        (entries.collect(), at)
    }

    pub fn front_at(&self, p: usize) -> usize {
        self.lock().fronts[p].0
    }
    pub fn checks_at(&self) -> usize {
        self.lock().checks_at
    }
    /// All checks that are critical, and their index.
    pub fn critical(&self) -> (Value, usize) {
        let state = self.lock();
        let fronts = state.fronts.iter().enumerate();
        let critical = fronts.filter_map(|(p, (_, n))| Some((p, (*n)?)));
        let check = |(p, n): (usize, usize)| {
            rows::check(GATEWAY, &front(p), &id(n, state.allocs[n].0), "critical")
        };
        (critical.map(check).collect(), state.checks_at)
    }
    pub fn keys_at(&self) -> usize {
        self.lock().keys_at
    }

    /// What another leader has written: a target for each front.
    pub fn targets(&self) -> (Vec<Target>, usize) {
        let state = self.lock();
        let instance = |n: usize| Instance {
            alloc: AllocId::new(id(n, state.allocs[n].0)),
            address: "127.0.0.1".into(),
            port: listens(n),
            node: NodeId::new(format!(
                "{:08x}-5f60-81e7-d979-62cb8e879a70",
                self.size.node_of(n)
            )),
            site: Site::new(self.size.site(self.size.node_of(n))),
            health: "/health".into(),
            share: Share(Share::ALL.0 / INSTANCES as u32),
        };
        let target = |p: usize| Target {
            service: ServiceName::new(front(p)),
            plan: PlanId::new("1795506630891-7-job"),
            parent: None,
            epoch: Epoch(7),
            owner: Owner::Front,
            instances: (p * INSTANCES..(p + 1) * INSTANCES).map(instance).collect(),
            contingencies: Vec::new().into(),
            index: 0,
        };
        let all = (0..self.size.portions).map(target).collect();
        (all, state.keys_at)
    }

    /// What the gateway has done about each target.
    pub fn applied(&self, targets: &[Target]) -> Vec<Applied> {
        let state = self.lock();
        let of = |(target, (index, _)): (&Target, &(usize, Option<usize>))| Applied {
            gateway: GatewayId::new(GATEWAY),
            service: target.service.clone(),
            plan: target.plan.clone(),
            epoch: target.epoch,
            index: *index as u64,
            weights: target
                .instances
                .iter()
                .map(|i| (i.alloc.clone(), 100))
                .collect(),
            owner: Owner::Front,
            contingency: None,
            at: Moment(MADE / 1_000_000),
            reaction: None,
            suspected: Vec::new(),
        };
        targets.iter().zip(&state.fronts).map(of).collect()
    }

    /// The `k`th change: of a hundred, one instance fails and is replaced, two checks turn, one node registers anew, and 96
    /// allocations are written again.
    pub fn change(&self, k: usize) {
        let n = k * 7919 % self.size.allocs();
        match k % 100 {
            0 => self.replace(n),
            25 => self.turn(n / INSTANCES, Some(n)),
            75 => self.turn(
                k.wrapping_sub(50) * 7919 % self.size.allocs() / INSTANCES,
                None,
            ),
            50 => self.register(n % self.size.nodes),
            _ => self.write(n),
        }
    }

    fn write(&self, n: usize) {
        let mut state = self.lock();
        state.index += 1;
        state.allocs_at = state.index;
        state.allocs[n].1 = state.index;
        let row = self.row(n, state.allocs[n], "run", "running");
        self.tell("Allocation", "AllocationUpdated", &row, state.index);
    }

    fn replace(&self, n: usize) {
        let mut state = self.lock();
        state.index += 1;
        let gone = self.row(n, (state.allocs[n].0, state.index), "stop", "failed");
        self.tell("Allocation", "AllocationUpdated", &gone, state.index);
        state.index += 1;
        state.allocs[n] = (state.allocs[n].0 + 1, state.index);
        (state.allocs_at, state.keys_at) = (state.index, state.index);
        let new = self.row(n, state.allocs[n], "run", "running");
        self.tell("Allocation", "AllocationUpdated", &new, state.index);
        state.fronts[n / INSTANCES].0 = state.index;
        drop(state);
        self.front_moved[n / INSTANCES].notify_waiters();
        self.keys_moved.notify_waiters();
    }

    fn turn(&self, p: usize, critical: Option<usize>) {
        let mut state = self.lock();
        state.index += 1;
        state.fronts[p] = (state.index, critical);
        state.checks_at = state.index;
        drop(state);
        self.front_moved[p].notify_waiters();
        self.checks_moved.notify_waiters();
    }

    fn register(&self, n: usize) {
        let mut state = self.lock();
        state.index += 1;
        state.nodes_at = state.index;
        state.node_index[n] = state.index;
        let row = rows::whole_node(n, &self.size.site(n), "ready", state.index);
        self.tell("Node", "NodeRegistration", &row, state.index);
    }

    fn tell(&self, topic: &str, kind: &str, row: &str, index: usize) {
        // Without a listener nobody is told.
        let _ = self.events.send(rows::event(topic, kind, row, index));
    }

    pub fn changes(&self) -> bool {
        self.changing.load(Ordering::Relaxed)
    }
}
