//! What a message in one whole frame needs nothing of.

use crate::close::CloseCode;
use crate::config::Config;
#[cfg(feature = "deflate")]
use crate::deflate::Agreed;
use crate::reads::ReadSize;
use crate::time::Timestamp;
use crate::timers::Timers;

/// The part of a receiving half that reads and other frames look at.
///
/// It is a block of its own, of 104 bytes at the most: a task of tokio's begins at a multiple of 128 bytes, as
/// does what tokio has for its socket, and allocators fill the gaps between them with blocks of that size. In
/// the task it would count in full.
#[derive(Debug)]
pub(super) struct Cold {
    pub(super) timers: Timers,
    /// Something has arrived that may hold another event.
    pub(super) has_news: bool,
    /// The time for a data message was over, and began anew because of such news.
    pub(super) is_extended: bool,
    pub(super) reads: ReadSize,
    /// Bytes of the open message, as far as its frame headers have announced them.
    pub(super) announced: u64,
    pub(super) max_message: u64,
    pub(super) max_frame: u64,
    pub(super) idle_close: CloseCode,
    #[cfg(feature = "deflate")]
    pub(super) deflate: Option<Agreed>,
}

impl Cold {
    pub(super) fn new(config: &Config, now: Timestamp) -> Self {
        Cold {
            timers: Timers::new(config, now),
            has_news: false,
            is_extended: false,
            reads: ReadSize::new(),
            announced: 0,
            max_message: config.max_message,
            max_frame: config.max_frame.unwrap_or(u64::MAX),
            idle_close: config.idle_close,
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }

    /// How long a message in one whole frame may be, as far as 16 bits can say.
    pub(super) fn max_whole(&self) -> u16 {
        u16::try_from(self.max_frame.min(self.max_message)).unwrap_or(u16::MAX)
    }
}
