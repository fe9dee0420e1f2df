//! Both roles, so that a test of one is a test of the other.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::must_use_candidate,
    clippy::indexing_slicing,
    reason = "shared by tests that use parts of it"
)]

use sansock::{Config, Connection, Error, Timestamp, Violation};

use crate::common::{Seen, frame, plain, sees};

/// Which end of a connection is under test. What its peer sends is masked or not accordingly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
}

/// What a connection says of its input: the events, and the frames that it answers with, unmasked.
pub type Outcome = (Vec<Seen>, Vec<u8>);

impl Role {
    pub const BOTH: [Role; 2] = [Role::Server, Role::Client];

    pub fn connection(self, config: &Config) -> Connection {
        match self {
            Role::Server => Connection::server(config.clone(), Timestamp::EPOCH),
            Role::Client => Connection::client(config.clone(), [7; 32], Timestamp::EPOCH),
        }
    }

    /// The masking key that the peer uses.
    pub fn key(self) -> Option<[u8; 4]> {
        (self == Role::Server).then_some([0x37, 0xfa, 0x21, 0x3d])
    }

    /// A frame as the peer sends it.
    pub fn frame(self, first: u8, payload: &[u8]) -> Vec<u8> {
        frame(first, self.key(), payload)
    }

    /// Frames as the peer sends them.
    pub fn frames(self, frames: &[(u8, &[u8])]) -> Vec<u8> {
        frames.iter().flat_map(|(first, payload)| self.frame(*first, payload)).collect()
    }

    /// The beginning of a frame as the peer sends it, up to where a key would be: the first byte, and all
    /// bytes of the length.
    pub fn head(self, first: u8, length: &[u8]) -> Vec<u8> {
        let mask = if self == Role::Server { 0x80 } else { 0 };
        let (short, extended) = length.split_first().unwrap();
        [&[first, mask | short], extended].concat()
    }

    /// What comes of these bytes, however they are cut.
    pub fn sees(self, bytes: &[u8], config: &Config) -> Outcome {
        let (seen, sent) = sees(bytes, || self.connection(config));
        (seen, unmasked(&sent))
    }
}

/// What both roles see of these frames, each a first byte and a payload, and what they answer.
pub fn both_see(frames: &[(u8, &[u8])]) -> Outcome {
    both_see_with(frames, &Config::default())
}

pub fn both_see_with(frames: &[(u8, &[u8])], config: &Config) -> Outcome {
    let [server, client] = Role::BOTH.map(|role| role.sees(&role.frames(frames), config));
    assert_eq!(server, client, "the roles differ");
    server
}

/// What both roles see of the beginning of a frame, up to where a key would be.
pub fn both_see_head(first: u8, length: &[u8]) -> Outcome {
    let [server, client] = Role::BOTH.map(|role| role.sees(&role.head(first, length), &Config::default()));
    assert_eq!(server, client, "the roles differ");
    server
}

/// The outcome of a failed connection: its error, and a Close frame with the code of it.
pub fn fails(error: Error) -> Outcome {
    let code = error.close_code().unwrap().get();
    (vec![Seen::Failed(error)], plain(0x88, &code.to_be_bytes()))
}

/// *fail*: 1002.
pub fn violates(violation: Violation) -> Outcome {
    fails(Error::Protocol(violation))
}

/// Nothing yet: more bytes are awaited.
pub fn awaits() -> Outcome {
    (Vec::new(), Vec::new())
}

/// The same frames as a server sends them.
pub fn unmasked(mut frames: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    while let [first, second, rest @ ..] = frames {
        let (len, size) = match second & 0x7f {
            126 => (usize::from(rest[0]) << 8 | usize::from(rest[1]), 2),
            127 => panic!("a frame of 64 KiB or more"),
            short => (usize::from(short), 0),
        };
        plain.extend([*first, second & 0x7f]);
        plain.extend(&rest[..size]);
        let (key, payload) = rest[size..].split_at(if second & 0x80 == 0 { 0 } else { 4 });
        let (payload, behind) = payload.split_at(len);
        plain.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ key.get(i % 4).unwrap_or(&0)));
        frames = behind;
    }
    assert!(frames.is_empty(), "half a frame");
    plain
}
