//! Which path goes to which endpoint, and which methods it takes.

use axum::http::Method;

use super::super::records::{CRITICAL, PASSING, WARNING};
use super::call::{Answer, Call};
use super::{acl, agent, catalog, config, health, kv, operator, prepared, session, status, txn};

const GET: &[Method] = &[Method::GET];
const PUT: &[Method] = &[Method::PUT];
const READ_AND_WRITE: &[Method] = &[Method::GET, Method::PUT, Method::DELETE];

#[derive(Clone, Copy)]
pub(super) enum OfAgent {
    About,
    Services,
    Checks,
    Members,
    Service,
    ServiceHealthById,
    ServiceHealthByName,
    Maintenance,
    ForceLeave,
    Reload,
    RegisterService,
    DeregisterService,
    ServiceMaintenance,
    RegisterCheck,
    DeregisterCheck,
    CheckPass,
    CheckWarn,
    CheckFail,
    CheckUpdate,
}

#[derive(Clone, Copy)]
pub(super) enum OfCatalog {
    Register,
    Deregister,
    Datacenters,
    Nodes,
    Services,
    Service,
    ConnectService,
    Node,
    NodeServices,
    Health,
    ConnectHealth,
    IngressHealth,
    HealthOfNode,
    Checks,
    State,
}

#[derive(Clone, Copy)]
pub(super) enum OfServers {
    Kv,
    SessionCreate,
    SessionDestroy,
    SessionRenew,
    SessionInfo,
    SessionNode,
    SessionList,
    Txn,
    Leader,
    Peers,
    Coordinates,
    NodeCoordinate,
    UpdateCoordinate,
    DatacenterCoordinates,
    PutConfig,
    Config,
    Queries,
    Query,
    RaftConfiguration,
    AclPolicies,
    AclPolicy,
    AclTokens,
    AclToken,
    AclOwnToken,
    AclReplication,
    AclAuthorize,
    AclBootstrap,
    AclNothing,
}

#[derive(Clone, Copy)]
pub(super) enum Endpoint {
    Agent(OfAgent),
    Catalog(OfCatalog),
    Servers(OfServers),
}

type Routes<E> = &'static [(&'static str, &'static [Method], E)];

// Paths that end in a slash take what follows it as an argument; the longest match wins.
const AGENT: Routes<OfAgent> = &[
    ("/v1/agent/self", GET, OfAgent::About),
    ("/v1/agent/services", GET, OfAgent::Services),
    ("/v1/agent/checks", GET, OfAgent::Checks),
    ("/v1/agent/members", GET, OfAgent::Members),
    ("/v1/agent/maintenance", PUT, OfAgent::Maintenance),
    ("/v1/agent/force-leave/", PUT, OfAgent::ForceLeave),
    ("/v1/agent/reload", PUT, OfAgent::Reload),
    ("/v1/agent/service/", GET, OfAgent::Service),
    (
        "/v1/agent/health/service/id/",
        GET,
        OfAgent::ServiceHealthById,
    ),
    (
        "/v1/agent/health/service/name/",
        GET,
        OfAgent::ServiceHealthByName,
    ),
    ("/v1/agent/service/register", PUT, OfAgent::RegisterService),
    (
        "/v1/agent/service/deregister/",
        PUT,
        OfAgent::DeregisterService,
    ),
    (
        "/v1/agent/service/maintenance/",
        PUT,
        OfAgent::ServiceMaintenance,
    ),
    ("/v1/agent/check/register", PUT, OfAgent::RegisterCheck),
    ("/v1/agent/check/deregister/", PUT, OfAgent::DeregisterCheck),
    ("/v1/agent/check/pass/", PUT, OfAgent::CheckPass),
    ("/v1/agent/check/warn/", PUT, OfAgent::CheckWarn),
    ("/v1/agent/check/fail/", PUT, OfAgent::CheckFail),
    ("/v1/agent/check/update/", PUT, OfAgent::CheckUpdate),
];

