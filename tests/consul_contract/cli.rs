//! Consul's own command line, run against an estate.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::rig::find_real;
use crate::script::Script;

const LIMIT: Duration = Duration::from_secs(30);

/// A command that goes on, such as `watch` with a handler; it ends when this goes.
pub struct Running {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// The next line in which there is this text; `None` when it ends or the time is up.
    pub async fn line_with(&mut self, text: &str) -> Option<String> {
        let wanted = async {
            while let Ok(Some(line)) = self.lines.next_line().await {
                if line.contains(text) {
                    return Some(line);
                }
            }
            None
        };
        timeout(LIMIT, wanted).await.ok().flatten()
    }
}

/// Numbers behind the names of indices differ between estates.
fn without_indices(line: &str) -> String {
    let named = [
        "CreateIndex",
        "ModifyIndex",
        "Create Index:",
        "Modify Index:",
        "\"Index\"",
    ];
    match named.iter().any(|name| {
        line.trim_start()
            .trim_start_matches('"')
            .starts_with(name.trim_matches('"'))
    }) {
        true => {
            line.trim_end_matches(|last: char| last.is_ascii_digit() || last == ',')
                .to_owned()
                + "<index>"
        }
        false => line.to_owned(),
    }
}

impl Script<'_> {
    fn consul(&self, agent: &str, args: &[&str]) -> Command {
        let program = find_real().expect("cases of the command line run only where it is");
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("CONSUL_HTTP_ADDR", self.rig.http(agent).to_string())
            .env("CONSUL_HTTP_TOKEN", &self.token)
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs `consul` with these arguments and this input; notes its exit code and what it says.
    pub async fn cli_with(&mut self, agent: &str, args: &[&str], input: &str) -> String {
        let mut command = self.consul(agent, args);
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("consul starts");
        let mut stdin = child.stdin.take().expect("its input is ours");
        let run = async {
            stdin.write_all(input.as_bytes()).await.expect("it reads");
            drop(stdin);
            child.wait_with_output().await.expect("it ends")
        };
        let done = timeout(LIMIT, run).await.expect("it ends in time");
        let out = String::from_utf8_lossy(&done.stdout).into_owned();
        let said: Vec<String> = out
            .lines()
            .chain(String::from_utf8_lossy(&done.stderr).lines())
            .map(without_indices)
            .collect();
        self.note(format!(
            "consul {}\n  {:?}\n{}",
            args.join(" "),
            done.status.code(),
            said.join("\n")
        ));
        out
    }

    pub async fn cli(&mut self, agent: &str, args: &[&str]) -> String {
        self.cli_with(agent, args, "").await
    }

    /// Runs without a word in the log; what it printed.
    pub async fn cli_quietly(&mut self, agent: &str, args: &[&str]) -> String {
        let log = self.log.len();
        let out = self.cli(agent, args).await;
        self.log.truncate(log);
        out
    }

    /// Runs where what it says comes in blocks in the order of a Go map, which is none: notes those with one of the words, sorted.
    pub async fn cli_blocks(&mut self, agent: &str, args: &[&str], between: &str, words: &[&str]) {
        let said = self.cli_quietly(agent, args).await;
        let mut blocks: Vec<&str> = said
            .split(between)
            .map(str::trim)
            .filter(|block| words.iter().any(|word| block.contains(word)))
            .collect();
        blocks.sort_unstable();
        self.note(format!("consul {}\n{}", args.join(" "), blocks.join("\n")));
    }

    /// Starts a command that goes on.
    pub fn cli_running(&self, agent: &str, args: &[&str]) -> Running {
        let mut child = self
            .consul(agent, args)
            .stderr(Stdio::null())
            .spawn()
            .expect("consul starts");
        let out = child.stdout.take().expect("its output is ours");
        Running {
            _child: child,
            lines: BufReader::new(out).lines(),
        }
    }

    /// Names the nodes' IDs, whole and as the command line cuts them.
    pub async fn name_nodes(&mut self, agent: &str) {
        let nodes = self.look(agent, "/v1/catalog/nodes").await.json;
        for node in nodes.as_array().into_iter().flatten() {
            let (name, id) = (
                node["Node"].as_str().unwrap_or(""),
                node["ID"].as_str().unwrap_or(""),
            );
            if let Some(short) = id.get(..8) {
                self.call_it(id, &format!("ID of {name}"));
                self.call_it(short, &format!("short of {name}"));
            }
        }
    }
}
