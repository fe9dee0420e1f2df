//! A socket in two: one task reads, another writes.
//!
//! The halves have nothing in common while messages flow. The writer takes the lock when it writes
//! to the transport; the reader only when the machine wants something sent, such as a pong: then
//! it writes that itself, behind whatever whole frames the writer has handed over.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::drive::{Clock, Sink, Turn, poll_input, with_spare};
use super::wakers::{Side, Wakers};
use super::{Error, WebSocket};
use crate::shim::end_of;
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};
use crate::{CloseCode, CloseReport, Event, Message, ReceiveHalf, SendHalf};

impl WebSocket<TcpStream> {
    /// Takes the socket apart into halves that may go to different tasks.
    #[must_use]
    pub fn split(self) -> (Reader<OwnedReadHalf, OwnedWriteHalf>, Writer<OwnedWriteHalf>) {
        self.split_with(TcpStream::into_split)
    }
}

impl<Io> WebSocket<Io> {
    /// The same for any transport, with a function that splits it, such as [`tokio::io::split`].
    #[must_use]
    pub fn split_with<R, W>(self, split: impl FnOnce(Io) -> (R, W)) -> (Reader<R, W>, Writer<W>) {
        let (receive, mut send) = self.connection.split();
        let mut wire = send.fork();
        // What is queued already comes first; a wire without a Close frame takes anything.
        let _ = wire.append(&mut send);
        let (io, sending) = split(self.io);
        let shared = Arc::new(Shared {
            wire: Mutex::new(Wire { io: sending, sink: self.sink, send: wire, finished: false }),
            wakers: self.wakers.unwrap_or_default(),
            close_sent: AtomicBool::new(send.is_closed()),
            backlog: AtomicBool::new(true),
            progress: AtomicBool::new(false),
        });
        let writer = Writer { send, shared: Arc::clone(&shared) };
        (Reader { io, receive, clock: self.clock, turn: self.turn, shared }, writer)
    }
}

/// What the halves share.
#[derive(Debug)]
struct Shared<W> {
    wire: Mutex<Wire<W>>,
    /// The tasks of the halves.
    wakers: Arc<Wakers>,
    /// The writer sends a Close frame, and the reader does not know it yet.
    close_sent: AtomicBool,
    /// Something waits on the wire: whoever is woken writes it.
    backlog: AtomicBool,
    /// The wire moved after it had been stuck, and the reader does not know it yet.
    progress: AtomicBool,
}

/// The transport's sending side, with the whole frames that wait for it.
#[derive(Debug)]
struct Wire<W> {
    io: W,
    sink: Sink,
    /// Answers for the receiving half, and holds what the writer has handed over.
    send: SendHalf,
    /// The reader has brought the conversation to its end.
    finished: bool,
}

impl<W> Shared<W> {
    fn wire(&self) -> MutexGuard<'_, Wire<W>> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: AsyncWrite + Unpin> Shared<W> {
    /// Writes what waits on the wire; also says whether the other half is to be woken, once the wire is let
    /// go: a waker may run its task at once.
    fn poll_flush(&self, side: Side, cx: &Context<'_>, wire: &mut Wire<W>) -> (Poll<io::Result<()>>, bool) {
        self.wakers.register(side, cx.waker());
        let (waited, before) = (wire.sink.waits(), wire.send.output().written());
        let both = self.wakers.both();
        let mut both = Context::from_waker(&both);
        let (flushed, is_alive) = wire.sink.poll_flush(&mut wire.io, &mut both, &mut wire.send);
        let moved = wire.send.output().written() > before;
        if is_alive {
            self.progress.store(true, Ordering::Release);
        }
        let was_behind = self.backlog.swap(flushed.is_pending(), Ordering::AcqRel);
        // The transport owes nobody a call any more for what is ready; and one that came before the flag was up
        // has told the other half nothing.
        let wakes = waited && (moved || flushed.is_ready()) || flushed.is_pending() && !was_behind;
        with_spare(|spare| wire.send.return_buffer(spare));
        (flushed, wakes)
    }
}

