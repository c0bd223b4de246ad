//! The log of decisions: followed by default, filtered by `/`.

use super::pen::{Pen, clock, fit, piece, window};
use crate::engine::view::LogLine;
use crate::model::PortionId;
use crate::model::counted;
use crate::tui::keys::Act;
use crate::tui::look::Tone;
use crate::tui::rows;
use crate::tui::state::State;
use ratatui::layout::Rect;

pub fn draw(state: &State, pen: &mut Pen, area: Rect) {
    let lines = rows::log(state);
    let badge = if state.follow {
        "following".into()
    } else {
        format!("paused: {} follows", state.key(Act::Follow))
    };
    let of = if lines.len() == state.log.len() {
        counted(lines.len(), "line")
    } else {
        format!("{} of {}", lines.len(), counted(state.log.len(), "line"))
    };
    let inner = pen.section(area, "Decisions", &format!("{of}, {badge}"));
    if lines.is_empty() {
        let text = if state.log.is_empty() {
            "nothing has been decided yet".into()
        } else {
            state.filtered_out("line")
        };
        pen.tone(inner.x + 2, inner.y, inner.width, &text, Tone::Dim);
        return;
    }
    let seq = |row: &str| row.parse().ok();
    let numbered = |row: &str| lines.iter().position(|l| Some(l.seq) == seq(row));
    let at = state.cursor_at(lines.len(), numbered);
    let fits = usize::from(inner.height);
    let from = if state.follow {
        lines.len().saturating_sub(fits)
    } else {
        window(at, lines.len(), fits)
    };
    for (k, line) in lines.iter().enumerate().skip(from).take(fits) {
        let row = Rect {
            y: inner.y + (k - from) as u16,
            height: 1,
            ..inner
        };
        draw_line(pen, row, line);
        pen.listed(row, k, at);
    }
}

fn draw_line(pen: &mut Pen, row: Rect, l: &LogLine) {
    let (glyph, word, tone) = pen.look.kind(l.kind);
    let mut pieces = vec![
        piece(clock(l.at), Tone::Dim),
        piece(format!("  {glyph} {word:<9}"), tone),
    ];
    if row.width >= 100 {
        let (cause, tone) = match l.cause {
            Some(cause) => {
                let (glyph, word, tone) = pen.look.cause(cause);
                (format!("{glyph} {word}"), tone)
            }
            None => (String::new(), Tone::Dim),
        };
        pieces.push(piece(format!("{cause:<12}"), tone));
    } else {
        let (cause, tone) = match l.cause {
            Some(cause) => {
                let (glyph, _, tone) = pen.look.cause(cause);
                (glyph, tone)
            }
            None => (" ", Tone::Dim),
        };
        pieces.push(piece(format!("{cause} "), tone));
    }
    if row.width >= 76 {
        let portion = l.portion.as_ref().map_or("", PortionId::as_str);
        pieces.push(piece(
            format!("{:<10} ", fit(pen.look, portion, 10)),
            Tone::Strong,
        ));
    }
    pieces.push(piece(l.text.as_str(), Tone::Plain));
    pen.line(row.x + 2, row.y, row.width.saturating_sub(2), &pieces);
}
