//! What will be: demand as quantile paths, disruption as probabilities within the horizon.

use super::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The levels every demand path carries, in this order.
pub const LEVELS: [f64; 11] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemandPoint {
    pub at: Moment,
    pub mean: Rps,
    /// One value for each of `LEVELS`, never crossing, never negative.
    pub quantiles: [Rps; LEVELS.len()],
}

impl DemandPoint {
    /// The value at `level`, linear between the levels kept; beyond them the outermost one.
    pub fn at_level(&self, level: f64) -> Rps {
        let k = LEVELS.partition_point(|l| *l < level);
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

/// What a path's first point is made of, in requests a second: they add up to what the smoothing foretells, times the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Components {
    pub level: f64,
    pub trend: f64,
    pub season: f64,
    /// What an event that the policy knows adds.
    pub event: f64,
    /// What the totals and the portions that call this one added or took.
    pub reconciled: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DemandPath {
    pub model: Arc<str>,
    /// The models and their weights, the heaviest first.
    pub models: SharedList<(Cow<'static, str>, f64)>,
    pub components: Components,
    /// Seasons found, in steps.
    pub seasons: Vec<usize>,
    pub step: Span,
    pub points: Vec<DemandPoint>,
    pub warnings: Vec<String>,
    /// Why it is what it is: level, trend and season at the first point, in one sentence.
    pub because: Arc<str>,
}

impl DemandPath {
    /// The highest value at `level` from `from` up to `until`.
    pub fn peak(&self, level: f64, from: Moment, until: Moment) -> Option<Rps> {
        self.levels(level, from, until).reduce(Rps::max)
    }
    /// Whether some value at `level` from `from` up to `until` is as high.
    pub fn reaches(&self, rate: Rps, level: f64, from: Moment, until: Moment) -> bool {
        self.levels(level, from, until).any(|r| r.0 >= rate.0)
    }
    fn levels(&self, level: f64, from: Moment, until: Moment) -> impl Iterator<Item = Rps> {
        self.points
            .iter()
            .filter(move |p| p.at >= from && p.at <= until)
            .map(move |p| p.at_level(level))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// One joint future: how high demand goes, and what fails meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scenario {
    /// Probability; those of a set sum to one.
    pub weight: f64,
    /// Every portion's demand follows its path at this level.
    pub level: f64,
    /// What fails; each domain is there once.
    pub failed: Vec<Domain>,
}

/// A small weighted set of joint futures that stands for all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scenarios {
    /// The likeliest first.
    pub list: Vec<Scenario>,
    /// Futures that were looked at, of which `list` was chosen.
    pub considered: usize,
    /// Probability of futures that were not looked at (three failures or more, or too unlikely).
    pub left_out: f64,
    /// Kantorovich distance between the futures looked at and `list`: how far, on average, a future is from the one that
    /// stands for it. In parts of the usual demand and of the estate.
    pub error: f64,
    /// The same as a part of what the one best future alone would be off by (0: nothing is lost, 1: one future would do as well).
    pub error_relative: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    pub at: Moment,
    pub horizon: Span,
    pub demand: BTreeMap<PortionId, DemandPath>,
    /// Demand over all portions of the policy: its means are the sums of theirs.
    #[serde(default)]
    pub total: Option<DemandPath>,
    /// Mean demand that each site's instances serve, as traffic is shared now; they sum to the total at each point.
    #[serde(default)]
    pub sites: BTreeMap<Site, Vec<(Moment, Rps)>>,
    pub hazards: Vec<Arc<Hazard>>,
    #[serde(default)]
    pub scenarios: Shared<Scenarios>,
}
