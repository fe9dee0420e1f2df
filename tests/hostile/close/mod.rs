//! Items 51 to 55 and rule H: closing.

mod codes;
mod ending;
#[cfg(feature = "tokio")]
mod shims;
#[cfg(feature = "tokio")]
mod tcp;

use sansock::frame::{Header, Masking, Reserved, Rules};
use sansock::mask::Mask;
use sansock::{Config, Connection, Timestamp};

use crate::common::{Seen, masked, plain, sees};

/// Which end of a connection is tested: its peer plays the other role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Client,
}

impl Role {
    pub(crate) const BOTH: [Role; 2] = [Role::Server, Role::Client];

    pub(crate) fn end(self) -> Connection {
        self.end_with(Config::default())
    }

    pub(crate) fn end_with(self, config: Config) -> Connection {
        match self {
            Role::Server => Connection::server(config, Timestamp::EPOCH),
            Role::Client => Connection::client(config, [7; 32], Timestamp::EPOCH),
        }
    }

    /// A frame as the peer of this end sends it.
    pub(crate) fn of_peer(self, first: u8, payload: &[u8]) -> Vec<u8> {
        match self {
            Role::Server => masked(first, payload),
            Role::Client => plain(first, payload),
        }
    }

    /// A Close frame of its peer.
    pub(crate) fn close_of_peer(self, code: u16, reason: &[u8]) -> Vec<u8> {
        self.of_peer(0x88, &body(code, reason))
    }

    /// What this end sees of these bytes in every delivery, and the frames with which it answers.
    pub(crate) fn sees(self, bytes: &[u8]) -> (Vec<Seen>, Vec<(u8, Vec<u8>)>) {
        let (seen, sent) = sees(bytes, || self.end());
        (seen, self.frames(&sent))
    }

    /// The frames that this end has sent: their first bytes, and their payloads as they were meant.
    pub(crate) fn frames(self, mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let masking = if self == Role::Client { Masking::Required } else { Masking::Forbidden };
        let rules = Rules { reserved: Reserved::RSV1, masking };
        let mut frames = Vec::new();
        while let Some(&first) = bytes.first() {
            let (header, size) = Header::parse(bytes, rules).unwrap().unwrap();
            let (key, rest) = bytes[size..].split_at(if header.is_masked() { 4 } else { 0 });
            let (payload, rest) = rest.split_at(usize::try_from(header.len()).unwrap());
            let mut payload = payload.to_vec();
            Mask::new(key.try_into().unwrap_or_default()).apply(&mut payload);
            frames.push((first, payload));
            bytes = rest;
        }
        frames
    }
}

/// The payload of a Close frame.
pub(crate) fn body(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason].concat()
}

/// A Close frame with this code and no reason, as [`Role::frames`] gives it.
pub(crate) fn closing(code: u16) -> (u8, Vec<u8>) {
    (0x88, body(code, b""))
}
