//! Items 35, 36, 38 and 39: fragments, and frames that come by the million.

use std::time::Duration;

use bytes::BufMut;
use sansock::{Config, Timestamp, Violation};

use super::role::{Role, both_see, unmasked, violates};
use crate::common::{Seen, binary, drain, events, feed, give, output, plain, text};

#[test]
fn hostile_35_a_continuation_of_no_message() {
    for first in [0x00, 0x80] {
        for payload in [&b""[..], b"x", &[1; 126]] {
            assert_eq!(both_see(&[(first, payload)]), violates(Violation::UnexpectedContinuation));
            let (seen, sent) = both_see(&[(0x01, b"a"), (0x80, b"b"), (first, payload)]);
            let expected = violates(Violation::UnexpectedContinuation);
            assert_eq!((seen, sent), ([vec![text("ab")], expected.0].concat(), expected.1), "after FIN");
        }
    }
}

#[test]
fn hostile_35_a_message_inside_a_fragmented_one() {
    for open in [0x01, 0x02] {
        for second in [0x01, 0x81, 0x02, 0x82] {
            for payload in [&b""[..], b"x", &[1; 126]] {
                let expected = violates(Violation::ExpectedContinuation);
                assert_eq!(both_see(&[(open, b"x"), (second, payload)]), expected);
                assert_eq!(both_see(&[(open, b""), (0x00, b"x"), (second, payload)]), expected);
            }
        }
    }
}

#[test]
fn hostile_35_the_order_of_fragments_is_judged_at_the_header() {
    for role in Role::BOTH {
        let config = Config::default();
        for length in [&[125][..], &[126, 0xff, 0xff], &[127, 0, 0, 0, 0, 0, 1, 0, 0]] {
            let continuation = role.sees(&role.head(0x80, length), &config);
            assert_eq!(continuation, violates(Violation::UnexpectedContinuation));
            let inside = [role.frame(0x01, b"x"), role.head(0x82, length)].concat();
            assert_eq!(role.sees(&inside, &config), violates(Violation::ExpectedContinuation));
        }
    }
}

#[test]
fn hostile_36_a_ping_between_every_two_fragments() {
    let parts: Vec<String> = (0..50).map(|i| format!("part {i} ")).collect();
    let pings: Vec<[u8; 1]> = (0..50).map(|i| [i]).collect();
    let mut frames: Vec<(u8, &[u8])> = vec![(0x01, b"")];
    for (part, ping) in parts.iter().zip(&pings) {
        frames.extend([(0x89, &ping[..]), (0x00, part.as_bytes()), (0x8a, b"")]);
    }
    frames.push((0x80, b""));
    let seen = both_see(&frames).0;
    let expected = pings.iter().flat_map(|ping| [Seen::Ping(ping.to_vec()), Seen::Pong(Vec::new())]);
    assert_eq!(seen, expected.chain([text(&parts.concat())]).collect::<Vec<_>>());
}

#[test]
fn hostile_36_pings_between_fragments_are_answered_at_once() {
    for role in Role::BOTH {
        let mut connection = role.connection(&Config::default());
        give(&mut connection, &role.frame(0x02, b"open"));
        for payload in [&b""[..], b"x", &[7; 125]] {
            give(&mut connection, &role.frame(0x89, payload));
            assert_eq!(events(&mut connection), [Seen::Ping(payload.to_vec())]);
            assert_eq!(unmasked(&output(&mut connection)), plain(0x8a, payload), "not after the message");
        }
        give(&mut connection, &role.frame(0x80, b" end"));
        assert_eq!(events(&mut connection), [binary(b"open end")]);
    }
}

#[test]
fn hostile_36_a_ping_between_header_and_payload_is_payload() {
    for role in Role::BOTH {
        let ping = role.frame(0x89, b"no ping");
        // The payload begins with the bytes of a ping, as they are on the wire.
        let (head, key) = (role.head(0x82, &[u8::try_from(ping.len()).unwrap()]), role.key());
        let bytes = [&head[..], key.as_ref().map_or(&[], |key| &key[..]), &ping].concat();
        let payload: Vec<u8> = match key {
            Some(key) => ping.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect(),
            None => ping,
        };
        assert_eq!(role.sees(&bytes, &Config::default()), (vec![binary(&payload)], Vec::new()));
    }
}

