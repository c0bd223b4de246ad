//! A job of five groups as Nomad gives it, and the jobs that a real Nomad was recorded with.

use foreshadow::model::*;
use serde_json::{Value, json};
use std::path::PathBuf;

pub const GROUPS: [&str; 5] = ["web", "cart", "pricing", "search", "ledger"];

/// web → cart (environment), web → search (Connect), cart → pricing (template); ledger writes to a host volume.
pub fn shop() -> JobSpec {
    let mut groups: Vec<Value> = GROUPS.iter().map(|g| group(g)).collect();
    groups[0]["Tasks"][0]["Env"] = json!({"CART": "http://shop-cart-origin:8080/items"});
    groups[0]["Services"][0]["Connect"] = json!({"SidecarService": {"Proxy": {"Upstreams": [
        {"DestinationName": "shop-search-origin", "LocalBindPort": 9000}
    ]}}});
    groups[1]["Tasks"][0]["Templates"] = json!([{"EmbeddedTmpl": "{{ range service \"shop-pricing-origin\" }}{{ .Address }}{{ end }}"}]);
    groups[4]["Volumes"] = volume("ledger", false);
    JobSpec::new(json!({
        "ID": "shop", "Name": "shop", "Type": "service", "Priority": 50, "Region": "global",
        "Datacenters": ["edge-a", "edge-b"], "JobModifyIndex": 7, "Version": 3, "Stop": false,
        "Meta": {"release": "1", "team": "orders"},
        "Update": {"Canary": 1, "MaxParallel": 1},
        "Constraints": [
            {"LTarget": "${attr.kernel.name}", "RTarget": "linux", "Operand": "="},
            {"LTarget": "", "RTarget": "true", "Operand": "distinct_hosts"},
        ],
        "FieldOfALaterNomad": {"kept": true},
        "TaskGroups": groups,
    }))
}

pub fn volume(source: &str, read_only: bool) -> Value {
    json!({"data": {"Type": "host", "Source": source, "ReadOnly": read_only}})
}

fn group(name: &str) -> Value {
    json!({
        "Name": name, "Count": 2,
        "EphemeralDisk": {"SizeMB": 300, "Sticky": false},
        "Networks": [{"Mode": "host", "DynamicPorts": [{"Label": "http"}]}],
        "Update": {"Canary": 1}, "Migrate": {"MaxParallel": 1}, "Scaling": null,
        "RestartPolicy": {"Attempts": 3}, "ReschedulePolicy": {"Unlimited": true},
        "ShutdownDelay": 5,
        "Services": [{"Name": format!("shop-{name}-origin"), "PortLabel": "http",
            "Tags": [format!("urlprefix-/{name}")], "CanaryTags": ["canary"],
            "Checks": [{"Type": "http", "Path": "/health"}]}],
        "Tasks": [{"Name": "serve", "Driver": "raw_exec", "Config": {"command": "foreshadow", "args": [name]},
            "Env": {"GROUP": name}, "KillTimeout": 5,
            "Services": [{"Name": format!("shop-{name}-admin"), "Tags": ["traefik.enable=true"]}],
            "Resources": {"CPU": 200, "MemoryMB": 64}}],
    })
}

/// Jobs that a real Nomad answered with. The recordings stand beside the repository; without them there are none.
pub fn recorded() -> Vec<JobSpec> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found = root.ancestors().find_map(|a| {
        std::fs::read_to_string(a.join("shared/recordings/nomad-1.0.18.ndjson")).ok()
    });
    let Some(text) = found else {
        println!("skipped: no shared/recordings beside the repository");
        return Vec::new();
    };
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a recorded call"))
        .map(|call| call["response"]["json"].clone())
        .filter(|answer| answer["TaskGroups"].is_array() && answer["ID"].is_string())
        .map(JobSpec::new)
        .collect()
}
