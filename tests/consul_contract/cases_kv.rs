//! KV and transactions.

use std::time::{Duration, Instant};

use reqwest::Method;

use crate::cases;
use crate::script::Case;

const UNKNOWN: &str = "adf4238a-882b-9ddc-4a9d-5b6758e4159e";

pub fn all() -> Vec<(&'static str, Case)> {
    let mut all = plain();
    all.extend(locks());
    all.extend(transactions());
    all
}

fn plain() -> Vec<(&'static str, Case)> {
    cases! {
        "a key is written, read, read raw and deleted" => |s| {
            s.put("a", "/v1/kv/plain/one?flags=42", "hello").await;
            s.get("a", "/v1/kv/plain/one").await;
            s.get("b", "/v1/kv/plain/one").await;
            s.get("a", "/v1/kv/plain/one?raw").await;
            s.put("a", "/v1/kv/plain/one", "other").await;
            s.get("a", "/v1/kv/plain/one").await;
            s.delete("a", "/v1/kv/plain/one").await;
            s.get("a", "/v1/kv/plain/one").await;
            s.delete("a", "/v1/kv/plain/one").await;
        }
        "an empty value is null and a key may hold odd letters" => |s| {
            s.put("a", "/v1/kv/odd/a%20b", "").await;
            s.get("a", "/v1/kv/odd/a%20b").await;
            s.get("a", "/v1/kv/odd?recurse").await;
            s.delete("a", "/v1/kv/odd?recurse").await;
        }
        "keys and trees are listed" => |s| {
            for key in ["list/a", "list/b/1", "list/b/2", "list/c"] {
                s.do_put("a", &format!("/v1/kv/{key}"), "x").await;
            }
            s.get("a", "/v1/kv/list/?keys").await;
            s.get("a", "/v1/kv/list/?keys&separator=/").await;
            s.get("a", "/v1/kv/list/b?recurse").await;
            s.get("a", "/v1/kv/list/none?recurse").await;
            s.get("a", "/v1/kv/list/none?keys").await;
            s.delete("a", "/v1/kv/list/?recurse").await;
            s.get("a", "/v1/kv/list/?recurse").await;
        }
        "compare-and-set writes only what was last read" => |s| {
            s.put("a", "/v1/kv/cas/k?cas=0", "1").await;
            s.put("a", "/v1/kv/cas/k?cas=0", "2").await;
            let index = s.look("a", "/v1/kv/cas/k").await.index;
            s.call_it(&index.to_string(), "index read");
            s.put("a", &format!("/v1/kv/cas/k?cas={index}"), "3").await;
            s.put("a", &format!("/v1/kv/cas/k?cas={index}"), "4").await;
            s.get("a", "/v1/kv/cas/k?raw").await;
            s.put("a", "/v1/kv/cas/missing?cas=99999", "x").await;
            s.delete("a", "/v1/kv/cas/k?cas=1").await;
            s.delete("a", "/v1/kv/cas/missing?cas=7").await;
            s.delete("a", "/v1/kv/cas/k").await;
        }
        "a write that changes nothing keeps the index" => |s| {
            s.do_put("a", "/v1/kv/same/k", "v").await;
            let first = s.look("a", "/v1/kv/same/k").await.index;
            s.do_put("a", "/v1/kv/same/k", "v").await;
            let second = s.look("a", "/v1/kv/same/k").await.index;
            s.note(format!("same index: {}", first == second));
            s.delete("a", "/v1/kv/same/k").await;
        }
        "requests that make no sense are refused in the same words" => |s| {
            s.put("a", "/v1/kv/", "x").await;
            s.get("a", "/v1/kv/").await;
            s.put("a", "/v1/kv/bad?cas=abc", "x").await;
            s.put("a", "/v1/kv/bad?flags=-1", "x").await;
            s.put("a", "/v1/kv/bad?cas=0&acquire=1", "x").await;
            s.delete("a", "/v1/kv/bad?cas=0&recurse").await;
            s.get("a", "/v1/kv/bad?index=bad").await;
            s.get("a", "/v1/kv/bad?wait=bad").await;
            s.get("a", "/v1/kv/bad?stale&consistent").await;
            s.get("a", "/v1/kv/bad?max_stale=x").await;
            s.ask(Method::POST, "a", "/v1/kv/bad", "x").await;
            s.ask(Method::OPTIONS, "a", "/v1/kv/bad", "").await;
        }
        "a blocking query wakes on its key, and else waits its time" => |s| {
            s.do_put("a", "/v1/kv/block/k", "1").await;
            let index = s.look("a", "/v1/kv/block/k").await.index;
            let path = format!("/v1/kv/block/k?index={index}&wait=10s");
            let waiting = Instant::now();
            let (reply, ()) = tokio::join!(s.look("b", &path), async { s.do_put("a", "/v1/kv/block/k", "2").await; });
            s.note(format!("woke early: {}, index grew: {}", waiting.elapsed() < Duration::from_secs(9), reply.index > index));
            let index = reply.index;
            let reply = s.look("a", &format!("/v1/kv/block/k?index={index}&wait=300ms")).await;
            s.note(format!("after the wait: {} same index: {}", reply.status, reply.index == index));
            s.delete("a", "/v1/kv/block/k").await;
        }
        "a deletion moves the index of its tree" => |s| {
            s.do_put("a", "/v1/kv/tomb/k", "1").await;
            s.do_put("a", "/v1/kv/tomb/l", "1").await;
            let before = s.look("a", "/v1/kv/tomb/?recurse").await.index;
            s.delete("a", "/v1/kv/tomb/k").await;
            let after = s.look("a", "/v1/kv/tomb/?recurse").await.index;
            s.note(format!("grew: {}", after > before));
            s.delete("a", "/v1/kv/tomb?recurse").await;
            let last = s.look("a", "/v1/kv/tomb/?recurse").await;
            s.note(format!("{} grew: {}", last.status, last.index > after));
        }
        "another datacenter's keys are its own" => |s| {
            s.put("a", "/v1/kv/wan/k?dc=provider", "there").await;
            s.get("a", "/v1/kv/wan/k").await;
            s.get("b", "/v1/kv/wan/k?dc=provider").await;
            s.get("p", "/v1/kv/wan/k").await;
            s.get("a", "/v1/kv/wan/k?dc=nowhere").await;
            s.get("b", "/v1/kv/wan/k?dc=nowhere").await;
            s.delete("p", "/v1/kv/wan/k").await;
        }
        "a value above 512 KiB is refused" => |s| {
            let big = "x".repeat(512 * 1024 + 1);
            let (reply, _) = s.quietly(Method::PUT, "a", "/v1/kv/big", &big).await;
            s.note(format!("{} {}", reply.status, reply.text));
        }
    }
}

