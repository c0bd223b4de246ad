//! What policies allow: rules by resource and name, the exact one before the longest prefix.

use std::collections::BTreeMap;

use serde_json::Value;

/// How much a rule gives, and how much an endpoint wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    Deny,
    Read,
    List,
    Write,
}

/// What rules with names speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    Agent,
    Event,
    Key,
    Node,
    Query,
    Service,
    Session,
}

const RESOURCES: [(&str, Resource); 7] = [
    ("agent", Resource::Agent),
    ("event", Resource::Event),
    ("key", Resource::Key),
    ("node", Resource::Node),
    ("query", Resource::Query),
    ("service", Resource::Service),
    ("session", Resource::Session),
];

impl Resource {
    pub fn named(name: &str) -> Option<Resource> {
        let found = RESOURCES.iter().find(|(of, _)| *of == name);
        found.map(|(_, resource)| *resource)
    }
}

/// Rules of one or more policies.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    exact: BTreeMap<(Resource, String), Access>,
    prefixes: BTreeMap<(Resource, String), Access>,
    /// Resources without names: `acl`, `keyring`, `operator`.
    whole: BTreeMap<String, Access>,
}

fn access(text: &str) -> Option<Access> {
    Some(match text {
        "deny" => Access::Deny,
        "read" => Access::Read,
        "list" => Access::List,
        "write" => Access::Write,
        _ => return None,
    })
}

impl Rules {
    /// Reads rules in HCL or JSON. Blocks that Consul does not know are ignored, as Consul ignores them.
    ///
    /// # Errors
    /// Consul's sentence: text that is no HCL, an access that is none.
    pub fn read(text: &str) -> Result<Rules, String> {
        let tree: Value = match text.trim_start().starts_with('{') {
            true => serde_json::from_str(text).map_err(|error| error.to_string()),
            false => hcl::from_str(text).map_err(|error| error.to_string()),
        }
        .map_err(|error| format!("Failed to parse ACL rules: {error}"))?;
        let mut rules = Rules::default();
        for (name, inner) in tree.as_object().into_iter().flatten() {
            match inner {
                Value::String(given) => rules.add_whole(name, given)?,
                named => rules.add_named(name, named)?,
            }
        }
        Ok(rules)
    }

    fn add_whole(&mut self, name: &str, given: &str) -> Result<(), String> {
        if !matches!(name, "acl" | "keyring" | "operator") {
            return Ok(());
        }
        let given = access(given)
            .filter(|given| *given != Access::List)
            .ok_or_else(|| format!("Invalid {name} policy: {given:?}"))?;
        self.whole.insert(name.to_owned(), given);
        Ok(())
    }

    fn add_named(&mut self, name: &str, named: &Value) -> Result<(), String> {
        let (plain, is_prefix) = match name.strip_suffix("_prefix") {
            Some(plain) => (plain, true),
            None => (name, false),
        };
        let Some(resource) = Resource::named(plain) else {
            return Ok(());
        };
        for (of, body) in named.as_object().into_iter().flatten() {
            // The same block twice is a list; the later one counts.
            let body = body.as_array().and_then(|all| all.last()).unwrap_or(body);
            let given = body.get("policy").and_then(Value::as_str).unwrap_or("");
            let fits = |given: &Access| *given != Access::List || resource == Resource::Key;
            let given = access(given)
                .filter(fits)
                .ok_or_else(|| refusal(plain, of, given))?;
            let table = if is_prefix {
                &mut self.prefixes
            } else {
                &mut self.exact
            };
            table.insert((resource, of.clone()), given);
        }
        Ok(())
    }

