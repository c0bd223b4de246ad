//! Calls that consulrs lacks, or whose replies need more than it gives: health, transactions, prefix watches, agent, coordinates.

use super::Consul;
use super::reply::{
    Agent, AgentEntry, AgentService, Allowed, Check, DatacenterCoordinates, KvPair, Member,
    NodeCoordinate, ServiceEntry,
};
use super::txn::{self, TxnOp, TxnOutcome};
use crate::clients::http::{Ask, Digest, HttpError, Indexed, Wait};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Rights that Consul tells of at once.
const MOST_RIGHTS: usize = 64;

/// How to ask for a service's instances.
#[derive(Clone, Copy, Debug, Default)]
pub struct HealthQuery<'a> {
    pub dc: Option<&'a str>,
    /// Only instances that clients are given: every check passes, and no maintenance.
    pub passing: bool,
    /// Have the leader make sure that it still leads; not to be used for waiting.
    pub consistent: bool,
    pub wait: Option<Wait>,
}

/// How to ask for the keys under a prefix.
#[derive(Clone, Copy, Debug, Default)]
pub struct KvQuery<'a> {
    pub dc: Option<&'a str>,
    pub consistent: bool,
    pub wait: Option<Wait>,
}

impl Consul {
    /// A service's instances with node and checks. Unknown to Consul is an empty list. `GET /v1/health/service/:name`
    pub async fn health_service(
        &self,
        name: &str,
        query: HealthQuery<'_>,
    ) -> Result<Indexed<Vec<ServiceEntry>>, HttpError> {
        let what = format!("read the health of service {name:?}");
        let ask = self
            .with_dc(Ask::get(what, &["v1", "health", "service", name]), query.dc)
            .query_if("passing", query.passing.then_some("true"))
            .query_if("consistent", query.consistent.then_some(""));
        self.http.read_indexed(ask, query.wait).await
    }

    /// Checks in one state (`passing`, `warning`, `critical` or `any`) over the whole datacenter. `GET /v1/health/state/:state`
    pub async fn checks_in_state(
        &self,
        state: &str,
        dc: Option<&str>,
        wait: Option<Wait>,
    ) -> Result<Indexed<Vec<Check>>, HttpError> {
        let what = format!("list Consul's {state} checks");
        let ask = self.with_dc(Ask::get(what, &["v1", "health", "state", state]), dc);
        self.http.read_indexed(ask, wait).await
    }

    /// The agent that answers: name, datacenter, version. `GET /v1/agent/self` (ACL: agent:read)
    pub async fn agent_self(&self) -> Result<Agent, HttpError> {
        let ask = Ask::get("read Consul's version", &["v1", "agent", "self"]);
        self.http.read(&ask).await
    }

    /// This agent's services by ID, also those that Nomad registered. `GET /v1/agent/services`
    pub async fn agent_services(&self) -> Result<BTreeMap<String, AgentService>, HttpError> {
        let ask = Ask::get("list the agent's services", &["v1", "agent", "services"]);
        self.http.read(&ask).await
    }

    /// This agent's entries of one service, each with its checks, maintenance among them. It costs the agent the same however many
    /// entries of other services it has, which is not so of filtered lists. `GET /v1/agent/health/service/name/:name`
    pub async fn agent_entries(&self, service: &str) -> Result<Vec<AgentEntry>, HttpError> {
        let what = format!("list the agent's entries of {service:?}");
        let path = ["v1", "agent", "health", "service", "name", service];
        // The status is that of the worst check, and 404 where there is no entry.
        let ask = Ask::get(what, &path).status_tells();
        let answer = self.http.exchange(&ask).await?;
        let entries = self.http.decode(&ask, &answer.body);
        match answer.status {
            200 => entries,
            // An agent that is too busy, or a proxy before it, says so in words.
            404 | 429 | 503 => entries.map_err(|_| self.http.refusal(&ask, &answer)),
            _ => Err(self.http.refusal(&ask, &answer)),
        }
    }

    /// This agent's checks by ID, maintenance among them. `GET /v1/agent/checks`
    pub async fn agent_checks(&self) -> Result<BTreeMap<String, Check>, HttpError> {
        let ask = Ask::get("list the agent's checks", &["v1", "agent", "checks"]);
        self.http.read(&ask).await
    }

    /// Gossip members of this datacenter, or with `wan` the servers of all. `GET /v1/agent/members`
    pub async fn members(&self, wan: bool) -> Result<Vec<Member>, HttpError> {
        let ask = Ask::get("list Consul's members", &["v1", "agent", "members"])
            .query_if("wan", wan.then_some("1"));
        self.http.read(&ask).await
    }

    /// Whether the token may do each of these, resource, access and name: all of them where Consul has no access control.
    /// `POST /v1/internal/acl/authorize`, which Consul's own web page asks.
    pub async fn allowed(
        &self,
        wanted: &[(&str, &str, &str)],
        dc: Option<&str>,
    ) -> Result<Vec<bool>, HttpError> {
        let path = ["v1", "internal", "acl", "authorize"];
        let mut all = Vec::new();
        for some in wanted.chunks(MOST_RIGHTS) {
            let asked = some.iter().map(|(resource, access, name)| {
                json!({"Resource": resource, "Access": access, "Segment": name})
            });
            let ask = Ask::post("ask what the token may do", &path).json(&asked.collect());
            match self.http.read::<Vec<Allowed>>(&self.with_dc(ask, dc)).await {
                Ok(found) => all.extend(found.iter().map(|a| a.allow)),
                Err(HttpError::Denied { body, .. }) if body.contains("ACL support disabled") => {
                    return Ok(vec![true; wanted.len()]);
                }
                Err(e) => return Err(e),
            }
        }
        Ok(all)
    }

