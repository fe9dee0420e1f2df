//! Finding the next event in what was received.

use super::{Cut, End, Found, Frame, Kind, Phase, ReceiveHalf, Step, What};
use crate::close::{CloseFrame, Endpoint};
use crate::config::Delivery;
use crate::control::Last;
use crate::error::{Error, Violation};
use crate::frame::{Header, Masking, OpCode, Reserved, Rules};
use crate::mask::Mask;
use crate::size::at_most;
use crate::utf8;

impl ReceiveHalf {
    /// The straight path: a whole message in one whole frame of up to 64 KiB. Whatever else it sees,
    /// it leaves to [`find`](Self::find), untouched.
    ///
    /// Gives its type, and where it stands in the inbox.
    #[inline]
    pub(super) fn take_whole_frame(&mut self) -> Option<(Kind, usize, usize)> {
        if self.phase != Phase::Between {
            return None;
        }
        let [first, second, after @ ..] = self.inbox.unparsed_mut() else { return None };
        let kind = match *first {
            0x81 => Kind::Text,
            0x82 => Kind::Binary,
            _ => return None,
        };
        let (len, size, after) = match *second ^ self.mask_bit {
            short @ 0..=125 => (usize::from(short), 2, after),
            126 => match after {
                [high, low, after @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), 4, after),
                _ => return None,
            },
            _ => return None,
        };
        if len > usize::from(self.max_whole) || (size == 4 && len < 126) {
            return None;
        }
        let size = if self.mask_bit == 0 {
            let payload = after.get(..len)?;
            if kind == Kind::Text && !utf8::is_valid(payload) {
                self.fail(Error::InvalidUtf8);
                return None;
            }
            size
        } else {
            let (key, after) = after.split_first_chunk_mut::<4>()?;
            let payload = after.get_mut(..len)?;
            let mut mask = Mask::new(*key);
            if kind == Kind::Binary {
                mask.apply(payload);
            } else if !mask.apply_to_ascii(payload) && !utf8::is_valid(payload) {
                self.fail(Error::InvalidUtf8);
                return None;
            }
            size + 4
        };
        let start = self.inbox.pos + size;
        self.inbox.pos = start + len;
        Some((kind, start, len))
    }

    /// The general path: any frame, in any number of parts.
    #[cold]
    #[inline(never)]
    pub(super) fn find(&mut self) -> Result<bool, Error> {
        loop {
            match self.end.as_deref() {
                Some(End::Failed(error)) => return Err(*error),
                Some(End::Closed(_) | End::HungUp) => return Ok(true),
                None => {}
            }
            let step = if self.phase == Phase::Payload { self.take_payload() } else { self.take_header() };
            match step {
                Ok(Step::Found) => return Ok(true),
                Ok(Step::GoOn) => {}
                Ok(Step::Starved) => {
                    self.inbox.close_gap();
                    self.release_inflater();
                    match self.cut {
                        None => {
                            self.cold.has_news = false;
                            return Ok(false);
                        }
                        Some(cut) => self.cut_short(cut),
                    }
                }
                Err(error) => self.fail(error),
            }
        }
    }

    fn take_header(&mut self) -> Result<Step, Error> {
        let masking = if self.mask_bit == 0 { Masking::Forbidden } else { Masking::Required };
        let rules = Rules { reserved: self.reserved_allowed(), masking };
        let header = Header::parse(self.inbox.unparsed(), rules).map_err(Error::Protocol)?;
        let Some((header, size)) = header else { return Ok(Step::Starved) };
        if header.opcode().is_control() {
            return self.take_control(header, size);
        }
        let kind = self.kind_of(header.opcode()).map_err(Error::Protocol)?;
        let begins = self.open.is_none();
        let is_compressed =
            if begins { header.reserved_bits() != Reserved::NONE } else { self.frame.is_compressed };
        // The limit is judged before the key is there, and by a subtraction: no sum can overflow.
        let max_message = match &self.inflating {
            Some(inflating) if is_compressed => inflating.max_compressed(),
            _ => self.cold.max_message,
        };
        if header.len() > self.cold.max_frame || header.len() > max_message - self.cold.announced {
            return Err(Error::TooBig);
        }
        let Some((mask, size)) = self.mask_after(header, size) else { return Ok(Step::Starved) };
        self.inbox.skip(size);
        if let Some(inflating) = self.inflating.as_mut().filter(|_| is_compressed && begins) {
            inflating.begin(kind == Kind::Text);
        }
        self.open = Some(kind);
        self.cold.announced += header.len();
        let is_final = header.is_final();
        self.frame = Frame { missing: header.len(), mask, kind, is_final, is_compressed };
        if self.phase == Phase::Inflated {
            // The application may take long over this message.
            self.release_inflater();
            self.trim();
        }
        self.phase = Phase::Payload;
        Ok(Step::GoOn)
    }

    /// The type of the message that a data frame belongs to.
    fn kind_of(&self, opcode: OpCode) -> Result<Kind, Violation> {
        // RFC 6455 §5.4: "The fragments of one message MUST NOT be interleaved between the fragments
        // of another message unless an extension has been negotiated that can interpret the
        // interleaving."
        match (opcode, self.open) {
            (OpCode::Continuation, Some(kind)) => Ok(kind),
            (OpCode::Continuation, None) => Err(Violation::UnexpectedContinuation),
            (_, Some(_)) => Err(Violation::ExpectedContinuation),
            (OpCode::Text, None) => Ok(Kind::Text),
            (_, None) => Ok(Kind::Binary),
        }
    }

    /// The mask that follows a header of `size` bytes, and the size of both; `None` if it has not
    /// arrived.
    fn mask_after(&self, header: Header, size: usize) -> Option<(Mask, usize)> {
        if !header.is_masked() {
            return Some((Mask::NONE, size));
        }
        let key = self.inbox.unparsed().get(size..)?.first_chunk::<4>()?;
        Some((Mask::new(*key), size + key.len()))
    }

    /// The reserved bits that the next frame may have.
    fn reserved_allowed(&self) -> Reserved {
        if self.inflating.is_some() {
            // RFC 7692 §6.1: "An endpoint MUST NOT set the "Per-Message Compressed" bit of control frames
            // and non-first fragments of a data message."
            let first = self.inbox.unparsed().first().map_or(0, |first| first & 0x0f);
            return if matches!(first, 0x1 | 0x2) { Reserved::RSV1 } else { Reserved::NONE };
        }
        Reserved::NONE
    }

    /// The payload of a message that is not compressed.
    pub(super) fn take_plain(&mut self) -> Result<Step, Error> {
        let Frame { missing, ref mut mask, kind, is_final, .. } = self.frame;
        let unparsed = self.inbox.unparsed_mut();
        let len = at_most(missing, unparsed.len());
        let part = unparsed.get_mut(..len).unwrap_or_default();
        mask.apply_if_any(part);
        let is_text = kind == Kind::Text;
        if is_text {
            self.validator.push(part).map_err(|_| Error::InvalidUtf8)?;
        }
        self.inbox.extend_message(len);
        self.frame.missing -= len as u64;
        if self.frame.missing > 0 {
            return Ok(if self.find_chunk() { Step::Found } else { Step::Starved });
        }
        if !is_final {
            self.phase = Phase::Fragmented;
            return Ok(if self.find_chunk() { Step::Found } else { Step::GoOn });
        }
        if is_text {
            self.validator.finish().map_err(|_| Error::InvalidUtf8)?;
        }
        let len = self.inbox.message().len();
        self.found = Some(Found { what: What::Data(kind), len, is_final: true });
        self.open = None;
        self.cold.announced = 0;
        self.phase = Phase::Between;
        Ok(Step::Found)
    }

    /// With [`Delivery::Chunks`], makes an event of what is there: of text, whole characters.
    fn find_chunk(&mut self) -> bool {
        let len = self.inbox.message().len() - self.validator.incomplete();
        let is_chunk = self.delivery == Delivery::Chunks && len > 0;
        if is_chunk {
            self.found = Some(Found { what: What::Data(self.frame.kind), len, is_final: false });
        }
        is_chunk
    }

    /// A control frame, whole: its payload is at most 125 bytes.
    fn take_control(&mut self, header: Header, size: usize) -> Result<Step, Error> {
        let len = at_most(header.len(), usize::MAX);
        let Some((mut mask, size)) = self.mask_after(header, size) else { return Ok(Step::Starved) };
        if self.inbox.unparsed().len() - size < len {
            return Ok(Step::Starved);
        }
        self.inbox.skip(size);
        let payload = self.inbox.unparsed_mut().get_mut(..len).unwrap_or_default();
        mask.apply_if_any(payload);
        let what = match header.opcode() {
            OpCode::Ping => What::Ping,
            OpCode::Pong => What::Pong,
            _ => {
                let frame = CloseFrame::parse(payload)?;
                self.close(frame);
                return Ok(Step::GoOn);
            }
        };
        self.found = Some(Found { what, len, is_final: true });
        Ok(Step::Found)
    }

    /// The peer's Close frame is here.
    fn close(&mut self, frame: Option<CloseFrame>) {
        // RFC 6455 §5.5.1: "If an endpoint receives a Close frame and did not previously send a Close
        // frame, the endpoint MUST send a Close frame in response. (When sending a Close frame in
        // response, the endpoint typically echos the status code it received.)"
        self.orders.finish(Last::Close(frame.as_ref().map(CloseFrame::code)));
        self.finish(End::Closed(frame), Endpoint::Peer);
    }

    /// The input is used up, and no more will come.
    fn cut_short(&mut self, cut: Cut) {
        match cut {
            Cut::Eof if self.began.is_some() => {
                self.orders.finish(Last::Stop);
                self.finish(End::HungUp, Endpoint::Peer);
            }
            Cut::Eof => self.fail(Error::UnexpectedEof),
            Cut::TimedOut(timer) => self.fail(Error::TimedOut(timer)),
        }
    }
}
