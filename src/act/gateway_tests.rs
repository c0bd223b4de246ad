//! A gateway beside a Consul that refuses at first; and what it takes of a store that was restored.

use super::*;
use crate::clients::consul::Consul;
use crate::clients::gateway::Gateway;
use crate::clients::http::{Peer, System};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::sync::Arc;
use wiremock::matchers::{any, method, path, path_regex, query_param};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

/// Nothing that it waits for ever changes again.
const NEVER: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(30);

fn target() -> Target {
    let instance = |alloc: &str, share: Share| Instance {
        alloc: alloc.into(),
        address: "127.0.0.1".into(),
        port: 80,
        node: alloc.into(),
        site: alloc.into(),
        health: "/".into(),
        share,
    };
    let shares = [
        ("old-0000".into(), Share::NONE),
        ("new-0000".into(), Share::ALL),
    ];
    Target {
        service: ServiceName::new("web"),
        plan: PlanId::new("p"),
        parent: None,
        epoch: Epoch(2),
        owner: Owner::Front,
        instances: vec![
            instance("old-0000", Share::ALL),
            instance("new-0000", Share::NONE),
        ]
        .into(),
        contingencies: vec![Contingency {
            domain: Domain::Node("old-0000".into()),
            lost: ["old-0000".into()].into(),
            shares: BTreeMap::from(shares).into(),
            stake: None,
        }]
        .into(),
        index: 41,
    }
}

#[test]
fn a_store_that_was_restored_is_followed_under_its_lower_indices() {
    let target = target();
    let last = (Epoch(9), 700);
    let mut force = Force::default();
    force.applied.insert(target.service.clone(), last);
    let newer =
        |force: &Force| entries::newer(&target, force.applied.get(&target.service).copied());
    force.began_anew(700, 701);
    assert!(!newer(&force), "an old leader's target stays refused");
    force.began_anew(701, 60);
    assert!(newer(&force));
}

/// Hands on what gateways report.
struct Reports(mpsc::UnboundedSender<Applied>);

impl Respond for Reports {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let report = serde_json::from_slice(&request.body).expect("a report");
        // The test may have what it wants already.
        let _ = self.0.send(report);
        ResponseTemplate::new(200).set_body_json(true)
    }
}

fn entry(alloc: &str, maintenance: bool) -> Value {
    let id = entries::entry_id(&"web".into(), &alloc.into(), 80);
    let flag = json!({"CheckID": format!("_service_maintenance:{id}"), "Status": "critical", "ServiceID": id});
    let checks: Vec<Value> = maintenance.then_some(flag).into_iter().collect();
    json!({"AggregatedStatus": "critical", "Checks": checks, "Service": {
        "ID": id, "Service": "web", "Address": "127.0.0.1", "Port": 80, "Weights": {"Passing": 1, "Warning": 1}}})
}

/// Consul with one service whose first instance fails; the first write of an entry comes to grief.
async fn consul() -> (MockServer, mpsc::UnboundedReceiver<Applied>) {
    let server = MockServer::start().await;
    let ok = || ResponseTemplate::new(200).insert_header("X-Consul-Index", "41");
    Mock::given(any())
        .and(query_param("index", "41"))
        .respond_with(ok().set_body_json(json!([])).set_delay(NEVER))
        .with_priority(1)
        .mount(&server)
        .await;
    let failing = entries::entry_id(&"web".into(), &"old-0000".into(), 80);
    let value = STANDARD.encode(serde_json::to_vec(&target()).expect("plain data"));
    let targets = json!([{"Key": "foreshadow/target/web", "Value": value, "ModifyIndex": 41}]);
    let critical = json!([{"CheckID": "c", "Status": "critical", "ServiceID": failing}]);
    let own = json!([entry("old-0000", false), entry("new-0000", true)]);
    for (at, status, body) in [
        ("/v1/kv/foreshadow/target/", 200, targets),
        ("/v1/health/state/critical", 200, critical),
        ("/v1/agent/health/service/name/web", 503, own),
    ] {
        let answer = ResponseTemplate::new(status).insert_header("X-Consul-Index", "41");
        Mock::given(method("GET"))
            .and(path(at))
            .respond_with(answer.set_body_json(body))
            .mount(&server)
            .await;
    }
    Mock::given(method("GET"))
        .and(path_regex("^/v1/kv/foreshadow/(hold|applied/.*)$"))
        .respond_with(ResponseTemplate::new(404).insert_header("X-Consul-Index", "41"))
        .mount(&server)
        .await;
    let writes = || Mock::given(method("PUT")).and(path_regex("^/v1/agent/service/.*"));
    writes()
        .respond_with(ResponseTemplate::new(500).set_body_string("no cluster leader"))
        .up_to_n_times(1)
        .with_priority(1)
        .mount(&server)
        .await;
    writes()
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let (send, reports) = mpsc::unbounded_channel();
    Mock::given(method("PUT"))
        .and(path_regex("^/v1/kv/foreshadow/applied/.*"))
        .respond_with(Reports(send))
        .mount(&server)
        .await;
    (server, reports)
}

