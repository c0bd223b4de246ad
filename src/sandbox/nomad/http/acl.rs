//! `/v1/acl/…`

use super::Request;
use super::blocking;
use super::reply::Reply;
use crate::sandbox::nomad::acl::{Acl, Need, check_secret, denied};
use crate::sandbox::nomad::jobs::Refusal;
use crate::sandbox::nomad::json::*;
use crate::sandbox::nomad::state::{State, now};
use axum::http::Method;
use serde_json::{Value, json};

pub async fn route(r: &Request<'_>, path: &str) -> Result<Reply, Refusal> {
    let (head, rest) = path.split_once('/').unwrap_or((path, ""));
    match (head, rest) {
        ("bootstrap", "") if r.writes() => bootstrap(r),
        ("policies", "") => policies(r).await,
        ("policy", "") => Err(Refusal::new(400, "Missing Policy Name")),
        ("policy", name) => policy(r, name).await,
        ("tokens", "") => tokens(r).await,
        ("token", "") if path == "token/" => Err(Refusal::new(400, "Missing Token Accessor")),
        ("token", "") if r.writes() => put_token(r, ""),
        ("token", "self") => own(r).await,
        ("token", accessor) if !accessor.is_empty() => token(r, accessor).await,
        ("bootstrap" | "token", _) => Err(Refusal::new(405, "Invalid method")),
        _ => Err(Refusal::new(404, "")),
    }
}

fn disabled() -> Refusal {
    Refusal::new(400, "ACL support disabled")
}

/// Nothing but an index.
fn done(index: u64) -> Reply {
    Reply {
        index: Some(index),
        ..Reply::empty()
    }
}

/// Change the tables at a new index; only a management token may. A refusal leaves everything as it was.
fn manage<T>(
    r: &Request<'_>,
    change: impl FnOnce(&mut Acl, u64, (String, String, i64)) -> Result<T, Refusal>,
) -> Result<(u64, T), Refusal> {
    if !r.core.read(|s| s.acl.is_some()) {
        return Err(disabled());
    }
    r.may(Need::Management)?;
    r.core.write(|s| change_at(s, change))
}

fn change_at<T>(
    s: &mut State,
    change: impl FnOnce(&mut Acl, u64, (String, String, i64)) -> Result<T, Refusal>,
) -> Result<(u64, T), Refusal> {
    let (index, fresh) = (s.index + 1, (s.uuid(), s.uuid(), now()));
    let acl = s.acl.as_mut().ok_or_else(disabled)?;
    let before = acl.clone();
    let made = change(acl, index, fresh)?;
    let changes = acl.changes(&before, index);
    s.index = index;
    for (topic, kind, key, payload) in changes {
        s.tell(topic, kind, &key, Value::Null, payload);
    }
    Ok((index, made))
}

fn bootstrap(r: &Request<'_>) -> Result<Reply, Refusal> {
    let made = r.core.write(|s| {
        change_at(s, |acl, index, fresh| {
            if let Some(before) = acl.bootstrapped {
                let why = format!("ACL bootstrap already done (reset index: {before})");
                return Err(Refusal::new(400, why));
            }
            acl.bootstrapped = Some(index);
            let wish = json!({"Name": "Bootstrap Token", "Type": "management", "Global": true});
            acl.put_token(&wish, index, fresh)
        })
    });
    let (index, token) = made?;
    Ok(Reply {
        index: Some(index),
        ..Reply::json(token)
    })
}

async fn policies(r: &Request<'_>) -> Result<Reply, Refusal> {
    r.only(&[Method::GET])?;
    read(r, |acl| {
        let management = acl.rights(&r.token)?.is_management();
        let own = acl.own_policies(&r.token);
        let rows = acl
            .policies
            .values()
            .filter(|p| r.query.matches_prefix(&p.name) && (management || own.contains(&p.name)));
        let rows: Vec<Value> = rows.map(|p| p.stub()).collect();
        Ok(Reply::read(acl.policies_index.max(1), rows.into()))
    })
    .await
}

