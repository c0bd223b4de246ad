//! The configuration that each real Consul agent is started with.

use crate::sandbox::block::Block;
use crate::sandbox::estate::ConsulSpec;
use serde_json::{Value, json};
use std::net::SocketAddr;

pub(super) const SERVER_PORT: u16 = 8300;
pub(super) const LAN_PORT: u16 = 8301;
pub(super) const WAN_PORT: u16 = 8302;
const HTTP_PORT: u16 = 8500;
const DNS_PORT: u16 = 8600;
/// A lost agent is failed after one to two probes, a time-out and the suspicion: about two seconds.
const PROBE_INTERVAL: &str = "400ms";
const PROBE_TIMEOUT: &str = "200ms";
/// Times the probe interval; pools of two to three members add nothing to it.
const SUSPICION: u32 = 3;

/// Where the agent's HTTP API is.
pub(super) fn http(block: Block, agent: &ConsulSpec) -> SocketAddr {
    SocketAddr::from((block.consul(agent.site_number), HTTP_PORT))
}

/// Where the agent's DNS is, UDP and TCP.
pub(super) fn dns(block: Block, agent: &ConsulSpec) -> SocketAddr {
    SocketAddr::from((block.consul(agent.site_number), DNS_PORT))
}

/// The agent's configuration file. Gossip and RPC bind the inner address and are advertised on the outer one, where the relays listen.
pub(super) fn file(block: Block, agent: &ConsulSpec, all: &[ConsulSpec], data: &str) -> Value {
    let outer = |a: &ConsulSpec| block.consul(a.site_number).to_string();
    let others = |wanted: &dyn Fn(&ConsulSpec) -> bool| -> Vec<String> {
        let rest = all.iter().filter(|a| a.site != agent.site);
        rest.filter(|a| wanted(a)).map(outer).collect()
    };
    let gossip = json!({
        "gossip_interval": "50ms",
        "probe_interval": PROBE_INTERVAL,
        "probe_timeout": PROBE_TIMEOUT,
        "suspicion_mult": SUSPICION,
    });
    let own = outer(agent);
    let mut file = json!({
        "node_name": agent.name,
        "datacenter": agent.datacenter,
        "server": agent.server,
        "data_dir": data,
        "bind_addr": block.consul_inner(agent.site_number),
        "advertise_addr": own,
        "client_addr": own,
        "ports": {
            "server": SERVER_PORT, "serf_lan": LAN_PORT, "http": HTTP_PORT, "dns": DNS_PORT,
            "serf_wan": if agent.server { i32::from(WAN_PORT) } else { -1 },
            "grpc": -1, "https": -1,
        },
        "retry_join": others(&|a| a.datacenter == agent.datacenter),
        "retry_interval": "200ms",
        "gossip_lan": gossip,
        // A failed check's output is written at once: it is news here, and not noise.
        "check_update_interval": "0s",
        "performance": { "raft_multiplier": 1, "leave_drain_time": "0s", "rpc_hold_timeout": "2s" },
        "limits": { "http_max_conns_per_client": 4000 },
        "disable_update_check": true,
        "disable_remote_exec": true,
        "enable_script_checks": false,
        "leave_on_terminate": false,
        "skip_leave_on_interrupt": true,
        "log_level": "INFO",
    });
    let extra = if agent.server {
        json!({
            "bootstrap_expect": 1,
            "advertise_addr_wan": own,
            "retry_join_wan": others(&|a| a.server),
            "retry_interval_wan": "200ms",
            "gossip_wan": gossip,
        })
    } else {
        // An agent that has lost its server answers from what it knew last.
        json!({ "dns_config": { "use_cache": true, "cache_max_age": "10m" } })
    };
    if let (Value::Object(file), Value::Object(extra)) = (&mut file, extra) {
        file.extend(extra);
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::estate::Estate;

    #[test]
    fn servers_join_each_other_over_the_wan_and_the_client_joins_its_server() {
        let block = Block::default();
        let agents = Estate::builtin(block).consul_agents();
        let file = |i: usize| file(block, &agents[i], &agents, "/tmp/data");
        assert_eq!(file(0)["retry_join_wan"], json!(["127.0.30.250"]));
        assert_eq!(file(0)["bind_addr"], "127.1.10.250");
        assert_eq!(file(0)["advertise_addr"], "127.0.10.250");
        assert_eq!(file(1)["retry_join"], json!(["127.0.10.250"]));
        assert_eq!(file(1)["bootstrap_expect"], Value::Null);
        assert_eq!(file(2)["retry_join"], json!([]));
        assert_eq!(file(2)["retry_join_wan"], json!(["127.0.10.250"]));
    }
}