const CATALOG: Routes<OfCatalog> = &[
    ("/v1/catalog/register", PUT, OfCatalog::Register),
    ("/v1/catalog/deregister", PUT, OfCatalog::Deregister),
    ("/v1/catalog/datacenters", GET, OfCatalog::Datacenters),
    ("/v1/catalog/nodes", GET, OfCatalog::Nodes),
    ("/v1/catalog/services", GET, OfCatalog::Services),
    ("/v1/catalog/service/", GET, OfCatalog::Service),
    ("/v1/catalog/connect/", GET, OfCatalog::ConnectService),
    ("/v1/catalog/node/", GET, OfCatalog::Node),
    ("/v1/catalog/node-services/", GET, OfCatalog::NodeServices),
    ("/v1/health/service/", GET, OfCatalog::Health),
    ("/v1/health/connect/", GET, OfCatalog::ConnectHealth),
    ("/v1/health/ingress/", GET, OfCatalog::IngressHealth),
    ("/v1/health/node/", GET, OfCatalog::HealthOfNode),
    ("/v1/health/checks/", GET, OfCatalog::Checks),
    ("/v1/health/state/", GET, OfCatalog::State),
];

const SERVERS: Routes<OfServers> = &[
    ("/v1/kv/", READ_AND_WRITE, OfServers::Kv),
    ("/v1/session/create", PUT, OfServers::SessionCreate),
    ("/v1/session/destroy/", PUT, OfServers::SessionDestroy),
    ("/v1/session/renew/", PUT, OfServers::SessionRenew),
    ("/v1/session/info/", GET, OfServers::SessionInfo),
    ("/v1/session/node/", GET, OfServers::SessionNode),
    ("/v1/session/list", GET, OfServers::SessionList),
    ("/v1/txn", PUT, OfServers::Txn),
    ("/v1/status/leader", GET, OfServers::Leader),
    ("/v1/status/peers", GET, OfServers::Peers),
    ("/v1/coordinate/nodes", GET, OfServers::Coordinates),
    ("/v1/coordinate/node/", GET, OfServers::NodeCoordinate),
    ("/v1/coordinate/update", PUT, OfServers::UpdateCoordinate),
    (
        "/v1/coordinate/datacenters",
        GET,
        OfServers::DatacenterCoordinates,
    ),
    ("/v1/config", PUT, OfServers::PutConfig),
    (
        "/v1/config/",
        &[Method::GET, Method::DELETE],
        OfServers::Config,
    ),
    (
        "/v1/query",
        &[Method::GET, Method::POST],
        OfServers::Queries,
    ),
    ("/v1/query/", READ_AND_WRITE, OfServers::Query),
    (
        "/v1/operator/raft/configuration",
        GET,
        OfServers::RaftConfiguration,
    ),
    ("/v1/acl/policies", GET, OfServers::AclPolicies),
    ("/v1/acl/policy", PUT, OfServers::AclPolicy),
    ("/v1/acl/policy/", READ_AND_WRITE, OfServers::AclPolicy),
    ("/v1/acl/tokens", GET, OfServers::AclTokens),
    ("/v1/acl/token", PUT, OfServers::AclToken),
    ("/v1/acl/token/", READ_AND_WRITE, OfServers::AclToken),
    ("/v1/acl/token/self", GET, OfServers::AclOwnToken),
    ("/v1/acl/replication", GET, OfServers::AclReplication),
    (
        "/v1/internal/acl/authorize",
        &[Method::POST],
        OfServers::AclAuthorize,
    ),
    ("/v1/acl/bootstrap", PUT, OfServers::AclBootstrap),
    ("/v1/acl/roles", GET, OfServers::AclNothing),
    ("/v1/acl/binding-rules", GET, OfServers::AclNothing),
    ("/v1/acl/auth-methods", GET, OfServers::AclNothing),
];

fn best<E: Copy>(
    routes: Routes<E>,
    path: &str,
    wrap: impl Fn(E) -> Endpoint,
) -> Option<(&'static str, &'static [Method], Endpoint)> {
    let matches =
        |pattern: &str| pattern == path || (pattern.ends_with('/') && path.starts_with(pattern));
    let best = routes
        .iter()
        .filter(|(pattern, _, _)| matches(pattern))
        .max_by_key(|(pattern, _, _)| pattern.len());
    best.map(|(pattern, methods, endpoint)| (*pattern, *methods, wrap(*endpoint)))
}

/// The endpoint of a path, with the part of the path that is its own.
pub(super) fn find(path: &str) -> Option<(&'static str, &'static [Method], Endpoint)> {
    best(AGENT, path, Endpoint::Agent)
        .or_else(|| best(CATALOG, path, Endpoint::Catalog))
        .or_else(|| best(SERVERS, path, Endpoint::Servers))
}

