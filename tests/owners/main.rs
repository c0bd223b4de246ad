//! The owners of weights against a real Consul, through a gateway's keeper as in production: a target is put into the KV, and
//! what Consul then says is looked at. With `nomad` and `agent` beside the sandbox's Nomad and a real one.
#![allow(clippy::disallowed_methods)] // tests own their clock and environment

#[expect(dead_code, reason = "the tests of the client use more of it")]
#[path = "../real_consul/agent.rs"]
mod agent;
mod contingency;
#[expect(dead_code, reason = "the tests of the sandbox's Nomad use more of it")]
#[path = "../nomad/fake.rs"]
mod fake;
mod hands;
mod mesh;
mod nomads;
mod preflight;
mod probe;
mod real_nomad;

use agent::{Agent, Backend};
use foreshadow::act::owners::Desk;
use foreshadow::act::{Keeper, Probing};
use foreshadow::clients::consul::*;
use foreshadow::clients::dns::Dns;
use foreshadow::clients::gateway::Gateway;
use foreshadow::clients::nomad::Nomad;
use foreshadow::guard::Writes;
use foreshadow::model::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longer than anything here takes; only a failing test gets near it.
const PATIENCE: Duration = Duration::from_secs(30);
const SERVICE: &str = "web";

fn now() -> Moment {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Moment(since.unwrap().as_millis() as i64)
}

/// A policy of one portion, whose weights this owner writes.
fn policy(owner: &str) -> String {
    format!(
        r#"
workload "web" {{
  job            = "one"
  risk_tolerance = 0.3
  sites          = ["edge-a"]
  slo {{
    latency = "1s"
  }}
  budget {{}}
  portion "web" {{
    front = "web"
    owner = "{owner}"
  }}
}}
"#
    )
}

/// A gateway that keeps its agent's part, and what a leader would write for it.
struct Bench {
    consul: Arc<Consul>,
    desk: Desk,
    _keeping: DropGuard,
}

impl Bench {
    fn start(agent: &Agent, nomad: Option<Arc<Nomad>>) -> Bench {
        Bench::of("edge-a", agent, nomad)
    }

    fn of(id: &str, agent: &Agent, nomad: Option<Arc<Nomad>>) -> Bench {
        Bench::probing(id, agent, nomad, Probing::default())
    }

    fn probing(id: &str, agent: &Agent, nomad: Option<Arc<Nomad>>, probing: Probing) -> Bench {
        // Whoever was first has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let consul = Arc::new(agent.client());
        let gateway = Gateway {
            id: id.into(),
            site: "edge-a".into(),
            consul: consul.clone(),
            dns: Some(Arc::new(Dns::new(agent.dns(), PATIENCE, None).unwrap())),
            local: true,
        };
        let desk = Desk {
            gateway,
            nomad,
            kv_datacenter: None,
            meta_alloc: "foreshadow_alloc",
        };
        let cancel = CancellationToken::new();
        let keeper = Keeper {
            desk: desk.clone(),
            clock: now,
            wake: mpsc::channel(1).0,
            probing,
            writes: Writes::default(),
        };
        tokio::spawn(keeper.keep(cancel.clone()));
        Bench {
            consul,
            desk,
            _keeping: cancel.drop_guard(),
        }
    }

    /// Puts the target, and gives its index.
    async fn put(&self, target: &Target) -> u64 {
        let key = keys::target(&target.service);
        let value = serde_json::to_vec(target).unwrap();
        assert!(self.consul.kv_put(&key, &value, None).await.unwrap());
        let there = self.consul.kv_get(&key, None, true, None).await.unwrap();
        there.value.unwrap().modify_index
    }

    /// Puts the target and waits for the gateway's word on it.
    async fn apply(&self, target: &Target) -> Applied {
        let index = self.put(target).await;
        self.applied(target, index).await
    }

    /// Waits until the gateway says that it has applied this or a newer target.
    async fn applied(&self, target: &Target, index: u64) -> Applied {
        let key = keys::applied(&self.desk.gateway.id, &target.service);
        let mut wait = None;
        let told = async {
            loop {
                let found = self.consul.kv_get(&key, None, false, wait).await.unwrap();
                let report = found.value.as_ref();
                let report = report.map(|p| serde_json::from_slice::<Applied>(&p.value).unwrap());
                if let Some(report) = report.filter(|r| r.index >= index) {
                    return report;
                }
                wait = Some(found.next(Duration::from_secs(10)));
            }
        };
        let told = tokio::time::timeout(PATIENCE, told).await;
        told.unwrap_or_else(|_| panic!("the gateway never applied {target:?}"))
    }

