//! Reads traces from CSV and turns a series into a rate in compressed time.

use crate::model::{Availability, Moment, Span, SubjectKind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum TraceError {
    #[error("cannot read the trace {}; give the path of a CSV file", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{file}:{line}: expected the header `{expected}`, found `{found}`")]
    Header {
        file: String,
        line: usize,
        expected: &'static str,
        found: String,
    },
    #[error("{file}:{line}: expected {expected} fields separated by commas, found `{found}`")]
    Fields {
        file: String,
        line: usize,
        expected: usize,
        found: String,
    },
    #[error("{file}:{line}: `{found}` is not an RFC 3339 timestamp such as 2026-03-04T07:10:00Z")]
    Timestamp {
        file: String,
        line: usize,
        found: String,
        #[source]
        source: jiff::Error,
    },
    #[error("{file}:{line}: timestamps must grow; `{found}` is not after the one before")]
    Order {
        file: String,
        line: usize,
        found: String,
    },
    #[error("{file}:{line}: `{found}` is not a number of requests a second (0 or more)")]
    Value {
        file: String,
        line: usize,
        found: String,
    },
    #[error(
        "{file}:{line}: `{found}` is not a kind of event; use node_down, node_up, site_down or site_up"
    )]
    Kind {
        file: String,
        line: usize,
        found: String,
    },
    #[error("{file}: the trace has no values; it needs at least one line after the header")]
    Empty { file: String },
}

const SERIES_HEADER: &str = "timestamp,value";
const EVENTS_HEADER: &str = "timestamp,subject,kind";

/// Reads a `timestamp,value` file: RFC 3339, growing; missing lines, empty and `NaN` values are gaps and left out.
pub fn read_series(path: &Path) -> Result<Vec<(Moment, f64)>, TraceError> {
    parse_series(&read(path)?, &path.display().to_string())
}

/// Reads a `timestamp,subject,kind` file of failures and returns of nodes and sites, in order of time.
pub fn read_events(path: &Path) -> Result<Vec<Availability>, TraceError> {
    parse_events(&read(path)?, &path.display().to_string())
}

fn read(path: &Path) -> Result<String, TraceError> {
    std::fs::read_to_string(path).map_err(|source| TraceError::Read {
        path: path.to_path_buf(),
        source,
    })
}

/// As [`read_series`], of `text`; `file` names it in errors.
pub fn parse_series(text: &str, file: &str) -> Result<Vec<(Moment, f64)>, TraceError> {
    let mut series: Vec<(Moment, f64)> = Vec::new();
    let mut last = None;
    for row in rows::<2>(text, file, SERIES_HEADER)? {
        let (line, [when, value]) = row?;
        let at = moment(when, file, line)?;
        if last.is_some_and(|last| at <= last) {
            return Err(TraceError::Order {
                file: file.to_string(),
                line,
                found: when.to_string(),
            });
        }
        last = Some(at);
        if value.is_empty() || value.eq_ignore_ascii_case("nan") {
            continue;
        }
        match value.parse::<f64>() {
            Ok(v) if v.is_finite() && v >= 0.0 => series.push((at, v)),
            _ => {
                return Err(TraceError::Value {
                    file: file.to_string(),
                    line,
                    found: value.to_string(),
                });
            }
        }
    }
    if series.is_empty() {
        return Err(TraceError::Empty {
            file: file.to_string(),
        });
    }
    Ok(series)
}

/// As [`read_events`], of `text`; `file` names it in errors. No event at all is fine.
pub fn parse_events(text: &str, file: &str) -> Result<Vec<Availability>, TraceError> {
    let mut events: Vec<Availability> = Vec::new();
    for row in rows::<3>(text, file, EVENTS_HEADER)? {
        let (line, [when, subject, kind]) = row?;
        let at = moment(when, file, line)?;
        if events.last().is_some_and(|last| at < last.at) {
            return Err(TraceError::Order {
                file: file.to_string(),
                line,
                found: when.to_string(),
            });
        }
        let (kind, up) = match kind {
            "node_down" => (SubjectKind::Node, false),
            "node_up" => (SubjectKind::Node, true),
            "site_down" => (SubjectKind::Site, false),
            "site_up" => (SubjectKind::Site, true),
            _ => {
                return Err(TraceError::Kind {
                    file: file.to_string(),
                    line,
                    found: kind.to_string(),
                });
            }
        };
        events.push(Availability {
            at,
            subject: subject.to_string(),
            kind,
            up,
        });
    }
    Ok(events)
}

