//! Requests that make no sense, reads that wait, namespaces: answered as a real Nomad 1.0.18 does.

use crate::fake::Estate;
use foreshadow::sandbox::nomad::NodeConfig;
use serde_json::{Value, json};

/// Method, path, body, status and text that a real Nomad answered; `{NODE}` and such are IDs, `NIL` is one that nothing has.
const REFUSALS: &str = include_str!("refusals.ndjson");
const NIL: &str = "00000000-0000-0000-0000-000000000000";

async fn estate() -> Estate {
    let node = NodeConfig::new("edge-a-1", "edge", "127.0.10.1");
    Estate::start(vec![node], |_| ()).await
}

fn job(id: &str) -> Value {
    json!({"Job": {"ID": id, "Name": id, "Datacenters": ["edge"], "TaskGroups": [{"Name": "g", "Count": 2,
        "Tasks": [{"Name": "x", "Driver": "raw_exec", "Config": {"command": "/bin/serve"}}]}]}})
}

async fn first(estate: &Estate, path: &str) -> String {
    let all = estate
        .until(path, |all| all.as_array().is_some_and(|a| !a.is_empty()))
        .await;
    all[0]["ID"].as_str().expect("an ID").to_string()
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_in_nomads_words() {
    let estate = estate().await;
    estate.post("/v1/jobs", job("fz")).await;
    let ids = [
        ("{NODE}", first(&estate, "/v1/nodes").await),
        ("{ALLOC}", first(&estate, "/v1/job/fz/allocations").await),
        ("{DEP}", first(&estate, "/v1/job/fz/deployments").await),
        ("NIL", NIL.to_string()),
    ];
    let mut differ = Vec::new();
    for row in REFUSALS.lines() {
        let row: (String, String, String, u16, String) = serde_json::from_str(row).expect("JSON");
        let (method, mut path, mut body, status, text) = row;
        for (name, id) in &ids {
            path = path.replace(name, id);
            body = body.replace(name, id);
        }
        let answer = estate.send(&method, &path, body).await;
        if (answer.status, answer.body.replace(NIL, "UUID")) != (status, text.clone()) {
            differ.push(format!(
                "{method} {path}: {} {:?} and not {status} {text:?}",
                answer.status, answer.body
            ));
        }
    }
    let all = REFUSALS.lines().count();
    println!(
        "refusals that agree with a real Nomad's: {} of {all}",
        all - differ.len()
    );
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[tokio::test]
async fn two_namespaces_hold_two_jobs_of_the_same_name_apart() {
    let estate = estate().await;
    estate
        .call(
            "POST",
            "/v1/namespace",
            Some(&json!({"Name": "dev", "Description": "trial"})),
        )
        .await;
    let nowhere = estate
        .call("POST", "/v1/jobs?namespace=nowhere", Some(&job("shop")))
        .await;
    assert_eq!(
        (nowhere.status, nowhere.body.as_str()),
        (500, "job \"shop\" is in nonexistent namespace \"nowhere\"")
    );
    for path in ["/v1/jobs", "/v1/jobs?namespace=dev"] {
        estate.post(path, job("shop")).await;
    }
    let running = |all: &Value| {
        let all = all.as_array().into_iter().flatten();
        all.filter(|a| a["ClientStatus"] == "running").count() == 2
    };
    for namespace in ["default", "dev"] {
        let own = estate
            .until(
                &format!("/v1/job/shop/allocations?namespace={namespace}"),
                running,
            )
            .await;
        for alloc in own.as_array().into_iter().flatten() {
            assert_eq!(
                (&alloc["Namespace"], &alloc["JobID"]),
                (&json!(namespace), &json!("shop"))
            );
            assert!(
                alloc["Name"]
                    .as_str()
                    .is_some_and(|n| n.starts_with("shop.g["))
            );
        }
        let job = estate
            .get(&format!("/v1/job/shop?namespace={namespace}"))
            .await;
        assert_eq!(
            (&job["Namespace"], &job["ID"]),
            (&json!(namespace), &json!("shop"))
        );
    }
    let count = |v: &Value| v.as_array().map_or(0, Vec::len);
    let (all, own) = (
        estate.get("/v1/jobs?namespace=*").await,
        estate.get("/v1/jobs?namespace=dev").await,
    );
    assert_eq!((count(&all), count(&own)), (2, 1));
    let busy = estate.call("DELETE", "/v1/namespace/dev", None).await;
    assert_eq!(
        (busy.status, busy.body.as_str()),
        (
            500,
            "1 error occurred:\n\t* namespace \"dev\" has non-terminal jobs in regions: [global]\n\n"
        )
    );
    estate
        .call("DELETE", "/v1/job/shop?namespace=dev&purge=true", None)
        .await;
    assert_eq!(
        estate
            .call("DELETE", "/v1/namespace/dev", None)
            .await
            .status,
        200
    );
    assert_eq!(
        count(&estate.get("/v1/jobs").await),
        1,
        "the other one is still there"
    );
}

#[tokio::test]
async fn an_index_never_goes_backwards_and_a_read_waits_for_the_next_one() {
    let estate = estate().await;
    let before = estate.call("GET", "/v1/jobs", None).await.index();
    let path = format!("/v1/jobs?index={before}&wait=60s");
    let (seen, _) = tokio::join!(
        estate.call("GET", &path, None),
        estate.post("/v1/jobs", job("shop"))
    );
    assert!(seen.index() > before, "{} after {before}", seen.index());
    assert_eq!(seen.json()[0]["ID"], "shop");
    let mut last = seen.index();
    for path in [
        "/v1/jobs",
        "/v1/jobs?prefix=sh",
        "/v1/jobs?prefix=none",
        "/v1/jobs?stale",
        "/v1/jobs?index=1",
    ] {
        let index = estate.call("GET", path, None).await.index();
        assert!(index >= last, "{path}: {index} after {last}");
        last = index;
    }
    let purged = estate
        .call("DELETE", "/v1/job/shop?purge=true", None)
        .await
        .index();
    let gone = estate.call("GET", "/v1/jobs", None).await;
    assert!(gone.index() >= purged && gone.json().as_array().is_some_and(Vec::is_empty));
    let idle = estate
        .call("GET", "/v1/jobs?index=999999&wait=1ms", None)
        .await;
    assert_eq!((idle.status, idle.index() < 999_999), (200, true));
}

#[tokio::test]
async fn a_running_allocation_is_restarted_on_request_and_says_so() {
    let estate = estate().await;
    estate.post("/v1/jobs", job("shop")).await;
    let alloc = estate.running("shop", 2).await.remove(0);
    let id = alloc["ID"].as_str().expect("an ID");
    let path = format!("/v1/client/allocation/{id}/restart");
    let wrong = estate
        .call("PUT", &path, Some(&json!({"TaskName": "nope"})))
        .await;
    assert_eq!(
        (wrong.status, wrong.body.as_str()),
        (500, "Could not find task runner for task: nope")
    );
    estate.call("PUT", &path, Some(&json!({}))).await;
    let again = estate
        .until(&format!("/v1/allocation/{id}"), |a| {
            a["TaskStates"]["x"]["Restarts"] == 1 && a["TaskStates"]["x"]["State"] == "running"
        })
        .await;
    let events = again["TaskStates"]["x"]["Events"]
        .as_array()
        .expect("events");
    let kinds: Vec<&str> = events.iter().filter_map(|e| e["Type"].as_str()).collect();
    assert_eq!(
        kinds[2..],
        [
            "Started",
            "Restart Signaled",
            "Terminated",
            "Restarting",
            "Started"
        ]
    );
    assert_eq!(events[3]["DisplayMessage"], "User requested restart");
    assert_eq!(again["ClientStatus"], "running");
}
