//! What a client asks for.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::handshake::error::InvalidHeader;
use crate::handshake::field::{Lines, is_websocket, token};
use crate::handshake::uri::{UrlError, WebSocketUri};

/// A request for a WebSocket connection: a URI, subprotocols, and headers.
///
/// ```
/// use sansock::handshake::client::ClientRequest;
///
/// let request = ClientRequest::new("wss://[2001:db8::1]:8443/chat?room=1")?
///     .protocol("v2.chat")?
///     .protocol("v1.chat")?
///     .header("Authorization", "Bearer 1234")?;
/// assert!(request.is_secure());
/// assert_eq!((request.host(), request.port()), ("2001:db8::1", 8443));
/// assert_eq!(request.resource_name(), "/chat?room=1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "it is for client::Handshake"]
pub struct ClientRequest {
    is_secure: bool,
    host: String,
    port: u16,
    resource_name: String,
    protocols: Vec<String>,
    lines: Lines,
}

impl ClientRequest {
    /// A request for a `ws` or `wss` URI (RFC 6455 §3), without subprotocols or further headers.
    ///
    /// The URI is taken literally: what RFC 3986 does not allow must be percent-encoded already, and
    /// names that are not ASCII be in Punycode. Without a port it is 80, or 443 for `wss`.
    ///
    /// Fails if it is no such URI, or has user information or a fragment.
    pub fn new(url: &str) -> Result<Self, UrlError> {
        let uri = WebSocketUri::parse(url)?;
        // RFC 6455 §3: ""/" if the path component is empty", and ""?" if the query component is
        // non-empty".
        let path = if uri.path.is_empty() { "/" } else { uri.path };
        let resource_name = match uri.query {
            None | Some("") => path.to_string(),
            Some(query) => format!("{path}?{query}"),
        };
        Ok(ClientRequest {
            is_secure: uri.is_secure,
            host: uri.authority.host.to_string(),
            port: uri.authority.port.unwrap_or(default_port(uri.is_secure)),
            resource_name,
            protocols: Vec::new(),
            lines: Lines::default(),
        })
    }

    /// Offers a subprotocol, after those that were offered before.
    ///
    /// Fails if the name is not a token, or was offered before (RFC 6455 §4.1).
    pub fn protocol(mut self, name: &str) -> Result<Self, InvalidHeader> {
        // RFC 6455 §4.1: "The elements that comprise this value MUST be non-empty strings with characters
        // in the range U+0021 to U+007E not including separator characters as defined in [RFC2616] and
        // MUST all be unique strings."
        if token(name.as_bytes()).is_none() || self.protocols.iter().any(|offered| offered == name) {
            return Err(InvalidHeader::Protocol);
        }
        self.protocols.push(name.to_string());
        Ok(self)
    }

    /// Adds a header, such as `Origin`, `Authorization`, `Cookie` or `User-Agent`.
    ///
    /// Fails if the name is not a token, if the value has control characters, such as line ends, or if
    /// it is one of the handshake's own: `Host`, `Upgrade`, `Connection`, `Content-Length`,
    /// `Transfer-Encoding` and all that begin with `Sec-WebSocket-`.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidHeader> {
        if is_websocket(name) {
            return Err(InvalidHeader::Managed);
        }
        self.lines.add(name, value, &["host", "upgrade"])?;
        Ok(self)
    }

    /// Whether the scheme is `wss`: the transport must be TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The host to connect to: a name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What to ask the host for: the path and the query of the URI (RFC 6455 §3).
    #[must_use]
    pub fn resource_name(&self) -> &str {
        &self.resource_name
    }

    pub(super) fn to_head(&self, key: &str, extensions: Option<&str>) -> Vec<u8> {
        let start = format!("GET {} HTTP/1.1\r\n", self.resource_name);
        let mut head = Lines::default();
        head.push("Host", &self.authority());
        head.push("Upgrade", "websocket");
        head.push("Connection", "Upgrade");
        head.push("Sec-WebSocket-Key", key);
        head.push("Sec-WebSocket-Version", "13");
        if !self.protocols.is_empty() {
            head.push("Sec-WebSocket-Protocol", &self.protocols.join(", "));
        }
        if let Some(extensions) = extensions {
            head.push("Sec-WebSocket-Extensions", extensions);
        }
        [start.as_bytes(), head.as_bytes(), self.lines.as_bytes(), b"\r\n"].concat()
    }

    pub(super) fn into_protocols(self) -> Vec<String> {
        self.protocols
    }

    // RFC 6455 §4.1: "a |Host| header field whose value contains /host/ plus optionally ":" followed by
    // /port/ (when not using the default port)."
    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default_port(self.is_secure) { host } else { format!("{host}:{}", self.port) }
    }
}

// RFC 6455 §3: "the default for "ws" is port 80, while the default for "wss" is port 443."
fn default_port(is_secure: bool) -> u16 {
    if is_secure { 443 } else { 80 }
}

/// Shows where to connect to, but neither the resource name nor the headers, which may be secrets.
impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ClientRequest");
        debug.field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}
