//! Where the time goes from a shadow's registration to its first passing check.

use crate::clients::nomad::{Alloc, Nomad, TaskEvent};
use crate::model::*;

/// Events that begin the fetching of artifacts and images. Drivers tell of nothing else before a task has started.
const FETCHES: [&str; 2] = ["Downloading Artifacts", "Driver"];

/// When a check passed: how long after the registration, and whether it was the first that was asked. It may have passed long before, then.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    pub after: Span,
    pub at_once: bool,
}

/// Reads the allocation and splits the time from register to the first passing check; without it nothing is known of the parts.
pub async fn parts(nomad: &Nomad, alloc: &str, passed: Passed) -> (Span, StartUp) {
    let parts = match nomad.allocation(alloc).await {
        Ok(alloc) => split(&alloc, passed.after),
        Err(_) => StartUp::default(),
    };
    settled(passed, parts)
}

/// A check that passed before anybody asked is taken to have needed no longer than this after the tasks ran.
const UNWATCHED: Span = Span::secs(1);

/// What was up before anybody asked took what its parts took, as far as these are known, and a while for the check.
fn settled(passed: Passed, parts: StartUp) -> (Span, StartUp) {
    let running = [parts.placed, parts.prepared, parts.fetched, parts.started];
    match running.into_iter().collect::<Option<Vec<Span>>>() {
        Some(running) if passed.at_once => {
            let running = Span(running.iter().map(|span| span.0).sum());
            let whole = Span(running.0 + UNWATCHED.0).min(passed.after);
            let passing = Some(Span((whole.0 - running.0).max(0)));
            (whole, StartUp { passing, ..parts })
        }
        _ => (passed.after, parts),
    }
}

/// No two clocks are compared: placing is told by the server, what the tasks did by the node, and the rest of `whole`, on ours,
/// went to the check (and to the word from server to node).
pub fn split(alloc: &Alloc, whole: Span) -> StartUp {
    let submitted = alloc.job.as_ref().map_or(0, |j| j.submit_time);
    let placed = (submitted > 0 && alloc.create_time >= submitted)
        .then(|| between(submitted, alloc.create_time));
    let events = || alloc.task_states.values().flat_map(|t| &t.events);
    let of = |wanted: &dyn Fn(&TaskEvent) -> bool| {
        let mut times: Vec<i64> = events().filter(|e| wanted(e)).map(|e| e.time).collect();
        times.sort_unstable();
        times
    };
    let received = of(&|e| e.kind == "Received").first().copied();
    // The last of the tasks to start makes the allocation run; a restart is no part of a start-up.
    let firsts = alloc.task_states.values().filter_map(|t| {
        let started = t.events.iter().find(|e| e.kind == "Started")?;
        Some(started.time)
    });
    let started = firsts.max();
    let (Some(received), Some(started)) = (received, started) else {
        return StartUp {
            placed,
            ..StartUp::default()
        };
    };
    let during = |e: &TaskEvent| FETCHES.contains(&e.kind.as_str()) && e.time <= started;
    let setup = of(&|e| e.kind == "Task Setup").first().copied();
    let (prepared, fetched, begun) = match of(&during).first().copied() {
        Some(fetch) => (between(received, fetch), between(fetch, started), Span(0)),
        None => {
            let setup = setup.unwrap_or(received);
            (between(received, setup), Span(0), between(setup, started))
        }
    };
    let rest = whole
        .0
        .saturating_sub(placed.unwrap_or_default().0)
        .saturating_sub(between(received, started).0);
    StartUp {
        placed,
        prepared: Some(prepared),
        fetched: Some(fetched),
        started: Some(begun),
        passing: Some(Span(rest.max(0))),
    }
}

/// Nanoseconds to a span of milliseconds.
fn between(from: i64, to: i64) -> Span {
    Span(to.saturating_sub(from).max(0).saturating_add(500_000) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a Nomad 1.0 answers, cut down to what is read.
    fn alloc(events: &str) -> Alloc {
        let text = format!(
            r#"{{"ID": "a", "Job": {{"SubmitTime": 1000000000}}, "CreateTime": 1040000000,
                "TaskStates": {{"web": {{"State": "running", "Events": [{events}]}},
                                "proxy": {{"State": "running", "Events": null}}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn event(kind: &str, ms: i64) -> String {
        format!(
            r#"{{"Type": "{kind}", "Time": {}}}"#,
            (90_000 + ms) * 1_000_000
        )
    }

    #[test]
    fn a_start_up_is_split_into_its_parts_each_on_one_clock() {
        let told = [
            event("Received", 0),
            event("Task Setup", 20),
            event("Downloading Artifacts", 50),
            event("Started", 450),
        ];
        let parts = split(&alloc(&told.join(",")), Span(900));
        let ms = |part: Option<Span>| part.unwrap().0;
        assert_eq!((ms(parts.placed), ms(parts.prepared)), (40, 50));
        assert_eq!((ms(parts.fetched), ms(parts.started)), (400, 0));
        assert_eq!(ms(parts.passing), 900 - 40 - 450);
    }

    #[test]
    fn where_nothing_is_fetched_the_driver_has_the_time() {
        let told = [
            event("Received", 0),
            event("Task Setup", 2),
            event("Started", 102),
            event("Driver", 5_000),
            event("Started", 6_000),
        ];
        let parts = split(&alloc(&told.join(",")), Span(100));
        assert_eq!(
            parts.fetched,
            Some(Span(0)),
            "what comes after the start is no part of it"
        );
        assert_eq!(
            (parts.prepared, parts.started),
            (Some(Span(2)), Some(Span(100)))
        );
        assert_eq!(parts.passing, Some(Span(0)), "never below nothing");
    }

    #[test]
    fn what_was_up_before_anybody_asked_took_what_its_parts_took() {
        let told = [
            event("Received", 0),
            event("Task Setup", 20),
            event("Started", 60),
        ];
        let parts = split(&alloc(&told.join(",")), Span(7_000));
        let passed = |at_once| Passed {
            after: Span(7_000),
            at_once,
        };
        let (whole, split) = settled(passed(true), parts);
        assert_eq!((whole, split.passing), (Span(1_100), Some(UNWATCHED)));
        assert_eq!(settled(passed(false), parts), (Span(7_000), parts));
        let unknown = StartUp::default();
        assert_eq!(settled(passed(true), unknown).0, Span(7_000));
    }

    #[test]
    fn without_events_the_parts_are_unknown() {
        let parts = split(&alloc(""), Span(900));
        assert_eq!(parts.placed, Some(Span(40)));
        assert_eq!((parts.fetched, parts.passing), (None, None));
        assert_eq!(split(&Alloc::default(), Span(900)), StartUp::default());
    }
}
