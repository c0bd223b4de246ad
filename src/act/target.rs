//! The write of a target: fenced by session, epoch and index, then verified where clients see it.

use super::hands::{ClusterHands, Done, Effect, refused};
use super::verify;
use crate::clients::consul::{TxnOp, TxnOutcome};
use crate::guard::Lease;
use crate::model::*;

/// One transaction: only while our session holds the lock, and only over what we read. An old leader cannot write it.
pub(super) async fn set<'a>(
    hands: &ClusterHands,
    target: &Target,
    planned: bool,
    lease: &Lease,
    applied: &(dyn Fn() -> Later<'a, ()> + Sync),
) -> Effect {
    if target.epoch != lease.epoch() {
        return Err(refused("the target was planned under another epoch"));
    }
    let Some(session) = hands.session(lease) else {
        return Err(refused("the lock is no longer ours"));
    };
    let value = serde_json::to_vec(target).map_err(|e| refused(e.to_string()))?;
    let key = keys::target(&target.service);
    let dc = hands.kv_datacenter.as_deref();
    let ops = [
        TxnOp::CheckSession {
            key: keys::LEADER.into(),
            session,
        },
        TxnOp::Cas {
            key: key.clone(),
            value,
            index: target.index,
        },
    ];
    let index = match hands.consul.txn(&ops, dc).await {
        Ok(TxnOutcome::Done(pairs)) => pairs
            .iter()
            .find(|p| p.key == key)
            .map_or(0, |p| p.modify_index),
        Ok(TxnOutcome::Refused(why)) => {
            let why: Vec<String> = why.into_iter().map(|r| r.what).collect();
            return Err(refused(format!(
                "Consul refused the write: {}",
                why.join("; ")
            )));
        }
        // The answer was lost, not necessarily the write: the next look tells.
        Err(e) => return Err(Verdict::Unsure { why: e.to_string() }),
    };
    applied().await;
    let written = Target {
        index,
        ..target.clone()
    };
    // A step of a ramp is counted out, an emergency has no time for that.
    match verify::verify(hands, &written, planned).await {
        Ok(note) => Ok(Done::verified(note)),
        Err(why) => Err(Verdict::Unsure { why }),
    }
}
