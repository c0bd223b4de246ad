//! Small truths of the types.

use crate::clients::Version;
use crate::clients::consul::{Coordinate, ServiceEntry};
use crate::clients::nomad::{Agent, NodeStub};
use serde_json::json;

#[test]
fn versions_are_compared_by_number_whatever_their_suffix() {
    assert_eq!(Version::parse("1.9.2+ent"), Some(Version(1, 9, 2)));
    assert_eq!(Version::parse("v2.0.0-beta.1"), Some(Version(2, 0, 0)));
    assert_eq!(Version::parse("1.22"), Some(Version(1, 22, 0)));
    assert_eq!(Version::parse("unknown"), None);
    assert!(Version(1, 10, 0) > Version(1, 9, 2));
}

fn agent(version: &str) -> Agent {
    serde_json::from_value(json!({"config": {"Version": {"Version": version}}, "member": null}))
        .unwrap()
}

/// The table of docs/nomad.md: a feature, and the version that brings it.
fn documented() -> Vec<(String, Version)> {
    let table = include_str!("../../../docs/nomad.md");
    table
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let (name, since) = (cells.next()?, cells.next()?);
            Some((name.to_string(), Version::parse(since)?))
        })
        .collect()
}

#[test]
fn every_feature_is_there_from_the_documented_version_on_and_not_before() {
    let documented = documented();
    assert_eq!(documented.len(), agent("").features().all().len());
    for (name, since) in documented {
        let has = |version: &str| {
            let all = agent(version).features().all();
            all.into_iter().find(|f| f.0 == name).map(|f| (f.1, f.2))
        };
        assert_eq!(has(&since.to_string()), Some((since, true)), "{name}");
        let before = match since {
            Version(1, 0, 0) => Version(0, 12, 9),
            Version(major, minor, 0) => Version(major, minor - 1, 99),
            Version(major, minor, patch) => Version(major, minor, patch - 1),
        };
        assert_eq!(has(&before.to_string()), Some((since, false)), "{name}");
        assert_eq!(has("2.0.6-beta.1"), Some((since, true)), "{name}");
        assert_eq!(has(""), Some((since, false)), "nothing is assumed");
    }
}

#[test]
fn a_node_of_nomad_2_decodes_with_its_processors_and_pool() {
    let node: NodeStub = serde_json::from_value(json!({
        "ID": "n", "NodePool": "gpu", "Drivers": null, "HostVolumes": {"ledger": {"Name": "ledger", "Path": "/l", "ID": "x"}},
        "NodeResources": {"Cpu": {"CpuShares": 8000, "TotalCpuCores": 4, "ReservableCpuCores": [0, 1]},
            "Processors": {"Topology": {"Nodes": [0]}}, "Memory": {"MemoryMB": 1}, "Disk": {"DiskMB": 2},
            "Networks": null, "MinDynamicPort": 20000},
        "LastDrain": null, "SomethingNew": {"a": 1}
    }))
    .unwrap();
    let held = node.node_resources.unwrap();
    assert_eq!((held.cpu_mhz(), held.network_mbits()), (8000, None));
    assert_eq!(node.host_volumes["ledger"].path, "/l");
    assert_eq!(node.node_pool, "gpu");
}

#[test]
fn maintenance_is_told_apart_from_a_failing_check() {
    let entry = |checks: serde_json::Value| -> ServiceEntry {
        serde_json::from_value(json!({"Node": {"Address": "10.0.0.1"},
            "Service": {"Address": "", "Weights": null}, "Checks": checks}))
        .unwrap()
    };
    let held = entry(json!([
        {"CheckID": "serfHealth", "Status": "passing"},
        {"CheckID": "_service_maintenance:web-1", "Status": "critical"}]));
    assert!(held.in_maintenance() && held.is_passing());
    assert_eq!(held.agent_alive(), Some(true));
    assert_eq!(held.address(), "10.0.0.1");
    let sick = entry(json!([{"CheckID": "web", "Status": "critical"}]));
    assert!(!sick.in_maintenance() && !sick.is_passing());
    assert_eq!(sick.agent_alive(), None);
    assert_eq!(sick.service.weights.passing, 1);
}

#[test]
fn the_round_trip_between_coordinates_is_consuls_own_formula() {
    let at = |x: f64, adjustment: f64| Coordinate {
        vec: vec![x, 0.0],
        error: 1.0,
        adjustment,
        height: 0.001,
    };
    let rtt = at(0.0, 0.0).rtt_to(&at(0.010, 0.002)).unwrap();
    assert!((rtt - 0.014).abs() < 1e-9, "{rtt}");
    // An adjustment that would make it negative is left out.
    let rtt = at(0.0, -1.0).rtt_to(&at(0.010, 0.0)).unwrap();
    assert!((rtt - 0.012).abs() < 1e-9, "{rtt}");
    assert_eq!(at(0.0, 0.0).rtt_to(&Coordinate::default()), None);
}
