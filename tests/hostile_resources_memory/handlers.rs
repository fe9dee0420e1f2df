//! Item 76 once more: applications that take long over a message, while nobody reads for their connections; and
//! connections that have much to read, and wait for their turns.

use sansock::tokio::WebSocket;
use sansock::{Config, Event};

use crate::counting::held;
use crate::io::{guard, poll_once};
use crate::transport::Endless;
use crate::{ROLES, runtime};

const CONNECTIONS: usize = 1000;

/// Has many connections take one message each, and do nothing more; what that takes, for each of them,
/// besides what it is itself and what it has at rest.
fn take_and_think(len: usize) -> [isize; 2] {
    ROLES.map(|(machine, encode, _)| {
        let message = encode(0x82, &vec![7; len]);
        let peers: Box<[_]> =
            (0..=CONNECTIONS).map(|_| Endless::new(b"", &message, message.len() as u64)).collect();
        let take = |peer: &Endless, takes: bool| {
            let mut socket = WebSocket::over(peer.clone(), machine(Config::default()));
            if takes {
                let Some(Ok(Some(Event::Binary(data)))) = poll_once(socket.next()) else {
                    panic!("no message")
                };
                assert_eq!(data.len(), len);
            }
            socket
        };
        // What the thread has for all connections is there already.
        let _first = take(&peers[0], true);
        let (_at_rest, fresh, _) =
            held(|| peers[1..].iter().map(|peer| take(peer, false)).collect::<Box<[_]>>());
        let (_all, bytes, _) = held(|| peers[1..].iter().map(|peer| take(peer, true)).collect::<Box<[_]>>());
        (bytes - fresh) / CONNECTIONS as isize
    })
}

#[test]
fn hostile_76_handlers_that_take_long_over_small_messages_keep_twice_what_has_come() {
    let _guard = guard();
    let runtime = runtime();
    let _entered = runtime.enter();
    for len in [0, 20, 1000, 4000] {
        for each in take_and_think(len) {
            assert!(each <= (2 * len + (1 << 10)) as isize, "{each} bytes for a message of {len}");
        }
    }
    // From some KiB on it costs less to keep the buffers.
    for each in take_and_think(5000) {
        assert!(each <= 513 << 10, "{each}");
    }
}

/// Whoever reads until others have their turn leaves them the room for that, too.
#[test]
fn hostile_76_connections_that_wait_for_their_next_turn_keep_no_room_to_read() {
    let _guard = guard();
    let runtime = runtime();
    let _entered = runtime.enter();
    for (machine, encode, _) in ROLES {
        // Each read brings many.
        let message = encode(0x82, &[7; 1000]).repeat(100);
        let peers: Box<[_]> = (0..=CONNECTIONS).map(|_| Endless::new(b"", &message, u64::MAX)).collect();
        let flooded = |peer: &Endless| {
            let mut socket = WebSocket::over(peer.clone(), machine(Config::default()));
            while let Some(event) = poll_once(socket.next()) {
                assert!(matches!(event, Ok(Some(Event::Binary(data))) if data.len() == 1000));
            }
            socket
        };
        let flooded_half = |peer: &Endless| {
            let socket = WebSocket::over(peer.clone(), machine(Config::default()));
            let (mut reader, writer) = socket.split_with(|io| (io.clone(), io));
            while let Some(event) = poll_once(reader.next()) {
                assert!(matches!(event, Ok(Some(Event::Binary(data))) if data.len() == 1000));
            }
            (reader, writer)
        };
        // What the thread has for all connections is there already.
        let _first = flooded(&peers[0]);
        let (_all, bytes, _) = held(|| peers[1..].iter().map(flooded).collect::<Box<[_]>>());
        let (_halves, of_halves, _) = held(|| peers[1..].iter().map(flooded_half).collect::<Box<[_]>>());
        for each in [bytes, of_halves] {
            let each = each / CONNECTIONS as isize;
            assert!(each <= 4 << 10, "{each} bytes");
        }
    }
}
