//! Two estates of the same form: agents `a` (server, datacenter edge), `b` (its client), `p` (server, datacenter provider).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use foreshadow::sandbox::consul::{AgentConfig, ConsulEstate, EstateConfig, Handle, Timing};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

const AGENTS: [(&str, &str, bool); 3] = [
    ("a", "edge", true),
    ("b", "edge", false),
    ("p", "provider", true),
];
const FAST_GOSSIP: &str =
    r#"gossip_lan { probe_interval = "200ms" probe_timeout = "100ms" suspicion_mult = 2 }"#;
const START_LIMIT: Duration = Duration::from_secs(60);

enum Engine {
    Embedded(Handle),
    /// The folder goes with the processes.
    Real {
        processes: Mutex<Processes>,
        _folder: tempfile::TempDir,
        _claim: TcpListener,
    },
}

/// A running estate.
pub struct Rig {
    pub client: reqwest::Client,
    agents: Vec<(&'static str, SocketAddr, SocketAddr)>,
    engine: Engine,
}

impl Rig {
    pub fn http(&self, agent: &str) -> SocketAddr {
        self.agents
            .iter()
            .find(|known| known.0 == agent)
            .expect("agents are a, b and p")
            .1
    }

    pub fn dns(&self, agent: &str) -> SocketAddr {
        self.agents
            .iter()
            .find(|known| known.0 == agent)
            .expect("agents are a, b and p")
            .2
    }

