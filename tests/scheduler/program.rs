//! A foreshadow process, and what it says, line by line.
#![allow(dead_code)] // each test binary uses a part of it

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks at something that sends no word when it changes.
const LOOK: Duration = Duration::from_millis(50);

/// The binary to test: the one named by `FORESHADOW_BIN`, else the one that cargo built beside this test.
pub fn binary() -> PathBuf {
    std::env::var_os("FORESHADOW_BIN").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_foreshadow")),
        PathBuf::from,
    )
}

/// Two estates on one small machine disturb each other: each test holds this while its own runs.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed says nothing against the next one.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether `holds` comes true before the deadline.
pub fn comes_true(deadline: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + deadline;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(LOOK);
    }
}

/// Killed when dropped.
pub struct Program {
    child: Child,
    lines: Receiver<Value>,
    /// All that it has said so far.
    pub said: Vec<Value>,
    errors: PathBuf,
}

impl Program {
    /// Starts `foreshadow ARGS…`. Its temporary files and its log go to `folder`.
    pub fn start(folder: &Path, args: &[&str], env: &[(&str, String)]) -> Program {
        let errors = folder.join("stderr.log");
        let log = File::options().create(true).append(true).open(&errors);
        // Each has its socket in a folder of its own, as if each had its own user.
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let user = folder.join(format!("run-{}", STARTED.fetch_add(1, Ordering::Relaxed)));
        let mut child = Command::new(binary())
            .args(args)
            .env("TMPDIR", folder)
            .env("XDG_RUNTIME_DIR", user)
            .env_remove("RUNTIME_DIRECTORY")
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.expect("a log"))
            .spawn()
            .expect("the binary runs");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // What is no JSON is kept as text, so that a test can say so.
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if send.send(value).is_err() {
                    return;
                }
            }
        });
        Program {
            child,
            lines,
            said: Vec::new(),
            errors,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("it still runs");
    }

    /// Reads on until a line is as wanted.
    pub fn until(&mut self, what: &str, deadline: Duration, wanted: impl Fn(&Value) -> bool) {
        let until = Instant::now() + deadline;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let found = wanted(&line);
                    self.said.push(line);
                    if found {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("no {what} in {deadline:?}")),
                Err(RecvTimeoutError::Disconnected) => self.fail(&format!("ended without {what}")),
            }
        }
    }

    /// Reads to the end and returns the exit status.
    pub fn until_its_end(&mut self, deadline: Duration) -> ExitStatus {
        let until = Instant::now() + deadline;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("no end in {deadline:?}")),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.child.wait().expect("it can be waited for")
    }

    pub fn fail(&self, why: &str) -> ! {
        let errors = std::fs::read_to_string(&self.errors).unwrap_or_default();
        let tail = self.said.iter().rev().take(200).rev();
        let tail: Vec<String> = tail.map(Value::to_string).collect();
        panic!(
            "{why}; it said last:\n{}\nand on stderr:\n{errors}",
            tail.join("\n")
        );
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn kind(line: &Value) -> &str {
    line["kind"].as_str().unwrap_or("")
}

pub fn text(line: &Value) -> &str {
    line["text"].as_str().unwrap_or("")
}

/// Processes that carry this path in their command line or environment.
pub fn processes_of(path: &Path) -> Vec<i32> {
    let needle = path.as_os_str().as_encoded_bytes();
    let holds = |pid: i32, what: &str| {
        // It may end while it is looked at.
        let bytes = std::fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
        bytes.windows(needle.len()).any(|w| w == needle)
    };
    let all = std::fs::read_dir("/proc").expect("Linux").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| holds(*pid, "cmdline") || holds(*pid, "environ"))
        .collect()
}
