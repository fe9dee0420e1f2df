//! RFC 7692 §6.2 and §7.2.2: receiving compressed messages; items 58 to 65 and 71 of hostile inputs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::similar_names,
    reason = "a test may panic, and counts in small numbers"
)]

mod common;
#[path = "common/deflate.rs"]
mod deflate;

use bytes::{Buf, BufMut};
use common::{Seen, binary, masked, plain, sees, text};
use deflate::{Encoder, both_see, both_see_with, chunks, fails, limited, noise};
use sansock::{Config, Connection, DeflateError, Error, Timestamp, Violation};
use zlib_rs::DeflateFlush;

const TEXT: u8 = deflate::TEXT;
const BINARY: u8 = deflate::BINARY;
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// "Hello" as RFC 7692 §7.2.3.1 has it.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
/// The same once more, with context takeover (§7.2.3.2).
const HELLO_AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";

#[test]
fn section_7_2_3_1_one_block() {
    assert_eq!(both_see(&[(TEXT, HELLO)]), [text("Hello")]);
    assert_eq!(both_see(&[(0x41, &HELLO[..3]), (0x80, &HELLO[3..])]), [text("Hello")]);
}

#[test]
fn section_7_2_3_2_sharing_the_window() {
    assert_eq!(both_see(&[(TEXT, HELLO), (TEXT, HELLO_AGAIN)]), [text("Hello"), text("Hello")]);
    assert_eq!(both_see(&[(TEXT, HELLO), (TEXT, HELLO)]), [text("Hello"), text("Hello")]);
    // Without takeover there is nothing to refer to.
    let no_takeover = "; server_no_context_takeover; client_no_context_takeover";
    let saw = both_see_with(&[(TEXT, HELLO), (TEXT, HELLO_AGAIN)], &Config::default(), no_takeover);
    assert_eq!(saw, [text("Hello"), Seen::Failed(Error::Deflate(DeflateError::Corrupt))]);
}

#[test]
fn section_7_2_3_3_stored_block() {
    let stored = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
    assert_eq!(both_see(&[(TEXT, stored)]), [text("Hello")]);
}

#[test]
fn section_7_2_3_5_two_blocks() {
    let blocks = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
    assert_eq!(both_see(&[(TEXT, blocks)]), [text("Hello")]);
}

#[test]
fn section_7_2_3_6_empty_fragment() {
    let mut part = HELLO.to_vec();
    part.extend(TAIL);
    assert_eq!(both_see(&[(0x41, &part), (0x80, b"\x00")]), [text("Hello")]);
}

#[test]
fn section_6_1_opcode_is_kept_and_control_frames_are_not_compressed() {
    let frames: &[(u8, &[u8])] =
        &[(0x42, &HELLO[..1]), (0x89, b"ping"), (0x00, &HELLO[1..4]), (0x8a, b""), (0x80, &HELLO[4..])];
    let (ping, pong) = (Seen::Ping(b"ping".to_vec()), Seen::Pong(Vec::new()));
    assert_eq!(both_see(frames), [ping, pong, binary(b"Hello")]);
}

#[test]
fn hostile_58_rsv1_where_it_may_not_be() {
    let violation = vec![Seen::Failed(Error::Protocol(Violation::ReservedBits))];
    for first in [0xc8, 0xc9, 0xca, 0xa1, 0x91, 0xe1, 0xd2] {
        assert_eq!(both_see(&[(first, b"")]), violation, "{first:#x}");
    }
    assert_eq!(both_see(&[(0x41, &HELLO[..3]), (0xc0, &HELLO[3..])]), violation);
    assert_eq!(both_see(&[(0x01, b"He"), (0xc0, b"llo")]), violation);
    // At the first byte, before the length.
    assert_eq!(sees(&[0xc9], || deflate::server(Config::default(), "")).0, violation);
    // Not negotiated.
    assert_eq!(common::server_sees(&masked(TEXT, HELLO)).0, violation);
    assert_eq!(common::client_sees(&plain(TEXT, HELLO)).0, violation);
    // A new message inside of another one, compressed or not.
    let inside = vec![Seen::Failed(Error::Protocol(Violation::ExpectedContinuation))];
    assert_eq!(both_see(&[(0x41, &HELLO[..3]), (TEXT, HELLO)]), inside);
    assert_eq!(both_see(&[(0x41, &HELLO[..3]), (0x81, b"x")]), inside);
}

