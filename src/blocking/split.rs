//! A socket in two: one thread reads, another writes.
//!
//! The halves have nothing in common while messages flow. The writer takes the lock when it writes
//! to the transport. The reader does not wait for it while messages flow: what the machine wants sent,
//! such as a pong, it leaves in a slot, and whoever has the lock next, or now, sends it. At the end of
//! the conversation it waits in turn, for a slice of the writer's time at the most.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::sync::{Arc, PoisonError, TryLockError};

use super::drive::{Clock, Flushed, SLICE, Sink, Transport, is_would_block, look, read};
use super::{Error, WebSocket};
use crate::control::Order;
use crate::shim::end_of;
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};
use crate::{CloseCode, CloseReport, Control, Event, Message, ReceiveHalf, SendHalf};

impl WebSocket<TcpStream> {
    /// Takes the socket apart into halves that may go to different threads.
    ///
    /// Fails if the operating system has no second handle of the stream to give.
    pub fn split(self) -> io::Result<(Reader<TcpStream, TcpStream>, Writer<TcpStream>)> {
        let second = self.io.try_clone()?;
        Ok(self.split_with(|io| (io, second)))
    }
}

impl<Io> WebSocket<Io> {
    /// The same for any transport, with a function that splits it.
    #[must_use]
    pub fn split_with<R, W>(self, split: impl FnOnce(Io) -> (R, W)) -> (Reader<R, W>, Writer<W>) {
        let (receive, mut send) = self.connection.split();
        let mut wire = send.fork();
        // What is queued already comes first; a wire without a Close frame takes anything.
        let _ = wire.append(&mut send);
        let (io, sending) = split(self.io);
        let shared = Arc::new(Shared {
            turn: Mutex::default(),
            wire: Mutex::new(Wire { io: sending, sink: self.sink, send: wire, finished: false }),
            orders: Mutex::default(),
            close_sent: AtomicBool::new(send.is_closed()),
            behind: AtomicBool::new(true),
            progress: AtomicBool::new(false),
        });
        let writer = Writer { send, shared: Arc::clone(&shared) };
        (Reader { io, receive, clock: self.clock, shared }, writer)
    }
}

/// What the halves share.
#[derive(Debug)]
struct Shared<W> {
    /// Held while waiting for the wire: who lets go of it and wants it again comes second.
    turn: Mutex<()>,
    wire: Mutex<Wire<W>>,
    /// What the receiving half wants sent: at the most a pong, a keepalive ping, a Close frame and a last word.
    orders: Mutex<VecDeque<Control>>,
    /// The writer sends a Close frame, and the reader does not know it yet.
    close_sent: AtomicBool,
    /// The last flush was given up: something may wait on the wire.
    behind: AtomicBool,
    /// The transport took some output, and the reader does not know it yet.
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

impl<W: Transport> Shared<W> {
    fn wire(&self) -> MutexGuard<'_, Wire<W>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wire, unless the other half holds it.
    fn try_wire(&self) -> Option<MutexGuard<'_, Wire<W>>> {
        match self.wire.try_lock() {
            Ok(wire) => Some(wire),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn orders(&self) -> MutexGuard<'_, VecDeque<Control>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self, wire: &mut Wire<W>) -> io::Result<Flushed> {
        let (flushed, is_alive) = wire.sink.flush(&mut wire.io, &mut wire.send);
        if is_alive {
            self.progress.store(true, Ordering::Release);
        }
        if matches!(flushed, Ok(Flushed::All)) {
            wire.send.handle_would_block();
        }
        self.behind.store(wire.send.buffered() > 0 || !wire.sink.is_settled(), Ordering::Release);
        flushed
    }

    /// Carries out the orders, unless the other half holds the wire: then that one does, when it
    /// lets go.
    fn serve(&self) {
        while !self.orders().is_empty() {
            let Some(mut wire) = self.try_wire() else { return };
            self.carry_out(&mut wire);
            // What does not go now goes with the next write; a broken wire shows at the reader.
            let _ = self.flush(&mut wire);
        }
    }

