//! RFC 6455 §5: frames that are legal, received and sent. What is not is in `tests/hostile`.
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
use role::{Role, unmasked};
use sansock::frame::{Header, Masking, OpCode, Reserved, Rules};
use sansock::{
    CloseCode, Config, Connection, Data, Event, Prepared, SendError, SendHalf, Timestamp, Violation,
};

#[test]
fn section_5_7_examples() {
    assert_eq!(client_sees(b"\x81\x05Hello").0, [text("Hello")]);
    assert_eq!(server_sees(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58").0, [text("Hello")]);
    assert_eq!(client_sees(b"\x01\x03Hel\x80\x02lo").0, [text("Hello")]);
    assert_eq!(client_sees(b"\x89\x05Hello").0, [Seen::Ping(b"Hello".into())]);
    let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(server_sees(pong).0, [Seen::Pong(b"Hello".into())]);
    for (head, len) in [(&b"\x82\x7e\x01\x00"[..], 256), (b"\x82\x7f\0\0\0\0\0\x01\0\0", 65536)] {
        let data = vec![7; len];
        assert_eq!(client_sees(&[head, &data].concat()).0, [binary(&data)]);
    }
}

#[test]
fn section_5_2_every_length_around_a_boundary_arrives() {
    for len in [0, 1, 124, 125, 126, 127, 128, 129, 0xfffe, 0xffff, 0x1_0000, 0x1_0001] {
        let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
        assert_eq!(server_sees(&masked(0x82, &data)).0, [binary(&data)]);
        assert_eq!(client_sees(&plain(0x82, &data)).0, [binary(&data)]);
    }
}

#[test]
fn section_5_4_fragments_make_one_message() {
    let bytes = [
        masked(0x01, b"a"),
        masked(0x00, b""),
        masked(0x89, b"in between"),
        masked(0x00, b"bc"),
        masked(0x80, b"d"),
        masked(0x82, b"next"),
    ];
    let (seen, sent) = server_sees(&bytes.concat());
    assert_eq!(seen, [Seen::Ping(b"in between".into()), text("abcd"), binary(b"next")]);
    assert_eq!(sent, plain(0x8a, b"in between"));
}

#[test]
fn section_5_5_3_every_ping_of_a_burst_is_answered() {
    let payloads: Vec<[u8; 8]> = (0..10u64).map(u64::to_be_bytes).collect();
    let pings: Vec<u8> = payloads.iter().flat_map(|payload| masked(0x89, payload)).collect();
    let pongs: Vec<u8> = payloads.iter().flat_map(|payload| plain(0x8a, payload)).collect();
    assert_eq!(server_sees(&pings).1, pongs);
}

/// All that a half of its own would write.
fn written(send: &mut SendHalf) -> Vec<u8> {
    let len = send.output().remaining();
    send.output().copy_to_bytes(len).to_vec()
}

#[test]
fn section_5_5_3_of_pings_that_no_driver_has_carried_over_the_newest_eight_are_answered() {
    for count in [1, 2, 8, 9, 20] {
        let (mut receive, mut send) = server().split();
        let payloads: Vec<[u8; 1]> = (0..count).map(|i| [i]).collect();
        for payload in &payloads {
            receive.input().put_slice(&masked(0x89, payload));
            receive.handle_input(Timestamp::EPOCH);
            assert!(matches!(receive.poll_event(), Ok(Some(Event::Ping(seen))) if seen == payload));
        }
        while let Some(control) = receive.poll_control() {
            send.handle_control(control);
        }
        let answered = &payloads[payloads.len().saturating_sub(8)..];
        let pongs: Vec<u8> = answered.iter().flat_map(|payload| plain(0x8a, payload)).collect();
        assert_eq!(written(&mut send), pongs, "of {count}");
    }
}

#[test]
fn orders_that_no_driver_has_carried_over_keep_their_turn() {
    let second = Timestamp::EPOCH + Duration::from_secs(1);
    let mut config = Config::default();
    config.ping_interval = Some(Duration::from_secs(1));
    for closes in [false, true] {
        let (mut receive, mut send) = Connection::server(config.clone(), Timestamp::EPOCH).split();
        receive.input().put_slice(&masked(0x89, b"?"));
        receive.handle_input(Timestamp::EPOCH);
        assert!(matches!(receive.poll_event(), Ok(Some(Event::Ping(b"?")))));
        receive.handle_timeout(second);
        let mut expected = [plain(0x8a, b"?"), plain(0x89, b"")].concat();
        if closes {
            receive.input().put_slice(&masked(0x88, b"\x03\xe8"));
            receive.handle_input(second);
            assert!(receive.advance().unwrap() && receive.is_ended());
            expected.extend(plain(0x88, b"\x03\xe8"));
        }
        while receive.has_control() {
            send.handle_control(receive.poll_control().unwrap());
        }
        assert_eq!(written(&mut send), expected);
    }
}

#[test]
fn section_5_2_reserved_bits_are_a_set_of_three() {
    let [one, two, three] = [Reserved::RSV1, Reserved::RSV2, Reserved::RSV3];
    assert_eq!((one | one, one | Reserved::NONE, one | two | three), (one, one, Reserved::ALL));
    assert!((one | two).contains(one) && !one.contains(one | two) && one.contains(Reserved::NONE));
    // They take the place of those before, and of nothing else.
    let header = Header::new(OpCode::Text, 300).unwrap().masked().reserved(one | two).reserved(two | three);
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    assert_eq!(bytes, b"\xb1\xfe\x01\x2c");
    let rules = Rules { reserved: two | three, masking: Masking::Required };
    assert_eq!(Header::parse(&bytes, rules), Ok(Some((header, 4))));
    assert_eq!((header.reserved_bits(), header.is_final()), (two | three, true));
    let rules = Rules { reserved: one | two, masking: Masking::Required };
    assert_eq!(Header::parse(&bytes, rules), Err(Violation::ReservedBits));
}

#[test]
fn section_5_2_a_header_that_no_frame_may_have_cannot_be_made() {
    for opcode in [OpCode::Continuation, OpCode::Text, OpCode::Binary] {
        let longest = Header::new(opcode, (1 << 63) - 1).unwrap();
        assert!(longest.is_final() && !longest.fragment().unwrap().is_final());
        assert_eq!(Header::new(opcode, 1 << 63), Err(Violation::LengthOutOfRange));
    }
    for opcode in [OpCode::Close, OpCode::Ping, OpCode::Pong] {
        let longest = Header::new(opcode, 125).unwrap();
        assert_eq!(longest.fragment(), Err(Violation::FragmentedControl));
        assert_eq!(Header::new(opcode, 126), Err(Violation::ControlTooLong));
    }
}

#[test]
fn section_5_5_3_a_pong_that_waits_goes_along_when_output_is_appended() {
    let mut server = server();
    let pings: Vec<u8> = (0..100u8).flat_map(|i| masked(0x89, &[i; 50])).collect();
    feed(&mut server, &pings, &[usize::MAX]);
    // The newest pong waits until those before it are written.
    assert!(server.output().remaining() > 500);
    let (_, mut send) = server.split();
    let mut wire = send.fork();
    let waits = send.buffered();
    wire.append(&mut send).unwrap();
    // There, too, until the last byte of them.
    for part in [0, waits - 1] {
        wire.output().advance(part);
        assert_eq!(wire.output().remaining(), waits - part);
    }
    let mut bytes = Vec::new();
    while wire.output().has_remaining() {
        bytes.extend_from_slice(wire.output().chunk());
        let len = wire.output().chunk().len();
        wire.output().advance(len);
    }
    assert!(bytes.ends_with(&plain(0x8a, &[99; 50])));
}

/// What is appended elsewhere has left: it keeps nobody from answering.
#[test]
fn section_5_5_2_every_ping_is_answered_by_a_half_whose_output_is_appended_elsewhere() {
    let (mut receive, mut send) = server().split();
    let mut wire = send.fork();
    for _ in 0..200 {
        receive.input().put_slice(&masked(0x89, b"?"));
        receive.handle_input(Timestamp::EPOCH);
        assert!(matches!(receive.poll_event(), Ok(Some(Event::Ping(b"?")))));
        while let Some(control) = receive.poll_control() {
            send.handle_control(control);
        }
        wire.append(&mut send).unwrap();
        assert_eq!(wire.output().chunk(), plain(0x8a, b"?"));
        wire.output().advance(3);
    }
}

#[test]
fn section_5_4_control_frames_of_a_fork_go_between_the_fragments_of_a_message() {
    let (_, mut send) = server().split();
    let mut answers = send.fork();
    send.fragment("a").unwrap();
    answers.ping(b"?").unwrap();
    send.append(&mut answers).unwrap();
    send.last_fragment("b").unwrap();
    let waits = send.buffered();
    let expected = [plain(0x01, b"a"), plain(0x89, b"?"), plain(0x80, b"b")].concat();
    assert_eq!(send.output().copy_to_bytes(waits)[..], expected);
}

/// A frame as it is on the wire.
struct Frame {
    first: u8,
    is_masked: bool,
    /// How many bytes the length takes besides the first seven bits.
    extended: usize,
    len: usize,
}

impl Frame {
    fn is_control(&self) -> bool {
        self.first & 0x08 != 0
    }
}

fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let short = second & 0x7f;
        let (length, rest) = rest.split_at(match short {
            126 => 2,
            127 => 8,
            _ => 0,
        });
        let extended = length.len();
        let short = usize::from(short);
        let long = length.iter().fold(0, |long, byte| long << 8 | usize::from(*byte));
        let len = if extended == 0 { short } else { long };
        let is_masked = second & 0x80 != 0;
        frames.push(Frame { first: *first, is_masked, extended, len });
        bytes = &rest[len + if is_masked { 4 } else { 0 }..];
    }
    assert!(bytes.is_empty(), "half a frame");
    frames
}

