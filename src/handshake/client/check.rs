//! What makes a response accept a WebSocket request (RFC 6455 §4.1).

use alloc::string::String;

use crate::handshake::error::HandshakeError;
use crate::handshake::field::{elements, is_option, names};
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
    if names(headers.all("connection"), is_option, "upgrade") {
        Ok(())
    } else {
        Err(HandshakeError::ResponseConnection)
    }
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

/// How long the body of a refusal is, if the response says so.
///
/// Fails if it says two lengths, or what is none.
pub(super) fn body_length(head: &ResponseParts) -> Result<Option<usize>, HandshakeError> {
    // RFC 9112 §6.3: "any response with a 1xx (Informational), 204 (No Content), or 304 (Not Modified)
    // status code is always terminated by the first empty line after the header fields, regardless of the
    // header fields present in the message".
    if matches!(head.status, 204 | 304) {
        return Ok(Some(0));
    }
    // RFC 9112 §6.3: "If a message is received with both a Transfer-Encoding and a Content-Length header
    // field, the Transfer-Encoding overrides the Content-Length."
    if head.headers.first("transfer-encoding").is_some() {
        return Ok(None);
    }
    let mut length = None;
    for element in head.headers.all("content-length").flat_map(elements) {
        // RFC 9112 §6.3: "If a message is received without Transfer-Encoding and with an invalid
        // Content-Length header field, then the message framing is invalid and the recipient MUST treat it
        // as an unrecoverable error, unless the field value can be successfully parsed as a comma-separated
        // list [...], all values in the list are valid, and all values in the list are the same".
        let value = decimal(element).ok_or(HandshakeError::Malformed)?;
        if length.is_some_and(|other| other != value) {
            return Err(HandshakeError::Malformed);
        }
        length = Some(value);
    }
    Ok(length)
}

/// The number, or the largest if it is larger than that.
fn decimal(digits: &[u8]) -> Option<usize> {
    // RFC 9110 §8.6: "Content-Length = 1*DIGIT [...] a recipient MUST anticipate potentially large decimal
    // numerals and prevent parsing errors due to integer conversion overflows".
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(core::str::from_utf8(digits).ok()?.parse().unwrap_or(usize::MAX))
}
