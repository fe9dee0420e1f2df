//! The sending half: from commands to bytes (RFC 6455 §5, §6.1, §7).

mod compressed;
mod messages;

use alloc::boxed::Box;

use bytes::Buf;
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::close::{CloseCode, CloseFrame, MAX_REASON};
use crate::config::Config;
use crate::control::{Control, ControlPayload, Last, MAX_CONTROL, Order};
use crate::deflate::Deflating;
use crate::error::SendError;
use crate::frame::{Header, MAX_HEADER, OpCode};
use crate::mask::Mask;
use crate::output::Output;
use crate::receive::Kind;
use crate::spare::Spare;

/// How many bytes of pongs and keepalive pings may wait: enough to answer each of a burst of pings, too few to
/// be worth a flood of them.
const MAX_PONG_BYTES: u16 = 1 << 10;

/// What each counts for besides its payload: the largest header.
const PONG_HEADER: u16 = 14;

/// The sending half of a connection: commands go in, bytes come out of [`output`](Self::output).
///
/// No command waits, and none is refused because much is queued: [`buffered`](Self::buffered) and
/// [`is_above_high_water`](Self::is_above_high_water) tell when to slow down.
#[derive(Debug)]
pub struct SendHalf {
    output: Output,
    /// A client's source of masking keys.
    keys: Option<Box<StdRng>>,
    state: State,
    /// What the Close frame that was sent says.
    close_sent: Option<Box<CloseFrame>>,
    /// The newest ping's answer, while as many older ones as may be still wait in the output.
    pong: Option<Box<Held>>,
    /// Where in the output the last pong or keepalive ping ends, counted like [`Output::written`].
    pong_end: u64,
    /// How many bytes of them were queued since none was waiting.
    pong_bytes: u16,
    high_water: usize,
    /// What compresses messages, if that was negotiated.
    deflating: Option<Box<Deflating>>,
    /// The next message is not to be compressed.
    uncompressed: bool,
    /// What a driver wrote last was much: so may be what comes next. It stands here because there is a gap.
    #[cfg(feature = "tokio")]
    pub(crate) writes_much: bool,
}

/// A pong that waits for others to be written.
#[derive(Debug)]
struct Held {
    payload: ControlPayload,
    /// How many bytes the pongs would have taken whose place this one has.
    left_out: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No message is open.
    Between,
    /// A fragmented message is open, and `true` if it is compressed.
    Open(Kind, bool),
    /// A Close frame was sent: only pongs follow, while the receiving half asks for them.
    Closed,
    /// The conversation is over without one: nothing follows.
    Over,
    /// Nobody knows what the transport has taken: nothing follows.
    Broken,
}

impl SendHalf {
    pub(crate) fn new(config: &Config, keys: Option<Box<StdRng>>) -> Self {
        SendHalf::empty(config.output_high_water, keys)
    }

    fn empty(high_water: usize, keys: Option<Box<StdRng>>) -> Self {
        SendHalf {
            output: Output::default(),
            keys,
            state: State::Between,
            close_sent: None,
            pong: None,
            pong_end: 0,
            pong_bytes: 0,
            high_water,
            deflating: None,
            uncompressed: false,
            #[cfg(feature = "tokio")]
            writes_much: false,
        }
    }

    /// Has the next message sent as it is, also if permessage-deflate was negotiated: for a secret that
    /// stands next to text of an attacker's (RFC 7692 §8).
    ///
    /// ```
    /// use bytes::Buf;
    /// use sansock::{Config, Connection, Timestamp};
    ///
    /// let mut connection = Connection::server(Config::default(), Timestamp::EPOCH);
    /// connection.uncompressed().text("secret")?;
    /// assert_eq!(connection.output().chunk(), b"\x81\x06secret");
    /// # Ok::<(), sansock::SendError>(())
    /// ```
    #[inline]
    pub fn uncompressed(&mut self) -> &mut Self {
        self.uncompressed = true;
        self
    }

