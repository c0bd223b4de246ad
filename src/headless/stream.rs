//! The view as server-sent events: a snapshot, then what changed since the last one that was sent.

use super::api::Shared;
use super::delta::{self, Patch};
use super::made::Made;
use crate::engine::view::View;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzDecoder, GzEncoder};
use futures::stream::{self, Stream};
use serde_json::Value;
use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

/// Events come no faster than this, whatever the engine does.
const LEAST: Duration = Duration::from_millis(250);
/// Without an event for so long a comment is sent, so that both ends know that the other is there.
pub(super) const BEAT: Duration = Duration::from_secs(5);

/// One event of the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Snapshot(Value),
    Delta(Patch),
    /// Nothing has changed; the other side is alive.
    Beat,
}

/// An event as its lines.
pub fn encode(told: &Told) -> serde_json::Result<Bytes> {
    let (name, data) = match told {
        Told::Snapshot(value) => ("snapshot", serde_json::to_string(value)?),
        Told::Delta(patch) => ("delta", serde_json::to_string(patch)?),
        Told::Beat => return Ok(Bytes::from_static(b":\n\n")),
    };
    Ok(Bytes::from(format!("event: {name}\ndata: {data}\n\n")))
}

/// Lines to events, however they were cut on the way.
#[derive(Default)]
pub struct Decoder {
    rest: Vec<u8>,
    /// So much of it holds no end of an event.
    looked: usize,
}

impl Decoder {
    /// The events that these bytes complete.
    ///
    /// # Errors
    /// When an event is none of this version's.
    pub fn take(&mut self, bytes: &[u8]) -> serde_json::Result<Vec<Told>> {
        self.rest.extend_from_slice(bytes);
        let mut out = Vec::new();
        while let Some(end) = self.end() {
            let event: Vec<u8> = self.rest.drain(..end).collect();
            self.looked = 0;
            let text = String::from_utf8_lossy(&event);
            let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name));
            out.push(match (field("event: "), field("data: ")) {
                (Some("snapshot"), Some(data)) => Told::Snapshot(serde_json::from_str(data)?),
                (Some("delta"), Some(data)) => Told::Delta(serde_json::from_str(data)?),
                _ => Told::Beat,
            });
        }
        self.looked = self.rest.len().saturating_sub(1);
        Ok(out)
    }

    /// Where the first event ends, if all of it has come.
    fn end(&self) -> Option<usize> {
        let mut pairs = self.rest[self.looked..].windows(2);
        let at = pairs.position(|w| w == b"\n\n")?;
        Some(self.looked + at + 2)
    }
}

/// Packs what goes out, if the reader takes it packed; each event comes out whole.
pub struct Packer(Option<GzEncoder<Vec<u8>>>);

impl Packer {
    pub fn new(packed: bool) -> Packer {
        Packer(packed.then(|| GzEncoder::new(Vec::new(), Compression::new(6))))
    }

    /// # Errors
    /// When the packing fails, which memory alone can make it.
    pub fn pack(&mut self, event: Bytes) -> std::io::Result<Bytes> {
        let Some(encoder) = &mut self.0 else {
            return Ok(event);
        };
        encoder.write_all(&event)?;
        encoder.flush()?;
        Ok(Bytes::from(std::mem::take(encoder.get_mut())))
    }
}

/// The other end of a `Packer`.
pub struct Unpacker(Option<GzDecoder<Vec<u8>>>);

impl Unpacker {
    pub fn new(packed: bool) -> Unpacker {
        Unpacker(packed.then(|| GzDecoder::new(Vec::new())))
    }

    /// # Errors
    /// When the bytes are not packed as they should be.
    pub fn unpack(&mut self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let Some(decoder) = &mut self.0 else {
            return Ok(bytes.to_vec());
        };
        decoder.write_all(bytes)?;
        decoder.flush()?;
        Ok(std::mem::take(decoder.get_mut()))
    }
}

/// What one reader has been sent.
struct Reader {
    views: watch::Receiver<Arc<View>>,
    sent: Option<Arc<Value>>,
    made: Arc<Mutex<Made>>,
    /// Portions that go out with all there is.
    whole: usize,
    packer: Packer,
    over: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    /// The next event, whenever there is one; `None` when the engine has gone, or the API ends.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let changed = tokio::select! {
                () = self.over.cancelled() => return None,
                changed = tokio::time::timeout(BEAT, self.views.changed()) => changed,
            };
            match changed {
                Err(_) => return encode(&Told::Beat).ok(),
                Ok(Err(_)) => return None,
                Ok(Ok(())) => {}
            }
            if self.sent.is_some() {
                pace().await;
            }
            // Who waits for another reader's picture takes the view that is the newest then.
            let mut made = self.made.lock().await;
            let view = Arc::clone(&self.views.borrow_and_update());
            let new = made.picture(&view, self.whole).ok()?;
            if self.whole < view.portions.len() {
                // What is left out yet is due, whether or not something changes.
                self.whole += delta::MORE;
                self.views.mark_changed();
            }
            let event = made.event(self.sent.as_ref(), &new).ok()?;
            self.sent = Some(new);
            if event.is_some() {
                return event;
            }
        }
    }
}

/// `GET /v1/stream`; with `Accept-Encoding: gzip` it comes packed.
pub(super) async fn stream_view(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let place = match shared.gate.stream() {
        Ok(place) => place,
        Err(answer) => return answer,
    };
    let takes = headers.get(header::ACCEPT_ENCODING);
    let packed = takes.is_some_and(|v| v.as_bytes().windows(4).any(|w| w == b"gzip"));
    let mut views = shared.api.views.clone();
    views.mark_changed();
    let reader = Reader {
        views,
        sent: None,
        made: shared.made,
        whole: delta::MORE,
        packer: Packer::new(packed),
        over: shared.over,
        _place: place,
    };
    let events = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        let bytes = reader.packer.pack(event).ok()?;
        Some((Ok::<_, Infallible>(bytes), reader))
    });
    sent(events, packed)
}

/// The answer that these events are.
pub(super) fn sent(
    events: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
    packed: bool,
) -> Response {
    let mut answer = Body::from_stream(events).into_response();
    let fields = answer.headers_mut();
    fields.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if packed {
        fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

/// What changes meanwhile goes into the next event.
async fn pace() {
    let mut tick = tokio::time::interval(LEAST);
    tick.tick().await;
    tick.tick().await;
}
