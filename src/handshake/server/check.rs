//! What makes a request a WebSocket request (RFC 6455 §4.2.1).

use alloc::vec::Vec;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::handshake::error::HandshakeError;
use crate::handshake::extension;
use crate::handshake::field::{elements, is_option, is_protocol, names, token};
use crate::handshake::head::{Headers, RequestParts};
use crate::handshake::uri::{Authority, Target};

/// Judges a whole request. What is wrong for HTTP comes before what is wrong for a WebSocket, so that
/// a plain GET fails for the want of an `Upgrade`.
pub(super) fn request(head: &RequestParts) -> Result<Target, HandshakeError> {
    let headers = &head.headers;
    // RFC 6455 §4.2.1: "An HTTP/1.1 or higher GET request". What is higher has no Upgrade (RFC 9113
    // §8.6).
    if head.minor_version != 1 {
        return Err(HandshakeError::HttpVersion);
    }
    if headers.text(head.method) != "GET" {
        return Err(HandshakeError::Method);
    }
    let target = Target::parse(headers, headers.text(head.target)).ok_or(HandshakeError::Target)?;
    host(headers)?;
    origin(headers)?;
    body(headers)?;
    upgrade(headers)?;
    connection(headers)?;
    version(headers)?;
    key(headers)?;
    protocols(headers)?;
    extensions(headers)?;
    Ok(target)
}

fn host(headers: &Headers) -> Result<(), HandshakeError> {
    // RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request
    // message that lacks a Host header field and to any request message that contains more than one
    // Host header field line or a Host header field with an invalid field value."
    let host = headers.exactly_one("host", HandshakeError::Host)?;
    let host = core::str::from_utf8(host).map_err(|_| HandshakeError::Host)?;
    Authority::parse(host).map(drop).map_err(|_| HandshakeError::Host)
}

fn origin(headers: &Headers) -> Result<(), HandshakeError> {
    // RFC 6454 §7.3: "the user agent MUST NOT include more than one Origin header field". With two, the
    // application might judge another one than a proxy did.
    match headers.at_most_one("origin", HandshakeError::Origin)? {
        Some(origin) if !origin.iter().all(|byte| matches!(byte, b' '..=b'~')) => Err(HandshakeError::Origin),
        _ => Ok(()),
    }
}

fn body(headers: &Headers) -> Result<(), HandshakeError> {
    // A body is what the other party takes the first frames for: the ground of smuggling. RFC 9110
    // §9.3.1: "content received in a GET request has no generally defined semantics [...] and might lead
    // some implementations to reject the request".
    if headers.first("transfer-encoding").is_some() {
        return Err(HandshakeError::Body);
    }
    match headers.at_most_one("content-length", HandshakeError::Body)? {
        None | Some(b"0") => Ok(()),
        Some(_) => Err(HandshakeError::Body),
    }
}

fn upgrade(headers: &Headers) -> Result<(), HandshakeError> {
    // RFC 6455 §4.2.1: "An |Upgrade| header field containing the value "websocket", treated as an ASCII
    // case-insensitive value."
    match headers.at_most_one("upgrade", HandshakeError::Upgrade)? {
        None => Err(HandshakeError::UpgradeMissing),
        Some(value) if names([value].into_iter(), is_protocol, "websocket") => Ok(()),
        Some(_) => Err(HandshakeError::Upgrade),
    }
}

fn connection(headers: &Headers) -> Result<(), HandshakeError> {
    // RFC 6455 §4.2.1: "A |Connection| header field that includes the token "Upgrade", treated as an
    // ASCII case-insensitive value."
    if names(headers.all("connection"), is_option, "upgrade") {
        Ok(())
    } else {
        Err(HandshakeError::Connection)
    }
}

fn version(headers: &Headers) -> Result<(), HandshakeError> {
    // RFC 6455 §4.2.1: "A |Sec-WebSocket-Version| header field, with a value of 13."
    match headers.exactly_one("sec-websocket-version", HandshakeError::WebSocketVersion)? {
        b"13" => Ok(()),
        _ => Err(HandshakeError::WebSocketVersion),
    }
}

fn key(headers: &Headers) -> Result<(), HandshakeError> {
    // RFC 6455 §4.2.1: "A |Sec-WebSocket-Key| header field with a base64-encoded (see Section 4 of
    // [RFC4648]) value that, when decoded, is 16 bytes in length."
    let key = headers.exactly_one("sec-websocket-key", HandshakeError::Key)?;
    let mut nonce = [0; 18];
    match STANDARD.decode_slice(key, &mut nonce) {
        Ok(16) => Ok(()),
        _ => Err(HandshakeError::Key),
    }
}

fn protocols(headers: &Headers) -> Result<(), HandshakeError> {
    // RFC 6455 §4.1: "The elements that comprise this value MUST be non-empty strings [...] and MUST all
    // be unique strings."
    let mut offered = headers
        .all("sec-websocket-protocol")
        .flat_map(elements)
        .map(token)
        .collect::<Option<Vec<_>>>()
        .ok_or(HandshakeError::Protocol)?;
    offered.sort_unstable();
    if offered.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(HandshakeError::Protocol);
    }
    Ok(())
}

fn extensions(headers: &Headers) -> Result<(), HandshakeError> {
    // RFC 6455 §9.1: "If a value is received [...] that does not conform to the ABNF below, the recipient
    // of such malformed data MUST immediately _Fail the WebSocket Connection_."
    const NAME: &str = "sec-websocket-extensions";
    if headers.first(NAME).is_none() || extension::is_list(headers.all(NAME)) {
        return Ok(());
    }
    Err(HandshakeError::Extensions)
}
