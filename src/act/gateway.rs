//! A gateway's own part: it watches targets and checks, hears whom probes call dead, and keeps the front entries of its own agent,
//! nobody else's.

use super::entries::{self, PREFIX};
use super::owners::{self, Desk, OwnerError};
use super::probe::{Prober, Probing, Suspects};
use super::suspects::{self, Aims};
use crate::clients::consul::KvQuery;
use crate::clients::http::{HttpError, Wait};
use crate::guard::Writes;
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// One blocking query; also how long a gateway takes to look again when nothing changed.
const LOOK: Duration = Duration::from_secs(20);
/// After an error.
const PAUSE: Duration = Duration::from_millis(500);
/// After an owner's refusal, before it is tried again.
const REFUSED: Duration = Duration::from_secs(1);
/// What waits for the write budget goes by what fails then: with more at once, fewer lists of that are read.
const METERED: Duration = Duration::from_millis(250);

/// What was answered while something else was done for longer than this is asked for anew.
const OLD: Span = Span::secs(1);

/// Keeps one gateway's entries as the targets say.
pub struct Keeper {
    pub desk: Desk,
    pub clock: fn() -> Moment,
    /// Whoever plans should look now.
    pub wake: mpsc::Sender<()>,
    pub probing: Probing,
    /// Contingencies that it puts in force or ends a second.
    pub writes: Writes,
}

/// What is in force at the gateway.
#[derive(Default)]
pub(super) struct Force {
    pub targets: BTreeMap<ServiceName, Target>,
    applied: BTreeMap<ServiceName, (Epoch, u64)>,
    pub contingency: BTreeMap<ServiceName, Domain>,
    /// Since when nobody fails any more whom the contingency was applied for.
    pub calm: BTreeMap<ServiceName, Moment>,
    owners: BTreeMap<ServiceName, Owner>,
    /// Entries with a critical check, and instances that the probes of two vantage points call dead.
    pub failing: BTreeSet<String>,
    suspects: Suspects,
    pub writes: Writes,
}

impl Force {
    fn fails(&self, target: &Target, instance: &Instance) -> bool {
        fails(target, instance, &self.failing)
    }

    fn suspected(&self, instance: &Instance) -> bool {
        suspects::address(instance).is_some_and(|at| self.suspects.contains(&at))
    }

    /// Instances of the target that Consul's checks or our own probes call dead.
    pub fn bad(&self, target: &Target) -> Vec<AllocId> {
        let all = target.instances.iter();
        all.filter(|i| self.fails(target, i) || self.suspected(i))
            .map(|i| i.alloc.clone())
            .collect()
    }

    /// Those of them that only our own probes do.
    pub fn only_suspected(&self, target: &Target) -> Vec<AllocId> {
        let all = target.instances.iter();
        all.filter(|i| self.suspected(i) && !self.fails(target, i))
            .map(|i| i.alloc.clone())
            .collect()
    }

    /// More than half of the sites failing at once, seen from here: it is more likely we who are cut off.
    pub fn blind(&self) -> bool {
        let mut sites: BTreeMap<&Site, bool> = BTreeMap::new();
        for target in self.targets.values() {
            for i in &target.instances {
                let bad = self.fails(target, i) || self.suspected(i);
                *sites.entry(&i.site).or_default() |= bad;
            }
        }
        let bad = sites.values().filter(|bad| **bad).count();
        bad * 2 > sites.len()
    }

    /// Those that fail at the gateway's own site, while most sites look bad and somebody else of that site is seen well: what is near
    /// is seen whatever the ways out do, and it is all that clients here can reach.
    pub fn bad_at_home(&self, target: &Target, home: &Site) -> Vec<AllocId> {
        let bad = self.bad(target);
        let at_home = |i: &&Instance| &i.site == home;
        let all = self
            .targets
            .values()
            .flat_map(|t| t.instances.iter().map(move |i| (t, i)));
        let mut near = all.filter(|(_, i)| at_home(i));
        if !near.any(|(t, i)| !self.fails(t, i) && !self.suspected(i)) {
            return Vec::new();
        }
        let here = target.instances.iter().filter(at_home);
        let here = here.filter(|i| bad.contains(&i.alloc));
        here.map(|i| i.alloc.clone()).collect()
    }

