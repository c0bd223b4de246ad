//! `load`: drives a target open loop by hand, from a log, a mix or one path, and prints what came of it.

use super::Exit;
use super::args::{Format, LoadArgs, Times};
use super::signals::until_signal;
use crate::load::open_loop::{LoadReport, Tally, drive_by, in_flight_for};
use crate::load::{
    Aim, HttpClient, Replay, Schedule, SweepPoint, SweepReport, SweepSpec, Timer, sweep,
};
use crate::model::{Arrivals, LoadDetail, LoadPolicy, Millis, MixPart, Rps, Slo};
use hyper::Uri;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub fn load(args: LoadArgs) -> Result<ExitCode, Exit> {
    let policy = policy(&args)?;
    let (target, path) = target(&args.url)?;
    let replay = Arc::new(Replay::new(&policy, &path).map_err(Exit::usage)?);
    let (rate, arrivals) = rate(&args, &replay)?;
    eprintln!("load: {} at {target}, {rate}", replay.sentence);
    // One thread, so that nothing comes between a request and its time.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Exit::failed(&e))?;
    runtime.block_on(async {
        let cancel = CancellationToken::new();
        tokio::spawn(until_signal(cancel.clone()));
        let run = Run {
            args: &args,
            replay,
            rate,
            arrivals,
            target,
            cancel,
        };
        match args.knee {
            Some(most) => run.knee(Rps(most)).await,
            None => run.once().await,
        }
    })
}

struct Run<'a> {
    args: &'a LoadArgs,
    replay: Arc<Replay>,
    rate: Rps,
    arrivals: Arrivals,
    target: SocketAddr,
    cancel: CancellationToken,
}

impl Run<'_> {
    fn send(
        &self,
    ) -> impl Fn(u64) -> std::pin::Pin<Box<dyn Future<Output = crate::load::Reply> + Send>> {
        let timeout = self.args.latency.mul_f64(3.0).max(Duration::from_secs(5));
        let client = HttpClient::new(None, Duration::from_secs(2), timeout);
        let (replay, seed, target) = (self.replay.clone(), self.args.seed, self.target);
        move |n| {
            let (client, asked) = (client.clone(), replay.request(n, seed));
            Box::pin(async move { client.ask(target, &asked, &format!("load-{n}")).await })
        }
    }

    async fn once(&self) -> Result<ExitCode, Exit> {
        let timer = Timer::fine().map_err(|e| Exit::failed(&e))?;
        let seed = self.args.seed;
        let schedule: Schedule =
            self.replay
                .schedule(self.arrivals, self.rate, self.args.lasts, seed);
        let mut tally = Tally::new(self.args.latency);
        let on = |record: &crate::load::Record| {
            tally.add(record);
            ControlFlow::Continue(())
        };
        let most = in_flight_for(self.rate);
        let driven = drive_by(&timer, schedule, most, &self.cancel, self.send(), on).await;
        let point = SweepPoint {
            rps: self.rate,
            report: tally.report(driven.aborted),
            good: true,
            proven: false,
            cut_short: self.cancel.is_cancelled(),
            answers: Vec::new(),
        };
        match self.args.format {
            Format::Json => println!("{}", json(&point)),
            Format::Text => print(&point),
        }
        Ok(match point.report.ok {
            0 => ExitCode::from(super::exit::FAILED),
            _ => ExitCode::SUCCESS,
        })
    }

    async fn knee(&self, highest: Rps) -> Result<ExitCode, Exit> {
        let (args, replay, arrivals) = (self.args, self.replay.clone(), self.arrivals);
        let spec = SweepSpec {
            aim: Aim {
                slo: Slo {
                    quantile: args.quantile,
                    latency: Millis(args.latency.as_secs_f64() * 1_000.0),
                    success: args.success,
                },
                confidence: args.confidence,
                resolution: args.resolution,
                start: self.rate,
                highest,
                min_requests: 30,
            },
            each: args.lasts,
            warm_up: args.lasts.min(Duration::from_secs(1)),
            lasts: Duration::MAX,
            seed: args.seed,
            arrivals: Arc::new(move |rate, lasts, seed| {
                replay.schedule(arrivals, rate, lasts, seed)
            }),
            fine: true,
        };
        let stop = async {
            self.cancel.cancelled().await;
            "interrupted".to_string()
        };
        let after = |point: &SweepPoint| {
            if args.format == Format::Text {
                println!("{}", line(point));
            }
            std::future::ready(())
        };
        let report = sweep(&spec, self.send(), after, stop).await;
        match args.format {
            Format::Json => println!("{}", knee_json(&report)),
            Format::Text => println!("{}", knee_sentence(&report)),
        }
        Ok(match report.knee.at {
            Some(_) => ExitCode::SUCCESS,
            None => ExitCode::from(super::exit::FAILED),
        })
    }
}

