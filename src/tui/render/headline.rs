//! The first two lines of every screen: what is wrong, and what foreshadow does about it.

use super::pen::{Piece, piece, short};
use crate::engine::view::{Health, Mode, MoveView, NodeView, PortionView, StepView};
use crate::model::{Cause, NodeStatus, PortionId, Span, counted};
use crate::tui::look::Tone;
use crate::tui::state::State;
use std::collections::BTreeMap;

/// The first step that was given up of each portion that has one.
pub type Stuck<'a> = BTreeMap<&'a PortionId, &'a StepView>;

pub fn stuck(state: &State) -> Stuck<'_> {
    let given_up = state.view.steps.iter().rev();
    given_up
        .filter(|s| s.state.starts_with("stuck"))
        .filter_map(|s| Some((s.portion.as_ref()?, s)))
        .collect()
}

/// Whether a person should look at it: it breaks its SLO, or a step of it was given up.
pub fn needs_you(stuck: &Stuck, portion: &PortionView) -> bool {
    portion.health == Health::Breach || stuck.contains_key(&portion.id)
}

/// How many portions are in each state.
pub fn counts(state: &State) -> BTreeMap<Health, usize> {
    let mut counts = BTreeMap::new();
    for p in &state.view.portions {
        *counts.entry(p.health).or_default() += 1;
    }
    counts
}

/// What is wrong: the text of a badge if a person is needed, and a sentence.
pub fn wrong(state: &State) -> (Option<String>, Vec<Piece<'_>>) {
    let (stuck, all) = (stuck(state), &state.view.portions);
    let needs = || all.iter().filter(|p| needs_you(&stuck, p));
    let worst = needs().max_by(|a, b| a.health.cmp(&b.health).then_with(|| b.id.cmp(&a.id)));
    let lost = lost(state);
    let Some(worst) = worst else {
        return (None, calm(state, lost));
    };
    let n = needs().count();
    let verb = if n == 1 { "NEEDS" } else { "NEED" };
    let mut pieces = Vec::new();
    if let Some((lost, tone)) = lost {
        pieces.push(piece(format!("{lost}; "), tone));
    }
    let (what, why) = match stuck.get(&worst.id) {
        Some(s) if worst.health != Health::Breach => (s.verb.as_str(), s.state.as_str()),
        _ => ("breaks its SLO", worst.sentence.as_str()),
    };
    pieces.push(piece(format!("{} {what}: ", worst.id), Tone::Bad));
    pieces.push(piece(why, Tone::Plain));
    (Some(format!(" {n} {verb} YOU ")), pieces)
}

/// The sites that cannot be reached, or are without a node that is up; where there is none, the nodes that are not up.
fn lost(state: &State) -> Option<(String, Tone)> {
    let mut lost = state.view.sites.iter().filter_map(|s| {
        let what = match (s.reachable, s.nodes_up) {
            (false, _) => "cut off",
            (true, 0) if s.nodes > 0 => "down",
            _ => return None,
        };
        Some(format!("{} {what}", s.site))
    });
    let Some(first) = lost.next() else {
        return Some((lost_nodes(state)?, Tone::Warn));
    };
    let text = match lost.count() {
        0 => first,
        n => format!("{first}, {} lost", counted(n, "more site")),
    };
    Some((text, Tone::Bad))
}

fn lost_nodes(state: &State) -> Option<String> {
    let down = |n: &&NodeView| matches!(n.status, NodeStatus::Down | NodeStatus::Disconnected);
    let mut lost = state.view.nodes.iter().filter(down);
    let first = lost.next()?;
    Some(match lost.count() {
        0 => format!("node {} down", first.name),
        n => format!("{} nodes down", n + 1),
    })
}

/// What there is to say when nobody is needed.
fn calm(state: &State, lost: Option<(String, Tone)>) -> Vec<Piece<'_>> {
    let counts = counts(state);
    let of = |h: Health| counts.get(&h).copied().unwrap_or(0);
    let all = state.view.portions.len();
    let (look, unknown) = (state.look(), of(Health::Unknown));
    let sign = |h: Health| look.health(h).0;
    if all == 0 {
        let text = "no portion is known yet: waiting for the first look at the jobs";
        return vec![piece(text, Tone::Dim)];
    }
    if unknown > 0 {
        let text = format!(
            "{} {unknown} of {} cannot be seen; nothing is changed on what is unknown",
            sign(Health::Unknown),
            counted(all, "portion")
        );
        return vec![piece(text, Tone::Warn)];
    }
    if let Some((lost, tone)) = lost {
        return vec![
            piece(format!("{} {lost}", sign(Health::Breach)), tone),
            piece("; no SLO is broken, nothing needs you", Tone::Good),
        ];
    }
    let portions = counted(all, "portion");
    let text = match (of(Health::Moving), of(Health::Watch)) {
        (0, 0) if all == 1 => "the one portion is well, nothing needs you".into(),
        (0, 0) => format!("all {portions} are well, nothing needs you"),
        (0, n) => {
            format!("nothing needs you; standbys of {n} of {portions} serve or are ready")
        }
        (n, _) => format!("nothing needs you; traffic of {n} of {portions} is being moved"),
    };
    vec![piece(format!("{} {text}", sign(Health::Good)), Tone::Good)]
}

/// Things that are told to be done at once.
const TOLD: usize = 3;

