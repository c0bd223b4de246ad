//! Consul's own command line against both.

use std::io::Write;

use crate::cases;
use crate::rig::MASTER;
use crate::script::{Case, Script};

pub fn all() -> Vec<(&'static str, Case)> {
    let mut all = catalog();
    all.extend(keys());
    all.extend(services());
    all.extend(watches());
    all.extend(others());
    all
}

fn catalog() -> Vec<(&'static str, Case)> {
    cases! {
        "consul members" => |s| {
            s.name_nodes("a").await;
            s.cli("a", &["members"]).await;
            s.cli("b", &["members", "-status=alive"]).await;
            s.cli("a", &["members", "-status=failed"]).await;
            let wan = s.cli_quietly("a", &["members", "-wan"]).await;
            let mut names: Vec<&str> = wan.lines().filter_map(|line| line.split_whitespace().next()).collect();
            names.sort_unstable();
            s.note(names.join(" "));
        }
        "consul catalog" => |s| {
            s.name_nodes("a").await;
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"lone","Tags":["x"],"Port":5}"#).await;
            for args in [&["catalog", "services"][..], &["catalog", "services", "-tags"], &["catalog", "services", "-node=a"], &["catalog", "nodes"], &["catalog", "nodes", "-service=lone"], &["catalog", "nodes", "-service=none"], &["catalog", "nodes", "-datacenter=nowhere"]] {
                s.cli("a", args).await;
            }
            s.cli("a", &["catalog", "datacenters"]).await;
            s.do_put("a", "/v1/agent/service/deregister/lone", "").await;
        }
    }
}

