//! A case's questions, and the log of answers in which only what must be alike is left.

use std::fmt::Write;
use std::pin::Pin;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::rig::{Rig, until};

/// A case asks one estate, through its script.
pub type Case = for<'a> fn(&'a mut Script<'_>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Makes a list of named cases.
#[macro_export]
macro_rules! cases {
    ($($name:literal => |$script:ident| $body:block)*) => {{
        let mut all: Vec<(&'static str, $crate::script::Case)> = Vec::new();
        $(all.push(($name, |$script| Box::pin(async move $body)));)*
        all
    }};
}

/// An answer.
pub struct Reply {
    pub status: u16,
    pub index: u64,
    pub text: String,
    pub json: Value,
}

pub struct Script<'r> {
    pub rig: &'r Rig,
    pub log: Vec<String>,
    /// Secret that goes with each request; empty for none.
    pub token: String,
    names: Vec<(String, String)>,
}

const HEADERS: [&str; 6] = [
    "content-type",
    "allow",
    "x-consul-index",
    "x-consul-knownleader",
    "x-consul-lastcontact",
    "x-consul-effective-consistency",
];
const WAIT: Duration = Duration::from_secs(15);

impl<'r> Script<'r> {
    pub fn new(rig: &'r Rig) -> Self {
        let names = rig
            .addresses()
            .map(|(name, address)| (address.to_string(), format!("<address of {name}>")));
        let hex = rig
            .addresses()
            .map(|(name, address)| (hex(&address.to_string()), format!("<hex of {name}>")));
        Self {
            rig,
            log: Vec::new(),
            token: String::new(),
            names: names.chain(hex).collect(),
        }
    }

    /// Calls this text by another name in the log, as IDs differ between estates.
    pub fn call_it(&mut self, text: &str, name: &str) {
        self.names.push((text.into(), format!("<{name}>")));
    }

    pub fn note(&mut self, line: impl Into<String>) {
        let line = self.plain(&line.into());
        self.log.push(line);
    }

    /// Asks without a word in the log.
    pub async fn quietly(
        &self,
        method: Method,
        agent: &str,
        path: &str,
        body: &str,
    ) -> (Reply, Vec<(String, String)>) {
        let url = format!("http://{}{path}", self.rig.http(agent));
        let mut request = self.rig.client.request(method, url).body(body.to_owned());
        if !self.token.is_empty() {
            request = request.header("x-consul-token", &self.token);
        }
        let sent = request.send().await.expect("the agent answers");
        let header = |name: &&str| {
            Some((
                (*name).to_owned(),
                sent.headers().get(*name)?.to_str().ok()?.to_owned(),
            ))
        };
        let headers: Vec<(String, String)> = HEADERS.iter().filter_map(header).collect();
        let status = sent.status().as_u16();
        let index = sent
            .headers()
            .get("x-consul-index")
            .and_then(|index| index.to_str().ok()?.parse().ok())
            .unwrap_or(0);
        let text = sent.text().await.expect("the answer has an end");
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        (
            Reply {
                status,
                index,
                text,
                json,
            },
            headers,
        )
    }

    pub async fn ask(&mut self, method: Method, agent: &str, path: &str, body: &str) -> Reply {
        let (reply, headers) = self.quietly(method.clone(), agent, path, body).await;
        let shown = match headers
            .iter()
            .any(|(name, value)| name == "content-type" && value == "application/json")
        {
            true => serde_json::to_string_pretty(&normal(in_order(path, reply.json.clone())))
                .expect("JSON is JSON"),
            false => circle_from_its_least(&reply.text),
        };
        let headers: Vec<String> = headers
            .into_iter()
            .map(|(name, value)| format!("{name}: {}", without_index(&name, &value)))
            .collect();
        self.note(format!(
            "{method} {agent} {path} {body}\n  {} [{}]\n{shown}",
            reply.status,
            headers.join(", ")
        ));
        reply
    }

    pub async fn get(&mut self, agent: &str, path: &str) -> Reply {
        self.ask(Method::GET, agent, path, "").await
    }

    pub async fn put(&mut self, agent: &str, path: &str, body: &str) -> Reply {
        self.ask(Method::PUT, agent, path, body).await
    }

    pub async fn delete(&mut self, agent: &str, path: &str) -> Reply {
        self.ask(Method::DELETE, agent, path, "").await
    }

    /// A write whose answer is of no interest, yet must be a success.
    pub async fn do_put(&self, agent: &str, path: &str, body: &str) -> Reply {
        let (reply, _) = self.quietly(Method::PUT, agent, path, body).await;
        assert_eq!(reply.status, 200, "PUT {path} {body}: {}", reply.text);
        reply
    }

    pub async fn look(&self, agent: &str, path: &str) -> Reply {
        self.quietly(Method::GET, agent, path, "").await.0
    }

    /// Notes the status of a request with these headers of its own.
    pub async fn do_get_with(&mut self, agent: &str, path: &str, headers: &[(&str, &str)]) {
        let url = format!("http://{}{path}", self.rig.http(agent));
        let mut request = self.rig.client.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let status = request.send().await.expect("the agent answers").status();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        self.note(format!("GET {path} with {}: {status}", names.join(" ")));
    }

    /// Notes whether the answer comes to satisfy the condition in time.
    pub async fn eventually(
        &mut self,
        agent: &str,
        path: &str,
        what: &str,
        condition: impl Fn(&Reply) -> bool,
    ) {
        self.eventually_within(WAIT, (agent, path), what, condition)
            .await;
    }

