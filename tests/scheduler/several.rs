//! Several gateways, each with a foreshadow of its own: those that follow show the leader's view; when it is killed, another one leads
//! and goes on from what it left.

use crate::cut::quiet;
use crate::estate::{Estate, JOB, a_real_consul};
use crate::program::{Program, alone, text};
use flate2::read::GzDecoder;
use foreshadow::act::{LIFE, LOCK_DELAY, TTL};
use foreshadow::clients::consul::{
    CheckDefinition, Consul, KvPair, Probe, Registration, SessionSpec,
};
use foreshadow::engine::view::{Command, View};
use foreshadow::model::{Epoch, Memo, Moment, Profile, keys};
use foreshadow::sandbox::world::ConsulKind;
use foreshadow::store::Store;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_secs(90);
/// Nothing breaks but what the test breaks.
pub const CALM: &str = "length = \"900s\"\nrps = 20\n";
const DATACENTER: Option<&str> = Some("edge");
const GATEWAYS: [&str; 3] = ["edge-a", "edge-b", "provider-a"];

pub async fn lock(consul: &Consul) -> Option<KvPair> {
    let lock = consul.kv_get(keys::LEADER, DATACENTER, true, None).await;
    lock.expect("Consul answers").value
}

/// Asks again until there is an answer, as long as a slow machine may take.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(began.elapsed() < STEP, "no {what} in {STEP:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A key that Consul itself frees as long after [`Witness::begins`] as a killed leader's lock may take to change hands: the order of
/// the two in Consul's log says which came first, whoever looks when.
struct Witness(Consul);

impl Witness {
    const KEY: &str = "witness";

    async fn begins(consul: Consul) -> Witness {
        let life = CheckDefinition {
            id: "witness:life".into(),
            name: "as long as it may take".into(),
            probe: Probe::Told {
                ttl: TTL + LOCK_DELAY,
            },
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            initial: None,
            deregister_after: None,
        };
        let spec = SessionSpec {
            name: Self::KEY.into(),
            ttl: STEP,
            lock_delay: Duration::ZERO,
            delete_keys: false,
            node: None,
            check: Some(life.id.clone()),
        };
        let entry = Registration {
            id: Self::KEY.into(),
            name: Self::KEY.into(),
            passing_weight: 1,
            warning_weight: 1,
            checks: vec![life],
            ..Registration::default()
        };
        consul.register(&entry).await.unwrap();
        consul.check_pass("witness:life").await.unwrap();
        let session = consul.session_create(&spec, DATACENTER).await.unwrap();
        let held = consul.kv_acquire(Self::KEY, b"", &session, DATACENTER);
        assert!(held.await.unwrap());
        Witness(consul)
    }

    /// The index at which the time was over.
    async fn over(self) -> u64 {
        let freed = until("end of the witness", async || {
            let key = self.0.kv_get(Self::KEY, DATACENTER, true, None).await;
            key.unwrap().value.filter(|k| k.session.is_none())
        });
        freed.await.modify_index
    }
}

/// Foreshadows by the name of their gateway.
struct Several {
    estate: Estate,
    consul: Consul,
    programs: BTreeMap<&'static str, Program>,
}

impl Several {
    /// The first one has learnt something; the others begin with empty stores.
    async fn start(consul: ConsulKind) -> Several {
        let mut estate = Estate::of(JOB, consul, Some(CALM)).await;
        estate.play();
        let config = estate.configure(quiet);
        let store = Store::open(&estate.folder().join(format!("{}.db", GATEWAYS[0]))).unwrap();
        store.remember(&[Memo::Profile(profile())]).unwrap();
        drop(store);
        let mut programs = BTreeMap::new();
        let consul = estate.gateway().0;
        for name in GATEWAYS {
            let own = estate.at_gateway(&config, name, &GATEWAYS);
            programs.insert(name, estate.schedule(&own));
            // The first one leads.
            until("a leader", async || lock(&consul).await?.session).await;
        }
        Several {
            consul,
            estate,
            programs,
        }
    }

