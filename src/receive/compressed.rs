//! Payloads of compressed messages (RFC 7692 §6.2): inflated as they arrive, straight out of the receive
//! buffer.

#[cfg(feature = "deflate")]
use alloc::boxed::Box;

use super::{Found, Phase, ReceiveHalf, Step, What};
use crate::config::Delivery;
#[cfg(feature = "deflate")]
use crate::deflate::{Agreed, Deflate, Direction, Inflating};
use crate::error::Error;
use crate::size::at_most;

/// With [`Delivery::Chunks`], how many inflated bytes make an event.
const CHUNK: usize = 64 << 10;

impl ReceiveHalf {
    /// Whether no message has begun.
    #[cfg(feature = "deflate")]
    pub(crate) fn is_between(&self) -> bool {
        self.open.is_none() && self.found.is_none() && self.inflating.is_none()
    }

    /// From here on messages may be compressed as agreed.
    #[cfg(feature = "deflate")]
    pub(crate) fn inflate_with(&mut self, deflate: &Deflate, agreed: Agreed, received: Direction) {
        self.inflating = Some(Box::new(Inflating::new(deflate, received, self.cold.max_message)));
        self.cold.deflate = Some(agreed);
    }

    /// What was agreed upon, if anything was.
    #[cfg(feature = "deflate")]
    pub(crate) fn agreed(&self) -> Option<Agreed> {
        self.cold.deflate
    }

    /// The payload under way, as far as it has arrived.
    pub(super) fn take_payload(&mut self) -> Result<Step, Error> {
        let frame = &mut self.frame;
        let Some(inflating) = self.inflating.as_mut().filter(|_| frame.is_compressed) else {
            return self.take_plain();
        };
        let kind = frame.kind;
        let unparsed = self.inbox.unparsed_mut();
        let len = at_most(frame.missing, unparsed.len());
        let part = unparsed.get_mut(..len).unwrap_or_default();
        let enough = if self.delivery == Delivery::Chunks { CHUNK } else { usize::MAX };
        let used = inflating.inflate(part, &mut frame.mask, enough)?;
        self.inbox.skip(used);
        frame.missing -= used as u64;

        let ready = inflating.pending();
        let is_chunk = self.delivery == Delivery::Chunks && ready > inflating.incomplete();
        let chunk =
            Found { what: What::Inflated(kind), len: ready - inflating.incomplete(), is_final: false };
        if is_chunk && (ready >= enough || frame.missing > 0 || !frame.is_final) {
            // All of this frame came out, and it is not the last: that one is finished below.
            if frame.missing == 0 && ready < enough {
                self.phase = Phase::Fragmented;
            }
            inflating.save();
            self.found = Some(chunk);
            return Ok(Step::Found);
        }
        if frame.missing > 0 {
            return Ok(Step::Starved);
        }
        if !frame.is_final {
            self.phase = Phase::Fragmented;
            return Ok(Step::GoOn);
        }
        inflating.finish()?;
        let len = inflating.pending();
        // The application may take long over this message.
        if self.inbox.unparsed().is_empty() {
            inflating.release();
        }
        self.found = Some(Found { what: What::Inflated(kind), len, is_final: true });
        self.open = None;
        self.cold.announced = 0;
        self.phase = Phase::Inflated;
        Ok(Step::Found)
    }

    /// All input is used up, or a message begins: unless one is under way that is compressed, nobody needs the
    /// decoder.
    pub(super) fn release_inflater(&mut self) {
        let is_needed = self.open.is_some() && self.frame.is_compressed;
        if let (false, Some(inflating)) = (is_needed, &mut self.inflating) {
            inflating.release();
        }
    }

    /// A read has ended, or another message begins: what a large one has left behind need not stay.
    pub(super) fn trim(&mut self) {
        if let Some(inflating) = &mut self.inflating {
            inflating.trim();
        }
    }

    /// The connection is at rest.
    pub(super) fn rest(&mut self) {
        self.release_inflater();
        if let Some(inflating) = &mut self.inflating {
            inflating.rest();
        }
    }
}
