//! What the blocking shim promises, over transports that do their worst and over real TCP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "tests"
)]

mod common;
mod io;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use common::{Seen, binary, masked, text};
use io::Step::{Boast, Fail, Later, Move, Panic, Zero};
use io::{
    End, Peer, SCRIPTS, Step, WORST, client_machine, config, duplex, fitting, guard, server_machine, tcp,
};
use sansock::blocking::{Error, WebSocket, accept, accept_request, connect};
use sansock::handshake::{HandshakeError, Response};
use sansock::{CloseCode, Config, Connection, Error as Failure, Message, SendError, Timer, Violation};

type Socket = WebSocket<End>;

const WIDE: usize = usize::MAX;
const SIZES: [usize; 9] = [0, 1, 125, 126, 127, 4095, 4096, 65_535, 65_536];
const SHORT: Duration = Duration::from_millis(40);

fn server(end: End) -> Socket {
    WebSocket::over(end, server_machine(Config::default()))
}

/// What a call gave, unless it says "not now".
fn now<T>(outcome: Result<T, Error>) -> Option<Result<T, Error>> {
    match outcome {
        Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => None,
        outcome => Some(outcome),
    }
}

/// Repeats a call that says "not now".
fn patiently<T>(mut call: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    (0..100_000).find_map(|_| now(call())).expect("it never comes to an end")
}

/// All that a socket says, up to its end or its error.
fn all(socket: &mut Socket) -> (Vec<Seen>, Result<(), Error>) {
    let mut seen = Vec::new();
    loop {
        let next = patiently(|| Ok(socket.next()?.map(Seen::from)));
        match next {
            Ok(Some(event)) => seen.push(event),
            Ok(None) => return (seen, Ok(())),
            Err(error) => return (seen, Err(error)),
        }
    }
}

fn is_failure<T>(result: Result<T, Error>, expected: Failure) -> bool {
    matches!(result, Err(Error::Connection(error)) if error == expected)
}

fn is_io<T>(result: Result<T, Error>, kind: ErrorKind) -> bool {
    matches!(result, Err(Error::Io(error)) if error.kind() == kind)
}

fn panics<T>(call: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(call)).is_err()
}

/// Interrupted at every other call, and short.
const INTERRUPTED: &[Step] = &[Fail(ErrorKind::Interrupted), Move(9)];

#[test]
fn hostile_82_would_block_at_every_call_loses_nothing() {
    let _guard = guard();
    for script in [&SCRIPTS[..], &[INTERRUPTED]].concat() {
        let (near, far) = duplex(3000);
        let mut client = WebSocket::over(near.clone().always(script), client_machine(Config::default()));
        let mut server = server(far.always(script));
        for size in fitting(script, &SIZES) {
            let message = Message::from(vec![7; size]);
            let _ = now(client.send(message.clone()));
            let echoed = (0..1_000_000).find_map(|_| {
                let _ = now(client.flush());
                if let Some(message) = now(server.recv()) {
                    // It is queued, whether or not there is room for all of it now.
                    let _ = now(server.send(message.unwrap().unwrap()));
                }
                let _ = now(server.flush());
                now(client.recv())
            });
            assert_eq!(echoed.unwrap().unwrap(), Some(message));
        }
        let report = (0..1000).find_map(|_| {
            let _ = now(server.recv());
            now(client.close(CloseCode::NORMAL, "bye"))
        });
        assert!(report.unwrap().unwrap().clean);
        near.end();
        assert!(patiently(|| server.recv()).unwrap().is_none());
        assert_eq!(server.closed().unwrap().received.unwrap().reason(), "bye");
    }
}

#[test]
fn feed_that_would_block_has_queued_nothing() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(100);
    let mut socket = WebSocket::over(end, server_machine(config(|c| c.output_high_water = 1000)));
    let fed = (0..50).filter(|_| now(socket.feed(vec![0; 300])).is_some()).count();
    assert_eq!(fed, 4);
    let mut seen = Vec::new();
    while now(socket.flush()).is_none() {
        seen.extend(peer.hear());
    }
    seen.extend(peer.hear());
    assert_eq!(seen, vec![binary(&[0; 300]); 4]);
}

#[test]
fn pongs_leave_without_the_application_sending_anything() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end.always(WORST));
    peer.ping(b"1");
    peer.send("x");
    assert_eq!(patiently(|| socket.recv()).unwrap(), Some("x".into()));
    for _ in 0..20 {
        assert!(now(socket.recv()).is_none());
    }
    assert_eq!(peer.hear(), [Seen::Pong(b"1".into())]);
}

