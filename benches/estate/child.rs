//! The program itself as a child process beside the estate, and what the kernel and its own metrics say of it.

use super::served::Served;
use super::{GATEWAY, Size, front, job, portion};
use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The clock ticks of a second in `/proc/PID/stat`.
const TICKS: f64 = 100.0;

/// How the C library keeps memory, as the systemd unit sets it.
const HEAP: &str = "glibc.malloc.arena_max=1:glibc.malloc.trim_threshold=1048576:glibc.malloc.mmap_threshold=262144";

/// A running `foreshadow run`, ended when it is dropped.
pub struct Foreshadow {
    child: Child,
    pub api: SocketAddr,
    folder: tempfile::TempDir,
}

impl Drop for Foreshadow {
    fn drop(&mut self) {
        // It may have ended by itself, which its measurements have told then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often it counted a turn that took no longer than so many seconds, and their sum.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// Upper bound and cumulative count.
    pub buckets: Vec<(f64, f64)>,
    pub sum: f64,
}

impl Turns {
    pub fn since(&self, before: &Turns) -> Turns {
        let old = |k: usize| before.buckets.get(k).map_or(0.0, |b| b.1);
        let buckets = self.buckets.iter().enumerate();
        Turns {
            buckets: buckets.map(|(k, b)| (b.0, b.1 - old(k))).collect(),
            sum: self.sum - before.sum,
        }
    }
    pub fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |b| b.1)
    }
    /// Milliseconds that this part of them took at most, by the upper bound of its bucket.
    pub fn within(&self, part: f64) -> f64 {
        let wanted = (self.count() * part).ceil();
        let found = self.buckets.iter().find(|b| b.1 >= wanted);
        found.map_or(f64::NAN, |b| b.0 * 1e3)
    }
    pub fn mean(&self) -> f64 {
        1e3 * self.sum / self.count()
    }
}

impl Foreshadow {
    /// Starts it on one core, observing, with a policy for each workload.
    pub fn start(size: Size, served: &Served, cycle: &str) -> Foreshadow {
        let folder = tempfile::tempdir().expect("a folder");
        policies(size, served, folder.path());
        let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let api = free.expect("a port");
        let config = folder.path().join("foreshadow.hcl");
        let text = format!(
            "policies = [\"policies\"]\nstore = \"foreshadow.db\"\ncycle = \"{cycle}\"\napi = \"{api}\"\ngateway \"{GATEWAY}\" {{\n  site = \"site-0\"\n  local = false\n}}\n"
        );
        std::fs::write(&config, text).expect("a configuration");
        let bin = std::env::var("FORESHADOW_BIN");
        let bin = bin.unwrap_or_else(|_| env!("CARGO_BIN_EXE_foreshadow").into());
        let mut command = match Command::new("taskset").arg("-V").output() {
            Ok(_) => {
                let mut pinned = Command::new("taskset");
                pinned.args(["-c", "0", &bin]);
                pinned
            }
            Err(_) => {
                println!("there is no taskset here: it has all cores");
                Command::new(bin)
            }
        };
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let child = command
            .args(["run", "--config"])
            .arg(&config)
            .env("GLIBC_TUNABLES", HEAP)
            .env("NOMAD_ADDR", format!("http://{}", served.nomad))
            .env("CONSUL_HTTP_ADDR", served.consul.to_string())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        Foreshadow { child, api, folder }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its last words, where it has ended.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok()??;
        std::fs::read_to_string(self.folder.path().join("log")).ok()
    }

