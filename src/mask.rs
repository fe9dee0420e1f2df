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

/// The registers of a pass over many bytes. What is wider than usual is only named where the processor has it.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Registers {
    Usual,
    Avx2,
    Avx512,
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
impl Registers {
    #[allow(clippy::inline_always, reason = "it is one look at what the processor has")]
    #[inline(always)]
    fn for_len(len: usize) -> Self {
        #[cfg(test)]
        if let Some(forced) = tests::FORCED.get().filter(|forced| forced.are_there()) {
            return forced;
        }
        if len >= WIDEST && Registers::Avx512.are_there() {
            Registers::Avx512
        } else if Registers::Avx2.are_there() {
            Registers::Avx2
        } else {
            Registers::Usual
        }
    }

    #[allow(clippy::inline_always, reason = "it is one look at what the processor has")]
    #[inline(always)]
    fn are_there(self) -> bool {
        match self {
            Registers::Usual => true,
            Registers::Avx2 => std::arch::is_x86_feature_detected!("avx2"),
            Registers::Avx512 => std::arch::is_x86_feature_detected!("avx512f"),
        }
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
                match Registers::for_len($part.len()) {
                    // SAFETY: the processor has AVX-512, which is all that this safe function asks for.
                    #[allow(unsafe_code, reason = "a call into code for wider registers")]
                    Registers::Avx512 => return unsafe { avx512($part, $($argument),*) },
                    // SAFETY: the processor has AVX2, which is all that this safe function asks for.
                    #[allow(unsafe_code, reason = "a call into code for wider registers")]
                    Registers::Avx2 => return unsafe { avx2($part, $($argument),*) },
                    Registers::Usual => {}
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

/// Every function against one byte at a time. In a release build the loops are those for wide registers:
/// `cargo test --release --lib mask`.
#[cfg(all(test, feature = "std", target_arch = "x86_64"))]
#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]
mod tests {
    use alloc::vec::Vec;
    use core::cell::Cell;

    use super::{Registers, WIDE, WIDEST, copy_short, copy_wide, turn, xor, xor_wide, xor_wide_to_ascii};

    std::thread_local! {
        /// The registers to take, whatever the length.
        pub(super) static FORCED: Cell<Option<Registers>> = const { Cell::new(None) };
    }

    const KEY: [u8; 4] = [0x12, 0xfe, 0x03, 0x9a];
    const OFFSETS: usize = 65;

    /// Begins where a cache line does, so that an offset is an alignment.
    #[repr(align(64))]
    struct Aligned([u8; WIDEST + 70 + OFFSETS]);

    impl Aligned {
        fn new() -> Self {
            let mut bytes = Aligned([0; WIDEST + 70 + OFFSETS]);
            bytes.0.iter_mut().zip(0..).for_each(|(byte, i): (_, usize)| *byte = (i * 7 + i / 256) as u8);
            bytes
        }
    }

    /// Each kind of registers that this processor has, by name.
    fn with_all_registers(mut run: impl FnMut(Registers)) {
        for registers in [Registers::Usual, Registers::Avx2, Registers::Avx512] {
            if registers.are_there() {
                FORCED.set(Some(registers));
                run(registers);
                FORCED.set(None);
            } else {
                std::eprintln!("not tested, for this processor has none: {registers:?}");
            }
        }
    }

    fn one_by_one(part: &[u8], phase: usize) -> Vec<u8> {
        part.iter().zip(phase..).map(|(byte, i)| byte ^ KEY[i % 4]).collect()
    }

    /// Checks every function on `len` bytes at this offset.
    fn check(source: &Aligned, len: usize, offset: usize, registers: Registers) {
        let end = offset + len;
        let part = &source.0[offset..end];
        for phase in 0..4 {
            let key = turn(u32::from_le_bytes(KEY), phase);
            let expected = one_by_one(part, phase);
            let place = || std::format!("{registers:?}, len {len}, offset {offset}, phase {phase}");
            let in_place: [fn(&mut [u8], u32); 2] = [|part, key| _ = xor(part, key), xor_wide];
            for apply in in_place {
                let mut bytes = Aligned(source.0);
                apply(&mut bytes.0[offset..end], key);
                assert!(bytes.0[offset..end] == expected[..], "{}", place());
                assert!(bytes.0[..offset] == source.0[..offset], "before {}", place());
                assert!(bytes.0[end..] == source.0[end..], "behind {}", place());
            }
            let mut bytes = part.to_vec();
            assert_eq!(xor_wide_to_ascii(&mut bytes, key), expected.is_ascii(), "{}", place());
            assert!(bytes == expected, "{}", place());
            for copy in [copy_short, copy_wide] {
                let mut out = b"before".to_vec();
                copy(part, key, &mut out);
                assert!(out.strip_prefix(b"before") == Some(&expected), "{}", place());
            }
        }
    }

    #[test]
    fn rule_g_every_path_agrees_with_single_bytes_at_every_length_offset_and_phase() {
        let source = Aligned::new();
        with_all_registers(|registers| {
            for len in 0..=300 {
                for offset in (0..OFFSETS).step_by(if cfg!(debug_assertions) { 13 } else { 1 }) {
                    check(&source, len, offset, registers);
                }
            }
        });
    }

    #[test]
    fn rule_g_every_path_agrees_with_single_bytes_around_the_lengths_that_choose_it() {
        let source = Aligned::new();
        with_all_registers(|registers| {
            for least in [WIDE, WIDEST] {
                for len in (least - 70..=least + 70).step_by(if cfg!(debug_assertions) { 7 } else { 1 }) {
                    for offset in [0, 1, 3, 8, 31, 33, 63, 64] {
                        check(&source, len, offset, registers);
                    }
                }
            }
        });
    }

    /// What the processor has and the length suggests, where nobody forces anything.
    #[test]
    fn rule_g_the_registers_that_are_chosen_agree_with_single_bytes() {
        let source = Aligned::new();
        for len in [0, 1, 7, 8, WIDE - 1, WIDE, WIDEST - 1, WIDEST, WIDEST + 65] {
            check(&source, len, 1, Registers::for_len(len));
        }
    }

    #[test]
    fn rule_g_every_path_sees_one_byte_that_is_not_ascii_wherever_it_is() {
        let ascii: Vec<u8> = one_by_one(&[b'a'; 300], 0);
        let key = u32::from_le_bytes(KEY);
        with_all_registers(|registers| {
            for len in 0..=ascii.len() {
                let mut bytes = ascii[..len].to_vec();
                assert!(xor_wide_to_ascii(&mut bytes, key), "{registers:?}, len {len}");
                for at in (0..len).step_by(if cfg!(debug_assertions) { 7 } else { 1 }) {
                    bytes.copy_from_slice(&ascii[..len]);
                    bytes[at] ^= 0x80;
                    assert!(!xor_wide_to_ascii(&mut bytes, key), "{registers:?}, len {len}, at {at}");
                }
            }
        });
    }
}
