//! What it costs to send one message to many connections, beside the floor.
//!
//! ```text
//! cargo bench --bench broadcast
//! ```
//!
//! One iteration is one connection, so the time that is printed is the time for a connection. A turn queues
//! the message in each of them, and then takes the output of each.
//!
//! - `prepared`: the message is encoded once for all, outside of what is timed.
//! - `encoded by each`: each connection is given the owned payload, and encodes it for itself.
//! - `floor, copied`: the bytes of the frame are appended to as many `Vec`s, and these are cleared.
//! - `floor, shared`: the frame is counted by reference, once for each place in as many places.
#![allow(clippy::unwrap_used, reason = "a benchmark")]

mod common;

use std::hint::black_box;

use bytes::Bytes;
use common::{drain, per_message, server};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sansock::frame::{Header, OpCode};
use sansock::{Connection, Prepared};

const CONNECTIONS: [usize; 3] = [1, 100, 10_000];

fn small(criterion: &mut Criterion) {
    broadcast(criterion, 125);
}

fn large(criterion: &mut Criterion) {
    broadcast(criterion, 16 << 10);
}

fn broadcast(criterion: &mut Criterion, size: usize) {
    let mut group = criterion.benchmark_group(format!("broadcast {size}"));
    let payload = Bytes::from(vec![7; size]);
    let prepared = Prepared::new(payload.clone());
    let mut frame = Vec::new();
    Header::new(OpCode::Binary, size as u64).unwrap().encode(&mut frame);
    frame.extend_from_slice(&payload);
    let frame = Bytes::from(frame);
    for count in CONNECTIONS {
        group.bench_function(BenchmarkId::new("floor, copied", count), |bencher| {
            let mut outs = vec![Vec::new(); count];
            per_message(bencher, count, || {
                for out in &mut outs {
                    out.extend_from_slice(black_box(&frame));
                }
                for out in &mut outs {
                    black_box(&out[..]);
                    out.clear();
                }
            });
        });
        group.bench_function(BenchmarkId::new("floor, shared", count), |bencher| {
            let mut outs = vec![None; count];
            per_message(bencher, count, || {
                for out in &mut outs {
                    *out = Some(black_box(&frame).clone());
                }
                for out in &mut outs {
                    black_box(out.take());
                }
            });
        });
        group.bench_function(BenchmarkId::new("prepared", count), |bencher| {
            let mut ends: Vec<_> = (0..count).map(|_| server()).collect();
            per_message(bencher, count, || to_all(&mut ends, |end| end.prepared(&prepared).unwrap()));
        });
        group.bench_function(BenchmarkId::new("encoded by each", count), |bencher| {
            let mut ends: Vec<_> = (0..count).map(|_| server()).collect();
            per_message(bencher, count, || to_all(&mut ends, |end| end.send(payload.clone()).unwrap()));
        });
    }
}

fn to_all(ends: &mut [Connection], send: impl Fn(&mut Connection)) {
    for end in &mut *ends {
        send(end);
    }
    for end in ends {
        drain(end.output());
    }
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = small, large
}
criterion_main!(benches);
