//! What it costs to send a message and to write it out, beside the floor.
//!
//! ```text
//! cargo bench --bench send
//! ```
//!
//! One iteration is one message, queued and taken out again, so the time that is printed is the time for a
//! message.
//!
//! - `borrowed`: `binary(&[u8])`; `owned`: `send(Bytes)`, counting a reference included; `prepared`: a
//!   `Prepared`.
//! - The floor of a server is a header and nothing else: an owned payload can stay where it is. `floor,
//!   copied` is the header and a copy of the payload, which is what a borrowed one takes.
//! - The floor of a client is a header, a key that is known, and a copy of the payload that masks it with the
//!   same code. The random numbers that its keys come from are not part of it.
#![allow(clippy::unwrap_used, reason = "a benchmark")]

mod common;

use std::hint::black_box;

use bytes::Bytes;
use common::{SIZES, client, drain, server};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sansock::frame::{Header, OpCode};
use sansock::mask::Mask;
use sansock::{Connection, Prepared};

fn from_server(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("send from a server");
    for size in SIZES {
        let payload = vec![7; size];
        let header = Header::new(OpCode::Binary, size as u64).unwrap();
        floor(&mut group, "floor", size, |out| header.encode(out));
        floor(&mut group, "floor, copied", size, |out| {
            header.encode(out);
            out.extend_from_slice(black_box(&payload));
        });
        send(&mut group, server, &payload);
    }
}

fn from_client(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("send from a client");
    for size in SIZES {
        let payload = vec![7; size];
        let header = Header::new(OpCode::Binary, size as u64).unwrap().masked();
        floor(&mut group, "floor", size, |out| {
            let key = black_box([1, 2, 3, 4]);
            header.encode(out);
            out.extend_from_slice(&key);
            Mask::new(key).copy(black_box(&payload), out);
        });
        send(&mut group, client, &payload);
    }
}

fn floor(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, size: usize, write: impl Fn(&mut Vec<u8>)) {
    group.throughput(Throughput::Bytes(size as u64));
    group.bench_function(BenchmarkId::new(name, size), |bencher| {
        let mut out = Vec::new();
        bencher.iter(|| {
            write(&mut out);
            black_box(&out[..]);
            out.clear();
        });
    });
}

fn send(group: &mut BenchmarkGroup<'_, WallTime>, end: fn() -> Connection, payload: &[u8]) {
    let owned = Bytes::copy_from_slice(payload);
    let prepared = Prepared::new(owned.clone());
    group.bench_function(BenchmarkId::new("borrowed", payload.len()), |bencher| {
        let mut end = end();
        bencher.iter(|| {
            end.binary(black_box(payload)).unwrap();
            drain(end.output());
        });
    });
    group.bench_function(BenchmarkId::new("owned", payload.len()), |bencher| {
        let mut end = end();
        bencher.iter(|| {
            end.send(owned.clone()).unwrap();
            drain(end.output());
        });
    });
    group.bench_function(BenchmarkId::new("prepared", payload.len()), |bencher| {
        let mut end = end();
        bencher.iter(|| {
            end.prepared(&prepared).unwrap();
            drain(end.output());
        });
    });
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = from_server, from_client
}
criterion_main!(benches);
