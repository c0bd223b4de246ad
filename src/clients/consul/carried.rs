//! Calls made of consulrs' request types, carried by our transport instead of its own (old TLS, no timeouts).

use super::Consul;
use super::reply::{CatalogNode, KvPair, Session};
use super::service::{Registration, millis};
use crate::clients::http::{Answer, Ask, HttpError, Indexed, Transport, Wait};
use async_trait::async_trait;
use consulrs::api::{catalog, check, kv, service, session};
use reqwest::Url;
use rustify::Endpoint;
use rustify::client::Client;
use rustify::enums::RequestMethod;
use rustify::errors::ClientError;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// A `rustify::Client` for one request. It takes every status as a reply (so that 404 keeps its index and nothing is logged as
/// an error on the way), and adds what consulrs has no field for: waits, reasons, `dc` of sessions.
struct Carrier<'a> {
    http: &'a Transport,
    base: &'a str,
    ask: Ask,
}

#[async_trait]
impl Client for Carrier<'_> {
    fn base(&self) -> &str {
        self.base
    }

    async fn send(
        &self,
        request: http02::Request<Vec<u8>>,
    ) -> Result<http02::Response<Vec<u8>>, ClientError> {
        let text = request.uri().to_string();
        let url = Url::parse(&text).map_err(|source| ClientError::UrlParseError { source })?;
        let ask = self.ask.clone().bytes(request.into_body());
        let answer =
            self.http
                .exchange_at(&ask, url)
                .await
                .map_err(|e| ClientError::RequestError {
                    source: e.into(),
                    url: text,
                    method: ask.method().to_string(),
                })?;
        let mut response = http02::Response::builder().status(answer.status);
        if let Some(index) = answer.index {
            response = response.header(INDEX, index);
        }
        response
            .body(answer.body)
            .map_err(|e| ClientError::ResponseError { source: e.into() })
    }

    async fn execute(
        &self,
        request: http02::Request<Vec<u8>>,
    ) -> Result<http02::Response<Vec<u8>>, ClientError> {
        self.send(request).await
    }
}

const INDEX: &str = "x-consul-index";

/// What a session is for and when it dies.
#[derive(Clone, Debug)]
pub struct SessionSpec {
    pub name: String,
    /// Lower bound; Consul takes 10 s to 24 h, and may take twice as long to notice.
    pub ttl: Duration,
    /// How long a lock stays closed after its session died. 0 to 60 s; Consul's default is 15 s.
    pub lock_delay: Duration,
    /// Also delete the held keys when it dies, instead of only releasing them.
    pub delete_keys: bool,
    /// A node of the datacenter asked, where the agent stands in another one: a session is always some node's. Its health is
    /// none of ours then, and only the TTL ends the session.
    pub node: Option<String>,
    /// The ID of a service's check at the node: the session ends as soon as it turns critical.
    pub check: Option<String>,
}