    fn carry_out(&self, wire: &mut Wire<W>) {
        while let Some(order) = { self.orders().pop_front() } {
            wire.send.handle_control(order);
        }
    }

    /// Goes on with what a flush has left, unless the other half does: it may never be used again.
    fn catch_up(&self) {
        if self.behind.load(Ordering::Acquire)
            && let Some(mut wire) = self.try_wire()
        {
            let _ = self.flush(&mut wire);
        }
    }

    /// Leaves an order. Of two pongs the newer stays, and of two keepalive pings one.
    fn order(&self, control: Control) {
        let mut orders = self.orders();
        let replaces = |old: &Control| {
            matches!((old.0, control.0), (Order::Pong(_), Order::Pong(_)) | (Order::Ping, Order::Ping))
        };
        match orders.iter_mut().find(|old| replaces(old)) {
            Some(old) => *old = control,
            None => orders.push_back(control),
        }
    }
}

/// The reading half of a [`WebSocket`]. It answers pings, keeps the peer alive and runs the closing
/// handshake, whether or not the [`Writer`] is used: read on, even if there is nothing to expect.
#[derive(Debug)]
pub struct Reader<R, W> {
    io: R,
    receive: ReceiveHalf,
    clock: Clock,
    shared: Arc<Shared<W>>,
}

impl<R: Transport, W: Transport> Reader<R, W> {
    /// Waits for the next event and lends it; `None` when the conversation is over.
    ///
    /// Fails if the connection does, after the peer was told, or with `WouldBlock`.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend")]
    pub fn next(&mut self) -> Result<Option<Event<'_>>, Error> {
        self.clock.begin();
        self.wait_event(false)?;
        Ok(self.receive.poll_event()?)
    }

