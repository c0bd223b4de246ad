//! How what profiles said compares with what came of switchovers and placements.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One predicted quantity: how often it lay within its 80 % band, and how far off it was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Track {
    pub scored: u64,
    pub covered: u64,
    /// Mean of ln(actual / predicted), with forgetting: above zero where more came than was said.
    pub bias: f64,
    /// Factor on the spread (of the logarithm) from now on.
    pub width: f64,
}

impl Default for Track {
    fn default() -> Self {
        Self {
            scored: 0,
            covered: 0,
            bias: 0.0,
            width: 1.0,
        }
    }
}

impl Track {
    /// Part of the predictions within their band; `None` before the first.
    pub fn coverage(&self) -> Option<f64> {
        (self.scored > 0).then(|| self.covered as f64 / self.scored as f64)
    }
}

/// Predictions of one portion's profiles against what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// Milliseconds at the SLO's quantile under the load that came.
    pub latency: Track,
    /// Whether the instances held the load: the band says "at least", the actual is the load that they held or failed at.
    pub capacity: Track,
    /// Milliseconds from a standby's register to its first passing check at the front.
    pub startup: Track,
}

impl Calibration {
    pub fn scored(&self) -> u64 {
        self.latency.scored + self.capacity.scored + self.startup.scored
    }
}
