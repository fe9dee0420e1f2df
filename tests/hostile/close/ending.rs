//! Items 53 to 55: how a conversation ends, by the machines alone and on a virtual clock.

use std::time::Duration;

use bytes::{Buf, BufMut};
use sansock::{CloseCode, Config, Endpoint, Error, SendError, Timer, Timestamp, Violation};

use super::{Role, body, closing};
use crate::common::{Pair, Seen, binary, events, feed, give, held, output, text};

/// Everything that a peer might say when there is nothing left to say.
fn more(role: Role) -> Vec<u8> {
    let frames =
        [(0x82, &b"data"[..]), (0x01, b"open"), (0x89, b"ping"), (0x8a, b"pong"), (0x88, b"\x03\xe9")];
    let frames: Vec<u8> = frames.iter().flat_map(|(first, payload)| role.of_peer(*first, payload)).collect();
    [frames, vec![0xff; 1000], b"GET / HTTP/1.1\r\n\r\n".to_vec()].concat()
}

#[test]
fn hostile_53_what_follows_a_close_is_dropped() {
    for role in Role::BOTH {
        let bytes = [role.close_of_peer(1000, b""), more(role)].concat();
        // One answer; neither a pong nor a second Close frame.
        assert_eq!(role.sees(&bytes), (vec![Seen::End], vec![closing(1000)]));
    }
}

#[test]
fn hostile_53_what_follows_an_error_is_dropped() {
    for role in Role::BOTH {
        for (wrong, error) in [
            (vec![0xf2], Error::Protocol(Violation::ReservedBits)),
            (role.of_peer(0x81, b"\xff"), Error::InvalidUtf8),
            (role.of_peer(0x88, b"\x03"), Error::Protocol(Violation::CloseTooShort)),
        ] {
            let code = error.close_code().unwrap().get();
            let bytes = [wrong, more(role)].concat();
            assert_eq!(role.sees(&bytes), (vec![Seen::Failed(error)], vec![closing(code)]));
        }
    }
}

#[test]
fn hostile_53_what_follows_our_close_is_seen_until_the_peer_has_closed() {
    for (role, cut) in Role::BOTH.into_iter().flat_map(|role| [(role, 1), (role, 5), (role, usize::MAX)]) {
        let mut end = role.end();
        end.close(CloseCode::GOING_AWAY, "").unwrap();
        let before = [role.of_peer(0x89, b"ping"), role.of_peer(0x82, b"data")].concat();
        let bytes = [before, role.close_of_peer(1000, b""), more(role)].concat();
        let seen = feed(&mut end, &bytes, &[cut]);
        assert_eq!(seen, [Seen::Ping(b"ping".into()), binary(b"data"), Seen::End]);
        assert_eq!(role.frames(&output(&mut end)), [closing(1001), (0x8a, b"ping".to_vec())]);
        assert_eq!(held(&mut end), 0);
    }
}

#[test]
fn hostile_54_a_close_in_the_middle_of_a_message_that_is_received() {
    for role in Role::BOTH {
        // Between fragments it ends the conversation, and the part of a message is none.
        let open = [role.of_peer(0x01, b"half of "), role.of_peer(0x00, b"a mess")].concat();
        let bytes = [open, role.close_of_peer(1001, b""), role.of_peer(0x80, b"age")].concat();
        assert_eq!(role.sees(&bytes), (vec![Seen::End], vec![closing(1001)]));
        // Within a frame there is no place for one: what looks like it is payload.
        let close = role.close_of_peer(1001, b"");
        let frame = role.of_peer(0x82, &close);
        let (start, rest) = frame.split_at(frame.len() - 3);
        let mut end = role.end();
        assert_eq!(feed(&mut end, start, &[1]), []);
        assert_eq!(feed(&mut end, rest, &[1]), [binary(&close)]);
    }
}

