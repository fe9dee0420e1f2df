//! How much to read at once.

/// How many bytes to ask the transport for: what reads have brought lately says.
#[derive(Debug)]
pub(crate) struct ReadSize {
    usual: usize,
    before: usize,
    /// The last read brought far less.
    was_short: bool,
}

impl ReadSize {
    const LEAST: usize = 2 << 10;
    /// Between frames: one connection must not keep the others waiting for long.
    const MOST: usize = 64 << 10;
    /// Within a large frame, where fewer and larger reads save system calls.
    const MOST_OF_FRAME: usize = 512 << 10;

    pub(crate) const fn new() -> Self {
        ReadSize { usual: 4 << 10, before: 0, was_short: false }
    }

    /// Notes how much the buffer holds before a read.
    pub(crate) fn expect(&mut self, before: usize) {
        self.before = before;
    }

    /// Notes how much it holds after the read.
    pub(crate) fn adapt(&mut self, after: usize) {
        let arrived = after.saturating_sub(self.before);
        self.before = after;
        let is_short = arrived < self.usual / 4;
        let was_short = core::mem::replace(&mut self.was_short, is_short);
        if arrived >= self.usual.min(Self::MOST) {
            self.usual = (2 * self.usual).min(Self::MOST_OF_FRAME);
        } else if is_short && was_short {
            // One alone may be the rest of what filled the read before.
            self.usual = (self.usual / 2).max(Self::LEAST);
        }
    }

    pub(crate) fn size(&self, missing: u64) -> usize {
        self.usual.min(Self::most(missing))
    }

    /// How many bytes to read at the most, where there is room anyway.
    pub(crate) fn most(missing: u64) -> usize {
        // All of a large frame and nothing more: what comes next would have to move.
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        if missing > Self::MOST { missing.min(Self::MOST_OF_FRAME) } else { 2 * Self::MOST }
    }
}
