//! What it costs a server to send each message back, beside the floor: copying the bytes in, unmasking them,
//! and copying them out behind a header.
//!
//! ```text
//! cargo bench --bench echo
//! ```
//!
//! One iteration is one message, so the time that is printed is the time for a message. A turn is 256 KiB of
//! binary payload, or one message if that is larger, in reads of 64 KiB.
//!
//! - `batched`: the answers to all that a read brought are written at once, as the shims do it.
//! - `flushed`: each answer is written before the next message is taken.
#![allow(clippy::unwrap_used, reason = "a benchmark")]

mod common;

use std::hint::black_box;

use bytes::BufMut;
use common::{Floor, Frames, SIZES, answer, drain, echo, per_message, server};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sansock::frame::{Header, OpCode};
use sansock::{Connection, Timestamp};

fn echoes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo");
    for size in SIZES {
        let frames = Frames::masked(OpCode::Binary, &vec![7; size]);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("floor", size), |bencher| {
            let mut floor = Floor::default();
            let mut out = Vec::new();
            let header = Header::new(OpCode::Binary, size as u64).unwrap();
            per_message(bencher, frames.count, || {
                for part in frames.reads() {
                    floor.read(&frames, part, |payload| {
                        header.encode(&mut out);
                        out.extend_from_slice(payload);
                    });
                    black_box(&out[..]);
                    out.clear();
                }
            });
        });
        group.bench_function(BenchmarkId::new("batched", size), |bencher| {
            let mut server = server();
            per_message(bencher, frames.count, || echo(&mut server, &frames));
        });
        group.bench_function(BenchmarkId::new("flushed", size), |bencher| {
            let mut server = server();
            per_message(bencher, frames.count, || echo_and_flush(&mut server, &frames));
        });
    }
}

fn echo_and_flush(server: &mut Connection, frames: &Frames) {
    for part in frames.reads() {
        server.input().put_slice(part);
        server.handle_input(Timestamp::EPOCH);
        while let Some((event, send)) = server.poll_with_send().unwrap() {
            answer(&event, send);
            drain(send.output());
        }
    }
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = echoes
}
criterion_main!(benches);
