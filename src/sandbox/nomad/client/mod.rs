//! The node's side: takes allocations on, starts, restarts and ends their tasks, and tells the server when it can reach it.

mod ends;
mod environment;
mod services;

use ends::ended;
pub use ends::{restart, restart_on_request};

use super::json::*;
use super::runtime::TaskEvent;
use super::state::alloc::{Alloc, task_event};
use super::state::{Effect, State, Wake, now, span};
use serde_json::json;

/// The node's client asks for its allocations: starts what is new, ends what shall end.
pub fn pull(state: &mut State, node: &str) {
    if !state
        .nodes
        .get(node)
        .is_some_and(|n| n.beating && n.powered)
    {
        return;
    }
    let ids: Vec<String> = state
        .allocs
        .values()
        .filter(|a| a.node_id == node && !a.view.finished)
        .map(|a| a.id.clone())
        .collect();
    for id in ids {
        let alloc = &state.allocs[&id];
        match (
            alloc.server_terminal(),
            alloc.view.received,
            alloc.view.killing,
        ) {
            (false, false, _) if !alloc.client_terminal() => receive(state, &id),
            (true, true, false) => kill(state, &id),
            (true, false, _) => never_started(state, &id),
            _ => {}
        }
    }
}

fn receive(state: &mut State, id: &str) {
    let at = now();
    let names: Vec<String> = state.allocs[id]
        .ask
        .tasks
        .iter()
        .map(|t| t.0.clone())
        .collect();
    if let Some(alloc) = state.allocs.get_mut(id) {
        alloc.view.received = true;
        for name in &names {
            let task = alloc.view.tasks.entry(name.clone()).or_default();
            task.events.push(task_event(
                "Received",
                at,
                "Task received by client",
                json!({}),
                json!({}),
            ));
            let building = "Building Task Directory";
            task.events.push(task_event(
                "Task Setup",
                at,
                building,
                json!({"message": building}),
                json!({"Message": building}),
            ));
        }
    }
    names.iter().for_each(|name| start(state, id, name));
}

fn start(state: &mut State, id: &str, task: &str) {
    if let Some(start) = environment::task_start(state, id, task) {
        state.effects.push(Effect::Start(Box::new(start)));
    }
}

/// A stop that came before the client had heard of the allocation.
fn never_started(state: &mut State, id: &str) {
    let Some(alloc) = state.allocs.get_mut(id) else {
        return;
    };
    alloc.view.finished = true;
    if !alloc.client_terminal() {
        alloc.client = "complete";
        alloc.client_why = "All tasks have completed".into();
        state.next_index();
        state.touch_alloc(id, "AllocationUpdated", true);
    }
}

fn kill(state: &mut State, id: &str) {
    deregister(state, id);
    let Some(alloc) = state.allocs.get_mut(id) else {
        return;
    };
    alloc.view.killing = true;
    let timeouts: Vec<(String, i64)> = list(alloc.group_json(), "Tasks")
        .iter()
        .map(|t| (text(t, "Name").into(), int(t, "KillTimeout")))
        .collect();
    let mut any = false;
    for (name, timeout) in timeouts {
        let Some(task) = alloc
            .view
            .tasks
            .get_mut(&name)
            .filter(|t| t.state != "dead")
        else {
            continue;
        };
        any = true;
        let wait = duration(timeout);
        let display = format!("Sent interrupt. Waiting {wait} before force killing");
        task.events.push(task_event(
            "Killing",
            now(),
            &display,
            json!({"kill_timeout": wait}),
            json!({"KillTimeout": timeout}),
        ));
    }
    if any {
        state.effects.push(Effect::Stop(id.into()));
    } else {
        alloc.view.finished = true;
        sync(state, id);
    }
}

fn deregister(state: &mut State, id: &str) {
    let Some(alloc) = state.allocs.get_mut(id) else {
        return;
    };
    let ids: Vec<String> = std::mem::take(&mut alloc.view.registered)
        .into_iter()
        .collect();
    if !ids.is_empty() {
        state.effects.push(Effect::Deregister {
            node: alloc.node_name.clone(),
            ids,
        });
    }
}

