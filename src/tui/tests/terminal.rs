//! The loop in a real pseudo-terminal: this test binary runs itself there.

use crate::tui::{Options, run, sample};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Runs the terminal over the sample until it ends by itself.
fn child(cancel: CancellationToken, then: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (_views, receive) = watch::channel(Arc::new(sample::shop()));
        let (commands, _asked) = mpsc::channel(4);
        let (done, ()) = tokio::join!(run(receive, commands, Options::default(), cancel), then);
        done.unwrap();
    });
}

#[test]
#[ignore = "started by the tests below, in a terminal"]
fn child_until_q() {
    child(CancellationToken::new(), async {});
}

#[test]
#[ignore = "started by the tests below, in a terminal"]
fn child_cancelled() {
    let cancel = CancellationToken::new();
    child(cancel.clone(), async move { cancel.cancel() });
}

#[test]
#[ignore = "started by the tests below, in a terminal"]
fn child_that_panics() {
    child(CancellationToken::new(), async { panic!("as asked") });
}

/// Runs a child in a terminal, types `keys` once the overview stands; its output and whether it ended well.
fn in_terminal(child: &str, keys: &[u8]) -> (String, bool) {
    let size = PtySize {
        rows: 24,
        cols: 80,
        pixel_width: 0,
        pixel_height: 0,
    };
    let pair = native_pty_system().openpty(size).unwrap();
    let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        &format!("tui::tests::terminal::{child}"),
        "--ignored",
        "--nocapture",
    ]);
    let mut process = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().unwrap();
    let mut writer = pair.master.take_writer().unwrap();
    let (mut out, mut typed) = (String::new(), keys.is_empty());
    let mut buffer = [0; 4096];
    // The end of a pty is an error on Linux.
    while let Ok(n) = reader.read(&mut buffer) {
        if n == 0 {
            break;
        }
        out.push_str(&String::from_utf8_lossy(&buffer[..n]));
        if !typed && out.contains("\x1b[?2026l") {
            writer.write_all(keys).unwrap();
            typed = true;
        }
    }
    (out, process.wait().unwrap().success())
}

/// Left the alternate screen, showed the cursor again, stopped bracketing pastes.
fn put_back(out: &str) -> bool {
    ["\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h", "\x1b[?2004l"]
        .iter()
        .all(|code| out.contains(code))
}

#[test]
fn q_and_ctrl_c_leave_the_terminal_as_it_was() {
    for keys in [&b"q"[..], b"\x03", b"/x\x03", b":quit\r"] {
        let (out, well) = in_terminal("child_until_q", keys);
        assert!(well && put_back(&out), "{keys:?}: {out:?}");
        assert!(out.contains("foreshadow") && out.contains("breach"));
        assert_eq!(
            out.matches("\x1b[?2026h").count(),
            out.matches("\x1b[?2026l").count() - 1,
            "every frame is synchronized"
        );
    }
}

#[test]
fn a_cancellation_leaves_the_terminal_as_it_was() {
    let (out, well) = in_terminal("child_cancelled", b"");
    assert!(well && put_back(&out), "{out:?}");
}

#[test]
fn a_panic_leaves_the_terminal_as_it_was_and_is_told_after() {
    let (out, well) = in_terminal("child_that_panics", b"");
    assert!(!well && put_back(&out), "{out:?}");
    let (before, after) = out.split_once("\x1b[?1049l").unwrap();
    assert!(!before.contains("as asked") && after.contains("as asked"));
}
