//! How the sandbox's Nomad behaves when jobs, tasks and nodes come and go.

mod fake_nomad;

use fake_nomad::Estate;
use foreshadow::sandbox::nomad::{EstateConfig, HostVolume, NodeConfig};
use futures::StreamExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Three nodes, the third alone on its site.
fn nodes() -> Vec<NodeConfig> {
    let mut nodes: Vec<NodeConfig> = [
        ("edge-a-1", "edge-a"),
        ("edge-a-2", "edge-a"),
        ("edge-b-1", "edge-b"),
    ]
    .iter()
    .enumerate()
    .map(|(i, (name, site))| NodeConfig::new(name, site, &format!("127.0.10.{}", i + 1)))
    .collect();
    nodes[1].host_volumes.insert(
        "ledger".into(),
        HostVolume {
            path: "/srv/ledger".into(),
            read_only: false,
        },
    );
    for node in &mut nodes {
        node.task_ip = Some(node.address.replace("127.0.", "127.1."));
    }
    nodes
}

fn quick(config: &mut EstateConfig) {
    config.heartbeat_grace = Duration::from_millis(50);
    config.deployment_batch = Duration::from_millis(5);
}

async fn estate() -> Estate {
    Estate::start(nodes(), quick).await
}

/// A job file with one group, `extra` in the group and `task_extra` in its task.
fn hcl(name: &str, count: u32, head: &str, extra: &str, command: &str) -> String {
    format!(
        r#"job "{name}" {{
  datacenters = ["edge-a", "edge-b"]
  {head}
  update {{
    max_parallel     = 5
    min_healthy_time = "1ms"
  }}
  group "web" {{
    count = {count}
    {extra}
    network {{
      port "http" {{}}
    }}
    service {{
      name = "{name}-origin"
      port = "http"
      tags = ["site-${{node.datacenter}}"]
      check {{
        type     = "http"
        path     = "/health"
        interval = "1s"
        timeout  = "1s"
      }}
    }}
    task "serve" {{
      driver = "raw_exec"
      config {{
        command = "{command}"
        args    = ["--listen", "${{NOMAD_ADDR_http}}"]
      }}
      env {{
        SITE = "${{node.datacenter}}"
      }}
      resources {{
        cpu    = 500
        memory = 64
      }}
    }}
  }}
}}
"#
    )
}

impl Estate {
    async fn run(&self, hcl: &str) -> Value {
        let job = self
            .post(
                "/v1/jobs/parse",
                json!({"JobHCL": hcl, "Canonicalize": true}),
            )
            .await;
        self.post("/v1/jobs", json!({"Job": job})).await
    }
}

fn field<'a>(allocs: &'a [Value], key: &str) -> BTreeSet<&'a str> {
    allocs.iter().filter_map(|a| a[key].as_str()).collect()
}

