//! Every answer of a real Nomad that we have decodes into our types, and says what it says.
//! The recordings stand beside the repository; where they are absent these tests say so and pass.

use crate::clients::nomad::*;
use crate::model::JobSpec;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;

pub(super) fn lines(name: &str) -> Option<Vec<Value>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut up = root.ancestors();
    let found = up.find_map(|a| {
        let file = a.join("shared/recordings").join(name);
        std::fs::read_to_string(file).ok()
    });
    let Some(text) = found else {
        // Past the test harness, which keeps what is printed to itself while a test passes.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no shared/recordings/{name} beside the repository"
        );
        return None;
    };
    let parsed = text.lines().map(|l| serde_json::from_str(l).unwrap());
    Some(parsed.collect())
}

/// The answers to a method and a path (its query left aside), those with status 200.
fn answers<T: DeserializeOwned>(
    all: &[Value],
    method: &str,
    fits: impl Fn(&str) -> bool,
) -> Vec<T> {
    let good = all.iter().filter(|c| {
        let path = c["request"]["path"].as_str().unwrap();
        let path = path.split('?').next().unwrap();
        c["request"]["method"] == method && c["response"]["status"] == 200 && fits(path)
    });
    let decoded: Vec<T> = good
        .map(|c| {
            serde_json::from_value(c["response"]["json"].clone())
                .unwrap_or_else(|e| panic!("{}: {e}", c["request"]["path"]))
        })
        .collect();
    assert!(!decoded.is_empty(), "no answer of this kind was recorded");
    decoded
}

fn last(path: &str, segment: &str) -> bool {
    path.ends_with(&format!("/{segment}"))
}

#[test]
fn the_agent_of_a_real_nomad_tells_its_version_and_features() {
    let Some(all) = lines("nomad-1.0.18.ndjson") else {
        return;
    };
    let agents: Vec<Agent> = answers(&all, "GET", |p| p == "/v1/agent/self");
    assert_eq!(agents[0].version_text(), "1.0.18");
    assert_eq!(agents[0].region(), "global");
    let features = agents[0].features();
    assert!(features.event_stream && !features.service_weights && !features.node_pools);
}

#[test]
fn the_nodes_of_a_real_nomad_decode_with_their_resources() {
    let Some(all) = lines("nomad-1.0.18.ndjson") else {
        return;
    };
    let lists: Vec<Vec<NodeStub>> = answers(&all, "GET", |p| p == "/v1/nodes");
    assert!(
        lists
            .iter()
            .flatten()
            .all(|n| n.version == "1.0.18" && !n.id.is_empty())
    );
    assert!(lists.iter().flatten().any(|n| n.status == "down"));
    assert!(
        lists
            .iter()
            .flatten()
            .any(|n| n.scheduling_eligibility == "ineligible")
    );
    assert!(
        lists
            .iter()
            .flatten()
            .all(|n| n.drivers["raw_exec"].healthy)
    );
    let held: Vec<_> = lists
        .iter()
        .flatten()
        .filter_map(|n| n.node_resources.as_ref())
        .collect();
    assert_eq!(held.len(), 4, "one list was asked with resources");
    assert!(
        held.iter()
            .all(|r| r.cpu_mhz() == 4000 && r.memory_mb() == 4096)
    );
    assert!(
        held.iter()
            .all(|r| r.network_mbits() == Some(1000) && r.disk_mb() > 70_000)
    );
    let whole: Vec<Node> = answers(&all, "GET", |p| p.starts_with("/v1/node/"));
    assert_eq!(whole[0].attributes["cpu.frequency"], "2445");
    assert_eq!(whole[0].meta["tier"], "edge");
    assert_eq!(whole[0].reserved_resources.as_ref().unwrap().cpu_mhz(), 0);
}

