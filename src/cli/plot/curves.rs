//! Profiles as SVG: latency against load, one panel for each place measured.

use super::short;
use super::svg::{ticks, words};
use crate::engine::view::PortionView;
use crate::model::counted;
use crate::model::{Known, Millis, Profile, Shared, Slo};
use std::fmt::Write;

const CURVE: &str = "#08519c";
const BAND: &str = "#9ecae1";
const FAINT: &str = "#dddddd";
const LIMIT: &str = "#a50f15";
/// Panels side by side, and the size of one with its margins.
const ACROSS: usize = 3;
const CELL: (f64, f64) = (320.0, 255.0);
/// What of a cell the curve may have.
const FIELD: (f64, f64) = (240.0, 150.0);
/// Standard deviations from the middle to the edge of an 80 % band.
const EDGE: f64 = 1.28;
/// A curve is drawn up to so many times the SLO's limit.
const HIGHEST: f64 = 3.0;

/// All profiles of the portions given, each with its curve, the band of its knee's uncertainty, the SLO's limit and the knee.
pub fn curves(portions: &[Shared<PortionView>]) -> String {
    let panels: usize = portions.iter().map(|p| p.profiles.len()).sum();
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
            CELL.1 * (k / ACROSS) as f64 + 50.0,
        );
        let known = portion.known.iter().find(|q| q.key == profile.key);
        panel(&mut out, at, profile, known, &portion.slo);
    }
    out + "</svg>\n"
}

/// Where loads and latencies lie in one panel.
struct Panel {
    left: f64,
    top: f64,
    /// Highest load and latency.
    right: f64,
    high: f64,
}

impl Panel {
    fn x(&self, load: f64) -> f64 {
        self.left + FIELD.0 * (load / self.right).min(1.0)
    }

    fn y(&self, late: f64) -> f64 {
        self.top + FIELD.1 * (1.0 - (late / self.high).min(1.0))
    }

    fn end(&self) -> f64 {
        self.left + FIELD.0
    }

    fn bottom(&self) -> f64 {
        self.top + FIELD.1
    }

    fn axes(&self, out: &mut String) {
        let (left, end, bottom) = (self.left, self.end(), self.bottom());
        for v in ticks([0.0, self.high], 4) {
            let y = self.y(v);
            let _ = writeln!(
                out,
                "<path d=\"M{left:.1} {y:.1} H{end:.1}\" stroke=\"{FAINT}\"/>"
            );
            words(out, (left - 5.0, y + 4.0), "end", &short(v));
        }
        for v in ticks([0.0, self.right], 4) {
            let x = self.x(v);
            let _ = writeln!(
                out,
                "<path d=\"M{x:.1} {bottom:.1} v4\" stroke=\"#888888\"/>"
            );
            words(out, (x, bottom + 16.0), "middle", &short(v));
        }
        let dim = "end\" fill=\"#666666";
        words(out, (end, bottom + 30.0), dim, "requests a second");
        words(out, (left - 5.0, self.top - 8.0), dim, "ms");
    }

    /// A dashed line.
    fn rule(&self, out: &mut String, path: &str, colour: &str) {
        let _ = writeln!(
            out,
            "<path d=\"{path}\" stroke=\"{colour}\" stroke-dasharray=\"4 3\"/>"
        );
    }
}

fn panel(out: &mut String, (left, top): (f64, f64), p: &Profile, known: Option<&Known>, slo: &Slo) {
    let points = p.answered();
    let most = points.iter().map(|q| q.1.0).fold(slo.latency.0, f64::max);
    let furthest = points.iter().map(|q| q.0.0).fold(p.knee.0, f64::max);
    let at = Panel {
        left,
        top,
        right: furthest.max(1.0) * 1.05,
        high: most.min(slo.latency.0 * HIGHEST) * 1.1,
    };
    heading(out, (left, top), p, known);
    at.axes(out);
    let spread = known.map_or(p.knee_spread.0 / p.knee.0.max(0.1), |k| k.knee.spread);
    let band = p.band(EDGE * spread, Millis(at.high));
    let there = band.iter().map(|b| (at.x(b.0.0), at.y(b.1.0)));
    let back = band.iter().rev().map(|b| (at.x(b.0.0), at.y(b.2.0)));
    let around = joined(there.chain(back));
    let _ = writeln!(out, "<polygon fill=\"{BAND}\" points=\"{around}\"/>");
    let dots: Vec<(f64, f64)> = points.iter().map(|q| (at.x(q.0.0), at.y(q.1.0))).collect();
    let line = joined(dots.iter().copied());
    let _ = writeln!(
        out,
        "<polyline fill=\"none\" stroke=\"{CURVE}\" stroke-width=\"1.5\" points=\"{line}\"/>"
    );
    for (x, y) in dots {
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"{CURVE}\"/>"
        );
    }
    let (limit, end) = (at.y(slo.latency.0), at.end());
    at.rule(out, &format!("M{left:.1} {limit:.1} H{end:.1}"), LIMIT);
    let (knee, bottom) = (at.x(p.knee.0), at.bottom());
    at.rule(out, &format!("M{knee:.1} {top:.1} V{bottom:.1}"), "#888888");
    let least = if p.evidence.knee_open { "≥ " } else { "" };
    let label = format!("knee {least}{}", short(p.knee.0));
    words(out, (knee - 4.0, top + 10.0), "end", &label);
}

/// Which place it is, and what is counted on there.
fn heading(out: &mut String, (left, top): (f64, f64), p: &Profile, known: Option<&Known>) {
    let place = &p.key;
    let title = format!(
        "{} at {} ({})",
        place.portion,
        place.site,
        place.class.shown()
    );
    words(out, (left, top - 28.0), "start\" font-size=\"13", &title);
    let told = known.map_or_else(
        || {
            format!(
                "carries {} ± {}, {}",
                p.knee,
                p.knee_spread,
                counted(p.runs, "run")
            )
        },
        |k| {
            let (low, middle) = (k.knee.low, k.knee.middle);
            format!("counts on {low:.1} of {middle:.1} rps; {}", k.source())
        },
    );
    words(
        out,
        (left, top - 15.0),
        "start\" fill=\"#666666\" font-size=\"9",
        &told,
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
