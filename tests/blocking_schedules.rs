//! The blocking shim over transports that do not wait, by random schedules: any call may give "not now" at any point,
//! or be interrupted, and is gone on with later; items 73 and 82 of hostile inputs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;
mod io;
mod schedules;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use io::Step::{Fail, Move};
use io::{End, Peer, guard, tcp};
use proptest::prelude::*;
use sansock::blocking::{Error, Reader, Transport, WebSocket, Writer, accept, connect_over};
use sansock::handshake::client::ClientRequest;
use sansock::{CloseCode, CloseReport, Config, Connection, Message, SendHalf};
use schedules::trial::{
    self, Effect, Op, Outcome, Subject, event, faulty, nothing, owned, payload, schedule,
};
use schedules::{Scene, cases, scene};

type Socket = WebSocket<End>;
type Halves = (Reader<End, End>, Writer<End>);

/// What a call gave, unless it says "not now".
fn now(outcome: Outcome) -> Option<Outcome> {
    let is_later = matches!(&outcome, Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock);
    (!is_later).then_some(outcome)
}

use Effect::{Closes, Flushes, Pings, Queues, QueuesLast, Receives, Waits};

impl Subject for Socket {
    const PASSES_OVER: bool = true;

    fn over(io: End, machine: Connection) -> Self {
        WebSocket::over(io, machine)
    }

    fn half(&mut self) -> &mut SendHalf {
        self.connection_mut().halves().1
    }

    fn report(&self) -> Option<CloseReport> {
        self.closed()
    }

    fn effects() -> Vec<Effect> {
        vec![Receives, Receives, Waits, Queues, QueuesLast, Waits, Flushes, Pings, Closes]
    }

    fn perform(&mut self, call: usize, polls: usize, message: Message) -> Option<Outcome> {
        if polls == 0 {
            return None;
        }
        now(match call {
            0 => self.next().map(event),
            1 => self.recv().map(owned),
            2 => self.ready().map(nothing),
            3 => self.send(message).map(nothing),
            4 => self.feed(message).map(nothing),
            5 => self.room().map(nothing),
            6 => self.flush().map(nothing),
            7 => self.ping(payload(&message)).map(nothing),
            _ => self.close(CloseCode::NORMAL, "bye").map(nothing),
        })
    }
}

impl Subject for Halves {
    const PASSES_OVER: bool = false;

    fn over(io: End, machine: Connection) -> Self {
        WebSocket::over(io, machine).split_with(|io| (io.clone(), io))
    }

    fn half(&mut self) -> &mut SendHalf {
        self.1.half()
    }

    fn report(&self) -> Option<CloseReport> {
        self.0.closed()
    }

    fn effects() -> Vec<Effect> {
        vec![Receives, Receives, Queues, QueuesLast, Flushes, Pings, Closes]
    }

    fn perform(&mut self, call: usize, polls: usize, message: Message) -> Option<Outcome> {
        if polls == 0 {
            return None;
        }
        let (reader, writer) = self;
        now(match call {
            0 => reader.next().map(event),
            1 => reader.recv().map(owned),
            2 => writer.send(message).map(nothing),
            3 => writer.feed(message).map(nothing),
            4 => writer.flush().map(nothing),
            5 => writer.ping(payload(&message)).map(nothing),
            _ => writer.close(CloseCode::NORMAL, "bye").map(nothing),
        })
    }
}

fn run<S: Subject>(scene: &Scene, ops: &[Op]) {
    let _guard = guard();
    // Nothing is due in so short a time.
    trial::run::<S>(scene, ops, drop);
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn hostile_82_no_schedule_of_calls_that_would_block_loses_or_repeats_anything(
        scene in scene(), ops in schedule()
    ) {
        run::<Socket>(&scene.interrupted(), &ops);
    }

    #[test]
    fn hostile_82_no_schedule_of_halves_that_would_block_loses_or_repeats_anything(
        scene in scene(), ops in schedule()
    ) {
        run::<Halves>(&scene.interrupted(), &ops);
    }

    #[test]
    fn hostile_73_no_schedule_of_calls_that_would_block_breaks_compressed_messages(
        scene in scene(), ops in schedule()
    ) {
        let scene = scene.compressing().interrupted();
        run::<Socket>(&scene, &ops);
        run::<Halves>(&scene, &ops);
    }

    #[test]
    fn hostile_82_a_fault_in_any_schedule_of_calls_is_an_end_and_not_a_lie(scene in scene(), ops in faulty()) {
        let scene = scene.interrupted();
        run::<Socket>(&scene, &ops);
        run::<Halves>(&scene, &ops);
    }
}

const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn hostile_82_an_interrupted_handshake_passes() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(usize::MAX);
    peer.end.push(REQUEST);
    let end = end.always(&[Fail(ErrorKind::Interrupted), Move(1), Move(3)]);
    let mut socket = accept(end, Config::default()).unwrap();
    let answer = peer.end.pull(usize::MAX);
    assert!(answer.starts_with(b"HTTP/1.1 101 ") && answer.ends_with(b"\r\n\r\n"));
    peer.send("hello");
    assert_eq!((0..100).find_map(|_| socket.recv().ok()).unwrap(), Some("hello".into()));
}

/// A stream whose every other call is interrupted, and which moves few bytes in the others.
struct Interrupting(TcpStream, bool);

impl Interrupting {
    fn turn(&mut self, len: usize) -> std::io::Result<usize> {
        self.1 = !self.1;
        if self.1 { Err(ErrorKind::Interrupted.into()) } else { Ok(len.min(7)) }
    }
}

impl Read for Interrupting {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let most = self.turn(buf.len())?;
        self.0.read(&mut buf[..most])
    }
}

impl Write for Interrupting {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let most = self.turn(buf.len())?;
        self.0.write(&buf[..most])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.turn(0).map(drop)
    }
}

impl Transport for Interrupting {
    fn shutdown_write(&mut self) -> std::io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}

#[test]
fn hostile_82_an_interrupted_handshake_of_a_client_passes() {
    let _guard = guard();
    for interrupts in [false, true] {
        let (near, far) = tcp();
        let serving = thread::spawn(move || {
            let mut socket = accept(far, Config::default()).unwrap();
            let message = socket.recv().unwrap().unwrap();
            socket.send(message).unwrap();
            socket.recv().unwrap()
        });
        let request = ClientRequest::new("ws://example.com/").unwrap();
        let near = Interrupting(near, interrupts);
        let mut socket = connect_over(near, request, Config::default()).unwrap();
        socket.send("hello").unwrap();
        assert_eq!(socket.recv().unwrap(), Some("hello".into()));
        assert!(socket.close(CloseCode::NORMAL, "").unwrap().clean);
        assert_eq!(serving.join().unwrap(), None);
    }
}
