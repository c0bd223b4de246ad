use super::*;
use crate::engine::command::tests::web;
use crate::planner::book::ShadowRun;
use serde_json::json;

const SINCE: Moment = Moment(100_000);

fn portion(id: &str, calls: &[&str]) -> Portion {
    Portion {
        id: id.into(),
        job: "shop".into(),
        groups: vec![id.into()],
        release: "1".into(),
        needs: Resources::default(),
        depends_on: calls.iter().map(|c| PortionId::from(*c)).collect(),
        fused: None,
        cycle: Vec::new(),
        not_shadowable: None,
    }
}

fn wanted(id: &str, upstreams: Upstreams) -> PortionPolicy {
    PortionPolicy {
        id: id.into(),
        groups: vec![id.into()],
        front: None,
        upstreams,
        ..web()
    }
}

fn alloc(id: &str, job: &str, group: &str, node: &str) -> Alloc {
    Alloc {
        id: id.into(),
        job: job.into(),
        group: group.into(),
        node: node.into(),
        node_name: node.into(),
        status: AllocStatus::Running,
        desired_run: true,
        resources: Resources::default(),
        ports: Ports::default(),
        created: Moment(0),
    }
}

/// web (told of by its clients) calls cart, cart calls pricing; search is called by nobody that is shadowed.
fn state() -> State {
    let policy = Policy {
        portions: vec![
            wanted("web", Upstreams::Stub),
            wanted("cart", Upstreams::ProductionReadonly),
            wanted("pricing", Upstreams::Stub),
            wanted("search", Upstreams::Stub),
        ]
        .into(),
        ..Policy::default()
    };
    let mut workload = Workload {
        policy,
        portions: vec![
            portion("web", &["cart", "search"]),
            portion("cart", &["pricing"]),
            portion("pricing", &[]),
            portion("search", &[]),
        ],
        ..Workload::default()
    };
    let run = ShadowRun {
        id: "cart-1".into(),
        key: ProfileKey {
            portion: "cart".into(),
            release: "1".into(),
            site: "b".into(),
            class: "small".into(),
        },
        job: "foreshadow-shadow-cart-1".into(),
        state: ShadowState::Measuring,
        since: SINCE,
        deadline: SINCE + Span::secs(60),
        verdict: None,
        twin: None,
        along: Vec::new(),
        judged: None,
    };
    workload.book.shadows.insert(run.id.clone(), run);
    State {
        workloads: vec![workload],
        ..State::default()
    }
}

/// A second's reading of 30 requests, all as slow as this.
fn reading(portion: &str, instance: Option<&str>, second: i64, ms: f64) -> Reading {
    let from = SINCE + Span::secs(second);
    Reading {
        portion: portion.into(),
        instance: instance.map(AllocId::from),
        from,
        at: from + Span::secs(1),
        requests: 30,
        latencies: Latencies {
            buckets: vec![(Millis(5.0), 0), (Millis(10.0), 0), (Millis(ms), 30)]
                .into_iter()
                .fold(Vec::new(), |mut all, b| {
                    all.retain(|have: &(Millis, u64)| have.0 != b.0);
                    all.push(b);
                    all.sort_by(|a, b| a.0.0.total_cmp(&b.0.0));
                    all
                }),
            failed: 0,
        },
    }
}

/// Ten seconds of calm, then as many seconds as are given with these latencies of each source.
fn world(during: &[(&str, Option<&str>, f64)], seconds: i64) -> (World, World) {
    let calm = |s: i64| during.iter().map(move |(p, i, _)| reading(p, *i, s, 10.0));
    let before: Vec<Reading> = (-10..0).flat_map(calm).collect();
    let worse = |s: i64| during.iter().map(move |(p, i, ms)| reading(p, *i, s, *ms));
    let after: Vec<Reading> = before
        .iter()
        .cloned()
        .chain((0..seconds).flat_map(worse))
        .collect();
    let at = |readings: Vec<Reading>, now: Moment| {
        let mut world = World::unknown(now, "not read");
        world.readings = readings.into_iter().map(Arc::new).collect();
        let allocs = [
            alloc("shadow", "foreshadow-shadow-cart-1", "cart", "n1"),
            alloc("search-1", "shop", "search", "n1"),
            alloc("search-2", "shop", "search", "n2"),
            alloc("pricing-1", "shop", "pricing", "n3"),
        ];
        world.allocs = Seen::known(allocs.into_iter().collect(), now);
        world
    };
    (at(before, SINCE), at(after, SINCE + Span::secs(seconds)))
}

