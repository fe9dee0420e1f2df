//! What the tokio shim promises, over transports that do their worst and a clock that jumps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "tests"
)]

mod common;
mod io;

use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Seen, binary, masked, text};
use futures_util::{SinkExt, StreamExt};
use io::Step::{Fail, Later, Move, Never, Zero};
use io::{End, Peer, SCRIPTS, client_machine, config, duplex, fitting, guard, poll_once, server_machine};
use sansock::tokio::{Error, WebSocket};
use sansock::{CloseCode, Config, Endpoint, Error as Failure, Event, Message, SendError, Timer, Violation};
use tokio::time::{Instant, sleep};

type Socket = WebSocket<End>;

/// Room that no test fills.
const WIDE: usize = usize::MAX;
/// Sizes on both sides of every form of a length, and of the buffers.
const SIZES: [usize; 11] = [0, 1, 125, 126, 127, 4095, 4096, 16_384, 65_535, 65_536, 70_000];

fn server(end: End) -> Socket {
    WebSocket::over(end, server_machine(Config::default()))
}

/// All that a socket says, up to its end or its error.
async fn all(socket: &mut Socket) -> (Vec<Seen>, Result<(), Error>) {
    let mut seen = Vec::new();
    loop {
        match socket.next().await {
            Ok(Some(event)) => seen.push(event.into()),
            Ok(None) => return (seen, Ok(())),
            Err(error) => return (seen, Err(error)),
        }
    }
}

/// The echo of the docs.
async fn echo(socket: &mut Socket) -> Result<(), Error> {
    while socket.ready().await? {
        while let Ok(Some((event, send))) = socket.connection_mut().poll_with_send() {
            send.relay(event)?;
        }
    }
    Ok(())
}

fn is_failure(result: Result<(), Error>, expected: Failure) -> bool {
    matches!(result, Err(Error::Connection(error)) if error == expected)
}

#[tokio::test(start_paused = true)]
async fn hostile_82_messages_of_all_sizes_are_echoed_over_any_chunking() {
    let _guard = guard();
    for script in SCRIPTS {
        let (near, far) = duplex(5000);
        let mut client = WebSocket::over(near.always(script), client_machine(Config::default()));
        let mut server = server(far.always(script));
        let talk = async {
            for size in fitting(script, &SIZES) {
                for sent in [Message::from("x".repeat(size)), Message::from(vec![7; size])] {
                    client.send(sent.clone()).await.unwrap();
                    assert_eq!(client.recv().await.unwrap(), Some(sent));
                }
            }
            client.close(CloseCode::NORMAL, "bye").await.unwrap()
        };
        let (report, echoed) = tokio::join!(talk, echo(&mut server));
        echoed.unwrap();
        assert!(report.clean && report.began == Endpoint::Local);
        assert_eq!(server.closed().unwrap().received.unwrap().reason(), "bye");
    }
}

#[tokio::test(start_paused = true)]
async fn many_messages_in_one_read_are_answered_by_one_write() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end.clone());
    for i in 0..100 {
        peer.machine.text(&i.to_string()).unwrap();
    }
    peer.machine.binary(&[7; 1000]).unwrap();
    let queued = common::output(&mut peer.machine);
    end.next_reads(&[Move(queued.len())]);
    peer.end.push(&queued);
    assert!(poll_once(echo(&mut socket)).is_none());
    assert_eq!(end.log(|log| log.writes.len()), 1);
    assert_eq!(peer.hear().len(), 101);
}

#[tokio::test(start_paused = true)]
async fn pieces_and_whole_payloads_leave_in_one_vectored_write() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end.clone());
    let large = vec![1; 50_000];
    for message in ["a".into(), Message::from(large.clone()), "b".into()] {
        socket.feed(message).await.unwrap();
    }
    socket.flush().await.unwrap();
    assert_eq!(end.log(|log| log.writes.len()), 1);
    assert_eq!(peer.hear(), [text("a"), binary(&large), text("b")]);
}

#[tokio::test(start_paused = true)]
async fn pongs_leave_without_the_application_sending_anything() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end);
    for payload in [b"1", b"2"] {
        peer.ping(payload);
    }
    assert!(matches!(socket.next().await, Ok(Some(Event::Ping(b"1")))));
    assert!(matches!(socket.next().await, Ok(Some(Event::Ping(b"2")))));
    assert!(poll_once(socket.next()).is_none());
    assert_eq!(peer.hear(), [Seen::Pong(b"1".into()), Seen::Pong(b"2".into())]);
}

