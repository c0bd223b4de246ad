//! Eyes on the simulated world: what Nomad, Consul, DNS and the metrics would say now, as far as they can be reached.

use super::faults::Kind as Trouble;
use super::nomad::address;
use super::queue::quantile;
use super::world::{Shared, World};
use crate::model::{self, *};
use rand::Rng;
use std::collections::BTreeMap;

/// A reading of traffic covers at least so many seconds.
const WINDOW: f64 = 5.0;
/// Late metrics are so late, and a lagging server so far behind.
const LATE: Span = Span::secs(40);
const BEHIND: Span = Span::secs(25);

pub struct SimulatedEyes {
    pub world: Shared,
}

impl Eyes for SimulatedEyes {
    fn look(&self, now: Moment) -> Later<'_, model::World> {
        let seen = match self.world.lock() {
            Ok(mut world) => world.look(now),
            Err(_) => model::World::unknown(now, "the simulated world was given up"),
        };
        Box::pin(async move { seen })
    }
}

impl World {
    /// `now` is the clock of whoever looks: ages are told by it.
    fn look(&mut self, now: Moment) -> model::World {
        let nomad = self.nomad_away();
        let consul = self.consul_away();
        let mut world = model::World {
            at: now,
            nodes: told(nomad, now, || self.nodes.clone()),
            allocs: told(nomad, now, || self.allocs.clone()),
            jobs: told(nomad, now, || self.jobs.clone()),
            blocked: told(nomad, now, || self.blocked_evaluations()),
            fronts: self.fronts(now, consul),
            traffic: self.traffic(now),
            readings: Vec::new(),
            usage: BTreeMap::new(),
            links: Seen::known(self.spec.links.clone(), now),
            gateways: self
                .gateways
                .iter()
                .map(|g| (g.id.clone(), g.site.clone()))
                .collect(),
            keeps_weights: told(nomad, now, || false),
            hold: told(consul, now, || self.held),
            leadership: told(consul, now, || Leadership::Nobody),
        };
        if self.faults.iter().any(|f| f.kind == Trouble::StaleRead) {
            self.lag(&mut world, now);
        }
        world
    }

    /// Lists of a lagging server: old, and no age tells it.
    fn lag(&mut self, world: &mut model::World, now: Moment) {
        self.past.push_back(world.clone());
        while self.past.len() > 1 && self.past[1].at <= now - BEHIND {
            self.past.pop_front();
        }
        if self.is(|k| *k == Trouble::StaleRead)
            && let Some(old) = self.past.front()
            && let (Some(allocs), Some(jobs)) = (old.allocs.value(), old.jobs.value())
        {
            world.allocs = Seen::known(allocs.clone(), now);
            world.jobs = Seen::known(jobs.clone(), now);
        }
    }

    fn blocked_evaluations(&self) -> Vec<Blocked> {
        let parts = self.blocked.iter().map(|p| &self.spec.parts[*p]);
        parts
            .map(|p| Blocked {
                job: p.policy.job.clone(),
                groups: vec![p.group.clone()],
                why: "no node of its datacenters has room".into(),
            })
            .collect()
    }

    fn fronts(&self, now: Moment, away: bool) -> BTreeMap<ServiceName, Front> {
        let dns = self.is(|k| *k == Trouble::DnsAway);
        let parts = self.spec.parts.iter().enumerate();
        let with_front = parts.filter(|(_, p)| p.policy.front.is_some());
        with_front
            .map(|(n, part)| {
                let mut front = Front {
                    target: Some(told(away, now, || self.targets[n].clone())),
                    ..Front::default()
                };
                for (g, gateway) in self.gateways.iter().enumerate() {
                    let apart = away || self.parted(g);
                    let id = gateway.id.clone();
                    let here = &gateway.fronts[n];
                    front
                        .entries
                        .insert(id.clone(), told(apart, now, || self.entries(here).into()));
                    let answer = || self.answers_of(here).into();
                    front
                        .dns
                        .insert(id.clone(), told(apart || dns, now, answer));
                    if let Some(report) = here.report.clone() {
                        front.applied.insert(id, told(away, now, || report.into()));
                    }
                }
                (part.service.clone(), front)
            })
            .collect()
    }

