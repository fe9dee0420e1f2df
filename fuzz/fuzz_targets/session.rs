//! A connection that is given bytes, and watched: what it says, and how much memory it owns.
//!
//! What a connection may own, besides what it has owned since it was new:
//!
//! - **at rest**, when all events are taken and the driver has said `handle_would_block` or `return_buffers`:
//!   2 bytes for each one of the unfinished message, be it of a frame's header, and 1 KiB. Where chunks are
//!   delivered, no more than a control frame and a header remain unfinished.
//! - **at any time**, the peak within calls included: 4 bytes for each one that it has held since it rested,
//!   4 KiB, and twice the room for reads that it has offered.
//!
//! Apart from that counts what waits to be written: never more than [`REPLIES`], in a buffer of twice that
//! and 1 KiB. And what the driver lends: `borrow_buffers` fetches 256 KiB for each direction. And the codec:
//! a decoder is 47 KiB, and kept while a compressed message is open; what it has made of that message counts
//! as received, up to the limit; with context takeover 32 KiB of what it has made before.

#![allow(dead_code, reason = "shared by targets that use parts of it")]

use bytes::{Buf, BufMut};
use sansock::{CloseCode, Connection, Delivery, Error, SendError, Spare, Timestamp};

use crate::counted::Meter;
use crate::outcome::{Outcome, Seen};
use crate::position::Position;
use crate::setup::Setup;
use crate::wire;

/// What an endpoint may have to say by itself: 1 KiB of pongs and pings, with the header of the last one, and
/// a Close frame.
pub const REPLIES: usize = (1 << 10) + 14 + 16;

const LENT: usize = 2 * (256 << 10);
/// The lists of a `Spare`, and of a pool.
const LISTS: usize = 512;
const DECODER: usize = 48 << 10;
const WINDOW: usize = 32 << 10;

/// What a frame may be that is not unfinished for long: a header, and a control frame.
const CONTROL: usize = 14 + 125;

pub struct Session<'a> {
    setup: &'a Setup,
    delivery: Delivery,
    connection: Connection,
    wire: &'a [u8],
    given: usize,
    position: Position,
    /// How many bytes were not done with when the events were taken last.
    unfinished: usize,
    /// How many it has been at the most since the connection rested.
    held: usize,
    /// How long a compressed message has been at the most since then, as far as it was inflated.
    made: usize,
    /// How much room was offered for a read since then.
    room: usize,
    spare: Spare,
    is_lent: bool,
    meter: Meter,
    new: usize,
    has_closed: bool,
    pub now: Timestamp,
    pub outcome: Outcome,
}

/// How events are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Take {
    Lent,
    WithSend,
    Owned,
}

impl<'a> Session<'a> {
    pub fn new(setup: &'a Setup, delivery: Delivery, wire: &'a [u8]) -> Self {
        let mut meter = Meter::default();
        let connection = meter.run(|| setup.connection(delivery));
        Session {
            setup,
            delivery,
            connection,
            wire,
            given: 0,
            position: Position::default(),
            unfinished: 0,
            held: 0,
            made: 0,
            room: 0,
            spare: Spare::with_limit(LENT),
            is_lent: false,
            new: meter.owned(),
            meter,
            has_closed: false,
            now: Timestamp::EPOCH,
            outcome: Outcome::default(),
        }
    }

    pub fn is_used_up(&self) -> bool {
        self.given == self.wire.len()
    }

    /// Gives up to `len` bytes.
    pub fn give(&mut self, len: usize, through_read_buffer: bool) {
        let rest = &self.wire[self.given..];
        let (connection, now) = (&mut self.connection, self.now);
        let (len, room) = self.meter.run(|| {
            if through_read_buffer {
                let mut buffer = connection.read_buffer();
                let room = buffer.remaining_mut();
                let len = len.min(room).min(rest.len());
                buffer.put_slice(&rest[..len]);
                (len, room)
            } else {
                let len = len.min(rest.len());
                connection.input().put_slice(&rest[..len]);
                (len, 0)
            }
        });
        assert!(!through_read_buffer || room > 0, "a read always has room");
        self.meter.run(|| connection.handle_input(now));
        self.given += len;
        self.unfinished += len;
        self.held = self.held.max(self.unfinished);
        self.room = self.room.max(room);
        self.check_busy();
    }

