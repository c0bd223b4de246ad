//! What the open-loop generator can do: requests a second on one core, and how far from its intended time a request leaves.
//!
//! `cargo bench --bench generator` drives a null server over loopback from one thread: at 5,000 requests a second on tokio's timer
//! (baseline) and on the kernel's, then at 10,000, 20,000 and beyond. Generator and server have a thread each; processor time of
//! the generator's thread says what part of a core it takes.

#![allow(clippy::disallowed_methods)] // a bench measures time

mod null;

use foreshadow::load::open_loop::{Tally, drive_by};
use foreshadow::load::{HttpClient, Pacing, Schedule, Timer};
use foreshadow::model::Rps;
use hdrhistogram::Histogram;
use nix::time::{ClockId, clock_gettime};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("a thread has a clock")
        .into()
}

fn micros(h: &Histogram<u64>, q: f64) -> u64 {
    h.value_at_quantile(q)
}

async fn run(name: &str, timer: Timer, server: SocketAddr, rate: f64, lasts: Duration) {
    let client = HttpClient::new(None, Duration::from_secs(1), Duration::from_secs(5));
    let send = |n: u64| {
        let client = client.clone();
        async move { client.get(server, "/", &format!("bench-{n}")).await }
    };
    let cancel = CancellationToken::new();
    // Connections are made before anything counts.
    let warm = Schedule::constant(Rps(rate / 2.0), lasts / 8, Pacing::Poisson { seed: 1 });
    drive_by(&timer, warm, 4_096, &cancel, send, |_| {
        ControlFlow::Continue(())
    })
    .await;
    let schedule = Schedule::constant(Rps(rate), lasts, Pacing::Poisson { seed: 2 });
    let mut tally = Tally::new(Duration::from_millis(50));
    let mut lag = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).expect("valid bounds");
    let (began, spent) = (Instant::now(), cpu());
    let driven = drive_by(&timer, schedule, 4_096, &cancel, send, |record| {
        tally.add(record);
        lag.saturating_record(record.lag.as_micros() as u64);
        ControlFlow::Continue(())
    })
    .await;
    let (took, spent) = (began.elapsed().as_secs_f64(), (cpu() - spent).as_secs_f64());
    let report = tally.report(driven.aborted);
    println!(
        "{name:<22} {rate:>6}/s asked, {:>6.0}/s answered, {} failed | scheduling error p50 {:>4} µs, p99 {:>5} µs, max {:>6} µs | \
         latency p50 {:.2} ms, p99 {:.2} ms | {:.0} % of a core, {:.1} µs a request",
        report.ok as f64 / took,
        report.failed,
        micros(&lag, 0.5),
        micros(&lag, 0.99),
        lag.max(),
        report.p50.0,
        report.p99.0,
        100.0 * spent / took,
        1e6 * spent / driven.sent.max(1) as f64,
    );
}

fn main() {
    let measured = std::env::args().any(|a| a == "--bench");
    let (scale, lasts) = match measured {
        true => (1.0, Duration::from_secs(5)),
        false => (0.01, Duration::from_millis(300)),
    };
    let server = null::server();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let fine = || Timer::fine().expect("a timer");
        run(
            "wheel (baseline)",
            Timer::Wheel,
            server,
            5_000.0 * scale,
            lasts,
        )
        .await;
        for rate in [5_000.0, 10_000.0, 20_000.0, 30_000.0] {
            run("kernel timer", fine(), server, rate * scale, lasts).await;
        }
    });
}
