#![cfg_attr(all(feature = "tokio", feature = "deflate"), doc = include_str!("../README.md"))]
#![cfg_attr(
    not(all(feature = "tokio", feature = "deflate")),
    doc = "WebSocket (RFC 6455) as a sans-IO state machine with zero-copy framing."
)]
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "std")]
pub mod blocking;
mod close;
mod config;
mod connection;
mod control;
#[cfg(feature = "deflate")]
pub mod deflate;
#[cfg(not(feature = "deflate"))]
#[path = "no_deflate.rs"]
mod deflate;
mod error;
pub mod frame;
pub mod handshake;
mod inbox;
pub mod mask;
mod message;
mod output;
mod prepared;
mod reads;
mod receive;
mod send;
#[cfg(feature = "std")]
mod shim;
mod size;
mod spare;
#[cfg(feature = "std")]
mod sync;
mod time;
mod timers;
#[cfg(feature = "tokio")]
pub mod tokio;
pub mod utf8;

pub use close::{CloseCode, CloseFrame, CloseReport, Endpoint};
pub use config::{Config, Delivery};
pub use connection::Connection;
pub use control::Control;
pub use error::{DeflateError, Error, SendError, Timer, Violation};
pub use message::{Binary, Data, Event, Message, Text, Utf8Bytes};
pub use output::Output;
pub use prepared::Prepared;
pub use receive::ReceiveHalf;
pub use send::SendHalf;
pub use spare::Spare;
pub use time::Timestamp;