    /// Follows the service until its entries are as wanted.
    async fn until(
        &self,
        what: &str,
        wanted: impl Fn(&[ServiceEntry]) -> bool,
    ) -> Vec<ServiceEntry> {
        let mut query = HealthQuery::default();
        let followed = async {
            loop {
                let seen = self.consul.health_service(SERVICE, query).await.unwrap();
                if wanted(&seen.value) {
                    return seen.value;
                }
                query.wait = Some(seen.next(Duration::from_secs(10)));
            }
        };
        match tokio::time::timeout(PATIENCE, followed).await {
            Ok(found) => found,
            Err(_) => {
                let seen = self
                    .consul
                    .health_service(SERVICE, HealthQuery::default())
                    .await;
                panic!("never {what}: {:?}", seen.unwrap().value)
            }
        }
    }

    /// Port and weight of the SRV answers, in order.
    async fn srv(&self) -> Vec<(u16, u16)> {
        let dns = self.desk.gateway.dns.as_ref().unwrap();
        let found = dns
            .srv(&format!("{SERVICE}.service.consul."))
            .await
            .unwrap();
        let mut found: Vec<_> = found.iter().map(|r| (r.port, r.weight)).collect();
        found.sort_unstable();
        found
    }
}

fn alloc(n: u8) -> AllocId {
    AllocId::new(format!("{n:08x}-1111-2222-3333-444444444444"))
}

fn instance(alloc: AllocId, address: &str, port: u16, percent: u32) -> Instance {
    Instance {
        alloc,
        address: address.into(),
        port,
        node: "n".into(),
        site: "edge-a".into(),
        health: "/".into(),
        share: Share::percent(percent),
    }
}

fn target(owner: Owner, instances: Vec<Instance>) -> Target {
    Target {
        service: SERVICE.into(),
        plan: "p".into(),
        parent: None,
        epoch: Epoch(3),
        owner,
        instances: instances.into(),
        contingencies: vec![].into(),
        index: 0,
    }
}

/// As Nomad's client registers an allocation's service.
fn nomads_own(alloc: &AllocId, backend: &Backend) -> Registration {
    let id = format!("_nomad-task-{alloc}-group-web-{SERVICE}-http");
    let at = TaggedAddress {
        address: backend.ip(),
        port: backend.port(),
    };
    Registration {
        name: SERVICE.into(),
        address: backend.ip(),
        port: backend.port(),
        tags: vec!["v1".into(), "urlprefix-/".into()],
        meta: [("external-source".to_string(), "nomad".to_string())].into(),
        passing_weight: 1,
        warning_weight: 1,
        tagged_addresses: [("lan_ipv4".to_string(), at)].into(),
        checks: vec![CheckDefinition {
            id: format!("_nomad-check-{alloc}"),
            name: "alive".into(),
            probe: Probe::Http {
                url: format!("http://{}:{}/", backend.ip(), backend.port()),
            },
            interval: Duration::from_millis(200),
            timeout: Duration::from_secs(1),
            initial: None,
            deregister_after: None,
        }],
        id,
        ..Registration::default()
    }
}

fn of<'a>(entries: &'a [ServiceEntry], part: &str) -> Option<&'a ServiceEntry> {
    entries.iter().find(|e| e.service.id.contains(part))
}

fn passing(entries: &[ServiceEntry], n: usize) -> bool {
    entries.len() == n && entries.iter().all(ServiceEntry::is_passing)
}

