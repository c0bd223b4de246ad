//! The whole way of a write: cleared by the guard, fenced by the leader's lock, applied by the gateway, verified.

use super::*;
use foreshadow::act::{ClusterHands, Journal, Lead, Leader, Measurer, Presence, SharedJournal};
use foreshadow::clients::http::{Peer, System};
use foreshadow::guard::{Facts, Hands, clear};
use foreshadow::settings;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::sync::watch;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

#[derive(Default)]
struct Kept(Mutex<Vec<(JournalState, String)>>);

impl Journal for Kept {
    fn write<'a>(&'a self, entry: &'a JournalEntry) -> Later<'a, Result<(), String>> {
        let note = entry.note.clone();
        self.0.lock().unwrap().push((entry.state, note));
        Box::pin(async { Ok(()) })
    }
}

impl Kept {
    fn states(&self) -> Vec<JournalState> {
        let kept = self.0.lock().unwrap();
        kept.iter().map(|(state, _)| *state).collect()
    }
}

struct Nothing;

impl Measurer for Nothing {
    fn measure<'a>(&'a self, _: &'a Action) -> Later<'a, Result<Measurement, String>> {
        Box::pin(async { Err("nothing is measured here".into()) })
    }
}

/// A world in which both instances are seen ready, and nothing stands in the way.
fn world() -> World {
    let at = now();
    let node = Node {
        id: "n".into(),
        name: "n".into(),
        site: "edge-a".into(),
        class: "c".into(),
        status: NodeStatus::Ready,
        eligible: true,
        draining: false,
        capacity: Resources::default(),
        clock: Mhz(1.0),
        price: Price(0.0),
        host_volumes: Default::default(),
        meta: Shared::default(),
    };
    let entry = |n: u8| FrontEntry {
        instance: alloc(n),
        address: "127.0.0.1".into(),
        port: 80,
        weight: 1,
        passing: true,
        checked: true,
        maintenance: false,
        agent_alive: true,
    };
    let entries = Seen::known(vec![entry(1), entry(2)].into(), at);
    let front = Front {
        entries: BTreeMap::from([("edge-a".into(), entries)]),
        ..Front::default()
    };
    World {
        nodes: Seen::known(vec![node].into(), at),
        hold: Seen::known(false, at),
        fronts: BTreeMap::from([(SERVICE.into(), front)]),
        ..World::unknown(at, "not looked at")
    }
}

fn step(target: Target) -> Step {
    Step {
        id: StepId::new("s"),
        plan: "p".into(),
        portion: Some("web".into()),
        cause: Cause::Upkeep,
        action: Action::SetTarget {
            target,
            before: None,
            planned: false,
        },
        why: "first shares".into(),
        waits_on: vec![],
    }
}

/// Takes the lock, and keeps it until the token is cancelled.
async fn leading(bench: &Bench) -> (Lead, watch::Receiver<Option<Lead>>, CancellationToken) {
    let (leads_in, mut leads) = watch::channel(None);
    let cancel = CancellationToken::new();
    let leader = Leader {
        consul: bench.consul.clone(),
        datacenter: None,
        presence: Presence {
            id: "foreshadow:test".into(),
            name: "test".into(),
            site: "edge-a".into(),
            api: None,
        },
        clock: now,
    };
    tokio::spawn(leader.keep(leads_in, cancel.clone()));
    let lead = leads.wait_for(Option::is_some).await.unwrap().clone();
    (lead.unwrap(), leads, cancel)
}

fn hands(
    bench: &Bench,
    leads: &watch::Receiver<Option<Lead>>,
    journal: &Arc<Kept>,
) -> ClusterHands {
    let nomad = Peer::plain(System::Nomad, "http://127.0.0.1:1").unwrap();
    ClusterHands {
        nomad: Arc::new(Nomad::new(&nomad).unwrap()),
        consul: bench.consul.clone(),
        kv_datacenter: None,
        desks: vec![bench.desk.clone()],
        leads: leads.clone(),
        journal: journal.clone(),
        shared: Arc::new(SharedJournal::new(
            bench.consul.clone(),
            None,
            leads.clone(),
        )),
        measurer: Arc::new(Nothing),
        clock: now,
    }
}

