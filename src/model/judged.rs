//! What a judge said of a shadow, and what it was compared with.

use super::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a place is as good for a portion as where production runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    Pass,
    Fail,
    Inconclusive,
}

impl Ruling {
    pub fn word(self) -> &'static str {
        match self {
            Ruling::Pass => "pass",
            Ruling::Fail => "fail",
            Ruling::Inconclusive => "inconclusive",
        }
    }
}

/// What a shadow is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// Its baseline twin: same release, same load, same time, at the production site.
    Twin { site: Site },
    /// Production's own latencies just before.
    Production,
    /// What production did just before the shadow ran: it got worse meanwhile.
    Interference,
}

impl std::fmt::Display for Against {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Against::Twin { site } => write!(f, "against its twin at {site}"),
            Against::Production => f.write_str("against production just before"),
            Against::Interference => f.write_str("it hurt production"),
        }
    }
}

/// The verdict in force for a portion's release at a site on a class of nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judged {
    pub key: ProfileKey,
    pub at: Moment,
    pub ruling: Ruling,
    /// One sentence with number and limit.
    pub because: String,
    pub against: Against,
    /// The load of both sides, and the requests that counted of each.
    pub rate: Rps,
    pub baseline: u64,
    pub shadow: u64,
    /// The same ruling so many times in a row.
    pub times: u32,
    /// Runs since then that concluded nothing: the next one takes more samples.
    pub undecided: u32,
}

/// A verdict counts for so many half-lives of a shadow's evidence.
const STANDS: i64 = 2;

impl Judged {
    /// Whether it still counts: evidence fades, and a verdict with it. Without a half-life nothing fades.
    pub fn stands(&self, now: Moment, half_life: Span) -> bool {
        half_life.0 <= 0 || now.since(self.at) < half_life.times(STANDS)
    }
    /// Factor on the time to the next shadow there: what failed is looked at less often, what is open sooner.
    pub fn pace(&self) -> f64 {
        let pace = match self.ruling {
            Ruling::Fail => f64::from(1u32 << self.times.clamp(1, 3)),
            Ruling::Pass => 1.0,
            Ruling::Inconclusive => 0.5,
        };
        if self.undecided > 0 { pace * 0.5 } else { pace }
    }
    pub fn sentence(&self) -> String {
        format!(
            "{} ({}): {}",
            self.ruling.word(),
            self.against,
            self.because
        )
    }
}

/// Latencies as a histogram has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// Upper bound of each bucket, rising and finite, and the requests in it.
    pub buckets: Vec<(Millis, u64)>,
    pub failed: u64,
}

impl Latencies {
    pub fn requests(&self) -> u64 {
        self.buckets.iter().map(|b| b.1).sum::<u64>() + self.failed
    }
    pub fn add(&mut self, other: &Latencies) {
        self.failed += other.failed;
        for (bound, n) in &other.buckets {
            match self.buckets.binary_search_by(|b| b.0.0.total_cmp(&bound.0)) {
                Ok(at) => self.buckets[at].1 += n,
                Err(at) => self.buckets.insert(at, (*bound, *n)),
            }
        }
    }
}

/// What one endpoint of production's metrics told between two readings, one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub portion: PortionId,
    /// The instance that tells of itself; `None` where clients tell.
    pub instance: Option<AllocId>,
    /// When it began, and when it ended.
    pub from: Moment,
    pub at: Moment,
    /// As its counter of requests has it.
    #[serde(default)]
    pub requests: u64,
    pub latencies: Latencies,
}

/// What a shadow is to be compared with, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compare {
    pub twin: Option<Twin>,
    /// Production of late: what counts where there is no twin.
    pub production: Latencies,
    /// The load of both sides.
    pub rate: Rps,
    /// Requests wanted of each side, within this time.
    pub requests: u64,
    pub longest: Span,
    /// So much slower does not matter.
    pub margin: Millis,
}

/// A running twin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Twin {
    pub site: Site,
    pub url: String,
    pub health: String,
}
