//! The examples of RFC 6455 §1.3 and §5.7, and of RFC 7692 §7.2.3, cut into two and into three parts in every way: bytes
//! that are received, and output that is written piece by piece.

use bytes::{Buf, BufMut, Bytes};
use sansock::handshake::accept_key;
use sansock::handshake::client::{self, ClientRequest, Outcome};
use sansock::handshake::server::{self, Accept};
use sansock::{Config, Connection, Timestamp};

use crate::common::{Seen, binary, events, give, output, text};
use crate::role::{Role, unmasked};
use crate::sample;

const NOW: Timestamp = Timestamp::EPOCH;

const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn response(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )
}

const MASKED_HELLO: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
const HELLO: &[u8] = b"\x81\x05Hello";

/// Where the first and the second part end: all pairs, which are all ways to make three parts, some of them empty,
/// and so all ways to make two. Of an example of 64 KiB these would be two thousand million: there the second part
/// ends anywhere if the first one ends within the header, and both do at every 1021st byte.
fn cuts(len: usize) -> impl Iterator<Item = (usize, usize)> {
    const HEADER: usize = 14;
    let all = move |firsts: usize, step: usize| {
        let seconds = move |first| (first..=len).step_by(step).map(move |second| (first, second));
        (0..=firsts.min(len)).step_by(step).flat_map(seconds)
    };
    let is_long = len > 1000;
    let (near, far) = if is_long { (HEADER, len) } else { (len, 0) };
    let kept: Vec<(usize, usize)> = all(near, 1).chain(all(far, 1021).filter(move |_| is_long)).collect();
    let step = if is_long { 4999 } else { 29 };
    sample(kept.len(), step).map(move |i| kept[i])
}

/// The parts of `bytes` that end there.
fn parts(bytes: &[u8], (first, second): (usize, usize)) -> [&[u8]; 3] {
    [&bytes[..first], &bytes[first..second], &bytes[second..]]
}

/// Every way to cut these bytes makes the same events.
fn assert_received(new: impl Fn() -> Connection, bytes: &[u8], expected: &[Seen]) {
    let mut whole = new();
    give(&mut whole, bytes);
    assert_eq!(events(&mut whole), expected);
    let answer = output(&mut whole);
    for cuts in cuts(bytes.len()) {
        let mut connection = new();
        let mut seen = Vec::new();
        for part in parts(bytes, cuts) {
            give(&mut connection, part);
            seen.extend(events(&mut connection));
        }
        assert!(seen == expected, "{seen:?} {cuts:?}");
        assert_eq!(output(&mut connection), answer, "{cuts:?}");
    }
}

fn server() -> Connection {
    Role::Server.connection(&Config::default())
}

fn client() -> Connection {
    Role::Client.connection(&Config::default())
}

/// The examples of §5.7 that a client receives, and those that a server does.
fn frames() -> [(Role, Vec<u8>, Seen); 7] {
    let data = |len: u32| (0..len).map(|i| (i * 7) as u8).collect::<Vec<u8>>();
    let (medium, long) = (data(256), data(65536));
    [
        (Role::Client, HELLO.to_vec(), text("Hello")),
        (Role::Server, MASKED_HELLO.to_vec(), text("Hello")),
        (Role::Client, b"\x01\x03Hel\x80\x02lo".to_vec(), text("Hello")),
        (Role::Client, b"\x89\x05Hello".to_vec(), Seen::Ping(b"Hello".to_vec())),
        (Role::Server, [b"\x8a", &MASKED_HELLO[1..]].concat(), Seen::Pong(b"Hello".to_vec())),
        (Role::Client, [b"\x82\x7e\x01\x00", &medium[..]].concat(), binary(&medium)),
        (Role::Client, [b"\x82\x7f\0\0\0\0\0\x01\0\0", &long[..]].concat(), binary(&long)),
    ]
}

#[test]
fn rfc_6455_section_5_7_received_in_every_two_and_three_parts() {
    for (role, bytes, seen) in frames() {
        assert_received(|| role.connection(&Config::default()), &bytes, &[seen]);
    }
}