#[tokio::test]
async fn each_planned_step_is_verified_by_where_clients_of_a_real_consul_go() {
    let Some(agent) = Agent::start("owner-split", "127.0.214.9", "") else {
        return;
    };
    let bench = Bench::start(&agent, None);
    let (lead, leads, cancel) = leading(&bench).await;
    let mut servers = Vec::new();
    for _ in 0..2 {
        let server = MockServer::start().await;
        let well = Mock::given(any()).respond_with(ResponseTemplate::new(200));
        well.mount(&server).await;
        servers.push(server);
    }
    let at = |shares: [u32; 2]| {
        let one = |n: usize| {
            let port = servers[n].address().port();
            instance(alloc(n as u8 + 1), "127.0.0.1", port, shares[n])
        };
        Target {
            epoch: lead.lease.epoch(),
            ..target(Owner::Front, vec![one(0), one(1)])
        }
    };
    let mut before = at([100, 0]);
    before.index = bench.put(&before).await;
    bench.applied(&before, before.index).await;
    let passes = |e: &ServiceEntry| e.is_passing();
    let both = |all: &[ServiceEntry]| all.len() == 2 && all.iter().all(passes);
    bench.until("passing", both).await;
    let policy = settings::parse_policy("web.hcl", &policy("front")).unwrap();
    let journal = Arc::new(Kept::default());
    let hands = hands(&bench, &leads, &journal);
    let capacity = [1, 2].map(|n| (alloc(n), Rps(1_000.0))).into();
    for shares in [[99, 1], [95, 5], [75, 25], [50, 50], [0, 100]] {
        let mut world = world();
        let traffic = Traffic {
            rate: Rps(100.0),
            success: 1.0,
            samples: 100,
            p50: Millis(1.0),
            p99: Millis(1.0),
            at_slo: Millis(1.0),
        };
        let seen = Seen::known(traffic, now());
        world.traffic.insert("web".into(), seen);
        let facts = Facts {
            now: now(),
            acting: true,
            epoch: Some(lead.lease.epoch()),
            world: &world,
            policy: &policy,
            capacity: &capacity,
            inflight: &BTreeMap::new(),
            moving: None,
            max_step: Share::ALL,
            writes_left: 1,
        };
        let next = Target {
            index: before.index,
            ..at(shares)
        };
        let action = Action::SetTarget {
            target: next.clone(),
            before: Some(before),
            planned: true,
        };
        let planned = Step {
            action,
            ..step(next.clone())
        };
        let cleared = clear(planned, &facts).expect("cleared");
        let outcome = hands.apply(cleared, &lead.lease).await;
        assert_eq!(
            outcome.verdict,
            Verdict::Verified,
            "{shares:?}: {outcome:?}"
        );
        let note = journal.0.lock().unwrap().last().unwrap().1.clone();
        let took = outcome.at.since(outcome.started).0;
        println!("{shares:?} verified in {took} ms: {note}");
        let counted = note.contains("split of 512 clients");
        assert_eq!(counted, shares != [0, 100], "{note}");
        let key = keys::target(&next.service);
        let there = bench.consul.kv_get(&key, None, true, None).await.unwrap();
        before = Target {
            index: there.value.unwrap().modify_index,
            ..next
        };
    }
    cancel.cancel();
}

#[tokio::test]
async fn a_cleared_step_of_the_mesh_is_fenced_applied_and_read_back() {
    let ip = "127.0.214.8";
    let Some(agent) = Agent::start("owner-hands", ip, r#", "connect": {"enabled": true}"#) else {
        return;
    };
    let bench = Bench::start(&agent, None);
    let defaults = json!({"Kind": "service-defaults", "Name": SERVICE, "Protocol": "http"});
    assert!(bench.consul.config_cas(&defaults, 0).await.unwrap());
    let (lead, leads, cancel) = leading(&bench).await;
    let journal = Arc::new(Kept::default());
    let hands = hands(&bench, &leads, &journal);
    let policy = settings::parse_policy("web.hcl", &policy("mesh")).unwrap();
    let (world, none, empty) = (world(), BTreeMap::new(), BTreeMap::new());
    let facts = Facts {
        now: now(),
        acting: true,
        epoch: Some(lead.lease.epoch()),
        world: &world,
        policy: &policy,
        capacity: &none,
        inflight: &empty,
        moving: None,
        max_step: Share::ALL,
        writes_left: 1,
    };
    let half = |owner| Target {
        epoch: lead.lease.epoch(),
        ..target(
            owner,
            vec![
                instance(alloc(1), "127.0.0.1", 80, 50),
                instance(alloc(2), "127.0.0.1", 80, 50),
            ],
        )
    };
    // Nomad's own entries serve before any target: a target that gives none of them a share is not cleared.
    let mut nobody = half(Owner::Agent);
    nobody
        .instances
        .iter_mut()
        .for_each(|i| i.share = Share::NONE);
    assert!(clear(step(nobody), &facts).is_err());

    let cleared = clear(step(half(Owner::Mesh)), &facts).expect("cleared");
    let outcome = hands.apply(cleared, &lead.lease).await;
    assert_eq!(outcome.verdict, Verdict::Verified, "{outcome:?}");
    use JournalState::*;
    assert_eq!(journal.states(), [Intended, Applied, Verified]);
    let open = bench.consul.kv_list(keys::JOURNAL, KvQuery::default());
    assert_eq!(open.await.unwrap().value, [], "nothing is open in Consul");
    let splitter = bench
        .consul
        .config_entry("service-splitter", SERVICE, None)
        .await
        .unwrap();
    let epoch = lead.lease.epoch().0.to_string();
    assert_eq!(
        splitter.value.unwrap().meta("foreshadow_epoch"),
        Some(epoch.as_str())
    );

    // Twice the same is refused by the index, and changes nothing.
    let again = clear(step(half(Owner::Mesh)), &facts).expect("cleared");
    let outcome = hands.apply(again, &lead.lease).await;
    assert!(
        matches!(outcome.verdict, Verdict::Refused { .. }),
        "{outcome:?}"
    );
    cancel.cancel();
}
