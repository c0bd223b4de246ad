//! What people want: one `Policy` a workload, as read from `policies/*.hcl`.

use super::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What clients may expect: `quantile` of latency within `latency`, `success` of requests answered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Slo {
    pub quantile: f64,
    pub latency: Millis,
    pub success: f64,
}

/// What shadows and standbys may cost, and how much of them may run at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Core-hours of shadows a day (a day is the policy's `season`).
    pub shadow: CoreHours,
    /// Core-hours of standbys a day.
    pub standby: CoreHours,
    pub max_shadows: usize,
    pub max_standbys: usize,
}

/// How shadows are judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judging {
    /// A twin at the production site takes the same load at the same time, as long as the budget lasts.
    pub twin: bool,
    /// So much slower does not matter; none: a hundredth of the SLO's latency.
    pub margin: Option<Millis>,
    /// Requests wanted of each side.
    pub requests: u64,
    /// Both sides are driven for so long at most; longer after runs that concluded nothing.
    pub longest: Span,
}

impl Default for Judging {
    fn default() -> Self {
        Judging {
            twin: true,
            margin: None,
            requests: 1_000,
            longest: Span::secs(8),
        }
    }
}

/// How traffic is moved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ramp {
    /// Shares of the receiving side, rising, the last one is 100 %.
    pub steps: Vec<Share>,
    /// How long a step is watched before the next one.
    pub soak: Span,
    /// How long everything must be well before traffic goes back.
    pub settle: Span,
    /// How long the old side stays warm after 100 % was observed.
    pub warm: Span,
    /// Requests that a step must have seen before it can be judged.
    pub min_samples: u64,
}

/// A daily window (minutes of the UTC day) without shadows and planned moves; it may cross midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiet {
    pub from_minute: u16,
    pub to_minute: u16,
}

/// A time without any change that nothing forces: a sale, an audit, a holiday.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Freeze {
    pub name: String,
    pub window: Window,
}

/// Where a portion's data may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Data {
    Free,
    /// The data must stay at these sites, and the portion with it.
    Stays(Vec<Site>),
}

/// What a shadow's calls to its upstreams reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upstreams {
    Stub,
    ProductionReadonly,
    /// Shadows of their own, run along with it: the whole subgraph.
    Shadow,
}

/// Where a portion's traffic figures are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// Exposition endpoints on the clients' side (`http://…/metrics`); empty: the instances' own `path`.
    pub clients: Vec<String>,
    /// Path on each instance.
    pub path: String,
    pub requests: String,
    pub duration: String,
    /// `label=value` that marks a request that failed, e.g. `outcome=lost`.
    pub failed: String,
    /// `label=value` pairs every sample must carry, e.g. `service=shop-web`.
    pub only: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortionPolicy {
    pub id: PortionId,
    pub job: JobId,
    pub groups: Vec<Group>,
    /// The service that clients resolve.
    pub front: Option<ServiceName>,
    /// How its weights are written.
    #[serde(default)]
    pub owner: OwnerChoice,
    /// Port label of the instances behind the front.
    pub port: String,
    /// Path of a request that stands for the load (GET), and of the health check.
    pub path: String,
    pub health: Arc<str>,
    pub depends_on: Vec<PortionId>,
    pub slo: Slo,
    pub data: Data,
    pub upstreams: Upstreams,
    /// Services that something stands in for, each in its own way.
    #[serde(default)]
    pub stand_ins: Vec<UpstreamPolicy>,
    pub metrics: Metrics,
    /// Whether the operator allows shadows and standbys of it at all.
    pub shadow: bool,
    pub standby: bool,
    /// Whether gateways may probe its instances themselves.
    #[serde(default)]
    pub probe: bool,
}

/// What the workload's standbys may put on the link between two sites. Nomad keeps no book of links; foreshadow does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkLimit {
    pub between: (Site, Site),
    pub capacity: Mbps,
}

/// A time that the operator knows of: from, until just before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub from: Moment,
    pub to: Moment,
}

