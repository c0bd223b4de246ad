//! Health as agents and servers tell it: aggregated, watched, and with long outputs.

use std::time::Duration;

use hickory_proto::rr::RecordType;

use crate::cases;
use crate::dns::How;
use crate::rig::MASTER;
use crate::script::{Case, Script};
use crate::target::Target;

pub fn all() -> Vec<(&'static str, Case)> {
    let mut all = of_own_services();
    all.extend(checks());
    all.extend(lists());
    all.extend(watched());
    all
}

fn of_own_services() -> Vec<(&'static str, Case)> {
    cases! {
        "an agent tells the health of its own services by ID" => |s| {
            s.do_put("a", "/v1/agent/service/register", r#"{"ID":"hone-1","Name":"hone","Port":1,"Checks":[{"CheckID":"h1","TTL":"60s","Status":"passing"},{"CheckID":"h2","TTL":"60s","Status":"passing"}]}"#).await;
            for verb in ["pass", "warn", "fail"] {
                s.do_put("a", &format!("/v1/agent/check/{verb}/h2"), "").await;
                s.get("a", "/v1/agent/health/service/id/hone-1").await;
                s.get("a", "/v1/agent/health/service/id/hone-1?format=text").await;
            }
            s.do_put("a", "/v1/agent/service/maintenance/hone-1?enable=true", "").await;
            s.get("a", "/v1/agent/health/service/id/hone-1?format=text").await;
            for path in ["id/none", "name/none", "id/", "name/", "id/none?format=text"] {
                s.get("a", &format!("/v1/agent/health/service/{path}")).await;
            }
            s.do_put("a", "/v1/agent/service/deregister/hone-1", "").await;
        }
        "of several services of one name the worst counts" => |s| {
            for (id, status) in [("htwo-1", "passing"), ("htwo-2", "warning"), ("htwo-3", "critical")] {
                s.do_put("b", "/v1/agent/service/register", &format!(r#"{{"ID":"{id}","Name":"htwo","Check":{{"TTL":"60s","Status":"{status}"}}}}"#)).await;
                let reply = s.look("b", "/v1/agent/health/service/name/htwo").await;
                let mut found: Vec<String> = reply.json.as_array().into_iter().flatten().map(|one| format!("{} {}", one["Service"]["ID"], one["AggregatedStatus"])).collect();
                found.sort();
                s.note(format!("{} {}", reply.status, found.join(", ")));
                s.get("b", "/v1/agent/health/service/name/htwo?format=text").await;
            }
            for id in ["htwo-1", "htwo-2", "htwo-3"] {
                s.do_put("b", &format!("/v1/agent/service/deregister/{id}"), "").await;
            }
        }
    }
}

fn checks() -> Vec<(&'static str, Case)> {
    cases! {
        "a long note of a TTL check is cut" => |s| {
            s.do_put("a", "/v1/agent/check/register", r#"{"ID":"hthree","Name":"long","TTL":"60s"}"#).await;
            let long = "x".repeat(5000);
            s.do_put("a", "/v1/agent/check/update/hthree", &format!(r#"{{"Status":"warning","Output":"{long}"}}"#)).await;
            let shown = s.look("a", "/v1/agent/checks").await.json["hthree"]["Output"].as_str().unwrap_or("").to_owned();
            s.note(format!("{} bytes, {}", shown.len(), shown.trim_start_matches('x')));
            s.do_put("a", "/v1/agent/check/deregister/hthree", "").await;
        }
        "an HTTP check keeps the output it is told to, and follows its method and body" => |s| {
            let target = Target::start(200).await;
            s.call_it(&target.port.to_string(), "port");
            let check = format!(r#"{{"HTTP":"http://127.0.0.1:{}/x","Interval":"1s","Method":"PUT","Body":"hello","OutputMaxSize":2,"Header":{{"Accept":["a/b"]}}}}"#, target.port);
            s.do_put("a", "/v1/agent/service/register", &format!(r#"{{"Name":"hfour","Check":{check}}}"#)).await;
            s.eventually("a", "/v1/health/checks/hfour", "passing", |reply| reply.json[0]["Status"] == "passing").await;
            s.get("a", "/v1/health/checks/hfour").await;
            let request = target.last_request();
            s.note(request);
            s.do_put("a", "/v1/agent/service/deregister/hfour", "").await;
        }
        "an HTTP check that gets no answer in time is critical in the same words" => |s| {
            let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let port = silent.local_addr().expect("it is bound").port();
            s.call_it(&port.to_string(), "port");
            s.do_put("a", "/v1/agent/service/register", &format!(r#"{{"Name":"hfive","Check":{{"HTTP":"http://127.0.0.1:{port}/x","Interval":"1s","Timeout":"200ms","Status":"passing"}}}}"#)).await;
            s.eventually("a", "/v1/health/checks/hfive", "critical", |reply| reply.json[0]["Status"] == "critical").await;
            let said = s.look("a", "/v1/health/checks/hfive").await.json[0]["Output"].as_str().unwrap_or("").to_owned();
            s.note(said.split(": ").next().unwrap_or("").to_owned());
            s.do_put("a", "/v1/agent/service/deregister/hfive", "").await;
        }
        "a check of the node speaks for all of its services, in DNS too" => |s| {
            s.do_put("b", "/v1/agent/service/register", r#"{"Name":"hsix","Port":6,"Weights":{"Passing":7,"Warning":3},"Check":{"TTL":"60s","Status":"passing"}}"#).await;
            for status in ["warning", "critical"] {
                s.do_put("b", "/v1/agent/check/register", &format!(r#"{{"ID":"disk","Name":"disk","TTL":"60s","Status":"{status}"}}"#)).await;
                let verb = if status == "warning" { "warn" } else { "fail" };
                s.do_put("b", &format!("/v1/agent/check/{verb}/disk"), "").await;
                s.get("a", "/v1/health/service/hsix?passing").await;
                s.dig("a", "hsix.service.consul", RecordType::SRV, How::Udp).await;
            }
            s.do_put("b", "/v1/agent/check/deregister/disk", "").await;
            s.get("a", "/v1/health/service/hsix?passing").await;
            s.do_put("b", "/v1/agent/service/deregister/hsix", "").await;
        }
    }
}

fn lists() -> Vec<(&'static str, Case)> {
    cases! {
        "the catalog shows a node's services as a list, and no proxies" => |s| {
            s.do_put("b", "/v1/agent/service/register", r#"{"Name":"hseven","Port":7}"#).await;
            s.get("a", "/v1/catalog/node-services/b").await;
            s.get("a", "/v1/catalog/node-services/none").await;
            s.get("a", "/v1/catalog/node-services/").await;
            for path in ["/v1/catalog/connect/hseven", "/v1/health/connect/hseven", "/v1/health/ingress/hseven", "/v1/health/connect/"] {
                s.get("a", path).await;
            }
            s.do_put("b", "/v1/agent/service/deregister/hseven", "").await;
        }
        "lists take the metadata of nodes" => |s| {
            s.do_put("a", "/v1/catalog/register", r#"{"Node":"height","Address":"10.9.9.1","NodeMeta":{"rack":"r1","kind":"x"},"Service":{"Service":"heighty"},"Check":{"Name":"c","CheckID":"c","ServiceID":"heighty","Status":"passing"}}"#).await;
            for meta in ["node-meta=rack:r1", "node-meta=rack:r1&node-meta=kind:x", "node-meta=rack:r2", "node-meta=rack", "node-meta=rack:r1&node-meta=kind:y"] {
                for path in ["/v1/catalog/nodes", "/v1/catalog/services", "/v1/catalog/service/heighty", "/v1/health/service/heighty", "/v1/health/checks/heighty", "/v1/health/state/any"] {
                    let reply = s.look("a", &format!("{path}?{meta}")).await;
                    let count = reply.json.as_array().map(Vec::len).or(reply.json.as_object().map(serde_json::Map::len));
                    s.note(format!("{path} {meta}: {count:?}"));
                }
            }
            s.do_put("a", "/v1/catalog/deregister", r#"{"Node":"height"}"#).await;
        }
    }
}

/// Asks from where things are now while something is changed; whether it woke.
async fn woken(s: &mut Script<'_>, path: &str, change: (&str, &str)) {
    let index = s.look("a", path).await.index;
    let asked = format!("{path}?index={index}&wait=10s");
    let began = tokio::time::Instant::now();
    let (reply, _) = tokio::join!(s.look("b", &asked), s.do_put("a", change.0, change.1));
    let early = began.elapsed() < Duration::from_secs(9);
    s.note(format!(
        "{path}: woke early {early}, index grew {}",
        reply.index > index
    ));
}

fn watched() -> Vec<(&'static str, Case)> {
    cases! {
        "lists of nodes, services and checks wake their watchers" => |s| {
            woken(s, "/v1/catalog/nodes", ("/v1/catalog/register", r#"{"Node":"hnine","Address":"10.9.9.2"}"#)).await;
            woken(s, "/v1/catalog/services", ("/v1/catalog/register", r#"{"Node":"hnine","Address":"10.9.9.2","Service":{"Service":"hniney"}}"#)).await;
            woken(s, "/v1/catalog/node/hnine", ("/v1/catalog/register", r#"{"Node":"hnine","Address":"10.9.9.2","Service":{"Service":"hniney","Port":4}}"#)).await;
            woken(s, "/v1/catalog/service/hniney", ("/v1/catalog/register", r#"{"Node":"hnine","Address":"10.9.9.2","Service":{"Service":"hniney","Port":5}}"#)).await;
            woken(s, "/v1/health/node/hnine", ("/v1/catalog/register", r#"{"Node":"hnine","Address":"10.9.9.2","Check":{"Name":"c","CheckID":"c","ServiceID":"hniney","Status":"warning"}}"#)).await;
            woken(s, "/v1/health/checks/hniney", ("/v1/catalog/register", r#"{"Node":"hnine","Address":"10.9.9.2","Check":{"Name":"c","CheckID":"c","ServiceID":"hniney","Status":"critical"}}"#)).await;
            woken(s, "/v1/health/state/critical", ("/v1/catalog/register", r#"{"Node":"hnine","Address":"10.9.9.2","Check":{"Name":"c","CheckID":"c","ServiceID":"hniney","Status":"passing"}}"#)).await;
            woken(s, "/v1/health/service/hniney", ("/v1/catalog/deregister", r#"{"Node":"hnine","ServiceID":"hniney"}"#)).await;
            woken(s, "/v1/catalog/nodes", ("/v1/catalog/deregister", r#"{"Node":"hnine"}"#)).await;
        }
        "sessions and queries wake their watchers" => |s| {
            woken(s, "/v1/session/list", ("/v1/session/create", r#"{"Name":"hten"}"#)).await;
            let index = s.look("a", "/v1/query").await.index;
            let path = format!("/v1/query?index={index}&wait=10s");
            let made = s.quietly(reqwest::Method::POST, "a", "/v1/query", r#"{"Name":"hten","Service":{"Service":"x"}}"#);
            let (reply, (made, _)) = tokio::join!(s.look("b", &path), made);
            s.note(format!("queries: {}", reply.index > index));
            let id = made.json["ID"].as_str().unwrap_or("").to_owned();
            s.quietly(reqwest::Method::DELETE, "a", &format!("/v1/query/{id}"), "").await;
            let sessions = s.look("a", "/v1/session/list").await.json;
            let own = sessions.as_array().into_iter().flatten().find(|one| one["Name"] == "hten").expect("it is there").clone();
            s.do_put("a", &format!("/v1/session/destroy/{}", own["ID"].as_str().unwrap_or("")), "").await;
        }
    }
}

/// Where DNS marks what it has cut, and asks without a token.
pub fn guarded() -> Vec<(&'static str, Case)> {
    cases! {
        "cut UDP answers are marked where Consul is told to, and TCP has all" => |s| {
            s.token = MASTER.into();
            let rules = r#"{"Name":"heleven","Rules":"service_prefix \"\" { policy = \"read\" }\nnode_prefix \"\" { policy = \"read\" }"}"#;
            let policy = s.do_put("s", "/v1/acl/policy", rules).await.json["ID"].as_str().expect("an ID").to_owned();
            let anonymous = "/v1/acl/token/00000000-0000-0000-0000-000000000002";
            s.do_put("s", anonymous, &format!(r#"{{"Policies":[{{"ID":"{policy}"}}]}}"#)).await;
            for at in 1..=40 {
                s.do_put("s", "/v1/agent/service/register", &format!(r#"{{"ID":"heleven-{at}","Name":"heleven","Address":"10.7.0.{at}","Port":{at}}}"#)).await;
            }
            for how in [How::Udp, How::UdpWithEdns(512), How::UdpWithEdns(1232), How::UdpWithEdns(4096), How::Tcp] {
                for kind in [RecordType::SRV, RecordType::A] {
                    s.dig_count("s", "heleven.service.consul", kind, how).await;
                }
            }
            for at in 1..=40 {
                s.do_put("s", &format!("/v1/agent/service/deregister/heleven-{at}"), "").await;
            }
            s.do_put("s", anonymous, r#"{"Description":"Anonymous Token"}"#).await;
        }
    }
}
