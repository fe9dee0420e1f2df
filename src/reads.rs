//! How much to read at once.

use crate::size::at_most;

/// How many bytes to ask the transport for: what reads have brought lately says.
#[derive(Debug)]
pub(crate) struct ReadSize {
    /// In KiB.
    usual: u16,
    /// The last read brought far less.
    was_short: bool,
    /// How much the buffer held before the read, modulo 2³²: only the difference counts.
    before: u32,
}

impl ReadSize {
    const LEAST: u16 = 2;
    /// From this much on a frame is large, and reads that bring as much ask for more. Between frames twice as
    /// much is asked for at the most: one connection must not keep the others waiting for long.
    const MOST: u32 = 64 << 10;
    /// Within a large frame, where fewer and larger reads save system calls.
    const MOST_OF_FRAME: u32 = (Self::KIB_OF_FRAME as u32) << 10;
    const KIB_OF_FRAME: u16 = 512;

    pub(crate) const fn new() -> Self {
        ReadSize { usual: 4, was_short: false, before: 0 }
    }

    /// Notes how much the buffer holds before a read.
    pub(crate) fn expect(&mut self, before: usize) {
        self.before = low_bits(before);
    }

    /// Notes how much it holds after the read.
    pub(crate) fn adapt(&mut self, after: usize) {
        let after = low_bits(after);
        // What was taken out meanwhile is not what arrived.
        let arrived = after.wrapping_sub(self.before).cast_signed().max(0).cast_unsigned();
        self.before = after;
        let usual = u32::from(self.usual) << 10;
        let is_short = arrived < usual / 4;
        let was_short = core::mem::replace(&mut self.was_short, is_short);
        if arrived >= usual.min(Self::MOST) {
            self.usual = (2 * self.usual).min(Self::KIB_OF_FRAME);
        } else if is_short && was_short {
            // One alone may be the rest of what filled the read before.
            self.usual = (self.usual / 2).max(Self::LEAST);
        }
    }

    pub(crate) fn size(&self, missing: u64) -> usize {
        (usize::from(self.usual) << 10).min(Self::most(missing))
    }

    /// How many bytes to read at the most, where there is room anyway.
    pub(crate) fn most(missing: u64) -> usize {
        // All of a large frame and nothing more: what comes next would have to move.
        match at_most(missing, u32::MAX) {
            large if large > Self::MOST => large.min(Self::MOST_OF_FRAME) as usize,
            _ => 2 * Self::MOST as usize,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the rest is not wanted")]
const fn low_bits(len: usize) -> u32 {
    len as u32
}
