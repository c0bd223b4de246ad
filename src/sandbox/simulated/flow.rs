//! The requests between two events: who is sent where, how long it takes, what is lost.

use super::queue::Batch;
use super::world::{Kind, World};
use crate::model::*;

/// Clients give up after this many times the SLO's latency, but not before two seconds.
const PATIENCE: f64 = 4.0;

/// A standby that carries no more than this part of the demand is there for its own site.
const KEPT: f64 = 0.05;

/// One portion's requests in a batch.
#[derive(Clone, Debug, Default)]
struct Part {
    rate: f64,
    lost: f64,
    mix: Vec<(f64, f64, Batch)>,
    /// Mean time of those that were answered, upstreams included, and the part that was answered well.
    mean: f64,
    well: f64,
}

/// How long clients of the portion wait, in seconds.
pub(super) fn patience(slo: &Slo) -> f64 {
    (slo.latency.0 / 1000.0 * PATIENCE).max(2.0)
}

impl World {
    /// `dt` seconds in which nothing happens but requests.
    pub(super) fn flow(&mut self, dt: f64) {
        let middle = Moment(self.now.0 + (dt * 500.0) as i64);
        let demand = self.demand(middle);
        self.units.values_mut().for_each(|u| u.carries = 0.0);
        let mut parts = vec![Part::default(); self.spec.parts.len()];
        for n in 0..self.spec.order.len() {
            let at = self.spec.order[n];
            if self.spec.parts[at].root {
                parts[at].rate += demand;
            }
            self.serve(at, &mut parts[at], dt);
            let on = (parts[at].rate - parts[at].lost).max(0.0);
            for (to, _) in self.spec.parts[at].calls.clone() {
                parts[to].rate += on;
            }
        }
        for n in (0..self.spec.order.len()).rev() {
            let at = self.spec.order[n];
            self.account(at, &mut parts, dt);
        }
        self.cores(dt);
        self.surges(&parts);
    }

    /// Sends a portion's requests to what its clients have resolved.
    fn serve(&mut self, at: usize, part: &mut Part, dt: f64) {
        let each = part.rate / self.gateways.len().max(1) as f64;
        let mut sent: Vec<(u64, f64, f64)> = Vec::new();
        for gateway in &self.gateways {
            let known = &gateway.fronts[at].cached;
            let total: f64 = known.iter().map(|k| k.1).sum();
            if total <= 0.0 {
                part.lost += each;
            }
            for (serial, weight) in known {
                let rate = each * weight / total;
                match self.units.get(serial) {
                    Some(unit) if self.answers(unit) && self.reaches(&gateway.site, unit) => {
                        let way = self
                            .spec
                            .way(&gateway.site, &self.spec.nodes[unit.node].site);
                        sent.push((*serial, rate, way));
                    }
                    _ => part.lost += rate,
                }
            }
        }
        sent.sort_by_key(|s| s.0);
        let spec = &self.spec.parts[at];
        for same in sent.chunk_by(|a, b| a.0 == b.0) {
            let rate: f64 = same.iter().map(|s| s.1).sum();
            let Some(unit) = self.units.get_mut(&same[0].0) else {
                continue;
            };
            let cpu = unit.needs.cpu.0 * self.speed[unit.node];
            let station = spec.station(cpu, self.spec.nodes[unit.node].clock.0);
            let batch = station.take(rate, dt, &mut unit.backlog, patience(&spec.policy.slo));
            unit.carries = rate;
            part.lost += rate * batch.lost;
            part.mix
                .extend(same.iter().map(|s| (s.1 * (1.0 - batch.lost), s.2, batch)));
        }
    }

    /// Books what the batch came to for a portion, once it is known how those that it calls did.
    fn account(&mut self, at: usize, parts: &mut [Part], dt: f64) {
        let spec = &self.spec.parts[at];
        let slo = spec.policy.slo;
        let (mut elsewhere, mut well) = (0.0, 1.0);
        for (to, soft) in &spec.calls {
            elsewhere += parts[*to].mean;
            well *= if *soft { 1.0 } else { parts[*to].well };
        }
        let part = &mut parts[at];
        let answered: f64 = part.mix.iter().map(|m| m.0).sum();
        part.mix.iter_mut().for_each(|m| m.1 += elsewhere);
        let mean = part
            .mix
            .iter()
            .map(|(w, way, b)| w * (way + b.mean()))
            .sum::<f64>();
        part.mean = if answered > 0.0 {
            mean / answered
        } else {
            elsewhere
        };
        part.well = match part.rate > 0.0 {
            true => well * (1.0 - (part.lost / part.rate).min(1.0)),
            false => well,
        };
        if part.rate <= 0.0 {
            self.books.windows[at].seconds += dt;
            return;
        }
        let limit = slo.latency.0 / 1000.0;
        let over = part
            .mix
            .iter()
            .map(|(w, way, b)| w * b.beyond(limit - way))
            .sum::<f64>();
        let over = if answered > 0.0 { over / answered } else { 0.0 };
        let books = &mut self.books;
        if part.well < slo.success || over > 1.0 - slo.quantile {
            books.violations[at] += dt;
        }
        let (requests, lost) = (part.rate * dt, part.rate * dt * (1.0 - part.well));
        if spec.root {
            books.requests += requests;
            books.lost += lost;
            books.late += (requests - lost) * over;
        }
        let window = &mut books.windows[at];
        window.seconds += dt;
        window.requests += requests;
        window.lost += lost;
        if requests >= window.weight {
            window.weight = requests;
            window.mix = std::mem::take(&mut part.mix);
        }
    }

    /// Cores that are held and used. What nobody asks has nothing left to do.
    fn cores(&mut self, dt: f64) {
        for unit in self.units.values_mut().filter(|u| !u.dead) {
            let clock = self.spec.nodes[unit.node].clock.0.max(1.0);
            self.books.held += unit.needs.cpu.0 / clock * dt;
            let busy = (unit.carries * self.spec.parts[unit.part].cost).min(unit.needs.cpu.0);
            self.books.used += busy / clock * dt;
            if unit.carries == 0.0 {
                unit.backlog = 0.0;
            }
        }
    }

    /// Whether what standbys carry could have stayed where it was.
    fn surges(&mut self, parts: &[Part]) {
        for (at, part) in parts.iter().enumerate() {
            let standbys = |u: &&super::world::Unit| {
                // What is kept at a site for its own clients is no surge.
                u.part == at && u.kind == Kind::Standby && u.carries > KEPT * part.rate
            };
            let carried = self.units.values().any(|u| standbys(&u));
            if !carried {
                if self.books.surges[at].take() == Some(false) {
                    self.books.idle_surges += 1;
                }
                continue;
            }
            if self.books.surges[at] == Some(true) {
                continue;
            }
            let primaries = self.units.values().filter(|u| {
                u.part == at && u.kind == Kind::Primary && u.holds() && self.answers(u)
            });
            let (mut have, mut carry) = (0, 0.0);
            for unit in primaries {
                have += 1;
                carry += self.knee(unit);
            }
            let needed = have < self.wanted[at] || part.rate > carry;
            self.books.surges[at] = Some(needed);
        }
    }

    /// What the unit carries within the SLO, as nobody in the world knows it.
    pub(super) fn knee(&self, unit: &super::world::Unit) -> f64 {
        let spec = &self.spec.parts[unit.part];
        let cpu = unit.needs.cpu.0 * self.speed[unit.node];
        let station = spec.station(cpu, self.spec.nodes[unit.node].clock.0);
        station.knee(&spec.policy.slo, 0.0)
    }
}
