//! Nomad or Consul away, slow, busy, denying or babbling: what the eyes make of it, and what the loop does.

mod common;

use common::state;
use foreshadow::clients::connect::Peer;
use foreshadow::clients::consul::Consul;
use foreshadow::clients::gateway::Gateway;
use foreshadow::clients::http::System;
use foreshadow::clients::nomad::Nomad;
use foreshadow::engine::{clock, cycle};
use foreshadow::model::*;
use foreshadow::observe::{Cluster, Sources};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use wiremock::matchers::{any, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn peer(system: System, server: &MockServer) -> Peer {
    let mut peer = Peer::plain(system, &server.uri()).expect("a mock's address");
    peer.timeout = Duration::from_millis(400);
    peer
}

/// Eyes on one Nomad and one gateway.
fn eyes(nomad: &MockServer, consul: &MockServer) -> Cluster {
    let consul = Arc::new(Consul::new(&peer(System::Consul, consul)).expect("a client"));
    Cluster::new(Sources {
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
    })
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
        .up_to_n_times(6)
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
        if world.nodes.value().is_some() || looks > 6 {
            break world;
        }
    };
    assert_eq!(
        world.nodes.value().map(Vec::len),
        Some(0),
        "after {looks} looks"
    );
    assert!(matches!(world.hold, Seen::Known { value: false, .. }));
}
