//! Jobs as Nomad keeps them: every field there, defaults filled in, unknown fields left alone.

use super::json::*;
use serde_json::{Value, json};

/// Fill in a job as Nomad's Go client does; the shape that `POST /v1/jobs/parse` answers.
pub fn canonical_request(job: &mut Value) {
    if text(job, "Type").is_empty() {
        job["Type"] = "service".into();
    }
    let id = text(job, "ID").to_string();
    let kind = text(job, "Type").to_string();
    fill(
        job,
        json!({"Affinities": null, "AllAtOnce": false, "Constraints": null, "ConsulToken": "", "CreateIndex": 0, "Datacenters": null,
        "Dispatched": false, "ID": id, "JobModifyIndex": 0, "Meta": null, "Migrate": null, "ModifyIndex": 0, "Multiregion": null,
        "Name": id, "Namespace": "default", "NomadTokenID": "", "ParameterizedJob": null, "ParentID": "", "Payload": null,
        "Periodic": null, "Priority": 50, "Region": "global", "Reschedule": null, "Spreads": null, "Stable": false, "Status": "",
        "StatusDescription": "", "Stop": false, "SubmitTime": null, "TaskGroups": null, "Update": null, "VaultNamespace": "",
        "VaultToken": "", "Version": 0}),
    );
    if kind == "service" || job["Update"].is_object() {
        fill_at(job, "Update", default_update());
    }
    terms(job);
    let frame = Frame {
        job: id,
        kind,
        update: job["Update"].clone(),
        migrate: job["Migrate"].clone(),
        reschedule: job["Reschedule"].clone(),
    };
    objects_mut(job, "TaskGroups").for_each(|group| frame.group(group));
}

/// Turn a filled-in request into the job as the server keeps it and answers it in `GET /v1/job/:id`.
pub fn canonical_job(mut job: Value) -> Value {
    canonical_request(&mut job);
    let update = &job["Update"];
    job["Update"] = json!({"AutoPromote": false, "AutoRevert": false, "Canary": 0, "HealthCheck": "", "HealthyDeadline": 0,
        "MaxParallel": int(update, "MaxParallel"), "MinHealthyTime": 0, "ProgressDeadline": 0, "Stagger": int(update, "Stagger")});
    drop_keys(&mut job, &["Migrate", "Reschedule"]);
    let name = text(&job, "Name").to_string();
    let (namespace, id) = (job["Namespace"].clone(), job["ID"].clone());
    for group in objects_mut(&mut job, "TaskGroups") {
        let group_name = text(group, "Name").to_string();
        if group["Scaling"].is_object() {
            drop_keys(&mut group["Scaling"], &["Namespace"]);
            group["Scaling"]["Target"] =
                json!({"Namespace": namespace, "Job": id, "Group": group_name});
        }
        for network in objects_mut(group, "Networks") {
            stored_network(network);
        }
        stored_services(group, &[("JOB", &name), ("TASKGROUP", &group_name)]);
        for task in objects_mut(group, "Tasks") {
            fill(task, json!({"CSIPluginConfig": null}));
            fill_at(task, "Resources", json!({"DiskMB": 0, "IOPS": 0}));
            let task_name = text(task, "Name").to_string();
            let base = format!("{name}-{group_name}-{task_name}");
            stored_services(
                task,
                &[
                    ("JOB", &name),
                    ("TASKGROUP", &group_name),
                    ("TASK", &task_name),
                    ("BASE", &base),
                ],
            );
            if let Some(resources) = task.get_mut("Resources") {
                objects_mut(resources, "Networks").for_each(stored_network);
            }
        }
    }
    job
}

struct Frame {
    job: String,
    kind: String,
    update: Value,
    migrate: Value,
    reschedule: Value,
}

