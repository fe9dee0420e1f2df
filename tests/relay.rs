//! Relaying what was received, and the buffers that connections take turns in.
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

use std::io::IoSlice;

use bytes::{Buf, BufMut};
use common::*;
use counting::{assert_steady, held as heap};
use proptest::collection::vec;
use proptest::prelude::*;
use sansock::{CloseCode, Config, Connection, Delivery, Event, SendError, Spare, Timestamp};

const NOW: Timestamp = Timestamp::EPOCH;

fn server_with(delivery: Delivery) -> Connection {
    let mut config = Config::default();
    config.delivery = delivery;
    Connection::server(config, NOW)
}

/// Relays all there is back to where it came from.
fn relay_all(connection: &mut Connection) {
    while let Some((event, send)) = connection.poll_with_send().unwrap() {
        send.relay(event).unwrap();
    }
}

/// Writes `len` bytes, as a transport takes them: from all pieces at once.
fn write(connection: &mut Connection, len: usize) -> Vec<u8> {
    let output = connection.output();
    let mut pieces = [IoSlice::new(&[]); 64];
    let count = output.chunks_vectored(&mut pieces);
    let mut bytes: Vec<u8> = pieces[..count].iter().flat_map(|piece| piece.iter().copied()).collect();
    bytes.truncate(len);
    output.advance(bytes.len());
    bytes
}

/// Whole messages, made of the parts they came in.
fn whole(seen: Vec<Seen>) -> Vec<Seen> {
    let (mut messages, mut data) = (Vec::new(), Vec::new());
    for seen in seen {
        match seen {
            Seen::TextPart(part) => data.extend(part.into_bytes()),
            Seen::BinaryPart(part) => data.extend(part),
            Seen::Text(last) => {
                data.extend(last.into_bytes());
                messages.push(text(std::str::from_utf8(&data).unwrap()));
                data.clear();
            }
            Seen::Binary(last) => {
                data.extend(last);
                messages.push(binary(&data));
                data.clear();
            }
            // It may stand between the parts of a message.
            other => messages.push(other),
        }
    }
    messages
}

fn any_message() -> impl Strategy<Value = (bool, usize)> {
    let around = |len: usize| len - 2..len + 2;
    let len = prop_oneof![
        3 => 0usize..200,
        1 => around(8 << 10),
        1 => around(16 << 10),
        1 => around(64 << 10),
        1 => 100_000..300_000usize,
    ];
    (any::<bool>(), len)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_relayed_arrives_as_it_was_sent(
        messages in vec(any_message(), 1..8),
        cuts in vec(prop_oneof![1usize..100, 1000usize..100_000], 1..4),
        writes in vec(prop_oneof![0usize..100, 1000usize..100_000], 1..4),
        chunks in any::<bool>(),
        borrows in any::<bool>(),
    ) {
        let mut bytes = Vec::new();
        let mut sent = Vec::new();
        for (i, &(is_text, len)) in messages.iter().enumerate() {
            let data: Vec<u8> = (0..len).map(|at| b'a' + ((i + at + at / 251) % 26) as u8).collect();
            bytes.extend(masked(if is_text { 0x81 } else { 0x82 }, &data));
            sent.push(if is_text { text(std::str::from_utf8(&data).unwrap()) } else { binary(&data) });
        }
        let mut spare = Spare::new();
        let mut server = server_with(if chunks { Delivery::Chunks } else { Delivery::Messages });
        let (mut cuts, mut writes) = (cuts.iter().cycle(), writes.iter().cycle());
        let (mut rest, mut relayed) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            rest = behind;
            if borrows {
                server.borrow_buffers(&mut spare);
            }
            give(&mut server, part);
            relay_all(&mut server);
            relayed.extend(write(&mut server, *writes.next().unwrap()));
            if borrows {
                server.return_buffers(&mut spare);
            }
        }
        relayed.extend(output(&mut server));
        prop_assert_eq!(whole(feed(&mut client(), &relayed, &[usize::MAX])), sent);
    }
}

#[test]
fn large_data_leaves_from_where_it_stands_whatever_stands_behind_it() {
    let mut server = server();
    let one = masked(0x82, &[7; 16 << 10]);
    give(&mut server, &[&one[..], &one, &masked(0x81, b"small"), &one].concat());
    let mut stood = Vec::new();
    while let Some((event, send)) = server.poll_with_send().unwrap() {
        if let Event::Binary(data) = &event {
            stood.push(data.as_ptr() as usize);
        }
        send.relay(event).unwrap();
    }
    let mut left = Vec::new();
    while server.output().has_remaining() {
        let output = server.output();
        let piece = output.chunk();
        let (from, len) = (piece.as_ptr() as usize, piece.len());
        left.extend((len == 16 << 10).then_some(from));
        output.advance(len);
    }
    assert_eq!(left, stood);
    assert_eq!(stood.len(), 3);
}