fn locks() -> Vec<(&'static str, Case)> {
    cases! {
        "a lock is taken, held against others, and released" => |s| {
            let (one, two) = (s.session("a", "one", "").await, s.session("a", "two", "").await);
            s.put("a", &format!("/v1/kv/lock/k?acquire={one}"), "1").await;
            s.get("a", "/v1/kv/lock/k").await;
            s.put("a", &format!("/v1/kv/lock/k?acquire={two}"), "2").await;
            s.put("a", &format!("/v1/kv/lock/k?acquire={one}"), "3").await;
            s.get("a", "/v1/kv/lock/k").await;
            s.put("a", &format!("/v1/kv/lock/k?release={two}"), "4").await;
            s.put("a", &format!("/v1/kv/lock/k?release={one}"), "5").await;
            s.get("a", "/v1/kv/lock/k").await;
            s.put("a", &format!("/v1/kv/lock/k?acquire={two}"), "6").await;
            s.get("a", "/v1/kv/lock/k").await;
            s.put("a", &format!("/v1/kv/lock/missing?release={two}"), "4").await;
            s.delete("a", "/v1/kv/lock/k").await;
        }
        "a plain write to a lock keeps its session but starts LockIndex anew" => |s| {
            let one = s.session("a", "one", "").await;
            s.put("a", &format!("/v1/kv/lock/plain?acquire={one}"), "1").await;
            s.put("a", "/v1/kv/lock/plain", "2").await;
            s.get("a", "/v1/kv/lock/plain").await;
            s.delete("a", "/v1/kv/lock/plain").await;
        }
        "sessions that are not there lock nothing" => |s| {
            s.put("a", "/v1/kv/lock/none?acquire=nope", "1").await;
            s.put("a", "/v1/kv/lock/none?acquire=", "1").await;
            s.put("a", &format!("/v1/kv/lock/none?acquire={UNKNOWN}"), "1").await;
            s.put("b", &format!("/v1/kv/lock/none?acquire={UNKNOWN}"), "1").await;
            s.put("a", &format!("/v1/kv/lock/none?release={UNKNOWN}"), "1").await;
        }
        "the end of a session frees its lock after the lock-delay" => |s| {
            let one = s.session("a", "one", r#"{"LockDelay":"1s"}"#).await;
            let two = s.session("a", "two", "").await;
            s.put("a", &format!("/v1/kv/delay/k?acquire={one}"), "1").await;
            s.put("a", &format!("/v1/session/destroy/{one}"), "").await;
            s.get("a", "/v1/kv/delay/k").await;
            s.put("a", &format!("/v1/kv/delay/k?acquire={two}"), "2").await;
            let body = format!(r#"[{{"KV":{{"Verb":"lock","Key":"delay/k","Session":"{two}"}}}}]"#);
            s.put("a", "/v1/txn", &body).await;
            let path = format!("/v1/kv/delay/k?acquire={two}");
            let this = &*s;
            let path = &path;
            let taken = crate::rig::until(Duration::from_secs(10), || async move { this.do_put("a", path, "3").await.json == true }).await;
            s.note(format!("taken in the end: {taken}"));
            s.delete("a", "/v1/kv/delay/k").await;
        }
        "a session with behavior delete takes its keys along" => |s| {
            let one = s.session("a", "one", r#"{"Behavior":"delete","LockDelay":"0s"}"#).await;
            s.put("a", &format!("/v1/kv/gone/k?acquire={one}"), "1").await;
            s.put("a", &format!("/v1/session/destroy/{one}"), "").await;
            s.get("a", "/v1/kv/gone/k").await;
        }
    }
}

fn transactions() -> Vec<(&'static str, Case)> {
    cases! {
        "a transaction writes and reads" => |s| {
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"set","Key":"txn/a","Value":"aGk=","Flags":7}},{"KV":{"Verb":"get","Key":"txn/a"}},{"KV":{"Verb":"get-tree","Key":"txn/"}},{"KV":{"Verb":"check-not-exists","Key":"txn/z"}}]"#).await;
            s.get("a", "/v1/kv/txn/a").await;
            s.put("b", "/v1/txn", r#"[{"KV":{"Verb":"get","Key":"txn/a"}}]"#).await;
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"delete","Key":"txn/a"}}]"#).await;
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"get","Key":"txn/a"}}]"#).await;
        }
        "one failure undoes a transaction" => |s| {
            s.do_put("a", "/v1/kv/undo/k", "old").await;
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"set","Key":"undo/k","Value":"bmV3"}},{"KV":{"Verb":"cas","Key":"undo/k","Index":1,"Value":"bmV3"}},{"KV":{"Verb":"bogus","Key":"undo/k"}}]"#).await;
            s.get("a", "/v1/kv/undo/k?raw").await;
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"delete-cas","Key":"undo/k","Index":1}}]"#).await;
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"check-not-exists","Key":"undo/k"}},{"KV":{"Verb":"check-index","Key":"undo/none","Index":3}}]"#).await;
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"delete-tree","Key":"undo/"}}]"#).await;
        }
        "a fenced write needs the session that holds the lock" => |s| {
            let (one, two) = (s.session("a", "one", "").await, s.session("a", "two", "").await);
            s.do_put("a", &format!("/v1/kv/fence/lock?acquire={one}"), "1").await;
            for session in [&one, &two] {
                let body = format!(r#"[{{"KV":{{"Verb":"check-session","Key":"fence/lock","Session":"{session}"}}}},{{"KV":{{"Verb":"cas","Key":"fence/target","Index":0,"Value":"eA=="}}}}]"#);
                s.put("a", "/v1/txn", &body).await;
                s.put("b", "/v1/txn", &body).await;
            }
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"check-session","Key":"fence/none","Session":"x"}}]"#).await;
            s.delete("a", "/v1/kv/fence?recurse").await;
        }
        "a transaction locks and unlocks" => |s| {
            let (one, two) = (s.session("a", "one", "").await, s.session("a", "two", "").await);
            for (verb, session) in [("lock", &one), ("lock", &two), ("unlock", &two), ("unlock", &one), ("lock", &two)] {
                let body = format!(r#"[{{"KV":{{"Verb":"{verb}","Key":"txnlock/k","Value":"eA==","Session":"{session}"}}}}]"#);
                s.put("a", "/v1/txn", &body).await;
            }
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"lock","Key":"txnlock/k"}}]"#).await;
            s.delete("a", "/v1/kv/txnlock?recurse").await;
        }
        "a transaction that cannot be read is refused" => |s| {
            s.put("a", "/v1/txn", "{").await;
            s.put("a", "/v1/txn", "").await;
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"set","Key":"","Value":"aGk="}}]"#).await;
            s.put("a", "/v1/txn", r#"[{"KV":{"Verb":"set","Nope":1}}]"#).await;
            let many = vec![r#"{"KV":{"Verb":"get","Key":"k"}}"#; 65].join(",");
            let (reply, _) = s.quietly(Method::PUT, "a", "/v1/txn", &format!("[{many}]")).await;
            s.note(format!("{} {}", reply.status, reply.text));
        }
    }
}
