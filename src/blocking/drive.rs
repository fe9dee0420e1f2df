//! One read, write or look at the clock: all that the halves and the whole have in common.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use crate::shim::{self, Sending, Stall};
use crate::{Output, ReceiveHalf, SendHalf, Spare, Timestamp};

/// There may be a thread for each connection, so each keeps little.
const MOST_SPARE: usize = 512 << 10;

std::thread_local! {
    /// The buffers that this thread's connections take turns in.
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare::with_limit(MOST_SPARE)) };
}

pub(super) fn with_spare(with: impl FnMut(&mut Spare)) {
    shim::with_spare(&SPARE, with);
}

/// A blocking transport. [`TcpStream`] and Unix streams are, and so is anything that reads and
/// writes: the methods have defaults, with which deadlines are looked at when a read returns.
///
/// A transport may be non-blocking, or have timeouts of its own: then the calls of the socket give
/// [`ErrorKind::WouldBlock`], and can be called again.
pub trait Transport: Read + Write {
    /// How long a read waits, if not for ever.
    fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(None)
    }

    /// Limits how long a read waits; a read that waits longer fails with
    /// [`ErrorKind::WouldBlock`] or [`ErrorKind::TimedOut`].
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let _ = timeout;
        Ok(())
    }

    /// How long a write waits, if not for ever.
    fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(None)
    }

    /// Limits how long a write waits, as for reads.
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let _ = timeout;
        Ok(())
    }

    /// Ends the sending side: the peer sees the end of the stream.
    ///
    /// By default it fails as [`Unsupported`](ErrorKind::Unsupported). If it fails, nothing more is read:
    /// only dropping the transport can end it.
    fn shutdown_write(&mut self) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
}

macro_rules! transport {
    ($stream:ty) => {
        impl Transport for $stream {
            fn read_timeout(&self) -> io::Result<Option<Duration>> {
                self.read_timeout()
            }

            fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.set_read_timeout(timeout)
            }

            fn write_timeout(&self) -> io::Result<Option<Duration>> {
                self.write_timeout()
            }

            fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.set_write_timeout(timeout)
            }

            fn shutdown_write(&mut self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }
        }
    };
}

transport!(TcpStream);
#[cfg(unix)]
transport!(std::os::unix::net::UnixStream);

/// Whether an error says "not now".
pub(super) fn is_would_block(error: &io::Error) -> bool {
    match error.kind() {
        ErrorKind::WouldBlock => true,
        // To Unix a timeout that was set is EAGAIN. ETIMEDOUT is the end of a connection whose peer is gone.
        ErrorKind::TimedOut => cfg!(not(unix)) || error.raw_os_error().is_none(),
        _ => false,
    }
}

/// The clock, as the machine sees it, and the timeout that the transport has for it.
#[derive(Debug)]
pub(super) struct Clock {
    epoch: Instant,
    /// The application's own read timeout.
    given: Option<Duration>,
    /// The read timeout that is set.
    armed: Option<Duration>,
    /// Since when the application waits for the peer.
    waiting: Timestamp,
}

impl Clock {
    pub(super) fn new(io: &impl Transport) -> Self {
        let given = io.read_timeout().unwrap_or_default();
        Clock { epoch: Instant::now(), given, armed: given, waiting: Timestamp::EPOCH }
    }

    /// Takes a read timeout of the application's.
    pub(super) fn give(&mut self, io: &impl Transport, timeout: Option<Duration>) -> io::Result<()> {
        io.set_read_timeout(timeout)?;
        (self.given, self.armed) = (timeout, timeout);
        Ok(())
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_epoch(self.epoch.elapsed())
    }

    /// The application begins to wait.
    pub(super) fn begin(&mut self) {
        self.waiting = self.now();
    }

    /// Whether the application has waited long enough.
    pub(super) fn is_over(&self) -> bool {
        self.patience().is_zero()
    }

    /// How long the application wants to wait yet.
    fn patience(&self) -> Duration {
        let waited = self.now().saturating_since(self.waiting);
        self.given.map_or(Duration::MAX, |given| given.saturating_sub(waited))
    }

    /// Lets the next read wait no longer than `most`, nor beyond `deadline`. The timeout is set anew only
    /// when it would last too long or far too short, not for every read.
    fn arm(&mut self, io: &impl Transport, most: Duration, deadline: Option<Timestamp>) -> io::Result<()> {
        let left = deadline.map_or(most, |deadline| deadline.saturating_since(self.now()).min(most));
        let left = left.min(self.patience());
        if left == Duration::MAX || self.armed.is_some_and(|armed| left / 2 <= armed && armed <= left) {
            return Ok(());
        }
        let timeout = (left / 4 * 3).max(Duration::from_millis(1));
        io.set_read_timeout(Some(timeout))?;
        self.armed = Some(timeout);
        Ok(())
    }

