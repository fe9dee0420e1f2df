//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1).
//!
//! ```
//! use sansock::handshake::extension;
//!
//! let mut offers = extension::parse(b"permessage-deflate; client_max_window_bits=\"10\", mux");
//! let deflate = offers.next().expect("there are two")?;
//! assert_eq!(deflate.name(), "permessage-deflate");
//! let param = deflate.params().next().expect("there is one");
//! assert_eq!((param.name(), param.value()), ("client_max_window_bits", Some("10")));
//! assert_eq!(offers.next().expect("there are two")?.name(), "mux");
//! assert!(offers.next().is_none());
//! # Ok::<(), extension::InvalidExtensions>(())
//! ```

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use super::field::{is_token_byte, token, trim_start};

/// Reads the value of one header field; the values of several are one list (RFC 6455 §9.1).
///
/// The work is linear in the length of the value, and nothing is allocated except for values with
/// escaped characters.
#[must_use]
pub fn parse(value: &[u8]) -> Offers<'_> {
    Offers { rest: value }
}

/// The value is not a list of extensions (RFC 6455 §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct InvalidExtensions;

impl fmt::Display for InvalidExtensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a list of extensions (RFC 6455 section 9.1)")
    }
}

impl core::error::Error for InvalidExtensions {}

/// Iterates over the extensions of one header field, in the order of preference. It ends after an
/// error.
#[derive(Clone, Debug)]
pub struct Offers<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Offers<'a> {
    type Item = Result<Offer<'a>, InvalidExtensions>;

    fn next(&mut self) -> Option<Self::Item> {
        // RFC 2616 §2.1, of lists: "null elements are allowed, but do not contribute to the count of
        // elements present."
        self.rest = trim_start(self.rest);
        while let [b',', rest @ ..] = self.rest {
            self.rest = trim_start(rest);
        }
        if self.rest.is_empty() {
            return None;
        }
        let parsed = take_offer(self.rest);
        self.rest = parsed.as_ref().map_or(&[], |(_, rest)| rest);
        Some(parsed.map(|(offer, _)| offer).ok_or(InvalidExtensions))
    }
}

/// One extension with its parameters, as a client offers it or a server accepts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer<'a> {
    name: &'a str,
    params: &'a [u8],
}

impl<'a> Offer<'a> {
    /// The extension's token.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The parameters in their order, repeated ones included.
    #[must_use]
    pub fn params(&self) -> Params<'a> {
        Params { rest: self.params }
    }
}

/// Iterates over an extension's parameters: see [`Offer::params`].
#[derive(Clone, Debug)]
pub struct Params<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Params<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (param, rest) = take_param(self.rest)?;
        self.rest = rest;
        Some(param)
    }
}

/// A parameter of an extension: a name, and a value if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    name: &'a str,
    value: Option<Cow<'a, str>>,
}

impl<'a> Param<'a> {
    /// The parameter's token.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The value, without its quotes if it had any.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

/// Whether the values of all the header fields of a head are one list, and not an empty one.
pub(super) fn is_list<'a>(values: impl Iterator<Item = &'a [u8]>) -> bool {
    // RFC 6455 §9.1: "extension-list = 1#extension"
    let mut count = 0;
    values.flat_map(parse).all(|offer| {
        count += 1;
        offer.is_ok()
    }) && count > 0
}

// RFC 6455 §9.1: "extension = extension-token *( ";" extension-param )"
fn take_offer(text: &[u8]) -> Option<(Offer<'_>, &[u8])> {
    let (name, params) = take_token(text)?;
    let mut rest = params;
    while let Some((_, behind)) = take_param(rest) {
        rest = behind;
    }
    let params = params.get(..params.len() - rest.len())?;
    match trim_start(rest) {
        [] | [b',', ..] => Some((Offer { name, params }, trim_start(rest))),
        _ => None,
    }
}

// RFC 6455 §9.1: "extension-param = token [ "=" (token | quoted-string) ]", where white space may stand
// between any two of them ("implied *LWS", RFC 2616 §2.1).
fn take_param(text: &[u8]) -> Option<(Param<'_>, &[u8])> {
    let [b';', rest @ ..] = trim_start(text) else { return None };
    let (name, rest) = take_token(trim_start(rest))?;
    let [b'=', value @ ..] = trim_start(rest) else {
        return Some((Param { name, value: None }, rest));
    };
    let (value, rest) = match trim_start(value) {
        [b'"', quoted @ ..] => take_quoted(quoted)?,
        value => take_token(value).map(|(value, rest)| (Cow::Borrowed(value), rest))?,
    };
    Some((Param { name, value: Some(value) }, rest))
}

fn take_token(text: &[u8]) -> Option<(&str, &[u8])> {
    let end = text.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    Some((token(name)?, rest))
}

/// Takes what stands behind an opening quote, and the closing one.
fn take_quoted(text: &[u8]) -> Option<(Cow<'_, str>, &[u8])> {
    // RFC 6455 §9.1: "the value after quoted-string unescaping MUST conform to the 'token' ABNF."
    let (plain, mut rest) = match take_token(text) {
        Some((value, [b'"', rest @ ..])) => return Some((Cow::Borrowed(value), rest)),
        Some((start, rest)) => (start, rest),
        None => ("", text),
    };
    let mut value = String::from(plain);
    loop {
        let (byte, behind) = match rest {
            [b'"', behind @ ..] => return (!value.is_empty()).then_some((Cow::Owned(value), behind)),
            [b'\\', byte, behind @ ..] | [byte, behind @ ..] => (*byte, behind),
            [] => return None,
        };
        if !is_token_byte(byte) {
            return None;
        }
        value.push(char::from(byte));
        rest = behind;
    }
}
