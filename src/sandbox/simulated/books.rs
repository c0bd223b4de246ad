//! What a run comes to: requests, losses, time beyond the SLO, cores held and cores used.

use super::spec::Spec;
use crate::model::*;

/// What one portion's clients saw since the last look.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    pub seconds: f64,
    pub requests: f64,
    pub lost: f64,
    /// The busiest batch of it, in the terms of [`super::queue::quantile`].
    pub mix: Vec<(f64, f64, super::queue::Batch)>,
    pub weight: f64,
}

#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Of the portions that clients call.
    pub requests: f64,
    pub lost: f64,
    /// Answered, but over the SLO's latency.
    pub late: f64,
    /// Seconds in which a portion broke its SLO, by portion.
    pub violations: Vec<f64>,
    /// Core-seconds held in Nomad's books, and those of them that requests used.
    pub held: f64,
    pub used: f64,
    /// From a serving instance's end until nobody is sent to it any more, in ms.
    pub reactions: Vec<f64>,
    pub(super) windows: Vec<Window>,
    /// For each portion that standbys serve: whether they were needed meanwhile.
    pub(super) surges: Vec<Option<bool>>,
    /// Surges that ended without having been needed.
    pub idle_surges: u64,
    /// When each failed instance fell, until it is out of every client's sight.
    pub(super) fell: std::collections::BTreeMap<u64, Moment>,
}

impl Books {
    pub(super) fn new(spec: &Spec) -> Books {
        let parts = spec.parts.len();
        Books {
            violations: vec![0.0; parts],
            windows: vec![Window::default(); parts],
            surges: vec![None; parts],
            ..Books::default()
        }
    }

    pub fn violation_seconds(&self) -> f64 {
        self.violations.iter().sum()
    }

    /// A quantile of the reactions, in ms; nothing when there was none.
    pub fn reaction(&self, level: f64) -> Option<f64> {
        let mut all = self.reactions.clone();
        all.sort_by(f64::total_cmp);
        let at = ((all.len() as f64 * level).ceil() as usize).max(1) - 1;
        all.get(at.min(all.len().saturating_sub(1))).copied()
    }
}
