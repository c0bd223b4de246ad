//! Configuration entries: the mesh's settings of services. Pure.

mod chain;
mod forms;
mod rules;

use serde_json::{Value, json};

use super::state::{StateError, Store};

const KINDS: [&str; 5] = [
    "proxy-defaults",
    "service-defaults",
    "service-resolver",
    "service-router",
    "service-splitter",
];
/// The only name that defaults of proxies have.
const GLOBAL: &str = "global";

/// Why an entry's text could not be taken; Consul calls it a bad request.
pub type Unreadable = String;

/// Whether a kind of entry is known.
///
/// # Errors
/// Consul's sentence.
pub fn check_kind(kind: &str) -> Result<(), String> {
    match KINDS.contains(&kind) {
        true => Ok(()),
        false => Err(format!("invalid config entry kind: {kind}")),
    }
}

/// Reads an entry as clients write it, in any case of letters and with snake case, into the form that Consul shows.
///
/// # Errors
/// What is wrong with its form: no kind, an unknown field, a value of another type.
pub fn read(text: &[u8]) -> Result<Value, Unreadable> {
    let mut stream = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    let raw = match stream.next() {
        None => return Err("EOF".into()),
        Some(raw) => raw.map_err(|error| error.to_string())?,
    };
    let Value::Object(fields) = &raw else {
        let got = if raw.is_array() { "slice" } else { "string" };
        return Err(format!("'' expected a map, got '{got}'"));
    };
    let kind = fields
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case("kind"))
        .and_then(|(_, kind)| kind.as_str())
        .ok_or("Payload does not contain a kind/Kind key at the top level")?
        .to_owned();
    check_kind(&kind)?;
    let mut entry = forms::read(&kind, raw)?;
    if kind == "proxy-defaults" {
        entry["Name"] = json!(GLOBAL);
    }
    rules::normalize(&kind, &mut entry);
    Ok(entry)
}

/// An entry's text at a field, or nothing.
pub(in super::super) fn text<'v>(entry: &'v Value, field: &str) -> &'v str {
    entry[field].as_str().unwrap_or("")
}

impl Store {
    /// Stores an entry; with `cas`, only if the stored one has that index (0: if there is none). False when it was another.
    ///
    /// # Errors
    /// Consul's sentence: rules of its kind, or a chain of services that would no longer hold together.
    pub fn put_config(&mut self, mut entry: Value, cas: Option<u64>) -> Result<bool, StateError> {
        let kind = text(&entry, "Kind").to_owned();
        rules::validate(&kind, &entry)?;
        let index = self.next_index();
        let at = (kind, text(&entry, "Name").to_owned());
        let known = self.config.get(&at);
        let found = known.map_or(0, |known| known["ModifyIndex"].as_u64().unwrap_or(0));
        if cas.is_some_and(|wanted| wanted != found) {
            return Ok(false);
        }
        entry["CreateIndex"] = known.map_or(json!(index), |known| known["CreateIndex"].clone());
        entry["ModifyIndex"] = json!(index);
        self.replace_config(&at, Some(entry))?;
        self.tables.config = index;
        Ok(true)
    }

    /// Removes an entry; one that is not there is no error.
    ///
    /// # Errors
    /// A chain of services that would no longer hold together.
    pub fn remove_config(&mut self, kind: &str, name: &str) -> Result<(), StateError> {
        let index = self.next_index();
        let at = (kind.to_owned(), name.to_owned());
        if self.config.contains_key(&at) {
            self.replace_config(&at, None)?;
            self.tables.config = index;
        }
        Ok(())
    }

    fn replace_config(
        &mut self,
        at: &(String, String),
        entry: Option<Value>,
    ) -> Result<(), StateError> {
        let before = match entry {
            Some(entry) => self.config.insert(at.clone(), entry),
            None => self.config.remove(at),
        };
        let checked = chain::check_around(&self.config, &at.0, &at.1);
        if checked.is_err() {
            match before {
                Some(before) => self.config.insert(at.clone(), before),
                None => self.config.remove(at),
            };
        }
        checked.map_err(StateError)
    }

    /// All entries, or those of a kind, with the table's index.
    pub fn config_entries(&self, kind: &str) -> (u64, Vec<Value>) {
        let wanted = self
            .config
            .iter()
            .filter(|((of, _), _)| kind.is_empty() || of == kind);
        (
            self.tables.config,
            wanted.map(|(_, entry)| entry.clone()).collect(),
        )
    }

    /// One entry, with the table's index.
    pub fn config_entry(&self, kind: &str, name: &str) -> (u64, Option<Value>) {
        let at = (kind.to_owned(), name.to_owned());
        (self.tables.config, self.config.get(&at).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_splitter_needs_the_subsets_it_names_for_as_long_as_it_is_there() {
        let mut store = Store::new();
        let put =
            |store: &mut Store, text: &str| store.put_config(read(text.as_bytes()).unwrap(), None);
        let splitter = r#"{"kind":"service-splitter","name":"web","splits":[{"weight":90,"service_subset":"v1"},{"weight":10}]}"#;
        put(
            &mut store,
            r#"{"Kind":"service-defaults","Name":"web","Protocol":"http"}"#,
        )
        .unwrap();
        assert_eq!(
            put(&mut store, splitter),
            Err("service \"web\" does not have a subset named \"v1\"".into())
        );
        put(
            &mut store,
            r#"{"Kind":"service-resolver","Name":"web","Subsets":{"v1":{}}}"#,
        )
        .unwrap();
        assert_eq!(put(&mut store, splitter), Ok(true));
        assert!(store.remove_config("service-resolver", "web").is_err());
        assert!(store.config_entry("service-resolver", "web").1.is_some());
    }
}
