//! Keeps a connection across a cut: nothing passes, nobody is told.

use super::Line;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// How a connection came out of a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Nothing was sent into the cut: the connection may go on.
    Unharmed,
    /// Bytes were lost.
    Torn,
    /// Whoever connected has given up.
    Abandoned,
}

/// Returns when the line is open again, or when `outer`'s peer closes. What either end sends meanwhile is lost.
pub(super) async fn hold(
    line: &mut Line,
    outer: &mut TcpStream,
    mut inner: Option<&mut TcpStream>,
) -> Held {
    let mut held = Held::Unharmed;
    let mut inner_ended = false;
    let (mut from_outer, mut from_inner) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            () = line.opened() => return held,
            read = outer.read(&mut from_outer) => match read {
                Ok(n) if n > 0 => held = Held::Torn,
                _ => return Held::Abandoned,
            },
            read = read_some(inner.as_deref_mut(), &mut from_inner), if !inner_ended => {
                held = Held::Torn;
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
