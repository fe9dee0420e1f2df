//! What it costs to check that bytes are UTF-8, beside those who do nothing else: `core` and simdutf8.
//!
//! ```text
//! cargo bench --bench utf8
//! ```
//!
//! One iteration is one text: of ASCII, or of characters of one to four bytes.
//!
//! - `core`: `core::str::from_utf8`.
//! - `floor`: `simdutf8::basic::from_utf8`, which `is_valid` calls for all but short ASCII.
//! - `is_valid`: a text that is there as a whole.
//! - `Validator`: a text that may come in parts, here in one.
//! - `Validator, reads`: in parts of 64 KiB, which cut characters; only for texts that take several.
#![allow(clippy::unwrap_used, reason = "a benchmark")]

mod common;

use std::hint::black_box;

use common::{READ, SIZES};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sansock::utf8::{Validator, is_valid};

fn ascii(criterion: &mut Criterion) {
    validate(criterion, "ASCII", common::ascii);
}

fn multi_byte(criterion: &mut Criterion) {
    validate(criterion, "multi-byte", common::multi_byte);
}

fn validate(criterion: &mut Criterion, name: &str, text: fn(usize) -> Vec<u8>) {
    let mut group = criterion.benchmark_group(format!("utf8 {name}"));
    for size in SIZES {
        let text = text(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("core", size), |bencher| {
            bencher.iter(|| core::str::from_utf8(black_box(&text)).unwrap());
        });
        group.bench_function(BenchmarkId::new("floor", size), |bencher| {
            bencher.iter(|| simdutf8::basic::from_utf8(black_box(&text)).unwrap());
        });
        group.bench_function(BenchmarkId::new("is_valid", size), |bencher| {
            bencher.iter(|| assert!(is_valid(black_box(&text))));
        });
        group.bench_function(BenchmarkId::new("Validator", size), |bencher| {
            bencher.iter(|| {
                let mut validator = Validator::new();
                validator.push(black_box(&text)).unwrap();
                validator.finish().unwrap();
            });
        });
        if size <= READ {
            continue;
        }
        group.bench_function(BenchmarkId::new("Validator, reads", size), |bencher| {
            bencher.iter(|| {
                let mut validator = Validator::new();
                for part in black_box(&text).chunks(READ) {
                    validator.push(part).unwrap();
                }
                validator.finish().unwrap();
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = ascii, multi_byte
}
criterion_main!(benches);
