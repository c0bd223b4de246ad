//! What a person asks for becomes an entry in the book; planner and guard treat it like any other wish.

use super::clock::Dice;
use super::cycle::turn;
use super::recall::drafted;
use super::state::State;
use super::view::{Command, LogKind, Preview, StepView};
use crate::model::*;
use crate::planner::ShadowState;

/// A freeze that a person asked for carries this in its name, before who it was.
const BY_HAND: &str = "asked for by ";
/// Who asks when nobody says so.
const SOMEONE: &str = "an operator";

/// `hold` is not here: it is a key in Consul, written by the shell, so that it binds every foreshadow.
pub fn ask(state: &mut State, command: Command, now: Moment) {
    let (who, command) = whose(command);
    // What is asked for is looked at by all.
    state.workloads.iter_mut().for_each(|w| w.still = None);
    let said = match command {
        Command::Hold { on } => format!("hold {}", if on { "on" } else { "off" }),
        Command::Abort => abort(state),
        Command::StartShadow { portion, site } => {
            for w in of(state, &portion) {
                w.book.asked_shadows.insert((portion.clone(), site.clone()));
            }
            format!("shadow of {portion} at {site} is asked for")
        }
        Command::StopShadow { shadow } => {
            let runs = state.workloads.iter_mut();
            for run in runs.filter_map(|w| w.book.shadows.get_mut(&shadow)) {
                if run.state != ShadowState::Done {
                    run.state = ShadowState::Stopping;
                    run.verdict = Some("stopped by the operator".into());
                }
            }
            format!("shadow {shadow} is to stop")
        }
        Command::Switch { portion, to } => {
            for w in of(state, &portion) {
                w.book.asked.insert(portion.clone(), to.clone());
            }
            format!("{portion} is to be served from {to}")
        }
        Command::Pin { portion, on } => pin(state, &portion, on, &who),
        Command::Freeze { minutes } => freeze(state, minutes, &who, now),
        Command::Approve { portion, site } => approve(state, &portion, &site, &who, now),
        // Looks alone: the shell answers it.
        Command::Preview { .. } | Command::By { .. } => return,
        Command::Reload => "policies are to be read again".to_string(),
        Command::LogLevel { filter: Some(f) } => format!("the log is filtered by {f}"),
        Command::LogLevel { filter: None } => "the log is filtered as at the start".to_string(),
    };
    state.memos.push(Memo::Asked {
        at: now,
        who: who.clone(),
        what: said.clone(),
    });
    let said = format!("{said} ({who})");
    state.say(now, LogKind::Notice, None, None, said);
}

/// Who asks, and for what.
pub(super) fn whose(command: Command) -> (String, Command) {
    match command {
        Command::By { who, asked } => (who, whose(*asked).1),
        other => (SOMEONE.into(), other),
    }
}

fn of<'a>(
    state: &'a mut State,
    portion: &'a PortionId,
) -> impl Iterator<Item = &'a mut super::Workload> {
    let all = state.workloads.iter_mut();
    all.filter(move |w| w.policy.portion(portion).is_some())
}

fn abort(state: &mut State) -> String {
    for w in &mut state.workloads {
        w.book.moves.clear();
        w.book.asked.clear();
        w.book.asked_shadows.clear();
    }
    "abort: moves are dropped, what is asked for is forgotten".into()
}

fn pin(state: &mut State, portion: &PortionId, on: bool, who: &str) -> String {
    if on {
        state.pins.insert(portion.clone(), who.to_string());
        format!("{portion} is pinned: no planned move of it goes on")
    } else {
        state.pins.remove(portion);
        format!("{portion} is no longer pinned")
    }
}

fn freeze(state: &mut State, minutes: u32, who: &str, now: Moment) -> String {
    let to = now + Span::secs(60 * i64::from(minutes));
    for w in &mut state.workloads {
        w.policy.freezes.retain(|f| !f.name.starts_with(BY_HAND));
        if minutes > 0 {
            w.policy.freezes.push(Freeze {
                name: format!("{BY_HAND}{who}"),
                window: Window { from: now, to },
            });
        }
    }
    match minutes {
        0 => "the freeze asked for by hand is over".into(),
        n => format!("frozen for {n} min: nothing is begun that nothing forces"),
    }
}

