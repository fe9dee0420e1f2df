//! Item 55 over TCP: connections that are reset, and sockets that are dropped.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use sansock::handshake::client::ClientRequest;
use sansock::{CloseCode, Config, Connection, Error as Failure, Message};
use sansock::{blocking, tokio as asynchronous};
use socket2::SockRef;

use super::Role;
use crate::io::{client_machine, guard, server_machine, tcp};

/// Where in a connection's life the peer resets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is under way.
    Idle,
    InFrame,
    InMessage,
    /// We have sent a Close frame.
    Closing,
    /// And the peer has answered.
    Closed,
}

const STATES: [State; 5] = [State::Idle, State::InFrame, State::InMessage, State::Closing, State::Closed];

/// Resets a connection: with nothing to linger for, closing sends RST in place of FIN.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

fn machine(role: Role) -> Connection {
    let machine = if role == Role::Server { server_machine } else { client_machine };
    machine(Config::default())
}

/// Brings a connection where it is to be reset, and does that.
fn reset_in(state: State, role: Role, mut near: TcpStream) {
    let bytes = match state {
        State::Idle | State::Closing => Vec::new(),
        State::InFrame => role.of_peer(0x82, b"half")[..5].to_vec(),
        State::InMessage => role.of_peer(0x01, b"a fragment"),
        State::Closed => role.close_of_peer(1000, b""),
    };
    near.write_all(&bytes).unwrap();
    reset(near);
}

/// What a socket of either shim must say in the end.
fn is_right(state: State, end: &Result<Option<Message>, blocking::Error>) -> bool {
    match (state, end) {
        // Once the conversation is over, a reset is as good an end as any.
        (State::Closed, Ok(None)) => true,
        (State::Closed, _) => false,
        (_, Err(blocking::Error::Io(error))) => error.kind() == ErrorKind::ConnectionReset,
        _ => false,
    }
}

#[test]
fn hostile_55_a_reset_in_each_state_of_a_blocking_socket() {
    let _guard = guard();
    for role in Role::BOTH {
        for state in STATES {
            let (mut near, far) = tcp();
            let mut socket = blocking::WebSocket::over(far, machine(role));
            near.write_all(&role.of_peer(0x81, b"whole")).unwrap();
            assert_eq!(socket.recv().unwrap(), Some("whole".into()));
            if matches!(state, State::Closing | State::Closed) {
                socket.connection_mut().close(CloseCode::NORMAL, "").unwrap();
                socket.flush().unwrap();
            }
            reset_in(state, role, near);
            let end = socket.recv();
            assert!(is_right(state, &end), "{role:?} {state:?} {end:?}");
            assert!(socket.closed().is_some(), "{role:?} {state:?}");
            // It stays at its end, and says how it came there.
            let again = socket.recv();
            let closes = matches!(state, State::Closing | State::Closed);
            match again {
                Ok(None) => assert!(closes),
                Err(blocking::Error::Connection(Failure::UnexpectedEof)) => assert!(!closes),
                other => panic!("{role:?} {state:?} {other:?}"),
            }
            assert_eq!(socket.closed().unwrap().clean, state == State::Closed);
            assert!(socket.send("late").is_err());
        }
    }
}

#[tokio::test]
async fn hostile_55_a_reset_in_each_state_of_a_tokio_socket() {
    let _guard = guard();
    for role in Role::BOTH {
        for state in STATES {
            let (mut near, far) = tcp();
            far.set_nonblocking(true).unwrap();
            let far = tokio::net::TcpStream::from_std(far).unwrap();
            let mut socket = asynchronous::WebSocket::over(far, machine(role));
            near.write_all(&role.of_peer(0x81, b"whole")).unwrap();
            assert_eq!(socket.recv().await.unwrap(), Some("whole".into()));
            if matches!(state, State::Closing | State::Closed) {
                socket.connection_mut().close(CloseCode::NORMAL, "").unwrap();
                socket.flush().await.unwrap();
            }
            reset_in(state, role, near);
            let end = socket.recv().await;
            assert!(is_right(state, &end), "{role:?} {state:?} {end:?}");
            assert!(socket.closed().is_some(), "{role:?} {state:?}");
            let again = socket.recv().await;
            let closes = matches!(state, State::Closing | State::Closed);
            match again {
                Ok(None) => assert!(closes),
                Err(asynchronous::Error::Connection(Failure::UnexpectedEof)) => assert!(!closes),
                other => panic!("{role:?} {state:?} {other:?}"),
            }
            assert_eq!(socket.closed().unwrap().clean, state == State::Closed);
            assert!(socket.send("late").await.is_err());
        }
    }
}

/// What a peer has sent of its head when it resets the connection.
const HEADS: [&[u8]; 2] = [b"", b"GET / HTTP/1.1\r\nHost: exam"];

