//! A real Nomad and a real Consul, one agent of each, and a job on them.

use super::program::{Program, binary, comes_true, processes_of};
use foreshadow::act::entries::PREFIX;
use foreshadow::clients::consul::Consul;
use foreshadow::clients::dns::Dns;
use foreshadow::clients::http::{Peer, System};
use foreshadow::clients::nomad::Nomad;
use foreshadow::sandbox::real_consul;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const STEP: Duration = Duration::from_secs(60);

/// Nomad and Consul, or `None` with a word on stderr.
pub fn programs() -> Option<(PathBuf, PathBuf)> {
    let path = std::env::var("PATH").unwrap_or_default();
    let named = std::env::var_os("FORESHADOW_NOMAD_BIN").map(PathBuf::from);
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("nomad"));
    let nomad = named.into_iter().chain(on_path).find(|p| p.is_file());
    if nomad.is_none() {
        aloud("skipped: no real Nomad on PATH or in $FORESHADOW_NOMAD_BIN");
    }
    let cache = std::env::var_os("FORESHADOW_CACHE").map(PathBuf::from);
    let consul = real_consul::find(&path, cache.as_deref());
    if consul.is_none() {
        aloud("skipped: no real Consul on PATH, in target/real-consul or in $FORESHADOW_CACHE");
    }
    Some((nomad?, consul?))
}

fn path_with_ourselves() -> std::ffi::OsString {
    let ours = binary().canonicalize().unwrap();
    let ours = ours.parent().unwrap().to_path_buf();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(ours).chain(std::env::split_paths(&path))).unwrap()
}

