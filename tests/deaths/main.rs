//! A scheduler dies before or after each of its writes (its own journal, the shared one, the effect), or with a request on the
//! way, in every kind of step. It starts again with its store, or another one with an empty store leads after it. What was begun
//! must have been finished or be undone, the journals must say which, nothing stays open, and going on comes to the same end as
//! a step that nobody disturbed.
//!
//! Nomad and Consul are the sandbox's. The journal, the hands, the eyes and the settling are the product's.
#![allow(clippy::disallowed_methods)] // tests own their clock

#[path = "../common/mod.rs"]
mod common;
mod estate;
#[expect(dead_code, reason = "the tests of the sandbox's Nomad use more of it")]
#[path = "../nomad/fake.rs"]
mod fake;
mod process;
mod shared;
mod wire;

use estate::{Estate, shares};
use foreshadow::model::*;
use foreshadow::store::Store;
use process::{Process, next_lead};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wire::{Gate, When};

/// Longer than anything here takes; only a failing test gets near it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Cases at once.
const ABREAST: usize = 4;

pub fn now() -> Moment {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Moment(since.unwrap().as_millis() as i64)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    SetTarget,
    StartShadow,
    StartTwin,
    StartUpstream,
    PlaceStandby,
    MeasureShadow,
    StopShadow,
    ReleaseStandby,
    Reap,
    Scale,
}

