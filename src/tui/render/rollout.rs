//! A move of traffic: its steps, the shares over time against the latencies of both sides, the forecast, and what was decided.

use super::pen::{Pen, Piece, beside, brief, clock, count, fit, over, piece, row, short, width};
use super::{portion, weights};
use crate::engine::view::{MoveView, PortionView, Stair};
use crate::model::counted;
use crate::model::{Moment, Share, Span};
use crate::tui::keys::{self, Act};
use crate::tui::look::Tone;
use crate::tui::rows;
use crate::tui::screen::Screen;
use crate::tui::state::State;
use ratatui::layout::Rect;

pub fn draw(state: &State, pen: &mut Pen, area: Rect) {
    let Some(p) = state.shown_portion() else {
        let text = match &state.place().portion {
            Some(id) => {
                let back = state.key(Act::Back);
                format!("{id} is not known any more; {back} goes back")
            }
            None => "no portion is known yet: waiting for the first look at the jobs".into(),
        };
        pen.tone(area.x + 1, area.y, area.width, &text, Tone::Dim);
        return;
    };
    let (top, rest) = over(area, 3 + u16::from(area.height >= 30));
    head(state, pen, top, p);
    if rest.width >= 100 && rest.height >= 24 {
        return wide(state, pen, rest, p);
    }
    // Small: the ladder, then the shares over time, then the latencies, then the decisions, as far as there is room.
    let rungs = ladder_rows(p).min(rest.height.saturating_sub(3).max(2));
    let (upper, rest) = over(rest, rungs);
    ladder(state, pen, upper, p);
    let plots = match rest.height {
        0..=5 => 0,
        6..=11 => rest.height - 3,
        h => h - 4,
    };
    let (middle, lower) = over(rest, plots);
    if middle.height >= 10 {
        let (a, b) = over(middle, middle.height / 2);
        weights::staircase(state, pen, a, p);
        weights::latencies(state, pen, b, p);
    } else {
        weights::staircase(state, pen, middle, p);
    }
    decisions(state, pen, lower, p);
}

fn wide(state: &State, pen: &mut Pen, area: Rect, p: &PortionView) {
    let (left, right) = beside(area, area.width * 9 / 20);
    let nodes = (count(p.instances.len()) + 1).clamp(2, 7);
    let shadows = 1 + count(places(p).len()).clamp(1, 4);
    let (a, left) = over(left, ladder_rows(p).min(left.height / 3));
    ladder(state, pen, a, p);
    let (a, left) = over(left, nodes.min(left.height / 3));
    node_strip(state, pen, a, p);
    let (a, left) = over(left, shadows.min(left.height / 3));
    shadow_diff(pen, a, p);
    decisions(state, pen, left, p);
    let each = right.height.saturating_sub(2) / 3;
    let (a, rest) = over(right, each);
    weights::staircase(state, pen, a, p);
    let (a, rest) = over(rest, each);
    weights::latencies(state, pen, a, p);
    let (a, rest) = over(rest, 2);
    weights::success(pen, a, p);
    portion::rate(pen, rest, p);
}

/// What moves and why; how long until the next look, what it waits for, and the keys that hold and abort.
fn head(state: &State, pen: &mut Pen, area: Rect, p: &PortionView) {
    let now = state.view.at;
    let (glyph, word, tone) = pen.look.health(p.health);
    let lead = piece(format!("{glyph} {word} "), tone);
    let name = piece(format!("{} ", p.id), Tone::Strong);
    let Some(m) = &p.moving else {
        let text = "no move of it yet: shares follow its primaries";
        pen.line(
            area.x,
            area.y,
            area.width,
            &[lead, name, piece(text, Tone::Dim)],
        );
        keys_line(state, pen, row(area, 1), p, "nothing moves");
        return;
    };
    let (sign, cause, cause_tone) = pen.look.cause(m.cause);
    let what = match m.ended {
        None => format!(
            "{}: {} of {}",
            m.kind,
            m.done,
            counted(m.steps.len(), "step")
        ),
        Some(at) => format!("last move ({}) over {} ago", m.kind, short(now.since(at))),
    };
    pen.line(
        area.x,
        area.y,
        area.width,
        &[
            lead,
            name,
            piece(what, Tone::Strong),
            piece(format!("  {sign} {cause}  "), cause_tone),
            piece(m.why.as_str(), Tone::Plain),
        ],
    );
    keys_line(state, pen, row(area, 1), p, &countdown(m, now));
}

