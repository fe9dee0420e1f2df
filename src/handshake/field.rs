//! The grammar of header fields (RFC 9110 §5): lists and tokens to read, lines to write.

use alloc::vec::Vec;

use super::error::InvalidHeader;

/// Fields that frame the message. Whoever sets them by hand smuggles.
pub(super) const FRAMING: &[&str] = &["connection", "content-length", "transfer-encoding"];

/// Whether a byte may stand in a token.
pub(super) fn is_token_byte(byte: u8) -> bool {
    // RFC 9110 §5.6.2: "token = 1*tchar"
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The bytes as text, if they are a token.
pub(super) fn token(bytes: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && text.bytes().all(is_token_byte)).then_some(text)
}

/// Without the white space on the left.
pub(super) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    // RFC 9110 §5.6.3: "OWS = *( SP / HTAB )"
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// Without the white space on both sides.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_start(bytes);
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a comma-separated list, empty ones included.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}

/// Whether a list has `wanted` among its elements, in any case. A list with anything else than such elements has
/// nothing.
pub(super) fn names<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    is_element: fn(&[u8]) -> bool,
    wanted: &str,
) -> bool {
    let mut found = false;
    for element in values.flat_map(elements) {
        // RFC 9110 §5.6.1.2: "A recipient MUST parse and ignore a reasonable number of empty list
        // elements".
        if element.is_empty() {
            continue;
        }
        if !is_element(element) {
            return false;
        }
        found |= element.eq_ignore_ascii_case(wanted.as_bytes());
    }
    found
}

/// Whether this may stand in `Connection`.
pub(super) fn is_option(element: &[u8]) -> bool {
    // RFC 9110 §7.6.1: "connection-option = token"
    token(element).is_some()
}

/// Whether this may stand in `Upgrade`.
pub(super) fn is_protocol(element: &[u8]) -> bool {
    // RFC 9110 §7.8: "protocol = protocol-name ["/" protocol-version]"
    element.splitn(2, |&byte| byte == b'/').all(|part| token(part).is_some())
}

/// Header lines that the application adds to a head.
#[derive(Clone, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Adds a line, unless it would break the head or is not the application's to write.
    pub(super) fn add(&mut self, name: &str, value: &str, managed: &[&str]) -> Result<(), InvalidHeader> {
        if token(name.as_bytes()).is_none() {
            return Err(InvalidHeader::Name);
        }
        if FRAMING.iter().chain(managed).any(|managed| name.eq_ignore_ascii_case(managed)) {
            return Err(InvalidHeader::Managed);
        }
        // RFC 9110 §5.5: "Field values containing CR, LF, or NUL characters are invalid and dangerous".
        if value.bytes().any(|byte| byte != b'\t' && byte.is_ascii_control()) {
            return Err(InvalidHeader::Value);
        }
        self.push(name, value);
        Ok(())
    }

    /// Adds a line that is known to be good.
    pub(super) fn push(&mut self, name: &str, value: &str) {
        for part in [name, ": ", value, "\r\n"] {
            self.0.extend_from_slice(part.as_bytes());
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Whether a field is one of the handshake's own (RFC 6455 §11.3).
pub(super) fn is_websocket(name: &str) -> bool {
    name.as_bytes().get(..14).is_some_and(|start| start.eq_ignore_ascii_case(b"sec-websocket-"))
}
