//! A socket in two, in two threads.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
mod io;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use common::{Seen, binary, masked, text};
use io::Step::{Later, Move, Panic};
use io::{End, Peer, SCRIPTS, client_machine, config, duplex, guard, server_machine};
use sansock::blocking::{Error, Reader, Transport, WebSocket, Writer};
use sansock::{CloseCode, Config, Connection, Endpoint, Error as Failure, Event, Message, SendError, Timer};

const WIDE: usize = usize::MAX;
const SHORT: Duration = Duration::from_millis(40);

fn halves(end: End) -> (Reader<End, End>, Writer<End>) {
    WebSocket::over(end, server_machine(Config::default())).split_with(|io| (io.clone(), io))
}

/// What a call gave, unless it says "not now".
fn now<T>(outcome: Result<T, Error>) -> Option<Result<T, Error>> {
    match outcome {
        Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => None,
        outcome => Some(outcome),
    }
}

fn tcp(machine: Connection) -> (TcpStream, Reader<TcpStream, TcpStream>, Writer<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (reader, writer) = WebSocket::over(listener.accept().unwrap().0, machine).split().unwrap();
    (near, reader, writer)
}

fn close_of_a_client() -> Vec<u8> {
    let mut machine = client_machine(Config::default());
    machine.close(CloseCode::NORMAL, "").unwrap();
    common::output(&mut machine)
}

#[test]
fn hostile_82_would_block_at_every_call_loses_nothing() {
    let _guard = guard();
    for script in SCRIPTS {
        let (near, far) = duplex(300);
        let client = WebSocket::over(near.clone().always(script), client_machine(Config::default()));
        let (mut client, mut client_writer) = client.split_with(|io| (io.clone(), io));
        let (mut server, mut server_writer) = halves(far.always(script));
        let messages: Vec<Message> = (0..100).map(|i: u8| vec![i; 13 * usize::from(i)].into()).collect();
        let (mut unsent, mut echoed) = (messages.iter(), Vec::new());
        while echoed.len() < messages.len() {
            if let Some(message) = unsent.next() {
                let _ = now(client_writer.send(message.clone()));
            }
            let _ = now(client_writer.flush());
            if let Some(message) = now(server.recv()) {
                let _ = now(server_writer.send(message.unwrap().unwrap()));
            }
            let _ = now(server_writer.flush());
            echoed.extend(now(client.recv()).map(|message| message.unwrap().unwrap()));
        }
        assert_eq!(echoed, messages);
        let _ = now(client_writer.close(CloseCode::NORMAL, "bye"));
        let (mut client_ended, mut server_ended) = (false, false);
        while !(client_ended && server_ended) {
            let _ = now(client_writer.flush());
            server_ended = server_ended || now(server.recv()).is_some_and(|end| end.unwrap().is_none());
            client_ended = client_ended || now(client.recv()).is_some_and(|end| end.unwrap().is_none());
            if client_ended {
                near.end();
            }
        }
        assert!(client.closed().unwrap().clean && server.closed().unwrap().clean);
    }
}

#[test]
fn a_pong_leaves_behind_the_frame_that_the_writer_left_half_written() {
    let _guard = guard();
    for half in [1, 2, 100, 4999, WIDE] {
        let (mut peer, end) = Peer::client(half);
        let (mut reader, mut writer) = halves(end);
        // With room for all there is no half frame: the pong leaves though the writer is never used.
        let mut expected = Vec::new();
        if half != WIDE {
            assert!(now(writer.send(vec![1; 5000])).is_none());
            expected.push(binary(&[1; 5000]));
        }
        expected.push(Seen::Pong(b"?".into()));
        peer.ping(b"?");
        assert!(matches!(reader.next(), Ok(Some(Event::Ping(b"?")))));
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            assert!(now(reader.next()).is_none());
            seen.extend(peer.hear());
            if half != WIDE {
                let _ = now(writer.flush());
            }
        }
        assert_eq!(seen, expected);
    }
}

