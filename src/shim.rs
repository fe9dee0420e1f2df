//! What both shims need besides the core: one error, what becomes of a transport's sending side, signs of life of a
//! peer that is written to, and randomness from the operating system.

use std::boxed::Box;
use std::fmt;
use std::io;

use bytes::Buf;
use rand::TryRng;
use rand::rngs::SysRng;

use crate::handshake::client::{self, Outcome, Refused, UrlError};
use crate::handshake::server::Accept;
use crate::handshake::{HandshakeError, InvalidHeader, InvalidStatus, Response};
use crate::{Config, Error as ConnectionError, Output, SendError, SendHalf, Spare};

/// Why a call of a shim failed, sorted by where the fault lies. Converts into [`std::io::Error`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The connection failed: the peer broke the protocol, or a deadline passed.
    Connection(ConnectionError),
    /// The application asked for something that cannot be sent; the connection goes on.
    Send(SendError),
    /// The opening handshake failed.
    Handshake(HandshakeError),
    /// The subprotocol that the server's application chose was not offered (RFC 6455 §4.2.2); the
    /// client was answered with 500.
    ProtocolNotOffered,
    /// The server answered with something else than 101: a redirect, a demand to log in, a refusal.
    Refused(Box<Refused>),
    /// The URL is not one of a WebSocket.
    Url(UrlError),
    /// The URL begins with `wss:`: make the TLS stream and give it to `connect_over`.
    Secure,
    /// A header or subprotocol that the application gave is malformed.
    Header(InvalidHeader),
    /// A status that the application gave is none of an answer.
    Status(InvalidStatus),
    /// The transport failed.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Connection(error) => error.fmt(f),
            Error::Send(error) => error.fmt(f),
            Error::Handshake(error) => error.fmt(f),
            Error::ProtocolNotOffered => {
                f.write_str("the chosen subprotocol was not offered (RFC 6455 section 4.2.2)")
            }
            Error::Refused(refused) => write!(f, "the server answered with status {}", refused.status()),
            Error::Url(error) => error.fmt(f),
            Error::Secure => f.write_str("wss needs a TLS stream of the caller's"),
            Error::Header(error) => error.fmt(f),
            Error::Status(error) => error.fmt(f),
            Error::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) => error.source(),
            _ => None,
        }
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident),*) => {$(
        impl From<$from> for Error {
            fn from(error: $from) -> Self {
                Error::$variant(error)
            }
        }
    )*};
}

from!(ConnectionError => Connection, SendError => Send, HandshakeError => Handshake, UrlError => Url,
      InvalidHeader => Header,
      InvalidStatus => Status, io::Error => Io);

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Io(_) | Error::Refused(_) => io::ErrorKind::Other,
            Error::Connection(ConnectionError::TimedOut(_)) | Error::Handshake(HandshakeError::TimedOut) => {
                io::ErrorKind::TimedOut
            }
            Error::Connection(ConnectionError::UnexpectedEof)
            | Error::Handshake(HandshakeError::UnexpectedEof) => io::ErrorKind::UnexpectedEof,
            Error::Connection(_) | Error::Handshake(_) => io::ErrorKind::InvalidData,
            Error::Send(SendError::Closed) => io::ErrorKind::BrokenPipe,
            Error::Send(_)
            | Error::Url(_)
            | Error::Header(_)
            | Error::Status(_)
            | Error::ProtocolNotOffered => io::ErrorKind::InvalidInput,
            Error::Secure => io::ErrorKind::Unsupported,
        };
        match error {
            Error::Io(error) => error,
            error => io::Error::new(kind, error),
        }
    }
}

/// The answer to a client whose request the application could not accept after all.
pub(crate) fn internal_error() -> Result<Response, Error> {
    Ok(Response::new(500)?)
}

/// Whether the transport says that the peer has hung up: there is no more than what it has sent before.
pub(crate) fn is_hung_up(error: &Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error, Error::Io(error) if matches!(error.kind(), BrokenPipe | ConnectionReset))
}

