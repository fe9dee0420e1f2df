//! Item 88: clocks that jump, and deadlines of nothing and of for ever. Nothing panics or overflows, and
//! nobody who follows [`Connection::poll_timeout`] is kept busy by it.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use bytes::BufMut;
use proptest::prelude::*;
use sansock::handshake::HandshakeError;
use sansock::handshake::client::ClientRequest;
use sansock::handshake::server::Handshake;
use sansock::tokio as shim;
use sansock::{CloseCode, Config, Connection, Event, Timestamp, blocking};

use crate::common::{Pair, Seen, drain, events, masked, plain};
use crate::io::{Peer, client_machine, config, duplex, guard, server_machine};

const END_OF_TIME: Timestamp = Timestamp::from_epoch(Duration::MAX);
const NANO: Duration = Duration::from_nanos(1);
const DURATIONS: [Duration; 5] =
    [Duration::ZERO, NANO, Duration::from_secs(1), Duration::from_secs(1 << 40), Duration::MAX];

/// How an endpoint is made, and how its peer encodes a frame.
type Role = (fn(Config) -> Connection, fn(u8, &[u8]) -> Vec<u8>);

const ROLES: [Role; 2] = [(server_machine, masked), (client_machine, plain)];

/// Every combination of durations for the four deadlines of a connection.
fn all_timeouts() -> impl Iterator<Item = Config> {
    let count = DURATIONS.len();
    (0..(count + 1).pow(2) * count.pow(2)).map(move |number| {
        let (ping, rest) = (number % (count + 1), number / (count + 1));
        let (idle, rest) = (rest % (count + 1), rest / (count + 1));
        config(|config| {
            config.ping_interval = DURATIONS.get(ping).copied();
            config.idle_timeout = DURATIONS.get(idle).copied();
            config.pong_timeout = DURATIONS[rest % count];
            config.close_timeout = DURATIONS[rest / count];
        })
    })
}

/// Does as a driver whose peer is silent: how often it was told the time until nothing more was due.
fn follow(connection: &mut Connection, mut now: Timestamp) -> usize {
    let mut count = 0;
    while let Some(deadline) = connection.poll_timeout() {
        now = now.max(deadline);
        connection.handle_timeout(now);
        let _failed = events(connection);
        drain(connection);
        count += 1;
        assert!(count < 10, "{deadline:?} again and again");
    }
    count
}

#[test]
fn hostile_88_no_deadline_keeps_a_driver_busy_whatever_the_timeouts() {
    for (new, _) in ROLES {
        for config in all_timeouts() {
            for now in [Timestamp::EPOCH, Timestamp::EPOCH + Duration::from_secs(1), END_OF_TIME] {
                // Sooner or later each is over: no answer comes to a ping, or the closing handshake ends.
                let has_deadline = config.ping_interval.is_some() || config.idle_timeout.is_some();
                let mut silent = new(config.clone());
                silent.handle_timeout(now);
                assert_eq!(follow(&mut silent, now) > 0, has_deadline, "{config:?}");
                assert_eq!(silent.is_finished(), has_deadline, "{config:?}");

                let mut closing = new(config.clone());
                closing.close(CloseCode::NORMAL, "").unwrap();
                assert!(follow(&mut closing, now) > 0 && closing.is_finished(), "{config:?}");
            }
        }
    }
}

#[test]
fn hostile_88_a_keepalive_of_nothing_takes_time_between_two_pings() {
    for ping_interval in [Duration::ZERO, NANO] {
        let eager = config(|config| config.ping_interval = Some(ping_interval));
        let mut pair = Pair::with(eager.clone(), eager);
        for _ in 0..100 {
            let next = [pair.client.poll_timeout(), pair.server.poll_timeout()].into_iter().flatten().min();
            assert!(next > Some(pair.now), "time goes on with each ping");
            pair.sleep(NANO);
        }
        assert!(pair.client.closed().is_none() && pair.server.closed().is_none());
        assert!((100..=200).contains(&pair.client_saw.len()), "{}", pair.client_saw.len());
    }
}

proptest! {
    #[test]
    fn hostile_88_any_clock_is_survived(
        number in 0..900usize,
        times in proptest::collection::vec(
            prop_oneof![Just(0), Just(u64::MAX), Just(u64::MAX - 1), any::<u64>()],
            1..30,
        ),
        is_client: bool,
    ) {
        let (new, encode) = ROLES[usize::from(is_client)];
        let mut connection = new(all_timeouts().nth(number).unwrap());
        for (at, nanos) in times.into_iter().enumerate() {
            let now = Timestamp::from_epoch(Duration::from_nanos(nanos));
            match at % 4 {
                0 => connection.handle_timeout(now),
                1 => connection.handle_written(now),
                2 => {
                    let _closed = connection.text("x");
                }
                _ => {
                    let was_open = connection.closed().is_none() && connection.overdue().is_none();
                    connection.input().put_slice(&encode(0x82, b"x"));
                    connection.handle_input(now);
                    let event = connection.poll_event();
                    let has_come = matches!(event, Ok(Some(Event::Binary(data))) if *data == *b"x");
                    prop_assert!(has_come || !was_open, "what has arrived is handed out at any time");
                }
            }
            drain(&mut connection);
            let _some_time = connection.poll_timeout();
        }
        follow(&mut connection, END_OF_TIME);
    }
}

