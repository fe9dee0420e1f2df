//! What is allocated, kept and copied, counted by an allocator of this test's own.
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
#[path = "common/counting.rs"]
mod counting;

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use common::{client, drain, give, masked, plain, server};
use counting::{assert_steady, held};
use sansock::{Config, Connection, Delivery, Event, Message, Prepared, Spare, Timestamp};

#[test]
fn receiving_allocates_nothing() {
    for len in [16, 125, 1 << 10, 16 << 10, 100 << 10] {
        for (first, bytes) in [(0x81, masked(0x81, &vec![b'x'; len])), (0x82, masked(0x82, &vec![7; len]))] {
            let mut server = server();
            assert_steady(|| {
                for part in bytes.chunks(40 << 10) {
                    give(&mut server, part);
                    while let Some(event) = server.poll_event().unwrap() {
                        match event {
                            Event::Text(text) => assert_eq!((first, text.len()), (0x81, len)),
                            Event::Binary(data) => assert_eq!((first, data.len()), (0x82, len)),
                            _ => panic!("no other event was sent"),
                        }
                    }
                }
            });
        }
    }
}

#[test]
fn receiving_fragments_allocates_nothing() {
    let bytes = [masked(0x01, &[b'a'; 500]), masked(0x00, &[b'b'; 500]), masked(0x80, &[b'c'; 500])].concat();
    let mut server = server();
    assert_steady(|| {
        give(&mut server, &bytes);
        assert!(matches!(server.poll_event(), Ok(Some(Event::Text(text))) if text.len() == 1500));
    });
}

#[test]
fn sending_allocates_nothing() {
    let small = Prepared::new("x".repeat(100));
    let large = Prepared::new("x".repeat(100_000));
    let owned = Bytes::from(vec![7; 100_000]);
    for mut end in [server(), client()] {
        assert_steady(|| {
            end.text("hello").unwrap();
            end.binary(&[7; 1000]).unwrap();
            end.prepared(&small).unwrap();
            end.fragment("a").unwrap();
            end.last_fragment("b").unwrap();
            end.ping(b"alive").unwrap();
            drain(&mut end);
        });
    }
    let mut server = server();
    assert_steady(|| {
        server.prepared(&large).unwrap();
        server.send(Message::Binary(owned.clone())).unwrap();
        drain(&mut server);
    });
}

/// What a mask costs is in `benches/instructions.sh`: here, that there is one pass and nothing else. The frame is
/// in the output when the call returns, in one piece, each byte masked; and nothing was allocated for it, nor for
/// the key.
#[test]
fn hostile_91_a_short_message_is_masked_on_its_way_into_the_output() {
    let payload: [u8; 32] = std::array::from_fn(|i| i as u8);
    let mut end = client();
    assert_steady(|| {
        end.binary(&payload).unwrap();
        let output = end.output();
        let frame: [u8; 38] = output.chunk().try_into().unwrap();
        assert_eq!((frame[0], frame[1], output.remaining()), (0x82, 0x80 | 32, 38));
        let key = &frame[2..6];
        assert!(
            frame[6..].iter().zip(payload).enumerate().all(|(i, (sent, byte))| *sent == byte ^ key[i % 4])
        );
        output.advance(38);
    });
}

#[test]
fn spare_buffers_come_with_no_queue_that_many_payloads_have_made_long() {
    let payload = Bytes::from(vec![7; 5000]);
    for count in [1, 64, 65, 1000] {
        let mut spare = Spare::new();
        let ((), kept, peak) = held(|| {
            let mut server = server();
            for _ in 0..count {
                server.send(Message::Binary(payload.clone())).unwrap();
            }
            drain(&mut server);
            server.return_buffers(&mut spare);
        });
        // Each payload has 48 bytes of the queue.
        assert!(peak >= count * 48 && kept <= 4 << 10, "{count} payloads: {kept} of {peak} bytes kept");
    }
}