pub(super) async fn dispatch(endpoint: Endpoint, call: Call) -> Answer {
    match endpoint {
        Endpoint::Agent(endpoint) => of_agent(endpoint, &call),
        Endpoint::Catalog(endpoint) => of_catalog(endpoint, &call).await,
        Endpoint::Servers(endpoint) => of_servers(endpoint, &call).await,
    }
}

fn of_agent(endpoint: OfAgent, call: &Call) -> Answer {
    match endpoint {
        OfAgent::About => agent::about(call),
        OfAgent::Services => agent::services(call),
        OfAgent::Checks => agent::checks(call),
        OfAgent::Members => agent::members(call),
        OfAgent::Service => agent::service(call),
        OfAgent::ServiceHealthById => health::of_own_service(call),
        OfAgent::ServiceHealthByName => health::of_own_services(call),
        OfAgent::Maintenance => agent::maintenance(call),
        OfAgent::ForceLeave => agent::force_leave(call),
        OfAgent::Reload => agent::reload(call),
        OfAgent::RegisterService => agent::register_service(call),
        OfAgent::DeregisterService => agent::deregister_service(call),
        OfAgent::ServiceMaintenance => agent::service_maintenance(call),
        OfAgent::RegisterCheck => agent::register_check(call),
        OfAgent::DeregisterCheck => agent::deregister_check(call),
        OfAgent::CheckPass => agent::set_ttl(call, PASSING),
        OfAgent::CheckWarn => agent::set_ttl(call, WARNING),
        OfAgent::CheckFail => agent::set_ttl(call, CRITICAL),
        OfAgent::CheckUpdate => agent::update_ttl(call),
    }
}

async fn of_catalog(endpoint: OfCatalog, call: &Call) -> Answer {
    match endpoint {
        OfCatalog::Register => catalog::register(call).await,
        OfCatalog::Deregister => catalog::deregister(call).await,
        OfCatalog::Datacenters => catalog::datacenters(call).await,
        OfCatalog::Nodes => catalog::nodes(call).await,
        OfCatalog::Services => catalog::services(call).await,
        OfCatalog::Service => catalog::service(call).await,
        OfCatalog::ConnectService | OfCatalog::ConnectHealth => {
            catalog::no_proxies(call, |store| store.catalog_service_nodes(&call.tail, &[]).0).await
        }
        OfCatalog::IngressHealth => catalog::no_proxies(call, |_| 0).await,
        OfCatalog::Node => catalog::node(call).await,
        OfCatalog::NodeServices => catalog::services_of_node(call).await,
        OfCatalog::Health => health::service(call).await,
        OfCatalog::HealthOfNode => health::node(call).await,
        OfCatalog::Checks => health::checks(call).await,
        OfCatalog::State => health::state(call).await,
    }
}

async fn of_servers(endpoint: OfServers, call: &Call) -> Answer {
    match endpoint {
        OfServers::Kv => kv::serve(call).await,
        OfServers::SessionCreate => session::create(call).await,
        OfServers::SessionDestroy => session::destroy(call).await,
        OfServers::SessionRenew => session::renew(call).await,
        OfServers::SessionInfo => session::info(call).await,
        OfServers::SessionNode => session::of_node(call).await,
        OfServers::SessionList => session::list(call).await,
        OfServers::Txn => txn::serve(call).await,
        OfServers::Leader => status::leader(call).await,
        OfServers::Peers => status::peers(call).await,
        OfServers::Coordinates => status::coordinates(call).await,
        OfServers::NodeCoordinate => status::coordinate_of_node(call).await,
        OfServers::UpdateCoordinate => status::update_coordinate(call).await,
        OfServers::DatacenterCoordinates => status::datacenter_coordinates(call).await,
        OfServers::PutConfig => config::put(call).await,
        OfServers::Config => config::serve(call).await,
        OfServers::Queries => prepared::all(call).await,
        OfServers::Query => prepared::one(call).await,
        OfServers::RaftConfiguration => operator::raft_configuration(call).await,
        OfServers::AclPolicies => acl::policies(call),
        OfServers::AclPolicy => acl::policy(call),
        OfServers::AclTokens => acl::tokens(call),
        OfServers::AclToken => acl::token(call),
        OfServers::AclOwnToken => acl::own_token(call),
        OfServers::AclReplication => acl::replication(call),
        OfServers::AclAuthorize => acl::authorize(call),
        OfServers::AclBootstrap => acl::bootstrap(call),
        OfServers::AclNothing => acl::nothing(call),
    }
}
