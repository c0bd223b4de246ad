//! More fronts than may hold a connection each, at an agent of either Consul: the eyes come to know all of them, see each change, say
//! when they do not see, and ask little.

use crate::common;
use crate::proxy::{Fault, Proxy};
use crate::rig::{self, Rig, until};
use foreshadow::act::entries::entry_id;
use foreshadow::clients::consul::{CheckDefinition, Consul, Probe, Registration, Status};
use foreshadow::clients::dns::Dns;
use foreshadow::clients::gateway::Gateway;
use foreshadow::clients::http::{Peer, System};
use foreshadow::clients::nomad::Nomad;
use foreshadow::engine::clock;
use foreshadow::model::*;
use foreshadow::observe::consul::Watches;
use foreshadow::observe::{META_ALLOC, Names, Sources};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Longer than anything here takes; only a failing test gets near it.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const FRONTS: usize = 70;
/// A client agent: what is written at it comes to its servers by and by.
pub const AGENT: &str = "b";

pub fn front(k: usize) -> ServiceName {
    ServiceName::new(format!("front-{k:02}"))
}

pub fn consul(at: SocketAddr) -> Arc<Consul> {
    let peer = Peer::plain(System::Consul, &at.to_string()).expect("an address");
    Arc::new(Consul::new(&peer).expect("a client"))
}

/// An entry whose check says what the test has it say.
pub fn told(id: String, service: &ServiceName, address: &str, port: u16) -> Registration {
    Registration {
        name: service.to_string(),
        address: address.into(),
        port,
        passing_weight: 1,
        warning_weight: 1,
        checks: vec![CheckDefinition {
            id: check(&id),
            name: "told".into(),
            probe: Probe::Told {
                ttl: Duration::from_secs(3_600),
            },
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            initial: Some(Status::Passing),
            deregister_after: None,
        }],
        id,
        ..Registration::default()
    }
}

fn check(entry: &str) -> String {
    format!("{entry}-told")
}

/// Says of an entry's check that it is in this state: `pass`, `warn` or `fail`.
pub async fn say(rig: &Rig, state: &str, entry: &str) {
    let at = rig.http(AGENT);
    let url = format!("http://{at}/v1/agent/check/{state}/{}", check(entry));
    let reply = rig.client.put(url).send().await.expect("an answer");
    assert!(reply.status().is_success(), "{state} {entry}: {reply:?}");
}

/// How many of these requests were for paths that begin so.
pub fn count(asked: &[String], path: &str) -> usize {
    asked.iter().filter(|line| line.contains(path)).count()
}

/// Of a front's two entries.
fn id(k: usize, n: u8) -> String {
    entry_id(&front(k), &common::alloc_id(n), 20_000 + u16::from(n))
}

fn ours(k: usize, n: u8) -> Registration {
    let alloc = common::alloc_id(n).to_string();
    let address = format!("10.0.0.{n}");
    Registration {
        meta: [(META_ALLOC.to_string(), alloc)].into(),
        ..told(id(k, n), &front(k), &address, 20_000 + u16::from(n))
    }
}

fn policy() -> Policy {
    let mut policy = common::policy();
    let one = policy.portions[0].clone();
    let portion = |k| PortionPolicy {
        id: PortionId::new(format!("portion-{k}")),
        front: Some(front(k)),
        ..one.clone()
    };
    policy.portions = (0..FRONTS).map(portion).collect::<Vec<_>>().into();
    policy
}

type Fronts = BTreeMap<ServiceName, Front>;

/// Eyes on all fronts over a link that counts, and who writes what they should see, beside that link.
struct Bench {
    rig: Rig,
    direct: Arc<Consul>,
    link: Proxy,
    watches: Watches,
}

fn entries(fronts: &Fronts, k: usize) -> Option<&SharedList<FrontEntry>> {
    fronts[&front(k)].entries[&GatewayId::from("edge-a")].value()
}

/// When each front was last as it is said to be; nothing of those that are not known.
fn times(fronts: &Fronts) -> Vec<Moment> {
    let each = fronts
        .values()
        .map(|f| &f.entries[&GatewayId::from("edge-a")]);
    let known = each.filter_map(|seen| match seen {
        Seen::Known { at, .. } => Some(*at),
        Seen::Unknown { .. } => None,
    });
    known.collect()
}

