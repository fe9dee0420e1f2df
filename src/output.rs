//! The one place where bytes wait to be written.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
#[cfg(feature = "std")]
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use crate::spare::Spare;

/// Capacity that an empty queue keeps, so that steady traffic allocates nothing: room for the answers
/// to all that one read brings. Common allocators fetch fresh pages for each buffer of 128 KiB and more.
const KEPT: usize = 96 << 10;

/// What an empty queue keeps at the most until the transport would block.
const MOST_KEPT: usize = 2 << 20;

/// A queue that outgrows this gets [`KEPT`] at once: growing by and by would copy it again and again.
const SMALL: usize = 4 << 10;

/// Bytes that wait to be written, in order: a [`Buf`].
///
/// Frame heads, small payloads and masked payloads stand in one flat buffer; large owned payloads
/// stay where they are, and are counted by reference.
///
/// ```text
///   written    flat bytes     │ spliced payload   flat bytes    │ spliced payload   ...
/// ┌─────────┬─────────────────┼─────────────────┬───────────────┼─────────────────┬────
/// 0         head              at of the first                   at of the second
/// ```
///
/// Write its chunks, all at once with `chunks_vectored` where there is std, then
/// [`advance`](Buf::advance) by what the transport took: a partial write is nothing special.
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
    spliced: VecDeque<Spliced>,
    spliced_len: u64,
    written: u64,
}

/// A payload that comes before the flat byte at `at`.
struct Spliced {
    at: usize,
    bytes: Bytes,
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
            self.flat.reserve(len);
        }
    }

    /// Appends a payload by reference.
    pub(crate) fn splice(&mut self, bytes: Bytes) {
        self.spliced_len += bytes.len() as u64;
        self.spliced.push_back(Spliced { at: self.flat.len(), bytes });
    }

    /// Moves all that waits in `other` behind what waits here.
    pub(crate) fn append(&mut self, other: &mut Output) {
        if !self.has_remaining() {
            core::mem::swap(&mut self.flat, &mut other.flat);
            core::mem::swap(&mut self.spliced, &mut other.spliced);
            (self.head, self.spliced_len) = (other.head, other.spliced_len);
            (other.head, other.spliced_len) = (0, 0);
            other.flat.clear();
            return;
        }
        let mut from = other.head;
        for Spliced { at, bytes } in other.spliced.drain(..) {
            self.flat.extend_from_slice(other.flat.get(from..at).unwrap_or_default());
            from = at;
            self.splice(bytes);
        }
        self.flat.extend_from_slice(other.flat.get(from..).unwrap_or_default());
        other.flat.clear();
        (other.head, other.spliced_len) = (0, 0);
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
            && let Some(buffer) = spare.take_for(&self.flat)
        {
            self.flat = buffer;
        }
    }

    /// Gives back memory that holds nothing.
    #[inline]
    pub(crate) fn return_buffer(&mut self, spare: &mut Spare) {
        if !self.has_remaining() {
            spare.give(core::mem::take(&mut self.flat));
            self.clear();
        }
    }

    /// The flat bytes before the next spliced payload.
    #[inline]
    fn front(&self) -> &[u8] {
        let end = self.spliced.front().map_or(self.flat.len(), |next| next.at);
        self.flat.get(self.head..end).unwrap_or_default()
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
            for spliced in &mut self.spliced {
                spliced.at -= self.head;
            }
            self.head = 0;
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
        (self.flat.len() - self.head).saturating_add(usize::try_from(self.spliced_len).unwrap_or(usize::MAX))
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        match (self.front(), self.spliced.front()) {
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
        for Spliced { at, bytes } in &self.spliced {
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
        let mut len = len.min(self.remaining());
        self.written += len as u64;
        if self.spliced.is_empty() && len == self.flat.len() - self.head {
            return self.reset();
        }
        while len > 0 {
            let flat = self.front().len().min(len);
            self.head += flat;
            len -= flat;
            if let Some(next) = self.spliced.front_mut().filter(|_| len > 0) {
                let part = next.bytes.len().min(len);
                next.bytes.advance(part);
                self.spliced_len -= part as u64;
                len -= part;
                if next.bytes.is_empty() {
                    self.spliced.pop_front();
                }
            }
        }
        if self.head == self.flat.len() && self.spliced.is_empty() {
            self.reset();
        } else {
            self.compact();
        }
    }
}
