//! WebSocket over blocking transports.
//!
//! ```
//! use sansock::{CloseCode, Config, Event, blocking::{Error, accept, connect}};
//! use std::net::TcpListener;
//!
//! # fn main() -> Result<(), Error> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let url = format!("ws://{}", listener.local_addr()?);
//! let server = std::thread::spawn(move || {
//!     let mut socket = accept(listener.accept()?.0, Config::default())?;
//!     while let Some(message) = socket.recv()? {
//!         socket.send(message)?;
//!     }
//!     Ok::<(), Error>(())
//! });
//!
//! let mut socket = connect(&url, Config::default())?;
//! socket.send("hello")?;
//! assert!(matches!(socket.next()?, Some(Event::Text(text)) if &*text == "hello"));
//! assert!(socket.close(CloseCode::NORMAL, "done")?.clean);
//! # server.join().unwrap()
//! # }
//! ```
//!
//! # Non-blocking sockets and timeouts
//!
//! Where the transport does not block, or has a read timeout of the application's own, a call may
//! fail with [`WouldBlock`](std::io::ErrorKind::WouldBlock). Nothing is lost: what was queued stays
//! queued, what was read stays read, and the call can be repeated — [`flush`](WebSocket::flush) in
//! place of [`send`](WebSocket::send), which has queued its message already.
//!
//! The opening handshakes own their transport and cannot be repeated: it must block, and a timeout of
//! its own that passes ends them.

mod drive;
mod handshake;
mod split;

use std::io;
use std::time::Duration;

pub use crate::shim::Error;
pub use drive::Transport;
pub use handshake::{Incoming, accept, accept_request, connect, connect_over, connect_request};
pub use split::{Reader, Writer};

use crate::{CloseCode, CloseReport, Connection, Event, Message};
use drive::{Clock, Flushed, SLICE, Sink, is_would_block, look, read, with_spare};

/// A WebSocket over a blocking transport.
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
}

impl<Io: Transport> WebSocket<Io> {
    /// A socket of an established connection, whose timestamps count from now.
    pub fn over(io: Io, connection: Connection) -> Self {
        WebSocket { sink: Sink::new(&io), clock: Clock::new(&io), io, connection }
    }