fn keys() -> Vec<(&'static str, Case)> {
    cases! {
        "consul kv put, get and delete" => |s| {
            for args in [
                &["kv", "put", "ltwo/a", "1"][..], &["kv", "put", "-flags=7", "ltwo/b", "2"], &["kv", "get", "ltwo/a"], &["kv", "get", "-detailed", "ltwo/b"],
                &["kv", "get", "-recurse", "ltwo/"], &["kv", "get", "-keys", "ltwo/"], &["kv", "get", "-base64", "ltwo/a"], &["kv", "get", "ltwo/none"],
                &["kv", "delete", "ltwo/a"], &["kv", "delete", "ltwo/a"], &["kv", "delete", "-recurse", "ltwo/"], &["kv", "get", "-recurse", "ltwo/"],
            ] {
                s.cli("a", args).await;
            }
            s.cli_with("b", &["kv", "put", "ltwo/stdin", "-"], "from a pipe").await;
            s.cli("a", &["kv", "get", "ltwo/stdin"]).await;
            s.cli("a", &["kv", "delete", "-recurse", "ltwo"]).await;
        }
        "consul kv put and delete with -cas" => |s| {
            s.cli("a", &["kv", "put", "-cas", "lthree/k", "0"]).await;
            s.cli("a", &["kv", "put", "lthree/k", "1"]).await;
            let index = s.look("a", "/v1/kv/lthree/k").await.index.to_string();
            let now = format!("-modify-index={index}");
            s.call_it(&now, "-modify-index");
            for args in [
                &["kv", "put", "-cas", "-modify-index=1", "lthree/k", "2"][..], &["kv", "put", "-cas", &now, "lthree/k", "3"], &["kv", "put", "-cas", &now, "lthree/k", "4"],
                &["kv", "get", "lthree/k"], &["kv", "delete", "-cas", &now, "lthree/k"], &["kv", "delete", "-cas", "lthree/k"],
            ] {
                s.cli("a", args).await;
            }
            let index = format!("-modify-index={}", s.look("a", "/v1/kv/lthree/k").await.index);
            s.call_it(&index, "-modify-index now");
            s.cli("a", &["kv", "delete", "-cas", &index, "lthree/k"]).await;
        }
        "consul kv put with a lock, export and import" => |s| {
            let one = s.session("a", "one", r#"{"LockDelay":"0s"}"#).await;
            let session = format!("-session={one}");
            s.cli("a", &["kv", "put", "-acquire", &session, "lfour/lock", "mine"]).await;
            s.cli("a", &["kv", "get", "-detailed", "lfour/lock"]).await;
            s.cli("a", &["kv", "put", "-release", &session, "lfour/lock", "free"]).await;
            s.cli("a", &["kv", "put", "-flags=3", "lfour/k", "v"]).await;
            let dump = s.cli("a", &["kv", "export", "lfour/"]).await;
            s.cli("a", &["kv", "delete", "-recurse", "lfour"]).await;
            s.cli_with("a", &["kv", "import", "-"], &dump).await;
            s.cli("a", &["kv", "get", "-recurse", "-detailed", "lfour"]).await;
            s.cli("a", &["kv", "delete", "-recurse", "lfour"]).await;
            s.put("a", &format!("/v1/session/destroy/{one}"), "").await;
        }
        "consul lock runs a child while it holds the lock" => |s| {
            s.cli("a", &["lock", "-timeout=10s", "lfive", "echo", "held"]).await;
            s.cli("a", &["lock", "-n=2", "-timeout=10s", "lfive-many", "echo", "held"]).await;
            let one = s.session("a", "one", r#"{"LockDelay":"0s"}"#).await;
            s.do_put("a", &format!("/v1/kv/lfive/.lock?acquire={one}&flags=3304740253564472344"), "").await;
            s.cli("a", &["lock", "-timeout=1s", "-monitor-retry=0", "lfive", "echo", "never"]).await;
            s.do_put("a", &format!("/v1/session/destroy/{one}"), "").await;
            s.cli("b", &["lock", "-timeout=10s", "lfive", "echo", "held again"]).await;
            s.get("a", "/v1/kv/lfive?keys").await;
            s.delete("a", "/v1/kv/lfive?recurse").await;
        }
    }
}

/// A file of a case; it goes with what is given back.
fn file(suffix: &str, text: &str) -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::Builder::new()
        .suffix(suffix)
        .tempfile()
        .expect("a temporary file");
    file.write_all(text.as_bytes()).expect("it takes the text");
    let path = file.path().display().to_string();
    (file, path)
}

fn services() -> Vec<(&'static str, Case)> {
    cases! {
        "consul services register and deregister" => |s| {
            s.cli("a", &["services", "register", "-name=lsix", "-port=7", "-tag=x", "-meta=k=v", "-address=10.1.1.1"]).await;
            s.get("a", "/v1/agent/services").await;
            s.cli("a", &["services", "deregister", "-id=lsix"]).await;
            let (_file, path) = file(".hcl", "services = [\n{ name = \"lsix-one\" port = 1 checks = [{ name = \"c\" ttl = \"30s\" status = \"passing\" }] },\n{ name = \"lsix-two\" id = \"two\" weights = { passing = 5 warning = 2 } }\n]\n");
            s.call_it(&path, "file");
            s.cli("a", &["services", "register", &path]).await;
            s.get("a", "/v1/agent/services").await;
            s.get("a", "/v1/health/checks/lsix-one").await;
            s.cli("a", &["services", "deregister", &path]).await;
            s.get("a", "/v1/agent/services").await;
            s.cli("a", &["services", "deregister", "-id=none"]).await;
        }
        "consul maint" => |s| {
            s.do_put("b", "/v1/agent/service/register", r#"{"Name":"lseven","ID":"lseven-1"}"#).await;
            for args in [&["maint"][..], &["maint", "-enable", "-reason=node down"], &["maint", "-enable", "-service=lseven-1", "-reason=share is 0"]] {
                s.cli("b", args).await;
            }
            s.cli_blocks("b", &["maint"], "\n\n", &["Reason"]).await;
            for args in [&["maint", "-disable"][..], &["maint", "-disable", "-service=lseven-1"], &["maint"], &["maint", "-enable", "-service=none"]] {
                s.cli("b", args).await;
            }
            s.do_put("b", "/v1/agent/service/deregister/lseven-1", "").await;
        }
        "consul config" => |s| {
            let (_file, defaults) = file(".hcl", "Kind = \"service-defaults\"\nName = \"leight\"\nProtocol = \"http\"\n");
            let (_other, splitter) = file(".hcl", "kind = \"service-splitter\"\nname = \"leight\"\nsplits = [\n{ weight = 90 service_subset = \"v1\" },\n{ weight = 10 service_subset = \"v2\" },\n]\n");
            let (_third, resolver) = file(".json", r#"{"Kind":"service-resolver","Name":"leight","Subsets":{"v1":{"Filter":"Service.Meta.v == 1"},"v2":{}}}"#);
            for (path, name) in [(&defaults, "defaults"), (&splitter, "splitter"), (&resolver, "resolver")] {
                s.call_it(path, name);
            }
            for path in [&defaults, &splitter, &resolver, &splitter] {
                s.cli("a", &["config", "write", path]).await;
            }
            for args in [
                &["config", "list", "-kind=service-splitter"][..], &["config", "read", "-kind=service-splitter", "-name=leight"], &["config", "read", "-kind=service-resolver", "-name=leight"],
                &["config", "read", "-kind=service-resolver", "-name=none"], &["config", "delete", "-kind=service-resolver", "-name=leight"], &["config", "delete", "-kind=service-splitter", "-name=leight"],
                &["config", "delete", "-kind=service-resolver", "-name=leight"], &["config", "delete", "-kind=service-defaults", "-name=leight"], &["config", "list", "-kind=service-defaults"],
            ] {
                s.cli("a", args).await;
            }
            s.cli("a", &["config", "write", "-cas", "-modify-index=1", &defaults]).await;
        }
    }
}

fn watches() -> Vec<(&'static str, Case)> {
    cases! {
        "consul watch prints what is there" => |s| {
            s.do_put("a", "/v1/kv/lnine/k", "v").await;
            for args in [&["watch", "-type=service", "-service=none"][..], &["watch", "-type=key", "-key=lnine/k"], &["watch", "-type=key", "-key=lnine/none"], &["watch", "-type=keyprefix", "-prefix=lnine/"], &["watch", "-type=checks", "-state=warning"]] {
                s.cli("a", args).await;
            }
            s.cli("a", &["watch", "-type=services"]).await;
            s.delete("a", "/v1/kv/lnine?recurse").await;
        }
        "consul watch of a service calls its handler at each change" => |s| {
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"lten","Port":1001}"#).await;
            let mut watch = s.cli_running("b", &["watch", "-type=service", "-service=lten", "cat"]);
            let first = watch.line_with("1001").await.is_some();
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"lten","Port":1002}"#).await;
            let second = watch.line_with("1002").await.is_some();
            s.do_put("a", "/v1/agent/service/deregister/lten", "").await;
            let last = watch.line_with("[]").await.is_some();
            s.note(format!("first {first}, changed {second}, gone {last}"));
        }
        "consul watch of a key calls its handler at each change" => |s| {
            s.do_put("a", "/v1/kv/leleven/k", "one").await;
            let mut watch = s.cli_running("a", &["watch", "-type=key", "-key=leleven/k", "cat"]);
            let first = watch.line_with("b25l").await.is_some();
            s.do_put("a", "/v1/kv/leleven/k", "two").await;
            let second = watch.line_with("dHdv").await.is_some();
            s.delete("a", "/v1/kv/leleven/k").await;
            let last = watch.line_with("null").await.is_some();
            s.note(format!("first {first}, changed {second}, gone {last}"));
        }
    }
}

/// Lines of `consul info` that any agent has.
async fn info(s: &mut Script<'_>, agent: &str) {
    let said = s.cli_quietly(agent, &["info"]).await;
    let wanted = [
        "agent:",
        "build:",
        "consul:",
        "services =",
        "checks =",
        "version =",
        "acl =",
        "known_datacenters =",
        "known_servers =",
        "leader =",
        "leader_addr =",
        "server =",
    ];
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| wanted.iter().any(|start| line.starts_with(start)) && !line.contains("= go"))
        .collect();
    s.note(lines.join("\n"));
}