#[test]
fn hostile_54_a_close_of_ours_in_the_middle_of_a_message() {
    for (role, peer) in [(Role::Server, Role::Client), (Role::Client, Role::Server)] {
        let mut end = role.end();
        end.fragment("half of a").unwrap();
        end.close(CloseCode::GOING_AWAY, "").unwrap();
        assert_eq!(end.fragment("message"), Err(SendError::Closed));
        assert_eq!(end.last_fragment("message"), Err(SendError::Closed));
        let sent = output(&mut end);
        assert_eq!(role.frames(&sent), [(0x01, b"half of a".to_vec()), closing(1001)]);
        // Its peer is told, and answers; the part of a message is none.
        let mut other = peer.end();
        assert_eq!(feed(&mut other, &sent, &[1]), [Seen::End]);
        assert_eq!(feed(&mut end, &output(&mut other), &[1]), [Seen::End]);
        assert!(end.closed().unwrap().clean && other.closed().unwrap().clean);
    }
}

#[test]
fn hostile_54_a_close_while_our_output_is_stalled() {
    let seconds = |seconds| Timestamp::EPOCH + Duration::from_secs(seconds);
    for role in Role::BOTH {
        // The peer takes a little of what waits, closes, and then takes nothing more.
        let mut end = role.end();
        end.send(vec![7; 4 << 20]).unwrap();
        end.output().advance(1000);
        give(&mut end, &role.close_of_peer(1000, b""));
        assert_eq!(events(&mut end), [Seen::End]);
        assert!(!end.wants_shutdown() && !end.is_finished(), "the rest and the answer are not written");
        assert_eq!(end.poll_timeout(), Some(Timestamp::EPOCH), "the deadline wants to know the time");
        end.handle_timeout(seconds(10));
        end.handle_timeout(seconds(14));
        assert!(!end.is_finished());
        end.handle_timeout(seconds(15));
        assert!(end.is_finished() && end.closed().unwrap().clean);

        // If it goes on to read, it gets all of it, and the answer last.
        let mut end = role.end();
        end.send(vec![7; 4 << 20]).unwrap();
        let mut taken = end.output().copy_to_bytes(1000).to_vec();
        give(&mut end, &role.close_of_peer(1000, b""));
        assert_eq!(events(&mut end), [Seen::End]);
        taken.extend(output(&mut end));
        assert!(role.frames(&taken) == [(0x82, vec![7; 4 << 20]), closing(1000)]);
    }
}

#[test]
fn hostile_54_a_peer_that_never_replies() {
    let close_timeout = Duration::from_secs(3);
    for role in Role::BOTH {
        let mut config = Config::default();
        config.close_timeout = close_timeout;
        let mut end = role.end_with(config);
        end.close(CloseCode::NORMAL, "").unwrap();
        output(&mut end);
        end.handle_timeout(Timestamp::EPOCH);
        let deadline = end.poll_timeout().unwrap();
        assert_eq!(deadline, Timestamp::EPOCH + close_timeout);
        assert_eq!(events(&mut end), []);
        end.handle_timeout(deadline);
        assert_eq!(events(&mut end), [Seen::Failed(Error::TimedOut(Timer::Closing))]);
        assert!(end.is_finished() && output(&mut end).is_empty());
        let report = end.closed().unwrap();
        assert_eq!((report.began, report.code(), report.clean), (Endpoint::Local, 1006, false));
    }
}

#[test]
fn hostile_54_a_peer_that_fails_and_never_hangs_up() {
    for role in Role::BOTH {
        let mut end = role.end();
        assert_eq!(feed(&mut end, &[0xf2], &[1]).len(), 1);
        assert_eq!(role.frames(&output(&mut end)), [closing(1002)]);
        end.handle_timeout(Timestamp::EPOCH);
        // RFC 6455 §7.1.7: whoever fails a connection ends the transport, a client as well.
        assert!(end.wants_shutdown() && !end.is_finished());
        for second in 1..5 {
            let now = Timestamp::EPOCH + Duration::from_secs(second);
            end.input().put_slice(&role.of_peer(0x89, b"alive"));
            end.handle_input(now);
            end.handle_timeout(now);
            assert!(!end.is_finished(), "it may still read why");
        }
        end.handle_timeout(Timestamp::EPOCH + Duration::from_secs(5));
        assert!(end.is_finished());
    }
}

