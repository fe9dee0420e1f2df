//! Buffers between uses.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use bytes::BytesMut;

use crate::output::SplicedQueue;

/// The least capacity of a buffer that is worth keeping: room for some reads of 64 KiB, so that the
/// beginning of a frame that each of them leaves behind has to move to the front only now and then.
pub(crate) const WORTH_KEEPING: usize = 256 << 10;

/// How much is kept in all.
const MOST: usize = 4 << 20;

/// How many queues are kept.
const QUEUES: usize = 8;

/// Buffers that no connection needs just now, for the next one that does.
///
/// A connection at rest owns no buffer, so each burst of traffic begins with fetching some and ends with
/// giving them back. A driver of many connections keeps one `Spare` per thread and lets it go from one
/// connection to the next: what was just used is still in the processor's caches, and the allocator,
/// which may return large buffers to the operating system and fetch them again, is left alone. At most
/// 4 MiB are kept, or as many bytes as [`with_limit`](Self::with_limit) says. What a buffer once held is never seen again: buffers come back empty.
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
    /// Empty buffers to receive into. The one used last is the one to use next.
    inputs: Vec<BytesMut>,
    /// The same, to send from.
    outputs: Vec<Vec<u8>>,
    /// Empty as well.
    #[expect(clippy::vec_box, reason = "they come and go with their boxes")]
    queues: Vec<Box<SplicedQueue>>,
    bytes: usize,
    most: usize,
}

impl Spare {
    /// No buffers yet.
    #[must_use]
    pub const fn new() -> Self {
        Spare::with_limit(MOST)
    }

    /// No buffers yet, and never more than so many bytes of them.
    #[must_use]
    pub const fn with_limit(bytes: usize) -> Self {
        Spare { inputs: Vec::new(), outputs: Vec::new(), queues: Vec::new(), bytes: 0, most: bytes }
    }

    /// Keeps nothing.
    pub(crate) const fn nothing() -> Self {
        Spare::with_limit(0)
    }

    /// How many bytes are kept.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.bytes
    }

    /// An empty buffer to receive into: a used one, if there is any.
    #[inline]
    pub(crate) fn input(&mut self) -> BytesMut {
        let Some(buffer) = self.inputs.pop() else { return BytesMut::with_capacity(WORTH_KEEPING) };
        self.bytes -= buffer.capacity();
        buffer
    }

    /// An empty buffer to send from, in the place of one that is small.
    #[inline]
    pub(crate) fn output_for(&mut self, small: &Vec<u8>) -> Option<Vec<u8>> {
        if small.capacity() >= WORTH_KEEPING {
            return None;
        }
        let Some(buffer) = self.outputs.pop() else { return Some(Vec::with_capacity(WORTH_KEEPING)) };
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// Keeps a buffer, if it is worth it and nobody else holds a part of it: `whole` is how large it is with
    /// what was split off.
    #[inline]
    pub(crate) fn give_input(&mut self, mut buffer: BytesMut, whole: usize) {
        buffer.clear();
        let is_whole = buffer.capacity() == whole || buffer.try_reclaim(whole);
        if whole >= WORTH_KEEPING && is_whole && self.has_room_for(buffer.capacity()) {
            self.bytes += buffer.capacity();
            self.inputs.push(buffer);
        }
    }

    /// Keeps a buffer, if it is worth it.
    #[inline]
    pub(crate) fn give_output(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() >= WORTH_KEEPING && self.has_room_for(buffer.capacity()) {
            self.bytes += buffer.capacity();
            self.outputs.push(buffer);
        }
    }

    /// A queue for what is spliced into the output, if there is a used one.
    #[inline]
    pub(crate) fn queue(&mut self) -> Option<Box<SplicedQueue>> {
        self.queues.pop()
    }

    /// Keeps a queue, as long as all of them together are small.
    pub(crate) fn give_queue(&mut self, queue: Box<SplicedQueue>) {
        if self.most > 0 && self.queues.len() < QUEUES && queue.is_small() {
            self.queues.push(queue);
        }
    }

    fn has_room_for(&self, capacity: usize) -> bool {
        self.bytes + capacity <= self.most
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
            .field("buffers", &(self.inputs.len() + self.outputs.len()))
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
