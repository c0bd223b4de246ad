//! Keys, sessions, locks and transactions.

use super::PATIENCE;
use super::agent::Agent;
use foreshadow::clients::consul::*;
use foreshadow::clients::http::{HttpError, Wait};
use std::time::Duration;

#[tokio::test]
async fn keys_are_written_only_from_the_index_that_was_read() {
    let Some(agent) = Agent::start("keys", "127.0.210.6", "") else {
        return;
    };
    let consul = agent.client();
    let key = "foreshadow/target/a b%20c";
    let missing = consul.kv_get(key, None, true, None).await.unwrap();
    assert_eq!(missing.value, None);
    assert!(missing.index > 0, "a missing key has an index to wait from");
    let wait = Some(missing.next(Duration::from_secs(60)));
    let watching = tokio::time::timeout(PATIENCE, consul.kv_get(key, None, false, wait));
    let (woken, made) = tokio::join!(watching, consul.kv_cas(key, b"\x00one", 0, None));
    assert!(made.unwrap(), "0 makes a key that is not there");
    let pair = woken.expect("the watcher wakes").unwrap().value.unwrap();
    assert_eq!(
        (pair.key.as_str(), pair.value.as_slice()),
        (key, b"\x00one".as_slice())
    );
    assert!(!consul.kv_cas(key, b"two", 0, None).await.unwrap());
    assert!(
        consul
            .kv_cas(key, b"two", pair.modify_index, None)
            .await
            .unwrap()
    );
    assert!(
        !consul
            .kv_cas(key, b"three", pair.modify_index, None)
            .await
            .unwrap()
    );

    let under = |wait| KvQuery {
        wait,
        ..KvQuery::default()
    };
    let listed = consul.kv_list("foreshadow/", under(None)).await.unwrap();
    assert_eq!(listed.value.len(), 1);
    assert_eq!(listed.value[0].value, b"two");
    let wait = Some(listed.next(Duration::from_secs(60)));
    let watching = tokio::time::timeout(PATIENCE, consul.kv_list("foreshadow/", under(wait)));
    let (woken, put) = tokio::join!(watching, consul.kv_put("foreshadow/hold", b"1", None));
    assert!(put.unwrap());
    assert_eq!(woken.expect("the watcher wakes").unwrap().value.len(), 2);
    let nothing = consul.kv_list("nothing/", under(None)).await.unwrap();
    assert!(nothing.value.is_empty() && nothing.index > 0);
    assert!(consul.kv_delete(key, None, None).await.unwrap());
    assert_eq!(
        consul.kv_get(key, None, true, None).await.unwrap().value,
        None
    );
}

