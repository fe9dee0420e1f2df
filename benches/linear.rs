//! What a hostile peer may send many of, whose cost `growth.sh` counts: ten times as many must cost about ten
//! times as much.
//!
//! ```text
//! benches/growth.sh
//! cargo bench --bench linear -- --list
//! cargo bench --bench linear -- --case pings --count 10000
//! ```
//!
//! A case handles so many of what it is named after; with a count of 0 it only starts. Without `--case`, each
//! runs for a count of 10.
#![allow(clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::process::ExitCode;

use bytes::{Buf, BufMut};
use sansock::deflate::{Agreed, Deflate, accept};
use sansock::handshake::client::{self, ClientRequest};
use sansock::handshake::server::{self, Accept};
use sansock::{Config, Connection, Timestamp};

const NOW: Timestamp = Timestamp::EPOCH;

/// What there is many of, how many `growth.sh` begins with, and what handles them.
struct Case {
    name: &'static str,
    least: usize,
    run: fn(usize),
}

const fn case(name: &'static str, least: usize, run: fn(usize)) -> Case {
    Case { name, least, run }
}

/// Everything at once, and a byte at a time.
const BLOB: usize = usize::MAX;
const BYTES: usize = 1;

const CASES: &[Case] = &[
    case("request-headers", 90, |n| request(&headers(n), BLOB)),
    case("request-headers-bytes", 90, |n| request(&headers(n), BYTES)),
    case("request-length", 10_000, |n| request(&header(n), BLOB)),
    case("request-length-bytes", 10_000, |n| request(&header(n), BYTES)),
    case("response-headers", 90, |n| response(&headers(n), BLOB)),
    case("response-headers-bytes", 90, |n| response(&headers(n), BYTES)),
    case("response-length", 10_000, |n| response(&header(n), BLOB)),
    case("response-length-bytes", 10_000, |n| response(&header(n), BYTES)),
    case("response-interim", 100, |n| response(&INTERIM.repeat(n), BLOB)),
    case("response-interim-bytes", 100, |n| response(&INTERIM.repeat(n), BYTES)),
    case("response-connections", 1_000, |n| {
        answer(101, &["Connection: ", &"a, ".repeat(n), "upgrade\r\n"].concat());
    }),
    case("response-extensions", 1_000, |n| answer(101, &list("Extensions", "x; a=1, ", n))),
    case("response-content-lengths", 1_000, |n| {
        answer(200, &["Content-Length: ", &"0, ".repeat(n), "0\r\n"].concat());
    }),
    case("extensions-declined", 1_000, |n| request(&list("Extensions", "mux; a=1; b=\"c\", ", n), BLOB)),
    case("extensions-malformed", 1_000, |n| request(&list("Extensions", "permessage-deflate; x, ", n), BLOB)),
    case("extension-params", 1_000, |n| request(&list("Extensions", "a; ", n), BLOB)),
    case("extension-quotes", 10_000, |n| request(&quoted(n), BLOB)),
    case("protocols", 1_000, |n| request(&protocols(n), BLOB)),
    case("protocols-bytes", 1_000, |n| request(&protocols(n), BYTES)),
    case("fragments-empty", 10_000, |n| fragments(server(), masked, b"", n, BLOB)),
    case("fragments-empty-bytes", 10_000, |n| fragments(server(), masked, b"", n, BYTES)),
    case("fragments-one-byte", 10_000, |n| fragments(server(), masked, b"x", n, BLOB)),
    case("fragments-one-byte-bytes", 10_000, |n| fragments(server(), masked, b"x", n, BYTES)),
    case("fragments-one-byte-client", 10_000, |n| fragments(client(), plain, b"x", n, BLOB)),
    case("fragments-one-byte-bytes-client", 10_000, |n| fragments(client(), plain, b"x", n, BYTES)),
    case("message-bytes", 20_000, |n| receive(server(), &[masked(0x82, &vec![7; n])], BYTES)),
    case("text-bytes", 20_000, |n| receive(server(), &[masked(0x81, &vec![b'x'; n])], BYTES)),
    case("message-bytes-client", 20_000, |n| receive(client(), &[plain(0x82, &vec![7; n])], BYTES)),
    case("messages-empty", 10_000, |n| receive(server(), &[masked(0x82, b"").repeat(n)], BLOB)),
    case("pings", 10_000, |n| receive(server(), &[masked(0x89, b"?").repeat(n)], BLOB)),
    case("pings-bytes", 10_000, |n| receive(server(), &[masked(0x89, b"?").repeat(n)], BYTES)),
    case("pings-client", 10_000, |n| receive(client(), &[plain(0x89, b"?").repeat(n)], BLOB)),
    case("pings-in-a-message", 10_000, |n| {
        receive(server(), &[masked(0x02, b"x"), masked(0x89, b"").repeat(n)], BLOB);
    }),
    case("blocks-empty", 1_000, |n| receive(inflater(), &[masked(0xc2, &blocks(n))], BLOB)),
    case("blocks-empty-bytes", 1_000, |n| receive(inflater(), &[masked(0xc2, &blocks(n))], BYTES)),
    case("compressed-empty", 1_000, |n| receive(inflater(), &[masked(0xc2, b"\0").repeat(n)], BLOB)),
    case("compressed-empty-bytes", 1_000, |n| receive(inflater(), &[masked(0xc2, b"\0").repeat(n)], BYTES)),
    case("after-an-error", 100_000, |n| receive(server(), &[masked(0x83, b""), vec![0; n]], 1_000)),
];

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => CASES.iter().for_each(|case| (case.run)(10)),
        ["--list"] => CASES.iter().for_each(|case| println!("{} {}", case.name, case.least)),
        ["--case", name, "--count", count] => {
            let case = CASES.iter().find(|case| case.name == name);
            let (Some(case), Ok(count)) = (case, count.parse()) else { return usage() };
            (case.run)(count);
        }
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: linear [--list | --case NAME --count COUNT]");
    ExitCode::from(2)
}

