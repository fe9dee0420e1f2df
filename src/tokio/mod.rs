//! WebSocket over tokio.
//!
//! ```
//! use sansock::{Config, Event, tokio::{accept, connect}};
//!
//! # async fn run() -> Result<(), sansock::tokio::Error> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!("ws://{}", listener.local_addr()?);
//! let server = tokio::spawn(async move {
//!     let (io, _) = listener.accept().await?;
//!     let mut socket = accept(io, Config::default()).await?;
//!     while let Some(message) = socket.recv().await? {
//!         socket.send(message).await?;
//!     }
//!     Ok::<(), sansock::tokio::Error>(())
//! });
//!
//! let mut socket = connect(&url, Config::default()).await?;
//! socket.send("hello").await?;
//! assert!(matches!(socket.next().await?, Some(Event::Text(text)) if &*text == "hello"));
//! let report = socket.close(sansock::CloseCode::NORMAL, "done").await?;
//! assert!(report.clean);
//! # server.await.unwrap()
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
//! ```
//!
//! # Cancel safety
//!
//! Every future of this module may be dropped at any point, and nothing is lost: all progress lives
//! in the socket. What was queued stays queued, and leaves with the next call. A dropped
//! [`send`](WebSocket::send) that was polled at least once has queued its message. Only the opening
//! handshakes own the transport while they run: dropping one drops the transport.
//!
//! # Panics
//!
//! Deadlines need tokio's timer: what waits panics outside of a runtime, and in one whose builder was not told to
//! `enable_time`.

mod drive;
mod handshake;
mod split;
mod stream;
mod wakers;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

pub use crate::shim::Error;
pub use handshake::{Incoming, accept, accept_request, connect, connect_over, connect_request};
pub use split::{Reader, Writer};

use crate::{CloseCode, CloseReport, Connection, Event, Message};
use drive::{Clock, Sink, Turn, poll_input, with_spare};
use wakers::Wakers;

/// From so many bytes on, what is written at once is worth a buffer of the thread's.
const MUCH: u64 = 4 << 10;

/// A WebSocket over a tokio transport.
///
/// It is made by [`connect`], [`accept`] and their kin, or [`over`](Self::over) any connection.
/// Reading answers pings, keeps the peer alive and runs the closing handshake: read on, even if
/// there is nothing to expect.
#[derive(Debug)]
pub struct WebSocket<Io> {
    io: Io,
    sink: Sink,
    connection: Connection,
    clock: Clock,
    turn: Turn,
    /// The `Stream` has given its last item.
    exhausted: bool,
    /// The tasks of the `Stream` and of the `Sink`.
    wakers: Option<Arc<Wakers>>,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> WebSocket<Io> {
    /// A socket of an established connection, whose timestamps count from now.
    pub fn over(io: Io, connection: Connection) -> Self {
        WebSocket {
            io,
            sink: Sink::new(),
            connection,
            clock: Clock::new(),
            turn: Turn::default(),
            exhausted: false,
            wakers: None,
        }
    }

    /// Waits for the next event and lends it; `None` when the conversation is over and the transport
    /// has been brought to its end.
    ///
    /// Before it waits for the peer, it sends what is queued. Cancel-safe.
    ///
    /// Fails if the connection does, after the peer was told.
    #[inline]
    pub async fn next(&mut self) -> Result<Option<Event<'_>>, Error> {
        self.ready().await?;
        Ok(self.connection.poll_event()?)
    }

