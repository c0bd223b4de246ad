//! Policies.

use axum::http::Method;
use serde_json::{Value, json};

use super::super::super::acl::{Access, GLOBAL_MANAGEMENT, Policy, Rules};
use super::super::super::datacenter::Datacenter;
use super::super::super::go::Shape;
use super::super::call::{Answer, Call};
use super::super::reply;
use super::{as_read, bad, decode, failed, looked_up, not_there, primary, shown};

static POLICY: Shape = Shape::Fields(&[
    ("ID", "ID", Shape::Text),
    ("Name", "Name", Shape::Text),
    ("Description", "Description", Shape::Text),
    ("Rules", "Rules", Shape::Text),
    ("Syntax", "Syntax", Shape::Any),
    ("Datacenters", "Datacenters", Shape::Texts),
    ("Hash", "Hash", Shape::Any),
    ("CreateIndex", "CreateIndex", Shape::Int),
    ("ModifyIndex", "ModifyIndex", Shape::Int),
]);
/// `/v1/acl/policies`
pub(in super::super) fn policies(call: &Call) -> Answer {
    let primary = primary(call, Access::Read).map_err(as_read)?;
    let (index, list) = primary.read(|store| {
        let stub = |policy: &Policy| {
            let rules = None;
            let mut stub = json!(Policy {
                rules,
                ..policy.clone()
            });
            stub["Datacenters"] = json!(policy.datacenters);
            stub
        };
        let list: Vec<Value> = store.acl.policies.values().map(stub).collect();
        (store.acl.policies_index, list)
    });
    shown(index, &json!(list))
}

/// `/v1/acl/policy`, `/v1/acl/policy/:id` and `/v1/acl/policy/name/:name`
pub(in super::super) fn policy(call: &Call) -> Answer {
    if call.method == Method::PUT {
        return write_policy(call);
    }
    let wanted = if call.method == Method::DELETE {
        Access::Write
    } else {
        Access::Read
    };
    let primary = primary(call, wanted)?;
    if call.tail.is_empty() {
        return Err(bad("Missing policy ID"));
    }
    if call.method == Method::DELETE {
        return delete_policy(call, primary);
    }
    let found = match call.tail.strip_prefix("name/") {
        Some("") => return Err(bad("Missing policy Name")),
        Some(name) => primary.read(|store| {
            (
                store.acl.policies_index,
                store.acl.policy_named(name).cloned(),
            )
        }),
        None => {
            looked_up(&call.tail, "policy").map_err(as_read)?;
            primary.read(|store| {
                (
                    store.acl.policies_index,
                    store.acl.policies.get(&call.tail).cloned(),
                )
            })
        }
    };
    match found {
        (index, Some(policy)) => shown(index, &json!(policy)),
        (index, None) => Err(not_there(index)),
    }
}

fn delete_policy(call: &Call, primary: &Datacenter) -> Answer {
    looked_up(&call.tail, "policy")?;
    if call.tail == GLOBAL_MANAGEMENT {
        return Err(failed(
            "Delete operation not permitted on the builtin global-management policy",
        ));
    }
    primary.write(|store, _| {
        let index = store.next_index();
        store.acl.policies.remove(&call.tail);
        store.acl.policies_index = index;
        for token in store.acl.tokens.values_mut() {
            token.policies.retain(|link| link.id != call.tail);
        }
    });
    Ok(reply::json(&true))
}

fn write_policy(call: &Call) -> Answer {
    let primary = primary(call, Access::Write)?;
    let mut policy: Policy = decode(call, &POLICY, "Policy")?;
    if call.tail.is_empty() {
        if !policy.id.is_empty() {
            return Err(bad("Cannot specify the ID when creating a new policy"));
        }
        policy.id = primary.new_uuid();
    } else {
        if !policy.id.is_empty() && policy.id != call.tail {
            return Err(bad("Policy ID in URL and payload do not match"));
        }
        policy.id.clone_from(&call.tail);
        let known = primary.read(|store| store.acl.policies.contains_key(&call.tail));
        if !known {
            return Err(failed(format!("cannot find policy {}", call.tail)));
        }
    }
    policy.rules.get_or_insert_default();
    if let Some(why) = primary.read(|store| refusal(&policy, store.acl.policy_named(&policy.name)))
    {
        return Err(failed(why));
    }
    let stored = primary.write(|store, _| {
        let index = store.next_index();
        let known = store.acl.policies.get(&policy.id);
        policy.create_index = known.map_or(index, |known| known.create_index);
        policy.modify_index = index;
        policy.seal();
        store.acl.policies.insert(policy.id.clone(), policy.clone());
        store.acl.policies_index = index;
        for token in store.acl.tokens.values_mut() {
            let links = token
                .policies
                .iter_mut()
                .filter(|link| link.id == policy.id);
            links.for_each(|link| link.name.clone_from(&policy.name));
        }
        policy
    });
    Ok(reply::json(&stored))
}

fn refusal(policy: &Policy, namesake: Option<&Policy>) -> Option<String> {
    let rules = policy.rules.as_deref().unwrap_or_default();
    if policy.name.is_empty() {
        return Some("Invalid Policy: no Name is set".into());
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if policy.name.len() > 128 || !policy.name.chars().all(plain) {
        return Some(
            "Invalid Policy: invalid Name. Only alphanumeric characters, '-' and '_' are allowed"
                .into(),
        );
    }
    if policy.id == GLOBAL_MANAGEMENT
        && namesake.is_some_and(|own| own.rules.as_deref() != Some(rules))
    {
        return Some(
            "Changing the Rules for the builtin global-management policy is not permitted".into(),
        );
    }
    if namesake.is_some_and(|other| other.id != policy.id) {
        return Some(format!(
            "Invalid Policy: A Policy with Name {:?} already exists",
            policy.name
        ));
    }
    Rules::read(rules).err()
}
