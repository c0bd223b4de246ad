//! Foreshadow as a service: what it links, what it tells systemd, its own entry in Consul, and how its unit is shut in.
#![allow(clippy::disallowed_methods)] // other processes are waited for; the environment says which programs there are

#[path = "scheduler/program.rs"]
mod program;

use nix::sys::signal::Signal;
use program::{Program, binary, comes_true, kind};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Debian's libc6 brings all of them.
const GLIBC: [&str; 5] = [
    "linux-vdso.so",
    "libc.so",
    "libm.so",
    "libgcc_s.so",
    "ld-linux",
];

#[test]
fn the_binary_links_nothing_beyond_glibc() {
    let linked = Command::new("ldd").arg(binary()).output().unwrap();
    let linked = String::from_utf8(linked.stdout).unwrap();
    let libraries: Vec<&str> = linked
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    assert!(libraries.len() >= 3, "{linked}");
    for library in libraries {
        assert!(
            GLIBC.iter().any(|known| library.contains(known)),
            "it links {library}"
        );
    }
}

/// Past the test harness, which keeps what is printed to itself while a test passes.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

#[test]
fn systemd_finds_the_unit_sound_and_shut_in() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/systemd/foreshadow.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Where the binary is on this machine; the manual page is nowhere yet.
    let here = unit
        .replace(
            "/usr/local/bin/foreshadow",
            &binary().canonicalize().unwrap().display().to_string(),
        )
        .replace("Documentation=man:foreshadow(1)\n", "");
    let file = folder.path().join("foreshadow.service");
    std::fs::write(&file, here).unwrap();
    // Of 100; 20 is "OK" in systemd's words.
    for args in [
        &["verify"][..],
        &["security", "--offline=true", "--threshold=20"],
    ] {
        let Ok(said) = Command::new("systemd-analyze")
            .args(args)
            .arg(&file)
            .output()
        else {
            return skipped("no systemd-analyze on PATH");
        };
        assert!(said.status.success(), "systemd-analyze {args:?}: {said:?}");
    }
}

/// A foreshadow that may act, with nothing to act on, beside the sandbox's Nomad and Consul.
struct Service {
    folder: tempfile::TempDir,
    _sandbox: Program,
    consul: String,
    socket: UnixDatagram,
    program: Program,
}

impl Service {
    /// With its API at a port, where Consul's agent can ask for it, or where `api` says.
    fn start(api: Option<&str>) -> Service {
        let folder = tempfile::tempdir().unwrap();
        let args = ["sandbox", "--headless", "--format", "json", "--for", "120s"];
        let mut sandbox = Program::start(folder.path(), &args, &[]);
        sandbox.until("its addresses", PATIENCE, |line| kind(line) == "listening");
        let listening = sandbox
            .said
            .iter()
            .find(|l| kind(l) == "listening")
            .unwrap();
        let [nomad, consul] =
            ["nomad", "consul"].map(|name| listening[name].as_str().unwrap().to_string());
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // Nobody listens there when the listener has gone.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let api = api.map_or_else(|| free.unwrap().to_string(), str::to_string);
        let config = folder.path().join("foreshadow.hcl");
        let text = format!(
            "mode = \"act\"\npolicies = []\ncycle = \"500ms\"\nkv_datacenter = \"edge\"\napi = \"{api}\"\ngateway \"edge-a\" {{\n  site = \"edge-a\"\n}}\n"
        );
        std::fs::write(&config, text).unwrap();
        let config = config.display().to_string();
        let env = [
            ("NOMAD_ADDR", nomad),
            ("CONSUL_HTTP_ADDR", consul.clone()),
            ("NOTIFY_SOCKET", path.display().to_string()),
        ];
        let program = Program::start(
            folder.path(),
            &["run", "--config", &config, "--format", "json"],
            &env,
        );
        Service {
            folder,
            _sandbox: sandbox,
            consul,
            socket,
            program,
        }
    }

    /// Waits until systemd is told this.
    fn hears(&self, what: &str) -> String {
        let mut said = [0; 4096];
        loop {
            let length = self
                .socket
                .recv(&mut said)
                .unwrap_or_else(|e| panic!("{what} was never told: {e}"));
            let text = String::from_utf8_lossy(&said[..length]).into_owned();
            if text.contains(what) {
                return text;
            }
        }
    }

