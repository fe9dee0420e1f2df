//! The sending half: from commands to bytes (RFC 6455 §5, §6.1, §7).

use alloc::boxed::Box;

use bytes::Buf;
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::close::{CloseCode, CloseFrame, MAX_REASON};
use crate::config::Config;
use crate::control::{Control, ControlPayload, Last, MAX_CONTROL, Order};
#[cfg(feature = "deflate")]
use crate::deflate::{Deflate, Direction};
use crate::deflate::{Deflating, Part};
use crate::error::SendError;
use crate::frame::Reserved;
use crate::frame::{Header, MAX_HEADER, OpCode};
use crate::mask::Mask;
use crate::message::{Binary, Data, Event, Message};
use crate::output::Output;
use crate::prepared::{Encoded, Prepared};
use crate::receive::Kind;
use crate::spare::Spare;

/// From this length on an owned payload is spliced into the output rather than copied: the reference
/// and its slot in a vectored write cost about as much as copying this many bytes.
const SPLICE: usize = 4 << 10;

/// From this length on relayed data is shared rather than copied.
const SHARE: usize = 8 << 10;

/// How many bytes of pongs may wait: enough to answer each of a burst of pings, too few to be worth a
/// flood of them.
const MAX_PONG_BYTES: u16 = 1 << 10;

/// What a pong counts for besides its payload: the largest header.
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
    /// The newest ping's answer, while as many older ones as may be still wait in the output.
    pong: Option<Box<ControlPayload>>,
    /// Where in the output the last pong ends, counted like [`Output::written`].
    pong_end: u64,
    /// How many bytes of pongs were queued since none was waiting.
    pong_bytes: u16,
    high_water: usize,
    /// What compresses messages, if that was negotiated.
    deflating: Option<Box<Deflating>>,
    /// The next message is not to be compressed.
    uncompressed: bool,
}

#[derive(Debug)]
enum State {
    /// No message is open.
    Between,
    /// A fragmented message is open, and `true` if it is compressed.
    Open(Kind, bool),
    /// A Close frame was sent, if it could be.
    Closed(Option<Box<CloseFrame>>),
}

impl SendHalf {
    pub(crate) fn new(config: &Config, keys: Option<Box<StdRng>>) -> Self {
        SendHalf {
            output: Output::default(),
            keys,
            state: State::Between,
            pong: None,
            pong_end: 0,
            pong_bytes: 0,
            high_water: config.output_high_water,
            deflating: None,
            uncompressed: false,
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

    /// Queues a text message.
    ///
    /// Fails after a Close frame or inside a fragmented message; nothing is queued then.
    #[inline]
    pub fn text(&mut self, text: &str) -> Result<(), SendError> {
        self.whole_message(OpCode::Text, text.as_bytes())
    }

    /// Queues a binary message.
    ///
    /// Fails after a Close frame or inside a fragmented message; nothing is queued then.
    #[inline]
    pub fn binary(&mut self, data: &[u8]) -> Result<(), SendError> {
        self.whole_message(OpCode::Binary, data)
    }

    /// Sends a message past the queue: nothing of it is copied that the transport takes at once.
    ///
    /// `write` is given the frame in two parts, to be written in this order, and says how many bytes of both
    /// together the transport took: none, if it would block or fails. The rest is queued. `write` is not
    /// called if something waits already, or if there is no such frame yet, because it has to be masked or
    /// compressed: then the message is queued as [`text`](Self::text) and [`binary`](Self::binary) do it. So
    /// write [`output`](Self::output) afterwards in any case.
    ///
    /// Fails after a Close frame or inside a fragmented message; nothing is written or queued then.
    ///
    /// ```
    /// use std::io::{IoSlice, Write};
    ///
    /// use bytes::Buf;
    /// use sansock::{Config, Connection, Timestamp};
    ///
    /// let mut transport = Vec::new();
    /// let mut connection = Connection::server(Config::default(), Timestamp::EPOCH);
    /// connection.offer("hi", |head, payload| {
    ///     transport.write_vectored(&[IoSlice::new(head), IoSlice::new(payload)]).unwrap_or(0)
    /// })?;
    /// assert!(!connection.output().has_remaining());
    /// assert_eq!(transport, b"\x81\x02hi");
    /// # Ok::<(), sansock::SendError>(())
    /// ```
    #[inline]
    pub fn offer<'a>(
        &mut self,
        message: impl Into<Data<'a>>,
        write: impl FnOnce(&[u8], &[u8]) -> usize,
    ) -> Result<(), SendError> {
        let (kind, payload) = message.into().parts();
        if self.keys.is_some() || self.deflating.is_some() || self.output().has_remaining() {
            return self.whole_message(kind.opcode(), payload);
        }
        self.check_between()?;
        let (head, size) = Header::of_data(kind.opcode(), payload.len()).bytes();
        let head = head.get(..size).unwrap_or_default();
        let taken = write(head, payload);
        self.output.queue_rest(taken, [head, payload]);
        Ok(())
    }

    /// Queues an owned message: a server does not copy a large one.
    ///
    /// Fails after a Close frame or inside a fragmented message; nothing is queued then.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError> {
        self.check_between()?;
        let (opcode, payload) = match message.into() {
            Message::Text(text) => (OpCode::Text, text.into()),
            Message::Binary(data) => (OpCode::Binary, data),
        };
        if self.compresses(payload.len()) {
            return self.compressed_frame(opcode, &payload, true);
        }
        let header = Header::of_data(opcode, payload.len());
        if self.keys.is_none() && payload.len() >= SPLICE {
            header.encode(self.output.flat());
            self.output.splice(payload, false);
        } else {
            self.copy_frame(header, &payload);
        }
        Ok(())
    }

