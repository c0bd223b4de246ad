//! What the real binary costs in a real pseudo-terminal, attached to an estate of 5,000 portions at 200×60.
//!
//! `cargo bench --bench terminal` measures a core's part (`/proc/PID/stat`) while the estate comes in, and then over 30 s each
//! with a view each second: when nothing but the clock goes on, when each rate is another, and when all that a cycle reads is
//! (a scheduler's cycle is ten seconds unless told otherwise). Then the time from a key's write to the first byte of its frame
//! (400 keys each). The baseline of keys is a terminal with `cat` in it: what the kernel and this program take by themselves.
//! What the serving side takes is told beside it; the making of the views is part of that. `FORESHADOW_BIN` measures another
//! binary in the same way.
#![allow(clippy::disallowed_methods)] // time is what it measures

#[path = "../tests/common/pty.rs"]
#[expect(dead_code, reason = "its size stays as it is")]
mod pty;
#[path = "../tests/common/served.rs"]
#[expect(dead_code, reason = "no command is asked here")]
mod served;

use foreshadow::engine::View;
use foreshadow::engine::view::PastPoint;
use foreshadow::headless::delta::MORE;
use foreshadow::model::{Millis, Moment, Span};
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

/// How each frame begins.
const FRAME: &[u8] = b"\x1b[?2026h";

#[derive(Default)]
struct Drawn {
    frames: usize,
    bytes: usize,
}

struct Terminal(Pty);

impl Terminal {
    fn of(program: &str, args: &[&str]) -> Terminal {
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        Terminal(pty::start(command, (200, 60)))
    }

    /// Takes what comes for so long.
    fn settle(&self, time: Duration) -> Drawn {
        let (end, mut all) = (Instant::now() + time, Vec::new());
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            all.extend(self.0.output.recv_timeout(left).unwrap_or_default());
        }
        let begins = all.windows(FRAME.len()).filter(|w| *w == FRAME);
        Drawn {
            frames: begins.count(),
            bytes: all.len(),
        }
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

    fn spent(&self) -> f64 {
        spent(self.0.child.process_id().expect("it runs"))
    }
}

/// Seconds of a core that a process took since it started.
fn spent(pid: u32) -> f64 {
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

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.0.child.kill();
        let _ = self.0.child.wait();
    }
}

/// What is different a second later.
#[derive(Clone, Copy)]
enum Later {
    /// Nothing but the time.
    Clock,
    /// The rate of each portion.
    Rates,
    /// All that a cycle reads: traffic with its past, what instances and nodes use, and what is said of each portion.
    Readings,
}

fn later(view: &View, what: Later) -> View {
    let mut view = view.clone();
    view.at = view.at + Span::secs(1);
    view.cycle += 1;
    let (at, cycle) = (view.at, view.cycle as f64);
    if let Later::Clock = what {
        return view;
    }
    for (k, p) in view.portions.iter_mut().enumerate() {
        if let Some(t) = &mut p.traffic {
            t.rate.0 = 40.0 + (cycle + k as f64) % 20.0;
        }
        if let Later::Readings = what {
            read_anew(p, at, (cycle + k as f64) % 17.0);
        }
    }
    if let Later::Readings = what {
        for (k, n) in view.nodes.iter_mut().enumerate() {
            n.used.cpu.0 = 500.0 + (cycle + k as f64) % 13.0;
        }
    }
    view
}

/// What a cycle reads of a portion.
fn read_anew(p: &mut foreshadow::engine::view::PortionView, at: Moment, noise: f64) {
    let (p99, success) = (120.0 + 1.7 * noise, 1.0 - noise / 2_000.0);
    if let Some(t) = &mut p.traffic {
        (t.p50, t.p99) = (Millis(40.0 + noise), Millis(p99));
        (t.at_slo, t.success, t.samples) = (Millis(p99 * 0.9), success, t.samples + 7);
        p.sentence = format!("p99 {}", t.p99);
    }
    let rate = p.traffic.map_or(0.0, |t| t.rate.0);
    p.past.push(PastPoint {
        at,
        rate,
        p99,
        success,
        forecast: Some((rate * 0.9, rate * 1.01, rate * 1.13)),
    });
    p.past.remove(0);
    for i in &mut p.instances {
        i.cpu = i.cpu.map(|_| foreshadow::model::Mhz(300.0 + 3.1 * noise));
    }
}

/// Parts of a core over so many seconds with a view each second: of the terminal and of this process, which serves it; and what
/// was drawn. On a busy machine fewer frames come than views: what one of them took is then the figure to look at.
fn part(terminal: &Terminal, served: &Served, seconds: u32, what: Later) -> (f64, f64, Drawn) {
    let own = std::process::id();
    let before = (terminal.spent(), spent(own));
    let (start, mut all) = (Instant::now(), Drawn::default());
    for _ in 0..seconds {
        let end = Instant::now() + Duration::from_secs(1);
        let next = later(&served.views.borrow().clone(), what);
        served.views.send_replace(Arc::new(next));
        let drawn = terminal.settle(end.saturating_duration_since(Instant::now()));
        (all.frames, all.bytes) = (all.frames + drawn.frames, all.bytes + drawn.bytes);
    }
    let took = start.elapsed().as_secs_f64();
    let part = (terminal.spent() - before.0) / took;
    (part, (spent(own) - before.1) / took, all)
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
    let binary = std::env::var("FORESHADOW_BIN");
    let binary = binary.unwrap_or_else(|_| env!("CARGO_BIN_EXE_foreshadow").into());
    let mut terminal = Terminal::of(&binary, &args);
    // All of the estate has come after so many events, four a second.
    let fill = if measured {
        (portions / MORE / 4 + 5) as u32
    } else {
        3
    };
    let first = terminal.settle(Duration::from_secs(fill.into()));
    println!(
        "{portions} portions, all come in over {fill} s: {:.2}% of a core, {} frames",
        100.0 * terminal.spent() / f64::from(fill),
        first.frames
    );
    assert!(
        first.bytes > 1_000,
        "only {} bytes came: is that a dashboard?",
        first.bytes
    );
    for (what, later) in [
        ("only the clock goes on", Later::Clock),
        ("each rate is another", Later::Rates),
        ("all that is read is another", Later::Readings),
    ] {
        let (part, serves, drawn) = part(&terminal, &served, seconds, later);
        println!(
            "{portions} portions, a view each second, {what}: {:.2}% of a core ({:.0}% of it may be taken), {:.1} ms for each of {} frames, {} bytes a second; {:.0}% where it is served",
            100.0 * part,
            100.0 * IDLE,
            1_000.0 * part * f64::from(seconds) / drawn.frames.max(1) as f64,
            drawn.frames,
            drawn.bytes / seconds as usize,
            100.0 * serves,
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
