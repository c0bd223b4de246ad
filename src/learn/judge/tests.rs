//! Reference values from SciPy 1.x, and the traps that judges fall into.

use super::counts::{Share, more};
use super::ranks::mann_whitney;
use super::spread::brown_forsythe;
use super::*;
use crate::model::{Answer, Millis};

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs().max(1.0)
}

const TIED: ([f64; 12], [f64; 11]) = (
    [
        20.1, 22.3, 18.2, 14.7, 17.1, 20.5, 20.5, 32.1, 16.9, 16.2, 23.8, 22.8,
    ],
    [
        25.9, 15.4, 24.2, 18.2, 18.2, 19.5, 9.5, 12.9, 9.8, 21.8, 13.0,
    ],
);
const WIDER: ([f64; 7], [f64; 8]) = (
    [10.0, 12.0, 11.0, 13.0, 12.0, 11.0, 10.0],
    [20.0, 5.0, 33.0, 1.0, 47.0, 12.0, 9.0, 26.0],
);

#[test]
fn mann_whitney_agrees_with_scipy_ties_included() {
    let found = mann_whitney(&sorted(&TIED.0), &sorted(&TIED.1));
    assert_eq!(found.statistic, 45.0);
    assert!(near(found.p, 0.9073930281156862), "{}", found.p);
    assert!(near(found.effect, 45.0 / 132.0));
    let found = mann_whitney(&sorted(&WIDER.0), &sorted(&WIDER.1));
    assert_eq!(found.statistic, 33.0);
    assert!(near(found.p, 0.30028316089947893), "{}", found.p);
}

#[test]
fn brown_forsythe_agrees_with_scipy() {
    let found = brown_forsythe(&sorted(&TIED.0), &sorted(&TIED.1));
    assert!(
        near(found.statistic, 0.8491417804448771),
        "{}",
        found.statistic
    );
    assert!(near(found.p, 0.18363058126547804), "{}", found.p);
    let found = brown_forsythe(&sorted(&WIDER.0), &sorted(&WIDER.1));
    assert!(
        near(found.statistic, 11.606470304200869),
        "{}",
        found.statistic
    );
    assert!(near(found.p, 0.002340263085109503), "{}", found.p);
}

#[test]
fn counts_agree_with_scipy_exact_when_few_and_chi_square_when_many() {
    let share = |bad, n| Share { bad, n };
    let found = more(share(0, 1000), share(3, 1000));
    assert!(near(found.p, 0.12481240620310154), "{}", found.p);
    let found = more(share(1, 60), share(8, 50));
    assert!(near(found.p, 0.0074769938852461085), "{}", found.p);
    assert!(near(found.statistic, 11.238095238095237));
    let found = more(share(40, 1000), share(60, 1000));
    assert!(near(found.statistic, 3.8), "{}", found.statistic);
    assert!(near(found.p, 0.05125258285736969 / 2.0), "{}", found.p);
    let found = more(share(55, 2000), share(30, 2000));
    assert!(
        near(found.p, 1.0 - 0.008506570076780084 / 2.0),
        "{}",
        found.p
    );
}

fn answers(latency: impl IntoIterator<Item = f64>) -> Vec<Answer> {
    let answer = |ms| Answer {
        latency: Millis(ms),
        ok: true,
    };
    latency.into_iter().map(answer).collect()
}

/// Latencies that wander between 10 and 30 ms without a trend, the same each time.
fn steady(n: usize, stretch: f64) -> Vec<Answer> {
    let wave = |i: usize| 20.0 + 10.0 * stretch * ((i * 7919 % 1009) as f64 / 504.5 - 1.0);
    answers((0..n).map(wave))
}

fn verdict(baseline: &[Answer], shadow: &[Answer]) -> Judgement {
    judge(baseline, shadow, &Limits::default())
}

#[test]
fn identical_data_passes() {
    let same = steady(400, 1.0);
    let found = verdict(&same, &same);
    assert_eq!(found.verdict, Outcome::Pass, "{}", found.because);
}

