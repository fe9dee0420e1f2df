//! Items 76 and 79: many connections, and many that never become one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use bytes::{Buf, BufMut};
use sansock::handshake::HandshakeError;
use sansock::handshake::client::{self, ClientRequest, Outcome};
use sansock::handshake::server::{self, Accept};
use sansock::tokio as shim;
use sansock::{Config, Connection, Timestamp, blocking};

use crate::common::{Seen, binary, drain, events, give, masked, plain};
use crate::counting::{HELD, held};
use crate::io::{End, client_machine, config, duplex, guard, poll_once};
use crate::{ROLES, runtime};

const NOW: Timestamp = Timestamp::EPOCH;

fn request() -> ClientRequest {
    ClientRequest::new("ws://example.com/").unwrap()
}

/// A client and a server that have shaken hands.
fn pair() -> [Connection; 2] {
    let mut client = client::Handshake::new(request(), Config::default(), [7; 32], NOW);
    let mut server = server::Handshake::new(Config::default(), NOW);
    server.input().put(client.output());
    let mut server = server.poll().unwrap().unwrap().accept(Accept::new(), NOW).unwrap();
    client.input().put(server.output());
    let Some(Outcome::Established(established)) = client.poll().unwrap() else { panic!("not established") };
    let mut pair = [established.into_connection(NOW), server];
    pair.iter_mut().for_each(Connection::handle_would_block);
    pair
}

/// What a connection at rest has besides its own size: what is rarely looked at, and a client its keys.
const REST: isize = 104 + 320;

#[test]
fn hostile_76_ten_thousand_connections_at_rest() {
    let own = size_of::<Connection>() as isize;
    let (_pairs, both, _) = held(|| (0..5_000).map(|_| pair()).collect::<Box<[_]>>());
    let each = both / 10_000 - own;
    assert!(each <= REST, "{each}");
    for (new, encode, _) in ROLES {
        let (mut connections, fresh, _) =
            held(|| (0..10_000).map(|_| new(Config::default())).collect::<Box<[_]>>());
        assert!(fresh / 10_000 - own <= REST, "{}", fresh / 10_000);
        let (message, ping) = (encode(0x82, &[7; 1000]), encode(0x89, b"?"));
        let ((), more, _) = held(|| {
            for connection in &mut connections {
                give(connection, &message);
                give(connection, &ping);
                assert_eq!(events(connection), [binary(&[7; 1000]), Seen::Ping(b"?".into())]);
                connection.binary(&[7; 1000]).unwrap();
                drain(connection);
                connection.handle_would_block();
            }
        });
        assert_eq!(more, 0, "what has passed leaves nothing behind");
    }
}

/// Twice as many files fit into the usual limit of a process.
const SOCKETS: usize = 300;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Reads the response, and nothing behind it.
fn hear(peer: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        peer.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
}

/// Sends a message, and takes it back.
fn exchange(peer: &mut TcpStream, echo: impl FnOnce()) {
    peer.write_all(&masked(0x82, &[7; 1000])).unwrap();
    echo();
    let mut answer = [0; 1004];
    peer.read_exact(&mut answer).unwrap();
    assert!(answer[4..] == [7; 1000]);
}

#[test]
fn hostile_76_hundreds_of_blocking_sockets_at_rest() {
    let _guard = guard();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut sockets, fresh, _) = held(|| {
        let open = |_| {
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            peer.write_all(REQUEST).unwrap();
            let socket = blocking::accept(listener.accept().unwrap().0, Config::default()).unwrap();
            hear(&mut peer);
            (peer, socket)
        };
        (0..SOCKETS).map(open).collect::<Box<[_]>>()
    });
    // One thread has them all; each answers, and rests again.
    let ((), used, _) = held(|| {
        for (peer, socket) in &mut sockets {
            exchange(peer, || {
                let message = socket.recv().unwrap().unwrap();
                socket.send(message).unwrap();
            });
            socket.io().set_nonblocking(true).unwrap();
            assert!(socket.recv().is_err(), "it would block");
        }
    });
    let each = (fresh + used) / SOCKETS as isize;
    assert!(each <= 1 << 10, "{each}");
}

