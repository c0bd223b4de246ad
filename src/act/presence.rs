//! Foreshadow's own entry in Consul: others find it there and see how it is, and the leader's session hangs on it.

use crate::clients::consul::{CheckDefinition, Consul, Probe, Registration, Status};
use crate::clients::http::HttpError;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Its service's name.
pub const SERVICE: &str = "foreshadow";
/// So long after its last word Consul holds it for dead, to the second: longer than a lease, shorter than a session's TTL.
pub const LIFE: Duration = Duration::from_secs(9);
/// One that has been dead for so long is taken out by Consul itself; the shortest that it takes.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Registered at the agent beside it while it runs.
#[derive(Clone, Debug)]
pub struct Presence {
    /// Its ID at the agent. No other process may have it: that one's word would keep this one's session, its leave would end it.
    pub id: String,
    /// Who it is, in people's words.
    pub name: String,
    pub site: String,
    /// Where an agent can ask whether its view is fresh.
    pub api: Option<SocketAddr>,
}

impl Presence {
    /// The ID of the check that passes while we say so.
    pub fn life(&self) -> String {
        format!("{}:life", self.id)
    }

    /// Registers it, alive.
    pub async fn enter(&self, consul: &Consul) -> Result<(), HttpError> {
        consul.register(&self.registration()).await?;
        // A check that is there already keeps its state, which may be that of one who slept.
        self.live(consul).await
    }

    /// Says that we live.
    pub async fn live(&self, consul: &Consul) -> Result<(), HttpError> {
        consul.check_pass(&self.life()).await
    }

    /// Takes it out.
    pub async fn leave(&self, consul: &Consul) {
        if let Err(e) = consul.deregister(&self.id).await {
            tracing::debug!("Consul takes our entry out by itself later: {e}");
        }
    }

    fn registration(&self) -> Registration {
        let meta = [
            ("name", self.name.as_str()),
            ("site", &self.site),
            ("version", env!("CARGO_PKG_VERSION")),
        ];
        Registration {
            id: self.id.clone(),
            name: SERVICE.into(),
            port: self.api.map_or(0, |at| at.port()),
            meta: BTreeMap::from(meta.map(|(k, v)| (k.to_string(), v.to_string()))),
            passing_weight: 1,
            warning_weight: 1,
            checks: std::iter::once(self.lives())
                .chain(self.api.map(|at| self.sees(at)))
                .collect(),
            ..Registration::default()
        }
    }

    fn lives(&self) -> CheckDefinition {
        CheckDefinition {
            id: self.life(),
            name: "it lives".into(),
            probe: Probe::Told { ttl: LIFE },
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            initial: Some(Status::Passing),
            deregister_after: Some(FORGOTTEN),
        }
    }

    /// It never takes the entry out: the session of one that is alive, if blind, hangs on it.
    fn sees(&self, api: SocketAddr) -> CheckDefinition {
        CheckDefinition {
            id: format!("{}:view", self.id),
            name: "its view is younger than three cycles".into(),
            probe: Probe::Http {
                url: format!("http://{api}/ready"),
            },
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            initial: None,
            deregister_after: None,
        }
    }
}
