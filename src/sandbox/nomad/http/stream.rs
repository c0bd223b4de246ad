//! `/v1/event/stream`: newline-delimited JSON, `{}` when there is nothing to say.

use super::Request;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

const HEARTBEAT: Duration = Duration::from_secs(10);

/// `?topic=Job:shop&topic=Allocation`; `*` is everything.
struct Topics(Vec<(String, String)>);

impl Topics {
    fn of<'a>(wanted: impl Iterator<Item = &'a str>) -> Topics {
        let topics: Vec<_> = wanted
            .map(|t| t.split_once(':').unwrap_or((t, "*")))
            .map(|(t, k)| (t.to_string(), k.to_string()))
            .collect();
        if topics.is_empty() {
            Topics(vec![("*".into(), "*".into())])
        } else {
            Topics(topics)
        }
    }

    fn wants(&self, event: &Value) -> bool {
        let keys = event["FilterKeys"].as_array();
        self.0.iter().any(|(topic, key)| {
            let on_topic = topic == "*" || event["Topic"] == topic.as_str();
            on_topic
                && (key == "*"
                    || event["Key"] == key.as_str()
                    || keys.is_some_and(|k| k.iter().any(|k| k == key.as_str())))
        })
    }

    /// The wanted part of a batch as a line, if there is any.
    fn line(&self, batch: &Value) -> Option<Bytes> {
        let events: Vec<Value> = batch["Events"]
            .as_array()?
            .iter()
            .filter(|e| self.wants(e))
            .cloned()
            .collect();
        if events.is_empty() {
            return None;
        }
        Some(Bytes::from(format!(
            "{}\n",
            serde_json::json!({"Index": batch["Index"], "Events": events})
        )))
    }
}

/// Open a stream from `?index=` on, or from now on. It ends when the reader is too slow or the server stops.
pub fn open(r: &Request<'_>) -> Response<Body> {
    let topics = Topics::of(r.query.all("topic"));
    let from = r
        .query
        .get("index")
        .and_then(|n| n.parse::<u64>().ok())
        .filter(|n| *n > 0);
    let (past, receiver) = r.core.event_stream(from);
    let stop = r.core.stop.clone();
    let past: std::collections::VecDeque<Arc<Value>> = past.into();
    let heartbeat = tokio::time::interval(HEARTBEAT);
    let lines = futures::stream::unfold(
        (past, receiver, heartbeat, topics, stop),
        |(mut past, mut receiver, mut heartbeat, topics, stop)| async move {
            loop {
                if let Some(batch) = past.pop_front() {
                    if let Some(line) = topics.line(&batch) {
                        return Some((
                            Ok::<_, std::convert::Infallible>(line),
                            (past, receiver, heartbeat, topics, stop),
                        ));
                    }
                    continue;
                }
                tokio::select! {
                    () = stop.cancelled() => return None,
                    _ = heartbeat.tick() => return Some((Ok(Bytes::from_static(b"{}\n")), (past, receiver, heartbeat, topics, stop))),
                    batch = receiver.recv() => match batch {
                        Ok(batch) => past.push_back(batch),
                        Err(RecvError::Closed | RecvError::Lagged(_)) => return None,
                    },
                }
            }
        },
    );
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
