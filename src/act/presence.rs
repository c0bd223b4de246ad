//! Foreshadow's own entry in Consul, so that others find it and see how it is.

use crate::clients::consul::{CheckDefinition, Consul, Probe, Registration};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Its service's name, and its ID at the agent.
pub const SERVICE: &str = "foreshadow";
/// After a refusal it is asked for again so much later.
const AGAIN: Duration = Duration::from_secs(30);
/// One that has been away for so long is taken out by Consul itself.
const FORGOTTEN: Duration = Duration::from_secs(3_600);

/// Registered at the agent beside it while it runs, passing while its view is fresh (`/ready` of its API).
pub struct Presence {
    pub consul: Arc<Consul>,
    pub api: SocketAddr,
    pub site: String,
}

impl Presence {
    fn registration(&self) -> Registration {
        Registration {
            id: SERVICE.into(),
            name: SERVICE.into(),
            port: self.api.port(),
            meta: BTreeMap::from([
                ("site".to_string(), self.site.clone()),
                ("version".to_string(), env!("CARGO_PKG_VERSION").to_string()),
            ]),
            passing_weight: 1,
            warning_weight: 1,
            checks: vec![CheckDefinition {
                id: String::new(),
                name: "its view is younger than three cycles".into(),
                probe: Probe::Http {
                    url: format!("http://{}/ready", self.api),
                },
                interval: Duration::from_secs(10),
                timeout: Duration::from_secs(2),
                initial: None,
                deregister_after: Some(FORGOTTEN),
            }],
            ..Registration::default()
        }
    }

    /// Registers it, and takes it out once cancelled. A refusal is said once and holds nothing up.
    pub async fn keep(self, cancel: CancellationToken) {
        let mut said = false;
        while let Err(e) = self.consul.register(&self.registration()).await {
            if !std::mem::replace(&mut said, true) {
                tracing::warn!("foreshadow is not in Consul's catalog: {e}");
            }
            if tokio::time::timeout(AGAIN, cancel.cancelled())
                .await
                .is_ok()
            {
                return;
            }
        }
        cancel.cancelled().await;
        if let Err(e) = self.consul.deregister(SERVICE).await {
            tracing::debug!("Consul takes it out by itself later: {e}");
        }
    }
}