async fn policy(r: &Request<'_>, name: &str) -> Result<Reply, Refusal> {
    if r.writes() {
        let body = r.json()?;
        if text(&body, "Name") != name {
            let why = "ACL policy name does not match request path";
            return Err(Refusal::new(400, why));
        }
        let (index, ()) = manage(r, |acl, index, _| acl.put_policy(&body, index))?;
        return Ok(done(index));
    }
    if r.method == Method::DELETE {
        let (index, ()) = manage(r, |acl, index, _| {
            acl.policies.remove(name);
            acl.policies_index = index;
            Ok(())
        })?;
        return Ok(done(index));
    }
    r.only(&[Method::GET])?;
    read(r, |acl| {
        let open = name == "anonymous" || acl.own_policies(&r.token).iter().any(|p| p == name);
        if !acl.rights(&r.token)?.is_management() && !open {
            return Err(denied());
        }
        Ok(match acl.policies.get(name) {
            Some(policy) => Reply::read(policy.modify_index, policy.json()),
            None => Reply::missing(acl.policies_index, "ACL policy not found"),
        })
    })
    .await
}

async fn tokens(r: &Request<'_>) -> Result<Reply, Refusal> {
    r.only(&[Method::GET])?;
    read(r, |acl| {
        if !acl.rights(&r.token)?.is_management() {
            return Err(denied());
        }
        let global = r.query.truth("global");
        let rows = acl.tokens.values();
        let rows: Vec<Value> = rows
            .filter(|t| r.query.matches_prefix(&t.accessor) && (!global || t.global))
            .map(|t| t.stub())
            .collect();
        Ok(Reply::read(acl.tokens_index.max(1), rows.into()))
    })
    .await
}

async fn own(r: &Request<'_>) -> Result<Reply, Refusal> {
    r.only(&[Method::GET])?;
    read(r, |acl| {
        if r.token.is_empty() {
            let why = "acl token lookup failed: missing secret id";
            return Err(Refusal::new(500, why));
        }
        check_secret(&r.token)?;
        Ok(match acl.by_secret(&r.token) {
            Some(token) => Reply::read(token.modify_index, token.json()),
            None => Reply::missing(acl.tokens_index, "ACL token not found"),
        })
    })
    .await
}

fn put_token(r: &Request<'_>, accessor: &str) -> Result<Reply, Refusal> {
    let body = r.json()?;
    if !accessor.is_empty() && text(&body, "AccessorID") != accessor {
        let why = "ACL token accessor does not match request path";
        return Err(Refusal::new(400, why));
    }
    let (index, token) = manage(r, |acl, index, fresh| acl.put_token(&body, index, fresh))?;
    Ok(Reply {
        index: Some(index),
        ..Reply::json(token)
    })
}

async fn token(r: &Request<'_>, accessor: &str) -> Result<Reply, Refusal> {
    if r.writes() {
        return put_token(r, accessor);
    }
    if r.method == Method::DELETE {
        let (index, ()) = manage(r, |acl, index, _| acl.delete_token(accessor, index))?;
        return Ok(done(index));
    }
    r.only(&[Method::GET])?;
    read(r, |acl| {
        Ok(match acl.token_for(accessor, &r.token)? {
            Some(token) => Reply::read(token.modify_index, token.json()),
            None => Reply::missing(acl.tokens_index, "ACL token not found"),
        })
    })
    .await
}

/// A blocking read of the tables.
async fn read(
    r: &Request<'_>,
    look: impl Fn(&Acl) -> Result<Reply, Refusal>,
) -> Result<Reply, Refusal> {
    blocking::read(r, |s| {
        let found = s.acl.as_ref().ok_or_else(disabled).and_then(&look);
        found.unwrap_or_else(Reply::refused)
    })
    .await
}
