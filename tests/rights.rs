//! The policies that this repository hands to operators, on the sandbox's Nomad and Consul with ACLs on: what `foreshadow doctor` says
//! of them and of lesser ones, and what a leader does without the right to its own entry.
#![allow(clippy::disallowed_methods)] // other processes are waited for

#[path = "scheduler/program.rs"]
mod program;

use program::{Program, alone, binary, comes_true, kind};
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
        }
        let names: Vec<String> = kinds.iter().map(|k| format!("t-{k}")).collect();
        let body = json!({"Name": "t", "Type": "client", "Policies": names});
        let nomad = self.manage("nomad", "PUT", "/v1/acl/token", &body);
        let rules = kinds.iter().map(|k| policy(&format!("consul-{k}.hcl")));
        let consul = self.consul_token(&kinds.join("-"), rules.collect());
        [nomad["SecretID"].as_str().unwrap().to_string(), consul]
    }

    /// A token of Consul's with these rights, whose policies are called after `name`.
    fn consul_token(&self, name: &str, rules: Vec<String>) -> String {
        let names = (0..rules.len()).map(|i| json!({"Name": format!("t-{name}-{i}")}));
        let names: Vec<Value> = names.collect();
        for (policy, rules) in names.iter().zip(rules) {
            let body = json!({"Name": policy["Name"], "Rules": rules});
            self.manage("consul", "PUT", "/v1/acl/policy", &body);
        }
        let body = json!({"Policies": names});
        let token = self.manage("consul", "PUT", "/v1/acl/token", &body);
        token["SecretID"].as_str().unwrap().to_string()
    }

    /// A foreshadow that may act beside the sandbox's own, and the session with which it seeks the lock.
    fn another(&self, name: &str, consul_token: &str) -> (Program, Value) {
        let config = self.folder.path().join(format!("{name}.hcl"));
        let text = format!(
            "mode = \"act\"\npolicies = []\nstore = \"{name}.db\"\nkv_datacenter = \"edge\"\ngateway \"edge-a\" {{\n  site = \"edge-a\"\n}}\n"
        );
        std::fs::write(&config, text).unwrap();
        let env = [
            ("NOMAD_ADDR", self.told("nomad")),
            ("CONSUL_HTTP_ADDR", self.told("consul")),
            ("CONSUL_HTTP_TOKEN", consul_token.to_string()),
        ];
        let args = ["run", "--config", &config.display().to_string()];
        let program = Program::start(self.folder.path(), &args, &env);
        let own = format!("(pid {})", program.pid());
        let mut session = Value::Null;
        let opened = comes_true(PATIENCE, || {
            let all = self.manage("consul", "GET", "/v1/session/list?dc=edge", &json!({}));
            let mut all = all.as_array().cloned().unwrap_or_default().into_iter();
            let found = all.find(|s| s["Name"].as_str().is_some_and(|n| n.ends_with(&own)));
            session = found.unwrap_or_default();
            !session.is_null()
        });
        assert!(opened, "{name} has opened no session");
        (program, session)
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
    let _alone = alone();
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
        "service \"shop-web\" { policy = \"write\" }",
        "service \"foreshadow\" { policy = \"write\" }",
        "session \"",
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

#[test]
fn a_session_hangs_on_its_owners_entry_with_the_shipped_policies_and_on_its_ttl_alone_without_that_right()
 {
    let _alone = alone();
    let estate = Estate::start();
    let [_, shipped] = estate.tokens(&["watch", "act"]);
    let act = policy("consul-act.hcl");
    let entry = "service \"foreshadow\" {\n  policy = \"write\"\n}\n";
    assert!(act.contains(entry), "{act}");
    let rules = vec![policy("consul-watch.hcl"), act.replace(entry, "")];
    let lesser = estate.consul_token("lesser", rules);

    let (program, session) = estate.another("shipped", &shipped);
    assert_eq!(session["NodeChecks"], json!(["serfHealth"]));
    let check = session["ServiceChecks"][0]["ID"].as_str().unwrap_or("none");
    let own = format!("foreshadow:{}:", program.pid());
    assert!(check.starts_with(&own), "{check} is not of {own}");

    let (_program, session) = estate.another("lesser", &lesser);
    assert_eq!(session["NodeChecks"], json!(["serfHealth"]));
    assert_eq!(session["ServiceChecks"], Value::Null);
    let log = estate.folder.path().join("stderr.log");
    let said = || {
        let log = std::fs::read_to_string(&log).unwrap();
        let lines = log.lines().map(str::to_string);
        lines
            .filter(|l| l.contains("hangs on its session's TTL alone"))
            .collect::<Vec<_>>()
    };
    assert!(comes_true(PATIENCE, || !said().is_empty()), "it says so");
    let said = said();
    assert!(
        said.len() == 1 && said[0].contains("leads some 21s after") && said[0].contains("denied"),
        "{said:#?}"
    );
}
