//! Each library behind the same few functions.

mod raw;
mod sansock;
mod sockudo;
mod yawc;

pub use raw::Raw;
pub use sansock::{Sansock, SansockTokio};
pub use sockudo::{SockudoProtocol, SockudoStream};
pub use yawc::Yawc;

use ::sansock::Utf8Bytes;

/// Messages, and the frames that carry them to a client, as zlib-rs alone makes them.
pub struct Turn {
    /// A clone of one costs a count, also as [`Bytes`](bytes::Bytes).
    pub texts: Vec<Utf8Bytes>,
    pub frames: Vec<u8>,
    /// Where in the frames the payloads are.
    pub payloads: Vec<std::ops::Range<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    Takeover,
    NoTakeover,
}

impl Context {
    /// What a handshake would have agreed upon.
    pub fn agreed(self) -> &'static str {
        match self {
            Context::Takeover => "permessage-deflate",
            Context::NoTakeover => {
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            }
        }
    }
}

pub const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

pub trait Peer {
    fn new(context: Context, level: u8) -> Self;

    /// Begins with a new compressor, and sends all texts as a server. What is to be written goes to
    /// `take`, of each message before the next one is sent.
    fn send(&mut self, turn: &Turn, take: impl FnMut(&[u8]) + Unpin);

    /// Begins with an empty window, and receives all frames as a client.
    fn receive(&mut self, turn: &Turn, take: impl FnMut(&[u8]));
}
