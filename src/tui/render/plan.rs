//! The plan: steps with cause, state and reason, and what waits on what.

use super::pen::{Pen, count, fit, piece, width, window, wrap};
use crate::engine::view::{OutlookView, StepView};
use crate::model::PortionId;
use crate::model::counted;
use crate::tui::look::Tone;
use crate::tui::rows;
use crate::tui::state::State;
use ratatui::layout::Rect;

/// One step in one line: cause, what, of whom, and why.
pub fn brief_step(pen: &mut Pen, row: Rect, s: &StepView) {
    let (glyph, word, tone) = pen.look.cause(s.cause);
    let (mark, mark_tone) = pen.look.step(&s.state);
    let portion = s.portion.as_ref().map_or("", PortionId::as_str);
    pen.line(
        row.x + 1,
        row.y,
        row.width.saturating_sub(1),
        &[
            piece(format!("{mark} "), mark_tone),
            piece(format!("{glyph} {word:<10}"), tone),
            piece(format!("{} {portion}", s.verb), Tone::Strong),
            piece(format!("  {}", s.why), Tone::Dim),
        ],
    );
}

pub fn draw(state: &State, pen: &mut Pen, area: Rect) {
    let waiting = &state.view.waiting;
    let want = if waiting.is_empty() {
        2
    } else {
        count(waiting.len()) + 1
    };
    let below = want.min(area.height / 3).max(2);
    let (upper, lower) = (
        Rect {
            height: area.height - below,
            ..area
        },
        Rect {
            y: area.bottom() - below,
            height: below,
            ..area
        },
    );
    let weighed = state
        .view
        .outlook
        .iter()
        .find(|o| !o.scenarios.list.is_empty());
    let weighed = weighed.filter(|_| area.height >= 16);
    let (upper, middle) = super::pen::over(upper, upper.height - weighed.map_or(0, |_| 3));
    if let Some(weighed) = weighed {
        outlook(weighed, pen, middle);
    }
    let steps = rows::steps(state);
    let note = format!("{}; Enter opens the portion", counted(steps.len(), "step"));
    let inner = pen.section(upper, "Steps", &note);
    list(state, pen, inner, &steps);
    let inner = pen.section(lower, "Waiting", "what is not done, and why");
    if waiting.is_empty() {
        pen.tone(
            inner.x + 2,
            inner.y,
            inner.width,
            "nothing waits",
            Tone::Dim,
        );
    }
    for (k, w) in waiting.iter().take(usize::from(inner.height)).enumerate() {
        pen.line(
            inner.x + 2,
            inner.y + k as u16,
            inner.width.saturating_sub(2),
            &[
                piece(format!("{} ", pen.look.pick("‖", "|")), Tone::Warn),
                piece(w.what.as_str(), Tone::Strong),
                piece(format!("  {}", w.why), Tone::Plain),
            ],
        );
    }
}

/// What the plan was weighed over: how many futures, how well they stand for all, and the demand in sum.
fn outlook(o: &OutlookView, pen: &mut Pen, area: Rect) {
    let inner = pen.section(area, "Futures", "that placements are weighed over");
    let s = &o.scenarios;
    let text = format!(
        "{} of {} kept, off by {:.3} ({:.0}% of one alone), {:.1}% not looked at",
        s.list.len(),
        s.considered,
        s.error,
        100.0 * s.error_relative,
        100.0 * s.left_out
    );
    pen.line(
        inner.x + 2,
        inner.y,
        inner.width.saturating_sub(2),
        &[piece(text, Tone::Plain)],
    );
    let Some(total) = &o.total else { return };
    let sites: Vec<String> = o
        .sites
        .iter()
        .map(|(s, r)| format!("{s} {:.0}", r.0))
        .collect();
    let text = format!(
        "in sum up to {:.0} rps ({:.0} to {:.0}): {}",
        total.mid,
        total.low,
        total.high,
        sites.join(", ")
    );
    pen.line(
        inner.x + 2,
        inner.y + 1,
        inner.width.saturating_sub(2),
        &[piece(text, Tone::Plain)],
    );
}

fn list(state: &State, pen: &mut Pen, area: Rect, steps: &[&StepView]) {
    if steps.is_empty() {
        let text = "no step is planned or under way";
        pen.tone(area.x + 2, area.y, area.width, text, Tone::Dim);
        return;
    }
    let named = |row: &str| steps.iter().position(|s| s.id.as_str() == row);
    let at = state.cursor_at(steps.len(), named);
    let each = if area.width < 110 { 2 } else { 1 };
    let detail = if each == 1 { 3.min(area.height / 4) } else { 0 };
    let body = Rect {
        height: area.height - detail,
        ..area
    };
    let fits = (usize::from(body.height) / each).max(1);
    let from = window(at, steps.len(), fits);
    for (k, s) in steps.iter().enumerate().skip(from).take(fits) {
        let y = body.y + ((k - from) * each) as u16;
        let row = Rect {
            y,
            height: (each as u16).min(body.bottom() - y),
            ..body
        };
        draw_step(pen, row, s);
        pen.listed(row, k, at);
    }
    if let (Some(s), true) = (steps.get(at), detail > 1) {
        let text = format!("{}: {}", s.state, s.why);
        let lines = wrap(&text, area.width.saturating_sub(4));
        for (k, line) in lines.iter().take(usize::from(detail)).enumerate() {
            let y = body.bottom() + k as u16;
            pen.tone(area.x + 2, y, area.width, line, Tone::Accent);
        }
    }
}

fn draw_step(pen: &mut Pen, row: Rect, s: &StepView) {
    let (glyph, word, tone) = pen.look.cause(s.cause);
    let (mark, mark_tone) = pen.look.step(&s.state);
    let portion = s.portion.as_ref().map_or("-", PortionId::as_str);
    let tight = row.width < 110;
    let wide = if tight {
        row.width.saturating_sub(50)
    } else {
        28
    };
    let state = fit(pen.look, &s.state, wide.max(10));
    let name = fit(pen.look, portion, 14);
    let lead = [
        piece(format!("{glyph} {word:<10}"), tone),
        piece(format!("{:<16}", s.verb), Tone::Strong),
        piece(format!("{name:<15}"), Tone::Plain),
        piece(format!("{mark} {state}"), mark_tone),
    ];
    let x = pen.line(row.x + 2, row.y, row.width.saturating_sub(2), &lead);
    let (x, y) = if tight {
        (row.x + 4, row.y + 1)
    } else {
        (
            x.max(row.x + 2 + 12 + 16 + 15 + width("verified") + 4) + 2,
            row.y,
        )
    };
    if y < row.bottom() {
        let room = row.right().saturating_sub(x);
        pen.line(
            x,
            y,
            room,
            &[piece(
                s.why.as_str(),
                if tight { Tone::Dim } else { Tone::Plain },
            )],
        );
    }
}
