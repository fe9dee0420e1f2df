//! Inflating messages (RFC 7692 §7.2.2).

use alloc::boxed::Box;

use super::codec::{Inflater, Outcome, Stop, TAIL};
use super::history::History;
use super::negotiation::Direction;
use super::pool::Borrower;
use super::{Deflate, WindowBits};
use crate::error::{DeflateError, Error};
use crate::inbox::Inbox;
use crate::mask::Mask;
use crate::size::at_most;
use crate::spare::Spare;
use crate::utf8::Validator;

/// The inflating end of one direction.
#[derive(Debug)]
pub(crate) struct Inflating {
    borrower: Borrower<Inflater>,
    /// What the peer's compressor may refer to, if it takes that over.
    history: Option<History>,
    /// Whether a decoder may go on where it was left. One that knows more than a small window holds would
    /// let a peer refer to what another would not know.
    may_go_on: bool,
    /// The decoder, while there is input for it or a message is open.
    inflater: Option<Box<Inflater>>,
    /// The open message as far as it is inflated and not handed out.
    out: Inbox,
    /// How many of the next compressed bytes are unmasked already.
    unmasked: usize,
    /// How many bytes at the end of `out` the history does not have yet.
    unsaved: usize,
    /// How long the last message was.
    usual: u64,
    limit: u64,
    message: Message,
}

/// The message under way.
#[derive(Debug)]
struct Message {
    /// Whether the decoder stands where the next byte belongs.
    is_ready: bool,
    /// Compressed bytes so far.
    taken: u64,
    /// Inflated bytes so far.
    made: u64,
    /// The last compressed bytes.
    last: [u8; TAIL.len()],
    /// Whether any came since the message began or a block with BFINAL has ended.
    is_untouched: bool,
    /// Of a text message.
    text: Option<Validator>,
}

/// A decoder's call, as far as the caller has to know it.
struct Step {
    used: usize,
    /// More can come out without more going in.
    is_full: bool,
    outcome: Outcome,
}

/// Compressed bytes that need not inflate to anything: blocks without content are legal, and cost time.
const FOR_NOTHING: u64 = 64 << 10;

/// What the end of a stream counts for, in compressed bytes: the decoder begins anew, and is told what the
/// window holds.
const RESTART: u64 = 512;

/// How many compressed bytes each inflated one pays for: a flush behind every byte takes about eight.
const EACH_PAYS: u64 = 16;

impl Inflating {
    pub(crate) fn new(deflate: &Deflate, agreed: Direction, limit: u64) -> Self {
        // zlib's compressors for a window of 8 bits use one of 9.
        let window = agreed.window.max(WindowBits::LEAST_OF_ZLIB);
        Inflating {
            borrower: Borrower::new(deflate.pool.as_ref(), ()),
            history: agreed.takes_over.then(|| History::new(window)),
            may_go_on: window == WindowBits::MAX,
            inflater: None,
            out: Inbox::default(),
            unmasked: 0,
            unsaved: 0,
            usual: 0,
            limit,
            message: Message::new(false, false),
        }
    }

    /// The most compressed bytes that a message within the limit may have: some encoders make
    /// incompressible data longer.
    pub(crate) fn max_compressed(&self) -> u64 {
        self.limit.saturating_add(self.limit / 8).saturating_add(FOR_NOTHING)
    }

    /// Begins a message.
    pub(crate) fn begin(&mut self, is_text: bool) {
        self.message = Message::new(self.message.is_ready && self.goes_on(), is_text);
    }

    /// Gives back the buffer of a large message, once that is handed out: what follows may be small, and wait.
    pub(crate) fn trim(&mut self) {
        if self.pending() == 0 && self.out.buf.capacity() > MOST_KEPT {
            self.out = Inbox::default();
        }
    }

    /// Whether a decoder goes on in the next message where it is left.
    fn goes_on(&self) -> bool {
        self.history.is_some() && self.may_go_on
    }

    /// What is inflated of the open message, or of the last one, and not handed out.
    pub(crate) fn out(&mut self) -> &mut Inbox {
        &mut self.out
    }

    /// How many bytes that is.
    pub(crate) fn pending(&self) -> usize {
        self.out.buf.len() - self.out.start
    }

    /// How many bytes at the end of [`out`](Self::out) begin a character that is not complete.
    pub(crate) fn incomplete(&self) -> usize {
        self.message.text.as_ref().map_or(0, Validator::incomplete)
    }

    /// Unmasks and inflates `part` to the end of [`out`](Self::out), and says how much of it is done with:
    /// all, unless `out` has `enough` bytes by then. Then more may come out even of nothing. What is not
    /// done with is given again, as it is then.
    pub(crate) fn inflate(
        &mut self,
        part: &mut [u8],
        mask: &mut Mask,
        enough: usize,
    ) -> Result<usize, Error> {
        mask.apply_if_any(part.get_mut(self.unmasked..).unwrap_or_default());
        let used = self.inflate_unmasked(part, enough)?;
        self.unmasked = part.len() - used;
        Ok(used)
    }

