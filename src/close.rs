//! Close frames: their codes, their body, and how a connection ended (RFC 6455 §5.5.1, §7).

use core::fmt;
use core::num::NonZeroU16;

use crate::error::{Error, SendError, Violation};

/// A status code that may stand in a Close frame (RFC 6455 §7.4): one that exists is legal.
///
/// These are 1000–1003 and 1007–1014, which are registered, 3000–3999 for libraries and
/// 4000–4999 for applications. 1004, 1005, 1006 and 1015 are never on the wire.
///
/// ```
/// use sansock::CloseCode;
///
/// assert_eq!(CloseCode::new(4001).map(CloseCode::get), Some(4001));
/// assert_eq!(CloseCode::new(1006), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(NonZeroU16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: CloseCode = CloseCode::registered(1000);
    /// 1001: a server goes down, or a browser leaves the page.
    pub const GOING_AWAY: CloseCode = CloseCode::registered(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: CloseCode = CloseCode::registered(1002);
    /// 1003: a kind of data that the endpoint cannot accept.
    pub const UNSUPPORTED: CloseCode = CloseCode::registered(1003);
    /// 1007: a message's content does not fit its type, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: CloseCode = CloseCode::registered(1007);
    /// 1008: a message breaks the endpoint's policy.
    pub const POLICY: CloseCode = CloseCode::registered(1008);
    /// 1009: a message is too big.
    pub const TOO_BIG: CloseCode = CloseCode::registered(1009);
    /// 1010: the server did not agree to an extension that the client needs.
    pub const MANDATORY_EXTENSION: CloseCode = CloseCode::registered(1010);
    /// 1011: the endpoint met a condition that it did not expect.
    pub const INTERNAL: CloseCode = CloseCode::registered(1011);
    /// 1012: the service restarts.
    pub const RESTART: CloseCode = CloseCode::registered(1012);
    /// 1013: the service is overloaded; try again later.
    pub const TRY_AGAIN: CloseCode = CloseCode::registered(1013);
    /// 1014: a gateway got an invalid answer from upstream.
    pub const BAD_GATEWAY: CloseCode = CloseCode::registered(1014);

    const fn registered(code: u16) -> Self {
        match NonZeroU16::new(code) {
            Some(code) => CloseCode(code),
            None => CloseCode(NonZeroU16::MIN),
        }
    }

    /// The code of this number, or `None` if no endpoint may send it.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(CloseCode::registered(code)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The longest reason: 125 bytes of control payload less the code (RFC 6455 §5.5, §5.5.1).
pub(crate) const MAX_REASON: usize = 123;

/// The body of a Close frame with a status code: the code and a reason of at most 123 bytes.
///
/// It is small and `Copy`, and whatever it holds may be sent.
///
/// ```
/// use sansock::{CloseCode, CloseFrame, SendError};
///
/// let bye = CloseFrame::new(CloseCode::NORMAL, "bye")?;
/// assert_eq!((bye.code(), bye.reason()), (CloseCode::NORMAL, "bye"));
/// assert_eq!(CloseFrame::new(CloseCode::NORMAL, &"x".repeat(124)), Err(SendError::ControlTooLong));
/// # Ok::<(), SendError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CloseFrame {
    code: CloseCode,
    len: u8,
    reason: [u8; MAX_REASON],
}

impl CloseFrame {
    /// A body of this code and reason.
    ///
    /// Fails with [`SendError::ControlTooLong`] if the reason is longer than 123 bytes.
    pub fn new(code: CloseCode, reason: &str) -> Result<Self, SendError> {
        let mut frame = CloseFrame::from_code(code);
        let room = frame.reason.get_mut(..reason.len()).ok_or(SendError::ControlTooLong)?;
        room.copy_from_slice(reason.as_bytes());
        frame.len = u8::try_from(reason.len()).map_err(|_| SendError::ControlTooLong)?;
        Ok(frame)
    }

    /// A body of this code and no reason.
    #[must_use]
    pub const fn from_code(code: CloseCode) -> Self {
        CloseFrame { code, len: 0, reason: [0; MAX_REASON] }
    }

