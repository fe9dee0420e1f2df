//! What permessage-deflate costs, beside the floor: zlib-rs alone, with the same settings, on the same
//! bytes.
//!
//! ```text
//! cargo bench --bench deflate
//! ```
//!
//! Each turn is a mebibyte of JSON-like text in messages of one size. No two are the same, and the window
//! is far smaller than a turn: what takeover finds there resembles a message, but is not it.
//!
//! What is compressed with takeover can be inflated only from its beginning. So every turn begins with
//! an empty window, on both sides alike: with a new compressor, and with a decoder that was reset. sansock
//! gets a new connection, which makes its compressor, and takes the last one's decoder out of a shared pool.
//!
//! - `send`: zlib-rs compresses a message by one call with a sync flush, into a buffer that is large enough.
//!   sansock's server queues it, and its output is drained.
//! - `receive`: zlib-rs inflates a payload by one call, and the four bytes that the sender has removed by a
//!   second one. sansock's client reads the frames 64 KiB at a time, and lends each message; it checks
//!   that it is UTF-8, within its limits, and whole, none of which zlib-rs does.
//!
//! Before it is timed a turn is checked: sansock sends what zlib-rs makes, and receives what was sent. The
//! throughput that criterion prints is of text. `level` shows what the other levels of zlib-rs would cost,
//! and prints how much they leave of a text.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

use std::fmt::Write;
use std::hint::black_box;
use std::ops::Range;

use bytes::{Buf, BufMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sansock::deflate::{Agreed, Deflate, Pool, accept};
use sansock::frame::{Header, OpCode, Reserved};
use sansock::{Config, Connection, Event, Timestamp};
use zlib_rs::{DeflateConfig, DeflateFlush, InflateFlush};

const SIZES: [usize; 3] = [125, 1 << 10, 16 << 10];
const TURN: usize = 1 << 20;
const READ: usize = 64 << 10;
const LEVELS: [u8; 5] = [1, 2, 4, 6, 9];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Takeover,
    NoTakeover,
}

impl Context {
    const BOTH: [Context; 2] = [Context::Takeover, Context::NoTakeover];

    fn name(self) -> &'static str {
        match self {
            Context::Takeover => "with takeover",
            Context::NoTakeover => "without takeover",
        }
    }
}

