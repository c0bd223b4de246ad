//! A map of sites: room used, reserved and free, links, hazards, and what lives where.

use super::living::Living;
use super::map;
use super::pen::{Pen, beside, brief, fit, over, percent, piece, row, width, window};
use crate::engine::view::SiteView;
use crate::tui::look::Tone;
use crate::tui::rows;
use crate::tui::state::State;
use ratatui::layout::Rect;

/// Rows of a card, border included.
const CARD: u16 = 9;

pub fn draw(state: &State, pen: &mut Pen, area: Rect) {
    let sites = rows::sites(state);
    let area = legend(pen, area);
    if sites.is_empty() {
        let text = if state.view.sites.is_empty() {
            "no site is seen: Nomad's nodes have not been read".into()
        } else {
            state.filtered_out("site")
        };
        pen.tone(area.x + 1, area.y, area.width, &text, Tone::Dim);
        return;
    }
    let named = |row: &str| sites.iter().position(|s| s.site.as_str() == row);
    let at = state.cursor_at(sites.len(), named);
    if area.width < 76 || area.height < 14 {
        return list(state, pen, area, &sites, at);
    }
    let columns = columns(&sites);
    let below = CARD.min(area.height / 2).max(7);
    let room = area.height.saturating_sub(below + 1);
    if map::rows(columns.0.len().max(columns.1.len())) <= room {
        return with_map(state, pen, over(area, room), (&sites, at), &columns);
    }
    cards(state, pen, area, (&sites, at), columns);
}

/// Cards in two columns, as many as there is room for, and what is likely to fail below them.
fn cards(
    state: &State,
    pen: &mut Pen,
    area: Rect,
    (sites, at): (&[&SiteView], usize),
    (left, right): (Vec<usize>, Vec<usize>),
) {
    let gutter = if area.width >= 110 { 18 } else { 2 };
    let wide = (area.width - gutter) / 2;
    let high = card_height(area.height, sites.len());
    let rows_all = left.len().max(right.len());
    let fits = (usize::from(area.height) + 1) / usize::from(high + 1);
    let row_at = left
        .iter()
        .position(|k| *k == at)
        .or(right.iter().position(|k| *k == at));
    let from = window(row_at.unwrap_or(0), rows_all, fits.max(1));
    let shown = from..rows_all.min(from + fits.max(1));
    // The row after the last one has a link to it.
    let near = [&left, &right].map(|c| c.iter().skip(from).take(fits.max(1) + 1));
    let near = near.into_iter().flatten().map(|k| sites[*k]);
    let living = Living::of(&state.view, near);
    for row in shown {
        let y = area.y + (row - from) as u16 * (high + 1);
        let height = high.min(area.bottom().saturating_sub(y));
        let l = Rect {
            y,
            height,
            width: wide,
            ..area
        };
        let r = Rect {
            x: area.x + wide + gutter,
            ..l
        };
        for (column, place) in [(&left, l), (&right, r)] {
            if let Some(k) = column.get(row) {
                card(&living, pen, place, sites[*k], *k == at);
            }
        }
        links(&living, pen, (l, r), (row, &left, &right), sites);
    }
    let used = (rows_all - from).min(fits.max(1)) as u16 * (high + 1);
    if area.height >= used + 4 {
        hazards(
            state,
            pen,
            Rect {
                y: area.y + used,
                height: area.height - used,
                ..area
            },
        );
    }
}

/// The map, and below it the site under the cursor and what is likely to fail.
fn with_map(
    state: &State,
    pen: &mut Pen,
    (upper, lower): (Rect, Rect),
    (sites, at): (&[&SiteView], usize),
    columns: &(Vec<usize>, Vec<usize>),
) {
    let living = Living::of(&state.view, sites.iter().copied());
    map::draw(&living, pen, upper, (sites, at), columns);
    let lower = Rect {
        y: lower.y + 1,
        height: lower.height - 1,
        ..lower
    };
    let (left, right) = beside(lower, lower.width * 11 / 20);
    let left = Rect {
        height: left.height.min(CARD),
        ..left
    };
    if let Some(site) = sites.get(at) {
        card(&living, pen, left, site, true);
    }
    hazards(state, pen, right);
}