#[test]
fn fragments_are_relayed_as_fragments_and_pings_are_not() {
    let mut server = server_with(Delivery::Chunks);
    let (large, small) = ("x".repeat(20_000), "y");
    for (first, data) in [(0x01, &*large), (0x89, "?"), (0x00, small), (0x80, &*large)] {
        give(&mut server, &masked(first, data.as_bytes()));
        relay_all(&mut server);
    }
    let expected = [(0x01, &*large), (0x8a, "?"), (0x00, small), (0x80, &*large)]
        .map(|(first, data)| plain(first, data.as_bytes()));
    assert_eq!(output(&mut server), expected.concat());
}

#[test]
fn a_client_relays_with_masks_of_its_own() {
    let (mut from, mut to) = (client(), client());
    let data = vec![7; 50_000];
    give(&mut from, &plain(0x82, &data));
    to.halves().1.relay(from.poll_event().unwrap().unwrap()).unwrap();
    let relayed = output(&mut to);
    assert_ne!(relayed[10..14], [0; 4]);
    assert_eq!(server_sees(&relayed).0, [binary(&data)]);
}

#[test]
fn what_cannot_be_relayed_is_refused_and_nothing_is_queued() {
    for len in [1, 10_000] {
        let data = vec![b'x'; len];
        let mut server = server();
        server.fragment(&b"open"[..]).unwrap();
        let before = output(&mut server);
        assert_eq!(before, plain(0x02, b"open"));
        give(&mut server, &masked(0x81, &data));
        let (event, send) = server.poll_with_send().unwrap().unwrap();
        assert_eq!(send.relay(event), Err(SendError::KindMismatch));
        server.close(CloseCode::NORMAL, "").unwrap();
        output(&mut server);
        give(&mut server, &masked(0x82, &data));
        let (event, send) = server.poll_with_send().unwrap().unwrap();
        assert_eq!(send.relay(event), Err(SendError::Closed));
        assert!(!server.output().has_remaining());
    }
}

#[test]
fn what_waits_for_a_slow_peer_takes_its_own_length_and_keeps_no_buffer() {
    let bytes = masked(0x82, &[7; 16 << 10]);
    let mut spare = Spare::new();
    let mut server = server();
    let ((), kept, _) = heap(|| {
        for _ in 0..10 {
            server.borrow_buffers(&mut spare);
            give(&mut server, &bytes);
            relay_all(&mut server);
            // The transport takes nothing, and has nothing.
            server.return_buffers(&mut spare);
        }
    });
    let waits = server.output().remaining() as isize;
    assert_eq!(waits, 10 * ((16 << 10) + 4));
    let kept = kept - spare.capacity() as isize;
    assert!(kept <= waits + 2048, "{kept} bytes for {waits} that wait");
}

#[test]
fn a_steady_relay_allocates_nothing_and_returns_what_it_borrowed() {
    for (len, count) in [(125, 100), (16 << 10, 4), (64 << 10, 2), (1 << 20, 1)] {
        let bytes: Vec<u8> = (0..count).flat_map(|_| masked(0x82, &vec![7; len])).collect();
        let mut spare = Spare::new();
        let mut servers = [server(), server()];
        let mut kept = None;
        assert_steady(|| {
            for server in &mut servers {
                for part in bytes.chunks(64 << 10) {
                    server.borrow_buffers(&mut spare);
                    give(server, part);
                    relay_all(server);
                    drain(server);
                }
                server.return_buffers(&mut spare);
            }
            let before = kept.replace(spare.capacity());
            assert!(before.is_none_or(|before| before == spare.capacity()), "{len}");
        });
        assert!(spare.capacity() >= 512 << 10, "a buffer to receive into and one to send from");
    }
}

/// A server that has relayed so much that of its buffer of 256 KiB only the end is left; and how long the data of
/// a frame is that almost fills that.
fn nearly_full(spare: &mut Spare) -> (Connection, usize) {
    let mut server = server();
    server.borrow_buffers(spare);
    assert!(server.input().chunk_mut().len() >= 256 << 10);
    while server.input().chunk_mut().len() > 32 << 10 {
        drain(&mut server);
        give(&mut server, &masked(0x82, &[7; 9 << 10]));
        relay_all(&mut server);
    }
    let len = server.input().chunk_mut().len() - 108;
    assert!(len > 16 << 10);
    (server, len)
}

#[test]
fn the_rest_of_a_large_buffer_is_not_kept_for_the_beginning_of_a_frame() {
    let mut spare = Spare::new();
    let (server, kept, _) = heap(|| {
        let (mut server, len) = nearly_full(&mut spare);
        give(&mut server, &[masked(0x82, &vec![7; len]), masked(0x82, &[7; 100])[..30].to_vec()].concat());
        relay_all(&mut server);
        drain(&mut server);
        server.return_buffers(&mut spare);
        server
    });
    assert!(kept - spare.capacity() as isize <= 2048, "{kept} with {spare:?}");
    drop(server);
}

