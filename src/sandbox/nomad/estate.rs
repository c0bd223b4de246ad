//! The running server: one state behind a lock, what it wants done carried out beside it.

use super::client;
use super::http;
use super::registering::{Secrets, bootstrap};
use super::runtime::{Registrar, Runtime, TaskUsage};
use super::state::{Effect, EstateConfig, State, Wake};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Batches of events kept for streams that ask for the past.
const EVENT_BUFFER: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum NomadError {
    #[error(
        "binding the sandbox's Nomad API to {address}: choose another address, or end what listens there"
    )]
    Bind {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
}

/// The state, and who has to hear of its changes.
pub(super) struct Core {
    state: Mutex<State>,
    index: watch::Sender<u64>,
    effects: mpsc::UnboundedSender<Effect>,
    events: broadcast::Sender<Arc<Value>>,
    past: Mutex<VecDeque<Arc<Value>>>,
    runtime: Arc<dyn Runtime>,
    pub address: SocketAddr,
    pub stop: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    /// Look at the state.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&lock(&self.state))
    }

    /// Change the state; then tell those who wait and have done what has to be done.
    pub fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = lock(&self.state);
        let out = change(&mut state);
        self.publish(std::mem::take(&mut state.told));
        for effect in std::mem::take(&mut state.effects) {
            // The other end is gone only when the estate has stopped.
            let _ = self.effects.send(effect);
        }
        let index = state.index;
        drop(state);
        self.index
            .send_if_modified(|i| std::mem::replace(i, index) != index);
        out
    }

    fn publish(&self, told: Vec<Value>) {
        // A job and the evaluation it leads to are written at one index, one after the other.
        let second = |e: &Value| {
            e["Topic"] == "Evaluation"
                && (e["Type"] == "JobRegistered" || e["Type"] == "JobDeregistered")
        };
        let mut batches: BTreeMap<(u64, bool), Vec<Value>> = BTreeMap::new();
        for event in told {
            let index = event["Index"].as_u64().unwrap_or(0);
            let batch = batches.entry((index, second(&event))).or_default();
            batch.push(event);
        }
        let mut past = lock(&self.past);
        for ((index, _), events) in batches {
            let batch = Arc::new(serde_json::json!({"Index": index, "Events": events}));
            past.push_back(batch.clone());
            // No stream may be open.
            let _ = self.events.send(batch);
        }
        while past.len() > EVENT_BUFFER {
            past.pop_front();
        }
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.index.subscribe()
    }

    /// Events from an index on, the last ones if it has not been reached yet; and those to come.
    pub fn event_stream(&self, from: u64) -> (Vec<Arc<Value>>, broadcast::Receiver<Arc<Value>>) {
        let past = lock(&self.past);
        let receiver = self.events.subscribe();
        let reached = past.partition_point(|b| b["Index"].as_u64() < Some(from));
        let old = past.iter().skip(reached.min(past.len().saturating_sub(1)));
        (old.cloned().collect(), receiver)
    }

    pub fn usage(&self, alloc: &str) -> Option<BTreeMap<String, TaskUsage>> {
        self.runtime.usage(alloc)
    }

    fn wake(&self, wake: Wake) {
        self.write(|s| match wake {
            Wake::Evals => s.process_evals(),
            Wake::Compare => client::compare(s),
            Wake::HeartbeatMissed { node, beat } => s.heartbeat_missed(&node, beat),
            Wake::HealthDue { alloc, deployment } => client::health_due(s, &alloc, &deployment),
            Wake::HealthKnown {
                alloc,
                deployment,
                passing,
            } => client::health_known(s, &alloc, &deployment, passing),
            Wake::DeploymentDue(id) => s.deployment_due(&id),
            Wake::ProgressDue(id) => s.progress_due(&id),
            Wake::RestartTask {
                alloc,
                task,
                attempt,
            } => client::restart(s, &alloc, &task, attempt),
            Wake::FollowUp(id) => s.follow_up_due(&id),
            Wake::DrainDeadline { node, started } => s.drain_deadline(&node, started),
        });
    }
}

fn bind_error(config: &EstateConfig) -> impl FnOnce(std::io::Error) -> NomadError + use<> {
    let address = config.bind;
    move |source| NomadError::Bind { address, source }
}

/// The sandbox's Nomad.
pub struct NomadEstate;

impl NomadEstate {
    /// Serve the API at the address that `config` names, and schedule onto the nodes.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(
        config: EstateConfig,
        runtime: Arc<dyn Runtime>,
        registrar: Arc<dyn Registrar>,
    ) -> Result<Handle, NomadError> {
        let listener = std::net::TcpListener::bind(config.bind).map_err(bind_error(&config))?;
        Self::start_on(listener, config, runtime, registrar)
    }

    /// The same on a listener that holds the address already.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub fn start_on(
        listener: std::net::TcpListener,
        config: EstateConfig,
        runtime: Arc<dyn Runtime>,
        registrar: Arc<dyn Registrar>,
    ) -> Result<Handle, NomadError> {
        let usable = listener.set_nonblocking(true);
        let listener = usable.and_then(|()| tokio::net::TcpListener::from_std(listener));
        let listener = listener.map_err(bind_error(&config))?;
        let address = listener.local_addr().map_err(bind_error(&config))?;
        let (effects, todo) = mpsc::unbounded_channel();
        let core = Arc::new(Core {
            state: Mutex::new(State::new(config)),
            index: watch::channel(0).0,
            effects,
            events: broadcast::channel(1024).0,
            past: Mutex::new(VecDeque::new()),
            runtime: runtime.clone(),
            address,
            stop: CancellationToken::new(),
        });
        core.write(|_| ());
        let mut heard = runtime.events();
        let listening = core.clone();
        tokio::spawn(core.stop.clone().run_until_cancelled_owned(async move {
            while let Some(event) = heard.recv().await {
                listening.write(|s| client::heard(s, event));
            }
        }));
        tokio::spawn(core.stop.clone().run_until_cancelled_owned(carry_out(
            core.clone(),
            todo,
            registrar,
        )));
        tokio::spawn(http::serve(core.clone(), listener));
        Ok(Handle {
            core,
            secrets: Mutex::new(None),
        })
    }
}

