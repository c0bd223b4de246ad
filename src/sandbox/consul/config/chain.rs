//! The chain of entries behind a service name, and whether it holds together: one protocol, subsets that are there, no circles.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::text;

type Entries = BTreeMap<(String, String), Value>;

const TCP: &str = "tcp";
const KINDS: [&str; 3] = ["service-router", "service-splitter", "service-resolver"];

/// Checks the chains that a change of this entry can break.
///
/// # Errors
/// Consul's sentence on the first chain that breaks.
pub(super) fn check_around(entries: &Entries, kind: &str, name: &str) -> Result<(), String> {
    let services = entries
        .keys()
        .filter(|(kind, _)| KINDS.contains(&kind.as_str()));
    let is_global = kind == "proxy-defaults";
    let around: BTreeSet<&str> = services
        .filter(|at| is_global || mentions(&entries[*at], name))
        .map(|(_, name)| name.as_str())
        .collect();
    // Its own chain is the first to complain.
    let own = (!is_global).then_some(name);
    own.into_iter()
        .chain(
            around
                .into_iter()
                .filter(|other| is_global || *other != name),
        )
        .try_for_each(|service| Chain::new(entries, service).check())
}

/// Whether an entry names a service anywhere.
fn mentions(entry: &Value, service: &str) -> bool {
    match entry {
        Value::Object(fields) => fields.iter().any(|(key, inner)| match key.as_str() {
            "Service" => inner == service,
            _ => mentions(inner, service),
        }),
        Value::Array(items) => items.iter().any(|item| mentions(item, service)),
        _ => false,
    }
}

struct Chain<'e> {
    entries: &'e Entries,
    service: &'e str,
    protocol: Option<String>,
    splitters: BTreeSet<&'e str>,
    /// It routes or splits, which needs a protocol like HTTP.
    advanced: bool,
}

impl<'e> Chain<'e> {
    fn new(entries: &'e Entries, service: &'e str) -> Self {
        Self {
            entries,
            service,
            protocol: None,
            splitters: BTreeSet::new(),
            advanced: false,
        }
    }

    fn entry(&self, kind: &str, name: &str) -> Option<&'e Value> {
        self.entries.get(&(kind.to_owned(), name.to_owned()))
    }

    fn check(mut self) -> Result<(), String> {
        if let Some(router) = self.entry("service-router", self.service) {
            self.record_protocol(self.service)?;
            self.advanced = true;
            for route in router["Routes"].as_array().into_iter().flatten() {
                let to = &route["Destination"];
                let service = match text(to, "Service") {
                    "" => self.service,
                    other => other,
                };
                match text(to, "ServiceSubset") {
                    "" => self.split_or_resolve(service)?,
                    subset => self.resolve(service, subset)?,
                }
            }
        }
        self.split_or_resolve(self.service)?;
        let protocol = self.protocol.as_deref().unwrap_or(TCP);
        if self.advanced && !matches!(protocol, "http" | "http2" | "grpc") {
            return Err(format!(
                "discovery chain {:?} uses a protocol {protocol:?} that does not permit advanced routing or splitting behavior",
                self.service
            ));
        }
        Ok(())
    }

    fn record_protocol(&mut self, service: &str) -> Result<(), String> {
        let own = self
            .entry("service-defaults", service)
            .map(|entry| text(entry, "Protocol"));
        let global = || {
            let defaults = self.entry("proxy-defaults", super::GLOBAL)?;
            defaults["Config"]["protocol"].as_str()
        };
        let own = own
            .filter(|own| !own.is_empty())
            .or_else(global)
            .unwrap_or(TCP)
            .to_owned();
        match &self.protocol {
            Some(known) if *known != own => Err(format!(
                "discovery chain {:?} uses inconsistent protocols; service {service:?} has {own:?} which is not {known:?}",
                self.service
            )),
            _ => {
                self.protocol = Some(own);
                Ok(())
            }
        }
    }

    fn split_or_resolve(&mut self, service: &'e str) -> Result<(), String> {
        match self.split(service)? {
            true => Ok(()),
            false => self.resolve(service, ""),
        }
    }

    /// True when the service has a splitter.
    fn split(&mut self, service: &'e str) -> Result<bool, String> {
        let Some(splitter) = self.entry("service-splitter", service) else {
            return Ok(false);
        };
        if !self.splitters.insert(service) {
            return Ok(true);
        }
        self.record_protocol(service)?;
        self.advanced = true;
        for split in splitter["Splits"].as_array().into_iter().flatten() {
            let to = match text(split, "Service") {
                "" => service,
                other => other,
            };
            let subset = text(split, "ServiceSubset");
            if subset.is_empty() && to != service && self.split(to)? {
                continue;
            }
            self.resolve(to, subset)?;
        }
        Ok(true)
    }

    fn resolve(&mut self, service: &str, subset: &str) -> Result<(), String> {
        let (mut service, mut subset) = (service.to_owned(), subset.to_owned());
        let mut way: Vec<String> = Vec::new();
        loop {
            self.record_protocol(&service)?;
            let name = match subset.as_str() {
                "" => format!("{service}.default.dc1"),
                subset => format!("{subset}.{service}.default.dc1"),
            };
            let known = way.contains(&name);
            way.push(name);
            if known {
                return Err(format!(
                    "detected circular resolver redirect: [{}]",
                    way.join(" -> ")
                ));
            }
            let resolver = self.entry("service-resolver", &service);
            let redirect = resolver.and_then(|resolver| resolver.get("Redirect"));
            if let Some(to) = redirect
                && redirected(to, &mut service, &mut subset)
            {
                continue;
            }
            let default = resolver.map_or("", |resolver| text(resolver, "DefaultSubset"));
            if subset.is_empty() && !default.is_empty() {
                subset = default.to_owned();
            }
            let resolver = self.entry("service-resolver", &service);
            let has = resolver.is_some_and(|resolver| resolver["Subsets"].get(&subset).is_some());
            if !subset.is_empty() && !has {
                return Err(format!(
                    "service {service:?} does not have a subset named {subset:?}"
                ));
            }
            return self.check_external(&service);
        }
    }

    /// A service with a name of its own for TLS is outside of the mesh.
    fn check_external(&self, service: &str) -> Result<(), String> {
        let defaults = self.entry("service-defaults", service);
        let resolver = self.entry("service-resolver", service);
        let (Some(defaults), Some(resolver)) = (defaults, resolver) else {
            return Ok(());
        };
        if text(defaults, "ExternalSNI").is_empty() {
            return Ok(());
        }
        for (field, what) in [
            ("Redirect", "redirects"),
            ("Subsets", "subsets"),
            ("Failover", "failover"),
        ] {
            if resolver.get(field).is_some() {
                return Err(format!(
                    "service {service:?} has an external SNI set; cannot define {what} for external services"
                ));
            }
        }
        Ok(())
    }
}

/// Follows a redirect; true when it leads to another target among the same entries.
fn redirected(to: &Value, service: &mut String, subset: &mut String) -> bool {
    let before = (service.clone(), subset.clone());
    let (next, next_subset) = (text(to, "Service"), text(to, "ServiceSubset"));
    if !next.is_empty() && next != service {
        *service = next.to_owned();
        subset.clear();
    }
    if !next_subset.is_empty() {
        *subset = next_subset.to_owned();
    }
    before != (service.clone(), subset.clone())
}