#[test]
fn hostile_58_a_continuation_of_no_compressed_message() {
    let violation = Seen::Failed(Error::Protocol(Violation::UnexpectedContinuation));
    let whole: &[(u8, &[u8])] = &[(TEXT, HELLO)];
    let parts: &[(u8, &[u8])] = &[(0x41, &HELLO[..3]), (0x80, &HELLO[3..])];
    for message in [whole, parts] {
        // Whether its payload would inflate or not.
        for payload in [&b""[..], HELLO_AGAIN, b"\xff"] {
            let frames = [message, &[(0x80, payload)]].concat();
            assert_eq!(both_see(&frames), [text("Hello"), violation.clone()], "{payload:x?}");
            let frames = [message, &[(0x89, b""), (0x80, payload)]].concat();
            assert_eq!(both_see(&frames), [text("Hello"), Seen::Ping(Vec::new()), violation.clone()]);
        }
    }
}

#[test]
fn hostile_59_uncompressed_messages_in_between() {
    let frames: &[(u8, &[u8])] = &[
        (TEXT, HELLO),
        (0x81, b"plain"),
        (0x02, b"a"),
        (0x80, b"b"),
        (TEXT, HELLO_AGAIN),
        (0x81, b""),
        (TEXT, HELLO_AGAIN),
    ];
    let hello = || text("Hello");
    assert_eq!(both_see(frames), [hello(), text("plain"), binary(b"ab"), hello(), text(""), hello()]);
}

#[test]
fn hostile_60_empty_messages() {
    let mut part = HELLO.to_vec();
    part.extend(TAIL);
    let frames: &[(u8, &[u8])] = &[
        (TEXT, b"\x00"),
        (TEXT, b""),
        (0x41, b""),
        (0x00, b""),
        (0x80, b""),
        (0x41, b""),
        (0x80, b"\x00"),
        // An empty final fragment behind a flush.
        (0x41, &part),
        (0x80, b""),
        // The other forms of a block without content: fixed codes, BFINAL, both.
        (TEXT, b"\x02\x00"),
        (TEXT, b"\x03\x00"),
        (TEXT, b"\x01\x00\x00\xff\xff"),
        (TEXT, HELLO_AGAIN),
    ];
    let empty = || text("");
    let saw = both_see(frames);
    assert_eq!(
        saw,
        [empty(), empty(), empty(), empty(), text("Hello"), empty(), empty(), empty(), text("Hello")]
    );
}

#[test]
fn hostile_61_every_form_of_the_tail() {
    // As much of it as the sender has left there; and the next message, which takes over.
    for left in 0..=4 {
        for payload in [&b"Hello"[..], b"Hello, hello, hello", &noise(300), &[0; 1000]] {
            let mut encoder = Encoder::new(6, 15, true);
            let first = [encoder.message(payload), TAIL[..left].to_vec()].concat();
            let second = encoder.message(payload);
            let saw = both_see(&[(BINARY, &first), (BINARY, &second), (BINARY, HELLO)]);
            assert_eq!(saw, [binary(payload), binary(payload), binary(b"Hello")], "{left} of the tail left");
        }
    }
}

#[test]
fn hostile_61_a_tail_that_ends_within_a_byte() {
    // A dynamic block to whose codes the tail adds the end: no compressor does that. What it leaves of the
    // last byte is not the beginning of the next message.
    let ragged = [
        &b"\x04\xdb\x37\x08\x00\x00\x0c\xc3\x30\xf8\xff\xff\xff\xff\xff\xff\x2f\xf9"[..],
        &[0xff; 11],
        b"\xd3",
    ]
    .concat();
    for payload in [&ragged[1..], &ragged] {
        let saw = both_see(&[(BINARY, payload), (TEXT, HELLO), (TEXT, HELLO_AGAIN)]);
        assert!(saw[1..] == [text("Hello"), text("Hello")] || matches!(saw[0], Seen::Failed(_)), "{saw:?}");
    }
}

