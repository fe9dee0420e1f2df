//! How much room reads find, what moves for it, and what is given back: to the byte, where it is promised, or
//! where a little more would add up.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test may panic, and counts in small numbers"
)]

mod common;
#[path = "common/counting.rs"]
mod counting;

use bytes::{Buf, BufMut, Bytes};
use common::{client, drain, give, plain};
use counting::{assert_steady, held};
use sansock::{Connection, Event, Message, Spare, Timestamp};

const KIB: usize = 1 << 10;

/// How large the room of a read is, and where it begins.
fn room(connection: &mut Connection) -> (usize, usize) {
    let mut buffer = connection.read_buffer();
    let chunk = buffer.chunk_mut();
    (chunk.len(), chunk.as_mut_ptr() as usize)
}

/// Reads bytes into the room that there is.
fn read(connection: &mut Connection, bytes: &[u8]) {
    assert!(connection.read_buffer().remaining_mut() >= bytes.len());
    connection.read_buffer().put_slice(bytes);
    connection.handle_input(Timestamp::EPOCH);
}

/// Takes a message of so many bytes, and says where it stands.
fn take(connection: &mut Connection, len: usize) -> usize {
    let Ok(Some(Event::Binary(data))) = connection.poll_event() else { panic!("a message is there") };
    assert_eq!(data.len(), len);
    data.as_ptr() as usize
}

/// A frame of `len` bytes of a message, of which `there` are there.
fn part_of(len: usize, there: usize) -> Vec<u8> {
    let mut bytes = plain(0x82, &vec![7; len]);
    bytes.truncate(there);
    bytes
}

#[test]
fn a_first_read_finds_4_kib() {
    let mut client = client();
    let (len, held, _) = held(|| room(&mut client).0);
    assert_eq!((len, held), (4 * KIB, 4 * KIB as isize));
}

#[test]
fn a_read_that_finds_half_of_what_is_usual_moves_nothing() {
    let mut client = client();
    let (_, at) = room(&mut client);
    read(&mut client, &part_of(10_000, 2 * KIB));
    assert_eq!(room(&mut client), (2 * KIB, at + 2 * KIB));
    // Nor does a look for events, in vain.
    assert!(client.poll_event().unwrap().is_none());
    assert_eq!(room(&mut client), (2 * KIB, at + 2 * KIB));
    // A byte less, and there is new room, for a whole read.
    read(&mut client, b"\x07");
    let (len, _) = room(&mut client);
    assert_eq!(len, 4 * KIB);
}

#[test]
fn what_was_handed_out_makes_room_where_it_is_the_larger_part() {
    // A message, and the beginning of the next one. A small frame's header has 4 bytes.
    for (first, there, is_moved) in [(2000, 1900, true), (1900, 2004, false)] {
        let mut client = client();
        let (_, at) = room(&mut client);
        let bytes = [plain(0x82, &vec![7; first]), part_of(3000, there)].concat();
        read(&mut client, &bytes);
        take(&mut client, first);
        let ((len, room_at), grown, _) = held(|| room(&mut client));
        if is_moved {
            assert_eq!((len, room_at, grown), (4 * KIB - there, at + there, 0));
        } else {
            assert_eq!((len, grown), (4 * KIB, bytes.len() as isize));
        }
    }
}

/// What room each read of a frame finds, if they bring `piece` bytes at the most; and what is held at the most.
fn rooms(frame: &[u8], piece: usize) -> (Vec<usize>, usize) {
    let mut client = client();
    let (mut rest, mut rooms) = (frame, Vec::with_capacity(1000));
    let ((), _, peak) = held(|| {
        while !rest.is_empty() {
            assert!(client.poll_event().unwrap().is_none());
            let (len, _) = room(&mut client);
            rooms.push(len);
            let (now, then) = rest.split_at(len.min(piece).min(rest.len()));
            read(&mut client, now);
            rest = then;
        }
    });
    (rooms, peak as usize)
}

