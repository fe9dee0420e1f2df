//! Item 86: code of the user's panics while the library calls it, and somebody catches that. The connection
//! must then be as good as before, or have failed: bytes that never were must not be heard, and none said
//! twice.
//!
//! The library calls: the transport of a shim; the `write` of `offer`; conversions `Into<Message>` and
//! `Into<Data>`; the function of `split_with`; and the destructor of a payload that the user owns.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Buf, Bytes};
use sansock::{CloseCode, Config, Connection, Data, Message, Output, SendError, blocking, tokio};

use crate::common::{Seen, binary, client, events, feed, give, masked, output, plain, server, text};
use crate::io::{End, Kind, Peer, client_machine, guard, poll_once, server_machine};

/// Whether this panics.
fn panics<T>(run: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

/// One turn of an echo that never waits: false when it is over.
trait Turn {
    fn turn(&mut self) -> bool;
}

impl Turn for tokio::WebSocket<End> {
    fn turn(&mut self) -> bool {
        match poll_once(self.recv()) {
            Some(Ok(Some(message))) => {
                let _queued = poll_once(self.send(message));
                true
            }
            Some(_) => false,
            None => true,
        }
    }
}

impl Turn for blocking::WebSocket<End> {
    fn turn(&mut self) -> bool {
        match self.recv() {
            Ok(Some(message)) => {
                // What has no room now goes with the next call.
                let _queued = self.send(message);
                true
            }
            Err(blocking::Error::Io(error)) => error.kind() == ErrorKind::WouldBlock,
            Ok(None) | Err(_) => false,
        }
    }
}

/// What a peer hears from an echo whose transport panics once; and whether it did.
fn echoes<S: Turn>((mut peer, end): (Peer, End), over: impl FnOnce(End) -> S) -> (Vec<Seen>, bool) {
    let mut socket = over(end);
    let mut heard = Vec::new();
    let (mut has_panicked, mut step) = (false, 0);
    for _ in 0..200 {
        match step {
            0 => peer.send("first"),
            3 => peer.send(vec![7; 5000]),
            5 => peer.ping(b"?"),
            9 => {
                // A frame that arrives in two parts.
                peer.machine.binary(&[8; 300]).unwrap();
                let bytes = output(&mut peer.machine);
                peer.end.push(&bytes[..100]);
                assert!(catch(&mut socket, &mut has_panicked) && catch(&mut socket, &mut has_panicked));
                peer.end.push(&bytes[100..]);
            }
            14 => peer.close(),
            18 => peer.end.end(),
            _ => {}
        }
        step += 1;
        let goes_on = catch(&mut socket, &mut has_panicked);
        heard.extend(peer.hear());
        if !goes_on {
            // The end is said each time that it is asked for.
            heard.dedup();
            return (heard, has_panicked);
        }
    }
    panic!("it comes to no end");
}

/// A turn, or a panic in the middle of one.
fn catch(socket: &mut impl Turn, has_panicked: &mut bool) -> bool {
    let mut goes_on = true;
    *has_panicked |= panics(|| goes_on = socket.turn());
    goes_on
}

/// Has one call after the other panic, and compares with a conversation in which none does: what is received
/// stays as it is, and what is sent ends where a write has panicked.
fn assert_nothing_is_wrong<S: Turn>(peer: impl Fn() -> (Peer, End), over: impl Fn(End) -> S) {
    let (expected, _) = echoes(peer(), &over);
    let frames = [text("first"), binary(&[7; 5000]), Seen::Pong(b"?".into()), binary(&[8; 300])];
    assert!(frames.iter().all(|frame| expected.contains(frame)), "{expected:?}");
    for kind in [Kind::Read, Kind::Write, Kind::Flush] {
        let mut calls = 0;
        loop {
            let (peer, end) = peer();
            end.panic_after(calls, kind);
            let (heard, has_panicked) = echoes((peer, end), &over);
            if kind == Kind::Read || !has_panicked {
                assert_eq!(heard, expected, "{kind:?} {calls}");
            } else {
                // Nobody knows what the transport has taken: nothing follows.
                assert!(expected.starts_with(&heard), "{kind:?} {calls}");
            }
            if !has_panicked {
                break;
            }
            calls += 1;
        }
        assert!(calls > 3, "{kind:?}: {calls}");
    }
}

#[test]
fn hostile_86_a_tokio_transport_that_panics() {
    let _guard = guard();
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    assert_nothing_is_wrong(
        || Peer::client(2000),
        |end| tokio::WebSocket::over(end, server_machine(Config::default())),
    );
    assert_nothing_is_wrong(
        || Peer::server(2000),
        |end| tokio::WebSocket::over(end, client_machine(Config::default())),
    );
}

#[test]
fn hostile_86_a_blocking_transport_that_panics() {
    let _guard = guard();
    assert_nothing_is_wrong(
        || Peer::client(2000),
        |end| blocking::WebSocket::over(end, server_machine(Config::default())),
    );
    assert_nothing_is_wrong(
        || Peer::server(2000),
        |end| blocking::WebSocket::over(end, client_machine(Config::default())),
    );
}

#[test]
fn hostile_86_a_write_of_offer_that_panics() {
    for mut connection in [server(), client()] {
        let is_called = panics(|| connection.offer("never", |_, _| panic!("no transport")));
        // A client's frame has to be masked, so it is queued and nothing is called.
        let (mut peer, expected, outcome) = if is_called {
            (client(), vec![], Err(SendError::Closed))
        } else {
            (server(), vec![text("never"), text("next")], Ok(()))
        };
        assert_eq!(connection.offer("next", |_, _| 0), outcome);
        assert_eq!(feed(&mut peer, &output(&mut connection), &[1]), expected);
    }
}

#[test]
fn hostile_86_a_write_of_offer_that_panics_halfway() {
    let mut transport = Vec::new();
    let mut connection = server();
    assert!(panics(|| connection.offer("half", |head, _| {
        transport.extend_from_slice(head);
        panic!("no transport")
    })));
    // Whatever followed would be taken for the payload.
    assert_eq!(connection.text("next"), Err(SendError::Closed));
    give(&mut connection, &masked(0x89, b"ping"));
    assert_eq!(events(&mut connection), [Seen::Ping(b"ping".into())]);
    assert_eq!(connection.close(CloseCode::NORMAL, ""), Err(SendError::Closed));
    give(&mut connection, &masked(0x88, b""));
    assert_eq!(events(&mut connection), [Seen::End]);
    assert_eq!(connection.buffered(), 0);
    let (_, mut send) = connection.split();
    let mut wire = send.fork();
    wire.append(&mut send).unwrap();
    assert_eq!((wire.is_closed(), wire.text("next")), (true, Err(SendError::Closed)));
}

/// What cannot be made into data.
struct Unsound;

impl From<Unsound> for Message {
    fn from(_: Unsound) -> Self {
        panic!("no message");
    }
}

impl From<Unsound> for Data<'_> {
    fn from(_: Unsound) -> Self {
        panic!("no data");
    }
}

