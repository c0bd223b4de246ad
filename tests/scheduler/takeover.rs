//! A leader that is killed in the middle of a step, and another gateway's scheduler, with an empty store, that goes on from it.

use crate::estate::{Estate, a_real_consul};
use crate::measuring;
use crate::program::{alone, comes_true, kind, text};
use foreshadow::clients::consul::{Consul, KvQuery};
use foreshadow::model::{Action, Epoch, JournalEntry, JournalState, keys};
use foreshadow::store::Store;
use nix::sys::signal::Signal;
use std::time::Duration;

const STEP: Duration = Duration::from_secs(90);
const DATACENTER: Option<&str> = Some("edge");

/// The open steps as Consul's KV has them, with their keys.
async fn shared(consul: &Consul) -> Vec<(String, JournalEntry)> {
    let query = KvQuery {
        dc: DATACENTER,
        consistent: true,
        wait: None,
    };
    let found = consul.kv_list(keys::JOURNAL, query).await;
    let pairs = found.expect("Consul answers").value.into_iter();
    pairs
        .map(|pair| {
            let entry = serde_json::from_slice(&pair.value).expect("a journal entry");
            (pair.key, entry)
        })
        .collect()
}

fn measures(entry: &JournalEntry) -> bool {
    matches!(entry.step.action, Action::MeasureShadow { .. })
}

async fn epoch(consul: &Consul) -> Epoch {
    let lock = consul.kv_get(keys::LEADER, DATACENTER, true, None).await;
    let lock = lock.expect("Consul answers").value;
    Epoch(lock.expect("somebody led").lock_index)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_a_killed_leader_left_open_is_settled_by_another_with_an_empty_store_on_a_real_consul()
 {
    let Some(consul) = a_real_consul() else {
        return;
    };
    let _alone = alone();
    let (estate, mut first, config, consul) = Estate::scheduled(consul).await;
    // A measurement takes seconds: the kill surely comes in the middle of it.
    first.until("a measurement", STEP, |line| {
        kind(line) == "plan" && text(line).starts_with("measure shadow")
    });
    let store = estate.store();
    assert!(
        comes_true(STEP, || measuring(&store)),
        "it is not journalled"
    );
    let begun = async {
        loop {
            let open = shared(&consul).await.into_iter();
            if let Some(found) = open.into_iter().find(|(_, entry)| measures(entry)) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let begun = tokio::time::timeout(STEP, begun).await;
    let (key, entry) = begun.expect("Consul's KV never had the measurement");
    assert_eq!(entry.epoch, epoch(&consul).await);
    first.signal(Signal::SIGKILL);
    first.until_its_end(STEP);
    let left = shared(&consul).await;
    assert!(
        left.iter().any(|(k, _)| *k == key),
        "the kill came too late to leave the step open: {left:#?}"
    );

    let other = estate.another(&config);
    let mut second = estate.schedule(&other);
    let word = format!(
        "measure shadow: left open by the leader of epoch {}: the load generator died with the process",
        entry.epoch.0
    );
    second.until("word of the step", STEP, |line| text(line) == word);
    second.until("a step of its own", STEP, |line| {
        kind(line) == "verification"
    });
    assert!(epoch(&consul).await > entry.epoch);
    let open = shared(&consul).await;
    assert!(
        open.iter().all(|(_, e)| e.epoch > entry.epoch),
        "steps of the dead leader are still open: {open:#?}"
    );
    let journal = Store::open(&store.with_file_name("another.db")).unwrap();
    let journal = journal.recent(1_000).unwrap();
    let closed = journal.iter().find(|e| e.step.id == entry.step.id);
    let closed = closed.expect("the successor journals how it ended");
    assert_eq!(
        (closed.state, closed.epoch),
        (JournalState::Undone, entry.epoch)
    );
    drop((first, second));
    estate.stop().await;
}
