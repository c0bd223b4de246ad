//! What the last run at a place showed: its start-up in parts, the ways to what it calls, and each load with its histogram.

use super::pen::{Pen, brief, piece};
use crate::model::{Details, LoadDetail, Profile, Span};
use crate::tui::look::Tone;
use ratatui::layout::Rect;

/// Cells of a histogram.
const CELLS: usize = 24;

/// `None`: nothing has been measured at the place that is named.
pub fn draw(pen: &mut Pen, area: Rect, place: &str, profile: Option<&Profile>) {
    let note = format!("the last run at {place}");
    let inner = pen.section(area, "Measured", &note);
    let Some(p) = profile else {
        let room = inner.width.saturating_sub(2);
        pen.tone(inner.x + 2, inner.y, room, "nothing yet", Tone::Dim);
        return;
    };
    let d = &p.details;
    let calls = ways(d);
    let facts = [
        ("start-up", startup(p)),
        ("calls", calls),
        ("load", d.load.clone()),
    ];
    let mut y = inner.y;
    for (name, text) in facts.iter().filter(|f| !f.1.is_empty()) {
        if y >= inner.bottom() {
            return;
        }
        let pieces = [
            piece(format!("{name:<10}"), Tone::Dim),
            piece(text.as_str(), Tone::Plain),
        ];
        pen.line(inner.x + 2, y, inner.width.saturating_sub(2), &pieces);
        y += 1;
    }
    let table = Rect {
        y,
        height: inner.bottom().saturating_sub(y),
        ..inner
    };
    loads(pen, table, p);
}

/// The whole and the parts that are known.
fn startup(p: &Profile) -> String {
    let parts = p.details.startup;
    let known = [
        parts.placed,
        parts.prepared,
        parts.fetched,
        parts.started,
        parts.passing,
    ];
    let all: i64 = known.iter().flatten().map(|s: &Span| s.0).sum();
    match parts.sentence() {
        Some(told) => format!("{all} ms: {told}"),
        None => format!("{} ms", p.startup.0),
    }
}

fn ways(d: &Details) -> String {
    let one = |u: &crate::model::Upstream| match u.rtt {
        Some(rtt) => format!("{} at {} {rtt}", u.portion, u.site),
        None => format!("{} at {}, nobody knows how far", u.portion, u.site),
    };
    let all: Vec<String> = d.upstreams.iter().map(one).collect();
    all.join(", ")
}

/// One load a row, from the bottom of the scale to its top.
fn loads(pen: &mut Pen, area: Rect, p: &Profile) {
    let all = &p.details.loads;
    if all.is_empty() || area.height < 2 {
        return;
    }
    let wide = area.width >= 96;
    let bounds = || all.iter().flat_map(|l| &l.histogram).map(|b| b.0.0);
    let low = bounds().fold(f64::INFINITY, f64::min).max(0.01);
    let high = bounds().fold(low * 2.0, f64::max);
    let dash = pen.look.pick("…", "..");
    let scale = format!("{} {dash} {} ms", brief(low), brief(high));
    let head = match wide {
        true => format!(
            "{:>7} {:>9} {:>7} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9}   {scale}",
            "rps", "answered", "failed", "p50 ms", "p99 ms", "Mbit/s", "MHz", "MiB", "own late"
        ),
        false => format!("{:>7} {:>7} {:>8}   {scale}", "rps", "failed", "p99 ms"),
    };
    let room = area.width.saturating_sub(2);
    pen.tone(area.x + 2, area.y, room, &head, Tone::Dim);
    for (k, load) in all.iter().take(usize::from(area.height) - 1).enumerate() {
        let y = area.y + 1 + k as u16;
        let x = pen.line(
            area.x + 2,
            y,
            room,
            &[piece(row(p, load, wide), tone(p, load))],
        );
        let cells = usize::from(area.right().saturating_sub(x + 3)).min(CELLS);
        let shape = shape(load, low, high, cells);
        let top = shape.iter().copied().fold(0.0, f64::max);
        let filled = shape
            .into_iter()
            .map(|n| if n > 0.0 { n } else { f64::NAN });
        pen.spark(x + 3, y, &filled.collect::<Vec<_>>(), top, Tone::Accent);
    }
}

/// Loads that broke the SLO stand out.
fn tone(p: &Profile, load: &LoadDetail) -> Tone {
    let point = p.curve.iter().find(|c| c.rate == load.rate);
    match point.is_some_and(|c| !c.good) {
        true => Tone::Warn,
        false => Tone::Plain,
    }
}

fn row(p: &Profile, l: &LoadDetail, wide: bool) -> String {
    let point = p.curve.iter().find(|c| c.rate == l.rate);
    let of = |value: Option<f64>| value.map_or_else(|| "?".to_string(), brief);
    let failed: u64 = l.errors.iter().map(|e| e.1).sum();
    let (p50, p99) = (of(point.map(|c| c.p50.0)), of(point.map(|c| c.p99.0)));
    if !wide {
        return format!("{:>7} {failed:>7} {p99:>8}", brief(l.rate.0));
    }
    format!(
        "{:>7} {:>9} {failed:>7} {p50:>8} {p99:>8} {:>9} {:>9} {:>9} {:>9}",
        brief(l.rate.0),
        brief(l.throughput.0),
        brief(l.network.0),
        of(l.cpu.map(|c| c.0)),
        of(l.memory.map(|m| m.0)),
        brief(l.own_delay.0)
    )
}

/// Requests by cell, from `low` to `high` on a scale that grows by factors.
fn shape(load: &LoadDetail, low: f64, high: f64, cells: usize) -> Vec<f64> {
    let mut out = vec![0.0; cells];
    let wide = (high / low).ln().max(1e-9);
    for (bound, n) in &load.histogram {
        let part = ((bound.0.max(low) / low).ln() / wide).clamp(0.0, 1.0);
        let at = (part * cells as f64) as usize;
        if let Some(cell) = out.get_mut(at.min(cells.saturating_sub(1))) {
            *cell += *n as f64;
        }
    }
    out
}
