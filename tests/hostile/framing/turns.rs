//! Item 38 over tokio: a connection that always has something to read lets others have their turns.

use bytes::BufMut;
use sansock::tokio::WebSocket;
use sansock::{Config, Event, Timestamp};

use super::role::Role;
use crate::io::{End, duplex, guard, poll_once};

/// What may be read before others have their turn: 64 KiB, of which the last byte may bring a full read.
const TURN: usize = (64 << 10) + (128 << 10);

/// The same within a large frame, where turns are longer, as are reads.
const TURN_OF_FRAME: usize = (1 << 20) + (512 << 10);

const MESSAGES: usize = 1_000_000;

/// A socket of this role, to which a peer has sent a million of these frames before it reads any.
fn flooded(role: Role, frame: &[u8]) -> (End, WebSocket<End>) {
    let (peer, end) = duplex(usize::MAX);
    peer.push(&frame.repeat(MESSAGES));
    (peer, WebSocket::over(end, role.connection(&Config::default())))
}

/// Polls a loop that takes all events, until everything was read. No poll reads more than a `turn`.
fn assert_turns(peer: &End, turn: usize, mut take_all: impl AsyncFnMut()) {
    let (sent, mut polls) = (peer.unread(), 0);
    while peer.unread() > 0 {
        let before = peer.unread();
        assert!(poll_once(take_all()).is_none(), "it waits for more");
        assert!(before - peer.unread() <= turn, "{} bytes at once", before - peer.unread());
        polls += 1;
    }
    assert!(polls >= sent / turn);
}

#[tokio::test(start_paused = true)]
async fn hostile_38_a_million_empty_messages_let_other_tasks_have_their_turns() {
    let _guard = guard();
    for role in Role::BOTH {
        let (peer, mut socket) = flooded(role, &role.frame(0x82, b""));
        let mut events = 0;
        assert_turns(&peer, TURN, async || {
            while let Some(event) = socket.next().await.unwrap() {
                assert!(matches!(event, Event::Binary(data) if data.is_empty()));
                events += 1;
            }
        });
        assert_eq!(events, MESSAGES);
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_38_frames_that_make_no_event_let_other_tasks_have_their_turns() {
    let _guard = guard();
    for role in Role::BOTH {
        let (peer, mut socket) = flooded(role, &role.frame(0x00, b""));
        socket.connection_mut().input().put_slice(&role.frame(0x02, b""));
        socket.connection_mut().handle_input(Timestamp::EPOCH);
        assert_turns(&peer, TURN, async || assert!(socket.next().await.unwrap().is_none()));
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_38_a_reading_half_lets_other_tasks_have_their_turns() {
    let _guard = guard();
    for role in Role::BOTH {
        let (peer, socket) = flooded(role, &role.frame(0x82, b""));
        let (mut reader, _writer) = socket.split_with(|end| (end.clone(), end));
        let mut events = 0;
        assert_turns(&peer, TURN, async || {
            while reader.recv().await.unwrap().is_some() {
                events += 1;
            }
        });
        assert_eq!(events, MESSAGES);
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_frame_lets_other_tasks_have_their_turns() {
    const LEN: usize = 8 << 20;
    let _guard = guard();
    for role in Role::BOTH {
        let (peer, end) = duplex(usize::MAX);
        peer.push(&role.frame(0x82, &vec![7; LEN]));
        let mut socket = WebSocket::over(end, role.connection(&Config::default()));
        let mut seen = Vec::new();
        assert_turns(&peer, TURN_OF_FRAME, async || {
            while let Some(message) = socket.recv().await.unwrap() {
                seen.push(message);
            }
        });
        assert!(seen == [vec![7; LEN].into()]);
    }
}
