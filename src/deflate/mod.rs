//! permessage-deflate (RFC 7692).
//!
//! [`Config::deflate`](crate::Config::deflate) turns it on; the handshakes negotiate it then, and the
//! connection compresses what it sends and inflates what it receives. Nothing else changes: messages,
//! fragments, chunks and limits mean what they mean without it.
//!
//! ```
//! use bytes::{Buf, BufMut};
//! use sansock::deflate::Deflate;
//! use sansock::handshake::client::{self, ClientRequest, Outcome};
//! use sansock::handshake::server::{self, Accept};
//! use sansock::{Config, Event, Timestamp};
//!
//! let now = Timestamp::EPOCH;
//! let mut config = Config::default();
//! config.deflate = Some(Deflate::default());
//! let request = ClientRequest::new("ws://example.com/")?;
//! let mut client = client::Handshake::new(request, config.clone(), [7; 32], now);
//! let mut server = server::Handshake::new(config, now);
//! server.input().put_slice(client.output().chunk());
//! let mut server = server.poll()?.expect("a request").accept(Accept::new(), now)?;
//! client.input().put(server.output());
//! let Some(Outcome::Established(client)) = client.poll()? else { panic!("refused") };
//! let mut client = client.into_connection(now);
//!
//! let text = "the same words again, ".repeat(100);
//! server.text(&text)?;
//! assert!(server.buffered() < 100);
//! client.input().put(server.output());
//! client.handle_input(now);
//! assert!(matches!(client.poll_event()?, Some(Event::Text(received)) if *received == *text));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Secrets
//!
//! How well a message compresses tells what it has in common with what was sent before, and the length
//! of a frame is visible through TLS (RFC 7692 §8). Where an attacker can put text next to a secret, send
//! the secret [`uncompressed`](crate::Connection::uncompressed), or all of it. To do without context
//! takeover is no substitute: what zlib makes of a message depends on traces of earlier ones all the same.
//! Connections learn nothing of each other, though they share a pool.

mod codec;
mod deflating;
mod history;
mod inflating;
mod negotiation;
mod pool;

use core::fmt;
use core::num::NonZeroU8;

pub(crate) use deflating::{Deflating, Part};
pub(crate) use inflating::Inflating;
pub(crate) use negotiation::Direction;
pub use negotiation::{Agreed, InvalidParam, NAME, Offer, accept, agree};
pub use pool::Pool;

/// permessage-deflate as one endpoint wants it, for its own direction and for the peer's.
///
/// Any value is legal. Between messages a connection keeps what the windows hold, no more than was sent
/// and received: with the defaults up to 32 KiB for each direction, none where context takeover is off.
/// Codecs are borrowed from the [`pool`](Self::pool), for one message; where context takeover is off, a
/// message that is sent in fragments keeps its compressor until the last one.
///
/// ```
/// use sansock::deflate::{Deflate, WindowBits};
///
/// let mut deflate = Deflate::default();
/// assert_eq!((deflate.send_window, deflate.send_takeover), (WindowBits::MAX, true));
/// deflate.receive_takeover = false;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deflate {
    /// How much time to spend on compressing: 0 for none, 9 for the most. Default 2: by
    /// `cargo bench --bench deflate -- level` it takes a quarter to three quarters of the time of zlib's usual 6, for
    /// messages that are longer by a quarter to two fifths; 1 takes a tenth to a half of the time of 2, but makes what
    /// does not shrink longer by up to an eighth. More counts as 9.
    pub level: u8,
    /// How much memory a compressor has besides its window, 1 to 9. Default 8, as in zlib. What is beyond
    /// counts as the nearest.
    pub memory_level: u8,
    /// From which length on, in bytes, a message is compressed. Default 64: shorter ones hardly shrink.
    /// Messages that are sent in fragments are compressed whatever their length.
    pub threshold: usize,
    /// The largest window to compress with. Default 15, which is 32 KiB. 8 counts as 9: zlib has no
    /// compressor for 8.
    pub send_window: WindowBits,
    /// The largest window to let the peer compress with. Default 15. It limits what is kept between messages;
    /// a peer that refers further back within one message, up to 32 KiB, is not refused.
    pub receive_window: WindowBits,
    /// Whether messages are compressed with what went before in view. Default true: it shrinks similar
    /// messages several times more.
    pub send_takeover: bool,
    /// Whether the peer may do the same. Default true.
    pub receive_takeover: bool,
    /// Whether a client that sets limits to the server would rather have compression without them than
    /// none. Default false.
    pub fallback: bool,
    /// Where codecs come from. Default `None`: the shims have one pool for the process; a [`Connection`]
    /// without a shim has one of its own, which is empty whenever it rests.
    ///
    /// [`Connection`]: crate::Connection
    pub pool: Option<Pool>,
}

