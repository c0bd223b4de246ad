//! A policy's rules: HCL (or JSON) to what they grant.

use hcl::Value as Hcl;
use regex::Regex;
use serde_json::{Value, json};
use std::sync::LazyLock;

const READ: [&str; 8] = [
    "list-jobs",
    "parse-job",
    "read-job",
    "csi-list-volume",
    "csi-read-volume",
    "read-job-scaling",
    "list-scaling-policies",
    "read-scaling-policy",
];
const WRITE: [&str; 10] = [
    "scale-job",
    "submit-job",
    "dispatch-job",
    "read-logs",
    "read-fs",
    "alloc-exec",
    "alloc-lifecycle",
    "csi-mount-volume",
    "csi-write-volume",
    "submit-recommendation",
];
const SCALE: [&str; 4] = [
    "list-scaling-policies",
    "read-scaling-policy",
    "read-job-scaling",
    "scale-job",
];
/// Granted by no shorthand.
const ALONE: [&str; 4] = [
    "deny",
    "alloc-node-exec",
    "csi-register-plugin",
    "sentinel-override",
];
const MOUNTS: [&str; 2] = ["mount-readonly", "mount-readwrite"];

static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("^[a-zA-Z0-9-*]{1,128}$").ok());

/// A `namespace` or `host_volume` block.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// `*` in it stands for anything.
    pub name: String,
    pub policy: String,
    pub capabilities: Vec<String>,
}

impl Grant {
    fn json(&self) -> Value {
        json!({"Capabilities": self.capabilities, "Name": self.name, "Policy": self.policy})
    }

    /// As Go's `%#v` prints it, which Nomad's errors quote.
    fn go(&self, kind: &str) -> String {
        let list = if self.capabilities.is_empty() {
            "[]string(nil)".to_string()
        } else {
            let quoted: Vec<String> = self.capabilities.iter().map(|c| format!("{c:?}")).collect();
            format!("[]string{{{}}}", quoted.join(", "))
        };
        format!(
            "&acl.{kind}{{Name:{:?}, Policy:{:?}, Capabilities:{list}}}",
            self.name, self.policy
        )
    }
}

/// What the rules of one policy say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    pub namespaces: Vec<Grant>,
    pub host_volumes: Vec<Grant>,
    pub agent: Option<String>,
    pub node: Option<String>,
    pub operator: Option<String>,
    pub quota: Option<String>,
    pub plugin: Option<String>,
    pub raw: String,
}

impl Rules {
    /// Errors in Nomad's words; those of the HCL parser itself in the words of ours.
    pub fn parse(raw: &str) -> Result<Rules, String> {
        let mut rules = Rules {
            raw: raw.into(),
            ..Rules::default()
        };
        if raw.is_empty() {
            return Ok(rules);
        }
        let body: Hcl = if raw.trim_start().starts_with('{') {
            serde_json::from_str(raw).map_err(|e| format!("Failed to parse ACL Policy: {e}"))?
        } else {
            hcl::from_str(raw).map_err(|e| format!("Failed to parse ACL Policy: {e}"))?
        };
        rules.namespaces = grants(&body, "namespace");
        rules.host_volumes = grants(&body, "host_volume");
        let level = |key: &str| {
            let block = body.as_object()?.get(key)?;
            let block = block.as_array().and_then(|a| a.last()).unwrap_or(block);
            Some(text(block, "policy"))
        };
        rules.agent = level("agent");
        rules.node = level("node");
        rules.operator = level("operator");
        rules.quota = level("quota");
        rules.plugin = level("plugin");
        rules.check()?;
        Ok(rules)
    }

