//! The engine's own cycle over the simulated world: as its shell does it, but in virtual time.

use super::day::WARM_UP;
use crate::engine::cycle::turn;
use crate::engine::picture;
use crate::engine::view::{Mode, Tally, View};
use crate::engine::{State, Workload, absorb, clock, recover};
use crate::guard::{Cleared, Hands, Lease};
use crate::model::*;
use crate::sandbox::simulated::{Books, Simulated, SimulatedEyes, SimulatedHands};
use futures::FutureExt;
use futures::task::noop_waker_ref;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

/// A cycle so often, and besides whenever something falls.
pub const EVERY: Span = Span::secs(10);
/// So much of the past is remembered.
const MEMORY: i64 = 28;

type Shared = Arc<Mutex<Simulated>>;

/// A running scheduler, and the clock it is moved by.
pub struct Steersman {
    world: Shared,
    eyes: SimulatedEyes,
    hands: Arc<SimulatedHands>,
    pub state: State,
    /// A cycle so often.
    pub every: Span,
    /// Whether each cycle is noted for faces to look back at.
    pub noted: bool,
    /// What faces may know after the last cycle that was noted.
    view: View,
    pending: Vec<Later<'static, Outcome>>,
    lease: Option<Arc<Lease>>,
    dice: clock::Dice,
    next: Moment,
    tolerance: f64,
    /// The last line of the engine's log that was handed on to ours.
    told: u64,
    /// When it stopped turning.
    still: Option<(Moment, bool)>,
    pub cycles: u64,
}

/// Warms up, opens the books, plays the stretch.
pub fn play(
    world: &Shared,
    trace: &Series,
    (from, until): (Moment, Moment),
    seed: u64,
) -> (Books, Tally, u64) {
    let mut steersman = Steersman::new(world.clone(), trace, from - WARM_UP, seed);
    steersman.until(from);
    lock(world).open_books();
    let before = steersman.state.tally.clone();
    let cycles = steersman.cycles;
    steersman.until(until);
    let mut tally = steersman.state.tally.clone();
    tally.switchovers -= before.switchovers;
    tally.failbacks -= before.failbacks;
    tally.shadows -= before.shadows;
    tally.preallocations -= before.preallocations;
    let books = lock(world).books().clone();
    (books, tally, steersman.cycles - cycles)
}