    /// Waits for the next message and owns it; `None` when the conversation is over. Pings and pongs
    /// are passed over. Fails as [`next`](Self::next) does.
    pub fn recv(&mut self) -> Result<Option<Message>, Error> {
        self.clock.begin();
        let mut is_over = false;
        while self.wait_event(is_over)? {
            if let Some(message) = self.receive.poll_event()?.and_then(Event::into_message) {
                return Ok(Some(message));
            }
            is_over = self.clock.is_over();
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

    /// True if there is an event, false when the conversation is over.
    ///
    /// Fails with `WouldBlock` once the application has waited long enough, if that `is_over` already without
    /// another read.
    fn wait_event(&mut self, mut is_over: bool) -> Result<bool, Error> {
        loop {
            let advanced = self.receive.advance();
            while let Some(control) = self.receive.poll_control() {
                self.shared.order(control);
            }
            self.shared.serve();
            if advanced == Ok(true) && !self.receive.is_ended() {
                return Ok(true);
            }
            if self.receive.is_ended() && self.end()? {
                return advanced.map(|_| false).map_err(Error::from);
            }
            // What keeps arriving, and is not what is waited for, must not keep the application waiting.
            if is_over {
                self.receive.handle_would_block();
                return Err(io::Error::from(io::ErrorKind::WouldBlock).into());
            }
            self.step()?;
            is_over = self.clock.is_over();
        }
    }

    fn step(&mut self) -> Result<(), Error> {
        self.note_close_sent();
        if self.shared.progress.swap(false, Ordering::AcqRel) {
            self.receive.handle_written(self.clock.now());
        }
        if !self.receive.wants_input() {
            return Ok(());
        }
        self.shared.catch_up();
        let ended = self.receive.is_ended();
        let read = read(&mut self.io, &mut self.receive, &mut self.clock, SLICE);
        // What was read may answer a Close frame that was sent meanwhile.
        self.note_close_sent();
        match read {
            // Once the conversation is over, a reset is as good an end as any.
            Err(error) if !ended || is_would_block(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Hears of the writer's Close frame.
    fn note_close_sent(&mut self) {
        if self.shared.close_sent.swap(false, Ordering::AcqRel) {
            self.receive.handle_close_sent();
        }
    }

    /// The conversation is over: writes what is left and ends the transport; true when all is done.
    ///
    /// Fails with `WouldBlock` if only writing is left, and the transport takes no more for now.
    fn end(&mut self) -> Result<bool, Error> {
        let mut wire = self.shared.wire();
        // The writer may have let go of the wire and not come to it yet: the last word leaves before the end.
        self.shared.carry_out(&mut wire);
        let flushed = self.shared.flush(&mut wire);
        if matches!(flushed, Ok(Flushed::All)) && self.receive.ends_transport() {
            let Wire { io, sink, .. } = &mut *wire;
            sink.shutdown(io, &mut self.receive);
        }
        look(&mut self.receive, &self.clock);
        let is_written = wire.send.buffered() == 0 && wire.sink.is_settled();
        wire.finished = self.receive.is_finished() && (is_written || self.receive.is_out_of_time());
        if !wire.finished && !self.receive.wants_input() {
            flushed?;
        }
        Ok(wire.finished)
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

impl<W: Transport> Writer<W> {
    /// Has the next message sent as it is, also if permessage-deflate was negotiated. See
    /// [`SendHalf::uncompressed`].
    pub fn uncompressed(&mut self) -> &mut Self {
        self.send.uncompressed();
        self
    }

    /// Sends a message, and all that was queued: returns when the operating system has it.
    ///
    /// Fails if the connection is closed or the transport fails; after `WouldBlock` the message is
    /// queued.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        self.send.send(message)?;
        self.flush()
    }

    /// Queues a message; if more than [`Config::output_high_water`](crate::Config) waits, sends that
    /// before. [`flush`](Self::flush) or [`send`](Self::send) sends it.
    ///
    /// Fails as [`send`](Self::send) does; after `WouldBlock` the message is not queued.
    pub fn feed(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        if self.send.is_above_high_water() || self.is_wire_full() {
            self.flush()?;
        }
        Ok(self.send.send(message)?)
    }

    /// Sends all that is queued: returns when the operating system has it.
    ///
    /// Fails if the connection is closed or the transport fails; with `WouldBlock` if it takes no more
    /// for now.
    pub fn flush(&mut self) -> Result<(), Error> {
        loop {
            let mut wire = self.shared.wire();
            if wire.finished {
                // There is no place for it any more.
                self.send.output().clear();
                return Err(end_of(wire.sink.state(), &wire.send));
            }
            let closes = self.send.is_closed() && self.send.buffered() > 0;
            if let Err(error) = wire.send.append(&mut self.send) {
                drop(wire);
                // The reader may have found the wire held.
                self.shared.serve();
                return Err(error.into());
            }
            // Before the frame leaves, and not in a store buffer behind it: the reader must not see the answer first.
            if closes {
                self.shared.close_sent.swap(true, Ordering::AcqRel);
            }
            let flushed = self.shared.flush(&mut wire);
            drop(wire);
            self.send.rest();
            self.shared.serve();
            if flushed? == Flushed::All {
                return Ok(());
            }
        }
    }

    /// Sends a ping with a payload of at most 125 bytes. Fails as [`send`](Self::send) does.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.send.ping(payload)?;
        self.flush()
    }

    /// Begins the closing handshake: returns when the operating system has the Close frame. The
    /// [`Reader`] sees the rest of it, and its end.
    ///
    /// Fails if the reason is longer than 123 bytes, the connection is closed, or the transport fails.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.send.close(code, reason)?;
        self.flush()
    }

    /// The sending half, to queue what the calls above do not name; [`flush`](Self::flush) sends it.
    pub fn half(&mut self) -> &mut SendHalf {
        &mut self.send
    }

    /// Whether a flush that was given up has left much on the wire.
    fn is_wire_full(&self) -> bool {
        if !self.shared.behind.load(Ordering::Acquire) {
            return false;
        }
        let is_full = self.shared.wire().send.is_above_high_water();
        // The reader may have found the wire held meanwhile.
        self.shared.serve();
        is_full
    }
}