const KINDS: [Kind; 10] = [
    Kind::SetTarget,
    Kind::StartShadow,
    Kind::StartTwin,
    Kind::StartUpstream,
    Kind::PlaceStandby,
    Kind::MeasureShadow,
    Kind::StopShadow,
    Kind::ReleaseStandby,
    Kind::Reap,
    Kind::Scale,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heir {
    SameGateway,
    AnotherGateway,
}

const JOB: &str = "foreshadow-one";

fn job() -> JobSpec {
    JobSpec::new(json!({
        "ID": JOB, "Name": JOB, "Type": "service", "Priority": 30, "Datacenters": ["edge-a"],
        "Meta": {"foreshadow_shadow": "true"},
        "TaskGroups": [{"Name": "web", "Count": 1, "Update": {"MaxParallel": 0}, "Tasks": [{
            "Name": "serve", "Driver": "raw_exec", "Config": {"command": "/bin/serve"},
            "Resources": {"CPU": 100, "MemoryMB": 32}}]}],
    }))
}

impl Kind {
    /// What stands before the step.
    async fn prepare(self, estate: &Estate) {
        match self {
            Kind::SetTarget => estate.first_shares().await,
            Kind::MeasureShadow
            | Kind::StopShadow
            | Kind::ReleaseStandby
            | Kind::Reap
            | Kind::Scale => estate.register(&job()).await,
            Kind::StartShadow | Kind::StartTwin | Kind::StartUpstream | Kind::PlaceStandby => {}
        }
    }

    /// The step as it would be planned by whoever leads now.
    async fn step(self, estate: &Estate, epoch: Epoch) -> Step {
        let plan = PlanId::new(format!("plan-{}", epoch.0));
        Step {
            id: StepId::new(format!("{plan}.1")),
            plan: plan.clone(),
            portion: Some("web".into()),
            cause: Cause::Upkeep,
            action: match self {
                Kind::SetTarget => {
                    let before = estate.target().await.expect("prepared");
                    Action::SetTarget {
                        target: Target {
                            plan,
                            epoch,
                            index: before.index,
                            ..shares([5_000, 2_500, 2_500])
                        },
                        before: Some(before),
                        planned: false,
                    }
                }
                other => other.on_nomad(),
            },
            why: "a test".into(),
            waits_on: vec![],
        }
    }

    fn on_nomad(self) -> Action {
        let (job, id) = (job(), JobId::from(JOB));
        let shadow = ShadowId::from("one");
        let key = ProfileKey {
            portion: "web".into(),
            release: common::release(),
            site: "edge-a".into(),
            class: "small".into(),
        };
        match self {
            Kind::SetTarget => unreachable!("it is Consul's"),
            Kind::StartShadow => Action::StartShadow {
                shadow,
                key,
                job,
                deadline: Moment(i64::MAX),
            },
            Kind::StartTwin => Action::StartTwin { shadow, job },
            Kind::StartUpstream => Action::StartUpstream {
                shadow,
                portion: "web".into(),
                job,
            },
            Kind::PlaceStandby => Action::PlaceStandby {
                portion: "web".into(),
                site: "edge-a".into(),
                node: "edge-a-1".into(),
                job,
                needs: Resources::default(),
            },
            Kind::MeasureShadow => measure(shadow, key),
            Kind::StopShadow => Action::StopShadow { shadow, job: id },
            Kind::ReleaseStandby => Action::ReleaseStandby {
                portion: "web".into(),
                job: id,
            },
            Kind::Reap => Action::Reap { job: id },
            Kind::Scale => Action::Scale {
                job: id,
                group: "web".into(),
                from: 1,
                to: 2,
            },
        }
    }
}

fn measure(shadow: ShadowId, key: ProfileKey) -> Action {
    Action::MeasureShadow {
        shadow,
        key,
        alloc: common::alloc_id(1),
        url: "http://127.0.0.1:1/".into(),
        health: "http://127.0.0.1:1/".into(),
        loads: vec![Rps(1.0)],
        load: Box::default(),
        upstreams: vec![],
        wait_for: vec![],
        slo: common::policy().portions[0].slo,
        registered: Moment(0),
        compare: None,
    }
}

/// A step that nobody disturbs.
struct Whole {
    writes: Vec<String>,
    before: Value,
    after: Value,
}

async fn undisturbed(kind: Kind) -> Whole {
    let estate = Estate::start().await;
    kind.prepare(&estate).await;
    let before = estate.picture().await;
    let store = Arc::new(Store::in_memory().unwrap());
    let gate = Arc::new(Gate::default());
    let process = Process::start(&estate, store, gate.clone()).await;
    let step = kind.step(&estate, process.epoch()).await;
    let outcome = process.apply(step).await;
    let good = matches!(outcome.verdict, Verdict::Verified | Verdict::Applied);
    assert!(good, "{kind:?}: {outcome:?}");
    let after = estate.picture().await;
    let moves = kind != Kind::MeasureShadow;
    assert_eq!(before != after, moves, "{kind:?}: {before} to {after}");
    assert!(process.store.open_steps().unwrap().is_empty());
    assert_eq!(estate.open().await, Vec::<String>::new());
    let writes = gate.seen.lock().unwrap().clone();
    journal_before_act(kind, &writes);
    Whole {
        writes,
        before,
        after,
    }
}

/// Store, then Consul's journal, then the effect; at the end the store first again.
fn journal_before_act(kind: Kind, writes: &[String]) {
    let shared = |text: &String| text.contains("/v1/txn") && text.contains(keys::JOURNAL);
    let ours = |text: &String| shared(text) || text.starts_with("store");
    let [first, second, .., last_but_one, last] = writes else {
        panic!("{kind:?}: {writes:?}");
    };
    assert_eq!(first, "store Intended", "{kind:?}: {writes:?}");
    assert!(shared(second), "{kind:?}: {writes:?}");
    assert_eq!(last_but_one, "store Verified", "{kind:?}: {writes:?}");
    assert!(shared(last), "{kind:?}: {writes:?}");
    assert!(
        !writes.iter().all(ours),
        "{kind:?} does nothing: {writes:?}"
    );
}

/// One death and what comes after it.
async fn death(kind: Kind, whole: &Whole, at: (usize, When), heir: Heir) {
    let what = format!(
        "{kind:?} dead {:?} {:?}, {heir:?}",
        at.1, whole.writes[at.0]
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("first.db");
    let estate = Estate::start().await;
    kind.prepare(&estate).await;
    assert_eq!(estate.picture().await, whole.before, "{what}");
    let gate = Arc::new(Gate {
        at: Some(at),
        ..Gate::default()
    });
    die(kind, &estate, &path, gate.clone(), &what).await;

    let store = match heir {
        Heir::SameGateway => Store::open(&path),
        Heir::AnotherGateway => Store::in_memory(),
    };
    let second = Process::start(&estate, Arc::new(store.unwrap()), Arc::default()).await;
    second.settle(&estate).await;
    let settled = estate.picture().await;
    judge(kind, whole, &settled, &second.store, &what);

    // It goes on from what it sees.
    if kind == Kind::MeasureShadow || settled != whole.after {
        let outcome = second.apply(kind.step(&estate, second.epoch()).await).await;
        let good = matches!(outcome.verdict, Verdict::Verified | Verdict::Applied);
        assert!(good, "{what}: {outcome:?}");
    }
    if at.1 == When::Late {
        gate.released.notify_one();
        gate.arrived.notified().await;
        let status = gate.late.lock().unwrap().take();
        assert_eq!(status, Some(409), "{what}: the dead were not refused");
    }
    assert_eq!(estate.picture().await, whole.after, "{what}");
    assert_eq!(estate.open().await, Vec::<String>::new(), "{what}");
    assert!(second.store.open_steps().unwrap().is_empty(), "{what}");
    if heir == Heir::AnotherGateway {
        // The first one comes back some day, and follows.
        let store = Arc::new(Store::open(&path).unwrap());
        process::follow(&estate, &store).await;
        assert!(store.open_steps().unwrap().is_empty(), "{what}");
    }
}

/// Begins the step and dies where the gate says.
async fn die(kind: Kind, estate: &Estate, path: &Path, gate: Arc<Gate>, what: &str) {
    let store = Arc::new(Store::open(path).unwrap());
    let first = Process::start(estate, store, gate.clone()).await;
    let step = kind.step(estate, first.epoch()).await;
    tokio::select! {
        () = gate.died.notified() => {}
        outcome = first.apply(step) => panic!("{what}: it lived on: {outcome:?}"),
    }
    // Its session ends by its time to live.
    next_lead(estate, first).await;
}

/// Finished or undone, and the journal of whoever settled it says which.
fn judge(kind: Kind, whole: &Whole, settled: &Value, store: &Store, what: &str) {
    assert!(
        [&whole.before, &whole.after].contains(&settled),
        "{what}: neither done nor undone: {settled}"
    );
    let last = store.recent(1).unwrap().pop();
    if let Some(entry) = last.filter(|_| kind != Kind::MeasureShadow) {
        let done = match entry.state {
            JournalState::Verified => &whole.after,
            JournalState::Undone => &whole.before,
            other => panic!("{what}: settled as {other:?}"),
        };
        assert_eq!(done, settled, "{what}: the journal says {entry:?}");
    }
}

/// A request to Consul that arrives late is refused: its sender's session is gone. Nomad refuses nobody, and there a step
/// that is done twice, or undone by the reaper, comes to the same.
fn deaths(write: &str) -> Vec<When> {
    let mut all = vec![When::Before, When::After];
    if write.contains("/v1/txn") {
        all.push(When::Late);
    }
    all
}

async fn all_of(kind: Kind) -> usize {
    let whole = Arc::new(undisturbed(kind).await);
    let turns = Arc::new(Semaphore::new(ABREAST));
    let mut cases = JoinSet::new();
    for (n, write) in whole.writes.iter().enumerate() {
        for when in deaths(write) {
            for heir in [Heir::SameGateway, Heir::AnotherGateway] {
                let (whole, turns) = (whole.clone(), turns.clone());
                cases.spawn(async move {
                    let _turn = turns.acquire().await.unwrap();
                    let case = death(kind, &whole, (n, when), heir);
                    let ended = tokio::time::timeout(PATIENCE, case).await;
                    ended.unwrap_or_else(|_| {
                        panic!("{kind:?} {when:?} {}, {heir:?}: no end", whole.writes[n])
                    });
                });
            }
        }
    }
    cases.join_all().await.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dies_at_any_write_every_step_is_finished_or_undone_and_comes_to_the_same_end() {
    let mut all = 0;
    for kind in KINDS {
        let cases = all_of(kind).await;
        println!("{kind:?}: {cases} deaths");
        all += cases;
    }
    println!("deaths survived: {all}");
    assert!(all >= 10 * 4 * 2 * 2, "only {all} deaths");
}
