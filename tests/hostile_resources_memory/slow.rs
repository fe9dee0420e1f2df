//! Items 77, 78 and 80: a peer reads slowly or not at all, or the application does.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};

use bytes::Buf;
use sansock::{Config, Connection, Message, blocking, tokio};

use crate::common::drain;
use crate::counting::held;
use crate::io::{client_machine, config, guard, poll_once};
use crate::transport::Endless;
use crate::{ROLES, runtime};

const MIB: isize = 1 << 20;
/// What is sent in all, and in one message.
const GIBIBYTE: usize = 1 << 30;
const MESSAGE: usize = 64 << 10;
const COUNT: usize = GIBIBYTE / MESSAGE;

/// What a connection takes at the most, where the mark is 1 MiB: up to the mark and one message, behind as
/// much that was written already, in a buffer that doubles and is then copied to one that fits.
const MOST: isize = 6 * MIB;
/// What the thread keeps for all of them, by default.
const SPARE: isize = 4 * MIB;

fn message() -> Message {
    vec![7; MESSAGE].into()
}

/// What all messages are on the wire: a client's have a key.
fn on_the_wire(machine: fn(Config) -> Connection) -> u64 {
    let mut one = machine(Config::default());
    one.send(message()).unwrap();
    (one.buffered() * COUNT) as u64
}

#[test]
fn hostile_77_a_gibibyte_waits_for_a_slow_reader_of_a_driver_that_looks_at_the_mark() {
    for (machine, ..) in ROLES {
        let mut connection = machine(Config::default());
        let (mut sent, mut taken) = (0, 0);
        let ((), kept, peak) = held(|| {
            while sent < COUNT {
                if connection.is_above_high_water() {
                    let len = connection.output().chunk().len().min(30_000);
                    connection.output().advance(len);
                    taken += len;
                } else {
                    connection.send(message()).unwrap();
                    sent += 1;
                }
            }
        });
        taken += connection.buffered();
        assert_eq!(taken as u64, on_the_wire(machine));
        drain(&mut connection);
        assert!(kept <= MOST && peak <= MOST, "{kept} bytes, {peak} bytes");
    }
}

#[test]
fn hostile_77_a_gibibyte_waits_for_a_slow_reader_of_a_tokio_socket() {
    let _guard = guard();
    for (machine, ..) in ROLES {
        let peer = Endless::silent().takes(30_000);
        let near = peer.clone();
        let ((), _, peak) = held(|| {
            runtime().block_on(async {
                let mut socket = tokio::WebSocket::over(near, machine(Config::default()));
                for i in 0..COUNT {
                    // The mark fills up, and then all of it leaves.
                    if i % 100 < 99 {
                        socket.feed(message()).await.unwrap();
                    } else {
                        socket.send(message()).await.unwrap();
                    }
                }
                socket.flush().await.unwrap();
            });
        });
        assert_eq!(peer.written(), on_the_wire(machine));
        assert!(peak <= MOST + SPARE, "{peak} bytes");
    }
}

