//! Nomad's own command line, where this machine has one, against the sandbox's Nomad.
#![allow(clippy::disallowed_methods)] // looks for a program in the environment

use crate::fake::Estate;
use crate::transcripts::*;
use foreshadow::sandbox::nomad::NodeConfig;
use serde_json::Value;
use std::path::PathBuf;

/// A service whose releases go out behind one canary.
const SHOP: &str = r#"job "shop" {
  datacenters = ["edge", "provider"]
  update {
    max_parallel     = 3
    min_healthy_time = "1ms"
    canary           = 1
    auto_revert      = true
  }
  group "web" {
    count = 3
    scaling {
      min = 1
      max = 6
    }
    network {
      port "http" {}
    }
    task "serve" {
      driver = "raw_exec"
      config {
        command = "/bin/serve"
      }
      env {
        RELEASE = "1"
      }
      resources {
        cpu    = 500
        memory = 64
      }
    }
  }
}
"#;

const RULES: &str =
    "namespace \"default\" {\n  policy = \"read\"\n}\nnode {\n  policy = \"read\"\n}\n";

struct CommandLine {
    binary: PathBuf,
    estate: Estate,
    token: String,
    folder: tempfile::TempDir,
}

/// `FORESHADOW_NOMAD_BIN`, else the PATH.
fn nomad() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("FORESHADOW_NOMAD_BIN") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("nomad"));
    found.into_iter().find(|p| p.is_file())
}

impl CommandLine {
    async fn start(acl: bool) -> Option<CommandLine> {
        let Some(binary) = nomad() else {
            println!(
                "SKIPPED: no nomad on PATH and none named by FORESHADOW_NOMAD_BIN; no command line was run"
            );
            return None;
        };
        let named = [
            ("edge-a", "edge"),
            ("edge-b", "edge"),
            ("prov-a", "provider"),
            ("prov-b", "provider"),
        ];
        let nodes = named.iter().zip(1..);
        let nodes =
            nodes.map(|((name, site), i)| NodeConfig::new(name, site, &format!("127.0.78.{i}")));
        let estate = Estate::start(nodes.collect(), |c| c.acl = acl).await;
        let folder = tempfile::tempdir().expect("a folder");
        let big = SHOP
            .replace("= 500", "= 50000")
            .replace("\"shop\"", "\"big\"");
        let files = [
            ("shop.nomad", SHOP.to_string()),
            (
                "next.nomad",
                SHOP.replace("RELEASE = \"1\"", "RELEASE = \"2\""),
            ),
            ("big.nomad", big),
            ("wrong.nomad", SHOP.replace("memory = 64", "memory = 1")),
            ("odd.nomad", SHOP.replace("group \"web\"", "grup \"web\"")),
            ("rules.hcl", RULES.into()),
        ];
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        Some(CommandLine {
            binary,
            estate,
            token: String::new(),
            folder,
        })
    }

