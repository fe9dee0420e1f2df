//! Items 53 to 55 with the shims: over transports in memory, and the clock of tokio's that jumps; the blocking
//! shim's deadlines, which have no other clock than the world's, over TCP.

use std::io::{ErrorKind, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use sansock::handshake::client::ClientRequest;
use sansock::{CloseCode, CloseReport, Config, Connection, Endpoint, Error as Failure, Timer};
use sansock::{blocking, tokio as asynchronous};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

use super::{Role, closing};
use crate::common::{Seen, binary, text};
use crate::io::{
    End, Peer, client_machine, config, duplex, guard, poll_once, poll_times, server_machine, tcp,
};

const WIDE: usize = usize::MAX;
const SHORT: Duration = Duration::from_millis(40);

/// A peer, and this end of the transport.
fn scene(role: Role, room: usize) -> (Peer, End) {
    match role {
        Role::Server => Peer::client(room),
        Role::Client => Peer::server(room),
    }
}

fn machine(role: Role, config: Config) -> Connection {
    match role {
        Role::Server => server_machine(config),
        Role::Client => client_machine(config),
    }
}

/// A socket of each shim, over a transport in memory.
fn over_tokio(role: Role, end: End) -> asynchronous::WebSocket<End> {
    asynchronous::WebSocket::over(end, machine(role, Config::default()))
}

fn over_blocking(role: Role, end: End) -> blocking::WebSocket<End> {
    blocking::WebSocket::over(end, machine(role, Config::default()))
}

/// All that a socket says, up to its end or its error.
async fn all(socket: &mut asynchronous::WebSocket<End>) -> (Vec<Seen>, Result<(), asynchronous::Error>) {
    let mut seen = Vec::new();
    loop {
        match socket.next().await {
            Ok(Some(event)) => seen.push(event.into()),
            Ok(None) => return (seen, Ok(())),
            Err(error) => return (seen, Err(error)),
        }
    }
}

/// The same of one that has all its bytes, but may have to be asked again.
fn all_at_once(socket: &mut blocking::WebSocket<End>) -> (Vec<Seen>, Result<(), blocking::Error>) {
    let mut seen = Vec::new();
    for _ in 0..10_000 {
        match socket.next() {
            Ok(Some(event)) => seen.push(event.into()),
            Ok(None) => return (seen, Ok(())),
            Err(blocking::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return (seen, Err(error)),
        }
    }
    panic!("it never comes to an end")
}

fn is_failure(result: &Result<(), blocking::Error>, expected: Failure) -> bool {
    matches!(result, Err(blocking::Error::Connection(error)) if *error == expected)
}

/// What a peer does about our Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peers {
    KeepSilent,
    /// A ping now and then, to seem alive.
    Trickle,
    TakeNothing,
    /// They answer, and leave the transport open.
    NeverHangUp,
}

const PEERS: [Peers; 4] = [Peers::KeepSilent, Peers::Trickle, Peers::TakeNothing, Peers::NeverHangUp];

/// How a close must end that is up to the deadline.
fn is_due(peers: Peers, closed: &Result<CloseReport, blocking::Error>) -> bool {
    match closed {
        Ok(report) => peers == Peers::NeverHangUp && report.clean && report.began == Endpoint::Local,
        Err(blocking::Error::Connection(error)) => {
            peers != Peers::NeverHangUp && *error == Failure::TimedOut(Timer::Closing)
        }
        Err(_) => false,
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_54_closing_over_tokio_ends_at_the_deadline() {
    let _guard = guard();
    for role in Role::BOTH {
        for peers in PEERS {
            let (mut peer, end) = scene(role, if peers == Peers::TakeNothing { 10 } else { WIDE });
            let mut socket = over_tokio(role, end);
            if peers == Peers::TakeNothing {
                assert!(poll_once(socket.send("longer than the transport takes")).is_none());
            }
            let start = Instant::now();
            let closing = tokio::spawn(async move { socket.close(CloseCode::NORMAL, "").await });
            while !closing.is_finished() {
                match peers {
                    Peers::Trickle => peer.ping(b"wait"),
                    Peers::NeverHangUp => drop(peer.hear()),
                    Peers::KeepSilent | Peers::TakeNothing => {}
                }
                sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(start.elapsed().as_secs(), 5, "{role:?} {peers:?}");
            assert!(is_due(peers, &closing.await.unwrap()), "{role:?} {peers:?}");
        }
    }
}

#[test]
fn hostile_54_closing_over_a_blocking_transport_ends_at_the_deadline() {
    let _guard = guard();
    thread::scope(|scope| {
        for (role, peers) in Role::BOTH.into_iter().flat_map(|role| PEERS.map(|peers| (role, peers))) {
            scope.spawn(move || {
                let (mut near, far) = tcp();
                let config = config(|config| config.close_timeout = SHORT);
                let mut socket = blocking::WebSocket::over(far, machine(role, config));
                match peers {
                    Peers::NeverHangUp => near.write_all(&role.close_of_peer(1000, b"")).unwrap(),
                    // More than the kernel holds.
                    Peers::TakeNothing => socket.connection_mut().send(vec![0; 64 << 20]).unwrap(),
                    Peers::KeepSilent | Peers::Trickle => {}
                }
                let (done, is_done) = mpsc::channel::<()>();
                thread::spawn(move || {
                    while is_done.recv_timeout(SHORT / 10) == Err(RecvTimeoutError::Timeout) {
                        if peers == Peers::Trickle {
                            let _ = near.write_all(&role.of_peer(0x89, b"wait"));
                        }
                    }
                });
                assert!(is_due(peers, &socket.close(CloseCode::NORMAL, "")), "{role:?} {peers:?}");
                drop(done);
            });
        }
    });
}

#[tokio::test(start_paused = true)]
async fn hostile_54_both_close_at_once_over_tokio() {
    let _guard = guard();
    let (near, far) = duplex(WIDE);
    let (mut client, mut server) = (over_tokio(Role::Client, near), over_tokio(Role::Server, far));
    let start = Instant::now();
    let (one, other) =
        tokio::join!(client.close(CloseCode::NORMAL, "client"), server.close(CloseCode::POLICY, "server"));
    let (client, server) = (one.unwrap(), other.unwrap());
    assert_eq!((client.code(), server.code(), client.clean, server.clean), (1008, 1000, true, true));
    assert_eq!(start.elapsed(), Duration::ZERO, "neither waits for its deadline");
}

#[test]
fn hostile_54_both_close_at_once_over_blocking_transports() {
    let _guard = guard();
    let (near, far) = tcp();
    let mut server = blocking::WebSocket::over(far, server_machine(Config::default()));
    // Its Close frame is on its way before the other end has read anything.
    server.connection_mut().close(CloseCode::POLICY, "server").unwrap();
    server.flush().unwrap();
    let mut client = blocking::WebSocket::over(near, client_machine(Config::default()));
    client.connection_mut().close(CloseCode::NORMAL, "client").unwrap();
    client.flush().unwrap();
    let closing = thread::spawn(move || client.close(CloseCode::NORMAL, "").unwrap());
    let server = server.close(CloseCode::NORMAL, "").unwrap();
    let client = closing.join().unwrap();
    assert_eq!((client.code(), server.code(), client.clean, server.clean), (1008, 1000, true, true));
}

/// Has the peer ping before it has seen the Close frame, and close then.
async fn ping_and_close(role: Role, mut peer: Peer) {
    sleep(Duration::from_millis(10)).await;
    let close = peer.end.pull(WIDE);
    assert_eq!(role.frames(&close), [closing(1000)]);
    peer.ping(b"?");
    sleep(Duration::from_millis(10)).await;
    assert_eq!(role.frames(&peer.end.pull(WIDE)), [(0x8a, b"?".to_vec())]);
    peer.end.give_back(&close);
    assert_eq!(peer.hear(), [Seen::End]);
    peer.end.end();
}

#[tokio::test(start_paused = true)]
async fn hostile_54_a_ping_while_closing_is_answered_by_each_kind_of_socket() {
    let _guard = guard();
    for role in Role::BOTH {
        let (peer, end) = scene(role, WIDE);
        let closing = tokio::spawn(async move { over_tokio(role, end).close(CloseCode::NORMAL, "").await });
        ping_and_close(role, peer).await;
        assert!(closing.await.unwrap().unwrap().clean);

        let (peer, end) = scene(role, WIDE);
        let (mut reader, mut writer) = over_tokio(role, end).split_with(tokio::io::split);
        let reading = tokio::spawn(async move {
            while reader.next().await.unwrap().is_some() {}
            reader.closed().unwrap()
        });
        writer.close(CloseCode::NORMAL, "").await.unwrap();
        ping_and_close(role, peer).await;
        assert!(reading.await.unwrap().clean);

        let (peer, end) = scene(role, WIDE);
        let mut socket = over_blocking(role, end);
        socket.connection_mut().close(CloseCode::NORMAL, "").unwrap();
        let reading = tokio::spawn(async move {
            while !socket.connection().is_ended() {
                let _event_or_nothing_yet = socket.next();
                sleep(Duration::from_millis(1)).await;
            }
            socket.connection().closed().unwrap()
        });
        ping_and_close(role, peer).await;
        assert!(reading.await.unwrap().clean);
    }
}

/// What a peer sends before it is gone; the last of them are not whole.
fn cut_off(role: Role) -> [Vec<u8>; 6] {
    let frame = role.of_peer(0x82, b"half");
    let close = role.close_of_peer(1000, b"why");
    [
        Vec::new(),
        frame[..1].to_vec(),
        frame[..frame.len() - 1].to_vec(),
        role.of_peer(0x01, b"a fragment"),
        [role.of_peer(0x02, b"a fragment"), role.of_peer(0x89, b"?"), vec![0x80]].concat(),
        close[..close.len() - 1].to_vec(),
    ]
}

#[tokio::test(start_paused = true)]
async fn hostile_55_an_end_without_a_close_in_each_state() {
    let _guard = guard();
    for role in Role::BOTH {
        for cut in cut_off(role) {
            let (mut peer, end) = scene(role, WIDE);
            peer.send("whole");
            peer.end.push(&cut);
            peer.end.end();
            // Both shims, one after the other, over what is the same.
            let mut socket = over_tokio(role, end);
            let (seen, result) = all(&mut socket).await;
            assert_eq!(seen.first(), Some(&text("whole")));
            assert!(is_failure(&result, Failure::UnexpectedEof), "{role:?} {cut:x?}");
            assert_eq!(socket.closed().unwrap().code(), 1006);

            let (mut peer, end) = scene(role, WIDE);
            peer.send("whole");
            peer.end.push(&cut);
            peer.end.end();
            let mut socket = over_blocking(role, end);
            assert_eq!(all_at_once(&mut socket).0, seen);
            assert!(is_failure(&socket.next().map(drop), Failure::UnexpectedEof));
            assert_eq!(socket.closed().unwrap().code(), 1006);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_55_a_peer_that_half_closes_and_reads_on() {
    let _guard = guard();
    let large = vec![7; 100_000];
    for role in Role::BOTH {
        let (mut peer, end) = scene(role, 1000);
        let mut socket = over_tokio(role, end);
        socket.connection_mut().binary(&large).unwrap();
        socket.connection_mut().text("and this").unwrap();
        peer.end.end();
        let ending = tokio::spawn(async move { all(&mut socket).await });
        let mut taken = Vec::new();
        while !ending.is_finished() {
            taken.extend(peer.end.pull(WIDE));
            sleep(Duration::from_millis(1)).await;
        }
        let (seen, result) = ending.await.unwrap();
        assert!(seen.is_empty() && is_failure(&result, Failure::UnexpectedEof));
        taken.extend(peer.end.pull(WIDE));
        peer.end.give_back(&taken);
        assert!(peer.hear() == [binary(&large), text("and this")], "{role:?}");

        let (mut peer, end) = scene(role, 1000);
        let mut socket = over_blocking(role, end);
        socket.connection_mut().binary(&large).unwrap();
        peer.end.end();
        let mut taken = Vec::new();
        while socket.connection().buffered() > 0 {
            let _ = socket.next();
            taken.extend(peer.end.pull(WIDE));
        }
        let (seen, result) = all_at_once(&mut socket);
        assert!(seen.is_empty() && is_failure(&result, Failure::UnexpectedEof));
        peer.end.give_back(&taken);
        assert!(peer.hear() == [binary(&large)], "{role:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_55_a_pong_that_cannot_be_written() {
    let _guard = guard();
    let expected = [Seen::Ping(b"?".into()), text("first"), Seen::Ping(b"?".into()), text("second")];
    let speak = |role| {
        let (mut peer, end) = scene(role, WIDE);
        for said in ["first", "second"] {
            peer.ping(b"?");
            peer.send(said);
        }
        // It has gone: what it had sent is here, and nothing goes there.
        peer.end.refuse(ErrorKind::BrokenPipe);
        peer.end.end();
        end
    };
    for role in Role::BOTH {
        let mut socket = over_tokio(role, speak(role));
        let (seen, result) = all(&mut socket).await;
        assert_eq!(seen, expected);
        assert!(is_failure(&result, Failure::UnexpectedEof));
        assert_eq!(socket.connection().buffered(), 0);

        let mut socket = over_blocking(role, speak(role));
        let (seen, result) = all_at_once(&mut socket);
        assert_eq!(seen, expected);
        assert!(is_failure(&result, Failure::UnexpectedEof));
        assert_eq!(socket.connection().buffered(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_55_a_handshake_that_is_given_up_ends_its_transport() {
    // Before it is done there is no socket to close: what there is to close is dropped.
    let _guard = guard();
    let request = || ClientRequest::new("ws://example.com/").unwrap();
    for polls in 1..3 {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let connecting = asynchronous::connect_over(near, request(), Config::default());
        assert!(poll_times(polls, connecting).is_none());
        let mut sent = String::new();
        far.read_to_string(&mut sent).await.unwrap();
        assert!(sent.starts_with("GET / HTTP/1.1\r\n") && sent.ends_with("\r\n\r\n"));

        // A request that is neither accepted nor rejected gets no answer but the end.
        let (near, mut far) = tokio::io::duplex(1 << 16);
        assert!(poll_times(polls, asynchronous::accept_request(near, Config::default())).is_none());
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
        let (near, mut far) = tokio::io::duplex(1 << 16);
        tokio::io::AsyncWriteExt::write_all(&mut far, sent.as_bytes()).await.unwrap();
        let incoming = asynchronous::accept_request(near, Config::default()).await.unwrap();
        assert!(incoming.request().is_ok());
        drop(incoming);
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_55_a_close_right_behind_the_handshake() {
    let _guard = guard();
    let (near, far) = tokio::io::duplex(1 << 16);
    let request = ClientRequest::new("ws://example.com/").unwrap();
    let serving = async {
        let mut socket = asynchronous::accept(far, Config::default()).await.unwrap();
        socket.close(CloseCode::TRY_AGAIN, "full").await.unwrap()
    };
    let connecting = async {
        let mut socket = asynchronous::connect_over(near, request, Config::default()).await.unwrap();
        assert!(socket.recv().await.unwrap().is_none());
        socket.closed().unwrap()
    };
    let (server, client) = tokio::join!(serving, connecting);
    assert!(server.clean && client.clean);
    assert_eq!((client.code(), client.received.unwrap().reason()), (1013, "full"));
}
