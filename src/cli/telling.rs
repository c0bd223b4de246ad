//! What the log says of a run at `info`: by what it began, who leads, and why it ended. No token is told, and addresses hold none.

use crate::engine::house::Setup;
use crate::engine::view::{Mode, View};
use crate::model::{Epoch, counted};
use crate::settings::Config;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Version, mode and pace; whom it asks; what it steers.
pub(super) fn begins(file: &Path, config: &Config, setup: &Setup) {
    let version = env!("CARGO_PKG_VERSION");
    let (file, every) = (file.display(), config.cycle.as_secs_f64());
    let mode = match setup.mode {
        Mode::Act => "it may act",
        Mode::Observe => "it observes only",
    };
    tracing::info!("foreshadow {version} runs by {file}: {mode}, and looks every {every} s");
    tracing::info!("it asks Nomad at {}", setup.nomad.address);
    for g in &setup.gateways {
        let at = &g.consul.address;
        tracing::info!("it asks Consul at {at} (gateway {} at {})", g.id, g.site);
    }
    let rules = setup.rules.borrow();
    let portions = rules
        .policies
        .iter()
        .map(|p| p.portions.len())
        .sum::<usize>();
    let names: Vec<&str> = rules.policies.iter().map(|p| p.workload.as_str()).collect();
    tracing::info!(
        "it has {} with {}: {}",
        counted(names.len(), "policy"),
        counted(portions, "portion"),
        names.join(", ")
    );
}

/// Who leads, each time that this changes.
pub(super) async fn who_leads(mut views: watch::Receiver<Arc<View>>, cancel: CancellationToken) {
    let mut told = String::new();
    loop {
        let now = leads(&views.borrow_and_update());
        if let Some(now) = now.filter(|now| *now != told) {
            tracing::info!("{now}");
            told = now;
        }
        let gone = tokio::select! {
            () = cancel.cancelled() => true,
            changed = views.changed() => changed.is_err(),
        };
        if gone {
            return;
        }
    }
}

/// Nothing before the first look.
fn leads(view: &View) -> Option<String> {
    let leader = &view.leader;
    let told = match view.mode {
        _ if view.cycle == 0 => return None,
        Mode::Act if view.epoch != Epoch::default() => {
            format!("it leads, in epoch {}", view.epoch.0)
        }
        Mode::Act => format!("it follows; leader: {leader}"),
        Mode::Observe => format!("it leads nobody, as it observes only; leader: {leader}"),
    };
    Some(told)
}

/// That it has ended, and why.
pub(super) fn ended(by_signal: bool, failed: Option<&str>) {
    let why = match (failed, by_signal) {
        (Some(why), _) => why,
        (None, true) => "a signal asked for it",
        (None, false) => "what showed it was left",
    };
    tracing::info!(
        "it has ended: {why}; weights stay as they are, and a lock that it held is given back"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leads_is_told_once_something_was_seen() {
        let mut view = View {
            mode: Mode::Act,
            leader: "edge-b (pid 7)".into(),
            ..View::default()
        };
        assert_eq!(leads(&view), None);
        view.cycle = 1;
        let told = leads(&view).unwrap();
        assert_eq!(told, "it follows; leader: edge-b (pid 7)");
        view.epoch = Epoch(5);
        assert_eq!(leads(&view).unwrap(), "it leads, in epoch 5");
    }
}
