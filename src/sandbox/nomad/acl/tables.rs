//! The tables of policies and tokens.

use super::super::jobs::Refusal;
use super::super::json::*;
use super::super::state::node::fnv;
use super::super::validate::listed;
use super::rules::Rules;
use super::{Rights, denied};
use base64::Engine;
use regex::Regex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

static POLICY_NAME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("^[a-zA-Z0-9-]{1,128}$").ok());

#[derive(Clone, Debug)]
pub struct Policy {
    pub name: String,
    pub description: String,
    pub rules: Rules,
    pub create_index: u64,
    pub modify_index: u64,
}

impl Policy {
    /// A row of the list.
    pub fn stub(&self) -> Value {
        json!({"CreateIndex": self.create_index, "Description": self.description,
            "Hash": hash(&[&self.name, &self.description, &self.rules.raw]), "ModifyIndex": self.modify_index, "Name": self.name})
    }

    pub fn json(&self) -> Value {
        let mut all = self.stub();
        all["Rules"] = self.rules.raw.clone().into();
        all["RulesJSON"] = self.rules.json();
        all
    }
}

#[derive(Clone)]
pub struct Token {
    pub accessor: String,
    pub secret: String,
    pub name: String,
    pub management: bool,
    pub policies: Vec<String>,
    pub global: bool,
    pub create_time: i64,
    pub create_index: u64,
    pub modify_index: u64,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("accessor", &self.accessor)
            .field("secret", &"redacted")
            .field("policies", &self.policies)
            .finish_non_exhaustive()
    }
}

impl Token {
    /// A row of the list.
    pub fn stub(&self) -> Value {
        let policies = if self.policies.is_empty() {
            Value::Null
        } else {
            json!(self.policies)
        };
        let kind = if self.management {
            "management"
        } else {
            "client"
        };
        json!({"AccessorID": self.accessor, "CreateIndex": self.create_index, "CreateTime": time(self.create_time), "Global": self.global,
            "Hash": hash(&[&self.name, kind, &self.policies.join(",")]), "ModifyIndex": self.modify_index, "Name": self.name,
            "Policies": policies, "Type": kind})
    }

    pub fn json(&self) -> Value {
        let mut all = self.stub();
        all["SecretID"] = self.secret.clone().into();
        all
    }
}

/// Everything about access, if the estate has ACLs on.
#[derive(Clone, Debug, Default)]
pub struct Acl {
    pub policies: BTreeMap<String, Policy>,
    /// By accessor.
    pub tokens: BTreeMap<String, Token>,
    pub policies_index: u64,
    pub tokens_index: u64,
    pub bootstrapped: Option<u64>,
}

impl Acl {
    pub fn by_secret(&self, secret: &str) -> Option<&Token> {
        self.tokens.values().find(|t| t.secret == secret)
    }

    /// What the bearer of a secret may do; without one what the policy `anonymous` grants.
    pub fn rights(&self, secret: &str) -> Result<Rights, Refusal> {
        let anonymous = ["anonymous".to_string()];
        let names = match secret {
            "" => &anonymous[..],
            _ => {
                check_secret(secret)?;
                let token = self.by_secret(secret);
                let token = token.ok_or_else(|| Refusal::new(403, "ACL token not found"))?;
                if token.management {
                    return Ok(Rights::all());
                }
                &token.policies
            }
        };
        let policies = names.iter().filter_map(|n| self.policies.get(n));
        Ok(Rights::of(policies.map(|p| &p.rules)))
    }

    /// Who bears a secret.
    pub fn accessor(&self, secret: &str) -> &str {
        match self.by_secret(secret) {
            Some(token) => &token.accessor,
            None if secret.is_empty() => "anonymous",
            None => "",
        }
    }

    /// The names of the policies a secret's token has.
    pub fn own_policies(&self, secret: &str) -> Vec<String> {
        let token = self.by_secret(secret);
        token.map_or(vec!["anonymous".into()], |t| t.policies.clone())
    }

    /// What has changed since, at an index: topic, type, key and payload of each event.
    pub fn changes(
        &self,
        before: &Acl,
        index: u64,
    ) -> Vec<(&'static str, &'static str, String, Value)> {
        let policy = |kind, p: &Policy| {
            let mut told = p.json();
            told["RulesJSON"] = Value::Null;
            ("ACLPolicy", kind, p.name.clone(), told)
        };
        let token = |kind, t: &Token| {
            let mut told = t.json();
            told["SecretID"] = "".into();
            ("ACLToken", kind, t.accessor.clone(), told)
        };
        let put = self.policies.values().filter(|p| p.modify_index == index);
        let gone = before.policies.values();
        let gone = gone.filter(|p| !self.policies.contains_key(&p.name));
        let made = self.tokens.values().filter(|t| t.modify_index == index);
        let lost = before.tokens.values();
        let lost = lost.filter(|t| !self.tokens.contains_key(&t.accessor));
        put.map(|p| policy("ACLPolicyUpserted", p))
            .chain(gone.map(|p| policy("ACLPolicyDeleted", p)))
            .chain(made.map(|t| token("ACLTokenUpserted", t)))
            .chain(lost.map(|t| token("ACLTokenDeleted", t)))
            .collect()
    }

