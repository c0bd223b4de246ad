//! What is asked of an HTTP API, and what it answers.

use super::Wait;
use reqwest::Method;
use std::time::Duration;

/// One request, before it has an address: what it is for (in words, for errors), path segments (not yet encoded), query and body.
#[derive(Clone, Debug)]
pub struct Ask {
    pub(super) what: String,
    pub(super) method: Method,
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) longest: Option<Duration>,
    pub(super) status_tells: bool,
}

impl Ask {
    fn new(method: Method, what: impl Into<String>, path: &[&str]) -> Self {
        Ask {
            what: what.into(),
            method,
            path: path.iter().map(|s| s.to_string()).collect(),
            query: Vec::new(),
            body: None,
            longest: None,
            status_tells: false,
        }
    }
    pub fn get(what: impl Into<String>, path: &[&str]) -> Self {
        Self::new(Method::GET, what, path)
    }
    pub fn put(what: impl Into<String>, path: &[&str]) -> Self {
        Self::new(Method::PUT, what, path)
    }
    pub fn post(what: impl Into<String>, path: &[&str]) -> Self {
        Self::new(Method::POST, what, path)
    }
    pub fn delete(what: impl Into<String>, path: &[&str]) -> Self {
        Self::new(Method::DELETE, what, path)
    }
    /// The same at another place; for requests whose path another maker knows.
    pub(in crate::clients) fn at<'a>(
        mut self,
        method: Method,
        path: impl Iterator<Item = &'a str>,
    ) -> Self {
        self.method = method;
        self.path = path.map(str::to_string).collect();
        self
    }
    pub(in crate::clients) fn what(&self) -> &str {
        &self.what
    }
    pub(in crate::clients) fn method(&self) -> &Method {
        &self.method
    }
    pub fn query(mut self, key: &str, value: impl ToString) -> Self {
        self.query.push((key.to_string(), value.to_string()));
        self
    }
    /// As `query`, when there is a value.
    pub fn query_if(self, key: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(v) => self.query(key, v),
            None => self,
        }
    }
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.bytes(body.to_string().into_bytes())
    }
    pub fn bytes(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }
    /// The status says what was found, not how the request went: none of them is a reason to send it again.
    pub fn status_tells(mut self) -> Self {
        self.status_tells = true;
        self
    }
    /// Turns it into a blocking query.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.longest = Some(wait.longest_answer());
        self.query("index", wait.index)
            .query("wait", format!("{}ms", wait.longest.as_millis()))
    }
}

/// A reply of any status.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// `X-Nomad-Index` or `X-Consul-Index`.
    pub index: Option<u64>,
}