    fn status(&self, key: &str) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let text = text.unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix(key));
        let kib = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok());
        kib.unwrap_or(f64::NAN) * 1024.0 / 1e6
    }

    /// Megabytes in memory now.
    pub fn resident(&self) -> f64 {
        self.status("VmRSS")
    }

    /// The most that it ever had in memory, in megabytes.
    pub fn most_resident(&self) -> f64 {
        self.status("VmHWM")
    }

    pub fn handles(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid()));
        open.map_or(0, Iterator::count)
    }

    /// Seconds of a core since it started.
    pub fn spent(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        let stat = stat.unwrap_or_default();
        let after = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<f64> = after
            .split_whitespace()
            .map(|f| f.parse().unwrap_or(0.0))
            .collect();
        // utime and stime are the 14th and 15th of all, the 12th and 13th after the name.
        fields
            .get(11..13)
            .map_or(0.0, |t| t.iter().sum::<f64>() / TICKS)
    }

    /// Kilobytes of its store, with what was not checkpointed yet.
    pub fn stored(&self) -> u64 {
        let files = ["foreshadow.db", "foreshadow.db-wal"];
        let sizes = files
            .iter()
            .map(|f| std::fs::metadata(self.folder.path().join(f)));
        sizes.flatten().map(|m| m.len() / 1_000).sum()
    }

    /// Its exposition, and how long that took in seconds; nothing while it does not answer.
    pub async fn metrics(&self) -> Option<String> {
        let ask = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .build()
            .ok()?;
        let answer = ask
            .get(format!("http://{}/metrics", self.api))
            .send()
            .await
            .ok()?;
        answer.text().await.ok()
    }

    /// Durations of whole turns (`part` empty), or of a part of them, since it started.
    pub fn turns(text: &str, name: &str, part: &str) -> Turns {
        let mut turns = Turns::default();
        for line in text
            .lines()
            .filter(|l| l.starts_with(name) && l.contains(part))
        {
            let Some(value) = line.rsplit(' ').next().and_then(|v| v.parse::<f64>().ok()) else {
                continue;
            };
            if line.contains("_sum") {
                turns.sum = value;
            } else if let Some(bound) = line.split("le=\"").nth(1).and_then(|b| b.split('"').next())
            {
                turns
                    .buckets
                    .push((bound.parse().unwrap_or(f64::INFINITY), value));
            }
        }
        turns
    }
}

fn policies(size: Size, served: &Served, folder: &Path) {
    let folder = folder.join("policies");
    std::fs::create_dir(&folder).expect("a folder");
    for w in 0..size.workloads() {
        std::fs::write(
            folder.join(format!("{w}.hcl")),
            policy(size, w, served.metrics),
        )
        .expect("a policy");
    }
}

fn policy(size: Size, w: usize, metrics: SocketAddr) -> String {
    let mut text = format!(
        "workload \"work-{w}\" {{\n  job = \"{}\"\n  risk_tolerance = 0.5\n  sites = {:?}\n  slo {{\n    quantile = 0.95\n    latency = \"400ms\"\n    success = 0.99\n  }}\n  budget {{\n    shadow_core_hours = 4\n    standby_core_hours = 100\n    max_shadows = 1\n    max_standbys = 4\n  }}\n  ramp {{\n    steps = [10, 50, 100]\n    soak = \"10s\"\n    settle = \"1m\"\n    keep_warm = \"1m\"\n    min_samples = 5\n  }}\n  step = \"1m\"\n  season = \"24h\"\n  horizon = \"15m\"\n",
        job(w),
        size.sites_of(w)
    );
    for p in size.portions_of(w) {
        // Each calls the next one of its workload.
        let calls = size
            .portions_of(w)
            .contains(&(p + 1))
            .then(|| portion(p + 1));
        // A String takes whatever is written.
        let _ = writeln!(
            text,
            "  portion \"{0}\" {{\n    front = \"{1}\"\n    depends_on = {2:?}\n    metrics {{\n      clients = [\"http://{metrics}/metrics/{w}\"]\n      requests = \"requests_total\"\n      duration = \"request_seconds\"\n      failed = \"outcome=lost\"\n      only = [\"portion={0}\"]\n    }}\n  }}",
            portion(p),
            front(p),
            calls.as_slice(),
        );
    }
    text + "}\n"
}
