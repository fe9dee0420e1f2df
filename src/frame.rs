//! Frame headers: parse and encode (RFC 6455 §5.2).
//!
//! ```text
//!  byte 0            byte 1             then
//! ┌───┬─────┬───────┬──────┬──────────┬───────────────────┬───────────────┐
//! │FIN│RSV  │opcode │MASK  │ length   │ extended length   │ masking key   │
//! │ 1 │1 2 3│   4   │  1   │    7     │ 0, 2 or 8 bytes   │ 0 or 4 bytes  │
//! └───┴─────┴───────┴──────┴──────────┴───────────────────┴───────────────┘
//!  \_____________________ Header _____________________/     not part of it
//! ```
//!
//! A [`Header`] ends before the masking key, so that a frame can be refused for its length before
//! the key is read.

use alloc::vec::Vec;
use core::ops::BitOr;

use crate::error::Violation;

/// What a frame is for (RFC 6455 §5.2). The opcodes that are left are reserved, and refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// Goes on with the message of the frames before.
    Continuation = 0x0,
    /// Begins a text message.
    Text = 0x1,
    /// Begins a binary message.
    Binary = 0x2,
    /// Begins or answers the closing handshake.
    Close = 0x8,
    /// Asks for a pong.
    Ping = 0x9,
    /// Answers a ping, or says "alive".
    Pong = 0xa,
}

impl OpCode {
    /// The opcode of these four bits, if it is not reserved.
    #[must_use]
    pub const fn new(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => OpCode::Continuation,
            0x1 => OpCode::Text,
            0x2 => OpCode::Binary,
            0x8 => OpCode::Close,
            0x9 => OpCode::Ping,
            0xa => OpCode::Pong,
            _ => return None,
        })
    }

    /// Whether this is a Close, Ping or Pong (RFC 6455 §5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// A set of the reserved bits RSV1, RSV2 and RSV3, which extensions give a meaning.
///
/// ```
/// use sansock::frame::Reserved;
///
/// let bits = Reserved::RSV1 | Reserved::RSV3;
/// assert!(bits.contains(Reserved::RSV3) && !bits.contains(Reserved::RSV2));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reserved(u8);

impl Reserved {
    /// No bit.
    pub const NONE: Reserved = Reserved(0x00);
    /// RSV1: "per-message compressed" in RFC 7692 §6.
    pub const RSV1: Reserved = Reserved(0x40);
    /// RSV2.
    pub const RSV2: Reserved = Reserved(0x20);
    /// RSV3.
    pub const RSV3: Reserved = Reserved(0x10);
    /// All three bits.
    pub const ALL: Reserved = Reserved(0x70);

    /// Whether every bit of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Reserved) -> bool {
        other.0 & !self.0 == 0
    }
}

impl BitOr for Reserved {
    type Output = Reserved;

    fn bitor(self, other: Reserved) -> Reserved {
        Reserved(self.0 | other.0)
    }
}

/// Whether the frames of one direction carry a mask (RFC 6455 §5.1).
///
/// There is no third way to look at it: this enum will not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Masking {
    /// They must: these come from a client.
    Required,
    /// They must not: these come from a server.
    Forbidden,
    /// Unknown, and not judged: for an observer in the middle.
    Either,
}

/// What a reader of frames allows beyond the rules that hold for every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The reserved bits that an extension has given a meaning.
    pub reserved: Reserved,
    /// Whether a mask must be there.
    pub masking: Masking,
}

/// A legal frame header, without the masking key (RFC 6455 §5.2).
///
/// ```
/// use sansock::frame::{Header, Masking, OpCode, Reserved, Rules};
///
/// let rules = Rules { reserved: Reserved::NONE, masking: Masking::Forbidden };
/// let bytes = [0x82, 0x7e, 0x01, 0x00];
/// let (header, size) = Header::parse(&bytes, rules)?.unwrap();
/// assert_eq!((header.opcode(), header.len(), size), (OpCode::Binary, 256, 4));
/// let mut encoded = Vec::new();
/// header.encode(&mut encoded);
/// assert_eq!(encoded, bytes);
/// assert_eq!(Header::parse(&bytes[..3], rules)?, None);
/// # Ok::<(), sansock::Violation>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    first: u8,
    opcode: OpCode,
    masked: bool,
    len: u64,
}

/// The longest header with its key: two bytes, a 64-bit length, four bytes of key.
pub const MAX_HEADER: usize = 14;

const FIN: u8 = 0x80;
const MASK: u8 = 0x80;
const LEN_16: u8 = 126;
const LEN_64: u8 = 127;

impl Header {
    /// The header of an unmasked final frame.
    ///
    /// Fails if a control frame is longer than 125 bytes, or `len` is above 2⁶³ − 1.
    pub const fn new(opcode: OpCode, len: u64) -> Result<Self, Violation> {
        if opcode.is_control() && len > 125 {
            return Err(Violation::ControlTooLong);
        }
        if len > i64::MAX as u64 {
            return Err(Violation::LengthOutOfRange);
        }
        Ok(Header { first: FIN | opcode as u8, opcode, masked: false, len })
    }

    /// The header of a final frame whose length is known to be legal.
    #[inline]
    pub(crate) const fn of_data(opcode: OpCode, len: usize) -> Self {
        Header { first: FIN | opcode as u8, opcode, masked: false, len: len as u64 }
    }

