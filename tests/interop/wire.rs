//! What is on the wire: a transport that keeps it, and the frames in it.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A transport that keeps what passes.
#[derive(Debug)]
pub struct Tap {
    io: TcpStream,
    pub sent: Vec<u8>,
    pub received: Vec<u8>,
}

impl Tap {
    pub fn new(io: TcpStream) -> Self {
        Tap { io, sent: Vec::new(), received: Vec::new() }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.received.extend_from_slice(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        self.sent.extend(bufs.iter().flat_map(|buf| buf.iter()).take(written));
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub opcode: u8,
    pub rsv1: bool,
    pub len: usize,
}

/// What follows the head.
pub fn frames(wire: &[u8]) -> Vec<Frame> {
    let head = wire.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let mut rest = &wire[head + 4..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (len, header) = match rest[1] & 0x7f {
            127 => (u64::from_be_bytes(rest[2..10].try_into().unwrap()), 10),
            126 => (u64::from(u16::from_be_bytes([rest[2], rest[3]])), 4),
            len => (u64::from(len), 2),
        };
        let len = usize::try_from(len).unwrap();
        let key = if rest[1] & 0x80 == 0 { 0 } else { 4 };
        frames.push(Frame { opcode: rest[0] & 0x0f, rsv1: rest[0] & 0x40 != 0, len });
        rest = &rest[header + key + len..];
    }
    frames
}

pub fn data_len(frames: &[Frame]) -> usize {
    frames.iter().filter(|frame| frame.opcode < 8).map(|frame| frame.len).sum()
}
