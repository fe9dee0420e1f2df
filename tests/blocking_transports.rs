//! What a blocking transport may do besides moving bytes: be interrupted, not block, give up early, wait for its
//! timeout; and what a socket does in the last moments of its thread.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
mod io;

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::text;
use io::Step::{Fail, Later, Move, Zero};
use io::{End, Peer, Step, client_machine, config, duplex, guard, poll_once, server_machine, tcp};
use sansock::blocking::{Error, Transport, WebSocket, accept, accept_request, connect_over};
use sansock::handshake::client::ClientRequest;
use sansock::handshake::{HandshakeError, Response};
use sansock::{CloseCode, Config, Error as Failure, Timer, tokio as asynchronous};

const WIDE: usize = usize::MAX;

fn is_io<T>(result: Result<T, Error>, kind: ErrorKind) -> bool {
    matches!(result, Err(Error::Io(error)) if error.kind() == kind)
}

/// What a client asks for.
const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn request() -> ClientRequest {
    ClientRequest::new("ws://example.com/").unwrap()
}

#[test]
fn a_handshake_goes_on_where_it_was_interrupted() {
    const INTERRUPTED: &[Step] = &[Fail(ErrorKind::Interrupted), Move(9)];
    let _guard = guard();
    let (near, far) = duplex(WIDE);
    near.push(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
    near.end();
    let outcome = accept(far.always(INTERRUPTED), Config::default());
    assert!(matches!(outcome, Err(Error::Handshake(HandshakeError::UpgradeMissing))), "{outcome:?}");
    let answer = String::from_utf8(near.pull(WIDE)).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 426 ") && answer.ends_with("(RFC 6455 section 4.2.1)\n"),
        "{answer}"
    );
    assert!(near.is_ended(), "the client is told that this was all");

    let (near, far) = duplex(WIDE);
    near.next_flushes(&[Fail(ErrorKind::Interrupted)]);
    far.end();
    let outcome = connect_over(near, request(), Config::default());
    assert!(matches!(outcome, Err(Error::Handshake(HandshakeError::UnexpectedEof))), "{outcome:?}");
}

#[test]
fn a_request_that_would_block_is_an_error_of_the_transport() {
    let _guard = guard();
    let (near, far) = duplex(WIDE);
    near.next_writes(&[Later]);
    assert!(is_io(connect_over(near, request(), Config::default()), ErrorKind::WouldBlock));
    assert!(far.pull(WIDE).is_empty());
}

#[test]
fn a_transport_that_takes_nothing_of_a_request_has_failed() {
    let _guard = guard();
    let (near, _far) = duplex(WIDE);
    near.next_writes(&[Zero]);
    assert!(is_io(connect_over(near, request(), Config::default()), ErrorKind::WriteZero));
}

/// A whole head has come, which begins like this.
fn assert_heard(end: &End, start: &str) {
    let heard = String::from_utf8(end.pull(WIDE)).unwrap();
    assert!(heard.starts_with(start) && heard.ends_with("\r\n\r\n"), "{heard}");
}

#[test]
fn a_handshake_leaves_nothing_that_the_transport_holds_back() {
    let _guard = guard();
    let holding_back = |input: &[u8]| {
        let (near, far) = duplex(WIDE);
        near.push(input);
        near.end();
        far.hold_back();
        (near, far)
    };
    let (near, far) = holding_back(REQUEST);
    accept(far, Config::default()).unwrap();
    assert_heard(&near, "HTTP/1.1 101 ");

    let (near, far) = holding_back(REQUEST);
    let incoming = accept_request(far, Config::default()).unwrap();
    incoming.reject(Response::new(403).unwrap()).unwrap();
    assert_heard(&near, "HTTP/1.1 403 ");

    let (near, far) = holding_back(b"");
    let outcome = connect_over(far, request(), Config::default());
    assert!(matches!(outcome, Err(Error::Handshake(HandshakeError::UnexpectedEof))), "{outcome:?}");
    assert_heard(&near, "GET / HTTP/1.1\r\n");
}

