//! What is rolled up says the same as before, what is old goes, and older schemas come along.

use super::*;
use crate::model::*;
use proptest::prelude::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn web() -> PortionId {
    "web".into()
}

fn sample(at: i64, rate: f64) -> Memo {
    Memo::Sample {
        portion: web(),
        at: Moment(at),
        rate: Rps(rate),
    }
}

fn values(store: &Store, step: i64, since: i64) -> Vec<f64> {
    let series = store.demand(&web(), Span(step), Moment(since)).unwrap();
    series.map(|s| s.values).unwrap_or_default()
}

/// A reading a minute from 0, the rate being the hour of the day and a little of the minute.
fn days(store: &Store, days: std::ops::Range<i64>) {
    let minutes = days.start * 1440..days.end * 1440;
    let rate = |m: i64| (m / 60 % 24) as f64 + (m % 60) as f64 / 600.0;
    let memos: Vec<Memo> = minutes.map(|m| sample(m * MINUTE, rate(m))).collect();
    store.remember(&memos).unwrap();
}

#[test]
fn what_is_rolled_up_says_the_same_by_the_hour_and_recent_readings_stay_as_they_came() {
    let store = Store::in_memory().unwrap();
    days(&store, 0..100);
    let (hours, recent) = (values(&store, HOUR, 0), values(&store, MINUTE, 93 * DAY));
    let done = store.compact(Moment(100 * DAY)).unwrap();
    assert!(done.rolled > 90 * 1440, "{done:?}");
    let after = values(&store, HOUR, 0);
    assert_eq!(after.len(), hours.len());
    for (k, (a, b)) in after.iter().zip(&hours).enumerate() {
        assert!((a - b).abs() < 1e-9, "hour {k}: {a}, {b} before");
    }
    assert_eq!(values(&store, MINUTE, 93 * DAY), recent);
    assert_eq!(
        store.compact(Moment(100 * DAY)).unwrap(),
        Compacted::default()
    );
    let counts = |sql: &str| store.with(|c| c.query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap());
    assert_eq!(counts("SELECT count(*) FROM reading"), 8 * 1440);
    assert_eq!(
        counts("SELECT count(*) FROM rolled WHERE width = 300000"),
        54 * 288
    );
    assert_eq!(
        counts("SELECT count(*) FROM rolled WHERE width = 3600000"),
        38 * 24
    );
}

#[test]
fn an_average_over_more_than_a_step_counts_for_each_step_it_covers() {
    let store = Store::in_memory().unwrap();
    days(&store, 0..10);
    store.compact(Moment(10 * DAY)).unwrap();
    let minutes = values(&store, MINUTE, 0);
    assert_eq!(minutes.len(), 10 * 1440);
    assert!(
        minutes.iter().all(|v| v.is_finite()),
        "no gap where averages stand"
    );
    assert!(
        (minutes[7] - 7.0 / 600.0).abs() < 1e-9,
        "the mean of minutes 5 to 9: {}",
        minutes[7]
    );
}

#[test]
fn the_store_does_not_grow_past_its_retention() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("a.db")).unwrap();
    let mut sizes = Vec::new();
    for day in 0..30 {
        days(&store, day..day + 1);
        store.compact(Moment((day + 1) * DAY)).unwrap();
        sizes.push(store.size().unwrap());
    }
    let full = f64::from(u32::try_from(sizes[9]).unwrap());
    // A day of averages over five minutes is all that a day adds from then on.
    let grown = f64::from(u32::try_from(sizes[29]).unwrap()) - full;
    assert!(
        grown < 20.0 * 288.0 * 40.0,
        "{grown} bytes over 20 days; {sizes:?}"
    );
}

#[test]
fn what_is_past_its_time_goes_but_no_step_that_has_not_ended() {
    let store = Store::in_memory().unwrap();
    let lesson = |at: i64| {
        Memo::Lesson(Lesson {
            at: Moment(at),
            portion: None,
            text: "learned".into(),
        })
    };
    store
        .remember(&[lesson(0), lesson(95 * DAY), sample(0, 1.0)])
        .unwrap();
    for (step, state) in [
        ("done", JournalState::Intended),
        ("done", JournalState::Verified),
        ("open", JournalState::Intended),
    ] {
        store
            .journal(&super::journal::entry(step, state, 1))
            .unwrap();
    }
    let done = store.compact(Moment(100 * DAY)).unwrap();
    assert_eq!(
        done.dropped, 3,
        "a lesson and both entries of the step that ended"
    );
    let open = store.open_steps().unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].step.id, StepId::new("open"));
    store.compact(Moment(900 * DAY)).unwrap();
    assert_eq!(
        values(&store, HOUR, 0),
        Vec::<f64>::new(),
        "two years are enough"
    );
}

#[test]
fn a_store_of_the_first_schema_keeps_its_history() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(schema::MIGRATIONS[0]).unwrap();
    old.execute_batch(
        "INSERT INTO sample VALUES ('web', 0, 2.0), ('web', 60000, NULL), ('web', 120000, 4.0), ('cart', 0, 1.0);
         INSERT INTO lesson (at, text) VALUES (5, 'x'); PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);
    let store = Store::open(&path).unwrap();
    let history = store.history(Span(MINUTE), Moment(0)).unwrap();
    let web = &history.demand[&web()].values;
    assert_eq!((web[0], web[2], web[1].is_nan()), (2.0, 4.0, true));
    assert_eq!(history.demand[&PortionId::from("cart")].values, [1.0]);
    let mode = store.with(|c| {
        c.query_row("PRAGMA auto_vacuum", [], |r| r.get::<_, i64>(0))
            .unwrap()
    });
    assert_eq!(mode, 2, "old stores give back what they free, too");
}

proptest! {
    #[test]
    fn however_often_and_whenever_it_is_rolled_up_the_mean_stays(
        rates in prop::collection::vec(prop::option::of(0.0f64..100.0), 1..200),
        passes in prop::collection::vec(0i64..80, 0..6),
    ) {
        let store = Store::in_memory().unwrap();
        let memos: Vec<Memo> = rates.iter().enumerate()
            .map(|(k, r)| sample(k as i64 * 7 * MINUTE, r.unwrap_or(f64::NAN))).collect();
        store.remember(&memos).unwrap();
        for day in passes {
            store.compact(Moment(day * DAY)).unwrap();
        }
        let (sum, n) = store.with(|c| c.query_row(
            "SELECT total(s), total(n) FROM (SELECT rate s, 1 n FROM reading WHERE rate IS NOT NULL
             UNION ALL SELECT rate * n, n FROM rolled)", [], |r| Ok((r.get::<_, f64>(0)?, r.get::<_, f64>(1)?))).unwrap());
        let real: Vec<f64> = rates.into_iter().flatten().collect();
        prop_assert_eq!(n as usize, real.len());
        prop_assert!((sum - real.iter().sum::<f64>()).abs() < 1e-6);
    }
}

#[test]
fn a_clock_that_ran_ahead_for_a_moment_costs_neither_memory_nor_history() {
    let store = Store::in_memory().unwrap();
    days(&store, 0..1);
    let far = DAY + 20 * 365 * DAY;
    store.remember(&[sample(far, 7.0)]).unwrap();
    let series = values(&store, 1000, 0);
    assert!(series.len() <= 86_400, "{} points", series.len());
    let until = Moment(2 * DAY);
    let history = store.history_between(Span(MINUTE), Moment(0), until);
    let seen = history.unwrap().demand[&web()].values.len();
    assert_eq!(seen, 1440);
}
