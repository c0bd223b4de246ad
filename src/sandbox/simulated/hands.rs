//! Hands in the simulated world: each effect and each answer comes in its own time, or not, as the faults have it.

use super::faults::Kind as Trouble;
use super::queue::quantile;
use super::world::{Event, Kind, Shared, World};
use crate::guard::{Cleared, Hands, Lease};
use crate::model::*;
use rand::Rng;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// From a call to its commit at the servers.
const COMMIT: (i64, i64) = (5, 30);
/// A gateway's watch wakes after a write.
const WAKE: (i64, i64) = (2, 8);
/// Verification reads DNS and the health API for so long.
const VERIFY: (i64, i64) = (60, 300);
/// An answer that does not come is given up after this long.
const GIVE_UP: i64 = 5_000;
/// What one run of a shadow differs from the truth by: standard deviation of the logarithm.
const ONE_RUN: f64 = 0.03;

pub struct SimulatedHands {
    pub world: Shared,
}

/// A step whose answer is still to come.
#[derive(Debug)]
pub(super) struct Open {
    step: Step,
    epoch: Epoch,
    started: Moment,
    send: Option<oneshot::Sender<Outcome>>,
    verdict: Option<Verdict>,
    measured: Option<Measurement>,
    /// The index under which a target was written, to be verified.
    index: Option<u64>,
}

impl Hands for SimulatedHands {
    fn apply<'a>(&'a self, step: Cleared<Step>, lease: &'a Lease) -> Later<'a, Outcome> {
        let step = step.into_inner();
        let (send, receive) = oneshot::channel();
        let mut started = Moment::default();
        if let Ok(mut world) = self.world.lock() {
            started = world.now;
            world.take(step.clone(), lease.epoch(), send);
        }
        Box::pin(async move {
            receive.await.unwrap_or(Outcome {
                step,
                started,
                at: started,
                verdict: Verdict::Unsure {
                    why: "nobody answered".into(),
                },
                measured: None,
            })
        })
    }
}

impl World {
    fn take(&mut self, step: Step, epoch: Epoch, send: oneshot::Sender<Outcome>) {
        let full = self.is(|k| *k == Trouble::DiskFull);
        let mut wait = self.draw(COMMIT.0, COMMIT.1);
        if let Action::MeasureShadow { load, .. } = &step.action {
            wait += load.lasts.0;
        }
        self.serial += 1;
        let n = self.serial;
        let verdict = full.then(|| Verdict::Refused {
            why: "the journal cannot be written (no space left on device)".into(),
        });
        if !full {
            self.note(&step, epoch, JournalState::Intended);
        }
        let open = Open {
            started: self.now,
            step,
            epoch,
            send: Some(send),
            verdict,
            measured: None,
            index: None,
        };
        self.open.insert(n, open);
        let event = if full {
            Event::Answer(n)
        } else {
            Event::Effect(n)
        };
        self.after(wait, event);
    }

    /// The step comes to the servers.
    pub(super) fn effect(&mut self, n: u64) {
        let Some(open) = self.open.get(&n) else {
            return;
        };
        let (step, epoch) = (open.step.clone(), open.epoch);
        let again = open.verdict.is_some();
        let consul = matches!(step.action, Action::SetTarget { .. });
        let away = if consul {
            self.consul_away()
        } else {
            self.nomad_away()
        };
        if self.is(|k| *k == Trouble::TooMany) {
            let why = "429 Too Many Requests".to_string();
            return self.decide(n, Verdict::Refused { why }, 0);
        }
        let failing = self.is(|k| *k == Trouble::ServerError);
        if away || (failing && self.dice.random_bool(0.5)) {
            let why = if away {
                "connection timed out"
            } else {
                "500 Internal Server Error"
            };
            return self.decide(n, Verdict::Unsure { why: why.into() }, GIVE_UP);
        }
        let verdict = self.carry_out(n, &step, epoch);
        if again {
            return;
        }
        if matches!(verdict, Verdict::Applied | Verdict::Verified) {
            self.note(&step, epoch, JournalState::Applied);
        }
        if self.is(|k| *k == Trouble::AnswerTwice) {
            let wait = self.draw(10, 2_000);
            self.after(wait, Event::Effect(n));
        }
        if failing || self.is(|k| *k == Trouble::AnswerLost) {
            let why = "the answer was lost, not necessarily the work".to_string();
            return self.decide(n, Verdict::Unsure { why }, GIVE_UP);
        }
        let verified = self.draw(VERIFY.0, VERIFY.1);
        let late = match self.is(|k| *k == Trouble::AnswerLate) {
            true => self.draw(5_000, 40_000),
            false => 0,
        };
        self.decide(n, verdict, late + if consul { verified } else { 5 });
    }

