//! A Nomad with one node, a Consul with one agent, and a gateway's keeper that outlives every scheduler.

use crate::common;
use crate::fake::{FakeConsul, FakeRuntime};
use crate::now;
use foreshadow::act::entries::PREFIX;
use foreshadow::act::owners::Desk;
use foreshadow::act::{Keeper, Probing};
use foreshadow::clients::consul::{Consul, KvQuery};
use foreshadow::clients::gateway::Gateway;
use foreshadow::clients::http::{Peer, System, Wait};
use foreshadow::clients::nomad::Nomad;
use foreshadow::guard::Writes;
use foreshadow::model::*;
use foreshadow::sandbox::consul::{self, AgentConfig, ConsulEstate};
use foreshadow::sandbox::nomad::{self, NodeConfig, NomadEstate};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

const SERVICE: &str = "shop-web";

pub struct Estate {
    pub nomad_at: SocketAddr,
    pub consul_at: SocketAddr,
    pub nomad: Arc<Nomad>,
    pub consul: Arc<Consul>,
    pub desk: Desk,
    _servers: (nomad::Handle, consul::Handle),
    _keeping: DropGuard,
}

pub fn nomad_at(at: SocketAddr) -> Nomad {
    let peer = Peer::plain(System::Nomad, &format!("http://{at}")).unwrap();
    Nomad::new(&peer).unwrap()
}

pub fn consul_at(at: SocketAddr) -> Consul {
    let peer = Peer::plain(System::Consul, &format!("http://{at}")).unwrap();
    Consul::new(&peer).unwrap()
}

impl Estate {
    pub async fn start() -> Estate {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let agent = AgentConfig {
            node: "a".into(),
            datacenter: "edge".into(),
            server: true,
            address: [127, 0, 0, 1].into(),
            http_port: 0,
            dns_port: 0,
            http_bind: None,
            dns_bind: None,
        };
        let config = consul::EstateConfig {
            agents: vec![agent],
            ..consul::EstateConfig::default()
        };
        let consul = ConsulEstate::start(config).await.unwrap();
        let node = NodeConfig::new("edge-a-1", "edge-a", "127.0.0.1");
        let config = nomad::EstateConfig::new(([127, 0, 0, 1], 0).into(), vec![node]);
        let registrar = Arc::new(FakeConsul::default());
        let nomad = NomadEstate::start(config, FakeRuntime::new(""), registrar);
        let nomad = nomad.await.unwrap();
        let (nomad_at, consul_at) = (nomad.address(), consul.agents()[0].http);
        let client = Arc::new(self::consul_at(consul_at));
        let desk = Desk {
            gateway: Gateway {
                id: "edge-a".into(),
                site: "edge-a".into(),
                consul: client.clone(),
                dns: None,
                local: true,
            },
            nomad: None,
            kv_datacenter: None,
            meta_alloc: "foreshadow_alloc",
        };
        let cancel = CancellationToken::new();
        let keeper = Keeper {
            desk: desk.clone(),
            clock: now,
            wake: mpsc::channel(1).0,
            probing: Probing::default(),
            writes: Writes::default(),
        };
        tokio::spawn(keeper.keep(cancel.clone()));
        Estate {
            nomad_at,
            consul_at,
            nomad: Arc::new(self::nomad_at(nomad_at)),
            consul: client,
            desk,
            _servers: (nomad, consul),
            _keeping: cancel.drop_guard(),
        }
    }

    /// The target as it stands in Consul, with its index.
    pub async fn target(&self) -> Option<Target> {
        let key = keys::target(&SERVICE.into());
        let found = self.consul.kv_get(&key, None, true, None).await.unwrap();
        let pair = found.value?;
        let mut target: Target = serde_json::from_slice(&pair.value).unwrap();
        target.index = pair.modify_index;
        Some(target)
    }

