//! Heads of HTTP/1.1 messages, read by splitting them (RFC 9112 §2 to §5): what the handshakes are held
//! against, together with httparse.

#![allow(dead_code, reason = "shared by targets that use parts of it")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// A head that is well-formed.
pub struct Head<'a> {
    /// The start line, by its words; the last one may have spaces.
    pub start: [&'a [u8]; 3],
    /// Values are without the white space around them.
    pub fields: Vec<(&'a str, &'a [u8])>,
}

/// Where a head ends that begins these bytes: behind its empty line.
pub fn end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4)
}

impl<'a> Head<'a> {
    /// A head from its first byte to the empty line's last; `None` if it is malformed.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let text = bytes.strip_suffix(b"\r\n\r\n")?;
        let mut lines = split(text, b"\r\n").into_iter();
        // A line end within a line is a bare one.
        let is_legal = |line: &&[u8]| !line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
        let mut words = lines.next().filter(is_legal)?.splitn(3, |byte| *byte == b' ');
        let start = [words.next()?, words.next()?, words.next().unwrap_or_default()];
        let mut fields = Vec::new();
        for line in lines {
            let colon = Some(line).filter(is_legal)?.iter().position(|byte| *byte == b':')?;
            let name = &line[..colon];
            if name.is_empty() || !name.iter().all(|byte| is_of_token(*byte)) {
                return None;
            }
            fields.push((std::str::from_utf8(name).ok()?, trim(&line[colon + 1..])));
        }
        Some(Head { start, fields })
    }

    pub fn all(&self, name: &str) -> Vec<&'a [u8]> {
        let are_named = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        are_named.map(|(_, value)| *value).collect()
    }

    /// The value of the only field of this name.
    pub fn only(&self, name: &str) -> Option<&'a [u8]> {
        match self.all(name)[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// The elements of the list that these fields are, empty ones included.
    pub fn list(&self, name: &str) -> Vec<&'a [u8]> {
        self.all(name).iter().flat_map(|value| split(value, b",")).map(trim).collect()
    }

    /// Whether the list has this token, and nothing but tokens and protocols.
    pub fn names(&self, name: &str, wanted: &str) -> bool {
        let mut list = self.list(name);
        list.retain(|element| !element.is_empty());
        let is_legal = |element: &&[u8]| element.splitn(2, |byte| *byte == b'/').all(is_token);
        list.iter().all(is_legal) && list.iter().any(|it| it.eq_ignore_ascii_case(wanted.as_bytes()))
    }
}

pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_of_token(*byte))
}

/// RFC 9110 §5.6.2: what is visible, and no delimiter.
fn is_of_token(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte) && !b"\"(),/:;<=>?@[\\]{}".contains(&byte)
}

fn trim(bytes: &[u8]) -> &[u8] {
    let is_white = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(|byte| !is_white(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_white(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

fn split<'a>(mut bytes: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = bytes.windows(separator.len()).position(|window| window == separator) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + separator.len()..];
    }
    parts.push(bytes);
    parts
}

/// The version that a start line names, if it is one (RFC 9112 §2.3).
pub fn version(word: &[u8]) -> Option<(u8, u8)> {
    match word {
        [b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] => {
            Some((major - b'0', minor - b'0'))
        }
        _ => None,
    }
}

/// RFC 6455 §4.2.2.
pub fn answer(key: &[u8]) -> String {
    let hash = Sha1::new().chain_update(key).chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    STANDARD.encode(hash)
}

/// Whether this is 16 bytes in base64.
pub fn is_key(key: &[u8]) -> bool {
    STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16)
}

/// A response, all of it, as httparse reads it: the status, the fields, and the body.
pub fn response(bytes: &[u8]) -> (u16, Head<'_>, &[u8]) {
    let (head, body) = bytes.split_at(end(bytes).expect("a whole head"));
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut fields);
    assert_eq!(response.parse(head), Ok(httparse::Status::Complete(head.len())));
    assert_eq!(response.version, Some(1));
    let status = response.code.expect("a status");
    let head = Head::read(head).expect("a well-formed head");
    assert!(head.fields.iter().copied().eq(response.headers.iter().map(|field| (field.name, field.value))));
    (status, head, body)
}