pub fn lock(world: &Shared) -> MutexGuard<'_, Simulated> {
    // A world whose thread was lost in the midst of an event is still the only one there is.
    world
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Steersman {
    /// `trace` up to `from` is what is remembered.
    pub fn new(world: Shared, trace: &Series, from: Moment, seed: u64) -> Steersman {
        let policy = lock(&world).spec().policy.clone();
        let state = State {
            mode: Mode::Act,
            forecasting: true,
            history: history(&lock(&world), trace, from),
            workloads: vec![Workload {
                policy: policy.clone(),
                ..Workload::default()
            }],
            ..State::default()
        };
        Steersman {
            eyes: SimulatedEyes {
                world: world.clone(),
            },
            hands: Arc::new(SimulatedHands {
                world: world.clone(),
            }),
            world,
            state,
            every: EVERY,
            noted: false,
            view: View::default(),
            pending: Vec::new(),
            lease: None,
            dice: clock::dice(seed),
            next: from,
            tolerance: policy.risk_tolerance,
            told: 0,
            still: None,
            cycles: 0,
        }
    }

    /// Lets time pass and turns whenever a turn is due.
    pub fn until(&mut self, end: Moment) {
        loop {
            let (now, woken, crashed, paused) = {
                let mut world = lock(&self.world);
                let now = world.pass(self.next.min(end));
                (now, world.woken(), world.crashed(), world.paused())
            };
            if crashed || paused {
                self.still.get_or_insert((now, crashed));
                if crashed {
                    self.pending.clear();
                }
            } else {
                if let Some((since, crashed)) = self.still.take() {
                    self.begin_again(since, now, crashed);
                }
                self.hear();
                if woken || now >= self.next {
                    self.turn(now);
                }
            }
            if now >= self.next {
                self.next = now + self.every;
            }
            if now >= end {
                return;
            }
        }
    }

    /// What faces may know after the last cycle that was noted.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Outcomes that have come.
    fn hear(&mut self) {
        let mut context = Context::from_waker(noop_waker_ref());
        let state = &mut self.state;
        self.pending.retain_mut(
            |work: &mut Pin<Box<_>>| match work.as_mut().poll(&mut context) {
                Poll::Ready(outcome) => {
                    absorb(state, outcome);
                    false
                }
                Poll::Pending => true,
            },
        );
    }

    /// One cycle at the time of the scheduler's own clock.
    fn turn(&mut self, now: Moment) {
        let skew = lock(&self.world).skew();
        let local = now + skew;
        let lead = lock(&self.world).lead();
        let held = self
            .lease
            .take()
            .filter(|l| lead.is_some_and(|(epoch, _)| epoch == l.epoch()));
        // The lease is the scheduler's own: its end is told by its own clock.
        self.lease = match (lead, held) {
            (Some((epoch, until)), _) => Some(Arc::new(Lease::new(epoch, until + skew))),
            (None, held) => held,
        };
        self.cycle(local);
    }

    fn cycle(&mut self, local: Moment) {
        let Some(mut world) = self.eyes.look(local).now_or_never() else {
            return;
        };
        let edited = lock(&self.world).edited();
        for workload in &mut self.state.workloads {
            workload.policy.risk_tolerance = edited.unwrap_or(self.tolerance);
        }
        let lease = self.lease.clone().filter(|l| l.left(local).is_some());
        self.state.epoch = lease.as_ref().map(|l| l.epoch());
        if let Some(epoch) = self.state.epoch {
            world.leadership = Seen::known(Leadership::Ours { epoch }, local);
        }
        let state = std::mem::take(&mut self.state);
        let (state, steps, counted) = turn(state, &world, local, &mut self.dice);
        self.state = state;
        self.state.memos.clear();
        for line in self
            .state
            .log
            .iter()
            .rev()
            .take_while(|l| l.seq > self.told)
        {
            tracing::debug!(at = line.at.0, seq = line.seq, "{}", line.text);
        }
        self.told = self.state.seq;
        self.cycles += 1;
        if let Some(lease) = lease {
            steps
                .into_iter()
                .for_each(|step| self.hand_on(step, lease.clone()));
        }
        self.hear();
        match self.noted {
            true => self.view = picture::paint(&mut self.state, &world, counted, local),
            false => self.state.census = counted.census,
        }
    }

    fn hand_on(&mut self, step: Cleared<Step>, lease: Arc<Lease>) {
        let hands = self.hands.clone();
        self.pending
            .push(Box::pin(async move { hands.apply(step, &lease).await }));
    }

    /// After it stood still, or was started anew from what the store holds.
    fn begin_again(&mut self, since: Moment, now: Moment, crashed: bool) {
        if !crashed {
            // Frozen between its look at the clock and its writes, it goes on as if nothing had been: another one led meanwhile.
            lock(&self.world).lose();
            self.cycle(since);
            return;
        }
        lock(&self.world).lose();
        self.lease = None;
        let before = std::mem::take(&mut self.state);
        let policies = before.workloads.into_iter().map(|w| w.policy);
        self.state = State {
            mode: Mode::Act,
            forecasting: true,
            history: before.history,
            beliefs: before.beliefs,
            tally: before.tally,
            recall: before.recall.kept(),
            few: before.few,
            workloads: policies
                .map(|policy| Workload {
                    policy,
                    ..Workload::default()
                })
                .collect(),
            ..State::default()
        };
        let open = lock(&self.world).open_steps();
        if let Some(world) = self.eyes.look(now).now_or_never() {
            for entry in recover::recover(&open, &world, now) {
                lock(&self.world).journal(entry);
            }
        }
    }
}

/// Demand of every portion as the store would hold it: the trace, as often as a request of it comes there.
fn history(world: &Simulated, trace: &Series, until: Moment) -> History {
    let spec = world.spec();
    let all = (until.since(trace.start).0 / trace.step.0.max(1)).max(0) as usize;
    let all = all.min(trace.values.len());
    let day = (86_400_000 / trace.step.0.max(1)).max(1);
    let skip = all.saturating_sub((day * MEMORY) as usize);
    let parts = spec.parts.iter().filter(|_| all > skip);
    let series = parts.map(|p| {
        let values = trace.values[skip..all].iter().map(|v| v * p.times);
        let series = Series {
            start: trace.start + trace.step.times(skip as i64),
            step: trace.step,
            values: values.collect(),
        };
        (p.id.clone(), series)
    });
    History {
        demand: series.collect(),
        availability: Vec::new(),
        watched_since: trace.start,
    }
}
