use super::*;
use crate::load::open_loop::Tally;
use crate::load::{Knee, Record, Reply};

/// What becomes of points of which each request ended with one of these faults.
fn measured(points: &[(f64, &[Fault])]) -> Result<Measurement, String> {
    let slo = Slo {
        quantile: 0.95,
        latency: Millis(250.0),
        success: 0.99,
    };
    let key = ProfileKey {
        portion: "web".into(),
        release: "1".into(),
        site: "edge-b".into(),
        class: "small".into(),
    };
    let report = SweepReport {
        points: points
            .iter()
            .map(|(rate, all)| failed(*rate, all))
            .collect(),
        knee: Knee {
            at: None,
            open: false,
            proven: (None, None),
            confidence: 0.0,
        },
        stopped: Some("6 s are over".into()),
    };
    let (used, details) = (Used::default(), Details::default());
    measurement(&key, &slo, &report, Span::secs(1), &used, details)
}

fn failed(rate: f64, faults: &[Fault]) -> SweepPoint {
    let mut tally = Tally::new(Duration::from_millis(250));
    for (fault, index) in faults.iter().zip(0..) {
        tally.add(&Record {
            index,
            intended: Duration::from_millis(index * 100),
            lag: Duration::ZERO,
            latency: Duration::from_secs(1),
            reply: Reply {
                instance: None,
                result: Err(*fault),
                bytes: 0,
                said: None,
            },
        });
    }
    SweepPoint {
        rps: Rps(rate),
        report: tally.report(0),
        good: false,
        proven: true,
        cut_short: false,
        answers: Vec::new(),
    }
}

#[test]
fn a_shadow_that_answers_nothing_gives_no_measurement() {
    assert!(measured(&[]).is_err());
    let gone: [&[Fault]; 3] = [
        &[Fault::Connect; 9],
        &[Fault::Timeout, Fault::Timeout, Fault::Connect],
        &[Fault::Status(404); 9],
    ];
    for faults in gone {
        assert!(measured(&[(15.0, faults)]).is_err(), "{faults:?}");
    }
}

#[test]
fn a_shadow_that_is_waited_for_in_vain_carries_less_than_the_least_that_was_tried() {
    let m = measured(&[(7.5, &[Fault::Timeout; 9]), (15.0, &[Fault::Timeout; 19])]).unwrap();
    assert_eq!((m.knee, m.knee_open), (Rps(3.75), false));
    let m = measured(&[(15.0, &[Fault::Timeout, Fault::Overload])]).unwrap();
    assert_eq!(m.knee, Rps(7.5));
}

#[test]
fn of_a_sweep_the_answers_at_the_comparisons_load_are_judged() {
    let point = |rate: f64| SweepPoint {
        rps: Rps(rate),
        report: Tally::new(Duration::from_millis(100)).report(0),
        good: true,
        proven: true,
        cut_short: false,
        answers: vec![Answer {
            latency: Millis(rate),
            ok: true,
        }],
    };
    let report = SweepReport {
        points: vec![point(10.0), point(20.0)],
        knee: Knee {
            at: None,
            open: true,
            proven: (None, None),
            confidence: 0.0,
        },
        stopped: None,
    };
    let at = |rate: f64| swept(&report, Rps(rate)).first().map(|a| a.latency);
    assert_eq!(
        (at(20.0), at(20.4)),
        (Some(Millis(20.0)), Some(Millis(20.0)))
    );
    assert_eq!(at(15.0), None, "another load says nothing of this one");
}

#[test]
fn cpu_a_request_is_the_median_over_the_loads() {
    let used = Used {
        cpu: vec![9.0, 1.0, 4.0],
        ..Used::default()
    };
    assert_eq!(used.cpu_a_request(), 4.0);
    assert_eq!(Used::default().cpu_a_request(), 0.0);
}

#[test]
fn an_url_is_split_into_address_and_path() {
    let (address, path) = split("http://127.0.0.1:8080/work?x=1").unwrap();
    assert_eq!((address.port(), path), (8080, "/work?x=1"));
    assert!(split("https://127.0.0.1:8080/").is_err());
    assert!(split("http://example/").is_err());
}