    /// Reads the payload of a Close frame, unmasked; an empty one is `None`.
    ///
    /// Fails on a single byte, a code that may not be sent, or a reason that is not UTF-8.
    ///
    /// ```
    /// use sansock::{CloseFrame, Error, Violation};
    ///
    /// let frame = CloseFrame::parse(b"\x03\xe9going")?;
    /// assert_eq!(frame.map(|frame| frame.code().get()), Some(1001));
    /// assert_eq!(CloseFrame::parse(b"")?, None);
    /// assert_eq!(CloseFrame::parse(b"\x03\xee"), Err(Error::Protocol(Violation::CloseCode)));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn parse(payload: &[u8]) -> Result<Option<Self>, Error> {
        // RFC 6455 §5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte
        // unsigned integer (in network byte order) representing a status code".
        let (code, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(Error::Protocol(Violation::CloseTooShort)),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        let code = CloseCode::new(code).ok_or(Error::Protocol(Violation::CloseCode))?;
        // RFC 6455 §8.1: "When an endpoint is to interpret a byte stream as UTF-8 but finds that the
        // byte stream is not, in fact, a valid UTF-8 stream, that endpoint MUST _Fail the WebSocket
        // Connection_."
        let reason = core::str::from_utf8(reason).map_err(|_| Error::InvalidUtf8)?;
        CloseFrame::new(code, reason).map(Some).map_err(|_| Error::Protocol(Violation::ControlTooLong))
    }

    /// Writes the payload of a Close frame into `out`, and returns the part that was written.
    pub fn encode<'out>(&self, out: &'out mut [u8; MAX_REASON + 2]) -> &'out [u8] {
        let (code, reason) = out.split_at_mut(2);
        code.copy_from_slice(&self.code.get().to_be_bytes());
        reason.copy_from_slice(&self.reason);
        out.get(..2 + usize::from(self.len)).unwrap_or_default()
    }

    /// The status code.
    #[must_use]
    pub const fn code(&self) -> CloseCode {
        self.code
    }

    /// The reason; empty if none was given.
    #[must_use]
    pub fn reason(&self) -> &str {
        let reason = self.reason.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(reason).unwrap_or_default()
    }
}

/// Shows the reason with all that is not printable ASCII escaped: it may be the peer's.
impl fmt::Debug for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = format_args!("\"{}\"", self.reason().escape_default());
        f.debug_tuple("CloseFrame").field(&self.code.get()).field(&reason).finish()
    }
}

/// Which of the two endpoints did something.
///
/// The RFC knows two: this enum will not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// This one.
    Local,
    /// The peer.
    Peer,
}

/// How a connection ended (RFC 6455 §7.1.4 to §7.1.6).
///
/// `Display` and `Debug` are for logs: of the reason they show printable ASCII, and the rest escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReport {
    /// Who began: whose Close frame, or whose hanging up, was the first sign of the end.
    pub began: Endpoint,
    /// The code and reason that the peer sent, if it sent a Close frame with a body.
    pub received: Option<CloseFrame>,
    /// The code and reason that this endpoint sent, if it sent a Close frame with a body.
    pub sent: Option<CloseFrame>,
    /// Whether the peer's Close frame came and one of this endpoint's was queued or sent ("closed
    /// _cleanly_", §7.1.4): that the peer got it, no endpoint can know.
    pub clean: bool,
}

impl CloseReport {
    /// The connection close code of RFC 6455 §7.1.5: the peer's, or 1005 if its Close frame had
    /// none, or 1006 if no Close frame came.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self.received {
            Some(frame) => frame.code().get(),
            None if self.clean => 1005,
            None => 1006,
        }
    }
}

impl fmt::Display for CloseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clean = if self.clean { "cleanly" } else { "uncleanly" };
        let began = match self.began {
            Endpoint::Local => "this endpoint",
            Endpoint::Peer => "the peer",
        };
        write!(f, "closed {clean} by {began}: {}", self.code())?;
        match self.received.as_ref().map(CloseFrame::reason) {
            // The reason is the peer's: what is not printable ASCII must not reach a terminal or a log as it is.
            Some(reason) if !reason.is_empty() => write!(f, " \"{}\"", reason.escape_default()),
            _ => Ok(()),
        }
    }
}
