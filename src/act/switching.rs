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
        let blind = force.blind();
        let (due, over) = if blind {
            let gateway = &self.desk.gateway;
            tracing::debug!(
                "gateway {}: most sites look bad at once; suspecting our eyes, but for what is at {}",
                gateway.id,
                gateway.site
            );
            (at_home(force, &gateway.site, began), Vec::new())
        } else {
            turn(force, began)
        };
        let mut first = Ok(());
        for batch in due.chunks(BATCH) {
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
        if blind {
            return Ok(());
        }
        for target in over {
            if !self.held().await {
                self.take_over(force, target).await?;
            }
        }
        self.keep_up(force).await
    }

    /// Keeps what Nomad registers by itself as the shares in force say: after each change of any check, and before the next one is
    /// heard, so a question for each service would make failures wait.
    async fn keep_up(&self, force: &Force) -> Result<(), OwnerError> {
        let targets = force.targets.values();
        let kept: Vec<&Target> = targets
            .filter(|t| matches!(t.owner, Owner::Agent | Owner::Nomad))
            .collect();
        let mut own = None;
        for batch in kept.chunks(BATCH) {
            if self.held().await {
                break;
            }
            let own = match &mut own {
                Some(own) => own,
                none => none.insert(owners::of_all(&self.desk, &kept).await?),
            };
            for target in batch {
                let domain = force.contingency.get(&target.service);
                let shares = domain
                    .and_then(|d| target.contingencies.iter().find(|c| &c.domain == d))
                    .map_or_else(|| target.shares(), |c| c.shares.to_map());
                let own = own.remove(&target.service).unwrap_or_default();
                owners::keep_up(&self.desk, target, &shares, own).await?;
            }
        }
        Ok(())
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
                .write(&self.desk, target, &prepared.shares.to_map())
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

/// A service, and what is prepared for it.
type Due = (ServiceName, Contingency);

/// What the write budget has room for now: what is to be put in force, where most is at stake first, then what is to be ended.
fn turn(force: &mut Force, now: Moment) -> (Vec<Due>, Vec<Target>) {
    let (mut due, mut over) = (due(force), over(force, now));
    let granted = force.writes.grant(due.len() + over.len(), now);
    due.truncate(granted);
    over.truncate(granted - due.len());
    (due, over)
}

/// What is prepared for those that fail at the gateway's own site while the others cannot be seen: only what brings traffic to
/// somebody of the same site. Nothing that was put in force ends meanwhile.
fn at_home(force: &mut Force, home: &Site, now: Moment) -> Vec<Due> {
    let prepared = force.targets.values().filter_map(|target| {
        let bad = force.bad_at_home(target, home);
        let found = entries::contingency(target, &bad)?;
        let serves = |i: &Instance| {
            let share = found.shares.get(&i.alloc).unwrap_or(Share::NONE);
            &i.site == home && share > Share::NONE
        };
        let in_force = force.contingency.get(&target.service) == Some(&found.domain);
        let helps = !in_force && target.instances.iter().any(serves);
        helps.then(|| (target.service.clone(), found.clone()))
    });
    let mut due: Vec<Due> = prepared.collect();
    most_at_stake_first(&mut due);
    due.truncate(force.writes.grant(due.len(), now));
    due
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

/// What is prepared for those that fail now, and not yet in force, where most is at stake first.
fn due(force: &Force) -> Vec<Due> {
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
    let mut due: Vec<Due> = prepared.collect();
    most_at_stake_first(&mut due);
    due
}

fn most_at_stake_first(due: &mut [Due]) {
    let stake = |(_, c): &Due| c.stake.map_or(-1.0, |s| s.0);
    due.sort_by(|a, b| stake(b).total_cmp(&stake(a)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const SERVICES: usize = 500;

    fn service(k: usize) -> ServiceName {
        ServiceName::new(format!("s{k:03}"))
    }

    /// No two are alike, and names say nothing of it; of one it is not known.
    fn stake(k: usize) -> Option<Rps> {
        (k > 0).then(|| Rps((k * 37 % SERVICES) as f64))
    }

    fn instance(alloc: &str, site: &str, share: Share) -> Instance {
        Instance {
            alloc: alloc.into(),
            address: "127.0.0.1".into(),
            port: 80,
            node: site.into(),
            site: site.into(),
            health: "/".into(),
            share,
        }
    }

    /// Each has all of its traffic at one site, and a standby at another; a third has nothing that could fail.
    fn target(k: usize) -> Target {
        let shares = [
            ("old-0000".into(), Share::NONE),
            ("new-0000".into(), Share::ALL),
        ];
        Target {
            service: service(k),
            plan: "p".into(),
            parent: None,
            epoch: Epoch(1),
            owner: Owner::Front,
            instances: vec![
                instance("old-0000", "a", Share::ALL),
                instance("new-0000", "b", Share::NONE),
            ]
            .into(),
            contingencies: vec![Contingency {
                domain: Domain::Site("a".into()),
                lost: ["old-0000".into()].into(),
                shares: BTreeMap::from(shares).into(),
                stake: stake(k),
            }]
            .into(),
            index: 1,
        }
    }

    fn entry(k: usize) -> String {
        entries::entry_id(&service(k), &"old-0000".into(), 80)
    }

    /// Services whose site has failed, with a budget of so many a second.
    fn failed(per_second: u32) -> Force {
        let mut force = Force::default();
        force.targets = (0..SERVICES).map(|k| (service(k), target(k))).collect();
        force.failing = (0..SERVICES).map(entry).collect();
        force.writes = crate::guard::Writes::of(per_second);
        force
    }

    #[test]
    fn services_that_fail_together_are_all_switched_at_the_write_budget_where_most_is_at_stake_first()
     {
        let mut force = failed(100);
        let (mut order, mut now) = (Vec::new(), Moment(0));
        while order.len() < SERVICES {
            let (due, over) = turn(&mut force, now);
            assert!(over.is_empty());
            for (service, prepared) in due {
                order.push(prepared.stake);
                force.contingency.insert(service, prepared.domain);
            }
            let most = 100.0 * (1.0 + now.since(Moment(0)).as_secs_f64());
            assert!(order.len() as f64 <= most, "{} at {now:?}", order.len());
            assert_eq!(force.writes.waiting, SERVICES - order.len());
            now = now + Span::millis(250);
        }
        assert!(now <= Moment(4_250), "{now:?}");
        let mut sorted: Vec<Option<Rps>> = (0..SERVICES).map(stake).collect();
        sorted.sort_by(|a, b| b.map_or(-1.0, |s| s.0).total_cmp(&a.map_or(-1.0, |s| s.0)));
        assert_eq!(order, sorted, "unknown ones last");
        assert!(turn(&mut force, now).0.is_empty(), "each once");
    }

    #[test]
    fn what_begins_to_fail_while_others_wait_goes_first_when_more_is_at_stake() {
        let mut force = failed(10);
        let last = (1..SERVICES).find(|k| k * 37 % SERVICES == SERVICES - 1);
        let busiest = last.expect("somebody is busiest");
        force.failing.remove(&entry(busiest));
        assert_eq!(turn(&mut force, Moment(0)).0.len(), 10);
        force.failing.insert(entry(busiest));
        let (due, _) = turn(&mut force, Moment(100));
        let named: Vec<&ServiceName> = due.iter().map(|(s, _)| s).collect();
        assert_eq!(named, [&service(busiest)]);
    }

    #[test]
    fn what_is_over_is_ended_by_the_same_budget_after_what_fails() {
        let mut force = failed(4);
        for k in 3..SERVICES {
            force.failing.remove(&entry(k));
        }
        for k in 3..8 {
            force
                .contingency
                .insert(service(k), Domain::Site("a".into()));
        }
        let began = turn(&mut force, Moment(0));
        assert_eq!((began.0.len(), began.1.len()), (3, 0), "not yet calm");
        let (due, over) = turn(&mut force, Moment(0) + entries::CALM);
        assert_eq!((due.len(), over.len()), (3, 1));
        assert_eq!(force.writes.waiting, 4);
    }

    /// At home an instance that serves, one that stands by, and one more that serves; the same at three more sites, which cannot be seen.
    fn cut_off() -> Force {
        let at = |alloc: &str, site: &str, share: u32| instance(alloc, site, Share(share));
        let shares = [
            ("home-2-0".into(), Share(5_000)),
            ("far-a-00".into(), Share(5_000)),
        ];
        let target = Target {
            instances: vec![
                at("home-1-0", "home", 5_000),
                at("home-2-0", "home", 0),
                at("far-a-00", "a", 3_000),
                at("far-b-00", "b", 1_000),
                at("far-c-00", "c", 1_000),
            ]
            .into(),
            contingencies: vec![Contingency {
                domain: Domain::Node("n1".into()),
                lost: ["home-1-0".into()].into(),
                shares: BTreeMap::from(shares).into(),
                stake: None,
            }]
            .into(),
            ..target(0)
        };
        let far = target
            .instances
            .iter()
            .filter(|i| i.site.as_str() != "home");
        let failing = far.map(|i| entries::entry_id(&target.service, &i.alloc, 80));
        let mut force = Force::default();
        force.failing = failing.collect();
        force.targets = BTreeMap::from([(target.service.clone(), target)]);
        force
    }

    fn fails(force: &mut Force, alloc: &str) {
        let id = entries::entry_id(&service(0), &alloc.into(), 80);
        force.failing.insert(id);
    }

    #[test]
    fn law_09_who_is_cut_off_answers_what_fails_at_home_and_nothing_else() {
        let home = Site::new("home");
        let mut force = cut_off();
        assert!(force.blind());
        assert!(
            at_home(&mut force, &home, Moment(0)).is_empty(),
            "nothing fails at home"
        );
        fails(&mut force, "home-1-0");
        assert!(force.blind());
        let due = at_home(&mut force, &home, Moment(0));
        let named: Vec<&Domain> = due.iter().map(|(_, c)| &c.domain).collect();
        assert_eq!(named, [&Domain::Node("n1".into())]);
        let elsewhere = Site::new("a");
        assert!(at_home(&mut force, &elsewhere, Moment(0)).is_empty());
        force
            .contingency
            .insert(service(0), Domain::Node("n1".into()));
        assert!(at_home(&mut force, &home, Moment(0)).is_empty(), "once");
    }

    #[test]
    fn law_09_where_nobody_at_home_is_well_our_eyes_are_suspected_there_too() {
        let home = Site::new("home");
        let mut force = cut_off();
        fails(&mut force, "home-1-0");
        fails(&mut force, "home-2-0");
        assert!(at_home(&mut force, &home, Moment(0)).is_empty());
    }

    #[test]
    fn law_09_what_would_bring_traffic_out_of_sight_alone_is_not_done() {
        let home = Site::new("home");
        let mut force = cut_off();
        fails(&mut force, "home-1-0");
        for target in force.targets.values_mut() {
            let shares = [("far-a-00".into(), Share::ALL)];
            target.contingencies[0].shares = BTreeMap::from(shares).into();
        }
        assert!(at_home(&mut force, &home, Moment(0)).is_empty());
    }
}
