//! Policies that are read again: on SIGHUP, when a file of theirs changes, and when `foreshadow reload` asks.

use crate::engine::Rules;
use crate::headless::Certificates;
use crate::settings;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Editors write a file in several steps: it is read once none came for so long.
const QUIET: Duration = Duration::from_millis(200);

/// Who asks for the files to be read again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asks {
    /// A person, who is told even that nothing has changed.
    Person,
    File,
}

/// Reads again until cancelled. What is wrong is told to the engine, and the old policies stay. When a person asks, the API's
/// certificate is read again, too.
pub async fn keep(
    paths: Vec<PathBuf>,
    rules: watch::Sender<Rules>,
    mut asked: mpsc::Receiver<()>,
    certificates: Option<Arc<Certificates>>,
    cancel: CancellationToken,
) {
    let (changed_in, mut changed) = mpsc::channel(1);
    let _watcher = watcher(&paths, changed_in);
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        return tracing::warn!("no SIGHUP can be taken: policies are read once");
    };
    loop {
        let asks = tokio::select! {
            () = cancel.cancelled() => return,
            Some(()) = hangup.recv() => Asks::Person,
            Some(()) = asked.recv() => Asks::Person,
            Some(()) = changed.recv() => Asks::File,
        };
        if asks == Asks::File {
            while let Ok(Some(())) = tokio::time::timeout(QUIET, changed.recv()).await {}
        } else if let Some(Err(e)) = certificates.as_ref().map(|c| c.again()) {
            tracing::warn!("the API shows the certificate that it had: {e}");
        }
        let next = rules
            .borrow()
            .next(settings::read_policies(&paths).map_err(|e| e.to_string()));
        // Another file of the folder may have changed: what is wrong is told once, and to whoever asks.
        let told = asks == Asks::File && rules.borrow().wrong == next.wrong;
        if let Some(why) = next.wrong.as_ref().filter(|_| !told) {
            tracing::warn!("policies stay as they were: {why}");
        }
        rules.send_if_modified(|now| {
            let same = now.policies == next.policies && now.wrong == next.wrong;
            *now = next;
            !same || asks == Asks::Person
        });
    }
}

/// Tells of changes in the folders of the policies. Without it (no inotify left) SIGHUP and `foreshadow reload` still work.
fn watcher(paths: &[PathBuf], changed: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let told = move |event: notify::Result<notify::Event>| {
        let writes = |e: &notify::Event| !matches!(e.kind, EventKind::Access(_));
        if event.as_ref().is_ok_and(writes) {
            // One that waits already stands for this one too.
            let _ = changed.try_send(());
        }
    };
    let mut watcher = notify::recommended_watcher(told)
        .inspect_err(|e| tracing::warn!("changes of policies are not noticed: {e}"))
        .ok()?;
    for path in paths {
        // A file that is replaced is another one: its folder is watched.
        let folder = if path.is_dir() { path } else { path.parent()? };
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        if let Err(e) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            tracing::warn!("changes in {} are not noticed: {e}", folder.display());
        }
    }
    Some(watcher)
}
