//! The receiving half: from bytes to events (RFC 6455 §5, §6.2, §7, §8.1).

mod cold;
mod compressed;
mod find;

use alloc::boxed::Box;

use bytes::{BufMut, BytesMut};

use crate::close::{CloseFrame, Endpoint};
use crate::config::{Config, Delivery};
use crate::control::{Control, ControlPayload, Last, Orders};
use crate::deflate::Inflating;
use crate::error::{Error, Timer};
use crate::frame::{Masking, OpCode};
use crate::inbox::Inbox;
use crate::mask::Mask;
use crate::message::{Binary, Event, Text};
use crate::reads::ReadSize;
use crate::size::at_most;
use crate::spare::Spare;
use crate::time::Timestamp;
use crate::timers::Due;
use crate::utf8::Validator;
use cold::Cold;

/// The receiving half of a connection: bytes and time go in, events come out.
///
/// The calls, in order: append to [`input`](Self::input), tell
/// [`handle_input`](Self::handle_input), then take events until [`advance`](Self::advance) says
/// there are no more. What it wants sent comes out of [`poll_control`](Self::poll_control).
/// [`Connection`](crate::Connection) does all this for both halves together.
#[derive(Debug)]
pub struct ReceiveHalf {
    inbox: Inbox,
    /// The next event; its bytes stand in the inbox.
    found: Option<Found>,
    phase: Phase,
    /// The type of the open message, if one is open.
    open: Option<Kind>,
    frame: Frame,
    validator: Validator,
    /// What inflates messages, if that was negotiated.
    inflating: Option<Box<Inflating>>,
    cold: Box<Cold>,
    /// The longest message on the straight path.
    max_whole: u16,
    delivery: Delivery,
    /// The MASK bit that every frame of the peer must have.
    mask_bit: u8,
    /// Data was handed out that the timers were not told of: it came no later than the last sign of life.
    data_seen: bool,
    orders: Orders,
    /// Why nothing more will arrive, though what has arrived may still be handed out.
    cut: Option<Cut>,
    began: Option<Endpoint>,
    end: Option<Box<End>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No message is open, and a header comes next: the straight path is possible.
    Between,
    /// A header comes next, behind a message that was inflated and has left its decoder and buffer: the straight
    /// path does not look at these.
    Inflated,
    /// A fragmented message is open, and a header comes next.
    Fragmented,
    /// A data frame's payload comes next.
    Payload,
}

/// The data frame under way.
#[derive(Debug)]
struct Frame {
    missing: u64,
    mask: Mask,
    /// The type of its message.
    kind: Kind,
    is_final: bool,
    /// Whether its message is compressed.
    is_compressed: bool,
}

/// The two types of data (RFC 6455 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Binary,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    what: What,
    len: usize,
    is_final: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// The first `len` bytes of the open message.
    Data(Kind),
    /// The first `len` bytes of the open message that were inflated.
    Inflated(Kind),
    /// The next `len` unparsed bytes.
    Ping,
    Pong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Eof,
    TimedOut(Timer),
}

#[derive(Clone, Debug)]
enum End {
    /// The peer sent a Close frame.
    Closed(Option<CloseFrame>),
    /// The transport ended after our Close frame, without the peer's.
    HungUp,
    Failed(Error),
}

/// A message in one frame: where it stands in the inbox, parsed, unmasked and judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole {
    kind: Kind,
    start: usize,
    len: usize,
}

impl Kind {
    /// The opcode of a message's first frame.
    pub(crate) fn opcode(self) -> OpCode {
        match self {
            Kind::Text => OpCode::Text,
            Kind::Binary => OpCode::Binary,
        }
    }

    /// An event of data of this type, which was judged.
    #[inline]
    fn event(self, data: Binary<'_>) -> Event<'_> {
        match self {
            Kind::Text => Event::Text(Text::vouched(data)),
            Kind::Binary => Event::Binary(data),
        }
    }
}

/// What became of looking for the next event.
enum Step {
    Found,
    GoOn,
    Starved,
}

impl ReceiveHalf {
    pub(crate) fn new(config: &Config, masking: Masking, now: Timestamp) -> Self {
        let cold = Box::new(Cold::new(config, now));
        ReceiveHalf {
            inbox: Inbox::default(),
            found: None,
            phase: Phase::Between,
            open: None,
            frame: Frame {
                missing: 0,
                mask: Mask::NONE,
                kind: Kind::Binary,
                is_final: false,
                is_compressed: false,
            },
            validator: Validator::new(),
            inflating: None,
            max_whole: cold.max_whole(),
            cold,
            delivery: config.delivery,
            mask_bit: if masking == Masking::Required { 0x80 } else { 0 },
            data_seen: false,
            orders: Orders::default(),
            cut: None,
            began: None,
            end: None,
        }
    }

