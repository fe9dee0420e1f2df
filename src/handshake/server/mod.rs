//! The server's end of the opening handshake (RFC 6455 §4.2).

mod check;
mod rejection;
mod request;

use bytes::BufMut;
use core::fmt;

use super::head::RequestParts;
use super::intake::Intake;
use crate::config::Config;
use crate::time::Timestamp;

pub use rejection::{Rejection, RequestHead};
pub use request::{Accept, AcceptError, Request};

/// The longest request line, in bytes without its end.
///
/// RFC 9112 §3: "It is RECOMMENDED that all HTTP senders and recipients support, at a minimum,
/// request-line lengths of 8000 octets."
const MAX_REQUEST_LINE: usize = 8 << 10;

/// Waits for a client's request.
///
/// Append received bytes to [`input`](Self::input) and [`poll`](Self::poll) after each read, until there
/// is a [`Request`] or a [`Rejection`]. Limits are those of [`Config`], and 8 KiB for the request line.
///
/// ```
/// use bytes::{Buf, BufMut};
/// use sansock::handshake::server::{Accept, Handshake};
/// use sansock::{Config, Timestamp};
///
/// let now = Timestamp::EPOCH;
/// let mut handshake = Handshake::new(Config::default(), now);
/// handshake.input().put_slice(b"GET /chat HTTP/1.1\r\nHost: example.com\r\n");
/// assert!(handshake.poll()?.is_none());
///
/// handshake.input().put_slice(
///     b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
///       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\r\n",
/// );
/// let request = handshake.poll()?.expect("now it is complete");
/// assert_eq!(request.origin(), Some("http://example.com"));
/// let mut connection = request.accept(Accept::new(), now)?;
/// assert!(connection.output().chunk().starts_with(b"HTTP/1.1 101 "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Handshake {
    config: Config,
    intake: Intake,
    /// The request begins as a HEAD does, whatever else may be wrong with it.
    is_head: bool,
}

impl Handshake {
    /// Begins to wait; [`Config::handshake_timeout`] counts from now on. The configuration is that of
    /// the connection too.
    #[must_use]
    pub fn new(config: Config, now: Timestamp) -> Self {
        let intake = Intake::new(&config, MAX_REQUEST_LINE, now);
        Handshake { config, intake, is_head: false }
    }

    /// The buffer to append received bytes to. From [`poll`](Self::poll) giving the request on nothing here is
    /// looked at any more: what is received then belongs into the connection's input, once it is accepted.
    pub fn input(&mut self) -> impl BufMut {
        self.intake.input()
    }

    #[cfg(feature = "std")]
    pub(crate) fn buffer(&mut self) -> &mut alloc::vec::Vec<u8> {
        self.intake.input()
    }

    /// The request, once all of its head is there; `None` if more input is needed. It is handed out
    /// once: from then on there is `None`.
    ///
    /// Fails as soon as the bytes cannot become a WebSocket request within the limits, and then for
    /// ever. The first rejection has the head, if there is one.
    pub fn poll(&mut self) -> Result<Option<Request>, Rejection> {
        // No more is looked at than the limit allows: what is beyond may be there or not, as the bytes are cut.
        let allowed = self.intake.pending().iter().take(self.config.max_head);
        self.is_head |= allowed.take(5).eq(b"HEAD ");
        let rejection = |error, head| Rejection::new(error, head, self.is_head);
        let Some(raw) = self.intake.poll().map_err(|error| rejection(error, None))? else { return Ok(None) };
        let head = RequestParts::parse(raw).map_err(|error| rejection(self.intake.fail(error), None))?;
        match check::request(&head) {
            Ok(target) => Ok(Some(Request::new(head, target, self.config.clone(), self.intake.finish()))),
            Err(error) => Err(rejection(self.intake.fail(error), Some(RequestHead(head)))),
        }
    }

    /// Says that the transport has ended: nothing more will be received.
    pub fn handle_eof(&mut self) {
        self.intake.handle_eof();
    }

    /// Says what time it is. Needed when [`poll_timeout`](Self::poll_timeout) is reached; harmless at
    /// any other time.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.intake.handle_timeout(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` once the handshake is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.intake.poll_timeout()
    }
}

/// Shows nothing of the bytes, which may be secrets.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("config", &self.config).finish_non_exhaustive()
    }
}
