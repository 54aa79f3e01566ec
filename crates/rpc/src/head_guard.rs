//! Cuts off clients that send the head of a request too slowly, and nobody else.
//!
//! hyper has one timer for both the wait for a request and the arrival of its head, so that one limit would
//! either close idle connections early or let slow heads live long. This wrapper around the socket times the
//! head alone; hyper's timer is left with the idle time.
//!
//! ```text
//!  accepted ─► Head ──head complete──► Busy ──answer written──► Idle ──first byte──► Head
//!                └─ limit passed: the read fails                    └─ hyper's timer: closed
//! ```

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Between two requests.
const IDLE: u8 = 0;
/// Some of a head has arrived, or the first one is awaited.
const HEAD: u8 = 1;
/// A request is being read or answered.
const BUSY: u8 = 2;
/// No longer HTTP.
const UPGRADED: u8 = 3;

/// Where a connection stands; shared by the socket and the service.
#[derive(Clone, Debug)]
pub(crate) struct Phase(Arc<AtomicU8>);

impl Phase {
    /// The connection was just accepted.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU8::new(HEAD)))
    }

    /// A head is complete.
    pub(crate) fn request_begins(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    /// The connection stops being HTTP: nothing is timed any more.
    pub(crate) fn upgraded(&self) {
        self.0.store(UPGRADED, Ordering::Relaxed);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    /// Only the connection's own task changes phases, so a load and a store are enough.
    fn change(&self, from: u8, to: u8) -> bool {
        let changes = self.get() == from;
        if changes {
            self.0.store(to, Ordering::Relaxed);
        }
        changes
    }
}

/// A socket whose reads fail once the head of a request takes too long.
#[derive(Debug)]
pub(crate) struct HeadGuard<T> {
    socket: T,
    phase: Phase,
    limit: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl<T> HeadGuard<T> {
    pub(crate) fn new(socket: T, phase: Phase, limit: Duration) -> Self {
        Self { socket, phase, limit, deadline: Box::pin(sleep(limit)) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for HeadGuard<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        match Pin::new(&mut this.socket).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                if buf.filled().len() > before && this.phase.change(IDLE, HEAD) {
                    this.deadline.as_mut().reset(Instant::now() + this.limit);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending if this.phase.get() == HEAD && this.deadline.as_mut().poll(cx).is_ready() => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the request's head took too long")))
            }
            other => other,
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for HeadGuard<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.phase.change(BUSY, IDLE);
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.phase.change(BUSY, IDLE);
        Pin::new(&mut self.socket).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
