//! Home: every portion, worst first, below the two lines that say what is wrong and what is done about it.

use super::headline::{Stuck, needs_you, stuck};
use super::pen::{Pen, Piece, brief, count, over, percent, piece, short, width, window};
use super::strip;
use crate::engine::view::{Health, PortionView};
use crate::tui::look::Tone;
use crate::tui::rows;
use crate::tui::state::State;
use ratatui::layout::Rect;

/// The peak to come and how far off it is, "30.0 in 60 min", with a space before it.
const PEAK: u16 = 15;

pub fn draw(state: &State, pen: &mut Pen, area: Rect) {
    let strip = if area.height < 14 || state.compact {
        0
    } else {
        strip::ROWS + u16::from(area.height >= 24)
    };
    let (top, rest) = over(area, strip);
    if strip > 0 {
        strip::draw(pen, top, &state.view.tally);
    }
    let stuck = stuck(state);
    let shown = rows::portions(state);
    let one_line = area.width >= 150 || state.compact;
    let each = if one_line { 1 } else { 2 };
    let roomy = usize::from(rest.height) > shown.len() * usize::from(each + 1) + 10;
    let gap = u16::from(roomy && !state.compact);
    let wanted = count(shown.len().max(1))
        .saturating_mul(each + gap)
        .saturating_add(1);
    let list = match rest.height.saturating_sub(wanted) {
        spare if spare >= 4 => wanted,
        _ if rest.height > 24 && !state.compact => rest.height - 8,
        _ => rest.height,
    };
    let (list, below) = over(rest, list);
    let cols = Columns::at(area.width, &shown, (one_line, state.compact), &stuck);
    table(state, pen, list, (&shown, &cols), (each, gap));
    if below.height > 0 {
        super::pulse::draw(state, pen, below);
    }
}

/// Where the columns stand at this width.
struct Columns<'a> {
    name: u16,
    spark: u16,
    peak: bool,
    standbys: bool,
    sentence: bool,
    /// Rate and success stand beside the p99.
    numbers: bool,
    stuck: &'a Stuck<'a>,
}

impl<'a> Columns<'a> {
    fn at(
        wide: u16,
        shown: &[&PortionView],
        (one_line, compact): (bool, bool),
        stuck: &'a Stuck<'a>,
    ) -> Self {
        let longest = shown
            .iter()
            .take(200)
            .map(|p| width(p.id.as_str()))
            .max()
            .unwrap_or(0);
        let most = if wide < 70 { 11 } else { 18 };
        let name = longest.clamp(8, most);
        let fixed = 4 + name + 1 + 9 + 8 + 9 + 7;
        let spare = wide.saturating_sub(fixed);
        let (peak, standbys) = match compact {
            true => (false, false),
            false => (spare >= 24, spare >= 39),
        };
        let taken = u16::from(peak) * PEAK + u16::from(standbys) * 14;
        let most = match (one_line, compact) {
            (_, true) => spare.saturating_sub(taken + 60),
            (true, _) => 36,
            (false, _) => 48,
        };
        let spark = spare.saturating_sub(taken).min(most);
        Columns {
            name,
            spark,
            peak,
            standbys,
            sentence: one_line,
            numbers: !compact || wide >= 100,
            stuck,
        }
    }
}

