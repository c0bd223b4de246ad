//! The real binary in a real pseudo-terminal, attached to a foreshadow of this test: keys, size, paste, job control.
#![allow(clippy::disallowed_methods)] // a terminal is waited for, with an end to the wait

#[path = "common/pty.rs"]
mod pty;
#[path = "common/served.rs"]
mod served;

use crossterm::event::{KeyCode, KeyModifiers};
use foreshadow::engine::view::Command;
use foreshadow::tui::keys::{Act, TABLE};
use foreshadow::tui::sample;
use foreshadow::tui::screen::Screen;
use portable_pty::{CommandBuilder, PtySize};
use pty::Pty;
use served::{ACT, Served, served};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A screen that has not come by then will not.
const PATIENCE: Duration = Duration::from_secs(20);

fn binary() -> PathBuf {
    let built = std::env::var_os("FORESHADOW_BIN").map(PathBuf::from);
    built.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_foreshadow")))
}

/// A terminal with a program in it.
struct Terminal {
    pty: Pty,
    screen: vt100::Parser,
    raw: Vec<u8>,
}

impl Terminal {
    fn of(mut command: CommandBuilder, (cols, rows): (u16, u16)) -> Terminal {
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        command.env("FORESHADOW_ACT_TOKEN", ACT);
        command.env("USER", "ann");
        command.env_remove("NO_COLOR");
        command.env_remove("SUDO_USER");
        Terminal {
            pty: pty::start(command, (cols, rows)),
            screen: vt100::Parser::new(rows, cols, 0),
            raw: Vec::new(),
        }
    }

