//! The first two bytes of a frame, in both roles and in five states: 655,360 cases.

use sansock::{CloseCode, Config, Connection, Error, Violation};

use crate::common::{Seen, binary, events, give, output, plain, text};
use crate::role::{Role, unmasked};
use crate::sample;

/// What has happened before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No message is open, and no extension was negotiated.
    Idle,
    /// A fragmented text message is open: it has begun with "ab".
    InText,
    /// The same of binary data.
    InBinary,
    /// No message is open, and permessage-deflate was negotiated: with the feature of it.
    Deflate,
    /// No message is open, and this endpoint has sent a Close frame.
    CloseSent,
}

impl State {
    const ALL: &[State] = &[
        State::Idle,
        State::InText,
        State::InBinary,
        #[cfg(feature = "deflate")]
        State::Deflate,
        State::CloseSent,
    ];

    fn connection(self, role: Role) -> Connection {
        let mut connection = role.connection(&Config::default());
        match self {
            State::Idle => {}
            State::InText => give(&mut connection, &role.frame(0x01, b"ab")),
            State::InBinary => give(&mut connection, &role.frame(0x02, b"ab")),
            State::Deflate => {
                #[cfg(feature = "deflate")]
                {
                    let deflate = sansock::deflate::Deflate::default();
                    let agreed = sansock::deflate::accept([&b"permessage-deflate"[..]], &deflate).unwrap();
                    connection = connection.with_deflate(agreed, &deflate);
                }
            }
            State::CloseSent => {
                connection.close(CloseCode::NORMAL, "").unwrap();
                output(&mut connection);
            }
        }
        assert_eq!(events(&mut connection), []);
        connection
    }
}

/// What is wrong with the first byte, if anything is.
fn wrong_with_first(state: State, first: u8) -> Option<Violation> {
    let fin = first & 0b1000_0000 != 0;
    let rsv1 = first & 0b0100_0000 != 0;
    let rsv2 = first & 0b0010_0000 != 0;
    let rsv3 = first & 0b0001_0000 != 0;
    let opcode = first & 0b0000_1111;
    // RFC 6455 §5.2, RSV1, RSV2, RSV3: "MUST be 0 unless an extension is negotiated that defines meanings for
    // non-zero values."
    if rsv2 || rsv3 {
        return Some(Violation::ReservedBits);
    }
    if rsv1 && state != State::Deflate {
        return Some(Violation::ReservedBits);
    }
    // RFC 7692 §6: RSV1 is of the first frame of a data message, and of no other.
    if rsv1 && opcode != 1 && opcode != 2 {
        return Some(Violation::ReservedBits);
    }
    // RFC 6455 §5.2: "%x3-7 are reserved for further non-control frames", "%xB-F are reserved for further control
    // frames".
    if (3..=7).contains(&opcode) {
        return Some(Violation::ReservedOpcode);
    }
    if opcode >= 0xb {
        return Some(Violation::ReservedOpcode);
    }
    // RFC 6455 §5.5: control frames "MUST NOT be fragmented".
    if opcode >= 8 && !fin {
        return Some(Violation::FragmentedControl);
    }
    None
}

/// What is wrong with the second byte, or with both together.
fn wrong_with_second(role: Role, state: State, first: u8, second: u8) -> Option<Violation> {
    let opcode = first & 0b0000_1111;
    let masked = second & 0b1000_0000 != 0;
    let length = second & 0b0111_1111;
    // RFC 6455 §5.1: clients mask, servers do not.
    if role == Role::Server && !masked {
        return Some(Violation::Unmasked);
    }
    if role == Role::Client && masked {
        return Some(Violation::Masked);
    }
    // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less".
    if opcode >= 8 && length > 125 {
        return Some(Violation::ControlTooLong);
    }
    // A longer length is to be judged first.
    if length > 125 {
        return None;
    }
    // RFC 6455 §5.4: the frames of a message are of one type, and continuations after the first.
    let is_open = state == State::InText || state == State::InBinary;
    if opcode == 0 && !is_open {
        return Some(Violation::UnexpectedContinuation);
    }
    if (opcode == 1 || opcode == 2) && is_open {
        return Some(Violation::ExpectedContinuation);
    }
    None
}

