//! permessage-deflate in memory: zlib-rs alone, sansock, and other libraries. What is measured, and how,
//! is in README.md.
//!
//! ```text
//! cargo run --release --bin deflate
//! cargo run --release --bin deflate -- --passes 1001 --case 'send, with takeover' --row sansock
//! cargo run --release --bin deflate -- --once sansock receive 125 takeover 8
//! ```
//!
//! - `--passes N`: how often each row is timed (default 101); the figures are medians.
//! - `--case TEXT`, `--row TEXT`: only those in whose name this is; zlib-rs alone always runs.
//! - `--level N`: of compression (default: sansock's).
//! - `--once ROW send|receive SIZE takeover|no-takeover TURNS`: nothing but so many turns, for a profiler.

mod peers;
mod text;
mod transport;

use std::hint::black_box;

use peers::{Context, Peer, Raw, Sansock, SansockTokio, SockudoProtocol, SockudoStream, TAIL, Turn, Yawc};
use rustix::time::{ClockId, clock_gettime};
use sansock::deflate::Deflate;
use sansock::frame::{Header, Masking, OpCode, Reserved, Rules};
use zlib_rs::{Inflate, InflateFlush};

const SIZES: [usize; 3] = [125, 1 << 10, 16 << 10];
/// Bytes of text in a turn.
const TURN: usize = 1 << 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Direction {
    Send,
    Receive,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    direction: Direction,
    context: Context,
    size: usize,
}

impl Case {
    fn name(self) -> String {
        let direction = if self.direction == Direction::Send { "send" } else { "receive" };
        let context = if self.context == Context::Takeover { "with takeover" } else { "without takeover" };
        format!("{direction}, {context}, {} B", self.size)
    }

    fn all() -> impl Iterator<Item = Case> {
        [Direction::Send, Direction::Receive].into_iter().flat_map(|direction| {
            [Context::Takeover, Context::NoTakeover]
                .into_iter()
                .flat_map(move |context| SIZES.into_iter().map(move |size| Case { direction, context, size }))
        })
    }
}

/// A library in one case.
struct Row {
    name: &'static str,
    /// Bytes of a compressed message, on average, if it sends.
    compressed: Option<usize>,
    turn: Box<dyn FnMut(&Turn)>,
}

impl Row {
    fn new<P: Peer + 'static>(name: &'static str, case: Case, level: u8, turn: &Turn) -> Self {
        let mut peer = P::new(case.context, level);
        let compressed = match case.direction {
            // zlib-rs alone makes what the turn was made with.
            Direction::Send if name == RAW => Some(turn.payload_len()),
            Direction::Send => Some(check_sent(&mut peer, case, turn, name)),
            Direction::Receive => {
                check_received(&mut peer, turn, name);
                None
            }
        };
        let turn: Box<dyn FnMut(&Turn)> = match case.direction {
            Direction::Send => Box::new(move |turn| peer.send(turn, |bytes| _ = black_box(bytes))),
            Direction::Receive => Box::new(move |turn| peer.receive(turn, |text| _ = black_box(text))),
        };
        Row { name, compressed, turn }
    }

    /// Nanoseconds of a turn.
    fn time(&mut self, turn: &Turn) -> f64 {
        let start = thread_nanos();
        (self.turn)(turn);
        thread_nanos() - start
    }
}

/// The time this thread has run: a busy machine takes it to other threads, but that does not count.
fn thread_nanos() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

const RAW: &str = "raw zlib-rs";

