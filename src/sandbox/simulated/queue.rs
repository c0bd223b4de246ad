//! One instance as a queue: Poisson arrivals in batches, any service time, a few servers (M/G/c), overload as a fluid.
//!
//! Within a batch the wait is taken as stationary: it happens with Erlang's C, and is exponential then, with the mean of the
//! M/M/c scaled by (1 + cv²) / 2 (Allen & Cunneen's approximation; Allen, "Probability, Statistics and Queueing Theory", 1990). What
//! comes beyond the capacity piles up and is worked off in later batches, as a fluid.

use crate::model::Slo;

/// Nearer to its capacity than this a queue is not stationary within a batch: the rest is the fluid's business.
const BUSIEST: f64 = 0.98;
/// Service times are log-normal with this coefficient of variation.
const CV: f64 = 0.5;
/// Their quantiles at 1/16, 3/16 … 15/16, in means.
const LOG_NORMAL: [f64; 8] = [
    0.4334, 0.5883, 0.7099, 0.8305, 0.9633, 1.1268, 1.3599, 1.8461,
];

/// What serves: `servers` of them, each `service` seconds a request on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Station {
    pub servers: f64,
    pub service: f64,
}

/// How requests of one batch fared at one station; times in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Batch {
    service: f64,
    /// Every request of it waits so long for what had piled up before …
    behind: f64,
    /// … and this part of them for each other, so long on average.
    waits: f64,
    each: f64,
    /// Part of it that is given up on.
    pub lost: f64,
    pub busy: f64,
}

impl Station {
    /// Requests a second at most.
    pub fn capacity(&self) -> f64 {
        self.servers / self.service.max(1e-9)
    }

    /// Takes a batch of `rate` requests a second over `dt` seconds; `backlog` (requests) is carried on. Whoever waits longer
    /// than `patience` seconds is gone.
    pub fn take(&self, rate: f64, dt: f64, backlog: &mut f64, patience: f64) -> Batch {
        let capacity = self.capacity();
        let before = *backlog;
        let come = rate * dt;
        let left = (before + come - capacity * dt).max(0.0);
        let most = capacity * patience;
        let over = (left - most).max(0.0);
        *backlog = left.min(most);
        let full = (rate / capacity).min(BUSIEST);
        let waits = erlang_c(self.servers, full);
        let each = (1.0 + CV * CV) / 2.0 * self.service / (self.servers * (1.0 - full)).max(1e-9);
        let mut batch = Batch {
            service: self.service,
            behind: (before + *backlog) / 2.0 / capacity,
            waits,
            each,
            lost: 0.0,
            busy: (rate / capacity).min(1.0),
        };
        let given_up = batch.beyond(patience);
        batch.lost = (given_up + over / come.max(1e-9)).clamp(0.0, 1.0);
        batch
    }

    /// The highest rate within the SLO, for ever; `elsewhere` seconds of the latency go by on the way and at upstreams.
    pub fn knee(&self, slo: &Slo, elsewhere: f64) -> f64 {
        let limit = slo.latency.0 / 1000.0 - elsewhere;
        let good = |rate: f64| {
            let batch = self.take(rate, 1.0, &mut 0.0, f64::MAX);
            batch.beyond(limit) <= 1.0 - slo.quantile
        };
        let (mut low, mut high) = (0.0, self.capacity() * BUSIEST);
        for _ in 0..30 {
            let middle = (low + high) / 2.0;
            match good(middle) {
                true => low = middle,
                false => high = middle,
            }
        }
        low
    }
}

impl Batch {
    /// Part of the requests that take longer than `x` seconds.
    pub fn beyond(&self, x: f64) -> f64 {
        let each = self.each.max(1e-9);
        let over = LOG_NORMAL.map(|times| {
            let rest = x - self.behind - self.service * times;
            match rest {
                rest if rest <= 0.0 => 1.0,
                // Fewer than one in 10¹⁵.
                rest if rest > 35.0 * each => 0.0,
                rest => self.waits * (-rest / each).exp(),
            }
        });
        over.iter().sum::<f64>() / LOG_NORMAL.len() as f64
    }

