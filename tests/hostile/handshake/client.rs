//! What the list asks of a server's handshake, asked of a client's, where it has a meaning there.

use bytes::BufMut;
use sansock::handshake::HandshakeError;
use sansock::{CloseCode, Config};

use super::opening::{Opened, client, client_opens, head, response_with};
use crate::common::{Seen, plain, text};

/// The only error of a client that gets these bytes.
fn failed(response: impl AsRef<[u8]>) -> HandshakeError {
    failed_with(&Config::default(), response)
}

fn failed_with(config: &Config, response: impl AsRef<[u8]>) -> HandshakeError {
    let opened = client_opens(config, response);
    opened.error().unwrap_or_else(|| panic!("{opened:?}"))
}

/// What the connection of a client sees that gets these bytes.
fn seen(response: impl AsRef<[u8]>) -> Vec<Seen> {
    match client_opens(&Config::default(), response) {
        Opened::Open { seen, .. } => seen,
        other => panic!("{other:?}"),
    }
}

#[test]
fn hostile_10_line_ends_and_names_of_a_response() {
    let good = response_with("X", &["value"]);
    for (from, to) in [
        ("\r\nX", "\nX"),
        ("\r\nX", "\rX"),
        ("\r\nX", "\r\r\nX"),
        ("Protocols\r\n", "Protocols\n"),
        ("Protocols\r\n", "Protocols\r"),
        ("Protocols", "Pro\0tocols"),
        ("\r\n\r\n", "\n\n"),
        ("\r\n\r\n", "\r\n\n"),
        ("\r\n\r\n", "\r\n\rx"),
        ("value", "va\rlue"),
        ("value", "va\nlue"),
        ("value", "va\0lue"),
        ("value", "va\x7flue"),
        ("value", "value\r\n folded"),
        ("value", "value\r\n\tfolded"),
        ("X:", "X :"),
        ("X:", "X\t:"),
        ("X:", ":"),
        ("X:", "X Y:"),
        ("X:", "X\u{f6}:"),
        ("X:", "X\0:"),
        ("X:", "X"),
        ("X:", "(X):"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from:?} is there to be replaced");
        assert_eq!(failed(&bad), HandshakeError::Malformed, "{bad:?}");
    }
}

/// RFC 9112 §6.3: a 1xx response "is always terminated by the first empty line after the header fields,
/// regardless of the header fields present in the message".
#[test]
fn hostile_11_a_101_has_no_body_whatever_it_says() {
    for fields in [
        &["Content-Length", "5"][..],
        &["Transfer-Encoding", "chunked"],
        &["Content-Length", "+0"],
        &["Content-Length", "18446744073709551616"],
    ] {
        let response = [response_with(fields[0], &fields[1..]).as_bytes(), &plain(0x81, b"hi")].concat();
        assert_eq!(seen(response), [text("hi")], "{fields:?}");
    }
}

#[test]
fn hostile_12_the_limits_of_a_response() {
    let size = |size: usize| {
        let rest = size - response_with("X", &[""]).len();
        response_with("X", &[&"x".repeat(rest)])
    };
    for legal in [(16 << 10) - 1, 16 << 10] {
        assert!(seen(size(legal)).is_empty());
    }
    assert_eq!(failed(size((16 << 10) + 1)), HandshakeError::HeadTooLarge);
    // Of an endless header nothing is looked at beyond the limit: there it is told of.
    let (endless, mut handshake) = (size(20 << 20), client(Config::default()));
    handshake.input().put_slice(&endless.as_bytes()[..(16 << 10) - 1]);
    assert!(handshake.poll().unwrap().is_none());
    handshake.input().put_slice(&endless.as_bytes()[(16 << 10) - 1..]);
    assert_eq!(handshake.poll().unwrap_err(), HandshakeError::HeadTooLarge);

    let mut wide = Config::default();
    wide.max_head = usize::MAX;
    for (config, count) in [(&Config::default(), 98), (&Config::default(), 10_000), (&wide, 10_000)] {
        let response = response_with("X", &vec![""; count]);
        assert_eq!(failed_with(config, response), HandshakeError::TooManyHeaders);
    }
}

#[test]
fn hostile_16_a_second_response_is_a_bad_frame() {
    for second in [response_with("X", &[]), head("HTTP/1.1 200 OK", &[("Content-Length", "0")])] {
        let seen = seen(response_with("X", &[]) + &second);
        let [Seen::Failed(error)] = seen[..] else { panic!("{seen:?}") };
        assert_eq!(error.close_code(), Some(CloseCode::PROTOCOL_ERROR));
    }
}

#[test]
fn hostile_17_a_final_answer_may_follow_any_interim_one() {
    for interim in ["100 Continue", "102 Processing", "103 Early Hints", "199 "] {
        let interim = format!("HTTP/1.1 {interim}\r\nContent-Length: 7\r\n\r\n");
        let response = [interim.as_bytes(), response_with("X", &[]).as_bytes(), &plain(0x81, b"hi")].concat();
        assert_eq!(seen(response), [text("hi")]);
    }
}

#[test]
fn hostile_19_protocols_of_a_response() {
    const NAME: &str = "Sec-WebSocket-Protocol";
    let mut wide = Config::default();
    wide.max_head = 64 << 10;
    let spaces = format!("v1.chat{}x", " ".repeat(30_000));
    for value in [&spaces, "v1.chat,", ",v1.chat", "v1.chat v2.chat", "\"v1.chat\"", "v1.ch\u{e4}t"] {
        let error = failed_with(&wide, response_with(NAME, &[value]));
        assert_eq!(error, HandshakeError::ProtocolNotOffered, "{value:?}");
    }
    for control in ["v1.chat\0", "\x01", "v1.chat\x7f"] {
        assert_eq!(failed(response_with(NAME, &[control])), HandshakeError::Malformed, "{control:?}");
    }
    // White space around a value is no part of it, however much there is.
    let padded = format!("{}v1.chat{}", " ".repeat(7000), "\t".repeat(7000));
    assert!(seen(response_with(NAME, &[&padded])).is_empty());
}

#[test]
fn hostile_23_the_fields_of_a_101_may_stand_anywhere_and_once() {
    let answer = super::opening::answer();
    let elsewhere = "HTTP/1.1 101 Upgrade: websocket";
    let fields = [("connection", "UPGRADE"), ("SEC-WEBSOCKET-ACCEPT", &*answer)];
    assert_eq!(failed(head(elsewhere, &fields)), HandshakeError::ResponseUpgrade);
    let with_all = [&[("uPGRADE", "websocket")], &fields[..]].concat();
    assert!(seen(head(elsewhere, &with_all)).is_empty());
    // The same again in another case is twice.
    let twice = [&with_all[..], &[("Sec-WebSocket-Accept", &*answer)]].concat();
    assert_eq!(failed(head(elsewhere, &twice)), HandshakeError::Accept);
}
