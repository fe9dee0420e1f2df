//! The parts of URIs that a handshake needs (RFC 3986).

use core::fmt;
use core::net::Ipv6Addr;

use super::head::{Headers, Span};

/// Why a text is not a WebSocket URI (RFC 6455 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is neither `ws` nor `wss`.
    Scheme,
    /// There is user information before the host.
    UserInfo,
    /// The host is empty, or neither a name nor an address.
    Host,
    /// The port is not a number below 65536.
    Port,
    /// There is a fragment; a `#` is to be written as `%23`.
    Fragment,
    /// There is a character that must be percent-encoded, or a `%` without two hexadecimal digits.
    Character,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UrlError::Scheme => "the scheme is neither ws nor wss (RFC 6455 section 3)",
            UrlError::UserInfo => "a WebSocket URI has no user information (RFC 6455 section 3)",
            UrlError::Host => "illegal host (RFC 3986 section 3.2.2)",
            UrlError::Port => "illegal port (RFC 3986 section 3.2.3)",
            UrlError::Fragment => "a WebSocket URI has no fragment (RFC 6455 section 3)",
            UrlError::Character => "character that must be percent-encoded (RFC 3986 section 2)",
        })
    }
}

impl core::error::Error for UrlError {}

/// A WebSocket URI, taken apart.
pub(super) struct WebSocketUri<'a> {
    pub(super) is_secure: bool,
    pub(super) authority: Authority<'a>,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
}

impl<'a> WebSocketUri<'a> {
    // RFC 6455 §3: "ws-URI = "ws:" "//" host [ ":" port ] path [ "?" query ]"
    pub(super) fn parse(url: &'a str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        // RFC 6455 §3: "The URI is called "secure" [...] if the scheme component matches "wss"
        // case-insensitively."
        let is_secure = scheme.eq_ignore_ascii_case("wss");
        if !is_secure && !scheme.eq_ignore_ascii_case("ws") {
            return Err(UrlError::Scheme);
        }
        // RFC 6455 §3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST
        // NOT be used on these URIs."
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (authority, rest) = split_authority(rest);
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        let authority = Authority::parse(authority)?;
        // RFC 3986 §3.3 and §3.4: "query = *( pchar / "/" / "?" )"
        if !is_made_of(rest, b"!$&'()*+,;=:@/?") {
            return Err(UrlError::Character);
        }
        let (path, query) = split_query(rest);
        Ok(WebSocketUri { is_secure, authority, path, query })
    }
}

/// A host, and a port if it is named.
pub(super) struct Authority<'a> {
    /// Without the brackets of an IPv6 address.
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
}

impl<'a> Authority<'a> {
    // RFC 3986 §3.2.2: "host = IP-literal / IPv4address / reg-name". A later version of IP is no host
    // to us: nothing could connect to it.
    pub(super) fn parse(text: &'a str) -> Result<Self, UrlError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(literal) => {
                let (host, port) = literal.split_once(']').ok_or(UrlError::Host)?;
                host.parse::<Ipv6Addr>().map_err(|_| UrlError::Host)?;
                (host, port)
            }
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        if host.is_empty() || !is_made_of(host, b"!$&'()*+,;=:") {
            return Err(UrlError::Host);
        }
        Ok(Authority { host, port: parse_port(port)? })
    }
}

/// Reads what stands behind a host: nothing, or a colon and perhaps a number.
fn parse_port(text: &str) -> Result<Option<u16>, UrlError> {
    // RFC 3986 §3.2.3: "port = *DIGIT"
    match text.strip_prefix(':') {
        Some("") => Ok(None),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map(Some).map_err(|_| UrlError::Port)
        }
        None if text.is_empty() => Ok(None),
        None => Err(UrlError::Host),
        Some(_) => Err(UrlError::Port),
    }
}

/// The parts of a request target, as places in the head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    authority: Option<Span>,
    path: Span,
    query: Option<Span>,
}

impl Target {
    // RFC 6455 §4.2.1: "a "Request-URI" that should be interpreted as a /resource name/ [...] (or an
    // absolute HTTP/HTTPS URI containing the /resource name/)". Some clients send their ws URI.
    pub(super) fn parse(headers: &Headers, target: &str) -> Option<Self> {
        // What browsers leave unescaped in a query, such as `|`, is let through, though RFC 3986 does
        // not have it.
        if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return None;
        }
        let (authority, rest) = if target.starts_with('/') {
            (None, target)
        } else {
            let (scheme, rest) = target.split_once("://")?;
            if !["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
                return None;
            }
            let (authority, rest) = split_authority(rest);
            Authority::parse(authority).ok()?;
            (Some(headers.span(authority)), rest)
        };
        let (path, query) = split_query(rest);
        Some(Target { authority, path: headers.span(path), query: query.map(|query| headers.span(query)) })
    }

    pub(super) fn authority(self, headers: &Headers) -> Option<&str> {
        self.authority.map(|authority| headers.text(authority))
    }

    pub(super) fn path(self, headers: &Headers) -> &str {
        // RFC 6455 §3: ""/" if the path component is empty"
        match headers.text(self.path) {
            "" => "/",
            path => path,
        }
    }

    pub(super) fn query(self, headers: &Headers) -> Option<&str> {
        self.query.map(|query| headers.text(query))
    }
}

fn split_authority(text: &str) -> (&str, &str) {
    text.split_at(text.find(['/', '?']).unwrap_or(text.len()))
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)))
}

/// Whether a text is made of unreserved characters, percent-encoded ones, and `others`.
fn is_made_of(text: &str, others: &[u8]) -> bool {
    let mut rest = text.as_bytes();
    while let [byte, behind @ ..] = rest {
        rest = match (byte, behind) {
            // RFC 3986 §2.1: "pct-encoded = "%" HEXDIG HEXDIG"
            (b'%', [a, b, behind @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => behind,
            // RFC 3986 §2.3: "unreserved = ALPHA / DIGIT / "-" / "." / "_" / "~""
            _ if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || others.contains(byte) => behind,
            _ => return false,
        };
    }
    true
}
