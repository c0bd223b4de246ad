//! What the forecaster's benches share: seeded load with a five-minute step (a day, a slow drift, and noise that grows with the
//! level), and processor time, which other work on the machine hardly changes.

use foreshadow::forecast::Samples;
use foreshadow::model::{Moment, Span};
use nix::time::ClockId;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::f64::consts::TAU;

/// Points of a day.
pub const DAY: usize = 288;

pub fn load(points: usize, seed: u64) -> Samples {
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut drift = 0.0;
    let values = (0..points)
        .map(|i| {
            let x = TAU * i as f64 / DAY as f64;
            drift = 0.99 * drift + 0.02 * (dice.random::<f64>() - 0.5);
            let level = 100.0 * (1.0 + 0.5 * x.sin() + 0.2 * (2.0 * x + 1.0).sin() + drift);
            level * (1.0 + 0.2 * (dice.random::<f64>() - 0.5))
        })
        .collect();
    Samples {
        start: Moment(0),
        step: Span::secs(300),
        values,
    }
}

/// Processor time in milliseconds.
pub fn spent(clock: ClockId) -> f64 {
    let t = clock.now().expect("the clocks of a process can be read");
    t.tv_sec() as f64 * 1e3 + t.tv_nsec() as f64 / 1e6
}

/// Median of so many runs in this thread's processor time, in milliseconds; one more run comes before them.
pub fn median(times: usize, mut run: impl FnMut()) -> f64 {
    run();
    let mut ms: Vec<f64> = (0..times)
        .map(|_| {
            let before = spent(ClockId::CLOCK_THREAD_CPUTIME_ID);
            run();
            spent(ClockId::CLOCK_THREAD_CPUTIME_ID) - before
        })
        .collect();
    ms.sort_by(f64::total_cmp);
    ms[times / 2]
}
