//! Policies that change while the wheel turns. Pure.

use super::state::{State, Workload};
use super::view::LogKind;
use crate::model::*;
use std::sync::Arc;

/// The operator's policies, as the files say now.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub policies: Arc<Vec<Policy>>,
    /// Why the files as they are cannot be taken, if so: `policies` are the last good ones.
    pub wrong: Option<String>,
}

impl Rules {
    pub fn new(policies: Vec<Policy>) -> Rules {
        Rules {
            policies: Arc::new(policies),
            wrong: None,
        }
    }

    /// After the files were read again. Where they are wrong, or a workload or portion that runs has gone from them, policies stay
    /// as they were: what runs cannot be left to nobody halfway.
    pub fn next(&self, read: Result<Vec<Policy>, String>) -> Rules {
        let read = read.and_then(|new| match missing(&self.policies, &new) {
            Some(why) => Err(why),
            None => Ok(new),
        });
        match read {
            Ok(new) => Rules::new(new),
            Err(why) => Rules {
                policies: self.policies.clone(),
                wrong: Some(why),
            },
        }
    }
}

/// What must be set up anew after policies were taken over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changed {
    /// Workloads whose policy is new, or other than it was.
    pub workloads: Vec<String>,
    /// What is looked at differs: portions, jobs, services, metrics.
    pub looked_at: bool,
    /// Steps or seasons differ, or portions are new: their history is to be read again.
    pub history: bool,
}

/// Takes over what the files say now, and says so.
pub fn adopt(state: &mut State, rules: &Rules, now: Moment) -> Changed {
    if let Some(why) = &rules.wrong {
        let text = format!("policies stay as they were: {why}");
        state.say_once("policies", now, LogKind::Notice, None, text);
        return Changed::default();
    }
    let mut changed = Changed::default();
    for policy in rules.policies.iter() {
        let policy = &super::command::still_frozen(state, policy);
        let known = state.workloads.iter_mut();
        match known
            .into_iter()
            .find(|w| w.policy.workload == policy.workload)
        {
            Some(workload) if workload.policy == *policy => continue,
            Some(workload) => {
                let was = std::mem::replace(&mut workload.policy, policy.clone());
                workload.still = None;
                workload.book.keep_fronts(policy);
                changed.looked_at |= was.portions != policy.portions;
                changed.history |= was.step != policy.step
                    || was.season != policy.season
                    || was.portions.len() != policy.portions.len();
            }
            None => {
                state.workloads.push(Workload {
                    policy: policy.clone(),
                    ..Workload::default()
                });
                changed.looked_at = true;
                changed.history = true;
            }
        }
        changed.workloads.push(policy.workload.clone());
    }
    state.said.remove("policies");
    let text = match changed.workloads.is_empty() {
        true => "policies were read again: nothing has changed".to_string(),
        false => format!(
            "policies were read again: {} changed",
            changed.workloads.join(", ")
        ),
    };
    state.say(now, LogKind::Notice, None, None, text);
    changed
}

/// What runs and is no longer in the files.
fn missing(before: &[Policy], now: &[Policy]) -> Option<String> {
    const LEAVE: &str = "restart foreshadow to leave it alone";
    for was in before {
        let workload = &was.workload;
        let Some(new) = now.iter().find(|p| &p.workload == workload) else {
            return Some(format!(
                "workload {workload} is in no file any more; {LEAVE}"
            ));
        };
        if let Some(gone) = was.portions.iter().find(|p| new.portion(&p.id).is_none()) {
            return Some(format!(
                "portion {} of {workload} is in no file any more; {LEAVE}",
                gone.id
            ));
        }
    }
    None
}
