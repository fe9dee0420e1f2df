//! The limits and deadlines of `Config`, on a virtual clock.
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

use std::time::Duration;

use bytes::{Buf, BufMut};
use common::*;
use sansock::{CloseCode, Config, Connection, Delivery, Error, Timer, Timestamp};

const SECOND: Duration = Duration::from_secs(1);

fn server_with(change: impl Fn(&mut Config)) -> impl Fn() -> Connection {
    move || {
        let mut config = Config::default();
        change(&mut config);
        Connection::server(config, Timestamp::EPOCH)
    }
}

#[test]
fn chunks_hand_out_what_has_arrived() {
    let chunks = server_with(|config| {
        config.delivery = Delivery::Chunks;
        config.max_message = u64::MAX;
    });
    let mut server = chunks();
    let bytes = [masked(0x01, "aé".as_bytes()), masked(0x80, "€z".as_bytes())].concat();
    let mut parts = Vec::new();
    let mut whole = String::new();
    for seen in feed(&mut server, &bytes, &[1]) {
        let (Seen::Text(part) | Seen::TextPart(part)) = &seen else { panic!("{seen:?}") };
        whole.push_str(part);
        parts.push(seen);
    }
    assert_eq!(whole, "aé€z");
    assert_eq!(
        parts,
        [Seen::TextPart("a".into()), Seen::TextPart("é".into()), Seen::TextPart("€".into()), text("z")]
    );
    // The end of a message is always said, be its last part empty.
    let empty_end = [masked(0x02, b"x"), masked(0x80, b"")].concat();
    assert_eq!(feed(&mut chunks(), &empty_end, &[7]), [Seen::BinaryPart(b"x".into()), binary(b"")]);
}

#[test]
fn chunks_keep_no_more_than_what_has_arrived() {
    let mut config = Config::default();
    (config.delivery, config.max_message) = (Delivery::Chunks, u64::MAX);
    let mut server = Connection::server(config, Timestamp::EPOCH);
    // The beginning of a message of 2^40 bytes, 64 KiB at a time.
    let head = [&b"\x82\xff"[..], &u64::to_be_bytes(1 << 40), &[0; 4]].concat();
    feed(&mut server, &head, &[usize::MAX]);
    for _ in 0..1000 {
        let seen = feed(&mut server, &[7; 64 << 10], &[usize::MAX]);
        assert_eq!(seen, [Seen::BinaryPart(vec![7; 64 << 10])]);
        assert_eq!(held(&mut server), 0);
    }
    assert_eq!(server.missing(), (1 << 40) - 1000 * (64 << 10));
}

#[test]
fn reads_never_follow_a_claim() {
    let mut server = server();
    let head = [&b"\x82\xff"[..], &u64::to_be_bytes(16 << 20), &[0; 4]].concat();
    feed(&mut server, &head, &[usize::MAX]);
    assert_eq!(server.missing(), 16 << 20);
    assert!(server.read_size() <= 64 << 10);
}

#[test]
fn keepalive_pings_a_silent_peer_and_gives_up() {
    let mut pair = Pair::new();
    pair.sleep(100 * SECOND);
    assert!(pair.client_saw.iter().all(|seen| matches!(seen, Seen::Ping(_) | Seen::Pong(_))));
    assert!(pair.client_saw.len() >= 4, "{:?}", pair.client_saw);

    let mut server = server();
    server.handle_timeout(Timestamp::EPOCH + 19 * SECOND);
    assert_eq!(server.buffered(), 0);
    server.handle_timeout(Timestamp::EPOCH + 20 * SECOND);
    assert_eq!(output(&mut server), plain(0x89, b""));
    assert_eq!(server.poll_timeout(), Some(Timestamp::EPOCH + 40 * SECOND));
    // To be told the time before that does no harm.
    server.handle_timeout(Timestamp::EPOCH + Duration::from_nanos(39_999_999_999));
    assert_eq!(events(&mut server), []);
    server.handle_timeout(Timestamp::EPOCH + 40 * SECOND);
    assert_eq!(events(&mut server), [Seen::Failed(Error::TimedOut(Timer::Pong))]);
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let mut server = server();
    let big = masked(0x82, &[1; 1000]);
    for (second, byte) in (0..1000).zip(&big) {
        let now = Timestamp::EPOCH + 15 * second * SECOND;
        server.input().put_u8(*byte);
        server.handle_input(now);
        server.handle_timeout(now);
        assert_eq!(server.poll_event().map(|event| event.is_none()), Ok(true));
        assert_eq!(server.buffered(), 0, "no ping: a frame in flight is not silence");
    }
}

