//! One task's process group: its folders, its start, its measures and its end.

use super::environment::{Folders, environment, interpolate};
use super::usage::{Meter, Sample};
use super::{SHORTEST_WINDOW, Shared};
use crate::load::shop::NODE_SPEED_FILE;
use crate::model::NodeClass;
use crate::sandbox::estate::NodeSpec;
use crate::sandbox::links::Nic;
use crate::sandbox::nomad::TaskStart;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use tokio::process::Child;

/// The drivers that run a plain command.
const DRIVERS: [&str; 2] = ["raw_exec", "exec"];
/// The command that means this program.
const OURSELVES: &str = "foreshadow";

/// An allocation with at least one process.
pub(super) struct Allocation {
    pub(super) node: String,
    pub(super) tasks: BTreeMap<String, Task>,
    /// How many tasks are on their way.
    pub(super) starting: usize,
    pub(super) stopping: bool,
    /// By label; open while a task runs.
    nics: BTreeMap<String, Nic>,
}

/// A running task.
pub(super) struct Task {
    pub(super) pid: u32,
    pub(super) kill_timeout: Duration,
    last: Sample,
    /// Cores in use over the last window.
    pub(super) cores: f64,
    pub(super) rss_bytes: u64,
}

/// A process that has just been started.
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) pid: u32,
    pub(super) site_number: u8,
    nics: BTreeMap<String, Nic>,
}

impl Allocation {
    pub(super) fn new(node: &str) -> Allocation {
        Allocation {
            node: node.to_string(),
            tasks: BTreeMap::new(),
            starting: 0,
            stopping: false,
            nics: BTreeMap::new(),
        }
    }

    pub(super) fn admit(&mut self, task: &TaskStart, started: &mut Started) {
        self.starting = self.starting.saturating_sub(1);
        for (label, nic) in std::mem::take(&mut started.nics) {
            self.nics.entry(label).or_insert(nic);
        }
        let entry = Task::new(started.pid, task.kill_timeout, Instant::now());
        self.tasks.insert(task.task.clone(), entry);
    }

    pub(super) fn signal(&self, signal: Signal) {
        for task in self.tasks.values() {
            signal_group(task.pid, signal);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.tasks.is_empty() && self.starting == 0
    }

    pub(super) fn port(&self, label: &str) -> Option<&Nic> {
        self.nics.get(label)
    }
}

impl Task {
    fn new(pid: u32, kill_timeout: Duration, now: Instant) -> Task {
        let last = Sample {
            at: now,
            cpu: Duration::ZERO,
            rss_bytes: 0,
        };
        Task {
            pid,
            kill_timeout,
            last,
            cores: 0.0,
            rss_bytes: 0,
        }
    }

    /// Look again, unless the last look is too near to tell anything.
    pub(super) fn measure(&mut self, meter: &mut Meter, now: Instant) {
        let Some(sample) = meter.sample(self.pid, now) else {
            return;
        };
        self.take(sample);
    }

    fn take(&mut self, sample: Sample) {
        self.rss_bytes = sample.rss_bytes;
        let window = sample.at.saturating_duration_since(self.last.at);
        if window >= SHORTEST_WINDOW {
            let used = sample.cpu.saturating_sub(self.last.cpu);
            self.cores = used.as_secs_f64() / window.as_secs_f64();
            self.last = sample;
        }
    }
}

/// A group that has ended already needs no signal.
pub(super) fn signal_group(leader: u32, signal: Signal) {
    // Group 0 would be our own.
    if let Ok(leader @ 1..) = i32::try_from(leader) {
        let _ = killpg(Pid::from_raw(leader), signal);
    }
}

/// Exit code and signal, as Nomad reports them.
pub(super) fn outcome(status: std::io::Result<ExitStatus>) -> (i32, i32) {
    let Ok(status) = status else { return (-1, 0) };
    let signal = status.signal().unwrap_or(0);
    let killed = 128 + signal; // as a shell counts, and Nomad with it
    (status.code().unwrap_or(killed), signal)
}

impl Shared {
    /// Folders, ports and the process; the error is told to the operator as the task's driver failure.
    pub(super) async fn launch(&self, task: &TaskStart) -> Result<Started, String> {
        let node = self.estate.node(&task.node);
        let node = node.ok_or_else(|| format!("the estate has no node `{}`", task.node))?;
        if !DRIVERS.contains(&task.driver.as_str()) {
            return Err(format!(
                "the sandbox runs raw_exec and exec tasks; `{}` is a {} task",
                task.task, task.driver
            ));
        }
        let folders = self
            .make_folders(task)
            .map_err(|e| format!("cannot make the task's folders: {e}"))?;
        let (inner, outer) = (self.estate.inner(node), self.estate.outer(node));
        let mut env = environment(task, &folders, inner, outer, &self.config.path);
        let program = self.program(&interpolate(&task.command, &env), &folders)?;
        let args: Vec<String> = task.args.iter().map(|a| interpolate(a, &env)).collect();
        // Only our own pretend services can be as slow as their node; nobody else is told more than Nomad tells.
        if self.is_ours(&program) {
            let speed = self.speed_file(&node.class).display().to_string();
            env.insert(NODE_SPEED_FILE.to_string(), speed);
        }
        let nics = self.open_ports(task, node)?;

        let mut command = self.config.launcher.command(&program, &args);
        command.env_clear().envs(&env).current_dir(&folders.task);
        let log = |stream: &str| log_file(&folders, &task.task, stream);
        command.stdout(log("stdout")?).stderr(log("stderr")?);
        let spawned = self.spawner.spawn(command).await;
        let failed = |e| format!("cannot start `{}`: {e}", program.display());
        let child = spawned.map_err(failed)?;
        let pid = child.id().ok_or("the process ended before it began")?;
        Ok(Started {
            child,
            pid,
            site_number: node.site_number,
            nics,
        })
    }