#[test]
fn many_messages_in_one_read_are_answered_by_one_write() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end.clone());
    (0..100).for_each(|i| peer.send(i.to_string()));
    while now(socket.ready()).is_some() {
        while let Some((event, send)) = socket.connection_mut().poll_with_send().unwrap() {
            if let sansock::Event::Text(text) = event {
                send.text(&text).unwrap();
            }
        }
    }
    assert_eq!(end.log(|log| log.writes.len()), 1);
    assert_eq!(peer.hear().len(), 100);
}

#[test]
fn hostile_78_reads_stop_while_a_flooding_peer_takes_nothing() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(1 << 10);
    let mut socket = WebSocket::over(end.clone(), server_machine(config(|c| c.output_high_water = 64 << 10)));
    (0..1000).for_each(|_| peer.send(vec![0; 10_000]));
    while let Some(message) = now(socket.recv()) {
        socket.connection_mut().send(message.unwrap().unwrap()).unwrap();
    }
    assert!(end.log(|log| log.read) < 256 << 10);
}

#[test]
fn hostile_82_writes_of_nothing_are_errors() {
    let _guard = guard();
    let (_peer, end) = Peer::client(WIDE);
    end.next_writes(&[Move(1), Fail(ErrorKind::Interrupted), Zero]);
    assert!(is_io(server(end).send("x"), ErrorKind::WriteZero));
}

#[test]
fn hostile_83_a_transport_that_lies_about_lengths_breaks_nothing() {
    let _guard = guard();
    let (_peer, end) = Peer::client(WIDE);
    end.next_reads(&[Boast, Boast]);
    end.next_writes(&[Boast]);
    let mut socket = server(end);
    socket.send("taken, it says").unwrap();
    assert_eq!(socket.connection().buffered(), 0);
    // What was cleared for the read is nothing that has arrived.
    assert!(is_io(socket.recv(), ErrorKind::InvalidData));
    assert!(is_failure(socket.recv(), Failure::UnexpectedEof));
}

#[test]
fn hostile_83_a_write_that_boasts_has_taken_what_it_was_offered() {
    let _guard = guard();
    let (peer, end) = Peer::client(WIDE);
    end.next_writes(&[Boast]);
    let mut socket = server(end);
    for i in 0..40 {
        socket.connection_mut().send(vec![i; 20_000]).unwrap();
    }
    // It was offered some of the pieces: the others follow.
    socket.flush().unwrap();
    let left = peer.end.pull(WIDE);
    let all: Vec<u8> = (0..40).flat_map(|i| common::plain(0x82, &vec![i; 20_000])).collect();
    assert!(!left.is_empty() && all.ends_with(&left));
}

#[test]
fn hostile_83_a_head_that_the_transport_only_claims_is_an_error() {
    let _guard = guard();
    let (_peer, end) = Peer::client(WIDE);
    end.next_reads(&[Boast]);
    assert!(is_io(accept(end, Config::default()), ErrorKind::InvalidData));
}

#[test]
fn hostile_83_a_read_that_panics_leaves_nothing_behind() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end.clone());
    peer.send("whole");
    end.next_reads(&[Move(5), Panic]);
    assert!(panics(|| socket.recv()));
    assert_eq!(common::held(socket.connection_mut()), 5);
    assert_eq!(socket.recv().unwrap(), Some("whole".into()));
}

#[test]
fn hostile_83_after_a_write_that_panics_nothing_is_written() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end.clone());
    end.next_writes(&[Panic]);
    assert!(panics(|| socket.send("nobody knows how much of this was taken")));
    assert!(is_io(socket.flush(), ErrorKind::BrokenPipe));
    peer.ping(b"?");
    peer.send("still heard");
    assert_eq!(socket.recv().unwrap(), Some("still heard".into()));
    assert!(now(socket.recv()).is_none());
    assert_eq!(peer.end.pull(WIDE).len(), 1);
}

#[test]
fn what_the_transport_holds_back_is_flushed_by_the_next_call() {
    let _guard = guard();
    for flushes in [false, true] {
        let (mut peer, end) = Peer::client(WIDE);
        end.hold_back();
        end.next_flushes(&[Later, Fail(ErrorKind::Interrupted), Later]);
        let mut socket = server(end);
        assert!(now(socket.send("x")).is_none());
        for _ in 0..2 {
            let _ = if flushes { now(socket.flush()).map(drop) } else { now(socket.next()).map(drop) };
        }
        assert_eq!(peer.hear(), [text("x")]);
    }
}

