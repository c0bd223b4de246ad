//! Drives load at a shadow and turns what came back into a measurement.

use super::clock;
use super::startup::{self, Passed};
use crate::act::Measurer;
use crate::clients::nomad::{Nomad, ResourceUsage};
use crate::learn::{self, Sides};
use crate::load::open_loop::in_flight_for;
use crate::load::{
    Aim, Fault, HttpClient, Pacing, Replay, Schedule, SweepPoint, SweepReport, SweepSpec, drive,
    sweep,
};
use crate::model::*;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

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
            compare,
            load,
            upstreams,
            wait_for,
            ..
        } = action
        else {
            return Err("only a shadow is measured".into());
        };
        let (address, path) = split(url)?;
        let (_, health) = split(health)?;
        let timeout = Duration::from_secs_f64((slo.latency.0 * HOPELESS / 1000.0).max(1.0));
        let client = HttpClient::new(self.source, CONNECT, timeout);
        all_pass(&client, wait_for, *registered).await?;
        let passed = passing(&client, address, health, *registered).await?;
        let (startup, parts) = startup::parts(&self.nomad, alloc.as_str(), passed).await;
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
        let after = |point: &SweepPoint| self.look(alloc, point.rps, used.clone());
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
        let mut measured = measurement(key, slo, &report, startup, &used, details)?;
        if let Some(compare) = compare {
            let shadow = Side::new(&client, url, health).await?;
            let raw = swept(&report, compare.rate);
            let sides = sides(&client, &shadow, compare, raw, seed).await;
            measured.judged = Some(learn::verdict(key, clock::now(), compare, &sides));
        }
        Ok(measured)
    }

    /// What the allocation used at a load, read while it is still warm.
    async fn look(&self, alloc: &AllocId, rate: Rps, used: Arc<Mutex<Used>>) {
        if let Ok(stats) = self.nomad.alloc_stats(alloc.as_str()).await {
            let beside = stats.tasks.get(UPSTREAMS_TASK).map(|t| &t.resource_usage);
            lock(&used).add(rate, &stats.resource_usage, beside);
        }
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

/// What the sweep's requests at the comparison's load were answered.
fn swept(report: &SweepReport, rate: Rps) -> Vec<Answer> {
    let alike = |p: &&SweepPoint| (p.rps.0 - rate.0).abs() <= ALIKE * rate.0;
    let found = report.points.iter().find(alike);
    found.map(|p| p.answers.clone()).unwrap_or_default()
}

/// One side of a comparison, and how long the quickest answer of its health check took: the way there, which is the links'
/// affair and not the instance's.
struct Side {
    address: SocketAddr,
    path: Arc<str>,
    way: f64,
}

/// The way is what the quickest of so many answers took.
const WAYS: u32 = 5;
/// Loads that differ by no more than this part are one load.
const ALIKE: f64 = 0.05;
/// So many failures without one good answer end a side.
const GONE: usize = 60;

impl Side {
    async fn new(client: &HttpClient, url: &str, health: &str) -> Result<Side, String> {
        let (address, path) = split(url)?;
        let mut way = f64::INFINITY;
        for _ in 0..WAYS {
            let took = clock::Stopwatch::start();
            let reply = client.get(address, health, "foreshadow-way").await;
            if reply.result.is_ok() {
                way = way.min(took.elapsed().as_secs_f64() * 1000.0);
            }
        }
        Ok(Side {
            address,
            path: path.into(),
            way: if way.is_finite() { way } else { 0.0 },
        })
    }

    fn without_way(&self, answer: Answer) -> Answer {
        Answer {
            latency: Millis((answer.latency.0 - self.way).max(0.0)),
            ..answer
        }
    }

    /// Its answers to a schedule, in the order of sending, without the way there and back.
    async fn answers(&self, client: &HttpClient, schedule: Schedule, rate: Rps) -> Vec<Answer> {
        let mut all: Vec<(u64, Answer)> = Vec::new();
        let mut gone = true;
        let send = |n: u64| {
            let (client, path, address) = (client.clone(), self.path.clone(), self.address);
            async move { client.get(address, &path, &format!("foreshadow-{n}")).await }
        };
        let never = CancellationToken::new();
        drive(schedule, in_flight_for(rate), &never, send, |record| {
            let answer = self.without_way(Answer {
                latency: Millis(record.latency.as_secs_f64() * 1000.0),
                ok: record.reply.result.is_ok(),
            });
            all.push((record.index, answer));
            gone = gone && !answer.ok;
            // Not one answer of so many: it is no longer there.
            match gone && all.len() >= GONE {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
        .await;
        all.sort_by_key(|a| a.0);
        all.into_iter().map(|a| a.1).collect()
    }
}

/// Drives the same load at the shadow and at its twin at the same time; at the shadow alone where no twin answers: then what
/// the sweep was answered at that load (`raw`) counts too, and only what it lacks is asked for.
async fn sides(
    client: &HttpClient,
    shadow: &Side,
    compare: &Compare,
    raw: Vec<Answer>,
    seed: u64,
) -> Sides {
    let rate = Rps(compare.rate.0.max(1.0));
    let plan = |requests: u64| {
        let enough = requests as f64 / rate.0;
        let lasts = Duration::from_secs_f64(enough.min(compare.longest.as_secs_f64()));
        Schedule::constant(rate, lasts, Pacing::Poisson { seed })
    };
    let twin = match &compare.twin {
        Some(twin) => answering(client, twin).await,
        None => None,
    };
    match twin {
        Some(twin) => {
            let (shadow, twin) = tokio::join!(
                shadow.answers(client, plan(compare.requests), rate),
                twin.answers(client, plan(compare.requests), rate)
            );
            Sides {
                shadow,
                twin: Some(twin),
            }
        }
        None => {
            let mut all: Vec<Answer> = raw.into_iter().map(|a| shadow.without_way(a)).collect();
            let missing = compare.requests.saturating_sub(all.len() as u64);
            if missing > 0 {
                all.extend(shadow.answers(client, plan(missing), rate).await);
            }
            Sides {
                shadow: all,
                twin: None,
            }
        }
    }
}

/// The twin, once it passes its check.
async fn answering(client: &HttpClient, twin: &Twin) -> Option<Side> {
    let (address, health) = split(&twin.health).ok()?;
    passing(client, address, health, clock::now()).await.ok()?;
    Side::new(client, &twin.url, health).await.ok()
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
    /// What stands in for its upstreams beside it is no need of the portion's.
    fn add(&mut self, rate: Rps, usage: &ResourceUsage, beside: Option<&ResourceUsage>) {
        let other = |of: fn(&ResourceUsage) -> f64| beside.map_or(0.0, of);
        let ticks = usage.cpu_stats.total_ticks - other(|b| b.cpu_stats.total_ticks);
        let ticks = ticks.max(0.0);
        self.cpu.push(ticks / rate.0.max(0.1));
        let bytes = usage.memory_bytes() as f64 - other(|b| b.memory_bytes() as f64);
        let memory = MiB(bytes.max(0.0) / 1_048_576.0);
        self.memory = self.memory.max(memory);
        self.at.push((rate, Mhz(ticks), memory));
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
    if points.iter().all(|p| p.failed == p.requests) && !in_vain(report) {
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
        judged: None,
    })
}

/// Whether all requests were waited for in vain, and none was refused, broken or answered with no: a queue that is older than
/// the timeout answers nobody in time, so that such a place is slow and not gone.
fn in_vain(report: &SweepReport) -> bool {
    let (late, unsent) = (Fault::Timeout.to_string(), Fault::Overload.to_string());
    let faults = || report.points.iter().flat_map(|p| p.report.by_error.keys());
    faults().any(|f| *f == late) && faults().all(|f| *f == late || *f == unsent)
}

/// What a shadow calls must be there before it is measured.
async fn all_pass(client: &HttpClient, checks: &[String], since: Moment) -> Result<(), String> {
    for check in checks {
        let (address, health) = split(check)?;
        let passed = passing(client, address, health, since).await;
        passed.map_err(|why| format!("what it calls at {address}: {why}"))?;
    }
    Ok(())
}

/// From the registration to the first passing check.
async fn passing(
    client: &HttpClient,
    address: SocketAddr,
    health: &str,
    since: Moment,
) -> Result<Passed, String> {
    let mut tries = clock::ticks(Span::millis(50));
    let first = async {
        let mut at_once = true;
        loop {
            tries.tick().await;
            if client
                .get(address, health, "foreshadow-shadow")
                .await
                .result
                .is_ok()
            {
                let after = clock::now().since(since);
                return Passed { after, at_once };
            }
            at_once = false;
        }
    };
    tokio::time::timeout(START, first)
        .await
        .map_err(|_| format!("its check did not pass within {} s", START.as_secs()))
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod tests;
