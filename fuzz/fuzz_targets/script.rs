//! What a peer sends, as an input tells it: frames, most of them legal, and what they amount to.

use miniz_oxide::deflate::core::{CompressionStrategy, CompressorOxide};
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::{DataFormat, MZFlush};
use sansock::deflate::WindowBits;

use crate::input::Input;
use crate::reference::TAIL;

/// The bytes of a direction, and what a receiver should make of them.
#[derive(Default)]
pub struct Script {
    pub wire: Vec<u8>,
    /// In the order in which they are complete; at the end, perhaps, a message that is not.
    pub items: Vec<Item>,
    /// Whether bytes of any kind follow the items.
    pub is_wild: bool,
}

pub enum Item {
    Message(Message),
    Ping(Vec<u8>),
}

#[derive(Default)]
pub struct Message {
    pub is_text: bool,
    pub is_compressed: bool,
    pub payload: Vec<u8>,
    pub longest_frame: usize,
    pub is_whole: bool,
}

/// How much an input may amount to, which the budget of `DeflateError::ForNothing` has to fit into.
const MOST: usize = 96 << 10;

/// The bits of a frame's first byte in the input; the two lowest are its kind.
const FIN: u8 = 0x04;
const COMPRESSED: u8 = 0x08;
/// The payload is what an encoder makes of the bytes.
const ENCODED: u8 = 0x10;
/// The bytes are repeated, 64 times as often as the next byte says, and once.
const REPEATED: u8 = 0x20;
/// The bytes are all that is left.
const LAST: u8 = 0x40;
/// With the wild kind: the bytes are no frame, but stand on the wire as they are.
const RAW: u8 = 0x80;

impl Script {
    /// Reads frames until the input ends.
    pub fn read(input: &mut Input<'_>, is_masked: bool, mut encoder: Encoder) -> Self {
        let mut script = Script::default();
        let mut open: Option<Message> = None;
        while !input.0.is_empty() && script.wire.len() < MOST {
            let head = input.byte();
            let first = if head & 3 == 3 { input.byte() } else { 0 };
            let times = if head & REPEATED == 0 { 1 } else { 1 + 64 * usize::from(input.byte()) };
            let len = if head & LAST == 0 { usize::from(input.byte()) } else { usize::MAX };
            let bytes = input.take(len);
            let bytes = bytes.repeat(times.min(1 + MOST / bytes.len().max(1)));
            match head & 3 {
                2 => {
                    let payload = &bytes[..bytes.len().min(125)];
                    script.frame(0x89, payload, is_masked);
                    if !script.is_wild {
                        script.items.push(Item::Ping(payload.to_vec()));
                    }
                }
                3 => {
                    if !script.is_wild {
                        script.items.extend(open.take().map(Item::Message));
                    }
                    script.is_wild = true;
                    if head & RAW == 0 {
                        script.frame(first, &bytes, is_masked);
                    } else {
                        script.wire.extend(bytes);
                    }
                }
                kind => {
                    let begins = open.is_none();
                    let message = open.get_or_insert_with(|| Message {
                        is_text: kind == 0,
                        is_compressed: head & COMPRESSED != 0,
                        ..Message::default()
                    });
                    let mut first = if begins { 2 - u8::from(message.is_text) } else { 0 };
                    if begins && message.is_compressed {
                        first |= 0x40;
                    }
                    if head & FIN != 0 {
                        first |= 0x80;
                    }
                    let payload = if message.is_compressed && head & ENCODED != 0 {
                        encoder.encode(&bytes, begins, head & FIN != 0)
                    } else {
                        bytes
                    };
                    message.payload.extend(&payload);
                    message.longest_frame = message.longest_frame.max(payload.len());
                    message.is_whole = head & FIN != 0;
                    script.frame(first, &payload, is_masked);
                    if head & FIN != 0
                        && let Some(message) = open.take()
                        && !script.is_wild
                    {
                        script.items.push(Item::Message(message));
                    }
                }
            }
        }
        if !script.is_wild {
            script.items.extend(open.map(Item::Message));
        }
        script
    }

    fn frame(&mut self, first: u8, payload: &[u8], is_masked: bool) {
        let mask_bit = if is_masked { 0x80 } else { 0 };
        self.wire.push(first);
        match payload.len() {
            len @ 0..=125 => self.wire.push(mask_bit | len as u8),
            len @ 126..=0xffff => {
                self.wire.push(mask_bit | 126);
                self.wire.extend((len as u16).to_be_bytes());
            }
            len => {
                self.wire.push(mask_bit | 127);
                self.wire.extend((len as u64).to_be_bytes());
            }
        }
        let key = if is_masked { [0x37, 0xfa, 0x21, self.wire.len() as u8] } else { [0; 4] };
        if is_masked {
            self.wire.extend(key);
        }
        self.wire.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
}

/// A peer's compressor: miniz_oxide.
pub struct Encoder {
    level: u8,
    window: WindowBits,
    takes_over: bool,
    /// It is large, and not every input needs it.
    codec: Option<Box<CompressorOxide>>,
}

impl Encoder {
    pub fn new(level: u8, window: WindowBits, takes_over: bool) -> Self {
        Encoder { level, window, takes_over, codec: None }
    }

    fn encode(&mut self, mut bytes: &[u8], begins: bool, ends: bool) -> Vec<u8> {
        let (level, window) = (self.level, self.window.get());
        let codec = self.codec.get_or_insert_with(|| {
            let strategy = CompressionStrategy::Default;
            Box::new(CompressorOxide::with_params(DataFormat::Raw, level, strategy, window))
        });
        if begins && !self.takes_over {
            codec.reset();
        }
        let mut out = vec![0; bytes.len() + bytes.len() / 8 + 100];
        let mut filled = 0;
        loop {
            let result = deflate(codec, bytes, &mut out[filled..], MZFlush::Sync);
            bytes = &bytes[result.bytes_consumed..];
            filled += result.bytes_written;
            if result.status.is_err() || filled < out.len() {
                break;
            }
            out.resize(2 * filled, 0);
        }
        out.truncate(filled);
        if ends && out.ends_with(&TAIL) {
            out.truncate(filled - TAIL.len());
        }
        out
    }
}
