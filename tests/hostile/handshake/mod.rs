//! Items 1 to 24 and rules E and F: the opening handshake.
//!
//! `tests/handshake_server.rs` and `tests/handshake_client.rs` have the items one by one for the role that
//! they speak of. Here are the same items in the other role, all of them mixed, and what the shims make of
//! them.

#[path = "../../common/opening.rs"]
pub(crate) mod opening;
#[cfg(feature = "tokio")]
#[path = "../../common/serving.rs"]
mod serving;

mod client;
#[cfg(feature = "deflate")]
mod extensions;
mod grammar;
#[cfg(feature = "tokio")]
mod shims;