/// On both sides of each length from which on its form is another one.
const LENGTHS: [usize; 10] = [0, 1, 124, 125, 126, 127, 0xfffe, 0xffff, 0x1_0000, 0x1_0001];

/// All that an endpoint can be told to send, in each length that it may have.
fn told(role: Role) -> Vec<Frame> {
    let mut end = role.connection(&Config::default());
    let mut bytes = Vec::new();
    for len in LENGTHS {
        let (data, said, control) = (vec![7; len], "x".repeat(len), vec![7; len.min(125)]);
        end.text(&said).unwrap();
        end.binary(&data).unwrap();
        end.send(said.clone()).unwrap();
        end.send(data.clone()).unwrap();
        end.prepared(&Prepared::new(data.clone())).unwrap();
        for part in [Data::Text(&said), Data::Binary(&data)] {
            end.fragment(part).unwrap();
            end.ping(&control).unwrap();
            end.fragment(part).unwrap();
            end.pong(&control).unwrap();
            end.last_fragment(part).unwrap();
        }
        bytes.extend(output(&mut end));
        end.offer(&said[..], |head, payload| {
            bytes.extend([head, payload].concat());
            head.len() + payload.len()
        })
        .unwrap();
        give(&mut end, &role.frame(0x82, &data));
        let (event, send) = end.poll_with_send().unwrap().unwrap();
        send.relay(event).unwrap();
        bytes.extend(output(&mut end));
    }
    end.close(CloseCode::NORMAL, &"x".repeat(123)).unwrap();
    bytes.extend(output(&mut end));
    frames(&bytes)
}

