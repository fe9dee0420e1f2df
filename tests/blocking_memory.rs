//! What the blocking shim reads at once, and what memory that takes, counted by an allocator of this test's
//! own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    reason = "a test may panic, and counts in small numbers"
)]

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem::take;
use std::rc::Rc;

use common::masked;
use counting::{HELD, held};
use sansock::blocking::{Transport, WebSocket};
use sansock::frame::{Header, OpCode};
use sansock::{Config, Connection, Event, Timestamp};

/// A transport that does not block. Its clones are the same one.
#[derive(Clone, Debug, Default)]
struct Wire(Rc<Log>);

#[derive(Debug, Default)]
struct Log {
    bytes: RefCell<Rc<[u8]>>,
    /// How many bytes of those were read.
    read: Cell<usize>,
    /// How much each read asked for that brought something, at the most, and how many there were.
    asked: Cell<usize>,
    reads: Cell<usize>,
    writes: Cell<usize>,
    /// What the thread held when there was nothing to read.
    held: Cell<isize>,
}

impl Wire {
    /// Lets bytes arrive.
    fn give(&self, bytes: &Rc<[u8]>) {
        self.0.bytes.replace(Rc::clone(bytes));
        self.0.read.set(0);
    }

    /// How many reads brought something since the last look, and how much one asked for at the most.
    fn reads(&self) -> (usize, usize) {
        (self.0.reads.take(), self.0.asked.take())
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.bytes.borrow();
        let rest = &bytes[self.0.read.get()..];
        if rest.is_empty() {
            self.0.held.set(HELD.get());
            return Err(ErrorKind::WouldBlock.into());
        }
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.0.read.update(|read| read + len);
        self.0.reads.update(|reads| reads + 1);
        self.0.asked.update(|asked| asked.max(buf.len()));
        Ok(len)
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.writes.update(|writes| writes + 1);
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Wire {}

type Socket = WebSocket<Wire>;

fn server() -> (Wire, Socket) {
    let wire = Wire::default();
    let machine = Connection::server(Config::default(), Timestamp::EPOCH);
    (wire.clone(), WebSocket::over(wire, machine))
}

/// The frames of so many messages of a length.
fn frames(count: usize, len: usize) -> Rc<[u8]> {
    masked(0x82, &vec![7; len]).repeat(count).into()
}

/// Answers all messages until the transport would block; how many there were.
fn echo(socket: &mut Socket) -> usize {
    let mut count = 0;
    while let Ok(true) = socket.ready() {
        while let Some((event, send)) = socket.connection_mut().poll_with_send().unwrap() {
            let Event::Binary(data) = event else { panic!("{event:?}") };
            send.binary(&data).unwrap();
            count += 1;
        }
    }
    count
}

#[test]
fn a_batch_takes_one_read_and_its_answers_one_write() {
    for (count, len) in [(1, 20), (100, 125), (1, 16 << 10), (3, 16 << 10)] {
        let (wire, mut socket) = server();
        let batch = frames(count, len);
        for round in 0..100 {
            wire.give(&batch);
            assert_eq!(echo(&mut socket), count);
            let did = (wire.reads().0, wire.0.writes.take());
            // The first reads find out how much there is.
            assert!(round < 10 || did == (1, 1), "{count} messages of {len} bytes: {did:?}");
        }
    }
}

#[test]
fn a_large_message_takes_few_reads_and_none_that_clears_much_more_than_it_brings() {
    let (wire, mut socket) = server();
    let large = frames(1, 1 << 20);
    for round in 0..10 {
        wire.give(&large);
        assert_eq!(echo(&mut socket), 1);
        let (reads, asked) = wire.reads();
        assert!(asked <= 64 << 10, "{asked} bytes");
        assert!(round == 0 || reads <= 18, "{reads} reads");
    }
}

#[test]
fn small_messages_behind_large_ones_clear_little() {
    let (wire, mut socket) = server();
    let mut receive = |bytes| {
        wire.give(bytes);
        assert!(matches!(socket.next(), Ok(Some(Event::Binary(_)))));
        wire.reads().1
    };
    let (large, small) = (frames(1, 1 << 20), frames(1, 20));
    let asked: Vec<_> = (0..30).map(|round| receive(if round < 5 { &large } else { &small })).collect();
    // It takes some reads to see that there is no more.
    assert!(asked[20..].iter().all(|&asked| asked <= 16 << 10), "{asked:?} bytes");
}

#[test]
fn connections_of_a_thread_take_turns_in_its_buffers() {
    let large = frames(1, 200 << 10);
    let ((), kept, _) = held(|| {
        let mut sockets: Vec<_> = (0..20).map(|_| server()).collect();
        let mut round = || {
            for (wire, socket) in &mut sockets {
                wire.give(&large);
                assert_eq!(echo(socket), 1);
            }
        };
        let ((), kept, _) = held(&mut round);
        // What they have read into is the thread's, not theirs.
        assert!(kept > 1 << 17 && kept <= 5 << 17, "{kept} bytes");
        // An answer, but no buffer to receive into.
        let ((), kept, peak) = held(&mut round);
        assert!(kept < 1 << 10 && peak < 5 << 17, "{kept} bytes, {peak} bytes");
    });
    // And it outlives them.
    assert!(kept > 1 << 17 && kept <= 5 << 17, "{kept} bytes");
}

#[test]
fn a_connection_that_waits_keeps_little_whatever_was_announced() {
    let mut announced = Vec::new();
    Header::new(OpCode::Binary, 16 << 20).unwrap().masked().encode(&mut announced);
    announced.extend([0; 4 + 10]);
    for bytes in [frames(1, 20), announced.into()] {
        let before = HELD.get();
        let (wire, mut socket) = server();
        wire.give(&bytes);
        echo(&mut socket);
        // The buffer of the read that waits, and afterwards not even that.
        let waits = wire.0.held.get() - before;
        assert!(waits < 16 << 10, "{waits} bytes");
        let rests = HELD.get() - before;
        assert!(rests < 3 << 10, "{rests} bytes");
        take(&mut *wire.0.bytes.borrow_mut());
    }
}

#[test]
fn a_connection_that_waits_keeps_a_small_buffer_of_what_it_has_sent_and_no_large_one() {
    for (len, kept) in [(300 << 10, 0..16 << 10), (20 << 10, 96 << 10..112 << 10)] {
        let before = HELD.get();
        let (wire, mut socket) = server();
        socket.connection_mut().binary(&vec![7; len]).unwrap();
        assert!(socket.ready().is_err());
        assert_eq!(socket.connection().buffered(), 0);
        let waits = wire.0.held.get() - before;
        assert!(kept.contains(&waits), "{waits} bytes after a message of {len}");
    }
}