/// Every way to write this output in pieces writes these bytes.
fn assert_written(new: impl Fn() -> Connection, send: impl Fn(&mut Connection), expected: &[u8]) {
    for cuts in cuts(expected.len()) {
        let mut connection = new();
        send(&mut connection);
        for part in parts(expected, cuts) {
            assert!(takes(&mut connection, part), "{cuts:?}");
        }
        assert_eq!((connection.buffered(), connection.output().has_remaining()), (0, false));
    }
}

/// Whether a transport that takes as much of what waits gets this.
fn takes(connection: &mut Connection, mut expected: &[u8]) -> bool {
    while !expected.is_empty() {
        let output = connection.output();
        let len = output.chunk().len().min(expected.len());
        let (part, rest) = expected.split_at(len);
        if len == 0 || output.chunk()[..len] != *part {
            return false;
        }
        output.advance(len);
        expected = rest;
    }
    true
}

#[test]
fn rfc_6455_section_5_7_written_in_every_two_and_three_pieces() {
    let [hello, _, fragmented, ping, _, medium, long] = frames().map(|(_, bytes, _)| bytes);
    assert_written(server, |server| server.text("Hello").unwrap(), &hello);
    let in_fragments = |server: &mut Connection| {
        server.fragment("Hel").unwrap();
        server.last_fragment("lo").unwrap();
    };
    assert_written(server, in_fragments, &fragmented);
    assert_written(server, |server| server.ping(b"Hello").unwrap(), &ping);
    assert_written(server, |server| server.binary(&medium[4..]).unwrap(), &medium);
    // Copied into the output, and spliced into it.
    let owned = Bytes::copy_from_slice(&long[10..]);
    assert_written(server, |server| server.binary(&owned).unwrap(), &long);
    assert_written(server, |server| server.send(owned.clone()).unwrap(), &long);
}

type Send = fn(&mut Connection);

#[test]
fn rfc_6455_section_5_7_written_masked_in_every_two_and_three_pieces() {
    let written = |send: Send| {
        let mut client = client();
        send(&mut client);
        output(&mut client)
    };
    let sends: [(Send, &[u8]); 2] = [
        (|client| client.text("Hello").unwrap(), HELLO),
        (|client| client.pong(b"Hello").unwrap(), b"\x8a\x05Hello"),
    ];
    for (send, example) in sends {
        let bytes = written(send);
        assert_eq!(unmasked(&bytes), example, "but for the key, which is not the example's");
        assert_written(client, send, &bytes);
    }
}

#[test]
fn rfc_6455_section_1_3_request_received_in_every_two_and_three_parts() {
    let bytes = [REQUEST.as_bytes(), MASKED_HELLO].concat();
    for cuts in cuts(bytes.len()) {
        let mut handshake = server::Handshake::new(Config::default(), NOW);
        let (mut connection, mut seen): (Option<Connection>, _) = (None, Vec::new());
        for part in parts(&bytes, cuts) {
            if let Some(connection) = &mut connection {
                give(connection, part);
            } else {
                handshake.input().put_slice(part);
                let Some(request) = handshake.poll().unwrap() else { continue };
                assert_eq!((request.target(), request.origin()), ("/chat", Some("http://example.com")));
                assert!(request.protocols().eq(["chat", "superchat"]));
                connection = Some(request.accept(Accept::new().protocol("chat"), NOW).unwrap());
            }
            seen.extend(connection.iter_mut().flat_map(events));
        }
        let answer = output(&mut connection.unwrap());
        assert_eq!(answer, response("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=").as_bytes(), "{cuts:?}");
        assert_eq!(seen, [text("Hello")], "{cuts:?}");
    }
}

fn handshake() -> client::Handshake {
    let request = ClientRequest::new("ws://server.example.com/chat").unwrap();
    let request = request.header("Origin", "http://example.com").unwrap();
    let request = request.protocol("chat").unwrap().protocol("superchat").unwrap();
    client::Handshake::new(request, Config::default(), [7; 32], NOW)
}