/// Register what the allocation's services are now, and take out what they no longer are.
fn register(state: &mut State, id: &str) {
    let services = services::of(state, id);
    let Some(alloc) = state.allocs.get_mut(id) else {
        return;
    };
    let node = alloc.node_name.clone();
    let wanted = services.iter().map(|s| s.id.clone()).collect();
    let gone: Vec<String> = std::mem::replace(&mut alloc.view.registered, wanted)
        .difference(&alloc.view.registered)
        .cloned()
        .collect();
    if !gone.is_empty() {
        state.effects.push(Effect::Deregister {
            node: node.clone(),
            ids: gone,
        });
    }
    if !services.is_empty() {
        state.effects.push(Effect::Register { node, services });
    }
}

/// Each client compares what it has registered with what its agent has, and then again.
pub fn compare(state: &mut State) {
    let on = |node: &str| state.nodes.get(node).is_some_and(|n| n.powered);
    let registered = state
        .allocs
        .values()
        .filter(|a| on(&a.node_id) && !a.view.registered.is_empty());
    let all: Vec<Effect> = registered
        .map(|a| Effect::Compare {
            node: a.node_name.clone(),
            services: services::of(state, &a.id),
        })
        .collect();
    state.effects.extend(all);
    state.after(state.config.compare_every, Wake::Compare);
}

/// The server has given the running allocation another version of its job.
pub fn changed_in_place(state: &mut State, id: &str) {
    if state
        .allocs
        .get(id)
        .is_some_and(|a| all_running(a) && !a.view.killing)
    {
        register(state, id);
        await_health(state, id);
    }
}

fn all_running(alloc: &Alloc) -> bool {
    !alloc.view.tasks.is_empty() && alloc.view.tasks.values().all(|t| t.state == "running")
}

/// Look at the allocation's health once it has run for its `min_healthy_time`.
fn await_health(state: &mut State, id: &str) {
    let alloc = &state.allocs[id];
    if !alloc.deployment.is_empty() && alloc.view.health.is_none() {
        let wait = int(&alloc.group_json()["Update"], "MinHealthyTime");
        let wake = Wake::HealthDue {
            alloc: id.into(),
            deployment: alloc.deployment.clone(),
        };
        state.after(span(wait), wake);
    }
}

/// `min_healthy_time` has passed: healthy if its tasks run and, where the job wants it, its checks pass.
pub fn health_due(state: &mut State, id: &str, deployment: &str) {
    let waits =
        |a: &&Alloc| a.deployment == deployment && all_running(a) && a.view.health.is_none();
    let Some(alloc) = state.allocs.get(id).filter(waits) else {
        return;
    };
    let by_checks = text(&alloc.group_json()["Update"], "HealthCheck") == "checks";
    let checked = services::of(state, id)
        .into_iter()
        .filter(|s| !s.checks.is_empty());
    let ids: Vec<String> = checked.map(|s| s.id).collect();
    if by_checks && !ids.is_empty() {
        let node = alloc.node_name.clone();
        state.effects.push(Effect::AskHealth {
            node,
            ids,
            alloc: id.into(),
            deployment: deployment.into(),
        });
    } else {
        health_known(state, id, deployment, true);
    }
}

/// Whether its checks pass; if not, ask again until its `healthy_deadline`.
pub fn health_known(state: &mut State, id: &str, deployment: &str, passing: bool) {
    let Some(alloc) = state
        .allocs
        .get_mut(id)
        .filter(|a| a.deployment == deployment && a.view.health.is_none() && !a.terminal())
    else {
        return;
    };
    let deadline = alloc.create_time + int(&alloc.group_json()["Update"], "HealthyDeadline");
    if !passing && now() < deadline {
        let wake = Wake::HealthDue {
            alloc: id.into(),
            deployment: deployment.into(),
        };
        state.after(std::time::Duration::from_millis(500), wake);
        return;
    }
    alloc.view.health = Some((passing && all_running(alloc), now()));
    sync(state, id);
}

/// The runtime saw something.
pub fn heard(state: &mut State, event: TaskEvent) {
    match event {
        TaskEvent::Started {
            alloc_id,
            task,
            pid,
        } => started(state, &alloc_id, &task, pid),
        TaskEvent::Exited {
            alloc_id,
            task,
            code,
            signal,
        } => exited(state, &alloc_id, &task, code, signal),
        TaskEvent::FailedToStart {
            alloc_id,
            task,
            error,
        } => {
            let event = task_event(
                "Driver Failure",
                now(),
                &error,
                json!({"driver_error": error}),
                json!({"DriverError": error}),
            );
            ended(state, &alloc_id, &task, event, false);
        }
    }
}

