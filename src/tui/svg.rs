//! Cells to SVG: rectangles for backgrounds and blocks, dots for braille, runs of text for the rest.

use super::paint::{Shape, colours, dots, ground, shape};
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::Modifier;
use std::fmt::Write;

/// A cell in pixels.
const W: f64 = 8.4;
const H: f64 = 18.0;
const PAD: f64 = 14.0;
const FONT: &str = "ui-monospace,'JetBrains Mono','DejaVu Sans Mono',Menlo,Consolas,monospace";

/// Width and height of the picture of so many cells, in pixels.
pub fn size(columns: u16, rows: u16) -> (f64, f64) {
    (
        f64::from(columns) * W + 2.0 * PAD,
        f64::from(rows) * H + 2.0 * PAD,
    )
}

/// The whole buffer as one SVG document.
pub fn render(buffer: &Buffer) -> String {
    let (wide, high) = size(buffer.area.width, buffer.area.height);
    let under = ground(buffer);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.1} {high:.1}" width="{wide:.0}" height="{high:.0}" font-family="{FONT}" font-size="14" xml:space="preserve"><rect width="100%" height="100%" rx="8" fill="#{under:06x}"/>"##
    );
    out.push('\n');
    for y in 0..buffer.area.height {
        backgrounds(&mut out, buffer, y, under);
        shapes(&mut out, buffer, y, under);
        runs(&mut out, buffer, y, under);
    }
    out.push_str("</svg>\n");
    out
}

fn cell(buffer: &Buffer, x: u16, y: u16) -> &Cell {
    &buffer[(buffer.area.x + x, buffer.area.y + y)]
}

fn left(x: u16) -> f64 {
    PAD + f64::from(x) * W
}
fn top(y: u16) -> f64 {
    PAD + f64::from(y) * H
}

fn rect(out: &mut String, (x, y): (f64, f64), (w, h): (f64, f64), fill: u32) {
    let _ = writeln!(
        out,
        r##"<rect x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" fill="#{fill:06x}"/>"##
    );
}

fn backgrounds(out: &mut String, buffer: &Buffer, y: u16, ground: u32) {
    let mut x = 0;
    while x < buffer.area.width {
        let (_, bg) = colours(cell(buffer, x, y), ground);
        let from = x;
        while x < buffer.area.width && colours(cell(buffer, x, y), ground).1 == bg {
            x += 1;
        }
        if bg != ground {
            let wide = f64::from(x - from) * W;
            rect(out, (left(from), top(y)), (wide, H + 0.3), bg);
        }
    }
}

fn shapes(out: &mut String, buffer: &Buffer, y: u16, ground: u32) {
    for x in 0..buffer.area.width {
        let here = cell(buffer, x, y);
        let (fg, _) = colours(here, ground);
        let (l, t) = (left(x), top(y));
        match shape(here.symbol()) {
            None => {}
            Some(Shape::Block { from, to }) => {
                rect(out, (l, t + H * (1.0 - to)), (W, H * (to - from)), fg);
            }
            Some(Shape::Shade(alpha)) => {
                let _ = writeln!(
                    out,
                    r##"<rect x="{l:.1}" y="{:.1}" width="{W}" height="{:.1}" fill="#{fg:06x}" fill-opacity="{alpha}"/>"##,
                    t + 3.0,
                    H - 6.0
                );
            }
            Some(Shape::Braille(bits)) => braille(out, (l, t), bits, fg),
        }
    }
}

fn braille(out: &mut String, (l, t): (f64, f64), bits: u32, fill: u32) {
    let mut path = String::new();
    for (x, y) in dots(bits) {
        let x = l + (f64::from(x) + 0.5) * W / 2.0;
        let y = t + (f64::from(y) + 0.5) * H / 4.0;
        let _ = write!(path, "M{x:.1} {y:.1}h.01");
    }
    let _ = writeln!(
        out,
        r##"<path d="{path}" stroke="#{fill:06x}" stroke-width="3" stroke-linecap="round"/>"##
    );
}

fn runs(out: &mut String, buffer: &Buffer, y: u16, ground: u32) {
    let letter = |c: &Cell| shape(c.symbol()).is_none() && c.symbol() != " ";
    let same = |a: &Cell, b: &Cell| a.fg == b.fg && a.bg == b.bg && a.modifier == b.modifier;
    let mut x = 0;
    while x < buffer.area.width {
        let first = cell(buffer, x, y);
        if !letter(first) {
            x += 1;
            continue;
        }
        let from = x;
        let mut text = String::new();
        while x < buffer.area.width && letter(cell(buffer, x, y)) && same(first, cell(buffer, x, y))
        {
            text.push_str(&escape(cell(buffer, x, y).symbol()));
            x += 1;
        }
        let weight = if first.modifier.contains(Modifier::BOLD) {
            r#" font-weight="bold""#
        } else {
            ""
        };
        let (fg, _) = colours(first, ground);
        let (l, base, length) = (left(from), top(y) + H * 0.74, f64::from(x - from) * W);
        let _ = writeln!(
            out,
            r##"<text x="{l:.1}" y="{base:.1}" textLength="{length:.1}" fill="#{fg:06x}"{weight}>{text}</text>"##
        );
    }
}

fn escape(symbol: &str) -> String {
    symbol
        .chars()
        .filter(|c| !c.is_control())
        .map(|c| match c {
            '&' => "&amp;".to_string(),
            '<' => "&lt;".to_string(),
            '>' => "&gt;".to_string(),
            '"' => "&quot;".to_string(),
            c => c.to_string(),
        })
        .collect()
}
