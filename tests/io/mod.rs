//! A transport in memory whose every call follows a script, and a peer at its other end.
#![allow(
    dead_code,
    unused_imports,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "shared by tests that use parts of it"
)]

mod peer;

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use sansock::blocking::Transport;
use sansock::{Config, Connection, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) use peer::Peer;

/// What one call of the transport does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Moves at most this many bytes.
    Move(usize),
    /// Moves nothing yet, and wakes the caller at once.
    Later,
    /// Moves nothing yet, and wakes nobody.
    Never,
    /// Moves nothing, and says so: a write of 0, the end for a read.
    Zero,
    /// A read that says it has read more than it was given room for.
    Boast,
    Fail(ErrorKind),
    /// Panics, after a write of one byte.
    Panic,
}

use Step::{Boast, Fail, Later, Move, Never, Panic, Zero};

/// Calls that cut and delay in many ways; each is repeated for ever.
pub(crate) const SCRIPTS: [&[Step]; 5] =
    [&[Move(usize::MAX)], &[Move(1)], &[Later, Move(1)], &[Move(3), Later, Move(500), Later, Later], WORST];

/// The sizes out of `sizes` that do not take a script for ever.
pub(crate) fn fitting<'a>(script: &[Step], sizes: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    let is_quick = script.iter().any(|step| matches!(step, Move(most) if *most > 100));
    sizes.iter().copied().filter(move |&size| is_quick || size < 5000)
}

/// Everything takes two calls at least, and moves little.
pub(crate) const WORST: &[Step] = &[Later, Move(1), Later, Later, Move(2)];

/// What can be scripted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    Flush,
}

/// What happens at each call: first one list, then another one for ever.
#[derive(Debug)]
struct Script {
    first: VecDeque<Step>,
    then: &'static [Step],
    turn: usize,
}

impl Script {
    fn next(&mut self) -> Step {
        self.first.pop_front().unwrap_or_else(|| {
            self.turn += 1;
            self.then[(self.turn - 1) % self.then.len()]
        })
    }
}

impl Default for Script {
    fn default() -> Self {
        Script { first: VecDeque::new(), then: SCRIPTS[0], turn: 0 }
    }
}

/// One direction of the transport.
#[derive(Debug)]
struct Lane {
    bytes: VecDeque<u8>,
    room: usize,
    ended: bool,
    /// What a read says when the bytes are used up.
    read_fails: Option<ErrorKind>,
    write_fails: Option<ErrorKind>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    wakes_later: bool,
    /// The reader and the writer are to be woken.
    due: [bool; 2],
}

impl Lane {
    fn wake_reader(&mut self) {
        self.due[0] = true;
        self.wake();
    }

    fn wake_writer(&mut self) {
        self.due[1] = true;
        self.wake();
    }

    fn wake(&mut self) {
        if !self.wakes_later {
            self.deliver();
        }
    }

    /// Wakes those that are to be; whether there were any.
    fn deliver(&mut self) -> bool {
        let [reader, writer] = std::mem::take(&mut self.due);
        let wakers = [self.reader.take_if(|_| reader), self.writer.take_if(|_| writer)];
        wakers.into_iter().flatten().for_each(Waker::wake);
        reader || writer
    }
}

/// What an end was asked to do.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// How many bytes each write brought.
    pub(crate) writes: Vec<usize>,
    pub(crate) read: usize,
    /// Its sending side was shut down before the other end's.
    pub(crate) shut_first: bool,
    /// The read timeout at each read.
    pub(crate) timeouts: Vec<Option<Duration>>,
}

#[derive(Debug, Default)]
struct Plan {
    reads: Script,
    writes: Script,
    flushes: Script,
    /// Written bytes that wait for a flush, if this end has such a buffer.
    held: Option<Vec<u8>>,
    read_timeout: Option<Duration>,
    log: Log,
}

