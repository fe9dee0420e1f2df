//! Item 93: whatever a peer says, what is written of it into a log is printable ASCII.

use std::fmt::{Debug, Display};

use bytes::BufMut;
use proptest::prelude::*;
use sansock::handshake::client::{self, ClientRequest, Outcome};
use sansock::handshake::{Response, extension, server};
use sansock::{CloseCode, CloseFrame, Config, Timestamp};

use super::{answered, taken};

use crate::close::Role;
use crate::common::{Seen, feed, output};

const NOW: Timestamp = Timestamp::EPOCH;

/// What makes a log lie: lines that nobody wrote, commands to a terminal, text that runs backwards, letters
/// that look like others or that an old terminal takes for commands.
const TRICKS: [&str; 12] = [
    "\r\n2026-01-01 INFO all is well",
    "\n",
    "\r",
    "\u{1b}[2J\u{1b}[31m",
    "\u{1b}]0;title\u{7}",
    "\0\u{8}\u{7f}",
    "\u{9b}31m\u{85}",
    "\u{2028}\u{2029}",
    "\u{202e}txt.exe\u{200b}\u{feff}",
    "аdmin",
    "e\u{301}\u{301}\u{301}",
    "\u{6db}",
];

fn assert_printable(text: &str) {
    assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text:?}");
}

fn assert_safe(error: &(impl Display + Debug)) {
    assert_printable(&error.to_string());
    assert_printable(&format!("{error:?}"));
}

#[test]
fn hostile_93_a_report_shows_a_reason_escaped() {
    for role in Role::BOTH {
        for trick in TRICKS {
            let reason = format!("because {trick} \"of\" it");
            let mut end = role.end();
            feed(&mut end, &role.close_of_peer(1000, reason.as_bytes()), &[1]);
            let report = end.closed().unwrap();
            assert_safe(&report);
            assert_printable(&format!("{:?} {end:?}", report.received));
            // It is there all the same, and is not taken for the end of the quotation.
            let said = report.to_string();
            assert!(said.contains("because ") && said.ends_with(" \\\"of\\\" it\""), "{said}");
            assert_eq!(report.received.unwrap().reason(), reason);
        }
    }
    let plain = CloseFrame::new(CloseCode::NORMAL, "bye").unwrap();
    assert_eq!(format!("{plain:?}"), "CloseFrame(1000, \"bye\")");
}

#[test]
fn hostile_93_errors_of_a_connection_quote_nothing() {
    let wrong: [&[u8]; 8] =
        [b"\xf2", b"\x83", b"\x09", b"\x80", b"\x88\x01\x1b", b"GET /\x1b[2J", b"\r\n", b"\x81"];
    for role in Role::BOTH {
        for bytes in wrong {
            let mut end = role.end();
            feed(&mut end, bytes, &[1]);
            end.handle_eof();
            let Err(error) = end.poll_event().map(drop) else { panic!("{bytes:x?}") };
            assert_safe(&error);
            assert_safe(&end.closed().unwrap());
            // Nor does the Close frame that tells the peer.
            assert!(role.frames(&output(&mut end)).iter().all(|(_, payload)| payload.len() == 2));
        }
    }
}

/// Heads with a trick in each place where bytes are a peer's to choose.
fn requests(trick: &[u8]) -> Vec<Vec<u8>> {
    let places = ["METHOD", "TARGET", "VERSION", "NAME", "VALUE", "HOST", "KEY", "PROTOCOL", "EXTENSION"];
    let head = "METHOD /TARGET HTTP/VERSION\r\nHost: HOST\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: KEY\r\nSec-WebSocket-Protocol: PROTOCOL\r\n\
                Sec-WebSocket-Extensions: EXTENSION\r\nNAME: VALUE\r\nOrigin: http://a\r\nCookie: VALUE\r\n\r\n";
    let good = ["GET", "chat", "1.1", "X-Name", "value", "example.com", "dGhlIHNhbXBsZSBub25jZQ==", "a", "b"];
    let fill = |tricked: &str| {
        let mut bytes = head.as_bytes().to_vec();
        for (place, good) in places.into_iter().zip(good) {
            let with = if place == tricked { [b"Z3cr3t", trick].concat() } else { good.as_bytes().to_vec() };
            bytes = replace(&bytes, place.as_bytes(), &with);
        }
        bytes
    };
    places.into_iter().map(fill).collect()
}

