//! Prepared queries: their definitions, templates, and which instances of one datacenter they select. Pure.

use serde::{Deserialize, Serialize};

use super::go;
use super::records::{CRITICAL, CheckServiceNode, Meta, PASSING};
use super::state::{StateError, Store, check_uuid};

/// Where a query looks when its own datacenter has nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Failover {
    pub nearest_n: i64,
    pub datacenters: Option<Vec<String>>,
}

/// What a query selects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceQuery {
    pub service: String,
    pub failover: Failover,
    pub only_passing: bool,
    #[serde(rename = "IgnoreCheckIDs")]
    pub ignore_check_ids: Option<Vec<String>>,
    pub near: String,
    pub tags: Option<Vec<String>>,
    pub node_meta: Option<Meta>,
    pub service_meta: Option<Meta>,
    pub connect: bool,
}

/// How a query answers for many names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Template {
    #[serde(rename = "Type")]
    pub kind: String,
    pub regexp: String,
    pub remove_empty_tags: bool,
}

/// How DNS shows the answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsOptions {
    #[serde(rename = "TTL")]
    pub ttl: String,
}

/// A prepared query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PreparedQuery {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    pub session: String,
    pub token: String,
    pub template: Template,
    pub service: ServiceQuery,
    #[serde(rename = "DNS")]
    pub dns: DnsOptions,
    pub create_index: u64,
    pub modify_index: u64,
}

const PREFIX_MATCH: &str = "name_prefix_match";

impl PreparedQuery {
    fn is_template(&self) -> bool {
        !self.template.kind.is_empty()
    }

    /// Consul's rules that need no state.
    ///
    /// # Errors
    /// Consul's sentence.
    pub fn validate(&self) -> Result<(), String> {
        let problem = if self.name.is_empty() && self.session.is_empty() && !self.is_template() {
            "Must be bound to a session".to_owned()
        } else if self.service.service.is_empty() {
            "Must provide a Service name to query".to_owned()
        } else if self.service.failover.nearest_n < 0 {
            format!(
                "Bad NearestN '{}', must be >= 0",
                self.service.failover.nearest_n
            )
        } else {
            match go::parse_duration(&self.dns.ttl) {
                _ if self.dns.ttl.is_empty() => return Ok(()),
                Ok(nanos) if nanos < 0 => format!("DNS TTL '{nanos}', must be >=0"),
                Ok(_) => return Ok(()),
                Err(why) => format!("Bad DNS TTL '{}': {why}", self.dns.ttl),
            }
        };
        Err(format!("Invalid prepared query: {problem}"))
    }

    fn check_template(&self) -> Result<(), String> {
        if !self.is_template() {
            return Ok(());
        }
        if self.template.kind != PREFIX_MATCH {
            return Err(format!(
                "failed compiling template: Bad Template.Type '{}'",
                self.template.kind
            ));
        }
        if let Err(error) = regex::Regex::new(&self.template.regexp) {
            return Err(format!("failed compiling template: Bad Regexp: {error}"));
        }
        self.rendered(&self.name)
            .map(drop)
            .map_err(|why| format!("failed compiling template: {why}"))
    }

    /// The query for one name that its template matches.
    fn rendered(&self, name: &str) -> Result<PreparedQuery, String> {
        let mut out = self.clone();
        let captures: Vec<String> = match self.template.regexp.as_str() {
            "" => Vec::new(),
            pattern => regex::Regex::new(pattern)
                .ok()
                .and_then(|pattern| pattern.captures(name).map(|found| groups(&found)))
                .unwrap_or_default(),
        };
        let fill = |text: &str, place: &str| {
            interpolate(text, name, &self.name, &captures)
                .map_err(|why| format!("Bad evaluation for '{text}' in {place}: {why}"))
        };
        out.service.service = fill(&self.service.service, "Service.Service")?;
        if let Some(tags) = &mut out.service.tags {
            for tag in tags.iter_mut() {
                *tag = fill(tag, "Service.Tags")?;
            }
            if self.template.remove_empty_tags {
                tags.retain(|tag| !tag.is_empty());
            }
        }
        for datacenter in out.service.failover.datacenters.iter_mut().flatten() {
            *datacenter = fill(datacenter, "Service.Failover.Datacenters")?;
        }
        Ok(out)
    }

    /// Seconds that DNS answers may be kept; `None` leaves it to the agent.
    pub fn dns_ttl(&self) -> Option<u32> {
        let nanos = go::parse_duration(&self.dns.ttl).ok()?;
        u32::try_from(nanos / 1_000_000_000).ok()
    }

