//! `agent` beside a real Nomad before 1.9.2, where this machine has one: chosen by `auto`, and left alone by Nomad.

#[path = "../scheduler/program.rs"]
pub mod program;

use super::*;
use foreshadow::clients::http::{Peer, System};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use program::{Program, binary, comes_true, kind, processes_of, text};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const IP: &str = "127.0.214.9";
const STEP: Duration = Duration::from_secs(60);
/// Nomad's clients compare their entries with Consul's every 30 s.
const COMPARED: Duration = Duration::from_secs(33);

fn nomad_program() -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let named = std::env::var_os("FORESHADOW_NOMAD_BIN").map(PathBuf::from);
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("nomad"));
    let found = named.into_iter().chain(on_path).find(|p| p.is_file());
    if found.is_none() {
        // Past the test harness; a closed stderr has nobody to tell.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no real Nomad on PATH or in $FORESHADOW_NOMAD_BIN"
        );
    }
    found
}

/// A real Nomad agent; ended with all that it started when dropped.
struct RealNomad {
    nomad: Arc<Nomad>,
    child: Child,
    folder: tempfile::TempDir,
}

impl RealNomad {
    async fn start(program: &Path) -> RealNomad {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let config = format!(
            r#"
datacenter = "edge-a"
name       = "edge-a-1"
data_dir   = "{at}/nomad"
bind_addr  = "{IP}"
disable_update_check        = true
disable_anonymous_signature = true
advertise {{
  http = "{IP}"
  rpc  = "{IP}"
  serf = "{IP}"
}}
consul {{
  address = "{IP}:8500"
}}
server {{
  enabled          = true
  bootstrap_expect = 1
}}
client {{
  enabled           = true
  network_interface = "lo"
  network_speed     = 1000
  cpu_total_compute = 4000
  options = {{
    "driver.allowlist"     = "raw_exec"
    "fingerprint.denylist" = "env_aws,env_gce,env_azure"
  }}
}}
plugin "raw_exec" {{
  config {{
    enabled = true
  }}
}}
"#
        );
        let file = folder.path().join("nomad.hcl");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(folder.path().join("nomad.log")).unwrap();
        let child = Command::new(program)
            .args(["agent", "-config"])
            .arg(&file)
            .current_dir(folder.path())
            // Nomad's helpers inherit it, and are known by it.
            .env("STARTED_FOR", folder.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let peer = Peer::plain(System::Nomad, &format!("http://{IP}:4646")).unwrap();
        let real = RealNomad {
            nomad: Arc::new(Nomad::new(&peer).unwrap()),
            child,
            folder,
        };
        real.until("it is ready", async || {
            let nodes = real.nomad.nodes(None).await;
            nodes.is_ok_and(|n| n.value.iter().any(|n| n.status == "ready"))
        })
        .await;
        real
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let until = std::time::Instant::now() + STEP;
        while !holds().await {
            let log = std::fs::read_to_string(self.folder.path().join("nomad.log"));
            assert!(
                std::time::Instant::now() < until,
                "never: {what}\n{}",
                log.unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Two instances behind the name that clients resolve.
    async fn run_the_job(&self) {
        let program = binary().canonicalize().unwrap();
        let hcl = format!(
            r#"
job "one" {{
  datacenters = ["edge-a"]
  group "web" {{
    count = 2
    network {{
      port "http" {{}}
    }}
    service {{
      name = "{SERVICE}"
      port = "http"
      tags = ["v1"]
      check {{
        type     = "http"
        path     = "/health"
        interval = "1s"
        timeout  = "1s"
      }}
    }}
    task "web" {{
      driver = "raw_exec"
      config {{
        command = "{}"
        args    = ["shop-service", "--name", "web", "--cpu-ms", "0.5"]
      }}
      resources {{
        cpu    = 100
        memory = 32
      }}
    }}
  }}
}}
"#,
            program.display()
        );
        let job = self
            .nomad
            .parse(&hcl)
            .await
            .unwrap_or_else(|e| panic!("{e}"));
        self.nomad
            .register(&job, None)
            .await
            .unwrap_or_else(|e| panic!("{e}"));
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn env(&self) -> [(&'static str, String); 2] {
        [
            ("NOMAD_ADDR", format!("http://{IP}:4646")),
            ("CONSUL_HTTP_ADDR", format!("{IP}:8500")),
        ]
    }
}

/// What the doctor says of owners.
pub async fn doctor(config: &str, env: &[(&'static str, String); 2]) -> Vec<String> {
    let mut doctor = Command::new(binary());
    doctor
        .args(["doctor", "--config", config])
        .envs(env.clone());
    let told = tokio::task::spawn_blocking(move || doctor.output()).await;
    let told = told.unwrap().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let lines = told.lines().filter(|l| l.contains("owner of"));
    lines.map(str::to_string).collect()
}

impl Drop for RealNomad {
    /// Nomad's tasks outlive their agent, and its allocations' secrets are mounts.
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let folder = self.folder.path();
        comes_true(STEP, || {
            let left = processes_of(folder);
            for pid in &left {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            left.is_empty()
        });
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|l| l.split(' ').nth(1));
        for point in points.filter(|p| Path::new(p).starts_with(folder)) {
            let _ = Command::new("umount").arg(point).status();
        }
    }
}

fn policy(owner: &str) -> String {
    format!(
        r#"
workload "one" {{
  job            = "one"
  risk_tolerance = 0.3
  sites          = ["edge-a"]
  slo {{
    latency = "400ms"
  }}
  budget {{
    max_shadows  = 0
    max_standbys = 0
  }}
  step     = "1s"
  season   = "144s"
  horizon  = "30s"
  portion "web" {{
    front = "{SERVICE}"
    owner = "{owner}"
    shadow = false
  }}
}}
"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_nomad_before_1_9_2_leaves_the_weights_of_owner_agent_alone() {
    let Some(program) = nomad_program() else {
        return;
    };
    let Some(agent) = Agent::start("owner-real", IP, "") else {
        return;
    };
    let real = RealNomad::start(&program).await;
    let version = real.nomad.agent_self().await.unwrap();
    if version.features().service_weights {
        println!("skipped: {} keeps weights itself", version.version_text());
        return;
    }
    let bench = Bench::start(&agent, Some(real.nomad.clone()));
    real.run_the_job().await;
    bench.until("both pass", |e| passing(e, 2)).await;

    // `auto` finds the job's own service and an older Nomad, and the doctor says so.
    let config = "mode = \"act\"\npolicies = [\"one.hcl\"]\ncycle = \"1s\"\n\
                  gateway \"edge-b\" {\n  site = \"edge-a\"\n  dns = \"IP:8600\"\n}\n";
    let config = real.write("foreshadow.hcl", &config.replace("IP", IP));
    real.write("one.hcl", &policy("nomad"));
    let told = doctor(&config, &real.env()).await;
    assert!(
        told[0].starts_with("FAIL") && told[0].contains("1.9.2"),
        "{told:?}"
    );
    real.write("one.hcl", &policy("front"));
    let told = doctor(&config, &real.env()).await;
    assert!(
        told[0].starts_with("FAIL") && told[0].contains("registers web itself"),
        "{told:?}"
    );
    real.write("one.hcl", &policy("auto"));
    let told = doctor(&config, &real.env()).await;
    println!("{}", told.join("\n"));
    assert!(
        told.len() == 2
            && told
                .iter()
                .all(|l| l.starts_with("ok    owner of web: agent: ")),
        "{told:?}"
    );
    let args = ["run", "--config", &config, "--format", "json"];
    let mut scheduler = Program::start(real.folder.path(), &args, &real.env());
    scheduler.until("verified shares", STEP, |line| {
        kind(line) == "verification" && text(line).starts_with("set shares verified")
    });
    scheduler.signal(Signal::SIGTERM);
    assert!(scheduler.until_its_end(STEP).success());

    let entries = bench.until("both serve", |e| passing(e, 2)).await;
    let ids: Vec<AllocId> = entries
        .iter()
        .map(|e| AllocId::new(alloc_of_entry(&e.service.id).unwrap()))
        .collect();
    let shares = |one, two| {
        let both = vec![
            instance(ids[0].clone(), IP, 1, one),
            instance(ids[1].clone(), IP, 2, two),
        ];
        // Above whatever the scheduler's lock was.
        Target {
            epoch: Epoch(1_000),
            ..target(Owner::Agent, both)
        }
    };
    bench.apply(&shares(75, 25)).await;
    let weight =
        |e: &[ServiceEntry], n: usize| of(e, ids[n].as_str()).map(|e| e.service.weights.passing);
    let wanted = |e: &[ServiceEntry]| (weight(e, 0), weight(e, 1)) == (Some(3), Some(1));
    bench.until("weighted", wanted).await;
    let tags = |e: &[ServiceEntry]| e.iter().all(|e| e.service.tags == ["v1"] && e.is_passing());
    // Over one comparison of Nomad's client, and past it.
    let kept = async {
        let mut query = HealthQuery::default();
        loop {
            let seen = bench.consul.health_service(SERVICE, query).await.unwrap();
            assert!(
                wanted(&seen.value) && tags(&seen.value),
                "Nomad has changed {:?}",
                seen.value
            );
            query.wait = Some(seen.next(Duration::from_secs(10)));
        }
    };
    let over: Result<(), _> = tokio::time::timeout(COMPARED, kept).await;
    assert!(over.is_err());
    println!(
        "weights 3 and 1 stood for {COMPARED:?} beside Nomad {}",
        version.version_text()
    );

    bench.apply(&shares(0, 100)).await;
    let out = |e: &[ServiceEntry]| of(e, ids[0].as_str()).unwrap().in_maintenance();
    bench.until("0 % is maintenance", out).await;
}