    /// Mean time in seconds.
    pub fn mean(&self) -> f64 {
        self.service + self.behind + self.waits * self.each
    }
}

/// Probability of a wait in an M/M/c at this part of its capacity (the recursion over Erlang's B).
fn erlang_c(servers: f64, full: f64) -> f64 {
    let offered = servers * full;
    let mut b = 1.0;
    let mut k = 1.0;
    while k <= servers {
        b = offered * b / (k + offered * b);
        k += 1.0;
    }
    (b / (1.0 - full * (1.0 - b))).clamp(0.0, 1.0)
}

/// Where a mixture of batches, each with its weight and seconds on the way, has its `level` quantile; seconds.
pub fn quantile(mix: &[(f64, f64, Batch)], level: f64) -> f64 {
    let total: f64 = mix.iter().map(|m| m.0).sum();
    if total <= 0.0 {
        return 0.0;
    }
    let beyond = |x: f64| {
        mix.iter()
            .map(|(w, way, b)| w * b.beyond(x - way))
            .sum::<f64>()
            / total
    };
    let mut high = mix
        .iter()
        .map(|(_, way, b)| way + b.mean())
        .fold(1e-4, f64::max);
    let mut low = 0.0;
    while beyond(high) > 1.0 - level && high < 3_600.0 {
        low = high;
        high *= 2.0;
    }
    // To a part in a thousand.
    for _ in 0..10 {
        let middle = (low + high) / 2.0;
        match beyond(middle) > 1.0 - level {
            true => low = middle,
            false => high = middle,
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Millis;

    const ONE: Station = Station {
        servers: 1.0,
        service: 0.032,
    };

    #[test]
    fn the_mean_wait_is_pollaczek_and_khinchines() {
        let rate = 20.0;
        let full: f64 = rate * 0.032;
        let wait = full * 0.032 / (1.0 - full) * (1.0 + CV * CV) / 2.0;
        let batch = ONE.take(rate, 10.0, &mut 0.0, 60.0);
        assert!((batch.mean() - 0.032 - wait).abs() < 1e-9, "{batch:?}");
    }

    #[test]
    fn what_comes_beyond_the_capacity_piles_up_and_is_worked_off() {
        let mut backlog = 0.0;
        let batch = ONE.take(2.0 * ONE.capacity(), 1.0, &mut backlog, 60.0);
        assert!((backlog - ONE.capacity()).abs() < 1e-9);
        assert!(batch.mean() > 0.5, "half a second behind on average");
        ONE.take(0.0, 1.0, &mut backlog, 60.0);
        assert!(backlog < 1e-9);
        let lost = ONE
            .take(10.0 * ONE.capacity(), 10.0, &mut backlog, 2.0)
            .lost;
        assert!(lost > 0.8, "nobody waits longer than two seconds: {lost}");
    }

    #[test]
    fn the_knee_keeps_the_slo_and_a_little_more_breaks_it() {
        let slo = Slo {
            quantile: 0.95,
            latency: Millis(400.0),
            success: 0.99,
        };
        let knee = ONE.knee(&slo, 0.0);
        let late = |rate: f64| ONE.take(rate, 1.0, &mut 0.0, f64::MAX).beyond(0.4);
        assert!(late(knee * 0.999) <= 0.05 && late(knee * 1.001) > 0.05);
        assert!(knee > 0.6 * ONE.capacity() && knee < ONE.capacity());
        assert!(ONE.knee(&slo, 0.1) < knee);
    }

    #[test]
    fn more_servers_wait_less_and_quantiles_are_where_the_tail_is_cut() {
        let four = Station {
            servers: 4.0,
            service: 0.128,
        };
        let (a, b) = (
            ONE.take(20.0, 1.0, &mut 0.0, 60.0),
            four.take(20.0, 1.0, &mut 0.0, 60.0),
        );
        assert!(b.waits < a.waits);
        let at = quantile(&[(1.0, 0.01, a)], 0.95);
        assert!((a.beyond(at - 0.01) - 0.05).abs() < 2e-3);
    }
}
