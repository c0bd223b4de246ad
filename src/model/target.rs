//! The share each instance of a service should have: what the leader writes, and what gateways say they did.

use super::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One instance behind a front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    pub alloc: AllocId,
    pub address: Arc<str>,
    pub port: u16,
    pub node: NodeId,
    pub site: Site,
    /// Path of its HTTP health check.
    pub health: Arc<str>,
    /// 0: registered and checked, but in maintenance, so that clients are not given it.
    pub share: Share,
}

/// `foreshadow/target/<service>`: shares sum to 100 % over a non-empty set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    pub service: ServiceName,
    pub plan: PlanId,
    pub parent: Option<PlanId>,
    pub epoch: Epoch,
    /// By what means gateways write the shares.
    #[serde(default)]
    pub owner: Owner,
    pub instances: SharedList<Instance>,
    /// The switch that would be done for each failure domain, already cleared.
    pub contingencies: SharedList<Contingency>,
    /// The KV entry's ModifyIndex; 0 before it was written. Not part of the written document.
    #[serde(skip)]
    pub index: u64,
}

impl Target {
    pub fn shares(&self) -> BTreeMap<AllocId, Share> {
        self.instances
            .iter()
            .map(|i| (i.alloc.clone(), i.share))
            .collect()
    }
    pub fn share_of(&self, alloc: &AllocId) -> Share {
        self.instances
            .iter()
            .find(|i| &i.alloc == alloc)
            .map_or(Share::NONE, |i| i.share)
    }
}

/// What to do at once when `domain` fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contingency {
    pub domain: Domain,
    /// Instances that are lost with it.
    pub lost: Arc<[AllocId]>,
    pub shares: PreparedShares,
    /// Requests a second that go to those who are lost, each counted by its job's priority: what is switched first where not all can
    /// be at once. `None` where demand was not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stake: Option<Rps>,
}

/// `foreshadow/applied/<gateway>/<service>`: what a gateway did to its own agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    pub gateway: GatewayId,
    pub service: ServiceName,
    pub plan: PlanId,
    pub epoch: Epoch,
    /// ModifyIndex of the target that was applied.
    pub index: u64,
    pub weights: BTreeMap<AllocId, u32>,
    #[serde(default)]
    pub owner: Owner,
    /// The contingency in force, if one was.
    pub contingency: Option<Domain>,
    pub at: Moment,
    /// From the check's change seen to the last weight written, when a contingency was applied.
    pub reaction: Option<Span>,
    /// Whom it left out because gateways' own probes call it dead while Consul's checks do not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspected: Vec<AllocId>,
}

/// Keys in Consul's KV.
pub mod keys {
    use super::{Epoch, GatewayId, ServiceName, StepId};

    /// Everything of ours.
    pub const ROOT: &str = "foreshadow/";
    /// The operator's stop.
    pub const HOLD: &str = "foreshadow/hold";
    /// The leader's lock.
    pub const LEADER: &str = "foreshadow/leader";
    pub const TARGETS: &str = "foreshadow/target/";
    pub const APPLIED: &str = "foreshadow/applied/";
    /// Whom each gateway has found dead by its own probes.
    pub const SUSPECTS: &str = "foreshadow/suspects/";
    /// Notes of leaders: beside `ROOT`, all of whose keys every gateway reads anew whenever one of them changes.
    pub const NOTES: &str = "foreshadow-notes/";
    /// What the leader does, for those who follow it.
    pub const BULLETIN: &str = "foreshadow-notes/bulletin";
    /// What leaders have learnt, for whoever leads next.
    pub const BELIEFS: &str = "foreshadow-notes/beliefs";
    /// Steps that have not come to their end.
    pub const JOURNAL: &str = "foreshadow/journal/";

    pub fn target(service: &ServiceName) -> String {
        format!("{TARGETS}{service}")
    }
    pub fn applied(gateway: &GatewayId, service: &ServiceName) -> String {
        format!("{APPLIED}{gateway}/{service}")
    }
    pub fn suspects(gateway: &GatewayId) -> String {
        format!("{SUSPECTS}{gateway}")
    }
    /// Two leaders may name a step alike; under one epoch there is one leader.
    pub fn journal(epoch: Epoch, step: &StepId) -> String {
        format!("{JOURNAL}{}/{step}", epoch.0)
    }
}
