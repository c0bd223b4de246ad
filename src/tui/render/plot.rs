//! A plot in cells: a filled band, lines in braille over it, rules for limits and one for now.

use super::pen::{Pen, brief, fit, width};
use crate::tui::look::{Look, Tone};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Columns kept free on the left for the numbers.
const GUTTER: u16 = 6;

pub struct Line {
    pub points: Vec<(f64, f64)>,
    pub tone: Tone,
    /// Drawn with every other dot.
    pub dotted: bool,
}

pub struct Rule {
    pub y: f64,
    pub label: String,
    pub tone: Tone,
}

#[derive(Default)]
pub struct Plot {
    pub x: (f64, f64),
    pub top: f64,
    /// (x, low, high); x grows.
    pub band: Vec<(f64, f64, f64)>,
    pub lines: Vec<Line>,
    pub rules: Vec<Rule>,
    /// Where now is, between past and future.
    pub now: Option<f64>,
    /// Labels under the axis, each centred at its x.
    pub marks: Vec<(f64, String)>,
}

impl Plot {
    pub fn draw(&self, pen: &mut Pen, area: Rect) {
        if area.height < 3 || area.width < GUTTER + 8 {
            return;
        }
        let field = Rect {
            x: area.x + GUTTER,
            y: area.y,
            width: area.width - GUTTER,
            height: area.height - 1,
        };
        self.axes(pen, area, field);
        self.draw_band(pen, field);
        if let Some(now) = self.now {
            let x = field.x + self.column(now, field.width);
            let bar = pen.look.pick("│", "|");
            for y in field.top()..field.bottom() {
                let style = pen.look.style(Tone::Plain);
                pen.text(x, y, 1, bar, style);
            }
        }
        self.draw_rules(pen, field);
        for line in &self.lines {
            self.draw_line(pen, field, line);
        }
    }

    fn column(&self, x: f64, wide: u16) -> u16 {
        let span = (self.x.1 - self.x.0).max(f64::MIN_POSITIVE);
        let t = ((x - self.x.0) / span).clamp(0.0, 1.0);
        (t * f64::from(wide.saturating_sub(1))).round() as u16
    }

    fn axes(&self, pen: &mut Pen, area: Rect, field: Rect) {
        let rows = field.height.saturating_sub(1);
        let ticks: &[u16] = if rows >= 6 { &[0, 1, 2] } else { &[0, 2] };
        for &k in ticks {
            let y = field.y + rows * k / 2;
            let value = self.top * (1.0 - f64::from(rows * k / 2) / f64::from(rows.max(1)));
            let text = brief(value);
            let x = field.x.saturating_sub(width(&text) + 1);
            pen.tone(x, y, GUTTER, &text, Tone::Dim);
        }
        let y = area.bottom() - 1;
        let mut free = area.x;
        for (x, label) in &self.marks {
            let middle = field.x + self.column(*x, field.width);
            let wide = width(label);
            let at = middle
                .saturating_sub(wide / 2)
                .clamp(area.x, (area.right() - 1).max(area.x));
            let at = at.min(area.right().saturating_sub(wide));
            if at >= free {
                free = pen.tone(at, y, wide, label, Tone::Dim) + 1;
            }
        }
    }

    /// The band at x, between its points; none outside.
    fn band_at(&self, x: f64) -> Option<(f64, f64)> {
        let k = self.band.partition_point(|p| p.0 < x);
        let after = self.band.get(k)?;
        let Some(before) = k.checked_sub(1).map(|k| &self.band[k]) else {
            return (after.0 - x < 1e-9).then_some((after.1, after.2));
        };
        let t = (x - before.0) / (after.0 - before.0).max(f64::MIN_POSITIVE);
        let mix = |a: f64, b: f64| a + (b - a) * t;
        Some((mix(before.1, after.1), mix(before.2, after.2)))
    }

    fn draw_band(&self, pen: &mut Pen, field: Rect) {
        let rows = f64::from(field.height);
        let fill = band_style(pen.look);
        for c in 0..field.width {
            let t = f64::from(c) / f64::from(field.width.saturating_sub(1).max(1));
            let Some((low, high)) = self.band_at(self.x.0 + (self.x.1 - self.x.0) * t) else {
                continue;
            };
            let up = |v: f64| (v / self.top * rows).clamp(0.0, rows);
            let (low, high) = (up(low), up(high));
            // At least a thin line, so that a sure forecast is not invisible.
            let first = low.round().min(rows - 1.0) as u16;
            let last = high.round().max(f64::from(first) + 1.0) as u16;
            for r in first..last {
                let y = field.bottom() - 1 - r;
                let x = field.x + c;
                match fill {
                    Fill::Ground(style) => {
                        pen.text(x, y, 1, " ", style);
                    }
                    Fill::Glyph(glyph, style) => {
                        pen.text(x, y, 1, glyph, style);
                    }
                }
            }
        }
    }

