//! Rule C, one test for each of its sentences.

use bytes::{Buf, BufMut};
use sansock::deflate::{Deflate, InvalidParam, WindowBits, accept, agree};
use sansock::frame::{Header, Masking, Reserved, Rules};
use sansock::handshake::HandshakeError;
use sansock::{DeflateError, Error, Timestamp, Violation};
use zlib_rs::DeflateFlush;

use super::peers::{self, BINARY, Encoder, TEXT, both_see, both_see_with, fails, limited, noise};
use crate::close::{Role, closing};
use crate::common::{Seen, binary, events, feed, output, plain, text};

const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
const HELLO_AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";

/// (i) "budget per message": used up by one, it is whole again for the next, in whatever fragments.
#[test]
fn rule_c_i_each_message_has_the_limit_to_itself() {
    let mut encoder = Encoder::new(6, 15, true);
    let payload = noise(5000);
    let exact: Vec<Vec<u8>> = (0..5).map(|_| encoder.message(&payload)).collect();
    let over = encoder.message(&noise(5001));
    let mut frames: Vec<(u8, &[u8])> = Vec::new();
    for message in &exact {
        let (first, rest) = message.split_at(message.len() / 2);
        frames.extend([(0x42, first), (0x00, &[][..]), (0x80, rest)]);
    }
    let mut expected = vec![binary(&payload); 5];
    assert_eq!(both_see_with(&frames, &limited(5000), ""), expected);
    frames.push((BINARY, &over));
    expected.push(Seen::Failed(Error::TooBig));
    assert_eq!(both_see_with(&frames, &limited(5000), ""), expected);
}

/// (ii) RSV1 is legal where a data message begins, if it was negotiated, and nowhere else.
#[test]
fn rule_c_ii_rsv1_is_legal_where_a_message_begins() {
    let is_legal = |before: &[(u8, &[u8])], first: u8| {
        let frames = [before, &[(first, &b"\x00"[..])]].concat();
        !matches!(
            both_see(&frames).last(),
            Some(Seen::Failed(Error::Protocol(Violation::ReservedBits | Violation::ReservedOpcode)))
        )
    };
    for bits in 0..8_u8 {
        for opcode in 0..16_u8 {
            let first = 0x80 | bits << 4 | opcode;
            let is_data = matches!(opcode, 1 | 2);
            let is_known = matches!(opcode, 0..=2 | 8..=10);
            assert_eq!(is_legal(&[], first), is_known && (bits == 0 || (bits == 4 && is_data)), "{first:#x}");
            if opcode == 0 {
                assert_eq!(is_legal(&[(0x42, HELLO)], first), bits == 0);
                assert_eq!(is_legal(&[(0x02, HELLO)], first), bits == 0);
            }
        }
    }
    for role in Role::BOTH {
        let (seen, sent) = role.sees(&role.of_peer(TEXT, HELLO));
        assert_eq!(seen, [Seen::Failed(Error::Protocol(Violation::ReservedBits))]);
        assert_eq!(sent, [closing(1002)]);
    }
}

/// (iii) Both values of BFINAL, several blocks, and the tail missing or there in part, in one conversation whose
/// every message refers to those before.
#[test]
fn rule_c_iii_streams_end_where_they_like() {
    let mut encoder = Encoder::new(6, 15, true);
    let said = b"the same words, again and again, and the same words";
    let mut messages = Vec::new();
    for left in [4, 0, 3, 1, 2] {
        let flushed = encoder.flush(said);
        messages.push(flushed[..flushed.len() - 4 + left].to_vec());
        // Two flushes in one message make two blocks, of which the first has its tail.
        let (start, end) = said.split_at(20);
        messages.push([encoder.flush(start), encoder.message(end)].concat());
    }
    let mut ending = Encoder::new(6, 15, true);
    messages.push(ending.run(said, DeflateFlush::Finish));
    messages.push(HELLO.to_vec());
    messages.push(HELLO_AGAIN.to_vec());
    let frames: Vec<(u8, &[u8])> = messages.iter().map(|message| (TEXT, &message[..])).collect();
    let mut expected = vec![text(std::str::from_utf8(said).unwrap()); 11];
    expected.extend([text("Hello"), text("Hello")]);
    assert_eq!(both_see(&frames), expected);
}

