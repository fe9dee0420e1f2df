//! A socket that is tested by a schedule: calls that are given up at any time, and what must come of them.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use sansock::tokio::Error;
use sansock::{CloseReport, Config, Connection, Error as Failure, Event, Message, SendHalf};

use super::{Act, Fault, Ledger, Scene, act, fault, len, message, seen};
use crate::common::Seen;
use crate::io::{End, Peer, config};

/// What a call gave.
#[derive(Debug)]
pub(crate) enum Got {
    Nothing,
    Event(Seen),
    End,
}

pub(crate) type Outcome = Result<Got, Error>;

/// What a call does, as far as a ledger is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Receives,
    /// The first poll queues the message.
    Queues,
    /// It has queued the message when it is done, and not before.
    QueuesLast,
    /// As `Queues`, with the message as a ping's payload.
    Pings,
    Waits,
    Flushes,
    /// The first poll queues a Close frame.
    Closes,
}

/// What is tested: a socket, or its halves.
pub(crate) trait Subject: Sized {
    /// Whether `close` passes over what is still received.
    const PASSES_OVER: bool;

    fn over(io: End, machine: Connection) -> Self;
    fn half(&mut self) -> &mut SendHalf;
    fn report(&self) -> Option<CloseReport>;

    /// The calls that there are.
    fn effects() -> Vec<Effect>;
    /// Polls one of them so many times, and drops it; what it gave, if it was done.
    fn perform(&mut self, call: usize, polls: usize, message: Message) -> Option<Outcome>;

    /// Polls a call that has this effect once.
    fn poll(&mut self, effect: Effect) -> Option<Outcome> {
        let call = Self::effects().iter().position(|there| *there == effect).unwrap();
        self.perform(call, 1, "".into())
    }
}

pub(crate) fn event(event: Option<Event<'_>>) -> Got {
    event.map_or(Got::End, |event| Got::Event(event.into()))
}

pub(crate) fn owned(message: Option<Message>) -> Got {
    message.map_or(Got::End, |message| Got::Event(seen(&message)))
}

pub(crate) fn nothing<T>(_: T) -> Got {
    Got::Nothing
}

pub(crate) fn payload(message: &Message) -> &[u8] {
    let bytes = message.as_bytes();
    bytes.get(..100).unwrap_or(bytes)
}

/// One step of a schedule.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A call, which is dropped after so many polls, with a message of this length.
    Call(Index, usize, usize),
    /// The same for calls that close.
    Close(Index, usize),
    /// A part of a message, and whether it is the last.
    Fragment(usize, bool),
    Peer(Act),
    Clock(u64),
    Fault(Fault),
}

fn polls() -> impl Strategy<Value = usize> {
    prop_oneof![1 => Just(0_usize), 4 => Just(1), 3 => 2..5_usize, 1 => Just(60)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => (any::<Index>(), polls(), len()).prop_map(|(call, polls, len)| Op::Call(call, polls, len)),
        2 => (len(), any::<bool>()).prop_map(|(len, is_last)| Op::Fragment(len, is_last)),
        12 => act().prop_map(Op::Peer),
        2 => (1..200_u64).prop_map(Op::Clock),
    ]
}

/// In some the tested end closes, or its peer, in the midst of it.
pub(crate) fn schedule() -> impl Strategy<Value = Vec<Op>> {
    let close = prop_oneof![
        3 => (any::<Index>(), polls()).prop_map(|(which, polls)| Op::Close(which, polls)),
        1 => Just(Op::Peer(Act::Close)),
    ];
    (vec(op(), 0..80), vec(close, 0..3), vec(op(), 0..20)).prop_map(|(mut ops, closes, after)| {
        for close in closes {
            ops.push(close);
            ops.extend(after.iter().cloned());
        }
        ops
    })
}

/// A schedule in which something goes wrong in the end.
pub(crate) fn faulty() -> impl Strategy<Value = Vec<Op>> {
    (schedule(), fault(), vec(op(), 0..30)).prop_map(|(mut ops, fault, after)| {
        ops.push(Op::Fault(fault));
        ops.extend(after);
        ops
    })
}

