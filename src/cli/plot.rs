//! Draws a forecast: its history, band and components, in the terminal and as SVG.

mod curves;
mod over_time;
mod svg;

pub use curves::curves;
pub use over_time::{forecasts, weights};

use crate::forecast::demand::Parts;
use crate::forecast::{Forecast, Samples};
use crate::model::{Moment, Span};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, LegendPosition, Widget};
use std::fmt::Write;

type Dots = Vec<(f64, f64)>;

/// Labels along the time axis.
const TIMES: usize = 6;
/// Columns that a component's chart needs.
const NARROWEST: u16 = 26;
/// Columns between them.
const APART: u16 = 2;

/// Lines over steps, where 0 is the last reading.
pub struct Picture {
    title: String,
    /// The models and their weights.
    models: String,
    now: Moment,
    step: Span,
    /// Stretches without a gap.
    history: Vec<Dots>,
    low: Dots,
    middle: Dots,
    high: Dots,
    /// Level, trend and season of the forecast.
    parts: [(&'static str, Dots); 3],
}

impl Picture {
    /// Of a forecast whose quantiles are at 0.1, 0.5 and 0.9, with the last `past` readings.
    pub fn new(title: String, samples: &Samples, made: &Forecast, past: usize) -> Self {
        let n = samples.values.len();
        let from = n.saturating_sub(past);
        let mut history: Vec<Dots> = Vec::new();
        let mut gap = true;
        for (i, v) in samples.values.iter().enumerate().skip(from) {
            if v.is_finite() {
                let dot = ((i + 1) as f64 - n as f64, *v);
                match history.last_mut().filter(|_| !gap) {
                    Some(stretch) => stretch.push(dot),
                    None => history.push(vec![dot]),
                }
            }
            gap = !v.is_finite();
        }
        // The fan opens at the last reading, where there is one.
        let start = history.last().and_then(|h| h.last()).copied();
        let start = start.filter(|d| d.0 == 0.0);
        let path = |k: usize| -> Dots {
            let points = made.points.iter().zip(1..);
            let points =
                points.map(|(p, h)| (f64::from(h), p.quantiles.get(k).copied().unwrap_or(0.0)));
            start.into_iter().chain(points).collect()
        };
        let part = |pick: fn(&Parts) -> f64| -> Dots {
            made.parts
                .iter()
                .zip(1..)
                .map(|(p, h)| (f64::from(h), pick(p)))
                .collect()
        };
        let seasons: Vec<String> = made.seasons.iter().map(usize::to_string).collect();
        let seasons = match seasons.len() {
            0 => "no season".to_string(),
            1 => format!("a season of {} steps", seasons[0]),
            _ => format!("seasons of {} steps", seasons.join(" and ")),
        };
        Picture {
            title,
            models: format!("{}; {seasons}", made.model),
            now: samples.start + samples.step.times(n as i64 - 1),
            step: samples.step,
            history,
            low: path(0),
            middle: path(1),
            high: path(2),
            parts: [
                ("level", part(|p| p.level)),
                ("trend adds", part(|p| p.trend)),
                ("season adds", part(|p| p.season)),
            ],
        }
    }

    /// As text of so many columns: the band over the history, and the components below, side by side where they fit.
    pub fn text(&self, columns: u16) -> String {
        let columns = columns.max(40);
        let mut out = format!("{}\n{}\n", self.title, self.models);
        let mut lines: Vec<(&str, &Dots, Marker)> = Vec::new();
        for (k, stretch) in self.history.iter().enumerate() {
            lines.push((
                if k == 0 { "history" } else { "" },
                stretch,
                Marker::Braille,
            ));
        }
        lines.push(("90%", &self.high, Marker::Dot));
        lines.push(("median", &self.middle, Marker::Braille));
        lines.push(("10%", &self.low, Marker::Dot));
        let ends = bounds(&lines.iter().map(|l| l.1).collect::<Vec<_>>(), 0.0);
        let now = vec![(0.0, ends.1[0]), (0.0, ends.1[1])];
        lines.push(("now", &now, Marker::Braille));
        out += &self.chart(Rect::new(0, 0, columns, 18), TIMES, &lines, 0.0);
        let side = (columns / NARROWEST).clamp(1, self.parts.len() as u16);
        let area = Rect::new(0, 0, columns / side - APART, 8);
        for row in self.parts.chunks(usize::from(side)) {
            let charts: Vec<String> = row
                .iter()
                .map(|(name, dots)| {
                    let lines = [("", dots, Marker::Braille)];
                    let chart = self.chart(area, 2, &lines, self.least());
                    format!("{name:^w$}\n{chart}", w = usize::from(area.width))
                })
                .collect();
            let rows: Vec<Vec<&str>> = charts.iter().map(|c| c.lines().collect()).collect();
            for k in 0..rows.first().map_or(0, Vec::len) {
                let cells: Vec<&str> = rows.iter().filter_map(|r| r.get(k)).copied().collect();
                let line = cells.join(&" ".repeat(usize::from(APART)));
                let _ = writeln!(out, "{}", line.trim_end());
            }
        }
        out
    }

    /// A component that moves by less than a hundredth of the level is drawn nearly flat.
    fn least(&self) -> f64 {
        self.parts[0].1.first().map_or(0.0, |d| 0.01 * d.1.abs())
    }

    fn chart(
        &self,
        area: Rect,
        times: usize,
        lines: &[(&str, &Dots, Marker)],
        least: f64,
    ) -> String {
        let (x, y) = bounds(&lines.iter().map(|l| l.1).collect::<Vec<_>>(), least);
        let sets = lines
            .iter()
            .map(|(name, dots, marker)| {
                let set = Dataset::default()
                    .marker(*marker)
                    .graph_type(GraphType::Line)
                    .style(Style::default())
                    .data(dots);
                if name.is_empty() {
                    set
                } else {
                    set.name(*name)
                }
            })
            .collect();
        let along = |k: usize| x[0] + (x[1] - x[0]) * k as f64 / (times - 1) as f64;
        let label = |k: usize| Line::from(self.time(along(k), area.width < 60));
        let values = [y[0], 0.5 * (y[0] + y[1]), y[1]].map(|v| Line::from(short(v)));
        let mut buffer = Buffer::empty(area);
        Chart::new(sets)
            .x_axis(Axis::default().bounds(x).labels((0..times).map(label)))
            .y_axis(Axis::default().bounds(y).labels(values))
            .legend_position(Some(LegendPosition::TopLeft))
            .hidden_legend_constraints((Constraint::Ratio(1, 2), Constraint::Ratio(1, 2)))
            .render(area, &mut buffer);
        let mut out = String::new();
        for row in 0..area.height {
            for column in 0..area.width {
                out += buffer[(column, row)].symbol();
            }
            out.push('\n');
        }
        out
    }

    /// The moment so many steps from now, to the nearest step.
    fn time(&self, steps: f64, brief: bool) -> String {
        let at = self.now.0 + steps.round() as i64 * self.step.0;
        let format = match self.step.0 {
            s if s < 60_000 => "%H:%M:%S",
            s if s >= 86_400_000 => "%Y-%m-%d",
            _ if brief => "%H:%M",
            _ => "%m-%d %H:%M",
        };
        jiff::Timestamp::from_millisecond(at).map_or_else(
            |_| format!("{steps:+.0}"),
            |t| t.strftime(format).to_string(),
        )
    }
}

/// The least and the greatest across and up; at least `least` apart, or rounding would be drawn as mountains.
fn bounds(lines: &[&Dots], least: f64) -> ([f64; 2], [f64; 2]) {
    let all = || lines.iter().flat_map(|l| l.iter());
    let span = |pick: fn(&(f64, f64)) -> f64, least: f64| {
        let low = all().map(pick).fold(f64::INFINITY, f64::min);
        let high = all().map(pick).fold(f64::NEG_INFINITY, f64::max);
        if !low.is_finite() {
            return [0.0, 1.0];
        }
        let tiny = 1e-6 * low.abs().max(high.abs());
        if high - low > least.max(tiny) {
            return [low, high];
        }
        let middle = 0.5 * (low + high);
        let reach = if least > tiny { least } else { 0.5 };
        [middle - reach, middle + reach]
    };
    (span(|d| d.0, 0.0), span(|d| d.1, least))
}

fn short(v: f64) -> String {
    match v.abs() {
        a if a >= 1e6 => format!("{v:.2e}"),
        a if a >= 100.0 || v.fract() == 0.0 => format!("{v:.0}"),
        a if a >= 10.0 => format!("{v:.1}"),
        a if a >= 0.01 => format!("{v:.2}"),
        _ => format!("{v:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::forecast;

    pub(super) fn picture() -> Picture {
        let mut values: Vec<f64> = (0..300)
            .map(|i| 50.0 + 20.0 * (f64::from(i) * 0.3).sin() + f64::from(i % 7))
            .collect();
        values[270..276].fill(f64::NAN);
        let samples = Samples {
            start: Moment(1_700_000_000_000),
            step: Span::secs(60),
            values,
        };
        let made = forecast(&samples, 12, None, &[0.1, 0.5, 0.9], None, 1.0);
        Picture::new("load < 100 & more".into(), &samples, &made, 60)
    }

    #[test]
    fn the_terminal_shows_history_band_and_components_with_their_times() {
        let text = picture().text(100);
        let words = [
            "history",
            "90%",
            "median",
            "10%",
            "now",
            "level",
            "trend adds",
            "season adds",
            "11-15 02:13",
        ];
        for word in words {
            assert!(text.contains(word), "{word} is missing in\n{text}");
        }
        assert!(text.lines().all(|l| l.chars().count() <= 130), "{text}");
        assert!(text.lines().count() > 20);
        assert!(text.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)));
    }

    #[test]
    fn a_narrow_terminal_gets_the_components_one_below_the_other() {
        let text = picture().text(48);
        assert!(text.lines().count() > 18 + 3 * 8, "{text}");
    }

    #[test]
    fn a_gap_parts_the_history_and_the_fan_opens_at_the_last_reading() {
        let p = picture();
        assert_eq!(p.history.len(), 2);
        assert_eq!(p.low[0], *p.history[1].last().unwrap());
    }
}
