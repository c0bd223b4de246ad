//! Nomad's event stream: one JSON document a line, `{}` as a heartbeat.

use super::{Alloc, Deployment, Evaluation, Node};
use crate::clients::http::{HttpError, Streaming};
use crate::clients::null_default;
use crate::model::JobSpec;
use futures::Stream;
use serde::Deserialize;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// A line longer than this is no event.
const LONGEST_LINE: usize = 16 << 20;

/// What to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Allocation,
    Deployment,
    Evaluation,
    Job,
    Node,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The events of one Raft index.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EventBatch {
    pub index: u64,
    #[serde(deserialize_with = "null_default")]
    pub events: Vec<Event>,
}

impl EventBatch {
    /// A sign of life with nothing in it.
    pub fn is_heartbeat(&self) -> bool {
        self.events.is_empty()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Event {
    pub topic: String,
    #[serde(rename = "Type")]
    pub kind: String,
    pub key: String,
    pub namespace: String,
    pub index: u64,
    #[serde(deserialize_with = "null_default")]
    pub payload: Payload,
}

/// What an event is about, typed as it comes in. Topics that are not looked at leave it empty.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Payload {
    /// Without its job.
    pub allocation: Option<Arc<Alloc>>,
    pub evaluation: Option<Arc<Evaluation>>,
    pub deployment: Option<Arc<Deployment>>,
    pub node: Option<Arc<Node>>,
    pub job: Option<JobSpec>,
}

/// An open stream. Read it with `next`, or as a `futures::Stream`.
pub struct EventStream {
    source: Streaming,
    lines: Lines,
}

impl EventStream {
    pub(super) fn new(source: Streaming) -> Self {
        EventStream {
            source,
            lines: Lines::default(),
        }
    }

    /// The next batch, heartbeats among them; `None` when the server has ended the stream.
    pub async fn next(&mut self) -> Result<Option<EventBatch>, HttpError> {
        loop {
            if let Some(line) = self.lines.pop() {
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|e| self.source.undecodable(line.len(), e));
            }
            match self.source.chunk().await? {
                Some(bytes) if self.lines.push(&bytes) => {}
                Some(_) => return Err(self.source.endless(LONGEST_LINE)),
                None => return Ok(None),
            }
        }
    }

    /// As a stream that ends with the server's end or after its first error; the caller opens a new one.
    pub fn into_stream(self) -> impl Stream<Item = Result<EventBatch, HttpError>> {
        futures::stream::unfold(Some(self), |open| async move {
            let mut open = open?;
            match open.next().await {
                Ok(Some(batch)) => Some((Ok(batch), Some(open))),
                Ok(None) => None,
                Err(e) => Some((Err(e), None)),
            }
        })
    }
}

/// Chunks of bytes in, whole lines out.
#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
    whole: VecDeque<Vec<u8>>,
}

impl Lines {
    /// False when a line grows beyond all measure.
    fn push(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            if byte != b'\n' {
                self.partial.push(byte);
            } else if !self.partial.is_empty() {
                self.whole.push_back(std::mem::take(&mut self.partial));
            }
        }
        self.partial.len() <= LONGEST_LINE
    }
    fn pop(&mut self) -> Option<Vec<u8>> {
        self.whole.pop_front()
    }
}
