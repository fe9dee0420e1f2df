//! Halves of a blocking socket in two threads, in every order.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod pipe;

use std::io::ErrorKind;

use loom::thread;
use pipe::{Io, connect, explore, server, wait};
use sansock::blocking::{Error, Reader, WebSocket, Writer};
use sansock::{CloseCode, Endpoint, Event, SendError};

fn halves(io: Io) -> (Reader<Io, Io>, Writer<Io>) {
    WebSocket::over(io, server()).split_with(|io| (io.clone(), io))
}

fn would_block<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock)
}

/// The reader is given a ping, and reads until it would block, while the writer does `work`: then all is written.
fn answers_while(room: usize, expected: &[&[u8]], work: fn(&mut Writer<Io>)) {
    let expected: Vec<Vec<u8>> = expected.iter().map(|bytes| bytes.to_vec()).collect();
    explore(3, move || {
        let (io, mut peer) = connect(room);
        let (mut reader, mut writer) = halves(io);
        peer.say(|client| client.ping(b"?").unwrap());
        let writing = thread::spawn(move || work(&mut writer));
        assert!(matches!(reader.next(), Ok(Some(Event::Ping(b"?")))));
        assert!(would_block(reader.next()));
        writing.join().unwrap();
        let mut heard = peer.all();
        heard.sort();
        assert_eq!(heard, expected);
    });
}

#[test]
fn an_order_leaves_whoever_has_the_wire() {
    answers_while(usize::MAX, &[b"?", b"message"], |writer| writer.send("message").unwrap());
}

#[test]
fn an_order_leaves_beside_a_writer_that_only_looks_at_the_wire() {
    answers_while(usize::MAX, &[b"?"], |writer| writer.feed("not sent yet").unwrap());
}

#[test]
fn an_order_leaves_though_its_writer_is_dropped() {
    answers_while(usize::MAX, &[b"?"], |_| {});
}

#[test]
fn the_last_of_two_orders_leaves_though_each_finds_the_wire_held() {
    explore(3, || {
        let (io, mut peer) = connect(usize::MAX);
        let (mut reader, mut writer) = halves(io);
        peer.say(|client| client.ping(b"1").and_then(|()| client.ping(b"2")).unwrap());
        let writing = thread::spawn(move || writer.flush().unwrap());
        assert!(matches!(reader.next(), Ok(Some(Event::Ping(b"1")))));
        assert!(matches!(reader.next(), Ok(Some(Event::Ping(b"2")))));
        assert!(would_block(reader.next()));
        writing.join().unwrap();
        assert_eq!(peer.all().last().unwrap(), b"2");
    });
}

#[test]
fn a_reader_goes_on_with_what_its_writer_has_left() {
    explore(3, || {
        let (io, mut peer) = connect(8);
        let (mut reader, mut writer) = halves(io);
        peer.say(|client| client.ping(b"?").unwrap());
        // One byte more than there is room for, without what may stand before it.
        let writing = thread::spawn(move || assert!(would_block(writer.send("message"))));
        assert!(matches!(reader.next(), Ok(Some(Event::Ping(b"?")))));
        assert!(would_block(reader.next()));
        writing.join().unwrap();
        let mut heard = Vec::new();
        for _ in 0..3 {
            heard.extend(peer.all());
            assert!(would_block(reader.next()));
        }
        heard.sort();
        assert_eq!(heard, [&b"?"[..], b"message"]);
    });
}

#[test]
fn the_writer_closes_and_the_reader_knows_who_began() {
    explore(3, || {
        let (mut io, mut peer) = connect(usize::MAX);
        io.waits = true;
        let (mut reader, mut writer) = halves(io);
        let writing = thread::spawn(move || {
            // The end may come before the writer looks again.
            let closed = writer.close(CloseCode::NORMAL, "");
            assert!(matches!(closed, Ok(()) | Err(Error::Send(SendError::Closed))));
        });
        let reading = thread::spawn(move || {
            assert!(reader.next().unwrap().is_none());
            let report = reader.closed().unwrap();
            assert!(report.clean && report.began == Endpoint::Local);
        });
        assert_eq!(wait(peer.wait_for(1)), [b"close"]);
        peer.end();
        writing.join().unwrap();
        reading.join().unwrap();
    });
}
