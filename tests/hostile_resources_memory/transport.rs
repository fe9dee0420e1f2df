//! A peer without end: it says the same again and again, and takes as much as it is told to.

use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use sansock::blocking::Transport;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One end of a connection to such a peer. Its clones are the same end. It allocates nothing.
#[derive(Clone, Debug)]
pub(crate) struct Endless(Arc<State>);

#[derive(Debug, Default)]
struct State {
    says: Vec<u8>,
    /// Where what it says begins anew.
    again: usize,
    /// How much there is to read in all.
    most: u64,
    /// How much a write may bring; nothing: it would block, for ever.
    takes: AtomicUsize,
    read: AtomicU64,
    reads: AtomicUsize,
    written: AtomicU64,
    writes: AtomicUsize,
}

impl Endless {
    /// Says `first`, then `period` again and again, `most` bytes in all.
    pub(crate) fn new(first: &[u8], period: &[u8], most: u64) -> Self {
        let state = State { says: [first, period].concat(), again: first.len(), most, ..State::default() };
        Endless(Arc::new(state))
    }

    /// Says nothing.
    pub(crate) fn silent() -> Self {
        Endless::new(b"", b"", 0)
    }

    /// From now on every other write brings at most so many bytes.
    pub(crate) fn takes(self, most: usize) -> Self {
        self.0.takes.store(most, Relaxed);
        self
    }

    /// How many bytes were read.
    pub(crate) fn read(&self) -> u64 {
        self.0.read.load(Relaxed)
    }

    /// How many reads there were, with or without bytes.
    pub(crate) fn reads(&self) -> usize {
        self.0.reads.load(Relaxed)
    }

    /// How many bytes were written.
    pub(crate) fn written(&self) -> u64 {
        self.0.written.load(Relaxed)
    }

    /// What a read brings next; nothing if it would block.
    fn next(&self, room: usize) -> &[u8] {
        let State { says, again, most, read, reads, .. } = &*self.0;
        reads.fetch_add(1, Relaxed);
        let before = read.load(Relaxed);
        let mut at = usize::try_from(before).unwrap();
        if at >= says.len() {
            at = again + (at - again) % (says.len() - again).max(1);
        }
        let left = usize::try_from(most - before).unwrap_or(usize::MAX);
        let part = &says[at.min(says.len())..];
        let part = &part[..part.len().min(room).min(left)];
        read.fetch_add(part.len() as u64, Relaxed);
        part
    }

    /// How much a write may bring; `None` if it would block.
    fn accept(&self, len: usize) -> Option<usize> {
        let State { takes, written, writes, .. } = &*self.0;
        let len = len.min(takes.load(Relaxed));
        if writes.fetch_add(1, Relaxed) % 2 == 1 || len == 0 {
            return None;
        }
        written.fetch_add(len as u64, Relaxed);
        Some(len)
    }
}

impl AsyncRead for Endless {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.next(buf.remaining()) {
            [] => Poll::Pending,
            part => {
                buf.put_slice(part);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Endless {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let taken = self.accept(buf.len());
        if taken.is_none() && self.0.takes.load(Relaxed) > 0 {
            cx.waker().wake_by_ref();
        }
        taken.map_or(Poll::Pending, |len| Poll::Ready(Ok(len)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let part = self.next(buf.len());
        if part.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        buf[..part.len()].copy_from_slice(part);
        Ok(part.len())
    }
}

impl Write for Endless {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.accept(buf.len()).ok_or_else(|| ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Endless {
    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}
