//! `mesh`: a `service-splitter` over one subset for each instance, and the `service-resolver` that knows the subsets.
//! In Consul's mesh the weights of entries do nothing.

use super::{Case, Desk, Finding, OwnerError, Shares, Weigh, refused, serves_somewhere};
use crate::clients::consul::{ConfigEntry, Consul};
use crate::clients::http::{HttpError, Wait};
use crate::model::*;
use async_trait::async_trait;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SPLITTER: &str = "service-splitter";
const RESOLVER: &str = "service-resolver";
/// Entries are not part of transactions: each carries in its `Meta` what wrote it.
const META_EPOCH: &str = "foreshadow_epoch";
const META_INDEX: &str = "foreshadow_index";
const META_PLAN: &str = "foreshadow_plan";
/// Writes that another gateway got ahead of.
const TRIES: usize = 4;
/// One blocking query.
const LOOK: Duration = Duration::from_millis(500);
/// The subset of all instances: a failover that names only the service stays in the subset that failed.
const EVERYONE: &str = "everyone";
/// Protocols that can be split.
const SPLITTABLE: [&str; 3] = ["http", "http2", "grpc"];

pub(super) struct Mesh;

#[async_trait]
impl Weigh for Mesh {
    async fn preflight(&self, desk: &Desk, case: &Case<'_>) -> Result<Vec<Finding>, HttpError> {
        let (consul, service) = (&desk.gateway.consul, case.service);
        if !consul.has_mesh().await? {
            return Ok(vec![Finding::bad(
                "Consul's mesh is off; set connect { enabled = true } on its servers, or owner = \"front\"",
            )]);
        }
        let protocol = consul.discovery_chain(service.as_str()).await?.protocol;
        let mut found = vec![match SPLITTABLE.contains(&protocol.as_str()) {
            true => Finding::good(format!("{service} speaks {protocol}, which can be split")),
            false => Finding::bad(format!(
                "{service} speaks {protocol:?} in the mesh, which cannot be split; write a service-defaults entry of it with Protocol = \"http\""
            )),
        }];
        for kind in [SPLITTER, RESOLVER] {
            let entry = consul
                .config_entry(kind, service.as_str(), None)
                .await?
                .value;
            if entry.is_some_and(|e| !is_ours(&e)) {
                found.push(Finding::bad(format!(
                    "there is a {kind} of {service} that foreshadow did not write, and will not change; remove it, or set another owner"
                )));
            }
        }
        if !case
            .job
            .and_then(|job| own_block(job, service))
            .is_some_and(in_mesh)
        {
            found.push(Finding::bad(format!(
                "job {} does not join {service} to the mesh; give its service block connect {{ sidecar_service {{}} }}, or set owner = \"auto\"",
                case.portion.job
            )));
        }
        Ok(found)
    }

    async fn write(
        &self,
        desk: &Desk,
        target: &Target,
        shares: &Shares,
    ) -> Result<BTreeMap<AllocId, u32>, OwnerError> {
        serves_somewhere(Owner::Mesh, target, shares)?;
        let consul = &desk.gateway.consul;
        let splits = splits(target, shares);
        // What is still split to is taken away at the next write only: Consul refuses a splitter without its subset.
        let before = read(consul, SPLITTER, target).await?;
        let kept: BTreeSet<String> = before.iter().flat_map(|e| subsets_of(&e.0)).collect();
        let old = read(consul, RESOLVER, target).await?;
        let subsets = subsets(target, old.as_ref(), &kept);
        let resolver = json!({"Kind": RESOLVER, "Name": target.service, "Subsets": subsets, "Meta": meta(target),
            // An instance that fails leaves its part to all that pass, whoever is alive to write.
            "Failover": {"*": {"ServiceSubset": EVERYONE}}});
        put(consul, target, resolver, &["Subsets", "Failover"]).await?;
        let splitter = json!({"Kind": SPLITTER, "Name": target.service, "Splits": splits, "Meta": meta(target)});
        put(consul, target, splitter, &["Splits"]).await?;
        Ok(BTreeMap::new())
    }

