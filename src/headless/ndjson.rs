//! The log as NDJSON: one object a line, each line once, in order.

use crate::engine::view::{LogKind, LogLine, View};
use crate::model::{Cause, Moment, PortionId, counted};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A moment as RFC 3339 in UTC; one that no calendar holds becomes the epoch.
pub fn rfc3339(at: Moment) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string()
}

/// Remembers how far the log has been told.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    last: Option<u64>,
}

/// A decision, or something that was found, as it is told.
#[derive(Serialize, JsonSchema)]
pub struct Event {
    /// RFC 3339, UTC.
    at: String,
    kind: LogKind,
    text: String,
    /// Grows by one an event; a notice of missed ones has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    portion: Option<PortionId>,
}

impl Event {
    fn of(line: &LogLine) -> Event {
        Event {
            at: rfc3339(line.at),
            kind: line.kind,
            text: line.text.clone(),
            seq: Some(line.seq),
            cause: line.cause,
            portion: line.portion.clone(),
        }
    }

    fn missed(lines: u64, at: Moment) -> Event {
        Event {
            at: rfc3339(at),
            kind: LogKind::Notice,
            text: format!(
                "{} missed: more came than were read",
                counted(lines, "line")
            ),
            seq: None,
            cause: None,
            portion: None,
        }
    }
}

impl Follower {
    /// One that was told all up to this line already.
    pub(super) fn after(last: Option<u64>) -> Follower {
        Follower { last }
    }

    /// What this view's log has that was not told yet. Lines that fell out of the view unseen are
    /// admitted by a notice; a log that begins anew is told from its beginning.
    pub fn fresh(&mut self, view: &View) -> Vec<Value> {
        let Some(newest) = view.log.last().map(|l| l.seq) else {
            return Vec::new();
        };
        if self.last.is_some_and(|last| newest < last) {
            self.last = None;
        }
        let mut out = Vec::new();
        if let (Some(last), Some(first)) = (self.last, view.log.first())
            && first.seq > last + 1
        {
            out.push(json!(Event::missed(first.seq - last - 1, first.at)));
        }
        let lines = view.log.iter();
        let untold = lines.filter(|l| self.last.is_none_or(|last| l.seq > last));
        out.extend(untold.map(|l| json!(Event::of(l))));
        self.last = Some(newest);
        out
    }
}

/// One object as one line, told at once.
///
/// # Errors
/// When `out` cannot be written to.
pub fn write_event(out: &mut impl Write, event: &Value) -> io::Result<()> {
    writeln!(out, "{event}")?;
    out.flush()
}

/// The last line of a run: `{"summary":{…}}`.
///
/// # Errors
/// When `out` cannot be written to.
pub fn write_summary(out: &mut impl Write, summary: Value) -> io::Result<()> {
    write_event(out, &json!({ "summary": summary }))
}

/// Tells the log of each view until `cancel`, or until the engine is gone; what came last is told too.
///
/// # Errors
/// The first one of `say`, as when its reader has gone.
pub async fn stream<E>(
    mut views: watch::Receiver<Arc<View>>,
    mut say: impl FnMut(&Value) -> Result<(), E>,
    cancel: CancellationToken,
) -> Result<(), E> {
    let mut follower = Follower::default();
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        for event in follower.fresh(&view) {
            say(&event)?;
        }
        let gone = tokio::select! {
            () = cancel.cancelled() => true,
            changed = views.changed() => changed.is_err(),
        };
        if gone {
            let view = Arc::clone(&views.borrow());
            for event in follower.fresh(&view) {
                say(&event)?;
            }
            return Ok(());
        }
    }
}
