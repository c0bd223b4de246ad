//! Shadows that run or ran with their verdicts, and what would be worth one, with the terms of its value.

use super::measured;
use super::pen::{Pen, brief, clock, count, fit, over, percent, piece, short, window};
use crate::engine::view::{CandidateView, ShadowView};
use crate::model::{NodeClass, PortionId, Profile, Ruling, Site};
use crate::tui::look::Tone;
use crate::tui::rows::{self, Listed};
use crate::tui::state::State;
use ratatui::layout::Rect;

pub fn draw(state: &State, pen: &mut Pen, area: Rect) {
    let shadows = rows::shadows(state);
    let candidates = rows::candidates(state);
    let at = state.cursor_on(&Listed::Shadows(shadows.clone(), candidates.clone()));
    let running = shadows.iter().filter(|s| s.state != "done").count();
    let upper = if candidates.is_empty() {
        area.height.saturating_sub(2)
    } else {
        (count(shadows.len()) + 2).clamp(3, (area.height / 2).max(3))
    };
    let upper = upper.min(area.height);
    let top = Rect {
        height: upper,
        ..area
    };
    let bottom = Rect {
        y: area.y + upper,
        height: area.height - upper,
        ..area
    };
    let note = format!("{running} running, {} done", shadows.len() - running);
    let inner = pen.section(top, "Shadows", &note);
    if shadows.is_empty() {
        pen.tone(
            inner.x + 2,
            inner.y,
            inner.width,
            "none runs or ran",
            Tone::Dim,
        );
    }
    let fits = usize::from(inner.height);
    let from = window(at.min(shadows.len().saturating_sub(1)), shadows.len(), fits);
    for (k, s) in shadows.iter().enumerate().skip(from).take(fits) {
        let row = Rect {
            y: inner.y + (k - from) as u16,
            height: 1,
            ..inner
        };
        shadow(pen, row, s);
        pen.listed(row, k, at);
    }
    let mark = at.checked_sub(shadows.len());
    let marked = (at, shadows.len());
    // What the marked place's last run showed stands below, where there is room for it.
    let queued = (count(candidates.len()) + 6).max(8);
    if bottom.height < queued + PANEL {
        return queue(pen, bottom, &candidates, marked);
    }
    let place = match mark {
        None => shadows.get(at).map(|s| (&s.portion, &s.site, &s.class)),
        Some(k) => candidates.get(k).map(|c| (&c.portion, &c.site, &c.class)),
    };
    let Some(place) = place else {
        return queue(pen, bottom, &candidates, marked);
    };
    let (upper, lower) = over(
        bottom,
        bottom.height - (bottom.height - queued).min(PANEL + 4),
    );
    queue(pen, upper, &candidates, marked);
    let (portion, site, class) = place;
    let named = format!("{site} on {} of {portion}", class.shown());
    measured::draw(pen, lower, &named, profile(state, place));
}

/// Rows that the measurements of a place take at least.
const PANEL: u16 = 9;

fn profile<'a>(
    state: &'a State,
    (portion, site, class): (&PortionId, &Site, &NodeClass),
) -> Option<&'a Profile> {
    let mut portions = state.view.portions.iter();
    let own = portions.find(|p| &p.id == portion)?;
    let at = |p: &&Profile| &p.key.site == site && &p.key.class == class;
    own.profiles.iter().find(at)
}

fn shadow(pen: &mut Pen, row: Rect, s: &ShadowView) {
    let (glyph, tone) = pen.look.shadow(s);
    let portion = fit(pen.look, s.portion.as_str(), 11);
    let mut pieces = vec![
        piece(format!("{glyph} {:<10}", s.state), tone),
        piece(format!("{portion:<12}"), Tone::Strong),
    ];
    let place = if row.width >= 90 {
        format!(
            "{:<26}",
            fit(pen.look, &format!("{} on {}", s.site, s.class.shown()), 25)
        )
    } else {
        format!("{:<12}", fit(pen.look, s.site.as_str(), 11))
    };
    pieces.push(piece(place, Tone::Plain));
    pieces.push(piece(format!("{}  ", clock(s.since)), Tone::Dim));
    if !s.along.is_empty() {
        let names: Vec<&str> = s.along.iter().map(|p| p.as_str()).collect();
        pieces.push(piece(format!("with {}  ", names.join(", ")), Tone::Dim));
    }
    let ruling = s.judged.as_ref().map(|j| j.ruling);
    let (text, tone) = match &s.verdict {
        Some(v) if v.starts_with("fail") => (v.as_str(), Tone::Bad),
        Some(v) if ruling == Some(Ruling::Pass) => (v.as_str(), Tone::Good),
        Some(v) if ruling == Some(Ruling::Inconclusive) => (v.as_str(), Tone::Watch),
        Some(v) => (v.as_str(), Tone::Plain),
        None => ("no verdict yet", Tone::Dim),
    };
    pieces.push(piece(text, tone));
    pen.line(row.x + 2, row.y, row.width.saturating_sub(2), &pieces);
}

