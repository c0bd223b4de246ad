use super::super::demand::Fit;
use super::super::simulated::{Dice, daily};
use super::*;
use crate::model::{Components, DemandPoint, LEVELS, Moment, Span};

const STEP: Span = Span::secs(60);

fn samples(values: Vec<f64>) -> Samples {
    Samples {
        start: Moment(0),
        step: STEP,
        values,
    }
}

/// A path whose points are normal about these means.
fn path(means: &[f64], deviation: f64) -> DemandPath {
    let points = means.iter().enumerate().map(|(k, m)| DemandPoint {
        at: Moment(k as i64 * STEP.0),
        mean: Rps(*m),
        quantiles: LEVELS.map(|l| Rps((m + super::super::bands::normal(l) * deviation).max(0.0))),
    });
    DemandPath {
        step: STEP,
        points: points.collect(),
        components: Components::default(),
        ..DemandPath::default()
    }
}

fn means(path: &DemandPath) -> Vec<f64> {
    path.points.iter().map(|p| p.mean.0).collect()
}

#[test]
fn portions_add_up_to_the_total_and_the_surest_moves_least() {
    let mut demand = BTreeMap::from([
        ("a".into(), path(&[10.0], 1.0)),
        ("b".into(), path(&[20.0], 3.0)),
    ]);
    let mut total = path(&[40.0], 1.0);
    reconcile(
        &mut demand,
        Some(&mut total),
        &BTreeMap::new(),
        &BTreeMap::new(),
    );
    let (a, b) = (
        means(&demand[&"a".into()])[0],
        means(&demand[&"b".into()])[0],
    );
    // Ten too few, shared by variance among 1, 9 and the total's 1.
    assert!((a - (10.0 + 10.0 / 11.0)).abs() < 0.01, "{a}");
    assert!((b - (20.0 + 90.0 / 11.0)).abs() < 0.01, "{b}");
    assert!((means(&total)[0] - (a + b)).abs() < 1e-9);
    assert!((demand[&"a".into()].components.reconciled - (a - 10.0)).abs() < 1e-9);
}

#[test]
fn quantiles_move_with_the_mean_never_cross_and_are_never_negative() {
    let mut demand = BTreeMap::from([
        ("a".into(), path(&[2.0], 3.0)),
        ("b".into(), path(&[2.0], 3.0)),
    ]);
    let mut total = path(&[0.5], 0.1);
    reconcile(
        &mut demand,
        Some(&mut total),
        &BTreeMap::new(),
        &BTreeMap::new(),
    );
    for p in demand.values().chain([&total]) {
        let q = &p.points[0].quantiles;
        assert!(q.windows(2).all(|w| w[0] <= w[1]) && q[0].0 >= 0.0, "{q:?}");
    }
}

#[test]
fn a_portion_hears_of_the_one_that_calls_it_and_a_circle_is_cut() {
    let web = daily(96, 600, 0.2, 3);
    let cart: Vec<f64> = web.iter().map(|v| 0.5 * v).collect();
    let series = BTreeMap::from([
        (PortionId::from("web"), samples(web)),
        (PortionId::from("cart"), samples(cart)),
    ]);
    let calls = BTreeMap::from([
        (PortionId::from("web"), vec!["cart".into()]),
        (PortionId::from("cart"), vec!["web".into()]),
    ]);
    let mut demand = BTreeMap::from([
        ("web".into(), path(&[8.0], 0.1)),
        ("cart".into(), path(&[2.0], 2.0)),
    ]);
    let called = reconcile(&mut demand, None, &series, &calls);
    assert_eq!(called.len(), 1, "{called:?}");
    let (web, cart) = (
        means(&demand[&"web".into()])[0],
        means(&demand[&"cart".into()])[0],
    );
    assert!((cart / web - 0.5).abs() < 0.01, "{cart} of {web}");
    assert!((web - 8.0).abs() < 0.2, "the sure one stays: {web}");
}

#[test]
fn what_a_caller_does_not_explain_is_left_alone() {
    let mut dice = Dice::new(5);
    let noise: Vec<f64> = (0..400).map(|_| 5.0 + dice.normal()).collect();
    let other: Vec<f64> = (0..400).map(|_| 5.0 + dice.normal()).collect();
    assert_eq!(tie(&samples(noise), &samples(other)), None);
    let few = samples(daily(24, 30, 0.1, 1));
    assert_eq!(tie(&few, &few), None, "too few readings");
}

