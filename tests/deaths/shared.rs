//! The shared journal itself.

use crate::estate::Estate;
use crate::process::{eyes, lead, step_back};
use crate::{JOB, Kind, now};
use foreshadow::act::{Journal, SharedJournal};
use foreshadow::engine::{Settling, State, Workload};
use foreshadow::model::*;
use foreshadow::store::Store;
use tokio::sync::watch;

fn entry(n: usize, epoch: Epoch, state: JournalState) -> JournalEntry {
    JournalEntry {
        step: Step {
            id: StepId::new(format!("p.{n}")),
            plan: "p".into(),
            portion: None,
            cause: Cause::Upkeep,
            action: Action::Reap { job: JOB.into() },
            why: "because".into(),
            waits_on: vec![],
        },
        epoch,
        state,
        at: Moment(0),
        note: String::new(),
    }
}

#[tokio::test]
async fn what_ended_when_nothing_could_be_written_goes_along_with_the_next_write() {
    use JournalState::{Intended, Verified};
    let estate = Estate::start().await;
    let lead = lead(&estate.consul).await;
    let epoch = lead.lease.epoch();
    let (leads_in, leads) = watch::channel(Some(lead.clone()));
    let journal = SharedJournal::new(estate.consul.clone(), None, leads);
    // More than go along with one write.
    for n in 0..70 {
        journal.write(&entry(n, epoch, Intended)).await.unwrap();
    }
    assert_eq!(estate.open().await.len(), 70);
    leads_in.send_replace(None);
    for n in 0..70 {
        let refused = journal.write(&entry(n, epoch, Verified)).await;
        assert_eq!(refused, Err("the lock is no longer ours".to_string()));
    }
    let new = journal.write(&entry(70, epoch, Intended)).await;
    assert!(new.is_err(), "without the lock nothing is begun");
    assert_eq!(estate.open().await.len(), 70);
    leads_in.send_replace(Some(lead));
    journal.write(&entry(71, epoch, Intended)).await.unwrap();
    let key = keys::journal(epoch, &"p.71".into());
    assert_eq!(estate.open().await, [key]);
}

#[tokio::test]
async fn a_step_is_begun_under_the_epoch_that_is_ours_and_left_ones_are_those_of_earlier_epochs() {
    use JournalState::Intended;
    let estate = Estate::start().await;
    let first = lead(&estate.consul).await;
    let old = first.lease.epoch();
    let (leads_in, leads) = watch::channel(Some(first.clone()));
    let journal = SharedJournal::new(estate.consul.clone(), None, leads);
    journal.write(&entry(1, old, Intended)).await.unwrap();
    step_back(&estate, &first).await;
    let lost = journal.write(&entry(2, old, Intended)).await;
    let why = lost.expect_err("the session is gone");
    assert!(why.starts_with("Consul refused the write"), "{why}");

    let second = lead(&estate.consul).await;
    let new = second.lease.epoch();
    leads_in.send_replace(Some(second));
    let late = journal.write(&entry(3, old, Intended)).await;
    assert_eq!(late, Err("the lock is no longer ours".to_string()));
    journal.write(&entry(4, new, Intended)).await.unwrap();
    let strange = format!("{}0/strange", keys::JOURNAL);
    let put = estate.consul.kv_put(&strange, b"{}", None);
    assert!(put.await.unwrap());
    let left = journal.left(new).await.unwrap();
    assert_eq!(left.open, [entry(1, old, Intended)]);
    assert_eq!(left.unread, [strange]);
    journal.close(&left.open).await.unwrap();
    assert!(journal.left(new).await.unwrap().open.is_empty());
}

#[tokio::test]
async fn consul_is_told_a_jobs_name_and_nothing_of_what_is_in_it() {
    let estate = Estate::start().await;
    let lead = lead(&estate.consul).await;
    let (epoch, (_leads, leads)) = (lead.lease.epoch(), watch::channel(Some(lead)));
    let journal = SharedJournal::new(estate.consul.clone(), None, leads);
    let mut step = Kind::StartShadow.step(&estate, epoch).await;
    let Action::StartShadow { job, .. } = &mut step.action else {
        panic!("{step:?}");
    };
    // More than Consul takes for a key.
    job.edit()["TaskGroups"][0]["Tasks"][0]["Env"] =
        serde_json::json!({"PASSWORD": "s3cret".repeat(100_000)});
    let begun = JournalEntry {
        step,
        ..entry(0, epoch, JournalState::Intended)
    };
    journal.write(&begun).await.unwrap();
    let key = keys::journal(epoch, &begun.step.id);
    let found = estate.consul.kv_get(&key, None, true, None).await.unwrap();
    let value = String::from_utf8(found.value.unwrap().value).unwrap();
    println!(
        "a shadow's start in Consul's journal: {} bytes",
        value.len()
    );
    assert!(value.len() < 1_000, "{value}");
    assert!(!value.contains("s3cret"), "{value}");
    let kept: JournalEntry = serde_json::from_str(&value).unwrap();
    let Action::StartShadow { job, .. } = kept.step.action else {
        panic!("{value}");
    };
    assert_eq!(job.id(), JobId::from(JOB));
}

#[tokio::test]
async fn a_step_that_is_still_under_way_here_is_left_to_its_hand_when_the_lock_comes_back() {
    let estate = Estate::start().await;
    let first = lead(&estate.consul).await;
    let begun = entry(1, first.lease.epoch(), JournalState::Intended);
    let (leads_in, leads) = watch::channel(Some(first.clone()));
    let journal = SharedJournal::new(estate.consul.clone(), None, leads);
    journal.write(&begun).await.unwrap();
    step_back(&estate, &first).await;
    let again = lead(&estate.consul).await;
    let epoch = Some(again.lease.epoch());
    leads_in.send_replace(Some(again));

    let mut workload = Workload::default();
    let (id, step) = (begun.step.id.clone(), begun.step.clone());
    workload.book.inflight.insert(id.clone(), step);
    let mut state = State {
        epoch,
        workloads: vec![workload],
        ..State::default()
    };
    let (eyes, store) = (eyes(&estate), Store::in_memory().unwrap());
    let mut settling = Settling::default();
    settling.leads(epoch, now());
    let world = eyes.look(now()).await;
    let shared = Some(&journal);
    settling
        .settle(&store, shared, &mut state, &world, now())
        .await;
    assert_eq!(estate.open().await.len(), 1);
    assert_eq!(store.recent(1).unwrap(), []);

    state.workloads[0].book.inflight.remove(&id);
    settling
        .settle(&store, shared, &mut state, &world, now())
        .await;
    assert_eq!(estate.open().await, Vec::<String>::new());
    let closed = store.recent(1).unwrap().pop().expect("it is journalled");
    assert_eq!((closed.step.id, closed.state), (id, JournalState::Verified));
}