/// All fronts are known, and of their entries just these many serve.
fn serving(fronts: &Fronts, wanted: impl Fn(usize) -> usize) -> bool {
    (0..FRONTS).all(|k| {
        let serve = |all: &SharedList<FrontEntry>| all.iter().filter(|e| e.serves()).count();
        entries(fronts, k).is_some_and(|all| all.len() == 2 && serve(all) == wanted(k))
    })
}

impl Bench {
    async fn start(rig: Rig) -> Bench {
        let direct = consul(rig.http(AGENT));
        let all = (0..FRONTS).flat_map(|k| [1, 2].map(|n| ours(k, n)));
        let made = join_all(all.map(|r| {
            let direct = &direct;
            async move { direct.register(&r).await }
        }));
        let made: Result<Vec<()>, _> = made.await.into_iter().collect();
        made.expect("all are registered");
        let link = Proxy::before(rig.http(AGENT)).await;
        let seen = consul(link.at);
        // Nothing of Nomad is looked at.
        let nomad = Peer::plain(System::Nomad, "127.0.0.1:9").expect("an address");
        let nomad = Arc::new(Nomad::new(&nomad).expect("a client"));
        let dns = Dns::new(rig.dns(AGENT), PATIENCE, None).expect("a client");
        let sources = Sources {
            nomad: nomad.clone(),
            lists: nomad,
            wake: None,
            gateways: vec![Gateway {
                id: "edge-a".into(),
                site: "edge-a".into(),
                consul: seen.clone(),
                dns: Some(Arc::new(dns)),
                local: true,
            }],
            keeper: seen,
            kv_datacenter: None,
            policies: vec![policy()],
            source: None,
            site: Some("edge-a".into()),
            clock: clock::now,
        };
        let watches = Watches::start(&sources, &Names::default());
        Bench {
            rig,
            direct,
            link,
            watches,
        }
    }

    /// Looks until it is as wanted.
    async fn sees(&self, what: &str, wanted: impl Fn(&Fronts) -> bool) {
        let seen = until(PATIENCE, || async { wanted(&self.watches.fronts().await) });
        if !seen.await {
            let fronts = self.watches.fronts().await;
            let each = (0..FRONTS).map(|k| &fronts[&front(k)].entries);
            panic!("never {what}: {:#?}", each.collect::<Vec<_>>());
        }
    }

    /// Whether clients are given an entry of the front at this address.
    fn given(fronts: &Fronts, k: usize, address: &str) -> bool {
        let dns = fronts[&front(k)].dns[&GatewayId::from("edge-a")].value();
        dns.is_some_and(|all| all.iter().any(|srv| srv.address == address))
    }

    async fn all_become_known_over_few_connections(&self) {
        self.sees("all known", |f| serving(f, |_| 2)).await;
        let (asked, most) = (self.link.asked(), self.link.most_open());
        println!("all known: {} requests, {most} at once", asked.len());
        assert!(most < FRONTS / 2, "{most} connections at once");
    }

    async fn each_change_of_a_check_is_seen(&self) {
        self.link.asked();
        say(&self.rig, "fail", &id(7, 1)).await;
        say(&self.rig, "warn", &id(68, 2)).await;
        let changed = |k| if [7, 68].contains(&k) { 1 } else { 2 };
        self.sees("one failing and one warning", |f| serving(f, changed))
            .await;
        self.sees("clients not given it", |f| !Self::given(f, 7, "10.0.0.1"))
            .await;
        say(&self.rig, "pass", &id(7, 1)).await;
        say(&self.rig, "pass", &id(68, 2)).await;
        self.sees("both recovered", |f| serving(f, |_| 2)).await;
        self.sees("clients given it", |f| Self::given(f, 7, "10.0.0.1"))
            .await;
        let asked = self.link.asked();
        println!("four checks changed: {} requests", asked.len());
        assert!(asked.len() < FRONTS, "as if all were read: {asked:#?}");
    }

