//! An agent's own services and checks.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::cases;
use crate::rig::until;
use crate::script::{Case, Script};
use crate::target::Target;

pub fn all() -> Vec<(&'static str, Case)> {
    let mut all = services();
    all.extend(refusals());
    all.extend(maintenance());
    all.extend(ttl_checks());
    all.extend(probes());
    all.extend(about());
    all
}

fn services() -> Vec<(&'static str, Case)> {
    cases! {
        "a service with everything is shown by agent, catalog and health" => |s| {
            s.put("a", "/v1/agent/service/register", r#"{"ID":"full-1","Name":"full","Tags":["x","Y"],"Address":"10.1.2.3","Port":8080,"Meta":{"k":"v"},"Weights":{"Passing":10,"Warning":2},"EnableTagOverride":true,"Check":{"TTL":"30s","Status":"passing","Notes":"note"}}"#).await;
            s.get("a", "/v1/agent/services").await;
            s.get("a", "/v1/agent/checks").await;
            s.get("a", "/v1/health/service/full").await;
            s.get("b", "/v1/health/service/full?passing").await;
            s.get("a", "/v1/catalog/service/full").await;
            s.get("a", "/v1/catalog/services").await;
            s.get("a", "/v1/health/checks/full").await;
            s.get("a", "/v1/catalog/node/a").await;
            s.put("a", "/v1/agent/service/deregister/full-1", "").await;
            s.get("a", "/v1/health/service/full").await;
        }
        "a service with nothing but a name" => |s| {
            s.put("b", "/v1/agent/service/register", r#"{"name":"bare"}"#).await;
            s.get("b", "/v1/agent/services").await;
            s.get("a", "/v1/health/service/bare").await;
            s.get("a", "/v1/catalog/service/bare").await;
            let reply = s.look("b", "/v1/agent/service/bare").await;
            let has_hash = reply.json["ContentHash"].is_string();
            s.note(format!("{} has a hash: {has_hash}, name {}", reply.status, reply.json["Service"]));
            s.put("b", "/v1/agent/service/deregister/bare", "").await;
            s.get("b", "/v1/agent/service/bare").await;
        }
        "weights have their limits at the agent" => |s| {
            for weights in [r#"{"Passing":0,"Warning":1}"#, r#"{"Passing":65536,"Warning":1}"#, r#"{"Passing":1,"Warning":-1}"#, r#"{"Passing":65535,"Warning":0}"#, r#"{"Passing":7}"#, "{}", "null"] {
                s.put("a", "/v1/agent/service/register", &format!(r#"{{"Name":"weighed","Weights":{weights}}}"#)).await;
                let reply = s.look("a", "/v1/health/service/weighed").await;
                s.note(format!("{}", reply.json[0]["Service"]["Weights"]));
                s.do_put("a", "/v1/agent/service/deregister/weighed", "").await;
            }
        }
        "a new weight is a change of the same instance" => |s| {
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"change","Port":1,"Weights":{"Passing":1,"Warning":1},"Check":{"TTL":"30s","Status":"passing"}}"#).await;
            let before = s.look("b", "/v1/health/service/change").await.index;
            let path = format!("/v1/health/service/change?index={before}&wait=10s");
            let (reply, _) = tokio::join!(s.look("b", &path), s.do_put("a", "/v1/agent/service/register", r#"{"Name":"change","Port":1,"Weights":{"Passing":50,"Warning":1},"Check":{"TTL":"30s","Status":"passing"}}"#));
            s.note(format!("index grew: {}, weights {}", reply.index > before, reply.json[0]["Service"]["Weights"]));
            s.get("a", "/v1/health/service/change").await;
            let before = s.look("b", "/v1/health/service/change").await.index;
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"change","Port":1,"Weights":{"Passing":50,"Warning":1},"Check":{"TTL":"30s","Status":"passing"}}"#).await;
            let after = s.look("b", "/v1/health/service/change").await.index;
            s.note(format!("the same again moves nothing: {}", before == after));
            s.do_put("a", "/v1/agent/service/deregister/change", "").await;
        }
    }
}

fn refusals() -> Vec<(&'static str, Case)> {
    cases! {
        "definitions that cannot be are refused in the same words" => |s| {
            for body in [
                "", "{}", r#"{"Name":"w","Nope":1}"#, r#"{"Name":"w","Port":"1"}"#, r#"{"Name":"w","Address":"0.0.0.0"}"#,
                r#"{"Name":"w","Check":{"HTTP":"http://x"}}"#, r#"{"Name":"w","Check":{"TTL":"abc"}}"#,
                r#"{"Name":"w","Check":{"TTL":"10s","Interval":"1s"}}"#, r#"{"Name":"w","Check":{"Name":"n"}}"#,
                r#"{"Name":"w","Check":{"TTL":"10s","Status":"odd"}}"#, r#"{"Name":"w","Meta":{"consul-x":"1"}}"#,
                r#"{"Name":"w","Meta":{"a b":"1"}}"#, r#"{"Name":"w","Check":{"args":["x"],"Interval":"1s"}}"#,
            ] {
                s.put("a", "/v1/agent/service/register", body).await;
            }
            s.get("a", "/v1/agent/service/register").await;
            s.ask(Method::POST, "a", "/v1/agent/service/register", "{}").await;
            s.get("a", "/v1/agent/nothing").await;
            s.put("a", "/v1/agent/service/deregister/unknown", "").await;
            s.get("a", "/v1/agent/service/unknown").await;
        }
        "many checks get numbered IDs, and are replaced only when asked" => |s| {
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"many","Checks":[{"TTL":"30s"},{"TTL":"30s","Status":"warning","Name":"second"}]}"#).await;
            s.get("a", "/v1/health/checks/many").await;
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"many","Checks":[{"CheckID":"other","TTL":"30s"}]}"#).await;
            s.get("a", "/v1/health/checks/many").await;
            s.do_put("a", "/v1/agent/service/register?replace-existing-checks", r#"{"Name":"many","Checks":[{"CheckID":"other","TTL":"30s"}]}"#).await;
            s.get("a", "/v1/health/checks/many").await;
            s.do_put("a", "/v1/agent/service/deregister/many", "").await;
        }
        "an edit of the catalog on a node with an agent comes undone" => |s| {
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"mine","Port":1}"#).await;
            s.put("a", "/v1/catalog/register", r#"{"Node":"a","SkipNodeUpdate":true,"Service":{"ID":"mine","Service":"mine","Port":2}}"#).await;
            let reply = s.look("a", "/v1/catalog/service/mine").await;
            s.note(format!("port {}", reply.json[0]["ServicePort"]));
            s.do_put("a", "/v1/agent/service/deregister/mine", "").await;
            s.get("a", "/v1/catalog/service/mine").await;
        }
    }
}

fn maintenance() -> Vec<(&'static str, Case)> {
    cases! {
        "maintenance takes an instance out and back" => |s| {
            s.do_put("a", "/v1/agent/service/register", r#"{"ID":"maint-1","Name":"maint","Tags":["t"],"Check":{"TTL":"30s","Status":"passing"}}"#).await;
            s.put("a", "/v1/agent/service/maintenance/maint-1?enable=true&reason=share%20is%200", "").await;
            s.get("a", "/v1/health/service/maint").await;
            s.get("a", "/v1/health/service/maint?passing=1").await;
            s.get("a", "/v1/agent/checks").await;
            s.do_put("a", "/v1/agent/service/register", r#"{"ID":"maint-1","Name":"maint","Tags":["t"],"Weights":{"Passing":5,"Warning":1},"Check":{"TTL":"30s","Status":"passing"}}"#).await;
            let reply = s.look("a", "/v1/health/service/maint").await;
            s.note(format!("checks after a registration: {}", reply.json[0]["Checks"].as_array().map_or(0, Vec::len)));
            s.put("a", "/v1/agent/service/maintenance/maint-1?enable=false", "").await;
            s.get("a", "/v1/health/service/maint?passing").await;
            s.do_put("a", "/v1/agent/service/maintenance/maint-1?enable=true", "").await;
            s.get("a", "/v1/health/checks/maint").await;
            s.do_put("a", "/v1/agent/service/register?replace-existing-checks", r#"{"ID":"maint-1","Name":"maint","Check":{"TTL":"30s","Status":"passing"}}"#).await;
            let reply = s.look("a", "/v1/health/service/maint").await;
            s.note(format!("checks after a replacement: {}", reply.json[0]["Checks"].as_array().map_or(0, Vec::len)));
            s.do_put("a", "/v1/agent/service/deregister/maint-1", "").await;
        }
        "maintenance needs a service and a yes or no" => |s| {
            s.put("a", "/v1/agent/service/maintenance/unknown?enable=true", "").await;
            s.put("a", "/v1/agent/service/maintenance/unknown?enable=maybe", "").await;
            s.put("a", "/v1/agent/service/maintenance/unknown", "").await;
            s.put("a", "/v1/agent/service/maintenance/?enable=true", "").await;
        }
        "a node in maintenance" => |s| {
            s.do_put("b", "/v1/agent/service/register", r#"{"Name":"onb"}"#).await;
            s.put("b", "/v1/agent/maintenance?enable=true", "").await;
            s.get("a", "/v1/health/node/b").await;
            s.get("a", "/v1/health/service/onb?passing").await;
            s.put("b", "/v1/agent/maintenance?enable=false", "").await;
            s.get("a", "/v1/health/node/b").await;
            s.do_put("b", "/v1/agent/service/deregister/onb", "").await;
        }
    }
}

fn ttl_checks() -> Vec<(&'static str, Case)> {
    cases! {
        "a TTL check passes, warns, fails and takes notes" => |s| {
            s.put("a", "/v1/agent/check/register", r#"{"ID":"ttl-1","Name":"ttl","TTL":"60s","Notes":"n"}"#).await;
            s.get("a", "/v1/agent/checks").await;
            for verb in ["pass", "warn", "fail"] {
                s.put("a", &format!("/v1/agent/check/{verb}/ttl-1?note=n-{verb}"), "").await;
                s.get("a", "/v1/agent/checks").await;
            }
            s.put("a", "/v1/agent/check/update/ttl-1", r#"{"Status":"passing","Output":"all is well"}"#).await;
            s.put("a", "/v1/agent/check/update/ttl-1", r#"{"Status":"odd"}"#).await;
            s.get("a", "/v1/health/node/a").await;
            s.put("a", "/v1/agent/check/deregister/ttl-1", "").await;
            s.get("a", "/v1/health/node/a").await;
        }
        "a check that is no TTL check, or is not there, cannot be updated" => |s| {
            s.put("a", "/v1/agent/check/pass/unknown", "").await;
            s.put("a", "/v1/agent/check/deregister/unknown", "").await;
            for body in [r#"{"TTL":"1s"}"#, r#"{"Name":"x"}"#, r#"{"Name":"x","TTL":"1s","Status":"odd"}"#, r#"{"Name":"x","TTL":"1s","ServiceID":"unknown"}"#, r#"{"Name":"x","HTTP":"http://x"}"#] {
                s.put("a", "/v1/agent/check/register", body).await;
            }
        }
        "a TTL that nobody renews runs out" => |s| {
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"expiring","Check":{"TTL":"1s","Status":"passing"}}"#).await;
            s.do_put("a", "/v1/agent/check/pass/service:expiring?note=fine", "").await;
            s.eventually("a", "/v1/health/checks/expiring", "critical", |reply| reply.json[0]["Status"] == "critical").await;
            s.get("a", "/v1/health/checks/expiring").await;
            s.get("a", "/v1/health/state/critical").await;
            s.do_put("a", "/v1/agent/service/deregister/expiring", "").await;
        }
        "a check of a known service comes and goes" => |s| {
            s.do_put("a", "/v1/agent/service/register", r#"{"ID":"with-1","Name":"with","Tags":["t"]}"#).await;
            s.put("a", "/v1/agent/check/register", r#"{"Name":"extra","ServiceID":"with-1","TTL":"30s","Status":"warning"}"#).await;
            s.get("a", "/v1/health/service/with").await;
            s.get("a", "/v1/health/service/with?passing").await;
            s.put("a", "/v1/agent/check/deregister/extra", "").await;
            s.get("a", "/v1/health/service/with?passing").await;
            s.do_put("a", "/v1/agent/service/deregister/with-1", "").await;
        }
    }
}

async fn probe(s: &mut Script<'_>, name: &str, check: &str, wanted: &'static str) {
    s.do_put(
        "a",
        "/v1/agent/service/register",
        &format!(r#"{{"Name":"{name}","Check":{check}}}"#),
    )
    .await;
    let path = format!("/v1/health/checks/{name}");
    let has_run = |reply: &crate::script::Reply| {
        reply.json[0]["Status"] == wanted && reply.json[0]["Output"] != ""
    };
    s.eventually("a", &path, wanted, has_run).await;
    s.get("a", &path).await;
}

fn probes() -> Vec<(&'static str, Case)> {
    cases! {
        "HTTP checks really run: 200 passes, 429 warns, 503 is critical" => |s| {
            let target = Target::start(200).await;
            s.call_it(&target.port.to_string(), "port");
            let check = format!(r#"{{"HTTP":"http://127.0.0.1:{}/health","Interval":"1s","Timeout":"1s","Method":"POST","Header":{{"X-Test":["one","two"]}}}}"#, target.port);
            probe(s, "web", &check, "passing").await;
            let request = target.last_request();
            s.note(request);
            for (status, wanted) in [(429, "warning"), (503, "critical"), (204, "passing")] {
                target.answer_with(status);
                s.eventually("a", "/v1/health/checks/web", wanted, |reply| reply.json[0]["Status"] == wanted).await;
                s.get("a", "/v1/health/checks/web").await;
            }
            s.do_put("a", "/v1/agent/service/deregister/web", "").await;
        }
        "an HTTP check at a closed port is critical in the same words" => |s| {
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"closed","Check":{"HTTP":"http://127.0.0.1:9/x","Interval":"1s","Status":"passing"}}"#).await;
            s.eventually("a", "/v1/health/checks/closed", "critical", |reply| reply.json[0]["Status"] == "critical").await;
            s.get("a", "/v1/health/checks/closed").await;
            s.do_put("a", "/v1/agent/service/deregister/closed", "").await;
        }
        "TCP checks connect or say why not" => |s| {
            let target = Target::start(200).await;
            s.call_it(&target.port.to_string(), "port");
            probe(s, "open", &format!(r#"{{"TCP":"127.0.0.1:{}","Interval":"1s"}}"#, target.port), "passing").await;
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"shut","Check":{"TCP":"127.0.0.1:9","Interval":"1s","Status":"passing"}}"#).await;
            s.eventually("a", "/v1/health/checks/shut", "critical", |reply| reply.json[0]["Status"] == "critical").await;
            s.get("a", "/v1/health/checks/shut").await;
            s.do_put("a", "/v1/agent/service/deregister/open", "").await;
            s.do_put("a", "/v1/agent/service/deregister/shut", "").await;
        }
        "a check's status survives its registration anew" => |s| {
            let body = r#"{"Name":"again","Check":{"TTL":"30s","Status":"passing"}}"#;
            s.do_put("a", "/v1/agent/service/register", body).await;
            s.do_put("a", "/v1/agent/check/warn/service:again?note=hm", "").await;
            s.do_put("a", "/v1/agent/service/register", body).await;
            s.get("a", "/v1/health/checks/again").await;
            s.do_put("a", "/v1/agent/service/deregister/again", "").await;
        }
        "failures_before_critical holds a status for some runs" => |s| {
            let target = Target::start(503).await;
            let check = format!(r#"{{"HTTP":"http://127.0.0.1:{}/","Interval":"1s","Status":"passing","FailuresBeforeCritical":1,"SuccessBeforePassing":1}}"#, target.port);
            s.do_put("a", "/v1/agent/service/register", &format!(r#"{{"Name":"patient","Check":{check}}}"#)).await;
            s.eventually("a", "/v1/health/checks/patient", "critical", |reply| reply.json[0]["Status"] == "critical").await;
            s.do_put("a", "/v1/agent/service/deregister/patient", "").await;
        }
    }
}

fn about() -> Vec<(&'static str, Case)> {
    cases! {
        "an agent says who it is" => |s| {
            for agent in ["a", "b", "p"] {
                let about = s.look(agent, "/v1/agent/self").await.json;
                let id = about["Config"]["NodeID"].as_str().unwrap_or("").to_owned();
                s.call_it(&id, "node ID");
                s.note(format!("{:#}", about["Config"]));
                s.note(format!("{:#}", about["Member"]));
                s.note(format!("{:#}", about["Meta"]));
                let vector = about["Coord"]["Vec"].as_array().map_or(0, Vec::len);
                s.note(format!("{vector} dimensions, height {}, config {}", about["Coord"]["Height"].is_number(), about["DebugConfig"].is_object()));
            }
        }
        "members are known to each other" => |s| {
            for path in ["/v1/agent/members", "/v1/agent/members?wan=1"] {
                let mut names: Vec<String> = Vec::new();
                for member in s.look("a", path).await.json.as_array().into_iter().flatten() {
                    let tag = |name: &str| member["Tags"][name].as_str().unwrap_or("").to_owned();
                    names.push(format!("{} {} {} {} {} {}", member["Name"], member["Addr"], member["Port"], member["Status"], tag("role"), tag("dc")));
                }
                names.sort();
                s.note(names.join("\n"));
            }
        }
        "status names the leader" => |s| {
            for agent in ["a", "b", "p"] {
                s.get(agent, "/v1/status/leader").await;
                s.get(agent, "/v1/status/peers").await;
            }
            s.get("a", "/v1/status/leader?dc=provider").await;
            s.get("a", "/v1/nope").await;
        }
    }
}

/// What takes a real Consul its minute is begun here and looked at in the end.
pub fn first() -> Vec<(&'static str, Case)> {
    cases! {
        "a service that is to go when it is critical is there at first, even when that is asked for at once" => |s| {
            s.put("p", "/v1/agent/service/register", r#"{"Name":"doomed","Port":1,"Check":{"TTL":"60s","Status":"critical","DeregisterCriticalServiceAfter":"1m"}}"#).await;
            s.put("p", "/v1/agent/service/register", r#"{"Name":"spared","Port":1,"Check":{"TTL":"10m","Status":"passing","DeregisterCriticalServiceAfter":"1m"}}"#).await;
            s.do_put("p", "/v1/agent/check/fail/service:doomed", "").await;
            s.do_put("p", "/v1/agent/check/fail/service:spared", "").await;
            s.do_put("p", "/v1/agent/check/warn/service:spared", "").await;
            s.get("a", "/v1/health/checks/doomed?dc=provider").await;
        }
    }
}

/// Cases that leave the estate unfit for others.
pub fn last() -> Vec<(&'static str, Case)> {
    cases! {
        "a service that was critical for its time is deregistered, one that is not stays" => |s| {
            let gone = |reply: &crate::script::Reply| reply.json == json!([]);
            s.eventually_within(Duration::from_secs(120), ("a", "/v1/catalog/service/doomed?dc=provider"), "gone", gone).await;
            let own = s.look("p", "/v1/agent/services").await.json;
            s.note(format!("doomed {}, spared {}", own["doomed"].is_object(), own["spared"].is_object()));
            s.get("p", "/v1/agent/checks").await;
            s.do_put("p", "/v1/agent/service/deregister/spared", "").await;
        }
        "a client agent without servers still knows its own" => |s| {
            s.do_put("b", "/v1/agent/service/register", r#"{"Name":"alone","Port":1,"Check":{"TTL":"60s","Status":"passing"}}"#).await;
            s.rig.isolate_b();
            let this = &*s;
            let noticed = until(Duration::from_secs(30), || async move { this.look("b", "/v1/kv/k").await.text == "No known Consul servers" }).await;
            s.note(format!("noticed: {noticed}"));
            for path in ["/v1/kv/k", "/v1/health/service/alone", "/v1/catalog/nodes", "/v1/session/list", "/v1/status/leader", "/v1/catalog/datacenters", "/v1/kv/k?dc=provider", "/v1/coordinate/nodes"] {
                s.get("b", path).await;
            }
            s.put("b", "/v1/kv/k", "x").await;
            s.put("b", "/v1/session/create", "").await;
            s.put("b", "/v1/txn", r#"[{"KV":{"Verb":"set","Key":"k","Value":"eA=="}}]"#).await;
            s.get("b", "/v1/agent/services").await;
            s.get("b", "/v1/agent/checks").await;
            s.put("b", "/v1/agent/service/register", r#"{"Name":"later","Port":2}"#).await;
            s.put("b", "/v1/agent/service/maintenance/alone?enable=true", "").await;
            s.put("b", "/v1/agent/check/warn/service:alone", "").await;
            let own = s.look("b", "/v1/agent/services").await.json;
            s.note(format!("later is there: {}", own["later"]["Port"] == json!(2)));
            s.dig("b", "alone.service.consul", hickory_proto::rr::RecordType::SRV, crate::dns::How::Udp).await;
        }
    }
}