#[test]
fn a_large_message_has_room_for_half_of_it_and_no_more_than_its_frame() {
    let frame = part_of(1000 * KIB, usize::MAX);
    let (full, held) = rooms(&frame, usize::MAX);
    assert_eq!(full, [4096, 8192, 16_384, 32_768, 65_536, 126_976, 253_952, 507_904, 8202]);
    assert!(held <= frame.len() + 64, "{held}");
    let (short, held) = rooms(&frame, 1460);
    assert!(short[..short.len() - 1].iter().all(|&room| room >= KIB), "half of what is usual");
    assert!(held <= frame.len() + 16 * KIB, "{held}");
    // From 64 KiB on it counts what is missing: half of it is there, or it would not be asked for.
    let (rooms, held) = rooms(&part_of(64 * KIB + 10, usize::MAX), 4 * KIB);
    assert_eq!((rooms.last(), held), (Some(&26_624), 92_184));
}

#[test]
fn what_a_frame_lacks_limits_the_room_only_if_the_message_ends_with_it() {
    let part = |first: u8| [&[first, 127][..], &66_000u64.to_be_bytes(), &vec![7; 65_990]].concat();
    for (first, size) in [(0x82, 10), (0x02, 65_990)] {
        let mut client = client();
        client.input().put_slice(&part(first));
        client.handle_input(Timestamp::EPOCH);
        assert!(client.poll_event().unwrap().is_none());
        // Whatever had room already is full now.
        let spare = client.read_buffer().chunk_mut().len().min(65_990);
        assert!((size / 2..=size).contains(&spare), "{spare} for {first:#x}");
    }
    // Nor does a frame that is complete.
    let mut client = client();
    give(&mut client, &[plain(0x02, b"x"), plain(0x80, b"y")].concat());
    take(&mut client, 2);
    give(&mut client, &plain(0x82, &[7; 1000]).repeat(70));
    assert!(client.read_buffer().remaining_mut() >= 2 * KIB);
}

#[test]
fn headers_of_small_fragments_take_no_room() {
    let mut server = common::server();
    give(&mut server, &common::masked(0x02, b"x"));
    let ((), held, _) = held(|| {
        for _ in 0..10_000 {
            give(&mut server, &common::masked(0x00, b"x"));
            assert!(server.poll_event().unwrap().is_none());
        }
    });
    assert!(held <= 20_000, "{held} bytes for 10,000 of a message");
}

#[test]
fn what_is_dear_to_move_stays_where_a_read_would_bring_less() {
    // Behind a header of four bytes.
    for (there, is_moved) in [(4 * KIB + 4, false), (4 * KIB + 3, true)] {
        let (mut client, mut spare) = (client(), Spare::new());
        // Two reads that bring little: 2 KiB are usual from here on.
        for _ in 0..2 {
            give(&mut client, &plain(0x82, b"x"));
            take(&mut client, 1);
        }
        for part in part_of(10_000, there).chunks(KIB) {
            give(&mut client, part);
            assert!(client.poll_event().unwrap().is_none());
        }
        assert_eq!(client.read_size(), 2 * KIB);
        let ((), grown, _) = held(|| client.borrow_buffers(&mut spare));
        // Another one than this, of the output, in any case.
        assert_eq!(grown > 300 << 10, is_moved, "{there}: {grown}");
    }
}

#[test]
fn what_is_unread_takes_twice_its_length_and_1_kib_at_the_most() {
    // Behind a message that was taken stands a larger part of the next one.
    for (behind, size) in [(1100, 1100), (1530, 1530), (1550, 4 * KIB)] {
        let mut client = client();
        let ((), held, _) = held(|| {
            room(&mut client);
            read(&mut client, &[plain(0x82, &[7; 1000]), part_of(3000, behind)].concat());
            take(&mut client, 1000);
            client.handle_would_block();
        });
        assert_eq!(held, size as isize, "for {behind}");
    }
}

