//! A pen that never leaves its buffer: text, rules, bars and sparklines, in one look.

use crate::model::{Moment, Span};
use crate::tui::look::{Look, Tone};
use crate::tui::screen::Screen;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

pub struct Pen<'a> {
    pub buf: &'a mut Buffer,
    pub look: Look,
    /// What can be clicked, in the order in which it was drawn.
    pub spots: Vec<Spot>,
}

/// Something on the screen that a click is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    pub area: Rect,
    pub what: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Tab(Screen),
    /// A row of the screen's list.
    Row(usize),
    /// A line of the palette or of a choice.
    Offer(usize),
    /// A button of a confirmation: whether it is the one that does it.
    Button(bool),
    /// What lies over the screen and takes nothing here.
    Cover,
}

/// A piece of a line.
pub type Piece<'a> = (std::borrow::Cow<'a, str>, Tone);

/// A piece from anything that is text.
pub fn piece<'a>(text: impl Into<std::borrow::Cow<'a, str>>, tone: Tone) -> Piece<'a> {
    (text.into(), tone)
}

pub fn width(text: &str) -> u16 {
    ratatui::text::Span::raw(text)
        .width()
        .min(usize::from(u16::MAX)) as u16
}

/// The text cut to `wide` columns, with an ellipsis where something is missing.
pub fn fit(look: Look, text: &str, wide: u16) -> String {
    if width(text) <= wide {
        return text.to_string();
    }
    let mark = look.pick("…", "~");
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = width(c.encode_utf8(&mut [0; 4]));
        if used + w + 1 > wide {
            break;
        }
        out.push(c);
        used += w;
    }
    if wide > 0 {
        out.push_str(mark);
    }
    out
}

/// The text broken into lines of at most `wide` columns, between words where it can be.
pub fn wrap(text: &str, wide: u16) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if width(line) + 1 + width(word) <= wide {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_string());
        }
    }
    lines
}

/// Rows that a list of so many takes; more than any terminal has are as many.
pub fn count(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX).min(9_999)
}

/// The upper `rows` rows of an area, and the rest.
pub fn over(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    let mut parts = (area, area);
    parts.0.height = rows;
    parts.1.y += rows;
    parts.1.height -= rows;
    parts
}

/// The left `columns` of an area, and what is right of them after a gap of two.
pub fn beside(area: Rect, columns: u16) -> (Rect, Rect) {
    let columns = columns.min(area.width);
    let gone = (columns + 2).min(area.width);
    let mut parts = (area, area);
    parts.0.width = columns;
    parts.1.x += gone;
    parts.1.width -= gone;
    parts
}

/// The one row of an area that lies `k` below its top.
pub fn row(area: Rect, k: usize) -> Rect {
    let mut row = area;
    row.y += k as u16;
    row.height = 1;
    row
}

