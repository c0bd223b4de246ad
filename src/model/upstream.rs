//! What stands in for a service that a shadow calls.

use super::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Methods that change nothing (RFC 9110, 9.2.1).
pub const SAFE_METHODS: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// One recorded request and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    pub method: String,
    /// With its query.
    pub path: String,
    pub status: u16,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: String,
    /// From the request's arrival to the answer's end.
    #[serde(default)]
    pub latency: Millis,
}

/// What a shadow's calls to one service reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum Instead {
    /// Answers from a recording; without one, 200 and an empty body after `latency`.
    Stub {
        recording: Vec<Exchange>,
        latency: Millis,
    },
    /// Production itself, for these methods alone.
    ProductionReadonly { methods: Vec<String> },
}

/// One service that a portion's tasks call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpstreamPolicy {
    /// The service's name in Consul, or the host and port of one that is not there.
    pub name: String,
    /// The variable by which the tasks are told where it is, as `host:port`.
    pub env: String,
    pub instead: Instead,
}

impl UpstreamPolicy {
    /// The port label of what stands in for the n-th upstream of a shadow.
    pub fn label(n: usize) -> String {
        format!("foreshadow_up_{n}")
    }
    /// A door to production's service for what changes nothing.
    pub fn door(name: String) -> UpstreamPolicy {
        UpstreamPolicy {
            env: Self::usual_env(&name),
            name,
            instead: Instead::ProductionReadonly {
                methods: SAFE_METHODS.map(String::from).to_vec(),
            },
        }
    }
    /// The variable that it has when the policy names none: `UPSTREAM_SHOP_CART`.
    pub fn usual_env(name: &str) -> String {
        let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        format!("UPSTREAM_{}", name.to_ascii_uppercase())
    }
}

/// The task beside a shadow's own that stands in for its upstreams.
pub const UPSTREAMS_TASK: &str = "foreshadow-upstreams";
/// Where that task finds what it is to stand in for: a JSON list of [`UpstreamPolicy`].
pub const UPSTREAMS_PLAN: &str = "FORESHADOW_UPSTREAM_PLAN";
