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
        let sent = self
            .rig
            .client
            .request(method, url)
            .body(body.to_owned())
            .send()
            .await
            .expect("the agent answers");
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
            true => {
                serde_json::to_string_pretty(&normal(reply.json.clone())).expect("JSON is JSON")
            }
            false => reply.text.clone(),
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

    /// Notes whether the answer comes to satisfy the condition in time.
    pub async fn eventually(
        &mut self,
        agent: &str,
        path: &str,
        what: &str,
        condition: impl Fn(&Reply) -> bool,
    ) {
        let this = &*self;
        let condition = &condition;
        let came = until(
            WAIT,
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

/// JSON without what differs by nature: indices become their relation, node IDs a word.
fn normal(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let indices = (
                map.get("CreateIndex").and_then(Value::as_u64),
                map.get("ModifyIndex").and_then(Value::as_u64),
            );
            let relation = match indices {
                (Some(created), Some(modified)) if created == modified => "as created",
                (Some(_), Some(_)) => "modified since",
                _ => "",
            };
            let fields = map.into_iter().map(|(key, value)| {
                let value = match key.as_str() {
                    "CreateIndex" => json!("<index>"),
                    "ModifyIndex" => json!(relation),
                    "ID" if is_uuid(&value) => json!("<uuid>"),
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

fn is_uuid(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.len() == 36 && text.matches('-').count() == 4)
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
