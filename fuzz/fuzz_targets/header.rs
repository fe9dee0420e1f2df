//! Frame headers (RFC 6455 §5.2): any bytes, under any rules, against a parser that reads them bit by bit.
//!
//! An input is, byte by byte:
//!
//! 1. rules: 1, 2 and 4 allow RSV3, RSV2 and RSV1; 8 and 16 are the masking: 0 required, 1 forbidden, else
//!    either;
//! 2. the bytes of a frame.

#![no_main]

mod counted;
mod input;
mod wire;

use libfuzzer_sys::fuzz_target;
use sansock::Violation;
use sansock::frame::{Header, MAX_HEADER, Masking, OpCode, Reserved, Rules};

use crate::counted::allocations;
use crate::input::Input;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let switches = input.byte();
    let allowed = switches & 7;
    let (masking, mask) = match switches >> 3 & 3 {
        0 => (Masking::Required, Some(true)),
        1 => (Masking::Forbidden, Some(false)),
        _ => (Masking::Either, None),
    };
    let rules = Rules { reserved: reserved(allowed), masking };

    let frame = input.0;
    let mut said = None;
    for len in 0..=frame.len().min(MAX_HEADER + 2) {
        let prefix = &frame[..len];
        let mut parsed = Ok(None);
        assert_eq!(allocations(|| parsed = Header::parse(prefix, rules)), 0);
        let expected = wire::Header::read(prefix, allowed, mask).transpose();
        assert_eq!(parsed.map(|parsed| parsed.map(fields)), expected, "of {prefix:02x?}");
        // What was said of the first bytes is not taken back.
        assert!(said.is_none_or(|said| parsed == said), "{parsed:?} after {said:?}");
        said = said.or_else(|| (parsed != Ok(None)).then_some(parsed));
        if let Ok(Some((header, size))) = parsed {
            encodes(header, &prefix[..size]);
        }
    }
    if let Some(bytes) = frame.first_chunk() {
        builds(bytes);
    }
});

fn reserved(bits: u8) -> Reserved {
    let each = [(4, Reserved::RSV1), (2, Reserved::RSV2), (1, Reserved::RSV3)];
    each.iter().filter(|(bit, _)| bits & bit != 0).fold(Reserved::NONE, |set, (_, one)| set | *one)
}

/// What a parsed header says, by its methods.
fn fields((header, size): (Header, usize)) -> wire::Header {
    let has = |bits| u8::from(header.reserved_bits().contains(bits));
    assert_eq!(OpCode::new(header.opcode() as u8), Some(header.opcode()));
    wire::Header {
        fin: header.is_final(),
        rsv: has(Reserved::RSV1) << 2 | has(Reserved::RSV2) << 1 | has(Reserved::RSV3),
        opcode: header.opcode() as u8,
        mask: header.is_masked(),
        payload_len: header.len(),
        size,
    }
}

/// A parsed header is written as it was read, and can be built of its fields.
fn encodes(header: Header, bytes: &[u8]) {
    let mut encoded = b"before".to_vec();
    header.encode(&mut encoded);
    assert_eq!(encoded.strip_prefix(b"before"), Some(bytes));
    let mut built = Header::new(header.opcode(), header.len()).expect("a legal length");
    if !header.is_final() {
        built = built.fragment().expect("a data frame");
    }
    if header.is_masked() {
        built = built.masked();
    }
    assert_eq!(built.reserved(header.reserved_bits()), header);
}

/// A header that is built of any fields is legal, or is not built.
fn builds(bytes: &[u8; 10]) {
    let [first, second, len @ ..] = bytes;
    let Some(opcode) = OpCode::new(first & 0x0f) else {
        return assert!(![0, 1, 2, 8, 9, 10].contains(&(first & 0x0f)));
    };
    // Lengths of any order of magnitude.
    let len = u64::from_be_bytes(*len) >> (second & 0x3f);
    let expected = match (opcode.is_control(), len) {
        (true, 126..) => Err(Violation::ControlTooLong),
        (false, len) if len >> 63 != 0 => Err(Violation::LengthOutOfRange),
        _ => Ok(len),
    };
    let header = Header::new(opcode, len);
    assert_eq!(header.map(|header| header.len()), expected);
    let Ok(header) = header else { return };
    assert_eq!(header.fragment().err(), opcode.is_control().then_some(Violation::FragmentedControl));
    let header = header.fragment().unwrap_or(header).reserved(reserved(first >> 4 & 7));
    let header = if second & 0x80 == 0 { header } else { header.masked() };

    let mut encoded = Vec::new();
    header.encode(&mut encoded);
    let rules = Rules { reserved: Reserved::ALL, masking: Masking::Either };
    assert_eq!(Header::parse(&encoded, rules), Ok(Some((header, encoded.len()))));
    let read = wire::Header::read(&encoded, 7, None);
    assert_eq!(read, Some(Ok(fields((header, encoded.len())))));
}
