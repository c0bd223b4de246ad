//! Nomad or Consul away, slow, busy, denying or babbling: what the eyes make of it, and what the loop does.

mod common;
#[path = "faults/proxy.rs"]
mod proxy;

use common::state;
use foreshadow::clients::consul::Consul;
use foreshadow::clients::gateway::Gateway;
use foreshadow::clients::http::{Peer, System};
use foreshadow::clients::nomad::Nomad;
use foreshadow::engine::{clock, cycle};
use foreshadow::model::*;
use foreshadow::observe::{Cluster, Sources};
use proxy::{Fault, Proxy};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use wiremock::matchers::{any, path_regex, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn peer(system: System, at: &str) -> Peer {
    let mut peer = Peer::plain(system, at).expect("an address");
    peer.timeout = Duration::from_millis(400);
    peer
}

/// Eyes on one Nomad and one gateway.
fn eyes(nomad: &MockServer, consul: &MockServer) -> Cluster {
    eyes_at(&nomad.uri(), &consul.uri())
}

fn eyes_at(nomad: &str, consul: &str) -> Cluster {
    Cluster::new(sources(nomad, consul))
}

fn sources(nomad: &str, consul: &str) -> Sources {
    let consul = Arc::new(Consul::new(&peer(System::Consul, consul)).expect("a client"));
    Sources {
        nomad: Arc::new(Nomad::new(&peer(System::Nomad, nomad)).expect("a client")),
        lists: Arc::new(Nomad::new(&peer(System::Nomad, nomad)).expect("a client")),
        wake: None,
        gateways: vec![Gateway {
            id: "edge-a".into(),
            site: "edge-a".into(),
            consul: consul.clone(),
            dns: None,
            local: true,
        }],
        keeper: consul,
        kv_datacenter: None,
        policies: vec![common::policy()],
        source: None,
        site: Some("edge-a".into()),
        clock: clock::now,
    }
}

async fn answering(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(template)
        .mount(&server)
        .await;
    server
}

/// A Nomad with nothing in it.
async fn empty_nomad() -> MockServer {
    let server = answering(ResponseTemplate::new(200).set_body_json(json!([]))).await;
    Mock::given(path_regex("^/v1/job/"))
        .respond_with(
            ResponseTemplate::new(404)
                .insert_header("X-Nomad-Index", "7")
                .set_body_string("job not found"),
        )
        .with_priority(1)
        .mount(&server)
        .await;
    server
}

/// Every kind of trouble, by name.
fn troubles() -> Vec<(&'static str, ResponseTemplate)> {
    vec![
        (
            "500",
            ResponseTemplate::new(500).set_body_string("No cluster leader"),
        ),
        ("429", ResponseTemplate::new(429)),
        ("503", ResponseTemplate::new(503)),
        (
            "403",
            ResponseTemplate::new(403).set_body_string("Permission denied"),
        ),
        (
            "cut JSON",
            ResponseTemplate::new(200).set_body_string("[{\"ID\": \"a"),
        ),
        (
            "garbage",
            ResponseTemplate::new(200).set_body_string("<html>"),
        ),
        (
            "slow",
            ResponseTemplate::new(200)
                .set_body_json(json!([]))
                .set_delay(Duration::from_secs(3)),
        ),
    ]
}

#[tokio::test]
async fn a_nomad_in_trouble_is_unknown_and_never_empty() {
    let consul = answering(ResponseTemplate::new(404).insert_header("X-Consul-Index", "1")).await;
    for (name, template) in troubles() {
        let nomad = answering(template).await;
        let world = eyes(&nomad, &consul).look(clock::now()).await;
        assert!(
            matches!(world.nodes, Seen::Unknown { .. }),
            "{name}: nodes {:?}",
            world.nodes
        );
        assert!(
            matches!(world.allocs, Seen::Unknown { .. }),
            "{name}: allocations {:?}",
            world.allocs
        );
        assert!(matches!(world.jobs, Seen::Unknown { .. }), "{name}: jobs");
        let Seen::Unknown { why } = &world.nodes else {
            unreachable!()
        };
        assert!(
            why.contains("Nomad"),
            "{name}: the reason names whom: {why}"
        );
    }
}

#[tokio::test]
async fn a_consul_in_trouble_counts_as_a_set_hold_and_an_unknown_target() {
    let nomad = empty_nomad().await;
    for (name, template) in troubles() {
        let consul = answering(template).await;
        let world = eyes(&nomad, &consul).look(clock::now()).await;
        assert!(
            matches!(world.hold, Seen::Unknown { .. }),
            "{name}: hold {:?}",
            world.hold
        );
        let front = &world.fronts[&ServiceName::from("shop-web")];
        assert!(
            matches!(front.target, Some(Seen::Unknown { .. })),
            "{name}: target {:?}",
            front.target
        );
        let (_, steps, view) = cycle(state(), &world, world.at, &mut clock::dice(1));
        assert!(steps.is_empty(), "{name}: {steps:?}");
        assert!(
            !view.blind.is_empty() && view.hold.is_some(),
            "{name}: the view says what it cannot see"
        );
    }
}

#[tokio::test]
async fn what_was_away_is_seen_again_at_the_next_look() {
    let consul = answering(ResponseTemplate::new(404).insert_header("X-Consul-Index", "1")).await;
    let nomad = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(500))
        .up_to_n_times(40)
        .with_priority(1)
        .mount(&nomad)
        .await;
    Mock::given(path_regex("^/v1/job/"))
        .respond_with(ResponseTemplate::new(404).insert_header("X-Nomad-Index", "7"))
        .with_priority(2)
        .mount(&nomad)
        .await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_json(json!([])))
        .with_priority(3)
        .mount(&nomad)
        .await;
    let eyes = eyes(&nomad, &consul);
    let first = eyes.look(clock::now()).await;
    assert!(matches!(first.nodes, Seen::Unknown { .. }));
    let mut looks = 1;
    let world = loop {
        let world = eyes.look(clock::now()).await;
        looks += 1;
        if world.nodes.value().is_some() || looks > 40 {
            break world;
        }
    };
    assert_eq!(
        world.nodes.value().map(Table::len),
        Some(0),
        "after {looks} looks"
    );
    assert!(matches!(world.hold, Seen::Known { value: false, .. }));
}

