//! The one place where bytes wait to be written.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
#[cfg(feature = "std")]
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use crate::size::at_most;
use crate::spare::Spare;

/// Capacity that an empty queue keeps, so that steady traffic allocates nothing: room for the answers
/// to all that one read brings. Common allocators fetch fresh pages for each buffer of 128 KiB and more.
const KEPT: usize = 96 << 10;

/// What an empty queue keeps at the most until the transport would block.
const MOST_KEPT: usize = 2 << 20;

/// A queue that outgrows this gets [`KEPT`] at once: growing by and by would copy it again and again.
const SMALL: usize = 4 << 10;

/// The least that a queue gets: room for the small answers to what one read brings.
const LEAST: usize = 512;

/// Bytes that wait to be written, in order: a [`Buf`].
///
/// Frame heads, small payloads and masked payloads stand in one flat buffer; large owned payloads, and
/// large ones that are relayed, stay where they are, and are counted by reference.
///
/// ```text
///   written    flat bytes     │ spliced payload   flat bytes    │ spliced payload   ...
/// ┌─────────┬─────────────────┼─────────────────┬───────────────┼─────────────────┬────
/// 0         head              at of the first                   at of the second
/// ```
///
/// Write its chunks, all at once with `chunks_vectored` where there is std, then
/// [`advance`](Buf::advance) by what the transport took: a partial write is nothing special. Or take all of it,
/// as [`mem::take`](core::mem::take) does, to write it elsewhere: then it counts as written.
///
/// ```
/// use bytes::Buf;
/// use sansock::{Config, Connection, Timestamp};
///
/// let mut connection = Connection::server(Config::default(), Timestamp::EPOCH);
/// connection.text("hi")?;
/// assert_eq!(connection.output().chunk(), b"\x81\x02hi");
/// connection.output().advance(3);
/// assert_eq!(connection.output().remaining(), 1);
/// # Ok::<(), sansock::SendError>(())
/// ```
#[derive(Default)]
pub struct Output {
    flat: Vec<u8>,
    head: usize,
    /// Where there are any; not at rest.
    spliced: Option<Box<SplicedQueue>>,
    written: u64,
}

#[derive(Default)]
pub(crate) struct SplicedQueue {
    payloads: VecDeque<Spliced>,
    /// How many bytes they are.
    len: u64,
}

/// A payload that comes before the flat byte at `at`.
struct Spliced {
    at: usize,
    bytes: Bytes,
    /// How large the receive buffer is that it stands in, if it does.
    pinned: usize,
}

impl Output {
    /// The flat buffer, to append to.
    #[inline]
    pub(crate) fn flat(&mut self) -> &mut Vec<u8> {
        &mut self.flat
    }

    /// The flat buffer with room for `len` bytes.
    #[inline]
    pub(crate) fn room(&mut self, len: usize) -> &mut Vec<u8> {
        if self.flat.capacity() - self.flat.len() < len {
            self.grow(len);
        }
        &mut self.flat
    }

    #[cold]
    fn grow(&mut self, len: usize) {
        let wanted = self.flat.len() + len;
        if (SMALL..KEPT).contains(&wanted) {
            self.flat.reserve_exact(KEPT - self.flat.len());
        } else {
            self.flat.reserve(len.max(LEAST));
        }
    }

    /// Appends a payload by reference. One that stands in a receive buffer keeps alive `pinned` bytes.
    pub(crate) fn splice(&mut self, bytes: Bytes, pinned: usize) {
        self.push(Spliced { at: self.flat.len(), bytes, pinned });
    }

    fn push(&mut self, spliced: Spliced) {
        let queue = self.spliced.get_or_insert_default();
        queue.len += spliced.bytes.len() as u64;
        queue.payloads.push_back(spliced);
    }

    /// Counts the first `taken` bytes of these parts as written, and queues the rest. Nothing else may wait.
    #[inline]
    pub(crate) fn queue_rest(&mut self, taken: usize, parts: [&[u8]; 2]) {
        let mut left = taken;
        for part in parts {
            let now = left.min(part.len());
            left -= now;
            self.written += now as u64;
            if now < part.len() {
                self.flat.extend_from_slice(part.get(now..).unwrap_or_default());
            }
        }
    }

    /// Moves all that waits in `other` behind what waits here.
    pub(crate) fn append(&mut self, other: &mut Output) {
        if !self.has_remaining() {
            core::mem::swap(&mut self.flat, &mut other.flat);
            core::mem::swap(&mut self.spliced, &mut other.spliced);
            self.head = core::mem::take(&mut other.head);
            other.flat.clear();
            return;
        }
        let mut from = other.head;
        for spliced in other.spliced.take().into_iter().flat_map(|queue| queue.payloads) {
            self.flat.extend_from_slice(other.flat.get(from..spliced.at).unwrap_or_default());
            from = spliced.at;
            self.push(Spliced { at: self.flat.len(), ..spliced });
        }
        self.flat.extend_from_slice(other.flat.get(from..).unwrap_or_default());
        other.flat.clear();
        other.head = 0;
        // It may be long until there is as much again.
        if other.flat.capacity() > KEPT {
            other.flat = Vec::new();
        }
    }

    /// How many bytes were written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Drops all that waits.
    pub(crate) fn clear(&mut self) {
        *self = Output { written: self.written, ..Output::default() };
    }

    /// Gives back a large buffer that holds nothing, before a wait that may be long.
    #[cfg(feature = "std")]
    pub(crate) fn trim(&mut self) {
        if self.flat.capacity() > KEPT && !self.has_remaining() {
            self.flat = Vec::new();
        }
    }

