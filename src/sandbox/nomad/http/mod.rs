//! Nomad's HTTP API over the state.

mod acl;
mod agent;
mod allocs;
mod blocking;
mod client;
mod ids;
mod jobs;
mod metrics;
mod namespaces;
mod nodes;
mod operator;
mod query;
mod reply;
mod scaling;
mod search;
mod stream;

use super::acl::{Need, Rights, denied};
use super::estate::Core;
use super::jobs::Refusal;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use query::Query;
use reply::Reply;
use serde_json::Value;
use std::sync::Arc;

/// Serve until the estate stops.
pub async fn serve(core: Arc<Core>, listener: tokio::net::TcpListener) {
    let stop = core.stop.clone();
    let app = axum::Router::new().fallback(answer).with_state(core);
    // A listener that fails leaves clients with connection errors, which is what they would see of a real server.
    let _ = stop
        .run_until_cancelled_owned(async move { axum::serve(listener, app).await })
        .await;
}

/// One request.
struct Request<'a> {
    core: &'a Arc<Core>,
    method: &'a Method,
    query: Query,
    body: &'a [u8],
    /// `X-Nomad-Token`, or nothing.
    token: String,
}

impl Request<'_> {
    fn writes(&self) -> bool {
        self.method == Method::PUT || self.method == Method::POST
    }

    /// What the bearer of the request's token may do.
    fn rights(&self) -> Result<Rights, Refusal> {
        self.core.read(|s| match &s.acl {
            Some(acl) => acl.rights(&self.token),
            None => Ok(Rights::all()),
        })
    }

    /// Refused if the token does not allow it.
    fn may(&self, need: Need) -> Result<(), Refusal> {
        if self.rights()?.allow(need) {
            Ok(())
        } else {
            Err(denied())
        }
    }

    /// Refused if the token has none of these capabilities in the namespace asked for.
    fn may_here(&self, any: &[&str]) -> Result<(), Refusal> {
        self.may(Need::Any(self.query.namespace(), any))
    }

    /// The body as JSON, or Nomad's refusal.
    fn json(&self) -> Result<Value, Refusal> {
        if self.body.is_empty() {
            return Err(Refusal::new(400, "Request body is empty"));
        }
        serde_json::from_slice(self.body).map_err(|e| {
            let cut = e.is_eof();
            let why = if cut {
                "unexpected EOF".into()
            } else {
                e.to_string()
            };
            Refusal::new(400, why)
        })
    }

    /// Only these methods will do.
    fn only(&self, allowed: &[Method]) -> Result<(), Refusal> {
        if allowed.contains(self.method) {
            Ok(())
        } else {
            Err(Refusal::new(405, "Invalid method"))
        }
    }
}

async fn answer(
    Shared(core): Shared<Arc<Core>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = Request {
        core: &core,
        method: &method,
        query: Query::of(uri.query().unwrap_or("")),
        body: &body,
        token: headers
            .get("X-Nomad-Token")
            .and_then(|t| t.to_str().ok())
            .unwrap_or("")
            .into(),
    };
    let path = uri.path().strip_prefix("/v1/").unwrap_or("").to_string();
    if path == "event/stream" {
        return stream::open(&request).unwrap_or_else(|refused| refused);
    }
    let known = ["", "global"].contains(&request.query.get("region").unwrap_or(""));
    let answered = if known {
        route(&request, &path).await
    } else {
        Err(Refusal::new(500, "No path to region"))
    };
    match answered {
        Ok(reply) => reply.into_response(&request.query),
        Err(refusal) => Reply::refused(refusal).into_response(&request.query),
    }
}

/// The summaries are made anew at every look, so there is nothing to reconcile.
fn system(r: &Request<'_>, what: &str) -> Result<Reply, Refusal> {
    if !r.writes() {
        return Err(Refusal::new(405, "Invalid method"));
    }
    r.may(Need::Management)?;
    if what == "gc" {
        r.core.write(super::state::State::collect_garbage);
    }
    Ok(Reply::empty())
}

async fn route(r: &Request<'_>, path: &str) -> Result<Reply, Refusal> {
    let (head, rest) = path.split_once('/').unwrap_or((path, ""));
    let rest = query::decoded(rest);
    match (head, rest.as_str()) {
        ("status" | "agent" | "regions", _) => agent::route(r, path),
        ("operator", rest) => operator::route(r, rest),
        ("system", rest @ ("gc" | "reconcile/summaries")) => system(r, rest),
        ("acl", rest) => acl::route(r, rest).await,
        ("namespaces", "") => namespaces::list(r).await,
        ("namespace", "") if path.ends_with('/') => {
            Err(Refusal::new(400, "Missing Namespace Name"))
        }
        ("namespace", name) => namespaces::route(r, name).await,
        ("search", "") => search::answer(r),
        ("scaling", rest) => scaling::route(r, rest).await,
        ("metrics", "") => Ok(metrics::answer(r)),
        ("nodes", "") => nodes::list(r).await,
        ("node", rest) => nodes::route(r, rest).await,
        ("client", rest) => client::route(r, rest),
        ("jobs", "") => jobs::collection(r).await,
        ("jobs", "parse") => jobs::parse(r),
        ("validate", "job") if !r.writes() => Err(Refusal::new(405, "Invalid method")),
        ("validate", "job") => {
            let body = r.json()?;
            r.may_here(&["read-job"])?;
            Ok(Reply::json(super::jobs::validate(&body)?))
        }
        ("job", rest) => jobs::route(r, rest).await,
        ("allocations", "") => allocs::list(r).await,
        ("allocation", rest) => allocs::one(r, rest).await,
        ("evaluations", "") => allocs::evaluations(r).await,
        ("evaluation", rest) => allocs::evaluation(r, rest).await,
        ("deployments", "") => allocs::deployments(r).await,
        ("deployment", rest) => allocs::deployment(r, rest).await,
        ("volumes", "") => {
            let any = [
                "csi-list-volume",
                "csi-read-volume",
                "list-jobs",
                "read-job",
            ];
            allocs::none(r, Need::Any(r.query.namespace(), &any))
        }
        ("plugins", "") => allocs::none(r, Need::PluginList),
        (
            "quotas" | "quota" | "quota-usages" | "sentinel" | "recommendations" | "recommendation",
            _,
        ) => Err(Refusal::new(501, "Nomad Enterprise only endpoint")),
        _ => Err(Refusal::new(404, "")),
    }
}
