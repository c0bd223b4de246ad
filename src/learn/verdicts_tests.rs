use super::*;

fn key() -> ProfileKey {
    ProfileKey {
        portion: "web".into(),
        release: "1".into(),
        site: "provider-a".into(),
        class: "small".into(),
    }
}

fn compare(twin: bool, production: Latencies) -> Compare {
    Compare {
        twin: twin.then(|| Twin {
            site: "edge-a".into(),
            url: "http://127.0.0.1:1/".into(),
            health: "http://127.0.0.1:1/health".into(),
        }),
        production,
        rate: Rps(20.0),
        requests: 200,
        longest: Span::secs(10),
        margin: Millis(4.0),
    }
}

/// Latencies that go up and down around `middle`.
fn around(middle: f64, n: usize) -> Vec<Answer> {
    let one = |i: usize| Answer {
        latency: Millis(middle + (i * 7 % 11) as f64 * 0.3 - 1.5),
        ok: true,
    };
    (0..n).map(one).collect()
}

fn histogram(buckets: &[(f64, u64)], failed: u64) -> Latencies {
    Latencies {
        buckets: buckets.iter().map(|(b, n)| (Millis(*b), *n)).collect(),
        failed,
    }
}

fn against_twin(shadow: f64, n: usize) -> Judged {
    let sides = Sides {
        shadow: around(shadow, n),
        twin: Some(around(8.0, n)),
    };
    verdict(
        &key(),
        Moment(1),
        &compare(true, Latencies::default()),
        &sides,
    )
}

#[test]
fn a_shadow_within_the_margin_of_its_twin_passes_and_one_beyond_it_fails() {
    let same = against_twin(8.0, 200);
    assert_eq!(same.ruling, Ruling::Pass, "{}", same.because);
    let slower = against_twin(10.0, 200);
    assert_eq!(slower.ruling, Ruling::Pass, "{}", slower.because);
    let slow = against_twin(16.0, 200);
    assert_eq!(slow.ruling, Ruling::Fail);
    assert!(
        slow.because
            .contains("median 16.0 ms against 8.0 ms and 4.0 ms allowed"),
        "{}",
        slow.because
    );
    assert!(
        slow.sentence()
            .starts_with("fail (against its twin at edge-a): ")
    );
    assert_eq!((slow.baseline, slow.shadow), (200, 200));
}

#[test]
fn a_run_with_too_few_requests_asks_for_more() {
    let few = against_twin(16.0, 12);
    assert_eq!((few.ruling, few.undecided), (Ruling::Inconclusive, 1));
    assert!(few.because.contains("at least 30"), "{}", few.because);
    assert!(few.pace() < 1.0, "it is looked at sooner");
    let again = in_force(Some(&few), against_twin(16.0, 12), false);
    assert_eq!(again.undecided, 2);
    let told = in_force(Some(&again), against_twin(16.0, 200), false);
    assert_eq!((told.ruling, told.undecided), (Ruling::Fail, 0));
}

#[test]
fn what_concludes_nothing_takes_no_verdict_back_and_failures_are_looked_at_ever_less_often() {
    let fail = against_twin(16.0, 200);
    let open = in_force(Some(&fail), against_twin(8.0, 12), false);
    assert_eq!((open.ruling, open.undecided), (Ruling::Fail, 1));
    assert!(open.pace() < fail.pace(), "more samples are wanted");
    let twice = in_force(Some(&fail), against_twin(16.0, 200), false);
    assert!(twice.pace() > fail.pace() && fail.pace() > 1.0);
    let well = in_force(Some(&twice), against_twin(8.0, 200), false);
    assert_eq!((well.ruling, well.pace()), (Ruling::Pass, 1.0));
}

#[test]
fn of_a_place_that_has_changed_the_newest_run_alone_speaks_but_that_it_hurt_production_stands() {
    let fail = against_twin(16.0, 200);
    let open = in_force(Some(&fail), against_twin(8.0, 12), true);
    assert_eq!((open.ruling, open.undecided), (Ruling::Inconclusive, 1));
    let again = in_force(Some(&fail), against_twin(16.0, 200), true);
    assert_eq!((again.ruling, again.times), (Ruling::Fail, 1));
    let hurt = Judged {
        against: Against::Interference,
        ..fail
    };
    let open = in_force(Some(&hurt), against_twin(8.0, 12), true);
    assert_eq!((open.ruling, open.undecided), (Ruling::Fail, 1));
}

#[test]
fn without_a_twin_production_of_late_is_the_baseline_in_its_own_buckets() {
    let production = histogram(&[(5.0, 20), (10.0, 160), (25.0, 20)], 0);
    let judged = |shadow: f64| {
        let sides = Sides {
            shadow: around(shadow, 200),
            twin: None,
        };
        verdict(
            &key(),
            Moment(1),
            &compare(false, production.clone()),
            &sides,
        )
    };
    let (same, slow) = (judged(8.0), judged(40.0));
    assert_eq!(same.ruling, Ruling::Pass, "{}", same.because);
    assert_eq!(slow.ruling, Ruling::Fail, "{}", slow.because);
    assert_eq!(slow.against, Against::Production);
    let narrow = histogram(&[(10.0, 400)], 0);
    let mut wider = around(8.0, 200);
    (0..8).for_each(|k| wider[k * 20].latency = Millis(11.0));
    let sides = Sides {
        shadow: wider,
        twin: None,
    };
    let one = verdict(&key(), Moment(1), &compare(false, narrow), &sides);
    assert_eq!(
        one.ruling,
        Ruling::Pass,
        "one bucket has no spread: {}",
        one.because
    );
    let nothing = compare(false, Latencies::default());
    let sides = Sides {
        shadow: around(8.0, 200),
        twin: None,
    };
    let open = verdict(&key(), Moment(1), &nothing, &sides);
    assert_eq!(open.ruling, Ruling::Inconclusive, "{}", open.because);
}

#[test]
fn a_twin_that_was_asked_for_and_never_answered_leaves_production_as_the_baseline() {
    let sides = Sides {
        shadow: around(8.0, 200),
        twin: None,
    };
    let production = histogram(&[(10.0, 100)], 0);
    let judged = verdict(&key(), Moment(1), &compare(true, production), &sides);
    assert_eq!(judged.against, Against::Production);
}

#[test]
fn production_that_gets_worse_is_found_and_production_that_does_not_is_let_alone() {
    let before = histogram(&[(5.0, 100), (10.0, 280), (25.0, 20)], 1);
    let worse = |now: &[(f64, u64)], failed| {
        interference(&before, &histogram(now, failed), Millis(4.0)).map(|w| w.0)
    };
    assert_eq!(
        worse(&[(5.0, 10), (10.0, 28), (25.0, 2)], 0),
        None,
        "as it was"
    );
    assert_eq!(worse(&[(10.0, 36), (25.0, 4)], 0), None, "hardly slower");
    let slow = worse(&[(10.0, 4), (100.0, 20), (250.0, 16)], 0).expect("all are slow");
    assert!(slow.contains("median 100.0 ms against 10.0 ms"), "{slow}");
    assert!(
        worse(&[(10.0, 32), (250.0, 8)], 0).is_some(),
        "a tail has grown"
    );
    let failed = worse(&[(10.0, 32)], 8).expect("errors");
    assert!(failed.starts_with("errors grew by"), "{failed}");
    assert_eq!(worse(&[(250.0, 6)], 0), None, "six requests say nothing");
}
