//! RFC 6455 §5.5.1 and §7: the closing handshake, its codes and its deadline.
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
#[path = "common/role.rs"]
mod role;

use std::time::Duration;

use bytes::{Buf, BufMut};
use common::*;
use role::unmasked;
use sansock::{
    CloseCode, CloseFrame, Config, Connection, Endpoint, Error, Event, SendError, Timer, Timestamp, Violation,
};

fn close(code: u16, reason: &str) -> Vec<u8> {
    masked(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// An end, and the frames that its peer sends.
type Role = (fn() -> Connection, fn(u8, &[u8]) -> Vec<u8>);

const ROLES: [Role; 2] = [(server, masked), (client, plain)];

#[test]
fn section_7_1_4_a_close_is_echoed_and_both_see_it_as_clean() {
    let mut pair = Pair::new();
    pair.client.close(CloseCode::new(4000).unwrap(), "bye").unwrap();
    pair.drive();
    let (client, server) = pair.reports();
    let (client, server) = (client.unwrap(), server.unwrap());
    assert_eq!((client.began, client.code(), client.clean), (Endpoint::Local, 4000, true));
    assert_eq!((server.began, server.code(), server.clean), (Endpoint::Peer, 4000, true));
    assert_eq!(server.received.unwrap().reason(), "bye");
    assert_eq!(pair.client_saw, [Seen::End]);
    assert_eq!(pair.server_saw, [Seen::End]);
}

#[test]
fn section_7_1_5_the_close_code_is_the_peers_or_says_what_it_lacks() {
    for (new, frame) in ROLES {
        let code = |bytes: &[u8]| {
            let mut end = new();
            give(&mut end, bytes);
            end.handle_eof();
            events(&mut end);
            end.closed().unwrap().code()
        };
        assert_eq!(code(&frame(0x88, b"\x0f\xa0")), 4000);
        assert_eq!(code(&frame(0x88, b"")), 1005, "it has no body");
        assert_eq!(code(b""), 1006, "there is none");
    }
}

#[test]
fn section_7_1_1_the_server_ends_the_transport_and_the_client_waits() {
    for server_begins in [true, false] {
        let mut pair = Pair::new();
        let end = if server_begins { &mut pair.server } else { &mut pair.client };
        end.close(CloseCode::NORMAL, "").unwrap();
        pair.drive();
        assert!(pair.server.wants_shutdown() && !pair.client.wants_shutdown());
        assert!(!pair.server.is_finished() && !pair.client.is_finished());
        pair.client.handle_eof();
        pair.server.handle_eof();
        assert!(pair.server.is_finished() && pair.client.is_finished());
    }
}

#[test]
fn section_7_1_1_output_comes_before_the_end() {
    let mut server = server();
    feed(&mut server, &close(1000, ""), &[1]);
    assert!(!server.wants_shutdown(), "the answer is not written yet");
    server.handle_eof();
    assert!(!server.is_finished(), "half-closed: the peer may still read");
    assert_eq!(output(&mut server), plain(0x88, &[0x03, 0xe8]));
    assert!(server.wants_shutdown() && server.is_finished());
}

#[test]
fn section_5_5_1_an_answer_that_the_sending_half_has_not_heard_of_comes_before_the_end() {
    let mut server = server();
    server.input().put_slice(&close(1000, ""));
    server.handle_input(Timestamp::EPOCH);
    server.handle_eof();
    assert!(matches!(server.halves().0.poll_event(), Ok(None)));
    assert!(!server.wants_shutdown() && !server.is_finished());
    assert_eq!(output(&mut server), plain(0x88, b"\x03\xe8"));
    assert!(server.wants_shutdown() && server.is_finished());
}

#[test]
fn section_5_5_1_bodies() {
    let failed = |error| vec![Seen::Failed(error)];
    assert_eq!(server_sees(&masked(0x88, b"")), (vec![Seen::End], plain(0x88, b"")));
    assert_eq!(server_sees(&masked(0x88, b"\x03")).0, failed(Error::Protocol(Violation::CloseTooShort)));
    let longest = "x".repeat(123);
    assert_eq!(server_sees(&close(1000, &longest)).0, [Seen::End]);
    assert_eq!(server_sees(&masked(0x88, b"\x03\xe8\xce\xba\xed")).0, failed(Error::InvalidUtf8));
    assert_eq!(server_sees(&[0x88, 0xfe]).0, failed(Error::Protocol(Violation::ControlTooLong)));
}

#[test]
fn section_7_4_every_code() {
    for code in 0..=u16::MAX {
        let legal = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        assert_eq!(CloseCode::new(code).map(CloseCode::get), legal.then_some(code));
        let parsed = CloseFrame::parse(&code.to_be_bytes());
        assert_eq!(parsed.is_ok(), legal, "{code}");
        if !legal {
            assert_eq!(parsed, Err(Error::Protocol(Violation::CloseCode)));
        }
    }
    let (seen, sent) = server_sees(&close(1005, ""));
    assert_eq!(seen, [Seen::Failed(Error::Protocol(Violation::CloseCode))]);
    assert_eq!(sent, plain(0x88, &1002u16.to_be_bytes()));
}

type Command = fn(&mut Connection) -> Result<(), SendError>;

/// Every one there is.
const COMMANDS: [Command; 10] = [
    |end| end.text("x"),
    |end| end.binary(b"x"),
    |end| end.send(b"x".to_vec()),
    |end| end.fragment("x"),
    |end| end.last_fragment("x"),
    |end| end.prepared(&sansock::Prepared::new("x")),
    |end| end.offer("x", |_, _| panic!("it cannot be sent")),
    |end| end.ping(b""),
    |end| end.pong(b""),
    |end| end.close(CloseCode::NORMAL, ""),
];

#[test]
fn section_5_5_1_the_application_sends_nothing_after_a_close() {
    for (new, frame) in ROLES {
        let mut end = new();
        end.close(CloseCode::NORMAL, "").unwrap();
        assert!(COMMANDS.iter().all(|command| command(&mut end) == Err(SendError::Closed)));
        give(&mut end, &frame(0x82, b"what was on its way"));
        let (event, send) = end.poll_with_send().unwrap().unwrap();
        assert_eq!(send.relay(event), Err(SendError::Closed));
        assert_eq!(unmasked(&output(&mut end)), plain(0x88, &[0x03, 0xe8]));

        // Nor after one that answers the peer's.
        let mut end = new();
        assert_eq!(feed(&mut end, &frame(0x88, b"\x03\xe9"), &[1]), [Seen::End]);
        assert!(COMMANDS.iter().all(|command| command(&mut end) == Err(SendError::Closed)));
        assert_eq!(unmasked(&output(&mut end)), plain(0x88, &[0x03, 0xe9]));
    }
}

#[test]
fn section_5_5_2_pings_are_answered_until_the_peer_has_closed() {
    for (new, frame) in ROLES {
        let mut end = new();
        end.close(CloseCode::NORMAL, "").unwrap();
        let bytes = [frame(0x89, b"before"), frame(0x88, b"\x03\xe8"), frame(0x89, b"after")].concat();
        assert_eq!(feed(&mut end, &bytes, &[1]), [Seen::Ping(b"before".into()), Seen::End]);
        let sent = [plain(0x88, b"\x03\xe8"), plain(0x8a, b"before")].concat();
        assert_eq!(unmasked(&output(&mut end)), sent);
    }
}

#[test]
fn section_5_5_1_no_keepalive_ping_follows_a_close_that_the_receiving_half_has_not_heard_of() {
    let (mut receive, mut send) = server().split();
    send.close(CloseCode::NORMAL, "").unwrap();
    receive.handle_timeout(Timestamp::EPOCH + Config::default().ping_interval.unwrap());
    send.handle_control(receive.poll_control().unwrap());
    let waits = send.buffered();
    assert_eq!(send.output().copy_to_bytes(waits)[..], plain(0x88, &1000u16.to_be_bytes()));
}

#[test]
fn section_5_5_2_a_ping_is_answered_though_the_connection_is_closed_for_idling() {
    let mut config = Config::default();
    config.idle_timeout = Some(Duration::from_secs(1));
    let mut end = Connection::server(config.clone(), Timestamp::EPOCH);
    end.handle_timeout(Timestamp::EPOCH + Duration::from_secs(1));
    assert_eq!(feed(&mut end, &masked(0x89, b"?"), &[1]), [Seen::Ping(b"?".into())]);
    assert_eq!(output(&mut end), [plain(0x88, &1000u16.to_be_bytes()), plain(0x8a, b"?")].concat());
    // Both at once: its Close frame goes out, and is the only one.
    let mut end = Connection::server(config.clone(), Timestamp::EPOCH);
    end.handle_timeout(Timestamp::EPOCH + Duration::from_secs(1));
    end.input().put_slice(&close(1001, ""));
    end.handle_input(Timestamp::EPOCH + Duration::from_secs(1));
    assert_eq!(events(&mut end), [Seen::End]);
    assert_eq!(output(&mut end), plain(0x88, &1000u16.to_be_bytes()));
    // What has arrived is looked at first.
    let mut end = Connection::server(config, Timestamp::EPOCH);
    end.input().put_slice(&close(1001, ""));
    end.handle_input(Timestamp::EPOCH + Duration::from_secs(1));
    assert_eq!(events(&mut end), [Seen::End]);
    assert_eq!(output(&mut end), plain(0x88, &1001u16.to_be_bytes()));
}

#[test]
fn section_5_5_2_a_pong_that_waits_for_others_to_be_written_outlives_the_close_for_idling() {
    let mut config = Config::default();
    config.idle_timeout = Some(Duration::from_secs(1));
    let mut end = Connection::server(config, Timestamp::EPOCH);
    let pings: Vec<_> = (0..20).map(|i| masked(0x89, &[i; 125])).collect();
    feed(&mut end, &pings.concat(), &[125 + 6]);
    end.handle_timeout(Timestamp::EPOCH + Duration::from_secs(1));
    let sent = output(&mut end);
    let close = plain(0x88, &1000u16.to_be_bytes());
    assert!(sent.windows(close.len()).any(|bytes| bytes == close));
    assert!(sent.ends_with(&plain(0x8a, &[19; 125])));
}

#[test]
fn section_5_5_2_a_pong_that_is_owed_comes_before_the_close_for_idling() {
    let mut config = Config::default();
    config.idle_timeout = Some(Duration::from_secs(1));
    let (mut receive, mut send) = Connection::server(config, Timestamp::EPOCH).split();
    receive.input().put_slice(&masked(0x89, b"?"));
    receive.handle_input(Timestamp::EPOCH);
    assert!(receive.poll_event().unwrap().is_some());
    assert!(receive.poll_event().unwrap().is_none());
    receive.handle_timeout(Timestamp::EPOCH + Duration::from_secs(1));
    while let Some(control) = receive.poll_control() {
        send.handle_control(control);
    }
    let waits = send.buffered();
    let expected = [plain(0x8a, b"?"), plain(0x88, &1000u16.to_be_bytes())].concat();
    assert_eq!(send.output().copy_to_bytes(waits)[..], expected);
}

#[test]
fn section_5_5_1_messages_arrive_until_the_peer_has_answered() {
    let mut pair = Pair::new();
    pair.server.text("on its way").unwrap();
    pair.client.close(CloseCode::NORMAL, "").unwrap();
    pair.drive();
    assert_eq!(pair.client_saw, [text("on its way"), Seen::End]);
}

#[test]
fn hostile_54_both_close_at_once() {
    let mut pair = Pair::new();
    pair.client.close(CloseCode::NORMAL, "client").unwrap();
    pair.server.close(CloseCode::GOING_AWAY, "server").unwrap();
    pair.drive();
    let (client, server) = pair.reports();
    assert_eq!((client.unwrap().code(), server.unwrap().code()), (1001, 1000));
    assert!(client.unwrap().clean && server.unwrap().clean);
}

#[test]
fn hostile_54_traffic_does_not_extend_the_closing_handshake() {
    let now = |seconds| Timestamp::EPOCH + Duration::from_secs(seconds);
    for (new, frame) in ROLES {
        let mut end = new();
        end.handle_timeout(now(100));
        end.close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(end.poll_timeout(), Some(Timestamp::EPOCH), "the deadline wants to know the time");
        end.handle_timeout(now(100));
        for second in 101..105 {
            assert_eq!(end.poll_timeout(), Some(now(105)));
            end.input().put_slice(&frame(0x89, b"alive"));
            end.handle_input(now(second));
            assert_eq!(events(&mut end).len(), 1);
            end.handle_timeout(now(second));
        }
        end.handle_timeout(now(105));
        assert_eq!(events(&mut end), [Seen::Failed(Error::TimedOut(Timer::Closing))]);
        assert!(end.is_finished());
        let report = end.closed().unwrap();
        assert_eq!((report.clean, report.code(), report.began), (false, 1006, Endpoint::Local));
    }
}

#[test]
fn hostile_54_a_peer_that_never_hangs_up_is_dropped_at_the_deadline() {
    let mut pair = Pair::new();
    pair.client.close(CloseCode::NORMAL, "").unwrap();
    pair.drive();
    for end in [&mut pair.client, &mut pair.server] {
        assert!(!end.is_finished());
        end.handle_timeout(Timestamp::EPOCH);
        end.handle_timeout(Timestamp::EPOCH + Duration::from_secs(5));
        assert!(end.is_finished() && end.closed().unwrap().clean);
        assert_eq!(end.poll_timeout(), None);
    }
}

#[test]
fn hostile_55_the_transport_ends_without_a_close() {
    for (new, frame) in ROLES {
        let whole = frame(0x82, b"whole");
        let bytes = [whole.clone(), frame(0x82, b"half"), frame(0x01, b"open"), frame(0x00, b"")].concat();
        let second = whole.len() + frame(0x82, b"half").len();
        for len in 0..=bytes.len() {
            let mut end = new();
            end.input().put_slice(&bytes[..len]);
            end.handle_input(Timestamp::EPOCH);
            end.handle_eof();
            let seen = events(&mut end);
            // What was whole is not lost.
            let messages = usize::from(len >= whole.len()) + usize::from(len >= second);
            assert_eq!(seen.len(), messages + 1);
            assert_eq!(seen.last(), Some(&Seen::Failed(Error::UnexpectedEof)));
            assert_eq!(end.poll_event().err(), Some(Error::UnexpectedEof));
            let report = end.closed().unwrap();
            assert_eq!((report.code(), report.began, report.clean), (1006, Endpoint::Peer, false));
            assert_eq!(end.buffered(), 0);
            assert!(end.is_finished());
        }
    }
}

/// The application closes beside one of the events that wait in front of that end.
#[test]
fn hostile_55_our_close_comes_behind_an_end_that_was_told_before() {
    let end = |close: fn(&mut Connection)| {
        let mut server = server();
        server.input().put_slice(&[masked(0x81, b"a"), masked(0x81, b"b")].concat());
        server.handle_input(Timestamp::EPOCH);
        server.handle_eof();
        close(&mut server);
        let seen = events(&mut server);
        (seen, server.closed().unwrap())
    };
    let (seen, report) = end(|server| {
        let (event, send) = server.poll_with_send().unwrap().unwrap();
        assert!(matches!(event, Event::Text(text) if &*text == "a"));
        send.close(CloseCode::NORMAL, "").unwrap();
    });
    assert_eq!(seen, [text("b"), Seen::End]);
    assert_eq!((report.began, report.clean), (Endpoint::Local, false));
    assert_eq!(report.sent.map(|sent| sent.code()), Some(CloseCode::NORMAL));
    let whole = end(|server| {
        assert!(server.poll_event().unwrap().is_some());
        server.close(CloseCode::NORMAL, "").unwrap();
    });
    assert_eq!((seen, report), whole, "as if the connection itself had been told");
}

#[test]
fn hostile_55_the_transport_ends_after_our_close() {
    for (new, _) in ROLES {
        let mut end = new();
        end.close(CloseCode::NORMAL, "").unwrap();
        end.handle_eof();
        assert_eq!(events(&mut end), [Seen::End]);
        let report = end.closed().unwrap();
        assert_eq!((report.clean, report.began, report.code()), (false, Endpoint::Local, 1006));
    }
}

#[test]
fn section_7_1_7_errors_stick_and_input_is_dropped() {
    let mut server = server();
    assert_eq!(feed(&mut server, &[0xff], &[1]).len(), 1);
    for _ in 0..100 {
        server.input().put_slice(&[0x81; 10_000]);
        server.handle_input(Timestamp::EPOCH);
        assert_eq!(server.poll_event().err(), Some(Error::Protocol(Violation::ReservedBits)));
        assert_eq!(held(&mut server), 0);
    }
    assert_eq!(output(&mut server), plain(0x88, &1002u16.to_be_bytes()));
    assert_eq!(server.text("x"), Err(SendError::Closed));
    assert!(server.wants_shutdown());
    let report = server.closed().unwrap();
    assert_eq!(
        (report.began, report.clean, report.sent.unwrap().code().get()),
        (Endpoint::Local, false, 1002)
    );
}

#[test]
fn hostile_89_any_configuration_is_legal() {
    let mut config = Config::default();
    (config.max_message, config.max_frame, config.output_high_water) = (0, Some(0), 0);
    (config.pong_timeout, config.close_timeout) = (Duration::ZERO, Duration::MAX);
    (config.ping_interval, config.idle_timeout) = (Some(Duration::MAX), Some(Duration::MAX));
    let mut server = Connection::server(config, Timestamp::from_epoch(Duration::MAX));
    assert_eq!(feed(&mut server, &masked(0x82, b""), &[1]), [binary(b"")]);
    assert_eq!(feed(&mut server, &masked(0x82, b"x"), &[1]), [Seen::Failed(Error::TooBig)]);
    server.handle_timeout(Timestamp::from_epoch(Duration::MAX));
}

#[test]
fn hostile_55_a_half_closed_peer_still_gets_what_was_queued() {
    for (new, peer) in [(server as fn() -> _, client as fn() -> Connection), (client, server)] {
        let mut end = new();
        end.text("the answer").unwrap();
        end.handle_eof();
        assert_eq!(events(&mut end), [Seen::Failed(Error::UnexpectedEof)]);
        assert!(!end.is_finished());
        assert_eq!(feed(&mut peer(), &output(&mut end), &[1]), [text("the answer")]);
        assert!(end.is_finished());
    }
}

#[test]
fn section_5_5_1_a_fork_sends_no_second_close_frame() {
    let mut server = server();
    server.close(CloseCode::GOING_AWAY, "").unwrap();
    assert_eq!(output(&mut server), plain(0x88, &1001u16.to_be_bytes()));
    // Nothing waits that could tell the fork so.
    let (mut receive, mut send) = server.split();
    let mut wire = send.fork();
    wire.append(&mut send).unwrap();
    assert_eq!(wire.ping(b""), Err(SendError::Closed));
    receive.input().put_slice(&[masked(0x89, b"?"), close(1001, "")].concat());
    while receive.poll_event().unwrap().is_some() {}
    while let Some(control) = receive.poll_control() {
        wire.handle_control(control);
    }
    assert!(receive.is_ended());
    let waits = wire.buffered();
    assert_eq!(wire.output().copy_to_bytes(waits)[..], plain(0x8a, b"?"));
}

#[test]
fn section_5_5_1_nothing_is_appended_behind_a_close_frame() {
    let (_, mut send) = server().split();
    let mut wire = send.fork();
    wire.close(CloseCode::NORMAL, "").unwrap();
    // Nothing waits, and so nothing is lost; but that opens nothing again.
    wire.append(&mut send).unwrap();
    send.text("late").unwrap();
    assert_eq!(wire.append(&mut send), Err(SendError::Closed));
    let waits = wire.buffered();
    assert_eq!(wire.output().copy_to_bytes(waits)[..], plain(0x88, &1000u16.to_be_bytes()));
}
