//! The pulse of home: steps of now beside what happened lately.

use super::pen::{Pen, clock, piece};
use crate::engine::view::{LogKind, LogLine};
use crate::tui::look::Tone;
use crate::tui::state::State;
use ratatui::layout::Rect;

/// What is being done, and what happened lately, side by side where there is room.
pub fn draw(state: &State, pen: &mut Pen, area: Rect) {
    let told = |l: &&LogLine| {
        use LogKind::*;
        matches!(
            l.kind,
            Fault | Held | Effect | Verdict | Lesson | Verification | Notice
        )
    };
    let lately: Vec<&LogLine> = state.log.iter().rev().filter(told).take(10).collect();
    if area.width < 100 {
        let inner = pen.section(area, "Lately", "");
        return lines(pen, inner, &lately);
    }
    let half = area.width / 2;
    let left = Rect {
        width: half - 1,
        ..area
    };
    let right = Rect {
        x: area.x + half + 1,
        width: area.width - half - 1,
        ..area
    };
    let inner = pen.section(left, "Doing", "7 shows the whole plan");
    for (k, s) in state
        .view
        .steps
        .iter()
        .take(usize::from(inner.height))
        .enumerate()
    {
        super::plan::brief_step(
            pen,
            Rect {
                y: inner.y + k as u16,
                height: 1,
                ..inner
            },
            s,
        );
    }
    if state.view.steps.is_empty() {
        pen.tone(
            inner.x + 1,
            inner.y,
            inner.width,
            "no step is planned or under way",
            Tone::Dim,
        );
    }
    let inner = pen.section(right, "Lately", "8 shows every decision");
    lines(pen, inner, &lately);
}

fn lines(pen: &mut Pen, area: Rect, lines: &[&LogLine]) {
    if lines.is_empty() {
        let text = "nothing has happened yet";
        pen.tone(area.x + 1, area.y, area.width, text, Tone::Dim);
    }
    for (k, l) in lines.iter().take(usize::from(area.height)).enumerate() {
        let (glyph, _, tone) = pen.look.kind(l.kind);
        pen.line(
            area.x + 1,
            area.y + k as u16,
            area.width.saturating_sub(1),
            &[
                piece(clock(l.at), Tone::Dim),
                piece(format!(" {glyph} "), tone),
                piece(l.text.as_str(), Tone::Plain),
            ],
        );
    }
}
