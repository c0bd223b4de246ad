//! Real Consul agents in the sandbox: starts them, puts their gossip and RPC on the links, and waits until they are one federation.

mod config;

use super::block::Block;
use super::estate::{ConsulSpec, Estate};
use super::links::{GossipEnd, GossipRelay, LinkError, Links, Nic};
use super::runtime::{Launcher, Spawner};
use crate::model::Site;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Child;
use tokio::time::timeout;

/// Under a cache folder, in the order of looking: where `tests/setup` unpacks Debian's package, and where `dpkg -x` puts it.
const UNPACKED: [&str; 2] = ["root/usr/bin/consul", "usr/bin/consul"];
/// Between two looks at a federation that forms.
const LOOK: Duration = Duration::from_millis(50);
/// One question to an agent that starts.
const ANSWER: Duration = Duration::from_secs(2);
/// A federation that has not formed by then never will.
const READY: Duration = Duration::from_secs(40);
/// From the interrupt to the kill.
const STOP: Duration = Duration::from_secs(3);

/// What went wrong with the real Consul.
#[derive(Debug, thiserror::Error)]
pub enum RealConsulError {
    #[error("cannot prepare {path} for Consul")]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot start {binary} for {agent}")]
    Start {
        binary: PathBuf,
        agent: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the Consul agent {agent} ended while it started; the end of {log}:\n{tail}")]
    Ended {
        agent: String,
        log: PathBuf,
        tail: String,
    },
    #[error("Consul has not become ready: {waiting_for}; look into {folder}")]
    NotReady {
        waiting_for: String,
        folder: PathBuf,
    },
    #[error("Consul at {agent} did not take {path}: {why}")]
    Call {
        agent: String,
        path: String,
        why: String,
    },
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// The consul binary: on PATH (`path`), else in the cache folder (`FORESHADOW_CACHE`, or target/real-consul of this repository).
pub fn find(path: &str, cache: Option<&Path>) -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real-consul");
    let cache = cache.map_or(ours, Path::to_path_buf);
    let on_path = std::env::split_paths(path).map(|folder| folder.join("consul"));
    let unpacked = UNPACKED.iter().map(|inside| cache.join(inside));
    on_path.chain(unpacked).find(|binary| binary.is_file())
}

/// What a [`RealConsul`] is made of.
#[derive(Clone, Debug)]
pub struct RealConsulConfig {
    /// See [`find`].
    pub binary: PathBuf,
    pub launcher: Launcher,
    /// For data, configuration and logs (`<agent>.log`); the caller removes it.
    pub folder: PathBuf,
}

/// So long after its servers can be reached again an agent that caches may still name in DNS what was before: a failed
/// refresh is repeated after 2, 4, 8 and 16 s, each pause up to twice as long (`backOffWait` in Consul's `agent/cache`),
/// and no longer pause begins in a cut of half a minute.
pub const STALE_AFTER_HEAL: Duration = Duration::from_secs(33);

/// Running agents. Dropping it kills them; [`RealConsul::stop`] ends them in order.
pub struct RealConsul {
    block: Block,
    links: Arc<Links>,
    agents: Vec<Agent>,
    client: Client<HttpConnector, Empty<bytes::Bytes>>,
    folder: PathBuf,
    _relays: (Vec<Nic>, [GossipRelay; 2]),
    _spawner: Spawner,
}

struct Agent {
    spec: ConsulSpec,
    child: Child,
    pid: u32,
}

impl RealConsul {
    /// Start the estate's agents, and return when they are one federation: every datacenter has a leader, every member is alive everywhere.
    /// To be called within a tokio runtime.
    ///
    /// # Errors
    /// When a port is taken, the binary cannot run, an agent ends, or no federation forms within 40 s.
    pub async fn start(
        config: RealConsulConfig,
        estate: &Estate,
        links: Arc<Links>,
    ) -> Result<RealConsul, RealConsulError> {
        let specs = estate.consul_agents();
        let relays = relays(&links, estate.block, &specs).await?;
        let unstarted = |source| RealConsulError::Start {
            binary: config.binary.clone(),
            agent: "the agents".to_string(),
            source,
        };
        let spawner = Spawner::new().map_err(unstarted)?;
        let mut agents = Vec::new();
        for spec in &specs {
            let agent = launch(&config, estate.block, spec, &specs, &spawner).await?;
            links.owners().register(agent.pid, spec.site_number);
            agents.push(agent);
        }
        let mut consul = RealConsul {
            block: estate.block,
            links,
            agents,
            client: Client::builder(TokioExecutor::new()).build_http(),
            folder: config.folder,
            _relays: relays,
            _spawner: spawner,
        };
        consul.until_ready().await?;
        Ok(consul)
    }