    /// Says in one number how much of its speed a node of the class gives; missing while it gives all.
    pub(super) fn speed_file(&self, class: &NodeClass) -> PathBuf {
        self.config.folder.join(format!("speed-{class}"))
    }

    fn make_folders(&self, task: &TaskStart) -> std::io::Result<Folders> {
        let root = self.config.folder.join(&task.alloc_id);
        let folders = Folders {
            alloc: root.join("alloc"),
            task: root.join(&task.task),
        };
        for shared in ["data", "logs", "tmp"] {
            std::fs::create_dir_all(folders.alloc.join(shared))?;
        }
        for own in [folders.local(), folders.secrets(), folders.task.join("tmp")] {
            std::fs::create_dir_all(own)?;
        }
        Ok(folders)
    }

    /// As Nomad's raw_exec looks: in the task's folders, on PATH; and `foreshadow` is always found.
    fn program(&self, command: &str, folders: &Folders) -> Result<OsString, String> {
        let in_folders = [folders.local(), folders.task.clone()].into_iter();
        let path = std::env::split_paths(&self.config.path);
        // Joining an absolute path gives that path.
        let found = in_folders
            .chain(path)
            .map(|folder| folder.join(command))
            .find(|program| program.is_file());
        match found {
            Some(program) => Ok(program.into()),
            None if command == OURSELVES => Ok(self.config.launcher.program.clone().into()),
            None => Err(format!(
                "there is no program `{command}` in the task's folder or on PATH ({})",
                self.config.path
            )),
        }
    }

    /// Whether it is this program, whatever its file is called, or one of its name on PATH.
    fn is_ours(&self, program: &OsStr) -> bool {
        let named = Path::new(program).file_stem() == Some(OsStr::new(OURSELVES));
        named || program == self.config.launcher.program
    }

    /// The ports of the allocation that no other task of it has opened yet.
    fn open_ports(
        &self,
        task: &TaskStart,
        node: &NodeSpec,
    ) -> Result<BTreeMap<String, Nic>, String> {
        let (inner, outer) = (self.estate.inner(node), self.estate.outer(node));
        let known = |label: &str| {
            let allocations = self.allocations();
            let allocation = allocations.get(&task.alloc_id);
            allocation.is_some_and(|a| a.port(label).is_some())
        };
        let mut nics = BTreeMap::new();
        for (label, port) in task.ports.iter().filter(|(label, _)| !known(label)) {
            let (outer, inner) = (
                SocketAddr::from((outer, *port)),
                SocketAddr::from((inner, *port)),
            );
            let nic = Nic::open(&self.links, outer, inner, &node.site, Some(&node.name));
            nics.insert(label.clone(), nic.map_err(|e| chain(&e))?);
        }
        Ok(nics)
    }
}

fn log_file(folders: &Folders, task: &str, stream: &str) -> Result<File, String> {
    let path: PathBuf = Path::new(&folders.alloc)
        .join("logs")
        .join(format!("{task}.{stream}.0"));
    let opened = File::options().create(true).append(true).open(&path);
    opened.map_err(|e| format!("cannot write {}: {e}", path.display()))
}

/// An error with its causes, for a Nomad event that holds one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text = format!("{text}: {e}");
        cause = e.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_cpu_time_over_the_window_and_looks_too_near_do_not_count() {
        let start = Instant::now();
        let mut task = Task::new(1, Duration::ZERO, start);
        let at = |ms: u64, cpu: u64| Sample {
            at: start + Duration::from_millis(ms),
            cpu: Duration::from_millis(cpu),
            rss_bytes: ms,
        };
        task.take(at(1000, 500));
        assert!((task.cores - 0.5).abs() < 1e-9);
        task.take(at(1100, 600));
        assert!((task.cores - 0.5).abs() < 1e-9, "one tick is not a window");
        assert_eq!(task.rss_bytes, 1100);
        task.take(at(3000, 4500));
        assert!((task.cores - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_killed_task_has_the_exit_code_that_nomad_gives_it() {
        assert_eq!(outcome(Ok(ExitStatus::from_raw(7 << 8))), (7, 0));
        assert_eq!(outcome(Ok(ExitStatus::from_raw(9))), (137, 9));
    }
}
