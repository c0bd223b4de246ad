//! Home: what is wrong, what is being done about it, and every portion, worst first.

use super::pen::{Pen, Piece, brief, over, percent, piece, short, width, window};
use super::strip;
use crate::engine::view::{Health, PortionView, StepView};
use crate::model::PortionId;
use crate::tui::look::Tone;
use crate::tui::rows;
use crate::tui::state::State;
use ratatui::layout::Rect;
use std::collections::BTreeMap;

/// The first step that was given up of each portion that has one.
fn stuck(state: &State) -> BTreeMap<&PortionId, &StepView> {
    let given_up = state.view.steps.iter().rev();
    given_up
        .filter(|s| s.state.starts_with("stuck"))
        .filter_map(|s| Some((s.portion.as_ref()?, s)))
        .collect()
}

/// Whether a person should look at it: it breaks its SLO, or a step of it was given up.
fn needs_you(stuck: &BTreeMap<&PortionId, &StepView>, portion: &PortionView) -> bool {
    portion.health == Health::Breach || stuck.contains_key(&portion.id)
}

pub fn draw(state: &State, pen: &mut Pen, area: Rect) {
    let roomy = area.height >= 17;
    let (top, rest) = over(area, strip::ROWS + u16::from(roomy));
    strip::draw(pen, top, &state.view.tally);
    let (top, rest) = over(rest, 2 + u16::from(area.height >= 24));
    headline(state, pen, top);
    let shown = rows::portions(state);
    let each = if area.width >= 150 { 1 } else { 2 };
    let gap = u16::from(usize::from(rest.height) > shown.len() * usize::from(each + 1) + 10);
    let wanted = (shown.len() as u16)
        .saturating_mul(each + gap)
        .saturating_add(1);
    let list = match rest.height.saturating_sub(wanted) {
        spare if spare >= 4 => wanted,
        _ if rest.height > 24 => rest.height - 8,
        _ => rest.height,
    };
    let (list, below) = over(rest, list);
    table(state, pen, list, &shown, each, gap);
    if below.height > 0 {
        super::pulse::draw(state, pen, below);
    }
}

/// Two lines: what is wrong, and what foreshadow does about it.
fn headline(state: &State, pen: &mut Pen, area: Rect) {
    let all = &state.view.portions;
    let count = |h: Health| all.iter().filter(|p| p.health == h).count();
    let (look, dot) = (pen.look, pen.look.pick(" · ", " | "));
    let mut counts: Vec<Piece> = Vec::new();
    for health in [Health::Moving, Health::Watch, Health::Unknown, Health::Good] {
        let (glyph, word, tone) = look.health(health);
        if count(health) > 0 {
            counts.push(piece(format!("{glyph} {} {word}  ", count(health)), tone));
        }
    }
    let start = pen.right(area.right(), area.y, &counts);
    let room = start.saturating_sub(area.x + 1);
    let stuck = stuck(state);
    let needs = || all.iter().filter(|p| needs_you(&stuck, p));
    let worst = needs().max_by(|a, b| a.health.cmp(&b.health).then_with(|| b.id.cmp(&a.id)));
    if let Some(worst) = worst {
        let n = needs().count();
        let verb = if n == 1 { "NEEDS" } else { "NEED" };
        let badge = format!(" {n} {verb} YOU ");
        let x = pen.text(area.x, area.y, room, &badge, look.badge(Tone::Bad));
        let name = piece(format!(" {}", worst.id), Tone::Bad);
        pen.line(x, area.y, room.saturating_sub(x - area.x), &[name]);
    } else {
        let (text, tone) = if all.is_empty() {
            let text = "no portion is known yet: waiting for the first look at the jobs";
            (text, Tone::Dim)
        } else if count(Health::Unknown) > 0 {
            let text = "not everything is seen; nothing is changed on what is unknown";
            (text, Tone::Warn)
        } else {
            ("nothing needs you", Tone::Good)
        };
        pen.line(area.x, area.y, room, &[piece(text, tone)]);
    }
    pen.line(area.x, area.y + 1, area.width, &doing(state, dot));
}

