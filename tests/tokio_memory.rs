//! What a connection over tokio holds while nothing happens, counted by an allocator of this test's own.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_wrap,
    reason = "a test may panic, and counts in small numbers"
)]

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream as Peer;

use common::masked;
use counting::HELD;
use sansock::tokio::{Error, WebSocket};
use sansock::{Config, Connection, Event, Timestamp};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;

const CONNECTIONS: usize = 64;

/// What tokio has for a socket and a timer: 256 and 112 bytes.
const OF_TOKIO: isize = 368;
/// The task, whose size is a multiple of 128 bytes, and what the connection has besides.
const OF_CONNECTION: isize = 512 + 104;

async fn echo(io: TcpStream) -> Result<(), Error> {
    let mut socket = WebSocket::over(io, Connection::server(Config::default(), Timestamp::EPOCH));
    while socket.ready().await? {
        while let Ok(Some((event, send))) = socket.connection_mut().poll_with_send() {
            match event {
                Event::Text(text) => send.text(&text)?,
                Event::Binary(data) => send.binary(&data)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Sends `bytes`, and takes as many as come back.
async fn exchange(peers: &mut [Peer], bytes: &[u8], answer: usize) {
    for peer in &mut *peers {
        peer.write_all(bytes).unwrap();
    }
    // Here is one thread: whoever has answered waits again by the time that this task sees it.
    for peer in peers {
        let mut left = vec![0; answer];
        while !left.is_empty() {
            match peer.read(&mut left) {
                Ok(0) => panic!("the server has hung up"),
                Ok(len) => drop(left.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

async fn connect(listener: &TcpListener, count: usize) -> Vec<Peer> {
    let mut peers = Vec::with_capacity(count);
    for _ in 0..count {
        let peer = Peer::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_nonblocking(true).unwrap();
        peers.push(peer);
        tokio::spawn(echo(listener.accept().await.unwrap().0));
    }
    // Every task has run, and waits.
    for _ in 0..10 {
        yield_now().await;
    }
    peers
}

#[test]
fn a_connection_at_rest_is_small() {
    assert!(size_of::<WebSocket<()>>() <= 288, "{}", size_of::<WebSocket<()>>());

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // What the runtime and the thread have for all connections is there already.
        let mut first = connect(&listener, CONNECTIONS).await;
        exchange(&mut first, &masked(0x82, &[7; 1000]), 1004).await;

        let before = HELD.get();
        let mut peers = connect(&listener, CONNECTIONS).await;
        let of_peers = (CONNECTIONS * size_of::<Peer>()) as isize;
        let fresh = HELD.get() - before - of_peers;
        assert!(fresh <= CONNECTIONS as isize * (OF_TOKIO + OF_CONNECTION), "{fresh}");

        exchange(&mut peers, &masked(0x82, &[7; 1000]), 1004).await;
        exchange(&mut peers, &masked(0x89, b"ping"), 6).await;
        for part in [masked(0x01, b"frag"), masked(0x89, b"between"), masked(0x80, b"ments")] {
            exchange(&mut peers, &part, 0).await;
        }
        exchange(&mut peers, &[], 9 + 11).await;
        let used = HELD.get() - before - of_peers;
        assert!(used <= fresh, "{used} after {fresh}");
    });
}
