//! What will be: demand as quantile paths, disruption as probabilities within the horizon.

use super::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The levels every demand path carries, in this order.
pub const LEVELS: [f64; 11] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemandPoint {
    pub at: Moment,
    pub mean: Rps,
    /// One value for each of `LEVELS`, never crossing, never negative.
    pub quantiles: Vec<Rps>,
}

impl DemandPoint {
    /// The value at `level`, linear between the levels kept; beyond them the outermost one.
    pub fn at_level(&self, level: f64) -> Rps {
        let k = LEVELS.partition_point(|l| *l < level);
        if self.quantiles.len() != LEVELS.len() {
            return self.mean;
        }
        if k == 0 {
            return self.quantiles[0];
        }
        if k == LEVELS.len() {
            return self.quantiles[k - 1];
        }
        let t = (level - LEVELS[k - 1]) / (LEVELS[k] - LEVELS[k - 1]);
        let (a, b) = (self.quantiles[k - 1].0, self.quantiles[k].0);
        Rps(a + (b - a) * t)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemandPath {
    pub model: String,
    /// Seasons found, in steps.
    pub seasons: Vec<usize>,
    pub step: Span,
    pub points: Vec<DemandPoint>,
    pub warnings: Vec<String>,
    /// Why it is what it is: level, trend and season at the first point, in one sentence.
    pub because: String,
}

impl DemandPath {
    /// The highest value at `level` from `from` up to `until`.
    pub fn peak(&self, level: f64, from: Moment, until: Moment) -> Option<Rps> {
        self.points
            .iter()
            .filter(|p| p.at >= from && p.at <= until)
            .map(|p| p.at_level(level))
            .reduce(Rps::max)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hazard {
    pub domain: Domain,
    pub name: String,
    /// Failures an hour, now.
    pub per_hour: f64,
    /// That it fails within the horizon.
    pub within: Probability,
    pub repair: Span,
    pub why: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    pub at: Moment,
    pub horizon: Span,
    pub demand: BTreeMap<PortionId, DemandPath>,
    pub hazards: Vec<Hazard>,
}
