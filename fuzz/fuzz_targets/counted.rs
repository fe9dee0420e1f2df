//! How much memory machines own, counted by the allocator of this process.

#![allow(dead_code, unused_imports, reason = "shared by targets that use parts of it")]

#[path = "../../tests/common/counting.rs"]
mod counting;

pub use counting::{allocations, held};
