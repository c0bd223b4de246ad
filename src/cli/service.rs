//! As a service of systemd: when it is up, that it turns, that it ends (`sd_notify(3)`); without one nothing is told.

use crate::engine::view::{Health, View};
use crate::model::counted;
use sd_notify::NotifyState;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Up with the first cycle; each further one feeds the watchdog.
pub async fn tell_systemd(mut views: watch::Receiver<Arc<View>>, cancel: CancellationToken) {
    let mut up = false;
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            changed = views.changed() => if changed.is_err() {
                break;
            },
        }
        let view = views.borrow_and_update().clone();
        if view.cycle == 0 {
            continue;
        }
        if !std::mem::replace(&mut up, true) {
            tell(&[NotifyState::Ready]);
        }
        tell(&[NotifyState::Watchdog, NotifyState::Status(&status(&view))]);
    }
    tell(&[NotifyState::Stopping]);
}

fn status(view: &View) -> String {
    let bad = view.portions.iter().filter(|p| p.health == Health::Breach);
    let hold = view
        .hold
        .as_ref()
        .map_or(String::new(), |why| format!("; {why}"));
    format!(
        "cycle {}; leader: {}; {}, {} in breach; {}, {} held up{hold}",
        view.cycle,
        view.leader,
        counted(view.portions.len(), "portion"),
        bad.count(),
        counted(view.steps.len(), "step"),
        view.waiting.len()
    )
}

fn tell(states: &[NotifyState]) {
    if let Err(e) = sd_notify::notify(states) {
        tracing::debug!("systemd is not told: {e}");
    }
}
