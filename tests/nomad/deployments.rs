//! Deployments of the sandbox's Nomad: canaries, promotion, failure and the way back.

use crate::fake::Estate;
use foreshadow::sandbox::nomad::{EstateConfig, NodeConfig};
use serde_json::{Value, json};
use std::time::Duration;

fn quick(config: &mut EstateConfig) {
    config.deployment_batch = Duration::from_millis(5);
}

async fn estate() -> Estate {
    let nodes =
        (1..=4).map(|i| NodeConfig::new(&format!("edge-{i}"), "edge", &format!("127.0.77.{i}")));
    Estate::start(nodes.collect(), quick).await
}

/// Three copies of one task; `update` goes into the update stanza.
fn job(update: &str, command: &str) -> String {
    format!(
        r#"job "shop" {{
  datacenters = ["edge"]
  update {{
    max_parallel     = 1
    min_healthy_time = "1ms"
    {update}
  }}
  group "web" {{
    count = 3
    restart {{
      attempts = 0
      mode     = "fail"
    }}
    network {{
      port "http" {{}}
    }}
    service {{
      name        = "shop"
      port        = "http"
      tags        = ["live"]
      canary_tags = ["trial"]
    }}
    task "serve" {{
      driver = "raw_exec"
      config {{
        command = "{command}"
      }}
    }}
  }}
}}
"#
    )
}

/// Run a job and wait for the end of its deployment.
async fn settled(estate: &Estate, hcl: &str, version: i64) -> Value {
    estate.run(hcl).await;
    ended(estate, version, "successful").await
}

async fn ended(estate: &Estate, version: i64, status: &str) -> Value {
    estate
        .until("/v1/job/shop/deployment", |d| {
            d["JobVersion"] == version && d["Status"] == status
        })
        .await
}

/// The deployment of a version once its group is as wanted.
async fn group(estate: &Estate, version: i64, wanted: impl Fn(&Value) -> bool) -> Value {
    estate
        .until("/v1/job/shop/deployment", |d| {
            d["JobVersion"] == version && wanted(&d["TaskGroups"]["web"])
        })
        .await
}

async fn order(estate: &Estate, verb: &str, id: &Value, mut body: Value) -> Value {
    let id = id.as_str().expect("an ID");
    body["DeploymentID"] = id.into();
    estate
        .post(&format!("/v1/deployment/{verb}/{id}"), body)
        .await
}

fn live(allocs: &Value, version: i64) -> Vec<Value> {
    let all = allocs.as_array().into_iter().flatten();
    all.filter(|a| a["DesiredStatus"] == "run" && a["JobVersion"] == version)
        .cloned()
        .collect()
}

#[tokio::test]
async fn a_canary_runs_beside_the_others_with_its_own_tags_until_it_is_promoted() {
    let estate = estate().await;
    settled(&estate, &job("canary = 1", "/bin/one"), 0).await;
    estate.run(&job("canary = 1", "/bin/two")).await;
    let deployment = group(&estate, 1, |g| g["HealthyAllocs"] == 1).await;
    assert_eq!(
        deployment["StatusDescription"],
        "Deployment is running but requires manual promotion"
    );
    let web = &deployment["TaskGroups"]["web"];
    assert_eq!(
        (
            &web["DesiredCanaries"],
            &web["DesiredTotal"],
            &web["Promoted"]
        ),
        (&json!(1), &json!(3), &json!(false))
    );
    let allocs = estate.get("/v1/job/shop/allocations").await;
    assert_eq!((live(&allocs, 0).len(), live(&allocs, 1).len()), (3, 1));
    let canary = &live(&allocs, 1)[0];
    assert_eq!(canary["DeploymentStatus"]["Canary"], true);
    assert_eq!(web["PlacedCanaries"][0], canary["ID"]);
    let tagged = |count: usize, tag: &'static str| {
        move |all: &std::collections::BTreeMap<
            String,
            (String, foreshadow::sandbox::nomad::ServiceReg),
        >| { all.len() == count && all.values().any(|(_, s)| s.tags == [tag]) }
    };
    estate.consul.until(tagged(4, "trial")).await;

    let promoted = order(&estate, "promote", &deployment["ID"], json!({"All": true})).await;
    assert_eq!(promoted["RevertedJobVersion"], Value::Null);
    ended(&estate, 1, "successful").await;
    let allocs = estate.get("/v1/job/shop/allocations").await;
    assert_eq!((live(&allocs, 0).len(), live(&allocs, 1).len()), (0, 3));
    let names: std::collections::BTreeSet<String> = live(&allocs, 1)
        .iter()
        .map(|a| a["Name"].to_string())
        .collect();
    assert_eq!(names.len(), 3, "no two have the same number: {names:?}");
    estate
        .consul
        .until(|all| all.len() == 3 && all.values().all(|(_, s)| s.tags == ["live"]))
        .await;
}

#[tokio::test]
async fn healthy_canaries_are_promoted_by_themselves_where_the_job_says_so() {
    let estate = estate().await;
    let update = "canary = 2\n    auto_promote = true";
    settled(&estate, &job(update, "/bin/one"), 0).await;
    estate.run(&job(update, "/bin/two")).await;
    let done = ended(&estate, 1, "successful").await;
    let web = &done["TaskGroups"]["web"];
    assert_eq!(
        (
            &web["Promoted"],
            &web["DesiredCanaries"],
            &web["HealthyAllocs"]
        ),
        (&json!(true), &json!(2), &json!(3))
    );
}