#[test]
fn hostile_36_a_close_between_fragments_ends_the_conversation_without_the_message() {
    for open in [0x01, 0x02] {
        let frames: &[(u8, &[u8])] =
            &[(open, b"half a"), (0x00, b" mess"), (0x88, b"\x03\xe9bye"), (0x80, b"age"), (0x82, b"x")];
        assert_eq!(both_see(frames), (vec![Seen::End], plain(0x88, b"\x03\xe9")));
    }
}

/// Gives `count` times these frames at once, and takes the events one by one: these in turn.
fn assert_steps(role: Role, frames: &[(u8, &[u8])], count: usize, expected: &[Seen]) {
    let mut connection = role.connection(&Config::default());
    give(&mut connection, &role.frames(frames).repeat(count));
    for expected in expected.iter().cycle().take(count * expected.len()) {
        // Finding an event twice takes nothing.
        assert_eq!((connection.advance(), connection.advance()), (Ok(true), Ok(true)));
        assert_eq!(connection.poll_event().unwrap().map(Seen::from).as_ref(), Some(expected));
    }
    assert_eq!(connection.advance(), Ok(false));
}

#[test]
fn hostile_38_a_million_empty_messages_in_one_read_are_a_million_steps() {
    for role in Role::BOTH {
        assert_steps(role, &[(0x81, b""), (0x82, b"")], 500_000, &[text(""), binary(b"")]);
    }
}

#[test]
fn hostile_38_empty_fragments_and_control_frames_are_single_steps_too() {
    for role in Role::BOTH {
        let frames: &[(u8, &[u8])] = &[(0x01, b""), (0x89, b""), (0x80, b""), (0x8a, b"")];
        let expected = [Seen::Ping(Vec::new()), text(""), Seen::Pong(Vec::new())];
        assert_steps(role, frames, 50_000, &expected);
    }
}

#[test]
fn hostile_39_a_peer_that_pings_and_never_reads_gets_few_pongs_and_the_newest() {
    for role in Role::BOTH {
        for (pad, thousands) in [(0, 100), (121, 10)] {
            let mut connection = role.connection(&Config::default());
            let payload = |i: u32| [&i.to_be_bytes()[..], &vec![7; pad]].concat();
            for thousand in 0..thousands {
                let pings: Vec<u8> =
                    (0..1000).flat_map(|i| role.frame(0x89, &payload(1000 * thousand + i))).collect();
                give(&mut connection, &pings);
                while connection.poll_event().unwrap().is_some() {}
                assert!(connection.buffered() <= 1200, "{}", connection.buffered());
            }
            let sent = unmasked(&output(&mut connection));
            assert!(sent.starts_with(&plain(0x8a, &payload(0))));
            assert!(sent.ends_with(&plain(0x8a, &payload(1000 * thousands - 1))));
        }
    }
}

#[test]
fn hostile_39_a_ping_of_125_bytes_is_answered_whole() {
    let most: Vec<u8> = (0..125).collect();
    assert_eq!(both_see(&[(0x89, &most)]), (vec![Seen::Ping(most.clone())], plain(0x8a, &most)));
}

#[test]
fn hostile_39_pongs_that_nobody_asked_for_change_nothing() {
    let at = |seconds| Timestamp::EPOCH + Duration::from_secs(seconds);
    let mut config = Config::default();
    (config.idle_timeout, config.ping_interval) = (Some(Duration::from_secs(200)), None);
    for role in Role::BOTH {
        let mut connection = role.connection(&config);
        let pongs: Vec<u8> = (0..1000_u32).flat_map(|i| role.frame(0x8a, &i.to_be_bytes())).collect();
        for seconds in 1..=100 {
            connection.input().put_slice(&pongs);
            connection.handle_input(at(seconds));
            for i in 0..1000_u32 {
                let event = connection.poll_event().unwrap().map(Seen::from);
                assert_eq!(event, Some(Seen::Pong(i.to_be_bytes().to_vec())));
            }
            assert_eq!((connection.advance(), connection.buffered()), (Ok(false), 0));
        }
        assert_eq!(connection.poll_timeout(), Some(at(200)));
        let seen = feed(&mut connection, &role.frame(0x81, b"and on"), &[1]);
        assert_eq!(seen, [text("and on")]);
        drain(&mut connection);
    }
}