    fn draw_rules(&self, pen: &mut Pen, field: Rect) {
        for rule in &self.rules {
            if rule.y > self.top || !rule.y.is_finite() {
                continue;
            }
            let y = field.bottom() - 1 - self.row(rule.y, field.height);
            let dash = pen.look.pick("┄", "-");
            for x in field.left()..field.right() {
                pen.tone(x, y, 1, dash, rule.tone);
            }
            let label = format!(" {} ", fit(pen.look, &rule.label, field.width / 2));
            pen.tone(field.x + 1, y, field.width, &label, rule.tone);
        }
    }

    fn row(&self, value: f64, height: u16) -> u16 {
        let t = (value / self.top.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
        (t * f64::from(height) - 0.5)
            .round()
            .clamp(0.0, f64::from(height - 1)) as u16
    }

    fn draw_line(&self, pen: &mut Pen, field: Rect, line: &Line) {
        let (wide, high) = (usize::from(field.width) * 2, usize::from(field.height) * 4);
        let mut dots = vec![0u8; usize::from(field.width) * usize::from(field.height)];
        let span = (self.x.1 - self.x.0).max(f64::MIN_POSITIVE);
        let place = |(x, y): (f64, f64)| {
            let px = (x - self.x.0) / span * (wide - 1) as f64;
            let py = (1.0 - y / self.top.max(f64::MIN_POSITIVE)) * (high - 1) as f64;
            (
                px.clamp(0.0, (wide - 1) as f64),
                py.clamp(0.0, (high - 1) as f64),
            )
        };
        let mut put = |x: f64, y: f64| {
            let (x, y) = (x.round() as usize, y.round() as usize);
            if !line.dotted || x.is_multiple_of(2) {
                let cell = y / 4 * usize::from(field.width) + x / 2;
                dots[cell] |= dot(x % 2, y % 4);
            }
        };
        let fine = |p: &&(f64, f64)| {
            p.0.is_finite() && p.1.is_finite() && p.0 >= self.x.0 && p.0 <= self.x.1
        };
        let points: Vec<_> = line.points.iter().filter(fine).map(|p| place(*p)).collect();
        if let [only] = points[..] {
            put(only.0, only.1);
        }
        for pair in points.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let steps = (b.0 - a.0).abs().max((b.1 - a.1).abs()).ceil().max(1.0);
            for k in 0..=steps as usize {
                let t = k as f64 / steps;
                put(a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t);
            }
        }
        let style = pen.look.style(line.tone);
        for (k, bits) in dots.into_iter().enumerate().filter(|(_, b)| *b != 0) {
            let (col, row) = (k % usize::from(field.width), k / usize::from(field.width));
            let glyph = glyph(pen.look, bits, line.dotted);
            let (x, y) = (field.x + col as u16, field.y + row as u16);
            pen.text(x, y, 1, glyph.encode_utf8(&mut [0; 4]), style);
        }
    }
}

#[derive(Clone, Copy)]
enum Fill {
    Ground(Style),
    Glyph(&'static str, Style),
}

fn band_style(look: Look) -> Fill {
    if look.color {
        Fill::Ground(Style::new().bg(look.theme.band))
    } else {
        Fill::Glyph(look.pick("░", ":"), look.style(Tone::Dim))
    }
}

fn dot(x: usize, y: usize) -> u8 {
    const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
    BITS[x][y]
}

fn glyph(look: Look, bits: u8, dotted: bool) -> char {
    // Dots of the upper half of the cell, and of the lower.
    let (upper, lower) = (bits & 0x1b != 0, bits & 0xe4 != 0);
    match (look.ascii, dotted) {
        (true, true) => '.',
        (true, false) => '*',
        (false, _) if look.blocks => match (upper, lower, dotted) {
            (_, _, true) => '·',
            (true, true, _) => '█',
            (true, false, _) => '▀',
            (false, _, _) => '▄',
        },
        (false, _) => char::from_u32(0x2800 + u32::from(bits)).unwrap_or('*'),
    }
}
