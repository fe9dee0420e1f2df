//! `Stream` and `Sink` of owned messages.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Error, WebSocket};
use crate::{CloseCode, Message, SendError};

/// The messages that [`recv`](WebSocket::recv) gives. After an error, or the end, it ends.
impl<Io: AsyncRead + AsyncWrite + Unpin> Stream for WebSocket<Io> {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.exhausted {
            return Poll::Ready(None);
        }
        let message = ready!(self.poll_recv(cx)).transpose();
        self.exhausted = !matches!(message, Some(Ok(_)));
        Poll::Ready(message)
    }
}

/// Messages to send: ready below the high-water mark; closing it runs the closing handshake with
/// code 1000, and passes over what the peer still sends.
impl<Io: AsyncRead + AsyncWrite + Unpin> Sink<Message> for WebSocket<Io> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_room(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        Ok(self.connection.send(message)?)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        WebSocket::poll_flush(&mut self, cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.connection.close(CloseCode::NORMAL, "") {
            Ok(()) | Err(SendError::Closed) => {}
            Err(error) => return Poll::Ready(Err(error.into())),
        }
        while ready!(self.poll_ready_event(cx))? {
            self.connection.poll_event()?;
        }
        Poll::Ready(Ok(()))
    }
}
