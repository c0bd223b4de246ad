//! The scheduler apart from the estate, as `foreshadow run` is run: killed and started again, and idle.
//! What is awaited is a line that the program says or a state of the machine, each with a deadline that a slow machine keeps.
#![allow(clippy::await_holding_lock)] // each test has a runtime of its own: nothing else of it waits for the lock
#![allow(clippy::disallowed_methods)] // other processes are waited for; the environment says which program is tested

mod cut;
mod estate;
mod learns;
mod paused;
mod program;
mod several;
mod takeover;
mod together;

use estate::Estate;
use foreshadow::act::entries::PREFIX;
use foreshadow::clients::consul::Consul;
use foreshadow::clients::dns::Dns;
use foreshadow::model::Action;
use foreshadow::store::Store;
use nix::sys::signal::Signal;
use program::{Program, alone, comes_true, kind, text};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

const FRONT: &str = "shop-web.service.consul";
/// Much longer than a killed leader's lock takes to change hands.
const STEP: Duration = Duration::from_secs(60);
const READS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_that_is_killed_leaves_weights_as_they_are_and_goes_on_from_the_journal() {
    let _alone = alone();
    let mut estate = Estate::start().await;
    estate.play();
    let config = estate.configure(|policy| policy);
    let (consul, dns) = estate.gateway();
    let mut first = estate.schedule(&config);
    first.until("verified shares of web", STEP, |line| {
        let shares = text(line).starts_with("set shares verified");
        kind(line) == "verification" && shares && line["portion"] == "web"
    });
    let all_pass = async {
        while weights_given(&dns).await.len() < 2 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let passed = tokio::time::timeout(STEP, all_pass).await;
    passed.expect("DNS names both instances of web");
    let watch = Watch::over(estate.gateway().1);

    // A measurement takes seconds: the journal surely holds an open step when the scheduler is killed.
    first.until("a measurement", STEP, |line| {
        kind(line) == "plan" && text(line).starts_with("measure shadow")
    });
    let store = estate.store();
    let written = comes_true(STEP, || measuring(&store));
    assert!(written, "the measurement is not in the journal");
    first.signal(Signal::SIGKILL);
    first.until_its_end(STEP);
    assert!(
        measuring(&store),
        "the kill came too late to leave a step open"
    );

    let entries = entries(&consul).await;
    assert!(entries.len() >= 9, "entries of five fronts: {entries:#?}");
    for _ in 0..READS {
        let now = self::entries(&consul).await;
        assert_eq!(now, entries, "an entry has changed without a scheduler");
        for (instance, weight) in weights_given(&dns).await {
            let wanted = entries.values().any(|e| e.0 == instance && e.1 == weight);
            assert!(
                wanted,
                "DNS gives {instance} the weight {weight}: {entries:#?}"
            );
        }
    }

    let mut second = estate.schedule(&config);
    second.until("word of the journal", STEP, |line| {
        text(line).contains("after a restart: the load generator died with the process")
    });
    second.until("a verified step", STEP, |line| kind(line) == "verification");
    watch.saw_no_empty_answer().await;
    drop(second);
    estate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_idle_scheduler_is_small() {
    let _alone = alone();
    let estate = Estate::start().await;
    estate.remember_earlier_days();
    let config = estate.configure(|policy| {
        let idle = policy.replace("max_shadows        = 2", "max_shadows = 0");
        let idle = idle.replace("max_standbys       = 8", "max_standbys = 0");
        assert!(idle.contains("max_shadows = 0") && idle.contains("max_standbys = 0"));
        idle
    });
    let mut scheduler = estate.schedule(&config);
    let fronts: BTreeSet<&str> = ["web", "cart", "search", "pricing", "ledger"].into();
    for _ in &fronts {
        scheduler.until("verified shares", STEP, |line| {
            kind(line) == "verification" && text(line).starts_with("set shares")
        });
    }
    // Forecasts of all portions are fitted and it has nothing more to do.
    let began = cpu_ticks(&scheduler);
    let (mut most, looks) = (0, 40);
    for _ in 0..looks {
        tokio::time::sleep(Duration::from_millis(250)).await;
        most = most.max(resident_kib(&scheduler));
    }
    let seconds = f64::from(looks) * 0.25;
    // The kernel counts a hundred ticks a second.
    let share = (cpu_ticks(&scheduler) - began) as f64 / seconds;
    println!(
        "idle scheduler: {} MiB resident, {share:.1} % of a core",
        most / 1024
    );
    assert!(
        most > 0 && most < 60 * 1000 * 1000 / 1024,
        "{most} KiB resident"
    );
    drop(scheduler);
    estate.stop().await;
}

/// Asks again and again until told to stop, as clients do.
struct Watch {
    stop: Arc<AtomicBool>,
    watching: JoinHandle<(usize, usize)>,
}

impl Watch {
    fn over(dns: Dns) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let watching = tokio::spawn(async move {
            let (mut answers, mut empty) = (0, 0);
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(found) = dns.srv(FRONT).await {
                    answers += 1;
                    empty += usize::from(found.is_empty());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            (answers, empty)
        });
        Watch { stop, watching }
    }

    async fn saw_no_empty_answer(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (answers, empty) = self.watching.await.unwrap();
        assert!(answers > READS, "DNS answered {answers} times only");
        assert_eq!(empty, 0, "of {answers} answers");
    }
}

async fn weights_given(dns: &Dns) -> BTreeMap<String, u16> {
    let found = dns.srv(FRONT).await.unwrap_or_else(|e| panic!("{e}"));
    let given = found.into_iter().map(|r| {
        let ip = r.ip.expect("an address");
        (format!("{ip}:{}", r.port), r.weight)
    });
    given.collect()
}

/// Our entries by ID: address, weight, and whether clients are not given it.
async fn entries(consul: &Consul) -> BTreeMap<String, (String, u16, bool)> {
    let services = consul.agent_services().await.unwrap();
    let checks = consul.agent_checks().await.unwrap();
    let ours = services.into_values().filter(|s| s.id.starts_with(PREFIX));
    ours.map(|s| {
        let mut all = checks.values();
        let out = all.any(|c| c.is_maintenance() && c.service_id == s.id);
        let at = format!("{}:{}", s.address, s.port);
        (s.id, (at, s.weights.passing, out))
    })
    .collect()
}

/// Whether the journal holds a measurement that has not ended.
fn measuring(store: &std::path::Path) -> bool {
    let open = Store::open(store).and_then(|s| s.open_steps()).unwrap();
    let mut steps = open.iter().map(|entry| &entry.step.action);
    steps.any(|action| matches!(action, Action::MeasureShadow { .. }))
}

fn proc_file(program: &Program, name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{}/{name}", program.pid())).expect("it runs")
}

fn resident_kib(program: &Program) -> u64 {
    let status = proc_file(program, "status");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let figure = line.and_then(|l| l.split_whitespace().next());
    figure.and_then(|f| f.parse().ok()).expect("VmRSS")
}

fn cpu_ticks(program: &Program) -> u64 {
    let stat = proc_file(program, "stat");
    // The name in brackets may hold spaces; utime and stime are the 12th and 13th fields behind it.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |i: usize| fields[i].parse::<u64>().expect("ticks");
    ticks(11) + ticks(12)
}
