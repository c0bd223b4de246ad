//! `/v1/catalog/*`

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::acl::{Access, DENIED, Resource};
use super::super::catalog::Registration;
use super::super::check_types::NODE_SERVICE;
use super::super::filter;
use super::super::go::{self, Shape};
use super::super::near;
use super::super::records::{CheckServiceNode, HealthCheck, Meta, Node, NodeService, Weights};
use super::super::state::Store;
use super::super::world::Link;
use super::call::{Answer, Call, refuse};
use super::{query, reply};

static DEFINITION: Shape = Shape::Fields(&[
    ("HTTP", "HTTP", Shape::Text),
    ("TLSSkipVerify", "TLSSkipVerify", Shape::Bool),
    ("Header", "Header", Shape::MapOf(&Shape::Texts)),
    ("Method", "Method", Shape::Text),
    ("Body", "Body", Shape::Text),
    ("TCP", "TCP", Shape::Text),
    ("Interval", "Interval", Shape::Span),
    ("OutputMaxSize", "OutputMaxSize", Shape::Int),
    ("Timeout", "Timeout", Shape::Span),
    (
        "DeregisterCriticalServiceAfter",
        "DeregisterCriticalServiceAfter",
        Shape::Span,
    ),
    ("ScriptArgs", "ScriptArgs", Shape::Texts),
    ("DockerContainerID", "DockerContainerID", Shape::Text),
    ("Shell", "Shell", Shape::Text),
    ("GRPC", "GRPC", Shape::Text),
    ("GRPCUseTLS", "GRPCUseTLS", Shape::Bool),
    ("AliasNode", "AliasNode", Shape::Text),
    ("AliasService", "AliasService", Shape::Text),
    ("TTL", "TTL", Shape::Span),
    ("IntervalDuration", "IntervalDuration", Shape::Any),
    ("TimeoutDuration", "TimeoutDuration", Shape::Any),
    (
        "DeregisterCriticalServiceAfterDuration",
        "DeregisterCriticalServiceAfterDuration",
        Shape::Any,
    ),
]);

static HEALTH_CHECK: Shape = Shape::Fields(&[
    ("Node", "Node", Shape::Text),
    ("CheckID", "CheckID", Shape::Text),
    ("Name", "Name", Shape::Text),
    ("Status", "Status", Shape::Text),
    ("Notes", "Notes", Shape::Text),
    ("Output", "Output", Shape::Text),
    ("ServiceID", "ServiceID", Shape::Text),
    ("ServiceName", "ServiceName", Shape::Text),
    ("ServiceTags", "ServiceTags", Shape::Texts),
    ("Type", "Type", Shape::Text),
    ("Definition", "Definition", Shape::Same(&DEFINITION)),
    ("CreateIndex", "CreateIndex", Shape::Int),
    ("ModifyIndex", "ModifyIndex", Shape::Int),
]);

static REGISTER: Shape = Shape::Fields(&[
    ("Datacenter", "Datacenter", Shape::Text),
    ("ID", "ID", Shape::Text),
    ("Node", "Node", Shape::Text),
    ("Address", "Address", Shape::Text),
    (
        "TaggedAddresses",
        "TaggedAddresses",
        Shape::MapOf(&Shape::Text),
    ),
    ("NodeMeta", "NodeMeta", Shape::MapOf(&Shape::Text)),
    ("Service", "Service", Shape::Same(&NODE_SERVICE)),
    ("Check", "Check", Shape::Same(&HEALTH_CHECK)),
    ("Checks", "Checks", Shape::ListOf(&HEALTH_CHECK)),
    ("SkipNodeUpdate", "SkipNodeUpdate", Shape::Bool),
    ("Token", "Token", Shape::Text),
    ("CreateIndex", "CreateIndex", Shape::Int),
    ("ModifyIndex", "ModifyIndex", Shape::Int),
]);

