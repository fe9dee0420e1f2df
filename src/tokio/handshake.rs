//! Opening handshakes over tokio.

use std::boxed::Box;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::drive::{Clock, Turn, poll_append};
use super::{Error, WebSocket};
use crate::handshake::client::{self, ClientRequest, Outcome};
use crate::handshake::server::{self, Accept, Rejection, Request};
use crate::handshake::{HandshakeError, Response};
use crate::{Config, Output, Timestamp, shim};

/// Connects to a `ws:` URL.
///
/// Fails if the URL is not one, the server cannot be reached within
/// [`Config::handshake_timeout`], or it does not accept.
pub async fn connect(url: &str, config: Config) -> Result<WebSocket<TcpStream>, Error> {
    connect_request(ClientRequest::new(url)?, config).await
}

/// Connects with a request of the caller's: headers, subprotocols.
///
/// Fails as [`connect`] does.
pub async fn connect_request(
    request: ClientRequest,
    mut config: Config,
) -> Result<WebSocket<TcpStream>, Error> {
    if request.is_secure() {
        return Err(Error::Secure);
    }
    let started = Instant::now();
    let connecting = TcpStream::connect((request.host(), request.port()));
    let io = timeout(config.handshake_timeout, connecting).await.map_err(|_| HandshakeError::TimedOut)??;
    // Messages are written whole: waiting for more to fill a packet only delays them.
    io.set_nodelay(true)?;
    config.handshake_timeout = config.handshake_timeout.saturating_sub(started.elapsed());
    connect_over(io, request, config).await
}

/// Connects over a transport of the caller's: TLS for `wss:` URLs, a proxy, a pipe.
///
/// Fails as [`connect`] does.
pub async fn connect_over<Io>(io: Io, request: ClientRequest, config: Config) -> Result<WebSocket<Io>, Error>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let mut io = io;
    let mut clock = Clock::new();
    let limit = config.handshake_timeout;
    let mut handshake =
        client::Handshake::new(request, shim::with_pool(config), shim::seed()?, Timestamp::EPOCH);
    let written = match write_within(limit, &mut io, handshake.output()).await {
        // A server need not read a request that it refuses: its answer may be there.
        Err(error) if !shim::is_hung_up(&error) => return Err(error),
        written => written,
    };
    match (written, answer(&mut io, &mut handshake, &mut clock).await) {
        (_, Ok(Outcome::Refused(refused))) => Err(Error::Refused(Box::new(refused))),
        (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(Outcome::Established(established))) => {
            Ok(WebSocket::over(io, established.into_connection(Timestamp::EPOCH)))
        }
    }
}

