//! The catalog, health and coordinates.

use std::time::{Duration, Instant};

use crate::cases;
use crate::script::Case;

const EXTERNAL: &str = r#"{"Node":"outside","Address":"10.9.9.9","NodeMeta":{"external-node":"true"},"Service":{"ID":"ext-1","Service":"ext","Tags":["t"],"Port":99,"Weights":{"Passing":3,"Warning":1}},"Check":{"Name":"ext check","Status":"passing","ServiceID":"ext-1","Definition":{"TCP":"10.9.9.9:99","Interval":"5s"}}}"#;

pub fn all() -> Vec<(&'static str, Case)> {
    let mut all = writes();
    all.extend(reads());
    all
}

fn writes() -> Vec<(&'static str, Case)> {
    cases! {
        "an external node is registered and removed piece by piece" => |s| {
            s.put("a", "/v1/catalog/register", EXTERNAL).await;
            s.get("a", "/v1/catalog/service/ext").await;
            s.get("b", "/v1/health/service/ext").await;
            s.get("a", "/v1/catalog/node/outside").await;
            s.get("a", "/v1/catalog/nodes?node-meta=external-node:true").await;
            s.put("b", "/v1/catalog/deregister", r#"{"Node":"outside","CheckID":"ext check"}"#).await;
            s.get("a", "/v1/health/node/outside").await;
            s.put("a", "/v1/catalog/deregister", r#"{"Node":"outside","ServiceID":"ext-1"}"#).await;
            s.get("a", "/v1/catalog/node/outside").await;
            s.put("a", "/v1/catalog/deregister", r#"{"Node":"outside"}"#).await;
            s.get("a", "/v1/catalog/node/outside").await;
        }
        "weights out of range become 1 and 1 in the catalog" => |s| {
            for weights in [r#"{"Passing":0,"Warning":0}"#, r#"{"Passing":70000,"Warning":1}"#, r#"{"Passing":5,"Warning":0}"#] {
                s.put("a", "/v1/catalog/register", &format!(r#"{{"Node":"odd","Address":"10.9.9.8","Service":{{"Service":"oddly","Weights":{weights}}}}}"#)).await;
                let reply = s.look("a", "/v1/catalog/service/oddly").await;
                s.note(format!("{}", reply.json[0]["ServiceWeights"]));
            }
            s.do_put("a", "/v1/catalog/deregister", r#"{"Node":"odd"}"#).await;
        }
        "registrations that cannot be are refused in the same words" => |s| {
            for body in [
                "", "{}", r#"{"Node":"x"}"#, r#"{"Node":"x","Address":"1.1.1.1","ID":"nope"}"#, r#"{"Node":"x","Nope":1}"#,
                r#"{"Node":"x","Address":"1.1.1.1","Service":{"ID":"y"}}"#, r#"{"Node":"x","Address":"1.1.1.1","Service":{"Service":"y","Address":"0.0.0.0"}}"#,
                r#"{"Node":"x","Address":"1.1.1.1","Check":{"Name":"c","ServiceID":"none"}}"#, r#"{"Node":"x","Address":"1.1.1.1","Check":{"Name":"c","Node":"other"}}"#,
                r#"{"Node":"x","Address":"1.1.1.1","Datacenter":"nowhere"}"#,
            ] {
                s.put("a", "/v1/catalog/register", body).await;
            }
            s.put("b", "/v1/catalog/register", "{}").await;
            s.put("b", "/v1/catalog/register", r#"{"Node":"x","Address":"1.1.1.1","Datacenter":"nowhere"}"#).await;
            s.put("a", "/v1/catalog/deregister", "{}").await;
            s.put("a", "/v1/catalog/deregister", r#"{"Node":"unknown"}"#).await;
            s.do_put("a", "/v1/catalog/deregister", r#"{"Node":"x"}"#).await;
        }
        "a registration in another datacenter" => |s| {
            s.put("a", "/v1/catalog/register", r#"{"Datacenter":"provider","Node":"far","Address":"10.9.9.7","Service":{"Service":"far","Port":7}}"#).await;
            s.get("a", "/v1/catalog/service/far").await;
            s.get("a", "/v1/catalog/service/far?dc=provider").await;
            s.get("b", "/v1/health/service/far?dc=provider").await;
            s.put("p", "/v1/catalog/deregister", r#"{"Node":"far"}"#).await;
            s.get("b", "/v1/health/service/far?dc=provider").await;
        }
    }
}

fn reads() -> Vec<(&'static str, Case)> {
    cases! {
        "nodes and datacenters" => |s| {
            for agent in ["a", "b"] {
                s.get(agent, "/v1/catalog/nodes").await;
                s.get(agent, "/v1/catalog/datacenters").await;
            }
            s.get("p", "/v1/catalog/nodes").await;
            s.get("p", "/v1/catalog/nodes?dc=edge").await;
            let mut names: Vec<String> = s.look("p", "/v1/catalog/datacenters").await.json.as_array().into_iter().flatten().map(ToString::to_string).collect();
            names.sort();
            s.note(names.join(" "));
        }
        "the servers' own service" => |s| {
            s.get("a", "/v1/health/service/consul").await;
            s.get("b", "/v1/health/service/consul?dc=provider").await;
            s.get("a", "/v1/health/checks/consul").await;
        }
        "what is not there is empty, with an index" => |s| {
            for path in ["/v1/health/service/none", "/v1/catalog/service/none", "/v1/health/checks/none", "/v1/health/node/none", "/v1/health/state/odd", "/v1/catalog/node/none"] {
                s.get("a", path).await;
            }
        }
        "what makes no sense is refused in the same words" => |s| {
            for path in ["/v1/health/service/", "/v1/catalog/service/", "/v1/health/node/", "/v1/health/checks/", "/v1/health/state/", "/v1/catalog/node/", "/v1/health/service/consul?passing=xx", "/v1/health/service/consul?index=x", "/v1/catalog/nodes?stale&consistent", "/v1/catalog/nodes?dc=nowhere"] {
                s.get("a", path).await;
            }
            s.get("b", "/v1/health/service/consul?dc=nowhere").await;
            s.put("a", "/v1/health/service/consul", "").await;
        }
        "consistency modes are named" => |s| {
            for mode in ["stale", "consistent", "cached"] {
                let reply = s.look("a", &format!("/v1/catalog/services?{mode}")).await;
                s.note(format!("{mode} {}", reply.status));
            }
            s.get("a", "/v1/catalog/service/consul?stale").await;
            s.get("a", "/v1/catalog/service/consul?consistent").await;
        }
        "tags filter, in any case of letters" => |s| {
            for (id, tags) in [("tag-1", r#"["red","Big"]"#), ("tag-2", r#"["red"]"#)] {
                s.do_put("a", "/v1/agent/service/register", &format!(r#"{{"ID":"{id}","Name":"tagged","Tags":{tags}}}"#)).await;
            }
            for query in ["tag=red", "tag=BIG", "tag=red&tag=big", "tag=none", "near=_agent"] {
                let found = s.look("a", &format!("/v1/health/service/tagged?{query}")).await.json;
                let ids: Vec<String> = found.as_array().into_iter().flatten().map(|entry| entry["Service"]["ID"].to_string()).collect();
                s.note(format!("{query}: {}", ids.join(" ")));
            }
            s.get("a", "/v1/catalog/service/tagged?tag=big").await;
            for id in ["tag-1", "tag-2"] {
                s.do_put("a", &format!("/v1/agent/service/deregister/{id}"), "").await;
            }
        }
        "a watcher of a service is woken by that service alone" => |s| {
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"seen","Check":{"TTL":"60s","Status":"passing"}}"#).await;
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"noise"}"#).await;
            let index = s.look("a", "/v1/health/service/seen").await.index;
            let path = format!("/v1/health/service/seen?index={index}&wait=1s");
            let began = Instant::now();
            let (reply, _) = tokio::join!(s.look("a", &path), s.do_put("a", "/v1/agent/service/deregister/noise", ""));
            s.note(format!("waited: {}, same index: {}", began.elapsed() >= Duration::from_secs(1), reply.index == index));
            let path = format!("/v1/health/service/seen?index={index}&wait=10s");
            let (reply, _) = tokio::join!(s.look("b", &path), s.do_put("a", "/v1/agent/check/warn/service:seen", ""));
            s.note(format!("woke: {}, {}", reply.index > index, reply.json[0]["Checks"][1]["Status"]));
            let index = reply.index;
            let path = format!("/v1/health/service/seen?index={index}&wait=10s");
            let (reply, _) = tokio::join!(s.look("b", &path), s.do_put("a", "/v1/agent/service/deregister/seen", ""));
            s.note(format!("gone: {} {}", reply.index > index, reply.json));
        }
        "a watcher of nothing is woken when it comes" => |s| {
            let index = s.look("a", "/v1/health/service/coming").await.index;
            let path = format!("/v1/health/service/coming?index={index}&wait=10s");
            let (reply, _) = tokio::join!(s.look("a", &path), s.do_put("a", "/v1/agent/service/register", r#"{"Name":"coming"}"#));
            s.note(format!("{} instances, index grew: {}", reply.json.as_array().map_or(0, Vec::len), reply.index > index));
            s.do_put("a", "/v1/agent/service/deregister/coming", "").await;
        }
        "coordinates have their form" => |s| {
            let found = s.look("a", "/v1/coordinate/datacenters").await.json;
            for datacenter in found.as_array().into_iter().flatten() {
                let first = &datacenter["Coordinates"][0];
                let dimensions = first["Coord"]["Vec"].as_array().map_or(0, Vec::len);
                s.note(format!("{} {} {} {} {dimensions} {}", datacenter["Datacenter"], datacenter["AreaID"], first["Node"], first["Segment"], first["Coord"]["Height"].is_number()));
            }
            let reply = s.look("a", "/v1/coordinate/nodes").await;
            s.note(format!("{} {}", reply.status, reply.json.is_array()));
        }
    }
}