    fn levels(&self) -> [(&'static str, &Option<String>); 5] {
        [
            ("Agent", &self.agent),
            ("Node", &self.node),
            ("Operator", &self.operator),
            ("Quota", &self.quota),
            ("Plugin", &self.plugin),
        ]
    }

    /// Refuse what Nomad refuses, and put in what the shorthands stand for.
    fn check(&mut self) -> Result<(), String> {
        let none = self.levels().iter().all(|(_, level)| level.is_none());
        if none && self.namespaces.is_empty() && self.host_volumes.is_empty() {
            return Err(format!("Invalid policy: {}", self.raw));
        }
        for grant in &mut self.namespaces {
            let known = |c: &str| READ.contains(&c) || WRITE.contains(&c) || ALONE.contains(&c);
            check_grant(grant, "namespace", "NamespacePolicy", known)?;
            let more: Vec<&str> = match grant.policy.as_str() {
                "deny" => vec!["deny"],
                "read" => READ.to_vec(),
                "write" => [&READ[..], &WRITE].concat(),
                "scale" => SCALE.to_vec(),
                _ => Vec::new(),
            };
            grant.capabilities.extend(more.iter().map(|c| (*c).into()));
        }
        for grant in &mut self.host_volumes {
            let known = |c: &str| c == "deny" || MOUNTS.contains(&c);
            check_grant(grant, "host volume", "HostVolumePolicy", known)?;
            let more: &[&str] = match grant.policy.as_str() {
                "deny" => &["deny"],
                "read" => &MOUNTS[..1],
                "write" => &MOUNTS,
                _ => &[],
            };
            grant.capabilities.extend(more.iter().map(|c| (*c).into()));
        }
        for (kind, level) in self.levels() {
            let Some(level) = level else { continue };
            let valid: &[&str] = if kind == "Plugin" {
                &["deny", "read", "list"]
            } else {
                &["deny", "read", "write", "scale"]
            };
            if !valid.contains(&level.as_str()) {
                let name = kind.to_lowercase();
                return Err(format!(
                    "Invalid {name} policy: &acl.{kind}Policy{{Policy:{level:?}}}"
                ));
            }
        }
        Ok(())
    }

    /// `RulesJSON` of a policy.
    pub fn json(&self) -> Value {
        let level = |l: &Option<String>| l.as_ref().map(|p| json!({"Policy": p}));
        let all = |grants: &[Grant]| {
            let all: Vec<Value> = grants.iter().map(Grant::json).collect();
            if all.is_empty() {
                Value::Null
            } else {
                all.into()
            }
        };
        json!({"Agent": level(&self.agent), "HostVolumes": all(&self.host_volumes), "Namespaces": all(&self.namespaces),
            "Node": level(&self.node), "Operator": level(&self.operator), "Plugin": level(&self.plugin), "Quota": level(&self.quota),
            "Raw": self.raw})
    }
}

fn text(block: &Hcl, key: &str) -> String {
    let found = block.as_object().and_then(|b| b.get(key));
    found.and_then(Hcl::as_str).unwrap_or("").to_string()
}

/// The labelled blocks of a kind, in the order of the file.
fn grants(body: &Hcl, key: &str) -> Vec<Grant> {
    let blocks = body.as_object().and_then(|b| b.get(key));
    let blocks = blocks.and_then(Hcl::as_object).into_iter().flatten();
    let each = |(name, block): (&String, &Hcl)| -> Vec<Grant> {
        let list = block
            .as_array()
            .map_or(std::slice::from_ref(block), Vec::as_slice);
        let grant = |block: &Hcl| {
            let listed = block.as_object().and_then(|b| b.get("capabilities"));
            let listed = listed.and_then(Hcl::as_array).into_iter().flatten();
            Grant {
                name: name.clone(),
                policy: text(block, "policy"),
                capabilities: listed
                    .filter_map(|c| c.as_str().map(ToString::to_string))
                    .collect(),
            }
        };
        list.iter().map(grant).collect()
    };
    blocks.flat_map(each).collect()
}

fn check_grant(
    grant: &Grant,
    what: &str,
    kind: &str,
    known: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let go = || grant.go(kind);
    if !NAME.as_ref().is_some_and(|r| r.is_match(&grant.name)) {
        return Err(format!("Invalid {what} name: {}", go()));
    }
    if !["", "deny", "read", "write", "scale"].contains(&grant.policy.as_str()) {
        return Err(format!("Invalid {what} policy: {}", go()));
    }
    match grant.capabilities.iter().find(|c| !known(c)) {
        Some(unknown) => Err(format!("Invalid {what} capability '{unknown}': {}", go())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorthand_is_spelt_out_after_the_capabilities_named() {
        let rules = Rules::parse(
            "namespace \"default\" {\n policy = \"scale\"\n capabilities = [\"read-logs\"]\n}\nnode { policy = \"read\" }",
        )
        .expect("parses");
        let grant = &rules.namespaces[0];
        assert_eq!(grant.capabilities[0], "read-logs");
        assert_eq!(&grant.capabilities[1..], SCALE);
        assert_eq!(rules.node.as_deref(), Some("read"));
        assert_eq!(rules.json()["Agent"], Value::Null);
    }

    #[test]
    fn json_means_the_same_as_hcl() {
        let hcl = Rules::parse("host_volume \"data\" { policy = \"write\" }").expect("HCL");
        let json = Rules::parse(r#"{"host_volume": {"data": {"policy": "write"}}}"#);
        assert_eq!(hcl.host_volumes, json.expect("JSON").host_volumes);
    }

    #[test]
    fn wrong_rules_are_refused_in_nomads_words() {
        let cases = [
            (
                "namespace \"default\" { policy = \"nope\" }",
                "Invalid namespace policy: &acl.NamespacePolicy{Name:\"default\", Policy:\"nope\", Capabilities:[]string(nil)}",
            ),
            (
                "namespace \"default\" { capabilities = [\"nope\"] }",
                "Invalid namespace capability 'nope': &acl.NamespacePolicy{Name:\"default\", Policy:\"\", Capabilities:[]string{\"nope\"}}",
            ),
            ("foo = 1", "Invalid policy: foo = 1"),
            (
                "node { policy = \"list\" }",
                "Invalid node policy: &acl.NodePolicy{Policy:\"list\"}",
            ),
        ];
        for (rules, why) in cases {
            assert_eq!(Rules::parse(rules).expect_err(rules), why);
        }
    }
}