impl Frame {
    fn group(&self, group: &mut Value) {
        fill(
            group,
            json!({"Affinities": null, "Constraints": null, "Count": 1, "Meta": null, "Migrate": null, "Name": "", "Networks": null,
            "ReschedulePolicy": null, "RestartPolicy": null, "Scaling": null, "Services": null, "ShutdownDelay": null, "Spreads": null,
            "StopAfterClientDisconnect": null, "Tasks": null, "Update": null, "Volumes": null}),
        );
        fill_at(
            group,
            "EphemeralDisk",
            json!({"Migrate": false, "SizeMB": 300, "Sticky": false}),
        );
        self.policies(group);
        terms(group);
        objects_mut(group, "Networks").for_each(request_network);
        let name = text(group, "Name").to_string();
        request_services(group, &format!("{}-{name}", self.job));
        if group["Scaling"].is_object() {
            let count = int(group, "Count");
            fill_at(
                group,
                "Scaling",
                json!({"CreateIndex": 0, "Enabled": true, "ID": "", "Max": null, "Min": count, "ModifyIndex": 0, "Namespace": "", "Policy": null,
                "Target": null, "Type": "horizontal"}),
            );
        }
        let restart = group["RestartPolicy"].clone();
        for task in objects_mut(group, "Tasks") {
            self.task(task, &name, &restart);
        }
        for volume in group
            .get_mut("Volumes")
            .and_then(Value::as_object_mut)
            .into_iter()
            .flatten()
        {
            let name = volume.0.clone();
            fill(
                volume.1,
                json!({"MountOptions": null, "Name": name, "ReadOnly": false, "Source": "", "Type": ""}),
            );
        }
    }

    fn policies(&self, group: &mut Value) {
        let service = self.kind == "service";
        if self.update.is_object() {
            fill_at(group, "Update", self.update.clone());
        } else if group["Update"].is_object() {
            fill_at(group, "Update", default_update());
        }
        if self.migrate.is_object() {
            fill_at(group, "Migrate", self.migrate.clone());
        }
        if service {
            fill_at(
                group,
                "Migrate",
                json!({"HealthCheck": "checks", "HealthyDeadline": 300 * SECOND, "MaxParallel": 1, "MinHealthyTime": 10 * SECOND}),
            );
        }
        if self.reschedule.is_object() {
            fill_at(group, "ReschedulePolicy", self.reschedule.clone());
        }
        if let Some(policy) = default_reschedule(&self.kind) {
            fill_at(group, "ReschedulePolicy", policy);
        }
        fill_at(group, "RestartPolicy", default_restart(&self.kind));
    }

    fn task(&self, task: &mut Value, group: &str, restart: &Value) {
        fill(
            task,
            json!({"Affinities": null, "Artifacts": null, "Config": null, "Constraints": null, "DispatchPayload": null, "Driver": "",
            "Env": null, "KillSignal": "", "KillTimeout": 5 * SECOND, "Kind": "", "Leader": false, "Lifecycle": null, "Meta": null,
            "Name": "", "ScalingPolicies": null, "Services": null, "ShutdownDelay": 0, "Templates": null, "User": "", "Vault": null,
            "VolumeMounts": null}),
        );
        fill_at(
            task,
            "LogConfig",
            json!({"MaxFileSizeMB": 10, "MaxFiles": 10}),
        );
        fill_at(
            task,
            "Resources",
            json!({"CPU": 100, "Devices": null, "DiskMB": null, "IOPS": null, "MemoryMB": 300, "Networks": null}),
        );
        fill_at(task, "RestartPolicy", restart.clone());
        terms(task);
        if let Some(resources) = task.get_mut("Resources") {
            objects_mut(resources, "Networks").for_each(request_network);
        }
        let name = text(task, "Name").to_string();
        request_services(task, &format!("{}-{group}-{name}", self.job));
        for mount in objects_mut(task, "VolumeMounts") {
            fill(
                mount,
                json!({"Destination": "", "PropagationMode": "private", "ReadOnly": false, "Volume": ""}),
            );
        }
        for template in objects_mut(task, "Templates") {
            fill(
                template,
                json!({"ChangeMode": "restart", "ChangeSignal": "", "DestPath": "", "EmbeddedTmpl": "", "Envvars": false, "LeftDelim": "{{",
                "Perms": "0644", "RightDelim": "}}", "SourcePath": "", "Splay": 5 * SECOND, "VaultGrace": 0}),
            );
        }
    }
}

fn default_update() -> Value {
    json!({"AutoPromote": false, "AutoRevert": false, "Canary": 0, "HealthCheck": "checks", "HealthyDeadline": 300 * SECOND, "MaxParallel": 1,
        "MinHealthyTime": 10 * SECOND, "ProgressDeadline": 600 * SECOND, "Stagger": 30 * SECOND})
}

