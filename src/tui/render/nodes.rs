//! Nodes: state, room used, reserved and free, hazard, and who lives there.

use super::pen::{Pen, brief, fit, percent, piece, window};
use crate::engine::view::NodeView;
use crate::model::counted;
use crate::tui::look::Tone;
use crate::tui::rows;
use crate::tui::state::State;
use ratatui::layout::Rect;

pub fn draw(state: &State, pen: &mut Pen, area: Rect) {
    let nodes = rows::nodes(state);
    let (used, idle, free) = pen.look.bar();
    let note = format!(
        "{}; {used} used {idle} reserved {free} free",
        counted(nodes.len(), "node")
    );
    let inner = pen.section(area, "Nodes", &note);
    if nodes.is_empty() {
        let text = if state.view.nodes.is_empty() {
            "no node is seen: Nomad's nodes have not been read".into()
        } else {
            state.filtered_out("node")
        };
        pen.tone(inner.x + 2, inner.y, inner.width, &text, Tone::Dim);
        return;
    }
    let cells = if inner.width >= 150 {
        24
    } else {
        inner.width.saturating_sub(62).clamp(6, 14)
    };
    header(pen, inner, cells);
    let named = |row: &str| nodes.iter().position(|n| n.id.as_str() == row);
    let at = state.cursor_at(nodes.len(), named);
    let fits = usize::from(inner.height.saturating_sub(1));
    let from = window(at, nodes.len(), fits);
    for (k, n) in nodes.iter().enumerate().skip(from).take(fits) {
        let row = Rect {
            y: inner.y + 1 + (k - from) as u16,
            height: 1,
            ..inner
        };
        draw_row(pen, row, n, cells);
        pen.listed(row, k, at);
    }
}

fn wide(area: Rect) -> bool {
    area.width >= 100
}

fn header(pen: &mut Pen, area: Rect, cells: u16) {
    let c = usize::from(cells);
    let text = if wide(area) {
        format!(
            "{:<15}{:<12}{:<11}{:<w$} {:<w$} {:>7}  lives here",
            "node",
            "class",
            "state",
            "cpu",
            "memory",
            "hazard",
            w = c + 7
        )
    } else {
        format!(
            "{:<15}{:<11}{:<w$} {:>7}  lives here",
            "node",
            "state",
            "cpu",
            "hazard",
            w = c
        )
    };
    pen.tone(
        area.x + 2,
        area.y,
        area.width.saturating_sub(2),
        &text,
        Tone::Dim,
    );
}

fn draw_row(pen: &mut Pen, row: Rect, n: &NodeView, cells: u16) {
    let (glyph, word, tone) = pen.look.node(n.status);
    let word = if n.eligible { word } else { "closed" };
    let tone = if n.eligible { tone } else { Tone::Warn };
    let room = row.width.saturating_sub(2);
    let mut x = row.x + 2;
    let name = fit(pen.look, &n.name, 14);
    pen.tone(x, row.y, room, &name, Tone::Strong);
    x += 15;
    if wide(row) {
        let class = fit(pen.look, n.class.as_str(), 11);
        pen.tone(x, row.y, 12, &class, Tone::Dim);
        x += 12;
    }
    pen.tone(x, row.y, 11, &format!("{glyph} {word}"), tone);
    x += 11;
    let part = |a: f64, b: f64| a / b.max(1.0);
    let c = &n.capacity;
    pen.bar(
        x,
        row.y,
        cells,
        part(n.used.cpu.0, c.cpu.0),
        part(n.reserved.cpu.0, c.cpu.0),
    );
    x += cells;
    if wide(row) {
        let free = (c.cpu.0 - n.reserved.cpu.0).max(0.0);
        pen.tone(x, row.y, 7, &format!(" {:>5} ", brief(free)), Tone::Dim);
        x += 8;
        pen.bar(
            x,
            row.y,
            cells,
            part(n.used.memory.0, c.memory.0),
            part(n.reserved.memory.0, c.memory.0),
        );
        x += cells;
        let free = (c.memory.0 - n.reserved.memory.0).max(0.0);
        pen.tone(x, row.y, 7, &format!(" {:>5} ", brief(free)), Tone::Dim);
        x += 7;
    }
    let hazard = if n.hazard.0 >= 0.1 {
        Tone::Warn
    } else {
        Tone::Dim
    };
    pen.right(x + 8, row.y, &[piece(percent(n.hazard.0), hazard)]);
    x += 10;
    let lives = n.portions.join(pen.look.pick(" · ", ", "));
    pen.line(
        x,
        row.y,
        row.right().saturating_sub(x),
        &[piece(lives, Tone::Plain)],
    );
}
