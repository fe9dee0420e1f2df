//! Why a handshake failed, and what the application may not put into one.

use core::fmt;

/// Why an opening handshake failed.
///
/// The first error of a handshake is its only one. The text names the rule and never contains bytes
/// of the peer.
///
/// ```
/// use sansock::handshake::HandshakeError;
///
/// assert_eq!(HandshakeError::Method.status(), Some(405));
/// assert_eq!(HandshakeError::Accept.status(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeError {
    // Of either end.
    /// The head is not HTTP/1.1: a line that does not end in exactly CR LF, a control character, a
    /// folded line, white space before a colon, or another breach of the grammar (RFC 9112 §2 to §5).
    Malformed,
    /// The head is larger than [`Config::max_head`](crate::Config::max_head).
    HeadTooLarge,
    /// The head has more fields than [`Config::max_headers`](crate::Config::max_headers).
    TooManyHeaders,
    /// The handshake took longer than [`Config::handshake_timeout`](crate::Config::handshake_timeout).
    TimedOut,
    /// The transport ended before the head did.
    UnexpectedEof,

    // Of a client, found by a server.
    /// The request line is longer than 8 KiB (RFC 9112 §3).
    UriTooLong,
    /// The method is not GET (RFC 6455 §4.2.1).
    Method,
    /// The request is not of HTTP/1.1 (RFC 6455 §4.2.1).
    HttpVersion,
    /// The request target is neither a path nor an absolute URI, or has a fragment or characters that
    /// no URI has (RFC 6455 §4.2.1).
    Target,
    /// `Host` is missing, repeated, empty or not an authority (RFC 6455 §4.2.1).
    Host,
    /// `Origin` is repeated or not of printable ASCII characters (RFC 6454 §7).
    Origin,
    /// The request has a body: a `Transfer-Encoding`, or a `Content-Length` other than 0.
    Body,
    /// There is no `Upgrade`: a plain HTTP request (RFC 6455 §4.2.1).
    UpgradeMissing,
    /// `Upgrade` does not name `websocket`, or is repeated (RFC 6455 §4.2.1).
    Upgrade,
    /// `Connection` does not name `Upgrade` (RFC 6455 §4.2.1).
    Connection,
    /// `Sec-WebSocket-Version` is missing, repeated or not 13 (RFC 6455 §4.4).
    WebSocketVersion,
    /// `Sec-WebSocket-Key` is missing, repeated or not 16 bytes in base64 (RFC 6455 §4.2.1).
    Key,
    /// `Sec-WebSocket-Protocol` is not a list of different tokens (RFC 6455 §4.1).
    Protocol,
    /// `Sec-WebSocket-Extensions` is not a list of extensions (RFC 6455 §9.1).
    Extensions,

    // Of a server, found by a client.
    /// The response is not of HTTP/1.1.
    ResponseVersion,
    /// The `Upgrade` of the 101 is missing, repeated or not `websocket` (RFC 6455 §4.1).
    ResponseUpgrade,
    /// The `Connection` of the 101 does not name `Upgrade` (RFC 6455 §4.1).
    ResponseConnection,
    /// `Sec-WebSocket-Accept` is missing, repeated or does not answer the key (RFC 6455 §4.1).
    Accept,
    /// The server chose a subprotocol that was not offered, or several (RFC 6455 §4.1).
    ProtocolNotOffered,
    /// The server chose an extension that was not offered (RFC 6455 §4.1).
    ExtensionNotOffered,
    /// The server's `Sec-WebSocket-Extensions` is not a list of extensions (RFC 6455 §9.1).
    ResponseExtensions,
    /// The server's answer to the offer of permessage-deflate is malformed or goes beyond the offer (RFC
    /// 7692 §7).
    #[cfg(feature = "deflate")]
    Deflate(crate::deflate::InvalidParam),
}

