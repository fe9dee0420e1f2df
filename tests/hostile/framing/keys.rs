//! Rule G: masking keys. `src/mask.rs` and `tests/exhaustive.rs` check the masking itself.

use std::collections::HashSet;

use bytes::Buf;
use sansock::{Config, Connection, SendHalf, Timestamp};

const FRAMES: usize = 1_000_000;

/// What can be the same by chance among a million keys of 32 bits: 116 pairs on average, and hardly ever half as
/// many more.
const BY_CHANCE: usize = 116 * 3 / 2;

fn client(seed: [u8; 32]) -> Connection {
    Connection::client(Config::default(), seed, Timestamp::EPOCH)
}

/// The keys of the next `count` frames: of empty pings, so that the output is headers and keys.
fn keys(send: &mut SendHalf, count: usize) -> Vec<u32> {
    let mut keys = Vec::with_capacity(count);
    while keys.len() < count {
        for _ in 0..1000.min(count - keys.len()) {
            send.ping(b"").unwrap();
        }
        let output = send.output();
        while output.has_remaining() {
            let mut frame = [0; 6];
            output.copy_to_slice(&mut frame);
            assert_eq!(frame[..2], [0x89, 0x80]);
            keys.push(u32::from_be_bytes([frame[2], frame[3], frame[4], frame[5]]));
        }
    }
    keys
}

/// How many of `keys` are the same as another one.
fn repeated(mut keys: Vec<u64>) -> usize {
    keys.sort_unstable();
    keys.windows(2).filter(|pair| pair[0] == pair[1]).count()
}

/// Single keys are the same by chance, but no two that follow each other.
fn assert_distinct(keys: &[u32]) {
    let twice = repeated(keys.iter().copied().map(u64::from).collect());
    assert!(twice <= BY_CHANCE, "{twice} keys twice");
    assert_eq!(
        repeated(keys.windows(2).map(|pair| u64::from(pair[0]) << 32 | u64::from(pair[1])).collect()),
        0
    );
}

#[test]
fn rule_g_a_million_keys_are_distinct_as_far_as_chance_allows() {
    let mut connection = client([7; 32]);
    assert_distinct(&keys(connection.halves().1, FRAMES));
}

#[test]
fn rule_g_every_byte_of_a_million_keys_is_uniform() {
    let mut connection = client([7; 32]);
    let keys = keys(connection.halves().1, FRAMES);
    for at in 0..4 {
        let mut counts = [0_u32; 256];
        for key in &keys {
            counts[usize::from(key.to_be_bytes()[at])] += 1;
        }
        // Chi-square of 255 degrees of freedom: 255 on average, with a standard deviation of 22.6.
        let expected = f64::from(u32::try_from(FRAMES).unwrap()) / 256.0;
        let chi_square: f64 =
            counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        assert!((165.0..345.0).contains(&chi_square), "byte {at}: {chi_square}");
    }
}

#[test]
fn rule_g_no_keys_are_used_again_after_a_reconnect_with_another_seed() {
    let mut other = [7; 32];
    other[31] ^= 1;
    let both = [[7; 32], other].map(|seed| keys(client(seed).halves().1, FRAMES / 4));
    assert_distinct(&both.concat());
}

#[test]
fn rule_g_a_forked_sending_half_has_keys_of_its_own() {
    let (_, mut send) = client([7; 32]).split();
    let mut fork = send.fork();
    let mut again = send.fork();
    let all = [&mut send, &mut fork, &mut again].map(|half| keys(half, FRAMES / 4));
    assert_distinct(&all.concat());
}

#[test]
fn rule_g_every_kind_of_frame_takes_a_key_of_its_own() {
    let mut connection = client([7; 32]);
    let mut seen = HashSet::new();
    for _ in 0..100 {
        connection.text("").unwrap();
        connection.binary(b"").unwrap();
        connection.send("").unwrap();
        connection.prepared(&sansock::Prepared::new("")).unwrap();
        connection.fragment("").unwrap();
        connection.last_fragment("").unwrap();
        connection.ping(b"").unwrap();
        connection.pong(b"").unwrap();
        while connection.output().has_remaining() {
            let mut frame = [0; 6];
            connection.output().copy_to_slice(&mut frame);
            assert!(seen.insert([frame[2], frame[3], frame[4], frame[5]]), "a key twice in 800");
        }
    }
    assert_eq!(seen.len(), 800);
}

/// Asks for a type parameter that is only clear for a type that is not `Clone`.
trait IsNotClone<Ambiguous> {
    fn holds() {}
}

impl<T> IsNotClone<()> for T {}

struct ForClone;

impl<T: Clone> IsNotClone<ForClone> for T {}

#[test]
fn rule_g_nothing_that_holds_keys_can_be_cloned() {
    // This compiles because there is only one way to read each line.
    <Connection as IsNotClone<_>>::holds();
    <SendHalf as IsNotClone<_>>::holds();
}
