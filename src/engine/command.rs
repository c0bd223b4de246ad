//! What a person asks for becomes an entry in the book; planner and guard treat it like any other wish.

use super::state::State;
use super::view::{Command, LogKind};
use crate::model::*;
use crate::planner::ShadowState;

/// `hold` is not here: it is a key in Consul, written by the shell, so that it binds every foreshadow.
pub fn ask(state: &mut State, command: Command, now: Moment) {
    let mut workloads = std::mem::take(&mut state.workloads);
    let said = match command {
        Command::Hold { on } => format!("hold {}", if on { "on" } else { "off" }),
        Command::Abort => {
            for w in &mut workloads {
                w.book.moves.clear();
                w.book.asked.clear();
                w.book.asked_shadows.clear();
            }
            "abort: moves are dropped, what is asked for is forgotten".to_string()
        }
        Command::StartShadow { portion, site } => {
            for w in workloads
                .iter_mut()
                .filter(|w| w.policy.portion(&portion).is_some())
            {
                w.book.asked_shadows.insert((portion.clone(), site.clone()));
            }
            format!("shadow of {portion} at {site} is asked for")
        }
        Command::StopShadow { shadow } => {
            for run in workloads
                .iter_mut()
                .filter_map(|w| w.book.shadows.get_mut(&shadow))
            {
                if run.state != ShadowState::Done {
                    run.state = ShadowState::Stopping;
                    run.verdict = Some("stopped by the operator".into());
                }
            }
            format!("shadow {shadow} is to stop")
        }
        Command::Switch { portion, to } => {
            for w in workloads
                .iter_mut()
                .filter(|w| w.policy.portion(&portion).is_some())
            {
                w.book.asked.insert(portion.clone(), to.clone());
            }
            format!("{portion} is to be served from {to}")
        }
        Command::Reload => "policies are to be read again".to_string(),
    };
    state.workloads = workloads;
    state.say(now, LogKind::Notice, None, None, said);
}