type Row<'a, const N: usize> = Result<(usize, [&'a str; N]), TraceError>;

/// The lines after the header, with their numbers (from 1), split into exactly `N` fields; blank lines are skipped.
fn rows<'a, const N: usize>(
    text: &'a str,
    file: &'a str,
    header: &'static str,
) -> Result<impl Iterator<Item = Row<'a, N>>, TraceError> {
    let mut lines = text
        .trim_start_matches('\u{feff}')
        .lines()
        .enumerate()
        .map(|(i, l)| (i + 1, l.trim()))
        .filter(|(_, l)| !l.is_empty());
    match lines.next() {
        Some((_, first)) if first == header => {}
        other => {
            let (line, found) = other.unwrap_or((1, ""));
            return Err(TraceError::Header {
                file: file.to_string(),
                line,
                expected: header,
                found: found.to_string(),
            });
        }
    }
    Ok(lines.map(move |(line, text)| {
        let fields: Vec<&str> = text.split(',').map(str::trim).collect();
        match <[&str; N]>::try_from(fields) {
            Ok(fields) => Ok((line, fields)),
            Err(_) => Err(TraceError::Fields {
                file: file.to_string(),
                line,
                expected: N,
                found: text.to_string(),
            }),
        }
    }))
}

fn moment(text: &str, file: &str, line: usize) -> Result<Moment, TraceError> {
    text.parse::<jiff::Timestamp>()
        .map(|t| Moment(t.as_millisecond()))
        .map_err(|source| TraceError::Timestamp {
            file: file.to_string(),
            line,
            found: text.to_string(),
            source,
        })
}

/// How trace time maps to real time: `trace` is played at the real moment `real`, an hour in `seconds_per_hour`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compression {
    pub trace: Moment,
    pub real: Moment,
    pub seconds_per_hour: f64,
}

impl Compression {
    /// The real moment at which a moment of the trace is, was or would have been played.
    pub fn real(&self, at: Moment) -> Moment {
        let ms = at.since(self.trace).0 as f64 * self.seconds_per_hour / 3600.0;
        self.real + Span(ms.round() as i64)
    }

    /// The moment of the trace that is played `after` the start.
    pub fn trace_after(&self, after: Duration) -> Moment {
        let ms = after.as_secs_f64() * 1000.0 * 3600.0 / self.seconds_per_hour;
        self.trace + Span(ms.round() as i64)
    }

    /// The part of a series before the start of play, in real time: what history would hold.
    pub fn history(&self, series: &[(Moment, f64)]) -> Vec<(Moment, f64)> {
        series
            .iter()
            .filter(|(at, _)| *at < self.trace)
            .map(|(at, v)| (self.real(*at), *v))
            .collect()
    }

    /// The events before the start of play, in real time.
    pub fn past_events(&self, events: &[Availability]) -> Vec<Availability> {
        events
            .iter()
            .filter(|e| e.at < self.trace)
            .map(|e| Availability {
                at: self.real(e.at),
                ..e.clone()
            })
            .collect()
    }
}

/// A series as a rate in requests a second over the time of play: linear between points, over gaps too, and constant beyond the ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// Seconds of play since the start (negative before it), and requests a second.
    points: Vec<(f64, f64)>,
    scale: f64,
}

impl Rate {
    /// `series` as the readers give it, played from the trace's moment `from`.
    pub fn new(series: &[(Moment, f64)], from: Moment, seconds_per_hour: f64) -> Self {
        let points = series
            .iter()
            .map(|(at, v)| (at.since(from).as_secs_f64() * seconds_per_hour / 3600.0, *v))
            .collect();
        Self { points, scale: 1.0 }
    }

    /// The same shape, `share` times as high.
    pub fn scaled(&self, share: f64) -> Self {
        Self {
            points: self.points.clone(),
            scale: self.scale * share,
        }
    }

    /// Requests a second, `after` the start of play; 0 for an empty series.
    pub fn at(&self, after: Duration) -> f64 {
        let t = after.as_secs_f64();
        let next = self.points.partition_point(|(at, _)| *at <= t);
        let value = match (
            next.checked_sub(1).and_then(|i| self.points.get(i)),
            self.points.get(next),
        ) {
            (Some((t0, v0)), Some((t1, v1))) => v0 + (v1 - v0) * (t - t0) / (t1 - t0),
            (Some((_, v)), None) | (None, Some((_, v))) => *v,
            (None, None) => 0.0,
        };
        value * self.scale
    }
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