#[test]
fn keepalive_pings_that_a_peer_does_not_read_do_not_pile_up() {
    let ends = [(server(), masked(0x8a, b""), 2), (client(), plain(0x8a, b""), 6)];
    for (mut connection, pong, ping) in ends {
        let mut now = Timestamp::EPOCH;
        for _ in 0..2000 {
            now = now + 20 * SECOND;
            connection.handle_timeout(now);
            connection.input().put_slice(&pong);
            connection.handle_input(now);
            assert!(connection.poll_event().unwrap().is_some());
        }
        assert!(connection.buffered() < 100 * ping, "{}", connection.buffered());
        // Once it reads it is asked again.
        drain(&mut connection);
        connection.handle_timeout(now + 20 * SECOND);
        assert_eq!(output(&mut connection).len(), ping);
    }
}

/// RFC 6455 §7.1.7, §7.2.1 and §7.3: "clients SHOULD NOT close the connection" without a reason.
/// To write it elsewhere, a driver may take all of the output at once, and leave an empty one.
#[test]
fn output_that_is_taken_as_a_whole_counts_as_written() {
    let taken = |server: &mut Connection| {
        let mut output = std::mem::take(server.output());
        let len = output.remaining();
        output.copy_to_bytes(len)
    };
    let mut server = server();
    for i in 0..200 {
        server.text("a message before the pong").unwrap();
        give(&mut server, &masked(0x89, &[i; 125]));
        assert_eq!(events(&mut server), [Seen::Ping(vec![i; 125])]);
        let mut output = taken(&mut server).to_vec();
        output.extend(taken(&mut server));
        assert!(output.ends_with(&plain(0x8a, &[i; 125])), "{i}");
    }
    let mut now = Timestamp::EPOCH;
    for i in 0..200 {
        now = now + 20 * SECOND;
        server.handle_timeout(now);
        assert_eq!(taken(&mut server), plain(0x89, b""), "{i}");
        server.input().put_slice(&masked(0x8a, b""));
        server.handle_input(now);
        assert_eq!(events(&mut server), [Seen::Pong(Vec::new())]);
    }
}

#[test]
fn section_7_3_a_client_does_not_close_while_its_peer_is_there() {
    let mut pair = Pair::new();
    for _ in 0..24 {
        // Nothing but keepalive, and then whatever a server may say.
        pair.sleep(3600 * SECOND);
        pair.server.text("still here").unwrap();
        pair.server.binary(b"").unwrap();
        pair.server.fragment("in ").unwrap();
        pair.server.ping(b"?").unwrap();
        pair.server.pong(b"unasked").unwrap();
        pair.server.last_fragment("parts").unwrap();
        pair.drive();
    }
    assert_eq!(pair.reports(), (None, None));
    assert!(!pair.client_saw.contains(&Seen::End) && !pair.server_saw.contains(&Seen::End));
    assert_eq!(pair.client_saw.iter().filter(|seen| **seen == text("in parts")).count(), 24);
    pair.client.text("and so am I").unwrap();
    pair.drive();
    assert_eq!(pair.server_saw.last(), Some(&text("and so am I")));
}

#[test]
fn nothing_that_arrived_is_lost_to_a_deadline() {
    let mut server = server();
    server.input().put_slice(&masked(0x81, b"late, but here"));
    server.handle_input(Timestamp::EPOCH);
    server.handle_timeout(Timestamp::EPOCH + 20 * SECOND);
    server.handle_timeout(Timestamp::EPOCH + 40 * SECOND);
    assert_eq!(server.overdue(), Some(Error::TimedOut(Timer::Pong)));
    assert_eq!(server.poll_timeout(), None, "a driver that holds events back has nothing to wake up for");
    server.handle_timeout(Timestamp::EPOCH + 60 * SECOND);
    assert_eq!(server.poll_timeout(), None);
    assert_eq!(events(&mut server), [text("late, but here"), Seen::Failed(Error::TimedOut(Timer::Pong))]);
}

#[test]
fn an_idle_connection_is_closed_with_the_applications_code() {
    let mut config = Config::default();
    (config.idle_timeout, config.idle_close) = (Some(60 * SECOND), CloseCode::GOING_AWAY);
    let mut pair = Pair::with(Config::default(), config);
    pair.sleep(50 * SECOND);
    pair.client.text("still here").unwrap();
    pair.drive();
    pair.sleep(59 * SECOND);
    assert_eq!(pair.server.closed(), None, "a message starts the time anew");
    pair.sleep(2 * SECOND);
    let (client, server) = pair.reports();
    assert_eq!((client.unwrap().code(), server.unwrap().code()), (1001, 1001));
    assert!(pair.server_saw.contains(&Seen::End), "it is no error");
}

