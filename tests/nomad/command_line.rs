//! Nomad's own command line, where this machine has one, against the sandbox's Nomad.
#![allow(clippy::disallowed_methods)] // looks for a program in the environment

use crate::fake::Estate;
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
    async fn transcript(&self, transcript: &str) {
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
    cli.transcript(
        r#"
$ status = 0
No running jobs
$ job validate shop.nomad = 0
Job validation successful
$ job validate wrong.nomad = 1
Task serve validation failed
minimum MemoryMB value is 10; got 1
$ job validate odd.nomad = 1
Blocks of type "grup" are not expected here
$ job plan shop.nomad = 1
+ Job: "shop" + Task Group: "web" (3 create) + Task: "serve" (forces create)
All tasks successfully allocated
Job Modify Index: 0
$ job run -check-index 0 shop.nomad = 0
Evaluation within deployment
created: node
finished with status "complete"
$ job run -check-index 0 shop.nomad = 1
Enforcing job modify index 0: job already exists
$ status = 0
shop service 50 running
$ job status shop = 0
web 0 0 3 0 0 0
web true 3 3 3 0
$ status sh = 0
ID = shop
$ status nope = 1
Unable to resolve ID: "nope"
$ job inspect shop = 0
"JobModifyIndex"
"RELEASE": "1"
$ job plan shop.nomad = 0
Job: "shop" Task Group: "web" (3 ignore) Task: "serve"
$ job scale shop web 4 = 0
finished with status "complete"
$ job scale shop web 9 = 1
group count was greater than scaling policy maximum: 9 > 6
$ job scaling-events shop = 0
web 4 3
$ scaling policy list = 0
true horizontal Namespace:default,Job:shop,Group:web
$ job plan big.nomad = 1
WARNING: Failed to place all allocations
Dimension "cpu" exhausted on 4 nodes
$ job run big.nomad = 2
Evaluation "
waiting for additional capacity to place remainder
$ job status big = 0
Placement Failure
web 3 0 0 0 0 0
web true 3 0 0 0 N/A
$ job history -p shop = 0
Version = 1
Version = 0
$ job stop -purge big = 0
finished with status "complete"
$ job stop shop = 0
finished with status "complete"
$ job status = 0
shop service 50 dead (stopped)
$ system gc = 0
$ job status = 0
No running jobs
$ job status shop = 1
No job(s) with prefix or id "shop" found
"#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn canaries_are_promoted_and_a_failed_deployment_reverted_from_the_real_command_line() {
    let Some(cli) = CommandLine::start(false).await else {
        return;
    };
    cli.transcript(
        r#"
$ job run shop.nomad = 0
finished with status "complete"
"#,
    )
    .await;
    let first = cli.newest_deployment(|d| d["Status"] == "successful").await;
    let refused = format!("deployment promote {first}");
    let canary = "Task Group: \"web\" (1 canary, 3 ignore) +/- Task: \"serve\" (forces create/destroy update) +/- Env[RELEASE]: \"1\" => \"2\"";
    cli.transcript(&format!(
        r#"
$ {refused} = 1
can't promote terminal deployment
$ job plan next.nomad = 1
{canary}
$ job run -detach next.nomad = 0
Job registration successful
"#
    ))
    .await;
    let healthy = |d: &Value| d["JobVersion"] == 1 && d["TaskGroups"]["web"]["HealthyAllocs"] == 1;
    let second = cli.newest_deployment(healthy).await;
    let (status, promote) = (
        format!("deployment status {second}"),
        format!("deployment promote {second}"),
    );
    cli.transcript(&format!(
        r#"
$ {status} = 0
Deployment is running but requires manual promotion
web true false 3 1 1 1 0
$ {promote} = 0
finished with status "complete"
"#
    ))
    .await;
    cli.newest_deployment(|d| d["Status"] == "successful").await;
    cli.transcript(&format!(
        r#"
$ {status} = 0
Deployment completed successfully
web true true 3 1 3 3 0
$ job history shop = 0
Version = 1 Stable = true
Version = 0 Stable = true
$ job revert shop 1 = 1
can't revert to current version
$ job run -detach shop.nomad = 0
Job registration successful
"#
    ))
    .await;
    let third = cli.newest_deployment(|d| d["JobVersion"] == 2).await;
    let (pause, fail) = (
        format!("deployment pause {third}"),
        format!("deployment fail -detach {third}"),
    );
    cli.transcript(&format!(
        r#"
$ {pause} = 0
paused
$ deployment list = 0
shop 2 paused Deployment is paused
$ {fail} = 0
failed. Auto-reverted to job version 1.
$ deployment list = 0
shop 2 failed Deployment marked as failed - rolling back to job version 1
"#
    ))
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
    cli.transcript(
        r#"
$ job run shop.nomad = 0
finished with status "complete"
"#,
    )
    .await;
    let alloc = cli.estate.running("shop", 3).await[0].clone();
    let (id, eval) = (
        alloc["ID"].as_str().expect("ID"),
        alloc["EvalID"].as_str().expect("ID"),
    );
    let (home, node) = (
        alloc["NodeName"].as_str().expect("name"),
        alloc["NodeID"].as_str().expect("ID"),
    );
    let named = format!("Node Name = {home}");
    cli.transcript(&format!(
        r#"
$ node status = 0
edge edge-a <none> false eligible ready
provider prov-b <none> false eligible ready
$ node status {node} = 0
Allocated Resources
500/4000 MHz 64 MiB/4.0 GiB
Host Resource Utilization
run running
$ node status -verbose {node} = 0
Drivers
raw_exec true true Healthy
Attributes
nomad.version = 1.0.18
$ alloc status {id} = 0
{named}
Client Status = running
Task "serve" is "running"
30/500 MHz 50 MiB/64 MiB
Started Task started by client
$ alloc status -verbose {id} = 0
Placement Metrics
binpack job-anti-affinity node-affinity node-reschedule-penalty final score
$ eval status {eval} = 0
Status = complete
TriggeredBy = job-register
Placement Failures = false
$ node eligibility -disable {node} = 0
scheduling eligibility set: ineligible for scheduling
$ node eligibility -enable {node} = 0
scheduling eligibility set: eligible for scheduling
$ node drain -enable -yes -deadline 1h {node} = 0
Drain complete for node
All allocations on node
stopped
$ node status -short {node} = 0
Drain = false
Eligibility = ineligible
$ node drain -disable -yes {node} = 0
drain strategy unset
$ alloc stop {id} = 0
finished with status "complete"
$ server members = 0
nomad-server.global
alive true 2 1.0.18 dc1 global
$ agent-info = 0
known_regions = 1
state = Leader
$ operator raft list-peers = 0
nomad-server.global
leader true
$ namespace list = 0
default Default shared namespace
$ namespace apply -description trial dev = 0
Successfully applied namespace "dev"!
$ job run -namespace dev -detach shop.nomad = 0
Job registration successful
$ job status -namespace dev = 0
shop service 50
$ namespace delete dev = 1
has non-terminal jobs in regions: [global]
$ job stop -namespace dev -purge shop = 0
finished with status "complete"
$ namespace delete dev = 0
Successfully deleted namespace "dev"!
$ job status = 0
shop service 50 running
"#
    ))
    .await;
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
    cli.transcript(
        r#"
$ node status = 1
Unexpected response code: 403 (Permission denied)
"#,
    )
    .await;
    let (code, made) = cli.run("acl bootstrap").await;
    assert_eq!(code, 0, "{made}");
    cli.token = word_after(&made, "Secret ID");
    cli.transcript(
        r#"
$ acl bootstrap = 1
ACL bootstrap already done
$ acl policy apply -description looks reader rules.hcl = 0
Successfully wrote "reader" ACL policy!
$ acl policy apply wrong shop.nomad = 1
policy 0 invalid: 1 error occurred
$ acl policy list = 0
reader looks
$ acl policy info reader = 0
Name = reader
policy = "read"
$ acl token create -name nobody = 1
client token missing policies
"#,
    )
    .await;
    let (code, made) = cli
        .run("acl token create -name viewer -policy reader")
        .await;
    assert_eq!(code, 0, "{made}");
    let (all, accessor) = (cli.token.clone(), word_after(&made, "Accessor ID"));
    cli.token = word_after(&made, "Secret ID");
    cli.transcript(
        r#"
$ acl token self = 0
Name = viewer
Type = client
Policies = [reader]
$ node status = 0
edge-a <none> false eligible ready
$ job run -detach shop.nomad = 1
Permission denied
$ acl token list = 1
Permission denied
"#,
    )
    .await;
    let viewer = std::mem::replace(&mut cli.token, all);
    let (info, delete) = (
        format!("acl token info {accessor}"),
        format!("acl token delete {accessor}"),
    );
    cli.transcript(&format!(
        r#"
$ job run -detach shop.nomad = 0
Job registration successful
$ {info} = 0
Name = viewer
$ acl token list = 0
viewer client false
Bootstrap Token management true
$ {delete} = 0
successfully deleted
$ {delete} = 1
Cannot delete nonexistent tokens
$ acl policy delete reader = 0
Successfully deleted reader policy!
"#
    ))
    .await;
    cli.token = viewer;
    cli.transcript(
        r#"
$ node status = 1
Unexpected response code: 403 (ACL token not found)
"#,
    )
    .await;
}
