//! The loop in eight steps with how often each has happened, so that a newcomer sees the whole of it.

use super::pen::{Pen, Piece, brief, piece, width};
use crate::engine::view::Tally;
use crate::tui::look::Tone;
use ratatui::layout::Rect;

/// Rows the strip needs.
pub const ROWS: u16 = 2;

fn steps(tally: &Tally) -> [(u64, &'static str, &'static str); 8] {
    [
        (tally.portions, "portions", "portions"),
        (tally.shadows, "shadows", "shadows"),
        (tally.measurements, "measured", "measured"),
        (tally.profiles, "profiles", "profiles"),
        (tally.forecasts, "forecasts", "forecasts"),
        (tally.preallocations, "pre-allocated", "prealloc"),
        (tally.switchovers, "switched", "switched"),
        (tally.lessons, "learned", "learned"),
    ]
}

pub fn draw(pen: &mut Pen, area: Rect, tally: &Tally) {
    if area.width < 76 {
        return flow(pen, area, tally);
    }
    let cell = area.width / 8;
    for (k, (count, long, brief_word)) in steps(tally).into_iter().enumerate() {
        let word = if width(long) + 2 <= cell {
            long
        } else {
            brief_word
        };
        let x = area.x + k as u16 * cell;
        let number = number(count);
        let tone = if count > 0 { Tone::Strong } else { Tone::Dim };
        let middle = |text: &str| x + cell.saturating_sub(1 + width(text)) / 2;
        pen.tone(middle(&number), area.y, cell, &number, tone);
        let tone = if count > 0 { Tone::Accent } else { Tone::Dim };
        pen.tone(middle(word), area.y + 1, cell, word, tone);
        let arrow = if k == 7 {
            pen.look.pick("↺", "@")
        } else {
            pen.look.pick("▸", ">")
        };
        pen.tone(x + cell - 1, area.y, 1, arrow, Tone::Dim);
    }
}

fn number(count: u64) -> String {
    if count < 10_000 {
        count.to_string()
    } else {
        brief(count as f64)
    }
}

/// Two lines of running text for narrow terminals.
fn flow(pen: &mut Pen, area: Rect, tally: &Tally) {
    let arrow = format!(" {} ", pen.look.arrow());
    for (row, half) in steps(tally).chunks(4).enumerate() {
        let mut pieces: Vec<Piece> = Vec::new();
        for (k, (count, _, word)) in half.iter().enumerate() {
            if k + row > 0 {
                pieces.push(piece(arrow.clone(), Tone::Dim));
            }
            let tone = if *count > 0 { Tone::Strong } else { Tone::Dim };
            pieces.push(piece(number(*count), tone));
            pieces.push(piece(format!(" {word}"), Tone::Accent));
        }
        pen.line(area.x, area.y + row as u16, area.width, &pieces);
    }
}
