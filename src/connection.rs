//! Both halves together: what a driver drives.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::close::{CloseCode, CloseReport};
use crate::config::Config;
use crate::error::{Error, SendError};
use crate::frame::Masking;
use crate::message::{Data, Event, Message};
use crate::output::Output;
use crate::prepared::Prepared;
use crate::receive::ReceiveHalf;
use crate::send::SendHalf;
use crate::spare::Spare;
use crate::time::Timestamp;

/// An established WebSocket connection, without any I/O.
///
/// A driver owns this, a transport and a clock, and repeats:
///
/// 1. take events with [`advance`](Self::advance) and [`poll_event`](Self::poll_event), giving
///    commands at will, until `advance` says false;
/// 2. write [`output`](Self::output), and shut the transport's sending side down when
///    [`wants_shutdown`](Self::wants_shutdown) says so;
/// 3. wait for the transport or for [`poll_timeout`](Self::poll_timeout), and tell what happened:
///    bytes ([`input`](Self::input), then [`handle_input`](Self::handle_input)), the end
///    ([`handle_eof`](Self::handle_eof)), nothing yet
///    ([`handle_would_block`](Self::handle_would_block)), or the time
///    ([`handle_timeout`](Self::handle_timeout));
///
/// and is done when [`is_finished`](Self::is_finished) is true.
///
/// ```text
///             close()                       Close arrives
///   ┌──────┐ ─────────► ┌─────────────┐ ──────────────────► ┌────────┐  the transport ends,
///   │ open │            │ Close sent  │  or the deadline    │ ended  │  or the deadline     ► finished
///   └──────┘ ─────────────────────────────────────────────► └────────┘
///             Close arrives, and is answered; or the connection fails
/// ```
///
/// ```
/// use bytes::{Buf, BufMut};
/// use sansock::{Config, Connection, Event, Timestamp};
///
/// let now = Timestamp::EPOCH;
/// let mut client = Connection::client(Config::default(), [7; 32], now);
/// let mut server = Connection::server(Config::default(), now);
///
/// client.text("hello")?;
/// let bytes = client.output().copy_to_bytes(11);
/// server.input().put_slice(&bytes);
/// server.handle_input(now);
/// assert!(matches!(server.poll_event()?, Some(Event::Text(text)) if &*text == "hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    receive: ReceiveHalf,
    send: SendHalf,
}

impl Connection {
    /// The server's end of a connection. It is normally made by
    /// [`handshake::server`](crate::handshake::server).
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a configuration is given away, as in `client`")]
    pub fn server(config: Config, now: Timestamp) -> Self {
        Connection {
            receive: ReceiveHalf::new(&config, Masking::Required, now),
            send: SendHalf::new(&config, None),
        }
    }

    /// The client's end of a connection. It is normally made by
    /// [`handshake::client`](crate::handshake::client).
    ///
    /// The masking keys are a cryptographic stream from `seed`, which must be unpredictable and
    /// never used twice (RFC 6455 §10.3). A connection that exists twice uses it twice: after a fork of the
    /// process, or when a virtual machine is resumed from a snapshot, one of the two must not go on.
    #[must_use]
    pub fn client(config: Config, seed: [u8; 32], now: Timestamp) -> Self {
        Connection::with_rng(config, StdRng::from_seed(seed), now)
    }

    /// The client's end of a connection, with a source of masking keys that is already in use.
    #[expect(clippy::needless_pass_by_value, reason = "a configuration is given away, as in `server`")]
    pub(crate) fn with_rng(config: Config, keys: StdRng, now: Timestamp) -> Self {
        Connection {
            receive: ReceiveHalf::new(&config, Masking::Forbidden, now),
            send: SendHalf::new(&config, Some(Box::new(keys))),
        }
    }

