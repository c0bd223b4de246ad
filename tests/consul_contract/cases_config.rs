//! Configuration entries.

use crate::cases;
use crate::script::{Case, Script};

pub fn all() -> Vec<(&'static str, Case)> {
    let mut all = lives();
    all.extend(forms());
    all.extend(rules());
    all.extend(chains());
    all
}

async fn put(s: &mut Script<'_>, body: &str) {
    s.put("a", "/v1/config", body).await;
}

async fn remove(s: &mut Script<'_>, entries: &[&str]) {
    for entry in entries {
        s.delete("a", &format!("/v1/config/{entry}")).await;
    }
}

fn lives() -> Vec<(&'static str, Case)> {
    cases! {
        "an entry is written, shown, changed and removed" => |s| {
            put(s, r#"{"Kind":"service-defaults","Name":"cone","Protocol":"HTTP","Meta":{"a":"b"},"MeshGateway":{"Mode":"local"}}"#).await;
            s.get("a", "/v1/config/service-defaults/cone").await;
            s.get("b", "/v1/config/service-defaults").await;
            put(s, r#"{"Kind":"service-defaults","Name":"cone","Protocol":"grpc","ExternalSNI":"x","Expose":{"Checks":true}}"#).await;
            s.get("a", "/v1/config/service-defaults/cone").await;
            s.get("a", "/v1/config/").await;
            remove(s, &["service-defaults/cone", "service-defaults/cone"]).await;
            s.get("a", "/v1/config/service-defaults/cone").await;
            s.get("a", "/v1/config/service-defaults").await;
        }
        "compare-and-set of an entry looks at its index" => |s| {
            let body = r#"{"Kind":"service-resolver","Name":"ctwo","ConnectTimeout":"3s"}"#;
            s.put("a", "/v1/config?cas=7", body).await;
            s.put("a", "/v1/config?cas=0", body).await;
            s.put("a", "/v1/config?cas=0", body).await;
            let index = s.look("a", "/v1/config/service-resolver/ctwo").await.json["ModifyIndex"].as_u64().unwrap_or(0);
            s.call_it(&format!("cas={index}"), "cas");
            s.put("b", &format!("/v1/config?cas={index}"), body).await;
            s.put("b", &format!("/v1/config?cas={index}"), body).await;
            s.put("a", "/v1/config?cas=x", body).await;
            remove(s, &["service-resolver/ctwo"]).await;
        }
        "a watcher of entries is woken by a change" => |s| {
            let index = s.look("a", "/v1/config/service-defaults").await.index;
            let path = format!("/v1/config/service-defaults?index={index}&wait=10s");
            let (reply, _) = tokio::join!(s.look("b", &path), s.do_put("a", "/v1/config", r#"{"Kind":"service-defaults","Name":"cthree","Protocol":"http"}"#));
            s.note(format!("woke: {}, {}", reply.index > index, reply.json[0]["Name"]));
            remove(s, &["service-defaults/cthree"]).await;
        }
        "entries of another datacenter are read there, and written in its own" => |s| {
            s.put("p", "/v1/config", r#"{"Kind":"service-defaults","Name":"cfour","Protocol":"http"}"#).await;
            s.get("p", "/v1/config/service-defaults/cfour").await;
            s.get("a", "/v1/config/service-defaults/cfour").await;
            s.get("b", "/v1/config/service-defaults/cfour?dc=provider").await;
            s.get("a", "/v1/config/service-defaults/cfour?dc=nowhere").await;
            s.delete("p", "/v1/config/service-defaults/cfour").await;
        }
    }
}

fn forms() -> Vec<(&'static str, Case)> {
    cases! {
        "entries may be written in snake case and small letters" => |s| {
            put(s, r#"{"kind":"service-resolver","name":"cfive","default_subset":"v1","subsets":{"v1":{"filter":"Service.Meta.version == v1"},"v2":{"Filter":"x","only_passing":true}},"failover":{"*":{"datacenters":["provider"]},"v1":{"service_subset":"v2"}},"connect_timeout":"15s"}"#).await;
            s.get("a", "/v1/config/service-resolver/cfive").await;
            put(s, r#"{"Kind":"service-resolver","Name":"cfive","ConnectTimeout":1500000000,"Redirect":null,"Subsets":{"v1":{}}}"#).await;
            s.get("a", "/v1/config/service-resolver/cfive").await;
            put(s, r#"{"kind":"service-defaults","name":"cfive","protocol":"http","mesh_gateway":{"mode":"remote"},"external_sni":"y"}"#).await;
            s.get("a", "/v1/config/service-defaults/cfive").await;
            remove(s, &["service-resolver/cfive", "service-defaults/cfive"]).await;
        }
        "entries that cannot be read are refused in the same words" => |s| {
            for body in [
                "", "[]", r#"{"Name":"x"}"#, r#"{"Kind":"bogus","Name":"x"}"#, r#"{"Kind":"service-defaults","Name":"x","Nope":1}"#,
                r#"{"Kind":"service-resolver","Name":"x","Subsets":{"v1":{"Odd":1}}}"#, r#"{"Kind":"service-resolver","Name":"x","Redirect":"a"}"#,
                r#"{"Kind":"service-splitter","Name":"x","Splits":[{"Weight":"much"}]}"#,
            ] {
                put(s, body).await;
            }
            for path in ["/v1/config", "/v1/config/bogus", "/v1/config/bogus/x"] {
                s.get("a", path).await;
            }
            remove(s, &["service-defaults", "bogus/x"]).await;
            s.ask(reqwest::Method::POST, "a", "/v1/config", "{}").await;
        }
        "defaults of all proxies have one name" => |s| {
            put(s, r#"{"Kind":"proxy-defaults","Name":"other"}"#).await;
            s.get("a", "/v1/config/proxy-defaults").await;
            remove(s, &["proxy-defaults/global"]).await;
        }
    }
}

fn rules() -> Vec<(&'static str, Case)> {
    cases! {
        "a resolver's rules are Consul's" => |s| {
            for rest in [
                r#""DefaultSubset":"gone""#, r#""Redirect":{}"#, r#""Redirect":{"Service":"other","ServiceSubset":"x"}"#,
                r#""Redirect":{"Datacenter":"provider"},"Failover":{"*":{"Service":"x"}}"#, r#""Redirect":{"ServiceSubset":"x"}"#, r#""Failover":{"*":{}}"#,
                r#""Failover":{"v9":{"Service":"x"}}"#, r#""Failover":{"*":{"Datacenters":[""]}}"#, r#""Failover":{"*":{"ServiceSubset":"zz"}}"#,
                r#""Subsets":{"":{"Filter":""}}"#, r#""Subsets":{"-x":{"Filter":""}}"#, r#""ConnectTimeout":"-1s""#,
            ] {
                put(s, &format!(r#"{{"Kind":"service-resolver","Name":"csix",{rest}}}"#)).await;
            }
            put(s, r#"{"Kind":"service-resolver","Name":"","ConnectTimeout":"1s"}"#).await;
            s.get("a", "/v1/config/service-resolver").await;
        }
        "a resolver redirects to another datacenter" => |s| {
            put(s, r#"{"Kind":"service-resolver","Name":"cseven","Redirect":{"Datacenter":"provider"}}"#).await;
            put(s, r#"{"Kind":"service-resolver","Name":"cseven","Redirect":{"Service":"cseven","Datacenter":"provider"}}"#).await;
            s.get("a", "/v1/config/service-resolver/cseven").await;
            remove(s, &["service-resolver/cseven"]).await;
        }
        "redirects must not go in circles" => |s| {
            put(s, r#"{"Kind":"service-resolver","Name":"ceight","Redirect":{"Service":"cnine"}}"#).await;
            put(s, r#"{"Kind":"service-resolver","Name":"cnine","Redirect":{"Service":"ceight"}}"#).await;
            s.get("a", "/v1/config/service-resolver/cnine").await;
            remove(s, &["service-resolver/ceight"]).await;
        }
        "a splitter's weights add up to 100 in steps of a hundredth" => |s| {
            put(s, r#"{"Kind":"service-defaults","Name":"cten","Protocol":"http"}"#).await;
            put(s, r#"{"Kind":"service-resolver","Name":"cten","Subsets":{"v1":{},"v2":{}}}"#).await;
            for weights in [(90.0, 11.0), (90.005, 9.995), (0.005, 99.995), (33.33, 66.67), (-1.0, 101.0), (100.0, 0.0), (99.99, 0.01), (50.004, 49.996)] {
                put(s, &format!(r#"{{"Kind":"service-splitter","Name":"cten","Splits":[{{"Weight":{},"ServiceSubset":"v1"}},{{"Weight":{},"ServiceSubset":"v2"}}]}}"#, weights.0, weights.1)).await;
                s.get("a", "/v1/config/service-splitter/cten").await;
            }
            for splits in ["[]", r#"[{"Weight":90,"ServiceSubset":"v1"},{"Weight":10,"ServiceSubset":"v1"}]"#, r#"[{"Weight":50},{"Weight":50,"Service":"cten"}]"#] {
                put(s, &format!(r#"{{"Kind":"service-splitter","Name":"cten","Splits":{splits}}}"#)).await;
            }
            put(s, r#"{"Kind":"service-splitter","Name":"","Splits":[]}"#).await;
            remove(s, &["service-splitter/cten", "service-resolver/cten", "service-defaults/cten"]).await;
        }
        "a router's rules are Consul's" => |s| {
            for route in [
                r#"{"Match":{"HTTP":{"PathPrefix":"admin"}}}"#, r#"{"Match":{"HTTP":{"PathExact":"admin"}}}"#, r#"{"Match":{"HTTP":{"PathPrefix":"/a","PathExact":"/b"}}}"#,
                r#"{"Match":{"HTTP":{"Header":[{"Exact":"x"}]}}}"#, r#"{"Match":{"HTTP":{"Header":[{"Name":"n"}]}}}"#, r#"{"Match":{"HTTP":{"Header":[{"Name":"n","Exact":"a","Prefix":"b"}]}}}"#,
                r#"{"Match":{"HTTP":{"QueryParam":[{"Exact":"a"}]}}}"#, r#"{"Destination":{"PrefixRewrite":"/x"}}"#, r#"{"Match":{"HTTP":{"PathPrefix":"/p","Methods":["GET","GET"]}}}"#,
            ] {
                put(s, &format!(r#"{{"Kind":"service-router","Name":"celeven","Routes":[{route}]}}"#)).await;
            }
            put(s, r#"{"Kind":"service-router","Name":"celeven","Routes":[]}"#).await;
        }
    }
}

fn chains() -> Vec<(&'static str, Case)> {
    cases! {
        "routing and splitting need a protocol like HTTP, the same everywhere" => |s| {
            put(s, r#"{"Kind":"service-splitter","Name":"ctwelve","Splits":[{"Weight":100}]}"#).await;
            put(s, r#"{"Kind":"service-defaults","Name":"ctwelve","Protocol":"http"}"#).await;
            put(s, r#"{"Kind":"service-splitter","Name":"ctwelve","Splits":[{"Weight":50},{"Weight":50,"Service":"plain"}]}"#).await;
            put(s, r#"{"Kind":"service-splitter","Name":"ctwelve","Splits":[{"Weight":100}]}"#).await;
            s.get("a", "/v1/config/service-splitter/ctwelve").await;
            put(s, r#"{"Kind":"service-defaults","Name":"ctwelve","Protocol":"tcp"}"#).await;
            remove(s, &["service-defaults/ctwelve", "service-splitter/ctwelve", "service-defaults/ctwelve"]).await;
        }
        "a subset that a splitter names cannot go away" => |s| {
            put(s, r#"{"Kind":"service-defaults","Name":"cthirteen","Protocol":"http"}"#).await;
            put(s, r#"{"Kind":"service-splitter","Name":"cthirteen","Splits":[{"Weight":90,"ServiceSubset":"v1"},{"Weight":10,"ServiceSubset":"v2"}]}"#).await;
            put(s, r#"{"Kind":"service-resolver","Name":"cthirteen","Subsets":{"v1":{},"v2":{}}}"#).await;
            put(s, r#"{"Kind":"service-splitter","Name":"cthirteen","Splits":[{"Weight":90,"ServiceSubset":"v1"},{"Weight":10,"ServiceSubset":"v2"}]}"#).await;
            put(s, r#"{"Kind":"service-resolver","Name":"cthirteen","Subsets":{"v1":{}}}"#).await;
            put(s, r#"{"Kind":"service-resolver","Name":"cthirteen","Redirect":{"Datacenter":"provider"}}"#).await;
            remove(s, &["service-resolver/cthirteen", "service-splitter/cthirteen", "service-resolver/cthirteen", "service-defaults/cthirteen"]).await;
        }
        "a router leads to services of its protocol" => |s| {
            for name in ["cfourteen", "cfifteen"] {
                put(s, &format!(r#"{{"Kind":"service-defaults","Name":"{name}","Protocol":"http"}}"#)).await;
            }
            put(s, r#"{"Kind":"service-router","Name":"cfourteen","Routes":[{"Match":{"HTTP":{"PathPrefix":"/admin","Methods":["get"],"Header":[{"Name":"x","Exact":"1"}],"QueryParam":[{"Name":"q","Present":true}]}},"Destination":{"Service":"cfifteen","PrefixRewrite":"/","RequestTimeout":"3s","NumRetries":3,"RetryOnConnectFailure":true,"RetryOnStatusCodes":[502]}},{"Match":{"HTTP":{"PathExact":"/x"}}}]}"#).await;
            s.get("a", "/v1/config/service-router/cfourteen").await;
            put(s, r#"{"Kind":"service-defaults","Name":"cfifteen","Protocol":"grpc"}"#).await;
            remove(s, &["service-defaults/cfifteen", "service-router/cfourteen", "service-defaults/cfifteen", "service-defaults/cfourteen"]).await;
        }
    }
}
