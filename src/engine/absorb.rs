//! What an outcome changes in the engine's mind: the book, the beliefs, the log.

use super::pledges;
use super::state::{State, Workload};
use super::view::LogKind;
use crate::learn;
use crate::model::*;
use crate::planner::book::{Move, MoveKind, ShadowState};
use crate::planner::risk;

/// After a refusal the same thing is not asked for again for so long.
const BACK_OFF: Span = Span::secs(8);

pub fn absorb(state: &mut State, outcome: Outcome) {
    let mut workloads = std::mem::take(&mut state.workloads);
    for workload in &mut workloads {
        if workload.book.inflight.remove(&outcome.step.id).is_some() {
            workload.still = None;
            settle(state, workload, &outcome);
        }
    }
    state.workloads = workloads;
    let word = match &outcome.verdict {
        Verdict::Verified => "verified".to_string(),
        Verdict::Applied => "applied".to_string(),
        Verdict::Refused { why } => format!("refused: {why}"),
        Verdict::Undone { why } => format!("undone: {why}"),
        Verdict::Unsure { why } => format!("unsure: {why}"),
    };
    let took = outcome.at.since(outcome.started).0;
    let kind = match outcome.verdict {
        Verdict::Verified => LogKind::Verification,
        _ => LogKind::Effect,
    };
    let text = format!("{} {word} after {took} ms", outcome.step.action.verb());
    let (cause, portion) = (Some(outcome.step.cause), outcome.step.portion.as_ref());
    state.say(outcome.at, kind, cause, portion, text);
    state.recent.push_back((outcome.step, word));
    if state.recent.len() > 60 {
        state.recent.pop_front();
    }
}

fn settle(state: &mut State, workload: &mut Workload, outcome: &Outcome) {
    let good = matches!(outcome.verdict, Verdict::Verified | Verdict::Applied);
    match &outcome.step.action {
        Action::SetTarget {
            target, planned, ..
        } => shares(state, workload, outcome, target, *planned, good),
        Action::StartShadow { shadow, key, .. } => {
            if good {
                state.tally.shadows += 1;
            } else if let Some(run) = workload.book.shadows.get_mut(shadow) {
                run.state = ShadowState::Done;
                run.verdict = Some(why(outcome));
                failed(workload, key, outcome.at);
            }
        }
        Action::StartUpstream { shadow, .. } => {
            if !good {
                alone(workload, outcome, shadow);
            }
        }
        Action::StartTwin { shadow, .. } => {
            if !good && let Some(run) = workload.book.shadows.get_mut(shadow) {
                run.twin = None;
            }
        }
        Action::MeasureShadow { shadow, key, .. } => {
            measured(state, workload, outcome, shadow, key)
        }
        Action::StopShadow { shadow, .. } => {
            if good && let Some(run) = workload.book.shadows.get_mut(shadow) {
                run.state = ShadowState::Done;
            }
            workload.book.tidy();
        }
        Action::PlaceStandby {
            portion, job, node, ..
        } => {
            if good {
                state.tally.preallocations += 1;
                pledges::of_start(state, portion, (job.id(), node), outcome.started);
            } else {
                workload
                    .book
                    .refused
                    .insert(portion.to_string(), outcome.at + BACK_OFF);
            }
        }
        Action::ReleaseStandby { job, .. } => {
            workload.book.needed.remove(job);
        }
        Action::Scale { .. } => {
            // Another standby is placed in its stead meanwhile.
            if let Some(portion) = outcome.step.portion.as_ref().filter(|_| !good) {
                let key = crate::planner::burst_key(portion);
                workload.book.refused.insert(key, outcome.at + BACK_OFF);
            }
        }
        Action::Reap { .. } => {}
    }
}

fn why(outcome: &Outcome) -> String {
    match &outcome.verdict {
        Verdict::Refused { why } | Verdict::Undone { why } | Verdict::Unsure { why } => why.clone(),
        Verdict::Verified | Verdict::Applied => "done".to_string(),
    }
}

/// What a shadow calls cannot run along with it: all of it ends.
fn alone(workload: &mut Workload, outcome: &Outcome, shadow: &ShadowId) {
    if let Some(run) = workload.book.shadows.get_mut(shadow) {
        run.state = ShadowState::Stopping;
        run.verdict = Some(why(outcome));
        let key = run.key.clone();
        failed(workload, &key, outcome.at);
    }
}

fn failed(workload: &mut Workload, key: &ProfileKey, at: Moment) {
    let entry = workload
        .book
        .shadowed
        .entry(crate::planner::shadows::name(key))
        .or_insert((at, 0));
    *entry = (at, entry.1 + 1);
}

/// A verified step moves its ramp on; the last one ends the move.
fn shares(
    state: &mut State,
    workload: &mut Workload,
    outcome: &Outcome,
    target: &Target,
    planned: bool,
    good: bool,
) {
    let service = &target.service;
    let Some(mv) = workload.book.moves.get_mut(service) else {
        if good && outcome.step.cause == Cause::Reactive && !planned {
            state.tally.switchovers += 1;
        }
        return;
    };
    if !good {
        // Level-triggered: the next cycle looks at what clients see and goes on from there. A way back is asked for again.
        if mv.kind != MoveKind::Retreat {
            workload.book.moves.remove(service);
        }
        return;
    }
    // A renewal of contingencies in the midst of a move is no step of it.
    let stepped = planned || outcome.step.cause == Cause::Reactive;
    if !stepped {
        return;
    }
    mv.done += 1;
    mv.verified = Some(outcome.at);
    if mv.done >= mv.steps.len()
        && let Some(mv) = workload.book.moves.remove(service)
    {
        arrived(state, workload, outcome, service, &mv);
    }
}

