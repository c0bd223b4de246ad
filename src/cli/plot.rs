//! Draws a forecast: its history, band and components, in the terminal and as SVG.

use crate::forecast::{Forecast, Samples};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, LegendPosition, Widget};
use std::fmt::Write;

type Dots = Vec<(f64, f64)>;

/// Lines over steps, where 0 is the last reading.
pub struct Picture {
    title: String,
    history: Dots,
    low: Dots,
    middle: Dots,
    high: Dots,
    /// Level, trend and season of the forecast.
    parts: [(&'static str, Dots); 3],
}

impl Picture {
    /// Of a forecast whose first, middle and last quantiles are at `lowest`, 0.5 and `highest`, with the last `past` readings.
    pub fn new(title: String, samples: &Samples, made: &Forecast, past: usize) -> Self {
        let n = samples.values.len();
        let from = n.saturating_sub(past);
        let history: Dots = samples.values[from..]
            .iter()
            .enumerate()
            .filter(|(_, v)| v.is_finite())
            .map(|(i, v)| ((from + i + 1) as f64 - n as f64, *v))
            .collect();
        let path = |pick: fn(&[f64]) -> f64| -> Dots {
            made.points
                .iter()
                .zip(1..)
                .map(|(p, h)| (f64::from(h), pick(&p.quantiles)))
                .collect()
        };
        let part = |pick: fn(&crate::forecast::demand::Parts) -> f64| -> Dots {
            made.parts
                .iter()
                .zip(1..)
                .map(|(p, h)| (f64::from(h), pick(p)))
                .collect()
        };
        Picture {
            title,
            history,
            low: path(|q| q.first().copied().unwrap_or(0.0)),
            middle: path(|q| q.get(q.len() / 2).copied().unwrap_or(0.0)),
            high: path(|q| q.last().copied().unwrap_or(0.0)),
            parts: [
                ("level", part(|p| p.level)),
                ("trend", part(|p| p.trend)),
                ("season", part(|p| p.season)),
            ],
        }
    }

    /// As text of so many columns: the band over the history, and a row of the components below.
    pub fn text(&self, columns: u16) -> String {
        let mut out = format!("{}\n", self.title);
        let area = Rect::new(0, 0, columns.max(40), 18);
        let lines = [
            ("history", &self.history, Marker::Braille),
            ("highest", &self.high, Marker::Dot),
            ("middle", &self.middle, Marker::Braille),
            ("lowest", &self.low, Marker::Dot),
        ];
        out += &chart(area, &lines);
        let third = Rect::new(0, 0, (columns.max(40) / 3).max(20), 8);
        let parts: Vec<String> = self
            .parts
            .iter()
            .map(|(name, dots)| chart(third, &[(name, dots, Marker::Braille)]))
            .collect();
        let rows: Vec<Vec<&str>> = parts.iter().map(|p| p.lines().collect()).collect();
        for k in 0..rows.iter().map(Vec::len).max().unwrap_or(0) {
            let row: String = rows.iter().filter_map(|r| r.get(k)).copied().collect();
            let _ = writeln!(out, "{}", row.trim_end());
        }
        out
    }

    /// As a picture of its own.
    pub fn svg(&self) -> String {
        let mut out = String::from(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 560\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"900\" height=\"560\" fill=\"#fff\"/>\n",
        );
        let title = escaped(&self.title);
        let _ = writeln!(out, "<text x=\"50\" y=\"20\">{title}</text>");
        let all = [&self.history, &self.low, &self.middle, &self.high];
        let frame = Frame::around((50.0, 30.0, 840.0, 340.0), &all);
        let mut band: Dots = self.low.clone();
        band.extend(self.high.iter().rev());
        let points = frame.points(&band);
        let _ = writeln!(out, "<polygon fill=\"#9ecae1\" points=\"{points}\"/>");
        frame.line(&mut out, &self.history, "#333");
        frame.line(&mut out, &self.middle, "#08519c");
        frame.axes(&mut out);
        for (k, (name, dots)) in self.parts.iter().enumerate() {
            let x = 50.0 + 290.0 * k as f64;
            let frame = Frame::around((x, 420.0, 240.0, 110.0), &[dots]);
            let _ = writeln!(out, "<text x=\"{x}\" y=\"412\">{name}</text>");
            frame.line(&mut out, dots, "#08519c");
            frame.axes(&mut out);
        }
        out + "</svg>\n"
    }
}

fn bounds(lines: &[&Dots]) -> ([f64; 2], [f64; 2]) {
    let all = || lines.iter().flat_map(|l| l.iter());
    let span = |pick: fn(&(f64, f64)) -> f64| {
        let low = all().map(pick).fold(f64::INFINITY, f64::min);
        let high = all().map(pick).fold(f64::NEG_INFINITY, f64::max);
        match (low.is_finite(), high > low) {
            (false, _) => [0.0, 1.0],
            (true, false) => [low - 0.5, low + 0.5],
            (true, true) => [low, high],
        }
    };
    (span(|d| d.0), span(|d| d.1))
}

fn chart(area: Rect, lines: &[(&str, &Dots, Marker)]) -> String {
    let (x, y) = bounds(&lines.iter().map(|l| l.1).collect::<Vec<_>>());
    let sets = lines
        .iter()
        .map(|(name, dots, marker)| {
            Dataset::default()
                .name(*name)
                .marker(*marker)
                .graph_type(GraphType::Line)
                .style(Style::default())
                .data(dots)
        })
        .collect();
    let ends = |b: [f64; 2]| b.map(|v| Line::from(short(v)));
    let mut buffer = Buffer::empty(area);
    Chart::new(sets)
        .x_axis(Axis::default().bounds(x).labels(ends(x)))
        .y_axis(Axis::default().bounds(y).labels(ends(y)))
        .legend_position(Some(LegendPosition::TopLeft))
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

fn short(v: f64) -> String {
    match v.abs() {
        a if a >= 1e6 => format!("{v:.2e}"),
        a if a >= 100.0 || v.fract() == 0.0 => format!("{v:.0}"),
        _ => format!("{v:.2}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A rectangle of the picture, and the values at its edges.
struct Frame {
    at: (f64, f64, f64, f64),
    x: [f64; 2],
    y: [f64; 2],
}

impl Frame {
    fn around(at: (f64, f64, f64, f64), lines: &[&Dots]) -> Self {
        let (x, y) = bounds(lines);
        Frame { at, x, y }
    }

    fn points(&self, dots: &Dots) -> String {
        let (left, top, width, height) = self.at;
        let place = |(x, y): &(f64, f64)| {
            let across = (x - self.x[0]) / (self.x[1] - self.x[0]);
            let up = (y - self.y[0]) / (self.y[1] - self.y[0]);
            format!("{:.1},{:.1}", left + width * across, top + height * (1.0 - up))
        };
        dots.iter().map(place).collect::<Vec<_>>().join(" ")
    }

    fn line(&self, out: &mut String, dots: &Dots, colour: &str) {
        let points = self.points(dots);
        let _ = writeln!(
            out,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{points}\"/>"
        );
    }

    fn axes(&self, out: &mut String) {
        let (left, top, width, height) = self.at;
        let bottom = top + height;
        let _ = writeln!(
            out,
            "<path d=\"M{left} {top} V{bottom} H{}\" fill=\"none\" stroke=\"#999\"/>",
            left + width
        );
        for (v, y) in [(self.y[1], top + 10.0), (self.y[0], bottom)] {
            let v = short(v);
            let x = left - 4.0;
            let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{v}</text>");
        }
        for (v, x, side) in [(self.x[0], left, "start"), (self.x[1], left + width, "end")] {
            let (v, y) = (short(v), bottom + 16.0);
            let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{side}\">{v}</text>");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::forecast;
    use crate::model::{Moment, Span};

    fn picture() -> Picture {
        let samples = Samples {
            start: Moment(0),
            step: Span::secs(60),
            values: (0..300)
                .map(|i| 50.0 + 20.0 * (f64::from(i) * 0.3).sin() + f64::from(i % 7))
                .collect(),
        };
        let made = forecast(&samples, 12, None, &[0.1, 0.5, 0.9], None, 1.0);
        Picture::new("load < 100 & more".into(), &samples, &made, 60)
    }

    #[test]
    fn the_terminal_shows_history_band_and_components() {
        let text = picture().text(100);
        for word in ["history", "highest", "lowest", "level", "trend", "season"] {
            assert!(text.contains(word), "{word} is missing in\n{text}");
        }
        assert!(text.lines().count() > 20);
        assert!(text.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)));
    }

    #[test]
    fn the_svg_holds_every_line_and_escapes_its_title() {
        let svg = picture().svg();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg.matches("<polyline").count(), 5);
        assert_eq!(svg.matches("<polygon").count(), 1);
        assert!(svg.contains("load &lt; 100 &amp; more"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
