//! Frames, the least that can be done with them, and how a benchmark is timed.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::must_use_candidate,
    reason = "shared by benchmarks that use parts of it"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut};
use criterion::{Bencher, Criterion};
use sansock::frame::{Header, OpCode};
use sansock::mask::Mask;
use sansock::{Config, Connection, Event, Output, SendHalf, Timestamp};

/// Payloads from the smallest that is common to one that takes many reads.
pub const SIZES: [usize; 6] = [16, 125, 1 << 10, 16 << 10, 64 << 10, 1 << 20];
/// What one read brings, at most.
pub const READ: usize = 64 << 10;
/// How many bytes of payload a turn has, at least.
const TURN: usize = 256 << 10;

/// Short samples, so that each file is done within half a minute. Ask for longer ones on a machine that
/// has nothing else to do: `-- --warm-up-time 1 --measurement-time 5`.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200))
        .sample_size(20)
        .nresamples(10_000)
        .without_plots()
}

/// Times `turn`, which does the same for each of `messages` messages, so that one iteration of criterion's
/// is one message: the time that it prints is the time for a message.
pub fn per_message(bencher: &mut Bencher<'_>, messages: usize, mut turn: impl FnMut()) {
    bencher.iter_custom(|iterations| {
        let turns = iterations.div_ceil(messages as u64);
        let started = Instant::now();
        for _ in 0..turns {
            turn();
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let asked_for = iterations as f64 / (turns * messages as u64) as f64;
        started.elapsed().mul_f64(asked_for)
    });
}

pub fn server() -> Connection {
    Connection::server(Config::default(), Timestamp::EPOCH)
}

pub fn client() -> Connection {
    Connection::client(Config::default(), [7; 32], Timestamp::EPOCH)
}

pub fn ascii(len: usize) -> Vec<u8> {
    b"Lorem ipsum dolor sit amet, ".iter().copied().cycle().take(len).collect()
}

/// Text of characters of one to four bytes.
pub fn multi_byte(len: usize) -> Vec<u8> {
    let mut text = String::new();
    for character in "Grüße, 你好, мир 🦀! ".chars().cycle() {
        if text.len() + character.len_utf8() > len {
            break;
        }
        text.push(character);
    }
    let mut text = text.into_bytes();
    text.resize(len, b'.');
    text
}

/// A turn of frames, all of the same length: one message each.
pub struct Frames {
    pub bytes: Vec<u8>,
    pub count: usize,
    pub payload_len: usize,
    head_len: usize,
    is_masked: bool,
}

impl Frames {
    /// As many frames of a client as make a turn.
    pub fn masked(opcode: OpCode, payload: &[u8]) -> Self {
        Frames::masked_times(opcode, payload, in_a_turn(payload.len()))
    }

    /// This many frames of a client, each with a key of its own.
    pub fn masked_times(opcode: OpCode, payload: &[u8], count: usize) -> Self {
        let header = Header::new(opcode, payload.len() as u64).unwrap().masked();
        let mut bytes = Vec::new();
        for i in (1..=u32::MAX).take(count) {
            let key = i.wrapping_mul(0x9e37_79b9).to_ne_bytes();
            header.encode(&mut bytes);
            bytes.extend(key);
            Mask::new(key).copy(payload, &mut bytes);
        }
        Frames::new(bytes, count, payload.len(), true)
    }

    /// As many frames of a server as make a turn.
    pub fn plain(opcode: OpCode, payload: &[u8]) -> Self {
        let header = Header::new(opcode, payload.len() as u64).unwrap();
        let mut bytes = Vec::new();
        let count = in_a_turn(payload.len());
        for _ in 0..count {
            header.encode(&mut bytes);
            bytes.extend(payload);
        }
        Frames::new(bytes, count, payload.len(), false)
    }

    fn new(bytes: Vec<u8>, count: usize, payload_len: usize, is_masked: bool) -> Self {
        let head_len = bytes.len() / count - payload_len;
        Frames { bytes, count, payload_len, head_len, is_masked }
    }

    /// The turn as reads bring it.
    pub fn reads(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks(READ)
    }
}

/// How many messages of this length make a turn.
pub fn in_a_turn(len: usize) -> usize {
    (TURN / len).max(1)
}

/// Gives a turn of frames to `end`, read by read, and each event to `take`.
pub fn turn(end: &mut Connection, frames: &Frames, mut take: impl FnMut(Event<'_>)) {
    for part in frames.reads() {
        read(end, part, &mut take);
    }
}

/// Gives one read to `end`, and each event to `take`.
pub fn read(end: &mut Connection, part: &[u8], mut take: impl FnMut(Event<'_>)) {
    end.input().put_slice(part);
    end.handle_input(Timestamp::EPOCH);
    while let Some(event) = end.poll_event().unwrap() {
        take(event);
    }
}

/// Looks at a message where it stands.
pub fn look(event: Event<'_>) {
    match event {
        Event::Text(text) => _ = black_box(&*text),
        Event::Binary(data) => _ = black_box(&*data),
        _ => panic!("no other event was sent"),
    }
}

/// Sends back a turn of binary messages, and writes the answers to all that a read brought at once.
pub fn echo(end: &mut Connection, frames: &Frames) {
    for part in frames.reads() {
        end.input().put_slice(part);
        end.handle_input(Timestamp::EPOCH);
        while let Some((event, send)) = end.poll_with_send().unwrap() {
            answer(&event, send);
        }
        drain(end.output());
    }
}

/// Sends a binary message back.
pub fn answer(event: &Event<'_>, send: &mut SendHalf) {
    let Event::Binary(data) = event else { panic!("no other event was sent") };
    send.binary(data).unwrap();
}

/// Takes all output, as a transport does that is never full.
pub fn drain(output: &mut Output) {
    while output.has_remaining() {
        let len = black_box(output.chunk()).len();
        output.advance(len);
    }
}

/// The least that a receiver can do: it copies each read in, and unmasks. It knows beforehand how long
/// every frame is, and judges nothing. Each message becomes one slice.
#[derive(Default)]
pub struct Floor {
    buffer: Vec<u8>,
    /// Where the frame under way begins.
    frame: usize,
    /// The mask of the frame under way, and where the bytes begin that it is for.
    mask: Option<(Mask, usize)>,
}

impl Floor {
    /// Takes in a turn of frames, read by read, and hands each part of a payload to `take` as it arrives.
    pub fn turn(&mut self, frames: &Frames, mut take: impl FnMut(&[u8])) {
        for part in frames.reads() {
            self.read(frames, part, &mut take);
        }
    }

    pub fn read(&mut self, frames: &Frames, part: &[u8], mut take: impl FnMut(&[u8])) {
        // What is left of the last read moves when it is little.
        if self.buffer.len() - self.frame <= self.frame / 4 {
            self.buffer.drain(..self.frame);
            self.mask = self.mask.map(|(mask, from)| (mask, from - self.frame));
            self.frame = 0;
        }
        self.buffer.extend_from_slice(part);
        loop {
            let payload = self.frame + frames.head_len;
            let Some(head) = self.buffer.get(self.frame..payload) else { return };
            let begin = || (Mask::new(*head.last_chunk().unwrap_or(&[0; 4])), payload);
            let (mut mask, from) = self.mask.take().unwrap_or_else(begin);
            let end = payload + frames.payload_len;
            let to = end.min(self.buffer.len());
            let part = self.buffer.get_mut(from..to).unwrap();
            if frames.is_masked {
                mask.apply(part);
            }
            take(part);
            if to < end {
                self.mask = Some((mask, to));
                return;
            }
            self.frame = end;
        }
    }
}