    /// What Consul answers to this.
    fn get(&self, path: &str) -> String {
        let at = self.consul.trim_start_matches("http://");
        let mut stream = TcpStream::connect(at).unwrap();
        let ask = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(ask.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        body.to_string()
    }

    /// The operator's stop, as the configuration says where it is.
    fn hold(&self, switch: &str) {
        let config = self.folder.path().join("foreshadow.hcl");
        let mut hold = Command::new(binary());
        hold.args(["hold", switch, "--config"]).arg(config);
        let said = hold.env("CONSUL_HTTP_ADDR", &self.consul).output().unwrap();
        assert!(said.status.success(), "{said:?}");
    }

    /// The checks of its entry in Consul's catalog, as `life passing`, in their order. The sandbox's own scheduler has one beside it.
    fn checks(&self) -> Vec<String> {
        let own = format!("foreshadow:{}:", self.program.pid());
        let answer = self.get("/v1/health/service/foreshadow");
        let entries: Vec<Value> =
            serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer}"));
        let checks = entries
            .iter()
            .flat_map(|e| e["Checks"].as_array().unwrap().clone());
        let text = |check: &Value, of: &str| check[of].as_str().unwrap().to_string();
        let own = checks.filter(|c| text(c, "ServiceID").starts_with(&own));
        let told = own.map(|c| {
            let id = text(&c, "CheckID");
            format!(
                "{} {}",
                id.rsplit(':').next().unwrap_or_default(),
                text(&c, "Status")
            )
        });
        let mut told: Vec<String> = told.collect();
        told.sort();
        told
    }
}

#[test]
fn a_service_is_ready_with_its_first_cycle_is_found_in_consul_and_takes_its_leave() {
    let mut service = Service::start(None);
    service.hears("READY=1");
    let status = service.hears("STATUS=");
    assert!(
        status.contains("WATCHDOG=1") && status.contains("0 portions, 0 in breach"),
        "{status}"
    );
    let passes = comes_true(PATIENCE, || {
        service.checks() == ["life passing", "view passing"]
    });
    assert!(passes, "its entry in Consul: {:?}", service.checks());
    service.hold("on");
    let kept = service.get("/v1/kv/foreshadow/hold?raw&dc=edge");
    assert!(!kept.is_empty() && kept != "off", "{kept}");
    service.hears("foreshadow/hold is set");
    service.hold("off");
    service.program.signal(Signal::SIGTERM);
    service.hears("STOPPING=1");
    assert!(service.program.until_its_end(PATIENCE).success());
    assert_eq!(
        service.checks(),
        Vec::<String>::new(),
        "it has taken itself out"
    );
    let kept: PathBuf = service.folder.path().join("foreshadow.db");
    assert!(kept.is_file(), "its store stays");
}

#[test]
fn a_service_whose_api_is_a_socket_is_found_in_consul_by_its_life_alone() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", folder.path().join("api.sock").display());
    let mut service = Service::start(Some(&socket));
    let passes = comes_true(PATIENCE, || service.checks() == ["life passing"]);
    assert!(passes, "its entry in Consul: {:?}", service.checks());
    service.program.signal(Signal::SIGTERM);
    assert!(service.program.until_its_end(PATIENCE).success());
    assert_eq!(
        service.checks(),
        Vec::<String>::new(),
        "it has taken itself out"
    );
}

/// A foreshadow that observes, started as systemd would, with nothing to be reached and no word on where its API is.
#[test]
fn without_a_word_on_it_the_api_is_served_on_a_socket_of_its_owner_where_commands_find_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("foreshadow.hcl");
    let text = "policies = []\ncycle = \"500ms\"\ngateway \"edge-a\" {\n  site = \"edge-a\"\n}\n";
    std::fs::write(&config, text).unwrap();
    let nobody = "127.0.0.1:9".to_string();
    let runtime = folder.path().join("foreshadow");
    let env = [
        ("NOMAD_ADDR", format!("http://{nobody}")),
        ("CONSUL_HTTP_ADDR", nobody),
        ("RUNTIME_DIRECTORY", runtime.display().to_string()),
        ("FORESHADOW_ACT_TOKEN", "sesame".to_string()),
    ];
    let config = config.display().to_string();
    let args = ["run", "--config", &config, "--format", "json"];
    let mut program = Program::start(folder.path(), &args, &env);
    let socket = runtime.join("api.sock");
    assert!(comes_true(PATIENCE, || socket.exists()));
    assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    let list = |attach: &[&str]| {
        let mut list = Command::new(binary());
        list.args(["shadow", "list"]).args(attach);
        list.env_remove("FORESHADOW_API")
            .env("XDG_RUNTIME_DIR", folder.path());
        list.output().unwrap()
    };
    let found = list(&[]);
    assert!(found.status.success(), "{found:?}");
    let named = format!("unix://{}", socket.display());
    assert!(list(&["--attach", &named]).status.success());
    // A second one does not take the first one's place.
    let second = Command::new(binary())
        .args(args)
        .envs(env)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        !second.status.success() && said.contains("another process listens on it"),
        "{said}"
    );
    assert!(list(&[]).status.success());
    program.signal(Signal::SIGTERM);
    assert!(program.until_its_end(PATIENCE).success());
    assert!(!socket.exists(), "it takes its socket along");
    let gone = list(&["--attach", &named]);
    assert_eq!(gone.status.code(), Some(69), "{gone:?}");
}