    async fn view(&self, name: &str) -> Option<View> {
        self.estate.api(name).view().await.ok()
    }

    /// Who leads, by its own view, which must have the epoch of the lock.
    async fn leader(&self) -> (&'static str, Epoch) {
        until("leader", async || {
            let epoch = Epoch(lock(&self.consul).await?.lock_index);
            for name in self.programs.keys() {
                if self.view(name).await.is_some_and(|v| v.epoch == epoch) {
                    return Some((*name, epoch));
                }
            }
            None
        })
        .await
    }

    /// Everyone else shows what the leader showed in one of its cycles, and says whose word it is.
    async fn all_follow(&self, leader: &str, epoch: Epoch) {
        let mut led: BTreeMap<Moment, View> = BTreeMap::new();
        for name in self.programs.keys().filter(|n| **n != leader) {
            let (own, told) = until("word of the leader", async || {
                let view = self.view(leader).await?;
                led.insert(view.at, view);
                let own = self.view(name).await?;
                let following = own.following.as_ref()?;
                let told = led.get(&following.at)?.clone();
                Some((own, told))
            })
            .await;
            let following = own.following.as_ref().expect("it was there");
            assert_eq!((following.epoch, own.epoch), (epoch, Epoch(0)));
            assert!(following.leader.starts_with(leader), "{}", following.leader);
            assert_eq!(following.leader, own.leader);
            assert_eq!(following.deaf, None);
            assert_eq!((&own.steps, &own.waiting), (&told.steps, &told.waiting));
            let sentences = |v: &View| -> BTreeMap<String, String> {
                let all = v.portions.iter();
                all.map(|p| (p.id.to_string(), p.sentence.clone()))
                    .collect()
            };
            assert_eq!(sentences(&own), sentences(&told), "{name}");
        }
    }

    /// Kills the leader, and sees the lock change hands in time.
    async fn kill(&mut self, leader: &str) {
        let held = lock(&self.consul).await.expect("somebody leads");
        let session = held.session.as_deref().expect("a session holds it");
        let session = self.consul.session_renew(session, DATACENTER).await;
        let session = session.expect("Consul answers").expect("it lives");
        assert_eq!(session.ttl, format!("{}ms", TTL.as_millis()));
        assert_eq!(u128::from(session.lock_delay), LOCK_DELAY.as_nanos());
        let mut killed = self.programs.remove(leader).expect("it runs");
        killed.signal(Signal::SIGKILL);
        let began = Instant::now();
        let witness = Witness::begins(self.estate.gateway().0).await;
        killed.until_its_end(STEP);
        let taken = until("lock of another's", async || {
            let lock = lock(&self.consul).await?;
            (lock.session.is_some() && lock.session != held.session).then_some(lock)
        })
        .await;
        println!(
            "another gateway has the lock {:.1} s after {leader} was killed; an entry lives for {} s after its last word, and the lock's delay is {} s",
            began.elapsed().as_secs_f64(),
            LIFE.as_secs(),
            LOCK_DELAY.as_secs()
        );
        self.the_dead_is_known_as_dead(killed.pid()).await;
        let over = witness.over().await;
        assert!(
            taken.modify_index < over,
            "not within TTL and lock-delay: the lock was taken at Consul's index {}, they were over at {over}",
            taken.modify_index
        );
    }

    /// The one that was killed is dead in Consul, which has noticed by its silence; the one whose agent is in another datacenter than
    /// the keys has said once what that means.
    async fn the_dead_is_known_as_dead(&self, pid: u32) {
        let life = format!("foreshadow:{pid}:");
        let checks = self.consul.agent_checks().await.unwrap();
        let mut own = checks.values().filter(|c| c.check_id.starts_with(&life));
        let own = own.next().expect("its entry is there");
        assert_eq!(
            (own.status.as_str(), own.output.as_str()),
            ("critical", "TTL expired")
        );
        let log = std::fs::read_to_string(self.estate.folder().join("stderr.log")).unwrap();
        let elsewhere = "its keys are in datacenter edge, which is not our agent's";
        assert_eq!(log.matches(elsewhere).count(), 1, "{log}");
    }

