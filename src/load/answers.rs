//! Reads what came of requests: `latency_ms,ok` lines, or a range answer of Prometheus.

use crate::model::{Answer, Millis};
use serde::Deserialize;

/// The header that a CSV file of requests begins with.
const HEADER: &str = "latency_ms,ok";

#[derive(Debug, thiserror::Error)]
pub enum AnswersError {
    #[error("{file}:1: expected the header `{HEADER}`, found `{found}`")]
    Header { file: String, found: String },
    #[error("{file}:{line}:{column}: expected {expected}, found `{found}`")]
    Field {
        file: String,
        line: usize,
        column: usize,
        expected: &'static str,
        found: String,
    },
    #[error(
        "{file}:{line}:{column}: no range answer of Prometheus (a matrix, as /api/v1/query_range gives it)"
    )]
    Prometheus {
        file: String,
        line: usize,
        column: usize,
        #[source]
        source: serde_json::Error,
    },
}

/// Requests in the order of the file. A latency that is empty or no finite number (`NaN`) is kept as NaN: judges leave it out.
///
/// # Errors
/// `AnswersError` names file, line, column and what was expected.
pub fn parse_answers(text: &str, file: &str) -> Result<Vec<Answer>, AnswersError> {
    if text.trim_start().starts_with('{') {
        range(text, file)
    } else {
        lines(text, file)
    }
}

fn lines(text: &str, file: &str) -> Result<Vec<Answer>, AnswersError> {
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let found = lines.next().map_or("", |(_, l)| l.trim());
    if found.replace(' ', "") != HEADER {
        return Err(AnswersError::Header {
            file: file.into(),
            found: found.into(),
        });
    }
    lines
        .filter(|(_, l)| !l.trim().is_empty())
        .map(|(n, l)| line(l, n + 1, file))
        .collect()
}

fn line(text: &str, line: usize, file: &str) -> Result<Answer, AnswersError> {
    let wrong = |column: usize, expected, found: &str| AnswersError::Field {
        file: file.into(),
        line,
        column,
        expected,
        found: found.trim().into(),
    };
    let (latency, ok) = text
        .split_once(',')
        .ok_or_else(|| wrong(1, "two fields, `latency_ms,ok`", text))?;
    let ms = match latency.trim() {
        "" => f64::NAN,
        number => number
            .parse::<f64>()
            .ok()
            .filter(|ms| ms.is_nan() || *ms >= 0.0)
            .ok_or_else(|| wrong(1, "milliseconds, 0 or more", latency))?,
    };
    let ok = match ok.trim() {
        "1" => true,
        "0" => false,
        _ => {
            return Err(wrong(
                latency.chars().count() + 2,
                "1 (answered well) or 0",
                ok,
            ));
        }
    };
    Ok(Answer {
        latency: Millis(ms),
        ok,
    })
}

#[derive(Deserialize)]
struct Range {
    data: Matrix,
}

#[derive(Deserialize)]
struct Matrix {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: std::collections::BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

/// Each value of each series is one reading of latency: seconds where the metric's name ends with `_seconds`, else ms.
fn range(text: &str, file: &str) -> Result<Vec<Answer>, AnswersError> {
    let range: Range = serde_json::from_str(text).map_err(|source| AnswersError::Prometheus {
        file: file.into(),
        line: source.line(),
        column: source.column(),
        source,
    })?;
    let mut readings: Vec<(f64, f64)> = Vec::new();
    for series in &range.data.result {
        let name = series.metric.get("__name__").map_or("", String::as_str);
        let unit = if name.ends_with("_seconds") {
            1000.0
        } else {
            1.0
        };
        readings.extend(series.values.iter().map(|(at, value)| {
            let value = value.parse().unwrap_or(f64::NAN);
            (*at, value * unit)
        }));
    }
    readings.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(readings
        .into_iter()
        .map(|(_, ms)| Answer {
            latency: Millis(ms),
            ok: true,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_in_order_and_holes_stay_holes() {
        let read = parse_answers("latency_ms,ok\n12.5,1\n,0\nNaN,1\n", "a.csv").unwrap();
        assert_eq!(read.len(), 3);
        assert_eq!((read[0].latency, read[0].ok), (Millis(12.5), true));
        assert!(read[1].latency.0.is_nan() && !read[1].ok);
        assert!(read[2].latency.0.is_nan());
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_column() {
        let said = |text: &str| parse_answers(text, "a.csv").unwrap_err().to_string();
        assert_eq!(
            said("ms,ok\n"),
            "a.csv:1: expected the header `latency_ms,ok`, found `ms,ok`"
        );
        assert_eq!(
            said("latency_ms,ok\n1,1\n2,yes\n"),
            "a.csv:3:3: expected 1 (answered well) or 0, found `yes`"
        );
        assert!(said("latency_ms,ok\n-3,1\n").starts_with("a.csv:2:1: expected milliseconds"));
        assert!(said("latency_ms,ok\n3\n").contains("two fields"));
        assert!(said("{\"data\": 3}").starts_with("a.csv:1:10: no range answer"));
    }

    #[test]
    fn a_range_answer_of_prometheus_is_read_in_the_order_of_time() {
        let text = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"http_request_duration_seconds"},"values":[[20,"0.25"],[10,"0.5"]]},
            {"metric":{"__name__":"latency_ms"},"values":[[15,"NaN"]]}]}}"#;
        let read = parse_answers(text, "range.json").unwrap();
        assert_eq!(
            (read[0].latency, read[2].latency),
            (Millis(500.0), Millis(250.0))
        );
        assert!(read[1].latency.0.is_nan());
    }
}