fn policy(args: &LoadArgs) -> Result<LoadPolicy, Exit> {
    let mut policy = LoadPolicy::default();
    if !args.methods.is_empty() {
        policy.methods = args.methods.iter().map(|m| m.to_uppercase()).collect();
    }
    policy.from = args.from.as_ref().map(|p| p.display().to_string());
    for field in &args.fields {
        let wrong = || {
            Exit::usage(format!(
                "--field {field}: write time=NAME, method=NAME, path=NAME or request=NAME"
            ))
        };
        let (ours, theirs) = field.split_once('=').ok_or_else(wrong)?;
        if !["time", "method", "path", "request"].contains(&ours) || theirs.is_empty() {
            return Err(wrong());
        }
        policy.fields.push((ours.into(), theirs.into()));
    }
    for part in &args.mix {
        let part = mix_part(part)?;
        if !policy.methods.contains(&part.method) {
            let (method, sent) = (&part.method, policy.methods.join(","));
            return Err(Exit::usage(format!(
                "--mix has {method}, but only {sent} are sent; add it to --methods"
            )));
        }
        policy.mix.push(part);
    }
    if !(0.5..=0.9999).contains(&args.quantile) || !(0.5..=0.9999).contains(&args.confidence) {
        return Err(Exit::usage(
            "--quantile and --confidence lie between 0.5 and 0.9999",
        ));
    }
    Ok(policy)
}

/// `[METHOD ]/PATH[=WEIGHT]`; a `=` within a query belongs to the path unless a number follows the last one behind a blank path part.
fn mix_part(text: &str) -> Result<MixPart, Exit> {
    let (method, rest) = text.split_once(' ').unwrap_or(("GET", text));
    let weighted = rest.rsplit_once('=').and_then(|(path, w)| {
        let weight: f64 = w.parse().ok().filter(|w: &f64| *w >= 0.0)?;
        // `/a?b=3` is a query; `/a?b=3=2` weighs twice.
        let query = path.contains('?') && !path.rsplit('&').next().unwrap_or(path).contains('=');
        (!query).then(|| (path.to_string(), weight))
    });
    let (path, weight) = weighted.unwrap_or((rest.to_string(), 1.0));
    if !path.starts_with('/') {
        return Err(Exit::usage(format!(
            "--mix {text}: write [METHOD ]/PATH[=WEIGHT]"
        )));
    }
    Ok(MixPart {
        method: method.to_uppercase(),
        path,
        weight,
    })
}

fn target(url: &str) -> Result<(SocketAddr, String), Exit> {
    let wrong =
        |why: String| Exit::usage(format!("--url {url}: {why}; give http://HOST:PORT/PATH"));
    let uri: Uri = url.parse().map_err(|e| wrong(format!("{e}")))?;
    let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(wrong("it is not http".into()));
    };
    let name = format!("{host}:{}", uri.port_u16().unwrap_or(80));
    let found = name
        .to_socket_addrs()
        .map_err(|e| wrong(format!("{name}: {e}")))?;
    let at = found
        .into_iter()
        .next()
        .ok_or_else(|| wrong(format!("{name} has no address")))?;
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    Ok((at, path.to_string()))
}

fn rate(args: &LoadArgs, replay: &Replay) -> Result<(Rps, Arrivals), Exit> {
    let own = replay.own_rate();
    let arrivals = match (args.arrivals, args.rate, own) {
        (Some(Times::Own), _, None) => {
            return Err(Exit::usage(
                "--arrivals own needs a log (--from) of some length",
            ));
        }
        (Some(Times::Own), ..) | (None, None, Some(_)) => Arrivals::Own,
        (Some(Times::Constant), ..) => Arrivals::Constant,
        _ => Arrivals::Poisson,
    };
    let rate = match (args.rate, args.scale, own) {
        (Some(rate), ..) => Rps(rate),
        (None, Some(_), None) => {
            return Err(Exit::usage("--scale needs a log (--from) of some length"));
        }
        (None, scale, Some(own)) => Rps(own.0 * scale.unwrap_or(1.0)),
        (None, None, None) => Rps(10.0),
    };
    if rate.0 > 0.0 && rate.0.is_finite() {
        Ok((rate, arrivals))
    } else {
        Err(Exit::usage("--rate and --scale must be above 0"))
    }
}

fn line(point: &SweepPoint) -> String {
    let r: &LoadReport = &point.report;
    let word = match (point.good, point.proven) {
        (true, true) => "holds",
        (true, false) => "seems to hold",
        (false, true) => "broken",
        (false, false) => "seems broken",
    };
    format!(
        "{:>9}: {word}; {} requests, {} late, {} failed; p50 {:.1} ms, p99 {:.1} ms",
        point.rps.to_string(),
        r.ok + r.failed,
        r.late,
        r.failed,
        r.p50.0,
        r.p99.0
    )
}

