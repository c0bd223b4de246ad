//! Somebody else writes the weights that we wrote: found by what gateways report against what Consul shows, and named.

use super::state::State;
use super::view::LogKind;
use crate::model::*;
use crate::planner;

/// A write takes so long to be seen everywhere.
const SEEN_BY: Span = Span::secs(3);
/// A job's new version goes through an evaluation and its clients.
const SEEN_BY_NOMAD: Span = Span::secs(15);
/// What Nomad's clients register for a job without weights.
const PLAIN: u32 = 1;

/// One finding a service, told when it appears or becomes another.
pub fn notice(state: &mut State, world: &World, now: Moment) {
    for (service, front) in &world.fronts {
        let topic = format!("fight {service}");
        match fight(front, now) {
            None => {
                state.said.remove(&topic);
            }
            Some(text) => {
                let mut policies = state.workloads.iter().map(|w| &w.policy);
                let portion = policies.find_map(|p| Some(p.by_front(service)?.id.clone()));
                let text = format!("weights of {service} are {text}");
                state.say_once(&topic, now, LogKind::Fault, portion.as_ref(), text);
            }
        }
    }
}

/// Entries with another weight than a gateway wrote although nothing newer was asked for. Whoever has stopped, is in
/// maintenance or was written a moment ago says nothing.
fn fight(front: &Front, now: Moment) -> Option<String> {
    let target = front
        .target
        .as_ref()?
        .fresh(now, planner::FRESH)?
        .as_ref()?;
    let (lost, seen_by): (fn(u32, u32) -> bool, Span) = match target.owner {
        Owner::Agent => (|is, wrote| is == PLAIN && wrote != PLAIN, SEEN_BY),
        Owner::Nomad => (|is, wrote| is != wrote, SEEN_BY_NOMAD),
        Owner::Front | Owner::Mesh | Owner::External => return None,
    };
    let mut reset: Vec<String> = Vec::new();
    for (gateway, applied) in &front.applied {
        let entries = front
            .entries
            .get(gateway)
            .and_then(|e| e.fresh(now, planner::FRESH));
        let (Some(applied), Some(entries)) = (applied.fresh(now, planner::FRESH), entries) else {
            continue;
        };
        let in_force = (applied.epoch, applied.index) == (target.epoch, target.index);
        if !in_force || now.since(applied.at) < seen_by {
            continue;
        }
        reset.extend(entries.iter().filter(|e| !e.maintenance).filter_map(|e| {
            let wrote = applied
                .weights
                .get(&e.instance)
                .filter(|w| lost(e.weight, **w))?;
            let id = e.instance.as_str();
            Some(format!(
                "{} had {wrote} and has {} now",
                id.get(..8).unwrap_or(id),
                e.weight
            ))
        }));
    }
    reset.sort();
    reset.dedup();
    (!reset.is_empty()).then(|| told(target.owner, &reset.join(", ")))
}

/// What happened and what to do about it.
fn told(owner: Owner, reset: &str) -> String {
    match owner {
        Owner::Nomad => format!(
            "not what the job was given: {reset}; somebody registered it anew with other weights or none; the next change of shares writes them again"
        ),
        _ => format!(
            "reset by Nomad: {reset}; since 1.9.2 its clients compare their entries every 30 s; set owner = \"nomad\" (or \"front\") in the policy"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const NOW: Moment = Moment(100_000);

    fn front(owner: Owner, weight: u32, applied_at: Moment) -> Front {
        let alloc = AllocId::from("0a0a0a0a-0000-0000-0000-000000000000");
        let target = Target {
            service: "web".into(),
            plan: "p".into(),
            parent: None,
            epoch: Epoch(3),
            owner,
            instances: vec![].into(),
            contingencies: vec![].into(),
            index: 9,
        };
        let applied = Applied {
            gateway: "g".into(),
            service: "web".into(),
            plan: "p".into(),
            epoch: Epoch(3),
            index: 9,
            weights: BTreeMap::from([(alloc.clone(), 70)]),
            owner,
            contingency: None,
            at: applied_at,
            reaction: None,
            suspected: vec![],
        };
        let entry = FrontEntry {
            instance: alloc,
            address: "127.0.0.1".into(),
            port: 80,
            weight,
            passing: true,
            checked: true,
            maintenance: false,
            agent_alive: true,
        };
        Front {
            target: Some(Seen::known(Some(target), NOW)),
            entries: BTreeMap::from([("g".into(), Seen::known(vec![entry].into(), NOW))]),
            applied: BTreeMap::from([("g".into(), Seen::known(applied.into(), NOW))]),
            ..Front::default()
        }
    }

    #[test]
    fn a_weight_that_nomad_took_back_is_named_with_the_remedy() {
        let long_ago = NOW - Span::secs(31);
        let told = fight(&front(Owner::Agent, 1, long_ago), NOW).expect("a finding");
        assert!(
            told.contains("0a0a0a0a had 70 and has 1 now") && told.contains("owner = \"nomad\""),
            "{told}"
        );
        assert_eq!(
            fight(&front(Owner::Agent, 70, long_ago), NOW),
            None,
            "as it was written"
        );
        assert_eq!(
            fight(&front(Owner::Agent, 1, NOW - Span::secs(1)), NOW),
            None,
            "on its way"
        );
        let edited = fight(&front(Owner::Nomad, 1, long_ago), NOW).expect("a finding");
        assert!(edited.contains("somebody registered it anew"), "{edited}");
        assert_eq!(fight(&front(Owner::Nomad, 70, long_ago), NOW), None);
        assert_eq!(
            fight(&front(Owner::Front, 1, long_ago), NOW),
            None,
            "nobody else writes our own"
        );
    }
}
