//! Halves of a socket over tokio in two threads, in every order.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod pipe;

use loom::thread;
use pipe::{Io, connect, explore, poll_once, server, wait};
use sansock::tokio::{Error, Reader, WebSocket, Writer};
use sansock::{CloseCode, Endpoint, Error as Failure, Event, SendError};

fn halves(io: Io) -> (Reader<Io, Io>, Writer<Io>) {
    WebSocket::over(io, server()).split_with(|io| (io.clone(), io))
}

#[test]
fn an_order_leaves_while_the_writer_waits() {
    explore(2, || {
        let (io, mut peer) = connect(8);
        let (mut reader, mut writer) = halves(io);
        peer.say(|client| client.ping(b"?").unwrap());
        let writing = thread::spawn(move || wait(writer.send("too long")).unwrap());
        let reading = thread::spawn(move || {
            assert!(matches!(wait(reader.next()), Ok(Some(Event::Ping(b"?")))));
            assert!(matches!(wait(reader.next()), Err(Error::Connection(Failure::UnexpectedEof))));
        });
        let mut heard = wait(peer.wait_for(2));
        heard.sort();
        assert_eq!(heard, [&b"?"[..], b"too long"]);
        writing.join().unwrap();
        peer.end();
        reading.join().unwrap();
    });
}

#[test]
fn an_order_and_a_message_are_both_whole() {
    explore(3, || {
        let (io, mut peer) = connect(usize::MAX);
        let (mut reader, mut writer) = halves(io);
        peer.say(|client| client.ping(b"?").unwrap());
        let writing = thread::spawn(move || wait(writer.send("message")).unwrap());
        assert!(matches!(wait(reader.next()), Ok(Some(Event::Ping(b"?")))));
        assert!(poll_once(reader.next()).is_none());
        writing.join().unwrap();
        let mut heard = peer.all();
        heard.sort();
        assert_eq!(heard, [&b"?"[..], b"message"]);
    });
}

#[test]
fn both_halves_may_be_dropped_while_they_wait() {
    explore(3, || {
        let (io, peer) = connect(4);
        let (mut reader, mut writer) = halves(io);
        let writing = thread::spawn(move || assert!(poll_once(writer.send("more than its room")).is_none()));
        let reading = thread::spawn(move || assert!(poll_once(reader.next()).is_none()));
        writing.join().unwrap();
        reading.join().unwrap();
        assert!(peer.is_alone());
    });
}

#[test]
fn a_writer_goes_on_when_its_reader_is_dropped() {
    explore(3, || {
        let (io, mut peer) = connect(8);
        let (mut reader, mut writer) = halves(io);
        let writing = thread::spawn(move || wait(writer.send("twice its room")).unwrap());
        let reading = thread::spawn(move || assert!(poll_once(reader.next()).is_none()));
        assert_eq!(wait(peer.wait_for(1)), [b"twice its room"]);
        writing.join().unwrap();
        reading.join().unwrap();
    });
}

#[test]
fn a_reader_brings_away_what_its_writer_gave_up() {
    explore(3, || {
        let (io, mut peer) = connect(8);
        let (mut reader, mut writer) = halves(io);
        let reading = thread::spawn(move || {
            assert!(matches!(wait(reader.next()), Err(Error::Connection(Failure::UnexpectedEof))));
        });
        let writing = thread::spawn(move || {
            let _ = poll_once(writer.send("twice its room"));
        });
        assert_eq!(wait(peer.wait_for(1)), [b"twice its room"]);
        peer.end();
        writing.join().unwrap();
        reading.join().unwrap();
    });
}

#[test]
fn an_error_reaches_the_writer_that_waits() {
    explore(3, || {
        let (io, mut peer) = connect(4);
        let (mut reader, mut writer) = halves(io);
        peer.say(|client| client.ping(b"?").unwrap());
        let writing = thread::spawn(move || {
            assert!(matches!(wait(writer.send("more than its room")), Err(Error::Io(_))));
            assert!(matches!(wait(writer.flush()), Err(Error::Io(_))));
        });
        let reading = thread::spawn(move || {
            assert!(matches!(wait(reader.next()), Ok(Some(Event::Ping(b"?")))));
            assert!(poll_once(reader.next()).is_none());
        });
        peer.refuse();
        writing.join().unwrap();
        reading.join().unwrap();
    });
}

#[test]
fn the_writer_closes_and_the_reader_knows_who_began() {
    explore(3, || {
        let (io, mut peer) = connect(usize::MAX);
        let (mut reader, mut writer) = halves(io);
        let writing = thread::spawn(move || {
            // The end may come before the writer looks again.
            let closed = wait(writer.close(CloseCode::NORMAL, ""));
            assert!(matches!(closed, Ok(()) | Err(Error::Send(SendError::Closed))));
        });
        let reading = thread::spawn(move || {
            assert!(wait(reader.next()).unwrap().is_none());
            let report = reader.closed().unwrap();
            assert!(report.clean && report.began == Endpoint::Local);
        });
        assert_eq!(wait(peer.wait_for(1)), [b"close"]);
        peer.end();
        writing.join().unwrap();
        reading.join().unwrap();
    });
}

#[test]
fn a_peer_that_hangs_up_on_the_writers_close_is_no_error() {
    explore(3, || {
        let (io, mut peer) = connect(usize::MAX);
        let (mut reader, mut writer) = halves(io);
        let writing = thread::spawn(move || {
            let _ = wait(writer.close(CloseCode::NORMAL, ""));
        });
        let reading = thread::spawn(move || {
            assert!(wait(reader.next()).unwrap().is_none());
        });
        wait(peer.wait_to_hang_up());
        writing.join().unwrap();
        reading.join().unwrap();
    });
}

#[test]
fn the_end_of_the_conversation_reaches_the_writer_that_waits() {
    explore(2, || {
        let (io, mut peer) = connect(8);
        let (mut reader, mut writer) = halves(io);
        peer.say(|client| client.close(CloseCode::NORMAL, "").unwrap());
        peer.end();
        let writing = thread::spawn(move || {
            let sent = wait(writer.send("too long"));
            assert!(matches!(sent, Ok(()) | Err(Error::Send(SendError::Closed))));
            writer
        });
        let reading = thread::spawn(move || {
            assert!(wait(reader.next()).unwrap().is_none());
            assert!(reader.closed().unwrap().clean);
        });
        wait(peer.wait_for_close());
        let mut writer = writing.join().unwrap();
        reading.join().unwrap();
        assert!(matches!(wait(writer.send("late")), Err(Error::Send(SendError::Closed))));
    });
}