    /// The same with a limit of its own.
    pub async fn eventually_within(
        &mut self,
        limit: Duration,
        (agent, path): (&str, &str),
        what: &str,
        condition: impl Fn(&Reply) -> bool,
    ) {
        let this = &*self;
        let condition = &condition;
        let came = until(
            limit,
            || async move { condition(&this.look(agent, path).await) },
        )
        .await;
        self.note(format!("{what}: {came}"));
    }

    /// A session for this case; its ID is called `name` in the log.
    pub async fn session(&mut self, agent: &str, name: &str, body: &str) -> String {
        let id = self.do_put(agent, "/v1/session/create", body).await.json["ID"]
            .as_str()
            .expect("an ID")
            .to_owned();
        self.call_it(&id, name);
        id
    }

    pub fn plain(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (text, name) in &self.names {
            line = line.replace(text, name);
        }
        line
    }
}

fn hex(address: &str) -> String {
    address.split('.').fold(String::new(), |mut out, octet| {
        write!(out, "{:02x}", octet.parse::<u8>().unwrap_or(0)).expect("a string takes all");
        out
    })
}

/// Indices differ; that there is one, and whether it is the smallest, must not.
fn without_index(name: &str, value: &str) -> String {
    match (name, value) {
        ("x-consul-index", "1") => "1".into(),
        ("x-consul-index", _) => "<index>".into(),
        // How long a client agent's server has not heard of the leader: a timing.
        ("x-consul-lastcontact", _) => "<contact>".into(),
        (_, value) => value.into(),
    }
}

/// A circle of redirects is told from where Consul entered it, which is where a Go map begins: told here from its least member.
fn circle_from_its_least(text: &str) -> String {
    const START: &str = "circular resolver redirect: [";
    let circle = || {
        let (before, rest) = text.split_once(START)?;
        let (circle, after) = rest.split_once(']')?;
        let mut members: Vec<&str> = circle.split(" -> ").collect();
        members.pop_if(|last| circle.starts_with(&format!("{last} -> ")))?;
        let least = members.iter().enumerate().min_by_key(|(_, name)| **name)?.0;
        members.rotate_left(least);
        members.push(members[0]);
        Some(format!("{before}{START}{}]{after}", members.join(" -> ")))
    };
    circle().unwrap_or_else(|| text.to_owned())
}

/// Tags by service come in the order of a Go map, which is none.
fn in_order(path: &str, mut value: Value) -> Value {
    if path.starts_with("/v1/catalog/services") {
        for tags in value
            .as_object_mut()
            .into_iter()
            .flat_map(|map| map.values_mut())
            .filter_map(Value::as_array_mut)
        {
            tags.sort_by_key(ToString::to_string);
        }
    }
    // So do an agent's own checks.
    if path.starts_with("/v1/agent/health/")
        && let Some(checks) = value.get_mut("Checks").and_then(Value::as_array_mut)
    {
        checks.sort_by_key(|check| check["CheckID"].to_string());
    }
    // Tokens and policies come in the order of their IDs, which are random, as are those of queries.
    let by_id = ["/v1/acl/", "/v1/query"]
        .iter()
        .any(|start| path.starts_with(start));
    if let Some(list) = value.as_array_mut().filter(|_| by_id) {
        list.sort_by_key(|entry| (entry["Name"].to_string(), entry["Description"].to_string()));
    }
    value
}

/// JSON without what differs by nature: indices become their relation, node IDs a word.
fn normal(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let indices = (
                map.get("CreateIndex").and_then(Value::as_u64),
                map.get("ModifyIndex").and_then(Value::as_u64),
            );
            // Whether a node was first written by its agent or by gossip is a race in a real Consul.
            let is_node = map.contains_key("Datacenter") && !map.contains_key("ServiceID");
            let relation = match indices {
                _ if is_node => "<index>",
                (Some(created), Some(modified)) if created == modified => "as created",
                (Some(_), Some(_)) => "modified since",
                _ => "",
            };
            let fields = map.into_iter().map(|(key, value)| {
                let value = match key.as_str() {
                    "CreateIndex" => json!("<index>"),
                    "ModifyIndex" => json!(relation),
                    "ID" | "AccessorID" | "SecretID" if is_random(&value) => json!("<uuid>"),
                    "CreateTime" | "ExpirationTime" => json!("<time>"),
                    "Hash" => json!("<hash>"),
                    _ => normal(value),
                };
                (key, value)
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(normal).collect()),
        other => other,
    }
}

/// A UUID that is none of Consul's own.
fn is_random(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        text.len() == 36 && text.matches('-').count() == 4 && !text.starts_with("00000000-")
    })
}

/// The lines in which two logs differ.
pub fn difference(ours: &[String], theirs: &[String]) -> String {
    let mut out = String::new();
    for at in 0..ours.len().max(theirs.len()) {
        let (own, real) = (
            ours.get(at).map_or("(nothing)", String::as_str),
            theirs.get(at).map_or("(nothing)", String::as_str),
        );
        if own != real {
            write!(out, "--- embedded\n{own}\n--- real\n{real}\n").expect("a string takes all");
        }
    }
    out
}

#[test]
fn a_circle_is_the_same_wherever_it_is_entered_and_not_the_same_backwards() {
    let told = |circle: &str| {
        circle_from_its_least(&format!("detected circular resolver redirect: [{circle}]"))
    };
    assert_eq!(told("b -> c -> a -> b"), told("c -> a -> b -> c"));
    assert_ne!(told("b -> c -> a -> b"), told("b -> a -> c -> b"));
    assert_eq!(
        told("b -> a -> b"),
        "detected circular resolver redirect: [a -> b -> a]"
    );
}
