//! What a portion needs to serve a demand: requests × what shadows measured of one, with how unsure that is.

use super::instances::Copies;
use super::places;
use super::scene::Scene;
use crate::model::*;
use serde_json::{Value, json};

/// Standard deviations that measured needs are taken above their mean: nine in ten are below.
const SURE: f64 = 1.28;
/// Memory beyond the most that was measured.
const HEADROOM: f64 = 1.1;
/// No measurement makes a standby ask for more than this many times what its job asks for.
const MOST: f64 = 2.0;
/// What is most unsure counts as this unsure, as a part of the mean.
const UNSURE: f64 = 0.5;

/// What one request takes, by the release's profiles: the dearest of them, since nobody knows yet where it will run.
struct Request {
    cpu: f64,
    bytes: f64,
    memory: MiB,
    /// Standard deviation as a part of the mean: that of the load which one instance carries, from run to run.
    unsure: f64,
    runs: u32,
}

fn request(scene: &Scene, portion: &PortionId) -> Option<Request> {
    let release = scene.release(portion);
    let mut known = scene
        .beliefs
        .profiles
        .iter()
        .filter(|p| &p.key.portion == portion && p.key.release == release && p.cpu_a_request > 0.0)
        .peekable();
    known.peek()?;
    let none = Request {
        cpu: 0.0,
        bytes: 0.0,
        memory: MiB(0.0),
        unsure: 0.0,
        runs: 0,
    };
    Some(known.fold(none, |r, p| Request {
        cpu: r.cpu.max(p.cpu_a_request),
        bytes: r.bytes.max(p.bytes_a_request),
        memory: r.memory.max(p.memory),
        unsure: r.unsure.max(unsure(scene, p)).min(UNSURE),
        runs: r.runs + p.runs,
    }))
}

/// How unsure it is what a request takes there, as a part of the mean: never less than its load differs from run to run.
fn unsure(scene: &Scene, profile: &Profile) -> f64 {
    let from_run_to_run = profile.knee_spread.0 / profile.knee.0.max(0.1);
    let known = scene.known.get(&profile.key);
    known.map_or(from_run_to_run, |k| k.cpu.spread.max(from_run_to_run))
}

/// The most that one copy of its release is believed to carry anywhere.
fn most(scene: &Scene, portion: &PortionId) -> Option<Rps> {
    let release = scene.release(portion);
    let known = scene.known.values();
    let of = known.filter(|k| &k.key.portion == portion && k.key.release == release);
    of.map(|k| Rps(k.knee.high))
        .reduce(Rps::max)
        .filter(|most| most.0 > 0.0)
}

/// What the portion needs at the demand to be covered within the horizon, over all of its instances; `None` before the
/// first shadow. Memory is that of the instances that run.
pub fn foreseen(
    scene: &Scene,
    portion: &PortionPolicy,
    copies: Option<&Copies>,
) -> Option<ResourceNeed> {
    let request = request(scene, &portion.id)?;
    let demand = scene.demand(&portion.id, scene.policy.horizon)?;
    Some(ResourceNeed {
        demand,
        needs: Resources {
            cpu: Mhz(demand.0 * request.cpu),
            memory: MiB(request.memory.0 * copies.map_or(0, |c| c.all.len()) as f64),
            disk: MiB(0.0),
            network: Mbps(demand.0 * request.bytes * 8.0 / 1e6),
        },
        unsure: request.unsure,
        runs: request.runs,
    })
}

/// What a standby asks for, and why, if that is more than its job does: one primary's part of the demand × profile, with what
/// is unsure on top. Never less than the job asks for, however thin the measured need; never more than twice that.
pub fn standby(scene: &Scene, portion: &PortionPolicy, rate: Rps) -> (Resources, Option<String>) {
    let job = places::needs(scene, portion).unwrap_or_default();
    let Some(request) = request(scene, &portion.id) else {
        return (job, None);
    };
    // No copy is counted on for more than one carries: what is beyond goes to others, each with its own reservation.
    let rate = most(scene, &portion.id).map_or(rate, |most| rate.min(most));
    let cpu = rate.0 * request.cpu * (1.0 + SURE * request.unsure);
    let memory = request.memory.0 * HEADROOM;
    let raised = Resources {
        cpu: Mhz(cpu.clamp(job.cpu.0, job.cpu.0 * MOST).ceil()),
        memory: MiB(memory.clamp(job.memory.0, job.memory.0 * MOST).ceil()),
        ..job
    };
    let why = (raised != job).then(|| {
        format!(
            "{} and {} rather than the job's {} and {}: {rate} × {:.1} MHz·s a request, ±{:.0} %",
            raised.cpu,
            raised.memory,
            job.cpu,
            job.memory,
            request.cpu,
            100.0 * request.unsure
        )
    });
    (raised, why)
}

/// Makes a job's tasks ask for `to` where all of them ask for `from`, each in proportion.
pub fn resize(job: &mut JobSpec, from: &Resources, to: &Resources) {
    let grow = |v: Option<&mut Value>, from: f64, to: f64| {
        if let Some(v) = v
            && let Some(n) = v.as_f64().filter(|n| *n > 0.0 && from > 0.0 && to > from)
        {
            *v = json!((n * to / from).ceil() as u64);
        }
    };
    let mut job = job.edit();
    let groups = job.get_mut("TaskGroups").and_then(Value::as_array_mut);
    for group in groups.into_iter().flatten() {
        let tasks = group.get_mut("Tasks").and_then(Value::as_array_mut);
        for task in tasks.into_iter().flatten() {
            if let Some(r) = task.get_mut("Resources") {
                grow(r.get_mut("CPU"), from.cpu.0, to.cpu.0);
                grow(r.get_mut("MemoryMB"), from.memory.0, to.memory.0);
            }
        }
    }
}
