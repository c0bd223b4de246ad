//! Rows as Nomad and Consul give them: nodes, allocations, jobs, entries and keys of a made-up estate.
#![allow(dead_code)] // each bench uses a part

use serde_json::{Value, json};
use std::fmt::Write;

/// A row of `/v1/nodes?resources=true` in the shape of Nomad 1.0.18.
pub fn node(n: usize, site: &str, status: &str, index: usize) -> String {
    format!(
        r#"{{"Address":"10.{a}.{b}.7","ID":"{n:08x}-5f60-81e7-d979-62cb8e879a70","Datacenter":"{site}","Name":"node-{n}","NodeClass":"std","Version":"1.0.18","Drain":false,"SchedulingEligibility":"eligible","Status":"{status}","StatusDescription":"","Drivers":{{"raw_exec":{{"Attributes":{{"driver.raw_exec":"true"}},"Detected":true,"Healthy":true,"HealthDescription":"Healthy","UpdateTime":"2026-11-24T06:30:21.9Z"}}}},"HostVolumes":null,"NodeResources":{{"Cpu":{{"CpuShares":4000,"TotalCpuCores":2,"ReservableCpuCores":null}},"Memory":{{"MemoryMB":4096}},"Disk":{{"DiskMB":71000}},"Networks":[{{"Mode":"host","Device":"lo","CIDR":"127.0.0.1/32","IP":"127.0.0.1","MBits":1000,"DNS":null,"ReservedPorts":null,"DynamicPorts":null}}],"NodeNetworks":[{{"Mode":"host","Device":"lo","MacAddress":"","Speed":1000,"Addresses":[{{"Family":"ipv4","Alias":"default","Address":"127.0.0.1","ReservedPorts":"","Gateway":""}}]}}],"Devices":null}},"ReservedResources":{{"Cpu":{{"CpuShares":0}},"Memory":{{"MemoryMB":0}},"Disk":{{"DiskMB":0}},"Networks":{{"ReservedHostPorts":""}}}},"CreateIndex":7,"ModifyIndex":{index}}}"#,
        a = n / 250 % 250,
        b = n % 250,
    )
}

/// What a node tells of itself beyond the list's row: as many attributes as a small Linux machine has.
pub fn whole_node(n: usize, site: &str, status: &str, index: usize) -> String {
    let mut text = node(n, site, status, index);
    text.pop();
    text.push_str(
        r#","Attributes":{"cpu.frequency":"2500","cpu.numcores":"2","cpu.totalcompute":"5000""#,
    );
    for k in 0..40 {
        // A String takes whatever is written.
        let _ = write!(
            text,
            r#","unique.platform.attribute-{k}":"some value of node {n}""#
        );
    }
    text + r#"},"Meta":{"kind":"edge","price":"1.0"}}"#
}

/// Where an allocation is and how it is called.
pub struct Place<'a> {
    pub id: &'a str,
    pub job: &'a str,
    pub group: &'a str,
    pub node: usize,
    pub port: u16,
    pub created: i64,
}

/// The allocation of an event, or a row of `/v1/allocations?resources=true&task_states=false`.
pub fn alloc(at: &Place, desired: &str, status: &str, index: usize) -> String {
    let Place {
        id,
        job,
        group,
        node,
        port,
        created,
    } = at;
    format!(
        r#"{{"ID":"{id}","EvalID":"013e5f3a-4614-0fc4-67ba-17fdf1fca4ce","Name":"{job}.{group}[0]","Namespace":"default","NodeID":"{node:08x}-5f60-81e7-d979-62cb8e879a70","NodeName":"node-{node}","JobID":"{job}","JobType":"service","JobVersion":3,"TaskGroup":"{group}","AllocatedResources":{{"Tasks":{{"serve":{{"Cpu":{{"CpuShares":100}},"Memory":{{"MemoryMB":64}},"Networks":null,"Devices":null}}}},"TaskLifecycles":{{"serve":null}},"Shared":{{"Networks":[{{"Mode":"host","Device":"","CIDR":"","IP":"127.0.0.1","MBits":0,"DNS":null,"ReservedPorts":null,"DynamicPorts":[{{"Label":"http","Value":{port},"To":0,"HostNetwork":"default"}}]}}],"DiskMB":300,"Ports":[{{"Label":"http","Value":{port},"To":0,"HostIP":"127.0.0.1"}}]}}}},"DesiredStatus":"{desired}","DesiredDescription":"","ClientStatus":"{status}","ClientDescription":"Tasks are running","DesiredTransition":{{"Migrate":null,"Reschedule":null,"ForceReschedule":null}},"TaskStates":null,"DeploymentStatus":{{"Healthy":true,"Timestamp":"2026-11-24T06:30:41.2Z","Canary":false,"ModifyIndex":34}},"FollowupEvalID":"","RescheduleTracker":null,"PreemptedAllocations":null,"PreemptedByAllocation":"","CreateIndex":31,"ModifyIndex":{index},"CreateTime":{created},"ModifyTime":{created}}}"#,
    )
}

