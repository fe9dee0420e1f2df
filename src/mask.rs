//! Masking (RFC 6455 §5.3): in place, or while copying.

use alloc::vec::Vec;

/// A masking key, turned so that its first byte is for the next byte of the payload.
///
/// The payload of a frame may come in any number of parts: the phase is carried from one to the
/// next. Masking and unmasking are the same.
///
/// ```
/// use sansock::mask::Mask;
///
/// let mut payload = *b"\x7f\x9f\x4d\x51\x58";
/// let mut mask = Mask::new([0x37, 0xfa, 0x21, 0x3d]);
/// mask.apply(&mut payload[..3]);
/// mask.apply(&mut payload[3..]);
/// assert_eq!(&payload, b"Hello");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask(u32);

/// From this length on a call to the wider code is worth its cost.
const WIDE: usize = 128;

/// From this length on the widest registers are: below, the halves of bytes that straddle cache lines
/// cost as much as they save.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
const WIDEST: usize = 4 << 10;

impl Mask {
    /// The mask of a frame with this key, at the start of the payload.
    #[must_use]
    #[inline]
    pub const fn new(key: [u8; 4]) -> Self {
        Mask(u32::from_le_bytes(key))
    }

    /// That of a frame without one: it changes nothing.
    pub(crate) const NONE: Mask = Mask(0);

    /// Masks or unmasks the next part of the payload in place.
    #[inline]
    pub fn apply(&mut self, part: &mut [u8]) {
        if part.len() < WIDE {
            xor(part, self.0);
        } else {
            xor_wide(part, self.0);
        }
        self.skip(part.len());
    }

    /// [`apply`](Self::apply), without a pass over the bytes where that changes nothing.
    #[inline]
    pub(crate) fn apply_if_any(&mut self, part: &mut [u8]) {
        if *self != Mask::NONE {
            self.apply(part);
        }
    }

    /// [`apply`](Self::apply), and whether all that came out is ASCII: text is seen to be valid in the
    /// same pass.
    #[inline]
    pub(crate) fn apply_to_ascii(&mut self, part: &mut [u8]) -> bool {
        let is_ascii = if part.len() < WIDE { xor(part, self.0) } else { xor_wide_to_ascii(part, self.0) };
        self.skip(part.len());
        is_ascii
    }

    /// Appends the next part of the payload, masked, to `out`: one pass over the bytes.
    #[inline]
    pub fn copy(&mut self, part: &[u8], out: &mut Vec<u8>) {
        if part.len() < WIDE {
            copy_short(part, self.0, out);
        } else {
            out.reserve(part.len());
            copy_wide(part, self.0, out);
        }
        self.skip(part.len());
    }

    /// Turns the key past `len` bytes of payload.
    #[inline]
    const fn skip(&mut self, len: usize) {
        self.0 = turn(self.0, len);
    }
}

/// Defines a function twice more, compiled for wider registers, and takes those where the processor has
/// them. The code itself must be `#[inline(always)]`, to become a part of each.
macro_rules! widely {
    (fn $name:ident($part:ident: $of:ty, $($argument:ident: $type:ty),*) -> $output:ty { $code:expr }) => {
        #[inline(never)]
        fn $name($part: $of, $($argument: $type),*) -> $output {
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            {
                #[target_feature(enable = "avx512f")]
                fn avx512($part: $of, $($argument: $type),*) -> $output {
                    $code
                }
                #[target_feature(enable = "avx2")]
                fn avx2($part: $of, $($argument: $type),*) -> $output {
                    $code
                }
                if $part.len() >= WIDEST && std::arch::is_x86_feature_detected!("avx512f") {
                    // SAFETY: the processor has AVX-512, which is all that this safe function asks for.
                    #[allow(unsafe_code, reason = "a call into code for wider registers")]
                    return unsafe { avx512($part, $($argument),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has AVX2, which is all that this safe function asks for.
                    #[allow(unsafe_code, reason = "a call into code for wider registers")]
                    return unsafe { avx2($part, $($argument),*) };
                }
            }
            $code
        }
    };
}

widely!(
    fn xor_wide(part: &mut [u8], key: u32) -> () {
        {
            xor(part, key);
        }
    }
);
widely!(
    fn xor_wide_to_ascii(part: &mut [u8], key: u32) -> bool {
        xor(part, key)
    }
);
widely!(
    fn copy_wide(part: &[u8], key: u32, out: &mut Vec<u8>) -> () {
        copy(part, key, out)
    }
);

/// Masks in place; true if what comes out is ASCII.
#[allow(clippy::inline_always, reason = "it takes the registers of the function that it is part of")]
#[inline(always)]
fn xor(part: &mut [u8], key: u32) -> bool {
    const NOT_ASCII: u64 = 0x8080_8080_8080_8080;
    let Some(last) = part.last_chunk::<8>().copied() else { return xor_bytes(part, key) };
    let last = u64::from_le_bytes(last) ^ double(turn(key, part.len()));
    let key = double(key);
    let mut seen = last;
    for word in part.as_chunks_mut::<8>().0 {
        let masked = u64::from_le_bytes(*word) ^ key;
        *word = masked.to_le_bytes();
        seen |= masked;
    }
    // It overlaps the word before: so it was masked on its own, and both agree.
    if let Some(end) = part.last_chunk_mut::<8>() {
        *end = last.to_le_bytes();
    }
    seen & NOT_ASCII == 0
}

/// The same for less than a word.
#[inline]
fn xor_bytes(part: &mut [u8], key: u32) -> bool {
    for (byte, key) in part.iter_mut().zip(double(key).to_le_bytes()) {
        *byte ^= key;
    }
    part.is_ascii()
}

/// A payload that is short is appended at once: clearing its place costs less than growing by and by.
#[inline]
fn copy_short(part: &[u8], key: u32, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + part.len(), 0);
    let place = out.get_mut(start..).unwrap_or_default();
    let words = place.as_chunks_mut::<8>().0.iter_mut().zip(part.as_chunks::<8>().0);
    for (place, word) in words {
        *place = (u64::from_le_bytes(*word) ^ double(key)).to_le_bytes();
    }
    if let (Some(place), Some(word)) = (place.last_chunk_mut::<8>(), part.last_chunk::<8>()) {
        *place = (u64::from_le_bytes(*word) ^ double(turn(key, part.len()))).to_le_bytes();
    } else {
        place.copy_from_slice(part);
        xor_bytes(place, key);
    }
}

/// Blocks of a fixed size are masked in registers on their way into `out`.
#[expect(clippy::inline_always, reason = "it takes the registers of the function that it is part of")]
#[inline(always)]
fn copy(part: &[u8], key: u32, out: &mut Vec<u8>) {
    let (blocks, rest) = part.as_chunks::<64>();
    for block in blocks {
        let mut block = *block;
        xor(&mut block, key);
        out.extend_from_slice(&block);
    }
    let start = out.len();
    out.extend_from_slice(rest);
    xor(out.get_mut(start..).unwrap_or_default(), key);
}

/// The key as it is `len` bytes further on.
#[expect(clippy::cast_possible_truncation, reason = "it is less than four")]
const fn turn(key: u32, len: usize) -> u32 {
    key.rotate_right((len % 4) as u32 * 8)
}

/// The key twice: eight bytes of it, whatever the phase, are the same as the next eight.
const fn double(key: u32) -> u64 {
    (key as u64) << 32 | key as u64
}
