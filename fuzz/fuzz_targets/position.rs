//! How far a receiver is in what a peer sends.

use crate::inflated::Inflated;
use crate::wire::Header;

/// How far into the frames of a peer a receiver is.
#[derive(Default)]
pub struct Position {
    /// Where the first frame begins that is not whole.
    frame: usize,
    /// Where the open message begins.
    message: Option<usize>,
    /// Whether it is compressed.
    is_compressed: bool,
    /// Whether any message has been.
    was_compressed: bool,
    /// What the last compressed message inflates to, as far as it has come.
    inflated: Inflated,
    /// How much of the payload of the frame that is not whole went there.
    counted: usize,
}

/// What a receiver may be sent.
#[derive(Clone, Copy)]
pub struct Allowed {
    /// Compressed messages.
    pub deflate: bool,
    /// Masked frames, and no others.
    pub mask: bool,
    /// How long a message may be.
    pub max_message: usize,
}

impl Position {
    /// How many of these bytes belong to an unfinished message, or to a frame that is not whole. More come
    /// behind them each time; all that a receiver has passed must be legal.
    pub fn unfinished(&mut self, bytes: &[u8], allowed: Allowed) -> usize {
        loop {
            let bytes = &bytes[self.frame..];
            let is_first = bytes.first().is_some_and(|first| matches!(first & 0x0f, 1 | 2));
            let bits = if allowed.deflate && is_first { 4 } else { 0 };
            let Some(header) = Header::read(bytes, bits, Some(allowed.mask)) else { break };
            let header = header.expect("what is illegal is not passed");
            if matches!(header.opcode, 1 | 2) && self.counted == 0 {
                self.is_compressed = header.rsv & 4 != 0;
                self.was_compressed |= self.is_compressed;
                if self.is_compressed {
                    self.inflated.begin();
                }
            }
            if header.opcode < 8 && self.is_compressed {
                self.count(&header, bytes, allowed.max_message);
            }
            let len = usize::try_from(header.frame_len()).unwrap_or(usize::MAX);
            if len > bytes.len() {
                break;
            }
            if header.opcode < 8 {
                let is_open = self.message.is_some();
                assert_eq!(header.opcode == 0, is_open, "a message in a message, or a part of none");
                self.message = self.message.or(Some(self.frame)).filter(|_| !header.fin);
            }
            self.is_compressed &= self.message.is_some();
            self.frame += len;
            self.counted = 0;
        }
        bytes.len() - self.message.unwrap_or(self.frame)
    }

    /// Counts what the payload of a frame inflates to, as far as it has come and was not counted.
    fn count(&mut self, header: &Header, bytes: &[u8], limit: usize) {
        let Some((key, payload)) = bytes[header.size..].split_at_checked(if header.mask { 4 } else { 0 })
        else {
            return;
        };
        let len = usize::try_from(header.payload_len).unwrap_or(usize::MAX).min(payload.len());
        let unmask = |(i, byte): (usize, &u8)| if header.mask { byte ^ key[i % 4] } else { *byte };
        let new = payload[..len].iter().enumerate().skip(self.counted).map(unmask);
        self.inflated.push(&new.collect::<Vec<_>>(), limit);
        self.counted = len;
    }

    /// How much the last compressed message inflates to, as far as it has come.
    pub fn inflated(&self) -> usize {
        self.inflated.len()
    }

    /// How much any of them does that has come since this was asked last.
    pub fn most_inflated(&mut self) -> usize {
        self.inflated.most()
    }

    /// Whether the message that is unfinished is compressed.
    pub fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// Whether any message has been.
    pub fn was_compressed(&self) -> bool {
        self.was_compressed
    }
}
