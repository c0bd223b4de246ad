//! `?filter=` and `?near=`.

use crate::cases;
use crate::script::{Case, Script};

pub fn all() -> Vec<(&'static str, Case)> {
    let mut all = selections();
    all.extend(elsewhere());
    all.extend(refusals());
    all.extend(order());
    all
}

async fn register(s: &Script<'_>, name: &str) {
    for (id, body) in [
        (
            "1",
            r#""Tags":["v1","Big"],"Port":80,"Meta":{"k":"v","n-x":"1"},"Check":{"TTL":"60s","Status":"passing"}"#,
        ),
        (
            "2",
            r#""Tags":["v2"],"Port":81,"Address":"10.0.0.2","Check":{"TTL":"60s","Status":"warning"}"#,
        ),
    ] {
        let body = format!(r#"{{"ID":"{name}-{id}","Name":"{name}",{body}}}"#);
        s.do_put("a", "/v1/agent/service/register", &body).await;
    }
}

async fn deregister(s: &Script<'_>, name: &str) {
    for id in ["1", "2"] {
        let path = format!("/v1/agent/service/deregister/{name}-{id}");
        s.do_put("a", &path, "").await;
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Notes which instances, or which refusal, each expression gives.
async fn select(
    s: &mut Script<'_>,
    path: &str,
    id: impl Fn(&serde_json::Value) -> String,
    filters: &[&str],
) {
    for filter in filters {
        let reply = s
            .look("a", &format!("{path}?filter={}", encoded(filter)))
            .await;
        let shown = match &reply.json {
            serde_json::Value::Array(found) => found.iter().map(&id).collect::<Vec<_>>().join(" "),
            serde_json::Value::Object(found) if found.contains_key("Services") => found["Services"]
                .as_object()
                .map_or(String::new(), |services| {
                    services.keys().cloned().collect::<Vec<_>>().join(" ")
                }),
            serde_json::Value::Object(found) => found.keys().cloned().collect::<Vec<_>>().join(" "),
            _ => reply.text.clone(),
        };
        s.note(format!("{path} {filter}: {} {shown}", reply.status));
    }
}

fn of_health(entry: &serde_json::Value) -> String {
    entry["Service"]["ID"].to_string()
}

fn selections() -> Vec<(&'static str, Case)> {
    cases! {
        "filters compare texts, numbers and booleans" => |s| {
            register(s, "fone").await;
            select(s, "/v1/health/service/fone", of_health, &[
                r#"Service.ID == "fone-1""#, "Service.Port==80", r#"Service.Port == "81""#, "Service.Port != 80", "Service.EnableTagOverride == false",
                "Service.EnableTagOverride == true", "Service.Weights.Passing == 1", r#"Service.Address == """#, "Service.Address == `10.0.0.2`",
                "Node.Node == a", r#"Node.Datacenter != edge"#, "Service.Connect.Native == false", r#"Service.Kind == """#,
            ]).await;
            deregister(s, "fone").await;
        }
        "filters look into lists and maps" => |s| {
            register(s, "ftwo").await;
            select(s, "/v1/health/service/ftwo", of_health, &[
                "Service.Tags contains v1", "v1 in Service.Tags", "v1 not in Service.Tags", "Service.Tags not contains Big", "Service.Tags is empty",
                "Service.Meta is not empty", "Service.Meta is empty", "k in Service.Meta", "Service.Meta.k == v", r#"Service.Meta["n-x"] == 1"#,
                "Service.Meta.zz != v", r#"Service.Meta.zz == """#, "Node.Meta.zz == x", "Service.TaggedAddresses is empty",
                r#"Service.TaggedAddresses.lan_ipv4.Address == "10.0.0.2""#, "Service.TaggedAddresses.lan_ipv4.Port == 81",
            ]).await;
            deregister(s, "ftwo").await;
        }
        "of a list of checks one that fits is enough" => |s| {
            register(s, "fthree").await;
            select(s, "/v1/health/service/fthree", of_health, &[
                "Checks.Status == warning", "Checks.Status != passing", "warning in Checks.Status", "Checks is empty", "Checks is not empty",
                "Checks.CheckID == serfHealth", "Checks.ServiceTags contains v2", "not Checks.Status == warning",
            ]).await;
            deregister(s, "fthree").await;
        }
        "filters join with and, or, not and parentheses" => |s| {
            register(s, "ffour").await;
            select(s, "/v1/health/service/ffour", of_health, &[
                r#"not Service.ID == "ffour-1""#, r#"(Service.ID == "ffour-1" or Service.ID == "ffour-2") and Service.Port == 81"#,
                "Service.Port == 80 and v1 in Service.Tags or Service.Port == 81", "(Service.Port == 80)", " Service.Port  ==  80 ",
                "Service.Port == 80 or Service.Port == 81 and Service.Port == 82",
            ]).await;
            deregister(s, "ffour").await;
        }
        "filters match patterns and parts of texts" => |s| {
            register(s, "ffive").await;
            select(s, "/v1/health/service/ffive", of_health, &[
                r#"Service.ID matches "e-[12]""#, r#"Service.ID not matches "1$""#, r#"Service.ID contains "-1""#, r#""-2" in Service.ID"#, r#""-2" not in Service.ID"#,
            ]).await;
            deregister(s, "ffive").await;
        }
    }
}

fn elsewhere() -> Vec<(&'static str, Case)> {
    cases! {
        "the catalog filters nodes and instances" => |s| {
            register(s, "fsix").await;
            let node = |entry: &serde_json::Value| entry["Node"].to_string();
            select(s, "/v1/catalog/nodes", node, &["Node == a", "Node matches \"[ab]\"", "Meta is empty", "Datacenter == edge", "Bogus == 1"]).await;
            let id = |entry: &serde_json::Value| entry["ServiceID"].to_string();
            select(s, "/v1/catalog/service/fsix", id, &["ServicePort == 81", "ServiceTags contains v1", "ServiceMeta.k == v", "NodeMeta is empty", "ServiceTaggedAddresses.lan_ipv4.Port == 81", "ServiceBogus == 1"]).await;
            select(s, "/v1/catalog/node/a", node, &[r#"ID == "fsix-1""#, "Port != 80", "Bogus == 1"]).await;
            select(s, "/v1/catalog/services", node, &["ServiceID == w"]).await;
            deregister(s, "fsix").await;
        }
        "lists of checks are filtered" => |s| {
            register(s, "fseven").await;
            let id = |check: &serde_json::Value| check["CheckID"].to_string();
            for path in ["/v1/health/node/a", "/v1/health/checks/fseven", "/v1/health/state/any"] {
                select(s, path, id, &["ServiceName == fseven and Status == warning", "CheckID == serfHealth and Node == a", "Name matches \"^Service 'fsev\"", "Definition is empty", "Output is empty"]).await;
            }
            deregister(s, "fseven").await;
        }
        "an agent filters its own services and checks" => |s| {
            register(s, "feight").await;
            let none = |_: &serde_json::Value| String::new();
            select(s, "/v1/agent/services", none, &["Port == 81", "Service == feight and Tags contains v1", "Bogus == 1"]).await;
            select(s, "/v1/agent/checks", none, &["Status == warning", "ServiceID == \"feight-1\"", "Bogus == 1"]).await;
            deregister(s, "feight").await;
        }
    }
}

fn refusals() -> Vec<(&'static str, Case)> {
    cases! {
        "filters that name no field or ask it the wrong thing are refused in the same words" => |s| {
            let none = |_: &serde_json::Value| String::new();
            select(s, "/v1/health/service/consul", none, &[
                "Bogus == 1", "Service.Bogus == 1", "Service.id == w", "Service.CreateIndex == 1", "Checks.Definition.TTL == x", "Service.Tags == v1",
                "Service.Tags matches v1", "Service.Port contains 8", "Service.Meta == x", "Service == x", "Service.ID is empty", "Service.ID is not empty",
                "Service.Port == abc", "Service.EnableTagOverride == x", r#"Service.ID matches "[""#, "Service.Port not in x", "Service.Tags != x",
            ]).await;
        }
        "filters that are no expressions say where and what was expected" => |s| {
            let none = |_: &serde_json::Value| String::new();
            select(s, "/v1/health/service/consul", none, &[
                "Service.ID", "Service.ID =", "Service.ID == ", "(", "Service.ID == w1 xx", r#""w1" == Service.ID"#, "Service.ModifyIndex > 1",
                r#"Service.ID == "x"#, "Service.Meta[x] == 1", "Service.Port == 0s", "Service.Port == 81 and (Service.Port == 81", "not", "Service. == 1",
            ]).await;
        }
        "a refused filter carries the headers of a failed query, from a client agent and across datacenters too" => |s| {
            s.get("a", "/v1/health/service/consul?filter=Bogus%20%3D%3D%201").await;
            s.get("b", "/v1/health/service/consul?filter=Bogus%20%3D%3D%201").await;
            s.get("b", "/v1/catalog/nodes?dc=provider&filter=Bogus%20%3D%3D%201").await;
            s.get("a", "/v1/agent/services?filter=Bogus%20%3D%3D%201").await;
        }
    }
}

fn order() -> Vec<(&'static str, Case)> {
    cases! {
        "near sorts by coordinates, and what has none comes last" => |s| {
            for (node, x) in [("near-0", 0.0), ("near-1", 0.1), ("near-5", 0.5), ("near-9", 0.9)] {
                let body = format!(r#"{{"Node":"{node}","Address":"10.9.8.7","Service":{{"Service":"spread","ID":"spread"}},"Check":{{"Name":"c","CheckID":"c","ServiceID":"spread","Status":"passing"}}}}"#);
                s.do_put("a", "/v1/catalog/register", &body).await;
                let body = format!(r#"{{"Node":"{node}","Coord":{{"Vec":[{x},0,0,0,0,0,0,0],"Error":1.5,"Adjustment":0,"Height":0.00001}}}}"#);
                s.do_put("a", "/v1/coordinate/update", &body).await;
            }
            s.do_put("a", "/v1/catalog/register", r#"{"Node":"near-none","Address":"10.9.8.7","Service":{"Service":"spread","ID":"spread"}}"#).await;
            s.eventually("a", "/v1/coordinate/node/near-9", "the last coordinate is there", |reply| reply.status == 200).await;
            s.get("a", "/v1/coordinate/node/near-5").await;
            s.get("a", "/v1/coordinate/node/nowhere").await;
            for near in ["near-9", "near-5", "near-0"] {
                let mut orders: Vec<String> = Vec::new();
                for (path, at) in [("/v1/health/service/spread", "/Node/Node"), ("/v1/catalog/service/spread", "/Node"), ("/v1/health/checks/spread", "/Node")] {
                    let found = s.look("b", &format!("{path}?near={near}")).await.json;
                    let names: Vec<String> = found.as_array().into_iter().flatten().map(|entry| entry.pointer(at).map_or(String::new(), ToString::to_string)).collect();
                    orders.push(names.join(" "));
                }
                let found = s.look("a", &format!("/v1/catalog/nodes?near={near}")).await.json;
                let names: Vec<String> = found.as_array().into_iter().flatten().map(|node| node["Node"].to_string()).filter(|name| name.contains("near-")).collect();
                orders.push(names.join(" "));
                s.note(format!("{near}: {}", orders.join("; ")));
            }
            let found = s.look("a", "/v1/health/service/spread?near=nowhere").await.json;
            s.note(format!("near nowhere: {}", found.as_array().map_or(0, Vec::len)));
            for node in ["near-0", "near-1", "near-5", "near-9", "near-none"] {
                s.do_put("a", "/v1/catalog/deregister", &format!(r#"{{"Node":"{node}"}}"#)).await;
            }
        }
        "coordinates that cannot be are refused" => |s| {
            s.put("a", "/v1/coordinate/update", "").await;
            s.put("a", "/v1/coordinate/update", r#"{"Node":"x","Nope":1}"#).await;
            s.put("a", "/v1/coordinate/update", r#"{"Node":"x","Coord":{"Vec":[1]}}"#).await;
            s.put("a", "/v1/coordinate/update", r#"{"Node":"nowhere","Coord":{"Vec":[1,0,0,0,0,0,0,0],"Error":1.5,"Adjustment":0,"Height":0.00001}}"#).await;
            s.get("a", "/v1/coordinate/update").await;
            s.get("a", "/v1/coordinate/node/").await;
        }
    }
}
