//! A transport in memory, and threads that wait, made of models.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by tests that use parts of it")]

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, Read, Write};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use bytes::{Buf, BufMut};
use loom::sync::{Mutex, Notify};
use sansock::blocking::Transport;
use sansock::{Config, Connection, Event, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Takes `test` through every order in which its threads may take turns, if each is interrupted as often as this at
/// the most. Time and timers are tokio's, and stand still.
pub fn explore(interruptions: usize, test: impl Fn() + Send + Sync + 'static) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _entered = runtime.enter();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(interruptions);
    builder.max_branches = 10_000;
    builder.check(test);
}

struct Thread(Notify);

impl Wake for Thread {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

/// Polls a future whenever it is woken, and only then: one that nobody wakes is a deadlock.
pub fn wait<F: Future>(future: F) -> F::Output {
    let thread = Arc::new(Thread(Notify::new()));
    let waker = Waker::from(Arc::clone(&thread));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread.0.wait();
    }
}

/// Polls a future once, and drops it.
pub fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[derive(Debug, Default)]
struct Lane {
    bytes: VecDeque<u8>,
    ended: bool,
    refused: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One direction. It wakes whoever asked last, after it has changed, and forgets who asked when a call is ready.
#[derive(Debug, Default)]
struct Pipe(Mutex<Lane>);

impl Pipe {
    fn wake_reader(&self, change: impl FnOnce(&mut Lane)) {
        let waker = {
            let mut lane = self.0.lock().unwrap();
            change(&mut lane);
            lane.reader.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    fn read(&self, most: usize, waker: Option<&Waker>) -> Option<Vec<u8>> {
        let mut lane = self.0.lock().unwrap();
        if lane.bytes.is_empty() && !lane.ended {
            lane.reader = waker.cloned();
            return None;
        }
        lane.reader = None;
        let len = most.min(lane.bytes.len());
        let bytes = lane.bytes.drain(..len).collect();
        let writer = lane.writer.take();
        drop(lane);
        writer.into_iter().for_each(Waker::wake);
        Some(bytes)
    }

    async fn wait_to_read(&self, most: usize) -> Vec<u8> {
        poll_fn(|cx| self.read(most, Some(cx.waker())).map_or(Poll::Pending, Poll::Ready)).await
    }

    fn write(&self, room: usize, bytes: &[u8], waker: Option<&Waker>) -> Option<io::Result<usize>> {
        let mut lane = self.0.lock().unwrap();
        if lane.refused {
            return Some(Err(ErrorKind::ConnectionReset.into()));
        }
        let len = bytes.len().min(room.saturating_sub(lane.bytes.len()));
        if len == 0 {
            lane.writer = waker.cloned();
            return None;
        }
        lane.writer = None;
        lane.bytes.extend(&bytes[..len]);
        let reader = lane.reader.take();
        drop(lane);
        reader.into_iter().for_each(Waker::wake);
        Some(Ok(len))
    }
}

/// The tested end's transport. Its clones are the same.
#[derive(Clone, Debug)]
pub struct Io {
    room: usize,
    pub waits: bool,
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
}

/// The other end.
pub struct Peer {
    io: Io,
    machine: Connection,
}

/// A server's transport that holds `room` bytes on the way out, and its client.
pub fn connect(room: usize) -> (Io, Peer) {
    let io = Io { room, waits: false, incoming: Arc::default(), outgoing: Arc::default() };
    let machine = Connection::client(Config::default(), [7; 32], Timestamp::EPOCH);
    (io.clone(), Peer { io, machine })
}

pub fn server() -> Connection {
    let mut config = Config::default();
    config.ping_interval = None;
    Connection::server(config, Timestamp::EPOCH)
}

impl Peer {
    /// Queues something by a command, which is there to be read at once.
    pub fn say(&mut self, command: impl FnOnce(&mut Connection)) {
        command(&mut self.machine);
        self.pass_on();
    }

    fn pass_on(&mut self) {
        let mut bytes = Vec::new();
        while self.machine.output().has_remaining() {
            let chunk = self.machine.output().chunk().to_vec();
            self.machine.output().advance(chunk.len());
            bytes.extend(chunk);
        }
        if !bytes.is_empty() {
            self.io.incoming.wake_reader(|lane| lane.bytes.extend(bytes));
        }
    }

    /// All that has come: the payloads of data and pongs, and whether a Close frame has.
    fn hear(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.machine.input().put_slice(bytes);
        self.machine.handle_input(Timestamp::EPOCH);
        let mut heard = Vec::new();
        while let Some(event) = self.machine.poll_event().expect("a frame that is none") {
            heard.push(match event {
                Event::Text(text) => text.as_bytes().to_vec(),
                Event::Pong(payload) => payload.to_vec(),
                other => panic!("{other:?}"),
            });
        }
        if self.machine.is_ended() {
            heard.push(b"close".to_vec());
        }
        self.pass_on();
        heard
    }

    /// What has been written, once nobody writes any more.
    pub fn all(&mut self) -> Vec<Vec<u8>> {
        let bytes = self.io.outgoing.read(usize::MAX, None).unwrap_or_default();
        self.hear(&bytes)
    }

    /// Takes what is written, as it comes, until so many things were heard.
    pub async fn wait_for(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        while heard.len() < count {
            let bytes = self.io.outgoing.wait_to_read(usize::MAX).await;
            heard.extend(self.hear(&bytes));
        }
        heard
    }

    /// Takes what is written until that is a Close frame.
    pub async fn wait_for_close(&mut self) {
        while !self.wait_for(1).await.contains(&b"close".to_vec()) {}
    }

    /// Takes something, and hangs up without an answer.
    pub async fn wait_to_hang_up(&mut self) {
        self.io.outgoing.wait_to_read(usize::MAX).await;
        self.end();
    }

    pub fn end(&self) {
        self.io.incoming.wake_reader(|lane| lane.ended = true);
    }

    /// From now on the tested end's writes fail.
    pub fn refuse(&self) {
        let mut lane = self.io.outgoing.0.lock().unwrap();
        lane.refused = true;
        let writer = lane.writer.take();
        drop(lane);
        writer.into_iter().for_each(Waker::wake);
    }

    /// Whether the tested end has let go of the transport.
    pub fn is_alone(&self) -> bool {
        Arc::strong_count(&self.io.outgoing) == 1
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.incoming.read(buf.remaining(), Some(cx.waker())) {
            Some(bytes) => {
                buf.put_slice(&bytes);
                Poll::Ready(Ok(()))
            }
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.outgoing.write(self.room, buf, Some(cx.waker())).map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// To a blocking caller this is a transport whose writes do not block, and whose reads do if it `waits`.
impl Read for Io {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = if self.waits {
            wait(self.incoming.wait_to_read(buf.len()))
        } else {
            self.incoming.read(buf.len(), None).ok_or(ErrorKind::WouldBlock)?
        };
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

impl Write for Io {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.outgoing.write(self.room, buf, None).unwrap_or_else(|| Err(ErrorKind::WouldBlock.into()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Io {}