#[test]
fn what_is_appended_stands_behind_what_waits_and_is_not_copied() {
    let large = |byte| Message::Binary(vec![byte; 20_000].into());
    let small = |byte| Message::Binary(vec![byte; 10].into());
    let all = [
        vec![],
        vec![small(1)],
        vec![large(1)],
        vec![small(1), large(2), small(3)],
        vec![large(1), large(2)],
    ];
    for (first, second, written) in
        all.iter().flat_map(|a| all.iter().flat_map(move |b| [0, 1, 10, 15_000].map(|n| (a, b, n))))
    {
        let expected = |messages: &[Message]| -> Vec<u8> {
            messages.iter().flat_map(|message| plain(0x82, message.as_bytes())).collect()
        };
        let (_, mut send) = common::server().split();
        let mut wire = send.fork();
        for (half, messages) in [(&mut wire, first), (&mut send, second)] {
            for message in messages {
                half.send(message.clone()).unwrap();
            }
        }
        // A part of the first is written, and if that is nothing, a part of the second.
        let mut rest = [expected(first), expected(second)];
        for (half, rest) in [&mut wire, &mut send].into_iter().zip(&mut rest) {
            let written = written.min(rest.len());
            half.output().advance(written);
            rest.drain(..written);
        }
        let ((), grown, _) = held(|| wire.append(&mut send).unwrap());
        assert!(grown < 3000, "{grown} bytes more");
        assert_eq!(send.output().remaining(), 0);
        let remaining = wire.output().remaining();
        assert_eq!(wire.output().copy_to_bytes(remaining), rest.concat());
        // What is sent next from there is behind all of it.
        send.send(small(9)).unwrap();
        wire.append(&mut send).unwrap();
        assert_eq!(wire.output().copy_to_bytes(12), expected(&[small(9)]));
    }
}

/// Takes a message along, and lets the connection rest.
fn own(connection: &mut Connection) -> Bytes {
    let Ok(Some(Event::Binary(data))) = connection.poll_event() else { panic!("a message is there") };
    let owned = data.into_bytes();
    connection.handle_would_block();
    owned
}

#[test]
fn an_owned_message_is_a_copy_where_it_is_small_or_the_lesser_part_of_its_buffer() {
    for (len, is_copied) in
        [(10, true), (16 * KIB - 1, true), (16 * KIB, true), (128 * KIB - 1, true), (128 * KIB, false)]
    {
        let (mut client, mut spare) = (client(), Spare::new());
        let (owned, kept, _) = held(|| {
            client.halves().0.borrow_buffer(&mut spare);
            give(&mut client, &plain(0x82, &vec![7; len]));
            own(&mut client)
        });
        let least = if is_copied { len } else { 256 * KIB };
        assert!((least..least + 64).contains(&(kept as usize)), "{kept} bytes for {}", owned.len());
    }
    // However large a part of a small buffer it is.
    let mut client = client();
    room(&mut client);
    let (owned, kept, _) = held(|| {
        read(&mut client, &plain(0x82, &[7; 4000]));
        own(&mut client)
    });
    // The buffer went, the copy came.
    assert_eq!((owned.len(), kept), (4000, 4000 - 4096));
}

#[test]
fn relaying_at_full_speed_fetches_no_buffers() {
    let (mut server, mut other, mut spare) = (common::server(), common::server(), Spare::new());
    let bytes = common::masked(0x82, &vec![7; 40 * KIB]);
    assert_steady(|| {
        for _ in 0..10 {
            server.borrow_buffers(&mut spare);
            relay(&mut server, &bytes, &mut other);
        }
    });
}

#[test]
fn a_small_buffer_that_was_relayed_from_makes_way_for_a_large_one() {
    let (mut server, mut other) = (common::server(), common::server());
    relay(&mut server, &common::masked(0x82, &vec![7; 20 * KIB]), &mut other);
    server.borrow_buffers(&mut Spare::new());
    assert_eq!(room(&mut server).0, 128 * KIB);
}

fn relay(from: &mut Connection, bytes: &[u8], to: &mut Connection) {
    give(from, bytes);
    let Ok(Some(event)) = from.poll_event() else { panic!("a message is there") };
    to.halves().1.relay(event).unwrap();
    drain(to);
}

