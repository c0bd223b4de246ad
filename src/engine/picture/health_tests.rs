use super::*;
use crate::engine::command::tests::state;

/// What is said of `web` while its clients see this, and that stands in the plan's way.
fn said(success: f64, at_slo: f64, standby: bool, waits: Option<&str>) -> (Health, String) {
    let mut workload = state().workloads.remove(0);
    workload.policy.portions[0].standby = standby;
    workload.plan = Some(Plan {
        id: PlanId::new("p"),
        parent: None,
        epoch: Epoch(1),
        at: Moment(0),
        steps: Vec::new(),
        waiting: waits.map_or_else(Vec::new, |why| {
            vec![Shared::new(Waiting {
                what: "standby of web".into(),
                why: why.into(),
            })]
        }),
    });
    let traffic = Traffic {
        success,
        at_slo: Millis(at_slo),
        samples: 1_000,
        ..Traffic::default()
    };
    let policy = &workload.policy.portions[0];
    let traffic = Seen::known(traffic, Moment(0));
    health(&workload, policy, None, Some(&traffic), None, Moment(0))
}

#[test]
fn a_breach_names_what_is_broken_alone_and_why_nothing_is_moved() {
    let (health, sentence) = said(0.946, 116.0, true, None);
    assert_eq!(health, Health::Breach);
    assert_eq!(sentence, "94.6% answered (limit 99.9%): looking for room");
    let (_, nearly) = said(0.998_96, 116.0, true, None);
    assert!(nearly.starts_with("99.89% answered (limit 99.9%)"));
    let (_, late) = said(1.0, 648.0, true, Some("budget: 8 of 8 standbys run"));
    assert_eq!(
        late,
        "p99 648 ms (limit 400 ms): no room, budget: 8 of 8 standbys run"
    );
    let (_, both) = said(0.5, 648.0, false, None);
    assert_eq!(
        both,
        "50% answered (limit 99.9%), p99 648 ms (limit 400 ms): its policy allows no standby"
    );
    assert_eq!(said(1.0, 116.0, true, None).0, Health::Good);
}

#[test]
fn what_made_standbys_serve_is_told_as_past_and_that_none_is_ready_too() {
    let mut workload = state().workloads.remove(0);
    let why = (Cause::Reactive, "p99 457 ms > 400 ms".to_string());
    workload.book.surging.insert("web".into(), why);
    let policy = &workload.policy.portions[0];
    let (_, sentence) = health(&workload, policy, None, None, None, Moment(0));
    assert_eq!(sentence, "no standby is ready; wanted: p99 457 ms > 400 ms");
}

#[test]
fn what_no_reading_tells_of_is_said_with_the_reason_and_no_latency_is_made_of_no_request() {
    let workload = state().workloads.remove(0);
    let policy = &workload.policy.portions[0];
    let said =
        |seen: Option<&Seen<Traffic>>| health(&workload, policy, None, seen, None, Moment(0));
    let first = Seen::unknown("waiting for a second reading of its metrics");
    let sentence = "traffic is not seen: waiting for a second reading of its metrics";
    assert_eq!(said(Some(&first)), (Health::Unknown, sentence.into()));
    let nothing = "traffic is not seen".to_string();
    assert_eq!(said(None), (Health::Unknown, nothing.clone()));
    let old = Seen::known(Traffic::default(), Moment(0) - Span::secs(60));
    assert_eq!(said(Some(&old)), (Health::Unknown, nothing));
    let success = 1.0;
    let idle = Traffic {
        success,
        ..Traffic::default()
    };
    let idle = Seen::known(idle, Moment(0));
    assert_eq!(
        said(Some(&idle)),
        (Health::Good, "no request counted of late".into())
    );
}
