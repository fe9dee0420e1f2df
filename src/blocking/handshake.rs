//! Opening handshakes over blocking transports.

use std::boxed::Box;
use std::io::{self, IoSlice};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};
use std::vec::Vec;

use bytes::Buf;

use super::drive::{Transport, checked, is_would_block};
use super::{Error, WebSocket};
use crate::handshake::client::{self, ClientRequest, Outcome};
use crate::handshake::server::{self, Accept, Rejection, Request};
use crate::handshake::{HandshakeError, Response};
use crate::{Config, Output, Timestamp, shim};

/// Connects to a `ws:` URL.
///
/// Fails if the URL is not one, the server cannot be reached within
/// [`Config::handshake_timeout`], or it does not accept.
pub fn connect(url: &str, config: Config) -> Result<WebSocket<TcpStream>, Error> {
    connect_request(ClientRequest::new(url)?, config)
}

/// Connects with a request of the caller's: headers, subprotocols.
///
/// Fails as [`connect`] does.
pub fn connect_request(request: ClientRequest, mut config: Config) -> Result<WebSocket<TcpStream>, Error> {
    if request.is_secure() {
        return Err(Error::Secure);
    }
    let started = Instant::now();
    let io = open(&request, config.handshake_timeout)?;
    // Messages are written whole: waiting for more to fill a packet only delays them.
    io.set_nodelay(true)?;
    config.handshake_timeout = config.handshake_timeout.saturating_sub(started.elapsed());
    connect_over(io, request, config)
}

/// Connects to the first address of the request's host that answers.
fn open(request: &ClientRequest, limit: Duration) -> Result<TcpStream, Error> {
    let started = Instant::now();
    let mut failed = io::ErrorKind::AddrNotAvailable.into();
    for address in (request.host(), request.port()).to_socket_addrs()? {
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(HandshakeError::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(io) => return Ok(io),
            Err(error) => failed = error,
        }
    }
    let is_late = started.elapsed() >= limit;
    Err(if is_late { HandshakeError::TimedOut.into() } else { failed.into() })
}

/// Connects over a transport of the caller's: TLS for `wss:` URLs, a proxy, a pipe.
///
/// Fails as [`connect`] does. The transport must block, and not time out before the handshake is done: what
/// it gave before a [`WouldBlock`](io::ErrorKind::WouldBlock) is lost with the handshake.
pub fn connect_over<Io>(io: Io, request: ClientRequest, config: Config) -> Result<WebSocket<Io>, Error>
where
    Io: Transport,
{
    let mut io = io;
    let clock = HeadClock::new(&io);
    let limit = config.handshake_timeout;
    let mut handshake =
        client::Handshake::new(request, shim::with_pool(config), shim::seed()?, Timestamp::EPOCH);
    let written = match write_within(limit, &mut io, handshake.output()) {
        // A server need not read a request that it refuses: its answer may be there.
        Err(error) if !shim::is_hung_up(&error) => return Err(error),
        written => written,
    };
    match (written, answer(&mut io, &mut handshake, &clock)) {
        (_, Ok(Outcome::Refused(refused))) => Err(Error::Refused(Box::new(refused))),
        (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(Outcome::Established(established))) => {
            clock.restore(&io)?;
            Ok(WebSocket::over(io, established.into_connection(Timestamp::EPOCH)))
        }
    }
}

/// Waits for the server's answer.
fn answer(
    io: &mut impl Transport,
    handshake: &mut client::Handshake,
    clock: &HeadClock,
) -> Result<Outcome, Error> {
    loop {
        if let Some(outcome) = handshake.poll()? {
            return Ok(outcome);
        }
        let deadline = handshake.poll_timeout();
        match clock.read(io, handshake.buffer(), deadline) {
            Ok(Read::Bytes) => {}
            Ok(Read::End) => handshake.handle_eof(),
            Ok(Read::Deadline) => handshake.handle_timeout(clock.now()),
            Err(error) => return shim::broken_off(handshake, error),
        }
    }
}