    /// The same connection with permessage-deflate as it was agreed upon. The handshakes do this
    /// themselves.
    ///
    /// It is for a new connection: where a message is under way, or compression was agreed upon already, it
    /// changes nothing.
    ///
    /// ```
    /// use sansock::deflate::{Deflate, accept};
    /// use sansock::{Config, Connection, Timestamp};
    ///
    /// let (config, deflate) = (Config::default(), Deflate::default());
    /// let agreed = accept([&b"permessage-deflate; client_max_window_bits"[..]], &deflate).expect("an offer");
    /// let mut connection = Connection::server(config, Timestamp::EPOCH).with_deflate(agreed, &deflate);
    /// connection.text(&"again and ".repeat(100))?;
    /// assert!(connection.buffered() < 40);
    /// # Ok::<(), sansock::SendError>(())
    /// ```
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn with_deflate(mut self, agreed: crate::deflate::Agreed, deflate: &crate::deflate::Deflate) -> Self {
        if !self.receive.is_between() || !self.send.is_between() {
            return self;
        }
        let (client, server) = (agreed.client(), agreed.server());
        let (sent, received) = if self.send.is_client() { (client, server) } else { (server, client) };
        self.send.deflate_with(deflate, sent);
        self.receive.inflate_with(deflate, agreed, received);
        self
    }

    /// The parameters of permessage-deflate, if it was negotiated (RFC 7692 §7.1).
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(&self) -> Option<crate::deflate::Agreed> {
        self.receive.agreed()
    }

    /// Puts bytes that are not frames, the handshake's answer, into the output.
    pub(crate) fn prepend_output(&mut self, bytes: Vec<u8>) {
        *self.send.output() = Output::from(bytes);
    }

    /// The buffer to append received bytes to.
    ///
    /// What was handed out is dropped here, so an event must be done with before.
    #[inline]
    pub fn input(&mut self) -> impl BufMut {
        self.receive.input()
    }

    /// [`input`](Self::input) with room for one read and no more, for transports that read into a [`BufMut`]:
    /// at least half of [`read_size`](Self::read_size) or of 64 KiB, whichever is less, and as much as there is room
    /// for anyway, up to 128 KiB, or 512 KiB within a large frame.
    #[inline]
    pub fn read_buffer(&mut self) -> impl BufMut {
        self.receive.read_buffer()
    }

    /// Gives the connection its first input without copying it.
    pub(crate) fn begin_with(&mut self, bytes: Vec<u8>, now: Timestamp) {
        *self.receive.buffer() = Bytes::from(bytes).into();
        self.receive.handle_input(now);
    }

    /// Says that bytes were appended to [`input`](Self::input), at this time.
    #[inline]
    pub fn handle_input(&mut self, now: Timestamp) {
        self.receive.handle_input(now);
    }

    /// Says that the transport has ended: nothing more will be received.
    pub fn handle_eof(&mut self) {
        self.receive.handle_eof();
    }

    /// Says that the transport has nothing to read just now, and gives back memory that holds
    /// nothing: a connection at rest owns no buffer.
    pub fn handle_would_block(&mut self) {
        self.receive.handle_would_block();
        self.send.handle_would_block();
    }

    /// Takes large buffers for the next read and what will be queued, if this connection has none. See
    /// [`Spare`].
    #[inline]
    pub fn borrow_buffers(&mut self, spare: &mut Spare) {
        self.receive.borrow_buffer(spare);
        self.send.borrow_buffer(spare);
    }

    /// Says that the transport has nothing to read just now, as
    /// [`handle_would_block`](Self::handle_would_block), and gives memory that holds nothing to others.
    pub fn return_buffers(&mut self, spare: &mut Spare) {
        self.receive.return_buffer(spare);
        self.send.return_buffer(spare);
    }

    /// Says that the transport took output which had to wait: a sign of life, as input is.
    pub fn handle_written(&mut self, now: Timestamp) {
        self.receive.handle_written(now);
    }

