//! Items 25 to 30, 33 and 34: what a header may say. Each rule is judged at the byte that breaks it.

use sansock::{Config, Error, Violation};

use super::role::{Role, awaits, both_see_head, fails, violates};
use crate::common::{Seen, binary, frame, plain, server_sees, text};

const DATA: [u8; 3] = [0x0, 0x1, 0x2];
const CONTROL: [u8; 3] = [0x8, 0x9, 0xa];

/// What both roles see of the first byte of a frame, between messages and inside one.
fn both_see_first(first: u8) -> Vec<Seen> {
    let outcomes = Role::BOTH.map(|role| {
        let (between, answer) = role.sees(&[first], &Config::default());
        let inside = [&role.frame(0x01, b"open")[..], &[first]].concat();
        assert_eq!(role.sees(&inside, &Config::default()), (between.clone(), answer.clone()));
        if !between.is_empty() {
            assert_eq!(answer, plain(0x88, &1002_u16.to_be_bytes()));
        }
        between
    });
    assert_eq!(outcomes[0], outcomes[1], "the roles differ");
    outcomes[0].clone()
}

#[test]
fn hostile_25_reserved_bits_without_an_extension_fail_at_the_first_byte() {
    let reserved = violates(Violation::ReservedBits).0;
    for bits in (0x10..=0x70).step_by(0x10) {
        for opcode in 0x0..=0xf {
            for fin in [0x00, 0x80] {
                assert_eq!(both_see_first(fin | bits | opcode), reserved, "{fin:x} {bits:x} {opcode:x}");
            }
        }
    }
}

#[cfg(feature = "deflate")]
#[test]
fn hostile_25_compression_gives_a_meaning_to_rsv1_alone() {
    use sansock::deflate::{Deflate, accept};

    let agreed = accept([&b"permessage-deflate"[..]], &Deflate::default()).unwrap();
    for role in Role::BOTH {
        for first in (0x80..=0xff_u8).filter(|first| first & 0x70 != 0) {
            let sees = |config: &Config| {
                let connection = role.connection(config).with_deflate(agreed, &Deflate::default());
                crate::common::feed(&mut { connection }, &[first], &[1])
            };
            let is_compressed = matches!(first, 0xc1 | 0xc2);
            let expected = if is_compressed { Vec::new() } else { violates(Violation::ReservedBits).0 };
            assert_eq!(sees(&Config::default()), expected, "{first:x}");
        }
    }
}

#[test]
fn hostile_26_reserved_opcodes_fail_at_the_first_byte() {
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        for fin in [0x00, 0x80] {
            assert_eq!(both_see_first(fin | opcode), violates(Violation::ReservedOpcode).0, "{opcode:x}");
        }
    }
}

#[test]
fn hostile_26_reserved_opcodes_fail_the_same_whatever_the_length_says() {
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        for length in [&[0][..], &[125], &[126, 0, 0], &[126, 0xff, 0xff], &[127; 9], &[127, 0, 0, 0, 0]] {
            assert_eq!(
                both_see_head(0x80 | opcode, length),
                violates(Violation::ReservedOpcode),
                "{opcode:x}"
            );
        }
    }
}

#[test]
fn hostile_27_control_frames_without_fin_fail_at_the_first_byte() {
    for opcode in CONTROL {
        assert_eq!(both_see_first(opcode), violates(Violation::FragmentedControl).0, "{opcode:x}");
        assert_eq!(both_see_first(0x80 | opcode), []);
    }
}

#[test]
fn hostile_28_control_frames_with_an_extended_length_fail_before_it() {
    for opcode in CONTROL {
        for length in [&[126][..], &[127], &[126, 0, 125], &[126, 0, 126], &[127, 0, 0, 0, 0, 0, 1, 0, 0]] {
            assert_eq!(
                both_see_head(0x80 | opcode, length),
                violates(Violation::ControlTooLong),
                "{opcode:x}"
            );
        }
        assert_eq!(both_see_head(0x80 | opcode, &[125]), awaits());
    }
}