/// All that an endpoint says by itself: pongs, keepalive pings, and Close frames.
fn said_by_itself(role: Role) -> Vec<Frame> {
    let mut bytes = Vec::new();
    let mut says = |peers: &[u8], time: u64| {
        let mut end = role.connection(&Config::default());
        give(&mut end, peers);
        events(&mut end);
        end.handle_timeout(Timestamp::EPOCH + Duration::from_secs(time));
        let said = output(&mut end);
        assert!(!said.is_empty());
        bytes.extend(said);
    };
    says(&role.frames(&[(0x89, b""), (0x89, &[7; 125])]), 0);
    says(b"", 20);
    says(&role.frame(0x88, b""), 0);
    says(&role.frame(0x88, b"\x03\xe8bye"), 0);
    for wrong in [&[0xff][..], &role.frame(0x81, b"\xff"), &role.head(0x82, &[127, 0, 0, 1, 0, 0, 0, 0, 0])] {
        says(wrong, 0);
    }
    frames(&bytes)
}

/// Everything that an endpoint sends.
fn everything(role: Role) -> impl Iterator<Item = Frame> {
    let all: Vec<_> = told(role).into_iter().chain(said_by_itself(role)).collect();
    for first in [0x01, 0x02, 0x00, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a] {
        assert!(all.iter().any(|frame| frame.first == first), "{role:?} {first:x}");
    }
    all.into_iter()
}

