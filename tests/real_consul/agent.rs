//! A real Consul agent in dev mode on a loopback address of its own, and a backend for its checks.

use foreshadow::clients::consul::Consul;
use foreshadow::clients::http::{Peer, System};
use foreshadow::sandbox::real_consul;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// The program, or `None` with a word on stderr.
fn program() -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let cache = std::env::var_os("FORESHADOW_CACHE").map(PathBuf::from);
    let found = real_consul::find(&path, cache.as_deref());
    if found.is_none() {
        // Past the test harness, which keeps what is printed to itself while a test passes.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no consul on PATH, in target/real-consul or in $FORESHADOW_CACHE"
        );
    }
    found
}

pub struct Agent {
    child: Child,
    ip: String,
    lines: Receiver<String>,
    _folder: tempfile::TempDir,
}

impl Agent {
    /// Starts a server of datacenter `edge` (unless `more`, JSON members after a comma, says otherwise) and waits until it serves.
    pub fn start(name: &str, ip: &str, more: &str) -> Option<Agent> {
        let program = program()?;
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("agent.json");
        let datacenter = match more.contains("\"datacenter\"") {
            true => "",
            false => r#", "datacenter": "edge""#,
        };
        let mesh = match more.contains("\"connect\"") {
            true => "",
            false => r#", "connect": {"enabled": false}"#,
        };
        let text = format!(
            r#"{{"node_name": "{name}", "bind_addr": "{ip}", "client_addr": "{ip}",
            "disable_update_check": true{mesh}{datacenter}{more}}}"#
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new(program)
            .args(["agent", "-dev", "-config-file"])
            .arg(&config)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        // Reads to the end, so that the agent never waits for its output; ends with the agent.
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let agent = Agent {
            child,
            ip: ip.into(),
            lines,
            _folder: folder,
        };
        agent.wait_for(|line| line.contains("Synced node info"));
        Some(agent)
    }

    /// Waits for a line of its log.
    pub fn wait_for(&self, wanted: impl Fn(&str) -> bool) {
        let mut log = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(60)) {
            if wanted(&line) {
                return;
            }
            log.push(line);
        }
        panic!(
            "the agent at {} ended or hangs:\n{}",
            self.ip,
            log.join("\n")
        );
    }

    pub fn client(&self) -> Consul {
        let address = format!("{}:8500", self.ip);
        Consul::new(&Peer::plain(System::Consul, &address).unwrap()).unwrap()
    }

    pub fn dns(&self) -> SocketAddr {
        format!("{}:8600", self.ip).parse().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP server that answers 200 until told to fail.
pub struct Backend {
    at: SocketAddr,
    failing: Arc<AtomicBool>,
}

impl Backend {
    pub fn start(ip: &str) -> Backend {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let at = listener.local_addr().unwrap();
        let failing = Arc::new(AtomicBool::new(false));
        let state = failing.clone();
        // Ends with the test process; an idle listener holds nothing up.
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 1024]);
                let status = match state.load(Ordering::Relaxed) {
                    true => "500 Internal Server Error",
                    false => "200 OK",
                };
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
            }
        });
        Backend { at, failing }
    }
    /// Answers 500 from now on, or 200 again.
    pub fn fail(&self, fails: bool) {
        self.failing.store(fails, Ordering::Relaxed);
    }
    pub fn ip(&self) -> String {
        self.at.ip().to_string()
    }
    pub fn port(&self) -> u16 {
        self.at.port()
    }
}

/// Certificates made by Consul's own tool.
pub struct Pki {
    pub ca: PathBuf,
    pub server: (PathBuf, PathBuf),
    pub client: (PathBuf, PathBuf),
}

pub fn pki(folder: &Path) -> Option<Pki> {
    let program = program()?;
    let tls = |args: &[&str]| {
        let made = Command::new(&program)
            .arg("tls")
            .args(args)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "consul tls {args:?}: {made:?}");
    };
    tls(&["ca", "create"]);
    tls(&["cert", "create", "-server", "-dc=edge"]);
    tls(&["cert", "create", "-client", "-dc=edge"]);
    let pair = |kind: &str| {
        let at = |end: &str| folder.join(format!("edge-{kind}-consul-0{end}.pem"));
        (at(""), at("-key"))
    };
    Some(Pki {
        ca: folder.join("consul-agent-ca.pem"),
        server: pair("server"),
        client: pair("client"),
    })
}
