//! Tokens.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::super::super::acl::{ANONYMOUS, Access, NOT_FOUND, Policy, PolicyLink, Token};
use super::super::super::datacenter::{Datacenter, rfc3339};
use super::super::super::go::{self, Shape};
use super::super::super::state::check_uuid;
use super::super::call::{Answer, Call, refuse};
use super::super::reply;
use super::{as_read, bad, decode, failed, looked_up, not_there, primary, shown};

static LINK: Shape = Shape::Fields(&[("ID", "ID", Shape::Text), ("Name", "Name", Shape::Text)]);
static IDENTITY: Shape = Shape::Fields(&[
    ("ServiceName", "ServiceName", Shape::Text),
    ("Datacenters", "Datacenters", Shape::Texts),
]);
static TOKEN: Shape = Shape::Fields(&[
    ("AccessorID", "AccessorID", Shape::Text),
    ("SecretID", "SecretID", Shape::Text),
    ("Description", "Description", Shape::Text),
    ("Policies", "Policies", Shape::ListOf(&LINK)),
    ("Roles", "Roles", Shape::Any),
    (
        "ServiceIdentities",
        "ServiceIdentities",
        Shape::ListOf(&IDENTITY),
    ),
    ("Local", "Local", Shape::Bool),
    ("ExpirationTTL", "ExpirationTTL", Shape::Span),
    ("ExpirationTime", "ExpirationTime", Shape::Any),
    ("CreateTime", "CreateTime", Shape::Any),
    ("Hash", "Hash", Shape::Any),
    ("Rules", "Rules", Shape::Any),
    ("Type", "Type", Shape::Any),
    ("CreateIndex", "CreateIndex", Shape::Int),
    ("ModifyIndex", "ModifyIndex", Shape::Int),
]);
/// Nanoseconds.
const SHORTEST_LIFE: i64 = 60_000_000_000;
const LONGEST_LIFE: i64 = 86_400_000_000_000;

/// `/v1/acl/tokens`
pub(in super::super) fn tokens(call: &Call) -> Answer {
    let primary = primary(call, Access::Read).map_err(as_read)?;
    let policy = call.get("policy");
    let fits =
        |token: &&Token| policy.is_empty() || token.policies.iter().any(|link| link.id == policy);
    let (index, list) = primary.read(|store| {
        let plain = store.acl.tokens.values().filter(fits).map(|token| Token {
            secret: String::new(),
            ..token.clone()
        });
        (store.acl.tokens_index, plain.collect::<Vec<_>>())
    });
    shown(index, &json!(list))
}

/// `/v1/acl/token/self`
pub(in super::super) fn own_token(call: &Call) -> Answer {
    let world = &call.agent.world;
    let (Some(_), Some(primary)) = (&world.acl, world.primary()) else {
        return Err(refuse(StatusCode::UNAUTHORIZED, "ACL support disabled"));
    };
    let found = primary.read(|store| store.acl.by_secret(&call.token).cloned());
    match found.filter(|_| !call.token.is_empty()) {
        Some(token) => shown(token.modify_index, &json!(token)),
        None => Err(not_there(primary.read(|store| store.acl.tokens_index))),
    }
}

/// `/v1/acl/token`, `/v1/acl/token/:accessor` and `/v1/acl/token/:accessor/clone`
pub(in super::super) fn token(call: &Call) -> Answer {
    if call.method == Method::PUT {
        return match call.tail.strip_suffix("/clone") {
            Some(of) => clone_token(call, of),
            None => write_token(call),
        };
    }
    let wanted = if call.method == Method::DELETE {
        Access::Write
    } else {
        Access::Read
    };
    let primary = primary(call, wanted)?;
    if call.tail.is_empty() {
        return Err(bad("Missing token ID"));
    }
    if call.method == Method::DELETE {
        return delete_token(call, primary);
    }
    looked_up(&call.tail, "token").map_err(as_read)?;
    let found = primary.read(|store| {
        (
            store.acl.tokens_index,
            store.acl.tokens.get(&call.tail).cloned(),
        )
    });
    match found {
        (index, Some(token)) => shown(index, &json!(token)),
        (index, None) => Err(not_there(index)),
    }
}

fn delete_token(call: &Call, primary: &Datacenter) -> Answer {
    if check_uuid(&call.tail).is_err() {
        return Err(failed("Accessor ID is missing or an invalid UUID"));
    }
    if call.tail == ANONYMOUS {
        return Err(failed(
            "Delete operation not permitted on the anonymous token",
        ));
    }
    primary.write(|store, _| {
        let index = store.next_index();
        store.acl.tokens.remove(&call.tail);
        store.acl.tokens_index = index;
    });
    Ok(reply::json(&true))
}

