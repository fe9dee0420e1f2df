//! UTF-8 in parts: fails at the first byte that cannot be right (RFC 6455 §8.1).

use core::fmt;

/// The bytes are not UTF-8, and no bytes that may follow can make them so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUtf8;

impl fmt::Display for InvalidUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not UTF-8 (RFC 6455 section 8.1)")
    }
}

impl core::error::Error for InvalidUtf8 {}

/// Validates text that comes in parts, cut anywhere.
///
/// ```
/// use sansock::utf8::Validator;
///
/// let mut validator = Validator::new();
/// validator.push(b"gr\xc3")?;                  // half of a two-byte character
/// assert_eq!(validator.incomplete(), 1);
/// validator.push(b"\xbc\xc3\x9fe")?;
/// validator.finish()?;
/// assert!(validator.push(b"\xed\xa0").is_err());  // at the byte that makes it a surrogate
/// # Ok::<(), sansock::utf8::InvalidUtf8>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Validator {
    /// The beginning of a character whose end has not come: `bytes[..len]`, at most three bytes.
    bytes: [u8; 4],
    len: u8,
}

impl Validator {
    /// A validator at the start of a text.
    #[must_use]
    pub const fn new() -> Self {
        Validator { bytes: [0; 4], len: 0 }
    }

    /// Judges the next part of the text.
    ///
    /// Fails as soon as no continuation can make the text valid: a beginning of a character that
    /// can still become one is kept for the next part. Once it has failed it judges nothing more.
    pub fn push(&mut self, mut part: &[u8]) -> Result<(), InvalidUtf8> {
        while self.len > 0 {
            let Some((&byte, rest)) = part.split_first() else { return Ok(()) };
            part = rest;
            if self.push_byte(byte)? {
                self.len = 0;
            }
        }
        let valid = valid_prefix(part)?;
        for &byte in part.get(valid..).unwrap_or_default() {
            self.push_byte(byte)?;
        }
        Ok(())
    }

    /// Judges the end of the text: it must not cut a character. The next text may follow.
    pub fn finish(&mut self) -> Result<(), InvalidUtf8> {
        if core::mem::take(&mut self.len) == 0 { Ok(()) } else { Err(InvalidUtf8) }
    }

    /// How many bytes at the end of what was pushed begin a character that is not complete: 0 to 3.
    #[must_use]
    pub const fn incomplete(&self) -> usize {
        self.len as usize
    }

    /// Adds a byte to the character under way; true if that completes it.
    fn push_byte(&mut self, byte: u8) -> Result<bool, InvalidUtf8> {
        if let Some(slot) = self.bytes.get_mut(usize::from(self.len)) {
            *slot = byte;
            self.len += 1;
        }
        let character = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        Ok(valid_prefix(character)? == character.len())
    }
}

/// How much of `bytes` is complete characters. The rest, at most three bytes, begins one more.
///
/// Fails if the rest cannot become a character.
pub fn valid_prefix(bytes: &[u8]) -> Result<usize, InvalidUtf8> {
    let (whole, cut) = bytes.split_at(bytes.len() - cut_character(bytes));
    if !is_valid(whole) {
        return Err(InvalidUtf8);
    }
    match core::str::from_utf8(cut) {
        Err(error) if error.error_len().is_some() => Err(InvalidUtf8),
        _ => Ok(whole.len()),
    }
}

/// The length of a character at the end of `bytes` whose first byte promises more than is there.
fn cut_character(bytes: &[u8]) -> usize {
    let promised = |lead: u8| match lead {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0.. => 4,
        _ => 0,
    };
    let end = bytes.iter().rev().zip(1..=3);
    end.filter(|&(&byte, len)| promised(byte) > len).map(|(_, len)| len).next().unwrap_or(0)
}

/// Whether `bytes` are UTF-8 as a whole.
#[must_use]
#[inline]
pub fn is_valid(bytes: &[u8]) -> bool {
    (bytes.len() <= SHORT && bytes.is_ascii()) || simdutf8::basic::from_utf8(bytes).is_ok()
}

/// Up to this length a look whether all is ASCII is cheaper than the call it may save.
const SHORT: usize = 64;

/// Bytes that were validated: the one place where a `str` is made without looking again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Valid<B>(B);

impl<B: core::ops::Deref<Target = [u8]>> Valid<B> {
    /// Vouches that these bytes are UTF-8: [`is_valid`] or a [`Validator`] said so.
    #[inline]
    pub(crate) fn vouched(bytes: B) -> Self {
        debug_assert!(core::str::from_utf8(&bytes).is_ok());
        Valid(bytes)
    }

    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        // SAFETY: `vouched`, the only constructor, is called with validated bytes; they are never
        // lent mutably, and every `B` of this crate derefs to the same bytes each time.
        #[allow(unsafe_code, reason = "text would be validated twice: see benches/receive.rs")]
        unsafe {
            core::str::from_utf8_unchecked(&self.0)
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &B {
        &self.0
    }

    #[inline]
    pub(crate) fn into_bytes(self) -> B {
        self.0
    }
}