    /// Queues a prepared message: a server does not copy a large one. If it was prepared with a compressed
    /// form, that is sent where it may be.
    ///
    /// Fails after a Close frame or inside a fragmented message; nothing is queued then.
    pub fn prepared(&mut self, message: &Prepared) -> Result<(), SendError> {
        self.check_between()?;
        let encoded = if self.compresses(message.payload().len()) {
            match self.compressed_form(message) {
                Some(encoded) => encoded,
                None => {
                    return self.compressed_frame(message.plain().header().opcode(), message.payload(), true);
                }
            }
        } else {
            message.plain()
        };
        if self.keys.is_some() {
            self.copy_frame(encoded.header(), encoded.payload());
        } else if encoded.frame().len() < SPLICE {
            self.output.flat().extend_from_slice(encoded.frame());
        } else {
            self.output.splice(encoded.frame().clone(), false);
        }
        Ok(())
    }

    /// Queues the next part of a fragmented message; the first one opens it.
    ///
    /// Fails after a Close frame, or if the open message is of the other type; nothing is queued
    /// then.
    ///
    /// ```
    /// use bytes::Buf;
    /// use sansock::{Config, Connection, Timestamp};
    ///
    /// let mut connection = Connection::server(Config::default(), Timestamp::EPOCH);
    /// connection.fragment("Hel")?;
    /// connection.last_fragment("lo")?;
    /// assert_eq!(connection.output().chunk(), b"\x01\x03Hel\x80\x02lo");
    /// # Ok::<(), sansock::SendError>(())
    /// ```
    pub fn fragment<'a>(&mut self, data: impl Into<Data<'a>>) -> Result<(), SendError> {
        let (opcode, kind, payload) = self.next_fragment(data.into())?;
        let is_compressed = match self.state {
            State::Open(_, is_compressed) => is_compressed,
            _ => self.compresses(usize::MAX),
        };
        if is_compressed {
            self.compressed_frame(opcode, payload, false)?;
        } else {
            self.copy_frame(Header::of_fragment(opcode, payload.len()), payload);
        }
        self.state = State::Open(kind, is_compressed);
        Ok(())
    }

    /// Queues the last part of a fragmented message, or a whole message if none is open.
    ///
    /// Fails as [`fragment`](Self::fragment) does.
    pub fn last_fragment<'a>(&mut self, data: impl Into<Data<'a>>) -> Result<(), SendError> {
        let (opcode, _, payload) = self.next_fragment(data.into())?;
        match self.state {
            State::Open(_, true) => self.compressed_frame(opcode, payload, true)?,
            State::Open(_, false) => self.copy_frame(Header::of_data(opcode, payload.len()), payload),
            _ => return self.whole_message(opcode, payload),
        }
        self.state = State::Between;
        Ok(())
    }

    /// Queues what was received, as it came: a message, or a part of one. Pings and pongs are passed over, for
    /// they concern one connection only.
    ///
    /// A server does not copy large data: it leaves from the buffer that it came to. That buffer is free for
    /// others again once the transport has taken the data, or would block.
    ///
    /// Fails as [`fragment`](Self::fragment) does.
    ///
    /// ```
    /// use bytes::{Buf, BufMut};
    /// use sansock::{Config, Connection, Timestamp};
    ///
    /// let mut connection = Connection::server(Config::default(), Timestamp::EPOCH);
    /// connection.input().put_slice(b"\x81\x82\0\0\0\0hi");
    /// connection.handle_input(Timestamp::EPOCH);
    /// while let Some((event, send)) = connection.poll_with_send()? {
    ///     send.relay(event)?;
    /// }
    /// assert_eq!(connection.output().chunk(), b"\x81\x02hi");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn relay(&mut self, event: Event<'_>) -> Result<(), SendError> {
        match event {
            Event::Text(text) if self.shares(text.len()) => self.share(Kind::Text, text.into_binary()),
            Event::Text(text) if text.is_final() => self.last_fragment(&*text),
            Event::Text(text) => self.fragment(&*text),
            Event::Binary(data) if self.shares(data.len()) => self.share(Kind::Binary, data),
            Event::Binary(data) if data.is_final() => self.last_fragment(&*data),
            Event::Binary(data) => self.fragment(&*data),
            Event::Ping(_) | Event::Pong(_) => Ok(()),
        }
    }

    /// Whether relayed data of this length leaves as it is, from where it stands.
    #[inline]
    fn shares(&self, len: usize) -> bool {
        len >= SHARE && self.keys.is_none() && self.deflating.is_none()
    }

    #[cold]
    fn share(&mut self, kind: Kind, data: Binary<'_>) -> Result<(), SendError> {
        let (opcode, is_final) = (self.next_opcode(kind)?, data.is_final());
        let header = if is_final { Header::of_data } else { Header::of_fragment };
        header(opcode, data.len()).encode(self.output.flat());
        let (bytes, pins) = data.into_shared();
        self.output.splice(bytes, pins);
        self.state = if is_final { State::Between } else { State::Open(kind, false) };
        Ok(())
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

    /// Queues a Close frame, which begins the closing handshake. Nothing can be sent after it.
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
        if self.check_open().is_err() {
            return;
        }
        match control.0 {
            Order::Pong(payload) => self.answer(payload),
            Order::Ping => self.copy_frame(Header::of_data(OpCode::Ping, 0), &[]),
            Order::Finish(Last::Close(code)) => self.queue_close(code.map(CloseFrame::from_code)),
            Order::Finish(Last::Stop) => {
                // What is queued stays: a peer that has ended its side may still read.
                self.state = State::Closed(None);
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

    /// Whether a Close frame was sent, so that nothing more can be.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
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
    /// [`append`](Self::append).
    #[must_use]
    pub fn fork(&mut self) -> SendHalf {
        let mut seed = [0; 32];
        let keys = self.keys.as_mut().map(|keys| {
            keys.fill_bytes(&mut seed);
            Box::new(StdRng::from_seed(seed))
        });
        SendHalf {
            output: Output::default(),
            keys,
            state: State::Between,
            pong: None,
            pong_end: 0,
            pong_bytes: 0,
            high_water: self.high_water,
            deflating: None,
            uncompressed: false,
        }
    }

    /// Moves all that waits in `other` behind what waits here, its Close frame included. If one was
    /// sent from here already, nothing may follow it, and what waits in `other` is dropped.
    pub fn append(&mut self, other: &mut SendHalf) -> Result<(), SendError> {
        if !other.output.has_remaining() {
            return Ok(());
        }
        self.check_open().inspect_err(|_| other.output.clear())?;
        self.output.append(&mut other.output);
        if let State::Closed(frame) = &other.state {
            self.state = State::Closed(frame.clone());
            self.deflating = None;
            self.pong = None;
        }
        Ok(())
    }

    /// What the Close frame that was sent said.
    pub(crate) fn close_sent(&self) -> Option<CloseFrame> {
        match &self.state {
            State::Closed(frame) => frame.as_deref().copied(),
            _ => None,
        }
    }

    #[inline]
    fn check_between(&self) -> Result<(), SendError> {
        match self.state {
            State::Between => Ok(()),
            State::Open(..) => Err(SendError::MessageOpen),
            State::Closed(_) => Err(SendError::Closed),
        }
    }

    fn check_open(&self) -> Result<(), SendError> {
        // RFC 6455 §5.5.1: "The application MUST NOT send any more data frames after sending a Close
        // frame."
        if self.is_closed() { Err(SendError::Closed) } else { Ok(()) }
    }

    fn next_fragment<'a>(&self, data: Data<'a>) -> Result<(OpCode, Kind, &'a [u8]), SendError> {
        let (kind, payload) = data.parts();
        Ok((self.next_opcode(kind)?, kind, payload))
    }

    /// The opcode of the next frame of data of this type.
    fn next_opcode(&self, kind: Kind) -> Result<OpCode, SendError> {
        match self.state {
            State::Between => Ok(kind.opcode()),
            State::Open(open, _) if open == kind => Ok(OpCode::Continuation),
            State::Open(..) => Err(SendError::KindMismatch),
            State::Closed(_) => Err(SendError::Closed),
        }
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
        if self.output.written() >= self.pong_end {
            self.pong_bytes = 0;
        }
        // RFC 6455 §5.5.3: "If an endpoint receives a Ping frame and has not yet sent Pong frame(s) in
        // response to previous Ping frame(s), the endpoint MAY elect to send a Pong frame for only
        // the most recently processed Ping frame."
        if self.pong_bytes + u16::from(payload.len()) > MAX_PONG_BYTES {
            self.pong = Some(Box::new(payload));
            return;
        }
        self.pong = None;
        self.copy_frame(Header::of_data(OpCode::Pong, payload.len().into()), payload.as_bytes());
        self.pong_bytes += PONG_HEADER + u16::from(payload.len());
        self.pong_end = self.output.written() + self.output.remaining() as u64;
    }

    #[cold]
    fn release_pong(&mut self) {
        if self.output.written() >= self.pong_end
            && let Some(payload) = self.pong.take()
        {
            self.answer(*payload);
        }
    }

    fn queue_close(&mut self, frame: Option<CloseFrame>) {
        let mut body = [0; MAX_REASON + 2];
        let body = frame.as_ref().map_or(&[][..], |frame| frame.encode(&mut body));
        self.copy_frame(Header::of_data(OpCode::Close, body.len()), body);
        self.state = State::Closed(frame.map(Box::new));
        self.deflating = None;
        self.pong = None;
    }

    #[inline]
    fn whole_message(&mut self, opcode: OpCode, payload: &[u8]) -> Result<(), SendError> {
        self.check_between()?;
        if self.compresses(payload.len()) {
            return self.compressed_frame(opcode, payload, true);
        }
        self.copy_frame(Header::of_data(opcode, payload.len()), payload);
        Ok(())
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

impl SendHalf {
    /// Whether no message is open.
    #[cfg(feature = "deflate")]
    pub(crate) fn is_between(&self) -> bool {
        self.check_between().is_ok() && self.deflating.is_none()
    }

    #[cfg(feature = "deflate")]
    pub(crate) fn is_client(&self) -> bool {
        self.keys.is_some()
    }

    /// From here on messages are compressed as agreed.
    #[cfg(feature = "deflate")]
    pub(crate) fn deflate_with(&mut self, deflate: &Deflate, agreed: Direction) {
        self.deflating = Deflating::new(deflate, agreed).map(Box::new);
    }

    /// Whether the message that begins here, of this length, is to be compressed.
    #[inline]
    fn compresses(&mut self, len: usize) -> bool {
        let uncompressed = core::mem::take(&mut self.uncompressed);
        // The choice falls before the encoder sees anything of the message.
        self.deflating.as_ref().is_some_and(|deflating| !uncompressed && deflating.suits(len))
    }

    #[cold]
    #[inline(never)]
    fn compressed_frame(&mut self, opcode: OpCode, payload: &[u8], is_last: bool) -> Result<(), SendError> {
        let Some(deflating) = &mut self.deflating else { return Err(SendError::Compressor) };
        let (output, keys) = (&mut self.output, &mut self.keys);
        let part = if is_last { Part::Last } else { Part::More };
        deflating.compress(payload, part, |compressed| {
            let header = match part {
                Part::Last => Header::of_data(opcode, compressed.len()),
                Part::More => Header::of_fragment(opcode, compressed.len()),
            };
            // RFC 7692 §6.1: "set the "Per-Message Compressed" bit of the first frame".
            let bits = if opcode == OpCode::Continuation { Reserved::NONE } else { Reserved::RSV1 };
            copy_frame(output, keys, header.reserved(bits), compressed);
        })
    }

    /// The form of a prepared message that needs no context, if this connection takes it.
    fn compressed_form<'a>(&self, message: &'a Prepared) -> Option<&'a Encoded> {
        let (encoded, window) = message.compressed()?;
        self.deflating.as_ref()?.takes_alone(window).then_some(encoded)
    }
}