    /// The header of a data frame that more of its message follows.
    #[inline]
    pub(crate) const fn of_fragment(opcode: OpCode, len: usize) -> Self {
        Header { first: opcode as u8, opcode, masked: false, len: len as u64 }
    }

    /// The same without FIN: more of the message follows.
    ///
    /// Fails for a control frame.
    pub const fn fragment(mut self) -> Result<Self, Violation> {
        if self.opcode.is_control() {
            return Err(Violation::FragmentedControl);
        }
        self.first &= !FIN;
        Ok(self)
    }

    /// The same with the MASK bit, for a frame of a client.
    #[must_use]
    pub const fn masked(mut self) -> Self {
        self.masked = true;
        self
    }

    /// The same with these reserved bits.
    #[must_use]
    pub const fn reserved(mut self, bits: Reserved) -> Self {
        self.first = self.first & !Reserved::ALL.0 | bits.0;
        self
    }

    /// Reads a header from the front of `input`, and says how many bytes it took.
    ///
    /// `None` means that more bytes are needed. Each rule is judged as soon as the byte that breaks
    /// it is there, and an extended length when all of it is.
    pub fn parse(input: &[u8], rules: Rules) -> Result<Option<(Self, usize)>, Violation> {
        let Some(&first) = input.first() else { return Ok(None) };
        // RFC 6455 §5.2: "If a nonzero value is received and none of the negotiated extensions
        // defines the meaning of such a nonzero value, the receiving endpoint MUST _Fail the
        // WebSocket Connection_."
        if !rules.reserved.contains(Reserved(first & Reserved::ALL.0)) {
            return Err(Violation::ReservedBits);
        }
        // RFC 6455 §5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the
        // WebSocket Connection_."
        let opcode = OpCode::new(first & 0x0f).ok_or(Violation::ReservedOpcode)?;
        // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less and
        // MUST NOT be fragmented."
        if opcode.is_control() && first & FIN == 0 {
            return Err(Violation::FragmentedControl);
        }

        let Some(&second) = input.get(1) else { return Ok(None) };
        let masked = second & MASK != 0;
        match rules.masking {
            // RFC 6455 §5.1: "The server MUST close the connection upon receiving a frame that is
            // not masked."
            Masking::Required if !masked => return Err(Violation::Unmasked),
            // RFC 6455 §5.1: "A client MUST close a connection if it detects a masked frame."
            Masking::Forbidden if masked => return Err(Violation::Masked),
            _ => {}
        }
        if opcode.is_control() && second & !MASK > 125 {
            return Err(Violation::ControlTooLong);
        }

        let Some((len, size)) = parse_len(second & !MASK, input.get(2..).unwrap_or_default())? else {
            return Ok(None);
        };
        Ok(Some((Header { first, opcode, masked, len }, 2 + size)))
    }

    /// Whether this is the final frame of its message.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.first & FIN != 0
    }

    /// The reserved bits that are set.
    #[must_use]
    pub const fn reserved_bits(&self) -> Reserved {
        Reserved(self.first & Reserved::ALL.0)
    }

    /// The opcode.
    #[must_use]
    pub const fn opcode(&self) -> OpCode {
        self.opcode
    }

    /// Whether a masking key of four bytes follows.
    #[must_use]
    pub const fn is_masked(&self) -> bool {
        self.masked
    }

    /// The length of the payload in bytes, at most 2⁶³ − 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a length field of a header, not a container")]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Appends the bytes of this header to `out`, with the length in its shortest form.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        // Each size by itself: a fixed number of bytes is a store, any number is a call.
        match self.bytes() {
            ([first, second, ..], 2) => out.extend_from_slice(&[first, second]),
            ([first, second, high, low, ..], 4) => out.extend_from_slice(&[first, second, high, low]),
            (bytes, _) => out.extend_from_slice(&bytes),
        }
    }

    /// The bytes of this header, and how many they are.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "each cast is guarded by the arm's range")]
    pub(crate) const fn bytes(&self) -> ([u8; MAX_HEADER - 4], usize) {
        let first = self.first;
        let mask = if self.masked { MASK } else { 0 };
        let [b0, b1, b2, b3, b4, b5, b6, b7] = self.len.to_be_bytes();
        match self.len {
            0..=125 => ([first, mask | self.len as u8, 0, 0, 0, 0, 0, 0, 0, 0], 2),
            126..=0xffff => ([first, mask | LEN_16, b6, b7, 0, 0, 0, 0, 0, 0], 4),
            _ => ([first, mask | LEN_64, b0, b1, b2, b3, b4, b5, b6, b7], 10),
        }
    }
}

/// The length, and how many bytes of `extended` it took.
fn parse_len(short: u8, extended: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    let (len, size, least) = match short {
        LEN_16 => {
            let Some(bytes) = extended.first_chunk::<2>() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*bytes)), 2, 126)
        }
        LEN_64 => {
            let Some(bytes) = extended.first_chunk::<8>() else { return Ok(None) };
            (u64::from_be_bytes(*bytes), 8, 0x1_0000)
        }
        short => (u64::from(short), 0, 0),
    };
    // RFC 6455 §5.2: "the most significant bit MUST be 0".
    if len > i64::MAX as u64 {
        return Err(Violation::LengthOutOfRange);
    }
    // RFC 6455 §5.2: "in all cases, the minimal number of bytes MUST be used to encode the length".
    if len < least {
        return Err(Violation::LengthNotMinimal);
    }
    Ok(Some((len, size)))
}
