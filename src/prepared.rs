//! A message that is encoded once and sent to many.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::frame::{Header, OpCode};
use crate::message::Message;

/// A message as one encoded frame. Each receiver of a server costs a reference count; cloning it
/// costs another.
///
/// A client can send it too, but must mask it, so it copies.
///
/// ```
/// use bytes::Buf;
/// use sansock::{Config, Connection, Prepared, Timestamp};
///
/// let news = Prepared::new("news");
/// let mut connections = [(); 3].map(|()| Connection::server(Config::default(), Timestamp::EPOCH));
/// for connection in &mut connections {
///     connection.prepared(&news)?;
///     assert_eq!(connection.output().chunk(), b"\x81\x04news");
/// }
/// # Ok::<(), sansock::SendError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    opcode: OpCode,
    payload_at: usize,
    frame: Bytes,
}

impl Prepared {
    /// Encodes a message.
    #[must_use]
    pub fn new(message: impl Into<Message>) -> Self {
        let message = message.into();
        let payload = message.as_bytes();
        let opcode = match &message {
            Message::Text(_) => OpCode::Text,
            Message::Binary(_) => OpCode::Binary,
        };
        let mut frame = Vec::with_capacity(crate::frame::MAX_HEADER + payload.len());
        Header::of_data(opcode, payload.len()).encode(&mut frame);
        let payload_at = frame.len();
        frame.extend_from_slice(payload);
        Prepared { opcode, payload_at, frame: frame.into() }
    }

    /// The payload of the message.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.frame.get(self.payload_at..).unwrap_or_default()
    }

    pub(crate) fn opcode(&self) -> OpCode {
        self.opcode
    }

    /// The whole frame, unmasked.
    pub(crate) fn frame(&self) -> &Bytes {
        &self.frame
    }
}
