//! Two connections, a virtual clock, and a network that cuts the bytes anywhere.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::must_use_candidate,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "shared by tests that use parts of it"
)]

use std::time::Duration;

use bytes::{Buf, BufMut};
use sansock::{CloseReport, Config, Connection, Error, Event, Timestamp};

/// What an event said, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Text(String),
    Binary(Vec<u8>),
    TextPart(String),
    BinaryPart(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    End,
    Failed(Error),
}

pub fn text(text: &str) -> Seen {
    Seen::Text(text.into())
}

pub fn binary(data: &[u8]) -> Seen {
    Seen::Binary(data.into())
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) if text.is_final() => Seen::Text(text.to_owned()),
            Event::Text(text) => Seen::TextPart(text.to_owned()),
            Event::Binary(data) if data.is_final() => Seen::Binary(data.to_vec()),
            Event::Binary(data) => Seen::BinaryPart(data.to_vec()),
            Event::Ping(payload) => Seen::Ping(payload.to_vec()),
            Event::Pong(payload) => Seen::Pong(payload.to_vec()),
            other => panic!("unknown event {other:?}"),
        }
    }
}

/// All events there are now; the end or the error once, as the last.
pub fn events(connection: &mut Connection) -> Vec<Seen> {
    let mut seen = Vec::new();
    loop {
        match connection.poll_event() {
            Ok(Some(event)) => seen.push(event.into()),
            Ok(None) => break,
            Err(error) => {
                seen.push(Seen::Failed(error));
                return seen;
            }
        }
    }
    if connection.is_ended() {
        seen.push(Seen::End);
    }
    seen
}

/// All output there is.
pub fn output(connection: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while connection.output().has_remaining() {
        let chunk = connection.output().chunk().to_vec();
        connection.output().advance(chunk.len());
        bytes.extend(chunk);
    }
    bytes
}

/// Gives bytes to a connection, and takes no events.
pub fn give(connection: &mut Connection, bytes: &[u8]) {
    connection.input().put_slice(bytes);
    connection.handle_input(Timestamp::EPOCH);
}

/// Lets a transport take all output, a piece at a time.
pub fn drain(connection: &mut Connection) {
    while connection.output().has_remaining() {
        let len = connection.output().chunk().len();
        connection.output().advance(len);
    }
}

/// How many bytes the receive buffer holds.
pub fn held(connection: &mut Connection) -> usize {
    isize::MAX as usize - connection.input().remaining_mut()
}

pub fn server() -> Connection {
    Connection::server(Config::default(), Timestamp::EPOCH)
}

pub fn client() -> Connection {
    Connection::client(Config::default(), [7; 32], Timestamp::EPOCH)
}

/// Gives `bytes` to a connection in parts of the sizes that `cuts` says in turn, and takes all
/// events after each.
pub fn feed(connection: &mut Connection, mut bytes: &[u8], cuts: &[usize]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut cuts = cuts.iter().copied().cycle();
    while !bytes.is_empty() {
        let (part, rest) = bytes.split_at(cuts.next().unwrap_or(usize::MAX).clamp(1, bytes.len()));
        bytes = rest;
        connection.input().put_slice(part);
        connection.handle_input(Timestamp::EPOCH);
        for event in events(connection) {
            // The end is said again each time it is asked for.
            if seen.last() != Some(&event) || !matches!(event, Seen::End | Seen::Failed(_)) {
                seen.push(event);
            }
        }
    }
    seen
}

/// One blob, byte by byte, and some cuts in between.
pub const DELIVERIES: [&[usize]; 4] = [&[usize::MAX], &[1], &[2, 3, 5, 7, 11], &[13, 1, 64]];

/// What a server sees of these bytes, which must not depend on how they are cut.
pub fn server_sees(bytes: &[u8]) -> (Vec<Seen>, Vec<u8>) {
    sees(bytes, server)
}

/// What a client sees of these bytes, which must not depend on how they are cut.
pub fn client_sees(bytes: &[u8]) -> (Vec<Seen>, Vec<u8>) {
    sees(bytes, client)
}