/// The links' faults that hide the truth, each with a word of the reason that an operator is given.
const FAULTS: [(Fault, &str); 10] = [
    (Fault::Cut, "no connection"),
    (Fault::Delay(Duration::from_secs(30)), "no answer within"),
    (Fault::HalfOpen, "no answer within"),
    (Fault::Garbage, "no connection"),
    (Fault::Truncated, "no connection"),
    (Fault::TruncatedJson, "not what was expected"),
    (Fault::Status(429), "busy"),
    (Fault::Status(500), "status 500"),
    (Fault::Status(503), "busy"),
    (Fault::SlowBody, "no answer within"),
];

/// A Nomad with the estate's two instances and four nodes, each answer with an index.
async fn shop_nomad() -> MockServer {
    let server = MockServer::start().await;
    let at = |index: &str| ResponseTemplate::new(200).insert_header("X-Nomad-Index", index);
    let world = common::world();
    let nodes: Vec<_> = world.nodes.value().expect("nodes").iter().map(|n| {
        json!({"ID": n.id, "Name": n.name, "Datacenter": n.site, "NodeClass": n.class, "Status": "ready",
            "SchedulingEligibility": "eligible", "ModifyIndex": 5, "Attributes": {"cpu.frequency": "2000"},
            "Meta": {"price": "0.1"}, "NodeResources": {"Cpu": {"CpuShares": 4000}, "Memory": {"MemoryMB": 4096},
            "Disk": {"DiskMB": 10000}}})
    }).collect();
    let allocs: Vec<_> = world.allocs.value().expect("allocations").iter().map(|a| {
        let (ip, port) = &a.ports["http"];
        json!({"ID": a.id, "JobID": a.job, "TaskGroup": a.group, "NodeID": a.node, "NodeName": a.node_name,
            "DesiredStatus": "run", "ClientStatus": "running", "ModifyIndex": 6, "AllocatedResources": {
            "Tasks": {"serve": {"Cpu": {"CpuShares": 500}, "Memory": {"MemoryMB": 64}}},
            "Shared": {"DiskMB": 300, "Ports": [{"Label": "http", "Value": port, "HostIP": ip}]}}})
    }).collect();
    let mount = async |path: &str, reply: ResponseTemplate| {
        let path = path_regex(format!("^{path}$"));
        Mock::given(path).respond_with(reply).mount(&server).await;
    };
    for node in &nodes {
        let path = format!("/v1/node/{}", node["ID"].as_str().expect("an ID"));
        mount(&path, at("5").set_body_json(node)).await;
    }
    mount("/v1/nodes", at("5").set_body_json(&nodes)).await;
    mount("/v1/allocations", at("6").set_body_json(&allocs)).await;
    mount("/v1/evaluations", at("7").set_body_json(json!([]))).await;
    mount("/v1/jobs", at("7").set_body_json(json!([]))).await;
    mount("/v1/job/shop", at("7").set_body_json(common::job().0)).await;
    mount("/v1/event/stream", ResponseTemplate::new(404)).await;
    server
}