#[test]
fn the_jobs_of_a_real_nomad_decode_and_survive_as_json() {
    let Some(all) = lines("nomad-1.0.18.ndjson") else {
        return;
    };
    let lists: Vec<Vec<JobStub>> = answers(&all, "GET", |p| p == "/v1/jobs");
    let shop = lists[0].iter().find(|j| j.id == "shop").unwrap();
    assert_eq!(shop.job_summary.as_ref().unwrap().summary["web"].running, 1);
    let whole: Vec<JobSpec> = answers(&all, "GET", |p| {
        p.starts_with("/v1/job/") && p.matches('/').count() == 3
    });
    for spec in whole {
        let job = Job::from_spec(spec.clone()).unwrap();
        assert_eq!(job.spec, spec);
        assert_eq!(job.view.task_groups[0].services[0].weights, None);
        assert_eq!(job.view.task_groups[0].tasks[0].driver, "raw_exec");
        assert_eq!(job.view.job_modify_index, spec.modify_index());
    }
    let parsed: Vec<JobSpec> = answers(&all, "POST", |p| p == "/v1/jobs/parse");
    let job = Job::from_spec(parsed[0].clone()).unwrap();
    assert_eq!(job.view.task_groups[0].count, 2);
    assert_eq!(
        job.view.task_groups[0].services[0].checks[0].interval,
        5_000_000_000
    );
}

#[test]
fn the_allocations_of_a_real_nomad_tell_their_ports_resources_and_fate() {
    let Some(all) = lines("nomad-1.0.18.ndjson") else {
        return;
    };
    let lists: Vec<Vec<Alloc>> = answers(&all, "GET", |p| last(p, "allocations"));
    let every: Vec<&Alloc> = lists.iter().flatten().collect();
    for fate in ["running", "complete", "lost"] {
        assert!(every.iter().any(|a| a.client_status == fate), "{fate}");
    }
    assert!(
        every
            .iter()
            .filter(|a| a.is_live())
            .all(|a| a.task_states["serve"].state == "running")
    );
    assert!(
        every
            .iter()
            .all(|a| a.allocated_resources.is_none() && a.ports().is_empty())
    );
    let whole: Vec<Alloc> = answers(&all, "GET", |p| p.starts_with("/v1/allocation/"));
    let expected = Port {
        label: "http".into(),
        ip: "127.0.0.1".into(),
        port: 21656,
    };
    assert_eq!(whole[0].ports(), [expected]);
    let held = whole[0].allocated_resources.as_ref().unwrap();
    assert_eq!(
        (held.cpu_mhz(), held.memory_mb(), held.disk_mb()),
        (100, 64, 300)
    );
    assert_eq!(
        whole[0].deployment_status.as_ref().unwrap().healthy,
        Some(true)
    );
}

#[test]
fn ports_are_found_in_the_older_forms_too() {
    let mut older = serde_json::json!({"ID": "a", "TaskResources": {"serve": {"Networks": [
        {"IP": "10.0.0.7", "DynamicPorts": [{"Label": "http", "Value": 23000}], "ReservedPorts": null}]}}});
    let port = |v: &Value| serde_json::from_value::<Alloc>(v.clone()).unwrap().ports();
    assert_eq!(
        (port(&older)[0].ip.as_str(), port(&older)[0].port),
        ("10.0.0.7", 23000)
    );
    older["AllocatedResources"] = serde_json::json!({"Tasks": null, "Shared": {"DiskMB": 1, "Ports": null,
        "Networks": [{"IP": "10.0.0.8", "ReservedPorts": [{"Label": "http", "Value": 8080}]}]}});
    assert_eq!(
        (port(&older)[0].ip.as_str(), port(&older)[0].port),
        ("10.0.0.8", 8080)
    );
    assert_eq!(port(&older).len(), 1, "a label counts once");
}