#[tokio::test]
async fn too_few_healthy_canaries_cannot_be_promoted() {
    let estate = estate().await;
    settled(&estate, &job("canary = 2", "/bin/one"), 0).await;
    estate.run(&job("canary = 2", "/bin/false")).await;
    let deployment = group(&estate, 1, |g| g["UnhealthyAllocs"] == 2).await;
    let id = deployment["ID"].as_str().expect("an ID");
    let body = json!({"DeploymentID": id, "All": true});
    let refused = estate
        .call("POST", &format!("/v1/deployment/promote/{id}"), Some(&body))
        .await;
    assert_eq!(refused.status, 500);
    assert_eq!(
        refused.body,
        "1 error occurred:\n\t* Task group \"web\" has 0/2 healthy allocations\n\n"
    );
}

#[tokio::test]
async fn a_version_that_fails_without_a_progress_deadline_goes_back_to_the_last_stable_one() {
    let estate = estate().await;
    let update = "auto_revert = true\n    progress_deadline = \"0s\"";
    settled(&estate, &job(update, "/bin/one"), 0).await;
    estate.run(&job(update, "/bin/false")).await;
    let back = ended(&estate, 2, "successful").await;
    let all = estate.get("/v1/job/shop/deployments").await;
    let failed = all
        .as_array()
        .into_iter()
        .flatten()
        .find(|d| d["JobVersion"] == 1)
        .expect("the failed one");
    assert_eq!(
        failed["StatusDescription"],
        "Failed due to unhealthy allocations - rolling back to job version 0"
    );
    assert_eq!(
        back["StatusDescription"],
        "Deployment completed successfully"
    );
    let job = estate.get("/v1/job/shop").await;
    assert_eq!(
        job["TaskGroups"][0]["Tasks"][0]["Config"]["command"],
        "/bin/one"
    );
}

#[tokio::test]
async fn a_deployment_that_fails_first_has_nothing_to_go_back_to() {
    let estate = estate().await;
    let update = "auto_revert = true\n    progress_deadline = \"0s\"";
    estate.run(&job(update, "/bin/false")).await;
    let failed = ended(&estate, 0, "failed").await;
    assert_eq!(
        failed["StatusDescription"],
        "Failed due to unhealthy allocations - no stable job version to auto revert to"
    );
}

#[tokio::test]
async fn a_failed_deployment_stops_its_canaries_and_leaves_the_others_running() {
    let estate = estate().await;
    settled(&estate, &job("canary = 1", "/bin/one"), 0).await;
    estate.run(&job("canary = 1", "/bin/two")).await;
    let deployment = group(&estate, 1, |g| g["HealthyAllocs"] == 1).await;
    let failed = order(&estate, "fail", &deployment["ID"], json!({})).await;
    let eval = failed["EvalID"].as_str().expect("an evaluation");
    estate
        .until(&format!("/v1/evaluation/{eval}"), |e| {
            e["Status"] == "complete"
        })
        .await;
    let allocs = estate.get("/v1/job/shop/allocations").await;
    assert_eq!((live(&allocs, 0).len(), live(&allocs, 1).len()), (3, 0));
    let again = estate
        .call(
            "POST",
            &format!(
                "/v1/deployment/fail/{}",
                deployment["ID"].as_str().expect("ID")
            ),
            None,
        )
        .await;
    assert_eq!(
        (again.status, again.body.as_str()),
        (500, "can't fail terminal deployment")
    );
}

#[tokio::test]
async fn a_paused_deployment_replaces_nothing_until_it_is_resumed() {
    let estate = estate().await;
    settled(&estate, &job("canary = 1", "/bin/one"), 0).await;
    estate.run(&job("canary = 1", "/bin/two")).await;
    let deployment = group(&estate, 1, |g| g["HealthyAllocs"] == 1).await;
    order(&estate, "pause", &deployment["ID"], json!({"Pause": true})).await;
    let promoted = order(&estate, "promote", &deployment["ID"], json!({"All": true})).await;
    let eval = promoted["EvalID"].as_str().expect("an evaluation");
    estate
        .until(&format!("/v1/evaluation/{eval}"), |e| {
            e["Status"] == "complete"
        })
        .await;
    let allocs = estate.get("/v1/job/shop/allocations").await;
    assert_eq!((live(&allocs, 0).len(), live(&allocs, 1).len()), (2, 1));
    order(&estate, "pause", &deployment["ID"], json!({"Pause": false})).await;
    ended(&estate, 1, "successful").await;
}

#[tokio::test]
async fn an_older_version_is_reverted_to_and_marked_stable_on_request() {
    let estate = estate().await;
    settled(&estate, &job("", "/bin/one"), 0).await;
    settled(&estate, &job("", "/bin/two"), 1).await;
    let asked = &estate;
    let revert =
        |body: Value| async move { asked.call("POST", "/v1/job/shop/revert", Some(&body)).await };
    let cases = [
        (
            json!({"JobID": "shop", "JobVersion": 1}),
            "can't revert to current version",
        ),
        (
            json!({"JobID": "shop", "JobVersion": 7}),
            "job \"shop\" in namespace \"default\" at version 7 not found",
        ),
        (
            json!({"JobID": "shop", "JobVersion": 0, "EnforcePriorVersion": 5}),
            "Current job has version 1; enforcing version 5",
        ),
    ];
    for (body, why) in cases {
        let refused = revert(body).await;
        assert_eq!((refused.status, refused.body.as_str()), (500, why));
    }
    assert_eq!(
        revert(json!({"JobID": "shop", "JobVersion": 0}))
            .await
            .status,
        200
    );
    ended(&estate, 2, "successful").await;
    let unstable = json!({"JobID": "shop", "JobVersion": 2, "Stable": false});
    estate.post("/v1/job/shop/stable", unstable).await;
    let versions = estate.get("/v1/job/shop/versions").await;
    let stable: Vec<&Value> = versions["Versions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|v| &v["Stable"])
        .collect();
    assert_eq!(stable, [&json!(false), &json!(true), &json!(true)]);
}
