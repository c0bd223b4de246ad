//! What a portion does on a kind of resource, as shadows measured it.

use super::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct ProfileKey {
    pub portion: PortionId,
    pub release: Release,
    pub site: Site,
    pub class: NodeClass,
}

impl NodeClass {
    /// The class as people read it: Nomad lets nodes have none.
    pub fn shown(&self) -> &str {
        if self.as_str().is_empty() {
            "no class"
        } else {
            self.as_str()
        }
    }
}

/// One request that has ended: its latency from the intended send time, and whether it was answered well.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub latency: Millis,
    pub ok: bool,
}

/// One load and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadPoint {
    pub rate: Rps,
    pub requests: u64,
    pub failed: u64,
    pub p50: Millis,
    pub p90: Millis,
    pub p99: Millis,
    pub at_slo: Millis,
    /// Within the SLO at this load.
    pub good: bool,
}

/// One finished measurement of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    pub key: ProfileKey,
    pub at: Moment,
    pub points: Vec<LoadPoint>,
    /// Highest load within the SLO; the highest one tried when all were good.
    pub knee: Rps,
    /// The knee lies above the highest load tried.
    pub knee_open: bool,
    pub cpu_a_request: f64,
    /// Bytes of an answer.
    #[serde(default)]
    pub bytes_a_request: f64,
    pub memory: MiB,
    /// From register to the first passing check.
    pub startup: Span,
    /// What else the run showed.
    #[serde(default)]
    pub details: Details,
    /// Ended early because production suffered, or because it was clearly bad.
    pub cut_short: Option<String>,
    /// How it compared with production.
    #[serde(default)]
    pub judged: Option<Judged>,
}

/// What a portion needs to serve a demand: requests × what shadows measured of one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceNeed {
    pub demand: Rps,
    pub needs: Resources,
    /// Standard deviation as a part of the mean.
    pub unsure: f64,
    /// Measurements behind it.
    pub runs: u32,
}

/// What runs showed of a positive quantity, in sums over its logarithm that fade with age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Faded {
    /// Runs that still count: each by what is left of it.
    pub runs: f64,
    /// Weighted mean of the logarithms.
    pub mean: f64,
    /// Weighted sum of their squared distances from it.
    pub squares: f64,
}

/// The evidence of one place, as it stood at the profile's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// A run counts for half after so long.
    pub half_life: Span,
    /// Of requests a second within the SLO.
    pub knee: Faded,
    /// No run has found the knee yet: each carried all that was tried, and `knee` is the highest of it, a bound from below.
    #[serde(default)]
    pub knee_open: bool,
    /// Of milliseconds from register to the first passing check.
    pub startup: Faded,
    /// Of MHz·s of CPU a request.
    pub cpu: Faded,
}

/// What is believed of one instance of a portion there, from all measurements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    pub key: ProfileKey,
    /// What the numbers below are taken from; a profile of before evidence was kept has none.
    #[serde(default)]
    pub evidence: Evidence,
    pub knee: Rps,
    /// Standard deviation of the knee between runs (with a prior's share when runs are few).
    pub knee_spread: Rps,
    /// MHz·s of CPU a request.
    pub cpu_a_request: f64,
    /// Bytes of an answer: what a request puts on the link to its clients.
    #[serde(default)]
    pub bytes_a_request: f64,
    pub memory: MiB,
    pub startup: Span,
    pub curve: Vec<LoadPoint>,
    /// What else the last run showed.
    #[serde(default)]
    pub details: Details,
    pub runs: u32,
    pub samples: u64,
    pub at: Moment,
}

impl Profile {
    /// The loads measured and the latency at the SLO's quantile under each, by load; those that nothing answered left out.
    pub fn answered(&self) -> Vec<(Rps, Millis)> {
        let told = |p: &&LoadPoint| p.at_slo.0.is_finite() && p.requests > p.failed;
        let mut points: Vec<(Rps, Millis)> = self
            .curve
            .iter()
            .filter(told)
            .map(|p| (p.rate, p.at_slo))
            .collect();
        points.sort_by(|a, b| a.0.0.total_cmp(&b.0.0));
        points
    }

    /// Latency at the SLO's quantile under a load, linear between the loads measured; below the lowest it is that one's, and
    /// beyond the highest nothing is known.
    pub fn latency_at(&self, load: Rps) -> Option<Millis> {
        let points = self.answered();
        let (first, last) = (points.first()?, points.last()?);
        if load <= first.0 {
            return Some(first.1);
        }
        if load > last.0 {
            return None;
        }
        points.windows(2).find(|w| load <= w[1].0).map(|w| {
            let part = (load.0 - w[0].0.0) / (w[1].0.0 - w[0].0.0).max(1e-9);
            Millis(w[0].1.0 + (w[1].1.0 - w[0].1.0) * part)
        })
    }

    /// Where the curve may really lie: for each load measured, the latency under a load that is less and more by the factor
    /// `e^spread` (`spread`: standard deviation of the knee's logarithm, times how sure the band is to be). What lies beyond
    /// the highest load measured is `beyond`.
    pub fn band(&self, spread: f64, beyond: Millis) -> Vec<(Rps, Millis, Millis)> {
        let factor = spread.exp();
        let at = |load: f64| self.latency_at(Rps(load)).unwrap_or(beyond);
        let points = self.answered().into_iter();
        points
            .map(|(load, _)| (load, at(load.0 / factor), at(load.0 * factor)))
            .collect()
    }
}
