//! A Nomad job as Nomad's API gives it. Kept as JSON, so that fields of newer Nomads survive a round trip.

use super::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobSpec(pub Arc<Json>);

/// A job that is being changed. Done when it is let go.
pub struct Edit<'a> {
    job: &'a mut JobSpec,
    changed: Value,
}

impl Deref for Edit<'_> {
    type Target = Value;
    fn deref(&self) -> &Value {
        &self.changed
    }
}

impl DerefMut for Edit<'_> {
    fn deref_mut(&mut self) -> &mut Value {
        &mut self.changed
    }
}

impl Drop for Edit<'_> {
    fn drop(&mut self) {
        *self.job = JobSpec::new(self.changed.take());
    }
}

impl JobSpec {
    pub fn new(spec: Value) -> Self {
        Self(Arc::new(spec.into()))
    }
    /// A copy to look through or to change.
    pub fn value(&self) -> Value {
        Value::from(&*self.0)
    }
    /// The spec to be changed; copies of it stay as they are.
    pub fn edit(&mut self) -> Edit<'_> {
        Edit {
            changed: self.value(),
            job: self,
        }
    }
    pub fn id(&self) -> JobId {
        JobId::new(self.text("ID"))
    }
    pub fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Json::as_str).unwrap_or("")
    }
    pub fn modify_index(&self) -> u64 {
        self.0
            .get("JobModifyIndex")
            .and_then(Json::as_u64)
            .unwrap_or(0)
    }
    /// 1 to 100; Nomad's default is 50.
    pub fn priority(&self) -> u64 {
        self.0.get("Priority").and_then(Json::as_u64).unwrap_or(50)
    }
    pub fn stopped(&self) -> bool {
        self.0.get("Stop").and_then(Json::as_bool).unwrap_or(false)
    }
    pub fn meta(&self, key: &str) -> Option<&str> {
        self.0.get("Meta")?.get(key)?.as_str()
    }
    pub fn groups(&self) -> impl Iterator<Item = &Json> {
        list(&self.0, "TaskGroups")
    }
    pub fn group(&self, name: &Group) -> Option<&Json> {
        self.groups()
            .find(|g| g.get("Name").and_then(Json::as_str) == Some(name.as_str()))
    }
    pub fn count(&self, name: &Group) -> u64 {
        self.group(name)
            .and_then(|g| g.get("Count"))
            .and_then(Json::as_u64)
            .unwrap_or(1)
    }
    /// What one allocation of the group asks for: its tasks' CPU and memory, its disk, its bandwidth.
    pub fn needs(&self, name: &Group) -> Resources {
        let Some(group) = self.group(name) else {
            return Resources::default();
        };
        let mut sum = Resources {
            disk: MiB(number(
                group.get("EphemeralDisk").unwrap_or(&Json::Null),
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
        let of_hosts = |v: &&Json| v.get("Type").and_then(Json::as_str) == Some("host");
        sources(self.volumes(name).filter(of_hosts))
    }
    /// Volumes of any type that the group may write to, by their source: CSI volumes hold data as host volumes do.
    pub fn written_volumes(&self, name: &Group) -> BTreeSet<String> {
        let written = |v: &&Json| v.get("ReadOnly").and_then(Json::as_bool) != Some(true);
        sources(self.volumes(name).filter(written))
    }
    /// What Nomad calls the type of the group's volume with this source: `host` or `csi`.
    pub fn volume_type(&self, name: &Group, source: &str) -> &str {
        let of = |v: &&Json| v.get("Source").and_then(Json::as_str) == Some(source);
        let found = self.volumes(name).find(of).and_then(|v| v.get("Type"));
        found.and_then(Json::as_str).unwrap_or("host")
    }
    fn volumes(&self, name: &Group) -> impl Iterator<Item = &Json> {
        let volumes = self.group(name).and_then(|g| g.get("Volumes")?.as_object());
        volumes.into_iter().flat_map(|v| v.values())
    }
}

fn sources<'a>(volumes: impl Iterator<Item = &'a Json>) -> BTreeSet<String> {
    let named = volumes.filter_map(|v| v.get("Source").and_then(Json::as_str));
    named.map(str::to_string).collect()
}

/// The items of a list field; a missing or `null` list is empty, as Nomad means it.
pub fn list<'a>(v: &'a Json, key: &str) -> impl Iterator<Item = &'a Json> + use<'a> {
    v.get(key)
        .and_then(Json::as_array)
        .map(|a| a.iter())
        .unwrap_or_default()
}

fn number(v: &Json, key: &str) -> f64 {
    v.get(key).and_then(Json::as_f64).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_edited_job_leaves_its_copies_as_they_are() {
        let mut job = JobSpec::new(json!({"ID": "shop", "Meta": {"release": "1"}}));
        let copy = job.clone();
        job.edit()["Meta"]["release"] = json!("2");
        assert_eq!(job.meta("release"), Some("2"));
        assert_eq!(copy.meta("release"), Some("1"));
        job.edit()["Meta"]["release"] = json!("1");
        assert_eq!(job, copy);
    }
}