fn started(state: &mut State, id: &str, task: &str, pid: u32) {
    let Some(alloc) = state.allocs.get_mut(id) else {
        return;
    };
    alloc.view.pids.insert(task.into(), pid);
    let Some(view) = alloc.view.tasks.get_mut(task).filter(|t| t.state != "dead") else {
        return;
    };
    view.state = "running";
    view.started = now();
    view.events.push(task_event(
        "Started",
        now(),
        "Task started by client",
        json!({}),
        json!({}),
    ));
    let whole = all_running(alloc) && !alloc.view.killing;
    if whole {
        register(state, id);
        await_health(state, id);
    }
    sync(state, id);
}

fn exited(state: &mut State, id: &str, task: &str, code: i32, signal: i32) {
    let Some(alloc) = state.allocs.get(id) else {
        return;
    };
    let ran = alloc
        .view
        .tasks
        .get(task)
        .is_some_and(|t| t.state == "running");
    // One that is already known to have gone down with its node is not told twice.
    if ran || alloc.view.killing {
        terminated(state, id, task, code, signal);
    }
}

fn terminated(state: &mut State, id: &str, task: &str, code: i32, signal: i32) {
    let details =
        json!({"exit_code": code.to_string(), "oom_killed": "false", "signal": signal.to_string()});
    let display = if signal == 0 {
        format!("Exit Code: {code}")
    } else {
        format!("Exit Code: {code}, Signal: {signal}")
    };
    let event = task_event(
        "Terminated",
        now(),
        &display,
        details,
        json!({"ExitCode": code, "Signal": signal}),
    );
    ended(state, id, task, event, code == 0 && signal == 0);
}

/// Tell the server what the client sees of an allocation, if it can be told.
pub fn sync(state: &mut State, id: &str) {
    let Some(alloc) = state.allocs.get_mut(id) else {
        return;
    };
    alloc.view.dirty = true;
    if !alloc.view.received || !state.nodes.get(&alloc.node_id).is_some_and(|n| n.beating) {
        return;
    }
    let (was_terminal, was_failed) = (alloc.client_terminal(), alloc.client == "failed");
    alloc.view.dirty = false;
    alloc.tasks = alloc.view.tasks.clone();
    let has = |s: &str| alloc.tasks.values().any(|t| t.state == s);
    (alloc.client, alloc.client_why) = match () {
        () if alloc.tasks.values().any(|t| t.failed) => ("failed", "Failed tasks".into()),
        () if has("running") => ("running", "Tasks are running".into()),
        () if has("pending") => ("pending", "No tasks have started".into()),
        () => ("complete", "All tasks have completed".into()),
    };
    alloc.modify_time = now();
    let (ended, failed, job) = (
        alloc.client_terminal() && !was_terminal,
        alloc.client == "failed" && !was_failed,
        alloc.job_id.clone(),
    );
    state.next_index();
    if state.allocs[id].deployment.is_empty() {
        state.touch_alloc(id, "AllocationUpdated", true);
    } else {
        state.take_health(id);
        state.touch_alloc(id, "AllocationUpdated", true);
    }
    state.update_job_status(&job, "AllocationUpdated");
    if failed
        && !state.allocs[id].server_terminal()
        && let Some(of) = state.job(&job).cloned()
    {
        state.next_index();
        state.create_eval(&job, &of, "alloc-failure", "EvaluationUpdated");
    }
    if ended {
        state.unblock();
    }
    state.drain_step();
}

/// The node's client reaches the server again: it tells all it has not told, and hears what it has missed.
pub fn reconnect(state: &mut State, node: &str) {
    let ids: Vec<String> = (state.allocs.values())
        .filter(|a| a.node_id == node && a.view.received && (a.view.dirty || a.client == "lost"))
        .map(|a| a.id.clone())
        .collect();
    ids.iter().for_each(|id| sync(state, id));
    pull(state, node);
}

/// The node is back from the dead: none of its tasks has survived.
pub fn rise(state: &mut State, node: &str) {
    let dead: Vec<(String, String)> = (state.allocs.values())
        .filter(|a| a.node_id == node && a.view.received && !a.view.finished)
        .flat_map(|a| {
            a.view
                .tasks
                .iter()
                .filter(|(_, t)| t.state != "dead")
                .map(|(name, _)| (a.id.clone(), name.clone()))
        })
        .collect();
    for (id, task) in dead {
        deregister(state, &id);
        if let Some(alloc) = state.allocs.get_mut(&id) {
            alloc.view.killing = alloc.server_terminal();
        }
        terminated(state, &id, &task, 137, 9);
    }
}
