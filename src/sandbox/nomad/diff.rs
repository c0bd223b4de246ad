//! Differences of two versions of a job, as `plan` and `versions?diffs=true` show them.

use super::json::*;
use super::scheduler::Updates;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const NONE: &Value = &Value::Null;

/// The difference from one version of a job to another; a missing one makes it `Added` or `Deleted`.
pub fn job(old: Option<&Value>, new: Option<&Value>) -> Value {
    let (old, new) = (old.unwrap_or(NONE), new.unwrap_or(NONE));
    let hidden = [
        "ID",
        "Status",
        "StatusDescription",
        "Version",
        "Stable",
        "CreateIndex",
        "ModifyIndex",
        "JobModifyIndex",
        "SubmitTime",
        "NomadTokenID",
        "VaultToken",
        "ConsulToken",
        "VaultNamespace",
    ];
    let mut fields = fields(old, new, &hidden, false);
    fields.extend(map_fields(old, new, "Meta"));
    sort(&mut fields);
    let mut objects = Vec::new();
    objects.extend(set(old, new, "Datacenters", "Datacenters", false));
    objects.extend(terms(old, new));
    let groups: Vec<Value> = pairs(old, new, "TaskGroups")
        .into_iter()
        .map(|(o, n)| group(o, n))
        .collect();
    let changed = !fields.is_empty()
        || !objects.is_empty()
        || groups.iter().any(|g| text(g, "Type") != "None");
    json!({"Fields": or_none(fields), "ID": text(if new.is_null() { old } else { new }, "ID"), "Objects": or_none(objects),
        "TaskGroups": or_none(groups), "Type": kind(old, new, changed)})
}

fn group(old: &Value, new: &Value) -> Value {
    let mut fields = fields(old, new, &["Name"], false);
    fields.extend(map_fields(old, new, "Meta"));
    sort(&mut fields);
    let mut objects = terms(old, new);
    for name in [
        "RestartPolicy",
        "ReschedulePolicy",
        "EphemeralDisk",
        "Update",
    ] {
        let hidden: &[&str] = if name == "Update" { &["Stagger"] } else { &[] };
        objects.extend(object(&old[name], &new[name], name, hidden));
    }
    objects.extend(by_position(old, new, "Networks", network));
    objects.extend(by_name(old, new, "Services", service));
    let volumes: BTreeSet<&String> = entries(old, "Volumes")
        .chain(entries(new, "Volumes"))
        .map(|(k, _)| k)
        .collect();
    objects.extend(volumes.into_iter().filter_map(|k| {
        object(
            &old["Volumes"][k],
            &new["Volumes"][k],
            "Volume",
            &["MountOptions"],
        )
    }));
    let tasks: Vec<Value> = pairs(old, new, "Tasks")
        .into_iter()
        .map(|(o, n)| task(o, n))
        .collect();
    // A group may differ in what is not shown; a scaling policy's ID is not its own.
    let own = |group: &Value| {
        let mut group = group.clone();
        if let Some(Value::Object(policy)) = group.get_mut("Scaling") {
            policy.retain(|k, _| !["ID", "CreateIndex", "ModifyIndex"].contains(&k.as_str()));
        }
        group
    };
    let changed = own(old) != own(new);
    json!({"Fields": or_none(fields), "Name": name_of(old, new), "Objects": or_none(objects), "Tasks": or_none(tasks),
        "Type": kind(old, new, changed), "Updates": null})
}