/// Texts of `size` bytes, all different, a turn of them.
fn texts(size: usize) -> Vec<String> {
    const WORDS: [&str; 16] = [
        "river", "stone", "update", "market", "violet", "answer", "garden", "signal", "window", "copper",
        "morning", "letter", "engine", "harbour", "paper", "winter",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut number = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut text = |sequence: usize| {
        let mut text = format!(r#"{{"seq":{sequence},"rows":["#);
        while text.len() < size {
            let (id, units, cents) = (number(100_000), number(1_000), number(100));
            let [user, event, first, second] = [(); 4].map(|()| WORDS.get(number(WORDS.len())).unwrap());
            write!(text, r#"{{"id":{id},"user":"{user}","event":"{event}","amount":{units}.{cents:02},"#)
                .unwrap();
            write!(text, r#""note":"{first} {second}"}},"#).unwrap();
        }
        text.truncate(size);
        text
    };
    (0..TURN / size).map(&mut text).collect()
}

/// zlib-rs alone.
struct Raw {
    context: Context,
    config: DeflateConfig,
    inflate: zlib_rs::Inflate,
    room: Vec<u8>,
}

const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

impl Raw {
    fn new(context: Context, level: u8) -> Self {
        let settings = Deflate::default();
        let window = settings.send_window.get();
        let config = DeflateConfig {
            level: i32::from(level),
            window_bits: -i32::from(window),
            mem_level: i32::from(settings.memory_level),
            ..DeflateConfig::default()
        };
        Raw { context, config, inflate: zlib_rs::Inflate::new(false, window), room: vec![0; READ] }
    }

    fn compress_turn(&mut self, texts: &[String], mut take: impl FnMut(&[u8])) {
        let mut deflate = zlib_rs::Deflate::new_with_config(self.config);
        for text in texts {
            if self.context == Context::NoTakeover {
                deflate.reset();
            }
            let before = deflate.total_out();
            let text = black_box(text).as_bytes();
            deflate.compress(text, &mut self.room, DeflateFlush::SyncFlush).unwrap();
            let made = usize::try_from(deflate.total_out() - before).unwrap();
            take(self.room.get(..made).unwrap());
        }
    }

    fn inflate_turn(&mut self, turn: &Turn, mut take: impl FnMut(&[u8])) {
        self.inflate.reset(false);
        for payload in &turn.payloads {
            if self.context == Context::NoTakeover {
                self.inflate.reset(false);
            }
            let before = self.inflate.total_out();
            let payload = black_box(turn.frames.get(payload.clone()).unwrap());
            self.inflate.decompress(payload, &mut self.room, InflateFlush::NoFlush).unwrap();
            let made = usize::try_from(self.inflate.total_out() - before).unwrap();
            let rest = self.room.get_mut(made..).unwrap();
            self.inflate.decompress(&TAIL, rest, InflateFlush::NoFlush).unwrap();
            take(self.room.get(..made).unwrap());
        }
    }
}

/// What makes connections.
struct Ours {
    deflate: Deflate,
    agreed: Agreed,
}

impl Ours {
    fn new(context: Context) -> Self {
        let mut deflate = Deflate::default();
        deflate.send_takeover = context == Context::Takeover;
        deflate.pool = Some(Pool::default());
        let agreed = accept([b"permessage-deflate".as_slice()], &deflate).unwrap();
        Ours { deflate, agreed }
    }

    fn send_turn(&self, texts: &[String], mut take: impl FnMut(&[u8])) {
        let server = Connection::server(Config::default(), Timestamp::EPOCH);
        let mut server = server.with_deflate(self.agreed, &self.deflate);
        for text in texts {
            server.text(black_box(text)).unwrap();
            while server.output().has_remaining() {
                let len = server.output().chunk().len();
                take(server.output().chunk());
                server.output().advance(len);
            }
        }
    }

    fn receive_turn(&self, turn: &Turn, mut take: impl FnMut(&str)) {
        let client = Connection::client(Config::default(), [7; 32], Timestamp::EPOCH);
        let mut client = client.with_deflate(self.agreed, &self.deflate);
        for part in turn.frames.chunks(READ) {
            client.input().put_slice(black_box(part));
            client.handle_input(Timestamp::EPOCH);
            while let Some(event) = client.poll_event().unwrap() {
                match event {
                    Event::Text(text) => take(&text),
                    _ => panic!("no other event was sent"),
                }
            }
        }
    }
}

/// Messages, and the frames that carry them.
struct Turn {
    texts: Vec<String>,
    frames: Vec<u8>,
    /// Where in the frames the payloads are.
    payloads: Vec<Range<usize>>,
}

impl Turn {
    fn new(size: usize, raw: &mut Raw) -> Self {
        let mut turn = Turn { texts: texts(size), frames: Vec::new(), payloads: Vec::new() };
        raw.compress_turn(&turn.texts, |compressed| {
            let payload = compressed.strip_suffix(&TAIL).unwrap();
            let header = Header::new(OpCode::Text, payload.len() as u64).unwrap();
            header.reserved(Reserved::RSV1).encode(&mut turn.frames);
            turn.payloads.push(turn.frames.len()..turn.frames.len() + payload.len());
            turn.frames.extend_from_slice(payload);
        });
        turn
    }

    /// Both sides do the same work, all of it.
    fn check(&self, raw: &mut Raw, ours: &Ours) {
        let mut sent = Vec::new();
        ours.send_turn(&self.texts, |bytes| sent.extend_from_slice(bytes));
        assert!(sent == self.frames, "sansock sends other bytes than zlib-rs makes");
        let mut texts = self.texts.iter();
        raw.inflate_turn(self, |inflated| assert_eq!(texts.next().unwrap().as_bytes(), inflated));
        assert_eq!(texts.next(), None);
        let mut texts = self.texts.iter();
        ours.receive_turn(self, |text| assert_eq!(texts.next().unwrap(), text));
        assert_eq!(texts.next(), None);
    }
}

fn send_and_receive(criterion: &mut Criterion) {
    let level = Deflate::default().level;
    for context in Context::BOTH {
        for size in SIZES {
            let (mut raw, ours) = (Raw::new(context, level), Ours::new(context));
            let turn = Turn::new(size, &mut raw);
            turn.check(&mut raw, &ours);

            let mut group = criterion.benchmark_group(format!("send, {}", context.name()));
            group.throughput(Throughput::Bytes((turn.texts.len() * size) as u64));
            group.bench_function(BenchmarkId::new("raw zlib-rs", size), |bencher| {
                bencher.iter(|| raw.compress_turn(&turn.texts, |bytes| _ = black_box(bytes)));
            });
            group.bench_function(BenchmarkId::new("sansock", size), |bencher| {
                bencher.iter(|| ours.send_turn(&turn.texts, |bytes| _ = black_box(bytes)));
            });
            group.finish();

            let mut group = criterion.benchmark_group(format!("receive, {}", context.name()));
            group.throughput(Throughput::Bytes((turn.texts.len() * size) as u64));
            group.bench_function(BenchmarkId::new("raw zlib-rs", size), |bencher| {
                bencher.iter(|| raw.inflate_turn(&turn, |bytes| _ = black_box(bytes)));
            });
            group.bench_function(BenchmarkId::new("sansock", size), |bencher| {
                bencher.iter(|| ours.receive_turn(&turn, |text| _ = black_box(text)));
            });
            group.finish();
        }
    }
}

fn level(criterion: &mut Criterion) {
    for context in Context::BOTH {
        for size in SIZES {
            let texts = texts(size);
            let mut group = criterion.benchmark_group(format!("level, {}, {size}", context.name()));
            group.throughput(Throughput::Bytes((texts.len() * size) as u64));
            for level in LEVELS {
                let mut raw = Raw::new(context, level);
                let mut left = 0;
                raw.compress_turn(&texts, |bytes| left += bytes.len() - TAIL.len());
                let left = left / texts.len();
                println!("level {level}, {}, {size}: {left} bytes are left", context.name());
                group.bench_function(BenchmarkId::from_parameter(level), |bencher| {
                    bencher.iter(|| raw.compress_turn(&texts, |bytes| _ = black_box(bytes)));
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, send_and_receive, level);
criterion_main!(benches);
