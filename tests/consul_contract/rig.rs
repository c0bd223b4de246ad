//! Two estates of the same form: agents `a` (server, datacenter edge), `b` (its client), `p` (server, datacenter provider).

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use foreshadow::sandbox::consul::{
    AclConfig, AgentConfig, ConsulEstate, EstateConfig, Handle, Timing,
};
use serde_json::Value;
use tokio::time::{Instant, sleep};

const AGENTS: [(&str, &str, bool); 3] = [
    ("a", "edge", true),
    ("b", "edge", false),
    ("p", "provider", true),
];
/// The only agent where access is controlled, and cut DNS answers are marked.
const SECURE: [(&str, &str, bool); 1] = [("s", "secure", true)];
/// Secret of the token that may do everything there.
pub const MASTER: &str = "11111111-1111-1111-1111-111111111111";
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

    /// Cuts an agent of the embedded estate off, or lets it back.
    pub fn set_cut(&self, agent: &str, cut: bool) {
        if let Engine::Embedded(handle) = &self.engine {
            handle.set_cut(agent, cut).expect("the agent is there");
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

    /// True when the one agent has written itself into the catalog.
    async fn knows_itself(&self) -> bool {
        let path = format!("/v1/catalog/nodes?token={MASTER}");
        let nodes = self.json("s", &path).await;
        nodes.is_some_and(|nodes| nodes[0]["TaggedAddresses"].is_object())
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

type Agents = [(&'static str, &'static str, bool)];

async fn start_embedded(agents: &Agents, acl: Option<AclConfig>) -> Rig {
    let (octet, claimed) = claim();
    let agent = |(at, (node, datacenter, server)): (usize, &(&str, &str, bool))| AgentConfig {
        node: (*node).into(),
        datacenter: (*datacenter).into(),
        server: *server,
        address: Ipv4Addr::new(127, 0, octet, 1 + at as u8).into(),
        http_port: 0,
        dns_port: 0,
        http_bind: None,
        dns_bind: None,
    };
    let timing = Timing {
        failure_detection: Duration::from_millis(500),
        check_reap: Duration::from_millis(200),
        deregister_min: Duration::from_millis(500),
        ..Timing::default()
    };
    let handle = ConsulEstate::start(EstateConfig {
        agents: agents.iter().enumerate().map(agent).collect(),
        timing,
        dns_truncation: acl.is_some(),
        acl,
        ..EstateConfig::default()
    })
    .await
    .expect("the estate starts");
    drop(claimed);
    let bound = handle.agents();
    let agents = agents
        .iter()
        .zip(bound)
        .map(|((name, _, _), at)| (*name, at.http, at.dns))
        .collect();
    Rig {
        client: client(),
        agents,
        engine: Engine::Embedded(handle),
    }
}

pub async fn embedded() -> Rig {
    let rig = start_embedded(&AGENTS, None).await;
    assert!(
        rig.is_settled().await,
        "the embedded estate is settled as soon as it has started"
    );
    rig
}

/// One server with access control.
pub async fn embedded_with_acl() -> Rig {
    let master = MASTER.into();
    start_embedded(&SECURE, Some(AclConfig { master })).await
}

pub fn find_real() -> Option<PathBuf> {
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

fn arguments(
    agents: &Agents,
    at: usize,
    address: impl Fn(usize) -> IpAddr,
    data: &Path,
) -> Vec<String> {
    let (node, datacenter, server) = agents[at];
    let mut arguments: Vec<String> = [
        "agent",
        "-node",
        node,
        "-datacenter",
        datacenter,
        "-retry-interval",
        "1s",
        "-hcl",
        FAST_GOSSIP,
    ]
    .map(Into::into)
    .to_vec();
    arguments.push(format!("-bind={}", address(at)));
    arguments.push(format!("-client={}", address(at)));
    if server {
        arguments.push("-dev".into());
    } else {
        arguments.push(format!("-data-dir={}", data.join(node).display()));
        arguments.push(format!("-retry-join={}", address(0)));
    }
    if node == "s" {
        arguments.extend(["-hcl".into(), secured()]);
    }
    if node == "p" {
        arguments.push(format!("-retry-join-wan={}", address(0)));
    }
    arguments
}

/// The agent itself may do everything: what it syncs is of no interest, only what it refuses.
fn secured() -> String {
    format!(
        r#"acl {{ enabled = true default_policy = "deny" tokens {{ master = "{MASTER}" agent = "{MASTER}" }} }}
        dns_config {{ enable_truncate = true }}"#
    )
}

/// `None` where there is no real Consul.
pub async fn real() -> Option<Rig> {
    let rig = start_real(&AGENTS).await?;
    let settled = until(START_LIMIT, || rig.is_settled()).await;
    assert!(settled, "the real estate is settled within {START_LIMIT:?}");
    Some(rig)
}

/// One real server with access control; `None` where there is no real Consul.
pub async fn real_with_acl() -> Option<Rig> {
    let rig = start_real(&SECURE).await?;
    let settled = until(START_LIMIT, || rig.knows_itself()).await;
    assert!(settled, "the real server is settled within {START_LIMIT:?}");
    Some(rig)
}

async fn start_real(all: &Agents) -> Option<Rig> {
    let program = find_real()?;
    let (octet, claimed) = claim();
    let address = |at: usize| IpAddr::from(Ipv4Addr::new(127, 0, octet, 1 + at as u8));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut agents, mut processes) = (Vec::new(), Vec::new());
    for (at, (node, _, _)) in all.iter().enumerate() {
        let log = File::create(folder.path().join(format!("{node}.log"))).expect("a log file");
        let mut command = command(&program);
        command
            .args(arguments(all, at, address, folder.path()))
            .stdin(Stdio::null());
        command
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        processes.push((*node, command.spawn().expect("the real consul starts")));
        agents.push((
            *node,
            SocketAddr::new(address(at), 8500),
            SocketAddr::new(address(at), 8600),
        ));
    }
    let processes = Mutex::new(Processes(processes));
    Some(Rig {
        client: client(),
        agents,
        engine: Engine::Real {
            processes,
            _folder: folder,
            _claim: claimed,
        },
    })
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