fn is_reset<T>(result: Result<T, blocking::Error>) -> bool {
    // Whether reading or writing finds it first is up to the network.
    matches!(result, Err(blocking::Error::Io(error))
        if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

#[test]
fn hostile_55_a_reset_in_the_handshake_of_a_blocking_socket() {
    let _guard = guard();
    for head in HEADS {
        let (mut near, far) = tcp();
        near.write_all(head).unwrap();
        reset(near);
        assert!(is_reset(blocking::accept(far, Config::default())));
        let (mut near, far) = tcp();
        near.write_all(&head[..head.len() / 2]).unwrap();
        reset(near);
        let request = ClientRequest::new("ws://example.com/").unwrap();
        assert!(is_reset(blocking::connect_over(far, request, Config::default())));
    }
    // Once the request is written as well.
    let (mut near, far) = tcp();
    let connecting = thread::spawn(move || {
        blocking::connect_over(far, ClientRequest::new("ws://example.com/").unwrap(), Config::default())
    });
    assert_eq!(near.read(&mut [0]).unwrap(), 1);
    reset(near);
    assert!(is_reset(connecting.join().unwrap()));
}

#[tokio::test]
async fn hostile_55_a_reset_in_the_handshake_of_a_tokio_socket() {
    let _guard = guard();
    let tcp = || {
        let (near, far) = tcp();
        far.set_nonblocking(true).unwrap();
        (near, tokio::net::TcpStream::from_std(far).unwrap())
    };
    for head in HEADS {
        let (mut near, far) = tcp();
        near.write_all(head).unwrap();
        reset(near);
        assert!(is_reset(asynchronous::accept(far, Config::default()).await));
        let (mut near, far) = tcp();
        near.write_all(&head[..head.len() / 2]).unwrap();
        reset(near);
        let request = ClientRequest::new("ws://example.com/").unwrap();
        assert!(is_reset(asynchronous::connect_over(far, request, Config::default()).await));
    }
}

#[tokio::test]
async fn hostile_55_a_socket_that_is_dropped_without_a_close() {
    let _guard = guard();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    for drops_server in [true, false] {
        let serving = thread::spawn({
            let listener = listener.try_clone().unwrap();
            move || {
                let mut socket = blocking::accept(listener.accept().unwrap().0, Config::default()).unwrap();
                if drops_server { Ok(None) } else { socket.recv() }
            }
        });
        let mut client = asynchronous::connect(&url, Config::default()).await.unwrap();
        let end = if drops_server {
            serving.join().unwrap().unwrap();
            client.recv().await
        } else {
            drop(client);
            serving.join().unwrap()
        };
        // It is no end of a conversation, whatever the transport makes of it.
        assert!(matches!(end, Err(blocking::Error::Connection(Failure::UnexpectedEof))), "{end:?}");
    }
}

/// More than two kernels hold of what nobody reads.
const LARGE: usize = 64 << 20;

/// Takes the beginning of what comes, and resets the connection: what sends more than that is stalled, or soon is.
fn reset_after_some(mut near: TcpStream) {
    near.read_exact(&mut [0; 1000]).unwrap();
    reset(near);
}

/// The writer hears of the reset, whichever half has found it. The reader does so too, or sees that nothing more comes.
fn is_end_of_both(
    read: Result<Option<Message>, blocking::Error>,
    write: Result<(), blocking::Error>,
) -> bool {
    is_reset(write)
        && (matches!(read, Err(blocking::Error::Connection(Failure::UnexpectedEof))) || is_reset(read))
}

#[test]
fn hostile_55_a_reset_while_a_write_of_a_blocking_socket_is_stalled() {
    let _guard = guard();
    for role in Role::BOTH {
        let (near, far) = tcp();
        let resetting = thread::spawn(move || reset_after_some(near));
        let mut socket = blocking::WebSocket::over(far, machine(role));
        assert!(is_reset(socket.send(vec![7; LARGE])));
        resetting.join().unwrap();
        assert!(matches!(socket.recv(), Err(blocking::Error::Connection(Failure::UnexpectedEof))));
        assert!(!socket.closed().unwrap().clean);

        let (near, far) = tcp();
        let (mut reader, mut writer) = blocking::WebSocket::over(far, machine(role)).split().unwrap();
        let reading = thread::spawn(move || {
            let read = reader.recv();
            assert!(reader.closed().is_some(), "{read:?}");
            read
        });
        let resetting = thread::spawn(move || reset_after_some(near));
        let written = writer.send(vec![7; LARGE]);
        resetting.join().unwrap();
        let read = reading.join().unwrap();
        let end = format!("{role:?} {read:?} {written:?}");
        assert!(is_end_of_both(read, written), "{end}");
    }
}

#[tokio::test]
async fn hostile_55_a_reset_while_a_write_of_a_tokio_socket_is_stalled() {
    let _guard = guard();
    for role in Role::BOTH {
        let pair = || {
            let (near, far) = tcp();
            far.set_nonblocking(true).unwrap();
            let far = tokio::net::TcpStream::from_std(far).unwrap();
            let resetting = tokio::task::spawn_blocking(move || reset_after_some(near));
            (asynchronous::WebSocket::over(far, machine(role)), resetting)
        };
        let (mut socket, resetting) = pair();
        assert!(is_reset(socket.send(vec![7; LARGE]).await));
        resetting.await.unwrap();
        assert!(matches!(socket.recv().await, Err(blocking::Error::Connection(Failure::UnexpectedEof))));
        assert!(!socket.closed().unwrap().clean);

        let (socket, resetting) = pair();
        let (mut reader, mut writer) = socket.split();
        let (read, written) = tokio::join!(reader.recv(), writer.send(vec![7; LARGE]));
        assert!(reader.closed().is_some(), "{read:?}");
        resetting.await.unwrap();
        let end = format!("{role:?} {read:?} {written:?}");
        assert!(is_end_of_both(read, written), "{end}");
    }
}
