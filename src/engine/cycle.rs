//! One turn of the wheel, as a pure function of what was, what is seen, the time and the dice.

use super::clock::Dice;
use super::state::{State, Workload};
use super::still::{Moved, Still};
use super::view::{LogKind, Mode, View};
use super::{command, foresee, interference, know, notice, picture, pledges, writes};
use crate::guard::{self, Cleared, Facts};
use crate::model::*;
use crate::planner::{self, Census, Scene, instances::Copies, risk};
use rand::Rng;
use std::collections::BTreeMap;

/// Steps that views show at most.
pub(super) const SHOWN: usize = 60;

/// See, foresee, plan, clear. Effects are only *returned*: the shell hands them on.
pub fn cycle(
    state: State,
    world: &World,
    now: Moment,
    dice: &mut Dice,
) -> (State, Vec<Cleared<Step>>, View) {
    let (mut state, cleared, counted) = turn(state, world, now, dice);
    let view = picture::paint(&mut state, world, counted, now);
    (state, cleared, view)
}

/// What a turn counted.
#[derive(Default)]
pub struct Counted {
    pub census: Census,
    /// The instances of each portion.
    pub copies: BTreeMap<PortionId, Copies>,
    /// Of each workload, whether it stayed as it was planned.
    pub still: Vec<bool>,
}

/// The same for whoever shows nobody what was seen.
pub(super) fn turn(
    mut state: State,
    world: &World,
    now: Moment,
    dice: &mut Dice,
) -> (State, Vec<Cleared<Step>>, Counted) {
    state.cycle += 1;
    let moved = Moved::since(&mut state, world, now);
    notice::notice(&mut state, world, &moved, now);
    interference::watch(&mut state, world, now);
    know::know(&mut state, world, now);
    foresee::foresee(&mut state, world, now);
    let policies = state.workloads.iter().map(|w| &w.policy);
    let census = std::mem::take(&mut state.census).renew(world, policies);
    let mut copies = BTreeMap::new();
    state.held.clear();
    let mut workloads = std::mem::take(&mut state.workloads);
    let (mut drafted, mut kept) = (Vec::new(), Vec::new());
    for (k, workload) in workloads.iter_mut().enumerate() {
        let seed = dice.random();
        if let Some(set) = moved.still(workload, (world, &census), now) {
            copies.extend(set.iter().map(|(id, set)| (id.clone(), set.clone())));
            // What observing holds is held again, as far as it is shown.
            let steps = workload.plan.iter().flat_map(|p| &p.steps);
            let shown = SHOWN.saturating_sub(drafted.len());
            drafted.extend(steps.take(shown).map(|s| (k, s.clone())));
            kept.push(true);
            continue;
        }
        let (plan, set) = plan(&state, workload, (world, &census), now, seed);
        announce(&mut state, &plan, now);
        drafted.extend(plan.steps.iter().map(|s| (k, s.clone())));
        workload.plan = Some(plan);
        copies.extend(set);
        kept.push(false);
    }
    let cleared = clear_all(&mut state, &mut workloads, drafted, world, &copies, now);
    let acts = state.mode == Mode::Act && state.epoch.is_some();
    let acts = acts && world.hold.value() == Some(&false);
    let planned = workloads.iter_mut().zip(&kept).filter(|(_, kept)| !**kept);
    for (workload, _) in planned {
        workload.still = Still::of(workload, &copies, (world, &census, acts), now);
    }
    state.workloads = workloads;
    pledges::settle(&mut state, world, &copies, now);
    let counted = Counted {
        census,
        copies,
        still: kept,
    };
    (state, cleared, counted)
}

fn plan(
    state: &State,
    workload: &mut Workload,
    (world, census): (&World, &Census),
    now: Moment,
    seed: u64,
) -> (Plan, BTreeMap<PortionId, Copies>) {
    // Several workloads are planned in one cycle, and the journal knows steps by name.
    let name = &workload.policy.workload;
    let id = PlanId::new(format!("{}-{}-{name}", now.0, state.cycle));
    let scene = Scene {
        now,
        world,
        census,
        outlook: &workload.outlook,
        policy: &workload.policy,
        portions: &workload.portions,
        beliefs: &state.beliefs,
        known: &workload.known,
        appetite: risk::appetite(workload.policy.risk_tolerance, workload.policy.season),
        history: &state.history,
        forecasting: state.forecasting,
        plan: id,
        parent: workload.plan.as_ref().map(|p| p.id.clone()),
        epoch: state.epoch.unwrap_or_default(),
        seed,
        inflight: workload.book.inflight.values().cloned().collect(),
    };
    planner::plan(&scene, &mut workload.book)
}

fn announce(state: &mut State, plan: &Plan, now: Moment) {
    let telling = |w: &&Shared<Waiting>| !planner::is_pace(&w.why);
    for waiting in plan.waiting.iter().filter(telling) {
        // Countdowns differ each time; what is said once is the matter, not the number.
        let matter: String = waiting
            .why
            .chars()
            .filter(|c| !c.is_ascii_digit())
            .collect();
        if state.said.get(&waiting.what) != Some(&matter) {
            state.said.insert(waiting.what.clone(), matter);
            let text = format!("{}: {}", waiting.what, waiting.why);
            state.say(now, LogKind::Held, None, None, text);
        }
    }
}