#[tokio::test]
async fn agent_gives_nomads_entries_other_weights_and_leaves_everything_else_of_them() {
    let ip = "127.0.214.1";
    let Some(agent) = Agent::start("owner-agent", ip, "") else {
        return;
    };
    let bench = Bench::start(&agent, None);
    let (a, b, c) = (Backend::start(ip), Backend::start(ip), Backend::start(ip));
    for (n, backend) in [(1, &a), (2, &b)] {
        let own = nomads_own(&alloc(n), backend);
        bench.consul.register(&own).await.unwrap();
    }
    let before = bench.consul.agent_services().await.unwrap();
    bench.until("both pass", |e| passing(e, 2)).await;
    let shares = |one, two| {
        target(
            Owner::Agent,
            vec![
                instance(alloc(1), ip, a.port(), one),
                instance(alloc(2), ip, b.port(), two),
            ],
        )
    };
    let report = bench.apply(&shares(75, 25)).await;
    assert_eq!(report.weights, [(alloc(1), 3), (alloc(2), 1)].into());
    let mut expected = [(a.port(), 3), (b.port(), 1)];
    expected.sort_unstable();
    assert_eq!(bench.srv().await, expected);
    let mut after = bench.consul.agent_services().await.unwrap();
    for entry in after.values_mut() {
        entry.weights = Weights::default();
    }
    assert_eq!(after, before, "nothing but weights has changed");
    bench.until("still passing", |e| passing(e, 2)).await;

    // 0 % is maintenance.
    bench.apply(&shares(100, 0)).await;
    let entries = bench
        .until("out", |e| {
            of(e, alloc(2).as_str()).unwrap().in_maintenance()
        })
        .await;
    assert!(
        of(&entries, alloc(2).as_str())
            .unwrap()
            .service
            .weights
            .passing
            >= 1
    );
    assert_eq!(bench.srv().await, [(a.port(), 1)]);

    // What Nomad starts by itself gets nothing before a target knows it.
    let newcomer = nomads_own(&alloc(3), &c);
    bench.consul.register(&newcomer).await.unwrap();
    bench
        .until("held back", |e| {
            of(e, alloc(3).as_str()).is_some_and(ServiceEntry::in_maintenance)
        })
        .await;

    // Another owner takes over: what this one wrote is taken back.
    let front = Target {
        owner: Owner::Front,
        ..shares(100, 0)
    };
    bench.apply(&front).await;
    let entries = bench
        .until("as Nomad made them", |e| {
            let own = e
                .iter()
                .filter(|e| e.service.id.starts_with("_nomad-task-"));
            own.clone().count() == 3 && own.clone().all(|e| !e.in_maintenance())
        })
        .await;
    let own = entries
        .iter()
        .filter(|e| e.service.id.starts_with("_nomad-task-"));
    assert!(
        own.clone().all(|e| e.service.weights == Weights::default()),
        "{entries:?}"
    );
    assert_eq!(entries.len(), 5, "and front has its two");
}

#[tokio::test]
async fn each_gateway_weighs_its_own_agents_entries_and_nobody_comes_in_beside_old_weights() {
    let (first, second) = ("127.0.214.11", "127.0.214.12");
    let Some(server) = Agent::start("owner-first", first, "") else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let more = format!(
        r#", "server": false, "data_dir": "{}", "retry_join": ["{first}"]"#,
        data.path().display()
    );
    let client = Agent::start("owner-second", second, &more).unwrap();
    let (a, b) = (Backend::start(first), Backend::start(second));
    let one = Bench::of("edge-a", &server, None);
    let two = Bench::of("edge-b", &client, None);
    one.consul
        .register(&nomads_own(&alloc(1), &a))
        .await
        .unwrap();
    two.consul
        .register(&nomads_own(&alloc(2), &b))
        .await
        .unwrap();
    one.until("both pass", |e| passing(e, 2)).await;
    let shares = |percent| {
        let both = vec![
            instance(alloc(1), first, a.port(), percent),
            instance(alloc(2), second, b.port(), 100 - percent),
        ];
        target(Owner::Agent, both)
    };
    // Each says what it wrote at its own agent.
    let all = shares(100);
    let index = one.put(&all).await;
    assert_eq!(
        one.applied(&all, index).await.weights,
        [(alloc(1), 1)].into()
    );
    assert!(two.applied(&all, index).await.weights.is_empty());
    one.until("one is out", |e| {
        of(e, alloc(2).as_str()).unwrap().in_maintenance()
    })
    .await;

    // In beside a weight of 1 it would get half; it waits until the other agent shows 99.
    let most = shares(99);
    let (mut query, index) = (HealthQuery::default(), one.put(&most).await);
    let watched = async {
        loop {
            let seen = two.consul.health_service(SERVICE, query).await.unwrap();
            let old = of(&seen.value, alloc(1).as_str()).unwrap();
            let new = of(&seen.value, alloc(2).as_str()).unwrap();
            if !new.in_maintenance() {
                return old.service.weights.passing;
            }
            query.wait = Some(seen.next(Duration::from_secs(10)));
        }
    };
    let beside = tokio::time::timeout(PATIENCE, watched)
        .await
        .expect("it comes in");
    assert_eq!(beside, 99);
    assert_eq!(
        two.applied(&most, index).await.weights,
        [(alloc(2), 1)].into()
    );
}