fn task(old: &Value, new: &Value) -> Value {
    let mut fields = fields(old, new, &["Name"], false);
    fields.extend(map_fields(old, new, "Env"));
    fields.extend(map_fields(old, new, "Meta"));
    sort(&mut fields);
    let mut objects = Vec::new();
    objects.extend(config(&old["Config"], &new["Config"]));
    objects.extend(object(
        &old["Resources"],
        &new["Resources"],
        "Resources",
        &[],
    ));
    objects.extend(terms(old, new));
    objects.extend(object(
        &old["LogConfig"],
        &new["LogConfig"],
        "LogConfig",
        &[],
    ));
    objects.extend(by_name(old, new, "Services", service));
    objects.extend(by_position(old, new, "Templates", |o, n| {
        object(o, n, "Template", &[])
    }));
    objects.extend(by_position(old, new, "VolumeMounts", |o, n| {
        object(o, n, "VolumeMount", &[])
    }));
    // A task may differ in what is not shown.
    let changed = old != new;
    json!({"Annotations": null, "Fields": or_none(fields), "Name": name_of(old, new), "Objects": or_none(objects), "Type": kind(old, new, changed)})
}

fn terms(old: &Value, new: &Value) -> Vec<Value> {
    let mut out = Vec::new();
    for (key, name) in [
        ("Constraints", "Constraint"),
        ("Affinities", "Affinity"),
        ("Spreads", "Spread"),
    ] {
        let (before, after) = (list(old, key), list(new, key));
        out.extend(
            after
                .iter()
                .filter(|t| !before.contains(t))
                .filter_map(|t| object(NONE, t, name, &[])),
        );
        out.extend(
            before
                .iter()
                .filter(|t| !after.contains(t))
                .filter_map(|t| object(t, NONE, name, &[])),
        );
    }
    out
}

fn network(old: &Value, new: &Value) -> Option<Value> {
    let mut ports = Vec::new();
    for (key, name, hidden) in [
        ("ReservedPorts", "Static Port", &[][..]),
        ("DynamicPorts", "Dynamic Port", &["Value"][..]),
    ] {
        ports.extend(
            matched(old, new, key, "Label")
                .into_iter()
                .filter_map(|(o, n)| object(o, n, name, hidden)),
        );
    }
    nested(old, new, "Network", &["Device", "CIDR", "IP"], ports)
}

fn service(old: &Value, new: &Value) -> Option<Value> {
    let mut inner: Vec<Value> = set(old, new, "Tags", "Tags", true).into_iter().collect();
    inner.extend(set(old, new, "CanaryTags", "CanaryTags", true));
    inner.extend(by_name(old, new, "Checks", |o, n| {
        nested(o, n, "Check", &["Id"], Vec::new())
    }));
    for (key, name) in [
        ("Connect", "ConsulConnect"),
        ("Meta", "Meta"),
        ("Weights", "Weights"),
    ] {
        inner.extend(object(&old[key], &new[key], name, &[]));
    }
    nested(old, new, "Service", &["Id"], inner)
}

/// An object whose every field is shown when anything in it differs.
fn nested(
    old: &Value,
    new: &Value,
    name: &str,
    hidden: &[&str],
    inner: Vec<Value>,
) -> Option<Value> {
    let changed = !fields(old, new, hidden, false).is_empty() || !inner.is_empty();
    if !changed && !(old.is_null() ^ new.is_null()) {
        return None;
    }
    let fields = fields(old, new, hidden, true);
    Some(
        json!({"Fields": or_none(fields), "Name": name, "Objects": or_none(inner), "Type": kind(old, new, changed)}),
    )
}

fn object(old: &Value, new: &Value, name: &str, hidden: &[&str]) -> Option<Value> {
    nested(old, new, name, hidden, Vec::new())
}

/// A driver's config: every leaf under its own name.
fn config(old: &Value, new: &Value) -> Option<Value> {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    leaves(old, "", &mut before);
    leaves(new, "", &mut after);
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let get = |m: &BTreeMap<String, String>, k: &String| m.get(k).cloned().unwrap_or_default();
    let fields: Vec<Value> = keys
        .iter()
        .map(|k| {
            field(
                k,
                &get(&before, k),
                &get(&after, k),
                before.contains_key(*k),
                after.contains_key(*k),
            )
        })
        .collect();
    let changed = fields.iter().any(|f| text(f, "Type") != "None");
    changed.then(|| json!({"Fields": fields, "Name": "Config", "Objects": null, "Type": kind(old, new, true)}))
}

