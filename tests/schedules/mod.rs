//! Random schedules: what a transport and a peer do, in any order, and a ledger of what was said and heard.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "shared by tests that use parts of it"
)]

pub(crate) mod trial;

use std::io::ErrorKind;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sansock::{Config, Connection, Message};

use crate::common::{self, Seen};
use crate::io::Step::{Fail, Later, Move, Zero};
use crate::io::{End, Peer, Step, client_machine, server_machine};

/// The same schedules in each run. `PROPTEST_RNG_SEED` and `PROPTEST_CASES` make others, and more.
pub(crate) fn cases() -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(84);
    }
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 100;
    }
    config
}

/// Which end is tested, over what kind of connection and transport.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    is_client: bool,
    compresses: bool,
    /// How much the transport holds.
    room: usize,
    /// It holds back what is written until it is flushed.
    holds_back: bool,
    reads: Vec<Step>,
    writes: Vec<Step>,
    flushes: Vec<Step>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let most = prop_oneof![Just(1), 2..20_usize, 100..1000_usize, Just(usize::MAX)];
    vec(prop_oneof![3 => most.prop_map(Move), 2 => Just(Later)], 0..60)
}

pub(crate) fn scene() -> impl Strategy<Value = Scene> {
    let room = prop_oneof![Just(1), 2..30_usize, 100..3000_usize, Just(usize::MAX)];
    (any::<[bool; 3]>(), room, [steps(), steps(), steps()]).prop_map(
        |([is_client, compresses, holds_back], room, [reads, writes, flushes])| Scene {
            is_client,
            compresses,
            room,
            holds_back,
            reads,
            writes,
            flushes,
        },
    )
}

impl Scene {
    /// The peer, and the transport and the connection of the end that is tested.
    pub(crate) fn set(&self, config: Config) -> (Peer, End, Connection) {
        let (mut peer, end) = if self.is_client { Peer::server(self.room) } else { Peer::client(self.room) };
        let mut machine = if self.is_client { client_machine(config) } else { server_machine(config) };
        if self.compresses {
            machine = compressing(machine);
            peer.machine = compressing(peer.machine);
        }
        self.prepare(&end);
        (peer, end, machine)
    }

    pub(crate) fn compressing(mut self) -> Self {
        self.compresses = true;
        self
    }

    pub(crate) fn prepare(&self, end: &End) {
        if self.holds_back {
            end.hold_back();
        }
        end.next_reads(&self.reads);
        end.next_writes(&self.writes);
        end.next_flushes(&self.flushes);
    }

    /// A transport that does not wait may also be interrupted, and has more than one way to say "not now".
    pub(crate) fn interrupted(mut self) -> Self {
        let kinds = [ErrorKind::Interrupted, ErrorKind::TimedOut, ErrorKind::WouldBlock];
        for steps in [&mut self.reads, &mut self.writes, &mut self.flushes] {
            steps
                .iter_mut()
                .step_by(3)
                .zip(kinds.iter().cycle())
                .for_each(|(step, kind)| *step = Fail(*kind));
        }
        self
    }
}

#[cfg(feature = "deflate")]
fn compressing(machine: Connection) -> Connection {
    use sansock::deflate::{Agreed, Deflate};
    machine.with_deflate(Agreed::default(), &Deflate::default())
}

#[cfg(not(feature = "deflate"))]
fn compressing(machine: Connection) -> Connection {
    machine
}

/// A message that is known by its number: text and binary in turn, short and long.
pub(crate) fn message(number: usize, len: usize) -> Message {
    if number.is_multiple_of(2) {
        format!("{number}: {}", "word ".repeat(len / 5)).into()
    } else {
        (0..len + 8).map(|i| (number + i % 7) as u8).collect::<Vec<u8>>().into()
    }
}

pub(crate) fn seen(message: &Message) -> Seen {
    match message {
        Message::Text(text) => Seen::Text(text.as_ref().to_owned()),
        Message::Binary(data) => Seen::Binary(data.to_vec()),
    }
}

pub(crate) fn len() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..40_usize, 3 => 100..700_usize, 1 => 4000..9000_usize]
}

/// What the peer does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Say(usize),
    Ping,
    /// It takes this much of what was sent to it.
    Take(usize),
    Close,
}

pub(crate) fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => len().prop_map(Act::Say),
        1 => Just(Act::Ping),
        3 => prop_oneof![1..10_usize, 50..2000_usize, Just(usize::MAX)].prop_map(Act::Take),
    ]
}