/// What is most likely to fail within the horizon, and why that is thought.
fn hazards(state: &State, pen: &mut Pen, area: Rect) {
    let mut all: Vec<_> = state.view.hazards.iter().collect();
    all.sort_by(|a, b| b.within.0.total_cmp(&a.within.0));
    let inner = pen.section(area, "Hazards", "most likely first, within the horizon");
    if all.is_empty() {
        pen.tone(
            inner.x + 2,
            inner.y,
            inner.width,
            "none is foreseen",
            Tone::Dim,
        );
    }
    for (k, h) in all.into_iter().take(usize::from(inner.height)).enumerate() {
        let tone = if h.within.0 >= 0.1 {
            Tone::Warn
        } else {
            Tone::Plain
        };
        let kind = match h.domain {
            crate::model::Domain::Node(_) => "node",
            crate::model::Domain::Site(_) => "site",
            crate::model::Domain::Link(..) => "link",
        };
        pen.line(
            inner.x + 2,
            inner.y + k as u16,
            inner.width.saturating_sub(2),
            &[
                piece(format!("{:>6}  ", percent(h.within.0)), tone),
                piece(
                    format!("{:<20}", fit(pen.look, &format!("{kind} {}", h.name), 19)),
                    Tone::Strong,
                ),
                piece(h.why.as_str(), Tone::Plain),
            ],
        );
    }
}

fn legend(pen: &mut Pen, area: Rect) -> Rect {
    let (used, idle, free) = pen.look.bar();
    let [serves, stands, runs] = match pen.look.ascii {
        true => ["o", "*", "%"],
        false => ["●", "◆", "◐"],
    };
    pen.line(
        area.x,
        area.y,
        area.width,
        &[
            piece(format!("{used} used  "), Tone::Good),
            piece(format!("{idle} reserved, idle  "), Tone::Foreseen),
            piece(format!("{free} free"), Tone::Dim),
            piece(format!("   {serves} serves  "), Tone::Plain),
            piece(format!("{stands} standby  "), Tone::Watch),
            piece(format!("{runs} shadow"), Tone::Accent),
        ],
    );
    let gap = if area.height >= 20 { 2 } else { 1 };
    Rect {
        y: area.y + gap,
        height: area.height - gap,
        ..area
    }
}

fn card_height(height: u16, sites: usize) -> u16 {
    let rows = (sites.div_ceil(2) as u16).max(1);
    let each = (height.saturating_add(1) / rows).saturating_sub(1);
    each.clamp(7, CARD)
}

/// Edge sites on the left and the others on the right, unless one side would be empty.
fn columns(sites: &[&SiteView]) -> (Vec<usize>, Vec<usize>) {
    let (edge, rest): (Vec<usize>, Vec<usize>) =
        (0..sites.len()).partition(|k| sites[*k].kind == "edge");
    if edge.is_empty() || rest.is_empty() {
        return (0..sites.len()).partition(|k| k.is_multiple_of(2));
    }
    (edge, rest)
}