fn rows(case: Case, level: u8, turn: &Turn, is_wanted: impl Fn(&str) -> bool) -> Vec<Row> {
    type Make = fn(&'static str, Case, u8, &Turn) -> Row;
    let all: [(&'static str, Make); 6] = [
        (RAW, Row::new::<Raw>),
        ("sansock", Row::new::<Sansock>),
        ("sansock, tokio", Row::new::<SansockTokio>),
        ("sockudo-ws, protocol", Row::new::<SockudoProtocol>),
        ("sockudo-ws", Row::new::<SockudoStream>),
        ("yawc", Row::new::<Yawc>),
    ];
    let wanted = all.into_iter().filter(|(name, _)| is_wanted(name));
    wanted.map(|(name, make)| make(name, case, level, turn)).collect()
}

impl Turn {
    fn new(case: Case, level: u8) -> Self {
        let texts = text::texts(case.size, TURN).into_iter().map(Into::into).collect();
        let mut turn = Turn { texts, frames: Vec::new(), payloads: Vec::new() };
        let mut compressed = Vec::new();
        Raw::new(case.context, level).send(&turn, |bytes| compressed.push(bytes.to_vec()));
        for compressed in compressed {
            let payload = compressed.strip_suffix(&TAIL).unwrap();
            let header = Header::new(OpCode::Text, payload.len() as u64).unwrap();
            header.reserved(Reserved::RSV1).encode(&mut turn.frames);
            turn.payloads.push(turn.frames.len()..turn.frames.len() + payload.len());
            turn.frames.extend_from_slice(payload);
        }
        turn
    }

    /// Bytes of a payload, on average.
    fn payload_len(&self) -> usize {
        self.payloads.iter().map(ExactSizeIterator::len).sum::<usize>() / self.payloads.len()
    }
}

/// Whether all that is sent inflates to the texts; and how long a payload is, on average.
fn check_sent(peer: &mut impl Peer, case: Case, turn: &Turn, name: &str) -> usize {
    let mut sent = Vec::new();
    peer.send(turn, |bytes| sent.extend_from_slice(bytes));
    let rules = Rules { reserved: Reserved::RSV1, masking: Masking::Forbidden };
    let (mut inflate, mut room, mut rest, mut total) =
        (Inflate::new(false, 15), vec![0; 2 * TURN], &sent[..], 0);
    for text in &turn.texts {
        let (header, size) = Header::parse(rest, rules).unwrap().unwrap();
        assert!(header.is_final() && header.opcode() == OpCode::Text, "{name}");
        let (payload, behind) = rest[size..].split_at(header.len() as usize);
        (rest, total) = (behind, total + payload.len());
        if header.reserved_bits() == Reserved::NONE {
            assert!(payload == text.as_bytes(), "{name}");
            continue;
        }
        if case.context == Context::NoTakeover {
            inflate.reset(false);
        }
        let before = inflate.total_out();
        inflate.decompress(&[payload, &TAIL].concat(), &mut room, InflateFlush::NoFlush).unwrap();
        assert!(&room[..(inflate.total_out() - before) as usize] == text.as_bytes(), "{name}");
    }
    assert!(rest.is_empty(), "{name}");
    total / turn.texts.len()
}

fn check_received(peer: &mut impl Peer, turn: &Turn, name: &str) {
    let mut texts = turn.texts.iter();
    peer.receive(turn, |text| assert!(text == texts.next().unwrap().as_bytes(), "{name}"));
    assert!(texts.next().is_none(), "{name}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Times all rows of a case in turns, so that what slows the machine down slows all of them.
fn measure(case: Case, level: u8, passes: usize, is_wanted: impl Fn(&str) -> bool) {
    let turn = Turn::new(case, level);
    let mut rows = rows(case, level, &turn, is_wanted);
    let mut times = vec![Vec::new(); rows.len()];
    for _ in 0..passes {
        for (row, times) in rows.iter_mut().zip(&mut times) {
            times.push(row.time(&turn));
        }
    }
    println!("\n{}", case.name());
    println!("{:22} {:>10} {:>8} {:>8} {:>11}", "", "ns/message", "MiB/s", "to raw", "compressed");
    let floor = times[0].clone();
    let bytes = (turn.texts.len() * case.size) as f64;
    for (row, times) in rows.iter().zip(times) {
        // The ratio within a pass, whose rows ran one after another.
        let ratio = median(times.iter().zip(&floor).map(|(time, floor)| time / floor).collect());
        let time = median(times);
        let compressed = row.compressed.map_or(String::new(), |bytes| format!("{bytes} B"));
        println!(
            "{:22} {:10.0} {:8.1} {:8.3} {:>11}",
            row.name,
            time / turn.texts.len() as f64,
            bytes * 1e9 / time / f64::from(1 << 20),
            ratio,
            compressed,
        );
    }
}

fn print_versions(level: u8, passes: usize) {
    let lock = include_str!("../../../Cargo.lock");
    let version = |name: &str| {
        let entry = lock.split("[[package]]").find(|entry| entry.contains(&format!("name = \"{name}\"\n")));
        entry.and_then(|entry| entry.split('"').nth(3)).unwrap_or("?").to_owned()
    };
    let (zlib, flate2) = (version("zlib-rs"), version("flate2"));
    println!("raw zlib-rs: zlib-rs {zlib}");
    println!("sansock: {}, by zlib-rs {zlib}", version("sansock"));
    println!("sockudo-ws: {}, by flate2 {flate2} and zlib-rs {zlib}", version("sockudo-ws"));
    println!("yawc: {}, by flate2 {flate2} and zlib-rs {zlib}", version("yawc"));
    println!("level {level}, memory level 8, window 15 bits, for all; no masks; text");
    println!("\"sansock, tokio\", \"sockudo-ws\" and \"yawc\" run on a tokio runtime of one thread");
    println!("medians of {passes} passes, each of {} MiB of text", TURN >> 20);
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (mut passes, mut level) = (101, Deflate::default().level);
    let (mut wanted_case, mut wanted_row) = (String::new(), String::new());
    while let Some(arg) = args.next() {
        let mut value = || args.next().expect("a value");
        match arg.as_str() {
            "--passes" => passes = value().parse().expect("a number of passes"),
            "--level" => level = value().parse().expect("a level"),
            "--case" => wanted_case = value(),
            "--row" => wanted_row = value(),
            "--once" => {
                let name = value();
                let direction = if value() == "send" { Direction::Send } else { Direction::Receive };
                let size = value().parse().expect("a size");
                let context = if value() == "takeover" { Context::Takeover } else { Context::NoTakeover };
                let turns = value().parse().expect("a number of turns");
                return once(Case { direction, context, size }, level, &name, turns);
            }
            _ => panic!("the arguments are explained in src/bin/deflate/main.rs"),
        }
    }
    print_versions(level, passes);
    for case in Case::all().filter(|case| case.name().contains(&wanted_case)) {
        measure(case, level, passes, |row| row == RAW || row.contains(&wanted_row));
    }
}

fn once(case: Case, level: u8, name: &str, turns: usize) {
    let turn = Turn::new(case, level);
    let mut rows = rows(case, level, &turn, |row| row == name);
    let row = rows.first_mut().expect("the name of a row");
    for _ in 0..turns {
        (row.turn)(&turn);
    }
}
