//! `foreshadow run` beside a real Nomad and a real Consul, where this machine has them: nothing depends on the sandbox.
#![allow(clippy::disallowed_methods)] // other processes are waited for; the environment says which programs there are

mod agents;
mod containers;
#[path = "../scheduler/program.rs"]
mod program;

use agents::{Agents, Runs, STEP, programs};
use foreshadow::clients::nomad::Alloc;
use foreshadow::clients::nomad::picture::{Follower, Proof};
use nix::sys::signal::Signal;
use program::{Program, kind, text};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Two clusters on one small machine disturb each other's measurements.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portion_of_a_real_nomad_job_is_found_fronted_and_shadowed() {
    let Some((nomad, consul)) = programs() else {
        return;
    };
    let _alone = ALONE.lock().await;
    let agents = Agents::start("127.0.220.1", Runs::Processes, &nomad, &consul).await;
    let mut picture = Followed::start(&agents);
    agents.run_the_job().await;
    picture
        .until("the picture has the job", |p| p.live("one") == 1)
        .await;
    let mut scheduler = agents.schedule();
    agents.the_doctor_knows_this_nomad().await;

    scheduler.until("the portion", STEP, |line| {
        kind(line) == "portion" && line["portion"] == "web"
    });
    scheduler.until("verified shares", STEP, |line| {
        kind(line) == "verification" && text(line).starts_with("set shares verified")
    });
    a_shadow_teaches(&mut scheduler);
    agents.no_shadow_runs().await;
    agents.clients_are_given_the_instance().await;
    scheduler.signal(Signal::SIGTERM);
    let status = scheduler.until_its_end(STEP);
    assert!(status.success(), "it ended with {status}");
    // Fail static: what clients are given stays when the scheduler goes.
    agents.clients_are_given_the_instance().await;

    assert!(!picture.follower.by_lists(), "the stream was followed");
    agents.nomad.deregister("one", true).await.unwrap();
    picture
        .until("the job has stopped", |p| p.live("one") == 0)
        .await;
    // The garbage collection forgets allocations without an event.
    agents.collect_garbage().await;
    picture
        .until("the picture is empty", |p| p.allocs.is_empty())
        .await;
}

/// What stands in for the upstream is a process of the node, beside the shadow's container.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_in_a_container_reaches_what_stands_in_for_its_upstreams() {
    let Some((nomad, consul)) = programs() else {
        return;
    };
    let Some(image) = containers::image() else {
        return;
    };
    let _alone = ALONE.lock().await;
    let runs = Runs::Containers {
        image: image.name.clone(),
    };
    let agents = Agents::start("127.0.221.1", runs, &nomad, &consul).await;
    agents.run_the_job().await;
    let mut scheduler = agents.schedule();
    a_shadow_teaches(&mut scheduler);
    agents.no_shadow_runs().await;
    agents.clients_are_given_the_instance().await;
}

/// A shadow runs, is measured under load, and is taken away.
fn a_shadow_teaches(scheduler: &mut Program) {
    // Only a shadow that answered under load teaches something; without what stands in for its upstream it answers nothing.
    scheduler.until("a lesson of the shadow", STEP, |line| {
        kind(line) == "lesson" && text(line).starts_with("web at edge-a")
    });
    // The first run of a release only measures.
    scheduler.until("what it found", STEP, |line| {
        kind(line) == "verdict" && text(line).contains("carries")
    });
    scheduler.until("the shadow's end", STEP, |line| {
        let end = text(line).starts_with("stop shadow");
        end && (kind(line) == "verification" || text(line).contains("applied"))
    });
}

/// A picture of the cluster that is kept up as the scheduler keeps its own.
struct Followed {
    follower: Follower,
    allocs: BTreeMap<String, Arc<Alloc>>,
}

impl Followed {
    fn start(agents: &Agents) -> Followed {
        Followed {
            follower: Follower::start(agents.nomad.clone(), agents.nomad.clone(), Box::new(|_| ())),
            allocs: BTreeMap::new(),
        }
    }

    fn live(&self, job: &str) -> usize {
        let live = self
            .allocs
            .values()
            .filter(|a| a.client_status == "running");
        live.filter(|a| a.job_id == job).count()
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&Followed) -> bool) {
        let until = Instant::now() + STEP;
        loop {
            let glance = self.follower.glance().await;
            for (id, alloc) in glance.changes.allocs {
                match alloc {
                    Some(alloc) => self.allocs.insert(id.to_string(), alloc),
                    None => self.allocs.remove(&*id),
                };
            }
            if glance.allocs == Proof::Current && glance.nodes == Proof::Current && holds(self) {
                return;
            }
            let held: Vec<_> = self
                .allocs
                .values()
                .map(|a| (&a.job_id, &a.client_status))
                .collect();
            assert!(
                Instant::now() < until,
                "not within {STEP:?}: {what}: {held:?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
