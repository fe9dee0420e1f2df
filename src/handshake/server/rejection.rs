//! A request that is none.

use core::fmt;

use crate::handshake::error::HandshakeError;
use crate::handshake::head::{Headers, RequestParts};
use crate::handshake::response::Response;
use crate::output::Output;

/// What came is not a WebSocket request, and why.
///
/// Write what [`into_output`](Self::into_output) or [`respond`](Self::respond) give, then close the
/// transport.
///
/// ```
/// use bytes::BufMut;
/// use sansock::handshake::{HandshakeError, Response, server};
/// use sansock::{Config, Timestamp};
///
/// let mut handshake = server::Handshake::new(Config::default(), Timestamp::EPOCH);
/// handshake.input().put_slice(b"GET /index.html HTTP/1.1\r\nHost: example.com\r\n\r\n");
/// let rejection = handshake.poll().unwrap_err();
/// let output = match (rejection.error(), rejection.head()) {
///     (HandshakeError::UpgradeMissing, Some(head)) if head.target() == "/index.html" => {
///         rejection.respond(Response::new(200)?.header("Content-Type", "text/html")?.body("<h1>Hi</h1>"))
///     }
///     _ => rejection.into_output(),
/// };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the client waits for into_output or respond"]
pub struct Rejection {
    error: HandshakeError,
    head: Option<RequestHead>,
    /// The request is a HEAD, also if it has no head that could be read.
    is_head: bool,
}

impl Rejection {
    pub(super) fn new(error: HandshakeError, head: Option<RequestHead>, is_head: bool) -> Self {
        Rejection { error, head, is_head }
    }

    /// What is wrong.
    #[must_use]
    pub fn error(&self) -> HandshakeError {
        self.error
    }

    /// The request, if it is one of HTTP/1; its body, if it has one, is not read.
    #[must_use]
    pub fn head(&self) -> Option<&RequestHead> {
        self.head.as_ref()
    }

    /// The response that fits the error, with its text as the body. It is empty if nobody is there to
    /// read it.
    #[must_use]
    pub fn into_output(self) -> Output {
        Response::for_error(self.error).map_or_else(Output::default, |response| self.respond(response))
    }

    /// Answers with a response of the application's.
    #[must_use]
    pub fn respond(self, response: Response) -> Output {
        response.into_output(self.is_head)
    }
}

impl From<HandshakeError> for Rejection {
    fn from(error: HandshakeError) -> Self {
        Rejection::new(error, None, false)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl core::error::Error for Rejection {}

/// The head of a request, as the client sent it.
#[derive(Clone)]
pub struct RequestHead(pub(super) RequestParts);

impl RequestHead {
    /// The method, such as `GET`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.0.headers.text(self.0.method)
    }

    /// The request target, such as `/chat?room=1`.
    #[must_use]
    pub fn target(&self) -> &str {
        self.0.headers.text(self.0.target)
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.0.headers
    }

    /// The value of the first header field of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.headers.first(name)
    }
}

/// Shows the names of the header fields, but neither their values nor the target, which may be secrets.
impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RequestHead");
        debug.field("method", &self.method()).field("headers", self.headers()).finish_non_exhaustive()
    }
}