/// Do what the state wants done: tasks in order, timers and Consul beside them.
async fn carry_out(
    core: Arc<Core>,
    mut todo: mpsc::UnboundedReceiver<Effect>,
    registrar: Arc<dyn Registrar>,
) {
    let mut agents: HashMap<String, mpsc::UnboundedSender<Effect>> = HashMap::new();
    while let Some(effect) = todo.recv().await {
        match effect {
            Effect::Start(task) => core.runtime.start(*task).await,
            Effect::Stop(alloc) => core.runtime.stop(&alloc).await,
            Effect::After(delay, wake) => {
                let core = core.clone();
                tokio::spawn(core.stop.clone().run_until_cancelled_owned(async move {
                    tokio::time::sleep(delay).await;
                    core.wake(wake);
                }));
            }
            Effect::AskHealth {
                node,
                ids,
                alloc,
                deployment,
            } => {
                let (core, registrar) = (core.clone(), registrar.clone());
                tokio::spawn(core.stop.clone().run_until_cancelled_owned(async move {
                    let passing = registrar.passing(&node, &ids).await;
                    core.wake(Wake::HealthKnown {
                        alloc,
                        deployment,
                        passing,
                    });
                }));
            }
            Effect::Register { ref node, .. }
            | Effect::Deregister { ref node, .. }
            | Effect::Compare { ref node, .. } => {
                let agent = agents
                    .entry(node.clone())
                    .or_insert_with(|| agent_queue(&core, registrar.clone()));
                // The queue lives as long as this loop.
                let _ = agent.send(effect);
            }
        }
    }
}

/// One agent's registrations in order, so that an agent that is away holds up nobody else.
fn agent_queue(core: &Arc<Core>, registrar: Arc<dyn Registrar>) -> mpsc::UnboundedSender<Effect> {
    let (sender, mut todo) = mpsc::unbounded_channel();
    tokio::spawn(core.stop.clone().run_until_cancelled_owned(async move {
        while let Some(effect) = todo.recv().await {
            match effect {
                Effect::Register { node, services } => registrar.register(&node, services).await,
                Effect::Deregister { node, ids } => registrar.deregister(&node, ids).await,
                Effect::Compare { node, services } => registrar.compare(&node, services).await,
                _ => {}
            }
        }
    }));
    sender
}

/// Holds a running estate.
pub struct Handle {
    core: Arc<Core>,
    secrets: Mutex<Option<Secrets>>,
}

impl Handle {
    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.core.address
    }

    /// The tokens of an estate with ACLs on, made at the first call; after that nobody else can bootstrap it.
    pub fn secrets(&self) -> Option<Secrets> {
        let mut secrets = lock(&self.secrets);
        if secrets.is_none() {
            *secrets = self.core.write(bootstrap);
        }
        secrets.clone()
    }

    /// Whether a node's client reaches the server; after `heartbeat_grace` without, the node is down.
    ///
    /// Its tasks run on meanwhile (a cut site), restarts included. Unknown names do nothing.
    pub fn set_node_heartbeat(&self, node: &str, beating: bool) {
        self.on_node(node, |s, id| s.set_beating(id, beating));
    }

    /// Whether a node is alive: without power its client is gone too, restarts nothing, and finds no task when it comes back.
    ///
    /// Killing the processes is the runtime's part.
    pub fn set_node_power(&self, node: &str, powered: bool) {
        self.on_node(node, |s, id| s.set_powered(id, powered));
    }

    fn on_node(&self, name: &str, change: impl FnOnce(&mut State, &str)) {
        self.core.write(|s| {
            if let Some(id) = s.node_named(name).map(|n| n.id.clone()) {
                change(s, &id);
            }
        });
    }

    /// Node names and IDs.
    pub fn nodes(&self) -> BTreeMap<String, String> {
        self.core.read(|s| {
            s.nodes
                .values()
                .map(|n| (n.config.name.clone(), n.id.clone()))
                .collect()
        })
    }

    /// Stop serving, and ask the runtime to stop all tasks.
    pub async fn stop(&self) {
        let running: Vec<String> = self.core.read(|s| {
            s.allocs
                .values()
                .filter(|a| a.view.received && !a.view.finished)
                .map(|a| a.id.clone())
                .collect()
        });
        self.core.stop.cancel();
        for alloc in running {
            self.core.runtime.stop(&alloc).await;
        }
    }
}
