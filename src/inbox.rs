//! The receive buffer and its cursors.
//!
//! ```text
//!   handed out   the open message     headers of its    not yet parsed   room
//!                so far, unmasked     fragments: a gap
//! ┌────────────┬────────────────────┬─────────────────┬────────────────┬───────┐
//! 0            start                end               pos              len     capacity
//! ```
//!
//! A message of one frame never moves: its gap is empty. The payload of a later fragment moves down
//! to `end` as it arrives, so that a message is always one slice.

use alloc::vec::Vec;
use core::fmt;

use bytes::{Buf, Bytes, BytesMut};

use crate::spare::{Spare, WORTH_KEEPING};

/// From this length on an owned message is worth its own buffer: below, a copy costs less than the
/// fresh allocation that sharing the buffer makes necessary.
const OWN_BUFFER: usize = 16 << 10;

/// A message of this length is large: its room grows with it.
const LARGE: usize = 64 << 10;

/// A buffer is read into as long as there is room for a usual read.
const ENOUGH: usize = 64 << 10;

/// An empty frame and its answer fit into this: what may be kept on top of twice the unread bytes.
const SLACK: usize = 1 << 10;

/// Moving less than this costs less than the caches that one more buffer takes.
const CHEAP: usize = 4 << 10;

#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) buf: BytesMut,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) pos: usize,
    /// How many bytes of the allocation stand before `buf`, because they were shared.
    gone: usize,
}

