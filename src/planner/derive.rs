//! Derives a shadow's or a standby's job from the live one. Pure; what a shadow may not share is taken out here.

use super::instances::{META_RELEASE, META_SHADOW, META_STANDBY};
use super::lint::META_DEADLINE;
use crate::model::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Shadows yield to everything: preemption needs a gap of 10 from the default 50.
const SHADOW_PRIORITY: u64 = 30;

/// A digest (FNV-1a, 64 bit) of what the groups run. Counts, datacenters and placement do not make a release.
pub fn release(job: &JobSpec, groups: &[Group]) -> Release {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for group in groups.iter().filter_map(|g| job.group(g)) {
        for task in list(group, "Tasks") {
            for key in ["Name", "Driver", "Config", "Env", "Artifacts", "Templates"] {
                let text = task.get(key).map(Json::to_string).unwrap_or_default();
                for byte in key.bytes().chain(text.bytes()) {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
    }
    let version = job
        .meta("release")
        .map(|r| format!("{r}-"))
        .unwrap_or_default();
    Release::new(format!("{version}{:08x}", hash >> 32))
}

/// Shadows that call each other in production's stead.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Among {
    /// What their services' names end with.
    pub suffix: String,
    /// Production's names, and theirs; none for a shadow that runs alone.
    pub names: BTreeMap<String, String>,
}

/// What the names of a shadow's services end with.
pub fn suffix(id: &ShadowId) -> String {
    format!("shadow-{id}")
}

/// A full, isolated copy of the portion on one node of the wanted kind: own ID, service names and priority; no production
/// tags, canaries or spread; never restarted or rescheduled; upstreams pointed away where the policy says so.
pub fn shadow(
    live: &JobSpec,
    portion: &PortionPolicy,
    node: &Node,
    id: &ShadowId,
    deadline: Moment,
) -> Result<JobSpec, String> {
    let alone = Among {
        suffix: suffix(id),
        names: BTreeMap::new(),
    };
    among(live, portion, node, id, deadline, &alone)
}

/// The same of one of several that run together: where its tasks name a service of another one, they name the shadow's.
pub fn among(
    live: &JobSpec,
    portion: &PortionPolicy,
    node: &Node,
    id: &ShadowId,
    deadline: Moment,
    others: &Among,
) -> Result<JobSpec, String> {
    let mut job = copy(live, portion, node, &format!("foreshadow-shadow-{id}"))?;
    let root = object(&mut job)?;
    root.insert("Priority".into(), json!(SHADOW_PRIORITY));
    mark(
        root,
        [
            (META_SHADOW, "true".to_string()),
            (META_RELEASE, release(live, &portion.groups).to_string()),
            ("foreshadow_portion", portion.id.to_string()),
            (META_DEADLINE, deadline.0.to_string()),
        ],
    );
    each_group(&mut job, |group| {
        group.insert("Count".into(), json!(1));
        group.insert("RestartPolicy".into(), json!({"Attempts": 0, "Interval": 5_000_000_000u64, "Delay": 1_000_000_000u64, "Mode": "fail"}));
        group.insert("ReschedulePolicy".into(), json!({"Attempts": 0, "Interval": 0, "Unlimited": false, "Delay": 30_000_000_000u64, "DelayFunction": "constant", "MaxDelay": 0}));
        rename_services(group, &others.suffix, None);
        if others.names.is_empty() && portion.upstreams == Upstreams::Stub {
            each_task(group, |task| {
                let env = task.entry("Env").or_insert_with(|| json!({}));
                if !env.is_object() {
                    *env = json!({});
                }
                env["FORESHADOW_UPSTREAMS"] = json!("stub");
            });
        }
    })?;
    if !others.names.is_empty() {
        redirect(&mut job, &others.names)?;
    }
    if !portion.stand_ins.is_empty() {
        super::standin::add(&mut job, &portion.stand_ins)?;
    }
    Ok(JobSpec::new(job))
}

/// A warm copy that may take over: own ID and service name, the live job's own priority, restarted and rescheduled as it is.
pub fn standby(
    live: &JobSpec,
    portion: &PortionPolicy,
    node: &Node,
    serial: u64,
) -> Result<JobSpec, String> {
    let id = format!("foreshadow-standby-{}-{}-{serial}", portion.id, node.name);
    let mut job = copy(live, portion, node, &id)?;
    mark(
        object(&mut job)?,
        [
            (META_STANDBY, portion.id.to_string()),
            (META_RELEASE, release(live, &portion.groups).to_string()),
        ],
    );
    each_group(&mut job, |group| {
        group.insert("Count".into(), json!(1));
        // Where clients resolve Nomad's own entries, a standby is one of them.
        let shared = portion.front.as_ref().filter(|_| !portion.owner.is_front());
        rename_services(group, "standby", shared);
    })?;
    Ok(JobSpec::new(job))
}

fn object(v: &mut Value) -> Result<&mut Map<String, Value>, String> {
    v.as_object_mut()
        .ok_or_else(|| "the live job is not a JSON object as Nomad gives it".to_string())
}

/// Our marks beside the job's own meta, which its tasks may read as `NOMAD_META_…`.
fn mark<const N: usize>(root: &mut Map<String, Value>, marks: [(&str, String); N]) {
    let meta = root.entry("Meta").or_insert_with(|| json!({}));
    if !meta.is_object() {
        *meta = json!({});
    }
    for (key, value) in marks {
        meta[key] = json!(value);
    }
}

/// One copy is bound to one node: what spreads several of them over hosts has no meaning, what asks for a kind of host has.
fn unspread(constraints: &mut Vec<Value>) {
    constraints.retain(|c| {
        let operand = c.get("Operand").and_then(Value::as_str);
        !matches!(operand, Some("distinct_hosts" | "distinct_property"))
    });
}

/// What both have in common: only the portion's groups, bound to the node, without what belongs to the live job alone.
fn copy(live: &JobSpec, portion: &PortionPolicy, node: &Node, id: &str) -> Result<Value, String> {
    let groups: Vec<Value> = portion
        .groups
        .iter()
        .map(|g| {
            live.group(g)
                .map(Value::from)
                .ok_or_else(|| format!("job {} has no group {g}", live.id()))
        })
        .collect::<Result<_, _>>()?;
    // A job may have many groups: only those that are wanted are copied.
    let fields = live.0.as_object().map(|fields| {
        let wanted = fields.iter().filter(|(key, _)| *key != "TaskGroups");
        Value::Object(wanted.map(|(k, v)| (k.to_string(), v.into())).collect())
    });
    let mut job = fields.unwrap_or_default();
    let root = object(&mut job)?;
    for own in [
        "CreateIndex",
        "ModifyIndex",
        "JobModifyIndex",
        "SubmitTime",
        "Version",
        "VersionTag",
        "Status",
        "StatusDescription",
        "Stable",
        "Periodic",
        "ParameterizedJob",
        "ParentID",
        "Dispatched",
        "Payload",
        "ConsulToken",
        "VaultToken",
        "NomadTokenID",
        "Multiregion",
        "Spreads",
        "Update",
        "Affinities",
    ] {
        root.remove(own);
    }
    if let Some(list) = root.get_mut("Constraints").and_then(Value::as_array_mut) {
        unspread(list);
    }
    root.insert("ID".into(), json!(id));
    root.insert("Name".into(), json!(id));
    root.insert("Stop".into(), json!(false));
    root.insert("Datacenters".into(), json!([node.site.as_str()]));
    root.insert("TaskGroups".into(), Value::Array(groups));
    each_group(&mut job, |group| {
        for own in ["Update", "Migrate", "Scaling", "Spreads", "Affinities"] {
            group.remove(own);
        }
        let constraint =
            json!({"LTarget": "${node.unique.name}", "RTarget": node.name, "Operand": "="});
        match group.get_mut("Constraints").and_then(Value::as_array_mut) {
            Some(list) => {
                unspread(list);
                list.push(constraint);
            }
            None => {
                group.insert("Constraints".into(), json!([constraint]));
            }
        }
    })?;
    Ok(job)
}

pub(super) fn each_group(
    job: &mut Value,
    mut f: impl FnMut(&mut Map<String, Value>),
) -> Result<(), String> {
    let groups = object(job)?
        .get_mut("TaskGroups")
        .and_then(Value::as_array_mut)
        .ok_or("the live job has no task groups")?;
    groups
        .iter_mut()
        .filter_map(Value::as_object_mut)
        .for_each(&mut f);
    Ok(())
}

pub(super) fn each_task(group: &mut Map<String, Value>, f: impl FnMut(&mut Map<String, Value>)) {
    if let Some(tasks) = group.get_mut("Tasks").and_then(Value::as_array_mut) {
        tasks
            .iter_mut()
            .filter_map(Value::as_object_mut)
            .for_each(f);
    }
}

/// `x-origin` becomes `x-<suffix>`.
pub(super) fn renamed(name: &str, suffix: &str) -> String {
    let stem = name.strip_suffix("-origin").unwrap_or(name);
    format!("{stem}-{suffix}")
}

/// Puts other names of services for those that tasks and Connect upstreams name, wherever they stand as a word.
fn redirect(job: &mut Value, names: &BTreeMap<String, String>) -> Result<(), String> {
    let connect = |owner: &mut Map<String, Value>| {
        let services = owner.get_mut("Services").and_then(Value::as_array_mut);
        for service in services.into_iter().flatten() {
            let upstreams = service.pointer_mut("/Connect/SidecarService/Proxy/Upstreams");
            let upstreams = upstreams.and_then(Value::as_array_mut);
            for upstream in upstreams.into_iter().flatten() {
                if let Some(name) = upstream.get_mut("DestinationName") {
                    reword(name, names);
                }
            }
        }
    };
    each_group(job, |group| {
        connect(group);
        each_task(group, |task| {
            connect(task);
            for key in ["Config", "Env", "Templates"] {
                if let Some(value) = task.get_mut(key) {
                    reword(value, names);
                }
            }
        });
    })
}

fn reword(v: &mut Value, names: &BTreeMap<String, String>) {
    match v {
        Value::String(text) => *text = reworded(text, names),
        Value::Array(all) => all.iter_mut().for_each(|v| reword(v, names)),
        Value::Object(all) => all.values_mut().for_each(|v| reword(v, names)),
        _ => {}
    }
}

fn reworded(text: &str, names: &BTreeMap<String, String>) -> String {
    let word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while !rest.is_empty() {
        let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        out += names.get(name).map_or(name, String::as_str);
        let next = after.find(word).unwrap_or(after.len());
        out += &after[..next];
        rest = &after[next..];
    }
    out
}

/// Production routers go by name and tag: the copy has neither. A service named `keep` stays.
fn rename_services(group: &mut Map<String, Value>, suffix: &str, keep: Option<&ServiceName>) {
    let rename = |owner: &mut Map<String, Value>| {
        let Some(services) = owner.get_mut("Services").and_then(Value::as_array_mut) else {
            return;
        };
        for service in services.iter_mut().filter_map(Value::as_object_mut) {
            let name = service
                .get("Name")
                .and_then(Value::as_str)
                .unwrap_or("service");
            let name = match keep {
                Some(keep) if keep.as_str() == name => name.to_string(),
                _ => renamed(name, suffix),
            };
            service.insert("Name".into(), json!(name));
            for own in [
                "Tags",
                "CanaryTags",
                "CanaryMeta",
                "ID",
                "Id",
                "TaggedAddresses",
                "Weights",
            ] {
                service.remove(own);
            }
        }
    };
    rename(group);
    each_task(group, rename);
}
