//! Items 76, 77, 79 and 80 and rule D of hostile inputs, counted in bytes by an allocator of this test's own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test may panic, and counts in small numbers"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/counting.rs"]
mod counting;
#[path = "../io/mod.rs"]
mod io;

mod flood;
mod handlers;
mod many;
mod pings;
mod slow;
mod transport;

use common::{masked, plain};
use io::{client_machine, server_machine};
use sansock::{Config, Connection};

/// How an endpoint is made, how its peer encodes a frame, and how that peer is made.
type Role = (fn(Config) -> Connection, fn(u8, &[u8]) -> Vec<u8>, fn(Config) -> Connection);

const ROLES: [Role; 2] = [(server_machine, masked, client_machine), (client_machine, plain, server_machine)];

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