impl Pen<'_> {
    /// Writes up to `wide` columns; the column after the text.
    pub fn text(&mut self, x: u16, y: u16, wide: u16, text: &str, style: Style) -> u16 {
        let area = self.buf.area;
        if y < area.top() || y >= area.bottom() || x < area.left() || x >= area.right() {
            return x;
        }
        let wide = wide.min(area.right() - x);
        self.buf.set_stringn(x, y, text, usize::from(wide), style).0
    }

    pub fn tone(&mut self, x: u16, y: u16, wide: u16, text: &str, tone: Tone) -> u16 {
        let style = self.look.style(tone);
        self.text(x, y, wide, text, style)
    }

    /// Writes pieces one after the other, the last one that fits cut with an ellipsis.
    pub fn line(&mut self, x: u16, y: u16, wide: u16, pieces: &[Piece]) -> u16 {
        let end = x.saturating_add(wide);
        let mut at = x;
        for (text, tone) in pieces {
            if at >= end {
                break;
            }
            let text = fit(self.look, text, end - at);
            at = self.tone(at, y, end - at, &text, *tone);
        }
        at
    }

    /// Text that ends at column `right` (exclusive); the column where it begins.
    pub fn right(&mut self, right: u16, y: u16, pieces: &[Piece]) -> u16 {
        let wide: u16 = pieces.iter().map(|(t, _)| width(t)).sum();
        let x = right.saturating_sub(wide);
        self.line(x, y, wide, pieces);
        x
    }

    pub fn paint(&mut self, area: Rect, style: Style) {
        self.buf.set_style(area, style);
    }

    /// A thin rule with a title; what lies below it.
    pub fn section(&mut self, area: Rect, title: &str, note: &str) -> Rect {
        if area.height == 0 {
            return area;
        }
        let rule = self.look.pick("─", "-").repeat(usize::from(area.width));
        self.tone(area.x, area.y, area.width, &rule, Tone::Dim);
        let x = self.line(
            area.x + 1,
            area.y,
            area.width.saturating_sub(2),
            &[piece(format!(" {title} "), Tone::Strong)],
        );
        let room = area.right().saturating_sub(x + 2);
        if !note.is_empty() && room > 6 {
            let text = format!("{} ", fit(self.look, note, room.saturating_sub(3)));
            self.tone(x + 1, area.y, room, &format!(" {text}"), Tone::Dim);
        }
        Rect {
            y: area.y + 1,
            height: area.height - 1,
            ..area
        }
    }

    /// Row `k` of the screen's list, which is drawn already: it can be clicked, and the cursor stands there if it is row `at`.
    pub fn listed(&mut self, row: Rect, k: usize, at: usize) {
        self.spot(row, Target::Row(k));
        if k == at {
            self.cursor(row);
        }
    }

    pub fn spot(&mut self, area: Rect, what: Target) {
        self.spots.push(Spot { area, what });
    }

    /// The cursor's mark and, in colour, its background. Call it after the row is drawn.
    pub fn cursor(&mut self, row: Rect) {
        let style = self.look.cursor();
        self.paint(row, style);
        let mark = self.look.style(Tone::Accent).patch(style);
        let y = row.y;
        self.text(
            row.x,
            y,
            1,
            ">",
            mark.add_modifier(ratatui::style::Modifier::BOLD),
        );
    }

    /// Used, reserved but idle, and free as three different fills.
    pub fn bar(&mut self, x: u16, y: u16, wide: u16, used: f64, reserved: f64) {
        let (full, idle, free) = self.look.bar();
        let used = if used.is_finite() {
            used.clamp(0.0, 1.0)
        } else {
            0.0
        };
        let reserved = if reserved.is_finite() {
            reserved.clamp(0.0, 1.0)
        } else {
            0.0
        };
        let cells = f64::from(wide);
        let a = (used * cells).round() as u16;
        let b = (reserved.max(used) * cells).round() as u16;
        let hot = if reserved > 0.9 {
            Tone::Warn
        } else {
            Tone::Good
        };
        self.tone(x, y, a, &full.repeat(usize::from(a)), hot);
        self.tone(
            x + a,
            y,
            b - a,
            &idle.repeat(usize::from(b - a)),
            Tone::Foreseen,
        );
        let rest = wide - b;
        self.tone(x + b, y, rest, &free.repeat(usize::from(rest)), Tone::Dim);
    }

    /// One cell a value, scaled to `top`.
    pub fn spark(&mut self, x: u16, y: u16, values: &[f64], top: f64, tone: Tone) {
        let rungs: &[&str] = if self.look.ascii {
            &["_", ".", ":", "-", "=", "+", "*", "#"]
        } else {
            &["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
        };
        for (k, v) in values.iter().enumerate() {
            if !v.is_finite() {
                continue;
            }
            let rung = (v / top.max(f64::MIN_POSITIVE) * 7.99).clamp(0.0, 7.0) as usize;
            self.tone(x + k as u16, y, 1, rungs[rung], tone);
        }
    }
}

/// The first row to show so that row `at` of `all` is seen, near the middle when there is more.
pub fn window(at: usize, all: usize, shown: usize) -> usize {
    at.saturating_sub(shown / 2).min(all.saturating_sub(shown))
}

/// `hh:mm:ss` of the UTC day.
pub fn clock(at: Moment) -> String {
    let s = at.0.div_euclid(1000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

/// A length of time, short.
pub fn short(span: Span) -> String {
    let s = span.0.abs() / 1000;
    match s {
        0..=119 => format!("{s} s"),
        120..=7199 => format!("{} min", s / 60),
        7200..=172_799 => format!("{} h", s / 3600),
        _ => format!("{} d", s / 86_400),
    }
}

/// A number in at most five columns.
pub fn brief(n: f64) -> String {
    match n.abs() {
        a if !a.is_finite() => "-".into(),
        a if a >= 9_999_500.0 => format!("{:.0}M", n / 1e6),
        a if a >= 9_999.5 => format!("{:.0}k", n / 1e3),
        a if a >= 99.95 => format!("{n:.0}"),
        0.0 => "0".into(),
        _ => format!("{n:.1}"),
    }
}

/// A percentage in at most five columns; `100%` only when it is all.
pub fn percent(fraction: f64) -> String {
    let p = fraction * 100.0;
    if !p.is_finite() {
        "-".into()
    } else if p >= 100.0 || p == 0.0 {
        format!("{p:.0}%")
    } else {
        format!("{:.1}%", p.min(99.9))
    }
}
