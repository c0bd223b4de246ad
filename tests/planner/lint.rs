//! The linter finds every way in which a derived job could touch production, and nothing in what `derive` makes.

use crate::common;
use crate::estate::{GROUPS, shop};
use foreshadow::model::*;
use foreshadow::planner::derive;
use foreshadow::planner::lint::{Finding, lint, sentence};
use proptest::prelude::*;
use serde_json::{Value, json};

fn room() -> Resources {
    Resources {
        cpu: Mhz(1e6),
        memory: MiB(1e6),
        disk: MiB(1e6),
        ..Resources::default()
    }
}

fn shadow(live: &JobSpec, groups: Vec<Group>) -> JobSpec {
    let model = common::policy().portions.remove(0);
    let portion = PortionPolicy {
        id: groups[0].as_str().into(),
        groups,
        ..model
    };
    let (node, deadline) = (common::node("provider-a", 2), common::NOW + Span::secs(45));
    derive::shadow(live, &portion, &node, &"web-1".into(), deadline).expect("a shadow")
}

fn fronts() -> Vec<ServiceName> {
    vec!["shop-web".into()]
}

/// The one finding after a change at a path of a shadow that has none.
fn after(path: &str, value: Value) -> Vec<Finding> {
    let live = shop();
    let mut job = shadow(&live, vec!["web".into()]);
    assert_eq!(lint(&job, &live, &fronts(), &room()), []);
    let (parent, key) = path.rsplit_once('/').expect("a path");
    job.edit().pointer_mut(parent).expect("the level")[key] = value;
    lint(&job, &live, &fronts(), &room())
}

#[test]
fn each_rule_is_found_where_it_is_broken_and_said_in_words() {
    let group = "/TaskGroups/0";
    let at = |path: &str| format!("{group}/{path}");
    let cases: Vec<(String, Value, &str)> = vec![
        ("/ID".into(), json!("shop"), "its ID \"shop\""),
        ("/Priority".into(), json!(41), "priority 41"),
        ("/Priority".into(), Value::Null, "priority 50"),
        (
            "/Meta/foreshadow_shadow".into(),
            json!("yes"),
            "no foreshadow_shadow",
        ),
        (
            "/Meta/foreshadow_deadline".into(),
            json!("soon"),
            "no foreshadow_deadline",
        ),
        ("/Update".into(), json!({"Canary": 1}), "canary"),
        (at("Update"), json!({"Canary": 1}), "canary"),
        (
            at("Services/0/Name"),
            json!("shop-web"),
            "service name shop-web",
        ),
        (
            at("Services/0/Name"),
            json!("shop-web-origin"),
            "service name shop-web-origin",
        ),
        (
            at("Services/0/Tags"),
            json!(["traefik.enable=true"]),
            "tags on service",
        ),
        (at("Services/0/CanaryTags"), json!(["x"]), "tags on service"),
        (at("RestartPolicy"), Value::Null, "restarted"),
        (at("ReschedulePolicy/Unlimited"), json!(true), "rescheduled"),
        (
            at("Volumes"),
            json!({"data": {"Type": "host", "Source": "data", "ReadOnly": false}}),
            "volume data",
        ),
        (
            at("Volumes"),
            json!({"data": {"Type": "csi", "Source": "data"}}),
            "volume data",
        ),
        (at("EphemeralDisk/Sticky"), json!(true), "sticky disk"),
        (at("EphemeralDisk/Migrate"), json!(true), "sticky disk"),
        (
            at("Tasks/0/LogConfig"),
            json!({"MaxFiles": 100, "MaxFileSizeMB": 100}),
            "log files",
        ),
        (
            at("Tasks/0/Config/volumes"),
            json!(["/srv/data:/data"]),
            "/srv/data:/data",
        ),
        (
            at("Tasks/0/Config/mount"),
            json!([{"type": "volume", "source": "db"}]),
            "volume db",
        ),
        (
            at("Tasks/0/Config/mounts"),
            json!([{"type": "bind", "source": "/srv"}]),
            "bind /srv",
        ),
    ];
    for (path, value, words) in cases {
        let found = after(&path, value);
        let said = sentence(&found).unwrap_or_default();
        assert_eq!(found.len(), 1, "{path}: {said}");
        assert!(said.contains(words), "{path}: {said}");
    }
}

#[test]
fn what_only_reads_or_stays_in_its_own_folder_is_no_finding() {
    let config = "/TaskGroups/0/Tasks/0/Config";
    for (path, value) in [
        (
            "/TaskGroups/0/Volumes".into(),
            json!({"data": {"Type": "host", "Source": "data", "ReadOnly": true}}),
        ),
        (
            format!("{config}/volumes"),
            json!(["/srv/data:/data:ro", "local/conf:/etc/app"]),
        ),
        (
            format!("{config}/mount"),
            json!([{"type": "tmpfs"}, {"type": "bind", "source": "/srv", "readonly": true}]),
        ),
        (
            format!("{config}/mounts"),
            json!([{"type": "bind", "source": "local/x"}]),
        ),
    ] {
        assert_eq!(after(&path, value), [], "{path}");
    }
}

#[test]
fn a_shadow_that_needs_more_than_its_node_has_left_says_what_and_how_much() {
    let live = shop();
    let job = shadow(&live, vec!["web".into()]);
    let free = Resources {
        memory: MiB(1.0),
        ..room()
    };
    let found = lint(&job, &live, &fronts(), &free);
    assert!(matches!(found[..], [Finding::Room("MiB of memory", asked, 1.0)] if asked > 1.0));
}

proptest! {
    #[test]
    fn whatever_is_derived_from_a_sound_job_keeps_every_rule(
        names in prop::sample::subsequence(GROUPS.to_vec(), 1..=5),
        priority in 1u64..100,
        canary in 0u64..3,
        tags in prop::collection::vec("[a-z.=]{1,12}", 0..3),
    ) {
        let mut live = shop();
        live.edit()["Priority"] = json!(priority);
        live.edit()["Update"] = json!({"Canary": canary});
        for group in live.edit()["TaskGroups"].as_array_mut().expect("groups") {
            group["Update"] = json!({"Canary": canary});
            if let Some(service) = group.pointer_mut("/Services/0") {
                service["Tags"] = json!(tags);
                service["CanaryTags"] = json!(tags);
            }
        }
        // Those that write to a volume are not shadowed at all.
        let writes = |name: &str| live.groups()
            .any(|g| g["Name"].as_str() == Some(name) && g["Volumes"].as_object().is_some());
        let groups: Vec<Group> = names.into_iter().filter(|n| !writes(n)).map(Group::from).collect();
        prop_assume!(!groups.is_empty());
        let all = groups.iter().map(|g| ServiceName::new(format!("shop-{g}")));
        let fronts: Vec<ServiceName> = all.collect();
        let job = shadow(&live, groups);
        prop_assert_eq!(lint(&job, &live, &fronts, &room()), vec![]);
        // The live job itself is none: every test of it must find something.
        prop_assert!(lint(&live, &live, &fronts, &room()).len() >= 4);
    }
}