fn others() -> Vec<(&'static str, Case)> {
    cases! {
        "consul info" => |s| {
            info(s, "a").await;
            info(s, "b").await;
        }
        "consul rtt" => |s| {
            for (node, x) in [("rtt-0", 0.0), ("rtt-1", 0.05)] {
                s.do_put("a", "/v1/catalog/register", &format!(r#"{{"Node":"{node}","Address":"10.9.8.7"}}"#)).await;
                s.do_put("a", "/v1/coordinate/update", &format!(r#"{{"Node":"{node}","Coord":{{"Vec":[{x},0,0,0,0,0,0,0],"Error":1.5,"Adjustment":0,"Height":0.00001}}}}"#)).await;
            }
            s.eventually("a", "/v1/coordinate/node/rtt-1", "the coordinates are there", |reply| reply.status == 200).await;
            s.cli("a", &["rtt", "rtt-0", "rtt-1"]).await;
            s.cli("a", &["rtt", "rtt-0", "none"]).await;
            for node in ["rtt-0", "rtt-1"] {
                s.do_put("a", "/v1/catalog/deregister", &format!(r#"{{"Node":"{node}"}}"#)).await;
            }
        }
        "consul operator raft list-peers, reload and force-leave" => |s| {
            s.name_nodes("a").await;
            s.cli("a", &["operator", "raft", "list-peers"]).await;
            s.cli("b", &["operator", "raft", "list-peers"]).await;
            s.cli("a", &["force-leave", "none"]).await;
            s.cli("a", &["reload"]).await;
        }
    }
}

/// Cases where access is controlled.
pub fn guarded() -> Vec<(&'static str, Case)> {
    cases! {
        "consul acl policy and token" => |s| {
            s.token = MASTER.into();
            s.cli_quietly("s", &["acl", "policy", "create", "-name=lpolicy", "-description=d", "-rules=key_prefix \"l/\" { policy = \"write\" }"]).await;
            let id = s.look("s", "/v1/acl/policy/name/lpolicy").await.json["ID"].as_str().expect("it was made").to_owned();
            s.call_it(&id, "policy");
            s.cli("s", &["acl", "policy", "read", "-name=lpolicy"]).await;
            s.cli("s", &["acl", "policy", "update", "-name=lpolicy", "-no-merge", "-id", &id, "-rules=key_prefix \"m/\" { policy = \"write\" }"]).await;
            s.cli_quietly("s", &["acl", "token", "create", "-description=ltoken", "-policy-name=lpolicy"]).await;
            let tokens = s.look("s", "/v1/acl/tokens").await.json;
            let made = tokens.as_array().into_iter().flatten().find(|token| token["Description"] == "ltoken").expect("it was made").clone();
            let accessor = made["AccessorID"].as_str().expect("an ID").to_owned();
            let secret = s.look("s", &format!("/v1/acl/token/{accessor}")).await.json["SecretID"].as_str().expect("an ID").to_owned();
            s.call_it(&accessor, "accessor");
            s.token = secret;
            s.cli("s", &["kv", "put", "m/k", "v"]).await;
            s.cli("s", &["kv", "put", "other/k", "v"]).await;
            s.cli("s", &["catalog", "nodes"]).await;
            s.cli("s", &["acl", "token", "list"]).await;
            s.token = MASTER.into();
            s.cli("s", &["acl", "token", "delete", "-id", &accessor]).await;
            s.cli("s", &["acl", "policy", "delete", "-name=lpolicy"]).await;
            s.cli_blocks("s", &["acl", "policy", "list"], "\n   Datacenters:", &["global-management", "lpolicy"]).await;
            s.cli("s", &["kv", "delete", "m/k"]).await;
        }
        "consul without a token where access is controlled" => |s| {
            for args in [&["members"][..], &["catalog", "services"], &["kv", "get", "x"], &["kv", "put", "x", "y"], &["services", "register", "-name=x"], &["maint"], &["info"], &["operator", "raft", "list-peers"], &["config", "read", "-kind=service-defaults", "-name=x"], &["lock", "-timeout=5s", "l", "echo", "x"]] {
                s.cli("s", args).await;
            }
        }
    }
}
