//! Effects on Nomad: it alone places, foreshadow asks.

use super::hands::{ClusterHands, Done, Effect, refused};
use crate::clients::http::Wait;
use crate::model::*;
use std::time::Duration;

/// Nomad is given this long to have a new job's allocation running.
const PLACING: Duration = Duration::from_secs(10);
/// One blocking query.
const LOOK: Duration = Duration::from_secs(1);

/// Plans, then registers. A placement that Nomad would refuse, or that would push others out, is news, not something to force.
pub(super) async fn start<'a>(
    hands: &ClusterHands,
    job: &JobSpec,
    wait: bool,
    applied: &(dyn Fn() -> Later<'a, ()> + Sync),
) -> Effect {
    let id = job.id();
    let there = hands
        .nomad
        .job(id.as_str(), None)
        .await
        .map_err(|e| refused(e.to_string()))?;
    if there.value.is_none_or(|j| j.spec.stopped()) {
        let plan = hands
            .nomad
            .plan(job)
            .await
            .map_err(|e| refused(e.to_string()))?;
        if let Some((group, failed)) = plan.failed.iter().next() {
            let short: Vec<&str> = failed
                .dimension_exhausted
                .keys()
                .chain(failed.constraint_filtered.keys())
                .map(String::as_str)
                .collect();
            return Err(refused(format!(
                "Nomad's plan cannot place group {group}: {}",
                short.join(", ")
            )));
        }
        if plan.preempts() > 0 {
            return Err(refused(format!(
                "it would push out {} other allocations",
                plan.preempts()
            )));
        }
        hands
            .nomad
            .register(job, None)
            .await
            .map_err(|e| refused(e.to_string()))?;
    }
    applied().await;
    if !wait {
        return Ok(Done::applied("registered"));
    }
    match tokio::time::timeout(PLACING, running(hands, &id)).await {
        Ok(node) => Ok(Done::verified(format!("running on {node}"))),
        Err(_) => Ok(Done::applied("registered, not running yet")),
    }
}

/// The node on which the job's allocation runs, once it does.
async fn running(hands: &ClusterHands, id: &JobId) -> String {
    let mut wait = None;
    loop {
        match hands.nomad.job_allocations(id.as_str(), wait).await {
            Ok(found) => {
                let up = found
                    .value
                    .iter()
                    .find(|a| a.is_live() && a.client_status == "running");
                if let Some(alloc) = up {
                    return alloc.node_name.clone();
                }
                wait = Some(Wait {
                    index: found.index.max(1),
                    longest: LOOK,
                });
            }
            // The next query waits as long as the client's own time limit; nothing spins.
            Err(e) => {
                tracing::debug!("{e}");
                tokio::task::yield_now().await;
                wait = None;
                let pause = hands.nomad.job(
                    id.as_str(),
                    Some(Wait {
                        index: u64::MAX >> 1,
                        longest: LOOK,
                    }),
                );
                let _ = pause.await;
            }
        }
    }
}

/// Deregisters and purges; a job that is gone already is as good.
pub(super) async fn stop(hands: &ClusterHands, id: &JobId) -> Effect {
    hands
        .nomad
        .deregister(id.as_str(), true)
        .await
        .map(|_| Done::applied("deregistered; Nomad ends its allocations"))
        .or_else(|e| match e {
            crate::clients::http::HttpError::NotFound { .. } => {
                Ok(Done::verified("was gone already"))
            }
            e => Err(refused(e.to_string())),
        })
}

pub(super) async fn scale(hands: &ClusterHands, job: &JobId, group: &Group, to: u64) -> Effect {
    hands
        .nomad
        .scale(job.as_str(), group.as_str(), to, "foreshadow")
        .await
        .map(|_| Done::applied(format!("count {to}")))
        .map_err(|e| refused(e.to_string()))
}
