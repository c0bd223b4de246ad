//! What a gateway does by itself when a check turns critical, and when it has turned well again.

use super::*;
use std::collections::BTreeMap;

/// A contingency is ended after ten seconds without a failure, and looked at every twenty.
const LONGER: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contingency_that_nobody_corrects_ends_once_what_it_was_for_is_well_again() {
    let ip = "127.0.214.16";
    let Some(agent) = Agent::start("owner-contingency", ip, "") else {
        return;
    };
    let bench = Bench::start(&agent, None);
    let (a, b) = (Backend::start(ip), Backend::start(ip));
    let shares = |one, two| {
        target(
            Owner::Front,
            vec![
                instance(alloc(1), ip, a.port(), one),
                instance(alloc(2), "127.0.214.16", b.port(), two),
            ],
        )
    };
    // Both are known to be well before anything depends on it.
    let mut first = shares(60, 40);
    bench.apply(&first).await;
    bench.until("both pass", |e| passing(e, 2)).await;
    first.instances[0].site = "edge-b".into();
    let to_other = [(alloc(1), Share::NONE), (alloc(2), Share::ALL)];
    first.contingencies = vec![Contingency {
        domain: Domain::Node("n".into()),
        lost: [alloc(1)].into(),
        shares: BTreeMap::from(to_other).into(),
        stake: None,
    }]
    .into();
    bench.apply(&first).await;
    let of = |e: &[ServiceEntry], n: u8| {
        let id = format!("foreshadow-{SERVICE}-{n:08x}");
        let entry = of(e, &id);
        entry.map(|e| (e.is_passing(), e.service.weights.passing))
    };

    a.fail(true);
    let switched =
        |e: &[ServiceEntry]| of(e, 1).is_some_and(|(well, _)| !well) && of(e, 2) == Some((true, 1));
    bench.until("the other one has all", switched).await;

    a.fail(false);
    let again = async {
        loop {
            let query = HealthQuery::default();
            let seen = bench.consul.health_service(SERVICE, query).await.unwrap();
            if of(&seen.value, 1) == Some((true, 3)) && of(&seen.value, 2) == Some((true, 2)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let again = tokio::time::timeout(LONGER, again).await;
    again.expect("the target's weights, 3 to 2, are in force again");
    let key = keys::applied(&bench.desk.gateway.id, &SERVICE.into());
    let report = bench.consul.kv_get(&key, None, true, None).await.unwrap();
    let report: Applied = serde_json::from_slice(&report.value.unwrap().value).unwrap();
    assert_eq!(report.contingency, None, "and the gateway says so");
}
