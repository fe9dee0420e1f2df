//! What it costs to mask a payload, beside the floor: `memset` for masking in place, which writes each byte
//! once, and `memcpy` for masking while copying.
//!
//! ```text
//! cargo bench --bench mask
//! ```
//!
//! One iteration is one payload.
//!
//! - `apply`: in place, at an address that is a multiple of 16, as far as the allocator provides it.
//! - `apply, unaligned`: in place, 6 bytes further: there a small frame's payload stands.
//! - `copy`: masked on the way into another buffer.
#![allow(clippy::indexing_slicing, reason = "a benchmark")]

mod common;

use std::hint::black_box;

use common::SIZES;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sansock::mask::Mask;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const HEAD: usize = 6;

fn mask(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask");
    for size in SIZES {
        let mut payload = vec![7; HEAD + size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("floor of apply", size), |bencher| {
            bencher.iter(|| black_box(&mut payload[..size]).fill(black_box(7)));
        });
        group.bench_function(BenchmarkId::new("apply", size), |bencher| {
            bencher.iter(|| Mask::new(black_box(KEY)).apply(black_box(&mut payload[..size])));
        });
        group.bench_function(BenchmarkId::new("apply, unaligned", size), |bencher| {
            bencher.iter(|| Mask::new(black_box(KEY)).apply(black_box(&mut payload[HEAD..])));
        });
        group.bench_function(BenchmarkId::new("floor of copy", size), |bencher| {
            let mut out = Vec::with_capacity(size);
            bencher.iter(|| {
                out.clear();
                out.extend_from_slice(black_box(&payload[..size]));
                black_box(&out[..]);
            });
        });
        group.bench_function(BenchmarkId::new("copy", size), |bencher| {
            let mut out = Vec::with_capacity(size);
            bencher.iter(|| {
                out.clear();
                Mask::new(black_box(KEY)).copy(black_box(&payload[..size]), &mut out);
                black_box(&out[..]);
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = mask
}
criterion_main!(benches);