static DEREGISTER: Shape = Shape::Fields(&[
    ("Datacenter", "Datacenter", Shape::Text),
    ("Node", "Node", Shape::Text),
    ("ServiceID", "ServiceID", Shape::Text),
    ("CheckID", "CheckID", Shape::Text),
    ("Token", "Token", Shape::Text),
]);

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Register {
    datacenter: String,
    #[serde(rename = "ID")]
    id: String,
    node: String,
    address: String,
    tagged_addresses: Option<Meta>,
    node_meta: Option<Meta>,
    service: Option<NodeService>,
    check: Option<HealthCheck>,
    checks: Vec<HealthCheck>,
    skip_node_update: bool,
}

impl Register {
    fn into_registration(self, datacenter: String) -> Result<Registration, String> {
        if self.node.is_empty() {
            return Err("Must provide node".into());
        }
        if !self.id.is_empty() && (self.id.len() != 36 || uuid::Uuid::try_parse(&self.id).is_err())
        {
            return Err("Bad node ID: uuid string is wrong length".into());
        }
        if self.address.is_empty() && !self.skip_node_update {
            return Err("Must provide address if SkipNodeUpdate is not set".into());
        }
        let service = self.service.map(checked_service).transpose()?;
        let checks = self
            .checks
            .into_iter()
            .chain(self.check)
            .map(|check| complete_check(check, &self.node))
            .collect();
        let node = Node {
            id: self.id,
            node: self.node.clone(),
            address: self.address,
            datacenter,
            tagged_addresses: self.tagged_addresses,
            meta: self.node_meta,
            ..Node::default()
        };
        Ok(Registration {
            node,
            service,
            checks,
            skip_node_update: self.skip_node_update,
        })
    }
}

fn checked_service(mut service: NodeService) -> Result<NodeService, String> {
    if service.id.is_empty() {
        service.id.clone_from(&service.service);
    }
    if !service.id.is_empty() && service.service.is_empty() {
        return Err("Must provide service name with ID".into());
    }
    if service
        .address
        .parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.is_unspecified())
    {
        return Err("Invalid service address".into());
    }
    Ok(service)
}

fn complete_check(mut check: HealthCheck, node: &str) -> HealthCheck {
    if check.node.is_empty() {
        check.node = node.into();
    }
    if check.check_id.is_empty() {
        check.check_id.clone_from(&check.name);
    }
    if check.kind.is_empty() {
        let has = |name: &str| {
            check
                .definition
                .get(name)
                .is_some_and(|value| value.as_str() != Some(""))
        };
        let every = check
            .definition
            .get("Interval")
            .and_then(Value::as_i64)
            .is_some_and(|nanos| nanos > 0);
        check.kind = match () {
            () if has("HTTP") && every => "http",
            () if has("TTL") => "ttl",
            () if has("TCP") && every => "tcp",
            () => "",
        }
        .into();
    }
    for name in ["Interval", "Timeout", "DeregisterCriticalServiceAfter"] {
        if let Some(nanos) = check.definition.get(name).and_then(Value::as_i64) {
            check.definition[name] = Value::from(go::format_duration(nanos));
        }
    }
    check
}