/// One end of a transport in memory. Its clones are the same end. It wakes whoever asked last, and owes nobody
/// anything after a call that was ready.
#[derive(Clone, Debug)]
pub(crate) struct End {
    incoming: Arc<Mutex<Lane>>,
    outgoing: Arc<Mutex<Lane>>,
    plan: Arc<Mutex<Plan>>,
}

/// A connected pair of TCP streams.
pub(crate) fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// Both ends of a transport that holds `room` bytes in each direction.
pub(crate) fn duplex(room: usize) -> (End, End) {
    let lane = || {
        let bytes = VecDeque::new();
        let lane = Lane {
            bytes,
            room,
            ended: false,
            read_fails: None,
            write_fails: None,
            reader: None,
            writer: None,
            wakes_later: false,
            due: [false; 2],
        };
        Arc::new(Mutex::new(lane))
    };
    let (one, other) = (lane(), lane());
    let end = |incoming: &Arc<_>, outgoing: &Arc<_>| End {
        incoming: Arc::clone(incoming),
        outgoing: Arc::clone(outgoing),
        plan: Arc::default(),
    };
    (end(&one, &other), end(&other, &one))
}

impl End {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap()
    }

    /// Repeats `script` for reads, for writes and for flushes.
    pub(crate) fn always(self, script: &'static [Step]) -> Self {
        {
            let mut plan = self.plan();
            plan.reads.then = script;
            plan.writes.then = script;
            plan.flushes.then = script;
        }
        self
    }

    pub(crate) fn next_reads(&self, steps: &[Step]) {
        self.plan().reads.first.extend(steps);
    }

    pub(crate) fn next_writes(&self, steps: &[Step]) {
        self.plan().writes.first.extend(steps);
    }

    /// One call of a kind panics: the one behind so many others.
    pub(crate) fn panic_after(&self, others: usize, kind: Kind) {
        let steps = [vec![Move(usize::MAX); others], vec![Panic]].concat();
        match kind {
            Kind::Read => self.next_reads(&steps),
            Kind::Write => self.next_writes(&steps),
            Kind::Flush => self.next_flushes(&steps),
        }
    }

    pub(crate) fn reads_always(&self, script: &'static [Step]) {
        self.plan().reads.then = script;
    }

    pub(crate) fn writes_always(&self, script: &'static [Step]) {
        self.plan().writes.then = script;
    }

    pub(crate) fn flushes_always(&self, script: &'static [Step]) {
        self.plan().flushes.then = script;
    }

    pub(crate) fn next_flushes(&self, steps: &[Step]) {
        self.plan().flushes.first.extend(steps);
    }

    /// The next read does this, whatever comes after it.
    pub(crate) fn now_reads(&self, step: Step) {
        self.plan().reads.first.push_front(step);
    }

    pub(crate) fn now_writes(&self, step: Step) {
        self.plan().writes.first.push_front(step);
    }

    pub(crate) fn now_flushes(&self, step: Step) {
        self.plan().flushes.first.push_front(step);
    }

    /// Holds back written bytes until they are flushed, as a TLS stream may.
    pub(crate) fn hold_back(&self) {
        self.plan().held = Some(Vec::new());
    }

    /// From now on the transport changes first, and [`deliver`](Self::deliver) wakes those who wait for it.
    pub(crate) fn wake_later(&self) {
        for lane in [&self.incoming, &self.outgoing] {
            lane.lock().unwrap().wakes_later = true;
        }
    }

    pub(crate) fn deliver(&self) -> bool {
        let lanes = [&self.incoming, &self.outgoing];
        lanes.map(|lane| lane.lock().unwrap().deliver()).contains(&true)
    }

    /// How many clones of this end there are.
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.plan)
    }

    pub(crate) fn log<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(&self.plan().log)
    }

    /// Gives bytes to the other end, however many.
    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut lane = self.outgoing.lock().unwrap();
        lane.bytes.extend(bytes);
        lane.wake_reader();
    }

    /// Takes at most `most` bytes that the other end has written.
    pub(crate) fn pull(&self, most: usize) -> Vec<u8> {
        let mut lane = self.incoming.lock().unwrap();
        let most = most.min(lane.bytes.len());
        let bytes = lane.bytes.drain(..most).collect();
        lane.wake_writer();
        bytes
    }

    /// Puts back what was pulled.
    pub(crate) fn give_back(&self, bytes: &[u8]) {
        let mut lane = self.incoming.lock().unwrap();
        for &byte in bytes.iter().rev() {
            lane.bytes.push_front(byte);
        }
    }

    /// How many bytes the other end has not read.
    pub(crate) fn unread(&self) -> usize {
        self.outgoing.lock().unwrap().bytes.len()
    }

    /// How many bytes the other end has written that were not pulled.
    pub(crate) fn unheard(&self) -> usize {
        self.incoming.lock().unwrap().bytes.len()
    }

    /// Ends this end's sending side.
    pub(crate) fn end(&self) {
        let mut lane = self.outgoing.lock().unwrap();
        lane.ended = true;
        lane.wake_reader();
    }

    /// Whether the other end has ended its sending side.
    pub(crate) fn is_ended(&self) -> bool {
        self.incoming.lock().unwrap().ended
    }

    /// From now on the other end's writes fail.
    pub(crate) fn refuse(&self, kind: ErrorKind) {
        let mut lane = self.incoming.lock().unwrap();
        lane.write_fails = Some(kind);
        lane.wake_writer();
    }

    /// The other end's writes fail, and so do its reads once they have what was pushed.
    pub(crate) fn reset(&self) {
        self.refuse(ErrorKind::ConnectionReset);
        let mut lane = self.outgoing.lock().unwrap();
        lane.read_fails = Some(ErrorKind::ConnectionReset);
        lane.wake_reader();
    }

    /// One read; `None` if there is nothing yet.
    fn fetch(&self, buf: &mut [u8], waker: Option<&Waker>) -> Option<io::Result<usize>> {
        let step = {
            let mut plan = self.plan();
            let timeout = plan.read_timeout;
            plan.log.timeouts.push(timeout);
            plan.reads.next()
        };
        let most = match step {
            Move(most) => most,
            Zero => return Some(Ok(0)),
            Boast => return Some(Ok(buf.len() + 1)),
            Never => return None,
            Fail(kind) => return Some(Err(kind.into())),
            Panic => panic!("a read"),
            Later => {
                waker.inspect(|waker| waker.wake_by_ref());
                return None;
            }
        };
        let mut lane = self.incoming.lock().unwrap();
        let len = most.min(buf.len()).min(lane.bytes.len());
        for (to, from) in buf.iter_mut().zip(lane.bytes.drain(..len)) {
            *to = from;
        }
        if len > 0 {
            lane.reader = None;
            lane.wake_writer();
            drop(lane);
            self.plan().log.read += len;
            return Some(Ok(len));
        }
        match (lane.read_fails, lane.ended) {
            (Some(kind), _) => Some(Err(kind.into())),
            (None, true) => Some(Ok(0)),
            (None, false) => {
                lane.reader = waker.cloned();
                None
            }
        }
    }

    /// One write; `None` if there is no room yet.
    fn put(&self, slices: &[IoSlice<'_>], waker: Option<&Waker>) -> Option<io::Result<usize>> {
        let step = self.plan().writes.next();
        let most = match step {
            Move(most) => most,
            Zero => return Some(Ok(0)),
            Boast => return Some(Ok(usize::MAX)),
            Never => return None,
            Fail(kind) => return Some(Err(kind.into())),
            Panic => {
                self.push(&slices[0][..1]);
                panic!("a write");
            }
            Later => {
                waker.inspect(|waker| waker.wake_by_ref());
                return None;
            }
        };
        let mut lane = self.outgoing.lock().unwrap();
        if let Some(kind) = lane.write_fails {
            return Some(Err(kind.into()));
        }
        let room = lane.room.saturating_sub(lane.bytes.len()).min(most);
        if room == 0 {
            lane.writer = waker.cloned();
            return None;
        }
        lane.writer = None;
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(room).collect();
        drop(lane);
        let mut plan = self.plan();
        plan.log.writes.push(bytes.len());
        if let Some(held) = &mut plan.held {
            held.extend(&bytes);
        } else {
            drop(plan);
            self.push(&bytes);
        }
        Some(Ok(bytes.len()))
    }

    /// One flush; `None` if it has to be called again.
    fn pass_on(&self, waker: Option<&Waker>) -> Option<io::Result<()>> {
        let step = self.plan().flushes.next();
        match step {
            Never => None,
            Fail(kind) => Some(Err(kind.into())),
            Panic => panic!("as the script says"),
            Later => {
                waker.inspect(|waker| waker.wake_by_ref());
                None
            }
            _ => {
                let held = self.plan().held.as_mut().map(std::mem::take);
                self.push(&held.unwrap_or_default());
                Some(Ok(()))
            }
        }
    }

    fn shut(&self) {
        let is_first = !self.is_ended();
        self.plan().log.shut_first |= is_first;
        self.end();
    }
}

