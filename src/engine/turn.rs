//! How long a turn of the wheel takes, whole and by its parts, for whoever counts it (the `metrics` facade); nothing is decided by it.

use super::clock::Stopwatch;
use metrics::histogram;
use std::time::Duration;

/// One turn under way.
pub struct Turn {
    began: Stopwatch,
    told: Duration,
}

impl Turn {
    pub fn begin() -> Turn {
        Turn {
            began: Stopwatch::start(),
            told: Duration::ZERO,
        }
    }

    /// A part has come to its end: `look`, `plan` or `keep`.
    pub fn part(&mut self, name: &'static str) {
        let now = self.began.elapsed();
        histogram!("foreshadow_cycle_part_duration_seconds", "part" => name)
            .record(now.saturating_sub(self.told).as_secs_f64());
        self.told = now;
    }

    /// The turn has come to its end.
    pub fn end(self) {
        histogram!("foreshadow_cycle_duration_seconds").record(self.began.elapsed().as_secs_f64());
    }
}
