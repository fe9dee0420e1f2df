//! What it costs to parse and to encode a frame's header, beside the floor.
//!
//! ```text
//! cargo bench --bench header
//! ```
//!
//! One iteration is one header, so the time that is printed is the time for a header. A turn is a thousand
//! headers of masked frames, one behind the other without keys and payloads: with the length in 7, 16 or 64
//! bits, or in any of these, which no branch predictor can learn.
//!
//! - The floor of `parse` finds out where the next header begins and how long the frame is. It judges
//!   nothing.
//! - The floor of `encode` copies the bytes of the whole turn at once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]

mod common;

use std::hint::black_box;

use common::per_message;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sansock::frame::{Header, Masking, OpCode, Reserved, Rules};

const COUNT: usize = 1000;
const LENGTHS: [u64; 3] = [125, 1 << 10, 64 << 10];
const RULES: Rules = Rules { reserved: Reserved::NONE, masking: Masking::Required };

/// The headers of a turn, by the name of their kind.
fn turns() -> [(&'static str, Vec<Header>); 4] {
    let header = |len| Header::new(OpCode::Binary, len).unwrap().masked();
    let [short, middle, long] = LENGTHS.map(|len| vec![header(len); COUNT]);
    let mut state = 1_u32;
    let mixed = (0..COUNT).map(|_| {
        state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        header(LENGTHS[(state >> 16) as usize % LENGTHS.len()])
    });
    [("7 bits", short), ("16 bits", middle), ("64 bits", long), ("mixed", mixed.collect())]
}

fn encoded(headers: &[Header]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for header in headers {
        header.encode(&mut bytes);
    }
    bytes
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header, parse");
    for (name, headers) in turns() {
        let bytes = encoded(&headers);
        group.bench_function(BenchmarkId::new("floor", name), |bencher| {
            per_message(bencher, COUNT, || {
                let mut rest = black_box(&bytes[..]);
                while let [first, second, after @ ..] = rest {
                    let (len, size) = match second & 0x7f {
                        126 => (u64::from(u16::from_be_bytes(*after.first_chunk().unwrap())), 2),
                        127 => (u64::from_be_bytes(*after.first_chunk().unwrap()), 8),
                        short => (u64::from(short), 0),
                    };
                    black_box((first, len));
                    rest = &after[size..];
                }
            });
        });
        group.bench_function(BenchmarkId::new("Header::parse", name), |bencher| {
            per_message(bencher, COUNT, || {
                let mut rest = black_box(&bytes[..]);
                while let Some((header, size)) = Header::parse(rest, RULES).unwrap() {
                    black_box(header);
                    rest = &rest[size..];
                }
            });
        });
    }
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header, encode");
    for (name, headers) in turns() {
        let bytes = encoded(&headers);
        group.bench_function(BenchmarkId::new("floor", name), |bencher| {
            let mut out = Vec::new();
            per_message(bencher, COUNT, || {
                out.clear();
                out.extend_from_slice(black_box(&bytes));
                black_box(&out[..]);
            });
        });
        group.bench_function(BenchmarkId::new("Header::encode", name), |bencher| {
            let mut out = Vec::new();
            per_message(bencher, COUNT, || {
                out.clear();
                for header in black_box(&headers) {
                    header.encode(&mut out);
                }
                black_box(&out[..]);
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = parse, encode
}
criterion_main!(benches);