fn keeper(server: &MockServer) -> Keeper {
    // Whoever was first has installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let peer = Peer::plain(System::Consul, &server.uri()).expect("an address");
    let desk = Desk {
        gateway: Gateway {
            id: "edge-a".into(),
            site: "edge-a".into(),
            consul: Arc::new(Consul::new(&peer).expect("a client")),
            dns: None,
            local: true,
        },
        nomad: None,
        kv_datacenter: None,
        meta_alloc: "foreshadow_alloc",
    };
    Keeper {
        desk,
        clock: || Moment(0),
        wake: mpsc::channel(1).0,
        probing: Probing::default(),
        writes: Writes::default(),
    }
}

#[tokio::test]
async fn a_switch_whose_write_failed_is_tried_again_though_nothing_else_changes() {
    let (server, mut reports) = consul().await;
    let keeper = keeper(&server);
    let cancel = CancellationToken::new();
    let keeping = tokio::spawn(keeper.keep(cancel.clone()));
    let switched = async {
        while let Some(report) = reports.recv().await {
            if report.contingency.is_some() {
                return;
            }
        }
    };
    let switched = tokio::time::timeout(PATIENCE, switched).await;
    switched.expect("the contingency is in force in the end");
    cancel.cancel();
    keeping.await.expect("it ends when it is told to");
    let asked = server.received_requests().await.unwrap_or_default();
    let writes = asked
        .iter()
        .filter(|r| r.url.path().starts_with("/v1/agent/service/"));
    assert_eq!(writes.count(), 3, "one that failed, and both of the switch");
}

/// An entry that Nomad made, as the agent lists it.
fn nomads(alloc: &str, service: &str) -> (String, Value) {
    let id = format!("{}group-{service}", nomad_entry(alloc));
    let listed = json!({"ID": id, "Service": service, "Address": "127.0.0.1", "Port": 80,
        "Weights": {"Passing": 1, "Warning": 1}});
    (id, listed)
}

fn uuid(k: usize) -> String {
    format!("{k:08x}-0000-0000-0000-000000000000")
}

/// Consul's agent with an entry of each service, and one more of the first that no target knows.
async fn agent(services: usize) -> MockServer {
    let server = MockServer::start().await;
    let known = (0..services).map(|k| nomads(&uuid(k), &format!("s{k}")));
    let all: BTreeMap<String, Value> = known.chain([nomads(&uuid(services), "s0")]).collect();
    let checks: BTreeMap<String, Value> = all
        .keys()
        .map(|id| {
            let check = json!({"CheckID": format!("c-{id}"), "Status": "passing", "ServiceID": id});
            (format!("c-{id}"), check)
        })
        .collect();
    for (at, body) in [("services", json!(all)), ("checks", json!(checks))] {
        Mock::given(method("GET"))
            .and(path(format!("/v1/agent/{at}")))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .mount(&server)
            .await;
    }
    Mock::given(method("GET"))
        .and(path("/v1/kv/foreshadow/hold"))
        .respond_with(ResponseTemplate::new(404).insert_header("X-Consul-Index", "41"))
        .mount(&server)
        .await;
    Mock::given(method("PUT"))
        .and(path_regex("^/v1/agent/service/maintenance/.*"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn what_nomad_registers_is_kept_up_with_a_few_questions_however_many_services_there_are() {
    const SERVICES: usize = 100;
    let server = agent(SERVICES).await;
    let mut force = Force::default();
    for k in 0..SERVICES {
        let mut target = target();
        target.service = ServiceName::new(format!("s{k}"));
        target.owner = Owner::Agent;
        let mut only = target.instances[0].clone();
        only.alloc = AllocId::new(uuid(k));
        target.instances = vec![only].into();
        force.targets.insert(target.service.clone(), target);
    }
    let kept = keeper(&server).answer(&mut force).await;
    kept.expect("the agent answers");
    let asked = server.received_requests().await.unwrap_or_default();
    let (reads, writes): (Vec<_>, Vec<_>) = asked.iter().partition(|r| r.method == "GET");
    let stranger = nomads(&uuid(SERVICES), "s0").0;
    let of: Vec<&str> = writes.iter().map(|r| r.url.path()).collect();
    assert_eq!(of, [format!("/v1/agent/service/maintenance/{stranger}")]);
    // Both lists once, and twice whether a person holds all writes.
    assert_eq!(reads.len(), 4);
}