#[test]
fn hostile_62_bfinal() {
    let final_block = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
    // §7.2.3.4, then without the byte behind the block, with more blocks, and twice in one message.
    let with_byte = [&final_block[..], b"\x00"].concat();
    let and_more = [&final_block[..], HELLO].concat();
    let twice = [&final_block[..], final_block].concat();
    let and_empty = [&final_block[..], b"\x03\x00\x03\x00"].concat();
    // The window is that of the connection, whatever ends in between.
    let and_again = [&final_block[..], HELLO_AGAIN].concat();
    for (payload, said) in [
        (&with_byte, "Hello"),
        (&final_block.to_vec(), "Hello"),
        (&and_more, "HelloHello"),
        (&twice, "HelloHello"),
        (&and_empty, "Hello"),
        (&and_again, "HelloHello"),
    ] {
        let frames: &[(u8, &[u8])] =
            &[(TEXT, payload), (TEXT, HELLO_AGAIN), (TEXT, payload), (TEXT, HELLO_AGAIN)];
        assert_eq!(both_see(frames), [text(said), text("Hello"), text(said), text("Hello")]);
    }
    // The limit counts all of them, and a character may begin in one and end in another.
    assert_eq!(both_see_with(&[(TEXT, &twice)], &limited(10), ""), [text("HelloHello")]);
    assert_eq!(both_see_with(&[(TEXT, &twice)], &limited(9), ""), [Seen::Failed(Error::TooBig)]);
    let (half, rest) = (b"\x01\x01\x00\xfe\xff\xc3", b"\x01\x01\x00\xfe\xff\xbc");
    assert_eq!(both_see(&[(TEXT, &[&half[..], rest].concat())]), [text("ü")]);
    assert_eq!(both_see(&[(TEXT, half)]), [Seen::Failed(Error::InvalidUtf8)]);
    // A message in two fragments, cut where the block with BFINAL ends.
    assert_eq!(both_see(&[(0x41, final_block), (0x80, HELLO)]), [text("HelloHello")]);
    assert_eq!(both_see(&[(0x41, final_block), (0x80, b"")]), [text("Hello")]);
    // The empty block whose lengths the sender removes has BFINAL itself; or, with fixed codes, has no lengths.
    let (removed, other) = (b"\x00\x05\x00\xfa\xffHello\x01", b"\x00\x05\x00\xfa\xffHello\x03");
    assert_eq!(both_see(&[(TEXT, removed), (TEXT, HELLO_AGAIN)]), [text("Hello"), text("Hello")]);
    assert_eq!(both_see(&[(TEXT, other)]), fails(DeflateError::Truncated));
    // A stream that is finished as a whole.
    let mut encoder = Encoder::new(6, 15, true);
    let payload = noise(100_000);
    let finished = encoder.run(&payload, DeflateFlush::Finish);
    assert_eq!(both_see(&[(BINARY, &finished), (TEXT, HELLO)]), [binary(&payload), text("Hello")]);
}

/// What a stream within a message refers to may have been handed out already.
#[test]
fn hostile_62_bfinal_within_a_message_in_chunks() {
    let content = noise(70_000);
    for (bits, distance) in [(15_u8, 32_000), (9, 500)] {
        let mut agreed = deflate::agreed("");
        agreed.client_max_window_bits = sansock::deflate::WindowBits::new(bits);
        for repeats in [1, 3] {
            // Finished streams of noise, each behind the last, and then what only the window knows.
            let mut payload = Vec::new();
            for _ in 0..repeats {
                payload.extend(Encoder::new(0, 15, true).run(&content, DeflateFlush::Finish));
            }
            let known = &content[content.len() - distance..][..100];
            let mut encoder = zlib_rs::Deflate::new(6, false, 15);
            encoder.set_dictionary(&content[content.len() - distance..]).unwrap();
            let mut end = vec![0; 1000];
            encoder.compress(known, &mut end, DeflateFlush::Finish).unwrap();
            end.truncate(usize::try_from(encoder.total_out()).unwrap());
            assert!(end.len() < 20, "it refers to what came before");
            payload.extend(end);
            let expected = [content.repeat(repeats), known.to_vec()].concat();
            for cuts in [&[usize::MAX][..], &[1000], &[1, 60_000]] {
                let server = Connection::server(chunks(), Timestamp::EPOCH);
                let mut server = server.with_deflate(agreed, &sansock::deflate::Deflate::default());
                let saw = common::feed(&mut server, &masked(BINARY, &payload), cuts);
                let part = |seen: Seen| match seen {
                    Seen::BinaryPart(part) | Seen::Binary(part) => part,
                    other => panic!("{other:?}"),
                };
                assert!(saw.into_iter().map(part).collect::<Vec<_>>().concat() == expected, "{bits} bits");
            }
        }
    }
}

