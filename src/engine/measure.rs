//! Drives load at a shadow and turns what came back into a measurement.

use super::clock;
use super::startup;
use crate::act::Measurer;
use crate::clients::nomad::{Nomad, ResourceUsage};
use crate::load::{Aim, HttpClient, Replay, SweepPoint, SweepReport, SweepSpec, sweep};
use crate::model::*;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Sent at each load before anything counts.
const WARM_UP: Duration = Duration::from_millis(300);
/// A shadow that does not pass its check by then never will.
const START: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(1);
/// An answer later than the limit times this counts as none.
const HOPELESS: f64 = 3.0;
/// Fewer answers than this at a load prove nothing.
const MIN_REQUESTS: u64 = 5;

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
            load,
            upstreams,
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
        let parts = startup::parts(&self.nomad, alloc.as_str(), startup).await;
        let used = Arc::new(Mutex::new(Used::default()));
        let replay = Arc::new(Replay::new(load, path).map_err(|e| e.to_string())?);
        let seed = registered.0 as u64;
        let spec = spec(load, loads, slo, &replay, seed);
        let send = |n: u64| {
            let (client, asked) = (client.clone(), replay.request(n, seed));
            async move {
                client
                    .ask(address, &asked, &format!("foreshadow-{n}"))
                    .await
            }
        };
        let after = |point: &SweepPoint| {
            let (used, rate) = (used.clone(), point.rps);
            async move {
                if let Ok(stats) = self.nomad.alloc_stats(alloc.as_str()).await {
                    lock(&used).add(rate, &stats.resource_usage);
                }
            }
        };
        // A shadow that must go loses its job: what is sent then fails, the sweep ends, and its result is not believed.
        let report = sweep(&spec, send, after, std::future::pending()).await;
        let used = lock(&used).clone();
        let details = Details {
            proven: report.knee.proven,
            confidence: report.knee.confidence,
            loads: used.details(&report),
            startup: parts,
            upstreams: upstreams.clone(),
            load: replay.sentence.clone(),
        };
        measurement(key, slo, &report, startup, &used, details)
    }
}

/// The search that the policy asks for, between the least and the most load that the planner allows.
fn spec(load: &LoadPolicy, loads: &[Rps], slo: &Slo, replay: &Arc<Replay>, seed: u64) -> SweepSpec {
    let (replay, arrivals) = (replay.clone(), load.arrivals);
    let start = loads.first().copied().unwrap_or(Rps(1.0));
    let time = |span: Span| Duration::from_secs_f64(span.as_secs_f64().max(0.1));
    SweepSpec {
        aim: Aim {
            slo: *slo,
            confidence: load.confidence,
            resolution: load.resolution,
            start,
            highest: loads.last().copied().unwrap_or(start),
            min_requests: MIN_REQUESTS,
        },
        each: time(load.each),
        warm_up: WARM_UP,
        lasts: time(load.lasts),
        seed,
        arrivals: Arc::new(move |rate, lasts, seed| replay.schedule(arrivals, rate, lasts, seed)),
        fine: true,
    }
}

/// What the allocation used at each load.
#[derive(Clone, Default)]
struct Used {
    /// MHz·s a request.
    cpu: Vec<f64>,
    memory: MiB,
    /// By load: what it used at its end.
    at: Vec<(Rps, Mhz, MiB)>,
}

impl Used {
    fn add(&mut self, rate: Rps, usage: &ResourceUsage) {
        self.cpu.push(usage.cpu_stats.total_ticks / rate.0.max(0.1));
        let memory = MiB(usage.memory_bytes() as f64 / 1_048_576.0);
        self.memory = self.memory.max(memory);
        self.at
            .push((rate, Mhz(usage.cpu_stats.total_ticks), memory));
    }
    fn details(&self, report: &SweepReport) -> Vec<LoadDetail> {
        let of = |p: &SweepPoint| {
            let used = self.at.iter().find(|u| u.0 == p.rps);
            LoadDetail {
                cpu: used.map(|u| u.1),
                memory: used.map(|u| u.2),
                ..p.detail()
            }
        };
        report.points.iter().map(of).collect()
    }
    /// Median over the loads.
    fn cpu_a_request(&self) -> f64 {
        let mut cpu = self.cpu.clone();
        cpu.sort_by(f64::total_cmp);
        cpu.get(cpu.len() / 2).copied().unwrap_or(0.0)
    }
}

fn lock(used: &Mutex<Used>) -> std::sync::MutexGuard<'_, Used> {
    used.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sweep as profiles keep it.
fn measurement(
    key: &ProfileKey,
    slo: &Slo,
    report: &SweepReport,
    startup: Span,
    used: &Used,
    details: Details,
) -> Result<Measurement, String> {
    let points: Vec<LoadPoint> = report.points.iter().map(|p| p.load_point(slo)).collect();
    if points.iter().all(|p| p.failed == p.requests) {
        return Err("no request was answered".into());
    }
    // Nothing was ruled on: time or the generator's own limit ended it first.
    if let (None, false, Some(why)) = (
        report.knee.at,
        points.iter().any(|p| !p.good),
        &report.stopped,
    ) {
        return Err(why.clone());
    }
    let lowest = points.first().map_or(Rps(0.0), |p| p.rate);
    let requests: u64 = points.iter().map(|p| p.requests).sum();
    let bytes: u64 = report.points.iter().map(|p| p.report.bytes).sum();
    Ok(Measurement {
        key: key.clone(),
        at: clock::now(),
        // Bad from the start: it carries less than the least that was tried.
        knee: report.knee.at.unwrap_or(Rps(lowest.0 * 0.5)),
        knee_open: report.knee.open,
        cpu_a_request: used.cpu_a_request(),
        bytes_a_request: bytes as f64 / requests.max(1) as f64,
        memory: used.memory,
        startup,
        details,
        points,
        cut_short: None,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Knee;

    #[test]
    fn a_shadow_that_answers_nothing_gives_no_measurement() {
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
            points: Vec::new(),
            knee: Knee {
                at: None,
                open: true,
                proven: (None, None),
                confidence: 0.0,
            },
            stopped: None,
        };
        let (used, details) = (Used::default(), Details::default());
        assert!(measurement(&key, &slo, &report, Span::secs(1), &used, details).is_err());
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
}
