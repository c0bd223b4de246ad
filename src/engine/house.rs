//! Puts the rooms together: clients, eyes, hands, leader, gateways and the wheel, as a configuration says.

use super::measure::LoadMeasurer;
use super::notes;
use super::recall::Recall;
use super::run::Tune;
use super::state::{State, Workload};
use super::view::{Command, LogKind, Mode, View};
use super::{Rules, Shell, clock, run};
use crate::act::owners::Desk;
use crate::act::{
    self, ClusterHands, Keeper, Lead, Leader, PaperHands, Presence, Probing, SERVICE, SharedJournal,
};
use crate::clients::consul::Consul;
use crate::clients::dns::{Dns, DnsError};
use crate::clients::gateway::Gateway;
use crate::clients::http::{HttpError, Peer};
use crate::clients::nomad::Nomad;
use crate::guard::{Hands, Lease, Writes};
use crate::model::*;
use crate::observe::{self, Cluster, Sources};
use crate::store::{self, Store};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A look waits no longer for any one answer: what does not come is unknown, and the rest is not held up.
const GLANCE: Duration = Duration::from_millis(1_500);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Dns(#[from] Box<DnsError>),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("no gateway is configured: there is nobody whose Consul agent could be spoken to")]
    NoGateway,
}

/// One gateway: its agent, and the DNS that clients there ask.
pub struct GatewaySetup {
    pub id: GatewayId,
    pub site: Site,
    pub consul: Peer,
    pub dns: Option<SocketAddr>,
    /// This process keeps its entries.
    pub local: bool,
}

/// What a house is built from.
pub struct Setup {
    pub name: String,
    /// Where Consul's agent can ask whether the view is fresh.
    pub api: Option<SocketAddr>,
    pub nomad: Peer,
    pub gateways: Vec<GatewaySetup>,
    pub kv_datacenter: Option<String>,
    /// The policies now, and as they are read again.
    pub rules: watch::Receiver<Rules>,
    /// Asks for them to be read again.
    pub reload: mpsc::Sender<()>,
    /// Filters the log.
    pub tune: Tune,
    pub store: Arc<Store>,
    pub mode: Mode,
    pub forecasting: bool,
    pub every: Span,
    pub source: Option<IpAddr>,
    pub seed: u64,
    /// Targets a second, over all services; and contingencies, at each gateway.
    pub writes: Writes,
}

/// A running house, as faces hold it.
pub struct House {
    pub views: watch::Receiver<Arc<View>>,
    pub commands: mpsc::Sender<Command>,
    wheel: JoinHandle<State>,
    helpers: Vec<JoinHandle<()>>,
}

impl House {
    /// Waits until the wheel has come to rest after its token was cancelled.
    pub async fn closed(self) -> State {
        let state = self.wheel.await.unwrap_or_default();
        for helper in self.helpers {
            // What it held is given back by itself; a lost task cannot be mended here.
            let _ = helper.await;
        }
        state
    }
}

