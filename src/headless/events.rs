//! Decisions as server-sent events: each line of the log once, in order, with its number, from which a reader goes on.

use super::api::{Shared, told};
use super::ndjson::Follower;
use super::stream::{BEAT, sent};
use crate::engine::view::{LogKind, View};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

#[derive(Deserialize)]
pub(super) struct EventsAsk {
    /// Some kinds alone, with commas between them.
    kind: Option<String>,
    portion: Option<String>,
}

struct Wanted {
    kinds: Vec<LogKind>,
    portion: Option<String>,
}

impl Wanted {
    fn read(ask: EventsAsk) -> Result<Wanted, String> {
        let names = ask.kind.iter().flat_map(|k| k.split(','));
        let kind = |name: &str| {
            LogKind::deserialize(Value::from(name)).map_err(|e| format!("no kind of event: {e}"))
        };
        Ok(Wanted {
            kinds: names
                .filter(|n| !n.is_empty())
                .map(kind)
                .collect::<Result<_, _>>()?,
            portion: ask.portion,
        })
    }

    fn takes(&self, event: &Value) -> bool {
        let kind = |k: &LogKind| {
            k.serialize(serde_json::value::Serializer)
                .is_ok_and(|k| event["kind"] == k)
        };
        (self.kinds.is_empty() || self.kinds.iter().any(kind))
            && self
                .portion
                .as_ref()
                .is_none_or(|p| event["portion"] == **p)
    }
}

struct Reader {
    views: watch::Receiver<Arc<View>>,
    follower: Follower,
    wanted: Wanted,
    over: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    /// What is new, when there is something; a comment meanwhile. `None` when it is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let changed = tokio::select! {
                () = self.over.cancelled() => return None,
                changed = tokio::time::timeout(BEAT, self.views.changed()) => changed,
            };
            match changed {
                Err(_) => return Some(Bytes::from_static(b":\n\n")),
                Ok(Err(_)) => return None,
                Ok(Ok(())) => {}
            }
            let view = Arc::clone(&self.views.borrow_and_update());
            let fresh = self.follower.fresh(&view);
            let lines = fresh.iter().filter(|e| self.wanted.takes(e)).map(lines);
            let text: String = lines.collect();
            if !text.is_empty() {
                return Some(text.into());
            }
        }
    }
}

fn lines(event: &Value) -> String {
    let kind = event["kind"].as_str().unwrap_or_default();
    let id = event["seq"]
        .as_u64()
        .map_or(String::new(), |n| format!("id: {n}\n"));
    format!("{id}event: {kind}\ndata: {event}\n\n")
}

/// `GET /v1/events`; with `Last-Event-ID` it goes on after that one.
pub(super) async fn events(
    State(shared): State<Shared>,
    Query(ask): Query<EventsAsk>,
    headers: HeaderMap,
) -> Response {
    let wanted = match Wanted::read(ask) {
        Ok(wanted) => wanted,
        Err(why) => return told(StatusCode::BAD_REQUEST, why),
    };
    let place = match shared.gate.stream() {
        Ok(place) => place,
        Err(answer) => return answer,
    };
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok());
    let mut views = shared.api.views.clone();
    views.mark_changed();
    let reader = Reader {
        views,
        follower: Follower::after(last.and_then(|v| v.parse().ok())),
        wanted,
        over: shared.over,
        _place: place,
    };
    sent(
        stream::unfold(reader, |mut reader| async move {
            let bytes = reader.next().await?;
            Some((Ok::<_, Infallible>(bytes), reader))
        }),
        false,
    )
}