fn replace(bytes: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(what.len()).position(|window| window == what) {
        out.extend([&rest[..at], with].concat());
        rest = &rest[at + what.len()..];
    }
    [&out, rest].concat()
}

#[test]
fn hostile_93_a_request_is_not_quoted() {
    for trick in TRICKS {
        for head in requests(trick.as_bytes()) {
            let mut handshake = server::Handshake::new(Config::default(), NOW);
            handshake.input().put_slice(&head);
            assert_printable(&format!("{handshake:?}"));
            match handshake.poll() {
                Ok(None) => {}
                Ok(Some(request)) => {
                    assert_printable(&format!("{request:?} {:?}", request.headers()));
                    let error =
                        request.accept(server::Accept::new().protocol("none of them"), NOW).unwrap_err();
                    assert_safe(&error);
                }
                Err(rejection) => {
                    assert_safe(&rejection);
                    assert_safe(&rejection.error());
                    assert_printable(&format!("{:?}", rejection.head()));
                    // What the client is told may be logged by a proxy: it is of our own words.
                    let answer = taken(&mut rejection.into_output());
                    assert_printable(&String::from_utf8_lossy(&replace(
                        &replace(&answer, b"\r\n", b" "),
                        b"\n",
                        b" ",
                    )));
                    assert!(!answer.windows(6).any(|window| window == b"Z3cr3t"));
                }
            }
        }
    }
}

#[test]
fn hostile_93_a_response_is_not_quoted() {
    for trick in TRICKS {
        for place in ["VERSION", "STATUS", "REASON", "NAME", "VALUE", "BODY", "EXTRA"] {
            for status in ["101", "404"] {
                let answer = |accept: &str| {
                    let head = format!(
                        "HTTP/VERSION STATUS REASON\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Accept: {accept}\r\nNAME: VALUE\r\nEXTRA: 1\r\n\r\nBODY"
                    );
                    let good = [("VERSION", "1.1"), ("STATUS", status), ("REASON", "Words")];
                    let rest = [("NAME", "X-Name"), ("VALUE", "value"), ("BODY", ""), ("EXTRA", "X-Extra")];
                    good.into_iter().chain(rest).fold(head.into_bytes(), |bytes, (name, good)| {
                        let with = if name == place { format!("Z3cr3t{trick}") } else { good.to_string() };
                        replace(&bytes, name.as_bytes(), with.as_bytes())
                    })
                };
                match answered(answer) {
                    Ok(None) => {}
                    Ok(Some(Outcome::Refused(refused))) => {
                        assert_printable(&format!("{refused:?} {:?}", refused.headers()));
                        is_safe_for_shims(refused);
                    }
                    Ok(Some(Outcome::Established(established))) => {
                        assert_printable(&format!("{established:?}"));
                    }
                    Err(error) => assert_safe(&error),
                }
            }
        }
    }
}

#[cfg(not(feature = "std"))]
fn is_safe_for_shims(_: client::Refused) {}

/// The error of the shims with a refusal in it, as itself and as one of I/O.
#[cfg(feature = "std")]
fn is_safe_for_shims(refused: client::Refused) {
    let error = sansock::blocking::Error::Refused(Box::new(refused));
    assert_safe(&error);
    assert_safe(&std::io::Error::from(error));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn hostile_93_any_bytes_of_a_peer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for role in Role::BOTH {
            let mut end = role.end();
            if let Some(Seen::Failed(error)) = feed(&mut end, &bytes, &[7]).last() {
                assert_safe(error);
            }
            assert_printable(&format!("{end:?} {:?}", end.closed()));
        }
        for list in [&bytes[..], &[&b"a; b=\""[..], &bytes].concat()] {
            for offer in extension::parse(list) {
                assert_printable(&format!("{offer:?}"));
                if let Ok(offer) = offer {
                    offer.params().for_each(|param| assert_printable(&format!("{param:?}")));
                }
            }
        }
        if let Err(error) = answered(|_| bytes) {
            assert_safe(&error);
        }
    }
}

#[test]
fn hostile_93_a_response_of_ours_cannot_be_split() {
    for trick in ["\r\nX: 1", "\n", "\r", "\0", "\u{1b}[2J"] {
        assert!(Response::new(403).unwrap().header("X-Why", trick).is_err());
        assert!(server::Accept::new().header("X-Why", trick).is_err());
        assert!(ClientRequest::new("ws://a/").unwrap().header("X-Why", trick).is_err());
    }
}
