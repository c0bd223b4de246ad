//! A small estate made of data: two edge sites, two provider sites, one service with two primaries and maybe a standby.
#![allow(dead_code)] // each test binary uses a part of it

use foreshadow::engine::view::Mode;
use foreshadow::engine::{State, Workload};
use foreshadow::model::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

pub const NOW: Moment = Moment(1_000_000);

pub fn alloc_id(n: u8) -> AllocId {
    AllocId::new(format!("{n:08}-0000-0000-0000-000000000000"))
}

pub fn policy() -> Policy {
    let slo = Slo {
        quantile: 0.95,
        latency: Millis(250.0),
        success: 0.99,
    };
    Policy {
        workload: "shop".into(),
        portions: vec![PortionPolicy {
            id: "web".into(),
            job: "shop".into(),
            groups: vec!["web".into()],
            front: Some("shop-web".into()),
            owner: OwnerChoice::default(),
            port: "http".into(),
            path: "/".into(),
            health: "/health".into(),
            depends_on: vec![],
            slo,
            data: Data::Free,
            upstreams: Upstreams::Stub,
            stand_ins: vec![],
            metrics: Metrics {
                clients: vec![],
                path: "/metrics".into(),
                requests: "r".into(),
                duration: "d".into(),
                failed: String::new(),
                only: vec![],
            },
            shadow: true,
            standby: true,
            probe: true,
        }]
        .into(),
        judging: Judging::default(),
        risk_tolerance: 0.3,
        budget: Budget {
            shadow: CoreHours(10.0),
            standby: CoreHours(10.0),
            max_shadows: 1,
            max_standbys: 4,
        },
        sites: ["edge-a", "edge-b", "provider-a", "provider-b"]
            .map(Site::from)
            .to_vec(),
        loads: Default::default(),
        links: vec![],
        ramp: Ramp {
            steps: [25, 50, 100].map(Share::percent).to_vec(),
            soak: Span::secs(1),
            settle: Span::secs(5),
            warm: Span::secs(5),
            min_samples: 5,
        },
        autonomous: false,
        quiet: vec![],
        freezes: vec![],
        events: vec![],
        maintenance: vec![],
        deny: vec![],
        step: Span::secs(1),
        season: Span::secs(144),
        horizon: Span::secs(30),
        peak_rps: Rps(80.0),
    }
}

pub fn node(site: &str, n: u8) -> Node {
    let name = format!("{site}-{n}");
    Node {
        id: NodeId::new(format!("id-{name}")),
        name: name.into(),
        site: Site::from(site),
        class: NodeClass::from(if site.starts_with("edge") {
            "small"
        } else {
            "std"
        }),
        status: NodeStatus::Ready,
        eligible: true,
        draining: false,
        capacity: Resources {
            cpu: Mhz(4000.0),
            memory: MiB(4096.0),
            disk: MiB(10_000.0),
            network: Mbps(0.0),
        },
        clock: Mhz(2000.0),
        price: Price(0.1),
        host_volumes: BTreeSet::new(),
        meta: Shared::default(),
    }
}

pub fn job() -> JobSpec {
    JobSpec::new(json!({
        "ID": "shop", "Name": "shop", "Type": "service", "Priority": 50, "Datacenters": ["edge-a", "edge-b"],
        "JobModifyIndex": 7, "Meta": {"release": "1"},
        "TaskGroups": [{
            "Name": "web", "Count": 2,
            "EphemeralDisk": {"SizeMB": 300},
            "Networks": [{"DynamicPorts": [{"Label": "http"}]}],
            "Services": [{"Name": "shop-web-origin", "PortLabel": "http", "Tags": ["urlprefix-/"],
                          "Checks": [{"Type": "http", "Path": "/health"}]}],
            "Tasks": [{"Name": "serve", "Driver": "raw_exec", "Config": {"command": "foreshadow"},
                       "Env": {"A": "1"}, "Resources": {"CPU": 500, "MemoryMB": 64}}],
        }],
    }))
}