fn card(living: &Living, pen: &mut Pen, area: Rect, s: &SiteView, here: bool) {
    let edge = if here { Tone::Accent } else { Tone::Dim };
    frame(pen, area, edge);
    let (word, tone) = map::state_of(pen, s);
    let mark = if here { "> " } else { " " };
    let x = pen.line(
        area.x + 2,
        area.y,
        area.width.saturating_sub(4),
        &[
            piece(mark, Tone::Accent),
            piece(format!("{} ", s.site), Tone::Strong),
            piece(format!("{} ", s.kind), Tone::Dim),
        ],
    );
    let room = area.right().saturating_sub(x + 2);
    // Where there is little room, how many nodes are up matters less than that it is cut off.
    let short = match word.split_once(", ") {
        Some((cut, _)) => cut.to_string(),
        None => word.replace(" nodes", ""),
    };
    let told = [word, short].into_iter().find(|w| width(w) + 2 <= room);
    if let Some(told) = told {
        let text = format!(" {told} ");
        pen.right(area.right() - 2, area.y, &[piece(text, tone)]);
    }
    let inner = Rect {
        x: area.x + 2,
        y: area.y + 1,
        width: area.width.saturating_sub(4),
        height: area.height.saturating_sub(2),
    };
    let (u, r, c) = (&s.used, &s.reserved, &s.capacity);
    let (cpu, memory) = (row(inner, 0), row(inner, 1));
    room_line(pen, cpu, "cpu", (u.cpu.0, r.cpu.0, c.cpu.0), "MHz");
    let rooms = (u.memory.0, r.memory.0, c.memory.0);
    room_line(pen, memory, "memory", rooms, "MiB");
    let (_, below) = over(inner, 2);
    facts(living, pen, below, s);
}

/// What lives at a site, how likely it fails, and how far the others are.
fn facts(living: &Living, pen: &mut Pen, area: Rect, s: &SiteView) {
    let told = |h: &&crate::engine::view::ShadowView| format!("{} ({})", h.portion, h.state);
    let shadows: Vec<String> = living.shadows(&s.site).iter().map(told).collect();
    let reach = living.reach(&s.site).into_iter().take(8);
    let reach: Vec<String> = reach.map(|(o, ms)| format!("{o} {ms:.0}")).collect();
    let risky = s.hazard.0 >= 0.1;
    let tone = if risky { Tone::Warn } else { Tone::Plain };
    let hazard = format!("{} within the horizon", percent(s.hazard.0));
    let facts = [
        ("serves", living.primaries(&s.site), Tone::Strong),
        ("standby", living.standbys(&s.site), Tone::Watch),
        ("shadows", shadows.join(" "), Tone::Accent),
        ("hazard", hazard, tone),
        ("links ms", reach.join(", "), Tone::Dim),
    ];
    let facts = facts.into_iter().take(usize::from(area.height));
    for (k, (name, text, tone)) in facts.enumerate() {
        let none = text.is_empty();
        let text = if none {
            pen.look.pick("–", "-").to_string()
        } else {
            text
        };
        let pieces = [piece(format!("{name:<9}"), Tone::Dim), piece(text, tone)];
        pen.line(area.x, area.y + k as u16, area.width, &pieces);
    }
}

fn room_line(
    pen: &mut Pen,
    area: Rect,
    name: &str,
    (used, reserved, all): (f64, f64, f64),
    unit: &str,
) {
    let y = area.y;
    pen.tone(area.x, y, 8, name, Tone::Dim);
    let free = (all - reserved).max(0.0);
    let text = if area.width >= 44 {
        format!(
            " {} / {} / {} {unit}",
            brief(used),
            brief(reserved),
            brief(free)
        )
    } else {
        format!(" {} {unit} free", brief(free))
    };
    let tail = width(&text).max(if area.width >= 44 { 24 } else { 15 });
    let cells = area.width.saturating_sub(9 + tail);
    pen.bar(
        area.x + 9,
        y,
        cells,
        used / all.max(1.0),
        reserved / all.max(1.0),
    );
    pen.tone(area.x + 9 + cells, y, tail, &text, Tone::Plain);
}

fn frame(pen: &mut Pen, area: Rect, tone: Tone) {
    if area.height < 2 || area.width < 4 {
        return;
    }
    let [tl, tr, bl, br, h, v] = if pen.look.ascii {
        ["+", "+", "+", "+", "-", "|"]
    } else {
        ["╭", "╮", "╰", "╯", "─", "│"]
    };
    let line = h.repeat(usize::from(area.width - 2));
    pen.tone(area.x, area.y, area.width, &format!("{tl}{line}{tr}"), tone);
    pen.tone(
        area.x,
        area.bottom() - 1,
        area.width,
        &format!("{bl}{line}{br}"),
        tone,
    );
    for y in area.y + 1..area.bottom() - 1 {
        pen.tone(area.x, y, 1, v, tone);
        pen.tone(area.right() - 1, y, 1, v, tone);
    }
}

