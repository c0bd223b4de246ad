//! Reads that wait for a change.

use super::Request;
use super::reply::Reply;
use crate::sandbox::nomad::jobs::Refusal;
use crate::sandbox::nomad::jobspec::go_duration;
use crate::sandbox::nomad::state::node::fnv;
use crate::sandbox::nomad::state::{State, now};
use std::time::Duration;

const DEFAULT_WAIT: Duration = Duration::from_secs(300);
const MAX_WAIT: Duration = Duration::from_secs(600);

/// Answer at once, or with `?index=N` when the answer's own index has passed N or `?wait=` is over.
pub async fn read(r: &Request<'_>, look: impl Fn(&State) -> Reply) -> Result<Reply, Refusal> {
    let after = match r.query.get("index") {
        None | Some("") => 0,
        Some(n) => n
            .parse::<u64>()
            .map_err(|_| Refusal::new(400, "Invalid index"))?,
    };
    let wait = match r.query.get("wait") {
        None | Some("") => DEFAULT_WAIT,
        Some(text) => match go_duration(text) {
            // A negative wait is none of its own.
            Some(n) => u64::try_from(n).map_or(DEFAULT_WAIT, Duration::from_nanos),
            None => return Err(Refusal::new(400, "Invalid wait time")),
        },
    };
    let wait = match wait.min(MAX_WAIT) {
        Duration::ZERO => DEFAULT_WAIT,
        wait => wait,
    };
    // Up to a sixteenth more, so that clients that began together do not come back together.
    let jitter = (fnv(&now().to_be_bytes()) % 1000) as f64 / 16_000.0;
    let deadline = tokio::time::Instant::now() + wait.mul_f64(1.0 + jitter);
    let mut changes = r.core.changes();
    loop {
        changes.borrow_and_update();
        let reply = r.core.read(&look);
        if reply.index.is_none_or(|i| i > after) || after == 0 {
            return Ok(reply);
        }
        match tokio::time::timeout_at(deadline, changes.changed()).await {
            Ok(Ok(())) => {}
            _ => return Ok(r.core.read(&look)),
        }
    }
}
