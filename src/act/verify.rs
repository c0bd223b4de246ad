//! Is it so where clients look? Gateways' reports, then SRV answers; by waking on changes, not by sleeping.

use super::hands::ClusterHands;
use super::owners;
use super::split;
use crate::clients::consul::HealthQuery;
use crate::clients::dns::SrvRecord;
use crate::clients::gateway::Gateway;
use crate::clients::http::Wait;
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Gateways are given this long to apply and clients' DNS to show it.
const PATIENCE: Duration = Duration::from_secs(4);
/// A job's new version goes through an evaluation and its clients.
const PATIENCE_WITH_NOMAD: Duration = Duration::from_secs(12);
const LOOK: Duration = Duration::from_millis(250);
/// An instance's part of the SRV weights may differ from its share by this much (integer weights, rounding).
const ALIKE: f64 = 0.03;

/// A sentence on what was seen, or what is missing. Where `clients` is set, enough of them resolve the service that the split of
/// their choices can be tested.
pub(super) async fn verify(
    hands: &ClusterHands,
    target: &Target,
    clients: bool,
) -> Result<String, String> {
    let patience = match target.owner {
        Owner::Nomad => PATIENCE_WITH_NOMAD,
        _ => PATIENCE,
    };
    let confirmed = tokio::time::timeout(patience, confirmed(hands, target))
        .await
        .map_err(|_| format!("not every gateway has applied it within {patience:?}"))?;
    if confirmed.is_empty() {
        return Err("no gateway has confirmed it".into());
    }
    let mut seen = Vec::new();
    let owner = owners::of(target.owner);
    let place = match target.owner {
        Owner::Mesh => "the splitter",
        _ => "SRV",
    };
    for desk in &hands.desks {
        let id = &desk.gateway.id;
        if !confirmed.contains(id) {
            continue;
        }
        match tokio::time::timeout(patience, owner.verify(desk, target)).await {
            Ok(()) => {
                let told = match target.owner {
                    Owner::Mesh => None,
                    _ if clients => {
                        let counted = split::realised(&desk.gateway, target);
                        let counted = tokio::time::timeout(patience, counted).await;
                        counted.map_err(|_| {
                            format!("DNS at {id} did not answer enough clients within {patience:?}")
                        })??
                    }
                    _ => None,
                };
                seen.push(told.map_or(id.to_string(), |told| format!("{id} ({told})")));
            }
            Err(_) => {
                return Err(format!(
                    "{place} at {id} does not show it after {patience:?}"
                ));
            }
        }
    }
    let seen = seen.join(", ");
    Ok(if target.instances.iter().all(|i| i.share == Share::NONE) {
        format!("entries stand at {seen}; nothing serves yet")
    } else {
        format!("applied and seen in {place} at {seen}")
    })
}

/// The gateways that have reported this target, or a newer one. Those that do not report and do not answer either are cut
/// off, and are excused.
async fn confirmed(hands: &ClusterHands, target: &Target) -> BTreeSet<GatewayId> {
    let asked = hands.desks.iter().map(|desk| async {
        let told = reported(hands, &desk.gateway, target).await;
        told.then(|| desk.gateway.id.clone())
    });
    let told = futures::future::join_all(asked).await;
    told.into_iter().flatten().collect()
}

/// Waits for the gateway's word on this target; false where it is cut off. Only its own key is watched: what other services
/// do wakes nobody here.
async fn reported(hands: &ClusterHands, gateway: &Gateway, target: &Target) -> bool {
    let key = keys::applied(&gateway.id, &target.service);
    let dc = hands.kv_datacenter.as_deref();
    let mut wait: Option<Wait> = None;
    loop {
        match hands.consul.kv_get(&key, dc, false, wait).await {
            Ok(found) => {
                let told = found.value.as_ref();
                let told = told.and_then(|p| serde_json::from_slice::<Applied>(&p.value).ok());
                let newer = |a: &Applied| (a.epoch, a.index) >= (target.epoch, target.index);
                if told.as_ref().is_some_and(newer) {
                    return true;
                }
                // Asked only after one wait without news: most of the time it is merely not done yet.
                if wait.is_some() && cut_off(gateway, target).await {
                    return false;
                }
                wait = Some(Wait {
                    index: found.index.max(1),
                    longest: LOOK,
                });
            }
            Err(e) => {
                tracing::debug!("{e}");
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Whether the gateway does not answer.
async fn cut_off(gateway: &Gateway, target: &Target) -> bool {
    let health = gateway
        .consul
        .health_service(target.service.as_str(), HealthQuery::default());
    !matches!(tokio::time::timeout(LOOK * 2, health).await, Ok(Ok(_)))
}

/// Waits until the gateway's DNS gives the shares of the target, and its health API says the same.
pub(super) async fn shown(gateway: &Gateway, target: &Target) {
    let Some(dns) = &gateway.dns else {
        return;
    };
    let name = format!("{}.service.consul.", target.service);
    let mut wait = None;
    loop {
        if let Ok(records) = dns.srv(&name).await
            && alike(&given(&records), target)
            && healthy(gateway, target).await
        {
            return;
        }
        let query = HealthQuery {
            wait,
            ..HealthQuery::default()
        };
        match gateway
            .consul
            .health_service(target.service.as_str(), query)
            .await
        {
            Ok(found) => {
                wait = Some(Wait {
                    index: found.index.max(1),
                    longest: LOOK,
                });
            }
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Weights by address and port.
pub(super) type Given = BTreeMap<(String, u16), f64>;

pub(super) fn given(records: &[SrvRecord]) -> Given {
    let mut weight = Given::new();
    for r in records {
        let address = r.ip.map(|ip| ip.to_string()).unwrap_or_default();
        *weight.entry((address, r.port)).or_default() += f64::from(r.weight);
    }
    weight
}

/// Whether the instances that the health API calls passing have the weights of the target.
async fn healthy(gateway: &Gateway, target: &Target) -> bool {
    let query = HealthQuery {
        passing: true,
        ..HealthQuery::default()
    };
    let name = target.service.as_str();
    let Ok(found) = gateway.consul.health_service(name, query).await else {
        return false;
    };
    let mut weight = Given::new();
    for entry in &found.value {
        let at = (entry.address().to_string(), entry.service.port);
        *weight.entry(at).or_default() += f64::from(entry.service.weights.passing);
    }
    alike(&weight, target)
}

/// Only instances with a share are given, and those that are, in proportion. One that is missing has a failing check:
/// the loop will see that for itself.
fn alike(weight: &Given, target: &Target) -> bool {
    let total: f64 = weight.values().sum();
    let given: Vec<(&Instance, f64)> = target
        .instances
        .iter()
        .filter_map(|i| Some((i, *weight.get(&(i.address.to_string(), i.port))?)))
        .collect();
    let wanted: f64 = given.iter().map(|(i, _)| i.share.fraction()).sum();
    if target.instances.iter().all(|i| i.share == Share::NONE) {
        return weight.is_empty();
    }
    given.len() == weight.len()
        && wanted > 0.0
        && given.iter().all(|(i, w)| {
            i.share > Share::NONE && (i.share.fraction() / wanted - w / total).abs() <= ALIKE
        })
}
