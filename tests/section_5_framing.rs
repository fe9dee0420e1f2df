//! RFC 6455 §5: frames.
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
use sansock::{Error, Violation};

fn violation(violation: Violation) -> Vec<Seen> {
    vec![Seen::Failed(Error::Protocol(violation))]
}

/// A masked Close frame with a code, as bytes of a server: what a failed connection leaves behind.
fn close(code: u16) -> Vec<u8> {
    plain(0x88, &code.to_be_bytes())
}

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
fn section_5_1_masks_go_one_way_only() {
    for payload in [&b""[..], b"x"] {
        assert_eq!(server_sees(&plain(0x82, payload)), (violation(Violation::Unmasked), close(1002)));
        assert_eq!(client_sees(&masked(0x82, payload)).0, violation(Violation::Masked));
    }
}

#[test]
fn section_5_2_reserved_bits() {
    for first in [0xc2, 0xa2, 0x92, 0xf2] {
        assert_eq!(server_sees(&masked(first, b"x")), (violation(Violation::ReservedBits), close(1002)));
    }
}

#[test]
fn section_5_2_reserved_opcodes_are_judged_at_the_first_byte() {
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        for fin in [0x00, 0x80] {
            assert_eq!(server_sees(&[fin | opcode]), (violation(Violation::ReservedOpcode), close(1002)));
        }
    }
}

#[test]
fn section_5_2_lengths_take_their_shortest_form() {
    for head in [&b"\x82\x7e\x00\x7d"[..], b"\x82\x7f\0\0\0\0\0\0\xff\xff", b"\x82\x7f\0\0\0\0\0\0\0\0"] {
        assert_eq!(client_sees(head).0, violation(Violation::LengthNotMinimal));
    }
    for length in [1 << 63, u64::MAX - 3, u64::MAX] {
        let head = [&b"\x82\x7f"[..], &u64::to_be_bytes(length)].concat();
        assert_eq!(client_sees(&head).0, violation(Violation::LengthOutOfRange));
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
fn section_5_4_order_of_fragments() {
    assert_eq!(server_sees(&masked(0x80, b"x")).0, violation(Violation::UnexpectedContinuation));
    for second in [0x81, 0x01, 0x82, 0x02] {
        let bytes = [masked(0x01, b"x"), masked(second, b"y")].concat();
        assert_eq!(server_sees(&bytes), (violation(Violation::ExpectedContinuation), close(1002)));
    }
    let after = [masked(0x01, b"x"), masked(0x80, b"y"), masked(0x80, b"z")].concat();
    assert_eq!(
        server_sees(&after).0,
        [text("xy"), Seen::Failed(Error::Protocol(Violation::UnexpectedContinuation))]
    );
}

#[test]
fn section_5_5_control_frames_are_short_and_whole() {
    for opcode in [0x8, 0x9, 0xa] {
        assert_eq!(server_sees(&[opcode]).0, violation(Violation::FragmentedControl));
        for length in [0xfe, 0xff] {
            assert_eq!(server_sees(&[0x80 | opcode, length]).0, violation(Violation::ControlTooLong));
        }
    }
    let most = [7; 125];
    assert_eq!(server_sees(&masked(0x89, &most)), (vec![Seen::Ping(most.into())], plain(0x8a, &most)));
}

#[test]
fn section_5_5_3_every_ping_of_a_burst_is_answered() {
    let payloads: Vec<[u8; 8]> = (0..10u64).map(u64::to_be_bytes).collect();
    let pings: Vec<u8> = payloads.iter().flat_map(|payload| masked(0x89, payload)).collect();
    let pongs: Vec<u8> = payloads.iter().flat_map(|payload| plain(0x8a, payload)).collect();
    assert_eq!(server_sees(&pings).1, pongs);
}

#[test]
fn section_5_5_3_a_peer_that_never_reads_gets_few_pongs_and_the_newest() {
    let mut server = server();
    let pings: Vec<u8> = (0..100_000u32).flat_map(|i| masked(0x89, &i.to_be_bytes())).collect();
    assert_eq!(feed(&mut server, &pings, &[1 << 16]).len(), 100_000);
    assert!(server.buffered() <= 1 << 10, "{}", server.buffered());
    let sent = output(&mut server);
    assert!(sent.starts_with(&plain(0x8a, &0u32.to_be_bytes())));
    assert!(sent.ends_with(&plain(0x8a, &99_999u32.to_be_bytes())));
}

#[test]
fn section_8_1_text_fails_at_the_byte_that_cannot_be_right() {
    // Half of a frame, half of a message: what is still to come cannot save it.
    let bytes = &masked(0x01, b"ok \xce\xba\xed\xa0 and so on, for a long time")[..6 + 7];
    assert_eq!(server_sees(bytes), (vec![Seen::Failed(Error::InvalidUtf8)], close(1007)));
    let cut = [masked(0x01, b"\xf0\x9f"), masked(0x00, b"\x98"), masked(0x80, b"\x80")].concat();
    assert_eq!(server_sees(&cut).0, [text("\u{1f600}")]);
    let cut_at_the_end = [masked(0x01, b"x"), masked(0x80, b"\xf0\x9f\x98")].concat();
    assert_eq!(server_sees(&cut_at_the_end).0, [Seen::Failed(Error::InvalidUtf8)]);
    assert_eq!(server_sees(&masked(0x82, b"\xff\xfe")).0, [binary(b"\xff\xfe")]);
    for long in [&b"\xff"[..], &[&[b'a'; 300][..], b"\xc3"].concat()] {
        assert_eq!(server_sees(&masked(0x81, long)).0, [Seen::Failed(Error::InvalidUtf8)]);
    }
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
