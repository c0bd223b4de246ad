//! HTTP Archive 1.2, as browsers and proxies save it.

use super::{AccessError, Found, Logged, method, target, time};
use serde::Deserialize;

#[derive(Deserialize)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    started_date_time: String,
    request: Request,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: String,
    post_data: Option<PostData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostData {
    #[serde(default)]
    mime_type: String,
    #[serde(default)]
    text: String,
}

pub(super) fn read(text: &str, file: &str, found: &mut Found) -> Result<(), AccessError> {
    let har: Har = serde_json::from_str(text).map_err(|source| AccessError::Har {
        file: file.to_string(),
        line: source.line(),
        column: source.column(),
        source,
    })?;
    for (n, entry) in har.log.entries.into_iter().enumerate() {
        found.take(n + 1, one(entry));
    }
    Ok(())
}

fn one(entry: serde_json::Value) -> Result<Logged, String> {
    let entry: Entry = serde_json::from_value(entry).map_err(|e| format!("no HAR entry: {e}"))?;
    let body = entry.request.post_data.filter(|b| !b.text.is_empty());
    Ok(Logged {
        at: time(&entry.started_date_time)?,
        method: method(&entry.request.method)?,
        path: target(&entry.request.url)?,
        body: body.map(|b| (b.text, b.mime_type)),
    })
}