    /// What a new target is applied as while somebody is suspected whom its author, who goes by Consul's checks, may not know of.
    fn prepared(&self, target: &Target) -> Option<Contingency> {
        if self.only_suspected(target).is_empty() || self.blind() {
            return None;
        }
        entries::contingency(target, &self.bad(target)).cloned()
    }

    /// An index that went back tells of a store that was restored: what was applied under the old ones says nothing of its age.
    fn began_anew(&mut self, before: u64, now: u64) {
        if now < before {
            self.applied.clear();
        }
    }
}

/// A reading, and the index to wait from.
type Read<T> = Result<(T, u64), HttpError>;

enum News {
    Targets(Read<Vec<Target>>),
    Failing(Read<BTreeSet<String>>),
    Suspects(Suspects),
}

/// Where the next question waits from: nothing after an error.
fn index<T>(read: &Read<T>) -> u64 {
    read.as_ref().map_or(0, |read| read.1)
}

impl Keeper {
    /// Watches until cancelled. Entries stay as they are then: fail static.
    pub async fn keep(self, cancel: CancellationToken) {
        let (aims, aimed) = watch::channel(Aims::new());
        let (found, mut suspects) = watch::channel(Suspects::new());
        let probing = self.prober().map(|p| p.run(aimed, found, cancel.clone()));
        let probing = probing.map(tokio::spawn);
        self.watch(&aims, &mut suspects, &cancel).await;
        if let Some(probing) = probing {
            // It ends by the same token.
            let _ = probing.await;
        }
    }

    fn prober(&self) -> Option<Prober> {
        (!self.probing.services.is_empty()).then(|| Prober {
            gateway: self.desk.gateway.clone(),
            kv_datacenter: self.desk.kv_datacenter.clone(),
            probing: self.probing.clone(),
        })
    }

    async fn watch(
        &self,
        aims: &watch::Sender<Aims>,
        suspects: &mut watch::Receiver<Suspects>,
        cancel: &CancellationToken,
    ) {
        let mut force = Force {
            writes: self.writes.clone(),
            ..Force::default()
        };
        let (mut last_at, mut told) = (0, String::new());
        // Neither is dropped for the other's sake: an agent goes on with a question that nobody waits for any more until its time is
        // over, each holds one of the 200 connections that it takes, and checks may change faster than that.
        let mut targets = pin!(self.targets(0));
        let mut failing = pin!(self.failing(0));
        while !cancel.is_cancelled() {
            let news = tokio::select! {
                () = cancel.cancelled() => return,
                read = &mut targets => {
                    targets.set(self.targets(index(&read)));
                    News::Targets(read)
                }
                read = &mut failing => {
                    failing.set(self.failing(index(&read)));
                    News::Failing(read)
                }
                Ok(()) = suspects.changed() => News::Suspects(suspects.borrow_and_update().clone()),
            };
            let began = (self.clock)();
            let turned = self.take_in(&mut force, news, &mut last_at, aims).await;
            let anew = turned.is_err() || (self.clock)().since(began) > OLD;
            if anew {
                // Nothing need change in targets or checks before what is not done yet can be.
                targets.set(self.targets(0));
            }
            if anew || force.writes.waiting > 0 {
                failing.set(self.failing(0));
            }
            let pause = match turned {
                Ok(()) if force.writes.waiting > 0 => METERED,
                Ok(()) => continue,
                Err(e) => self.failed(&e, &mut told),
            };
            let _ = tokio::time::timeout(pause, cancel.cancelled()).await;
        }
    }

