//! Drives load at a shadow and turns what came back into a measurement.

use super::clock;
use crate::act::Measurer;
use crate::clients::nomad::Nomad;
use crate::load::open_loop::in_flight_for;
use crate::load::{HttpClient, LoadReport, Pacing, Schedule, measure};
use crate::model::*;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Each load is driven so long, after a warm-up that does not count.
const EACH: Duration = Duration::from_millis(1_500);
const WARM_UP: Duration = Duration::from_millis(300);
/// A shadow that does not pass its check by then never will.
const START: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(1);
/// A load at which the limit is missed by this factor ends the sweep: higher ones only hurt.
const HOPELESS: f64 = 3.0;

pub struct LoadMeasurer {
    pub nomad: Arc<Nomad>,
    /// Local address that load comes from.
    pub source: Option<IpAddr>,
}

impl Measurer for LoadMeasurer {
    fn measure<'a>(&'a self, action: &'a Action) -> Later<'a, Result<Measurement, String>> {
        Box::pin(self.run(action))
    }
}

/// `http://address:port/path` in its parts.
fn split(url: &str) -> Result<(SocketAddr, &str), String> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| format!("{url} is not http"))?;
    let slash = rest.find('/').unwrap_or(rest.len());
    let address = rest[..slash]
        .parse()
        .map_err(|_| format!("{url} holds no address and port"))?;
    Ok((
        address,
        if slash == rest.len() {
            "/"
        } else {
            &rest[slash..]
        },
    ))
}

impl LoadMeasurer {
    async fn run(&self, action: &Action) -> Result<Measurement, String> {
        let Action::MeasureShadow {
            key,
            alloc,
            url,
            health,
            loads,
            slo,
            registered,
            ..
        } = action
        else {
            return Err("only a shadow is measured".into());
        };
        let (address, path) = split(url)?;
        let (_, health) = split(health)?;
        let timeout = Duration::from_secs_f64((slo.latency.0 * HOPELESS / 1000.0).max(1.0));
        let client = HttpClient::new(self.source, CONNECT, timeout);
        let startup = passing(&client, address, health, *registered).await?;
        let mut points: Vec<LoadPoint> = Vec::new();
        let mut cpu = Vec::new();
        let mut memory = 0.0f64;
        for rate in loads {
            drive(&client, address, path, *rate, WARM_UP, slo).await;
            let report = drive(&client, address, path, *rate, EACH, slo).await;
            if let Ok(used) = self.nomad.alloc_stats(alloc.as_str()).await {
                cpu.push(used.resource_usage.cpu_stats.total_ticks / rate.0.max(0.1));
                memory = memory.max(used.resource_usage.memory_bytes() as f64 / 1_048_576.0);
            }
            let point = judged(*rate, &report, slo);
            points.push(point);
            if !point.good {
                break;
            }
        }
        if points.iter().all(|p| p.failed == p.requests) {
            return Err("no request was answered".into());
        }
        let (knee, knee_open) = knee(&points, slo);
        cpu.sort_by(f64::total_cmp);
        Ok(Measurement {
            key: key.clone(),
            at: clock::now(),
            knee,
            knee_open,
            cpu_a_request: cpu.get(cpu.len() / 2).copied().unwrap_or(0.0),
            memory: MiB(memory),
            startup,
            points,
            cut_short: None,
        })
    }
}

/// From the registration to the first passing check.
async fn passing(
    client: &HttpClient,
    address: SocketAddr,
    health: &str,
    since: Moment,
) -> Result<Span, String> {
    let mut tries = clock::ticks(Span::millis(50));
    let first = async {
        loop {
            tries.tick().await;
            if client
                .get(address, health, "foreshadow-shadow")
                .await
                .result
                .is_ok()
            {
                return clock::now().since(since);
            }
        }
    };
    tokio::time::timeout(START, first)
        .await
        .map_err(|_| format!("its check did not pass within {} s", START.as_secs()))
}

async fn drive(
    client: &HttpClient,
    address: SocketAddr,
    path: &str,
    rate: Rps,
    lasts: Duration,
    slo: &Slo,
) -> LoadReport {
    let (client, path) = (client.clone(), path.to_string());
    let limit = Duration::from_secs_f64(slo.latency.0.max(1.0) / 1000.0);
    let schedule = Schedule::constant(rate, lasts, Pacing::Even);
    measure(
        schedule,
        in_flight_for(rate),
        limit,
        &CancellationToken::new(),
        move |n| {
            let (client, path) = (client.clone(), path.clone());
            async move { client.get(address, &path, &format!("foreshadow-{n}")).await }
        },
    )
    .await
}

fn judged(rate: Rps, report: &LoadReport, slo: &Slo) -> LoadPoint {
    let at_slo = report.quantile(slo.quantile);
    let success = report.success().unwrap_or(0.0);
    LoadPoint {
        rate,
        requests: report.ok + report.failed,
        failed: report.failed,
        p50: report.p50,
        p90: report.p90,
        p99: report.p99,
        at_slo,
        good: success >= slo.success && at_slo <= slo.latency,
    }
}

/// The highest good load, or where the latency curve crosses the limit between it and the first bad one.
fn knee(points: &[LoadPoint], slo: &Slo) -> (Rps, bool) {
    let good = points.iter().take_while(|p| p.good).last();
    let bad = points.iter().find(|p| !p.good);
    match (good, bad) {
        (Some(g), None) => (g.rate, true),
        (Some(g), Some(b)) => {
            let rise = (b.at_slo.0 - g.at_slo.0).max(1e-9);
            let part = ((slo.latency.0 - g.at_slo.0) / rise).clamp(0.0, 0.5);
            (Rps(g.rate.0 + (b.rate.0 - g.rate.0) * part), false)
        }
        // Bad from the start: it carries less than the least that was tried.
        (None, Some(b)) => (Rps(b.rate.0 * 0.5), false),
        (None, None) => (Rps(0.0), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(rate: f64, at_slo: f64) -> LoadPoint {
        LoadPoint {
            rate: Rps(rate),
            requests: 50,
            failed: 0,
            p50: Millis(at_slo / 2.0),
            p90: Millis(at_slo),
            p99: Millis(at_slo),
            at_slo: Millis(at_slo),
            good: at_slo <= 250.0,
        }
    }

    #[test]
    fn the_knee_lies_between_the_last_good_load_and_the_first_bad_one() {
        let slo = Slo {
            quantile: 0.95,
            latency: Millis(250.0),
            success: 0.99,
        };
        let (at, open) = knee(
            &[point(10.0, 50.0), point(20.0, 100.0), point(30.0, 900.0)],
            &slo,
        );
        assert!(at.0 > 20.0 && at.0 <= 25.0 && !open, "{at}");
        let (at, open) = knee(&[point(10.0, 50.0), point(20.0, 100.0)], &slo);
        assert_eq!((at, open), (Rps(20.0), true));
        let (at, _) = knee(&[point(10.0, 900.0)], &slo);
        assert_eq!(at, Rps(5.0));
    }

    #[test]
    fn an_url_is_split_into_address_and_path() {
        let (address, path) = split("http://127.0.0.1:8080/work?x=1").unwrap();
        assert_eq!((address.port(), path), (8080, "/work?x=1"));
        assert!(split("https://127.0.0.1:8080/").is_err());
        assert!(split("http://example/").is_err());
    }
}