/// `PUT /v1/catalog/register`
pub(super) async fn register(call: &Call) -> Answer {
    let request: Register = call.decode(&REGISTER)?;
    let datacenter = if request.datacenter.is_empty() {
        call.agent.datacenter.name().into()
    } else {
        request.datacenter.clone()
    };
    let fail = |error| Box::new(reply::failed(&error));
    let route = call.agent.route(&datacenter).await.map_err(fail)?;
    let registration = request
        .into_registration(datacenter)
        .map_err(|text| fail(route.error(text)))?;
    let rights = call.rights()?;
    let writes = |resource, name: &str| rights.may(resource, name, Access::Write);
    let allowed = (registration.skip_node_update
        || writes(Resource::Node, &registration.node.node))
        && registration
            .service
            .as_ref()
            .is_none_or(|service| writes(Resource::Service, &service.service))
        && (registration
            .checks
            .iter()
            .all(|check| !check.service_id.is_empty())
            || writes(Resource::Node, &registration.node.node));
    if !allowed {
        return Err(fail(route.error(DENIED)));
    }
    let done = route
        .datacenter
        .write(|store, now| store.register(registration, now));
    done.map_err(|error| fail(route.error(error)))?;
    Ok(reply::json(&true))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Deregister {
    datacenter: String,
    node: String,
    #[serde(rename = "ServiceID")]
    service_id: String,
    #[serde(rename = "CheckID")]
    check_id: String,
}

/// `PUT /v1/catalog/deregister`
pub(super) async fn deregister(call: &Call) -> Answer {
    let request: Deregister = call.decode(&DEREGISTER)?;
    let datacenter = if request.datacenter.is_empty() {
        call.agent.datacenter.name()
    } else {
        &request.datacenter
    };
    let route = call
        .agent
        .route(datacenter)
        .await
        .map_err(|error| Box::new(reply::failed(&error)))?;
    if request.node.is_empty() {
        return Ok(reply::failed(&route.error("Must provide node")));
    }
    let rights = call.rights()?;
    let service = route.datacenter.read(|store| {
        let (_, found) = store.node_services(&request.node);
        let services = found.map(|(_, services)| services).unwrap_or_default();
        services
            .into_iter()
            .find(|service| service.id == request.service_id)
    });
    let allowed = rights.may(Resource::Node, &request.node, Access::Write)
        || service
            .is_some_and(|service| rights.may(Resource::Service, &service.service, Access::Write));
    if !allowed {
        return Ok(reply::failed(&route.error(DENIED)));
    }
    route.datacenter.write(|store, now| {
        store.deregister(&request.node, &request.service_id, &request.check_id, now)
    });
    Ok(reply::json(&true))
}

/// `/v1/catalog/datacenters`: the own one first, those that cannot be reached last.
pub(super) async fn datacenters(call: &Call) -> Answer {
    query::options(call)?;
    let (agent, world) = (&call.agent, &call.agent.world);
    agent
        .route(agent.datacenter.name())
        .await
        .map_err(|error| Box::new(reply::failed(&error)))?;
    let own = agent.datacenter.name();
    let mut names: Vec<&String> = world.datacenters.keys().collect();
    let near = world
        .leader(own)
        .map(|leader| leader.node.clone())
        .unwrap_or_default();
    names.sort_by_key(|name| {
        let link = world
            .leader(name)
            .map_or(Link::Down, |leader| world.link(&near, &leader.node));
        (name.as_str() != own, link, (*name).clone())
    });
    Ok(reply::json(&names))
}

/// `?node-meta=key:value`, all of them.
pub(super) fn meta_filter(call: &Call) -> Vec<(String, String)> {
    let pair = |text: String| match text.split_once(':') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (text, String::new()),
    };
    call.all("node-meta").into_iter().map(pair).collect()
}

/// True when a node's metadata has all of the pairs.
pub(super) fn satisfies(node: &Node, wanted: &[(String, String)]) -> bool {
    wanted
        .iter()
        .all(|(key, value)| node.meta.as_ref().and_then(|meta| meta.get(key)) == Some(value))
}

/// `/v1/catalog/nodes`
pub(super) async fn nodes(call: &Call) -> Answer {
    let (wanted, near, rights) = (meta_filter(call), call.near(), call.rights_of_query()?);
    let filter = query::filter(call, filter::NODE);
    query::discovery(call, |store| {
        let (index, mut nodes) = store.nodes();
        nodes.retain(|node| satisfies(node, &wanted) && rights.sees_node(&node.node));
        let mut nodes = query::kept(&filter, nodes)?;
        near::sort(&mut nodes, near, store.coordinates().1, |node| &node.node);
        Ok((index, nodes))
    })
    .await
}

/// `/v1/catalog/services`
pub(super) async fn services(call: &Call) -> Answer {
    let (wanted, rights) = (meta_filter(call), call.rights_of_query()?);
    query::discovery(call, |store| {
        let (index, mut names) = store.services(|node| satisfies(node, &wanted));
        names.retain(|name, _| rights.sees_service(name));
        Ok((index, names))
    })
    .await
}

