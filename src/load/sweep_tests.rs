//! In tokio's paused time, against servers whose capacity is known.

use super::*;
use crate::load::http::Fault;
use crate::model::Millis;
use std::sync::{Arc, Mutex};
use tokio::time::{Instant, sleep_until};

fn spec(loads: &[f64], refine: u32) -> SweepSpec {
    SweepSpec {
        loads: loads.iter().map(|l| Rps(*l)).collect(),
        each: Duration::from_secs(30),
        warm_up: Duration::from_secs(2),
        refine,
        min_requests: 50,
        slo: Slo {
            quantile: 0.95,
            latency: Millis(200.0),
            success: 0.99,
        },
        seed: 3,
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
    let spec = spec(&[10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0], 3);
    let tried = spec.clone();
    // Spawned, as the engine does it: the future must be `Send`.
    let report = tokio::spawn(async move {
        let server = one_worker(Duration::from_millis(20));
        sweep(&tried, server, unwatched, std::future::pending()).await
    });
    let report = report.await.unwrap();
    let knee = report.knee.unwrap().0;
    assert!((30.0..50.0).contains(&knee), "knee {knee}");
    assert!(!report.knee_open);
    assert!(
        report.points.iter().all(|p| p.rps.0 <= 60.0),
        "nothing is tried far beyond the first bad load"
    );
    assert!(report.points.is_sorted_by_key(|p| p.rps.0 as u64));
    assert_eq!(report.stopped, None);
    let point = report.points[0].load_point(&spec.slo);
    assert!(point.good && point.requests > 200);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_keeps_the_slo_at_every_load_has_an_open_knee() {
    let report = sweep(
        &spec(&[10.0, 20.0], 4),
        one_worker(Duration::from_millis(1)),
        unwatched,
        std::future::pending(),
    )
    .await;
    assert_eq!(report.knee, Some(Rps(20.0)));
    assert!(report.knee_open);
    assert_eq!(report.points.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_from_the_start_is_cut_short_and_has_no_knee() {
    let broken = |_| async { Reply::of(Err(Fault::Connect)) };
    let report = sweep(
        &spec(&[50.0, 60.0], 3),
        broken,
        unwatched,
        std::future::pending(),
    )
    .await;
    assert_eq!((report.knee, report.knee_open), (None, false));
    assert_eq!(report.points.len(), 1);
    assert!(report.points[0].cut_short);
    assert!(
        report.points[0].report.failed <= 41,
        "{}",
        report.points[0].report.failed
    );
}

#[tokio::test(start_paused = true)]
async fn when_stop_fires_the_sweep_ends_at_once_and_the_running_point_does_not_count() {
    let started = Instant::now();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(40)).await;
        "production is late".to_string()
    };
    let report = sweep(
        &spec(&[10.0, 20.0, 30.0], 0),
        one_worker(Duration::from_millis(1)),
        unwatched,
        stop,
    )
    .await;
    assert_eq!(report.stopped.as_deref(), Some("production is late"));
    assert_eq!(report.knee, Some(Rps(10.0)));
    assert_eq!(report.points.len(), 2);
    assert!(report.points[1].cut_short && !report.points[1].good);
    assert_eq!(started.elapsed().as_secs(), 40);
}

#[tokio::test(start_paused = true)]
async fn too_few_requests_prove_nothing() {
    let mut few = spec(&[1.0], 0);
    few.min_requests = 1000;
    let report = sweep(
        &few,
        one_worker(Duration::from_millis(1)),
        unwatched,
        std::future::pending(),
    )
    .await;
    assert_eq!(report.knee, None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_warm_up_is_not_counted() {
    let started = Instant::now();
    let cold = move |_| async move {
        if started.elapsed() < Duration::from_millis(1500) {
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
        Reply::of(Ok(200))
    };
    let report = sweep(&spec(&[20.0], 0), cold, unwatched, std::future::pending()).await;
    assert_eq!(report.points[0].report.late, 0);
    assert_eq!(report.knee, Some(Rps(20.0)));
}
