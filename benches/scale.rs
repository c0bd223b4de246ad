//! What the program takes beside an estate as it grows: 10,000 nodes, 5,000 portions and 50,000 allocations at the most.
//!
//! `cargo bench --bench scale -- docs/scale.svg` starts the real binary (`foreshadow run`) on one core beside Nomad's and Consul's
//! HTTP APIs with made-up answers of that size, waits until it has seen everything, and measures it while nothing changes and
//! while 100 things change a second. `… -- gateway` measures one site of 50 nodes alone; a number (`64`, `16`, `4`, `1`) one
//! part of the whole; `30s` how long each while is; `cycle=60s` another cycle than the ten seconds of the default.
#![allow(clippy::disallowed_methods)] // time is what it measures

mod estate;

use estate::child::{Foreshadow, Turns};
use estate::served::{self, Served};
use estate::{Estate, Size, drawn};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// All of it; a ladder of parts of it goes up to here.
const WHOLE: Size = Size {
    nodes: 10_000,
    portions: 5_000,
};
const LADDER: [usize; 4] = [64, 16, 4, 1];
/// One site of fifty nodes: its part of the whole.
const GATEWAY: usize = 200;
/// Its longest turn until everything has been seen once.
const PATIENCE: Duration = Duration::from_secs(300);
const TURNS: &str = "foreshadow_cycle_duration_seconds";
const PARTS: &str = "foreshadow_cycle_part_duration_seconds";