/// Links drawn between neighbours: across the gutter, and down to the card below.
fn links(
    living: &Living,
    pen: &mut Pen,
    (l, r): (Rect, Rect),
    (row, left, right): (usize, &[usize], &[usize]),
    sites: &[&SiteView],
) {
    let label = |a: &SiteView, b: &SiteView| {
        let cut = !a.reachable || !b.reachable;
        let tone = if cut { Tone::Bad } else { Tone::Accent };
        living.rtt(&a.site, &b.site).map(|ms| {
            (
                format!("{} ms{}", brief(ms), if cut { ", cut" } else { "" }),
                tone,
            )
        })
    };
    let gutter = r.x - l.right();
    if let (Some(a), Some(b)) = (left.get(row), right.get(row))
        && let Some((text, tone)) = label(sites[*a], sites[*b])
        && gutter > width(&text) + 4
    {
        let y = l.y + l.height / 2;
        let dash = pen.look.pick("─", "-").repeat(usize::from(gutter));
        pen.tone(l.right(), y, gutter, &dash, tone);
        let x = l.right() + (gutter - width(&text) - 2) / 2;
        pen.tone(x, y, gutter, &format!(" {text} "), tone);
    }
    for (column, place) in [(left, l), (right, r)] {
        if let (Some(a), Some(b)) = (column.get(row), column.get(row + 1))
            && let Some((text, tone)) = label(sites[*a], sites[*b])
        {
            let bar = pen.look.pick("│", "|");
            let text = format!("{bar} {text}");
            let x = place.x + place.width / 2 - width(&text).min(place.width) / 2;
            pen.tone(x, place.bottom(), place.width, &text, tone);
        }
    }
}

/// Two lines a site for small terminals.
fn list(state: &State, pen: &mut Pen, area: Rect, sites: &[&SiteView], at: usize) {
    let fits = usize::from(area.height / 2).max(1);
    let from = window(at, sites.len(), fits);
    let living = Living::of(&state.view, sites.iter().skip(from).take(fits).copied());
    for (k, s) in sites.iter().enumerate().skip(from).take(fits) {
        let y = area.y + ((k - from) * 2) as u16;
        let row = Rect {
            y,
            height: 2.min(area.bottom() - y),
            ..area
        };
        let (word, tone) = map::state_of(pen, s);
        pen.line(
            row.x + 2,
            y,
            row.width - 2,
            &[piece(
                format!("{:<13}", fit(pen.look, s.site.as_str(), 12)),
                Tone::Strong,
            )],
        );
        let cells = row.width.saturating_sub(2 + 13 + 32).max(6);
        pen.bar(
            row.x + 15,
            y,
            cells,
            s.used.cpu.0 / s.capacity.cpu.0.max(1.0),
            s.reserved.cpu.0 / s.capacity.cpu.0.max(1.0),
        );
        let x = row.x + 15 + cells + 1;
        pen.line(x, y, row.right().saturating_sub(x), &[piece(word, tone)]);
        let standby = living.standbys(&s.site);
        let standby = if standby.is_empty() {
            standby
        } else {
            format!("  standby {standby}")
        };
        if y + 1 < row.bottom() {
            pen.line(
                row.x + 4,
                y + 1,
                row.width.saturating_sub(4),
                &[
                    piece(format!("hazard {} ", percent(s.hazard.0)), Tone::Dim),
                    piece(living.primaries(&s.site), Tone::Plain),
                    piece(standby, Tone::Watch),
                ],
            );
        }
        pen.listed(row, k, at);
    }
}
