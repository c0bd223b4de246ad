//! One portion: the forecast with what came of it, shares asked for and seen, latency, profile, shadows.

use super::measured;
use super::pen::{Pen, beside, brief, fit, over, percent, piece, short};
use super::plot::{Line, Plot, Rule};
use super::profile;
use super::tree;
use crate::engine::view::{InstanceView, PastPoint, PortionView};
use crate::model::{Calibration, Moment, Share, Track};
use crate::tui::keys::Act;
use crate::tui::look::Tone;
use crate::tui::screen::Screen;
use crate::tui::state::State;
use ratatui::layout::Rect;
use std::borrow::Cow;

pub fn draw(state: &State, pen: &mut Pen, area: Rect) {
    let Some(p) = state.shown_portion() else {
        let text = match &state.place().portion {
            Some(id) => {
                let back = state.key(Act::Back);
                format!("{id} is not known any more; {back} goes back")
            }
            None => "no portion is known yet: waiting for the first look at the jobs".into(),
        };
        pen.tone(area.x + 1, area.y, area.width, &text, Tone::Dim);
        return;
    };
    let (_, rest) = over(area, head(pen, area, p));
    if state.tree {
        return tree::draw(state, pen, rest, p);
    }
    if rest.width < 100 || rest.height < 22 {
        let (top, below) = over(rest, (rest.height * 3 / 5).max(4));
        rate(pen, top, p);
        return instances(state, pen, below, p);
    }
    let (top, below) = over(rest, rest.height * 9 / 20);
    rate(pen, top, p);
    let (left, right) = beside(below, below.width * 11 / 20);
    // Where there is room for it, what the best known place's last run showed stands below.
    let best = p.profiles.iter().max_by_key(|q| q.samples);
    let best = best.filter(|_| left.height >= 28 && left.width >= 96);
    let below = match best {
        Some(_) => left.height / 2,
        None => (left.height / 3).max(4),
    };
    let (upper, lower) = over(left, left.height - below);
    if upper.height >= 12 {
        let (upper, why) = over(upper, upper.height - 7);
        instances(state, pen, upper, p);
        foresight(pen, why, p);
    } else {
        instances(state, pen, upper, p);
    }
    match best {
        None => shadows(state, pen, lower, p),
        Some(best) => {
            let (own, last) = over(lower, 3);
            shadows(state, pen, own, p);
            let place = format!("{} on {}", best.key.site, best.key.class.shown());
            measured::draw(pen, last, &place, Some(best));
        }
    }
    let (upper, lower) = over(right, right.height / 2);
    latency(pen, upper, p);
    profile::draw(pen, lower, p);
}

fn head(pen: &mut Pen, area: Rect, p: &PortionView) -> u16 {
    let (glyph, word, tone) = pen.look.health(p.health);
    pen.line(
        area.x,
        area.y,
        area.width,
        &[
            piece(format!("{glyph} {word}  "), tone),
            piece(p.sentence.as_str(), Tone::Plain),
        ],
    );
    let dot = pen.look.pick(" · ", " | ");
    let below = pen.look.pick("≤", "<=");
    let needs: Vec<&str> = p.depends_on.iter().map(|d| d.as_str()).collect();
    let mut facts = vec![piece(
        format!(
            "SLO p{:.0} {below} {}, {} answered",
            p.slo.quantile * 100.0,
            p.slo.latency,
            percent(p.slo.success)
        ),
        Tone::Dim,
    )];
    let mut add = |text: String| facts.push(piece(format!("{dot}{text}"), Tone::Dim));
    if let Some(t) = p.traffic.as_ref().filter(|t| t.samples > 0) {
        let (rate, answered) = (brief(t.rate.0), percent(t.success));
        add(format!("now {}, {answered}, {rate} rps", t.at_slo));
    }
    if let Some(front) = &p.front {
        add(format!("front {front}"));
    }
    if !needs.is_empty() {
        add(format!("calls {}", needs.join(", ")));
    }
    if let Some(why) = &p.not_shadowable {
        add(format!("cannot be shadowed: {why}"));
    }
    pen.line(area.x, area.y + 1, area.width, &facts);
    let gap = u16::from(area.height >= 28);
    2 + gap
}

