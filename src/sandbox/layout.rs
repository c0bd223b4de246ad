//! Where things of the estate stand: agents, gateways, nodes and clients, as their servers are told of them. Pure.

use super::consul;
use super::either_consul::Consul;
use super::estate::{ConsulSpec, Estate, SiteKind};
use super::nomad::{self, NodeConfig};
use super::world::{Gateway, Options, millis};
use crate::load::players::SiteClients;
use crate::model::Site;
use std::collections::BTreeMap;
use std::net::SocketAddr;

pub(super) fn embedded(estate: &Estate, options: &Options) -> consul::EstateConfig {
    let specs = estate.consul_agents();
    let mut round_trips = Vec::new();
    for a in &specs {
        for b in specs.iter().filter(|b| a.site_number < b.site_number) {
            let rtt = millis(estate.round_trip(a.site_number, b.site_number));
            round_trips.push((a.name.clone(), b.name.clone(), rtt));
        }
    }
    consul::EstateConfig {
        agents: specs
            .iter()
            .map(|s| consul::AgentConfig {
                node: s.name.clone(),
                datacenter: s.datacenter.to_string(),
                server: s.server,
                address: estate.block.consul(s.site_number).into(),
                http_port: 8500,
                dns_port: 8600,
                http_bind: options.consul_bind.filter(|_| s.name == specs[0].name),
                dns_bind: options.dns_bind.filter(|_| s.name == specs[0].name),
            })
            .collect(),
        round_trips,
        seed: options.seed,
        acl: options.acl.then(|| consul::AclConfig::seeded(options.seed)),
        ..consul::EstateConfig::default()
    }
}

pub(super) fn gateways(estate: &Estate, consul: &Consul) -> Vec<Gateway> {
    let at = |spec: &ConsulSpec| match consul {
        Consul::Real(real) => real.http(&spec.site).zip(real.dns(&spec.site)),
        Consul::Embedded(handle) => {
            let agent = handle.agents().into_iter().find(|a| a.node == spec.name);
            agent.map(|agent| (agent.http, agent.dns))
        }
    };
    estate
        .consul_agents()
        .into_iter()
        .filter_map(|spec| {
            let (http, dns) = at(&spec)?;
            Some(Gateway {
                http,
                dns,
                name: spec.name,
                site: spec.site,
            })
        })
        .collect()
}

pub(super) fn nodes(options: &Options, estate: &Estate, gateways: &[Gateway]) -> Vec<NodeConfig> {
    estate
        .nodes()
        .map(|n| {
            let agent = estate.consul_agent_of(&n.site);
            let gateway = gateways
                .iter()
                .find(|g| agent.as_ref().is_some_and(|a| a.site == g.site));
            // Where a host volume of that name would be; raw_exec cannot mount one.
            let ledger_dir = if n.host_volumes.contains("ledger") {
                options.folder.join("ledger").display().to_string()
            } else {
                String::new()
            };
            let kind = estate.site(&n.site).map_or("", |s| s.kind.as_str());
            let mut node = NodeConfig::new(&n.name, n.site.as_str(), &estate.outer(n).to_string());
            node.task_ip = Some(estate.inner(n).to_string());
            node.class = n.class.to_string();
            node.meta = BTreeMap::from([
                ("price".into(), n.price.0.to_string()),
                ("kind".into(), kind.into()),
                ("ledger_dir".into(), ledger_dir),
                (
                    "consul_dns".into(),
                    gateway.map(|g| g.dns.to_string()).unwrap_or_default(),
                ),
            ]);
            let clock = format!("{:.0}", n.clock.0);
            node.attributes = BTreeMap::from([
                ("cpu.frequency".into(), clock),
                ("cpu.numcores".into(), n.cores.to_string()),
                (
                    "unique.network.ip-address".into(),
                    estate.outer(n).to_string(),
                ),
            ]);
            node.cpu_mhz = (n.clock.0 * f64::from(n.cores)) as i64;
            node.memory_mb = n.memory.0 as i64;
            node.disk_mb = n.disk.0 as i64;
            node.network_mbits = n.network.0 as i64;
            node.host_volumes = n
                .host_volumes
                .iter()
                .map(|v| {
                    let volume = nomad::HostVolume {
                        path: format!("/srv/{v}"),
                        read_only: false,
                    };
                    (v.clone(), volume)
                })
                .collect();
            node.consul = gateway.map(|g| format!("http://{}", g.http));
            node
        })
        .collect()
}

pub(super) fn metrics(estate: &Estate) -> Vec<(Site, SocketAddr)> {
    let edges = estate.sites.iter().filter(|s| s.kind == SiteKind::Edge);
    edges
        .map(|s| (s.name.clone(), estate.block.metrics(s.number)))
        .collect()
}

pub(super) fn clients(estate: &Estate, gateways: &[Gateway]) -> Vec<SiteClients> {
    let edges: Vec<_> = estate
        .sites
        .iter()
        .filter(|s| s.kind == SiteKind::Edge)
        .collect();
    let share = 1.0 / edges.len().max(1) as f64;
    edges
        .iter()
        .filter_map(|s| {
            let gateway = gateways.iter().find(|g| g.site == s.name)?;
            Some(SiteClients {
                site: s.name.clone(),
                dns: gateway.dns,
                source: Some(estate.block.clients(s.number).into()),
                share,
            })
        })
        .collect()
}