#[tokio::test(start_paused = true)]
async fn hostile_77_feed_waits_for_a_slow_reader_in_bounded_memory() {
    let _guard = guard();
    let high_water = 64 << 10;
    let (peer, end) = Peer::client(1 << 10);
    let mut socket = WebSocket::over(end, server_machine(config(|c| c.output_high_water = high_water)));
    let mut fed = 0;
    while poll_once(socket.feed(vec![0; 10_000])).is_some() {
        fed += 1;
        assert!(socket.connection().buffered() <= high_water + 10_010);
    }
    assert_eq!(fed, 7);
    // Dropped calls have queued nothing; and it goes on when the peer reads.
    let mut taken = 0;
    for _ in 0..7 * 10 + 7 {
        taken += peer.end.pull(WIDE).len();
        let _ = poll_once(socket.flush());
    }
    assert_eq!(taken + peer.end.pull(WIDE).len(), 7 * 10_004);
    assert!(poll_once(socket.feed("room")).is_some());
}

#[tokio::test(start_paused = true)]
async fn there_is_room_as_soon_as_no_more_waits_than_the_mark_says() {
    let _guard = guard();
    let (peer, end) = Peer::client(1 << 10);
    let mut socket = WebSocket::over(end, server_machine(config(|c| c.output_high_water = 64 << 10)));
    for _ in 0..7 {
        socket.feed(vec![0; 10_000]).await.unwrap();
    }
    assert!(poll_once(socket.room()).is_none());
    let mut has_room = false;
    while !has_room {
        peer.end.pull(WIDE);
        has_room = poll_once(socket.room()).is_some();
        assert_eq!(has_room, !socket.connection().is_above_high_water());
    }
    assert!(socket.connection().buffered() > 60_000);
}

#[tokio::test(start_paused = true)]
async fn hostile_78_reads_stop_while_a_flooding_peer_takes_nothing() {
    let _guard = guard();
    let high_water = 64 << 10;
    let (mut peer, end) = Peer::client(1 << 10);
    let mut socket =
        WebSocket::over(end.clone(), server_machine(config(|c| c.output_high_water = high_water)));
    for _ in 0..1000 {
        peer.send(vec![0; 10_000]);
    }
    assert!(poll_once(echo(&mut socket)).is_none());
    assert!(end.log(|log| log.read) < 4 * high_water, "{}", end.log(|log| log.read));
    assert!(socket.connection().buffered() < 4 * high_water);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_then_given_up() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end);
    let start = Instant::now();
    let waiting = tokio::spawn(async move { all(&mut socket).await });
    sleep(Duration::from_secs(19)).await;
    assert_eq!(peer.hear(), []);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(peer.end.pull(WIDE), b"\x89\x00");
    let (seen, end) = waiting.await.unwrap();
    assert!(seen.is_empty() && is_failure(end, Failure::TimedOut(Timer::Pong)));
    // Then the close timeout, in which the peer might still have hung up.
    assert_eq!(start.elapsed().as_secs(), 20 + 20 + 5);
    assert!(peer.end.pull(WIDE).starts_with(b"\x88\x02\x03\xf0"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_is_kept() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end);
    let waiting = tokio::spawn(async move { all(&mut socket).await.0 });
    for _ in 0..100 {
        sleep(Duration::from_secs(15)).await;
        peer.hear();
    }
    peer.send("still here");
    peer.close();
    peer.end.end();
    let seen = waiting.await.unwrap();
    assert_eq!(seen.last(), Some(&text("still here")));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_with_its_code() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let idle = config(|c| {
        c.idle_timeout = Some(Duration::from_secs(60));
        c.idle_close = CloseCode::GOING_AWAY;
    });
    let mut socket = WebSocket::over(end, server_machine(idle));
    let start = Instant::now();
    let waiting = tokio::spawn(async move { (all(&mut socket).await.1, socket.closed()) });
    while peer.machine.closed().is_none() {
        sleep(Duration::from_secs(1)).await;
        peer.hear();
    }
    assert_eq!(peer.machine.closed().unwrap().received.unwrap().code(), CloseCode::GOING_AWAY);
    assert!((59..63).contains(&start.elapsed().as_secs()));
    peer.end.end();
    let (result, report) = waiting.await.unwrap();
    assert!(result.is_ok() && report.unwrap().clean);
}

