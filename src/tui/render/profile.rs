//! What shadows know of a portion: the best known place's curve, and what is counted on everywhere.

use super::pen::{Pen, brief, count, fit, over, piece};
use super::plot::{Line, Plot, Rule};
use crate::engine::view::PortionView;
use crate::model::counted;
use crate::model::{Millis, Profile};
use crate::tui::look::Tone;
use ratatui::layout::Rect;

/// Standard deviations from the middle to the edge of an 80 % band.
const BAND: f64 = 1.28;

/// The best known profile's curve: latency at the SLO's quantile against load.
pub fn draw(pen: &mut Pen, area: Rect, p: &PortionView) {
    let Some(best) = p.profiles.iter().max_by_key(|q| q.samples) else {
        let inner = pen.section(area, "Profile", "");
        let text = match &p.not_shadowable {
            Some(why) => format!("none: {why}"),
            None => "none yet: no shadow has measured it".into(),
        };
        pen.tone(inner.x + 2, inner.y, inner.width, &text, Tone::Dim);
        return;
    };
    let note = format!(
        "{}, {}; {}",
        place_of(best),
        counted(best.runs, "run"),
        counted(p.profiles.len(), "profile")
    );
    let inner = pen.section(area, "Profile: ms against rps", &note);
    let rows = count(p.known.len()).min(inner.height.saturating_sub(6));
    let (inner, below) = over(inner, inner.height - rows);
    places(pen, below, p);
    let points: Vec<(f64, f64)> = best.answered().iter().map(|c| (c.0.0, c.1.0)).collect();
    let right = points
        .iter()
        .map(|q| q.0)
        .fold(best.knee.0, f64::max)
        .max(1.0);
    let highest = points
        .iter()
        .map(|q| q.1)
        .filter(|v| v.is_finite())
        .fold(0.0, f64::max);
    let known = p.known.iter().find(|k| k.key == best.key);
    let spread = known.map_or(0.0, |k| BAND * k.knee.spread);
    let top = highest.clamp(p.slo.latency.0, p.slo.latency.0 * 3.0) * 1.15;
    let band = best.band(spread, Millis(top)).into_iter();
    let band = band.map(|(load, low, high)| (load.0, low.0.min(top), high.0.min(top)));
    let least = match best.evidence.knee_open {
        true => pen.look.pick("≥", ">="),
        false => "",
    };
    let knee = format!(
        "knee {least}{} ±{}",
        brief(best.knee.0),
        brief(best.knee_spread.0)
    );
    let knee = if pen.look.ascii {
        knee.replace('±', "+-")
    } else {
        knee
    };
    Plot {
        x: (0.0, right * 1.05),
        top,
        band: band.collect(),
        lines: vec![Line {
            points,
            tone: Tone::Accent,
            dotted: false,
        }],
        rules: vec![Rule {
            y: p.slo.latency.0,
            label: format!("limit {}", p.slo.latency),
            tone: Tone::Bad,
        }],
        now: Some(best.knee.0),
        marks: vec![
            (best.knee.0, knee),
            (0.0, "0".into()),
            (right * 1.05, format!("{} rps", brief(right))),
        ],
    }
    .draw(pen, inner);
}

/// What is counted on at each place, and how much of that is its own.
fn places(pen: &mut Pen, area: Rect, p: &PortionView) {
    let least = pen.look.pick("≥", ">=");
    for (k, known) in p.known.iter().take(usize::from(area.height)).enumerate() {
        let site = fit(pen.look, known.key.site.as_str(), 11);
        let pieces = [
            piece(format!("{site:<12}"), Tone::Strong),
            piece(
                format!("{least}{:<7}", brief(known.knee.low)),
                if known.runs == 0 {
                    Tone::Watch
                } else {
                    Tone::Plain
                },
            ),
            piece(known.source(), Tone::Dim),
        ];
        let y = area.y + k as u16;
        pen.line(area.x + 2, y, area.width.saturating_sub(2), &pieces);
    }
}

fn place_of(p: &Profile) -> String {
    format!("{} on {}", p.key.site, p.key.class.shown())
}
