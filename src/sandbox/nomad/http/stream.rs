//! `/v1/event/stream`: newline-delimited JSON, `{}` when there is nothing to say.

use super::Request;
use super::reply::Reply;
use crate::sandbox::nomad::acl::Need;
use crate::sandbox::nomad::estate::Core;
use crate::sandbox::nomad::jobs::Refusal;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Method, Response, header};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Interval;

const HEARTBEAT: Duration = Duration::from_secs(30);

/// `?topic=Job:shop&topic=Allocation`; `*` is everything.
struct Topics {
    wanted: Vec<(String, String)>,
    /// `*` is all; nodes are in none.
    namespace: String,
}

impl Topics {
    fn of(r: &Request<'_>) -> Result<Topics, Refusal> {
        let mut wanted = Vec::new();
        for topic in r.query.all("topic") {
            let (name, key) = topic.split_once(':').unwrap_or((topic, "*"));
            if key.contains(':') {
                let why = format!(
                    "Invalid topic query: error parsing topics: Invalid key value pair for topic, topic: {topic}"
                );
                return Err(Refusal::new(400, why));
            }
            wanted.push((name.to_string(), key.to_string()));
        }
        if wanted.is_empty() {
            wanted.push(("*".into(), "*".into()));
        }
        let namespace = r.query.namespace().to_string();
        Ok(Topics { wanted, namespace })
    }

    /// What reading them needs.
    fn needs(&self) -> impl Iterator<Item = Need<'_>> {
        self.wanted.iter().map(|(topic, _)| match topic.as_str() {
            "Job" | "Evaluation" | "Allocation" | "Deployment" => {
                Need::Any(&self.namespace, &["read-job"])
            }
            "Node" => Need::NodeRead,
            _ => Need::Management,
        })
    }

    fn wants(&self, event: &Value) -> bool {
        let keys = event["FilterKeys"].as_array();
        let namespace = event["Namespace"].as_str().unwrap_or("");
        let here = namespace.is_empty() || self.namespace == "*" || self.namespace == namespace;
        here && self.wanted.iter().any(|(topic, key)| {
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

/// An open stream.
struct Stream {
    core: Arc<Core>,
    token: String,
    topics: Topics,
    past: VecDeque<Arc<Value>>,
    coming: Receiver<Arc<Value>>,
    heartbeat: Interval,
}

impl Stream {
    /// The next line; `None` at the end: a reader too slow, a token that no longer allows it, or the server's stop.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(batch) = self.past.pop_front() {
                match self.topics.line(&batch) {
                    Some(line) if self.allowed() => return Some(line),
                    Some(_) => return None,
                    None => continue,
                }
            }
            tokio::select! {
                biased;
                () = self.core.stop.cancelled() => return None,
                _ = self.heartbeat.tick() => return Some(Bytes::from_static(b"{}\n")),
                batch = self.coming.recv() => match batch {
                    Ok(batch) => self.past.push_back(batch),
                    Err(RecvError::Closed | RecvError::Lagged(_)) => return None,
                },
            }
        }
    }

    fn allowed(&self) -> bool {
        self.core.read(|s| {
            let rights = s.acl.as_ref().map(|acl| acl.rights(&self.token));
            rights.is_none_or(|r| r.is_ok_and(|r| self.topics.needs().all(|n| r.allow(n))))
        })
    }
}

/// Open a stream from `?index=` on; without one it begins with the oldest events still there.
pub fn open(r: &Request<'_>) -> Result<Response<Body>, Response<Body>> {
    let refused = |refusal| Reply::refused(refusal).into_response(&r.query);
    r.only(&[Method::GET]).map_err(refused)?;
    let index = r.query.get("index").filter(|n| !n.is_empty());
    let from = index.map_or(Ok(0), |n| {
        n.parse::<u64>().map_err(|_| {
            let why = format!("Unable to parse index: strconv.Atoi: parsing {n:?}: invalid syntax");
            refused(Refusal::new(400, why))
        })
    })?;
    let topics = Topics::of(r).map_err(refused)?;
    let rights = r.rights().ok();
    if !rights.is_some_and(|rights| topics.needs().all(|n| rights.allow(n))) {
        // Nomad sends this refusal down the stream that it has already promised as JSON.
        let mut denied = refused(Refusal::new(500, "Permission denied"));
        headers(&mut denied);
        return Err(denied);
    }
    let (past, coming) = r.core.event_stream(from);
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.reset();
    let stream = Stream {
        core: r.core.clone(),
        token: r.token.clone(),
        topics,
        past: past.into(),
        coming,
        heartbeat,
    };
    let first = futures::stream::iter([Ok(Bytes::from_static(b"{}\n"))]);
    let rest = futures::stream::unfold(stream, |mut stream| async move {
        let line = stream.next().await?;
        Some((Ok::<_, std::convert::Infallible>(line), stream))
    });
    let lines = futures::StreamExt::chain(first, rest);
    let mut response = Response::new(Body::from_stream(lines));
    headers(&mut response);
    Ok(response)
}

fn headers(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}