/// What can go wrong with the tested end's transport.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Read(Step),
    Write(Step),
    Flush(Step),
    Reset,
}

pub(crate) fn fault() -> impl Strategy<Value = Fault> {
    let kinds = prop::sample::select(vec![ErrorKind::ConnectionReset, ErrorKind::TimedOut, ErrorKind::Other]);
    let fails = kinds.prop_map(Fail).boxed();
    prop_oneof![
        prop_oneof![fails.clone(), Just(Zero)].prop_map(Fault::Read),
        prop_oneof![fails.clone(), Just(Zero)].prop_map(Fault::Write),
        fails.prop_map(Fault::Flush),
        Just(Fault::Reset),
    ]
}

impl Fault {
    pub(crate) fn strike(self, peer: &Peer, end: &End) {
        match self {
            Fault::Read(step) => end.now_reads(step),
            Fault::Write(step) => end.now_writes(step),
            Fault::Flush(step) => end.now_flushes(step),
            Fault::Reset => peer.end.reset(),
        }
    }
}

/// What was said by either end, and what the other one heard: pongs and keepalive pings aside.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    number: usize,
    /// By the tested end, and by its peer.
    pub(crate) sent: Vec<Seen>,
    pub(crate) said: Vec<Seen>,
    pub(crate) heard: Vec<Seen>,
    pub(crate) received: Vec<Seen>,
    /// The tested end closes with a call that passes over what it still receives.
    pub(crate) passes_over: bool,
    /// The peer has closed first, so that a Close frame of the tested end's may be an answer.
    pub(crate) is_answered: bool,
    pongs: Vec<Seen>,
    pings: Vec<Seen>,
}

impl Ledger {
    pub(crate) fn number(&mut self) -> usize {
        self.number += 1;
        self.number
    }

    pub(crate) fn act(&mut self, peer: &mut Peer, act: Act) {
        if peer.has_closed() && !matches!(act, Act::Take(_)) {
            return;
        }
        match act {
            Act::Say(len) => {
                let message = message(self.number(), len);
                self.said.push(seen(&message));
                peer.send(message);
            }
            Act::Ping => {
                let payload = self.number().to_be_bytes();
                self.pings.push(Seen::Pong(payload.into()));
                peer.ping(&payload);
            }
            Act::Take(most) => self.take(peer, most),
            Act::Close => {
                self.is_answered = true;
                peer.close();
            }
        }
    }

    fn take(&mut self, peer: &mut Peer, most: usize) {
        let bytes = peer.end.pull(most);
        common::give(&mut peer.machine, &bytes);
        for event in common::events(&mut peer.machine) {
            match event {
                Seen::Failed(error) => panic!("the peer was sent what it must not be: {error}"),
                Seen::Ping(payload) if payload.is_empty() => {}
                Seen::Pong(_) => self.pongs.push(event),
                // That the tested end answers a Close frame is not its own word.
                Seen::End if self.is_answered || self.heard.last() == Some(&Seen::End) => {}
                _ => self.heard.push(event),
            }
        }
        peer.end.push(&common::output(&mut peer.machine));
    }

    /// The tested end has received this.
    pub(crate) fn receive(&mut self, event: Seen) {
        // Pings are seen only by calls that give events, and pongs only answer keepalive.
        if !matches!(event, Seen::Ping(_) | Seen::Pong(_)) {
            self.received.push(event);
        }
    }

    /// What holds at any time: nothing is heard that was not said, nothing twice, and all in order.
    pub(crate) fn check(&self) {
        assert!(self.sent.starts_with(&self.heard), "heard {:?} of {:?}", self.heard, self.sent);
        let is_received =
            self.said.starts_with(&self.received) || self.passes_over && is_part(&self.received, &self.said);
        assert!(is_received, "received {:?} of {:?}", self.received, self.said);
        assert!(is_part(&self.pongs, &self.pings), "pongs {:?} for {:?}", self.pongs, self.pings);
    }

    /// Whether all was heard; and of pings the last one, at least, was answered.
    pub(crate) fn is_settled(&self) -> bool {
        let is_answered = self.pongs.last() == self.pings.last();
        self.heard == self.sent && self.received == self.said && is_answered
    }
}

/// Whether `part` is `whole` with some left out.
fn is_part(part: &[Seen], whole: &[Seen]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|wanted| whole.any(|there| there == wanted))
}
