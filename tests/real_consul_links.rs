//! A real Consul on the sandbox's links: what a cut does to it, and that it heals. Needs `tests/setup` or a consul on PATH.
#![allow(clippy::disallowed_methods)] // it polls a real Consul and looks for its binary

use foreshadow::model::Site;
use foreshadow::sandbox::block::Block;
use foreshadow::sandbox::estate::Estate;
use foreshadow::sandbox::links::Links;
use foreshadow::sandbox::real_consul::{RealConsul, RealConsulConfig, find};
use foreshadow::sandbox::runtime::{Launcher, TASK_EXEC, task_exec};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The test binary plays foreshadow's part: as a test it has nothing to do, as `task-exec` it becomes the agent.
#[test]
fn becomes_an_agent_when_asked_to() {
    let mut args = std::env::args_os().skip_while(|a| a != TASK_EXEC);
    if args.next().is_some() {
        panic!("{}", task_exec(args));
    }
}

fn launcher() -> Launcher {
    let entry = "becomes_an_agent_when_asked_to";
    let leading = [entry, "--exact", "--nocapture", TASK_EXEC];
    Launcher {
        program: std::env::current_exe().unwrap(),
        leading: leading.map(Into::into).to_vec(),
    }
}

fn consul() -> Option<PathBuf> {
    let cache = std::env::var_os("FORESHADOW_CACHE").map(PathBuf::from);
    let found = find(&std::env::var("PATH").unwrap_or_default(), cache.as_deref());
    if found.is_none() {
        eprintln!("SKIPPED: there is no consul on PATH or where tests/setup unpacks it");
    }
    found
}

struct Yard {
    consul: RealConsul,
    links: Arc<Links>,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
    _held: std::net::TcpListener,
}

impl Yard {
    async fn start(binary: &Path) -> Yard {
        // Whoever was first has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (block, held) = Block::first_free().unwrap();
        let estate = Estate::builtin(block);
        let links = Arc::new(Links::new(&estate));
        let folder = tempfile::tempdir().unwrap();
        let config = RealConsulConfig {
            binary: binary.to_path_buf(),
            launcher: launcher(),
            folder: folder.path().to_path_buf(),
        };
        let consul = RealConsul::start(config, &estate, links.clone()).await;
        Yard {
            consul: consul.unwrap(),
            links,
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(5))
                .build()
                .unwrap(),
            _folder: folder,
            _held: held,
        }
    }

    fn url(&self, site: &str, path: &str) -> String {
        let address = self.consul.http(&Site::from(site)).unwrap();
        format!("http://{address}{path}")
    }

    async fn get(&self, site: &str, path: &str) -> Value {
        let answer = self.http.get(self.url(site, path)).send().await;
        let Ok(answer) = answer else {
            return Value::Null;
        };
        answer.json().await.unwrap_or(Value::Null)
    }

    async fn serf_health(&self, node: &str) -> Value {
        let checks = self.get("edge-a", &format!("/v1/health/node/{node}")).await;
        checks[0]["Status"].clone()
    }

    /// A blocking query until the node's own check has this status; Consul, and not a clock, says when.
    async fn until_health(&self, node: &str, status: &str) -> Duration {
        let since = Instant::now();
        let mut index = 0;
        loop {
            let path = format!("/v1/health/node/{node}?wait=4s&index={index}");
            let answer = self
                .http
                .get(self.url("edge-a", &path))
                .send()
                .await
                .unwrap();
            let header = answer.headers()["X-Consul-Index"].to_str().unwrap();
            index = header.parse::<u64>().unwrap();
            let checks: Value = answer.json().await.unwrap();
            if checks[0]["Status"] == status {
                return since.elapsed();
            }
            assert!(
                since.elapsed() < Duration::from_secs(60),
                "{node} is {checks}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_fails_the_agent_in_the_catalog_while_it_goes_on_answering_and_healing_brings_it_back()
 {
    let Some(binary) = consul() else { return };
    let started = Instant::now();
    let yard = Yard::start(&binary).await;
    println!("real Consul ready after {:?}", started.elapsed());
    assert_eq!(
        yard.get("edge-a", "/v1/catalog/datacenters")
            .await
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(yard.serf_health("edge-b").await, "passing");
    let entry = json!({
        "ID": "foreshadow-web", "Name": "web", "Address": "127.0.10.1", "Port": 20000,
        "Weights": { "Passing": 7, "Warning": 1 },
    });
    let register = yard.url("edge-b", "/v1/agent/service/register");
    let answer = yard.http.put(register).json(&entry).send().await.unwrap();
    assert!(answer.status().is_success());

    let edge_b = Site::from("edge-b");
    yard.links.cut(&edge_b).unwrap();
    println!(
        "cut: failed after {:?}",
        yard.until_health("edge-b", "critical").await
    );
    let local = yard.get("edge-b", "/v1/agent/services").await;
    assert_eq!(local["foreshadow-web"]["Weights"]["Passing"], 7, "{local}");
    let beyond = yard
        .http
        .get(yard.url("edge-b", "/v1/catalog/nodes?consistent"))
        .send()
        .await;
    assert!(
        !beyond.is_ok_and(|a| a.status().is_success()),
        "it reached its server through a cut"
    );
    assert_eq!(yard.serf_health("edge-a").await, "passing");

    yard.links.heal(&edge_b).unwrap();
    yard.consul.rejoin(&edge_b).await.unwrap();
    println!(
        "heal: back after {:?}",
        yard.until_health("edge-b", "passing").await
    );
    yard.consul.stop().await;
}
