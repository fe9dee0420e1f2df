//! How much the compressed messages of a peer inflate to, as far as they have come: by another decoder,
//! miniz_oxide, which only counts.

use miniz_oxide::inflate::TINFLStatus as Status;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

pub struct Inflated {
    decoder: Box<DecompressorOxide>,
    /// The last bytes, of earlier messages too: whether they may be referred to is not judged here.
    window: Vec<u8>,
    at: usize,
    is_corrupt: bool,
    len: usize,
    most: usize,
}

impl Default for Inflated {
    fn default() -> Self {
        let window = vec![0; 32 << 10];
        Inflated { decoder: Box::default(), window, at: 0, is_corrupt: false, len: 0, most: 0 }
    }
}

impl Inflated {
    /// A message begins.
    pub fn begin(&mut self) {
        *self.decoder = DecompressorOxide::new();
        (self.is_corrupt, self.len) = (false, 0);
    }

    /// More of its payload has come, without the mask. It counts no further than `limit`.
    pub fn push(&mut self, mut bytes: &[u8], limit: usize) {
        while !self.is_corrupt && self.len < limit {
            let flags = TINFL_FLAG_HAS_MORE_INPUT;
            let (status, used, made) = decompress(&mut self.decoder, bytes, &mut self.window, self.at, flags);
            bytes = &bytes[used..];
            self.at = (self.at + made) % self.window.len();
            self.len += made;
            match status {
                // What follows a block with BFINAL begins a stream of its own.
                Status::Done if !bytes.is_empty() => *self.decoder = DecompressorOxide::new(),
                Status::Done | Status::NeedsMoreInput => break,
                Status::HasMoreOutput => {}
                _ => self.is_corrupt = true,
            }
        }
        self.len = self.len.min(limit);
        self.most = self.most.max(self.len);
    }

    /// How long the message is.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How long any has been since this was asked last.
    pub fn most(&mut self) -> usize {
        std::mem::replace(&mut self.most, self.len)
    }
}
