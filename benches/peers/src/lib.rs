//! WebSocket libraries side by side. What is measured, and how, is in `benches/README.md`.
//!
//! One file per library in `peers/`, each with the same few functions:
//!
//! - `recv` gets `n` whole messages and hands each to the sink;
//! - `send` writes the same binary message `n` times, each flushed;
//! - `echo` gets `n` messages as a server and sends each back, each flushed;
//! - `serve` echoes on one accepted TCP connection, after the HTTP upgrade.

pub mod args;
pub mod clock;
pub mod frames;
pub mod mem;
pub mod peers;
pub mod table;
pub mod upgrade;

use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};

pub type Res<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
}

/// Runs a future on a tokio runtime of this thread alone.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local!(static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// How many messages an echo server holds back at most before it answers.
pub const BATCH: usize = 64;

/// The echo loop of every peer that is a `Stream` and a `Sink`: takes what has already arrived, queues it
/// all, and flushes once. It queues after the last was read, because reading may flush.
pub async fn echo_batched<W, M, E>(mut ws: W, is_data: impl Fn(&M) -> bool) -> Res
where
    W: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut batch = Vec::new();
    while let Some(first) = ws.next().await {
        batch.push(first?);
        while batch.len() < BATCH
            && let Some(Some(message)) = ws.next().now_or_never()
        {
            batch.push(message?);
        }
        for message in batch.drain(..).filter(&is_data) {
            ws.feed(message).await?;
        }
        ws.flush().await?;
    }
    Ok(())
}
