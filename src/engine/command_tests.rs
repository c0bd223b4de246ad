use super::*;
use crate::engine::Workload;
use crate::engine::view::Mode;

const NOW: Moment = Moment(1_000_000);

pub fn web() -> PortionPolicy {
    PortionPolicy {
        id: "web".into(),
        job: "shop".into(),
        groups: vec!["web".into()],
        front: Some("shop-web".into()),
        owner: OwnerChoice::default(),
        port: "http".into(),
        path: "/".into(),
        health: "/health".into(),
        depends_on: Vec::new(),
        slo: Slo {
            quantile: 0.99,
            latency: Millis(400.0),
            success: 0.999,
        },
        data: Data::Free,
        upstreams: Upstreams::Stub,
        stand_ins: Vec::new(),
        metrics: Metrics {
            clients: Vec::new(),
            path: "/metrics".into(),
            requests: "r".into(),
            duration: "d".into(),
            failed: String::new(),
            only: Vec::new(),
        },
        shadow: true,
        standby: true,
        probe: true,
    }
}

pub fn state() -> State {
    let policy = Policy {
        portions: vec![web()].into(),
        ..Policy::default()
    };
    let workload = Workload {
        policy,
        ..Workload::default()
    };
    State {
        mode: Mode::Act,
        workloads: vec![workload],
        ..State::default()
    }
}

fn by(who: &str, asked: Command) -> Command {
    Command::By {
        who: who.into(),
        asked: Box::new(asked),
    }
}

fn last(state: &State) -> &str {
    &state.log.back().expect("something was said").text
}

#[test]
fn who_asks_is_said_and_kept() {
    let mut state = state();
    let (portion, to) = ("web".into(), "provider-a".into());
    ask(&mut state, by("ann", Command::Switch { portion, to }), NOW);
    assert_eq!(last(&state), "web is to be served from provider-a (ann)");
    let kept = Memo::Asked {
        at: NOW,
        who: "ann".into(),
        what: "web is to be served from provider-a".into(),
    };
    assert_eq!(state.memos, [kept]);
    ask(&mut state, Command::Abort, NOW);
    assert!(last(&state).ends_with("(an operator)"));
    assert!(state.workloads[0].book.asked.is_empty());
}

#[test]
fn a_freeze_by_hand_holds_until_its_end_and_the_policys_own_stay() {
    let mut state = state();
    let own = Freeze {
        name: "sale".into(),
        window: Window {
            from: NOW + Span::secs(90_000),
            to: NOW + Span::secs(99_000),
        },
    };
    state.workloads[0].policy.freezes.push(own.clone());
    ask(&mut state, by("ann", Command::Freeze { minutes: 30 }), NOW);
    let policy = &state.workloads[0].policy;
    assert_eq!(
        policy.rest(NOW).as_deref(),
        Some("frozen: asked for by ann")
    );
    let end = NOW + Span::secs(1_800);
    assert_eq!(frozen(&state, NOW), Some(("ann".into(), end)));
    assert_eq!(frozen(&state, end), None);
    let mut read = state.workloads[0].policy.clone();
    read.freezes = vec![own.clone()];
    assert_eq!(
        still_frozen(&state, &read).freezes.len(),
        2,
        "policies read again end no freeze"
    );
    ask(&mut state, Command::Freeze { minutes: 0 }, NOW);
    assert_eq!(frozen(&state, NOW), None);
    assert_eq!(state.workloads[0].policy.freezes, [own]);
}

fn shares(planned: bool) -> Step {
    Step {
        id: "p-1".into(),
        plan: PlanId::new("p"),
        waits_on: Vec::new(),
        portion: Some("web".into()),
        cause: Cause::Predicted,
        why: "a surge".into(),
        action: Action::SetTarget {
            target: Target {
                service: "shop-web".into(),
                plan: PlanId::new("p"),
                parent: None,
                epoch: Epoch(1),
                owner: Owner::Front,
                instances: Vec::new().into(),
                contingencies: Vec::new().into(),
                index: 0,
            },
            planned,
            before: None,
        },
    }
}

#[test]
fn a_pin_holds_planned_moves_and_nothing_else_until_it_is_let_go() {
    let mut state = state();
    let pin = |on| Command::Pin {
        portion: "web".into(),
        on,
    };
    assert_eq!(pinned(&state, &shares(true)), None);
    ask(&mut state, by("ann", pin(true)), NOW);
    let why = pinned(&state, &shares(true));
    assert_eq!(why.as_deref(), Some("set shares held: pinned by ann"));
    assert_eq!(
        pinned(&state, &shares(false)),
        None,
        "what fails is answered"
    );
    ask(&mut state, pin(false), NOW);
    assert_eq!(pinned(&state, &shares(true)), None);
}

#[test]
fn an_inconclusive_verdict_is_approved_with_who_and_no_other() {
    let verdict = |site: &str, ruling| Judged {
        key: ProfileKey {
            portion: "web".into(),
            release: "r1".into(),
            site: site.into(),
            class: "m".into(),
        },
        at: NOW - Span::secs(60),
        ruling,
        because: "131 of 200 requests".into(),
        against: Against::Production,
        rate: Rps(10.0),
        baseline: 131,
        shadow: 131,
        times: 2,
        undecided: 1,
    };
    let mut state = state();
    state.beliefs.verdicts = vec![
        verdict("a", Ruling::Inconclusive),
        verdict("b", Ruling::Inconclusive),
        verdict("c", Ruling::Fail),
    ];
    let approve = |site: &str| Command::Approve {
        portion: "web".into(),
        site: site.into(),
    };
    ask(&mut state, by("ann", approve("a")), NOW);
    ask(&mut state, approve("c"), NOW);
    assert!(last(&state).contains("nothing to approve"));
    let rulings: Vec<Ruling> = state.beliefs.verdicts.iter().map(|v| v.ruling).collect();
    assert_eq!(rulings, [Ruling::Pass, Ruling::Inconclusive, Ruling::Fail]);
    let because = &state.beliefs.verdicts[0].because;
    assert_eq!(because, "approved by ann; measured: 131 of 200 requests");
    let kept = state.memos.iter().filter(|m| matches!(m, Memo::Judged(_)));
    assert_eq!(kept.count(), 1);
}