/// When the next step is looked at, and what it waits for.
fn countdown(m: &MoveView, now: Moment) -> String {
    let waits = m.waits.as_deref();
    if m.ended.is_some() {
        return "nothing moves".into();
    }
    match (m.next_look(now), waits) {
        (Some(Span(0)), None) => format!("step {} is due now", m.done + 1),
        (Some(Span(0)), Some(why)) => format!("step {} waits: {why}", m.done + 1),
        (Some(left), _) => format!(
            "step {} is looked at in {:.1} s (soaks {})",
            m.done + 1,
            left.as_secs_f64(),
            short(m.soak)
        ),
        (None, Some(why)) => format!("waits: {why}"),
        (None, None) if m.done >= m.steps.len() => "all steps are done".into(),
        (None, None) => "the first step is being verified".into(),
    }
}

fn keys_line(state: &State, pen: &mut Pen, area: Rect, p: &PortionView, when: &str) {
    let mut pieces: Vec<Piece> = vec![piece(when.to_string(), Tone::Accent)];
    if let Some(who) = &p.pinned {
        pieces.push(piece(format!("  pinned by {who}"), Tone::Warn));
    }
    let dot = pen.look.pick(" · ", " | ");
    for act in [Act::Pin, Act::Hold, Act::Abort] {
        let binding = keys::of(act);
        pieces.push(piece(dot, Tone::Dim));
        pieces.push(piece(
            format!("{} ", state.options.keys.first(act)),
            Tone::Accent,
        ));
        pieces.push(piece(binding.word, Tone::Dim));
    }
    if !state.options.allow_act {
        pieces.push(piece(" (with --allow-act)", Tone::Dim));
    }
    pen.line(area.x, area.y, area.width, &pieces);
}

fn ladder_rows(p: &PortionView) -> u16 {
    p.moving.as_ref().map_or(2, |m| count(m.steps.len()) + 2)
}

/// Points of the move that is shown.
fn of_move<'a>(p: &'a PortionView, m: &MoveView) -> impl Iterator<Item = &'a Stair> {
    let (since, until) = (m.since, m.ended);
    p.stairs
        .iter()
        .filter(move |s| s.at >= since && until.is_none_or(|end| s.at <= end))
}

/// How long a step was in force, and the share seen at its end.
fn in_step(
    p: &PortionView,
    m: &MoveView,
    step: usize,
    now: Moment,
) -> Option<(Span, Option<Share>)> {
    let in_force: Vec<&Stair> = of_move(p, m).filter(|s| s.step == Some(step)).collect();
    let first = in_force.first()?;
    let after = of_move(p, m).find(|s| s.step.is_some_and(|k| k > step));
    let end = after.map_or(m.ended.unwrap_or(now), |s| s.at);
    let seen = in_force.last().and_then(|s| s.observed);
    Some((end.since(first.at), seen))
}

fn ladder(state: &State, pen: &mut Pen, area: Rect, p: &PortionView) {
    let inner = pen.section(area, "Steps", "share of standbys, asked for and seen");
    let Some(m) = &p.moving else {
        let text = "none is planned";
        pen.tone(inner.x + 2, inner.y, inner.width, text, Tone::Dim);
        return;
    };
    let last = p.stairs.last();
    for step in 0..=m.steps.len() {
        if step as u16 >= inner.height {
            break;
        }
        let line = row(inner, step);
        let timed = in_step(p, m, step, state.view.at);
        let here = m.done == step && m.ended.is_none();
        let next = m.done + 1 == step && m.ended.is_none();
        // It went all the way.
        let end = m.ended.is_some() && m.done == step;
        let whole = end && step == m.steps.len();
        let (glyph, word, tone) = match () {
            () if here => (pen.look.pick("▸", ">"), "in force", Tone::Moving),
            () if step < m.done || whole => (pen.look.pick("✓", "v"), "done", Tone::Good),
            () if next => (pen.look.pick("◌", "o"), "next", Tone::Watch),
            () if end => (pen.look.pick("■", "#"), "ended here", Tone::Plain),
            () if m.ended.is_some() => (pen.look.pick("·", "."), "not taken", Tone::Dim),
            () => (pen.look.pick("·", "."), "to come", Tone::Dim),
        };
        let name = match step {
            0 => "start".to_string(),
            k => format!("step {k}"),
        };
        let seen = match &timed {
            Some(_) if here => last.and_then(|s| s.observed),
            Some((_, seen)) => *seen,
            None if end => last.and_then(|s| s.observed),
            None => None,
        };
        let seen = seen.map_or_else(|| "-".to_string(), |s| s.to_string());
        let time = timed.map_or(String::new(), |(t, _)| {
            format!("{:.1} s in it", t.as_secs_f64())
        });
        let wanted = m.share_after(step);
        pen.line(
            line.x + 1,
            line.y,
            line.width.saturating_sub(1),
            &[
                piece(format!("{glyph} {word:<11}"), tone),
                piece(format!("{name:<7}"), Tone::Strong),
                piece(format!("{:>6}", wanted.to_string()), Tone::Strong),
                piece(format!("  seen {seen:>6}  "), Tone::Plain),
                piece(time, Tone::Dim),
            ],
        );
    }
}