#[test]
fn hostile_88_a_clock_that_jumps_forward_asks_before_it_gives_up() {
    // A machine that slept for an hour has not heard its peer for an hour, and cannot know why.
    for (new, encode) in ROLES {
        let mut connection = new(Config::default());
        let woken = Timestamp::EPOCH + Duration::from_secs(3600);
        connection.handle_timeout(woken);
        assert!(connection.buffered() > 0 && connection.overdue().is_none(), "a ping");
        connection.input().put_slice(&encode(0x8a, b""));
        connection.handle_input(woken);
        assert_eq!(events(&mut connection), [Seen::Pong(Vec::new())]);
        assert_eq!(connection.poll_timeout(), Some(woken + Duration::from_secs(20)));
    }
}

#[test]
fn hostile_88_a_clock_that_jumps_backward_fails_nothing_and_waits_longer() {
    for (new, _) in ROLES {
        let hour = Timestamp::EPOCH + Duration::from_secs(3600);
        let mut connection = new(Config::default());
        connection.handle_input(hour);
        connection.handle_timeout(Timestamp::EPOCH);
        assert_eq!(connection.buffered(), 0);
        assert_eq!(connection.poll_timeout(), Some(hour + Duration::from_secs(20)));
        // Until something arrives.
        connection.handle_input(Timestamp::EPOCH);
        assert_eq!(connection.poll_timeout(), Some(Timestamp::EPOCH + Duration::from_secs(20)));
    }
}

#[test]
fn hostile_88_handshakes_at_the_ends_of_time() {
    for timeout in DURATIONS {
        for began in [Timestamp::EPOCH, END_OF_TIME] {
            let mut handshake = Handshake::new(config(|config| config.handshake_timeout = timeout), began);
            let deadline = handshake.poll_timeout().unwrap();
            assert_eq!(deadline, began + timeout);
            handshake.handle_timeout(began);
            assert_eq!(handshake.poll().is_err(), deadline == began);
            handshake.handle_timeout(deadline);
            assert!(matches!(handshake.poll(), Err(error) if error.error() == HandshakeError::TimedOut));
            assert_eq!(handshake.poll_timeout(), None);
        }
    }
}

fn of_handshake(timeout: Duration) -> Config {
    config(|config| config.handshake_timeout = timeout)
}

#[tokio::test(start_paused = true)]
async fn hostile_88_handshakes_over_tokio_in_no_time_and_in_any_time() {
    let _guard = guard();
    let request = || ClientRequest::new("ws://example.com/").unwrap();
    for timeout in [Duration::ZERO, NANO] {
        let (near, _silent) = duplex(usize::MAX);
        let incoming = shim::accept_request(near, of_handshake(timeout)).await.unwrap();
        assert_eq!(incoming.request().unwrap_err().error(), HandshakeError::TimedOut);
        let (near, _silent) = duplex(usize::MAX);
        let connected = shim::connect_over(near, request(), of_handshake(timeout)).await;
        assert!(matches!(connected, Err(shim::Error::Handshake(HandshakeError::TimedOut))));
    }
    let (near, far) = duplex(usize::MAX);
    let accepting = shim::accept(near, of_handshake(Duration::MAX));
    let connecting = shim::connect_over(far, request(), of_handshake(Duration::MAX));
    let (accepted, connected) = tokio::join!(accepting, connecting);
    assert!(accepted.is_ok() && connected.is_ok());
}

#[test]
fn hostile_88_handshakes_over_blocking_sockets_in_no_time_and_in_any_time() {
    let _guard = guard();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("ws://{address}/");
    for timeout in [Duration::ZERO, NANO] {
        let _silent = TcpStream::connect(address).unwrap();
        let incoming = blocking::accept_request(listener.accept().unwrap().0, of_handshake(timeout)).unwrap();
        assert_eq!(incoming.request().unwrap_err().error(), HandshakeError::TimedOut);
        let connected = blocking::connect(&url, of_handshake(timeout));
        assert!(matches!(connected, Err(blocking::Error::Handshake(HandshakeError::TimedOut))));
    }
    let connecting = std::thread::spawn(move || blocking::connect(&url, of_handshake(Duration::MAX)));
    let accepted = blocking::accept(listener.accept().unwrap().0, of_handshake(Duration::MAX));
    assert!(accepted.is_ok() && connecting.join().unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn hostile_88_deadlines_of_nothing_keep_no_task_busy() {
    let _guard = guard();
    let eager = config(|config| {
        (config.ping_interval, config.pong_timeout) = (Some(Duration::ZERO), Duration::MAX);
    });
    for (peer, (new, _)) in [Peer::client(100), Peer::server(100)].into_iter().zip(ROLES) {
        let (_silent, end) = peer;
        let mut socket = shim::WebSocket::over(end.clone(), new(eager.clone()));
        let hour = Duration::from_secs(3600);
        assert!(tokio::time::timeout(hour, socket.next()).await.is_err());
        assert!(tokio::time::timeout(hour, socket.send(vec![0; 1000])).await.is_err());
        assert!(end.log(|log| log.timeouts.len()) < 10, "reads");
        assert!(end.log(|log| log.writes.len()) < 10, "writes");
    }
}
