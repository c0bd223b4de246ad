//! The Consul and DNS clients against a real Consul: from PATH, from `target/real-consul` or from `$FORESHADOW_CACHE`.
//! Where there is none, each test says so and passes.
#![allow(clippy::disallowed_methods)] // tests own their clock and environment

#[path = "real_consul/agent.rs"]
mod agent;
#[path = "real_consul/keys.rs"]
mod keys;
#[path = "real_consul/tls.rs"]
mod tls;

use agent::{Agent, Backend};
use foreshadow::clients::consul::*;
use foreshadow::clients::dns::{Dns, SrvRecord};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longer than anything here takes; only a failing test gets near it.
const PATIENCE: Duration = Duration::from_secs(20);

macro_rules! agent_or_skip {
    ($name:literal, $ip:literal) => {
        match Agent::start($name, $ip, "") {
            Some(agent) => agent,
            None => return,
        }
    };
}

fn registration(id: &str, service: &str, backend: &Backend, weight: u16) -> Registration {
    Registration {
        id: id.into(),
        name: service.into(),
        address: backend.ip(),
        port: backend.port(),
        tags: vec!["v1".into()],
        meta: BTreeMap::from([("owner".to_string(), "foreshadow".to_string())]),
        passing_weight: weight,
        warning_weight: 1,
        checks: vec![CheckDefinition {
            id: format!("{id}-http"),
            name: "answers".into(),
            probe: Probe::Http {
                url: format!("http://{}:{}/", backend.ip(), backend.port()),
            },
            interval: Duration::from_millis(200),
            timeout: Duration::from_secs(1),
            initial: None,
            deregister_after: Some(Duration::from_secs(60)),
        }],
        ..Registration::default()
    }
}

/// Follows a service with blocking queries until it is as wanted.
async fn until(
    consul: &Consul,
    service: &str,
    passing: bool,
    wanted: impl Fn(&[ServiceEntry]) -> bool,
) -> Vec<ServiceEntry> {
    let mut query = HealthQuery {
        passing,
        ..HealthQuery::default()
    };
    let followed = async {
        loop {
            let seen = consul.health_service(service, query).await.unwrap();
            if wanted(&seen.value) {
                return seen.value;
            }
            query.wait = Some(seen.next(Duration::from_secs(10)));
        }
    };
    tokio::time::timeout(PATIENCE, followed)
        .await
        .unwrap_or_else(|_| panic!("{service} never became as wanted"))
}

