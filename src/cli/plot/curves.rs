//! Profiles as SVG: latency against load, one panel for each place measured.

use super::short;
use super::svg::{ticks, words};
use crate::engine::view::PortionView;
use crate::model::{Known, Millis, Profile, Slo};
use std::fmt::Write;

const CURVE: &str = "#08519c";
const BAND: &str = "#9ecae1";
const FAINT: &str = "#dddddd";
const LIMIT: &str = "#a50f15";
/// Panels side by side, and the size of one with its margins.
const ACROSS: usize = 3;
const CELL: (f64, f64) = (320.0, 250.0);
/// What of a cell the curve may have.
const FIELD: (f64, f64) = (240.0, 150.0);
/// Standard deviations from the middle to the edge of an 80 % band.
const EDGE: f64 = 1.28;
/// A curve is drawn up to so many times the SLO's limit.
const HIGHEST: f64 = 3.0;

/// All profiles of the portions given, each with its curve, the band of its knee's uncertainty, the SLO's limit and the knee.
pub fn curves(portions: &[PortionView]) -> String {
    let of = |p: &'_ PortionView| p.profiles.len();
    let panels: usize = portions.iter().map(of).sum();
    let rows = panels.div_ceil(ACROSS).max(1);
    let (width, height) = (CELL.0 * ACROSS as f64, CELL.1 * rows as f64);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    if panels == 0 {
        words(
            &mut out,
            (20.0, 30.0),
            "start",
            "no shadow has measured anything yet",
        );
    }
    let all = portions
        .iter()
        .flat_map(|p| p.profiles.iter().map(move |q| (p, q)));
    for (k, (portion, profile)) in all.enumerate() {
        let at = (
            CELL.0 * (k % ACROSS) as f64 + 50.0,
            CELL.1 * (k / ACROSS) as f64 + 45.0,
        );
        let known = portion.known.iter().find(|q| q.key == profile.key);
        panel(&mut out, at, profile, known, &portion.slo);
    }
    out + "</svg>\n"
}

fn panel(out: &mut String, (left, top): (f64, f64), p: &Profile, known: Option<&Known>, slo: &Slo) {
    let title = format!(
        "{} at {} ({})",
        p.key.portion,
        p.key.site,
        p.key.class.shown()
    );
    words(out, (left, top - 22.0), "start\" font-size=\"13", &title);
    let told = known.map_or_else(
        || format!("carries {} ± {}, {} runs", p.knee, p.knee_spread, p.runs),
        |k| {
            format!(
                "counts on {:.1} of {:.1} rps; {}",
                k.knee.low,
                k.knee.middle,
                k.source()
            )
        },
    );
    words(
        out,
        (left, top - 8.0),
        "start\" fill=\"#666666\" font-size=\"9",
        &told,
    );
    let points = p.answered();
    let most = points.iter().map(|q| q.1.0).fold(slo.latency.0, f64::max);
    let high = most.min(slo.latency.0 * HIGHEST) * 1.1;
    let right = points
        .iter()
        .map(|q| q.0.0)
        .fold(p.knee.0, f64::max)
        .max(1.0)
        * 1.05;
    let x = |load: f64| left + FIELD.0 * (load / right).min(1.0);
    let y = |late: f64| top + FIELD.1 * (1.0 - (late / high).min(1.0));
    let bottom = top + FIELD.1;
    for v in ticks([0.0, high], 4) {
        let at = y(v);
        let end = left + FIELD.0;
        let _ = writeln!(
            out,
            "<path d=\"M{left:.1} {at:.1} H{end:.1}\" stroke=\"{FAINT}\"/>"
        );
        words(out, (left - 5.0, at + 4.0), "end", &short(v));
    }
    for v in ticks([0.0, right], 4) {
        let at = x(v);
        let _ = writeln!(
            out,
            "<path d=\"M{at:.1} {bottom:.1} v4\" stroke=\"#888888\"/>"
        );
        words(out, (at, bottom + 16.0), "middle", &short(v));
    }
    words(
        out,
        (left + FIELD.0, bottom + 30.0),
        "end\" fill=\"#666666",
        "requests a second",
    );
    words(
        out,
        (left - 40.0, top - 8.0),
        "start\" fill=\"#666666",
        "ms",
    );
    let spread = known.map_or(p.knee_spread.0 / p.knee.0.max(0.1), |k| k.knee.spread);
    let band = p.band(EDGE * spread, Millis(high));
    let there = band.iter().map(|b| (x(b.0.0), y(b.1.0)));
    let back = band.iter().rev().map(|b| (x(b.0.0), y(b.2.0)));
    let _ = writeln!(
        out,
        "<polygon fill=\"{BAND}\" points=\"{}\"/>",
        joined(there.chain(back))
    );
    let line = joined(points.iter().map(|q| (x(q.0.0), y(q.1.0))));
    let _ = writeln!(
        out,
        "<polyline fill=\"none\" stroke=\"{CURVE}\" stroke-width=\"1.5\" points=\"{line}\"/>"
    );
    for point in &points {
        let (cx, cy) = (x(point.0.0), y(point.1.0));
        let _ = writeln!(
            out,
            "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"2\" fill=\"{CURVE}\"/>"
        );
    }
    let (limit, end) = (y(slo.latency.0), left + FIELD.0);
    let _ = writeln!(
        out,
        "<path d=\"M{left:.1} {limit:.1} H{end:.1}\" stroke=\"{LIMIT}\" stroke-dasharray=\"4 3\"/>"
    );
    let knee = x(p.knee.0);
    let _ = writeln!(
        out,
        "<path d=\"M{knee:.1} {top:.1} V{bottom:.1}\" stroke=\"#888888\" stroke-dasharray=\"4 3\"/>"
    );
    words(
        out,
        (knee, top + 10.0),
        "middle",
        &format!("knee {}", short(p.knee.0)),
    );
}

fn joined(points: impl Iterator<Item = (f64, f64)>) -> String {
    let texts: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::sample;

    #[test]
    fn every_place_measured_has_its_curve_band_limit_and_knee() {
        let view = sample::shop();
        let svg = curves(&view.portions);
        let panels: usize = view.portions.iter().map(|p| p.profiles.len()).sum();
        assert!(panels > 3, "{panels}");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg.matches("<polyline").count(), panels);
        assert_eq!(svg.matches("<polygon").count(), panels);
        assert_eq!(svg.matches(LIMIT).count(), panels);
        assert_eq!(svg.matches(">knee ").count(), panels);
        assert!(svg.contains("web at edge-a (edge-small)"));
        assert!(svg.contains("lent by"), "what is borrowed is told");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn without_a_profile_the_picture_says_so() {
        assert!(curves(&[]).contains("no shadow has measured anything yet"));
    }
}