pub fn sees(bytes: &[u8], new: impl Fn() -> Connection) -> (Vec<Seen>, Vec<u8>) {
    let outcome = |cuts: &[usize]| {
        let mut connection = new();
        let seen = feed(&mut connection, bytes, cuts);
        (seen, output(&mut connection))
    };
    let [blob, others @ ..] = DELIVERIES;
    let first = outcome(blob);
    for cuts in others.iter().map(|cuts| cuts.to_vec()).chain((0..4).map(random_cuts)) {
        assert_eq!(outcome(&cuts), first, "what comes out depends on how the bytes are cut: {cuts:?}");
    }
    first
}

/// Sizes from 1 to 40 without a pattern, the same ones for the same seed.
pub fn random_cuts(seed: u32) -> Vec<usize> {
    let mut state = seed.wrapping_add(0x9e37_79b9);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 16) as usize % 40
    };
    (0..97).map(|_| next()).collect()
}

/// A frame: first byte, mask if any, payload. The length takes its shortest form.
pub fn frame(first: u8, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mask = if key.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(mask | len as u8),
        len @ 126..=0xffff => {
            bytes.push(mask | 0x7e);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(mask | 0x7f);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(key.unwrap_or_default().iter().take(if key.is_some() { 4 } else { 0 }));
    bytes.extend(payload.iter().zip((0..4).cycle()).map(|(byte, i)| byte ^ key.unwrap_or_default()[i]));
    bytes
}

/// A frame as a client sends it.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, Some([0x37, 0xfa, 0x21, 0x3d]), payload)
}

/// A frame as a server sends it.
pub fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, None, payload)
}

/// Two connections and a clock. Bytes travel when [`Pair::drive`] is called.
pub struct Pair {
    pub client: Connection,
    pub server: Connection,
    pub now: Timestamp,
    pub cuts: Vec<usize>,
    pub client_saw: Vec<Seen>,
    pub server_saw: Vec<Seen>,
}

impl Pair {
    pub fn new() -> Self {
        Pair::with(Config::default(), Config::default())
    }

    pub fn with(client: Config, server: Config) -> Self {
        Pair {
            client: Connection::client(client, [7; 32], Timestamp::EPOCH),
            server: Connection::server(server, Timestamp::EPOCH),
            now: Timestamp::EPOCH,
            cuts: vec![usize::MAX],
            client_saw: Vec::new(),
            server_saw: Vec::new(),
        }
    }

    /// Carries bytes both ways until none are left.
    pub fn drive(&mut self) {
        while self.client.output().has_remaining() || self.server.output().has_remaining() {
            carry(&mut self.client, &mut self.server, self.now, &self.cuts, &mut self.server_saw);
            carry(&mut self.server, &mut self.client, self.now, &self.cuts, &mut self.client_saw);
        }
    }

    /// Lets time pass, and lets each end act on its deadlines on the way.
    pub fn sleep(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let next = [self.client.poll_timeout(), self.server.poll_timeout()].into_iter().flatten().min();
            let Some(next) = next.filter(|&next| next <= until) else { break };
            self.now = next.max(self.now);
            for end in [&mut self.client, &mut self.server] {
                if end.poll_timeout().is_some_and(|deadline| deadline <= self.now) {
                    end.handle_timeout(self.now);
                }
            }
            self.drive();
        }
        self.now = until;
    }

    pub fn reports(&self) -> (Option<CloseReport>, Option<CloseReport>) {
        (self.client.closed(), self.server.closed())
    }
}

fn carry(from: &mut Connection, to: &mut Connection, now: Timestamp, cuts: &[usize], saw: &mut Vec<Seen>) {
    let bytes = output(from);
    let mut rest = &bytes[..];
    let mut cuts = cuts.iter().copied().cycle();
    while !rest.is_empty() {
        let (part, after) = rest.split_at(cuts.next().unwrap_or(usize::MAX).clamp(1, rest.len()));
        rest = after;
        to.input().put_slice(part);
        to.handle_input(now);
        saw.extend(events(to));
    }
}
