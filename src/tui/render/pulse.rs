//! The pulse of home: steps of now beside what happened lately.

use super::pen::{Pen, beside, clock, count, over, piece, row};
use crate::engine::view::{LogKind, LogLine};
use crate::tui::keys::Act;
use crate::tui::look::Tone;
use crate::tui::screen::Screen;
use crate::tui::state::State;
use ratatui::layout::Rect;

/// Lines of each kind that are told.
const TOLD: usize = 10;

/// What is being done, what failed, and what else happened, side by side where there is room.
pub fn draw(state: &State, pen: &mut Pen, area: Rect) {
    use LogKind::{Effect, Fault, Held, Lesson, Notice, Verdict, Verification};
    let of = |kinds: &[LogKind]| -> Vec<&LogLine> {
        let told = state.log.iter().rev().filter(|l| kinds.contains(&l.kind));
        told.take(TOLD).collect()
    };
    let failed = of(&[Fault, Held]);
    let rest = [Effect, Verdict, Lesson, Verification, Notice];
    let key = state.key(Act::Go(Screen::Log));
    let note = format!("{key} shows every decision");
    if area.width < 100 {
        let inner = pen.section(area, "Lately", &note);
        return lines(pen, inner, &of(&[&[Fault, Held], &rest[..]].concat()));
    }
    let (left, right) = beside(area, area.width / 2 - 1);
    doing(state, pen, left);
    let wanted = count(failed.len()).max(1) + 1;
    let (upper, lower) = over(right, wanted.min(right.height / 2).max(2));
    let inner = pen.section(upper, "Failed or held", "the newest first");
    lines(pen, inner, &failed);
    let inner = pen.section(lower, "Lately", &note);
    lines(pen, inner, &of(&rest));
}

/// The plan's steps, as many as there is room for.
fn doing(state: &State, pen: &mut Pen, area: Rect) {
    let key = state.key(Act::Go(Screen::Plan));
    let note = format!("under way, then the last ones; {key} shows all");
    let inner = pen.section(area, "Steps", &note);
    let shown = state.view.steps.iter().take(usize::from(inner.height));
    for (k, s) in shown.enumerate() {
        super::plan::brief_step(pen, row(inner, k), s);
    }
    if state.view.steps.is_empty() {
        let text = "no step is planned or under way";
        pen.tone(inner.x + 1, inner.y, inner.width, text, Tone::Dim);
    }
}

fn lines(pen: &mut Pen, area: Rect, lines: &[&LogLine]) {
    if lines.is_empty() && area.height > 0 {
        let text = "nothing yet";
        pen.tone(area.x + 1, area.y, area.width, text, Tone::Dim);
    }
    for (k, l) in lines.iter().take(usize::from(area.height)).enumerate() {
        let (glyph, _, tone) = pen.look.kind(l.kind);
        // Whom it is about, where the line does not say so itself.
        let about = l.portion.as_ref().map_or("", |p| p.as_str());
        let about = match l.text.contains(about) {
            true => String::new(),
            false => format!("{about}: "),
        };
        pen.line(
            area.x + 1,
            area.y + k as u16,
            area.width.saturating_sub(1),
            &[
                piece(clock(l.at), Tone::Dim),
                piece(format!(" {glyph} "), tone),
                piece(about, Tone::Strong),
                piece(l.text.as_str(), Tone::Plain),
            ],
        );
    }
}
