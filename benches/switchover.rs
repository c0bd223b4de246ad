//! What a switchover costs, on a real Consul, with open-loop clients that honour SRV and have no wits of their own.
//!
//! `cargo bench --bench switchover` prints
//! - a planned ramp (1, 5, 25, 50, 100 %) under 1,000 requests a second, against an equal stretch without a move (baseline);
//! - how fast a prepared switch is, from the check's wake-up to the last weight written, and when many services fail together;
//! - what a killed instance costs, with Consul's checks alone (baseline), with a prepared switch, and with one that gateways' own
//!   probes set off.
//!
//! `cargo bench --bench switchover -- planned prepared killed together`: only the parts that are named.

#![allow(clippy::disallowed_methods)] // a bench measures time

mod rig;

use foreshadow::clients::consul::{CheckDefinition, Probe, Registration, Status};
use foreshadow::load::LoadReport;
use foreshadow::model::{Applied, Share};
use rig::{Rig, Server, now, requests, stake};
use std::time::Duration;

const STEPS: [u32; 5] = [1, 5, 25, 50, 100];

/// How much is measured.
struct Size {
    rate: f64,
    soak: Duration,
    runs: u64,
    /// Services of one node, and how often that is killed.
    services: usize,
    kills: usize,
    /// How often the instance of two is killed; losses are means.
    deaths: u64,
    crowd: usize,
}

impl Size {
    /// What goes round (a check, a client's look at DNS) is met by the deaths at moments that are spread evenly over it: how much is lost hangs on
    /// that moment more than on anything else.
    async fn wait_for_phase(&self, run: u64, round: Duration) {
        tokio::time::sleep(round.mul_f64(run as f64 / self.deaths as f64)).await;
    }
}

fn main() {
    let size = match std::env::args().any(|a| a == "--bench") {
        true => Size {
            rate: 1_000.0,
            soak: Duration::from_secs(2),
            runs: 5,
            services: 10,
            kills: 10,
            deaths: 8,
            crowd: 500,
        },
        false => Size {
            rate: 50.0,
            soak: Duration::from_millis(100),
            runs: 1,
            services: 1,
            kills: 1,
            deaths: 1,
            crowd: 2,
        },
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let Some(rig) = Rig::start() else { return };
        // Servers live on: a gateway that sees most sites fail suspects its eyes.
        let mut servers = Vec::new();
        if asked("planned") {
            servers.extend(planned(&rig, &size).await);
        }
        if asked("prepared") {
            servers.extend(prepared(&rig, &size).await);
        }
        if asked("killed") {
            servers.extend(killed(&rig, &size).await);
        }
        if asked("together") {
            together(&rig, &size).await;
        }
        drop(servers);
    });
}

