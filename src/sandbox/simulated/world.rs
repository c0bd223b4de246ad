//! The world itself: what exists, what is due, and the passing of time.

use super::books::Books;
use super::checks::Broken;
use super::faults::Fault;
use super::gateways::{Front, Gateway, Keeping};
use super::hands::Open;
use super::spec::Spec;
use crate::model::*;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// The lock's session ends so long after its holder was last heard.
pub const TTL: Span = Span::secs(15);
/// No batch is longer than this, however little happens.
const LONGEST: i64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Primary,
    Standby,
    Shadow,
}

/// One allocation and its process.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub id: AllocId,
    pub part: usize,
    pub job: JobId,
    pub kind: Kind,
    pub node: usize,
    pub created: Moment,
    /// The process answers (if its node stands).
    pub up: bool,
    pub answered_at: Option<Moment>,
    pub dead: bool,
    /// It was told to stop.
    pub leaving: bool,
    /// Nomad has given it up, rightly or not.
    pub given_up: bool,
    pub needs: Resources,
    pub port: u16,
    pub backlog: f64,
    /// Requests a second in the last batch.
    pub carries: f64,
}

impl Unit {
    /// Whether it holds resources in Nomad's books.
    pub fn holds(&self) -> bool {
        !self.dead && !self.leaving && !self.given_up
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// The process of a unit answers from now on.
    Up(u64),
    /// A unit that was told to stop is gone.
    Gone(u64),
    /// Nomad looks at a node's heartbeats.
    Heartbeat(usize),
    /// Nomad evaluates a portion.
    Evaluate(usize),
    /// A gateway's check of a unit is due.
    Check(usize, usize, u64),
    /// Clients of a gateway ask anew for a portion.
    Resolve(usize, usize),
    /// Nobody may have failed for a while at a gateway that applied a portion's contingency.
    Calm(usize, usize),
    /// A gateway hears that a portion's target has changed.
    Hear(usize, usize),
    Effect(u64),
    Answer(u64),
    Begin(usize),
    End(usize),
}

/// What a world is made from.
pub struct Setup {
    pub spec: Spec,
    /// Requests a second of the trace, already scaled, on a regular grid.
    pub trace: Series,
    pub from: Moment,
    pub faults: Vec<Fault>,
    pub seed: u64,
    /// Nobody keeps fronts: clients are given every primary that passes its check, all alike.
    pub plain: bool,
    pub keeping: Keeping,
}

pub struct World {
    pub(super) spec: Spec,
    pub(super) trace: Series,
    pub(super) now: Moment,
    pub(super) dice: Xoshiro256PlusPlus,
    pub(super) plain: bool,
    pub(super) keeping: Keeping,
    pub(super) units: BTreeMap<u64, Unit>,
    pub(super) serial: u64,
    /// Nodes as Nomad has them.
    pub(super) nodes: Table<Node>,
    /// The machines stand.
    pub(super) stands: Vec<bool>,
    /// Part of what the books say that a machine gives.
    pub(super) speed: Vec<f64>,
    pub(super) cut: BTreeSet<Site>,
    pub(super) allocs: Table<Alloc>,
    pub(super) jobs: BTreeMap<JobId, JobSpec>,
    /// Primaries wanted of each portion.
    pub(super) wanted: Vec<u64>,
    pub(super) blocked: BTreeSet<usize>,
    /// Jobs of foreshadow's own, and where they are bound to.
    pub(super) bound: BTreeMap<JobId, super::nomad::Bound>,
    /// Units that take the place of others once they are up.
    pub(super) successors: BTreeMap<u64, u64>,
    /// Units of an old release that are still to be replaced.
    pub(super) old: BTreeSet<u64>,
    pub(super) releases: u64,
    /// Nodes where nothing new is to be placed by whoever knows better.
    pub(super) shunned: BTreeSet<usize>,
    pub(super) gateways: Vec<Gateway>,
    pub(super) targets: Vec<Option<Target>>,
    pub(super) index: u64,
    pub(super) epoch: Epoch,
    /// Until when the lock's session lives.
    pub(super) session: Option<Moment>,
    /// `foreshadow/hold` is set.
    pub(super) held: bool,
    pub(super) faults: Vec<Fault>,
    pub(super) active: BTreeSet<usize>,
    pub(super) open: BTreeMap<u64, Open>,
    pub(super) journal: BTreeMap<StepId, JournalEntry>,
    /// Plans whose targets a person wrote.
    pub(super) by_hand: BTreeSet<PlanId>,
    pub(super) broken: Vec<Broken>,
    pub(super) books: Books,
    /// The last reading of each portion's traffic.
    pub(super) readings: Vec<Option<(Traffic, Moment)>>,
    pub(super) past: std::collections::VecDeque<crate::model::World>,
    /// Something was answered or fell: whoever turns should look.
    pub(super) woken: bool,
    pub(super) answered: bool,
    agenda: BTreeMap<(i64, u64), Event>,
    events: u64,
}

/// Shared by eyes, hands and whoever lets time pass.
pub type Shared = Arc<Mutex<World>>;

pub fn share(world: World) -> Shared {
    Arc::new(Mutex::new(world))
}

impl World {
    pub fn new(setup: Setup) -> World {
        let parts = setup.spec.parts.len();
        let gateways = setup.spec.edges.iter().map(|site| Gateway {
            id: GatewayId::new(site.as_str()),
            site: site.clone(),
            fronts: vec![Front::default(); parts],
        });
        let wanted = setup
            .spec
            .parts
            .iter()
            .map(|p| setup.spec.jobs[&p.policy.job].count(&p.group));
        let mut world = World {
            gateways: gateways.collect(),
            wanted: wanted.collect(),
            jobs: setup.spec.jobs.clone(),
            nodes: setup.spec.nodes.clone().into(),
            stands: vec![true; setup.spec.nodes.len()],
            speed: vec![1.0; setup.spec.nodes.len()],
            books: Books::new(&setup.spec),
            readings: vec![None; parts],
            targets: vec![None; parts],
            spec: setup.spec,
            trace: setup.trace,
            now: setup.from,
            dice: Xoshiro256PlusPlus::seed_from_u64(setup.seed),
            plain: setup.plain,
            keeping: setup.keeping,
            units: BTreeMap::new(),
            serial: 0,
            cut: BTreeSet::new(),
            allocs: Table::default(),
            blocked: BTreeSet::new(),
            bound: BTreeMap::new(),
            successors: BTreeMap::new(),
            old: BTreeSet::new(),
            releases: 1,
            shunned: BTreeSet::new(),
            index: 100,
            epoch: Epoch(10),
            session: None,
            held: false,
            faults: setup.faults,
            active: BTreeSet::new(),
            open: BTreeMap::new(),
            journal: BTreeMap::new(),
            by_hand: BTreeSet::new(),
            broken: Vec::new(),
            past: Default::default(),
            woken: false,
            answered: false,
            agenda: BTreeMap::new(),
            events: 0,
        };
        (0..parts).for_each(|part| world.evaluate(part));
        // What is there when the day begins has been there for long.
        let first: Vec<u64> = world.units.keys().copied().collect();
        first.into_iter().for_each(|serial| world.was_there(serial));
        for n in 0..world.faults.len() {
            let (at, lasts) = (world.faults[n].at, world.faults[n].lasts);
            world.at(at, Event::Begin(n));
            world.at(at + lasts, Event::End(n));
        }
        world
    }

