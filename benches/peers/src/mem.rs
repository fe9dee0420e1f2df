//! The in-memory transport every peer is driven over, and what checks its results.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::BufMut;
use tokio::io::ReadBuf;

/// What one read hands out at most, as a socket read would.
pub const CHUNK: usize = 64 << 10;

/// Bytes written to any [`Mem`]. A plain load and store: one thread measures.
pub static WRITTEN: AtomicU64 = AtomicU64::new(0);
/// The written bytes themselves, kept only when `Mem::keep` is set.
pub static KEPT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// An always-ready stream: reads cycle over `data` until `left` bytes were
/// handed out, writes are counted and dropped.
pub struct Mem {
    data: Arc<[u8]>,
    pos: usize,
    left: usize,
    keep: bool,
}

impl Mem {
    pub fn new(data: Arc<[u8]>, left: usize, keep: bool) -> Self {
        Mem { data, pos: 0, left, keep }
    }

    /// The direction out alone, for what borrows what it read while it writes.
    pub fn writer(&self) -> Mem {
        Mem { data: self.data.clone(), pos: 0, left: 0, keep: self.keep }
    }

    /// The one copy a socket read makes.
    #[inline]
    fn next(&mut self, room: usize) -> &[u8] {
        let n = room.min(CHUNK).min(self.data.len() - self.pos).min(self.left);
        let start = self.pos;
        self.left -= n;
        self.pos += n;
        if self.pos == self.data.len() {
            self.pos = 0;
        }
        &self.data[start..start + n]
    }

    #[inline]
    fn put(&mut self, src: &[u8]) -> usize {
        WRITTEN.store(WRITTEN.load(Relaxed) + src.len() as u64, Relaxed);
        std::hint::black_box(src.as_ptr());
        if self.keep {
            KEPT.lock().unwrap().extend_from_slice(src);
        }
        src.len()
    }

    #[inline]
    pub fn read_into(&mut self, dst: &mut [u8]) -> usize {
        let src = self.next(dst.len());
        dst[..src.len()].copy_from_slice(src);
        src.len()
    }

    /// As a driver reads that gives its whole buffer away.
    #[inline]
    pub fn fill(&mut self, mut dst: impl BufMut) -> usize {
        let src = self.next(dst.remaining_mut());
        dst.put_slice(src);
        src.len()
    }

    #[inline]
    fn put_all(&mut self, bufs: &[IoSlice<'_>]) -> usize {
        bufs.iter().map(|b| self.put(b)).sum()
    }
}

impl io::Read for Mem {
    #[inline]
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        Ok(self.read_into(dst))
    }
}

impl io::Write for Mem {
    #[inline]
    fn write(&mut self, src: &[u8]) -> io::Result<usize> {
        Ok(self.put(src))
    }
    #[inline]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(self.put_all(bufs))
    }
    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl tokio::io::AsyncRead for Mem {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let src = self.next(buf.remaining());
        buf.put_slice(src);
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Mem {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, src: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.put(src)))
    }
    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.put_all(bufs)))
    }
    #[inline]
    fn is_write_vectored(&self) -> bool {
        true
    }
    #[inline]
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    #[inline]
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl futures_util::io::AsyncRead for Mem {
    #[inline]
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, dst: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.read_into(dst)))
    }
}

impl futures_util::io::AsyncWrite for Mem {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, src: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.put(src)))
    }
    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.put_all(bufs)))
    }
    #[inline]
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    #[inline]
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Takes each received message: hashes it in the verification pass, otherwise
/// only keeps the compiler from dropping it.
#[derive(Default)]
pub struct Sink {
    pub verify: bool,
    pub msgs: usize,
    pub hash: u64,
}

impl Sink {
    #[inline]
    pub fn take(&mut self, payload: &[u8]) {
        self.msgs += 1;
        if self.verify {
            self.hash = chain(self.hash, payload);
        } else {
            std::hint::black_box((payload.as_ptr(), payload.len()));
        }
    }
}

/// Folds `payload` (content, length and order) into a running checksum.
pub fn chain(seed: u64, payload: &[u8]) -> u64 {
    let mut h = seed.rotate_left(7) ^ payload.len() as u64;
    for b in payload {
        h = (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3);
    }
    h
}