    /// The buffer to append received bytes to.
    ///
    /// What was handed out is dropped here, so an event must be done with before.
    pub fn input(&mut self) -> impl BufMut {
        self.buffer()
    }

    /// [`input`](Self::input), with the bytes that were validated already in reach.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        self.drop_what_follows();
        self.inbox.drop_front();
        self.cold.reads.expect(self.inbox.buf.len());
        &mut self.inbox.buf
    }

    /// [`input`](Self::input) with room for one read and no more, for transports that read into a [`BufMut`]:
    /// at least half of [`read_size`](Self::read_size) or of 64 KiB, whichever is less, and as much as there is room
    /// for anyway, up to 128 KiB, or 512 KiB within a large frame.
    pub fn read_buffer(&mut self) -> impl BufMut {
        let (buffer, size) = self.buffer_for_read();
        buffer.limit(size)
    }

    /// [`input`](Self::input) with room, and how much of that to read into.
    pub(crate) fn buffer_for_read(&mut self) -> (&mut BytesMut, usize) {
        self.drop_what_follows();
        let missing = self.missing();
        let ends_here = missing > 0 && self.frame.is_final;
        let needed = ends_here.then(|| at_most(missing, usize::MAX));
        self.inbox.make_room(self.cold.reads.size(missing), needed);
        self.cold.reads.expect(self.inbox.buf.len());
        let size = self.inbox.room().min(ReadSize::most(missing));
        (&mut self.inbox.buf, size)
    }

    /// Says that bytes were appended to [`input`](Self::input), at this time.
    pub fn handle_input(&mut self, now: Timestamp) {
        self.cold.reads.adapt(self.inbox.buf.len());
        self.trim();
        self.settle_data();
        self.cold.timers.input(now);
        self.cold.has_news = true;
        self.drop_what_follows();
        // A peer that never stops sending must not keep the clock from being looked at.
        self.handle_timeout(now);
    }

    /// Says that the transport has ended: nothing more will be received.
    pub fn handle_eof(&mut self) {
        self.cut = Some(Cut::Eof);
    }

    /// Says that the transport has no bytes just now, and gives back memory that waits for them.
    pub fn handle_would_block(&mut self) {
        self.return_buffer(&mut Spare::nothing());
    }

    /// Takes a large buffer for the next read, if this half has none. See [`Spare`].
    #[inline]
    pub fn borrow_buffer(&mut self, spare: &mut Spare) {
        let (reads, missing) = (&self.cold.reads, self.missing());
        self.inbox.borrow_buffer(spare, || reads.size(missing));
    }

    /// Says that the transport has no bytes just now, as [`handle_would_block`](Self::handle_would_block),
    /// and gives memory that waits for them to others.
    pub fn return_buffer(&mut self, spare: &mut Spare) {
        self.drop_what_follows();
        self.inbox.return_buffer(spare);
        self.rest();
    }

    /// Gives memory to others before a short wait: what is dear to move stays.
    #[cfg(feature = "tokio")]
    pub(crate) fn pause(&mut self, spare: &mut Spare) {
        if self.holds_little() {
            self.return_buffer(spare);
        }
    }

    /// Whether little has arrived that was not handed out.
    #[cfg(feature = "tokio")]
    pub(crate) fn holds_little(&self) -> bool {
        self.inbox.is_cheap_to_move()
    }

    /// Gives memory to others before the application looks at what has arrived, which may take it long: what
    /// is dear to move stays.
    #[cfg(feature = "tokio")]
    pub(crate) fn settle(&mut self, spare: &mut Spare) {
        if self.holds_little() {
            self.inbox.return_buffer(spare);
        }
    }

    /// Says that the transport took output which had to wait: a sign of life, as input is.
    pub fn handle_written(&mut self, now: Timestamp) {
        self.settle_data();
        self.cold.timers.alive(now);
    }

    /// Says that the sending half has sent a Close frame: the closing handshake has its deadline.
    pub fn handle_close_sent(&mut self) {
        self.began.get_or_insert(Endpoint::Local);
        self.cold.timers.close();
    }