/// Nodes of its instances: used, reserved, and where the forecast's peak would take them.
fn node_strip(state: &State, pen: &mut Pen, area: Rect, p: &PortionView) {
    let mark = pen.look.pick("┃", "|");
    let note = format!("used, reserved, {mark} at the forecast's peak");
    let inner = pen.section(area, "Nodes", &note);
    let peak = p.band.iter().map(|b| b.high).fold(0.0, f64::max);
    for (k, i) in p
        .instances
        .iter()
        .take(usize::from(inner.height))
        .enumerate()
    {
        let line = row(inner, k);
        let name = fit(pen.look, &i.node, 13);
        pen.tone(line.x + 1, line.y, 14, &name, Tone::Strong);
        let Some(n) = state.view.nodes.iter().find(|n| n.name == i.node) else {
            pen.tone(line.x + 15, line.y, line.width, "not seen now", Tone::Dim);
            continue;
        };
        let all = n.capacity.cpu.0.max(1.0);
        let cells = line.width.saturating_sub(15 + 25).clamp(6, 40);
        let (used, reserved) = (n.used.cpu.0 / all, n.reserved.cpu.0 / all);
        pen.bar(line.x + 15, line.y, cells, used, reserved);
        let known = p
            .known
            .iter()
            .find(|k| k.key.site == n.site && k.key.class == n.class);
        let foreseen = known.map(|k| {
            let own = i.cpu.map_or(0.0, |c| c.0);
            n.used.cpu.0 - own + k.cpu.middle * peak * i.desired.fraction()
        });
        if let Some(f) = foreseen {
            let at = ((f / all).clamp(0.0, 1.0) * f64::from(cells.saturating_sub(1))).round();
            let tone = if f > n.reserved.cpu.0 {
                Tone::Warn
            } else {
                Tone::Strong
            };
            pen.tone(line.x + 15 + at as u16, line.y, 1, mark, tone);
        }
        let text = format!(
            " {}/{}/{} MHz",
            brief(n.used.cpu.0),
            brief(n.reserved.cpu.0),
            foreseen.map_or("?".into(), brief)
        );
        pen.tone(line.x + 15 + cells, line.y, 25, &text, Tone::Dim);
    }
}

/// The verdicts on the places of its standbys, or on all of its places while it has none.
fn places(p: &PortionView) -> Vec<&crate::model::Judged> {
    let standby = |site| {
        p.instances
            .iter()
            .any(|i| i.role == "standby" && &i.site == site)
    };
    let own: Vec<_> = p.verdicts.iter().filter(|v| standby(&v.key.site)).collect();
    if own.is_empty() {
        return p.verdicts.iter().collect();
    }
    own
}

fn shadow_diff(pen: &mut Pen, area: Rect, p: &PortionView) {
    let inner = pen.section(
        area,
        "Shadows' verdicts",
        "there, against where production runs",
    );
    let all = places(p);
    if all.is_empty() {
        let text = "no shadow of it has been judged yet";
        pen.tone(inner.x + 2, inner.y, inner.width, text, Tone::Dim);
    }
    for (k, v) in all.iter().take(usize::from(inner.height)).enumerate() {
        let tone = match v.ruling {
            crate::model::Ruling::Pass => Tone::Good,
            crate::model::Ruling::Fail => Tone::Bad,
            crate::model::Ruling::Inconclusive => Tone::Warn,
        };
        let line = row(inner, k);
        pen.line(
            line.x + 1,
            line.y,
            line.width.saturating_sub(1),
            &[
                piece(format!("{} ", v.key.site), Tone::Strong),
                piece(format!("{} ", v.ruling.word()), tone),
                piece(v.because.as_str(), Tone::Plain),
            ],
        );
    }
}

/// What was decided about it, the newest last.
fn decisions(state: &State, pen: &mut Pen, area: Rect, p: &PortionView) {
    if area.height < 2 {
        return;
    }
    let key = state.key(Act::Go(Screen::Log));
    let note = format!("the newest last; {key} shows all");
    let inner = pen.section(area, "Decisions", &note);
    let about = rows::about(state, &p.id, usize::from(inner.height));
    if about.is_empty() {
        let text = "none about it yet";
        pen.tone(inner.x + 2, inner.y, inner.width, text, Tone::Dim);
    }
    for (k, l) in about.iter().rev().enumerate() {
        let (glyph, _, tone) = pen.look.kind(l.kind);
        let line = row(inner, k);
        let lead = format!("{} ", clock(l.at));
        let room = line.width.saturating_sub(1 + width(&lead) + 2);
        pen.line(
            line.x + 1,
            line.y,
            line.width.saturating_sub(1),
            &[
                piece(lead, Tone::Dim),
                piece(format!("{glyph} "), tone),
                piece(fit(pen.look, &l.text, room), Tone::Plain),
            ],
        );
    }
}
