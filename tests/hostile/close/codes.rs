//! Items 51 and 52: what a Close frame may say.

use sansock::{CloseCode, CloseFrame, Error, SendError, Violation};

use super::{Role, body, closing};
use crate::common::{Seen, output};

/// Codes that no endpoint may send.
fn illegal() -> impl Iterator<Item = u16> {
    [0, 1, 999, 1004, 1005, 1006, 1015].into_iter().chain(1016..=2999).chain([5000, 5001, 0x8000, 65535])
}

/// Codes at the edges of what may be sent, and all that are registered.
const LEGAL: [u16; 17] =
    [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999, 4000, 4999];

fn violation(violation: Violation) -> Vec<Seen> {
    vec![Seen::Failed(Error::Protocol(violation))]
}

#[test]
fn hostile_51_lengths_of_a_close_that_is_received() {
    for role in Role::BOTH {
        let longest = body(1000, &[b'x'; 123]);
        assert_eq!(longest.len(), 125);
        // An empty body has an empty answer; any other one is answered with its code.
        assert_eq!(role.sees(&role.of_peer(0x88, b"")), (vec![Seen::End], vec![(0x88, Vec::new())]));
        for (body, code) in [(&body(1000, b"")[..], 1000), (&body(4999, b"x"), 4999), (&longest, 1000)] {
            assert_eq!(role.sees(&role.of_peer(0x88, body)), (vec![Seen::End], vec![closing(code)]));
        }
        for one in [0, 3, 0xff] {
            let seen = role.sees(&role.of_peer(0x88, &[one]));
            assert_eq!(seen, (violation(Violation::CloseTooShort), vec![closing(1002)]));
        }
        // Of a longer one the length alone is too much: neither key nor payload is awaited.
        let mask = if role == Role::Server { 0x80 } else { 0 };
        for length in [126, 127] {
            let seen = role.sees(&[0x88, mask | length]);
            assert_eq!(seen, (violation(Violation::ControlTooLong), vec![closing(1002)]), "{role:?}");
        }
        let seen = role.sees(&role.of_peer(0x88, &body(1000, &[b'x'; 124])));
        assert_eq!(seen, (violation(Violation::ControlTooLong), vec![closing(1002)]), "{role:?}");
    }
}

#[test]
fn hostile_51_codes_of_a_close_that_is_received() {
    for role in Role::BOTH {
        for code in illegal() {
            let seen = role.sees(&role.close_of_peer(code, b""));
            assert_eq!(seen, (violation(Violation::CloseCode), vec![closing(1002)]), "{role:?} {code}");
        }
        for code in LEGAL {
            let seen = role.sees(&role.close_of_peer(code, b"why"));
            assert_eq!(seen, (vec![Seen::End], vec![closing(code)]), "{role:?} {code}");
        }
    }
}

#[test]
fn hostile_51_what_may_not_be_sent_cannot_be_said() {
    assert!(illegal().all(|code| CloseCode::new(code).is_none()));
    for role in Role::BOTH {
        for code in LEGAL {
            let mut end = role.end();
            end.close(CloseCode::new(code).unwrap(), "").unwrap();
            assert_eq!(role.frames(&output(&mut end)), [closing(code)]);
        }
    }
}

#[test]
fn hostile_52_a_reason_that_is_not_utf8() {
    let wrong: [&[u8]; 12] = [
        b"\x80",
        b"\xff",
        b"\xc0\x80",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"fine, and then \xfe",
        // Truncated: there is no next frame that could go on.
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
        b"fine, and then \xce\xba\xe1\xbd",
        &[&[b'x'; 122][..], b"\xc3"].concat(),
    ];
    for role in Role::BOTH {
        for reason in wrong {
            let seen = role.sees(&role.close_of_peer(1000, reason));
            assert_eq!(seen, (vec![Seen::Failed(Error::InvalidUtf8)], vec![closing(1007)]), "{reason:x?}");
        }
        // The code comes first.
        let seen = role.sees(&role.close_of_peer(1005, b"\xff"));
        assert_eq!(seen, (violation(Violation::CloseCode), vec![closing(1002)]));
    }
}

#[test]
fn hostile_52_a_reason_is_kept_as_it_came() {
    for role in Role::BOTH {
        for reason in ["", "ok", "κόσμε", &"ß".repeat(61), "\u{feff}\u{fffe}\u{10ffff}", "\0\r\n\u{1b}[2J"]
        {
            let mut end = role.end();
            crate::common::feed(&mut end, &role.close_of_peer(3000, reason.as_bytes()), &[1]);
            assert_eq!(end.closed().unwrap().received.unwrap().reason(), reason);
        }
    }
}

#[test]
fn hostile_52_a_reason_of_ours_above_123_bytes_is_an_error_that_sends_nothing() {
    for role in Role::BOTH {
        for reason in ["x".repeat(124), "ß".repeat(62), "x".repeat(1 << 20)] {
            let mut end = role.end();
            assert_eq!(end.close(CloseCode::NORMAL, &reason), Err(SendError::ControlTooLong));
            assert_eq!(CloseFrame::new(CloseCode::NORMAL, &reason), Err(SendError::ControlTooLong));
            // The connection goes on as if nothing had been said.
            assert!(end.buffered() == 0 && end.closed().is_none());
            end.text("still here").unwrap();
            end.close(CloseCode::NORMAL, &"x".repeat(123)).unwrap();
            let sent = role.frames(&output(&mut end));
            assert_eq!(sent, [(0x81, b"still here".to_vec()), (0x88, body(1000, &[b'x'; 123]))]);
        }
    }
}

#[test]
fn rule_h_the_codes_that_may_be_on_the_wire() {
    // The table of the rule; each side of each edge, received and sent, and all codes by the parser alone.
    let may = |code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    for code in 0..=u16::MAX {
        assert_eq!(CloseCode::new(code).is_some(), may(code), "{code}");
        assert_eq!(CloseFrame::parse(&code.to_be_bytes()).is_ok(), may(code), "{code}");
    }
    for edge in [1000, 1003, 1007, 1014, 3000, 4999_u16] {
        for code in edge - 1..=edge + 1 {
            for role in Role::BOTH {
                let (seen, sent) = role.sees(&role.close_of_peer(code, b""));
                assert_eq!(seen == [Seen::End], may(code), "{role:?} {code}");
                assert_eq!(sent, [closing(if may(code) { code } else { 1002 })]);
            }
        }
    }
}

#[test]
fn rule_h_the_payload_of_a_close() {
    for role in Role::BOTH {
        let codes = [&b"\x03"[..], b"\x03\xe8\xff", b"\x03\xed"]
            .map(|payload| role.sees(&role.of_peer(0x88, payload)).1);
        assert_eq!(codes, [[closing(1002)], [closing(1007)], [closing(1002)]]);
    }
}

#[test]
fn rule_h_a_reason_is_utf8_where_core_says_so() {
    // Each first byte with each second one, alone and in front of what may go on with it.
    for high in 0..=u8::MAX {
        for low in 0..=u8::MAX {
            for rest in [&b""[..], b"\x80", b"\xbf\xbf", b"x"] {
                let reason = [&[high, low][..], rest].concat();
                let parsed = CloseFrame::parse(&body(1000, &reason));
                let expected = std::str::from_utf8(&reason).ok();
                assert_eq!(parsed.ok().flatten().as_ref().map(CloseFrame::reason), expected, "{reason:x?}");
            }
        }
    }
}