/// Accepts a client's request, whatever it asks for, and whatever web page has made it: to look at that, see
/// [`accept_request`] and [`Request::origin`].
///
/// Fails if it is no WebSocket request, or is not complete within [`Config::handshake_timeout`]. The
/// client is told why by the HTTP status, and has 2 s to hang up. The transport must block, as for
/// [`connect_over`].
pub fn accept<Io: Transport>(io: Io, config: Config) -> Result<WebSocket<Io>, Error> {
    accept_request(io, config)?.accept(Accept::new())
}

/// Waits for a client's request, to be looked at before it is accepted or rejected. If it is none of a
/// WebSocket, or not complete within [`Config::handshake_timeout`], [`Incoming::request`] says so.
///
/// Fails if the transport does. The
/// transport must block, as for [`connect_over`].
pub fn accept_request<Io: Transport>(io: Io, config: Config) -> Result<Incoming<Io>, Error> {
    let mut io = io;
    let clock = HeadClock::new(&io);
    let limit = config.handshake_timeout;
    let mut handshake = server::Handshake::new(shim::with_pool(config), Timestamp::EPOCH);
    let outcome = loop {
        match handshake.poll() {
            Ok(Some(request)) => break Ok(Box::new(request)),
            Ok(None) => {}
            Err(rejection) => break Err(Box::new(rejection)),
        }
        let deadline = handshake.poll_timeout();
        match clock.read(&mut io, handshake.buffer(), deadline)? {
            Read::Bytes => {}
            Read::End => handshake.handle_eof(),
            Read::Deadline => handshake.handle_timeout(clock.now()),
        }
    };
    clock.restore(&io)?;
    Ok(Incoming { io, limit, outcome })
}

/// A client's request, before it is answered.
#[derive(Debug)]
#[must_use = "a request wants an answer"]
pub struct Incoming<Io> {
    io: Io,
    /// How long the answer may take to leave.
    limit: Duration,
    outcome: Result<Box<Request>, Box<Rejection>>,
}

impl<Io: Transport> Incoming<Io> {
    /// The request; or why it is none of a WebSocket, with its head as far as that could be read.
    pub fn request(&self) -> Result<&Request, &Rejection> {
        self.outcome.as_deref().map_err(|rejection| &**rejection)
    }

    /// Accepts the request.
    ///
    /// Fails if it was none (the client is told why), does not offer the chosen subprotocol, or if the
    /// transport does not take the answer within [`Config::handshake_timeout`] from now.
    pub fn accept(self, accept: Accept) -> Result<WebSocket<Io>, Error> {
        let request = match self.outcome {
            Ok(request) => request,
            Err(rejection) => {
                let error = rejection.error();
                // The peer may be gone; what was wrong with its request is the news.
                let _ = refuse(self.io, rejection.into_output());
                return Err(error.into());
            }
        };
        let mut connection = match request.accept(shim::accept_with_pool(accept), Timestamp::EPOCH) {
            Ok(connection) => connection,
            Err(error) => {
                // Here, too.
                let _ = refuse(self.io, error.into_request().reject(shim::internal_error()?));
                return Err(Error::ProtocolNotOffered);
            }
        };
        let mut io = self.io;
        write_within(self.limit, &mut io, connection.output())?;
        Ok(WebSocket::over(io, connection))
    }

    /// Answers with something else than a WebSocket, and closes the transport.
    ///
    /// Fails if the transport does, or if it does not take the answer within 2 s.
    pub fn reject(self, response: Response) -> Result<(), Error> {
        let output = match self.outcome {
            Ok(request) => request.reject(response),
            Err(rejection) => rejection.respond(response),
        };
        Ok(refuse(self.io, output)?)
    }
}

/// How long a refused client may take to read the answer and hang up.
const LINGER: Duration = Duration::from_secs(2);