    pub fn now(&self) -> Moment {
        self.now
    }
    pub fn spec(&self) -> &Spec {
        &self.spec
    }
    pub fn books(&self) -> &Books {
        &self.books
    }
    pub fn events(&self) -> u64 {
        self.events
    }
    /// Sets or clears `foreshadow/hold`.
    pub fn hold(&mut self, on: bool) {
        self.held = on;
    }
    /// Counts from now on.
    pub fn open_books(&mut self) {
        self.books = Books::new(&self.spec);
    }

    pub(super) fn at(&mut self, at: Moment, event: Event) {
        self.serial += 1;
        self.agenda
            .insert((at.0.max(self.now.0), self.serial), event);
    }
    pub(super) fn after(&mut self, ms: i64, event: Event) {
        self.at(Moment(self.now.0 + ms.max(0)), event);
    }
    /// Milliseconds between two bounds.
    pub(super) fn draw(&mut self, from: i64, to: i64) -> i64 {
        self.dice.random_range(from..=to.max(from))
    }

    /// Lets time pass until then, or until something asks to be looked at; gives the time it is.
    pub fn pass(&mut self, until: Moment) -> Moment {
        self.woken = false;
        self.answered = false;
        while !self.woken && !self.answered {
            let due = self.agenda.first_key_value().map(|(k, _)| k.0);
            let next = due
                .unwrap_or(i64::MAX)
                .min(until.0)
                .min(self.now.0 + LONGEST);
            if next > self.now.0 {
                self.flow((next - self.now.0) as f64 / 1000.0);
                self.now = Moment(next);
            }
            if self
                .agenda
                .first_key_value()
                .is_some_and(|(k, _)| k.0 <= next)
            {
                if let Some((_, event)) = self.agenda.pop_first() {
                    self.events += 1;
                    self.happen(event);
                }
            } else if next >= until.0 {
                break;
            }
        }
        self.now
    }

