//! Derived jobs share nothing with production that a copy may not share, and keep all the rest.

use crate::common;
use crate::estate::{GROUPS, recorded, shop};
use foreshadow::model::*;
use foreshadow::planner::derive;
use proptest::prelude::*;
use serde_json::{Value, json};

fn policy(groups: Vec<Group>, upstreams: Upstreams) -> PortionPolicy {
    let model = common::policy().portions.remove(0);
    PortionPolicy {
        id: groups[0].as_str().into(),
        groups,
        upstreams,
        ..model
    }
}

fn place() -> Node {
    common::node("provider-a", 2)
}

fn shadow(live: &JobSpec, portion: &PortionPolicy) -> JobSpec {
    let deadline = common::NOW + Span::secs(45);
    derive::shadow(live, portion, &place(), &"web-1".into(), deadline).expect("a shadow")
}

fn standby(live: &JobSpec, portion: &PortionPolicy) -> JobSpec {
    derive::standby(live, portion, &place(), 4).expect("a standby")
}

/// All objects under the key, anywhere.
fn all<'a>(v: &'a Value, key: &str, into: &mut Vec<&'a Value>) {
    match v {
        Value::Object(o) => {
            into.extend(o.get(key).filter(|x| !x.is_null()));
            o.values().for_each(|x| all(x, key, into));
        }
        Value::Array(a) => a.iter().for_each(|x| all(x, key, into)),
        _ => {}
    }
}

fn under<'a>(v: &'a Value, key: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    all(v, key, &mut found);
    found
}

fn service_names(job: &JobSpec) -> Vec<String> {
    under(&job.value(), "Services")
        .into_iter()
        .filter_map(Value::as_array)
        .flatten()
        .map(|s| s["Name"].as_str().unwrap_or_default().to_string())
        .collect()
}

/// What holds for shadow and standby alike.
fn apart(copy: &JobSpec, live: &JobSpec, portion: &PortionPolicy) -> Result<(), TestCaseError> {
    prop_assert!(copy.id().as_str().starts_with("foreshadow-"));
    prop_assert_ne!(copy.id(), live.id());
    let spec = copy.value();
    prop_assert_eq!(&spec["Datacenters"], &json!(["provider-a"]));
    let production = service_names(live);
    for name in service_names(copy) {
        prop_assert!(!production.contains(&name), "{} is production's", name);
    }
    for gone in [
        "Tags",
        "CanaryTags",
        "Update",
        "Canary",
        "JobModifyIndex",
        "Version",
    ] {
        prop_assert!(under(&spec, gone).is_empty(), "{} is left", gone);
    }
    let groups: Vec<&str> = copy.groups().filter_map(|g| g["Name"].as_str()).collect();
    let wanted: Vec<&str> = portion.groups.iter().map(Group::as_str).collect();
    prop_assert_eq!(groups, wanted);
    for group in copy.groups() {
        prop_assert!(group.get("Migrate").is_none() && group.get("Scaling").is_none());
        prop_assert_eq!(group["Count"].as_u64(), Some(1));
        let bound =
            json!({"LTarget": "${node.unique.name}", "RTarget": "provider-a-2", "Operand": "="});
        let bound = Json::from(bound);
        prop_assert!(list(group, "Constraints").any(|c| c == &bound));
    }
    let operands = under(&spec, "Operand");
    prop_assert!(!operands.contains(&&json!("distinct_hosts")));
    let release = derive::release(live, &portion.groups);
    prop_assert_eq!(copy.meta("foreshadow_release"), Some(release.as_str()));
    prop_assert_eq!(
        copy.meta("release"),
        live.meta("release"),
        "tasks may read the job's own meta"
    );
    Ok(())
}

fn some_groups() -> impl Strategy<Value = Vec<Group>> {
    prop::sample::subsequence(GROUPS.to_vec(), 1..=5)
        .prop_map(|names| names.into_iter().map(Group::from).collect())
}