    /// Takes in another policy's rules: of two for the same name, deny goes before write before list before read.
    pub fn merge(&mut self, other: Rules) {
        fn stronger(old: Access, new: Access) -> Access {
            match old == Access::Deny || new == Access::Deny {
                true => Access::Deny,
                false => old.max(new),
            }
        }
        let named = [
            (&mut self.exact, other.exact),
            (&mut self.prefixes, other.prefixes),
        ];
        for (mine, theirs) in named {
            for (key, given) in theirs {
                mine.entry(key)
                    .and_modify(|old| *old = stronger(*old, given))
                    .or_insert(given);
            }
        }
        for (key, given) in other.whole {
            self.whole
                .entry(key)
                .and_modify(|old| *old = stronger(*old, given))
                .or_insert(given);
        }
    }

    /// The rules that a service identity stands for.
    pub fn of_service(name: &str) -> Rules {
        let mut rules = Rules::default();
        for own in [name.to_owned(), format!("{name}-sidecar-proxy")] {
            rules.exact.insert((Resource::Service, own), Access::Write);
        }
        for all in [Resource::Service, Resource::Node] {
            rules.prefixes.insert((all, String::new()), Access::Read);
        }
        rules
    }

    fn given(&self, resource: Resource, name: &str) -> Option<Access> {
        let exact = self.exact.get(&(resource, name.to_owned()));
        let longest = || {
            let fitting = self
                .prefixes
                .iter()
                .filter(|((of, prefix), _)| *of == resource && name.starts_with(prefix.as_str()));
            fitting
                .max_by_key(|((_, prefix), _)| prefix.len())
                .map(|(_, given)| given)
        };
        exact.or_else(longest).copied()
    }

    /// Deny is the default.
    pub fn may(&self, resource: Resource, name: &str, wanted: Access) -> bool {
        self.given(resource, name)
            .is_some_and(|given| given != Access::Deny && given >= wanted)
    }

    /// Whether all keys under a prefix may be written: no rule beneath may say otherwise.
    pub fn may_write_keys_under(&self, prefix: &str) -> bool {
        let fitting = |((of, at), _): &(&(Resource, String), &Access)| {
            *of == Resource::Key && prefix.starts_with(at.as_str())
        };
        let above = self
            .prefixes
            .iter()
            .filter(fitting)
            .max_by_key(|((_, at), _)| at.len());
        let all_below = self
            .exact
            .iter()
            .chain(&self.prefixes)
            .all(|((of, at), given)| {
                *of != Resource::Key || !at.starts_with(prefix) || *given == Access::Write
            });
        above.is_some_and(|(_, given)| *given == Access::Write) && all_below
    }

    pub fn may_whole(&self, name: &str, wanted: Access) -> bool {
        self.whole
            .get(name)
            .is_some_and(|given| *given != Access::Deny && *given >= wanted)
    }
}

fn refusal(resource: &str, name: &str, given: &str) -> String {
    if resource == "key" {
        return format!(
            "Invalid key policy: &acl.KeyRule{{Prefix:{name:?}, Policy:{given:?}, EnterpriseRule:acl.EnterpriseRule{{}}}}"
        );
    }
    format!("Invalid {resource} policy: {given:?} of {name:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_rule_goes_before_the_longest_prefix_and_deny_before_all() {
        let mut rules = Rules::read(
            r#"
            key_prefix "a/" { policy = "write" }
            key_prefix "a/b/" { policy = "read" }
            key "a/secret" { policy = "deny" }
            operator = "read"
            "#,
        )
        .unwrap();
        let may = |rules: &Rules, key: &str, wanted| rules.may(Resource::Key, key, wanted);
        assert!(may(&rules, "a/x", Access::Write) && may(&rules, "a/b/x", Access::Read));
        assert!(!may(&rules, "a/b/x", Access::Write) && !may(&rules, "a/secret", Access::Read));
        assert!(!may(&rules, "other", Access::Read));
        assert!(rules.may_whole("operator", Access::Read) && !rules.may_whole("acl", Access::Read));
        assert!(!rules.may_write_keys_under("a/") && !rules.may_write_keys_under(""));
        rules.merge(Rules::read(r#"key_prefix "a/" { policy = "deny" }"#).unwrap());
        assert!(!may(&rules, "a/x", Access::Read));
    }
}