    /// Waits until there are events: false when the conversation is over.
    ///
    /// All that has arrived can then be taken from the [`connection_mut`](Self::connection_mut) without
    /// waiting, and answered; this call sends the answers together. Cancel-safe.
    ///
    /// Fails as [`next`](Self::next) does.
    ///
    /// ```
    /// # use sansock::tokio::{Error, WebSocket};
    /// async fn echo(mut socket: WebSocket<tokio::net::TcpStream>) -> Result<(), Error> {
    ///     while socket.ready().await? {
    ///         // An error is for `ready` to report, once the peer has been told.
    ///         while let Ok(Some((event, send))) = socket.connection_mut().poll_with_send() {
    ///             send.relay(event)?;
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    #[inline]
    pub fn ready(&mut self) -> impl Future<Output = Result<bool, Error>> {
        // An `async fn` would be three times the size, in each task that waits here.
        poll_fn(|cx| {
            if matches!(self.connection.advance(), Ok(true)) && !self.connection.is_ended() {
                return Poll::Ready(Ok(true));
            }
            self.poll_ready_event(cx)
        })
    }

    /// Waits for the next message and owns it; `None` when the conversation is over. Pings and pongs
    /// are passed over. With [`Delivery::Chunks`](crate::Delivery::Chunks) each part is a message.
    ///
    /// Cancel-safe. Fails as [`next`](Self::next) does.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Has the next message sent as it is, also if permessage-deflate was negotiated: `socket.uncompressed()
    /// .send(secret)`. See [`SendHalf::uncompressed`](crate::SendHalf::uncompressed).
    pub fn uncompressed(&mut self) -> &mut Self {
        self.connection.uncompressed();
        self
    }

