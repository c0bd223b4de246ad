//! What the search for the knee costs and how well it finds it, on simulated servers whose knee is known; no time passes there.
//!
//! `cargo bench --bench sweep` prints, for each server, the requests that the sequential search used, and those of the same rates
//! with a fixed length each (baseline); how often the knee was off by more than 15 %, and how often the rates that were called
//! proven did not enclose the true one. The search is asked for 95 %.

use foreshadow::load::knee::Aim;
use foreshadow::load::simulated::{Server, search, slo};
use foreshadow::model::Rps;

/// At most so many requests a rate; the fixed sweep sends them all.
const MOST: usize = 2_000;

fn main() {
    let measured = std::env::args().any(|a| a == "--bench");
    let seeds: u64 = if measured { 1_000 } else { 5 };
    for server in [
        Server::Coin { knee: 85.0 },
        Server::Exponential { capacity: 40.0 },
        Server::Exponential { capacity: 100.0 },
        Server::Exponential { capacity: 400.0 },
        Server::Constant { capacity: 20.0 },
        Server::Constant { capacity: 60.0 },
    ] {
        let knee = server.knee();
        let (mut used, mut fixed, mut off, mut outside) = (0, 0, 0, 0);
        for seed in 0..seeds {
            let aim = Aim {
                slo: slo(),
                confidence: 0.95,
                resolution: 0.10,
                start: Rps(10.0 + (seed % 7) as f64),
                highest: Rps(2_000.0),
                min_requests: 30,
            };
            let found = search(server, aim, MOST, seed);
            used += found.requests;
            fixed += found.tries * (MOST + MOST / 10);
            let at = found.knee.at.map_or(0.0, |r| r.0);
            off += u64::from((at / knee - 1.0).abs() > 0.15);
            let (low, high) = found.knee.proven;
            let inside = low.is_none_or(|l| l.0 <= knee) && high.is_none_or(|h| knee < h.0);
            outside += u64::from(!inside);
        }
        let part = |n: u64| 100.0 * n as f64 / seeds as f64;
        println!(
            "{server:?}, knee {knee:.1}/s: {} requests, {} with fixed lengths (baseline), ratio {:.2}; off by more than 15 % in {:.1} %, \
             outside of what was proven in {:.1} %",
            used / seeds as usize,
            fixed / seeds as usize,
            used as f64 / fixed as f64,
            part(off),
            part(outside),
        );
    }
}
