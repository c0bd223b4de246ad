//! A leader that sleeps past its session's time to live, as a paused machine does, and wakes up beside its successor.

use crate::estate::{Estate, a_real_consul};
use crate::program::{alone, comes_true, kind, text};
use foreshadow::clients::consul::{Consul, KvQuery};
use foreshadow::model::{Epoch, Target, keys};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::time::Duration;

const STEP: Duration = Duration::from_secs(90);
const DATACENTER: Option<&str> = Some("edge");
/// Looks at the targets after the sleeper woke up, a fifth of a second apart: longer than its lease lasts.
const LOOKS: usize = 60;

/// The lock's holder (a session) and its epoch.
async fn lock(consul: &Consul) -> Option<(String, Epoch)> {
    let lock = consul.kv_get(keys::LEADER, DATACENTER, true, None).await;
    let lock = lock.expect("Consul answers").value?;
    Some((lock.session?, Epoch(lock.lock_index)))
}

async fn epochs(consul: &Consul) -> BTreeMap<String, (Epoch, u64)> {
    let query = KvQuery {
        dc: DATACENTER,
        ..KvQuery::default()
    };
    let found = consul.kv_list(keys::TARGETS, query).await;
    let targets = found.expect("Consul answers").value.into_iter();
    targets
        .map(|pair| {
            let target: Target = serde_json::from_slice(&pair.value).expect("a target");
            (pair.key, (target.epoch, pair.modify_index))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_slept_past_its_session_writes_nothing_when_it_wakes_on_a_real_consul() {
    let Some(consul) = a_real_consul() else {
        return;
    };
    let _alone = alone();
    let (estate, mut first, config, consul) = Estate::scheduled(consul).await;
    first.until("verified shares of web", STEP, |line| {
        let shares = text(line).starts_with("set shares verified");
        kind(line) == "verification" && shares && line["portion"] == "web"
    });
    let (asleep, old) = lock(&consul).await.expect("the first one leads");
    first.signal(Signal::SIGSTOP);

    let other = estate.another(&config);
    let mut second = estate.schedule(&other);
    let began = std::time::Instant::now();
    let (holder, new) = loop {
        match lock(&consul).await {
            Some((holder, epoch)) if holder != asleep => break (holder, epoch),
            _ if began.elapsed() > STEP => second.fail("nobody leads after the first one"),
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    assert!(new > old, "{new:?} after {old:?}");
    second.until("a write of its own", STEP, |line| {
        kind(line) == "verification" && text(line).starts_with("set shares verified")
    });
    let before = epochs(&consul).await;
    let written = before.values().filter(|(epoch, _)| *epoch == new).count();
    assert!(written > 0, "the second one wrote nothing: {before:#?}");

    first.signal(Signal::SIGCONT);
    let mut last = before;
    for _ in 0..LOOKS {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = epochs(&consul).await;
        for (service, (epoch, index)) in &now {
            let (had, at) = last.get(service).copied().unwrap_or_default();
            let rewritten = *index != at;
            assert!(
                *epoch >= had && (!rewritten || *epoch == new),
                "{service} was written under {epoch:?} after {had:?}"
            );
        }
        last = now;
    }
    let (still, _) = lock(&consul).await.expect("somebody leads");
    assert_eq!(still, holder, "the sleeper took the lock back");
    let pid = i32::try_from(first.pid()).expect("a process's number");
    let alive = comes_true(Duration::from_secs(1), || {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_ok()
    });
    assert!(alive, "the sleeper died instead of following");
    drop((first, second));
    estate.stop().await;
}