/// Fields of a Nomad that does not exist yet, at every level.
fn odd() -> impl Strategy<Value = (String, Value)> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z]{0,8}".prop_map(Value::from),
        Just(Value::Null),
    ];
    let value = leaf.prop_recursive(2, 8, 3, |inner| {
        prop::collection::vec(inner, 0..3).prop_map(Value::from)
    });
    ("Later[A-Z][a-z]{2,6}", value)
}

proptest! {
    #[test]
    fn a_shadow_shares_neither_name_nor_tag_nor_rank_with_production(groups in some_groups(), priority in 1u64..100, stub in any::<bool>()) {
        let mut live = shop();
        live.edit()["Priority"] = json!(priority);
        let upstreams = if stub { Upstreams::Stub } else { Upstreams::ProductionReadonly };
        let portion = policy(groups, upstreams);
        let copy = shadow(&live, &portion);
        apart(&copy, &live, &portion)?;
        prop_assert!(copy.0["Priority"].as_u64().is_some_and(|p| p <= 40));
        for group in copy.groups() {
            prop_assert_eq!(group["RestartPolicy"]["Attempts"].as_u64(), Some(0));
            prop_assert_eq!(group["ReschedulePolicy"]["Attempts"].as_u64(), Some(0));
            prop_assert_eq!(group["ReschedulePolicy"]["Unlimited"].as_bool(), Some(false));
            for task in list(group, "Tasks") {
                let stubbed = task["Env"]["FORESHADOW_UPSTREAMS"].as_str() == Some("stub");
                prop_assert_eq!(stubbed, stub);
            }
        }
        prop_assert_eq!(copy.meta("foreshadow_shadow"), Some("true"), "the reaper's mark");
        prop_assert_eq!(copy.meta("foreshadow_portion"), Some(portion.id.as_str()));
        let deadline: i64 = copy.meta("foreshadow_deadline").and_then(|d| d.parse().ok()).expect("a deadline");
        prop_assert!(deadline > common::NOW.0);
    }

    #[test]
    fn a_standby_has_its_own_name_and_is_kept_running_as_the_live_job_is(groups in some_groups(), priority in 1u64..100) {
        let mut live = shop();
        live.edit()["Priority"] = json!(priority);
        let portion = policy(groups, Upstreams::Stub);
        let copy = standby(&live, &portion);
        apart(&copy, &live, &portion)?;
        prop_assert_eq!(copy.priority(), priority);
        prop_assert_eq!(copy.meta("foreshadow_standby"), Some(portion.id.as_str()));
        prop_assert_eq!(copy.meta("foreshadow_shadow"), None, "the reaper must not take it");
        for group in copy.groups() {
            prop_assert_eq!(group["RestartPolicy"]["Attempts"].as_u64(), Some(3));
            prop_assert_eq!(group["ReschedulePolicy"]["Unlimited"].as_bool(), Some(true));
        }
    }

    #[test]
    fn fields_that_are_not_known_survive_at_every_level((key, value) in odd()) {
        let mut live = shop();
        for path in ["", "/TaskGroups/0", "/TaskGroups/0/Tasks/0", "/TaskGroups/0/Services/0"] {
            live.edit().pointer_mut(path).expect("a level")[&key] = value.clone();
        }
        let portion = policy(vec!["web".into()], Upstreams::Stub);
        for copy in [shadow(&live, &portion), standby(&live, &portion)] {
            let spec = copy.value();
            prop_assert_eq!(&spec["FieldOfALaterNomad"], &json!({"kept": true}));
            for path in ["", "/TaskGroups/0", "/TaskGroups/0/Tasks/0", "/TaskGroups/0/Services/0"] {
                prop_assert_eq!(&spec.pointer(path).expect("the level")[&key], &value, "at {}", path);
            }
            prop_assert_eq!(&spec["TaskGroups"][0]["ShutdownDelay"], &json!(5));
        }
    }

    #[test]
    fn what_is_no_job_is_an_error_and_never_a_panic((_, value) in odd(), level in 0usize..5) {
        let portion = policy(vec!["web".into()], Upstreams::Stub);
        let live = match level {
            0 => value,
            1 => json!({"TaskGroups": value}),
            2 => json!({"TaskGroups": [value]}),
            3 => json!({"ID": value, "Meta": value, "TaskGroups": [{"Name": "web", "Tasks": value, "Services": value}]}),
            _ => json!({"TaskGroups": [{"Name": "web", "Constraints": value, "Tasks": [{"Env": value, "Services": [value]}]}]}),
        };
        let live = JobSpec::new(live);
        let made = derive::shadow(&live, &portion, &place(), &"s".into(), common::NOW);
        prop_assert_eq!(made.is_ok(), level > 2, "{:?}", made);
        prop_assert_eq!(derive::standby(&live, &portion, &place(), 1).is_ok(), level > 2);
        derive::release(&live, &portion.groups);
    }
}

