//! What it costs to receive a message, beside the floor: copying the bytes in and unmasking them with the
//! same code, and for text checking with the same code that it is UTF-8.
//!
//! ```text
//! cargo bench --bench receive
//! ```
//!
//! One iteration is one message, so the time that is printed is the time for a message. A turn is 256 KiB of
//! payload, or one message if that is larger, in reads of 64 KiB that cut frames wherever they end.
//!
//! - `lent`: each message is looked at in the receive buffer.
//! - `owned`: each message is taken out of it and dropped. What that costs on top of `lent` is an allocation,
//!   and up to some length a copy.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

mod common;

use std::hint::black_box;

use common::{Floor, Frames, SIZES, client, look, per_message, server, turn};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sansock::frame::OpCode;
use sansock::{Connection, Event, utf8};

fn masked_binary(criterion: &mut Criterion) {
    receive(criterion, "masked binary", server, |len| Frames::masked(OpCode::Binary, &vec![7; len]));
}

fn unmasked_binary(criterion: &mut Criterion) {
    receive(criterion, "unmasked binary", client, |len| Frames::plain(OpCode::Binary, &vec![7; len]));
}

fn masked_ascii(criterion: &mut Criterion) {
    receive(criterion, "masked text, ASCII", server, |len| Frames::masked(OpCode::Text, &common::ascii(len)));
}

fn masked_multi_byte(criterion: &mut Criterion) {
    receive(criterion, "masked text, multi-byte", server, |len| {
        Frames::masked(OpCode::Text, &common::multi_byte(len))
    });
}

fn receive(criterion: &mut Criterion, name: &str, end: fn() -> Connection, frames: fn(usize) -> Frames) {
    let mut group = criterion.benchmark_group(format!("receive {name}"));
    let is_text = name.contains("text");
    for size in SIZES {
        let frames = frames(size);
        check(&frames, &mut end());
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("floor", size), |bencher| {
            let mut floor = Floor::default();
            per_message(bencher, frames.count, || {
                floor.turn(&frames, |part| {
                    black_box(!is_text || utf8::is_valid(part));
                });
            });
        });
        group.bench_function(BenchmarkId::new("lent", size), |bencher| {
            let mut end = end();
            per_message(bencher, frames.count, || turn(&mut end, &frames, look));
        });
        group.bench_function(BenchmarkId::new("owned", size), |bencher| {
            let mut end = end();
            per_message(bencher, frames.count, || turn(&mut end, &frames, own));
        });
    }
}

/// The floor must come to the same messages as the connection.
fn check(frames: &Frames, end: &mut Connection) {
    let (mut expected, mut received) = (Vec::new(), Vec::new());
    Floor::default().turn(frames, |part| expected.extend_from_slice(part));
    turn(end, frames, |event| received.extend_from_slice(event.into_message().unwrap().as_bytes()));
    assert!(expected == received);
}

/// Takes a message out of the receive buffer.
fn own(event: Event<'_>) {
    match event {
        Event::Text(text) => drop(black_box(text.into_utf8_bytes())),
        Event::Binary(data) => drop(black_box(data.into_bytes())),
        _ => panic!("no other event was sent"),
    }
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = masked_binary, unmasked_binary, masked_ascii, masked_multi_byte
}
criterion_main!(benches);
