//! Where clients that resolve a service really go: many of them ask the gateway's DNS, each takes an instance by the weights
//! that it is given, and the split of their choices is held against the shares.

use super::verify::given;
use crate::clients::gateway::Gateway;
use crate::model::realised::{Fit, draw, fit, pick};
use crate::model::*;
use std::collections::BTreeMap;

/// Enough that a part of one percent is expected five times, the least that the test may count on.
const CLIENTS: usize = 512;
/// Asked at once.
const AT_ONCE: usize = 32;
/// A right split would be called wrong once in so many steps.
const SURE: f64 = 0.001;

type Counts = BTreeMap<(String, u16), u64>;

/// What the split says in one sentence; `None` where it can say nothing (no DNS, or one instance alone).
pub(super) async fn realised(gateway: &Gateway, target: &Target) -> Result<Option<String>, String> {
    let Some(dns) = &gateway.dns else {
        return Ok(None);
    };
    let name = format!("{}.service.consul.", target.service);
    let (mut counts, mut answered, mut nobody) = (Counts::new(), 0, 0);
    for first in (0..CLIENTS).step_by(AT_ONCE) {
        let asked = (first..first + AT_ONCE).map(|_| dns.srv(&name));
        let answers = futures::future::join_all(asked).await;
        for (k, records) in answers.into_iter().enumerate() {
            // What is not answered says nothing of the split.
            let Ok(records) = records else {
                continue;
            };
            answered += 1;
            match choice(&records, draw(first + k)) {
                Some(at) => *counts.entry(at).or_default() += 1,
                None => nobody += 1,
            }
        }
    }
    judge(target, &counts, (answered, nobody)).map_err(|why| format!("at {}: {why}", gateway.id))
}

/// The instance that a client takes which has drawn so.
fn choice(records: &[crate::clients::dns::SrvRecord], draw: f64) -> Option<(String, u16)> {
    let given = given(records);
    let weights: Vec<u16> = given.values().map(|w| *w as u16).collect();
    let taken = pick(&weights, draw)?;
    given.into_keys().nth(taken)
}

fn judge(
    target: &Target,
    counts: &Counts,
    (answered, nobody): (usize, usize),
) -> Result<Option<String>, String> {
    let serves = target.instances.iter().any(|i| i.share > Share::NONE);
    if !serves {
        return Ok(None);
    }
    if answered * 2 < CLIENTS {
        return Err(format!("DNS answered {answered} of {CLIENTS} clients"));
    }
    if nobody > 0 {
        return Err(format!("{nobody} of {answered} clients were given nobody"));
    }
    // One that nobody was given has a failing check: the loop sees that for itself.
    let of = |i: &Instance| counts.get(&(i.address.to_string(), i.port)).copied();
    let parts: Vec<(Share, u64)> = target
        .instances
        .iter()
        .filter_map(|i| Some((i.share, of(i)?)))
        .collect();
    let strange = counts.values().sum::<u64>() - parts.iter().map(|(_, n)| n).sum::<u64>();
    if strange > 0 {
        let why =
            format!("{strange} of {answered} clients were sent where the target knows nobody");
        return Err(why);
    }
    match fit(&parts) {
        None => Ok(None),
        Some(Fit {
            p,
            statistic,
            freedom,
        }) if p < SURE => Err(format!(
            "{answered} clients are not split as the shares say: chi-square {statistic:.1} with {freedom} degrees of freedom, p < {SURE}"
        )),
        Some(Fit { p, .. }) => Ok(Some(format!("split of {answered} clients, p {p:.2}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(shares: &[u32]) -> Target {
        let one = |(i, share): (usize, &u32)| Instance {
            alloc: AllocId::new(format!("a{i}")),
            address: format!("10.0.0.{i}").into(),
            port: 80,
            node: "n".into(),
            site: "s".into(),
            health: "/".into(),
            share: Share(*share),
        };
        Target {
            service: "web".into(),
            plan: "p".into(),
            parent: None,
            epoch: Epoch(1),
            owner: Owner::Front,
            instances: shares.iter().enumerate().map(one).collect(),
            contingencies: vec![].into(),
            index: 1,
        }
    }

    fn went(counts: &[u64]) -> Counts {
        let at = |i: usize| (format!("10.0.0.{i}"), 80);
        let all = counts.iter().enumerate();
        all.filter(|(_, n)| **n > 0)
            .map(|(i, n)| (at(i), *n))
            .collect()
    }

    #[test]
    fn clients_who_go_by_the_step_before_are_found() {
        let quarter = target(&[7_500, 2_500]);
        let told = judge(&quarter, &went(&[384, 128]), (512, 0)).unwrap();
        assert!(told.is_some_and(|t| t.contains("512 clients")));
        let behind = judge(&quarter, &went(&[486, 26]), (512, 0)).unwrap_err();
        assert!(behind.contains("chi-square"), "{behind}");
    }

    #[test]
    fn a_step_of_one_percent_can_be_seen_and_its_absence_too() {
        let first = target(&[9_900, 100]);
        assert!(judge(&first, &went(&[507, 5]), (512, 0)).unwrap().is_some());
        assert!(judge(&first, &went(&[480, 32]), (512, 0)).is_err());
    }

    #[test]
    fn clients_without_an_answer_or_with_a_strange_one_are_no_proof() {
        let all = target(&[10_000, 0]);
        assert!(judge(&all, &went(&[512]), (512, 0)).is_ok());
        assert!(judge(&all, &went(&[511, 1]), (512, 0)).is_err(), "no share");
        assert!(
            judge(&all, &went(&[511, 0, 1]), (512, 0)).is_err(),
            "unknown"
        );
        assert!(judge(&all, &went(&[500]), (512, 12)).is_err(), "nobody");
        assert!(judge(&all, &went(&[100]), (100, 0)).is_err(), "silence");
    }
}