#[test]
fn hostile_63_lengths_at_the_edges_of_buffers() {
    let text: Vec<u8> = (0..200_000_u32).flat_map(|i| (i % 977).to_be_bytes()).collect();
    for unit in [8192, 65_536] {
        for len in [unit - 1, unit, unit + 1, 2 * unit - 1, 2 * unit, 2 * unit + 1] {
            // Stored blocks, fixed codes, dynamic codes.
            for mut encoder in [Encoder::new(0, 15, true), Encoder::fixed(), Encoder::new(6, 15, true)] {
                let payloads = [encoder.message(&text[..len]), encoder.message(&text[..len])];
                let expected = [binary(&text[..len]), binary(&text[..len])];
                if payloads[0].len() < len / 4 {
                    let frames = payloads.each_ref().map(|payload| (BINARY, &payload[..]));
                    assert!(both_see(&frames) == expected, "{len}");
                    continue;
                }
                // Byte by byte the longer ones would take long.
                let by_bytes: &[&[usize]] = if len < 10_000 { &[&[1]] } else { &[] };
                let parts =
                    [&[usize::MAX][..], &[8192, 1], &[65_536], &[1000, 7], &[3, 999, 78, 5003, 1, 31]];
                for cuts in parts.iter().chain(by_bytes) {
                    let mut server = deflate::server(Config::default(), "");
                    let frames = payloads.each_ref().map(|payload| masked(BINARY, payload)).concat();
                    assert!(common::feed(&mut server, &frames, cuts) == expected, "{len}");
                    let mut client = deflate::client(Config::default(), "");
                    let frames = payloads.each_ref().map(|payload| plain(BINARY, payload)).concat();
                    assert!(common::feed(&mut client, &frames, cuts) == expected, "{len}");
                }
            }
        }
    }
}

#[test]
fn section_10_4_a_compressed_message_of_exactly_the_limit_passes_however_it_ends() {
    let content = noise(1000);
    for (limit, passes) in [(999, false), (1000, true), (1001, true)] {
        for level in [0, 6] {
            let compressed = Encoder::new(level, 15, true).message(&content);
            let saw = both_see_with(&[(BINARY, &compressed)], &limited(limit), "");
            let expected = if passes { binary(&content) } else { Seen::Failed(Error::TooBig) };
            assert_eq!(saw, [expected], "limit {limit}, level {level}");
        }
    }
}

#[test]
fn section_10_4_an_uncompressed_message_has_the_limit_itself() {
    for (len, passes) in [(1000, true), (1001, false)] {
        let content = noise(len);
        let expected = if passes { binary(&content) } else { Seen::Failed(Error::TooBig) };
        assert_eq!(both_see_with(&[(0x82, &content)], &limited(1000), ""), std::slice::from_ref(&expected));
        let parts = [(0x02, &content[..900]), (0x80, &content[900..])];
        assert_eq!(both_see_with(&parts, &limited(1000), ""), [expected]);
    }
}

#[test]
fn section_10_4_a_compressed_message_may_be_an_eighth_and_64_kib_longer_than_the_limit() {
    const LIMIT: u64 = 80_000;
    let most = LIMIT + LIMIT / 8 + (64 << 10);
    for (len, passes) in [(LIMIT + LIMIT / 9, true), (most, true), (most + 1, false)] {
        let mut server = deflate::server(limited(LIMIT), "");
        let head = [&[BINARY, 0xff][..], &len.to_be_bytes(), &[0; 4]].concat();
        let seen = common::feed(&mut server, &head, &[usize::MAX]);
        assert_eq!(seen.is_empty(), passes, "{len}: {seen:?}");
    }
}

#[test]
fn hostile_64_what_is_not_deflate() {
    for (payload, error) in [
        (&b"\x07"[..], DeflateError::Corrupt),
        (b"\xff\xff\xff\xff", DeflateError::Corrupt),
        // LEN is not the complement of NLEN.
        (b"\x00\x05\x00\x05\x00Hello\x00", DeflateError::Corrupt),
        // A distance beyond what came before.
        (HELLO_AGAIN, DeflateError::Corrupt),
        // A literal/length code of lengths that no code has.
        (b"\x04\xe0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", DeflateError::Corrupt),
        // Cut off: in a stored block, in a fixed one, in its header.
        (b"\x00\x05\x00\xfa\xffHel", DeflateError::Truncated),
        (b"\x00\x05", DeflateError::Truncated),
        (&HELLO[..4], DeflateError::Truncated),
        // So is one with BFINAL: with the tail the codes for an "e" would follow.
        (b"\xf3\x48\xcd", DeflateError::Truncated),
        // The lengths of a stored block behind the bits of another code: not even its header is right.
        (b"\xff\xfe\xfd\xfc\xfb", DeflateError::Corrupt),
        // In the header of a dynamic block, behind nothing and behind a whole one.
        (b"\xb4\xd4\x00", DeflateError::Truncated),
        (b"\x00\x05\x00\xfa\xffHello\xb4\xd4\x00", DeflateError::Truncated),
    ] {
        assert_eq!(both_see(&[(BINARY, payload)]), fails(error), "{payload:x?}");
    }
    assert_eq!(Error::Deflate(DeflateError::Corrupt).close_code(), Some(sansock::CloseCode::INVALID_PAYLOAD));
    assert_eq!(
        Error::Deflate(DeflateError::Truncated).close_code(),
        Some(sansock::CloseCode::INVALID_PAYLOAD)
    );
}

