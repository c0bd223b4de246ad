//! What to send and when: the requests of an access log, a synthetic mix, or one path; at a rate, or at the log's own times.

use super::access::{AccessError, AccessLog};
use super::http::Asked;
use super::schedule::{Pacing, Schedule};
use crate::model::{Arrivals, LoadPolicy, MixPart, Rps};
use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The requests of a load, and the times that a log has for them.
#[derive(Clone, Debug)]
pub struct Replay {
    requests: Vec<Arc<Asked>>,
    /// Rising sums of the weights of a mix; none when requests are sent in their order.
    weights: Option<Vec<f64>>,
    /// Offsets from the first request, in order, and how long the log is.
    own: Vec<Duration>,
    lasts: Duration,
    /// One line: what it is made of and what was left out.
    pub sentence: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Log(#[from] AccessError),
    #[error(
        "{file}: all of its {requests} requests are left out: only {methods} may be sent; name others under `methods` if a shadow may see them"
    )]
    Unsafe {
        file: String,
        requests: usize,
        methods: String,
    },
    #[error(
        "`{path}` ({method}) is no request; give a method such as GET and a path that begins with /"
    )]
    Mix { method: String, path: String },
    #[error("a load at its own times needs a log (`from`); a mix and a path have none")]
    NoTimes,
}

impl Replay {
    /// What a policy asks for; `path` where it names neither log nor mix.
    ///
    /// # Errors
    /// The log cannot be read or holds nothing that may be sent, or a part of the mix is no request.
    pub fn new(policy: &LoadPolicy, path: &str) -> Result<Replay, ReplayError> {
        if let Some(from) = &policy.from {
            let log = AccessLog::read(Path::new(from), &policy.fields)?;
            return Replay::of_log(&log, from, &policy.methods);
        }
        if policy.arrivals == Arrivals::Own {
            return Err(ReplayError::NoTimes);
        }
        if policy.mix.is_empty() {
            let one = MixPart {
                method: "GET".into(),
                path: path.into(),
                weight: 1.0,
            };
            return Replay::of_mix(&[one]);
        }
        Replay::of_mix(&policy.mix)
    }

    /// The requests of a log whose method is among `methods`; requests of one second, where the log has no finer times, are
    /// spread evenly over it.
    pub fn of_log(log: &AccessLog, file: &str, methods: &[String]) -> Result<Replay, ReplayError> {
        let allowed = |m: &String| methods.iter().any(|a| a.eq_ignore_ascii_case(m));
        let sent: Vec<_> = log.requests.iter().filter(|r| allowed(&r.method)).collect();
        let left_out = log.requests.len() - sent.len();
        let requests: Vec<Arc<Asked>> =
            sent.iter()
                .filter_map(|r| {
                    let body = r.body.as_ref().map(|(text, kind)| {
                        (Bytes::copy_from_slice(text.as_bytes()), kind.clone())
                    });
                    Asked::new(&r.method, &r.path, body).map(Arc::new)
                })
                .collect();
        if requests.is_empty() {
            return Err(ReplayError::Unsafe {
                file: file.to_string(),
                requests: log.requests.len(),
                methods: methods.join(", "),
            });
        }
        let times: Vec<i64> = sent.iter().map(|r| r.at.0).collect();
        let (own, lasts) = offsets(&times);
        let unsafe_ones = match left_out {
            0 => String::new(),
            n => format!(", {n} left out for their method"),
        };
        Ok(Replay {
            requests,
            weights: None,
            own,
            lasts,
            sentence: format!("{file}: {}{unsafe_ones}", log.sentence()),
        })
    }

    /// Requests drawn by weight.
    pub fn of_mix(mix: &[MixPart]) -> Result<Replay, ReplayError> {
        let mut sum = 0.0;
        let (mut requests, mut weights) = (Vec::new(), Vec::new());
        for part in mix {
            let asked = Asked::new(&part.method, &part.path, None);
            let asked = asked.ok_or_else(|| ReplayError::Mix {
                method: part.method.clone(),
                path: part.path.clone(),
            })?;
            sum += part.weight.max(0.0);
            requests.push(Arc::new(asked));
            weights.push(sum);
        }
        let named: Vec<String> = mix
            .iter()
            .map(|p| format!("{} {}", p.method, p.path))
            .collect();
        Ok(Replay {
            requests,
            weights: (sum > 0.0 && mix.len() > 1).then_some(weights),
            own: Vec::new(),
            lasts: Duration::ZERO,
            sentence: named.join(", "),
        })
    }

    /// Requests a second of the log at its own times; `None` without one that lasts.
    pub fn own_rate(&self) -> Option<Rps> {
        let lasts = self.lasts.as_secs_f64();
        (lasts > 0.0).then(|| Rps(self.own.len() as f64 / lasts))
    }

    /// The request with this place in the schedule: a log's in its order, over and over; a mix's by a die of the place and `seed`.
    pub fn request(&self, index: u64, seed: u64) -> Arc<Asked> {
        let at = match &self.weights {
            None => (index % self.requests.len() as u64) as usize,
            Some(weights) => {
                let all = weights.last().copied().unwrap_or(1.0);
                let key = seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let die = Xoshiro256PlusPlus::seed_from_u64(key).random::<f64>() * all;
                weights
                    .partition_point(|w| *w <= die)
                    .min(weights.len() - 1)
            }
        };
        self.requests[at].clone()
    }

    /// The log's own times, `faster` times as fast, over and over until `lasts`.
    pub fn own_times(&self, faster: f64, lasts: Duration) -> Schedule {
        let round = self.lasts.as_secs_f64() / faster;
        let mut moments = Vec::new();
        let rounds = (0u32..).map(|n| round * f64::from(n));
        for begin in rounds.take_while(|b| round > 0.0 && *b < lasts.as_secs_f64()) {
            let at = |o: &Duration| Duration::from_secs_f64(begin + o.as_secs_f64() / faster);
            moments.extend(self.own.iter().map(at).take_while(|at| *at < lasts));
        }
        Schedule::given(moments, lasts)
    }

    /// Send times at a rate. At its own times a log is played as much faster or slower as the rate asks.
    pub fn schedule(&self, arrivals: Arrivals, rate: Rps, lasts: Duration, seed: u64) -> Schedule {
        match (arrivals, self.own_rate()) {
            (Arrivals::Own, Some(own)) => self.own_times(rate.0.max(1e-6) / own.0, lasts),
            (Arrivals::Constant, _) => Schedule::constant(rate, lasts, Pacing::Even),
            _ => Schedule::constant(rate, lasts, Pacing::Poisson { seed }),
        }
    }
}

/// Offsets from the first time, and the length with the mean distance after the last one. Times in whole seconds alone are
/// spread within their second.
fn offsets(times: &[i64]) -> (Vec<Duration>, Duration) {
    let Some((first, last)) = times.first().zip(times.last()) else {
        return (Vec::new(), Duration::ZERO);
    };
    let coarse = times.iter().all(|t| t % 1_000 == 0);
    let mut own = Vec::with_capacity(times.len());
    for same in times.chunk_by(|a, b| a == b) {
        for (n, at) in same.iter().enumerate() {
            let within = if coarse {
                n as f64 / same.len() as f64
            } else {
                0.0
            };
            own.push(Duration::from_secs_f64(
                (at - first) as f64 / 1_000.0 + within,
            ));
        }
    }
    let span = Duration::from_millis((last - first) as u64);
    let rest = match (coarse, times.len()) {
        (true, _) => Duration::from_secs(1),
        (false, n) => span / (n.max(2) as u32 - 1),
    };
    (own, span + rest)
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
