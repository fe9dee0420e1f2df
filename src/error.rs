//! What can go wrong, sorted by whose fault it is.
//!
//! [`Error`] is a connection that failed: the peer's doing, or the network's. [`SendError`] is a
//! command that the application should not have given; it changes nothing. What fails before there
//! is a connection is a [`HandshakeError`](crate::handshake::HandshakeError).

use core::fmt;

use crate::close::CloseCode;

/// Why a connection failed (RFC 6455 §7.1.7, "_Fail the WebSocket Connection_").
///
/// The first error of a connection is its only one: it is returned again from then on, the matching
/// Close frame is already in the output, and whatever else arrives is dropped.
///
/// ```
/// use sansock::{CloseCode, Error, Violation};
///
/// assert_eq!(Error::Protocol(Violation::Unmasked).close_code(), Some(CloseCode::PROTOCOL_ERROR));
/// assert_eq!(Error::UnexpectedEof.close_code(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke a rule of RFC 6455: close 1002.
    Protocol(Violation),
    /// A text message or a close reason is not UTF-8 (RFC 6455 §8.1): close 1007.
    InvalidUtf8,
    /// A frame or message, be it after inflating, is larger than the [`Config`](crate::Config) allows
    /// (RFC 6455 §10.4): close 1009.
    TooBig,
    /// A compressed message cannot be inflated (RFC 7692 §7.2.2): close 1007, or 1009 for one that asks
    /// for work without end.
    Deflate(DeflateError),
    /// A deadline passed.
    TimedOut(Timer),
    /// The transport ended without a Close frame of either end (RFC 6455 §7.1.5, what is called 1006).
    UnexpectedEof,
}

impl Error {
    /// The status code of the Close frame that this error sends, if it sends one.
    #[must_use]
    pub const fn close_code(self) -> Option<CloseCode> {
        match self {
            Error::Protocol(_) => Some(CloseCode::PROTOCOL_ERROR),
            Error::TooBig | Error::Deflate(DeflateError::ForNothing) => Some(CloseCode::TOO_BIG),
            Error::InvalidUtf8 | Error::Deflate(_) => Some(CloseCode::INVALID_PAYLOAD),
            Error::TimedOut(Timer::Pong) => Some(CloseCode::POLICY),
            Error::TimedOut(Timer::Closing) | Error::UnexpectedEof => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Protocol(violation) => write!(f, "protocol violation: {violation}"),
            Error::InvalidUtf8 => f.write_str("text that is not UTF-8 (RFC 6455 section 8.1)"),
            Error::TooBig => f.write_str("frame or message above the limit (RFC 6455 section 10.4)"),
            Error::Deflate(error) => error.fmt(f),
            Error::TimedOut(timer) => write!(f, "timed out: {timer}"),
            Error::UnexpectedEof => {
                f.write_str("the transport ended without a Close frame (RFC 6455 section 7.1.5)")
            }
        }
    }
}

impl core::error::Error for Error {}

/// Why a compressed message cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeflateError {
    /// The payload is not DEFLATE, or refers to what came before the window (RFC 1951 §3.2).
    Corrupt,
    /// The message ends within a block (RFC 7692 §7.2.1).
    Truncated,
    /// Much more than what it inflates to: 64 KiB and 16 bytes for each inflated one, where each DEFLATE
    /// stream that ends within the message (BFINAL) counts for 512 bytes.
    ForNothing,
}

impl fmt::Display for DeflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeflateError::Corrupt => "compressed message that is not DEFLATE (RFC 1951 section 3.2)",
            DeflateError::Truncated => "compressed message that is cut off (RFC 7692 section 7.2.1)",
            DeflateError::ForNothing => "compressed message with hardly any content (RFC 7692 section 7.2.2)",
        })
    }
}

impl core::error::Error for DeflateError {}

