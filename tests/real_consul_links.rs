//! A real Consul on the sandbox's links: what a cut does to it, and that it heals. Needs `tests/setup` or a consul on PATH.
#![allow(clippy::disallowed_methods)] // it polls a real Consul and looks for its binary

use foreshadow::model::Site;
use foreshadow::sandbox::block::Block;
use foreshadow::sandbox::estate::Estate;
use foreshadow::sandbox::links::{Links, Nic, PortState};
use foreshadow::sandbox::real_consul::{RealConsul, RealConsulConfig, find};
use foreshadow::sandbox::runtime::{Launcher, TASK_EXEC, task_exec};
use hickory_resolver::Resolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use serde_json::{Value, json};
use std::net::SocketAddr;
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

const PORT: u16 = 20_000;

struct Yard {
    block: Block,
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
            block,
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

    /// An entry on a site's own agent, with a check that the agent itself makes.
    async fn register(&self, site: &str) {
        let address = self.block.outer(1, 1);
        let entry = json!({
            "ID": "foreshadow-web", "Name": "web", "Address": address, "Port": PORT,
            "Weights": { "Passing": 7, "Warning": 1 },
            "Check": { "HTTP": format!("http://{address}:{PORT}/"), "Interval": "200ms", "Timeout": "300ms" },
        });
        let url = self.url(site, "/v1/agent/service/register");
        let answer = self.http.put(url).json(&entry).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    /// The status of the entry's check on the site's own agent.
    async fn check(&self, site: &str) -> Value {
        let checks = self.get(site, "/v1/agent/checks").await;
        checks["service:foreshadow-web"]["Status"].clone()
    }

    /// An agent's own checks cannot be waited for, only asked.
    async fn until_check(&self, site: &str, status: &str) {
        let since = Instant::now();
        while self.check(site).await != status {
            assert!(
                since.elapsed() < Duration::from_secs(60),
                "the check at {site} is never {status}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Until the site's agent has heard of so many entries by way of the server.
    async fn until_found(&self, site: &str, entries: usize) -> Vec<String> {
        let since = Instant::now();
        loop {
            let found = self.srv(site).await;
            if found.len() == entries {
                return found;
            }
            assert!(
                since.elapsed() < Duration::from_secs(60),
                "the DNS at {site} finds {found:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The SRV targets that a site's agent gives, as text.
    async fn srv(&self, site: &str) -> Vec<String> {
        let dns = self.consul.dns(&Site::from(site)).unwrap();
        let mut tcp = ConnectionConfig::tcp();
        tcp.port = dns.port();
        let server = NameServerConfig::new(dns.ip(), true, vec![tcp]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().cache_size = 0;
        let answer = builder
            .build()
            .unwrap()
            .srv_lookup("web.service.consul.")
            .await;
        let records = answer.map(|a| a.answers().iter().map(ToString::to_string).collect());
        records.unwrap_or_default()
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

/// Says 200 to everybody, behind the port of edge-a-1.
async fn serve_web(yard: &Yard) -> Nic {
    let inner = SocketAddr::from((yard.block.inner(1, 1), PORT));
    let outer = SocketAddr::from((yard.block.outer(1, 1), PORT));
    let listener = tokio::net::TcpListener::bind(inner).await.unwrap();
    let web = axum::Router::new().fallback(|| async { "fine" });
    tokio::spawn(async move { axum::serve(listener, web).await });
    let site = Site::from("edge-a");
    let nic = Nic::open(&yard.links, outer, inner, &site, Some("edge-a-1")).unwrap();
    nic.reached(PortState::Listening).await;
    nic
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_fails_the_agent_in_the_catalog_while_it_goes_on_answering_and_healing_brings_it_back()
 {
    let Some(binary) = consul() else { return };
    let started = Instant::now();
    let yard = Yard::start(&binary).await;
    println!("real Consul ready after {:?}", started.elapsed());
    let datacenters = yard.get("edge-a", "/v1/catalog/datacenters").await;
    assert_eq!(datacenters.as_array().unwrap().len(), 2);
    assert_eq!(yard.serf_health("edge-b").await, "passing");
    let _web = serve_web(&yard).await;
    for site in ["edge-a", "edge-b"] {
        yard.register(site).await;
        yard.until_check(site, "passing").await;
    }
    let before = yard.until_found("edge-b", 2).await;
    assert!(before[0].contains("SRV 1 7 20000"), "{before:?}");

    let edge_b = Site::from("edge-b");
    yard.links.cut(&edge_b).unwrap();
    println!(
        "cut: failed after {:?}",
        yard.until_health("edge-b", "critical").await
    );
    yard.until_check("edge-b", "critical").await;
    assert_eq!(
        yard.check("edge-a").await,
        "passing",
        "its check does not cross the cut"
    );
    let local = yard.get("edge-b", "/v1/agent/services").await;
    assert_eq!(local["foreshadow-web"]["Weights"]["Passing"], 7, "{local}");
    let beyond = yard.url("edge-b", "/v1/catalog/nodes?consistent");
    let beyond = yard.http.get(beyond).send().await;
    assert!(
        !beyond.is_ok_and(|a| a.status().is_success()),
        "it reached its server through a cut"
    );
    assert_eq!(yard.srv("edge-b").await, before, "what it knew last");
    assert_eq!(yard.serf_health("edge-a").await, "passing");

    yard.links.heal(&edge_b).unwrap();
    yard.consul.rejoin(&edge_b).await.unwrap();
    println!(
        "heal: back after {:?}",
        yard.until_health("edge-b", "passing").await
    );
    yard.until_check("edge-b", "passing").await;
    yard.consul.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_server_takes_its_datacenter_out_of_the_federation_and_heals_into_it() {
    let Some(binary) = consul() else { return };
    let yard = Yard::start(&binary).await;
    let provider = Site::from("provider-a");
    let ask = || {
        yard.http
            .get(yard.url("edge-a", "/v1/catalog/nodes?dc=provider"))
            .send()
    };
    assert!(ask().await.unwrap().status().is_success());
    yard.links.cut(&provider).unwrap();
    assert!(!ask().await.is_ok_and(|a| a.status().is_success()));
    let own = yard.get("provider-a", "/v1/status/leader").await;
    assert_eq!(own, format!("{}:8300", yard.block.consul(3)));
    yard.links.heal(&provider).unwrap();
    yard.consul.rejoin(&provider).await.unwrap();
    assert!(ask().await.unwrap().status().is_success());
    yard.consul.stop().await;
}
