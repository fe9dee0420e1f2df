//! Whole spaces of inputs, one by one, against models that are written from the RFCs.
//!
//! ```sh
//! cargo test --release --all-features --test exhaustive
//! ```
//!
//! takes all of every space; some minutes on two cores, nearly all of it for the strings of four bytes. A debug build,
//! as `cargo test` makes it, takes a sample of each, evenly spread, that is done in seconds: [`sample`] says which.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may panic, and counts in small numbers"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/role.rs"]
mod role;

mod codes;
mod examples;
mod headers;
mod masks;
mod utf8;

/// Every number below `end`; in a debug build every `step`th of them. A step that is prime to the powers of two, as
/// all are here, leaves no byte of the number always the same.
fn sample(end: usize, step: usize) -> impl Iterator<Item = usize> + Clone {
    (0..end).step_by(if cfg!(debug_assertions) { step } else { 1 })
}
