//! Codecs between messages: who finds which one again, and what a pool keeps. Counted in allocations: a codec that
//! has to be made is at least one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    reason = "a test may panic, and counts in small numbers"
)]

mod common;
#[path = "common/counting.rs"]
mod counting;
#[path = "common/deflate.rs"]
mod deflate;

use bytes::Buf;
use common::{drain, give};
use counting::{allocations, held};
use deflate::noise;
use sansock::deflate::{Agreed, Deflate, Pool};
use sansock::{Config, Connection, Timestamp};

/// Connections that share a pool of this capacity.
fn servers<const N: usize>(capacity: usize) -> ([Connection; N], Pool) {
    let pool = Pool::new(capacity);
    let mut deflate = Deflate::default();
    deflate.pool = Some(pool.clone());
    ([(); N].map(|()| common::server().with_deflate(Agreed::default(), &deflate)), pool)
}

/// Sends a message that is like all others.
fn send(server: &mut Connection) {
    server.text(str::from_utf8(&[b'a'; 1000]).unwrap()).unwrap();
    drain(server);
}

/// Lets the connections send so often in this order until all windows are full, and says how many allocations
/// another round takes.
fn round(servers: &mut [Connection], order: &[usize]) -> usize {
    let mut once = || order.iter().for_each(|&index| send(&mut servers[index]));
    (0..100).for_each(|_| once());
    allocations(once)
}

#[test]
fn as_many_connections_as_the_pool_has_room_for_find_their_compressors_again() {
    let (mut servers, _pool) = servers::<4>(3);
    assert_eq!(round(&mut servers, &[0]), 0);
    assert_eq!(round(&mut servers, &[0, 1, 2]), 0);
    assert_eq!(round(&mut servers, &[2, 0, 0, 1]), 0);
    // One more, and there is always somebody without.
    let made = round(&mut servers, &[0, 1, 2, 3]);
    assert!(made > 0);
    // Who has waited longest makes way: these two keep theirs, but for the round in which another comes.
    assert_eq!(round(&mut servers, &[1, 3]), 0);
    assert!(round(&mut servers, &[0, 1, 2, 3]) == made);
}

#[test]
fn who_has_waited_longest_makes_way() {
    let (mut servers, _pool) = servers::<4>(3);
    (0..100).for_each(|_| (0..4).for_each(|index| send(&mut servers[index])));
    // Of 1, 2 and 3 the first makes way for 0, and of 2, 3 and 0 the first for 1.
    send(&mut servers[0]);
    send(&mut servers[1]);
    assert_eq!(allocations(|| [3, 0, 1].iter().for_each(|&index| send(&mut servers[index]))), 0);
    assert!(allocations(|| send(&mut servers[2])) > 0);
}

#[test]
fn a_compressor_is_dropped_with_its_connection_and_its_place_is_anothers() {
    let ([mut one, mut other], pool) = servers::<2>(1);
    send(&mut one);
    let ((), freed, _) = held(|| drop(one));
    assert!(freed < -200_000, "{freed}");
    send(&mut other);
    assert_eq!(round(std::slice::from_mut(&mut other), &[0]), 0);
    let ((), freed, _) = held(|| pool.clear());
    assert!(freed < -200_000, "{freed}");
    // What was cleared comes back with the next message, and stays.
    let ((), made, _) = held(|| send(&mut other));
    assert!(made > 200_000, "{made}");
    assert_eq!(round(std::slice::from_mut(&mut other), &[0]), 0);
}

#[test]
fn a_pool_keeps_as_many_as_it_says_however_many_are_in_use() {
    let mut agreed = Agreed::default();
    agreed.server_no_context_takeover = true;
    for capacity in [0, 1, 3] {
        let pool = Pool::new(capacity);
        let mut deflate = Deflate::default();
        deflate.pool = Some(pool.clone());
        let mut servers = [(); 5].map(|()| common::server().with_deflate(agreed, &deflate));
        // Each has a compressor until its message ends.
        let ((), in_use, _) = held(|| servers.iter_mut().for_each(|server| server.fragment("part").unwrap()));
        let ((), freed, _) = held(|| servers.iter_mut().for_each(|server| server.last_fragment("").unwrap()));
        let kept = (in_use + freed) / (in_use / 5);
        assert_eq!(kept, isize::try_from(capacity).unwrap());
        for server in &mut servers {
            drain(server);
            server.handle_would_block();
        }
        pool.clear();
    }
}

/// A message as a client sends it.
fn message(client: &mut Connection) -> Vec<u8> {
    client.text(&"what all say ".repeat(20)).unwrap();
    let len = client.output().remaining();
    client.output().copy_to_bytes(len).to_vec()
}

#[test]
fn decoders_go_from_one_connection_to_the_next() {
    for takes_over in [true, false] {
        let mut agreed = Agreed::default();
        agreed.client_no_context_takeover = !takes_over;
        let pool = Pool::new(2);
        let mut deflate = Deflate::default();
        deflate.pool = Some(pool.clone());
        let mut servers = [(); 5].map(|()| common::server().with_deflate(agreed, &deflate));
        let mut clients = [(); 5].map(|()| {
            Connection::client(Config::default(), [7; 32], Timestamp::EPOCH)
                .with_deflate(agreed, &Deflate::default())
        });
        let mut once = || {
            let bytes = clients.each_mut().map(message);
            allocations(|| {
                for (server, bytes) in servers.iter_mut().zip(bytes) {
                    give(server, &bytes);
                    assert!(server.poll_event().unwrap().is_some());
                    assert!(server.poll_event().unwrap().is_none());
                }
            })
        };
        let all: Vec<_> = (0..200).map(|_| once()).collect();
        assert_eq!(all[100..], [0; 100], "{takes_over}");
        let ((), freed, _) = held(|| pool.clear());
        // Of 47 KiB each: two, or if none is left in the middle the one that all have had.
        let least = if takes_over { -110_000..-90_000 } else { -55_000..-45_000 };
        assert!(least.contains(&freed), "{takes_over}: {freed}");
    }
}

#[test]
fn a_compressor_keeps_up_to_64_kib_of_room_for_what_comes_out() {
    for (len, room) in [(20_000, 20_000..40_001), (32_000, 32_000..64_001), (300_000, 0..1)] {
        let ([mut server], _pool) = servers::<1>(1);
        // From here on the window is full.
        server.binary(&noise(40_000)).unwrap();
        server.binary(&noise(300_000)).unwrap();
        drain(&mut server);
        server.handle_would_block();
        let ((), kept, _) = held(|| {
            server.binary(&noise(len)).unwrap();
            drain(&mut server);
            server.handle_would_block();
        });
        assert!(room.contains(&kept), "{kept} for {len}");
    }
}
