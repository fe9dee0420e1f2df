//! Test frames, written and read by hand so that no peer judges itself.

use std::sync::Arc;

use crate::mem::chain;

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;

/// Appends one final frame.
pub fn encode(out: &mut Vec<u8>, opcode: u8, mask: Option<[u8; 4]>, payload: &[u8]) {
    let m = if mask.is_some() { 0x80 } else { 0 };
    out.push(0x80 | opcode);
    match payload.len() {
        n @ 0..126 => out.push(m | n as u8),
        n @ 126..65536 => {
            out.push(m | 126);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(m | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    let Some(key) = mask else { return out.extend_from_slice(payload) };
    out.extend(key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
}

/// Header length, opcode, mask and payload length of the frame at the start of
/// `b`, or `None` while the header is incomplete.
pub fn header(b: &[u8]) -> Option<(usize, u8, Option<[u8; 4]>, usize)> {
    let (b0, b1) = (*b.first()?, *b.get(1)?);
    let (mut at, len) = match b1 & 127 {
        126 => (4, u16::from_be_bytes(b.get(2..4)?.try_into().unwrap()) as usize),
        127 => (10, u64::from_be_bytes(b.get(2..10)?.try_into().unwrap()) as usize),
        n => (2, n as usize),
    };
    let mut mask = None;
    if b1 & 0x80 != 0 {
        mask = Some(b.get(at..at + 4)?.try_into().unwrap());
        at += 4;
    }
    Some((at, b0, mask, len))
}

/// Checksum of every message in `b`, which must hold whole final frames of
/// `opcode`, masked or not as asked. Returns how many there were.
pub fn checksum(mut b: &[u8], opcode: u8, masked: bool) -> Result<(usize, u64), String> {
    let (mut n, mut hash) = (0, 0);
    while !b.is_empty() {
        let (at, b0, mask, len) = header(b).ok_or("truncated header")?;
        if b0 != 0x80 | opcode || mask.is_some() != masked {
            return Err(format!("unexpected header {:02x?}", &b[..2]));
        }
        let key = mask.unwrap_or_default();
        let body = b.get(at..at + len).ok_or("truncated payload")?;
        let plain: Vec<u8> = body.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect();
        hash = chain(hash, &plain);
        n += 1;
        b = &b[at + len..];
    }
    Ok((n, hash))
}

/// A run of equally long frames, offered in a cycle.
pub struct Frames {
    pub bytes: Arc<[u8]>,
    pub payloads: Vec<Vec<u8>>,
    pub frame_len: usize,
}

impl Frames {
    /// About 256 KiB of frames, at least one: small enough to stay in the L2
    /// cache, as bytes fresh from the kernel do.
    pub fn new(opcode: u8, masked: bool, size: usize, content: Content) -> Self {
        let count = ((256 << 10) / (size + 14)).max(1);
        let payloads: Vec<_> = (0..count).map(|i| content.payload(i, size)).collect();
        let mut bytes = Vec::new();
        for (i, p) in payloads.iter().enumerate() {
            let key = (i as u32 + 1).wrapping_mul(0x9e37_79b9) | 0x0101_0101;
            encode(&mut bytes, opcode, masked.then_some(key.to_be_bytes()), p);
        }
        let frame_len = bytes.len() / count;
        Frames { bytes: bytes.into(), payloads, frame_len }
    }

    /// What receiving the first `n` messages must hash to.
    pub fn hash(&self, n: usize) -> u64 {
        self.payloads.iter().cycle().take(n).fold(0, |h, p| chain(h, p))
    }
}

#[derive(Clone, Copy)]
pub enum Content {
    Bytes,
    Ascii,
    Mixed,
}

impl Content {
    fn payload(self, i: usize, size: usize) -> Vec<u8> {
        match self {
            Content::Bytes => (0..size).map(|j| (((i * 31 + j) * 2_654_435_761) >> 7) as u8).collect(),
            Content::Ascii => (0..size).map(|j| b' ' + ((i * 7 + j) % 94) as u8).collect(),
            Content::Mixed => {
                let mut s = String::with_capacity(size + 4);
                for c in "Zażółć gęślą jaźń, 漢字かな交じり文, кириллица, 😀🚀 plain ascii words "
                    .chars()
                    .cycle()
                    .skip(i)
                {
                    if s.len() + c.len_utf8() > size {
                        break;
                    }
                    s.push(c);
                }
                let mut b = s.into_bytes();
                b.resize(size, b'.');
                b
            }
        }
    }
}
