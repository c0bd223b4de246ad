//! `mesh`: what the splitter and the resolver make of a service in a real Consul.

use super::*;
use serde_json::{Value, json};

async fn mesh(name: &str, ip: &str) -> Option<(Agent, Bench)> {
    let agent = Agent::start(name, ip, r#", "connect": {"enabled": true}"#)?;
    let bench = Bench::start(&agent, None);
    let defaults = json!({"Kind": "service-defaults", "Name": SERVICE, "Protocol": "http"});
    assert!(bench.consul.config_cas(&defaults, 0).await.unwrap());
    Some((agent, bench))
}

async fn entry(bench: &Bench, kind: &str) -> Option<Value> {
    let found = bench
        .consul
        .config_entry(kind, SERVICE, None)
        .await
        .unwrap();
    found.value.map(|e| e.0)
}

/// Subset by subset, the weight.
fn splits(splitter: &Value) -> Vec<(String, f64)> {
    let all = splitter["Splits"].as_array().unwrap().iter();
    all.map(|s| {
        let weight = (s["Weight"].as_f64().unwrap() * 100.0).round() / 100.0;
        (s["ServiceSubset"].as_str().unwrap().to_string(), weight)
    })
    .collect()
}

/// Where a check of ours passes.
const PASSES: &str = "127.0.214.3";

fn shares(percents: &[u32]) -> Target {
    let all = percents.iter().enumerate();
    let all = all.map(|(n, p)| instance(alloc(n as u8 + 1), PASSES, 8500, *p));
    target(Owner::Mesh, all.collect())
}

#[tokio::test]
async fn mesh_splits_a_service_over_its_instances_and_old_targets_change_nothing() {
    let Some((_agent, bench)) = mesh("owner-mesh", PASSES).await else {
        return;
    };
    bench.apply(&shares(&[70, 30])).await;
    let splitter = entry(&bench, "service-splitter").await.unwrap();
    let one = ("i-00000001-i".to_string(), 70.0);
    let two = ("i-00000002-i".to_string(), 30.0);
    assert_eq!(splits(&splitter), [one.clone(), two.clone()]);
    assert_eq!(splitter["Meta"]["foreshadow_epoch"], "3");
    // What proxies are told.
    let chain = bench.consul.discovery_chain(SERVICE).await.unwrap();
    assert_eq!(chain.protocol, "http");
    let node = &chain.nodes[&chain.start_node];
    let weights: Vec<f64> = node["Splits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["Weight"].as_f64().unwrap())
        .collect();
    assert_eq!(weights, [70.0, 30.0], "{node}");
    // An instance that fails leaves its part to all.
    let resolvers = chain.nodes.values().filter(|n| n["Type"] == "resolver");
    let over: Vec<&Value> = resolvers
        .map(|n| &n["Resolver"]["Failover"]["Targets"])
        .collect();
    assert_eq!(over.len(), 2);
    assert!(
        over.iter().all(|t| t[0] == "everyone.web.default.edge"),
        "{over:?}"
    );

    // Instances come and go; a hundredth of a percent is said exactly.
    let mut third = shares(&[0, 30, 70]);
    third.instances[1].share = Share(3_333);
    third.instances[2].share = Share(6_667);
    bench.apply(&third).await;
    let splitter = entry(&bench, "service-splitter").await.unwrap();
    assert_eq!(
        splits(&splitter),
        [
            ("i-00000002-i".to_string(), 33.33),
            ("i-00000003-i".to_string(), 66.67)
        ]
    );

    // Somebody wrote for a newer leader: this one's write is refused.
    let mut newer = splitter.clone();
    newer["Meta"]["foreshadow_epoch"] = json!("4");
    let index = newer["ModifyIndex"].as_u64().unwrap();
    assert!(bench.consul.config_cas(&newer, index).await.unwrap());
    bench.put(&shares(&[100, 0])).await;
    // The next leader's target is applied, so the one before it was looked at.
    let next = Target {
        epoch: Epoch(5),
        ..shares(&[50, 50])
    };
    bench.apply(&next).await;
    let splitter = entry(&bench, "service-splitter").await.unwrap();
    assert_eq!(
        splits(&splitter),
        [
            ("i-00000001-i".to_string(), 50.0),
            ("i-00000002-i".to_string(), 50.0)
        ]
    );
    assert_eq!(splitter["Meta"]["foreshadow_epoch"], "5");

    // Given to another owner, the mesh is as it was.
    bench
        .apply(&Target {
            owner: Owner::Front,
            ..next
        })
        .await;
    assert_eq!(entry(&bench, "service-splitter").await, None);
    assert_eq!(entry(&bench, "service-resolver").await, None);
}

#[tokio::test]
async fn a_subset_of_the_mesh_holds_one_instance_and_no_other() {
    let ip = "127.0.214.4";
    let Some((_agent, bench)) = mesh("owner-subset", ip).await else {
        return;
    };
    let http = reqwest::Client::new();
    for n in [1, 2] {
        let id = format!("_nomad-task-{}-group-web-web-http", alloc(n));
        let sidecar = json!({"SidecarService": {}});
        let body = json!({"ID": id, "Name": SERVICE, "Address": ip, "Port": 8000 + u16::from(n), "Connect": sidecar});
        let url = format!("http://{ip}:8500/v1/agent/service/register");
        let sent = http.put(url).json(&body).send().await.unwrap();
        assert!(sent.status().is_success(), "{}", sent.text().await.unwrap());
    }
    bench.apply(&shares(&[50, 50])).await;
    let resolver = entry(&bench, "service-resolver").await.unwrap();
    for n in [1u8, 2] {
        let subset = format!("i-{n:08}-i");
        let filter = resolver["Subsets"][&subset]["Filter"].as_str().unwrap();
        // What the filter finds among the proxies of the service.
        let url = format!("http://{ip}:8500/v1/health/connect/{SERVICE}");
        let found = http
            .get(url)
            .query(&[("filter", filter)])
            .send()
            .await
            .unwrap();
        let found: Value = found.json().await.unwrap();
        let found = found.as_array().unwrap();
        assert_eq!(found.len(), 1, "{filter}");
        let behind = &found[0]["Service"]["Proxy"]["DestinationServiceID"];
        assert!(
            behind.as_str().unwrap().contains(alloc(n).as_str()),
            "{behind}"
        );
    }
}

#[tokio::test]
async fn a_splitter_that_a_person_wrote_is_left_alone() {
    let Some((_agent, bench)) = mesh("owner-foreign", "127.0.214.5").await else {
        return;
    };
    let own = json!({"Kind": "service-splitter", "Name": SERVICE, "Splits": [{"Weight": 100.0}]});
    assert!(bench.consul.config_cas(&own, 0).await.unwrap());
    bench.put(&shares(&[70, 30])).await;
    // Another service's target holds up for nothing: when it is applied, the first was looked at.
    let other = Target {
        service: "other".into(),
        owner: Owner::Front,
        ..shares(&[100])
    };
    bench.apply(&other).await;
    let splitter = entry(&bench, "service-splitter").await.unwrap();
    assert_eq!(splits_of_service(&splitter), [100.0]);
    assert_eq!(splitter["Meta"], Value::Null);
    let applied = bench
        .consul
        .kv_get("foreshadow/applied/edge-a/web", None, true, None)
        .await
        .unwrap();
    assert_eq!(applied.value, None, "nobody says that it was applied");
}

fn splits_of_service(splitter: &Value) -> Vec<f64> {
    let all = splitter["Splits"].as_array().unwrap().iter();
    all.map(|s| s["Weight"].as_f64().unwrap()).collect()
}