/// The last step of a move was verified.
fn arrived(
    state: &mut State,
    workload: &mut Workload,
    outcome: &Outcome,
    service: &ServiceName,
    mv: &Move,
) {
    // Neither says that what had to turn back would do now.
    if !matches!(mv.kind, MoveKind::Retreat | MoveKind::Emergency) {
        workload.book.retreats.remove(service);
    }
    let word = match mv.kind {
        MoveKind::Failback => "failback",
        MoveKind::Retreat => "retreat",
        MoveKind::Drain => "drain",
        MoveKind::Kept => "a small share",
        MoveKind::Surge | MoveKind::Emergency | MoveKind::Asked => "switchover",
    };
    match mv.kind {
        MoveKind::Failback => state.tally.failbacks += 1,
        MoveKind::Retreat | MoveKind::Kept => {}
        _ => state.tally.switchovers += 1,
    }
    let portion = outcome.step.portion.as_ref();
    if let Some(portion) = portion {
        pledges::of_move(state, &workload.policy, portion, outcome.at);
        if mv.kind == MoveKind::Asked {
            workload.book.calm.remove(portion);
        }
    }
    let steps = counted(mv.steps.len(), "step");
    let (took, why) = (outcome.at.since(mv.since).0, &mv.why);
    let text = format!("{word} of {service} complete in {steps}, {took} ms: {why}");
    let kind = LogKind::Verification;
    state.say(outcome.at, kind, Some(mv.cause), portion, text);
}

/// A measurement becomes a profile, unless production ended it.
fn measured(
    state: &mut State,
    workload: &mut Workload,
    outcome: &Outcome,
    shadow: &ShadowId,
    key: &ProfileKey,
) {
    let at = outcome.at;
    let interrupted = workload
        .book
        .shadows
        .get(shadow)
        .filter(|r| r.state != ShadowState::Measuring)
        .map(|r| (r.verdict.clone().unwrap_or_default(), r.judged.is_some()));
    let mut judged = None;
    let verdict = match (&outcome.measured, interrupted) {
        // The guard over production ended it, and has said all.
        (_, Some((_, true))) => return failed(workload, key, at),
        (_, Some((why, false))) => {
            state.caution(&key.portion, 1.5, 8.0);
            // That it failed is known since it was ended.
            let name = crate::planner::shadows::name(key);
            let tried = workload.book.shadowed.entry(name).or_insert((at, 1));
            tried.1 = tried.1.max(1);
            let text = format!(
                "shadow of {} at {} ended early: {why}; it will be tried less often",
                key.portion, key.site
            );
            state.learn(at, Some(&key.portion), text);
            why
        }
        (None, None) => {
            failed(workload, key, at);
            why(outcome)
        }
        (Some(m), None) => {
            let tried = crate::planner::shadows::name(key);
            workload.book.shadowed.insert(tried, (at, 0));
            judged = m.judged.clone();
            learned(state, &workload.policy, m, at)
        }
    };
    state.say(
        at,
        LogKind::Verdict,
        Some(Cause::Learning),
        Some(&key.portion),
        format!("shadow at {} ({}): {verdict}", key.site, key.class.shown()),
    );
    if let Some(run) = workload.book.shadows.get_mut(shadow)
        && run.state == ShadowState::Measuring
    {
        run.state = ShadowState::Stopping;
        run.verdict.get_or_insert(verdict);
        run.judged = judged;
    }
}

/// The measurement becomes a profile and its verdict is believed; what is to be said of it.
fn learned(state: &mut State, policy: &Policy, m: &Measurement, at: Moment) -> String {
    state.tally.measurements += 1;
    if let Some(told) = m.details.sentence() {
        let text = format!("{} at {}: {told}", m.key.portion, m.key.site);
        let (kind, why) = (LogKind::Shadow, Some(Cause::Learning));
        state.say(at, kind, why, Some(&m.key.portion), text);
    }
    let before = state.beliefs.profile(&m.key).cloned();
    let appetite = risk::appetite(policy.risk_tolerance, policy.season);
    let profile = learn::fold(before.as_ref(), m, appetite.half_life);
    let sentence = learn::sentence(before.as_ref(), &profile, m);
    let changed = learn::changed(before.as_ref(), m, appetite.half_life);
    state.memos.push(Memo::Measurement(m.clone()));
    state.memos.push(Memo::Profile(profile.clone()));
    state.beliefs.profiles.retain(|p| p.key != profile.key);
    state.beliefs.profiles.push(profile);
    state.tally.profiles = state.beliefs.profiles.len() as u64;
    state.learn(at, Some(&m.key.portion), sentence.clone());
    match &m.judged {
        Some(new) => {
            state.settle_verdict(new.clone(), changed);
            new.sentence()
        }
        None => sentence,
    }
}