/// Keepalive pings often; nothing is ever late.
fn busy() -> Config {
    config(|c| {
        c.ping_interval = Some(Duration::from_millis(50));
        c.pong_timeout = Duration::from_secs(3600);
        c.close_timeout = Duration::from_secs(3600);
        c.output_high_water = 600;
    })
}

/// A subject, its peer, and what has become of their conversation.
#[expect(clippy::struct_excessive_bools, reason = "each has a meaning of its own")]
struct Trial<S> {
    subject: S,
    peer: Peer,
    end: End,
    ledger: Ledger,
    /// The fragments so far of an open message.
    open: Option<Vec<u8>>,
    is_closing: bool,
    has_fault: bool,
    /// A write has failed.
    is_broken: bool,
    /// A call was told that the conversation is closed: what was queued last may not have left.
    is_refused: bool,
    /// There is nothing more to receive.
    is_over: bool,
    failure: Option<Failure>,
}

impl<S: Subject> Trial<S> {
    fn new(scene: &Scene) -> Self {
        let (peer, end, machine) = scene.set(busy());
        Trial {
            subject: S::over(end.clone(), machine),
            peer,
            end,
            ledger: Ledger::default(),
            open: None,
            is_closing: false,
            has_fault: false,
            is_broken: false,
            is_refused: false,
            is_over: false,
            failure: None,
        }
    }

    fn carry_out(&mut self, op: &Op, sleep: impl Fn(Duration)) {
        match *op {
            Op::Call(which, polls, len) => {
                self.call(which, |effect| effect != Effect::Closes, polls, len);
            }
            Op::Close(which, polls) => self.call(which, |effect| effect == Effect::Closes, polls, 0),
            Op::Fragment(len, is_last) => self.fragment(len, is_last),
            Op::Peer(act) => self.ledger.act(&mut self.peer, act),
            Op::Clock(millis) => sleep(Duration::from_millis(millis)),
            Op::Fault(fault) => {
                fault.strike(&self.peer, &self.end);
                self.has_fault = true;
            }
        }
        self.ledger.check();
    }

    fn call(&mut self, which: Index, suits: impl Fn(Effect) -> bool, polls: usize, len: usize) {
        let calls: Vec<_> =
            S::effects().into_iter().enumerate().filter(|(_, effect)| suits(*effect)).collect();
        let (call, effect) = calls[which.index(calls.len())];
        let message = message(self.ledger.number(), len);
        let outcome = self.subject.perform(call, polls, message.clone());
        let is_refused = matches!(outcome, Some(Err(Error::Send(_))));
        let is_done = matches!(outcome, Some(Ok(_)));
        let has_begun = polls > 0 && !is_refused;
        match effect {
            Effect::Queues if has_begun => self.ledger.sent.push(seen(&message)),
            Effect::QueuesLast if is_done => self.ledger.sent.push(seen(&message)),
            Effect::Pings if has_begun => self.ledger.sent.push(Seen::Ping(payload(&message).into())),
            Effect::Closes if has_begun && !self.is_closing && self.failure.is_none() => {
                self.begin_to_close();
            }
            _ => {}
        }
        if let Some(outcome) = outcome {
            self.note(effect, outcome);
        }
    }

    fn begin_to_close(&mut self) {
        self.is_closing = true;
        self.ledger.passes_over = S::PASSES_OVER;
        self.ledger.sent.push(Seen::End);
    }

    fn fragment(&mut self, len: usize, is_last: bool) {
        let part = vec![7; len];
        let half = self.subject.half();
        let queued = if is_last { half.last_fragment(&part[..]) } else { half.fragment(&part[..]) };
        if queued.is_ok() {
            self.open.get_or_insert_default().extend(part);
            if is_last {
                self.ledger.sent.extend(self.open.take().map(Seen::Binary));
            }
        }
    }

