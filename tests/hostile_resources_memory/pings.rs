//! Rule D: a peer pings, and never reads.

use bytes::BufMut;
use sansock::{Config, Connection, Timestamp, blocking, tokio};

use crate::common::{Seen, feed, output};
use crate::counting::held;
use crate::io::{guard, poll_once};
use crate::transport::Endless;
use crate::{ROLES, runtime};

const MILLION: usize = 1_000_000;

/// What one turn brings: a thousand pings.
fn pings(encode: fn(u8, &[u8]) -> Vec<u8>, payload: &[u8]) -> Vec<u8> {
    encode(0x89, payload).repeat(1000)
}

/// Both ends of what a ping may carry.
const PAYLOADS: [&[u8]; 2] = [b"", &[7; 125]];

fn take(connection: &mut Connection, bytes: &[u8]) {
    connection.input().put_slice(bytes);
    connection.handle_input(Timestamp::EPOCH);
    while connection.poll_event().unwrap().is_some() {}
    connection.handle_would_block();
}

#[test]
fn rule_d_the_pong_that_waits_takes_256_bytes_and_the_others_a_kibibyte() {
    for (new, encode, _) in ROLES {
        for payload in PAYLOADS {
            let (one, thousand) = (encode(0x89, payload), pings(encode, payload));
            let mut connection = new(Config::default());
            // The first take their place in the output, until it is full.
            let ((), queued, _) = held(|| {
                let mut before = usize::MAX;
                while connection.buffered() != before {
                    before = connection.buffered();
                    take(&mut connection, &one);
                }
            });
            assert!((100..=1 << 10).contains(&connection.buffered()), "{}", connection.buffered());
            assert!(queued <= 3 << 10, "{queued}");
            // The next one waits.
            let ((), slot, _) = held(|| take(&mut connection, &one));
            assert!(slot <= 256, "{slot}");
            // And a million more take its place. A driver that does not ask whether to read reads on.
            let turns = if payload.is_empty() { 10 } else { MILLION / 1000 };
            let ((), kept, _) = held(|| (0..turns).for_each(|_| take(&mut connection, &thousand)));
            assert!(kept <= 256 && connection.buffered() <= 1 << 10, "{kept}");
        }
    }
}

#[test]
fn rule_d_the_newest_ping_is_answered_and_a_close_once() {
    for (new, encode, peer) in ROLES {
        let mut connection = new(Config::default());
        take(&mut connection, &pings(encode, b"old"));
        take(&mut connection, &encode(0x89, b"newest"));
        let mut peer_of_pings = peer(Config::default());
        let heard = feed(&mut peer_of_pings, &output(&mut connection), &[usize::MAX]);
        assert_eq!(heard.last(), Some(&Seen::Pong(b"newest".into())));
        assert!(heard.len() <= 100, "{}", heard.len());

        let mut connection = new(Config::default());
        take(&mut connection, &pings(encode, b"old"));
        let closes = [encode(0x88, b"\x03\xe8"), pings(encode, b"late"), encode(0x88, b"\x03\xe9")].concat();
        take(&mut connection, &closes);
        let mut peer = peer(Config::default());
        let heard = feed(&mut peer, &output(&mut connection), &[usize::MAX]);
        let [pongs @ .., Seen::End] = &heard[..] else { panic!("{heard:?}") };
        assert!(pongs.len() <= 100 && pongs.iter().all(|seen| *seen == Seen::Pong(b"old".into())));
        assert_eq!(peer.closed().unwrap().received.unwrap().code().get(), 1000);
    }
}

/// One of the shims, over a peer that floods and takes nothing.
trait Socket {
    /// Takes events until the transport would block.
    fn run(&mut self);
}

impl Socket for tokio::WebSocket<Endless> {
    fn run(&mut self) {
        while let Some(next) = poll_once(self.next()) {
            next.unwrap();
        }
    }
}

impl Socket for blocking::WebSocket<Endless> {
    fn run(&mut self) {
        while self.next().is_ok() {}
    }
}

/// Has a million pings wait for a socket whose peer takes nothing.
fn flood<S: Socket>(over: impl Fn(Endless, Connection) -> S) {
    for (new, encode, _) in ROLES {
        for payload in PAYLOADS {
            let period = pings(encode, payload);
            let all = (period.len() * MILLION / 1000) as u64;
            // What the thread has for all connections is there already.
            over(Endless::new(b"", &period, 100_000), new(Config::default())).run();
            let peer = Endless::new(b"", &period, all);
            let mut socket = over(peer.clone(), new(Config::default()));
            let ((), kept, peak) = held(|| (0..100).for_each(|_| socket.run()));
            // As many pongs as there is room for, and those that were left out.
            let enough = 2 * Config::default().output_high_water as u64;
            assert!(peer.read() < enough, "{} of {all} bytes", peer.read());
            assert!(kept <= 4 << 10 && peak <= 64 << 10, "{kept} bytes, {peak} bytes");
            let reads = peer.reads();
            (0..1000).for_each(|_| socket.run());
            assert_eq!(peer.reads(), reads, "reads have stopped");
            // They go on once the peer takes what it asked for.
            let _slow = peer.clone().takes(100);
            (0..1000).for_each(|_| socket.run());
            assert!(peer.reads() > reads);
        }
    }
}

#[test]
fn rule_d_a_million_pings_stop_the_reads_of_a_tokio_socket() {
    let _guard = guard();
    let runtime = runtime();
    let _entered = runtime.enter();
    flood(tokio::WebSocket::over);
}

#[test]
fn rule_d_a_million_pings_stop_the_reads_of_a_blocking_socket() {
    let _guard = guard();
    flood(blocking::WebSocket::over);
}

#[test]
fn rule_d_pings_take_nothing_of_halves_that_read_on() {
    // Whoever writes may be elsewhere: the reading half never waits for it.
    let _guard = guard();
    let runtime = runtime();
    let _entered = runtime.enter();
    for (new, encode, _) in ROLES {
        let period = pings(encode, &[7; 125]);
        let all = (period.len() * 100) as u64;
        for runs_tokio in [true, false] {
            let peer = Endless::new(b"", &period, all);
            let (near, machine) = (peer.clone(), new(Config::default()));
            let (kept, peak) = if runs_tokio {
                let (mut reader, _writer) =
                    tokio::WebSocket::over(near, machine).split_with(|io| (io.clone(), io));
                let ((), kept, peak) = held(|| {
                    while peer.read() < all {
                        let _waits = poll_once(reader.next());
                    }
                });
                (kept, peak)
            } else {
                let (mut reader, _writer) =
                    blocking::WebSocket::over(near, machine).split_with(|io| (io.clone(), io));
                let ((), kept, peak) = held(|| while reader.next().is_ok() {});
                (kept, peak)
            };
            assert_eq!(peer.read(), all);
            // Among them the thread's own buffer.
            assert!(kept <= 1 << 20 && peak <= 1 << 20, "{kept} bytes, {peak} bytes");
        }
    }
}
