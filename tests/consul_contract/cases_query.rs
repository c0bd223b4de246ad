//! Prepared queries, over HTTP and DNS.

use hickory_proto::rr::RecordType;

use crate::cases;
use crate::dns::How;
use crate::script::{Case, Script};

const UNKNOWN: &str = "adf4238a-882b-9ddc-4a9d-5b6758e4159e";

pub fn all() -> Vec<(&'static str, Case)> {
    let mut all = lives();
    all.extend(refusals());
    all.extend(executions());
    all.extend(names());
    all
}

/// A query for this case; its ID is called `name` in the log.
async fn create(s: &mut Script<'_>, name: &str, body: &str) -> String {
    let reply = s
        .quietly(reqwest::Method::POST, "a", "/v1/query", body)
        .await
        .0;
    let id = reply.json["ID"]
        .as_str()
        .unwrap_or_else(|| panic!("an ID: {}", reply.text))
        .to_owned();
    s.call_it(&id, name);
    id
}

async fn remove(s: &Script<'_>, id: &str) {
    s.quietly(reqwest::Method::DELETE, "a", &format!("/v1/query/{id}"), "")
        .await;
}

async fn register(s: &Script<'_>, agent: &str, name: &str, rest: &str) {
    let body = format!(r#"{{"Name":"{name}","Port":80{rest}}}"#);
    s.do_put(agent, "/v1/agent/service/register", &body).await;
}

async fn deregister(s: &Script<'_>, agent: &str, name: &str) {
    s.do_put(agent, &format!("/v1/agent/service/deregister/{name}"), "")
        .await;
}

fn lives() -> Vec<(&'static str, Case)> {
    cases! {
        "a prepared query is made, shown, changed and removed" => |s| {
            let id = create(s, "one", r#"{"Name":"qone","Service":{"Service":"web","OnlyPassing":true,"Tags":["v1"],"Failover":{"NearestN":1,"Datacenters":["provider"]},"NodeMeta":{"a":"b"},"ServiceMeta":{"c":"d"},"Near":"_agent","IgnoreCheckIDs":["x"]},"DNS":{"TTL":"10s"}}"#).await;
            s.get("a", "/v1/query").await;
            s.get("b", &format!("/v1/query/{id}")).await;
            s.put("a", &format!("/v1/query/{id}"), r#"{"Name":"qoneb","Service":{"Service":"other"}}"#).await;
            s.get("a", &format!("/v1/query/{id}")).await;
            s.get("a", "/v1/query/qoneb/explain").await;
            s.delete("b", &format!("/v1/query/{id}")).await;
            s.get("a", &format!("/v1/query/{id}")).await;
            s.get("a", "/v1/query").await;
        }
        "a query goes with its session" => |s| {
            let session = s.session("a", "session", "").await;
            let id = create(s, "one", &format!(r#"{{"Session":"{session}","Service":{{"Service":"web"}}}}"#)).await;
            s.get("a", &format!("/v1/query/{id}")).await;
            s.put("a", &format!("/v1/session/destroy/{session}"), "").await;
            s.get("a", &format!("/v1/query/{id}")).await;
        }
    }
}

fn refusals() -> Vec<(&'static str, Case)> {
    cases! {
        "queries that cannot be are refused in the same words" => |s| {
            let id = create(s, "one", r#"{"Name":"qtwo","Service":{"Service":"web"}}"#).await;
            for body in [
                "", r#"{"Name":"qtwo","Service":{"Service":"web"}}"#, r#"{"Name":"q"}"#, r#"{"Name":"q","Nope":1}"#, r#"{"ID":"x","Service":{"Service":"web"}}"#,
                r#"{"Name":"q","Service":{"Service":"web","Failover":{"NearestN":-1}}}"#, r#"{"Name":"q","Service":{"Service":"web"},"DNS":{"TTL":"-1s"}}"#,
                r#"{"Name":"q","Service":{"Service":"web"},"DNS":{"TTL":"zz"}}"#, r#"{"Name":"q","Service":{"Service":"web"},"Session":"nope"}"#,
                r#"{"Name":"q","Service":{"Service":"web"},"Session":"adf4238a-882b-9ddc-4a9d-5b6758e4159e"}"#, r#"{"Name":"q","Service":{"Service":"web"},"Template":{"Type":"odd"}}"#,
                r#"{"Service":{"Service":"web"}}"#, r#"{"Name":"q","Service":{"Service":"${bogus.full}"},"Template":{"Type":"name_prefix_match"}}"#,
            ] {
                s.ask(reqwest::Method::POST, "a", "/v1/query", body).await;
            }
            s.ask(reqwest::Method::POST, "b", "/v1/query", r#"{"Name":"q"}"#).await;
            remove(s, &id).await;
        }
        "queries that are not there cannot be asked or changed" => |s| {
            for path in ["nope", UNKNOWN, "nope/execute", "nope/explain", "", "nope/nothing"] {
                s.get("a", &format!("/v1/query/{path}")).await;
            }
            for id in ["nope", UNKNOWN] {
                s.put("a", &format!("/v1/query/{id}"), r#"{"Name":"q","Service":{"Service":"web"}}"#).await;
                s.delete("a", &format!("/v1/query/{id}")).await;
            }
            s.put("a", "/v1/query", "{}").await;
            s.get("b", "/v1/query/nope").await;
        }
    }
}

fn executions() -> Vec<(&'static str, Case)> {
    cases! {
        "a query by name and by ID gives the instances that fit" => |s| {
            register(s, "a", "qthree", r#","Tags":["v1"],"Meta":{"c":"d"},"Check":{"TTL":"60s","Status":"passing"}"#).await;
            register(s, "b", "qthree", r#","Check":{"TTL":"60s","Status":"warning"}"#).await;
            let mut ids = Vec::new();
            for (at, service) in [r#""Tags":["v1"]"#, r#""Tags":["!v1"]"#, r#""OnlyPassing":true"#, r#""ServiceMeta":{"c":"d"}"#, r#""NodeMeta":{"nope":"x"}"#, r#""OnlyPassing":true,"IgnoreCheckIDs":["service:qthree"]"#].iter().enumerate() {
                ids.push(create(s, "id", &format!(r#"{{"Name":"qthree-{at}","Service":{{"Service":"qthree",{service}}}}}"#)).await);
                let reply = s.look("a", &format!("/v1/query/qthree-{at}/execute")).await.json;
                let mut nodes: Vec<String> = reply["Nodes"].as_array().into_iter().flatten().map(|entry| entry["Node"]["Node"].to_string()).collect();
                nodes.sort();
                s.note(format!("{service}: {} from {}, failovers {}", nodes.join(" "), reply["Datacenter"], reply["Failovers"]));
            }
            s.get("b", &format!("/v1/query/{}/execute", ids[0])).await;
            let reply = s.look("a", "/v1/query/qthree-5/execute?limit=1").await.json;
            s.note(format!("at most one: {}", reply["Nodes"].as_array().map_or(0, Vec::len)));
            s.get("a", "/v1/query/qthree-0/execute?limit=x").await;
            for id in &ids {
                remove(s, id).await;
            }
            deregister(s, "a", "qthree").await;
            deregister(s, "b", "qthree").await;
        }
        "a query fails over to another datacenter and back" => |s| {
            register(s, "p", "qfour", r#","Check":{"TTL":"60s","Status":"passing"}"#).await;
            let id = create(s, "one", r#"{"Name":"qfour","Service":{"Service":"qfour","Failover":{"Datacenters":["nowhere","provider"]}},"DNS":{"TTL":"7s"}}"#).await;
            s.get("a", "/v1/query/qfour/execute").await;
            s.get("b", "/v1/query/qfour/execute").await;
            s.dig("a", "qfour.query.consul", RecordType::SRV, How::Tcp).await;
            s.dig("b", "qfour.query.consul", RecordType::A, How::Udp).await;
            register(s, "a", "qfour", r#","Check":{"TTL":"60s","Status":"passing"}"#).await;
            let reply = s.look("a", "/v1/query/qfour/execute").await.json;
            s.note(format!("home again: {} {}", reply["Datacenter"], reply["Failovers"]));
            s.do_put("a", "/v1/agent/check/fail/service:qfour", "").await;
            let reply = s.look("a", "/v1/query/qfour/execute").await.json;
            s.note(format!("when it is critical: {} {}", reply["Datacenter"], reply["Failovers"]));
            s.do_put("p", "/v1/agent/check/fail/service:qfour", "").await;
            let reply = s.look("a", "/v1/query/qfour/execute").await.json;
            s.note(format!("when all are: {} {} {}", reply["Datacenter"], reply["Failovers"], reply["Nodes"]));
            s.dig("a", "qfour.query.consul", RecordType::SRV, How::Udp).await;
            remove(s, &id).await;
            deregister(s, "p", "qfour").await;
            deregister(s, "a", "qfour").await;
        }
        "the nearest datacenter comes first when it is asked for" => |s| {
            register(s, "p", "qfive", "").await;
            let id = create(s, "one", r#"{"Name":"qfive","Service":{"Service":"qfive","Failover":{"NearestN":3,"Datacenters":["provider"]}}}"#).await;
            let reply = s.look("a", "/v1/query/qfive/execute").await.json;
            s.note(format!("{} {}", reply["Datacenter"], reply["Failovers"]));
            remove(s, &id).await;
            deregister(s, "p", "qfive").await;
        }
        "a template answers for all names with its prefix" => |s| {
            register(s, "a", "qsix", r#","Tags":["7"]"#).await;
            let ids = [
                create(s, "wide", r#"{"Name":"geo-","Service":{"Service":"${name.suffix}"},"Template":{"Type":"name_prefix_match"}}"#).await,
                create(s, "narrow", r#"{"Name":"geo-x-","Service":{"Service":"${match(1)}","Tags":["${match(2)}","${match(3)}"]},"Template":{"Type":"name_prefix_match","Regexp":"^geo-x-(.*)-([0-9]+)$","RemoveEmptyTags":true}}"#).await,
            ];
            s.get("a", "/v1/query/geo-qsix/execute").await;
            for name in ["geo-qsix", "geo-x-qsix-7", "geo-x-qsix"] {
                s.get("a", &format!("/v1/query/{name}/explain")).await;
            }
            s.dig("a", "geo-qsix.query.consul", RecordType::SRV, How::Udp).await;
            s.dig("a", "geo-x-qsix-7.query.consul", RecordType::SRV, How::Udp).await;
            for id in &ids {
                remove(s, id).await;
            }
            deregister(s, "a", "qsix").await;
        }
    }
}

fn names() -> Vec<(&'static str, Case)> {
    cases! {
        "DNS answers prepared queries, of another datacenter too" => |s| {
            register(s, "a", "qseven", r#","Address":"10.7.7.7","Weights":{"Passing":9,"Warning":1}"#).await;
            let id = create(s, "one", r#"{"Name":"q.seven","Service":{"Service":"qseven"}}"#).await;
            for name in ["q.seven.query.consul", "q.seven.query.edge.consul", "q.seven.query.provider.consul", "Q.Seven.query.consul", "none.query.consul", "query.consul"] {
                s.dig("b", name, RecordType::SRV, How::Tcp).await;
            }
            s.dig("a", "q.seven.query.consul", RecordType::A, How::UdpWithEdns(1232)).await;
            s.dig("a", "q.seven.query.consul", RecordType::AAAA, How::Udp).await;
            remove(s, &id).await;
            deregister(s, "a", "qseven").await;
        }
    }
}