    /// An outcome is what the peer has said, and an error is the last word.
    fn note(&mut self, effect: Effect, outcome: Outcome) {
        let writes = matches!(effect, Effect::Queues | Effect::Pings | Effect::Flushes);
        assert!(!(self.is_broken && writes && outcome.is_ok()), "a broken transport has taken something");
        match outcome {
            Ok(Got::Event(event)) => {
                assert!(!self.is_over, "{event:?} after the end: {:?}", self.failure);
                self.ledger.receive(event);
            }
            Ok(Got::End) => self.is_over = true,
            Ok(Got::Nothing) if writes && !self.has_fault && !self.is_refused => self.look_for_all(),
            Err(Error::Connection(error)) => {
                assert_eq!(*self.failure.get_or_insert(error), error);
                self.is_over |= effect == Effect::Receives;
            }
            Err(Error::Send(_)) => self.is_refused = true,
            Err(Error::Io(_)) => self.is_broken |= writes,
            _ => {}
        }
    }

    /// All that was queued is with the operating system: the peer can have it. It takes that now and then.
    fn look_for_all(&mut self) {
        if self.ledger.sent.len().is_multiple_of(2) && self.open.is_none() {
            self.ledger.act(&mut self.peer, Act::Take(usize::MAX));
            assert_eq!(self.ledger.heard, self.sent(), "it has not left");
        }
    }

    /// What the tested end has said, as the peer hears it.
    fn sent(&self) -> Vec<Seen> {
        let is_heard = |said: &&Seen| **said != Seen::End || !self.ledger.is_answered;
        self.ledger.sent.iter().filter(is_heard).cloned().collect()
    }

    /// Polls what reads and what writes, and lets the peer take all.
    fn round(&mut self) -> bool {
        if let Some(outcome) = self.subject.poll(Effect::Flushes) {
            self.note(Effect::Flushes, outcome);
        }
        let received = self.subject.poll(Effect::Receives);
        let is_over = matches!(received, Some(Ok(Got::End) | Err(_)));
        if let Some(outcome) = received {
            self.note(Effect::Receives, outcome);
        }
        self.ledger.act(&mut self.peer, Act::Take(usize::MAX));
        self.ledger.check();
        is_over
    }

    /// Nothing is dropped any more: all arrives, and both ends close.
    fn finish(mut self) {
        if self.open.is_some() {
            self.fragment(1, true);
        }
        if !self.is_closing && !self.ledger.is_answered {
            let is_settled = (0..50_000).any(|_| {
                self.round();
                self.ledger.is_settled()
            });
            assert!(is_settled, "something is lost: {:#?}", self.ledger);
            let _ = self.subject.poll(Effect::Closes);
            self.begin_to_close();
        }
        let is_over = (0..50_000).any(|_| {
            if self.peer.machine.is_ended() {
                self.peer.end.end();
            }
            self.round()
        });
        assert!(is_over, "it never ends: {:#?}", self.ledger);
        assert!(self.failure.is_none() && self.subject.report().unwrap().clean);
        // Of halves, the writer may have queued what its reader has closed before.
        if S::PASSES_OVER || !self.ledger.is_answered {
            assert_eq!(self.ledger.heard, self.sent());
        }
        assert!(self.ledger.passes_over || self.ledger.received == self.ledger.said);
    }

    /// The transport has failed: all comes to an end, and the end is final.
    fn give_up(mut self) {
        self.peer.end.end();
        assert!((0..50_000).any(|_| self.round()), "it never ends: {:#?}", self.ledger);
        for _ in 0..5 {
            self.round();
        }
        // It was no end of a conversation, but for one that both have closed.
        let report = self.subject.report().unwrap();
        assert!(!report.clean || report.sent.is_some() && self.peer.has_closed(), "{report:?}");
    }
}

/// Carries out a schedule, and then nothing gets in the way any more. `sleep` lets time pass, if it can.
pub(crate) fn run<S: Subject>(scene: &Scene, ops: &[Op], sleep: impl Fn(Duration)) {
    let mut trial = Trial::<S>::new(scene);
    for op in ops {
        trial.carry_out(op, &sleep);
    }
    if trial.has_fault { trial.give_up() } else { trial.finish() }
}
