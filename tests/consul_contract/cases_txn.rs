//! Transactions beyond the plain ones of the KV cases: every verb, every refusal, and that nothing is left of one that failed.

use crate::cases;
use crate::script::{Case, Script};

pub fn all() -> Vec<(&'static str, Case)> {
    let mut all = verbs();
    all.extend(undone());
    all.extend(locks());
    all
}

async fn index_of(s: &mut Script<'_>, key: &str, name: &str) -> u64 {
    let index = s.look("a", &format!("/v1/kv/{key}")).await.json[0]["ModifyIndex"]
        .as_u64()
        .unwrap_or(0);
    s.call_it(&format!("\"Index\":{index}"), name);
    s.call_it(&format!("modify index {index} "), name);
    index
}

fn verbs() -> Vec<(&'static str, Case)> {
    cases! {
        "cas and delete-cas of a transaction look at the index" => |s| {
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"cas","Key":"tone/k","Index":0,"Value":"MQ=="}}]"#).await;
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"cas","Key":"tone/k","Index":0,"Value":"Mg=="}}]"#).await;
            let index = index_of(s, "tone/k", "index").await;
            s.put("b", "/v1/txn", &format!(r#"[{{"KV":{{"Verb":"check-index","Key":"tone/k","Index":{index}}}}},{{"KV":{{"Verb":"cas","Key":"tone/k","Index":{index},"Value":"Mw==","Flags":9}}}}]"#)).await;
            s.get("a", "/v1/kv/tone/k").await;
            s.put("a", "/v1/txn", &format!(r#"[{{"KV":{{"Verb":"delete-cas","Key":"tone/k","Index":{index}}}}}]"#)).await;
            let index = index_of(s, "tone/k", "second index").await;
            s.put("a", "/v1/txn", &format!(r#"[{{"KV":{{"Verb":"delete-cas","Key":"tone/k","Index":{index}}}}}]"#)).await;
            s.get("a", "/v1/kv/tone/k").await;
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"delete-cas","Key":"tone/none","Index":5}}]"#).await;
        }
        "reads of a transaction see its own writes" => |s| {
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"set","Key":"ttwo/a","Value":"MQ=="}},{"KV":{"Verb":"set","Key":"ttwo/b","Value":""}},{"KV":{"Verb":"get-tree","Key":"ttwo/"}},{"KV":{"Verb":"delete","Key":"ttwo/a"}},{"KV":{"Verb":"check-not-exists","Key":"ttwo/a"}},{"KV":{"Verb":"get-tree","Key":"ttwo/"}}]"#).await;
            s.put("b", "/v1/txn", r#"[{"KV":{"Verb":"get-tree","Key":"ttwo/"}},{"KV":{"Verb":"get","Key":"ttwo/b"}}]"#).await;
            s.put("a", "/v1/txn?stale", r#"[{"KV":{"Verb":"get-tree","Key":"ttwo/"}}]"#).await;
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"delete-tree","Key":"ttwo/"}},{"KV":{"Verb":"get-tree","Key":"ttwo/"}}]"#).await;
        }
        "a transaction in another datacenter" => |s| {
            s.put("a", "/v1/txn?dc=provider", r#"[{"KV":{"Verb":"set","Key":"tthree/k","Value":"MQ=="}}]"#).await;
            s.get("p", "/v1/kv/tthree/k?raw").await;
            s.get("a", "/v1/kv/tthree/k?raw").await;
            s.put("b", "/v1/txn?dc=provider", r#"[{"KV":{"Verb":"delete","Key":"tthree/k"}}]"#).await;
            s.put("b", "/v1/txn?dc=nowhere", r#"[{"KV":{"Verb":"get","Key":"tthree/k"}}]"#).await;
        }
    }
}

fn undone() -> Vec<(&'static str, Case)> {
    cases! {
        "a transaction that fails late leaves no write, no lock and no deletion" => |s| {
            let one = s.session("a", "one", r#"{"LockDelay":"0s"}"#).await;
            s.do_put("a", "/v1/kv/tfour/old", "old").await;
            let before = s.look("a", "/v1/kv/tfour?recurse").await.index;
            s.put("a", "/v1/txn", &format!(r#"[{{"KV":{{"Verb":"set","Key":"tfour/new","Value":"eA=="}}}},{{"KV":{{"Verb":"lock","Key":"tfour/lock","Value":"eA==","Session":"{one}"}}}},{{"KV":{{"Verb":"delete","Key":"tfour/old"}}}},{{"KV":{{"Verb":"delete-tree","Key":"tfour/"}}}},{{"KV":{{"Verb":"check-not-exists","Key":"tfour/gone"}}}},{{"KV":{{"Verb":"get","Key":"tfour/gone"}}}}]"#)).await;
            let after = s.look("a", "/v1/kv/tfour?recurse").await;
            s.note(format!("keys left: {}, index moved: {}", after.json.as_array().map_or(0, Vec::len), after.index != before));
            s.get("a", "/v1/kv/tfour/old?raw").await;
            s.get("a", "/v1/kv/tfour/lock").await;
            s.delete("a", "/v1/kv/tfour?recurse").await;
            s.put("a", &format!("/v1/session/destroy/{one}"), "").await;
        }
        "every failure of a transaction is told with its place" => |s| {
            s.do_put("a", "/v1/kv/tfive/k", "x").await;
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"get","Key":"tfive/none"}},{"KV":{"Verb":"get","Key":"tfive/k"}},{"KV":{"Verb":"cas","Key":"tfive/k","Index":1,"Value":"eA=="}},{"KV":{"Verb":"delete-cas","Key":"tfive/k","Index":1}},{"KV":{"Verb":"check-not-exists","Key":"tfive/k"}},{"KV":{"Verb":"check-session","Key":"tfive/none","Session":"x"}},{"KV":{"Verb":"lock","Key":"tfive/k","Session":"adf4238a-882b-9ddc-4a9d-5b6758e4159e"}},{"KV":{"Verb":"unlock","Key":"tfive/k"}},{"KV":{"Verb":"odd","Key":"tfive/k"}}]"#).await;
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"","Key":"tfive/k"}}]"#).await;
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"get","Key":""}},{"KV":{"Verb":"lock","Key":"tfive/k","Session":"nope"}}]"#).await;
            s.put("a", "/v1/txn", "[]").await;
            s.get("a", "/v1/txn").await;
            s.delete("a", "/v1/kv/tfive?recurse").await;
        }
    }
}