#[tokio::test]
async fn front_and_external_take_a_service_over_from_each_other() {
    let ip = "127.0.214.2";
    let Some(agent) = Agent::start("owner-external", ip, "") else {
        return;
    };
    let bench = Bench::start(&agent, None);
    let (a, b) = (Backend::start(ip), Backend::start(ip));
    let shares = |owner, one, two| {
        target(
            owner,
            vec![
                instance(alloc(1), ip, a.port(), one),
                instance(alloc(2), ip, b.port(), two),
            ],
        )
    };
    bench.apply(&shares(Owner::Front, 60, 40)).await;
    let entries = bench.until("front's pass", |e| passing(e, 2)).await;
    assert!(
        entries
            .iter()
            .all(|e| e.node.node == "owner-external" && e.agent_alive() == Some(true))
    );
    assert_eq!(of(&entries, "00000001").unwrap().service.weights.passing, 3);
    assert_eq!(of(&entries, "00000002").unwrap().service.weights.passing, 2);

    // Nobody has checked the new ones yet: front's stay, and clients are given them.
    bench.put(&shares(Owner::External, 60, 40)).await;
    let external = |e: &&ServiceEntry| e.agent_alive().is_none();
    let both = |e: &[ServiceEntry]| e.len() == 4 && e.iter().filter(external).count() == 2;
    let entries = bench.until("both", both).await;
    let mut fronts = [(a.port(), 3), (b.port(), 2)];
    fronts.sort_unstable();
    assert_eq!(bench.srv().await, fronts);
    let entries: Vec<ServiceEntry> = entries.iter().filter(external).cloned().collect();
    let one = of(&entries, "00000001").unwrap();
    assert_eq!(
        (one.address(), one.service.port, one.service.weights.passing),
        (ip, a.port(), 3)
    );
    assert_eq!(one.node.meta["external-node"], "true");
    assert_eq!(one.node.meta["external-probe"], "true");
    // The test plays consul-esm: it writes what it found.
    for entry in &entries {
        esm_passes(ip, entry).await;
    }
    let alone = |e: &[ServiceEntry]| passing(e, 2) && e.iter().filter(external).count() == 2;
    bench.until("external alone", alone).await;
    bench.apply(&shares(Owner::External, 100, 0)).await;
    let out = |e: &[ServiceEntry]| {
        let two = of(e, "00000002").unwrap();
        two.in_maintenance() && two.is_passing()
    };
    bench
        .until("in maintenance, its check as it was", out)
        .await;
    assert_eq!(bench.srv().await, [(a.port(), 1)]);
    bench.apply(&shares(Owner::External, 90, 10)).await;
    let back = |e: &[ServiceEntry]| e.iter().all(|e| e.is_passing() && !e.in_maintenance());
    bench.until("back", back).await;
    let mut expected = [(a.port(), 9), (b.port(), 1)];
    expected.sort_unstable();
    assert_eq!(bench.srv().await, expected);

    bench.apply(&shares(Owner::Front, 50, 50)).await;
    let fronts =
        |e: &[ServiceEntry]| e.len() == 2 && e.iter().all(|e| e.node.node == "owner-external");
    bench.until("front alone", fronts).await;
    let nodes = bench.consul.catalog_nodes(None).await.unwrap();
    assert_eq!(nodes.len(), 1, "the external nodes are gone: {nodes:?}");
}

async fn esm_passes(agent: &str, entry: &ServiceEntry) {
    let check = entry
        .checks
        .iter()
        .find(|c| !c.service_id.is_empty())
        .unwrap();
    let body = serde_json::json!({"Node": entry.node.node, "Address": entry.node.address, "SkipNodeUpdate": true,
        "Check": {"Node": entry.node.node, "CheckID": check.check_id, "Name": check.name,
                  "ServiceID": check.service_id, "Status": "passing"}});
    let url = format!("http://{agent}:8500/v1/catalog/register");
    let sent = reqwest::Client::new()
        .put(url)
        .json(&body)
        .send()
        .await
        .unwrap();
    assert!(sent.status().is_success(), "{}", sent.text().await.unwrap());
}