async fn away_consul() -> MockServer {
    answering(ResponseTemplate::new(404).insert_header("X-Consul-Index", "1")).await
}

/// What eyes saw of Nomad, in a world that has a rush of traffic and a standby that is ready: there is something to do.
fn rushed(seen: &World) -> World {
    let mut world = common::at(common::with_standby(common::world()), seen.at);
    if let Some(Seen::Known { value, .. }) = world.traffic.get_mut(&PortionId::from("web")) {
        value.rate = Rps(70.0);
    }
    world.nodes = seen.nodes.clone();
    world.allocs = seen.allocs.clone().map(|mut all| {
        all.put(common::alloc(
            3,
            "foreshadow-standby-web-1",
            "provider-a",
            1,
        ));
        all
    });
    let standby = world.jobs.value().expect("jobs").clone();
    world.jobs = seen.jobs.clone().map(|_| standby);
    world
}

/// One turn over such a world; what it does and what its view cannot see.
fn turn(seen: &World) -> (usize, Vec<String>) {
    let world = rushed(seen);
    let (_, steps, view) = cycle(state(), &world, world.at, &mut clock::dice(1));
    (steps.len(), view.blind)
}

#[tokio::test]
async fn a_spoilt_link_to_nomad_makes_the_loop_hold_say_so_and_recover() {
    let (nomad, consul) = (shop_nomad().await, away_consul().await);
    let link = Proxy::before(*nomad.address()).await;
    let eyes = eyes_at(&format!("http://{}", link.at), &consul.uri());
    let well = eyes.look(clock::now()).await;
    let (steps, blind) = turn(&well);
    assert!(
        steps > 0,
        "with a link that is well there is something to do: {blind:?}"
    );
    for (fault, word) in FAULTS {
        link.set(fault);
        let world = eyes.look(clock::now()).await;
        for (part, why) in [
            ("nodes", why_not(&world.nodes)),
            ("allocations", why_not(&world.allocs)),
            ("jobs", why_not(&world.jobs)),
        ] {
            let why = why.unwrap_or_else(|| panic!("{fault:?}: {part} count as known"));
            assert!(
                why.contains("Nomad") && why.contains(word),
                "{fault:?}: {part}: {why}"
            );
        }
        let (steps, blind) = turn(&world);
        assert_eq!(steps, 0, "{fault:?}: the loop holds");
        let said = blind.iter().any(|b| b.contains(word));
        assert!(said, "{fault:?}: the view says why: {blind:?}");
        link.set(Fault::None);
        let world = recovered(&eyes).await;
        assert!(
            turn(&world).0 > 0,
            "{fault:?}: it goes on once the link is well"
        );
    }
}