#[test]
fn hostile_54_both_close_at_once_in_the_middle_of_everything() {
    let mut pair = Pair::new();
    for (end, said) in [(&mut pair.client, "from the client"), (&mut pair.server, "from the server")] {
        end.text(said).unwrap();
        end.fragment("never finished").unwrap();
        end.ping(b"answered in vain").unwrap();
    }
    pair.client.close(CloseCode::NORMAL, "client").unwrap();
    pair.server.close(CloseCode::GOING_AWAY, "server").unwrap();
    pair.cuts = vec![1];
    pair.drive();
    let ping = || Seen::Ping(b"answered in vain".into());
    let last = |saw: &mut Vec<Seen>| {
        saw.dedup();
        std::mem::take(saw)
    };
    assert_eq!(last(&mut pair.server_saw), [text("from the client"), ping(), Seen::End]);
    assert_eq!(last(&mut pair.client_saw), [text("from the server"), ping(), Seen::End]);
    let (client, server) = pair.reports();
    let (client, server) = (client.unwrap(), server.unwrap());
    assert_eq!((client.code(), server.code(), client.clean, server.clean), (1001, 1000, true, true));
    // Each began, as far as it knew; and each Close frame is the only one.
    assert_eq!((client.began, server.began), (Endpoint::Local, Endpoint::Local));
    assert!(output(&mut pair.client).is_empty() && output(&mut pair.server).is_empty());
}

#[test]
fn hostile_55_a_connection_is_closed_before_anything_was_said() {
    // The 101 and a Close frame leave together, as do a client's first frame and its Close.
    for role in Role::BOTH {
        let mut end = role.end();
        end.close(CloseCode::new(4000).unwrap(), "not today").unwrap();
        assert_eq!(role.frames(&output(&mut end)), [(0x88, body(4000, b"not today"))]);
        assert_eq!(feed(&mut end, &role.close_of_peer(4000, b""), &[1]), [Seen::End]);
        assert!(end.closed().unwrap().clean);
    }
}

#[test]
fn hostile_55_the_transport_ends_in_the_middle_of_a_close() {
    for role in Role::BOTH {
        let close = role.close_of_peer(1000, b"a reason");
        for len in 1..close.len() {
            let mut end = role.end();
            give(&mut end, &close[..len]);
            end.handle_eof();
            assert_eq!(events(&mut end), [Seen::Failed(Error::UnexpectedEof)]);
            let report = end.closed().unwrap();
            assert_eq!((report.code(), report.received, report.clean), (1006, None, false));
        }
    }
}

#[test]
fn rule_h_no_traffic_extends_the_closing_deadline() {
    // Whatever arrives, in whatever parts, and however often the clock is told.
    for role in Role::BOTH {
        let close = role.close_of_peer(1000, b"");
        let traffic = [
            role.of_peer(0x8a, b""),
            role.of_peer(0x89, &[7; 125]),
            role.of_peer(0x82, &[7; 1000]),
            role.of_peer(0x02, b"part"),
            [role.of_peer(0x00, b""), vec![0x80]].concat(),
            // The answer at last, all but its end.
            close[..close.len() - 1].to_vec(),
        ];
        for traffic in &traffic[..] {
            let mut end = role.end();
            end.close(CloseCode::NORMAL, "").unwrap();
            end.handle_timeout(Timestamp::EPOCH);
            let steps = 5000;
            for (millisecond, &byte) in (0..steps).zip(traffic.iter().cycle()) {
                let now = Timestamp::EPOCH + Duration::from_millis(millisecond);
                assert_eq!(end.poll_timeout(), Some(Timestamp::EPOCH + Duration::from_secs(5)));
                end.input().put_u8(byte);
                end.handle_input(now);
                end.handle_written(now);
                events(&mut end);
                if end.is_ended() {
                    break;
                }
            }
            end.handle_timeout(Timestamp::EPOCH + Duration::from_secs(5));
            events(&mut end);
            assert!(end.is_finished(), "{role:?}");
        }
    }
}