/// What matters most is asked first, over all workloads: they share the write budget and the blast radius.
fn clear_all(
    state: &mut State,
    workloads: &mut [Workload],
    mut drafted: Vec<(usize, Step)>,
    world: &World,
    copies: &BTreeMap<PortionId, Copies>,
    now: Moment,
) -> Vec<Cleared<Step>> {
    let capacity: BTreeMap<AllocId, Rps> = copies
        .values()
        .flat_map(|c| &c.all)
        .filter_map(|c| Some((c.alloc.clone(), c.capacity?)))
        .collect();
    let waited = state.writes.waiting;
    state.writes.fill(now);
    writes::first_things_first(&mut drafted, workloads, world);
    let mut passed = Vec::new();
    for (k, step) in drafted {
        let moving = moving(workloads, &step);
        let seen = (world, &capacity, moving.as_ref());
        passed.extend(clear(state, &mut workloads[k], step, seen, now));
    }
    let waiting = state.writes.waiting;
    if (waiting > 0) != (waited > 0) {
        let most = state.writes.per_second;
        let text = match waiting {
            0 => "no write waits for the write budget any more".to_string(),
            1 => format!("1 write waits for the write budget of {most} a second"),
            n => format!(
                "{n} writes wait for the write budget of {most} a second, what matters most goes first"
            ),
        };
        state.say(now, LogKind::Held, None, None, text);
    }
    passed
}

/// Another service that is in a planned move, of whatever workload.
fn moving(workloads: &[Workload], step: &Step) -> Option<ServiceName> {
    let own = match &step.action {
        Action::SetTarget { target, .. } => &target.service,
        _ => return None,
    };
    let planned = |s: &Step| match &s.action {
        Action::SetTarget {
            target,
            planned: true,
            ..
        } => Some(target.service.clone()),
        _ => None,
    };
    let books = || workloads.iter().map(|w| &w.book);
    let begun = books().flat_map(|b| b.moves.iter().filter(|(_, m)| m.done > 0));
    let begun = begun.map(|(service, _)| service.clone());
    let under_way = books().flat_map(|b| b.inflight.values().filter_map(planned));
    begun.chain(under_way).find(|s| s != own)
}

/// What the guard lets pass is entered in the book before it is handed on.
fn clear(
    state: &mut State,
    workload: &mut Workload,
    step: Step,
    (world, capacity, moving): (&World, &BTreeMap<AllocId, Rps>, Option<&ServiceName>),
    now: Moment,
) -> Option<Cleared<Step>> {
    if let Some(why) = command::pinned(state, &step) {
        workload.book.forget(&step);
        let portion = step.portion.as_ref();
        let topic = format!("pinned {portion:?}");
        state.say_once(&topic, now, LogKind::Held, portion, why.clone());
        state.held.push((step, why));
        return None;
    }
    let appetite = risk::appetite(workload.policy.risk_tolerance, workload.policy.season);
    let facts = Facts {
        now,
        acting: state.mode == Mode::Act,
        epoch: state.epoch,
        world,
        policy: &workload.policy,
        capacity,
        inflight: &workload.book.inflight,
        moving,
        max_step: appetite.max_step,
        writes_left: state.writes.left(),
    };
    match guard::clear(step, &facts) {
        Ok(step) => {
            if step.action.touches_traffic() {
                state.writes.take();
                state.tally.writes += 1;
            }
            let by_cause = state.tally.decisions.entry(step.action.verb().into());
            let count = by_cause.or_default().entry(step.cause.word().into());
            *count.or_default() += 1;
            let text = format!("{}: {}", step.action.verb(), step.why);
            let portion = step.portion.clone();
            state.say(now, LogKind::Plan, Some(step.cause), portion.as_ref(), text);
            let inflight = &mut workload.book.inflight;
            inflight.insert(step.id.clone(), Step::clone(&step));
            Some(step)
        }
        Err(held) => {
            let (step, held) = *held;
            workload.book.forget(&step);
            hold(state, step, held, now);
            None
        }
    }
}

/// Says once what is held; the next turn drafts it anew.
fn hold(state: &mut State, step: Step, held: guard::Held, now: Moment) {
    let text = format!(
        "{} held (law {}): {}",
        step.action.verb(),
        held.law.number(),
        held.why
    );
    let by_law = state.tally.holds.entry(held.law.word().into());
    *by_law.or_default() += 1;
    if held.law == guard::Law::WriteBudget {
        // One line for all of them.
        state.writes.waiting += 1;
        state.tally.writes_waited += 1;
        return state.held.push((step, text));
    }
    state.tally.held += 1;
    let matter: String = held.why.chars().filter(|c| !c.is_ascii_digit()).collect();
    let topic = format!("held {} {:?}", step.action.verb(), step.portion);
    if state.said.get(&topic) != Some(&matter) {
        state.said.insert(topic, matter);
        let (cause, portion) = (Some(step.cause), step.portion.as_ref());
        state.say(now, LogKind::Held, cause, portion, text.clone());
    }
    state.held.push((step, text));
}