/// A transport whose peer says this, ends its side, and never takes anything: each write waits for its timeout.
#[derive(Default)]
struct Stuck {
    input: &'static [u8],
    write_timeout: Cell<Option<Duration>>,
    has_ended: bool,
}

impl Read for Stuck {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = self.input.read(buf)?;
        assert!(len > 0 || !std::mem::replace(&mut self.has_ended, true), "nothing comes after the end");
        Ok(len)
    }
}

impl Write for Stuck {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        thread::sleep(self.write_timeout.get().unwrap());
        Err(ErrorKind::WouldBlock.into())
    }

    fn write_vectored(&mut self, _: &[IoSlice<'_>]) -> std::io::Result<usize> {
        self.write(&[])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Transport for Stuck {
    fn set_write_timeout(&self, timeout: Option<Duration>) -> std::io::Result<()> {
        self.write_timeout.set(timeout);
        Ok(())
    }
}

/// A transport whose timeouts pass early, as those of a kernel do whose clock lags behind and then jumps.
#[derive(Default)]
struct Hasty {
    read_timeout: Cell<Option<Duration>>,
    write_timeout: Cell<Option<Duration>>,
}

impl Read for Hasty {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        thread::sleep(self.read_timeout.get().unwrap() / 5 * 3);
        Err(ErrorKind::WouldBlock.into())
    }
}

impl Write for Hasty {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        thread::sleep(self.write_timeout.get().unwrap() / 5 * 3);
        Err(ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Transport for Hasty {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> std::io::Result<()> {
        self.read_timeout.set(timeout);
        Ok(())
    }

    fn write_timeout(&self) -> std::io::Result<Option<Duration>> {
        Ok(self.write_timeout.get())
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> std::io::Result<()> {
        self.write_timeout.set(timeout);
        Ok(())
    }
}

#[test]
fn timeouts_that_pass_early_are_no_answer_of_a_transport_that_does_not_block() {
    let _guard = guard();
    let short = Duration::from_millis(40);
    let is_given_up = |outcome: Result<(), Error>| {
        let is_right = matches!(outcome, Err(Error::Connection(Failure::TimedOut(Timer::Pong))));
        assert!(is_right, "{outcome:?}");
    };
    let socket = || {
        let quick =
            config(|c| (c.ping_interval, c.pong_timeout, c.close_timeout) = (Some(short), short, short));
        WebSocket::over(Hasty::default(), server_machine(quick))
    };
    is_given_up(socket().next().map(drop));
    is_given_up(socket().send("nobody takes this"));
}

#[test]
fn a_request_that_nobody_takes_is_given_up_in_time() {
    let _guard = guard();
    let short = config(|c| c.handshake_timeout = Duration::from_millis(40));
    let outcome = connect_over(Stuck::default(), request(), short).map(drop);
    assert!(matches!(outcome, Err(Error::Handshake(HandshakeError::TimedOut))), "{outcome:?}");
}

#[test]
fn an_answer_that_nobody_takes_is_given_up_in_time() {
    let _guard = guard();
    let short = config(|c| (c.handshake_timeout, c.ping_interval) = (Duration::from_millis(40), None));
    let outcome = accept(Stuck { input: REQUEST, ..Stuck::default() }, short).map(drop);
    assert!(matches!(outcome, Err(Error::Handshake(HandshakeError::TimedOut))), "{outcome:?}");
}

/// A transport whose peer has been gone for so long that the kernel has given it up.
#[cfg(target_os = "linux")]
struct Gone {
    to_read: bool,
}

#[cfg(target_os = "linux")]
impl Gone {
    const ETIMEDOUT: i32 = 110;

    fn fail<T>(is_it: bool) -> std::io::Result<T> {
        Err(if is_it {
            std::io::Error::from_raw_os_error(Self::ETIMEDOUT)
        } else {
            ErrorKind::WouldBlock.into()
        })
    }
}

#[cfg(target_os = "linux")]
impl Read for Gone {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Gone::fail(self.to_read)
    }
}

#[cfg(target_os = "linux")]
impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Gone::fail(!self.to_read)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
impl Transport for Gone {}

#[cfg(target_os = "linux")]
#[test]
fn a_peer_that_the_kernel_has_given_up_is_gone_and_not_just_slow() {
    let _guard = guard();
    let is_gone =
        |error: &Error| matches!(error, Error::Io(error) if error.raw_os_error() == Some(Gone::ETIMEDOUT));
    let mut reading = WebSocket::over(Gone { to_read: true }, server_machine(Config::default()));
    assert!(is_gone(&reading.next().unwrap_err()));
    let mut writing = WebSocket::over(Gone { to_read: false }, server_machine(Config::default()));
    assert!(is_gone(&writing.send("x").unwrap_err()));
    assert!(is_io(writing.flush(), ErrorKind::BrokenPipe));
}

/// A transport whose sending side cannot be ended by itself, and whose peer says this and waits for the end.
#[derive(Default)]
struct Whole {
    input: &'static [u8],
    output: Vec<u8>,
}

impl Read for Whole {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        assert!(!self.input.is_empty(), "both would wait for ever");
        self.input.read(buf)
    }
}

impl Write for Whole {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.output.write(buf)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Transport for Whole {}

#[test]
fn section_5_5_1_a_transport_that_cannot_be_ended_is_left_at_once() {
    let _guard = guard();
    let closes = || Whole { input: b"\x88\x82\0\0\0\0\x03\xe8", output: Vec::new() };
    let mut socket = WebSocket::over(closes(), server_machine(Config::default()));
    assert!(socket.recv().unwrap().is_none());
    assert!(socket.closed().unwrap().clean);
    assert_eq!(socket.io().output, b"\x88\x02\x03\xe8");

    let socket = WebSocket::over(closes(), server_machine(Config::default()));
    let (mut reader, _writer) = socket.split_with(|io| (io, Whole::default()));
    assert!(reader.recv().unwrap().is_none());
    assert!(reader.closed().unwrap().clean);

    let refused = Whole { input: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", output: Vec::new() };
    assert!(matches!(accept(refused, Config::default()), Err(Error::Handshake(_))));
}

/// A transport that always has something to read: this, again and again.
struct Endless {
    input: &'static [u8],
    since: Instant,
}

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        assert!(self.since.elapsed() < Duration::from_secs(60), "nobody looks at the clock");
        (&*self.input).read(buf)
    }
}

impl Write for Endless {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Transport for Endless {}

#[test]
fn what_keeps_arriving_and_is_no_message_outlasts_no_timeout() {
    let _guard = guard();
    let pings = || Endless { input: b"\x89\0", since: Instant::now() };
    let over = |io| {
        let endless = config(|c| c.max_message = u64::MAX);
        let mut socket = WebSocket::over(io, client_machine(endless));
        socket.set_timeout(Some(Duration::from_millis(20))).unwrap();
        socket
    };
    let mut socket = over(pings());
    assert!(is_io(socket.recv(), ErrorKind::WouldBlock));
    assert!(socket.next().unwrap().is_some(), "it can be called again");
    assert!(is_io(socket.close(CloseCode::NORMAL, ""), ErrorKind::WouldBlock));
    let (mut reader, _writer) = over(pings()).split_with(|io| (io, pings()));
    assert!(is_io(reader.recv(), ErrorKind::WouldBlock));
    assert!(reader.next().unwrap().is_some());
}

/// A transport that gives one byte at a time of a frame that is longer than anyone can wait for.
struct Trickle {
    given: usize,
    since: Instant,
}

impl Read for Trickle {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        assert!(self.since.elapsed() < Duration::from_secs(60), "nobody looks at the clock");
        thread::sleep(Duration::from_millis(1));
        let head = b"\x82\x7f\0\0\0\0\x7f\0\0\0";
        self.given += 1;
        (&head.get(self.given - 1..self.given).unwrap_or(b"?")[..]).read(buf)
    }
}

impl Write for Trickle {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Transport for Trickle {}

#[test]
fn a_frame_that_trickles_in_outlasts_no_timeout() {
    let _guard = guard();
    let trickle = || Trickle { given: 0, since: Instant::now() };
    let over = |io| {
        let mut socket = WebSocket::over(io, client_machine(config(|c| c.max_message = u64::MAX)));
        socket.set_timeout(Some(Duration::from_millis(20))).unwrap();
        socket
    };
    let mut socket = over(trickle());
    // As often as it takes until the header is here.
    while socket.connection().missing() == 0 {
        assert!(is_io(socket.next(), ErrorKind::WouldBlock));
    }
    let missing = socket.connection().missing();
    assert!(is_io(socket.next(), ErrorKind::WouldBlock));
    assert!(socket.connection().missing() < missing, "it goes on where it stopped");
    let (mut reader, _writer) = over(trickle()).split_with(|io| (io, trickle()));
    assert!(is_io(reader.next(), ErrorKind::WouldBlock));
}

/// Closing ends at its deadline, however often the transport would block.
fn assert_close_is_timed(mut socket: WebSocket<impl Transport>) {
    let outcome = loop {
        match socket.close(CloseCode::NORMAL, "") {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            outcome => break outcome,
        }
    };
    assert!(matches!(outcome, Err(Error::Connection(Failure::TimedOut(Timer::Closing)))), "{outcome:?}");
}

/// Signals that come faster than the clock is looked at must not keep anyone from looking at it.
#[test]
fn a_write_that_is_interrupted_for_ever_ends_with_the_closing_handshake() {
    let _guard = guard();
    let (_peer, end) = Peer::client(WIDE);
    end.writes_always(&[Fail(ErrorKind::Interrupted)]);
    let short = config(|c| c.close_timeout = Duration::from_millis(40));
    assert_close_is_timed(WebSocket::over(end, server_machine(short)));
}

/// Nor must those that keep a read from coming to anything.
#[test]
fn a_read_that_is_interrupted_for_ever_ends_with_the_closing_handshake() {
    let _guard = guard();
    let (_peer, end) = Peer::client(WIDE);
    let short = config(|c| c.close_timeout = Duration::from_millis(40));
    end.reads_always(&[Fail(ErrorKind::Interrupted)]);
    assert_close_is_timed(WebSocket::over(end, server_machine(short)));
}

/// A transport whose write timeout is the application's, and whose peer takes a byte before that is over, again
/// and again.
struct Sipping(Instant);

impl Read for Sipping {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        thread::sleep(Duration::from_millis(1));
        Err(ErrorKind::WouldBlock.into())
    }
}

impl Write for Sipping {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        assert!(self.0.elapsed() < Duration::from_secs(60), "nobody looks at the clock");
        thread::sleep(Duration::from_millis(1));
        Ok(1)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Transport for Sipping {
    fn write_timeout(&self) -> std::io::Result<Option<Duration>> {
        Ok(Some(Duration::from_secs(5)))
    }
}

#[test]
fn a_peer_that_takes_a_little_within_each_write_timeout_outlasts_no_deadline() {
    let _guard = guard();
    let short = config(|c| c.close_timeout = Duration::from_millis(40));
    let mut socket = WebSocket::over(Sipping(Instant::now()), server_machine(short));
    socket.connection_mut().binary(&vec![7; 200_000]).unwrap();
    assert_close_is_timed(socket);
}

/// A stream does not wait for its peer to take what is written, or no longer than this.
fn assert_full(limit: impl FnOnce(&TcpStream)) {
    let (near, far) = tcp();
    limit(&far);
    let mut socket = WebSocket::over(far, server_machine(Config::default()));
    let mut sent = 1;
    // The kernel may find more room a little later.
    while socket.send(vec![3; 1 << 20]).is_ok() || !is_io(socket.flush(), ErrorKind::WouldBlock) {
        sent += 1;
    }
    let reading = thread::spawn(move || {
        let mut client = WebSocket::over(near, client_machine(Config::default()));
        (0..sent).all(|_| client.recv().unwrap() == Some(vec![3; 1 << 20].into()))
    });
    while is_io(socket.flush(), ErrorKind::WouldBlock) {
        thread::yield_now();
    }
    assert!(reading.join().unwrap());
}

#[test]
fn a_full_stream_says_so_and_the_message_is_queued() {
    let _guard = guard();
    assert_full(|io| io.set_nonblocking(true).unwrap());
    assert_full(|io| io.set_write_timeout(Some(Duration::from_millis(5))).unwrap());
}

#[test]
fn a_reading_half_writes_until_the_deadline_what_a_peer_that_has_ended_does_not_take() {
    let _guard = guard();
    // It is looked at between writes, each of which has a slice of time.
    let machine = server_machine(config(|c| c.close_timeout = Duration::from_millis(500)));
    let mut socket = WebSocket::over(Stuck::default(), machine);
    socket.connection_mut().text("nobody takes this").unwrap();
    let (mut reader, _writer) = socket.split_with(|io| (Stuck::default(), io));
    assert!(matches!(reader.recv(), Err(Error::Connection(Failure::UnexpectedEof))));
}

/// Runs a task when it is dropped.
struct Last(Option<Box<dyn FnOnce()>>);

impl Drop for Last {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task();
        }
    }
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// Runs a task on a thread that has used what sockets keep there, when that is gone.
fn in_the_last_moments(of_thread: impl FnOnce() + Send + 'static, task: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || {
        // What was used first goes last.
        LAST.with(|last| assert!(last.borrow().is_none()));
        of_thread();
        LAST.set(Some(Last(Some(Box::new(move || {
            task();
            done.send(()).unwrap();
        })))));
    });
    thread.join().unwrap();
    is_done.recv().unwrap();
}

