//! The lengths and forms of rule A.
#![allow(dead_code, unreachable_pub, clippy::cast_possible_truncation, reason = "shared by tests")]

/// The lengths around every edge.
pub const LENGTHS: [u64; 15] = [
    0,
    125,
    126,
    127,
    0xffff,
    0x1_0000,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    1 << 53,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 3,
    u64::MAX,
];

/// How a length is written. Of a length that does not fit, the low bits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Bits7,
    Bits16,
    Bits64,
}

impl Form {
    pub const ALL: [Form; 3] = [Form::Bits7, Form::Bits16, Form::Bits64];

    /// The bytes of the length, and the number that they say.
    pub fn write(self, len: u64) -> (Vec<u8>, u64) {
        match self {
            Form::Bits7 => (vec![len as u8 & 0x7f], len & 0x7f),
            Form::Bits16 => ([&[126][..], &(len as u16).to_be_bytes()].concat(), len & 0xffff),
            Form::Bits64 => ([&[127][..], &len.to_be_bytes()].concat(), len),
        }
    }
}
