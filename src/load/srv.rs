//! Instances as an SRV answer names them, and the weighted pick among them. Pure.

use hickory_proto::rr::{Name, RData, Record};
use rand::Rng;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One entry of an SRV answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance {
    pub addr: SocketAddr,
    pub weight: u16,
    pub priority: u16,
}

/// SRV records joined with the addresses that came along; and the targets whose address must be asked for.
///
/// Consul answers with targets such as `7f000a01.addr.edge.consul.`, which carry their address in their name.
pub fn instances(
    answers: &[Record],
    additionals: &[Record],
) -> (Vec<Instance>, Vec<(Name, Instance)>) {
    let mut known: BTreeMap<&Name, IpAddr> = BTreeMap::new();
    for record in additionals.iter().chain(answers) {
        match &record.data {
            RData::A(a) => drop(known.insert(&record.name, IpAddr::V4(a.0))),
            RData::AAAA(a) => drop(known.insert(&record.name, IpAddr::V6(a.0))),
            _ => {}
        }
    }
    let (mut found, mut unresolved) = (Vec::new(), Vec::new());
    for record in answers {
        let RData::SRV(srv) = &record.data else {
            continue;
        };
        let at = |ip| Instance {
            addr: SocketAddr::new(ip, srv.port),
            weight: srv.weight,
            priority: srv.priority,
        };
        match known
            .get(&srv.target)
            .copied()
            .or_else(|| in_name(&srv.target))
        {
            Some(ip) => found.push(at(ip)),
            None => unresolved.push((srv.target.clone(), at(Ipv4Addr::UNSPECIFIED.into()))),
        }
    }
    found.sort();
    found.dedup_by_key(|i| i.addr);
    (found, unresolved)
}

/// The address inside Consul's `<hex>.addr.<datacenter>.<domain>`.
fn in_name(target: &Name) -> Option<IpAddr> {
    let mut labels = target.iter();
    let (hex, addr) = (labels.next()?, labels.next()?);
    if addr != b"addr" {
        return None;
    }
    let hex = std::str::from_utf8(hex).ok()?;
    match hex.len() {
        8 => Some(Ipv4Addr::from(u32::from_str_radix(hex, 16).ok()?).into()),
        32 => Some(Ipv6Addr::from(u128::from_str_radix(hex, 16).ok()?).into()),
        _ => None,
    }
}

