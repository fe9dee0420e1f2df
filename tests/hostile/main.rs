//! Hostile inputs by number: `README.md` in this directory maps each to its tests and outcome.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "tokio")]
#[path = "../io/mod.rs"]
mod io;

mod close;
mod crypto;
#[cfg(feature = "deflate")]
mod deflate;
mod framing;
mod handshake;
#[cfg(feature = "tokio")]
mod resources;
mod utf8;
