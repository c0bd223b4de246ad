//! Sessions.

use std::time::Duration;

use crate::cases;
use crate::rig::until;
use crate::script::Case;

pub fn all() -> Vec<(&'static str, Case)> {
    let mut all = lives();
    all.extend(refusals());
    all.extend(of_services());
    all.extend(ends());
    all
}

fn lives() -> Vec<(&'static str, Case)> {
    cases! {
        "a session is made, shown, renewed and destroyed" => |s| {
            let id = s.session("a", "one", r#"{"Name":"lead","TTL":"15s","LockDelay":"5s","Behavior":"delete"}"#).await;
            s.get("a", &format!("/v1/session/info/{id}")).await;
            s.get("b", &format!("/v1/session/info/{id}")).await;
            s.put("a", &format!("/v1/session/renew/{id}"), "").await;
            s.put("b", &format!("/v1/session/renew/{id}"), "").await;
            s.put("a", &format!("/v1/session/destroy/{id}"), "").await;
            s.get("a", &format!("/v1/session/info/{id}")).await;
            s.put("a", &format!("/v1/session/renew/{id}"), "").await;
            s.put("a", &format!("/v1/session/destroy/{id}"), "").await;
        }
        "a client agent's session is bound to its own node" => |s| {
            let id = s.session("b", "one", "").await;
            s.get("a", &format!("/v1/session/info/{id}")).await;
            s.get("a", "/v1/session/node/b").await;
            s.get("a", "/v1/session/node/nowhere").await;
            s.put("a", &format!("/v1/session/destroy/{id}"), "").await;
        }
        "checks of a session can be chosen" => |s| {
            for body in [r#"{"Checks":[]}"#, r#"{"NodeChecks":[]}"#, r#"{"Checks":["serfHealth"]}"#, r#"{"LockDelay":7}"#, r#"{"LockDelay":0}"#] {
                let id = s.session("a", "one", body).await;
                s.get("a", &format!("/v1/session/info/{id}")).await;
                s.put("a", &format!("/v1/session/destroy/{id}"), "").await;
            }
        }
    }
}

fn refusals() -> Vec<(&'static str, Case)> {
    cases! {
        "sessions that cannot be are refused in the same words" => |s| {
            for body in [
                r#"{"TTL":"5s"}"#, r#"{"TTL":"25h"}"#, r#"{"TTL":"xx"}"#, r#"{"Behavior":"x"}"#, r#"{"Node":"nowhere"}"#,
                r#"{"NodeChecks":["nope"]}"#, r#"{"LockDelay":"x"}"#,
            ] {
                s.put("a", "/v1/session/create", body).await;
            }
            s.put("b", "/v1/session/create", r#"{"TTL":"5s"}"#).await;
            for path in ["/v1/session/info/nope", "/v1/session/info/"] {
                s.get("a", path).await;
                s.get("b", path).await;
            }
            for path in ["/v1/session/renew/nope", "/v1/session/destroy/nope", "/v1/session/destroy/", "/v1/session/renew/"] {
                s.put("a", path, "").await;
            }
        }
        "a session of another datacenter" => |s| {
            let id = s.do_put("a", "/v1/session/create?dc=provider", r#"{"Node":"p"}"#).await.json["ID"].as_str().expect("an ID").to_owned();
            s.call_it(&id, "one");
            s.get("p", &format!("/v1/session/info/{id}")).await;
            s.put("a", &format!("/v1/session/destroy/{id}?dc=provider"), "").await;
            s.get("p", &format!("/v1/session/info/{id}")).await;
        }
    }
}

/// A check of service `alive`, under this ID, that must be passed again within this time.
fn alive(id: &str, ttl: &str) -> String {
    format!(
        r#"{{"ID":"alive","Name":"alive","Checks":[{{"CheckID":"{id}","Name":"alive","TTL":"{ttl}","Status":"passing"}}]}}"#
    )
}

fn of_services() -> Vec<(&'static str, Case)> {
    cases! {
        "a session watches a service's check beside gossip's" => |s| {
            s.do_put("b", "/v1/agent/service/register", &alive("alive:check", "60s")).await;
            let id = s.session("b", "one", r#"{"ServiceChecks":[{"ID":"alive:check"}]}"#).await;
            s.get("a", &format!("/v1/session/info/{id}")).await;
            s.do_put("b", "/v1/agent/check/warn/alive:check", "").await;
            s.put("b", &format!("/v1/session/renew/{id}"), "").await;
            s.do_put("b", "/v1/agent/check/fail/alive:check", "").await;
            s.put("b", &format!("/v1/session/renew/{id}"), "").await;
            s.put("b", "/v1/session/create", r#"{"ServiceChecks":[{"ID":"alive:check"}]}"#).await;
            s.put("a", "/v1/session/create", r#"{"ServiceChecks":[{"ID":"alive:check"}]}"#).await;
            s.put("a", "/v1/session/create", r#"{"ServiceChecks":[{}]}"#).await;
            let id = s.session("a", "two", r#"{"ServiceChecks":[]}"#).await;
            s.get("a", &format!("/v1/session/info/{id}")).await;
            s.do_put("b", "/v1/agent/service/deregister/alive", "").await;
        }
        "a service that is registered again keeps what its check found, until that is passed again" => |s| {
            s.do_put("a", "/v1/agent/service/register", &alive("alive:check", "60s")).await;
            s.do_put("a", "/v1/agent/check/fail/alive:check", "").await;
            s.do_put("a", "/v1/agent/service/register", &alive("alive:check", "60s")).await;
            s.put("a", "/v1/session/create", r#"{"ServiceChecks":[{"ID":"alive:check"}]}"#).await;
            s.put("a", "/v1/agent/check/pass/alive:check", "").await;
            let id = s.session("a", "one", r#"{"ServiceChecks":[{"ID":"alive:check"}]}"#).await;
            s.do_put("a", "/v1/agent/service/register", &alive("alive:other", "60s")).await;
            s.get("a", &format!("/v1/session/info/{id}")).await;
            s.do_put("a", "/v1/agent/service/deregister/alive", "").await;
            s.get("a", &format!("/v1/session/info/{id}")).await;
            s.put("a", "/v1/agent/check/pass/alive:check", "").await;
        }
        "a check that nobody passes again ends its session when its TTL is over, and the lock waits for its delay" => |s| {
            s.do_put("b", "/v1/agent/service/register", &alive("alive:check", "3s")).await;
            let two = s.session("a", "two", r#"{"TTL":"10s"}"#).await;
            let id = s.session("b", "one", r#"{"TTL":"10s","LockDelay":"1s","ServiceChecks":[{"ID":"alive:check"}]}"#).await;
            s.do_put("b", "/v1/agent/check/pass/alive:check", "").await;
            s.do_put("a", &format!("/v1/kv/alive/k?acquire={id}"), "1").await;
            s.look("a", &format!("/v1/kv/alive/k?index={}&wait=60s", s.look("a", "/v1/kv/alive/k").await.index)).await;
            s.get("a", "/v1/kv/alive/k").await;
            s.put("a", &format!("/v1/kv/alive/k?acquire={two}"), "2").await;
            s.get("b", "/v1/agent/checks?filter=CheckID==\"alive:check\"").await;
            // The one whose own TTL alone counts is of the same age.
            for session in [&id, &two] {
                s.get("a", &format!("/v1/session/info/{session}")).await;
            }
            let path = &format!("/v1/kv/alive/k?acquire={two}");
            let this = &*s;
            let taken = until(Duration::from_secs(10), || async move { this.do_put("a", path, "3").await.json == true }).await;
            s.note(format!("taken in the end: {taken}"));
            s.do_put("a", &format!("/v1/session/destroy/{two}"), "").await;
            s.delete("a", "/v1/kv/alive/k").await;
            s.do_put("b", "/v1/agent/service/deregister/alive", "").await;
        }
    }
}

fn ends() -> Vec<(&'static str, Case)> {
    cases! {
        "a critical check ends the session that watches it" => |s| {
            s.do_put("a", "/v1/agent/check/register", r#"{"ID":"watched","Name":"watched","TTL":"60s","Status":"passing"}"#).await;
            let id = s.session("a", "one", r#"{"NodeChecks":["watched"]}"#).await;
            s.do_put("a", "/v1/agent/check/fail/watched", "").await;
            s.get("a", &format!("/v1/session/info/{id}")).await;
            s.put("a", "/v1/session/create", r#"{"NodeChecks":["watched"]}"#).await;
            s.do_put("a", "/v1/agent/check/deregister/watched", "").await;
        }
        "a TTL really runs out, after at least its time" => |s| {
            let id = s.session("a", "one", r#"{"TTL":"10s","LockDelay":"0s"}"#).await;
            s.do_put("a", &format!("/v1/kv/ttl/k?acquire={id}"), "1").await;
            let reply = s.look("a", &format!("/v1/kv/ttl/k?index={}&wait=9s", s.look("a", "/v1/kv/ttl/k").await.index)).await;
            s.note(format!("still held after 9 s: {}", reply.json[0]["Session"].is_string()));
            let (this, path) = (&*s, &format!("/v1/session/info/{id}"));
            let ended = until(Duration::from_secs(30), || async move { this.look("a", path).await.json == serde_json::json!([]) }).await;
            s.note(format!("ended: {ended}"));
            s.get("a", "/v1/kv/ttl/k").await;
            s.delete("a", "/v1/kv/ttl/k").await;
        }
    }
}
