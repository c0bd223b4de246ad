//! A Nomad job as Nomad's API gives it. Kept as JSON, so that fields of newer Nomads survive a round trip.

use super::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobSpec(pub Value);

impl JobSpec {
    pub fn id(&self) -> JobId {
        JobId::new(self.text("ID"))
    }
    pub fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or("")
    }
    pub fn modify_index(&self) -> u64 {
        self.0
            .get("JobModifyIndex")
            .and_then(Value::as_u64)
            .unwrap_or(0)
    }
    /// 1 to 100; Nomad's default is 50.
    pub fn priority(&self) -> u64 {
        self.0.get("Priority").and_then(Value::as_u64).unwrap_or(50)
    }
    pub fn stopped(&self) -> bool {
        self.0.get("Stop").and_then(Value::as_bool).unwrap_or(false)
    }
    pub fn meta(&self, key: &str) -> Option<&str> {
        self.0.get("Meta")?.get(key)?.as_str()
    }
    pub fn groups(&self) -> impl Iterator<Item = &Value> {
        list(&self.0, "TaskGroups")
    }
    pub fn group(&self, name: &Group) -> Option<&Value> {
        self.groups()
            .find(|g| g.get("Name").and_then(Value::as_str) == Some(name.as_str()))
    }
    pub fn count(&self, name: &Group) -> u64 {
        self.group(name)
            .and_then(|g| g.get("Count"))
            .and_then(Value::as_u64)
            .unwrap_or(1)
    }
    /// What one allocation of the group asks for: its tasks' CPU and memory, its disk, its bandwidth.
    pub fn needs(&self, name: &Group) -> Resources {
        let Some(group) = self.group(name) else {
            return Resources::default();
        };
        let mut sum = Resources {
            disk: MiB(number(
                group.get("EphemeralDisk").unwrap_or(&Value::Null),
                "SizeMB",
            )),
            ..Resources::default()
        };
        for network in list(group, "Networks") {
            sum.network = sum.network + Mbps(number(network, "MBits"));
        }
        for task in list(group, "Tasks") {
            if let Some(r) = task.get("Resources") {
                sum.cpu = sum.cpu + Mhz(number(r, "CPU"));
                sum.memory = sum.memory + MiB(number(r, "MemoryMB"));
                for network in list(r, "Networks") {
                    sum.network = sum.network + Mbps(number(network, "MBits"));
                }
            }
        }
        sum
    }
}

impl JobSpec {
    /// Host volumes that an allocation of the group mounts, by the name that nodes offer them under.
    pub fn host_volumes(&self, name: &Group) -> BTreeSet<String> {
        let of_hosts = |v: &&Value| v.get("Type").and_then(Value::as_str) == Some("host");
        sources(self.volumes(name).filter(of_hosts))
    }
    /// Volumes of any type that the group may write to, by their source: CSI volumes hold data as host volumes do.
    pub fn written_volumes(&self, name: &Group) -> BTreeSet<String> {
        let written = |v: &&Value| v.get("ReadOnly").and_then(Value::as_bool) != Some(true);
        sources(self.volumes(name).filter(written))
    }
    /// What Nomad calls the type of the group's volume with this source: `host` or `csi`.
    pub fn volume_type(&self, name: &Group, source: &str) -> &str {
        let of = |v: &&Value| v.get("Source").and_then(Value::as_str) == Some(source);
        let found = self.volumes(name).find(of).and_then(|v| v.get("Type"));
        found.and_then(Value::as_str).unwrap_or("host")
    }
    fn volumes(&self, name: &Group) -> impl Iterator<Item = &Value> {
        let volumes = self.group(name).and_then(|g| g.get("Volumes")?.as_object());
        volumes.into_iter().flat_map(|v| v.values())
    }
}

fn sources<'a>(volumes: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    let named = volumes.filter_map(|v| v.get("Source").and_then(Value::as_str));
    named.map(str::to_string).collect()
}

/// The items of a list field; a missing or `null` list is empty, as Nomad means it.
pub fn list<'a>(v: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    v.get(key)
        .and_then(Value::as_array)
        .map(|a| a.iter())
        .unwrap_or_default()
}

fn number(v: &Value, key: &str) -> f64 {
    v.get(key).and_then(Value::as_f64).unwrap_or(0.0)
}