/// What was measured in one while.
struct While {
    seconds: f64,
    /// Part of a core.
    busy: f64,
    turns: Turns,
    parts: Vec<(&'static str, Turns)>,
    resident: f64,
    handles: usize,
    asked: BTreeMap<(&'static str, String), u64>,
}

impl While {
    /// Requests a minute to a system.
    fn a_minute(&self, system: &str) -> f64 {
        let asked = self.asked.iter().filter(|((s, _), _)| *s == system);
        asked.map(|(_, n)| *n as f64).sum::<f64>() * 60.0 / self.seconds
    }
}

fn of(part: usize) -> Size {
    Size {
        nodes: WHOLE.nodes / part,
        portions: WHOLE.portions / part,
    }
}

/// Waits until two turns have come to their end and everything is seen.
async fn settled(child: &mut Foreshadow) -> Duration {
    let began = Instant::now();
    loop {
        if let Some(words) = child.ended() {
            panic!("it has ended: {words}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let text = child.metrics().await.unwrap_or_default();
        let value = |name: &str| {
            let line = text.lines().find_map(|l| l.strip_prefix(name));
            line.and_then(|v| v.trim().parse::<f64>().ok())
        };
        let blind = value("foreshadow_blind ");
        if value("foreshadow_cycles_total ").is_some_and(|n| n >= 3.0) && blind == Some(0.0) {
            return began.elapsed();
        }
        if began.elapsed() > PATIENCE {
            println!("      after {PATIENCE:?} it is blind to {blind:?} things");
            return began.elapsed();
        }
    }
}

async fn measure(child: &Foreshadow, served: &Served, seconds: u64) -> While {
    let before = child.metrics().await.unwrap_or_default();
    served.counts.take();
    let (began, spent) = (Instant::now(), child.spent());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (lasted, busy) = (began.elapsed().as_secs_f64(), child.spent() - spent);
    let (asked, resident, handles) = (served.counts.take(), child.resident(), child.handles());
    let after = child.metrics().await.unwrap_or_default();
    let turns = |name: &str, part: &str| {
        let new = Foreshadow::turns(&after, name, part);
        new.since(&Foreshadow::turns(&before, name, part))
    };
    let parts = ["look", "plan", "keep"];
    While {
        seconds: lasted,
        busy: busy / lasted,
        turns: turns(TURNS, ""),
        parts: parts
            .map(|p| (p, turns(PARTS, &format!("\"{p}\""))))
            .to_vec(),
        resident,
        handles,
        asked,
    }
}

fn tell(what: &str, w: &While) {
    let parts: Vec<String> = w
        .parts
        .iter()
        .map(|(p, t)| format!("{p} {:.0}", t.mean()))
        .collect();
    println!(
        "{what:>9}: {:5.0} turns, mean {:6.1} ms ({}), p50 <= {:5.0}, p99 <= {:5.0} ms; {:5.1} % of a core; {:6.1} MB, {:5} handles; a minute: Nomad {:7.0}, Consul {:7.0}, metrics {:7.0}",
        w.turns.count(),
        w.turns.mean(),
        parts.join(", "),
        w.turns.within(0.5),
        w.turns.within(0.99),
        w.busy * 100.0,
        w.resident,
        w.handles,
        w.a_minute("nomad"),
        w.a_minute("consul"),
        w.a_minute("metrics"),
    );
}

fn tell_asked(w: &While) {
    for ((system, path), count) in &w.asked {
        let a_minute = *count as f64 * 60.0 / w.seconds;
        println!("           {a_minute:9.1} a minute {system:>8} {path}");
    }
}

async fn one(size: Size, seconds: u64, cycle: &str) -> (While, While) {
    let estate = Arc::new(Estate::new(size));
    let served = served::serve(&estate).await;
    println!(
        "{} nodes, {} portions, {} allocations",
        size.nodes,
        size.portions,
        size.allocs()
    );
    let mut child = Foreshadow::start(size, &served, cycle);
    let took = settled(&mut child).await;
    println!(
        "      has seen everything after {:.0} s and {:.1} s of a core; {:.1} MB, {:.1} at the most",
        took.as_secs_f64(),
        child.spent(),
        child.resident(),
        child.most_resident()
    );
    let idle = measure(&child, &served, seconds).await;
    tell("idle", &idle);
    estate.changing.store(true, Ordering::Relaxed);
    let busy = measure(&child, &served, seconds).await;
    tell("100 a s", &busy);
    tell_asked(&busy);
    println!(
        "      store {} kB, at the most {:.1} MB",
        child.stored(),
        child.most_resident()
    );
    (idle, busy)
}

fn point(size: Size, idle: &While, busy: &While) -> drawn::Point {
    drawn::Point {
        nodes: size.nodes as f64,
        mean: busy.turns.mean(),
        late: busy.turns.within(0.99),
        resident: busy.resident,
        idle: idle.busy * 100.0,
        busy: busy.busy * 100.0,
        nomad: busy.a_minute("nomad"),
        consul: busy.a_minute("consul"),
    }
}

#[tokio::main]
async fn main() {
    let (bench, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|a| a == "--bench");
    // `cargo test` runs benches once, unoptimised, to see that they work.
    let measured = !bench.is_empty();
    // Nobody else has installed one here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load of the machine before: {}", load.trim());
    let numbers: Vec<usize> = words.iter().filter_map(|w| w.parse().ok()).collect();
    let parts = match (measured, words.iter().any(|w| w == "gateway")) {
        (false, _) => vec![1_000],
        (true, true) => vec![GATEWAY],
        (true, false) if numbers.is_empty() => LADDER.to_vec(),
        (true, false) => numbers,
    };
    let given = words.iter().find_map(|w| w.strip_suffix('s')?.parse().ok());
    let seconds = given.unwrap_or(if measured { 60 } else { 1 });
    let cycle = words.iter().find_map(|w| w.strip_prefix("cycle="));
    let cycle = cycle.unwrap_or("10s");
    let mut points = Vec::new();
    for part in parts {
        let size = of(part);
        let (idle, busy) = one(size, seconds, cycle).await;
        points.push(point(size, &idle, &busy));
    }
    if let Some(file) = words.iter().find(|w| w.ends_with(".svg")) {
        std::fs::write(file, drawn::picture(&points))
            .expect("the picture's folder can be written to");
    }
}