fn clone_token(call: &Call, of: &str) -> Answer {
    let primary = primary(call, Access::Write)?;
    let wanted: Token = decode(call, &TOKEN, "Token")?;
    let Some(known) = primary.read(|store| store.acl.tokens.get(of).cloned()) else {
        return Err(refuse(StatusCode::FORBIDDEN, NOT_FOUND));
    };
    let copy = Token {
        accessor: primary.new_uuid(),
        secret: primary.new_uuid(),
        description: if wanted.description.is_empty() {
            known.description
        } else {
            wanted.description
        },
        create_time: rfc3339(Duration::ZERO).0,
        ..known
    };
    Ok(reply::json(&store_token(primary, copy, true)))
}

fn store_token(primary: &Datacenter, mut token: Token, is_new: bool) -> Token {
    primary.write(|store, _| {
        let index = store.next_index();
        if is_new {
            token.create_index = index;
        }
        token.modify_index = index;
        token.seal();
        store
            .acl
            .tokens
            .insert(token.accessor.clone(), token.clone());
        store.acl.tokens_index = index;
    });
    token
}

fn write_token(call: &Call) -> Answer {
    let primary = primary(call, Access::Write)?;
    let mut token: Token = decode(call, &TOKEN, "Token")?;
    let known = if call.tail.is_empty() {
        new_token(primary, &mut token)?;
        None
    } else {
        Some(changed_token(call, primary, &mut token)?)
    };
    for link in &mut token.policies {
        *link = primary.read(|store| {
            resolve(
                &store.acl.policies,
                store.acl.policy_named(&link.name),
                link,
            )
        })?;
    }
    if let Some(known) = &known {
        token = Token {
            secret: known.secret.clone(),
            create_time: known.create_time.clone(),
            create_index: known.create_index,
            expiration_time: known.expiration_time.clone(),
            expires: known.expires,
            ..token
        };
    }
    Ok(reply::json(&store_token(primary, token, known.is_none())))
}

fn new_token(primary: &Datacenter, token: &mut Token) -> Result<(), Box<Response>> {
    for (id, is_accessor) in [
        (token.accessor.clone(), true),
        (token.secret.clone(), false),
    ] {
        let (by, field) = if is_accessor {
            ("accessor", "AccessorID")
        } else {
            ("secret", "SecretID")
        };
        if id.is_empty() {
            continue;
        }
        check_uuid(&id).map_err(|why| {
            failed(format!(
                "Failed acl token lookup by {by}: failed acl token lookup: {why}"
            ))
        })?;
        let taken = primary.read(|store| match is_accessor {
            true => store.acl.tokens.contains_key(&id),
            false => store.acl.by_secret(&id).is_some(),
        });
        if taken {
            return Err(failed(format!("Invalid Token: {field} is already in use")));
        }
    }
    for id in [&mut token.accessor, &mut token.secret] {
        if id.is_empty() {
            *id = primary.new_uuid();
        }
    }
    token.create_time = rfc3339(Duration::ZERO).0;
    if token.expiration_ttl != 0 {
        let written = go::format_duration(token.expiration_ttl);
        if token.expiration_ttl < SHORTEST_LIFE {
            return Err(failed(format!(
                "ExpirationTime cannot be less than 1m0s in the future (was {written})"
            )));
        }
        if token.expiration_ttl > LONGEST_LIFE {
            return Err(failed(format!(
                "ExpirationTime cannot be more than 24h0m0s in the future (was {written})"
            )));
        }
        let (text, seconds) = rfc3339(go::duration(token.expiration_ttl));
        (token.expiration_time, token.expires) = (Some(text), Some(seconds));
    }
    Ok(())
}

fn changed_token(
    call: &Call,
    primary: &Datacenter,
    token: &mut Token,
) -> Result<Token, Box<Response>> {
    if !token.accessor.is_empty() && token.accessor != call.tail {
        return Err(bad("Token Accessor ID in URL and payload do not match"));
    }
    let by = "Failed acl token lookup by accessor: failed acl token lookup";
    check_uuid(&call.tail).map_err(|why| failed(format!("{by}: {why}")))?;
    token.accessor.clone_from(&call.tail);
    let known = primary.read(|store| store.acl.tokens.get(&call.tail).cloned());
    let known = known.ok_or_else(|| failed(format!("Cannot find token {:?}", call.tail)))?;
    if known.local != token.local {
        return Err(failed(format!("cannot toggle local mode of {}", call.tail)));
    }
    Ok(known)
}

fn resolve(
    policies: &BTreeMap<String, Policy>,
    named: Option<&Policy>,
    link: &PolicyLink,
) -> Result<PolicyLink, Box<Response>> {
    let (found, by, what) = match link.id.as_str() {
        "" => (named, "name", &link.name),
        id => (policies.get(id), "ID", &link.id),
    };
    let found = found.ok_or_else(|| failed(format!("No such ACL policy with {by} {what:?}")))?;
    Ok(PolicyLink {
        id: found.id.clone(),
        name: found.name.clone(),
    })
}
