//! Keeps a connection across a cut: nothing passes, nobody is told.

use super::Line;
use std::pin::pin;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// How a connection came out of a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Nothing was sent into the cut: the connection may go on.
    Unharmed,
    /// Bytes were lost.
    Torn,
    /// Whoever connected has given up, or its kernel has.
    Abandoned,
}

/// Returns when the line is open again, when `outer`'s peer closes, or when bytes have been lost (`lost`: already) and nothing came for `patience`.
/// What either end sends meanwhile is lost.
pub(super) async fn hold(
    line: &mut Line,
    outer: &mut TcpStream,
    mut inner: Option<&mut TcpStream>,
    lost: bool,
    patience: Option<Duration>,
) -> Held {
    let since = Instant::now();
    let mut torn_at = lost.then_some(since);
    let mut inner_ended = false;
    let (mut from_outer, mut from_inner) = ([0; 4096], [0; 4096]);
    let mut timer = pin!(sleep_until(since));
    loop {
        let gives_up = torn_at.and_then(|at| Some(at + patience?));
        if let Some(at) = gives_up.filter(|at| *at != timer.deadline()) {
            timer.as_mut().reset(at);
        }
        tokio::select! {
            () = line.opened() => return torn_at.map_or(Held::Unharmed, |_| Held::Torn),
            () = timer.as_mut(), if gives_up.is_some() => return Held::Abandoned,
            read = outer.read(&mut from_outer) => match read {
                Ok(n) if n > 0 => torn_at = torn_at.or_else(|| Some(Instant::now())),
                _ => return Held::Abandoned,
            },
            read = read_some(inner.as_deref_mut(), &mut from_inner), if !inner_ended => {
                torn_at = torn_at.or_else(|| Some(Instant::now()));
                inner_ended = !read.is_ok_and(|n| n > 0);
            }
        }
    }
}

async fn read_some(stream: Option<&mut TcpStream>, buffer: &mut [u8]) -> std::io::Result<usize> {
    match stream {
        Some(stream) => stream.read(buffer).await,
        None => std::future::pending().await,
    }
}