#[test]
fn hostile_77_given_up_calls_of_a_writer_leave_bounded_memory() {
    let _guard = guard();
    let (_peer, end) = Peer::client(10);
    let machine = server_machine(config(|c| c.output_high_water = 10_000));
    let (_reader, mut writer) = WebSocket::over(end, machine).split_with(|io| (io.clone(), io));
    let fed = (0..1000).filter(|_| now(writer.feed(vec![0; 1000])).is_some()).count();
    assert!(fed < 30, "{fed}");
}

#[test]
fn a_writer_hears_of_an_error_that_its_reader_saw_first() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(10);
    let (mut reader, mut writer) = halves(end);
    assert!(now(writer.send("longer than the transport takes")).is_none());
    peer.end.refuse(ErrorKind::ConnectionReset);
    peer.ping(b"the pong meets the error");
    assert!(matches!(reader.next(), Ok(Some(Event::Ping(_)))));
    assert!(now(reader.next().map(drop)).is_none());
    assert!(is_reset(writer.flush()));
    // Nor has anybody closed once the reader has seen the end.
    peer.end.end();
    assert!(matches!(reader.recv(), Err(Error::Connection(Failure::UnexpectedEof))));
    assert!(is_reset(writer.flush()));
}

fn is_reset(outcome: Result<(), Error>) -> bool {
    matches!(outcome, Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn a_close_reply_that_would_block_is_written_before_the_end() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    end.next_writes(&[Later; 5]);
    let (mut reader, _writer) = halves(end);
    peer.close();
    peer.end.end();
    let ended = (0..100).find_map(|_| now(reader.recv()));
    assert!(matches!(ended, Some(Ok(None))));
    assert_eq!(peer.hear(), [Seen::End]);
}

/// The writer has the wire when the reader wants the reply sent, and lets go of it at any moment: a race, run so often
/// that whoever loses it now and then is found out.
#[test]
fn a_close_reply_leaves_before_the_end_though_the_writer_does_not_send_it() {
    let _guard = guard();
    for _ in 0..20_000 {
        let (mut peer, end) = Peer::client(WIDE);
        let (mut reader, mut writer) = halves(end);
        let sending = thread::spawn(move || while writer.send("hi").is_ok() {});
        peer.close();
        peer.end.end();
        assert!(reader.recv().unwrap().is_none());
        assert_eq!(peer.hear().last(), Some(&Seen::End));
        assert!(peer.machine.closed().unwrap().clean);
        sending.join().unwrap();
    }
}

#[test]
fn a_pong_that_would_block_leaves_though_the_writer_is_never_used() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = WebSocket::over(end.clone(), server_machine(Config::default()));
    socket.connection_mut().text("queued before").unwrap();
    let (mut reader, _writer) = socket.split_with(|io| (io.clone(), io));
    end.next_writes(&[Later; 3]);
    peer.ping(b"?");
    assert!(matches!(reader.next(), Ok(Some(Event::Ping(b"?")))));
    for _ in 0..3 {
        assert!(now(reader.next()).is_none());
    }
    assert_eq!(peer.hear(), [text("queued before"), Seen::Pong(b"?".into())]);
}

#[test]
fn what_was_queued_before_the_split_leaves_though_the_writer_is_never_used() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = WebSocket::over(end, server_machine(Config::default()));
    socket.connection_mut().text("queued").unwrap();
    let (mut reader, _writer) = socket.split_with(|io| (io.clone(), io));
    assert!(now(reader.next()).is_none());
    assert_eq!(peer.hear(), [text("queued")]);
}

#[test]
fn a_pong_that_the_transport_holds_back_is_flushed_though_the_writer_is_never_used() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    end.hold_back();
    end.next_flushes(&[Later, Later]);
    let (mut reader, _writer) = halves(end);
    peer.ping(b"?");
    assert!(matches!(reader.next(), Ok(Some(Event::Ping(b"?")))));
    for _ in 0..2 {
        assert!(now(reader.next()).is_none());
    }
    assert_eq!(peer.hear(), [Seen::Pong(b"?".into())]);
}