fn ready<T>(outcome: Option<T>) -> Poll<T> {
    outcome.map_or(Poll::Pending, Poll::Ready)
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Clearing all the room for one byte would make long tests of short reads.
        let room = self.incoming.lock().unwrap().bytes.len().clamp(1, buf.remaining().max(1));
        let read = self.fetch(buf.initialize_unfilled_to(room), Some(cx.waker()));
        ready(read.map(|read| read.map(|len| buf.advance(len))))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready(self.put(&[IoSlice::new(buf)], Some(cx.waker())))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready(self.put(slices, Some(cx.waker())))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready(self.pass_on(Some(cx.waker())))
    }

    /// It implies a flush, as tokio demands.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready(self.pass_on(Some(cx.waker())).map(|flushed| flushed.map(|()| self.shut())))
    }
}

/// To a blocking caller this is a transport that does not block.
impl Read for End {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.fetch(buf, None).unwrap_or_else(|| Err(ErrorKind::WouldBlock.into()))
    }
}

impl Write for End {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.put(slices, None).unwrap_or_else(|| Err(ErrorKind::WouldBlock.into()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on(None).unwrap_or_else(|| Err(ErrorKind::WouldBlock.into()))
    }
}

impl Transport for End {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.plan().read_timeout = timeout;
        Ok(())
    }

    /// What was not flushed is lost.
    fn shutdown_write(&mut self) -> io::Result<()> {
        let _ = self.plan().held.as_mut().map(Vec::clear);
        self.shut();
        Ok(())
    }
}

pub(crate) fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

pub(crate) fn server_machine(config: Config) -> Connection {
    Connection::server(config, Timestamp::EPOCH)
}

pub(crate) fn client_machine(config: Config) -> Connection {
    Connection::client(config, [9; 32], Timestamp::EPOCH)
}

/// Polls a future this many times, then drops it.
pub(crate) fn poll_times<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    (0..times).find_map(|_| match future.as_mut().poll(&mut cx) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    })
}

/// Polls a future once, then drops it.
pub(crate) fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    poll_times(1, future)
}

/// Ends the process if the test that holds it hangs.
pub(crate) struct Guard(#[expect(dead_code, reason = "it is dropped")] Sender<()>);

pub(crate) fn guard() -> Guard {
    let (alive, watch) = mpsc::channel();
    let test = thread::current().name().unwrap_or_default().to_owned();
    thread::spawn(move || {
        if watch.recv_timeout(Duration::from_secs(300)) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{test} hangs");
            std::process::abort();
        }
    });
    Guard(alive)
}