/// What became of the shadow.
fn after(during: &[(&str, Option<&str>, f64)], seconds: i64) -> State {
    let mut state = state();
    run_of(&mut state).state = ShadowState::Starting;
    let (before, now) = world(during, seconds);
    watch(&mut state, &before, before.at);
    run_of(&mut state).state = ShadowState::Measuring;
    watch(&mut state, &now, now.at);
    state
}

fn run_of(state: &mut State) -> &mut ShadowRun {
    let book = &mut state.workloads[0].book;
    book.shadows
        .get_mut(&ShadowId::from("cart-1"))
        .expect("it is there")
}

fn run(state: &State) -> &ShadowRun {
    &state.workloads[0].book.shadows[&ShadowId::from("cart-1")]
}

#[test]
fn a_shadow_that_slows_what_its_portion_calls_ends_within_two_readings_and_its_place_fails() {
    let state = after(
        &[
            ("pricing", Some("pricing-1"), 250.0),
            ("search", Some("search-2"), 10.0),
        ],
        2,
    );
    let run = run(&state);
    assert_eq!(run.state, ShadowState::Stopping);
    let verdict = run.verdict.as_deref().unwrap_or_default();
    assert!(
        verdict.starts_with("fail (it hurt production): pricing suffers downstream: "),
        "{verdict}"
    );
    let judged = state.beliefs.verdict(&run.key).expect("it is remembered");
    assert_eq!(
        (judged.ruling, &judged.against),
        (Ruling::Fail, &Against::Interference)
    );
    assert_eq!(state.beliefs.caution[&PortionId::from("cart")], RARER);
    let kept = |m: &Memo| matches!(m, Memo::Judged(_) | Memo::Caution { .. });
    assert_eq!(state.memos.iter().filter(|m| kept(m)).count(), 2);
    assert!(
        json!(state.log.back())
            .to_string()
            .contains("2 times as rare")
    );
}

#[test]
fn one_that_slows_what_runs_on_its_node_ends_too() {
    let state = after(
        &[
            ("search", Some("search-1"), 250.0),
            ("search", Some("search-2"), 10.0),
        ],
        2,
    );
    let verdict = run(&state).verdict.as_deref().unwrap_or_default();
    assert!(verdict.contains("search suffers on its node"), "{verdict}");
}

#[test]
fn what_is_out_of_its_reach_is_not_its_doing() {
    let state = after(&[("search", Some("search-2"), 250.0)], 4);
    assert_eq!(run(&state).state, ShadowState::Measuring);
    assert!(state.beliefs.caution.is_empty());
}

#[test]
fn what_gets_worse_everywhere_at_once_is_not_blamed_on_the_shadow() {
    let all = [
        ("pricing", Some("pricing-1"), 250.0),
        ("search", Some("search-2"), 250.0),
    ];
    assert_eq!(run(&after(&all, 2)).state, ShadowState::Measuring);
    // Callers of what suffers suffer with it: they excuse nothing.
    let callers = [("pricing", Some("pricing-1"), 250.0), ("web", None, 250.0)];
    assert_eq!(run(&after(&callers, 2)).state, ShadowState::Stopping);
}

#[test]
fn production_as_it_was_leaves_the_shadow_alone_and_its_memory_goes_with_it() {
    let mut state = after(&[("pricing", Some("pricing-1"), 10.0)], 4);
    assert_eq!(run(&state).state, ShadowState::Measuring);
    assert_eq!(state.before.len(), 1);
    run_of(&mut state).state = ShadowState::Done;
    let (_, now) = world(&[], 5);
    watch(&mut state, &now, now.at);
    assert!(state.before.is_empty());
}