    fn inflate_unmasked(&mut self, part: &[u8], enough: usize) -> Result<usize, Error> {
        self.out.drop_front();
        let mut done = 0;
        let mut room = self.room(part.len());
        loop {
            let rest = part.get(done..).unwrap_or_default();
            if rest.is_empty() && self.message.is_untouched {
                return Ok(done);
            }
            // Never more at once than is paid for, so that the judgement does not depend on how the
            // bytes were cut.
            let paid = FOR_NOTHING.saturating_add(self.message.made.saturating_mul(EACH_PAYS));
            let paid = paid.saturating_sub(self.message.taken);
            let some = rest.get(..at_most(paid, rest.len())).unwrap_or(rest);
            if some.is_empty() && !rest.is_empty() {
                return Err(Error::Deflate(DeflateError::ForNothing));
            }
            let step =
                self.step(some, Stop::Never, room.min(enough.saturating_sub(self.pending()).max(1)))?;
            if step.is_full {
                room = (2 * room).min(MOST_ROOM);
            }
            self.message.note(some.get(..step.used).unwrap_or_default());
            done += step.used;
            match step.outcome {
                // RFC 7692 §7.2.1: "An endpoint MAY use both DEFLATE blocks with the "BFINAL" bit set to 0
                // and DEFLATE blocks with the "BFINAL" bit set to 1."
                Outcome::End => {
                    self.message.end_stream();
                    room = LEAST_ROOM;
                }
                Outcome::GoOn => {}
                Outcome::Corrupt | Outcome::BadLength => return Err(Error::Deflate(DeflateError::Corrupt)),
            }
            if self.pending() >= enough || (done == part.len() && !step.is_full) {
                return Ok(done);
            }
        }
    }

    /// Room for what will probably come of this many bytes: as much as of the last message, and what the
    /// decoder wants beyond to be fast. It is cleared, so a few bytes get little.
    fn room(&self, len: usize) -> usize {
        let usual = at_most(self.usual, MOST_ROOM) + SLACK;
        usual.min(LEAST_ROOM.saturating_add(len.saturating_mul(16))).clamp(LEAST_ROOM, MOST_ROOM)
    }