/// What foreshadow is doing, in one line.
fn doing<'a>(state: &'a State, dot: &'a str) -> Vec<Piece<'a>> {
    let flying = |s: &&StepView| !finished(&s.state) && !s.state.starts_with("held");
    let mut out = vec![piece("doing ", Tone::Dim)];
    let look = state.look();
    for (k, s) in state.view.steps.iter().filter(flying).take(3).enumerate() {
        if k > 0 {
            out.push(piece(dot, Tone::Dim));
        }
        let (glyph, word, tone) = look.cause(s.cause);
        let portion = s
            .portion
            .as_ref()
            .map_or(String::new(), |p| format!(" {p}"));
        out.push(piece(format!("{glyph} {word} "), tone));
        out.push(piece(format!("{}{portion}", s.verb), Tone::Strong));
    }
    if out.len() == 1 {
        let waits = state.view.waiting.len();
        let text = if waits > 0 {
            format!("nothing now; {waits} wait, see the plan")
        } else {
            "nothing now".into()
        };
        out.push(piece(text, Tone::Dim));
    }
    out
}

pub fn finished(state: &str) -> bool {
    let word = state.split([':', ' ']).next().unwrap_or_default();
    matches!(word, "verified" | "undone" | "stuck" | "refused")
}

/// Where the columns stand at this width.
struct Columns {
    name: u16,
    spark: u16,
    peak: bool,
    standbys: bool,
    sentence: bool,
}

impl Columns {
    fn at(wide: u16, shown: &[&PortionView], one_line: bool) -> Self {
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
        let peak = spare >= 24;
        let standbys = spare >= 36;
        let taken = u16::from(peak) * 14 + u16::from(standbys) * 11;
        let most = if one_line { 36 } else { 48 };
        let spark = spare.saturating_sub(taken).min(most);
        Columns {
            name,
            spark,
            peak,
            standbys,
            sentence: one_line,
        }
    }
}

fn table(state: &State, pen: &mut Pen, area: Rect, shown: &[&PortionView], each: u16, gap: u16) {
    if area.height == 0 {
        return;
    }
    let cols = Columns::at(area.width, shown, each == 1);
    header(pen, area, &cols);
    let ids: Vec<String> = shown.iter().map(|p| p.id.to_string()).collect();
    let at = state.cursor_in(&ids);
    let fits = (usize::from(area.height.saturating_sub(1) + gap) / usize::from(each + gap)).max(1);
    let from = window(at, shown.len(), fits);
    for (k, portion) in shown.iter().enumerate().skip(from).take(fits) {
        let y = area.y + 1 + (k - from) as u16 * (each + gap);
        let row = Rect {
            y,
            height: each.min(area.bottom().saturating_sub(y)),
            ..area
        };
        draw_row(state, pen, row, portion, &cols);
        if k == at {
            pen.cursor(row);
        }
    }
    if shown.is_empty() && !state.view.portions.is_empty() {
        pen.tone(
            area.x + 2,
            area.y + 1,
            area.width,
            "no portion passes the filter; Esc drops it",
            Tone::Dim,
        );
    }
}

fn header(pen: &mut Pen, area: Rect, cols: &Columns) {
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
    put("rate/s", 8, true);
    put("p99", 9, true);
    put("ok", 7, true);
    put("rate, then forecast", cols.spark, false);
    if cols.peak {
        put("peak to come", 14, true);
    }
    if cols.standbys {
        put("standbys", 11, true);
    }
    if cols.sentence {
        put("  why", 10, false);
    }
}

fn draw_row(state: &State, pen: &mut Pen, row: Rect, p: &PortionView, cols: &Columns) {
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
    for (text, wide, tone) in [(rate, 8, Tone::Plain), (p99, 9, p99_tone), (ok, 7, ok_tone)] {
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
                x + 13,
                y,
                &[
                    piece(format!("{} ", brief(value)), tone),
                    piece(format!("in {}", short(when)), Tone::Dim),
                ],
            );
        }
        x += 14;
    }
    if cols.standbys {
        pen.right(x + 10, y, &standbys(p));
        x += 11;
    }
    let (x, y, tone) = if cols.sentence {
        (x + 2, y, Tone::Plain)
    } else {
        (row.x + 4, y + 1, Tone::Dim)
    };
    if y < row.bottom() {
        sentence(state, pen, x, y, row.right(), p, tone);
    }
}

fn sentence(
    state: &State,
    pen: &mut Pen,
    mut x: u16,
    y: u16,
    right: u16,
    p: &PortionView,
    tone: Tone,
) {
    let stuck = stuck(state);
    if needs_you(&stuck, p) {
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