#[test]
fn hostile_64_a_message_that_is_cut_anywhere_is_not_delivered() {
    let words: Vec<u8> = (0..400_u32).flat_map(|i| format!("{}, ", i * i % 1000).into_bytes()).collect();
    for (level, payload) in
        [(0, &words[..]), (1, &words), (6, &words), (9, &words), (6, b"Hello"), (6, &noise(600))]
    {
        let whole = Encoder::new(level, 15, true).message(payload);
        // The first byte of a stored block is an empty message by itself.
        for cut in if whole[0] == 0 { 2 } else { 1 }..whole.len() {
            let mut server = deflate::server(Config::default(), "");
            let saw = common::feed(&mut server, &masked(BINARY, &whole[..cut]), &[usize::MAX]);
            let mut client = deflate::client(Config::default(), "");
            assert_eq!(common::feed(&mut client, &plain(BINARY, &whole[..cut]), &[5]), saw);
            // All of it, where only the tail is missing; never a part.
            let is_whole = saw == [binary(payload)] && cut + 5 >= whole.len();
            let has_failed = matches!(saw[..], [Seen::Failed(Error::Deflate(_))]);
            assert!(has_failed || is_whole, "level {level}: {cut} of {} bytes gave {saw:?}", whole.len());
        }
    }
}

#[test]
fn hostile_64_a_decoder_tells_nothing_of_another_connection() {
    let mut deflate = sansock::deflate::Deflate::default();
    deflate.pool = Some(sansock::deflate::Pool::new(1));
    for is_server in [true, false] {
        let end = if is_server { common::server } else { common::client };
        let frame = if is_server { masked } else { plain };
        let peer = if is_server { "client" } else { "server" };
        for params in [String::new(), format!("; {peer}_no_context_takeover")] {
            for cut in [usize::MAX, 1] {
                let new = || end().with_deflate(deflate::agreed(&params), &deflate);
                let mut victim = new();
                assert_eq!(common::feed(&mut victim, &frame(TEXT, HELLO), &[cut]), [text("Hello")]);
                // "What came five bytes before this, please."
                assert_eq!(
                    common::feed(&mut new(), &frame(TEXT, HELLO_AGAIN), &[cut]),
                    fails(DeflateError::Corrupt)
                );
            }
        }
    }
}

/// What stood 32,768 bytes before, three bytes of it, in fixed codes: the length, the distance of 24,577 and 13 bits
/// more, the end of the block, and the beginning of the empty one (RFC 1951 §3.2.5 and §3.2.6).
const FROM_AFAR: &[u8] = b"\x02\xde\xff\x0f\x00";

#[test]
fn section_7_2_2_without_a_limit_the_window_is_of_32_768_bytes() {
    let payload = noise(32_768);
    let first = Encoder::new(0, 15, true).message(&payload);
    let expected = [binary(&payload), binary(&payload[..3]), binary(&payload[3..6])];
    let saw = both_see(&[(BINARY, &first), (BINARY, FROM_AFAR), (BINARY, FROM_AFAR)]);
    assert!(saw == expected);
    // Also where the decoder was given away in between, and another one is told what the window holds.
    let server = (deflate::server(Config::default(), ""), masked as fn(u8, &[u8]) -> Vec<u8>);
    let client = (deflate::client(Config::default(), ""), plain as fn(u8, &[u8]) -> Vec<u8>);
    for (mut end, frame) in [server, client] {
        for (message, expected) in [&first[..], FROM_AFAR, FROM_AFAR].into_iter().zip(&expected) {
            assert!(common::feed(&mut end, &frame(BINARY, message), &[usize::MAX]) == [expected.clone()]);
            end.handle_would_block();
        }
    }
    // A byte further back there is nothing.
    let short = Encoder::new(0, 15, true).message(&payload[1..]);
    let saw = both_see(&[(BINARY, &short), (BINARY, FROM_AFAR)]);
    assert!(saw == [binary(&payload[1..]), Seen::Failed(Error::Deflate(DeflateError::Corrupt))]);
}