#[test]
fn what_has_arrived_and_was_not_looked_at_gets_the_idle_time_once_more() {
    let at = |seconds| Timestamp::EPOCH + Duration::from_secs(seconds);
    let message = masked(0x82, b"data");
    let ping = masked(0x89, b"");
    let closed = plain(0x88, &1000u16.to_be_bytes());
    let idle =
        || server_with(|config| (config.idle_timeout, config.ping_interval) = (Some(60 * SECOND), None))();
    let arrive = |server: &mut Connection, bytes: &[u8], seconds| {
        server.input().put_slice(bytes);
        server.handle_input(at(seconds));
    };
    // The application comes back 10 seconds too late, and reads in parts what has come meanwhile.
    for parts in
        [&[&message[..]][..], &[&message[..7], &message[7..]], &[&ping, &message], &[&ping, &ping, &message]]
    {
        let mut server = idle();
        let (last, first) = parts.split_last().unwrap();
        for part in first {
            arrive(&mut server, part, 70);
            events(&mut server);
        }
        arrive(&mut server, last, 70);
        server.handle_timeout(at(70));
        assert_eq!(server.poll_timeout(), Some(at(130)));
        events(&mut server);
        output(&mut server);
        server.handle_timeout(at(129));
        assert_eq!(server.buffered(), 0, "the answer can be sent");
        server.handle_timeout(at(130));
        assert_eq!(output(&mut server), closed);
    }
    // What brings no message gets it once only, and what was looked at does not get it at all.
    for late in [70, 50] {
        let mut server = idle();
        for seconds in [late, 100] {
            arrive(&mut server, &ping, seconds);
            events(&mut server);
        }
        output(&mut server);
        server.handle_timeout(at(if late > 60 { 129 } else { 159 }));
        assert_eq!(server.buffered(), 0);
        arrive(&mut server, &ping, 160);
        assert_eq!(output(&mut server), closed);
    }
    let mut server = idle();
    arrive(&mut server, &message, 10);
    server.handle_timeout(at(65));
    assert_eq!(server.poll_timeout(), Some(at(125)));
    events(&mut server);
    assert_eq!(server.poll_timeout(), Some(at(70)), "a message counts from when it has come");
}

#[test]
fn hostile_88_a_clock_that_jumps() {
    let mut server = server();
    for now in [u64::MAX, 0, 5, u64::MAX, 1] {
        let now = Timestamp::from_epoch(Duration::from_secs(now));
        server.handle_timeout(now);
        server.input().put_slice(&masked(0x82, b"x"));
        server.handle_input(now);
        events(&mut server);
        let _ = server.poll_timeout();
    }
}

#[test]
fn the_high_water_mark_refuses_nothing() {
    let mut config = Config::default();
    config.output_high_water = 100;
    let mut server = Connection::server(config, Timestamp::EPOCH);
    server.binary(&[1; 98]).unwrap();
    assert!(!server.is_above_high_water() && server.wants_input());
    server.binary(&[1; 98]).unwrap();
    assert!(server.is_above_high_water() && !server.wants_input());
    output(&mut server);
    assert!(!server.is_above_high_water() && server.wants_input());
}

#[test]
fn hostile_54_a_flood_suspends_no_deadline() {
    // The driver is never out of input, and so never looks at the clock by itself.
    let pong = masked(0x8a, b"");
    let flood = |server: &mut Connection, seconds: u64| {
        server.input().put_slice(&pong);
        server.handle_input(Timestamp::EPOCH + Duration::from_secs(seconds));
        events(server)
    };
    let mut closing = server();
    closing.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(flood(&mut closing, 0), [Seen::Pong(Vec::new())]);
    assert_eq!(flood(&mut closing, 4), [Seen::Pong(Vec::new())]);
    let over = Seen::Failed(Error::TimedOut(Timer::Closing));
    assert_eq!(flood(&mut closing, 5), [Seen::Pong(Vec::new()), over]);
    assert!(closing.is_finished());

    let mut config = Config::default();
    config.idle_timeout = Some(60 * SECOND);
    let mut idle = Connection::server(config, Timestamp::EPOCH);
    for seconds in 1..120 {
        flood(&mut idle, seconds);
        assert_eq!(idle.buffered(), 0);
    }
    flood(&mut idle, 120);
    assert_eq!(output(&mut idle), plain(0x88, &1000u16.to_be_bytes()));
}

