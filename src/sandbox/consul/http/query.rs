//! Reading queries: consistency, `?index=` and `?wait=`, and the wait itself.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::super::filter::{Field, Filter};
use super::super::go;
use super::super::state::Store;
use super::super::world::{AgentRef, RpcError};
use super::call::{Call, refuse};
use super::reply::{self, QueryMeta};

const DEFAULT_WAIT: Duration = Duration::from_secs(300);
const MAX_WAIT: Duration = Duration::from_secs(600);
/// The wait gets up to this part of itself on top.
const JITTER_FRACTION: u32 = 16;

/// How a query is to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub min_index: u64,
    wait: Duration,
    pub consistency: &'static str,
}

/// Reads the options that all queries share; a refusal is a 400.
pub(super) fn options(call: &Call) -> Result<Options, Box<Response>> {
    let bad = |text: String| Err(refuse(StatusCode::BAD_REQUEST, text));
    let mut stale = call.has("stale");
    let consistent = call.has("consistent");
    let max_stale = call.get("max_stale");
    if !max_stale.is_empty() {
        match go::parse_duration(max_stale) {
            Ok(age) => stale |= age > 0,
            Err(_) => return bad(format!("Invalid max_stale value {max_stale:?}")),
        }
    }
    if stale && consistent {
        return bad("Cannot specify ?stale with ?consistent, conflicting semantics.".into());
    }
    if call.has("cached") && consistent {
        return bad("Cannot specify ?cached with ?consistent, conflicting semantics.".into());
    }
    let wait = match call.get("wait") {
        "" => Duration::ZERO,
        text => match go::parse_duration(text) {
            Ok(nanos) => go::duration(nanos),
            Err(_) => return bad("Invalid wait time".into()),
        },
    };
    let min_index = match call.get("index") {
        "" => 0,
        text => match text.parse() {
            Ok(index) => index,
            Err(_) => return bad("Invalid index".into()),
        },
    };
    let wait = if wait.is_zero() {
        DEFAULT_WAIT
    } else {
        wait.min(MAX_WAIT)
    };
    let consistency = match (stale, consistent) {
        (true, _) => "stale",
        (_, true) => "consistent",
        _ => "leader",
    };
    Ok(Options {
        min_index,
        wait,
        consistency,
    })
}

/// The request's `?filter=` over these fields; the error is Consul's sentence.
pub(super) fn filter(call: &Call, fields: &[Field]) -> Result<Option<Filter>, String> {
    Filter::read(call.get("filter"), fields)
        .map_err(|why| format!("Failed to create boolean expression evaluator: {why}"))
}

/// Leaves the records that the request's filter keeps.
pub(super) fn kept<T: Serialize>(
    filter: &Result<Option<Filter>, String>,
    mut records: Vec<T>,
) -> Result<Vec<T>, String> {
    if let Some(filter) = filter.as_ref().map_err(Clone::clone)? {
        records.retain(|record| filter.keeps(record));
    }
    Ok(records)
}

/// Asks a datacenter's store, again and again until its answer's index is beyond `?index=` or the wait is over.
pub(super) async fn ask<T>(
    call: &Call,
    options: Options,
    look: impl Fn(&Store) -> Result<(u64, T), String>,
) -> Result<(u64, T), RpcError> {
    let route = call.agent.route(call.datacenter()).await?;
    let mut changes = route.datacenter.changes();
    let deadline = deadline(&call.agent, options.wait);
    let mut over = false;
    loop {
        // While a cut is not yet noticed, nothing comes back.
        call.agent.settled(&route).await?;
        changes.borrow_and_update();
        let look_once = route.datacenter.read(&look);
        let (index, found) = look_once.map_err(|text| route.error(text))?;
        let index = index.max(1);
        if options.min_index == 0 || index > options.min_index || over {
            return Ok((index, found));
        }
        tokio::select! {
            changed = changes.changed() => over = changed.is_err(),
            () = sleep_until(deadline) => over = true,
            () = call.agent.world.stop.cancelled() => over = true,
            () = call.agent.lost(&route) => return Err(RpcError::no_servers()),
        }
    }
}

fn deadline(agent: &AgentRef, wait: Duration) -> Instant {
    let jitter = agent
        .datacenter
        .dice((wait / JITTER_FRACTION).as_nanos() as u64);
    Instant::now() + wait + Duration::from_nanos(jitter)
}

/// A catalog or health query: JSON with all headers, which errors carry too.
pub(super) async fn discovery<T: Serialize>(
    call: &Call,
    look: impl Fn(&Store) -> Result<(u64, T), String>,
) -> Result<Response, Box<Response>> {
    let options = options(call)?;
    Ok(match ask(call, options, look).await {
        Err(error) => reply::with_meta(reply::failed(&error), QueryMeta::default()),
        Ok((index, found)) => {
            let meta = QueryMeta {
                index,
                known_leader: true,
                consistency: Some(options.consistency),
            };
            reply::with_meta(reply::json(&found), meta)
        }
    })
}