/// As large as may be, so that no limit ends a case early.
fn unlimited() -> Config {
    let mut config = Config::default();
    (config.max_head, config.max_headers) = (usize::MAX, usize::MAX);
    config
}

fn headers(count: usize) -> String {
    "X-Header: value\r\n".repeat(count)
}

fn header(len: usize) -> String {
    format!("X-Header: {}\r\n", "x".repeat(len))
}

const INTERIM: &str = "\r\nHTTP/1.1 103 Early Hints\r\n";

/// A header of a list. What stands behind the last element makes no difference to what all of them cost.
fn list(name: &str, element: &str, count: usize) -> String {
    format!("Sec-WebSocket-{name}: {}z\r\n", element.repeat(count))
}

/// One value of many quoted pairs.
fn quoted(count: usize) -> String {
    format!("Sec-WebSocket-Extensions: a; b=\"{}\"\r\n", "\\c".repeat(count))
}

fn protocols(count: usize) -> String {
    let names: Vec<_> = (0..count).map(|i| format!("p{i:06}")).collect();
    format!("Sec-WebSocket-Protocol: {}\r\n", names.join(","))
}

/// A server reads a request with these fields, asks for all that it says, and accepts it.
fn request(fields: &str, piece: usize) {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    );
    let mut config = unlimited();
    config.deflate = Some(Deflate::default());
    let mut handshake = server::Handshake::new(config, NOW);
    for part in request.as_bytes().chunks(piece) {
        handshake.input().put_slice(part);
        match handshake.poll() {
            Ok(None) => {}
            Ok(Some(request)) => {
                black_box((request.protocols().count(), request.extensions().count()));
                black_box(request.accept(Accept::new().protocol("p000000"), NOW).is_ok());
            }
            Err(rejection) => _ = black_box(rejection.into_output()),
        }
    }
}

/// A client that has sent its request.
fn asking() -> client::Handshake {
    let request = ClientRequest::new("ws://example.com/").unwrap();
    let mut handshake = client::Handshake::new(request, unlimited(), [7; 32], NOW);
    handshake.output().advance(usize::MAX);
    handshake
}

/// A client reads a response with these fields, which is none that it asked for.
fn response(fields: &str, piece: usize) {
    let response = format!("HTTP/1.1 103 Early Hints\r\n{fields}\r\nHTTP/1.1 200 OK\r\n\r\n");
    let mut handshake = asking();
    for part in response.as_bytes().chunks(piece) {
        handshake.input().put_slice(part);
        black_box(handshake.poll().unwrap());
    }
}

/// A client reads a final response with these fields, all at once.
fn answer(status: u16, fields: &str) {
    let mut handshake = asking();
    let response = format!("HTTP/1.1 {status} x\r\nUpgrade: websocket\r\n{fields}\r\n");
    handshake.input().put_slice(response.as_bytes());
    black_box(handshake.poll().is_ok());
}

fn server() -> Connection {
    Connection::server(Config::default(), NOW)
}

fn client() -> Connection {
    Connection::client(Config::default(), [7; 32], NOW)
}

/// A server that inflates.
fn inflater() -> Connection {
    let agreed: Agreed = accept([&b"permessage-deflate"[..]], &Deflate::default()).unwrap();
    server().with_deflate(agreed, &Deflate::default())
}

/// Stored blocks of no length, and the last byte of one that a sender removes.
fn blocks(count: usize) -> Vec<u8> {
    [b"\0\0\0\xff\xff".repeat(count), vec![0]].concat()
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, 0x80, payload)
}

fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, 0, payload)
}

/// A frame with a key of zeros, if it has one. What the first byte says need not be legal.
fn frame(first: u8, mask: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(len @ ..126) => bytes.push(mask | len.to_be_bytes()[1]),
        Ok(len) => {
            bytes.push(mask | 0x7e);
            bytes.extend(len.to_be_bytes());
        }
        Err(_) => {
            bytes.push(mask | 0x7f);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4].iter().take(usize::from(mask >> 5)));
    bytes.extend(payload);
    bytes
}

/// Encodes a frame as the connection's peer does.
type Encode = fn(u8, &[u8]) -> Vec<u8>;

fn fragments(connection: Connection, encode: Encode, payload: &[u8], count: usize, piece: usize) {
    let bytes = [encode(0x02, payload), encode(0x00, payload).repeat(count), encode(0x80, payload)];
    receive(connection, &bytes, piece);
}

/// Gives bytes to a connection in pieces, takes all events after each, and what it has to say.
fn receive(mut connection: Connection, bytes: &[Vec<u8>], piece: usize) {
    for part in bytes.concat().chunks(piece) {
        connection.input().put_slice(part);
        connection.handle_input(NOW);
        while let Ok(Some(event)) = connection.poll_event() {
            black_box(event);
        }
        let len = connection.output().remaining();
        connection.output().advance(len);
    }
}
