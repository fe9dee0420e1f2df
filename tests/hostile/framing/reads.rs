//! Items 40 and 42: frames that reads cut, and transports that end. `tests/hostile_memory.rs` has item 41.

use bytes::{Buf, BufMut};
use sansock::handshake::client::Outcome;
use sansock::handshake::server::{self, Accept};
use sansock::{Config, Connection, Error, Spare, Timestamp};

use super::role::Role;
use crate::common::{Seen, binary, events, give, text};
use crate::handshake::opening::{GOOD, client, head, response_with};

#[test]
fn hostile_40_a_frame_is_the_same_split_at_every_byte() {
    for role in Role::BOTH {
        for len in [0, 5, 125, 126, 300, 0x1_0000] {
            let payload: Vec<u8> = b"payload".iter().copied().cycle().take(len).collect();
            // Fourteen bytes of header at the most, and then the payload.
            let bytes = role.frame(0x82, &payload);
            for cut in (0..=bytes.len()).filter(|cut| *cut < 400 || cut % 4096 < 2) {
                let mut connection = role.connection(&Config::default());
                give(&mut connection, &bytes[..cut]);
                let first = events(&mut connection);
                give(&mut connection, &bytes[cut..]);
                assert_eq!(
                    [first, events(&mut connection)].concat(),
                    [binary(&payload)],
                    "{role:?} {len} {cut}"
                );
            }
        }
    }
}

#[test]
fn hostile_40_control_frames_between_fragments_are_the_same_split_at_every_two_bytes() {
    for role in Role::BOTH {
        let bytes =
            role.frames(&[(0x89, b"ping"), (0x01, b"Hel"), (0x8a, b""), (0x80, b"lo"), (0x88, b"\x03\xe8")]);
        let expected = [Seen::Ping(b"ping".to_vec()), Seen::Pong(Vec::new()), text("Hello"), Seen::End];
        for (first, second) in (0..=bytes.len()).flat_map(|cut| (0..=cut).map(move |first| (first, cut))) {
            let mut connection = role.connection(&Config::default());
            let mut seen = Vec::new();
            for part in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                give(&mut connection, part);
                seen.extend(events(&mut connection));
            }
            seen.dedup();
            assert_eq!(seen, expected, "{role:?} {first} {second}");
        }
    }
}

#[test]
fn hostile_40_an_end_at_every_byte_is_1006_and_no_panic() {
    for role in Role::BOTH {
        // A header of every form, with its payload, behind a message that is whole; and the same fragmented.
        for (len, first) in [0, 5, 126, 0x1_0000].into_iter().flat_map(|len| [(len, 0x82), (len, 0x01)]) {
            let whole = role.frame(0x81, b"whole");
            let bytes = [whole.clone(), role.frame(first, &vec![1; len])].concat();
            let ends = (0..bytes.len()).filter(|end| *end < 300 || end % 4096 < 2);
            for end in ends {
                let mut connection = role.connection(&Config::default());
                give(&mut connection, &bytes[..end]);
                connection.handle_eof();
                // What was whole is not lost.
                let before = if end >= whole.len() { vec![text("whole")] } else { Vec::new() };
                let expected = [before, vec![Seen::Failed(Error::UnexpectedEof)]].concat();
                assert_eq!(events(&mut connection), expected, "{role:?} {len} {end}");
                assert_eq!(connection.closed().unwrap().code(), 1006);
                assert_eq!(connection.buffered(), 0, "nobody is there to be told");
                assert!(connection.is_finished());
            }
        }
    }
}

/// Messages of many lengths, one behind the other, on the wire and as events.
fn stream(role: Role) -> (Vec<u8>, Vec<Seen>) {
    let lengths =
        [0, 1, 2, 5, 50, 118, 119, 120, 125, 126, 127, 1000, 2040, 2048, 4090, 4096, 9000, 40_000, 70_000];
    let payloads: Vec<Vec<u8>> = lengths.iter().zip(1..).map(|(len, fill)| vec![fill; *len]).collect();
    let bytes = payloads.iter().flat_map(|payload| role.frame(0x82, payload)).collect();
    (bytes, payloads.iter().map(|payload| binary(payload)).collect())
}

/// Reads all of `bytes` into the room that [`Connection::read_buffer`] has: as much of it as `fills` says.
fn read_all(connection: &mut Connection, bytes: &[u8], fills: impl Fn(usize) -> usize) -> Vec<Seen> {
    let (mut rest, mut seen) = (bytes, Vec::new());
    while !rest.is_empty() {
        let mut room = connection.read_buffer();
        let size = fills(room.remaining_mut()).clamp(1, rest.len());
        room.put_slice(&rest[..size]);
        drop(room);
        connection.handle_input(Timestamp::EPOCH);
        seen.extend(events(connection));
        rest = &rest[size..];
    }
    seen
}