/// Builds and starts everything. Nothing is written unless `setup.mode` is `Act`.
pub fn open(setup: Setup, cancel: CancellationToken) -> Result<House, Error> {
    let nomad = Arc::new(Nomad::new(&setup.nomad)?);
    let all = |longest: Option<Duration>| {
        let gateways = setup.gateways.iter();
        gateways
            .map(|g| gateway(g, longest, setup.source))
            .collect::<Result<Vec<_>, _>>()
    };
    let gateways = all(None)?;
    let first = gateways.first().ok_or(Error::NoGateway)?;
    let keeper = first.consul.clone();
    let state = remembered(&setup)?;
    let (leads_in, leads) = watch::channel(None);
    let (wake_in, wake) = mpsc::channel(1);
    // The lock is held and the gateways serve until the wheel is at rest: its last steps are journalled under that lock.
    let rest = CancellationToken::new();
    let at_rest = rest.clone().drop_guard();
    let mut helpers = Vec::new();
    let desks: Vec<Desk> = gateways.iter().map(|g| desk(g, &nomad, &setup)).collect();
    if setup.mode == Mode::Act {
        helpers.push(lead(&setup, keeper.clone(), leads_in, rest.clone()));
        for desk in desks.iter().filter(|d| d.gateway.local) {
            let (desk, wake, of) = (desk.clone(), wake_in.clone(), probing(&setup));
            let writes = setup.writes.clone();
            let keeper = move |services| Keeper {
                desk: desk.clone(),
                clock: clock::now,
                wake: wake.clone(),
                probing: Probing {
                    services,
                    ..of.clone()
                },
                writes: writes.clone(),
            };
            let kept = keep(keeper, setup.rules.clone(), rest.clone());
            helpers.push(tokio::spawn(kept));
        }
    }
    let quick = brief(&setup.nomad, Some(GLANCE));
    let sources = Sources {
        nomad: Arc::new(Nomad::new(&quick)?),
        lists: nomad.clone(),
        wake: Some(wake_in.clone()),
        gateways: all(Some(GLANCE))?,
        keeper: keeper.clone(),
        kv_datacenter: setup.kv_datacenter.clone(),
        policies: Vec::new(),
        source: setup.source,
        site: Some(first.site.clone()),
        clock: clock::now,
    };
    let open_eyes = move |rules: &Rules| -> Arc<dyn Eyes> {
        Arc::new(Cluster::new(Sources {
            policies: rules.policies.to_vec(),
            ..sources.clone()
        }))
    };
    let journal = SharedJournal::new(keeper.clone(), setup.kv_datacenter.clone(), leads.clone());
    let journal = Arc::new(journal);
    let shared = (setup.mode == Mode::Act).then(|| journal.clone());
    let hands: Arc<dyn Hands> = match setup.mode {
        Mode::Observe => Arc::new(PaperHands { clock: clock::now }),
        Mode::Act => Arc::new(ClusterHands {
            nomad: nomad.clone(),
            consul: keeper.clone(),
            kv_datacenter: setup.kv_datacenter.clone(),
            desks,
            leads: leads.clone(),
            journal: setup.store.clone(),
            shared: journal,
            measurer: Arc::new(LoadMeasurer {
                nomad,
                source: setup.source,
            }),
            clock: clock::now,
        }),
    };
    let notes = (setup.mode == Mode::Act).then(|| {
        let notes = act::Notes {
            consul: keeper.clone(),
            datacenter: setup.kv_datacenter.clone(),
            leads: leads.clone(),
        };
        let (desk, carrier) = notes::desk(notes);
        helpers.push(tokio::spawn(carrier.carry(setup.every, rest.clone())));
        desk
    });
    let leases = leases(leads, rest, &mut helpers);
    let (commands, orders) = mpsc::channel(16);
    let (views_in, views) = watch::channel(Arc::new(View::default()));
    let dc = setup.kv_datacenter.clone();
    let eyes = open_eyes(&setup.rules.borrow());
    let shell = Shell {
        eyes,
        rules: setup.rules,
        reload: setup.reload,
        tune: setup.tune,
        open_eyes: Box::new(open_eyes),
        hands,
        store: setup.store,
        shared,
        notes,
        leases,
        wake,
        commands: orders,
        hold: Box::new(move |on| {
            let (keeper, dc) = (keeper.clone(), dc.clone());
            Box::pin(async move {
                let set = act::hold(&keeper, dc.as_deref(), on).await;
                set.map_err(|e| e.to_string())
            })
        }),
        every: setup.every,
        clock: clock::now,
        seed: setup.seed,
        waker: wake_in,
    };
    let wheel = tokio::spawn(async move {
        let _at_rest = at_rest;
        run(shell, state, views_in, cancel).await
    });
    Ok(House {
        views,
        commands,
        wheel,
        helpers,
    })
}

fn desk(gateway: &Gateway, nomad: &Arc<Nomad>, setup: &Setup) -> Desk {
    Desk {
        gateway: gateway.clone(),
        nomad: Some(nomad.clone()),
        kv_datacenter: setup.kv_datacenter.clone(),
        meta_alloc: observe::META_ALLOC,
    }
}

