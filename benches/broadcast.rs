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
//!
//! `over TCP` are sockets of the blocking shim on the loopback; the floor writes the bytes of the frame to the
//! same kind of sockets. They need two file descriptors each: `ulimit -n 4096`.
#![allow(clippy::unwrap_used, reason = "a benchmark")]

mod common;

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{drain, per_message, server};
use criterion::{Bencher, BenchmarkId, Criterion, criterion_group, criterion_main};
use sansock::blocking::WebSocket;
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

/// How many sockets are written to, one after the other.
const SOCKETS: usize = 1000;

fn over_tcp(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("broadcast 125 over TCP");
    let prepared = Prepared::new(vec![7; 125]);
    let mut frame = vec![0x82, 125];
    frame.extend_from_slice(&[7; 125]);
    group.bench_function(BenchmarkId::new("floor, written", SOCKETS), |bencher| {
        let (mut streams, mut peers) = sockets();
        sent_and_taken(bencher, &mut peers, frame.len(), || {
            for stream in &mut streams {
                stream.write_all(&frame).unwrap();
            }
        });
    });
    group.bench_function(BenchmarkId::new("prepared", SOCKETS), |bencher| {
        let (streams, mut peers) = sockets();
        let over = |stream| WebSocket::over(stream, server());
        let mut sockets: Vec<_> = streams.into_iter().map(over).collect();
        sent_and_taken(bencher, &mut peers, frame.len(), || {
            for socket in &mut sockets {
                socket.connection_mut().prepared(&prepared).unwrap();
                socket.flush().unwrap();
            }
        });
    });
}

/// Connected pairs.
fn sockets() -> (Vec<TcpStream>, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let pair = || (TcpStream::connect(listener.local_addr().unwrap()).unwrap(), listener.accept().unwrap().0);
    (0..SOCKETS).map(|_| pair()).unzip()
}

/// Times `send`, which sends to all, for each of them; not that the peers take what was sent.
fn sent_and_taken(bencher: &mut Bencher<'_>, peers: &mut [TcpStream], len: usize, mut send: impl FnMut()) {
    let mut taken = vec![0; len];
    bencher.iter_custom(|iterations| {
        let turns = iterations.div_ceil(SOCKETS as u64);
        let mut time = Duration::ZERO;
        for _ in 0..turns {
            let started = Instant::now();
            send();
            time += started.elapsed();
            for peer in &mut *peers {
                peer.read_exact(&mut taken).unwrap();
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let asked_for = iterations as f64 / (turns * SOCKETS as u64) as f64;
        time.mul_f64(asked_for)
    });
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
    targets = small, large, over_tcp
}
criterion_main!(benches);
