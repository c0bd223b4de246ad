//! Carries bytes one way with a delay, keeping their order and not waiting for one chunk before reading the next.

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until};

/// Read at most so much at once.
const CHUNK: usize = 64 * 1024;
/// So much may be under way on a line: 28 ms round trip at 1 Gbit/s is 3.5 MB.
const WINDOW: usize = 4 * 1024 * 1024;

/// Bytes under way in both directions of a connection: what a cut would lose.
#[derive(Default)]
pub(super) struct UnderWay(AtomicUsize);

impl UnderWay {
    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Relaxed) == 0
    }
}

/// Copy `from` into `to` until its end, each chunk `delay` after it was read, and then close `to` for writing.
pub(super) async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
    under_way: &UnderWay,
) -> io::Result<()> {
    let mut queue: VecDeque<(Instant, Bytes)> = VecDeque::new();
    let mut queued = 0;
    let mut ended = None;
    let mut buffer = BytesMut::new();
    let mut timer = pin!(sleep_until(Instant::now()));
    loop {
        let due = queue.front().map(|(due, _)| *due).or(ended);
        if ended.is_none() && queued < WINDOW {
            buffer.reserve(CHUNK);
        }
        tokio::select! {
            biased;
            () = wait(timer.as_mut(), due) => match queue.pop_front() {
                Some((_, chunk)) => {
                    to.write_all(&chunk).await?;
                    queued -= chunk.len();
                    under_way.0.fetch_sub(chunk.len(), Relaxed);
                }
                None => return to.shutdown().await,
            },
            read = from.read_buf(&mut buffer), if ended.is_none() && queued < WINDOW => {
                let due = Instant::now() + delay;
                match read? {
                    0 => ended = Some(due),
                    n => {
                        queued += n;
                        under_way.0.fetch_add(n, Relaxed);
                        queue.push_back((due, buffer.split().freeze()));
                    }
                }
            }
        }
    }
}

/// Until `due`; for ever if nothing is due.
async fn wait(mut timer: std::pin::Pin<&mut Sleep>, due: Option<Instant>) {
    let Some(due) = due else {
        return std::future::pending().await;
    };
    // Asking the timer costs up to its tick of a millisecond, which a line without delay must not pay.
    if Instant::now() >= due {
        return;
    }
    if timer.deadline() != due {
        timer.as_mut().reset(due);
    }
    timer.await;
}
