//! What is done to a fresh estate with access control before anyone else comes: policies and tokens, over its own HTTP API.

use reqwest::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The rights that foreshadow asks of any Consul: with them its scheduler has to get along here, too.
const WATCH: &str = include_str!("../../../policies/acl/consul-watch.hcl");
const ACT: &str = include_str!("../../../policies/acl/consul-act.hcl");
/// What Nomad's agents need to register their tasks' services.
const NOMAD: &str = r#"
service_prefix "" { policy = "write" }
agent_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
"#;
/// Without a token one may look names up: clients ask DNS, which carries none.
const ANYBODY: &str = r#"
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
"#;

/// The tokens of an estate with access control.
#[derive(Clone)]
pub struct Secrets {
    /// May do everything.
    pub management: String,
    /// Of the policies in `policies/acl`.
    pub scheduler: String,
    /// Of Nomad's agents.
    pub nomad: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(redacted)")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    #[error("cannot reach the sandbox's own Consul at {0}")]
    Send(SocketAddr, #[source] reqwest::Error),
    #[error("the sandbox's Consul refused {path} ({status}: {text})")]
    Refused {
        path: String,
        status: u16,
        text: String,
    },
}

/// Makes the policies of the scheduler, of Nomad and of everybody, and the tokens that have them.
///
/// # Errors
/// When the API cannot be reached or refuses.
pub async fn grant(
    client: &reqwest::Client,
    at: SocketAddr,
    management: String,
) -> Result<Secrets, GrantError> {
    let call = async |method: Method, path: &str, body: Value| {
        let request = client
            .request(method, format!("http://{at}{path}"))
            .header("X-Consul-Token", &management)
            .json(&body);
        let answer = request.send().await.map_err(|e| GrantError::Send(at, e))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(GrantError::Refused {
                path: path.into(),
                status: status.as_u16(),
                text: answer.text().await.unwrap_or_default(),
            });
        }
        answer
            .json::<Value>()
            .await
            .map_err(|e| GrantError::Send(at, e))
    };
    for (name, rules) in [
        ("foreshadow-watch", WATCH),
        ("foreshadow-act", ACT),
        ("nomad", NOMAD),
        ("anybody", ANYBODY),
    ] {
        let policy = json!({"Name": name, "Rules": rules});
        call(Method::PUT, "/v1/acl/policy", policy).await?;
    }
    let token = async |path: &str, description: &str, policies: &[&str]| {
        let policies: Vec<Value> = policies.iter().map(|p| json!({"Name": p})).collect();
        let body = json!({"Description": description, "Policies": policies});
        let made = call(Method::PUT, path, body).await?;
        Ok::<_, GrantError>(made["SecretID"].as_str().unwrap_or_default().to_owned())
    };
    let anonymous = format!("/v1/acl/token/{}", super::ANONYMOUS);
    token(&anonymous, "Anonymous Token", &["anybody"]).await?;
    let own = ["foreshadow-watch", "foreshadow-act"];
    Ok(Secrets {
        scheduler: token("/v1/acl/token", "foreshadow", &own).await?,
        nomad: token("/v1/acl/token", "Nomad's agents", &["nomad"]).await?,
        management,
    })
}