impl Deflate {
    /// For many connections that each say little: windows of 4 KiB, and small compressors.
    ///
    /// A connection at rest keeps at most 8 KiB and some 600 bytes on top of what it has without
    /// compression. A compressor takes 162 KiB, with up to 64 KiB for what comes out of it, and a decoder
    /// 47 KiB. The pool keeps as many as its capacity says: with the usual 16 at most 4.3 MiB in all.
    ///
    /// ```
    /// use sansock::Config;
    /// use sansock::deflate::Deflate;
    ///
    /// let mut config = Config::default();
    /// config.deflate = Some(Deflate::for_many_connections());
    /// ```
    #[must_use]
    pub fn for_many_connections() -> Self {
        let window = WindowBits(NonZeroU8::MIN.saturating_add(11));
        Deflate { memory_level: 5, send_window: window, receive_window: window, ..Deflate::default() }
    }

    /// The window to compress with.
    pub(crate) fn compressor_window(&self) -> WindowBits {
        self.send_window.max(WindowBits::LEAST_OF_ZLIB)
    }
}

impl Default for Deflate {
    fn default() -> Self {
        Deflate {
            level: 2,
            memory_level: 8,
            threshold: 64,
            send_window: WindowBits::MAX,
            receive_window: WindowBits::MAX,
            send_takeover: true,
            receive_takeover: true,
            fallback: false,
            pool: None,
        }
    }
}

/// The size of an LZ77 window: the base-2 logarithm of its bytes, 8 to 15 (RFC 7692 §7.1.2).
///
/// ```
/// use sansock::deflate::WindowBits;
///
/// let window = WindowBits::new(12).expect("between 8 and 15");
/// assert_eq!((window.get(), window.size()), (12, 4096));
/// assert_eq!(WindowBits::new(16), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowBits(NonZeroU8);

impl WindowBits {
    /// 256 bytes.
    pub const MIN: WindowBits = WindowBits(NonZeroU8::MIN.saturating_add(7));
    /// 32 KiB.
    pub const MAX: WindowBits = WindowBits(NonZeroU8::MIN.saturating_add(14));
    const LEAST_OF_ZLIB: WindowBits = WindowBits(NonZeroU8::MIN.saturating_add(8));

    /// A window of 2 to the power of `bits` bytes; `None` unless `bits` is 8 to 15.
    #[must_use]
    pub const fn new(bits: u8) -> Option<Self> {
        match NonZeroU8::new(bits) {
            Some(bits) if bits.get() >= Self::MIN.get() && bits.get() <= Self::MAX.get() => {
                Some(WindowBits(bits))
            }
            _ => None,
        }
    }

    /// The logarithm, 8 to 15.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// The size in bytes, 256 to 32,768.
    #[must_use]
    pub const fn size(self) -> usize {
        1 << self.0.get()
    }

    /// `None` for the largest, which needs no mention.
    fn limits(self) -> Option<Self> {
        (self < Self::MAX).then_some(self)
    }
}

impl fmt::Display for WindowBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
