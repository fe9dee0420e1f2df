//! Masks of all short lengths, offsets and phases, and of the lengths around those that choose another path, against
//! one byte at a time.
//!
//! Which path is taken depends on the length: plain code, AVX2 from 128 bytes on, AVX-512 from 4 KiB on. The tests
//! in `src/mask.rs` take each path at each length: `cargo test --release --lib mask`.

use sansock::Config;
use sansock::mask::Mask;

use crate::common::{binary, events, give, output};
use crate::role::Role;
use crate::sample;

const KEYS: [[u8; 4]; 3] = [[0x12, 0xfe, 0x03, 0x9a], [0; 4], [0xff; 4]];

/// Around the lengths from which on another path is taken.
fn edges() -> impl Iterator<Item = usize> {
    [128, 4096].into_iter().flat_map(|edge| sample(141, 7).map(move |i| edge - 70 + i))
}

fn one_by_one(part: &[u8], key: [u8; 4], phase: usize) -> Vec<u8> {
    part.iter().zip(phase..).map(|(byte, i)| byte ^ key[i % 4]).collect()
}

/// Both ways to mask, in place and while copying, at this place of a buffer.
fn check(source: &[u8], key: [u8; 4], len: usize, offset: usize) {
    let end = offset + len;
    for phase in 0..4 {
        let expected = one_by_one(&source[offset..end], key, phase);
        let place = || format!("{key:x?}, len {len}, offset {offset}, phase {phase}");
        let mut mask = Mask::new(key);
        mask.apply(&mut [0; 3][..phase]);
        let mut copying = mask;
        let mut in_place = source.to_vec();
        mask.apply(&mut in_place[offset..end]);
        assert!(in_place[offset..end] == expected, "{}", place());
        assert!(in_place[..offset] == source[..offset] && in_place[end..] == source[end..], "{}", place());
        let mut out = vec![7; offset];
        copying.copy(&source[offset..end], &mut out);
        assert!(out[offset..] == expected && out[..offset] == vec![7; offset], "{}", place());
        // Both carry the phase on.
        let mut next = [0; 5];
        assert_eq!(copying, mask, "{}", place());
        mask.apply(&mut next);
        assert_eq!(next[..], one_by_one(&[0; 5], key, phase + len), "{}", place());
    }
}

#[test]
fn rule_g_every_length_offset_and_phase() {
    let source: Vec<u8> = (0..365_u32).map(|i| (i * 7) as u8).collect();
    for (len, offset) in (0..=300).flat_map(|len| sample(65, 13).map(move |offset| (len, offset))) {
        for key in KEYS {
            check(&source, key, len, offset);
        }
    }
}

#[test]
fn rule_g_every_offset_and_phase_around_the_lengths_that_choose_a_path() {
    let source: Vec<u8> = (0..4096 + 70 + 65_u32).map(|i| (i * 7 + i / 256) as u8).collect();
    for (len, offset) in edges().flat_map(|len| sample(65, 13).map(move |offset| (len, offset))) {
        check(&source, KEYS[0], len, offset);
    }
}

#[test]
fn rule_g_every_length_that_a_client_sends_is_what_a_server_receives() {
    let client = &mut Role::Client.connection(&Config::default());
    let server = &mut Role::Server.connection(&Config::default());
    for len in (0..=300).chain(edges()) {
        let payload: Vec<u8> = (0..len).map(|i| (i * 7 + i / 256) as u8).collect();
        client.binary(&payload).unwrap();
        let sent = output(client);
        let head = sent.len() - len;
        let key = *sent[..head].last_chunk().unwrap();
        assert!(sent[head..] == one_by_one(&payload, key, 0), "sent, len {len}");
        // A read ends anywhere, and the mask goes on in the next one.
        for at in sample(sent.len() + 1, 17) {
            give(server, &sent[..at]);
            let first = events(server);
            give(server, &sent[at..]);
            assert_eq!([first, events(server)].concat(), [binary(&payload)], "len {len}, cut at {at}");
        }
    }
}
