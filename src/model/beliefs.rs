//! What was learned: how wide bands must be, how forecasts did, how often to look.

use super::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the predictions of one portion did: its forecasts, and what its profiles said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skill {
    /// Factor on the band's half-width, adapted online.
    pub width: f64,
    /// Forecasts scored, and those whose 80 % band held the actual.
    pub scored: u64,
    pub covered: u64,
    /// Mean absolute error, in requests a second, with forgetting.
    pub error: Rps,
    /// How its profiles did.
    #[serde(default)]
    pub calibration: Calibration,
}

impl Default for Skill {
    fn default() -> Self {
        Self {
            width: 1.0,
            scored: 0,
            covered: 0,
            error: Rps(0.0),
            calibration: Calibration::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lesson {
    pub at: Moment,
    pub portion: Option<PortionId>,
    /// One sentence with numbers.
    pub text: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Beliefs {
    pub skill: BTreeMap<PortionId, Skill>,
    pub profiles: Vec<Profile>,
    /// The verdict in force for each place that was judged.
    #[serde(default)]
    pub verdicts: Vec<Judged>,
    /// Shadows that hurt production: factor on the cadence, by portion.
    pub caution: BTreeMap<PortionId, f64>,
    pub lessons: Vec<Lesson>,
}

impl Beliefs {
    pub fn profile(&self, key: &ProfileKey) -> Option<&Profile> {
        self.profiles.iter().find(|p| &p.key == key)
    }
    pub fn verdict(&self, key: &ProfileKey) -> Option<&Judged> {
        self.verdicts.iter().find(|v| &v.key == key)
    }
}
