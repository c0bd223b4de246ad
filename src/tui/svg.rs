//! Cells to SVG: rectangles for backgrounds and blocks, dots for braille, runs of text for the rest.

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use std::fmt::Write;

/// A cell in pixels.
const W: f64 = 8.4;
const H: f64 = 18.0;
const PAD: f64 = 14.0;
const GROUND: &str = "#11151c";
const TEXT: &str = "#d5dae3";
/// Behind a whole frame.
const FONT: &str = "ui-monospace,'JetBrains Mono','DejaVu Sans Mono',Menlo,Consolas,monospace";

/// The sixteen colours of the dark theme.
const PALETTE: [&str; 16] = [
    "#1b212b", "#e0616b", "#8cc570", "#e0b568", "#5c9df0", "#c07be0", "#56b6c2", "#c5ccd8",
    "#6b7588", "#ff7b85", "#a5e087", "#ffd07f", "#82b8ff", "#d79bf5", "#7fd8e0", "#ffffff",
];

fn named(color: Color, default: &str) -> String {
    let index = match color {
        Color::Reset => return default.to_string(),
        Color::Rgb(r, g, b) => return format!("#{r:02x}{g:02x}{b:02x}"),
        Color::Indexed(n) => return indexed(n),
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::Gray => 7,
        Color::DarkGray => 8,
        Color::LightRed => 9,
        Color::LightGreen => 10,
        Color::LightYellow => 11,
        Color::LightBlue => 12,
        Color::LightMagenta => 13,
        Color::LightCyan => 14,
        Color::White => 15,
    };
    PALETTE[index].to_string()
}

/// A colour of the 256: sixteen named ones, a cube, and greys.
fn indexed(n: u8) -> String {
    match n {
        0..=15 => PALETTE[usize::from(n)].to_string(),
        16..=231 => {
            let n = n - 16;
            let part = |k: u8| if k == 0 { 0 } else { 55 + 40 * k };
            let (r, g, b) = (part(n / 36), part(n / 6 % 6), part(n % 6));
            format!("#{r:02x}{g:02x}{b:02x}")
        }
        _ => {
            let v = 8 + 10 * (n - 232);
            format!("#{v:02x}{v:02x}{v:02x}")
        }
    }
}

/// Foreground and background as they are seen, reverse video worked in.
fn colours(cell: &Cell) -> (String, String) {
    let (fg, bg) = (named(cell.fg, TEXT), named(cell.bg, GROUND));
    if cell.modifier.contains(Modifier::REVERSED) {
        (bg, fg)
    } else {
        (fg, bg)
    }
}

/// The whole buffer as one SVG document.
pub fn render(buffer: &Buffer) -> String {
    let area = buffer.area;
    let (wide, high) = (
        f64::from(area.width) * W + 2.0 * PAD,
        f64::from(area.height) * H + 2.0 * PAD,
    );
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.1} {high:.1}" width="{wide:.0}" height="{high:.0}" font-family="{FONT}" font-size="14" xml:space="preserve"><rect width="100%" height="100%" rx="8" fill="{GROUND}"/>"#
    );
    out.push('\n');
    for y in 0..area.height {
        backgrounds(&mut out, buffer, y);
        shapes(&mut out, buffer, y);
        runs(&mut out, buffer, y);
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

fn rect(out: &mut String, (x, y): (f64, f64), (w, h): (f64, f64), fill: &str) {
    let _ = writeln!(
        out,
        r#"<rect x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" fill="{fill}"/>"#
    );
}

fn backgrounds(out: &mut String, buffer: &Buffer, y: u16) {
    let mut x = 0;
    while x < buffer.area.width {
        let (_, bg) = colours(cell(buffer, x, y));
        let from = x;
        while x < buffer.area.width && colours(cell(buffer, x, y)).1 == bg {
            x += 1;
        }
        if bg != GROUND {
            rect(
                out,
                (left(from), top(y)),
                (f64::from(x - from) * W, H + 0.3),
                &bg,
            );
        }
    }
}

/// What is drawn as a shape instead of a letter, so that no font has to have it.
enum Shape {
    /// Eighths from below.
    Block(f64),
    /// How much of the colour shows.
    Shade(f64),
    Braille(u32),
}

fn shape(symbol: &str) -> Option<Shape> {
    let c = symbol.chars().next()?;
    match c {
        '▁'..='█' => Some(Shape::Block(f64::from(c as u32 - '▁' as u32 + 1) / 8.0)),
        '░' => Some(Shape::Shade(0.25)),
        '▒' => Some(Shape::Shade(0.55)),
        '\u{2800}'..='\u{28ff}' => Some(Shape::Braille(c as u32 - 0x2800)),
        _ => None,
    }
}

fn shapes(out: &mut String, buffer: &Buffer, y: u16) {
    for x in 0..buffer.area.width {
        let here = cell(buffer, x, y);
        let (fg, _) = colours(here);
        let (l, t) = (left(x), top(y));
        match shape(here.symbol()) {
            None => {}
            Some(Shape::Block(part)) => rect(out, (l, t + H * (1.0 - part)), (W, H * part), &fg),
            Some(Shape::Shade(alpha)) => {
                let _ = writeln!(
                    out,
                    r#"<rect x="{l:.1}" y="{:.1}" width="{W}" height="{:.1}" fill="{fg}" fill-opacity="{alpha}"/>"#,
                    t + 3.0,
                    H - 6.0
                );
            }
            Some(Shape::Braille(bits)) => braille(out, (l, t), bits, &fg),
        }
    }
}

fn braille(out: &mut String, (l, t): (f64, f64), bits: u32, fill: &str) {
    const DOTS: [(u32, f64, f64); 8] = [
        (0x01, 0.0, 0.0),
        (0x02, 0.0, 1.0),
        (0x04, 0.0, 2.0),
        (0x40, 0.0, 3.0),
        (0x08, 1.0, 0.0),
        (0x10, 1.0, 1.0),
        (0x20, 1.0, 2.0),
        (0x80, 1.0, 3.0),
    ];
    let mut path = String::new();
    for (bit, x, y) in DOTS {
        if bits & bit != 0 {
            let (x, y) = (l + (x + 0.5) * W / 2.0, t + (y + 0.5) * H / 4.0);
            let _ = write!(path, "M{x:.1} {y:.1}h.01");
        }
    }
    let _ = writeln!(
        out,
        r#"<path d="{path}" stroke="{fill}" stroke-width="3" stroke-linecap="round"/>"#
    );
}

fn runs(out: &mut String, buffer: &Buffer, y: u16) {
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
        let (fg, _) = colours(first);
        let (l, base, length) = (left(from), top(y) + H * 0.74, f64::from(x - from) * W);
        let _ = writeln!(
            out,
            r#"<text x="{l:.1}" y="{base:.1}" textLength="{length:.1}" fill="{fg}"{weight}>{text}</text>"#
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
