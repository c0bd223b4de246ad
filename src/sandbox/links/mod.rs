//! The network between sites: delay, cuts and dead nodes, put on real sockets by forwarders. It never looks into what it carries.
//!
//! A kernel completes TCP's handshake before a forwarder is asked, so across a cut a connect still succeeds and only then nothing comes: checks that talk (HTTP) see the cut, a bare TCP check does not.

mod gossip;
mod hold;
mod nic;
mod owners;
mod pipe;
mod socket_owner;

pub use gossip::{GossipEnd, GossipRelay};
pub use nic::{Nic, PortState};
pub use owners::Owners;

use super::block::Block;
use super::estate::Estate;
use crate::model::Site;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What went wrong on the sandbox's network.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error(
        "cannot listen on {address} for {node}: another program holds this port; stop it or take another block of addresses"
    )]
    Bind {
        address: SocketAddr,
        node: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{node} is dead: revive it before anything can listen there")]
    DeadNode { node: String },
    #[error("no site is called `{name}`; the estate has {known}")]
    UnknownSite { name: String, known: String },
    #[error("no node is called `{name}`; the estate has {known}")]
    UnknownNode { name: String, known: String },
}

/// The shared state of the network: who is cut off, which nodes are dead, how long a byte travels, and whose a socket is.
pub struct Links {
    block: Block,
    /// By site number less one.
    sites: Vec<Site>,
    /// One way, by site numbers less one.
    delays: Vec<Vec<Duration>>,
    /// Site numbers that are cut off.
    cut: watch::Sender<BTreeSet<u8>>,
    /// By node name: cancelled when the node dies.
    nodes: Mutex<BTreeMap<String, CancellationToken>>,
    owners: Owners,
}

impl Links {
    pub fn new(estate: &Estate) -> Links {
        let way = |a: u8, b: u8| {
            let ms = estate.round_trip(a, b).0;
            Duration::from_micros(u64::try_from(ms).unwrap_or(0) * 500)
        };
        let numbers = || estate.sites.iter().map(|s| s.number);
        let nodes = estate
            .nodes()
            .map(|n| (n.name.clone(), CancellationToken::new()));
        Links {
            block: estate.block,
            sites: estate.sites.iter().map(|s| s.name.clone()).collect(),
            delays: numbers()
                .map(|a| numbers().map(|b| way(a, b)).collect())
                .collect(),
            cut: watch::Sender::new(BTreeSet::new()),
            nodes: Mutex::new(nodes.collect()),
            owners: Owners::default(),
        }
    }

    /// Whose sockets are whose, for peers whose address does not say where they are.
    pub fn owners(&self) -> &Owners {
        &self.owners
    }

    /// The number of a site.
    ///
    /// # Errors
    /// When the estate has no such site.
    pub fn number(&self, site: &Site) -> Result<u8, LinkError> {
        let at = self.sites.iter().position(|s| s == site);
        let number = at.and_then(|i| u8::try_from(i + 1).ok());
        number.ok_or_else(|| LinkError::UnknownSite {
            name: site.to_string(),
            known: listed(self.sites.iter().map(Site::as_str)),
        })
    }

    /// Black-hole everything between this site and others. Cutting twice is cutting once.
    ///
    /// # Errors
    /// When the estate has no such site.
    pub fn cut(&self, site: &Site) -> Result<(), LinkError> {
        let number = self.number(site)?;
        self.cut.send_if_modified(|cut| cut.insert(number));
        Ok(())
    }

    /// Let the site's traffic through again. Connections that lost bytes to the cut are reset.
    ///
    /// # Errors
    /// When the estate has no such site.
    pub fn heal(&self, site: &Site) -> Result<(), LinkError> {
        let number = self.number(site)?;
        self.cut.send_if_modified(|cut| cut.remove(&number));
        Ok(())
    }

    pub fn is_cut(&self, site: &Site) -> bool {
        self.number(site)
            .is_ok_and(|number| self.cut.borrow().contains(&number))
    }

    /// Close every forwarder of a node and reset what went through them.
    ///
    /// # Errors
    /// When the estate has no such node.
    pub fn kill_node(&self, node: &str) -> Result<(), LinkError> {
        self.node(node).map(|token| token.cancel())
    }

    /// Let forwarders be opened on the node again; the closed ones stay closed.
    ///
    /// # Errors
    /// When the estate has no such node.
    pub fn revive_node(&self, node: &str) -> Result<(), LinkError> {
        if self.node(node)?.is_cancelled() {
            self.lock_nodes()
                .insert(node.to_string(), CancellationToken::new());
        }
        Ok(())
    }

    /// Whether the node exists and has not been killed.
    pub fn is_alive(&self, node: &str) -> bool {
        self.node(node).is_ok_and(|token| !token.is_cancelled())
    }

    /// Cancelled when the node dies.
    fn node(&self, node: &str) -> Result<CancellationToken, LinkError> {
        let nodes = self.lock_nodes();
        let found = nodes.get(node).cloned();
        found.ok_or_else(|| LinkError::UnknownNode {
            name: node.to_string(),
            known: listed(nodes.keys().map(String::as_str)),
        })
    }

    fn lock_nodes(&self) -> MutexGuard<'_, BTreeMap<String, CancellationToken>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The site of whoever connected from `peer` to our `local`: by address, else by the process that owns the socket. `None`: a stranger.
    async fn attribute(&self, peer: SocketAddr, local: SocketAddr) -> Option<u8> {
        match self.block.site_of(peer.ip()) {
            Some(site) => Some(site),
            None => self.owners.site_of(peer, local).await,
        }
    }

    /// The way between two sites. A stranger is everywhere: no delay, no cut.
    fn line(&self, from: Option<u8>, to: u8) -> Line {
        let far = from.filter(|&f| f != to);
        let delay = far.map_or(Duration::ZERO, |f| {
            self.delays[usize::from(f) - 1][usize::from(to) - 1]
        });
        Line {
            ends: far.map(|f| (f, to)),
            delay,
            cut: self.cut.subscribe(),
        }
    }
}

/// The way between two sites, for one connection.
struct Line {
    /// `None` when both ends are in one site: then it is never cut.
    ends: Option<(u8, u8)>,
    /// One way.
    delay: Duration,
    cut: watch::Receiver<BTreeSet<u8>>,
}

impl Line {
    fn is_open(&self) -> bool {
        let cut = self.cut.borrow();
        self.ends
            .is_none_or(|(a, b)| !cut.contains(&a) && !cut.contains(&b))
    }

    /// Returns when the line is open.
    async fn opened(&mut self) {
        self.until(true).await;
    }

    /// Returns when the line is cut.
    async fn severed(&mut self) {
        self.until(false).await;
    }

    async fn until(&mut self, open: bool) {
        let ends = self.ends;
        let reached = |cut: &BTreeSet<u8>| {
            open == ends.is_none_or(|(a, b)| !cut.contains(&a) && !cut.contains(&b))
        };
        if self.cut.wait_for(reached).await.is_err() {
            // The network itself is gone: nothing will ever change.
            std::future::pending::<()>().await;
        }
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
