//! What follows from a risk tolerance, as a picture of the planner's own formula.

use foreshadow::model::Span;
use foreshadow::planner::risk::{Appetite, appetite};
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const PANEL: (f64, f64) = (300.0, 190.0);
const DAY: Span = Span::secs(86_400);

/// One curve: what it is called, its value, how a value is written, and where the axis is logarithmic.
struct Curve {
    title: &'static str,
    careful: &'static str,
    bold: &'static str,
    of: fn(&Appetite) -> f64,
    say: fn(f64) -> String,
    log: bool,
}

const CURVES: [Curve; 6] = [
    Curve {
        title: "A place is shadowed again after",
        careful: "twelve times a day",
        bold: "every other day",
        of: |a| a.shadow_every.as_secs_f64() / 3600.0,
        say: |h| format!("{h:.0} h"),
        log: false,
    },
    Curve {
        title: "Demand is covered up to quantile",
        careful: "all but one time in 100",
        bold: "half of the times",
        of: |a| a.demand_level,
        say: |q| format!("{q:.2}"),
        log: false,
    },
    Curve {
        title: "A failure is prepared for from probability",
        careful: "one in 10,000",
        bold: "a coin's toss",
        of: |a| a.disruption_above.0,
        say: |p| format!("{p:.1e}"),
        log: true,
    },
    Curve {
        title: "Instances carry of what was measured",
        careful: "room to grow",
        bold: "little to spare",
        of: |a| a.load_factor,
        say: |f| format!("{:.0} %", 100.0 * f),
        log: false,
    },
    Curve {
        title: "At most moved in one planned step",
        careful: "a quarter",
        bold: "all at once",
        of: |a| a.max_step.fraction(),
        say: |f| format!("{:.0} %", 100.0 * f),
        log: false,
    },
    Curve {
        title: "The worst futures count so many times",
        careful: "ten times",
        bold: "a tenth",
        of: |a| a.tail_weight,
        say: |w| format!("{w:.1}"),
        log: true,
    },
];

pub fn picture() -> String {
    let height = 2.0 * (PANEL.1 + 70.0) + 40.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n<title>What follows from risk_tolerance</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (n, curve) in CURVES.iter().enumerate() {
        let (x, y) = (
            15.0 + (n % 3) as f64 * 315.0,
            40.0 + (n / 3) as f64 * (PANEL.1 + 70.0),
        );
        panel(&mut out, curve, x, y);
    }
    out.push_str("</svg>\n");
    out
}

fn panel(out: &mut String, curve: &Curve, x: f64, y: f64) {
    let value = |t: f64| (curve.of)(&appetite(t, DAY));
    let scale = |v: f64| if curve.log { v.log10() } else { v };
    let (a, b) = (scale(value(0.0)), scale(value(1.0)));
    let (low, high) = (a.min(b), a.max(b));
    let place = |t: f64| {
        let part = (scale(value(t)) - low) / (high - low);
        (
            x + 10.0 + t * (PANEL.0 - 20.0),
            y + PANEL.1 - 20.0 - part * (PANEL.1 - 50.0),
        )
    };
    let mut line = |text: std::fmt::Arguments| {
        // Writing into a string cannot fail.
        let _ = out.write_fmt(text);
        out.push('\n');
    };
    line(format_args!(
        "<text x=\"{x}\" y=\"{}\" font-weight=\"bold\">{}</text>",
        y - 10.0,
        curve.title
    ));
    line(format_args!(
        "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"#f6f8fa\" stroke=\"#d0d7de\"/>",
        PANEL.0, PANEL.1
    ));
    let points: Vec<String> = (0..=40)
        .map(|k| place(f64::from(k) / 40.0))
        .map(|(px, py)| format!("{px:.1},{py:.1}"))
        .collect();
    line(format_args!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#0969da\" stroke-width=\"2\"/>",
        points.join(" ")
    ));
    for t in [0.0, 0.5, 1.0] {
        let (px, py) = place(t);
        let anchor = ["start", "middle", "end"][(t * 2.0) as usize];
        line(format_args!(
            "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"4\" fill=\"#0969da\"/>"
        ));
        line(format_args!(
            "<text x=\"{px:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" stroke=\"#f6f8fa\" stroke-width=\"4\" paint-order=\"stroke\">{}</text>",
            py - 8.0,
            (curve.say)(value(t))
        ));
    }
    let below = y + PANEL.1 + 15.0;
    line(format_args!(
        "<text x=\"{x}\" y=\"{below}\">0 careful: {}</text>",
        curve.careful
    ));
    line(format_args!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}: bold 1</text>",
        x + PANEL.0,
        below + 15.0,
        curve.bold
    ));
}
