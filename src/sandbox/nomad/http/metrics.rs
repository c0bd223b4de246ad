//! `/v1/metrics`, as JSON and for Prometheus.

use super::Request;
use super::reply::{Content, Reply};
use crate::sandbox::nomad::json::*;
use crate::sandbox::nomad::runtime::TaskUsage;
use crate::sandbox::nomad::state::node::Node;
use crate::sandbox::nomad::state::{State, now, summary};
use serde_json::{Value, json};
use std::fmt::Write;

pub fn answer(r: &Request<'_>) -> Reply {
    if r.query.get("format") == Some("prometheus") {
        let text = r.core.read(|s| prometheus(r, s));
        return Reply {
            content: Content::Prometheus(text),
            ..Reply::json(Value::Null)
        };
    }
    Reply::json(r.core.read(in_memory))
}

fn in_memory(s: &State) -> Value {
    let host = || json!({"host": "sandbox"});
    let mut gauges: Vec<Value> = (server_gauges(s).into_iter())
        .map(|(name, value)| json!({"Labels": host(), "Name": name, "Value": value}))
        .collect();
    for id in s.jobs.keys() {
        for (group, counts) in entries(&summary(s, id), "Summary") {
            for state in [
                "Complete", "Failed", "Lost", "Queued", "Running", "Starting",
            ] {
                let labels = json!({"host": "sandbox", "job": key_parts(id).1, "namespace": key_parts(id).0, "task_group": group});
                let name = format!("nomad.nomad.job_summary.{}", state.to_lowercase());
                gauges.push(
                    json!({"Labels": labels, "Name": name, "Value": int(counts, state) as f64}),
                );
            }
        }
    }
    let timestamp = jiff::Timestamp::from_second(now() / SECOND)
        .map(|t| t.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string());
    let sample = |name: &str, count: u64| {
        json!({"Count": count, "Labels": host(), "Max": 1.0, "Mean": 1.0, "Min": 1.0, "Name": name, "Rate": count as f64 / 10.0,
            "Stddev": 0.0, "Sum": count as f64})
    };
    json!({"Counters": [sample("nomad.raft.apply", s.index)], "Gauges": gauges, "Points": [],
        "Samples": [sample("nomad.raft.commitTime", s.index)], "Timestamp": timestamp.unwrap_or_default()})
}

fn server_gauges(s: &State) -> Vec<(String, f64)> {
    let blocked = || s.evals.values().filter(|e| e.status == "blocked");
    let delayed = s
        .evals
        .values()
        .filter(|e| e.status == "pending" && e.wait_until > now());
    let (waiting, index) = (s.queue.len() as f64, s.index as f64);
    let mut gauges: Vec<(String, f64)> = [
        (
            "nomad.blocked_evals.total_blocked",
            blocked().count() as f64,
        ),
        (
            "nomad.blocked_evals.total_escaped",
            blocked().filter(|e| e.escaped).count() as f64,
        ),
        ("nomad.blocked_evals.total_quota_limit", 0.0),
        ("nomad.broker._core.ready", 0.0),
        ("nomad.broker._core.unacked", 0.0),
        ("nomad.broker.service.ready", waiting),
        ("nomad.broker.service.unacked", 0.0),
        ("nomad.broker.total_blocked", 0.0),
        ("nomad.broker.total_ready", waiting),
        ("nomad.broker.total_unacked", 0.0),
        ("nomad.broker.total_waiting", delayed.count() as f64),
        (
            "nomad.heartbeat.active",
            s.nodes.values().filter(|n| n.status != "down").count() as f64,
        ),
        ("nomad.plan.queue_depth", 0.0),
        ("nomad.vault.distributed_tokens_revoking", 0.0),
        ("nomad.vault.token_ttl", 0.0),
        ("raft.appliedIndex", index),
        ("raft.commitNumLogs", 1.0),
        ("raft.lastIndex", index),
        ("raft.leader.dispatchNumLogs", 1.0),
        ("state.snapshotIndex", index),
    ]
    .map(|(name, value)| (format!("nomad.{name}"), value))
    .into();
    for status in ["dead", "pending", "running"] {
        let count = s
            .jobs
            .values()
            .filter(|j| text(j.current(), "Status") == status)
            .count();
        gauges.push((format!("nomad.nomad.job_status.{status}"), count as f64));
    }
    gauges
}

