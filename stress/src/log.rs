//! What was said and what was heard, message by message: kind, length and hash.

use sansock::Event;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Binary,
    Ping,
    Pong,
}

/// One message, or one ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    pub kind: Kind,
    pub len: u64,
    pub hash: u64,
}

impl Digest {
    pub fn new(kind: Kind, payload: &[u8]) -> Self {
        Digest { kind, len: payload.len() as u64, hash: xxh3_64(payload) }
    }
}

/// What an end has sent.
#[derive(Debug, Default)]
pub struct Said {
    /// All that was queued, in order.
    pub all: Vec<Digest>,
    /// So many of them cannot be lost as long as the transport holds.
    pub surely: usize,
}

impl Said {
    pub fn note(&mut self, kind: Kind, payload: &[u8]) {
        self.all.push(Digest::new(kind, payload));
    }
}

/// What has arrived at an end.
#[derive(Default)]
pub struct Heard {
    /// Whole messages and pings, in order. Keepalive pings, which are empty, are left out.
    pub all: Vec<Digest>,
    pub pongs: Vec<Digest>,
    /// How many of `all` are messages.
    pub messages: usize,
    /// The message that arrives in parts.
    open: Option<(Kind, u64, Box<Xxh3>)>,
    /// A part of one message came within another.
    pub is_mixed_up: bool,
}

impl Heard {
    /// Notes an event; true if it completes a message.
    pub fn note(&mut self, event: &Event<'_>) -> bool {
        match event {
            Event::Text(text) => self.part(Kind::Text, text.as_bytes(), text.is_final()),
            Event::Binary(data) => self.part(Kind::Binary, data, data.is_final()),
            Event::Ping(payload) => {
                if !payload.is_empty() {
                    self.all.push(Digest::new(Kind::Ping, payload));
                }
                false
            }
            Event::Pong(payload) => {
                if !payload.is_empty() {
                    self.pongs.push(Digest::new(Kind::Pong, payload));
                }
                false
            }
            _ => false,
        }
    }

    fn part(&mut self, kind: Kind, payload: &[u8], is_final: bool) -> bool {
        if self.open.is_none() && is_final {
            self.whole(Digest::new(kind, payload));
            return true;
        }
        let (open, len, hash) = self.open.get_or_insert_with(|| (kind, 0, Box::default()));
        self.is_mixed_up |= *open != kind;
        hash.update(payload);
        *len += payload.len() as u64;
        if is_final {
            let digest = Digest { kind, len: *len, hash: hash.digest() };
            self.open = None;
            self.whole(digest);
        }
        is_final
    }

    /// Notes a whole message.
    pub fn whole(&mut self, digest: Digest) {
        self.all.push(digest);
        self.messages += 1;
    }
}
