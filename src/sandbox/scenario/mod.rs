//! What breaks, and when: scenarios as HCL, their player, and for which losses a fault answers. The scheduler never reads one.
//!
//! A surge is not part of a scenario: it is demand, and so part of the load trace.

mod parse;
mod player;

pub use parse::ScenarioError;
pub use player::Player;

use super::fault::Fault;
use crate::model::{NodeId, Site};
use std::time::Duration;

/// The scenario of the sandbox, `assets/scenarios/day.hcl`.
pub const DAY: &str = include_str!("../../../assets/scenarios/day.hcl");

/// What happens in a sandbox from its start to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    pub length: Duration,
    /// Requests a second that clients make all the time, rather than what the trace has.
    pub rps: Option<f64>,
    /// In the order of their times.
    pub incidents: Vec<Incident>,
}

/// A fault at its time, counted from the scenario's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    pub at: Duration,
    pub fault: Fault,
    pub explains: Explains,
}

/// The losses that a fault answers for: until it can have been detected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explains {
    pub sites: Vec<Site>,
    pub nodes: Vec<NodeId>,
    pub grace: Duration,
}

impl Scenario {
    /// Lets the return of a site answer for losses at least this long after it.
    pub fn heals_slowly(&mut self, site: &Site, grace: Duration) {
        for incident in &mut self.incidents {
            if matches!(&incident.fault, Fault::HealSite(s) if s == site) {
                incident.explains.grace = incident.explains.grace.max(grace);
            }
        }
    }

    /// The incident that answers for a request lost at `at`, which was under way between these sites or through these nodes.
    pub fn explains(&self, at: Duration, sites: &[Site], nodes: &[NodeId]) -> Option<&Incident> {
        self.incidents.iter().find(|i| {
            let in_time = at >= i.at && at - i.at <= i.explains.grace;
            let of_site = i.explains.sites.iter().any(|s| sites.contains(s));
            let of_node = i.explains.nodes.iter().any(|n| nodes.contains(n));
            in_time && (of_site || of_node)
        })
    }
}

#[cfg(test)]
mod tests;
