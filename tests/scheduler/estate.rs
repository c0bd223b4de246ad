//! The sandbox's estate without its scheduler, and a configuration with which `foreshadow run` schedules over it.

use crate::program::{Program, binary};
use foreshadow::clients::consul::Consul;
use foreshadow::clients::dns::Dns;
use foreshadow::clients::http::{Peer, System};
use foreshadow::headless::{Remote, Trust};
use foreshadow::model::{Memo, PortionId, Rps, Span};
use foreshadow::sandbox::real_consul;
use foreshadow::sandbox::world::{ConsulKind, Options, World};
use foreshadow::settings;
use foreshadow::store::Store;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub const JOB: &str = include_str!("../../jobs/shop.nomad.hcl");
const POLICY: &str = include_str!("../../policies/shop.hcl");

const ACT_TOKEN: &str = "sesame";

/// A real Consul for the estate, or none, and a word about that.
pub fn a_real_consul() -> Option<ConsulKind> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cache = std::env::var_os("FORESHADOW_CACHE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real-consul"),
        Into::into,
    );
    let found = real_consul::find(&path.to_string_lossy(), Some(&cache));
    if found.is_none() {
        println!("skipped: no real Consul; tests/setup unpacks one");
    }
    Some(ConsulKind::Real(
        std::path::absolute(found?).expect("a path"),
    ))
}

pub struct Estate {
    pub world: Arc<World>,
    folder: TempDir,
    playing: Option<JoinHandle<()>>,
}

impl Estate {
    /// With the shop running and no clients yet.
    pub async fn start() -> Estate {
        Self::of(JOB, ConsulKind::Embedded, None).await
    }

