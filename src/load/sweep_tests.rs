//! In tokio's paused time, against servers whose capacity is known.

use super::*;
use crate::load::http::Fault;
use crate::load::schedule::Pacing;
use crate::model::Millis;
use std::sync::{Arc, Mutex};
use tokio::time::{Instant, sleep_until};

fn spec(start: f64, highest: f64) -> SweepSpec {
    SweepSpec {
        aim: Aim {
            slo: Slo {
                quantile: 0.95,
                latency: Millis(200.0),
                success: 0.99,
            },
            confidence: 0.9,
            resolution: 0.15,
            start: Rps(start),
            highest: Rps(highest),
            min_requests: 30,
        },
        each: Duration::from_secs(30),
        warm_up: Duration::from_secs(2),
        lasts: Duration::from_secs(3_600),
        seed: 3,
        arrivals: Arc::new(|rate, lasts, seed| {
            Schedule::constant(rate, lasts, Pacing::Poisson { seed })
        }),
        fine: false,
    }
}

/// Nobody reads what the target used.
fn unwatched(_: &SweepPoint) -> std::future::Ready<()> {
    std::future::ready(())
}

/// A server with one worker that takes `service` for each request: its capacity is 1/service.
fn one_worker(
    service: Duration,
) -> impl Fn(u64) -> std::pin::Pin<Box<dyn Future<Output = Reply> + Send>> {
    let free_at = Arc::new(Mutex::new(Instant::now()));
    move |_| {
        let free_at = free_at.clone();
        Box::pin(async move {
            let done = {
                let mut free_at = free_at.lock().unwrap();
                *free_at = (*free_at).max(Instant::now()) + service;
                *free_at
            };
            sleep_until(done).await;
            Reply::of(Ok(200))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn the_knee_of_one_worker_lies_below_its_capacity_and_above_half_of_it() {
    let spec = spec(10.0, 1_000.0);
    let tried = spec.clone();
    // Spawned, as the engine does it: the future must be `Send`.
    let report = tokio::spawn(async move {
        let server = one_worker(Duration::from_millis(20));
        sweep(&tried, server, unwatched, std::future::pending()).await
    });
    let report = report.await.unwrap();
    let knee = report.knee.at.unwrap().0;
    assert!((30.0..50.0).contains(&knee), "knee {knee}");
    assert!(!report.knee.open);
    let (low, high) = report.knee.proven;
    assert!(low.is_some_and(|l| l.0 <= 45.0) && high.is_some_and(|h| h.0 > 30.0));
    assert!(
        report.points.iter().all(|p| p.rps.0 <= 80.0),
        "nothing is tried far beyond the first bad load"
    );
    assert!(report.points.is_sorted_by_key(|p| p.rps.0 as u64));
    assert_eq!(report.stopped, None);
    for point in &report.points {
        let ended = point.report.ok + point.report.failed;
        assert_eq!(point.answers.len() as u64, ended, "each answer is kept");
    }
    let point = report.points[0].load_point(&spec.aim.slo);
    assert!(point.good && point.requests > 60);
    assert!(
        point.requests < 250,
        "what is decided ends: {}",
        point.requests
    );
}

#[tokio::test(start_paused = true)]
async fn a_point_says_throughput_errors_and_a_histogram_of_its_latencies() {
    let each_tenth_fails = |n: u64| async move {
        tokio::time::sleep(Duration::from_millis(10 + n % 5)).await;
        Reply::of(if n.is_multiple_of(10) {
            Err(Fault::Status(503))
        } else {
            Ok(200)
        })
    };
    let report = sweep(
        &spec(50.0, 50.0),
        each_tenth_fails,
        unwatched,
        std::future::pending(),
    )
    .await;
    let point = report.points.last().unwrap();
    let detail = point.detail();
    let ended = point.report.ok + point.report.failed;
    assert_eq!(
        detail.errors,
        [("status_503".to_string(), point.report.failed)]
    );
    let counted: u64 = detail.histogram.iter().map(|b| b.1).sum();
    assert_eq!(counted, ended - point.report.failed);
    assert!(detail.histogram.is_sorted_by(|a, b| a.0.0 < b.0.0));
    assert!((30.0..60.0).contains(&detail.throughput.0), "{detail:?}");
    assert!(!point.good && point.proven);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_keeps_the_slo_at_every_load_has_an_open_knee() {
    let server = one_worker(Duration::from_millis(1));
    let report = sweep(&spec(10.0, 20.0), server, unwatched, std::future::pending()).await;
    assert_eq!(report.knee.at, Some(Rps(20.0)));
    assert!(report.knee.open);
    assert_eq!(report.points.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_from_the_start_is_cut_short_at_each_rate_and_has_no_knee() {
    let broken = |_| async { Reply::of(Err(Fault::Connect)) };
    let report = sweep(&spec(50.0, 60.0), broken, unwatched, std::future::pending()).await;
    assert_eq!((report.knee.at, report.knee.open), (None, false));
    assert!(
        report
            .points
            .iter()
            .all(|p| p.cut_short && p.report.failed <= 41)
    );
}

#[tokio::test(start_paused = true)]
async fn when_stop_fires_the_sweep_ends_at_once_and_the_running_point_does_not_count() {
    let started = Instant::now();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        "production is late".to_string()
    };
    let server = one_worker(Duration::from_millis(1));
    // The second rate takes longer than the first: it is the one that is stopped.
    let report = sweep(&spec(10.0, 11.0), server, unwatched, stop).await;
    assert_eq!(report.stopped.as_deref(), Some("production is late"));
    assert_eq!(report.knee.at, Some(Rps(10.0)));
    assert_eq!(report.points.len(), 2);
    assert!(report.points[1].cut_short && !report.points[1].good);
    assert_eq!(started.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn when_time_is_over_no_further_rate_is_begun() {
    let mut short = spec(10.0, 1_000.0);
    short.lasts = Duration::from_secs(15);
    let server = one_worker(Duration::from_millis(1));
    let report = sweep(&short, server, unwatched, std::future::pending()).await;
    assert_eq!(report.stopped.as_deref(), Some("15 s are over"));
    assert!(report.knee.at.is_some() && report.knee.open);
}

#[tokio::test(start_paused = true)]
async fn too_few_requests_prove_nothing() {
    let mut few = spec(1.0, 1.0);
    few.aim.min_requests = 1_000;
    let server = one_worker(Duration::from_millis(1));
    let report = sweep(&few, server, unwatched, std::future::pending()).await;
    assert_eq!(report.knee.at, None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_rate_is_given_the_time_that_enough_requests_take() {
    let mut slow = spec(2.0, 2.0);
    slow.each = Duration::from_secs(2);
    slow.aim.min_requests = 6;
    let server = one_worker(Duration::from_millis(1));
    let report = sweep(&slow, server, unwatched, std::future::pending()).await;
    assert_eq!(report.knee.at, Some(Rps(2.0)));
    assert!(report.points[0].report.sent >= 6);
}

#[tokio::test(start_paused = true)]
async fn a_slow_warm_up_is_not_counted() {
    let started = Instant::now();
    let cold = move |_| async move {
        if started.elapsed() < Duration::from_millis(1500) {
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        Reply::of(Ok(200))
    };
    let report = sweep(&spec(20.0, 20.0), cold, unwatched, std::future::pending()).await;
    assert_eq!(report.points[0].report.late, 0);
    assert_eq!(report.knee.at, Some(Rps(20.0)));
}
