//! What RFC 6455 asks of both ends about the transport itself, of both shims: how a client opens it (§4.1), and
//! who ends it (§7.1.1). `tests/tokio_shim.rs` has the end of it for that shim.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;
mod io;
#[path = "common/opening.rs"]
mod opening;
#[path = "common/serving.rs"]
mod serving;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use bytes::{Buf, BufMut};
use common::Seen;
use io::{End, Peer, client_machine, config, duplex, guard, server_machine, tcp};
use opening::{GOOD, NOW, client, head, read_head, response_with};
use sansock::handshake::HandshakeError;
use sansock::handshake::client::{ClientRequest, Outcome};
use sansock::handshake::server::Accept;
use sansock::tokio as asynchronous;
use sansock::{CloseCode, Config, blocking, blocking::Error};
use serving::Shim;
use socket2::{Domain, Socket, Type};

const WIDE: usize = usize::MAX;

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn assert_nobody_came(listener: &TcpListener) {
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    listener.set_nonblocking(false).unwrap();
}

#[test]
fn section_4_1_connections_that_cannot_be_opened_are_errors() {
    let _guard = guard();
    // It holds the port, so that nobody else can listen there, and does not listen.
    let closed = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    closed.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let url = format!("ws://{}/", closed.local_addr().unwrap().as_socket().unwrap());
    for shim in Shim::BOTH {
        let outcome = shim.connect(&url, Config::default());
        let Err(Error::Io(error)) = &outcome else { panic!("{shim:?}: {outcome:?}") };
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{shim:?}");
    }
}

#[test]
fn section_4_1_what_is_no_uri_of_a_websocket_opens_nothing() {
    let _guard = guard();
    let (listener, address) = listen();
    for shim in Shim::BOTH {
        for (start, end) in
            [("http://", "/"), ("", "/"), ("ws://user@", "/"), ("ws://", "/#part"), ("ws://", "/ ")]
        {
            let outcome = shim.connect(&format!("{start}{address}{end}"), Config::default());
            assert!(matches!(outcome, Err(Error::Url(_))), "{shim:?}: {outcome:?}");
        }
        assert_nobody_came(&listener);
    }
}

#[tokio::test]
async fn section_4_1_a_secure_uri_needs_a_transport_of_the_caller() {
    let _guard = guard();
    let (listener, address) = listen();
    let url = format!("wss://{address}/");
    let request = || ClientRequest::new(&url).unwrap();
    let refused = [
        asynchronous::connect(&url, Config::default()).await.map(drop),
        asynchronous::connect_request(request(), Config::default()).await.map(drop),
        blocking::connect(&url, Config::default()).map(drop),
        blocking::connect_request(request(), Config::default()).map(drop),
    ];
    assert!(refused.iter().all(|outcome| matches!(outcome, Err(Error::Secure))), "{refused:?}");
    assert_nobody_came(&listener);

    // Over a stream of the caller's, which is to be one of TLS, it is a request like any other.
    let serving = thread::spawn(move || {
        [(); 2].map(|()| {
            let mut socket = blocking::accept(listener.accept().unwrap().0, Config::default()).unwrap();
            socket.recv().unwrap()
        })
    });
    let io = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut socket = asynchronous::connect_over(io, request(), Config::default()).await.unwrap();
    socket.send("tokio").await.unwrap();
    let io = TcpStream::connect(address).unwrap();
    let mut socket = blocking::connect_over(io, request(), Config::default()).unwrap();
    socket.send("blocking").unwrap();
    assert_eq!(serving.join().unwrap(), [Some("tokio".into()), Some("blocking".into())]);
}

#[test]
fn section_4_1_nothing_is_sent_before_the_answer() {
    let _guard = guard();
    // Were it open already, it would have much to say.
    let talkative = || config(|config| config.ping_interval = Some(Duration::ZERO));
    let (listener, address) = listen();
    let half = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    for shim in Shim::BOTH {
        for said in ["", "HTTP/1.1 100 Continue\r\n\r\n", half] {
            let url = format!("ws://{address}/");
            let connecting = thread::spawn(move || shim.connect(&url, talkative()));
            let (mut io, _) = listener.accept().unwrap();
            read_head(&mut io);
            io.write_all(said.as_bytes()).unwrap();
            io.shutdown(Shutdown::Write).unwrap();
            let mut more = Vec::new();
            io.read_to_end(&mut more).unwrap();
            assert_eq!(more, b"", "{shim:?}, {said:?}");
            let outcome = connecting.join().unwrap();
            assert!(matches!(outcome, Err(Error::Handshake(HandshakeError::UnexpectedEof))), "{outcome:?}");
        }
    }
    // Nor has the machine anything to say, nor is there a connection to send with.
    let mut handshake = client(talkative());
    let request = handshake.output().remaining();
    handshake.output().advance(request);
    let answer = response_with("X", &[]);
    for (millisecond, byte) in (0..).zip(&answer.as_bytes()[..answer.len() - 1]) {
        handshake.input().put_u8(*byte);
        handshake.handle_timeout(NOW + Duration::from_millis(millisecond));
        assert!(handshake.poll().unwrap().is_none());
        assert!(!handshake.output().has_remaining());
    }
    handshake.input().put_slice(&answer.as_bytes()[answer.len() - 1..]);
    let Some(Outcome::Established(established)) = handshake.poll().unwrap() else { panic!("refused") };
    let mut connection = established.into_connection(NOW);
    connection.handle_timeout(NOW + Duration::from_secs(1));
    assert!(connection.output().has_remaining(), "now it may, and does");
}