#[test]
fn a_close_that_the_transport_holds_back_is_flushed_before_the_end() {
    let _guard = guard();
    let (mut peer, end) = Peer::server(WIDE);
    end.hold_back();
    end.next_flushes(&[Later; 5]);
    let mut socket = WebSocket::over(end, client_machine(Config::default()));
    peer.close();
    peer.end.end();
    assert!(all(&mut socket).1.is_ok());
    assert_eq!(peer.hear(), [Seen::End]);
    // A client, too, ends its side, and does not keep the server waiting until it is dropped.
    assert!(peer.end.is_ended());
}

#[test]
fn a_read_is_short_while_output_waits() {
    let _guard = guard();
    let (_peer, end) = Peer::client(10);
    let patient = config(|c| c.ping_interval = None);
    let mut socket = WebSocket::over(end.clone(), server_machine(patient));
    assert!(now(socket.next()).is_none());
    socket.connection_mut().text("longer than the transport takes").unwrap();
    assert!(now(socket.next()).is_none());
    // The first read may wait for ever, the second must not: nobody else would write the rest.
    let timeouts = end.log(|log| log.timeouts.clone());
    assert!(matches!(timeouts[..], [None, Some(short)] if short <= Duration::from_secs(1)), "{timeouts:?}");
}

#[test]
fn a_read_is_short_while_the_transport_holds_output_back() {
    let _guard = guard();
    let (_peer, end) = Peer::client(WIDE);
    end.hold_back();
    end.next_flushes(&[Later]);
    let patient = config(|c| c.ping_interval = None);
    let mut socket = WebSocket::over(end.clone(), server_machine(patient));
    socket.connection_mut().text("taken, and not on its way").unwrap();
    assert!(now(socket.next()).is_none());
    let timeouts = end.log(|log| log.timeouts.clone());
    assert!(matches!(timeouts[..], [Some(short)] if short <= Duration::from_secs(1)), "{timeouts:?}");
}

#[test]
fn a_read_is_long_again_once_all_output_has_left() {
    let _guard = guard();
    let (peer, end) = Peer::client(10);
    let mut socket = server(end.clone());
    socket.connection_mut().text("longer than the transport takes").unwrap();
    assert!(now(socket.next()).is_none());
    while socket.connection().buffered() > 0 {
        peer.end.pull(10);
        assert!(now(socket.next()).is_none());
    }
    let timeouts = end.log(|log| log.timeouts.clone());
    let [second, long] = [1, 10].map(Duration::from_secs);
    assert!(
        matches!(timeouts[..], [Some(first), .., Some(last)] if first <= second && last >= long),
        "{timeouts:?}"
    );
}

#[test]
fn a_wait_without_a_timeout_of_the_application_ends_at_the_deadlines() {
    let _guard = guard();
    let (_peer, end) = Peer::client(WIDE);
    let mut socket = server(end.clone());
    assert!(now(socket.next()).is_none());
    socket.set_timeout(None).unwrap();
    assert!(now(socket.next()).is_none());
    let timeouts = end.log(|log| log.timeouts.clone());
    let keepalive = Duration::from_secs(20);
    assert!(
        matches!(timeouts[..], [Some(before), Some(after)] if before.max(after) <= keepalive),
        "{timeouts:?}"
    );
}

#[test]
fn output_that_moves_is_a_sign_of_life_to_a_flush() {
    let _guard = guard();
    let (peer, end) = Peer::client(10);
    let zero = config(|c| (c.ping_interval, c.pong_timeout) = (Some(Duration::ZERO), Duration::ZERO));
    let mut socket = WebSocket::over(end, server_machine(zero));
    socket.connection_mut().text("longer than the transport takes").unwrap();
    // Each call looks at the clock once, and finds that it is time for another ping or for its answer.
    let flushed = patiently(|| {
        peer.end.pull(10);
        socket.flush()
    });
    assert!(flushed.is_ok(), "{flushed:?}");
}

#[test]
fn a_close_with_a_reason_that_is_too_long_does_nothing() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end);
    let outcome = socket.close(CloseCode::NORMAL, &"x".repeat(124));
    assert!(matches!(outcome, Err(Error::Send(SendError::ControlTooLong))), "{outcome:?}");
    assert_eq!(peer.hear(), []);
    socket.send("it goes on").unwrap();
    assert_eq!(peer.hear(), [text("it goes on")]);
}