#[test]
fn an_echo_allocates_nothing() {
    let bytes: Vec<u8> = (0..50).flat_map(|i| masked(0x82, &[i; 125])).collect();
    let mut server = server();
    assert_steady(|| {
        give(&mut server, &bytes);
        while let Some((event, send)) = server.poll_with_send().unwrap() {
            let Event::Binary(data) = event else { panic!("{event:?}") };
            send.binary(&data).unwrap();
        }
        drain(&mut server);
    });
}

#[test]
fn a_message_of_one_frame_is_lent_from_where_it_was_read_to() {
    for len in [1, 125, 70_000] {
        let bytes = plain(0x82, &vec![7; len]);
        let mut client = client();
        give(&mut client, &bytes);
        let read_to = client.input().chunk_mut().as_mut_ptr() as usize - len;
        let Some(Event::Binary(data)) = client.poll_event().unwrap() else { panic!("a message") };
        assert_eq!(data.as_ptr() as usize, read_to);
    }
}

#[test]
fn a_large_owned_message_is_not_copied() {
    let bytes = plain(0x82, &vec![7; 70_000]);
    let mut client = client();
    let behind = plain(0x81, b"the next");
    give(&mut client, &[&bytes[..], &behind].concat());
    let Some(Event::Binary(data)) = client.poll_event().unwrap() else { panic!("a message") };
    let read_to = data.as_ptr() as usize;
    let owned = data.into_bytes();
    assert_eq!((owned.as_ptr() as usize, owned.len()), (read_to, 70_000));
    assert!(matches!(client.poll_event(), Ok(Some(Event::Text(text))) if &*text == "the next"));

    // Nor is it when it goes out again.
    let mut server = server();
    server.send(owned).unwrap();
    server.output().advance(b"\x82\x7f\0\0\0\0\0\x01\x11\x70".len());
    assert_eq!(server.output().chunk().as_ptr() as usize, read_to);
}

#[test]
fn a_small_owned_message_keeps_no_buffer_alive() {
    let mut server = server();
    let bytes = [masked(0x82, &[7; 100]), masked(0x82, &[7; 30_000])].concat();
    give(&mut server, &bytes);
    let (owned, held, _) = held(|| {
        let Ok(Some(Event::Binary(data))) = server.poll_event() else { panic!("a message") };
        data.into_bytes()
    });
    assert_eq!(owned.len(), 100);
    assert!(held <= 100 + 64, "{held}");
}

#[test]
fn a_prepared_message_is_shared() {
    let news = Prepared::new(vec![7; 10_000]);
    for _ in 0..3 {
        let mut server = server();
        server.prepared(&news).unwrap();
        server.output().advance(4);
        assert_eq!(server.output().chunk().as_ptr(), news.payload().as_ptr());
    }
}

#[test]
fn rule_a_a_lone_header_keeps_at_most_64_bytes() {
    for head in [
        &b"\x82\xff\x00\x00\x00\x00\x01\x00\x00\x00"[..],
        b"\x82\xff\x00\x00\x00\x00\x01\x00\x00\x00\x01\x02\x03\x04",
        b"\x01\xfe\xff\xff\x01\x02\x03\x04",
        b"\x89\xfd\x01\x02\x03\x04",
        b"\x82",
    ] {
        let mut server = server();
        let ((), held, peak) = held(|| {
            give(&mut server, head);
            assert!(matches!(server.poll_event(), Ok(None)));
            server.handle_would_block();
        });
        assert!(held <= 64, "{held}");
        assert!(peak <= 4 << 10, "{peak}");
    }
}

