//! A request that may become a connection.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use crate::config::Config;
use crate::connection::Connection;
#[cfg(feature = "deflate")]
use crate::deflate::Deflate;
use crate::handshake::accept_key;
use crate::handshake::error::InvalidHeader;
use crate::handshake::extension::{self, Offer};
use crate::handshake::field::{Lines, elements, is_websocket, token};
use crate::handshake::head::{Headers, RequestParts};
use crate::handshake::intake::Leftover;
use crate::handshake::negotiated::Negotiated;
use crate::handshake::response::Response;
use crate::handshake::uri::Target;
use crate::output::Output;
use crate::time::Timestamp;

/// A WebSocket request that obeys RFC 6455, and waits for the application's decision.
///
/// Nothing was sent yet, so this is the place to authenticate: look at the
/// [`origin`](Self::origin), [`cookies`](Self::cookies) and other [`headers`](Self::headers), then
/// [`accept`](Self::accept) or [`reject`](Self::reject).
#[must_use = "the client waits for accept or reject"]
pub struct Request {
    head: RequestParts,
    target: Target,
    config: Config,
    leftover: Leftover,
}

impl Request {
    pub(super) fn new(head: RequestParts, target: Target, config: Config, leftover: Leftover) -> Self {
        Request { head, target, config, leftover }
    }

    /// The method: `GET`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.head.headers.text(self.head.method)
    }

    /// The request target as it was sent: a path with its query, or an absolute URI.
    #[must_use]
    pub fn target(&self) -> &str {
        self.head.headers.text(self.head.target)
    }

    /// The path of the target, which begins with `/`. It is not decoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.path(&self.head.headers)
    }

    /// What follows the first `?` of the target. It is not decoded.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.query(&self.head.headers)
    }

    /// The host that the client meant, with the port if it named one.
    #[must_use]
    pub fn host(&self) -> &str {
        // RFC 9112 §3.2.2: "When an origin server receives a request with an absolute-form of
        // request-target, the origin server MUST ignore the received Host header field (if any) and
        // instead use the host information of the request-target."
        self.target.authority(&self.head.headers).unwrap_or_else(|| self.text("host").unwrap_or_default())
    }

    /// The origin of the script that asks, as it was sent: browsers do so in lower case (RFC 6454 §6.2), and
    /// others are to be compared without regard to it. See RFC 6455 §10.2; `null` is one of
    /// the values. Without it the client is no browser, and may claim anything.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.text("origin")
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

    /// The subprotocols that the client speaks, the preferred one first (RFC 6455 §4.2.1). All differ.
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        self.head.headers.all("sec-websocket-protocol").flat_map(elements).filter_map(token)
    }

    /// The extensions that the client offers, the preferred one first (RFC 6455 §9.1).
    pub fn extensions(&self) -> impl Iterator<Item = Offer<'_>> {
        self.head.headers.all("sec-websocket-extensions").flat_map(extension::parse).filter_map(Result::ok)
    }

    /// The cookies: names and values as they were sent (RFC 6265 §4.2.1). What has no name or is not
    /// UTF-8 is left out.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.head.headers.all("cookie").flat_map(|value| value.split(|byte| *byte == b';'));
        pairs.filter_map(|pair| {
            let (name, value) = core::str::from_utf8(pair).ok()?.split_once('=')?;
            let white = [' ', '\t'];
            let (name, value) = (name.trim_matches(white), value.trim_matches(white));
            (!name.is_empty()).then_some((name, value))
        })
    }

    /// Opens the connection. Its output begins with the 101; its input has what came behind the request.
    ///
    /// Fails if the subprotocol is not one of those that the client offered; the error has the request.
    pub fn accept(self, accept: Accept, now: Timestamp) -> Result<Connection, AcceptError> {
        // RFC 6455 §4.2.2: "if the server does not agree to any of the client's requested subprotocols,
        // the only acceptable value is null."
        if let Some(chosen) = &accept.protocol
            && !self.protocols().any(|offered| offered == chosen)
        {
            return Err(AcceptError { request: Box::new(self) });
        }
        let key = self.text("sec-websocket-key").unwrap_or_default();
        #[cfg(feature = "deflate")]
        let negotiated = {
            let deflate = match accept.compression {
                Compression::Configured => self.config.deflate.clone(),
                Compression::Instead(deflate) => deflate,
            };
            Negotiated::accept(self.headers(), deflate)
        };
        #[cfg(not(feature = "deflate"))]
        let negotiated = Negotiated::default();
        let Accept { protocol, lines, .. } = accept;
        let mut head = Lines::default();
        head.push("Upgrade", "websocket");
        head.push("Connection", "Upgrade");
        head.push("Sec-WebSocket-Accept", &accept_key(key));
        if let Some(protocol) = &protocol {
            head.push("Sec-WebSocket-Protocol", protocol);
        }
        if let Some(extensions) = negotiated.answer() {
            head.push("Sec-WebSocket-Extensions", &extensions);
        }
        // RFC 6455 §4.2.2: "Such a response could look like "HTTP/1.1 101 Switching Protocols"."
        let start: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n";
        let mut connection = negotiated.apply(Connection::server(self.config, now));
        connection.prepend_output([start, head.as_bytes(), lines.as_bytes(), b"\r\n"].concat());
        self.leftover.deliver(&mut connection, now);
        Ok(connection)
    }

    /// Refuses the request. Write the output, then close the transport.
    #[must_use]
    pub fn reject(self, response: Response) -> Output {
        // A request that can be accepted is a GET.
        response.into_output(false)
    }

    /// A header field that was found to be ASCII.
    fn text(&self, name: &str) -> Option<&str> {
        self.header(name).and_then(|value| core::str::from_utf8(value).ok())
    }
}

