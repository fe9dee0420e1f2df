//! What makes a response accept a WebSocket request (RFC 6455 §4.1).

use alloc::string::String;

use crate::handshake::error::HandshakeError;
use crate::handshake::field::names;
use crate::handshake::head::{Headers, ResponseParts};

/// Judges a 101: the subprotocol, if the server chose one. The extensions are left to
/// [`Negotiated::agree`](crate::handshake::negotiated::Negotiated::agree).
pub(super) fn response<'a>(
    head: &ResponseParts,
    accept: &str,
    offered: &'a [String],
) -> Result<Option<&'a str>, HandshakeError> {
    // RFC 9110 §15.2: "a server MUST NOT send a 1xx response to an HTTP/1.0 client", so an HTTP/1.0
    // server has none.
    if head.minor_version != 1 {
        return Err(HandshakeError::ResponseVersion);
    }
    upgrade(&head.headers)?;
    connection(&head.headers)?;
    accepted(&head.headers, accept)?;
    protocol(&head.headers, offered)
}

fn upgrade(headers: &Headers) -> Result<(), HandshakeError> {
    // RFC 6455 §4.1: "If the response lacks an |Upgrade| header field or the |Upgrade| header field
    // contains a value that is not an ASCII case-insensitive match for the value "websocket", the client
    // MUST _Fail the WebSocket Connection_."
    let upgrade = headers.exactly_one("upgrade", HandshakeError::ResponseUpgrade)?;
    if upgrade.eq_ignore_ascii_case(b"websocket") { Ok(()) } else { Err(HandshakeError::ResponseUpgrade) }
}

fn connection(headers: &Headers) -> Result<(), HandshakeError> {
    // RFC 6455 §4.1: "If the response lacks a |Connection| header field or the |Connection| header field
    // doesn't contain a token that is an ASCII case-insensitive match for the value "Upgrade", the
    // client MUST _Fail the WebSocket Connection_."
    if names(headers.all("connection"), "upgrade") { Ok(()) } else { Err(HandshakeError::ResponseConnection) }
}

fn accepted(headers: &Headers, accept: &str) -> Result<(), HandshakeError> {
    // RFC 6455 §4.1: "If [...] the |Sec-WebSocket-Accept| contains a value other than the base64-encoded
    // SHA-1 of the concatenation [...] but ignoring any leading and trailing whitespace, the client MUST
    // _Fail the WebSocket Connection_." §11.3.3: it "MUST NOT appear more than once".
    let value = headers.exactly_one("sec-websocket-accept", HandshakeError::Accept)?;
    if value == accept.as_bytes() { Ok(()) } else { Err(HandshakeError::Accept) }
}

fn protocol<'a>(headers: &Headers, offered: &'a [String]) -> Result<Option<&'a str>, HandshakeError> {
    // RFC 6455 §4.1: "if [...] this header field indicates the use of a subprotocol that was not present
    // in the client's handshake [...], the client MUST _Fail the WebSocket Connection_." §11.3.4: it
    // "MUST NOT appear more than once in an HTTP response."
    const ERROR: HandshakeError = HandshakeError::ProtocolNotOffered;
    match headers.at_most_one("sec-websocket-protocol", ERROR)? {
        None => Ok(None),
        Some(chosen) => {
            offered.iter().find(|name| name.as_bytes() == chosen).map(|name| Some(name.as_str())).ok_or(ERROR)
        }
    }
}

/// How long the body of a refusal says it is, if it says so.
pub(super) fn content_length(head: &ResponseParts) -> Option<usize> {
    // RFC 9112 §6.3: "If a message is received with both a Transfer-Encoding and a Content-Length header
    // field, the Transfer-Encoding overrides the Content-Length."
    if head.headers.first("transfer-encoding").is_some() {
        return None;
    }
    // RFC 9110 §8.6: "Content-Length = 1*DIGIT"; a number to Rust may have a sign.
    let length = core::str::from_utf8(head.headers.first("content-length")?).ok()?;
    if length.starts_with('+') { None } else { length.parse().ok() }
}
