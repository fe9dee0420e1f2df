//! A message that is encoded once and sent to many.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::deflate::WindowBits;
#[cfg(feature = "deflate")]
use crate::deflate::{Deflate, Deflating, Part};
#[cfg(feature = "deflate")]
use crate::frame::Reserved;
use crate::frame::{Header, MAX_HEADER, OpCode};
use crate::message::Message;

/// A message as one encoded frame. From 4 KiB on each receiver of a server costs a reference count,
/// below that a copy, as it would anyway; cloning it costs a reference count.
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
    plain: Encoded,
    compressed: Option<(Encoded, WindowBits)>,
}

/// A message as one unmasked frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    header: Header,
    payload_at: usize,
    frame: Bytes,
}

impl Prepared {
    /// Encodes a message. Connections that compress do so each for itself.
    #[must_use]
    pub fn new(message: impl Into<Message>) -> Self {
        let message = message.into();
        let opcode = opcode(&message);
        let payload = message.as_bytes();
        Prepared { plain: Encoded::new(Header::of_data(opcode, payload.len()), payload), compressed: None }
    }

    /// Encodes a message, and compresses it once for all connections without context takeover whose
    /// window is not smaller than [`Deflate::send_window`]. Others compress it each for itself.
    ///
    /// ```
    /// use bytes::Buf;
    /// use sansock::deflate::{Deflate, accept};
    /// use sansock::{Config, Connection, Prepared, Timestamp};
    ///
    /// let mut deflate = Deflate::default();
    /// deflate.send_takeover = false;
    /// let news = Prepared::with_deflate("news ".repeat(100), &deflate);
    ///
    /// let agreed = accept([&b"permessage-deflate"[..]], &deflate).expect("a plain offer");
    /// let connection = Connection::server(Config::default(), Timestamp::EPOCH);
    /// let mut connection = connection.with_deflate(agreed, &deflate);
    /// connection.prepared(&news)?;
    /// assert!(connection.buffered() < 30);
    /// # Ok::<(), sansock::SendError>(())
    /// ```
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn with_deflate(message: impl Into<Message>, deflate: &Deflate) -> Self {
        let message = message.into();
        let opcode = opcode(&message);
        let mut prepared = Prepared::new(message);
        let mut deflating = Deflating::alone(deflate);
        if deflating.suits(prepared.payload().len()) {
            let mut compressed = None;
            // If it fails, and it should not, each connection tries for itself.
            let _ = deflating.compress(prepared.payload(), Part::Last, |payload| {
                let header = Header::of_data(opcode, payload.len()).reserved(Reserved::RSV1);
                compressed = Some((Encoded::new(header, payload), deflate.compressor_window()));
            });
            prepared.compressed = compressed;
        }
        prepared
    }

    /// The payload of the message.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.plain.payload()
    }

    pub(crate) fn plain(&self) -> &Encoded {
        &self.plain
    }

    /// The form that needs no context, and the window to inflate it with.
    pub(crate) fn compressed(&self) -> Option<(&Encoded, WindowBits)> {
        self.compressed.as_ref().map(|(encoded, window)| (encoded, *window))
    }
}

fn opcode(message: &Message) -> OpCode {
    match message {
        Message::Text(_) => OpCode::Text,
        Message::Binary(_) => OpCode::Binary,
    }
}

impl Encoded {
    fn new(header: Header, payload: &[u8]) -> Self {
        let mut frame = Vec::with_capacity(MAX_HEADER + payload.len());
        header.encode(&mut frame);
        let payload_at = frame.len();
        frame.extend_from_slice(payload);
        Encoded { header, payload_at, frame: frame.into() }
    }

    pub(crate) fn header(&self) -> Header {
        self.header
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.frame.get(self.payload_at..).unwrap_or_default()
    }

    pub(crate) fn frame(&self) -> &Bytes {
        &self.frame
    }
}