pub fn alloc(n: u8, job: &str, site: &str, node: u8) -> Alloc {
    Alloc {
        id: alloc_id(n),
        job: job.into(),
        group: "web".into(),
        node: NodeId::new(format!("id-{site}-{node}")),
        node_name: format!("{site}-{node}").into(),
        status: AllocStatus::Running,
        desired_run: true,
        resources: Resources {
            cpu: Mhz(500.0),
            memory: MiB(64.0),
            disk: MiB(300.0),
            network: Mbps(0.0),
        },
        ports: Ports::from_iter([(
            "http".into(),
            (format!("10.0.0.{n}").into(), 20_000 + u16::from(n)),
        )]),
        created: Moment(0),
    }
}

pub fn instance(n: u8, site: &str, node: u8, share: u32) -> Instance {
    Instance {
        alloc: alloc_id(n),
        address: format!("10.0.0.{n}").into(),
        port: 20_000 + u16::from(n),
        node: NodeId::new(format!("id-{site}-{node}")),
        site: Site::from(site),
        health: "/health".into(),
        share: Share(share),
    }
}

pub fn target(instances: Vec<Instance>) -> Target {
    Target {
        service: "shop-web".into(),
        plan: "before".into(),
        parent: None,
        epoch: Epoch(5),
        owner: Owner::Front,
        instances: instances.into(),
        contingencies: vec![].into(),
        index: 100,
    }
}

pub fn entry(n: u8, passing: bool) -> FrontEntry {
    FrontEntry {
        instance: alloc_id(n),
        address: format!("10.0.0.{n}").into(),
        port: 20_000 + u16::from(n),
        weight: 50,
        passing,
        checked: true,
        maintenance: false,
        agent_alive: true,
    }
}

/// Two primaries (1 at edge-a, 2 at edge-b) with half the traffic each, all well, 40 requests a second.
pub fn world() -> World {
    let sites = ["edge-a", "edge-b", "provider-a", "provider-b"];
    let nodes = sites
        .iter()
        .flat_map(|s| (1..=3).map(move |n| node(s, n)))
        .collect();
    let mut world = World::unknown(NOW, "not read");
    world.nodes = Seen::known(nodes, NOW);
    world.allocs = Seen::known(
        Table::from(vec![
            alloc(1, "shop", "edge-a", 1),
            alloc(2, "shop", "edge-b", 1),
        ]),
        NOW,
    );
    world.jobs = Seen::known(BTreeMap::from([(JobId::from("shop"), job())]), NOW);
    world.blocked = Seen::known(vec![], NOW);
    world.hold = Seen::known(false, NOW);
    world.links = Seen::known(vec![], NOW);
    let mut front = Front {
        target: Some(Seen::known(
            Some(target(vec![
                instance(1, "edge-a", 1, 5_000),
                instance(2, "edge-b", 1, 5_000),
            ])),
            NOW,
        )),
        ..Front::default()
    };
    front.entries.insert(
        "edge-a".into(),
        Seen::known(vec![entry(1, true), entry(2, true)].into(), NOW),
    );
    world.fronts.insert("shop-web".into(), front);
    let traffic = Traffic {
        rate: Rps(40.0),
        success: 1.0,
        samples: 100,
        p50: Millis(20.0),
        p99: Millis(80.0),
        at_slo: Millis(60.0),
    };
    world
        .traffic
        .insert("web".into(), Seen::known(traffic, NOW));
    world
}

