//! What a portion does on a kind of resource, as shadows measured it.

use super::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
}

/// What a portion needs to serve a demand: requests × what shadows measured of one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceNeed {
    pub demand: Rps,
    pub needs: Resources,
    /// Standard deviation as a part of the mean.
    pub unsure: f64,
    /// Measurements behind it.
    pub runs: u32,
}

/// What is believed of one instance of a portion there, from all measurements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    pub key: ProfileKey,
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
