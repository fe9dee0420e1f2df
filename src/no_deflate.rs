//! In the place of `deflate` where that feature is off: types without values, so that the rest of the
//! crate need not ask.

use core::fmt;

use crate::error::{Error, SendError};
use crate::inbox::Inbox;
use crate::mask::Mask;

#[derive(Debug)]
pub(crate) enum Inflating {}

impl Inflating {
    pub(crate) fn max_compressed(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn begin(&mut self, _is_text: bool) {
        match *self {}
    }

    pub(crate) fn out(&mut self) -> &mut Inbox {
        match *self {}
    }

    pub(crate) fn pending(&self) -> usize {
        match *self {}
    }

    pub(crate) fn incomplete(&self) -> usize {
        match *self {}
    }

    pub(crate) fn inflate(
        &mut self,
        _part: &mut [u8],
        _mask: &mut Mask,
        _enough: usize,
    ) -> Result<usize, Error> {
        match *self {}
    }

    pub(crate) fn save(&mut self) {
        match *self {}
    }

    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        match *self {}
    }

    pub(crate) fn release(&mut self) {
        match *self {}
    }

    pub(crate) fn trim(&mut self) {
        match *self {}
    }

    pub(crate) fn rest(&mut self) {
        match *self {}
    }
}

#[derive(Debug)]
pub(crate) enum Deflating {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    More,
    Last,
}

impl Deflating {
    pub(crate) fn suits(&self, _len: usize) -> bool {
        match *self {}
    }

    pub(crate) fn takes_alone(&self, _window: WindowBits) -> bool {
        match *self {}
    }

    pub(crate) fn compress(
        &mut self,
        _payload: &[u8],
        _part: Part,
        _write: impl FnOnce(&[u8]),
    ) -> Result<(), SendError> {
        match *self {}
    }

    pub(crate) fn rest(&mut self) {
        match *self {}
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowBits {}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Agreed {}

impl fmt::Display for Agreed {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Deflate {}
