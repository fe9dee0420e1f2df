//! DEFLATE (RFC 1951) in the form that messages need: zlib-rs, one flush at a time.

use alloc::vec::Vec;
use core::fmt;
use std::alloc::{Layout, handle_alloc_error};
use std::panic::{UnwindSafe, catch_unwind};

use zlib_rs::{DeflateConfig, DeflateFlush, InflateFlush, Status};

use super::history::History;
use super::{Deflate, WindowBits};
use crate::error::SendError;

/// Something that a [`Pool`](super::Pool) keeps.
pub(super) trait Codec: Sized {
    type Settings: Copy;

    /// Whether what it does after a restart tells nothing of what it did before.
    const FORGETS: bool;

    fn make(settings: Self::Settings) -> Self;
}

/// Makes a codec. zlib-rs panics if there is no memory for it, and for no other reason; whatever else needs
/// memory aborts the process then, so this does too.
fn or_abort<T>(make: impl FnOnce() -> T + UnwindSafe) -> T {
    catch_unwind(make).unwrap_or_else(|_| handle_alloc_error(Layout::new::<T>()))
}

/// What a compressor is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CompressorSettings {
    level: u8,
    memory_level: u8,
    window: WindowBits,
}

impl CompressorSettings {
    /// With the values of a [`Deflate`] that are out of range brought into it.
    pub(super) fn new(deflate: &Deflate, window: WindowBits) -> Self {
        CompressorSettings {
            level: deflate.level.min(9),
            memory_level: deflate.memory_level.clamp(1, 9),
            window: window.max(WindowBits::LEAST_OF_ZLIB),
        }
    }
}

pub(super) struct Compressor {
    codec: zlib_rs::Deflate,
    /// Initialised room for what comes out, kept from message to message.
    scratch: Vec<u8>,
}

/// Scratch room above this is given back.
const KEPT: usize = 64 << 10;

impl Codec for Compressor {
    type Settings = CompressorSettings;

    // It looks at the bytes behind what it has been given, and chooses its matches by what once stood
    // there: whoever decides about the text could read them out.
    const FORGETS: bool = false;

    fn make(settings: CompressorSettings) -> Self {
        let config = DeflateConfig {
            level: i32::from(settings.level),
            window_bits: -i32::from(settings.window.get()),
            mem_level: i32::from(settings.memory_level),
            ..DeflateConfig::default()
        };
        let codec = or_abort(|| zlib_rs::Deflate::new_with_config(config));
        Compressor { codec, scratch: Vec::new() }
    }
}

impl Compressor {
    /// Begins with an empty window.
    pub(super) fn restart(&mut self) {
        self.codec.reset();
    }

    /// Takes note, before anything else, of what the peer's window holds.
    pub(super) fn remember(&mut self, history: &History) -> Result<(), SendError> {
        for part in history.parts().into_iter().filter(|part| !part.is_empty()) {
            self.codec.set_dictionary(part).map_err(|_| SendError::Compressor)?;
        }
        Ok(())
    }

    /// Compresses a part of a message and all that is pending: what comes out ends in [`TAIL`].
    pub(super) fn compress(&mut self, mut part: &[u8]) -> Result<&[u8], SendError> {
        let mut filled = 0;
        loop {
            // A flush into less than seven bytes could repeat its marker.
            if self.scratch.len() - filled < MARKER {
                let room = (part.len() / 2).clamp(256, KEPT).max(filled);
                self.scratch.resize(filled + room, 0);
            }
            let room = self.scratch.get_mut(filled..).unwrap_or_default();
            let (before_in, before_out) = (self.codec.total_in(), self.codec.total_out());
            self.codec.compress(part, room, DeflateFlush::SyncFlush).map_err(|_| SendError::Compressor)?;
            let used = count(before_in, self.codec.total_in());
            let made = count(before_out, self.codec.total_out());
            let is_full = made == room.len();
            filled += made;
            part = part.get(used..).unwrap_or_default();
            if part.is_empty() && !is_full {
                return Ok(self.scratch.get(..filled).unwrap_or_default());
            }
            if used == 0 && made == 0 {
                return Err(SendError::Compressor);
            }
        }
    }

    /// Gives back room that only a large message needs.
    pub(super) fn trim(&mut self) {
        if self.scratch.capacity() > KEPT {
            self.scratch = Vec::new();
        }
    }
}

/// The least room that one flush may find.
const MARKER: usize = 16;

/// What a flush ends with, and a message does not (RFC 7692 §7.2.1).
pub(super) const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

pub(super) struct Inflater {
    codec: zlib_rs::Inflate,
}

/// What one call of the decoder did.
pub(super) struct Inflated {
    pub(super) used: usize,
    pub(super) made: usize,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It took what it could: something, if there was any.
    GoOn,
    /// A block with BFINAL has ended.
    End,
    /// This is not DEFLATE.
    Corrupt,
    /// Nor is this: the two lengths of a stored block do not agree.
    BadLength,
}

impl Codec for Inflater {
    type Settings = ();

    // It refuses distances beyond what it was given since the restart.
    const FORGETS: bool = true;

    fn make((): ()) -> Self {
        // Any window as large as the peer's is right, and zlib-rs has one size for all.
        Inflater { codec: or_abort(|| zlib_rs::Inflate::new(false, WindowBits::MAX.get())) }
    }
}

impl Inflater {
    /// Begins with what was received, as far as the window remembers it.
    pub(super) fn restart(&mut self, history: Option<&History>) {
        self.codec.reset(false);
        for part in history.map_or([&[][..]; 2], History::parts) {
            // A raw stream takes any dictionary at any time.
            let _always = self.codec.set_dictionary(part);
        }
    }

    pub(super) fn inflate(&mut self, part: &[u8], room: &mut [u8], stop: Stop) -> Inflated {
        let (before_in, before_out) = (self.codec.total_in(), self.codec.total_out());
        let flush = match stop {
            Stop::Never => InflateFlush::NoFlush,
            Stop::AtBlockEnd => InflateFlush::Block,
        };
        let status = self.codec.decompress(part, room, flush);
        let used = count(before_in, self.codec.total_in());
        let made = count(before_out, self.codec.total_out());
        let outcome = match status {
            Ok(Status::StreamEnd) => Outcome::End,
            // It must not be asked the same for ever.
            Ok(_) if used == 0 && made == 0 && !part.is_empty() => Outcome::Corrupt,
            Ok(Status::Ok | Status::BufError) => Outcome::GoOn,
            Err(_) if self.codec.error_message() == Some(BAD_LENGTH) => Outcome::BadLength,
            Err(_) => Outcome::Corrupt,
        };
        Inflated { used, made, outcome }
    }
}

/// What zlib has said since its first release.
const BAD_LENGTH: &str = "invalid stored block lengths";

/// Where the decoder stops before its input is used up or its room full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Never,
    AtBlockEnd,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

fn count(before: u64, after: u64) -> usize {
    usize::try_from(after - before).unwrap_or(usize::MAX)
}
