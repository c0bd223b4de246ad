//! Two leaders, one ramp, and everything that may come between: every order of events up to a stated number of them.
//!
//! What is the product's is real: the guard that clears a step, the lease, the rule by which a gateway takes a target, and the
//! recovery from an open journal, a leader's own or what earlier ones left in Consul. What is Consul's is played by its promises: one holder of a lock, `check-session` and `cas`
//! in one transaction, an index that only grows. Answers get lost, transactions arrive twice or long after their sender died,
//! gateways read what is no longer so, leaders crash, or sleep past their session and go on.

mod common;

use common::*;
use foreshadow::act::entries::newer;
use foreshadow::engine::{inherited, recover};
use foreshadow::guard::{Facts, clear};
use foreshadow::model::*;
use std::collections::{BTreeMap, HashSet};

/// Events in a row.
const DEPTH: usize = 10;
const RAMP: [u32; 3] = [0, 5_000, 10_000];
const MAX_STEP: Share = Share(5_000);

/// Part of the new side in the target, under whose epoch, at which index, by which plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Written {
    epoch: u64,
    index: u64,
    share: u32,
    plan: u16,
}

/// A transaction: only while this session of this leader holds the lock, and only over this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Txn {
    from: usize,
    session: u8,
    over: u64,
    written: Written,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Leader {
    up: bool,
    /// Epoch and session, as far as it knows.
    lease: Option<(u64, u8)>,
    pending: Option<Txn>,
    journal: Vec<(Txn, JournalMark)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum JournalMark {
    Intended,
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Estate {
    /// Who holds the lock, and each leader's session.
    holder: Option<usize>,
    sessions: [u8; 2],
    lock_index: u64,
    index: u64,
    plans: u16,
    history: Vec<Written>,
    standby_is_ready: bool,
    leaders: [Leader; 2],
    wire: Vec<Txn>,
    /// Steps that are open in Consul's journal, and plans that a new leader settled as undone.
    shared: Vec<Txn>,
    undone: Vec<u16>,
    /// What the gateway applied last.
    applied: Option<Written>,
    /// How many more faults of each kind there may be.
    crashes: u8,
    expiries: u8,
    duplicates: u8,
    flips: u8,
    losses: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Acquire(usize),
    /// The leader slept past its TTL, and does not know.
    Expire(usize),
    /// Its own clock tells that the lease has ended.
    LeaseEnds(usize),
    /// Look, clear a step, and write it into both journals. What happens before it is sent makes what was seen stale. When
    /// Consul's answer is lost, the step is not taken, and stays open there.
    Intend {
        by: usize,
        heard: bool,
    },
    Send(usize),
    /// A transaction arrives, and its answer comes back or is lost; or it arrives, and will once more.
    Arrive {
        at: usize,
        answered: bool,
        again: bool,
    },
    Crash(usize),
    Restart(usize),
    /// The gateway reads the newest target, or a stale one.
    Read {
        stale: bool,
    },
    Flip,
}

impl Estate {
    fn start() -> Self {
        let leader = Leader {
            up: true,
            lease: None,
            pending: None,
            journal: vec![],
        };
        Self {
            holder: None,
            sessions: [1, 1],
            lock_index: 0,
            index: 100,
            plans: 0,
            history: vec![Written {
                epoch: 0,
                index: 100,
                share: 0,
                plan: 0,
            }],
            standby_is_ready: true,
            leaders: [leader.clone(), leader],
            wire: vec![],
            shared: vec![],
            undone: vec![],
            applied: None,
            crashes: 1,
            expiries: 2,
            duplicates: 1,
            flips: 1,
            losses: 1,
        }
    }

    fn now(&self) -> Written {
        self.history[self.history.len() - 1]
    }

    fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (l, leader) in self.leaders.iter().enumerate() {
            if !leader.up {
                events.push(Event::Restart(l));
                continue;
            }
            if self.holder.is_none() {
                events.push(Event::Acquire(l));
            }
            if self.holder == Some(l) && self.expiries > 0 {
                events.push(Event::Expire(l));
            }
            if leader.lease.is_some() {
                events.push(Event::LeaseEnds(l));
            }
            if leader.pending.is_none() {
                let heard = [true, false].into_iter().take(1 + usize::from(self.losses));
                events.extend(heard.map(|heard| Event::Intend { by: l, heard }));
            } else if !self.wire.iter().any(|t| Some(*t) == leader.pending) {
                events.push(Event::Send(l));
            }
            if self.crashes > 0 {
                events.push(Event::Crash(l));
            }
        }
        for at in 0..self.wire.len() {
            for answered in [true, false] {
                events.push(Event::Arrive {
                    at,
                    answered,
                    again: false,
                });
            }
            if self.duplicates > 0 {
                events.push(Event::Arrive {
                    at,
                    answered: true,
                    again: true,
                });
            }
        }
        events.extend([false, true].map(|stale| Event::Read { stale }));
        if self.flips > 0 {
            events.push(Event::Flip);
        }
        events
    }

    /// What comes of an event; nothing where it changes nothing.
    fn after(&self, event: Event) -> Option<Self> {
        let mut next = self.clone();
        match event {
            Event::Acquire(l) => {
                next.lock_index += 1;
                next.holder = Some(l);
                next.leaders[l].lease = Some((next.lock_index, next.sessions[l]));
                next.inherit();
            }
            Event::Expire(l) => {
                next.expiries -= 1;
                next.lose_lock(l);
            }
            Event::LeaseEnds(l) => {
                next.leaders[l].lease = None;
                if next.holder == Some(l) {
                    next.lose_lock(l);
                }
            }
            Event::Intend { by, heard } => next.intend(by, heard)?,
            Event::Send(l) => {
                let txn = next.leaders[l].pending?;
                next.wire.push(txn);
            }
            Event::Arrive {
                at,
                answered,
                again,
            } => next.arrive(at, answered, again),
            Event::Crash(l) => {
                next.crashes -= 1;
                let journal = std::mem::take(&mut next.leaders[l].journal);
                next.leaders[l] = Leader {
                    up: false,
                    lease: None,
                    pending: None,
                    journal,
                };
            }
            Event::Restart(l) => next.restart(l),
            Event::Read { stale } => {
                let back = if stale { 2 } else { 1 };
                let read = *self.history.get(self.history.len().checked_sub(back)?)?;
                next.read(read);
            }
            Event::Flip => {
                next.flips -= 1;
                next.standby_is_ready = !next.standby_is_ready;
            }
        }
        (next != *self).then_some(next)
    }

    /// The session is gone; whoever held it may believe otherwise.
    fn lose_lock(&mut self, l: usize) {
        self.holder = None;
        self.sessions[l] += 1;
    }

    /// What earlier leaders left open is settled by the first look under the lock.
    fn inherit(&mut self) {
        let world = world_of(self.now(), self.standby_is_ready);
        for txn in std::mem::take(&mut self.shared) {
            assert!(txn.written.epoch < self.lock_index, "law 8: {txn:?}");
            let closed = inherited(&[open(txn)], &world, NOW, NOW);
            if self.judge_settled(txn, &closed) == JournalState::Undone {
                self.undone.push(txn.written.plan);
            }
        }
    }

    fn holds(&self, l: usize, session: u8) -> bool {
        self.holder == Some(l) && self.sessions[l] == session
    }

    /// The next step of the ramp, if the guard lets it pass; journalled before anything else, in Consul only under the lock.
    fn intend(&mut self, l: usize, heard: bool) -> Option<()> {
        let (epoch, session) = self.leaders[l].lease?;
        if !self.holds(l, session) {
            return None;
        }
        let (seen, ready) = (self.now(), self.standby_is_ready);
        let at = RAMP.iter().position(|s| *s == seen.share)?;
        let share = *RAMP.get(at + 1)?;
        self.plans += 1;
        let written = Written {
            epoch,
            index: 0,
            share,
            plan: self.plans,
        };
        let step = step(written, seen);
        let world = world_of(seen, ready);
        let policy = policy();
        let capacity = [1, 3].map(|n| (alloc_id(n), Rps(100.0)));
        let facts = Facts {
            now: NOW,
            acting: true,
            epoch: Some(Epoch(epoch)),
            world: &world,
            policy: &policy,
            capacity: &BTreeMap::from(capacity),
            inflight: &BTreeMap::new(),
            moving: None,
            max_step: MAX_STEP,
            writes_left: 1,
        };
        match clear(step, &facts) {
            Ok(_) => assert!(ready, "a standby that was seen failing was given {share}"),
            Err(held) => {
                assert!(!ready, "held without a reason: {:?}", held.1);
                return None;
            }
        }
        let txn = Txn {
            from: l,
            session,
            over: seen.index,
            written,
        };
        self.shared.push(txn);
        if heard {
            self.leaders[l].pending = Some(txn);
            self.leaders[l].journal.push((txn, JournalMark::Intended));
        } else {
            self.losses -= 1;
            self.leaders[l].journal.push((txn, JournalMark::Closed));
        }
        Some(())
    }

    fn arrive(&mut self, at: usize, answered: bool, again: bool) {
        let txn = self.wire[at];
        if again {
            self.duplicates -= 1;
        } else {
            self.wire.remove(at);
        }
        let before = self.now();
        let held = self.holds(txn.from, txn.session);
        if held && before.index == txn.over {
            self.index += 1;
            self.history.push(Written {
                index: self.index,
                ..txn.written
            });
            self.judge_write(txn, before);
        }
        let leader = &mut self.leaders[txn.from];
        // A lost answer ends the step, too: nobody knows, and the next look tells.
        if leader.pending == Some(txn) && (answered || !again) {
            leader.pending = None;
            // Whoever has lost the lock cannot close it there: it is the next leader's to settle.
            if held {
                self.shared.retain(|open| *open != txn);
            }
            leader.journal.iter_mut().for_each(|(journalled, mark)| {
                if *journalled == txn {
                    *mark = JournalMark::Closed;
                }
            });
        }
    }

    /// The laws, at the moment at which Consul takes a write.
    fn judge_write(&self, txn: Txn, before: Written) {
        let written = self.now();
        assert_eq!(
            written.epoch, self.lock_index,
            "law 8: an old epoch wrote {written:?}"
        );
        assert!(
            written.epoch >= before.epoch,
            "law 8: {written:?} after {before:?}"
        );
        assert!(
            written.plan > before.plan,
            "law 8: {written:?} was planned before {before:?} and came after it"
        );
        assert!(
            !self.undone.contains(&written.plan),
            "law 7: {txn:?} was settled as undone, and is done"
        );
        assert!(
            self.shared.contains(&txn),
            "law 7: {txn:?} is not in Consul's journal"
        );
        let moved = written.share.abs_diff(before.share);
        assert!(moved <= MAX_STEP.0, "law 9: {moved} moved at once");
        let intended = |(journalled, _): &(Txn, JournalMark)| *journalled == txn;
        assert!(
            self.leaders[txn.from].journal.iter().any(intended),
            "law 7: {txn:?} was never journalled"
        );
    }

    /// The journal's open steps are settled by what Consul holds.
    fn restart(&mut self, l: usize) {
        let world = world_of(self.now(), self.standby_is_ready);
        self.leaders[l].up = true;
        for n in 0..self.leaders[l].journal.len() {
            let (txn, mark) = self.leaders[l].journal[n];
            if mark == JournalMark::Intended {
                self.judge_settled(txn, &recover(&[open(txn)], &world, NOW));
                self.leaders[l].journal[n].1 = JournalMark::Closed;
            }
        }
    }

    /// Settled by what Consul holds: how.
    fn judge_settled(&self, txn: Txn, closed: &[JournalEntry]) -> JournalState {
        assert_eq!(
            closed.len(),
            1,
            "law 7: a step stays open though all is seen"
        );
        let state = match self.now().plan == txn.written.plan {
            true => JournalState::Verified,
            false => JournalState::Undone,
        };
        assert_eq!(closed[0].state, state);
        state
    }

    fn read(&mut self, read: Written) {
        let last = self.applied.map(|a| (Epoch(a.epoch), a.index));
        if newer(&target_of(read), last) {
            if let Some(last) = self.applied {
                assert!(
                    read.epoch >= last.epoch && read.index > last.index,
                    "law 8: a gateway went back from {last:?} to {read:?}"
                );
            }
            self.applied = Some(read);
        }
    }

    /// No more faults: whoever is left goes on, and everything must come to the same end.
    fn settle(mut self) {
        self.standby_is_ready = true;
        for l in 0..2 {
            if !self.leaders[l].up {
                self.restart(l);
            }
            self.leaders[l].lease = None;
        }
        while !self.wire.is_empty() {
            self.arrive(0, true, false);
        }
        if let Some(l) = self.holder {
            self.lose_lock(l);
        }
        self = self.after(Event::Acquire(0)).expect("the lock is free");
        // What was intended and never sent dies with the lease under which it was planned.
        for leader in &mut self.leaders {
            leader.pending = None;
            leader
                .journal
                .iter_mut()
                .for_each(|j| j.1 = JournalMark::Closed);
        }
        for _ in RAMP {
            if self.intend(0, true).is_some() {
                let txn = self.leaders[0].pending.expect("just intended");
                self.wire.push(txn);
                self.arrive(0, true, false);
            }
        }
        self.read(self.now());
        assert_eq!(self.now().share, 10_000, "the ramp never ends: {self:?}");
        assert_eq!(self.applied, Some(self.now()));
        let unended = |leader: &Leader| leader.journal.iter().any(|j| j.1 == JournalMark::Intended);
        assert!(
            !self.leaders.iter().any(unended),
            "a step stays open: {self:?}"
        );
        assert!(self.shared.is_empty(), "open in Consul: {self:?}");
    }
}

/// As a journal has a step that was begun.
fn open(txn: Txn) -> JournalEntry {
    let before = Written {
        epoch: 0,
        index: 100,
        share: 0,
        plan: 0,
    };
    JournalEntry {
        step: step(txn.written, before),
        epoch: Epoch(txn.written.epoch),
        state: JournalState::Intended,
        at: NOW,
        note: String::new(),
    }
}

fn target_of(written: Written) -> Target {
    Target {
        epoch: Epoch(written.epoch),
        index: written.index,
        plan: PlanId::new(format!("plan-{}", written.plan)),
        ..target(vec![
            instance(1, "edge-a", 1, Share::ALL.0 - written.share),
            instance(3, "provider-a", 1, written.share),
        ])
    }
}

fn step(written: Written, before: Written) -> Step {
    let target = target_of(written);
    Step {
        id: StepId::new(format!("{}.1", target.plan)),
        plan: target.plan.clone(),
        portion: Some("web".into()),
        cause: Cause::Predicted,
        action: Action::SetTarget {
            target,
            before: Some(target_of(before)),
            planned: true,
        },
        why: "a ramp".into(),
        waits_on: vec![],
    }
}

/// What a leader sees: this target, and the standby ready or not.
fn world_of(written: Written, ready: bool) -> World {
    let mut world = common::world();
    let front = world
        .fronts
        .get_mut(&ServiceName::from("shop-web"))
        .expect("the front of the shop");
    front.target = Some(Seen::known(Some(target_of(written)), NOW));
    front.entries.insert(
        "edge-a".into(),
        Seen::known(vec![entry(1, true), entry(3, ready)].into(), NOW),
    );
    world
}

#[test]
fn every_order_of_two_leaders_and_their_faults_keeps_the_laws_and_ends_alike() {
    let mut seen = HashSet::from([Estate::start()]);
    let mut edge = vec![Estate::start()];
    let mut orders = 0_u64;
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for estate in &edge {
            for event in estate.events() {
                let Some(after) = estate.after(event) else {
                    continue;
                };
                orders += 1;
                if seen.insert(after.clone()) {
                    next.push(after);
                }
            }
        }
        edge = next;
    }
    println!(
        "interleavings: {} states, {orders} events, {DEPTH} deep",
        seen.len()
    );
    assert!(
        seen.iter().any(|e| e.now().share == 10_000),
        "no ramp ever ended"
    );
    assert!(
        seen.iter().any(|e| e
            .history
            .windows(2)
            .any(|w| w[0].epoch > 0 && w[0].epoch < w[1].epoch)),
        "no leader ever went on from another"
    );
    seen.into_iter().for_each(Estate::settle);
}