fn leaves(v: &Value, path: &str, out: &mut BTreeMap<String, String>) {
    match v {
        Value::Object(map) => map.iter().for_each(|(k, v)| {
            leaves(
                v,
                &if path.is_empty() {
                    k.clone()
                } else {
                    format!("{path}.{k}")
                },
                out,
            )
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(i, v)| leaves(v, &format!("{path}[{i}]"), out)),
        Value::Null => {}
        leaf => drop(out.insert(path.into(), plain(leaf).unwrap_or_default())),
    }
}

/// The plain fields of an object that differ; with `all`, also those that do not.
fn fields(old: &Value, new: &Value, hidden: &[&str], all: bool) -> Vec<Value> {
    let empty = Map::new();
    let (before, after) = (
        old.as_object().unwrap_or(&empty),
        new.as_object().unwrap_or(&empty),
    );
    let keys: BTreeSet<&String> = before
        .keys()
        .chain(after.keys())
        .filter(|k| !hidden.contains(&k.as_str()))
        .collect();
    let mut out = Vec::new();
    for key in keys {
        let (o, n) = (
            before.get(key).and_then(plain),
            after.get(key).and_then(plain),
        );
        if o.is_none() && n.is_none() {
            continue;
        }
        let field = field(
            key,
            o.as_deref().unwrap_or(""),
            n.as_deref().unwrap_or(""),
            o.is_some(),
            n.is_some(),
        );
        if all || text(&field, "Type") != "None" {
            out.push(field);
        }
    }
    out
}

fn field(name: &str, old: &str, new: &str, had: bool, has: bool) -> Value {
    let kind = match (old == new, had, has) {
        (true, ..) => "None",
        (_, false, _) => "Added",
        (_, _, false) => "Deleted",
        _ if old.is_empty() => "Added",
        _ if new.is_empty() => "Deleted",
        _ => "Edited",
    };
    json!({"Annotations": null, "Name": name, "New": new, "Old": old, "Type": kind})
}

fn map_fields(old: &Value, new: &Value, key: &str) -> Vec<Value> {
    let rename = |v: &Value| -> Value {
        texts(v, key)
            .map(|(k, v)| (format!("{key}[{k}]"), Value::from(v)))
            .collect::<Map<_, _>>()
            .into()
    };
    fields(&rename(old), &rename(new), &[], false)
}

/// A list of texts as a set: what came, what went, and with `quiet` nothing of what stayed.
fn set(old: &Value, new: &Value, key: &str, name: &str, quiet: bool) -> Option<Value> {
    let (before, after) = (list(old, key), list(new, key));
    let words = |v: &Value| v.as_str().unwrap_or("").to_string();
    let mut fields: Vec<Value> = after
        .iter()
        .filter(|t| !before.contains(t))
        .map(|t| field(name, "", &words(t), false, true))
        .collect();
    fields.extend(
        before
            .iter()
            .filter(|t| !after.contains(t))
            .map(|t| field(name, &words(t), "", true, false)),
    );
    if fields.is_empty() {
        return None;
    }
    if !quiet {
        fields.extend(
            after
                .iter()
                .filter(|t| before.contains(t))
                .map(|t| field(name, &words(t), &words(t), true, true)),
        );
    }
    fields.sort_by_key(|f| (text(f, "Old").to_string(), text(f, "New").to_string()));
    let came = after.iter().any(|t| !before.contains(t));
    let went = before.iter().any(|t| !after.contains(t));
    let kind = match (came, went) {
        (true, false) => "Added",
        (false, true) => "Deleted",
        _ => "Edited",
    };
    Some(json!({"Fields": fields, "Name": name, "Objects": null, "Type": kind}))
}

fn plain(v: &Value) -> Option<String> {
    match v {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

fn kind(old: &Value, new: &Value, changed: bool) -> &'static str {
    match (old.is_null(), new.is_null(), changed) {
        (true, false, _) => "Added",
        (false, true, _) => "Deleted",
        (_, _, true) => "Edited",
        _ => "None",
    }
}

fn sort(fields: &mut [Value]) {
    fields.sort_by(|a, b| text(a, "Name").cmp(text(b, "Name")));
}

fn or_none(items: Vec<Value>) -> Value {
    if items.is_empty() {
        Value::Null
    } else {
        items.into()
    }
}

fn name_of(old: &Value, new: &Value) -> Value {
    text(if new.is_null() { old } else { new }, "Name").into()
}

/// Items of both lists that have the same `name`, sorted by it.
fn matched<'a>(
    old: &'a Value,
    new: &'a Value,
    key: &str,
    name: &str,
) -> Vec<(&'a Value, &'a Value)> {
    let names: BTreeSet<&str> = list(old, key)
        .iter()
        .chain(list(new, key))
        .map(|v| text(v, name))
        .collect();
    let find = |side: &'a Value, wanted: &str| {
        list(side, key)
            .iter()
            .find(|v| text(v, name) == wanted)
            .unwrap_or(NONE)
    };
    names
        .into_iter()
        .map(|n| (find(old, n), find(new, n)))
        .collect()
}

