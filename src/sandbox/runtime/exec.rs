//! Starts processes that die with the sandbox, however it dies.

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use tokio::process::Child;
use tokio::sync::oneshot;

/// The hidden subcommand of the binary that calls [`task_exec`].
pub const TASK_EXEC: &str = "task-exec";

/// How a process is started: through a program that ties its life to ours and then becomes the task.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The foreshadow binary.
    pub program: PathBuf,
    /// What leads it to [`task_exec`].
    pub leading: Vec<OsString>,
}

impl Launcher {
    /// Through `program task-exec`.
    pub fn new(program: PathBuf) -> Launcher {
        Launcher {
            program,
            leading: vec![TASK_EXEC.into()],
        }
    }

    /// A command that becomes `program` with `args`, in a process group of its own.
    pub fn command(&self, program: &std::ffi::OsStr, args: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.leading)
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(program)
            .args(args)
            .process_group(0)
            .stdin(std::process::Stdio::null());
        command
    }
}

/// Become another program that is killed when the sandbox ends. `args` are what follows `task-exec`: `PARENT_PID -- CMD ARGS…`.
///
/// # Errors
/// Returns only when it fails: bad arguments, a sandbox that is already gone, or a program that cannot be run.
pub fn task_exec(args: impl IntoIterator<Item = OsString>) -> io::Error {
    let mut args = args.into_iter();
    let parent = args.next().and_then(|p| p.to_str()?.parse::<i32>().ok());
    let dashes = args.next();
    let (Some(parent), Some(program)) = (parent, args.next()) else {
        let usage = format!("usage: {TASK_EXEC} PARENT_PID -- COMMAND ARGS…");
        return io::Error::new(io::ErrorKind::InvalidInput, usage);
    };
    if dashes.as_deref() != Some(std::ffi::OsStr::new("--")) {
        let usage = format!("usage: {TASK_EXEC} PARENT_PID -- COMMAND ARGS…");
        return io::Error::new(io::ErrorKind::InvalidInput, usage);
    }
    if let Err(e) = set_pdeathsig(Signal::SIGKILL) {
        return io::Error::from(e);
    }
    // The sandbox may have died before the signal was set.
    if nix::unistd::getppid().as_raw() != parent {
        return io::Error::other("the sandbox that started this task is gone");
    }
    let failed = Command::new(&program).args(args).exec();
    io::Error::new(
        failed.kind(),
        format!("cannot run {}: {failed}", program.display()),
    )
}

type Order = (Command, oneshot::Sender<io::Result<Child>>);

/// The thread that all children are started from: the kernel ties "parent death" to the thread that forked, so it must outlive them.
/// When the `Spawner` is dropped the thread ends, and with it what it started.
pub struct Spawner {
    orders: mpsc::Sender<Order>,
}

impl Spawner {
    /// To be called within a tokio runtime, which waits for the children.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn new() -> io::Result<Spawner> {
        let (orders, ordered) = mpsc::channel::<Order>();
        let handle = tokio::runtime::Handle::current();
        std::thread::Builder::new()
            .name("task-spawner".into())
            .spawn(move || {
                let _waits_for_children = handle.enter();
                while let Ok((command, done)) = ordered.recv() {
                    let child = tokio::process::Command::from(command).spawn();
                    // An asker that is gone drops the child, whom the sandbox's end will kill.
                    let _ = done.send(child);
                }
            })?;
        Ok(Spawner { orders })
    }

    /// Start a child.
    ///
    /// # Errors
    /// As `std::process::Command::spawn` has them.
    pub async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (done, spawned) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts tasks has ended");
        self.orders.send((command, done)).map_err(|_| gone())?;
        spawned.await.map_err(|_| gone())?
    }
}
