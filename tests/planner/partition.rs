//! Portions: which groups part, what binds the others, who calls whom, and what cannot be shadowed.

use crate::common;
use crate::estate::{GROUPS, recorded, shop, volume};
use foreshadow::model::*;
use foreshadow::planner::{Portion, graph, portions, workload};
use serde_json::json;

fn find<'a>(all: &'a [Portion], id: &str) -> &'a Portion {
    let found = all.iter().find(|p| p.id == PortionId::from(id));
    found.unwrap_or_else(|| panic!("a portion {id} among {all:?}"))
}

fn names(ids: &[PortionId]) -> Vec<&str> {
    ids.iter().map(PortionId::as_str).collect()
}

fn policy(portions: &[(&str, &[&str], &[&str])]) -> Policy {
    let mut policy = common::policy();
    let model = policy.portions.remove(0);
    for (id, groups, depends_on) in portions {
        policy.portions.push(PortionPolicy {
            id: (*id).into(),
            groups: groups.iter().map(|g| Group::from(*g)).collect(),
            front: Some(ServiceName::new(format!("shop-{id}"))),
            depends_on: depends_on.iter().map(|d| PortionId::from(*d)).collect(),
            ..model.clone()
        });
    }
    policy
}

#[test]
fn without_a_policy_each_task_group_is_a_portion_alone() {
    let found = portions(&shop(), None);
    let ids: Vec<&str> = found.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(ids, GROUPS);
    for p in &found {
        assert_eq!(p.groups, [Group::new(p.id.as_str())]);
        assert!(p.fused.is_none());
        assert_eq!(p.needs.cpu, Mhz(200.0));
        assert_eq!(p.needs.disk, MiB(300.0));
    }
}

#[test]
fn dependencies_are_found_in_environment_connect_upstreams_and_templates() {
    let found = portions(&shop(), None);
    assert_eq!(names(&find(&found, "web").depends_on), ["cart", "search"]);
    assert_eq!(names(&find(&found, "cart").depends_on), ["pricing"]);
    for leaf in ["pricing", "search", "ledger"] {
        assert!(find(&found, leaf).depends_on.is_empty(), "{leaf}");
    }
}

#[test]
fn dependencies_of_the_policy_join_those_that_were_found() {
    let policy = policy(&[
        ("cart", &["cart"], &["ledger"]),
        ("ledger", &["ledger"], &[]),
    ]);
    let found = portions(&shop(), Some(&policy));
    assert_eq!(
        names(&find(&found, "cart").depends_on),
        ["ledger", "pricing"]
    );
}

#[test]
fn a_front_named_in_the_environment_is_a_dependency_too() {
    let mut job = shop();
    job.0["TaskGroups"][3]["Tasks"][0]["Env"] = json!({"UP": "shop-pricing.service.consul"});
    let policy = policy(&[("pricing", &["pricing"], &[])]);
    let found = portions(&job, Some(&policy));
    assert_eq!(names(&find(&found, "search").depends_on), ["pricing"]);
}

#[test]
fn a_name_that_only_contains_a_services_name_is_no_dependency() {
    let mut job = shop();
    job.0["TaskGroups"][3]["Tasks"][0]["Env"] = json!({"UP": "my-shop-pricing-origin-2"});
    assert!(find(&portions(&job, None), "search").depends_on.is_empty());
}

#[test]
fn groups_that_write_to_one_host_volume_are_fused_and_say_why() {
    let mut job = shop();
    job.0["TaskGroups"][1]["Volumes"] = volume("ledger", false);
    let found = portions(&job, None);
    assert_eq!(found.len(), 4);
    let cart = find(&found, "cart");
    assert_eq!(cart.groups, [Group::from("cart"), Group::from("ledger")]);
    assert!(cart.fused.as_ref().is_some_and(|w| w.contains("ledger")));
    assert_eq!(cart.needs.cpu, Mhz(400.0));
}

