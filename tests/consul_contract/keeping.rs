//! A gateway that keeps up what Nomad registers of very many services at an agent of either Consul: one check that changes has it
//! answer for that service, and ask a few lists for all others together.

use crate::common;
use crate::crowd::{AGENT, FRONTS, PATIENCE, consul, count, front, say, told};
use crate::proxy::Proxy;
use crate::rig::{self, Rig, until};
use foreshadow::act::owners::Desk;
use foreshadow::act::{Keeper, Probing};
use foreshadow::clients::consul::{Consul, HealthQuery, KvQuery, Registration, ServiceEntry};
use foreshadow::clients::gateway::Gateway;
use foreshadow::engine::clock;
use foreshadow::guard::Writes;
use foreshadow::model::*;
use foreshadow::observe::META_ALLOC;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The service of which an instance fails.
const FAILS: usize = 41;
/// The one that Nomad starts another instance of.
const GROWS: usize = 69;
/// Changes of a check, one heard after the other.
const CHANGES: usize = 20;

/// As Nomad's clients name what they register.
fn id(k: usize, n: u8) -> String {
    let alloc = common::alloc_id(n);
    format!("_nomad-task-{alloc}-group-web-{}-http", front(k))
}

fn nomads(k: usize, n: u8) -> Registration {
    told(
        id(k, n),
        &front(k),
        &format!("10.0.0.{n}"),
        20_000 + u16::from(n),
    )
}

/// Three quarters and one, and what is prepared for the loss of the larger.
fn target(k: usize) -> Target {
    let other = BTreeMap::from([
        (common::alloc_id(1), Share::NONE),
        (common::alloc_id(2), Share::ALL),
    ]);
    let lost = Contingency {
        domain: Domain::Site("edge-a".into()),
        lost: [common::alloc_id(1)].into(),
        shares: other.into(),
        stake: None,
    };
    Target {
        service: front(k),
        owner: Owner::Agent,
        contingencies: vec![lost].into(),
        index: 0,
        ..common::target(vec![
            common::instance(1, "edge-a", 1, 7_500),
            common::instance(2, "edge-b", 1, 2_500),
        ])
    }
}

/// A gateway's keeper over a link that counts, and who registers and looks beside that link.
struct Bench {
    rig: Rig,
    direct: Arc<Consul>,
    link: Proxy,
    _keeping: DropGuard,
}

impl Bench {
    async fn start(rig: Rig) -> Bench {
        let direct = consul(rig.http(AGENT));
        let made = join_all((0..FRONTS).map(|k| {
            let direct = &direct;
            async move {
                direct.register(&nomads(k, 1)).await?;
                direct.register(&nomads(k, 2)).await?;
                let value = serde_json::to_vec(&target(k)).expect("plain data");
                direct.kv_put(&keys::target(&front(k)), &value, None).await
            }
        }));
        let made: Result<Vec<bool>, _> = made.await.into_iter().collect();
        assert!(made.expect("all are written").iter().all(|put| *put));
        let link = Proxy::before(rig.http(AGENT)).await;
        let cancel = CancellationToken::new();
        let keeper = Keeper {
            desk: Desk {
                gateway: Gateway {
                    id: "edge-a".into(),
                    site: "edge-a".into(),
                    consul: consul(link.at),
                    dns: None,
                    local: true,
                },
                nomad: None,
                kv_datacenter: None,
                meta_alloc: META_ALLOC,
            },
            clock: clock::now,
            wake: mpsc::channel(1).0,
            probing: Probing::default(),
            writes: Writes::default(),
        };
        tokio::spawn(keeper.keep(cancel.clone()));
        Bench {
            rig,
            direct,
            link,
            _keeping: cancel.drop_guard(),
        }
    }

    async fn entries(&self, k: usize) -> Vec<ServiceEntry> {
        let name = front(k);
        let query = HealthQuery::default();
        let found = self.direct.health_service(name.as_str(), query).await;
        found.expect("an answer").value
    }

    /// Waits until an entry of this service is in maintenance.
    async fn is_out(&self, id: &str, k: usize) {
        let seen = until(PATIENCE, || async {
            let entries = self.entries(k).await;
            let found = entries.iter().find(|e| e.service.id == id);
            found.is_some_and(ServiceEntry::in_maintenance)
        });
        assert!(seen.await, "{id} never out: {:?}", self.entries(k).await);
    }

    /// Waits until the gateway only waits for news of targets and of checks; what it asked until then.
    async fn at_rest(&self) -> Vec<String> {
        let rests = until(PATIENCE, || async { self.link.waiting() == 2 });
        let rests = rests.await;
        let asked = self.link.asked();
        assert!(rests, "it never rests: {asked:#?}");
        asked
    }

    async fn all_targets_are_applied(&self) {
        let applied = until(PATIENCE, || async {
            let all = self.direct.kv_list(keys::APPLIED, KvQuery::default()).await;
            all.expect("an answer").value.len() == FRONTS
        });
        assert!(applied.await, "not all targets were applied");
        let weighed = self.entries(GROWS).await;
        let mut weights: Vec<u16> = weighed.iter().map(|e| e.service.weights.passing).collect();
        weights.sort_unstable();
        assert_eq!(weights, [1, 3]);
    }

    async fn one_that_fails_is_switched_and_one_that_is_new_is_held_back(&self) {
        self.at_rest().await;
        say(&self.rig, "fail", &id(FAILS, 1)).await;
        self.is_out(&id(FAILS, 1), FAILS).await;
        few("switched", &self.at_rest().await);

        // As Nomad registers it, it is critical until its check has run.
        let mut newcomer = nomads(GROWS, 3);
        newcomer.checks[0].initial = None;
        let register = self.direct.register(&newcomer).await;
        register.expect("registered");
        self.is_out(&newcomer.id, GROWS).await;
        few("held back", &self.at_rest().await);
    }

    /// An agent goes on with a question that nobody waits for any more, and each holds one of the 200 connections that it takes.
    async fn no_question_is_given_up_while_checks_change(&self) {
        let (before, loud) = (self.link.given_up(), id(GROWS, 3));
        for round in 0..CHANGES {
            let state = if round % 2 == 0 { "pass" } else { "fail" };
            say(&self.rig, state, &loud).await;
            let heard = until(PATIENCE, || async {
                let asked = self.link.asked();
                count(&asked, "/v1/health/state/critical") > 0
            });
            assert!(heard.await, "change {round} is not heard");
        }
        let given_up = self.link.given_up() - before;
        assert!(given_up < CHANGES / 5, "{given_up} of {CHANGES}");
    }
}

/// No more than the lists of what fails, of services and of checks, a few times each, and what is written of one service.
fn few(what: &str, asked: &[String]) {
    let lists = count(asked, "/v1/agent/services");
    println!("{what}: {} requests, {lists} lists", asked.len());
    assert!(lists > 0, "nothing was kept up: {asked:#?}");
    assert!(asked.len() < FRONTS / 2, "{what}: {asked:#?}");
}

async fn scenes(rig: Rig) {
    let bench = Bench::start(rig).await;
    bench.all_targets_are_applied().await;
    bench
        .one_that_fails_is_switched_and_one_that_is_new_is_held_back()
        .await;
    bench.no_question_is_given_up_while_checks_change().await;
    bench.rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_services_of_nomads_at_an_embedded_agent_are_kept_up_by_few_requests() {
    scenes(rig::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_services_of_nomads_at_a_real_agent_are_kept_up_by_few_requests() {
    match rig::real().await {
        Some(rig) => scenes(rig).await,
        None => println!("SKIPPED: no consul 1.8.7 on PATH nor unpacked by tests/setup"),
    }
}
