//! Runs the sandbox's tasks as real child processes on their node's addresses, and measures them; it decides nothing and knows no schedule.

mod environment;
mod exec;
mod process;
mod usage;

pub use exec::{Launcher, Spawner, TASK_EXEC, task_exec};
pub use usage::{Process, processes};

use super::estate::Estate;
use super::links::{LinkError, Links};
use super::nomad::{Runtime, TaskEvent, TaskStart, TaskUsage};
use crate::model::NodeClass;
use async_trait::async_trait;
use nix::sys::signal::Signal;
use process::{Allocation, Started, Task};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use usage::Meter;

/// A usage is taken over at least this long, or it would be all noise of the 10 ms clock tick.
const SHORTEST_WINDOW: Duration = Duration::from_millis(800);

/// What a [`ProcessRuntime`] stands on.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// The foreshadow binary, also what a job's command `foreshadow` means when PATH has none.
    pub launcher: Launcher,
    /// Where allocations get their folders; removed by [`ProcessRuntime::shutdown`].
    pub folder: PathBuf,
    /// The tasks' PATH.
    pub path: String,
}

/// What went wrong with the runtime itself; what goes wrong with a task is an event.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("cannot make the folder {folder} for the tasks: name another with TMPDIR")]
    Folder {
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot write the speed of a node class to {path}: is there room on the disk?")]
    Speed {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot start the thread that tasks are started from")]
    Spawner(#[source] std::io::Error),
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Tasks as process groups. A node that is dead reports nothing, and nothing can be started on it.
pub struct ProcessRuntime {
    shared: Arc<Shared>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<TaskEvent>>>,
}

struct Shared {
    config: RuntimeConfig,
    estate: Arc<Estate>,
    links: Arc<Links>,
    spawner: Spawner,
    events: mpsc::UnboundedSender<TaskEvent>,
    allocations: Mutex<BTreeMap<String, Allocation>>,
    /// How many processes run.
    running: watch::Sender<usize>,
    closing: CancellationToken,
    meter: Mutex<Meter>,
}

impl ProcessRuntime {
    /// To be called within a tokio runtime.
    ///
    /// # Errors
    /// When its folder or its thread cannot be made.
    pub fn new(
        config: RuntimeConfig,
        estate: Arc<Estate>,
        links: Arc<Links>,
    ) -> Result<ProcessRuntime, RuntimeError> {
        std::fs::create_dir_all(&config.folder).map_err(|source| RuntimeError::Folder {
            folder: config.folder.clone(),
            source,
        })?;
        let (events, receiver) = mpsc::unbounded_channel();
        let shared = Shared {
            config,
            estate,
            links,
            spawner: Spawner::new().map_err(RuntimeError::Spawner)?,
            events,
            allocations: Mutex::default(),
            running: watch::Sender::new(0),
            closing: CancellationToken::new(),
            meter: Mutex::new(Meter::new()),
        };
        Ok(ProcessRuntime {
            shared: Arc::new(shared),
            receiver: Mutex::new(Some(receiver)),
        })
    }

    /// The node loses its power: its tasks are killed, its ports refuse, and nobody is told.
    ///
    /// # Errors
    /// When the estate has no such node.
    pub fn kill_node(&self, node: &str) -> Result<(), RuntimeError> {
        // Links first: a task that is being started sees the dead node after its process is there.
        self.shared.links.kill_node(node)?;
        let mut allocations = self.shared.allocations();
        allocations.retain(|_, a| {
            if a.node == node {
                a.signal(Signal::SIGKILL);
            }
            a.node != node
        });
        Ok(())
    }

    /// The node comes back empty.
    ///
    /// # Errors
    /// When the estate has no such node.
    pub fn revive_node(&self, node: &str) -> Result<(), RuntimeError> {
        Ok(self.shared.links.revive_node(node)?)
    }

    /// Nodes of the class give so many percent of their speed from now on, to tasks that run and to those to come.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn set_class_speed(&self, class: &NodeClass, percent: u32) -> Result<(), RuntimeError> {
        let path = self.shared.speed_file(class);
        let part = format!("{:.2}\n", f64::from(percent) / 100.0);
        // Whole or not at all: a task may be reading it.
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, part)
            .and_then(|()| std::fs::rename(&fresh, &path))
            .map_err(|source| RuntimeError::Speed { path, source })
    }

    /// The process of a task.
    pub fn pid(&self, alloc_id: &str, task: &str) -> Option<u32> {
        let allocations = self.shared.allocations();
        Some(allocations.get(alloc_id)?.tasks.get(task)?.pid)
    }

    /// Kill every task, wait until all are gone, and remove their folders.
    pub async fn shutdown(&self) {
        self.shared.closing.cancel();
        for allocation in self.shared.allocations().values() {
            allocation.signal(Signal::SIGKILL);
        }
        let mut running = self.shared.running.subscribe();
        // The sender lives in `self`, so the wait ends only with the last process.
        let _ = running.wait_for(|n| *n == 0).await;
        self.shared.allocations().clear();
        let folder = &self.shared.config.folder;
        if let Err(e) = tokio::fs::remove_dir_all(folder).await {
            tracing::warn!("cannot remove the tasks' folder {}: {e}", folder.display());
        }
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    async fn start(&self, task: TaskStart) {
        let shared = self.shared.clone();
        if shared.expect(&task) {
            tokio::spawn(async move { shared.run(task).await });
        }
    }

    async fn stop(&self, alloc_id: &str) {
        let mut allocations = self.shared.allocations();
        let Some(allocation) = allocations.get_mut(alloc_id) else {
            return; // ended by itself, or its node is dead
        };
        allocation.stopping = true;
        for (name, task) in &allocation.tasks {
            Shared::end(&self.shared, alloc_id, name, task.pid, task.kill_timeout);
        }
    }

    fn usage(&self, alloc_id: &str) -> Option<BTreeMap<String, TaskUsage>> {
        let now = Instant::now();
        let mut allocations = self.shared.allocations();
        let allocation = allocations.get_mut(alloc_id)?;
        let clock = self.shared.estate.node(&allocation.node)?.clock.0;
        let mut meter = lock(&self.shared.meter);
        let mut measure = |(name, task): (&String, &mut Task)| {
            task.measure(&mut meter, now);
            let usage = TaskUsage {
                cpu_percent: task.cores * 100.0,
                cpu_ticks_mhz: task.cores * clock,
                rss_bytes: task.rss_bytes,
                at_nanos: nanos_now(),
            };
            (name.clone(), usage)
        };
        Some(allocation.tasks.iter_mut().map(&mut measure).collect())
    }

    fn events(&self) -> mpsc::UnboundedReceiver<TaskEvent> {
        let first = lock(&self.receiver).take();
        first.unwrap_or_else(|| mpsc::unbounded_channel().1)
    }
}

impl Shared {
    fn allocations(&self) -> MutexGuard<'_, BTreeMap<String, Allocation>> {
        lock(&self.allocations)
    }

    /// A dead node says nothing, and nobody may be listening any more.
    fn tell(&self, node: &str, event: TaskEvent) {
        if self.links.is_alive(node) {
            let _ = self.events.send(event);
        }
    }

    /// Whether the task may be started; from then on the allocation is known, so that a stop finds it.
    fn expect(&self, task: &TaskStart) -> bool {
        let dead = self.estate.node(&task.node).is_some() && !self.links.is_alive(&task.node);
        if dead || self.closing.is_cancelled() {
            return false;
        }
        let mut allocations = self.allocations();
        let allocation = allocations
            .entry(task.alloc_id.clone())
            .or_insert_with(|| Allocation::new(&task.node));
        allocation.starting += 1;
        self.running.send_modify(|n| *n += 1);
        true
    }

    /// A task from its start to its end.
    async fn run(self: Arc<Self>, task: TaskStart) {
        match self.launch(&task).await {
            Ok(started) => self.attend(&task, started).await,
            Err(error) => {
                if self.abandon(&task.alloc_id) {
                    let event = TaskEvent::FailedToStart {
                        alloc_id: task.alloc_id,
                        task: task.task,
                        error,
                    };
                    self.tell(&task.node, event);
                }
            }
        }
        self.running.send_modify(|n| *n -= 1);
    }

    /// From the running process to its exit.
    async fn attend(self: &Arc<Self>, task: &TaskStart, mut started: Started) {
        let pid = started.pid;
        self.links.owners().register(pid, started.site_number);
        if self.admit(task, &mut started) {
            let event = TaskEvent::Started {
                alloc_id: task.alloc_id.clone(),
                task: task.task.clone(),
                pid,
            };
            self.tell(&task.node, event);
        } else {
            process::signal_group(pid, Signal::SIGKILL);
        }
        let status = started.child.wait().await;
        // What the task started and left behind ends with it.
        process::signal_group(pid, Signal::SIGKILL);
        self.links.owners().forget(pid);
        if self.dismiss(&task.alloc_id, &task.task, pid) {
            let (code, signal) = process::outcome(status);
            let event = TaskEvent::Exited {
                alloc_id: task.alloc_id.clone(),
                task: task.task.clone(),
                code,
                signal,
            };
            self.tell(&task.node, event);
        }
    }

    /// Whether the started task is still wanted: its node has not died meanwhile. One that was stopped meanwhile is ended in order.
    fn admit(self: &Arc<Self>, task: &TaskStart, started: &mut Started) -> bool {
        let mut allocations = self.allocations();
        let Some(allocation) = allocations.get_mut(&task.alloc_id) else {
            return false;
        };
        allocation.admit(task, started);
        if allocation.stopping {
            Shared::end(
                self,
                &task.alloc_id,
                &task.task,
                started.pid,
                task.kill_timeout,
            );
        }
        !self.closing.is_cancelled()
    }

    /// The task does not come; whether it was still wanted.
    fn abandon(&self, alloc_id: &str) -> bool {
        let mut allocations = self.allocations();
        let Some(allocation) = allocations.get_mut(alloc_id) else {
            return false;
        };
        allocation.starting = allocation.starting.saturating_sub(1);
        if allocation.is_over() {
            allocations.remove(alloc_id);
        }
        true
    }

    /// Interrupt a task, and kill it when its time is up.
    fn end(shared: &Arc<Shared>, alloc_id: &str, task: &str, pid: u32, timeout: Duration) {
        process::signal_group(pid, Signal::SIGTERM);
        let (shared, alloc_id, task) = (shared.clone(), alloc_id.to_string(), task.to_string());
        tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            let allocations = shared.allocations();
            let now = allocations.get(&alloc_id).and_then(|a| a.tasks.get(&task));
            if now.is_some_and(|t| t.pid == pid) {
                process::signal_group(pid, Signal::SIGKILL);
            }
        });
    }

    /// Whether the task was still known; with the last task the allocation's ports close.
    fn dismiss(&self, alloc_id: &str, task: &str, pid: u32) -> bool {
        let mut allocations = self.allocations();
        let Some(allocation) = allocations.get_mut(alloc_id) else {
            return false;
        };
        let known = allocation.tasks.get(task).is_some_and(|t| t.pid == pid);
        if known {
            allocation.tasks.remove(task);
        }
        if allocation.is_over() {
            allocations.remove(alloc_id);
        }
        known
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn nanos_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
pub(crate) mod tests;
