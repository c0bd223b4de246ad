//! What is done to a fresh estate before anyone else comes: tokens, and the first job.

use super::estate::Handle;
use serde_json::{Value, json};

/// The rights that foreshadow asks of any Nomad: with them its scheduler has to get along here, too.
const WATCH: &str = include_str!("../../../policies/acl/nomad-watch.hcl");
const ACT: &str = include_str!("../../../policies/acl/nomad-act.hcl");

/// The tokens of an estate with ACLs on.
#[derive(Clone)]
pub struct Secrets {
    /// May do everything.
    pub management: String,
    /// Of the policies in `policies/acl`.
    pub scheduler: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(redacted)")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("cannot reach the sandbox's own Nomad at {0}")]
    Send(std::net::SocketAddr, #[source] reqwest::Error),
    #[error("the sandbox's Nomad did not take the job ({status}: {text}): mend the job file")]
    Refused { status: u16, text: String },
}

/// Register a job with the management token, where there is one.
///
/// # Errors
/// When the API cannot be reached or refuses the job.
pub async fn register(
    client: &reqwest::Client,
    estate: &Handle,
    job: &Value,
) -> Result<(), RegisterError> {
    let address = estate.address();
    let mut request = client.post(format!("http://{address}/v1/jobs"));
    if let Some(secrets) = estate.secrets() {
        request = request.header("X-Nomad-Token", secrets.management);
    }
    let answer = request.json(&json!({ "Job": job })).send().await;
    let answer = answer.map_err(|e| RegisterError::Send(address, e))?;
    if answer.status().is_success() {
        return Ok(());
    }
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap_or_default();
    Err(RegisterError::Refused { status, text })
}

/// Bootstrap an estate with ACLs on, and make the scheduler's policies and token; nothing if someone else has.
pub(super) fn bootstrap(s: &mut super::state::State) -> Option<Secrets> {
    let (index, now) = (s.index + 1, super::state::now());
    let ids: Vec<String> = (0..4).map(|_| s.uuid()).collect();
    let [first, management, second, scheduler] = <[String; 4]>::try_from(ids).ok()?;
    let acl = s.acl.as_mut().filter(|acl| acl.bootstrapped.is_none())?;
    let all = json!({"Name": "Bootstrap Token", "Type": "management", "Global": true});
    let policies = [("foreshadow-watch", WATCH), ("foreshadow-act", ACT)];
    let own = json!({"Name": "foreshadow", "Type": "client", "Policies": policies.map(|p| p.0)});
    acl.bootstrapped = Some(index);
    acl.put_token(&all, index, (first, management.clone(), now))
        .ok()?;
    for (name, rules) in policies {
        acl.put_policy(&json!({"Name": name, "Rules": rules}), index)
            .ok()?;
    }
    acl.put_token(&own, index, (second, scheduler.clone(), now))
        .ok()?;
    s.index = index;
    Some(Secrets {
        management,
        scheduler,
    })
}
