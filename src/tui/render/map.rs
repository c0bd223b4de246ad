//! The map of sites: edge sites on the left, the others on the right, links between them with their round-trip times.

use super::living::Living;
use super::pen::{Pen, brief, fit, piece, row, width};
use crate::engine::view::SiteView;
use crate::tui::look::Tone;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::symbols::Marker;
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Line};

/// Rows of a site on the map, and the free ones below it.
const HIGH: u16 = 4;
const GAP: u16 = 1;

/// Rows that the map of so many sites in its longer column needs.
pub fn rows(sites: usize) -> u16 {
    (sites as u16)
        .saturating_mul(HIGH + GAP)
        .saturating_sub(GAP)
}

/// Draws all sites, `at` marked, with their links; `columns` are the left and the right ones by index.
pub fn draw(
    living: &Living,
    pen: &mut Pen,
    area: Rect,
    (sites, at): (&[&SiteView], usize),
    (left, right): &(Vec<usize>, Vec<usize>),
) {
    let wide = (area.width * 3 / 8).clamp(26, 44);
    let place = |k: usize| -> Option<Rect> {
        let (column, x) = match left.iter().position(|l| *l == k) {
            Some(n) => ((n, left.len()), area.x),
            None => {
                let n = right.iter().position(|r| *r == k)?;
                ((n, right.len()), area.right() - wide)
            }
        };
        let spare = area.height.saturating_sub(rows(column.1));
        let each = HIGH + GAP + spare / column.1.max(1) as u16;
        Some(Rect {
            x,
            y: area.y + column.0 as u16 * each + spare / column.1.max(1) as u16 / 2,
            width: wide,
            height: HIGH,
        })
    };
    let places: Vec<Option<Rect>> = (0..sites.len()).map(place).collect();
    links(living, pen, area, sites, &places);
    for (k, place) in places.iter().enumerate() {
        if let Some(place) = place {
            site(living, pen, *place, sites[k], k == at);
        }
    }
}

/// A link that is drawn: its ends in cells from the area's upper left, its label and where that stands, its tone.
struct Drawn {
    ends: ((f64, f64), (f64, f64)),
    label: String,
    at: (u16, u16),
    tone: Tone,
}

fn links(living: &Living, pen: &mut Pen, area: Rect, sites: &[&SiteView], places: &[Option<Rect>]) {
    let mut all: Vec<Drawn> = Vec::new();
    for (a, from) in places.iter().enumerate() {
        for (b, to) in places.iter().enumerate().skip(a + 1) {
            if let (Some(from), Some(to)) = (from, to)
                && let Some(ms) = living.rtt(&sites[a].site, &sites[b].site)
            {
                let cut = !sites[a].reachable || !sites[b].reachable;
                all.push(drawn(area, (*from, *to), ms, cut));
            }
        }
    }
    let (w, h) = (f64::from(area.width), f64::from(area.height));
    let marker = match (pen.look.ascii, pen.look.blocks) {
        (true, _) => Marker::Dot,
        (false, true) => Marker::HalfBlock,
        (false, false) => Marker::Braille,
    };
    let look = pen.look;
    let colour = move |tone| look.style(tone).fg.unwrap_or(Color::Reset);
    let own = look.theme.ground.filter(|_| look.color);
    let ground = own.map_or(Color::Reset, |(ground, _)| ground);
    if !look.ascii {
        let canvas = Canvas::default()
            .x_bounds([0.0, w])
            .y_bounds([0.0, h])
            .marker(marker)
            .background_color(ground)
            .paint(|c| {
                for l in &all {
                    let ((x1, y1), (x2, y2)) = l.ends;
                    // The canvas has its origin at the lower left.
                    c.draw(&Line::new(x1, h - y1, x2, h - y2, colour(l.tone)));
                }
            });
        canvas.render(area, pen.buf);
    }
    for l in &all {
        let text = format!(" {} ", l.label);
        let x = l.at.0.saturating_sub(width(&text) / 2).max(area.x);
        pen.tone(x, l.at.1, width(&text), &text, l.tone);
    }
}

