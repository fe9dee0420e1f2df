//! The other end of a transport, driven by hand.

use bytes::BufMut;
use sansock::{CloseCode, Config, Connection, Message, Timestamp};

use super::{End, duplex};
use crate::common::{Seen, events, output};

/// The other end, driven by hand: what it queues is there at once, what it is sent is seen when it
/// looks.
pub(crate) struct Peer {
    pub(crate) end: End,
    pub(crate) machine: Connection,
}

impl Peer {
    /// A client, and the end of its server.
    pub(crate) fn client(room: usize) -> (Peer, End) {
        Peer::new(room, Connection::client(Config::default(), [3; 32], Timestamp::EPOCH))
    }

    /// A server, and the end of its client.
    pub(crate) fn server(room: usize) -> (Peer, End) {
        Peer::new(room, Connection::server(Config::default(), Timestamp::EPOCH))
    }

    fn new(room: usize, machine: Connection) -> (Peer, End) {
        let (end, other) = duplex(room);
        (Peer { end, machine }, other)
    }

    pub(crate) fn send(&mut self, message: impl Into<Message>) {
        self.machine.send(message).unwrap();
        self.pass_on();
    }

    pub(crate) fn ping(&mut self, payload: &[u8]) {
        self.machine.ping(payload).unwrap();
        self.pass_on();
    }

    pub(crate) fn close(&mut self) {
        self.machine.close(CloseCode::NORMAL, "").unwrap();
        self.pass_on();
    }

    /// Whether it has sent a Close frame.
    pub(crate) fn has_closed(&mut self) -> bool {
        self.machine.halves().1.is_closed()
    }

    fn pass_on(&mut self) {
        self.end.push(&output(&mut self.machine));
    }

    /// All that has come since the last look, answered.
    pub(crate) fn hear(&mut self) -> Vec<Seen> {
        let bytes = self.end.pull(usize::MAX);
        self.machine.input().put_slice(&bytes);
        self.machine.handle_input(Timestamp::EPOCH);
        let seen = events(&mut self.machine);
        self.pass_on();
        seen
    }
}
