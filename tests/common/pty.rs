//! A program in a pseudo-terminal, and what it writes there.

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, channel};

pub struct Pty {
    pub pair: Box<dyn MasterPty + Send>,
    pub child: Box<dyn Child + Send + Sync>,
    pub writer: Box<dyn Write + Send>,
    /// As it comes, until the program has ended.
    pub output: Receiver<Vec<u8>>,
}

/// Starts the program in a terminal of that many columns and rows.
pub fn start(command: CommandBuilder, (cols, rows): (u16, u16)) -> Pty {
    let size = PtySize {
        rows,
        cols,
        pixel_width: 0,
        pixel_height: 0,
    };
    let pair = native_pty_system().openpty(size).expect("a terminal");
    let child = pair.slave.spawn_command(command).expect("it starts");
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().expect("a reader");
    let writer = pair.master.take_writer().expect("a writer");
    let (tell, output) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        // The end of a terminal is an error on Linux.
        while let Ok(n @ 1..) = reader.read(&mut buffer) {
            if tell.send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    Pty {
        pair: pair.master,
        child,
        writer,
        output,
    }
}