fn knee_sentence(report: &SweepReport) -> String {
    let knee = &report.knee;
    let stopped = report
        .stopped
        .as_ref()
        .map_or(String::new(), |why| format!("; {why}"));
    let spent: u64 = report.points.iter().map(|p| p.report.intended).sum();
    let sure = format!(
        "{:.0}% sure, {spent} requests{stopped}",
        100.0 * knee.confidence
    );
    let within = match knee.proven {
        (Some(low), Some(high)) => format!("between {low} and {high}"),
        (Some(low), None) => format!("at least {low}"),
        (None, Some(high)) => format!("below {high}"),
        (None, None) => "nothing is proven".into(),
    };
    match knee.at {
        Some(at) if knee.open => format!("knee: {at} or more, {within} ({sure})"),
        Some(at) => format!("knee: {at}, {within} ({sure})"),
        None => format!("no rate held the SLO: {within} ({sure})"),
    }
}

fn knee_json(report: &SweepReport) -> serde_json::Value {
    let points: Vec<_> = report.points.iter().map(json).collect();
    serde_json::json!({
        "knee": report.knee.at, "open": report.knee.open, "at_least": report.knee.proven.0, "below": report.knee.proven.1,
        "confidence": report.knee.confidence, "stopped": report.stopped, "points": points,
    })
}

fn json(point: &SweepPoint) -> serde_json::Value {
    let r = &point.report;
    let LoadDetail {
        throughput,
        histogram,
        errors,
        network,
        own_delay,
        ..
    } = point.detail();
    let errors: serde_json::Map<_, _> = errors.into_iter().map(|(k, n)| (k, n.into())).collect();
    serde_json::json!({
        "rate": point.rps, "requests": r.intended, "ok": r.ok, "failed": r.failed, "late": r.late, "aborted": r.aborted,
        "good": point.good, "proven": point.proven, "throughput": throughput, "bytes": r.bytes, "mbit": network,
        "p50_ms": r.p50.0, "p90_ms": r.p90.0, "p95_ms": r.p95.0, "p99_ms": r.p99.0, "max_ms": r.max.0,
        "own_delay_p99_ms": own_delay.0, "errors": errors, "histogram_ms": histogram,
    })
}

/// The widest bar of a histogram.
const BAR: f64 = 50.0;

fn print(point: &SweepPoint) {
    let (r, detail) = (&point.report, point.detail());
    println!(
        "{} requests, {:.1}/s answered well, {} late, {} failed{}",
        r.intended,
        detail.throughput.0,
        r.late,
        r.failed,
        r.by_error
            .iter()
            .map(|(name, n)| format!(" ({n} {name})"))
            .collect::<String>()
    );
    println!(
        "p50 {:.2} ms, p90 {:.2}, p95 {:.2}, p99 {:.2}, max {:.2}; the generator itself was {:.2} ms late (p99)",
        r.p50.0, r.p90.0, r.p95.0, r.p99.0, r.max.0, r.lag_p99.0
    );
    let most = detail.histogram.iter().map(|b| b.1).max().unwrap_or(1) as f64;
    for (bound, n) in &detail.histogram {
        let bar = "#".repeat((BAR * *n as f64 / most).ceil() as usize);
        println!("{:>10.2} ms {n:>8} {bar}", bound.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_mix_is_a_method_a_path_and_a_weight() {
        let read = |text: &str| {
            let p = mix_part(text).unwrap();
            (p.method, p.path, p.weight)
        };
        let get = |path: &str, weight| ("GET".to_string(), path.to_string(), weight);
        assert_eq!(read("/a"), get("/a", 1.0));
        assert_eq!(read("/a=3"), get("/a", 3.0));
        assert_eq!(read("/a?b=3"), get("/a?b=3", 1.0));
        assert_eq!(read("/a?b=3=2"), get("/a?b=3", 2.0));
        assert_eq!(read("/a?b=3&c=x"), get("/a?b=3&c=x", 1.0));
        assert_eq!(read("post /a=0.5"), ("POST".into(), "/a".into(), 0.5));
        assert!(mix_part("a=3").is_err());
    }

    #[test]
    fn a_target_is_an_address_and_a_path() {
        let (at, path) = target("http://127.0.0.1:8080/a?b=c").unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!(
            (at.to_string().as_str(), path.as_str()),
            ("127.0.0.1:8080", "/a?b=c")
        );
        assert!(target("https://127.0.0.1/").is_err());
        assert!(target("127.0.0.1:80").is_err());
    }
}