    /// Whether that was the reason to stop before the time.
    pub fn woken(&self) -> bool {
        self.woken
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Up(serial) => self.up(serial),
            Event::Gone(serial) => self.gone(serial),
            Event::Heartbeat(node) => self.heartbeat(node),
            Event::Evaluate(part) => self.evaluate(part),
            Event::Check(gateway, part, serial) => self.check(gateway, part, serial),
            Event::Resolve(gateway, part) => self.resolve(gateway, part),
            Event::Calm(gateway, part) => self.calm(gateway, part),
            Event::Hear(gateway, part) => self.hear(gateway, part),
            Event::Effect(n) => self.effect(n),
            Event::Answer(n) => self.answer(n),
            Event::Begin(n) => self.begin(n),
            Event::End(n) => self.end(n),
        }
    }

    /// Requests a second that clients send to each portion they call, now.
    pub fn demand(&self, at: Moment) -> f64 {
        rate(&self.trace, at)
    }

    /// The highest of the whole trace.
    pub fn highest(&self) -> f64 {
        self.trace.values.iter().copied().fold(0.0, f64::max)
    }

    /// The highest between two moments.
    pub fn highest_between(&self, from: Moment, until: Moment) -> f64 {
        let step = self.trace.step.0.max(1);
        let turns = (from.since(self.trace.start).0.div_euclid(step) + 1)..;
        let turns = turns
            .map(|k| self.trace.start + Span(k * step))
            .take_while(|at| *at < until);
        let between = turns.map(|at| self.demand(at)).fold(0.0, f64::max);
        self.demand(from).max(self.demand(until)).max(between)
    }

    /// Whether a gateway's site reaches the unit's.
    pub(super) fn reaches(&self, from: &Site, unit: &Unit) -> bool {
        let to = &self.spec.nodes[unit.node].site;
        from == to || !(self.cut.contains(from) || self.cut.contains(to))
    }

    /// The unit answers whoever reaches it.
    pub(super) fn answers(&self, unit: &Unit) -> bool {
        unit.up && !unit.dead && self.stands[unit.node]
    }

    /// The lock as its holder renews it; a new epoch when the session had ended meanwhile. `None` while Consul does not answer.
    pub fn lead(&mut self) -> Option<(Epoch, Moment)> {
        if self.consul_away() {
            let (epoch, until) = (self.epoch, self.session?);
            return (self.now < until).then_some((epoch, until));
        }
        if self.session.is_none_or(|until| self.now >= until) {
            // Somebody else may have held it in between: each taking of the lock has its own index.
            self.epoch = Epoch(self.epoch.0 + 2);
        }
        let until = self.now + TTL;
        self.session = Some(until);
        Some((self.epoch, until))
    }

    /// Another one has taken the lock meanwhile, and let it go.
    pub fn lose(&mut self) {
        self.session = None;
        self.epoch = Epoch(self.epoch.0 + 1);
    }
}

/// The trace at a moment: linear between its readings, what is missing is bridged.
pub fn rate(trace: &Series, at: Moment) -> f64 {
    if trace.values.is_empty() {
        return 0.0;
    }
    let place = (at.since(trace.start).0 as f64 / trace.step.0 as f64).max(0.0);
    let last = trace.values.len() - 1;
    let k = (place as usize).min(last);
    let (a, b) = (trace.values[k], trace.values[(k + 1).min(last)]);
    a + (b - a) * (place - k as f64).min(1.0)
}
