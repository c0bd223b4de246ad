use super::*;

fn key(portion: &str, site: &str) -> ProfileKey {
    ProfileKey {
        portion: portion.into(),
        release: Release::new("r1"),
        site: site.into(),
        class: NodeClass::new("small"),
    }
}

/// A run that carried so much; what was not answered has no latency.
fn profile(portion: &str, site: &str, knee: f64, at: i64) -> Profile {
    let point = |rate: f64, ms: f64| LoadPoint {
        rate: Rps(rate),
        requests: 100,
        failed: 0,
        p50: Millis(ms / 4.0),
        p90: Millis(ms / 2.0),
        p99: Millis(ms),
        at_slo: Millis(ms),
        good: true,
    };
    Profile {
        key: key(portion, site),
        evidence: Evidence::default(),
        knee: Rps(knee),
        knee_spread: Rps(1.0),
        cpu_a_request: 2.5,
        bytes_a_request: 0.0,
        memory: MiB(64.0),
        startup: Span::secs(2),
        curve: vec![point(10.0, 20.0), point(knee, 80.0)],
        details: Details::default(),
        runs: 1,
        samples: 200,
        at: Moment(at),
    }
}

fn verdict(site: &str, at: i64) -> Judged {
    Judged {
        key: key("web", site),
        at: Moment(at),
        ruling: Ruling::Fail,
        because: "twice as slow".into(),
        against: Against::Production,
        rate: Rps(10.0),
        baseline: 100,
        shadow: 100,
        times: 1,
        undecided: 0,
    }
}

fn learnt() -> Beliefs {
    let skill = Skill {
        scored: 40,
        covered: 30,
        ..Skill::default()
    };
    Beliefs {
        profiles: vec![
            profile("web", "edge-a", 90.0, 100),
            profile("web", "edge-b", 60.0, 200),
        ],
        verdicts: vec![verdict("edge-b", 200)],
        skill: BTreeMap::from([("web".into(), skill)]),
        caution: BTreeMap::from([("web".into(), 2.0)]),
        lessons: Vec::new(),
    }
}

fn left(beliefs: &Beliefs, most: usize) -> Heritage {
    pack::unpack(&packed(beliefs, most).unwrap()).unwrap()
}

#[test]
fn an_empty_store_has_all_that_others_learnt_and_keeps_it() {
    let mut state = State::default();
    let text = inherit(&mut state, &left(&learnt(), usize::MAX)).unwrap();
    assert!(
        text.starts_with("2 profiles, 1 verdict and 2 other lessons"),
        "{text}"
    );
    let mut believed = state.beliefs.clone();
    believed.profiles.sort_by_key(|p| p.at);
    assert_eq!(believed, learnt());
    assert_eq!(state.memos.len(), 5, "the store has them, too");
    assert_eq!(
        inherit(&mut state, &left(&learnt(), usize::MAX)),
        None,
        "once"
    );
}

#[test]
fn what_is_newer_here_stays() {
    let mut own = learnt();
    own.profiles[0] = profile("web", "edge-a", 120.0, 150);
    own.verdicts[0].at = Moment(201);
    own.skill.get_mut(&PortionId::from("web")).unwrap().scored = 41;
    own.caution.insert("web".into(), 3.0);
    let mut state = State {
        beliefs: own.clone(),
        ..State::default()
    };
    assert_eq!(inherit(&mut state, &left(&learnt(), usize::MAX)), None);
    assert_eq!(state.beliefs, own);
}

#[test]
fn the_oldest_go_first_where_they_are_too_many() {
    let mut beliefs = learnt();
    let more = (0..400).map(|k| {
        profile(
            &format!("portion-{k}"),
            "edge-a",
            50.0 + f64::from(k),
            i64::from(k),
        )
    });
    beliefs.profiles = more.collect();
    let whole = packed(&beliefs, usize::MAX).unwrap().len();
    let kept = left(&beliefs, whole / 2);
    assert!(packed(&beliefs, whole / 2).unwrap().len() <= whole / 2);
    let n = kept.profiles.len();
    assert!((50..400).contains(&n), "{n}");
    let newest = (400 - n as i64..400).rev();
    assert!(kept.profiles.iter().map(|p| p.at.0).eq(newest));
}

#[test]
fn the_mark_differs_once_something_is_learnt() {
    let beliefs = learnt();
    let mut more = beliefs.clone();
    more.profiles[0].at = Moment(300);
    assert_ne!(mark(&beliefs), mark(&more));
    let mut forecast = beliefs.clone();
    forecast
        .skill
        .get_mut(&PortionId::from("web"))
        .unwrap()
        .scored += 1;
    assert_eq!(
        mark(&beliefs),
        mark(&forecast),
        "each forecast is scored: that alone is no news"
    );
    let mut careful = beliefs.clone();
    careful.caution.insert("web".into(), 4.0);
    assert_ne!(mark(&beliefs), mark(&careful));
}