/// Where the forecast comes from, how good it was lately, and what the demand needs.
fn foresight(pen: &mut Pen, area: Rect, p: &PortionView) {
    let inner = pen.section(area, "Forecast", "the next step, and why");
    if p.models.is_empty() {
        let text = "none yet: too little has been seen";
        pen.tone(inner.x + 2, inner.y, inner.width, text, Tone::Dim);
        return;
    }
    let off = pen.look.pick("±", "+-");
    let weigh = |(name, weight): &(Cow<str>, f64)| format!("{name} {:.0}%", 100.0 * weight);
    let counts = p.models.iter().filter(|m| m.1 >= 0.005);
    let models: Vec<String> = counts.map(weigh).collect();
    let c = &p.components;
    let mut parts = format!(
        "level {:.1}  trend {:+.1}  season {:+.1}",
        c.level, c.trend, c.season
    );
    for (name, part) in [("event", c.event), ("from others", c.reconciled)] {
        if part.abs() >= 0.05 {
            parts += &format!("  {name} {part:+.1}");
        }
    }
    let lately = match (p.coverage_80, p.error) {
        (Some(c), Some(e)) => format!("{} within the 80% band, {e} off on average", percent(c)),
        _ => "not judged yet".into(),
    };
    let need = p.need.as_ref().map_or_else(
        || "not known before the first shadow".into(),
        |n| {
            format!(
                "{} {off}{:.0}%, {}, {} at {}",
                n.needs.cpu,
                100.0 * n.unsure,
                n.needs.memory,
                n.needs.network,
                n.demand
            )
        },
    );
    let lines = [
        ("models", models.join(", ")),
        ("next", parts),
        ("lately", lately),
        ("needs", need),
        ("shadows", judged(&p.calibration, pen.look.pick("×", "x"))),
    ];
    for (k, (name, text)) in lines.iter().take(usize::from(inner.height)).enumerate() {
        let pieces = [
            piece(format!("{name:<8}"), Tone::Dim),
            piece(text.as_str(), Tone::Plain),
        ];
        let y = inner.y + k as u16;
        pen.line(inner.x + 2, y, inner.width.saturating_sub(2), &pieces);
    }
}

/// How often what shadows said came within its band, and how much wider their word is taken for it.
fn judged(c: &Calibration, times: &str) -> String {
    if c.scored() == 0 {
        return "what they said was not put to the test yet".into();
    }
    let tell = |name: &str, t: &Track| {
        let width = match t.width > 1.005 {
            true => format!(" {times}{:.2}", t.width),
            false => String::new(),
        };
        (t.scored > 0).then(|| format!("{name} {}/{}{width}", t.covered, t.scored))
    };
    let all = [
        tell("latency", &c.latency),
        tell("capacity", &c.capacity),
        tell("start", &c.startup),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    format!("came as said: {}", all.join(", "))
}

/// Seconds from `now`.
fn secs(at: Moment, now: Moment) -> f64 {
    at.since(now).as_secs_f64()
}

fn now_of(p: &PortionView) -> Option<Moment> {
    p.past.last().map(|q| q.at).or(p.band.first().map(|b| b.at))
}

/// Points of the past that a plot of this width can tell apart, no more than twice the future's length.
fn seen(p: &PortionView, now: Moment) -> impl Iterator<Item = &PastPoint> {
    let ahead = p.band.last().map_or(30.0, |b| secs(b.at, now).max(1.0));
    let keep = -2.0 * ahead;
    p.past.iter().filter(move |q| secs(q.at, now) >= keep)
}

fn ago(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "+" };
    format!(
        "{sign}{}",
        short(crate::model::Span((seconds * 1000.0) as i64))
    )
}

