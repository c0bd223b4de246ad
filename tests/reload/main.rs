//! What changes while foreshadow runs: policies, by a file that is written, by SIGHUP, and by `foreshadow reload`; and its log.
#![allow(clippy::disallowed_methods)] // the environment says which binary is tested

mod adopting;
mod logging;
#[path = "../scheduler/program.rs"]
mod program;

use nix::sys::signal::Signal;
use program::{Program, binary, kind, text};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A foreshadow that observes; of Nomad and Consul it sees nothing, which is no reason not to read policies.
struct Observer {
    folder: TempDir,
    program: Program,
    api: String,
}

impl Observer {
    fn start() -> Observer {
        Observer::with(&[], &[])
    }

    /// With more arguments and a larger environment.
    fn with(more: &[&str], env: &[(&str, String)]) -> Observer {
        let folder = tempfile::tempdir().unwrap();
        // Nobody listens there when the listener has gone.
        let free = || {
            TcpListener::bind("127.0.0.1:0")
                .and_then(|l| l.local_addr())
                .unwrap()
        };
        let (api, nobody) = (free(), free());
        let config = folder.path().join("foreshadow.hcl");
        let told = format!(
            "policies = [\"policies\"]\ncycle = \"500ms\"\napi = \"{api}\"\ngateway \"edge-a\" {{\n  site = \"edge-a\"\n}}\n"
        );
        std::fs::write(&config, told).unwrap();
        std::fs::create_dir(folder.path().join("policies")).unwrap();
        write(folder.path(), "shop.hcl", &shop());
        let config = config.display().to_string();
        let own = [
            ("NOMAD_ADDR", format!("http://{nobody}")),
            ("CONSUL_HTTP_ADDR", format!("http://{nobody}")),
            ("FORESHADOW_ACT_TOKEN", "sesame".to_string()),
        ];
        let env = [&own[..], env].concat();
        let args = ["run", "--config", &config, "--format", "json"];
        let args = [&args[..], more].concat();
        let mut observer = Observer {
            program: Program::start(folder.path(), &args, &env),
            folder,
            api: format!("http://{api}"),
        };
        observer.program.until("its first word", PATIENCE, |_| true);
        observer
    }

    fn write(&self, name: &str, text: &str) {
        write(self.folder.path(), name, text);
    }

    /// Waits for a notice that begins so and holds that.
    fn hears(&mut self, begins: &str, holds: &str) {
        let what = format!("{begins} … {holds}");
        self.program.until(&what, PATIENCE, |line| {
            kind(line) == "notice" && text(line).starts_with(begins) && text(line).contains(holds)
        });
    }

    fn reload(&self, token: Option<&str>) -> Output {
        let mut reload = Command::new(binary());
        reload.args(["reload", "--attach", &self.api]);
        reload.env_remove("FORESHADOW_ACT_TOKEN");
        if let Some(token) = token {
            reload.env("FORESHADOW_ACT_TOKEN", token);
        }
        reload.output().unwrap()
    }
}

/// As editors do: beside it, then in its place.
fn write(folder: &Path, name: &str, text: &str) {
    let beside = folder.join("policies").join(format!("{name}.new"));
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, folder.join("policies").join(name)).unwrap();
}

fn shop() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/shop.hcl");
    std::fs::read_to_string(path).unwrap()
}

/// The same, with another risk tolerance.
fn bolder() -> String {
    let shop = shop();
    let line = shop
        .lines()
        .find(|l| l.trim_start().starts_with("risk_tolerance"))
        .unwrap();
    shop.replace(line, "  risk_tolerance = 0.77")
}

const GOOD: &str = "policies were read again: ";
const BAD: &str = "policies stay as they were: ";

#[test]
fn a_policy_that_is_written_is_taken_over_and_a_wrong_one_changes_nothing() {
    let mut observer = Observer::start();
    observer.write("shop.hcl", &bolder());
    observer.hears(GOOD, "shop changed");
    observer.write(
        "shop.hcl",
        &bolder().replace("risk_tolerance", "risk_tolerence"),
    );
    observer.hears(BAD, "shop.hcl:3:1: workload lacks risk_tolerance");
    // It runs on by the last good one: what is read again is the same.
    observer.write("shop.hcl", &bolder());
    observer.hears(GOOD, "nothing has changed");
    observer.write(
        "second.hcl",
        &shop().replace("workload \"shop\"", "workload \"second\""),
    );
    observer.hears(GOOD, "second changed");
    std::fs::remove_file(observer.folder.path().join("policies/second.hcl")).unwrap();
    observer.hears(BAD, "workload second is in no file any more");
    observer.program.signal(Signal::SIGTERM);
    assert!(observer.program.until_its_end(PATIENCE).success());
}

#[test]
fn sighup_and_reload_have_policies_read_again_and_reload_needs_the_act_token() {
    let mut observer = Observer::start();
    observer.program.signal(Signal::SIGHUP);
    observer.hears(GOOD, "nothing has changed");
    let refused = observer.reload(Some("abracadabra"));
    assert!(!refused.status.success(), "{refused:?}");
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("act token"),
        "{refused:?}"
    );
    let done = observer.reload(Some("sesame"));
    assert!(done.status.success(), "{done:?}");
    observer.hears("policies are to be read again", "");
    observer.hears(GOOD, "nothing has changed");
}