/// Whether the part was named, or none was.
fn asked(part: &str) -> bool {
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    named.is_empty() || named.iter().any(|n| n == part)
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn planned(rig: &Rig, size: &Size) -> [Server; 2] {
    let service = "planned";
    let (old, new) = (Server::start("127.0.0.42"), Server::start("127.0.0.43"));
    let mut sides = (&old, &new);
    let lasts = size.soak * STEPS.len() as u32;
    let (mut lost, mut late, mut late_still, mut ratios) = (0, 0, 0, Vec::new());
    for run in 0..size.runs {
        rig.settle(service, sides).await;
        let client = rig.client(service).await;
        // Connections are made before anything counts.
        requests(&client, size.rate, size.soak, run).await;
        let still = requests(&client, size.rate, lasts, 2 * run).await;
        let ramp = async {
            for percent in STEPS {
                rig.aim(service, sides, Share::percent(percent)).await;
                tokio::time::sleep(size.soak).await;
            }
        };
        let (moved, ()) = tokio::join!(requests(&client, size.rate, lasts, 2 * run + 1), ramp);
        lost += moved.failed;
        late += moved.late;
        late_still += still.late;
        ratios.push(moved.p99.0 / still.p99.0.max(1e-3));
        println!(
            "planned ramp, run {run}: {} answered, {} lost, {} late; p99 {:.2} ms, {:.2} ms without a move (baseline)",
            moved.ok, moved.failed, moved.late, moved.p99.0, still.p99.0
        );
        sides = (sides.1, sides.0);
    }
    println!(
        "planned ramp at {}/s: {lost} lost, {late} late ({late_still} without a move), p99 × {:.2} (median of {} runs)",
        size.rate,
        middle(ratios),
        size.runs
    );
    [old, new]
}

/// Waits until so many services have switched after the kill, and gives what was reported of each.
async fn switched(rig: &Rig, prefix: &str, count: usize) -> Vec<Applied> {
    loop {
        let all = rig.reactions().await.into_iter();
        let own = all.filter(|a| a.service.as_str().starts_with(prefix));
        let own: Vec<Applied> = own.collect();
        if own.len() == count {
            return own;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn prepared(rig: &Rig, size: &Size) -> [Server; 2] {
    let (mut old, new) = (Server::start("127.0.0.44"), Server::start("127.0.0.45"));
    let names: Vec<String> = (0..size.services)
        .map(|n| format!("prepared-{n}"))
        .collect();
    let mut took = Vec::new();
    for _ in 0..size.kills {
        rig.settle_all(&names, (&old, &new)).await;
        old.kill();
        let all = switched(rig, "prepared-", names.len()).await;
        took.extend(all.iter().filter_map(|a| a.reaction));
        old.revive();
    }
    let mut took: Vec<f64> = took.iter().map(|s| s.0 as f64).collect();
    took.sort_by(f64::total_cmp);
    let at = |q: f64| took[((took.len() - 1) as f64 * q).round() as usize];
    println!(
        "prepared switches of {} services on one node, {} kills: wake-up to last weight p50 {} ms, p99 {} ms",
        size.services,
        size.kills,
        at(0.5),
        at(0.99)
    );
    [old, new]
}

/// Consul's own checks alone: both instances serve, and the dead one is left out when its check says so.
async fn alone(rig: &Rig, size: &Size, every: Duration, run: u64) -> LoadReport {
    // A service of its own: Consul would remember the state of the last one's check.
    let service = format!("alone-{}-{run}", every.as_secs());
    let (mut old, new) = (Server::start("127.0.0.46"), Server::start("127.0.0.47"));
    for (name, server) in [("old", &old), ("new", &new)] {
        let registration = Registration {
            id: format!("{service}-{name}"),
            name: service.clone(),
            address: server.at.ip().to_string(),
            port: server.at.port(),
            passing_weight: 1,
            warning_weight: 1,
            checks: vec![CheckDefinition {
                id: format!("{service}-{name}-check"),
                name: "answers".into(),
                probe: Probe::Http {
                    url: format!("http://{}/", server.at),
                },
                interval: every,
                timeout: every,
                initial: Some(Status::Passing),
                deregister_after: None,
            }],
            ..Registration::default()
        };
        rig.consul
            .register(&registration)
            .await
            .expect("a registration");
    }
    let client = rig.client(&service).await;
    requests(&client, size.rate, size.soak, 1).await;
    size.wait_for_phase(run, every).await;
    old.kill();
    requests(&client, size.rate, every + Duration::from_secs(3), 2).await
}

/// One of two instances of the service is killed so often: what its clients lose each time, on average.
async fn dying(rig: &Rig, size: &Size, service: &str) -> (f64, [Server; 2]) {
    let (mut old, new) = (Server::start("127.0.0.48"), Server::start("127.0.0.49"));
    let mut lost = 0;
    for run in 0..size.deaths {
        rig.settle(service, (&old, &new)).await;
        rig.aim(service, (&old, &new), Share::percent(50)).await;
        rig.passes(service, new.at.port()).await;
        let client = rig.client(service).await;
        requests(&client, size.rate, size.soak, 2 * run).await;
        // Eight times 137.5 ms is even over the check's second and over the tenth after which clients resolve again.
        size.wait_for_phase(run, Duration::from_millis(1_100)).await;
        old.kill();
        let report = requests(&client, size.rate, Duration::from_secs(4), 2 * run + 1).await;
        lost += report.failed;
        old.revive();
    }
    (lost as f64 / size.deaths as f64, [old, new])
}

async fn killed(rig: &Rig, size: &Size) -> [Server; 2] {
    let (checked, servers) = dying(rig, size, "killed").await;
    let probed = match Rig::pair(&["probed"]) {
        Some(pair) => dying(&pair, size, "probed").await.0,
        None => f64::NAN,
    };
    println!(
        "a killed instance of two at {}/s, mean of {}: {checked:.0} lost with a prepared switch on the gateway's check every 1 s, \
         {probed:.0} on the own probes of two gateways",
        size.rate, size.deaths
    );
    for every in [2, 10] {
        let mut theirs = 0.0;
        for run in 0..size.deaths {
            let report = alone(rig, size, Duration::from_secs(every), run).await;
            theirs += report.failed as f64 / size.deaths as f64;
        }
        println!(
            "  Consul alone, checks every {every} s (baseline): {theirs:.0} lost; ratio {:.2} on the check, {:.2} on own probes",
            checked / theirs.max(1.0),
            probed / theirs.max(1.0)
        );
    }
    servers
}

async fn together(rig: &Rig, size: &Size) {
    let (mut old, new) = (Server::start("127.0.0.50"), Server::start("127.0.0.51"));
    let names: Vec<String> = (0..size.crowd).map(|n| format!("crowd-{n}")).collect();
    rig.settle_all(&names, (&old, &new)).await;
    let began = now();
    old.kill();
    let all = switched(rig, "crowd-", names.len()).await;
    for name in &names {
        rig.passes(name, new.at.port()).await;
    }
    let seen = now().since(began).as_secs_f64();
    let after = |a: &Applied| a.at.since(began).as_secs_f64();
    let last = all.iter().map(after).fold(0.0, f64::max);
    let mean = all.iter().map(after).sum::<f64>() / all.len() as f64;
    let carried = |a: &Applied| stake(a.service.as_str()).0;
    let weighed = all.iter().map(|a| after(a) * carried(a)).sum::<f64>();
    println!(
        "{} services failing together: the last one is switched {last:.1} s after the kill, and all are seen so {seen:.1} s after it; \
         a service waits {mean:.1} s on average, a request {:.1} s",
        size.crowd,
        weighed / all.iter().map(carried).sum::<f64>()
    );
}
