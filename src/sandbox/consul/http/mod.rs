//! Consul's HTTP API on an agent's address: which path goes where, and which methods it takes.

mod agent;
mod call;
mod catalog;
mod health;
mod kv;
mod query;
mod reply;
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

const GET: &[Method] = &[Method::GET];
const PUT: &[Method] = &[Method::PUT];

#[derive(Clone, Copy)]
enum Endpoint {
    AgentSelf,
    AgentServices,
    AgentChecks,
    AgentMembers,
    AgentService,
    AgentMaintenance,
    RegisterService,
    DeregisterService,
    ServiceMaintenance,
    RegisterCheck,
    DeregisterCheck,
    CheckPass,
    CheckWarn,
    CheckFail,
    CheckUpdate,
    CatalogRegister,
    CatalogDeregister,
    CatalogDatacenters,
    CatalogNodes,
    CatalogServices,
    CatalogService,
    CatalogNode,
    HealthService,
    HealthNode,
    HealthChecks,
    HealthState,
    Kv,
    SessionCreate,
    SessionDestroy,
    SessionRenew,
    SessionInfo,
    SessionNode,
    SessionList,
    Txn,
    StatusLeader,
    StatusPeers,
    CoordinateNodes,
    CoordinateDatacenters,
}

/// Paths that end in a slash take what follows it as an argument; the longest match wins.
const ROUTES: &[(&str, &[Method], Endpoint)] = &[
    ("/v1/agent/self", GET, Endpoint::AgentSelf),
    ("/v1/agent/services", GET, Endpoint::AgentServices),
    ("/v1/agent/checks", GET, Endpoint::AgentChecks),
    ("/v1/agent/members", GET, Endpoint::AgentMembers),
    ("/v1/agent/maintenance", PUT, Endpoint::AgentMaintenance),
    ("/v1/agent/service/", GET, Endpoint::AgentService),
    ("/v1/agent/service/register", PUT, Endpoint::RegisterService),
    (
        "/v1/agent/service/deregister/",
        PUT,
        Endpoint::DeregisterService,
    ),
    (
        "/v1/agent/service/maintenance/",
        PUT,
        Endpoint::ServiceMaintenance,
    ),
    ("/v1/agent/check/register", PUT, Endpoint::RegisterCheck),
    (
        "/v1/agent/check/deregister/",
        PUT,
        Endpoint::DeregisterCheck,
    ),
    ("/v1/agent/check/pass/", PUT, Endpoint::CheckPass),
    ("/v1/agent/check/warn/", PUT, Endpoint::CheckWarn),
    ("/v1/agent/check/fail/", PUT, Endpoint::CheckFail),
    ("/v1/agent/check/update/", PUT, Endpoint::CheckUpdate),
    ("/v1/catalog/register", PUT, Endpoint::CatalogRegister),
    ("/v1/catalog/deregister", PUT, Endpoint::CatalogDeregister),
    ("/v1/catalog/datacenters", GET, Endpoint::CatalogDatacenters),
    ("/v1/catalog/nodes", GET, Endpoint::CatalogNodes),
    ("/v1/catalog/services", GET, Endpoint::CatalogServices),
    ("/v1/catalog/service/", GET, Endpoint::CatalogService),
    ("/v1/catalog/node/", GET, Endpoint::CatalogNode),
    ("/v1/health/service/", GET, Endpoint::HealthService),
    ("/v1/health/node/", GET, Endpoint::HealthNode),
    ("/v1/health/checks/", GET, Endpoint::HealthChecks),
    ("/v1/health/state/", GET, Endpoint::HealthState),
    (
        "/v1/kv/",
        &[Method::GET, Method::PUT, Method::DELETE],
        Endpoint::Kv,
    ),
    ("/v1/session/create", PUT, Endpoint::SessionCreate),
    ("/v1/session/destroy/", PUT, Endpoint::SessionDestroy),
    ("/v1/session/renew/", PUT, Endpoint::SessionRenew),
    ("/v1/session/info/", GET, Endpoint::SessionInfo),
    ("/v1/session/node/", GET, Endpoint::SessionNode),
    ("/v1/session/list", GET, Endpoint::SessionList),
    ("/v1/txn", PUT, Endpoint::Txn),
    ("/v1/status/leader", GET, Endpoint::StatusLeader),
    ("/v1/status/peers", GET, Endpoint::StatusPeers),
    ("/v1/coordinate/nodes", GET, Endpoint::CoordinateNodes),
    (
        "/v1/coordinate/datacenters",
        GET,
        Endpoint::CoordinateDatacenters,
    ),
];

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
    let matches =
        |pattern: &str| pattern == path || (pattern.ends_with('/') && path.starts_with(pattern));
    let best = ROUTES
        .iter()
        .filter(|(pattern, _, _)| matches(pattern))
        .max_by_key(|(pattern, _, _)| pattern.len());
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
    let Some(call) = Call::new(agent, parts.method, &parts.uri, tail, body) else {
        return reply::text(StatusCode::INTERNAL_SERVER_ERROR, "");
    };
    dispatch(*endpoint, call)
        .await
        .unwrap_or_else(|refused| *refused)
}