    /// The splitter is read back; a share of a splitter is exact.
    async fn verify(&self, desk: &Desk, target: &Target) {
        let wanted = Value::Array(splits(target, &target.shares()));
        let (consul, name) = (&desk.gateway.consul, target.service.as_str());
        let mut wait = None;
        loop {
            match consul.config_entry(SPLITTER, name, wait).await {
                Ok(found)
                    if found
                        .value
                        .as_ref()
                        .is_some_and(|e| same(&e.0["Splits"], &wanted)) =>
                {
                    return;
                }
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

    async fn undo(&self, desk: &Desk, service: &ServiceName) -> Result<(), OwnerError> {
        let consul = &desk.gateway.consul;
        for kind in [SPLITTER, RESOLVER] {
            let entry = consul
                .config_entry(kind, service.as_str(), None)
                .await?
                .value;
            if entry.is_some_and(|e| is_ours(&e)) {
                consul.config_delete(kind, service.as_str()).await?;
            }
        }
        Ok(())
    }
}

/// Hundredths of a percent, exactly the shares; an instance without a share is not split to.
fn splits(target: &Target, shares: &Shares) -> Vec<Value> {
    let share = |i: &Instance| shares.get(&i.alloc).copied().unwrap_or_default();
    let given = target.instances.iter().filter(|i| share(i) > Share::NONE);
    given
        .map(|i| json!({"Weight": share(i).fraction() * 100.0, "ServiceSubset": subset(&i.alloc)}))
        .collect()
}

/// A subset's name, as Consul takes them: small letters, digits and dashes.
fn subset(alloc: &AllocId) -> String {
    let short = alloc.as_str().chars().take(8);
    let plain = short.map(|c| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    });
    format!("i-{}-i", plain.collect::<String>())
}

/// One for each instance, and those that are still split to. A proxy is told by the entry that it stands before.
fn subsets(
    target: &Target,
    old: Option<&ConfigEntry>,
    kept: &BTreeSet<String>,
) -> Map<String, Value> {
    let filter = |alloc: &AllocId| {
        format!("\"{alloc}\" in Service.Proxy.DestinationServiceID or \"{alloc}\" in Service.ID")
    };
    let old = old.and_then(|e| e.0["Subsets"].as_object());
    let still = old
        .into_iter()
        .flatten()
        .filter(|(name, _)| kept.contains(*name));
    let mut all: Map<String, Value> = still.map(|(n, s)| (n.clone(), s.clone())).collect();
    all.insert(EVERYONE.into(), json!({}));
    for i in &target.instances {
        all.insert(subset(&i.alloc), json!({"Filter": filter(&i.alloc)}));
    }
    all
}

fn subsets_of(splitter: &Value) -> Vec<String> {
    let splits = splitter["Splits"].as_array().into_iter().flatten();
    splits
        .filter_map(|s| s["ServiceSubset"].as_str().map(str::to_string))
        .collect()
}

fn meta(target: &Target) -> Value {
    json!({META_EPOCH: target.epoch.0.to_string(), META_INDEX: target.index.to_string(), META_PLAN: target.plan})
}

fn is_ours(entry: &ConfigEntry) -> bool {
    entry.meta(META_EPOCH).is_some()
}

/// The entry as it is; one that is not ours, or that a newer target wrote, is not to be touched.
async fn read(
    consul: &Consul,
    kind: &str,
    target: &Target,
) -> Result<Option<ConfigEntry>, OwnerError> {
    let entry = consul
        .config_entry(kind, target.service.as_str(), None)
        .await?
        .value;
    let Some(entry) = entry else { return Ok(None) };
    if !is_ours(&entry) {
        let why = format!(
            "there is a {kind} that foreshadow did not write; remove it, or set another owner"
        );
        return Err(refused(Owner::Mesh, &target.service, why));
    }
    let number = |key| {
        entry
            .meta(key)
            .and_then(|n| n.parse::<u64>().ok())
            .unwrap_or(0)
    };
    if (number(META_EPOCH), number(META_INDEX)) > (target.epoch.0, target.index) {
        let why = format!("its {kind} is of a newer target");
        return Err(refused(Owner::Mesh, &target.service, why));
    }
    Ok(Some(entry))
}

/// Compare-and-set over what was read, unless it says the same already.
async fn put(
    consul: &Consul,
    target: &Target,
    entry: Value,
    says: &[&str],
) -> Result<(), OwnerError> {
    let kind = entry["Kind"].as_str().unwrap_or_default();
    for _ in 0..TRIES {
        let old = read(consul, kind, target).await?;
        if old
            .as_ref()
            .is_some_and(|o| says.iter().all(|key| same(&o.0[*key], &entry[*key])))
        {
            return Ok(());
        }
        if consul
            .config_cas(&entry, old.map_or(0, |o| o.modify_index()))
            .await?
        {
            return Ok(());
        }
    }
    let why = format!("its {kind} was changed by somebody else each time; look who writes it");
    Err(refused(Owner::Mesh, &target.service, why))
}

/// Everything that is wanted is there; Consul may add empty fields, and writes whole numbers its own way.
fn same(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => {
            let empty = |v: &Value| v.is_null() || v == "" || v == false;
            wanted
                .iter()
                .all(|(k, v)| there.get(k).is_some_and(|t| same(t, v)))
                && there
                    .iter()
                    .all(|(k, v)| wanted.contains_key(k) || empty(v))
        }
        (Value::Array(there), Value::Array(wanted)) => {
            there.len() == wanted.len() && there.iter().zip(wanted).all(|(t, w)| same(t, w))
        }
        (Value::Number(there), Value::Number(wanted)) => {
            let off = there.as_f64().unwrap_or(f64::NAN) - wanted.as_f64().unwrap_or(f64::NAN);
            // Consul keeps hundredths.
            off.abs() < 0.005
        }
        _ => there == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn splits_sum_to_a_hundred_in_hundredths_and_say_the_shares_exactly(
            parts in prop::collection::vec(0u32..4_000, 1..12),
        ) {
            let left = 10_000u32.saturating_sub(parts.iter().sum());
            prop_assume!(parts.iter().sum::<u32>() <= 10_000);
            let shares: Vec<u32> = parts.into_iter().chain([left]).collect();
            let instances = shares.iter().enumerate().map(|(n, s)| Instance {
                alloc: AllocId::new(format!("{n:08}-0000-0000-0000-000000000000")),
                address: "127.0.0.1".into(), port: 1, node: "n".into(), site: "s".into(), health: "/".into(), share: Share(*s),
            });
            let target = Target {
                service: "web".into(), plan: "p".into(), parent: None, epoch: Epoch(1), owner: Owner::Mesh,
                instances: instances.collect(), contingencies: vec![].into(), index: 1,
            };
            let splits = splits(&target, &target.shares());
            prop_assert_eq!(splits.len(), shares.iter().filter(|s| **s > 0).count());
            // As Consul sums them: whole hundredths.
            let hundredths: Vec<i64> = splits.iter().map(|s| (s["Weight"].as_f64().unwrap() * 100.0).round() as i64).collect();
            prop_assert_eq!(hundredths.iter().sum::<i64>(), 10_000);
            let given: Vec<i64> = shares.iter().filter(|s| **s > 0).map(|s| i64::from(*s)).collect();
            prop_assert_eq!(hundredths, given);
        }
    }

    #[test]
    fn what_consul_adds_to_an_entry_is_no_difference_and_what_a_person_changes_is() {
        let wanted = json!([{"Weight": 33.33, "ServiceSubset": "a"}, {"Weight": 66.67, "ServiceSubset": "b"}]);
        let there = json!([{"Weight": 33.330002, "ServiceSubset": "a", "Service": "", "Namespace": null}, {"Weight": 66.67, "ServiceSubset": "b"}]);
        assert!(same(&there, &wanted));
        let edited = json!([{"Weight": 33.33, "ServiceSubset": "a", "Service": "other"}, {"Weight": 66.67, "ServiceSubset": "b"}]);
        assert!(!same(&edited, &wanted));
        assert!(!same(
            &json!([{"Weight": 100, "ServiceSubset": "a"}]),
            &wanted
        ));
        assert!(same(
            &json!([{"Weight": 100, "ServiceSubset": "a"}]),
            &json!([{"Weight": 100.0, "ServiceSubset": "a"}])
        ));
    }
}
