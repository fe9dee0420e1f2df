//! Requests and responses of the opening handshake, and all that becomes of them in every delivery.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::must_use_candidate,
    reason = "shared by tests that use parts of it"
)]

use std::io::Read;

use bytes::{Buf, BufMut};
use sansock::handshake::client::{self, ClientRequest, Outcome};
use sansock::handshake::server::{self, Accept};
use sansock::handshake::{HandshakeError, Headers, accept_key};
use sansock::{Config, Connection, Timestamp};

use crate::common::{DELIVERIES, Seen, feed, output, random_cuts};

pub const NOW: Timestamp = Timestamp::EPOCH;
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The fields of a good request; tests replace some.
pub const GOOD: [(&str, &str); 5] = [
    ("Host", "example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
];

pub fn head(start: &str, fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("{start}\r\n{}\r\n", fields.collect::<String>())
}

/// The fields but for those of one name, which have these values.
fn replaced<'a>(fields: &[(&'a str, &'a str)], name: &'a str, values: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let others = fields.iter().copied().filter(|(known, _)| *known != name);
    others.chain(values.iter().map(|value| (name, *value))).collect()
}

/// A good request but for the fields of one name, which have these values.
pub fn request_with(name: &str, values: &[&str]) -> String {
    head("GET / HTTP/1.1", &replaced(&GOOD, name, values))
}

/// A client that offers two subprotocols.
pub fn client(config: Config) -> client::Handshake {
    let request = ClientRequest::new("ws://example.com/chat").unwrap();
    let request = request.protocol("v2.chat").unwrap().protocol("v1.chat").unwrap();
    client::Handshake::new(request, config, [7; 32], NOW)
}

/// What answers the key of a request.
pub fn answer_to(request: &[u8]) -> String {
    let request = String::from_utf8(request.to_vec()).unwrap();
    let (_, key) = request.split_once("Sec-WebSocket-Key: ").unwrap();
    accept_key(key.split_once("\r\n").unwrap().0)
}

/// What answers the key of `client()`.
pub fn answer() -> String {
    answer_to(client(Config::default()).output().chunk())
}

/// A good 101 for `client()` but for the fields of one name, which have these values.
pub fn response_with(name: &str, values: &[&str]) -> String {
    let answer = answer();
    let good = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", &*answer)];
    head("HTTP/1.1 101 Switching Protocols", &replaced(&good, name, values))
}

/// Reads a head, and nothing of what is behind it.
pub fn read_head(from: &mut impl Read) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    head
}

/// The bytes in pieces of the sizes that `cuts` says in turn.
pub fn pieces<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts = cuts.iter().copied().cycle();
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(cuts.next().unwrap_or(usize::MAX).clamp(1, bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// The bytes in one piece, in single bytes, and in pieces of mixed and random sizes.
pub fn deliveries(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    let random = (0..3).map(random_cuts);
    let all = DELIVERIES.iter().map(|cuts| cuts.to_vec()).chain(random);
    all.map(|cuts| pieces(bytes, &cuts)).collect()
}

/// What became of bytes that were meant to be a handshake, and of those behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is not complete.
    Waiting,
    Failed {
        error: HandshakeError,
        /// What a server answers.
        answer: String,
    },
    /// A client was refused.
    Refused { status: u16, fields: Vec<(String, Vec<u8>)>, body: Vec<u8> },
    Open {
        fields: Vec<(String, Vec<u8>)>,
        /// What the connection sees of all that follows, and all it says.
        seen: Vec<Seen>,
        said: Vec<u8>,
    },
}

impl Opened {
    pub fn error(&self) -> Option<HandshakeError> {
        match self {
            Opened::Failed { error, .. } => Some(*error),
            _ => None,
        }
    }

    /// Without what depends on the delivery by intention: of a refusal that does not say how long its body
    /// is, as much as has come with the head is good enough.
    pub fn comparable(mut self) -> Self {
        if let Opened::Refused { fields, body, .. } = &mut self
            && !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        {
            body.clear();
        }
        self
    }
}

fn owned(headers: &Headers) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
}

fn open(headers: &Headers, mut connection: Connection, rest: &[&[u8]]) -> Opened {
    // The connection has what came behind the head already.
    let mut seen = crate::common::events(&mut connection);
    for event in
        feed(&mut connection, &rest.concat(), &rest.iter().map(|piece| piece.len()).collect::<Vec<_>>())
    {
        if seen.last() != Some(&event) || !matches!(event, Seen::End | Seen::Failed(_)) {
            seen.push(event);
        }
    }
    Opened::Open { fields: owned(headers), seen, said: output(&mut connection) }
}

/// What a server that accepts all makes of these pieces.
pub fn server_of(config: &Config, pieces: &[&[u8]]) -> Opened {
    let mut handshake = server::Handshake::new(config.clone(), NOW);
    for (index, piece) in pieces.iter().enumerate() {
        handshake.input().put_slice(piece);
        match handshake.poll() {
            Ok(None) => {}
            Ok(Some(request)) => {
                let headers = request.headers().clone();
                let connection = request.accept(Accept::new(), NOW).unwrap();
                return open(&headers, connection, &pieces[index + 1..]);
            }
            Err(rejection) => {
                let error = rejection.error();
                let mut output = rejection.into_output();
                let answer = output.copy_to_bytes(output.remaining()).to_vec();
                return Opened::Failed { error, answer: String::from_utf8(answer).unwrap() };
            }
        }
    }
    Opened::Waiting
}

/// What `client()` makes of these pieces.
pub fn client_of(config: &Config, pieces: &[&[u8]]) -> Opened {
    let mut handshake = client(config.clone());
    for (index, piece) in pieces.iter().enumerate() {
        handshake.input().put_slice(piece);
        match handshake.poll() {
            Ok(None) => {}
            Ok(Some(Outcome::Established(established))) => {
                let headers = established.headers().clone();
                return open(&headers, established.into_connection(NOW), &pieces[index + 1..]);
            }
            Ok(Some(Outcome::Refused(refused))) => {
                let (status, body) = (refused.status(), refused.body().to_vec());
                return Opened::Refused { status, fields: owned(refused.headers()), body };
            }
            Err(error) => return Opened::Failed { error, answer: String::new() },
        }
    }
    Opened::Waiting
}

/// What becomes of bytes, which must not depend on how they are cut.
fn opens(config: &Config, bytes: &[u8], of: fn(&Config, &[&[u8]]) -> Opened) -> Opened {
    let mut all = deliveries(bytes).into_iter().map(|pieces| of(config, &pieces).comparable());
    let first = all.next().unwrap_or(Opened::Waiting);
    for other in all {
        assert!(other == first, "what comes out depends on how the bytes are cut: {first:?}\nor {other:?}");
    }
    first
}

/// What a server that accepts all makes of these bytes, in every delivery.
pub fn server_opens(config: &Config, bytes: impl AsRef<[u8]>) -> Opened {
    opens(config, bytes.as_ref(), server_of)
}

/// What `client()` makes of these bytes, in every delivery.
pub fn client_opens(config: &Config, bytes: impl AsRef<[u8]>) -> Opened {
    opens(config, bytes.as_ref(), client_of)
}