#[test]
fn hostile_42_frames_straddle_the_end_of_a_buffer_that_is_exactly_full() {
    let fills: [fn(usize) -> usize; 5] =
        [|room| room, |room| room - 1, |room| room / 2, |room| room.min(14), |_| 1];
    for role in Role::BOTH {
        let (bytes, expected) = stream(role);
        for fill in fills {
            // The first frame begins anywhere, and with it all that stand behind it.
            for shift in [0, 1, 2, 3, 5, 13, 64] {
                let mut connection = role.connection(&Config::default());
                let before = role.frame(0x8a, &vec![1; shift]);
                let seen = read_all(&mut connection, &[&before[..], &bytes].concat(), fill);
                assert_eq!(seen[0], Seen::Pong(vec![1; shift]));
                assert!(seen[1..] == expected, "{role:?}, shift {shift}");
            }
        }
    }
}

#[test]
fn hostile_42_borrowed_buffers_that_are_exactly_full() {
    for role in Role::BOTH {
        let (bytes, expected) = stream(role);
        for limit in [0, 1, 4 << 20] {
            let mut spare = Spare::with_limit(limit);
            let mut connection = role.connection(&Config::default());
            let (mut rest, mut seen) = (&bytes[..], Vec::new());
            while !rest.is_empty() {
                connection.borrow_buffers(&mut spare);
                let mut room = connection.read_buffer();
                let (part, behind) = rest.split_at(room.remaining_mut().min(rest.len()));
                room.put_slice(part);
                drop(room);
                connection.handle_input(Timestamp::EPOCH);
                seen.extend(events(&mut connection));
                connection.return_buffers(&mut spare);
                rest = behind;
            }
            assert!(seen == expected, "{role:?}, limit {limit}");
        }
    }
}

/// A connection whose first buffer holds what came behind the peer's head: these bytes, and room for no more.
fn with_leftover(role: Role, leftover: &[u8]) -> Connection {
    let mut connection = match role {
        Role::Server => {
            let mut handshake = server::Handshake::new(Config::default(), Timestamp::EPOCH);
            handshake.input().put_slice(head("GET / HTTP/1.1", &GOOD).as_bytes());
            handshake.input().put_slice(leftover);
            let request = handshake.poll().unwrap().unwrap();
            request.accept(Accept::new(), Timestamp::EPOCH).unwrap()
        }
        Role::Client => {
            let mut handshake = client(Config::default());
            handshake.input().put_slice(response_with("X", &[]).as_bytes());
            handshake.input().put_slice(leftover);
            let Some(Outcome::Established(established)) = handshake.poll().unwrap() else { panic!() };
            established.into_connection(Timestamp::EPOCH)
        }
    };
    let answer = connection.output().remaining();
    connection.output().advance(answer);
    connection
}

#[test]
fn hostile_42_a_buffer_of_capacity_1() {
    let expected = [Seen::Ping(b"ping".to_vec()), text("Hello"), binary(&[7; 300])];
    for role in Role::BOTH {
        let frames = role.frames(&[(0x89, b"ping"), (0x01, b"Hel"), (0x80, b"lo"), (0x82, &[7; 300])]);
        for leftover in 0..=frames.len() {
            let mut connection = with_leftover(role, &frames[..leftover]);
            let mut seen = events(&mut connection);
            // A transport that fills no more than one byte of any room.
            for byte in &frames[leftover..] {
                connection.read_buffer().limit(1).put_u8(*byte);
                connection.handle_input(Timestamp::EPOCH);
                seen.extend(events(&mut connection));
            }
            assert_eq!(seen, expected, "{role:?}: {leftover} bytes behind the head");
        }
    }
}

#[test]
fn hostile_42_there_is_always_room_for_a_read() {
    for role in Role::BOTH {
        let mut connection = role.connection(&Config::default());
        let message = role.frame(0x82, &[7; 3000]);
        for byte in message {
            assert!(connection.read_buffer().has_remaining_mut());
            assert!(connection.input().has_remaining_mut());
            give(&mut connection, &[byte]);
            let _ = connection.advance();
        }
        assert_eq!(events(&mut connection), [binary(&[7; 3000])]);
    }
}

#[test]
fn hostile_42_there_is_room_for_a_read_behind_events_that_nobody_takes() {
    for role in Role::BOTH {
        let mut connection = role.connection(&Config::default());
        let mut seen = Vec::new();
        for byte in role.frame(0x82, b"taken") {
            give(&mut connection, &[byte]);
            seen.extend(events(&mut connection));
        }
        assert_eq!(seen, [binary(b"taken")]);
        // Whole frames fill each room to its end, and wait.
        let frame = role.frame(0x82, b"left alone");
        let (mut bytes, mut given) = (frame.iter().copied().cycle(), 0);
        while given < 1 << 20 {
            let mut room = connection.read_buffer();
            let size = room.remaining_mut();
            assert!(size > 0, "{role:?}: no room behind {given} bytes");
            bytes.by_ref().take(size).for_each(|byte| room.put_u8(byte));
            drop(room);
            connection.handle_input(Timestamp::EPOCH);
            given += size;
        }
        let seen = events(&mut connection);
        assert_eq!(seen.len(), given / frame.len());
        assert!(seen.iter().all(|seen| *seen == binary(b"left alone")));
    }
}
