//! What lies over the screen: help, palette, choice, and the confirmation of a command.

use super::frame::ascii_keys;
use super::help;
use super::pen::{Pen, Piece, Target, count, piece, width, window, wrap};
use crate::engine::view::{Command, Preview, StepView};
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
            pen.spot(body, Target::Cover);
            help::draw(state, pen, body, *scroll);
        }
        Overlay::Palette { text, at } => palette(state, pen, body, text, *at),
        Overlay::Pick { title, options, at } => pick(pen, body, title, options, *at),
        Overlay::Confirm {
            command,
            yes,
            typed,
            since,
        } => {
            let newest = state.newest.preview.as_ref();
            let plan = newest.filter(|p| &p.command == command && p.at >= *since);
            confirm(pen, body, (command, plan), (*yes, typed));
        }
    }
}

fn wipe(pen: &mut Pen, area: Rect) {
    let area = area.intersection(pen.buf.area);
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            pen.buf[(x, y)].reset();
        }
    }
    if let (Some((ground, text)), true) = (pen.look.theme.ground, pen.look.color) {
        pen.paint(area, Style::new().bg(ground).fg(text));
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
    pen.spot(body, Target::Cover);
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
                    format!(
                        "{:<9}",
                        ascii_keys(pen.look.ascii, state.options.keys.shown(b))
                    ),
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
        pen.spot(row, Target::Offer(k));
        if k == at {
            pen.cursor(row);
        }
    }
}

fn pick(pen: &mut Pen, body: Rect, title: &str, options: &[(String, Command)], at: usize) {
    let high = (count(options.len()) + 2).clamp(3, 12);
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
        pen.spot(row, Target::Offer(k));
        if k == at {
            pen.cursor(row);
        }
    }
}

/// Lines of the plan's difference that are shown.
const CHANGES: usize = 6;

fn confirm(
    pen: &mut Pen,
    body: Rect,
    (command, plan): (&Command, Option<&Preview>),
    (yes, typed): (bool, &str),
) {
    let (title, text) = overlay::describe(command);
    let name = overlay::name_to_type(command);
    let wide = if body.width >= 100 {
        84
    } else {
        58.min(body.width)
    };
    let lines = wrap(&text, wide.saturating_sub(4));
    let changes = changes(pen, plan);
    let rows = lines.len() + changes.len() + 6 + usize::from(name.is_some()) * 2;
    let inner = window_in(pen, body, wide, rows as u16, &title);
    let mut y = inner.y + 1;
    for line in &lines {
        pen.tone(inner.x, y, inner.width, line, Tone::Plain);
        y += 1;
    }
    y += 1;
    let last = inner
        .bottom()
        .saturating_sub(2 + u16::from(name.is_some()) * 2);
    for pieces in changes.iter().take(usize::from(last.saturating_sub(y))) {
        pen.line(inner.x, y, inner.width, pieces);
        y += 1;
    }
    let foot = inner.bottom().saturating_sub(1);
    if let Some(name) = name {
        let caret = pen.look.pick("▏", "|");
        let ask = [
            piece(format!("type {name} to go on: "), Tone::Dim),
            piece(typed, Tone::Strong),
            piece(caret, Tone::Accent),
        ];
        pen.line(inner.x, foot.saturating_sub(2), inner.width, &ask);
    }
    let x = button(pen, inner.x, foot, ("cancel", false), !yes);
    button(pen, x + 3, foot, ("do it", true), yes);
    let hint = "Tab moves, Enter chooses";
    if inner.width > width(hint) + 26 {
        pen.right(inner.right(), foot, &[piece(hint, Tone::Dim)]);
    }
}

/// What the plan would gain (+), lose (-) and put off, against the plan as it is.
fn changes<'a>(pen: &Pen, plan: Option<&'a Preview>) -> Vec<Vec<Piece<'a>>> {
    let Some(plan) = plan else {
        return vec![vec![piece(
            "the plan after it is being worked out",
            Tone::Dim,
        )]];
    };
    let step = |sign: &'static str, tone, s: &'a StepView| {
        let portion = s.portion.as_ref().map_or("", |p| p.as_str());
        vec![
            piece(sign, tone),
            piece(format!("{} {portion}  ", s.verb), Tone::Strong),
            piece(s.why.as_str(), Tone::Plain),
            piece(format!(" ({})", s.state), Tone::Dim),
        ]
    };
    let mut out: Vec<Vec<Piece>> = Vec::new();
    out.extend(plan.comes.iter().map(|s| step("+ ", Tone::Good, s)));
    out.extend(plan.goes.iter().map(|s| step("- ", Tone::Bad, s)));
    let pause = pen.look.pick("‖ ", "| ");
    out.extend(plan.waits.iter().map(|w| {
        vec![
            piece(pause, Tone::Warn),
            piece(w.what.as_str(), Tone::Strong),
            piece(format!("  {}", w.why), Tone::Plain),
        ]
    }));
    if out.is_empty() {
        return vec![vec![piece(
            "the next plan is the same with it as without",
            Tone::Dim,
        )]];
    }
    let over = out.len().saturating_sub(CHANGES);
    out.truncate(CHANGES);
    if over > 0 {
        out.push(vec![piece(format!("and {over} more changes"), Tone::Dim)]);
    }
    out
}

fn button(pen: &mut Pen, x: u16, y: u16, (word, does): (&str, bool), focused: bool) -> u16 {
    let end = if focused {
        let style: Style = pen.look.badge(Tone::Accent);
        pen.text(x, y, 20, &format!("[> {word} <]"), style)
    } else {
        pen.tone(x, y, 20, &format!("[  {word}  ]"), Tone::Dim)
    };
    let area = Rect::new(x, y, end - x, 1);
    pen.spot(area, Target::Button(does));
    end
}
