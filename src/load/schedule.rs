//! When to send: moments computed before the first request leaves, so that no answer can shift them.

use crate::model::Rps;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::time::Duration;

/// How sends are spread within a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// One request each 1/rate seconds.
    Even,
    /// A Poisson process from this seed.
    Poisson { seed: u64 },
}

type RateOf = Box<dyn Fn(Duration) -> f64 + Send + Sync>;

enum Intensity {
    Constant(f64),
    Varying(RateOf),
    /// Moments themselves, in order.
    Given(std::vec::IntoIter<Duration>),
}

/// An iterator of send times, as offsets from the start.
///
/// Requests are the points where the integral of the rate passes given levels: each whole number (even pacing), or
/// sums of exponential draws (Poisson; the time-rescaling theorem).
pub struct Schedule {
    intensity: Intensity,
    lasts: f64,
    /// The next level of the integral at which a request is sent.
    level: f64,
    dice: Option<Xoshiro256PlusPlus>,
    /// How far the rate is integrated: seconds, and the integral there.
    at: f64,
    integral: f64,
}

/// Step of the integration of a varying rate in seconds; within a step the rate is taken as constant.
const STEP: f64 = 0.005;

impl Schedule {
    /// `rate` requests a second for `lasts`; a rate that is not positive sends nothing.
    pub fn constant(rate: Rps, lasts: Duration, pacing: Pacing) -> Self {
        Self::new(Intensity::Constant(rate.0.max(0.0)), lasts, pacing)
    }

    /// A rate in requests a second that depends on the time since the start; negative and NaN count as zero.
    pub fn varying(
        rate: impl Fn(Duration) -> f64 + Send + Sync + 'static,
        lasts: Duration,
        pacing: Pacing,
    ) -> Self {
        Self::new(Intensity::Varying(Box::new(rate)), lasts, pacing)
    }

    /// These moments, sorted; what lies at `lasts` or later is left out.
    pub fn given(mut moments: Vec<Duration>, lasts: Duration) -> Self {
        moments.sort();
        moments.retain(|at| *at < lasts);
        Self::new(Intensity::Given(moments.into_iter()), lasts, Pacing::Even)
    }

    fn new(intensity: Intensity, lasts: Duration, pacing: Pacing) -> Self {
        let mut dice = match pacing {
            Pacing::Even => None,
            Pacing::Poisson { seed } => Some(Xoshiro256PlusPlus::seed_from_u64(seed)),
        };
        let level = dice.as_mut().map_or(0.0, exponential);
        Self {
            intensity,
            lasts: lasts.as_secs_f64(),
            level,
            dice,
            at: 0.0,
            integral: 0.0,
        }
    }

    /// The moment, in seconds, at which the integral reaches the level, or `None` when that is after the end.
    fn reach(&mut self) -> Option<f64> {
        let rate_of = match &mut self.intensity {
            Intensity::Given(moments) => return moments.next().map(|at| at.as_secs_f64()),
            Intensity::Constant(rate) => {
                let when = self.level / *rate;
                return (when < self.lasts).then_some(when);
            }
            Intensity::Varying(rate_of) => rate_of,
        };
        while self.at < self.lasts {
            let step = STEP.min(self.lasts - self.at);
            // f64::max maps a NaN rate to zero, too.
            let rate = rate_of(Duration::from_secs_f64(self.at + step / 2.0)).max(0.0);
            if rate > 0.0 && self.integral + rate * step > self.level {
                return Some(self.at + (self.level - self.integral).max(0.0) / rate);
            }
            self.integral += rate * step;
            self.at += step;
        }
        None
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let when = self.reach()?;
        self.level += self.dice.as_mut().map_or(1.0, exponential);
        Some(Duration::from_secs_f64(when))
    }
}

fn exponential(dice: &mut Xoshiro256PlusPlus) -> f64 {
    -(1.0 - dice.random::<f64>()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn a_constant_rate_gives_exactly_rate_times_seconds_evenly_spaced_sends() {
        let times: Vec<_> = Schedule::constant(Rps(40.0), secs(3), Pacing::Even).collect();
        assert_eq!(times.len(), 120);
        assert_eq!(times[0], Duration::ZERO);
        assert_eq!(times[119], Duration::from_millis(2975));
    }

    #[test]
    fn no_rate_sends_nothing() {
        assert_eq!(
            Schedule::constant(Rps(0.0), secs(9), Pacing::Even).count(),
            0
        );
        assert_eq!(
            Schedule::varying(|_| f64::NAN, secs(9), Pacing::Even).count(),
            0
        );
    }

    #[test]
    fn given_moments_are_played_in_order_up_to_the_end() {
        let ms = Duration::from_millis;
        let given = vec![ms(30), ms(10), ms(10), ms(1_000)];
        let times: Vec<_> = Schedule::given(given, secs(1)).collect();
        assert_eq!(times, [ms(10), ms(10), ms(30)]);
    }

    #[test]
    fn one_poisson_seed_gives_one_schedule_and_another_seed_another() {
        let of = |seed| -> Vec<_> {
            Schedule::constant(Rps(50.0), secs(5), Pacing::Poisson { seed }).collect()
        };
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() {
        let times: Vec<f64> =
            Schedule::constant(Rps(100.0), secs(200), Pacing::Poisson { seed: 1 })
                .map(|t| t.as_secs_f64())
                .collect();
        let gaps: Vec<f64> = times.windows(2).map(|w| w[1] - w[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let sd = (gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        // 20,000 draws: three standard errors are about 2 %.
        assert!((mean / 0.01 - 1.0).abs() < 0.03, "mean gap {mean}");
        assert!((sd / mean - 1.0).abs() < 0.05, "sd/mean {}", sd / mean);
    }

    #[test]
    fn a_varying_rate_sends_its_integral_and_follows_its_shape() {
        // 0 at the start to 100 rps at 10 s: 500 requests, a quarter of them in the first half.
        let times: Vec<_> =
            Schedule::varying(|t| 10.0 * t.as_secs_f64(), secs(10), Pacing::Even).collect();
        assert!((499..=501).contains(&times.len()), "{}", times.len());
        let early = times.iter().filter(|t| **t < secs(5)).count();
        assert!((124..=126).contains(&early), "{early}");
        assert!(times.is_sorted());
    }

    #[test]
    fn a_varying_rate_that_is_constant_equals_the_constant_schedule() {
        // The end lies between two sends: on a send, the last bit of a sum would decide.
        let lasts = Duration::from_millis(3980);
        let varying: Vec<_> = Schedule::varying(|_| 20.0, lasts, Pacing::Even).collect();
        let constant: Vec<_> = Schedule::constant(Rps(20.0), lasts, Pacing::Even).collect();
        assert_eq!(varying.len(), constant.len());
        for (v, c) in varying.iter().zip(&constant) {
            assert!(v.abs_diff(*c) < Duration::from_micros(1), "{v:?} {c:?}");
        }
    }
}
