//! JSON lines: each a request, under the names that common servers use, or names of the operator's.

use super::{Logged, method, request_line, short, target, time};
use serde_json::Value;

/// Names that servers and collectors give; a dot goes into an object (Caddy's `request.uri`).
const TIMES: &[&str] = &[
    "time",
    "timestamp",
    "@timestamp",
    "ts",
    "time_iso8601",
    "start_time",
    "StartUTC",
    "msec",
];
const METHODS: &[&str] = &[
    "method",
    "request_method",
    "http_method",
    "RequestMethod",
    "request.method",
    "http.request.method",
];
const PATHS: &[&str] = &[
    "path",
    "uri",
    "url",
    "request_uri",
    "RequestPath",
    "request.uri",
    "url.original",
];
const REQUESTS: &[&str] = &["request", "request_line"];

pub(super) struct Names {
    time: Vec<String>,
    method: Vec<String>,
    path: Vec<String>,
    request: Vec<String>,
}

impl Names {
    /// `fields`: `time`, `method`, `path` or `request`, and the name in the log; the usual names come after it.
    pub(super) fn new(fields: &[(String, String)]) -> Names {
        let of = |ours: &str, usual: &[&str]| {
            let named = fields
                .iter()
                .filter(|(o, _)| o == ours)
                .map(|f| f.1.clone());
            named.chain(usual.iter().map(|n| n.to_string())).collect()
        };
        Names {
            time: of("time", TIMES),
            method: of("method", METHODS),
            path: of("path", PATHS),
            request: of("request", REQUESTS),
        }
    }

    pub(super) fn read(&self, line: &str) -> Result<Logged, String> {
        let row: Value =
            serde_json::from_str(line).map_err(|e| format!("`{}` is no JSON: {e}", short(line)))?;
        let at = find(&row, &self.time).ok_or_else(|| missing("time", &self.time))?;
        let at = time(&at)?;
        let (method, path) = match find(&row, &self.path) {
            Some(path) => {
                let named = find(&row, &self.method);
                let named = named.ok_or_else(|| missing("method", &self.method))?;
                (method(&named)?, target(&path)?)
            }
            None => {
                let line = find(&row, &self.request);
                request_line(&line.ok_or_else(|| missing("path", &self.path))?)?
            }
        };
        Ok(Logged {
            at,
            method,
            path,
            body: None,
        })
    }
}

fn missing(what: &str, names: &[String]) -> String {
    format!("no field with the {what} (looked for {})", names.join(", "))
}

/// The first of the names that holds a text or a number.
fn find(row: &Value, names: &[String]) -> Option<String> {
    names.iter().find_map(|name| {
        let whole = row.get(name);
        let deep = || name.split('.').try_fold(row, |v, part| v.get(part));
        match whole.or_else(deep)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(n) => Some(n.to_string()),
            _ => None,
        }
    })
}