#[test]
fn what_is_left_of_the_output_does_not_keep_a_large_buffer() {
    // A small payload at the end of the buffer, and the end of a large one.
    for (large, left) in [(false, 20 << 10), (true, 1000)] {
        let mut spare = Spare::new();
        let (server, kept, _) = heap(|| {
            let (mut server, len) = nearly_full(&mut spare);
            drain(&mut server);
            give(&mut server, &masked(0x82, &vec![7; if large { 15 << 20 } else { len }]));
            relay_all(&mut server);
            let written = server.output().remaining() - left;
            server.output().advance(written);
            server.return_buffers(&mut spare);
            server
        });
        assert!(kept - spare.capacity() as isize <= left as isize + 2048, "{kept} with {spare:?}");
        drop(server);
    }
}

#[test]
fn a_small_message_at_the_end_of_a_large_buffer_is_owned_without_it() {
    let mut spare = Spare::new();
    let (owned, kept, _) = heap(|| {
        let (mut server, len) = nearly_full(&mut spare);
        drain(&mut server);
        give(&mut server, &masked(0x82, &vec![7; len]));
        let owned = server.poll_event().unwrap().and_then(Event::into_message).unwrap();
        assert_eq!(owned.as_bytes().len(), len);
        owned
    });
    // It fills the part of the buffer that is left, but not half of what it would keep alive.
    assert!(kept <= owned.as_bytes().len() as isize + 256, "{kept}");
}

#[test]
fn spare_buffers_are_counted_with_what_was_split_off() {
    let (spare, kept, _) = heap(|| {
        let mut spare = Spare::new();
        for _ in 0..20 {
            let mut server = server();
            server.borrow_buffers(&mut spare);
            for len in [3 << 20, 300 << 10] {
                give(&mut server, &masked(0x82, &vec![7; len]));
                relay_all(&mut server);
            }
            let mut waits = common::server();
            give(&mut server, &masked(0x82, &[7; 10 << 10]));
            let (event, _) = server.poll_with_send().unwrap().unwrap();
            waits.halves().1.relay(event).unwrap();
            drain(&mut server);
            // What another connection waits to write is a part of the buffer.
            server.return_buffers(&mut spare);
            drain(&mut waits);
        }
        spare
    });
    assert!(kept <= spare.capacity() as isize + 4096, "{kept} with {spare:?}");
    assert!(spare.capacity() <= 4 << 20);
}

#[test]
fn a_limit_holds_for_all_spare_buffers() {
    for limit in [0, 300 << 10, 600 << 10] {
        let mut spare = Spare::with_limit(limit);
        for _ in 0..10 {
            let mut server = server();
            server.borrow_buffers(&mut spare);
            server.return_buffers(&mut spare);
        }
        assert!(spare.capacity() <= limit && spare.capacity() + (256 << 10) > limit, "{spare:?}");
    }
}

#[test]
fn few_buffers_are_kept_and_they_come_back_empty() {
    let mut spare = Spare::new();
    let mut servers: Vec<_> = (0..100).map(|_| server()).collect();
    for server in &mut servers {
        server.borrow_buffers(&mut spare);
        give(server, &masked(0x82, &[7; 10_000]));
        relay_all(server);
        drain(server);
    }
    for server in &mut servers {
        server.return_buffers(&mut spare);
    }
    assert!((3 << 20..=4 << 20).contains(&spare.capacity()), "{spare:?}");
    for server in &mut servers {
        server.borrow_buffers(&mut spare);
        assert_eq!((held(server), server.output().remaining()), (0, 0));
    }
    assert_eq!(spare.capacity(), 0);
}

#[test]
fn a_frame_under_way_moves_with_its_connection_from_buffer_to_buffer() {
    let mut spare = Spare::new();
    let mut server = server();
    let data: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
    let mut seen = Vec::new();
    for part in masked(0x82, &data).chunks(999) {
        server.borrow_buffers(&mut spare);
        give(&mut server, part);
        seen.extend(events(&mut server));
        server.return_buffers(&mut spare);
    }
    assert_eq!(seen, [binary(&data)]);
}

#[test]
fn text_is_relayed_as_data_is_masked_by_a_client_and_from_where_it_stands_by_a_server() {
    for len in [10, 20_000] {
        let said = "t".repeat(len);
        for by_client in [true, false] {
            let mut from = server();
            let mut to = if by_client { client() } else { server() };
            give(&mut from, &masked(0x81, said.as_bytes()));
            let event = from.poll_event().unwrap().unwrap();
            let Event::Text(text) = &event else { panic!("{event:?}") };
            let stood = text.as_ptr();
            to.halves().1.relay(event).unwrap();
            if !by_client {
                let head = if len < 126 { 2 } else { 4 };
                to.output().advance(head);
                let is_shared = to.output().chunk().as_ptr() == stood;
                assert_eq!(is_shared, len > 125, "{len}");
                continue;
            }
            let bytes = output(&mut to);
            assert_eq!(bytes[1] & 0x80, 0x80, "a client masks");
            let mut peer = server();
            give(&mut peer, &bytes);
            assert!(matches!(peer.poll_event(), Ok(Some(Event::Text(text))) if *text == *said));
        }
    }
}