#[test]
fn an_output_takes_512_bytes_and_then_96_kib_at_once() {
    let mut server = common::server();
    let ((), small, _) = held(|| server.binary(&[7; 100]).unwrap());
    assert_eq!(small, 512);
    // As long as a frame with the longest header fits in.
    let ((), more, _) = held(|| server.binary(&[7; 512 - 102 - 14]).unwrap());
    assert_eq!(more, 0);
    let ((), large, _) = held(|| server.binary(&[7; 8 * KIB]).unwrap());
    assert_eq!(large, 96 * KIB as isize - 512);
    // However full it is by then.
    let mut server = common::server();
    let ((), nearly, _) = held(|| server.binary(&[7; 1990]).unwrap());
    let ((), large, _) = held(|| server.binary(&[7; 3900]).unwrap());
    assert_eq!((nearly, large), (2004, 96 * KIB as isize - 2004));
    // What does not fit into that has its own length.
    let mut server = common::server();
    let ((), huge, _) = held(|| server.binary(&vec![7; 200 * KIB]).unwrap());
    assert_eq!(huge as usize, 200 * KIB + 14);
}

#[test]
fn output_that_waits_takes_twice_its_length_and_96_kib_at_the_most() {
    for (rest, kept) in [(40 * KIB, 40 * KIB), (100 * KIB, 256 * KIB)] {
        let mut server = common::server();
        let ((), held, _) = held(|| {
            server.borrow_buffers(&mut Spare::new());
            server.binary(&vec![7; rest + 60 * KIB - 10]).unwrap();
            server.output().advance(60 * KIB);
            server.handle_would_block();
        });
        assert_eq!((server.buffered(), held), (rest, kept as isize));
    }
}

#[test]
fn large_empty_buffers_go_round_as_long_as_the_limit_has_room_for_them() {
    const ONE: usize = 256 * KIB;
    for (limit, kept) in
        [(0, 0), (ONE - 1, 0), (ONE, 1), (2 * ONE - 1, 1), (2 * ONE, 2), (5 * ONE, 5), (7 * ONE, 6)]
    {
        let mut spare = Spare::with_limit(limit);
        let mut servers = [(); 3].map(|()| common::server());
        for round in 0..3 {
            let before = spare.capacity();
            for server in &mut servers {
                server.borrow_buffers(&mut spare);
                // Once it has them it takes no others.
                server.borrow_buffers(&mut spare);
            }
            assert_eq!(before - spare.capacity(), before, "used ones come first");
            for server in &mut servers {
                relay(server, &common::masked(0x82, b"x"), &mut common::server());
                server.binary(b"x").unwrap();
                drain(server);
                server.return_buffers(&mut spare);
            }
            assert_eq!((round, spare.capacity()), (round, kept * ONE));
        }
    }
}

#[test]
fn a_buffer_goes_round_only_as_a_whole() {
    for (is_written, kept) in [(false, 0), (true, 1)] {
        let (mut client, mut other, mut spare) = (client(), common::server(), Spare::new());
        client.halves().0.borrow_buffer(&mut spare);
        give(&mut client, &plain(0x82, &vec![7; 200 * KIB]));
        let Ok(Some(event)) = client.poll_event() else { panic!("a message is there") };
        other.halves().1.relay(event).unwrap();
        if is_written {
            drain(&mut other);
        }
        client.return_buffers(&mut spare);
        assert_eq!(spare.capacity(), kept * 256 * KIB);
    }
    // A small one does not go round at all.
    let (mut client, mut spare) = (client(), Spare::new());
    give(&mut client, &plain(0x82, &vec![7; 200 * KIB]));
    take(&mut client, 200 * KIB);
    client.binary(&[7; 100]).unwrap();
    drain(&mut client);
    client.return_buffers(&mut spare);
    assert_eq!(spare.capacity(), 0);
}

