//! What lies over the screen: help, palette, choice, and the confirmation of a command.

use super::frame::ascii_keys;
use super::help;
use super::pen::{Pen, piece, width, window, wrap};
use crate::engine::view::Command;
use crate::tui::look::Tone;
use crate::tui::overlay::{self, Found};
use crate::tui::state::{Overlay, State};
use ratatui::layout::Rect;
use ratatui::style::Style;

pub fn draw(state: &State, pen: &mut Pen, body: Rect) {
    match &state.overlay {
        Overlay::None | Overlay::Filter { .. } => {}
        Overlay::Help { scroll } => {
            wipe(pen, body);
            help::draw(state, pen, body, *scroll);
        }
        Overlay::Palette { text, at } => palette(state, pen, body, text, *at),
        Overlay::Pick { title, options, at } => pick(pen, body, title, options, *at),
        Overlay::Confirm { command, yes } => confirm(pen, body, command, *yes),
    }
}

fn wipe(pen: &mut Pen, area: Rect) {
    let area = area.intersection(pen.buf.area);
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            pen.buf[(x, y)].reset();
        }
    }
}

/// An empty box in the middle; what is inside its border.
fn window_in(pen: &mut Pen, body: Rect, wide: u16, high: u16, title: &str) -> Rect {
    let wide = wide.min(body.width);
    let high = high.min(body.height);
    let area = Rect {
        x: body.x + (body.width - wide) / 2,
        y: body.y + (body.height - high) / 3,
        width: wide,
        height: high,
    };
    wipe(pen, area);
    let [tl, tr, bl, br, h, v] = if pen.look.ascii {
        ["+", "+", "+", "+", "=", "|"]
    } else {
        ["┏", "┓", "┗", "┛", "━", "┃"]
    };
    let line = h.repeat(usize::from(wide.saturating_sub(2)));
    pen.tone(
        area.x,
        area.y,
        wide,
        &format!("{tl}{line}{tr}"),
        Tone::Accent,
    );
    pen.tone(
        area.x,
        area.bottom() - 1,
        wide,
        &format!("{bl}{line}{br}"),
        Tone::Accent,
    );
    for y in area.y + 1..area.bottom() - 1 {
        pen.tone(area.x, y, 1, v, Tone::Accent);
        pen.tone(area.right() - 1, y, 1, v, Tone::Accent);
    }
    pen.line(
        area.x + 2,
        area.y,
        wide.saturating_sub(4),
        &[piece(format!(" {title} "), Tone::Strong)],
    );
    Rect {
        x: area.x + 2,
        y: area.y + 1,
        width: wide.saturating_sub(4),
        height: high.saturating_sub(2),
    }
}

fn palette(state: &State, pen: &mut Pen, body: Rect, text: &str, at: usize) {
    let offers = overlay::offers(state, text);
    let inner = window_in(pen, body, 64, 14, "Run");
    let caret = pen.look.pick("▏", "|");
    pen.line(
        inner.x,
        inner.y,
        inner.width,
        &[
            piece(":", Tone::Accent),
            piece(text, Tone::Strong),
            piece(caret, Tone::Accent),
        ],
    );
    if offers.is_empty() && inner.height > 1 {
        pen.tone(
            inner.x,
            inner.y + 1,
            inner.width,
            "nothing is called that",
            Tone::Dim,
        );
    }
    let fits = usize::from(inner.height.saturating_sub(1));
    let from = window(at, offers.len(), fits);
    for (k, found) in offers.iter().enumerate().skip(from).take(fits) {
        let row = Rect {
            y: inner.y + 1 + (k - from) as u16,
            height: 1,
            ..inner
        };
        let pieces = match found {
            Found::Key(b) => [
                piece(format!("{:<10} ", b.word), Tone::Strong),
                piece(
                    format!("{:<9}", ascii_keys(pen.look.ascii, b.shown)),
                    Tone::Accent,
                ),
                piece(b.help, Tone::Dim),
            ],
            Found::Portion(id) => [
                piece(format!("{id} "), Tone::Strong),
                piece("", Tone::Plain),
                piece("go to this portion", Tone::Dim),
            ],
        };
        pen.line(row.x + 2, row.y, row.width.saturating_sub(2), &pieces);
        if k == at {
            pen.cursor(row);
        }
    }
}

fn pick(pen: &mut Pen, body: Rect, title: &str, options: &[(String, Command)], at: usize) {
    let high = (options.len() as u16).saturating_add(2).clamp(3, 12);
    let inner = window_in(pen, body, 50, high, title);
    let fits = usize::from(inner.height);
    let from = window(at, options.len(), fits);
    for (k, (text, _)) in options.iter().enumerate().skip(from).take(fits) {
        let row = Rect {
            y: inner.y + (k - from) as u16,
            height: 1,
            ..inner
        };
        pen.tone(
            row.x + 2,
            row.y,
            row.width.saturating_sub(2),
            text,
            Tone::Plain,
        );
        if k == at {
            pen.cursor(row);
        }
    }
}

fn confirm(pen: &mut Pen, body: Rect, command: &Command, yes: bool) {
    let (title, text) = overlay::describe(command);
    let wide = 58.min(body.width);
    let lines = wrap(&text, wide.saturating_sub(4));
    let inner = window_in(pen, body, wide, lines.len() as u16 + 5, &title);
    for (k, line) in lines.iter().enumerate() {
        pen.tone(
            inner.x,
            inner.y + 1 + k as u16,
            inner.width,
            line,
            Tone::Plain,
        );
    }
    let y = inner.bottom().saturating_sub(1);
    let x = button(pen, inner.x, y, "cancel", !yes);
    button(pen, x + 3, y, "do it", yes);
    let hint = "Tab moves, Enter chooses";
    if inner.width > width(hint) + 26 {
        pen.right(inner.right(), y, &[piece(hint, Tone::Dim)]);
    }
}

fn button(pen: &mut Pen, x: u16, y: u16, word: &str, focused: bool) -> u16 {
    if focused {
        let style: Style = pen.look.badge(Tone::Accent);
        pen.text(x, y, 20, &format!("[> {word} <]"), style)
    } else {
        pen.tone(x, y, 20, &format!("[  {word}  ]"), Tone::Dim)
    }
}