#[test]
fn a_constraint_to_a_kind_of_host_is_kept_and_one_that_spreads_is_not() {
    let portion = policy(vec!["web".into()], Upstreams::Stub);
    let copy = shadow(&shop(), &portion);
    let constraints: Vec<&Json> = list(&copy.0, "Constraints").collect();
    assert_eq!(constraints.len(), 1);
    assert_eq!(
        constraints[0]["LTarget"].as_str(),
        Some("${attr.kernel.name}")
    );
}

#[test]
fn a_service_called_origin_becomes_the_shadows_or_the_standbys() {
    let portion = policy(vec!["web".into()], Upstreams::Stub);
    let names = service_names(&shadow(&shop(), &portion));
    assert_eq!(
        names,
        ["shop-web-shadow-web-1", "shop-web-admin-shadow-web-1"]
    );
    let names = service_names(&standby(&shop(), &portion));
    assert_eq!(names, ["shop-web-standby", "shop-web-admin-standby"]);
}

#[test]
fn the_release_changes_with_what_runs_and_not_with_where_or_how_many() {
    let groups: [Group; 1] = ["web".into()];
    let base = derive::release(&shop(), &groups);
    let changed = |path: &str, value: Value| {
        let mut job = shop();
        *job.edit().pointer_mut(path).expect("a field") = value;
        derive::release(&job, &groups) != base
    };
    for (path, value) in [
        ("/TaskGroups/0/Tasks/0/Config/args", json!(["web", "--new"])),
        ("/TaskGroups/0/Tasks/0/Env", json!({"GROUP": "other"})),
        ("/TaskGroups/0/Tasks/0/Driver", json!("docker")),
        ("/Meta/release", json!("2")),
    ] {
        assert!(changed(path, value), "{path}");
    }
    for (path, value) in [
        ("/TaskGroups/0/Count", json!(9)),
        ("/Datacenters", json!(["provider-a"])),
        ("/JobModifyIndex", json!(99)),
        ("/Priority", json!(70)),
        (
            "/TaskGroups/1/Tasks/0/Env",
            json!({"GROUP": "another group"}),
        ),
    ] {
        assert!(!changed(path, value), "{path}");
    }
}

#[test]
fn a_copy_of_a_copy_runs_the_same_release() {
    let portion = policy(vec!["web".into()], Upstreams::ProductionReadonly);
    let live = shop();
    let copy = standby(&live, &portion);
    assert_eq!(
        derive::release(&copy, &portion.groups),
        derive::release(&live, &portion.groups)
    );
}

#[test]
fn jobs_recorded_from_a_real_nomad_can_be_copied() {
    for live in recorded() {
        let groups: Vec<Group> = live
            .groups()
            .filter_map(|g| g["Name"].as_str())
            .map(Group::from)
            .collect();
        let portion = policy(groups, Upstreams::Stub);
        for copy in [shadow(&live, &portion), standby(&live, &portion)] {
            apart(&copy, &live, &portion).unwrap_or_else(|e| panic!("{}: {e}", live.id()));
        }
    }
}