    /// Takes one event; false if there is none.
    pub fn take_event(&mut self, take: Take) -> bool {
        let connection = &mut self.connection;
        let is_more = self.meter.run(|| connection.advance());
        let again = self.meter.run(|| connection.advance());
        assert_eq!(again, is_more, "finding changes nothing until it is taken");
        let event = self.meter.run(|| match take {
            Take::WithSend => connection.poll_with_send().map(|event| event.map(|(event, _)| event)),
            Take::Lent | Take::Owned => connection.poll_event(),
        });
        match event {
            Ok(Some(event)) => {
                assert_eq!((is_more, self.outcome.error), (Ok(true), None));
                assert!(!self.outcome.is_ended, "an event behind the end");
                let limit = self.setup.config.max_message;
                self.outcome.note(event, take == Take::Owned, limit, &mut self.meter);
                return true;
            }
            Ok(None) => {
                assert_eq!(self.outcome.error, None, "an error that is taken back");
                assert_eq!(is_more, Ok(connection.is_ended()));
            }
            Err(error) => {
                assert_eq!(is_more, Err(error));
                assert!(self.outcome.error.is_none_or(|first| first == error), "another error: {error:?}");
                self.outcome.error = Some(error);
            }
        }
        self.outcome.is_ended |= connection.is_ended();
        assert_eq!(connection.is_ended(), self.outcome.is_ended, "an end that is taken back");
        assert_eq!(connection.closed().is_some(), self.outcome.is_ended);
        self.unfinished = 0;
        if !self.outcome.is_ended {
            self.unfinished = self.position.unfinished(&self.wire[..self.given], self.setup.allowed());
            self.made = self.made.max(self.position.most_inflated());
            if self.delivery == Delivery::Chunks {
                self.unfinished = self.unfinished.min(CONTROL);
            }
        }
        false
    }

    pub fn take_events(&mut self, take: Take) {
        while self.take_event(take) {}
        self.check_busy();
    }

    /// The transport has nothing to read, and the connection returns what it does not need.
    pub fn rest(&mut self) {
        let connection = &mut self.connection;
        self.meter.run(|| connection.handle_would_block());
        // What was lent is freed then.
        self.is_lent = false;
        self.check_rest();
    }

    pub fn return_buffers(&mut self) {
        let (connection, spare) = (&mut self.connection, &mut self.spare);
        self.meter.run(|| connection.return_buffers(spare));
        self.is_lent = false;
        self.check_rest();
    }

    pub fn borrow_buffers(&mut self) {
        let (connection, spare) = (&mut self.connection, &mut self.spare);
        self.meter.run(|| connection.borrow_buffers(spare));
        self.is_lent = true;
        self.check_busy();
    }

    /// The transport takes some output.
    pub fn take_output(&mut self, mut len: usize) {
        let connection = &mut self.connection;
        while len > 0 && self.meter.run(|| connection.output().has_remaining()) {
            let chunk = Buf::chunk(connection.output());
            let part = chunk.len().min(len);
            self.outcome.output.extend_from_slice(&chunk[..part]);
            self.meter.run(|| connection.output().advance(part));
            len -= part;
        }
        self.check_busy();
    }

    /// What it took had to wait.
    pub fn handle_written(&mut self) {
        self.connection.handle_written(self.now);
    }

    pub fn handle_timeout(&mut self) {
        let (connection, now) = (&mut self.connection, self.now);
        self.meter.run(|| connection.handle_timeout(now));
        self.check_busy();
    }

    pub fn handle_eof(&mut self) {
        self.connection.handle_eof();
    }

    /// The application closes.
    pub fn close(&mut self) {
        let connection = &mut self.connection;
        self.has_closed |= self.meter.run(|| connection.close(CloseCode::NORMAL, "bye")).is_ok();
    }

    /// Lets time pass without any input until nothing is left to wait for.
    pub fn sleep(&mut self, take: Take) {
        for _ in 0..8 {
            let Some(deadline) = self.connection.poll_timeout() else { break };
            self.now = self.now.max(deadline);
            self.handle_timeout();
            self.take_events(take);
            self.take_output(usize::MAX);
        }
        assert!(self.connection.is_finished() && self.connection.poll_timeout().is_none());
    }

    /// Takes what is left, and sees to it that nothing changes any more.
    pub fn finish(mut self, take: Take) -> Outcome {
        self.take_events(take);
        self.take_output(usize::MAX);
        self.rest();
        self.outcome.closed = self.connection.closed();
        if let Some(error) = self.outcome.error {
            self.assert_sticks(error, take);
        }
        if self.outcome.is_ended {
            self.assert_is_closed();
        }
        self.check_output();
        let Session { mut meter, connection, spare, outcome, .. } = self;
        meter.run(|| drop((connection, spare)));
        assert_eq!(meter.owned(), 0, "not all is freed");
        outcome
    }

    /// Nothing more can be sent.
    fn assert_is_closed(&mut self) {
        let connection = &mut self.connection;
        assert_eq!(connection.text("late"), Err(SendError::Closed));
        assert_eq!(connection.fragment(&b"late"[..]), Err(SendError::Closed));
        assert_eq!(connection.ping(b""), Err(SendError::Closed));
        assert_eq!(connection.close(CloseCode::NORMAL, ""), Err(SendError::Closed));
        assert_eq!(connection.buffered(), 0);
    }