#[test]
fn grown_variance_does_not_pass() {
    for n in [400, 5000] {
        let found = verdict(&steady(n, 0.3), &steady(n, 1.6));
        assert_ne!(found.verdict, Outcome::Pass, "{}", found.because);
    }
}

#[test]
fn sparse_data_is_inconclusive() {
    for n in [0, 1, 29, 40] {
        let found = verdict(&steady(n, 1.0), &steady(n, 1.0));
        assert_eq!(
            found.verdict,
            Outcome::Inconclusive,
            "{n}: {}",
            found.because
        );
    }
}

#[test]
fn the_99th_percentile_is_asked_only_of_a_thousand_requests() {
    let named = |n| verdict(&steady(n, 1.0), &steady(n, 1.0)).tests;
    assert!(named(999).iter().all(|t| t.name != "p99"));
    assert!(named(1000).iter().any(|t| t.name == "p99"));
}

#[test]
fn a_longer_tail_fails_though_the_median_stays() {
    let baseline = steady(3000, 1.0);
    let mut shadow = baseline.clone();
    for answer in shadow.iter_mut().step_by(40) {
        answer.latency.0 += 400.0;
    }
    let found = verdict(&baseline, &shadow);
    assert_eq!(found.verdict, Outcome::Fail, "{}", found.because);
    assert!(
        found.because.contains("99th percentile"),
        "{}",
        found.because
    );
}

#[test]
fn more_errors_fail_whatever_the_latency() {
    let baseline = steady(2000, 1.0);
    let mut shadow = baseline.clone();
    shadow.iter_mut().step_by(50).for_each(|a| a.ok = false);
    let found = verdict(&baseline, &shadow);
    assert_eq!(found.verdict, Outcome::Fail);
    assert!(
        found.because.contains("errors grew by 2.00"),
        "{}",
        found.because
    );
}

#[test]
fn constant_series_are_compared_and_what_is_no_number_is_left_out() {
    let five = answers(vec![5.0; 200]);
    assert_eq!(verdict(&five, &five).verdict, Outcome::Pass);
    let six = answers(vec![6.0; 200]);
    assert_eq!(verdict(&five, &six).verdict, Outcome::Fail);
    assert_eq!(verdict(&six, &five).verdict, Outcome::Pass);
    let mut holed = five.clone();
    holed
        .iter_mut()
        .step_by(3)
        .for_each(|a| a.latency = Millis(f64::NAN));
    let found = verdict(&five, &holed);
    assert_eq!((found.verdict, found.requests), (Outcome::Pass, (200, 133)));
    let nothing = answers(vec![f64::NAN; 200]);
    assert_eq!(verdict(&five, &nothing).verdict, Outcome::Inconclusive);
}

#[test]
fn a_slow_start_is_dropped_as_warm_up_and_a_late_slowdown_is_not() {
    let baseline = steady(1000, 1.0);
    let mut cold = baseline.clone();
    cold[..150].iter_mut().for_each(|a| a.latency.0 += 200.0);
    let found = verdict(&baseline, &cold);
    assert_eq!(found.verdict, Outcome::Pass, "{}", found.because);
    assert!(
        (140..=160).contains(&found.warm_up.1),
        "{:?}",
        found.warm_up
    );
    let mut tired = baseline.clone();
    tired[850..].iter_mut().for_each(|a| a.latency.0 += 200.0);
    let found = verdict(&baseline, &tired);
    assert_eq!((found.verdict, found.warm_up.1), (Outcome::Fail, 0));
}

#[test]
fn false_alarms_and_misses_stay_within_their_limits_in_simulation() {
    let rates = calibrate::calibrate(60, 5000, 1.10, 3);
    assert!(rates.aa_fail_pct <= 2.0, "{rates:?}");
    assert!(rates.found_pct >= 95.0, "{rates:?}");
    assert_eq!(
        rates,
        calibrate::calibrate(60, 5000, 1.10, 3),
        "the same seed, the same answer"
    );
}
