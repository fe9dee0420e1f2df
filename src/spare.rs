//! Buffers between uses.

use alloc::vec::Vec;
use core::fmt;

/// The least capacity of a buffer that is worth keeping: room for some reads of 64 KiB, so that the
/// beginning of a frame that each of them leaves behind has to move to the front only now and then.
const LEAST: usize = 256 << 10;

/// How much is kept in all.
const MOST: usize = 4 << 20;

/// Buffers that no connection needs just now, for the next one that does.
///
/// A connection at rest owns no buffer, so each burst of traffic begins with fetching some and ends with
/// giving them back. A driver of many connections keeps one `Spare` per thread and lets it go from one
/// connection to the next: what was just used is still in the processor's caches, and the allocator,
/// which may return large buffers to the operating system and fetch them again, is left alone. At most
/// 4 MiB are kept. What a buffer once held is never seen again: buffers come back empty.
///
/// ```
/// use bytes::{Buf, BufMut};
/// use sansock::{Config, Connection, Event, Spare, Timestamp};
///
/// let mut spare = Spare::new();
/// let mut connections = [0, 1].map(|_| Connection::server(Config::default(), Timestamp::EPOCH));
/// for connection in &mut connections {
///     connection.borrow_buffers(&mut spare);
///     connection.input().put_slice(b"\x82\x82\0\0\0\0hi");
///     connection.handle_input(Timestamp::EPOCH);
///     assert!(matches!(connection.poll_event()?, Some(Event::Binary(data)) if &*data == b"hi"));
///     connection.return_buffers(&mut spare);
/// }
/// # Ok::<(), sansock::Error>(())
/// ```
pub struct Spare {
    /// Empty buffers. The one used last is the one to use next.
    buffers: Vec<Vec<u8>>,
    bytes: usize,
    most: usize,
}

impl Spare {
    /// No buffers yet.
    #[must_use]
    pub const fn new() -> Self {
        Spare { buffers: Vec::new(), bytes: 0, most: MOST }
    }

    /// Keeps nothing.
    pub(crate) const fn nothing() -> Self {
        Spare { buffers: Vec::new(), bytes: 0, most: 0 }
    }

    /// How many bytes are kept.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.bytes
    }

    /// An empty buffer in the place of one that is small: a used one, if there is any.
    #[inline]
    pub(crate) fn take_for(&mut self, small: &Vec<u8>) -> Option<Vec<u8>> {
        if small.capacity() >= LEAST {
            return None;
        }
        let Some(buffer) = self.buffers.pop() else { return Some(Vec::with_capacity(LEAST)) };
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// Keeps a buffer, if it is worth it.
    #[inline]
    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() < LEAST || self.bytes + buffer.capacity() > self.most {
            return;
        }
        buffer.clear();
        self.bytes += buffer.capacity();
        self.buffers.push(buffer);
    }
}

impl Default for Spare {
    fn default() -> Self {
        Spare::new()
    }
}

/// Shows how much there is.
impl fmt::Debug for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spare")
            .field("buffers", &self.buffers.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