#[tokio::test]
async fn a_stream_that_a_shim_opens_delays_no_small_write() {
    let _guard = guard();
    let (listener, address) = listen();
    let url = format!("ws://{address}/");
    let serving = thread::spawn(move || {
        [(); 2].map(|()| blocking::accept(listener.accept().unwrap().0, Config::default()).unwrap())
    });
    let socket = asynchronous::connect(&url, Config::default()).await.unwrap();
    assert!(socket.io().nodelay().unwrap());
    let socket = blocking::connect(&url, Config::default()).unwrap();
    assert!(socket.io().nodelay().unwrap());
    serving.join().unwrap();
}

/// Both ends of a stream that had these timeouts before the blocking handshake.
fn opened(timeout: Option<Duration>) -> [blocking::WebSocket<TcpStream>; 2] {
    let (near, far) = tcp();
    for io in [&near, &far] {
        io.set_read_timeout(timeout).unwrap();
        io.set_write_timeout(timeout).unwrap();
    }
    let serving = thread::spawn(move || blocking::accept(far, Config::default()).unwrap());
    let request = ClientRequest::new("ws://example.com/").unwrap();
    let client = blocking::connect_over(near, request, Config::default()).unwrap();
    [client, serving.join().unwrap()]
}

#[test]
fn a_blocking_handshake_gives_the_stream_its_timeouts_back() {
    let _guard = guard();
    // Where the application has no timeout for writes, each has a slice of time. Its own is longer than what a
    // handshake sets.
    let [slice, own] = [1, 20].map(|seconds| Some(Duration::from_secs(seconds)));
    for (given, write) in [(None, slice), (own, own)] {
        for socket in opened(given) {
            assert_eq!(socket.io().read_timeout().unwrap(), given);
            assert_eq!(socket.io().write_timeout().unwrap(), write);
        }
    }
}

/// Whether a blocking call has come to the end of the conversation; if not, it would block.
fn is_over(socket: &mut blocking::WebSocket<End>) -> bool {
    match socket.next() {
        Ok(event) => event.is_none(),
        Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn section_7_1_1_a_blocking_server_ends_the_transport_first() {
    let _guard = guard();
    for client_begins in [true, false] {
        let (near, far) = duplex(WIDE);
        let mut client = blocking::WebSocket::over(near.clone(), client_machine(Config::default()));
        let mut server = blocking::WebSocket::over(far.clone(), server_machine(Config::default()));
        let begins = if client_begins { &mut client } else { &mut server };
        begins.connection_mut().close(CloseCode::NORMAL, "").unwrap();
        assert!(!is_over(begins), "nobody has answered");
        let mut ended = [false; 2];
        for _ in 0..3 {
            ended[0] |= is_over(&mut client);
            ended[1] |= is_over(&mut server);
        }
        assert_eq!(ended, [true; 2]);
        assert!(far.log(|log| log.shut_first) && !near.log(|log| log.shut_first));
        assert!(server.closed().unwrap().clean && client.closed().unwrap().clean);
    }
}

#[test]
fn section_7_1_1_a_blocking_client_waits_for_the_server_to_end_the_transport() {
    let _guard = guard();
    for client_begins in [true, false] {
        let (mut peer, end) = Peer::server(WIDE);
        let mut socket = blocking::WebSocket::over(end, client_machine(Config::default()));
        if client_begins {
            socket.connection_mut().close(CloseCode::NORMAL, "").unwrap();
            assert!(!is_over(&mut socket));
        } else {
            peer.close();
            assert!(!is_over(&mut socket));
        }
        assert_eq!(peer.hear(), [Seen::End]);
        assert!(!is_over(&mut socket) && !peer.end.is_ended());
        peer.end.end();
        assert!(is_over(&mut socket));
        // It must not keep the server waiting until the application drops the socket.
        assert!(peer.end.is_ended());
    }
}

#[tokio::test]
async fn section_4_2_2_what_the_application_accepts_with_is_in_the_answer_of_both_shims() {
    let _guard = guard();
    let fields = [&GOOD[..], &[("Sec-WebSocket-Protocol", "v1.chat, v2.chat")]].concat();
    let request = head("GET /chat HTTP/1.1", &fields);
    let accept = || Accept::new().protocol("v2.chat").header("Set-Cookie", "seen=1").unwrap();
    let assert_has_all = |near: &End| {
        let answer = String::from_utf8(near.pull(WIDE)).unwrap();
        for line in ["HTTP/1.1 101", "Sec-WebSocket-Protocol: v2.chat\r\n", "Set-Cookie: seen=1\r\n"] {
            assert!(answer.contains(line), "{answer}");
        }
    };

    let (near, far) = duplex(WIDE);
    near.push(request.as_bytes());
    let incoming = asynchronous::accept_request(far, Config::default()).await.unwrap();
    incoming.accept(accept()).await.unwrap();
    assert_has_all(&near);

    let (near, far) = duplex(WIDE);
    near.push(request.as_bytes());
    let incoming = blocking::accept_request(far, Config::default()).unwrap();
    incoming.accept(accept()).unwrap();
    assert_has_all(&near);
}
