//! An estate whose tasks are only pretended.

use async_trait::async_trait;
use foreshadow::sandbox::nomad::{
    EstateConfig, Handle, NodeConfig, NomadEstate, Registrar, Runtime, ServiceReg, TaskEvent,
    TaskStart, TaskUsage,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};

/// Starts every task at once, and ends it when told.
pub struct FakeRuntime {
    sender: mpsc::UnboundedSender<TaskEvent>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<TaskEvent>>>,
    /// By allocation, the tasks that run.
    pub running: Mutex<BTreeMap<String, BTreeSet<String>>>,
    pub starts: Mutex<Vec<TaskStart>>,
    /// Tasks with this command exit with 1 as soon as they run.
    pub faulty: &'static str,
}

impl FakeRuntime {
    pub fn new(faulty: &'static str) -> Arc<FakeRuntime> {
        let (sender, receiver) = mpsc::unbounded_channel();
        Arc::new(FakeRuntime {
            sender,
            receiver: Mutex::new(Some(receiver)),
            running: Mutex::default(),
            starts: Mutex::default(),
            faulty,
        })
    }

    fn say(&self, event: TaskEvent) {
        self.sender.send(event).expect("the estate listens");
    }

    pub fn runs(&self, alloc: &str) -> bool {
        self.running.lock().expect("lock").contains_key(alloc)
    }

    /// Kill every task on a node, as a power cut does.
    pub fn kill_node(&self, node: &str) {
        let allocs: Vec<String> = self
            .starts
            .lock()
            .expect("lock")
            .iter()
            .filter(|s| s.node == node)
            .map(|s| s.alloc_id.clone())
            .collect();
        for alloc in allocs {
            self.end(&alloc, 137, 9);
        }
    }

    fn end(&self, alloc_id: &str, code: i32, signal: i32) {
        for task in self
            .running
            .lock()
            .expect("lock")
            .remove(alloc_id)
            .unwrap_or_default()
        {
            self.say(TaskEvent::Exited {
                alloc_id: alloc_id.into(),
                task,
                code,
                signal,
            });
        }
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn start(&self, task: TaskStart) {
        self.starts.lock().expect("lock").push(task.clone());
        self.running
            .lock()
            .expect("lock")
            .entry(task.alloc_id.clone())
            .or_default()
            .insert(task.task.clone());
        self.say(TaskEvent::Started {
            alloc_id: task.alloc_id.clone(),
            task: task.task.clone(),
            pid: 4242,
        });
        if task.command == self.faulty {
            self.end(&task.alloc_id, 1, 0);
        }
    }
    async fn stop(&self, alloc_id: &str) {
        self.end(alloc_id, 0, 0);
    }
    fn usage(&self, alloc_id: &str) -> Option<BTreeMap<String, TaskUsage>> {
        let running = self.running.lock().expect("lock");
        let usage = TaskUsage {
            cpu_percent: 1.5,
            cpu_ticks_mhz: 30.0,
            rss_bytes: 50 << 20,
            at_nanos: 1,
        };
        Some(
            running
                .get(alloc_id)?
                .iter()
                .map(|t| (t.clone(), usage))
                .collect(),
        )
    }
    fn events(&self) -> mpsc::UnboundedReceiver<TaskEvent> {
        let taken = self.receiver.lock().expect("lock").take();
        taken.unwrap_or_else(|| mpsc::unbounded_channel().1)
    }
}

type Registered = BTreeMap<String, (String, ServiceReg)>;

/// Remembers what is registered now: ID → (node, service).
#[derive(Default)]
pub struct FakeConsul(watch::Sender<Registered>);

impl FakeConsul {
    /// What is registered, once it is as wanted.
    pub async fn until(&self, wanted: impl Fn(&Registered) -> bool) -> Registered {
        let mut changes = self.0.subscribe();
        changes
            .wait_for(|all| wanted(all))
            .await
            .expect("alive")
            .clone()
    }
}

#[async_trait]
impl Registrar for FakeConsul {
    async fn register(&self, node: &str, services: Vec<ServiceReg>) {
        self.0.send_modify(|all| {
            all.extend(
                services
                    .into_iter()
                    .map(|s| (s.id.clone(), (node.to_string(), s))),
            )
        });
    }
    async fn deregister(&self, _node: &str, ids: Vec<String>) {
        self.0
            .send_modify(|all| ids.iter().for_each(|id| drop(all.remove(id))));
    }
}

pub struct Estate {
    pub handle: Handle,
    pub runtime: Arc<FakeRuntime>,
    pub consul: Arc<FakeConsul>,
    client: reqwest::Client,
}

pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
    pub fn index(&self) -> u64 {
        self.headers
            .get("X-Nomad-Index")
            .and_then(|i| i.to_str().ok()?.parse().ok())
            .unwrap_or(0)
    }
}