    /// With a job running and no clients yet; without a scenario, what breaks is the day's.
    pub async fn of(job: &str, consul: ConsulKind, scenario: Option<&str>) -> Estate {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            job: job.into(),
            entry: "shop-web".into(),
            limit: Duration::from_millis(400),
            scenario: scenario.map(|text| (text.to_string(), "the test's".to_string())),
            consul,
            consul_bind: None,
            dns_bind: None,
            binary: binary(),
            folder: folder.path().into(),
            path: std::env::var("PATH").unwrap_or_default(),
            seed: 1,
            nomad_bind: None,
            acl: false,
        };
        let world = World::start(options)
            .await
            .unwrap_or_else(|e| panic!("{e}"));
        Estate {
            world: Arc::new(world),
            folder,
            playing: None,
        }
    }

    /// Clients play the day's trace from now on.
    pub fn play(&mut self) {
        let world = self.world.clone();
        self.playing = Some(tokio::spawn(async move {
            // Nobody listens for faults: none comes in the time that a test takes.
            let (tell, _) = tokio::sync::mpsc::unbounded_channel();
            if let Err(e) = world.play(tell).await {
                panic!("{e}");
            }
        }));
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn store(&self) -> PathBuf {
        self.folder.path().join("foreshadow.db")
    }

    /// Two minutes at one rate, as a scheduler that was there would have them.
    pub fn remember(&self, portion: &str, rate: f64) {
        let begins = self.world.begins;
        let sample = |s: i64| Memo::Sample {
            portion: portion.into(),
            at: begins - Span::secs(s),
            rate: Rps(rate),
        };
        let memos: Vec<Memo> = (1..=120).rev().map(sample).collect();
        Store::open(&self.store())
            .unwrap()
            .remember(&memos)
            .unwrap();
    }

    /// The earlier days, as a scheduler that was there would have them.
    pub fn remember_earlier_days(&self) {
        let policy = settings::parse_policy("policies/shop.hcl", POLICY).unwrap();
        let days = &self.world.history;
        let samples = policy.portions.iter().flat_map(|p| {
            days.iter().map(|(at, rate)| Memo::Sample {
                portion: PortionId::new(p.id.as_str()),
                at: *at,
                rate: Rps(*rate),
            })
        });
        let memos: Vec<Memo> = samples.collect();
        Store::open(&self.store())
            .unwrap()
            .remember(&memos)
            .unwrap();
    }

    /// Writes the configuration; `change` adapts the shop's policy.
    pub fn configure(&self, change: impl FnOnce(String) -> String) -> PathBuf {
        let mut policy = POLICY.to_string();
        for (site, at) in &self.world.metrics {
            let usual = match site.as_str() {
                "edge-a" => "127.0.10.200:9102",
                _ => "127.0.20.200:9102",
            };
            assert!(policy.contains(usual), "the policy names {usual} no longer");
            policy = policy.replace(usual, &at.to_string());
        }
        let mut config = format!(
            "mode = \"act\"\npolicies = [\"shop.hcl\"]\nstore = \"foreshadow.db\"\ncycle = \"1s\"\n\
             source = \"{}\"\nkv_datacenter = \"edge\"\n",
            self.world.source
        );
        for g in &self.world.gateways {
            config += &format!(
                "gateway \"{}\" {{\n  site = \"{}\"\n  consul = \"http://{}\"\n  dns = \"{}\"\n}}\n",
                g.name, g.site, g.http, g.dns
            );
        }
        let path = self.folder.path().join("foreshadow.hcl");
        std::fs::write(self.folder.path().join("shop.hcl"), change(policy)).unwrap();
        std::fs::write(&path, config).unwrap();
        path
    }

    /// The same configuration for another scheduler, with a store of its own.
    pub fn another(&self, config: &Path) -> PathBuf {
        let text = std::fs::read_to_string(config).unwrap();
        let path = self.folder.path().join("another.hcl");
        std::fs::write(&path, text.replace("foreshadow.db", "another.db")).unwrap();
        path
    }

    /// The same configuration for the foreshadow of one gateway, which keeps that one's entries alone and looks at all of these.
    pub fn at_gateway(&self, config: &Path, name: &str, all: &[&str]) -> PathBuf {
        let text = std::fs::read_to_string(config).unwrap();
        let (head, gateways) = text.split_once("gateway \"").expect("gateways");
        let (own, others): (Vec<&str>, Vec<&str>) = gateways
            .split("gateway \"")
            .filter(|g| all.iter().any(|name| g.starts_with(&format!("{name}\""))))
            .partition(|g| g.starts_with(&format!("{name}\"")));
        assert_eq!(own.len(), 1, "{name} is a gateway");
        let others = others
            .iter()
            .map(|g| g.replacen("{\n", "{\n  local = false\n", 1));
        let blocks = own.iter().map(ToString::to_string).chain(others);
        let blocks: String = blocks.map(|b| format!("gateway \"{b}")).collect();
        let head = head.replace("foreshadow.db", &format!("{name}.db"));
        let api = format!("api = \"unix://{}\"\n", self.socket(name).display());
        let path = self.folder.path().join(format!("{name}.hcl"));
        std::fs::write(&path, head + &api + &blocks).unwrap();
        path
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.sock"))
    }

    /// The API of that gateway's foreshadow, for somebody who may act.
    pub fn api(&self, name: &str) -> Remote {
        let trust = Trust {
            act_token: Some(ACT_TOKEN.into()),
            ..Trust::default()
        };
        Remote::new(&format!("unix://{}", self.socket(name).display()), trust).unwrap()
    }

    pub fn schedule(&self, config: &Path) -> Program {
        self.schedule_on(config, self.world.nomad)
    }

    /// With its way to Nomad through another address.
    pub fn schedule_on(&self, config: &Path, nomad: SocketAddr) -> Program {
        let config = config.to_str().expect("a path in UTF-8");
        Program::start(
            self.folder.path(),
            &["run", "--config", config, "--format", "json"],
            &[
                ("NOMAD_ADDR", format!("http://{nomad}")),
                ("FORESHADOW_ACT_TOKEN", ACT_TOKEN.into()),
            ],
        )
    }

    /// The shop's day on this Consul and a scheduler of it, with its configuration and the first gateway's agent.
    pub async fn scheduled(consul: ConsulKind) -> (Estate, Program, PathBuf, Consul) {
        let mut estate = Estate::of(JOB, consul, None).await;
        estate.play();
        let config = estate.configure(|policy| policy);
        let (consul, _) = estate.gateway();
        let first = estate.schedule(&config);
        (estate, first, config, consul)
    }

    /// Names of the nodes where the job's allocations run, as Nomad says it.
    pub async fn nodes_of(&self, job: &str) -> Vec<String> {
        let url = format!("http://{}/v1/job/{job}/allocations", self.world.nomad);
        let answer = reqwest::get(url).await.expect("Nomad answers");
        let all: Vec<serde_json::Value> = answer.json().await.expect("a list");
        let runs =
            |a: &&serde_json::Value| a["ClientStatus"] == "running" && a["DesiredStatus"] == "run";
        let name = |a: &serde_json::Value| a["NodeName"].as_str().map(String::from);
        all.iter().filter(runs).filter_map(name).collect()
    }

    /// The first gateway's agent and DNS, as its clients have them.
    pub fn gateway(&self) -> (Consul, Dns) {
        let gateway = &self.world.gateways[0];
        let peer = Peer::plain(System::Consul, &format!("http://{}", gateway.http)).unwrap();
        let dns = Dns::new(gateway.dns, Duration::from_secs(2), Some(self.world.source));
        (Consul::new(&peer).unwrap(), dns.unwrap())
    }

    pub async fn stop(self) {
        if let Some(playing) = self.playing {
            playing.abort();
            // Its hold on the world goes with it.
            let _ = playing.await;
        }
        let world = Arc::into_inner(self.world).expect("nobody else holds it");
        world.stop().await;
    }
}