/// The reading half of a [`WebSocket`]. It answers pings, keeps the peer alive and runs the closing
/// handshake, whether or not the [`Writer`] is used: read on, even if there is nothing to expect.
#[derive(Debug)]
pub struct Reader<R, W> {
    io: R,
    receive: ReceiveHalf,
    clock: Clock,
    turn: Turn,
    shared: Arc<Shared<W>>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Reader<R, W> {
    /// Waits for the next event and lends it; `None` when the conversation is over. Cancel-safe.
    ///
    /// Fails if the connection does, after the peer was told.
    pub async fn next(&mut self) -> Result<Option<Event<'_>>, Error> {
        poll_fn(|cx| self.poll_ready_event(cx)).await?;
        Ok(self.receive.poll_event()?)
    }

    /// Waits for the next message and owns it; `None` when the conversation is over. Pings and pongs
    /// are passed over. Cancel-safe. Fails as [`next`](Self::next) does.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        while let Some(event) = self.next().await? {
            if let Some(message) = event.into_message() {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// How the conversation ended; `None` while it goes on.
    #[must_use]
    pub fn closed(&self) -> Option<CloseReport> {
        let (began, received, clean) = self.receive.ending()?;
        let sent = self.shared.wire().send.close_sent();
        Some(CloseReport { began, received, sent, clean })
    }

    fn poll_ready_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        loop {
            let advanced = self.receive.advance();
            if self.receive.has_control() {
                self.pass_orders();
            }
            if advanced == Ok(true) && !self.receive.is_ended() {
                return Poll::Ready(Ok(true));
            }
            if self.is_finished() {
                self.shared.wire().finished = true;
                self.shared.wakers.wake(Side::Writing);
                return Poll::Ready(advanced.map(|_| false).map_err(Error::from));
            }
            ready!(self.poll_io(cx))?;
        }
    }

    fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.shared.wakers.register(Side::Reading, cx.waker());
        self.note_close_sent();
        self.poll_wire(cx);
        if self.is_finished() {
            return Poll::Ready(Ok(()));
        }
        if self.receive.wants_input() {
            // What there may be to read yet comes before the clock.
            if self.turn.poll(cx, self.receive.missing()).is_pending() {
                with_spare(|spare| self.receive.pause(spare));
                return Poll::Pending;
            }
            let ended = self.receive.is_ended();
            let read = poll_input(&mut self.io, cx, &mut self.receive, &self.clock, &mut self.turn);
            if let Poll::Ready(read) = read {
                // What was read may answer a Close frame that was sent meanwhile.
                self.note_close_sent();
                // Once the conversation is over, a reset is as good an end as any.
                return Poll::Ready(if ended { Ok(()) } else { read.map_err(Error::Io) });
            }
        }
        ready!(self.clock.poll(cx, self.receive.poll_timeout()));
        if self.shared.progress.swap(false, Ordering::AcqRel) {
            self.receive.handle_written(self.clock.now());
        }
        self.receive.handle_timeout(self.clock.now());
        Poll::Ready(Ok(()))
    }

    /// Hears of the writer's Close frame.
    fn note_close_sent(&mut self) {
        if self.shared.close_sent.swap(false, Ordering::AcqRel) {
            self.receive.handle_close_sent();
        }
    }

    /// Writes what waits on the wire, if anything does, and ends it when its time has come.
    fn poll_wire(&mut self, cx: &mut Context<'_>) {
        let ends = self.receive.ends_transport();
        if !ends && !self.shared.backlog.load(Ordering::Acquire) {
            return;
        }
        let mut wire = self.shared.wire();
        let (flushed, wakes) = self.shared.poll_flush(Side::Reading, cx, &mut wire);
        if ends && flushed.is_ready() {
            let Wire { io, sink, .. } = &mut *wire;
            let _ = sink.poll_shutdown(io, cx);
        }
        drop(wire);
        if wakes {
            self.shared.wakers.wake(Side::Writing);
        }
    }

    /// Lets the sending side carry out what the receiving half wants.
    fn pass_orders(&mut self) {
        let mut wire = self.shared.wire();
        while let Some(control) = self.receive.poll_control() {
            wire.send.handle_control(control);
        }
        self.shared.backlog.store(true, Ordering::Release);
    }

    fn is_finished(&self) -> bool {
        self.receive.is_finished() && (self.receive.is_out_of_time() || self.is_settled())
    }

    fn is_settled(&self) -> bool {
        let wire = self.shared.wire();
        wire.send.buffered() == 0 && wire.sink.is_settled(self.receive.ends_transport())
    }
}