/// What must hold for a key to be written.
#[derive(Clone, Copy)]
enum Condition<'a> {
    None,
    /// Its ModifyIndex.
    Unchanged(u64),
    /// The session that takes the lock.
    Take(&'a str),
    GiveBack(&'a str),
}

impl Consul {
    /// Registers or replaces a service on this agent; checks of the same ID keep their state. `PUT /v1/agent/service/register`
    pub async fn register(&self, registration: &Registration) -> Result<(), HttpError> {
        let what = format!("register service {:?}", registration.id);
        let request = registration.request();
        if registration.tagged_addresses.is_empty() {
            return self.order(Ask::put(what, &[]), request).await;
        }
        // consulrs takes only plain strings for these, which Consul refuses: its body is completed here.
        let built = request.body().map_err(|source| HttpError::Request {
            what: what.clone(),
            source,
        })?;
        let ask = Ask::put(what, &["v1", "agent", "service", "register"]);
        let mut body: Value = self.http.decode(&ask, &built.unwrap_or_default())?;
        body["TaggedAddresses"] = registration.tagged();
        self.http.send(&ask.json(&body)).await.map(drop)
    }

    /// Removes a service from this agent; one that it does not have is no error (1.8 says 200 to it, later ones 404). `PUT /v1/agent/service/deregister/:id`
    pub async fn deregister(&self, id: &str) -> Result<(), HttpError> {
        let request = service::requests::DeregisterServiceRequest {
            id: id.to_string(),
            ..Default::default()
        };
        let ask = Ask::put(format!("deregister service {id:?}"), &[]);
        let sent = self.carry(ask, request).await?;
        if sent.is_absent("Unknown service") {
            return Ok(());
        }
        sent.done(self)
    }

    /// Takes a service of this agent out of (or back into) what clients are given. `PUT /v1/agent/service/maintenance/:id`
    pub async fn maintenance(&self, id: &str, on: bool, reason: &str) -> Result<(), HttpError> {
        let request = service::requests::EnableMaintenanceRequest {
            id: id.to_string(),
            enable: on,
            ..Default::default()
        };
        let mode = if on { "on" } else { "off" };
        let ask = Ask::put(format!("turn maintenance of service {id:?} {mode}"), &[])
            .query_if("reason", on.then_some(reason));
        self.order(ask, request).await
    }

    /// Has a TTL check of this agent pass until its TTL is over; one that it does not have is an error. `PUT /v1/agent/check/pass/:id`
    pub async fn check_pass(&self, id: &str) -> Result<(), HttpError> {
        let request = check::requests::TtlCheckPassRequest {
            check: id.to_string(),
            ..Default::default()
        };
        self.order(Ask::put(format!("pass check {id:?}"), &[]), request)
            .await
    }

    /// One key; `None` when there is none. `GET /v1/kv/:key`
    pub async fn kv_get(
        &self,
        key: &str,
        dc: Option<&str>,
        consistent: bool,
        wait: Option<Wait>,
    ) -> Result<Indexed<Option<KvPair>>, HttpError> {
        let request = kv::requests::ReadKeyRequest {
            key: key.to_string(),
            ..Default::default()
        };
        let mut ask = self.with_dc(Ask::get(format!("read key {key:?}"), &[]), dc);
        if consistent {
            ask = ask.query("consistent", "");
        }
        if let Some(wait) = wait {
            ask = ask.wait(wait);
        }
        let sent = self.carry(ask, request).await?;
        let index = sent.answer.index;
        if sent.answer.status == 404 && index.is_some() {
            return Ok(Indexed::new(None, index, wait));
        }
        let pairs: Vec<KvPair> = sent.parse(self)?;
        Ok(Indexed::new(pairs.into_iter().next(), index, wait))
    }

    /// Writes a key, whatever is there. `PUT /v1/kv/:key`
    pub async fn kv_put(
        &self,
        key: &str,
        value: &[u8],
        dc: Option<&str>,
    ) -> Result<bool, HttpError> {
        self.kv_write(key, value, Condition::None, dc).await
    }

    /// Writes a key if its ModifyIndex still is `index` (0: if there is none). `Ok(false)`: it is not. `PUT /v1/kv/:key?cas=`
    pub async fn kv_cas(
        &self,
        key: &str,
        value: &[u8],
        index: u64,
        dc: Option<&str>,
    ) -> Result<bool, HttpError> {
        self.kv_write(key, value, Condition::Unchanged(index), dc)
            .await
    }

    /// Takes the lock on a key for a session. `Ok(false)`: another holds it, or its lock delay runs. An unknown session is an error. `PUT /v1/kv/:key?acquire=`
    pub async fn kv_acquire(
        &self,
        key: &str,
        value: &[u8],
        session: &str,
        dc: Option<&str>,
    ) -> Result<bool, HttpError> {
        self.kv_write(key, value, Condition::Take(session), dc)
            .await
    }

    /// Gives the lock back. `Ok(false)`: the session did not hold it. `PUT /v1/kv/:key?release=`
    pub async fn kv_release(
        &self,
        key: &str,
        value: &[u8],
        session: &str,
        dc: Option<&str>,
    ) -> Result<bool, HttpError> {
        self.kv_write(key, value, Condition::GiveBack(session), dc)
            .await
    }

    /// Deletes a key, with `cas` only if its ModifyIndex still is this one. Deleting an absent key is no error. `DELETE /v1/kv/:key`
    pub async fn kv_delete(
        &self,
        key: &str,
        cas: Option<u64>,
        dc: Option<&str>,
    ) -> Result<bool, HttpError> {
        let request = kv::requests::DeleteKeyRequest {
            key: key.to_string(),
            cas,
            ..Default::default()
        };
        let ask = self.with_dc(Ask::delete(format!("delete key {key:?}"), &[]), dc);
        self.fetch(ask, request).await
    }

    async fn kv_write(
        &self,
        key: &str,
        value: &[u8],
        condition: Condition<'_>,
        dc: Option<&str>,
    ) -> Result<bool, HttpError> {
        let mut request = kv::requests::SetKeyRequest {
            key: key.to_string(),
            value: value.to_vec(),
            ..Default::default()
        };
        let what = match condition {
            Condition::None => format!("write key {key:?}"),
            Condition::Unchanged(index) => {
                request.cas = Some(index);
                format!("write key {key:?} if unchanged")
            }
            Condition::Take(session) => {
                request.acquire = Some(session.to_string());
                format!("take the lock {key:?}")
            }
            Condition::GiveBack(session) => {
                request.release = Some(session.to_string());
                format!("release the lock {key:?}")
            }
        };
        self.fetch(self.with_dc(Ask::put(what, &[]), dc), request)
            .await
    }

    /// Opens a session on this agent's node, bound to the node's health and a check, or on the one given, and gives its ID. `PUT /v1/session/create`
    pub async fn session_create(
        &self,
        spec: &SessionSpec,
        dc: Option<&str>,
    ) -> Result<String, HttpError> {
        let behavior = if spec.delete_keys {
            "delete"
        } else {
            "release"
        };
        let request = session::requests::CreateSessionRequest {
            name: Some(spec.name.clone()),
            ttl: Some(millis(spec.ttl)),
            lock_delay: Some(millis(spec.lock_delay)),
            behavior: Some(behavior.to_string()),
            node: spec.node.clone(),
            node_checks: spec.node.is_some().then(Vec::new),
            service_checks: spec.check.clone().map(|id| {
                let id = Some(id);
                vec![session::common::ServiceCheck {
                    id,
                    namespace: None,
                }]
            }),
            ..Default::default()
        };
        let what = format!("open session {:?}", spec.name);
        let made: session::responses::CreateSessionResponse = self
            .fetch(self.with_dc(Ask::put(what, &[]), dc), request)
            .await?;
        Ok(made.id)
    }

    /// Prolongs a session by its TTL. `None`: it is gone, and its locks with it. `PUT /v1/session/renew/:id`
    pub async fn session_renew(
        &self,
        id: &str,
        dc: Option<&str>,
    ) -> Result<Option<Session>, HttpError> {
        let request = session::requests::RenewSessionRequest {
            uuid: id.to_string(),
            ..Default::default()
        };
        let ask = self.with_dc(Ask::put("renew our session", &[]), dc);
        let sent = self.carry(ask, request).await?;
        if sent.is_absent("Session id") {
            return Ok(None);
        }
        Ok(sent.parse::<Vec<Session>>(self)?.into_iter().next())
    }

    /// Ends a session and releases its locks; an unknown one is no error. `PUT /v1/session/destroy/:id`
    pub async fn session_destroy(&self, id: &str, dc: Option<&str>) -> Result<(), HttpError> {
        let request = session::requests::DeleteSessionRequest {
            uuid: id.to_string(),
            ..Default::default()
        };
        let ask = self.with_dc(Ask::put("end our session", &[]), dc);
        self.order(ask, request).await
    }

    /// All federated datacenters, nearest first. `GET /v1/catalog/datacenters`
    pub async fn datacenters(&self) -> Result<Vec<String>, HttpError> {
        let ask = Ask::get("list Consul's datacenters", &[]);
        let request = catalog::requests::ListDatacentersRequest::default();
        self.fetch(ask, request).await
    }

    /// `GET /v1/catalog/nodes`
    pub async fn catalog_nodes(&self, dc: Option<&str>) -> Result<Vec<CatalogNode>, HttpError> {
        let ask = self.with_dc(Ask::get("list Consul's nodes", &[]), dc);
        let request = catalog::requests::ListNodesRequest::default();
        self.fetch(ask, request).await
    }

    /// Service names with their tags. `GET /v1/catalog/services`
    pub async fn catalog_services(
        &self,
        dc: Option<&str>,
    ) -> Result<BTreeMap<String, Vec<String>>, HttpError> {
        let ask = self.with_dc(Ask::get("list Consul's services", &[]), dc);
        let request = catalog::requests::ListServicesRequest::default();
        self.fetch(ask, request).await
    }

    /// Writes an external service into the catalog, on a node that has no agent. Weights out of range silently become 1/1 here.
    /// Its HTTP and TCP checks are for consul-esm, which finds them by the node's meta. `PUT /v1/catalog/register`
    pub async fn catalog_register(
        &self,
        node: &str,
        address: &str,
        registration: &Registration,
        dc: Option<&str>,
    ) -> Result<bool, HttpError> {
        let what = format!(
            "register service {:?} of node {node:?} in the catalog",
            registration.id
        );
        let mut request = registration.external(node, address);
        request.datacenter = dc.or(self.dc.as_deref()).map(str::to_string);
        self.fetch(Ask::put(what, &[]), request).await
    }

    /// Removes a node, or one service of it, from the catalog. Where an agent runs, anti-entropy brings it back. `PUT /v1/catalog/deregister`
    pub async fn catalog_deregister(
        &self,
        node: &str,
        service: Option<&str>,
        dc: Option<&str>,
    ) -> Result<bool, HttpError> {
        let request = catalog::requests::DeregisterEntityRequest {
            node: node.to_string(),
            service_id: service.map(str::to_string),
            datacenter: dc.or(self.dc.as_deref()).map(str::to_string),
            ..Default::default()
        };
        let what = format!("remove node {node:?} or a service of it from the catalog");
        self.fetch(Ask::put(what, &[]), request).await
    }

    /// A call whose reply is wanted.
    async fn fetch<E: Endpoint, T: DeserializeOwned>(
        &self,
        ask: Ask,
        endpoint: E,
    ) -> Result<T, HttpError> {
        self.carry(ask, endpoint).await?.parse(self)
    }

    /// A call that succeeds or not.
    async fn order<E: Endpoint>(&self, ask: Ask, endpoint: E) -> Result<(), HttpError> {
        self.carry(ask, endpoint).await?.done(self)
    }

    /// Runs one of consulrs' endpoints; `ask` gives the words for errors and what else goes into the query.
    async fn carry<E: Endpoint>(&self, ask: Ask, endpoint: E) -> Result<Sent, HttpError> {
        let path = endpoint.path();
        let ask = ask.at(
            method(endpoint.method()),
            std::iter::once("v1").chain(path.split('/')),
        );
        let carrier = Carrier {
            http: &self.http,
            base: &self.v1,
            ask: ask.clone(),
        };
        let result = endpoint
            .exec(&carrier)
            .await
            .map_err(|e| explain(&ask, e))?;
        let (parts, body) = result.response.into_parts();
        let index = parts.headers.get(INDEX);
        let answer = Answer {
            status: parts.status.as_u16(),
            body,
            index: index.and_then(|v| v.to_str().ok()?.parse().ok()),
        };
        Ok(Sent { ask, answer })
    }
}

/// A request that was carried, and its reply of whatever status.
struct Sent {
    ask: Ask,
    answer: Answer,
}

impl Sent {
    /// Consul's own 404; a 404 without its words (or its index) may be any server's and proves nothing.
    fn is_absent(&self, words: &str) -> bool {
        self.answer.status == 404 && String::from_utf8_lossy(&self.answer.body).contains(words)
    }
    fn done(self, consul: &Consul) -> Result<(), HttpError> {
        match self.answer.status {
            200..300 => Ok(()),
            _ => Err(consul.http.refusal(&self.ask, &self.answer)),
        }
    }
    fn parse<T: DeserializeOwned>(self, consul: &Consul) -> Result<T, HttpError> {
        match self.answer.status {
            200..300 => consul.http.decode(&self.ask, &self.answer.body),
            _ => Err(consul.http.refusal(&self.ask, &self.answer)),
        }
    }
}

/// Our own error, which travelled through rustify as the cause of its.
fn explain(ask: &Ask, error: ClientError) -> HttpError {
    let what = ask.what().to_string();
    match error {
        ClientError::RequestError {
            source,
            url,
            method,
        } => source
            .downcast::<HttpError>()
            .unwrap_or_else(|source| HttpError::Request {
                what,
                source: ClientError::RequestError {
                    source,
                    url,
                    method,
                },
            }),
        source => HttpError::Request { what, source },
    }
}

fn method(method: RequestMethod) -> reqwest::Method {
    match method {
        RequestMethod::PUT => reqwest::Method::PUT,
        RequestMethod::POST => reqwest::Method::POST,
        RequestMethod::DELETE => reqwest::Method::DELETE,
        _ => reqwest::Method::GET,
    }
}