/// The policy as it was read, with the freeze that a person asked for.
pub(super) fn still_frozen(state: &State, policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    let was = state.workloads.iter().map(|w| &w.policy);
    let was = was.filter(|p| p.workload == policy.workload);
    let by_hand: Vec<Freeze> = was
        .flat_map(|p| &p.freezes)
        .filter(|f| f.name.starts_with(BY_HAND))
        .cloned()
        .collect();
    policy.freezes.extend(by_hand);
    policy
}

/// Freezes that people asked for, by workload.
pub(super) fn freezes_by_hand(state: &State) -> Vec<(String, Freeze)> {
    let of = |w: &super::Workload| {
        let all = w.policy.freezes.iter();
        let by_hand = all.filter(|f| f.name.starts_with(BY_HAND));
        let named = by_hand.map(|f| (w.policy.workload.clone(), f.clone()));
        named.collect::<Vec<_>>()
    };
    state.workloads.iter().flat_map(of).collect()
}

/// The freeze that holds now and was asked for by a person: who, and until when.
pub(super) fn frozen(state: &State, now: Moment) -> Option<(String, Moment)> {
    let all = state.workloads.iter().flat_map(|w| &w.policy.freezes);
    let mut holding = all.filter(|f| f.window.holds(now));
    holding.find_map(|f| {
        let who = f.name.strip_prefix(BY_HAND)?;
        Some((who.to_string(), f.window.to))
    })
}

fn approve(state: &mut State, portion: &PortionId, site: &Site, who: &str, now: Moment) -> String {
    let open = state.beliefs.verdicts.iter_mut().filter(|v| {
        &v.key.portion == portion && &v.key.site == site && v.ruling == Ruling::Inconclusive
    });
    let mut approved = Vec::new();
    for verdict in open {
        verdict.ruling = Ruling::Pass;
        verdict.because = format!("approved by {who}; measured: {}", verdict.because);
        verdict.at = now;
        verdict.times = 1;
        verdict.undecided = 0;
        approved.push(Memo::Judged(verdict.clone()));
    }
    let n = approved.len();
    state.memos.extend(approved);
    match n {
        0 => format!("no verdict on {portion} at {site} is inconclusive: nothing to approve"),
        _ => format!("{portion} at {site} is approved: its inconclusive verdict counts as a pass"),
    }
}

/// Why a step may not be taken because somebody pinned its portion: moves that nothing forces alone.
pub(super) fn pinned(state: &State, step: &Step) -> Option<String> {
    let Action::SetTarget { planned: true, .. } = &step.action else {
        return None;
    };
    let who = state.pins.get(step.portion.as_ref()?)?;
    Some(format!("{} held: pinned by {who}", step.action.verb()))
}

/// What the plan would be after a command, against what it is now, over the world as it was seen last. Nothing changes.
pub fn preview(state: &State, of: Command, world: &World, now: Moment, dice: &mut Dice) -> Preview {
    let (_, command) = whose(of);
    let mut asked = state.clone();
    let mut then = world.clone();
    if let Command::Hold { on } = &command {
        then.hold = Seen::known(*on, now);
    }
    ask(&mut asked, command.clone(), now);
    let (before, _, _) = turn(state.clone(), world, now, &mut dice.clone());
    let (after, _, _) = turn(asked, &then, now, dice);
    let (was, is) = (drafted(&before), drafted(&after));
    let alike = |a: &StepView, b: &StepView| {
        (&a.verb, &a.portion, &a.state) == (&b.verb, &b.portion, &b.state)
            && digitless(&a.why) == digitless(&b.why)
    };
    let without = |these: &[StepView], those: &[StepView]| {
        let new = |s: &&StepView| !those.iter().any(|t| alike(s, t));
        these.iter().filter(new).cloned().collect::<Vec<_>>()
    };
    let waiting = |s: &State| -> Vec<Shared<Waiting>> {
        let plans = s.workloads.iter().filter_map(|w| w.plan.as_ref());
        plans.flat_map(|p| p.waiting.clone()).collect()
    };
    let old = waiting(&before);
    let newly = |w: &Shared<Waiting>| !old.iter().any(|o| o.what == w.what);
    Preview {
        command,
        at: now,
        comes: without(&is, &was),
        goes: without(&was, &is),
        waits: waiting(&after).into_iter().filter(newly).collect(),
    }
}

/// Countdowns differ from moment to moment; the matter is the same.
fn digitless(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
#[path = "command_tests.rs"]
pub(super) mod tests;