#[test]
fn hostile_65_distances_beyond_the_agreed_window() {
    // Between messages the agreed window counts, whatever decoder comes next; within one, up to 32 KiB
    // are accepted.
    let params = "; server_max_window_bits=9; client_max_window_bits=9";
    let payload = noise(512);
    let mut encoder = Encoder::new(9, 15, true);
    let first = encoder.message(&payload);
    let far = encoder.message(&payload[..100]);
    let saw = both_see_with(&[(BINARY, &first), (BINARY, &far)], &Config::default(), params);
    assert_eq!(saw, [binary(&payload), binary(&payload[..100])]);

    let payload = noise(600);
    let mut encoder = Encoder::new(9, 15, true);
    let first = encoder.message(&payload);
    let far = encoder.message(&payload[..80]);
    let saw = both_see_with(&[(BINARY, &first), (BINARY, &far)], &Config::default(), params);
    assert_eq!(saw, [binary(&payload), Seen::Failed(Error::Deflate(DeflateError::Corrupt))]);

    let within = [&noise(20_000)[..], &noise(100)].concat();
    let within = (Encoder::new(9, 15, true).message(&within), within);
    assert_eq!(both_see_with(&[(BINARY, &within.0)], &Config::default(), params), [binary(&within.1)]);
}

#[test]
fn hostile_50_text_is_judged_after_inflating() {
    let mut encoder = Encoder::new(0, 15, true);
    let bad = vec![Seen::Failed(Error::InvalidUtf8)];
    for wrong in [&b"\xff"[..], b"abc\xed\xa0\x80", b"\xf4\x90", b"\xc3"] {
        assert_eq!(both_see(&[(TEXT, &encoder.message(wrong))]), bad);
    }
    // Binary may be anything.
    assert_eq!(both_see(&[(BINARY, &Encoder::new(0, 15, true).message(b"\xff"))]), [binary(b"\xff")]);
    // At the byte that is wrong, not at the end of the frame; whatever is wrong behind it.
    let stored = b"\x00\x05\x00\xfa\xff\xffello";
    let mut server = deflate::server(limited(1), "");
    let saw =
        common::feed(&mut server, &masked(TEXT, &[stored, &[0xff; 50][..]].concat())[..6 + 6], &[usize::MAX]);
    assert_eq!(saw, bad);
    let mut client = deflate::client(limited(1), "");
    let saw = common::feed(&mut client, &plain(TEXT, &[stored, &[0xff; 50][..]].concat())[..2 + 6], &[1]);
    assert_eq!(saw, bad);
    assert_eq!(both_see_with(&[(TEXT, &[stored, &[0xff; 50][..]].concat())], &limited(1), ""), bad);
}

#[test]
fn hostile_71_an_inflater_error_is_for_ever() {
    let frames: &[(u8, &[u8])] = &[(TEXT, b"\x07"), (TEXT, HELLO), (0x81, b"plain"), (0x89, b"?")];
    assert_eq!(both_see(frames), fails(DeflateError::Corrupt));
    // Also in the second message, in its second fragment: never an empty message.
    let second: &[(u8, &[u8])] =
        &[(TEXT, HELLO), (0x41, HELLO), (0x80, b"\x00\x00\xff\xff\x07"), (TEXT, HELLO)];
    assert_eq!(both_see(second), [text("Hello"), Seen::Failed(Error::Deflate(DeflateError::Corrupt))]);

    let server = (deflate::server(Config::default(), ""), masked(TEXT, b"\x07"), masked(TEXT, HELLO));
    let client = (deflate::client(Config::default(), ""), plain(TEXT, b"\x07"), plain(TEXT, HELLO));
    for (mut end, wrong, right) in [server, client] {
        assert_eq!(common::feed(&mut end, &wrong, &[1]), fails(DeflateError::Corrupt));
        for _ in 0..3 {
            common::give(&mut end, &right);
            assert_eq!(end.poll_event().err(), Some(Error::Deflate(DeflateError::Corrupt)));
        }
        assert!(!end.closed().unwrap().clean);
    }
}

