//! Item 90: masking keys. That they are a stream of their own for each seed, that what was seen of it does not
//! tell the next one, and that no two of a connection's copies have the same.

use std::collections::HashSet;

use bytes::Buf;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sansock::handshake::client::{ClientRequest, Handshake};
use sansock::{Config, Connection, SendHalf, Timestamp};

use super::taken;
use crate::common::output;

const NOW: Timestamp = Timestamp::EPOCH;

fn client(seed: [u8; 32]) -> Connection {
    Connection::client(Config::default(), seed, NOW)
}

/// The keys of the frames in this output, all of which are of 4 bytes.
fn keys_in(bytes: &[u8]) -> Vec<u32> {
    let (frames, rest) = bytes.as_chunks::<10>();
    assert!(rest.is_empty());
    frames.iter().map(|&[_, _, a, b, c, d, ..]| u32::from_le_bytes([a, b, c, d])).collect()
}

/// The keys of the next `count` frames of a client.
fn keys(client: &mut Connection, count: usize) -> Vec<u32> {
    (0..count).for_each(|_| client.binary(&[0; 4]).unwrap());
    keys_in(&output(client))
}

/// The length of the shortest linear feedback shift register that gives these bits (Berlekamp and Massey).
fn linear_complexity(bits: &[bool]) -> usize {
    let (mut now, mut before) = (vec![false; bits.len()], vec![false; bits.len()]);
    (now[0], before[0]) = (true, true);
    let (mut length, mut since) = (0, 1);
    for i in 0..bits.len() {
        let is_off = (0..=length).fold(false, |sum, j| sum ^ (now[j] && bits[i - j]));
        if is_off {
            let kept = now.clone();
            for j in since..bits.len() {
                now[j] ^= before[j - since];
            }
            if 2 * length <= i {
                (length, before, since) = (i + 1 - length, kept, 0);
            }
        }
        since += 1;
    }
    length
}

#[test]
fn hostile_90_a_thousand_keys_do_not_tell_the_next() {
    // Registers and generators of the usual kinds are short in some bit: then the complexity is that of the
    // generator's state. Of unpredictable bits it is half of how many there are.
    for seed in [[0; 32], [7; 32], std::array::from_fn(|i| u8::try_from(i).unwrap())] {
        let seen = keys(&mut client(seed), 1000);
        assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len(), "none comes twice");
        for bit in 0..32 {
            let bits: Vec<bool> = seen.iter().map(|key| key >> bit & 1 == 1).collect();
            let complexity = linear_complexity(&bits);
            assert!((480..=520).contains(&complexity), "bit {bit} has a complexity of {complexity}");
        }
        // Nor is the difference of two keys, or what one adds to another, ever that of the next two.
        for between in [|a: u32, b: u32| a ^ b, |a: u32, b: u32| b.wrapping_sub(a)] {
            let steps: HashSet<_> = seen.windows(2).map(|pair| between(pair[0], pair[1])).collect();
            assert_eq!(steps.len(), seen.len() - 1);
        }
    }
}

#[test]
fn hostile_90_the_measure_sees_a_weak_generator() {
    let mut state = 1_u32;
    let mut shifting = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let bits: Vec<bool> = (0..1000).map(|_| shifting() & 1 == 1).collect();
    assert_eq!(linear_complexity(&bits), 32);
    let mut state = 1_u32;
    let mut congruential = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state
    };
    let bits: Vec<bool> = (0..1000).map(|_| congruential() & 1 == 1).collect();
    assert_eq!(linear_complexity(&bits), 2);
}

#[test]
fn hostile_90_keys_are_a_cryptographic_stream_of_the_seed() {
    // rand names its `StdRng` a secure generator, whichever that is.
    fn is_secure(_: &impl rand::CryptoRng) {}
    let mut stream = StdRng::from_seed([42; 32]);
    is_secure(&stream);
    let expected: Vec<u32> = (0..1000).map(|_| stream.next_u32()).collect();
    assert_eq!(keys(&mut client([42; 32]), 1000), expected);
}

#[test]
fn hostile_90_no_two_seeds_share_a_key() {
    // By chance, among so many keys of 32 bits, one in 4,000 sets of seeds would: these do not.
    let mut all = HashSet::new();
    for byte in 0..32 {
        for bit in 0..8 {
            // They differ in one bit.
            let mut seed = [0; 32];
            seed[byte] = 1 << bit;
            assert!(keys(&mut client(seed), 5).into_iter().all(|key| all.insert(key)), "{seed:?}");
        }
    }
}

#[test]
fn hostile_90_a_seed_that_is_used_twice_gives_the_same_keys() {
    // What the documentation of `Connection::client` and of the handshake leaves to the caller.
    let (mut one, mut other) = (client([9; 32]), client([9; 32]));
    assert_eq!(keys(&mut one, 100), keys(&mut other, 100));
    let request = || Handshake::new(ClientRequest::new("ws://a/").unwrap(), Config::default(), [9; 32], NOW);
    assert_eq!(request().output().chunk(), request().output().chunk());
}