fn pairs<'a>(old: &'a Value, new: &'a Value, key: &str) -> Vec<(&'a Value, &'a Value)> {
    matched(old, new, key, "Name")
}

fn by_name(
    old: &Value,
    new: &Value,
    key: &str,
    each: impl Fn(&Value, &Value) -> Option<Value>,
) -> Vec<Value> {
    pairs(old, new, key)
        .into_iter()
        .filter_map(|(o, n)| each(o, n))
        .collect()
}

fn by_position(
    old: &Value,
    new: &Value,
    key: &str,
    each: impl Fn(&Value, &Value) -> Option<Value>,
) -> Vec<Value> {
    let (before, after) = (list(old, key), list(new, key));
    (0..before.len().max(after.len()))
        .filter_map(|i| each(before.get(i).unwrap_or(NONE), after.get(i).unwrap_or(NONE)))
        .collect()
}

/// Say in the difference what it leads to, as `plan` does.
pub fn annotated(mut diff: Value, updates: &BTreeMap<String, Updates>) -> Value {
    for group in objects_mut(&mut diff, "TaskGroups") {
        if let Some(u) = updates.get(text(group, "Name")) {
            let words = [
                ("canary", u.canary),
                ("create", u.place),
                ("migrate", u.migrate),
                ("destroy", u.stop),
                ("in-place update", u.in_place),
                ("create/destroy update", u.destructive),
                ("ignore", u.ignore),
            ];
            let told = words.iter().filter(|(_, n)| *n > 0);
            let told = told.map(|(w, n)| ((*w).to_string(), Value::from(*n)));
            group["Updates"] = told.collect::<Map<_, _>>().into();
        }
        let group_kind = text(group, "Type").to_string();
        for field in objects_mut(group, "Fields") {
            if text(field, "Name") == "Count" {
                let number = |key| text(field, key).parse::<i64>().unwrap_or(0);
                let word = if number("New") > number("Old") {
                    "forces create"
                } else {
                    "forces destroy"
                };
                field["Annotations"] = json!([word]);
            }
        }
        for task in objects_mut(group, "Tasks") {
            let word = match (group_kind.as_str(), text(task, "Type")) {
                (_, "None") => continue,
                ("Added", _) => "forces create",
                ("Deleted", _) => "forces destroy",
                _ if list(task, "Fields")
                    .iter()
                    .any(|f| text(f, "Name") != "KillTimeout") =>
                {
                    "forces create/destroy update"
                }
                _ if list(task, "Objects").iter().any(|o| {
                    !["LogConfig", "Service", "Constraint"].contains(&text(o, "Name"))
                }) =>
                {
                    "forces create/destroy update"
                }
                _ => "forces in-place update",
            };
            task["Annotations"] = json!([word]);
        }
    }
    diff
}