#[tokio::test(start_paused = true)]
async fn what_came_while_the_application_was_busy_keeps_the_connection_from_idling() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let idle = config(|c| c.idle_timeout = Some(Duration::from_secs(60)));
    let mut socket = WebSocket::over(end, server_machine(idle));
    // Of lengths with which a socket lets others have their turn, or reads in parts.
    for len in [3, 70_000, 70_000, 70_000, 3, 300_000, 300_000, 3].into_iter().chain([7000; 20]) {
        let request = "?".repeat(len);
        peer.send(&*request);
        assert_eq!(Seen::from(socket.next().await.unwrap().unwrap()), text(&request));
        sleep(Duration::from_secs(100)).await;
        socket.send("done").await.unwrap();
        assert_eq!(peer.hear(), [text("done")]);
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_54_no_traffic_extends_the_close_deadline() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end);
    let start = Instant::now();
    let closing = tokio::spawn(async move { socket.close(CloseCode::NORMAL, "").await });
    while !closing.is_finished() {
        peer.ping(b"wait");
        peer.send("and see");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(matches!(closing.await.unwrap(), Err(Error::Connection(Failure::TimedOut(Timer::Closing)))));
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn hostile_54_a_close_that_cannot_be_written_ends_in_time() {
    let _guard = guard();
    for (hangs_up, closes) in [(false, false), (false, true), (true, true)] {
        let (mut peer, end) = Peer::client(10);
        let mut socket = server(end);
        assert!(poll_once(socket.send("longer than the transport takes")).is_none());
        if closes {
            peer.close();
        }
        if hangs_up {
            peer.end.end();
        }
        let start = Instant::now();
        let closed = socket.close(CloseCode::NORMAL, "").await;
        assert_eq!(start.elapsed().as_secs(), 5);
        assert_eq!(closed.is_ok(), closes);
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_54_flush_ends_too_after_the_close_deadline() {
    let _guard = guard();
    for hangs_up in [false, true] {
        let (mut peer, end) = Peer::client(10);
        let mut socket = server(end);
        assert!(poll_once(socket.send("longer than the transport takes")).is_none());
        peer.close();
        if hangs_up {
            peer.end.end();
        }
        assert!(poll_once(socket.next()).is_none());
        let flushed = tokio::time::timeout(Duration::from_secs(60), socket.flush()).await;
        assert!(flushed.is_ok_and(|flushed| flushed.is_err()), "hangs up: {hangs_up}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_writer_that_moves_is_not_timed_out() {
    let _guard = guard();
    let (peer, end) = Peer::client(1 << 10);
    let mut socket = server(end);
    let sending = tokio::spawn(async move { socket.send(vec![0; 64 << 10]).await });
    while !sending.is_finished() {
        sleep(Duration::from_secs(15)).await;
        peer.end.pull(WIDE);
    }
    sending.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_is_stuck_is_timed_out() {
    let _guard = guard();
    let (_peer, end) = Peer::client(1 << 10);
    let mut socket = server(end);
    let sent = socket.send(vec![0; 64 << 10]).await;
    assert!(is_failure(sent, Failure::TimedOut(Timer::Pong)));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_the_last_of_what_had_to_wait_is_there() {
    let _guard = guard();
    let (peer, end) = Peer::client(1 << 10);
    let mut socket = server(end);
    let start = Instant::now();
    let waiting = tokio::spawn(async move {
        socket.send(vec![0; 1500]).await.unwrap();
        all(&mut socket).await.1
    });
    sleep(Duration::from_secs(39)).await;
    peer.end.pull(WIDE);
    assert!(is_failure(waiting.await.unwrap(), Failure::TimedOut(Timer::Pong)));
    // From then on: until the ping, for its answer, and for the peer to hang up.
    assert_eq!(start.elapsed().as_secs(), 39 + 20 + 20 + 5);
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_is_too_long_closes_nothing() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end);
    let closed = poll_once(socket.close(CloseCode::NORMAL, &"x".repeat(124)));
    assert!(matches!(closed, Some(Err(Error::Send(SendError::ControlTooLong)))));
    assert_eq!(peer.hear(), []);
    socket.send("still open").await.unwrap();
    assert_eq!(peer.hear(), [text("still open")]);
}

#[tokio::test(start_paused = true)]
async fn the_server_ends_the_transport_first() {
    let _guard = guard();
    for client_begins in [true, false] {
        let (near, far) = duplex(WIDE);
        let mut client = WebSocket::over(near.clone(), client_machine(Config::default()));
        let mut server = server(far.clone());
        let (first, second) =
            if client_begins { (&mut client, &mut server) } else { (&mut server, &mut client) };
        assert!(poll_once(first.close(CloseCode::NORMAL, "")).is_none());
        assert!(poll_once(second.next()).is_none() || !client_begins);
        if client_begins {
            assert!(poll_once(first.close(CloseCode::NORMAL, "")).is_some() == far.log(|log| log.shut_first));
        }
        let (one, other) = tokio::join!(server.next(), client.next());
        assert!(one.unwrap().is_none() && other.unwrap().is_none());
        assert!(far.log(|log| log.shut_first) && !near.log(|log| log.shut_first));
        assert!(server.closed().unwrap().clean && client.closed().unwrap().clean);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_for_the_server_to_end_the_transport() {
    let _guard = guard();
    let (mut peer, end) = Peer::server(WIDE);
    let mut socket = WebSocket::over(end, client_machine(Config::default()));
    peer.close();
    assert!(poll_once(socket.next()).is_none());
    assert_eq!(peer.hear(), [Seen::End]);
    assert!(!peer.end.is_ended());
    peer.end.end();
    assert!(socket.next().await.unwrap().is_none());
    // It must not keep the server waiting until the application drops the socket.
    assert!(peer.end.is_ended());
}

#[tokio::test(start_paused = true)]
async fn hostile_55_a_reset_after_the_close_is_quiet() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end);
    peer.send("last");
    peer.close();
    peer.end.reset();
    let (seen, result) = all(&mut socket).await;
    assert_eq!(seen, [text("last")]);
    assert!(result.is_ok() && socket.closed().unwrap().clean);
}

#[tokio::test(start_paused = true)]
async fn hostile_55_an_end_without_a_close_is_an_error() {
    let _guard = guard();
    for cut in [&b""[..], b"\x82", &masked(0x82, b"half")[..7]] {
        let (mut peer, end) = Peer::client(WIDE);
        let mut socket = server(end);
        peer.send("whole");
        peer.end.push(cut);
        peer.end.end();
        let (seen, result) = all(&mut socket).await;
        assert_eq!(seen, [text("whole")]);
        assert!(is_failure(result, Failure::UnexpectedEof));
        assert!(matches!(socket.send("late").await, Err(Error::Send(SendError::Closed))));
    }
}

#[tokio::test(start_paused = true)]
async fn the_peer_is_told_of_its_error_before_the_application_is() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end.always(SCRIPTS[3]));
    for i in 0..10 {
        peer.send(i.to_string());
    }
    peer.end.push(&masked(0xf2, b""));
    assert!(poll_once(echo(&mut socket)).is_none());
    let task = tokio::spawn(async move { echo(&mut socket).await });
    while !peer.end.is_ended() {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(!task.is_finished());
    let seen = peer.hear();
    assert_eq!(seen.len(), 11);
    assert_eq!(peer.machine.closed().unwrap().received.unwrap().code(), CloseCode::PROTOCOL_ERROR);
    peer.end.end();
    assert!(is_failure(task.await.unwrap(), Failure::Protocol(Violation::ReservedBits)));
}

#[tokio::test(start_paused = true)]
async fn what_came_before_a_write_error_is_not_lost() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end);
    socket.connection_mut().text("nobody hears this").unwrap();
    peer.ping(b"?");
    peer.send("first");
    peer.send("second");
    peer.end.refuse(ErrorKind::BrokenPipe);
    peer.end.end();
    let (seen, result) = all(&mut socket).await;
    assert_eq!(seen, [Seen::Ping(b"?".into()), text("first"), text("second")]);
    assert!(is_failure(result, Failure::UnexpectedEof));
}

#[tokio::test(start_paused = true)]
async fn a_broken_transport_is_never_said_to_have_taken_a_message() {
    let _guard = guard();
    let (peer, end) = Peer::client(WIDE);
    let mut socket = server(end);
    socket.feed("lost").await.unwrap();
    peer.end.refuse(ErrorKind::BrokenPipe);
    assert!(poll_once(socket.next()).is_none());
    assert!(matches!(socket.flush().await, Err(Error::Io(_))));
    assert!(matches!(socket.send("lost too").await, Err(Error::Io(_))));
}

#[tokio::test(start_paused = true)]
async fn hostile_82_a_write_of_nothing_and_a_failed_flush_are_errors() {
    let _guard = guard();
    let (_peer, end) = Peer::client(WIDE);
    end.next_writes(&[Move(1), Later, Zero]);
    let sent = server(end).send("x").await;
    assert!(matches!(sent, Err(Error::Io(error)) if error.kind() == ErrorKind::WriteZero));

    let (_peer, end) = Peer::client(WIDE);
    end.next_flushes(&[Later, Fail(ErrorKind::ConnectionReset)]);
    let sent = server(end).send("x").await;
    assert!(matches!(sent, Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionReset));
}

#[tokio::test(start_paused = true)]
async fn what_the_transport_holds_back_is_flushed() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    end.hold_back();
    end.next_flushes(&[Later, Later]);
    let mut socket = server(end);
    assert!(poll_once(socket.send("x")).is_none());
    assert!(poll_once(socket.next()).is_none());
    assert!(poll_once(socket.next()).is_none());
    assert_eq!(peer.hear(), [text("x")]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_after_its_error() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    let mut socket = server(end);
    peer.ping(b"passed over");
    peer.send("one");
    peer.end.push(&masked(0x83, b""));
    peer.end.end();
    assert!(matches!(StreamExt::next(&mut socket).await, Some(Ok(message)) if message == "one".into()));
    let error = Failure::Protocol(Violation::ReservedOpcode);
    assert!(matches!(StreamExt::next(&mut socket).await, Some(Err(Error::Connection(e))) if e == error));
    for _ in 0..3 {
        assert!(StreamExt::next(&mut socket).await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_and_a_sink_converse_and_close() {
    let _guard = guard();
    for script in SCRIPTS {
        let (near, far) = duplex(3000);
        let mut client = WebSocket::over(near.always(script), client_machine(Config::default()));
        let mut server = server(far.always(script));
        let serve = async {
            while let Some(message) = StreamExt::next(&mut server).await {
                SinkExt::feed(&mut server, message.unwrap()).await.unwrap();
                SinkExt::flush(&mut server).await.unwrap();
            }
        };
        let talk = async {
            for size in fitting(script, &SIZES) {
                SinkExt::send(&mut client, vec![5; size].into()).await.unwrap();
                let echoed = StreamExt::next(&mut client).await.unwrap().unwrap();
                assert_eq!(echoed.as_bytes().len(), size);
            }
            SinkExt::close(&mut client).await.unwrap();
            assert!(client.closed().unwrap().clean);
            assert!(StreamExt::next(&mut client).await.is_none());
        };
        tokio::join!(serve, talk);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_flush_ends_wakes_the_sink_that_waits_for_it() {
    let _guard = guard();
    let (mut peer, end) = Peer::client(WIDE);
    end.next_flushes(&[Never]);
    let stream = Arc::new(Mutex::new(server(end)));
    let sink = Arc::clone(&stream);
    sink.lock().unwrap().start_send_unpin("x".into()).unwrap();
    let flushing = tokio::spawn(poll_fn(move |cx| sink.lock().unwrap().poll_flush_unpin(cx)));
    // The clock goes on when no task can.
    sleep(Duration::from_secs(1)).await;
    assert!(!flushing.is_finished());
    peer.send("go");
    let message = poll_fn(|cx| stream.lock().unwrap().poll_next_unpin(cx)).await;
    assert!(matches!(message, Some(Ok(message)) if message == "go".into()));
    sleep(Duration::from_secs(1)).await;
    assert!(flushing.is_finished(), "nobody woke the sink");
    flushing.await.unwrap().unwrap();
    assert_eq!(peer.hear(), [text("x")]);
}

#[tokio::test(start_paused = true)]
async fn hostile_88_timeouts_of_nothing_and_of_for_ever() {
    let _guard = guard();
    let (_peer, end) = Peer::client(WIDE);
    let never = config(|c| {
        c.ping_interval = Some(Duration::MAX);
        c.idle_timeout = Some(Duration::MAX);
        c.close_timeout = Duration::MAX;
    });
    let mut socket = WebSocket::over(end, server_machine(never));
    assert!(poll_once(socket.next()).is_none());
    assert!(
        tokio::time::timeout(Duration::from_secs(1 << 30), socket.close(CloseCode::NORMAL, ""))
            .await
            .is_err()
    );

    let (_peer, end) = Peer::client(WIDE);
    let at_once = config(|c| {
        c.ping_interval = Some(Duration::ZERO);
        c.pong_timeout = Duration::ZERO;
        c.close_timeout = Duration::ZERO;
    });
    let mut socket = WebSocket::over(end, server_machine(at_once));
    assert!(is_failure(all(&mut socket).await.1, Failure::TimedOut(Timer::Pong)));
}