#[test]
fn a_reader_waits_in_slices_though_it_has_no_deadline() {
    let _guard = guard();
    let (_peer, end) = Peer::client(WIDE);
    let machine = server_machine(config(|c| c.ping_interval = None));
    let (mut reader, _writer) = WebSocket::over(end.clone(), machine).split_with(|io| (io.clone(), io));
    assert!(now(reader.next()).is_none());
    let timeouts = end.log(|log| log.timeouts.clone());
    assert!(matches!(*timeouts, [Some(slice)] if slice <= Duration::from_secs(1)), "{timeouts:?}");
}

#[test]
fn who_closes_in_answer_to_a_message_before_the_split_has_begun() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = WebSocket::over(end, server_machine(Config::default()));
    peer.send("that was all");
    assert!(socket.ready().unwrap());
    let (_, send) = socket.connection_mut().poll_with_send().unwrap().unwrap();
    send.close(CloseCode::NORMAL, "").unwrap();
    let (mut reader, _writer) = socket.split_with(|io| (io.clone(), io));
    peer.end.end();
    assert!(reader.recv().unwrap().is_none());
    assert_eq!(reader.closed().unwrap().began, Endpoint::Local);
    assert_eq!(peer.hear(), [Seen::End]);
}

#[test]
fn a_close_that_left_before_the_split_is_not_said_twice() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = WebSocket::over(end, server_machine(Config::default()));
    socket.connection_mut().close(CloseCode::NORMAL, "bye").unwrap();
    socket.flush().unwrap();
    assert_eq!(peer.hear(), [Seen::End]);
    let (mut reader, _writer) = socket.split_with(|io| (io.clone(), io));
    peer.end.end();
    assert!(reader.recv().unwrap().is_none());
    assert!(peer.end.pull(WIDE).is_empty());
    assert_eq!(reader.closed().unwrap().sent.unwrap().reason(), "bye");
}

#[test]
fn hostile_83_after_a_write_that_panics_in_one_half_the_other_writes_nothing() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    end.next_writes(&[Panic]);
    let (mut reader, mut writer) = halves(end);
    assert!(thread::spawn(move || writer.send("nobody knows how much of this was taken")).join().is_err());
    peer.ping(b"?");
    peer.send("still heard");
    assert_eq!(reader.recv().unwrap(), Some("still heard".into()));
    assert!(now(reader.recv()).is_none());
    assert_eq!(peer.end.pull(WIDE).len(), 1);
}

/// The writing side of a transport. A write tells that it has begun, and waits to be let go.
struct Gated {
    io: End,
    begun: mpsc::Sender<()>,
    go: mpsc::Receiver<()>,
}

impl Read for Gated {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("the reader has the reading side")
    }
}

impl Write for Gated {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let _ = self.begun.send(());
        // Once nobody can say so any more, it may go in any case.
        let _ = self.go.recv();
        self.io.write(buf)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.io.flush()
    }
}

impl Transport for Gated {}

#[test]
fn the_newest_pong_and_one_keepalive_ping_wait_for_the_writer_to_let_go() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let machine = server_machine(config(|c| c.ping_interval = Some(Duration::ZERO)));
    let socket = WebSocket::over(end.clone(), machine);
    let ((begun, has_begun), (letting_go, go)) = (mpsc::channel(), mpsc::channel());
    let (mut reader, mut writer) = socket.split_with(|io| (io.clone(), Gated { io, begun, go }));
    let writing = thread::spawn(move || writer.send("under way"));
    has_begun.recv().unwrap();
    for payload in ["older", "newer", "newest"] {
        // After a read that brings nothing it is time for a keepalive ping.
        end.next_reads(&[Later]);
        peer.ping(payload.as_bytes());
        peer.send(payload);
        assert_eq!(reader.recv().unwrap(), Some(payload.into()));
    }
    assert_eq!(peer.hear(), []);
    drop(letting_go);
    writing.join().unwrap().unwrap();
    assert_eq!(peer.hear(), [text("under way"), Seen::Ping(b"".into()), Seen::Pong(b"newest".into())]);
}