#[test]
fn plans_evaluations_and_deployments_of_a_real_nomad_decode() {
    let Some(all) = lines("nomad-1.0.18.ndjson") else {
        return;
    };
    let plans: Vec<PlanReply> = answers(&all, "POST", |p| last(p, "plan"));
    assert!(plans[0].failed.is_empty() && plans[0].updates()["web"].place == 1);
    let refused = plans.iter().find(|p| !p.failed.is_empty()).unwrap();
    assert_eq!(
        refused.failed["web"].to_string(),
        "2 nodes without enough cpu"
    );
    assert_eq!(refused.preempts(), 0);
    let registered: Vec<RegisterReply> =
        answers(&all, "POST", |p| p == "/v1/jobs" || last(p, "scale"));
    assert!(
        registered
            .iter()
            .all(|r| !r.eval_id.is_empty() && r.job_modify_index > 0)
    );
    let stopped: Vec<RegisterReply> = answers(&all, "DELETE", |_| true);
    assert!(stopped.iter().all(|r| !r.eval_id.is_empty()));
    let evaluations: Vec<Evaluation> = answers(&all, "GET", |p| p.starts_with("/v1/evaluation/"));
    let blocked = evaluations
        .iter()
        .find(|e| !e.blocked_eval.is_empty())
        .unwrap();
    assert_eq!(blocked.queued_allocations["web"], 1);
    let _: Vec<Vec<Evaluation>> = answers(&all, "GET", |p| last(p, "evaluations"));
    let lists: Vec<Vec<Deployment>> = answers(&all, "GET", |p| last(p, "deployments"));
    assert!(lists.iter().flatten().any(|d| d.status == "successful"));
    let _: Vec<Deployment> = answers(&all, "GET", |p| last(p, "deployment"));
}

#[test]
fn what_a_real_nomad_measures_decodes() {
    let Some(all) = lines("nomad-1.0.18.ndjson") else {
        return;
    };
    let allocs: Vec<AllocStats> = answers(&all, "GET", |p| {
        last(p, "stats") && p.contains("allocation")
    });
    assert_eq!(allocs[0].resource_usage.memory_bytes(), 53_616_640);
    assert!(allocs[0].tasks.contains_key("serve"));
    let hosts: Vec<HostStats> = answers(&all, "GET", |p| p == "/v1/client/stats");
    assert_eq!(hosts[0].cpu.len(), 2);
    assert!(hosts[0].memory.total > hosts[0].memory.used);
}

#[test]
fn every_event_of_a_real_nomad_decodes_with_its_payload() {
    let Some(all) = lines("nomad-events-1.0.18.ndjson") else {
        return;
    };
    let mut events = 0;
    for line in all {
        let batch: EventBatch = serde_json::from_value(line).unwrap();
        for event in &batch.events {
            events += 1;
            let about = &event.payload;
            let decoded = match event.topic.as_str() {
                "Allocation" => about.allocation.as_ref().is_some_and(|a| a.id == event.key),
                "Evaluation" => about.evaluation.as_ref().is_some_and(|e| e.id == event.key),
                "Deployment" => about.deployment.as_ref().is_some_and(|d| d.id == event.key),
                "Node" => about.node.as_ref().is_some_and(|n| n.id == event.key),
                "Job" => about
                    .job
                    .clone()
                    .is_some_and(|j| Job::from_spec(j).is_ok_and(|j| j.view.id == event.key)),
                other => panic!("unknown topic {other}"),
            };
            assert!(decoded, "{} {}", event.topic, event.key);
        }
    }
    assert!(events > 100, "only {events} events");
}

#[test]
fn jobs_of_a_real_nomad_come_out_as_they_went_in() {
    let Some(all) = lines("nomad-1.0.18.ndjson") else {
        return;
    };
    let is_job = |p: &str| p.starts_with("/v1/job/") && p.matches('/').count() == 3;
    for answer in answers::<Value>(&all, "GET", is_job) {
        let text = serde_json::to_string_pretty(&answer).unwrap();
        let kept: JobSpec = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string_pretty(&kept).unwrap(), text);
        assert_eq!(kept, JobSpec::new(answer.clone()));
        assert_eq!(kept.value(), answer);
    }
}
