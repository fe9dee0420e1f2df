//! The answer to a request that does not become a WebSocket connection.

use alloc::format;
use alloc::string::ToString;
use core::fmt;

use bytes::Bytes;

use super::error::{HandshakeError, InvalidHeader, InvalidStatus};
use super::field::Lines;
use crate::output::Output;

/// An HTTP response that ends the handshake and the connection.
///
/// It carries `Connection: close` and the right `Content-Length` by itself.
///
/// ```
/// use bytes::Buf;
/// use sansock::handshake::Response;
///
/// let response = Response::new(401)?.header("WWW-Authenticate", "Basic")?.body("who are you?");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "a response is sent by Request::reject or Rejection::respond"]
pub struct Response {
    status: u16,
    lines: Lines,
    has_upgrade: bool,
    body: Bytes,
}

impl Response {
    /// A response without further headers or body.
    ///
    /// Fails unless the status is within 200 to 999: a 101 is what `Request::accept` sends, and the
    /// others below 200 end nothing (RFC 9110 §15.2).
    pub fn new(status: u16) -> Result<Self, InvalidStatus> {
        match status {
            200..=999 => Ok(Response::with_status(status)),
            _ => Err(InvalidStatus),
        }
    }

    /// Adds a header.
    ///
    /// Fails if the name is not a token, if the value has control characters, such as line ends, or if
    /// it is one of those that are written anyway: `Connection`, `Content-Length` and
    /// `Transfer-Encoding`.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidHeader> {
        self.lines.add(name, value, &[])?;
        self.has_upgrade |= name.eq_ignore_ascii_case("upgrade");
        Ok(self)
    }

    /// Sets the body; set its `Content-Type` as a header. Statuses 204, 205 and 304 have none, so there
    /// it is not sent (RFC 9110 §6.4.1).
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    fn with_status(status: u16) -> Self {
        Response { status, lines: Lines::default(), has_upgrade: false, body: Bytes::new() }
    }

    /// What this crate answers to a request that is wrong, if there is an answer.
    pub(super) fn for_error(error: HandshakeError) -> Option<Self> {
        let mut response = Response::with_status(error.status()?);
        match response.status {
            // RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405
            // response".
            405 => response.lines.push("Allow", "GET"),
            // RFC 6455 §4.4: "it MUST respond with a |Sec-WebSocket-Version| header field [...]
            // containing all versions it is willing to use." RFC 9110 §15.5.22: "The server MUST send
            // an Upgrade header field in a 426 response".
            426 => {
                response.lines.push("Upgrade", "websocket");
                response.lines.push("Sec-WebSocket-Version", "13");
                response.has_upgrade = true;
            }
            _ => {}
        }
        // RFC 9110 §15.1 lets caches keep some of these, such as a 414; what one client did wrong is no answer to
        // others.
        response.lines.push("Cache-Control", "no-store");
        response.lines.push("Content-Type", "text/plain");
        Some(response.body(format!("{error}\n")))
    }

    /// The response to a request, without content if that is a HEAD.
    pub(super) fn into_output(self, is_head: bool) -> Output {
        let is_empty = matches!(self.status, 204 | 205 | 304);
        let mut head = Lines::default();
        // RFC 9110 §7.8: "A sender of Upgrade MUST also send an "Upgrade" connection option".
        head.push("Connection", if self.has_upgrade { "close, Upgrade" } else { "close" });
        if !is_empty {
            head.push("Content-Length", &self.body.len().to_string());
        }
        let start = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let mut output =
            Output::from([start.as_bytes(), head.as_bytes(), self.lines.as_bytes(), b"\r\n"].concat());
        // RFC 9110 §9.3.2: "the server MUST NOT send content in the response" to a HEAD.
        if !is_empty && !is_head && !self.body.is_empty() {
            output.splice(self.body, 0);
        }
        output
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

/// The usual words for a status (RFC 9110 §15); nobody reads them.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        414 => "URI Too Long",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