#[test]
fn hostile_76_hundreds_of_tokio_sockets_at_rest() {
    let _guard = guard();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peers = std::thread::spawn(move || {
        let open = || {
            let mut peer = TcpStream::connect(address).unwrap();
            peer.write_all(REQUEST).unwrap();
            hear(&mut peer);
            peer
        };
        let mut peers: Vec<_> = (0..SOCKETS).map(|_| open()).collect();
        // All are open, and each of them answers.
        peers.iter_mut().rev().for_each(|peer| exchange(peer, || {}));
    });
    runtime().block_on(async {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let mut serving = Vec::new();
        for _ in 0..SOCKETS {
            let (io, _) = listener.accept().await.unwrap();
            serving.push(tokio::spawn(async move {
                let mut socket = shim::accept(io, Config::default()).await.unwrap();
                while let Ok(Some(message)) = socket.recv().await {
                    socket.send(message).await.unwrap();
                }
            }));
        }
        for socket in serving {
            socket.await.unwrap();
        }
    });
    peers.join().unwrap();
}

const HALF_OPEN: usize = 1000;

/// How far a peer comes before it falls silent: not at all, into the first line, almost to the end.
fn beginnings(first_line: &str) -> [Vec<u8>; 4] {
    let fields = format!("X: {}\r\n", "x".repeat(90)).repeat(90);
    ["", &first_line[..8], &format!("{first_line}Host: a\r\n"), &format!("{first_line}{fields}")]
        .map(|beginning| beginning.as_bytes().to_vec())
}

/// What a handshake may keep, besides its own size: twice what has come, and what it has to say or to expect.
fn most(beginning: &[u8]) -> isize {
    (2 * beginning.len() + (1 << 10)) as isize
}

#[test]
fn hostile_79_a_thousand_half_open_handshakes_of_a_server() {
    let deadline = NOW + Config::default().handshake_timeout;
    for beginning in beginnings("GET / HTTP/1.1\r\n") {
        let (mut handshakes, kept, _) = held(|| {
            let begin = |_| {
                let mut handshake = server::Handshake::new(Config::default(), NOW);
                handshake.input().put_slice(&beginning);
                assert!(handshake.poll().unwrap().is_none());
                handshake
            };
            (0..HALF_OPEN).map(begin).collect::<Box<[_]>>()
        });
        let each = kept / HALF_OPEN as isize - size_of::<server::Handshake>() as isize;
        assert!(each <= most(&beginning), "{each}");
        for handshake in &mut handshakes {
            assert_eq!(handshake.poll_timeout(), Some(deadline));
            handshake.handle_timeout(deadline);
            assert_eq!(handshake.poll().unwrap_err().error(), HandshakeError::TimedOut);
        }
    }
}

#[test]
fn hostile_79_a_thousand_half_open_handshakes_of_a_client() {
    let deadline = NOW + Config::default().handshake_timeout;
    for beginning in beginnings("HTTP/1.1 101 \r\n") {
        let (mut handshakes, kept, _) = held(|| {
            let begin = |_| {
                let mut handshake = client::Handshake::new(request(), Config::default(), [7; 32], NOW);
                handshake.output().advance(usize::MAX);
                handshake.input().put_slice(&beginning);
                assert!(handshake.poll().unwrap().is_none());
                handshake
            };
            (0..HALF_OPEN).map(begin).collect::<Box<[_]>>()
        });
        let each = kept / HALF_OPEN as isize - size_of::<client::Handshake>() as isize;
        assert!(each <= most(&beginning), "{each}");
        for handshake in &mut handshakes {
            assert_eq!(handshake.poll_timeout(), Some(deadline));
            handshake.handle_timeout(deadline);
            assert_eq!(handshake.poll().unwrap_err(), HandshakeError::TimedOut);
        }
    }
}

/// The task of a handshake, with a read's room and its timer.
const TASK: isize = 4 << 10;

