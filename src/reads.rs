//! How much to read at once.

/// How many bytes to ask the transport for: what reads have brought lately says.
#[derive(Debug)]
pub(crate) struct ReadSize {
    usual: usize,
    before: usize,
}

impl ReadSize {
    const LEAST: usize = 2 << 10;
    const MOST: usize = 64 << 10;

    pub(crate) const fn new() -> Self {
        ReadSize { usual: 4 << 10, before: 0 }
    }

    pub(crate) fn expect(&mut self, before: usize) {
        self.before = before;
    }

    pub(crate) fn adapt(&mut self, after: usize) {
        let arrived = after.saturating_sub(self.before);
        self.before = after;
        if arrived >= self.usual {
            self.usual = (2 * self.usual).min(Self::MOST);
        } else if arrived < self.usual / 4 {
            self.usual = (self.usual / 2).max(Self::LEAST);
        }
    }

    pub(crate) fn size(&self, missing: usize, held: usize) -> usize {
        missing.min(held.max(Self::MOST)).max(self.usual)
    }
}