    /// Whether a read that gave up after `waited` did so at the timeout set here, neither because the
    /// transport does not block nor because the application has waited long enough.
    fn is_own(&self, waited: Duration) -> bool {
        self.armed.is_some_and(|armed| has_passed(armed, waited)) && self.patience() > TICK
    }
}

/// Whether who has `waited` so long and then gave up did so at this timeout. A transport that does not block takes no
/// time. But timeouts count in ticks, which come late where the processor is busy elsewhere, and then many at once.
fn has_passed(timeout: Duration, waited: Duration) -> bool {
    waited + TICK >= timeout || waited >= timeout / 2
}

/// Reads once, waiting no longer than `most`, and tells the machine what came of it: bytes, the end, or
/// the time.
///
/// Fails with `WouldBlock` if the application's own timeout passed or the transport does not block.
pub(super) fn read<Io: Transport>(
    io: &mut Io,
    receive: &mut ReceiveHalf,
    clock: &mut Clock,
    most: Duration,
) -> io::Result<()> {
    clock.arm(io, most, receive.poll_timeout())?;
    let started = clock.now();
    match append(io, receive) {
        Ok(0) => receive.handle_eof(),
        Ok(_) => receive.handle_input(clock.now()),
        // Signals must not keep anyone from the clock.
        Err(error) if error.kind() == ErrorKind::Interrupted => _ = look(receive, clock),
        Err(error) if is_would_block(&error) => {
            with_spare(|spare| receive.return_buffer(spare));
            let waited = clock.now().saturating_since(started);
            if !look(receive, clock) && !clock.is_own(waited) {
                return Err(ErrorKind::WouldBlock.into());
            }
        }
        Err(error) => {
            receive.handle_eof();
            // There was no event before, so this is the end of the conversation: it is to be told at once.
            let _ = receive.advance();
            return Err(error);
        }
    }
    Ok(())
}

/// Clearing this much, where there is room for it, is nothing beside a system call, and a burst after silence
/// needs fewer reads.
const LEAST: usize = 16 << 10;

/// What has just been cleared is to be in the processor's caches still when the read fills it. Larger reads
/// save less than that.
const MOST: usize = 64 << 10;

/// Appends what one read brings to the input.
///
/// [`Read`] wants its room cleared, so this asks for about as much as reads have brought lately, not for all
/// the room that there is.
fn append<Io: Read>(io: &mut Io, receive: &mut ReceiveHalf) -> io::Result<usize> {
    let usual = receive.read_size();
    // Others get by with a small buffer of their own: a connection that blocks keeps it while it waits.
    if usual >= MOST {
        with_spare(|spare| receive.borrow_buffer(spare));
    }
    let (input, room) = receive.buffer_for_read();
    let asked = room.min(usual.clamp(LEAST, MOST));
    let mut room = Room { held: input.len(), input };
    room.input.resize(room.held + asked, 0);
    let len = checked(io.read(room.input.get_mut(room.held..).unwrap_or_default()), asked)?;
    room.held += len;
    Ok(len)
}

/// A buffer while it is read into. What was only cleared is taken away again, also if the transport panics.
struct Room<'a> {
    input: &'a mut BytesMut,
    /// How many bytes it truly holds.
    held: usize,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.input.truncate(self.held);
    }
}

/// A transport that says it has read more than it was `asked` has lied about all of it.
pub(super) fn checked(read: io::Result<usize>, asked: usize) -> io::Result<usize> {
    read.and_then(|len| if len > asked { Err(ErrorKind::InvalidData.into()) } else { Ok(len) })
}

/// Tells the machine the time, if it waits for it.
pub(super) fn look(receive: &mut ReceiveHalf, clock: &Clock) -> bool {
    let now = clock.now();
    let is_due = receive.poll_timeout().is_some_and(|deadline| deadline <= now);
    if is_due {
        receive.handle_timeout(now);
    }
    is_due
}

/// Timeouts count in ticks of the kernel's clock: they may pass this much early.
pub(super) const TICK: Duration = Duration::from_millis(4);

/// How long one write waits at the most before deadlines are looked at, and one read while there is
/// something else to do.
pub(super) const SLICE: Duration = Duration::from_secs(1);