/// Shows the names of the header fields, but neither their values nor the target, which may be secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("headers", self.headers()).finish_non_exhaustive()
    }
}

/// What a server answers when it accepts: a subprotocol, and headers of its own.
///
/// ```
/// use sansock::handshake::InvalidHeader;
/// use sansock::handshake::server::Accept;
///
/// let accept = Accept::new().protocol("v2.chat").header("Set-Cookie", "seen=1")?;
/// assert_eq!(Accept::new().header("X", "\r\nInjected: 1").err(), Some(InvalidHeader::Value));
/// # Ok::<(), InvalidHeader>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "it is for Request::accept"]
pub struct Accept {
    protocol: Option<String>,
    lines: Lines,
    #[cfg(feature = "deflate")]
    compression: Compression,
}

/// Whose word counts for this client.
#[cfg(feature = "deflate")]
#[derive(Clone, Default)]
enum Compression {
    #[default]
    Configured,
    Instead(Option<Deflate>),
}

impl Accept {
    /// No subprotocol, no headers beyond those that RFC 6455 §4.2.2 asks for.
    pub fn new() -> Self {
        Accept::default()
    }

    /// Chooses a subprotocol: one of [`Request::protocols`].
    pub fn protocol(mut self, name: &str) -> Self {
        self.protocol = Some(name.into());
        self
    }

    /// Compresses for this client as `deflate` says, or not at all, whatever
    /// [`Config::deflate`] is.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, deflate: impl Into<Option<Deflate>>) -> Self {
        self.compression = Compression::Instead(deflate.into());
        self
    }

    /// Lends a pool to what compresses without one.
    #[cfg(all(feature = "deflate", feature = "std"))]
    pub(crate) fn lend(mut self, pool: &crate::deflate::Pool) -> Self {
        if let Compression::Instead(Some(deflate)) = &mut self.compression {
            deflate.pool.get_or_insert_with(|| pool.clone());
        }
        self
    }

    /// Adds a header.
    ///
    /// Fails if the name is not a token, if the value has control characters, such as line ends, or if
    /// it is one of the handshake's own: `Upgrade`, `Connection`, `Content-Length`,
    /// `Transfer-Encoding` and all that begin with `Sec-WebSocket-`.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidHeader> {
        if is_websocket(name) {
            return Err(InvalidHeader::Managed);
        }
        self.lines.add(name, value, &["upgrade"])?;
        Ok(self)
    }
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// The chosen subprotocol is not one that the client offered (RFC 6455 §4.2.2). Nothing was sent.
#[derive(Debug)]
pub struct AcceptError {
    request: Box<Request>,
}

impl AcceptError {
    /// The request, to be accepted otherwise or rejected.
    pub fn into_request(self) -> Request {
        *self.request
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the chosen subprotocol was not offered (RFC 6455 section 4.2.2)")
    }
}

impl core::error::Error for AcceptError {}