/// Past the test harness, which keeps what is printed to itself while a test passes.
pub fn aloud(text: &str) {
    // A closed stderr has nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What runs the instances of the job.
pub enum Runs {
    Processes,
    /// Containers of this image, on docker's bridge.
    Containers {
        image: String,
    },
}

/// One real agent of each; ended, with all that they started, when dropped.
pub struct Agents {
    /// The agents' own address, apart from every other test's.
    ip: &'static str,
    runs: Runs,
    pub nomad: Arc<Nomad>,
    consul: Consul,
    dns: Dns,
    /// In the order of ending.
    processes: Vec<Child>,
    folder: TempDir,
}

impl Agents {
    pub async fn start(ip: &'static str, runs: Runs, nomad: &Path, consul: &Path) -> Agents {
        let folder = tempfile::tempdir().unwrap();
        let at = |system, port| Peer::plain(system, &format!("http://{ip}:{port}")).unwrap();
        let patience = Duration::from_secs(2);
        let dns = Dns::new(format!("{ip}:8600").parse().unwrap(), patience, None);
        let mut agents = Agents {
            ip,
            runs,
            nomad: Arc::new(Nomad::new(&at(System::Nomad, 4646)).unwrap()),
            consul: Consul::new(&at(System::Consul, 8500)).unwrap(),
            dns: dns.unwrap(),
            processes: Vec::new(),
            folder,
        };
        let (bind, client) = (format!("-bind={ip}"), format!("-client={ip}"));
        let dev = ["agent", "-dev", "-node=real", &bind, &client];
        agents.begin(consul, "consul", &dev);
        // So that Nomad finds it when it first looks.
        let serves = async || agents.consul.agent_self().await.is_ok();
        agents.comes_true("Consul serves", serves).await;
        let config = agents.write("nomad.hcl", &agents.nomad_config());
        agents.begin(nomad, "nomad", &["agent", "-config", &config]);
        let ready = async || {
            let nodes = agents.nomad.nodes(None).await;
            let leads = agents.consul.kv_put("foreshadow-test", b"", None).await;
            nodes.is_ok_and(|n| n.value.iter().any(|n| n.status == "ready")) && leads.is_ok()
        };
        agents.comes_true("both agents are ready", ready).await;
        agents
    }

    fn begin(&mut self, program: &Path, name: &str, args: &[&str]) {
        let log = File::create(self.folder.path().join(format!("{name}.log"))).unwrap();
        let child = Command::new(program)
            .args(args)
            .current_dir(self.folder.path())
            // Nomad's helpers inherit it, and are known by it.
            .env("STARTED_FOR", self.folder.path())
            // What stands in for a shadow's upstreams is foreshadow from the client's PATH.
            .env("PATH", path_with_ourselves())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn();
        self.processes.insert(0, child.unwrap());
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn nomad_config(&self) -> String {
        let ip = self.ip;
        // Containers reach the node at the bridge's address, not on the loopback device.
        let (device, drivers) = match self.runs {
            Runs::Processes => ("lo", "raw_exec"),
            Runs::Containers { .. } => ("docker0", "raw_exec,docker"),
        };
        format!(
            r#"
datacenter = "edge-a"
name       = "edge-a-1"
data_dir   = "{}/nomad"
bind_addr  = "{ip}"
disable_update_check        = true
disable_anonymous_signature = true
advertise {{ http = "{ip}" rpc = "{ip}" serf = "{ip}" }}
consul    {{ address = "{ip}:8500" }}
server {{
  enabled          = true
  bootstrap_expect = 1
}}
client {{
  enabled           = true
  network_interface = "{device}"
  network_speed     = 1000
  cpu_total_compute = 4000
  options = {{
    "driver.allowlist"     = "{drivers}"
    "fingerprint.denylist" = "env_aws,env_gce,env_azure"
  }}
}}
plugin "raw_exec" {{ config {{ enabled = true }} }}
"#,
            self.folder.path().display()
        )
    }

    /// Nomad's own parser reads it.
    pub async fn run_the_job(&self) {
        let program = binary().canonicalize().unwrap();
        // In a container all addresses are its own, and the binary is the image's.
        let (driver, options, env) = match &self.runs {
            Runs::Processes => (
                "raw_exec",
                format!("command = \"{}\"", program.display()),
                "",
            ),
            Runs::Containers { image } => (
                "docker",
                format!(
                    "image = \"{image}\"\n        ports = [\"http\"]\n        command = \"/foreshadow\""
                ),
                "NOMAD_IP_http = \"0.0.0.0\"",
            ),
        };
        let text = format!(
            r#"
job "one" {{
  datacenters = ["edge-a"]
  group "web" {{
    network {{
      port "http" {{}}
    }}
    service {{
      name = "one-web-origin"
      port = "http"
      check {{
        type     = "http"
        path     = "/health"
        interval = "1s"
        timeout  = "1s"
      }}
    }}
    task "web" {{
      driver = "{driver}"
      config {{
        {options}
        args    = ["shop-service", "--name", "web", "--cpu-ms", "0.5", "--upstream", "one-db"]
      }}
      # The instance answers for it by itself; a shadow is told where to find what stands in for it.
      env {{
        UPSTREAM_ONE_DB = "stub"
        {env}
      }}
      resources {{
        cpu    = 100
        memory = 32
      }}
    }}
  }}
}}
"#
        );
        let job = self.nomad.parse(&text).await;
        let job = job.unwrap_or_else(|e| panic!("{e}"));
        let registered = self.nomad.register(&job, None).await;
        registered.unwrap_or_else(|e| panic!("{e}"));
        let runs = async || !self.running("one").await.is_empty();
        self.comes_true("the job runs", runs).await;
    }

    pub fn schedule(&self) -> Program {
        let ip = self.ip;
        self.write(
            "one.hcl",
            r#"
workload "one" {
  job            = "one"
  risk_tolerance = 0.3
  sites          = ["edge-a"]
  slo {
    quantile = 0.95
    latency  = "400ms"
    success  = 0.99
  }
  budget {
    shadow_core_hours = 1
    max_shadows       = 1
    max_standbys      = 0
  }
  step     = "1s"
  season   = "144s"
  horizon  = "30s"
  peak_rps = 10
  portion "web" {
    front = "one-web"
    upstream "one-db" {
      recording = "one-db.ndjson"
    }
    metrics { failed = "code=5*" }
  }
}
"#,
        );
        let answer = r#"{"method":"GET","path":"/","status":200,"body":"ok","latency":2.0}"#;
        self.write("one-db.ndjson", answer);
        let config = format!(
            "mode = \"act\"\npolicies = [\"one.hcl\"]\ncycle = \"1s\"\n\
             gateway \"edge-a\" {{\n  site = \"edge-a\"\n  dns = \"{ip}:8600\"\n}}\n"
        );
        let config = self.write("foreshadow.hcl", &config);
        // The addresses as HashiCorp's own tools are told them.
        let env = [
            ("NOMAD_ADDR", format!("http://{ip}:4646")),
            ("CONSUL_HTTP_ADDR", format!("{ip}:8500")),
        ];
        let args = ["run", "--config", &config, "--format", "json"];
        Program::start(self.folder.path(), &args, &env)
    }

    pub async fn the_doctor_knows_this_nomad(&self) {
        let ip = self.ip;
        let config = self.folder.path().join("foreshadow.hcl");
        let mut doctor = Command::new(binary());
        doctor
            .args(["doctor", "--config"])
            .arg(config)
            .current_dir(self.folder.path())
            .env("NOMAD_ADDR", format!("http://{ip}:4646"))
            .env("CONSUL_HTTP_ADDR", format!("{ip}:8500"));
        let told = tokio::task::spawn_blocking(move || doctor.output()).await;
        let told = told.unwrap().unwrap().stdout;
        let told = String::from_utf8_lossy(&told);
        let features = self.nomad.agent_self().await.unwrap().features();
        for (name, since, has) in features.all() {
            let lack = format!("{name} (from {since} on)");
            let line = told
                .lines()
                .find(|l| l.starts_with("ok    Nomad features:"));
            let line = line.unwrap_or_else(|| panic!("no word of features: {told}"));
            assert_eq!(line.contains(&lack), !has, "{name}: {line}");
            assert!(line.contains(name), "{name}: {line}");
        }
    }

    pub async fn collect_garbage(&self) {
        let at = format!("http://{}:4646/v1/system/gc", self.ip);
        let sent = reqwest::Client::new().put(at).send().await;
        sent.and_then(reqwest::Response::error_for_status)
            .unwrap_or_else(|e| panic!("{e}"));
    }

    /// Addresses of the running allocations of jobs whose ID begins so.
    async fn running(&self, job: &str) -> BTreeSet<(String, u16)> {
        let allocs = self.nomad.allocations(None).await;
        let allocs = allocs.unwrap_or_else(|e| panic!("{e}")).value;
        let live = allocs.iter().filter(|a| a.job_id.starts_with(job));
        live.filter(|a| a.client_status == "running")
            .flat_map(|a| a.ports())
            .map(|p| (p.ip, p.port))
            .collect()
    }

    /// In SRV answers and as the one entry of ours in the agent.
    pub async fn clients_are_given_the_instance(&self) {
        let wanted = self.running("one").await;
        assert_eq!(wanted.len(), 1, "{wanted:?}");
        let given = async || {
            let found = self.dns.srv("one-web.service.consul").await;
            let found = found.unwrap_or_else(|e| panic!("{e}")).into_iter();
            let found: BTreeSet<(String, u16)> = found
                .filter_map(|r| Some((r.ip?.to_string(), r.port)))
                .collect();
            found == wanted
        };
        self.comes_true("SRV answers hold the instance", given)
            .await;
        let entries = self.consul.agent_services().await.unwrap().into_values();
        let ours = entries.filter(|s| s.id.starts_with(PREFIX));
        let ours: BTreeSet<_> = ours.map(|s| (s.address, s.port)).collect();
        assert_eq!(ours, wanted, "our entries at the agent");
    }

    pub async fn no_shadow_runs(&self) {
        let none = async || self.running("foreshadow-shadow-").await.is_empty();
        self.comes_true("no shadow runs", none).await;
    }

    async fn comes_true(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let until = Instant::now() + STEP;
        while !holds().await {
            if Instant::now() > until {
                let log = |name: &str| {
                    let path = self.folder.path().join(name);
                    let text = std::fs::read_to_string(path).unwrap_or_default();
                    let lines: Vec<&str> = text.lines().collect();
                    lines[lines.len().saturating_sub(20)..].join("\n")
                };
                let (nomad, consul) = (log("nomad.log"), log("consul.log"));
                panic!("not within {STEP:?}: {what}\nNomad:\n{nomad}\nConsul:\n{consul}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Agents {
    /// Nomad's tasks outlive their agent, and its allocations' secrets are mounts.
    fn drop(&mut self) {
        for agent in &mut self.processes {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        let folder = self.folder.path();
        let gone = comes_true(STEP, || {
            let left = processes_of(folder);
            for pid in &left {
                // It may have ended by itself.
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            left.is_empty()
        });
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|l| l.split(' ').nth(1));
        for point in points.filter(|p| Path::new(p).starts_with(folder)) {
            let _ = Command::new("umount").arg(point).status();
        }
        if !gone && !std::thread::panicking() {
            panic!("still there: {:?}", processes_of(folder));
        }
    }
}
