//! Reads access logs: Common and Combined Log Format, JSON lines with named fields, and HAR. It reads text and judges no request.
//!
//! A bad line never ends the reading: it is counted, and the first of them are kept with their numbers.

mod har;
mod json;
mod lines;

use crate::model::{Moment, counted};
use std::path::{Path, PathBuf};

/// One request of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub at: Moment,
    pub method: String,
    /// Path and query; begins with `/`.
    pub path: String,
    /// What was sent with it, as far as the log has it (HAR alone), and its media type.
    pub body: Option<(String, String)>,
}

/// A line (or, in a HAR, an entry) that is no request, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// From 1.
    pub line: usize,
    pub why: String,
}

/// Bad lines that are kept with their reason; the others are counted.
const KEPT: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Common or Combined Log Format.
    Lines,
    /// One JSON document a line.
    Json,
    /// HTTP Archive 1.2.
    Har,
}

/// A log as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    pub form: Form,
    /// In order of time.
    pub requests: Vec<Logged>,
    pub bad: usize,
    pub first_bad: Vec<Bad>,
}

#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("cannot read the access log {}; give the path of a file", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{file}:{line}:{column}: no HAR (`log.entries`, HTTP Archive 1.2)")]
    Har {
        file: String,
        line: usize,
        column: usize,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "{file}: no request could be read of {lines} lines; {first}; Common or Combined Log Format, JSON lines or a HAR are expected"
    )]
    Nothing {
        file: String,
        lines: usize,
        first: String,
    },
}

impl AccessLog {
    /// Reads a file; `fields` are the names of JSON fields where they differ from the usual ones (ours, theirs).
    ///
    /// # Errors
    /// The file cannot be read, a HAR is none, or not one request could be read.
    pub fn read(path: &Path, fields: &[(String, String)]) -> Result<AccessLog, AccessError> {
        let bytes = std::fs::read(path).map_err(|source| AccessError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        // A log holds what clients sent, and that need not be UTF-8.
        let text = String::from_utf8_lossy(&bytes);
        AccessLog::parse(&text, &path.display().to_string(), fields)
    }

    /// As [`AccessLog::read`], of `text`; `file` names it in errors.
    pub fn parse(
        text: &str,
        file: &str,
        fields: &[(String, String)],
    ) -> Result<AccessLog, AccessError> {
        let text = text.trim_start_matches('\u{feff}');
        let form = form(text);
        let mut found = Found::default();
        match form {
            Form::Har => har::read(text, file, &mut found)?,
            Form::Json => {
                let names = json::Names::new(fields);
                found.lines(text, |line| names.read(line));
            }
            Form::Lines => found.lines(text, lines::read),
        }
        if found.requests.is_empty() {
            let first = found.first_bad.first();
            return Err(AccessError::Nothing {
                file: file.to_string(),
                lines: found.bad,
                first: first.map_or("it is empty".into(), |b| {
                    format!("line {}: {}", b.line, b.why)
                }),
            });
        }
        found.requests.sort_by_key(|r| r.at);
        Ok(AccessLog {
            form,
            requests: found.requests,
            bad: found.bad,
            first_bad: found.first_bad,
        })
    }

    /// `1200 requests, 3 lines left out (line 7: …)`.
    pub fn sentence(&self) -> String {
        let n = counted(self.requests.len(), "request");
        match self.first_bad.first() {
            None => n,
            Some(first) => format!(
                "{n}, {} left out (line {}: {})",
                self.bad, first.line, first.why
            ),
        }
    }
}

/// By its first sign: JSON lines hold a whole document each, a HAR is one document.
fn form(text: &str) -> Form {
    let mut lines = text.lines().filter(|l| !l.trim().is_empty());
    let Some(first) = lines.next().filter(|l| l.trim_start().starts_with('{')) else {
        return Form::Lines;
    };
    match serde_json::from_str::<serde_json::Value>(first) {
        // A HAR written as one line.
        Ok(v) if lines.next().is_none() && v.pointer("/log/entries").is_some() => Form::Har,
        Ok(_) => Form::Json,
        // A document over several lines is whole as a whole; damaged JSON lines still have whole ones among them.
        Err(_) => {
            let whole = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            match !whole(text) && lines.any(|l| l.trim_start().starts_with('{') && whole(l)) {
                true => Form::Json,
                false => Form::Har,
            }
        }
    }
}

#[derive(Default)]
struct Found {
    requests: Vec<Logged>,
    bad: usize,
    first_bad: Vec<Bad>,
}

impl Found {
    fn lines(&mut self, text: &str, read: impl Fn(&str) -> Result<Logged, String>) {
        for (n, line) in text.lines().enumerate() {
            if !line.trim().is_empty() {
                self.take(n + 1, read(line));
            }
        }
    }
    fn take(&mut self, line: usize, read: Result<Logged, String>) {
        match read {
            Ok(request) => self.requests.push(request),
            Err(why) => {
                self.bad += 1;
                if self.first_bad.len() < KEPT {
                    self.first_bad.push(Bad { line, why });
                }
            }
        }
    }
}

/// Path and query of a request target in any of its forms (RFC 9112, 3.2): `/a?b`, `http://host/a?b`.
fn target(text: &str) -> Result<String, String> {
    let path = match text.find("://") {
        Some(scheme) if !text.starts_with('/') => {
            let rest = &text[scheme + 3..];
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
        _ => text,
    };
    let path = path.split('#').next().unwrap_or_default();
    let path = match path.starts_with('?') {
        true => format!("/{path}"),
        false => path.to_string(),
    };
    let sendable = path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok();
    if sendable {
        Ok(path)
    } else {
        Err(format!("`{}` is no path of a request", short(text)))
    }
}

fn method(text: &str) -> Result<String, String> {
    let token = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
    match token {
        true => Ok(text.to_ascii_uppercase()),
        false => Err(format!("`{}` is no HTTP method", short(text))),
    }
}

/// `GET /path HTTP/1.1`, the version may be missing.
fn request_line(text: &str) -> Result<(String, String), String> {
    let mut parts = text.split(' ').filter(|p| !p.is_empty());
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(m), Some(t), version, None) if version.is_none_or(|v| v.starts_with("HTTP/")) => {
            Ok((method(m)?, target(t)?))
        }
        _ => Err(format!(
            "`{}` is no request line such as `GET /path HTTP/1.1`",
            short(text)
        )),
    }
}

/// RFC 3339, or seconds, milliseconds, microseconds or nanoseconds since the epoch by their size.
fn time(text: &str) -> Result<Moment, String> {
    if let Ok(t) = text.parse::<jiff::Timestamp>() {
        return Ok(Moment(t.as_millisecond()));
    }
    let wrong = || {
        format!(
            "`{}` is no time (RFC 3339 or seconds since the epoch)",
            short(text)
        )
    };
    let n: f64 = text.parse().map_err(|_| wrong())?;
    let ms = match n {
        n if !(0.0..1e20).contains(&n) => return Err(wrong()),
        n if n < 1e11 => n * 1e3,
        n if n < 1e14 => n,
        n if n < 1e17 => n / 1e3,
        n => n / 1e6,
    };
    Ok(Moment(ms.round() as i64))
}

/// At most so much of a log is repeated in a message.
fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests;
