//! What became of a client's request.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use rand::rngs::StdRng;

use crate::config::Config;
use crate::connection::Connection;
use crate::handshake::head::{Headers, ResponseParts};
use crate::handshake::intake::Leftover;
use crate::handshake::negotiated::Negotiated;
use crate::time::Timestamp;

/// The end of a client's handshake. RFC 6455 §4.1 closes the set: 101 or another status.
#[derive(Debug)]
#[must_use = "a response is the application's to judge"]
pub enum Outcome {
    /// The server accepted.
    Established(Established),
    /// The server answered with another status than 101, such as a redirect or a 401.
    Refused(Refused),
}

/// A server's 101, which obeys RFC 6455 §4.1.
#[must_use = "into_connection gives the connection"]
pub struct Established {
    head: ResponseParts,
    agreement: Agreement,
    config: Box<Config>,
    keys: Box<StdRng>,
    leftover: Leftover,
}

/// What the server has chosen of what was offered.
#[derive(Debug)]
pub(super) struct Agreement {
    pub(super) protocol: Option<String>,
    pub(super) negotiated: Negotiated,
}

impl Established {
    pub(super) fn new(
        head: ResponseParts,
        agreement: Agreement,
        config: Box<Config>,
        keys: Box<StdRng>,
        leftover: Leftover,
    ) -> Self {
        Established { head, agreement, config, keys, leftover }
    }

    /// The subprotocol that the server chose, which is one of those that were offered. `None` if it
    /// speaks none of them.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.agreement.protocol.as_deref()
    }

    /// The parameters of permessage-deflate, if the server has accepted it (RFC 7692 §7.1).
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(&self) -> Option<crate::deflate::Agreed> {
        self.agreement.negotiated.deflate()
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.head.headers
    }

    /// The value of the first header field of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.headers.first(name)
    }

    /// The connection. Its input has what came behind the response.
    #[must_use]
    pub fn into_connection(self, now: Timestamp) -> Connection {
        let connection = Connection::with_rng(*self.config, *self.keys, now);
        let mut connection = self.agreement.negotiated.apply(connection);
        self.leftover.deliver(&mut connection, now);
        connection
    }
}

impl fmt::Debug for Established {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Established");
        debug.field("protocol", &self.protocol()).field("headers", self.headers()).finish_non_exhaustive()
    }
}

/// A server's final response that is not a 101.
#[derive(Clone)]
pub struct Refused {
    head: ResponseParts,
    body: Vec<u8>,
}

impl Refused {
    pub(super) fn new(head: ResponseParts, body: Vec<u8>) -> Self {
        Refused { head, body }
    }

    /// The status, from 200 to 999.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The words behind the status; empty if they are not ASCII.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.head.headers.text(self.head.reason)
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.head.headers
    }

    /// The value of the first header field of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.headers.first(name)
    }

    /// The body: as much as its `Content-Length` says, or what had come with the head if it says nothing,
    /// in the transfer coding in which it came. It is cut at [`Config::max_head`], and shorter where the
    /// transport or the time ended.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Refused");
        debug.field("status", &self.status()).field("headers", self.headers()).finish_non_exhaustive()
    }
}
