//! Item 53 of hostile inputs: a peer that goes on for a gigabyte after the end, counted by an allocator of this
//! test's own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test may panic, and counts in small numbers"
)]

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BufMut;
use common::{Seen, events, feed, held, masked, output, plain};
use counting::held as count;
use sansock::{CloseCode, Config, Connection, Error, Timestamp, Violation, blocking, tokio as asynchronous};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const GIB: usize = 1 << 30;
const BLOCK: usize = 64 << 10;

/// A connection that never runs out of time, and a frame of its peer's.
type Role = (fn() -> Connection, fn(u8, &[u8]) -> Vec<u8>);

const ROLES: [Role; 2] = [(server, masked), (client, plain)];

fn patient() -> Config {
    let mut config = Config::default();
    config.close_timeout = Duration::from_secs(3600);
    config
}

fn server() -> Connection {
    Connection::server(patient(), Timestamp::EPOCH)
}

fn client() -> Connection {
    Connection::client(patient(), [7; 32], Timestamp::EPOCH)
}

/// Ends a conversation: what the peer sends for that, and what comes of it.
fn endings(frame: fn(u8, &[u8]) -> Vec<u8>) -> [(Vec<u8>, Seen); 4] {
    let open = frame(0x02, &[7; 1000]);
    let failed = |error| Seen::Failed(error);
    [
        (frame(0x88, b"\x03\xe8"), Seen::End),
        ([open.clone(), frame(0x88, b"")].concat(), Seen::End),
        (vec![0xf2], failed(Error::Protocol(Violation::ReservedBits))),
        ([open, frame(0x82, b"")].concat(), failed(Error::Protocol(Violation::ExpectedContinuation))),
    ]
}

/// What the garbage consists of: nothing at all, what looks like pings, and what looks like Close frames.
fn blocks(frame: fn(u8, &[u8]) -> Vec<u8>) -> [Vec<u8>; 3] {
    let repeated = |frame: Vec<u8>| frame.into_iter().cycle().take(BLOCK).collect();
    [vec![0xff; BLOCK], repeated(frame(0x89, b"ping")), repeated(frame(0x88, b"\x03\xe8"))]
}

#[test]
fn hostile_53_a_gigabyte_after_the_end_is_dropped() {
    for (new, frame) in ROLES {
        for ((last, end), block) in endings(frame).into_iter().zip(blocks(frame).iter().cycle()) {
            let mut connection = new();
            assert_eq!(feed(&mut connection, &last, &[usize::MAX]), std::slice::from_ref(&end));
            let answer = output(&mut connection).len();
            assert!(answer > 0);
            let ((), kept, peak) = count(|| {
                for _ in 0..GIB / BLOCK {
                    connection.input().put_slice(block);
                    connection.handle_input(Timestamp::EPOCH);
                    assert!(connection.advance().is_ok() == (end == Seen::End));
                    assert_eq!((held(&mut connection), connection.buffered()), (0, 0));
                }
            });
            // One read's buffer, whatever has passed through it.
            assert!(peak <= 2 * BLOCK as isize && kept <= peak, "{kept} {peak}");
            assert_eq!(events(&mut connection), [end]);
            assert!(output(&mut connection).is_empty(), "nothing of it was answered");
        }
    }
}

#[test]
fn hostile_53_what_follows_the_end_is_not_kept_where_the_driver_does_not_tell_of_it() {
    for (new, frame) in ROLES {
        for (last, end) in endings(frame) {
            let mut connection = new();
            assert_eq!(feed(&mut connection, &last, &[usize::MAX]), [end]);
            output(&mut connection);
            let more = vec![0x89; BLOCK];
            let ((), kept, _) = count(|| {
                connection.input().put_slice(&more);
                connection.handle_would_block();
            });
            assert!(kept <= 0, "{kept}");
        }
    }
}

#[test]
fn hostile_53_a_gigabyte_in_one_frame_that_never_ends() {
    // The end comes first, and then a frame that announces as much as a frame can.
    for (new, frame) in ROLES {
        let mut connection = new();
        feed(&mut connection, &frame(0x88, b"\x03\xe8"), &[1]);
        let mask = if frame(0x82, b"").len() > 2 { 0x80 } else { 0 };
        let head = [&[0x82, mask | 0x7f][..], &u64::to_be_bytes((1 << 63) - 1), &[0; 4]].concat();
        let block = vec![7; BLOCK];
        let ((), kept, peak) = count(|| {
            connection.input().put_slice(&head);
            for _ in 0..GIB / BLOCK {
                connection.handle_input(Timestamp::EPOCH);
                connection.input().put_slice(&block);
            }
        });
        assert!(peak <= 2 * BLOCK as isize + 1024 && kept <= peak, "{kept} {peak}");
        assert_eq!(connection.missing(), 0);
    }
}

