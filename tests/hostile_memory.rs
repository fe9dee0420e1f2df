//! Items 32, 37 and 41 of hostile inputs, and rules A and B: what they keep allocated, and how often they make the
//! receive buffer anew, counted by an allocator of this test's own.
//!
//! Debug builds take fewer single bytes than the list of hostile inputs says, where a test says so; release builds
//! take all: `cargo test --release --all-features --test hostile_memory`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::large_stack_arrays,
    reason = "a test may panic, and counts in small numbers"
)]

mod common;
#[path = "common/counting.rs"]
mod counting;
#[path = "common/lengths.rs"]
mod lengths;
#[path = "common/role.rs"]
mod role;

use bytes::BufMut;
use common::{give, held as unread};
use counting::{allocations, held};
use lengths::{Form, LENGTHS};
use role::Role;
use sansock::{Config, Connection, Event, Timestamp};

const CONNECTIONS: usize = 10_000;

fn unlimited() -> Config {
    let mut config = Config::default();
    config.max_message = u64::MAX;
    config
}

type Give = fn(&mut Connection, &[u8]);

/// Gives bytes the way a transport does that reads into a [`BufMut`].
fn read(connection: &mut Connection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let mut room = connection.read_buffer();
        let (part, rest) = bytes.split_at(room.remaining_mut().min(bytes.len()));
        room.put_slice(part);
        drop(room);
        connection.handle_input(Timestamp::EPOCH);
        bytes = rest;
    }
}

#[test]
fn rule_a_no_header_makes_anything_be_reserved() {
    for role in Role::BOTH {
        for (len, form) in LENGTHS.iter().flat_map(|len| Form::ALL.map(|form| (*len, form))) {
            for (first, before) in [(0x82, &[][..]), (0x80, &role.frame(0x02, b"x"))] {
                let mut bytes = [before, &role.head(first, &form.write(len).0)].concat();
                bytes.extend(role.key().iter().flatten());
                // A read has room for 4 KiB by itself; the rest of what it may take is an error's.
                let ways: [(Give, isize); 2] = [(give, 4 << 10), (read, 5 << 10)];
                for (give, most) in ways {
                    let mut connection = role.connection(&unlimited());
                    let ((), kept, peak) = held(|| {
                        give(&mut connection, &bytes);
                        let _ = connection.advance();
                    });
                    assert!(kept <= most && peak <= most, "{role:?}, {len} in {form:?}: {kept}, {peak}");
                    // What an error leaves is the queue that the Close frame stands in, 512 bytes, and what it says.
                    let ((), returned, _) = held(|| connection.handle_would_block());
                    assert!(kept + returned <= 1 << 10, "{role:?}, {len} in {form:?}: {kept} {returned}");
                }
            }
        }
    }
}

#[test]
fn hostile_32_ten_thousand_headers_of_the_limit_keep_ten_mib() {
    let limit = u32::try_from(Config::default().max_message).unwrap();
    for role in Role::BOTH {
        let mut head = role.head(0x82, &[&[127][..], &u64::from(limit).to_be_bytes()].concat());
        head.extend(role.key().iter().flatten());
        for rests in [true, false] {
            let (connections, kept, _) = held(|| {
                let connections = (0..CONNECTIONS).map(|_| {
                    let mut connection = role.connection(&Config::default());
                    give(&mut connection, &head);
                    assert_eq!(connection.advance(), Ok(false));
                    if rests {
                        connection.handle_would_block();
                    }
                    connection
                });
                connections.collect::<Vec<_>>()
            });
            assert!(connections.iter().all(|connection| connection.missing() == limit.into()));
            assert!(kept <= (CONNECTIONS << 10) as isize, "{role:?}: {kept}");
        }
    }
}

/// How the bytes of a flood arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// 4 KiB at a time.
    Large,
    /// As many as [`Connection::read_buffer`] has room for.
    Full,
    /// One at a time, each followed by a wait for the next.
    Single,
}

/// Sends an empty fragment, `count` continuations with this payload, and an empty final one. Says how long the
/// message was, and how much was allocated at the most.
fn flood(role: Role, payload: &[u8], count: usize, reads: Reads) -> (usize, usize) {
    let mut connection = role.connection(&Config::default());
    give(&mut connection, &role.frame(0x02, b""));
    let frame = role.frame(0x00, payload);
    // From any byte of a frame on there is the largest read.
    let turns = frame.repeat((128 << 10) / frame.len() + 2);
    let mut left = count * frame.len();
    let ((), _, peak) = held(|| {
        while left > 0 {
            let from = (count * frame.len() - left) % frame.len();
            let size = match reads {
                Reads::Large => 4 << 10,
                Reads::Full => connection.read_buffer().remaining_mut().min(128 << 10),
                Reads::Single => 1,
            };
            let part = &turns[from..][..size.min(left)];
            let give = if reads == Reads::Full { read } else { give };
            give(&mut connection, part);
            left -= part.len();
            assert_eq!(connection.advance(), Ok(false));
            if reads == Reads::Single {
                connection.handle_would_block();
            }
        }
    });
    assert!(unread(&mut connection) <= payload.len() * count + 16, "headers are not kept");
    give(&mut connection, &role.frame(0x80, b""));
    let Ok(Some(Event::Binary(message))) = connection.poll_event() else { panic!("a message") };
    (message.len(), peak as usize)
}

