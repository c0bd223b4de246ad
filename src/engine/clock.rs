//! The only clock and the only dice of the house.
#![allow(clippy::disallowed_methods)] // this is where time comes from

use crate::model::{Moment, Span};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub type Dice = Xoshiro256PlusPlus;

/// Now, in milliseconds since the Unix epoch.
pub fn now() -> Moment {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Moment(since.as_millis() as i64)
}

pub fn dice(seed: u64) -> Dice {
    Dice::seed_from_u64(seed)
}

/// Ticks of the wheel; one that was missed is not made up for.
pub fn ticks(every: Span) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(Duration::from_millis(every.0.max(1) as u64));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// Times work for a report; nothing is decided by it.
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
