//! Messages that are queued, relayed, or sent past the queue.

use bytes::Buf;

use super::{SendHalf, State};
use crate::error::SendError;
use crate::frame::{Header, OpCode};
use crate::message::{Binary, Data, Event, Message};
use crate::prepared::Prepared;
use crate::receive::Kind;

/// From this length on an owned payload is spliced into the output rather than copied: the reference
/// and its slot in a vectored write cost about as much as copying this many bytes.
const SPLICE: usize = 4 << 10;

/// From this length on relayed data is shared rather than copied.
const SHARE: usize = 8 << 10;

impl SendHalf {
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
    /// called if something waits already, or if there is no such frame yet, because this is a client or
    /// compression was agreed upon: then the message is queued as [`text`](Self::text) and
    /// [`binary`](Self::binary) do it. So write [`output`](Self::output) afterwards in any case.
    ///
    /// Fails after a Close frame or inside a fragmented message; nothing is written or queued then. If `write`
    /// panics, nobody knows what it has taken: then nothing more can be sent.
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
        // Until it returns: if it panics, nobody knows what it has taken.
        self.state = State::Broken;
        let taken = write(head, payload);
        self.state = State::Between;
        self.output.queue_rest(taken, [head, payload]);
        Ok(())
    }

    /// Queues an owned message: a server that does not compress it does not copy a large one.
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
            self.output.splice(payload, 0);
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
            self.output.splice(encoded.frame().clone(), 0);
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
    /// A server without compression does not copy large data: it leaves from the buffer that it came to. That
    /// buffer is free for others again once the transport has taken the data; or with the next
    /// [`handle_would_block`](Self::handle_would_block), which moves what still waits if that is less than half of it.
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

    #[inline(never)]
    fn share(&mut self, kind: Kind, data: Binary<'_>) -> Result<(), SendError> {
        let (opcode, is_final) = (self.next_opcode(kind)?, data.is_final());
        let header = if is_final { Header::of_data } else { Header::of_fragment };
        header(opcode, data.len()).encode(self.output.flat());
        let (bytes, pinned) = data.into_shared();
        self.output.splice(bytes, pinned);
        self.state = if is_final { State::Between } else { State::Open(kind, false) };
        Ok(())
    }

    #[inline]
    pub(super) fn check_between(&self) -> Result<(), SendError> {
        if self.state == State::Between { Ok(()) } else { Err(self.not_between()) }
    }

    #[cold]
    fn not_between(&self) -> SendError {
        if self.is_closed() { SendError::Closed } else { SendError::MessageOpen }
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
            State::Closed | State::Over | State::Broken => Err(SendError::Closed),
        }
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
}