    /// Run `nomad …` to its end: exit code, and what it wrote.
    async fn run(&self, line: &str) -> (i32, String) {
        let mut command = tokio::process::Command::new(&self.binary);
        command
            .args(line.split(' '))
            .current_dir(self.folder.path())
            .env("NOMAD_ADDR", self.estate.url(""))
            .env("NOMAD_TOKEN", &self.token)
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let out = command.output().await.expect("runs");
        let text = [out.stdout, out.stderr].concat();
        (
            out.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// Run each `$ ARGUMENTS = EXIT CODE`; the lines below it are parts of what it has to say.
    async fn transcript(&self, transcript: &str, named: &[(&str, &str)]) {
        let filled = named
            .iter()
            .fold(transcript.to_string(), |t, (name, is)| t.replace(name, is));
        let transcript = filled.as_str();
        let steps: Vec<&str> = transcript.split("\n$ ").skip(1).collect();
        for step in &steps {
            let (head, says) = step.split_once('\n').unwrap_or((step, ""));
            let (line, code) = head.rsplit_once(" = ").expect("an exit code");
            let (ended, text) = self.run(line).await;
            assert_eq!(ended.to_string(), code, "nomad {line}: {text}");
            // Columns are as wide as what is in them.
            let plain: Vec<&str> = text.split_whitespace().collect();
            let plain = plain.join(" ");
            for part in says.lines() {
                assert!(plain.contains(part), "nomad {line} lacks {part:?}: {text}");
            }
        }
        println!(
            "commands of the real command line that agree: {}",
            steps.len()
        );
    }

    async fn newest_deployment(&self, wanted: impl Fn(&Value) -> bool) -> String {
        let path = "/v1/job/shop/deployment";
        let found = self.estate.until_as(&self.token, path, wanted).await;
        found["ID"].as_str().expect("an ID").to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_planned_run_scaled_and_purged_from_the_real_command_line() {
    let Some(cli) = CommandLine::start(false).await else {
        return;
    };
    cli.transcript(PLAN_AND_RUN, &[]).await;
    cli.newest_deployment(|d| d["Status"] == "successful").await;
    cli.transcript(SCALE_AND_PURGE, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn canaries_are_promoted_and_a_failed_deployment_reverted_from_the_real_command_line() {
    let Some(cli) = CommandLine::start(false).await else {
        return;
    };
    cli.transcript(RUN, &[]).await;
    let first = cli.newest_deployment(|d| d["Status"] == "successful").await;
    cli.transcript(ROLL_OUT, &[("{first}", &first)]).await;
    let healthy = |d: &Value| d["JobVersion"] == 1 && d["TaskGroups"]["web"]["HealthyAllocs"] == 1;
    let second = cli.newest_deployment(healthy).await;
    let second = [("{second}", second.as_str())];
    cli.transcript(WAITS_FOR_PROMOTION, &second).await;
    cli.newest_deployment(|d| d["Status"] == "successful").await;
    cli.transcript(TAKEN_OVER, &second).await;
    let third = cli.newest_deployment(|d| d["JobVersion"] == 2).await;
    cli.transcript(PAUSED_AND_FAILED, &[("{third}", &third)])
        .await;
    cli.newest_deployment(|d| d["JobVersion"] == 3 && d["Status"] == "successful")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_allocations_and_evaluations_are_shown_and_nodes_drained_from_the_real_command_line()
{
    let Some(cli) = CommandLine::start(false).await else {
        return;
    };
    cli.transcript(RUN, &[]).await;
    let alloc = cli.estate.running("shop", 3).await[0].clone();
    let field = |key: &str| alloc[key].as_str().expect("text");
    let named = [
        ("{alloc}", field("ID")),
        ("{eval}", field("EvalID")),
        ("{node}", field("NodeID")),
        ("{home}", field("NodeName")),
    ];
    cli.transcript(LOOK_AND_DRAIN, &named).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_policies_are_managed_and_obeyed_from_the_real_command_line() {
    let Some(mut cli) = CommandLine::start(true).await else {
        return;
    };
    let word_after = |text: &str, key: &str| {
        let line = text.lines().find(|l| l.starts_with(key)).expect(key);
        line.split(" = ")
            .last()
            .expect("a value")
            .trim()
            .to_string()
    };
    cli.transcript(WITHOUT_TOKEN, &[]).await;
    let (code, made) = cli.run("acl bootstrap").await;
    assert_eq!(code, 0, "{made}");
    cli.token = word_after(&made, "Secret ID");
    cli.transcript(MANAGE, &[]).await;
    let (code, made) = cli
        .run("acl token create -name viewer -policy reader")
        .await;
    assert_eq!(code, 0, "{made}");
    let (all, accessor) = (cli.token.clone(), word_after(&made, "Accessor ID"));
    cli.token = word_after(&made, "Secret ID");
    cli.transcript(VIEW, &[]).await;
    let viewer = std::mem::replace(&mut cli.token, all);
    cli.transcript(OVERSEE, &[("{accessor}", &accessor)]).await;
    cli.token = viewer;
    cli.transcript(AFTERWARDS, &[]).await;
}