    /// The agents' HTTP addresses by site.
    pub fn http(&self, site: &Site) -> Option<SocketAddr> {
        self.agent(site).map(|a| config::http(self.block, &a.spec))
    }

    /// The agents' DNS addresses (UDP and TCP) by site.
    pub fn dns(&self, site: &Site) -> Option<SocketAddr> {
        self.agent(site).map(|a| config::dns(self.block, &a.spec))
    }

    fn agent(&self, site: &Site) -> Option<&Agent> {
        self.agents.iter().find(|a| a.spec.site == *site)
    }

    /// After a healed cut: let the pools of the site's agent meet again at once. Consul by itself tries each half a minute.
    /// A site without an agent has nothing to do.
    ///
    /// # Errors
    /// When the agent does not answer or cannot reach the others.
    pub async fn rejoin(&self, site: &Site) -> Result<(), RealConsulError> {
        let Some(healed) = self.agent(site) else {
            return Ok(());
        };
        for other in self.agents.iter().filter(|a| a.spec.site != *site) {
            let lan = other.spec.datacenter == healed.spec.datacenter;
            let wan = other.spec.server && healed.spec.server;
            let address = self.block.consul(other.spec.site_number);
            for (pool, how) in [(lan, ""), (wan, "?wan=1")] {
                if pool {
                    let path = format!("/v1/agent/join/{address}{how}");
                    self.call(healed, http::Method::PUT, &path).await?;
                }
            }
        }
        Ok(())
    }

    /// Interrupt the agents, kill those that do not end within 3 s, and wait for all.
    pub async fn stop(mut self) {
        for agent in &self.agents {
            signal(agent.pid, Signal::SIGTERM);
        }
        for agent in &mut self.agents {
            if timeout(STOP, agent.child.wait()).await.is_err() {
                signal(agent.pid, Signal::SIGKILL);
                // A killed child can always be waited for.
                let _ = agent.child.wait().await;
            }
        }
    }

    async fn call(
        &self,
        agent: &Agent,
        method: http::Method,
        path: &str,
    ) -> Result<Value, RealConsulError> {
        let failed = |why: String| RealConsulError::Call {
            agent: agent.spec.name.clone(),
            path: path.to_string(),
            why,
        };
        let address = config::http(self.block, &agent.spec);
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://{address}{path}"))
            .body(Empty::new())
            .map_err(|e| failed(e.to_string()))?;
        let exchange = async {
            let answer = self.client.request(request).await;
            let answer = answer.map_err(|e| failed(e.to_string()))?;
            let status = answer.status();
            let body = answer.into_body().collect().await;
            let body = body.map_err(|e| failed(e.to_string()))?.to_bytes();
            if !status.is_success() {
                let said = String::from_utf8_lossy(&body);
                return Err(failed(format!("{status}: {said}")));
            }
            // Some calls answer with nothing at all.
            Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
        };
        let late = || failed(format!("no answer within {} s", ANSWER.as_secs()));
        timeout(ANSWER, exchange).await.map_err(|_| late())?
    }

