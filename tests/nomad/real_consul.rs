//! The services of the sandbox's Nomad in a real Consul, where this machine has one.
#![allow(clippy::disallowed_methods)] // looks for a program and waits for it to start

use crate::fake::{FakeRuntime, hcl};
use foreshadow::sandbox::nomad::{EstateConfig, HttpRegistrar, NodeConfig, NomadEstate};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncBufReadExt;

const AGENT: &str = "127.0.77.1";

/// Where `tests/setup` or `dpkg -x` puts Debian's package, else the PATH.
fn consul() -> Option<PathBuf> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real-consul");
    let unpacked = ["root/usr/bin/consul", "usr/bin/consul"].map(|p| cache.join(p));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("consul"));
    unpacked.into_iter().chain(on_path).find(|p| p.is_file())
}

#[tokio::test]
async fn a_real_consul_agent_learns_of_an_allocations_services_and_of_their_end() {
    let Some(binary) = consul() else {
        println!("SKIPPED: no consul on PATH or in target/real-consul; nothing was registered");
        return;
    };
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut agent = tokio::process::Command::new(binary)
        .args([
            "agent",
            "-dev",
            "-node=real",
            &format!("-bind={AGENT}"),
            &format!("-client={AGENT}"),
        ])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let mut log = tokio::io::BufReader::new(agent.stdout.take().expect("piped")).lines();
    while let Some(line) = log.next_line().await.expect("readable") {
        if line.contains("Synced node info") {
            break;
        }
    }
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    let mut node = NodeConfig::new("edge-a-1", "edge-a", AGENT);
    node.consul = Some(format!("http://{AGENT}:8500"));
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .build()
        .expect("client");
    let registrar = Arc::new(HttpRegistrar::for_nodes(client.clone(), [&node], None));
    let config = EstateConfig::new(([127, 0, 0, 1], 0).into(), vec![node]);
    let nomad = NomadEstate::start(config, FakeRuntime::new(""), registrar)
        .await
        .expect("starts");
    let api = format!("http://{}/v1", nomad.address());
    let file = hcl("shop", 1, "", "", "/bin/serve")
        .replace("type     = \"http\"", "type     = \"tcp\"")
        .replace("port = \"http\"", "port = \"8500\"");
    let job: Value = client
        .post(format!("{api}/jobs/parse"))
        .json(&json!({"JobHCL": file}))
        .send()
        .await
        .expect("answers")
        .json()
        .await
        .expect("JSON");
    client
        .post(format!("{api}/jobs"))
        .json(&json!({"Job": job}))
        .send()
        .await
        .expect("answers");
    let health = format!("http://{AGENT}:8500/v1/health/service/shop-origin");
    // The check is a TCP connect to the agent itself, so it passes.
    let entries = until(&client, &health, |e| {
        e[0]["Checks"]
            .as_array()
            .is_some_and(|c| c.len() == 2 && c.iter().all(|c| c["Status"] == "passing"))
    })
    .await;
    let service = &entries[0]["Service"];
    assert!(
        service["ID"].as_str().is_some_and(
            |id| id.starts_with("_nomad-task-") && id.ends_with("-group-web-shop-origin-8500")
        ),
        "{service}"
    );
    assert_eq!(
        (&service["Tags"], &service["Meta"]["external-source"]),
        (&json!(["site-edge-a"]), &json!("nomad"))
    );
    until(&client, &format!("{api}/job/shop/deployment"), |d| {
        d["Status"] == "successful"
    })
    .await;
    client
        .delete(format!("{api}/job/shop"))
        .send()
        .await
        .expect("answers");
    until(&client, &health, |e| {
        e.as_array().is_some_and(Vec::is_empty)
    })
    .await;
    nomad.stop().await;
    agent.kill().await.expect("ends");
}

/// Follow a read of Consul or Nomad by blocking queries until it is as wanted.
async fn until(client: &reqwest::Client, url: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut index = String::from("0");
    for _ in 0..100 {
        let answer = client
            .get(format!("{url}?index={index}&wait=4s"))
            .send()
            .await
            .expect("answers");
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .and_then(|i| i.to_str().ok())
                .map(str::to_string)
        };
        index = header("X-Consul-Index")
            .or_else(|| header("X-Nomad-Index"))
            .unwrap_or_default();
        let body = answer.json().await.expect("JSON");
        if wanted(&body) {
            return body;
        }
    }
    panic!("{url} never became as wanted");
}
