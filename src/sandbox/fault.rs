//! What can break: the handle by which a scenario, a test or an operator breaks the sandbox's world and mends it.

use super::links::{LinkError, Links};
use super::runtime::{ProcessRuntime, RuntimeError};
use crate::model::{Domain, NodeClass, Site};
use serde::Serialize;
use std::sync::Arc;

/// One thing that happens to the estate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// By node name.
    KillNode(String),
    ReviveNode(String),
    CutSite(Site),
    HealSite(Site),
    /// The nodes of a class give so many percent of what their books say, as with noisy neighbours or stolen CPU time.
    ClassSpeed {
        class: NodeClass,
        percent: u32,
    },
}

impl Fault {
    /// The failure domain that it happens to; a class of nodes is none.
    pub fn domain(&self) -> Option<Domain> {
        Some(match self {
            Fault::KillNode(node) | Fault::ReviveNode(node) => Domain::Node(node.as_str().into()),
            Fault::CutSite(site) | Fault::HealSite(site) => Domain::Site(site.clone()),
            Fault::ClassSpeed { .. } => return None,
        })
    }

    /// Whether something breaks, and is not mended.
    pub fn is_loss(&self) -> bool {
        matches!(self, Fault::KillNode(_) | Fault::CutSite(_))
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::KillNode(node) => write!(f, "node {node} dies"),
            Fault::ReviveNode(node) => write!(f, "node {node} comes back"),
            Fault::CutSite(site) => write!(f, "site {site} is cut off"),
            Fault::HealSite(site) => write!(f, "site {site} is reachable again"),
            Fault::ClassSpeed { class, percent } => {
                write!(f, "nodes of class {class} run at {percent}% of their speed")
            }
        }
    }
}

/// The links and the processes. Nomad's heartbeats and Consul's gossip learn of a fault by what stops coming, or from whoever wires them to it.
#[derive(Clone)]
pub struct Physical {
    pub links: Arc<Links>,
    pub runtime: Arc<ProcessRuntime>,
}

impl Physical {
    /// Make it happen. Doing a thing twice is doing it once.
    ///
    /// # Errors
    /// When the estate has no such site or node.
    pub fn apply(&self, fault: &Fault) -> Result<(), RuntimeError> {
        match fault {
            Fault::KillNode(node) => self.kill_node(node),
            Fault::ReviveNode(node) => self.revive_node(node),
            Fault::CutSite(site) => Ok(self.cut(site)?),
            Fault::HealSite(site) => Ok(self.heal(site)?),
            Fault::ClassSpeed { class, percent } => self.runtime.set_class_speed(class, *percent),
        }
    }

    /// See [`Links::cut`].
    ///
    /// # Errors
    /// When the estate has no such site.
    pub fn cut(&self, site: &Site) -> Result<(), LinkError> {
        self.links.cut(site)
    }

    /// See [`Links::heal`].
    ///
    /// # Errors
    /// When the estate has no such site.
    pub fn heal(&self, site: &Site) -> Result<(), LinkError> {
        self.links.heal(site)
    }

    /// See [`ProcessRuntime::kill_node`].
    ///
    /// # Errors
    /// When the estate has no such node.
    pub fn kill_node(&self, node: &str) -> Result<(), RuntimeError> {
        self.runtime.kill_node(node)
    }

    /// See [`ProcessRuntime::revive_node`].
    ///
    /// # Errors
    /// When the estate has no such node.
    pub fn revive_node(&self, node: &str) -> Result<(), RuntimeError> {
        self.runtime.revive_node(node)
    }
}