    /// Ends the message, all of which is inflated.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        if !self.message.is_untouched {
            self.append_tail()?;
        }
        self.save();
        self.usual = self.message.made;
        match &mut self.message.text {
            Some(validator) => validator.finish().map_err(|_| Error::InvalidUtf8),
            None => Ok(()),
        }
    }

    /// RFC 7692 §7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload of the
    /// message."
    ///
    /// They are the lengths of an empty stored block. Where the sender has removed them the decoder uses up
    /// these four bytes and no more, and makes nothing of them; the byte behind them shows that it stops
    /// there. Where the sender has left all of them or some, it takes the first of ours for a block of its
    /// own, or for the rest of the lengths: then it stumbles over the lengths at a byte that tells how
    /// many it had. Anything else is a message that is cut off.
    fn append_tail(&mut self) -> Result<(), Error> {
        const BEHIND: u8 = 0x01;
        let [first, second, third, fourth] = TAIL;
        let before = self.message.made;
        let step = self.step(&[first, second, third, fourth, BEHIND], Stop::AtBlockEnd, LEAST_ROOM)?;
        let is_as_left = match step.outcome {
            _ if self.message.made > before => return Err(Error::Deflate(DeflateError::Truncated)),
            Outcome::GoOn if step.used == TAIL.len() => true,
            Outcome::BadLength if self.message.has_tail(step.used) => false,
            _ => return Err(Error::Deflate(DeflateError::Truncated)),
        };
        self.message.is_ready = is_as_left && self.goes_on() && self.is_at_byte();
        Ok(())
    }

    /// Whether the decoder stands at the beginning of a byte. If the tail was made the end of another block
    /// than a stored one, it stands behind some of the ones that the tail ends with: then the first of those
    /// that are left says that an empty block is the last one.
    fn is_at_byte(&mut self) -> bool {
        let [first, second, third, fourth] = TAIL;
        let input = [0x00, first, second, third, fourth];
        let mut inflater = self.take_inflater();
        let done = inflater.inflate(&input, &mut [0; 8], Stop::Never);
        self.inflater = Some(inflater);
        done.outcome == Outcome::GoOn
    }

    /// Notes in the history what is inflated, before it is handed out or needed.
    pub(crate) fn save(&mut self) {
        let unsaved = core::mem::take(&mut self.unsaved);
        if let Some(history) = &mut self.history {
            history.push(self.out.buf.get(self.out.buf.len() - unsaved..).unwrap_or_default());
        }
    }

    /// Gives the decoder back between messages.
    pub(crate) fn release(&mut self) {
        let Some(inflater) = self.inflater.take() else { return };
        if self.message.is_ready && self.goes_on() {
            self.borrower.keep(inflater);
        } else {
            self.borrower.give_back(inflater);
        }
    }

    /// The connection is at rest.
    pub(crate) fn rest(&mut self) {
        self.out.return_buffer(&mut Spare::nothing());
        self.borrower.rest();
    }

    /// One call of the decoder, and what follows from what it makes.
    fn step(&mut self, input: &[u8], stop: Stop, room: usize) -> Result<Step, Error> {
        let mut inflater = self.take_inflater();
        let pending = self.pending();
        let left = self.limit - self.message.made;
        if left == 0 {
            // At the limit, but perhaps at the end as well: only a byte more is too much.
            let done = inflater.inflate(input, &mut [0], stop);
            self.inflater = Some(inflater);
            if done.made > 0 {
                return Err(Error::TooBig);
            }
            return Ok(Step { used: done.used, is_full: false, outcome: done.outcome });
        }
        let start = self.out.buf.len();
        let left = at_most(left, usize::MAX);
        let room = room.min(left);
        if self.out.room() < room {
            // It doubles, up to the limit.
            self.out.grow(room.max(pending.min(left)));
        }
        let buf = &mut self.out.buf;
        buf.resize(start + room, 0);
        let done = inflater.inflate(input, buf.get_mut(start..).unwrap_or_default(), stop);
        self.inflater = Some(inflater);
        buf.truncate(start + done.made);

        let made = buf.get(start..).unwrap_or_default();
        self.message.made += done.made as u64;
        self.unsaved += done.made;
        // RFC 7692 §6.1: "At the receiver, the payload data portion after decompression is subject to the
        // constraints for the original data type again."
        if let Some(validator) = &mut self.message.text {
            validator.push(made).map_err(|_| Error::InvalidUtf8)?;
        }
        (self.out.end, self.out.pos) = (buf.len(), buf.len());
        Ok(Step { used: done.used, is_full: done.made == room, outcome: done.outcome })
    }

    /// A decoder that stands where the next byte belongs, for one call.
    #[expect(clippy::unnecessary_box_returns, reason = "it goes back to where it is")]
    fn take_inflater(&mut self) -> Box<Inflater> {
        let mut inflater = self.inflater.take().unwrap_or_else(|| {
            let (inflater, is_as_left) = self.borrower.borrow();
            self.message.is_ready &= is_as_left;
            inflater
        });
        if !self.message.is_ready {
            self.save();
            inflater.restart(self.history.as_ref());
            self.message.is_ready = true;
        }
        inflater
    }
}

/// A decoder that is made is worth keeping for others.
impl Drop for Inflating {
    fn drop(&mut self) {
        self.release();
    }
}

/// Room for what a call of the decoder makes.
const LEAST_ROOM: usize = 512;
const MOST_ROOM: usize = 64 << 10;

/// A buffer as large as this is used again by the next message.
const MOST_KEPT: usize = 256 << 10;

/// With less room than the longest match, and some more, zlib's decoders take the slow way.
const SLACK: usize = 320;

impl Message {
    fn new(is_ready: bool, is_text: bool) -> Self {
        let text = is_text.then(Validator::new);
        Message { is_ready, taken: 0, made: 0, last: [0xaa; TAIL.len()], is_untouched: true, text }
    }

    /// Notes compressed bytes that are done with.
    fn note(&mut self, bytes: &[u8]) {
        self.taken += bytes.len() as u64;
        self.is_untouched &= bytes.is_empty();
        let new = bytes.get(bytes.len().saturating_sub(self.last.len())..).unwrap_or_default();
        self.last.rotate_left(new.len());
        for (slot, byte) in self.last.iter_mut().rev().zip(new.iter().rev()) {
            *slot = *byte;
        }
    }

    /// A block with BFINAL has ended: what follows it begins a stream of its own.
    fn end_stream(&mut self) {
        self.is_ready = false;
        self.is_untouched = true;
        self.taken += RESTART;
        self.last = [0xaa; TAIL.len()];
    }

    /// Whether the message itself has brought as much of the tail as makes the decoder fail at this
    /// byte of another one: the sender has removed too little of it.
    fn has_tail(&self, failed_at: usize) -> bool {
        let len = match failed_at {
            1..=3 => TAIL.len() - failed_at,
            5 => TAIL.len(),
            _ => return false,
        };
        TAIL.get(..len).is_some_and(|tail| self.last.ends_with(tail))
    }
}