    /// Sends a message, and all that was queued: returns when the operating system has it.
    ///
    /// Cancel-safe: the message is queued by the first poll, and stays so.
    ///
    /// Fails if the message cannot be sent, or as [`flush`](Self::flush) does.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        self.connection.send(message)?;
        self.flush().await
    }

    /// Queues a message, once no more than [`Config::output_high_water`](crate::Config) waits. The next
    /// [`flush`](Self::flush), [`send`](Self::send) or [`next`](Self::next) sends it.
    ///
    /// Cancel-safe: a dropped call has queued nothing. Fails as [`send`](Self::send) does.
    pub async fn feed(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        self.room().await?;
        Ok(self.connection.send(message)?)
    }

    /// Waits until no more than [`Config::output_high_water`](crate::Config) waits, for what is queued
    /// through [`connection_mut`](Self::connection_mut): prepared messages, fragments. Cancel-safe.
    ///
    /// Fails as [`flush`](Self::flush) does.
    pub async fn room(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_room(cx)).await
    }

    /// Sends all that is queued: returns when the operating system has it. Cancel-safe.
    ///
    /// Fails if the transport does, or takes nothing for so long that the peer must be gone.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Sends a ping with a payload of at most 125 bytes. Cancel-safe. Fails as
    /// [`send`](Self::send) does.
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.connection.ping(payload)?;
        self.flush().await
    }

    /// Closes: sends a Close frame, waits for the peer's, and ends the transport, all within
    /// [`Config::close_timeout`](crate::Config). What the peer still sends is passed over; to see
    /// it, give the command to [`connection_mut`](Self::connection_mut) and read on.
    ///
    /// Cancel-safe: call it again, or read on. If the peer closed first, this finishes that.
    ///
    /// Fails if the reason is longer than 123 bytes, or the connection fails.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<CloseReport, Error> {
        match self.connection.close(code, reason) {
            Ok(()) | Err(crate::SendError::Closed) => {}
            Err(error) => return Err(error.into()),
        }
        while self.next().await?.is_some() {}
        self.connection.closed().ok_or(Error::Connection(crate::Error::UnexpectedEof))
    }

    /// How the conversation ended; `None` while it goes on.
    #[must_use]
    pub fn closed(&self) -> Option<CloseReport> {
        self.connection.closed()
    }

    /// The connection, to look at its state.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The connection, to give it commands: the next call that waits sends what they queued.
    pub fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The transport.
    pub fn io(&self) -> &Io {
        &self.io
    }

    /// Ready with true when there is an event, with false when there is none any more.
    fn poll_ready_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        loop {
            if self.connection.advance() == Ok(true) && !self.connection.is_ended() {
                return Poll::Ready(Ok(true));
            }
            if self.is_finished() {
                return Poll::Ready(self.connection.advance().map(|_| false).map_err(Error::from));
            }
            ready!(self.poll_io(cx))?;
        }
    }

    /// One round of writing, reading and looking at the clock: ready when something has come of it.
    fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // A peer that has gone away may have left messages: the error shows when they are read.
        let _ = self.poll_write(cx);
        if self.connection.wants_shutdown() {
            let _ = self.sink.poll_shutdown(&mut self.io, cx);
        }
        if self.is_finished() {
            return Poll::Ready(Ok(()));
        }
        if self.connection.wants_input() {
            let (receive, send) = self.connection.halves();
            // What there may be to read yet comes before the clock.
            if self.turn.poll(cx, receive.missing()).is_pending() {
                with_spare(|spare| receive.pause(spare));
                with_spare(|spare| send.return_buffer(spare));
                return Poll::Pending;
            }
            let ended = receive.is_ended();
            let read = poll_input(&mut self.io, cx, receive, &self.clock, &mut self.turn);
            // What was received will be answered; and if nothing was, nothing will. Small answers need no
            // large buffer, which would be kept for as long as the application takes.
            let answers_much = send.writes_much || !receive.holds_little();
            with_spare(|spare| match read {
                Poll::Pending => send.return_buffer(spare),
                Poll::Ready(_) if answers_much => send.borrow_buffer(spare),
                Poll::Ready(_) => {}
            });
            if let Poll::Ready(read) = read {
                // Once the conversation is over, a reset is as good an end as any.
                return Poll::Ready(if ended { Ok(()) } else { read.map_err(Error::Io) });
            }
        } else {
            with_spare(|spare| self.connection.return_buffers(spare));
        }
        self.poll_clock(cx).map(Ok)
    }

    fn is_finished(&mut self) -> bool {
        let ends = self.connection.wants_shutdown();
        self.connection.is_finished()
            && (self.sink.is_settled(ends) || self.connection.halves().0.is_out_of_time())
    }

    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.clock.poll(cx, self.connection.poll_timeout()));
        self.connection.handle_timeout(self.clock.now());
        Poll::Ready(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whatever the receiving half wants sent comes first.
        let before = self.connection.output().written();
        let (_, send) = self.connection.halves();
        let (flushed, is_alive) = self.sink.poll_flush(&mut self.io, cx, send);
        let written = self.connection.output().written() - before;
        if written > 0 {
            self.connection.halves().1.writes_much = written >= MUCH;
        }
        if is_alive {
            self.connection.handle_written(self.clock.now());
        }
        flushed
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_write_until(cx, |_| false)
    }

    /// Ready when another message may be queued.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let has_room = |connection: &Connection| !connection.is_above_high_water();
        if has_room(&self.connection) { Poll::Ready(Ok(())) } else { self.poll_write_until(cx, has_room) }
    }

    /// Ready when all is written, or enough.
    fn poll_write_until(
        &mut self,
        cx: &mut Context<'_>,
        is_enough: impl Fn(&Connection) -> bool,
    ) -> Poll<Result<(), Error>> {
        loop {
            if let Poll::Ready(flushed) = self.poll_write(cx) {
                return Poll::Ready(flushed.map_err(Error::Io));
            }
            if is_enough(&self.connection) {
                return Poll::Ready(Ok(()));
            }
            // What waits for long takes no more memory than it needs.
            with_spare(|spare| self.connection.return_buffers(spare));
            if let Some(error) = self.connection.overdue() {
                return Poll::Ready(Err(error.into()));
            }
            ready!(self.poll_clock(cx));
        }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        while ready!(self.poll_ready_event(cx))? {
            if let Some(message) = self.connection.poll_event()?.and_then(Event::into_message) {
                return Poll::Ready(Ok(Some(message)));
            }
        }
        Poll::Ready(Ok(None))
    }
}
