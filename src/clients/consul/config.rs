//! Consul's configuration entries, and what they make of a service in the mesh. consulrs has none of these calls.

use super::Consul;
use crate::clients::http::{Ask, HttpError, Indexed, Wait};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A configuration entry as Consul keeps it, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigEntry(pub Value);

impl ConfigEntry {
    /// For compare-and-set.
    pub fn modify_index(&self) -> u64 {
        self.0["ModifyIndex"].as_u64().unwrap_or(0)
    }
    pub fn meta(&self, key: &str) -> Option<&str> {
        self.0.get("Meta")?.get(key)?.as_str()
    }
}

/// What all entries together make of a service, as its proxies get it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DiscoveryChain {
    pub service_name: String,
    pub datacenter: String,
    /// `tcp`, `http`, `http2` or `grpc`.
    pub protocol: String,
    pub start_node: String,
    pub nodes: Map<String, Value>,
    pub targets: Map<String, Value>,
}

impl Consul {
    /// One entry; `None` when there is none. `GET /v1/config/:kind/:name`
    pub async fn config_entry(
        &self,
        kind: &str,
        name: &str,
        wait: Option<Wait>,
    ) -> Result<Indexed<Option<ConfigEntry>>, HttpError> {
        let what = format!("read Consul's {kind} {name:?}");
        let ask = self.with_dc(Ask::get(what, &["v1", "config", kind, name]), None);
        match self.http.read_indexed::<Value>(ask, wait).await {
            Ok(found) => Ok(found.map(|v| Some(ConfigEntry(v)))),
            Err(HttpError::NotFound {
                index: Some(index), ..
            }) => Ok(Indexed::new(None, Some(index), wait)),
            Err(e) => Err(e),
        }
    }

    /// Writes an entry if its ModifyIndex still is `index` (0: if there is none). `Ok(false)`: it is not.
    /// They are not part of transactions. `PUT /v1/config?cas=` (ACL: service:write of its name)
    pub async fn config_cas(&self, entry: &Value, index: u64) -> Result<bool, HttpError> {
        let what = format!("write Consul's {} {}", entry["Kind"], entry["Name"]);
        let ask = Ask::put(what, &["v1", "config"]).query("cas", index);
        self.http.read(&self.with_dc(ask, None).json(entry)).await
    }

    /// Removes an entry; one that is not there is no error. `DELETE /v1/config/:kind/:name`
    pub async fn config_delete(&self, kind: &str, name: &str) -> Result<(), HttpError> {
        let what = format!("remove Consul's {kind} {name:?}");
        let ask = Ask::delete(what, &["v1", "config", kind, name]);
        self.http.send(&self.with_dc(ask, None)).await.map(drop)
    }

    /// The compiled chain of a service. `GET /v1/discovery-chain/:service`
    pub async fn discovery_chain(&self, service: &str) -> Result<DiscoveryChain, HttpError> {
        #[derive(Deserialize)]
        struct Reply {
            #[serde(rename = "Chain")]
            chain: DiscoveryChain,
        }
        let what = format!("read the discovery chain of {service:?}");
        let ask = Ask::get(what, &["v1", "discovery-chain", service]);
        let reply: Reply = self.http.read(&self.with_dc(ask, None)).await?;
        Ok(reply.chain)
    }

    /// Whether the mesh is on: its roots can be read. `GET /v1/agent/connect/ca/roots`
    pub async fn has_mesh(&self) -> Result<bool, HttpError> {
        let path = ["v1", "agent", "connect", "ca", "roots"];
        let ask = Ask::get("read the mesh's certificate roots", &path);
        match self.http.read::<Value>(&ask).await {
            Ok(roots) => Ok(roots["Roots"].as_array().is_some_and(|r| !r.is_empty())),
            // With Connect off Consul says so with an error of its own.
            Err(HttpError::Status { .. } | HttpError::NotFound { .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }
}