fn table(
    state: &State,
    pen: &mut Pen,
    area: Rect,
    (shown, cols): (&[&PortionView], &Columns<'_>),
    (each, gap): (u16, u16),
) {
    if area.height == 0 {
        return;
    }
    header(pen, area, cols);
    let named = |row: &str| shown.iter().position(|p| p.id.as_str() == row);
    let at = state.cursor_at(shown.len(), named);
    let fits = (usize::from(area.height.saturating_sub(1) + gap) / usize::from(each + gap)).max(1);
    let from = window(at, shown.len(), fits);
    for (k, portion) in shown.iter().enumerate().skip(from).take(fits) {
        let y = area.y + 1 + (k - from) as u16 * (each + gap);
        let row = Rect {
            y,
            height: each.min(area.bottom().saturating_sub(y)),
            ..area
        };
        draw_row(pen, row, portion, cols);
        pen.listed(row, k, at);
    }
    if shown.is_empty() && !state.view.portions.is_empty() {
        pen.tone(
            area.x + 2,
            area.y + 1,
            area.width,
            &state.filtered_out("portion"),
            Tone::Dim,
        );
    }
}

fn header(pen: &mut Pen, area: Rect, cols: &Columns<'_>) {
    let mut x = area.x + 4;
    let mut put = |text: &str, wide: u16, right: bool| {
        let at = if right {
            x + wide.saturating_sub(width(text) + 1)
        } else {
            x
        };
        pen.tone(at, area.y, wide, text, Tone::Dim);
        x += wide;
    };
    put("portion", cols.name + 1, false);
    put("state", 9, false);
    if cols.numbers {
        put("rate/s", 8, true);
    }
    put("p99", 9, true);
    if cols.numbers {
        put("ok", 7, true);
    }
    let charted = ["rate, then forecast", "rate, forecast", "rate"];
    let fits = charted.into_iter().find(|c| width(c) < cols.spark);
    put(fits.unwrap_or_default(), cols.spark, false);
    if cols.peak {
        put("peak to come", PEAK, true);
    }
    if cols.standbys {
        put("standbys", 14, true);
    }
    if cols.sentence {
        put("  why", 10, false);
    }
}

fn draw_row(pen: &mut Pen, row: Rect, p: &PortionView, cols: &Columns) {
    let (glyph, word, tone) = pen.look.health(p.health);
    let y = row.y;
    pen.tone(row.x + 2, y, 1, glyph, tone);
    let mut x = row.x + 4;
    pen.line(x, y, cols.name, &[piece(p.id.as_str(), Tone::Strong)]);
    x += cols.name + 1;
    pen.tone(x, y, 9, word, tone);
    x += 9;
    let late = |t: &crate::model::Traffic| t.at_slo > p.slo.latency;
    let (rate, p99, ok) = match &p.traffic {
        // Of no request nothing else can be told.
        Some(t) if t.samples == 0 => (brief(t.rate.0), "-".into(), "-".into()),
        Some(t) => (
            brief(t.rate.0),
            format!("{} ms", brief(t.p99.0)),
            percent(t.success),
        ),
        None => ("-".into(), "-".into(), "-".into()),
    };
    let bad = |yes: bool| if yes { Tone::Bad } else { Tone::Plain };
    let p99_tone = bad(p.traffic.as_ref().is_some_and(late));
    let ok_tone = bad(p
        .traffic
        .as_ref()
        .is_some_and(|t| t.success < p.slo.success));
    let all = [(rate, 8, Tone::Plain), (p99, 9, p99_tone), (ok, 7, ok_tone)];
    for (k, (text, wide, tone)) in all.into_iter().enumerate() {
        if k != 1 && !cols.numbers {
            continue;
        }
        pen.right(x + wide - 1, y, &[piece(text, tone)]);
        x += wide;
    }
    let peak = sparkline(pen, x, y, cols.spark, p);
    x += cols.spark;
    if cols.peak {
        if let Some((value, when)) = peak {
            let over = p.capacity.is_some_and(|c| value > c.0);
            let tone = if over { Tone::Warn } else { Tone::Watch };
            pen.right(
                x + PEAK - 1,
                y,
                &[
                    piece(format!("{} ", brief(value)), tone),
                    piece(format!("in {}", short(when)), Tone::Dim),
                ],
            );
        }
        x += PEAK;
    }
    if cols.standbys {
        pen.right(x + 13, y, &standbys(p));
        x += 14;
    }
    let (x, y, tone) = if cols.sentence {
        (x + 2, y, Tone::Plain)
    } else {
        (row.x + 4, y + 1, Tone::Dim)
    };
    if y < row.bottom() {
        sentence(pen, (x, y, row.right()), p, tone, cols.stuck);
    }
}

fn sentence(
    pen: &mut Pen,
    (mut x, y, right): (u16, u16, u16),
    p: &PortionView,
    tone: Tone,
    stuck: &Stuck,
) {
    if needs_you(stuck, p) {
        let style = pen.look.badge(Tone::Bad);
        x = pen.text(x, y, right.saturating_sub(x), " needs you ", style) + 1;
    }
    let tone = if p.health == Health::Good {
        tone
    } else {
        Tone::Plain
    };
    let stuck = stuck
        .get(&p.id)
        .map_or(String::new(), |s| format!("; {} is {}", s.verb, s.state));
    pen.line(
        x,
        y,
        right.saturating_sub(x),
        &[piece(p.sentence.as_str(), tone), piece(stuck, Tone::Warn)],
    );
}

fn standbys(p: &PortionView) -> Vec<Piece<'static>> {
    let all = p.instances.iter().filter(|i| i.role == "standby");
    let (ready, all) = all.fold((0, 0), |(r, n), i| (r + usize::from(i.ready), n + 1));
    match (ready, all) {
        (_, 0) => vec![piece("none", Tone::Dim)],
        (r, n) if r == n => vec![piece(format!("{n} ready"), Tone::Good)],
        (r, n) => vec![piece(format!("{r} of {n} ready"), Tone::Warn)],
    }
}

/// Past rates, then the forecast's upper edge; the peak to come and how far off it is.
fn sparkline(
    pen: &mut Pen,
    x: u16,
    y: u16,
    wide: u16,
    p: &PortionView,
) -> Option<(f64, crate::model::Span)> {
    let now = p
        .past
        .last()
        .map_or_else(|| p.band.first().map(|b| b.at), |l| Some(l.at));
    let future: Vec<f64> = p.band.iter().map(|b| b.high).collect();
    let peak = p.band.iter().max_by(|a, b| a.high.total_cmp(&b.high));
    if wide >= 8 {
        let ahead = if future.is_empty() {
            0
        } else {
            usize::from(wide) / 3
        };
        let room = usize::from(wide) - ahead - 2;
        let rates: Vec<f64> = p
            .past
            .iter()
            .rev()
            .take(room)
            .rev()
            .map(|q| q.rate)
            .collect();
        let ahead = squeeze(&future, ahead);
        let top = rates.iter().chain(&ahead).copied().fold(1.0, f64::max);
        let begin = x + (room - rates.len()) as u16;
        pen.spark(begin, y, &rates, top, Tone::Good);
        if !ahead.is_empty() {
            let bar = pen.look.pick("│", "|");
            pen.tone(x + room as u16, y, 1, bar, Tone::Dim);
            pen.spark(x + room as u16 + 1, y, &ahead, top, Tone::Foreseen);
        }
    }
    peak.zip(now).map(|(b, now)| (b.high, b.at.since(now)))
}

/// The values in at most `cells` cells, each the highest of its part.
fn squeeze(values: &[f64], cells: usize) -> Vec<f64> {
    if cells == 0 || values.is_empty() {
        return Vec::new();
    }
    let cells = cells.min(values.len());
    (0..cells)
        .map(|k| {
            let part = &values[k * values.len() / cells..(k + 1) * values.len() / cells];
            part.iter().copied().fold(0.0, f64::max)
        })
        .collect()
}