impl Inbox {
    /// The bytes that are not yet parsed.
    #[inline]
    pub(crate) fn unparsed(&self) -> &[u8] {
        self.buf.get(self.pos..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn unparsed_mut(&mut self) -> &mut [u8] {
        self.buf.get_mut(self.pos..).unwrap_or_default()
    }

    /// The open message so far.
    pub(crate) fn message(&self) -> &[u8] {
        self.buf.get(self.start..self.end).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn lend(&self, start: usize, len: usize) -> &[u8] {
        self.buf.get(start..start + len).unwrap_or_default()
    }

    /// Skips `len` unparsed bytes that belong to no message.
    #[inline]
    pub(crate) fn skip(&mut self, len: usize) {
        self.pos += len;
        if self.start == self.end {
            self.start = self.pos;
            self.end = self.pos;
        }
    }

    /// Adds `len` unparsed bytes to the open message.
    pub(crate) fn extend_message(&mut self, len: usize) {
        if self.end != self.pos {
            self.buf.copy_within(self.pos..self.pos + len, self.end);
        }
        self.end += len;
        self.pos += len;
    }

    /// Counts the open message's first `len` bytes as handed out.
    pub(crate) fn hand_out(&mut self, len: usize) {
        self.start += len;
        if self.start == self.end {
            self.start = self.pos;
            self.end = self.pos;
        }
    }

    /// Moves the unparsed bytes, few or none, down to the open message, so that what comes next is
    /// read to its final place.
    pub(crate) fn close_gap(&mut self) {
        if self.end != self.pos {
            self.cut(self.end, self.pos);
            self.pos = self.end;
        }
    }

    /// Drops what was handed out, and the headers' gap, if that is for free or has become the larger
    /// part.
    pub(crate) fn drop_front(&mut self) {
        if self.start == self.buf.len() {
            self.clear();
        } else if self.start >= self.buf.len() - self.start {
            self.shift(self.start);
        }
        if self.pos - self.end > self.buf.len() - self.pos {
            self.close_gap();
        }
    }

    /// Makes room for a read of up to `size` bytes. Unread bytes move down only where that is needed, and
    /// never twice without as many new ones. A message grows by half of its length at least, however little
    /// each read brings: else short reads would move a large one as many times. A large one grows by no more
    /// than the frame under way is known to need, and by no more than its length: that is not taken back while
    /// it waits.
    pub(crate) fn make_room(&mut self, size: usize, missing: Option<usize>) {
        if self.start == self.buf.len() {
            self.clear();
        }
        let len = self.buf.len();
        let most = if len < LARGE { LARGE } else { len.min(missing.unwrap_or(len)) };
        let room = size.min(most);
        if self.room() < room.div_ceil(2) {
            self.drop_front();
        }
        if self.room() < room.div_ceil(2) {
            self.grow(most.min(room.max(self.buf.len() / 2)));
        }
    }

    /// Makes room for `room` bytes behind those that are there, and for no more: a vector's own growth, which
    /// doubles it, would pass what a message may take.
    pub(crate) fn grow(&mut self, room: usize) {
        let mut buf = Vec::from(core::mem::take(&mut self.buf));
        buf.reserve_exact(room);
        self.buf = Bytes::from(buf).into();
        self.gone = 0;
    }

    /// How many bytes a read may bring.
    pub(crate) fn room(&self) -> usize {
        self.buf.capacity() - self.buf.len()
    }

    pub(crate) fn clear(&mut self) {
        self.buf.clear();
        (self.start, self.end, self.pos) = (0, 0, 0);
    }

    /// Takes a large buffer for the next read, if this one is small, and if that read may well bring as much
    /// as has to move for it: `size` bytes.
    #[inline]
    pub(crate) fn borrow_buffer(&mut self, spare: &mut Spare, size: impl FnOnce() -> usize) {
        if self.buf.capacity() < WORTH_KEEPING && !self.reclaim() {
            self.replace_buffer(spare, size);
        }
    }

    #[inline]
    fn replace_buffer(&mut self, spare: &mut Spare, size: impl FnOnce() -> usize) {
        if self.buf.capacity() < ENOUGH && (self.is_cheap_to_move() || self.held() <= size()) {
            self.change_buffer(spare.input());
        }
    }

    /// Makes the buffer whole again, if it is empty and all that was shared of it is dropped.
    fn reclaim(&mut self) -> bool {
        let is_whole = self.gone > 0 && self.buf.is_empty() && self.buf.try_reclaim(self.whole());
        if is_whole {
            self.gone = 0;
        }
        is_whole && self.buf.capacity() >= WORTH_KEEPING
    }

    /// How large the allocation is that this keeps alive.
    fn whole(&self) -> usize {
        self.gone + self.buf.capacity()
    }

    /// How many bytes were not handed out.
    fn held(&self) -> usize {
        self.buf.len() - self.start
    }

    /// Gives back memory that holds nothing, for others to use.
    pub(crate) fn return_buffer(&mut self, spare: &mut Spare) {
        self.drop_front();
        let whole = self.whole();
        let held = self.held();
        if held == 0 || whole > 2 * held + SLACK {
            let buffer =
                self.change_buffer(if held == 0 { BytesMut::new() } else { BytesMut::with_capacity(held) });
            spare.give_input(buffer, whole);
        }
    }

    /// Whether little is held.
    pub(crate) fn is_cheap_to_move(&self) -> bool {
        self.held() < CHEAP
    }

    /// Moves what was not handed out to another, empty buffer.
    fn change_buffer(&mut self, mut buffer: BytesMut) -> BytesMut {
        buffer.extend_from_slice(self.buf.get(self.start..).unwrap_or_default());
        let by = self.start;
        (self.start, self.end, self.pos) = (0, self.end - by, self.pos - by);
        self.gone = 0;
        core::mem::replace(&mut self.buf, buffer)
    }

    /// Takes `len` bytes at `start`, which were handed out, out of the buffer: they take it along if they are
    /// large and most of it, or else are copied.
    pub(crate) fn take_out(&mut self, start: usize, len: usize) -> Bytes {
        // A small message must not keep a large buffer alive, nor much be copied that stands behind it.
        if len < OWN_BUFFER || len < self.whole() / 2 {
            return Bytes::copy_from_slice(self.lend(start, len));
        }
        let rest = BytesMut::from(self.buf.get(start + len..).unwrap_or_default());
        let (taken, _) = self.share(start, len);
        self.buf = rest;
        self.gone = 0;
        taken
    }

    /// Shares `len` bytes at `start`, which were handed out, and says how large the allocation is that they
    /// keep alive. What is read from here on stands behind them, in the same one.
    pub(crate) fn share(&mut self, start: usize, len: usize) -> (Bytes, usize) {
        let whole = self.whole();
        let end = start + len;
        let mut shared = self.buf.split_to(end);
        self.gone += end;
        (self.start, self.end, self.pos) = (self.start - end, self.end - end, self.pos - end);
        shared.advance(start);
        (shared.freeze(), whole)
    }

    fn shift(&mut self, by: usize) {
        self.cut(0, by);
        (self.start, self.end, self.pos) = (self.start - by, self.end - by, self.pos - by);
    }

    /// Moves the bytes from `until` on down to `from`.
    fn cut(&mut self, from: usize, until: usize) {
        self.buf.copy_within(until.., from);
        self.buf.truncate(self.buf.len() - (until - from));
    }
}

/// Shows how much there is, but not what: it may be secret.
impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("len", &self.buf.len())
            .field("unparsed", &self.unparsed().len())
            .finish_non_exhaustive()
    }
}