    pub fn put_policy(&mut self, body: &Value, index: u64) -> Result<(), Refusal> {
        let (name, description) = (text(body, "Name"), text(body, "Description"));
        let mut faults = Vec::new();
        if !POLICY_NAME.as_ref().is_some_and(|r| r.is_match(name)) {
            faults.push(format!("invalid name '{name}'"));
        }
        let rules = Rules::parse(text(body, "Rules"));
        if let Err(why) = &rules {
            faults.push(format!("failed to parse rules: {why}"));
        }
        if description.len() > 256 {
            faults.push("description longer than 256".into());
        }
        let (Ok(rules), true) = (rules, faults.is_empty()) else {
            let why = format!("policy 0 invalid: {}", listed(&faults));
            return Err(Refusal::new(404, why));
        };
        let policy = Policy {
            name: name.into(),
            description: description.into(),
            rules,
            create_index: self.policies.get(name).map_or(index, |p| p.create_index),
            modify_index: index,
        };
        self.policies.insert(name.into(), policy);
        self.policies_index = index;
        Ok(())
    }

    /// Make a token (with the given accessor and secret), or change the one that the body's accessor names.
    pub fn put_token(
        &mut self,
        body: &Value,
        index: u64,
        fresh: (String, String, i64),
    ) -> Result<Value, Refusal> {
        let kind = text(body, "Type");
        let policies: Vec<String> = list(body, "Policies")
            .iter()
            .filter_map(|p| p.as_str().map(ToString::to_string))
            .collect();
        let fault = match (kind, policies.is_empty()) {
            _ if text(body, "Name").len() > 256 => Some("token name too long"),
            ("client", true) => Some("client token missing policies"),
            ("management", false) => Some("management token cannot be associated with policies"),
            ("client" | "management", _) => None,
            _ => Some("token type must be client or management"),
        };
        if let Some(fault) = fault {
            let why = format!("token 0 invalid: {}", listed(&[fault.into()]));
            return Err(Refusal::new(400, why));
        }
        let named = text(body, "AccessorID");
        let old = self.tokens.get(named);
        if !named.is_empty() && old.is_none() {
            return Err(Refusal::new(404, format!("cannot find token {named}")));
        }
        if old.is_some_and(|t| t.global != flag(body, "Global")) {
            let why = format!("cannot toggle global mode of {named}");
            return Err(Refusal::new(400, why));
        }
        let (accessor, secret, at) = fresh;
        let token = Token {
            accessor: old.map_or(accessor, |t| t.accessor.clone()),
            secret: old.map_or(secret, |t| t.secret.clone()),
            name: text(body, "Name").into(),
            management: kind == "management",
            policies,
            global: flag(body, "Global"),
            create_time: old.map_or(at, |t| t.create_time),
            create_index: old.map_or(index, |t| t.create_index),
            modify_index: index,
        };
        let json = token.json();
        self.tokens.insert(token.accessor.clone(), token);
        self.tokens_index = index;
        Ok(json)
    }

    pub fn delete_token(&mut self, accessor: &str, index: u64) -> Result<(), Refusal> {
        if self.tokens.remove(accessor).is_none() {
            let why = format!("Cannot delete nonexistent tokens: {accessor}");
            return Err(Refusal::new(400, why));
        }
        self.tokens_index = index;
        Ok(())
    }

    /// A token by its accessor, for its own bearer or a management token.
    pub fn token_for(&self, accessor: &str, secret: &str) -> Result<Option<&Token>, Refusal> {
        let rights = self.rights(secret)?;
        let token = self.tokens.get(accessor);
        if rights.is_management() || token.is_some_and(|t| t.secret == secret) {
            Ok(token)
        } else {
            Err(denied())
        }
    }
}

pub fn check_secret(secret: &str) -> Result<(), Refusal> {
    if secret.len() == 36 {
        return Ok(());
    }
    Err(Refusal::new(
        500,
        "acl token lookup failed: index error: UUID must be 36 characters",
    ))
}

/// 32 bytes that change with what is hashed; what made them is the server's own affair.
pub fn hash(parts: &[&str]) -> String {
    let all = parts.join("\n");
    let bytes: Vec<u8> = (0..4u8)
        .flat_map(|i| fnv(format!("{i}{all}").as_bytes()).to_be_bytes())
        .collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
