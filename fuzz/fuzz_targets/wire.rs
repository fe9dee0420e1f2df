//! Frames, read bit by bit as RFC 6455 §5.2 draws them: what the crate is held against.

#![allow(dead_code, reason = "shared by targets that use parts of it")]

use sansock::Violation;

/// The fields of the drawing, without the masking key and the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub fin: bool,
    /// RSV1, RSV2 and RSV3, the last one lowest.
    pub rsv: u8,
    pub opcode: u8,
    pub mask: bool,
    pub payload_len: u64,
    /// How many bytes these fields take.
    pub size: usize,
}

impl Header {
    /// The header at the front of `bytes`; `None` if they are too few to tell. `mask` says whether there must
    /// be one, `allowed` which reserved bits there may be.
    pub fn read(bytes: &[u8], allowed: u8, mask: Option<bool>) -> Option<Result<Self, Violation>> {
        let mut bits = Bits { bytes, at: 0 };
        let fin = bits.take(1)? == 1;
        let rsv = bits.take(3)? as u8;
        let opcode = bits.take(4)? as u8;
        let is_control = opcode >= 8;
        if rsv & !allowed != 0 {
            return Some(Err(Violation::ReservedBits));
        }
        if ![0, 1, 2, 8, 9, 10].contains(&opcode) {
            return Some(Err(Violation::ReservedOpcode));
        }
        if is_control && !fin {
            return Some(Err(Violation::FragmentedControl));
        }
        let has_mask = bits.take(1)? == 1;
        let short = bits.take(7)?;
        match (mask, has_mask) {
            (Some(true), false) => return Some(Err(Violation::Unmasked)),
            (Some(false), true) => return Some(Err(Violation::Masked)),
            _ => {}
        }
        if is_control && short > 125 {
            return Some(Err(Violation::ControlTooLong));
        }
        let payload_len = match short {
            126 => bits.take(16)?,
            127 => bits.take(64)?,
            short => short,
        };
        if payload_len >> 63 != 0 {
            return Some(Err(Violation::LengthOutOfRange));
        }
        if (short == 126 && payload_len < 126) || (short == 127 && payload_len < 1 << 16) {
            return Some(Err(Violation::LengthNotMinimal));
        }
        let size = bits.at / 8;
        Some(Ok(Header { fin, rsv, opcode, mask: has_mask, payload_len, size }))
    }

    /// How many bytes the whole frame takes.
    pub fn frame_len(&self) -> u64 {
        (self.size as u64 + if self.mask { 4 } else { 0 }).saturating_add(self.payload_len)
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next bits as a number, the first one highest.
    fn take(&mut self, count: usize) -> Option<u64> {
        let mut number = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            number = number << 1 | u64::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(number)
    }
}

/// A frame that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub header: Header,
    /// Without the mask.
    pub payload: Vec<u8>,
}

/// The frames of what an endpoint has sent, all of them legal and whole.
pub fn frames(mut bytes: &[u8], are_masked: bool) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let header = Header::read(bytes, 0, Some(are_masked)).expect("a whole header").expect("a legal one");
        let len = usize::try_from(header.frame_len()).expect("it is small");
        let (frame, rest) = bytes.split_at_checked(len).expect("a whole frame");
        bytes = rest;
        let (key, payload) = frame[header.size..].split_at(if are_masked { 4 } else { 0 });
        let unmask = |(i, byte): (usize, &u8)| if are_masked { byte ^ key[i % 4] } else { *byte };
        frames.push(Frame { header, payload: payload.iter().enumerate().map(unmask).collect() });
    }
    frames
}