/// Picks one instance with probability in proportion to its weight, among the lowest priority number there is.
///
/// `usable` leaves out ejected ones; when it would leave none, all are tried, since a certain loss is never better.
/// Weight 0 is picked only when all weights are 0. `None` for an empty list.
pub fn pick<'a>(
    instances: &'a [Instance],
    usable: impl Fn(&Instance) -> bool,
    dice: &mut impl Rng,
) -> Option<&'a Instance> {
    let usable: Vec<&Instance> = instances.iter().filter(|i| usable(i)).collect();
    let candidates = if usable.is_empty() {
        instances.iter().collect()
    } else {
        usable
    };
    let first = candidates.iter().map(|i| i.priority).min()?;
    let candidates: Vec<&Instance> = candidates
        .into_iter()
        .filter(|i| i.priority == first)
        .collect();
    let total: u64 = candidates.iter().map(|i| u64::from(i.weight)).sum();
    if total == 0 {
        return Some(candidates[dice.random_range(0..candidates.len())]);
    }
    let mut at = dice.random_range(0..total);
    for instance in &candidates {
        let weight = u64::from(instance.weight);
        if at < weight {
            return Some(instance);
        }
        at -= weight;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::rdata::{A, SRV};
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn name(s: &str) -> Name {
        Name::from_ascii(s).unwrap()
    }
    fn srv(target: &str, port: u16, weight: u16) -> Record {
        Record::from_rdata(
            name("shop-web.service.consul."),
            0,
            RData::SRV(SRV::new(1, weight, port, name(target))),
        )
    }
    fn inst(last: u8, weight: u16) -> Instance {
        Instance {
            addr: SocketAddr::from(([127, 0, 10, last], 20000)),
            weight,
            priority: 1,
        }
    }

    #[test]
    fn targets_are_found_in_the_additional_records_or_in_consuls_own_names() {
        let answers = [
            srv("edge-a-1.node.edge.consul.", 20001, 90),
            srv("7f000a02.addr.edge.consul.", 20002, 10),
            srv("elsewhere.example.", 20003, 1),
        ];
        let extra = [Record::from_rdata(
            name("edge-a-1.node.edge.consul."),
            0,
            RData::A(A::new(127, 0, 10, 1)),
        )];
        let (found, unresolved) = instances(&answers, &extra);
        let seen: Vec<_> = found
            .iter()
            .map(|i| (i.addr.to_string(), i.weight))
            .collect();
        assert_eq!(
            seen,
            [
                ("127.0.10.1:20001".to_string(), 90),
                ("127.0.10.2:20002".to_string(), 10)
            ]
        );
        assert_eq!(unresolved.len(), 1);
        assert_eq!(unresolved[0].0, name("elsewhere.example."));
        assert_eq!(unresolved[0].1.addr.port(), 20003);
    }

    #[test]
    fn picks_are_spread_as_the_weights_say() {
        let set = [inst(1, 60), inst(2, 30), inst(3, 9), inst(4, 1)];
        let mut dice = Xoshiro256PlusPlus::seed_from_u64(4);
        let mut seen: BTreeMap<SocketAddr, f64> = BTreeMap::new();
        let n = 20_000.0;
        for _ in 0..n as u32 {
            let i = pick(&set, |_| true, &mut dice).unwrap();
            *seen.entry(i.addr).or_default() += 1.0;
        }
        let chi2: f64 = set
            .iter()
            .map(|i| {
                let expected = n * f64::from(i.weight) / 100.0;
                (seen[&i.addr] - expected).powi(2) / expected
            })
            .sum();
        // 3 degrees of freedom: 16.27 is the 0.999 quantile.
        assert!(chi2 < 16.27, "chi² {chi2}, {seen:?}");
    }

    #[test]
    fn an_ejected_instance_is_left_out_and_its_share_falls_to_the_others_by_weight() {
        let set = [inst(1, 50), inst(2, 40), inst(3, 10)];
        let mut dice = Xoshiro256PlusPlus::seed_from_u64(5);
        let mut to_second = 0.0;
        for _ in 0..10_000 {
            let i = pick(&set, |i| i.addr != set[0].addr, &mut dice).unwrap();
            assert_ne!(i.addr, set[0].addr);
            to_second += f64::from(u8::from(i.addr == set[1].addr));
        }
        // Binomial(10000, 0.8): four standard deviations are 160.
        assert!((to_second - 8000.0_f64).abs() < 160.0, "{to_second}");
    }

    #[test]
    fn ejection_never_empties_the_set() {
        let set = [inst(1, 50)];
        let mut dice = Xoshiro256PlusPlus::seed_from_u64(6);
        assert_eq!(pick(&set, |_| false, &mut dice), Some(&set[0]));
        assert_eq!(pick(&[], |_| true, &mut dice), None);
    }

    #[test]
    fn only_the_lowest_priority_number_is_used_and_weight_zero_only_when_all_are_zero() {
        let backup = Instance {
            priority: 2,
            ..inst(9, 100)
        };
        let set = [inst(1, 0), inst(2, 1), backup];
        let mut dice = Xoshiro256PlusPlus::seed_from_u64(7);
        for _ in 0..100 {
            assert_eq!(pick(&set, |_| true, &mut dice), Some(&set[1]));
        }
        let zeros = [inst(1, 0), inst(2, 0)];
        assert!(pick(&zeros, |_| true, &mut dice).is_some());
    }
}