/// A batch of the event stream with one row in it.
pub fn event(topic: &str, kind: &str, row: &str, index: usize) -> String {
    format!(
        r#"{{"Index":{index},"Events":[{{"Topic":"{topic}","Type":"{kind}","Key":"k","Namespace":"default","FilterKeys":["job"],"Index":{index},"Payload":{{"{topic}":{row}}}}}]}}"#
    )
}

pub fn list(rows: impl Iterator<Item = String>) -> String {
    let mut text = String::from("[");
    for (n, row) in rows.enumerate() {
        let comma = if n > 0 { "," } else { "" };
        // A String takes whatever is written.
        let _ = write!(text, "{comma}{row}");
    }
    text.push(']');
    text
}

/// A job with these groups, each so many times.
pub fn job(id: &str, sites: &[String], groups: &[String], count: usize) -> Value {
    let group = |name: &String| {
        json!({
            "Name": name, "Count": count, "EphemeralDisk": {"SizeMB": 300},
            "Networks": [{"Mode": "host", "DynamicPorts": [{"Label": "http", "Value": 0, "To": 0}]}],
            "Services": [{"Name": format!("{name}-origin"), "PortLabel": "http"}],
            "RestartPolicy": {"Attempts": 2, "Interval": 1_800_000_000_000u64, "Delay": 15_000_000_000u64, "Mode": "fail"},
            "Tasks": [{
                "Name": "serve", "Driver": "raw_exec",
                "Config": {"command": "/usr/local/bin/serve", "args": ["--port", "${NOMAD_PORT_http}"]},
                "Env": {"LEVEL": "info"},
                "Resources": {"CPU": 100, "MemoryMB": 64},
            }],
        })
    };
    json!({
        "ID": id, "Name": id, "Type": "service", "Priority": 50, "Region": "global", "Namespace": "default",
        "Datacenters": sites, "Stop": false, "Status": "running", "Version": 3, "JobModifyIndex": 30,
        "TaskGroups": groups.iter().map(group).collect::<Vec<_>>(),
    })
}

/// A row of `/v1/health/service/:name`: an entry of a gateway's agent.
pub fn entry(gateway: &str, front: &str, alloc: &str, port: u16, status: &str) -> Value {
    json!({
        "Node": {"ID": "", "Node": gateway, "Address": "127.0.0.1", "Datacenter": "dc1", "Meta": {}},
        "Service": {
            "ID": format!("foreshadow-{front}-{alloc}"), "Service": front, "Tags": [], "Address": "127.0.0.1", "Port": port,
            "Meta": {"foreshadow_alloc": alloc}, "Weights": {"Passing": 100, "Warning": 1}, "CreateIndex": 20, "ModifyIndex": 20,
        },
        "Checks": [
            {"Node": gateway, "CheckID": "serfHealth", "Name": "Serf Health Status", "Status": "passing", "Output": "Agent alive and reachable", "ServiceID": "", "ServiceName": "", "ModifyIndex": 20},
            check(gateway, front, alloc, status),
        ],
    })
}

/// The check of such an entry.
pub fn check(gateway: &str, front: &str, alloc: &str, status: &str) -> Value {
    let id = format!("foreshadow-{front}-{alloc}");
    json!({
        "Node": gateway, "CheckID": format!("service:{id}"), "Name": "http", "Status": status,
        "Output": "HTTP GET http://127.0.0.1/health: 200 OK", "ServiceID": id, "ServiceName": front, "ModifyIndex": 20,
    })
}
