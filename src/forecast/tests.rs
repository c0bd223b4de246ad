//! What must hold of any forecast, and how often bands hold on series whose truth is known.

use super::backtest::{LEVELS, Protocol, Scores, spread_origins};
use super::simulated::{Dice, daily};
use super::*;
use crate::model::{Beliefs, History, Moment, PortionId, Span, World};
use proptest::prelude::*;

const WANTED: [f64; 11] = crate::model::LEVELS;

fn samples(values: Vec<f64>) -> Samples {
    Samples {
        start: Moment(0),
        step: Span::secs(1),
        values,
    }
}

fn check(f: &Forecast, horizon: usize) {
    assert_eq!(f.points.len(), horizon);
    for p in &f.points {
        assert!(p.mean.is_finite() && p.mean >= 0.0, "{p:?}");
        assert_eq!(p.quantiles.len(), WANTED.len());
        assert!(
            p.quantiles.iter().all(|q| q.is_finite() && *q >= 0.0),
            "{p:?}"
        );
        assert!(p.quantiles.windows(2).all(|w| w[0] <= w[1]), "{p:?}");
    }
}

fn anything() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => 0.0..1000.0f64,
        2 => Just(0.0),
        1 => Just(f64::NAN),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::MAX), Just(-5.0), Just(1e-300)],
    ]
}

