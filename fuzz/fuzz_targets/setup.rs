//! A connection as an input wants it.
//!
//! Three bytes:
//!
//! 1. switches: 1 permessage-deflate, 2 without context takeover, 4 chunks, 8 a limit for messages, 16 one
//!    for frames, 32 an idle timeout, 64 the transport ends behind the input, 128 events are owned;
//! 2. the limit: the message's, in bytes; the frame's is half of it;
//! 3. the high-water mark, in units of 8 bytes.

#![allow(dead_code, reason = "shared by targets that use parts of it")]

use std::time::Duration;

use sansock::deflate::{Agreed, Deflate};
use sansock::{Config, Connection, Delivery, Timestamp};

use crate::input::Input;
use crate::position::Allowed;

pub struct Setup {
    pub is_client: bool,
    pub agreed: Option<Agreed>,
    pub config: Config,
    pub ends: bool,
    pub are_owned: bool,
}

/// The largest message without a limit of the input's: above what an input can be, for bombs to be found out.
pub const LIMIT: u64 = 64 << 10;

impl Setup {
    pub fn read(input: &mut Input<'_>, is_client: bool) -> Self {
        let switches = input.byte();
        let has = |bit| switches & bit != 0;
        let (limit, high_water) = (u64::from(input.byte()), usize::from(input.byte()));
        let mut agreed = Agreed::default();
        agreed.server_no_context_takeover = has(2);
        agreed.client_no_context_takeover = has(2);
        let mut config = Config::default();
        config.delivery = if has(4) { Delivery::Chunks } else { Delivery::Messages };
        config.max_message = if has(8) { limit } else { LIMIT };
        config.max_frame = has(16).then_some(limit / 2);
        config.idle_timeout = has(32).then_some(Duration::from_secs(50));
        config.output_high_water = 8 * high_water;
        let agreed = has(1).then_some(agreed);
        Setup { is_client, agreed, config, ends: has(64), are_owned: has(128) }
    }

    pub fn connection(&self, delivery: Delivery) -> Connection {
        let mut config = self.config.clone();
        config.delivery = delivery;
        let connection = if self.is_client {
            Connection::client(config, [7; 32], Timestamp::EPOCH)
        } else {
            Connection::server(config, Timestamp::EPOCH)
        };
        match self.agreed {
            Some(agreed) => connection.with_deflate(agreed, &Deflate::default()),
            None => connection,
        }
    }

    /// What the peer may send.
    pub fn allowed(&self) -> Allowed {
        Allowed { deflate: self.agreed.is_some(), mask: !self.is_client, max_message: self.max_message() }
    }

    /// How long its messages may be.
    pub fn max_message(&self) -> usize {
        usize::try_from(self.config.max_message).expect("it is small")
    }

    /// Whether the peer's messages may refer to earlier ones.
    pub fn takes_over(&self) -> bool {
        self.agreed.is_some_and(|agreed| !agreed.server_no_context_takeover)
    }
}