fn service_node(found: &CheckServiceNode) -> Value {
    let (node, service) = (&found.node, &found.service);
    let mut out = json!({
        "ID": node.id, "Node": node.node, "Address": node.address, "Datacenter": node.datacenter,
        "TaggedAddresses": node.tagged_addresses, "NodeMeta": node.meta, "ServiceKind": service.kind,
        "ServiceID": service.id, "ServiceName": service.service, "ServiceTags": service.tags.as_deref().unwrap_or_default(),
        "ServiceAddress": service.address, "ServiceWeights": service.weights.unwrap_or(Weights::ONE),
        "ServiceMeta": service.meta.clone().unwrap_or_default(), "ServicePort": service.port, "ServiceEnableTagOverride": service.enable_tag_override,
        "ServiceProxy": service.proxy, "ServiceConnect": service.connect,
        "CreateIndex": service.create_index, "ModifyIndex": service.modify_index,
    });
    if !service.tagged_addresses.is_empty() {
        out["ServiceTaggedAddresses"] = json!(service.tagged_addresses);
    }
    out
}

/// `/v1/catalog/service/:name`
pub(super) async fn service(call: &Call) -> Answer {
    if call.tail.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "Missing service name"));
    }
    let (tags, wanted) = (call.all("tag"), meta_filter(call));
    let (near, rights) = (call.near(), call.rights_of_query()?);
    let filter = query::filter(call, filter::INSTANCE);
    query::discovery(call, |store| {
        let (index, mut found) = store.catalog_service_nodes(&call.tail, &tags);
        found.retain(|found| satisfies(&found.node, &wanted) && rights.sees_instance(found));
        near::sort(&mut found, near, store.coordinates().1, |found| {
            &found.node.node
        });
        let shown = found.iter().map(service_node).collect();
        Ok((index, query::kept(&filter, shown)?))
    })
    .await
}

/// Lists of Connect's proxies and gateways: nobody has any here.
pub(super) async fn no_proxies(call: &Call, index: impl Fn(&Store) -> u64) -> Answer {
    if call.tail.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "Missing service name"));
    }
    query::discovery(call, |store| {
        let none: Vec<Value> = Vec::new();
        Ok((index(store), none))
    })
    .await
}

/// A node with those of its services that may be seen and are wanted; `none` when there is no such node.
async fn with_services(
    call: &Call,
    none: Value,
    show: impl Fn(Node, Vec<Value>) -> Value,
) -> Answer {
    if call.tail.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "Missing node name"));
    }
    let rights = call.rights_of_query()?;
    let filter = query::filter(call, filter::SERVICE);
    query::discovery(call, |store: &Store| {
        let (index, found) = store.node_services(&call.tail);
        let Some((node, mut services)) = found.filter(|(node, _)| rights.sees_node(&node.node))
        else {
            return Ok((index, none.clone()));
        };
        services.retain(|service| rights.sees_service(&service.service));
        let shown = query::kept(&filter, services)?
            .into_iter()
            .map(|mut service| {
                service.tags.get_or_insert_default();
                json!(service)
            });
        Ok((index, show(node, shown.collect())))
    })
    .await
}

/// `/v1/catalog/node/:node`
pub(super) async fn node(call: &Call) -> Answer {
    with_services(call, Value::Null, |node, services| {
        let by_id = |service: Value| (service["ID"].as_str().unwrap_or("").to_owned(), service);
        let services: BTreeMap<String, Value> = services.into_iter().map(by_id).collect();
        json!({"Node": node, "Services": services})
    })
    .await
}

/// `/v1/catalog/node-services/:node`
pub(super) async fn services_of_node(call: &Call) -> Answer {
    let none = json!({"Node": null, "Services": null});
    let show = |node, services| json!({"Node": node, "Services": services});
    with_services(call, none, show).await
}
