//! Compressing messages (RFC 7692 §7.2.1).

use alloc::boxed::Box;

use super::codec::{Compressor, CompressorSettings, TAIL};
use super::history::History;
use super::negotiation::Direction;
use super::pool::{Borrower, Pool};
use super::{Deflate, WindowBits};
use crate::error::SendError;

/// The compressing end of one direction.
#[derive(Debug)]
pub(crate) struct Deflating {
    borrower: Borrower<Compressor>,
    /// What the peer's window holds, if it takes that over.
    history: Option<History>,
    /// The compressor of an open message that takes nothing over.
    held: Option<Box<Compressor>>,
    window: WindowBits,
    threshold: usize,
}

/// How much of its message a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// More follows.
    More,
    /// The message ends here.
    Last,
}

impl Deflating {
    /// `None` if nothing can be compressed under these parameters.
    pub(crate) fn new(deflate: &Deflate, agreed: Direction) -> Option<Self> {
        // zlib has no compressor for a window of 256 bytes.
        if agreed.window == WindowBits::MIN {
            return None;
        }
        let window = deflate.compressor_window().min(agreed.window);
        let takes_over = deflate.send_takeover && agreed.takes_over;
        Some(Deflating::with_window(deflate, deflate.pool.as_ref(), window, takes_over))
    }

    /// A compressor for a single message, with the largest window that is wanted.
    pub(crate) fn alone(deflate: &Deflate) -> Self {
        // It would be of no use to anyone else, and take another's place in the pool.
        Deflating::with_window(deflate, None, deflate.compressor_window(), false)
    }

    fn with_window(deflate: &Deflate, pool: Option<&Pool>, window: WindowBits, takes_over: bool) -> Self {
        Deflating {
            borrower: Borrower::new(pool, CompressorSettings::new(deflate, window)),
            history: takes_over.then(|| History::new(window)),
            held: None,
            window,
            threshold: deflate.threshold,
        }
    }

    /// Whether a message of this length is worth it.
    pub(crate) fn suits(&self, len: usize) -> bool {
        len >= self.threshold
    }

    /// Whether a message may be sent that was compressed on its own, with a window of this size.
    pub(crate) fn takes_alone(&self, window: WindowBits) -> bool {
        self.history.is_none() && window <= self.window
    }

    /// Compresses a part of a message, and gives `write` what is to be sent of it.
    ///
    /// After a failure nothing was written, and the next part begins anew: none of what it says refers
    /// to this one.
    pub(crate) fn compress(
        &mut self,
        payload: &[u8],
        part: Part,
        write: impl FnOnce(&[u8]),
    ) -> Result<(), SendError> {
        if payload.is_empty() {
            if part == Part::Last {
                self.end_message();
            }
            // RFC 7692 §7.2.3.6: "If the compression library being used doesn't generate any data when
            // its buffer is empty, an empty uncompressed DEFLATE block can be built and used for this
            // purpose as follows: 0x00".
            write(if part == Part::Last { &[0x00] } else { &[] });
            return Ok(());
        }
        let mut compressor = self.compressor()?;
        let compressed = compressor.compress(payload)?;
        write(match part {
            // RFC 7692 §7.2.1: "Note that for non-final fragments, the removal of 0x00 0x00 0xff 0xff MUST
            // NOT be done."
            Part::More => compressed,
            // "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end."
            Part::Last => compressed.strip_suffix(&TAIL).ok_or(SendError::Compressor)?,
        });
        compressor.trim();
        match &mut self.history {
            Some(history) => {
                history.push(payload);
                self.borrower.keep(compressor);
            }
            None => self.held = Some(compressor),
        }
        if part == Part::Last {
            self.end_message();
        }
        Ok(())
    }

    /// A compressor that knows what the peer's window holds.
    fn compressor(&mut self) -> Result<Box<Compressor>, SendError> {
        if let Some(compressor) = self.held.take() {
            return Ok(compressor);
        }
        let (mut compressor, is_as_left) = self.borrower.borrow();
        match &self.history {
            Some(history) if !is_as_left => compressor.remember(history)?,
            None if is_as_left => compressor.restart(),
            _ => {}
        }
        Ok(compressor)
    }

    fn end_message(&mut self) {
        if let Some(compressor) = self.held.take() {
            self.borrower.keep(compressor);
        }
    }

    /// The connection is at rest.
    pub(crate) fn rest(&mut self) {
        self.borrower.rest();
    }
}
