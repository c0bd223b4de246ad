//! What stands where: sites, nodes, links and prices. Data only; [`crate::sandbox::block`] gives it addresses.

use super::block::Block;
use crate::model::{Mbps, Mhz, MiB, NodeClass, Price, Site, Span};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Whether clients are near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteKind {
    /// Has clients and a gateway; its Consul agent is in datacenter `edge`.
    Edge,
    /// Has room for standbys; its Consul datacenter is `provider`.
    Provider,
}

impl SiteKind {
    /// Nomad node meta `kind`, and the Consul datacenter of such sites.
    pub fn as_str(self) -> &'static str {
        match self {
            SiteKind::Edge => "edge",
            SiteKind::Provider => "provider",
        }
    }
}

/// A machine that runs tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSpec {
    /// `<site>-<n>`
    pub name: String,
    pub site: Site,
    /// The site's number, from 1.
    pub site_number: u8,
    /// From 1 within the site.
    pub number: u8,
    pub class: NodeClass,
    /// Clock of one core.
    pub clock: Mhz,
    pub cores: u32,
    pub memory: MiB,
    pub disk: MiB,
    pub network: Mbps,
    pub price: Price,
    pub host_volumes: BTreeSet<String>,
}

/// A failure domain with nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteSpec {
    pub name: Site,
    /// From 1, as in the addresses.
    pub number: u8,
    pub kind: SiteKind,
    pub nodes: Vec<NodeSpec>,
}

/// A Consul agent of the estate.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsulSpec {
    /// Its node name in Consul.
    pub name: String,
    pub datacenter: &'static str,
    /// Where it stands: it is cut off with this site.
    pub site: Site,
    pub site_number: u8,
    pub server: bool,
}

/// The whole estate.
#[derive(Clone, Debug, PartialEq)]
pub struct Estate {
    pub block: Block,
    pub sites: Vec<SiteSpec>,
    /// Round trips in milliseconds between different sites, by site number.
    pub round_trips: Vec<(u8, u8, i64)>,
}

/// What the three nodes of a site have in common.
struct Hardware {
    class: &'static str,
    clocks: [f64; 3],
    cores: u32,
    memory: f64,
    disk: f64,
    network: f64,
    price: f64,
}

const EDGE: Hardware = Hardware {
    class: "edge-small",
    clocks: [2400.0, 2000.0, 2200.0],
    cores: 2,
    memory: 4096.0,
    disk: 20_480.0,
    network: 500.0,
    price: 0.12,
};
const STANDARD: Hardware = Hardware {
    class: "std",
    clocks: [3000.0; 3],
    cores: 4,
    memory: 8192.0,
    disk: 51_200.0,
    network: 1000.0,
    price: 0.20,
};
const SPOT: Hardware = Hardware {
    class: "spot",
    clocks: [2600.0; 3],
    cores: 4,
    memory: 8192.0,
    disk: 51_200.0,
    network: 1000.0,
    price: 0.09,
};

impl Estate {
    /// Two client-edge and two provider sites of three nodes each; the host volume `ledger` is on `edge-a-3` alone.
    pub fn builtin(block: Block) -> Estate {
        let mut sites = vec![
            site("edge-a", 1, SiteKind::Edge, &EDGE),
            site("edge-b", 2, SiteKind::Edge, &EDGE),
            site("provider-a", 3, SiteKind::Provider, &STANDARD),
            site("provider-b", 4, SiteKind::Provider, &SPOT),
        ];
        sites[0].nodes[2].host_volumes.insert("ledger".into());
        let round_trips = vec![
            (1, 2, 8),
            (1, 3, 16),
            (2, 3, 16),
            (1, 4, 28),
            (2, 4, 28),
            (3, 4, 12),
        ];
        Estate {
            block,
            sites,
            round_trips,
        }
    }

    pub fn site(&self, name: &Site) -> Option<&SiteSpec> {
        self.sites.iter().find(|s| s.name == *name)
    }

    pub fn nodes(&self) -> impl Iterator<Item = &NodeSpec> {
        self.sites.iter().flat_map(|s| &s.nodes)
    }

    pub fn node(&self, name: &str) -> Option<&NodeSpec> {
        self.nodes().find(|n| n.name == name)
    }

    /// What Nomad and Consul publish for a node.
    pub fn outer(&self, node: &NodeSpec) -> Ipv4Addr {
        self.block.outer(node.site_number, node.number)
    }

