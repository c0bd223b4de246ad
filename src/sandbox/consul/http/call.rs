//! A request as the endpoints see it.

use axum::body::Bytes;
use axum::extract::Query as AxumQuery;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use serde::de::DeserializeOwned;

use super::super::acl::Rights;
use super::super::go::{Shape, decode_body};
use super::super::world::AgentRef;
use super::reply::{self, QueryMeta};

/// An answer; the error is the answer to a request that was refused early.
pub(super) type Answer = Result<Response, Box<Response>>;

/// One request to an agent.
pub(super) struct Call {
    pub agent: AgentRef,
    pub method: Method,
    /// The rest of the path behind the endpoint's own.
    pub tail: String,
    pub body: Bytes,
    /// Secret of the token that came along; empty for none.
    pub token: String,
    query: Vec<(String, String)>,
    rights: Result<Rights, &'static str>,
}

impl Call {
    /// `None` when the query string cannot be read.
    pub fn new(
        agent: AgentRef,
        method: Method,
        uri: &Uri,
        headers: &HeaderMap,
        tail: String,
        body: Bytes,
    ) -> Option<Self> {
        let AxumQuery(query) = AxumQuery::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
        let token = secret(headers, &query);
        let rights = Rights::of(&agent, &token);
        Some(Self {
            agent,
            method,
            tail,
            body,
            token,
            query,
            rights,
        })
    }

    /// What this request may do; one whose token is not known is refused.
    pub fn rights(&self) -> Result<&Rights, Box<Response>> {
        let known = self.rights.as_ref();
        known.map_err(|why| refuse(StatusCode::FORBIDDEN, *why))
    }

    pub fn has(&self, name: &str) -> bool {
        self.query.iter().any(|(key, _)| key == name)
    }

    /// The first value of a parameter; empty when it is missing.
    pub fn get(&self, name: &str) -> &str {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        self.query
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// All parameters sorted by name, as Go writes them.
    pub fn encoded_query(&self) -> String {
        let mut pairs: Vec<String> = self
            .query
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        pairs.sort();
        pairs.join("&")
    }

    /// The same where a refusal carries the headers of a failed query.
    pub fn rights_of_query(&self) -> Result<&Rights, Box<Response>> {
        self.rights().map_err(as_query)
    }

    /// The node whose neighbours come first; empty when nobody asked.
    pub fn near(&self) -> &str {
        match self.get("near") {
            "_agent" => &self.agent.node,
            other => other,
        }
    }

    /// The datacenter asked for, else the agent's own.
    pub fn datacenter(&self) -> &str {
        match self.get("dc") {
            "" => self.agent.datacenter.name(),
            other => other,
        }
    }

    /// The body as Go's strict decoder reads it.
    pub fn decode<T: DeserializeOwned>(&self, shape: &Shape) -> Result<T, Box<Response>> {
        let read = decode_body(&self.body, shape)
            .and_then(|value| serde_json::from_value(value).map_err(|error| error.to_string()));
        read.map_err(|error| {
            refuse(
                StatusCode::BAD_REQUEST,
                format!("Request decode failed: {error}"),
            )
        })
    }

    /// The body when it can be empty, else `default`.
    pub fn decode_or<T: DeserializeOwned + Default>(
        &self,
        shape: &Shape,
    ) -> Result<T, Box<Response>> {
        if self.body.is_empty() {
            Ok(T::default())
        } else {
            self.decode(shape)
        }
    }

    /// Go's reading of a whole number, with its sentence as a 500.
    pub fn number(&self, name: &str) -> Result<u64, Box<Response>> {
        let text = self.get(name);
        text.parse().map_err(|_| {
            let sentence = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, sentence)
        })
    }
}

/// The headers of a query that failed.
pub(super) fn as_query(mut refused: Box<Response>) -> Box<Response> {
    reply::add_meta(&mut refused, QueryMeta::default());
    refused
}

/// The token of a request: `?token=`, then Consul's own header, then a bearer.
fn secret(headers: &HeaderMap, query: &[(String, String)]) -> String {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let asked = query.iter().find(|(key, _)| key == "token");
    let asked = asked
        .map(|(_, value)| value.as_str())
        .filter(|token| !token.is_empty());
    let bearer = || header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let found = asked.or_else(|| header("x-consul-token")).or_else(bearer);
    found.unwrap_or_default().trim().to_owned()
}

/// A text answer for early returns.
pub(super) fn refuse(status: StatusCode, text: impl Into<String>) -> Box<Response> {
    Box::new(reply::text(status, text))
}

/// Go's `strconv.ParseBool`.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Undoes percent-encoding of a path; what is no encoding stays as it is.
pub(super) fn percent_decode(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
