//! Consul's HTTP API on an agent's address: which path goes where, and which methods it takes.

mod acl;
mod agent;
mod call;
mod catalog;
mod config;
mod health;
mod kv;
mod operator;
pub(super) mod prepared;
mod query;
mod reply;
mod routes;
mod session;
mod status;
mod txn;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;

use super::world::AgentRef;
use call::Call;

/// The longest body that is read; longer ones are refused.
const MAX_BODY: usize = 8 << 20;

/// The API of one agent.
pub(super) fn router(agent: AgentRef) -> Router {
    Router::new().fallback(serve).with_state(agent)
}

async fn serve(State(agent): State<AgentRef>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = call::percent_decode(parts.uri.path());
    if path == "/" {
        return reply::text(StatusCode::OK, "Consul Agent");
    }
    let best = routes::find(&path);
    let Some((pattern, methods, endpoint)) = best else {
        return reply::text(StatusCode::NOT_FOUND, "");
    };
    if parts.method == Method::OPTIONS || !methods.contains(&parts.method) {
        return reply::not_this_method(&parts.method, methods);
    }
    let body = match axum::body::to_bytes(body, MAX_BODY).await {
        Ok(body) => body,
        Err(error) => return reply::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let tail = path[pattern.len()..].to_owned();
    let Some(call) = Call::new(agent, parts.method, &parts.uri, &parts.headers, tail, body) else {
        return reply::text(StatusCode::INTERNAL_SERVER_ERROR, "");
    };
    routes::dispatch(endpoint, call)
        .await
        .unwrap_or_else(|refused| *refused)
}