/// The writing half of a [`WebSocket`].
///
/// Dropping it does not close the connection: [`close`](Self::close) does.
#[derive(Debug)]
pub struct Writer<W> {
    send: SendHalf,
    shared: Arc<Shared<W>>,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Has the next message sent as it is, also if permessage-deflate was negotiated. See
    /// [`SendHalf::uncompressed`].
    pub fn uncompressed(&mut self) -> &mut Self {
        self.send.uncompressed();
        self
    }

    /// Sends a message, and all that was queued: returns when the operating system has it.
    ///
    /// Cancel-safe: the message is queued by the first poll, and stays so.
    ///
    /// Fails if the connection is closed, or the transport fails.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        self.send.send(message)?;
        self.flush().await
    }

    /// Queues a message; if more than [`Config::output_high_water`](crate::Config) waits, sends that
    /// before. [`flush`](Self::flush) or [`send`](Self::send) sends it.
    ///
    /// Cancel-safe: a dropped call has queued nothing. Fails as [`send`](Self::send) does.
    pub async fn feed(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        if self.send.is_above_high_water() || self.is_wire_full() {
            self.flush().await?;
        }
        Ok(self.send.send(message)?)
    }

    /// Sends all that is queued: returns when the operating system has it. Cancel-safe.
    ///
    /// Fails if the connection is closed, or the transport fails.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Sends a ping with a payload of at most 125 bytes. Cancel-safe. Fails as
    /// [`send`](Self::send) does.
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.send.ping(payload)?;
        self.flush().await
    }

    /// Begins the closing handshake: returns when the operating system has the Close frame. The
    /// [`Reader`] sees the rest of it, and its end. Cancel-safe: call [`flush`](Self::flush) to go on.
    ///
    /// Fails if the reason is longer than 123 bytes, the connection is closed, or the transport fails.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.send.close(code, reason)?;
        self.flush().await
    }

    /// The sending half, to queue what the calls above do not name; [`flush`](Self::flush) sends it.
    pub fn half(&mut self) -> &mut SendHalf {
        &mut self.send
    }

    /// Whether a flush that was given up has left much on the wire.
    fn is_wire_full(&self) -> bool {
        self.shared.backlog.load(Ordering::Acquire) && self.shared.wire().send.is_above_high_water()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut wire = self.shared.wire();
        if wire.finished {
            // There is no place for it any more.
            self.send.output().clear();
            return Poll::Ready(Err(end_of(wire.sink.state(), &wire.send)));
        }
        let closes = self.send.is_closed() && self.send.buffered() > 0;
        wire.send.append(&mut self.send)?;
        // Before the frame leaves, and not in a store buffer behind it: the reader must not see the answer first.
        if closes {
            self.shared.close_sent.swap(true, Ordering::AcqRel);
        }
        let (flushed, wakes) = self.shared.poll_flush(Side::Writing, cx, &mut wire);
        drop(wire);
        self.send.rest();
        if wakes || closes {
            self.shared.wakers.wake(Side::Reading);
        }
        flushed.map_err(Error::Io)
    }
}