    /// Queues a ping with a payload of at most 125 bytes.
    ///
    /// Fails after a Close frame or if the payload is longer.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.control(OpCode::Ping, payload)
    }

    /// Queues a pong that no ping asked for, with a payload of at most 125 bytes. Pings are answered
    /// without it.
    ///
    /// Fails after a Close frame or if the payload is longer.
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.control(OpCode::Pong, payload)
    }

    /// Queues a Close frame, which begins the closing handshake. The application can send nothing after it.
    ///
    /// Fails if one was sent already, or if the reason is longer than 123 bytes.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        let frame = CloseFrame::new(code, reason)?;
        self.check_open()?;
        self.queue_close(Some(frame));
        Ok(())
    }

    /// Carries out what the receiving half wants.
    pub fn handle_control(&mut self, control: Control) {
        match control.0 {
            _ if self.state == State::Broken => {}
            // RFC 6455 §5.5.2: "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in
            // response, unless it already received a Close frame." To have sent one does not end that duty.
            Order::Pong(payload) => self.answer(payload),
            Order::Ping if self.is_closed() => {}
            Order::Ping => self.ask(),
            Order::Close(code) => self.queue_close_once(Some(code)),
            Order::Finish(last) => {
                // What is queued stays: a peer that has ended its side may still read.
                match last {
                    Last::Close(code) => self.queue_close_once(code),
                    Last::Stop if self.is_closed() => {}
                    Last::Stop => self.state = State::Over,
                }
                self.deflating = None;
                self.pong = None;
            }
        }
    }

    /// The bytes to write. Ask anew before each write: a pong may have waited for the last one.
    #[inline]
    pub fn output(&mut self) -> &mut Output {
        if self.pong.is_some() {
            self.release_pong();
        }
        &mut self.output
    }

    pub(crate) fn output_ref(&self) -> &Output {
        &self.output
    }

    /// How many bytes wait to be written.
    #[must_use]
    #[inline]
    pub fn buffered(&self) -> usize {
        self.output.remaining()
    }

    /// Whether more waits than [`Config::output_high_water`]: time to wait, to send less, or to
    /// close, as the application sees fit.
    #[must_use]
    #[inline]
    pub fn is_above_high_water(&self) -> bool {
        self.buffered() > self.high_water
    }

    /// Whether the peer has pinged and pinged, and taken no pong: those that it will not get count as if they
    /// waited.
    pub(crate) fn is_pinged_for_nothing(&self) -> bool {
        self.pong.as_ref().is_some_and(|pong| pong.left_out > self.high_water) && self.output.has_remaining()
    }

    /// Whether a Close frame was sent, or the conversation is over: nothing more can be sent.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed | State::Over | State::Broken)
    }

    /// Says that the transport takes no more just now, or needs none, and gives back memory that
    /// waits for output.
    pub fn handle_would_block(&mut self) {
        self.return_buffer(&mut Spare::nothing());
    }

    /// Takes a large buffer for what is queued next, if this half has none. See [`Spare`].
    #[inline]
    pub fn borrow_buffer(&mut self, spare: &mut Spare) {
        self.output.borrow_buffer(spare);
    }

    /// Says that the transport takes no more just now, or needs none, as
    /// [`handle_would_block`](Self::handle_would_block), and gives memory that waits for output to others.
    pub fn return_buffer(&mut self, spare: &mut Spare) {
        self.output.return_buffer(spare);
        self.rest();
    }

    /// Gives back the codec that waits for messages.
    pub(crate) fn rest(&mut self) {
        if let Some(deflating) = &mut self.deflating {
            deflating.rest();
        }
    }

    /// A second sending half for the same transport, with masking keys of its own: it can answer for
    /// the receiving half while this one is elsewhere. Whole frames come to it by
    /// [`append`](Self::append). One of the two sends messages, the other control frames alone: fragments of
    /// both would mix.
    #[must_use]
    pub fn fork(&mut self) -> SendHalf {
        let mut seed = [0; 32];
        let keys = self.keys.as_mut().map(|keys| {
            keys.fill_bytes(&mut seed);
            Box::new(StdRng::from_seed(seed))
        });
        SendHalf::empty(self.high_water, keys)
    }

    /// Moves all that waits in `other` behind what waits here, its Close frame included: nothing can follow
    /// it, also if it was written from there already. If one was sent from here, what waits in `other` is
    /// dropped.
    pub fn append(&mut self, other: &mut SendHalf) -> Result<(), SendError> {
        if other.output().has_remaining() {
            self.check_open().inspect_err(|_| other.output.clear())?;
            self.output.append(&mut other.output);
            // What is gone from there is as good as written.
            other.pong_end = other.output.written();
            if let Some(pong) = other.pong.take() {
                // It waits here for all that was appended.
                self.pong = Some(pong);
                self.pong_bytes = MAX_PONG_BYTES;
                self.pong_end = self.output.written() + self.output.remaining() as u64;
            }
        }
        if other.is_closed() && !self.is_closed() {
            self.state = other.state;
            self.close_sent.clone_from(&other.close_sent);
            self.deflating = None;
        }
        Ok(())
    }

    /// What the Close frame that was sent said.
    pub(crate) fn close_sent(&self) -> Option<CloseFrame> {
        self.close_sent.as_deref().copied()
    }

    /// Whether a Close frame was sent, be it one that says nothing.
    #[cfg(feature = "std")]
    pub(crate) fn has_said_close(&self) -> bool {
        self.state == State::Closed
    }

    fn check_open(&self) -> Result<(), SendError> {
        // RFC 6455 §5.5.1: "The application MUST NOT send any more data frames after sending a Close
        // frame."
        if self.is_closed() { Err(SendError::Closed) } else { Ok(()) }
    }

    fn control(&mut self, opcode: OpCode, payload: &[u8]) -> Result<(), SendError> {
        self.check_open()?;
        if payload.len() > MAX_CONTROL {
            return Err(SendError::ControlTooLong);
        }
        self.copy_frame(Header::of_data(opcode, payload.len()), payload);
        Ok(())
    }

    /// Sends a pong; or lets it wait, in the place of an older one, while the peer takes none of those
    /// that were sent.
    fn answer(&mut self, payload: ControlPayload) {
        // RFC 6455 §5.5.3: "If an endpoint receives a Ping frame and has not yet sent Pong frame(s) in
        // response to previous Ping frame(s), the endpoint MAY elect to send a Pong frame for only
        // the most recently processed Ping frame."
        if !self.has_room_for(payload.len()) {
            match &mut self.pong {
                None => self.pong = Some(Box::new(Held { payload, left_out: 0 })),
                Some(held) => {
                    let len = PONG_HEADER + u16::from(held.payload.len());
                    held.left_out = held.left_out.saturating_add(len.into());
                    held.payload = payload;
                }
            }
            return;
        }
        self.pong = None;
        self.automatic(OpCode::Pong, &payload);
    }

    /// Sends a keepalive ping, unless a peer that sends but does not read has many of them to read already.
    fn ask(&mut self) {
        if self.has_room_for(0) {
            self.automatic(OpCode::Ping, &ControlPayload::EMPTY);
        }
    }

    /// Whether another frame that nobody asked to send may wait.
    fn has_room_for(&mut self, len: u8) -> bool {
        if self.are_pongs_written() {
            self.pong_bytes = 0;
        }
        self.pong_bytes + u16::from(len) <= MAX_PONG_BYTES
    }

    fn automatic(&mut self, opcode: OpCode, payload: &ControlPayload) {
        self.copy_frame(Header::of_data(opcode, payload.len().into()), payload.as_bytes());
        self.pong_bytes += PONG_HEADER + u16::from(payload.len());
        self.pong_end = self.output.written() + self.output.remaining() as u64;
    }

    /// Whether the last pong and keepalive ping have left. A driver may also take the output as a whole, and leave
    /// an empty one, which has written nothing.
    fn are_pongs_written(&self) -> bool {
        self.output.written() >= self.pong_end || !self.output.has_remaining()
    }

    #[cold]
    fn release_pong(&mut self) {
        let are_written = self.are_pongs_written();
        if let Some(pong) = self.pong.take_if(|_| are_written) {
            self.answer(pong.payload);
        }
    }

    fn queue_close_once(&mut self, code: Option<CloseCode>) {
        if !self.is_closed() {
            self.queue_close(code.map(CloseFrame::from_code));
        }
    }

    fn queue_close(&mut self, frame: Option<CloseFrame>) {
        let mut body = [0; MAX_REASON + 2];
        let body = frame.as_ref().map_or(&[][..], |frame| frame.encode(&mut body));
        self.copy_frame(Header::of_data(OpCode::Close, body.len()), body);
        self.state = State::Closed;
        self.close_sent = frame.map(Box::new);
        self.deflating = None;
    }

    /// Appends a frame to the flat buffer: a client's is masked on the way.
    #[inline]
    fn copy_frame(&mut self, header: Header, payload: &[u8]) {
        copy_frame(&mut self.output, &mut self.keys, header, payload);
    }
}

#[inline]
fn copy_frame(output: &mut Output, keys: &mut Option<Box<StdRng>>, header: Header, payload: &[u8]) {
    let out = output.room(MAX_HEADER + payload.len());
    match keys {
        None => {
            header.encode(out);
            out.extend_from_slice(payload);
        }
        Some(keys) => {
            // RFC 6455 §5.3: "The masking key is a 32-bit value chosen at random by the client.
            // When preparing a masked frame, the client MUST pick a fresh masking key from the
            // set of allowed 32-bit values."
            let key = keys.next_u32().to_ne_bytes();
            header.masked().encode(out);
            out.extend_from_slice(&key);
            Mask::new(key).copy(payload, out);
        }
    }
}