/// How many pieces of output one write may take.
const PIECES: usize = 16;

/// A transport's sending side, and what has become of it.
#[derive(Debug)]
pub(super) struct Sink {
    state: Sending,
    /// The transport was given bytes that it may hold back.
    unflushed: bool,
    /// Writes give up after [`SLICE`], because the application has set no timeout.
    sliced: bool,
    stall: Stall,
}

/// What became of writing all output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    All,
    /// Some is left: it was time to look at the clock.
    Some,
}

impl Sink {
    pub(super) fn new(io: &impl Transport) -> Self {
        // Without a timeout a write may wait for ever: then so be it.
        let sliced = matches!(io.write_timeout(), Ok(None)) && io.set_write_timeout(Some(SLICE)).is_ok();
        Sink { state: Sending::Open, unflushed: false, sliced, stall: Stall::default() }
    }

    /// Writes all output, as far as it goes in a slice of time.
    ///
    /// Fails with `WouldBlock` if the application's own timeout passed or the transport does not
    /// block. Any other error drops the output: there is no place for it any more.
    ///
    /// It also says whether that was a sign of life, as [`Stall`] has it.
    pub(super) fn flush(
        &mut self,
        io: &mut impl Transport,
        send: &mut SendHalf,
    ) -> (io::Result<Flushed>, bool) {
        if !send.output().has_remaining() && self.is_settled() && self.state.check().is_ok() {
            return (Ok(Flushed::All), false);
        }
        let before = send.output().written();
        let flushed = self.flush_some(io, send);
        (flushed, self.stall.end_flush(before, send.output()))
    }

    fn flush_some(&mut self, io: &mut impl Transport, send: &mut SendHalf) -> io::Result<Flushed> {
        if let Err(error) = self.state.check() {
            send.output().clear();
            return Err(error);
        }
        let started = Instant::now();
        let state = std::mem::replace(&mut self.state, Sending::UNKNOWN);
        let flushed = match self.write_all(io, send, started) {
            Err(error) if is_would_block(&error) => {
                let is_own = self.sliced && has_passed(SLICE, started.elapsed());
                if is_own { Ok(Flushed::Some) } else { Err(ErrorKind::WouldBlock.into()) }
            }
            Err(error) => {
                send.output().clear();
                self.state = Sending::broken(&error);
                return Err(error);
            }
            flushed => flushed,
        };
        self.state = state;
        if !matches!(flushed, Ok(Flushed::All)) {
            // What waits for long takes no more memory than it needs.
            with_spare(|spare| send.return_buffer(spare));
        }
        flushed
    }

    pub(super) fn state(&self) -> Sending {
        self.state
    }

    /// Whether all that was written is on its way, as far as it can be.
    pub(super) fn is_settled(&self) -> bool {
        self.state.check().is_err() || !self.unflushed
    }

    pub(super) fn shutdown(&mut self, io: &mut impl Transport, receive: &mut ReceiveHalf) {
        if self.state == Sending::Open {
            self.state = Sending::Shut;
            // A failure to end what the peer may have ended already is no news. But the peer may wait for the
            // end as well: whoever holds the transport must drop it.
            if io.shutdown_write().is_err() {
                receive.handle_eof();
            }
        }
    }

    fn write_all(
        &mut self,
        io: &mut impl Transport,
        send: &mut SendHalf,
        started: Instant,
    ) -> io::Result<Flushed> {
        // Neither a peer that takes a little now and then nor signals must keep anyone from the clock.
        let is_time = || started.elapsed() >= SLICE;
        while send.output().has_remaining() {
            match write_once(io, send.output()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => self.unflushed = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if send.output().has_remaining() && is_time() {
                return Ok(Flushed::Some);
            }
        }
        while self.unflushed {
            match io.flush() {
                Ok(()) => self.unflushed = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    if is_time() {
                        return Ok(Flushed::Some);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Flushed::All)
    }
}

/// Writes as much as the transport takes at once.
fn write_once(io: &mut impl Write, output: &mut Output) -> io::Result<usize> {
    // One piece is cheaper to write without an array around it.
    let (offered, written) = if output.chunk().len() < output.remaining() {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let count = output.chunks_vectored(&mut pieces);
        let pieces = pieces.get(..count).unwrap_or_default();
        (pieces.iter().map(|piece| piece.len()).sum(), io.write_vectored(pieces)?)
    } else {
        (output.chunk().len(), io.write(output.chunk())?)
    };
    // One that says it has taken more than it was offered has taken that.
    output.advance(written.min(offered));
    Ok(written)
}