    async fn take_in(
        &self,
        force: &mut Force,
        news: News,
        last_at: &mut u64,
        aims: &watch::Sender<Aims>,
    ) -> Result<(), OwnerError> {
        match news {
            News::Targets(read) => {
                let (targets, index) = read?;
                force.began_anew(*last_at, index);
                *last_at = index;
                let followed = self.follow(force, targets).await;
                let allowed = &self.probing.services;
                aims.send_replace(suspects::aims(force.targets.values(), allowed));
                followed?;
                // Either watch may be the one that wakes when a contingency has been over for long enough.
                self.answer(force).await
            }
            News::Failing(read) => {
                force.failing = read?.0;
                self.switch(force).await
            }
            News::Suspects(suspects) => {
                force.suspects = suspects;
                self.switch(force).await
            }
        }
    }

    /// Says what went wrong, a refusal only once, and gives the time until it is tried again.
    fn failed(&self, error: &OwnerError, told: &mut String) -> Duration {
        let gateway = &self.desk.gateway.id;
        if let OwnerError::Http(e) = error {
            tracing::debug!("gateway {gateway}: {e}");
            return PAUSE;
        }
        let refusal = error.to_string();
        if refusal != *told {
            tracing::warn!("gateway {gateway}: {refusal}");
            *told = refusal;
        }
        REFUSED
    }

    async fn targets(&self, index: u64) -> Read<Vec<Target>> {
        let query = KvQuery {
            dc: self.desk.kv_datacenter.as_deref(),
            wait: (index > 0).then_some(Wait {
                index,
                longest: LOOK,
            }),
            ..KvQuery::default()
        };
        let found = self
            .desk
            .gateway
            .consul
            .kv_list(keys::TARGETS, query)
            .await?;
        let targets = found
            .value
            .iter()
            .filter_map(|pair| {
                let mut target: Target = serde_json::from_slice(&pair.value).ok()?;
                target.index = pair.modify_index;
                Some(target)
            })
            .collect();
        Ok((targets, found.index))
    }

    /// IDs of our own entries, and of those that Nomad made, whose checks are critical, maintenance aside.
    async fn failing(&self, index: u64) -> Read<BTreeSet<String>> {
        let wait = (index > 0).then_some(Wait {
            index,
            longest: LOOK,
        });
        let found = self
            .desk
            .gateway
            .consul
            .checks_in_state("critical", None, wait)
            .await?;
        let failing = found
            .value
            .iter()
            .filter(|c| !c.is_maintenance())
            .filter(|c| c.service_id.starts_with(PREFIX) || c.service_id.starts_with(NOMAD_ENTRY))
            .map(|c| c.service_id.clone())
            .collect();
        Ok((failing, found.index))
    }

    /// Applies every target that is newer than what was applied last.
    async fn follow(&self, force: &mut Force, targets: Vec<Target>) -> Result<(), OwnerError> {
        let mut first = Ok(());
        for target in targets {
            let last = force.applied.get(&target.service).copied();
            if !entries::newer(&target, last) || self.held().await {
                continue;
            }
            match self.take_over(force, target).await {
                // What one service's owner refuses holds up no other service.
                Err(e @ OwnerError::Refused { .. }) if first.is_ok() => first = Err(e),
                Err(OwnerError::Refused { .. }) => {}
                done => done?,
            }
        }
        first
    }

    /// Applies one target and says so.
    pub(super) async fn take_over(
        &self,
        force: &mut Force,
        target: Target,
    ) -> Result<(), OwnerError> {
        let prepared = force.prepared(&target);
        let shares = prepared.as_ref().map(|c| c.shares.to_map());
        let shares = shares.unwrap_or_else(|| target.shares());
        let weights = self.apply(force, &target, &shares).await?;
        force
            .applied
            .insert(target.service.clone(), (target.epoch, target.index));
        force.contingency.remove(&target.service);
        force.calm.remove(&target.service);
        let mut report = self.applied(&target, weights);
        if let Some(prepared) = prepared {
            report.contingency = Some(prepared.domain.clone());
            report.suspected = force.only_suspected(&target);
            let service = target.service.clone();
            force.contingency.insert(service, prepared.domain);
        }
        self.report(&report).await?;
        force.targets.insert(target.service.clone(), target);
        Ok(())
    }

