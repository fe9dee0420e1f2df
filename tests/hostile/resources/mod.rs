//! Items 76 to 80, 86 to 89 and rule D: resources and the application. Where it is counted in bytes, that is
//! in `tests/hostile_resources_memory/`; item 85 has processes to itself, in `tests/hostile_allocation.rs`.

mod callbacks;
mod panics;
mod settings;
mod time;

use sansock::Connection;

use crate::common::{client, masked, plain, server};

/// An endpoint, how its peer encodes a frame, and that peer.
type Role = (fn() -> Connection, fn(u8, &[u8]) -> Vec<u8>, fn() -> Connection);

const ROLES: [Role; 2] = [(server, masked, client), (client, plain, server)];