    async fn until_ready(&mut self) -> Result<(), RealConsulError> {
        let mut waiting_for = String::new();
        let deadline = tokio::time::Instant::now() + READY;
        while tokio::time::Instant::now() < deadline {
            for agent in &mut self.agents {
                if let Ok(Some(_)) = agent.child.try_wait() {
                    return Err(ended(&self.folder, &agent.spec.name));
                }
            }
            match self.missing().await {
                None => return Ok(()),
                Some(missing) => waiting_for = missing,
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(RealConsulError::NotReady {
            waiting_for,
            folder: self.folder.clone(),
        })
    }

    /// What the federation still lacks.
    async fn missing(&self) -> Option<String> {
        for agent in &self.agents {
            let name = &agent.spec.name;
            let get = |path: String| async move {
                let answer = self.call(agent, http::Method::GET, &path).await;
                answer.unwrap_or(Value::Null)
            };
            let leader = get("/v1/status/leader".into()).await;
            if leader.as_str().is_none_or(str::is_empty) {
                return Some(format!("{name} knows no leader"));
            }
            for to in self.agents.iter().filter(|a| a.spec.server) {
                let datacenter = to.spec.datacenter;
                let nodes = get(format!("/v1/catalog/nodes?dc={datacenter}")).await;
                let in_it = self
                    .agents
                    .iter()
                    .filter(|a| a.spec.datacenter == datacenter);
                let lacks = |a: &&Agent| !names(&nodes, "Node").any(|n| n == a.spec.name);
                if let Some(lost) = in_it.clone().find(lacks) {
                    let lost = &lost.spec.name;
                    return Some(format!(
                        "{name} does not see {lost} in datacenter {datacenter}"
                    ));
                }
            }
            // A client hears of the servers by gossip, and only then can it ask them.
            let members = get("/v1/agent/members".into()).await;
            let alive = |a: &&Agent| {
                let itself = |m: &&Value| m["Name"] == a.spec.name && m["Status"] == 1;
                members
                    .as_array()
                    .is_some_and(|m| m.iter().find(itself).is_some())
            };
            let pool = || {
                self.agents
                    .iter()
                    .filter(|a| a.spec.datacenter == agent.spec.datacenter)
            };
            if let Some(lost) = pool().find(|a| !alive(a)) {
                return Some(format!("{name} does not see {} alive", lost.spec.name));
            }
        }
        None
    }
}

impl Drop for RealConsul {
    fn drop(&mut self) {
        for agent in &self.agents {
            self.links.owners().forget(agent.pid);
        }
    }
}

fn names<'a>(list: &'a Value, key: &'a str) -> impl Iterator<Item = &'a str> {
    let items = list.as_array().map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(move |item| item[key].as_str())
}

/// An agent that has ended already needs no signal.
fn signal(leader: u32, signal: Signal) {
    if let Ok(leader @ 1..) = i32::try_from(leader) {
        let _ = killpg(Pid::from_raw(leader), signal);
    }
}

/// The forwarders and relays of gossip and RPC.
async fn relays(
    links: &Arc<Links>,
    block: Block,
    specs: &[ConsulSpec],
) -> Result<(Vec<Nic>, [GossipRelay; 2]), LinkError> {
    let end = |a: &ConsulSpec| GossipEnd {
        site: a.site.clone(),
        outer: block.consul(a.site_number),
        inner: block.consul_inner(a.site_number),
    };
    let everyone: Vec<GossipEnd> = specs.iter().map(end).collect();
    let servers: Vec<GossipEnd> = specs.iter().filter(|a| a.server).map(end).collect();
    let mut nics = Vec::new();
    for (ends, port) in [
        (&servers, config::SERVER_PORT),
        (&everyone, config::LAN_PORT),
        (&servers, config::WAN_PORT),
    ] {
        for end in ends {
            let (outer, inner) = (
                SocketAddr::from((end.outer, port)),
                SocketAddr::from((end.inner, port)),
            );
            nics.push(Nic::open(links, outer, inner, &end.site, None)?);
        }
    }
    let lan = GossipRelay::open(links, config::LAN_PORT, &everyone).await?;
    let wan = GossipRelay::open(links, config::WAN_PORT, &servers).await?;
    Ok((nics, [lan, wan]))
}

async fn launch(
    config: &RealConsulConfig,
    block: Block,
    spec: &ConsulSpec,
    all: &[ConsulSpec],
    spawner: &Spawner,
) -> Result<Agent, RealConsulError> {
    let data = config.folder.join(&spec.name);
    let file = config.folder.join(format!("{}.json", spec.name));
    let log = log_path(&config.folder, &spec.name);
    let unprepared = |path: &Path| {
        let path = path.to_path_buf();
        move |source| RealConsulError::Folder { path, source }
    };
    std::fs::create_dir_all(&data).map_err(unprepared(&data))?;
    let text = config::file(block, spec, all, &data.display().to_string());
    std::fs::write(&file, format!("{text:#}\n")).map_err(unprepared(&file))?;
    let output = std::fs::File::create(&log).map_err(unprepared(&log))?;
    let errors = output.try_clone().map_err(unprepared(&log))?;
    let args = [
        "agent".to_string(),
        format!("-config-file={}", file.display()),
    ];
    let mut command = config.launcher.command(config.binary.as_os_str(), &args);
    command
        .env_clear()
        .current_dir(&data)
        .stdout(output)
        .stderr(errors);
    let failed = |source| RealConsulError::Start {
        binary: config.binary.clone(),
        agent: spec.name.clone(),
        source,
    };
    let child = spawner.spawn(command).await.map_err(failed)?;
    let pid = child
        .id()
        .ok_or_else(|| ended(&config.folder, &spec.name))?;
    Ok(Agent {
        spec: spec.clone(),
        child,
        pid,
    })
}

fn log_path(folder: &Path, agent: &str) -> PathBuf {
    folder.join(format!("{agent}.log"))
}

fn ended(folder: &Path, agent: &str) -> RealConsulError {
    let log = log_path(folder, agent);
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(8)..].join("\n");
    RealConsulError::Ended {
        agent: agent.to_string(),
        log,
        tail,
    }
}
