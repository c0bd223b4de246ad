//! Access control with a default of deny. The only agent is `s`.

use hickory_proto::rr::RecordType;
use reqwest::Method;

use crate::cases;
use crate::dns::How;
use crate::rig::MASTER;
use crate::script::{Case, Script};

const UNKNOWN: &str = "adf4238a-882b-9ddc-4a9d-5b6758e4159e";
const BUILTIN: &str = "00000000-0000-0000-0000-000000000001";
const ANONYMOUS: &str = "00000000-0000-0000-0000-000000000002";

pub fn all() -> Vec<(&'static str, Case)> {
    let mut all = strangers();
    all.extend(policies());
    all.extend(tokens());
    all.extend(rights());
    all.extend(more_rights());
    all.extend(least_rights());
    all
}

/// A token with these rules; its secret.
async fn token(s: &mut Script<'_>, name: &str, rules: &str) -> String {
    let before = std::mem::replace(&mut s.token, MASTER.into());
    let policy = serde_json::json!({"Name": name, "Rules": rules}).to_string();
    let policy = s.do_put("s", "/v1/acl/policy", &policy).await.json["ID"]
        .as_str()
        .expect("an ID")
        .to_owned();
    let body = format!(r#"{{"Description":"{name}","Policies":[{{"ID":"{policy}"}}]}}"#);
    let made = s.do_put("s", "/v1/acl/token", &body).await.json;
    let text = |field: &str| made[field].as_str().expect("an ID").to_owned();
    s.call_it(&policy, "policy");
    s.call_it(&text("AccessorID"), "accessor");
    s.call_it(&text("SecretID"), "secret");
    s.token = before;
    text("SecretID")
}

fn strangers() -> Vec<(&'static str, Case)> {
    cases! {
        "without a token lists are empty" => |s| {
            for path in [
                "/v1/catalog/nodes", "/v1/catalog/services", "/v1/catalog/service/consul", "/v1/catalog/node/s", "/v1/catalog/datacenters", "/v1/health/service/consul",
                "/v1/health/node/s", "/v1/health/state/any", "/v1/health/checks/consul", "/v1/agent/services", "/v1/agent/checks", "/v1/agent/members",
                "/v1/agent/service/x", "/v1/session/list", "/v1/session/node/s", "/v1/config/service-defaults", "/v1/query", "/v1/coordinate/nodes", "/v1/status/leader",
                "/v1/kv/a?recurse", "/v1/kv/a?keys", "/v1/query/q/execute",
            ] {
                s.get("s", path).await;
            }
        }
        "without a token what has a name is denied" => |s| {
            for path in ["/v1/agent/self", "/v1/kv/a", "/v1/config/service-defaults/x", "/v1/operator/raft/configuration", "/v1/acl/tokens", "/v1/acl/policies", "/v1/acl/token/self", "/v1/acl/roles"] {
                s.get("s", path).await;
            }
            for (path, body) in [
                ("/v1/agent/service/register", r#"{"Name":"web"}"#), ("/v1/agent/service/deregister/web", ""), ("/v1/agent/check/register", r#"{"Name":"c","TTL":"10s"}"#),
                ("/v1/agent/maintenance?enable=true", ""), ("/v1/agent/service/maintenance/web?enable=true", ""), ("/v1/agent/check/pass/x", ""), ("/v1/agent/check/deregister/x", ""),
                ("/v1/agent/force-leave/x", ""), ("/v1/kv/a", "x"), ("/v1/session/create", ""), ("/v1/catalog/register", r#"{"Node":"x","Address":"1.1.1.1"}"#),
                ("/v1/catalog/deregister", r#"{"Node":"x"}"#), ("/v1/config", r#"{"Kind":"service-defaults","Name":"x"}"#), ("/v1/config", r#"{"Kind":"proxy-defaults","Name":"global"}"#),
                ("/v1/acl/token", "{}"), ("/v1/acl/policy", r#"{"Name":"p"}"#), ("/v1/coordinate/update", r#"{"Node":"x","Coord":{"Vec":[1,0,0,0,0,0,0,0]}}"#),
                ("/v1/txn", r#"[{"KV":{"Verb":"set","Key":"a","Value":"eA=="}}]"#), ("/v1/txn", r#"[{"KV":{"Verb":"get","Key":"a"}}]"#),
                (&format!("/v1/session/renew/{UNKNOWN}"), ""), (&format!("/v1/session/destroy/{UNKNOWN}"), ""),
            ] {
                s.put("s", path, body).await;
            }
            for path in ["/v1/kv/a", "/v1/kv/a?recurse", "/v1/config/service-defaults/x"] {
                s.delete("s", path).await;
            }
            s.ask(Method::POST, "s", "/v1/query", r#"{"Name":"q","Service":{"Service":"web"}}"#).await;
        }
        "a token that is not known is refused everywhere" => |s| {
            s.token = UNKNOWN.into();
            for path in ["/v1/kv/a", "/v1/catalog/nodes", "/v1/agent/self", "/v1/agent/services", "/v1/acl/token/self", "/v1/acl/tokens", "/v1/session/list", "/v1/health/service/consul"] {
                s.get("s", path).await;
            }
            s.put("s", "/v1/agent/service/register", r#"{"Name":"web"}"#).await;
            s.put("s", "/v1/session/create", "").await;
            s.put("s", "/v1/kv/a", "x").await;
        }
        "DNS asks without a token" => |s| {
            s.dig("s", "consul.service.consul", RecordType::SRV, How::Udp).await;
            s.dig("s", "s.node.consul", RecordType::A, How::Udp).await;
        }
    }
}

fn policies() -> Vec<(&'static str, Case)> {
    cases! {
        "policies are made, shown, changed and removed" => |s| {
            s.token = MASTER.into();
            let made = s.put("s", "/v1/acl/policy", r#"{"Name":"pone","Description":"d","Rules":"key_prefix \"a/\" { policy = \"write\" }"}"#).await.json;
            let id = made["ID"].as_str().expect("an ID").to_owned();
            s.call_it(&id, "policy");
            s.get("s", &format!("/v1/acl/policy/{id}")).await;
            s.get("s", "/v1/acl/policy/name/pone").await;
            s.put("s", &format!("/v1/acl/policy/{id}"), r#"{"Name":"ponec","Rules":"key_prefix \"b/\" { policy = \"read\" }"}"#).await;
            s.get("s", "/v1/acl/policies").await;
            s.get("s", &format!("/v1/acl/policy/{BUILTIN}")).await;
            s.delete("s", &format!("/v1/acl/policy/{id}")).await;
            s.delete("s", &format!("/v1/acl/policy/{id}")).await;
            s.get("s", &format!("/v1/acl/policy/{id}")).await;
        }
        "policies that cannot be are refused in the same words" => |s| {
            s.token = MASTER.into();
            let id = s.do_put("s", "/v1/acl/policy", r#"{"Name":"ptwo"}"#).await.json["ID"].as_str().expect("an ID").to_owned();
            s.call_it(&id, "policy");
            for body in [
                "", "{}", r#"{"Name":"ptwo"}"#, r#"{"Name":"bad name"}"#, r#"{"Name":"x","Nope":1}"#, r#"{"ID":"nope","Name":"x"}"#,
                r#"{"Name":"x","Rules":"key \"a\" { policy = \"odd\" }"}"#,
            ] {
                s.put("s", "/v1/acl/policy", body).await;
            }
            let (reply, _) = s.quietly(Method::PUT, "s", "/v1/acl/policy", r#"{"Name":"x","Rules":"bad {"}"#).await;
            s.note(format!("rules that are none: {} {}", reply.status, reply.text.starts_with("Failed to parse ACL rules: ")));
            s.put("s", &format!("/v1/acl/policy/{id}"), &format!(r#"{{"ID":"{UNKNOWN}","Name":"ptwo"}}"#)).await;
            s.put("s", &format!("/v1/acl/policy/{UNKNOWN}"), r#"{"Name":"pthree"}"#).await;
            s.put("s", &format!("/v1/acl/policy/{BUILTIN}"), r#"{"Name":"global-management","Rules":""}"#).await;
            for path in ["nope", UNKNOWN, "name/nope", "name/", ""] {
                s.get("s", &format!("/v1/acl/policy/{path}")).await;
            }
            s.delete("s", "/v1/acl/policy/nope").await;
            s.delete("s", &format!("/v1/acl/policy/{BUILTIN}")).await;
            s.delete("s", &format!("/v1/acl/policy/{id}")).await;
        }
    }
}

fn tokens() -> Vec<(&'static str, Case)> {
    cases! {
        "tokens are made, shown, changed, copied and removed" => |s| {
            s.token = MASTER.into();
            let policy = s.do_put("s", "/v1/acl/policy", r#"{"Name":"tone"}"#).await.json["ID"].as_str().expect("an ID").to_owned();
            s.call_it(&policy, "policy");
            let made = s.put("s", "/v1/acl/token", r#"{"Description":"t","Policies":[{"Name":"tone"}],"ServiceIdentities":[{"ServiceName":"web"}]}"#).await.json;
            let accessor = made["AccessorID"].as_str().expect("an ID").to_owned();
            s.call_it(&accessor, "accessor");
            s.get("s", &format!("/v1/acl/token/{accessor}")).await;
            s.get("s", "/v1/acl/tokens").await;
            s.get("s", &format!("/v1/acl/tokens?policy={policy}")).await;
            s.put("s", &format!("/v1/acl/token/{accessor}"), r#"{"Description":"changed"}"#).await;
            let copy = s.put("s", &format!("/v1/acl/token/{accessor}/clone"), r#"{"Description":"copy"}"#).await.json;
            let copy = copy["AccessorID"].as_str().expect("an ID").to_owned();
            s.call_it(&copy, "copy");
            for id in [&accessor, &copy, &accessor] {
                s.delete("s", &format!("/v1/acl/token/{id}")).await;
            }
            s.get("s", &format!("/v1/acl/token/{accessor}")).await;
            s.get("s", "/v1/acl/token/self").await;
            s.get("s", &format!("/v1/acl/token/{ANONYMOUS}")).await;
            s.delete("s", &format!("/v1/acl/policy/{policy}")).await;
        }
        "tokens that cannot be are refused in the same words" => |s| {
            s.token = MASTER.into();
            let known = "adf4238a-882b-9ddc-4a9d-5b6758e41500";
            s.put("s", "/v1/acl/token", &format!(r#"{{"AccessorID":"{known}","SecretID":"{known}","Local":true,"ExpirationTTL":"1h"}}"#)).await;
            for body in [
                "", r#"{"Nope":1}"#, r#"{"Policies":[{"Name":"nope"}]}"#, r#"{"Policies":[{"ID":"adf4238a-882b-9ddc-4a9d-5b6758e4159e"}]}"#,
                r#"{"AccessorID":"x"}"#, r#"{"ExpirationTTL":"1s"}"#, &format!(r#"{{"SecretID":"{known}"}}"#), &format!(r#"{{"AccessorID":"{known}"}}"#),
            ] {
                s.put("s", "/v1/acl/token", body).await;
            }
            s.put("s", &format!("/v1/acl/token/{known}"), r#"{"Description":"no longer local"}"#).await;
            s.put("s", &format!("/v1/acl/token/{known}"), &format!(r#"{{"AccessorID":"{UNKNOWN}"}}"#)).await;
            s.put("s", &format!("/v1/acl/token/{UNKNOWN}"), "{}").await;
            for path in ["nope", UNKNOWN, ""] {
                s.get("s", &format!("/v1/acl/token/{path}")).await;
            }
            for path in ["nope", ANONYMOUS, UNKNOWN, known] {
                s.delete("s", &format!("/v1/acl/token/{path}")).await;
            }
        }
        "the master token was there first" => |s| {
            let (reply, _) = s.quietly(Method::PUT, "s", "/v1/acl/bootstrap", "").await;
            s.note(format!("{} {}", reply.status, reply.text.split("(reset").next().unwrap_or("")));
            s.get("s", "/v1/acl/replication").await;
            s.token = MASTER.into();
            for path in ["/v1/acl/roles", "/v1/acl/auth-methods", "/v1/acl/binding-rules"] {
                s.get("s", path).await;
            }
        }
    }
}

fn rights() -> Vec<(&'static str, Case)> {
    cases! {
        "rules for keys: the exact one, then the longest prefix" => |s| {
            s.token = MASTER.into();
            for key in ["rone/x", "rone/secret", "rtwo/x", "other/x"] {
                s.do_put("s", &format!("/v1/kv/{key}"), "1").await;
            }
            s.token = token(s, "rone", r#"key_prefix "rone/" { policy = "write" } key "rone/secret" { policy = "deny" } key_prefix "rtwo/" { policy = "read" } key_prefix "rone/deep/" { policy = "read" }"#.replace("} key", "}\nkey").as_str()).await;
            for key in ["rone/x", "rone/secret", "rone/deep/x", "rtwo/x", "other/x"] {
                s.get("s", &format!("/v1/kv/{key}?raw")).await;
                s.put("s", &format!("/v1/kv/{key}"), "2").await;
            }
            s.get("s", "/v1/kv/?recurse").await;
            s.get("s", "/v1/kv/?keys").await;
            s.get("s", "/v1/kv/other?recurse").await;
            for path in ["rone/x", "rone/secret", "rone/?recurse", "rone/x?recurse", "rtwo/?recurse"] {
                s.delete("s", &format!("/v1/kv/{path}")).await;
            }
            s.put("s", "/v1/txn", r#"[{"KV":{"Verb":"set","Key":"rone/x","Value":"eA=="}},{"KV":{"Verb":"set","Key":"rtwo/x","Value":"eA=="}},{"KV":{"Verb":"delete-tree","Key":"rone/"}}]"#).await;
            s.put("s", "/v1/txn", r#"[{"KV":{"Verb":"set","Key":"rone/x","Value":"eA=="}},{"KV":{"Verb":"get-tree","Key":""}}]"#).await;
            s.put("s", "/v1/txn", r#"[{"KV":{"Verb":"get","Key":"rone/secret"}}]"#).await;
        }
        "what a token may do is told to who asks" => |s| {
            let path = "/v1/internal/acl/authorize";
            let asked = r#"[{"Resource":"service","Access":"write","Segment":"rten"},{"Resource":"service","Access":"write","Segment":"other"},
                {"Resource":"service","Access":"read","Segment":"other"},{"Resource":"session","Access":"write","Segment":"s"},{"Resource":"key","Access":"list","Segment":"a"},
                {"Resource":"operator","Access":"read"}]"#;
            s.ask(Method::POST, "s", path, asked).await;
            s.token = token(s, "rten", "service \"rten\" { policy = \"write\" }\nservice_prefix \"\" { policy = \"read\" }\nsession \"s\" { policy = \"write\" }\noperator = \"read\"").await;
            s.ask(Method::POST, "s", path, asked).await;
            for body in ["[]", r#"[{"Resource":"service","Access":"list","Segment":"x"}]"#, r#"[{"Resource":"nope","Access":"read"}]"#] {
                s.ask(Method::POST, "s", path, body).await;
            }
            let one = r#"{"Resource":"service","Access":"read","Segment":"x"}"#;
            s.ask(Method::POST, "s", path, &format!("[{}]", vec![one; 65].join(","))).await;
            s.get("s", path).await;
            s.token = MASTER.into();
            s.ask(Method::POST, "s", path, asked).await;
            s.token = UNKNOWN.into();
            s.ask(Method::POST, "s", path, asked).await;
        }
        "rules for services: registration, checks and maintenance" => |s| {
            s.token = token(s, "rthree", "service \"rthree\" { policy = \"write\" }\nservice_prefix \"\" { policy = \"read\" }\nnode_prefix \"\" { policy = \"read\" }").await;
            for name in ["rthree", "other"] {
                s.put("s", "/v1/agent/service/register", &format!(r#"{{"Name":"{name}","ID":"{name}-1","Check":{{"CheckID":"{name}","TTL":"60s","Status":"passing"}}}}"#)).await;
            }
            s.get("s", "/v1/agent/services").await;
            s.get("s", "/v1/agent/checks").await;
            s.get("s", "/v1/health/service/rthree").await;
            s.get("s", "/v1/catalog/nodes").await;
            s.get("s", "/v1/catalog/services").await;
            s.put("s", "/v1/agent/check/warn/rthree", "").await;
            s.put("s", "/v1/agent/service/maintenance/rthree-1?enable=true", "").await;
            s.put("s", "/v1/agent/service/maintenance/none?enable=true", "").await;
            s.put("s", "/v1/agent/check/register", r#"{"Name":"more","ServiceID":"rthree-1","TTL":"10s"}"#).await;
            s.put("s", "/v1/agent/check/register", r#"{"Name":"node's","TTL":"10s"}"#).await;
            s.put("s", "/v1/agent/check/deregister/more", "").await;
            s.put("s", "/v1/agent/maintenance?enable=true", "").await;
            s.put("s", "/v1/agent/service/register", r#"{"Name":"other","ID":"rthree-1"}"#).await;
            s.put("s", "/v1/catalog/register", r#"{"Node":"x","Address":"1.1.1.1","Service":{"Service":"rthree"}}"#).await;
            let reader = token(s, "rfour", "service_prefix \"\" { policy = \"read\" }").await;
            let writer = std::mem::replace(&mut s.token, reader);
            s.put("s", "/v1/agent/service/deregister/rthree-1", "").await;
            s.put("s", "/v1/agent/check/pass/rthree", "").await;
            s.get("s", "/v1/health/service/rthree").await;
            s.get("s", "/v1/agent/services").await;
            s.token = writer;
            s.put("s", "/v1/agent/service/deregister/rthree-1", "").await;
        }
    }
}

fn more_rights() -> Vec<(&'static str, Case)> {
    cases! {
        "rules for sessions, agents and operators" => |s| {
            s.token = token(s, "rfive", "session \"s\" { policy = \"write\" }\nagent \"s\" { policy = \"read\" }\noperator = \"read\"").await;
            let id = s.put("s", "/v1/session/create", r#"{"Name":"mine","NodeChecks":[]}"#).await.json["ID"].as_str().expect("an ID").to_owned();
            s.call_it(&id, "session");
            s.get("s", "/v1/session/list").await;
            s.put("s", &format!("/v1/session/renew/{id}"), "").await;
            s.put("s", "/v1/session/create", r#"{"Node":"other"}"#).await;
            let about = s.look("s", "/v1/agent/self").await;
            s.note(format!("self: {} {}", about.status, about.json["Config"]["NodeName"]));
            let raft = s.look("s", "/v1/operator/raft/configuration").await;
            s.note(format!("raft: {} {}", raft.status, raft.json["Servers"][0]["Leader"]));
            s.put("s", "/v1/agent/force-leave/s", "").await;
            s.put("s", "/v1/agent/reload", "").await;
            let stranger = std::mem::take(&mut s.token);
            s.put("s", &format!("/v1/session/destroy/{id}"), "").await;
            s.put("s", &format!("/v1/session/renew/{id}"), "").await;
            s.token = stranger;
            s.put("s", &format!("/v1/session/destroy/{id}"), "").await;
        }
        "rules for entries and queries" => |s| {
            s.token = token(s, "rsix", "service \"rsix\" { policy = \"write\" }\nquery_prefix \"rsix\" { policy = \"write\" }\nnode_prefix \"\" { policy = \"read\" }").await;
            s.put("s", "/v1/config", r#"{"Kind":"service-defaults","Name":"rsix","Protocol":"http"}"#).await;
            s.put("s", "/v1/config", r#"{"Kind":"service-defaults","Name":"other","Protocol":"http"}"#).await;
            s.get("s", "/v1/config/service-defaults").await;
            s.get("s", "/v1/config/service-defaults/rsix").await;
            s.get("s", "/v1/config/service-defaults/other").await;
            s.delete("s", "/v1/config/service-defaults/rsix").await;
            let reply = s.quietly(Method::POST, "s", "/v1/query", r#"{"Name":"rsix-q","Service":{"Service":"consul"}}"#).await.0;
            let id = reply.json["ID"].as_str().expect("an ID").to_owned();
            s.call_it(&id, "query");
            s.ask(Method::POST, "s", "/v1/query", r#"{"Name":"other","Service":{"Service":"consul"}}"#).await;
            s.get("s", "/v1/query/rsix-q/execute").await;
            let own = std::mem::take(&mut s.token);
            s.get("s", "/v1/query").await;
            s.get("s", &format!("/v1/query/{id}")).await;
            s.get("s", "/v1/query/rsix-q/explain").await;
            s.delete("s", &format!("/v1/query/{id}")).await;
            s.token = own;
            s.delete("s", &format!("/v1/query/{id}")).await;
        }
        "a service identity writes its own service" => |s| {
            s.token = MASTER.into();
            let made = s.do_put("s", "/v1/acl/token", r#"{"ServiceIdentities":[{"ServiceName":"rseven"}]}"#).await.json;
            s.token = made["SecretID"].as_str().expect("an ID").to_owned();
            for name in ["rseven", "rseven-sidecar-proxy", "other"] {
                s.put("s", "/v1/agent/service/register", &format!(r#"{{"Name":"{name}"}}"#)).await;
                s.put("s", &format!("/v1/agent/service/deregister/{name}"), "").await;
            }
            s.get("s", "/v1/health/service/consul").await;
            s.get("s", "/v1/kv/a").await;
        }
        "a token comes by header, query or as a bearer" => |s| {
            s.do_get_with("s", "/v1/kv/bearer", &[("authorization", &format!("Bearer {MASTER}"))]).await;
            s.do_get_with("s", "/v1/kv/bearer", &[("x-consul-token", MASTER)]).await;
            s.do_get_with("s", &format!("/v1/kv/bearer?token={MASTER}"), &[]).await;
            s.do_get_with("s", &format!("/v1/kv/bearer?token={MASTER}"), &[("x-consul-token", UNKNOWN)]).await;
        }
        "the anonymous token's policies count for those without one" => |s| {
            s.token = MASTER.into();
            let made = s.do_put("s", "/v1/acl/policy", r#"{"Name":"reight","Rules":"service_prefix \"\" { policy = \"read\" }\nnode_prefix \"\" { policy = \"read\" }"}"#).await.json;
            let id = made["ID"].as_str().expect("an ID").to_owned();
            s.call_it(&id, "policy");
            s.put("s", &format!("/v1/acl/token/{ANONYMOUS}"), &format!(r#"{{"Policies":[{{"ID":"{id}"}}]}}"#)).await;
            s.token = String::new();
            s.get("s", "/v1/health/service/consul").await;
            s.dig("s", "consul.service.consul", RecordType::SRV, How::Udp).await;
            s.dig("s", "s.node.consul", RecordType::A, How::Udp).await;
            s.token = MASTER.into();
            s.put("s", &format!("/v1/acl/token/{ANONYMOUS}"), r#"{"Description":"Anonymous Token"}"#).await;
            s.token = String::new();
            s.get("s", "/v1/health/service/consul").await;
        }
    }
}

/// The policies that this repository hands to operators.
const WATCH: &str = include_str!("../../policies/acl/consul-watch.hcl");
const ACT: &str = include_str!("../../policies/acl/consul-act.hcl");
const FRONT: &str = r#"{"ID":"foreshadow-web-1","Name":"shop-web","Port":80,"Address":"10.1.1.1","Weights":{"Passing":9,"Warning":1},"Check":{"CheckID":"front","TTL":"60s","Status":"passing","DeregisterCriticalServiceAfter":"10m"}}"#;

/// What a gateway and a leader do, and what they must not.
async fn work(s: &mut Script<'_>) {
    for path in [
        "/v1/health/service/shop-web",
        "/v1/catalog/nodes",
        "/v1/catalog/services",
        "/v1/coordinate/datacenters",
        "/v1/status/leader",
        "/v1/catalog/datacenters",
    ] {
        let reply = s.look("s", path).await;
        s.note(format!("{path}: {}", reply.status));
    }
    let about = s.look("s", "/v1/agent/self").await;
    s.note(format!("self: {}", about.status));
    s.get("s", "/v1/kv/foreshadow/hold").await;
    s.get("s", "/v1/kv/foreshadow/?recurse").await;
    s.put("s", "/v1/agent/service/register", FRONT).await;
    s.put("s", "/v1/agent/check/pass/front", "").await;
    s.put(
        "s",
        "/v1/agent/service/maintenance/foreshadow-web-1?enable=true",
        "",
    )
    .await;
    s.put(
        "s",
        "/v1/agent/service/register",
        r#"{"ID":"x","Name":"somebody-elses"}"#,
    )
    .await;
    let (reply, _) = s
        .quietly(
            Method::PUT,
            "s",
            "/v1/session/create",
            r#"{"Name":"leader","TTL":"15s","LockDelay":"0s","NodeChecks":[]}"#,
        )
        .await;
    let session = reply.json["ID"].as_str().unwrap_or(UNKNOWN).to_owned();
    s.call_it(&session, "session");
    s.note(format!("session: {}", reply.status));
    s.put(
        "s",
        &format!("/v1/kv/foreshadow/leader?acquire={session}"),
        "me",
    )
    .await;
    s.put("s", "/v1/txn", &format!(r#"[{{"KV":{{"Verb":"check-session","Key":"foreshadow/leader","Session":"{session}"}}}},{{"KV":{{"Verb":"cas","Key":"foreshadow/target/shop-web","Index":0,"Value":"eA=="}}}}]"#)).await;
    s.put("s", "/v1/kv/foreshadow/hold", "1").await;
    s.delete("s", "/v1/kv/foreshadow?recurse").await;
    s.put("s", "/v1/kv/other", "1").await;
    s.delete("s", "/v1/kv/foreshadow/target/shop-web").await;
    s.put("s", &format!("/v1/session/destroy/{session}"), "")
        .await;
    s.put("s", "/v1/agent/service/deregister/foreshadow-web-1", "")
        .await;
}

fn least_rights() -> Vec<(&'static str, Case)> {
    cases! {
        "the shipped policy to watch reads all it needs and writes nothing" => |s| {
            s.token = token(s, "watch", WATCH).await;
            work(s).await;
        }
        "the shipped policy to act writes fronts, targets and the leader's lock, and nothing else" => |s| {
            s.token = token(s, "act", &format!("{WATCH}\n{ACT}")).await;
            work(s).await;
        }
    }
}