/// A transport whose peer says its last word, then a gigabyte, and then hangs up. It takes all that is
/// written.
struct Endless {
    last: Vec<u8>,
    block: Vec<u8>,
    left: usize,
    written: usize,
}

impl Endless {
    fn new(last: Vec<u8>, block: Vec<u8>) -> Self {
        Endless { last, block, left: GIB, written: 0 }
    }

    fn fill(&mut self, buf: &mut [u8]) -> usize {
        if !self.last.is_empty() {
            let len = buf.len().min(self.last.len());
            buf[..len].copy_from_slice(&self.last[..len]);
            self.last.drain(..len);
            return len;
        }
        let len = buf.len().min(self.left).min(self.block.len());
        buf[..len].copy_from_slice(&self.block[..len]);
        self.left -= len;
        len
    }
}

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.fill(buf))
    }
}

impl Write for Endless {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.written += buf.len();
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl blocking::Transport for Endless {
    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut some = [0; 4096];
        let room = some.len().min(buf.remaining());
        let len = self.fill(&mut some[..room]);
        buf.put_slice(&some[..len]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write(buf))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a socket may hold besides its buffer for reads.
const BESIDES: isize = 16 << 10;

fn check(end: &Seen, result: Result<bool, blocking::Error>, report: Option<sansock::CloseReport>) {
    match (end, result) {
        (Seen::End, Ok(is_over)) => assert!(is_over && report.is_some_and(|report| report.clean)),
        (Seen::Failed(error), Err(blocking::Error::Connection(failed))) => assert_eq!(*error, failed),
        (end, result) => panic!("{end:?} {result:?}"),
    }
}

#[test]
fn hostile_53_a_gigabyte_after_the_end_over_a_blocking_transport() {
    for (new, frame) in ROLES {
        for ((last, end), block) in endings(frame).into_iter().step_by(2).zip(blocks(frame)) {
            let mut socket = blocking::WebSocket::over(Endless::new(last, block), new());
            // The application does nothing but wait for the end.
            let (result, _, peak) = count(|| socket.recv().map(|message| message.is_none()));
            check(&end, result, socket.closed());
            assert!(peak <= 2 * BLOCK as isize + BESIDES, "{peak}");
            assert!(socket.io().left == 0 && socket.io().written <= 10, "{}", socket.io().written);
        }
    }
}

#[test]
fn hostile_53_a_gigabyte_after_the_end_over_tokio() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    for (new, frame) in ROLES {
        for ((last, end), block) in endings(frame).into_iter().step_by(2).zip(blocks(frame)) {
            let mut socket = asynchronous::WebSocket::over(Endless::new(last, block), new());
            let (result, _, peak) =
                count(|| runtime.block_on(async { socket.recv().await.map(|message| message.is_none()) }));
            check(&end, result, socket.closed());
            // The two large buffers that all connections of a thread take turns in.
            assert!(peak <= (512 << 10) + BESIDES, "{peak}");
            assert!(socket.io().left == 0 && socket.io().written <= 10, "{}", socket.io().written);
        }
    }
}

#[test]
fn hostile_53_a_flood_of_pings_after_our_close_is_answered_within_bounds() {
    // The peer may not know of our Close frame yet. But as ever, one that takes no pongs gets few of them.
    for (new, frame) in ROLES {
        let mut connection = new();
        connection.close(CloseCode::NORMAL, "").unwrap();
        output(&mut connection);
        let pings = frame(0x89, &[7; 125]).repeat(500);
        let ((), kept, peak) = count(|| {
            for _ in 0..1000 {
                connection.input().put_slice(&pings);
                connection.handle_input(Timestamp::EPOCH);
                while connection.poll_event().unwrap().is_some() {}
            }
        });
        assert!(peak <= 3 * BLOCK as isize && kept <= peak, "{kept} {peak}");
        let waits = output(&mut connection).len();
        assert!((1..2 << 10).contains(&waits), "{waits}");
    }
}