/// The first look at which Nomad is known again: a list that a fault still holds up may cost some.
async fn recovered(eyes: &Cluster) -> World {
    let mut world = eyes.look(clock::now()).await;
    for _ in 0..5 {
        if world.nodes.value().is_some() && world.allocs.value().is_some() {
            break;
        }
        world = eyes.look(clock::now()).await;
    }
    world
}

fn why_not<T>(seen: &Seen<T>) -> Option<&str> {
    match seen {
        Seen::Known { .. } => None,
        Seen::Unknown { why } => Some(why),
    }
}

#[tokio::test]
async fn a_link_that_is_merely_late_is_used_as_it_is() {
    let (nomad, consul) = (shop_nomad().await, away_consul().await);
    let link = Proxy::before(*nomad.address()).await;
    link.set(Fault::Delay(Duration::from_millis(20)));
    let eyes = eyes_at(&format!("http://{}", link.at), &consul.uri());
    let world = eyes.look(clock::now()).await;
    assert_eq!(world.allocs.value().map(Table::len), Some(2));
    assert_eq!(world.nodes.value().map(Table::len), Some(12));
}

#[tokio::test]
async fn a_spoilt_link_to_consul_counts_as_a_set_hold_is_said_and_is_over_with_the_fault() {
    let (nomad, consul) = (shop_nomad().await, away_consul().await);
    let link = Proxy::before(*consul.address()).await;
    let eyes = eyes_at(&nomad.uri(), &format!("http://{}", link.at));
    assert_eq!(eyes.look(clock::now()).await.hold.value(), Some(&false));
    for (fault, word) in FAULTS {
        link.set(fault);
        let world = eyes.look(clock::now()).await;
        let why = why_not(&world.hold).unwrap_or_else(|| panic!("{fault:?}: hold is known"));
        assert!(
            why.contains("Consul") && why.contains(word),
            "{fault:?}: {why}"
        );
        let mut rushing = rushed(&world);
        rushing.hold = world.hold.clone();
        let (_, steps, view) = cycle(state(), &rushing, rushing.at, &mut clock::dice(1));
        assert_eq!(steps.len(), 0, "{fault:?}: the loop holds");
        assert!(
            view.hold.is_some(),
            "{fault:?}: the view says that it holds"
        );
        link.set(Fault::None);
        let world = eyes.look(clock::now()).await;
        assert_eq!(world.hold.value(), Some(&false), "{fault:?}: it is over");
    }
}

/// A Consul whose gateway has one entry, which fails at the first change; it blocks as Consul does.
async fn failing_consul() -> MockServer {
    let server = MockServer::start().await;
    let health = |status: &str, index: &str| {
        ResponseTemplate::new(200)
            .insert_header("X-Consul-Index", index)
            .set_body_json(json!([{
                "Node": {"Node": "gateway", "Address": "10.0.0.1"},
                "Service": {"ID": "foreshadow-web", "Service": "shop-web", "Port": 80, "Meta": {"foreshadow_alloc": "one"},
                    "Weights": {"Passing": 10, "Warning": 1}},
                "Checks": [
                    {"CheckID": "serfHealth", "Status": "passing"},
                    {"CheckID": "alive", "ServiceID": "foreshadow-web", "Status": status, "Output": "asked"},
                ],
            }]))
    };
    let away = ResponseTemplate::new(404).insert_header("X-Consul-Index", "1");
    let away = Mock::given(any()).respond_with(away).with_priority(9);
    away.mount(&server).await;
    let mount = async |path: &str, index: Option<&str>, reply: ResponseTemplate| {
        let mock = Mock::given(path_regex(path.to_string()));
        let mock = match index {
            Some(index) => {
                let mock = mock.and(query_param("index", index));
                mock.respond_with(reply).with_priority(1)
            }
            None => mock.respond_with(reply).with_priority(2),
        };
        mock.mount(&server).await;
    };
    let agent =
        json!({"Config": {"NodeName": "gateway", "Datacenter": "edge", "Version": "1.8.7"}});
    let agent = ResponseTemplate::new(200).set_body_json(agent);
    mount("^/v1/agent/self$", None, agent).await;
    let soon = health("critical", "6").set_delay(Duration::from_millis(200));
    mount("^/v1/health/service/", None, health("passing", "5")).await;
    mount("^/v1/health/service/", Some("5"), soon).await;
    let never = health("critical", "6").set_delay(Duration::from_secs(60));
    mount("^/v1/health/service/", Some("6"), never).await;
    server
}