    fn entries(&self, front: &super::gateways::Front) -> Vec<FrontEntry> {
        let all = front.entries.iter();
        all.filter_map(|(n, e)| {
            let unit = self.units.get(n)?;
            let (address, port) = address(unit);
            Some(FrontEntry {
                instance: unit.id.clone(),
                address,
                port,
                weight: e.weight.unwrap_or(1),
                passing: e.passing,
                checked: e.checked,
                maintenance: e.weight.is_none(),
                agent_alive: true,
            })
        })
        .collect()
    }

    fn answers_of(&self, front: &super::gateways::Front) -> Vec<SrvSeen> {
        let all = front.answer().into_iter();
        all.filter_map(|(n, weight)| {
            let (address, port) = address(self.units.get(&n)?);
            Some(SrvSeen {
                address: address.to_string(),
                port,
                weight: weight as u32,
            })
        })
        .collect()
    }

    /// What clients saw of each portion since the last reading.
    fn traffic(&mut self, now: Moment) -> BTreeMap<PortionId, Seen<Traffic>> {
        if self.is(|k| *k == Trouble::MetricsAway) {
            let none = |p: &super::spec::Part| {
                (p.id.clone(), Seen::unknown("no metrics endpoint answers"))
            };
            return self.spec.parts.iter().map(none).collect();
        }
        for at in 0..self.spec.parts.len() {
            if self.books.windows[at].seconds >= WINDOW || self.readings[at].is_none() {
                self.readings[at] = Some((self.reading(at), now));
            }
        }
        let (nan, late) = (
            self.is(|k| *k == Trouble::MetricsNan),
            self.is(|k| *k == Trouble::MetricsLate),
        );
        let all = self.spec.parts.iter().zip(&self.readings);
        all.filter_map(|(part, reading)| {
            let (mut traffic, mut at) = (*reading)?;
            if nan {
                (traffic.rate, traffic.success) = (Rps(f64::NAN), f64::NAN);
                (traffic.p99, traffic.at_slo) = (Millis(f64::NAN), Millis(f64::NAN));
            }
            if late {
                at = at - LATE;
            }
            Some((part.id.clone(), Seen::known(traffic, at)))
        })
        .collect()
    }

    fn reading(&mut self, at: usize) -> Traffic {
        let window = std::mem::take(&mut self.books.windows[at]);
        let slo = self.spec.parts[at].policy.slo;
        let (u, v): (f64, f64) = (self.dice.random(), self.dice.random());
        let normal = (-2.0 * u.max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        // As many as come by chance when so many are expected.
        let came = (window.requests + window.requests.sqrt() * normal)
            .max(0.0)
            .round();
        let ms = |level: f64| Millis(1000.0 * quantile(&window.mix, level));
        let at_slo = ms(slo.quantile);
        Traffic {
            rate: Rps(came / window.seconds.max(0.001)),
            success: 1.0 - window.lost / window.requests.max(1e-9),
            samples: came as u64,
            // The mean stands for it: near enough, and nothing is decided by it.
            p50: Millis(ms_mean(&window.mix)),
            p99: if slo.quantile == 0.99 {
                at_slo
            } else {
                ms(0.99)
            },
            at_slo,
        }
    }

    /// A portion's traffic as it was last read, for whoever scales by it.
    pub fn reads(&mut self) -> Vec<Option<Rps>> {
        let now = self.now;
        let seen = self.traffic(now);
        let parts = self.spec.parts.iter();
        let fresh = |p: &super::spec::Part| {
            let traffic = seen.get(&p.id)?.fresh(now, Span::secs(30))?;
            Some(traffic.rate).filter(|r| r.0.is_finite())
        };
        parts.map(fresh).collect()
    }
}

/// Mean of a mixture, in ms.
fn ms_mean(mix: &[(f64, f64, super::queue::Batch)]) -> f64 {
    let total: f64 = mix.iter().map(|m| m.0).sum();
    let sum: f64 = mix.iter().map(|(w, way, b)| w * (way + b.mean())).sum();
    if total > 0.0 {
        1000.0 * sum / total
    } else {
        0.0
    }
}

fn told<T>(away: bool, now: Moment, what: impl FnOnce() -> T) -> Seen<T> {
    match away {
        true => Seen::unknown("connection timed out"),
        false => Seen::known(what(), now),
    }
}