/// A socket of either shim, and its peer, which has said two things.
fn scene() -> (Peer, End) {
    let (mut peer, end) = Peer::client(WIDE);
    peer.send("first");
    peer.send("last words");
    (peer, end)
}

#[test]
fn a_blocking_socket_works_in_the_last_moments_of_its_thread() {
    let _guard = guard();
    let (mut peer, end) = scene();
    let (give, take) = mpsc::channel();
    let before = move || {
        let mut socket = WebSocket::over(end, server_machine(Config::default()));
        assert_eq!(socket.recv().unwrap(), Some("first".into()));
        assert_eq!(socket.recv().unwrap(), Some("last words".into()));
        assert!(is_io(socket.recv(), ErrorKind::WouldBlock));
        give.send(socket).unwrap();
    };
    in_the_last_moments(before, move || {
        let mut socket = take.recv().unwrap();
        assert!(is_io(socket.recv(), ErrorKind::WouldBlock));
        socket.send("heard").unwrap();
    });
    assert_eq!(peer.hear(), [text("heard")]);
}

#[test]
fn a_socket_of_tokio_works_in_the_last_moments_of_its_thread() {
    let _guard = guard();
    let (mut peer, end) = scene();
    let (give, take) = mpsc::channel();
    let before = move || {
        let mut socket = asynchronous::WebSocket::over(end, server_machine(Config::default()));
        assert_eq!(poll_once(socket.recv()).unwrap().unwrap(), Some("first".into()));
        give.send(socket).unwrap();
    };
    in_the_last_moments(before, move || {
        let mut socket = take.recv().unwrap();
        assert_eq!(poll_once(socket.recv()).unwrap().unwrap(), Some("last words".into()));
        poll_once(socket.send("heard")).unwrap().unwrap();
    });
    assert_eq!(peer.hear(), [text("heard")]);
}