#[test]
fn rfc_6455_section_1_3_response_received_in_every_two_and_three_parts() {
    let mut asking = handshake();
    let request = String::from_utf8(asking.output().chunk().to_vec()).unwrap();
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let bytes = [response(&accept_key(key)).as_bytes(), HELLO].concat();
    for cuts in cuts(bytes.len()) {
        let mut handshake = handshake();
        let (mut connection, mut seen): (Option<Connection>, _) = (None, Vec::new());
        for part in parts(&bytes, cuts) {
            if let Some(connection) = &mut connection {
                give(connection, part);
            } else {
                handshake.input().put_slice(part);
                match handshake.poll().unwrap() {
                    None => {}
                    Some(Outcome::Established(established)) => {
                        assert_eq!(established.protocol(), Some("chat"));
                        connection = Some(established.into_connection(NOW));
                    }
                    Some(other) => panic!("{other:?}"),
                }
            }
            seen.extend(connection.iter_mut().flat_map(events));
        }
        assert_eq!(seen, [text("Hello")], "{cuts:?}");
    }
}

#[test]
fn rfc_6455_section_1_3_response_written_in_every_two_and_three_pieces() {
    let accepted = || {
        let mut handshake = server::Handshake::new(Config::default(), NOW);
        handshake.input().put_slice(REQUEST.as_bytes());
        let request = handshake.poll().unwrap().unwrap();
        request.accept(Accept::new().protocol("chat"), NOW).unwrap()
    };
    let bytes = [response("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=").as_bytes(), HELLO].concat();
    assert_written(accepted, |server| server.text("Hello").unwrap(), &bytes);
}

#[cfg(feature = "deflate")]
mod deflate {
    use sansock::deflate::{Deflate, accept};

    use super::*;
    use crate::common::plain;

    /// A connection that has agreed on permessage-deflate with these parameters.
    fn agreed(role: Role, params: &str) -> Connection {
        // As small as the example, and with the matches that it has.
        let mut deflate = Deflate::default();
        (deflate.threshold, deflate.level) = (0, 6);
        let offer = format!("permessage-deflate{params}");
        let agreed = accept([offer.as_bytes()], &deflate).unwrap();
        role.connection(&Config::default()).with_deflate(agreed, &deflate)
    }

    type Frames<'a> = &'a [(u8, &'a [u8])];

    const NO_TAKEOVER: &str = "; server_no_context_takeover; client_no_context_takeover";
    const ONE_BLOCK: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    const AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";
    const STORED: &[u8] = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
    const BFINAL: &[u8] = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
    const TWO_BLOCKS: &[u8] = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";

    #[test]
    fn rfc_7692_section_7_2_3_received_in_every_two_and_three_parts() {
        let (before, after) = ONE_BLOCK.split_at(3);
        let examples: [(&str, Frames<'_>, usize); 8] = [
            ("", &[(0xc1, ONE_BLOCK)], 1),
            ("", &[(0x41, before), (0x80, after)], 1),
            ("", &[(0xc1, ONE_BLOCK), (0xc1, AGAIN)], 2),
            (NO_TAKEOVER, &[(0xc1, ONE_BLOCK), (0xc1, ONE_BLOCK)], 2),
            ("", &[(0xc1, STORED)], 1),
            ("", &[(0xc1, BFINAL)], 1),
            ("", &[(0xc1, TWO_BLOCKS)], 1),
            ("", &[(0x41, b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff"), (0x80, b"\x00")], 1),
        ];
        for (params, frames, messages) in examples {
            for role in Role::BOTH {
                let expected = vec![text("Hello"); messages];
                assert_received(|| agreed(role, params), &role.frames(frames), &expected);
            }
        }
    }

    #[test]
    fn rfc_7692_section_7_2_3_written_in_every_two_and_three_pieces() {
        for (params, second) in [("", AGAIN), (NO_TAKEOVER, ONE_BLOCK)] {
            let send = |connection: &mut Connection| {
                connection.text("Hello").unwrap();
                connection.text("Hello").unwrap();
            };
            let expected = [plain(0xc1, ONE_BLOCK), plain(0xc1, second)].concat();
            assert_written(|| agreed(Role::Server, params), send, &expected);
            let mut client = agreed(Role::Client, params);
            send(&mut client);
            let bytes = output(&mut client);
            assert_eq!(unmasked(&bytes), expected, "but for the keys");
            assert_written(|| agreed(Role::Client, params), send, &bytes);
        }
    }
}
