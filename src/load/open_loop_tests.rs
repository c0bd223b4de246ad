//! All in tokio's paused time: the schedule, the stalls and the quantiles are exact.

use super::*;
use crate::load::schedule::Pacing;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::sleep_until;

fn good() -> Reply {
    Reply::of(Ok(200))
}

fn even(rate: f64, secs: u64) -> Schedule {
    Schedule::constant(Rps(rate), Duration::from_secs(secs), Pacing::Even)
}

const LIMIT: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn against_a_null_server_every_request_leaves_at_its_intended_time() {
    let start = Instant::now();
    let mut seen = Vec::new();
    let driven = drive(
        even(50.0, 4),
        64,
        &CancellationToken::new(),
        move |_| {
            let left = start.elapsed();
            async move {
                assert!(left <= Duration::from_secs(4));
                good()
            }
        },
        |record| {
            seen.push((record.index, record.latency));
            ControlFlow::Continue(())
        },
    )
    .await;
    assert_eq!(
        (driven.intended, driven.sent, driven.aborted),
        (200, 200, 0)
    );
    let indices: Vec<u64> = seen.iter().map(|(i, _)| *i).collect();
    assert_eq!(indices, (0..200).collect::<Vec<_>>());
    // tokio's timer wheel has a grain of 1 ms; virtual time adds nothing else.
    assert!(seen.iter().all(|(_, l)| *l <= Duration::from_millis(1)));
}

#[tokio::test]
async fn a_run_on_the_kernels_timer_ends_with_its_last_answer_however_quick_that_is() {
    for rate in [200.0, 20_000.0] {
        let schedule = Schedule::constant(Rps(rate), Duration::from_millis(50), Pacing::Even);
        let timer = Timer::fine().unwrap();
        let cancel = CancellationToken::new();
        let mut ended = 0;
        let driven = drive_by(
            &timer,
            schedule,
            2_000,
            &cancel,
            |_| async { good() },
            |_| {
                ended += 1;
                ControlFlow::Continue(())
            },
        )
        .await;
        assert_eq!((driven.intended, driven.aborted), (ended, 0));
        assert_eq!(ended, (rate * 0.05) as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stall_of_the_server_shows_in_every_request_that_was_due_meanwhile() {
    // The server answers at once, but for a stall from 2 s to 4 s: a closed-loop client would see one slow request of 400.
    let start = Instant::now();
    let report = measure(
        even(100.0, 8),
        1000,
        LIMIT,
        &CancellationToken::new(),
        move |_| async move {
            let now = start.elapsed();
            if (2..4).contains(&now.as_secs()) {
                sleep_until(start + Duration::from_secs(4)).await;
            }
            good()
        },
    )
    .await;
    assert_eq!((report.intended, report.ok, report.failed), (800, 800, 0));
    // A quarter of the requests fell into the stall, with latencies spread evenly over 0…2 s.
    assert!(report.p50.0 <= 2.0, "p50 {}", report.p50);
    assert!(report.p90.0 > 1000.0, "p90 {}", report.p90);
    assert!(report.p99.0 > 1800.0, "p99 {}", report.p99);
    assert!((185..=195).contains(&report.late), "late {}", report.late);
}

#[tokio::test]
async fn a_generator_that_falls_behind_counts_from_the_intended_time() {
    let mut late = 0;
    let driven = drive(
        even(100.0, 1),
        1000,
        &CancellationToken::new(),
        |_| async { good() },
        |record| {
            if record.index == 10 {
                // The stall itself: the loop gets no CPU for 300 ms, so at least what is due in its first 200 ms is late.
                std::thread::sleep(Duration::from_millis(300));
            }
            late += u32::from(record.latency > LIMIT);
            ControlFlow::Continue(())
        },
    )
    .await;
    assert_eq!(driven.sent, 100);
    assert!(late >= 19, "late {late}");
}

#[tokio::test(start_paused = true)]
async fn beyond_the_in_flight_limit_requests_fail_as_overload_and_are_never_delayed() {
    let most = Arc::new(AtomicUsize::new(0));
    let now = Arc::new(AtomicUsize::new(0));
    let (most2, now2) = (most.clone(), now.clone());
    let report = measure(
        even(10.0, 2),
        4,
        LIMIT,
        &CancellationToken::new(),
        move |_| {
            let (most, now) = (most2.clone(), now2.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(60)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                good()
            }
        },
    )
    .await;
    assert_eq!(most.load(Ordering::SeqCst), 4);
    assert_eq!((report.intended, report.sent, report.failed), (20, 4, 16));
    assert_eq!(report.by_error["overload"], 16);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_stops_sending_and_counts_what_was_in_flight_as_aborted() {
    let cancel = CancellationToken::new();
    let stopper = cancel.clone();
    let report = measure(even(10.0, 60), 64, LIMIT, &cancel, move |index| {
        let stopper = stopper.clone();
        async move {
            if index == 20 {
                stopper.cancel();
            }
            if index >= 18 {
                std::future::pending::<()>().await;
            }
            good()
        }
    })
    .await;
    assert_eq!((report.intended, report.ok, report.aborted), (21, 18, 3));
}

#[tokio::test(start_paused = true)]
async fn faults_are_counted_by_kind_and_a_timeout_is_a_slow_answer() {
    let report = measure(
        even(10.0, 1),
        64,
        LIMIT,
        &CancellationToken::new(),
        |index| async move {
            let result = match index {
                0 => Err(Fault::Connect),
                1 => Err(Fault::Status(503)),
                2 => {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    Err(Fault::Timeout)
                }
                _ => Ok(200),
            };
            Reply::of(result)
        },
    )
    .await;
    assert_eq!((report.ok, report.failed, report.late), (7, 3, 0));
    assert_eq!(report.by_error["status_503"], 1);
    assert_eq!(report.histogram.len(), 8);
    assert!(report.max.0 >= 2000.0);
    assert_eq!(report.success(), Some(0.7));
}
