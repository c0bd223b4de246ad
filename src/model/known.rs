//! What is believed of a place now: its own runs, aged, and what alike places lend it.

use super::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Standard deviation of the logarithm of what nothing at all is known of: a factor of two either way.
pub const UNKNOWN: f64 = 0.7;

/// A positive quantity that is not known for sure, taken as log-normal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// Median.
    pub middle: f64,
    /// The quantile that the appetite for risk counts on from below, and its counterpart from above.
    pub low: f64,
    pub high: f64,
    /// Standard deviation of its logarithm.
    pub spread: f64,
}

impl Estimate {
    /// What the next single run is believed to show: what is not known of the place, and what differs from run to run.
    pub fn of_one(&self, run: f64) -> Estimate {
        Estimate {
            spread: self.spread.hypot(run),
            ..*self
        }
    }

    /// The spread as a part of what is unknown where nothing was ever measured, 0…1.
    pub fn unsure(&self) -> f64 {
        (self.spread / UNKNOWN).clamp(0.0, 1.0)
    }
}

/// A place whose runs speak for another one too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lender {
    pub site: Site,
    pub class: NodeClass,
    /// Its own runs, by what is left of each.
    pub runs: f64,
    /// Its part of what is believed of the borrower, 0…1.
    pub part: f64,
}

/// Everything believed of one instance of a portion's release at a place, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Known {
    pub key: ProfileKey,
    /// Requests a second within the SLO.
    pub knee: Estimate,
    /// Its own runs carried all that was tried: the knee is a bound from below.
    #[serde(default)]
    pub knee_open: bool,
    /// Milliseconds from register to the first passing check.
    pub startup: Estimate,
    /// MHz·s of CPU a request.
    pub cpu: Estimate,
    /// Since its last own run; `None` without any.
    pub age: Option<Span>,
    pub half_life: Span,
    /// Own runs and requests ever made.
    pub runs: u32,
    pub samples: u64,
    /// Own runs by what is left of each, and what others lend, in runs' worth.
    pub own: f64,
    pub borrowed: f64,
    /// Who lends how much, the most first.
    pub from: Vec<Lender>,
    /// Standard deviation of the logarithm from one run to the next, of the knee and of the start-up.
    pub one_run: f64,
    pub one_start: f64,
}

impl Known {
    /// The part of the knee that is borrowed, 0…1.
    pub fn lent(&self) -> f64 {
        self.borrowed / (self.own + self.borrowed).max(1e-9)
    }

    /// How much is its own and how much is borrowed, and from where: `1.4 own runs of 2, 22% lent by edge-b (small)`.
    pub fn source(&self) -> String {
        let own = match self.runs {
            0 => "never measured".to_string(),
            n => format!("{:.1} own runs of {n}", self.own),
        };
        let counts = self.from.iter().filter(|l| l.part >= 0.01).take(3);
        let lenders: Vec<String> = counts
            .map(|l| format!("{} ({})", l.site, l.class.shown()))
            .collect();
        if lenders.is_empty() {
            return own;
        }
        let lent = (100.0 * self.lent()).round();
        format!("{own}, {lent:.0}% lent by {}", lenders.join(", "))
    }
}