    /// Readings stay young by what is told of all at once.
    async fn little_is_asked_while_nothing_happens(&self) {
        self.link.asked();
        let began = clock::now();
        for _ in 0..2 {
            let from = clock::now();
            let young = |f: &Fronts| times(f).iter().filter(|at| **at > from).count() == FRONTS;
            self.sees("all readings younger", young).await;
        }
        let (asked, span) = (self.link.asked(), clock::now().since(began).as_secs_f64());
        println!("idle for {span:.1} s: {} requests", asked.len());
        let most = 0.1 * FRONTS as f64 * span;
        assert!(
            (asked.len() as f64) < most,
            "more than {most}: {asked:#?} in {span} s"
        );
    }

    /// A weight shows in no check.
    async fn what_a_gateway_applied_is_seen(&self) {
        self.link.asked();
        let heavier = Registration {
            passing_weight: 7,
            ..ours(33, 1)
        };
        self.direct.register(&heavier).await.expect("registered");
        let report = Applied {
            gateway: "edge-a".into(),
            service: front(33),
            plan: "p".into(),
            epoch: Epoch(1),
            index: 1,
            weights: BTreeMap::new(),
            owner: Owner::Front,
            contingency: None,
            at: clock::now(),
            reaction: None,
            suspected: Vec::new(),
        };
        let value = serde_json::to_vec(&report).expect("plain data");
        let key = keys::applied(&report.gateway, &report.service);
        let put = self.direct.kv_put(&key, &value, None).await;
        assert!(put.expect("an answer"));
        self.sees("the new weight", |f| {
            entries(f, 33).is_some_and(|all| all.iter().any(|e| e.weight == 7))
        })
        .await;
        let asked = self.link.asked();
        println!("one applied: {} requests", asked.len());
        assert!(asked.len() < FRONTS, "as if all were read: {asked:#?}");
    }

    async fn a_link_that_is_cut_makes_all_unknown_until_it_is_back(&self) {
        self.link.set(Fault::Cut);
        self.sees("all unknown", |f| times(f).is_empty()).await;
        say(&self.rig, "fail", &id(11, 2)).await;
        let lost = self.link.asked();
        self.link.set(Fault::None);
        let changed = |k| if k == 11 { 1 } else { 2 };
        self.sees("all known again", |f| serving(f, changed)).await;
        let back = self.link.asked();
        println!("cut: {} requests; back: {}", lost.len(), back.len());
        assert!(lost.len() < FRONTS, "all ask in vain: {lost:#?}");
        let reads = count(&back, "/v1/health/service/");
        assert!(reads <= 2 * FRONTS, "{reads} reads of {FRONTS} fronts");
        say(&self.rig, "pass", &id(11, 2)).await;
        self.sees("it has recovered", |f| serving(f, |_| 2)).await;
    }

    /// Only the embedded agent can be cut off from its servers and come back.
    async fn an_agent_that_is_cut_off_makes_all_unknown_until_it_is_back(&self) {
        self.rig.set_cut(AGENT, true);
        self.sees("all unknown", |f| times(f).is_empty()).await;
        self.rig.set_cut(AGENT, false);
        self.sees("all known again", |f| serving(f, |_| 2)).await;
    }

    async fn an_agent_without_servers_makes_all_unknown(self) {
        self.rig.isolate_b();
        self.sees("all unknown", |f| times(f).is_empty()).await;
        self.rig.stop().await;
    }

    async fn scenes(rig: Rig) -> Bench {
        let bench = Bench::start(rig).await;
        bench.all_become_known_over_few_connections().await;
        bench.each_change_of_a_check_is_seen().await;
        bench.little_is_asked_while_nothing_happens().await;
        bench.what_a_gateway_applied_is_seen().await;
        bench
            .a_link_that_is_cut_makes_all_unknown_until_it_is_back()
            .await;
        bench
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_fronts_at_an_embedded_agent_are_kept_known_by_few_requests() {
    let bench = Bench::scenes(rig::embedded().await).await;
    bench
        .an_agent_that_is_cut_off_makes_all_unknown_until_it_is_back()
        .await;
    bench.an_agent_without_servers_makes_all_unknown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_fronts_at_a_real_agent_are_kept_known_by_few_requests() {
    let Some(rig) = rig::real().await else {
        println!("SKIPPED: no consul 1.8.7 on PATH nor unpacked by tests/setup");
        return;
    };
    let bench = Bench::scenes(rig).await;
    bench.an_agent_without_servers_makes_all_unknown().await;
}
