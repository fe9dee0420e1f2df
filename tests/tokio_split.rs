//! A socket in two, in two tasks; and handshakes, halves and crowds over real TCP.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
mod io;

use std::cell::RefCell;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{Seen, binary, masked, text};
use io::Step::{Never, Panic};
use io::{End, Peer, SCRIPTS, client_machine, config, duplex, guard, poll_once, server_machine};
use sansock::handshake::client::ClientRequest;
use sansock::handshake::server::Accept;
use sansock::handshake::{HandshakeError, Response};
use sansock::tokio::{Error, Reader, WebSocket, Writer, accept, accept_request, connect, connect_request};
use sansock::{CloseCode, Config, Endpoint, Error as Failure, Event, Message, SendError, Timer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

const WIDE: usize = usize::MAX;

fn halves(end: End) -> (Reader<End, End>, Writer<End>) {
    WebSocket::over(end, server_machine(Config::default())).split_with(|io| (io.clone(), io))
}

type LockedReader = Reader<ReadHalf<End>, WriteHalf<End>>;

/// Halves whose transport is split by a lock that they share.
fn locked_halves(end: End) -> (LockedReader, Writer<WriteHalf<End>>) {
    WebSocket::over(end, server_machine(Config::default())).split_with(tokio::io::split)
}

/// Lets all tasks run until none can.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

/// Takes all that the other end writes, a little at a time, until this task is done.
async fn drain<T>(peer: &mut Peer, task: &JoinHandle<T>) -> Vec<Seen> {
    let mut bytes = Vec::new();
    for _ in 0..10_000 {
        bytes.extend(peer.end.pull(100));
        if task.is_finished() {
            break;
        }
        settle().await;
    }
    assert!(task.is_finished(), "nobody woke the task");
    peer.end.give_back(&bytes);
    peer.hear()
}

macro_rules! hostile_81 {
    ($name:ident, $halves:ident) => {
        /// Both halves wait for the transport to take something; then it does, and nobody asks again.
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let _guard = guard();
            let (mut peer, end) = Peer::client(10);
            let (mut reader, mut writer) = $halves(end);
            let start = Instant::now();
            let large = vec![1; 5000];
            let message = Message::from(large.clone());
            let writing = tokio::spawn(async move { writer.send(message).await });
            settle().await;
            peer.ping(b"stalled");
            let reading = tokio::spawn(async move {
                assert!(matches!(reader.next().await, Ok(Some(Event::Ping(b"stalled")))));
                matches!(reader.next().await, Ok(Some(Event::Text(text))) if &*text == "go on")
            });
            settle().await;
            assert!(!writing.is_finished() && !reading.is_finished());

            assert_eq!(drain(&mut peer, &writing).await.first(), Some(&binary(&large)));
            writing.await.unwrap().unwrap();
            for _ in 0..100 {
                settle().await;
                if peer.hear() == [Seen::Pong(b"stalled".into())] {
                    break;
                }
            }
            peer.send("go on");
            settle().await;
            assert!(reading.is_finished() && reading.await.unwrap());
            assert_eq!(start.elapsed(), Duration::ZERO);
        }
    };
}

hostile_81!(hostile_81_stalled_halves_are_woken, halves);
hostile_81!(hostile_81_stalled_halves_behind_a_lock_are_woken, locked_halves);