fn locks() -> Vec<(&'static str, Case)> {
    cases! {
        "a plain set of a transaction keeps a lock's session but starts LockIndex anew" => |s| {
            let one = s.session("a", "one", r#"{"LockDelay":"0s"}"#).await;
            s.do_put("a", &format!("/v1/kv/tsix/k?acquire={one}"), "1").await;
            s.do_put("a", &format!("/v1/kv/tsix/k?release={one}"), "1").await;
            s.do_put("a", &format!("/v1/kv/tsix/k?acquire={one}"), "2").await;
            s.get("a", "/v1/kv/tsix/k").await;
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"set","Key":"tsix/k","Value":"Mw=="}}]"#).await;
            s.get("a", "/v1/kv/tsix/k").await;
            s.put("a", "/v1/txn", &format!(r#"[{{"KV":{{"Verb":"check-session","Key":"tsix/k","Session":"{one}"}}}},{{"KV":{{"Verb":"unlock","Key":"tsix/k","Session":"{one}","Value":"NA=="}}}}]"#)).await;
            s.put("a", "/v1/txn", &format!(r#"[{{"KV":{{"Verb":"lock","Key":"tsix/k","Session":"{one}","Value":"NQ=="}}}}]"#)).await;
            s.get("a", "/v1/kv/tsix/k").await;
            s.delete("a", "/v1/kv/tsix?recurse").await;
            s.put("a", &format!("/v1/session/destroy/{one}"), "").await;
        }
        "a watcher of a key is woken by a transaction" => |s| {
            s.do_put("a", "/v1/kv/tseven/k", "1").await;
            let index = s.look("a", "/v1/kv/tseven/k").await.index;
            let path = format!("/v1/kv/tseven/k?index={index}&wait=10s");
            let (reply, _) = tokio::join!(s.look("b", &path), s.do_put("a", "/v1/txn", r#"[{"KV":{"Verb":"set","Key":"tseven/k","Value":"Mg=="}}]"#));
            s.note(format!("woke: {}, {}", reply.index > index, reply.json[0]["Value"]));
            s.delete("a", "/v1/kv/tseven?recurse").await;
        }
    }
}
