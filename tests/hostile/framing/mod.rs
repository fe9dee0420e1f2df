//! Items 25 to 43 and rules A, B and G: frames, fragments and masks. `tests/hostile_memory.rs` counts what they
//! keep allocated.

#[path = "../../common/role.rs"]
pub(crate) mod role;

mod fragments;
mod headers;
mod keys;
mod lengths;
mod reads;
#[cfg(feature = "tokio")]
mod turns;