#[test]
fn what_came_before_a_write_error_is_not_lost_and_no_flush_lies() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end);
    socket.feed("nobody hears this").unwrap();
    peer.ping(b"?");
    peer.send("first");
    peer.end.refuse(ErrorKind::BrokenPipe);
    assert_eq!(patiently(|| socket.recv()).unwrap(), Some("first".into()));
    assert!(is_io(socket.flush(), ErrorKind::BrokenPipe));
    assert!(is_io(socket.send("nor this"), ErrorKind::BrokenPipe));
    peer.end.end();
    assert!(is_failure(all(&mut socket).1, Failure::UnexpectedEof));
}

#[test]
fn the_peer_is_told_of_its_error_before_the_application_is() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end.always(WORST));
    peer.send("fine");
    peer.end.push(&masked(0xf2, b""));
    assert_eq!(patiently(|| socket.recv()).unwrap(), Some("fine".into()));
    socket.connection_mut().text("echo").unwrap();
    for _ in 0..100 {
        assert!(now(socket.next()).is_none());
    }
    assert_eq!(peer.hear(), [text("echo"), Seen::End]);
    assert_eq!(peer.machine.closed().unwrap().received.unwrap().code(), CloseCode::PROTOCOL_ERROR);
    peer.end.end();
    assert!(is_failure(all(&mut socket).1, Failure::Protocol(Violation::ReservedBits)));
}

#[test]
fn hostile_55_ends_with_and_without_a_close() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end);
    peer.send("last");
    peer.close();
    peer.end.reset();
    let (seen, result) = all(&mut socket);
    assert!(seen == [text("last")] && result.is_ok() && socket.closed().unwrap().clean);

    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end);
    peer.send("whole");
    peer.end.push(&masked(0x82, b"half")[..7]);
    peer.end.end();
    let (seen, result) = all(&mut socket);
    assert!(seen == [text("whole")] && is_failure(result, Failure::UnexpectedEof));
    assert!(matches!(socket.send("late"), Err(Error::Send(SendError::Closed))));
}

fn over(io: TcpStream, change: impl FnOnce(&mut Config)) -> WebSocket<TcpStream> {
    WebSocket::over(io, server_machine(config(change)))
}

fn bytes_of(command: impl FnOnce(&mut Connection)) -> Vec<u8> {
    let mut machine = client_machine(Config::default());
    command(&mut machine);
    common::output(&mut machine)
}

#[test]
fn timeouts_of_the_application_give_would_block_and_lose_nothing() {
    let _guard = guard();
    let (mut near, far) = tcp();
    near.set_nodelay(true).unwrap();
    far.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut socket = over(far, |_| {});
    for (i, byte) in bytes_of(|client| client.text("piece by piece").unwrap()).into_iter().enumerate() {
        assert!(now(socket.recv()).is_none());
        if i == 5 {
            socket.set_timeout(Some(Duration::from_millis(2))).unwrap();
        }
        near.write_all(&[byte]).unwrap();
    }
    assert_eq!(patiently(|| socket.recv()).unwrap(), Some("piece by piece".into()));
    socket.set_timeout(None).unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    assert!(is_failure(socket.recv(), Failure::UnexpectedEof));
}

#[test]
fn a_stream_that_does_not_block_is_served_by_repeated_calls() {
    let _guard = guard();
    let (near, far) = tcp();
    far.set_nonblocking(true).unwrap();
    let mut socket = over(far, |_| {});
    let talking = thread::spawn(move || {
        let mut client = WebSocket::over(near, client_machine(Config::default()));
        for size in [10, 1 << 20, 4 << 20] {
            client.send(vec![3; size]).unwrap();
            assert_eq!(client.recv().unwrap(), Some(vec![3; size].into()));
        }
        client.close(CloseCode::NORMAL, "").unwrap()
    });
    loop {
        match now(socket.recv()) {
            Some(Ok(Some(message))) => {
                let _ = now(socket.send(message));
            }
            Some(end) => break assert!(end.unwrap().is_none()),
            None => thread::yield_now(),
        }
    }
    assert!(talking.join().unwrap().clean);
}