/// Candidates, the most valuable first; the cursor stands on row `at` of a list in which `before` others come first.
fn queue(
    pen: &mut Pen,
    area: Rect,
    candidates: &[&CandidateView],
    (marked, before): (usize, usize),
) {
    let star = pen.look.pick("×", "x");
    let note = format!("chance of use {star} what a run would teach, for each core-hour");
    let inner = pen.section(area, "Worth a shadow", &note);
    if candidates.is_empty() {
        pen.tone(
            inner.x + 2,
            inner.y,
            inner.width,
            "nothing more is worth measuring now",
            Tone::Dim,
        );
        return;
    }
    let tight = inner.width < 90;
    let head = if tight {
        format!(
            "{:<12}{:<12}{:>6}{:>9}{:>7}{:>7}",
            "portion", "site", "use", "unknown", "cost", "value"
        )
    } else {
        format!(
            "{:<14}{:<14}{:<14}{:>7}{:>10}{:>9}{:>9}   {:<8} due",
            "portion", "site", "class", "use", "unknown", "cost", "value", ""
        )
    };
    pen.tone(
        inner.x + 2,
        inner.y,
        inner.width.saturating_sub(2),
        &head,
        Tone::Dim,
    );
    let at = marked.saturating_sub(before);
    // The terms of the marked one, in words, below the list where there is room.
    let told = candidates.get(at).filter(|_| inner.height >= 6);
    if let Some(c) = told {
        let lines = [chance(c), taught(c)];
        for (k, text) in lines.into_iter().enumerate() {
            let y = inner.bottom() - 2 + k as u16;
            let room = inner.width.saturating_sub(2);
            pen.line(inner.x + 2, y, room, &[piece(text, Tone::Dim)]);
        }
    }
    let list = inner.height - if told.is_some() { 3 } else { 0 };
    let fits = usize::from(list.saturating_sub(1));
    let from = window(at, candidates.len(), fits);
    let best = candidates
        .iter()
        .map(|c| c.value)
        .fold(f64::MIN_POSITIVE, f64::max);
    for (k, c) in candidates.iter().enumerate().skip(from).take(fits) {
        let row = Rect {
            y: inner.y + 1 + (k - from) as u16,
            height: 1,
            ..inner
        };
        candidate(pen, row, c, tight, best);
        pen.listed(row, k + before, marked);
    }
}

fn candidate(pen: &mut Pen, row: Rect, c: &CandidateView, tight: bool, best: f64) {
    let (portion, site) = (
        fit(pen.look, c.portion.as_str(), 11),
        fit(pen.look, c.site.as_str(), 11),
    );
    let text = if tight {
        format!(
            "{portion:<12}{site:<12}{:>6}{:>9}{:>7.4}{:>7}",
            percent(c.use_probability),
            percent(c.unknown),
            c.cost,
            brief(c.value)
        )
    } else {
        let class = fit(pen.look, c.class.as_str(), 13);
        format!(
            "{portion:<14}{site:<14}{class:<14}{:>7}{:>10}{:>9.4}{:>9}",
            percent(c.use_probability),
            percent(c.unknown),
            c.cost,
            brief(c.value)
        )
    };
    let x = pen.line(
        row.x + 2,
        row.y,
        row.width.saturating_sub(2),
        &[piece(text, Tone::Plain)],
    );
    if tight {
        return;
    }
    pen.bar(x + 3, row.y, 8, c.value / best, 0.0);
    let due = match (&c.after, c.due_in) {
        (Some(first), _) => format!("after {first}"),
        (None, Some(d)) => format!("in {}", short(d)),
        (None, None) => "any time".to_string(),
    };
    pen.tone(
        x + 12,
        row.y,
        row.right().saturating_sub(x + 12),
        &due,
        Tone::Watch,
    );
}

/// Why it would be used.
fn chance(c: &CandidateView) -> String {
    format!(
        "{} at {}: used in {} of futures = a standby is wanted in {}, and would stand there in {} of them",
        c.portion,
        c.site,
        percent(c.use_probability),
        percent(c.wanted),
        percent(c.chosen)
    )
}

/// What is unknown of it.
fn taught(c: &CandidateView) -> String {
    let age = c.age.map_or("never measured".to_string(), |a| {
        format!("measured {} ago", short(a))
    });
    format!(
        "{age}, {:.1} own and {:.1} borrowed runs count; off by {}: a run teaches {} of what it could",
        c.own,
        c.borrowed,
        percent(c.spread),
        percent(c.unknown)
    )
}