pub(super) fn rate(pen: &mut Pen, area: Rect, p: &PortionView) {
    let covered = p.coverage_80.map_or(String::new(), |c| {
        format!("{} within the band, ", percent(c))
    });
    let note = format!("{covered}{}: {}", p.model, p.because);
    let note = if p.model.is_empty() {
        "no forecast yet".to_string()
    } else {
        note
    };
    let inner = pen.section(area, "Requests a second", &note);
    let Some(now) = now_of(p) else {
        pen.tone(
            inner.x + 2,
            inner.y,
            inner.width,
            "no traffic has been seen yet",
            Tone::Dim,
        );
        return;
    };
    let past: Vec<_> = seen(p, now).collect();
    let (band, mid) = foreseen(p, &past, now);
    let actual: Vec<(f64, f64)> = past.iter().map(|q| (secs(q.at, now), q.rate)).collect();
    let start = actual.first().map_or(-1.0, |a| a.0.min(-1.0));
    let end = p.band.last().map_or(1.0, |b| secs(b.at, now).max(1.0));
    let highest = band.iter().map(|b| b.2).chain(actual.iter().map(|a| a.1));
    let highest = highest.filter(|v| v.is_finite()).fold(1.0, f64::max);
    let capacity = p.capacity.filter(|c| c.0 <= highest * 2.5);
    let top = capacity.map_or(highest, |c| highest.max(c.0)) * 1.08;
    let rules = capacity.map(|c| Rule {
        y: c.0,
        label: format!("capacity within the SLO {}", brief(c.0)),
        tone: Tone::Warn,
    });
    let marks = vec![(start, ago(start)), (0.0, "now".into()), (end, ago(end))];
    Plot {
        x: (start, end),
        top,
        band,
        lines: vec![
            Line {
                points: mid,
                tone: Tone::Watch,
                dotted: true,
            },
            Line {
                points: actual,
                tone: Tone::Strong,
                dotted: false,
            },
        ],
        rules: rules.into_iter().collect(),
        now: Some(0.0),
        marks,
    }
    .draw(pen, inner);
    legend(pen, inner);
}

/// (x, low, high) of a band.
type Edges = (f64, f64, f64);

/// What had been foreseen for the past, then what is foreseen now: the band, and its middle.
fn foreseen(p: &PortionView, past: &[&PastPoint], now: Moment) -> (Vec<Edges>, Vec<(f64, f64)>) {
    let was = past
        .iter()
        .filter_map(|q| q.forecast.map(|(low, mid, high)| (q.at, low, mid, high)));
    let is = p.band.iter().filter(|b| b.at > now);
    let all = was.chain(is.map(|b| (b.at, b.low, b.mid, b.high)));
    all.map(|(at, low, mid, high)| {
        let x = secs(at, now);
        ((x, low, high), (x, mid))
    })
    .unzip()
}

fn legend(pen: &mut Pen, area: Rect) {
    if area.width < 90 || area.height < 6 {
        return;
    }
    let y = area.bottom() - 1;
    let (line, dots, fill) = if pen.look.ascii {
        ("*", ".", ":")
    } else {
        ("━", "┈", "▒")
    };
    let x = area.x + area.width / 5;
    pen.line(
        x,
        y,
        area.width / 3,
        &[
            piece(format!("{line} actual  "), Tone::Strong),
            piece(format!("{dots} foreseen  "), Tone::Watch),
            piece(format!("{fill} 10 to 90 of 100"), Tone::Foreseen),
        ],
    );
}

fn latency(pen: &mut Pen, area: Rect, p: &PortionView) {
    let inner = pen.section(area, "p99 in ms", "as clients see it");
    let Some(now) = now_of(p).filter(|_| !p.past.is_empty()) else {
        pen.tone(inner.x + 2, inner.y, inner.width, "not seen yet", Tone::Dim);
        return;
    };
    let points: Vec<(f64, f64)> = seen(p, now).map(|q| (secs(q.at, now), q.p99)).collect();
    let highest = points
        .iter()
        .map(|q| q.1)
        .filter(|v| v.is_finite())
        .fold(0.0, f64::max);
    let start = points.first().map_or(-1.0, |q| q.0.min(-1.0));
    Plot {
        x: (start, 0.0),
        top: highest.max(p.slo.latency.0) * 1.15,
        lines: vec![Line {
            points,
            tone: Tone::Strong,
            dotted: false,
        }],
        rules: vec![Rule {
            y: p.slo.latency.0,
            label: format!("limit {} at p{:.0}", p.slo.latency, p.slo.quantile * 100.0),
            tone: Tone::Bad,
        }],
        marks: vec![(start, ago(start)), (0.0, "now".into())],
        ..Plot::default()
    }
    .draw(pen, inner);
}