#[test]
fn hostile_29_lengths_that_are_not_minimal_fail_at_their_last_byte() {
    let wide = |len: u64| [&[127][..], &len.to_be_bytes()].concat();
    let narrow = |len: u16| [&[126][..], &len.to_be_bytes()].concat();
    for opcode in DATA {
        for length in [narrow(0), narrow(1), narrow(125), wide(0), wide(125), wide(126), wide(0xffff)] {
            // Inside a message, so that a continuation may come.
            let before: &[(u8, &[u8])] = if opcode == 0 { &[(0x02, b"")] } else { &[] };
            for role in Role::BOTH {
                let bytes = [role.frames(before), role.head(0x80 | opcode, &length)].concat();
                let (last, awaited) = bytes.split_last().unwrap();
                assert_eq!(
                    role.sees(awaited, &Config::default()),
                    awaits(),
                    "not before its last byte: {last}"
                );
                assert_eq!(role.sees(&bytes, &Config::default()), violates(Violation::LengthNotMinimal));
            }
        }
        for length in [narrow(126), narrow(0xffff), wide(0x1_0000)] {
            if opcode != 0 {
                assert_eq!(both_see_head(0x80 | opcode, &length), awaits());
            }
        }
    }
}

#[test]
fn hostile_30_lengths_near_two_to_the_63rd() {
    for length in [(1 << 63) - 1, 1 << 63, (1 << 63) + 1, u64::MAX - 3, u64::MAX] {
        let wide = [&[127][..], &u64::to_be_bytes(length)].concat();
        let expected =
            if length >> 63 == 0 { fails(Error::TooBig) } else { violates(Violation::LengthOutOfRange) };
        for opcode in [0x1, 0x2] {
            assert_eq!(both_see_head(0x80 | opcode, &wide), expected, "{length}");
            assert_eq!(both_see_head(opcode, &wide), expected, "{length}");
        }
        for opcode in CONTROL {
            assert_eq!(both_see_head(0x80 | opcode, &wide), violates(Violation::ControlTooLong));
        }
    }
}

#[test]
fn hostile_33_a_mask_goes_one_way_only() {
    for opcode in [0x0, 0x1, 0x2, 0x8, 0x9, 0xa] {
        for fin in [0x00, 0x80].into_iter().filter(|fin| opcode < 8 || *fin != 0) {
            for second in 0x00..=0x7f {
                let sees = |role: Role, second: u8| role.sees(&[fin | opcode, second], &Config::default());
                assert_eq!(
                    sees(Role::Server, second),
                    violates(Violation::Unmasked),
                    "{opcode:x} {second:x}"
                );
                assert_eq!(sees(Role::Client, 0x80 | second), violates(Violation::Masked), "{opcode:x}");
            }
        }
    }
}

#[test]
fn hostile_34_a_key_of_zeros_masks_as_any_other() {
    let zeros = |first, payload| frame(first, Some([0; 4]), payload);
    let long = vec![7; 70_000];
    let bytes = [
        zeros(0x81, "grüße".as_bytes()),
        zeros(0x82, b""),
        zeros(0x82, &long),
        zeros(0x89, b"ping"),
        zeros(0x01, b"a"),
        zeros(0x80, b"b"),
        zeros(0x88, b"\x03\xe8bye"),
    ];
    let (seen, sent) = server_sees(&bytes.concat());
    let ping = Seen::Ping(b"ping".to_vec());
    assert_eq!(seen, [text("grüße"), binary(b""), binary(&long), ping, text("ab"), Seen::End]);
    assert_eq!(sent, [plain(0x8a, b"ping"), plain(0x88, b"\x03\xe8")].concat());
}

#[test]
fn hostile_34_a_payload_that_is_its_own_mask() {
    let key = *b"mask";
    for len in [1, 3, 4, 5, 8, 124, 1000] {
        // All bytes on the wire are zeros.
        let payload: Vec<u8> = key.iter().copied().cycle().take(len).collect();
        let bytes = frame(0x81, Some(key), &payload);
        assert!(bytes.ends_with(&vec![0; len]));
        assert_eq!(server_sees(&bytes).0, [Seen::Text(String::from_utf8(payload).unwrap())]);
    }
}