#[test]
fn hostile_86_a_conversion_that_panics() {
    let calls: [fn(&mut Connection); 4] = [
        |connection| connection.send(Unsound).unwrap(),
        |connection| connection.offer(Unsound, |_, _| 0).unwrap(),
        |connection| connection.fragment(Unsound).unwrap(),
        |connection| connection.last_fragment(Unsound).unwrap(),
    ];
    for call in calls {
        for (mut connection, mut peer) in [(server(), client()), (client(), server())] {
            assert!(panics(|| call(&mut connection)));
            // No message is open, and nothing of one is queued.
            assert_eq!(connection.buffered(), 0);
            connection.text("next").unwrap();
            assert_eq!(feed(&mut peer, &output(&mut connection), &[1]), [text("next")]);
        }
    }
}

#[test]
fn hostile_86_a_function_that_panics_while_a_socket_is_split() {
    let (peer, end) = Peer::client(100);
    let socket = blocking::WebSocket::over(end.clone(), server_machine(Config::default()));
    assert!(panics(|| socket.split_with(|_| -> (End, End) { panic!("it cannot be split") })));
    drop(end);
    assert_eq!(peer.end.pull(100), b"", "the socket is gone, and has said nothing");
}

/// A payload whose owner cannot bear to let go.
struct Owner(Vec<u8>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "an owner that panics");
    }
}

#[test]
fn hostile_86_an_owner_of_a_payload_that_panics_when_it_is_written() {
    let payload = |first: u8| [&[first][..], &[7; 5000]].concat();
    let sent: Vec<Vec<u8>> =
        (0..3).flat_map(|i| [plain(0x82, &payload(i)), plain(0x81, b"between")]).collect();
    let sent = sent.concat();
    for step in [1, 100, 4000, 5010, 6000, 10_020, 12_000, usize::MAX] {
        let mut server = server();
        for i in 0..3 {
            server.send(Bytes::from_owner(Owner(payload(i)))).unwrap();
            server.text("between").unwrap();
        }
        let (mut written, mut count) = (Vec::new(), 0);
        while server.output().has_remaining() {
            // As a driver does it: a vectored write, then it tells what the transport took.
            let mut pieces = [std::io::IoSlice::new(&[]); 8];
            let output: &Output = server.output();
            let len = output.chunks_vectored(&mut pieces);
            let bytes = pieces[..len].iter().flat_map(|piece| piece.iter().copied());
            let before = written.len();
            written.extend(bytes.take(step));
            let taken = written.len() - before;
            assert!(taken > 0, "nothing to write, though something remains");
            count += usize::from(panics(|| server.output().advance(taken)));
        }
        assert!((1..=3).contains(&count), "{count}");
        assert!(written == sent, "steps of {step}");
        assert_eq!(server.buffered(), 0);
        server.text("next").unwrap();
        assert_eq!(output(&mut server), plain(0x81, b"next"));
    }
}

#[test]
fn hostile_86_an_owner_of_a_payload_that_panics_when_it_is_copied() {
    // A client masks what it sends, so the owner is dropped at once, when all is queued.
    let mut client = client();
    assert!(panics(|| client.send(Bytes::from_owner(Owner(vec![7; 5000])))));
    client.text("next").unwrap();
    let mut peer = server();
    assert_eq!(feed(&mut peer, &output(&mut client), &[1000]), [binary(&[7; 5000]), text("next")]);
}

#[test]
fn hostile_86_an_application_that_panics_while_an_event_is_lent() {
    for (mut connection, frames) in [
        (server(), [masked(0x81, b"one"), masked(0x89, b"?"), masked(0x82, b"two")]),
        (client(), [plain(0x81, b"one"), plain(0x89, b"?"), plain(0x82, b"two")]),
    ] {
        crate::common::give(&mut connection, &frames.concat());
        assert!(panics(|| panic!("in the middle of {:?}", connection.poll_event())));
        // That event is taken, and no other.
        assert_eq!(events(&mut connection), [Seen::Ping(b"?".into()), binary(b"two")]);
        assert!(connection.buffered() > 0, "the pong");
    }
}