#[test]
fn a_writer_learns_that_the_closing_handshake_is_over() {
    let mut server = server();
    server.binary(&[7; 1000]).unwrap();
    server.handle_eof();
    assert_eq!(events(&mut server), [Seen::Failed(Error::UnexpectedEof)]);
    assert_eq!(server.overdue(), None);
    server.handle_timeout(Timestamp::EPOCH);
    server.handle_timeout(Timestamp::EPOCH + 5 * SECOND);
    assert_eq!(server.overdue(), Some(Error::TimedOut(Timer::Closing)));
    assert!(server.is_finished(), "what is left cannot be written in time");
}

#[test]
fn reads_grow_only_with_what_they_bring() {
    let mut server = server();
    let head = [&b"\x82\xff"[..], &u64::to_be_bytes(16 << 20), &[0; 4]].concat();
    feed(&mut server, &head, &[usize::MAX]);
    for _ in 0..20 {
        let size = server.read_size();
        feed(&mut server, &vec![7; size], &[usize::MAX]);
    }
    assert_eq!(server.read_size(), 512 << 10);
    for _ in 0..20 {
        feed(&mut server, &[7; 100], &[usize::MAX]);
    }
    assert_eq!(server.read_size(), 2 << 10, "whatever the peer holds back");
}

#[test]
fn output_that_was_taken_after_a_wait_is_a_sign_of_life() {
    let at = |seconds| Timestamp::EPOCH + Duration::from_secs(seconds);
    let mut server = Connection::server(Config::default(), Timestamp::EPOCH);
    // 20 s without input, and a ping; its answer has 20 s.
    server.handle_timeout(at(20));
    assert_eq!(server.poll_timeout(), Some(at(40)));
    server.handle_written(at(39));
    server.handle_timeout(at(40));
    assert!(server.poll_event().unwrap().is_none());
    assert!(server.poll_timeout() > Some(at(40)));
}

#[test]
fn the_output_of_a_connection_has_what_its_receiving_half_was_told() {
    let mut server = Connection::server(Config::default(), Timestamp::EPOCH);
    server.halves().0.handle_timeout(Timestamp::EPOCH + Duration::from_secs(20));
    assert_eq!(common::output(&mut server), b"\x89\0");
}

#[test]
fn a_message_keeps_a_connection_from_idling_however_it_comes() {
    let whole = masked(0x82, b"data");
    let fragments = [masked(0x02, b"da"), masked(0x80, b"ta")].concat();
    for (delivery, bytes, cuts) in [
        (Delivery::Messages, &whole, usize::MAX),
        (Delivery::Messages, &whole, 1),
        (Delivery::Messages, &fragments, usize::MAX),
        (Delivery::Chunks, &whole, 3),
        (Delivery::Chunks, &fragments, 1),
    ] {
        let mut server = server_with(|config| {
            (config.delivery, config.idle_timeout, config.ping_interval) =
                (delivery, Some(60 * SECOND), None);
        })();
        server.handle_timeout(Timestamp::EPOCH + 30 * SECOND);
        for part in bytes.chunks(cuts.min(bytes.len())) {
            server.input().put_slice(part);
            server.handle_input(Timestamp::EPOCH + 30 * SECOND);
            while server.poll_event().unwrap().is_some() {}
        }
        assert_eq!(server.poll_timeout(), Some(Timestamp::EPOCH + 90 * SECOND), "{delivery:?}, by {cuts}");
        // A ping does not.
        server.input().put_slice(&masked(0x89, b""));
        server.handle_input(Timestamp::EPOCH + 40 * SECOND);
        assert!(server.poll_event().unwrap().is_some());
        assert_eq!(server.poll_timeout(), Some(Timestamp::EPOCH + 90 * SECOND));
    }
}

#[test]
fn after_the_end_of_the_transport_there_is_nothing_to_read() {
    let mut server = server();
    assert!(server.wants_input());
    server.handle_eof();
    assert!(!server.wants_input());
}

#[test]
fn a_peer_that_pings_and_takes_no_pong_is_not_read_from_any_more() {
    // Seven pongs wait, one is the newest, and what it replaces counts as if it waited.
    let mut server = server_with(|config| config.output_high_water = 72 * (14 + 125))();
    for count in 1..=200 {
        give(&mut server, &masked(0x89, &[7; 125]));
        assert!(server.poll_event().unwrap().is_some());
        assert_eq!(server.wants_input(), count <= 7 + 1 + 72, "{count}");
    }
    drain(&mut server);
    assert!(server.wants_input());
}