/// Repeats a call that says "not now".
fn patiently<T>(mut call: impl FnMut() -> Result<T, blocking::Error>) -> T {
    loop {
        match call() {
            Err(blocking::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            outcome => return outcome.unwrap(),
        }
    }
}

#[test]
fn hostile_77_a_gibibyte_waits_for_a_slow_reader_of_a_blocking_socket() {
    let _guard = guard();
    for (machine, ..) in ROLES {
        let peer = Endless::silent().takes(30_000);
        let mut socket = blocking::WebSocket::over(peer.clone(), machine(Config::default()));
        let ((), _, peak) = held(|| {
            for i in 0..COUNT {
                if i % 100 < 99 {
                    patiently(|| socket.feed(message()));
                } else if socket.send(message()).is_err() {
                    // It is queued, and the rest of it waits.
                    patiently(|| socket.flush());
                }
            }
            patiently(|| socket.flush());
        });
        assert_eq!(peer.written(), on_the_wire(machine));
        assert!(peak <= MOST, "{peak} bytes");
    }
}

#[test]
fn hostile_77_a_peer_that_never_reads_makes_no_queue_longer() {
    let _guard = guard();
    let runtime = runtime();
    let _entered = runtime.enter();
    for (machine, ..) in ROLES {
        let ((), _, peak) = held(|| {
            let mut socket = tokio::WebSocket::over(Endless::silent(), machine(Config::default()));
            let fed = (0..10_000).filter(|_| poll_once(socket.feed(message())).is_some()).count();
            assert!((16..=17).contains(&fed), "{fed}");
        });
        assert!(peak <= MOST, "{peak}");
        let ((), _, peak) = held(|| {
            let mut socket = blocking::WebSocket::over(Endless::silent(), machine(Config::default()));
            let fed = (0..10_000).filter(|_| socket.feed(message()).is_ok()).count();
            assert!((16..=17).contains(&fed), "{fed}");
        });
        assert!(peak <= MOST, "{peak}");
    }
}

/// One turn of an echo that never waits for the transport.
trait Echo {
    fn turn(&mut self);
}

impl Echo for tokio::WebSocket<Endless> {
    fn turn(&mut self) {
        while let Some(ready) = poll_once(self.ready()) {
            assert!(ready.unwrap());
            while let Some((event, send)) = self.connection_mut().poll_with_send().unwrap() {
                send.relay(event).unwrap();
            }
        }
    }
}

impl Echo for blocking::WebSocket<Endless> {
    fn turn(&mut self) {
        while let Ok(true) = self.ready() {
            while let Some((event, send)) = self.connection_mut().poll_with_send().unwrap() {
                send.relay(event).unwrap();
            }
        }
    }
}

fn stall<S: Echo>(over: impl Fn(Endless, Connection) -> S) {
    for (machine, encode, _) in ROLES {
        for len in [10, 1000, 100_000] {
            let flood = |most| Endless::new(b"", &encode(0x82, &vec![7; len]), most);
            // What the thread has for all connections is there already.
            over(flood(1 << 20), machine(Config::default())).turn();
            let peer = flood(u64::MAX);
            let mut socket = over(peer.clone(), machine(Config::default()));
            let ((), _, peak) = held(|| (0..100).for_each(|_| socket.turn()));
            assert!(peer.read() <= 3 << 20, "{}", peer.read());
            // The mark and one read, in a buffer that doubles; and then only what waits.
            assert!(peak <= 4 * MIB, "{peak}");
            let reads = peer.reads();
            let ((), more, _) = held(|| (0..1000).for_each(|_| socket.turn()));
            assert!(peer.reads() == reads && more <= 0, "{more} bytes");
        }
    }
}

#[test]
fn hostile_78_a_flooding_peer_that_takes_nothing_stops_the_reads_of_a_tokio_socket() {
    let _guard = guard();
    let runtime = runtime();
    let _entered = runtime.enter();
    stall(tokio::WebSocket::over);
}

#[test]
fn hostile_78_a_flooding_peer_that_takes_nothing_stops_the_reads_of_a_blocking_socket() {
    let _guard = guard();
    stall(blocking::WebSocket::over);
}

#[test]
fn hostile_78_a_blocking_socket_whose_reads_have_stopped_keeps_no_room_for_them() {
    let _guard = guard();
    for (machine, encode, _) in ROLES {
        let message = encode(0x82, b"x");
        let peer = Endless::new(b"", &message, message.len() as u64);
        let ((socket, reads), kept, _) = held(|| {
            let machine = machine(config(|config| config.output_high_water = 0));
            let mut socket = blocking::WebSocket::over(peer.clone(), machine);
            assert!(socket.recv().unwrap().is_some());
            assert!(socket.send("it waits").is_err());
            (0..10).for_each(|_| assert!(socket.recv().is_err()));
            (socket, peer.reads())
        });
        assert_eq!(reads, 1);
        assert!(kept <= 1 << 10, "{kept}");
        drop(socket);
    }
}

/// A socket of which nothing is asked, and then one event at a time.
fn neglect<S>(over: impl Fn(Endless, Connection) -> S, mut next: impl FnMut(&mut S)) {
    for (machine, encode, _) in ROLES {
        let peer = Endless::new(b"", &encode(0x82, &[7; 100]), u64::MAX);
        let ((), _, peak) = held(|| {
            let mut socket = over(peer.clone(), machine(Config::default()));
            assert_eq!(peer.reads(), 0, "nothing is read that nobody asks for");
            next(&mut socket);
            let (read, reads) = (peer.read(), peer.reads());
            assert!(read <= 128 << 10, "{read}");
            // What has arrived is handed out before more is read.
            (1..read / 108).for_each(|_| next(&mut socket));
            assert_eq!(peer.reads(), reads);
        });
        assert!(peak <= MIB, "{peak}");
    }
}

#[test]
fn hostile_80_nothing_is_read_that_nobody_asks_for() {
    let _guard = guard();
    let runtime = runtime();
    let _entered = runtime.enter();
    neglect(tokio::WebSocket::over, |socket| {
        assert!(matches!(poll_once(socket.next()), Some(Ok(Some(_)))));
    });
    neglect(blocking::WebSocket::over, |socket| assert!(matches!(socket.next(), Ok(Some(_)))));
}

/// How much a peer can write until its own socket takes no more.
fn pushed(mut peer: TcpStream, flood: &[u8]) -> usize {
    peer.set_nonblocking(true).unwrap();
    let mut pushed = 0;
    loop {
        match peer.write(flood) {
            Ok(len) => pushed += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return pushed,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn hostile_80_an_application_that_never_polls_stops_its_peer_in_the_kernel() {
    let _guard = guard();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = || {
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (peer, listener.accept().unwrap().0)
    };
    let runtime = runtime();
    for (machine, encode, _) in ROLES {
        let flood = encode(0x82, &[7; 10_000]);
        let ((), kept, _) = held(|| {
            let (peer, near) = connect();
            let _neglected = blocking::WebSocket::over(near, machine(Config::default()));
            assert!(pushed(peer, &flood) < 64 << 20);

            let (peer, near) = connect();
            near.set_nonblocking(true).unwrap();
            let near = runtime.block_on(async { ::tokio::net::TcpStream::from_std(near) }).unwrap();
            let _neglected = tokio::WebSocket::over(near, machine(Config::default()));
            // The runtime runs, and nobody polls the socket.
            runtime.block_on(::tokio::task::yield_now());
            assert!(pushed(peer, &flood) < 64 << 20);
            runtime.block_on(::tokio::task::yield_now());
        });
        assert!(kept <= 4 << 10, "{kept}");
    }
}

/// What goes behind a message that is stuck is copied to where that one waits.
#[test]
fn hostile_77_a_writer_keeps_no_room_for_what_it_has_left_behind_a_stuck_message() {
    const SOCKETS: isize = 20;
    let _guard = guard();
    let runtime = runtime();
    let _entered = runtime.enter();
    let large = || vec![7; 1 << 20];
    let tokio_halves = || {
        let peer = Endless::silent();
        let socket = tokio::WebSocket::over(peer.clone(), client_machine(Config::default()));
        let (reader, mut writer) = socket.split_with(|io| (io.clone(), io));
        assert!(poll_once(writer.send(large())).is_none());
        assert!(poll_once(writer.send(large())).is_none());
        let peer = peer.takes(usize::MAX);
        while poll_once(writer.flush()).is_none() {}
        assert!(peer.written() > 2 << 20);
        (reader, writer)
    };
    let blocking_halves = || {
        let peer = Endless::silent();
        let socket = blocking::WebSocket::over(peer.clone(), client_machine(Config::default()));
        let (reader, mut writer) = socket.split_with(|io| (io.clone(), io));
        assert!(writer.send(large()).is_err());
        assert!(writer.send(large()).is_err());
        let peer = peer.takes(usize::MAX);
        while writer.flush().is_err() {}
        assert!(peer.written() > 2 << 20);
        (reader, writer)
    };
    let (_halves, of_tokio, _) = held(|| (0..SOCKETS).map(|_| tokio_halves()).collect::<Box<[_]>>());
    let (_halves, of_blocking, _) = held(|| (0..SOCKETS).map(|_| blocking_halves()).collect::<Box<[_]>>());
    for bytes in [of_tokio, of_blocking] {
        assert!(bytes - SPARE <= SOCKETS * (100 << 10), "{bytes} bytes");
    }
}
