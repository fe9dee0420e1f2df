//! Whether a message costs the same however many there are: the time for a message must stay flat where the
//! floor does, which is copying the bytes in and unmasking them with the same code.
//!
//! ```text
//! cargo bench --bench growth
//! ```
//!
//! One iteration is one message, so the time that is printed is the time for a message.
//!
//! - `connections`: 1 to 10,000 servers, one after the other; each reads 16 messages of 125 bytes at once.
//!   With `at rest in between` each is told that there is no more to read, as by a shim, and gives its buffer
//!   back; with `kept` it keeps the buffer, as in the floor. Many buffers are not in the processor's cache:
//!   that is the rise of the floor.
//! - `messages per read`: 1 to 1,000,000 messages of 16 bytes in one read. The last reads are larger than the
//!   cache.
#![allow(clippy::unwrap_used, reason = "a benchmark")]

mod common;

use std::hint::black_box;

use common::{Floor, Frames, look, per_message, read, server};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sansock::frame::OpCode;

fn connections(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("growth, connections");
    let frames = Frames::masked_times(OpCode::Binary, &[7; 125], 16);
    for count in [1, 10, 100, 1_000, 10_000] {
        let messages = frames.count * count;
        group.bench_function(BenchmarkId::new("floor", count), |bencher| {
            let mut floors: Vec<_> = (0..count).map(|_| Floor::default()).collect();
            per_message(bencher, messages, || {
                for floor in &mut floors {
                    floor.read(&frames, &frames.bytes, |part| _ = black_box(part));
                }
            });
        });
        group.bench_function(BenchmarkId::new("kept", count), |bencher| {
            let mut servers: Vec<_> = (0..count).map(|_| server()).collect();
            per_message(bencher, messages, || {
                for server in &mut servers {
                    read(server, &frames.bytes, look);
                }
            });
        });
        group.bench_function(BenchmarkId::new("at rest in between", count), |bencher| {
            let mut servers: Vec<_> = (0..count).map(|_| server()).collect();
            per_message(bencher, messages, || {
                for server in &mut servers {
                    read(server, &frames.bytes, look);
                    server.handle_would_block();
                }
            });
        });
    }
}

fn messages_per_read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("growth, messages per read");
    for count in [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000] {
        let frames = Frames::masked_times(OpCode::Binary, &[7; 16], count);
        group.bench_function(BenchmarkId::new("floor", count), |bencher| {
            let mut floor = Floor::default();
            per_message(bencher, count, || {
                floor.read(&frames, &frames.bytes, |part| _ = black_box(part));
            });
        });
        group.bench_function(BenchmarkId::new("lent", count), |bencher| {
            let mut server = server();
            per_message(bencher, count, || read(&mut server, &frames.bytes, look));
        });
    }
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = connections, messages_per_read
}
criterion_main!(benches);