/// What the clients of all nodes would tell; `?node_id=` asks for one of them.
fn prometheus(r: &Request<'_>, s: &State) -> String {
    let wanted = |n: &&Node| r.query.get("node_id").is_none_or(|id| n.id == id);
    let mut rows: Vec<(&'static str, String, f64)> = Vec::new();
    for node in s.nodes.values().filter(wanted) {
        node_rows(s, node, &mut rows);
        for alloc in s
            .allocs
            .values()
            .filter(|a| a.node_id == node.id && a.view.received)
        {
            let usage = r.core.usage(&alloc.id).unwrap_or_default();
            for (task, cpu, memory) in &alloc.ask.tasks {
                let labels = format!(
                    "alloc_id=\"{}\",host=\"{}\",job=\"{}\",namespace=\"default\",task=\"{task}\",task_group=\"{}\"",
                    alloc.id,
                    alloc.node_name,
                    key_parts(&alloc.job_id).1,
                    alloc.group
                );
                let state = alloc.view.tasks.get(task).map_or("pending", |t| t.state);
                task_rows(
                    &labels,
                    (*cpu, *memory),
                    usage.get(task).copied().unwrap_or_default(),
                    state,
                    &mut rows,
                );
            }
        }
        let host = format!("host=\"{}\"", node.config.name);
        for quantile in ["0.5", "0.9", "0.99"] {
            rows.push((
                "nomad_client_client_stats_stats",
                format!("{host},quantile=\"{quantile}\""),
                0.0,
            ));
        }
        rows.push(("nomad_client_client_stats_stats_sum", host.clone(), 0.0));
        rows.push(("nomad_client_client_stats_stats_count", host, 0.0));
    }
    rows.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let (mut out, mut last) = (String::new(), "");
    for (name, labels, value) in rows {
        let family = name
            .strip_suffix("_sum")
            .or(name.strip_suffix("_count"))
            .unwrap_or(name);
        if family != last {
            let kind = if family == "nomad_client_client_stats_stats" {
                "summary"
            } else {
                "gauge"
            };
            // Writing to a String cannot fail.
            let _ = writeln!(out, "# HELP {family} {family}\n# TYPE {family} {kind}");
            last = family;
        }
        let _ = writeln!(out, "{name}{{{labels}}} {value}");
    }
    out
}

fn node_rows(s: &State, node: &Node, rows: &mut Vec<(&'static str, String, f64)>) {
    let c = &node.config;
    let class = if c.class.is_empty() { "none" } else { &c.class };
    let eligibility = if node.eligible {
        "eligible"
    } else {
        "ineligible"
    };
    let labels = format!(
        "datacenter=\"{}\",host=\"{}\",node_class=\"{class}\",node_id=\"{}\",node_scheduling_eligibility=\"{eligibility}\",node_status=\"{}\"",
        c.datacenter, c.name, node.id, node.status
    );
    let here: Vec<_> = s
        .allocs
        .values()
        .filter(|a| a.node_id == node.id && a.view.received)
        .collect();
    let live: Vec<_> = here.iter().filter(|a| !a.view.finished).collect();
    let (cpu, memory, disk) = live.iter().fold((0, 0, 0), |sum, a| {
        (
            sum.0 + a.ask.cpu(),
            sum.1 + a.ask.memory(),
            sum.2 + a.ask.disk_mb,
        )
    });
    let running = live
        .iter()
        .filter(|a| a.view.tasks.values().any(|t| t.state == "running"))
        .count();
    for (name, value) in [
        ("nomad_client_allocated_cpu", cpu),
        ("nomad_client_allocated_disk", disk),
        ("nomad_client_allocated_memory", memory),
        (
            "nomad_client_unallocated_cpu",
            c.cpu_mhz - c.reserved_cpu_mhz - cpu,
        ),
        (
            "nomad_client_unallocated_disk",
            c.disk_mb - c.reserved_disk_mb - disk,
        ),
        (
            "nomad_client_unallocated_memory",
            c.memory_mb - c.reserved_memory_mb - memory,
        ),
        ("nomad_client_allocations_blocked", 0),
        ("nomad_client_allocations_migrating", 0),
        (
            "nomad_client_allocations_pending",
            (live.len() - running) as i64,
        ),
        ("nomad_client_allocations_running", running as i64),
        (
            "nomad_client_allocations_terminal",
            (here.len() - live.len()) as i64,
        ),
    ] {
        rows.push((name, labels.clone(), value as f64));
    }
}

fn task_rows(
    labels: &str,
    asked: (i64, i64),
    usage: TaskUsage,
    state: &str,
    rows: &mut Vec<(&'static str, String, f64)>,
) {
    let live = state == "running";
    let of_live = |v: f64| if live { v } else { 0.0 };
    for (name, value) in [
        ("nomad_client_allocs_cpu_allocated", asked.0 as f64),
        ("nomad_client_allocs_cpu_system", 0.0),
        ("nomad_client_allocs_cpu_throttled_periods", 0.0),
        ("nomad_client_allocs_cpu_throttled_time", 0.0),
        (
            "nomad_client_allocs_cpu_total_percent",
            of_live(usage.cpu_percent),
        ),
        (
            "nomad_client_allocs_cpu_total_ticks",
            of_live(usage.cpu_ticks_mhz),
        ),
        ("nomad_client_allocs_cpu_user", of_live(usage.cpu_percent)),
        (
            "nomad_client_allocs_memory_allocated",
            (asked.1 << 20) as f64,
        ),
        (
            "nomad_client_allocs_memory_rss",
            of_live(usage.rss_bytes as f64),
        ),
        ("nomad_client_allocs_memory_swap", 0.0),
        ("nomad_client_allocs_running", f64::from(u8::from(live))),
    ] {
        rows.push((name, labels.to_string(), value));
    }
    if state == "dead" {
        rows.push(("nomad_client_allocs_complete", labels.to_string(), 1.0));
    }
}