    /// Where the node's tasks bind.
    pub fn inner(&self, node: &NodeSpec) -> Ipv4Addr {
        self.block.inner(node.site_number, node.number)
    }

    /// Round trip between two sites by number; nothing within one.
    pub fn round_trip(&self, a: u8, b: u8) -> Span {
        let between = |&&(x, y, _): &&(u8, u8, i64)| (x, y) == (a, b) || (x, y) == (b, a);
        let found = self.round_trips.iter().find(between);
        Span::millis(found.map_or(0, |&(_, _, ms)| ms))
    }

    /// The Consul agents: a server at the first site of each kind, clients at the other edge sites. Further provider sites have none.
    pub fn consul_agents(&self) -> Vec<ConsulSpec> {
        let mut agents: Vec<ConsulSpec> = Vec::new();
        for s in &self.sites {
            let datacenter = s.kind.as_str();
            let first = agents.iter().all(|a| a.datacenter != datacenter);
            if first || s.kind == SiteKind::Edge {
                agents.push(ConsulSpec {
                    name: s.name.to_string(),
                    datacenter,
                    site: s.name.clone(),
                    site_number: s.number,
                    server: first,
                });
            }
        }
        agents
    }

    /// The Consul agent that serves the nodes of a site: its own, or the one of its datacenter's server.
    pub fn consul_agent_of(&self, site: &Site) -> Option<ConsulSpec> {
        let datacenter = self.site(site)?.kind.as_str();
        let agents = self.consul_agents();
        let own = agents.iter().find(|a| a.site == *site);
        own.or_else(|| agents.iter().find(|a| a.datacenter == datacenter))
            .cloned()
    }
}

fn site(name: &str, number: u8, kind: SiteKind, hardware: &Hardware) -> SiteSpec {
    let node = |(i, clock): (u8, &f64)| NodeSpec {
        name: format!("{name}-{i}"),
        site: Site::from(name),
        site_number: number,
        number: i,
        class: NodeClass::from(hardware.class),
        clock: Mhz(*clock),
        cores: hardware.cores,
        memory: MiB(hardware.memory),
        disk: MiB(hardware.disk),
        network: Mbps(hardware.network),
        price: Price(hardware.price),
        host_volumes: BTreeSet::new(),
    };
    SiteSpec {
        name: Site::from(name),
        number,
        kind,
        nodes: (1..).zip(&hardware.clocks).map(node).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_estate_has_twelve_nodes_and_one_with_the_ledger() {
        let estate = Estate::builtin(Block::default());
        assert_eq!(estate.nodes().count(), 12);
        let with_ledger: Vec<_> = estate
            .nodes()
            .filter(|n| n.host_volumes.contains("ledger"))
            .map(|n| n.name.as_str())
            .collect();
        assert_eq!(with_ledger, ["edge-a-3"]);
        let node = estate.node("provider-b-2").unwrap();
        assert_eq!(estate.outer(node).to_string(), "127.0.40.2");
        assert_eq!(estate.inner(node).to_string(), "127.1.40.2");
    }

    #[test]
    fn every_pair_of_sites_has_a_link_and_it_is_the_same_both_ways() {
        let estate = Estate::builtin(Block::default());
        for a in &estate.sites {
            for b in &estate.sites {
                let there = estate.round_trip(a.number, b.number);
                assert_eq!(there, estate.round_trip(b.number, a.number));
                assert_eq!(there == Span::millis(0), a.name == b.name);
            }
        }
    }

    #[test]
    fn both_provider_sites_share_an_agent_and_each_edge_site_has_its_own() {
        let estate = Estate::builtin(Block::default());
        let agents: Vec<_> = estate
            .consul_agents()
            .into_iter()
            .map(|a| (a.name, a.datacenter, a.server))
            .collect();
        let expected = [
            ("edge-a".to_string(), "edge", true),
            ("edge-b".to_string(), "edge", false),
            ("provider-a".to_string(), "provider", true),
        ];
        assert_eq!(agents, expected);
        let of = |site: &str| estate.consul_agent_of(&Site::from(site)).unwrap().name;
        assert_eq!(of("provider-b"), "provider-a");
        assert_eq!(of("edge-b"), "edge-b");
        assert_eq!(estate.consul_agent_of(&Site::from("nowhere")), None);
    }
}
