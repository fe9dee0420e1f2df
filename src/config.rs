//! Every limit and deadline, with its number and its reason.

use core::time::Duration;

use crate::close::CloseCode;

/// What a connection allows, and for how long it waits.
///
/// All limits are on by default. Any value is legal: a limit of 0 is a limit, and the largest value
/// of a type is as good as none.
///
/// ```
/// use core::time::Duration;
/// use sansock::{Config, Delivery};
///
/// let mut config = Config::default();
/// assert_eq!(config.max_message, 16 << 20);
/// config.max_message = 64 << 10;
/// config.idle_timeout = Some(Duration::from_secs(600));
/// config.delivery = Delivery::Chunks;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The largest message that may arrive, in bytes of payload, after inflating. Default 16 MiB, which
    /// is above what browsers commonly send at once. Over it: close 1009, judged when a frame's header is
    /// there, and again while inflating.
    ///
    /// With [`Delivery::Chunks`] a message is never held as a whole: set this to `u64::MAX` there if
    /// messages may have any size.
    pub max_message: u64,
    /// The largest frame that may arrive, in bytes of payload as it is sent. Default `None`: the message
    /// limit, and an eighth and 64 KiB more for compressed frames. Over it: close 1009 before the payload.
    pub max_frame: Option<u64>,
    /// Whether data arrives as whole messages (the default) or in parts.
    pub delivery: Delivery,
    /// Whether and how to compress: to offer it as a client, to accept it as a server. Default `None`: no
    /// compression (RFC 7692).
    #[cfg(feature = "deflate")]
    pub deflate: Option<crate::deflate::Deflate>,
    /// How many bytes of output may wait before `feed` waits and a socket that is not split stops reading.
    /// Default 1 MiB: enough to keep a fast network busy. It is a mark, not a limit: no message is refused.
    /// Two peers that are both above their marks, and neither split, wait for each other until the
    /// keepalive ends it.
    pub output_high_water: usize,
    /// How long after the last sign of life a keepalive ping is sent: a byte that was read, or output that
    /// had to wait and was taken. Default 20 s, below the
    /// 30 to 60 s after which proxies and address translators forget a silent connection. `None`
    /// sends none.
    pub ping_interval: Option<Duration>,
    /// How long after a keepalive ping there must be a sign of life. Default 20 s.
    /// Over it: [`Error::TimedOut`](crate::Error::TimedOut).
    pub pong_timeout: Duration,
    /// How long a connection may go without a data message from the peer: what is sent to the peer,
    /// and control frames, do not count. Default `None`: for ever. Over it: the connection is closed
    /// with [`idle_close`](Config::idle_close). If something has arrived by then that was not looked
    /// at, because the application was busy, it gets the time once more.
    pub idle_timeout: Option<Duration>,
    /// The code that closes an idle connection. Default 1000.
    pub idle_close: CloseCode,
    /// How long the opening handshake may take: until the request is there, and then again until a server's
    /// 101 has left (a refusal has 2 s); of a client, all of it, but for the time that the blocking shim takes to
    /// resolve a name. Default 10 s. Over it: the connection is dropped.
    pub handshake_timeout: Duration,
    /// How long the closing handshake may take, the end of the transport included. Default 5 s; a
    /// peer's traffic does not extend it; while a write is stuck, the blocking shim may be some
    /// seconds late, or as much as a write timeout of the application's. Over it: the connection is
    /// dropped.
    pub close_timeout: Duration,
    /// The largest request or response head, in bytes. Default 16 KiB, what common HTTP servers
    /// allow. Over it: 431 from a server, or 414 for a request line of more than 8 KiB; an error in a client.
    pub max_head: usize,
    /// How many headers a request or response may have. Default 100, as in common HTTP servers; at
    /// most 1,000. Over it: 431 from a server, an error in a client.
    pub max_headers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_message: 16 << 20,
            max_frame: None,
            delivery: Delivery::Messages,
            #[cfg(feature = "deflate")]
            deflate: None,
            output_high_water: 1 << 20,
            ping_interval: Some(Duration::from_secs(20)),
            pong_timeout: Duration::from_secs(20),
            idle_timeout: None,
            idle_close: CloseCode::NORMAL,
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            max_head: 16 << 10,
            max_headers: 100,
        }
    }
}

/// How received messages are handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// A message is one event, when all of it is there.
    #[default]
    Messages,
    /// Each part of a message is an event as it arrives, the last one marked by `is_final`; text is
    /// cut between characters. A message of any size passes in bounded memory.
    Chunks,
}