    /// Says what time it is. Needed when [`poll_timeout`](Self::poll_timeout) is reached; harmless
    /// at any other time.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.settle_data();
        if self.cold.timers.is_idle(now) {
            // The application may have been too busy to look: what has arrived gets the time once more, as it
            // may be a message, or the first part of one. A peer that sends no message gets no third time.
            if !self.cold.has_news || self.cold.is_extended {
                self.orders.close(self.cold.idle_close);
                return self.handle_close_sent();
            }
            self.cold.is_extended = true;
            self.cold.timers.extend(now);
        }
        match self.cold.timers.due(now) {
            None => {}
            Some(Due::Ping) => self.orders.ping(),
            Some(Due::PongMissing) => self.cut = self.cut.or(Some(Cut::TimedOut(Timer::Pong))),
            Some(Due::ClosingOver) => self.cut = self.cut.or(Some(Cut::TimedOut(Timer::Closing))),
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); the epoch means at once.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.cold.timers.next(self.data_seen)
    }

    /// What the sending half is to do, if anything.
    pub fn poll_control(&mut self) -> Option<Control> {
        self.orders.next().map(Control)
    }

    /// Whether [`poll_control`](Self::poll_control) has something to say.
    #[must_use]
    #[inline]
    pub fn has_control(&self) -> bool {
        self.orders.are_pending()
    }

    /// How many bytes of the frame under way have not arrived.
    #[must_use]
    pub fn missing(&self) -> u64 {
        // Some may be here, but not looked at.
        let held = self.inbox.unparsed().len() as u64;
        if self.phase == Phase::Payload { self.frame.missing.saturating_sub(held) } else { 0 }
    }

    /// How many bytes to ask the transport for: it follows what reads have brought, never what the peer
    /// has only announced. At most 128 KiB, or 512 KiB within a large frame.
    #[must_use]
    pub fn read_size(&self) -> usize {
        self.cold.reads.size(self.missing())
    }

    /// Whether the conversation is over: [`poll_event`](Self::poll_event) has no more events.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Whether nothing more is to be read: the conversation is over, and either the transport has
    /// ended or the time for that is up.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.end.is_some() && (self.cut == Some(Cut::Eof) || self.is_out_of_time())
    }

    /// Whether the deadline of the closing handshake has passed.
    #[must_use]
    pub fn is_out_of_time(&self) -> bool {
        self.cold.timers.closing_is_over()
    }

    /// Whether it falls to this endpoint to end the transport, once its output is written.
    #[must_use]
    pub fn ends_transport(&self) -> bool {
        match self.end.as_deref() {
            None => false,
            // RFC 6455 §7.1.1: "The underlying TCP connection, in most normal cases, SHOULD be closed
            // first by the server, so that it holds the TIME_WAIT state and not the client".
            Some(End::Closed(_)) => self.mask_bit != 0 || self.cut == Some(Cut::Eof),
            // RFC 6455 §7.1.7: "the client MUST _Close the WebSocket Connection_ [...]. Similarly, to do
            // so, the server MUST _Close the WebSocket Connection_".
            Some(End::HungUp | End::Failed(_)) => true,
        }
    }

    /// Whether to read: the transport has not ended.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.cut != Some(Cut::Eof)
    }

    /// The deadline that has passed, as the error that comes once all events are handed out. A driver
    /// that waits to write looks here.
    #[must_use]
    pub fn overdue(&self) -> Option<Error> {
        match self.cut {
            Some(Cut::TimedOut(timer)) => Some(Error::TimedOut(timer)),
            _ => self.is_out_of_time().then_some(Error::TimedOut(Timer::Closing)),
        }
    }

    /// Who began to close, what the peer's Close frame said, and whether there was one.
    pub(crate) fn ending(&self) -> Option<(Endpoint, Option<CloseFrame>, bool)> {
        let began = self.began.unwrap_or(Endpoint::Peer);
        match self.end.as_deref() {
            None => None,
            Some(End::Closed(frame)) => Some((began, *frame, true)),
            Some(End::HungUp | End::Failed(_)) => Some((began, None, false)),
        }
    }

    /// Finds the next event: true if [`poll_event`](Self::poll_event) has something to say, be it
    /// that the conversation is over; false if more input is needed.
    ///
    /// Calling it again changes nothing until the event is taken. It looks at each buffered byte at
    /// most once, and stops at the first event.
    ///
    /// Fails if the peer broke the protocol, a deadline passed, or the transport ended without a
    /// Close frame of either end; then with the same error for ever.
    #[inline]
    pub fn advance(&mut self) -> Result<bool, Error> {
        if self.found.is_some() {
            return Ok(true);
        }
        let Some((kind, start, len)) = self.take_whole_frame() else { return self.find() };
        (self.inbox.start, self.inbox.end) = (start, start + len);
        self.found = Some(Found { what: What::Data(kind), len, is_final: true });
        Ok(true)
    }

    /// The next event, if that is a whole message in one whole frame: it needs nothing but to be lent.
    #[inline]
    pub(crate) fn poll_whole_frame(&mut self) -> Option<Whole> {
        if self.found.is_some() {
            return None;
        }
        let (kind, start, len) = self.take_whole_frame()?;
        self.inbox.start = self.inbox.pos;
        self.inbox.end = self.inbox.pos;
        self.data_seen = true;
        Some(Whole { kind, start, len })
    }

    /// Lends what [`poll_whole_frame`](Self::poll_whole_frame) gave.
    #[inline]
    pub(crate) fn lend_whole(&mut self, Whole { kind, start, len }: Whole) -> Event<'_> {
        kind.event(Binary::new(&mut self.inbox, start, len, true))
    }

    /// Lends the next event; `None` if there is none yet, or none any more.
    ///
    /// The bytes stand in the receive buffer until the next call of any `&mut` method.
    ///
    /// Fails as [`advance`](Self::advance) does.
    #[inline]
    pub fn poll_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        if let Some(whole) = self.poll_whole_frame() {
            return Ok(Some(self.lend_whole(whole)));
        }
        self.advance()?;
        self.note_event();
        Ok(self.lend())
    }

    /// Notes what follows from the found event being handed out.
    #[inline]
    pub(crate) fn note_event(&mut self) {
        match self.found {
            Some(Found { what: What::Data(_) | What::Inflated(_), .. }) => self.data_seen = true,
            Some(Found { what: What::Ping, len, .. }) => {
                // RFC 6455 §5.5.2: "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame
                // in response, unless it already received a Close frame."
                let payload = self.inbox.unparsed().get(..len).unwrap_or_default();
                self.orders.answer(ControlPayload::new(payload));
            }
            _ => {}
        }
    }

    #[inline]
    pub(crate) fn lend(&mut self) -> Option<Event<'_>> {
        let Found { what, len, is_final } = self.found.take()?;
        let (inbox, kind) = match what {
            What::Data(kind) => (&mut self.inbox, kind),
            What::Inflated(kind) => (self.inflating.as_mut()?.out(), kind),
            What::Ping | What::Pong => {
                let start = self.inbox.pos;
                self.inbox.skip(len);
                let payload = self.inbox.lend(start, len);
                return Some(if what == What::Ping { Event::Ping(payload) } else { Event::Pong(payload) });
            }
        };
        let start = inbox.start;
        inbox.hand_out(len);
        let data = Binary::new(inbox, start, len, is_final);
        Some(kind.event(data))
    }

    /// Drops what comes behind the end.
    fn drop_what_follows(&mut self) {
        // RFC 6455 §7.1.7: "An endpoint MUST NOT continue to attempt to process data (including a
        // responding Close frame) from the remote endpoint after being instructed to _Fail the
        // WebSocket Connection_."
        if self.end.is_some() {
            self.inbox.clear();
        }
    }

    /// Tells the timers of the data that was handed out, before they hear of a later time.
    fn settle_data(&mut self) {
        if core::mem::take(&mut self.data_seen) {
            self.cold.timers.data();
            self.cold.is_extended = false;
        }
    }

    #[cold]
    fn fail(&mut self, error: Error) {
        // RFC 6455 §7.1.7: "If _The WebSocket Connection is Established_ prior to the point where the
        // endpoint is required to _Fail the WebSocket Connection_, the endpoint SHOULD send a Close
        // frame with an appropriate status code".
        self.orders.finish(match error.close_code() {
            Some(code) => Last::Close(Some(code)),
            None => Last::Stop,
        });
        let began = if error == Error::UnexpectedEof { Endpoint::Peer } else { Endpoint::Local };
        self.finish(End::Failed(error), began);
    }

    fn finish(&mut self, end: End, began: Endpoint) {
        self.began.get_or_insert(began);
        self.end = Some(Box::new(end));
        self.phase = Phase::Fragmented;
        self.cold.timers.close();
        self.inbox = Inbox::default();
        self.inflating = None;
    }
}
