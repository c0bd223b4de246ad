//! What the engine is compared with, in the same world under the same faults: they only say how many instances there should be.

use super::Strategy;
use super::day::WARM_UP;
use super::steer::{EVERY, lock};
use crate::engine::view::Tally;
use crate::model::*;
use crate::sandbox::simulated::queue::Station;
use crate::sandbox::simulated::{Books, Kind, Simulated, Spec};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// CPU that target-value scaling aims at.
const TARGET: f64 = 0.7;
/// After it has changed a count it waits so long.
const COOLDOWN: Span = Span::secs(300);
/// A change of less than this part is none.
const THRESHOLD: f64 = 0.01;
/// The oracle takes instances off what is about to fail so long before: their clients have to hear of it.
const EARLY: Span = Span::secs(15);
/// It leaves so much of the SLO's allowance unused: batches are not all alike.
const ALLOWANCE: f64 = 0.95;

/// Warms up, opens the books, plays the stretch.
pub fn play(
    world: &Arc<Mutex<Simulated>>,
    strategy: Strategy,
    (from, until): (Moment, Moment),
) -> (Books, Tally, u64) {
    let parts = lock(world).spec().parts.len();
    let mut rival = Rival {
        strategy,
        changed: vec![Moment(i64::MIN / 2); parts],
    };
    let mut next = from - WARM_UP;
    let mut cycles = 0;
    let mut open = false;
    rival.begin(&mut lock(world));
    loop {
        let mut world = lock(world);
        let now = world.pass(next);
        if now < next {
            continue;
        }
        if !open && now >= from {
            open = true;
            cycles = 0;
            world.open_books();
        }
        if now >= until {
            return (world.books().clone(), Tally::default(), cycles);
        }
        rival.turn(&mut world, now);
        cycles += 1;
        next = (now + EVERY).min(until);
    }
}

struct Rival {
    strategy: Strategy,
    changed: Vec<Moment>,
}

impl Rival {
    /// Each begins with what its rule asks for at the first moment.
    fn begin(&mut self, world: &mut Simulated) {
        let now = world.now();
        let rate = match self.strategy {
            Strategy::Static => world.highest(),
            _ => world.demand(now),
        };
        for part in 0..world.spec().parts.len() {
            let count = by_cpu(world.spec(), part, rate * world.spec().parts[part].times);
            world.scale(part, count);
        }
    }

    fn turn(&mut self, world: &mut Simulated, now: Moment) {
        match self.strategy {
            Strategy::Reactive => self.react(world, now),
            Strategy::Oracle => foresee(world, now),
            Strategy::Static | Strategy::Foreshadow => {}
        }
    }

    /// count × (CPU now ÷ target), as the Nomad autoscaler's target-value plugin has it.
    fn react(&mut self, world: &mut Simulated, now: Moment) {
        let reads = world.reads();
        for (part, read) in reads.into_iter().enumerate() {
            let Some(rate) = read.filter(|_| now.since(self.changed[part]) >= COOLDOWN) else {
                continue;
            };
            let have = world.count(part);
            let spec = &world.spec().parts[part];
            let used = rate.0 * spec.cost / (have.max(1) as f64 * spec.needs.cpu.0);
            let factor = used / TARGET;
            let wanted = by_cpu(world.spec(), part, rate.0);
            if (factor - 1.0).abs() > THRESHOLD && wanted != have {
                world.scale(part, wanted);
                self.changed[part] = now;
            }
        }
    }
}

/// Instances at which so many requests a second take the target's part of their CPU; one at least.
fn by_cpu(spec: &Spec, part: usize, rate: f64) -> u64 {
    let part = &spec.parts[part];
    (rate * part.cost / (part.needs.cpu.0 * TARGET))
        .ceil()
        .max(1.0) as u64
}

/// The fewest instances that keep the SLO from now until what is started now would answer, on nodes that stand meanwhile.
fn foresee(world: &mut Simulated, now: Moment) {
    let slowest = world
        .spec()
        .parts
        .iter()
        .map(|p| p.startup)
        .fold(0.0, f64::max);
    let ahead = Span((slowest * 1_250.0) as i64 + 15_000);
    let until = now + ahead;
    let (failing, soon, parted) = failing(world, now, until);
    world.shun(&failing);
    for node in soon {
        world.leave(node);
    }
    let highest = world.highest_between(now, until + EVERY);
    let order = world.spec().order.clone();
    let mut means = vec![0.0; order.len()];
    for at in order.into_iter().rev() {
        let spec = world.spec();
        let part = &spec.parts[at];
        let elsewhere: f64 = part.calls.iter().map(|(to, _)| means[*to]).sum();
        let station = part.station(part.needs.cpu.0, 2_000.0);
        let (need, mean) = needed(&station, &part.policy.slo, highest * part.times, elsewhere);
        means[at] = mean;
        let need = match parted {
            true => apart(world, at, &station, highest, elsewhere),
            false => need,
        };
        let doomed = world.count_on(at, &failing);
        world.scale(at, need + doomed);
    }
}

/// While a site of clients is apart, each side has to carry its own: what it has stays, what it lacks comes.
fn apart(world: &Simulated, at: usize, station: &Station, highest: f64, elsewhere: f64) -> u64 {
    let spec = world.spec();
    let part = &spec.parts[at];
    let half = highest * part.times / spec.edges.len() as f64;
    let each = needed(station, &part.policy.slo, half, elsewhere).0;
    let of = |site: &Site| {
        let nodes = spec
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, n)| &n.site == site);
        world.count_on(at, &nodes.map(|(n, _)| n).collect())
    };
    spec.edges.iter().map(|site| of(site).max(each)).sum()
}

/// How many, and the mean time at one of them, upstreams included.
fn needed(station: &Station, slo: &Slo, rate: f64, elsewhere: f64) -> (u64, f64) {
    let way = 0.004;
    let limit = slo.latency.0 / 1000.0 - elsewhere - 2.0 * way;
    let mut n = (rate / station.capacity()).ceil().max(1.0);
    loop {
        let batch = station.take(rate / n, 1.0, &mut 0.0, f64::MAX);
        let good = rate / n < 0.97 * station.capacity()
            && batch.beyond(limit) <= (1.0 - slo.quantile) * ALLOWANCE;
        if good || n > 500.0 {
            return (n as u64, batch.mean() + way + elsewhere);
        }
        n += 1.0;
    }
}

/// Nodes that fail or are gone between the two, those that are to be left now, and whether a site of clients is apart.
fn failing(world: &Simulated, now: Moment, until: Moment) -> (BTreeSet<usize>, Vec<usize>, bool) {
    let (mut gone, mut soon, mut parted) = (BTreeSet::new(), Vec::new(), false);
    for fault in world.faults() {
        // A machine that has come back is heard of a little later.
        let over = fault.at + fault.lasts + Span::secs(5);
        if fault.at > until || over < now {
            continue;
        }
        let nodes: Vec<usize> = match &fault.kind {
            Kind::NodeDies(node) | Kind::Drain(node) | Kind::Slow(node, _) => vec![*node],
            Kind::SiteCut(site) => {
                parted |= world.spec().edges.contains(site);
                let nodes = world.spec().nodes.iter().enumerate();
                let away =
                    nodes.filter(|(_, n)| &n.site == site && !world.spec().edges.contains(site));
                away.map(|(n, _)| n).collect()
            }
            _ => continue,
        };
        if fault.at - EARLY <= now && now < over {
            soon.extend(nodes.iter().copied());
        }
        gone.extend(nodes);
    }
    (gone, soon, parted)
}
