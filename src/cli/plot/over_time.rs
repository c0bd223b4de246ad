//! Portions over time as SVG, one panel each: demand with its forecast, and shares as the staircase they were moved in.

use super::short;
use super::svg::{ticks, words};
use crate::engine::view::PortionView;
use crate::model::{Moment, Shared};
use std::fmt::Write;

const LINE: &str = "#333333";
const MIDDLE: &str = "#08519c";
const BAND: &str = "#9ecae1";
const FAINT: &str = "#dddddd";
const LIMIT: &str = "#a50f15";
/// Size of a panel with its margins, and of its field.
const CELL: (f64, f64) = (900.0, 230.0);
const FIELD: (f64, f64) = (800.0, 150.0);

type Points = Vec<(f64, f64)>;

/// Each portion's demand: what had been foreseen, what came, what is foreseen now, and what its instances can take.
pub fn forecasts(portions: &[Shared<PortionView>]) -> String {
    let all = portions.iter().map(|p| &**p);
    let all: Vec<&PortionView> = all
        .filter(|p| !p.past.is_empty() || !p.band.is_empty())
        .collect();
    document(&all, "no demand has been seen yet", |out, top, p| {
        let Some(now) = p.past.last().map(|q| q.at).or(p.band.first().map(|b| b.at)) else {
            return;
        };
        let x = |at: Moment| at.since(now).as_secs_f64();
        let was = p.past.iter().filter_map(|q| Some((x(q.at), q.forecast?)));
        let is = p.band.iter().map(|b| (x(b.at), (b.low, b.mid, b.high)));
        let band: Vec<(f64, (f64, f64, f64))> = was.chain(is).collect();
        let actual: Points = p.past.iter().map(|q| (x(q.at), q.rate)).collect();
        let edges = band.iter().flat_map(|(x, b)| [(*x, b.0), (*x, b.2)]);
        let capacity = p.capacity.map(|c| c.0);
        let highest = capacity.into_iter().map(|c| (0.0, c));
        let field = Field::around(top, edges.chain(actual.iter().copied()).chain(highest));
        heading(out, top, p.id.as_str(), &p.because);
        field.axes(out, "requests a second");
        let there = band.iter().map(|(x, b)| (*x, b.2));
        let back = band.iter().rev().map(|(x, b)| (*x, b.0));
        let around = field.points(there.chain(back));
        let _ = writeln!(out, "<polygon fill=\"{BAND}\" points=\"{around}\"/>");
        field.line(out, band.iter().map(|(x, b)| (*x, b.1)), MIDDLE, "");
        field.line(out, actual.into_iter(), LINE, "");
        if let Some(c) = capacity {
            let ends = [(field.x.0, c), (field.x.1, c)];
            field.line(out, ends.into_iter(), LIMIT, "4 3");
        }
    })
}

/// Each portion's share of traffic on standbys, asked for (dashed) and seen.
pub fn weights(portions: &[Shared<PortionView>]) -> String {
    let all = portions.iter().map(|p| &**p);
    let all: Vec<&PortionView> = all.filter(|p| !p.stairs.is_empty()).collect();
    document(&all, "no shares have been seen yet", |out, top, p| {
        let Some(now) = p.stairs.last().map(|s| s.at) else {
            return;
        };
        let stairs = |of: &dyn Fn(&crate::engine::view::Stair) -> Option<f64>| {
            let mut line: Points = Vec::new();
            for s in &p.stairs {
                let (x, Some(y)) = (s.at.since(now).as_secs_f64(), of(s)) else {
                    continue;
                };
                if let Some((_, before)) = line.last().copied() {
                    line.push((x, before));
                }
                line.push((x, y));
            }
            line
        };
        let asked = stairs(&|s| Some(s.desired.fraction() * 100.0));
        let seen = stairs(&|s| Some(s.observed?.fraction() * 100.0));
        let whole = [(0.0, 0.0), (0.0, 100.0)];
        let field = Field::around(top, asked.iter().copied().chain(whole));
        let why = p.moving.as_ref().map_or("", |m| m.why.as_str());
        heading(out, top, p.id.as_str(), why);
        field.axes(out, "% of traffic on standbys");
        field.line(out, asked.into_iter(), MIDDLE, "4 3");
        field.line(out, seen.into_iter(), LINE, "");
    })
}