#[test]
fn agreeing_twice_changes_nothing() {
    // Else the text under way would be judged by half.
    let mut server = deflate::server(Config::default(), "");
    let first = b"\x00\x01\x00\xfe\xff\xc3";
    assert_eq!(common::feed(&mut server, &masked(0x41, first), &[usize::MAX]), []);
    let mut server = server.with_deflate(deflate::agreed(""), &sansock::deflate::Deflate::default());
    let last = b"\x00\x01\x00\xfe\xff\xbc\x00";
    assert_eq!(common::feed(&mut server, &masked(0x80, last), &[usize::MAX]), [text("ü")]);
    // Nor is it for a connection in the middle of a message, or with one that waits.
    let mut server = common::server();
    assert_eq!(common::feed(&mut server, &masked(0x01, b"a"), &[usize::MAX]), []);
    let server = server.with_deflate(deflate::agreed(""), &sansock::deflate::Deflate::default());
    assert_eq!(server.deflate(), None);
    let mut server = common::server();
    common::give(&mut server, &masked(0x89, b"?"));
    assert_eq!(server.advance(), Ok(true));
    let mut server = server.with_deflate(deflate::agreed(""), &sansock::deflate::Deflate::default());
    assert_eq!(server.deflate(), None);
    assert_eq!(common::events(&mut server), [Seen::Ping(b"?".into())]);
    let mut client = common::client();
    client.fragment("a").unwrap();
    assert_eq!(
        client.with_deflate(deflate::agreed(""), &sansock::deflate::Deflate::default()).deflate(),
        None
    );
}

#[test]
fn agreeing_within_a_message_changes_nothing() {
    let (agreed, offered) = (deflate::agreed(""), sansock::deflate::Deflate::default());
    for (sends, receives) in [(true, false), (false, true), (true, true), (false, false)] {
        let mut server = common::server();
        if sends {
            server.fragment("a part").unwrap();
        }
        if receives {
            common::feed(&mut server, &masked(0x01, b"a part"), &[1]);
        }
        assert_eq!(server.with_deflate(agreed, &offered).deflate().is_some(), !sends && !receives);
    }
}

#[test]
fn a_chunk_does_not_wait_for_the_end_of_its_frame() {
    let mut encoder = Encoder::new(6, 15, true);
    let (first, rest) = (encoder.flush(b"what has come"), encoder.message(b", and what has not"));
    for last in [0x80, 0x00] {
        let frame = masked(0x42 | last, &[&first[..], &rest].concat());
        let mut server = deflate::server(chunks(), "");
        let (now, later) = frame.split_at(6 + first.len());
        assert_eq!(
            common::feed(&mut server, now, &[usize::MAX]),
            [Seen::BinaryPart(b"what has come".to_vec())]
        );
        let saw = common::feed(&mut server, later, &[usize::MAX]);
        let end = b", and what has not".to_vec();
        let is_last = last == 0x80;
        assert_eq!(saw, [if is_last { Seen::Binary(end) } else { Seen::BinaryPart(end) }]);
    }
}

