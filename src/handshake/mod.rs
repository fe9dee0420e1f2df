//! The opening handshake (RFC 6455 §4), without any I/O.
//!
//! It is linear and happens once, so each step is a type of its own. Wrong steps do not compile.
//!
//! ```text
//! server::Handshake ─ poll ─┬─► Request ──┬─ accept ─► Connection   the 101 is in its output
//!                           │             └─ reject ─► Output       any other status
//!                           └─► Rejection ─ respond ─► Output       not a WebSocket request
//!
//! client::Handshake ─ poll ─┬─► Established ─ into_connection ─► Connection
//!                           ├─► Refused                          any status but 101
//!                           └─► HandshakeError                   no such protocol over there
//! ```
//!
//! Both ends drive theirs in the same way: append what the transport gave to `input()`, call `poll()`
//! until it has something to say, and keep the deadline of `poll_timeout()`. Frames that arrive
//! together with the head are in the input of the connection; none are lost.
//!
//! ```
//! use bytes::{Buf, BufMut};
//! use sansock::handshake::client::{self, ClientRequest, Outcome};
//! use sansock::handshake::server::{self, Accept};
//! use sansock::{Config, Timestamp};
//!
//! let now = Timestamp::EPOCH;
//! let request = ClientRequest::new("ws://example.com/chat?room=1")?.protocol("v2.chat")?;
//! let mut client = client::Handshake::new(request, Config::default(), [7; 32], now);
//! let mut server = server::Handshake::new(Config::default(), now);
//!
//! server.input().put_slice(client.output().chunk());
//! let request = server.poll()?.expect("the whole request is there");
//! assert_eq!((request.path(), request.query()), ("/chat", Some("room=1")));
//! let mut server = request.accept(Accept::new().protocol("v2.chat"), now)?;
//!
//! client.input().put_slice(server.output().chunk());
//! let Some(Outcome::Established(established)) = client.poll()? else { panic!("refused") };
//! assert_eq!(established.protocol(), Some("v2.chat"));
//! let mut client = established.into_connection(now);
//! client.text("hello")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod client;
mod error;
pub mod extension;
mod field;
mod head;
mod intake;
mod negotiated;
mod response;
pub mod server;
mod uri;

use alloc::string::String;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

pub use error::{HandshakeError, InvalidHeader, InvalidStatus};
pub use head::{HeaderIter, Headers};
pub use response::Response;

/// The value of `Sec-WebSocket-Accept` that answers a value of `Sec-WebSocket-Key`.
///
/// It is for those who read the request with an HTTP library of their own; the machines of this
/// module call it themselves.
///
/// ```
/// use sansock::handshake::accept_key;
///
/// assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
#[must_use]
pub fn accept_key(key: &str) -> String {
    // RFC 6455 §4.2.2: "concatenating /key/ [...] with the string
    // "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", taking the SHA-1 hash of this concatenated value to
    // obtain a 20-byte value and base64-encoding [...] this 20-byte hash."
    let hash = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    STANDARD.encode(hash)
}
