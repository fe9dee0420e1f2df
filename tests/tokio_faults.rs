//! Transports over tokio that panic, or do with their buffer what they must not; items 82 and 83 of hostile inputs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
mod io;

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use io::Step::{Boast, Move, Panic};
use io::{End, Peer, client_machine, config, guard, poll_once, server_machine};
use sansock::tokio::{Error, WebSocket};
use sansock::{Config, Error as Failure, Violation};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const WIDE: usize = usize::MAX;

fn panics<T>(call: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(call)).is_err()
}

#[tokio::test(start_paused = true)]
async fn hostile_82_a_socket_may_be_dropped_in_the_middle_of_a_frame() {
    let _guard = guard();
    for machine in [server_machine(Config::default()), client_machine(Config::default())] {
        let (peer, end) = Peer::client(10);
        let mut socket = WebSocket::over(end.clone(), machine);
        peer.end.push(&[0x82]);
        assert!(poll_once(socket.send("longer than the transport takes")).is_none());
        assert!(poll_once(socket.next()).is_none());
        drop(socket);
        assert_eq!(peer.end.pull(WIDE).len(), 10);
        assert_eq!(end.holders(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_83_a_write_that_boasts_has_taken_what_it_was_offered() {
    let _guard = guard();
    let (peer, end) = Peer::client(WIDE);
    end.next_writes(&[Boast]);
    let mut socket = WebSocket::over(end, server_machine(Config::default()));
    for i in 0..40 {
        socket.connection_mut().send(vec![i; 20_000]).unwrap();
    }
    // It was offered some of the pieces: the others follow.
    socket.flush().await.unwrap();
    let left = peer.end.pull(WIDE);
    let all: Vec<u8> = (0..40).flat_map(|i| common::plain(0x82, &vec![i; 20_000])).collect();
    assert!(!left.is_empty() && all.ends_with(&left));
}

#[tokio::test(start_paused = true)]
async fn hostile_83_a_read_that_panics_leaves_nothing_behind() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = WebSocket::over(end.clone(), server_machine(Config::default()));
    peer.send("whole");
    end.next_reads(&[Move(5), Panic]);
    assert!(panics(|| poll_once(socket.recv())));
    assert_eq!(common::held(socket.connection_mut()), 5);
    assert_eq!(socket.recv().await.unwrap(), Some("whole".into()));
}

#[tokio::test(start_paused = true)]
async fn hostile_83_after_a_write_that_panics_nothing_is_written() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = WebSocket::over(end.clone(), server_machine(Config::default()));
    end.next_writes(&[Panic]);
    assert!(panics(|| poll_once(socket.send("nobody knows how much of this was taken"))));
    assert!(matches!(socket.flush().await, Err(Error::Io(error)) if error.kind() == ErrorKind::BrokenPipe));
    peer.ping(b"?");
    peer.send("still heard");
    assert_eq!(socket.recv().await.unwrap(), Some("still heard".into()));
    assert!(poll_once(socket.recv()).is_none());
    assert_eq!(peer.end.pull(WIDE).len(), 1);
}

/// What a transport does with the room that a read gives it.
#[derive(Clone, Copy)]
enum Misuse {
    /// It calls cleared bytes filled.
    Advance,
    /// It puts another buffer in the place of the one that it was given.
    Swap,
}

struct Misusing(Misuse, End);

impl AsyncRead for Misusing {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.0 {
            Misuse::Advance => {
                buf.initialize_unfilled_to(2);
                buf.advance(2);
            }
            Misuse::Swap => {
                let mut other = ReadBuf::new(vec![1; 2].leak());
                other.advance(2);
                *buf = other;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Misusing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.1).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.1).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.1).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_83_a_transport_that_misuses_its_buffer_breaks_nothing() {
    let _guard = guard();
    let over = |misuse| {
        let (_peer, end) = Peer::client(WIDE);
        let brief = config(|c| c.close_timeout = std::time::Duration::ZERO);
        WebSocket::over(Misusing(misuse, end), server_machine(brief))
    };
    // What it calls filled is cleared memory and nothing else: a continuation of no message.
    let error = over(Misuse::Advance).recv().await;
    assert!(matches!(error, Err(Error::Connection(Failure::Protocol(Violation::Unmasked)))), "{error:?}");

    let mut socket = over(Misuse::Swap);
    assert!(panics(|| poll_once(socket.recv())));
    assert_eq!(common::held(socket.connection_mut()), 0);
}
