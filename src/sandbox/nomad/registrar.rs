//! Registers services with the nodes' Consul agents over HTTP, embedded or real.

use super::runtime::{CheckKind, CheckReg, Registrar, ServiceReg};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two tries at an agent that is away or busy.
const RETRY: Duration = Duration::from_millis(250);

pub struct HttpRegistrar {
    client: reqwest::Client,
    /// Node name → base URL of its agent, such as `http://127.0.10.250:8500`.
    agents: BTreeMap<String, String>,
    /// The token of Nomad's own agents, where Consul wants one.
    token: Option<String>,
}

impl HttpRegistrar {
    /// `client` needs a request timeout, or a hanging agent is waited for for ever.
    pub fn new(client: reqwest::Client, agents: BTreeMap<String, String>) -> HttpRegistrar {
        HttpRegistrar {
            client,
            agents,
            token: None,
        }
    }

    /// The agents that the nodes of an estate name, and the token for them.
    pub fn for_nodes<'a>(
        client: reqwest::Client,
        nodes: impl IntoIterator<Item = &'a super::NodeConfig>,
        token: Option<&str>,
    ) -> HttpRegistrar {
        let agents = nodes
            .into_iter()
            .filter_map(|n| Some((n.name.clone(), n.consul.clone()?)))
            .collect();
        HttpRegistrar {
            token: token.map(String::from),
            ..Self::new(client, agents)
        }
    }

    fn with_token(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) => request.header("X-Consul-Token", token),
            None => request,
        }
    }

    fn url(&self, node: &str, path: &str) -> Option<String> {
        let base = self.agents.get(node)?;
        Some(format!("{}{path}", base.trim_end_matches('/')))
    }

    /// PUT until the agent has taken it; an answer that no retry will change ends it too.
    async fn put(&self, url: &str, body: Option<&Value>) {
        loop {
            let request = self.with_token(self.client.put(url));
            let request = if let Some(body) = body {
                request.json(body)
            } else {
                request
            };
            match request.send().await {
                Ok(answer) if answer.status().is_success() || answer.status() == 404 => return,
                Ok(answer) if answer.status().is_client_error() && answer.status() != 429 => {
                    let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
                    tracing::warn!(%status, url, text, "Consul's agent refuses a registration of a task's service");
                    return;
                }
                Ok(_) | Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }
}

#[async_trait]
impl Registrar for HttpRegistrar {
    async fn register(&self, node: &str, services: Vec<ServiceReg>) {
        let Some(url) = self.url(node, "/v1/agent/service/register") else {
            return;
        };
        for service in services {
            self.put(&url, Some(&registration(&service))).await;
        }
    }

    async fn deregister(&self, node: &str, ids: Vec<String>) {
        for id in ids {
            let Some(url) = self.url(node, &format!("/v1/agent/service/deregister/{id}")) else {
                return;
            };
            self.put(&url, None).await;
        }
    }

    async fn compare(&self, node: &str, services: Vec<ServiceReg>) {
        let Some(url) = self.url(node, "/v1/agent/services") else {
            return;
        };
        // An agent that is away is compared with the next time.
        let Ok(answer) = self.with_token(self.client.get(&url)).send().await else {
            return;
        };
        let Ok(there) = answer.json::<BTreeMap<String, Value>>().await else {
            return;
        };
        let other = services
            .into_iter()
            .filter(|s| there.get(&s.id).is_none_or(|t| differs(s, t)));
        self.register(node, other.collect()).await;
    }

    async fn passing(&self, node: &str, ids: &[String]) -> bool {
        let Some(url) = self.url(node, "/v1/agent/checks") else {
            return true;
        };
        let Ok(answer) = self.with_token(self.client.get(&url)).send().await else {
            return false;
        };
        let Ok(checks) = answer.json::<BTreeMap<String, Value>>().await else {
            return false;
        };
        ids.iter().all(|id| {
            let mut own = checks
                .values()
                .filter(|c| c["ServiceID"] == id.as_str())
                .peekable();
            own.peek().is_some() && own.all(|c| c["Status"] == "passing")
        })
    }
}

/// What Nomad's `agentServiceUpdateRequired` looks at in a periodic comparison, weights since 1.9.2; tags are left to whoever
/// may override them.
fn differs(wanted: &ServiceReg, there: &Value) -> bool {
    let texts = |v: &Value| -> Vec<String> {
        let list = v.as_array().into_iter().flatten();
        list.filter_map(|t| t.as_str().map(String::from)).collect()
    };
    let meta: BTreeMap<String, String> =
        serde_json::from_value(there["Meta"].clone()).unwrap_or_default();
    let weights = wanted.weights.is_some_and(|(passing, warning)| {
        (there["Weights"]["Passing"] != passing) || (there["Weights"]["Warning"] != warning)
    });
    there["Service"] != wanted.name.as_str()
        || there["Address"] != wanted.address.as_str()
        || there["Port"] != wanted.port
        || meta != wanted.meta
        || (!wanted.enable_tag_override && texts(&there["Tags"]) != wanted.tags)
        || weights
}

/// The body of `PUT /v1/agent/service/register`.
fn registration(service: &ServiceReg) -> Value {
    let mut body = json!({"ID": service.id, "Name": service.name, "Address": service.address, "Port": service.port, "Tags": service.tags,
        "Meta": service.meta, "EnableTagOverride": service.enable_tag_override, "Checks": service.checks.iter().map(check).collect::<Vec<_>>()});
    if let Some((passing, warning)) = service.weights {
        body["Weights"] = json!({"Passing": passing, "Warning": warning});
    }
    body
}

fn check(check: &CheckReg) -> Value {
    let millis = |d: Duration| format!("{}ms", d.as_millis());
    let mut body = json!({"CheckID": check.id, "Name": check.name, "Interval": millis(check.interval), "Timeout": millis(check.timeout)});
    match &check.kind {
        CheckKind::Http { url, method } => {
            body["HTTP"] = url.as_str().into();
            body["Method"] = method.as_str().into();
        }
        CheckKind::Tcp { address } => body["TCP"] = address.as_str().into(),
    }
    if !check.initial_status.is_empty() {
        body["Status"] = check.initial_status.as_str().into();
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    fn client() -> reqwest::Client {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::new()
    }

    #[tokio::test]
    async fn an_agent_that_is_busy_gets_the_registration_later() {
        let server = MockServer::start().await;
        Mock::given(method("PUT"))
            .and(path("/v1/agent/service/register"))
            .respond_with(ResponseTemplate::new(500))
            .up_to_n_times(1)
            .mount(&server)
            .await;
        Mock::given(method("PUT"))
            .and(path("/v1/agent/service/register"))
            .respond_with(ResponseTemplate::new(200))
            .expect(1)
            .mount(&server)
            .await;
        let registrar = HttpRegistrar::new(client(), [("n1".to_string(), server.uri())].into());
        let service = ServiceReg {
            id: "_nomad-task-a-group-web-shop-http".into(),
            name: "shop".into(),
            address: "127.0.10.1".into(),
            port: 20_001,
            tags: vec!["v1".into()],
            meta: BTreeMap::new(),
            enable_tag_override: false,
            weights: None,
            checks: vec![CheckReg {
                id: "_nomad-check-1".into(),
                name: "alive".into(),
                kind: CheckKind::Tcp {
                    address: "127.0.10.1:20001".into(),
                },
                interval: Duration::from_secs(1),
                timeout: Duration::from_millis(500),
                initial_status: String::new(),
            }],
        };
        registrar.register("n1", vec![service]).await;
        let last = server
            .received_requests()
            .await
            .expect("recorded")
            .pop()
            .expect("a request");
        let body: Value = serde_json::from_slice(&last.body).expect("JSON");
        assert_eq!(
            (
                &body["Port"],
                &body["Checks"][0]["TCP"],
                &body["Checks"][0]["Interval"]
            ),
            (&json!(20001), &json!("127.0.10.1:20001"), &json!("1000ms"))
        );
    }
}
