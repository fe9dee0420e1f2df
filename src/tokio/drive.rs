//! One poll of the transport or the clock: all that the halves and the whole have in common.

use std::boxed::Box;
use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::shim::{self, Sending, Stall};
use crate::{ReceiveHalf, SendHalf, Spare, Timestamp};

std::thread_local! {
    /// The buffers that this thread's connections take turns in.
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare::new()) };
}

pub(super) fn with_spare(with: impl FnMut(&mut Spare)) {
    shim::with_spare(&SPARE, with);
}

/// How many pieces of output one write may take.
const PIECES: usize = 16;

/// tokio's clock, as the machine sees it, and the one timer of a connection.
#[derive(Debug)]
pub(super) struct Clock {
    epoch: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Clock { epoch: Instant::now(), sleep: None }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_epoch(self.epoch.elapsed())
    }

    /// Ready when `deadline` is reached. A deadline that has moved away moves the timer only when it
    /// fires: traffic costs nothing here.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Timestamp>) -> Poll<()> {
        // One that is beyond what the clock can say is never reached.
        let deadline = deadline.and_then(|deadline| self.epoch.checked_add(deadline.since_epoch()));
        let Some(deadline) = deadline else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                self.sleep = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// A transport's sending side, and what has become of it.
#[derive(Debug)]
pub(super) struct Sink {
    state: Sending,
    unflushed: bool,
    stall: Stall,
}

impl Sink {
    pub(super) fn new() -> Self {
        Sink { state: Sending::Open, unflushed: false, stall: Stall::default() }
    }

    /// Whether the last attempt to bring something to the operating system had to wait.
    pub(super) fn waits(&self) -> bool {
        self.state == Sending::Open && (self.stall.is_on || self.unflushed)
    }

    /// Whether nothing is left to do here: all that was written is on its way and, if this side `ends`
    /// the transport, that is done.
    pub(super) fn is_settled(&self, ends: bool) -> bool {
        self.state != Sending::Open || !(ends || self.unflushed)
    }

    pub(super) fn state(&self) -> Sending {
        self.state
    }

    /// Ready when all output is with the operating system. An error drops the output: there is no
    /// place for it any more.
    ///
    /// It also says whether that was a sign of life, as [`Stall`] has it.
    pub(super) fn poll_flush(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
        send: &mut SendHalf,
    ) -> (Poll<io::Result<()>>, bool) {
        if let Err(error) = self.state.check() {
            send.output().clear();
            return (Poll::Ready(Err(error)), false);
        }
        let state = std::mem::replace(&mut self.state, Sending::UNKNOWN);
        let before = send.output().written();
        let flushed = self.poll_output(io, cx, send);
        self.state = match &flushed {
            Poll::Ready(Err(error)) => {
                send.output().clear();
                Sending::broken(error)
            }
            _ => state,
        };
        (flushed, self.stall.end_flush(before, send.output()))
    }

    fn poll_output(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
        send: &mut SendHalf,
    ) -> Poll<io::Result<()>> {
        let mut io = Pin::new(io);
        while send.output().has_remaining() {
            let output = send.output();
            // One piece is cheaper to write without an array around it.
            let (offered, written) = if output.chunk().len() < output.remaining() && io.is_write_vectored() {
                let mut pieces = [IoSlice::new(&[]); PIECES];
                let count = output.chunks_vectored(&mut pieces);
                let pieces = pieces.get(..count).unwrap_or_default();
                let offered = pieces.iter().map(|piece| piece.len()).sum();
                (offered, io.as_mut().poll_write_vectored(cx, pieces))
            } else {
                (output.chunk().len(), io.as_mut().poll_write(cx, output.chunk()))
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                // One that says it has taken more than it was offered has taken that.
                len => output.advance(len.min(offered)),
            }
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(io.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the sending side is shut down, or cannot be.
    pub(super) fn poll_shutdown(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.state == Sending::Open {
            // A failure to end what the peer may have ended already is no news.
            let _ = ready!(Pin::new(io).poll_shutdown(cx));
            self.state = Sending::Shut;
        }
        Poll::Ready(())
    }
}

/// How much a connection has read since others had their turn: one that always has something to read must
/// not keep them waiting.
#[derive(Debug, Default)]
pub(super) struct Turn {
    read: u32,
}

impl Turn {
    /// Between frames: what one read brings, or the first of two.
    const LENGTH: u32 = 64 << 10;
    /// Within a large frame, which nobody can answer before it is whole.
    const LENGTH_OF_FRAME: u32 = 1 << 20;

    /// Ready if there is something left of this turn. If not, the next one has begun, and the task is woken
    /// for it once others have run.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, missing: u64) -> Poll<()> {
        let length = if missing > Self::LENGTH.into() { Self::LENGTH_OF_FRAME } else { Self::LENGTH };
        if self.read < length {
            return Poll::Ready(());
        }
        self.read = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// So much has been read of this turn.
    pub(super) fn take(&mut self, len: usize) {
        self.read = self.read.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
    }
}

/// Ready when bytes, the end or an error of the transport were told to the machine. Otherwise its buffer is
/// given back: a connection at rest owns none. Nor does one keep it that has read little: its application may
/// wait for something else before it comes back.
pub(super) fn poll_input<Io: AsyncRead + Unpin>(
    io: &mut Io,
    cx: &mut Context<'_>,
    receive: &mut ReceiveHalf,
    clock: &Clock,
    turn: &mut Turn,
) -> Poll<io::Result<()>> {
    with_spare(|spare| receive.borrow_buffer(spare));
    let (input, size) = receive.buffer_for_read();
    match poll_append(io, cx, input, size) {
        Poll::Pending => {
            *turn = Turn::default();
            with_spare(|spare| receive.return_buffer(spare));
            return Poll::Pending;
        }
        Poll::Ready(Ok(0)) => receive.handle_eof(),
        Poll::Ready(Ok(len)) => {
            turn.take(len);
            receive.handle_input(clock.now());
            with_spare(|spare| receive.settle(spare));
        }
        Poll::Ready(Err(error)) => {
            receive.handle_eof();
            // There was no event before, so this is the end of the conversation: it is to be told at once.
            let _ = receive.advance();
            return Poll::Ready(Err(error));
        }
    }
    Poll::Ready(Ok(()))
}

/// Appends what one read brings, `size` bytes at the most, into room that nobody has to clear before.
pub(super) fn poll_append<Io: AsyncRead + Unpin>(
    io: &mut Io,
    cx: &mut Context<'_>,
    input: &mut impl BufMut,
    size: usize,
) -> Poll<io::Result<usize>> {
    pin!(io.read_buf(&mut input.limit(size))).poll(cx)
}
