//! Connections that have agreed on permessage-deflate, and an encoder that can be told everything.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
#![allow(
    dead_code,
    unreachable_pub,
    clippy::must_use_candidate,
    reason = "shared by tests that use parts of it"
)]

use sansock::deflate::{Agreed, Deflate, accept};
use sansock::{Config, Connection, DeflateError, Delivery, Error, Timestamp};

use crate::common::{Seen, masked, plain, sees};

/// First bytes of compressed messages.
pub const TEXT: u8 = 0xc1;
pub const BINARY: u8 = 0xc2;

/// What a server with the defaults agrees to, given this offer's parameters.
pub fn agreed(params: &str) -> Agreed {
    let offer = format!("permessage-deflate{params}");
    accept([offer.as_bytes()], &Deflate::default()).expect("an acceptable offer")
}

pub fn server(config: Config, params: &str) -> Connection {
    Connection::server(config, Timestamp::EPOCH).with_deflate(agreed(params), &Deflate::default())
}

pub fn client(config: Config, params: &str) -> Connection {
    Connection::client(config, [7; 32], Timestamp::EPOCH).with_deflate(agreed(params), &Deflate::default())
}

/// What both roles see of these frames, each a first byte and a payload, in every delivery.
pub fn both_see(frames: &[(u8, &[u8])]) -> Vec<Seen> {
    both_see_with(frames, &Config::default(), "")
}

pub fn both_see_with(frames: &[(u8, &[u8])], config: &Config, params: &str) -> Vec<Seen> {
    let from_client: Vec<u8> = frames.iter().flat_map(|(first, payload)| masked(*first, payload)).collect();
    let from_server: Vec<u8> = frames.iter().flat_map(|(first, payload)| plain(*first, payload)).collect();
    let (server_saw, server_said) = sees(&from_client, || server(config.clone(), params));
    let (client_saw, client_said) = sees(&from_server, || client(config.clone(), params));
    assert_eq!(server_saw, client_saw);
    // Whoever fails the connection says why, last and once.
    if let Some(Seen::Failed(error)) = server_saw.last() {
        let code = error.close_code().unwrap().get().to_be_bytes();
        assert!(server_said.ends_with(&plain(0x88, &code)), "{server_said:x?}");
        let [.., 0x88, 0x82, a, b, _, _, high, low] = client_said[..] else { panic!("{client_said:x?}") };
        assert_eq!([high ^ a, low ^ b], code);
    }
    server_saw
}

pub fn fails(error: DeflateError) -> Vec<Seen> {
    vec![Seen::Failed(Error::Deflate(error))]
}

pub fn limited(max_message: u64) -> Config {
    let mut config = Config::default();
    config.max_message = max_message;
    config
}

pub fn chunks() -> Config {
    let mut config = Config::default();
    (config.delivery, config.max_message) = (Delivery::Chunks, u64::MAX);
    config
}

/// Bytes that do not compress.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..len).map(next).collect()
}

/// How a peer compresses: zlib-rs itself, with a window of its own.
pub struct Encoder {
    pub codec: zlib_rs::Deflate,
    pub takes_over: bool,
}

impl Encoder {
    pub fn new(level: i32, window_bits: u8, takes_over: bool) -> Self {
        Encoder { codec: zlib_rs::Deflate::new(level, false, window_bits), takes_over }
    }

    /// One that takes over, and has no codes but those that RFC 1951 §3.2.6 gives.
    pub fn fixed() -> Self {
        let config = zlib_rs::DeflateConfig {
            window_bits: -15,
            strategy: zlib_rs::Strategy::Fixed,
            ..zlib_rs::DeflateConfig::default()
        };
        Encoder { codec: zlib_rs::Deflate::new_with_config(config), takes_over: true }
    }

    /// A part of a message and a flush, tail included.
    pub fn flush(&mut self, part: &[u8]) -> Vec<u8> {
        self.run(part, zlib_rs::DeflateFlush::SyncFlush)
    }

    /// A message, without the tail.
    pub fn message(&mut self, payload: &[u8]) -> Vec<u8> {
        if !self.takes_over {
            self.codec.reset();
        }
        let mut bytes = self.flush(payload);
        assert!(bytes.ends_with(&[0, 0, 0xff, 0xff]));
        bytes.truncate(bytes.len() - 4);
        bytes
    }

    pub fn run(&mut self, part: &[u8], flush: zlib_rs::DeflateFlush) -> Vec<u8> {
        let mut out = vec![0; part.len() + part.len() / 100 + 1000];
        let (read, written) = (self.codec.total_in(), self.codec.total_out());
        self.codec.compress(part, &mut out, flush).expect("a valid state");
        assert_eq!(self.codec.total_in() - read, part.len() as u64);
        out.truncate(usize::try_from(self.codec.total_out() - written).expect("it fits"));
        out
    }
}
