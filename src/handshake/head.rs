//! A parsed head: the bytes as they came, and where its parts stand in them.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use super::error::HandshakeError;
use super::intake::RawHead;

/// The header fields of a request or response, in the order in which they came.
///
/// Names are compared without regard to case. Values have no white space around them, and may have
/// bytes from 0x80 on, which have no defined meaning (RFC 9110 §5.5).
///
/// ```
/// # use sansock::handshake::Headers;
/// fn languages(headers: &Headers) -> impl Iterator<Item = &[u8]> {
///     headers.all("accept-language")
/// }
/// ```
///
/// `Debug` shows the names alone: values may be secrets.
#[derive(Clone)]
pub struct Headers {
    bytes: Vec<u8>,
    fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    name: Span,
    value: Span,
}

impl Headers {
    /// All fields: names as they were sent, and values.
    #[must_use]
    pub fn iter(&self) -> HeaderIter<'_> {
        HeaderIter { headers: self, fields: self.fields.iter() }
    }

    /// The value of the first field of this name.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The values of all fields of this name.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let is_it = move |field: &&Field| field.name.of(&self.bytes).eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(is_it).map(|field| field.value.of(&self.bytes))
    }

    /// The value of the only field of this name, or `error` if there are several.
    pub(super) fn at_most_one(
        &self,
        name: &str,
        error: HandshakeError,
    ) -> Result<Option<&[u8]>, HandshakeError> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(error),
        }
    }

    /// The value of the only field of this name, or `error` if there is none, or several.
    pub(super) fn exactly_one(&self, name: &str, error: HandshakeError) -> Result<&[u8], HandshakeError> {
        self.at_most_one(name, error)?.ok_or(error)
    }

    /// The part of the head that `span` names.
    pub(super) fn text(&self, span: Span) -> &str {
        core::str::from_utf8(span.of(&self.bytes)).unwrap_or_default()
    }

    /// Where a part of this head stands.
    pub(super) fn span(&self, part: &str) -> Span {
        Span::new(&self.bytes, part.as_bytes())
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// Iterates over header fields: see [`Headers::iter`].
#[derive(Clone, Debug)]
pub struct HeaderIter<'a> {
    headers: &'a Headers,
    fields: core::slice::Iter<'a, Field>,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.fields.next()?;
        Some((self.headers.text(field.name), field.value.of(&self.headers.bytes)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.fields.size_hint()
    }
}

impl ExactSizeIterator for HeaderIter<'_> {}

/// A part of a head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// Where `part`, a slice of `whole`, stands in it. An empty one may stand anywhere.
    fn new(whole: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        match (u32::try_from(start), u32::try_from(part.len())) {
            (Ok(start), Ok(len)) if len > 0 => Span { start, len },
            _ => Span::default(),
        }
    }

    fn of(self, whole: &[u8]) -> &[u8] {
        let (start, len) = (self.start as usize, self.len as usize);
        whole.get(start..).and_then(|rest| rest.get(..len)).unwrap_or_default()
    }
}

/// The start line of a request, and its header fields.
#[derive(Clone, Debug)]
pub(super) struct RequestParts {
    pub(super) headers: Headers,
    pub(super) method: Span,
    pub(super) target: Span,
    /// The digit behind `HTTP/1.`.
    pub(super) minor_version: u8,
}

impl RequestParts {
    pub(super) fn parse(raw: RawHead) -> Result<Self, HandshakeError> {
        let mut fields = vec![httparse::EMPTY_HEADER; raw.fields];
        let mut request = httparse::Request::new(&mut fields);
        let status = request.parse(&raw.bytes).map_err(|_| {
            let version = start_line(&raw).splitn(3, |byte| *byte == b' ').nth(2);
            start_line_error(version, HandshakeError::HttpVersion)
        })?;
        let method = request.method.ok_or(HandshakeError::Malformed)?;
        let target = request.path.ok_or(HandshakeError::Malformed)?;
        let minor_version = request.version.ok_or(HandshakeError::Malformed)?;
        let method = Span::new(&raw.bytes, method.as_bytes());
        let target = Span::new(&raw.bytes, target.as_bytes());
        let fields = spans(&raw.bytes, status, request.headers)?;
        let headers = Headers { bytes: raw.bytes, fields };
        Ok(RequestParts { headers, method, target, minor_version })
    }
}

/// The start line of a response, and its header fields.
#[derive(Clone, Debug)]
pub(super) struct ResponseParts {
    pub(super) headers: Headers,
    pub(super) status: u16,
    pub(super) reason: Span,
    /// The digit behind `HTTP/1.`.
    pub(super) minor_version: u8,
}

impl ResponseParts {
    pub(super) fn parse(raw: RawHead) -> Result<Self, HandshakeError> {
        let mut fields = vec![httparse::EMPTY_HEADER; raw.fields];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = response.parse(&raw.bytes).map_err(|_| {
            let version = start_line(&raw).split(|byte| *byte == b' ').next();
            start_line_error(version, HandshakeError::ResponseVersion)
        })?;
        // RFC 9110 §15: "Values outside the range 100..599 are invalid." A client "SHOULD process the
        // response as if it had a 5xx" then; below 100 there is nothing that this could mean.
        let (Some(status @ 100..), Some(reason), Some(minor_version)) =
            (response.code, response.reason, response.version)
        else {
            return Err(HandshakeError::Malformed);
        };
        let reason = Span::new(&raw.bytes, reason.as_bytes());
        let fields = spans(&raw.bytes, parsed, response.headers)?;
        let headers = Headers { bytes: raw.bytes, fields };
        Ok(ResponseParts { headers, status, reason, minor_version })
    }
}

fn start_line(raw: &RawHead) -> &[u8] {
    raw.bytes.split(|byte| *byte == b'\r').next().unwrap_or_default()
}

/// What is wrong with a head that could not be parsed: its version, or its grammar.
fn start_line_error(version: Option<&[u8]>, error: HandshakeError) -> HandshakeError {
    // RFC 9112 §2.3: "HTTP-version = HTTP-name "/" DIGIT "." DIGIT"
    match version {
        Some(b"HTTP/1.0" | b"HTTP/1.1") => HandshakeError::Malformed,
        Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']) => error,
        _ => HandshakeError::Malformed,
    }
}

/// Where the parsed fields stand. The parser must have ended where the scan did.
fn spans(
    bytes: &[u8],
    parsed: httparse::Status<usize>,
    fields: &[httparse::Header<'_>],
) -> Result<Vec<Field>, HandshakeError> {
    if parsed != httparse::Status::Complete(bytes.len()) {
        return Err(HandshakeError::Malformed);
    }
    let span = |field: &httparse::Header<'_>| Field {
        name: Span::new(bytes, field.name.as_bytes()),
        value: Span::new(bytes, field.value),
    };
    Ok(fields.iter().map(span).collect())
}