fn document(
    portions: &[&PortionView],
    none: &str,
    panel: impl Fn(&mut String, f64, &PortionView),
) -> String {
    let high = CELL.1 * portions.len().max(1) as f64;
    let wide = CELL.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {high}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"{wide}\" height=\"{high}\" fill=\"#ffffff\"/>\n"
    );
    if portions.is_empty() {
        words(&mut out, (20.0, 30.0), "start", none);
    }
    for (k, portion) in portions.iter().enumerate() {
        panel(&mut out, CELL.1 * k as f64 + 40.0, portion);
    }
    out + "</svg>\n"
}

fn heading(out: &mut String, top: f64, name: &str, told: &str) {
    words(out, (60.0, top - 20.0), "start\" font-size=\"13", name);
    let told: String = told.chars().take(150).collect();
    words(out, (60.0, top - 6.0), "start\" fill=\"#666666", &told);
}

/// Where a panel's values lie.
struct Field {
    top: f64,
    x: (f64, f64),
    high: f64,
}

impl Field {
    fn around(top: f64, points: impl Iterator<Item = (f64, f64)>) -> Field {
        let mut field = Field {
            top,
            x: (-1.0, 0.0),
            high: 1.0,
        };
        for (x, y) in points.filter(|(x, y)| x.is_finite() && y.is_finite()) {
            field.x = (field.x.0.min(x), field.x.1.max(x));
            field.high = field.high.max(y);
        }
        field.high *= 1.05;
        field
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let across = (x - self.x.0) / (self.x.1 - self.x.0);
        (
            60.0 + FIELD.0 * across,
            self.top + FIELD.1 * (1.0 - (y / self.high).clamp(0.0, 1.0)),
        )
    }

    fn points(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let finite = points.filter(|(x, y)| x.is_finite() && y.is_finite());
        let texts = finite
            .map(|p| self.place(p))
            .map(|(x, y)| format!("{x:.1},{y:.1}"));
        texts.collect::<Vec<_>>().join(" ")
    }

    fn line(
        &self,
        out: &mut String,
        points: impl Iterator<Item = (f64, f64)>,
        colour: &str,
        dash: &str,
    ) {
        let points = self.points(points);
        let _ = writeln!(
            out,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"{dash}\" points=\"{points}\"/>"
        );
    }

    fn axes(&self, out: &mut String, what: &str) {
        let (left, end) = (60.0, 60.0 + FIELD.0);
        let bottom = self.top + FIELD.1;
        for v in ticks([0.0, self.high], 4) {
            let y = self.place((self.x.0, v)).1;
            let _ = writeln!(
                out,
                "<path d=\"M{left:.1} {y:.1} H{end:.1}\" stroke=\"{FAINT}\"/>"
            );
            words(out, (left - 5.0, y + 4.0), "end", &short(v));
        }
        for v in ticks([self.x.0, self.x.1], 6) {
            let x = self.place((v, 0.0)).0;
            let _ = writeln!(
                out,
                "<path d=\"M{x:.1} {bottom:.1} v4\" stroke=\"#888888\"/>"
            );
            words(out, (x, bottom + 16.0), "middle", &format!("{v:+.0} s"));
        }
        words(out, (end, bottom + 30.0), "end\" fill=\"#666666", what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::sample;

    #[test]
    fn every_portion_with_demand_has_its_band_its_line_and_its_capacity() {
        let view = sample::shop();
        let svg = forecasts(&view.portions);
        assert_eq!(svg.matches("<polygon").count(), view.portions.len());
        let limits = view.portions.iter().filter(|p| p.capacity.is_some());
        assert_eq!(svg.matches(LIMIT).count(), limits.count());
        assert!(!svg.contains("NaN") && svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn a_move_is_drawn_as_two_staircases() {
        let svg = weights(&sample::shop().portions);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains(">web<") && svg.contains("% of traffic on standbys"));
    }

    #[test]
    fn without_anything_to_draw_the_pictures_say_so() {
        assert!(forecasts(&[]).contains("no demand has been seen yet"));
        assert!(weights(&[]).contains("no shares have been seen yet"));
    }
}