fn instances(state: &State, pen: &mut Pen, area: Rect, p: &PortionView) {
    let inner = pen.section(area, "Instances", "share asked for, and seen in DNS");
    if p.instances.is_empty() {
        pen.tone(
            inner.x + 2,
            inner.y,
            inner.width,
            "none is seen now",
            Tone::Dim,
        );
        return;
    }
    let own = &p.instances;
    let named = |row: &str| own.iter().position(|i| i.alloc.as_str() == row);
    let at = state.cursor_at(own.len(), named);
    let fits = usize::from(inner.height);
    let from = super::pen::window(at, own.len(), fits);
    for (k, i) in p.instances.iter().enumerate().skip(from).take(fits) {
        let row = Rect {
            y: inner.y + (k - from) as u16,
            height: 1,
            ..inner
        };
        instance(pen, row, i);
        pen.listed(row, k, at);
    }
}

fn instance(pen: &mut Pen, row: Rect, i: &InstanceView) {
    let (glyph, tone) = match (i.ready, i.desired) {
        (true, Share::NONE) => (pen.look.pick("◆", "*"), Tone::Watch),
        (true, _) => (pen.look.pick("●", "o"), Tone::Good),
        (false, _) => (pen.look.pick("✗", "X"), Tone::Bad),
    };
    let word = if i.ready { "ready" } else { "not ready" };
    let node = fit(pen.look, &i.node, 14);
    let short: String = i.alloc.as_str().chars().take(8).collect();
    let mut lead = vec![
        piece(format!("{glyph} {word:<10}"), tone),
        piece(
            format!("{:<8} ", i.role),
            if i.role == "standby" {
                Tone::Watch
            } else {
                Tone::Plain
            },
        ),
        piece(format!("{node:<14} "), Tone::Strong),
    ];
    if row.width >= 74 {
        lead.push(piece(format!("{short} "), Tone::Dim));
    }
    let x = pen.line(row.x + 2, row.y, row.width.saturating_sub(2), &lead);
    let tail = 13;
    let cells = row.right().saturating_sub(x + tail).min(24);
    if cells >= 4 {
        share_bar(pen, x, row.y, cells, i);
    }
    let differs = i.observed.is_some_and(|o| o.0.abs_diff(i.desired.0) > 500);
    let seen = i.observed.map_or("?".to_string(), |o| o.to_string());
    pen.right(
        row.right(),
        row.y,
        &[
            piece(i.desired.to_string(), Tone::Strong),
            piece(
                format!(" seen {seen}"),
                if differs { Tone::Warn } else { Tone::Dim },
            ),
        ],
    );
}

/// The share asked for as a bar, and where the one seen stands.
fn share_bar(pen: &mut Pen, x: u16, y: u16, cells: u16, i: &InstanceView) {
    let (full, _, free) = pen.look.bar();
    let on = (i.desired.fraction().min(1.0) * f64::from(cells)).round() as u16;
    pen.tone(x, y, on, &full.repeat(usize::from(on)), Tone::Accent);
    let rest = cells - on;
    pen.tone(x + on, y, rest, &free.repeat(usize::from(rest)), Tone::Dim);
    if let Some(seen) = i.observed {
        let at = (seen.fraction().min(1.0) * f64::from(cells.saturating_sub(1))).round() as u16;
        pen.tone(x + at, y, 1, pen.look.pick("┃", "|"), Tone::Strong);
    }
}

fn shadows(state: &State, pen: &mut Pen, area: Rect, p: &PortionView) {
    let key = state.key(Act::Go(Screen::Shadows));
    let note = format!("{key} shows all, with what is worth one");
    let inner = pen.section(area, "Shadows", &note);
    let mut own: Vec<_> = state
        .view
        .shadows
        .iter()
        .filter(|s| s.portion == p.id)
        .collect();
    own.sort_by_key(|s| (s.state == "done", std::cmp::Reverse(s.since)));
    if own.is_empty() {
        let text = match &p.not_shadowable {
            Some(why) => format!("cannot be shadowed: {why}"),
            None => "none now".into(),
        };
        pen.tone(inner.x + 2, inner.y, inner.width, &text, Tone::Dim);
    }
    for (k, s) in own.iter().take(usize::from(inner.height)).enumerate() {
        let (glyph, tone) = pen.look.shadow(s);
        pen.line(
            inner.x + 2,
            inner.y + k as u16,
            inner.width.saturating_sub(2),
            &[
                piece(format!("{glyph} {:<10}", s.state), tone),
                piece(format!("{} on {}", s.site, s.class.shown()), Tone::Strong),
                piece(
                    format!("  {}", s.verdict.as_deref().unwrap_or("no verdict yet")),
                    Tone::Dim,
                ),
            ],
        );
    }
}
