//! Servers whose knee is known exactly, and searches on them: what tests and the bench of the search stand on. No time passes.

use super::knee::{Aim, Knee, Search, Trial};
use super::schedule::{Pacing, Schedule};
use crate::model::{Millis, Rps, Slo};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::time::Duration;

const LIMIT: f64 = 0.2;
const LATE: f64 = 0.05;

/// 95 % of the requests within 200 ms.
pub fn slo() -> Slo {
    Slo {
        quantile: 1.0 - LATE,
        latency: Millis(LIMIT * 1_000.0),
        success: 0.99,
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Server {
    /// Late with a chance that depends on the rate alone.
    Coin { knee: f64 },
    /// One worker, exponential service, Poisson arrivals (M/M/1).
    Exponential { capacity: f64 },
    /// One worker, constant service, Poisson arrivals (M/D/1).
    Constant { capacity: f64 },
}

impl Server {
    /// The rate at which exactly 5 % of the requests take longer than 200 ms, in the long run.
    pub fn knee(self) -> f64 {
        match self {
            Server::Coin { knee } => knee,
            // Time in the system is exponential with rate μ − λ.
            Server::Exponential { capacity } => capacity + LATE.ln() / LIMIT,
            Server::Constant { capacity } => {
                let (mut low, mut high) = (0.0, capacity);
                for _ in 0..60 {
                    let mid = (low + high) / 2.0;
                    let end = match constant_late(mid, capacity) <= LATE {
                        true => &mut low,
                        false => &mut high,
                    };
                    *end = mid;
                }
                low
            }
        }
    }

    /// Intended times and latencies of about `count` requests, from an idle server.
    pub fn requests(self, rate: f64, count: usize, seed: u64) -> Vec<(Duration, Duration)> {
        let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x5eed);
        let lasts = Duration::from_secs_f64(count as f64 / rate);
        let mut free = 0.0f64;
        Schedule::constant(Rps(rate), lasts, Pacing::Poisson { seed })
            .map(|at| {
                let draw = dice.random::<f64>();
                let service = match self {
                    Server::Coin { knee } => {
                        let late = dice.random::<f64>() < LATE * (rate / knee).powi(8);
                        let took = if late {
                            1.5 * LIMIT
                        } else {
                            0.5 * LIMIT * draw
                        };
                        return (at, Duration::from_secs_f64(took));
                    }
                    Server::Exponential { capacity } => -(1.0 - draw).ln() / capacity,
                    Server::Constant { capacity } => 1.0 / capacity,
                };
                free = free.max(at.as_secs_f64()) + service;
                let took = (free - at.as_secs_f64()).max(0.0);
                (at, Duration::from_secs_f64(took))
            })
            .collect()
    }
}

/// P(time in the system > 200 ms) of M/D/1: Crommelin's alternating sum for the waiting time (Erlang 1909).
fn constant_late(rate: f64, capacity: f64) -> f64 {
    let service = 1.0 / capacity;
    let wait = LIMIT - service;
    let mut below = 0.0;
    for k in 0..=(wait / service).floor() as i32 {
        let x = rate * (f64::from(k) * service - wait);
        let factorial: f64 = (1..=k).map(f64::from).product();
        below += x.powi(k) / factorial * (-x).exp();
    }
    1.0 - (1.0 - rate * service) * below
}

/// What a search found and what it cost.
#[derive(Clone, Copy, Debug)]
pub struct Searched {
    pub knee: Knee,
    pub requests: usize,
    pub tries: usize,
}

/// Searches with at most `most` requests a rate after a tenth of that to warm up.
pub fn search(server: Server, aim: Aim, most: usize, seed: u64) -> Searched {
    let mut search = Search::new(aim);
    let (mut requests, mut tries) = (0, 0);
    while let Some(rate) = search.rate() {
        tries += 1;
        let warm = most / 10;
        let all = server.requests(rate.0, most + warm, seed * 1_000 + tries as u64);
        let mut trial = Trial::new(&aim);
        let decided = all
            .iter()
            .skip(warm)
            .enumerate()
            .find_map(|(i, (at, took))| {
                let ruling = trial.ended(i as u64, *at, *took, false);
                ruling.map(|r| (i + 1, r))
            });
        let (n, ruling) =
            decided.unwrap_or_else(|| (all.len().saturating_sub(warm), trial.close()));
        requests += n + warm;
        search.ruled(rate, ruling);
    }
    Searched {
        knee: search.knee(),
        requests,
        tries,
    }
}