impl Estate {
    pub async fn start(nodes: Vec<NodeConfig>, tune: impl FnOnce(&mut EstateConfig)) -> Estate {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = EstateConfig::new(([127, 0, 0, 1], 0).into(), nodes);
        tune(&mut config);
        let (runtime, consul) = (
            FakeRuntime::new("/bin/false"),
            Arc::new(FakeConsul::default()),
        );
        let handle = NomadEstate::start(config, runtime.clone(), consul.clone())
            .await
            .expect("starts");
        Estate {
            handle,
            runtime,
            consul,
            client: reqwest::Client::new(),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.handle.address())
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.call_as("", method, path, body).await
    }

    /// The same with a token.
    pub async fn call_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let method = method.parse().expect("method");
        let request = self.client.request(method, self.url(path));
        let request = if token.is_empty() {
            request
        } else {
            request.header("X-Nomad-Token", token)
        };
        let request = if let Some(body) = body {
            request.json(body)
        } else {
            request
        };
        let answer = request.send().await.expect("answers");
        Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: answer.text().await.expect("text"),
        }
    }

    /// A body as it is.
    pub async fn send(&self, method: &str, path: &str, body: String) -> Answer {
        let method = method.parse().expect("method");
        let request = self.client.request(method, self.url(path)).body(body);
        let answer = request.send().await.expect("answers");
        Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: answer.text().await.expect("text"),
        }
    }

    pub async fn get(&self, path: &str) -> Value {
        self.call("GET", path, None).await.json()
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.call("POST", path, Some(&body)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// Register a job file.
    pub async fn run(&self, hcl: &str) -> Value {
        let job = self
            .post(
                "/v1/jobs/parse",
                json!({"JobHCL": hcl, "Canonicalize": true}),
            )
            .await;
        self.post("/v1/jobs", json!({"Job": job})).await
    }

    /// Follow a read by blocking queries until it is as wanted.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.until_as("", path, wanted).await
    }

    /// The same with a token.
    pub async fn until_as(
        &self,
        token: &str,
        path: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut index = 0;
        let joint = if path.contains('?') { '&' } else { '?' };
        for _ in 0..200 {
            let answer = self
                .call_as(
                    token,
                    "GET",
                    &format!("{path}{joint}index={index}&wait=10s"),
                    None,
                )
                .await;
            if answer.status == 200 && wanted(&answer.json()) {
                return answer.json();
            }
            assert!(
                index == 0 || answer.index() > index,
                "nothing changes any more at {path}: {}",
                answer.body
            );
            index = answer.index();
        }
        panic!("{path} never became as wanted");
    }

    /// The job's allocations that are meant to run, once there are `count` and all run.
    pub async fn running(&self, job: &str, count: usize) -> Vec<Value> {
        let live = |all: &Value| -> Vec<Value> {
            all.as_array()
                .into_iter()
                .flatten()
                .filter(|a| a["DesiredStatus"] == "run" && a["ClientStatus"] == "running")
                .cloned()
                .collect()
        };
        let all = self
            .until(&format!("/v1/job/{job}/allocations"), |all| {
                live(all).len() == count
            })
            .await;
        live(&all)
    }
}

/// A job file with one group, `extra` in the group and `task_extra` in its task.
pub fn hcl(name: &str, count: u32, head: &str, extra: &str, command: &str) -> String {
    format!(
        r#"job "{name}" {{
  datacenters = ["edge-a", "edge-b"]
  {head}
  update {{
    max_parallel     = 5
    min_healthy_time = "1ms"
  }}
  group "web" {{
    count = {count}
    {extra}
    network {{
      port "http" {{}}
    }}
    service {{
      name = "{name}-origin"
      port = "http"
      tags = ["site-${{node.datacenter}}"]
      check {{
        type     = "http"
        path     = "/health"
        interval = "1s"
        timeout  = "1s"
      }}
    }}
    task "serve" {{
      driver = "raw_exec"
      config {{
        command = "{command}"
        args    = ["--listen", "${{NOMAD_ADDR_http}}"]
      }}
      env {{
        SITE = "${{node.datacenter}}"
      }}
      resources {{
        cpu    = 500
        memory = 64
      }}
    }}
  }}
}}
"#
    )
}

/// The recordings that come with the project's briefing, if this machine has them.
pub fn recordings() -> Option<std::path::PathBuf> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    root.ancestors()
        .map(|dir| dir.join("shared/recordings"))
        .find(|dir| dir.is_dir())
}