    fn decide(&mut self, n: u64, verdict: Verdict, wait: i64) {
        if let Some(open) = self.open.get_mut(&n) {
            open.verdict.get_or_insert(verdict);
        }
        self.after(wait, Event::Answer(n));
    }

    /// The answer comes to who asked, once where clients see it is as it should be.
    pub(super) fn answer(&mut self, n: u64) {
        let Some(open) = self.open.get(&n) else {
            return;
        };
        if let (Some(Verdict::Verified), Some(index)) = (&open.verdict, open.index)
            && let Some(behind) = self.behind(&open.step, index)
        {
            if self.now.since(open.started).0 < GIVE_UP {
                return self.after(200, Event::Answer(n));
            }
            let why = format!("{behind} does not show it");
            if let Some(open) = self.open.get_mut(&n) {
                open.verdict = Some(Verdict::Unsure { why });
            }
        }
        let Some(mut open) = self.open.remove(&n) else {
            return;
        };
        let verdict = open.verdict.unwrap_or(Verdict::Applied);
        let state = match &verdict {
            Verdict::Verified | Verdict::Applied => JournalState::Verified,
            Verdict::Refused { .. } => JournalState::Refused,
            Verdict::Undone { .. } => JournalState::Undone,
            Verdict::Unsure { .. } => JournalState::Stuck,
        };
        // What died with its process writes nothing down any more.
        if open.send.as_ref().is_some_and(|s| !s.is_closed()) {
            self.note(&open.step, open.epoch, state);
            self.answered = true;
        }
        let outcome = Outcome {
            step: open.step,
            started: open.started,
            at: self.now,
            verdict,
            measured: open.measured,
        };
        if let Some(send) = open.send.take() {
            // Nobody waits for it where the process is gone.
            let _ = send.send(outcome);
        }
    }

    /// A gateway that can be heard and has not applied it.
    fn behind(&self, step: &Step, index: u64) -> Option<GatewayId> {
        let Action::SetTarget { target, .. } = &step.action else {
            return None;
        };
        let part = self.part_of(&target.service)?;
        let late = |g: &usize| {
            let report = &self.gateways[*g].fronts[part].report;
            !self.parted(*g) && report.as_ref().is_none_or(|r| r.index < index)
        };
        (0..self.gateways.len())
            .find(late)
            .map(|g| self.gateways[g].id.clone())
    }

    pub(super) fn part_of(&self, service: &ServiceName) -> Option<usize> {
        self.spec.parts.iter().position(|p| &p.service == service)
    }

    fn carry_out(&mut self, n: u64, step: &Step, epoch: Epoch) -> Verdict {
        match &step.action {
            Action::SetTarget {
                target,
                before,
                planned,
            } => self.write(n, target, before.as_ref(), *planned, epoch),
            Action::StartShadow { job, .. }
            | Action::StartTwin { job, .. }
            | Action::StartUpstream { job, .. } => self.bind(job, Kind::Shadow, None),
            Action::PlaceStandby { job, needs, .. } => self.bind(job, Kind::Standby, Some(*needs)),
            Action::StopShadow { job, .. }
            | Action::ReleaseStandby { job, .. }
            | Action::Reap { job } => {
                self.jobs.remove(job);
                self.bound.remove(job);
                self.stop_all(job, 0);
                Verdict::Applied
            }
            Action::Scale { job, to, .. } => self.resize(job, *to as usize),
            Action::MeasureShadow {
                key, alloc, slo, ..
            } => self.measure(n, key, alloc, slo),
        }
    }

