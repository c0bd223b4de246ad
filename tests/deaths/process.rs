//! What of a scheduler writes: hands, journals, eyes, and the settling of what was left open.

use crate::common;
use crate::estate::{Estate, consul_at, nomad_at};
use crate::now;
use crate::wire::{Gate, Gated, proxy};
use foreshadow::act::{ClusterHands, Lead, SharedJournal};
use foreshadow::clients::consul::{Consul, SessionSpec};
use foreshadow::engine::{Settling, State};
use foreshadow::guard::{Facts, Hands, Lease, clear};
use foreshadow::model::*;
use foreshadow::observe::{Cluster, Sources};
use foreshadow::store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub struct Process {
    hands: ClusterHands,
    pub store: Arc<Store>,
    lead: Lead,
    shared: Arc<SharedJournal>,
    _leads: watch::Sender<Option<Lead>>,
}

impl Process {
    /// Leads from now on. All that its hands write goes through the gate.
    pub async fn start(estate: &Estate, store: Arc<Store>, gate: Arc<Gate>) -> Process {
        let nomad = proxy("nomad", estate.nomad_at, gate.clone()).await;
        let consul = proxy("consul", estate.consul_at, gate.clone()).await;
        let consul = Arc::new(consul_at(consul));
        let lead = lead(&estate.consul).await;
        let (sender, leads) = watch::channel(Some(lead.clone()));
        let shared = Arc::new(SharedJournal::new(consul.clone(), None, leads.clone()));
        let hands = ClusterHands {
            nomad: Arc::new(nomad_at(nomad)),
            consul,
            kv_datacenter: None,
            desks: vec![estate.desk.clone()],
            leads,
            journal: Arc::new(Gated {
                inner: store.clone(),
                gate: gate.clone(),
            }),
            shared: shared.clone(),
            measurer: gate,
            clock: now,
        };
        Process {
            hands,
            store,
            lead,
            shared,
            _leads: sender,
        }
    }

    pub fn epoch(&self) -> Epoch {
        self.lead.lease.epoch()
    }

    /// Through the guard, in a world where nothing stands in the way.
    pub async fn apply(&self, step: Step) -> Outcome {
        let world = common::at(common::with_standby(common::world()), now());
        let (policy, none, empty) = (common::policy(), BTreeMap::new(), BTreeMap::new());
        let facts = Facts {
            now: now(),
            acting: true,
            epoch: Some(self.epoch()),
            world: &world,
            policy: &policy,
            capacity: &none,
            inflight: &empty,
            moving: None,
            max_step: Share::ALL,
            writes_left: 1,
        };
        let step = clear(step, &facts).unwrap_or_else(|held| panic!("{held:?}"));
        self.hands.apply(step, &self.lead.lease).await
    }

    /// Looks and settles until nothing is open, here and in Consul.
    pub async fn settle(&self, estate: &Estate) {
        let (eyes, mut state) = (eyes(estate), State::default());
        state.epoch = Some(self.epoch());
        let mut settling = Settling::default();
        settling.leads(state.epoch, now());
        let (store, shared) = (&self.store, Some(&*self.shared));
        loop {
            let at = now();
            let world = eyes.look(at).await;
            settling.settle(store, shared, &mut state, &world, at).await;
            if store.open_steps().unwrap().is_empty() && estate.open().await.is_empty() {
                return;
            }
        }
    }
}

/// A gateway that starts again and does not lead settles its own steps.
pub async fn follow(estate: &Estate, store: &Store) {
    let (eyes, mut state) = (eyes(estate), State::default());
    let mut settling = Settling::default();
    let at = now();
    let world = eyes.look(at).await;
    settling.settle(store, None, &mut state, &world, at).await;
}

pub fn eyes(estate: &Estate) -> Cluster {
    Cluster::new(Sources {
        nomad: estate.nomad.clone(),
        lists: estate.nomad.clone(),
        wake: None,
        gateways: vec![estate.desk.gateway.clone()],
        keeper: estate.consul.clone(),
        kv_datacenter: None,
        policies: vec![common::policy()],
        source: None,
        site: Some("edge-a".into()),
        clock: now,
    })
}

/// The lock under a session of its own; without a delay, so that the next one need not wait.
pub async fn lead(consul: &Consul) -> Lead {
    let spec = SessionSpec {
        name: "test".into(),
        ttl: Duration::from_secs(600),
        lock_delay: Duration::ZERO,
        delete_keys: false,
        node: None,
        check: None,
    };
    let session = consul.session_create(&spec, None).await.unwrap();
    let taken = consul.kv_acquire(keys::LEADER, b"test", &session, None);
    assert!(taken.await.unwrap(), "the lock is free");
    let lock = consul.kv_get(keys::LEADER, None, true, None).await.unwrap();
    let epoch = Epoch(lock.value.unwrap().lock_index);
    Lead {
        lease: Arc::new(Lease::new(epoch, now() + Span::secs(600))),
        session,
    }
}

/// The process is gone, and Consul has noticed.
pub async fn next_lead(estate: &Estate, dead: Process) {
    step_back(estate, &dead.lead).await;
}

/// The session ends, and with it the lock.
pub async fn step_back(estate: &Estate, lead: &Lead) {
    let ended = estate.consul.session_destroy(&lead.session, None);
    ended.await.unwrap();
}