/// (iv) Window bits are 8 to 15 in decimal; for 8 nothing is compressed, and inflated all the same.
#[test]
fn rule_c_iv_windows() {
    let offer =
        |bits: &str| format!("permessage-deflate; server_max_window_bits={bits}; client_max_window_bits");
    for bits in 0..300 {
        let accepted = accept([offer(&bits.to_string()).as_bytes()], &Deflate::default());
        assert_eq!(accepted.is_some(), (9..=15).contains(&bits), "{bits}");
        for odd in [format!("0{bits}"), format!("+{bits}"), format!("-{bits}"), format!("\"0{bits}\"")] {
            assert!(accept([offer(&odd).as_bytes()], &Deflate::default()).is_none(), "{odd}");
            let answer = format!("permessage-deflate; client_max_window_bits={odd}");
            let offers: Vec<_> = sansock::deflate::Offer::all_of(&Deflate::default()).collect();
            let judged = agree([answer.as_bytes()], &offers);
            assert_eq!(judged, Err(HandshakeError::Deflate(InvalidParam::WindowBits)), "{odd}");
        }
    }
    // A window of 256 bytes, with what zlib's compressors for it need: one of 512.
    let mut encoder = Encoder::new(6, 9, true);
    let payload = noise(400);
    let frames = [encoder.message(&payload), encoder.message(&payload[..100])];
    let mut agreed = peers::agreed("");
    agreed.server_max_window_bits = Some(WindowBits::MIN);
    let mut client = crate::common::client().with_deflate(agreed, &Deflate::default());
    for (frame, payload) in frames.iter().zip([&payload[..], &payload[..100]]) {
        assert_eq!(feed(&mut client, &plain(BINARY, frame), &[3]), [binary(payload)]);
    }
}

/// (v) The tail is never written into the receive buffer: what stands behind a message stays what it is.
#[test]
fn rule_c_v_what_follows_a_message_is_untouched() {
    let next = [0, 0, 0xff, 0xff, 0x55, 0xaa];
    let frames: &[(u8, &[u8])] = &[
        (TEXT, HELLO),
        (0x82, &next),
        (0x41, HELLO),
        (0x89, &next),
        (0x80, b""),
        (TEXT, HELLO_AGAIN),
        (0x82, &next),
    ];
    let ping = Seen::Ping(next.to_vec());
    let expected = [text("Hello"), binary(&next), ping, text("Hello"), text("Hello"), binary(&next)];
    assert_eq!(both_see(frames), expected);
}

/// How many frames of a server are whole in these bytes.
fn whole_frames(mut bytes: &[u8]) -> usize {
    let rules = Rules { reserved: Reserved::RSV1, masking: Masking::Forbidden };
    let mut count = 0;
    while let Ok(Some((header, size))) = Header::parse(bytes, rules) {
        let len = size + usize::try_from(header.len()).unwrap();
        let Some(rest) = bytes.get(len..) else { break };
        bytes = rest;
        count += 1;
    }
    count
}

/// (vi) A message is compressed by the call that queues it: whatever becomes of writing, nothing is compressed
/// later, twice or not at all. The shims' futures add nothing to that.
#[test]
fn rule_c_vi_a_message_is_compressed_when_it_is_queued() {
    let said = |i: usize| format!("message {i} of many that have most of their words in common, number {i}");
    for most in [1, 2, 7, 1000] {
        let mut server = peers::server(sansock::Config::default(), "");
        let mut client = peers::client(sansock::Config::default(), "");
        let mut on_the_wire = Vec::new();
        for i in 0..50 {
            let before = server.buffered();
            server.text(&said(i)).unwrap();
            let queued = server.buffered();
            assert!(queued > before);
            // A transport takes a little, or nothing, and the driver gives up and comes back.
            for _ in 0..i % 4 {
                let len = most.min(server.output().chunk().len());
                on_the_wire.extend_from_slice(&server.output().chunk()[..len]);
                server.output().advance(len);
                server.handle_would_block();
                server.handle_timeout(Timestamp::EPOCH);
            }
        }
        on_the_wire.extend(output(&mut server));
        assert_eq!(whole_frames(&on_the_wire), 50);
        client.input().put_slice(&on_the_wire);
        client.handle_input(Timestamp::EPOCH);
        assert_eq!(events(&mut client), (0..50).map(|i| text(&said(i))).collect::<Vec<_>>());
    }
}

/// (i) once more: what is refused for its size is refused for that, and not for what it is made of.
#[test]
fn rule_c_i_the_first_error_counts() {
    let over = [Encoder::new(0, 15, true).message(&noise(300)), b"\x07".to_vec()].concat();
    assert_eq!(both_see_with(&[(BINARY, &over)], &limited(299), ""), [Seen::Failed(Error::TooBig)]);
    assert_eq!(both_see_with(&[(BINARY, &over)], &limited(300), ""), fails(DeflateError::Truncated));
}
