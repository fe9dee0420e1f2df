//! UTF-8 against `core::str::from_utf8`: all strings of four bytes, and all characters at all splits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sansock::utf8::{InvalidUtf8, Validator, is_valid, valid_prefix};
use sansock::{Config, Connection, Delivery, Error};

use crate::common::{Seen, events, give};
use crate::role::Role;
use crate::sample;

/// The first and the last byte of every range that Unicode 15 table 3-7 tells apart, and some of what it excludes.
const EDGES: [u8; 30] = [
    0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
    0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xfb, 0xfc, 0xfd, 0xfe, 0xff,
];

/// How many strings of four such bytes there are.
const STRINGS_OF_EDGES: usize = EDGES.len().pow(4);

/// The string of this number, whose digits are edges.
fn string_of_edges(number: usize) -> [u8; 4] {
    let base = EDGES.len();
    [number / base.pow(3), number / base.pow(2), number / base, number].map(|digit| EDGES[digit % base])
}

/// Runs `task` for each of the numbers, on all processors.
fn in_parallel(numbers: impl Iterator<Item = usize> + Clone + Sync, task: impl Fn(usize) + Sync) {
    let numbers: Vec<usize> = numbers.collect();
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                    task(*number);
                }
            });
        }
    });
}

/// What the standard library says of a beginning of a text: how much of it is whole characters; or that nothing can
/// make it right.
fn by_core(bytes: &[u8]) -> Result<usize, InvalidUtf8> {
    match core::str::from_utf8(bytes) {
        Ok(_) => Ok(bytes.len()),
        Err(error) if error.error_len().is_none() => Ok(error.valid_up_to()),
        Err(_) => Err(InvalidUtf8),
    }
}

fn assert_judged_as_by_core(bytes: [u8; 4]) {
    let expected = by_core(&bytes);
    let mut validator = Validator::new();
    let pushed = validator.push(&bytes);
    assert!(valid_prefix(&bytes) == expected && pushed == expected.map(|_| ()), "{bytes:x?}");
    assert!(is_valid(&bytes) == (expected == Ok(4)), "{bytes:x?}");
    if let Ok(whole) = expected {
        assert!(validator.incomplete() == 4 - whole, "{bytes:x?}");
        assert!(validator.finish().is_ok() == (whole == 4), "{bytes:x?}");
    }
}

/// Every string of four bytes; in a debug build a sample of them, the same number of each first byte.
fn every_string(task: impl Fn([u8; 4]) + Sync) {
    in_parallel(sample(1 << 16, 251), |high| {
        for low in sample(1 << 16, 257) {
            task([(high >> 8) as u8, high as u8, (low >> 8) as u8, low as u8]);
        }
    });
}

#[test]
fn hostile_45_every_string_of_four_bytes() {
    every_string(assert_judged_as_by_core);
}

#[test]
fn hostile_45_every_string_of_four_bytes_where_two_blocks_meet() {
    // The wide code takes 64 bytes at once.
    every_string(|bytes| {
        let mut text = [b'a'; 128];
        text[62..66].copy_from_slice(&bytes);
        assert!(is_valid(&text) == core::str::from_utf8(&bytes).is_ok(), "{bytes:x?}");
    });
}

#[test]
fn hostile_45_every_string_of_four_edges_at_every_place_of_two_blocks() {
    in_parallel(sample(STRINGS_OF_EDGES, 1009), |number| {
        let bytes = string_of_edges(number);
        for at in 0..=124 {
            let mut text = [b'a'; 128];
            text[at..at + 4].copy_from_slice(&bytes);
            // At the end it may be a beginning.
            let expected = if at == 124 { by_core(&bytes).map(|whole| 124 + whole) } else { by_core(&text) };
            assert!(valid_prefix(&text) == expected, "{bytes:x?} at {at}");
            assert!(is_valid(&text) == (expected == Ok(128)), "{bytes:x?} at {at}");
        }
    });
}

/// Every way to cut four bytes into parts: a part ends behind each byte whose bit is set.
fn splits(bytes: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    (0..1_u8 << (bytes.len() - 1)).map(|ends| {
        let mut parts = Vec::new();
        let mut from = 0;
        for at in (1..bytes.len()).filter(|at| ends >> (at - 1) & 1 == 1) {
            parts.push(&bytes[from..at]);
            from = at;
        }
        parts.push(&bytes[from..]);
        parts
    })
}

fn assert_parts_judged_as_by_core(bytes: &[u8]) {
    for parts in splits(bytes) {
        let mut validator = Validator::new();
        let mut len = 0;
        for part in &parts {
            len += part.len();
            let expected = by_core(&bytes[..len]);
            assert!(validator.push(part) == expected.map(|_| ()), "{parts:x?}");
            let Ok(whole) = expected else { break };
            assert!(validator.incomplete() == len - whole, "{parts:x?}");
        }
        if by_core(bytes).is_ok() {
            assert!(validator.finish().is_ok() == core::str::from_utf8(bytes).is_ok(), "{parts:x?}");
        }
    }
}

