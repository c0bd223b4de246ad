//! Tokens, policies, and what they let a request do.

pub mod rules;
mod tables;

pub use tables::{Acl, check_secret, hash};

use super::jobs::Refusal;
use rules::{Grant, Rules};
use std::collections::{BTreeMap, BTreeSet};

pub fn denied() -> Refusal {
    Refusal::new(403, "Permission denied")
}

/// What a request has to be allowed to do.
#[derive(Clone, Copy, Debug)]
pub enum Need<'a> {
    /// One of these capabilities in a namespace.
    Any(&'a str, &'a [&'a str]),
    /// Anything in a namespace.
    Something(&'a str),
    AgentRead,
    NodeRead,
    NodeWrite,
    OperatorRead,
    OperatorWrite,
    PluginList,
    Management,
}

type Capabilities = BTreeMap<String, BTreeSet<String>>;

/// What a token allows: the sum of its policies, where a `deny` beats everything.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    management: bool,
    namespaces: Capabilities,
    host_volumes: Capabilities,
    agent: String,
    node: String,
    operator: String,
    plugin: String,
}

impl Rights {
    /// Those of a management token, or of anyone where ACLs are off.
    pub fn all() -> Rights {
        Rights {
            management: true,
            ..Rights::default()
        }
    }

    pub fn of<'a>(policies: impl Iterator<Item = &'a Rules>) -> Rights {
        let mut rights = Rights::default();
        for rules in policies {
            rules
                .namespaces
                .iter()
                .for_each(|g| add(&mut rights.namespaces, g));
            rules
                .host_volumes
                .iter()
                .for_each(|g| add(&mut rights.host_volumes, g));
            for (have, more) in [
                (&mut rights.agent, &rules.agent),
                (&mut rights.node, &rules.node),
                (&mut rights.operator, &rules.operator),
                (&mut rights.plugin, &rules.plugin),
            ] {
                let more = more.as_deref().unwrap_or("");
                let highest = ["deny", "write", "read", "list"];
                let found = highest.into_iter().find(|l| have == l || more == *l);
                *have = found.unwrap_or("").into();
            }
        }
        rights
    }

    pub fn is_management(&self) -> bool {
        self.management
    }

    pub fn allow(&self, need: Need) -> bool {
        let reads = |level: &str| ["read", "write"].contains(&level);
        self.management
            || match need {
                Need::Any(namespace, any) => {
                    let has = capabilities(&self.namespaces, namespace);
                    has.is_some_and(|has| any.iter().any(|c| has.contains(*c)))
                }
                Need::Something(namespace) => {
                    let has = capabilities(&self.namespaces, namespace);
                    has.is_some_and(|has| !has.is_empty() && !has.contains("deny"))
                }
                Need::AgentRead => reads(&self.agent),
                Need::NodeRead => reads(&self.node),
                Need::NodeWrite => self.node == "write",
                Need::OperatorRead => reads(&self.operator),
                Need::OperatorWrite => self.operator == "write",
                Need::PluginList => ["list", "read"].contains(&self.plugin.as_str()),
                Need::Management => false,
            }
    }

    /// Whether a job may mount this volume of its node.
    pub fn may_mount(&self, volume: &str, read_only: bool) -> bool {
        let has = capabilities(&self.host_volumes, volume);
        self.management
            || has.is_some_and(|has| {
                has.contains("mount-readwrite") || (read_only && has.contains("mount-readonly"))
            })
    }
}

fn add(all: &mut Capabilities, grant: &Grant) {
    let has = all.entry(grant.name.clone()).or_default();
    if has.contains("deny") {
        return;
    }
    if grant.capabilities.iter().any(|c| c == "deny") {
        *has = BTreeSet::from(["deny".to_string()]);
    } else {
        has.extend(grant.capabilities.iter().cloned());
    }
}

/// Those of the name itself, else of the closest pattern that matches it.
fn capabilities<'a>(all: &'a Capabilities, name: &str) -> Option<&'a BTreeSet<String>> {
    if let Some(exact) = all.get(name).filter(|_| !name.contains('*')) {
        return Some(exact);
    }
    let stars = |p: &str| p.matches('*').count();
    all.iter()
        .filter(|(pattern, _)| pattern.contains('*') && matches(pattern, name))
        .min_by_key(|(pattern, _)| (name.len() + stars(pattern)).saturating_sub(pattern.len()))
        .map(|(_, has)| has)
}

/// Whether a name is what a pattern with `*` stands for.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(name) = name.strip_prefix(head) else {
        return false;
    };
    (0..=name.len())
        .filter(|i| name.is_char_boundary(*i))
        .any(|i| matches(rest, &name[i..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(rules: &[&str]) -> Rights {
        let rules: Vec<Rules> = rules
            .iter()
            .map(|r| Rules::parse(r).expect("rules"))
            .collect();
        Rights::of(rules.iter())
    }

    #[test]
    fn the_closest_pattern_counts_and_an_exact_name_most() {
        let rights = rights(&[
            "namespace \"*\" { policy = \"read\" }",
            "namespace \"prod-*\" { policy = \"deny\" }",
            "namespace \"prod-a\" { policy = \"write\" }",
        ]);
        let cases = [
            ("dev", "read-job", true),
            ("dev", "submit-job", false),
            ("prod-b", "read-job", false),
            ("prod-a", "submit-job", true),
        ];
        for (namespace, capability, allowed) in cases {
            let got = rights.allow(Need::Any(namespace, &[capability]));
            assert_eq!(got, allowed, "{capability} in {namespace}");
        }
        assert!(!rights.allow(Need::Something("prod-b")));
    }

    #[test]
    fn deny_in_one_policy_beats_write_in_another() {
        let rights = rights(&[
            "node { policy = \"write\" }",
            "node { policy = \"deny\" }\nagent { policy = \"read\" }",
        ]);
        assert!(!rights.allow(Need::NodeRead));
        assert!(rights.allow(Need::AgentRead));
        assert!(!rights.allow(Need::OperatorRead));
    }

    #[test]
    fn a_volume_to_be_written_needs_more_than_one_to_be_read() {
        let rights = rights(&["host_volume \"data\" { policy = \"read\" }"]);
        assert!(rights.may_mount("data", true));
        assert!(!rights.may_mount("data", false));
        assert!(!rights.may_mount("other", true));
    }
}