    fn assert_sticks(&mut self, error: Error, take: Take) {
        let report = self.connection.closed().expect("it is over");
        assert!(!report.clean && report.received.is_none());
        for more in [&b""[..], b"\x81\x02hi", b"\x82\x82\0\0\0\0hi", &[0x89; 3000]] {
            let (connection, now) = (&mut self.connection, self.now);
            self.meter.run(|| connection.input().put_slice(more));
            self.meter.run(|| connection.handle_input(now));
            self.held = self.held.max(more.len());
            self.take_events(take);
            assert_eq!(self.outcome.error, Some(error));
            assert!(!self.connection.output().has_remaining(), "nothing follows the end");
            assert_eq!(self.connection.closed(), Some(report));
            self.rest();
        }
    }

    /// The output is whole frames: answers to pings that came, in their order, questions without content, and
    /// a Close frame if there has to be one. Behind that are answers only, if this endpoint was the first to close.
    fn check_output(&self) {
        let frames = wire::frames(&self.outcome.output, self.setup.is_client);
        let pings = self.outcome.seen.iter().filter_map(|seen| match seen {
            Seen::Ping(payload) => Some(payload),
            _ => None,
        });
        let mut pings = pings.rev();
        let may_have_closed = self.has_closed || self.setup.config.idle_timeout.is_some();
        let mut close = None;
        for (i, frame) in frames.iter().rev().enumerate() {
            assert!(frame.header.fin);
            match frame.header.opcode {
                8 if close.is_none() && (i == 0 || may_have_closed) => {
                    let behind = &frames[frames.len() - i..];
                    assert!(behind.iter().all(|frame| frame.header.opcode == 10), "{behind:?}");
                    close = Some(&frame.payload);
                }
                9 => assert!(frame.payload.is_empty()),
                10 => assert!(pings.any(|ping| *ping == frame.payload), "an answer to no ping: {frame:?}"),
                _ => panic!("{frame:?} of {frames:?}"),
            }
        }
        let code = match (&self.outcome.error, self.outcome.closed) {
            (_, None) => return,
            (Some(error), _) => error.close_code(),
            (None, Some(report)) => report.received.map(|received| received.code()),
        };
        // If this endpoint has said a last word before, that is what counts.
        let report = self.outcome.closed.expect("it is over");
        let first = report.sent.map(|sent| sent.code());
        let first = first.filter(|sent| may_have_closed && *sent == CloseCode::NORMAL);
        if let Some(code) = first.or(code) {
            let payload = close.expect("a Close frame");
            assert!(payload.starts_with(&code.get().to_be_bytes()), "{payload:02x?}, not {code}");
        }
        assert_eq!(report.sent.is_some(), close.is_some_and(|payload| !payload.is_empty()));
    }

    /// What the codec may own, and what it has made of the open message.
    fn codec(&self) -> (usize, usize) {
        if self.setup.agreed.is_none() || self.outcome.is_ended || !self.position.was_compressed() {
            return (0, 0);
        }
        let window = if self.setup.takes_over() { WINDOW } else { 0 };
        if !self.position.is_compressed() {
            return (window + LISTS, 0);
        }
        // In chunks it was taken, but for a character that is not complete.
        let are_chunks = self.delivery == Delivery::Chunks;
        let made = if are_chunks { 3 } else { self.position.inflated() };
        (window + DECODER + LISTS, made)
    }

    /// What waits to be written, and what the driver has lent.
    fn apart(&self) -> usize {
        let buffered = self.connection.buffered();
        assert!(buffered <= REPLIES, "{buffered} bytes of replies");
        assert_eq!(self.connection.is_above_high_water(), buffered > self.setup.config.output_high_water);
        let output = if buffered > 0 { 2 * REPLIES + 1024 } else { 0 };
        let lent = if self.is_lent { LENT } else { 0 };
        let spare = self.spare.capacity();
        output + lent + spare + if spare > 0 || self.is_lent { LISTS } else { 0 }
    }

    fn check_rest(&mut self) {
        let (codec, made) = self.codec();
        let mut most = self.new + 2 * self.unfinished + 1024 + codec + self.apart();
        if made > 0 {
            most += 2 * made + 1024;
        }
        let owned = self.meter.owned();
        assert!(owned <= most, "{owned} bytes at rest, not {most}: {} are unfinished", self.unfinished);
        (self.held, self.made, self.room) = (self.unfinished, made, 0);
        // What has been lent counts no more.
        self.meter.peak();
    }

    fn check_busy(&mut self) {
        let mut most = self.new + 4 * self.held + (4 << 10) + 2 * self.room;
        most += self.apart() + 2 * REPLIES + 1024;
        if self.setup.agreed.is_some() {
            most += WINDOW + DECODER + LISTS + 4 * self.made();
        }
        let peak = self.meter.peak();
        assert!(peak <= most, "{peak} bytes, not {most}: {} were held and {} made", self.held, self.made);
    }

    /// How long a compressed message has been at the most since the connection rested, as far as it was inflated.
    fn made(&self) -> usize {
        if self.outcome.error.is_none() {
            return self.made;
        }
        // How far it got with the one that failed is not known.
        self.held.saturating_mul(1032).min(self.setup.max_message())
    }
}
