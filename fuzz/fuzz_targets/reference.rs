//! What a message inflates to, by another decoder: miniz_oxide.

use miniz_oxide::inflate::TINFLStatus as Status;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// What RFC 7692 §7.2.2 appends to a message.
pub const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// A direction: what its messages may refer to, and how long they may be.
pub struct Reference {
    /// The last bytes of the messages so far, as many as the window holds.
    history: Vec<u8>,
    window: usize,
    limit: usize,
}

pub struct Decoded {
    pub bytes: Vec<u8>,
    /// How many blocks with BFINAL have ended.
    pub streams: u64,
    pub end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With its tail the message ends where a block ends, or behind a block with BFINAL.
    Whole,
    /// So it does if the sender has left some of the tail there.
    WithTail,
    /// With its tail it ends where a block ends, but within a byte: no compressor does that, and a receiver
    /// may take it or not.
    Ragged,
    /// It ends within a block.
    CutOff,
    /// It is not DEFLATE, or refers to what came before the window.
    Corrupt,
    /// There is more of it than the limit.
    TooLong,
}

impl End {
    /// Whether a receiver may take the message for a whole one.
    pub fn is_whole(self) -> bool {
        matches!(self, End::Whole | End::WithTail | End::Ragged)
    }
}

impl Reference {
    /// `window` is 0 without context takeover.
    pub fn new(window: usize, limit: usize) -> Self {
        Reference { history: Vec::new(), window, limit }
    }

    /// Tells what a message said, so that the next one can refer to it.
    pub fn push(&mut self, bytes: &[u8]) {
        self.history.extend_from_slice(bytes);
        self.history.drain(..self.history.len().saturating_sub(self.window));
    }

    pub fn decode(&self, payload: &[u8]) -> Decoded {
        let mut run = Run::new(self);
        let mut end = run.payload(payload);
        let bytes = run.bytes().to_vec();
        if end == End::CutOff {
            // How much of the tail is there already?
            let left = (0..=TAIL.len()).filter(|&len| payload.ends_with(&TAIL[..len]));
            let ends = left.filter_map(|len| {
                let bits = run.clone().ends_with(&TAIL[len..])?;
                Some(match (len, bits) {
                    (0, 0) => End::Whole,
                    (_, 0) => End::WithTail,
                    _ => End::Ragged,
                })
            });
            end = ends.min_by_key(|end| *end == End::Ragged).unwrap_or(End::CutOff);
        }
        Decoded { bytes, streams: run.streams, end }
    }
}

#[derive(Clone)]
struct Run<'a> {
    reference: &'a Reference,
    decoder: Box<DecompressorOxide>,
    /// The history, the message, and room for as much as the limit allows and one byte.
    out: Vec<u8>,
    /// From where on `out` can be referred to.
    reach: usize,
    filled: usize,
    streams: u64,
}

const FLAGS: u32 = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;

impl<'a> Run<'a> {
    fn new(reference: &'a Reference) -> Self {
        let mut out = reference.history.clone();
        let filled = out.len();
        out.resize(filled + reference.limit + 1, 0);
        Run { reference, decoder: Box::default(), out, reach: 0, filled, streams: 0 }
    }

    /// What was made, as far as the limit allows.
    fn bytes(&self) -> &[u8] {
        let start = self.reference.history.len();
        &self.out[start..self.filled.min(start + self.reference.limit)]
    }

    fn step(&mut self, input: &[u8], flags: u32) -> (Status, usize) {
        let out = &mut self.out[self.reach..];
        let (status, used, made) = decompress(&mut self.decoder, input, out, self.filled - self.reach, flags);
        self.filled += made;
        (status, used)
    }

    /// Runs through all streams of the payload.
    fn payload(&mut self, mut rest: &[u8]) -> End {
        // Nothing needs no tail, at the beginning or behind a block with BFINAL.
        while !rest.is_empty() {
            let (status, used) = self.step(rest, FLAGS);
            if self.filled == self.out.len() {
                return End::TooLong;
            }
            rest = &rest[used..];
            match status {
                Status::Done => {
                    // The window is that of the connection, whatever ends in between.
                    *self.decoder = DecompressorOxide::new();
                    self.streams += 1;
                    self.reach = self.reach.max(self.filled.saturating_sub(self.reference.window));
                }
                Status::NeedsMoreInput => return End::CutOff,
                _ => return End::Corrupt,
            }
        }
        End::Whole
    }

    /// Whether these bytes make nothing but the end of a block, their own; and how many bits they have more
    /// than that.
    fn ends_with(&mut self, tail: &[u8]) -> Option<u8> {
        let before = self.filled;
        let mut rest = tail;
        if rest.is_empty() {
            return self.bits_behind_block();
        }
        loop {
            let (status, used) = self.step(rest, FLAGS | TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY);
            rest = &rest[used..];
            if self.filled > before {
                return None;
            }
            match status {
                Status::Done => return rest.is_empty().then_some(0),
                Status::BlockBoundary if rest.is_empty() => return self.bits_behind_block(),
                Status::BlockBoundary => {}
                _ => return None,
            }
        }
    }

    /// Between two blocks, how many bits of the last byte belong to the next one.
    fn bits_behind_block(&self) -> Option<u8> {
        self.decoder.block_boundary_state().map(|state| state.num_bits)
    }
}
