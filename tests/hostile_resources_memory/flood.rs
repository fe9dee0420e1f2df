//! Rule D: a gibibyte after an error, to an application that reads it or does not.

use bytes::BufMut;
use sansock::{CloseCode, Config, Connection, Error, Timestamp, Violation, blocking, tokio};

use crate::common::{Seen, events, output};
use crate::counting::held;
use crate::io::{config, guard, poll_once};
use crate::transport::Endless;
use crate::{ROLES, runtime};

const GIBIBYTE: u64 = 1 << 30;
const ERROR: Error = Error::Protocol(Violation::ReservedOpcode);

/// A peer that breaks the protocol with its second frame, and goes on with whatever that is.
fn offender(encode: fn(u8, &[u8]) -> Vec<u8>) -> Endless {
    let first = [encode(0x81, b"good"), encode(0x83, b"bad")].concat();
    Endless::new(&first, &vec![0xff; 64 << 10], GIBIBYTE)
}

#[test]
fn rule_d_a_gibibyte_after_an_error_is_dropped() {
    for (machine, encode, _) in ROLES {
        let mut connection = machine(Config::default());
        connection.input().put_slice(&encode(0x83, b"bad"));
        connection.handle_input(Timestamp::EPOCH);
        assert_eq!(events(&mut connection), [Seen::Failed(ERROR)]);
        let garbage = vec![0xff; 64 << 10];
        let ((), kept, peak) = held(|| {
            for _ in 0..GIBIBYTE / garbage.len() as u64 {
                connection.input().put_slice(&garbage);
                connection.handle_input(Timestamp::EPOCH);
                // The application hears of the error once, and does not look again.
            }
            connection.handle_would_block();
        });
        assert!(kept <= 0 && peak <= 128 << 10, "{kept} bytes, {peak} bytes");
        // One Close frame was queued, and waits.
        assert_eq!(output(&mut connection).len(), if encode(0x83, b"").len() > 2 { 4 } else { 8 });
    }
}

#[test]
fn rule_d_a_gibibyte_after_an_error_is_dropped_by_a_tokio_socket() {
    let _guard = guard();
    for takes in [0, usize::MAX] {
        for (machine, encode, _) in ROLES {
            let paused =
                ::tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
            let peer = offender(encode).takes(takes);
            let near = peer.clone();
            let ((), _, peak) = held(|| {
                paused.unwrap().block_on(async {
                    let mut socket = tokio::WebSocket::over(near, machine(Config::default()));
                    assert_eq!(socket.recv().await.unwrap(), Some("good".into()));
                    let started = ::tokio::time::Instant::now();
                    assert!(matches!(socket.recv().await, Err(tokio::Error::Connection(ERROR))));
                    // All that came was dropped, and then no more time was left.
                    assert_eq!(started.elapsed(), Config::default().close_timeout);
                    assert!(socket.connection().is_finished());
                });
            });
            assert_eq!(peer.read(), GIBIBYTE);
            // A buffer to read into and one to write from are the thread's.
            assert!(peak <= 1 << 20, "{peak} bytes");
        }
    }
}

#[test]
fn rule_d_a_gibibyte_after_an_error_is_dropped_by_a_blocking_socket() {
    let _guard = guard();
    for takes in [0, usize::MAX] {
        for (machine, encode, _) in ROLES {
            let peer = offender(encode).takes(takes);
            // A slow machine must not run out of time before all has come.
            let patient = config(|config| config.close_timeout = std::time::Duration::from_secs(3600));
            let ((), _, peak) = held(|| {
                let mut socket = blocking::WebSocket::over(peer.clone(), machine(patient));
                assert_eq!(socket.recv().unwrap(), Some("good".into()));
                while peer.read() < GIBIBYTE {
                    let _would_block = socket.recv();
                }
                assert_eq!(socket.closed().unwrap().sent.unwrap().code(), CloseCode::PROTOCOL_ERROR);
            });
            assert!(peak <= 1 << 20, "{peak} bytes");
        }
    }
}

#[test]
fn rule_d_nothing_is_read_of_a_gibibyte_after_an_error_that_nobody_asks_for() {
    let _guard = guard();
    let runtime = runtime();
    let _entered = runtime.enter();
    for (machine, encode, _) in ROLES {
        let peer = offender(encode);
        let mut socket = tokio::WebSocket::over(peer.clone(), machine(Config::default()));
        assert_eq!(poll_once(socket.recv()).unwrap().unwrap(), Some("good".into()));
        assert!(peer.read() <= 256 << 10, "one read, of what the thread's buffer holds");

        let peer = offender(encode);
        let mut socket = blocking::WebSocket::over(peer.clone(), machine(Config::default()));
        assert_eq!(socket.recv().unwrap(), Some("good".into()));
        assert!(peer.read() <= 256 << 10);
    }
}

#[test]
fn rule_d_halves_drop_a_gibibyte_after_an_error() {
    let _guard = guard();
    for (machine, encode, _) in ROLES {
        let paused = ::tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let peer = offender(encode);
        let near = peer.clone();
        let ((), _, peak) = held(|| {
            paused.unwrap().block_on(async {
                let socket = tokio::WebSocket::over(near, machine(Config::default()));
                let (mut reader, _writer) = socket.split_with(|io| (io.clone(), io));
                assert_eq!(reader.recv().await.unwrap(), Some("good".into()));
                assert!(matches!(reader.recv().await, Err(tokio::Error::Connection(ERROR))));
            });
        });
        assert_eq!(peer.read(), GIBIBYTE);
        assert!(peak <= 1 << 20, "{peak} bytes");
    }
}

#[test]
fn rule_d_blocking_halves_drop_a_gibibyte_after_an_error() {
    let _guard = guard();
    for (machine, encode, _) in ROLES {
        let peer = offender(encode).takes(usize::MAX);
        let patient = config(|config| config.close_timeout = std::time::Duration::from_secs(3600));
        let ((), _, peak) = held(|| {
            let socket = blocking::WebSocket::over(peer.clone(), machine(patient));
            let (mut reader, _writer) = socket.split_with(|io| (io.clone(), io));
            assert_eq!(reader.recv().unwrap(), Some("good".into()));
            while peer.read() < GIBIBYTE {
                let _would_block = reader.recv();
            }
        });
        assert!(peak <= 1 << 20, "{peak} bytes");
    }
}

/// What a driver has to hold for a connection that has failed: nothing that grows.
#[test]
fn rule_d_a_connection_that_has_failed_keeps_no_input() {
    for (machine, encode, _) in ROLES {
        let mut connection: Connection = machine(Config::default());
        let large = encode(0x82, &vec![7; 1 << 20]);
        let ((), kept, _) = held(|| {
            connection.input().put_slice(&large[..large.len() - 1]);
            connection.handle_input(Timestamp::EPOCH);
            assert_eq!(events(&mut connection), []);
            connection.handle_eof();
            assert_eq!(events(&mut connection), [Seen::Failed(Error::UnexpectedEof)]);
        });
        assert!(kept <= 1 << 10, "{kept}");
    }
}