#[test]
fn a_connection_at_rest_owns_no_buffer() {
    let (mut server, fresh, _) = held(server);
    // One block, which fits between those that allocators align to 128 bytes.
    assert!(fresh <= 104, "{fresh}");
    assert!(size_of::<Connection>() <= 248, "{}", size_of::<Connection>());

    let flood: Vec<u8> = (0..100).flat_map(|_| masked(0x89, &[7; 125])).collect();
    let fragments = [masked(0x01, b"a"), masked(0x89, b"between"), masked(0x80, b"b")].concat();
    for bytes in [masked(0x82, &[7; 60_000]), masked(0x81, b"text"), masked(0x89, b"ping"), fragments, flood]
    {
        let ((), held, _) = held(|| {
            give(&mut server, &bytes);
            echo_all(&mut server);
        });
        assert_eq!(held, 0, "after {} bytes", bytes.len());
    }

    // A keepalive ping, and its pong.
    let ((), held, _) = held(|| {
        server.handle_timeout(Timestamp::EPOCH + Duration::from_secs(20));
        assert_eq!(server.buffered(), 2);
        drain(&mut server);
        give(&mut server, &masked(0x8a, b""));
        echo_all(&mut server);
    });
    assert_eq!(held, 0);
}

/// Answers all that there is, and rests.
fn echo_all(end: &mut Connection) {
    while let Some((event, send)) = end.poll_with_send().unwrap() {
        match event {
            Event::Text(text) => send.text(&text).unwrap(),
            Event::Binary(data) => send.binary(&data).unwrap(),
            _ => {}
        }
    }
    drain(end);
    end.handle_would_block();
}

#[test]
fn rule_b_fragments_cost_their_bytes_and_no_more() {
    let one_byte: Vec<u8> = [masked(0x02, b"")]
        .into_iter()
        .chain((0..20_000).map(|_| masked(0x00, b"x")))
        .collect::<Vec<_>>()
        .concat();
    let empty: Vec<u8> = [masked(0x02, b"")]
        .into_iter()
        .chain((0..20_000).map(|_| masked(0x00, b"")))
        .collect::<Vec<_>>()
        .concat();
    for (bytes, payload) in [(one_byte, 20_000), (empty, 0)] {
        for step in [1, 1000] {
            let mut server = server();
            let mut given = 0;
            let ((), held, peak) = held(|| {
                for part in bytes.chunks(step) {
                    give(&mut server, part);
                    given += part.len();
                    assert!(matches!(server.poll_event(), Ok(None)));
                    server.handle_would_block();
                }
            });
            assert!(held <= 2 * payload + 1024, "{held}");
            assert!(peak <= 2 * payload + 8192, "{peak}");
        }
    }
}

#[test]
fn rule_d_a_ping_flood_keeps_the_heap_flat() {
    let pings: Vec<u8> = (0..1000).flat_map(|_| masked(0x89, &[7; 125])).collect();
    let mut server = server();
    let ((), held, _) = held(|| {
        for _ in 0..100 {
            give(&mut server, &pings);
            while server.poll_event().unwrap().is_some() {}
            server.handle_would_block();
        }
    });
    assert!(held <= 3 << 10, "{held}");
}

#[test]
fn chunks_pass_in_bounded_memory() {
    let mut config = Config::default();
    (config.delivery, config.max_message) = (Delivery::Chunks, u64::MAX);
    let mut server = Connection::server(config, Timestamp::EPOCH);
    let part = vec![7; 64 << 10];
    let head = [&b"\x82\xff"[..], &u64::to_be_bytes(1 << 40), &[0; 4]].concat();
    let ((), _, peak) = held(|| {
        give(&mut server, &head);
        for _ in 0..100 {
            assert!(server.poll_event().unwrap().is_none());
            give(&mut server, &part);
            assert!(server.poll_event().unwrap().is_some());
        }
    });
    assert!(peak <= 256 << 10, "{peak}");
}

#[test]
fn headers_between_fragments_are_not_kept_by_a_driver_that_takes_one_event_per_read() {
    let mut server = server();
    give(&mut server, &masked(0x01, b"x"));
    // It has always one more than was taken, and they are not all alike.
    let pongs = [masked(0x8a, b""), masked(0x8a, b"long")];
    give(&mut server, &pongs[1]);
    let ((), held, _) = held(|| {
        for pong in pongs.iter().cycle().take(10_000) {
            give(&mut server, pong);
            assert!(matches!(server.poll_event(), Ok(Some(Event::Pong(_)))));
        }
    });
    assert!(held <= 1 << 10, "{held}");
}
