//! What a cycle wants remembered; the store keeps it, the next start reads it back.

use super::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "memo", rename_all = "snake_case")]
pub enum Memo {
    Sample {
        portion: PortionId,
        at: Moment,
        rate: Rps,
    },
    Availability(Availability),
    Measurement(Measurement),
    Profile(Profile),
    Judged(Judged),
    Skill {
        portion: PortionId,
        skill: Skill,
    },
    /// Factor on the cadence of the portion's shadows.
    Caution {
        portion: PortionId,
        factor: f64,
    },
    Lesson(Lesson),
    /// What a person asked for, and who.
    Asked {
        at: Moment,
        who: String,
        what: String,
    },
}