#[test]
fn groups_that_only_read_a_volume_stay_apart() {
    let mut job = shop();
    job.0["TaskGroups"][1]["Volumes"] = volume("ledger", true);
    assert_eq!(portions(&job, None).len(), 5);
}

#[test]
fn what_depended_on_a_fused_portion_depends_on_the_one_it_became() {
    let mut job = shop();
    job.0["TaskGroups"][1]["Volumes"] = volume("ledger", false);
    let policy = policy(&[
        ("web", &["web"], &["ledger"]),
        ("cart", &["cart"], &["ledger"]),
        ("ledger", &["ledger"], &[]),
    ]);
    let found = portions(&job, Some(&policy));
    assert_eq!(names(&find(&found, "web").depends_on), ["cart", "search"]);
    assert_eq!(
        names(&find(&found, "cart").depends_on),
        ["pricing"],
        "and nothing depends on itself"
    );
}

#[test]
fn a_coupling_of_the_policy_is_kept_and_says_so() {
    let policy = policy(&[("shopfront", &["web", "search"], &[])]);
    let found = portions(&shop(), Some(&policy));
    assert_eq!(found.len(), 4);
    let front = find(&found, "shopfront");
    assert_eq!(front.groups, [Group::from("web"), Group::from("search")]);
    assert!(front.fused.as_ref().is_some_and(|w| w.contains("policy")));
    assert_eq!(names(&front.depends_on), ["cart"]);
}

#[test]
fn what_cannot_be_shadowed_says_why_not() {
    type Change = fn(&mut JobSpec, &mut Policy);
    let cases: [(&str, Change, &str); 7] = [
        (
            "a writable volume",
            |j, _| j.0["TaskGroups"][0]["Volumes"] = volume("data", false),
            "host volume data",
        ),
        (
            "a writable CSI volume",
            |j, _| {
                j.0["TaskGroups"][0]["Volumes"] = volume("data", false);
                j.0["TaskGroups"][0]["Volumes"]["data"]["Type"] = json!("csi");
            },
            "csi volume data",
        ),
        (
            "a sticky disk",
            |j, _| j.0["TaskGroups"][0]["EphemeralDisk"]["Sticky"] = json!(true),
            "sticky",
        ),
        (
            "a static port",
            |j, _| {
                j.0["TaskGroups"][0]["Networks"][0]["ReservedPorts"] =
                    json!([{"Label": "admin", "Value": 9000}])
            },
            "admin is static",
        ),
        (
            "data that must stay",
            |_, p| p.portions[0].data = Data::Stays(vec!["edge-a".into()]),
            "stay at edge-a",
        ),
        (
            "the operator's no",
            |_, p| p.portions[0].shadow = false,
            "policy forbids",
        ),
        ("nothing", |_, _| {}, ""),
    ];
    for (what, change, expected) in cases {
        let (mut job, mut policy) = (shop(), policy(&[("web", &["web"], &[])]));
        change(&mut job, &mut policy);
        let found = portions(&job, Some(&policy));
        let why = find(&found, "web")
            .not_shadowable
            .clone()
            .unwrap_or_default();
        assert!(why.contains(expected), "{what}: {why}");
        assert_eq!(why.is_empty(), expected.is_empty(), "{what}: {why}");
        assert!(
            find(&found, "search").not_shadowable.is_none(),
            "{what} binds nobody else"
        );
    }
}

#[test]
fn what_is_no_job_has_no_portions_and_does_no_harm() {
    for odd in [
        json!(null),
        json!([]),
        json!("job"),
        json!({"TaskGroups": null}),
        json!({"TaskGroups": 3}),
    ] {
        assert!(portions(&JobSpec(odd), None).is_empty());
    }
}

#[test]
fn jobs_recorded_from_a_real_nomad_are_partitioned() {
    for job in recorded() {
        let found = portions(&job, None);
        assert_eq!(found.len(), job.groups().count(), "{}", job.id());
        for p in &found {
            assert!(p.needs.cpu.0 > 0.0 && p.needs.memory.0 > 0.0, "{p:?}");
            assert!(!p.release.as_str().is_empty());
        }
    }
}

