//! How the sandbox ends: asked to, and not asked.

use crate::day::nothing_is_left;
use crate::program::{Program, alone, comes_true, kind, processes_of};
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::time::Duration;

const STARTS: Duration = Duration::from_secs(60);
const ENDS: Duration = Duration::from_secs(30);

#[test]
fn ctrl_c_leaves_no_process_and_no_folder_behind() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (mut run, own) = running(folder.path());
    run.signal(Signal::SIGINT);
    let status = run.to_its_end(ENDS);
    if !status.success() {
        run.fail(&format!("it ended with {status}"));
    }
    let last = run.said.last().expect("a line");
    assert!(last["summary"].is_object(), "no summary: {last}");
    nothing_is_left(&own, run.pid());
}

#[test]
fn a_killed_sandbox_takes_its_tasks_with_it() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (mut run, own) = running(folder.path());
    run.signal(Signal::SIGKILL);
    run.to_its_end(ENDS);
    let gone = comes_true(ENDS, || processes_of(&own, run.pid()).is_empty());
    assert!(gone, "{:#?}", processes_of(&own, run.pid()));
}

/// A sandbox in which tasks run and the scheduler has begun, and its own folder.
fn running(folder: &Path) -> (Program, PathBuf) {
    let args = ["sandbox", "--headless", "--format", "json"];
    let mut run = Program::start(folder, &args, &[]);
    run.until("listening", STARTS, |line| kind(line) == "listening");
    run.until("verified step", STARTS, |line| kind(line) == "verification");
    let own = folder.join(format!("foreshadow-{}", run.pid()));
    assert!(own.is_dir(), "{} is not its folder", own.display());
    let tasks = processes_of(&own, run.pid());
    let parts = tasks.iter().filter(|t| t.contains("shop-service")).count();
    // Else nothing could be left behind.
    assert!(parts >= 9, "the shop does not run: {tasks:#?}");
    (run, own)
}
