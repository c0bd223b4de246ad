//! Tasks that have ended: killed, done, to be restarted, or given up.

use super::super::jobs::Refusal;
use super::super::json::*;
use super::super::state::alloc::{Alloc, task_event};
use super::super::state::{Effect, State, Wake, now, span};
use super::super::validate::listed;
use super::{deregister, kill, start, sync};
use serde_json::{Value, json};

/// A task is not running any more: done, killed, to be restarted, or failed.
pub(super) fn ended(state: &mut State, id: &str, task: &str, event: Value, well: bool) {
    let powered = state
        .allocs
        .get(id)
        .and_then(|a| state.nodes.get(&a.node_id))
        .is_some_and(|n| n.powered);
    let Some(alloc) = state.allocs.get_mut(id) else {
        return;
    };
    let killing = alloc.view.killing;
    let batch = text(&alloc.job, "Type") == "batch";
    let policy = task_policy(alloc, task);
    alloc.view.pids.remove(task);
    if !powered {
        return; // Nobody is there to see it; the client finds out when its node is back.
    }
    let Some(view) = alloc.view.tasks.get_mut(task).filter(|t| t.state != "dead") else {
        return;
    };
    view.events.push(event);
    if alloc.view.restarting.remove(task) && !killing {
        restart_later(state, id, task, 0, "");
    } else if killing {
        view.events.push(task_event(
            "Killed",
            now(),
            "Task successfully killed",
            json!({}),
            json!({}),
        ));
        die(state, id, task, false);
    } else if batch && well {
        die(state, id, task, false);
    } else {
        restart_or_fail(state, id, task, &policy);
    }
}

fn task_policy(alloc: &Alloc, task: &str) -> Value {
    let task = list(alloc.group_json(), "Tasks")
        .iter()
        .find(|t| text(t, "Name") == task);
    task.and_then(|t| t.get("RestartPolicy").cloned())
        .unwrap_or(Value::Null)
}

fn restart_or_fail(state: &mut State, id: &str, task: &str, policy: &Value) {
    let Some(alloc) = state.allocs.get_mut(id) else {
        return;
    };
    let (attempts, interval, delay) = (
        int(policy, "Attempts"),
        int(policy, "Interval"),
        int(policy, "Delay"),
    );
    let tries = alloc.view.restarts.entry(task.into()).or_default();
    tries.retain(|at| now() - at < interval);
    match (tries.len() as i64, text(policy, "Mode")) {
        (used, _) if used < attempts => {
            tries.push(now());
            restart_later(state, id, task, delay, "Restart within policy");
        }
        (_, "delay") => restart_later(
            state,
            id,
            task,
            interval,
            "Exceeded allowed attempts, applying a delay",
        ),
        _ => give_up(state, id, task, attempts, interval),
    }
}

fn give_up(state: &mut State, id: &str, task: &str, attempts: i64, interval: i64) {
    let Some(view) = state
        .allocs
        .get_mut(id)
        .and_then(|a| a.view.tasks.get_mut(task))
    else {
        return;
    };
    let within = duration(interval);
    let reason = match attempts {
        0 => "Policy allows no restarts".to_string(),
        _ => format!(
            "Exceeded allowed attempts {attempts} in interval {within} and mode is \"fail\""
        ),
    };
    let details = json!({"restart_reason": reason, "fails_task": "true"});
    let more = json!({"FailsTask": true, "RestartReason": reason});
    view.events
        .push(task_event("Not Restarting", now(), &reason, details, more));
    die(state, id, task, true);
}

fn restart_later(state: &mut State, id: &str, task: &str, wait: i64, reason: &str) {
    let Some(view) = state
        .allocs
        .get_mut(id)
        .and_then(|a| a.view.tasks.get_mut(task))
    else {
        return;
    };
    view.state = "pending";
    view.restarts += 1;
    let attempt = view.restarts;
    view.last_restart = now();
    let display = format!("Task restarting in {}", duration(wait));
    let details = json!({"restart_reason": reason, "start_delay": wait.to_string()});
    let more = json!({"RestartReason": reason, "StartDelay": wait});
    view.events
        .push(task_event("Restarting", now(), &display, details, more));
    deregister(state, id);
    state.after(
        span(wait),
        Wake::RestartTask {
            alloc: id.into(),
            task: task.into(),
            attempt,
        },
    );
    sync(state, id);
}

/// Someone asks for one task, or with no name all tasks, to be restarted.
///
/// # Errors
/// When one of them does not run.
pub fn restart_on_request(state: &mut State, id: &str, task: &str) -> Result<(), Refusal> {
    let Some(alloc) = state.allocs.get_mut(id) else {
        return Err(Refusal::new(404, format!("Unknown allocation {id:?}")));
    };
    let not_running = "Task not running".to_string();
    if !task.is_empty() && !alloc.view.tasks.contains_key(task) {
        return Err(Refusal::new(
            500,
            format!("Could not find task runner for task: {task}"),
        ));
    }
    let idle = alloc.view.tasks.values().any(|t| t.state != "running");
    if idle {
        let why = if task.is_empty() {
            listed(&[not_running])
        } else {
            not_running
        };
        return Err(Refusal::new(500, why));
    }
    let reason = "User requested restart";
    for (name, view) in &mut alloc.view.tasks {
        let details = json!({"restart_reason": reason});
        let more = json!({"RestartReason": reason});
        let event = task_event("Restart Signaled", now(), reason, details, more);
        view.events.push(event);
        alloc.view.restarting.insert(name.clone());
    }
    state.effects.push(Effect::Stop(id.into()));
    Ok(())
}

/// The delay before that restart is over.
pub fn restart(state: &mut State, id: &str, task: &str, attempt: i64) {
    let Some(alloc) = state.allocs.get(id) else {
        return;
    };
    let powered = state.nodes.get(&alloc.node_id).is_some_and(|n| n.powered);
    let waiting = alloc
        .view
        .tasks
        .get(task)
        .is_some_and(|t| t.state == "pending" && t.restarts == attempt);
    if powered && waiting && !alloc.view.killing {
        start(state, id, task);
    }
}

fn die(state: &mut State, id: &str, task: &str, failed: bool) {
    let Some(alloc) = state.allocs.get_mut(id) else {
        return;
    };
    if let Some(view) = alloc.view.tasks.get_mut(task) {
        view.state = "dead";
        view.failed = failed;
        view.finished = now();
    }
    let all_dead = alloc.view.tasks.values().all(|t| t.state == "dead");
    alloc.view.finished = all_dead;
    if failed && alloc.view.health.is_none() && !alloc.deployment.is_empty() {
        alloc.view.health = Some((false, now()));
        if let Some(view) = alloc.view.tasks.get_mut(task) {
            let why = "Unhealthy because of failed task";
            let (details, more) = (json!({"message": why}), json!({"Message": why}));
            let event = task_event("Alloc Unhealthy", now(), why, details, more);
            view.events.push(event);
        }
    }
    if all_dead {
        deregister(state, id);
    } else if failed {
        kill(state, id); // Its siblings go with it.
    }
    sync(state, id);
}
