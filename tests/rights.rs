//! `foreshadow doctor` with the policies that this repository hands to operators, on the sandbox's Nomad and Consul with ACLs on.
#![allow(clippy::disallowed_methods)] // other processes are waited for

#[path = "scheduler/program.rs"]
mod program;

use program::{Program, binary, comes_true, kind};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

fn policy(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("policies/acl")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

struct Estate {
    folder: tempfile::TempDir,
    sandbox: Program,
}

impl Estate {
    fn start() -> Estate {
        let folder = tempfile::tempdir().unwrap();
        let args = [
            "sandbox",
            "--headless",
            "--format",
            "json",
            "--for",
            "120s",
            "--acl",
        ];
        let mut sandbox = Program::start(folder.path(), &args, &[]);
        sandbox.until("its addresses", PATIENCE, |line| kind(line) == "listening");
        sandbox.until("verified shares", PATIENCE, |line| {
            kind(line) == "verification"
        });
        let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/shop.hcl");
        std::fs::copy(shop, folder.path().join("shop.hcl")).unwrap();
        Estate { folder, sandbox }
    }

    fn told(&self, what: &str) -> String {
        let listening = self
            .sandbox
            .said
            .iter()
            .find(|l| kind(l) == "listening")
            .unwrap();
        listening[what]
            .as_str()
            .unwrap_or_else(|| panic!("no {what} in {listening}"))
            .to_string()
    }

    /// Asks Nomad or Consul with the management token.
    fn manage(&self, system: &str, method: &str, path: &str, body: &Value) -> Value {
        let (at, token) = (self.told(system), self.told(&format!("{system}_token")));
        let mut stream = TcpStream::connect(at.trim_start_matches("http://")).unwrap();
        let body = body.to_string();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nX-{system}-Token: {token}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.split(' ').nth(1) == Some("200"),
            "{method} {path}: {answer}"
        );
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or(Value::Null)
    }

    /// Tokens of both systems with the rights of these files.
    fn tokens(&self, kinds: &[&str]) -> [String; 2] {
        for kind in kinds {
            let rules = policy(&format!("nomad-{kind}.hcl"));
            let body = json!({"Name": format!("t-{kind}"), "Rules": rules});
            self.manage("nomad", "PUT", &format!("/v1/acl/policy/t-{kind}"), &body);
            let rules = policy(&format!("consul-{kind}.hcl"));
            let body = json!({"Name": format!("t-{kind}-{}", kinds.len()), "Rules": rules});
            self.manage("consul", "PUT", "/v1/acl/policy", &body);
        }
        let names: Vec<String> = kinds.iter().map(|k| format!("t-{k}")).collect();
        let body = json!({"Name": "t", "Type": "client", "Policies": names});
        let nomad = self.manage("nomad", "PUT", "/v1/acl/token", &body);
        let names: Vec<Value> = kinds
            .iter()
            .map(|k| json!({"Name": format!("t-{k}-{}", kinds.len())}))
            .collect();
        let consul = self.manage(
            "consul",
            "PUT",
            "/v1/acl/token",
            &json!({"Policies": names}),
        );
        [nomad, consul].map(|t| t["SecretID"].as_str().unwrap().to_string())
    }

    /// What `doctor` says, line by line; whether all is well.
    fn doctor(&self, mode: &str, tokens: Option<&[String; 2]>) -> (Vec<String>, bool) {
        let config = self.folder.path().join("foreshadow.hcl");
        let text = format!(
            "mode = \"{mode}\"\npolicies = [\"shop.hcl\"]\nkv_datacenter = \"edge\"\ngateway \"edge-a\" {{\n  site = \"edge-a\"\n}}\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut doctor = Command::new(binary());
        doctor.args(["doctor", "--config"]).arg(&config);
        doctor
            .env("NOMAD_ADDR", self.told("nomad"))
            .env("CONSUL_HTTP_ADDR", self.told("consul"));
        if let Some([nomad, consul]) = tokens {
            doctor
                .env("NOMAD_TOKEN", nomad)
                .env("CONSUL_HTTP_TOKEN", consul);
        }
        let said = doctor.output().unwrap();
        let lines = String::from_utf8(said.stdout).unwrap();
        (
            lines.lines().map(str::to_string).collect(),
            said.status.success(),
        )
    }
}

#[test]
fn doctor_names_the_rule_that_a_token_lacks_and_the_shipped_policies_lack_none() {
    let estate = Estate::start();
    let (said, well) = estate.doctor("observe", None);
    assert!(!well);
    for rule in [
        "node { policy",
        "agent { policy",
        "list-jobs",
        "agent_prefix",
        "key_prefix \"foreshadow/\" { policy = \"read\" }",
    ] {
        assert!(
            said.iter()
                .any(|l| l.starts_with("FAIL") && l.contains(rule)),
            "{rule} in {said:#?}"
        );
    }
    let watch = estate.tokens(&["watch"]);
    let settled = comes_true(PATIENCE, || estate.doctor("observe", Some(&watch)).1);
    assert!(settled, "{:#?}", estate.doctor("observe", Some(&watch)).0);
    let (said, well) = estate.doctor("act", Some(&watch));
    assert!(!well);
    for rule in [
        "submit-job",
        "key_prefix \"foreshadow/\" { policy = \"write\" }",
        "key_prefix \"foreshadow-notes/\" { policy = \"write\" }",
    ] {
        assert!(
            said.iter()
                .any(|l| l.starts_with("FAIL") && l.contains(rule)),
            "{rule} in {said:#?}"
        );
    }
    let act = estate.tokens(&["watch", "act"]);
    let settled = comes_true(PATIENCE, || estate.doctor("act", Some(&act)).1);
    assert!(settled, "{:#?}", estate.doctor("act", Some(&act)).0);
}