fn weights(records: &[SrvRecord]) -> Vec<(u16, u16)> {
    let mut found: Vec<_> = records.iter().map(|r| (r.port, r.weight)).collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn the_agent_tells_who_it_is() {
    let agent = agent_or_skip!("self", "127.0.210.1");
    let consul = agent.client();
    let me = consul.agent_self().await.unwrap();
    assert_eq!((me.datacenter(), me.node_name()), ("edge", "self"));
    assert!(me.is_server());
    assert!(me.version().is_some(), "{}", me.version_text());
    assert_eq!(consul.datacenters().await.unwrap(), ["edge"]);
    let members = consul.members(false).await.unwrap();
    assert_eq!(members[0].reachability(), Reachability::Alive);
    assert_eq!(members[0].datacenter(), "edge");
    let nodes = consul.catalog_nodes(None).await.unwrap();
    assert_eq!(
        (nodes[0].node.as_str(), nodes[0].address.as_str()),
        ("self", "127.0.210.1")
    );
    assert!(
        consul
            .catalog_services(None)
            .await
            .unwrap()
            .contains_key("consul")
    );
    assert!(consul.coordinate_nodes(None, None).await.is_ok());
    assert!(consul.coordinate_datacenters().await.is_ok());
    assert!(!consul.leader(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_service_registers_with_weights_and_a_check_and_is_served_by_dns() {
    let agent = agent_or_skip!("weights", "127.0.210.2");
    let consul = agent.client();
    let (a, b) = (Backend::start("127.0.210.2"), Backend::start("127.0.210.2"));
    consul
        .register(&registration("web-a", "web", &a, 70))
        .await
        .unwrap();
    consul
        .register(&registration("web-b", "web", &b, 30))
        .await
        .unwrap();
    let seen = until(&consul, "web", true, |e| e.len() == 2).await;
    let first = seen.iter().find(|e| e.service.id == "web-a").unwrap();
    assert_eq!(first.service.weights.passing, 70);
    assert_eq!(
        (first.address(), first.service.port),
        (a.ip().as_str(), a.port())
    );
    assert_eq!(first.service.meta["owner"], "foreshadow");
    assert!(first.is_passing() && !first.in_maintenance());
    assert_eq!(first.agent_alive(), Some(true));

    let dns = Dns::new(agent.dns(), PATIENCE, None).unwrap();
    let records = dns.srv("web.service.consul").await.unwrap();
    let mut expected = vec![(a.port(), 70), (b.port(), 30)];
    expected.sort_unstable();
    assert_eq!(weights(&records), expected);
    assert!(
        records
            .iter()
            .all(|r| r.ip == Some(a.ip().parse().unwrap())),
        "{records:?}"
    );
    assert_eq!(
        weights(&dns.srv_over_udp("web.service.consul").await.unwrap()),
        expected
    );
    assert!(dns.srv("nobody.service.consul").await.unwrap().is_empty());

    // A new weight is a registration; the check keeps passing through it.
    consul
        .register(&registration("web-a", "web", &a, 10))
        .await
        .unwrap();
    let seen = until(&consul, "web", false, |e| {
        e.iter().any(|e| e.service.weights.passing == 10)
    })
    .await;
    assert!(seen.iter().all(ServiceEntry::is_passing), "{seen:?}");
    let mut expected = vec![(a.port(), 10), (b.port(), 30)];
    expected.sort_unstable();
    assert_eq!(
        weights(&dns.srv("web.service.consul").await.unwrap()),
        expected
    );

    consul.deregister("web-a").await.unwrap();
    consul.deregister("web-a").await.expect("gone already");
    until(&consul, "web", false, |e| e.len() == 1).await;
}

#[tokio::test]
async fn whole_sets_come_over_tcp_where_udp_cuts_them_short() {
    let agent = agent_or_skip!("many", "127.0.210.3");
    let consul = agent.client();
    let backend = Backend::start("127.0.210.3");
    for n in 0..40 {
        let mut one = registration(&format!("many-{n}"), "many", &backend, n + 1);
        one.checks.clear();
        one.port = 10_000 + n;
        consul.register(&one).await.unwrap();
    }
    until(&consul, "many", true, |e| e.len() == 40).await;
    let dns = Dns::new(agent.dns(), PATIENCE, None).unwrap();
    let whole = dns.srv("many.service.consul").await.unwrap();
    assert_eq!(whole.len(), 40);
    assert!(whole.iter().all(|r| r.weight == r.port - 9_999));
    let cut = dns.srv_over_udp("many.service.consul").await.unwrap();
    assert_eq!(cut.len(), 3, "{cut:?}");
}

#[tokio::test]
async fn maintenance_takes_an_instance_out_and_wakes_a_watcher() {
    let agent = agent_or_skip!("maintenance", "127.0.210.4");
    let consul = agent.client();
    let backend = Backend::start("127.0.210.4");
    consul
        .register(&registration("web-a", "web", &backend, 5))
        .await
        .unwrap();
    until(&consul, "web", true, |e| e.len() == 1).await;
    let now = consul
        .health_service("web", HealthQuery::default())
        .await
        .unwrap();
    let watch = HealthQuery {
        wait: Some(now.next(Duration::from_secs(60))),
        ..HealthQuery::default()
    };
    let watching = tokio::time::timeout(PATIENCE, consul.health_service("web", watch));
    let (woken, done) = tokio::join!(watching, consul.maintenance("web-a", true, "share 0 %"));
    done.unwrap();
    let woken = woken.expect("the watcher wakes").unwrap();
    assert!(woken.index > now.index && !woken.went_back);
    let seen = until(&consul, "web", false, |e| e[0].in_maintenance()).await;
    assert!(seen[0].is_passing(), "its own check still passes");
    let reason = seen[0].checks.iter().find(|c| c.is_maintenance()).unwrap();
    assert_eq!(reason.notes, "share 0 %");
    until(&consul, "web", true, <[_]>::is_empty).await;
    assert!(
        consul
            .agent_checks()
            .await
            .unwrap()
            .values()
            .any(Check::is_maintenance)
    );
    let own = consul.agent_entries("web").await.unwrap();
    assert!(own[0].in_maintenance() && own[0].passes(), "{own:?}");
    consul.maintenance("web-a", false, "").await.unwrap();
    until(&consul, "web", true, |e| e.len() == 1).await;
    let unknown = consul.maintenance("nobody", true, "x").await.unwrap_err();
    assert!(!unknown.is_transient(), "{unknown}");
}

#[tokio::test]
async fn a_failing_check_shows_and_an_entry_of_others_keeps_its_check_when_reweighted() {
    let agent = agent_or_skip!("reweight", "127.0.210.5");
    let consul = agent.client();
    let backend = Backend::start("127.0.210.5");
    let mut made = registration("_nomad-task-x", "web", &backend, 1);
    let tagged = |port| TaggedAddress {
        address: backend.ip(),
        port,
    };
    made.tagged_addresses = BTreeMap::from([
        ("lan_ipv4".to_string(), tagged(backend.port())),
        ("wan_ipv4".to_string(), tagged(9)),
    ]);
    consul.register(&made).await.unwrap();
    until(&consul, "web", true, |e| e.len() == 1).await;
    let entries = consul.agent_services().await.unwrap();
    let entry = &entries["_nomad-task-x"];
    assert_eq!(entry.tagged_addresses["wan_ipv4"].port, 9);
    let own = consul.agent_entries("web").await.unwrap();
    assert_eq!((own.len(), &own[0].service), (1, entry));
    assert!(own[0].passes() && !own[0].in_maintenance());
    assert!(consul.agent_entries("nobody").await.unwrap().is_empty());
    let again = Registration::reweighted(entry, 42).unwrap();
    consul.register(&again).await.unwrap();
    let seen = until(&consul, "web", false, |e| {
        e[0].service.weights.passing == 42
    })
    .await;
    assert!(
        seen[0].is_passing()
            && seen[0]
                .checks
                .iter()
                .any(|c| c.check_id == "_nomad-task-x-http")
    );
    let after = &consul.agent_services().await.unwrap()["_nomad-task-x"];
    assert_eq!(after.tagged_addresses, entry.tagged_addresses);
    assert_eq!((&after.tags, &after.meta), (&entry.tags, &entry.meta));

    backend.fail(true);
    let seen = until(&consul, "web", false, |e| !e[0].is_passing()).await;
    assert!(!seen[0].in_maintenance());
    let own = consul.agent_entries("web").await.unwrap();
    assert!(!own[0].passes() && !own[0].in_maintenance(), "{own:?}");
    let critical = consul
        .checks_in_state("critical", None, None)
        .await
        .unwrap();
    assert_eq!(critical.value[0].service_id, "_nomad-task-x");
    let refused = consul
        .register(&Registration {
            passing_weight: 0,
            ..again
        })
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("Invalid Weights"), "{refused}");
}

#[tokio::test]
async fn another_datacenter_is_read_and_written_through_the_own_agent() {
    let edge = agent_or_skip!("edge-a", "127.0.210.8");
    let join = r#", "datacenter": "provider", "retry_join_wan": ["127.0.210.8"]"#;
    let provider = Agent::start("provider-a", "127.0.210.9", join).unwrap();
    edge.wait_for(|line| line.contains("provider-a.provider") && line.contains("area=wan"));
    let (near, far) = (edge.client(), provider.client());
    let backend = Backend::start("127.0.210.9");
    far.register(&registration("api-a", "api", &backend, 7))
        .await
        .unwrap();
    until(&far, "api", true, |e| e.len() == 1).await;
    assert_eq!(near.datacenters().await.unwrap().len(), 2);
    let query = HealthQuery {
        dc: Some("provider"),
        passing: true,
        ..HealthQuery::default()
    };
    let seen = near.health_service("api", query).await.unwrap().value;
    assert_eq!(seen[0].service.weights.passing, 7);
    assert_eq!(seen[0].node.datacenter, "provider");
    let here = near
        .health_service("api", HealthQuery::default())
        .await
        .unwrap();
    assert!(here.value.is_empty());
    assert!(near.kv_put("k", b"far", Some("provider")).await.unwrap());
    assert_eq!(
        far.kv_get("k", None, true, None)
            .await
            .unwrap()
            .value
            .unwrap()
            .value,
        b"far"
    );
    assert_eq!(
        near.kv_get("k", None, true, None).await.unwrap().value,
        None
    );
    let outside = Registration {
        checks: vec![],
        ..registration("ext-1", "ext", &backend, 9)
    };
    assert!(
        near.catalog_register("outside", "10.9.9.9", &outside, Some("provider"))
            .await
            .unwrap()
    );
    let seen = until(&far, "ext", true, |e| e.len() == 1).await;
    assert_eq!(
        (seen[0].service.weights.passing, seen[0].agent_alive()),
        (9, None)
    );
    assert!(
        near.catalog_deregister("outside", None, Some("provider"))
            .await
            .unwrap()
    );
    until(&far, "ext", false, <[_]>::is_empty).await;
    let dns = Dns::new(edge.dns(), PATIENCE, None).unwrap();
    let records = dns.srv("api.service.provider.consul").await.unwrap();
    assert_eq!(weights(&records), [(backend.port(), 7)]);
    let nowhere = near
        .health_service(
            "api",
            HealthQuery {
                dc: Some("moon"),
                ..query
            },
        )
        .await;
    assert!(
        nowhere
            .unwrap_err()
            .to_string()
            .contains("No path to datacenter")
    );
}

#[tokio::test]
async fn clients_outlive_the_restart_of_their_agent() {
    let Some(agent) = Agent::start("restart", "127.0.210.11", "") else {
        return;
    };
    let consul = agent.client();
    let dns = Dns::new(agent.dns(), PATIENCE, None).unwrap();
    assert!(!dns.srv("consul.service.consul").await.unwrap().is_empty());
    assert_eq!(consul.datacenters().await.unwrap(), ["edge"]);
    drop(agent);
    assert!(consul.datacenters().await.unwrap_err().is_transient());
    assert!(dns.srv("consul.service.consul").await.is_err());
    let _again = Agent::start("restart", "127.0.210.11", "").unwrap();
    assert_eq!(consul.datacenters().await.unwrap(), ["edge"]);
    assert!(!dns.srv("consul.service.consul").await.unwrap().is_empty());
}