    /// Addresses by agent, to be replaced in answers.
    pub fn addresses(&self) -> impl Iterator<Item = (&'static str, IpAddr)> + '_ {
        self.agents.iter().map(|(name, http, _)| (*name, http.ip()))
    }

    /// Takes the servers away from client agent `b`, for good.
    pub fn isolate_b(&self) {
        match &self.engine {
            Engine::Embedded(handle) => handle.set_cut("b", true).expect("b is there"),
            Engine::Real { processes, .. } => {
                let mut processes = processes.lock().expect("no one panics with it");
                for (_, process) in processes.0.iter_mut().filter(|(name, _)| *name == "a") {
                    process.kill().expect("a can be killed");
                }
            }
        }
    }

    pub async fn stop(self) {
        if let Engine::Embedded(handle) = self.engine {
            handle.stop().await;
        }
    }

    async fn json(&self, agent: &str, path: &str) -> Option<Value> {
        let url = format!("http://{}{path}", self.http(agent));
        let reply = self.client.get(url).send().await.ok()?;
        if reply.status().is_success() {
            reply.json().await.ok()
        } else {
            None
        }
    }

    /// True when all agents know each other and have written themselves into the catalog.
    async fn is_settled(&self) -> bool {
        for (agent, _, _) in &self.agents {
            let nodes = self.json(agent, "/v1/catalog/nodes?dc=edge").await;
            let tagged =
                |node: &Value| node["TaggedAddresses"].is_object() && node["Meta"].is_object();
            if nodes.is_none_or(|nodes| {
                nodes
                    .as_array()
                    .is_none_or(|nodes| nodes.len() != 2 || !nodes.iter().all(tagged))
            }) {
                return false;
            }
            if self
                .json(agent, "/v1/catalog/datacenters")
                .await
                .is_none_or(|names| names.as_array().is_none_or(|names| names.len() != 2))
            {
                return false;
            }
        }
        let nodes = self.json("p", "/v1/catalog/nodes").await;
        nodes.is_some_and(|nodes| nodes[0]["TaggedAddresses"].is_object())
    }
}

/// Real agents by name; they end when this goes.
struct Processes(Vec<(&'static str, Child)>);

impl Drop for Processes {
    fn drop(&mut self) {
        for (_, process) in &mut self.0 {
            // One may have ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .expect("a client without TLS")
}

/// A third octet whose addresses no other run uses, and the socket that says so.
fn claim() -> (u8, TcpListener) {
    let free = (200..=250).find_map(|octet| {
        TcpListener::bind((Ipv4Addr::new(127, 0, octet, 254), 8500))
            .ok()
            .map(|held| (octet, held))
    });
    free.expect("one of 127.0.200.254 to 127.0.250.254 is free at port 8500")
}

pub async fn embedded() -> Rig {
    let (octet, claimed) = claim();
    let agent = |(at, (node, datacenter, server)): (usize, &(&str, &str, bool))| AgentConfig {
        node: (*node).into(),
        datacenter: (*datacenter).into(),
        server: *server,
        address: Ipv4Addr::new(127, 0, octet, 1 + at as u8).into(),
        http_port: 0,
        dns_port: 0,
    };
    let timing = Timing {
        failure_detection: Duration::from_millis(500),
        ..Timing::default()
    };
    let agents = AGENTS.iter().enumerate().map(agent).collect();
    let handle = ConsulEstate::start(EstateConfig {
        agents,
        timing,
        ..EstateConfig::default()
    })
    .await
    .expect("the estate starts");
    drop(claimed);
    let bound = handle.agents();
    let agents = AGENTS
        .iter()
        .zip(bound)
        .map(|((name, _, _), at)| (*name, at.http, at.dns))
        .collect();
    let rig = Rig {
        client: client(),
        agents,
        engine: Engine::Embedded(handle),
    };
    assert!(
        rig.is_settled().await,
        "the embedded estate is settled as soon as it has started"
    );
    rig
}

fn find_real() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let cache = std::env::var_os("FORESHADOW_CACHE").map(PathBuf::from);
    let cache = cache
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/real-consul"));
    let mut candidates = on_path
        .map(|folder| folder.join("consul"))
        .chain([cache.join("root/usr/bin/consul")]);
    candidates.find(|path| {
        let version = Command::new(path).arg("version").output();
        version.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("v1.8.7"))
    })
}

fn command(program: &PathBuf) -> Command {
    // The kernel ends the agents when this test is killed.
    if Command::new("setpriv").arg("--version").output().is_ok() {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program);
        return command;
    }
    Command::new(program)
}

/// `None` where there is no real Consul.
pub async fn real() -> Option<Rig> {
    let program = find_real()?;
    let (octet, claimed) = claim();
    let address = |at: usize| IpAddr::from(Ipv4Addr::new(127, 0, octet, 1 + at as u8));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut processes = Vec::new();
    for (at, (node, datacenter, server)) in AGENTS.iter().enumerate() {
        let log =
            std::fs::File::create(folder.path().join(format!("{node}.log"))).expect("a log file");
        let mut command = command(&program);
        command.arg("agent").args([
            "-node",
            node,
            "-datacenter",
            datacenter,
            "-retry-interval",
            "1s",
            "-hcl",
            FAST_GOSSIP,
        ]);
        command
            .arg(format!("-bind={}", address(at)))
            .arg(format!("-client={}", address(at)));
        if *server {
            command.arg("-dev");
        } else {
            command
                .arg("-data-dir")
                .arg(folder.path().join(node))
                .arg(format!("-retry-join={}", address(0)));
        }
        if *node == "p" {
            command.arg(format!("-retry-join-wan={}", address(0)));
        }
        command
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .stdin(Stdio::null());
        processes.push((*node, command.spawn().expect("the real consul starts")));
    }
    let agents = AGENTS.iter().enumerate().map(|(at, (node, _, _))| {
        (
            *node,
            SocketAddr::new(address(at), 8500),
            SocketAddr::new(address(at), 8600),
        )
    });
    let (agents, processes) = (agents.collect(), Mutex::new(Processes(processes)));
    let rig = Rig {
        client: client(),
        agents,
        engine: Engine::Real {
            processes,
            _folder: folder,
            _claim: claimed,
        },
    };
    let settled = async {
        while !rig.is_settled().await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(START_LIMIT, settled)
        .await
        .expect("the real estate is settled within a minute");
    Some(rig)
}

/// Waits for a condition that no blocking query announces.
pub async fn until<F: Future<Output = bool>>(
    limit: Duration,
    mut condition: impl FnMut() -> F,
) -> bool {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if condition().await {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}
