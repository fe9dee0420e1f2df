//! What a message costs in memory, beside the floor: copying the same bytes, and unmasking them.
//!
//! ```text
//! cargo bench --bench messages
//! ```
//!
//! Each turn reads 256 KiB of frames, in reads of 64 KiB, and takes all messages. Divide by the number
//! of messages in the name of a case; the throughput that criterion prints is of messages.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

use std::hint::black_box;

use bytes::{Buf, BufMut, Bytes};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sansock::frame::{Header, OpCode};
use sansock::mask::Mask;
use sansock::{Config, Connection, Event, Prepared, Timestamp, utf8};

const SIZES: [usize; 4] = [16, 125, 1 << 10, 16 << 10];
const TURN: usize = 256 << 10;
const READ: usize = 64 << 10;

fn server() -> Connection {
    Connection::server(Config::default(), Timestamp::EPOCH)
}

fn client() -> Connection {
    Connection::client(Config::default(), [7; 32], Timestamp::EPOCH)
}

/// Frames of a client, a turn of them, and how many there are.
fn frames(opcode: OpCode, size: usize) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    let count = (TURN / size).max(1);
    for i in (0..u32::MAX).take(count) {
        let key = i.wrapping_mul(0x9e37_79b9).to_ne_bytes();
        Header::new(opcode, size as u64).unwrap().masked().encode(&mut bytes);
        bytes.extend(key);
        Mask::new(key).copy(&vec![b'x'; size], &mut bytes);
    }
    (bytes, count)
}

/// Gives a turn of bytes to `end`, and each event to `take`.
fn turn(end: &mut Connection, bytes: &[u8], mut take: impl FnMut(Event<'_>)) {
    for part in bytes.chunks(READ) {
        end.input().put_slice(part);
        end.handle_input(Timestamp::EPOCH);
        while let Some(event) = end.poll_event().unwrap() {
            take(event);
        }
    }
}

fn receive(criterion: &mut Criterion) {
    for (name, opcode) in [("receive binary", OpCode::Binary), ("receive text", OpCode::Text)] {
        let mut group = criterion.benchmark_group(name);
        for size in SIZES {
            let (bytes, count) = frames(opcode, size);
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new("floor", size), |bencher| {
                let mut buffer = Vec::with_capacity(READ);
                bencher.iter(|| {
                    for part in bytes.chunks(READ) {
                        buffer.clear();
                        buffer.extend_from_slice(part);
                        for payload in buffer.chunks_mut(size) {
                            Mask::new([1, 2, 3, 4]).apply(payload);
                            black_box(opcode == OpCode::Text && utf8::is_valid(payload));
                        }
                    }
                });
            });
            group.bench_function(BenchmarkId::new("lent", size), |bencher| {
                let mut server = server();
                bencher.iter(|| {
                    turn(&mut server, &bytes, |event| {
                        black_box(&event);
                    });
                });
            });
            group.bench_function(BenchmarkId::new("owned", size), |bencher| {
                let mut server = server();
                bencher.iter(|| {
                    turn(&mut server, &bytes, |event| match event {
                        Event::Text(text) => drop(black_box(text.into_utf8_bytes())),
                        Event::Binary(data) => drop(black_box(data.into_bytes())),
                        _ => panic!("no other event was sent"),
                    });
                });
            });
        }
    }
}

fn drain(end: &mut Connection) {
    while end.output().has_remaining() {
        let len = black_box(end.output().chunk()).len();
        end.output().advance(len);
    }
}

fn send(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("send");
    for size in SIZES {
        let payload = vec![7; size];
        let owned = Bytes::from(payload.clone());
        let prepared = Prepared::new(owned.clone());
        group.throughput(Throughput::Elements(1));
        for (name, mut end) in [("server", server()), ("client", client())] {
            group.bench_function(BenchmarkId::new(format!("{name}, borrowed"), size), |bencher| {
                bencher.iter(|| {
                    end.binary(black_box(&payload)).unwrap();
                    drain(&mut end);
                });
            });
            group.bench_function(BenchmarkId::new(format!("{name}, owned"), size), |bencher| {
                bencher.iter(|| {
                    end.send(owned.clone()).unwrap();
                    drain(&mut end);
                });
            });
            group.bench_function(BenchmarkId::new(format!("{name}, prepared"), size), |bencher| {
                bencher.iter(|| {
                    end.prepared(&prepared).unwrap();
                    drain(&mut end);
                });
            });
        }
    }
}

fn echo(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo");
    for size in SIZES {
        let (bytes, count) = frames(OpCode::Binary, size);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("batched", size), |bencher| {
            let mut server = server();
            bencher.iter(|| {
                for part in bytes.chunks(READ) {
                    server.input().put_slice(part);
                    server.handle_input(Timestamp::EPOCH);
                    while let Some((event, send)) = server.poll_with_send().unwrap() {
                        if let Event::Binary(data) = event {
                            send.binary(&data).unwrap();
                        }
                    }
                    drain(&mut server);
                }
            });
        });
    }
}

criterion_group!(benches, receive, send, echo);
criterion_main!(benches);
