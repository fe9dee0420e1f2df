//! A message of 1 GiB passes in at most 256 KiB, counted by an allocator of this test's own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test may panic, and counts in small numbers"
)]

#[path = "common/counting.rs"]
mod counting;

use bytes::{Buf, BufMut};
use counting::held;
use sansock::frame::{Header, OpCode};
use sansock::mask::Mask;
use sansock::{Config, Connection, Delivery, Event, Timestamp};

const MESSAGE: u64 = 1 << 30;
const FRAGMENT: usize = 64 << 10;
const READ: usize = 64 << 10;
const AT_MOST: isize = 256 << 10;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const BYTE: u8 = 7;

/// A server that takes messages of any size, in parts.
fn server() -> Connection {
    let mut config = Config::default();
    (config.delivery, config.max_message) = (Delivery::Chunks, u64::MAX);
    Connection::server(config, Timestamp::EPOCH)
}

/// A masked binary frame of [`BYTE`]s.
fn frame(header: Header) -> Vec<u8> {
    let mut bytes = head(header);
    let len = usize::try_from(header.len()).unwrap();
    Mask::new(KEY).copy(&vec![BYTE; len], &mut bytes);
    bytes
}

/// A header and its key.
fn head(header: Header) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.masked().encode(&mut bytes);
    bytes.extend(KEY);
    bytes
}

/// Gives the server `bytes`, and takes all parts of the message that there are: returns their length, and
/// whether the message ended.
fn read(server: &mut Connection, bytes: &[u8], expected: &[u8]) -> (u64, bool) {
    server.input().put_slice(bytes);
    server.handle_input(Timestamp::EPOCH);
    let (mut received, mut ended) = (0, false);
    while let Some(event) = server.poll_event().unwrap() {
        let Event::Binary(part) = event else { panic!("{event:?}") };
        assert!(*part == expected[..part.len()]);
        received += part.len() as u64;
        ended |= part.is_final();
    }
    (received, ended)
}

/// Receives `first`, then the bytes of `period` again and again, `len` bytes of them in reads of 64 KiB, then
/// `last`: a message of 1 GiB.
fn receive(first: &[u8], period: &[u8], len: u64, last: &[u8]) {
    // From any byte of it on there is a read.
    let turns: Vec<u8> = period.iter().copied().cycle().take(period.len() + READ).collect();
    let expected = vec![BYTE; 2 * READ];
    let mut server = server();
    let ((), _, peak) = held(|| {
        let (mut received, mut ended) = read(&mut server, first, &expected);
        let (mut from, mut left) = (0, len);
        while left > 0 {
            assert!(!ended);
            let size = left.min(READ as u64);
            let part = &turns[from..][..usize::try_from(size).unwrap()];
            let (parts, is_end) = read(&mut server, part, &expected);
            (received, ended) = (received + parts, is_end);
            (from, left) = ((from + part.len()) % period.len(), left - size);
        }
        if !last.is_empty() {
            let (parts, is_end) = read(&mut server, last, &expected);
            (received, ended) = (received + parts, is_end);
        }
        assert_eq!((received, ended), (MESSAGE, true));
    });
    assert!(peak <= AT_MOST, "{peak}");
}

#[test]
fn a_frame_of_1_gib_is_received_in_256_kib() {
    let header = Header::new(OpCode::Binary, MESSAGE).unwrap();
    let period = KEY.map(|key| key ^ BYTE);
    receive(&head(header), &period, MESSAGE, &[]);
}

#[test]
fn fragments_of_1_gib_are_received_in_256_kib() {
    let first = Header::new(OpCode::Binary, 0).unwrap().fragment().unwrap();
    let next = Header::new(OpCode::Continuation, FRAGMENT as u64).unwrap().fragment().unwrap();
    let last = Header::new(OpCode::Continuation, 0).unwrap();
    let period = frame(next);
    let len = MESSAGE / FRAGMENT as u64 * period.len() as u64;
    receive(&frame(first), &period, len, &frame(last));
}

#[test]
fn fragments_of_1_gib_are_sent_in_256_kib() {
    let part = vec![BYTE; FRAGMENT];
    let mut client = Connection::client(Config::default(), [7; 32], Timestamp::EPOCH);
    let head_len = 14;
    let ((), _, peak) = held(|| {
        let fragments = MESSAGE / FRAGMENT as u64;
        let mut sent = 0;
        for i in 1..=fragments {
            if i < fragments {
                client.fragment(&part[..]).unwrap();
            } else {
                client.last_fragment(&part[..]).unwrap();
            }
            while client.output().has_remaining() {
                let len = client.output().chunk().len();
                client.output().advance(len);
                sent += len as u64;
            }
        }
        assert_eq!(sent, MESSAGE + fragments * head_len);
    });
    assert!(peak <= AT_MOST, "{peak}");
}
