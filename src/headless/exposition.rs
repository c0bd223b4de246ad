//! The text exposition of Prometheus (0.0.4), written line by line: a large estate has a hundred thousand series.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Labels of a series.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// Lines by the metric that they are of.
#[derive(Default)]
pub(super) struct Text(BTreeMap<&'static str, String>);

impl Text {
    pub(super) fn put(&mut self, metric: &'static str, labels: Labels, value: f64) {
        self.line(metric, "", labels, value);
    }

    /// A histogram: how many were within each upper bound, how many there were in all, and their sum.
    pub(super) fn histogram(
        &mut self,
        metric: &'static str,
        within: &[(f64, u64)],
        (all, sum): (u64, f64),
    ) {
        for (bound, count) in within {
            let bound = bound.to_string();
            self.line(metric, "_bucket", &[("le", &bound)], *count as f64);
        }
        self.line(metric, "_bucket", &[("le", "+Inf")], all as f64);
        self.line(metric, "_sum", &[], sum);
        self.line(metric, "_count", &[], all as f64);
    }

    fn line(&mut self, metric: &'static str, suffix: &str, labels: Labels, value: f64) {
        let lines = self.0.entry(metric).or_default();
        lines.push_str(metric);
        lines.push_str(suffix);
        for (n, (key, text)) in labels.iter().enumerate() {
            lines.push(if n == 0 { '{' } else { ',' });
            lines.push_str(key);
            lines.push_str("=\"");
            text.chars().for_each(|c| match c {
                '\\' => lines.push_str("\\\\"),
                '"' => lines.push_str("\\\""),
                '\n' => lines.push_str("\\n"),
                c => lines.push(c),
            });
            lines.push('"');
        }
        lines.push_str(if labels.is_empty() { " " } else { "} " });
        // A String takes whatever is written.
        let _ = match value.is_infinite() {
            true => writeln!(lines, "{}Inf", if value > 0.0 { '+' } else { '-' }),
            false => writeln!(lines, "{value}"),
        };
    }

    /// All of it, each metric below its type and what it means.
    pub(super) fn whole(mut self, metrics: &[(char, &'static str, &str)]) -> String {
        let mut text = String::new();
        for (kind, name, what) in metrics {
            let Some(lines) = self.0.remove(name) else {
                continue;
            };
            let kind = match kind {
                'c' => "counter",
                'h' => "histogram",
                _ => "gauge",
            };
            // A String takes whatever is written.
            let _ = write!(
                text,
                "# HELP {name} {what}\n# TYPE {name} {kind}\n{lines}\n"
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_stands_below_its_metric_and_what_a_label_may_hold_is_escaped() {
        let mut text = Text::default();
        text.put("a", &[("x", "1"), ("y", "say \"no\"\\\n")], 0.5);
        text.put("a", &[], f64::INFINITY);
        text.histogram("h", &[(0.1, 1), (1.0, 2)], (2, 0.3));
        let told = text.whole(&[
            ('g', "a", "What it is"),
            ('h', "h", "More"),
            ('c', "none", "-"),
        ]);
        let wanted = [
            "# HELP a What it is",
            "# TYPE a gauge",
            "a{x=\"1\",y=\"say \\\"no\\\"\\\\\\n\"} 0.5",
            "a +Inf",
            "",
            "# HELP h More",
            "# TYPE h histogram",
            "h_bucket{le=\"0.1\"} 1",
            "h_bucket{le=\"1\"} 2",
            "h_bucket{le=\"+Inf\"} 2",
            "h_sum 0.3",
            "h_count 2",
            "",
        ];
        assert_eq!(told.lines().collect::<Vec<_>>(), wanted);
    }
}
