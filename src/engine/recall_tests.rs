use super::*;
use crate::engine::view::{Health, LogKind};

fn portion(id: &str, health: Health) -> PortionView {
    let slo = serde_json::json!({"quantile": 0.95, "latency": 400.0, "success": 0.99});
    let bare = serde_json::json!({
        "id": id, "workload": "shop", "groups": [], "depends_on": [], "front": null, "health": health, "sentence": "",
        "not_shadowable": null, "slo": slo, "traffic": null, "instances": [], "capacity": null, "past": [], "band": [],
        "model": "", "because": "", "coverage_80": null, "profiles": [],
    });
    serde_json::from_value(bare).expect("a bare portion is one")
}

/// A view of that cycle, and the state behind it with so many lines said by now.
fn seen(cycle: u64, lines: u64, portions: Vec<PortionView>) -> (State, View) {
    let mut state = State::default();
    for k in 0..lines {
        state.say(
            Moment(k as i64),
            LogKind::Notice,
            None,
            None,
            format!("line {k}"),
        );
    }
    let view = View {
        at: Moment(cycle as i64 * 1_000),
        cycle,
        portions: portions.into_iter().map(Shared::new).collect(),
        ..View::default()
    };
    (state, view)
}

/// Every portion was painted afresh.
fn painted(view: &View) -> FxHashSet<PortionId> {
    view.portions.iter().map(|p| p.id.clone()).collect()
}

#[test]
fn a_page_is_added_when_something_was_said_or_stands_otherwise_and_else_none() {
    let mut recall = Recall::default();
    let mut turn = |cycle, lines, health| {
        let (state, view) = seen(cycle, lines, vec![portion("web", health)]);
        recall.turn(&state, &view, &painted(&view));
        let pages = recall.pages.iter();
        let shape = pages.map(|p| (p.cycle, p.rows.len(), p.lines.len()));
        shape.collect::<Vec<_>>()
    };
    assert_eq!(turn(1, 0, Health::Good), [(1, 1, 0)]);
    assert_eq!(turn(2, 0, Health::Good), [(1, 1, 0)], "nothing changed");
    assert_eq!(turn(3, 2, Health::Good), [(1, 1, 0), (3, 0, 2)]);
    assert_eq!(turn(4, 2, Health::Breach).last(), Some(&(4, 1, 0)));
}

#[test]
fn pages_are_bounded_and_what_only_dropped_ones_knew_is_carried_over() {
    let mut recall = Recall::default();
    for cycle in 1..=PAGES as u64 + 50 {
        let busy = if cycle % 2 == 0 {
            Health::Good
        } else {
            Health::Moving
        };
        let all = vec![portion("web", busy), portion("quiet", Health::Good)];
        let (state, view) = seen(cycle, 0, all);
        recall.turn(&state, &view, &painted(&view));
    }
    assert_eq!(recall.pages.len(), PAGES);
    let first = &recall.pages[0];
    let known: Vec<&str> = first.rows.iter().map(|r| r.id.as_str()).collect();
    assert_eq!(known, ["web", "quiet"]);
    let rows: usize = recall.pages.iter().map(|p| p.rows.len()).sum();
    assert_eq!(recall.rows, rows, "the count is kept");
}

#[test]
fn a_crowd_of_portions_keeps_no_more_rows_than_are_allowed() {
    let mut recall = Recall::default();
    for cycle in 1..40 {
        let busy = if cycle % 2 == 0 {
            Health::Good
        } else {
            Health::Moving
        };
        let all = (0..500).map(|k| portion(&format!("p-{k}"), busy)).collect();
        let (state, view) = seen(cycle, 0, all);
        recall.turn(&state, &view, &painted(&view));
    }
    assert!(recall.rows <= ROWS, "{} rows", recall.rows);
    assert!(recall.pages.len() > 2);
}

#[test]
fn the_share_after_each_step_leads_from_begin_to_end_and_the_next_look_counts_down() {
    let mv = MoveView {
        kind: "surge".into(),
        cause: Cause::Predicted,
        why: String::new(),
        from: Share(1_000),
        to: Share(5_000),
        steps: vec![Share(2_500), Share(6_000), Share(10_000)],
        done: 1,
        since: Moment(0),
        verified: Some(Moment(10_000)),
        soak: Span::secs(4),
        min_samples: 5,
        waits: None,
        ended: None,
    };
    let shares: Vec<u32> = (0..=3).map(|k| mv.share_after(k).0).collect();
    assert_eq!(shares, [1_000, 2_000, 3_400, 5_000]);
    assert_eq!(mv.next_look(Moment(11_000)), Some(Span::secs(3)));
    assert_eq!(mv.next_look(Moment(99_000)), Some(Span(0)));
    let over = MoveView {
        ended: Some(Moment(12_000)),
        ..mv
    };
    assert_eq!(over.next_look(Moment(11_000)), None);
}