    /// The leader's RPC address; empty while there is none. `GET /v1/status/leader`
    pub async fn leader(&self, dc: Option<&str>) -> Result<String, HttpError> {
        let ask = Ask::get("ask who leads Consul", &["v1", "status", "leader"]);
        self.http.read(&self.with_dc(ask, dc)).await
    }

    /// Network coordinates of a datacenter's nodes. `GET /v1/coordinate/nodes`
    pub async fn coordinate_nodes(
        &self,
        dc: Option<&str>,
        wait: Option<Wait>,
    ) -> Result<Indexed<Vec<NodeCoordinate>>, HttpError> {
        let ask = Ask::get(
            "read the nodes' coordinates",
            &["v1", "coordinate", "nodes"],
        );
        let found: Indexed<Option<Vec<NodeCoordinate>>> =
            self.http.read_indexed(self.with_dc(ask, dc), wait).await?;
        Ok(found.map(Option::unwrap_or_default))
    }

    /// WAN coordinates of the servers of all datacenters. `GET /v1/coordinate/datacenters`
    pub async fn coordinate_datacenters(&self) -> Result<Vec<DatacenterCoordinates>, HttpError> {
        let path = ["v1", "coordinate", "datacenters"];
        let ask = Ask::get("read the datacenters' coordinates", &path);
        let found: Option<Vec<DatacenterCoordinates>> = self.http.read(&ask).await?;
        Ok(found.unwrap_or_default())
    }

    /// All keys that begin with `prefix`; none is an empty list, with an index to wait from. `GET /v1/kv/:prefix?recurse`
    pub async fn kv_list(
        &self,
        prefix: &str,
        query: KvQuery<'_>,
    ) -> Result<Indexed<Vec<KvPair>>, HttpError> {
        let ask = self.under(prefix, &query);
        match self.http.read_indexed(ask, query.wait).await {
            Err(HttpError::NotFound {
                index: Some(index), ..
            }) => Ok(Indexed::new(Vec::new(), Some(index), query.wait)),
            other => other,
        }
    }

    /// The same, unless all of it is as it was when it had this digest: then there is no list.
    pub async fn kv_news(
        &self,
        prefix: &str,
        query: KvQuery<'_>,
        last: Option<Digest>,
    ) -> Result<Indexed<Option<(Vec<KvPair>, Digest)>>, HttpError> {
        let ask = self.under(prefix, &query);
        match self.http.read_news(ask, query.wait, last).await {
            Err(HttpError::NotFound {
                index: Some(index), ..
            }) => {
                let none = (Vec::new(), Digest::default());
                Ok(Indexed::new(Some(none), Some(index), query.wait))
            }
            other => other,
        }
    }

    fn under(&self, prefix: &str, query: &KvQuery<'_>) -> Ask {
        let path: Vec<&str> = ["v1", "kv"].into_iter().chain(prefix.split('/')).collect();
        let ask = Ask::get(format!("read the keys under {prefix:?}"), &path);
        self.with_dc(ask, query.dc)
            .query("recurse", "")
            .query_if("consistent", query.consistent.then_some(""))
    }

    /// Takes an entry of the catalog out of what clients are given, as an agent does for its own: by a check that is always
    /// critical. For nodes without an agent. `PUT /v1/catalog/register`, `PUT /v1/catalog/deregister`
    pub async fn catalog_maintenance(
        &self,
        node: &str,
        address: &str,
        service: &str,
        on: bool,
    ) -> Result<(), HttpError> {
        let mode = if on { "on" } else { "off" };
        let what = format!("turn maintenance of service {service:?} of node {node:?} {mode}");
        let id = format!("_service_maintenance:{service}");
        let (path, mut body) = if on {
            let check = json!({"Node": node, "CheckID": id, "ServiceID": service, "Status": "critical",
                "Name": "Service Maintenance Mode", "Notes": "foreshadow: share 0"});
            let body =
                json!({"Node": node, "Address": address, "SkipNodeUpdate": true, "Check": check});
            ("register", body)
        } else {
            ("deregister", json!({"Node": node, "CheckID": id}))
        };
        if let Some(dc) = &self.dc {
            body["Datacenter"] = json!(dc);
        }
        let ask = Ask::put(what, &["v1", "catalog", path]).json(&body);
        self.http.send(&ask).await.map(drop)
    }

    /// All of the operations or none of them. A refusal (409) is an outcome, not an error. `PUT /v1/txn`
    pub async fn txn(&self, ops: &[TxnOp], dc: Option<&str>) -> Result<TxnOutcome, HttpError> {
        let what = format!("write {} keys in one transaction", ops.len());
        if ops.is_empty() || ops.len() > txn::MOST_OPS {
            return Err(HttpError::Invalid {
                what,
                why: format!("Consul takes 1 to {} operations at once", txn::MOST_OPS),
            });
        }
        let body = Value::Array(ops.iter().map(TxnOp::json).collect());
        let ask = self.with_dc(Ask::put(what, &["v1", "txn"]), dc).json(&body);
        let answer = self.http.exchange(&ask).await?;
        match answer.status {
            200 | 409 => Ok(self
                .http
                .decode::<txn::Reply>(&ask, &answer.body)?
                .outcome()),
            _ => Err(self.http.refusal(&ask, &answer)),
        }
    }
}