#[tokio::test(start_paused = true)]
async fn a_pong_leaves_though_the_writer_is_never_used() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let (mut reader, _writer) = halves(end);
    peer.ping(b"?");
    assert!(matches!(reader.next().await, Ok(Some(Event::Ping(b"?")))));
    assert!(poll_once(reader.next()).is_none());
    assert_eq!(peer.hear(), [Seen::Pong(b"?".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_pong_leaves_behind_the_frame_that_the_writer_left_half_written() {
    let _guard = guard();
    for half in [1, 2, 100, 4999] {
        let (mut peer, end) = Peer::client(half);
        let (mut reader, mut writer) = halves(end);
        assert!(poll_once(writer.send(vec![1; 5000])).is_none());
        peer.ping(b"?");
        assert!(matches!(reader.next().await, Ok(Some(Event::Ping(b"?")))));
        let reading = tokio::spawn(async move { reader.recv().await });
        let mut seen = Vec::new();
        while seen.len() < 2 {
            settle().await;
            seen.extend(peer.hear());
        }
        assert_eq!(seen, [binary(&[1; 5000]), Seen::Pong(b"?".into())]);
        reading.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_that_left_before_the_split_is_not_said_twice() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = WebSocket::over(end, server_machine(Config::default()));
    socket.connection_mut().close(CloseCode::NORMAL, "bye").unwrap();
    socket.flush().await.unwrap();
    assert_eq!(peer.hear(), [Seen::End]);
    let (mut reader, _writer) = socket.split_with(|io| (io.clone(), io));
    peer.end.end();
    assert!(reader.recv().await.unwrap().is_none());
    assert!(peer.end.pull(WIDE).is_empty());
    assert_eq!(reader.closed().unwrap().sent.unwrap().reason(), "bye");
}

#[tokio::test(start_paused = true)]
async fn who_closed_through_the_sending_half_before_the_split_has_begun() {
    let _guard = guard();
    let (peer, end) = Peer::client(WIDE);
    let mut socket = WebSocket::over(end, server_machine(Config::default()));
    socket.connection_mut().halves().1.close(CloseCode::NORMAL, "bye").unwrap();
    let (mut reader, _writer) = socket.split_with(|io| (io.clone(), io));
    assert!(poll_once(reader.recv()).is_none());
    // It hangs up without a Close frame of its own.
    assert!(peer.end.pull(WIDE).starts_with(b"\x88"));
    peer.end.end();
    assert!(reader.recv().await.unwrap().is_none());
    let report = reader.closed().unwrap();
    assert!(report.began == Endpoint::Local && !report.clean);
}

#[tokio::test(start_paused = true)]
async fn what_was_queued_before_the_split_leaves_though_the_writer_is_never_used() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = WebSocket::over(end, server_machine(Config::default()));
    socket.connection_mut().text("queued").unwrap();
    let (mut reader, _writer) = socket.split_with(|io| (io.clone(), io));
    assert!(poll_once(reader.next()).is_none());
    assert_eq!(peer.hear(), [text("queued")]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_writer_that_moves_keeps_its_reader_from_timing_out() {
    let _guard = guard();
    let (peer, end) = Peer::client(1 << 10);
    let (mut reader, mut writer) = halves(end);
    let writing = tokio::spawn(async move { writer.send(vec![0; 64 << 10]).await });
    let reading = tokio::spawn(async move { reader.recv().await });
    while !writing.is_finished() {
        sleep(Duration::from_secs(15)).await;
        peer.end.pull(WIDE);
    }
    writing.await.unwrap().unwrap();
    assert!(!reading.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_flush_ends_wakes_the_writer_that_waits_for_it() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    end.next_flushes(&[Never]);
    let (mut reader, mut writer) = halves(end);
    let writing = tokio::spawn(async move { writer.send("x").await });
    settle().await;
    assert!(!writing.is_finished());
    peer.send("go");
    assert_eq!(reader.recv().await.unwrap(), Some("go".into()));
    settle().await;
    assert!(writing.is_finished(), "nobody woke the writer");
    writing.await.unwrap().unwrap();
    assert_eq!(peer.hear(), [text("x")]);
}

#[tokio::test(start_paused = true)]
async fn the_reader_ends_the_transport_behind_all_that_was_sent() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(10);
    let (mut reader, mut writer) = halves(end);
    assert!(poll_once(writer.send("longer than the transport takes")).is_none());
    peer.close();
    assert!(poll_once(reader.next()).is_none());
    assert!(!peer.end.is_ended());
    let mut bytes = Vec::new();
    while !peer.end.is_ended() {
        bytes.extend(peer.end.pull(WIDE));
        assert!(poll_once(reader.next()).is_none());
    }
    peer.end.give_back(&bytes);
    assert_eq!(peer.hear(), [text("longer than the transport takes"), Seen::End]);
}

#[tokio::test(start_paused = true)]
async fn a_reset_after_the_close_is_quiet() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let (mut reader, _writer) = halves(end);
    peer.close();
    peer.end.reset();
    assert!(reader.recv().await.unwrap().is_none());
    assert!(reader.closed().unwrap().clean);
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_has_closed_hears_of_that_and_not_of_a_reset_before_the_answer() {
    let _guard = guard();
    let (peer, end) = Peer::client(1);
    let (mut reader, mut writer) = halves(end);
    assert!(poll_once(writer.close(CloseCode::NORMAL, "")).is_none());
    peer.end.reset();
    assert!(is_reset(reader.recv().await.map(drop)));
    assert!(reader.recv().await.unwrap().is_none());
    assert!(matches!(writer.flush().await, Err(Error::Send(SendError::Closed))));
}

#[tokio::test(start_paused = true)]
async fn a_writer_hears_of_the_close_and_not_of_a_reset_behind_it() {
    let _guard = guard();
    // With a code, and without a body.
    for body in [&b"\x03\xe8"[..], b""] {
        let (peer, end) = Peer::client(WIDE);
        let (mut reader, mut writer) = halves(end);
        peer.end.push(&masked(0x88, body));
        peer.end.reset();
        assert!(reader.recv().await.unwrap().is_none());
        assert!(matches!(writer.send("late").await, Err(Error::Send(SendError::Closed))), "{body:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn halves_that_are_dropped_while_they_wait_let_go_of_the_transport() {
    let _guard = guard();
    let (peer, end) = Peer::client(10);
    let (mut reader, mut writer) = halves(end.clone());
    assert!(poll_once(writer.send("longer than the transport takes")).is_none());
    assert!(poll_once(reader.next()).is_none());
    drop((reader, writer));
    assert_eq!(end.holders(), 1, "what the transport would wake keeps it alive");
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn hostile_83_after_a_write_that_panics_in_one_half_the_other_writes_nothing() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    end.next_writes(&[Panic]);
    let (mut reader, mut writer) = halves(end);
    let writing = tokio::spawn(async move { writer.send("nobody knows how much of this was taken").await });
    assert!(writing.await.unwrap_err().is_panic());
    peer.ping(b"?");
    peer.send("still heard");
    assert_eq!(reader.recv().await.unwrap(), Some("still heard".into()));
    assert!(poll_once(reader.recv()).is_none());
    assert_eq!(peer.end.pull(WIDE).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_writers_close_has_a_deadline_though_the_reader_waits_already() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let (mut reader, mut writer) = halves(end);
    let reading = tokio::spawn(async move { reader.recv().await });
    settle().await;
    let start = Instant::now();
    writer.close(CloseCode::NORMAL, "bye").await.unwrap();
    let read = reading.await.unwrap();
    assert!(matches!(read, Err(Error::Connection(Failure::TimedOut(Timer::Closing)))));
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(peer.hear(), [Seen::End]);
    assert!(matches!(writer.send("late").await, Err(Error::Send(SendError::Closed))));
}

/// The reading side of a transport. While it is polled, the writer closes and the peer answers.
struct AnswersClose {
    io: End,
    peer: Peer,
    writer: Arc<Mutex<Option<Writer<End>>>>,
}

impl AsyncRead for AnswersClose {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let writer = self.writer.lock().unwrap().take();
        if let Some(mut writer) = writer {
            poll_once(writer.close(CloseCode::NORMAL, "")).unwrap().unwrap();
            assert_eq!(self.peer.hear(), [Seen::End]);
            self.peer.end.end();
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

#[tokio::test(start_paused = true)]
async fn who_closes_while_the_reader_is_polled_has_begun() {
    let _guard = guard();
    let (peer, end) = Peer::client(WIDE);
    let slot = Arc::default();
    let reads = |io: End| AnswersClose { io, peer, writer: Arc::clone(&slot) };
    let socket = WebSocket::over(end, server_machine(Config::default()));
    let (mut reader, writer) = socket.split_with(|io| (reads(io.clone()), io));
    *slot.lock().unwrap() = Some(writer);
    assert!(reader.recv().await.unwrap().is_none());
    assert_eq!(reader.closed().unwrap().began, Endpoint::Local);
}

#[tokio::test(start_paused = true)]
async fn the_peers_close_makes_the_writer_fail() {
    let _guard = guard();
    for waits in [false, true] {
        let (mut peer, end) = Peer::client(if waits { 10 } else { WIDE });
        let (mut reader, mut writer) = halves(end);
        let writing = tokio::spawn(async move {
            // In the second round it is stuck when the conversation ends.
            if waits {
                writer.send("longer than the transport takes").await?;
            }
            yield_now().await;
            while writer.send("more").await.is_ok() {
                yield_now().await;
            }
            writer.feed("x").await?;
            writer.flush().await
        });
        settle().await;
        peer.close();
        peer.end.end();
        assert!(reader.next().await.unwrap().is_none());
        assert!(reader.closed().unwrap().clean);
        assert!(matches!(writing.await.unwrap(), Err(Error::Send(SendError::Closed))));
    }
}

#[tokio::test(start_paused = true)]
async fn both_ends_close_cleanly_from_their_writers() {
    let _guard = guard();
    for script in SCRIPTS {
        let (near, far) = duplex(3);
        let client = WebSocket::over(near.clone().always(script), client_machine(Config::default()));
        let (mut client, mut client_writer) = client.split_with(|io| (io.clone(), io));
        let (mut server, mut server_writer) = halves(far.clone().always(script));
        let (one, other, client_sees, server_sees) = tokio::join!(
            client_writer.close(CloseCode::NORMAL, "client"),
            server_writer.close(CloseCode::NORMAL, "server"),
            async {
                let seen = client.recv().await;
                near.end();
                seen
            },
            server.recv()
        );
        assert!(one.is_ok() && other.is_ok());
        assert!(client_sees.unwrap().is_none() && server_sees.unwrap().is_none());
        assert_eq!(client.closed().unwrap().received.unwrap().reason(), "server");
        assert_eq!(server.closed().unwrap().received.unwrap().reason(), "client");
        assert!(far.log(|log| log.shut_first) && !near.log(|log| log.shut_first));
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_is_split_while_it_closes_sends_no_second_close_frame() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = WebSocket::over(end, server_machine(Config::default()));
    assert!(poll_once(socket.close(CloseCode::GOING_AWAY, "bye")).is_none());
    let (mut reader, mut writer) = socket.split_with(|io| (io.clone(), io));
    // The Close frame, and nothing behind its answer.
    assert_eq!(peer.hear(), [Seen::End]);
    peer.end.end();
    assert!(reader.next().await.unwrap().is_none());
    assert!(matches!(writer.send("late").await, Err(Error::Send(SendError::Closed))));
    assert_eq!(peer.end.pull(WIDE), b"");
    let report = reader.closed().unwrap();
    assert_eq!(report.sent.map(|frame| frame.code()), Some(CloseCode::GOING_AWAY));
    assert!(report.clean);
}

#[tokio::test(start_paused = true)]
async fn a_writer_goes_on_when_its_reader_is_dropped() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(10);
    let (mut reader, mut writer) = halves(end);
    let writing = tokio::spawn(async move { writer.send("longer than the transport takes").await });
    settle().await;
    assert!(poll_once(reader.next()).is_none());
    drop(reader);
    assert_eq!(drain(&mut peer, &writing).await, [text("longer than the transport takes")]);
    writing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_writer_hears_of_an_error_that_its_reader_saw_first() {
    let _guard = guard();
    let (peer, end) = Peer::client(10);
    let (mut reader, mut writer) = halves(end);
    assert!(poll_once(writer.send("longer than the transport takes")).is_none());
    peer.end.refuse(ErrorKind::ConnectionReset);
    assert!(poll_once(reader.next()).is_none());
    assert!(is_reset(writer.flush().await));
    // Nor has anybody closed once the reader has seen the end.
    peer.end.end();
    assert!(matches!(reader.recv().await, Err(Error::Connection(Failure::UnexpectedEof))));
    assert!(is_reset(writer.flush().await));
}

fn is_reset(outcome: Result<(), Error>) -> bool {
    matches!(outcome, Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionReset)
}

#[tokio::test(start_paused = true)]
async fn hostile_77_given_up_calls_of_a_writer_leave_bounded_memory() {
    let _guard = guard();
    let (_peer, end) = Peer::client(10);
    let machine = server_machine(config(|c| c.output_high_water = 10_000));
    let (_reader, mut writer) = WebSocket::over(end, machine).split_with(|io| (io.clone(), io));
    let fed = (0..1000).filter(|_| poll_once(writer.feed(vec![0; 1000])).is_some()).count();
    assert!(fed < 30, "{fed}");
}

/// One end floods while it reads what the other one floods, and closes when it has all.
async fn flood<R, W>(mut reader: Reader<R, W>, mut writer: Writer<W>, count: usize)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (have_all, all) = oneshot::channel();
    let writing = tokio::spawn(async move {
        for i in 0..count {
            writer.feed(vec![0; i % 3000]).await.unwrap();
            if i % 16 == 0 {
                writer.ping(b"?").await.unwrap();
            }
        }
        let _ = writer.flush().await;
        all.await.unwrap();
        // The other end may have closed by now.
        let _ = writer.close(CloseCode::NORMAL, "").await;
    });
    for i in 0..count {
        assert_eq!(reader.recv().await.unwrap().unwrap().as_bytes().len(), i % 3000);
    }
    have_all.send(()).unwrap();
    assert!(reader.recv().await.unwrap().is_none());
    writing.await.unwrap();
}

/// A lost wake-up stays lost: no keepalive ping comes to the rescue.
fn silent() -> Config {
    config(|c| c.ping_interval = None)
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_81_two_floods_do_not_lock_each_other() {
    let _guard = guard();
    for room in [1, 64, 5000] {
        let count = if room == 1 { 50 } else { 500 };
        let (near, far) = tokio::io::duplex(room);
        let client = WebSocket::over(near, client_machine(silent())).split_with(tokio::io::split);
        let server = WebSocket::over(far, server_machine(silent())).split_with(tokio::io::split);
        let one = tokio::spawn(flood(client.0, client.1, count));
        flood(server.0, server.1, count).await;
        one.await.unwrap();
    }
}

async fn tcp() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_floods_over_tcp_pass() {
    let _guard = guard();
    let (listener, url) = tcp().await;
    let serving = tokio::spawn(async move {
        let (reader, writer) = accept(listener.accept().await.unwrap().0, silent()).await.unwrap().split();
        flood(reader, writer, 20_000).await;
    });
    let (reader, writer) = connect(&url, silent()).await.unwrap().split();
    flood(reader, writer, 20_000).await;
    serving.await.unwrap();
}

#[tokio::test]
async fn a_refused_client_sees_the_status_and_the_body() {
    let _guard = guard();
    let (listener, url) = tcp().await;
    let serving = tokio::spawn(async move {
        let incoming = accept_request(listener.accept().await.unwrap().0, Config::default()).await.unwrap();
        assert_eq!(incoming.request().unwrap().target(), "/");
        incoming.reject(Response::new(403).unwrap().body("not you")).await
    });
    match connect(&url, Config::default()).await {
        Err(Error::Refused(refused)) => {
            assert_eq!((refused.status(), refused.body()), (403, &b"not you"[..]));
        }
        other => panic!("{other:?}"),
    }
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_subprotocol_is_agreed_and_the_first_message_comes_with_the_response() {
    let _guard = guard();
    let (listener, url) = tcp().await;
    let serving = tokio::spawn(async move {
        let incoming = accept_request(listener.accept().await.unwrap().0, Config::default()).await.unwrap();
        let mut socket = incoming.accept(Accept::new().protocol("chat")).await.unwrap();
        socket.send("welcome").await.unwrap();
        socket.recv().await.unwrap()
    });
    let request = ClientRequest::new(&url).unwrap().protocol("chat").unwrap();
    let mut socket = connect_request(request, Config::default()).await.unwrap();
    assert_eq!(socket.recv().await.unwrap(), Some("welcome".into()));
    assert!(socket.close(CloseCode::NORMAL, "").await.unwrap().clean);
    assert_eq!(serving.await.unwrap(), None);
}

#[tokio::test]
async fn hostile_79_a_silent_peer_does_not_hold_up_a_handshake() {
    let _guard = guard();
    let (listener, url) = tcp().await;
    let short = config(|c| c.handshake_timeout = Duration::from_millis(50));
    // It connects, and then says nothing; the listener accepts, and says nothing.
    let silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let incoming = accept_request(accepted, short.clone()).await.unwrap();
    assert!(matches!(incoming.request(), Err(rejection) if rejection.error() == HandshakeError::TimedOut));
    drop(silent);
    let connected = connect(&url, short).await;
    assert!(matches!(connected, Err(Error::Handshake(HandshakeError::TimedOut))));
}

#[tokio::test]
async fn hostile_55_a_peer_that_vanishes_over_tcp_is_an_error() {
    let _guard = guard();
    let (listener, url) = tcp().await;
    let serving = tokio::spawn(async move {
        let mut socket = accept(listener.accept().await.unwrap().0, Config::default()).await.unwrap();
        socket.recv().await
    });
    let mut socket = connect(&url, Config::default()).await.unwrap();
    // Closing on unread bytes resets the connection.
    socket.connection_mut().ping(b"").unwrap();
    socket.flush().await.unwrap();
    drop(socket);
    assert!(matches!(serving.await.unwrap(), Err(Error::Io(_) | Error::Connection(Failure::UnexpectedEof))));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_at_once() {
    const CROWD: usize = 200;
    let _guard = guard();
    let (listener, url) = tcp().await;
    let serving = tokio::spawn(async move {
        for _ in 0..=CROWD {
            let (io, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut socket = accept(io, Config::default()).await?;
                while let Some(message) = socket.recv().await? {
                    socket.send(message).await?;
                }
                Ok::<(), Error>(())
            });
        }
    });
    // One that is no WebSocket client disturbs nobody.
    let mut stranger =
        TcpStream::connect(url.trim_start_matches("ws://").trim_end_matches('/')).await.unwrap();
    stranger.write_all(b"EHLO example.com\r\n\r\n").await.unwrap();
    let clients: Vec<_> = (0..CROWD)
        .map(|i| {
            let url = url.clone();
            tokio::spawn(async move {
                let mut socket = connect(&url, Config::default()).await.unwrap();
                socket.send(i.to_string()).await.unwrap();
                assert_eq!(socket.recv().await.unwrap(), Some(i.to_string().into()));
                assert!(socket.close(CloseCode::NORMAL, "").await.unwrap().clean);
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    serving.await.unwrap();
}

thread_local! {
    /// What writes, while it waits.
    static WRITING: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>> = const { RefCell::new(None) };
}

/// Wakes what writes by running it.
struct AtOnce;

impl Wake for AtOnce {
    fn wake(self: Arc<Self>) {
        let Some(mut writing) = WRITING.take() else { return };
        if writing.as_mut().poll(&mut Context::from_waker(&Waker::from(self))).is_pending() {
            WRITING.set(Some(writing));
        }
    }
}

#[tokio::test]
async fn a_waker_may_run_its_task_at_once() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    end.next_writes(&[Never]);
    let (mut reader, mut writer) = halves(end);
    WRITING.set(Some(Box::pin(async move { writer.send("written by the reader").await.unwrap() })));
    Arc::new(AtOnce).wake();
    assert!(WRITING.with_borrow(Option::is_some));
    assert!(poll_once(reader.next()).is_none());
    assert!(WRITING.with_borrow(Option::is_none));
    assert_eq!(peer.hear(), [text("written by the reader")]);
}

#[tokio::test(start_paused = true)]
async fn what_came_while_the_application_was_busy_keeps_halves_from_idling() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let idle = config(|c| c.idle_timeout = Some(Duration::from_secs(60)));
    let socket = WebSocket::over(end, server_machine(idle));
    let (mut reader, mut writer) = socket.split_with(|io| (io.clone(), io));
    // Of lengths with which a socket lets others have their turn, or reads in parts.
    for len in [3, 70_000, 70_000, 70_000, 300_000, 3].into_iter().chain([7000; 20]) {
        let request = "?".repeat(len);
        peer.send(&*request);
        assert_eq!(Seen::from(reader.next().await.unwrap().unwrap()), text(&request));
        sleep(Duration::from_secs(100)).await;
        writer.send("done").await.unwrap();
        assert_eq!(peer.hear(), [text("done")]);
    }
}