#[test]
fn queues_of_payloads_go_round_eight_at_the_most() {
    let payload = Bytes::from(vec![7; 20 * KIB]);
    let (mut servers, mut spare) = ([(); 9].map(|()| common::server()), Spare::with_limit(1));
    let mut round = || {
        for server in &mut servers {
            server.borrow_buffers(&mut spare);
            server.send(Message::Binary(payload.clone())).unwrap();
        }
        for server in &mut servers {
            drain(server);
            server.return_buffers(&mut spare);
        }
    };
    round();
    // Of the large buffers none is kept here: two for each. The ninth queue is a new one, of two parts.
    assert_eq!(counting::allocations(&mut round), 2 * 9 + 2);
}

#[test]
fn an_output_that_never_runs_empty_keeps_little_of_what_was_written() {
    for waits in [1, 5000, 90 * KIB] {
        let mut server = common::server();
        let ((), held, _) = held(|| {
            server.binary(&vec![7; waits]).unwrap();
            for _ in 0..3000 {
                server.binary(&[7; 1000]).unwrap();
                server.output().advance(1004);
            }
        });
        assert!(held as usize <= 2 * (96 * KIB + waits), "{held} bytes where {waits} wait");
    }
}

#[test]
fn a_written_output_keeps_up_to_2_mib() {
    for (len, kept) in [(2000 * KIB, 2000 * KIB + 14), (2100 * KIB, 0)] {
        let mut server = common::server();
        let ((), held, _) = held(|| {
            server.binary(&vec![7; len]).unwrap();
            drain(&mut server);
        });
        assert_eq!(held as usize, kept);
    }
}

#[cfg(feature = "std")]
#[test]
fn the_parts_of_an_output_are_all_of_it_however_many_are_asked_for() {
    use std::io::IoSlice;

    // A head, a payload that stands where it was, and so on; and last a message that is copied.
    let payloads = [0, 1, 2].map(|byte| vec![byte; 20_000]);
    let mut all: Vec<u8> = payloads.iter().flat_map(|payload| plain(0x82, payload)).collect();
    all.extend(plain(0x82, b"small"));
    for (written, parts) in [(0, 7), (1, 7), (4, 6), (5, 6), (20_004, 5), (60_012, 1), (all.len(), 0)] {
        let mut server = common::server();
        for payload in &payloads {
            server.send(Message::Binary(payload.clone().into())).unwrap();
        }
        server.binary(b"small").unwrap();
        server.output().advance(written);
        for room in 0..9 {
            let mut slices = [IoSlice::new(b"untouched"); 9];
            let output = &*server.output();
            let count = output.chunks_vectored(&mut slices[..room]);
            assert_eq!(count, parts.min(room), "of {room}, when {written} are written");
            let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
            assert!(
                all[written..].starts_with(&bytes) && slices[..count].iter().all(|slice| !slice.is_empty())
            );
            assert!(room < parts || bytes.len() == all.len() - written);
            assert!(slices[count..].iter().all(|slice| **slice == *b"untouched"));
        }
    }
}

#[cfg(feature = "deflate")]
#[test]
fn what_a_window_holds_grows_by_doubling_and_never_beyond_it() {
    use sansock::deflate::{Agreed, Deflate};

    let mut server = common::server().with_deflate(Agreed::default(), &Deflate::default());
    let mut kept = None;
    for (len, window) in [(1000, 1000), (900, 2000), (100, 2000), (64, 4000), (5000, 8000), (24_668, 31_732)]
        .into_iter()
        .chain([(64, 32_768), (100, 32_768), (100_000, 32_768)])
    {
        let ((), change, _) = held(|| {
            server.binary(&vec![7; len]).unwrap();
            drain(&mut server);
            server.handle_would_block();
        });
        // The first message makes a pool, too; but the compressor goes when it is written.
        assert!(kept.is_some() || (1000..1200).contains(&change), "{change}");
        let kept = kept.get_or_insert(1000 - change);
        *kept += change;
        assert_eq!(*kept, window, "after {len} more");
    }
}
