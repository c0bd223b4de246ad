//! Nomad's replies as nouns of the model. Pure.

use crate::clients::nomad as seen;
use crate::model::*;

/// Meta keys on nodes that foreshadow reads: what the node costs an hour.
const META_PRICE: &str = "price";

/// A node's stub (status, resources) with its details (attributes, meta), which change rarely.
pub fn node(stub: &seen::NodeStub, detail: Option<&seen::Node>) -> Node {
    let total = stub.node_resources.clone().unwrap_or_default();
    let held = stub.reserved_resources.clone().unwrap_or_default();
    let meta = detail.map(|d| d.meta.clone()).unwrap_or_default();
    let attribute = |key: &str| detail?.attributes.get(key)?.parse::<f64>().ok();
    Node {
        id: NodeId::new(stub.id.as_str()),
        name: stub.name.clone(),
        site: Site::new(stub.datacenter.as_str()),
        class: NodeClass::new(stub.node_class.as_str()),
        status: match stub.status.as_str() {
            "ready" => NodeStatus::Ready,
            "initializing" => NodeStatus::Initializing,
            "disconnected" => NodeStatus::Disconnected,
            _ => NodeStatus::Down,
        },
        eligible: stub.scheduling_eligibility == "eligible",
        draining: stub.drain,
        capacity: Resources {
            cpu: Mhz((total.cpu_mhz() - held.cpu_mhz()) as f64),
            memory: MiB((total.memory_mb() - held.memory_mb()) as f64),
            disk: MiB((total.disk_mb() - held.disk_mb()) as f64),
            network: Mbps(total.network_mbits().unwrap_or(0) as f64),
        },
        clock: Mhz(attribute("cpu.frequency").unwrap_or(0.0)),
        price: Price(
            meta.get(META_PRICE)
                .and_then(|p| p.parse().ok())
                .unwrap_or(0.0),
        ),
        host_volumes: stub.host_volumes.keys().cloned().collect(),
        meta,
    }
}

pub fn alloc(a: &seen::Alloc) -> Alloc {
    let held = a.allocated_resources.clone().unwrap_or_default();
    Alloc {
        id: AllocId::new(a.id.as_str()),
        job: JobId::new(a.job_id.as_str()),
        group: Group::new(a.task_group.as_str()),
        node: NodeId::new(a.node_id.as_str()),
        node_name: a.node_name.clone(),
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
            .map(|p| (p.label, (p.ip, p.port)))
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
                .map(|(what, n)| format!("{what} exhausted on {n} nodes"))
                .chain(
                    p.constraint_filtered
                        .iter()
                        .map(|(what, n)| format!("{what} filtered {n} nodes")),
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