    /// Waits for the next event and lends it; `None` when the conversation is over and the transport
    /// has been brought to its end.
    ///
    /// Before it waits for the peer, it sends what is queued.
    ///
    /// Fails if the connection does, after the peer was told, or with `WouldBlock`.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Event<'_>>, Error> {
        self.ready()?;
        Ok(self.connection.poll_event()?)
    }

    /// Waits until there are events: false when the conversation is over.
    ///
    /// All that has arrived can then be taken from the [`connection_mut`](Self::connection_mut) without
    /// waiting, and answered; this call sends the answers together. Fails as [`next`](Self::next) does.
    #[inline]
    pub fn ready(&mut self) -> Result<bool, Error> {
        self.ready_since(&mut false)
    }

    /// Waits for the next message and owns it; `None` when the conversation is over. Pings and pongs
    /// are passed over. With [`Delivery::Chunks`](crate::Delivery::Chunks) each part is a message.
    ///
    /// Fails as [`next`](Self::next) does.
    pub fn recv(&mut self) -> Result<Option<Message>, Error> {
        let mut begun = false;
        while self.ready_since(&mut begun)? {
            if let Some(message) = self.connection.poll_event()?.and_then(Event::into_message) {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Has the next message sent as it is, also if permessage-deflate was negotiated: `socket.uncompressed()
    /// .send(secret)`. See [`SendHalf::uncompressed`](crate::SendHalf::uncompressed).
    pub fn uncompressed(&mut self) -> &mut Self {
        self.connection.uncompressed();
        self
    }

    /// Sends a message, and all that was queued: returns when the operating system has it.
    ///
    /// Fails if the message cannot be sent, or as [`flush`](Self::flush) does; after `WouldBlock` the
    /// message is queued.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        self.connection.send(message)?;
        self.flush()
    }

    /// Queues a message; if more than [`Config::output_high_water`](crate::Config) waits, sends that before.
    /// The next [`flush`](Self::flush), [`send`](Self::send) or [`next`](Self::next) sends it.
    ///
    /// Fails as [`send`](Self::send) does; after `WouldBlock` the message is not queued.
    pub fn feed(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        self.room()?;
        Ok(self.connection.send(message)?)
    }

    /// If more than [`Config::output_high_water`](crate::Config) waits, sends it: before more is queued
    /// through [`connection_mut`](Self::connection_mut), such as prepared messages and fragments.
    ///
    /// Fails as [`flush`](Self::flush) does.
    pub fn room(&mut self) -> Result<(), Error> {
        if self.connection.is_above_high_water() { self.flush() } else { Ok(()) }
    }

    /// Sends all that is queued: returns when the operating system has it.
    ///
    /// Fails if the transport does, or takes nothing for so long that the peer must be gone.
    pub fn flush(&mut self) -> Result<(), Error> {
        loop {
            let flushed = self.write();
            if matches!(flushed, Ok(Flushed::All)) {
                return Ok(());
            }
            // What waits for long takes no more memory than it needs, and nothing is read meanwhile.
            with_spare(|spare| self.connection.return_buffers(spare));
            look(self.connection.halves().0, &self.clock);
            if let Some(error) = self.connection.overdue() {
                return Err(error.into());
            }
            flushed?;
        }
    }

    /// Sends a ping with a payload of at most 125 bytes. Fails as [`send`](Self::send) does.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.connection.ping(payload)?;
        self.flush()
    }

    /// Closes: sends a Close frame, waits for the peer's, and ends the transport, all within
    /// [`Config::close_timeout`](crate::Config). What the peer still sends is passed over; to see
    /// it, give the command to [`connection_mut`](Self::connection_mut) and read on.
    ///
    /// If the peer closed first, this finishes that.
    ///
    /// Fails if the reason is longer than 123 bytes, or the connection fails; after `WouldBlock`, call
    /// it again.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<CloseReport, Error> {
        match self.connection.close(code, reason) {
            Ok(()) | Err(crate::SendError::Closed) => {}
            Err(error) => return Err(error.into()),
        }
        let mut begun = false;
        while self.ready_since(&mut begun)? {
            self.connection.poll_event()?;
        }
        self.connection.closed().ok_or(Error::Connection(crate::Error::UnexpectedEof))
    }

    /// Lets calls that wait longer than this for the peer to say something fail with `WouldBlock`, to be
    /// called again; `None` lets them wait. For the peer to take what waits to be sent, they wait as long as a
    /// write timeout that the transport had before this socket, or until the keepalive finds the peer gone.
    ///
    /// Fails if the transport does not take the timeout.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.clock.give(&self.io, timeout)
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

    /// The transport. Its timeouts are this socket's business: [`set_timeout`](Self::set_timeout) is for the
    /// application's.
    pub fn io(&self) -> &Io {
        &self.io
    }

    /// [`ready`](Self::ready) for calls that take several events; of those only the first one that waits has
    /// not `begun` to.
    #[inline]
    fn ready_since(&mut self, begun: &mut bool) -> Result<bool, Error> {
        if matches!(self.connection.advance(), Ok(true)) && !self.connection.is_ended() {
            return Ok(true);
        }
        if std::mem::replace(begun, true) {
            return self.wait_event(self.clock.is_over());
        }
        self.clock.begin();
        self.wait_event(false)
    }

    /// Fails with `WouldBlock` once the application has waited long enough, if that `is_over` already without
    /// another read.
    fn wait_event(&mut self, mut is_over: bool) -> Result<bool, Error> {
        loop {
            if self.connection.advance() == Ok(true) && !self.connection.is_ended() {
                return Ok(true);
            }
            if self.is_finished() {
                if self.connection.wants_shutdown() {
                    self.sink.shutdown(&mut self.io, self.connection.halves().0);
                }
                return self.connection.advance().map(|_| false).map_err(Error::from);
            }
            // What keeps arriving, and is not what is waited for, must not keep the application waiting.
            if is_over {
                self.connection.handle_would_block();
                return Err(io::Error::from(io::ErrorKind::WouldBlock).into());
            }
            self.step()?;
            is_over = self.clock.is_over();
        }
    }

    /// One round of writing, reading and looking at the clock.
    fn step(&mut self) -> Result<(), Error> {
        // A peer that has gone away may have left messages: the error shows when they are read.
        let _ = self.write();
        // What the transport holds back still would be lost.
        if self.connection.wants_shutdown() && self.sink.is_settled() {
            self.sink.shutdown(&mut self.io, self.connection.halves().0);
        }
        let ended = self.connection.is_ended();
        if self.connection.wants_input() {
            // What could not be written now must not wait for the peer to say something.
            let is_written = self.connection.buffered() == 0 && self.sink.is_settled();
            let most = if is_written { Duration::MAX } else { SLICE };
            let (receive, send) = self.connection.halves();
            send.output().trim();
            return match read(&mut self.io, receive, &mut self.clock, most) {
                // Once the conversation is over, a reset is as good an end as any.
                Err(error) if !ended || is_would_block(&error) => {
                    self.connection.handle_would_block();
                    Err(error.into())
                }
                _ => Ok(()),
            };
        }
        if self.is_finished() {
            return Ok(());
        }
        match self.flush() {
            Err(_) if self.is_finished() => Ok(()),
            flushed => flushed,
        }
    }

    fn is_finished(&mut self) -> bool {
        self.connection.is_finished()
            && (self.sink.is_settled() || self.connection.halves().0.is_out_of_time())
    }

    fn write(&mut self) -> io::Result<Flushed> {
        // Whatever the receiving half wants sent comes first.
        self.connection.output();
        let (flushed, is_alive) = self.sink.flush(&mut self.io, self.connection.halves().1);
        if is_alive {
            self.connection.handle_written(self.clock.now());
        }
        flushed
    }
}
