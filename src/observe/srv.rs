//! SRV answers as clients at a gateway get them. DNS has no watch: it is asked again when the entries behind it changed, and from
//! time to time.

use super::watch::Watch;
use crate::clients::dns::Dns;
use crate::model::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Between two questions while nothing changed, where there are few services …
const EVERY: Duration = Duration::from_secs(1);
/// … and so many questions a second at most about all that there are.
const A_SECOND: usize = 64;
/// A look waits this long for the first answer.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The latest answer for one service at one gateway.
pub struct Sample {
    last: watch::Receiver<Option<Seen<SharedList<SrvSeen>>>>,
    task: JoinHandle<()>,
}

impl Drop for Sample {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sample {
    /// Begins at once, on the current tokio runtime.
    pub fn start(
        dns: Arc<Dns>,
        service: ServiceName,
        entries: Arc<Watch<Vec<FrontEntry>>>,
        services: usize,
        clock: fn() -> Moment,
    ) -> Sample {
        let every = EVERY.max(Duration::from_secs((services / A_SECOND) as u64));
        let (tell, last) = watch::channel(None);
        let task = tokio::spawn(async move {
            while !tell.is_closed() {
                tell.send_replace(Some(ask(&dns, &service, clock).await));
                entries.moved(every).await;
            }
        });
        Sample { last, task }
    }

    pub async fn seen(&self) -> Seen<SharedList<SrvSeen>> {
        let mut last = self.last.clone();
        // Not in time is an answer too.
        let _ = tokio::time::timeout(PATIENCE, last.wait_for(Option::is_some)).await;
        let seen = self.last.borrow().clone();
        seen.unwrap_or_else(|| Seen::unknown("no SRV answer yet"))
    }
}

async fn ask(dns: &Dns, service: &ServiceName, clock: fn() -> Moment) -> Seen<SharedList<SrvSeen>> {
    match dns.srv(&format!("{service}.service.consul.")).await {
        Err(e) => Seen::unknown(e.to_string()),
        Ok(records) => Seen::known(
            records
                .into_iter()
                .map(|r| SrvSeen {
                    address: r.ip.map(|ip| ip.to_string()).unwrap_or(r.target),
                    port: r.port,
                    weight: u32::from(r.weight),
                })
                .collect(),
            clock(),
        ),
    }
}
