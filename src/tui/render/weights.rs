//! Shares over time, and below them what both sides' requests fared like on the same axis.

use super::pen::{Pen, Piece, percent, piece, short};
use super::plot::{Line, Plot, Rule};
use crate::engine::view::{PortionView, Stair};
use crate::model::{Moment, Share, Span};
use crate::tui::look::Tone;
use crate::tui::state::State;
use ratatui::layout::Rect;

/// The plots look back so far, at least and at most.
const BACK: (f64, f64) = (20.0, 120.0);

/// The time that both plots of the move show, in seconds before now.
fn back(p: &PortionView, now: Moment) -> f64 {
    let begun = p.moving.as_ref().map_or(60.0, |m| {
        // A move that is long over is not looked back to; the last minute is.
        let since = now.since(m.since).as_secs_f64() * 1.3 + 4.0;
        if since > BACK.1 { 60.0 } else { since }
    });
    let kept = p
        .stairs
        .first()
        .map_or(0.0, |s| now.since(s.at).as_secs_f64());
    begun.min(kept.max(BACK.0)).clamp(BACK.0, BACK.1)
}

type Points = Vec<(f64, f64)>;

/// Each value holds until the next one: a staircase.
fn stairs(points: impl Iterator<Item = (f64, f64)>) -> Points {
    let mut out: Points = Vec::new();
    for (x, y) in points {
        if let Some((_, before)) = out.last().copied() {
            out.push((x, before));
        }
        out.push((x, y));
    }
    if let Some((_, y)) = out.last().copied() {
        out.push((0.0, y));
    }
    out
}

/// The points within the plot, with the last one before it at its edge.
fn within(points: &[Stair], now: Moment, start: f64) -> Vec<(f64, &Stair)> {
    let x = |s: &Stair| s.at.since(now).as_secs_f64();
    let first = points.iter().rposition(|s| x(s) < start).unwrap_or(0);
    points[first..]
        .iter()
        .map(|s| (x(s).max(start), s))
        .collect()
}

fn line(points: Points, tone: Tone, dotted: bool) -> Line {
    Line {
        points,
        tone,
        dotted,
    }
}

fn marks(start: f64) -> Vec<(f64, String)> {
    let ago = short(Span((-start * 1000.0) as i64));
    vec![(start, format!("-{ago}")), (0.0, "now".into())]
}

pub fn staircase(state: &State, pen: &mut Pen, area: Rect, p: &PortionView) {
    let (asked, seen) = pen
        .look
        .pick2(("┈ asked for", "━ seen"), (". asked for", "* seen"));
    let note = format!("standbys' share in %: {asked}, {seen} in DNS");
    let inner = pen.section(area, "Weights", &note);
    if p.stairs.is_empty() {
        let text = "no shares have been seen yet";
        pen.tone(inner.x + 2, inner.y, inner.width, text, Tone::Dim);
        return;
    }
    let (now, start) = (state.view.at, -back(p, state.view.at));
    let points = within(&p.stairs, now, start);
    let percent = |s: Share| s.fraction() * 100.0;
    let asked = stairs(points.iter().map(|(x, s)| (*x, percent(s.desired))));
    let seen = points
        .iter()
        .filter_map(|(x, s)| Some((*x, percent(s.observed?))));
    Plot {
        x: (start, 0.0),
        top: 100.0,
        lines: vec![
            line(asked, Tone::Watch, true),
            line(stairs(seen), Tone::Moving, false),
        ],
        marks: marks(start),
        ..Plot::default()
    }
    .draw(pen, inner);
}

/// p99 of both sides on the same axis, and what clients see where instances do not tell of themselves.
pub fn latencies(state: &State, pen: &mut Pen, area: Rect, p: &PortionView) {
    let (now, start) = (state.view.at, -back(p, state.view.at));
    let points = within(&p.stairs, now, start);
    let side = |of: fn(&Stair) -> Option<f64>| -> Points {
        points
            .iter()
            .filter_map(|(x, s)| Some((*x, of(s)?)))
            .collect()
    };
    let (old, new) = (side(|s| s.p99.0), side(|s| s.p99.1));
    let (solid, dots) = pen.look.pick2(("━", "┈"), ("*", "."));
    let told = !(old.is_empty() && new.is_empty());
    let (lines, note) = if told {
        let note = format!("{solid} primaries, {dots} standbys, as they tell themselves");
        let lines = vec![
            line(old, Tone::Strong, false),
            line(new, Tone::Moving, true),
        ];
        (lines, note)
    } else {
        let all = p
            .past
            .iter()
            .map(|q| (q.at.since(now).as_secs_f64(), q.p99));
        let all = all.filter(|(x, _)| *x >= start).collect();
        let note = "both sides as clients see them: instances are not asked here".to_string();
        (vec![line(all, Tone::Strong, false)], note)
    };
    let inner = pen.section(area, "p99 in ms", &note);
    let values = lines.iter().flat_map(|l| &l.points).map(|q| q.1);
    let highest = values.filter(|v| v.is_finite()).fold(0.0, f64::max);
    if lines.iter().all(|l| l.points.is_empty()) {
        pen.tone(inner.x + 2, inner.y, inner.width, "not seen yet", Tone::Dim);
        return;
    }
    Plot {
        x: (start, 0.0),
        top: highest.max(p.slo.latency.0) * 1.15,
        lines,
        rules: vec![Rule {
            y: p.slo.latency.0,
            label: format!("limit {} at p{:.0}", p.slo.latency, p.slo.quantile * 100.0),
            tone: Tone::Bad,
        }],
        marks: marks(start),
        ..Plot::default()
    }
    .draw(pen, inner);
}

/// What part of each side's requests was answered well, and the limit.
pub fn success(pen: &mut Pen, area: Rect, p: &PortionView) {
    let inner = pen.section(area, "Answered", "");
    let last = p.stairs.last().map(|s| s.success).unwrap_or_default();
    let tell = |name: &str, value: Option<f64>| {
        let tone = match value {
            Some(v) if v < p.slo.success => Tone::Bad,
            Some(_) => Tone::Good,
            None => Tone::Dim,
        };
        let text = value.map_or("not told".into(), percent);
        [
            piece(format!("{name} "), Tone::Dim),
            piece(format!("{text}  "), tone),
        ]
    };
    let clients = p.traffic.as_ref().map(|t| t.success);
    let mut pieces: Vec<Piece> = Vec::new();
    pieces.extend(tell("primaries", last.0));
    pieces.extend(tell("standbys", last.1));
    pieces.extend(tell("clients", clients));
    pieces.push(piece(
        format!("limit {}", percent(p.slo.success)),
        Tone::Dim,
    ));
    pen.line(inner.x + 1, inner.y, inner.width, &pieces);
}