    /// Says what time it is. Needed when [`poll_timeout`](Self::poll_timeout) is reached; harmless
    /// at any other time.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.receive.handle_timeout(now);
        self.exchange();
    }

    /// Has the next message sent as it is, also if permessage-deflate was negotiated. See
    /// [`SendHalf::uncompressed`].
    #[inline]
    pub fn uncompressed(&mut self) -> &mut Self {
        self.send.uncompressed();
        self
    }

    /// Queues a text message.
    ///
    /// Fails after a Close frame or inside a fragmented message; nothing is queued then.
    #[inline]
    pub fn text(&mut self, text: &str) -> Result<(), SendError> {
        self.send.text(text)
    }

    /// Queues a binary message.
    ///
    /// Fails after a Close frame or inside a fragmented message; nothing is queued then.
    #[inline]
    pub fn binary(&mut self, data: &[u8]) -> Result<(), SendError> {
        self.send.binary(data)
    }

    /// Sends a message past the queue, as far as the transport takes it at once. See [`SendHalf::offer`].
    ///
    /// Fails after a Close frame or inside a fragmented message; nothing is written or queued then.
    #[inline]
    pub fn offer<'a>(
        &mut self,
        message: impl Into<Data<'a>>,
        write: impl FnOnce(&[u8], &[u8]) -> usize,
    ) -> Result<(), SendError> {
        self.send.offer(message, write)
    }

    /// Queues an owned message: a server that does not compress it does not copy a large one.
    ///
    /// Fails after a Close frame or inside a fragmented message; nothing is queued then.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError> {
        self.send.send(message)
    }

    /// Queues the next part of a fragmented message; the first one opens it. See
    /// [`SendHalf::fragment`].
    pub fn fragment<'a>(&mut self, data: impl Into<Data<'a>>) -> Result<(), SendError> {
        self.send.fragment(data)
    }

    /// Queues the last part of a fragmented message, or a whole message if none is open. See
    /// [`SendHalf::last_fragment`].
    pub fn last_fragment<'a>(&mut self, data: impl Into<Data<'a>>) -> Result<(), SendError> {
        self.send.last_fragment(data)
    }

    /// Queues a message that was encoded before.
    ///
    /// Fails after a Close frame or inside a fragmented message; nothing is queued then.
    pub fn prepared(&mut self, message: &Prepared) -> Result<(), SendError> {
        self.send.prepared(message)
    }

    /// Queues a ping with a payload of at most 125 bytes.
    ///
    /// Fails after a Close frame or if the payload is longer.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.send.ping(payload)
    }

    /// Queues a pong that no ping asked for, with a payload of at most 125 bytes. Pings are answered
    /// without it.
    ///
    /// Fails after a Close frame or if the payload is longer.
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.send.pong(payload)
    }

    /// Begins the closing handshake: queues a Close frame, after which nothing can be sent. Messages
    /// still arrive, and pings are answered, until the peer's has come. The deadline counts from the next
    /// [`handle_timeout`](Self::handle_timeout) or [`handle_input`](Self::handle_input).
    ///
    /// Fails if a Close frame was sent already, or if the reason is longer than 123 bytes.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.exchange();
        self.send.close(code, reason)?;
        self.exchange();
        Ok(())
    }

    /// Finds the next event: true if [`poll_event`](Self::poll_event) has something to say, be it
    /// that the conversation is over; false if more input is needed.
    ///
    /// Calling it again changes nothing until the event is taken. It looks at each buffered byte at
    /// most once, and stops at the first event.
    ///
    /// Fails if the peer broke the protocol, a deadline passed, or the transport ended without a
    /// Close frame of either end; then with the same error for ever. The Close frame that tells the peer is in the
    /// output by then.
    #[inline]
    pub fn advance(&mut self) -> Result<bool, Error> {
        // A Close frame of an application that has the sending half at hand: the receiving one judges an end by it.
        if self.send.is_closed() {
            self.exchange();
        }
        let advanced = self.receive.advance();
        if self.receive.has_control() {
            self.exchange();
        }
        advanced
    }

    /// Lends the next event; `None` if there is none yet, or none any more.
    ///
    /// The bytes stand in the receive buffer until the next call of any `&mut` method.
    ///
    /// Fails as [`advance`](Self::advance) does.
    #[inline]
    pub fn poll_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        if let Some(whole) = self.receive.poll_whole_frame() {
            return Ok(Some(self.receive.lend_whole(whole)));
        }
        self.prepare_event()?;
        Ok(self.receive.lend())
    }

    /// Lends the next event together with the sending half, so that it can be answered without being
    /// copied; otherwise as [`poll_event`](Self::poll_event).
    ///
    /// ```
    /// use bytes::{Buf, BufMut};
    /// use sansock::{Config, Connection, Event, Timestamp};
    ///
    /// let mut connection = Connection::server(Config::default(), Timestamp::EPOCH);
    /// connection.input().put_slice(b"\x82\x82\0\0\0\0hi");
    /// connection.handle_input(Timestamp::EPOCH);
    ///
    /// while let Some((event, send)) = connection.poll_with_send()? {
    ///     if let Event::Binary(data) = event {
    ///         send.binary(&data)?;
    ///     }
    /// }
    /// assert_eq!(connection.output().chunk(), b"\x82\x02hi");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn poll_with_send(&mut self) -> Result<Option<(Event<'_>, &mut SendHalf)>, Error> {
        if let Some(whole) = self.receive.poll_whole_frame() {
            return Ok(Some((self.receive.lend_whole(whole), &mut self.send)));
        }
        self.prepare_event()?;
        Ok(self.receive.lend().map(|event| (event, &mut self.send)))
    }

    /// Finds the next event and carries out what follows from it.
    fn prepare_event(&mut self) -> Result<(), Error> {
        self.advance()?;
        self.receive.note_event();
        if self.receive.has_control() {
            self.exchange();
        }
        Ok(())
    }

    /// The bytes to write. Ask anew before each write: a pong may have waited for the last one.
    #[inline]
    pub fn output(&mut self) -> &mut Output {
        if self.receive.has_control() || self.send.is_closed() {
            self.exchange();
        }
        self.send.output()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); the epoch means at once.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.receive.poll_timeout()
    }

    /// How many bytes of the frame under way have not arrived.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.receive.missing()
    }

    /// How many bytes to ask the transport for: it follows what reads have brought, never what the peer
    /// has only announced. At most 128 KiB, or 512 KiB within a large frame.
    #[must_use]
    pub fn read_size(&self) -> usize {
        self.receive.read_size()
    }

    /// How many bytes wait to be written.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.send.buffered()
    }

    /// Whether more waits than [`Config::output_high_water`]: then a driver reads nothing until some
    /// of it is written, so that the peer feels it.
    #[must_use]
    pub fn is_above_high_water(&self) -> bool {
        self.send.is_above_high_water()
    }

    /// Whether to shut down the transport's sending side now: it falls to this endpoint, and all
    /// output is written (RFC 6455 §7.1.1).
    #[must_use]
    pub fn wants_shutdown(&self) -> bool {
        self.receive.ends_transport() && !self.waits_to_send()
    }

    /// Whether to read: the transport has not ended, and no more output waits than it should. Pongs that the
    /// peer will not get, because it has pinged again before it took them, count as if they waited.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.receive.wants_input() && !self.is_above_high_water() && !self.send.is_pinged_for_nothing()
    }

    /// Whether the driver is done: the conversation is over, and either both directions of the
    /// transport have come to their end or the time for that is up.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.receive.is_finished() && (!self.waits_to_send() || self.receive.is_out_of_time())
    }

    /// Whether there is output, or will be once the receiving half's wishes are looked at.
    fn waits_to_send(&self) -> bool {
        self.receive.has_control() || self.send.output_ref().has_remaining()
    }

    /// Whether the conversation is over: there are no more events.
    #[must_use]
    #[inline]
    pub fn is_ended(&self) -> bool {
        self.receive.is_ended()
    }

    /// The deadline that has passed, as the error that comes once all events are handed out. A driver
    /// that waits to write looks here.
    #[must_use]
    pub fn overdue(&self) -> Option<Error> {
        self.receive.overdue()
    }

    /// How the conversation ended; `None` while it goes on.
    #[must_use]
    pub fn closed(&self) -> Option<CloseReport> {
        let (began, received, clean) = self.receive.ending()?;
        Some(CloseReport { began, received, sent: self.send.close_sent(), clean })
    }

    /// Borrows both halves. To answer events as they come, [`poll_with_send`](Self::poll_with_send)
    /// is the better choice: it sends pongs in their turn, where the halves by themselves leave that
    /// to the next [`output`](Self::output).
    pub fn halves(&mut self) -> (&mut ReceiveHalf, &mut SendHalf) {
        (&mut self.receive, &mut self.send)
    }

    /// Takes the halves apart. From here on, what [`ReceiveHalf::poll_control`] says must be carried
    /// to [`SendHalf::handle_control`], and a Close frame that the application sends be told to
    /// [`ReceiveHalf::handle_close_sent`].
    #[must_use]
    pub fn split(self) -> (ReceiveHalf, SendHalf) {
        (self.receive, self.send)
    }

    #[cold]
    fn exchange(&mut self) {
        while let Some(control) = self.receive.poll_control() {
            self.send.handle_control(control);
        }
        if self.send.is_closed() {
            self.receive.handle_close_sent();
        }
    }
}