/// Waits for the server's answer.
async fn answer<Io: AsyncRead + Unpin>(
    io: &mut Io,
    handshake: &mut client::Handshake,
    clock: &mut Clock,
) -> Result<Outcome, Error> {
    let mut turn = Turn::default();
    loop {
        if let Some(outcome) = handshake.poll()? {
            return Ok(outcome);
        }
        let deadline = handshake.poll_timeout();
        match poll_fn(|cx| poll_read(cx, io, handshake.buffer(), clock, &mut turn, deadline)).await {
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
/// client is told why by the HTTP status, and has 2 s to hang up.
pub async fn accept<Io>(io: Io, config: Config) -> Result<WebSocket<Io>, Error>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    accept_request(io, config).await?.accept(Accept::new()).await
}

/// Waits for a client's request, to be looked at before it is accepted or rejected. If it is none of a
/// WebSocket, or not complete within [`Config::handshake_timeout`], [`Incoming::request`] says so.
///
/// Fails if the transport does.
pub async fn accept_request<Io>(io: Io, config: Config) -> Result<Incoming<Io>, Error>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let mut io = io;
    let (mut clock, mut turn) = (Clock::new(), Turn::default());
    let limit = config.handshake_timeout;
    let mut handshake = server::Handshake::new(shim::with_pool(config), Timestamp::EPOCH);
    loop {
        match handshake.poll() {
            Ok(Some(request)) => return Ok(Incoming { io, limit, outcome: Ok(Box::new(request)) }),
            Ok(None) => {}
            Err(rejection) => return Ok(Incoming { io, limit, outcome: Err(Box::new(rejection)) }),
        }
        let deadline = handshake.poll_timeout();
        match poll_fn(|cx| poll_read(cx, &mut io, handshake.buffer(), &mut clock, &mut turn, deadline))
            .await?
        {
            Read::Bytes => {}
            Read::End => handshake.handle_eof(),
            Read::Deadline => handshake.handle_timeout(clock.now()),
        }
    }
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

impl<Io: AsyncRead + AsyncWrite + Unpin> Incoming<Io> {
    /// The request; or why it is none of a WebSocket, with its head as far as that could be read.
    pub fn request(&self) -> Result<&Request, &Rejection> {
        self.outcome.as_deref().map_err(|rejection| &**rejection)
    }

    /// Accepts the request.
    ///
    /// Fails if it was none (the client is told why), does not offer the chosen subprotocol, or if the
    /// transport does not take the answer within [`Config::handshake_timeout`] from now.
    pub async fn accept(self, accept: Accept) -> Result<WebSocket<Io>, Error> {
        let request = match self.outcome {
            Ok(request) => request,
            Err(rejection) => {
                let error = rejection.error();
                // The peer may be gone; what was wrong with its request is the news.
                let _ = refuse(self.io, rejection.into_output()).await;
                return Err(error.into());
            }
        };
        let mut connection = match request.accept(shim::accept_with_pool(accept), Timestamp::EPOCH) {
            Ok(connection) => connection,
            Err(error) => {
                // Here, too.
                let _ = refuse(self.io, error.into_request().reject(shim::internal_error()?)).await;
                return Err(Error::ProtocolNotOffered);
            }
        };
        let mut io = self.io;
        write_within(self.limit, &mut io, connection.output()).await?;
        Ok(WebSocket::over(io, connection))
    }

    /// Answers with something else than a WebSocket, and closes the transport.
    ///
    /// Fails if the transport does, or if it does not take the answer within 2 s.
    pub async fn reject(self, response: Response) -> Result<(), Error> {
        let output = match self.outcome {
            Ok(request) => request.reject(response),
            Err(rejection) => rejection.respond(response),
        };
        Ok(refuse(self.io, output).await?)
    }
}

/// How long a refused client may take to read the answer and hang up.
const LINGER: Duration = Duration::from_secs(2);

/// Writes an answer and ends the transport. What the client still sends is read away for a while:
/// closing on unread bytes would reset the connection and destroy the answer.
///
/// Fails if the answer has not left. What the client does then is no news.
async fn refuse<Io: AsyncRead + AsyncWrite + Unpin>(mut io: Io, mut answer: Output) -> io::Result<()> {
    let end = Instant::now() + LINGER;
    timeout_at(end, write(&mut io, &mut answer)).await??;
    let farewell = async {
        io.shutdown().await?;
        drain(&mut io).await
    };
    let _ = timeout_at(end, farewell).await;
    Ok(())
}

/// Reads away all that comes until the end, in turns: a client that never stops must not keep others waiting,
/// nor the clock.
async fn drain<Io: AsyncRead + Unpin>(io: &mut Io) -> io::Result<()> {
    let (mut waste, mut turn) = ([0; HEAD_READ], Turn::default());
    poll_fn(|cx| {
        loop {
            ready!(turn.poll(cx, 0));
            match ready!(poll_append(io, cx, &mut &mut waste[..], HEAD_READ))? {
                0 => return Poll::Ready(Ok(())),
                len => turn.take(len),
            }
        }
    })
    .await
}

async fn write_within<Io: AsyncWrite + Unpin>(
    limit: Duration,
    io: &mut Io,
    output: &mut Output,
) -> Result<(), Error> {
    Ok(timeout(limit, write(io, output)).await.map_err(|_| HandshakeError::TimedOut)??)
}

async fn write<Io: AsyncWrite + Unpin>(io: &mut Io, output: &mut Output) -> io::Result<()> {
    // Head and body leave together where the transport allows.
    io.write_all_buf(output).await?;
    io.flush().await
}

enum Read {
    Bytes,
    End,
    Deadline,
}

/// Who always has something to say must not keep others waiting, nor outlast the deadline.
fn poll_read<Io: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    io: &mut Io,
    input: &mut std::vec::Vec<u8>,
    clock: &mut Clock,
    turn: &mut Turn,
    deadline: Option<Timestamp>,
) -> Poll<io::Result<Read>> {
    if turn.poll(cx, 0).is_ready() {
        input.reserve(HEAD_READ);
        if let Poll::Ready(len) = poll_append(io, cx, input, HEAD_READ)? {
            turn.take(len);
            return Poll::Ready(Ok(if len == 0 { Read::End } else { Read::Bytes }));
        }
    }
    ready!(clock.poll(cx, deadline));
    Poll::Ready(Ok(Read::Deadline))
}

/// Most heads fit into this.
const HEAD_READ: usize = 1 << 10;