#[test]
fn hostile_90_the_key_of_the_handshake_tells_no_masking_key() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use bytes::BufMut;
    use sansock::handshake::client::Outcome;
    use sansock::handshake::server;

    let mut client = Handshake::new(ClientRequest::new("ws://a/").unwrap(), Config::default(), [9; 32], NOW);
    let request = taken(client.output());
    let mut server = server::Handshake::new(Config::default(), NOW);
    server.input().put_slice(&request);
    let request = server.poll().unwrap().unwrap();
    let nonce = STANDARD.decode(request.header("sec-websocket-key").unwrap()).unwrap();
    assert_eq!(nonce.len(), 16);
    client.input().put(request.accept(server::Accept::new(), NOW).unwrap().output());
    let Some(Outcome::Established(established)) = client.poll().unwrap() else { panic!("refused") };
    let keys = keys(&mut established.into_connection(NOW), 1000);
    let in_nonce: HashSet<_> =
        nonce.windows(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap())).collect();
    assert!(keys.iter().all(|key| !in_nonce.contains(key)));
}

#[test]
fn hostile_90_a_second_sending_half_has_keys_of_its_own() {
    let (_, mut send) = client([9; 32]).split();
    let mut halves: Vec<SendHalf> = (0..10).map(|_| send.fork()).collect();
    let mut of_a_fork = halves[0].fork();
    let mut all = HashSet::new();
    for half in halves.iter_mut().chain([&mut send, &mut of_a_fork]) {
        (0..100).for_each(|_| half.binary(&[0; 4]).unwrap());
        let bytes = half.output().copy_to_bytes(1000);
        assert!(keys_in(&bytes).into_iter().all(|key| all.insert(key)));
    }
}

/// Whether a type can be cloned: if it can, `check` is ambiguous, and this does not compile.
trait NotClone<Marker> {
    fn check() {}
}

struct Cloneable;

impl<T> NotClone<()> for T {}
impl<T: Clone> NotClone<Cloneable> for T {}

#[test]
fn hostile_90_keys_cannot_be_copied_within_a_process() {
    <Connection as NotClone<_>>::check();
    <SendHalf as NotClone<_>>::check();
    <Handshake as NotClone<_>>::check();
}

#[test]
fn hostile_90_a_log_does_not_tell_keys() {
    let debug = |seed| {
        let mut client = client(seed);
        client.text("x").unwrap();
        output(&mut client);
        let handshake = Handshake::new(ClientRequest::new("ws://a/").unwrap(), Config::default(), seed, NOW);
        format!("{client:?} {handshake:?}")
    };
    assert_eq!(debug([1; 32]), debug([2; 32]));
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn hostile_90_each_connection_of_a_shim_has_a_seed_of_its_own() {
    use sansock::handshake::server::Accept;
    use sansock::tokio::{accept_request, connect_over};

    let (mut keys, mut nonces) = (HashSet::new(), HashSet::new());
    for _ in 0..20 {
        let (near, far) = tokio::io::duplex(1 << 12);
        let serving = async {
            let incoming = accept_request(far, Config::default()).await.unwrap();
            let nonce = incoming.request().unwrap().header("sec-websocket-key").unwrap().to_vec();
            (incoming.accept(Accept::new()).await.unwrap(), nonce)
        };
        let request = ClientRequest::new("ws://example.com/").unwrap();
        let (client, (_server, nonce)) =
            tokio::join!(connect_over(near, request, Config::default()), serving);
        assert!(nonces.insert(nonce));
        assert!(self::keys(client.unwrap().connection_mut(), 10).into_iter().all(|key| keys.insert(key)));
    }
}

#[cfg(feature = "std")]
#[test]
fn hostile_90_each_connection_of_a_blocking_shim_has_a_seed_of_its_own() {
    use sansock::blocking::{accept_request, connect};
    use sansock::handshake::server::Accept;

    const CONNECTIONS: usize = 20;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let mut nonces = HashSet::new();
        for _ in 0..CONNECTIONS {
            let incoming = accept_request(listener.accept().unwrap().0, Config::default()).unwrap();
            assert!(nonces.insert(incoming.request().unwrap().header("sec-websocket-key").unwrap().to_vec()));
            incoming.accept(Accept::new()).unwrap();
        }
    });
    let mut keys = HashSet::new();
    for _ in 0..CONNECTIONS {
        let mut client = connect(&url, Config::default()).unwrap();
        assert!(self::keys(client.connection_mut(), 10).into_iter().all(|key| keys.insert(key)));
    }
    serving.join().unwrap();
}
