//! Namespaces, and how the scheduler is set.

use super::super::acl::hash;
use super::super::jobs::Refusal;
use super::super::json::*;
use super::super::validate::listed;
use super::State;
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub struct Namespace {
    pub name: String,
    pub description: String,
    pub create_index: u64,
    pub modify_index: u64,
}

impl Namespace {
    /// The one that is always there.
    pub fn default_one() -> Namespace {
        Namespace {
            name: "default".into(),
            description: "Default shared namespace".into(),
            create_index: 1,
            modify_index: 1,
        }
    }

    pub fn json(&self) -> Value {
        json!({"CreateIndex": self.create_index, "Description": self.description, "Hash": hash(&[&self.name, &self.description]),
            "ModifyIndex": self.modify_index, "Name": self.name, "Quota": ""})
    }
}

/// `/v1/operator/scheduler/configuration`
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    /// Fill nodes evenly, and not one after the other.
    pub spread: bool,
    pub preempt_system: bool,
    pub preempt_batch: bool,
    pub preempt_service: bool,
    pub index: u64,
}

impl Default for SchedulerConfig {
    fn default() -> SchedulerConfig {
        SchedulerConfig {
            spread: false,
            preempt_system: true,
            preempt_batch: false,
            preempt_service: false,
            index: 1,
        }
    }
}

impl SchedulerConfig {
    pub fn json(&self) -> Value {
        let algorithm = if self.spread { "spread" } else { "binpack" };
        json!({"CreateIndex": self.index, "ModifyIndex": self.index, "SchedulerAlgorithm": algorithm,
            "PreemptionConfig": {"BatchSchedulerEnabled": self.preempt_batch, "ServiceSchedulerEnabled": self.preempt_service,
                "SystemSchedulerEnabled": self.preempt_system}})
    }

    pub fn preempts(&self, job_type: &str) -> bool {
        match job_type {
            "system" => self.preempt_system,
            "batch" => self.preempt_batch,
            _ => self.preempt_service,
        }
    }
}

impl State {
    pub fn put_namespace(&mut self, body: &Value) -> Result<u64, Refusal> {
        let (name, description) = (text(body, "Name"), text(body, "Description"));
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let mut faults = Vec::new();
        if name.is_empty() || name.len() > 128 || !name.chars().all(fits) {
            faults.push(format!(
                "invalid name {name:?}. Must match regex ^[a-zA-Z0-9-]{{1,128}}$"
            ));
        }
        if description.len() > 256 {
            faults.push("description longer than 256".into());
        }
        if !faults.is_empty() {
            let why = format!("Invalid namespace {name:?}: {}", listed(&faults));
            return Err(Refusal::new(500, why));
        }
        let index = self.next_index();
        let old = self.namespaces.get(name);
        let namespace = Namespace {
            name: name.into(),
            description: description.into(),
            create_index: old.map_or(index, |n| n.create_index),
            modify_index: index,
        };
        self.namespaces.insert(name.into(), namespace);
        self.tables.namespaces = index;
        Ok(index)
    }

    pub fn delete_namespace(&mut self, name: &str) -> Result<u64, Refusal> {
        if name == "default" {
            return Err(Refusal::new(500, "can not delete default namespace"));
        }
        let busy = self
            .jobs
            .values()
            .map(|j| j.current())
            .any(|j| text(j, "Namespace") == name && text(j, "Status") != "dead");
        if busy {
            let why = format!("namespace {name:?} has non-terminal jobs in regions: [global]");
            return Err(Refusal::new(500, listed(&[why])));
        }
        let index = self.next_index();
        self.namespaces.remove(name);
        self.tables.namespaces = index;
        Ok(index)
    }

    /// Errors with Nomad's answer to an unknown algorithm.
    pub fn set_scheduler(&mut self, body: &Value) -> Result<u64, Refusal> {
        let spread = match text(body, "SchedulerAlgorithm") {
            "spread" => true,
            "" | "binpack" => false,
            other => {
                let why = format!("invalid scheduler algorithm: {other}");
                return Err(Refusal::new(400, why));
            }
        };
        let index = self.next_index();
        let told = |key| body.get("PreemptionConfig").is_some_and(|p| flag(p, key));
        self.scheduler = SchedulerConfig {
            spread,
            preempt_system: told("SystemSchedulerEnabled"),
            preempt_batch: told("BatchSchedulerEnabled"),
            preempt_service: told("ServiceSchedulerEnabled"),
            index,
        };
        Ok(index)
    }
}
