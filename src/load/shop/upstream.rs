//! Calls from one part of the shop to another.

use super::ShopError;
use super::config::{Route, ShopConfig, UpstreamConfig};
use crate::load::http::{HttpClient, Reply};
use crate::load::srv_client::{SrvClient, SrvConfig};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

enum Way {
    Stub(Duration),
    Fixed(Box<HttpClient>, SocketAddr),
    Service(Box<SrvClient>),
}

pub struct Upstream {
    pub name: String,
    pub hard: bool,
    way: Way,
    /// Calls by outcome: `ok` or the fault's name.
    calls: Mutex<BTreeMap<String, u64>>,
}

impl Upstream {
    /// Prepares the way; service names begin to be asked of DNS at once.
    pub async fn open(config: &UpstreamConfig, shop: &ShopConfig) -> Result<Self, ShopError> {
        let source = Some(shop.listen.ip());
        let connect = config.timeout.min(Duration::from_millis(300));
        let way = match &config.route {
            Route::Stub(takes) => Way::Stub(*takes),
            Route::Fixed(at) => {
                let unknown = |source| ShopError::UpstreamHost {
                    upstream: config.name.clone(),
                    at: at.clone(),
                    source,
                };
                let mut found = tokio::net::lookup_host(at).await.map_err(unknown)?;
                let none = || unknown(std::io::ErrorKind::NotFound.into());
                let addr = found.next().ok_or_else(none)?;
                Way::Fixed(
                    Box::new(HttpClient::new(source, connect, config.timeout)),
                    addr,
                )
            }
            Route::Service(service) => {
                let dns = shop.dns.ok_or_else(|| ShopError::NoDns {
                    upstream: config.name.clone(),
                })?;
                let srv = SrvConfig {
                    source,
                    connect_timeout: connect,
                    timeout: config.timeout,
                    seed: seed(&shop.alloc, service),
                    ..SrvConfig::new(service, dns)
                };
                let client = SrvClient::start(srv).map_err(|source| ShopError::Upstream {
                    upstream: config.name.clone(),
                    source,
                })?;
                Way::Service(Box::new(client))
            }
        };
        Ok(Self {
            name: config.name.clone(),
            hard: config.hard,
            way,
            calls: Mutex::default(),
        })
    }

    /// Waits a moment for a first answer of DNS, so that the first requests know where to go.
    pub async fn ready(&self, patience: Duration) {
        if let Way::Service(client) = &self.way {
            client.ready(patience).await;
        }
    }

    /// # Errors
    /// What went wrong, at which instance, and the reason it gave.
    pub async fn call(&self, request_id: &str) -> Result<(), String> {
        let reply = match &self.way {
            Way::Stub(takes) => {
                tokio::time::sleep(*takes).await;
                Reply::of(Ok(200))
            }
            Way::Fixed(http, addr) => http.get(*addr, "/", request_id).await,
            Way::Service(client) => client.get("/", request_id).await,
        };
        let outcome = reply.result.map_err(|fault| fault.to_string());
        let label = outcome.as_ref().err().map_or("ok", String::as_str);
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry(label.to_string()).or_default() += 1;
        drop(calls);
        outcome.map(|_| ()).map_err(|fault| {
            let at = reply.instance.map(|at| format!(" at {at}"));
            let said = reply.said.map(|said| format!(" ({said})"));
            fault + &at.unwrap_or_default() + &said.unwrap_or_default()
        })
    }

    pub fn calls(&self) -> BTreeMap<String, u64> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.clone()
    }
}

/// Each instance picks in an order of its own, and the same instance always in the same.
fn seed(alloc: &str, service: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (alloc, service).hash(&mut hasher);
    hasher.finish()
}
