//! Any bytes to a server: see `stream.rs`.

#![no_main]

mod counted;
mod inflated;
mod input;
mod outcome;
mod position;
mod session;
mod setup;
mod stream;
mod wire;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| stream::run(bytes, false));
