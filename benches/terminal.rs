//! What the real binary costs in a real pseudo-terminal, attached to an estate of 5,000 portions at 200×60.
//!
//! `cargo bench --bench terminal` measures a core's part while nothing but the clock goes on and while everything changes each
//! second (`/proc/PID/stat` over 30 s each), and the time from a key's write to the first byte of its frame (400 keys each).
//! The baseline of keys is a terminal with `cat` in it: what the kernel and this program take by themselves.
#![allow(clippy::disallowed_methods)] // time is what it measures

#[path = "../tests/common/pty.rs"]
#[expect(dead_code, reason = "its size stays as it is")]
mod pty;
#[path = "../tests/common/served.rs"]
#[expect(dead_code, reason = "no command is asked here")]
mod served;

use foreshadow::engine::View;
use foreshadow::model::Span;
use foreshadow::tui::sample;
use portable_pty::CommandBuilder;
use pty::Pty;
use served::{Served, served};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Parts of a core that it may take while idle, and ms from key to screen.
const IDLE: f64 = 0.01;
const KEY: f64 = 16.0;

struct Terminal(Pty);

impl Terminal {
    fn of(program: &str, args: &[&str]) -> Terminal {
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        Terminal(pty::start(command, (200, 60)))
    }

    /// Takes what comes for so long, so that all of a large estate has come; the bytes.
    fn settle(&self, time: Duration) -> usize {
        let (end, mut bytes) = (Instant::now() + time, 0);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            bytes += self.0.output.recv_timeout(left).map_or(0, |b| b.len());
        }
        bytes
    }

    /// Takes what comes until nothing has come for so long; the bytes.
    fn drain(&self, quiet: Duration) -> usize {
        let mut bytes = 0;
        while let Ok(more) = self.0.output.recv_timeout(quiet) {
            bytes += more.len();
        }
        bytes
    }

    /// Milliseconds from writing each key to the first byte that comes, sorted.
    fn keys(&mut self, count: usize) -> Vec<f64> {
        let mut took: Vec<f64> = (0..count)
            .map(|k| {
                self.drain(Duration::from_millis(15));
                let key = if k % 2 == 0 { b"j" } else { b"k" };
                let start = Instant::now();
                self.0.writer.write_all(key).expect("it takes keys");
                let first = self.0.output.recv_timeout(Duration::from_secs(10));
                let took = start.elapsed();
                first.expect("a key draws something");
                took.as_secs_f64() * 1_000.0
            })
            .collect();
        took.sort_by(f64::total_cmp);
        took
    }

    /// Seconds of a core since it started.
    fn spent(&self) -> f64 {
        let pid = self.0.child.process_id().expect("it runs");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let after = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = after.split_whitespace().skip(11);
        let mut ticks = || {
            fields
                .next()
                .and_then(|f| f.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        (ticks() + ticks()) / 100.0
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.0.child.kill();
        let _ = self.0.child.wait();
    }
}

/// A second later: of so many portions another rate is seen.
fn later(view: &View, moved: usize) -> View {
    let mut view = view.clone();
    view.at = view.at + Span::secs(1);
    view.cycle += 1;
    let cycle = view.cycle as f64;
    for (k, p) in view.portions.iter_mut().take(moved).enumerate() {
        if let Some(t) = &mut p.traffic {
            t.rate.0 = 40.0 + (cycle + k as f64) % 20.0;
        }
    }
    view
}

/// The part of a core over so many seconds with a view each second, and the bytes that were drawn.
fn part(terminal: &Terminal, served: &Served, seconds: u32, moved: usize) -> (f64, usize) {
    let (before, start, mut bytes) = (terminal.spent(), Instant::now(), 0);
    for _ in 0..seconds {
        let next = later(&served.views.borrow().clone(), moved);
        served.views.send_replace(Arc::new(next));
        let end = Instant::now() + Duration::from_secs(1);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            bytes += terminal.0.output.recv_timeout(left).map_or(0, |b| b.len());
        }
    }
    let part = (terminal.spent() - before) / start.elapsed().as_secs_f64();
    (part, bytes)
}

fn at(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

fn main() {
    // `cargo test` runs benches once, to see that they work.
    let measured = std::env::args().any(|a| a == "--bench");
    let (portions, seconds, keys) = if measured {
        (5_000, 30, 400)
    } else {
        (50, 1, 4)
    };
    let mut cat = Terminal::of("cat", &[]);
    let echo = cat.keys(keys);
    println!(
        "baseline, a terminal's own echo: p50 {:.2} ms, p99 {:.2} ms",
        at(&echo, 0.5),
        at(&echo, 0.99)
    );
    let served = served(sample::crowd(portions));
    let attach = format!("http://{}", served.at);
    let args = ["tui", "--attach", &attach];
    let mut terminal = Terminal::of(env!("CARGO_BIN_EXE_foreshadow"), &args);
    let first = terminal.settle(Duration::from_secs(if measured { 20 } else { 3 }));
    assert!(
        first > 1_000,
        "only {first} bytes came: is that a dashboard?"
    );
    for (what, moved) in [
        ("only the clock goes on", 0),
        ("everything changes", portions),
    ] {
        let (part, bytes) = part(&terminal, &served, seconds, moved);
        println!(
            "{portions} portions, a view each second, {what}: {:.2}% of a core ({:.0}% of it may be taken), {} bytes a second",
            100.0 * part,
            100.0 * IDLE,
            bytes / seconds as usize
        );
    }
    for (screen, key) in [
        ("Overview", "1"),
        ("Sites", "4"),
        ("Nodes", "5"),
        ("Shadows", "6"),
        ("Log", "8"),
    ] {
        terminal
            .0
            .writer
            .write_all(key.as_bytes())
            .expect("it takes keys");
        terminal.0.writer.write_all(b"gjj").expect("it takes keys");
        let took = terminal.keys(keys);
        println!(
            "{portions} portions, key to screen on {screen:<8}: p50 {:.2} ms, p99 {:.2} ms, {:.2} of the {KEY} ms it may take",
            at(&took, 0.5),
            at(&took, 0.99),
            at(&took, 0.99) / KEY
        );
    }
}
