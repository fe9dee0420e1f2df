//! The ends of a conversation, over both shims.

pub mod blocking;
pub mod tokio;

use std::io::ErrorKind;
use std::time::Instant;

use sansock::CloseReport;
use sansock::tokio::Error;

use crate::log::{Heard, Said};

/// What an end has to tell when all is over.
pub struct Outcome {
    pub said: Said,
    pub heard: Heard,
    /// What the last call that waited for the peer gave.
    pub result: Result<Option<CloseReport>, Error>,
    /// Why it stopped talking before its script was over.
    pub silenced: Option<Error>,
    /// After an error: what the socket reports.
    pub report: Option<CloseReport>,
    /// After an error: nothing is heard any more.
    pub sticks: bool,
    pub ended: Instant,
}

impl Outcome {
    fn new() -> Self {
        Outcome {
            said: Said::default(),
            heard: Heard::default(),
            result: Ok(None),
            silenced: None,
            report: None,
            sticks: true,
            ended: Instant::now(),
        }
    }
}

type Ended = Result<Option<CloseReport>, Error>;

fn is_would_block(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == ErrorKind::WouldBlock)
}