/// What two bytes that are right mean: the events, the answer, and how much of the payload is missing.
fn meaning(role: Role, state: State, first: u8, second: u8) -> (Vec<Seen>, Vec<u8>, u64) {
    let fin = first & 0b1000_0000 != 0;
    let opcode = first & 0b0000_1111;
    let length = second & 0b0111_1111;
    let nothing = (Vec::new(), Vec::new(), 0);
    // More of the length, or the masking key.
    if length > 125 || role == Role::Server {
        return nothing;
    }
    // A control frame is awaited as a whole.
    if length > 0 {
        return if opcode >= 8 { nothing } else { (Vec::new(), Vec::new(), length.into()) };
    }
    // A frame without payload, from a server, is complete.
    if opcode == 8 {
        let answer = if state == State::CloseSent { Vec::new() } else { plain(0x88, b"") };
        return (vec![Seen::End], answer, 0);
    }
    if opcode == 9 {
        return (vec![Seen::Ping(Vec::new())], plain(0x8a, b""), 0);
    }
    if opcode == 10 {
        return (vec![Seen::Pong(Vec::new())], Vec::new(), 0);
    }
    if !fin {
        return nothing;
    }
    let message = match (state, opcode) {
        (State::InText, _) => text("ab"),
        (State::InBinary, _) => binary(b"ab"),
        (_, 1) => text(""),
        (_, _) => binary(b""),
    };
    (vec![message], Vec::new(), 0)
}

/// All that comes of two bytes.
fn expected(role: Role, state: State, first: u8, second: u8) -> (Vec<Seen>, Vec<u8>, u64) {
    let wrong = wrong_with_first(state, first).or_else(|| wrong_with_second(role, state, first, second));
    let Some(violation) = wrong else { return meaning(role, state, first, second) };
    // RFC 6455 §7.1.7 and §7.4.1: 1002, unless a Close frame was sent already.
    let close = if state == State::CloseSent { Vec::new() } else { plain(0x88, &1002_u16.to_be_bytes()) };
    (vec![Seen::Failed(Error::Protocol(violation))], close, 0)
}

fn check(role: Role, state: State, first: u8, second: u8) {
    let outcome = |connection: &mut Connection| {
        let seen = events(connection);
        (seen, unmasked(&output(connection)), connection.missing())
    };
    let place = || format!("{role:?}, {state:?}, {first:02x} {second:02x}");
    let expected = expected(role, state, first, second);
    let mut at_once = state.connection(role);
    give(&mut at_once, &[first, second]);
    assert_eq!(outcome(&mut at_once), expected, "{}", place());

    // What the first byte alone makes wrong shows without the second.
    let mut one_by_one = state.connection(role);
    give(&mut one_by_one, &[first]);
    let seen = events(&mut one_by_one);
    if wrong_with_first(state, first).is_some() {
        assert_eq!(seen, expected.0, "{}", place());
    } else {
        assert_eq!(seen, [], "{}", place());
    }
    give(&mut one_by_one, &[second]);
    assert_eq!(outcome(&mut one_by_one), expected, "{}", place());
}

#[test]
fn every_first_two_bytes_in_every_role_and_state() {
    let cases = State::ALL.iter().flat_map(|state| Role::BOTH.map(|role| (*state, role)));
    for (shift, (state, role)) in cases.enumerate() {
        // Where each case has a sample only, nearly all bytes come up in one of them.
        for bytes in sample(1 << 16, 11).map(|bytes| bytes + shift) {
            check(role, state, (bytes >> 8) as u8, bytes as u8);
        }
    }
}
