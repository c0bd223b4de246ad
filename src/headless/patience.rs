//! A connection whose reader must take what it asked for: one that does not is let go, so that nothing piles up for it.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Interval;

/// An answer is taken whole within this.
pub(super) const ANSWER: Duration = Duration::from_secs(60);
/// Of a stream so many bytes, or all there is, are taken within this: 1 KiB a second.
pub(super) const EVENT: Duration = Duration::from_secs(15);
const ENOUGH: usize = 15 * 1024;

pub(super) struct Patient<S> {
    io: S,
    streams: Arc<AtomicBool>,
    /// Runs from the first write that had to wait until all is taken.
    waits: Option<Interval>,
    taken: usize,
}

impl<S> Patient<S> {
    /// `streams` tells whether what is written is a stream.
    pub(super) fn new(io: S, streams: Arc<AtomicBool>) -> Self {
        Patient {
            io,
            streams,
            waits: None,
            taken: 0,
        }
    }

    fn took(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken >= ENOUGH && self.streams.load(Ordering::Relaxed) {
            self.all();
        }
    }

    fn all(&mut self) {
        (self.waits, self.taken) = (None, 0);
    }

    /// The reader has not taken what there is; an error once that lasts too long.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let stream = self.streams.load(Ordering::Relaxed);
        let limit = if stream { EVENT } else { ANSWER };
        let waits = self.waits.get_or_insert_with(|| {
            let mut waits = tokio::time::interval(limit);
            waits.reset();
            waits
        });
        ready!(waits.poll_tick(cx));
        let why = "the reader is too slow";
        Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, why)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.io).poll_write(cx, bytes) {
            Poll::Pending => self.wait(cx),
            Poll::Ready(written) => {
                self.took(*written.as_ref().unwrap_or(&0));
                Poll::Ready(written)
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Pending => self.wait(cx),
            Poll::Ready(flushed) => {
                self.all();
                Poll::Ready(flushed)
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.io).poll_shutdown(cx) {
            Poll::Pending => self.wait(cx),
            ended => ended,
        }
    }
}