/// Adds a standby (alloc 3) at a provider, seen passing and in maintenance, with no share.
pub fn with_standby(mut world: World) -> World {
    let mut standby = job();
    standby.edit()["ID"] = json!("foreshadow-standby-web-1");
    standby.edit()["TaskGroups"][0]["Count"] = json!(1);
    standby.edit()["Meta"] =
        json!({"foreshadow_standby": "web", "foreshadow_release": release().as_str()});
    if let Seen::Known { value, .. } = &mut world.jobs {
        value.insert(standby.id(), standby.clone());
    }
    if let Seen::Known { value, .. } = &mut world.allocs {
        value.put(alloc(3, "foreshadow-standby-web-1", "provider-a", 1));
    }
    let front = world
        .fronts
        .get_mut(&ServiceName::from("shop-web"))
        .expect("the front of the shop");
    if let Some(Seen::Known { value: Some(t), .. }) = &mut front.target {
        t.instances.push(instance(3, "provider-a", 1, 0));
    }
    if let Some(Seen::Known { value, .. }) = front.entries.get_mut(&GatewayId::from("edge-a")) {
        value.push(FrontEntry {
            maintenance: true,
            ..entry(3, true)
        });
    }
    world
}

pub fn release() -> Release {
    foreshadow::planner::derive::release(&job(), &["web".into()])
}

/// One instance there was measured to carry so much, so often that it can be counted on.
pub fn profile(site: &str, class: &str, knee: f64) -> Profile {
    Profile {
        key: ProfileKey {
            portion: "web".into(),
            release: release(),
            site: site.into(),
            class: class.into(),
        },
        evidence: Evidence::default(),
        knee: Rps(knee),
        knee_spread: Rps(1.0),
        cpu_a_request: 5.0,
        bytes_a_request: 900.0,
        memory: MiB(30.0),
        startup: Span::millis(800),
        curve: vec![],
        details: Details::default(),
        runs: 20,
        samples: 2_000,
        at: NOW,
    }
}

/// Everything is measured, so that nothing is left to shadow.
pub fn profiles(knee: f64) -> Vec<Profile> {
    ["edge-a", "edge-b", "provider-a", "provider-b"]
        .iter()
        .map(|s| {
            profile(
                s,
                if s.starts_with("edge") {
                    "small"
                } else {
                    "std"
                },
                knee,
            )
        })
        .collect()
}

/// What is known of each portion at every place of the world.
pub fn known(
    beliefs: &Beliefs,
    world: &World,
    portions: &[foreshadow::planner::Portion],
    appetite: &foreshadow::planner::risk::Appetite,
) -> BTreeMap<ProfileKey, Known> {
    let nodes = world.nodes.value().into_iter().flatten();
    let keys = nodes.flat_map(|n| {
        portions.iter().map(|p| ProfileKey {
            portion: p.id.clone(),
            release: p.release.clone(),
            site: n.site.clone(),
            class: n.class.clone(),
        })
    });
    let reading = foreshadow::learn::Reading {
        now: world.at,
        half_life: appetite.half_life,
        sure: appetite.sure,
    };
    foreshadow::learn::Measured::of(beliefs).known(&keys.collect(), &reading)
}

/// An engine that acts under epoch 5, without forecasting, that believes 30 requests a second of each instance.
pub fn state() -> State {
    State {
        mode: Mode::Act,
        epoch: Some(Epoch(5)),
        workloads: vec![Workload {
            policy: policy(),
            ..Workload::default()
        }],
        beliefs: Beliefs {
            profiles: profiles(30.0),
            ..Beliefs::default()
        },
        ..State::default()
    }
}

/// Moves every reading of the world to `now`.
pub fn at(mut world: World, now: Moment) -> World {
    fn touch<T>(seen: &mut Seen<T>, now: Moment) {
        if let Seen::Known { at, .. } = seen {
            *at = now;
        }
    }
    world.at = now;
    touch(&mut world.nodes, now);
    touch(&mut world.allocs, now);
    touch(&mut world.jobs, now);
    touch(&mut world.blocked, now);
    touch(&mut world.hold, now);
    touch(&mut world.links, now);
    world.traffic.values_mut().for_each(|t| touch(t, now));
    for front in world.fronts.values_mut() {
        front.target.iter_mut().for_each(|t| touch(t, now));
        front.entries.values_mut().for_each(|t| touch(t, now));
    }
    world
}