/// Small counts, and one burst a thousand times as high long ago: forecast on a bent scale, where widths are factors.
#[test]
fn a_width_widens_in_requests_a_second_and_not_by_orders_of_magnitude() {
    let mut dice = Dice::new(3);
    let mut values: Vec<f64> = (0..600).map(|_| 0.05 + 0.02 * dice.uniform()).collect();
    values[100] = 60.0;
    let s = samples(values);
    let at = |width: f64| forecast(&s, 6, None, &[0.5, 0.6, 0.9], None, width).points[5].clone();
    let (plain, wide) = (at(1.0), at(8.0));
    for k in 1..3 {
        let from_middle = |q: &[f64]| q[k] - q[0];
        let ratio = from_middle(&wide.quantiles) / from_middle(&plain.quantiles);
        assert!((ratio - 8.0).abs() < 1e-6, "{ratio}: {plain:?} {wide:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_series_gives_finite_ordered_quantiles_that_are_not_negative(
        values in prop::collection::vec(anything(), 0..150),
        horizon in 1usize..20,
        season in prop::option::of(0usize..80),
        width in prop_oneof![0.1..5.0f64, Just(f64::NAN)],
        more in prop::collection::vec(anything(), 0..5),
    ) {
        let given = season.map(|s| vec![s]);
        let s = samples(values);
        let f = forecast(&s, horizon, given.as_deref(), &WANTED, None, width);
        check(&f, horizon);
        let mut fit = f.fit.clone();
        more.iter().for_each(|v| fit.observe(*v));
        // Further than it learnt, too.
        check(&fit.forecast(2 * horizon, &WANTED, width), 2 * horizon);
        check(&forecast(&s, horizon, None, &WANTED, Some(&fit), width), horizon);
    }

    #[test]
    fn the_same_series_gives_the_same_forecast(values in prop::collection::vec(anything(), 0..120)) {
        let s = samples(values);
        let a = forecast(&s, 6, None, &WANTED, None, 1.0);
        let b = forecast(&s, 6, None, &WANTED, None, 1.0);
        prop_assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }
}

/// Scores over origins whose horizons do not overlap.
fn scored(values: Vec<f64>, window: usize, horizon: usize, season: usize) -> Scores {
    let n = values.len();
    let origins: Vec<usize> = (window..n - horizon).step_by(horizon).collect();
    let p = Protocol {
        origins: &origins,
        horizon,
        window,
        naive: season,
        seasons: None,
    };
    let s = backtest(&samples(values), &p);
    println!("{} origins: {s:?}", origins.len());
    s
}

#[test]
fn the_80_percent_band_holds_8_in_10_on_seasonal_series() {
    type Noise = fn(f64, &mut Dice) -> f64;
    let kinds: [(&str, Noise); 3] = [
        ("even noise", |f, d| f + 0.4 * d.normal()),
        ("noise that grows with demand", |f, d| {
            f * (1.0 + 0.12 * d.normal())
        }),
        ("skewed noise", |f, d| f + 0.3 * d.exponential(1.0)),
    ];
    for (name, noise) in kinds {
        let mut dice = Dice::new(31);
        let y: Vec<f64> = daily(24, 24 * 80, 0.0, 1)
            .into_iter()
            .map(|f| noise(f, &mut dice))
            .collect();
        let s = scored(y, 24 * 14, 12, 24);
        assert!((s.coverage_80 - 0.8).abs() < 0.08, "{name}: {s:?}");
        assert!(s.mase < 0.85, "{name}: {s:?}");
    }
}

#[test]
fn the_80_percent_band_holds_8_in_10_when_errors_linger() {
    let mut dice = Dice::new(32);
    let mut x = 0.0;
    let y: Vec<f64> = daily(24, 24 * 80, 0.0, 1)
        .into_iter()
        .map(|f| {
            x = 0.9 * x + 0.2 * dice.normal();
            f + x
        })
        .collect();
    let s = scored(y, 24 * 14, 12, 24);
    assert!((s.coverage_80 - 0.8).abs() < 0.08, "{s:?}");
}

#[test]
fn a_level_shift_is_followed_within_a_few_points() {
    let mut y = daily(24, 24 * 10, 0.05, 2);
    y.iter_mut().skip(24 * 10 - 12).for_each(|v| *v += 20.0);
    let f = forecast(&samples(y), 6, Some(&[24]), &WANTED, None, 1.0);
    assert!(
        f.points.iter().all(|p| p.quantiles[4] > 18.0),
        "{:?}",
        f.points[5]
    );
}

#[test]
fn a_constant_stays_and_zeros_stay_zero() {
    let f = forecast(&samples(vec![7.0; 300]), 5, None, &WANTED, None, 1.0);
    assert!(
        f.points
            .iter()
            .all(|p| (p.quantiles[4] - 7.0).abs() < 1e-6 && (p.mean - 7.0).abs() < 1e-6)
    );
    let f = forecast(&samples(vec![0.0; 300]), 5, None, &WANTED, None, 1.0);
    assert!(
        f.points
            .iter()
            .all(|p| p.quantiles.iter().all(|q| *q < 1e-6)),
        "{:?}",
        f.points[0]
    );
}

#[test]
fn rare_spikes_leave_the_median_low_and_the_top_high() {
    let mut dice = Dice::new(4);
    let y: Vec<f64> = (0..800)
        .map(|_| if dice.uniform() < 0.04 { 500.0 } else { 0.0 })
        .collect();
    let f = forecast(&samples(y), 4, None, &WANTED, None, 1.0);
    let q = &f.points[1].quantiles;
    assert!(q[4] < 30.0 && q[10] > 200.0, "{q:?}");
}

#[test]
fn a_short_series_is_wide_and_says_so() {
    let f = forecast(&samples(vec![10.0, 12.0, 9.0]), 4, None, &WANTED, None, 1.0);
    assert!(
        f.warnings.iter().any(|w| w.contains("only 3 readings")),
        "{:?}",
        f.warnings
    );
    let q = &f.points[3].quantiles;
    assert!(q[8] - q[0] > 5.0, "{q:?}");
    let none = forecast(&samples(vec![f64::NAN; 50]), 4, None, &WANTED, None, 1.0);
    assert!(
        none.warnings
            .iter()
            .any(|w| w.contains("no reading at all"))
    );
}

#[test]
fn a_given_season_is_honoured_and_one_that_cannot_be_learnt_is_named() {
    let y = daily(24, 240, 0.3, 6);
    let f = forecast(&samples(y.clone()), 4, Some(&[24, 48]), &WANTED, None, 1.0);
    assert_eq!(f.seasons, vec![24, 48]);
    let f = forecast(&samples(y), 4, Some(&[24, 300]), &WANTED, None, 1.0);
    assert_eq!(f.seasons, vec![24]);
    assert!(
        f.warnings.iter().any(|w| w.contains("300")),
        "{:?}",
        f.warnings
    );
}

#[test]
fn gaps_are_forecast_through() {
    let mut y = daily(24, 24 * 12, 0.05, 8);
    let truth = daily(24, 24 * 13, 0.0, 8);
    y[100..130].fill(f64::NAN);
    let n = y.len();
    y[n - 5..].fill(f64::NAN);
    let f = forecast(&samples(y), 6, None, &WANTED, None, 1.0);
    for (p, t) in f.points.iter().zip(&truth[24 * 12..]) {
        assert!(
            (p.quantiles[4] - t).abs() < 0.6,
            "{} against {t}",
            p.quantiles[4]
        );
    }
}

#[test]
fn one_more_point_without_a_refit_is_near_the_refit() {
    let y = daily(24, 24 * 12 + 6, 0.1, 9);
    let mut fit = Fit::new(&samples(y[..24 * 12].to_vec()), 6, None, None);
    y[24 * 12..].iter().for_each(|v| fit.observe(*v));
    let quick = fit.forecast(6, &WANTED, 1.0);
    let anew = forecast(&samples(y), 6, None, &WANTED, None, 1.0);
    for (a, b) in quick.points.iter().zip(&anew.points) {
        assert_eq!(a.at, b.at);
        assert!((a.quantiles[4] - b.quantiles[4]).abs() < 0.3, "{a:?} {b:?}");
    }
}

#[test]
fn a_fit_survives_being_stored() {
    let f = forecast(
        &samples(daily(24, 240, 0.3, 6)),
        4,
        None,
        &WANTED,
        None,
        1.0,
    );
    let text = serde_json::to_string(&f.fit).unwrap();
    let back: Fit = serde_json::from_str(&text).unwrap();
    let (a, b) = (
        f.fit.forecast(4, &WANTED, 1.0),
        back.forecast(4, &WANTED, 1.0),
    );
    assert!(
        a.points
            .iter()
            .zip(&b.points)
            .all(|(x, y)| (x.mean - y.mean).abs() < 1e-9)
    );
}

#[test]
fn a_wider_belief_gives_a_wider_band_about_the_same_median() {
    let s = samples(daily(24, 240, 0.3, 6));
    let (one, two) = (
        forecast(&s, 3, None, &WANTED, None, 1.0),
        forecast(&s, 3, None, &WANTED, None, 2.0),
    );
    let (a, b) = (&one.points[2].quantiles, &two.points[2].quantiles);
    assert!((a[4] - b[4]).abs() < 1e-9);
    assert!(((b[8] - b[0]) / (a[8] - a[0]) - 2.0).abs() < 1e-6);
}

#[test]
fn origins_are_spread_over_the_last_two_fifths() {
    assert_eq!(spread_origins(1000, 24, 3), vec![600, 788, 976]);
    assert!(spread_origins(10, 24, 3).is_empty());
    assert_eq!(LEVELS[4], 0.5);
}

fn policy() -> crate::model::Policy {
    use crate::model::*;
    Policy {
        workload: "shop".into(),
        portions: SharedList::default(),
        judging: Judging::default(),
        risk_tolerance: 0.5,
        budget: Budget {
            shadow: CoreHours(1.0),
            standby: CoreHours(1.0),
            max_shadows: 1,
            max_standbys: 1,
        },
        autonomous: false,
        sites: Vec::new(),
        links: Vec::new(),
        loads: Default::default(),
        ramp: Ramp {
            steps: Vec::new(),
            soak: Span::secs(1),
            settle: Span::secs(1),
            warm: Span::secs(1),
            min_samples: 1,
        },
        quiet: Vec::new(),
        freezes: Vec::new(),
        events: Vec::new(),
        maintenance: Vec::new(),
        deny: Vec::new(),
        step: Span::secs(1),
        season: Span::secs(144),
        horizon: Span::secs(30),
        peak_rps: Rps(100.0),
    }
}

#[test]
fn an_outlook_covers_the_horizon_and_moves_on_with_new_points() {
    let y = daily(144, 144 * 5 + 10, 0.2, 12);
    let web = PortionId::from("web");
    let series = |n: usize| samples(y[..n].to_vec());
    let mut history = History {
        watched_since: Moment(0),
        ..History::default()
    };
    history.demand.insert(web.clone(), series(720));
    let world = World::unknown(Moment(0), "not looked yet");
    let (policy, beliefs) = (policy(), Beliefs::default());
    let now = Moment(719_500);
    let (first, fits) = outlook(
        &history,
        &world,
        &policy,
        &beliefs,
        &Calls::new(),
        &Fits::default(),
        now,
    );
    let path = &first.demand[&web];
    assert_eq!(path.seasons, vec![144]);
    assert!(path.points[0].at > now && path.points.last().unwrap().at >= now + policy.horizon);
    assert!(first.hazards.is_empty(), "unknown nodes have no hazards");
    history.demand.insert(web.clone(), series(723));
    let (second, _) = outlook(
        &history,
        &world,
        &policy,
        &beliefs,
        &Calls::new(),
        &fits,
        Moment(722_500),
    );
    let (quick, _) = outlook(
        &history,
        &world,
        &policy,
        &beliefs,
        &Calls::new(),
        &Fits::default(),
        Moment(722_500),
    );
    let (a, b) = (
        &second.demand[&web].points[5],
        &quick.demand[&web].points[5],
    );
    assert_eq!(a.at, b.at);
    assert!((a.mean.0 - b.mean.0).abs() < 0.5, "{a:?} {b:?}");
}

#[test]
fn an_outlook_has_a_hazard_for_every_node_and_every_site() {
    use crate::model::*;
    let node = |name: &str, site: &str| Node {
        id: NodeId::new(format!("id-{name}")),
        name: name.into(),
        site: site.into(),
        class: "small".into(),
        status: NodeStatus::Ready,
        eligible: true,
        draining: false,
        capacity: Resources::default(),
        clock: Mhz(0.0),
        price: Price(0.0),
        host_volumes: Default::default(),
        meta: Default::default(),
    };
    let now = Moment(1_000_000);
    let mut world = World::unknown(now, "not looked yet");
    world.nodes = Seen::Known {
        value: vec![
            node("a-1", "a"),
            node("a-2", "a"),
            Node {
                draining: true,
                ..node("b-1", "b")
            },
        ]
        .into(),
        at: now,
    };
    let event = |at: i64, up| Availability {
        at: Moment(at),
        subject: "a-1".into(),
        kind: SubjectKind::Node,
        up,
    };
    let history = History {
        availability: vec![
            event(500_000, false),
            event(510_000, true),
            event(700_000, false),
            event(712_000, true),
        ],
        watched_since: Moment(0),
        ..History::default()
    };
    let (o, _) = outlook(
        &history,
        &world,
        &policy(),
        &Beliefs::default(),
        &Calls::new(),
        &Fits::default(),
        now,
    );
    let names: Vec<&str> = o.hazards.iter().map(|h| h.name.as_str()).collect();
    assert_eq!(names, ["a-1", "a-2", "b-1", "a", "b"]);
    assert!(o.hazards[0].within.0 > o.hazards[1].within.0);
    assert_eq!(o.hazards[2].within.0, 1.0, "a drain is certain");
    assert!(o.hazards[2].why.starts_with("being drained"));
}
