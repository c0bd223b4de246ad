//! Latency histograms and counters in the Prometheus text format.

use std::fmt::Write;
use std::time::Duration;

/// The `Content-Type` of the text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds in seconds; a limit of an SLO in the hundreds of milliseconds falls on one of them.
const BOUNDS: [f64; 19] = [
    0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0,
    3.0, 5.0,
];

/// Counts of latencies in the fixed bounds.
#[derive(Clone, Debug, Default)]
pub struct LatencyBuckets {
    /// Not cumulative; the last one is beyond all bounds.
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl LatencyBuckets {
    pub fn observe(&mut self, latency: Duration) {
        let seconds = latency.as_secs_f64();
        self.counts[BOUNDS.partition_point(|b| *b < seconds)] += 1;
        self.sum += seconds;
    }

    /// The `_bucket`, `_sum` and `_count` lines of one series; `labels` without braces, such as `site="edge-a"`, or empty.
    pub fn write(&self, out: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        let braced = braced(labels);
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(&self.counts) {
            below += count;
            let _ = writeln!(
                out,
                "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}"
            );
        }
        let all = below + self.counts[BOUNDS.len()];
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {all}");
        let _ = writeln!(out, "{name}_sum{braced} {}", self.sum);
        let _ = writeln!(out, "{name}_count{braced} {all}");
    }
}

/// The `# HELP` and `# TYPE` lines of a metric.
pub fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// One sample; `labels` as for [`LatencyBuckets::write`].
pub fn sample(out: &mut String, name: &str, labels: &str, value: u64) {
    let _ = writeln!(out, "{name}{} {value}", braced(labels));
}

fn braced(labels: &str) -> String {
    if labels.is_empty() {
        String::new()
    } else {
        format!("{{{labels}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prometheus_parser_reads_cumulative_buckets_sum_and_count() {
        let mut buckets = LatencyBuckets::default();
        for ms in [1, 100, 101, 9000] {
            buckets.observe(Duration::from_millis(ms));
        }
        let mut text = String::new();
        head(
            &mut text,
            "d_seconds",
            "histogram",
            "From the intended time.",
        );
        buckets.write(&mut text, "d_seconds", "site=\"edge-a\"");
        let scrape =
            prometheus_parse::Scrape::parse(text.lines().map(|l| Ok(l.to_string()))).unwrap();
        let sample = scrape
            .samples
            .iter()
            .find(|s| s.metric == "d_seconds")
            .unwrap();
        assert_eq!(sample.labels.get("site"), Some("edge-a"));
        let prometheus_parse::Value::Histogram(read) = &sample.value else {
            panic!("{sample:?}");
        };
        let at = |bound: f64| read.iter().find(|c| c.less_than == bound).unwrap().count;
        assert_eq!(
            (at(0.005), at(0.1), at(0.15), at(5.0), at(f64::INFINITY)),
            (1.0, 2.0, 3.0, 3.0, 4.0)
        );
        assert!(text.contains("d_seconds_count{site=\"edge-a\"} 4\n"));
        assert!(text.contains("d_seconds_sum{site=\"edge-a\"} 9.202\n"));
    }
}