    /// Of these instances, those that the query wants.
    pub fn select(&self, mut found: Vec<CheckServiceNode>) -> Vec<CheckServiceNode> {
        let wanted = &self.service;
        let ignored = |id: &String| {
            wanted
                .ignore_check_ids
                .iter()
                .flatten()
                .any(|skip| skip == id)
        };
        let has_all = |own: &Option<Meta>, asked: &Option<Meta>| {
            let mut pairs = asked.iter().flatten();
            pairs.all(|(key, value)| own.as_ref().and_then(|own| own.get(key)) == Some(value))
        };
        found.retain(|entry| {
            let mut checks = entry
                .checks
                .iter()
                .filter(|check| !ignored(&check.check_id));
            let healthy = checks.all(|check| {
                check.status != CRITICAL && (!wanted.only_passing || check.status == PASSING)
            });
            let tagged = wanted
                .tags
                .iter()
                .flatten()
                .all(|tag| match tag.strip_prefix('!') {
                    Some(unwanted) => !entry.service.has_tags(&[unwanted.to_owned()]),
                    None => entry.service.has_tags(std::slice::from_ref(tag)),
                });
            healthy
                && tagged
                && has_all(&entry.node.meta, &wanted.node_meta)
                && has_all(&entry.service.meta, &wanted.service_meta)
        });
        found
    }
}

fn groups(found: &regex::Captures<'_>) -> Vec<String> {
    let text =
        |group: Option<regex::Match<'_>>| group.map_or("", |group| group.as_str()).to_owned();
    found.iter().map(text).collect()
}

/// Fills `${name.full}`, `${name.prefix}`, `${name.suffix}` and `${match(N)}`.
fn interpolate(
    text: &str,
    name: &str,
    prefix: &str,
    captures: &[String],
) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else {
            break;
        };
        out += &rest[..start];
        let variable = rest[start + 2..start + length].trim();
        let group = variable
            .strip_prefix("match(")
            .and_then(|inner| inner.strip_suffix(')'))
            .and_then(|number| number.trim().parse::<usize>().ok());
        match (variable, group) {
            ("name.full", _) => out += name,
            ("name.prefix", _) => out += prefix,
            ("name.suffix", _) => out += name.strip_prefix(prefix).unwrap_or(""),
            ("agent.segment", _) => {}
            (_, Some(group)) => out += captures.get(group).map_or("", String::as_str),
            _ => {
                let column = text.len() - rest.len() + start + 3;
                return Err(format!("1:{column}: unknown variable accessed: {variable}"));
            }
        }
        rest = &rest[start + length + 1..];
    }
    Ok(out + rest)
}

impl Store {
    /// Stores a query that has an ID already.
    ///
    /// # Errors
    /// Consul's sentence: a name that is taken, a session that is not there, a template that cannot be.
    pub fn put_query(&mut self, mut query: PreparedQuery) -> Result<(), StateError> {
        let index = self.next_index();
        if !query.session.is_empty() {
            check_uuid(&query.session).map_err(|why| format!("invalid session: {why}"))?;
            if !self.sessions.contains_key(&query.session) {
                return Err(format!("invalid session {:?}", query.session).into());
            }
        }
        let same_name = self
            .queries
            .values()
            .find(|other| other.name == query.name && other.id != query.id);
        if let Some(other) = same_name.filter(|_| !query.name.is_empty() || query.is_template()) {
            let what = match (other.is_template(), query.is_template()) {
                (true, true) => "query template",
                (false, false) => "query",
                _ => "",
            };
            if !what.is_empty() {
                return Err(
                    format!("name '{}' aliases an existing {what} name", query.name).into(),
                );
            }
        }
        query.check_template()?;
        let known = self.queries.get(&query.id);
        query.create_index = known.map_or(index, |known| known.create_index);
        query.modify_index = index;
        self.queries.insert(query.id.clone(), query);
        self.tables.queries = index;
        Ok(())
    }

    /// Removes a query.
    pub fn remove_query(&mut self, id: &str) {
        let index = self.next_index();
        self.queries.remove(id);
        self.tables.queries = index;
    }

    /// The table's index and all queries by ID.
    pub fn queries(&self) -> (u64, Vec<PreparedQuery>) {
        (
            self.tables.queries,
            self.queries.values().cloned().collect(),
        )
    }

    /// The query that answers for an ID or a name: by itself, or through the template with the longest prefix.
    ///
    /// # Errors
    /// A template that cannot be filled.
    pub fn resolve_query(&self, id_or_name: &str) -> Result<Option<PreparedQuery>, String> {
        if let Some(query) = self.queries.get(id_or_name) {
            return Ok(Some(query.clone()));
        }
        let named = self.queries.values();
        let own = named
            .clone()
            .find(|query| !query.is_template() && query.name == id_or_name);
        if let Some(query) = own.filter(|query| !query.name.is_empty()) {
            return Ok(Some(query.clone()));
        }
        let template = named
            .filter(|query| query.is_template() && id_or_name.starts_with(&query.name))
            .max_by_key(|query| query.name.len());
        template.map(|query| query.rendered(id_or_name)).transpose()
    }
}