/// What foreshadow does, so that it reads on after its name.
pub fn doing(state: &State) -> Vec<Piece<'_>> {
    let (view, look) = (&state.view, state.look());
    if view.hold.is_some() {
        return vec![piece("writes nothing: it is held", Tone::Warn)];
    }
    let moving = |p: &PortionView| p.moving.as_ref().is_some_and(|m| m.ended.is_none());
    let all = view.portions.iter().map(|p| &**p);
    let mut moved: Vec<&PortionView> = all.filter(|p| moving(p)).collect();
    let urgent = |p: &PortionView| {
        p.moving
            .as_ref()
            .is_some_and(|m| m.cause == Cause::Reactive)
    };
    let order = |p: &PortionView| (urgent(p), p.health);
    moved.sort_by(|a, b| order(b).cmp(&order(a)).then_with(|| a.id.cmp(&b.id)));
    let moves = moved.iter().take(TOLD).filter_map(|p| {
        let m = p.moving.as_ref()?;
        Some((m.cause, moves(p, m)))
    });
    let flying = |s: &&StepView| !finished(&s.state) && !s.state.starts_with("held");
    let told = |s: &&StepView| moved.iter().any(|p| s.portion.as_ref() == Some(&p.id));
    let mut steps: Vec<&StepView> = view.steps.iter().filter(flying).collect();
    steps.retain(|s| !told(s));
    steps.sort_by_key(|s| s.cause);
    let steps = steps.into_iter().take(TOLD).map(|s| (s.cause, does(s)));
    let all = moves.chain(moved_away(state, &moved)).chain(steps);
    let mut all: Vec<(Cause, String)> = all.collect();
    // What answers something that is wrong goes first.
    all.sort_by_key(|(cause, _)| *cause != Cause::Reactive);
    let mut out = Vec::new();
    for (cause, text) in all.into_iter().take(TOLD) {
        if !out.is_empty() {
            out.push(piece(look.pick(" · ", " | "), Tone::Dim));
        }
        let (glyph, _, tone) = look.cause(cause);
        // Upkeep's sign is the dot that stands between things here.
        if cause != Cause::Upkeep {
            out.push(piece(format!("{glyph} "), tone));
        }
        out.push(piece(text, Tone::Strong));
    }
    if out.is_empty() {
        let text = match (view.mode, view.waiting.len()) {
            (Mode::Observe, _) => "watches and plans, changes nothing".into(),
            (Mode::Act, 0) => "watches; there is nothing to do".into(),
            (Mode::Act, 1) => "does nothing now; 1 thing waits, see the plan".into(),
            (Mode::Act, n) => format!("does nothing now; {n} things wait, see the plan"),
        };
        out.push(piece(text, Tone::Plain));
    }
    out
}

/// A move in words.
fn moves(p: &PortionView, m: &MoveView) -> String {
    let what = match m.kind.as_str() {
        "failback" => format!("takes {} back home", p.id),
        "retreat" => format!("takes back the move of {}", p.id),
        "drain" => format!("moves {} off its nodes", p.id),
        "kept" => format!("gives each site an instance of {} of its own", p.id),
        "asked" => format!("moves {} as it was asked", p.id),
        _ if !has_standbys(p) => format!("moves {} between its primaries", p.id),
        _ => format!("moves {} to standbys", p.id),
    };
    let (done, now) = (m.done.min(m.steps.len()), m.share_after(m.done));
    let all = counted(m.steps.len(), "step");
    match has_standbys(p) {
        true => format!("{what}: {done} of {all}, {now} on standbys"),
        false => format!("{what}: {done} of {all}"),
    }
}

fn has_standbys(p: &PortionView) -> bool {
    p.instances.iter().any(|i| i.role == "standby")
}

/// What was moved because something was wrong is told for so long, while nothing moves.
const MOVED: Span = Span::secs(60);

/// The moves that have just answered something that was wrong.
fn moved_away(state: &State, moving: &[&PortionView]) -> Option<(Cause, String)> {
    let ago = |p: &PortionView| {
        let m = p.moving.as_ref().filter(|m| m.cause == Cause::Reactive)?;
        let ago = state.view.at.since(m.ended?);
        (m.done > 0 && ago <= MOVED).then_some(ago)
    };
    if !moving.is_empty() {
        return None;
    }
    let just = || state.view.portions.iter().filter(|p| ago(p).is_some());
    let last = just().min_by_key(|p| ago(p))?;
    let what = match just().count() {
        1 => last.id.to_string(),
        n => format!("{n} portions"),
    };
    let text = format!("moved {what} away {} ago", short(ago(last)?));
    Some((Cause::Reactive, text))
}

/// A step in words.
fn does(s: &StepView) -> String {
    let of = s.portion.as_ref().map_or("", PortionId::as_str);
    match s.verb.as_str() {
        "set shares" => format!("sets shares of {of}"),
        "place standby" => format!("places a standby of {of}"),
        "release standby" => format!("lets a standby of {of} go"),
        "scale" => format!("scales {of}"),
        "start shadow" => format!("starts a shadow of {of}"),
        "measure shadow" => format!("measures a shadow of {of}"),
        "stop shadow" => format!("stops a shadow of {of}"),
        "reap" => "removes a job that is left over".into(),
        verb => format!("{verb} {of}"),
    }
}

pub fn finished(state: &str) -> bool {
    let word = state.split([':', ' ']).next().unwrap_or_default();
    matches!(
        word,
        "applied" | "verified" | "undone" | "stuck" | "refused"
    )
}
