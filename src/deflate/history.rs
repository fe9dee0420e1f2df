//! What a window holds between messages.

use alloc::collections::VecDeque;
use core::fmt;

use super::WindowBits;

/// The last bytes of a direction, as many as its LZ77 window holds: all that a codec needs to go on.
pub(super) struct History {
    bytes: VecDeque<u8>,
    size: usize,
}

impl History {
    pub(super) fn new(window: WindowBits) -> Self {
        History { bytes: VecDeque::new(), size: window.size() }
    }

    /// Adds what a message said.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(bytes.len().saturating_sub(self.size)..).unwrap_or_default();
        let over = (self.bytes.len() + bytes.len()).saturating_sub(self.size);
        self.bytes.drain(..over);
        self.reserve(bytes.len());
        self.bytes.extend(bytes);
    }

    /// The older part and the newer one.
    pub(super) fn parts(&self) -> [&[u8]; 2] {
        let (old, new) = self.bytes.as_slices();
        [old, new]
    }

    /// Grows with what has passed, and never beyond the window.
    fn reserve(&mut self, more: usize) {
        let len = self.bytes.len();
        if self.bytes.capacity() - len < more {
            let doubled = (2 * self.bytes.capacity()).min(self.size);
            self.bytes.reserve_exact(doubled.max(len + more) - len);
        }
    }
}

/// Shows how much there is, but not what: it may be secret.
impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("len", &self.bytes.len()).field("size", &self.size).finish()
    }
}