fn default_reschedule(kind: &str) -> Option<Value> {
    match kind {
        "service" => Some(
            json!({"Attempts": 0, "Delay": 30 * SECOND, "DelayFunction": "exponential", "Interval": 0, "MaxDelay": 3600 * SECOND, "Unlimited": true}),
        ),
        "batch" => Some(
            json!({"Attempts": 1, "Delay": 5 * SECOND, "DelayFunction": "constant", "Interval": 86400 * SECOND, "MaxDelay": 0, "Unlimited": false}),
        ),
        _ => None,
    }
}

fn default_restart(kind: &str) -> Value {
    if kind == "batch" {
        json!({"Attempts": 3, "Delay": 15 * SECOND, "Interval": 86400 * SECOND, "Mode": "fail"})
    } else {
        json!({"Attempts": 2, "Delay": 15 * SECOND, "Interval": 1800 * SECOND, "Mode": "fail"})
    }
}

/// Constraints, affinities and spreads, which a job, a group and a task all may have.
fn terms(v: &mut Value) {
    for constraint in objects_mut(v, "Constraints") {
        fill(
            constraint,
            json!({"LTarget": "", "Operand": "=", "RTarget": ""}),
        );
    }
    for affinity in objects_mut(v, "Affinities") {
        fill(
            affinity,
            json!({"LTarget": "", "Operand": "=", "RTarget": "", "Weight": 50}),
        );
    }
    for spread in objects_mut(v, "Spreads") {
        fill(
            spread,
            json!({"Attribute": "", "SpreadTarget": null, "Weight": 50}),
        );
        for target in objects_mut(spread, "SpreadTarget") {
            fill(target, json!({"Percent": 0, "Value": ""}));
        }
    }
}

fn request_network(network: &mut Value) {
    fill(
        network,
        json!({"CIDR": "", "DNS": null, "Device": "", "DynamicPorts": null, "IP": "", "MBits": null, "Mode": "", "ReservedPorts": null}),
    );
    for key in ["DynamicPorts", "ReservedPorts"] {
        for port in objects_mut(network, key) {
            fill(
                port,
                json!({"HostNetwork": "", "Label": "", "To": 0, "Value": 0}),
            );
        }
    }
}

fn stored_network(network: &mut Value) {
    fill(network, json!({"MBits": 0}));
    for key in ["DynamicPorts", "ReservedPorts"] {
        for port in objects_mut(network, key) {
            if text(port, "HostNetwork").is_empty() {
                port["HostNetwork"] = "default".into();
            }
        }
    }
}

fn request_services(owner: &mut Value, default_name: &str) {
    for service in objects_mut(owner, "Services") {
        fill(
            service,
            json!({"AddressMode": "auto", "CanaryMeta": null, "CanaryTags": null, "CheckRestart": null, "Checks": null, "Connect": null,
            "EnableTagOverride": false, "Id": "", "Meta": null, "Name": default_name, "PortLabel": "", "Tags": null, "TaskName": ""}),
        );
        if text(service, "AddressMode").is_empty() {
            service["AddressMode"] = "auto".into();
        }
        for check in objects_mut(service, "Checks") {
            fill(
                check,
                json!({"AddressMode": "", "Args": null, "CheckRestart": null, "Command": "", "Expose": false, "FailuresBeforeCritical": 0,
                "GRPCService": "", "GRPCUseTLS": false, "Header": null, "Id": "", "InitialStatus": "", "Interval": 0, "Method": "", "Name": "",
                "Path": "", "PortLabel": "", "Protocol": "", "SuccessBeforePassing": 0, "TLSSkipVerify": false, "TaskName": "", "Timeout": 0,
                "Type": ""}),
            );
        }
    }
}

fn stored_services(owner: &mut Value, words: &[(&str, &str)]) {
    for service in objects_mut(owner, "Services") {
        drop_keys(service, &["CheckRestart", "Id"]);
        let mut name = text(service, "Name").to_string();
        for (word, value) in words {
            name = name.replace(&format!("${{{word}}}"), value);
        }
        service["Name"] = name.clone().into();
        for check in objects_mut(service, "Checks") {
            drop_keys(check, &["Id"]);
            if text(check, "Name").is_empty() {
                check["Name"] = format!("service: {name:?} check").into();
            }
        }
    }
}

fn drop_keys(v: &mut Value, keys: &[&str]) {
    if let Some(map) = v.as_object_mut() {
        keys.iter().for_each(|key| drop(map.remove(*key)));
    }
}