#[test]
fn a_reset_after_the_close_is_quiet() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let (mut reader, _writer) = halves(end);
    peer.close();
    peer.end.reset();
    assert!(reader.recv().unwrap().is_none());
    assert!(reader.closed().unwrap().clean);
}

#[test]
fn the_peers_close_makes_the_writer_fail() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let (mut reader, mut writer) = halves(end);
    writer.send("fine").unwrap();
    peer.close();
    peer.end.end();
    assert!(reader.recv().unwrap().is_none());
    assert!(matches!(writer.send("late"), Err(Error::Send(SendError::Closed))));
    assert!(matches!(writer.flush(), Err(Error::Send(SendError::Closed))));
    assert_eq!(peer.hear(), [text("fine"), Seen::End]);
}

#[test]
fn a_writer_hears_of_the_peers_close_though_the_reply_could_not_leave() {
    let _guard = guard();
    for close in [close_of_a_client(), masked(0x88, b"")] {
        let (peer, end) = Peer::client(WIDE);
        let (mut reader, mut writer) = halves(end);
        peer.end.push(&close);
        peer.end.reset();
        assert!(reader.recv().unwrap().is_none());
        assert!(matches!(writer.send("late"), Err(Error::Send(SendError::Closed))), "{close:?}");
    }
}

#[test]
fn the_writers_close_has_a_deadline_though_the_reader_waits_already() {
    let _guard = guard();
    let (_near, mut reader, mut writer) = tcp(server_machine(config(|c| c.close_timeout = SHORT)));
    let (waits, waiting) = mpsc::channel();
    let reading = thread::spawn(move || {
        waits.send(()).unwrap();
        reader.recv()
    });
    waiting.recv().unwrap();
    writer.close(CloseCode::NORMAL, "").unwrap();
    let read = reading.join().unwrap();
    assert!(matches!(read, Err(Error::Connection(Failure::TimedOut(Timer::Closing)))));
    assert!(matches!(writer.send("late"), Err(Error::Send(SendError::Closed))));
}

#[test]
fn a_keepalive_ping_that_leaves_is_no_sign_of_life() {
    let _guard = guard();
    let short = config(|c| {
        (c.ping_interval, c.pong_timeout, c.close_timeout) = (Some(SHORT), SHORT, SHORT);
    });
    let (_silent, mut reader, _writer) = tcp(server_machine(short));
    assert!(matches!(reader.recv(), Err(Error::Connection(Failure::TimedOut(Timer::Pong)))));
}

#[test]
fn output_that_moves_is_a_sign_of_life_to_the_reader() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let zero = config(|c| {
        (c.ping_interval, c.pong_timeout, c.close_timeout) =
            (Some(Duration::ZERO), Duration::ZERO, Duration::ZERO);
    });
    let mut socket = WebSocket::over(end.clone(), server_machine(zero));
    socket.connection_mut().binary(&[7; 1000]).unwrap();
    // Some in each flush until all of that has left, and then whatever comes.
    end.next_writes(&[Move(10), Later].repeat(101));
    let (mut reader, _writer) = socket.split_with(|io| (io.clone(), io));
    assert!(matches!(reader.next(), Err(Error::Connection(Failure::TimedOut(Timer::Pong)))));
    assert_eq!(peer.hear().first(), Some(&binary(&[7; 1000])));
}

/// The reading side of a transport. While a read waits, the writer closes and the peer answers.
struct AnswersClose {
    io: End,
    peer: Peer,
    writer: Arc<Mutex<Option<Writer<End>>>>,
}

