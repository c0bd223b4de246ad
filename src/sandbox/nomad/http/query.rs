//! The parameters of requests.

use crate::sandbox::nomad::jobs::Refusal;

/// The parameters of a request, in order.
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn of(raw: &str) -> Query {
        let pairs = raw
            .split('&')
            .filter(|p| !p.is_empty())
            .map(|p| p.split_once('=').unwrap_or((p, "")));
        Query(
            pairs
                .map(|(k, v)| (decoded(k), decoded(&v.replace('+', " "))))
                .collect(),
        )
    }
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }
    pub fn truth(&self, key: &str) -> bool {
        matches!(self.get(key), Some("true" | "1" | "t"))
    }
    /// A parameter that is a truth, or nothing; errors as Nomad words them.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, Refusal> {
        match self.get(key) {
            None | Some("") => Ok(None),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
            Some(other) => {
                let why = format!(
                    "Failed to parse value of {key:?} ({other}) as a bool: strconv.ParseBool: parsing {other:?}: invalid syntax"
                );
                Err(Refusal::new(500, why))
            }
        }
    }
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }
    /// The namespace asked for; `*` is all.
    pub fn namespace(&self) -> &str {
        match self.get("namespace") {
            None | Some("") => "default",
            Some(namespace) => namespace,
        }
    }
    /// Whether rows of this namespace are wanted.
    pub fn in_namespace(&self, namespace: &str) -> bool {
        self.namespace() == "*" || self.namespace() == namespace
    }
    pub fn matches_prefix(&self, id: &str) -> bool {
        id.starts_with(self.get("prefix").unwrap_or(""))
    }
}

/// `%41` to `A`.
pub fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = text
            .get(i + 1..i + 3)
            .filter(|_| bytes[i] == b'%')
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        out.push(hex.unwrap_or(bytes[i]));
        i += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