    /// Only while the lock is ours under this epoch, and only over what was read.
    pub(super) fn write(
        &mut self,
        n: u64,
        target: &Target,
        before: Option<&Target>,
        planned: bool,
        epoch: Epoch,
    ) -> Verdict {
        let Some(part) = self.part_of(&target.service) else {
            return refused(format!("{} is not known", target.service));
        };
        if epoch != self.epoch || self.session.is_none_or(|until| self.now >= until) {
            return refused("Consul refused the write: the lock is held under another epoch");
        }
        let index = self.targets[part].as_ref().map_or(0, |t| t.index);
        if index != target.index {
            return refused(format!("Consul refused the write: index is {index}"));
        }
        self.watch(part, target, before, planned);
        let index = self.put(part, target.clone());
        if let Some(open) = self.open.get_mut(&n) {
            open.index = Some(index);
        }
        Verdict::Verified
    }

    /// Puts a target into the store and wakes the gateways.
    pub(super) fn put(&mut self, part: usize, target: Target) -> u64 {
        self.index += 1;
        let index = self.index;
        self.targets[part] = Some(Target { index, ..target });
        for gateway in 0..self.gateways.len() {
            let wait = self.draw(WAKE.0, WAKE.1);
            self.after(wait, Event::Hear(gateway, part));
        }
        index
    }

    /// All gateways look again.
    pub(super) fn tell(&mut self) {
        for gateway in 0..self.gateways.len() {
            for part in 0..self.spec.parts.len() {
                let wait = self.draw(WAKE.0, WAKE.1);
                self.after(wait, Event::Hear(gateway, part));
            }
        }
    }

    fn bind(&mut self, job: &JobSpec, kind: Kind, needs: Option<Resources>) -> Verdict {
        let id = job.id();
        if self.jobs.contains_key(&id) {
            return Verdict::Applied;
        }
        let key = if kind == Kind::Standby {
            "foreshadow_standby"
        } else {
            "foreshadow_portion"
        };
        let portion = job.meta(key).map(PortionId::new);
        let part = self
            .spec
            .parts
            .iter()
            .position(|p| Some(&p.id) == portion.as_ref());
        let node =
            named(job).and_then(|name| self.spec.nodes.iter().position(|n| *n.name == *name));
        let (Some(part), Some(node)) = (part, node) else {
            return refused(format!(
                "{id} is bound to no node and portion of this estate"
            ));
        };
        let own = || {
            job.groups()
                .filter_map(|g| g.get("Name")?.as_str().map(Group::new))
        };
        let needs = needs.unwrap_or_else(|| {
            own()
                .map(|g| job.needs(&g))
                .fold(Resources::default(), Resources::plus)
        });
        if !self.usable(node) || self.free(node).times_fits(&needs, false) == 0 {
            return refused(format!(
                "Nomad placed nothing of {id}: no room or not eligible"
            ));
        }
        let bound = super::nomad::Bound {
            part,
            kind,
            node,
            needs,
            count: 1,
        };
        self.bound.insert(id.clone(), bound);
        self.jobs.insert(id.clone(), job.clone());
        self.start(part, kind, id, node, needs);
        Verdict::Applied
    }

    fn resize(&mut self, job: &JobId, to: usize) -> Verdict {
        let Some(bound) = self.bound.get_mut(job) else {
            return refused(format!("Nomad has no job {job}"));
        };
        bound.count = to;
        let bound = bound.clone();
        let mut spec = self.jobs.get_mut(job).map(JobSpec::edit);
        if let Some(Value::Array(groups)) =
            spec.as_deref_mut().and_then(|j| j.get_mut("TaskGroups"))
        {
            groups.iter_mut().for_each(|g| g["Count"] = json!(to));
        }
        drop(spec);
        let have = self
            .units
            .values()
            .filter(|u| &u.job == job && u.holds())
            .count();
        for _ in have..to {
            if self.free(bound.node).times_fits(&bound.needs, false) == 0 {
                return refused(format!("no room for {to} of {job}"));
            }
            self.start(bound.part, bound.kind, job.clone(), bound.node, bound.needs);
        }
        self.stop_all(job, to);
        Verdict::Applied
    }

