//! Transports that buffer, stop taking or never stop giving, and applications that go on after the end: what both
//! shims make of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
mod io;
#[path = "common/opening.rs"]
mod opening;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use io::Step::{self, Later, Move, Never};
use io::{Peer, config, duplex, guard, poll_once, server_machine};
use opening::{GOOD, head};
use sansock::handshake::client::ClientRequest;
use sansock::handshake::server::Accept;
use sansock::handshake::{HandshakeError, Response};
use sansock::tokio as asynchronous;
use sansock::tokio::Error;
use sansock::{Config, Error as Failure, SendError, Timer, blocking};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;
use tokio::time::{advance, timeout};

const WIDE: usize = usize::MAX;
const SHORT: Duration = Duration::from_millis(40);

fn is_given_up<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Connection(Failure::TimedOut(Timer::Pong))))
}

fn is_io<T>(outcome: &Result<T, Error>, kind: ErrorKind) -> bool {
    matches!(outcome, Err(Error::Io(error)) if error.kind() == kind)
}

fn is_late(outcome: &Result<(), Error>) -> bool {
    matches!(outcome, Err(Error::Handshake(HandshakeError::TimedOut)))
}

fn patiently<T>(mut call: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    loop {
        let outcome = call();
        if !is_io(&outcome, ErrorKind::WouldBlock) {
            return outcome;
        }
    }
}

/// Written bytes stay in the transport's own buffer, as TLS does it, from when a write had to wait.
#[tokio::test(start_paused = true)]
async fn a_ping_that_the_transport_only_holds_is_no_sign_of_life() {
    let _guard = guard();
    let stuck = || {
        let (peer, end) = Peer::client(WIDE);
        end.hold_back();
        end.next_writes(&[Move(10), Later]);
        end.flushes_always(&[Never]);
        (peer, end)
    };
    let (_peer, end) = stuck();
    let mut socket = asynchronous::WebSocket::over(end, server_machine(Config::default()));
    assert!(poll_once(socket.send(vec![1; 1000])).is_none());
    let outcome = timeout(Duration::from_secs(120), socket.next()).await.unwrap();
    assert!(is_given_up(&outcome.map(drop)));

    let (_peer, end) = stuck();
    let socket = asynchronous::WebSocket::over(end, server_machine(Config::default()));
    let (mut reader, mut writer) = socket.split_with(|io| (io.clone(), io));
    assert!(poll_once(writer.send(vec![1; 1000])).is_none());
    let outcome = timeout(Duration::from_secs(120), reader.next()).await.unwrap();
    assert!(is_given_up(&outcome.map(drop)));
}

#[test]
fn a_ping_that_a_blocking_transport_only_holds_is_no_sign_of_life() {
    let _guard = guard();
    let short =
        || config(|c| (c.ping_interval, c.pong_timeout, c.close_timeout) = (Some(SHORT), SHORT, SHORT));
    let (_peer, end) = Peer::client(WIDE);
    end.hold_back();
    end.flushes_always(&[Never]);
    let mut socket = blocking::WebSocket::over(end.clone(), server_machine(short()));
    assert!(is_given_up(&patiently(|| socket.next().map(drop))));

    let socket = blocking::WebSocket::over(end, server_machine(short()));
    let (mut reader, _writer) = socket.split_with(|io| (io.clone(), io));
    assert!(is_given_up(&patiently(|| reader.next().map(drop))));
}