    /// `foreshadow/hold`; unreadable counts as set.
    pub(super) async fn held(&self) -> bool {
        let dc = self.desk.kv_datacenter.as_deref();
        match self
            .desk
            .gateway
            .consul
            .kv_get(keys::HOLD, dc, false, None)
            .await
        {
            Ok(found) => found.value.is_some_and(|p| p.value != b"off"),
            Err(_) => true,
        }
    }

    /// Makes what clients are given as the shares say, by the target's owner; what another owner had written goes afterwards.
    async fn apply(
        &self,
        force: &mut Force,
        target: &Target,
        shares: &BTreeMap<AllocId, Share>,
    ) -> Result<BTreeMap<AllocId, u32>, OwnerError> {
        let written = owners::of(target.owner)
            .write(&self.desk, target, shares)
            .await?;
        let service = &target.service;
        if let Some(before) = self.before(force, service).await?
            && before != target.owner
        {
            owners::serves(&self.desk, target, shares).await?;
            owners::of(before).undo(&self.desk, service).await?;
        }
        force.owners.insert(service.clone(), target.owner);
        Ok(written)
    }

    /// Who owned the service's weights here until now: as we know, or as an earlier run of ours reported.
    async fn before(
        &self,
        force: &Force,
        service: &ServiceName,
    ) -> Result<Option<Owner>, HttpError> {
        if let Some(owner) = force.owners.get(service) {
            return Ok(Some(*owner));
        }
        let key = keys::applied(&self.desk.gateway.id, service);
        let dc = self.desk.kv_datacenter.as_deref();
        let found = self
            .desk
            .gateway
            .consul
            .kv_get(&key, dc, false, None)
            .await?;
        let report = found
            .value
            .and_then(|p| serde_json::from_slice::<Applied>(&p.value).ok());
        Ok(report.map(|r| r.owner))
    }

    /// What is reported of a target that has just been written as it is.
    pub(super) fn applied(&self, target: &Target, weights: BTreeMap<AllocId, u32>) -> Applied {
        Applied {
            gateway: self.desk.gateway.id.clone(),
            service: target.service.clone(),
            plan: target.plan.clone(),
            epoch: target.epoch,
            index: target.index,
            weights,
            owner: target.owner,
            contingency: None,
            at: (self.clock)(),
            reaction: None,
            suspected: Vec::new(),
        }
    }

    pub(super) async fn report(&self, applied: &Applied) -> Result<(), HttpError> {
        let key = keys::applied(&applied.gateway, &applied.service);
        // Serialising plain data cannot fail; an empty report would be read as none.
        let value = serde_json::to_vec(applied).unwrap_or_default();
        let dc = self.desk.kv_datacenter.as_deref();
        self.desk
            .gateway
            .consul
            .kv_put(&key, &value, dc)
            .await
            .map(|_| ())
    }
}

/// Whether the entry that clients are given of the instance is among those with a critical check.
fn fails(target: &Target, instance: &Instance, failing: &BTreeSet<String>) -> bool {
    if target.owner.takes_nomads_entries() {
        let begins = nomad_entry(instance.alloc.as_str());
        let named = format!("-{}-", target.service);
        let of_alloc = failing.range(begins.clone()..);
        return of_alloc
            .take_while(|id| id.starts_with(&begins))
            .any(|id| id.contains(&named));
    }
    failing.contains(&entries::entry_id(
        &target.service,
        &instance.alloc,
        instance.port,
    ))
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
mod tests;