#[tokio::test]
async fn a_job_runs_with_nomads_environment_and_its_services_are_registered_until_it_stops() {
    let estate = estate().await;
    estate.run(&hcl("shop", 1, "", "", "/bin/serve")).await;
    let alloc = estate.running("shop", 1).await.remove(0);
    let start = estate.runtime.starts.lock().expect("lock")[0].clone();
    let port = start.ports["http"];
    let inner = format!(
        "127.1.10.{}:{port}",
        start
            .node
            .chars()
            .last()
            .filter(|_| start.node != "edge-b-1")
            .unwrap_or('3')
    );
    assert_eq!(
        (start.command.as_str(), &start.args),
        ("/bin/serve", &vec!["--listen".to_string(), inner])
    );
    assert_eq!(start.env["SITE"], start.env["NOMAD_DC"]);
    assert_eq!(start.env["NOMAD_ALLOC_ID"], alloc["ID"]);
    assert!((20_000..=32_000).contains(&port));
    let id = format!("_nomad-task-{}-group-web-shop-origin-http", start.alloc_id);
    estate
        .until("/v1/job/shop/deployment", |d| d["Status"] == "successful")
        .await;
    let (node, service) = estate.consul.0.lock().expect("lock")[&id].clone();
    assert_eq!(
        (node, service.port, &service.tags[0]),
        (
            start.node.clone(),
            port,
            &format!("site-{}", start.env["NOMAD_DC"])
        )
    );
    assert_eq!(service.checks.len(), 1);
    estate.call("DELETE", "/v1/job/shop", None).await;
    estate
        .until("/v1/job/shop", |j| j["Status"] == "dead")
        .await;
    estate
        .until("/v1/job/shop/allocations", |a| {
            a[0]["ClientStatus"] == "complete"
        })
        .await;
    assert!(estate.runtime.running.lock().expect("lock").is_empty());
    assert!(estate.consul.0.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn a_cut_nodes_allocations_are_replaced_and_the_old_ones_end_when_it_returns() {
    let estate = estate().await;
    estate
        .run(&hcl(
            "shop",
            1,
            "",
            "constraint {\n attribute = \"${node.datacenter}\"\n value = \"edge-a\"\n}",
            "/bin/serve",
        ))
        .await;
    let old = estate.running("shop", 1).await.remove(0);
    let (id, node) = (
        old["ID"].as_str().expect("ID").to_string(),
        old["NodeName"].as_str().expect("node").to_string(),
    );
    estate.handle.set_node_heartbeat(&node, false);
    let new = estate
        .until("/v1/job/shop/allocations", |all| {
            all.as_array()
                .is_some_and(|a| a.len() == 2 && a.iter().any(|a| a["ClientStatus"] == "lost"))
        })
        .await;
    let lost = new
        .as_array()
        .expect("list")
        .iter()
        .find(|a| a["ID"] == id.as_str())
        .expect("still listed");
    assert_eq!(
        (
            &lost["DesiredStatus"],
            &lost["ClientStatus"],
            &lost["DesiredDescription"]
        ),
        (
            &json!("stop"),
            &json!("lost"),
            &json!("alloc is lost since its node is down")
        )
    );
    let replacement = estate.running("shop", 1).await.remove(0);
    assert_ne!(replacement["NodeName"], node.as_str());
    assert!(
        estate
            .runtime
            .running
            .lock()
            .expect("lock")
            .contains_key(&id),
        "a cut node's tasks run on"
    );
    let stats = estate
        .call("GET", &format!("/v1/client/allocation/{id}/stats"), None)
        .await;
    assert_eq!(
        (stats.status, stats.body.as_str()),
        (500, "No path to node")
    );
    estate.handle.set_node_heartbeat(&node, true);
    estate
        .until(&format!("/v1/allocation/{id}"), |a| {
            a["ClientStatus"] == "complete"
        })
        .await;
    assert!(
        !estate
            .runtime
            .running
            .lock()
            .expect("lock")
            .contains_key(&id)
    );
    assert_eq!(estate.running("shop", 1).await[0]["ID"], replacement["ID"]);
}

#[tokio::test]
async fn a_node_that_loses_its_power_comes_back_empty() {
    let estate = estate().await;
    estate
        .run(&hcl(
            "shop",
            3,
            "",
            "constraint {\n distinct_hosts = true\n}",
            "/bin/serve",
        ))
        .await;
    let all = estate.running("shop", 3).await;
    assert_eq!(field(&all, "NodeName").len(), 3);
    estate.handle.set_node_power("edge-b-1", false);
    estate.runtime.kill_node("edge-b-1");
    estate
        .until("/v1/evaluations?status=blocked", |e| {
            e.as_array().is_some_and(|e| e.len() == 1)
        })
        .await;
    estate.handle.set_node_power("edge-b-1", true);
    let all = estate.running("shop", 3).await;
    assert_eq!(
        field(&all, "NodeName").len(),
        3,
        "the blocked evaluation is tried again when the node is back"
    );
    let lost = estate
        .until("/v1/job/shop/summary", |s| s["Summary"]["web"]["Lost"] == 0)
        .await;
    assert_eq!(lost["Summary"]["web"]["Queued"], 0);
}

#[tokio::test]
async fn what_does_not_fit_waits_until_there_is_room() {
    let estate = estate().await;
    estate.run(&hcl("filler", 24, "", "", "/bin/serve")).await;
    estate.running("filler", 24).await;
    let answer = estate.run(&hcl("late", 1, "", "", "/bin/serve")).await;
    let eval = estate
        .until(
            &format!("/v1/evaluation/{}", answer["EvalID"].as_str().expect("ID")),
            |e| e["Status"] == "complete",
        )
        .await;
    let failed = &eval["FailedTGAllocs"]["web"];
    assert_eq!(
        (&failed["NodesEvaluated"], &failed["DimensionExhausted"]),
        (&json!(3), &json!({"cpu": 3}))
    );
    let blocked = estate
        .get(&format!(
            "/v1/evaluation/{}",
            eval["BlockedEval"].as_str().expect("blocked")
        ))
        .await;
    assert_eq!(
        (&blocked["Status"], &blocked["TriggeredBy"]),
        (&json!("blocked"), &json!("queued-allocs"))
    );
    estate
        .until("/v1/job/filler/deployment", |d| d["Status"] == "successful")
        .await;
    estate
        .post(
            "/v1/job/filler/scale",
            json!({"Count": 23, "Target": {"Group": "web"}}),
        )
        .await;
    estate.running("late", 1).await;
}

#[tokio::test]
async fn a_failing_task_is_restarted_then_its_allocation_rescheduled_then_given_up() {
    let estate = estate().await;
    let policies = "restart {\n attempts = 1\n delay = \"1ms\"\n interval = \"1m\"\n mode = \"fail\"\n}\n reschedule {\n attempts = 1\n interval = \"1h\"\n delay = \"5ms\"\n delay_function = \"constant\"\n unlimited = false\n}";
    estate.run(&hcl("bad", 1, "", policies, "/bin/false")).await;
    let failed = |all: &Value| {
        all.as_array()
            .is_some_and(|a| a.len() == 2 && a.iter().all(|a| a["ClientStatus"] == "failed"))
    };
    let all = estate.until("/v1/job/bad/allocations", failed).await;
    let second = all
        .as_array()
        .expect("list")
        .iter()
        .find(|a| !a["RescheduleTracker"].is_null())
        .expect("a rescheduled one");
    let first = all
        .as_array()
        .expect("list")
        .iter()
        .find(|a| a["RescheduleTracker"].is_null())
        .expect("the first one");
    assert_eq!(
        second["RescheduleTracker"]["Events"][0]["PrevAllocID"],
        first["ID"]
    );
    assert_ne!(
        second["NodeName"], first["NodeName"],
        "the node of a failure is shunned"
    );
    assert_eq!(
        first["DesiredDescription"],
        "alloc was rescheduled because it failed"
    );
    assert_eq!(
        (
            &second["TaskStates"]["serve"]["Restarts"],
            &second["TaskStates"]["serve"]["Failed"]
        ),
        (&json!(1), &json!(true))
    );
    assert_eq!(estate.runtime.starts.lock().expect("lock").len(), 4);
}

#[tokio::test]
async fn a_change_of_services_is_made_in_place_and_a_change_of_tasks_is_not() {
    let estate = estate().await;
    let file = hcl("shop", 2, "", "", "/bin/serve");
    estate.run(&file).await;
    let before = estate.running("shop", 2).await;
    estate
        .until("/v1/job/shop/deployment", |d| d["Status"] == "successful")
        .await;
    let tagged = file.replace("tags = [", "tags = [\"new\", ");
    let job = estate
        .post("/v1/jobs/parse", json!({"JobHCL": tagged}))
        .await;
    let plan = estate
        .post("/v1/job/shop/plan", json!({"Job": job, "Diff": true}))
        .await;
    assert_eq!(
        plan["Annotations"]["DesiredTGUpdates"]["web"]["InPlaceUpdate"],
        2
    );
    estate.run(&tagged).await;
    estate
        .until("/v1/job/shop/deployment", |d| {
            d["JobVersion"] == 1 && d["Status"] == "successful"
        })
        .await;
    assert_eq!(
        field(&estate.running("shop", 2).await, "ID"),
        field(&before, "ID")
    );
    let service_tags = |e: &Estate| {
        e.consul
            .0
            .lock()
            .expect("lock")
            .values()
            .map(|(_, s)| s.tags.len())
            .collect::<Vec<_>>()
    };
    assert_eq!(service_tags(&estate), [2, 2]);
    let job = estate
        .post(
            "/v1/jobs/parse",
            json!({"JobHCL": tagged.replace("cpu    = 500", "cpu    = 501")}),
        )
        .await;
    let plan = estate
        .post("/v1/job/shop/plan", json!({"Job": job, "Diff": true}))
        .await;
    assert_eq!(
        plan["Annotations"]["DesiredTGUpdates"]["web"]["DestructiveUpdate"],
        2
    );
    assert_eq!(
        plan["Diff"]["TaskGroups"][0]["Tasks"][0]["Annotations"],
        json!(["forces create/destroy update"])
    );
    estate.post("/v1/jobs", json!({"Job": job})).await;
    estate
        .until("/v1/job/shop/deployment", |d| {
            d["JobVersion"] == 2 && d["Status"] == "successful"
        })
        .await;
    assert!(field(&estate.running("shop", 2).await, "ID").is_disjoint(&field(&before, "ID")));
}

#[tokio::test]
async fn a_host_volume_decides_the_node_and_an_impossible_constraint_says_so() {
    let estate = estate().await;
    let volume = "volume \"data\" {\n type = \"host\"\n source = \"ledger\"\n}";
    estate
        .run(&hcl("ledger", 1, "", volume, "/bin/serve"))
        .await;
    assert_eq!(estate.running("ledger", 1).await[0]["NodeName"], "edge-a-2");
    let windows = "constraint {\n attribute = \"${attr.kernel.name}\"\n value = \"windows\"\n}";
    let job = estate
        .post(
            "/v1/jobs/parse",
            json!({"JobHCL": hcl("no", 1, "", windows, "/bin/serve")}),
        )
        .await;
    let plan = estate.post("/v1/job/no/plan", json!({"Job": job})).await;
    let failed = &plan["FailedTGAllocs"]["web"];
    assert_eq!(
        (
            &failed["NodesFiltered"],
            &failed["ConstraintFiltered"]["${attr.kernel.name} = windows"]
        ),
        (&json!(3), &json!(3))
    );
}

#[tokio::test]
async fn a_system_job_runs_once_on_every_node_and_follows_nodes_that_come_and_go() {
    let estate = estate().await;
    estate
        .run(
            &hcl("agent", 1, "type = \"system\"", "", "/bin/serve")
                .replace("update {", "meta {")
                .replace("max_parallel     = 5", "")
                .replace("min_healthy_time = \"1ms\"", ""),
        )
        .await;
    assert_eq!(
        field(&estate.running("agent", 3).await, "NodeName").len(),
        3
    );
    estate.handle.set_node_heartbeat("edge-a-1", false);
    estate.running("agent", 2).await;
    estate.handle.set_node_heartbeat("edge-a-1", true);
    assert_eq!(
        field(&estate.running("agent", 3).await, "NodeName").len(),
        3
    );
}

#[tokio::test]
async fn a_drain_moves_one_allocation_after_the_other_and_leaves_the_node_closed() {
    let estate = estate().await;
    estate.run(&hcl("shop", 3, "", "", "/bin/serve")).await;
    estate
        .until("/v1/job/shop/deployment", |d| d["Status"] == "successful")
        .await;
    let id = estate.handle.nodes()["edge-a-1"].clone();
    estate
        .post(
            &format!("/v1/node/{id}/drain"),
            json!({"DrainSpec": {"Deadline": 0}}),
        )
        .await;
    let node = estate
        .until(&format!("/v1/node/{id}"), |n| n["Drain"] == false)
        .await;
    assert_eq!(node["SchedulingEligibility"], "ineligible");
    assert!(!field(&estate.running("shop", 3).await, "NodeName").contains("edge-a-1"));
}

#[tokio::test]
async fn a_blocking_query_answers_when_something_changes_and_the_stream_tells_what() {
    let estate = estate().await;
    let mut stream = reqwest::get(estate.url("/v1/event/stream?topic=Job:shop"))
        .await
        .expect("opens")
        .bytes_stream();
    assert_eq!(
        &stream.next().await.expect("a line").expect("read")[..],
        b"{}\n"
    );
    let index = estate.call("GET", "/v1/jobs", None).await.index();
    let waiting = format!("/v1/jobs?index={index}&wait=60s");
    let other = hcl("other", 1, "", "", "/bin/serve");
    let (changed, _) = tokio::join!(estate.call("GET", &waiting, None), estate.run(&other));
    assert!(changed.index() > index);
    estate.run(&hcl("shop", 1, "", "", "/bin/serve")).await;
    let line = stream.next().await.expect("a line").expect("read");
    let batch: Value =
        serde_json::from_slice(line.split(|b| *b == b'\n').next().expect("line")).expect("JSON");
    assert_eq!(
        (
            &batch["Events"][0]["Topic"],
            &batch["Events"][0]["Type"],
            &batch["Events"][0]["Key"]
        ),
        (&json!("Job"), &json!("JobRegistered"), &json!("shop"))
    );
}