impl Read for AnswersClose {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if let Some(mut writer) = self.writer.lock().unwrap().take() {
            writer.close(CloseCode::NORMAL, "").unwrap();
            assert_eq!(self.peer.hear(), [Seen::End]);
            self.peer.end.end();
        }
        self.io.read(buf)
    }
}

impl Write for AnswersClose {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        panic!("the writer has the writing side")
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Transport for AnswersClose {}

#[test]
fn who_closes_while_the_reader_waits_has_begun() {
    let _guard = guard();
    let (peer, end) = Peer::client(WIDE);
    let slot = Arc::default();
    let reads = |io: End| AnswersClose { io, peer, writer: Arc::clone(&slot) };
    let socket = WebSocket::over(end, server_machine(Config::default()));
    let (mut reader, writer) = socket.split_with(|io| (reads(io.clone()), io));
    *slot.lock().unwrap() = Some(writer);
    assert!(reader.recv().unwrap().is_none());
    assert_eq!(reader.closed().unwrap().began, Endpoint::Local);
}

/// A writer that is stuck takes the wire again and again: the reader must get it in between.
#[test]
fn hostile_54_a_stuck_writer_does_not_keep_the_reader_from_the_end() {
    let _guard = guard();
    let ends = |hangs_up| {
        let (mut near, mut reader, mut writer) = tcp(server_machine(config(|c| c.close_timeout = SHORT)));
        let writing = thread::spawn(move || writer.send(vec![0; 64 << 20]));
        // Now it has the wire.
        assert_eq!(near.peek(&mut [0]).unwrap(), 1);
        near.write_all(&close_of_a_client()).unwrap();
        if hangs_up {
            near.shutdown(Shutdown::Write).unwrap();
        }
        assert!(reader.recv().unwrap().is_none());
        assert!(reader.closed().unwrap().clean);
        drop(near);
        assert!(writing.join().unwrap().is_err());
    };
    thread::scope(|scope| {
        scope.spawn(|| ends(true));
        scope.spawn(|| ends(false));
    });
}

#[test]
fn a_writer_goes_on_when_its_reader_is_dropped() {
    let _guard = guard();
    let (near, reader, mut writer) = tcp(server_machine(Config::default()));
    let writing = thread::spawn(move || writer.send(vec![1; 16 << 20]));
    drop(reader);
    let mut client = WebSocket::over(near, client_machine(config(|c| c.max_message = u64::MAX)));
    assert_eq!(client.recv().unwrap().unwrap().as_bytes().len(), 16 << 20);
    writing.join().unwrap().unwrap();
}

/// One end floods while it reads what the other one floods, and closes when it has all.
fn flood(mut reader: Reader<TcpStream, TcpStream>, mut writer: Writer<TcpStream>, count: usize) {
    let (have_all, all) = mpsc::channel();
    let writing = thread::spawn(move || {
        for i in 0..count {
            writer.feed(vec![0; i % 3000]).unwrap();
            if i % 16 == 0 {
                writer.ping(b"?").unwrap();
            }
        }
        let _ = writer.flush();
        all.recv().unwrap();
        // The other end may have closed by now.
        let _ = writer.close(CloseCode::NORMAL, "");
    });
    for i in 0..count {
        assert_eq!(reader.recv().unwrap().unwrap().as_bytes().len(), i % 3000);
    }
    have_all.send(()).unwrap();
    assert!(reader.recv().unwrap().is_none());
    writing.join().unwrap();
}

#[test]
fn two_floods_do_not_lock_each_other() {
    let _guard = guard();
    let (near, reader, writer) = tcp(server_machine(config(|c| c.ping_interval = None)));
    let client = WebSocket::over(near, client_machine(config(|c| c.ping_interval = None)));
    let (client_reader, client_writer) = client.split().unwrap();
    let one = thread::spawn(move || flood(client_reader, client_writer, 20_000));
    flood(reader, writer, 20_000);
    one.join().unwrap();
}