impl HandshakeError {
    /// The HTTP status that a server answers with. `None` if there is nobody to answer, or if it is a
    /// client's error.
    #[must_use]
    pub const fn status(self) -> Option<u16> {
        match self {
            HandshakeError::Malformed
            | HandshakeError::Target
            | HandshakeError::Host
            | HandshakeError::Origin
            | HandshakeError::Body
            | HandshakeError::Upgrade
            | HandshakeError::Connection
            | HandshakeError::Key
            | HandshakeError::Protocol
            | HandshakeError::Extensions => Some(400),
            HandshakeError::Method => Some(405),
            HandshakeError::TimedOut => Some(408),
            HandshakeError::UriTooLong => Some(414),
            HandshakeError::UpgradeMissing | HandshakeError::WebSocketVersion => Some(426),
            HandshakeError::HeadTooLarge | HandshakeError::TooManyHeaders => Some(431),
            HandshakeError::HttpVersion => Some(505),
            HandshakeError::UnexpectedEof
            | HandshakeError::ResponseVersion
            | HandshakeError::ResponseUpgrade
            | HandshakeError::ResponseConnection
            | HandshakeError::Accept
            | HandshakeError::ProtocolNotOffered
            | HandshakeError::ExtensionNotOffered
            | HandshakeError::ResponseExtensions => None,
            #[cfg(feature = "deflate")]
            HandshakeError::Deflate(_) => None,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HandshakeError::Malformed => "malformed HTTP/1.1 head (RFC 9112 sections 2 to 5)",
            HandshakeError::HeadTooLarge => "head above the limit (RFC 6585 section 5)",
            HandshakeError::TooManyHeaders => "more header fields than allowed (RFC 6585 section 5)",
            HandshakeError::TimedOut => "the opening handshake took too long (RFC 9110 section 15.5.9)",
            HandshakeError::UnexpectedEof => {
                "the transport ended in the opening handshake (RFC 9112 section 8)"
            }
            HandshakeError::UriTooLong => "request line above 8 KiB (RFC 9112 section 3)",
            HandshakeError::Method => "the method is not GET (RFC 6455 section 4.2.1)",
            HandshakeError::HttpVersion => "the request is not HTTP/1.1 (RFC 6455 section 4.2.1)",
            HandshakeError::Target => "illegal request target (RFC 6455 section 4.2.1)",
            HandshakeError::Host => "Host is not one authority (RFC 6455 section 4.2.1)",
            HandshakeError::Origin => "Origin is not one line of printable characters (RFC 6454 section 7)",
            HandshakeError::Body => "a WebSocket request has no body (RFC 9110 section 9.3.1)",
            HandshakeError::UpgradeMissing => "this is a WebSocket endpoint (RFC 6455 section 4.2.1)",
            HandshakeError::Upgrade => "Upgrade does not name websocket (RFC 6455 section 4.2.1)",
            HandshakeError::Connection => "Connection does not name Upgrade (RFC 6455 section 4.2.1)",
            HandshakeError::WebSocketVersion => "Sec-WebSocket-Version is not 13 (RFC 6455 section 4.4)",
            HandshakeError::Key => "Sec-WebSocket-Key is not 16 bytes in base64 (RFC 6455 section 4.2.1)",
            HandshakeError::Protocol => "Sec-WebSocket-Protocol is malformed (RFC 6455 section 4.1)",
            HandshakeError::Extensions => "Sec-WebSocket-Extensions is malformed (RFC 6455 section 9.1)",
            HandshakeError::ResponseVersion => "the response is not HTTP/1.1 (RFC 9112 section 2.3)",
            HandshakeError::ResponseUpgrade => "the server's Upgrade is not websocket (RFC 6455 section 4.1)",
            HandshakeError::ResponseConnection => {
                "the server's Connection does not name Upgrade (RFC 6455 section 4.1)"
            }
            HandshakeError::Accept => "Sec-WebSocket-Accept does not answer the key (RFC 6455 section 4.1)",
            HandshakeError::ProtocolNotOffered => {
                "the server chose a subprotocol that was not offered (RFC 6455 section 4.1)"
            }
            HandshakeError::ExtensionNotOffered => {
                "the server chose an extension that was not offered (RFC 6455 section 4.1)"
            }
            HandshakeError::ResponseExtensions => {
                "the server's Sec-WebSocket-Extensions is malformed (RFC 6455 section 9.1)"
            }
            #[cfg(feature = "deflate")]
            HandshakeError::Deflate(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for HandshakeError {}

/// A header field that cannot be put into a request or response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidHeader {
    /// The name is not a token (RFC 9110 §5.1).
    Name,
    /// The value has a control character, such as CR, LF or NUL (RFC 9110 §5.5).
    Value,
    /// The field belongs to the handshake, which writes it.
    Managed,
    /// The subprotocol is not a token, or was given before (RFC 6455 §4.1).
    Protocol,
}

impl fmt::Display for InvalidHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InvalidHeader::Name => "header name that is not a token (RFC 9110 section 5.1)",
            InvalidHeader::Value => "header value with a control character (RFC 9110 section 5.5)",
            InvalidHeader::Managed => "header that the handshake writes itself (RFC 6455 section 4)",
            InvalidHeader::Protocol => "subprotocol that is no token, or repeated (RFC 6455 section 4.1)",
        })
    }
}

impl core::error::Error for InvalidHeader {}

/// A status that cannot end a handshake: not within 200 to 999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct InvalidStatus;

impl fmt::Display for InvalidStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("status of no final response (RFC 9110 section 15)")
    }
}

impl core::error::Error for InvalidStatus {}
