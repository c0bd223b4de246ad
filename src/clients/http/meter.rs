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
    /// The status says what was found, not how the request went.
    status_tells: bool,
}

impl Meter {
    pub(super) fn start(system: System, ask: &Ask) -> Meter {
        Meter {
            system,
            since: Instant::now(),
            waits: ask.longest.is_some(),
            status_tells: ask.status_tells,
        }
    }

    pub(super) fn end(self, outcome: &Result<Answer, HttpError>) {
        let system = self.system.word();
        let status = match outcome {
            Ok(answer) => word(answer, self.status_tells),
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

fn word(answer: &Answer, status_tells: bool) -> &'static str {
    match answer.status {
        200..300 => "ok",
        // An agent whose entries fail says so with these, and lists them; one that is too busy, or a proxy before it, has no list.
        404 | 429 | 503 if status_tells && answer.body.starts_with(b"[") => "ok",
        404 => "not_found",
        401 | 403 => "denied",
        429 | 503 => "busy",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            body: body.into(),
            index: None,
        }
    }

    #[test]
    fn a_status_that_tells_of_checks_is_no_failure_of_the_request() {
        for status in [200, 404, 429, 503] {
            assert_eq!(word(&answer(status, "[]"), true), "ok");
        }
        assert_eq!(word(&answer(429, "too many connections"), true), "busy");
        assert_eq!(word(&answer(503, "<html>"), true), "busy");
        assert_eq!(word(&answer(404, "no such path"), true), "not_found");
        assert_eq!(word(&answer(403, "[]"), true), "denied");
    }

    #[test]
    fn any_other_status_says_how_the_request_went() {
        assert_eq!(word(&answer(503, "[]"), false), "busy");
        assert_eq!(word(&answer(404, "[]"), false), "not_found");
        assert_eq!(word(&answer(500, ""), false), "refused");
    }
}
