//! RFC 6455 §5: frames that are legal. What is not is in `tests/hostile`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::large_stack_arrays,
    clippy::similar_names,
    reason = "a test may panic, and counts in small numbers"
)]

mod common;

use bytes::Buf;
use common::*;

#[test]
fn section_5_7_examples() {
    assert_eq!(client_sees(b"\x81\x05Hello").0, [text("Hello")]);
    assert_eq!(server_sees(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58").0, [text("Hello")]);
    assert_eq!(client_sees(b"\x01\x03Hel\x80\x02lo").0, [text("Hello")]);
    assert_eq!(client_sees(b"\x89\x05Hello").0, [Seen::Ping(b"Hello".into())]);
    let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(server_sees(pong).0, [Seen::Pong(b"Hello".into())]);
    for (head, len) in [(&b"\x82\x7e\x01\x00"[..], 256), (b"\x82\x7f\0\0\0\0\0\x01\0\0", 65536)] {
        let data = vec![7; len];
        assert_eq!(client_sees(&[head, &data].concat()).0, [binary(&data)]);
    }
}

#[test]
fn section_5_2_every_length_around_a_boundary_arrives() {
    for len in [0, 1, 124, 125, 126, 127, 128, 129, 0xfffe, 0xffff, 0x1_0000, 0x1_0001] {
        let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
        assert_eq!(server_sees(&masked(0x82, &data)).0, [binary(&data)]);
        assert_eq!(client_sees(&plain(0x82, &data)).0, [binary(&data)]);
    }
}

#[test]
fn section_5_4_fragments_make_one_message() {
    let bytes = [
        masked(0x01, b"a"),
        masked(0x00, b""),
        masked(0x89, b"in between"),
        masked(0x00, b"bc"),
        masked(0x80, b"d"),
        masked(0x82, b"next"),
    ];
    let (seen, sent) = server_sees(&bytes.concat());
    assert_eq!(seen, [Seen::Ping(b"in between".into()), text("abcd"), binary(b"next")]);
    assert_eq!(sent, plain(0x8a, b"in between"));
}

#[test]
fn section_5_5_3_every_ping_of_a_burst_is_answered() {
    let payloads: Vec<[u8; 8]> = (0..10u64).map(u64::to_be_bytes).collect();
    let pings: Vec<u8> = payloads.iter().flat_map(|payload| masked(0x89, payload)).collect();
    let pongs: Vec<u8> = payloads.iter().flat_map(|payload| plain(0x8a, payload)).collect();
    assert_eq!(server_sees(&pings).1, pongs);
}

#[test]
fn section_5_5_3_a_pong_that_waits_goes_along_when_output_is_appended() {
    let mut server = server();
    let pings: Vec<u8> = (0..100u8).flat_map(|i| masked(0x89, &[i; 50])).collect();
    feed(&mut server, &pings, &[usize::MAX]);
    // The newest pong waits until those before it are written.
    assert!(server.output().remaining() > 500);
    let (_, mut send) = server.split();
    let mut wire = send.fork();
    wire.append(&mut send).unwrap();
    let mut bytes = Vec::new();
    while wire.output().has_remaining() {
        bytes.extend_from_slice(wire.output().chunk());
        let len = wire.output().chunk().len();
        wire.output().advance(len);
    }
    assert!(bytes.ends_with(&plain(0x8a, &[99; 50])));
}