impl Window {
    pub fn holds(&self, at: Moment) -> bool {
        self.from <= at && at < self.to
    }
    /// Whether any of it lies within `from` and `to`.
    pub fn meets(&self, from: Moment, to: Moment) -> bool {
        self.from <= to && from < self.to
    }
}

/// Demand that no history tells of: a sale, a broadcast, a holiday.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemandEvent {
    pub name: String,
    pub window: Window,
    /// Demand is this many times what it would be.
    pub factor: f64,
    /// Whose demand; none for all portions.
    pub portions: Vec<PortionId>,
}

impl DemandEvent {
    pub fn concerns(&self, portion: &PortionId) -> bool {
        self.portions.is_empty() || self.portions.contains(portion)
    }
}

/// Planned absence: a certainty, no chance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Maintenance {
    pub name: String,
    pub window: Window,
    /// Names of the nodes that go.
    pub nodes: Vec<String>,
    pub sites: Vec<Site>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    pub workload: String,
    /// Copies of the policy share them.
    pub portions: SharedList<PortionPolicy>,
    /// 0 (prepare for everything) to 1 (prepare for nothing but the likely).
    pub risk_tolerance: f64,
    pub budget: Budget,
    #[serde(default)]
    pub judging: Judging,
    /// Each site of clients keeps a ready instance of each portion, so that it is served while it is cut off.
    #[serde(default)]
    pub autonomous: bool,
    /// Sites where shadows and standbys may run.
    pub sites: Vec<Site>,
    pub links: Vec<LinkLimit>,
    pub ramp: Ramp,
    pub quiet: Vec<Quiet>,
    #[serde(default)]
    pub freezes: Vec<Freeze>,
    /// How shadows of a portion are driven, where the policy says so.
    #[serde(default)]
    pub loads: BTreeMap<PortionId, LoadPolicy>,
    #[serde(default)]
    pub events: Vec<DemandEvent>,
    #[serde(default)]
    pub maintenance: Vec<Maintenance>,
    /// Services never touched (Consul, Nomad and foreshadow themselves always are).
    pub deny: Vec<ServiceName>,
    /// Step of the demand history.
    pub step: Span,
    /// The calendar's season, if the operator knows it (a day by default).
    pub season: Span,
    /// How far ahead the outlook looks.
    pub horizon: Span,
    /// The highest request rate that simulations scale a trace to.
    pub peak_rps: Rps,
}

impl PortionPolicy {
    /// Whether a shadow of it calls production.
    pub fn calls_production(&self) -> bool {
        self.upstreams == Upstreams::ProductionReadonly || self.has_door()
    }
    /// Whether an `upstream` block lets a shadow's reads through to production.
    pub fn has_door(&self) -> bool {
        let door = |u: &UpstreamPolicy| matches!(u.instead, Instead::ProductionReadonly { .. });
        self.stand_ins.iter().any(door)
    }
}

impl Policy {
    pub fn portion(&self, id: &PortionId) -> Option<&PortionPolicy> {
        self.portions.iter().find(|p| &p.id == id)
    }
    /// The freeze that holds at that time.
    pub fn frozen(&self, at: Moment) -> Option<&Freeze> {
        self.freezes.iter().find(|f| f.window.holds(at))
    }
    /// Why there are no shadows and no planned moves at that time: a freeze, or a quiet window of the UTC day.
    pub fn rest(&self, at: Moment) -> Option<String> {
        if let Some(freeze) = self.frozen(at) {
            return Some(format!("frozen: {}", freeze.name));
        }
        let minute = (at.0.rem_euclid(86_400_000) / 60_000) as u16;
        let quiet = self.quiet.iter().any(|q| {
            if q.from_minute <= q.to_minute {
                (q.from_minute..q.to_minute).contains(&minute)
            } else {
                minute >= q.from_minute || minute < q.to_minute
            }
        });
        quiet.then(|| "quiet hours".to_string())
    }
    pub fn by_front(&self, front: &ServiceName) -> Option<&PortionPolicy> {
        self.portions
            .iter()
            .find(|p| p.front.as_ref() == Some(front))
    }
}