/// Mean absolute errors of two portions' forecasts at rolling origins, by themselves and reconciled.
fn errors(seed: u64) -> (f64, f64) {
    let (period, n, horizon) = (96, 96 * 8, 12);
    let mut dice = Dice::new(seed);
    // What both share: a day that comes early or late and high or low.
    let mut drift = 0.0;
    let truth: Vec<f64> = daily(period, n, 0.0, seed)
        .into_iter()
        .map(|v| {
            drift = 0.95 * drift + 0.15 * dice.normal();
            10.0 * (v + drift).max(0.2)
        })
        .collect();
    let noisy = |dice: &mut Dice, ratio: f64, noise: f64| -> Vec<f64> {
        let readings = truth
            .iter()
            .map(|v| (ratio * v + noise * dice.normal()).max(0.0));
        readings.collect()
    };
    let web = noisy(&mut dice, 1.0, 1.5);
    let cart = noisy(&mut dice, 0.5, 2.5);
    let (mut alone, mut fitted) = (0.0, 0.0);
    for origin in (period * 5..n - horizon).step_by(24) {
        let of = |v: &[f64]| samples(v[..origin].to_vec());
        let series = BTreeMap::from([
            (PortionId::from("web"), of(&web)),
            (PortionId::from("cart"), of(&cart)),
        ]);
        let foretold = |s: &Samples| {
            let f = Fit::new(s, horizon, Some(&[period]), None).forecast(horizon, &LEVELS, 1.0);
            let points = f.points.iter().map(|p| DemandPoint {
                at: p.at,
                mean: Rps(p.mean),
                quantiles: std::array::from_fn(|k| Rps(p.quantiles[k])),
            });
            DemandPath {
                points: points.collect(),
                step: STEP,
                ..DemandPath::default()
            }
        };
        let mut demand: BTreeMap<PortionId, DemandPath> = series
            .iter()
            .map(|(id, s)| (id.clone(), foretold(s)))
            .collect();
        let off = |demand: &BTreeMap<PortionId, DemandPath>| -> f64 {
            let one = |id: &str, ratio: f64| -> f64 {
                let path = means(&demand[&PortionId::from(id)]);
                let actual = truth[origin..].iter().map(|v| ratio * v);
                path.iter()
                    .zip(actual)
                    .map(|(f, a)| (f - a).abs() / ratio)
                    .sum()
            };
            one("web", 1.0) + one("cart", 0.5)
        };
        alone += off(&demand);
        let sum = total(&series.values().collect::<Vec<_>>()).expect("a sum");
        let mut sum = foretold(&sum);
        let calls = BTreeMap::from([(PortionId::from("web"), vec![PortionId::from("cart")])]);
        reconcile(&mut demand, Some(&mut sum), &series, &calls);
        fitted += off(&demand);
    }
    (alone, fitted)
}

#[test]
fn forecasts_that_fit_together_are_better_than_each_by_itself() {
    let runs: Vec<(f64, f64)> = (1..=4).map(errors).collect();
    let (alone, fitted) = runs.iter().fold((0.0, 0.0), |s, r| (s.0 + r.0, s.1 + r.1));
    println!(
        "error reconciled over alone: {:.3} ({runs:?})",
        fitted / alone
    );
    assert!(fitted < alone, "{runs:?}");
    assert!(runs.iter().all(|r| r.1 < 1.05 * r.0), "{runs:?}");
}

#[test]
fn sums_are_taken_over_the_times_that_all_have() {
    let a = samples(vec![1.0, 2.0, 3.0, 4.0]);
    let b = Samples {
        start: Moment(STEP.0),
        ..samples(vec![10.0, 20.0])
    };
    let sum = total(&[&a, &b]).expect("they overlap");
    assert!(sum.values[0].is_nan() && sum.values[3].is_nan());
    assert_eq!(sum.values[1..3], [12.0, 23.0]);
    assert_eq!(total(&[&a]), None, "one alone is no total");
}
