//! Item 90 of hostile inputs: an operating system that gives no random bytes. It stands alone, because what the
//! kernel refuses here, the other tests of a process need.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use sansock::handshake::client::ClientRequest;
use sansock::{Config, blocking, tokio as asynchronous};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// What getrandom(2) fails with from here on, in this thread. It is no error after which there is another
/// source to try.
const EIO: u32 = 5;

/// Takes the source of random bytes away from this thread.
fn take_randomness_away() {
    const GETRANDOM: i64 = if cfg!(target_arch = "x86_64") { 318 } else { 278 };
    let filter = SeccompFilter::new(
        BTreeMap::from([(GETRANDOM, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(EIO),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    apply_filter(&program).unwrap();
}

fn is_about_randomness<T>(result: Result<T, blocking::Error>) -> bool {
    let Err(blocking::Error::Io(error)) = result else { return false };
    let text = error.to_string();
    assert!(text.contains("Input/output error"), "{text}");
    true
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn hostile_90_without_random_bytes_a_client_fails_and_sends_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let request = || ClientRequest::new(&url).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    take_randomness_away();

    let ends: [&dyn Fn() -> bool; 4] = [
        &|| is_about_randomness(blocking::connect(&url, Config::default())),
        &|| is_about_randomness(blocking::connect_request(request(), Config::default())),
        &|| is_about_randomness(runtime.block_on(asynchronous::connect(&url, Config::default()))),
        &|| {
            let connecting = async {
                let io = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                asynchronous::connect_over(io, request(), Config::default()).await
            };
            is_about_randomness(runtime.block_on(connecting))
        },
    ];
    for end in ends {
        assert!(end());
        // Neither a request with a guessable key nor anything else was sent.
        let mut sent = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut sent).unwrap();
        assert_eq!(sent, b"");
    }

    // A server needs none: it does not mask.
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.write_all(REQUEST).unwrap();
    let mut server = blocking::accept(listener.accept().unwrap().0, Config::default()).unwrap();
    server.send("hello").unwrap();
    drop(server);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 101 ") && answer.ends_with(b"\x81\x05hello"));
}