    fn tui(served: &Served, more: &[&str], size: (u16, u16)) -> Terminal {
        let mut command = CommandBuilder::new(binary());
        command.args(["tui", "--attach", &format!("http://{}", served.at)]);
        command.args(more);
        let mut terminal = Terminal::of(command, size);
        terminal.until("the overview", |s| {
            s.contains(" Over") && s.contains("> ✗ web")
        });
        terminal
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Waits for a screen of which `wanted` holds.
    fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if wanted(&text) {
                return text;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} did not come; there is\n{text}");
            match self.pty.output.recv_timeout(left) {
                Ok(bytes) => {
                    self.raw.extend_from_slice(&bytes);
                    self.screen.process(&bytes);
                }
                Err(e) => panic!("{what} did not come ({e}); there is\n{text}"),
            }
        }
    }

    fn types(&mut self, keys: &[u8]) {
        self.pty.writer.write_all(keys).expect("it takes keys");
        self.pty.writer.flush().expect("it takes keys");
    }

    /// Waits until its shell has asked for a line that many times, and nothing else has the screen. That a program gave the
    /// screen back is not enough: it may still be there, and take what is typed for itself.
    fn prompts(&mut self, times: usize) {
        self.until(&format!("prompt {times}"), |s| {
            s.matches("ready>").count() == times && !s.contains("Overview")
        });
    }

    /// Waits until its program has ended by itself.
    fn ends(&mut self) {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.pty.child.try_wait().expect("it can be asked") {
                assert!(status.success(), "{status:?}");
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it did not end; there is\n{}", self.text());
    }

    /// Closes what lies over the screen and goes to the overview's first row. What follows an Esc waits until it was taken:
    /// together they would be another key.
    fn home(&mut self) {
        let open = |s: &str| s.contains('┏') || s.contains('▏');
        if open(&self.text()) {
            self.types(b"\x1b");
            self.until("nothing over the screen", |s| !open(s));
        }
        self.types(b"1g");
        self.until("home", |s| {
            s.contains(" 1 Overview◂") && s.contains("> ✗ web")
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.pty.child.kill();
        let _ = self.pty.child.wait();
    }
}

/// What a terminal sends for a key.
fn bytes(code: KeyCode, mods: KeyModifiers) -> Vec<u8> {
    let ctrl = mods.contains(KeyModifiers::CONTROL);
    match code {
        KeyCode::Char(c) if ctrl => vec![c as u8 & 0x1f],
        KeyCode::Char(c) => c.to_string().into_bytes(),
        KeyCode::Enter => b"\r".to_vec(),
        KeyCode::Esc => b"\x1b".to_vec(),
        KeyCode::Backspace => b"\x7f".to_vec(),
        KeyCode::Tab => b"\t".to_vec(),
        KeyCode::BackTab => b"\x1b[Z".to_vec(),
        KeyCode::Up => b"\x1b[A".to_vec(),
        KeyCode::Down => b"\x1b[B".to_vec(),
        KeyCode::Right => b"\x1b[C".to_vec(),
        KeyCode::Left => b"\x1b[D".to_vec(),
        KeyCode::Home => b"\x1b[H".to_vec(),
        KeyCode::End => b"\x1b[F".to_vec(),
        KeyCode::PageUp => b"\x1b[5~".to_vec(),
        KeyCode::PageDown => b"\x1b[6~".to_vec(),
        other => panic!("no terminal sends {other:?} here"),
    }
}

/// What has to be pressed before, and what is on the screen after, of each line of the table.
fn shows(act: Act) -> (&'static [u8], &'static str) {
    match act {
        Act::Down => (b"", "> ▸ cart"),
        Act::Up => (b"jj", "> ▸ cart"),
        Act::PageDown | Act::Bottom => (b"", "> ● search"),
        Act::PageUp | Act::Top => (b"G", "> ✗ web"),
        Act::Left => (b"", " 0 Help◂"),
        Act::Right | Act::NextScreen => (b"", " 2 Portion◂"),
        Act::PrevScreen => (b"", " 0 Help◂"),
        Act::Enter => (b"j", "Overview › cart"),
        Act::Back => (b"5", " 1 Overview◂"),
        Act::Go(Screen::Overview) => (b"5", " 1 Overview◂"),
        Act::Go(Screen::Portion) => (b"", " 2 Portion◂"),
        Act::Go(Screen::Rollout) => (b"", "Weights"),
        Act::Go(Screen::Sites) => (b"", "21.0 ms"),
        Act::Go(Screen::Nodes) => (b"", "provider-a-1"),
        Act::Go(Screen::Shadows) => (b"", "Worth a shadow"),
        Act::Go(Screen::Plan) => (b"", "Waiting"),
        Act::Go(Screen::Log) => (b"", "Decisions"),
        Act::Go(Screen::Replay) => (b"", "What was known"),
        Act::Go(Screen::Help) => (b"", "Signs"),
        Act::Filter => (b"", "/▏"),
        Act::Palette => (b"", "━ Run ━"),
        Act::Help => (b"", "move down one row"),
        Act::Follow => (b"8", "paused: f follows"),
        Act::Freeze => (b"", "frozen 07:42"),
        Act::Next | Act::Previous => (b"", "nothing to look for: / and a text first"),
        Act::Tree => (b"", "portion web"),
        Act::Compact => (b"", " why"),
        Act::Copy => (b"", "copied web, if this terminal lets programs copy"),
        Act::Mouse => (b"", "a click selects, one more opens"),
        Act::Hold => (b"", "Hold every write?"),
        Act::Abort => (b"", "Abort every move?"),
        Act::Switch => (b"", "Switch web: where?"),
        Act::Shadow => (b"", "Shadow web: where?"),
        Act::Pin => (b"", "Pin web?"),
        Act::FreezeChanges => (b"", "Freeze changes for 30 min?"),
        Act::Approve => (b"G", "Approve search: which verdict?"),
        Act::Export => (b"", "saved foreshadow-overview-"),
        Act::Suspend | Act::Quit => (b"", ""),
    }
}

#[test]
fn every_key_of_the_help_does_what_it_says_in_a_terminal() {
    let served = served(sample::shop());
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = CommandBuilder::new(binary());
    command.args([
        "tui",
        "--allow-act",
        "--attach",
        &format!("http://{}", served.at),
    ]);
    command.cwd(folder.path());
    let mut terminal = Terminal::of(command, (120, 40));
    terminal.until("the overview", |s| s.contains("> ✗ web"));
    let mut pressed = 0;
    for binding in TABLE {
        let (before, after) = shows(binding.act);
        if after.is_empty() {
            continue;
        }
        for (code, mods) in binding.keys {
            terminal.types(before);
            terminal.types(&bytes(*code, *mods));
            terminal.until(&format!("{} ({code:?})", binding.word), |s| {
                s.contains(after)
            });
            // These stay until the same key is pressed again.
            let stays = [
                Act::Freeze,
                Act::Follow,
                Act::Help,
                Act::Compact,
                Act::Mouse,
                Act::Tree,
            ];
            if stays.contains(&binding.act) {
                terminal.types(&bytes(*code, *mods));
            }
            terminal.home();
            pressed += 1;
        }
    }
    assert!(pressed > 40, "{pressed} keys were pressed");
    let saved = std::fs::read_dir(folder.path())
        .expect("the folder")
        .count();
    assert_eq!(saved, 2, "a text and a JSON");
}

#[test]
fn a_click_selects_a_second_one_opens_and_what_is_copied_goes_to_the_terminal() {
    let served = served(sample::shop());
    let mut terminal = Terminal::tui(&served, &["--mouse"], (120, 40));
    let row = |text: &str| text.lines().position(|l| l.contains("● search"));
    let shown = terminal.until("search is shown", |s| row(s).is_some());
    let y = row(&shown).expect("its row") + 1;
    let click = format!("\x1b[<0;20;{y}M\x1b[<0;20;{y}m");
    terminal.types(click.as_bytes());
    terminal.until("the row is selected", |s| s.contains("> ● search"));
    terminal.types(b"y");
    terminal.until("it is copied", |s| s.contains("copied search"));
    let raw = String::from_utf8_lossy(&terminal.raw);
    assert!(raw.contains("\x1b]52;c;c2VhcmNo"), "base64 of its name");
    terminal.types(click.as_bytes());
    terminal.until("it is open", |s| s.contains("Overview › search"));
    terminal.types(b"1\x1b[<64;20;12M");
    terminal.until("the wheel scrolls up", |s| s.contains("> ▸ cart"));
    terminal.types(b"m");
    terminal.until("the mouse is let go", |s| {
        s.contains("the terminal's again")
    });
    let raw = String::from_utf8_lossy(&terminal.raw);
    let (on, off) = (raw.find("\x1b[?1000h"), raw.find("\x1b[?1000l"));
    assert!(on.is_some() && on < off, "taken, then given back");
}

#[test]
fn keys_of_ones_own_work_are_shown_in_the_help_and_clashes_are_refused() {
    let served = served(sample::shop());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.hcl");
    let name = file.to_str().expect("a name");
    std::fs::write(&file, "nodes = \"ctrl-o f9\"\n").expect("it is written");
    let mut terminal = Terminal::tui(&served, &["--keys", name], (120, 40));
    terminal.types(b"\x0f");
    terminal.until("the nodes", |s| s.contains("provider-a-1"));
    terminal.types(b"?");
    terminal.until("the help", |s| s.contains("^o F9    nodes"));
    std::fs::write(&file, "hold = \"x\"\n").expect("it is written");
    let refused = std::process::Command::new(binary())
        .args([
            "tui",
            "--keys",
            name,
            "--attach",
            &format!("http://{}", served.at),
        ])
        .output()
        .expect("it runs");
    assert_eq!(refused.status.code(), Some(64));
    let said = String::from_utf8_lossy(&refused.stderr);
    let told = "`x` is asked for by `hold` and by `shadow`; give one of them another key";
    assert!(said.contains(told), "{said}");
    let pictured = std::process::Command::new(binary())
        .args(["screenshot", "--keys", "nope"])
        .output()
        .expect("it runs");
    assert_eq!(pictured.status.code(), Some(64), "pictures take the same");
    let said = String::from_utf8_lossy(&pictured.stderr);
    assert!(said.contains("for the words down, up, "), "{said}");
}

#[test]
fn a_command_goes_out_with_who_asked_and_a_read_only_terminal_sends_none() {
    let mut served = served(sample::shop());
    let mut terminal = Terminal::tui(&served, &[], (120, 40));
    terminal.types(b"H");
    terminal.until("the refusal", |s| s.contains("start with --allow-act"));
    drop(terminal);
    let mut terminal = Terminal::tui(&served, &["--allow-act"], (120, 40));
    terminal.types(b"p");
    terminal.until("the dialog", |s| s.contains("[> cancel <]"));
    terminal.types(b"\t\r");
    terminal.until("what was asked", |s| s.contains("asked: Pin web"));
    let looked = served.asked.blocking_recv();
    let pin = Box::new(Command::Pin {
        portion: "web".into(),
        on: true,
    });
    assert_eq!(looked, Some(Command::Preview { of: pin.clone() }));
    let (who, asked) = ("ann".into(), pin);
    assert_eq!(
        served.asked.blocking_recv(),
        Some(Command::By { who, asked })
    );
}

#[test]
fn it_follows_the_terminals_size_and_takes_a_paste_as_text() {
    let served = served(sample::shop());
    let mut terminal = Terminal::tui(&served, &[], (80, 24));
    assert!(!terminal.text().contains("leader edge-a"));
    let size = PtySize {
        rows: 40,
        cols: 120,
        pixel_width: 0,
        pixel_height: 0,
    };
    terminal.pty.pair.resize(size).expect("it can be resized");
    terminal.screen.screen_mut().set_size(40, 120);
    terminal.until("the wide banner", |s| s.contains("leader edge-a"));
    // Keys in a paste are text: q does not quit, the line's end does not open anything.
    terminal.types(b"/");
    terminal.types(b"\x1b[200~qu\rick\x1b[201~");
    terminal.until("the pasted filter", |s| s.contains("/quick"));
}

#[test]
fn a_view_that_comes_is_drawn_and_one_that_is_the_same_is_not() {
    let served = served(sample::shop());
    let mut terminal = Terminal::tui(&served, &[], (120, 40));
    let mut view = sample::shop();
    view.cycle = 813;
    served.views.send_replace(Arc::new(view.clone()));
    terminal.until("the next cycle", |s| s.contains("cycle 813"));
    let drawn = terminal.raw.len();
    served.views.send_replace(Arc::new(view.clone()));
    view.cycle = 814;
    served.views.send_replace(Arc::new(view));
    terminal.until("the one after", |s| s.contains("cycle 814"));
    let bytes = terminal.raw.len() - drawn;
    assert!(bytes < 200, "{bytes} bytes for one digit");
}

#[test]
fn ctrl_z_gives_the_terminal_back_and_fg_draws_it_anew() {
    let served = served(sample::shop());
    let mut shell = CommandBuilder::new("sh");
    shell.args(["-i"]);
    shell.env("PS1", "ready> ");
    let mut terminal = Terminal::of(shell, (120, 40));
    terminal.prompts(1);
    let program = binary();
    let line = format!("{} tui --attach http://{}\r", program.display(), served.at);
    terminal.types(line.as_bytes());
    terminal.until("the overview", |s| s.contains("> ✗ web"));
    terminal.types(b"\x1a");
    terminal.prompts(2);
    assert!(
        !terminal.screen.screen().hide_cursor(),
        "the cursor is shown"
    );
    terminal.types(b"fg\r");
    terminal.until("the overview again", |s| {
        s.contains("> ✗ web") && s.contains(" 1 Overview◂") && s.contains("q ^c quit")
    });
    terminal.types(b"jq");
    terminal.prompts(3);
    terminal.types(b"exit\r");
    terminal.ends();
}

#[test]
fn without_colour_no_colour_is_sent_and_in_a_plain_locale_ascii_alone() {
    let served = served(sample::shop());
    let mut command = CommandBuilder::new(binary());
    command.args(["tui", "--attach", &format!("http://{}", served.at)]);
    command.args(["--glyphs", "ascii"]);
    let mut terminal = Terminal::of(command, (120, 40));
    terminal.until("the overview", |s| s.contains("> X web"));
    let signs: Vec<char> = terminal.text().chars().filter(|c| !c.is_ascii()).collect();
    assert!(signs.iter().all(|c| "≤≥×…".contains(*c)), "{signs:?}");
    let refused = std::process::Command::new(binary())
        .args([
            "tui",
            "--theme",
            "drak",
            "--attach",
            &format!("http://{}", served.at),
        ])
        .output()
        .expect("it runs");
    assert_eq!(refused.status.code(), Some(64));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("default, dark, light"), "{said}");
}

#[test]
fn one_that_runs_here_is_shown_and_ends_with_its_dashboard() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("foreshadow.hcl");
    let text = "policies = []\nstore = \"foreshadow.db\"\ncycle = \"500ms\"\ngateway \"edge-a\" {\n  site = \"edge-a\"\n}\n";
    std::fs::write(&config, text).expect("the folder can be written to");
    let mut command = CommandBuilder::new(binary());
    command.args(["tui", "--config", &config.display().to_string()]);
    command.env("XDG_RUNTIME_DIR", folder.path());
    // Nobody is there: what it shows is that it sees nothing.
    command.env("NOMAD_ADDR", "http://127.0.0.1:1");
    command.env("CONSUL_HTTP_ADDR", "127.0.0.1:1");
    let mut terminal = Terminal::of(command, (120, 40));
    terminal.until("what it is blind to", |s| {
        s.contains("Overview") && s.contains("blind to")
    });
    terminal.types(b"q");
    terminal.ends();
    assert!(folder.path().join("foreshadow.db").exists());
}

#[test]
fn where_nothing_can_be_drawn_it_says_so_and_what_to_do_and_writes_no_escapes() {
    let served = served(sample::shop());
    let tried = std::process::Command::new(binary())
        .args(["tui", "--attach", &format!("http://{}", served.at)])
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&tried.stderr);
    assert_eq!(tried.status.code(), Some(1), "{said}");
    assert!(
        said.contains("it is no terminal; `foreshadow sandbox --headless`"),
        "{said}"
    );
    assert!(tried.stdout.is_empty(), "{:?}", tried.stdout);
}
