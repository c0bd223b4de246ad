//! The environment that a Nomad task gets, as far as only the node knows it.

use crate::sandbox::nomad::TaskStart;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The folders of a task, as in Nomad.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    /// Shared by the tasks of the allocation.
    pub alloc: PathBuf,
    /// The task's own working directory.
    pub task: PathBuf,
}

impl Folders {
    pub(super) fn local(&self) -> PathBuf {
        self.task.join("local")
    }

    pub(super) fn secrets(&self) -> PathBuf {
        self.task.join("secrets")
    }
}

/// Everything that the task finds in its environment, `${…}` put in. What the server side has said wins over what is derived here.
pub(super) fn environment(
    task: &TaskStart,
    folders: &Folders,
    inner: Ipv4Addr,
    outer: Ipv4Addr,
    path: &str,
) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |key: &str, value: String| env.insert(key.to_string(), value);
    set("PATH", path.to_string());
    set("NOMAD_ALLOC_ID", task.alloc_id.clone());
    set("NOMAD_ALLOC_NAME", task.alloc_name.clone());
    set("NOMAD_ALLOC_INDEX", task.alloc_index.to_string());
    set("NOMAD_JOB_ID", task.job_id.clone());
    set("NOMAD_JOB_NAME", task.job_name.clone());
    set("NOMAD_GROUP_NAME", task.group.clone());
    set("NOMAD_TASK_NAME", task.task.clone());
    set("NOMAD_CPU_LIMIT", task.cpu_mhz.to_string());
    set("NOMAD_MEMORY_LIMIT", task.memory_mb.to_string());
    env.extend(task.env.clone());
    // The node's word is the last one on what only the node knows.
    let mut set = |key: String, value: String| env.insert(key, value);
    for (folder, at) in [
        ("ALLOC", folders.alloc.clone()),
        ("TASK", folders.local()),
        ("SECRETS", folders.secrets()),
    ] {
        set(format!("NOMAD_{folder}_DIR"), at.display().to_string());
    }
    for (label, port) in &task.ports {
        let label = clean(label);
        set(format!("NOMAD_IP_{label}"), inner.to_string());
        set(format!("NOMAD_PORT_{label}"), port.to_string());
        set(format!("NOMAD_ADDR_{label}"), format!("{inner}:{port}"));
        set(format!("NOMAD_HOST_IP_{label}"), outer.to_string());
        set(format!("NOMAD_HOST_PORT_{label}"), port.to_string());
        set(
            format!("NOMAD_HOST_ADDR_{label}"),
            format!("{outer}:{port}"),
        );
    }
    let known = env.clone();
    for value in env.values_mut() {
        *value = interpolate(value, &known);
    }
    env
}

/// Nomad's names of environment variables: what is not a letter, digit or underscore becomes an underscore.
fn clean(label: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || c == '_';
    label
        .chars()
        .map(|c| if keep(c) { c } else { '_' })
        .collect()
}

/// Put the environment's values in for `${NAME}` and `${env.NAME}`; what is unknown stays as it was, as in Nomad.
pub(super) fn interpolate(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            out.push_str("${");
            out.push_str(after);
            return out;
        };
        let name = name.trim();
        match env.get(name.strip_prefix("env.").unwrap_or(name)) {
            Some(value) => out.push_str(value),
            None => out.extend(["${", name, "}"]),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::runtime::tests::task;

    fn folders() -> Folders {
        Folders {
            alloc: "/tmp/x/alloc".into(),
            task: "/tmp/x/web".into(),
        }
    }

    fn built(task: &TaskStart) -> BTreeMap<String, String> {
        let (inner, outer) = ("127.1.10.1".parse(), "127.0.10.1".parse());
        environment(task, &folders(), inner.unwrap(), outer.unwrap(), "/bin")
    }

    #[test]
    fn a_port_is_known_inside_and_outside() {
        let mut task = task("sleep", &["1"]);
        task.ports.insert("http-api".into(), 20_001);
        let env = built(&task);
        let found = |key: &str| env[key].as_str();
        assert_eq!(found("NOMAD_ADDR_http_api"), "127.1.10.1:20001");
        assert_eq!(found("NOMAD_HOST_ADDR_http_api"), "127.0.10.1:20001");
        assert_eq!(found("NOMAD_PORT_http_api"), "20001");
        assert_eq!(found("NOMAD_TASK_DIR"), "/tmp/x/web/local");
        assert_eq!(found("PATH"), "/bin");
    }

    #[test]
    fn values_of_the_job_may_name_what_only_the_node_knows() {
        let mut task = task("sleep", &["1"]);
        task.ports.insert("http".into(), 20_001);
        let value = "${NOMAD_IP_http}:${ env.NOMAD_PORT_http }/${unknown}/${open".to_string();
        task.env.insert("BIND".into(), value);
        assert_eq!(built(&task)["BIND"], "127.1.10.1:20001/${unknown}/${open");
    }

    #[test]
    fn what_the_server_says_is_not_overwritten_by_what_is_derived() {
        let mut task = task("sleep", &["1"]);
        task.env.insert("NOMAD_JOB_NAME".into(), "shop".into());
        assert_eq!(built(&task)["NOMAD_JOB_NAME"], "shop");
    }
}