#[test]
fn section_5_1_masks_go_one_way_only() {
    assert!(everything(Role::Client).all(|frame| frame.is_masked));
    assert!(!everything(Role::Server).any(|frame| frame.is_masked));
}

#[test]
fn section_5_2_reserved_bits_are_not_sent() {
    for role in Role::BOTH {
        assert!(everything(role).all(|frame| frame.first & 0x70 == 0), "{role:?}");
        // Nor reserved opcodes.
        assert!(everything(role).all(|frame| matches!(frame.first & 0x0f, 0..=2 | 8..=10)));
    }
}

#[test]
fn section_5_2_lengths_take_their_shortest_form() {
    for role in Role::BOTH {
        let all: Vec<_> = everything(role).collect();
        for frame in &all {
            let shortest = match frame.len {
                0..=125 => 0,
                126..=0xffff => 2,
                _ => 8,
            };
            assert_eq!(frame.extended, shortest, "{role:?} {:x} of {}", frame.first, frame.len);
        }
        for len in LENGTHS {
            let with_len = all.iter().filter(|frame| frame.len == len && !frame.is_control());
            assert!(with_len.count() >= 13, "{role:?} {len}");
        }
    }
}

#[test]
fn section_5_5_control_frames_are_short_and_whole() {
    for role in Role::BOTH {
        let controls: Vec<_> = everything(role).filter(Frame::is_control).collect();
        assert!(controls.iter().all(|frame| frame.first & 0x80 != 0 && frame.len <= 125), "{role:?}");
        assert!(controls.iter().any(|frame| frame.len == 125));
        let mut end = role.connection(&Config::default());
        assert_eq!(end.ping(&[7; 126]), Err(SendError::ControlTooLong));
        assert_eq!(end.pong(&[7; 126]), Err(SendError::ControlTooLong));
        assert_eq!(end.close(CloseCode::NORMAL, &"x".repeat(124)), Err(SendError::ControlTooLong));
        assert_eq!(output(&mut end), b"");
    }
}

type Command = fn(&mut Connection) -> Result<(), SendError>;

/// Every way to send a whole message.
const MESSAGES: [Command; 6] = [
    |end| end.text("b"),
    |end| end.binary(b"b"),
    |end| end.send("b"),
    |end| end.send(b"b".to_vec()),
    |end| end.prepared(&Prepared::new("b")),
    |end| end.offer("b", |_, _| panic!("it cannot be sent")),
];

#[test]
fn section_5_4_fragments_that_are_sent_keep_their_order() {
    for role in Role::BOTH {
        let mut end = role.connection(&Config::default());
        end.fragment("a").unwrap();
        for message in MESSAGES {
            assert_eq!(message(&mut end), Err(SendError::MessageOpen));
        }
        assert_eq!(end.fragment(&b"b"[..]), Err(SendError::KindMismatch));
        assert_eq!(end.last_fragment(&b"b"[..]), Err(SendError::KindMismatch));
        end.ping(b"p").unwrap();
        end.fragment("b").unwrap();
        end.last_fragment("").unwrap();
        end.text("c").unwrap();
        let frames =
            [plain(0x01, b"a"), plain(0x89, b"p"), plain(0x00, b"b"), plain(0x80, b""), plain(0x81, b"c")];
        assert_eq!(unmasked(&output(&mut end)), frames.concat());
    }
}