#[test]
fn chunks_come_as_they_arrive_and_cut_between_characters() {
    let said = "grüße, ".repeat(20_000);
    let mut encoder = Encoder::new(6, 15, true);
    let frame = masked(TEXT, &encoder.message(said.as_bytes()));
    for cuts in [&[usize::MAX][..], &[1], &[7, 100]] {
        let mut server = deflate::server(chunks(), "");
        let saw = common::feed(&mut server, &frame, cuts);
        let parts: Vec<&str> = saw
            .iter()
            .map(|seen| match seen {
                Seen::TextPart(part) | Seen::Text(part) => &part[..],
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(parts.iter().all(|part| part.len() <= 64 << 10));
        assert!(parts.len() > 2);
        assert_eq!(parts.concat(), said);
        assert!(matches!(saw.last(), Some(Seen::Text(_))));
        assert_eq!(saw.iter().filter(|seen| matches!(seen, Seen::Text(_))).count(), 1);
    }
}

/// What has arrived, and waits for what came out before it to be taken, is not missing.
#[test]
fn nothing_is_missing_of_a_frame_that_is_here() {
    let frame = masked(BINARY, &Encoder::new(9, 15, true).message(&vec![0; 1 << 20]));
    let mut server = deflate::server(chunks(), "");
    server.input().put_slice(&frame[..frame.len() - 10]);
    server.handle_input(Timestamp::EPOCH);
    for _ in 0..4 {
        assert!(server.poll_event().unwrap().is_some());
        assert_eq!(server.missing(), 10);
    }
    server.input().put_slice(&frame[frame.len() - 10..]);
    server.input().put_slice(b"more");
    server.handle_input(Timestamp::EPOCH);
    assert!(server.poll_event().unwrap().is_some());
    assert_eq!(server.missing(), 0);
}

/// A proxy whose other side does not compress: what was inflated is sent on from where it stands.
#[test]
fn what_was_inflated_is_relayed_and_stays_what_it_was() {
    let said = |len: usize| (0..len).map(|at| ['a', 'ü', '€', '😀'][(at + at / 251) % 4]).collect::<String>();
    let messages = [5000, 30, 2500, 60_000, 3000, 1, 12_000].map(said);
    let mut encoder = Encoder::new(6, 15, true);
    let frames =
        messages.each_ref().map(|message| masked(TEXT, &encoder.message(message.as_bytes()))).concat();
    for config in [Config::default(), chunks()] {
        for cuts in [&[usize::MAX][..], &[100], &[1, 700]] {
            let mut near = deflate::server(config.clone(), "");
            let mut far = common::server();
            let (mut rest, mut cuts) = (&frames[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (part, behind) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                rest = behind;
                near.input().put_slice(part);
                near.handle_input(Timestamp::EPOCH);
                while let Some(event) = near.poll_event().unwrap() {
                    far.halves().1.relay(event).unwrap();
                }
            }
            // Nothing of it was written until now.
            let len = far.output().remaining();
            let bytes = far.output().copy_to_bytes(len);
            let saw = common::feed(&mut common::client(), &bytes, &[usize::MAX]);
            assert_eq!(saw, messages.each_ref().map(|message| text(message)));
        }
    }
}

/// Wherever the last byte of a frame stands: behind the last byte that comes out of it, or in front of some.
#[test]
fn chunks_are_whole_wherever_a_frame_ends() {
    const CHUNK: usize = 64 << 10;
    let parts_of = |frames: &[u8]| {
        let saw = common::feed(&mut deflate::server(chunks(), ""), frames, &[usize::MAX]);
        let is_last = |seen: &Seen| matches!(seen, Seen::Binary(_));
        assert_eq!(saw.iter().position(is_last), Some(saw.len() - 1));
        let parts = saw.into_iter().map(|seen| match seen {
            Seen::BinaryPart(part) | Seen::Binary(part) => part,
            other => panic!("{other:?}"),
        });
        parts.collect::<Vec<_>>()
    };
    // A match has up to 258 bytes: some of these lengths end within one, and some with it.
    for len in (CHUNK - 20..CHUNK + 280).chain(2 * CHUNK - 20..2 * CHUNK + 20) {
        let payload = Encoder::new(9, 15, true).message(&vec![0; len]);
        let parts = parts_of(&masked(BINARY, &payload));
        assert!(parts.concat() == vec![0; len] && parts.iter().all(|part| part.len() <= CHUNK), "{len}");
    }
    let payload = Encoder::new(9, 15, true).message(&vec![0; 3 * CHUNK]);
    for cut in 0..=payload.len() {
        let (first, second) = payload.split_at(cut);
        let parts = parts_of(&[masked(0x42, first), masked(0x80, second)].concat());
        assert!(parts.concat() == vec![0; 3 * CHUNK], "cut at {cut}");
        assert!(parts.iter().all(|part| part.len() <= CHUNK), "cut at {cut}");

        // What the first fragment makes comes without the second one.
        let saw = common::feed(&mut deflate::server(chunks(), ""), &masked(0x42, first), &[usize::MAX]);
        let came: usize = saw
            .iter()
            .map(|seen| match seen {
                Seen::BinaryPart(part) => part.len(),
                other => panic!("{other:?}"),
            })
            .sum();
        let mut decoder = zlib_rs::Inflate::new(false, 15);
        decoder.decompress(first, &mut vec![0; 4 * CHUNK], zlib_rs::InflateFlush::NoFlush).unwrap();
        assert_eq!(came as u64, decoder.total_out(), "cut at {cut}");
    }
}

#[test]
fn chunks_of_fragments_come_with_each_flush() {
    let mut encoder = Encoder::new(6, 15, true);
    let mut server = deflate::server(chunks(), "");
    for (i, first) in [0x42, 0x00, 0x00].into_iter().enumerate() {
        let part = encoder.flush(&[i as u8; 10]);
        let saw = common::feed(&mut server, &masked(first, &part), &[usize::MAX]);
        assert_eq!(saw, [Seen::BinaryPart(vec![i as u8; 10])]);
    }
    let saw = common::feed(&mut server, &masked(0x80, b"\x00"), &[usize::MAX]);
    assert_eq!(saw, [binary(b"")]);
}

/// A client that offers whatever a server needs for these tests is a `Connection` like any other.
fn _types_are_send(connection: Connection) -> impl Send {
    connection
}
