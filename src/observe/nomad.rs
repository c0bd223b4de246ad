//! Nomad's replies as nouns of the model. Pure.

use super::names::Names;
use crate::clients::nomad as seen;
use crate::model::counted;
use crate::model::*;

/// Meta keys on nodes that foreshadow reads: what the node costs an hour.
const META_PRICE: &str = "price";

pub fn node(n: &seen::Node, names: &Names) -> Node {
    let total = n.node_resources.clone().unwrap_or_default();
    let held = n.reserved_resources.clone().unwrap_or_default();
    let number = |text: Option<&String>| text.and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    Node {
        id: NodeId(names.of(&n.id)),
        name: names.of(&n.name),
        site: Site(names.of(&n.datacenter)),
        class: NodeClass(names.of(&n.node_class)),
        status: match n.status.as_str() {
            "ready" => NodeStatus::Ready,
            "initializing" => NodeStatus::Initializing,
            "disconnected" => NodeStatus::Disconnected,
            _ => NodeStatus::Down,
        },
        eligible: n.scheduling_eligibility == "eligible",
        draining: n.drain,
        capacity: Resources {
            cpu: Mhz(total.cpu_mhz().saturating_sub(held.cpu_mhz()) as f64),
            memory: MiB(total.memory_mb().saturating_sub(held.memory_mb()) as f64),
            disk: MiB(total.disk_mb().saturating_sub(held.disk_mb()) as f64),
            network: Mbps(total.network_mbits().unwrap_or(0) as f64),
        },
        clock: Mhz(number(n.attributes.get("cpu.frequency"))),
        price: Price(number(n.meta.get(META_PRICE))),
        host_volumes: n.host_volumes.keys().cloned().collect(),
        meta: names.meta(&n.meta),
    }
}

pub fn alloc(a: &seen::Alloc, names: &Names) -> Alloc {
    let held = a.allocated_resources.clone().unwrap_or_default();
    Alloc {
        id: AllocId(names.of(&a.id)),
        job: JobId(names.of(&a.job_id)),
        group: Group(names.of(&a.task_group)),
        node: NodeId(names.of(&a.node_id)),
        node_name: names.of(&a.node_name),
        status: match a.client_status.as_str() {
            "pending" => AllocStatus::Pending,
            "running" => AllocStatus::Running,
            "complete" => AllocStatus::Complete,
            "failed" => AllocStatus::Failed,
            "lost" => AllocStatus::Lost,
            _ => AllocStatus::Unknown,
        },
        desired_run: a.desired_status == "run",
        resources: Resources {
            cpu: Mhz(held.cpu_mhz() as f64),
            memory: MiB(held.memory_mb() as f64),
            disk: MiB(held.disk_mb() as f64),
            network: Mbps(held.network_mbits() as f64),
        },
        ports: a
            .ports()
            .into_iter()
            .map(|p| (names.of(&p.label), (names.of(&p.ip), p.port)))
            .collect(),
        created: Moment(a.create_time / 1_000_000),
    }
}

pub fn blocked(e: &seen::Evaluation) -> Blocked {
    let why = e
        .failed
        .values()
        .map(|p| {
            let short: Vec<String> = p
                .dimension_exhausted
                .iter()
                .map(|(what, n)| format!("{what} exhausted on {}", counted(n, "node")))
                .chain(
                    p.constraint_filtered
                        .iter()
                        .map(|(what, n)| format!("{what} filtered {}", counted(n, "node"))),
                )
                .collect();
            short.join(", ")
        })
        .collect::<Vec<_>>()
        .join("; ");
    Blocked {
        job: JobId::new(e.job_id.as_str()),
        groups: e.failed.keys().map(|g| Group::new(g.as_str())).collect(),
        why: if why.is_empty() {
            e.status_description.clone()
        } else {
            why
        },
    }
}

pub fn usage(s: &seen::AllocStats) -> Usage {
    Usage {
        cpu: Mhz(s.resource_usage.cpu_stats.total_ticks),
        memory: MiB(s.resource_usage.memory_bytes() as f64 / 1_048_576.0),
    }
}
