//! Messages that are compressed (RFC 7692 §6.1).

#[cfg(feature = "deflate")]
use alloc::boxed::Box;

use super::{SendHalf, copy_frame};
use crate::deflate::Part;
#[cfg(feature = "deflate")]
use crate::deflate::{Deflate, Deflating, Direction};
use crate::error::SendError;
use crate::frame::{Header, OpCode, Reserved};
use crate::prepared::{Encoded, Prepared};

impl SendHalf {
    /// Whether no message is open.
    #[cfg(feature = "deflate")]
    pub(crate) fn is_between(&self) -> bool {
        self.check_between().is_ok() && self.deflating.is_none()
    }

    #[cfg(feature = "deflate")]
    pub(crate) fn is_client(&self) -> bool {
        self.keys.is_some()
    }

    /// From here on messages are compressed as agreed.
    #[cfg(feature = "deflate")]
    pub(crate) fn deflate_with(&mut self, deflate: &Deflate, agreed: Direction) {
        self.deflating = Deflating::new(deflate, agreed).map(Box::new);
    }

    /// Whether the message that begins here, of this length, is to be compressed.
    #[inline]
    pub(super) fn compresses(&mut self, len: usize) -> bool {
        let uncompressed = core::mem::take(&mut self.uncompressed);
        // The choice falls before the encoder sees anything of the message.
        self.deflating.as_ref().is_some_and(|deflating| !uncompressed && deflating.suits(len))
    }

    #[cold]
    #[inline(never)]
    pub(super) fn compressed_frame(
        &mut self,
        opcode: OpCode,
        payload: &[u8],
        is_last: bool,
    ) -> Result<(), SendError> {
        let deflating = self.deflating.as_mut().ok_or(SendError::Compressor)?;
        let (output, keys) = (&mut self.output, &mut self.keys);
        let part = if is_last { Part::Last } else { Part::More };
        deflating.compress(payload, part, |compressed| {
            let header = match part {
                Part::Last => Header::of_data(opcode, compressed.len()),
                Part::More => Header::of_fragment(opcode, compressed.len()),
            };
            // RFC 7692 §6.1: "set the "Per-Message Compressed" bit of the first frame".
            let bits = if opcode == OpCode::Continuation { Reserved::NONE } else { Reserved::RSV1 };
            copy_frame(output, keys, header.reserved(bits), compressed);
        })
    }

    /// The form of a prepared message that needs no context, if this connection takes it.
    pub(super) fn compressed_form<'a>(&self, message: &'a Prepared) -> Option<&'a Encoded> {
        let (encoded, window) = message.compressed()?;
        self.deflating.as_ref()?.takes_alone(window).then_some(encoded)
    }
}