    /// What was learnt is taken over from Consul's KV: the file is no file of a store any more.
    async fn comes_back_with_a_damaged_store(&mut self, name: &'static str) {
        let folder = self.estate.folder();
        for beside in ["db-wal", "db-shm"] {
            // Its last writes may be there or not.
            let _ = std::fs::remove_file(folder.join(format!("{name}.{beside}")));
        }
        std::fs::write(folder.join(format!("{name}.db")), vec![b'x'; 64 * 1024]).unwrap();
        let mut again = self.estate.schedule(&folder.join(format!("{name}.hcl")));
        for said in ["was damaged", "were taken over from Consul's KV"] {
            again.until(said, STEP, |line| text(line).contains(said));
        }
        self.programs.insert(name, again);
        until("what was learnt before", async || {
            let view = self.view(name).await?;
            let learnt = view.tally.profiles > 0;
            learnt.then_some(())
        })
        .await;
    }
}

/// What is believed of a place that nothing was measured at in this estate.
fn profile() -> Profile {
    let key = json!({"portion": "web", "release": "r", "site": "edge-a", "class": "edge-small"});
    let profile = json!({
        "key": key, "knee": 30.0, "knee_spread": 2.0, "cpu_a_request": 3.0, "memory": 32.0,
        "startup": 1000, "curve": [], "runs": 1, "samples": 100, "at": 1,
    });
    serde_json::from_value(profile).expect("a profile")
}

fn unpacked(note: &[u8]) -> Value {
    serde_json::from_reader(GzDecoder::new(note)).expect("packed JSON")
}

fn pinned(view: &View) -> Option<&str> {
    let cart = view.portions.iter().find(|p| p.id.as_str() == "cart");
    cart.and_then(|p| p.pinned.as_deref())
}

async fn the_leader_is_killed(consul: ConsulKind) {
    let _alone = alone();
    let mut several = Several::start(consul).await;
    let (first, old) = several.leader().await;
    several.all_follow(first, old).await;
    let pin = Command::By {
        who: "ann".into(),
        asked: Box::new(Command::Pin {
            portion: "cart".into(),
            on: true,
        }),
    };
    let said = several.estate.api(first).command(&pin).await;
    assert!(said.is_ok(), "{said:?}");
    let left = until("what it left", async || {
        let note = several.consul.kv_get(keys::BELIEFS, DATACENTER, true, None);
        let note = note.await.expect("Consul answers").value?;
        let taught = unpacked(&note.value)["profiles"].as_array()?.len();
        let follower = GATEWAYS.into_iter().find(|g| *g != first)?;
        let view = several.view(follower).await?;
        (taught > 0 && pinned(&view) == Some("ann")).then_some(note)
    })
    .await;
    assert!(left.value.len() < 320 * 1024, "{} bytes", left.value.len());

    several.kill(first).await;
    let (second, new) = several.leader().await;
    assert_ne!(second, first);
    assert_eq!(new.0, old.0 + 1, "the lock changed hands once");
    several.all_follow(second, new).await;
    let view = until("what the first one left", async || {
        let view = several.view(second).await?;
        let learnt = view.tally.profiles > 0;
        learnt.then_some(view)
    })
    .await;
    assert_eq!(pinned(&view), Some("ann"), "the pin outlives the leader");
    several.comes_back_with_a_damaged_store(first).await;
    several.programs.clear();
    several.estate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_show_the_leaders_view_and_one_of_them_leads_when_it_is_killed() {
    the_leader_is_killed(ConsulKind::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_show_the_leaders_view_and_one_of_them_leads_when_it_is_killed_on_a_real_consul()
{
    if let Some(consul) = a_real_consul() {
        the_leader_is_killed(consul).await;
    }
}