    /// Keys of the steps that are open for whoever leads next.
    pub async fn open(&self) -> Vec<String> {
        let query = KvQuery {
            consistent: true,
            ..KvQuery::default()
        };
        let found = self.consul.kv_list(keys::JOURNAL, query).await.unwrap();
        found.value.into_iter().map(|pair| pair.key).collect()
    }

    /// All that a step may change, once Nomad and the gateway have done what they were asked for: jobs with their counts and
    /// what runs of them, the shares in Consul, and the gateway's entries.
    pub async fn picture(&self) -> Value {
        let listed = self.nomad.jobs("", None).await.unwrap().value;
        let mut jobs = BTreeMap::new();
        for listed in listed {
            let found = self.nomad.job(&listed.id, None).await.unwrap().value;
            let spec = found.expect("just listed").spec;
            let count = match spec.stopped() {
                true => 0,
                false => spec.count(&"web".into()),
            };
            jobs.insert(listed.id, count);
        }
        self.runs(&jobs).await;
        let target = self.target().await;
        if let Some(target) = &target {
            self.applied(target).await;
        }
        let checks = self.consul.agent_checks().await.unwrap();
        let services = self.consul.agent_services().await.unwrap().into_values();
        let entries = services.filter(|s| s.id.starts_with(PREFIX)).map(|s| {
            let mut of = checks.values().filter(|c| c.service_id == s.id);
            let out = of.any(|c| c.is_maintenance());
            (s.id, (s.weights.passing, out))
        });
        let entries: BTreeMap<String, (u16, bool)> = entries.collect();
        json!({"jobs": jobs, "shares": target.map(|t| t.shares()), "entries": entries})
    }

    /// Waits until as many allocations of each job run as it counts, and none of any other.
    async fn runs(&self, jobs: &BTreeMap<String, u64>) {
        let mut wait = None;
        loop {
            let found = self.nomad.allocations(wait).await.unwrap();
            let mut running: BTreeMap<String, u64> =
                jobs.keys().map(|id| (id.clone(), 0)).collect();
            let live = found
                .value
                .iter()
                .filter(|a| !["complete", "failed", "lost"].contains(&a.client_status.as_str()));
            let mut settled = true;
            for alloc in live {
                settled &= alloc.client_status == "running" && alloc.is_live();
                *running.entry(alloc.job_id.clone()).or_default() += 1;
            }
            if settled && &running == jobs {
                return;
            }
            wait = Some(Wait {
                index: found.index.max(1),
                longest: Duration::from_secs(5),
            });
        }
    }

    async fn applied(&self, target: &Target) {
        let key = keys::applied(&self.desk.gateway.id, &target.service);
        let mut wait = None;
        loop {
            let found = self.consul.kv_get(&key, None, false, wait).await.unwrap();
            let report = found.value.as_ref();
            let report = report.map(|p| serde_json::from_slice::<Applied>(&p.value).unwrap());
            if report.is_some_and(|r| r.index >= target.index) {
                return;
            }
            wait = Some(Wait {
                index: found.index.max(1),
                longest: Duration::from_secs(5),
            });
        }
    }

    pub async fn register(&self, job: &JobSpec) {
        self.nomad.register(job, None).await.unwrap();
    }

    /// Shares before the step, under an epoch before all others.
    pub async fn first_shares(&self) {
        let target = shares([5_000, 5_000, 0]);
        let value = serde_json::to_vec(&target).unwrap();
        let key = keys::target(&target.service);
        assert!(self.consul.kv_put(&key, &value, None).await.unwrap());
    }
}

/// Two primaries and a standby; nobody listens where their checks ask, which matters to nobody here.
pub fn shares(parts: [u32; 3]) -> Target {
    let places = [(1, "edge-a"), (2, "edge-b"), (3, "provider-a")];
    let instances = places
        .into_iter()
        .zip(parts)
        .map(|((n, site), share)| Instance {
            address: "127.0.0.1".into(),
            ..common::instance(n, site, 1, share)
        });
    Target {
        epoch: Epoch(1),
        ..common::target(instances.collect())
    }
}