async fn dispatch(endpoint: Endpoint, call: Call) -> call::Answer {
    match endpoint {
        Endpoint::AgentSelf => agent::about(&call),
        Endpoint::AgentServices => agent::services(&call),
        Endpoint::AgentChecks => agent::checks(&call),
        Endpoint::AgentMembers => agent::members(&call),
        Endpoint::AgentService => agent::service(&call),
        Endpoint::AgentMaintenance => agent::maintenance(&call),
        Endpoint::RegisterService => agent::register_service(&call),
        Endpoint::DeregisterService => agent::done(call.agent.deregister_service(&call.tail)),
        Endpoint::ServiceMaintenance => agent::service_maintenance(&call),
        Endpoint::RegisterCheck => agent::register_check(&call),
        Endpoint::DeregisterCheck => agent::done(call.agent.deregister_check(&call.tail)),
        Endpoint::CheckPass => agent::set_ttl(&call, super::records::PASSING),
        Endpoint::CheckWarn => agent::set_ttl(&call, super::records::WARNING),
        Endpoint::CheckFail => agent::set_ttl(&call, super::records::CRITICAL),
        Endpoint::CheckUpdate => agent::update_ttl(&call),
        Endpoint::CatalogRegister => catalog::register(&call).await,
        Endpoint::CatalogDeregister => catalog::deregister(&call).await,
        Endpoint::CatalogDatacenters => catalog::datacenters(&call).await,
        Endpoint::CatalogNodes => catalog::nodes(&call).await,
        Endpoint::CatalogServices => catalog::services(&call).await,
        Endpoint::CatalogService => catalog::service(&call).await,
        Endpoint::CatalogNode => catalog::node(&call).await,
        Endpoint::HealthService => health::service(&call).await,
        Endpoint::HealthNode => health::node(&call).await,
        Endpoint::HealthChecks => health::checks(&call).await,
        Endpoint::HealthState => health::state(&call).await,
        Endpoint::Kv => kv::serve(&call).await,
        Endpoint::SessionCreate => session::create(&call).await,
        Endpoint::SessionDestroy => session::destroy(&call).await,
        Endpoint::SessionRenew => session::renew(&call).await,
        Endpoint::SessionInfo => session::info(&call).await,
        Endpoint::SessionNode => session::of_node(&call).await,
        Endpoint::SessionList => session::list(&call).await,
        Endpoint::Txn => txn::serve(&call).await,
        Endpoint::StatusLeader => status::leader(&call).await,
        Endpoint::StatusPeers => status::peers(&call).await,
        Endpoint::CoordinateNodes => status::coordinates(&call).await,
        Endpoint::CoordinateDatacenters => status::datacenter_coordinates(&call).await,
    }
}
