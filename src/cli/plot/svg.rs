//! The same picture as SVG.

use super::{Dots, Picture, TIMES, bounds, short};
use std::fmt::Write;

const HISTORY: &str = "#333333";
const MIDDLE: &str = "#08519c";
const BAND: &str = "#9ecae1";
const FAINT: &str = "#dddddd";

impl Picture {
    /// As a picture of its own.
    pub fn svg(&self) -> String {
        let mut out = String::from(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 620\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"900\" height=\"620\" fill=\"#ffffff\"/>\n",
        );
        words(
            &mut out,
            (70.0, 22.0),
            "start\" font-size=\"14",
            &self.title,
        );
        words(
            &mut out,
            (70.0, 40.0),
            "start\" fill=\"#666666",
            &self.models,
        );
        self.whole(&mut out);
        for (k, (name, dots)) in self.parts.iter().enumerate() {
            let left = 70.0 + 283.0 * k as f64;
            let frame = Frame::around((left, 480.0, 215.0, 100.0), &[dots], self.least());
            words(&mut out, (left, 470.0), "start", name);
            frame.axes(&mut out, self, 3, 2);
            frame.line(&mut out, dots, MIDDLE);
        }
        out + "</svg>\n"
    }

    /// History, band and median, with what each is.
    fn whole(&self, out: &mut String) {
        let mut all: Vec<&Dots> = self.history.iter().collect();
        all.extend([&self.low, &self.middle, &self.high]);
        let frame = Frame::around((70.0, 75.0, 800.0, 330.0), &all, 0.0);
        frame.axes(out, self, 5, TIMES);
        let mut band: Dots = self.low.clone();
        band.extend(self.high.iter().rev());
        let points = frame.points(&band);
        let _ = writeln!(out, "<polygon fill=\"{BAND}\" points=\"{points}\"/>");
        for stretch in &self.history {
            frame.line(out, stretch, HISTORY);
        }
        frame.line(out, &self.middle, MIDDLE);
        let now = frame.place(&(0.0, frame.y[0])).0;
        let _ = writeln!(
            out,
            "<path d=\"M{now:.1} 75 V405\" stroke=\"#888888\" stroke-dasharray=\"4 3\"/>"
        );
        words(out, (now, 70.0), "middle", "now");
        for (k, (name, colour)) in [("history", HISTORY), ("median", MIDDLE), ("80% band", BAND)]
            .into_iter()
            .enumerate()
        {
            let x = 70.0 + 90.0 * k as f64;
            let _ = writeln!(
                out,
                "<rect x=\"{x}\" y=\"57\" width=\"14\" height=\"8\" fill=\"{colour}\"/>"
            );
            words(out, (x + 20.0, 65.0), "start", name);
        }
    }
}

pub(super) fn words(out: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Round values about `count` of which lie between two others: multiples of 1, 2 or 5 times a power of ten.
pub(super) fn ticks([low, high]: [f64; 2], count: usize) -> Vec<f64> {
    let rough = (high - low) / count as f64;
    if rough <= 0.0 {
        return Vec::new();
    }
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|k| k * power)
        .into_iter()
        .find(|s| *s >= rough)
        .unwrap_or(rough);
    let first = (low / step).ceil();
    (0..=2 * count)
        .map(|k| (first + k as f64) * step)
        .take_while(|v| *v <= high)
        .collect()
}

/// A rectangle of the picture, and the values at its edges.
struct Frame {
    at: (f64, f64, f64, f64),
    x: [f64; 2],
    y: [f64; 2],
}

impl Frame {
    fn around(at: (f64, f64, f64, f64), lines: &[&Dots], least: f64) -> Self {
        let (x, y) = bounds(lines, least);
        let air = 0.04 * (y[1] - y[0]);
        Frame {
            at,
            x,
            y: [y[0] - air, y[1] + air],
        }
    }

    fn place(&self, (x, y): &(f64, f64)) -> (f64, f64) {
        let (left, top, width, height) = self.at;
        let across = (x - self.x[0]) / (self.x[1] - self.x[0]);
        let up = (y - self.y[0]) / (self.y[1] - self.y[0]);
        (left + width * across, top + height * (1.0 - up))
    }

    fn points(&self, dots: &Dots) -> String {
        let places = dots.iter().map(|d| self.place(d));
        let texts: Vec<String> = places.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        texts.join(" ")
    }

    fn line(&self, out: &mut String, dots: &Dots, colour: &str) {
        let points = self.points(dots);
        let _ = writeln!(
            out,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{points}\"/>"
        );
    }

    /// Round values up, and so many times across.
    fn axes(&self, out: &mut String, picture: &Picture, values: usize, times: usize) {
        let (left, top, width, height) = self.at;
        let bottom = top + height;
        for v in ticks(self.y, values) {
            let y = self.place(&(self.x[0], v)).1;
            let right = left + width;
            let _ = writeln!(
                out,
                "<path d=\"M{left} {y:.1} H{right}\" stroke=\"{FAINT}\"/>"
            );
            words(out, (left - 6.0, y + 4.0), "end", &short(v));
        }
        for k in 0..times {
            let steps = self.x[0] + (self.x[1] - self.x[0]) * k as f64 / (times - 1) as f64;
            let x = self.place(&(steps, self.y[0])).0;
            let _ = writeln!(out, "<path d=\"M{x:.1} {bottom} v4\" stroke=\"#888888\"/>");
            // The outermost stay within the picture.
            let anchor = match k {
                0 => "start",
                k if k + 1 == times => "end",
                _ => "middle",
            };
            let time = picture.time(steps, times == 2);
            words(out, (x, bottom + 18.0), anchor, &time);
        }
        let _ = writeln!(
            out,
            "<path d=\"M{left} {top} V{bottom} h{width}\" fill=\"none\" stroke=\"#888888\"/>"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::picture;
    use super::*;

    #[test]
    fn the_svg_holds_every_line_and_escapes_its_title() {
        let svg = picture().svg();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        // Two stretches of history, the median, and three components.
        assert_eq!(svg.matches("<polyline").count(), 6);
        assert_eq!(svg.matches("<polygon").count(), 1);
        for word in [
            "80% band",
            ">now<",
            "season adds",
            "load &lt; 100 &amp; more",
        ] {
            assert!(svg.contains(word), "{word} is missing in {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks([0.3, 9.7], 5), vec![2.0, 4.0, 6.0, 8.0]);
        assert_eq!(ticks([-12.0, 31.0], 4), vec![0.0, 20.0]);
        assert_eq!(ticks([1.0, 1.0], 4), Vec::<f64>::new());
    }
}
