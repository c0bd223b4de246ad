//! What was measured over the size of the estate, as SVG: both axes in powers, each panel with the bar that it is held to.

use std::fmt::Write;

/// One size: nodes, and what was measured there.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    pub nodes: f64,
    /// Milliseconds of a turn: the mean, and what 99 of 100 took at most.
    pub mean: f64,
    pub late: f64,
    pub resident: f64,
    /// Percent of a core while nothing changes, and with a hundred changes a second.
    pub idle: f64,
    pub busy: f64,
    /// Requests a minute.
    pub nomad: f64,
    pub consul: f64,
}

/// A name, a colour, and which of the numbers.
type Line = (&'static str, &'static str, fn(&Point) -> f64);

struct Panel {
    title: &'static str,
    bar: Option<(f64, &'static str)>,
    lines: &'static [Line],
}

const BLUE: &str = "#08519c";
const RED: &str = "#d94801";
const PANELS: [Panel; 4] = [
    Panel {
        title: "A turn, ms, with 100 changes a second",
        bar: Some((250.0, "250 ms")),
        lines: &[("mean", BLUE, |p| p.mean), ("99 of 100", RED, |p| p.late)],
    },
    Panel {
        title: "Memory, MB",
        bar: Some((150.0, "150 MB")),
        lines: &[("resident", BLUE, |p| p.resident)],
    },
    Panel {
        title: "Percent of a core",
        bar: Some((1.0, "1 %, idle")),
        lines: &[
            ("idle", BLUE, |p| p.idle),
            ("100 changes a second", RED, |p| p.busy),
        ],
    },
    Panel {
        title: "Requests a minute, with 100 changes a second",
        bar: None,
        lines: &[("Nomad", BLUE, |p| p.nomad), ("Consul", RED, |p| p.consul)],
    },
];
/// Of a panel, with its margins, and of its field.
const CELL: (f64, f64) = (380.0, 290.0);
const FIELD: (f64, f64) = (290.0, 200.0);

pub fn picture(points: &[Point]) -> String {
    let (width, height) = (CELL.0 * 2.0, CELL.1 * 2.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (k, panel) in PANELS.iter().enumerate() {
        let at = (
            CELL.0 * (k % 2) as f64 + 60.0,
            CELL.1 * (k / 2) as f64 + 40.0,
        );
        draw(&mut out, panel, points, at);
    }
    out + "</svg>\n"
}

fn draw(out: &mut String, panel: &Panel, points: &[Point], (left, top): (f64, f64)) {
    let all = points
        .iter()
        .flat_map(|p| panel.lines.iter().map(|l| (l.2)(p)));
    let all: Vec<f64> = all
        .chain(panel.bar.map(|b| b.0))
        .filter(|v| *v > 0.0)
        .collect();
    let low = all
        .iter()
        .copied()
        .fold(f64::INFINITY, f64::min)
        .log10()
        .floor();
    let high = all
        .iter()
        .copied()
        .fold(0.0, f64::max)
        .log10()
        .ceil()
        .max(low + 1.0);
    let (first, last) = (
        points[0].nodes.log2(),
        points[points.len() - 1].nodes.log2(),
    );
    let x = |nodes: f64| left + FIELD.0 * (nodes.log2() - first) / (last - first).max(1e-9);
    let y = |v: f64| top + FIELD.1 * (1.0 - (v.max(1e-9).log10() - low) / (high - low)).min(1.0);
    let right = left + FIELD.0;
    // A String takes whatever is written.
    let _ = writeln!(
        out,
        "<text x=\"{left}\" y=\"{}\" font-size=\"13\">{}</text>",
        top - 14.0,
        panel.title
    );
    for power in low as i32..=high as i32 {
        let (v, at) = (10f64.powi(power), y(10f64.powi(power)));
        let _ = writeln!(
            out,
            "<path d=\"M{left} {at:.1} H{right}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{v}</text>",
            left - 6.0,
            at + 4.0
        );
    }
    for p in points {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0}</text>",
            x(p.nodes),
            top + FIELD.1 + 16.0,
            p.nodes
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">nodes</text>",
        left + FIELD.0 / 2.0,
        top + FIELD.1 + 32.0
    );
    if let Some((bar, name)) = panel.bar {
        let at = y(bar);
        let _ = writeln!(
            out,
            "<path d=\"M{left} {at:.1} H{right}\" stroke=\"#a50f15\" stroke-dasharray=\"4 3\"/><text x=\"{:.1}\" y=\"{:.1}\" fill=\"#a50f15\">{name}</text>",
            left + 4.0,
            at - 4.0
        );
    }
    for (k, (name, colour, of)) in panel.lines.iter().enumerate() {
        let path: Vec<String> = points
            .iter()
            .map(|p| format!("{:.1} {:.1}", x(p.nodes), y(of(p))))
            .collect();
        let _ = writeln!(
            out,
            "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
            path.join(" L")
        );
        for p in points {
            let _ = writeln!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"/>",
                x(p.nodes),
                y(of(p))
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>",
            right,
            top + 14.0 + 14.0 * k as f64
        );
    }
}