    /// Takes a large buffer for what is queued next, if this has none.
    #[inline]
    pub(crate) fn borrow_buffer(&mut self, spare: &mut Spare) {
        if self.flat.is_empty()
            && let Some(buffer) = spare.output_for(&self.flat)
        {
            self.flat = buffer;
            if self.spliced.is_none() {
                self.spliced = spare.queue();
            }
        }
    }

    /// Gives back memory: all of it if nothing waits, or else what is not needed for that.
    #[inline]
    pub(crate) fn return_buffer(&mut self, spare: &mut Spare) {
        if self.has_remaining() {
            return self.shrink(spare);
        }
        spare.give_output(core::mem::take(&mut self.flat));
        if let Some(queue) = self.spliced.take() {
            spare.give_queue(queue);
        }
        self.head = 0;
    }

    /// Lets what waits longer take about as much memory as it needs.
    fn shrink(&mut self, spare: &mut Spare) {
        let held = self.flat.len() - self.head;
        if self.flat.capacity() > 2 * held + KEPT {
            let mut flat = Vec::with_capacity(held);
            flat.extend_from_slice(self.flat.get(self.head..).unwrap_or_default());
            spare.give_output(core::mem::replace(&mut self.flat, flat));
            self.move_down();
        }
        if let Some(queue) = &mut self.spliced {
            queue.unpin();
        }
    }

    /// Counts from the first byte that waits: those before it were dropped.
    fn move_down(&mut self) {
        for spliced in self.spliced.iter_mut().flat_map(|queue| &mut queue.payloads) {
            spliced.at -= self.head;
        }
        self.head = 0;
    }

    /// The next spliced payload.
    #[inline]
    fn next_spliced(&self) -> Option<&Spliced> {
        self.spliced.as_ref()?.payloads.front()
    }

    /// The flat bytes before the next spliced payload.
    #[inline]
    fn front(&self) -> &[u8] {
        let end = self.next_spliced().map_or(self.flat.len(), |next| next.at);
        self.flat.get(self.head..end).unwrap_or_default()
    }

    /// Skips `len` bytes, no more than there are.
    fn skip(&mut self, mut len: usize) {
        let Some(queue) = &mut self.spliced else {
            self.head += len;
            return;
        };
        let mut done = 0;
        for next in &mut queue.payloads {
            let flat = len.min(next.at - self.head);
            let part = next.bytes.len().min(len - flat);
            self.head += flat;
            next.bytes.advance(part);
            queue.len -= part as u64;
            len -= flat + part;
            if !next.bytes.is_empty() {
                break;
            }
            done += 1;
        }
        self.head += len;
        // Their owners may panic when they get them back: all is counted by then.
        queue.payloads.drain(..done);
    }

    #[inline]
    fn reset(&mut self) {
        self.flat.clear();
        self.head = 0;
        if self.flat.capacity() > MOST_KEPT {
            self.flat = Vec::new();
        }
    }

    /// Drops written flat bytes once they outweigh those that wait: each byte moves at most once on
    /// average, however long the queue never runs empty.
    fn compact(&mut self) {
        if self.head > KEPT && self.head > self.flat.len() - self.head {
            self.flat.drain(..self.head);
            self.move_down();
        }
    }
}

impl SplicedQueue {
    /// Whether it is worth keeping when it is empty.
    pub(crate) fn is_small(&self) -> bool {
        self.payloads.capacity() <= 64
    }

    /// Lets no payload keep alive a receive buffer that is much larger.
    fn unpin(&mut self) {
        for spliced in self.payloads.iter_mut().filter(|spliced| spliced.bytes.len() < spliced.pinned / 2) {
            spliced.bytes = Bytes::copy_from_slice(&spliced.bytes);
            spliced.pinned = 0;
        }
    }
}

/// Shows how much waits, but not what: it may be secret.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("remaining", &self.remaining())
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl From<Vec<u8>> for Output {
    fn from(flat: Vec<u8>) -> Self {
        Output { flat, ..Output::default() }
    }
}

impl Buf for Output {
    #[inline]
    fn remaining(&self) -> usize {
        let flat = self.flat.len() - self.head;
        let Some(queue) = &self.spliced else { return flat };
        flat.saturating_add(at_most(queue.len, usize::MAX))
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        match (self.front(), self.next_spliced()) {
            ([], Some(next)) => &next.bytes,
            (flat, _) => flat,
        }
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut from = self.head;
        let mut count = 0;
        let mut put = |bytes: &'a [u8]| match slices.get_mut(count) {
            Some(slice) if !bytes.is_empty() => {
                *slice = IoSlice::new(bytes);
                count += 1;
                true
            }
            Some(_) => true,
            None => false,
        };
        for Spliced { at, bytes, .. } in self.spliced.iter().flat_map(|queue| &queue.payloads) {
            if !put(self.flat.get(from..*at).unwrap_or_default()) || !put(bytes) {
                return count;
            }
            from = *at;
        }
        put(self.flat.get(from..).unwrap_or_default());
        count
    }

    /// Counts `len` bytes as written; more than there are count as all.
    #[inline]
    fn advance(&mut self, len: usize) {
        let len = len.min(self.remaining());
        self.written += len as u64;
        if len == self.flat.len() - self.head && self.next_spliced().is_none() {
            return self.reset();
        }
        self.skip(len);
        if self.head == self.flat.len() && self.next_spliced().is_none() {
            self.reset();
        } else {
            self.compact();
        }
    }
}