#[test]
fn a_move_that_is_over_is_done_where_it_led_to_what_is_asked_for_now() {
    let ended = |desired: u32| {
        let mut mv = MoveView {
            kind: "emergency".into(),
            cause: Cause::Reactive,
            why: String::new(),
            from: Share(1_000),
            to: Share(5_000),
            steps: vec![Share(10_000)],
            done: 0,
            since: Moment(0),
            verified: None,
            soak: Span::secs(4),
            min_samples: 5,
            waits: Some("the last write".into()),
            ended: None,
        };
        let mut web = portion("web", Health::Good);
        let standby = serde_json::json!({
            "alloc": "a", "job": "shop", "node": "n", "site": "b", "role": "standby", "ready": true, "desired": desired,
            "observed": null, "cpu": null, "memory": null,
        });
        web.instances = vec![serde_json::from_value(standby).expect("a standby")];
        end(&mut mv, &web, Moment(9_000));
        (mv.done, mv.ended, mv.waits)
    };
    assert_eq!(ended(5_000), (1, Some(Moment(9_000)), None));
    assert_eq!(ended(1_000), (0, Some(Moment(9_000)), None));
}

#[test]
fn a_quantile_is_the_bound_of_its_bucket_and_none_of_nothing() {
    let of = |buckets: &[(f64, u64)]| Latencies {
        buckets: buckets.iter().map(|(b, n)| (Millis(*b), *n)).collect(),
        failed: 0,
    };
    assert_eq!(
        quantile(&of(&[(10.0, 98), (50.0, 1), (90.0, 1)]), 0.99),
        Some(50.0)
    );
    assert_eq!(quantile(&of(&[(10.0, 1)]), 0.99), Some(10.0));
    assert_eq!(quantile(&of(&[]), 0.99), None);
}

#[test]
fn what_an_earlier_process_saw_can_be_looked_back_at_and_all_is_told_anew_after_it() {
    let store = crate::store::Store::in_memory().unwrap();
    let mut recall = Recall::default();
    for cycle in 1..=PAGES as u64 + 20 {
        let busy = if cycle % 2 == 0 {
            Health::Good
        } else {
            Health::Moving
        };
        let all = vec![portion("web", busy), portion("quiet", Health::Good)];
        let (state, view) = seen(cycle, cycle, all);
        recall.turn(&state, &view, &painted(&view));
        let (page, first) = (recall.pages.back().unwrap(), &recall.pages[0]);
        store.turn_page(&stored(page).unwrap(), first.at).unwrap();
    }
    let mut again = Recall::of(&store.pages().unwrap());
    assert_eq!(again.pages.len(), PAGES);
    let rows = |page: &Page| -> std::collections::BTreeMap<PortionId, Health> {
        page.rows.iter().map(|r| (r.id.clone(), r.health)).collect()
    };
    for (a, b) in again.pages.iter().zip(&recall.pages) {
        assert_eq!(
            (rows(a), &a.lines),
            (rows(b), &b.lines),
            "cycle {}",
            b.cycle
        );
    }
    let (state, mut view) = seen(1, 1, vec![portion("web", Health::Good)]);
    view.at = recall.pages.back().unwrap().at + Span::secs(60);
    again.turn(&state, &view, &painted(&view));
    let last = again.pages.back().unwrap();
    assert_eq!((last.cycle, last.rows.len(), last.lines.len()), (1, 1, 1));
    assert_eq!(again.pages.len(), PAGES);
}

#[test]
fn pages_outlive_the_process_that_wrote_them_and_those_of_the_next_one_follow() {
    let mut recall = Recall::default();
    let (state, view) = seen(7, 3, vec![portion("web", Health::Good)]);
    recall.turn(&state, &view, &painted(&view));
    let mut next = recall.kept();
    // Another process counts its lines from the beginning.
    let (state, mut view) = seen(1, 2, vec![portion("web", Health::Good)]);
    view.at = Moment(9_000);
    next.turn(&state, &view, &painted(&view));
    let shape = next
        .pages
        .iter()
        .map(|p| (p.cycle, p.rows.len(), p.lines.len()));
    assert_eq!(shape.collect::<Vec<_>>(), [(7, 1, 3), (1, 1, 2)]);
    assert_eq!(next.rows, 2);
}