#[test]
fn a_silent_peer_is_pinged_and_then_given_up() {
    let _guard = guard();
    let (mut near, far) = tcp();
    let mut socket = over(far, |c| {
        c.ping_interval = Some(SHORT);
        c.pong_timeout = SHORT;
        c.close_timeout = SHORT;
    });
    assert!(is_failure(socket.recv(), Failure::TimedOut(Timer::Pong)));
    drop(socket);
    let mut heard = Vec::new();
    near.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"\x89\x00\x88\x02\x03\xf0");
}

#[test]
fn hostile_54_a_closing_handshake_ends_in_time() {
    let _guard = guard();
    let (_near, far) = tcp();
    let mut socket = over(far, |c| c.close_timeout = SHORT);
    assert!(is_failure(socket.close(CloseCode::NORMAL, ""), Failure::TimedOut(Timer::Closing)));

    let (_near, far) = tcp();
    let mut socket = over(far, |c| {
        c.idle_timeout = Some(SHORT);
        c.close_timeout = SHORT;
    });
    assert!(is_failure(socket.recv(), Failure::TimedOut(Timer::Closing)));
}

/// What a peer does after its Close frame, which it sends while 64 MiB are on their way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peers {
    TakeNothing,
    HangUp,
    /// Not fast enough for the deadline.
    TakeSlowly,
}

#[test]
fn hostile_54_a_close_of_a_peer_that_does_not_take_our_output_ends_in_time() {
    let _guard = guard();
    thread::scope(|scope| {
        for peers in [Peers::TakeNothing, Peers::HangUp, Peers::TakeSlowly] {
            scope.spawn(move || {
                let (mut near, far) = tcp();
                let mut socket = over(far, |c| {
                    c.close_timeout = SHORT;
                    c.output_high_water = usize::MAX;
                });
                socket.connection_mut().send(vec![0; 64 << 20]).unwrap();
                near.write_all(&bytes_of(|client| client.close(CloseCode::NORMAL, "").unwrap())).unwrap();
                if peers == Peers::HangUp {
                    near.shutdown(Shutdown::Write).unwrap();
                }
                let (done, is_done) = mpsc::channel::<()>();
                thread::spawn(move || {
                    let mut some = vec![0; if peers == Peers::TakeSlowly { 256 << 10 } else { 0 }];
                    while is_done.recv_timeout(SHORT) == Err(RecvTimeoutError::Timeout) {
                        let _ = near.read(&mut some);
                    }
                });
                assert!(socket.recv().unwrap().is_none());
                assert!(socket.connection().buffered() > 0, "{peers:?}");
                drop(done);
            });
        }
    });
}

#[test]
fn handshakes_pass_are_refused_and_time_out() {
    let _guard = guard();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let incoming = accept_request(listener.accept().unwrap().0, Config::default()).unwrap();
        incoming.reject(Response::new(503).unwrap().body("later")).unwrap();
        let mut socket = accept(listener.accept().unwrap().0, Config::default()).unwrap();
        socket.send("welcome").unwrap();
        assert_eq!(socket.recv().unwrap(), None);
        listener
    });
    match connect(&url, Config::default()) {
        Err(Error::Refused(refused)) => assert_eq!((refused.status(), refused.body()), (503, &b"later"[..])),
        other => panic!("{other:?}"),
    }
    let mut socket = connect(&url, Config::default()).unwrap();
    assert_eq!(socket.recv().unwrap(), Some("welcome".into()));
    assert!(socket.close(CloseCode::NORMAL, "").unwrap().clean);
    drop(socket);

    let listener = serving.join().unwrap();
    let short = config(|c| c.handshake_timeout = SHORT);
    let connected = connect(&url, short.clone());
    assert!(matches!(connected, Err(Error::Handshake(HandshakeError::TimedOut))));
    // The client has hung up; another one only keeps silent.
    let _silent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let _gone = listener.accept().unwrap();
    let incoming = accept_request(listener.accept().unwrap().0, short).unwrap();
    assert!(matches!(incoming.request(), Err(rejection) if rejection.error() == HandshakeError::TimedOut));
}

#[test]
fn hostile_82_a_socket_may_be_dropped_in_the_middle_of_a_frame() {
    let _guard = guard();
    let (peer, end) = Peer::client(10);
    let mut socket = server(end);
    assert!(now(socket.send("longer than the transport takes")).is_none());
    assert!(socket.connection().buffered() > 0);
    drop(socket);
    assert_eq!(peer.end.pull(WIDE).len(), 10);
}