/// A rule of RFC 6455 that the peer's frames broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Violation {
    /// RSV1, RSV2 or RSV3 is set and no extension gave it a meaning (§5.2); or, with permessage-deflate,
    /// RSV1 where no message begins (RFC 7692 §6.1).
    ReservedBits,
    /// An opcode of 3–7 or B–F (§5.2).
    ReservedOpcode,
    /// A Close, Ping or Pong without FIN (§5.5).
    FragmentedControl,
    /// A Close, Ping or Pong of more than 125 bytes (§5.5).
    ControlTooLong,
    /// A payload length that is not in its shortest form (§5.2).
    LengthNotMinimal,
    /// A 64-bit payload length with the most significant bit set (§5.2).
    LengthOutOfRange,
    /// A frame from a client without a mask (§5.1).
    Unmasked,
    /// A frame from a server with a mask (§5.1).
    Masked,
    /// A continuation frame while no message is open (§5.4).
    UnexpectedContinuation,
    /// A new data message inside a fragmented one (§5.4).
    ExpectedContinuation,
    /// A Close frame whose body is a single byte (§5.5.1).
    CloseTooShort,
    /// A Close frame with a status code that no endpoint may send (§7.4).
    CloseCode,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Violation::ReservedBits => "a reserved bit is set (RFC 6455 section 5.2)",
            Violation::ReservedOpcode => "reserved opcode (RFC 6455 section 5.2)",
            Violation::FragmentedControl => "fragmented control frame (RFC 6455 section 5.5)",
            Violation::ControlTooLong => "control frame above 125 bytes (RFC 6455 section 5.5)",
            Violation::LengthNotMinimal => "length not in its shortest form (RFC 6455 section 5.2)",
            Violation::LengthOutOfRange => "length above 2^63 - 1 (RFC 6455 section 5.2)",
            Violation::Unmasked => "unmasked frame from a client (RFC 6455 section 5.1)",
            Violation::Masked => "masked frame from a server (RFC 6455 section 5.1)",
            Violation::UnexpectedContinuation => "continuation of no message (RFC 6455 section 5.4)",
            Violation::ExpectedContinuation => "new message inside a fragmented one (RFC 6455 section 5.4)",
            Violation::CloseTooShort => "Close frame with one byte (RFC 6455 section 5.5.1)",
            Violation::CloseCode => "close code that must not be sent (RFC 6455 section 7.4)",
        })
    }
}

impl core::error::Error for Violation {}

/// Which deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timer {
    /// There was no sign of life within [`Config::pong_timeout`](crate::Config::pong_timeout) of a keepalive
    /// ping.
    Pong,
    /// The closing handshake took longer than [`Config::close_timeout`](crate::Config::close_timeout).
    Closing,
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Timer::Pong => "no answer to a keepalive ping",
            Timer::Closing => "the closing handshake was not finished",
        })
    }
}

/// A command that cannot be carried out; nothing was queued, and the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// A Close frame was sent, and nothing may follow it (RFC 6455 §5.5.1).
    Closed,
    /// A fragmented message is open: end it with `last_fragment` first (RFC 6455 §5.4).
    MessageOpen,
    /// The fragmented message that is open is of the other kind, text or binary (RFC 6455 §5.4).
    KindMismatch,
    /// A ping or pong above 125 bytes, or a close reason above 123 (RFC 6455 §5.5).
    ControlTooLong,
    /// The compressor failed, which it should not: nothing was sent of this message or fragment, and the
    /// next one is not affected (RFC 7692 §7.2.1).
    Compressor,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Closed => "nothing may be sent after a Close frame (RFC 6455 section 5.5.1)",
            SendError::MessageOpen => "a fragmented message is open (RFC 6455 section 5.4)",
            SendError::KindMismatch => "the open message is of the other kind (RFC 6455 section 5.4)",
            SendError::ControlTooLong => "control payload above its limit (RFC 6455 section 5.5)",
            SendError::Compressor => "the compressor failed (RFC 7692 section 7.2.1)",
        })
    }
}

impl core::error::Error for SendError {}