/// A gateway's keeper, begun anew when other services are to be probed.
async fn keep(
    keeper: impl Fn(BTreeSet<ServiceName>) -> Keeper,
    mut rules: watch::Receiver<Rules>,
    cancel: CancellationToken,
) {
    while !cancel.is_cancelled() {
        let services = probed(&rules.borrow_and_update());
        let turn = cancel.child_token();
        let keeping = keeper(services.clone()).keep(turn.clone());
        tokio::pin!(keeping);
        tokio::select! {
            () = &mut keeping => return,
            Ok(_) = rules.wait_for(|r| probed(r) != services) => {}
        }
        turn.cancel();
        keeping.await;
    }
}

fn probed(rules: &Rules) -> BTreeSet<ServiceName> {
    let portions = rules.policies.iter().flat_map(|p| &p.portions);
    let probed = portions.filter(|p| p.probe);
    probed.filter_map(|p| p.front.clone()).collect()
}

/// From where the process's gateways probe; all of them look from the one place where it runs.
fn probing(setup: &Setup) -> Probing {
    let own = setup.gateways.iter().find(|g| g.local);
    Probing {
        services: BTreeSet::new(),
        vantage: own.map_or_else(String::new, |g| g.id.to_string()),
        source: setup.source,
    }
}

/// The same peer, asked with less patience.
fn brief(peer: &Peer, longest: Option<Duration>) -> Peer {
    let mut peer = peer.clone();
    peer.timeout = longest.map_or(peer.timeout, |l| l.min(peer.timeout));
    peer
}

fn gateway(
    setup: &GatewaySetup,
    longest: Option<Duration>,
    source: Option<IpAddr>,
) -> Result<Gateway, Error> {
    let dns = setup
        .dns
        .map(|at| Dns::new(at, Duration::from_secs(1), source))
        .transpose()
        .map_err(Box::new)?;
    Ok(Gateway {
        id: setup.id.clone(),
        site: setup.site.clone(),
        consul: Arc::new(Consul::new(&brief(&setup.consul, longest))?),
        dns: dns.map(Arc::new),
        local: setup.local,
    })
}

/// What the store still knows from earlier runs.
fn remembered(setup: &Setup) -> Result<State, Error> {
    let now = clock::now();
    let policies = setup.rules.borrow().policies.clone();
    let mut state = State {
        mode: setup.mode,
        forecasting: setup.forecasting,
        writes: setup.writes.clone(),
        beliefs: setup.store.beliefs()?,
        history: setup.store.histories(&policies, now)?,
        recall: Recall::of(&setup.store.pages()?),
        ..State::default()
    };
    let workloads = policies.iter().map(|policy| Workload {
        policy: policy.clone(),
        ..Workload::default()
    });
    state.workloads = workloads.collect();
    state.tally.profiles = state.beliefs.profiles.len() as u64;
    if let Some(mended) = setup.store.mended() {
        state.say(now, LogKind::Notice, None, None, mended.to_string());
    }
    Ok(state)
}

fn lead(
    setup: &Setup,
    consul: Arc<Consul>,
    leads: watch::Sender<Option<Lead>>,
    cancel: CancellationToken,
) -> JoinHandle<()> {
    let leader = Leader {
        consul,
        datacenter: setup.kv_datacenter.clone(),
        presence: presence(setup),
        clock: clock::now,
    };
    tokio::spawn(leader.keep(leads, cancel))
}

/// Our own entry at the first gateway's agent. Processes in containers may have the same number, so the moment is in its ID too.
fn presence(setup: &Setup) -> Presence {
    let first = setup.gateways.first();
    Presence {
        id: format!("{SERVICE}:{}:{}", std::process::id(), clock::now().0),
        name: setup.name.clone(),
        site: first.map_or_else(String::new, |g| g.site.to_string()),
        api: setup.api,
    }
}

/// The lease alone is the engine's business, the session is the hands'.
fn leases(
    mut leads: watch::Receiver<Option<Lead>>,
    cancel: CancellationToken,
    helpers: &mut Vec<JoinHandle<()>>,
) -> watch::Receiver<Option<Arc<Lease>>> {
    let (send, receive) = watch::channel(None);
    helpers.push(tokio::spawn(async move {
        loop {
            let lease = leads.borrow_and_update().as_ref().map(|l| l.lease.clone());
            send.send_replace(lease);
            tokio::select! {
                () = cancel.cancelled() => return,
                changed = leads.changed() => if changed.is_err() {
                    return cancel.cancelled().await;
                },
            }
        }
    }));
    receive
}