    /// Of the job's units, the first `keep` stay.
    fn stop_all(&mut self, job: &JobId, keep: usize) {
        let all = self
            .units
            .iter()
            .filter(|(_, u)| &u.job == job && u.holds());
        let all: Vec<u64> = all.map(|(n, _)| *n).collect();
        for serial in all.into_iter().skip(keep) {
            self.watch_end(serial);
            self.stop(serial);
        }
    }

    /// What a search of the knee would have found there, a run's chance included.
    fn measure(&mut self, n: u64, key: &ProfileKey, alloc: &AllocId, slo: &Slo) -> Verdict {
        let unit = self
            .unit_of(alloc)
            .and_then(|serial| self.units.get(&serial));
        let Some(unit) = unit.filter(|u| self.answers(u) && u.holds()).cloned() else {
            return Verdict::Undone {
                why: format!("{alloc} does not answer"),
            };
        };
        let node = unit.node;
        let part = &self.spec.parts[unit.part];
        let cost = part.cost;
        let station = part.station(
            unit.needs.cpu.0 * self.speed[node],
            self.spec.nodes[node].clock.0,
        );
        let (u, v): (f64, f64) = (self.dice.random(), self.dice.random());
        let normal = (-2.0 * u.max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        let knee = station.knee(slo, 0.0) * (ONE_RUN * normal).exp();
        let point = |part: f64| {
            let rate = knee * part;
            let batch = station.take(rate, 1.0, &mut 0.0, f64::MAX);
            let at = |level: f64| Millis(1000.0 * quantile(&[(1.0, 0.0, batch)], level));
            LoadPoint {
                rate: Rps(rate),
                requests: 400,
                failed: 0,
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                at_slo: at(slo.quantile),
                good: at(slo.quantile).0 <= slo.latency.0,
            }
        };
        let took = unit.answered_at.map_or(0, |at| at.since(unit.created).0);
        let points = [0.3, 0.6, 0.9, 1.0, 1.1].map(point).to_vec();
        let measured = Measurement {
            key: key.clone(),
            at: self.now,
            details: details(&points),
            points,
            knee: Rps(knee),
            knee_open: false,
            cpu_a_request: cost,
            bytes_a_request: 900.0,
            memory: MiB(unit.needs.memory.0 * 0.8),
            startup: Span(took + 700),
            cut_short: None,
            judged: None,
        };
        if let Some(open) = self.open.get_mut(&n) {
            open.measured = Some(measured);
        }
        Verdict::Verified
    }
}

/// What the loads show beside the curve: the knee lies between the highest that held the SLO and the lowest that did not.
fn details(points: &[LoadPoint]) -> Details {
    let held = points.iter().filter(|p| p.good).map(|p| p.rate);
    let broke = points.iter().filter(|p| !p.good).map(|p| p.rate);
    let load = |p: &LoadPoint| LoadDetail {
        rate: p.rate,
        proven: true,
        throughput: p.rate,
        histogram: vec![
            (p.p50, p.requests / 2),
            (p.p99, p.requests - p.requests / 2),
        ],
        ..LoadDetail::default()
    };
    Details {
        proven: (held.reduce(Rps::max), broke.reduce(Rps::min)),
        // Its queue is computed, not sampled.
        confidence: 1.0,
        loads: points.iter().map(load).collect(),
        ..Details::default()
    }
}

fn refused(why: impl Into<String>) -> Verdict {
    Verdict::Refused { why: why.into() }
}

/// The node that a derived job is bound to.
fn named(job: &JobSpec) -> Option<String> {
    let groups = job.groups().flat_map(|g| list(g, "Constraints"));
    let bound = |c: &&Json| c.get("LTarget").and_then(Json::as_str) == Some("${node.unique.name}");
    groups
        .into_iter()
        .find(bound)?
        .get("RTarget")?
        .as_str()
        .map(str::to_string)
}
