//! Another implementation, tungstenite, over a transport in memory.

use std::io::{self, ErrorKind, Read, Write};

use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use crate::frames::Limits;

/// What an endpoint sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The peer's Close frame: its code and reason.
    Close(Option<(u16, String)>),
}

/// How that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// More may come.
    Starved,
    /// After the peer's Close frame.
    Closed,
    /// With the code that tells the peer why.
    Failed(u16),
    /// The transport ended before a Close frame.
    Eof,
}

/// A transport: what was given to it, and what was written.
pub struct Pipe {
    pub input: Vec<u8>,
    /// How many bytes a read brings.
    size: usize,
    pub ends: bool,
    pub output: Vec<u8>,
}

pub struct Other {
    pub socket: WebSocket<Pipe>,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() && !self.ends {
            return Err(ErrorKind::WouldBlock.into());
        }
        let len = self.size.min(into.len()).min(self.input.len());
        into[..len].copy_from_slice(&self.input[..len]);
        self.input.drain(..len);
        Ok(len)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Other {
    pub fn new(is_client: bool, limits: Limits, size: usize) -> Self {
        let role = if is_client { Role::Client } else { Role::Server };
        let config = WebSocketConfig::default()
            .read_buffer_size(512)
            .write_buffer_size(0)
            .max_message_size(usize::try_from(limits.message).ok())
            .max_frame_size(usize::try_from(limits.frame).ok());
        let pipe = Pipe { input: Vec::new(), size, ends: false, output: Vec::new() };
        Other { socket: WebSocket::from_raw_socket(pipe, role, Some(config)) }
    }

    pub fn pipe(&mut self) -> &mut Pipe {
        self.socket.get_mut()
    }

    /// Reads all there is.
    pub fn read_all(&mut self, seen: &mut Vec<Seen>) -> End {
        loop {
            let error = match self.socket.read() {
                Ok(message) => {
                    seen.push(seen_of(message));
                    continue;
                }
                Err(error) => error,
            };
            // An answer to the last message may wait still.
            let _ = self.socket.flush();
            let was_closed = seen.iter().any(|seen| matches!(seen, Seen::Close(_)));
            return match error {
                Error::Io(error) if error.kind() == ErrorKind::WouldBlock && !was_closed => End::Starved,
                Error::Io(error) if error.kind() == ErrorKind::WouldBlock => End::Closed,
                Error::ConnectionClosed | Error::AlreadyClosed => End::Closed,
                // What follows the Close frame.
                Error::Protocol(_) | Error::Capacity(_) if was_closed => End::Closed,
                Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Eof,
                Error::Protocol(_) => End::Failed(1002),
                Error::Utf8(_) => End::Failed(1007),
                Error::Capacity(CapacityError::MessageTooLong { .. }) => End::Failed(1009),
                error => panic!("{error:?}"),
            };
        }
    }
}

pub fn close_frame(code: u16, reason: &str) -> CloseFrame {
    CloseFrame { code: code.into(), reason: reason.into() }
}

fn seen_of(message: Message) -> Seen {
    match message {
        Message::Text(text) => Seen::Text(text.as_bytes().to_vec()),
        Message::Binary(data) => Seen::Binary(data.to_vec()),
        Message::Ping(payload) => Seen::Ping(payload.to_vec()),
        Message::Pong(payload) => Seen::Pong(payload.to_vec()),
        Message::Close(frame) => {
            Seen::Close(frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned())))
        }
        Message::Frame(frame) => panic!("{frame:?}"),
    }
}