/// Writes an answer and ends the transport. What the client still sends is read away for a while:
/// closing on unread bytes would reset the connection and destroy the answer.
///
/// Fails if the answer has not left. What the client does then is no news.
fn refuse<Io: Transport>(mut io: Io, mut answer: Output) -> io::Result<()> {
    // A timeout of the application's is for what it waits for, which is not this.
    let clock = HeadClock { epoch: Instant::now(), given: None };
    write(&mut io, &mut answer, LINGER)?;
    let mut waste = Vec::new();
    if io.shutdown_write().is_ok() {
        while let Ok(Read::Bytes) = clock.read(&mut io, &mut waste, Some(Timestamp::EPOCH + LINGER)) {
            waste.clear();
        }
    }
    Ok(())
}

fn write_within(limit: Duration, io: &mut impl Transport, output: &mut Output) -> Result<(), Error> {
    write(io, output, limit).map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => HandshakeError::TimedOut.into(),
        _ => Error::Io(error),
    })
}

/// Writes all output within `limit`, as far as the transport knows timeouts. [`TimedOut`] if it takes longer.
///
/// [`TimedOut`]: io::ErrorKind::TimedOut
fn write(io: &mut impl Transport, output: &mut Output, limit: Duration) -> io::Result<()> {
    let given = io.write_timeout()?;
    let started = Instant::now();
    loop {
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        io.set_write_timeout(Some(left.min(given.unwrap_or(Duration::MAX))))?;
        match write_once(io, output) {
            Ok(false) => {}
            Ok(true) => return io.set_write_timeout(given),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The limit comes first, whatever timeout the application has set besides.
            Err(error) if is_would_block(&error) && started.elapsed() + super::drive::TICK >= limit => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes what the transport takes, or flushes it if nothing is left to write: then all is done.
fn write_once(io: &mut impl Transport, output: &mut Output) -> io::Result<bool> {
    if !output.has_remaining() {
        return io.flush().map(|()| true);
    }
    // Head and body leave together.
    let mut pieces = [IoSlice::new(&[]); 2];
    let count = output.chunks_vectored(&mut pieces);
    match io.write_vectored(pieces.get(..count).unwrap_or_default())? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        len => {
            output.advance(len);
            Ok(false)
        }
    }
}

enum Read {
    Bytes,
    End,
    Deadline,
}

/// The clock of one handshake, which lets no read wait beyond its deadline.
struct HeadClock {
    epoch: Instant,
    given: Option<Duration>,
}

impl HeadClock {
    fn new(io: &impl Transport) -> Self {
        HeadClock { epoch: Instant::now(), given: io.read_timeout().unwrap_or_default() }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_epoch(self.epoch.elapsed())
    }

    /// Gives the transport back the timeout that it came with.
    fn restore(&self, io: &impl Transport) -> io::Result<()> {
        io.set_read_timeout(self.given)
    }

    /// Appends what one read brings to `input`.
    fn read(
        &self,
        io: &mut impl Transport,
        input: &mut Vec<u8>,
        deadline: Option<Timestamp>,
    ) -> io::Result<Read> {
        loop {
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_since(self.now()));
            if left.is_zero() {
                return Ok(Read::Deadline);
            }
            io.set_read_timeout(Some(left.min(self.given.unwrap_or(Duration::MAX))))?;
            let held = input.len();
            input.resize(held + HEAD_READ, 0);
            let read = checked(io.read(input.get_mut(held..).unwrap_or_default()), HEAD_READ);
            input.truncate(held + read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Ok(Read::End),
                Ok(_) => return Ok(Read::Bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The deadline comes first, whatever timeout the application has set besides.
                Err(error) if is_would_block(&error) && self.is_over(deadline) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn is_over(&self, deadline: Option<Timestamp>) -> bool {
        deadline.is_some_and(|deadline| deadline <= self.now() + super::drive::TICK)
    }
}

/// Most heads fit into this.
const HEAD_READ: usize = 1 << 10;