fn drawn(area: Rect, (from, to): (Rect, Rect), ms: f64, cut: bool) -> Drawn {
    let middle = |r: Rect| {
        (
            f64::from(r.x - area.x) + f64::from(r.width) / 2.0,
            f64::from(r.y - area.y) + f64::from(HIGH) / 2.0,
        )
    };
    let same = from.x == to.x;
    let (a, b) = (middle(from), middle(to));
    // Across, a line leaves at the side of its box; below each other, from foot to head.
    let ends = if same {
        let foot = f64::from(from.y - area.y + HIGH);
        ((a.0, foot), (b.0, f64::from(to.y - area.y)))
    } else {
        let (l, r) = if from.x < to.x {
            (from, to)
        } else {
            (to, from)
        };
        let (start, end) = (middle(l), middle(r));
        (
            (f64::from(l.x - area.x + l.width), start.1),
            (f64::from(r.x - area.x), end.1),
        )
    };
    // Lines that cross would have their labels on each other in the middle.
    let level = (ends.0.1 - ends.1.1).abs() < 1.0;
    let t = if same || level { 0.5 } else { 0.26 };
    let x = ends.0.0 + (ends.1.0 - ends.0.0) * t;
    let y = ends.0.1 + (ends.1.1 - ends.0.1) * t;
    Drawn {
        ends,
        label: format!("{} ms{}", brief(ms), if cut { ", cut" } else { "" }),
        at: (
            area.x + x.round() as u16,
            area.y + (y.floor() as u16).min(area.height - 1),
        ),
        tone: if cut { Tone::Bad } else { Tone::Accent },
    }
}

/// Whether a site is reached and how many of its nodes are up, and how that looks.
pub(super) fn state_of(pen: &Pen, s: &SiteView) -> (String, Tone) {
    let nodes = format!("{}/{} nodes up", s.nodes_up, s.nodes);
    if !s.reachable {
        (
            format!("{} cut off, {nodes}", pen.look.pick("✗", "X")),
            Tone::Bad,
        )
    } else if s.nodes_up < s.nodes {
        (format!("{} {nodes}", pen.look.pick("✗", "X")), Tone::Warn)
    } else {
        (format!("{} {nodes}", pen.look.pick("●", "o")), Tone::Good)
    }
}

/// Name and state, load, room, and what lives there: primaries, standbys, shadows.
fn site(living: &Living, pen: &mut Pen, area: Rect, s: &SiteView, here: bool) {
    for y in area.top()..area.bottom() {
        let blank = " ".repeat(usize::from(area.width));
        pen.tone(area.x, y, area.width, &blank, Tone::Plain);
    }
    let (word, tone) = state_of(pen, s);
    let name = [
        piece(fit(pen.look, s.site.as_str(), 14), Tone::Strong),
        piece(format!(" {}  ", s.kind), Tone::Dim),
        piece(word, tone),
    ];
    pen.line(area.x + 2, area.y, area.width - 2, &name);
    let load = living.load(&s.site);
    let text = format!(" {} rps", brief(load));
    let cells = area.width.saturating_sub(2 + 10);
    let all = s.capacity.cpu.0.max(1.0);
    let y = area.y + 1;
    pen.bar(
        area.x + 2,
        y,
        cells,
        s.used.cpu.0 / all,
        s.reserved.cpu.0 / all,
    );
    pen.tone(area.x + 2 + cells, y, 10, &text, Tone::Strong);
    let standby = pen.look.pick("◆", "*");
    let shadow = pen.look.pick("◐", "%");
    let own = living.primaries(&s.site);
    let backs = living.standbys(&s.site);
    let runs = living.shadows(&s.site).iter();
    let runs: Vec<&str> = runs.map(|h| h.portion.as_str()).collect();
    let with = |sign: &str, names: &str| match names {
        "" => String::new(),
        names => format!("{sign} {names}  "),
    };
    pen.line(
        area.x + 2,
        area.y + 2,
        area.width - 2,
        &[piece(with(pen.look.pick("●", "o"), &own), Tone::Plain)],
    );
    pen.line(
        area.x + 2,
        area.y + 3,
        area.width - 2,
        &[
            piece(with(standby, &backs), Tone::Watch),
            piece(with(shadow, &runs.join(" ")), Tone::Accent),
        ],
    );
    if here {
        pen.cursor(row(area, 0));
    }
}