/// A job of groups, each with the names in its environment that it calls, and a service of its own name.
fn calling(id: &str, groups: &[(&str, &str)]) -> JobSpec {
    let groups: Vec<_> = groups
        .iter()
        .map(|(name, calls)| {
            json!({"Name": name, "Services": [{"Name": format!("{name}-svc")}],
                "Tasks": [{"Name": "serve", "Driver": "exec", "Env": {"CALLS": calls}}]})
        })
        .collect();
    JobSpec(json!({"ID": id, "Name": id, "TaskGroups": groups}))
}

#[test]
fn groups_that_call_each_other_in_a_circle_move_together() {
    let job = calling(
        "ring",
        &[
            ("a", "b-svc"),
            ("b", "c-svc"),
            ("c", "a-svc d-svc"),
            ("d", ""),
        ],
    );
    let found = portions(&job, None);
    let ids: Vec<&str> = found.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(ids, ["a", "d"]);
    let groups: Vec<&str> = found[0].groups.iter().map(Group::as_str).collect();
    assert_eq!(groups, ["a", "b", "c"]);
    assert!(
        found[0]
            .fused
            .as_deref()
            .is_some_and(|w| w.contains("circle"))
    );
    assert_eq!(
        names(&found[0].depends_on),
        ["d"],
        "what the circle calls stays"
    );
    assert!(
        found[0].cycle.is_empty(),
        "within a portion there is none left"
    );
}

#[test]
fn portions_that_the_policy_names_stay_apart_in_a_circle_and_say_so() {
    let mut policy = policy(&[("a", &["a"], &[]), ("b", &["b"], &["a"])]);
    policy
        .portions
        .iter_mut()
        .for_each(|p| p.job = "ring".into());
    let job = calling("ring", &[("a", "b-svc"), ("b", "c-svc"), ("c", "b-svc")]);
    let found = portions(&job, Some(&policy));
    let ids: Vec<&str> = found.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(
        ids,
        ["a", "b"],
        "c, which nobody names, goes with the first"
    );
    assert_eq!(found[0].groups.len(), 2);
    assert_eq!(names(&find(&found, "a").cycle), ["b"]);
    assert_eq!(names(&find(&found, "b").cycle), ["a"]);
}

#[test]
fn jobs_of_one_workload_find_each_other_and_never_fuse() {
    let front = calling("front", &[("web", "api-svc"), ("jobs", "")]);
    let back = calling("back", &[("api", "web-svc"), ("jobs", "")]);
    let found = workload(&[&front, &back], None);
    let ids: Vec<&str> = found.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(
        ids,
        ["web", "jobs", "api", "back.jobs"],
        "one name, one portion"
    );
    assert_eq!(names(&find(&found, "web").depends_on), ["api"]);
    assert_eq!(names(&find(&found, "web").cycle), ["api"]);
    assert_eq!(find(&found, "api").job, JobId::from("back"));
    assert!(find(&found, "api").fused.is_none());
}

#[test]
fn the_graph_is_drawn_as_a_tree_and_for_graphviz() {
    let found = portions(&shop(), None);
    let tree = graph::tree(&found);
    assert_eq!(
        tree, "web\n├─ cart\n│  └─ pricing\n└─ search\nledger\n",
        "{tree}"
    );
    let dot = graph::dot(&found);
    assert!(dot.starts_with("digraph workload {"), "{dot}");
    for line in [
        "label=\"shop\";",
        "\"web\" -> \"cart\";",
        "\"cart\" -> \"pricing\";",
        "\"ledger\" [label=\"ledger\", style=\"rounded,dashed\"];",
    ] {
        assert!(dot.contains(line), "{line} in {dot}");
    }
    let ring = calling("ring", &[("a", "b-svc"), ("b", "a-svc")]);
    let other = calling("other", &[("x", "a-svc")]);
    let tree = graph::tree(&workload(&[&ring, &other], None));
    assert_eq!(
        tree, "x\n└─ a\n",
        "a circle is one portion, and callers come first"
    );
}
