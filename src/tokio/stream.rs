//! `Stream` and `Sink` of owned messages.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};

use super::wakers::Side;
use super::{Error, WebSocket};
use crate::{CloseCode, Event, Message, SendError};

/// The messages that [`recv`](WebSocket::recv) gives. After an error, or the end, it ends.
impl<Io: AsyncRead + AsyncWrite + Unpin> Stream for WebSocket<Io> {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.exhausted {
            return Poll::Ready(None);
        }
        let message = ready!(self.poll_message(cx)).transpose();
        self.exhausted = !matches!(message, Some(Ok(_)));
        Poll::Ready(message)
    }
}

/// Messages to send: ready below the high-water mark; closing it runs the closing handshake with
/// code 1000, and passes over what the peer still sends.
impl<Io: AsyncRead + AsyncWrite + Unpin> Sink<Message> for WebSocket<Io> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if !self.connection.is_above_high_water() {
            return Poll::Ready(Ok(()));
        }
        self.poll_side(Side::Writing, cx, WebSocket::poll_room)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        Ok(self.connection.send(message)?)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_side(Side::Writing, cx, WebSocket::poll_flush)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.connection.close(CloseCode::NORMAL, "") {
            Ok(()) | Err(SendError::Closed) => {}
            Err(error) => return Poll::Ready(Err(error.into())),
        }
        self.poll_side(Side::Writing, cx, |socket, cx| {
            while ready!(socket.poll_ready_event(cx))? {
                socket.connection.poll_event()?;
            }
            Poll::Ready(Ok(()))
        })
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> WebSocket<Io> {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        loop {
            let is_there = self.connection.advance() == Ok(true) && !self.connection.is_ended();
            if !is_there && !ready!(self.poll_side(Side::Reading, cx, WebSocket::poll_ready_event))? {
                return Poll::Ready(Ok(None));
            }
            if let Some(message) = self.connection.poll_event()?.and_then(Event::into_message) {
                return Poll::Ready(Ok(Some(message)));
            }
        }
    }

    /// Polls for one of the two tasks that may share the socket, one the stream and the other the sink, each
    /// while the other one waits. What this task has changed, the other one may be waiting for.
    fn poll_side<T>(
        &mut self,
        side: Side,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Self, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let wakers = Arc::clone(self.wakers.get_or_insert_default());
        wakers.register(side, cx.waker());
        let before = self.progress();
        let polled = poll(self, &mut Context::from_waker(&wakers.both()));
        if self.progress() != before {
            wakers.wake(side.other());
        }
        if polled.is_ready() {
            wakers.leave(side);
        }
        polled
    }

    /// What a task waits for besides input: that less output waits, and the end.
    fn progress(&mut self) -> (Option<u64>, bool) {
        (self.sink.waits().then(|| self.connection.output().written()), self.is_finished())
    }
}