const MILLION: usize = 1_000_000;

/// Ten million in release builds; as many as take some seconds in debug builds.
const SINGLE: usize = if cfg!(debug_assertions) { MILLION / 4 } else { 10 * MILLION };

fn assert_flood_keeps_its_payload(role: Role, payload: &[u8], count: usize, reads: Reads) {
    let (len, peak) = flood(role, payload, count, reads);
    assert_eq!(len, payload.len() * count);
    assert!(peak <= 2 * len + (8 << 10), "{role:?}, {reads:?}: {peak} bytes for a message of {len}");
}

#[test]
fn hostile_37_ten_million_empty_continuations_to_a_server_keep_nothing() {
    assert_flood_keeps_its_payload(Role::Server, b"", 10 * MILLION, Reads::Large);
}

#[test]
fn hostile_37_ten_million_empty_continuations_to_a_client_keep_nothing() {
    assert_flood_keeps_its_payload(Role::Client, b"", 10 * MILLION, Reads::Large);
}

#[test]
fn hostile_37_ten_million_bytes_in_as_many_continuations_to_a_server_keep_twice_as_much() {
    assert_flood_keeps_its_payload(Role::Server, b"x", 10 * MILLION, Reads::Large);
}

#[test]
fn hostile_37_ten_million_bytes_in_as_many_continuations_to_a_client_keep_twice_as_much() {
    assert_flood_keeps_its_payload(Role::Client, b"x", 10 * MILLION, Reads::Large);
}

#[test]
fn rule_b_the_same_holds_for_full_reads() {
    for role in Role::BOTH {
        for payload in [&b""[..], b"x"] {
            assert_flood_keeps_its_payload(role, payload, MILLION, Reads::Full);
        }
    }
}

#[test]
fn rule_b_the_same_holds_for_single_bytes_to_a_server() {
    assert_flood_keeps_its_payload(Role::Server, b"", SINGLE, Reads::Single);
    assert_flood_keeps_its_payload(Role::Server, b"x", SINGLE, Reads::Single);
}

#[test]
fn rule_b_the_same_holds_for_single_bytes_to_a_client() {
    assert_flood_keeps_its_payload(Role::Client, b"", SINGLE, Reads::Single);
    assert_flood_keeps_its_payload(Role::Client, b"x", SINGLE, Reads::Single);
}

/// Receives a message of `len` bytes by `give`, of which `singles` bytes come one by one, spread over all of it,
/// and the others 64 KiB at a time. Says how often the buffer was made anew.
fn receive_in_single_bytes(role: Role, len: usize, singles: usize, give: Give) -> usize {
    const LARGE: usize = 64 << 10;
    let mut config = Config::default();
    config.max_message = len as u64;
    let mut connection = role.connection(&config);
    let turns = role.key().map_or(vec![7; 4], |key| key.map(|key| key ^ 7).to_vec()).repeat(LARGE / 4 + 1);
    let head = role.head(0x82, &[&[127][..], &(len as u64).to_be_bytes()].concat());
    give(&mut connection, &[&head[..], role.key().as_ref().map_or(&[], |key| &key[..])].concat());
    let (mut left, mut one_by_one) = (len, 0);
    let made = allocations(|| {
        while left > 0 {
            let from = (len - left) % 4;
            // As many single ones so far as are due.
            let is_single = one_by_one * len <= (len - left) * singles || left <= LARGE;
            one_by_one += usize::from(is_single);
            let size = if is_single { 1 } else { LARGE.min(left) };
            give(&mut connection, &turns[from..from + size]);
            left -= size;
            assert_eq!(connection.advance(), Ok(left == 0));
        }
    });
    let Ok(Some(Event::Binary(message))) = connection.poll_event() else { panic!("a message") };
    assert!(message.len() == len && message.chunks(LARGE).all(|part| *part == [7; LARGE][..part.len()]));
    made
}

#[test]
fn hostile_41_64_mib_in_single_bytes_are_moved_a_few_times_only() {
    let singles = if cfg!(debug_assertions) { 1 << 20 } else { 64 << 20 };
    for give in [give, read] {
        for role in Role::BOTH {
            let made = receive_in_single_bytes(role, 64 << 20, singles, give);
            assert!(made <= 100, "{role:?}: {made} buffers");
        }
    }
}