#[tokio::test(start_paused = true)]
async fn hostile_77_a_writer_that_goes_on_after_the_end_keeps_nothing() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let socket = asynchronous::WebSocket::over(end, server_machine(Config::default()));
    let (mut reader, mut writer) = socket.split_with(|io| (io.clone(), io));
    peer.close();
    while reader.next().await.unwrap().is_some() {}
    for _ in 0..100 {
        assert!(writer.send(vec![0; 1000]).await.is_err());
        assert_eq!(writer.half().buffered(), 0);
    }

    let (peer, end) = Peer::client(WIDE);
    let socket = blocking::WebSocket::over(end, server_machine(Config::default()));
    let (mut reader, mut writer) = socket.split_with(|io| (io.clone(), io));
    peer.end.end();
    assert!(patiently(|| reader.next().map(drop)).is_err());
    for _ in 0..100 {
        assert!(writer.send(vec![0; 1000]).is_err());
        assert_eq!(writer.half().buffered(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_13_an_answer_that_nobody_takes_is_given_up_in_time() {
    let _guard = guard();
    let (near, far) = duplex(10);
    near.push(head("GET / HTTP/1.1", &GOOD).as_bytes());
    let accepting = asynchronous::accept(far, config(|c| c.ping_interval = None));
    let outcome = timeout(Duration::from_secs(11), accepting).await.unwrap();
    assert!(matches!(outcome, Err(Error::Handshake(HandshakeError::TimedOut))));

    // A refusal has 2 s.
    let (near, far) = duplex(10);
    near.push(head("GET / HTTP/1.1", &GOOD).as_bytes());
    let incoming = asynchronous::accept_request(far, Config::default()).await.unwrap();
    let outcome = incoming.reject(Response::new(403).unwrap()).await;
    assert!(is_io(&outcome, ErrorKind::TimedOut), "{outcome:?}");
}

/// Whoever has left an answer with the transport has answered, whatever the client does then.
#[tokio::test(start_paused = true)]
async fn what_a_client_does_after_a_refusal_is_no_error() {
    let _guard = guard();
    for resets in [false, true] {
        let (near, far) = duplex(WIDE);
        near.push(head("GET / HTTP/1.1", &GOOD).as_bytes());
        let incoming = asynchronous::accept_request(far.clone(), Config::default()).await.unwrap();
        let rejecting = tokio::spawn(incoming.reject(Response::new(403).unwrap()));
        yield_now().await;
        assert!(near.pull(WIDE).starts_with(b"HTTP/1.1 403 "));
        if resets {
            near.reset();
        }
        rejecting.await.unwrap().unwrap();

        let (near, far) = duplex(WIDE);
        near.push(head("GET / HTTP/1.1", &GOOD).as_bytes());
        let incoming = blocking::accept_request(far.clone(), Config::default()).unwrap();
        far.next_reads(&[if resets { Step::Fail(ErrorKind::ConnectionReset) } else { Later }]);
        incoming.reject(Response::new(403).unwrap()).unwrap();
        assert!(near.pull(WIDE).starts_with(b"HTTP/1.1 403 "));
    }
}

/// A server need not read all of a request that it refuses, nor end the connection in peace.
#[tokio::test(start_paused = true)]
async fn hostile_55_a_refusal_stands_though_the_transport_breaks_behind_it() {
    const ANSWER: &[u8] = b"HTTP/1.1 401 x\r\nContent-Length: 5000\r\n\r\nlog in";
    let _guard = guard();
    let request = || ClientRequest::new("ws://example.com/").unwrap();
    let is_refused = |outcome: Result<(), Error>| match outcome {
        Err(Error::Refused(refused)) => refused.status() == 401 && refused.body() == b"log in",
        _ => false,
    };
    for (fails_to_write, kind) in [
        (true, ErrorKind::BrokenPipe),
        (true, ErrorKind::ConnectionReset),
        (false, ErrorKind::ConnectionReset),
    ] {
        let transport = |answer| {
            let (near, far) = duplex(WIDE);
            near.push(answer);
            if fails_to_write {
                far.next_writes(&[Step::Fail(kind)]);
                near.end();
            } else {
                far.next_reads(&[Move(WIDE), Step::Fail(kind)]);
            }
            far
        };
        // What is no answer yet is none.
        for (answer, is_there) in [(ANSWER, true), (ANSWER.split_at(10).0, false)] {
            let connecting = asynchronous::connect_over(transport(answer), request(), Config::default());
            let outcome = connecting.await.map(drop);
            let blocked = blocking::connect_over(transport(answer), request(), Config::default()).map(drop);
            for outcome in [outcome, blocked] {
                let is_right = if is_there { is_refused(outcome) } else { is_io(&outcome, kind) };
                assert!(is_right, "{fails_to_write} {kind} {is_there}");
            }
        }
    }
}

/// The application's mistake is the news, not that the client has gone.
#[tokio::test]
async fn a_subprotocol_that_was_not_offered_is_said_also_if_the_client_is_gone() {
    let _guard = guard();
    let accept = || Accept::new().protocol("unheard-of");
    let (near, far) = duplex(WIDE);
    near.push(head("GET / HTTP/1.1", &GOOD).as_bytes());
    let incoming = asynchronous::accept_request(far.clone(), Config::default()).await.unwrap();
    near.reset();
    assert!(matches!(incoming.accept(accept()).await, Err(Error::ProtocolNotOffered)));

    let (near, far) = duplex(WIDE);
    near.push(head("GET / HTTP/1.1", &GOOD).as_bytes());
    let incoming = blocking::accept_request(far, Config::default()).unwrap();
    near.reset();
    assert!(matches!(incoming.accept(accept()), Err(Error::ProtocolNotOffered)));
}

/// A transport that is always ready: a bad request, and then bytes for ever.
struct Flood(&'static [u8]);

impl AsyncRead for Flood {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let (now, later) = self.0.split_at(self.0.len().min(buf.remaining()));
        buf.put_slice(now);
        self.0 = later;
        buf.put_slice(&vec![b'x'; buf.remaining()]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// With no limit of a head's length there is still the one of its time.
#[tokio::test]
async fn hostile_84_a_handshake_has_its_deadline_though_there_is_always_something_to_read() {
    let _guard = guard();
    let patient = || {
        config(|config| {
            (config.max_head, config.max_headers) = (usize::MAX, usize::MAX);
            config.handshake_timeout = SHORT;
        })
    };
    let outcome = asynchronous::accept(Flood(b"GET / HTTP/1.1\r\nX: "), patient()).await;
    assert!(is_late(&outcome.map(drop)));
    let connect = |answer| {
        let request = ClientRequest::new("ws://example.com/").unwrap();
        asynchronous::connect_over(Flood(answer), request, patient())
    };
    assert!(is_late(&connect(b"HTTP/1.1 101 x\r\nX: ").await.map(drop)));
    // What came of a body is better than an error.
    let outcome = connect(b"HTTP/1.1 403 x\r\nContent-Length: 99999999999999\r\n\r\n").await;
    assert!(matches!(outcome, Err(Error::Refused(refused)) if !refused.body().is_empty()));
}

#[tokio::test(start_paused = true)]
async fn hostile_38_a_refused_client_that_floods_lets_other_tasks_have_their_turns() {
    let _guard = guard();
    let accepting = asynchronous::accept(Flood(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Config::default());
    let accepting = tokio::spawn(accepting);
    yield_now().await;
    yield_now().await;
    assert!(!accepting.is_finished());
    advance(Duration::from_secs(3)).await;
    let outcome = accepting.await.unwrap();
    assert!(matches!(outcome, Err(Error::Handshake(HandshakeError::UpgradeMissing))));
}

/// A listener whose queue is full: what is sent to it gets no answer.
fn silent_listener() -> (Socket, SocketAddr, Vec<TcpStream>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(1).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, SHORT) {
        waiting.push(stream);
    }
    (listener, address, waiting)
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_in_time_is_the_same_error_in_both_shims() {
    let _guard = guard();
    let (_listener, address, _waiting) = silent_listener();
    let (url, short) = (format!("ws://{address}"), config(|c| c.handshake_timeout = SHORT));
    let outcome = blocking::connect(&url, short.clone());
    assert!(matches!(outcome, Err(Error::Handshake(HandshakeError::TimedOut))), "{outcome:?}");
    let outcome = asynchronous::connect(&url, short).await;
    assert!(matches!(outcome, Err(Error::Handshake(HandshakeError::TimedOut))), "{outcome:?}");
}

#[test]
fn an_error_has_the_kind_that_code_for_transports_looks_for() {
    let kinds = [
        (Error::Connection(Failure::TimedOut(Timer::Pong)), ErrorKind::TimedOut),
        (Error::Connection(Failure::UnexpectedEof), ErrorKind::UnexpectedEof),
        (Error::Connection(Failure::InvalidUtf8), ErrorKind::InvalidData),
        (Error::Handshake(HandshakeError::TimedOut), ErrorKind::TimedOut),
        (Error::Handshake(HandshakeError::UnexpectedEof), ErrorKind::UnexpectedEof),
        (Error::Handshake(HandshakeError::Key), ErrorKind::InvalidData),
        (Error::Send(SendError::Closed), ErrorKind::BrokenPipe),
        (Error::Send(SendError::ControlTooLong), ErrorKind::InvalidInput),
        (Error::ProtocolNotOffered, ErrorKind::InvalidInput),
        (Error::Secure, ErrorKind::Unsupported),
        (Error::Io(ErrorKind::WouldBlock.into()), ErrorKind::WouldBlock),
    ];
    for (error, kind) in kinds {
        let words = error.to_string();
        let error = std::io::Error::from(error);
        assert_eq!((error.kind(), error.to_string()), (kind, words));
    }
    // One of the transport's stays what it was.
    let error = std::io::Error::from(Error::Io(std::io::Error::from_raw_os_error(110)));
    assert_eq!(error.raw_os_error(), Some(110));
}