#[tokio::test]
async fn entries_are_watched_not_polled_and_one_that_fails_has_the_wheel_turn() {
    let (nomad, consul) = (shop_nomad().await, failing_consul().await);
    let (wake, mut woken) = tokio::sync::mpsc::channel(1);
    let eyes = Cluster::new(Sources {
        wake: Some(wake),
        ..sources(&nomad.uri(), &consul.uri())
    });
    let serves = |world: &World| {
        let entries = &world.fronts[&ServiceName::from("shop-web")].entries;
        let entries = entries[&GatewayId::from("edge-a")].value().expect("read");
        entries.iter().map(FrontEntry::serves).collect::<Vec<_>>()
    };
    assert_eq!(serves(&eyes.look(clock::now()).await), [true]);
    woken.recv().await.expect("the watch lives");
    for _ in 0..20 {
        assert_eq!(serves(&eyes.look(clock::now()).await), [false]);
    }
    let asked = consul.received_requests().await.expect("recorded");
    let of = |part: &str| asked.iter().filter(|r| r.url.path().contains(part)).count();
    assert_eq!(of("/health/service/"), 3, "one a change, not one a look");
    assert_eq!(
        of("/kv/foreshadow/hold"),
        21,
        "the stop is read at each look"
    );
}

#[tokio::test]
async fn traffic_of_a_service_that_has_no_target_is_asked_of_the_jobs_own_instances() {
    let (nomad, consul) = (shop_nomad().await, away_consul().await);
    let world = eyes(&nomad, &consul).look(clock::now()).await;
    let front = &world.fronts[&ServiceName::from("shop-web")];
    let target = front.target.as_ref().and_then(Seen::value);
    assert_eq!(target, Some(&None), "none was ever written");
    let told = &world.traffic[&PortionId::from("web")];
    let allocs = world.allocs.value().expect("allocations");
    let of_web = allocs.iter().filter(|a| a.group.as_str() == "web");
    let asked: Vec<String> = of_web
        .map(|a| format!("{}:{}/metrics", a.ports["http"].0, a.ports["http"].1))
        .collect();
    let Seen::Unknown { why } = told else {
        panic!("nobody listens there: {told:?}");
    };
    assert!(
        asked.iter().any(|at| why.contains(at)),
        "{why} of {asked:?}"
    );
}

#[tokio::test]
async fn who_has_no_entry_is_told_of_by_the_service_that_nomad_registered_in_any_datacenter() {
    let (nomad, consul) = (shop_nomad().await, away_consul().await);
    let entry = |n: u8, status: &str| {
        let id = format!("_nomad-task-{}-group-web-a-http", common::alloc_id(n));
        json!([{"Service": {"ID": id}, "Checks": [{"CheckID": "health", "Status": status}]}])
    };
    for (end, dc, body) in [
        ("/self", "", json!({"Config": {"NodeName": "g"}})),
        ("/datacenters", "", json!(["edge", "far", "cut"])),
        ("/shop-web-origin", "dc=edge", entry(1, "critical")),
        ("/shop-web-origin", "dc=far", entry(2, "passing")),
        ("/shop-web", "", json!([])),
    ] {
        let asked = move |r: &wiremock::Request| {
            r.url.path().ends_with(end) && r.url.query().unwrap_or("").contains(dc)
        };
        let reply = ResponseTemplate::new(200).insert_header("X-Consul-Index", "5");
        let mock = Mock::given(asked).respond_with(reply.set_body_json(body));
        mock.with_priority(1).mount(&consul).await;
    }
    let world = eyes(&nomad, &consul).look(clock::now()).await;
    let origin = &world.fronts[&ServiceName::from("shop-web")].origin;
    let origin = origin.as_ref().and_then(Seen::value);
    assert_eq!(origin, Some(&vec![common::alloc_id(2)].into()));
}