/// Has a thousand handshakes wait for peers that say only this much, and sees all of them end in time.
async fn wait_for_silence<F>(beginning: Vec<u8>, handshake: impl Fn(End) -> F)
where
    F: Future<Output = bool> + Send + 'static,
{
    let ends: Vec<_> = (0..HALF_OPEN).map(|_| duplex(usize::MAX)).collect();
    for (_, peer) in &ends {
        peer.push(&beginning);
    }
    let started = tokio::time::Instant::now();
    let before = HELD.get();
    let tasks: Box<[_]> = ends.iter().map(|(near, _)| tokio::spawn(handshake(near.clone()))).collect();
    tokio::time::sleep(Duration::from_secs(9)).await;
    let each = (HELD.get() - before) / HALF_OPEN as isize;
    assert!(each <= most(&beginning) + TASK, "{each}");
    assert!(tasks.iter().all(|task| !task.is_finished()));
    for task in tasks {
        assert!(task.await.unwrap(), "it ended in another way");
    }
    // A server's answer has two seconds to be read.
    assert!(started.elapsed() <= Duration::from_secs(12));
}

#[tokio::test(start_paused = true)]
async fn hostile_79_a_thousand_half_open_handshakes_over_tokio() {
    let _guard = guard();
    for beginning in beginnings("GET / HTTP/1.1\r\n") {
        wait_for_silence(beginning, |end| async {
            let accepted = shim::accept(end, Config::default()).await;
            matches!(accepted, Err(shim::Error::Handshake(HandshakeError::TimedOut)))
        })
        .await;
    }
    for beginning in beginnings("HTTP/1.1 101 \r\n") {
        wait_for_silence(beginning, |end| async {
            let connected = shim::connect_over(end, request(), Config::default()).await;
            matches!(connected, Err(shim::Error::Handshake(HandshakeError::TimedOut)))
        })
        .await;
    }
}

#[test]
fn hostile_79_half_open_handshakes_over_blocking_sockets() {
    let _guard = guard();
    // Each has a thread of its own.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let short = || config(|config| config.handshake_timeout = Duration::from_millis(50));
    let handshakes = (0..100).map(|i| {
        let mut silent = TcpStream::connect(address).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        thread::spawn(move || {
            let error = if i % 2 == 0 {
                silent.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
                let incoming = blocking::accept_request(accepted, short()).unwrap();
                incoming.request().unwrap_err().error()
            } else {
                silent.write_all(b"HTTP/1.1 101 \r\nUpgrade:").unwrap();
                match blocking::connect_over(accepted, request(), short()) {
                    Err(blocking::Error::Handshake(error)) => error,
                    other => panic!("{other:?}"),
                }
            };
            drop(silent);
            error
        })
    });
    for handshake in handshakes.collect::<Vec<_>>() {
        assert_eq!(handshake.join().unwrap(), HandshakeError::TimedOut);
    }
}

#[test]
fn hostile_76_hundreds_of_halves_at_rest() {
    let _guard = guard();
    let runtime = runtime();
    let _entered = runtime.enter();
    let message = plain(0x82, &[7; 1000]);
    let transport = || {
        let (near, far) = duplex(100_000);
        near.push(&message);
        (near, far)
    };
    // As large as the transport is in memory once all has passed.
    let heard = |near: End| {
        assert!(near.pull(100_000).len() > 5000);
        near
    };
    let tokio_halves = || {
        let (near, far) = transport();
        let socket = shim::WebSocket::over(far, client_machine(Config::default()));
        let (mut reader, mut writer) = socket.split_with(|io| (io.clone(), io));
        poll_once(writer.send(vec![7; 5000])).unwrap().unwrap();
        assert!(poll_once(reader.recv()).unwrap().unwrap().is_some());
        assert!(poll_once(reader.recv()).is_none());
        (heard(near), reader, writer)
    };
    let blocking_halves = || {
        let (near, far) = transport();
        let socket = blocking::WebSocket::over(far, client_machine(Config::default()));
        let (mut reader, mut writer) = socket.split_with(|io| (io.clone(), io));
        writer.send(vec![7; 5000]).unwrap();
        assert!(reader.recv().unwrap().is_some());
        assert!(reader.recv().is_err());
        (heard(near), reader, writer)
    };
    let _first = (tokio_halves(), blocking_halves());
    let (_halves, of_tokio, _) = held(|| (0..SOCKETS).map(|_| tokio_halves()).collect::<Box<[_]>>());
    let (_halves, of_blocking, _) = held(|| (0..SOCKETS).map(|_| blocking_halves()).collect::<Box<[_]>>());
    for each in [of_tokio, of_blocking].map(|bytes| bytes / SOCKETS as isize) {
        assert!(each <= 24 << 10, "{each} bytes, of which the transport has some");
    }
}
