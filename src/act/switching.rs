//! What a gateway does by itself when instances fail: the switches that were prepared and cleared for it.

use super::entries;
use super::gateway::{Force, Keeper};
use super::owners::{self, OwnerError};
use crate::model::*;
use futures::StreamExt;

/// So many services are switched at the same time …
const AT_ONCE: usize = 16;
/// … and after so many it is asked again whether a person holds all writes.
const BATCH: usize = 64;

impl Keeper {
    /// A check turned critical, or probes call somebody dead: what was prepared and cleared for that failure is done at once. When
    /// all has been well for a while, as after a cut that only this gateway saw, the target is in force again: nobody else may ever
    /// write a newer one.
    pub(super) async fn switch(&self, force: &mut Force) -> Result<(), OwnerError> {
        // A full queue means that a look is due anyway.
        let _ = self.wake.try_send(());
        self.answer(force).await
    }

    /// The same without waking anybody.
    pub(super) async fn answer(&self, force: &mut Force) -> Result<(), OwnerError> {
        let began = (self.clock)();
        if force.blind() {
            tracing::debug!(
                "gateway {}: most sites look bad at once; suspecting our eyes",
                self.desk.gateway.id
            );
            return Ok(());
        }
        for target in over(force, began) {
            if !self.held().await {
                self.take_over(force, target).await?;
            }
        }
        let mut first = Ok(());
        for batch in due(force).chunks(BATCH) {
            if self.held().await {
                break;
            }
            let made: Vec<_> = futures::stream::iter(batch.to_vec())
                .map(|(service, prepared)| self.make(force, service, prepared, began))
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            for one in made {
                match one {
                    Ok((service, domain)) => {
                        force.contingency.insert(service, domain);
                    }
                    // What fails for one service holds up no other.
                    Err(e) if first.is_ok() => first = Err(e),
                    Err(_) => {}
                }
            }
        }
        first?;
        self.keep_up(force).await
    }

    async fn make(
        &self,
        force: &Force,
        service: ServiceName,
        prepared: Contingency,
        began: Moment,
    ) -> Result<(ServiceName, Domain), OwnerError> {
        if let Some(target) = force.targets.get(&service) {
            let weights = owners::of(target.owner)
                .write(&self.desk, target, &prepared.shares)
                .await?;
            let mut report = self.applied(target, weights);
            report.contingency = Some(prepared.domain.clone());
            report.reaction = Some(report.at.since(began));
            report.suspected = force.only_suspected(target);
            self.report(&report).await?;
        }
        Ok((service, prepared.domain))
    }
}

/// Targets whose contingency has been over for a while.
fn over(force: &mut Force, now: Moment) -> Vec<Target> {
    let mut ended = Vec::new();
    for (service, target) in &force.targets {
        if !entries::is_over(target, &force.bad(target)) {
            force.calm.remove(service);
        } else if force.contingency.contains_key(service) {
            let since = *force.calm.entry(service.clone()).or_insert(now);
            if now.since(since) >= entries::CALM {
                ended.push(target.clone());
            }
        }
    }
    ended
}

/// What is prepared for those that fail now, and not yet in force.
fn due(force: &Force) -> Vec<(ServiceName, Contingency)> {
    let prepared = force.targets.values().filter_map(|target| {
        let bad = force.bad(target);
        // What was applied for is over, or is given the time to prove it.
        if entries::is_over(target, &bad) {
            return None;
        }
        let found = entries::contingency(target, &bad)?;
        let in_force = force.contingency.get(&target.service) == Some(&found.domain);
        (!in_force).then(|| (target.service.clone(), found.clone()))
    });
    prepared.collect()
}