#[test]
fn hostile_45_every_string_of_four_edges_at_every_split() {
    in_parallel(sample(STRINGS_OF_EDGES, 61), |number| {
        assert_parts_judged_as_by_core(&string_of_edges(number));
    });
}

/// How many blocks of 256 characters there are.
const BLOCKS: usize = 0x1100;

/// Every character of a block; in a debug build a sample of them.
fn characters(block: usize) -> impl Iterator<Item = char> {
    sample(256, 41).filter_map(move |low| char::from_u32((block << 8 | low) as u32))
}

#[test]
fn hostile_44_every_character_at_every_split() {
    in_parallel(0..BLOCKS, |block| {
        for character in characters(block) {
            assert_parts_judged_as_by_core(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    });
}

/// The frames of a text message of these fragments.
fn frames(role: Role, parts: &[&[u8]]) -> Vec<Vec<u8>> {
    let last = parts.len() - 1;
    let first = |i| u8::from(i == 0) | u8::from(i == last) << 7;
    parts.iter().enumerate().map(|(i, part)| role.frame(first(i), part)).collect()
}

/// The text of events that are all text, of which the last one alone is final.
fn said(seen: &[Seen]) -> String {
    let parts = seen.iter().enumerate().map(|(i, part)| match part {
        Seen::TextPart(part) if i + 1 < seen.len() => part.as_str(),
        Seen::Text(part) if i + 1 == seen.len() => part.as_str(),
        other => panic!("{other:?}"),
    });
    parts.collect()
}

/// A character arrives over frames that cut it anywhere, and over reads that do.
fn assert_arrives(connection: &mut Connection, role: Role, character: char) {
    let text = format!("{character}");
    for parts in splits(text.as_bytes()) {
        // A read for each frame.
        let mut seen = Vec::new();
        for frame in frames(role, &parts) {
            give(connection, &frame);
            seen.extend(events(connection));
        }
        assert_eq!(said(&seen), text, "fragments {parts:x?}");

        // One frame in as many reads.
        let whole = role.frame(0x81, text.as_bytes());
        let (mut from, mut seen) = (0, Vec::new());
        let ends = parts.iter().scan(whole.len() - text.len(), |end, part| {
            *end += part.len();
            Some(*end)
        });
        for end in ends {
            give(connection, &whole[from..end]);
            seen.extend(events(connection));
            from = end;
        }
        assert_eq!(said(&seen), text, "reads {parts:x?}");
    }
}

#[test]
fn hostile_44_every_character_arrives_over_every_split_of_frames_and_of_reads() {
    let mut chunks = Config::default();
    chunks.delivery = Delivery::Chunks;
    for config in [Config::default(), chunks] {
        for role in Role::BOTH {
            in_parallel(sample(BLOCKS, 7), |block| {
                let connection = &mut role.connection(&config);
                for character in characters(block) {
                    assert_arrives(connection, role, character);
                }
            });
        }
    }
}

#[test]
fn hostile_45_every_string_of_four_edges_is_text_or_fails_a_connection_at_the_fragment_that_is_wrong() {
    in_parallel(sample(STRINGS_OF_EDGES, 1009), |number| {
        let bytes = string_of_edges(number);
        for parts in splits(&bytes) {
            // Each of the two roles has half of the strings.
            let role = Role::BOTH[number % 2];
            let mut connection = role.connection(&Config::default());
            let mut len = 0;
            for (part, frame) in parts.iter().zip(frames(role, &parts)) {
                len += part.len();
                give(&mut connection, &frame);
                let seen = events(&mut connection);
                let is_wrong =
                    if len < 4 { by_core(&bytes[..len]).is_err() } else { by_core(&bytes) != Ok(4) };
                if is_wrong {
                    assert_eq!(seen, [Seen::Failed(Error::InvalidUtf8)], "{parts:x?}");
                    break;
                }
                let text = || Seen::Text(str::from_utf8(&bytes).unwrap().to_owned());
                let expected = if len < 4 { Vec::new() } else { vec![text()] };
                assert_eq!(seen, expected, "{parts:x?}");
            }
        }
    });
}

#[test]
fn a_validator_that_has_failed_within_a_character_does_not_recover() {
    for start in [&b"\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x98"] {
        let mut validator = Validator::new();
        assert_eq!(validator.push(start), Ok(()));
        for _ in 0..300 {
            assert_eq!(validator.push(b"a"), Err(InvalidUtf8), "{start:x?}");
        }
    }
}
