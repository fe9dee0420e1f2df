//! Commands, and what is written.

use std::io::IoSlice;

use bytes::{Buf, Bytes};
use sansock::deflate::Deflate;
use sansock::{CloseCode, CloseFrame, Data, Message, Prepared, SendError, Timestamp};

use super::{Machine, Side};
use crate::sent::{Item, Last};
use crate::tally::tallied;

/// How a message is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Giving {
    Borrowed,
    Owned,
    Prepared,
    PreparedCompressed,
    /// The transport takes so many bytes, if it is asked.
    Offered(usize),
    Part,
    LastPart,
}

/// Gives a command to the whole connection, or to its sending half.
macro_rules! command {
    ($machine:expr, $by_half:expr, |$to:ident| $run:expr) => {
        match &mut $machine {
            Machine::Whole($to) if !$by_half => $run,
            machine => {
                let $to = machine.send();
                $run
            }
        }
    };
}

impl Side {
    pub(super) fn may_send(&mut self, otherwise: Result<(), SendError>) -> Result<(), SendError> {
        if self.machine.send().is_closed() { Err(SendError::Closed) } else { otherwise }
    }

    /// Sends a message or a part of one; gives what the transport was offered and took.
    pub fn give(&mut self, how: Giving, is_text: bool, bytes: &[u8], by_half: bool) -> Vec<u8> {
        let is_part = matches!(how, Giving::Part | Giving::LastPart);
        let expected = self.may_send(self.sent.allows(is_text, is_part));
        let is_forked = self.machine.is_forked();
        let text = || std::str::from_utf8(bytes).expect("it was made as text");
        let data = || if is_text { Data::Text(text()) } else { Data::Binary(bytes) };
        let owned = || match is_text {
            true => Message::from(text()),
            false => Message::from(Bytes::copy_from_slice(bytes)),
        };
        let mut taken = Vec::with_capacity(bytes.len() + 14);
        let mut write = |head: &[u8], payload: &[u8], most: usize| {
            // What the other half has queued comes first.
            let most = if is_forked { 0 } else { most };
            taken.extend_from_slice(head);
            taken.extend_from_slice(payload);
            taken.truncate(most);
            taken.len()
        };
        let result = tallied(|| {
            command!(self.machine, by_half, |to| match how {
                Giving::Borrowed if is_text => to.text(text()),
                Giving::Borrowed => to.binary(bytes),
                Giving::Owned => to.send(owned()),
                Giving::Prepared => to.prepared(&Prepared::new(owned())),
                Giving::PreparedCompressed => to.prepared(&Prepared::with_deflate(owned(), &prepared_with())),
                Giving::Offered(most) => to.offer(data(), |head, payload| write(head, payload, most)),
                Giving::Part => to.fragment(data()),
                Giving::LastPart => to.last_fragment(data()),
            })
        });
        assert_eq!(result, expected);
        if result.is_ok() {
            let is_given = matches!(how, Giving::Owned | Giving::Prepared | Giving::PreparedCompressed);
            let given = if is_given { 2 * bytes.len() + 256 } else { 0 };
            self.sent.data(is_text, bytes, how != Giving::Part, given);
        } else {
            assert!(taken.is_empty(), "what fails writes nothing");
        }
        taken
    }

    pub fn uncompressed(&mut self, by_half: bool) {
        if by_half {
            self.machine.send().uncompressed();
        } else {
            command!(self.machine, false, |to| {
                to.uncompressed();
            });
        }
        self.sent.uncompressed();
    }

    /// Sends a ping, or a pong that nobody asked for.
    pub fn control(&mut self, item: Item, by_half: bool) {
        let (Item::Ping(payload) | Item::Pong(payload)) = &item else { unreachable!("only these") };
        let is_long = payload.len() > 125;
        let expected = self.may_send(if is_long { Err(SendError::ControlTooLong) } else { Ok(()) });
        let result = tallied(|| {
            command!(self.machine, by_half, |to| match &item {
                Item::Ping(payload) => to.ping(payload),
                _ => to.pong(payload),
            })
        });
        assert_eq!(result, expected);
        if result.is_ok() {
            self.sent.control(item);
        }
    }

    pub fn close(&mut self, code: CloseCode, reason: &str, by_half: bool) {
        // The connection carries out first what the receiving half wants.
        let result = tallied(|| command!(self.machine, by_half, |to| to.close(code, reason)));
        let Ok(frame) = CloseFrame::new(code, reason) else {
            assert_eq!(result, Err(SendError::ControlTooLong));
            return self.settle();
        };
        if result.is_ok() {
            assert!(self.sent.last.is_none() || self.machine.is_forked());
            if self.machine.is_forked() {
                self.sent.close_of_fork = Some(frame);
            } else {
                self.sent.last = Some(Last::Close(Some(frame)));
            }
        } else {
            assert!(self.machine.send().is_closed());
            assert_eq!(result, Err(SendError::Closed));
        }
        self.settle();
    }

    /// Lets the transport take up to `most` bytes from up to `pieces` pieces of the output.
    pub fn write(&mut self, most: usize, pieces: usize, now: Timestamp, tells: bool) -> Vec<u8> {
        // It must not grow where the machine's memory is counted: answers may be added.
        let mut taken = Vec::with_capacity(self.machine.wire().buffered() + (4 << 10));
        tallied(|| {
            let output = match &mut self.machine {
                Machine::Whole(connection) => connection.output(),
                machine => machine.wire().output(),
            };
            let before = output.remaining();
            if pieces == 0 {
                taken.extend_from_slice(output.chunk());
            } else {
                let mut slices = [IoSlice::new(&[]); 16];
                let count = output.chunks_vectored(&mut slices[..pieces]);
                slices[..count].iter().for_each(|slice| taken.extend_from_slice(slice));
                assert!(count == pieces || taken.len() == before, "not all of the output");
            }
            assert_eq!(taken.is_empty(), before == 0);
            assert!(taken.len() <= before);
            taken.truncate(most);
            output.advance(taken.len());
            assert_eq!(output.remaining(), before - taken.len());
        });
        self.settle();
        if tells && !taken.is_empty() {
            tallied(|| match &mut self.machine {
                Machine::Whole(connection) => connection.handle_written(now),
                machine => machine.receive().handle_written(now),
            });
            self.deadlines.alive(now);
        }
        self.sent.write(&taken);
        taken
    }
}

/// How a message is compressed for many.
fn prepared_with() -> Deflate {
    let mut deflate = Deflate::for_many_connections();
    deflate.send_takeover = false;
    deflate
}