#[tokio::test]
async fn a_lock_has_an_epoch_that_fences_the_writes_of_a_dead_session() {
    let Some(agent) = Agent::start("lock", "127.0.210.7", "") else {
        return;
    };
    let consul = agent.client();
    let spec = SessionSpec {
        name: "leader".into(),
        ttl: Duration::from_secs(10),
        lock_delay: Duration::ZERO,
        delete_keys: false,
        node: None,
        check: None,
    };
    let (lock, target) = ("foreshadow/leader", "foreshadow/target/web");
    let first = consul.session_create(&spec, None).await.unwrap();
    let second = consul.session_create(&spec, None).await.unwrap();
    assert!(
        consul
            .kv_acquire(lock, b"first", &first, None)
            .await
            .unwrap()
    );
    assert!(
        !consul
            .kv_acquire(lock, b"second", &second, None)
            .await
            .unwrap()
    );
    let held = consul
        .kv_get(lock, None, true, None)
        .await
        .unwrap()
        .value
        .unwrap();
    assert_eq!(
        (held.lock_index, held.session.as_deref()),
        (1, Some(first.as_str()))
    );
    let renewed = consul.session_renew(&first, None).await.unwrap().unwrap();
    assert_eq!(
        (renewed.id.as_str(), renewed.behavior.as_str()),
        (first.as_str(), "release")
    );

    let write = |session: &str, index: u64, value: &[u8]| {
        vec![
            TxnOp::CheckSession {
                key: lock.into(),
                session: session.into(),
            },
            TxnOp::Cas {
                key: target.into(),
                value: value.to_vec(),
                index,
            },
        ]
    };
    let TxnOutcome::Done(pairs) = consul
        .txn(&write(&first, 0, b"plan 1"), None)
        .await
        .unwrap()
    else {
        panic!("the holder may write");
    };
    let index = pairs.iter().find(|p| p.key == target).unwrap().modify_index;
    let stale = consul
        .txn(&write(&first, 0, b"plan 2"), None)
        .await
        .unwrap();
    assert!(matches!(stale, TxnOutcome::Refused(r) if r[0].op_index == 1));

    consul.session_destroy(&first, None).await.unwrap();
    assert_eq!(consul.session_renew(&first, None).await.unwrap(), None);
    assert!(
        consul
            .kv_acquire(lock, b"second", &second, None)
            .await
            .unwrap()
    );
    let held = consul
        .kv_get(lock, None, true, None)
        .await
        .unwrap()
        .value
        .unwrap();
    assert_eq!(held.lock_index, 2, "each leader has a higher epoch");
    let dead = consul
        .txn(&write(&first, index, b"old leader"), None)
        .await
        .unwrap();
    assert!(matches!(dead, TxnOutcome::Refused(r) if r[0].op_index == 0));
    assert!(
        consul
            .txn(&write(&second, index, b"plan 3"), None)
            .await
            .unwrap()
            .is_done()
    );
    let read = consul
        .txn(&[TxnOp::Get { key: target.into() }], None)
        .await
        .unwrap();
    assert!(matches!(read, TxnOutcome::Done(p) if p[0].value == b"plan 3"));
    assert!(consul.kv_release(lock, b"", &second, None).await.unwrap());
    let dead = consul
        .kv_acquire(lock, b"x", &first, None)
        .await
        .unwrap_err();
    assert!(!dead.is_transient(), "{dead}");
    let too_many = vec![TxnOp::Get { key: lock.into() }; 65];
    assert!(matches!(
        consul.txn(&too_many, None).await,
        Err(HttpError::Invalid { .. })
    ));
}

#[tokio::test]
async fn a_session_ends_and_frees_its_lock_when_its_services_check_is_passed_no_more() {
    let Some(agent) = Agent::start("life", "127.0.210.12", "") else {
        return;
    };
    let consul = agent.client();
    let life = CheckDefinition {
        id: "foreshadow:1:life".into(),
        name: "it lives".into(),
        probe: Probe::Told {
            ttl: Duration::from_secs(3),
        },
        interval: Duration::ZERO,
        timeout: Duration::ZERO,
        initial: None,
        deregister_after: Some(Duration::from_secs(60)),
    };
    let entry = Registration {
        id: "foreshadow:1".into(),
        name: "foreshadow".into(),
        passing_weight: 1,
        warning_weight: 1,
        checks: vec![life.clone()],
        ..Registration::default()
    };
    let spec = SessionSpec {
        name: "leader".into(),
        ttl: Duration::from_secs(600),
        lock_delay: Duration::ZERO,
        delete_keys: false,
        node: None,
        check: Some(life.id.clone()),
    };
    assert!(consul.check_pass(&life.id).await.is_err(), "it is unknown");
    assert!(consul.session_create(&spec, None).await.is_err());
    consul.register(&entry).await.unwrap();
    assert!(
        consul.session_create(&spec, None).await.is_err(),
        "nobody has said yet that it lives"
    );
    consul.check_pass(&life.id).await.unwrap();
    let session = consul.session_create(&spec, None).await.unwrap();
    let lock = "foreshadow/leader";
    assert!(consul.kv_acquire(lock, b"", &session, None).await.unwrap());
    consul.check_pass(&life.id).await.unwrap();
    let held = consul.kv_get(lock, None, true, None).await.unwrap();
    assert_eq!(held.value.unwrap().session, Some(session.clone()));
    let wait = Wait {
        index: held.index,
        longest: Duration::from_secs(60),
    };
    let freed = consul.kv_get(lock, None, false, Some(wait)).await.unwrap();
    assert_eq!(freed.value.unwrap().session, None);
    assert!(
        consul
            .session_renew(&session, None)
            .await
            .unwrap()
            .is_none()
    );
    let checks = consul.agent_checks().await.unwrap();
    assert_eq!(checks[&life.id].status, "critical");
}