/// What came of a client's handshake whose transport has failed: a refusal is better than that error, with as much
/// of its body as there is.
pub(crate) fn broken_off(handshake: &mut client::Handshake, error: io::Error) -> Result<Outcome, Error> {
    handshake.handle_eof();
    match handshake.poll() {
        Ok(Some(outcome)) => Ok(outcome),
        _ => Err(error.into()),
    }
}

/// The process's pool of codecs.
#[cfg(feature = "deflate")]
static POOL: std::sync::LazyLock<crate::deflate::Pool> = std::sync::LazyLock::new(Default::default);

/// The configuration with the process's pool, if it compresses and names none.
#[cfg(feature = "deflate")]
pub(crate) fn with_pool(mut config: Config) -> Config {
    if let Some(deflate) = &mut config.deflate {
        deflate.pool.get_or_insert_with(|| POOL.clone());
    }
    config
}

/// The same for what the application says of one client.
#[cfg(feature = "deflate")]
pub(crate) fn accept_with_pool(accept: Accept) -> Accept {
    accept.lend(&POOL)
}

#[cfg(not(feature = "deflate"))]
pub(crate) fn with_pool(config: Config) -> Config {
    config
}

#[cfg(not(feature = "deflate"))]
pub(crate) fn accept_with_pool(accept: Accept) -> Accept {
    accept
}

/// What has become of a transport's sending side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Open,
    /// It is shut down, or cannot be.
    Shut,
    /// It refused a write for this reason, and takes no more.
    Broken(io::ErrorKind),
}

impl Sending {
    /// Until the transport returns: if it panics, nobody knows what it has taken.
    pub(crate) const UNKNOWN: Sending = Sending::Broken(io::ErrorKind::BrokenPipe);

    /// What a failed write leaves. That the peer is gone may be `TimedOut` to the operating system, which would mean
    /// "not now" without the system's number: so that is not said again.
    pub(crate) fn broken(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Sending::UNKNOWN,
            kind => Sending::Broken(kind),
        }
    }

    /// Fails again and again once it is broken: whoever asks later must not believe that what was dropped has left.
    pub(crate) fn check(self) -> io::Result<()> {
        match self {
            Sending::Broken(kind) => Err(kind.into()),
            Sending::Open | Sending::Shut => Ok(()),
        }
    }
}

/// What a writer is told whose reader has brought the conversation to its end: that it is closed, unless it was the
/// transport that ended it, before we had anything to say about that.
pub(crate) fn end_of(sending: Sending, send: &SendHalf) -> Error {
    match sending.check() {
        Err(error) if !send.has_said_close() => Error::Io(error),
        _ => Error::Send(SendError::Closed),
    }
}

/// Whether some of the output has to wait for the transport.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    pub(crate) is_on: bool,
}

impl Stall {
    /// Says that a flush has ended, before which so much was `written`: true if the transport took some of what
    /// had to wait, a sign of life. Whatever has not to wait goes into a buffer of the transport's or the
    /// kernel's, a keepalive ping too, whether or not the peer is there.
    pub(crate) fn end_flush(&mut self, written: u64, output: &Output) -> bool {
        let waited = std::mem::replace(&mut self.is_on, output.has_remaining());
        output.written() > written && (waited || self.is_on)
    }
}

/// Spare buffers of a thread.
pub(crate) type ThreadSpare = std::thread::LocalKey<std::cell::RefCell<Spare>>;

/// Runs `with` on a thread's spare buffers.
pub(crate) fn with_spare(spare: &'static ThreadSpare, mut with: impl FnMut(&mut Spare)) {
    let shared = spare.try_with(|spare| spare.try_borrow_mut().map(|mut spare| with(&mut spare)));
    // Where the thread ends already, there is nothing to keep.
    if !matches!(shared, Ok(Ok(()))) {
        with(&mut Spare::nothing());
    }
}

/// A seed for a client's keys.
pub(crate) fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}
