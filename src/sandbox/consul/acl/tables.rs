//! Tokens and policies as the servers keep them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::base64;
use super::rules::Rules;
use super::{AclConfig, Rights};

/// Accessor of the token that requests without one have.
pub const ANONYMOUS: &str = "00000000-0000-0000-0000-000000000002";
/// ID of the builtin policy that allows everything.
pub const GLOBAL_MANAGEMENT: &str = "00000000-0000-0000-0000-000000000001";
const ANONYMOUS_SECRET: &str = "anonymous";

/// A policy by ID and name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicyLink {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Name")]
    pub name: String,
}

/// A service whose instances a token may register.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceIdentity {
    pub service_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datacenters: Option<Vec<String>>,
}

/// A policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Policy {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    pub description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datacenters: Option<Vec<String>>,
    #[serde(skip_deserializing)]
    pub hash: String,
    #[serde(skip_deserializing)]
    pub create_index: u64,
    #[serde(skip_deserializing)]
    pub modify_index: u64,
}

/// A token; times are RFC 3339 and, for the end, seconds since 1970 as well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Token {
    #[serde(rename = "AccessorID")]
    pub accessor: String,
    #[serde(rename = "SecretID", skip_serializing_if = "String::is_empty")]
    pub secret: String,
    pub description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyLink>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_identities: Vec<ServiceIdentity>,
    pub local: bool,
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    pub expiration_time: Option<String>,
    #[serde(skip)]
    pub expires: Option<u64>,
    #[serde(rename = "ExpirationTTL", skip_serializing)]
    pub expiration_ttl: i64,
    #[serde(skip_deserializing)]
    pub create_time: String,
    #[serde(skip_deserializing)]
    pub hash: String,
    #[serde(skip_deserializing)]
    pub create_index: u64,
    #[serde(skip_deserializing)]
    pub modify_index: u64,
}

/// The ACL tables of the primary datacenter.
#[derive(Clone, Debug, Default)]
pub struct AclTables {
    /// By ID.
    pub policies: BTreeMap<String, Policy>,
    /// By accessor.
    pub tokens: BTreeMap<String, Token>,
    pub policies_index: u64,
    pub tokens_index: u64,
}

/// The builtin policy's text.
fn everything() -> String {
    let mut text = String::from("\nacl = \"write\"\n");
    for resource in [
        "agent", "event", "key", "keyring", "node", "operator", "query", "service", "session",
    ] {
        text += &match resource {
            "keyring" | "operator" => format!("{resource} = \"write\"\n"),
            "service" => {
                "service_prefix \"\" {\n\tpolicy = \"write\"\n\tintentions = \"write\"\n}\n".into()
            }
            _ => format!("{resource}_prefix \"\" {{\n\tpolicy = \"write\"\n}}\n"),
        };
    }
    text.trim_end().to_owned()
}

fn digest(parts: &[&str]) -> String {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let hash = suite
        .tls13()
        .map(|suite| suite.common.hash_provider.hash(parts.concat().as_bytes()));
    hash.map(|hash| base64::encode(hash.as_ref()))
        .unwrap_or_default()
}

impl Policy {
    /// Names the content; clients see by it whether something has changed.
    pub fn seal(&mut self) {
        let rules = self.rules.as_deref().unwrap_or_default();
        self.hash = digest(&[&self.name, &self.description, rules]);
    }
}

impl Token {
    /// Names the content.
    pub fn seal(&mut self) {
        let mut parts = vec![self.description.as_str()];
        parts.extend(self.policies.iter().map(|link| link.id.as_str()));
        parts.extend(
            self.service_identities
                .iter()
                .map(|own| own.service_name.as_str()),
        );
        self.hash = digest(&parts);
    }
}

impl AclTables {
    /// What servers write when they start: the builtin policy, the master's token and the anonymous one.
    pub fn bootstrap(&mut self, config: &AclConfig, accessor: String, index: u64, now: &str) {
        let mut policy = Policy {
            id: GLOBAL_MANAGEMENT.into(),
            name: "global-management".into(),
            description: "Builtin Policy that grants unlimited access".into(),
            rules: Some(everything()),
            create_index: index,
            modify_index: index,
            ..Policy::default()
        };
        policy.seal();
        let link = PolicyLink {
            id: policy.id.clone(),
            name: policy.name.clone(),
        };
        self.policies.insert(policy.id.clone(), policy);
        let master = (accessor, config.master.as_str(), "Master Token", vec![link]);
        let anonymous = (
            ANONYMOUS.into(),
            ANONYMOUS_SECRET,
            "Anonymous Token",
            Vec::new(),
        );
        for (accessor, secret, description, policies) in [master, anonymous] {
            let mut token = Token {
                accessor,
                secret: secret.into(),
                description: description.into(),
                policies,
                create_time: now.into(),
                create_index: index,
                modify_index: index,
                ..Token::default()
            };
            token.seal();
            self.tokens.insert(token.accessor.clone(), token);
        }
        (self.policies_index, self.tokens_index) = (index, index);
    }

    /// The token with a secret; none is the anonymous one.
    pub fn by_secret(&self, secret: &str) -> Option<&Token> {
        let secret = if secret.is_empty() {
            ANONYMOUS_SECRET
        } else {
            secret
        };
        self.tokens.values().find(|token| token.secret == secret)
    }

    pub fn policy_named(&self, name: &str) -> Option<&Policy> {
        self.policies.values().find(|policy| policy.name == name)
    }

    /// What a secret may do at a time, in seconds since 1970; `None` for an unknown one and one whose time is up.
    pub fn rights(&self, secret: &str, now: u64) -> Option<Rights> {
        let token = self
            .by_secret(secret)
            .filter(|token| token.expires.is_none_or(|end| end > now))?;
        if token
            .policies
            .iter()
            .any(|link| link.id == GLOBAL_MANAGEMENT)
        {
            return Some(Rights::All);
        }
        let mut all = Rules::default();
        for link in &token.policies {
            let text = self
                .policies
                .get(&link.id)
                .and_then(|policy| policy.rules.as_deref());
            if let Ok(rules) = Rules::read(text.unwrap_or_default()) {
                all.merge(rules);
            }
        }
        for own in &token.service_identities {
            all.merge(Rules::of_service(&own.service_name));
        }
        Some(Rights::Ruled(Arc::new(all)))
    }

    /// Removes tokens whose time is up, in seconds since 1970.
    pub fn expire(&mut self, now: u64) {
        self.tokens
            .retain(|_, token| token.expires.is_none_or(|end| end > now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_whose_time_is_up_is_not_known_any_more() {
        let mut tables = AclTables::default();
        let master = "11111111-1111-1111-1111-111111111111".to_owned();
        tables.bootstrap(&AclConfig { master }, "accessor".into(), 3, "now");
        let token = Token {
            accessor: "short".into(),
            secret: "secret".into(),
            expires: Some(100),
            ..Token::default()
        };
        tables.tokens.insert(token.accessor.clone(), token);
        assert!(tables.rights("secret", 99).is_some());
        assert!(tables.rights("secret", 100).is_none());
        tables.expire(100);
        assert!(tables.by_secret("secret").is_none());
        assert!(matches!(
            tables.rights("11111111-1111-1111-1111-111111111111", 100),
            Some(Rights::All)
        ));
        assert!(matches!(tables.rights("", 100), Some(Rights::Ruled(_))));
    }
}
