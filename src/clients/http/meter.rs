//! How long answers take, and how they turn out, for whoever counts it (the `metrics` facade; nobody does unless asked).
#![allow(clippy::disallowed_methods)] // how long an answer took can be measured nowhere else; nothing is decided by it

use super::{Answer, Ask, HttpError, System};
use metrics::{counter, histogram};
use tokio::time::Instant;

/// One request under way.
pub(super) struct Meter {
    system: System,
    since: Instant,
    /// A blocking query takes as long as nothing changes: that is no latency.
    waits: bool,
}

impl Meter {
    pub(super) fn start(system: System, ask: &Ask) -> Meter {
        Meter {
            system,
            since: Instant::now(),
            waits: ask.longest.is_some(),
        }
    }

    pub(super) fn end(self, outcome: &Result<Answer, HttpError>) {
        let system = self.system.word();
        let status = match outcome {
            Ok(answer) => match answer.status {
                200..300 => "ok",
                404 => "not_found",
                401 | 403 => "denied",
                429 | 503 => "busy",
                _ => "refused",
            },
            Err(HttpError::Timeout { .. }) => "timeout",
            Err(_) => "failed",
        };
        counter!("foreshadow_api_requests_total", "system" => system, "outcome" => status)
            .increment(1);
        if !self.waits {
            histogram!("foreshadow_api_request_duration_seconds", "system" => system)
                .record(self.since.elapsed());
        }
    }
}
